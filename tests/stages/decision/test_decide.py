"""Verdicts: what promotes, what holds, what rejects, what stays open, and that better evidence never hurts."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.decision.decide import Freshness, decide, freshness_problems
from airflow_distill.stages.decision.policy import MetricRule, PromotionPolicy
from airflow_distill.stages.decision.records import Reason, Verdict
from airflow_distill.stages.evaluation.intervals import Evidence, from_differences
from airflow_distill.stages.evaluation.records import Comparison, Interval, Metric, ModelSummary, Scorecard
from airflow_distill.stages.money.records import Costs

FRESH = Freshness("d1", "h1", "student-model", "incumbent-model")
RANK = {"reject": 0, "inconclusive": 1, "hold": 1, "promote": 2}


def compared(
    better: int = 0,
    worse: int = 0,
    n: int = 400,
    against: str = "teacher",
    metric: str = "exact",
    **fields: Any,
) -> Comparison:
    counts = ((-1.0, float(worse)), (0.0, float(n - better - worse)), (1.0, float(better)))
    evidence = Evidence("tango", n, tuple((v, c) for v, c in counts if c))
    settings: dict[str, Any] = {"better": better, "worse": worse}
    return Comparison(metric, against, n, evidence.center, evidence, **settings | fields)


def good(metric: str = "exact", n: int = 400) -> list[Comparison]:
    """A student as good as the teacher, a little better than the incumbent, and better than the untuned one."""
    return [
        compared(8, 8, n, "teacher", metric),
        compared(n // 4, 4, n, "untuned", metric),
        compared(9, 8, n, "incumbent", metric),
    ]


def make_scorecard(comparisons: Sequence[Comparison] | None = None, **overrides: Any) -> Scorecard:
    roles = ("teacher", "untuned", "student", "incumbent")
    fields: dict[str, Any] = {
        "workload": "tickets",
        "evaluation_id": "e1",
        "dataset_id": "d1",
        "heldout_sha256": "h1",
        "models": {role: f"{role}-model" for role in roles},
        "n": 400,
        "metrics": (),
        "comparisons": tuple(good() if comparisons is None else comparisons),
        "references": {"teacher": 0, "golden": 400, "none": 0},
        "teacher_source": "answers",
        "alpha": 0.05,
        "min_items": 30,
        "summaries": tuple(ModelSummary(role, f"{role}-model", 400, 400) for role in roles),
    }
    return Scorecard(**fields | overrides)


def make_policy(**overrides: Any) -> PromotionPolicy:
    return PromotionPolicy.from_json({"metrics": {"exact": 0.05}} | overrides)


def judge(card: Scorecard | None = None, policy: PromotionPolicy | None = None, **arguments: Any) -> Verdict:
    return decide(card or make_scorecard(), policy or make_policy(), **{"freshness": FRESH} | arguments)


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


# --- the four verdicts --------------------------------------------------------------------------------------


def test_a_student_as_good_as_all_that_is_asked_is_promoted() -> None:
    verdict = judge()
    assert verdict.verdict == "promote"
    assert codes(verdict) == ["shown"] * 3
    assert verdict.needed is None
    assert {c.outcome for c in verdict.checks} == {"pass"}


def test_evidence_of_being_worse_than_the_teacher_rejects() -> None:
    verdict = judge(make_scorecard([compared(2, 60), *good()[1:]]))
    assert (verdict.verdict, codes(verdict)[0]) == ("reject", "worse")


def test_an_interval_across_the_margin_is_inconclusive_with_a_number() -> None:
    verdict = judge(make_scorecard([compared(20, 32), *good()[1:]]))
    assert (verdict.verdict, codes(verdict)) == ("inconclusive", ["open"])
    assert verdict.needed is not None
    assert verdict.needed > 400


def test_an_estimate_on_the_margin_is_inconclusive_without_a_number() -> None:
    verdict = judge(make_scorecard([compared(10, 30), *good()[1:]]))
    assert (verdict.verdict, verdict.needed) == ("inconclusive", None)


def test_a_student_worse_than_the_incumbent_is_not_promoted() -> None:
    assert judge(make_scorecard([*good()[:2], compared(2, 60, against="incumbent")])).verdict == "reject"
    assert (
        judge(make_scorecard([*good()[:2], compared(20, 32, against="incumbent")])).verdict == "inconclusive"
    )


def test_a_student_no_better_than_the_untuned_one_is_not_promoted() -> None:
    """A distillation that changed nothing must not be paid for by the hour."""
    card = make_scorecard([good()[0], compared(10, 10, against="untuned"), good()[2]])
    assert judge(card).verdict == "inconclusive"
    assert judge(card, make_policy(beat_untuned=False)).verdict == "promote"
    worse = make_scorecard([good()[0], compared(2, 40, against="untuned"), good()[2]])
    assert judge(worse).verdict == "reject"


def test_the_untuned_student_must_be_beaten_by_the_stated_gain() -> None:
    card = make_scorecard([good()[0], compared(40, 10, against="untuned"), good()[2]])
    assert judge(card).verdict == "promote"
    assert (
        judge(card, make_policy(metrics={"exact": {"margin": 0.05, "gain": 0.07}})).verdict == "inconclusive"
    )


def test_every_primary_metric_must_hold() -> None:
    policy = make_policy(metrics={"exact": 0.05, "fields": 0.05})
    both = make_scorecard([*good(), *good("fields")])
    one = make_scorecard([*good(), compared(20, 32, metric="fields"), *good("fields")[1:]])
    assert judge(both, policy).verdict == "promote"
    assert judge(one, policy).verdict == "inconclusive"


def test_a_guarding_metric_stops_only_by_evidence() -> None:
    policy = make_policy(metrics={"exact": 0.05, "fields": {"margin": 0.05, "primary": False}})
    unsure = make_scorecard([*good(), compared(20, 32, metric="fields"), *good("fields")[1:]])
    worse = make_scorecard([*good(), compared(2, 60, metric="fields"), *good("fields")[1:]])
    assert judge(unsure, policy).verdict == "promote"
    assert (judge(worse, policy).verdict, codes(judge(worse, policy))[0]) == ("reject", "worse-guard")


# --- too little ---------------------------------------------------------------------------------------------


def test_too_few_prompts_are_inconclusive_however_good_they_look() -> None:
    verdict = judge(
        make_scorecard(
            [compared(0, 0, 18), compared(18, 0, 18, "untuned"), compared(9, 0, 18, "incumbent")], n=18
        )
    )
    assert (verdict.verdict, codes(verdict)) == ("inconclusive", ["too-few"] * 3)
    assert verdict.needed is not None
    assert verdict.needed >= 100 - 18


def test_too_few_prompts_are_inconclusive_however_bad_they_look() -> None:
    assert (
        judge(make_scorecard([compared(0, 40, 40, a) for a in ("teacher", "untuned", "incumbent")])).verdict
        == "inconclusive"
    )


def test_the_number_needed_is_that_of_the_hardest_condition() -> None:
    card = make_scorecard(
        [compared(8, 12, 200), compared(24, 20, 200, "untuned"), compared(2, 2, 200, "incumbent")]
    )
    verdict = judge(card)
    numbers = [c.needed for c in verdict.checks if c.outcome == "open"]
    assert verdict.verdict == "inconclusive"
    assert len(numbers) == 2
    assert verdict.needed == max(n or 0 for n in numbers)


# --- what cannot be trusted ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "now",
    [
        replace(FRESH, dataset_id="d2"),
        replace(FRESH, heldout_sha256="h2"),
        replace(FRESH, student_model="another"),
        replace(FRESH, incumbent_model="another"),
        replace(FRESH, incumbent_model=None),
        None,
    ],
)
def test_stale_or_unverified_evidence_holds(now: Freshness | None) -> None:
    verdict = judge(freshness=now)
    assert verdict.verdict == "hold"
    assert codes(verdict)[0] in ("stale", "unverified")
    assert freshness_problems(make_scorecard(), now)


def test_a_scorecard_without_its_own_digests_is_stale() -> None:
    card = make_scorecard(dataset_id="", heldout_sha256="")
    assert judge(card, freshness=replace(FRESH, dataset_id="", heldout_sha256="")).verdict == "hold"


@pytest.mark.parametrize("role", ["teacher", "untuned", "student", "incumbent"])
def test_a_role_that_gave_no_answers_holds(role: str) -> None:
    card = make_scorecard()
    without = replace(card, summaries=tuple(s for s in card.summaries if s.role != role))
    assert (judge(without).verdict, codes(judge(without))[0]) == ("hold", "missing-role")


@pytest.mark.parametrize("role", ["teacher", "untuned", "student", "incumbent"])
def test_many_failed_answers_of_anyone_hold(role: str) -> None:
    """An untuned student that was throttled would be easy to beat."""
    card = make_scorecard()
    failing = replace(
        card, summaries=tuple(replace(s, errors=9 if s.role == role else 0) for s in card.summaries)
    )
    assert (judge(failing).verdict, codes(judge(failing))[0]) == ("hold", "errors")
    assert judge(failing, make_policy(max_error_share=0.05)).verdict == "promote"


def test_a_metric_that_was_not_compared_holds() -> None:
    assert (judge(make_scorecard(good()[:2])).verdict) == "hold"
    assert codes(judge(policy=make_policy(metrics={"exact": 0.05, "fields": 0.05})))[0] == "missing-metric"


def test_missing_scores_hold_unless_a_share_was_allowed() -> None:
    card = make_scorecard([replace(good()[0], missing=4), *good()[1:]])
    assert codes(judge(card))[0] == "missing-scores"
    assert judge(card, make_policy(max_missing_share=0.01)).verdict == "promote"


def test_a_comparison_without_a_figure_holds() -> None:
    empty = Comparison("exact", "teacher", 0, None, from_differences([]), missing=400)
    assert judge(make_scorecard([empty, *good()[1:]])).verdict == "hold"


def test_answers_under_different_parameters_hold() -> None:
    card = make_scorecard()
    mixed = replace(card, summaries=tuple(replace(s, parameters=("a", "b")) for s in card.summaries))
    assert "mixed-parameters" in codes(judge(mixed))


def test_objections_from_elsewhere_hold() -> None:
    verdict = judge(objections=(Reason("judge-untrusted", "The judge prefers the first answer."),))
    assert (verdict.verdict, codes(verdict)[0]) == ("hold", "judge-untrusted")


def test_labels_can_be_demanded() -> None:
    logged = make_scorecard(references={"teacher": 400, "golden": 0, "none": 0})
    assert judge(logged).verdict == "promote"
    assert codes(judge(logged, make_policy(require_golden=True)))[0] == "no-labels"


def mixed(golden: Sequence[Comparison], whole: Sequence[Comparison] | None = None) -> Scorecard:
    return make_scorecard(
        [*(good() if whole is None else whole), *(replace(c, slice="golden") for c in golden)],
        references={"teacher": 250, "golden": 150, "none": 0},
        teacher_source="mixed",
    )


def sure(n: int = 150) -> list[Comparison]:
    """As `good`, with so few differences that a small set settles it."""
    return [compared(1, 1, n), compared(40, 2, n, "untuned"), compared(2, 1, n, "incumbent")]


GOLDEN_POLICY = {"require_golden": True}


def test_what_people_answered_decides_where_it_is_demanded() -> None:
    verdict = judge(mixed(sure()), make_policy(**GOLDEN_POLICY))
    assert verdict.verdict == "promote"
    assert {c.slice for c in verdict.checks if c.code == "quality"} == {"golden"}
    assert all("over the golden prompts" in r.text for r in verdict.reasons)


@pytest.mark.parametrize(
    ("golden", "outcome", "code"),
    [
        ([compared(1, 60, 150), *sure()[1:]], "reject", "worse"),
        (sure(60), "inconclusive", "too-few"),
        (sure()[1:], "hold", "missing-metric"),
        ([replace(sure()[0], missing=9), *sure()[1:]], "hold", "missing-scores"),
        ([*sure()[:2], compared(1, 1, 150, "incumbent")], "hold", "incumbent-kept"),
    ],
)
def test_weak_golden_evidence_promotes_nothing_however_good_the_rest_is(
    golden: list[Comparison], outcome: str, code: str
) -> None:
    verdict = judge(mixed(golden), make_policy(**GOLDEN_POLICY))
    assert (verdict.verdict, codes(verdict)[0]) == (outcome, code)
    assert judge(mixed(sure())).verdict == "promote"


def test_the_other_prompts_can_still_stop_what_the_golden_ones_allow() -> None:
    bad = [compared(2, 90), *good()[1:]]
    verdict = judge(mixed(sure(), bad), make_policy(**GOLDEN_POLICY))
    assert (verdict.verdict, codes(verdict)[0]) == ("reject", "worse-guard")


def test_a_golden_slice_is_a_guard_where_it_is_not_demanded() -> None:
    verdict = judge(mixed([compared(1, 60, 150), *sure()[1:]]))
    assert (verdict.verdict, codes(verdict)[0]) == ("reject", "worse-slice")


def test_what_cannot_be_trusted_holds_before_it_rejects() -> None:
    verdict = judge(make_scorecard([compared(2, 60), *good()[1:]]), freshness=replace(FRESH, dataset_id="d2"))
    assert verdict.verdict == "hold"
    assert codes(verdict) == ["stale", "worse"], "the other findings are still told"


@pytest.mark.parametrize("look", [0, 3])
def test_a_look_that_was_not_planned_holds(look: int) -> None:
    assert codes(judge(policy=make_policy(looks=2), look=look))[0] == "looks-used"


def test_planned_looks_share_alpha() -> None:
    close = make_scorecard([compared(8, 16), *good()[1:]])
    assert judge(close).verdict == "promote"
    assert judge(close, make_policy(looks=4), look=1).verdict == "inconclusive"


# --- limits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "costs", "code"),
    [
        ({"max_run_usd": 10}, Costs(run_usd=11), "run-cost"),
        ({"max_run_usd": 10}, Costs(), "run-cost-unknown"),
        ({"max_run_usd": 10}, None, "run-cost-unknown"),
        ({"max_monthly_usd": 10}, Costs(student_monthly_usd=10.5), "monthly-cost"),
        ({"require_break_even": True}, Costs(student_monthly_usd=20, teacher_monthly_usd=10), "break-even"),
        ({"require_break_even": True}, Costs(student_monthly_usd=20), "break-even-unknown"),
        ({"max_payback_days": 30}, Costs(payback_days=31), "payback"),
        ({"max_payback_days": 30}, Costs(payback_days=None), "payback-unknown"),
        ({"max_p95_latency_ms": 500}, None, "latency-unknown"),
    ],
)
def test_a_crossed_or_unknown_limit_holds(settings: dict[str, Any], costs: Costs | None, code: str) -> None:
    verdict = judge(policy=make_policy(**settings), costs=costs)
    assert (verdict.verdict, codes(verdict)[0]) == ("hold", code)


def test_limits_that_are_kept_do_not_stop() -> None:
    policy = make_policy(max_run_usd=10, max_monthly_usd=10, require_break_even=True, max_payback_days=30)
    costs = Costs(run_usd=10, student_monthly_usd=9, teacher_monthly_usd=12, payback_days=0)
    assert judge(policy=policy, costs=costs).verdict == "promote"


def test_a_price_that_is_too_high_is_said_before_more_prompts_are_asked_for() -> None:
    """More prompts do not make a student cheaper."""
    verdict = judge(
        make_scorecard([compared(20, 32), *good()[1:]]), make_policy(max_run_usd=1), costs=Costs(run_usd=2)
    )
    assert (verdict.verdict, codes(verdict), verdict.needed) == ("hold", ["run-cost", "open"], None)


# --- slices -------------------------------------------------------------------------------------------------


def in_slices(*worse: int, n: int = 60) -> list[Comparison]:
    return [compared(0, count, n, slice=f"lang={i}") for i, count in enumerate(worse)]


def test_a_slice_that_is_clearly_worse_rejects() -> None:
    verdict = judge(make_scorecard([*good(), *in_slices(30, 0, 0)]))
    assert (verdict.verdict, codes(verdict)[0]) == ("reject", "worse-slice")
    assert (
        judge(make_scorecard([*good(), *in_slices(30, 0, 0)]), make_policy(guard_slices=False)).verdict
        == "promote"
    )


def test_the_more_slices_are_looked_at_the_more_one_must_show() -> None:
    """Eight of sixty lost alone is worth an alarm; as the worst of twenty slices it is not."""
    assert judge(make_scorecard([*good(), *in_slices(8)])).verdict == "reject"
    assert judge(make_scorecard([*good(), *in_slices(8, *[0] * 19)])).verdict == "promote"


def test_a_small_slice_is_skipped_and_shown_as_such() -> None:
    verdict = judge(make_scorecard([*good(), *in_slices(10, n=10)]))
    assert verdict.verdict == "promote"
    assert [c.outcome for c in verdict.checks if c.slice] == ["skipped"]


# --- order and monotony -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    better=st.integers(0, 40),
    worse=st.integers(1, 80),
    n=st.sampled_from([60, 100, 250, 400]),
    against=st.sampled_from([0, 1, 2]),
)
def test_one_loss_less_never_makes_the_verdict_worse(better: int, worse: int, n: int, against: int) -> None:
    worse, better = min(worse, n // 3), min(better, n // 3)

    def with_losses(count: int) -> str:
        comparisons = good(n=n)
        comparisons[against] = compared(better, count, n, comparisons[against].against)
        return judge(make_scorecard(comparisons, n=n)).verdict

    assert RANK[with_losses(worse - 1)] >= RANK[with_losses(worse)]


@settings(deadline=None, max_examples=40)
@given(worse=st.integers(0, 60), margins=st.tuples(st.floats(0.01, 0.2), st.floats(0.01, 0.2)))
def test_a_wider_margin_never_makes_the_verdict_worse(worse: int, margins: tuple[float, float]) -> None:
    narrow, wide = sorted(margins)
    card = make_scorecard([compared(8, worse), *good()[1:]])
    assert (
        RANK[judge(card, make_policy(metrics={"exact": wide})).verdict]
        >= RANK[judge(card, make_policy(metrics={"exact": narrow})).verdict]
    )


@settings(deadline=None, max_examples=40)
@given(worse=st.integers(0, 40), alphas=st.tuples(st.floats(0.001, 0.3), st.floats(0.001, 0.3)))
def test_a_smaller_alpha_never_promotes_what_a_larger_one_does_not(
    worse: int, alphas: tuple[float, float]
) -> None:
    strict, loose = sorted(alphas)
    card = make_scorecard([compared(8, worse), *good()[1:]])
    if judge(card, make_policy(alpha=strict)).promotes:
        assert judge(card, make_policy(alpha=loose)).promotes


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_taking_evidence_away_never_promotes(data: st.DataObject) -> None:
    """Whatever is dropped from a scorecard that does not promote, it still does not."""
    card = make_scorecard([compared(20, 32), *good()[1:]])
    kept = data.draw(st.lists(st.sampled_from(card.comparisons), unique_by=lambda c: c.against))
    roles = data.draw(st.lists(st.sampled_from(card.summaries), unique_by=lambda s: s.role))
    assert not judge(replace(card, comparisons=tuple(kept), summaries=tuple(roles))).promotes


# --- form ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "comparisons", [good(), [compared(2, 60), *good()[1:]], [compared(20, 32), *good()[1:]], good()[:1]]
)
def test_a_verdict_survives_json(comparisons: list[Comparison]) -> None:
    verdict = judge(make_scorecard(comparisons))
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json(), allow_nan=False))) == verdict


def test_the_same_evidence_gives_the_same_bytes() -> None:
    assert json.dumps(judge().to_json()) == json.dumps(judge().to_json())


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"metrics": {}},
        {"metrics": []},
        {"metrics": {"exact": 0}},
        {"metrics": {"exact": 1.0}},
        {"metrics": {"exact": math.nan}},
        {"metrics": {"exact": "wide"}},
        {"metrics": {"exact": True}},
        {"metrics": {"exact": {"margin": 0.05, "primary": False}}},
        {"metrics": {"exact": {"margin": 0.05, "colour": 1}}},
        {"metrics": {"exact": {"primary": True}}},
        {"metrics": [{"name": "exact", "margin": 0.1}, {"name": "exact", "margin": 0.2}]},
        {"metrics": "exact"},
        {"metrics": {"exact": 0.05}, "alpha": 0.5},
        {"metrics": {"exact": 0.05}, "alpha": 0},
        {"metrics": {"exact": 0.05}, "looks": 0},
        {"metrics": {"exact": 0.05}, "looks": True},
        {"metrics": {"exact": 0.05}, "min_items": 5},
        {"metrics": {"exact": 0.05}, "max_run_usd": -1},
        {"metrics": {"exact": 0.05}, "max_run_usd": math.inf},
        {"metrics": {"exact": 0.05}, "max_error_share": 2},
        {"metrics": {"exact": 0.05}, "unknown": 1},
        {"metrics": {"exact": 0.05}, "v": 2},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        PromotionPolicy.from_json(data)


def test_a_policy_survives_json_and_keeps_its_name() -> None:
    policy = PromotionPolicy(
        (MetricRule("exact", 0.05, 0.02, 0.1), MetricRule("fields", 0.1, primary=False)), looks=2
    )
    again = PromotionPolicy.from_json(json.loads(json.dumps(policy.to_json())))
    assert (again, again.digest) == (policy, policy.digest)
    assert replace(policy, alpha=0.01).digest != policy.digest


@pytest.mark.parametrize(
    ("costs", "code"),
    [
        (Costs(payback_days=400, life_days=365), "payback-beyond-life"),
        (Costs(saves_low_usd=-30, saves_high_usd=-1), "nothing-to-save"),
        (Costs(saves_low_usd=-30, saves_high_usd=0.0, payback_days=3, life_days=365), "nothing-to-save"),
    ],
)
def test_a_run_that_never_pays_or_pays_too_late_holds_until_the_policy_says_otherwise(
    costs: Costs, code: str
) -> None:
    verdict = judge(costs=costs)
    assert (verdict.verdict, codes(verdict)[0]) == ("hold", code)
    assert judge(policy=make_policy(payback_within_life=False), costs=costs).verdict == "promote"


@pytest.mark.parametrize(
    "costs",
    [
        None,
        Costs(),
        Costs(payback_days=400),
        Costs(life_days=3),
        Costs(payback_days=364, life_days=365),
        Costs(saves_low_usd=-5, saves_high_usd=5),
    ],
)
def test_what_is_not_known_of_savings_and_life_holds_nothing(costs: Costs | None) -> None:
    assert judge(costs=costs).verdict == "promote"


def test_costs_of_earlier_records_are_read_and_new_members_survive() -> None:
    costs = Costs(
        run_usd=1.0, saves_low_usd=-2.0, saves_high_usd=3.0, saves_against="the teacher", life_days=9.0
    )
    assert Costs.from_json(costs.to_json()) == costs
    assert "life_days" not in Costs(run_usd=1.0).to_json()
    assert make_policy().digest == make_policy(payback_within_life=True).digest
    assert make_policy().digest != make_policy(payback_within_life=False).digest


# --- live prompts played before the switch -------------------------------------------------------------------


def played(*comparisons: Comparison, n: int = 200, errors: int = 0, **fields: Any) -> Scorecard:
    """Return a shadow: as good as the incumbent and the teacher, unless said otherwise."""
    given = [compared(4, 4, n, against) for against in ("incumbent", "teacher")]
    summaries = (
        ModelSummary("student", "student-model", n, n - errors, errors=errors, latency_p95_ms=400.0),
    )
    return make_scorecard(
        [*comparisons, *(c for c in given if c.against not in {each.against for each in comparisons})],
        **{"n": n, "summaries": summaries, **fields},
    )


def test_live_prompts_on_which_nothing_is_worse_promote_and_are_told() -> None:
    verdict = judge(shadow=played())
    assert verdict.verdict == "promote"
    assert [(c.against, c.outcome) for c in verdict.checks if c.slice == "live"] == [
        ("incumbent", "pass"),
        ("teacher", "pass"),
    ]


def test_evidence_of_being_worse_on_live_prompts_rejects_although_held_out_prompts_are_fine() -> None:
    verdict = judge(shadow=played(compared(1, 60, 200, "incumbent")))
    assert verdict.verdict == "reject"
    assert "exact against the incumbent over live prompts: 29.5 points below" in verdict.reasons[0].text


def test_live_prompts_alone_never_promote() -> None:
    inconclusive = make_scorecard([compared(20, 32), *good()[1:]])
    assert judge(inconclusive).verdict == judge(inconclusive, shadow=played()).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("shadow", "code"),
    [
        (played(n=0), "shadow-too-few"),
        (played(n=29), "shadow-too-few"),
        (played(errors=20), "shadow-errors"),
        (played(models={"student": "another", "incumbent": "incumbent-model"}), "stale"),
        (played(models={"student": "student-model", "incumbent": "another"}), "stale"),
    ],
)
def test_live_prompts_that_say_nothing_or_fail_hold(shadow: Scorecard, code: str) -> None:
    verdict = judge(shadow=shadow)
    assert verdict.verdict == "hold"
    assert codes(verdict)[0] == code


def test_slow_answers_to_live_prompts_hold_where_the_policy_has_a_limit() -> None:
    summaries = tuple(
        ModelSummary(role, f"{role}-model", 400, 400, latency_p95_ms=100.0)
        for role in ("teacher", "untuned", "student", "incumbent")
    )
    card, policy = make_scorecard(summaries=summaries), make_policy(max_p95_latency_ms=300.0)
    assert judge(card, policy).verdict == "promote"
    verdict = judge(card, policy, shadow=played())
    assert (verdict.verdict, codes(verdict)[0]) == ("hold", "shadow-latency")
    assert "within 400 ms; the limit is 300 ms" in verdict.reasons[0].text


# --- untuned models that are good enough ---------------------------------------------------------------------


def challenged(low: float = 0.97, mean: float = 0.98, usd: float | None = 0.5, **fields: Any) -> Scorecard:
    """Return a scorecard with a challenger whose bound is `low` and whose answers cost `usd`; the student's cost 1 USD."""
    metrics = (
        Metric("exact", "teacher", 400, 1.0, Interval(0.99, 1.0, 0.9, "x")),
        Metric("exact", "challenger-1", 400, mean, Interval(low, 1.0, 0.9, "x")),
    )
    roles = [*(ModelSummary(r, f"{r}-model", 400, 400) for r in ("teacher", "untuned", "incumbent"))]
    student = ModelSummary("student", "student-model", 400, 400, usd=1.0)
    other = ModelSummary("challenger-1", "amazon.nova-lite-v1:0", 400, 400, usd=usd, **fields)
    return make_scorecard(metrics=metrics, summaries=(*roles, student, other))


def test_an_untuned_model_that_is_good_enough_and_no_dearer_says_do_not_distil_with_the_bill() -> None:
    verdict = judge(challenged(), costs=Costs(run_usd=42.0))
    assert (verdict.verdict, codes(verdict)[0]) == ("reject", "do-not-distil")
    assert verdict.reasons[0].text == (
        "Do not distil: amazon.nova-lite-v1:0, untuned, is within the margin of the teacher, and no more expensive: "
        "its answers to 400 prompts cost 0.5000 USD, the student's 1.0000 USD, and this run 42.00 USD."
    )


@pytest.mark.parametrize(
    "card",
    [
        challenged(low=0.94),
        challenged(usd=1.5),
        challenged(usd=None),
        challenged(errors=100),
    ],
)
def test_a_challenger_that_is_not_shown_dearer_unpriced_or_failing_stops_nothing(card: Scorecard) -> None:
    assert judge(card).verdict == "promote"


def test_a_challenger_never_turns_evidence_that_cannot_be_trusted_into_a_verdict() -> None:
    assert judge(challenged(), freshness=None).verdict == "hold"
