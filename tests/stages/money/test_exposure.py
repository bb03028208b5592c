"""Exposure: never less than what can still be billed, and never a figure where nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.stages.money.exposure import Billing, Exposure, sentence

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def billing(**overrides: Any) -> Billing:
    fields: dict[str, Any] = {"kind": "provisioned-throughput", "name": "live", "arn": "arn:live"}
    return Billing(**fields | {"usd_a_day": Decimal(240), "ends_at": NOW + timedelta(days=3)} | overrides)


def test_a_host_with_an_end_can_cost_its_days_until_then() -> None:
    assert billing().most(NOW) == 720
    assert billing(ends_at=NOW + timedelta(hours=1)).most(NOW) == 10


@pytest.mark.parametrize("ends", [None, NOW - timedelta(hours=1), NOW])
def test_what_has_no_end_or_outlived_it_has_no_most(ends: datetime | None) -> None:
    found = Exposure(NOW, (billing(ends_at=ends), billing()))
    assert found.endless == (billing(ends_at=ends),)
    assert found.most_usd == 720, "the sum is of what has an end"
    assert "until deleted: provisioned-throughput live" in sentence(found)


def test_an_unknown_price_makes_both_sums_unknown_and_is_named() -> None:
    found = Exposure(NOW, (billing(usd_a_day=None, name="x"), billing()))
    assert (found.usd_a_day, found.most_usd) == (None, None)
    assert "no price known for provisioned-throughput x" in sentence(found)
    assert found.to_json()["most_usd"] is None


def test_what_is_paid_by_the_call_costs_nothing_while_idle() -> None:
    found = Exposure(NOW, (billing(kind="custom-model-deployment", usd_a_day=Decimal(0), ends_at=None),))
    assert (found.usd_a_day, found.most_usd, found.endless) == (0, 0, ())


def test_nothing_is_said_to_be_nothing() -> None:
    assert sentence(Exposure(NOW, ())) == "Nothing bills."


@given(
    st.lists(
        st.tuples(
            st.none() | st.decimals(0, 5000, places=2),
            st.none() | st.integers(-100, 100),
        ),
        max_size=6,
    ),
    st.integers(0, 100),
)
def test_the_most_is_never_exceeded_by_what_is_then_billed(
    resources: list[tuple[Decimal | None, int | None]], hours: int
) -> None:
    """Every resource bills by the hour until its end, as the service would."""
    lines = tuple(
        billing(usd_a_day=usd, ends_at=None if end is None else NOW + timedelta(hours=end))
        for usd, end in resources
    )
    found = Exposure(NOW, lines)
    if found.most_usd is None:
        assert found.unknown
        return
    billed = sum(
        (
            line.usd_a_day * min(hours, int((line.ends_at - NOW).total_seconds()) // 3600) / 24
            for line in lines
            if line not in found.endless and line.usd_a_day is not None and line.ends_at is not None
        ),
        Decimal(0),
    )
    assert billed <= found.most_usd + Decimal("1e-9")
