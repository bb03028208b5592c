"""A status is small, survives its own bytes, and believes nothing that does not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.errors import StateError
from airflow_distill.stages.status import fold
from airflow_distill.stages.status.attention import attention, everything
from airflow_distill.stages.status.records import (
    MOST_BYTES,
    Health,
    Money,
    Next,
    PastVerdict,
    Status,
    Step,
    Warned,
    decode_run,
    decode_status,
    encode,
    run_uri,
    runs_prefix,
    status_uri,
)
from airflow_distill.stages.storage import MemoryStore
from tests.airflow_pages.goods import AT, DAG, RUN, decision, full_status, put_workload, scorecard

NOW = datetime(2026, 11, 30, 21, tzinfo=UTC)


def test_a_status_comes_back_from_its_own_bytes() -> None:
    status = replace(full_status(), health=Health("fine", AT), next=Next(missing=120, threshold=2000))
    assert decode_status(encode(status)) == status


def test_a_runs_status_comes_back_from_its_own_bytes() -> None:
    store = MemoryStore()
    run = put_workload(store, "root")
    assert decode_run(store.read(run_uri("root", DAG, RUN, run.workload))) == run


def test_what_nobody_has_filled_stays_unknown() -> None:
    status = decode_status(encode(Status("w")))
    assert (status.health, status.next, status.live, status.verdict) == (None, None, None, None)
    assert status.money == Money(), "no sum is zero because nobody knows it"


@settings(max_examples=25)
@given(st.integers(1, 60), st.text(max_size=400))
def test_a_status_never_outgrows_its_limit_however_long_its_history(count: int, text: str) -> None:
    """The newest verdicts stay, the oldest go."""
    past = tuple(
        PastVerdict(f"2026-{n:09d}", "hold", f"e{n:020d}", "h" * 16, -0.1, -0.2, 0.0, -0.05, 900)
        for n in range(count)
    )
    status = replace(
        full_status(),
        verdicts=past,
        warnings=tuple(Warned("drift", "drift", text[:300], AT) for _ in range(6)),
    )
    data = encode(status)
    assert len(data) <= MOST_BYTES
    kept = [each["at"] for each in json.loads(data).get("verdicts", ())]
    assert kept == [each.at for each in past][len(past) - len(kept) :]


def test_names_that_cannot_fit_are_refused_in_words() -> None:
    with pytest.raises(StateError, match="does not fit"):
        encode(replace(full_status(), report_uri="x" * 4096))


@pytest.mark.parametrize("name", ["../other", "a/b", "", ".hidden", "a" * 101, "a\nb", "status/../x"])
def test_a_name_that_could_lead_elsewhere_has_no_status(name: str) -> None:
    with pytest.raises(StateError, match="no status"):
        status_uri("s3://bucket/root", name)


def test_two_runs_of_one_name_in_two_dags_have_two_folders() -> None:
    assert runs_prefix("r", "a", "b_c") != runs_prefix("r", "a_b", "c")


HOSTILE: list[tuple[tuple[str, ...], Any]] = [
    (("kind",), "scorecard"),
    (("v",), 99),
    (("workload",), None),
    (("workload",), "x" * 10_000),
    (("step",), []),
    (("step", "map_index"), 1.5),
    (("money", "spent"), [1]),
    (("money", "spent"), {"202611": "much"}),
    (("money", "cap_usd"), True),
    (("money", "cap_usd"), 1e400),
    (("releases",), "many"),
    (("releases",), [{"release": 1}]),
    (("releases",), [{}] * 10_000),
    (("live", "release"), "1"),
    (("warnings",), [[]]),
]


@pytest.mark.parametrize(("path", "value"), HOSTILE, ids=[f"{'.'.join(p)}={str(v)[:12]}" for p, v in HOSTILE])
def test_what_does_not_fit_is_no_status(path: tuple[str, ...], value: Any) -> None:
    body = json.loads(encode(full_status()))
    at = body
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    with pytest.raises(ValueError, match="not the record"):
        decode_status(json.dumps(body).encode())


def test_a_status_of_a_later_version_with_more_fields_is_read_for_what_is_known() -> None:
    body = json.loads(encode(full_status()))
    assert decode_status(json.dumps({**body, "later": {"x": 1}}).encode()) == full_status()


# --- folding ------------------------------------------------------------------------------------------------------------


def step(task: str, state: str = "running", run: str = RUN) -> Step:
    return Step(DAG, run, task, AT, state)


def test_a_failure_is_remembered_while_teardowns_still_report() -> None:
    status = fold.with_step(Status("w"), step("jobs.distill", "failed"))
    status = fold.with_step(status, step("evaluation.delete_host"))
    found = attention(status, NOW)
    assert found is not None
    assert (found.code, found.said) == ("failed", "jobs.distill failed.")


def test_a_failure_is_over_when_its_task_succeeds_or_a_later_run_ends() -> None:
    failed = fold.with_step(Status("w"), step("jobs.distill", "failed"))
    assert fold.with_step(failed, step("jobs.distill")).failure is None
    assert fold.with_step(failed, step("end.end_turn", "ended", "later")).failure is None
    assert fold.with_step(failed, step("end.end_turn", "ended")).failure, (
        "the end of the failed run itself says nothing"
    )


def test_a_try_that_will_be_repeated_is_no_failure() -> None:
    assert fold.with_step(Status("w"), step("jobs.distill", "retrying")).failure is None


def test_a_guard_of_another_dag_does_not_take_the_workload_from_its_own() -> None:
    """Who may read the guards' Dag need not be who may read the workload's."""
    own = fold.with_step(Status("w"), step("start.take_turn"), "turn")
    guard = Step("distill_guards", "r", "lifecycle", "2026-12-01T00:00:00Z", "failed", "ConfigurationError")
    after = fold.with_step(own, guard, "lifecycle")
    assert (after.dag_id, after.step, after.failure, after.at) == (DAG, own.step, None, guard.at)
    moved = fold.with_step(own, Step("another", "r", "start.take_turn", AT), "turn")
    assert moved.dag_id == "another", "the loop itself has moved"


@pytest.mark.parametrize(
    ("outcome", "signs", "state"),
    [
        ("fine", [], "fine"),
        ("fine", ["failures have doubled"], "drifting"),
        ("retrain", ["prompts differ"], "drifting"),
        ("roll-back", ["quality fell"], "failing"),
    ],
)
def test_a_look_at_the_live_student_is_its_health(outcome: str, signs: list[str], state: str) -> None:
    found = fold.health_of(
        {"kind": "watch", "outcome": outcome, "signs": signs, "calls": 1200, "day": "2026-11-29"}, AT
    )
    assert found is not None
    assert found.state == state
    assert found.said == (signs[0] if signs else "1,200 calls on 2026-11-29.")


@pytest.mark.parametrize("outcome", ["promote", "reject", "inconclusive"])
def test_the_deciding_comparison_is_the_one_that_came_out_as_the_verdict(outcome: str) -> None:
    card = scorecard()
    record = decision(card, b"", "uri", outcome)
    status = fold.with_decision(Status("w"), record, card, RUN)
    assert status.verdict is not None
    found = status.verdict.deciding
    assert found is not None
    assert (found.metric, found.against, found.limit) == ("label_accuracy", "teacher", -0.2)
    interval = card.comparisons[0].interval
    assert interval is not None
    assert (found.low, found.high) == (interval.low, interval.high), "the drawn interval is the scorecard's"
    assert status.verdicts[-1].outcome == status.verdict.outcome


def test_without_the_scorecard_the_bound_alone_is_drawn() -> None:
    record = decision(scorecard(), b"", "uri")
    found = fold.deciding(record.verdict, None)
    assert found is not None
    assert (found.low, found.high) == (-0.07, None)


def test_deciding_twice_on_one_evaluation_is_one_point_in_the_chart() -> None:
    card = scorecard()
    record = decision(card, b"", "uri")
    once = fold.with_decision(Status("w"), record, card)
    assert fold.with_decision(once, record, card).verdicts == once.verdicts


def test_a_look_replaces_what_the_same_look_found_before() -> None:
    first = fold.warnings_of({"kind": "lifecycle", "warnings": ["the teacher ends"]}, AT)
    assert first is not None
    status = fold.with_warnings(Status("w"), *first)
    later = fold.warnings_of({"kind": "lifecycle", "warnings": []}, AT)
    assert later is not None
    assert fold.with_warnings(status, *later).warnings == ()


# --- what needs a person ------------------------------------------------------------------------------------------------


def test_the_gravest_comes_first() -> None:
    status = replace(
        full_status(),
        failure=step("jobs.distill", "failed"),
        warnings=(
            Warned("drift", "drift", "the host is gone", AT, "repair"),
            Warned("term", "term", "a term ends", AT),
        ),
        health=Health("drifting", AT, "refusals have doubled"),
        money=Money({"202611": 200.0}, 200.0, unpriced=2),
    )
    codes = [each.code for each in sorted(everything(status, NOW), key=lambda each: each.grave)]
    assert codes == ["failed", "drift", "approval", "health", "cap", "term", "unpriced"]


def test_nothing_needs_a_person_when_all_is_well() -> None:
    calm = replace(full_status(), question=None, step=step("end.end_turn", "ended"))
    assert attention(calm, NOW) is None


def test_a_run_that_has_gone_silent_is_named() -> None:
    quiet = replace(
        full_status(), question=None, step=replace(step("jobs.distill", "waiting"), at="2026-11-20T00:00:00Z")
    )
    found = attention(quiet, NOW)
    assert found is not None
    assert (found.code, "10 days" in found.said) == ("silent", True)


def test_a_time_that_is_none_makes_nobody_silent() -> None:
    broken = replace(full_status(), question=None, step=replace(step("t"), at="yesterday"))
    assert attention(broken, NOW) is None
