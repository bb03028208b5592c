"""Exact match: the answer says what the reference says, letter case and spacing aside."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.evaluation.scorers.normalise import folded


@dataclass(frozen=True, slots=True)
class ExactMatch:
    """1 when both texts are equal after folding; with `strict`, when they are equal to the character."""

    name: str = "exact"
    strict: bool = False

    @property
    def needs_reference(self) -> bool:
        return True

    def score(self, answer: str, example: Example) -> float | None:
        if example.answer is None:
            return None
        same = answer == example.answer if self.strict else folded(answer) == folded(example.answer)
        return float(same)
