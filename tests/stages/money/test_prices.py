"""Prices: unknown is never zero, sums say so, and break-even is where two bills meet."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.evaluation.records import ModelSummary
from airflow_distill.stages.evaluation.report_costs import answered
from airflow_distill.stages.money.estimate import RunPlan, estimate
from airflow_distill.stages.money.prices import ON_DEMAND, PROVISIONED, PriceTable, bill, compare
from airflow_distill.stages.money.records import Bill, Tokens, Usage, as_float, decimal, times, total
from airflow_distill.stages.money.serving import (
    DAYS_A_MONTH,
    HOURS_A_MONTH,
    Traffic,
    costs,
    payback_days,
    serving,
)

TEACHER, STUDENT = "amazon.nova-pro-v1:0", "amazon.nova-micro-v1:0:128k"


def row(item: str, model: str, usd: float | None, **overrides: Any) -> dict[str, Any]:
    unit = {"provisioned-throughput": "model-unit-hour", "model-storage": "model-month"}.get(
        item, "1000 tokens"
    )
    fields = {"item": item, "model": model, "unit": unit, "usd": usd, "source": "test", "date": "2026-11-01"}
    return fields | {"trust": "stated"} | overrides


def table(*rows: dict[str, Any]) -> PriceTable:
    return PriceTable.from_json({"v": 1, "currency": "USD", "rows": list(rows)})


FULL = table(
    row("inference-input", "amazon.nova-pro-v1:0", 0.8),
    row("inference-output", "amazon.nova-pro-v1:0", 3.2),
    row("inference-input", "amazon.nova-micro-v1:0", 0.04),
    row("inference-output", "amazon.nova-micro-v1:0", 0.14),
    row("deployment-input", "amazon.nova-micro-v1:0", 0.04),
    row("deployment-output", "amazon.nova-micro-v1:0", 0.14),
    row("training", "amazon.nova-micro-v1:0", 1.0),
    row("model-storage", "*", 2.0),
    row("provisioned-throughput", "amazon.nova-micro-v1:0", 10.0),
)


def make_plan(**overrides: Any) -> RunPlan:
    fields: dict[str, Any] = {
        "teacher": TEACHER,
        "student": STUDENT,
        "train_records": 1000,
        "heldout_records": 400,
        "input_tokens": 300,
        "output_tokens": 50,
        "teacher_called": False,
        "epochs": 2,
    }
    return RunPlan(**fields | overrides)


# --- the table ------------------------------------------------------------------------------------------------------


def test_the_packaged_table_can_be_read_and_every_row_says_where_it_comes_from() -> None:
    packaged = PriceTable.load()
    assert len(packaged.rows) > 30
    assert all(r.source and r.date and r.trust for r in packaged.rows)
    assert PriceTable.from_json(json.loads(json.dumps(packaged.to_json()))) == packaged
    assert packaged.date == min(r.date for r in packaged.rows)


def test_a_price_is_of_one_token() -> None:
    assert FULL.price("inference-input", TEACHER) == decimal(0.0008)


@pytest.mark.parametrize("name", ["amazon.nova-micro-v1:0", STUDENT, "us.amazon.nova-micro-v1:0"])
def test_a_model_is_found_however_it_is_written(name: str) -> None:
    assert FULL.rate("training", name) == 0.001


def test_a_term_has_its_own_price_and_counts_as_dear_as_none_where_it_has_not() -> None:
    hour = {"unit": "model-unit-hour"}
    both = table(
        row("provisioned-throughput", "m", 18.4), row("provisioned-throughput-1-month", "m", 16.2, **hour)
    )
    assert both.unit_hour("m") == decimal(18.4)
    assert both.unit_hour("m", "OneMonth") == decimal(16.2)
    assert both.unit_hour("m", "SixMonths") == decimal(18.4)
    assert table(row("provisioned-throughput-6-months", "m", 9.85, **hour)).unit_hour("m") is None


def test_what_is_not_in_the_table_is_unknown() -> None:
    assert FULL.price("training", "meta.llama3-1-8b-instruct-v1:0") is None
    assert FULL.price("batch-input", TEACHER) is None
    arn = "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/abc"
    assert FULL.tokens_usd(arn, Tokens(1, 1)) is None
    assert table(row("training", "m", None)).price("training", "m") is None


def test_the_regions_own_row_goes_before_the_general_one() -> None:
    both = table(row("training", "m", 1.0), row("training", "m", 2.0, region="us-west-2"))
    assert both.rate("training", "m", "us-west-2") == 0.002
    assert both.rate("training", "m", "us-east-1") == 0.001
    only = table(row("training", "m", 2.0, region="us-west-2"))
    assert only.price("training", "m", "us-east-1") is None


@pytest.mark.parametrize(
    "bad",
    [
        row("training", "m", -1),
        row("training", "m", math.nan),
        row("training", "m", math.inf),
        row("training", "m", True),
        row("training", "m", 1, unit="token"),
        row("tea", "m", 1),
        row("training", "m", 1, source=""),
        row("training", "m", 1, date=""),
        row("training", "m", "0,0008"),
        row("training", "m", 1, colour="red"),
        {"item": "training", "usd": 1},
    ],
)
def test_a_row_that_makes_no_sense_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        table(bad)


@pytest.mark.parametrize("data", [{"v": 2, "rows": []}, {"v": 1, "currency": "EUR", "rows": []}, {"v": 1}])
def test_a_table_of_another_kind_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        PriceTable.from_json(data)


# --- what comes before what ------------------------------------------------------------------------------------------


def test_a_stated_price_counts_before_the_users_table_and_that_before_the_packaged_one() -> None:
    users = table(
        row("training", "amazon.nova-micro-v1:0", 0.5), row("training", "amazon.nova-lite-v1:0", 0.7)
    )
    both = users.over(FULL)
    assert both.rate("training", STUDENT) == 0.0005
    assert both.rate("inference-output", TEACHER) == 0.0032, (
        "what the user's table lacks is in the packaged one"
    )
    stated = both.stated(STUDENT, {"training": 0.2})
    assert stated.rate("training", STUDENT) == 0.0002
    assert stated.rate("training", "amazon.nova-lite-v1:0") == 0.0007, "a stated price is the student's alone"


@pytest.mark.parametrize(
    "given", [{"tea": 1}, {"training": "much"}, {"training": None}, {"training": -1}, {"training": True}]
)
def test_a_stated_price_that_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        FULL.stated(STUDENT, given)


@pytest.mark.parametrize("written", ["last week", "2026-13-01"])
def test_a_price_whose_date_is_no_day_counts_as_old(written: str) -> None:
    undated = table(row("training", "amazon.nova-micro-v1:0", 1.0, date=written, trust="observed"))
    assert [each.date for each in undated.aged("2026-11-30", [STUDENT])] == [written]


def test_prices_that_have_grown_old_are_named_and_stated_ones_are_not() -> None:
    old = table(
        row("training", "amazon.nova-micro-v1:0", 1.0, date="2026-01-01", trust="observed"),
        row("training", "amazon.nova-pro-v1:0", 1.0, date="2026-01-01", trust="observed"),
        row("model-storage", "*", 2.0),
    )
    assert [r.item for r in old.aged("2026-11-30", [STUDENT])] == ["training"]
    assert old.aged("2026-06-01", [STUDENT]) == ()
    assert old.stated(STUDENT, {"training": 1.0}).aged("2026-06-01", [STUDENT]) == ()


def test_two_tables_are_compared_by_what_counts_in_them() -> None:
    mine = table(row("training", "m", 1.0), row("training", "n", 2.0, region="us-west-2"))
    theirs = table(row("training", "m", 1.5), row("training", "m", 9.0), row("model-storage", "*", 1.0))
    found = [(c.item, c.model, c.region, c.before, c.after) for c in compare(mine, theirs)]
    assert found == [
        ("model-storage", "*", "", None, 1),
        ("training", "m", "", 1, decimal(1.5)),
        ("training", "n", "us-west-2", 2, None),
    ]
    assert compare(mine, mine) == []


# --- cached input -----------------------------------------------------------------------------------------------------

CACHED = table(
    row("inference-input", "amazon.nova-pro-v1:0", 0.0008),
    row("inference-cache-read", "amazon.nova-pro-v1:0", 0.0002),
    row("inference-cache-write", "amazon.nova-pro-v1:0", 0.001),
    row("inference-output", "amazon.nova-pro-v1:0", 0.0032),
    row("batch-input", "amazon.nova-pro-v1:0", 0.0004),
    row("batch-output", "amazon.nova-pro-v1:0", 0.0016),
)
MILLION = 1_000_000


@pytest.mark.parametrize(
    ("used", "cents"),
    [
        (Tokens(MILLION, 0), 80),
        (Tokens(MILLION // 2, 0, cache_read=MILLION // 2), 50),
        (Tokens(MILLION // 10, 0, cache_read=9 * MILLION // 10), 26),
        (Tokens(0, 0, cache_write=MILLION), 100),
        (Tokens(MILLION // 10, MILLION, cache_read=8 * MILLION // 10, cache_write=MILLION // 10), 354),
    ],
)
def test_cached_input_is_billed_at_its_own_price(used: Tokens, cents: int) -> None:
    assert CACHED.tokens_usd(TEACHER, used) == decimal(cents) / 100


def test_cached_input_without_a_price_of_its_own_is_unknown_and_never_priced_as_fresh() -> None:
    assert FULL.tokens_usd(TEACHER, Tokens(10, 10)) is not None
    assert FULL.tokens_usd(TEACHER, Tokens(10, 10, cache_read=1)) is None


def test_a_batch_is_billed_at_the_batch_price() -> None:
    assert CACHED.tokens_usd(TEACHER, Tokens(MILLION, MILLION), "batch") == decimal(2)


def test_amounts_add_up_to_the_cent_however_small_they_are() -> None:
    lines = [Usage("job", "inference-input", TEACHER, 1)] * 125_000
    assert bill(CACHED, lines).total_usd == decimal(0.1)


# --- sums -----------------------------------------------------------------------------------------------------------


@given(amounts=st.lists(st.none() | st.decimals(0, 10**6, places=8)))
def test_one_unknown_makes_the_sum_unknown(amounts: list[Decimal | None]) -> None:
    assert (total(amounts) is None) == (None in amounts)


def test_nothing_of_an_unknown_price_costs_nothing() -> None:
    assert times(None, 0) == 0
    assert times(None, 1) is None
    assert times(Decimal(2), None) is None


def test_a_bill_tells_its_floor_and_what_is_unknown_beside_the_missing_total() -> None:
    found = bill(FULL, [Usage("job", "training", STUDENT, 1000), Usage("job", "training", "other", 1000)])
    assert (found.total_usd, found.known_usd, found.unknown) == (None, 1.0, ("training of other",))
    assert Bill(()).total_usd == 0
    assert found.to_json()["total_usd"] is None


# --- before and after -----------------------------------------------------------------------------------------------


def test_an_estimate_adds_up_what_the_run_will_use() -> None:
    found = estimate(FULL, make_plan())
    training = 1000 * 350 * 2 * 0.001
    untuned = 400 * (300 * 0.00004 + 50 * 0.00014)
    assert float(found.only("job").total_usd) == pytest.approx(training + 2.0)
    assert float(found.only("evaluation").total_usd) == pytest.approx(2 * untuned)
    assert float(found.total_usd) == pytest.approx(training + 2.0 + 2 * untuned)


def test_the_teacher_is_paid_only_when_the_job_asks_it() -> None:
    asked = estimate(FULL, make_plan(teacher_called=True))
    difference = (asked.total_usd or 0) - (estimate(FULL, make_plan()).total_usd or 0)
    assert float(difference) == pytest.approx(1000 * (300 * 0.0008 + 50 * 0.0032))


def test_synthesis_can_be_estimated_at_its_most() -> None:
    most = estimate(FULL, make_plan(teacher_called=True, pairs=15_000)).only("job")
    assert float(most.total_usd or 0) == pytest.approx(
        15_000 * (350 * 2 * 0.001 + 300 * 0.0008 + 50 * 0.0032) + 2.0
    )


@pytest.mark.parametrize("missing", ["epochs", "input_tokens", "output_tokens"])
def test_an_estimate_without_a_needed_figure_has_no_total(missing: str) -> None:
    found = estimate(FULL, make_plan(**{missing: None}))
    assert found.total_usd is None
    assert found.unknown


def test_a_provisioned_candidate_is_paid_by_the_hour_at_the_quoted_price() -> None:
    plan = make_plan(
        host_kind=PROVISIONED, candidate_hours=3, model_units=2, hourly_usd=20.0, asked=("student",)
    )
    assert float(estimate(FULL, plan).only("candidate host").total_usd) == pytest.approx(120)
    unknown = make_plan(host_kind=PROVISIONED, asked=("student",))
    assert estimate(FULL, unknown).total_usd is None


def test_actuals_come_from_the_answers_own_counts() -> None:
    summaries = [
        ModelSummary("teacher", "t", 400, 400, input_tokens=10**9, output_tokens=10**9),
        ModelSummary("untuned", "u", 400, 400, input_tokens=100_000, output_tokens=10_000),
        ModelSummary("student", "s", 400, 400, input_tokens=100_000, output_tokens=None),
    ]
    lines = bill(FULL, answered(summaries, STUDENT, ON_DEMAND)).lines
    assert [line.usd for line in lines] == [4, decimal(1.4), 4, None]
    assert len(answered(summaries, STUDENT, PROVISIONED)) == 2, "a provisioned student is paid by the hour"


# --- break-even -----------------------------------------------------------------------------------------------------


def test_at_break_even_two_ways_of_serving_cost_the_same() -> None:
    ways = serving(FULL, TEACHER, STUDENT, Traffic(1000, 0.8))
    for over, one, other in (
        (ways.provisioned_over_teacher, PROVISIONED, "teacher"),
        (ways.on_demand_over_teacher, ON_DEMAND, "teacher"),
        (ways.provisioned_over_on_demand, PROVISIONED, ON_DEMAND),
    ):
        assert over.tokens_per_day is not None
        there = serving(FULL, TEACHER, STUDENT, Traffic(over.tokens_per_day, 0.8)).monthly_usd
        assert float(there[one] or 0) == pytest.approx(float(there[other] or 0))


@given(tokens=st.floats(0, 1e9), share=st.floats(0, 1))
def test_provisioned_throughput_bills_the_same_whatever_is_asked(tokens: float, share: float) -> None:
    ways = serving(FULL, TEACHER, STUDENT, Traffic(tokens, share))
    assert ways.monthly_usd[PROVISIONED] == 10 * HOURS_A_MONTH + 2


def test_a_student_dearer_than_the_teacher_never_breaks_even() -> None:
    others = [r for r in FULL.to_json()["rows"] if r["model"] != "amazon.nova-pro-v1:0"]
    cheap = [row(f"inference-{side}", "amazon.nova-pro-v1:0", 0.01) for side in ("input", "output")]
    dear = table(*others, *cheap)
    over = serving(dear, TEACHER, STUDENT, Traffic(1000, 0.8)).on_demand_over_teacher
    assert (over.never, over.tokens_per_day) == (True, None)


def test_an_unknown_price_makes_break_even_unknown_not_never() -> None:
    over = serving(table(), TEACHER, STUDENT, Traffic(1000, 0.8)).on_demand_over_teacher
    assert (over.never, over.tokens_per_day) == (False, None)


def test_the_cheapest_way_is_named_only_when_all_are_known() -> None:
    ways = serving(FULL, TEACHER, STUDENT, Traffic(1000, 0.8))
    assert ways.cheapest([ON_DEMAND, PROVISIONED]) == ON_DEMAND
    assert (
        serving(table(), TEACHER, STUDENT, Traffic(1, 0.8), hourly_usd=1.0).cheapest([ON_DEMAND, PROVISIONED])
        is None
    )


def test_payback_is_what_was_spent_by_what_is_saved_a_day() -> None:
    assert payback_days(Decimal(100), Decimal(50), 50 + 10 * DAYS_A_MONTH).tokens_per_day == pytest.approx(10)
    assert payback_days(Decimal(100), Decimal(50), Decimal(40)).never
    assert payback_days(None, Decimal(50), Decimal(90)).tokens_per_day is None


def test_costs_carry_the_figures_and_what_is_unknown() -> None:
    traffic = Traffic(50_000, 0.8)
    known = costs(
        estimate(FULL, make_plan()), serving(FULL, TEACHER, STUDENT, traffic), traffic, ON_DEMAND, FULL
    )
    assert known.unknown == ()
    assert known.run_usd == as_float(estimate(FULL, make_plan()).total_usd)
    assert (known.teacher_monthly_usd or 0) > (known.student_monthly_usd or 0)
    assert known.payback_days is not None
    none = costs(
        estimate(table(), make_plan()),
        serving(table(), TEACHER, STUDENT, traffic),
        traffic,
        ON_DEMAND,
        table(),
    )
    assert (none.run_usd, none.student_monthly_usd, none.payback_days) == (None, None, None)
    assert none.unknown


@pytest.mark.parametrize(("tokens", "share"), [(-1, 0.5), (math.nan, 0.5), (1, 1.5)])
def test_traffic_that_makes_no_sense_is_refused(tokens: float, share: float) -> None:
    with pytest.raises(ConfigurationError):
        Traffic(tokens, share)
