"""Intervals say what they claim: known values, coverage where the truth is known, and the symmetries of a fair method."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.errors import EvaluationError
from airflow_distill.stages.evaluation.intervals import (
    Evidence,
    from_differences,
    from_pseudo_values,
    from_scores,
    items_needed,
    lower_bound,
    mirrored,
    p_at_least,
    p_at_most,
    upper_bound,
)

differences = st.lists(st.integers(-20, 20).map(lambda k: k / 20), min_size=1, max_size=60)
ternary = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=60)
places = st.floats(-1, 1, exclude_min=True, exclude_max=True)


def paired(better: int, worse: int, n: int) -> Evidence:
    return from_differences([1.0] * better + [-1.0] * worse + [0.0] * (n - better - worse))


# --- known values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("right", "n"), [(0, 50), (1, 50), (45, 50), (50, 50), (380, 400), (400, 400)])
def test_scores_of_right_or_wrong_have_clopper_and_pearsons_bounds(right: int, n: int) -> None:
    """The saddlepoint form of the bound, held against the beta quantiles it stands for."""
    beta = pytest.importorskip("scipy.stats").beta
    evidence = from_scores([1.0] * right + [0.0] * (n - right))
    low = beta.ppf(0.05, right, n - right + 1) if right else 0.0
    high = beta.ppf(0.95, right + 1, n - right) if right < n else 1.0
    assert lower_bound(evidence, 0.05) == pytest.approx(low, abs=3e-4)
    assert upper_bound(evidence, 0.05) == pytest.approx(high, abs=3e-4)


def test_the_graded_tail_agrees_with_sampled_weights() -> None:
    """The tail is a weighted bootstrap with one item at the worst end; here its weights are drawn."""
    rng = random.Random(3)
    values = [round(rng.betavariate(2, 1) - 0.8, 3) for _ in range(25)]
    evidence, place = from_differences(values), -0.27
    shifted = [v - place for v in [*values, -1.0]]
    hits = sum(math.fsum(rng.expovariate(1) * a for a in shifted) <= 0 for _ in range(40_000))
    assert p_at_most(evidence, place) == pytest.approx(hits / 40_000, rel=0.1)


def test_tango_without_the_correction_is_near_the_published_interval() -> None:
    """Tango 1998, 44 pairs, 1 against 0: the published 95 % interval is -0.027 to 0.118; ours is a little wider."""
    evidence = paired(1, 0, 44)
    low, high = lower_bound(evidence, 0.025), upper_bound(evidence, 0.025)
    assert -0.10 < low < -0.027
    assert 0.118 < high < 0.15


def test_at_zero_the_paired_test_is_mcnemars_with_half_a_unit() -> None:
    expected = 0.5 * math.erfc((15 - 5 - 0.5) / math.sqrt(20) / math.sqrt(2))
    assert p_at_most(paired(15, 5, 200), 0.0) == pytest.approx(expected)


# --- promises -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [50, 100, 400])
@pytest.mark.parametrize("margin", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("better", [0.0, 0.005, 0.02, 0.06, 0.15])
def test_a_loss_of_the_margin_is_accepted_at_most_at_alpha(n: int, margin: float, better: float) -> None:
    """Summed over every outcome, not drawn: the chance that the paired test calls a student acceptable that is not."""
    worse, log = better + margin, math.lgamma
    chance = 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b):
            if (b and not better) or (b - c + n * margin) <= 0:
                continue  # impossible, or far from acceptance
            logp = log(n + 1) - log(b + 1) - log(c + 1) - log(n - b - c + 1)
            logp += (b * math.log(better) if b else 0) + c * math.log(worse)
            p = math.exp(logp + (n - b - c) * math.log(1 - better - worse))
            if p > 1e-7 and p_at_most(paired_fast(b, c, n), -margin) <= 0.05:
                chance += p
    assert chance <= 0.05


def paired_fast(better: int, worse: int, n: int) -> Evidence:
    counts = ((-1.0, float(worse)), (0.0, float(n - better - worse)), (1.0, float(better)))
    return Evidence("tango", n, tuple((v, c) for v, c in counts if c))


@pytest.mark.parametrize("shape", ["total losses", "uniform", "small losses", "gains and losses"])
def test_graded_bounds_lie_above_the_truth_at_most_at_alpha(shape: str) -> None:
    """500 seeded draws of 100 items from known means; three standard errors are allowed for the drawing."""
    rng = random.Random(f"graded {shape}")
    draws = {
        "total losses": (lambda: -1.0 if rng.random() < 0.05 else 0.0, -0.05),
        "uniform": (lambda: -rng.random() if rng.random() < 0.1 else 0.0, -0.05),
        "small losses": (lambda: -rng.betavariate(1, 19), -0.05),
        "gains and losses": (lambda: rng.uniform(-0.55, 0.45), -0.05),
    }
    draw, truth = draws[shape]
    over = 0
    for _ in range(500):
        evidence = from_differences([draw() for _ in range(100)])
        graded = Evidence("gaffke", evidence.n, evidence.tally)
        over += p_at_most(graded, truth) <= 0.05
    assert over / 500 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 500)


@settings(deadline=None, max_examples=60)
@given(values=differences, alpha=st.sampled_from([0.01, 0.05, 0.2]))
def test_the_bounds_are_where_the_test_turns(values: list[float], alpha: float) -> None:
    evidence = from_differences(values)
    low = lower_bound(evidence, alpha)
    assert -1 <= low <= evidence.center + 1e-9 <= upper_bound(evidence, alpha) + 2e-9
    if low > -1:
        assert p_at_most(evidence, low - 1e-4) <= alpha + 1e-9
        assert p_at_most(evidence, min(low + 1e-4, 1.0)) >= alpha - 1e-9


@settings(deadline=None)
@given(values=differences, place=places)
def test_swapping_the_two_roles_swaps_the_answer(values: list[float], place: float) -> None:
    evidence = from_differences(values)
    assert p_at_least(evidence, place) == pytest.approx(
        p_at_most(from_differences([-v for v in values]), -place)
    )
    assert mirrored(mirrored(evidence)) == evidence


@settings(deadline=None)
@given(values=differences, places=st.tuples(places, places))
def test_the_p_value_rises_with_the_value_asked_about(
    values: list[float], places: tuple[float, float]
) -> None:
    """Up to one half, which is where evidence begins; with one or two items the score test wobbles above it."""
    low, high = sorted(places)
    evidence = from_differences(values)
    assert min(p_at_most(evidence, low), 0.5) <= p_at_most(evidence, high) + 1e-6


def test_one_loss_is_no_evidence_of_a_gain_wherever_one_asks() -> None:
    evidence = from_differences([-1.0])
    assert min(p_at_most(evidence, place / 16) for place in range(-15, 17)) > 0.8


@settings(deadline=None)
@given(values=ternary, place=places)
def test_a_win_more_and_a_loss_less_never_weakens_the_evidence(values: list[float], place: float) -> None:
    worst = min(values)
    improved = list(values)
    improved[improved.index(worst)] = 1.0
    assert p_at_most(from_differences(improved), place) <= p_at_most(from_differences(values), place) + 1e-9


@settings(deadline=None)
@given(values=differences, seed=st.integers())
def test_the_order_of_items_does_not_matter(values: list[float], seed: int) -> None:
    shuffled = random.Random(seed).sample(values, len(values))
    assert from_differences(shuffled) == from_differences(values)


@given(values=differences)
def test_evidence_survives_json(values: list[float]) -> None:
    evidence = from_differences(values)
    assert Evidence.from_json(json.loads(json.dumps(evidence.to_json()))) == evidence


# --- edges --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-1.0, 0.0, 0.4, 1.0])
def test_equal_items_do_not_make_a_point_of_the_interval(value: float) -> None:
    """No spread seen in 50 items is no proof of none: the next may be the worst there is."""
    evidence = from_differences([value] * 50)
    assert lower_bound(evidence, 0.05) <= max(value - 0.02, -1)
    assert upper_bound(evidence, 0.05) >= min(value + 0.02, 1)


def test_no_items_are_no_evidence() -> None:
    evidence = from_differences([])
    assert p_at_most(evidence, -0.05) == 1
    assert (lower_bound(evidence, 0.05), upper_bound(evidence, 0.05)) == (-1, 1)
    assert items_needed(evidence, -0.05, 0.05) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.5])
def test_what_is_no_difference_is_refused(value: float) -> None:
    with pytest.raises(EvaluationError):
        from_differences([0.0, value])


def test_pseudo_values_may_lie_outside_the_metric() -> None:
    evidence = from_pseudo_values([-3.0, 1.0, 1.0])
    assert (evidence.low, evidence.high, evidence.method) == (-3.0, 1.0, "gaffke")


def test_fractions_of_repeats_are_graded_not_right_or_wrong() -> None:
    assert from_differences([0.0, 1.0, -1.0]).method == "tango"
    assert from_differences([0.0, 1 / 3, -1.0]).method == "gaffke"


# --- how many more ------------------------------------------------------------------------------------------


def test_the_number_needed_settles_it_four_times_in_five() -> None:
    """Ask for the number, then draw that many from the truth that was seen."""
    needed = items_needed(paired(8, 12, 200), -0.05, 0.05, 0.8)
    assert needed is not None
    rng, hits = random.Random(11), 0
    for _ in range(400):
        drawn = rng.choices((1, -1, 0), weights=(8, 12, 180), k=needed)
        hits += p_at_most(paired(drawn.count(1), drawn.count(-1), needed), -0.05) <= 0.05
    assert 0.75 <= hits / 400 <= 0.92


def test_less_disagreement_needs_fewer_prompts() -> None:
    numbers = [items_needed(paired(k, k, 100), -0.05, 0.05) for k in (1, 4, 9)]
    assert numbers == sorted(numbers, key=lambda n: n or 0)


def test_an_estimate_on_the_line_can_never_be_settled() -> None:
    assert items_needed(paired(5, 10, 100), -0.05, 0.05) is None


def test_a_student_beyond_the_margin_gets_the_number_that_shows_it() -> None:
    needed = items_needed(paired(2, 12, 100), -0.05, 0.05)
    assert needed is not None
    factor = needed / 100
    assert p_at_least(paired(round(2 * factor), round(12 * factor), needed), -0.05) <= 0.05


def test_a_tiny_sample_without_disagreement_does_not_promise_too_much() -> None:
    """Ten prompts all alike: 52 would do if there were truly no disagreement, but ten prompts cannot know that."""
    needed = items_needed(paired(0, 0, 10), -0.05, 0.05)
    assert needed is not None
    assert needed > 100
