"""What a run was thought to cost, what it came to, and what is still open, stage by stage.

Takes the estimate, the run's records of usage and what the month's book holds for it; hands on one row a stage. An actual
sum is never the estimate: where nothing was counted there is no actual. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.money.records import as_float, decimal, total
from airflow_distill.stages.money.usage import STAGES, Metered, actual, at_risk

HOW = {
    "counted": "counted as it happened",
    "derived": "worked out from the job's own output",
    "open": "not settled yet",
    "none": "not begun",
}
"""How an actual sum is known -> the same in words."""


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage. None is unknown; `unpriced` names what has no price.

    :param estimate_usd: what was expected before the run.
    :param most_usd: what the caps were asked for.
    :param actual_usd: what it came to so far; None where nothing was counted.
    :param open_usd: the most that may come on top.
    :param how: a word of `HOW`.
    """

    stage: str
    estimate_usd: Decimal | None
    most_usd: Decimal | None
    actual_usd: Decimal | None
    open_usd: Decimal | None
    how: str
    calls: int = 0
    unpriced: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "estimate_usd": as_float(self.estimate_usd),
            "most_usd": as_float(self.most_usd),
            "actual_usd": as_float(self.actual_usd),
            "open_usd": as_float(self.open_usd),
            "how": self.how,
            "calls": self.calls,
            "unpriced": list(self.unpriced),
        }


@dataclass(frozen=True, slots=True)
class Statement:
    """A run's stages and their sums; a sum with an unknown part is unknown."""

    rows: tuple[StageRow, ...]
    priced_at: str = ""

    @property
    def estimate_usd(self) -> Decimal | None:
        """What the whole run was expected to cost; None when nobody has estimated it."""
        return total(row.estimate_usd for row in self.rows) if self.rows else None

    @property
    def actual_usd(self) -> Decimal | None:
        """What it came to so far: stages that have not begun count nothing."""
        return total(row.actual_usd for row in self.rows if row.how not in ("none", "open"))

    @property
    def open_usd(self) -> Decimal | None:
        """The most that may come on top."""
        return total(row.open_usd for row in self.rows)

    @property
    def unpriced(self) -> tuple[str, ...]:
        """What has no price."""
        return tuple(dict.fromkeys(item for row in self.rows for item in row.unpriced))

    def to_json(self) -> dict[str, Any]:
        return {
            "v": 1,
            "currency": "USD",
            "rows": [row.to_json() for row in self.rows],
            "estimate_usd": as_float(self.estimate_usd),
            "actual_usd": as_float(self.actual_usd),
            "open_usd": as_float(self.open_usd),
            "unpriced": list(self.unpriced),
            "priced_at": self.priced_at,
        }


def stage_of(key: str) -> str:
    """Return the stage of a claim's key: `job 2` and `evaluation@dag/run` name `job` and `evaluation`."""
    name = key.split("@", 1)[0]
    return next((stage for stage in sorted(STAGES, key=len, reverse=True) if name.startswith(stage)), name)


def statement(
    table: PriceTable,
    records: Iterable[Metered],
    *,
    estimate: Mapping[str, Mapping[str, float | None]] | None = None,
    held: Mapping[str, Decimal] | None = None,
    settled: Iterable[str] = (),
    region: str = "",
) -> Statement:
    """Return what a run cost and may still cost.

    :param estimate: stage -> `usd` and `most_usd`, as `RunUsage.estimate` gives it.
    :param held: claim's key -> dollars that the month's book holds for it.
    :param settled: keys of claims that were replaced by what they came to.
    """
    found = list(records)
    planned, closed = dict(estimate or {}), set(settled)
    claims = {key: usd for key, usd in (held or {}).items() if usd or key in closed}
    stages = [
        stage
        for stage in STAGES
        if stage in planned
        or any(record.stage == stage for record in found)
        or any(stage_of(key) == stage for key in claims)
    ]
    rows = [
        _row(
            stage,
            table,
            [record for record in found if record.stage == stage],
            planned.get(stage) or {},
            {key: usd for key, usd in claims.items() if stage_of(key) == stage},
            closed,
            region,
        )
        for stage in stages
    ]
    return Statement(tuple(rows), table.date)


def _row(
    stage: str,
    table: PriceTable,
    records: list[Metered],
    planned: Mapping[str, float | None],
    claims: Mapping[str, Decimal],
    closed: set[str],
    region: str,
) -> StageRow:
    spent, risk = actual(table, records, region), at_risk(table, records, region)
    came = spent.total_usd if records else None
    waiting = sum((usd for key, usd in claims.items() if key not in closed), Decimal(0))
    open_usd: Decimal | None
    if waiting:
        paid = sum((usd for key, usd in claims.items() if key in closed), Decimal(0))
        open_usd = max(Decimal(0), waiting - max(Decimal(0), (spent.known_usd - paid)))
    elif records or claims:
        open_usd = risk.total_usd
    else:
        open_usd = _money(planned.get("most_usd"))
    if records:
        how = "derived" if any(record.how == "derived" for record in records) else "counted"
    else:
        how = "open" if waiting else "none"
    return StageRow(
        stage=stage,
        estimate_usd=_money(planned.get("usd")),
        most_usd=_money(planned.get("most_usd")),
        actual_usd=came,
        open_usd=open_usd,
        how=how,
        calls=sum(record.calls for record in records),
        unpriced=tuple(dict.fromkeys((*spent.unknown, *risk.unknown))),
    )


def _money(usd: float | None) -> Decimal | None:
    return None if usd is None else decimal(usd)
