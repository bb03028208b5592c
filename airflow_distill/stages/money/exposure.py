"""Exposure: the most that can still be billed for what exists now, by resource and in sum.

What a run has claimed and not settled belongs to it: its job, its calls and its candidate host may still use all of it.

A host is billed until its end date, a committed term until it ends, whatever happens to the host. A kept model, and a host
without an end, are billed until somebody deletes them: they have a price a day and no most. An unknown price is named,
never counted as zero. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from airflow_distill.stages.money.records import as_float, decimal, times, total

SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Billing:
    """One resource that bills or may bill.

    :param kind: `provisioned-throughput`, `custom-model-deployment`, `custom-model` or `customization-job`.
    :param model: the base model whose prices it is told in.
    :param usd_a_day: while it exists and nobody calls it; None is unknown.
    :param ends_at: from when on it is no longer billed; None when only a deletion ends it. An end that has passed while the
        resource is still there is no end: it is billed on until somebody deletes it.
    :param once_usd: of what `is_once`: the most that it may still cost, paid by use and not by time; None is unknown.
    :param committed: the term is owed even if the resource is deleted before.
    """

    kind: str
    name: str
    arn: str
    usd_a_day: Decimal | None
    ends_at: datetime | None = None
    committed: bool = False
    status: str = ""
    model: str = ""
    once_usd: Decimal | None = None
    is_once: bool = False

    def is_endless(self, now: datetime) -> bool:
        """Say whether only a deletion ends the bill."""
        if self.is_once:
            return False
        return self.usd_a_day != 0 and (self.ends_at is None or self.ends_at <= now)

    def most(self, now: datetime) -> Decimal | None:
        """Return what it can still cost until its end; None when the price is unknown or there is no end."""
        if self.is_once:
            return self.once_usd
        if self.usd_a_day == 0:
            return Decimal(0)
        if self.ends_at is None or self.is_endless(now):
            return None
        return times(self.usd_a_day, decimal((self.ends_at - now).total_seconds()) / SECONDS_A_DAY)


@dataclass(frozen=True, slots=True)
class Exposure:
    """All that bills at one moment."""

    at: datetime
    lines: tuple[Billing, ...]

    @property
    def usd_a_day(self) -> Decimal | None:
        """What a day costs while nothing changes; None when a price is unknown."""
        return total(line.usd_a_day for line in self.lines)

    @property
    def endless(self) -> tuple[Billing, ...]:
        """What is billed until somebody deletes it."""
        return tuple(line for line in self.lines if line.is_endless(self.at))

    @property
    def unknown(self) -> tuple[Billing, ...]:
        """What has no known price."""
        return tuple(
            line for line in self.lines if line.usd_a_day is None or (line.is_once and line.once_usd is None)
        )

    @property
    def most_usd(self) -> Decimal | None:
        """The most that can still be billed for what has an end; None when one of those prices is unknown."""
        return total(line.most(self.at) for line in self.lines if line not in self.endless)

    def to_json(self) -> dict[str, Any]:
        return {
            "currency": "USD",
            "usd_a_day": as_float(self.usd_a_day),
            "most_usd": as_float(self.most_usd),
            "lines": [
                {
                    "kind": line.kind,
                    "name": line.name,
                    "arn": line.arn,
                    "status": line.status,
                    "usd_a_day": as_float(line.usd_a_day),
                    "most_usd": as_float(line.most(self.at)),
                    "ends_at": line.ends_at.isoformat() if line.ends_at else None,
                    "committed": line.committed,
                }
                for line in self.lines
            ],
        }


def sentence(exposure: Exposure) -> str:
    """Return the exposure in one sentence: what a day costs, the most with an end, what has no end, what is unknown."""
    if not exposure.lines:
        return "Nothing bills."
    day = exposure.usd_a_day
    parts = [f"{day:,.2f} USD a day" if day is not None else "an unknown sum a day"]
    if exposure.most_usd is not None and exposure.most_usd > 0:
        parts.append(
            f"at most {exposure.most_usd:,.2f} USD until the end dates and of what runs have claimed"
        )
    if exposure.endless:
        parts.append(f"until deleted: {_names(exposure.endless)}")
    if exposure.unknown:
        parts.append(
            f"no price known for {_names(exposure.unknown)}: run `airflow-distill prices update`, or state "
            "it under budget.student_prices"
        )
    return "; ".join(parts) + "."


def _names(lines: Iterable[Billing]) -> str:
    return ", ".join(f"{line.kind} {line.name or line.arn}" for line in lines)
