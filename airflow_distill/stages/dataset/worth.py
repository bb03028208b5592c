"""Is a new student worth its price? Too little new, no drift, nothing to save: then the run ends here, at no cost.

Takes the new dataset's profile, that of the dataset behind the live model and a policy; hands on a `Worth`: the
verdict, the reason in one word and the figures. Whatever is unknown counts as worth it: a first run always is, when the
service would take its file at all.
Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.checks import LEAST_RECORDS
from airflow_distill.stages.dataset.profile import distance

TOO_FEW = "too_few"
"""Why a quiet window makes no student: the service takes no file of fewer records than `LEAST_RECORDS`."""


@dataclass(frozen=True, slots=True)
class WorthPolicy:
    """When a new run pays.

    `least_new` is the number, `least_new_share` the share of training prompts that the live model's dataset does
    not hold (nor a near copy); reaching both is enough. `least_drift` is the greatest distance over lengths, labels
    and metadata that is enough by itself. `least_saving` is the least saving a month in the price table's currency;
    None: not asked.
    """

    least_new: int = 100
    least_new_share: float = 0.1
    least_drift: float = 0.15
    least_saving: float | None = None

    def __post_init__(self) -> None:
        if self.least_new < 0 or not 0 <= self.least_new_share <= 1 or not 0 <= self.least_drift <= 1:
            raise ConfigurationError(
                "dataset: the worth-it policy has a figure out of range.",
                hint="Shares and drift lie between 0 and 1.",
            )

    def to_json(self) -> dict[str, Any]:
        return {
            "least_new": self.least_new,
            "least_new_share": self.least_new_share,
            "least_drift": self.least_drift,
            "least_saving": self.least_saving,
        }


@dataclass(frozen=True, slots=True)
class Worth:
    """The verdict: `reason` is one of `first`, `enough_new`, `drift`, `little_new`, `nothing_to_save`, `too_few`."""

    worth_it: bool
    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"worth_it": self.worth_it, "reason": self.reason, "figures": dict(self.figures)}


def judge_worth(
    policy: WorthPolicy,
    profile: Mapping[str, Any],
    live_profile: Mapping[str, Any] | None,
    *,
    train: int,
    new: int | None = None,
    saving: float | None = None,
) -> Worth:
    """Return whether a new student pays.

    :param train: training prompts of the new dataset.
    :param new: how many of them are new to the live model's dataset; None when that is unknown.
    :param saving: what the student would save a month; None when that is unknown.
    """
    figures: dict[str, Any] = {"train": train}
    if train < LEAST_RECORDS:
        return Worth(False, TOO_FEW, figures)
    if saving is not None:
        figures["saving"] = round(saving, 2)
        if policy.least_saving is not None and saving < policy.least_saving:
            return Worth(False, "nothing_to_save", figures)
    if live_profile is None or new is None:
        return Worth(True, "first", figures)
    drift = distance(profile, live_profile)
    figures |= {"new": new, "new_share": round(new / train, 4) if train else 0.0, "drift": drift}
    if new >= policy.least_new and train and new / train >= policy.least_new_share:
        return Worth(True, "enough_new", figures)
    if drift and max(drift.values()) >= policy.least_drift:
        return Worth(True, "drift", figures)
    return Worth(False, "little_new", figures)
