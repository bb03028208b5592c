"""Which host is chosen, and what is refused, before anything is paid."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.errors import BudgetError, ConfigurationError, DistillError
from airflow_distill.stages.deployment.hosts import (
    Capability,
    Rates,
    choose_host,
    daily_price,
    keep_host,
    refusals,
)
from airflow_distill.stages.deployment.records import (
    KINDS,
    ON_DEMAND,
    PROVISIONED,
    Host,
    HostSpec,
    HostWish,
    Traffic,
)

NOW = datetime(2026, 11, 24, tzinfo=UTC)
BOTH = Capability("amazon.nova-micro-v1:0:128k", "us-east-1", KINDS, "ACTIVE")
LLAMA = Capability("meta.llama3-1-8b-instruct-v1:0:128k", "us-west-2", (PROVISIONED,), "ACTIVE")
RATES = Rates(unit_hour=15.0, input_per_1k=0.001, output_per_1k=0.004)
FULL: dict[str, Any] = {"units": 1, "hourly_price": 15.0, "ends_at": "2026-12-24T00:00:00Z"}
BUSY = Traffic(400_000_000, 20_000_000)
QUIET = Traffic(1_000_000, 100_000)


def choose(wish: HostWish, capability: Capability = BOTH, rates: Rates = RATES) -> str:
    return choose_host(wish, capability, rates, now=NOW, name_of=lambda kind: f"live-{kind}").spec.kind


def refused(wish: HostWish, capability: Capability = BOTH, rates: Rates = RATES) -> DistillError:
    with pytest.raises(DistillError) as caught:
        choose(wish, capability, rates)
    assert "nothing was bought" in caught.value.message
    assert caught.value.hint
    return caught.value


def test_the_cheaper_host_at_the_forecast_traffic_is_chosen() -> None:
    assert choose(HostWish(**FULL, traffic=BUSY)) == PROVISIONED
    assert choose(HostWish(**FULL, traffic=QUIET)) == ON_DEMAND


def test_without_a_forecast_the_host_that_costs_nothing_while_idle_is_chosen() -> None:
    assert choose(HostWish(ends_at="2026-12-24T00:00:00Z")) == ON_DEMAND
    assert choose(HostWish(), rates=Rates()) == ON_DEMAND


def test_auto_takes_what_the_student_can_have() -> None:
    assert choose(HostWish(**FULL), LLAMA) == PROVISIONED


def test_a_student_without_the_wanted_host_is_told_what_it_can_have() -> None:
    error = refused(HostWish(kind=ON_DEMAND), LLAMA)
    assert (
        "cannot be served by custom-model-deployment in us-west-2; it can have provisioned-throughput"
        in str(error)
    )


def test_auto_for_a_student_that_needs_throughput_names_everything_that_is_missing() -> None:
    error = refused(HostWish(), LLAMA)
    for word in ("model units", "hourly price", "end date"):
        assert word in error.message
    assert "custom-model-deployment" not in error.message


def test_a_legacy_base_gets_no_new_throughput_and_may_still_be_deployed() -> None:
    legacy = Capability(BOTH.student, BOTH.region, KINDS, "LEGACY")
    assert "Legacy" in refused(HostWish(kind=PROVISIONED, **FULL), legacy).message
    assert choose(HostWish(**FULL, traffic=BUSY), legacy) == ON_DEMAND


def test_after_its_end_of_life_a_base_gets_no_host() -> None:
    ended = Capability(BOTH.student, BOTH.region, KINDS, "LEGACY", "2026-11-01T00:00:00Z")
    assert "end of life" in refused(HostWish(), ended).message


@pytest.mark.parametrize("missing", sorted(FULL))
def test_throughput_demands_units_price_and_end(missing: str) -> None:
    wish = HostWish(kind=PROVISIONED, **{k: v for k, v in FULL.items() if k != missing})
    assert isinstance(refused(wish), ConfigurationError)


def test_a_committed_term_demands_an_explicit_yes_and_an_end_after_it() -> None:
    wish = {**FULL, "kind": PROVISIONED, "commitment": "OneMonth"}
    assert "cannot be ended early" in refused(HostWish(**wish)).message
    assert choose(HostWish(**wish, accept_commitment=True)) == PROVISIONED
    short = {**wish, "ends_at": "2026-12-01T00:00:00Z", "accept_commitment": True}
    assert "before the end of the term" in refused(HostWish(**short)).message


def test_over_the_cap_and_unknown_under_a_cap_are_refused() -> None:
    error = refused(HostWish(kind=PROVISIONED, **FULL, daily_price_cap=359.0))
    assert isinstance(error, BudgetError)
    assert "360.00 a day, over the cap of 359" in error.message
    assert choose(HostWish(kind=PROVISIONED, **FULL, daily_price_cap=360.0)) == PROVISIONED
    unknown = refused(HostWish(kind=ON_DEMAND, daily_price_cap=5.0))
    assert isinstance(unknown, BudgetError)
    assert "unknown" in unknown.message


@given(
    units=st.one_of(st.none(), st.integers(0, 4)),
    price=st.one_of(st.none(), st.floats(0, 100)),
    cap=st.one_of(st.none(), st.floats(0, 5000)),
    ends=st.sampled_from([None, "2026-11-01T00:00:00Z", "2026-12-24T00:00:00Z"]),
    kind=st.sampled_from(["auto", *KINDS]),
    traffic=st.sampled_from([None, BUSY, QUIET]),
)
def test_whatever_is_wished_a_chosen_host_was_not_refused(
    units: Any, price: Any, cap: Any, ends: Any, kind: Any, traffic: Any
) -> None:
    wish = HostWish(kind, units, "none", price, ends, cap, False, traffic)
    try:
        choice = choose_host(wish, BOTH, RATES, now=NOW, name_of=str)
    except (ConfigurationError, BudgetError):
        wanted = KINDS if kind == "auto" else (kind,)
        assert all(refusals(k, wish, BOTH, RATES, NOW) for k in wanted)
        return
    assert not refusals(choice.spec.kind, wish, BOTH, RATES, NOW)
    if cap is not None:
        assert choice.daily_price is not None
        assert choice.daily_price <= cap
    if choice.spec.kind == PROVISIONED:
        assert choice.spec.units
        assert choice.spec.hourly_price
        assert choice.spec.ends_at


def test_an_unknown_price_is_never_zero() -> None:
    assert daily_price(PROVISIONED, HostWish(units=1), Rates()) is None
    assert daily_price(ON_DEMAND, HostWish(traffic=BUSY), Rates(input_per_1k=0.1)) is None
    assert daily_price(ON_DEMAND, HostWish(), RATES) is None


def test_the_live_host_is_kept_on_the_terms_it_was_bought_even_on_a_legacy_base() -> None:
    legacy = Capability(BOTH.student, BOTH.region, KINDS, "LEGACY")
    host = Host(
        PROVISIONED, "arn:h", "live", "arn:m", "arn:m", "amazon.nova-micro-v1:0", "InService", units=2
    )
    paid = HostSpec(PROVISIONED, "live", 2, "none", 15.0, "2026-12-24T00:00:00Z")
    choice = keep_host(HostWish(), legacy, RATES, now=NOW, host=host, paid=paid)
    assert choice.spec == paid
    assert choice.daily_price == 720.0
    with pytest.raises(BudgetError):
        keep_host(HostWish(daily_price_cap=100), legacy, RATES, now=NOW, host=host, paid=paid)
