"""Digests and canonical JSON: the one way content becomes an identifier.

Standard library only. Every id in the project (prompt, dataset, decision, release) goes through here, so that equal
content has one name whichever room computed it.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Literal, TypeVar

Record = TypeVar("Record")


def canonical_json(value: Any) -> bytes:
    """Encode plain data so that equal data gives equal bytes: sorted keys, no spaces, UTF-8, NaN refused."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def json_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object in these bytes.

    :raises ValueError: there is none, it is nested too deeply, or it holds NaN or Infinity.
    """
    try:
        body = json.loads(raw, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(body, dict):
        raise ValueError("not an object")
    return body


UNFIT = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What making a record of a stored object may raise when the object is none, whatever it holds."""


def record_of(raw: bytes, read: Callable[[dict[str, Any]], Record]) -> Record:
    """Return what `read` makes of the JSON object in these bytes: the one way a stored object becomes a record.

    :raises ValueError: there is no object, or no record in it, whatever it holds; the message quotes nothing of it.
    """
    try:
        return read(json_object(raw))
    except UNFIT as error:
        raise ValueError(f"not the record it should be ({type(error).__name__})") from None


def text_in(data: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """Return the text under a name of a stored object.

    :param default: what stands for it where it is missing or empty; it must be there when left out.
    :raises TypeError: there is something else.
    """
    value = data[name] if default is None else data.get(name) or default
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of the bytes as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Any, length: int = 64) -> str:
    """Return the first `length` hex digits of the SHA-256 of the canonical JSON of plain data."""
    return sha256_hex(canonical_json(value))[:length]


MOST_MARKS = 31
"""Combining marks in a row that are put in order together; Unicode's stream-safe form (UAX #15) allows 30."""


def normalized(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
    """Return a text in a Unicode normal form, in time that grows with the text and no faster.

    Putting a run of combining marks in order takes the square of its length, so a run longer than any language has is
    taken apart: its first 31 marks are put in order among themselves, then the next 31. Every 16th character is enough to
    see that there is no such run.
    """
    if text.isascii():
        return text
    two, pieces = _mark_patterns()
    if two.search(text[:: (MOST_MARKS + 1) // 2]) is None:
        return unicodedata.normalize(form, text)
    return "".join(unicodedata.normalize(form, piece) for piece in pieces.findall(text))


@cache
def _mark_patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return what finds two marks in a row, and what cuts a text into pieces without too long a run.

    A mark is a character whose decomposition begins with one that combines; some of those do not combine themselves.
    """
    marks = character_class(
        code
        for code in (*range(0x300, 0x20000), *range(0xE0000, 0xE0200))
        if unicodedata.combining(unicodedata.normalize("NFKD", chr(code))[0])
    )
    return (
        re.compile(f"[{marks}]{{2}}"),
        re.compile(f"[^{marks}]*[{marks}]{{1,{MOST_MARKS}}}|[^{marks}]+"),
    )


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
