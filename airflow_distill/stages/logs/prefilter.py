r"""Finds, on raw bytes, the lines that may hold a selected record, so that the others are never decoded.

Standard library only. Takes a block of whole lines and a selection; hands on the lines worth parsing. It may let too much
through, never too little: a selected record contains certain text (its model id, its metadata value), and JSON can write a
character of that text in two ways only, as itself or as an escape. So a line is let through when it holds the needed
text, or when it holds any escape of one of the characters of that text. The quotes around a string are never escaped, so
they belong to the text where it is a whole string. Text with characters that JSON must or often does escape (quotes,
controls, `/`) is cut to its longest run without them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from airflow_distill.stages.logs.metadata import BaseFilter, MetadataFilter
from airflow_distill.stages.logs.models import aliases
from airflow_distill.stages.logs.selection import Selection

_PLAIN_RUN = re.compile(r"[A-Za-z0-9 ._:=+$@#,-]+")
SHORTEST_NEEDLE = 4
"""Shorter text occurs in nearly every line; looking for it costs more than it saves."""

OPAQUE = frozenset({b":application-inference-profile", b":prompt"})
"""What ids hold that do not say which model they mean; such a record is parsed, to be counted under a reason of its own."""

SPARSE = 150
"""Bytes for one backslash from which on the pattern of escapes is quicker than a plain search."""

Clause = frozenset[bytes]
"""Needles of which every selected line holds at least one."""

Span = tuple[int, int]
"""Where a line begins and ends in its block, without its newline."""


@dataclass(frozen=True, slots=True)
class Prefilter:
    """Clauses that every selected line satisfies, the ones likely to be rare first, and the escapes that could hide them.

    Without clauses every line is let through.
    """

    clauses: tuple[Clause, ...]
    escapes: re.Pattern[bytes] | None
    few_backslashes: bool = False

    @property
    def is_open(self) -> bool:
        """Whether every line has to be parsed anyway."""
        return not self.clauses

    def may_match(self, line: bytes) -> bool:
        """Say whether one line may hold a selected record; the plain meaning of `spans`."""
        if all(any(needle in line for needle in clause) for clause in self.clauses):
            return True
        return self.escapes is not None and self.escapes.search(line) is not None

    def spans(self, block: bytes, end: int) -> list[Span]:
        """Return the lines of a block that may match, in order.

        The rarest clause leads: its needles are searched through the block, the other clauses only within the lines found.
        """
        leader, *others = self.clauses
        found = [list(_needle_spans(block, needle, end)) for needle in leader]
        spans = found[0] if len(found) == 1 else sorted({span for spans in found for span in spans})
        if others and spans:
            find = block.find
            spans = [
                (start, stop)
                for start, stop in spans
                if all(any(find(needle, start, stop) >= 0 for needle in clause) for clause in others)
            ]
        if self.escapes is None:
            return spans
        if self.few_backslashes or block.find(b"\\u00", 0, end) >= 0:
            escaped = set(_line_spans(block, (m.start() for m in self.escapes.finditer(block, 0, end))))
            if escaped:
                return sorted(escaped.union(spans))
        return spans

    def tuned(self, block: bytes, end: int) -> Prefilter:
        """Return a prefilter that lets the same lines through, and quickest if other blocks are like this one.

        The pattern of escapes stops at every backslash, which is quick where they are rare; elsewhere a plain search
        comes first.
        """
        hits = {clause: sum(block.count(needle, 0, end) for needle in clause) for clause in self.clauses}
        clauses = tuple(sorted(self.clauses, key=lambda clause: hits[clause]))
        few = block.count(b"\\", 0, end) * SPARSE < end
        return Prefilter(clauses, self.escapes, few)


def _needle_spans(block: bytes, needle: bytes, end: int) -> Iterator[Span]:
    find, rfind = block.find, block.rfind
    at = find(needle, 0, end)
    while at >= 0:
        stop = find(b"\n", at, end)
        yield rfind(b"\n", 0, at) + 1, stop
        at = find(needle, stop, end)


def _line_spans(block: bytes, positions: Iterable[int]) -> Iterator[Span]:
    stop = -1
    for at in positions:
        if at > stop:
            stop = block.find(b"\n", at)
            yield block.rfind(b"\n", 0, at) + 1, stop


def build_prefilter(selection: Selection) -> Prefilter:
    """Return the prefilter of a selection; it is open when the selection needs no text of its own."""
    clauses: list[Clause] = []
    if selection.metadata is not None:
        clauses.extend(_metadata_clauses(selection.metadata))
    if selection.model:
        names = aliases(selection.base_model, selection.mapping)
        found = _clause(_needle(name, closed=True) for name in names)
        clauses.append(found and found.union(OPAQUE))
    if selection.identity and "[" not in selection.identity:
        clauses.append(_clause([_needle(max(re.split(r"[*?]", selection.identity), key=len))]))
    useful = tuple(dict.fromkeys(clause for clause in clauses if clause))
    characters = {character for clause in useful for needle in clause for character in needle.decode("ascii")}
    return Prefilter(useful, _escapes(characters - {'"'}) if useful else None)


def _metadata_clauses(wanted: MetadataFilter) -> list[Clause]:
    bases = [_base_needle(base) for base in wanted.filters]
    if wanted.operator == "orAll":
        return [_clause(bases)]
    return [frozenset({needle}) for needle in bases if needle]


def _base_needle(base: BaseFilter) -> bytes | None:
    """Return text a record must hold to pass: a value it equals or, failing that, a key, which must be there."""
    texts = [c.value for c in base.conditions if not c.negated] + [c.key for c in base.conditions]
    needles = (_needle(text, opened=True, closed=True) for text in texts)
    return next((needle for needle in needles if needle), None)


def _clause(needles: Iterable[bytes | None]) -> Clause:
    """Return the clause of alternatives, or an empty one when some alternative has no needle."""
    found = list(needles)
    return frozenset(needle for needle in found if needle) if all(found) else frozenset()


def _needle(text: str, *, opened: bool = False, closed: bool = False) -> bytes | None:
    """Return the longest part of a text that is surely written as it is, or None when there is none to speak of.

    :param opened: the text is known to begin its JSON string; the quotes around a string are never escaped.
    :param closed: the text is known to end its JSON string.
    """
    run = max(_PLAIN_RUN.findall(text), key=len, default="")
    before = '"' if opened and run and text.startswith(run) else ""
    after = '"' if closed and run and text.endswith(run) and (run == text or not before) else ""
    needle = f"{before}{run}{after}".encode("ascii")
    return needle if len(needle) >= SHORTEST_NEEDLE else None


def _escapes(characters: set[str]) -> re.Pattern[bytes]:
    """Return a pattern for the JSON escapes of these ASCII characters, in either case of hex digits."""
    codes = "|".join(sorted(f"{ord(character):02x}" for character in characters))
    # Written as a class, the `u` keeps the regular expression engine on its quick search for a single byte.
    return re.compile(rb"\\[uU]00(?:" + codes.encode("ascii") + rb")", re.IGNORECASE)
