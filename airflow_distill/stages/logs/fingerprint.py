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
            size, data = _canonical(text)
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
    try:
        data = (canonical_text(text) if "\r" in text else text.strip()).encode("latin-1")
    except UnicodeEncodeError:
        return _canonical_beyond(canonical_text(text))
    return len(data), data


def _canonical_beyond(text: str) -> tuple[int, bytes]:
    """Return the same of a canonical text that may be Latin-1 only since it is canonical."""
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        data = text.encode("utf-8", "surrogatepass")
        return -len(data), data
    return len(data), data
