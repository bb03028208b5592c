"""The expected shape of an answer, and whether a text has it. Standard library only.

A shape is plain data, so that it fits a template, a YAML file and the ledger:

>>> fits(shape_from({"one_of": ["billing", "refund"]}), " Billing ")
True
>>> fits(shape_from({"json_schema": {"type": "object", "required": ["intent"]}}), '{"intent": 3}')
True
>>> fits(shape_from({"not_empty": True}), "  ")
False

Only the JSON Schema words listed in `SCHEMA_WORDS` are understood; any other is refused when the shape is built, because a
word that is skipped in silence would let wrong answers pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_distill.errors import ConfigurationError

SCHEMA_WORDS = frozenset(
    {
        "type",
        "enum",
        "const",
        "required",
        "properties",
        "additionalProperties",
        "items",
        "minItems",
        "maxItems",
    }
    | {"minLength", "maxLength", "minimum", "maximum", "pattern", "title", "description", "$schema"}
)

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What an answer must look like. All members that are set must hold; an empty answer never fits."""

    one_of: frozenset[str] | None = None
    json_schema: Mapping[str, Any] | None = None
    matches: str | None = None
    max_chars: int | None = None


def shape_from(data: Mapping[str, Any], references: frozenset[str] = frozenset()) -> Shape:
    """Build a shape from plain data.

    :param data: any of `one_of` (a list of labels, or `"references"` for the labels seen in the held-out answers),
        `json_schema`, `matches` (a regular expression for the whole answer), `max_chars`, `not_empty`.
    :raises ConfigurationError: a member or a schema word is not known.
    """
    unknown = set(data) - {"one_of", "json_schema", "matches", "max_chars", "not_empty"}
    if unknown:
        raise ConfigurationError(
            f"deployment: unknown shape member {sorted(unknown)[0]!r}.",
            hint="Use one_of, json_schema, matches, max_chars or not_empty.",
        )
    labels = data.get("one_of")
    if labels == "references":
        labels = references
    schema = data.get("json_schema")
    if schema is not None:
        _check_schema(schema)
    return Shape(
        one_of=None if labels is None else frozenset(fold(str(label)) for label in labels),
        json_schema=schema,
        matches=data.get("matches"),
        max_chars=data.get("max_chars"),
    )


def fits(shape: Shape, answer: str) -> bool:
    """Say whether an answer has the shape."""
    text = answer.strip()
    if not text:
        return False
    if shape.one_of is not None and fold(text) not in shape.one_of:
        return False
    if shape.max_chars is not None and len(text) > shape.max_chars:
        return False
    if shape.matches is not None and re.fullmatch(shape.matches, text, re.DOTALL) is None:
        return False
    return shape.json_schema is None or _is_json_of(shape.json_schema, text)


def fold(text: str) -> str:
    """Fold what does not change a label: case, outer white space, a closing full stop."""
    return text.strip().rstrip(".").strip().casefold()


def _is_json_of(schema: Mapping[str, Any], text: str) -> bool:
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return _valid(schema, value)


def _valid(schema: Mapping[str, Any], value: Any) -> bool:
    kinds = schema.get("type")
    if kinds is not None and not any(
        _TYPES[k](value) for k in ([kinds] if isinstance(kinds, str) else kinds)
    ):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if isinstance(value, dict):
        return _valid_object(schema, value)
    if isinstance(value, list):
        return _within(schema, len(value), "Items") and all(
            _valid(schema.get("items") or {}, item) for item in value
        )
    if isinstance(value, str):
        found = "pattern" not in schema or re.search(schema["pattern"], value) is not None
        return found and _within(schema, len(value), "Length")
    if _TYPES["number"](value):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True


def _within(schema: Mapping[str, Any], size: int, what: str) -> bool:
    return bool(schema.get(f"min{what}", size) <= size <= schema.get(f"max{what}", size))


def _valid_object(schema: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    known = schema.get("properties") or {}
    if any(name not in value for name in schema.get("required") or ()):
        return False
    rest = schema.get("additionalProperties", True)
    for name, item in value.items():
        rule = known.get(name, rest)
        if rule is False or (isinstance(rule, Mapping) and not _valid(rule, item)):
            return False
    return True


def _check_schema(schema: Any) -> None:
    if not isinstance(schema, Mapping):
        raise ConfigurationError(
            "deployment: a JSON schema must be an object.", hint="Write it as a mapping."
        )
    unknown = set(schema) - SCHEMA_WORDS
    kinds = schema.get("type", [])
    strange = {k for k in ([kinds] if isinstance(kinds, str) else kinds) if k not in _TYPES}
    if unknown or strange:
        word = sorted(unknown | strange)[0]
        raise ConfigurationError(
            f"deployment: the JSON schema word {word!r} is not understood here.",
            hint=f"Use {', '.join(sorted(SCHEMA_WORDS))}.",
        )
    for inner in (schema.get("properties") or {}).values():
        _check_schema(inner)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), Mapping):
            _check_schema(schema[name])
