"""Amounts of money: usages, priced lines, bills, and what the decision may ask about costs.

Amounts are US dollars as `Decimal`, so that a thousand small lines add up to the cent; they become numbers only in JSON.
Unknown is None, never zero: a sum with an unknown part has no total, and a limit meets it as if it were crossed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from airflow_distill.errors import EvaluationError

SCHEMA = 1
CURRENCY = "USD"
Quantity = float | Decimal
"""Tokens, hours or months: whole numbers or parts of one."""


def decimal(value: Quantity) -> Decimal:
    """Return a number as the decimal that a person would write for it."""
    return value if isinstance(value, Decimal) else Decimal(str(value))


def total(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Add amounts; one unknown makes the sum unknown."""
    known = list(amounts)
    return None if any(a is None for a in known) else sum((a for a in known if a is not None), Decimal(0))


def times(price: Decimal | None, quantity: Quantity | None) -> Decimal | None:
    """Multiply; what is nothing costs nothing even at an unknown price."""
    if quantity == 0:
        return Decimal(0)
    return None if price is None or quantity is None else price * decimal(quantity)


def as_float(amount: Decimal | None) -> float | None:
    """Return an amount as JSON has it: to the millionth of a cent."""
    return None if amount is None else float(round(amount, 8))


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens by the kinds that are billed apart. `input` is fresh input only, neither read from nor written to the cache.

    Bedrock's logs and answers count the three apart: `inputTokens`, `cacheReadInputTokens`, `cacheWriteInputTokens`.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    @classmethod
    def of(
        cls,
        input_tokens: int | None,
        output_tokens: int | None,
        cache_read: int | None = None,
        cache_write: int | None = None,
    ) -> Tokens:
        """Return the kinds of a call whose input is counted as a whole, cached tokens included, as our records do."""
        read, write = cache_read or 0, cache_write or 0
        return cls(max(0, (input_tokens or 0) - read - write), output_tokens or 0, read, write)

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
        )

    def times(self, count: int) -> Tokens:
        """Return what so many equal calls use."""
        return Tokens(*(count * quantity for quantity in self._counts))

    @property
    def _counts(self) -> tuple[int, int, int, int]:
        return self.input, self.output, self.cache_read, self.cache_write

    def to_json(self) -> dict[str, int]:
        return dict(zip(("input", "output", "cache_read", "cache_write"), self._counts, strict=True))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tokens:
        return cls(*(int(data.get(name) or 0) for name in ("input", "output", "cache_read", "cache_write")))

    def by_item(self) -> tuple[tuple[str, int], ...]:
        """Return (end of the price item's name, count) pairs."""
        return (
            ("input", self.input),
            ("cache-read", self.cache_read),
            ("cache-write", self.cache_write),
            ("output", self.output),
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """So much of one thing, used or planned, in one part of the run (`job`, `evaluation`, `hosting`)."""

    stage: str
    item: str
    model: str
    quantity: Quantity | None
    usd_each: Decimal | None = None
    """A price agreed otherwise (a quoted hour of provisioned throughput); it goes before the table."""


@dataclass(frozen=True, slots=True)
class Line:
    """A usage with its price; `usd` is None when price or quantity is unknown."""

    stage: str
    item: str
    model: str
    quantity: Quantity | None
    usd: Decimal | None
    priced_at: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "item": self.item,
            "model": self.model,
            "quantity": None if self.quantity is None else float(self.quantity),
            "usd": as_float(self.usd),
            "priced_at": self.priced_at,
        }


@dataclass(frozen=True, slots=True)
class Bill:
    """Lines and their sum: an estimate when the usages were planned, actuals when they were counted."""

    lines: tuple[Line, ...]

    @property
    def total_usd(self) -> Decimal | None:
        """The sum, or None when a line is unknown."""
        return total(line.usd for line in self.lines)

    @property
    def known_usd(self) -> Decimal:
        """The sum of what is known: a floor, never to be shown as the total."""
        return sum((line.usd for line in self.lines if line.usd is not None), Decimal(0))

    @property
    def unknown(self) -> tuple[str, ...]:
        """What has no price or no quantity."""
        return tuple(f"{line.item} of {line.model}" for line in self.lines if line.usd is None)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """What has no quantity: how many tokens or hours it takes is not known yet."""
        return tuple(f"{line.item} of {line.model}" for line in self.lines if line.quantity is None)

    def only(self, *stages: str) -> Bill:
        """Return the lines of some parts of the run."""
        return Bill(tuple(line for line in self.lines if line.stage in stages))

    def to_json(self) -> dict[str, Any]:
        return {
            "lines": [line.to_json() for line in self.lines],
            "total_usd": as_float(self.total_usd),
            "known_usd": as_float(self.known_usd),
            "unknown": list(self.unknown),
        }


_LATER = ("saves_low_usd", "saves_high_usd", "life_days", "exposed_usd", "exposed_a_day_usd")
"""Members of `Costs` that records of earlier releases lack; they stand in a record only where they are known."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What the decision may ask about money. None is unknown and never passes a limit.

    `run_usd` is what this run costs up to the release; the monthly figures are at `tokens_per_day` (input and output
    together). `unknown` names the price rows that were missing. `priced_at` is the price table's date. The student saves
    between `saves_low_usd` and `saves_high_usd` a month against `saves_against`; its base model lives `life_days` more
    (None: no end is announced). `exposed_usd` is the most that could still be billed for the workload at that time.
    """

    run_usd: float | None = None
    student_monthly_usd: float | None = None
    teacher_monthly_usd: float | None = None
    tokens_per_day: float | None = None
    break_even_tokens_per_day: float | None = None
    payback_days: float | None = None
    host_kind: str = ""
    priced_at: str = ""
    unknown: tuple[str, ...] = ()
    saves_low_usd: float | None = None
    saves_high_usd: float | None = None
    saves_against: str = ""
    life_days: float | None = None
    exposed_usd: float | None = None
    exposed_a_day_usd: float | None = None

    def __post_init__(self) -> None:
        for name in (
            "run_usd",
            "student_monthly_usd",
            "teacher_monthly_usd",
            "tokens_per_day",
            "break_even_tokens_per_day",
            "payback_days",
            *_LATER,
        ):
            _finite(getattr(self, name), name)

    def to_json(self) -> dict[str, Any]:
        return {
            "v": SCHEMA,
            "run_usd": self.run_usd,
            "student_monthly_usd": self.student_monthly_usd,
            "teacher_monthly_usd": self.teacher_monthly_usd,
            "tokens_per_day": self.tokens_per_day,
            "break_even_tokens_per_day": self.break_even_tokens_per_day,
            "payback_days": self.payback_days,
            "host_kind": self.host_kind,
            "priced_at": self.priced_at,
            "unknown": list(self.unknown),
            **{name: getattr(self, name) for name in _LATER if getattr(self, name) is not None},
            **({"saves_against": self.saves_against} if self.saves_against else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Costs:
        return cls(
            run_usd=data.get("run_usd"),
            student_monthly_usd=data.get("student_monthly_usd"),
            teacher_monthly_usd=data.get("teacher_monthly_usd"),
            tokens_per_day=data.get("tokens_per_day"),
            break_even_tokens_per_day=data.get("break_even_tokens_per_day"),
            payback_days=data.get("payback_days"),
            host_kind=data.get("host_kind") or "",
            priced_at=data.get("priced_at") or "",
            unknown=tuple(data.get("unknown") or ()),
            saves_against=str(data.get("saves_against") or ""),
            **{name: data.get(name) for name in _LATER},
        )


def _finite(value: float | None, name: str) -> None:
    if value is not None and not math.isfinite(value):
        raise EvaluationError(
            f"costs: {name} is not a finite number.",
            hint="Check the prices and the forecast: one of them is not a finite number.",
        )
