"""A user's own scorer: any importable function of (answer, reference, example) that returns 0 to 1 or a truth value.

    def close_enough(answer: str, reference: str | None, example: Example) -> float: ...

named as `my_package.my_module:close_enough`. What it raises becomes a missing score with the error's class as the
reason (its message may hold text), and missing scores hold the promotion.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.records import Example


@dataclass(frozen=True, slots=True)
class Function:
    """Scores by calling what `path` names."""

    version: ClassVar[int] = 1
    path: str
    name: str = ""
    needs_reference: bool = False
    _call: Callable[..., Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_call", _load(self.path))
        if not self.name:
            object.__setattr__(self, "name", self.path.rpartition(":")[2])

    def score(self, answer: str, example: Example) -> float | None:
        value = self._call(answer, example.answer, example)
        return None if value is None else float(value)


def _load(path: str) -> Callable[..., Any]:
    module, colon, name = path.partition(":")
    if not colon or not module or not name:
        raise ConfigurationError(
            f"evaluation: {path!r} names no function.", hint="Write package.module:function."
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"evaluation: the scorer {path!r} cannot be imported ({type(error).__name__}).",
            hint="The module must be importable where the task runs.",
        ) from error
    if not callable(found):
        raise ConfigurationError(f"evaluation: {path!r} is not a function.")
    return found  # type: ignore[no-any-return]
