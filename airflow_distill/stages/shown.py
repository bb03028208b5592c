"""How text that strangers wrote is shown to people: one way for each place it may land in.

Prompts, metadata, model ids, object names and file names are written by others. In a terminal they could move the cursor,
set the title, write to the clipboard or forge a line; in Markdown they could become a link or a picture that is fetched.
Every command, page and message of ours passes them through here. Standard library only.
"""

from __future__ import annotations

import re
import unicodedata

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#!|~&@]|:(?=//)|(?<=www)\.|^[-+=])", re.IGNORECASE)
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of writing, so that a line reads otherwise than it is."""


def one_line(text: object, limit: int | None = None) -> str:
    """Return a text as one line without anything that a terminal acts on.

    Controls (line ends among them), unassigned characters, surrogates and marks of direction become `\\u001b`; nothing
    else changes.

    >>> print(one_line("a\\x1b[31mb\\nc"))
    a\\u001b[31mb\\u000ac
    """
    shown = str(text)
    if not shown.isprintable():
        shown = "".join(char if _is_shown(char) else _escaped(char) for char in shown)
    return shown if limit is None or len(shown) <= limit else shown[: limit - 1] + "…"


def markdown(text: object, limit: int | None = None) -> str:
    """Return a text as one line of Markdown that shows exactly these characters: no link, picture, heading or HTML.

    >>> print(markdown("[x](http://e) <b>"))
    \\[x\\]\\(http\\://e\\) \\<b\\>
    """
    return _MARKUP.sub(r"\\\1", one_line(text, limit))


def markdown_code(text: object, limit: int | None = None) -> str:
    """Return a text as a code span; it may hold backticks of its own.

    >>> print(markdown_code("a`b"))
    `` a`b ``
    """
    shown = one_line(text, limit)
    if "`" not in shown:
        return f"`{shown}`" if shown.strip() else "` `"
    ticks = "`" * (max(len(run) for run in re.findall(r"`+", shown)) + 1)
    return f"{ticks} {shown} {ticks}"


def _is_shown(char: str) -> bool:
    if char in _DIRECTIONS:
        return False
    return unicodedata.category(char) not in ("Cc", "Cn", "Co", "Cs", "Zl", "Zp")


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}"
