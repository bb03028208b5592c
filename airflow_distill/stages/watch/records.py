"""What crosses the watch's door: one look a day, and what follows from all looks of a release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from airflow_distill.stages.watch.health import BUSY, Counts, Sign
from airflow_distill.stages.watch.sequential import HORIZON, strengths, total

OUTCOMES = ("fine", "retrain", "roll-back")
DRIFTED_DAYS = 3
"""Days in a row on which prompts must lie far from the training set."""


@dataclass(frozen=True, slots=True)
class WatchRules:
    """When a watch acts.

    :param alpha: rate of false alarms of the quality test in 90 days.
    :param drift: distance of a day's prompts from the training set (0 to 1) above which it has drifted.
    :param retrain: start the loop when quality fell or prompts drifted.
    :param roll_back: `never`, `ask` (a person is told the command) or `automatic`.
    """

    alpha: float = 0.05
    drift: float = 0.3
    retrain: bool = True
    roll_back: str = "never"


@dataclass(frozen=True, slots=True)
class Look:
    """What one day showed, in counts and scores, without text.

    :param scores: agreement of the student with the teacher -> how often.
    :param drift: aspect -> distance from the training set.
    :param evidence: how much of an alarm there is of a fall in quality; 1 is one.
    :param asked: prompts that the teacher was asked for this look; `usd` what that cost, None when no price is known.
    """

    workload: str
    release: int
    day: str
    counts: Counts
    scores: Mapping[float, int] = field(default_factory=dict)
    drift: Mapping[str, float] = field(default_factory=dict)
    asked: int = 0
    usd: float | None = None
    unasked: str = ""
    outcome: str = "fine"
    evidence: float = 0.0
    signs: tuple[Sign, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "watch-look",
            "v": 1,
            "workload": self.workload,
            "release": self.release,
            "day": self.day,
            "outcome": self.outcome,
            "evidence": round(self.evidence, 6),
            "signs": [sign.to_json() for sign in self.signs],
            "counts": self.counts.to_json(),
            "scores": [[score, count] for score, count in sorted(self.scores.items())],
            "drift": dict(sorted(self.drift.items())),
            "asked": self.asked,
            "usd": self.usd,
            "unasked": self.unasked,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Look:
        if data.get("kind") != "watch-look" or data.get("v") != 1 or data["outcome"] not in OUTCOMES:
            raise ValueError("no look of a version known here")
        return cls(
            workload=str(data["workload"]),
            release=int(data["release"]),
            day=str(data["day"]),
            counts=Counts.from_json(data["counts"]),
            scores={float(score): int(count) for score, count in data["scores"]},
            drift={str(k): float(v) for k, v in data["drift"].items()},
            asked=int(data["asked"]),
            usd=data.get("usd"),
            unasked=str(data.get("unasked") or ""),
            outcome=data["outcome"],
            evidence=float(data["evidence"]),
            signs=tuple(Sign(str(s["code"]), str(s["said"])) for s in data["signs"]),
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """What all looks of a release amount to on the last day."""

    outcome: str
    evidence: float
    signs: tuple[Sign, ...]


def judge(
    earlier: Sequence[Look],
    today: Look,
    rules: WatchRules,
    baseline: tuple[float, int] | None,
    health: Sequence[Sign],
) -> Judged:
    """Return what follows from today's look and the earlier ones of the same release.

    An outcome other than fine is given once for a release: the day after, what it asked for is under way.

    :param baseline: (mean, prompts) of the student's agreement with the teacher at the release; None when it was not
        measured, and the first live days alone are compared with.
    """
    found = [*health]
    fell, strength = _fell([*earlier, today], rules, baseline)
    if fell:
        found.append(Sign("quality", fell))
    drifted = _drifted([*earlier, today], rules)
    if drifted:
        found.append(Sign("drift", drifted))
    told = {look.outcome for look in earlier}
    outcome = "fine"
    if fell and rules.roll_back != "never" and "roll-back" not in told:
        outcome = "roll-back"
    elif (fell or drifted) and rules.retrain and not told & {"retrain", "roll-back"}:
        outcome = "retrain"
    return Judged(outcome, strength, tuple(found))


def _fell(looks: Sequence[Look], rules: WatchRules, baseline: tuple[float, int] | None) -> tuple[str, float]:
    """Return whether quality has fallen, in words, and the evidence of it."""
    days = _by_day(looks)
    recent = days[(len(days) - 1) // HORIZON * HORIZON :]
    told = strengths(recent, baseline, rules.alpha)
    if max(told) < 1:
        return "", told[-1]
    span = min(14, len(recent))
    mean, count = total(recent[-span:])
    first = f"{baseline[0]:.1%} at the release" if baseline else "less than in its first days"
    return (
        f"agreement with the teacher is {mean:.1%} over {span} days ({count} prompts); it was {first}",
        told[-1],
    )


def _by_day(looks: Sequence[Look]) -> list[Mapping[float, int]]:
    """Return the scores of each day from the first look to the last, days without a look empty."""
    scores = {date.fromisoformat(look.day): look.scores for look in looks}
    first, last = min(scores), max(scores)
    return [scores.get(first + timedelta(days=n), {}) for n in range((last - first).days + 1)]


def _drifted(looks: Sequence[Look], rules: WatchRules) -> str:
    last = looks[-DRIFTED_DAYS:]
    if len(last) < DRIFTED_DAYS:
        return ""
    far = [
        {aspect for aspect, distance in look.drift.items() if distance > rules.drift}
        if look.counts.seen >= BUSY
        else set()
        for look in last
    ]
    both = set.intersection(*far)
    if not both:
        return ""
    worst = max(both, key=lambda aspect: last[-1].drift[aspect])
    return (
        f"prompts lie {last[-1].drift[worst]:.2f} from the training set by {worst}, above {rules.drift:.2f} on "
        f"{DRIFTED_DAYS} days in a row"
    )
