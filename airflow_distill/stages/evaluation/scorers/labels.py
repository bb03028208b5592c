"""Labels: is the class right, item by item (accuracy) and class by class (macro-F1).

A label is the whole answer, or what a pattern's first group finds in it, without case and surrounding marks. An answer
that is none of the known labels is wrong; nothing is guessed from words inside a sentence.

Accuracy is a mean over items. Macro-F1 is a figure of the whole set: every class counts the same. A class with fewer
than `min_support` held-out items is left out of the average, because its F1 is noise and an interval over it would be a
pretence (docs/decisions/intervals.md); what is predicted for its items still counts against the other classes. When the
classes that can be measured hold less than `min_coverage` of the items, there is no macro-F1 at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.evaluation.scorers.normalise import bare

NO_LABEL = ""


def read_label(text: str, labels: tuple[str, ...], pattern: str) -> str:
    """Return the label an answer gives, folded; empty when it gives none of the known ones."""
    if pattern:
        found = re.search(pattern, text)
        if not found:
            return NO_LABEL
        text = found.group(1) if found.re.groups else found.group(0)
    label = bare(text)
    return label if not labels or label in {bare(known) for known in labels} else NO_LABEL


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

    name: str = "label_accuracy"
    labels: tuple[str, ...] = ()
    pattern: str = ""

    def __post_init__(self) -> None:
        check_pattern(self.pattern)
        object.__setattr__(self, "labels", tuple(self.labels))

    @property
    def needs_reference(self) -> bool:
        return True

    def score(self, answer: str, example: Example) -> float | None:
        if example.answer is None:
            return None
        wanted = read_label(example.answer, self.labels, self.pattern)
        return float(wanted != NO_LABEL and read_label(answer, self.labels, self.pattern) == wanted)


@dataclass(frozen=True, slots=True)
class MacroF1:
    """The mean of the classes' F1 over classes with enough held-out items, if these are nearly all of the set."""

    name: str = "macro_f1"
    labels: tuple[str, ...] = ()
    pattern: str = ""
    min_support: int = 5
    min_coverage: float = 0.9

    def __post_init__(self) -> None:
        check_pattern(self.pattern)
        object.__setattr__(self, "labels", tuple(self.labels))
        if self.min_support < 2 or not 0 < self.min_coverage <= 1:
            raise ConfigurationError(
                "evaluation: macro-F1 needs min_support of at least 2 and min_coverage above 0 and up to 1."
            )

    def cell(self, answer: str | None, example: Example) -> tuple[str, str]:
        wanted = read_label(example.answer or "", self.labels, self.pattern)
        said = NO_LABEL if answer is None else read_label(answer, self.labels, self.pattern)
        return wanted, said

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
