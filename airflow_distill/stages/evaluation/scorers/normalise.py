"""What two answers may differ in and still say the same: Unicode form, letter case, white space, words cut apart.

Shared by the scorers; nothing here judges. Standard library only.
"""

from __future__ import annotations

import string
import unicodedata

_EDGES = string.punctuation + string.whitespace + "“”‘’«»…。、，"


def folded(text: str) -> str:
    """Return the text in one Unicode form, without case, with single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def bare(text: str) -> str:
    """Return the folded text without quotes, full stops and other marks around it: a label as it was meant."""
    return folded(text).strip(_EDGES)


def words(text: str) -> list[str]:
    """Return the words of the folded text, in order; marks between them are dropped.

    >>> words("It's 3 o'clock, 日本.")
    ['it', 's', '3', 'o', 'clock', '日', '本']
    """
    out: list[str] = []
    current = ""
    for char in folded(text):
        if unicodedata.category(char)[0] not in "LNM" or _stands_alone(char):
            if current:
                out.append(current)
            current = ""
            if _stands_alone(char):
                out.append(char)
        else:
            current += char
    return [*out, current] if current else out


def _stands_alone(char: str) -> bool:
    """Chinese, Japanese and Korean are cut into characters: the first two are written without spaces."""
    return "\u3040" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7af" or "\uf900" <= char <= "\ufaff"
