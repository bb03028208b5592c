"""JSON fields: how many of the reference's values the answer has, in the same places.

Both texts are read as JSON, also out of prose or a fence (`json_valid` and `json_schema` tell whether a program could
read the answer as it stands), and laid out as (path, value) leaves. The score is the F1 over leaves, so a field too
many costs as much as one missing; with `fields`, only the named top-level fields count. The order of keys and the
spelling of numbers (1, 1.0) do not matter; an empty object, list or text is a value like any other. Without JSON on
either side it is a format miss, 0, also where the teacher slipped: texts are never compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.evaluation.scorers.json_text import NotJsonError, read_json, same

Path = tuple[str | int, ...]
_ABSENT = object()


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every value that holds no others, with the way to it; an empty object or list is a leaf."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    else:
        yield path, value


@dataclass(frozen=True, slots=True)
class JsonFields:
    """Share of equal fields."""

    version: ClassVar[int] = 2
    name: str = "json_fields"
    fields: tuple[str, ...] = ()
    fenced: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", tuple(self.fields))

    @property
    def needs_reference(self) -> bool:
        return True

    def score(self, answer: str, example: Example) -> float | None:
        if example.answer is None:
            return None
        try:
            wanted = read_json(example.answer, fenced=self.fenced, prose=self.fenced)
            given = read_json(answer, fenced=self.fenced, prose=self.fenced)
        except NotJsonError:
            return 0.0
        return self._named(given, wanted) if self.fields else _overlap(given, wanted)

    def _named(self, given: Any, wanted: Any) -> float:
        left = given if isinstance(given, dict) else {}
        right = wanted if isinstance(wanted, dict) else {}
        equal = [same(left.get(name, _ABSENT), right.get(name, _ABSENT)) for name in self.fields]
        return sum(equal) / len(equal)


def _overlap(given: Any, wanted: Any) -> float:
    left, right = dict(leaves(given)), dict(leaves(wanted))
    equal = sum(path in left and same(left[path], value) for path, value in right.items())
    return 2 * equal / (len(left) + len(right))
