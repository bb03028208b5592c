"""A user's own scorer: a function of (answer, reference, example), by these names, that returns 0 to 1 or a truth value.

    def close_enough(answer: str, reference: str | None, example: Example) -> float: ...

named as `my_package.my_module:close_enough`. When it raises, nothing is scored: the task fails and tells the error's
class and how often (never its message, which may hold text). None is a missing score; missing scores hold the promotion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_distill.stages.code_paths import SCORER, load_function
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
        object.__setattr__(self, "_call", load_function(self.path, SCORER, "evaluation: the scorer"))
        if not self.name:
            object.__setattr__(self, "name", self.path.rpartition(":")[2])

    def score(self, answer: str, example: Example) -> float | None:
        value = self._call(answer, example.answer, example)
        return None if value is None else float(value)
