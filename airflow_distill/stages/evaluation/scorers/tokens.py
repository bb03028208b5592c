"""Token F1: how many words the answer and the reference share, order aside."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.evaluation.scorers.normalise import folded, words


def token_f1(left: str, right: str) -> float:
    """Return the harmonic mean of precision and recall over the two texts' words; symmetric, 1 for equal texts.

    >>> token_f1("The card has arrived.", "the card arrived")
    0.8571428571428571
    """
    a, b = Counter(words(left)), Counter(words(right))
    total = a.total() + b.total()
    if not a and not b:
        return float(folded(left) == folded(right))
    return 2 * (a & b).total() / total


@dataclass(frozen=True, slots=True)
class TokenF1:
    """Word overlap with the reference."""

    name: str = "token_f1"

    @property
    def needs_reference(self) -> bool:
        return True

    def score(self, answer: str, example: Example) -> float | None:
        return None if example.answer is None else token_f1(answer, example.answer)
