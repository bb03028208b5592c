"""ROUGE-L: the longest run of words, gaps allowed, that answer and reference have in common.

The arithmetic is Google's `rouge-score` library (extra `rouge`); its word cutter knows only a to z and 0 to 9, so ours is
passed in and other scripts are scored too.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.evaluation.scorers.normalise import folded, words


class _Words:
    """What `rouge-score` calls a tokenizer."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


@functools.cache
def _library() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise ConfigurationError(
            "evaluation: the scorer rouge_l needs the library rouge-score.",
            hint="Install airflow-distill[rouge].",
        ) from None
    return RougeScorer(["rougeL"], tokenizer=_Words())


@dataclass(frozen=True, slots=True)
class RougeL:
    """F-measure of ROUGE-L against the reference."""

    version: ClassVar[int] = 2
    name: str = "rouge_l"

    def __post_init__(self) -> None:
        _library()

    @property
    def needs_reference(self) -> bool:
        return True

    def score(self, answer: str, example: Example) -> float | None:
        if example.answer is None:
            return None
        if not words(answer) and not words(example.answer):
            return float(folded(answer) == folded(example.answer))
        return float(_library().score(example.answer, answer)["rougeL"].fmeasure)
