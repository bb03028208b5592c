"""JSON validity: can a program read the answer at all. Needs no reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.evaluation.scorers.json_text import NotJsonError, read_json

_TYPES: dict[str, type | tuple[type, ...]] = {"any": object, "object": dict, "array": list}


@dataclass(frozen=True, slots=True)
class JsonValid:
    """1 when the answer is JSON of the wanted kind (`any`, `object` or `array`); a fence around it is allowed."""

    version: ClassVar[int] = 2
    name: str = "json_valid"
    type: str = "any"
    fenced: bool = True

    def __post_init__(self) -> None:
        if self.type not in _TYPES:
            raise ConfigurationError(f"evaluation: json_valid knows the types {', '.join(_TYPES)}.")

    @property
    def needs_reference(self) -> bool:
        return False

    def score(self, answer: str, example: Example) -> float | None:
        try:
            return float(isinstance(read_json(answer, fenced=self.fenced), _TYPES[self.type]))
        except NotJsonError:
            return 0.0
