"""Token F1: how many tokens the answer and the reference share, order aside; `normalise.words` says what a token is.

`char_f1` is the same over runs of `n` characters, for texts whose words run together or are inflected; its name on the
scorecard says so (`char_3gram_f1`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.evaluation.scorers.normalise import folded, words


def token_f1(left: str, right: str) -> float:
    """Return the harmonic mean of precision and recall over the two texts' words; symmetric, 1 for equal texts.

    >>> token_f1("The card has arrived.", "the card arrived")
    0.8571428571428571
    """
    a, b = Counter(words(left)), Counter(words(right))
    return _overlap(a, b) if a or b else float(folded(left) == folded(right))


@dataclass(frozen=True, slots=True)
class TokenF1:
    """Word overlap with the reference."""

    version: ClassVar[int] = 2
    name: str = "token_f1"

    @property
    def needs_reference(self) -> bool:
        return True

    def score(self, answer: str, example: Example) -> float | None:
        return None if example.answer is None else token_f1(answer, example.answer)


@dataclass(frozen=True, slots=True)
class CharF1:
    """Overlap of runs of `n` characters with the reference, spaces left out."""

    version: ClassVar[int] = 1
    name: str = ""
    n: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.n <= 8:
            raise ConfigurationError("evaluation: char_f1 needs `n` from 1 to 8 characters.")
        if not self.name:
            object.__setattr__(self, "name", f"char_{self.n}gram_f1")

    @property
    def needs_reference(self) -> bool:
        return True

    def score(self, answer: str, example: Example) -> float | None:
        return None if example.answer is None else _overlap(self._runs(answer), self._runs(example.answer))

    def _runs(self, text: str) -> Counter[str]:
        """Count the runs; a text shorter than `n` is one run."""
        joined = folded(text).replace(" ", "")
        return Counter(
            joined[i : i + self.n] for i in range(max(len(joined) - self.n + 1, min(len(joined), 1)))
        )


def _overlap(a: Counter[str], b: Counter[str]) -> float:
    total = a.total() + b.total()
    return 2 * (a & b).total() / total if total else 1.0
