"""Where in a text a pattern for secrets is tried: at words, beside long words, in stretches of digits.

Takes a text, hands on a `Text` that knows cheap things about itself, and searches that yield matches. All of them take time
that is linear in the text: a pattern is tried at a place in a bounded number of steps, one that may run on is not tried
again inside what it matched, and an end far away is looked for once. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from airflow_distill.stages.dataset.dressed import plain_form
from airflow_distill.stages.dataset.vocabulary import Vocabulary

_DIGITS = b"0123456789"
_WRITTEN = bytes(byte for byte in range(256) if chr(byte).isspace() or chr(byte).isalpha() or byte > 127)
_OF_PROSE = _WRITTEN.translate(None, b"\xa0\xad") + b".,;'\"()[]{}|`/<>"
"""What is no digit, no mark that tells of a secret, and no part of a dress."""
_TOKEN = 15
_TOKENS = bytes(32 if byte in b" \t\n\r\f\v?" or byte > 126 else 120 for byte in range(256))
_NUMBER = 7
_NUMBERS = bytes(120 if byte in b"0123456789 .()/-" else 32 for byte in range(256))
_LETTERS = bytes(
    48 if byte in _DIGITS else 76 if byte < 128 and chr(byte).isalpha() else 32 for byte in range(256)
)
_HEX = bytes(104 if byte in b"0123456789abcdefABCDEF" else 45 if byte in b":-" else 32 for byte in range(256))
_STRETCH = re.compile(r"\d[\d .()/-]{5,}\d")
_PASSWORD_MARK = re.compile(rb"[!@#$%^&*?_+~-]")
_LOWER_IN_ASCII = re.compile("[\u0130\u212a]")
"""The only letters beyond ASCII whose lower case begins with one of ASCII: a Turkish I, and the sign of kelvin."""
_TELLING_MARK = re.compile(rb"[!@#$%^&*?_+~:=-]")


def is_prose(text: str) -> bool:
    """Say whether a text has nothing that any pattern needs and no dress, told at once: most prompts and answers.

    It is of Latin letters, spaces and the marks that sentences have, and no word in it is as long as a key.
    """
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return not data.translate(None, _OF_PROSE) and b"x" * _TOKEN not in data.translate(_TOKENS)


class Text:
    """A text in plain form, and what is cheap to know about it before any pattern is tried.

    `marks` is the text without letters and white space: a tenth of it, and what they cannot be a part of need not be
    looked for.
    `digits` is how many there are; those of other scripts have become ASCII.
    `tokens` are the words that are as long as the shortest key or token, in lower case; mostly there are none. Letters
    beyond ASCII end them, for in scripts without spaces a sentence would be one.
    `longest` is the length of the longest of them.
    `stretches` is where numbers of seven digits and separators or more are.

    :param vocabulary: of the words that `places` is asked for and no others; each is looked for when left out.
    """

    __slots__ = (
        "_data", "_first", "_folded", "_held", "_vocabulary", "digits", "longest", "marks", "stretches", "text", "tokens",
    )  # fmt: skip

    def __init__(self, text: str, vocabulary: Vocabulary | None = None) -> None:
        self.text = text = plain_form(text)
        self._folded: str | None = None
        self._first: dict[str, int] = {}
        self._vocabulary = vocabulary
        self._held: frozenset[str] | None = None
        self._data = data = _byte_each(text)
        self.marks = data.translate(None, _WRITTEN)
        self.digits = len(self.marks) - len(self.marks.translate(None, _DIGITS))
        tokens = [data[start:end] for start, end in _runs(data.translate(_TOKENS), _TOKEN)]
        self.tokens = b" ".join(tokens).lower().decode("latin-1")
        self.longest = max(map(len, tokens), default=0)
        self.stretches: list[tuple[int, int]] = []
        if self.digits >= 4:
            for start, end in _runs(data.translate(_NUMBERS), _NUMBER):
                self.stretches += [match.span() for match in _STRETCH.finditer(text, start, end)]

    @property
    def is_plain(self) -> bool:
        """Whether it has nothing that any pattern `needs`, told at once."""
        return not self.digits and not self.tokens and not _TELLING_MARK.search(self.marks)

    @property
    def folded(self) -> str:
        """The text in lower case, letter by letter in the same place; outside Latin-1 some may keep their case."""
        if self._folded is None:
            self._folded = self._fold()
        return self._folded

    @property
    def held(self) -> frozenset[str] | None:
        """The words of the vocabulary that the text may hold; None without a vocabulary."""
        if self._held is None and self._vocabulary is not None:
            strange = not self.text.isascii() and _LOWER_IN_ASCII.search(self.text)
            self._held = self._vocabulary.words if strange else self._vocabulary.in_text(self._data)
        return self._held

    def may_hold(self, words: tuple[str, ...]) -> Iterable[str]:
        """Return those of these lower-case words that the text may hold, in their order."""
        held = self.held
        if held is None:
            return words
        return () if held.isdisjoint(words) else [word for word in words if word in held]

    def places(self, words: Iterable[str]) -> Iterator[int]:
        """Yield where each of these lower-case words begins."""
        find = self.folded.find
        for word in words:
            at = self._first.get(word, -2)
            if at == -2:
                at = self._first[word] = find(word)
            while at >= 0:
                yield at
                at = find(word, at + 1)

    def classes(self, table: bytes) -> bytes:
        """Return the class of each character by a table of 256."""
        return self._data.translate(table)

    def _fold(self) -> str:
        if self.text.isascii():
            return self._data.lower().decode("ascii")
        folded = self.text.lower()
        return folded if len(folded) == len(self.text) else "".join(c.lower()[0] for c in self.text)


def _byte_each(text: str) -> bytes:
    """Return a byte for each character: Latin-1, and a question mark for what is beyond."""
    return text.encode("latin-1", "replace")


def _runs(shapes: bytes, least: int) -> Iterator[tuple[int, int]]:
    """Yield where runs of `x` begin and end that are long enough, between spaces."""
    wanted = b"x" * least
    start = shapes.find(wanted)
    while start >= 0:
        end = shapes.find(b" ", start)
        end = end if end >= 0 else len(shapes)
        yield start, end
        start = shapes.find(wanted, end)


Matches = Iterator[re.Match[str] | None]
Search = Callable[[re.Pattern[str], tuple[str, ...], Text], Matches]
Needs = Callable[[Text], bool]


def in_texts_with(pattern: re.Pattern[str], words: tuple[str, ...], text: Text) -> Matches:
    """Search a text that holds one of the words."""
    if any(word in text.folded for word in text.may_hold(words)):
        yield from pattern.finditer(text.text)


def in_text(pattern: re.Pattern[str], words: tuple[str, ...], text: Text) -> Matches:
    """Search the text."""
    return pattern.finditer(text.text)


_LONG = 256


def at_words(pattern: re.Pattern[str], words: tuple[str, ...], text: Text) -> Matches:
    """Match where one of the words begins; not again inside a long match, or a run of keys would be read over and over."""
    return _at_words(pattern, words, text, None)


_KEY_RUN = re.compile(r"[A-Za-z0-9_-]*+")
_LONGEST_KEY = 300


def at_names_of_keys(pattern: re.Pattern[str], words: tuple[str, ...], text: Text) -> Matches:
    """Match where one of the words begins, for a pattern whose match ends before a run of key characters goes on.

    Where such a run is longer than a key with its name, none of the places in it match but those near its end.
    """
    return _at_words(pattern, words, text, _KEY_RUN)


def _at_words(
    pattern: re.Pattern[str], words: tuple[str, ...], text: Text, run: re.Pattern[str] | None
) -> Matches:
    """Match where one of the words begins.

    :param run: what a place that does not match may lie in, so long that nothing matches but near its end.
    """
    match = pattern.match
    for word in text.may_hold(words):
        ends = 0
        for at in text.places((word,)):
            if at < ends:
                continue
            found = match(text.text, at)
            if found is not None:
                ends = found.end() if found.end() - at > _LONG else ends
                yield found
            elif run is not None:
                ends = run.match(text.text, at).end() - _LONGEST_KEY  # type: ignore[union-attr]


def at_tokens(pattern: re.Pattern[str], words: tuple[str, ...], text: Text) -> Matches:
    """Match where one of the words begins that a word long enough for a key holds."""
    return at_words(pattern, tuple(word for word in text.may_hold(words) if word in text.tokens), text)


def beside_tokens(pattern: re.Pattern[str], words: tuple[str, ...], text: Text) -> Matches:
    """Search a text in which a word long enough for a key holds one of the words."""
    if any(word in text.tokens for word in text.may_hold(words)):
        yield from pattern.finditer(text.text)


BY_WORDS: frozenset[Search] = frozenset({in_texts_with, at_words, at_names_of_keys, at_tokens, beside_tokens})
"""The searches that find nothing in a text without any of the words."""

_LATIN = re.compile(r"[A-Za-z0-9._%+~\u00c0-\u024f-]")
_SPACED = re.compile(r"[\u0370-\u03ff\u0400-\u052f\u0531-\u0587\u0590-\u07ff\u0900-\u0dff0-9._-]")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_LOCAL = ((_LATIN, 64), (_SPACED, 64), (_UNSPACED, 4))
"""What the part of an address before the sign is made of, by script, and how far back it goes: it ends where the script
changes, and in scripts without spaces it cannot be told from the sentence, so little of it is taken."""


def at_addresses(pattern: re.Pattern[str], words: tuple[str, ...], text: Text) -> Matches:
    """Match from where the part of an address before each `@` begins; what comes after it is looked at first."""
    whole = text.text
    for found in _from_the_sign(pattern).finditer(whole):
        at = found.start()
        start = _local_part(whole, at) if at else at
        if start < at:
            yield pattern.match(whole, start)


@cache
def _from_the_sign(pattern: re.Pattern[str]) -> re.Pattern[str]:
    """Return what of a pattern for addresses begins with the sign."""
    return re.compile(pattern.pattern[pattern.pattern.index("@(") :], pattern.flags)


def _local_part(whole: str, at: int) -> int:
    """Return where the part of an address before its sign begins; the place of the sign when there is none."""
    letters, most = next((one for one in _LOCAL if one[0].match(whole, at - 1)), (_LATIN, 0))
    start = at
    least = max(0, at - most)
    while start > least and letters.match(whole, start - 1):
        start -= 1
    while start < at and whole[start] in ".%~-":
        start += 1
    return start


def to_the_end(pattern: re.Pattern[str], words: tuple[str, ...], text: Text) -> Matches:
    """Match blocks such as private keys: from their first line to their last, or as far as they look like one.

    An end that is not there is looked for once.
    """
    whole = text.text
    last = whole.rfind(_END)
    begin = _BEGIN.search(whole)
    while begin is not None:
        at = whole.find(_END, begin.end()) if last >= begin.end() else -1
        end = _LAST_LINE.match(whole, at) if 0 <= at <= begin.end() + _MOST_BLOCK else None
        found = (
            pattern.match(whole, begin.start(), end.end()) if end else _CUT_OFF.match(whole, begin.start())
        )
        yield found
        begin = _BEGIN.search(whole, found.end() if found else begin.end())


_END = "-----END "
_MOST_BLOCK = 50_000
_KEY_LINE = r"(?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
_BEGIN = re.compile(f"-----BEGIN {_KEY_LINE}")
_LAST_LINE = re.compile(f"-----END {_KEY_LINE}")
_CUT_OFF = re.compile(rf"-----BEGIN {_KEY_LINE}[A-Za-z0-9+/=\s\\:,.-]*")
BLOCK = re.compile(f"-----BEGIN {_KEY_LINE}.*", re.DOTALL)


def in_numbers(least: int) -> Search:
    """Return a search through the stretches of digits that are long enough, and the two characters around them.

    :param least: digits and separators of the shortest match, without what may stand before and behind a number.
    """

    def search(pattern: re.Pattern[str], words: tuple[str, ...], text: Text) -> Matches:
        for start, end in [place for place in text.stretches if place[1] - place[0] >= least]:
            yield from pattern.finditer(text.text, max(0, start - 2), end + 2)

    return search


def at_letters_and_digits(pattern: re.Pattern[str], words: tuple[str, ...], text: Text) -> Matches:
    """Match where two letters and two digits begin."""
    shapes = text.classes(_LETTERS)
    at = shapes.find(b"LL00")
    while at >= 0:
        yield pattern.match(text.text, at)
        at = shapes.find(b"LL00", at + 1)


def with_token(length: int) -> Needs:
    """Return what tells a text with an unbroken word of some length, 15 characters or more."""
    return lambda text: text.longest >= length


def with_digits(least: int) -> Needs:
    """Return what tells a text with so many digits."""
    return lambda text: text.digits >= least


def with_mark(mark: bytes) -> Needs:
    """Return what tells a text with some marks in a row."""
    return lambda text: mark in text.marks


def with_assignment(text: Text) -> bool:
    """Say whether there is a colon, an equals sign or an element of XML."""
    return b":" in text.marks or b"=" in text.marks or b"></" in text.marks


def with_stretches(text: Text) -> bool:
    """Say whether there are numbers of seven digits and separators or more."""
    return bool(text.stretches)


def with_unlike_marks(text: Text) -> bool:
    """Say whether a word can hold what passwords do: a digit or one of some marks."""
    return text.digits > 0 or bool(_PASSWORD_MARK.search(text.marks))


def with_other_letters(text: Text) -> bool:
    """Say whether there are letters beyond ASCII beside something that a password can hold."""
    return not text.text.isascii() and with_unlike_marks(text)


def with_hexadecimal(text: Text) -> bool:
    """Say whether 32 hexadecimal digits stand in a row."""
    return text.longest >= 32 and b"h" * 32 in text.classes(_HEX)


def with_mac(text: Text) -> bool:
    """Say whether six pairs of hexadecimal digits stand in a row."""
    return len(text.marks) >= 5 and b"hh-hh-hh-hh-hh-hh" in text.classes(_HEX)


def with_long_ip(text: Text) -> bool:
    """Say whether hexadecimal digits and colons alternate often enough for a written-out address."""
    return text.marks.count(b":") >= 7 and text.classes(_HEX).count(b"h-h") >= 4
