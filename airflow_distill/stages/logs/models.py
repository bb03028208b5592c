r"""Turns whatever a caller used as a model id into the base model id, so that one model has one name.

Standard library and the table of models only; asks nobody. Base ids, foundation-model ARNs and system inference profiles
say which model they mean.
Application profiles, provisioned throughput, custom model deployments and custom models do not; for those a mapping is
given, from ARN (or its last part) to model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from airflow_distill.stages.model_table import in_force

_ARN = re.compile(r"arn:[a-z0-9-]{0,32}:bedrock:[a-z0-9-]{0,32}:\d{0,20}:([a-z-]{1,64})/(.+)")
_BASE = re.compile(r"[a-z0-9-]{1,64}\.[a-zA-Z0-9._:-]{1,256}")


def resolve_model(model_id: str, mapping: Mapping[str, str] | None = None) -> str:
    """Return the base model id, or "" when the id is opaque and the mapping does not know it.

    The mapping wins over every rule; what it says is resolved once more, so it may name a profile.
    """
    mapping = mapping or {}
    known = mapping.get(model_id)
    if known is None:
        known = mapping.get(model_id.rpartition("/")[2])
    if known is not None:
        return _plain(known) or known
    return _plain(model_id)


def aliases(model: str, mapping: Mapping[str, str] | None = None) -> frozenset[str]:
    """Return texts of which at least one occurs in every model id that resolves to the model."""
    found = {model.rpartition("/")[2]}
    for alias, target in (mapping or {}).items():
        if (_plain(target) or target) == model:
            found.add(alias.rpartition("/")[2])
    return frozenset(found)


def _plain(model_id: str) -> str:
    match = _ARN.fullmatch(model_id)
    if match is None:
        return _without_geography(model_id) if _BASE.fullmatch(model_id) else ""
    kind, name = match.groups()
    if kind == "foundation-model":
        return name
    if kind == "inference-profile":
        return _without_geography(name)
    return ""


def _without_geography(name: str) -> str:
    return in_force().prefix.sub("", name)
