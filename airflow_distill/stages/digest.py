"""Digests and canonical JSON: the one way content becomes an identifier.

Standard library only. Every id in the project (prompt, dataset, decision, release) goes through here, so that equal
content has one name whichever room computed it.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from typing import Any


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


def canonical_text(text: str) -> str:
    """Fold what does not change meaning: Unicode NFC, line ends, outer white space."""
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").strip()


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
