"""How many tokens a text costs here: words and signs. Simple, the same everywhere, and near enough to be billed."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\w{1,8}|[^\w\s]")


def count_tokens(text: str) -> int:
    """Pieces of up to eight letters, and every sign by itself."""
    return len(_TOKEN.findall(text))


def clip_tokens(text: str, limit: int) -> tuple[str, bool]:
    """The text cut after so many tokens, and whether anything was cut."""
    for count, match in enumerate(_TOKEN.finditer(text)):
        if count == limit:
            return text[: match.start()].rstrip(), True
    return text, False
