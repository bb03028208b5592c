"""Whether an import path names a function that is there, told without running its module.

Takes `package.module:function` as a workload file writes it. The module is found and its source read; importing it is left
to the task that calls the function, because a module may load a model, and every parse of a Dag file would pay for that.
Packages above the module are imported, which is how Python finds it.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec

FUNCTION_PATH = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
ANY_NAME = "*"
"""As `from x import *` has it."""


@lru_cache(maxsize=256)
def check_function(path: str) -> str:
    """Return the path. What was found is not looked for again: files of a folder name the same functions.

    :raises ValueError: it is written otherwise, or leads nowhere.
    """
    if not re.fullmatch(FUNCTION_PATH, path):
        raise ValueError(
            "a function is named as package.module:function, such as my_package.privacy:find_names"
        )
    module, _, name = path.partition(":")
    names = _names_of(module)
    if names.isdisjoint({name, ANY_NAME, "__getattr__"}):
        close = difflib.get_close_matches(name, names, 1, 0.6)
        raise ValueError(f"{module} has no {name!r}{f'; did you mean {close[0]!r}?' if close else ''}")
    return path


def _names_of(module: str) -> set[str]:
    """Return the names a module may define; `ANY_NAME` where its source does not tell."""
    try:
        spec = find_spec(module)
        if spec is None:
            raise ModuleNotFoundError(module)
        if not isinstance(spec.loader, SourceFileLoader):
            return {ANY_NAME}
        tree = ast.parse(spec.loader.get_source(module) or "")
    except Exception as error:  # packages above the module run here, and may fail in any way
        raise ValueError(
            f"the module {module} cannot be found or read here ({type(error).__name__}); its folder belongs on PYTHONPATH"
        ) from None
    return set(_bound_in(tree))


def _bound_in(tree: ast.Module) -> Iterator[str]:
    """Yield every name that any statement binds, inner ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
