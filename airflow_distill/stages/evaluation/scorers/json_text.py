"""Reading JSON out of an answer: the whole text, one fenced block, or, where asked, the one value amid prose.

Nothing is repaired. What is found is bounded (depth, attempts), because answers are written by strangers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from airflow_distill.stages.digest import normalized

DEEPEST = 100
"""Levels of nesting that are still read; no program's answer is deeper, and recursion would end far above."""
_MOST_STARTS = 64
"""Opening braces and brackets that are tried amid prose."""
_TICKS = "```"


class NotJsonError(ValueError):
    """The text is not JSON; what it is does not matter and is not repeated."""


def read_json(text: str, *, fenced: bool = True, prose: bool = False) -> Any:
    """Return the value an answer holds, or raise `NotJsonError`. NaN and Infinity are not JSON.

    With `fenced`, one fenced block around it is allowed. With `prose`, so is text beside the block, or beside one object
    (failing that, one list) that stands in the text itself. Two that differ are none: nobody knows which one is meant.
    """
    try:
        return _checked(text)
    except NotJsonError:
        if not fenced and not prose:
            raise
    found = list(json_values(text)) if prose else _only_block(text)
    objects = [value for value in found if isinstance(value, dict)] or found
    if not objects or not all(same(value, objects[0]) for value in objects[1:]):
        raise NotJsonError("not JSON")
    return objects[0]


def is_json(text: str) -> bool:
    """Say whether a program can read the answer: JSON, alone or in one fenced block."""
    try:
        read_json(text)
    except NotJsonError:
        return False
    return True


def json_values(text: str) -> Iterator[Any]:
    """Yield the JSON values of the fenced blocks, or, when no block holds any, the objects and lists in the text."""
    found = False
    for block in _blocks(text):
        try:
            value = _checked(block)
        except NotJsonError:
            continue
        found = True
        yield value
    if not found:
        yield from _amid(text)


def same(left: Any, right: Any) -> bool:
    """Say whether two JSON values are equal: 1 is 1.0, but true is not 1; strings by their letters, ends trimmed."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, str) and isinstance(right, str):
        return normalized("NFC", left).strip() == normalized("NFC", right).strip()
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def _only_block(text: str) -> list[Any]:
    """Return the value of the block that is the whole text."""
    text = text.strip()
    if not (text.startswith(_TICKS) and text.endswith(_TICKS) and text.count(_TICKS) == 2):
        return []
    return list(map(_checked, _blocks(text)))


def _blocks(text: str) -> Iterator[str]:
    """Yield what stands between fences, without the language's name; a fence that never ends holds the rest."""
    for part in text.split(_TICKS)[1::2]:
        body = part.lstrip()
        word = len(body) - len(body.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))
        yield body[word:] if body[word : word + 1].isspace() and not body[:1].isdigit() else body


def _amid(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder(parse_constant=_refuse, parse_float=_number, object_pairs_hook=_object)
    at = 0
    for _ in range(_MOST_STARTS):
        starts = [place for place in (text.find("{", at), text.find("[", at)) if place >= 0]
        if not starts:
            return
        at = min(starts)
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        if not _too_deep(value):
            yield value


def _checked(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_number, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise NotJsonError("not JSON") from None
    if _too_deep(value):
        raise NotJsonError("nested too deep")
    return value


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _number(digits: str) -> float:
    """Read a number; one too large for a float would become infinite and is refused like the word Infinity."""
    value = float(digits)
    if math.isinf(value):
        raise ValueError(digits)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose keys are in one Unicode form."""
    return {normalized("NFC", key): value for key, value in pairs}


def _refuse(name: str) -> Any:
    raise ValueError(name)
