"""The contamination ledger: what has ever judged a student is never taught, and what was taught never judges.

A fingerprint is the exact key of a prompt and its sketch, without any text. One file holds the fingerprints of one
side of one dataset (`fingerprints/heldout/<dataset id>.bin`, `fingerprints/train/<dataset id>.bin`). Files are read
as streams, so years of them fit through little memory: the new candidates are indexed, the ledger passes by.

Layout, little endian: `ADFP2`, a 4-byte header length, the header as JSON (`template` is a count), the template's
hashes, then for each prompt a 16-byte key, the sketch's size (u16), its horizon (u64) and its values (u32 each). Files of
version 1 (`ADFP1`) have the same layout; their keys and hashes are of bare words (`words.bare_words`), and who compares
with them makes fingerprints of that kind.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import BinaryIO

from airflow_distill.errors import StateError
from airflow_distill.stages.dataset.dedupe import TOP, NearIndex, Sketch, hash_frequency
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.dataset.split import prompt_key
from airflow_distill.stages.dataset.words import bare_words, exact_form, folded_words
from airflow_distill.stages.digest import canonical_json, sha256_hex

MAGIC = b"ADFP2"
VERSIONS = {b"ADFP1": 1, MAGIC: 2}
VERSION = 2
_ENTRY = struct.Struct("<16sHQ")
_MIXED_TEMPLATES = 0.8


def exact_key(example: Example) -> bytes:
    """Return 16 bytes that are equal for prompts that ask the same words, whatever their system prompt.

    Unicode form, case and white space do not count; see `words.exact_form`.
    """
    turns = "\0".join(f"{turn.role}:{exact_form(turn.text)}" for turn in example.turns)
    return bytes.fromhex(sha256_hex(turns.encode("utf-8", "surrogatepass"))[:32])


@dataclass(frozen=True, slots=True)
class Folding:
    """How the fingerprints of one version are made of an example."""

    words_of: Callable[[str], list[str]]
    key_of: Callable[[Example], bytes]


FOLDINGS = {
    1: Folding(bare_words, lambda example: bytes.fromhex(prompt_key(example)[:32])),
    VERSION: Folding(folded_words, exact_key),
}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One prompt without its text: the key of equal prompts and the sketch of near ones."""

    key: bytes
    sketch: Sketch


def encode_fingerprints(
    dataset_id: str, side: str, template: Set[int], fingerprints: Iterable[Fingerprint]
) -> bytes:
    """Return the bytes of one ledger file; equal input gives equal bytes, so writing it twice changes nothing."""
    header = canonical_json({"v": VERSION, "dataset_id": dataset_id, "side": side, "template": len(template)})
    parts = [MAGIC, struct.pack("<I", len(header)), header, _pack(array("I", sorted(template)))]
    for item in fingerprints:
        parts.append(_ENTRY.pack(item.key, len(item.sketch.values), item.sketch.horizon))
        parts.append(_pack(item.sketch.values))
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class LedgerFile:
    """An opened ledger file: its header, its template and the fingerprints still to be read.

    `version` says how its fingerprints were made; only equal versions compare.
    """

    dataset_id: str
    side: str
    template: frozenset[int]
    fingerprints: Iterator[Fingerprint]
    version: int = VERSION


def open_fingerprints(stream: BinaryIO, name: str = "") -> LedgerFile:
    """Read a ledger file's head; its fingerprints come one at a time.

    :param name: what to call the file in an error.
    :raises StateError: the file is damaged; it is never taken for an empty one.
    """
    version = VERSIONS.get(_exactly(stream, len(MAGIC), name))
    if version is None:
        raise StateError(f"dataset: {name or 'a ledger file'} is not a file of fingerprints.", hint=_HINT)
    (length,) = struct.unpack("<I", _exactly(stream, 4, name))
    try:
        header = json.loads(_exactly(stream, length, name))
        count = int(header["template"])
        dataset_id, side = str(header["dataset_id"]), str(header["side"])
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"dataset: the header of {name or 'a ledger file'} is damaged.", hint=_HINT
        ) from error
    template = frozenset(_unpack(_exactly(stream, 4 * count, name)))
    return LedgerFile(dataset_id, side, template, _iter_entries(stream, name), version)


_HINT = (
    "Restore the object from a backup or an earlier version; without it nobody knows what judged a release."
)


def _iter_entries(stream: BinaryIO, name: str) -> Iterator[Fingerprint]:
    while True:
        head = stream.read(_ENTRY.size)
        if not head:
            return
        head += _exactly(stream, _ENTRY.size - len(head), name)
        key, size, horizon = _ENTRY.unpack(head)
        if horizon > TOP:
            raise StateError(f"dataset: an entry of {name or 'a ledger file'} is damaged.", hint=_HINT)
        yield Fingerprint(key, Sketch(_unpack(_exactly(stream, 4 * size, name)), horizon))


def _exactly(stream: BinaryIO, size: int, name: str) -> bytes:
    parts = []
    while size > 0:
        part = stream.read(size)
        if not part:
            raise StateError(f"dataset: {name or 'a ledger file'} ends too early.", hint=_HINT)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _pack(values: array[int]) -> bytes:
    if sys.byteorder == "big":
        values = array("I", values)
        values.byteswap()
    return values.tobytes()


def _unpack(data: bytes) -> array[int]:
    values = array("I")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


class Candidates:
    """New prompts that can be told whether a passing fingerprint equals one of them or is near to one.

    :param fingerprints: of the candidates, made with `template`.
    :param threshold: least similarity of near prompts.
    """

    def __init__(
        self, fingerprints: Sequence[Fingerprint], threshold: float, template: Set[int] = frozenset()
    ) -> None:
        self._all = fingerprints
        self._threshold = threshold
        self._template = frozenset(template)
        self._by_key: dict[bytes, list[int]] = {}
        for number, item in enumerate(fingerprints):
            self._by_key.setdefault(item.key, []).append(number)

    def touched(self, others: Iterable[Fingerprint], template: Set[int] | None = None) -> set[int]:
        """Return the positions of the candidates that equal or are near to any of the others.

        :param template: what the others' sketches leave out; the candidates' own when not given.
        """
        theirs = self._template if template is None else frozenset(template)
        both = self._template | theirs
        mixed = theirs != self._template
        index = self._index(both, mixed=mixed)
        hit: set[int] = set()
        for other in others:
            hit.update(self._by_key.get(other.key, ()))
            sketch = without(other.sketch, both) if mixed else other.sketch
            if sketch.values:
                hit.update(index.near(sketch))
        return hit

    def _index(self, template: Set[int], *, mixed: bool) -> NearIndex:
        sketches = [without(item.sketch, template) if mixed else item.sketch for item in self._all]
        index = NearIndex(self._threshold, hash_frequency(sketches), slack=_MIXED_TEMPLATES if mixed else 1.0)
        for sketch in sketches:
            index.add(sketch)
        return index


def without(sketch: Sketch, template: Set[int]) -> Sketch:
    """Return the sketch with a template's hashes left out; it stays complete up to its horizon."""
    return Sketch(array("I", [value for value in sketch.values if value not in template]), sketch.horizon)
