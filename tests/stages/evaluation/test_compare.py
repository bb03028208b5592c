"""From answers to a scorecard: pairing, repeats, duplicates, holes, slices, and what is refused."""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.errors import ConfigurationError, EvaluationError
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.evaluation.compare import score_answers, score_items
from airflow_distill.stages.evaluation.items import lay_out
from airflow_distill.stages.evaluation.records import (
    Answer,
    Comparison,
    Interval,
    Metric,
    Score,
    Scorecard,
)
from airflow_distill.stages.evaluation.scorers.registry import make_scorers
from airflow_distill.stages.money.records import Tokens

LABELS = ("card", "cash", "loan", "rate")


def make_example(number: int, **overrides: Any) -> Example:
    fields: dict[str, Any] = {
        "turns": (Turn("user", f"question {number}"),),
        "answer": LABELS[number % 4],
        "metadata": (("lang", "de" if number % 3 else "en"), ("request", str(number))),
        "latency_ms": 900 + number,
        "input_tokens": 20,
        "output_tokens": 2,
    }
    return Example(**fields | overrides)


def make_answer(example: Example, role: str = "student", **overrides: Any) -> Answer:
    fields: dict[str, Any] = {
        "example_id": example.id,
        "role": role,
        "model": f"{role}-model",
        "text": example.answer,
        "latency_ms": 100.0,
        "input_tokens": 20,
        "output_tokens": 2,
        "stop_reason": "end_turn",
    }
    return Answer(**fields | overrides)


def answers_of(
    examples: Sequence[Example], role: str = "student", wrong: Callable[[int], bool] = lambda i: False
) -> list[Answer]:
    return [make_answer(e, role, text="?" if wrong(i) else e.answer) for i, e in enumerate(examples)]


def score(
    examples: Sequence[Example], answers: Sequence[Answer], scorers: Any = ("exact",), **settings: Any
) -> Scorecard:
    fields: dict[str, Any] = {"workload": "tickets", "dataset_id": "d1", "heldout_sha256": "h1"}
    return score_answers(examples, answers, make_scorers(scorers), **fields | settings)


def compared(
    card: Scorecard, metric: str = "exact", against: str = "teacher", slice_: str = ""
) -> Comparison:
    found = card.comparison(metric, against, slice_)
    assert found is not None
    return found


EXAMPLES = [make_example(i) for i in range(120)]


# --- pairing ------------------------------------------------------------------------------------------------


def test_the_difference_is_paired_item_by_item() -> None:
    """Two models with equal accuracy and no error in common differ on many items, and the counts say so."""
    card = score(
        EXAMPLES,
        answers_of(EXAMPLES, "student", lambda i: i % 10 == 0)
        + answers_of(EXAMPLES, "incumbent", lambda i: i % 10 == 1),
    )
    against = compared(card, against="incumbent")
    assert (against.estimate, against.better, against.worse, against.n) == (0.0, 12, 12, 120)
    student, incumbent = card.metric("exact", "student"), card.metric("exact", "incumbent")
    assert student is not None
    assert incumbent is not None
    assert student.mean == incumbent.mean == pytest.approx(0.9)


def test_the_logged_answer_stands_for_the_teacher_and_the_card_says_so() -> None:
    card = score(EXAMPLES, answers_of(EXAMPLES), teacher="amazon.nova-pro-v1:0")
    assert card.models["teacher"] == "amazon.nova-pro-v1:0"
    assert (card.reference, card.teacher_source) == ("teacher", "reference")
    assert card.references == {"teacher": 120, "golden": 0, "none": 0}
    assert card.means() == {"exact": {"teacher": 1.0, "student": 1.0}}


def test_a_label_never_stands_for_the_teachers_answer() -> None:
    """Else the teacher would be credited with what people wrote."""
    golden = [replace(e, golden=True) for e in EXAMPLES]
    without = score(golden, answers_of(golden))
    assert (without.reference, without.teacher_source) == ("golden", "absent")
    assert without.comparison("exact", "teacher") is None
    asked = score(golden, answers_of(golden) + answers_of(golden, "teacher", lambda i: i < 6))
    assert asked.teacher_source == "answers"
    assert compared(asked).estimate == pytest.approx(0.05)


def test_labels_on_some_items_leave_holes_where_the_teacher_was_not_asked() -> None:
    mixed = [replace(e, golden=i < 20) for i, e in enumerate(EXAMPLES)]
    card = score(mixed, answers_of(mixed))
    assert card.reference == "mixed"
    assert (compared(card).n, compared(card).missing) == (100, 20)


def test_golden_items_are_a_slice_of_their_own_with_every_role() -> None:
    mixed = [replace(e, golden=i < 40) for i, e in enumerate(EXAMPLES)]
    asked = answers_of(mixed[:40], "teacher", lambda i: i < 6)
    card = score(mixed, [*answers_of(mixed), *answers_of(mixed, "untuned", lambda i: i % 2 == 0), *asked])
    found = {c.against: c for c in card.comparisons if c.slice == "golden"}
    assert {role: c.n for role, c in found.items()} == {"teacher": 40, "untuned": 40}
    assert found["teacher"].estimate == pytest.approx(6 / 40)
    assert card.teacher_source == "mixed"
    assert (compared(card).n, compared(card).missing) == (120, 0)


def test_a_set_that_is_golden_as_a_whole_is_not_cut() -> None:
    card = score([replace(e, golden=True) for e in EXAMPLES], answers_of(EXAMPLES))
    assert {c.slice for c in card.comparisons} <= {""}


def test_an_error_counts_as_wrong_and_not_as_a_hole() -> None:
    broken = [
        replace(a, text=None, error="ThrottlingException") if i < 12 else a
        for i, a in enumerate(answers_of(EXAMPLES))
    ]
    card = score(EXAMPLES, broken, ["exact", "json_valid", "macro_f1"])
    assert (compared(card).n, compared(card).worse, compared(card).missing) == (120, 12, 0)
    student = card.metric("json_valid", "student")
    assert student is not None
    assert (student.n, student.missing) == (120, 0)
    assert compared(card, "macro_f1").estimate is not None
    summary = card.summary("student")
    assert summary is not None
    assert (summary.errors, summary.error_codes, summary.missing) == (12, {"ThrottlingException": 12}, 0)


def test_an_item_without_an_answer_is_a_hole_that_is_counted() -> None:
    card = score(EXAMPLES, answers_of(EXAMPLES)[:100])
    assert (compared(card).n, compared(card).missing) == (100, 20)
    summary = card.summary("student")
    assert summary is not None
    assert summary.missing == 20


def test_answers_to_other_prompts_are_strays() -> None:
    other = make_example(999)
    card = score(EXAMPLES, [*answers_of(EXAMPLES), make_answer(other)])
    assert (card.strays, card.n) == (1, 120)


# --- repeats and duplicates ---------------------------------------------------------------------------------


def test_a_prompt_written_three_times_is_one_item() -> None:
    once = score(EXAMPLES, answers_of(EXAMPLES, wrong=lambda i: i < 6))
    thrice = score(EXAMPLES * 3, answers_of(EXAMPLES, wrong=lambda i: i < 6) * 3)
    assert thrice.comparisons == once.comparisons
    assert (thrice.n, thrice.duplicates) == (120, 240)


def test_repeats_are_averaged_inside_the_item() -> None:
    """Asking ten times makes each item's score finer; it does not make more items."""
    repeats = [
        replace(a, repeat=r, text="?" if r == 0 else a.text) for a in answers_of(EXAMPLES) for r in range(4)
    ]
    card = score(EXAMPLES, repeats, ["exact", "macro_f1"])
    assert (compared(card).n, compared(card).estimate) == (120, -0.25)
    assert compared(card).evidence.method == "gaffke"
    assert compared(card, "macro_f1").n == 120


def test_one_unscorable_repeat_makes_the_item_unscorable() -> None:
    extra = [
        Score(e.id, "student", "judge", None if r and e is EXAMPLES[0] else 1.0, r)
        for e in EXAMPLES
        for r in (0, 1)
    ]
    extra += [Score(e.id, "teacher", "judge", 0.5) for e in EXAMPLES]
    card = score(EXAMPLES, answers_of(EXAMPLES), extra_scores=extra)
    assert (compared(card, "judge").n, compared(card, "judge").missing) == (119, 1)


def test_of_two_rows_of_one_prompt_the_label_is_the_reference() -> None:
    logged, label = (
        make_example(1, answer="old", observed_at="2026-11-02"),
        make_example(1, answer="new", golden=True),
    )
    for rows in ([logged, label], [label, logged]):
        assert next(iter(lay_out(rows, [make_answer(logged)]).examples.values())).answer == "new"


@settings(deadline=None, max_examples=20)
@given(seed=st.integers())
def test_the_order_of_rows_and_answers_does_not_matter(seed: int) -> None:
    rng = random.Random(seed)
    examples = EXAMPLES[:40]
    answers = answers_of(examples, wrong=lambda i: i % 7 == 0) + answers_of(
        examples, "untuned", lambda i: i % 2 == 0
    )
    extra = [
        Score(e.id, role, "judge", i / 40) for role in ("student", "teacher") for i, e in enumerate(examples)
    ]
    plain = score(examples, answers, ["exact", "token_f1", "macro_f1"], extra_scores=extra)
    shuffled = score(
        rng.sample(examples, 40),
        rng.sample(answers, 80),
        ["exact", "token_f1", "macro_f1"],
        extra_scores=rng.sample(extra, 80),
    )
    assert json.dumps(plain.to_json()) == json.dumps(shuffled.to_json())


# --- speaking and being silent ------------------------------------------------------------------------------


def test_below_the_least_sample_there_are_counts_but_no_interval() -> None:
    card = score(EXAMPLES[:29], answers_of(EXAMPLES[:29]))
    assert compared(card).n == 29
    assert compared(card).interval is None
    assert compared(score(EXAMPLES[:30], answers_of(EXAMPLES[:30]))).interval is not None


def test_an_intervals_ends_are_the_bounds_that_a_decision_asks_for() -> None:
    against = compared(score(EXAMPLES, answers_of(EXAMPLES, wrong=lambda i: i < 6), alpha=0.05))
    assert against.interval is not None
    assert against.interval.level == 0.9
    assert against.interval.low == pytest.approx(against.lower(0.05))
    assert against.interval.low < -0.05 < against.interval.high


def test_macro_f1_without_enough_of_any_class_is_not_compared() -> None:
    rare = [make_example(i, answer=f"label {i}") for i in range(60)]
    against = compared(score(rare, answers_of(rare), ["macro_f1"]), "macro_f1")
    assert (against.estimate, against.interval, against.n, against.missing) == (None, None, 0, 60)


def test_macro_f1_falls_with_the_class_that_is_lost() -> None:
    answers = [make_answer(e, text="cash" if e.answer == "rate" else e.answer) for e in EXAMPLES]
    against = compared(score(EXAMPLES, answers, ["macro_f1"]), "macro_f1")
    # rate falls to 0, cash to 2/3: a mean of (1 + 1 + 2/3 + 0) / 4
    assert against.estimate == pytest.approx((1 + 1 + 2 / 3) / 4 - 1)
    assert against.worse == 30
    assert against.interval is not None
    assert against.interval.low < against.estimate < against.interval.high


def test_macro_f1_over_classes_too_rare_to_measure_is_not_given() -> None:
    """77 classes in 100 prompts leave one or two classes to measure. A student wrong in 5 % of all prompts is often
    right in all of theirs; that must not read as proof."""
    rng = random.Random(5)
    examples = [make_example(i, answer=f"class {rng.randrange(77)}", metadata=()) for i in range(100)]
    assert compared(score(examples, answers_of(examples), ["macro_f1"]), "macro_f1").estimate is None


def test_a_rare_class_widens_the_interval_of_macro_f1() -> None:
    """One item more of a class of six moves its F1 far, and nobody has seen it."""
    uneven = [make_example(i, answer="rare" if i < 6 else LABELS[i % 4]) for i in range(120)]
    even = compared(score(EXAMPLES, answers_of(EXAMPLES), ["macro_f1"]), "macro_f1")
    assert (
        compared(score(uneven, answers_of(uneven), ["macro_f1"]), "macro_f1").lower(0.05)
        < 2 * even.lower(0.05)
        < 0
    )


# --- slices and regressions ---------------------------------------------------------------------------------


def test_slices_follow_metadata_of_few_values_and_leave_ids_alone() -> None:
    card = score(EXAMPLES, answers_of(EXAMPLES, wrong=lambda i: i % 3 == 0))
    slices = {c.slice: c.n for c in card.comparisons if c.slice}
    assert slices == {"lang=de": 80, "lang=en": 40}
    assert compared(card, slice_="lang=en").estimate == -1
    assert compared(card, slice_="lang=de").estimate == 0


def test_asked_for_slices_are_cut_whatever_they_look_like() -> None:
    card = score(EXAMPLES, answers_of(EXAMPLES), slice_keys=["request", "absent"])
    assert len([c for c in card.comparisons if c.slice]) == 120
    assert card.unspoken_slices == 120
    assert all(c.interval is None for c in card.comparisons if c.slice)


def test_slices_are_not_compared_with_the_untuned_student() -> None:
    card = score(EXAMPLES, answers_of(EXAMPLES) + answers_of(EXAMPLES, "untuned"))
    assert {c.against for c in card.comparisons if c.slice} == {"teacher"}


def test_the_worst_regressions_come_first_and_hold_no_text() -> None:
    answers = [
        make_answer(e, text="far off" if i == 5 else f"{e.answer} {'x ' * (i % 3)}")
        for i, e in enumerate(EXAMPLES)
    ]
    card = score(EXAMPLES, answers, ["token_f1"], worst=3)
    assert card.regressions[0].example_id == EXAMPLES[5].id
    assert len(card.regressions) == 3
    assert all(r.difference < 0 for r in card.regressions)
    assert "far off" not in json.dumps(card.to_json())
    assert "question" not in json.dumps(card.to_json())


# --- time, tokens, money ------------------------------------------------------------------------------------


def test_a_summary_adds_tokens_and_asks_for_their_price() -> None:
    asked: list[tuple[str, int, int]] = []

    def price_of(model: str, used: Tokens) -> float:
        asked.append((model, used.input, used.output))
        return 0.25

    summary = score(EXAMPLES, answers_of(EXAMPLES), price_of=price_of).summary("student")
    assert summary is not None
    assert (summary.input_tokens, summary.output_tokens, summary.usd) == (2400, 240, 0.25)
    assert ("student-model", 2400, 240) in asked


def test_tokens_that_one_answer_lacks_are_unknown_not_zero() -> None:
    answers = [replace(a, output_tokens=None) if i == 3 else a for i, a in enumerate(answers_of(EXAMPLES))]
    summary = score(EXAMPLES, answers, price_of=lambda model, used: 1.0).summary("student")
    assert summary is not None
    assert (summary.input_tokens, summary.output_tokens, summary.usd) == (2400, None, None)


def test_latency_is_told_by_percentiles_of_the_answers_that_came() -> None:
    answers = [
        replace(a, latency_ms=float(i + 1), **({"text": None, "error": "Timeout"} if i >= 100 else {}))
        for i, a in enumerate(answers_of(EXAMPLES))
    ]
    summary = score(EXAMPLES, answers).summary("student")
    assert summary is not None
    assert (summary.latency_p50_ms, summary.latency_p95_ms) == (50, 95)


def test_answers_cut_short_are_counted() -> None:
    answers = [
        replace(a, stop_reason="max_tokens") if i < 4 else a for i, a in enumerate(answers_of(EXAMPLES))
    ]
    summary = score(EXAMPLES, answers).summary("student")
    assert summary is not None
    assert summary.truncated == 4


# --- refusals -----------------------------------------------------------------------------------------------


def test_answers_of_two_models_in_one_role_are_refused() -> None:
    mixed = answers_of(EXAMPLES[:60]) + [replace(a, model="last week's") for a in answers_of(EXAMPLES[60:])]
    with pytest.raises(EvaluationError, match="2 models"):
        score(EXAMPLES, mixed)


@pytest.mark.parametrize(
    ("examples", "answers"), [([], []), (EXAMPLES, []), (EXAMPLES, answers_of(EXAMPLES, "untuned"))]
)
def test_nothing_to_compare_is_an_error(examples: list[Example], answers: list[Answer]) -> None:
    with pytest.raises(EvaluationError):
        score(examples, answers)


def test_two_sources_of_one_metric_are_refused() -> None:
    extra = [Score(e.id, "student", "macro_f1", 1.0) for e in EXAMPLES]
    with pytest.raises(ConfigurationError):
        score(EXAMPLES, answers_of(EXAMPLES), ["macro_f1"], extra_scores=extra)


def raises(answer: str, reference: str | None, example: Example) -> float:
    raise ValueError(f"secret {answer}")


def gives_nan(answer: str, reference: str | None, example: Example) -> float:
    return math.nan


def own(name: str) -> tuple[Any, ...]:
    return make_scorers([{"kind": "function", "path": f"{__name__}:{name}", "name": "own"}])


def test_a_users_function_that_gives_no_number_leaves_missing_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    scores = list(score_items(lay_out(EXAMPLES, answers_of(EXAMPLES)), own("gives_nan")))
    assert {(s.value, s.reason) for s in scores} == {(None, "not a number")}
    card = score_answers(
        EXAMPLES, answers_of(EXAMPLES), own("gives_nan"), workload="w", dataset_id="d", heldout_sha256="h"
    )
    assert card.comparison("own", "teacher") is None


def test_a_scorer_that_raises_stops_the_scoring_with_class_and_count_and_no_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    answers = answers_of(EXAMPLES)
    with pytest.raises(EvaluationError) as caught:
        score_answers(EXAMPLES, answers, own("raises"), workload="w", dataset_id="d", heldout_sha256="h")
    count = len(list(score_items(lay_out(EXAMPLES, answers), own("raises"))))
    assert f"scorer own raised ValueError on {count} answers" in caught.value.message
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def raises_once(answer: str, reference: str | None, example: Example) -> float:
    if example.id == EXAMPLES[0].id:
        raise KeyError(answer)
    return 1.0


def test_one_answer_that_a_scorer_fails_on_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    with pytest.raises(EvaluationError, match=r"raised KeyError on \d+ answer"):
        score_answers(
            EXAMPLES,
            answers_of(EXAMPLES),
            own("raises_once"),
            workload="w",
            dataset_id="d",
            heldout_sha256="h",
        )


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.1])
def test_a_score_outside_zero_to_one_is_refused(value: float) -> None:
    with pytest.raises(EvaluationError):
        Score("e", "student", "m", value)


def test_no_record_takes_a_nan() -> None:
    with pytest.raises(EvaluationError):
        Interval(math.nan, 1, 0.9, "tango")
    with pytest.raises(EvaluationError):
        Metric("m", "student", 1, math.nan)
    with pytest.raises(EvaluationError):
        make_answer(EXAMPLES[0], latency_ms=math.inf)
    with pytest.raises(EvaluationError):
        make_answer(EXAMPLES[0], role="referee")
    with pytest.raises(EvaluationError):
        Interval(0.5, 0.1, 0.9, "tango")


def test_a_scorecard_survives_json_and_a_foreign_one_is_refused() -> None:
    answers = answers_of(EXAMPLES, wrong=lambda i: i % 9 == 0) + answers_of(EXAMPLES, "incumbent")
    card = score(EXAMPLES, answers, ["exact", "macro_f1", "token_f1"], created_at="2026-11-24T00:00:00Z")
    text = json.dumps(card.to_json(), allow_nan=False)
    assert Scorecard.from_json(json.loads(text)) == card
    with pytest.raises(EvaluationError):
        Scorecard.from_json(json.loads(text) | {"v": 99})
    broken = json.loads(text)
    broken["comparisons"][0]["estimate"] = math.nan
    with pytest.raises(EvaluationError):
        Scorecard.from_json(broken)


@given(
    text=st.none() | st.text(),
    error=st.sampled_from(["", "ThrottlingException"]),
    tokens=st.none() | st.integers(0, 10**6),
    repeat=st.integers(0, 9),
)
def test_an_answer_survives_json(text: str | None, error: str, tokens: int | None, repeat: int) -> None:
    answer = make_answer(EXAMPLES[0], text=text, error=error, output_tokens=tokens, repeat=repeat)
    assert Answer.from_json(json.loads(json.dumps(answer.to_json()))) == answer
    assert answer.failed == (bool(error) or text is None)
