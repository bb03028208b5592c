"""What two prompts are compared by: the whole text without its dress, its words and signs, or its bare words.

Takes texts, hands on text and words. Three foldings, from the finest to the coarsest:

- `exact_form` folds Unicode form, case and white space; equal forms ask the same.
- `folded_words` are the words, numbers and signs that near copies are counted by.
- `bare_words` are letters and digits alone, as they were before combining marks and signs counted. They still decide the
  side of a prompt (`split`), which must never change, and read ledger files of that time.

Standard library only. What these return is part of dataset ids and of the ledger: whoever changes it raises
`curate.VERSION` and the version of `fingerprints`.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

from airflow_distill.stages.digest import character_class, normalized

# exact

_INVISIBLE = dict.fromkeys(
    (0xAD, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
)
_DRESSED = re.compile("[\ufb00-\ufdff\ufe70-\ufefc\uff01-\uffee]+")
"""Ligatures, letters by their place in the word, full and half width: the same text in another form."""


def exact_form(text: str) -> str:
    """Return a text with Unicode form, case and white space folded away, and nothing that carries meaning.

    Signs, operators, vowel signs and emoji stay, so do superscripts (`x²` is not `x2`) and the German `ß`.

    >>> exact_form("Where IS  my card?") == exact_form("where is my card?")
    True
    >>> exact_form("a > b") == exact_form("a < b")
    False
    """
    if not text.isascii():
        text = normalized("NFC", text)
        text = _DRESSED.sub(lambda run: unicodedata.normalize("NFKC", run[0]), text).translate(_INVISIBLE)
        text = "ß".join(part.casefold() for part in text.replace("ẞ", "ß").split("ß"))
        return " ".join(normalized("NFC", text).split())
    return " ".join(text.lower().split())


# words and signs

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\ufaff\u0e00-\u0e7f\u0e81-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Scripts without spaces between words, and Hangul, are read character by character."""

_EMOJI = "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff\u2190-\u21ff]"
_CURRENCY = "$€£¥₹₩₽₺₪฿¢"


@cache
def marks_class() -> str:
    """Return what a pattern's brackets need for combining marks, which `\\w` leaves out: vowel signs of Hindi, Arabic..."""
    last = min(sys.maxunicode, 0x1E950)
    return character_class(
        code for code in range(0x300, last) if unicodedata.category(chr(code)).startswith("M")
    )


def _pattern(unspaced: str, marks: str, emoji: str) -> re.Pattern[str]:
    letter = rf"[^\W\d{unspaced}]"
    parts = [
        rf"{letter}[^\W{unspaced}{marks}]*" if not marks else rf"{letter}(?:[^\W{unspaced}]|[{marks}])*",
        rf"(?<![^\W{unspaced}])(?<![)\]])[-+−]\d+(?:[.,:/]\d+)*%?|\d+(?:[.,:/]\d+)*(?:%|[^\W\d{unspaced}]+)?",
        rf"[<>=!]=+|<-|[-=]>|[<>=^±×÷≤≥≠≈√%°{_CURRENCY}]|(?<![^\d\s])[-−+*](?![^\d\s])",
    ]
    parts[0] += r"(?:\+\+|#|\+(?!\w))?"
    if unspaced:
        parts.insert(1, f"[{unspaced}][{marks}]*")
    if emoji:
        parts.append(emoji)
    return re.compile("|".join(parts))


_ASCII_WORDS = _pattern("", "", "")


@cache
def _words() -> re.Pattern[str]:
    return _pattern(_UNSPACED, marks_class(), _EMOJI)


def folded_words(text: str) -> list[str]:
    """Return the words, numbers and signs of a text, with case, width, spacing and other punctuation folded away.

    >>> folded_words("Where IS my C++ card?!")
    ['where', 'is', 'my', 'c++', 'card']
    >>> folded_words("Is -1.5 < 5%?")
    ['is', '-1.5', '<', '5%']
    """
    if text.isascii():
        return _ASCII_WORDS.findall(text.lower())
    return _words().findall(normalized("NFKC", text).casefold())


# bare words

_BARE_WORDS = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+")


def bare_words(text: str) -> list[str]:
    """Return the letters and digits of a text as words; combining marks that no letter takes in, and signs, are lost.

    >>> bare_words("Where IS my C++ card?!")
    ['where', 'is', 'my', 'c', 'card']
    """
    return _BARE_WORDS.findall(normalized("NFKC", text).casefold())
