"""The rules of promotion, frozen before anyone sees a figure.

A `PromotionPolicy` validates itself when it is made and has a digest, so that a decision record can name the rules it
followed. `decide.py` applies it. A margin is the largest loss against the teacher that the users would accept; where
items are scored against the teacher's own logged answers, it is the largest share of disagreement. Margins are chosen
by the author of a workload, not by this package; 0.05 is what the simulations in docs/guides/decision.md speak of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.digest import digest

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class MetricRule:
    """What one metric must show.

    A primary metric must be shown to be within `margin` of the teacher and of the incumbent, and above the untuned
    student by more than `gain`. Against the incumbent it must also score higher: a tie keeps what is live. An
    `incumbent_margin` replaces that rule: the student must be shown to be within it, and 0 asks for a student that is
    shown to be better. A metric that is not primary only guards: evidence that it is worse by more than the margin
    stops a promotion.
    """

    name: str
    margin: float
    incumbent_margin: float | None = None
    gain: float = 0.0
    primary: bool = True

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigurationError("decision: a metric rule needs the metric's name.")
        _between(f"margin of {self.name}", self.margin, 0.0, 1.0, open_low=True)
        if self.incumbent_margin is not None:
            _between(f"incumbent_margin of {self.name}", self.incumbent_margin, 0.0, 1.0)
        _between(f"gain of {self.name}", self.gain, 0.0, 1.0)

    def margin_to(self, role: str) -> float:
        """Return how far below zero the difference to a role may lie."""
        if role == "untuned":
            return -self.gain
        if role == "incumbent" and self.incumbent_margin is not None:
            return self.incumbent_margin
        return self.margin

    def to_json(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class PromotionPolicy:
    """When a student may be promoted.

    `alpha` is the chance of promoting a student that violates a condition. Every condition must hold, each at the
    full `alpha`: a student that violates one passes all with at most the chance of passing that one. `looks` is how
    often the same student may be judged on a growing set; each look then spends its share of `alpha`. A student may
    still be stopped by guards (slices, metrics that are not primary), which share one `alpha` by Holm's method. With
    `require_golden` the primary metrics must be shown on prompts that people answered, `min_items` of them at least;
    the others can only stop. None switches a limit off; a limit meets an unknown figure as if it were crossed. With
    `payback_within_life` a run that pays back later than the student's base model ends, or never, holds; here an unknown
    figure does not.
    """

    metrics: tuple[MetricRule, ...]
    alpha: float = 0.05
    power: float = 0.8
    looks: int = 1
    min_items: int = 100
    min_slice_items: int = 30
    guard_slices: bool = True
    beat_untuned: bool = True
    require_golden: bool = False
    max_missing_share: float = 0.0
    max_error_share: float = 0.02
    max_p95_latency_ms: float | None = None
    max_run_usd: float | None = None
    max_monthly_usd: float | None = None
    require_break_even: bool = False
    max_payback_days: float | None = None
    payback_within_life: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", tuple(self.metrics))
        names = [rule.name for rule in self.metrics]
        if len(set(names)) != len(names):
            raise ConfigurationError("decision: a metric has two rules.")
        if not self.primary:
            raise ConfigurationError("decision: a policy needs at least one primary metric.")
        _between("alpha", self.alpha, 0.0, 0.5, open_low=True)
        _between("power", self.power, 0.5, 0.999)
        _between("max_missing_share", self.max_missing_share, 0.0, 1.0)
        _between("max_error_share", self.max_error_share, 0.0, 1.0)
        for name, least in (("looks", 1), ("min_items", 30), ("min_slice_items", 20)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigurationError(f"decision: {name} is a whole number of at least {least}.")
        for name in ("max_p95_latency_ms", "max_run_usd", "max_monthly_usd", "max_payback_days"):
            value = getattr(self, name)
            if value is not None:
                _between(name, value, 0.0, math.inf)

    @property
    def primary(self) -> tuple[MetricRule, ...]:
        """The rules that must be shown."""
        return tuple(rule for rule in self.metrics if rule.primary)

    @property
    def look_alpha(self) -> float:
        """The error rate of one look: the whole, shared evenly among the planned looks."""
        return self.alpha / self.looks

    @property
    def digest(self) -> str:
        """The name of these rules, 16 hex digits."""
        return digest(self.to_json(), 16)

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"v": SCHEMA, "metrics": [rule.to_json() for rule in self.metrics]}
        out |= {f.name: getattr(self, f.name) for f in fields(self) if f.name != "metrics"}
        if self.payback_within_life:
            del out["payback_within_life"]  # policies of earlier releases keep their digest
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PromotionPolicy:
        """Return the policy a mapping (JSON or YAML) describes; an unknown word is refused.

        >>> PromotionPolicy.from_json({"metrics": {"exact": 0.05}}).metrics[0].margin
        0.05
        """
        settings = {key: value for key, value in data.items() if key != "v"}
        known = {f.name for f in fields(cls)}
        if data.get("v", SCHEMA) != SCHEMA or not set(settings) <= known:
            unknown = ", ".join(sorted(set(settings) - known)) or "its version"
            raise ConfigurationError(
                f"decision: unknown policy settings: {unknown}.",
                hint=f"Allowed: {', '.join(sorted(known))}.",
            )
        if "metrics" not in settings:
            raise ConfigurationError("decision: the policy names no metrics.")
        return cls(**settings | {"metrics": tuple(_rules(settings["metrics"]))})


def _rules(data: Any) -> list[MetricRule]:
    """Read rules from a list of mappings, or from a mapping of names to margins or settings."""
    if isinstance(data, Mapping):
        data = [{"name": name} | _settings(rule) for name, rule in data.items()]
    if not isinstance(data, Sequence) or not all(isinstance(rule, Mapping) for rule in data):
        raise ConfigurationError("decision: metrics are a list of rules, or names with their margins.")
    known = {f.name for f in fields(MetricRule)}
    for rule in data:
        if not set(rule) <= known or not {"name", "margin"} <= set(rule):
            raise ConfigurationError(
                "decision: a metric rule needs `name` and `margin`, and takes no unknown setting.",
                hint=f"Allowed: {', '.join(sorted(known))}.",
            )
    return [MetricRule(**rule) for rule in data]


def _settings(rule: Any) -> dict[str, Any]:
    return dict(rule) if isinstance(rule, Mapping) else {"margin": rule}


def _between(name: str, value: Any, low: float, high: float, *, open_low: bool = False) -> None:
    """Refuse what is not a number between the two ends; the upper end is always open."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not low <= value < high or (open_low and value <= low):
        raise ConfigurationError(f"decision: {name} must be a number from {low:g} to below {high:g}.")
