"""What must not be learnt: secrets and personal identifiers become placeholders.

Takes an `Example`, hands on one whose system text, turns, answer and metadata values hold `[EMAIL_1]` instead of an
address. Numbers count per kind within one example, in order of appearance, so prompt and answer keep speaking of
the same thing. A detector is any function from a text to `Span`s; users add theirs by import path. Standard library
only; why the patterns are ours: docs/decisions/redaction.md.

Every pattern has a cheap gate (a substring or a short pattern), because most texts hold nothing to redact.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.logs.records import Turn


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text to hide: `text[start:end]`, and what it is, such as `EMAIL`."""

    start: int
    end: int
    kind: str


Detector = Callable[[str], Iterable[Span]]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One kind of secret: a gate that is quick to try, the pattern, and a last check of what matched.

    The named group that matched is what gets hidden; the whole match when there is none.
    """

    kind: str
    gate: tuple[str, ...]
    pattern: re.Pattern[str]
    accept: Callable[[str], bool] | None = None

    def find(self, text: str, folded: str) -> Iterator[Span]:
        """Yield the spans of this kind.

        :param folded: the text in lower case, for the gate.
        """
        if self.gate and not any(word in folded for word in self.gate):
            return
        for match in self.pattern.finditer(text):
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


_NAMED_SECRET = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secret(?:[ _-]?(?:access)?[ _-]?key)?|api[ _-]?(?:key|token|secret)"
    r"|(?:access|account)[ _-]?(?:key|token)|auth[ _-]?token|client[ _-]?secret|private[ _-]?key|refresh[ _-]?token|token)"
)

PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        "PRIVATE_KEY",
        ("private key",),
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
            r"(?:.*?-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\s\\:,.-]*)",
            re.DOTALL,
        ),
    ),
    Pattern("JWT", ("eyj",), re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?")),
    Pattern(
        "AWS_ACCESS_KEY",
        ("akia", "asia", "abia", "acca"),
        re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ),
    Pattern(
        "AWS_SECRET_KEY",
        ("aws", "secret"),
        re.compile(
            r"(?i:aws|secret)[\w .-]{0,40}?[\"'`]?\s*(?:[:=]|\bis\b|=>)\s*[\"'`]?(?P<v>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])"
        ),
        looks_random,
    ),
    Pattern(
        # Beside an access key id, forty random characters are its secret, whatever is written between.
        "AWS_SECRET_KEY",
        ("akia", "asia"),
        re.compile(r"(?<![A-Za-z0-9/+=])(?![0-9a-f]{40}|[0-9A-F]{40})[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"),
        looks_random,
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
    ),
    Pattern(
        "BEARER_TOKEN",
        ("bearer", "basic", "token"),
        re.compile(r"\b(?i:bearer|basic|token)\s+(?P<v>[A-Za-z0-9._~+/-]{16,}=*)"),
        looks_random,
    ),
    Pattern(
        "URL_PASSWORD",
        ("://",),
        re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s:/@'\"<>]*:(?P<v>[^\s/@'\"<>]+)@"),
    ),
    Pattern(
        "PASSWORD",
        ("pass", "pwd", "secret", "key", "token"),
        re.compile(
            rf"(?i)\b[\w-]{{0,24}}?{_NAMED_SECRET}[\"'`]?\s*(?:=>|:=|[:=])\s*"
            r"(?:\"(?P<q>[^\"\n]{4,})\"|'(?P<s>[^'\n]{4,})'|(?P<v>[^\s\"'`,;<>\[\]{}()]{6,}))"
        ),
    ),
    Pattern(
        "PASSWORD",
        ("pass", "pwd"),
        re.compile(
            r"(?i)\b(?:password|passwd|passphrase|passcode|pwd)\s+(?:is|was|to|as):?\s+[\"'`]?(?P<v>(?=\S*[\d!@#$%^&*?_+~-])[^\s\"'`,;]{6,})"
        ),
    ),
    Pattern(
        "EMAIL",
        ("@",),
        re.compile(
            r"(?<![\w.+-])[\w.!#$%&'*+/=?^`{|}~-]*[\w+-]@(?:[\w-]{1,63}\.)+[A-Za-z][\w-]{1,62}(?![\w-])"
        ),
    ),
    Pattern(
        "IBAN",
        (),
        re.compile(
            r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?(?![A-Za-z0-9])"
        ),
        is_iban,
    ),
    Pattern("CARD", (), re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w]|\.\d)"), has_luhn_sum),
    Pattern("SSN", (), re.compile(r"(?<![\w-])\d{3}([- ])\d{2}\1\d{4}(?![\w-])"), is_ssn),
    Pattern(
        "SSN",
        ("ssn", "social security"),
        re.compile(r"(?i)\b(?:ssn|social security)\D{0,20}(?P<v>\d{9})(?!\d)"),
    ),
    Pattern("IP", (), re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)"), is_ip),
    Pattern(
        "IP",
        (":",),
        re.compile(
            r"(?<![\w:])(?:(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|(?:[0-9a-fA-F]{1,4}:){2,6}(?::[0-9a-fA-F]{1,4}){1,4}"
            r"|(?:[0-9a-fA-F]{1,4}:){2,6}:)(?![\w:])"
        ),
    ),
    Pattern("MAC", (":", "-"), re.compile(r"(?<![\w:-])[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}(?![\w:-])")),
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
    ),
)
"""In order of precedence: where spans overlap, the earlier start wins, then the longer, then the earlier
pattern."""

_DIGITS = re.compile(r"\d[\d .()/-]{6,}\d|\d{1,3}\.\d|[A-Za-z]{2}\d{2}")


def find_known(text: str) -> Iterator[Span]:
    """Yield the spans of all built-in kinds; the detector that is on by default."""
    folded = text.lower()
    digits = _DIGITS.search(text) is not None
    for pattern in PATTERNS:
        if pattern.gate or digits:
            yield from pattern.find(text, folded)


def load_detector(path: str) -> Detector:
    """Return the detector an import path names, written `package.module:function`.

    :raises ConfigurationError: there is no such function.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"dataset: the detector {path!r} cannot be imported.", hint="Write it as package.module:function."
        ) from error
    if not callable(found):
        raise ConfigurationError(
            f"dataset: {path!r} is not a function.", hint="A detector takes a text, yields Spans."
        )
    return cast("Detector", found)


def redact(example: Example, detectors: Sequence[Detector] = (find_known,)) -> tuple[Example, Counter[str]]:
    """Return the example with its secrets replaced, and how many distinct ones of each kind there were."""
    names = _Placeholders(detectors)
    system = names.hide(example.system) if example.system else example.system
    turns = tuple(Turn(turn.role, names.hide(turn.text)) for turn in example.turns)
    answer = names.hide(example.answer) if example.answer else example.answer
    metadata = tuple((names.hide(key), names.hide(value)) for key, value in example.metadata)
    if not names.counts:
        return example, names.counts
    return replace(example, system=system, turns=turns, answer=answer, metadata=metadata), names.counts


class _Placeholders:
    """The placeholders of one example: equal values share one, numbers follow the order of appearance."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self.counts: Counter[str] = Counter()
        self._detectors = detectors
        self._names: dict[tuple[str, str], str] = {}

    def hide(self, text: str) -> str:
        """Return the text with its secrets replaced."""
        spans = _apart(span for detector in self._detectors for span in detector(text))
        if not spans:
            return text
        parts = []
        end = 0
        for span in spans:
            parts.append(text[end : span.start])
            parts.append(self._name(span.kind, text[span.start : span.end]))
            end = span.end
        parts.append(text[end:])
        return "".join(parts)

    def _name(self, kind: str, value: str) -> str:
        name = self._names.get((kind, value))
        if name is None:
            self.counts[kind] += 1
            name = self._names[kind, value] = f"[{kind}_{self.counts[kind]}]"
        return name


def _apart(spans: Iterable[Span]) -> list[Span]:
    """Order spans and drop what overlaps an earlier or longer one."""
    out: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if span.start < span.end and (not out or span.start >= out[-1].end):
            out.append(span)
    return out
