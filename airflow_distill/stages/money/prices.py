"""The price table: dated, replaceable, and the one place where a price is multiplied with a quantity of tokens or hours.

A price that is not in the table is unknown. The table that comes along (`prices.json`) names source, date and trust of
every row; it is a starting point, not an offer. Which price counts, everywhere: one stated in the workload file
(`budget.student_prices`), then the user's table (`budget.prices`, a path or `s3://`), then the packaged table; within a
table the row of the Region before the row of all Regions.

A month is 730 hours. Pure but for reading the packaged file; no clock, no network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from importlib import resources
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.jobs.models import base_model_id
from airflow_distill.stages.money.records import CURRENCY, Bill, Line, Tokens, Usage, times, total

SCHEMA = 1
MOST_DAYS = 180
"""A price older than this many days is told wherever it is used."""

_TOKENS = ("1000 tokens", 1000)
UNITS: dict[str, tuple[str, int]] = {
    "inference-input": _TOKENS,
    "inference-cache-read": _TOKENS,
    "inference-cache-write": _TOKENS,
    "inference-output": _TOKENS,
    "batch-input": _TOKENS,
    "batch-output": _TOKENS,
    "deployment-input": _TOKENS,
    "deployment-output": _TOKENS,
    "training": _TOKENS,
    "model-storage": ("model-month", 1),
    "provisioned-throughput": ("model-unit-hour", 1),
    "provisioned-throughput-1-month": ("model-unit-hour", 1),
    "provisioned-throughput-6-months": ("model-unit-hour", 1),
}
"""Item -> the unit its rows are quoted in, and how many counted things (tokens, months, hours) that unit holds."""

PROVISIONED = "provisioned-throughput"
ON_DEMAND = "custom-model-deployment"
THROUGHPUT = {
    "none": PROVISIONED,
    "OneMonth": f"{PROVISIONED}-1-month",
    "SixMonths": f"{PROVISIONED}-6-months",
}
"""Commitment as the service names it -> the item that prices an hour of it."""


@dataclass(frozen=True, slots=True)
class Price:
    """One row: what costs how much, who says so, since when, and how far to trust it."""

    item: str
    model: str
    unit: str
    usd: Decimal
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
        if not self.usd.is_finite() or self.usd < 0:
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
        text = resources.files("airflow_distill.stages.money").joinpath("prices.json").read_text("utf-8")
        return cls.from_json(json.loads(text))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PriceTable:
        """Return the table of a file; a row without a price is left out: it is unknown."""
        if not isinstance(data, Mapping):
            raise ConfigurationError("prices: this is not a price table.")
        if data.get("v") != SCHEMA:
            raise ConfigurationError(
                f"prices: the table is of version {data.get('v')!r}; this release reads {SCHEMA}.",
                hint="`airflow-distill prices show --json` prints a table of the right form.",
            )
        if data.get("currency", CURRENCY) != CURRENCY:
            raise ConfigurationError(
                f"prices: the table is in {data['currency']}; amounts of two currencies cannot be added.",
                hint=f"Give every price in {CURRENCY}.",
            )
        try:
            rows = [
                Price(**{**row, "usd": _usd(row["usd"])})
                for row in data["rows"]
                if row.get("usd") is not None
            ]
        except (TypeError, LookupError, AttributeError, ValueError, ArithmeticError) as error:
            raise ConfigurationError(
                "prices: a row lacks a field or has an unknown one.",
                hint="Fields: item, model, unit, usd, source, date, trust, region.",
            ) from error
        return cls(tuple(rows))

    def to_json(self) -> dict[str, Any]:
        rows = [
            {name: getattr(row, name) for name in Price.__slots__} | {"usd": float(row.usd)}
            for row in self.rows
        ]
        return {"v": SCHEMA, "currency": CURRENCY, "rows": rows}

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

    def price(self, item: str, model: str, region: str = "") -> Decimal | None:
        """Return the price of one token, hour or month, or None when nobody knows."""
        row = self.row(item, model, region)
        return None if row is None else row.usd / UNITS[item][1]

    def unit_hour(self, model: str, commitment: str = "none", region: str = "") -> Decimal | None:
        """Return the price of a model unit's hour; a term without a price of its own counts as dear as no term."""
        item = THROUGHPUT.get(commitment, PROVISIONED)
        own = self.price(item, model, region)
        return own if own is not None else self.price(PROVISIONED, model, region)

    def rate(self, item: str, model: str, region: str = "") -> float | None:
        """Return the same as a number, for comparisons and forecasts; amounts of money are added as `Decimal`."""
        price = self.price(item, model, region)
        return None if price is None else float(price)

    def over(self, below: PriceTable) -> PriceTable:
        """Return one table whose rows count before those of another: a row here hides the other's for the same thing."""
        return PriceTable((*self.rows, *below.rows))

    def stated(self, model: str, given: Mapping[Any, Any] | None) -> PriceTable:
        """Return the table with prices that a workload file states for a model before all others."""
        rows = tuple(
            Price(
                item, base_model_id(model), _unit(item), _usd(usd), "the workload file", self.date, "stated"
            )
            for item, usd in (given or {}).items()
        )
        return PriceTable(rows).over(self)

    def aged(self, today: str, models: Iterable[str], most_days: int = MOST_DAYS) -> tuple[Price, ...]:
        """Return the rows of these models that are older than so many days on a day such as `2026-11-30`.

        Stated prices have no age: their author vouches for them. One whose date is no day counts as old.
        """
        wanted = {base_model_id(model) for model in models} | {"*"}
        now = date.fromisoformat(today)
        return tuple(
            row
            for row in self.rows
            if row.model in wanted and row.trust != "stated" and _age(row.date, now) > most_days
        )

    def tokens_usd(
        self, model: str, used: Tokens, kind: str = "inference", region: str = ""
    ) -> Decimal | None:
        """Return what tokens cost; cached input is priced apart from fresh input.

        :param kind: `inference` (on demand), `batch`, or `deployment` (a custom model on demand).
        """
        return total(
            times(self.price(f"{kind}-{item}", model, region), quantity) for item, quantity in used.by_item()
        )

    def unpriced(
        self, model: str, used: Tokens, kind: str = "inference", region: str = ""
    ) -> tuple[str, ...]:
        """Return the items of these tokens that have no price, such as `inference-cache-read`."""
        return tuple(
            f"{kind}-{item}"
            for item, quantity in used.by_item()
            if quantity and self.price(f"{kind}-{item}", model, region) is None
        )


def _age(written: str, now: date) -> float:
    """Return the days since a date as a row has it; endless where it is no day."""
    try:
        return (now - date.fromisoformat(written[:10])).days
    except ValueError:
        return math.inf


def told_age(table: PriceTable, today: str, models: Iterable[str]) -> list[str]:
    """Return a sentence for the prices of these models that are too old to be trusted unseen; none when all are fresh."""
    old = table.aged(today, [model for model in models if model])
    if not old:
        return []
    oldest = min(row.date[:10] for row in old)
    return [
        f"{len(old)} of these prices are older than {MOST_DAYS} days (the oldest is of {oldest}): "
        "`airflow-distill prices update` fetches the present ones."
    ]


@dataclass(frozen=True, slots=True)
class Change:
    """A price that two tables tell differently; None is unknown. Amounts are USD in the item's unit."""

    item: str
    model: str
    region: str
    before: Decimal | None
    after: Decimal | None

    def to_json(self) -> dict[str, Any]:
        return {
            "item": self.item,
            "model": self.model,
            "region": self.region,
            "before": None if self.before is None else float(self.before),
            "after": None if self.after is None else float(self.after),
        }


def renewed(before: PriceTable, fresh: PriceTable) -> PriceTable:
    """Return a user's table with fetched rows in the place of those for the same thing; what was stated by hand stays."""
    keys = {(row.item, row.model, row.region) for row in before.rows if row.trust == "stated"}
    new = [row for row in fresh.rows if (row.item, row.model, row.region) not in keys]
    replaced = {(row.item, row.model, row.region) for row in new}
    kept = [row for row in before.rows if (row.item, row.model, row.region) not in replaced]
    return PriceTable((*kept, *new))


def compare(before: PriceTable, after: PriceTable) -> list[Change]:
    """Return what changed between two tables, by item, model and Region; the first row of a table counts.

    A Region that a table has no row for has that of all Regions.
    """
    was, now = _first_rows(before), _first_rows(after)

    def told(rows: dict[tuple[str, str, str], Decimal], key: tuple[str, str, str]) -> Decimal | None:
        return rows.get(key, rows.get((key[0], key[1], "")))

    changes = [Change(*key, told(was, key), told(now, key)) for key in sorted({*was, *now})]
    return [change for change in changes if change.before != change.after]


def _first_rows(table: PriceTable) -> dict[tuple[str, str, str], Decimal]:
    found: dict[tuple[str, str, str], Decimal] = {}
    for row in table.rows:
        found.setdefault((row.item, row.model, row.region), row.usd)
    return found


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


def _usd(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ConfigurationError("prices: an amount of money is a number.", hint="Write it as 0.0008.")
    try:
        return Decimal(str(value))
    except InvalidOperation as error:
        raise ConfigurationError(
            "prices: an amount of money is a number.", hint="Write it as 0.0008."
        ) from error


def _unit(item: str) -> str:
    if item not in UNITS:
        raise ConfigurationError(f"prices: there is no item {item!r}.", hint=f"Items: {', '.join(UNITS)}.")
    return UNITS[item][0]
