"""Deployment settings as people write them (a YAML file, operator arguments) become records; a wrong word is refused.

Values may arrive as text, because templates render to text. Nothing is guessed: an unknown member stops the author.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.deployment.records import (
    KINDS,
    BakeSettings,
    CanarySettings,
    Commitment,
    HostKind,
    HostWish,
    ProbeSettings,
    Traffic,
)
from airflow_distill.stages.deployment.times import iso_or_none
from airflow_distill.stages.deployment.values import flag, number, whole

_ALIASES: Mapping[str, str] = {
    "pt": "provisioned-throughput",
    "provisioned": "provisioned-throughput",
    "cmd": "custom-model-deployment",
    "on-demand": "custom-model-deployment",
}


def host_wish(
    *,
    kind: str = "auto",
    units: Any = None,
    commitment: str | None = "none",
    hourly_price: Any = None,
    ends_at: Any = None,
    daily_price_cap: Any = None,
    accept_commitment: Any = False,
    input_tokens_per_day: Any = None,
    output_tokens_per_day: Any = None,
) -> HostWish:
    """Return the wish that plain settings amount to."""
    word = _ALIASES.get(kind, kind)
    if word not in ("auto", *KINDS):
        raise ConfigurationError(
            f"deployment: {kind!r} is not a host kind.", hint=f"Use auto, {' or '.join(KINDS)}."
        )
    read = number(input_tokens_per_day, "input_tokens_per_day")
    written = number(output_tokens_per_day, "output_tokens_per_day")
    return HostWish(
        kind=cast("HostKind", word),
        units=whole(units, "units"),
        commitment=cast("Commitment", commitment or "none"),
        hourly_price=number(hourly_price, "hourly_price"),
        ends_at=iso_or_none(ends_at),
        daily_price_cap=number(daily_price_cap, "daily_price_cap"),
        accept_commitment=flag(accept_commitment),
        traffic=None if read is None or written is None else Traffic(read, written),
    )


def probe_settings(
    data: Mapping[str, Any] | None, default: ProbeSettings | None = None
) -> ProbeSettings | None:
    """Return what a smoke test or one probe asks for; None (or `{"prompts": 0}`) turns it off."""
    if data is None:
        return None
    base = default or ProbeSettings()
    _known(data, {f.name for f in fields(ProbeSettings)}, "a smoke test")
    prompts = _count(data.get("prompts", base.prompts), "prompts")
    if not prompts:
        return None
    return ProbeSettings(
        prompts=prompts,
        shape=dict(data.get("shape") or base.shape),
        max_tokens=whole(data.get("max_tokens"), "max_tokens") or base.max_tokens,
        max_error_rate=_or(number(data.get("max_error_rate"), "max_error_rate"), base.max_error_rate),
        max_latency_ms=_or(number(data.get("max_latency_ms"), "max_latency_ms"), base.max_latency_ms),
        min_shape_rate=_or(number(data.get("min_shape_rate"), "min_shape_rate"), base.min_shape_rate),
        min_score=_or(number(data.get("min_score"), "min_score"), base.min_score),
    )


def bake_settings(data: Mapping[str, Any] | None) -> BakeSettings | None:
    """Return the bake period; None (or `{"probes": 0}`) turns it off."""
    if data is None:
        return None
    rest = {key: value for key, value in data.items() if key not in {"probes", "every_seconds"}}
    limits = probe_settings(rest, BakeSettings().limits)
    probes = _count(data.get("probes", 3), "probes")
    if not probes or limits is None:
        return None
    every = _or(number(data.get("every_seconds"), "every_seconds"), 300.0)
    return BakeSettings(probes=probes, every_seconds=every, limits=limits)


def canary_settings(data: Mapping[str, Any] | None) -> CanarySettings | None:
    """Return how callers are moved share by share; None (or `{"shares": []}`) moves all at once.

    :raises ConfigurationError: an unknown setting, or shares that do not rise between 0 and 1.
    """
    if data is None:
        return None
    own = {f.name for f in fields(CanarySettings)} - {"limits"}
    limits = probe_settings({k: v for k, v in data.items() if k not in own}, CanarySettings().limits)
    base = CanarySettings()
    told = data.get("shares", base.shares)
    if not isinstance(told, list | tuple):
        raise ConfigurationError(
            f"deployment: the shares of a canary are a list, not {told!r}.",
            hint="Write them as [0.05, 0.25, 0.5], or [] to move all calls at once.",
        )
    shares = tuple(float(number(share, "shares") or 0) for share in told)
    if not shares or limits is None:
        return None
    if any(not 0 < share < 1 for share in shares) or list(shares) != sorted(set(shares)):
        raise ConfigurationError(
            "deployment: the shares of a canary rise, each above 0 and below 1.",
            hint="Write them as [0.05, 0.25, 0.5]; all calls follow after the last.",
        )
    return CanarySettings(
        shares=shares,
        every_seconds=_or(number(data.get("every_seconds"), "every_seconds"), base.every_seconds),
        limits=limits,
        max_failed=_or(number(data.get("max_failed"), "max_failed"), base.max_failed),
        least_calls=whole(data.get("least_calls"), "least_calls") or base.least_calls,
    )


def _count(value: Any, name: str) -> int | None:
    found = whole(value, name)
    if found is not None and found < 0:
        raise ConfigurationError(
            f"deployment: {name} is {found}.", hint=f"Write 1 or more, or 0 to do without {name}."
        )
    return found


def _or(value: float | None, default: Any) -> Any:
    return default if value is None else value


def _known(data: Mapping[str, Any], known: set[str], what: str) -> None:
    unknown = sorted(set(data) - known)
    if unknown:
        raise ConfigurationError(
            f"deployment: {unknown[0]!r} is not a setting of {what}.",
            hint=f"Known: {', '.join(sorted(known))}.",
        )
