"""What must not be learnt: secrets and personal identifiers become placeholders.

Takes an `Example` or an `Interaction`, hands on one whose system text, turns, answer and metadata hold `[EMAIL_1]` instead
of an address. Numbers count per kind within one of them, in order of appearance, so prompt and answer keep speaking of the
same thing. What is redacted already stays as it is and counts nothing. A detector is any function from a text to
`Span`s: the one of `known_secrets`, and by import path those that users add. Standard library only.

A text with thousands of things to hide is a list of them, or was made to keep us busy; it is hidden whole, as `[TEXT_1]`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.code_paths import DETECTOR, load_function
from airflow_distill.stages.dataset.known_secrets import KINDS, Detector, Span, find_known
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.logs.records import Interaction, Turn

__all__ = [
    "Detector",
    "Redaction",
    "Span",
    "find_known",
    "load_detector",
    "load_detectors",
    "redact",
    "redact_interaction",
]


MOST_FINDINGS = 10_000
"""Things to hide in one example or interaction; a text that holds more than are left of them is hidden whole."""
WHOLE_TEXT = "TEXT"
"""The kind of the placeholder that stands for a whole text."""


def load_detector(path: str) -> Detector:
    """Return the detector an import path names, written `package.module:function`.

    :raises ConfigurationError: there is no such function, or it is no function of a text.
    """
    return load_function(path, DETECTOR, "dataset: the detector")


@dataclass(frozen=True, slots=True)
class Redaction:
    """How interactions are redacted: the built-in kinds and, by import path, more detectors. Picklable.

    The harvest hands in what it keeps before it is written anywhere.
    """

    detectors: tuple[str, ...] = ()

    def to_json(self) -> list[str]:
        """Return what tells one redaction from another."""
        return ["known", *self.detectors]

    def finds_nothing(self, texts: Iterable[str]) -> bool:
        """Say whether none of these texts holds anything to redact; quicker than redacting."""
        detectors = load_detectors(self.detectors)
        return not any(_detect(detectors, text) for text in texts)

    def __call__(self, interaction: Interaction) -> Interaction:
        """Return the interaction redacted, with the counts of what it held."""
        return redact_interaction(interaction, load_detectors(self.detectors))


@lru_cache(maxsize=8)
def load_detectors(paths: tuple[str, ...]) -> tuple[Detector, ...]:
    """Return the built-in detector and those that import paths name.

    :raises ConfigurationError: one cannot be imported.
    """
    return (find_known, *(load_detector(path) for path in paths))


def redact(example: Example, detectors: Sequence[Detector] = (find_known,)) -> tuple[Example, Counter[str]]:
    """Return the example with its secrets replaced, and how many distinct ones of each kind there were."""
    names = _Placeholders(detectors, _texts_of(example))
    fields = _hide_in(example, names)
    return (replace(example, **fields) if names.counts else example), names.counts


def redact_interaction(
    interaction: Interaction, detectors: Sequence[Detector] = (find_known,)
) -> Interaction:
    """Return the interaction with its secrets replaced; `redacted` counts what is in its texts and metadata.

    The caller's ARN is redacted too, since it often ends in an address; it is no part of an example, so it counts nothing.
    """
    names = _Placeholders(detectors, _texts_of(interaction))
    fields = _hide_in(interaction, names)
    counts = Counter(dict(interaction.redacted)) + names.counts
    fields["identity"] = names.hide(interaction.identity)
    if all(fields[name] == getattr(interaction, name) for name in fields):
        return interaction
    return replace(interaction, **fields, redacted=tuple(sorted(counts.items())))


def _texts_of(item: Example | Interaction) -> list[str]:
    texts = [item.system or "", *(turn.text for turn in item.turns), item.answer or ""]
    return [*texts, *(text for pair in item.metadata for text in pair)]


def _hide_in(item: Example | Interaction, names: _Placeholders) -> dict[str, Any]:
    """Return the fields whose texts speak of the same things, redacted."""
    return {
        "system": names.hide(item.system) if item.system else item.system,
        "turns": tuple(Turn(turn.role, names.hide(turn.text)) for turn in item.turns),
        "answer": names.hide(item.answer) if item.answer else item.answer,
        "metadata": tuple((names.hide(key), names.hide(value)) for key, value in item.metadata),
    }


@lru_cache(maxsize=2000)
def _detect(detectors: tuple[Detector, ...], text: str) -> tuple[Span, ...]:
    """Return what detectors find, up to one more than may be; a workload's system texts and metadata come again and again.

    :raises ConfigurationError: a detector fails. Its own message may quote the text, so only its class is told.
    """
    try:
        spans = (span for detector in detectors for span in detector(text))
        return tuple(islice(spans, MOST_FINDINGS + 1))
    except Exception as error:
        raise ConfigurationError(
            f"dataset: a detector failed ({type(error).__name__}).",
            hint="Try the detectors on texts of your own; what they say may hold prompts and is left out here.",
        ) from None


_PLACEHOLDER = re.compile(r"\[([^\[\]\s]{1,40})_(\d{1,6})\]")
_ROUNDS = 8
_LONG = 100_000
_ROUNDS_OF_LONG = 3
"""The rounds of a text of more than `_LONG` characters, each of which takes its time."""


class _Placeholders:
    """The placeholders of one example: equal values share one, numbers follow the order of appearance.

    A placeholder that stands there already is no secret, and its number is not given again. Hiding one thing can bring
    another to light, so a text is looked at until nothing more is found; hence what was redacted once stays as it is. A
    text in which there is no end to it is hidden whole.
    """

    def __init__(self, detectors: Sequence[Detector], texts: Iterable[str]) -> None:
        self.counts: Counter[str] = Counter()
        self._detectors = tuple(detectors)
        self._names: dict[tuple[str, str], str] = {}
        self._last: Counter[str] = Counter()
        self._left = MOST_FINDINGS
        for text in texts:
            for match in _PLACEHOLDER.finditer(text) if "[" in text else ():
                self._last[match[1]] = max(self._last[match[1]], int(match[2]))

    def hide(self, text: str) -> str:
        """Return the text with its secrets replaced, or a placeholder for all of it where they are too many."""
        whole = text
        for _ in range(_ROUNDS if len(text) <= _LONG else _ROUNDS_OF_LONG):
            found = _detect(self._detectors, text)
            if len(found) > MOST_FINDINGS:
                break
            spans = self._spans(text, found)
            if not spans:
                return text
            self._left -= len(spans)
            if self._left < 0:
                break
            text = self._replace(text, spans)
        return self._name(WHOLE_TEXT, whole)

    def _spans(self, text: str, found: Iterable[Span]) -> list[Span]:
        """Return what is to be hidden of what was found, in order."""
        spans = _apart(found)
        if spans and "[" in text:
            kinds = KINDS.union(span.kind for span in spans)
            held = [match.span() for match in _PLACEHOLDER.finditer(text) if match[1] in kinds]
            spans = list(_beside(spans, held))
        return spans

    def _replace(self, text: str, spans: Sequence[Span]) -> str:
        parts = []
        end = 0
        for span in spans:
            quote = _missing_quote(text, span)
            parts.append(text[end : span.start])
            parts.append(f"{quote}{self._name(span.kind, text[span.start : span.end])}{quote}")
            end = span.end
        parts.append(text[end:])
        return "".join(parts)

    def _name(self, kind: str, value: str) -> str:
        name = self._names.get((kind, value))
        if name is None:
            self.counts[kind] += 1
            self._last[kind] += 1
            name = self._names[kind, value] = f"[{kind}_{self._last[kind]}]"
        return name


_KEY_BEFORE = re.compile(r"(\\{0,8}\")\s{0,8}:\s{0,8}\Z")
_ITEM_BEFORE = re.compile(r"[\[,]\s{0,8}\Z")
_VALUE_AFTER = re.compile(r"\s{0,8}[,}\]]")
_JSON_NUMBER = re.compile(r"-?[0-9.]+")


def _missing_quote(text: str, span: Span) -> str:
    """Return what to write around a placeholder that takes the place of a bare number of JSON, which would break it.

    The quotation mark is escaped as that of the key before it is; elsewhere nothing is to be written.
    """
    if not _JSON_NUMBER.fullmatch(text, span.start, span.end) or not _VALUE_AFTER.match(text, span.end):
        return ""
    before = text[max(0, span.start - 32) : span.start]
    key = _KEY_BEFORE.search(before)
    if key:
        return key[1]
    return '"' if _ITEM_BEFORE.search(before) and text.lstrip()[:1] in ("{", "[") else ""


def _beside(found: Iterable[Span], held: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """Yield the spans that are no part of a placeholder; both come apart from each other and in order.

    What holds more than all of a placeholder stays.
    """
    place = 0
    for span in found:
        while place < len(held) and held[place][1] <= span.start:
            place += 1
        # Only the first and the last placeholder that a span meets can hold a part of it or be all of it.
        ends = place
        while ends < len(held) and held[ends][0] < span.end:
            ends += 1
        if not any(_is_part(span, *one) for one in held[place:ends]):
            yield span
        place = max(place, ends - 1)


def _is_part(span: Span, start: int, end: int) -> bool:
    """Say whether a span meets a placeholder without holding more than all of it."""
    return span.start > start or span.end < end or (span.start, span.end) == (start, end)


def _apart(spans: Iterable[Span]) -> list[Span]:
    """Order spans; of one that begins inside an earlier or longer one, only what lies beyond it is left."""
    out: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        start = max(span.start, out[-1].end) if out else span.start
        if start < span.end:
            out.append(Span(start, span.end, span.kind))
    return out
