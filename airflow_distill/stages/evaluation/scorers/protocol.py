"""What a scorer is: two small protocols, one judging an answer, one measuring the whole set.

Every score runs from 0 (worst) to 1 (best). A scorer sees answers that came; an answer with an error is 0 before any
scorer is asked. Scorers are frozen records of their own settings, so that a scorecard can say how it was made. The class
attribute `version` (1 when absent) is raised whenever the same answer may get another score, so that digests differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from airflow_distill.stages.dataset.records import Example


@runtime_checkable
class ItemScorer(Protocol):
    """Judges one answer to one example."""

    @property
    def name(self) -> str:
        """The metric's name on the scorecard."""
        ...

    @property
    def needs_reference(self) -> bool:
        """Whether an example without an answer cannot be judged."""
        ...

    def score(self, answer: str, example: Example) -> float | None:
        """Return 0 to 1, or None when no honest score can be given."""
        ...


@runtime_checkable
class CorpusScorer(Protocol):
    """Measures a whole set at once; what one answer adds is a cell, such as (true label, said label)."""

    @property
    def name(self) -> str:
        """The metric's name on the scorecard."""
        ...

    def cell(self, answer: str | None, example: Example) -> tuple[str, str]:
        """Return what one answer adds; None stands for an answer that never came."""
        ...

    def frame(self, references: Mapping[str, int]) -> tuple[str, ...]:
        """Return which classes are measured, given how many items have each as their reference."""
        ...

    def measure(self, cells: Mapping[tuple[str, str], float], frame: tuple[str, ...]) -> float:
        """Return the metric of the set, 0 to 1."""
        ...


@runtime_checkable
class FittedToSet(Protocol):
    """A scorer that must know all references of the set before it judges one answer."""

    def over(self, references: Iterable[str]) -> Scorer:
        """Return the scorer for a set with these references."""
        ...


Scorer = ItemScorer | CorpusScorer

Settings = Mapping[str, Any]
