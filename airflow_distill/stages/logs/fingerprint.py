"""The prompt digest of `stages.digest`, computed several times faster for the prompts that logs are full of.

Imports the JSON encoder and `stages.digest`, whose `prompt_digest` is the definition: a test holds the two equal for any
text. Latin text needs no Unicode normalising, and the typed encoder writes what the definition's encoder writes.
Text that it cannot write goes through the definition.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from airflow_distill.stages.digest import canonical_text, prompt_digest

_encode = msgspec.json.Encoder().encode


def reading_digest(system: str | None, turns: tuple[tuple[str, str], ...]) -> str:
    """Return `prompt_digest(system, turns)`."""
    body = [_canonical(system) if system else "", [(role, _canonical(text)) for role, text in turns]]
    try:
        return sha256(_encode(body)).hexdigest()[:32]
    except UnicodeEncodeError:
        return prompt_digest(system, turns)


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
