"""What a prompt is known by in a sample: a keyed hash of its canonical form, the same for equal prompts only.

Imports `stages.digest` for the canonical form of a text. The hash is SHA-256 begun with the salt, 128 bits of it, as a
number; the sample keeps the prompts with the smallest ones. It is taken over the text as it was logged, so it does not
depend on what is redacted; and since it is keyed, who does not know the salt cannot try out what a placeholder stands for.

Latin text, which needs no Unicode normalising, is hashed in Latin-1; and the many prompts that share a system text share
the first part of the hash.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from airflow_distill.stages.digest import canonical_text

if TYPE_CHECKING:
    from hashlib import _Hash

MOST_SYSTEMS = 1000
"""System texts whose hash is kept; a workload has a few, and a free-for-all must not fill the memory."""


SHORT = 4096
"""Bytes of a text up to which it is quicker to copy it than to hash it by itself."""


class Fingerprints:
    """Hashes of prompts under one salt, uniform over prompts.

    :param salt: the workload's; sampling has a domain of its own, so that splitting by the same salt does not follow it.
    """

    def __init__(self, salt: str) -> None:
        self._key = sha256(f"sample:{salt}".encode("utf-8", "surrogatepass")).digest()
        self._begun: dict[str, _Hash] = {}

    def of(self, system: str | None, turns: tuple[tuple[str, str], ...]) -> int:
        """Return the hash of a prompt."""
        begun = self._begun.get(system or "") or self._begin(system or "")
        digest = begun.copy()
        for role, text in turns:
            if text.isascii() and "\r" not in text:
                data = text.strip().encode()
                size = len(data)
            else:
                size, data = _canonical(text)
            if -SHORT < size < SHORT:
                digest.update(b"%b %d %b" % (role.encode(), size, data))
            else:
                digest.update(b"%b %d " % (role.encode(), size))
                digest.update(data)
        return int.from_bytes(digest.digest()[:16], "big")

    def _begin(self, system: str) -> _Hash:
        begun = sha256(b"%b%d %b" % (self._key, *_canonical(system)))
        if len(self._begun) < MOST_SYSTEMS:
            self._begun[system] = begun
        return begun


def _canonical(text: str) -> tuple[int, bytes]:
    """Return the canonical form of a text: in Latin-1 with its length, or in UTF-8 with its length below zero.

    Text of Latin-1 is in normal form C as it is.
    """
    plain = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
    data = _latin(plain.strip())
    return _canonical_beyond(text) if data is None else (len(data), data)


def _latin(text: str) -> bytes | None:
    """Return a text in Latin-1; None for one that is beyond."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return None


def _canonical_beyond(text: str) -> tuple[int, bytes]:
    """Return the same of a text beyond Latin-1, whose canonical form may still be in it."""
    canonical = canonical_text(text)
    # What its canonical form leaves as it is, is beyond Latin-1 there too.
    data = None if canonical == text else _latin(canonical)
    if data is not None:
        return len(data), data
    data = canonical.encode("utf-8", "surrogatepass")
    return -len(data), data
