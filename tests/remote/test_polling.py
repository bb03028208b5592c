"""What follows a look: the same answer for triggers and blocking loops, and never a success the service did not state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.errors import (
    ConfigurationError,
    JobFailedError,
    JobStoppedError,
    JobTimeoutError,
    ServiceAccessError,
    ServiceError,
    ServiceNotFoundError,
    ServiceThrottledError,
    ServiceUnavailableError,
    StateError,
)
from airflow_distill.remote import hosts, polling
from airflow_distill.remote.polling import Look, Outcome, Trouble, WaitMemory, WaitPolicy, decide
from airflow_distill.remote.records import STATES, JobSnapshot, state_of

T0 = datetime(2026, 11, 24, tzinfo=UTC)


def snapshot(status: str = "InProgress", kind="customization-job", **kwargs) -> JobSnapshot:
    return JobSnapshot(kind, "arn", "name", state_of(kind, status), status, **kwargs)


def trouble(kind="transient", code="ThrottlingException") -> Look:
    return Look(trouble=Trouble(kind, code, "said"))


@pytest.mark.parametrize(("kind", "status"), [(k, s) for k, states in STATES.items() for s in states])
def test_every_status_of_every_kind_ends_the_wait_or_goes_on(kind, status):
    outcome, _ = decide(Look(snapshot(status, kind)), WaitMemory(), WaitPolicy(), T0)
    expected = {"succeeded": "success", "failed": "failed", "stopped": "stopped", "active": None}[
        STATES[kind][status]
    ]
    assert (outcome.status if outcome else None) == expected


@given(st.text())
def test_a_word_that_is_in_no_table_is_never_an_end(word):
    for kind, states in STATES.items():
        if word not in states:
            outcome, _ = decide(Look(snapshot(word, kind)), WaitMemory(), WaitPolicy(), T0)
            assert outcome is None


def test_a_job_that_ended_in_time_counts_even_when_we_look_late():
    policy = WaitPolicy(deadline=T0)
    outcome, _ = decide(Look(snapshot("Completed")), WaitMemory(), policy, T0 + timedelta(hours=1))
    assert outcome is not None
    assert outcome.status == "success"


@pytest.mark.parametrize("look", [Look(snapshot()), trouble(), Look()])
def test_the_deadline_ends_the_wait_whatever_is_seen(look):
    memory = WaitMemory(snapshot=snapshot())
    policy = WaitPolicy(deadline=T0)
    assert decide(look, memory, policy, T0 - timedelta(seconds=1))[0] is None
    outcome, _ = decide(look, memory, policy, T0)
    assert outcome is not None
    assert (outcome.status, outcome.snapshot) == ("timeout", snapshot())


def test_transient_trouble_never_ends_a_wait_by_itself():
    memory = WaitMemory()
    for hour in range(200):
        outcome, memory = decide(trouble(), memory, WaitPolicy(), T0 + timedelta(hours=hour))
        assert outcome is None
    assert (memory.troubles, memory.trouble_since) == (200, T0)


@pytest.mark.parametrize(
    ("kind", "grace"),
    [
        ("denied", timedelta(minutes=30)),
        ("missing", timedelta(minutes=10)),
        ("refused", timedelta(minutes=10)),
    ],
)
def test_what_cannot_heal_ends_the_wait_only_after_its_grace(kind, grace):
    _, memory = decide(trouble(kind), WaitMemory(), WaitPolicy(), T0)
    assert decide(trouble(kind), memory, WaitPolicy(), T0 + grace - timedelta(seconds=1))[0] is None
    outcome, _ = decide(trouble(kind), memory, WaitPolicy(), T0 + grace)
    assert outcome is not None
    assert outcome.status == kind


def test_one_good_look_forgets_the_trouble_and_another_kind_restarts_the_grace():
    _, memory = decide(trouble("denied"), WaitMemory(), WaitPolicy(), T0)
    _, healed = decide(Look(snapshot()), memory, WaitPolicy(), T0)
    assert healed == WaitMemory(snapshot=snapshot())
    _, other = decide(trouble("transient"), memory, WaitPolicy(), T0 + timedelta(minutes=29))
    outcome, _ = decide(trouble("denied"), other, WaitPolicy(), T0 + timedelta(minutes=31))
    assert outcome is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ServiceThrottledError("m", operation="o", code="c"), "transient"),
        (ServiceUnavailableError("m", operation="o"), "transient"),
        (ServiceAccessError("m", operation="o"), "denied"),
        (ServiceNotFoundError("m", operation="o"), "missing"),
        (ServiceError("m", operation="o", code="ValidationException"), "refused"),
        (ConfigurationError("m"), "refused"),
        (RuntimeError("m"), "transient"),
    ],
)
def test_errors_are_sorted_by_what_waiting_can_mend(error, kind):
    assert Trouble.from_error(error).kind == kind


@given(st.floats(1, 300), st.integers(0, 10_000), st.floats(0, 0.999))
def test_pauses_grow_with_trouble_stay_spread_and_stay_bounded(period, troubles, jitter):
    pause = polling.next_pause(period, troubles, jitter)
    assert period * 0.8 <= pause <= max(600.0, period) * 1.2


def test_the_blocking_loop_survives_an_outage_and_reports_phases_once():
    looks = iter(
        [
            snapshot(),
            ServiceThrottledError("m", operation="o", code="c"),
            snapshot(),
            snapshot(),
            snapshot("Completed"),
        ]
    )
    lines: list[str] = []
    pauses: list[float] = []

    def look() -> JobSnapshot:
        item = next(looks)
        if isinstance(item, Exception):
            raise item
        return item

    outcome = polling.wait_blocking(
        look, policy=WaitPolicy(), now=lambda: T0, sleep=pauses.append, period=10, progress=lines.append
    )
    assert outcome.status == "success"
    assert pauses == [10, 20, 10, 10]
    assert len(lines) == 4


def test_the_blocking_loop_does_not_sleep_past_its_deadline():
    moments = iter([T0, T0, T0 + timedelta(seconds=5)])
    pauses: list[float] = []
    outcome = polling.wait_blocking(
        lambda: snapshot(),
        policy=WaitPolicy(deadline=T0 + timedelta(seconds=5)),
        now=lambda: next(moments),
        sleep=pauses.append,
        period=60,
    )
    assert (outcome.status, pauses) == ("timeout", [5.0])


def test_an_event_that_cannot_be_read_or_does_not_agree_with_itself_is_never_a_success():
    running = snapshot().to_json()
    for event in (
        None,
        "success",
        {},
        {"status": "success"},
        {"status": "success", "snapshot": running},
        {"status": 1},
    ):
        outcome = Outcome.from_event(event, "customization-job")
        assert outcome.status == "unreadable"
        assert isinstance(polling.outcome_error(outcome, "job"), StateError)


@pytest.mark.parametrize(
    "status", ["success", "failed", "stopped", "timeout", "denied", "missing", "refused"]
)
def test_an_outcome_survives_the_event(status):
    end = {"success": "Completed", "failed": "Failed", "stopped": "Stopped"}.get(status, "InProgress")
    outcome = Outcome(
        status, snapshot(end), None if status == "success" else Trouble("denied", "c", "m"), True
    )
    assert Outcome.from_event(outcome.to_json(), "customization-job") == outcome


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Outcome("failed", snapshot("Failed", reason="Input size exceeded")), JobFailedError),
        (Outcome("stopped", snapshot("Stopped")), JobStoppedError),
        (Outcome("timeout", snapshot()), JobTimeoutError),
        (Outcome("denied", None, Trouble("denied", "c", "m")), ServiceAccessError),
        (Outcome("missing", None, Trouble("missing", "c", "m")), ServiceNotFoundError),
        (Outcome("refused", None, Trouble("refused", "c", "m")), ServiceError),
    ],
)
def test_every_other_end_has_an_error_with_a_next_step(outcome, error):
    raised = polling.outcome_error(outcome, "job")
    assert type(raised) is error
    assert raised.hint


def test_a_failure_carries_the_services_own_words():
    raised = polling.outcome_error(Outcome("failed", snapshot("Failed", reason="Input size exceeded")), "job")
    assert "Input size exceeded" in str(raised)
    assert "too long" in raised.hint


def test_a_host_is_ready_only_with_the_model_it_should_serve():
    up = snapshot("Active", "custom-model-deployment", details={"model_arn": "old"})
    assert hosts.aimed_at(up, None).state == "succeeded"
    assert hosts.aimed_at(up, "old").state == "succeeded"
    assert hosts.aimed_at(up, "new").state == "active"


def test_only_a_failed_update_to_this_model_is_a_failure():
    details = {"model_arn": "old", "update_model_arn": "new", "update_status": "UpdateFailed"}
    up = snapshot("Active", "custom-model-deployment", details=details)
    assert hosts.aimed_at(up, "new").state == "failed"
    assert hosts.aimed_at(up, "old").state == "succeeded"


def test_the_deadline_counts_from_the_services_creation_time_so_retries_do_not_move_it():
    created = "2026-11-20T00:00:00Z"
    week = timedelta(days=7)
    assert polling.deadline_after(created, week, T0) == datetime(2026, 11, 27, tzinfo=UTC)
    assert polling.deadline_after(created, week, T0 + timedelta(days=2)) == datetime(2026, 11, 27, tzinfo=UTC)
    assert polling.deadline_after("", week, T0) == T0 + week
    assert polling.deadline_after("2027-01-01T00:00:00Z", week, T0) == T0 + week
    assert polling.deadline_after(created, None, T0) is None


def test_progress_names_phases_and_records():
    line = polling.progress_line(
        snapshot(details={"phases": {"training": {"status": "InProgress", "since": "t"}}})
    )
    assert "training InProgress since t" in line
    counted = snapshot("InProgress", "batch-inference-job", details={"records": {"total": 9, "processed": 3}})
    assert "3 of 9 records" in polling.progress_line(counted)


def test_times_are_read_with_or_without_a_zone():
    assert polling.parse_time("2026-11-24T00:00:00") == T0
    assert polling.parse_time("2026-11-24T00:00:00Z") == T0
    assert polling.parse_time("nonsense") is None
    assert polling.iso(T0) == "2026-11-24T00:00:00Z"


def test_a_snapshot_survives_json_and_ignores_members_of_later_versions():
    told = snapshot(reason="r", details={"a": 1}, created_at="c", ended_at="e")
    assert JobSnapshot.from_json({**told.to_json(), "v": 9, "later": True}) == told


def test_a_deadline_after_expired_credentials_says_so_and_since_when():
    """Every look after the first was refused, so the state at the deadline is not what was seen last."""
    policy = WaitPolicy(deadline=T0 + timedelta(hours=8))
    _, memory = decide(Look(snapshot()), WaitMemory(), policy, T0)
    expired = Look(
        trouble=Trouble("transient", "ExpiredTokenException", "GetJob: ExpiredTokenException: expired")
    )
    _, memory = decide(expired, memory, policy, T0 + timedelta(hours=1))
    _, memory = decide(expired, memory, policy, T0 + timedelta(hours=5))
    outcome, _ = decide(expired, memory, policy, T0 + timedelta(hours=8))
    assert outcome is not None
    again = Outcome.from_event(outcome.to_json(), "customization-job")
    for each in (outcome, again):
        error = polling.outcome_error(each, "the job")
        assert isinstance(error, JobTimeoutError)
        assert "unknown since 2026-11-24T01:00:00Z" in error.message
        assert "ExpiredTokenException" in error.message
        assert "credentials" in error.hint
        assert "job.deadline" in error.hint


def test_a_deadline_of_a_job_that_is_seen_names_its_status_and_the_setting():
    error = polling.outcome_error(Outcome("timeout", snapshot()), "the job")
    assert error is not None
    assert "while it was InProgress" in error.message
    assert "unknown" not in error.message
    assert "wait_timeout" in error.hint


def test_what_never_appears_ends_the_wait_with_that_sentence():
    trouble = polling.Trouble("missing", "ResourceNotFoundException", "no such host")
    error = polling.outcome_error(Outcome("missing", trouble=trouble), "host arn:h")
    assert "has shown nothing under it for 10 minutes: it was deleted, or it never came to be" in str(error)
    assert "console" in error.hint
