"""What a month of serving costs each way, and from how much traffic one way undercuts another.

Takes a forecast of traffic and a price table; hands on `Costs` for the decision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.money.prices import ON_DEMAND, PROVISIONED, PriceTable
from airflow_distill.stages.money.records import Bill, Costs, Quantity, as_float, decimal, times, total

HOURS_A_MONTH = 730
DAYS_A_MONTH = Decimal(HOURS_A_MONTH) / 24


@dataclass(frozen=True, slots=True)
class Traffic:
    """What production asks: tokens a day, input and output together, and the share that is input."""

    tokens_per_day: float
    input_share: float

    def __post_init__(self) -> None:
        if not (
            math.isfinite(self.tokens_per_day) and self.tokens_per_day >= 0 and 0 <= self.input_share <= 1
        ):
            raise ConfigurationError("prices: traffic is tokens a day and an input share from 0 to 1.")


@dataclass(frozen=True, slots=True)
class BreakEven:
    """From how many tokens a day one way of serving is cheaper than another.

    `tokens_per_day` is None when a price is unknown, and also when it is `never` cheaper.
    """

    tokens_per_day: float | None
    never: bool = False


@dataclass(frozen=True, slots=True)
class Serving:
    """The ways to serve a student beside staying with the teacher: a month of each, and where one overtakes another.

    A month of provisioned throughput assumes that the stated model units carry the traffic.
    """

    monthly_usd: Mapping[str, Decimal | None]
    provisioned_over_teacher: BreakEven
    on_demand_over_teacher: BreakEven
    provisioned_over_on_demand: BreakEven

    def cheapest(self, kinds: Iterable[str]) -> str | None:
        """Return the cheapest of the host kinds a student supports; None when one of their prices is unknown."""
        known = [(self.monthly_usd.get(kind), kind) for kind in kinds]
        if any(usd is None for usd, _ in known):
            return None
        return min(((usd, kind) for usd, kind in known if usd is not None), default=(Decimal(0), None))[1]


def serving(
    table: PriceTable,
    teacher: str,
    student: str,
    traffic: Traffic,
    *,
    region: str = "",
    model_units: int = 1,
    hourly_usd: Quantity | None = None,
) -> Serving:
    """Compare provisioned throughput, on-demand deployment and staying with the teacher at a forecast."""
    hour = table.price(PROVISIONED, student, region) if hourly_usd is None else decimal(hourly_usd)
    storage = table.price("model-storage", student, region)
    held = total([times(hour, HOURS_A_MONTH * model_units), storage])
    by_teacher = _blend(table, "inference", teacher, traffic.input_share, region)
    by_student = _blend(table, "deployment", student, traffic.input_share, region)
    month = decimal(traffic.tokens_per_day) * DAYS_A_MONTH
    return Serving(
        monthly_usd={
            "teacher": times(by_teacher, month),
            ON_DEMAND: total([times(by_student, month), storage]),
            PROVISIONED: held,
        },
        provisioned_over_teacher=_break_even(held, Decimal(0), by_teacher),
        on_demand_over_teacher=_break_even(storage, by_student, by_teacher),
        provisioned_over_on_demand=_break_even(
            times(hour, HOURS_A_MONTH * model_units), Decimal(0), by_student
        ),
    )


def payback_days(
    run_usd: Decimal | None, student_monthly: Decimal | None, other_monthly: Decimal | None
) -> BreakEven:
    """Return the days until the run has paid for itself, in `tokens_per_day`'s manner of unknown and never."""
    if run_usd is None or student_monthly is None or other_monthly is None:
        return BreakEven(None)
    saved = (other_monthly - student_monthly) / DAYS_A_MONTH
    return BreakEven(float(run_usd / saved)) if saved > 0 else BreakEven(None, never=True)


def costs(run: Bill, ways: Serving, traffic: Traffic, host_kind: str, table: PriceTable) -> Costs:
    """Return what the decision may ask about money."""
    student, teacher = ways.monthly_usd.get(host_kind), ways.monthly_usd.get("teacher")
    over = ways.provisioned_over_teacher if host_kind == PROVISIONED else ways.on_demand_over_teacher
    unknown = run.unknown + tuple(
        f"a month of {way}" for way in ("teacher", host_kind) if ways.monthly_usd.get(way) is None
    )
    return Costs(
        run_usd=as_float(run.total_usd),
        student_monthly_usd=as_float(student),
        teacher_monthly_usd=as_float(teacher),
        tokens_per_day=traffic.tokens_per_day,
        break_even_tokens_per_day=over.tokens_per_day,
        payback_days=payback_days(run.total_usd, student, teacher).tokens_per_day,
        host_kind=host_kind,
        priced_at=table.date,
        unknown=unknown,
    )


def _blend(table: PriceTable, kind: str, model: str, input_share: float, region: str) -> Decimal | None:
    """Return the price of a mean token."""
    return total(
        [
            times(table.price(f"{kind}-input", model, region), input_share),
            times(table.price(f"{kind}-output", model, region), 1 - decimal(input_share)),
        ]
    )


def _break_even(fixed: Decimal | None, each: Decimal | None, other: Decimal | None) -> BreakEven:
    """Return from where `fixed` a month plus `each` a token undercuts `other` a token."""
    if fixed is None or each is None or other is None:
        return BreakEven(None)
    saved = (other - each) * DAYS_A_MONTH
    return BreakEven(float(fixed / saved)) if saved > 0 else BreakEven(None, never=True)
