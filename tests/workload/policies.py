"""A small evaluator of IAM policies: what documents allow, conditions included. Knows the operators that ours use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

Document = Mapping[str, Any]
Context = Mapping[str, str | list[str]]


def evaluate(
    documents: Iterable[Document], action: str, resource: str, context: Context | None = None
) -> bool:
    """Say whether the documents together allow an action on a resource: one allows, none denies."""
    allowed = False
    for document in documents:
        for statement in document["Statement"]:
            if not any(fnmatchcase(action.lower(), one.lower()) for one in listed(statement["Action"])):
                continue
            if not any(fnmatchcase(resource, one) for one in listed(statement["Resource"])):
                continue
            if not _conditions_met(statement.get("Condition", {}), context or {}):
                continue
            if statement["Effect"] == "Deny":
                return False
            allowed = True
    return allowed


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _conditions_met(conditions: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    return all(
        _met(operator, listed(wanted), context.get(key))
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringLike": fnmatchcase,
    "ArnLike": fnmatchcase,
}


def _met(operator: str, wanted: list[str], value: str | list[str] | None) -> bool:
    if operator == "Null":
        return (value is None) == (wanted == ["true"])
    if operator.startswith("ForAllValues:"):
        test = _TESTS[operator.removeprefix("ForAllValues:")]
        return all(any(test(one, pattern) for pattern in wanted) for one in listed(value or []))
    if operator.endswith("IfExists"):
        return value is None or _met(operator.removesuffix("IfExists"), wanted, value)
    test = _TESTS[operator]
    return value is not None and any(test(one, pattern) for one in listed(value) for pattern in wanted)
