"""Reading JSON out of an answer: the whole text, or the one fenced block that holds it. Nothing is repaired."""

from __future__ import annotations

import json
import math
import re
from typing import Any

_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL | re.IGNORECASE)


class NotJsonError(ValueError):
    """The text is not JSON; what it is does not matter and is not repeated."""


def read_json(text: str, *, fenced: bool = True) -> Any:
    """Return the value an answer holds, or raise `NotJsonError`. NaN and Infinity are not JSON."""
    match = _FENCE.match(text) if fenced else None
    try:
        return json.loads(match.group(1) if match else text, parse_constant=_refuse, parse_float=_number)
    except (ValueError, RecursionError):
        raise NotJsonError("not JSON") from None


def same(left: Any, right: Any) -> bool:
    """Say whether two JSON values are equal: 1 is 1.0, but true is not 1; strings by their letters, ends trimmed."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, str) and isinstance(right, str):
        return left.strip() == right.strip()
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def _number(digits: str) -> float:
    """Read a number; one too large for a float would become infinite and is refused like the word Infinity."""
    value = float(digits)
    if math.isinf(value):
        raise ValueError(digits)
    return value


def _refuse(name: str) -> Any:
    raise ValueError(name)
