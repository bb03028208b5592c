"""What a student saves a month, as an interval and against whom, and whether it pays back while its base model lives.

Takes what calls used (means of tokens by kind, with how they vary), how many calls a day there were, and prices; hands
on one `Saving` for each counterfactual. The teacher is priced as it was really billed, cached input as such; a student
reads the same input fresh, because a deployment of a custom model has no cache. The interval covers how calls differ from
one another and how days do, as far as the windows show it; that traffic will stay as it was is assumed and said. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from airflow_distill.stages.money.prices import ON_DEMAND, PriceTable
from airflow_distill.stages.money.records import Tokens
from airflow_distill.stages.money.serving import DAYS_A_MONTH, HOURS_A_MONTH

ITEMS = ("input", "cache-read", "cache-write", "output")
Z = 2.2414
"""Each of the two parts of an interval holds at 97.5 %, so that both together hold at 95 %."""
T = {1: 25.45, 2: 6.205, 3: 4.177, 4: 3.495, 5: 3.163, 6: 2.969, 7: 2.841, 8: 2.752, 9: 2.685, 10: 2.634}
"""The same for few windows: Student's t at 97.5 % two-sided, by degrees of freedom."""

TEACHER, UNTUNED, INCUMBENT = "the teacher as it was billed", "the untuned student", "the model now live"


@dataclass(frozen=True, slots=True)
class CallMoments:
    """How many tokens of each kind calls use: count, sums, and sums of products, from which any price's mean follows."""

    n: int
    sums: tuple[float, ...]
    products: tuple[float, ...]

    @classmethod
    def of(cls, calls: Iterable[Tokens]) -> CallMoments:
        """Add up calls."""
        n, sums = 0, [0.0] * 4
        products = [0.0] * 16
        for call in calls:
            row = (call.input, call.cache_read, call.cache_write, call.output)
            n += 1
            for i, one in enumerate(row):
                sums[i] += one
                for j, other in enumerate(row):
                    products[4 * i + j] += one * other
        return cls(n, tuple(sums), tuple(products))

    def mean_and_error(self, prices: Sequence[float]) -> tuple[float, float]:
        """Return the mean price of a call and its standard error, for a price of each kind."""
        if not self.n:
            return 0.0, math.inf
        mean = sum(p * s for p, s in zip(prices, self.sums, strict=True)) / self.n
        square = (
            sum(prices[i] * prices[j] * self.products[4 * i + j] for i in range(4) for j in range(4)) / self.n
        )
        if self.n < 2:
            return mean, math.inf
        variance = max(0.0, square - mean * mean) * self.n / (self.n - 1)
        return mean, math.sqrt(variance / self.n)

    def to_json(self) -> dict[str, Any]:
        return {"n": self.n, "sums": list(self.sums), "products": list(self.products)}

    @classmethod
    def from_json(cls, data: Any) -> CallMoments | None:
        """Rebuild; None when it is something else, such as the profile of an older dataset."""
        try:
            found = cls(int(data["n"]), tuple(map(float, data["sums"])), tuple(map(float, data["products"])))
        except (TypeError, KeyError, ValueError):
            return None
        return found if len(found.sums) == 4 and len(found.products) == 16 and found.n > 0 else None


@dataclass(frozen=True, slots=True)
class Saving:
    """What the student saves a month against one counterfactual; below zero it costs more. None is unknown.

    :param low: lower end of the interval, in USD a month.
    :param high: upper end.
    :param why: what is unknown, or what the interval rests on.
    """

    against: str
    usd: float | None
    low: float | None
    high: float | None
    why: str
    forecast: bool = True

    @property
    def nothing_to_save(self) -> bool:
        """Say whether even the upper end saves nothing."""
        return self.high is not None and self.high <= 0

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {
            "nothing_to_save": self.nothing_to_save
        }


@dataclass(frozen=True, slots=True)
class Host:
    """How a custom model is served: the price of its tokens, and what it costs a month whoever calls.

    :param model: its base model's id.
    """

    kind: str = ON_DEMAND
    model: str = ""
    units: int = 1
    hourly_usd: float | None = None
    commitment: str = "none"


def forecast(
    table: PriceTable,
    moments: CallMoments | None,
    calls_a_day: Sequence[float],
    *,
    teacher: str,
    student: str,
    host: Host,
    region: str = "",
    incumbent: Host | None = None,
) -> tuple[Saving, ...]:
    """Return the saving against the teacher, against the untuned student, and against the model that is live.

    :param calls_a_day: calls that a student could answer, a day, one number a window, the newest last.
    :param incumbent: how the model that is live now is served, its base model named; None when nothing is live.
    """
    found = [
        _saving(table, moments, calls_a_day, against, kind_model, host, student, region)
        for against, kind_model in ((TEACHER, ("inference", teacher)), (UNTUNED, ("inference", student)))
    ]
    if incumbent is not None:
        billed = ("deployment" if incumbent.kind == ON_DEMAND else "", incumbent.model)
        found.append(
            _saving(table, moments, calls_a_day, INCUMBENT, billed, host, student, region, incumbent)
        )
    return tuple(found)


def _saving(
    table: PriceTable,
    moments: CallMoments | None,
    calls_a_day: Sequence[float],
    against: str,
    other: tuple[str, str],
    host: Host,
    student: str,
    region: str,
    beside: Host | None = None,
) -> Saving:
    """Return what is saved against another model.

    :param other: how its tokens are billed, "" where the hour is paid instead, and the base model whose prices count.
    :param beside: how it is served, where that costs something whoever calls.
    """
    fixed, missing = _fixed(table, host, student, region)
    if beside is not None:
        spared, unpriced = _fixed(table, beside, beside.model, region)
        missing = (*missing, *unpriced)
        fixed = None if fixed is None or spared is None else fixed - spared
    if moments is None or not calls_a_day:
        return Saving(
            against, None, None, None, "the logs' own traffic is not known: curate a window of logs"
        )
    cached = against == TEACHER
    theirs = _prices(table, *other, region, moments, cached=cached) if other[0] else ([0.0] * 4, ())
    ours = (
        _prices(table, "deployment", student, region, moments, cached=False)
        if host.kind == ON_DEMAND
        else ([0.0] * 4, ())
    )
    missing = (*missing, *theirs[1], *ours[1])
    if missing or theirs[0] is None or ours[0] is None or fixed is None:
        told = ", ".join(dict.fromkeys(missing))
        return Saving(
            against, None, None, None, f"no price for {told}: `airflow-distill prices update`, or state it"
        )
    mean, error = moments.mean_and_error([a - b for a, b in zip(theirs[0], ours[0], strict=True)])
    days, spread, said = _days(calls_a_day)
    month = float(DAYS_A_MONTH)
    ends = [
        month * max(0.0, days + way * spread) * (mean + side * Z * error)
        for way in (-1, 1)
        for side in (-1, 1)
        if math.isfinite(error)
    ] or [-math.inf, math.inf]
    low, high = min(ends) - fixed, max(ends) - fixed
    if not math.isfinite(low):
        return Saving(against, month * days * mean - fixed, None, None, "one call is too few for an interval")
    return Saving(
        against, month * days * mean - fixed, low, high, f"95 % interval from {moments.n:,} calls, {said}"
    )


def _prices(
    table: PriceTable, kind: str, model: str, region: str, moments: CallMoments, *, cached: bool
) -> tuple[list[float] | None, tuple[str, ...]]:
    """Return the price of a token of each kind, and what has none although it is used."""
    found, missing = [], []
    for item, used in zip(ITEMS, moments.sums, strict=True):
        name = f"{kind}-{item if cached or not item.startswith('cache') else 'input'}"
        price = table.rate(name, model, region)
        if price is None and used:
            missing.append(f"{name} of {model}")
        found.append(price or 0.0)
    return (None if missing else found), tuple(missing)


def _fixed(table: PriceTable, host: Host, student: str, region: str) -> tuple[float | None, tuple[str, ...]]:
    """Return what the student costs a month whoever calls: its storage, and its host's hours."""
    storage = table.rate("model-storage", student, region)
    if storage is None:
        return None, (f"model-storage of {student}",)
    if host.kind == ON_DEMAND:
        return storage, ()
    hour = (
        host.hourly_usd if host.hourly_usd is not None else table.unit_hour(student, host.commitment, region)
    )
    if hour is None:
        return None, (f"{host.kind} of {student}",)
    return storage + float(hour) * host.units * HOURS_A_MONTH, ()


def _days(calls_a_day: Sequence[float]) -> tuple[float, float, str]:
    """Return the mean calls a day, half the width of its interval, and in words what it rests on."""
    n = len(calls_a_day)
    mean = sum(calls_a_day) / n
    if n == 1:
        return mean, 0.0, "one window of traffic: how days differ is not in it"
    variance = sum((each - mean) ** 2 for each in calls_a_day) / (n - 1)
    return mean, T.get(n - 1, Z) * math.sqrt(variance / n), f"{n} windows of traffic"


def realised(
    table: PriceTable,
    calls: CallMoments,
    days: float,
    *,
    teacher: str,
    student: str,
    host: Host,
    region: str = "",
) -> Saving:
    """Return what the student's own logged calls saved a month, at the pace of the days they cover.

    The teacher would have read the same input; what of it would have come from a cache is not in the student's logs, so
    it counts as fresh.
    """
    if days <= 0 or not calls.n:
        return Saving(TEACHER, None, None, None, "the student was not called in these logs", forecast=False)
    found = _saving(table, calls, [calls.n / days], TEACHER, ("inference", teacher), host, student, region)
    why = f"{calls.n:,} calls of the student in {days:.1f} days; the teacher's input counted as fresh"
    return Saving(
        found.against, found.usd, found.low, found.high, found.why if found.usd is None else why, False
    )


@dataclass(frozen=True, slots=True)
class Payback:
    """When the run has paid for itself, beside how long the student's base model lives. None is unknown.

    :param days: at the saving itself; `earliest` and `latest` at the ends of its interval, None for never.
    """

    days: float | None
    earliest: float | None
    latest: float | None
    never: bool
    life_days: float | None

    @property
    def within_life(self) -> bool | None:
        """Say whether it pays back before the base model ends; None when either is unknown."""
        if self.never:
            return False
        if self.days is None or self.life_days is None:
            return None
        return self.days <= self.life_days

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"within_life": self.within_life}


def payback(run_usd: float | None, saving: Saving, life_days: float | None = None) -> Payback:
    """Return the days until the run has paid for itself."""

    def after(month: float | None) -> float | None:
        if run_usd is None or month is None or month <= 0:
            return None
        return run_usd / month * float(DAYS_A_MONTH)

    return Payback(
        after(saving.usd), after(saving.high), after(saving.low), saving.nothing_to_save, life_days
    )


def life_days(ends_at: str | None, today: str) -> float | None:
    """Return the days from one day to another, such as a model's end of life; None when it has no end yet."""
    if not ends_at:
        return None
    return float((date.fromisoformat(ends_at[:10]) - date.fromisoformat(today[:10])).days)


def usable_calls(manifest: Mapping[str, Any]) -> float | None:
    """Return the calls a day of a dataset's window that a student could answer: those kept and their repetitions."""
    skipped, counts = manifest.get("skipped") or {}, manifest.get("counts") or {}
    try:
        begin, end = (datetime.fromisoformat(str(each)) for each in manifest["window"])
        calls = int(counts["kept"]) - int(counts.get("golden") or 0)
        calls += sum(int(skipped.get(reason) or 0) for reason in ("duplicate", "out_of_sample"))
    except (KeyError, TypeError, ValueError):
        return None
    days = (end - begin).total_seconds() / 86_400
    return calls / days if days > 0 else None
