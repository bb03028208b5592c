"""What a student saves is an interval against somebody named, and may be nothing."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from airflow_distill.stages.dataset.profile import profile_examples
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.money.prices import PROVISIONED, Price, PriceTable
from airflow_distill.stages.money.records import Tokens
from airflow_distill.stages.money.savings import (
    INCUMBENT,
    TEACHER,
    UNTUNED,
    CallMoments,
    Host,
    forecast,
    life_days,
    payback,
    realised,
    usable_calls,
)

BIG, SMALL = "acme.teacher-v1:0", "acme.student-v1:0"
PRICES = {
    ("inference-input", BIG): "3",
    ("inference-cache-read", BIG): "0.3",
    ("inference-cache-write", BIG): "3.75",
    ("inference-output", BIG): "15",
    ("inference-input", SMALL): "0.1",
    ("inference-output", SMALL): "0.4",
    ("deployment-input", SMALL): "0.1",
    ("deployment-output", SMALL): "0.4",
}
STORAGE = Price("model-storage", "*", "model-month", Decimal("1.95"), "made up", "2026-11-01", "stated")
TOKENS = [
    Price(item, model, "1000 tokens", Decimal(usd) / 1000, "made up", "2026-11-01", "stated")
    for (item, model), usd in PRICES.items()
]
TABLE = PriceTable((*TOKENS, STORAGE))


def calls(count: int, *, cached: float = 0.0, seed: int = 1) -> CallMoments:
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        asked = rng.randint(500, 1_500)
        read = int(asked * cached)
        rows.append(Tokens(asked - read, rng.randint(20, 60), read))
    return CallMoments.of(rows)


def saves(moments: CallMoments | None, a_day: list[float], **host: object) -> dict[str, object]:
    found = forecast(TABLE, moments, a_day, teacher=BIG, student=SMALL, host=Host(**host))  # type: ignore[arg-type]
    return {each.against: each for each in found}


def test_a_saving_lies_in_its_interval_and_names_whom_it_is_against() -> None:
    found = saves(calls(500), [10_000.0])
    assert set(found) == {TEACHER, UNTUNED}
    saving = found[TEACHER]
    assert saving.low < saving.usd < saving.high  # type: ignore[attr-defined]
    # 1,000 tokens in at 3 - 0.1 and 40 out at 15 - 0.4 USD a million, 10,000 times a day
    assert saving.usd == pytest.approx(10_000 * 30.4 * (0.0029 + 0.000584), rel=0.03)  # type: ignore[attr-defined]


def test_the_model_that_is_live_is_a_counterfactual_of_its_own() -> None:
    def against(**live: object) -> dict[str, object]:
        incumbent = Host(model=BIG, **live)  # type: ignore[arg-type]
        found = forecast(
            TABLE, calls(500), [10_000.0], teacher=BIG, student=SMALL, host=Host(), incumbent=incumbent
        )
        return {each.against: each for each in found}

    assert set(against()) == {TEACHER, UNTUNED, INCUMBENT}
    unpriced = against()[INCUMBENT]
    assert "deployment-input of acme.teacher-v1:0" in unpriced.why  # type: ignore[attr-defined]
    by_the_hour = against(kind=PROVISIONED, units=2, hourly_usd=5.0)[INCUMBENT]
    # 730 hours of two units at 5 USD are spared; 1,000 tokens in at 0.1 and 40 out at 0.4 a million are paid instead
    asked = 10_000 * 30.4 * (0.0001 + 0.000016)
    assert by_the_hour.usd == pytest.approx(7_300 - asked, rel=0.01)  # type: ignore[attr-defined]
    term = Price(
        "provisioned-throughput-1-month",
        BIG,
        "model-unit-hour",
        Decimal(4),
        "made up",
        "2026-11-01",
        "stated",
    )
    found = forecast(
        PriceTable((*TABLE.rows, term)),
        calls(500),
        [10_000.0],
        teacher=BIG,
        student=SMALL,
        host=Host(),
        incumbent=Host(PROVISIONED, BIG, 2, commitment="OneMonth"),
    )
    assert found[2].usd == pytest.approx(5_840 - asked, rel=0.01), "a term is priced as a term"
    same = forecast(
        TABLE, calls(500), [10_000.0], teacher=BIG, student=SMALL, host=Host(), incumbent=Host(model=SMALL)
    )
    assert same[2].usd == pytest.approx(0.0, abs=1e-9)
    assert same[2].nothing_to_save


def test_a_cached_teacher_is_saved_against_as_it_was_billed() -> None:
    fresh, cached = saves(calls(500), [10_000.0]), saves(calls(500, cached=0.9), [10_000.0])
    assert cached[TEACHER].usd < fresh[TEACHER].usd / 3  # type: ignore[attr-defined]


def test_windows_that_differ_widen_the_interval() -> None:
    one = saves(calls(500), [10_000.0])[TEACHER]
    many = saves(calls(500), [5_000.0, 15_000.0, 10_000.0])[TEACHER]
    assert many.high - many.low > 5 * (one.high - one.low)  # type: ignore[attr-defined]
    assert "3 windows" in many.why  # type: ignore[attr-defined]


def test_a_host_by_the_hour_that_costs_more_than_the_teacher_has_nothing_to_save() -> None:
    saving = saves(calls(500), [100.0], kind=PROVISIONED, model=SMALL, hourly_usd=15.0)[TEACHER]
    assert saving.nothing_to_save  # type: ignore[attr-defined]
    assert payback(10.0, saving).never  # type: ignore[arg-type]


def test_a_price_that_is_missing_is_named_with_the_way_to_know_it() -> None:
    bare = PriceTable(tuple(row for row in TABLE.rows if row.item != "deployment-output"))
    (saving, _) = forecast(bare, calls(9), [1.0], teacher=BIG, student=SMALL, host=Host())
    assert saving.usd is None
    assert f"deployment-output of {SMALL}" in saving.why
    assert "prices update" in saving.why


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Days and calls are drawn anew each time; the truth is the mean of what they are drawn from."""
    rng = random.Random(3)
    truth = 2_000 * float(730 / 24) * (1_000 * 2.9 + 40 * 14.6) / 1e6 - 1.95
    held = 0
    for _ in range(300):
        a_day = [max(0.0, rng.gauss(2_000, 300)) for _ in range(4)]
        rows = [Tokens(int(rng.uniform(500, 1_500)), int(rng.uniform(20, 60))) for _ in range(200)]
        saving = saves(CallMoments.of(rows), a_day)[TEACHER]
        held += saving.low <= truth <= saving.high  # type: ignore[attr-defined]
    assert held >= 0.95 * 300


def test_payback_is_told_beside_the_life_of_the_base_model() -> None:
    saving = saves(calls(500), [10_000.0])[TEACHER]
    soon = payback(10.0, saving, life_days("2027-11-30T00:00:00Z", "2026-11-30"))  # type: ignore[arg-type]
    assert soon.life_days == 365
    assert soon.within_life is True
    assert soon.earliest < soon.days < soon.latest  # type: ignore[operator]
    late = payback(1e6, saving, 365.0)  # type: ignore[arg-type]
    assert late.within_life is False
    assert payback(None, saving, 365.0).within_life is None  # type: ignore[arg-type]
    assert life_days(None, "2026-11-30") is None


def test_what_was_realised_comes_from_the_students_own_calls() -> None:
    saving = realised(TABLE, calls(700), 7.0, teacher=BIG, student=SMALL, host=Host())
    assert saving.forecast is False
    assert saving.usd == pytest.approx(100 * 30.4 * (0.0029 + 0.000584) - 1.95, rel=0.05)
    assert realised(TABLE, CallMoments.of([]), 7.0, teacher=BIG, student=SMALL, host=Host()).usd is None


def test_a_datasets_profile_keeps_what_any_price_needs() -> None:
    rows = [
        Example((Turn("user", "q"),), "a", input_tokens=100, output_tokens=5, cache_read_tokens=90),
        Example((Turn("user", "r"),), "a", input_tokens=50, output_tokens=7),
        Example((Turn("user", "s"),), "a"),
    ]
    told = CallMoments.from_json(profile_examples(rows)["usage"])
    assert told == CallMoments.of([Tokens(10, 5, 90), Tokens(50, 7)])
    assert CallMoments.from_json({}) is None


def test_usable_calls_a_day_count_repetitions_and_leave_out_what_people_wrote() -> None:
    manifest = {
        "window": ["2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"],
        "counts": {"kept": 800, "golden": 100},
        "skipped": {"duplicate": 600, "out_of_sample": 100, "tool_use": 999},
    }
    assert usable_calls(manifest) == 200
    assert usable_calls({}) is None
