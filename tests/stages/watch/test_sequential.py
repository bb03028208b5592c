"""The quality test keeps its promise however often it is looked at, and sees a fall in days."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.stages.watch.sequential import (
    ENOUGH,
    HORIZON,
    SETTLING,
    bets_at,
    evidence,
    fell_at,
    floor_of,
    strengths,
)
from tests.stages.watch.simulation import twin


def test_of_2_000_unchanged_twins_at_most_5_percent_alarm_in_90_days_of_daily_looks() -> None:
    alarms = sum(twin(seed) is not None for seed in range(2_000))
    assert alarms <= 0.05 * 2_000
    assert alarms <= 40, "it keeps the rate with room to spare; more would be a change of the test"


def test_a_fall_of_five_points_is_seen_within_14_days_at_200_calls_a_day() -> None:
    delays = [day - 35 for seed in range(200) if (day := twin(seed, fall=0.05, on=35)) is not None]
    assert sum(0 <= delay < 14 for delay in delays) >= 0.95 * 200
    assert sorted(delays)[100] <= 7


def test_a_large_fall_is_seen_the_next_day() -> None:
    assert all(twin(seed, fall=0.3, on=20) in (20, 21) for seed in range(30))


def test_a_student_that_is_worse_from_the_first_day_is_seen_by_the_releases_figure() -> None:
    seen = [twin(seed, fall=0.08, on=0) for seed in range(50)]
    assert sum(day is not None and day < 14 for day in seen) >= 45


@given(st.floats(0, 1), st.integers(1, 10_000), st.floats(0.01, 0.2))
def test_a_floor_lies_below_its_mean_and_within_bounds(mean: float, n: int, alpha: float) -> None:
    assert 0.0 <= floor_of(mean, n, alpha) <= mean + 1e-9


@given(st.floats(0.001, 0.999))
def test_no_bet_can_make_a_product_negative(floor: float) -> None:
    assert all(1 + bet * (floor - 1.0) > 0 for bet in bets_at(floor))


@given(
    st.lists(st.dictionaries(st.floats(0, 1), st.integers(1, 50), max_size=4), max_size=100),
    st.floats(0, 1),
)
@settings(max_examples=50)
def test_evidence_is_finite_and_never_negative(days: list[dict[float, int]], floor: float) -> None:
    told = evidence(days, floor)
    assert len(told) == len(days)
    assert all(math.isfinite(each) and each >= 0 for each in told)


def test_days_without_scores_change_nothing() -> None:
    busy = [{1.0: 95, 0.0: 5}] * 3
    assert evidence([*busy, {}, {}], 0.9)[2:] == pytest.approx([evidence(busy, 0.9)[-1]] * 3)


def test_partial_scores_count_by_their_value() -> None:
    low, high = [{0.5: 50}] * 10, [{0.9: 50}] * 10
    assert fell_at(low, (0.9, 400), 0.05) is not None
    assert fell_at(high, (0.9, 400), 0.05) is None


def test_without_a_figure_of_the_release_the_first_days_are_the_measure() -> None:
    good, bad = {1.0: 95, 0.0: 5}, {1.0: 70, 0.0: 30}
    days = [good] * SETTLING + [bad] * 10
    assert fell_at(days, None, 0.05) in range(SETTLING, SETTLING + 4)
    assert fell_at([good] * HORIZON, None, 0.05) is None
    few = [{1.0: 1}] * SETTLING
    assert sum(sum(day.values()) for day in few) < ENOUGH
    assert strengths([*few, bad], None, 0.05)[-1] == 0.0
