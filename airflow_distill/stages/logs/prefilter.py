r"""Finds, on raw bytes, the lines that may hold a selected record, so that the others are never decoded.

Standard library only. Takes a block of whole lines and a selection; hands on the lines worth parsing. It may let too much
through, never too little: a selected record contains certain text (its model id, its metadata value), and JSON can write a
character of that text in two ways only, as itself or as an escape. So a line is let through when it holds the needed
text, or when it holds any escape of one of the characters of that text. Text with characters that JSON must or often does
escape (quotes, controls, `/`) is cut to its longest run without them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from airflow_distill.stages.logs.metadata import BaseFilter, MetadataFilter
from airflow_distill.stages.logs.models import aliases
from airflow_distill.stages.logs.selection import Selection

_PLAIN_RUN = re.compile(r"[A-Za-z0-9 ._:=+$@#,-]+")
MIN_NEEDLE = 3
"""Shorter text occurs in nearly every line; looking for it costs more than it saves."""

FEW_HITS = 64
"""So few lines of a block are cheaper parsed than compared with the other clauses' counts."""

Clause = frozenset[bytes]
"""Needles of which every selected line holds at least one."""


@dataclass(frozen=True, slots=True)
class Prefilter:
    """Clauses that every selected line satisfies, and the escapes that could hide them.

    Without clauses every line is let through.
    """

    clauses: tuple[Clause, ...]
    escapes: re.Pattern[bytes] | None

    @property
    def is_open(self) -> bool:
        """Whether every line has to be parsed anyway."""
        return not self.clauses

    def may_match(self, line: bytes) -> bool:
        """Say whether one line may hold a selected record."""
        if all(any(needle in line for needle in clause) for clause in self.clauses):
            return True
        return b"\\u00" in line and self.escapes is not None and self.escapes.search(line) is not None

    def iter_candidates(self, block: bytes) -> Iterator[bytes]:
        """Yield the lines of a block that may match, in order. The block is whole lines, ending in a newline."""
        spans = self._spans(block)
        if b"\\u00" in block and self.escapes is not None:
            spans = sorted({*spans, *_line_spans(block, (m.start() for m in self.escapes.finditer(block)))})
        for start, end in spans:
            yield block[start:end]

    def _spans(self, block: bytes) -> list[tuple[int, int]]:
        """Return the spans of the lines that satisfy every clause, walking along the rarest one only."""
        driver = self._rarest(block)
        if driver is None:
            return []
        others = [clause for clause in self.clauses if clause is not driver]
        found = [list(_needle_spans(block, needle)) for needle in driver]
        spans = found[0] if len(found) == 1 else sorted({span for spans in found for span in spans})
        if not others:
            return spans
        find = block.find
        return [
            (start, end)
            for start, end in spans
            if all(any(find(needle, start, end) >= 0 for needle in clause) for clause in others)
        ]

    def _rarest(self, block: bytes) -> Clause | None:
        """Return the clause with the fewest hits; None when some clause has none. Few hits are few enough."""
        best, fewest = None, -1
        for clause in self.clauses:
            hits = sum(map(block.count, clause))
            if not hits:
                return None
            if best is None or hits < fewest:
                best, fewest = clause, hits
            if fewest <= FEW_HITS:
                break
        return best


def _needle_spans(block: bytes, needle: bytes) -> Iterator[tuple[int, int]]:
    find, rfind = block.find, block.rfind
    at = find(needle)
    while at >= 0:
        start = rfind(b"\n", 0, at) + 1
        end = find(b"\n", at)
        if end < 0:
            end = len(block)
        yield start, end
        at = find(needle, end)


def _line_spans(block: bytes, positions: Iterable[int]) -> Iterator[tuple[int, int]]:
    end = -1
    for at in positions:
        if at < end:
            continue
        start = block.rfind(b"\n", 0, at) + 1
        end = block.find(b"\n", at)
        if end < 0:
            end = len(block)
        yield start, end


def build_prefilter(selection: Selection) -> Prefilter:
    """Return the prefilter of a selection; it is open when the selection needs no text of its own."""
    clauses: list[Clause] = []
    if selection.metadata is not None:
        clauses.extend(_metadata_clauses(selection.metadata))
    if selection.model:
        clauses.append(_needles(aliases(selection.base_model, selection.mapping)))
    if selection.identity and "[" not in selection.identity:
        clauses.append(_needles({max(re.split(r"[*?]", selection.identity), key=len)}))
    useful = tuple(dict.fromkeys(clause for clause in clauses if clause))
    characters = {character for clause in useful for needle in clause for character in needle.decode("ascii")}
    return Prefilter(useful, _escapes(characters) if characters else None)


def _metadata_clauses(wanted: MetadataFilter) -> list[Clause]:
    bases = [_base_needle(base) for base in wanted.filters]
    if wanted.operator == "orAll":
        return [frozenset(needle for needle in bases if needle)] if all(bases) else []
    return [frozenset({needle}) for needle in bases if needle]


def _base_needle(base: BaseFilter) -> bytes | None:
    """Return the longest text a record must hold to pass: a value it equals, or a key (which must be there)."""
    texts = [text for c in base.conditions for text in ((c.key,) if c.negated else (c.value, c.key))]
    needles = [needle for text in texts if (needle := _needle(text))]
    return max(needles, key=len, default=None)


def _needles(texts: Iterable[str]) -> Clause:
    """Return one needle for each alternative, or nothing when an alternative has none."""
    needles = [_needle(text) for text in texts]
    return frozenset(needle for needle in needles if needle) if all(needles) else frozenset()


def _needle(text: str) -> bytes | None:
    run = max(_PLAIN_RUN.findall(text), key=len, default="")
    return run.encode("ascii") if len(run) >= MIN_NEEDLE else None


def _escapes(characters: set[str]) -> re.Pattern[bytes]:
    """Return a pattern for the JSON escapes of these ASCII characters, in either case of hex digits."""
    codes = "|".join(sorted(f"{ord(character):02x}" for character in characters))
    return re.compile(rb"\\u00(?:" + codes.encode("ascii") + rb")", re.IGNORECASE)
