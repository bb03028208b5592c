"""What things cost: a dated, replaceable price table, and the arithmetic that runs on it.

A price that is not in the table is unknown. Unknown is None, never zero: a sum with an unknown part has no total, and
a limit meets it as if it were crossed. The table that comes along (`prices.json`) names source, date and trust of
every row; it is a starting point, not an offer. Users replace it with their own file of the same shape.

Amounts are US dollars. A month is 730 hours. Pure but for reading the packaged file; no clock, no network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.evaluation.records import Costs, ModelSummary
from airflow_distill.stages.jobs.models import base_model_id

SCHEMA = 1
HOURS_A_MONTH = 730.0
DAYS_A_MONTH = HOURS_A_MONTH / 24

UNITS: dict[str, tuple[str, float]] = {
    "inference-input": ("1000 tokens", 1000.0),
    "inference-output": ("1000 tokens", 1000.0),
    "batch-input": ("1000 tokens", 1000.0),
    "batch-output": ("1000 tokens", 1000.0),
    "deployment-input": ("1000 tokens", 1000.0),
    "deployment-output": ("1000 tokens", 1000.0),
    "training": ("1000 tokens", 1000.0),
    "model-storage": ("model-month", 1.0),
    "provisioned-throughput": ("model-unit-hour", 1.0),
}
"""Item -> the unit its rows are quoted in, and how many counted things (tokens, months, hours) that unit holds."""

PROVISIONED = "provisioned-throughput"
ON_DEMAND = "custom-model-deployment"


@dataclass(frozen=True, slots=True)
class Price:
    """One row: what costs how much, who says so, since when, and how far to trust it."""

    item: str
    model: str
    unit: str
    usd: float
    source: str
    date: str
    trust: str
    region: str = ""

    def __post_init__(self) -> None:
        if self.item not in UNITS or self.unit != UNITS[self.item][0]:
            raise ConfigurationError(
                f"prices: a row for {self.item!r} in {self.unit!r}.",
                hint="Items and units: "
                + "; ".join(f"{item} in {unit}" for item, (unit, _) in UNITS.items()),
            )
        if isinstance(self.usd, bool) or not math.isfinite(self.usd) or self.usd < 0:
            raise ConfigurationError(f"prices: {self.item} of {self.model} is not an amount of money.")
        if not self.source or not self.date:
            raise ConfigurationError(f"prices: {self.item} of {self.model} has no source or no date.")


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Rows to look prices up in; the first that fits counts, one for the Region before one for all."""

    rows: tuple[Price, ...]

    @classmethod
    def load(cls) -> PriceTable:
        """Return the table that comes with the package."""
        text = resources.files("airflow_distill.stages.evaluation").joinpath("prices.json").read_text("utf-8")
        return cls.from_json(json.loads(text))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PriceTable:
        """Return the table of a file; a row without a price is left out: it is unknown."""
        if data.get("v") != SCHEMA or data.get("currency", "USD") != "USD":
            raise ConfigurationError("prices: the table is not of a version and currency known here.")
        try:
            rows = [Price(**row) for row in data["rows"] if row.get("usd") is not None]
        except (TypeError, KeyError) as error:
            raise ConfigurationError(
                "prices: a row lacks a field or has an unknown one.",
                hint="Fields: item, model, unit, usd, source, date, trust, region.",
            ) from error
        return cls(tuple(rows))

    def to_json(self) -> dict[str, Any]:
        rows = [{name: getattr(row, name) for name in Price.__slots__} for row in self.rows]
        return {"v": SCHEMA, "currency": "USD", "rows": rows}

    @property
    def date(self) -> str:
        """The oldest row's date: no sum is fresher than that."""
        return min((row.date for row in self.rows), default="")

    def row(self, item: str, model: str, region: str = "") -> Price | None:
        """Return the row that prices an item for a model, or None when nobody knows."""
        wanted = base_model_id(model)
        fits = [
            row
            for row in self.rows
            if row.item == item and row.model in (wanted, "*") and (not region or row.region in (region, ""))
        ]
        return min(fits, key=lambda row: (row.model == "*", row.region != region), default=None)

    def price(self, item: str, model: str, region: str = "") -> float | None:
        """Return the price of one token, hour or month, or None when nobody knows."""
        row = self.row(item, model, region)
        return None if row is None else row.usd / UNITS[item][1]

    def on_demand_usd(self, model: str, input_tokens: int, output_tokens: int) -> float | None:
        """Return what a base model's tokens cost; fits `score_answers(price_of=...)`."""
        return total(
            [
                times(self.price("inference-input", model), input_tokens),
                times(self.price("inference-output", model), output_tokens),
            ]
        )


def total(amounts: Iterable[float | None]) -> float | None:
    """Add amounts; one unknown makes the sum unknown."""
    known = list(amounts)
    return None if any(a is None for a in known) else math.fsum(a for a in known if a is not None)


def times(price: float | None, quantity: float | None) -> float | None:
    """Multiply; what is nothing costs nothing even at an unknown price."""
    if quantity == 0:
        return 0.0
    return None if price is None or quantity is None else price * quantity


@dataclass(frozen=True, slots=True)
class Usage:
    """So much of one thing, used or planned, in one part of the run (`job`, `evaluation`, `hosting`)."""

    stage: str
    item: str
    model: str
    quantity: float | None
    usd_each: float | None = None
    """A price agreed otherwise (a quoted hour of provisioned throughput); it goes before the table."""


@dataclass(frozen=True, slots=True)
class Line:
    """A usage with its price; `usd` is None when price or quantity is unknown."""

    stage: str
    item: str
    model: str
    quantity: float | None
    usd: float | None
    priced_at: str = ""

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in Line.__slots__}


@dataclass(frozen=True, slots=True)
class Bill:
    """Lines and their sum: an estimate when the usages were planned, actuals when they were counted."""

    lines: tuple[Line, ...]

    @property
    def total_usd(self) -> float | None:
        """The sum, or None when a line is unknown."""
        return total(line.usd for line in self.lines)

    @property
    def known_usd(self) -> float:
        """The sum of what is known: a floor, never to be shown as the total."""
        return math.fsum(line.usd for line in self.lines if line.usd is not None)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What has no price or no quantity."""
        return tuple(f"{line.item} of {line.model}" for line in self.lines if line.usd is None)

    def only(self, *stages: str) -> Bill:
        """Return the lines of some parts of the run."""
        return Bill(tuple(line for line in self.lines if line.stage in stages))

    def to_json(self) -> dict[str, Any]:
        return {
            "lines": [line.to_json() for line in self.lines],
            "total_usd": self.total_usd,
            "known_usd": self.known_usd,
            "unknown": list(self.unknown),
        }


def bill(table: PriceTable, usages: Iterable[Usage], region: str = "") -> Bill:
    """Price usages one by one."""
    return Bill(tuple(_line(table, usage, region) for usage in usages))


def _line(table: PriceTable, usage: Usage, region: str) -> Line:
    row = table.row(usage.item, usage.model, region)
    each = table.price(usage.item, usage.model, region) if usage.usd_each is None else usage.usd_each
    date = row.date if row is not None and usage.usd_each is None else ""
    return Line(
        usage.stage, usage.item, usage.model, usage.quantity, times(each, usage.quantity), priced_at=date
    )


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What one run will use, as far as it is known before.

    `input_tokens` and `output_tokens` are means a record. `pairs` is what the job trains on: the service may grow the
    set to 15,000 by synthesis when it asks the teacher itself (`teacher_called`), so estimate once with None and once
    with 15,000. `asked` names who answers the held-out prompts for money. `hourly_usd` is the quoted price of a model
    unit.
    """

    teacher: str
    student: str
    train_records: int
    heldout_records: int
    input_tokens: float | None
    output_tokens: float | None
    teacher_called: bool
    epochs: int | None = None
    pairs: int | None = None
    asked: tuple[str, ...] = ("untuned", "student")
    repeats: int = 1
    host_kind: str = ON_DEMAND
    model_units: int = 1
    hourly_usd: float | None = None
    candidate_hours: float | None = None
    storage_months: float = 1.0
    hosting_hours: float = 0.0


def planned(plan: RunPlan) -> list[Usage]:
    """Return what a run will use, stage by stage."""
    pairs = plan.train_records if plan.pairs is None else plan.pairs
    record = total([plan.input_tokens, plan.output_tokens])
    usages = [Usage("job", "training", plan.student, times(record, times(plan.epochs, pairs)))]
    if plan.teacher_called:
        usages += _tokens("job", "inference", plan.teacher, plan, pairs)
    usages.append(Usage("job", "model-storage", plan.student, plan.storage_months))
    answers = plan.heldout_records * plan.repeats
    if "untuned" in plan.asked:
        usages += _tokens("evaluation", "inference", plan.student, plan, answers)
    if plan.host_kind == ON_DEMAND:
        asked = sum(role in plan.asked for role in ("student", "incumbent"))
        usages += _tokens("evaluation", "deployment", plan.student, plan, answers * asked)
    elif "student" in plan.asked:
        usages.append(_hours("evaluation", plan, plan.candidate_hours))
    if plan.host_kind == PROVISIONED and plan.hosting_hours:
        usages.append(_hours("hosting", plan, plan.hosting_hours))
    return usages


def estimate(table: PriceTable, plan: RunPlan, region: str = "") -> Bill:
    """Return what a run will cost, before it starts."""
    return bill(table, planned(plan), region)


def answered(summaries: Iterable[ModelSummary], student: str, host_kind: str) -> list[Usage]:
    """Return what collecting the answers used, from the scorecard's counts; the teacher's came from the logs, free."""
    usages: list[Usage] = []
    for summary in summaries:
        if summary.role == "untuned":
            kind = "inference"
        elif summary.role in ("student", "incumbent") and host_kind == ON_DEMAND:
            kind = "deployment"
        else:
            continue  # paid by the hour, or free
        usages += [
            Usage("evaluation", f"{kind}-input", student, summary.input_tokens),
            Usage("evaluation", f"{kind}-output", student, summary.output_tokens),
        ]
    return usages


def _tokens(stage: str, kind: str, model: str, plan: RunPlan, records: int) -> list[Usage]:
    return [
        Usage(stage, f"{kind}-input", model, times(plan.input_tokens, records)),
        Usage(stage, f"{kind}-output", model, times(plan.output_tokens, records)),
    ]


def _hours(stage: str, plan: RunPlan, hours: float | None) -> Usage:
    return Usage(stage, PROVISIONED, plan.student, times(hours, plan.model_units), plan.hourly_usd)


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

    monthly_usd: Mapping[str, float | None]
    provisioned_over_teacher: BreakEven
    on_demand_over_teacher: BreakEven
    provisioned_over_on_demand: BreakEven

    def cheapest(self, kinds: Iterable[str]) -> str | None:
        """Return the cheapest of the host kinds a student supports; None when one of their prices is unknown."""
        known = [(self.monthly_usd.get(kind), kind) for kind in kinds]
        if any(usd is None for usd, _ in known):
            return None
        return min(((usd, kind) for usd, kind in known if usd is not None), default=(0.0, None))[1]


def serving(
    table: PriceTable,
    teacher: str,
    student: str,
    traffic: Traffic,
    *,
    region: str = "",
    model_units: int = 1,
    hourly_usd: float | None = None,
) -> Serving:
    """Compare provisioned throughput, on-demand deployment and staying with the teacher at a forecast."""
    hour = table.price(PROVISIONED, student, region) if hourly_usd is None else hourly_usd
    storage = table.price("model-storage", student, region)
    held = total([times(hour, HOURS_A_MONTH * model_units), storage])
    by_teacher = _blend(table, "inference", teacher, traffic.input_share, region)
    by_student = _blend(table, "deployment", student, traffic.input_share, region)
    month = traffic.tokens_per_day * DAYS_A_MONTH
    return Serving(
        monthly_usd={
            "teacher": times(by_teacher, month),
            ON_DEMAND: total([times(by_student, month), storage]),
            PROVISIONED: held,
        },
        provisioned_over_teacher=_break_even(held, 0.0, by_teacher),
        on_demand_over_teacher=_break_even(storage, by_student, by_teacher),
        provisioned_over_on_demand=_break_even(times(hour, HOURS_A_MONTH * model_units), 0.0, by_student),
    )


def payback_days(
    run_usd: float | None, student_monthly: float | None, other_monthly: float | None
) -> BreakEven:
    """Return the days until the run has paid for itself, in `tokens_per_day`'s manner of unknown and never."""
    if run_usd is None or student_monthly is None or other_monthly is None:
        return BreakEven(None)
    saved = (other_monthly - student_monthly) / DAYS_A_MONTH
    return BreakEven(run_usd / saved) if saved > 0 else BreakEven(None, never=True)


def costs(run: Bill, ways: Serving, traffic: Traffic, host_kind: str, table: PriceTable) -> Costs:
    """Return what the decision may ask about money."""
    student, teacher = ways.monthly_usd.get(host_kind), ways.monthly_usd.get("teacher")
    over = ways.provisioned_over_teacher if host_kind == PROVISIONED else ways.on_demand_over_teacher
    unknown = run.unknown + tuple(
        f"a month of {way}" for way in ("teacher", host_kind) if ways.monthly_usd.get(way) is None
    )
    return Costs(
        run_usd=run.total_usd,
        student_monthly_usd=student,
        teacher_monthly_usd=teacher,
        tokens_per_day=traffic.tokens_per_day,
        break_even_tokens_per_day=over.tokens_per_day,
        payback_days=payback_days(run.total_usd, student, teacher).tokens_per_day,
        host_kind=host_kind,
        priced_at=table.date,
        unknown=unknown,
    )


def _blend(table: PriceTable, kind: str, model: str, input_share: float, region: str) -> float | None:
    """Return the price of a mean token."""
    return total(
        [
            times(table.price(f"{kind}-input", model, region), input_share),
            times(table.price(f"{kind}-output", model, region), 1 - input_share),
        ]
    )


def _break_even(fixed: float | None, each: float | None, other: float | None) -> BreakEven:
    """Return from where `fixed` a month plus `each` a token undercuts `other` a token."""
    if fixed is None or each is None or other is None:
        return BreakEven(None)
    saved = (other - each) * DAYS_A_MONTH
    return BreakEven(fixed / saved) if saved > 0 else BreakEven(None, never=True)
