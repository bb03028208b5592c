"""Labels: is the class right, item by item (accuracy) and class by class (macro-F1).

A label is the whole answer, or what a pattern's first group finds in it; `label_text` says how it is read. An answer that
gives none of the known labels is wrong; nothing is guessed from words inside a sentence. Without `labels`, the set's
references are the labels: write `labels` where the teacher spells one label in several ways.

Accuracy is a mean over items. Macro-F1 is a figure of the whole set: every class counts the same. A class with fewer
than `min_support` held-out items is left out of the average, because its F1 is noise and an interval over it would be a
pretence (docs/decisions/intervals.md); what is predicted for its items still counts against the other classes. When the
classes that can be measured hold less than `min_coverage` of the items, there is no macro-F1 at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.evaluation.scorers.label_text import NO_LABEL, LabelSet


def label_part(text: str, pattern: str) -> str:
    """Return what the pattern finds in a text, or the whole text without one; empty when it finds nothing."""
    if not pattern:
        return text
    found = re.search(pattern, text)
    return (found.group(1 if found.re.groups else 0) or "") if found else NO_LABEL


def label_set(labels: tuple[str, ...], references: Iterable[str], pattern: str) -> LabelSet:
    """Return the labels that were given, else those of the references."""
    return LabelSet.of(labels or (label_part(reference, pattern) for reference in references))


def check_labels(labels: Iterable[Any]) -> tuple[str, ...]:
    """Return the labels; YAML reads +1, 01, .50 and yes as something else, so only text is taken."""
    if isinstance(labels, str):
        raise ConfigurationError("evaluation: `labels` is a list.", hint="labels: [refund, shipping]")
    out = tuple(labels)
    for label in out:
        if not isinstance(label, str):
            raise ConfigurationError(
                f"evaluation: the label {label!r} is not text.",
                hint="Write each label in quotes: '-1', '+1', 'yes'.",
            )
    return out


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that is not a regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigurationError(
            f"evaluation: the label pattern is not a regular expression ({error})."
        ) from None


@dataclass(frozen=True, slots=True)
class LabelAccuracy:
    """1 when the answer's label is the reference's."""

    version: ClassVar[int] = 2
    name: str = "label_accuracy"
    labels: tuple[str, ...] = ()
    pattern: str = ""
    _set: LabelSet | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        check_pattern(self.pattern)
        object.__setattr__(self, "labels", check_labels(self.labels))

    @property
    def needs_reference(self) -> bool:
        return True

    def over(self, references: Iterable[str]) -> LabelAccuracy:
        """Return this scorer with the labels of the set."""
        return _over(self, references)

    def score(self, answer: str, example: Example) -> float | None:
        if example.answer is None:
            return None
        wanted, said = _read(self, answer, example.answer)
        return float(wanted != NO_LABEL and said == wanted)


@dataclass(frozen=True, slots=True)
class MacroF1:
    """The mean of the classes' F1 over classes with enough held-out items, if these are nearly all of the set."""

    version: ClassVar[int] = 2
    name: str = "macro_f1"
    labels: tuple[str, ...] = ()
    pattern: str = ""
    min_support: int = 5
    min_coverage: float = 0.9
    _set: LabelSet | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        check_pattern(self.pattern)
        object.__setattr__(self, "labels", check_labels(self.labels))
        if self.min_support < 2 or not 0 < self.min_coverage <= 1:
            raise ConfigurationError(
                "evaluation: macro-F1 needs min_support of at least 2 and min_coverage above 0 and up to 1."
            )

    def over(self, references: Iterable[str]) -> MacroF1:
        """Return this scorer with the labels of the set."""
        return _over(self, references)

    def cell(self, answer: str | None, example: Example) -> tuple[str, str]:
        return _read(self, answer, example.answer or "")

    def frame(self, references: Mapping[str, int]) -> tuple[str, ...]:
        """Return the classes with enough items; none when the others hold too large a part of the set."""
        enough = {label: n for label, n in references.items() if label and n >= self.min_support}
        if sum(enough.values()) < self.min_coverage * sum(references.values()):
            return ()
        return tuple(sorted(enough))

    def measure(self, cells: Mapping[tuple[str, str], float], frame: tuple[str, ...]) -> float:
        wanted: dict[str, float] = dict.fromkeys(frame, 0.0)
        said: dict[str, float] = dict.fromkeys(frame, 0.0)
        right: dict[str, float] = dict.fromkeys(frame, 0.0)
        for (reference, label), count in cells.items():
            if reference in wanted:
                wanted[reference] += count
            if label in said:
                said[label] += count
            if reference == label and reference in right:
                right[reference] += count
        f1 = [2 * right[c] / (wanted[c] + said[c]) if wanted[c] + said[c] else 0.0 for c in frame]
        return sum(f1) / len(f1) if f1 else 0.0


_Labels = TypeVar("_Labels", LabelAccuracy, MacroF1)


def _over(scorer: _Labels, references: Iterable[str]) -> _Labels:
    fitted = replace(scorer)
    object.__setattr__(fitted, "_set", label_set(scorer.labels, references, scorer.pattern))
    return fitted


def _read(scorer: LabelAccuracy | MacroF1, answer: str | None, reference: str) -> tuple[str, str]:
    """Return the label of the reference and of the answer; outside a set, the reference is the only label known."""
    known = scorer._set or label_set(scorer.labels, [reference], scorer.pattern)
    wanted = known.read(label_part(reference, scorer.pattern))
    return wanted, NO_LABEL if answer is None else known.read(label_part(answer, scorer.pattern))
