"""Lays answers beside the held-out prompts: one row a distinct prompt, one cell a role, and everything odd counted.

Takes examples and answers in any order; hands on a `Table`. Equal prompts are one item whatever the number of rows, so
a duplicated prompt cannot make a comparison look surer. Where the teacher was not asked again, its logged answer stands
in its cell; that answer is then also the reference, and the table says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airflow_distill.errors import EvaluationError
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.evaluation.records import GOLDEN, REFERENCE_KINDS, ROLES, Answer

Answers = Mapping[str, tuple[Answer, ...]]


@dataclass(frozen=True, slots=True)
class Table:
    """Held-out items in order of their id, and each role's answers by item.

    `from_reference` counts the teacher's cells that hold the reference itself. `strays` counts answers to prompts that
    are not held out.
    """

    examples: Mapping[str, Example]
    answers: Mapping[str, Answers]
    models: Mapping[str, str]
    duplicates: int
    strays: int
    from_reference: int

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that gave any answer, in their usual order."""
        return tuple(role for role in ROLES if self.answers.get(role))

    @property
    def teacher_source(self) -> str:
        """Say where the teacher's answers come from: see `Scorecard`."""
        given = len(self.answers.get("teacher", {}))
        if not given:
            return "absent"
        if not self.from_reference:
            return "answers"
        return "reference" if self.from_reference == given else "mixed"

    def references(self) -> dict[str, int]:
        """Count the items by what they are scored against."""
        kinds = [reference_kind(example) for example in self.examples.values()]
        return {kind: kinds.count(kind) for kind in REFERENCE_KINDS}


def reference_kind(example: Example) -> str:
    """Return `golden`, `teacher` or `none`."""
    if example.answer is None:
        return "none"
    return GOLDEN if example.golden else "teacher"


def lay_out(examples: Iterable[Example], answers: Iterable[Answer], *, teacher: str = "teacher") -> Table:
    """Return the table; `teacher` is the model named for answers taken from the logs.

    Raises `EvaluationError` when there is nothing to compare or one role's answers come from two models.
    """
    rows = list(examples)
    items = _distinct(rows)
    if not items:
        raise EvaluationError("evaluation: there are no held-out examples.")
    by_role, strays = _by_role(answers, items)
    from_reference = _fill_teacher(by_role, items, teacher)
    if not by_role.get("student"):
        raise EvaluationError("evaluation: the student has given no answer.", hint="Collect answers first.")
    return Table(
        examples=items,
        answers={role: {k: tuple(v) for k, v in sorted(found.items())} for role, found in by_role.items()},
        models={role: _one_model(role, found) for role, found in sorted(by_role.items()) if found},
        duplicates=len(rows) - len(items),
        strays=strays,
        from_reference=from_reference,
    )


def _distinct(rows: list[Example]) -> dict[str, Example]:
    """Keep one row a prompt, the same whatever the order: a label before a log, then the latest, then by text."""

    def rank(example: Example) -> tuple[bool, bool, str, str]:
        return (example.golden, example.answer is not None, example.observed_at, example.answer or "")

    best: dict[str, Example] = {}
    for example in rows:
        key = example.id
        if key not in best or rank(example) > rank(best[key]):
            best[key] = example
    return dict(sorted(best.items()))


def _by_role(
    answers: Iterable[Answer], items: Mapping[str, Example]
) -> tuple[dict[str, dict[str, list[Answer]]], int]:
    out: dict[str, dict[str, list[Answer]]] = defaultdict(dict)
    strays = 0
    for answer in answers:
        if answer.example_id not in items:
            strays += 1
            continue
        cell = out[answer.role].setdefault(answer.example_id, [])
        if answer not in cell:
            cell.append(answer)
    for found in out.values():
        for cell in found.values():
            cell.sort(key=lambda a: (a.repeat, a.parameters, a.error, a.text or ""))
    return out, strays


def _fill_teacher(
    by_role: dict[str, dict[str, list[Answer]]], items: Mapping[str, Example], teacher: str
) -> int:
    """Put logged answers where the teacher has none; a label is not the teacher's answer and fills nothing."""
    given = by_role.setdefault("teacher", {})
    model = next((cell[0].model for cell in given.values()), teacher)
    filled = 0
    for key, example in items.items():
        if key not in given and reference_kind(example) == "teacher":
            given[key] = [_logged(key, example, model)]
            filled += 1
    return filled


def _logged(key: str, example: Example, model: str) -> Answer:
    return Answer(
        example_id=key,
        role="teacher",
        model=model,
        text=example.answer,
        latency_ms=example.latency_ms,
        input_tokens=example.input_tokens,
        output_tokens=example.output_tokens,
        cache_read_tokens=example.cache_read_tokens,
        cache_write_tokens=example.cache_write_tokens,
    )


def _one_model(role: str, found: Mapping[str, list[Answer]]) -> str:
    models = sorted({answer.model for cell in found.values() for answer in cell})
    if len(models) > 1:
        raise EvaluationError(
            f"evaluation: the {role}'s answers come from {len(models)} models ({', '.join(models)}).",
            hint="The folder has answers of an earlier candidate; collect into a new one.",
        )
    return models[0]
