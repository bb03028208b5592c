"""What a text says beneath its dress: full-width digits, marks of no width, escapes of JSON, URLs and HTML.

Takes a text, hands on `View`s of it: texts that patterns can read, each with the way back to the places in the original.
Most texts have one view, themselves. Standard library only.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from airflow_distill.stages.digest import character_class

_SPACES = (0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)
_DASHES = (*range(0x2010, 0x2016), 0x2212)
_QUOTES = {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x201E: '"'}
_WIDE = (
    *map(ord, "＃％＆（）＋－．／：＝＠＿"),
    *range(0xFF10, 0xFF1A),
    *range(0xFF21, 0xFF3B),
    *range(0xFF41, 0xFF5B),
)
_LAST_DIGIT = 0x1FBFA

_NO_WIDTH = re.compile("[\xad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_ESCAPE = re.compile(
    r"\\\\{0,7}(?:u(?P<u>[0-9a-fA-F]{4})|x(?P<x>[0-9a-fA-F]{2})|(?P<same>[\"'/])|(?P<space>[nrt]))"
    r"|%(?P<percent>[0-7][0-9a-fA-F])|&#(?P<decimal>[0-9]{1,4});|&#[xX](?P<hex>[0-9a-fA-F]{1,4});"
    r"|&(?P<name>amp|lt|gt|quot|apos|nbsp);"
)
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "nbsp": " "}


@dataclass(frozen=True, slots=True)
class View:
    """A text to read, and the way back: where its pieces begin in it and in the original; none where it is the original."""

    text: str
    here: list[int]
    there: list[int]

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Return the place in the original of a place in the view."""
        return self._back(start), self._back(end)

    def _back(self, at: int) -> int:
        piece = bisect_right(self.here, at) - 1
        return at if piece < 0 else self.there[piece] + at - self.here[piece]


def views_of(text: str) -> Iterator[View]:
    """Yield the text and, where it is dressed, the text beneath.

    >>> [view.text for view in views_of("ann%40example.com")]
    ['ann%40example.com', 'ann@example.com']
    """
    yield View(text, [], [])
    if not text.isascii() and not _is_latin(text, "\xad") and _NO_WIDTH.search(text):
        yield _without(_NO_WIDTH, text)
    if "\\" in text or "%" in text or "&" in text:
        first = _ESCAPE.search(text)
        if first is not None:
            yield _without(_ESCAPE, text)


def _without(dress: re.Pattern[str], text: str) -> View:
    parts: list[str] = []
    here: list[int] = []
    there: list[int] = []
    size = at = 0
    for match in dress.finditer(text):
        parts.append(text[at : match.start()])
        size += match.start() - at
        at = match.end()
        if match.lastgroup is not None:
            parts.append(_character(match.lastgroup, match[match.lastgroup]))
            here.append(size)
            there.append(match.start())
            size += 1
        here.append(size)
        there.append(at)
    parts.append(text[at:])
    return View("".join(parts), here, there)


def _is_latin(text: str, without: str) -> bool:
    """Say whether a text is Latin-1 and holds no character of that kind: then nothing in it is in dress."""
    try:
        return without.encode("latin-1") not in text.encode("latin-1")
    except UnicodeEncodeError:
        return False


def _character(kind: str, value: str) -> str:
    if kind in ("u", "x", "percent", "hex"):
        return chr(int(value, 16))
    if kind == "decimal":
        return chr(int(value))
    if kind == "space":
        return "\n"
    return _NAMED.get(value, value)


def plain_form(text: str) -> str:
    """Return a text with digits, spaces, dashes and quotes of all kinds in their ASCII form, each in its place.

    >>> plain_form("０３－１２３４\\xa0٥")
    '03-1234 5'
    """
    if text.isascii() or _is_latin(text, "\xa0"):
        return text
    text = _unplain(0x10000).sub(_plain_match, text)
    return _unplain(_LAST_DIGIT).sub(_plain_match, text) if _BEYOND.search(text) else text


_BEYOND = re.compile("[\U00010000-\U0010ffff]")


@cache
def _unplain(last: int) -> re.Pattern[str]:
    """Match what is not plain below a code point: patterns of the basic plane are many times as fast as others."""
    digits = {code for code in range(0x80, last) if chr(code).isdecimal()}
    return re.compile(f"[{character_class(sorted({*digits, *_SPACES, *_DASHES, *_QUOTES, *_WIDE}))}]")


def _plain_match(match: re.Match[str]) -> str:
    return _plain(match[0])


@cache
def _plain(character: str) -> str:
    code = ord(character)
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if code in _QUOTES:
        return _QUOTES[code]
    if code in _WIDE:
        return chr(code - 0xFEE0)
    return " " if code in _SPACES else "-"
