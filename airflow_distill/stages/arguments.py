"""An argument's text becomes the value it stands for, or one error that says which argument, what it was and what fits.

Templates render to text: `"False"`, `"3600"`, `"7d"`, `"['a', 'b']"`. Every templated argument of an operator or sensor is
read here and nowhere else, before anything is asked or bought. A value that has its type already is returned as it is,
so reading twice changes nothing. Pure: no Airflow, no clock, no network.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow_distill.errors import ConfigurationError

YES = frozenset({"true", "yes", "on", "1", "t", "y"})
NO = frozenset({"false", "no", "off", "0", "f", "n"})

_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_SPAN = re.compile(r"(?:(\d{1,9})w)?(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?")
_PRINTED = re.compile(r"(?:(\d{1,9}) days?, )?(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,6}))?")
_ISO = re.compile(r"P(?:(\d{1,9})W)?(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?")
_LONGEST = timedelta(days=3650)


def is_nothing(value: Any) -> bool:
    """Say whether an argument was left out: None, or the text that a template makes of it."""
    return value is None or (isinstance(value, str) and value.strip() in {"", "None", "none", "null"})


def as_flag(value: Any, name: str) -> bool:
    """Read true or false: the words of `YES` and `NO` in any case, or 1 and 0."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word in YES or word in NO:
        return word in YES
    raise _refused(name, value, "true or false", "Write true or false.")


def as_number(value: Any, name: str) -> float:
    """Read a finite number."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            read = float(value)
        except ValueError:
            read = math.nan
        if math.isfinite(read):
            return read
    raise _refused(name, value, "a number", "Write a number, such as 0.5 or 60.")


def as_whole(value: Any, name: str) -> int:
    """Read a whole number; `3.0` is one, `3.5` is not."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    try:
        read = as_number(value, name)
    except ConfigurationError:
        read = math.nan
    if read == read and read == int(read):
        return int(read)
    raise _refused(name, value, "a whole number", "Write a whole number, such as 3.")


def as_span(value: Any, name: str) -> timedelta:
    """Read a duration: a `timedelta`, seconds as a number, `90m`, `1d12h`, `PT1H`, or what a `timedelta` prints as."""
    span = value if isinstance(value, timedelta) else None
    if span is None and isinstance(value, str):
        forms = (read_span, _printed_span, _iso_span)
        span = next((read for form in forms if (read := form(value.strip())) is not None), None)
    if span is None and not isinstance(value, bool):
        try:
            span = timedelta(seconds=as_number(value, name))
        except (ConfigurationError, OverflowError):
            span = None
    if span is None or not timedelta(0) <= span <= _LONGEST:
        raise _refused(
            name,
            value,
            "a duration of at most ten years",
            "Write seconds (3600), 90m, 36h, 7d, 2w or a timedelta.",
        )
    return span


def read_span(text: str) -> timedelta | None:
    """Return the span that `90m`, `36h`, `7d`, `2w` or `1d12h` names, or None for any other text."""
    match = _SPAN.fullmatch(text)
    if match is None or not text:
        return None
    return sum(
        (int(count) * _UNITS[unit] for unit, count in zip("wdhms", match.groups(), strict=True) if count),
        timedelta(0),
    )


def _printed_span(text: str) -> timedelta | None:
    match = _PRINTED.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
    micro = int((match[5] or "0").ljust(6, "0"))
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, microseconds=micro)


def _iso_span(text: str) -> timedelta | None:
    match = _ISO.fullmatch(text)
    if match is None or text.endswith(("P", "T")):
        return None
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)


def as_list(value: Any, name: str) -> list[Any]:
    """Read a list: one written as JSON or as Python prints it; any other text is a list of one."""
    if isinstance(value, str):
        read = _literal(value, "[(")
        if read is None:
            if value.strip().startswith(("[", "(")):
                raise _refused(name, value, "a list", 'Write a list, such as ["a", "b"].')
            return [value]
        value = read
    if isinstance(value, Mapping) or not hasattr(value, "__iter__"):
        raise _refused(name, value, "a list", 'Write a list, such as ["a", "b"].')
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)  # a set has no order, and the same arguments give the same dataset
    return list(value)


def as_mapping(value: Any, name: str) -> dict[str, Any]:
    """Read a mapping: one written as JSON or as Python prints it."""
    read = _literal(value, "{") if isinstance(value, str) else value
    if not isinstance(read, Mapping):
        raise _refused(name, value, "a mapping", 'Write a mapping, such as {"key": "value"}.')
    return dict(read)


def as_text(value: Any, name: str) -> str:
    """Read text; numbers and true or false, which native rendering makes of text, become text again."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) or hasattr(value, "isoformat") or hasattr(value, "__fspath__"):
        return str(value)
    raise _refused(name, value, "a text", "Write a text.")


def as_choice(value: Any, name: str, choices: Sequence[str]) -> str:
    """Read one of a closed set of words, spelt exactly."""
    if isinstance(value, str) and value in choices:
        return value
    told = " or ".join(choices)
    raise _refused(name, value, told, f"Write {told}, in exactly this spelling.")


def plain(value: Any) -> Any:
    """Return what text stands for when it is a mapping or list as JSON or Python prints it; anything else unchanged."""
    read = _literal(value, "{[") if isinstance(value, str) else None
    return value if read is None else read


READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "flag": as_flag,
    "number": as_number,
    "whole": as_whole,
    "span": as_span,
    "list": as_list,
    "mapping": as_mapping,
    "text": as_text,
}
"""Kind of argument -> how it is read. Choices and receipts are read apart."""


def _literal(text: str, openings: str) -> Any:
    """Return the mapping or list that a text writes down, or None when it writes none."""
    stripped = text.strip()
    if not stripped or stripped[0] not in openings:
        return None
    try:
        return json.loads(stripped)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(stripped)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


def _refused(name: str, value: Any, wanted: str, hint: str) -> ConfigurationError:
    told = repr(value)
    told = told if len(told) <= 80 else f"{told[:77]}..."
    return ConfigurationError(f"argument {name} is {told}, not {wanted}.", hint=hint)
