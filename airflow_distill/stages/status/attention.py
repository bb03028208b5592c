"""The first thing about a workload that needs a person: one sentence, and what to do. Pure; the present is passed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_distill.stages.status.records import Status

QUIET = timedelta(days=3)
"""A run whose last step is as old as this has probably died: a wait for a job ends or is renewed before."""


@dataclass(frozen=True, slots=True)
class Attention:
    """What needs a person.

    :param code: `failed`, `approval`, `drift`, `health`, `cap`, `term`, `lifecycle`, `silent`, `unpriced`.
    :param grave: 1 is the gravest; the list is sorted by it.
    :param until: when it is too late (ISO 8601), empty when never.
    """

    code: str
    said: str
    do: str
    grave: int
    until: str = ""


def attention(status: Status, now: datetime) -> Attention | None:
    """Return the gravest thing that needs a person, or None when nothing does."""
    return min(everything(status, now), key=lambda each: each.grave, default=None)


def everything(status: Status, now: datetime) -> Iterator[Attention]:
    """Yield all that needs a person."""
    step, money = status.step, status.money
    if status.failure:
        failed = status.failure
        why = f" ({failed.error})" if failed.error else ""
        yield Attention(
            "failed", f"{failed.task_id} failed{why}.", "Read the end of its log; then clear the task.", 1
        )
    if status.question:
        asked = status.question
        yield Attention(
            "approval", "A promotion waits for an answer", "Look at it, then answer.", 3, asked.until
        )
    for warned in status.warnings:
        grave = {"drift": 2, "term": 6, "lifecycle": 7}.get(warned.code, 7)
        yield Attention(warned.code, warned.said, warned.do, grave)
    if status.health and status.health.state in ("drifting", "failing"):
        yield Attention(
            "health", status.health.said or f"The live student is {status.health.state}.", "Look at it.", 4
        )
    month = money.spent.get(f"{now:%Y%m}", 0.0)
    if money.cap_usd is not None and month >= money.cap_usd > 0:
        said = f"This month's cap of {money.cap_usd:,.2f} USD is used up."
        yield Attention("cap", said, "Raise budget.usd_per_month, or wait for the next month.", 5)
    if step and step.state in ("running", "waiting") and not status.question and _age(step.at, now) > QUIET:
        days = _age(step.at, now).days
        yield Attention(
            "silent",
            f"{step.task_id} has said nothing for {days} days.",
            "Look at the Dag run: does it live?",
            8,
        )
    if money.unpriced:
        said = f"{money.unpriced} of the resources that bill have no known price."
        yield Attention("unpriced", said, "State the price under budget.student_prices.", 9)


def _age(moment: str, now: datetime) -> timedelta:
    try:
        return now - datetime.fromisoformat(moment)
    except (ValueError, TypeError):
        return timedelta(0)
