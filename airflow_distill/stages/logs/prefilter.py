r"""Finds, on raw bytes, the lines that may hold a selected record, so that the others are never decoded.

Standard library only. Takes a block of whole lines and a selection; hands on the lines worth parsing. It may let too much
through, never too little: a selected record contains certain text (its model id, its metadata value), and JSON can write a
character of that text in two ways only, as itself or as an escape. The quotes around a string are never escaped, so they
belong to the text where it is a whole string. Text with characters that JSON must or often does escape (quotes, controls,
`/`) is cut to its longest run without them.

Where a line is written as Bedrock writes it, with the field before the bodies and without an escape, the text is looked for
in that field alone, which is a hundredth of the line. Elsewhere a line is let through when it holds the needed text
anywhere, or any escape of one of its characters. Each line is judged by itself, so that neither blocks nor the order of the
fields, which the first block decides, change which lines are let through. A record that names a field twice before its
bodies, which the service never writes, is judged by both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from airflow_distill.stages.logs.metadata import BaseFilter, MetadataFilter
from airflow_distill.stages.logs.models import aliases
from airflow_distill.stages.logs.selection import Selection

_PLAIN_RUN = re.compile(r"[A-Za-z0-9 ._:=+$@#,-]+")
SHORTEST_NEEDLE = 4
"""Shorter text occurs in nearly every line; looking for it costs more than it saves."""

OPAQUE = frozenset({b":application-inference-profile", b":prompt"})
"""What ids hold that do not say which model they mean; such a record is parsed, to be counted under a reason of its own."""

Clause = frozenset[bytes]
"""Needles of which every selected line holds at least one."""

Span = tuple[int, int]
"""Where a line begins and ends in its block, without its newline."""


_BODY = b'put":{'
"""What opens the input or the output of a record; what stands in those is a stranger's."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the record and the clauses that it satisfies in every selected line.

    :param opening: how it begins as the service writes it; empty for one that is looked for in the whole line.
    :param closing: how it ends, when nothing in it is escaped.
    """

    opening: bytes
    closing: bytes
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Prefilter:
    """What every selected line satisfies, and the escapes that could hide it. Without fields every line is let through."""

    fields: tuple[Field, ...]
    escapes: re.Pattern[bytes] | None

    @property
    def is_open(self) -> bool:
        """Whether every line has to be parsed anyway."""
        return not self.fields

    def may_match(self, line: bytes) -> bool:
        """Say whether one line may hold a selected record."""
        return bool(self.spans(line + b"\n", len(line) + 1)[0])

    def spans(self, block: bytes, end: int) -> tuple[list[Span], int]:
        """Return the lines of a block that may match, in order, and how many lines it has."""
        find = block.find
        fields = [(f, f.opening, len(f.opening), f.closing, f.clauses) for f in self.fields]
        found: list[Span] = []
        lines = start = 0
        while start < end:
            stop = find(b"\n", start, end)
            lines += 1
            for field, opening, size, closing, clauses in fields:
                at = find(opening, start, stop) if size else -1
                if at >= 0:
                    close = find(closing, at + size, stop) + 1
                    for clause in clauses:
                        for needle in clause:
                            if find(needle, at + size, close) >= 0:
                                break
                        else:
                            break
                    else:
                        continue
                    # It is not there. An odd number of quotes: the field did not end there, but in the middle of a text.
                    if (
                        close
                        and find(_BODY, start, at) < 0
                        and find(b"\\", at, close) < 0
                        and (closing == b'"' or not block.count(b'"', at + size, close) & 1)
                    ):
                        break
                if not self._anywhere(field, block, start, stop):
                    break
            else:
                found.append((start, stop))
            start = stop + 1
        return found, lines

    def tuned(self, block: bytes, end: int) -> Prefilter:
        """Return a prefilter that lets the same lines through, and quickest if other blocks are like this one.

        The field that fewest lines satisfy comes first.
        """
        passing = {
            field: len(Prefilter((field,), self.escapes).spans(block, end)[0]) for field in self.fields
        }
        return Prefilter(tuple(sorted(self.fields, key=lambda field: passing[field])), self.escapes)

    def _anywhere(self, field: Field, block: bytes, start: int, stop: int) -> bool:
        """Say whether a line holds what a field needs, wherever, or an escape that could be a part of it."""
        find = block.find
        if all(any(find(needle, start, stop) >= 0 for needle in clause) for clause in field.clauses):
            return True
        return self.escapes is not None and self.escapes.search(block, start, stop) is not None


def build_prefilter(selection: Selection) -> Prefilter:
    """Return the prefilter of a selection; it is open when the selection needs no text of its own."""
    fields: list[Field] = []
    if selection.metadata is not None:
        fields.append(Field(b'"requestMetadata":{', b"}", tuple(_metadata_clauses(selection.metadata))))
    if selection.model:
        names = aliases(selection.base_model, selection.mapping)
        found = _clause(_needle(name, closed=True) for name in names)
        fields.append(Field(b'"modelId":"', b'"', (found and found.union(OPAQUE),)))
    if selection.identity and "[" not in selection.identity:
        fields.append(
            Field(b"", b"", (_clause([_needle(max(re.split(r"[*?]", selection.identity), key=len))]),))
        )
    useful = tuple(
        Field(field.opening, field.closing, tuple(filter(None, dict.fromkeys(field.clauses))))
        for field in fields
        if any(field.clauses)
    )
    needles = {needle for field in useful for clause in field.clauses for needle in clause}
    characters = {character for needle in needles for character in needle.decode("ascii")}
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
