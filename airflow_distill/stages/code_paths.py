"""Import paths of a user's own functions: what such a function must look like, and loading one.

A path comes from a Dag file or a workload file, whose authors may run code anyway, and from nowhere else. Even so it must
name a function that was written for the purpose: of the documented parameters, by name, and not of Python's own library. So
neither a slip nor a path that arrived on another road hands an end user's text to `subprocess.getoutput`. Standard library
only.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from airflow_distill.errors import ConfigurationError

FUNCTION_PATH = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"

DETECTOR = ("text",)
"""A detector takes a text and yields `Span`s."""
SCORER = ("answer", "reference", "example")
"""A scorer takes an answer, the reference (or None) and the `Example`, and returns 0 to 1, a truth value or None."""

_PATH = re.compile(FUNCTION_PATH)


def is_function_path(path: object) -> bool:
    """Say whether a value is written as `package.module:function`."""
    return isinstance(path, str) and _PATH.fullmatch(path) is not None


def is_own_library(module: str) -> bool:
    """Say whether a module belongs to Python itself."""
    return module.partition(".")[0] in sys.stdlib_module_names


def misfit(given: Sequence[str], required: int, wanted: Sequence[str]) -> str:
    """Return what is wrong with a function's positional parameters, or nothing; a leading underscore does not count.

    :param given: their names, in order.
    :param required: how many have no default.
    """
    names = tuple(name.lstrip("_") for name in given)
    if names[: len(wanted)] == tuple(wanted) and required <= len(wanted):
        return ""
    return f"takes ({', '.join(given)}), and must take ({', '.join(wanted)})"


def load_function(path: str, wanted: Sequence[str], what: str) -> Callable[..., Any]:
    """Import the function that a path names.

    :param wanted: its positional parameters, `DETECTOR` or `SCORER`.
    :param what: what it is to be, for the message: "dataset: the detector".
    :raises ConfigurationError: there is none, or it is no function of these parameters.
    """
    if not is_function_path(path):
        raise ConfigurationError(f"{what} {path!r} names no function.", hint="Write package.module:function.")
    module, _, name = path.partition(":")
    if is_own_library(module):
        raise ConfigurationError(
            f"{what} {path!r} belongs to Python's own library.", hint="Name a function of your own."
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"{what} {path!r} cannot be imported ({type(error).__name__}).",
            hint="The module must be importable where the task runs.",
        ) from error
    wrong = why_unfit(found, wanted)
    if wrong:
        raise ConfigurationError(
            f"{what} {path!r} {wrong}.", hint=f"Write def {name}({', '.join(wanted)}): ..."
        )
    return found  # type: ignore[no-any-return]


def why_unfit(found: Any, wanted: Sequence[str]) -> str:
    """Return why an imported object is no function of these parameters, or nothing when it is."""
    if not callable(found) or not inspect.isfunction(inspect.unwrap(found)):
        return "is not a Python function"
    if is_own_library(getattr(found, "__module__", "") or ""):
        return "belongs to Python's own library"
    parameters = inspect.signature(found).parameters.values()
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return "requires a keyword"
    return misfit([p.name for p in places], sum(p.default is p.empty for p in places), wanted)
