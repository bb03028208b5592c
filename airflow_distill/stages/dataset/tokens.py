"""How many tokens a text has, estimated by its scripts: for records whose log line counts none.

Takes a text, hands on a number. Models do not publish their tokenizers here, so the rates are averages of public ones, on
the cautious side. Standard library only.
"""

from __future__ import annotations

import re

CHARACTERS_PER_TOKEN: tuple[tuple[str, str, float], ...] = (
    ("Latin letters and spaces", r"[A-Za-z\u00c0-\u024f\s]", 4.0),
    ("digits, signs and code", r"[!-@\[-`{-~]", 2.0),
    ("Greek, Cyrillic, Hebrew, Arabic", r"[\u0370-\u07ff]", 2.0),
    ("Chinese, Japanese, Korean", r"[\u3000-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]", 1.0),
    ("Thai and other scripts", r"[^\x00-\u07ff\u3000-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]", 1.0),
)
"""Scripts, what matches them and how many of their characters make a token, on the average."""

_RATES = tuple((re.compile(pattern + "+"), rate) for _, pattern, rate in CHARACTERS_PER_TOKEN)


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has.

    >>> estimate_tokens("Where is my card"), estimate_tokens("我的卡在哪里")
    (4, 6)
    """
    return round(sum(sum(map(len, pattern.findall(text))) / rate for pattern, rate in _RATES))
