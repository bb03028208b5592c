"""Scorers by name: plain settings (from YAML or a Dag) become scorers, and scorers say how they were made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.digest import digest
from airflow_distill.stages.evaluation.scorers.exact import ExactMatch
from airflow_distill.stages.evaluation.scorers.function import Function
from airflow_distill.stages.evaluation.scorers.json_fields import JsonFields
from airflow_distill.stages.evaluation.scorers.json_schema import JsonSchema
from airflow_distill.stages.evaluation.scorers.json_valid import JsonValid
from airflow_distill.stages.evaluation.scorers.labels import LabelAccuracy, MacroF1
from airflow_distill.stages.evaluation.scorers.protocol import Scorer
from airflow_distill.stages.evaluation.scorers.rouge import RougeL
from airflow_distill.stages.evaluation.scorers.tokens import CharF1, TokenF1
from airflow_distill.stages.evaluation.scorers.tool_calls import ToolCalls

SCORERS: dict[str, type[Any]] = {
    "exact": ExactMatch,
    "label_accuracy": LabelAccuracy,
    "macro_f1": MacroF1,
    "token_f1": TokenF1,
    "char_f1": CharF1,
    "rouge_l": RougeL,
    "json_valid": JsonValid,
    "json_schema": JsonSchema,
    "json_fields": JsonFields,
    "tool_calls": ToolCalls,
    "function": Function,
}
"""Kind -> scorer. A scorer's fields are its settings."""


def make_scorer(spec: str | Mapping[str, Any]) -> Scorer:
    """Return the scorer that a kind, or a mapping with `kind` and settings, asks for.

    >>> make_scorer({"kind": "exact", "strict": True})
    ExactMatch(name='exact', strict=True)
    """
    settings = {"kind": spec} if isinstance(spec, str) else dict(spec)
    kind = settings.pop("kind", None)
    version = settings.pop("version", None)
    if kind not in SCORERS:
        raise ConfigurationError(
            f"evaluation: there is no scorer {kind!r}.", hint=f"One of {', '.join(SCORERS)}."
        )
    if version not in (None, SCORERS[kind].version):
        raise ConfigurationError(
            f"evaluation: {kind} is asked for in version {version}; this release has version {SCORERS[kind].version}.",
            hint="Leave `version` out, and score all that you compare with one release.",
        )
    try:
        made: Scorer = SCORERS[kind](**settings)
    except TypeError:
        known = ", ".join(_settings(SCORERS[kind]))
        raise ConfigurationError(
            f"evaluation: the scorer {kind} was given settings it does not take, or lacks one it needs.",
            hint=f"Its settings are {known}.",
        ) from None
    return made


def make_scorers(specs: Iterable[str | Mapping[str, Any]]) -> tuple[Scorer, ...]:
    """Return the scorers in order; two of one name are refused, because a metric has one meaning."""
    scorers = tuple(make_scorer(spec) for spec in specs)
    names = [scorer.name for scorer in scorers]
    if len(set(names)) != len(names):
        raise ConfigurationError("evaluation: two scorers have one name.", hint="Give one of them a `name`.")
    return scorers


def describe(scorer: Scorer) -> dict[str, Any]:
    """Return how a scorer was made, as plain data; a schema is named by its digest, and what it does by its version."""
    kind = next((kind for kind, made in SCORERS.items() if isinstance(scorer, made)), "custom")
    out: dict[str, Any] = {"kind": kind, "name": scorer.name, "version": getattr(scorer, "version", 1)}
    for name in _settings(type(scorer)):
        value = getattr(scorer, name)
        if name != "name":
            out[name] = digest(dict(value), 16) if isinstance(value, Mapping) else _plain(value)
    return out


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _settings(kind: type[Any]) -> list[str]:
    return [f.name for f in fields(kind) if f.init] if hasattr(kind, "__dataclass_fields__") else []
