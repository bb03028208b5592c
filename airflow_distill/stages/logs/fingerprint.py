"""The prompt digest and the rank of `stages.digest`, computed several times faster for what logs are full of.

Imports the JSON encoder and `stages.digest`, which is the definition: tests hold both equal for any text. Latin text needs
no Unicode normalising; the typed encoder writes what the definition's encoder writes; and the many prompts that share a
system text share the first part of the hash. Text that the typed encoder cannot write goes through the definition.
"""

from __future__ import annotations

from hashlib import blake2b, sha256
from typing import TYPE_CHECKING

import msgspec

from airflow_distill.stages.digest import canonical_text, prompt_digest

if TYPE_CHECKING:
    from hashlib import _Hash

_encode = msgspec.json.Encoder().encode
MOST_SYSTEMS = 1000
"""System texts whose hash is kept; a workload has a few, and a free-for-all must not fill the memory."""


class Fingerprints:
    """Prompt digests and their ranks under one salt.

    :param salt: what `digest.keyed_hash` takes.
    """

    def __init__(self, salt: str) -> None:
        self._rank = blake2b(digest_size=8, key=salt.encode()[:64])
        self._begun: dict[str, _Hash] = {}

    def digest(self, system: str | None, turns: tuple[tuple[str, str], ...]) -> str:
        """Return `prompt_digest(system, turns)`."""
        try:
            begun = self._begun.get(system or "") or self._begin(system or "")
            digest = begun.copy()
            digest.update(_encode([(role, _canonical(text)) for role, text in turns]))
        except UnicodeEncodeError:
            return prompt_digest(system, turns)
        digest.update(b"]")
        return digest.hexdigest()[:32]

    def rank(self, prompt: str) -> int:
        """Return `keyed_hash(salt, prompt)` of a digest."""
        rank = self._rank.copy()
        rank.update(prompt.encode())
        return int.from_bytes(rank.digest(), "big")

    def _begin(self, system: str) -> _Hash:
        begun = sha256(b"[%b," % _encode(_canonical(system)))
        if len(self._begun) < MOST_SYSTEMS:
            self._begun[system] = begun
        return begun


def _canonical(text: str) -> str:
    if "\r" in text or not _is_latin(text):
        return canonical_text(text)
    return text.strip()


def _is_latin(text: str) -> bool:
    """Say whether all characters are below U+0100, where every text is in normal form C; far quicker than asking."""
    if text.isascii():
        return True
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True
