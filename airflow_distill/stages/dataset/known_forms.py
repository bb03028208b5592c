"""What tells a secret or an identifier from a number or a word that looks like one: check sums, ranges, neighbours.

Takes what a pattern of `known_secrets` matched, hands on whether it is one. A number with a form of its own still is
none where the words beside it say what it is: an order, a version, an ISBN. Standard library only.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

Accept = Callable[[re.Match[str], str], bool]
"""Says of a match and the name of the group that is to be hidden (empty for all of it) whether it is a secret."""

_BEFORE = 40


def _value(match: re.Match[str], group: str) -> str:
    return match[group or 0]


def _beside(match: re.Match[str], group: str) -> tuple[str, str]:
    """Return some characters before and after what matched, in lower case."""
    start, end = match.span(group or 0)
    text = match.string
    return text[max(0, start - _BEFORE) : start].lower(), text[end : end + 12].lower()


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


# numbers

_NO_CARD = re.compile(
    r"(?:track|order|parcel|shipment|isbn|imei|gtin|invoice|ticket|serial|reference|timestamp|article"
    r"|\b(?:ean|ref|ids?|ts|sku|part|case)\b|单号|订单|運單)[^\n]{0,24}$"
)
_CARDS = re.compile(
    r"4\d{15}(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[68]\d)\d{11}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}|(?:5018|5020|5038|6304|6759"
    r"|6761|6763)\d{8,15}"
    r"|220[0-4]\d{12}|(?:60|81|82)\d{14}|4\d{12}"
)
"""Numbers that issuers give. Source: ISO/IEC 7812 ranges as the card schemes publish them."""


def is_card(match: re.Match[str], group: str) -> bool:
    """Say whether digits are in an issuer's range, pass the check sum, and no word beside them says otherwise."""
    digits = _digits(_value(match, group))
    if not _CARDS.fullmatch(digits) or not has_luhn_sum(digits):
        return False
    before, _ = _beside(match, group)
    if "card" in before or "卡" in before:
        return True
    return len(digits) > 13 and not _NO_CARD.search(before)


_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
"""A digit to the sum of the digits of twice itself."""
_VALUES = bytes.maketrans(b"0123456789", bytes(range(10)))


def has_luhn_sum(text: str) -> bool:
    """Say whether a text of digits alone passes the check that card numbers pass."""
    digits = text.encode("ascii", "replace")
    if not 13 <= len(digits) <= 19 or not digits.isdigit() or len(set(digits)) == 1:
        return False
    total = sum(digits[-1::-2].translate(_VALUES)) + sum(digits[-2::-2].translate(_DOUBLED))
    return total % 10 == 0


_IBAN_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 "
    "EE20 EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 "
    "IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 "
    "NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 "
    "TL23 TN24 TR26 UA29 VA22 VG24 XK20"
)
_IBANS = {entry[:2]: int(entry[2:]) for entry in _IBAN_LENGTHS.split()}
"""Country code -> length. Source: the IBAN registry of SWIFT."""


def is_iban(match: re.Match[str], group: str) -> bool:
    """Say whether the text has the length of its country and passes the IBAN check (modulo 97)."""
    compact = _value(match, group).replace(" ", "").replace("-", "").upper()
    if _IBANS.get(compact[:2]) != len(compact):
        return False
    moved = compact[4:] + compact[:4]
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def is_ssn(match: re.Match[str], group: str) -> bool:
    """Say whether nine digits can be a US social security number."""
    digits = _digits(_value(match, group))
    area, pair, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area < "900" and pair != "00" and serial != "0000"


def is_nhs(match: re.Match[str], group: str) -> bool:
    """Say whether ten digits pass the check of NHS numbers (modulo 11)."""
    digits = [int(c) for c in _digits(_value(match, group))]
    rest = 11 - sum(digit * (10 - n) for n, digit in enumerate(digits[:9])) % 11
    return len(digits) == 10 and rest % 11 == digits[9]


def is_cpf(match: re.Match[str], group: str) -> bool:
    """Say whether eleven digits pass the checks of the Brazilian CPF."""
    digits = [int(c) for c in _digits(_value(match, group))]
    if len(set(digits)) == 1:
        return False
    return all(
        (sum(digit * (size + 1 - n) for n, digit in enumerate(digits[:size])) * 10) % 11 % 10 == digits[size]
        for size in (9, 10)
    )


def is_resident_id(match: re.Match[str], group: str) -> bool:
    """Say whether eighteen characters pass the check of Chinese identity numbers."""
    value = _value(match, group)
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(c) * weight for c, weight in zip(value, weights, strict=False))
    return "10X98765432"[total % 11] == value[-1].upper()


_NO_PHONE = re.compile(
    r"(?:order|model|serial|invoice|track|ticket|isbn|imei|article|version|chapter|section|build"
    r"|\b(?:parts?|item|sku|ref|ids?|uuid|case)|单号|订单)\b[^\n]{0,16}$"
)
_UNIT = re.compile(r"\s?(?:mm|cm|m|km|kg|g|px|pt|ml|l|usd|eur|gbp|bytes?|kb|mb|gb|rows?|%|€|\$|£)(?![a-z])")
_DATE = re.compile(r"\d{4}([-./ ])\d{2}\1\d{2}|\d{2}([-./ ])\d{2}\2\d{4}")


def is_phone(match: re.Match[str], group: str) -> bool:
    """Say whether the text has as many digits as telephone numbers have, is no date, and nothing says it is no number
    to call."""
    value = _value(match, group)
    if not 8 <= len(_digits(value)) <= 15 or _DATE.fullmatch(value):
        return False
    if re.match(r"\((?:1[0-9]|20)\d\d\)", value):
        return False
    before, after = _beside(match, group)
    return not _UNIT.match(after) and (value[0] == "+" or not _NO_PHONE.search(before))


def is_called(match: re.Match[str], group: str) -> bool:
    """The same of a number that stands after a word such as `phone`, so it may have any form."""
    value = _value(match, group)
    return 7 <= len(_digits(value)) <= 15 and not _DATE.fullmatch(value)


_VERSION = re.compile(
    r"(?:(?=[bcdfikoprstuv])\b(?:versions?|ver\b|v\.?|releases?|upgraded?|updated?|downgraded?|build|package|firmware|driver|kernel"
    r"|sdk|sections?|chapters?|clause|figure|fig\.|table|rule|paragraph|appendix|item|oid)|§)[^\n]{0,24}$"
)
_REQUIREMENT = re.compile(r"(?:==|[<>~^]=?|[a-z_]-)\s?$")
_HOST = re.compile(
    r"\b(?:ip|ips|ipv4|hosts?|servers?|address|addr|ping|ssh|http|https|connect\w*|client at|gateway|dns"
    r"|router|node|subnet|from)\b"
)


def is_ip(match: re.Match[str], group: str) -> bool:
    """Say whether dotted digits are an address rather than a version, a chapter or one of those that mean nobody."""
    value = _value(match, group)
    parts = value.split(".")
    if any(int(part) > 255 for part in parts) or value in ("0.0.0.0", "127.0.0.1", "255.255.255.255"):
        return False
    before, after = _beside(match, group)
    if after.startswith(("/", ":")):
        return True
    found = [m.start() for m in (_VERSION.search(before), _REQUIREMENT.search(before, len(before) - 4)) if m]
    return not found or bool(_HOST.search(before, min(found)))


# words


_USER_OF_URL = re.compile(r"://[^\s/?#]*:[^\s/?#]*$")


def is_address(match: re.Match[str], group: str) -> bool:
    """Say whether an address is one rather than the password and host of a URL, or the user that all of GitHub share."""
    start = match.start()
    return not match[0].startswith("git@") and not _USER_OF_URL.search(
        match.string[max(0, start - 256) : start]
    )


def looks_random(match: re.Match[str], group: str) -> bool:
    """Say whether a value looks drawn rather than written: several digits among letters, long enough."""
    return is_random(_value(match, group))


def looks_mixed(match: re.Match[str], group: str) -> bool:
    """Say whether forty characters hold letters and digits and are not all of a few."""
    value = _value(match, group)
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value)) and len(set(value)) > 7


def is_random(text: str) -> bool:
    """Say whether a text looks drawn rather than written."""
    if len(text) < 16 or len(set(text)) <= 7:
        return False
    digits = sum(map(str.isdigit, text))
    cases = any(map(str.isupper, text)) + any(map(str.islower, text))
    return digits >= 2 and bool(cases) and (digits >= 4 or cases == 2)


def is_credential(match: re.Match[str], group: str) -> bool:
    """Say whether what follows `bearer`, `basic` or `token` is a credential rather than a word."""
    value = _value(match, group)
    if match[0][:5].lower() != "basic":
        return is_random(value)
    try:
        return b":" in base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False


_NOTHING = frozenset(
    {
        *(
            "none",
            "null",
            "true",
            "false",
            "string",
            "str",
            "bool",
            "int",
            "bytes",
            "text",
            "optional",
            "required",
        ),
        *(
            "undefined",
            "any",
            "hidden",
            "empty",
            "blank",
            "here",
            "wrong",
            "incorrect",
            "invalid",
            "missing",
            "expired",
        ),
        *(
            "reset",
            "forgotten",
            "changed",
            "password",
            "passwd",
            "pwd",
            "secret",
            "token",
            "value",
            "object",
            "self",
        ),
        *(
            "array",
            "number",
            "boolean",
            "example",
            "redacted",
            "masked",
            "default",
            "unknown",
            "disabled",
            "enabled",
        ),
        *(
            "username",
            "input",
            "prompt",
            "field",
            "nil",
            "void",
            "never",
            "args",
            "kwargs",
            "getpass",
            "getenv",
        ),
    }
)
_UNSAID = re.compile(
    r"your|my[_-]|\.{3}|[x*•#_.?-]+$|enter |insert |change_?me$|\$|<|%|\{\{?|&|\*", re.IGNORECASE
)
_NAME = re.compile(
    r"\A(?:[A-Za-z_]++(?:[.-][A-Za-z_]++)++|[A-Za-z_][A-Za-z]*+_[A-Za-z_]++|[a-z]++(?:[A-Z][a-z]++)++)"
)
_PASSES = re.compile(
    r"\b(?:board|boarding|day|ski|bus|season|travel|guest|press|hall|rail|train|lift|visitor|parking"
    r"|entry|museum|city|game|battle"
    r"|event|gate|free|monthly?|annual|yearly?|week(?:end|ly)?|first|second|mountain|all|interrail|bike"
    r"|backstage|please)\s{1,3}$",
    re.IGNORECASE,
)
_MARKS = frozenset("!@#$%^&*?+~|")
_WEAK = ("secret", "token")


def is_password(match: re.Match[str], group: str) -> bool:
    """Say whether the value after a word such as `password:` is one: not a type, a word of prose or a name in code."""
    value = _value(match, group)
    lower = value.lower()
    if lower in _NOTHING or _UNSAID.match(value) or value.startswith("["):
        return False
    named = match["name"].lower()
    is_weak = named.startswith(_WEAK) or named.endswith(("key", "base", "api", "ssel"))
    if not is_weak and group == "v" and value.isalpha() and "=" not in match[0]:
        return False
    before = match.string[max(0, match.start() - 24) : match.start()]
    if named == "pass" and (before[-1:].isalpha() or (before[-1:].isspace() and _PASSES.search(before))):
        return False
    digits = sum(map(str.isdigit, value))
    marks = sum(c in _MARKS for c in value)
    letters = sum(map(str.isalpha, value))
    if is_weak and is_place_in_a_list(match):
        return False
    if is_weak:
        return _is_drawn(value, digits, letters, marks)
    if " " in value:
        return digits > 0 and len(value.split()) <= 6
    if digits or (marks and not re.fullmatch(r"[A-Za-z]+(?:\+[A-Za-z]+)+", value)):
        return named != "pass" or letters > 0 or "=" in match[0]
    if _NAME.fullmatch(value) or match.string.startswith(("(", "[", "."), match.end(group or 0)):
        return False
    return group in ("q", "s") or "=" in match[0]


_DOTTED = re.compile(r"\A[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)+")
_PAGING = re.compile(
    r"(?:next|continuation|page|pagination|request|idempotency|output|input|change|sync|skip|start|end|pad|eos|bos|unk|sep|cls"
    r"|mask|cache|partition|sort|primary|foreign|object|routing)[ _-]?\Z",
    re.IGNORECASE,
)


def is_place_in_a_list(match: re.Match[str]) -> bool:
    """Say whether a token or key is one of a list, a request or a vocabulary, such as `nextToken`, rather than a secret."""
    return _PAGING.search(match.string[max(0, match.start() - 16) : match.start()]) is not None


def _is_drawn(value: str, digits: int, letters: int, marks: int) -> bool:
    """Say whether a value of a `secret`, `token` or `key` looks drawn: such words lead to much else."""
    if " " in value or not letters or any(c in "[](){}|" for c in value) or _DOTTED.fullmatch(value):
        return False
    if digits >= 2 and len(value) >= 8:
        return not re.fullmatch(r"[a-z]+[_-]\d{1,4}|\d{4}-\d\d-\d\d\S*|[a-z_.]+\(?\d?", value)
    if digits and (marks or len(value) >= 6):
        return not _NAME.fullmatch(value)
    return (
        len(value) >= 20
        and any(map(str.isupper, value))
        and any(map(str.islower, value))
        and "_" not in value
    )


_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_written_password(match: re.Match[str], group: str) -> bool:
    """Say whether the value at a password's place is one: it holds a digit or a mark, and is no placeholder or call."""
    value = _value(match, group)
    if (
        value.lower() in _NOTHING
        or _UNSAID.match(value)
        or value[:1] in "$%{<(:?"
        or value.endswith((")", "]"))
    ):
        return False
    return " " not in value and any(c.isdigit() or c in _MARKS for c in value)


def is_drawn_key(match: re.Match[str], group: str) -> bool:
    """Say whether what stands beside a word such as `key` looks drawn: no hash, no id with dashes, no name in code."""
    value = _value(match, group)
    if is_place_in_a_list(match) or "example" in value.lower():
        return False
    if not is_random(value) or _UUID.fullmatch(value) or re.fullmatch(r"[0-9a-f_-]+|[0-9A-F_-]+", value):
        return False
    digits, upper, lower = (sum(map(test, value)) for test in (str.isdigit, str.isupper, str.islower))
    words = re.findall(r"[a-z]{4,}|[A-Z][a-z]{3,}", value)
    return (
        digits >= 3 and bool(lower) and (upper >= 2 or digits >= 6) and sum(map(len, words)) * 2 < len(value)
    )


def is_said_password(match: re.Match[str], group: str) -> bool:
    """Say whether the value of a sentence such as `my password is ...` is one."""
    value = _value(match, group)
    return any(c.isdigit() or c in _MARKS or c in "_-" for c in value) and not _UNSAID.match(value)
