"""Exact match: the answer says what the reference says, letter case and spacing aside.

Case counts where the references show that it does: when two of them differ in nothing else (`US` and `us`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import ClassVar

from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.evaluation.scorers.normalise import folded, unicode_form


@dataclass(frozen=True, slots=True)
class ExactMatch:
    """1 when both texts are equal after folding; with `strict`, when they are equal to the character."""

    version: ClassVar[int] = 2
    name: str = "exact"
    strict: bool = False
    _cased: frozenset[str] = field(init=False, repr=False, compare=False, default=frozenset())

    @property
    def needs_reference(self) -> bool:
        return True

    def score(self, answer: str, example: Example) -> float | None:
        if example.answer is None:
            return None
        return float(self._same(answer, example.answer))

    def over(self, references: Iterable[str]) -> ExactMatch:
        """Return this scorer with the texts in which case tells two references apart."""
        spellings = Counter(map(folded, {unicode_form(reference) for reference in references}))
        fitted = replace(self)
        object.__setattr__(fitted, "_cased", frozenset(text for text, n in spellings.items() if n > 1))
        return fitted

    def _same(self, answer: str, reference: str) -> bool:
        if self.strict:
            return answer == reference
        if folded(answer) != folded(reference):
            return False
        return folded(reference) not in self._cased or unicode_form(answer) == unicode_form(reference)
