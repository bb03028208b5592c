"""Hosts that bill for nothing, or for more than the traffic needs, and models that are forgotten.

Takes what CloudWatch counted for a host or model and what it costs; hands on findings with both bills. Pure, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_distill.stages.money.serving import DAYS_A_MONTH

IDLE_DAYS = 3.0
"""A host that is paid by the hour and was not called for so many days is idle."""
FORGOTTEN_DAYS = 10.0
"""A Legacy model that was not called for so long may be closed to the account (Model lifecycle)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to tell. `monthly_usd` is what it costs a month as it is, `other_monthly_usd` what the other host would."""

    code: str
    resource: str
    said: str
    monthly_usd: float | None = None
    other_monthly_usd: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def idle(
    name: str, daily_usd: float | None, calls: float, last: datetime | None, since: datetime, now: datetime
) -> Finding | None:
    """Return that a host paid by the hour is idle.

    :param since: from when on calls were looked for, or the host's creation if that is later.
    """
    quiet = now - (last or since)
    if daily_usd == 0 or quiet < timedelta(days=IDLE_DAYS):
        return None
    days = quiet.total_seconds() / 86_400
    bills = "an unknown sum" if daily_usd is None else f"{daily_usd:,.2f} USD"
    called = (
        f"was not called for {days:.1f} days"
        if last or not calls
        else f"was hardly called in {days:.1f} days"
    )
    month = None if daily_usd is None else daily_usd * float(DAYS_A_MONTH)
    return Finding(
        "idle",
        name,
        f"{name} {called} and bills {bills} a day: delete it, or `airflow-distill reap` does when nothing points at it",
        month,
    )


def underused(
    name: str, kind: str, monthly: Mapping[str, float | None], days: float, calls: float
) -> Finding | None:
    """Return that another kind of host would be cheaper at the traffic that was counted.

    :param monthly: kind of host -> what a month of it costs at this traffic; None is unknown.
    """
    own = monthly.get(kind)
    others = {k: usd for k, usd in monthly.items() if k != kind and usd is not None}
    if own is None or not others or days <= 0:
        return None
    best = min(others, key=lambda each: others[each])
    if others[best] >= own:
        return None
    return Finding(
        "underused",
        name,
        f"{name} costs {own:,.2f} USD a month as {kind}; at its traffic ({calls / days:,.0f} calls a day) a {best} "
        f"would cost {others[best]:,.2f} USD: set deployment.host to {best}",
        own,
        others[best],
    )


def forgotten(
    model: str, role: str, last: datetime | None, looked_days: float, now: datetime
) -> Finding | None:
    """Return that a Legacy model has not been called for long, and may be lost to the account."""
    quiet = looked_days if last is None else (now - last).total_seconds() / 86_400
    if quiet < FORGOTTEN_DAYS:
        return None
    more = "or more " if last is None else ""
    return Finding(
        "forgotten",
        model,
        f"the {role} {model} is Legacy and was not called for {quiet:.0f} days {more}here: call it, or distil onto another "
        "before it is closed to you",
    )
