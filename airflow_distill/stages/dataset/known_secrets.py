"""Secrets and personal identifiers that are known by their form: a text in, the stretches of it to hide out.

Takes a text, hands on `Span`s. Standard library only; why the patterns are ours: docs/decisions/redaction.md.

Most texts hold nothing to hide, so every pattern is tried only where it can match: at certain words, in stretches of
digits, or at least only in texts that hold a certain word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text to hide: `text[start:end]`, and what it is, such as `EMAIL`."""

    start: int
    end: int
    kind: str


Detector = Callable[[str], Iterable[Span]]


_DIGITS = b"0123456789"
_WRITTEN = bytes(byte for byte in range(256) if chr(byte).isspace() or chr(byte).isalpha() or byte > 127)
_TOKEN = 15
_TOKENS = bytes(32 if byte in b" \t\n\r\f\v" else 120 for byte in range(256))
_NUMBER = 7
_NUMBERS = bytes(120 if byte in b"0123456789 .()/-" else 32 for byte in range(256))
_LETTERS = bytes(
    48 if byte in _DIGITS else 76 if byte < 128 and chr(byte).isalpha() else 32 for byte in range(256)
)
_HEX = bytes(104 if byte in b"0123456789abcdefABCDEF" else 45 if byte in b":-" else 32 for byte in range(256))
_STRETCH = re.compile(r"\d[\d .()/-]{5,}\d")
_DIGIT = re.compile(r"\d")
_DIGIT_LEADS = b"\xd9\xdb\xdf\xe0\xe1\xea\xef\xf0"
_PASSWORD_MARK = re.compile(rb"[!@#$%^&*?_+~-]")
_TELLING_MARK = re.compile(rb"[!@#$%^&*?_+~:=-]")


class Text:
    """A text, and what is cheap to know about it before any pattern is tried.

    `marks` is the text without letters and white space: a tenth of it, and what they cannot be a part of need not be
    looked for.
    `digits` is how many there are, of any script.
    `tokens` are the words that are as long as the shortest key or token, in lower case; mostly there are none.
    `longest` is the length of the longest of them.
    `stretches` is where numbers of seven digits and separators or more are, with the two characters around them.
    """

    __slots__ = ("_data", "_folded", "digits", "longest", "marks", "stretches", "text", "tokens")

    def __init__(self, text: str) -> None:
        self.text = text
        self._folded: str | None = None
        self._data = data = _byte_each(text)
        self.marks = data.translate(None, _WRITTEN)
        self.digits = len(self.marks) - len(self.marks.translate(None, _DIGITS))
        tokens = [data[start:end] for start, end in _runs(data.translate(_TOKENS), _TOKEN)]
        self.tokens = b" ".join(tokens).lower().decode("latin-1")
        self.longest = max(map(len, tokens), default=0)
        self.stretches: list[tuple[int, int]] = []
        if self.digits >= 4:
            for start, end in _runs(data.translate(_NUMBERS), _NUMBER):
                found = _STRETCH.finditer(text, start, end)
                self.stretches += [(max(0, match.start() - 2), match.end() + 2) for match in found]

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

    def places(self, words: Iterable[str]) -> Iterator[int]:
        """Yield where each of these lower-case words begins."""
        find = self.folded.find
        for word in words:
            at = find(word)
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
    """Return a byte for each character: Latin-1, a question mark for what is beyond, and 0 for digits of any script.

    Only characters that UTF-8 begins with one of eight bytes can be digits.
    """
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        data = text.encode("utf-8", "surrogatepass")
        if any(lead in data for lead in _DIGIT_LEADS):
            text = _DIGIT.sub("0", text)
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
    if any(word in text.folded for word in words):
        yield from pattern.finditer(text.text)


def in_text(pattern: re.Pattern[str], words: tuple[str, ...], text: Text) -> Matches:
    """Search the text."""
    return pattern.finditer(text.text)


def at_words(pattern: re.Pattern[str], words: tuple[str, ...], text: Text) -> Matches:
    """Match where one of the words begins."""
    return (pattern.match(text.text, at) for at in text.places(words))


def at_tokens(pattern: re.Pattern[str], words: tuple[str, ...], text: Text) -> Matches:
    """Match where one of the words begins that a word long enough for a key holds."""
    return at_words(pattern, tuple(word for word in words if word in text.tokens), text)


def beside_tokens(pattern: re.Pattern[str], words: tuple[str, ...], text: Text) -> Matches:
    """Search a text in which a word long enough for a key holds one of the words."""
    if any(word in text.tokens for word in words):
        yield from pattern.finditer(text.text)


def in_numbers(pattern: re.Pattern[str], words: tuple[str, ...], text: Text) -> Matches:
    """Search the stretches of digits."""
    for start, end in text.stretches:
        yield from pattern.finditer(text.text, start, end)


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
    """Say whether there is a colon or an equals sign."""
    return b":" in text.marks or b"=" in text.marks


def with_stretches(text: Text) -> bool:
    """Say whether there are numbers of seven digits and separators or more."""
    return bool(text.stretches)


def with_unlike_marks(text: Text) -> bool:
    """Say whether a word can hold what passwords do: a digit or one of some marks."""
    return text.digits > 0 or bool(_PASSWORD_MARK.search(text.marks))


def with_mac(text: Text) -> bool:
    """Say whether six pairs of hexadecimal digits stand in a row."""
    return len(text.marks) >= 5 and b"hh-hh-hh-hh-hh-hh" in text.classes(_HEX)


def with_long_ip(text: Text) -> bool:
    """Say whether hexadecimal digits and colons alternate often enough for a written-out address."""
    return text.marks.count(b":") >= 7 and text.classes(_HEX).count(b"h-h") >= 4


@dataclass(frozen=True, slots=True)
class Pattern:
    """One kind of secret: words that lead to it, the pattern, a last check of what matched, and where to look.

    `needs` says whether a text can hold it at all. The named group that matched is what gets hidden; the whole match when
    there is none.
    """

    kind: str
    words: tuple[str, ...]
    pattern: re.Pattern[str]
    accept: Callable[[str], bool] | None = None
    search: Search = in_texts_with
    needs: Needs = field(kw_only=True)

    def find(self, text: Text) -> Iterator[Span]:
        """Yield the spans of this kind."""
        for match in self.search(self.pattern, self.words, text):
            if match is None:
                continue
            group = match.lastgroup or 0
            if self.accept is None or self.accept(match.group(group)):
                start, end = match.span(group)
                yield Span(start, end, self.kind)


def has_luhn_sum(text: str) -> bool:
    """Say whether the digits pass the check that card numbers pass."""
    digits = [int(c) for c in text if c.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    total = sum(digits[-1::-2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return total % 10 == 0


def is_iban(text: str) -> bool:
    """Say whether the text passes the IBAN check (modulo 97)."""
    compact = re.sub(r"[\s-]", "", text).upper()
    if not 15 <= len(compact) <= 34:
        return False
    moved = compact[4:] + compact[:4]
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def is_ssn(text: str) -> bool:
    """Say whether nine digits can be a US social security number."""
    area, group, serial = re.split(r"[- ]", text)
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def is_phone(text: str) -> bool:
    """Say whether the text has as many digits as telephone numbers have, and is no date."""
    digits = sum(c.isdigit() for c in text)
    return 8 <= digits <= 15 and not re.fullmatch(
        r"\d{4}[-./ ]\d{2}[-./ ]\d{2}|\d{2}[-./ ]\d{2}[-./ ]\d{4}", text
    )


def is_ip(text: str) -> bool:
    """Say whether dotted digits are an address rather than a version or one of the two that mean nobody."""
    parts = text.split(".")
    return all(int(part) <= 255 for part in parts) and text not in ("0.0.0.0", "127.0.0.1", "255.255.255.255")


def looks_random(text: str) -> bool:
    """Say whether a value after `key =` looks drawn rather than written: mixed digits and letters, long enough."""
    return (
        len(text) >= 16
        and any(c.isdigit() for c in text)
        and any(c.isalpha() for c in text)
        and len(set(text)) > 7
    )


_KEY_OF = "|".join(
    rf"(?<={word}{gap})"
    for word in ("api", "access", "account", "private", "secret")
    for gap in ("", "[ _-]", "[ _-]{2}")
)
_NAMED_SECRET = rf"(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|(?:{_KEY_OF})key)"

PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        "PRIVATE_KEY",
        ("private key",),
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
            r"(?:.*?-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\s\\:,.-]*)",
            re.DOTALL,
        ),
        needs=with_mark(b"-----"),
    ),
    Pattern(
        "JWT",
        ("eyj",),
        re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"),
        search=at_tokens,
        needs=with_token(15),
    ),
    Pattern(
        "AWS_ACCESS_KEY",
        ("akia", "asia", "abia", "acca"),
        re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
        search=at_tokens,
        needs=with_token(20),
    ),
    Pattern(
        "AWS_SECRET_KEY",
        ("aws", "secret"),
        re.compile(
            r"(?i:aws|secret)[\w .-]{0,40}?[\"'`]?\s*(?:[:=]|\bis\b|=>)\s*[\"'`]?(?P<v>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])"
        ),
        looks_random,
        at_words,
        needs=with_token(40),
    ),
    Pattern(
        # Beside an access key id, forty random characters are its secret, whatever is written between.
        "AWS_SECRET_KEY",
        ("akia", "asia"),
        re.compile(r"(?<![A-Za-z0-9/+=])(?![0-9a-f]{40}|[0-9A-F]{40})[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"),
        looks_random,
        beside_tokens,
        needs=with_token(40),
    ),
    Pattern(
        "API_KEY",
        (
            "sk-",
            "sk_",
            "pk_",
            "rk_",
            "ghp_",
            "gho_",
            "ghu_",
            "ghs_",
            "ghr_",
            "github_pat_",
            "glpat-",
            "xox",
            "xapp-",
            "aiza",
            "ya29.",
            "npm_",
            "pypi-",
            "sg.",
            "hf_",
            "dop_v1_",
            "shpat_",
            "sq0",
            "whsec_",
            "gocspx-",
            "hooks.slack.com",
            "dckr_pat_",
            "key-",
            "dapi",
            "hvs.",
            "nvapi-",
            "absk",
        ),
        re.compile(
            r"(?<![A-Za-z0-9_])(?:sk-(?:[a-z]+-){0,2}[A-Za-z0-9_-]{20,}|[srp]k_(?:live|test)_[A-Za-z0-9]{16,}"
            r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,}|glpat-[A-Za-z0-9_-]{20,}"
            r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}"
            r"|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{40,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{30,}"
            r"|dop_v1_[a-f0-9]{64}|shpat_[a-fA-F0-9]{32}|sq0[a-z]{3}-[A-Za-z0-9_-]{22,}|key-[a-f0-9]{32}|dapi[a-f0-9]{32}"
            r"|hvs\.[A-Za-z0-9_-]{24,}|nvapi-[A-Za-z0-9_-]{40,}|ABSK[A-Za-z0-9+/=]{60,}|whsec_[A-Za-z0-9+/=]{20,}"
            r"|GOCSPX-[A-Za-z0-9_-]{20,}|dckr_pat_[A-Za-z0-9_-]{20,}"
            r"|hooks\.slack\.com/services/[A-Za-z0-9/]{20,})"
        ),
        search=at_tokens,
        needs=with_token(15),
    ),
    Pattern(
        "BEARER_TOKEN",
        ("bearer", "basic", "token"),
        re.compile(r"\b(?i:bearer|basic|token)\s+(?P<v>[A-Za-z0-9._~+/-]{16,}=*)"),
        looks_random,
        at_words,
        needs=with_token(16),
    ),
    Pattern(
        "URL_PASSWORD",
        ("://",),
        re.compile(r"(?<=[a-zA-Z0-9+.-]{2})://[^\s:/@'\"<>]*:(?P<v>[^\s/@'\"<>]+)@"),
        search=at_words,
        needs=with_mark(b"://"),
    ),
    Pattern(
        "PASSWORD",
        ("pass", "pwd", "secret", "key", "token"),
        re.compile(
            rf"(?i){_NAMED_SECRET}[\"'`]?\s*(?:=>|:=|[:=])\s*"
            r"(?:\"(?P<q>[^\"\n]{4,})\"|'(?P<s>[^'\n]{4,})'|(?P<v>[^\s\"'`,;<>\[\]{}()]{6,}))"
        ),
        search=at_words,
        needs=with_assignment,
    ),
    Pattern(
        "PASSWORD",
        ("pass", "pwd"),
        re.compile(
            r"(?i)\b(?:password|passwd|passphrase|passcode|pwd)\s+(?:is|was|to|as):?\s+[\"'`]?(?P<v>(?=\S*[\d!@#$%^&*?_+~-])[^\s\"'`,;]{6,})"
        ),
        search=at_words,
        needs=with_unlike_marks,
    ),
    Pattern(
        "EMAIL",
        (),
        re.compile(
            r"(?<![\w.+-])[\w.!#$%&'*+/=?^`{|}~-]*[\w+-]@(?:[\w-]{1,63}\.)+[A-Za-z][\w-]{1,62}(?![\w-])"
        ),
        search=in_text,
        needs=with_mark(b"@"),
    ),
    Pattern(
        "IBAN",
        (),
        re.compile(
            r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?(?![A-Za-z0-9])"
        ),
        is_iban,
        at_letters_and_digits,
        needs=with_digits(2),
    ),
    Pattern(
        "CARD",
        (),
        re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w]|\.\d)"),
        has_luhn_sum,
        in_numbers,
        needs=with_stretches,
    ),
    Pattern(
        "SSN",
        (),
        re.compile(r"(?<![\w-])\d{3}([- ])\d{2}\1\d{4}(?![\w-])"),
        is_ssn,
        in_numbers,
        needs=with_stretches,
    ),
    Pattern(
        "SSN",
        ("ssn", "social security"),
        re.compile(r"(?i)\b(?:ssn|social security)\D{0,20}(?P<v>\d{9})(?!\d)"),
        search=at_words,
        needs=with_digits(9),
    ),
    Pattern(
        "IP",
        (),
        re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)"),
        is_ip,
        in_numbers,
        needs=with_stretches,
    ),
    Pattern(
        "IP",
        (),
        re.compile(r"(?<![\w:])(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}(?![\w:])"),
        search=in_text,
        needs=with_long_ip,
    ),
    Pattern(
        "IP",
        ("::",),
        re.compile(
            r"(?<![\w:])(?:(?:[0-9a-fA-F]{1,4}:){2,6}(?::[0-9a-fA-F]{1,4}){1,4}|(?:[0-9a-fA-F]{1,4}:){2,6}:)(?![\w:])"
        ),
        needs=with_mark(b"::"),
    ),
    Pattern(
        "MAC",
        (),
        re.compile(r"(?<![\w:-])[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}(?![\w:-])"),
        search=in_text,
        needs=with_mac,
    ),
    Pattern(
        "PHONE",
        (),
        re.compile(
            r"(?<![\w.:/-])(?:\+|00)\d{1,3}(?:[ .()/-]{0,2}\d){6,14}(?![\w]|\.\d)"
            r"|(?<![\w.:/-])(?:\(\d{2,5}\)|0\d{1,4})[ .-]\d{3,4}[ .-]\d{3,5}(?![\w-]|\.\d)"
            r"|(?<![\w.:/-])(?:1[ .-])?[2-9]\d{2}([ .-])\d{3}\1\d{4}(?![\w-]|\.\d)"
            r"|(?<![\w.:/-])\(\d{2,5}\) ?(?:\d{5,9}|\d{3,4}[ .-]\d{3,5})(?![\w]|\.\d)"
        ),
        is_phone,
        in_numbers,
        needs=with_stretches,
    ),
)
"""In order of precedence: where spans overlap, the earlier start wins, then the longer, then the earlier pattern."""

KINDS = frozenset(pattern.kind for pattern in PATTERNS)


def find_known(text: str) -> Iterable[Span]:
    """Return the spans of all built-in kinds; the detector that is on by default."""
    known = Text(text)
    if known.is_plain:
        return ()
    return [span for pattern in PATTERNS if pattern.needs(known) for span in pattern.find(known)]
