"""Digests and canonical JSON: the one way content becomes an identifier.

Standard library only. Every id in the project (prompt, dataset, decision, release) goes through here, so that equal
content has one name whichever room computed it.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal


def canonical_json(value: Any) -> bytes:
    """Encode plain data so that equal data gives equal bytes: sorted keys, no spaces, UTF-8, NaN refused."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of the bytes as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Any, length: int = 64) -> str:
    """Return the first `length` hex digits of the SHA-256 of the canonical JSON of plain data."""
    return sha256_hex(canonical_json(value))[:length]


MOST_MARKS = 30
"""Longest run of combining marks that is kept, as the Stream-Safe Text Format of Unicode (UAX #15) has it: no
language writes more on one letter, and putting longer runs in order takes time that grows with their square."""

_LAST_MARK = 0x1E94A


def normalized(form: Literal["NFC", "NFKC"], text: str) -> str:
    """Return a Unicode normal form, in time linear in the text: runs of combining marks are cut to `MOST_MARKS`."""
    if text.isascii():
        return text
    if b"\1\1" in bytes(map(bool, map(unicodedata.combining, text[:: MOST_MARKS // 2]))):
        # Only a longer run holds two neighbours of that sample.
        text = _long_runs().sub(lambda run: run[0][:MOST_MARKS], text)
    return unicodedata.normalize(form, text)


@cache
def _long_runs() -> re.Pattern[str]:
    """Match runs of combining marks that are longer than any language's."""
    marks = [code for code in range(0x300, _LAST_MARK + 1) if unicodedata.combining(chr(code))]
    return re.compile(f"[{character_class(marks)}]{{{MOST_MARKS + 1},}}")


def character_class(codes: Iterable[int]) -> str:
    """Return ascending code points as what stands between the brackets of a pattern.

    >>> character_class([97, 98, 99, 0x300])
    '\\\\U00000061-\\\\U00000063\\\\U00000300-\\\\U00000300'
    """
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def canonical_text(text: str) -> str:
    """Fold what does not change meaning: Unicode NFC, line ends, outer white space."""
    return normalized("NFC", text).replace("\r\n", "\n").replace("\r", "\n").strip()


def prompt_digest(system: str | None, turns: tuple[tuple[str, str], ...]) -> str:
    """Return the id of a prompt (32 hex digits): its system text and its (role, text) turns, canonicalised.

    The answer is not part of it, so one prompt answered twice has one id.
    """
    body = [canonical_text(system or ""), [[role, canonical_text(text)] for role, text in turns]]
    return digest(body, 32)


def keyed_hash(salt: str, key: str) -> int:
    """Return a 64-bit number that is uniform over keys and fixed by the salt; sampling and splitting use it."""
    return int.from_bytes(
        hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode()[:64]).digest(),
        "big",
    )
