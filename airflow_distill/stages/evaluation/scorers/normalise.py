"""What two answers may differ in and still say the same: Unicode form, letter case, white space, words cut apart.

Shared by the scorers; nothing here judges. A sign, an operator, a digit, an accent or a vowel sign is never folded away:
-5 is not 5, C++ is not C, x² is not x2, Maße are not Masse. Linear in the text.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise

from airflow_distill.stages.digest import normalized

_FORMS = re.compile("[\u0e33\u0eb3\ufb00-\ufdff\ufe70-\ufefc\uff01-\uffee]")
"""Characters that are another character's form: Thai and Lao AM, ligatures, Arabic shapes, full and half width.

Compatibility forms that say something of their own (x², ½, ①, Ⅳ) are not among them, which is why NFKC is not used.
"""
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufe0e\ufe0f\ufeff]")
"""Where a line may break and how an emoji is drawn, never what a text says."""
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"))


_MINUS = "\N{MINUS SIGN}"
"""The sign that typography writes for the hyphen of a negative number."""


def unicode_form(text: str) -> str:
    """Return the text in one Unicode form, with single spaces; case and every visible mark stay."""
    plain = _FORMS.sub(lambda found: unicodedata.normalize("NFKC", found.group()), _INVISIBLE.sub("", text))
    return " ".join(normalized("NFC", plain.replace(_MINUS, "-")).split())


def folded(text: str) -> str:
    """Return the text in one Unicode form, in lower case, with single spaces.

    Lower case, not `casefold`: the latter makes German ß and ss one.
    """
    return unicode_form(unicode_form(text).lower())


def words(text: str) -> list[str]:
    """Return the tokens of the folded text, in order.

    A token is a word, a number with its sign and decimal mark, or a sign (+, %, <, #, $, an emoji). Quotes,
    brackets, sentence marks, lone hyphens and Markdown's `*` and `_` are none. Scripts without spaces are cut
    into characters: Chinese, Japanese and Korean into single ones; Thai, Lao, Khmer and Myanmar into pairs of
    neighbouring letters, each with its vowel and tone signs (one letter says too little: two unrelated Thai
    sentences share most of theirs).

    >>> words("It's 3 o'clock, 日本.")
    ['it', 's', '3', 'o', 'clock', '日', '本']
    >>> words("C++ < -5 %")
    ['c', '++', '<', '-5', '%']
    >>> words("ไปไหน")
    ['ไป', 'ปไ', 'ไห', 'หน']
    """
    return list(_tokens(folded(text).translate(_DASHES)))


_RUNS = re.compile(
    r"(?P<number>(?<![wd])[+-]?\.?d+(?:[.,-]d+)*[wd]*)|(?P<word>[wd]+)|(?P<pairs>p+)|(?P<one>c)|(?P<sign>[+om-]+)"
)
"""How tokens are made of kinds of characters; see `_kind`. No repeat stands beside another of the same kind."""
_WRITTEN = frozenset("wdpc")


def _tokens(text: str) -> Iterator[str]:
    kinds = "".join(map(_kind, text))
    for run in _RUNS.finditer(kinds):
        start, end = run.span()
        if run.lastgroup == "pairs":
            yield from _pairs(text[start:end])
        elif run.lastgroup != "sign" or _counts(kinds, start, end):
            yield text[start:end]


def _counts(kinds: str, start: int, end: int) -> bool:
    """Say whether a run of signs says something.

    Always +, <, % and the like. A hyphen does beside one word (`A-`) and between two numbers (`5 - 3`), not within or
    between words; stars and ! do within (`2*3`, `a!b`), where they are neither Markdown nor the end of a sentence.
    """
    run = kinds[start:end]
    before, after = kinds[start - 1 : start] in _WRITTEN, kinds[end : end + 1] in _WRITTEN
    if "-" in run and (before != after or kinds[start - 2 : start] + kinds[end : end + 2] == "dxxd"):
        return True
    return "+" in run or "o" in run or ("m" in run and before and after)


def _pairs(run: str) -> Iterator[str]:
    """Yield each two neighbouring letters with the signs that belong to them; a single letter stays one."""
    letters: list[str] = []
    for char in run:
        if letters and unicodedata.category(char)[0] == "M":
            letters[-1] += char
        else:
            letters.append(char)
    yield from (a + b for a, b in pairwise(letters)) if len(letters) > 1 else letters


@functools.lru_cache(maxsize=4096)
def _kind(char: str) -> str:
    """Return w for letters, d digits, p letters to pair, c single characters, o signs, m stars and !, x for the rest."""
    category = unicodedata.category(char)
    if category == "Nd":
        return "d"
    if category[0] in "LNM":
        return "p" if _is_spaceless(char) else "c" if _is_character(char) else "w"
    if char in "+-.,":
        return char
    if char in "*!":
        return "m"
    return "o" if char in "%#&@\\/‰" or (category[0] == "S" and char != "`") else "x"


def _is_spaceless(char: str) -> bool:
    """Say whether a letter is Thai, Lao, Myanmar or Khmer: alphabets written without spaces."""
    return "\u0e00" <= char <= "\u0eff" or "\u1000" <= char <= "\u109f" or "\u1780" <= char <= "\u17ff"


def _is_character(char: str) -> bool:
    """Say whether a letter is Chinese, Japanese or Korean writing."""
    return (
        "\u3005" <= char <= "\u3007"
        or "\u3040" <= char <= "\u30ff"
        or "\u3400" <= char <= "\u9fff"
        or "\uac00" <= char <= "\ud7af"
        or "\uf900" <= char <= "\ufaff"
        or "\U00020000" <= char <= "\U0003ffff"
    )
