"""Whether an import path names what it should, told without running its module.

Takes `package.module:function`, or a notifier's `package.module.Class`, as a workload file writes it. The module is found
and its source read: a module may load a model, and every parse of a Dag file would pay for importing it. Packages above the
module are imported, which is how Python finds it. Where the source does not tell (a star import, a compiled module),
`airflow-distill workload lint` imports it in a process of its own (`import_check`), and the task that uses it looks again.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec

from airflow_distill.stages.code_paths import (
    DETECTOR,
    FUNCTION_PATH,
    SCORER,
    is_function_path,
    is_own_library,
    misfit,
)

__all__ = ["FUNCTION_PATH", "check_detector", "check_notifier", "check_scorer"]

_MOST_STEPS = 5
"""So many `from x import y` are followed to the module that defines a name."""


class _NotFoundError(ValueError):
    """A module is not here, or cannot be read."""


@lru_cache(maxsize=256)
def check_detector(path: str) -> str:
    """Return the path. What was found is not looked for again: files of a folder name the same functions.

    :raises ValueError: it is written otherwise, leads nowhere, or to no function of a text.
    """
    return _check_function(path, DETECTOR)


@lru_cache(maxsize=256)
def check_scorer(path: str) -> str:
    """Return the path of a scorer function; see `check_detector`."""
    return _check_function(path, SCORER)


@lru_cache(maxsize=256)
def check_notifier(path: str) -> str:
    """Return a notifier's dotted path. A module that is not here may be where the Dags run, and is left to lint.

    :raises ValueError: it belongs to Python itself, or its source shows that it is no class derived from another.
    """
    module, _, name = path.rpartition(".")
    if is_own_library(module or path):
        raise ValueError(f"{path} belongs to Python's own library and is no notifier")
    try:
        node, names = _definition(module, name)
    except _NotFoundError:
        return path
    if isinstance(node, ast.ClassDef) and not node.bases:
        raise ValueError(
            f"{path} is no notifier: a notifier is a class derived from airflow.sdk.BaseNotifier"
        )
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        raise ValueError(f"{path} is a function; a notifier is a class derived from airflow.sdk.BaseNotifier")
    if node is None and names is not None and name not in names:
        raise ValueError(_nothing_there(module, name, names))
    return path


def _check_function(path: str, wanted: Sequence[str]) -> str:
    if not is_function_path(path):
        raise ValueError(
            "a function is named as package.module:function, such as my_package.privacy:find_names"
        )
    module, _, name = path.partition(":")
    if is_own_library(module):
        raise ValueError(f"{module} belongs to Python's own library; name a function of your own")
    node, names = _definition(module, name)
    if isinstance(node, ast.FunctionDef):
        places = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        wrong = misfit(places, len(places) - len(node.args.defaults), wanted)
        if wrong:
            raise ValueError(f"{path} {wrong}")
    elif node is not None:
        raise ValueError(f"{path} is no function; it must take ({', '.join(wanted)})")
    elif names is not None and name not in names:
        raise ValueError(_nothing_there(module, name, names))
    return path


def _nothing_there(module: str, name: str, names: set[str]) -> str:
    close = difflib.get_close_matches(name, names, 1, 0.6)
    return f"{module} has no {name!r}{f'; did you mean {close[0]!r}?' if close else ''}"


def _definition(
    module: str, name: str, steps: int = _MOST_STEPS
) -> tuple[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | None, set[str] | None]:
    """Return the `def` or `class` of a name and the names of its module; None for what the source does not tell.

    :raises ValueError: the module cannot be found or read, or a name leads to one of Python's own.
    """
    tree = _source_of(module)
    if tree is None:
        return None, None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
            return node, None
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name and steps:
                    if is_own_library(node.module):
                        raise ValueError(f"{module}.{name} belongs to Python's own library")
                    return _definition(node.module, alias.name, steps - 1)
    names = set(_bound_in(tree))
    return None, None if names & {"*", "__getattr__"} else names


def _source_of(module: str) -> ast.Module | None:
    """Return the syntax tree of a module; None when it is not written in Python."""
    try:
        spec = find_spec(module)
        if spec is None:
            raise ModuleNotFoundError(module)
        if not isinstance(spec.loader, SourceFileLoader):
            return None
        return ast.parse(spec.loader.get_source(module) or "")
    except Exception as error:  # packages above the module run here, and may fail in any way
        raise _NotFoundError(
            f"the module {module} cannot be found or read here ({type(error).__name__}); its folder belongs on PYTHONPATH"
        ) from None


def _bound_in(tree: ast.Module) -> Iterator[str]:
    """Yield every name that any statement binds, inner ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
