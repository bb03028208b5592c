"""Sixteen bills worked out by hand: what the package says must agree to the cent."""

from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.money.prices import Price, PriceTable, bill
from airflow_distill.stages.money.records import Tokens, Usage, decimal
from airflow_distill.stages.money.serving import HOURS_A_MONTH

TEACHER, STUDENT = "acme.teacher-v1:0", "acme.student-v1:0"
M = 1_000_000
THOUSAND = {
    ("inference-input", TEACHER): "0.003",
    ("inference-cache-read", TEACHER): "0.0003",
    ("inference-cache-write", TEACHER): "0.00375",
    ("inference-output", TEACHER): "0.015",
    ("batch-input", TEACHER): "0.0015",
    ("batch-output", TEACHER): "0.0075",
    ("deployment-input", STUDENT): "0.00006",
    ("deployment-output", STUDENT): "0.00024",
    ("training", STUDENT): "0.002",
}
EACH = {
    ("model-storage", STUDENT): ("model-month", "1.95"),
    ("provisioned-throughput", STUDENT): ("model-unit-hour", "18.40"),
    ("provisioned-throughput-1-month", STUDENT): ("model-unit-hour", "16.20"),
    ("provisioned-throughput-6-months", STUDENT): ("model-unit-hour", "9.85"),
}
TABLE = PriceTable(
    tuple(
        Price(item, model, "1000 tokens", Decimal(usd), "by hand", "2026-11-01", "stated")
        for (item, model), usd in THOUSAND.items()
    )
    + tuple(
        Price(item, model, unit, Decimal(usd), "by hand", "2026-11-01", "stated")
        for (item, model), (unit, usd) in EACH.items()
    )
)


def tokens(kind: str, model: str, used: Tokens) -> list[Usage]:
    return [Usage("s", f"{kind}-{item}", model, count) for item, count in used.by_item()]


def hours(item: str, count: float | Decimal, each: str | None = None) -> list[Usage]:
    return [Usage("s", item, STUDENT, count, None if each is None else Decimal(each))]


BILLS: dict[str, tuple[list[Usage], str]] = {
    # 10 M fresh at 3 USD a million, 1 M out at 15 USD
    "no cached input": (tokens("inference", TEACHER, Tokens.of(10 * M, M)), "45.00"),
    # 5 M fresh 15.00, 5 M read 1.50, 1 M out 15.00
    "half of the input cached": (tokens("inference", TEACHER, Tokens.of(10 * M, M, 5 * M)), "31.50"),
    # 1 M fresh 3.00, 9 M read 2.70, 1 M out 15.00
    "nine tenths of the input cached": (tokens("inference", TEACHER, Tokens.of(10 * M, M, 9 * M)), "20.70"),
    # 2 M fresh 6.00, 7 M read 2.10, 1 M written 3.75, 1 M out 15.00
    "cache read and written": (tokens("inference", TEACHER, Tokens.of(10 * M, M, 7 * M, M)), "26.85"),
    # the input alone: 1 M fresh 3.00, 9 M read 2.70; as fresh it would be 30.00, 5.3 times as much
    "the input of a cached teacher": (tokens("inference", TEACHER, Tokens.of(10 * M, 0, 9 * M)), "5.70"),
    # half of 45.00
    "batch": (tokens("batch", TEACHER, Tokens(10 * M, M)), "22.50"),
    # 20 M at 0.06, 2 M at 0.24
    "a student on demand": (tokens("deployment", STUDENT, Tokens(20 * M, 2 * M)), "1.68"),
    # 15,000 pairs of 400 tokens, 3 epochs: 18 M at 2 USD
    "training": ([Usage("job", "training", STUDENT, 15_000 * 400 * 3)], "36.00"),
    # 720 hours at 18.40
    "a month of 30 days of throughput without commitment": (hours("provisioned-throughput", 720), "13248.00"),
    # 2 units for 90 minutes
    "throughput of two units for an hour and a half": (hours("provisioned-throughput", 3), "55.20"),
    # 730 hours at 16.20
    "throughput for a month, committed for one": (
        hours("provisioned-throughput-1-month", HOURS_A_MONTH),
        "11826.00",
    ),
    # 6 x 730 hours at 9.85
    "throughput for six months, committed": (
        hours("provisioned-throughput-6-months", 6 * HOURS_A_MONTH),
        "43143.00",
    ),
    # a quoted hour goes before the table: 24 x 5.00, which is 120 a day
    "throughput at a stated price": (hours("provisioned-throughput", 24, "5.00"), "120.00"),
    # 3 models for 4 months, and one for 5 days of 30.4 (1.95 x 120 / 730)
    "storage of kept models": (hours("model-storage", decimal(12) + decimal(120) / 730), "23.72"),
    # teacher 15,000 calls of 300 in and 20 out: 4.5 M in 13.50, 0.3 M out 4.50; training 9.6 M in two epochs 19.20;
    # student 1,000 x 300 in 0.018, 20 out 0.0048; storage for a month 1.95
    "a whole run": (
        [
            *tokens("inference", TEACHER, Tokens(4_500_000, 300_000)),
            Usage("job", "training", STUDENT, 15_000 * 320 * 2),
            *tokens("deployment", STUDENT, Tokens(300_000, 20_000)),
            *hours("model-storage", 1),
        ],
        "39.17",
    ),
}


@pytest.mark.parametrize("name", BILLS)
def test_a_bill_agrees_with_the_one_worked_out_by_hand(name: str) -> None:
    usages, usd = BILLS[name]
    total = bill(TABLE, usages).total_usd
    assert total is not None
    assert round(total, 2) == Decimal(usd)


def test_the_sixteenth_bill_is_refused_because_it_is_in_two_currencies() -> None:
    mixed = TABLE.to_json() | {"currency": "EUR"}
    with pytest.raises(ConfigurationError, match="two currencies cannot be added"):
        PriceTable.from_json(mixed)
    assert len(BILLS) + 1 == 16


def test_nine_tenths_of_cached_input_cost_a_fifth_of_what_fresh_input_does() -> None:
    cached = TABLE.tokens_usd(TEACHER, Tokens.of(10 * M, 0, 9 * M))
    fresh = TABLE.tokens_usd(TEACHER, Tokens.of(10 * M, 0))
    assert cached is not None
    assert fresh is not None
    assert round(fresh / cached, 1) == Decimal("5.3")
