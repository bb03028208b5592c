"""Whatever happens around a purchase, one wish buys one piece of work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.errors import (
    ConfigurationError,
    DistillError,
    JobFailedError,
    JobStoppedError,
    ServiceAccessError,
    ServiceError,
    ServiceThrottledError,
    ServiceUnavailableError,
    StateError,
)
from airflow_distill.remote.failure import job_error
from airflow_distill.remote.records import JobSnapshot, state_of
from airflow_distill.remote.submit import FAULT_POINTS, Memo, Submission, Wish, find_adopt_or_submit


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours may catch it."""


class Service:
    """Names that are never freed, as at Bedrock; calls may fail before or after they took effect."""

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self.creates = 0
        self.find_errors: list[DistillError | None] = []
        self.create_errors: list[tuple[DistillError, bool] | None] = []
        self.hidden_looks = 0
        self.on_find: Callable[[], None] = lambda: None

    def wish(self) -> Wish:
        return Wish("customization-job", lambda generation: f"job-{generation}", self.find, self.create)

    def snapshot(self, name: str) -> JobSnapshot:
        status = self.jobs[name]
        return JobSnapshot(
            "customization-job", f"arn:{name}", name, state_of("customization-job", status), status
        )

    def find(self, name: str) -> JobSnapshot | None:
        self.on_find()
        error = self.find_errors.pop(0) if self.find_errors else None
        if error is not None:
            raise error
        if name not in self.jobs:
            return None
        if self.hidden_looks:
            self.hidden_looks -= 1
            return None
        return self.snapshot(name)

    def create(self, generation: int) -> str:
        name = f"job-{generation}"
        fault = self.create_errors.pop(0) if self.create_errors else None
        if fault is not None:
            error, took_effect = fault
            if took_effect and name not in self.jobs:
                self.creates += 1
                self.jobs[name] = "InProgress"
            raise error
        if name in self.jobs:
            raise ServiceError("name in use", operation="Create", code="ValidationException")
        self.creates += 1
        self.jobs[name] = "InProgress"
        return f"arn:{name}"


def submit(service: Service, **kwargs) -> Submission:
    arguments = {"now": lambda: datetime(2026, 11, 24, tzinfo=UTC), "sleep": lambda seconds: None, **kwargs}
    return find_adopt_or_submit(service.wish(), **arguments)


THROTTLED = ServiceThrottledError("slow down", operation="Get", code="ThrottlingException")
LOST = ServiceUnavailableError("no answer", operation="Create")
DENIED = ServiceAccessError("no", operation="Create", code="AccessDeniedException")


def test_the_first_call_buys_and_the_second_adopts():
    service = Service()
    first, second = submit(service), submit(service)
    assert (first.adopted, second.adopted, service.creates) == (False, True, 1)
    assert first.snapshot.arn == second.snapshot.arn
    assert (second.generation, second.submissions) == (1, 1)


@pytest.mark.parametrize("status", ["InProgress", "Completed", "SomethingNew", ""])
def test_whatever_is_not_failed_or_stopped_is_adopted(status):
    service = Service()
    service.jobs["job-1"] = status
    assert submit(service).adopted
    assert service.creates == 0


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_after_the_service_says_failed_or_stopped_exactly_one_more_is_bought(status):
    service = Service()
    service.jobs["job-1"] = status
    assert submit(service, max_generations=2).generation == 2
    assert submit(service, max_generations=2).adopted
    assert service.creates == 1


def test_the_allowed_number_of_generations_is_kept_and_the_refusal_is_final():
    service = Service()
    service.jobs = {"job-1": "Failed", "job-2": "Failed"}
    with pytest.raises(JobFailedError) as caught:
        submit(service, max_generations=2)
    assert not caught.value.retryable
    assert "max_generations" in caught.value.hint
    assert service.creates == 0


def test_a_later_first_generation_buys_past_a_completed_job_on_purpose():
    service = Service()
    service.jobs["job-1"] = "Completed"
    assert submit(service, first_generation=2).generation == 2
    assert submit(service, first_generation=2).adopted


def test_a_lost_answer_of_create_is_found_by_looking_again():
    service = Service()
    service.create_errors = [(LOST, True)]
    assert submit(service).adopted
    assert service.creates == 1


def test_a_create_that_did_not_happen_is_tried_again_in_the_same_try():
    service = Service()
    service.create_errors = [(LOST, False), (THROTTLED, False)]
    assert not submit(service).adopted
    assert service.creates == 1


@pytest.mark.parametrize("error", [DENIED, ServiceError("x", operation="c", code="ValidationException")])
def test_a_hopeless_create_error_is_raised_after_looking_again(error):
    service = Service()
    service.create_errors = [(error, False)]
    with pytest.raises(type(error)):
        submit(service)
    assert service.creates == 0


def test_any_create_error_is_looked_up_whatever_it_says():
    service = Service()
    service.create_errors = [(ServiceError("another wording", operation="c", code="Brand New"), True)]
    assert submit(service).adopted


def test_a_job_that_reads_show_late_is_still_found_after_a_create_error():
    service = Service()
    service.create_errors = [(LOST, True)]
    service.hidden_looks = 2
    assert submit(service).adopted
    assert service.creates == 1


def test_when_the_look_after_a_failed_create_is_unreadable_nothing_more_is_bought():
    service = Service()
    service.create_errors = [(LOST, True)]
    service.find_errors = [None, *[THROTTLED] * 50]
    with pytest.raises(StateError):
        submit(service)
    service.find_errors = []
    assert submit(service).adopted
    assert service.creates == 1


def test_an_unreadable_first_look_is_never_taken_for_none():
    service = Service()
    service.find_errors = [THROTTLED] * 50
    with pytest.raises(StateError) as caught:
        submit(service)
    assert caught.value.retryable
    assert service.creates == 0


def test_a_denied_look_fails_at_once():
    service = Service()
    service.find_errors = [DENIED]
    with pytest.raises(ServiceAccessError):
        submit(service)
    assert service.creates == 0


def test_a_stopping_job_is_waited_for_and_then_replaced():
    service = Service()
    service.jobs["job-1"] = "Stopping"
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        service.jobs["job-1"] = "Stopped" if len(pauses) > 2 else "Stopping"

    assert submit(service, sleep=sleep).generation == 2


def test_a_job_that_does_not_stop_stopping_is_neither_adopted_nor_replaced():
    service = Service()
    service.jobs["job-1"] = "Stopping"
    with pytest.raises(StateError):
        submit(service)
    assert service.creates == 0


def test_a_note_only_says_where_to_look_first():
    service = Service()
    service.jobs = {"job-1": "Failed", "job-2": "InProgress"}
    looked: list[None] = []
    service.on_find = lambda: looked.append(None)
    assert submit(service, memo=Memo("job-2", 2, "arn:job-2")).adopted
    assert len(looked) == 1


def test_a_note_of_another_wish_is_ignored():
    service = Service()
    assert not submit(service, memo=Memo("other-2", 2, "arn:other-2")).adopted


def test_a_noted_purchase_that_the_service_does_not_know_is_a_doubt_and_buys_nothing():
    service = Service()
    with pytest.raises(StateError):
        submit(service, memo=Memo("job-1", 1, "arn:job-1"))
    assert service.creates == 0


@pytest.mark.parametrize("data", [None, 3, "x", {}, {"name": "a"}, {"name": "a", "generation": "no"}, []])
def test_an_unreadable_note_is_no_note(data):
    assert Memo.from_json(data) is None


def test_a_note_survives_the_store():
    note = Memo("job-2", 2, "arn")
    assert Memo.from_json(note.to_json()) == note


@pytest.mark.parametrize("bad", [{"max_generations": 0}, {"first_generation": 0}])
def test_generations_count_from_one(bad):
    with pytest.raises(ConfigurationError):
        submit(Service(), **bad)


@pytest.mark.parametrize("point", FAULT_POINTS)
def test_a_process_killed_at_any_point_leaves_one_purchase_after_the_next_try(point):
    service = Service()
    if point == "after-create-error":
        service.create_errors = [(LOST, True)]

    def fault(name: str) -> None:
        if name == point:
            raise Killed

    with pytest.raises(Killed):
        submit(service, fault=fault)
    submit(service)
    submit(service)
    assert service.creates == 1


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_sequence_of_kills_failures_and_retries_ever_buys_a_generation_twice(data):
    service = Service()
    errors = st.sampled_from([THROTTLED, LOST, DENIED, ServiceError("?", operation="x", code="Odd")])
    for _ in range(data.draw(st.integers(1, 8))):
        service.find_errors = data.draw(st.lists(st.none() | errors, max_size=4))
        service.create_errors = data.draw(st.lists(st.none() | st.tuples(errors, st.booleans()), max_size=3))
        kill_at = data.draw(st.none() | st.sampled_from(FAULT_POINTS))

        def fault(name: str, kill_at: str | None = kill_at) -> None:
            if name == kill_at:
                raise Killed

        try:
            submit(service, fault=fault)
        except (DistillError, Killed):
            pass
        assert service.creates == len(service.jobs) <= 1


def test_two_that_race_for_the_same_name_end_with_one_job():
    service = Service()
    other: list[Submission] = []

    def fault(name: str) -> None:
        if name == "before-create" and not other:
            other.append(submit(service))

    mine = submit(service, fault=fault)
    assert (service.creates, mine.adopted) == (1, True)
    assert mine.snapshot.arn == other[0].snapshot.arn


def test_a_stopped_last_generation_is_told_as_stopped():
    service = Service()
    service.jobs["job-1"] = "Stopped"
    with pytest.raises(JobStoppedError):
        submit(service, max_generations=1)


HOPELESS = [
    "Unable to parse training data: line 4 does not conform to JSONL",
    "Total token count exceeds limit for the model",
    "Access denied on s3:GetObject for the training data",
    "KMS key cannot be used by the role",
    "You have reached the quota of custom models",
    "The training data was flagged by the content check",
    "",
    "words that nobody has seen before",
]


class Ended(Service):
    """A service whose first job has ended in its own words."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__()
        self.jobs["job-1"] = status
        self.reason = reason

    def snapshot(self, name: str) -> JobSnapshot:
        return replace(super().snapshot(name), reason=self.reason)


@pytest.mark.parametrize("reason", HOPELESS)
def test_by_default_a_failure_that_cannot_heal_is_not_bought_again(reason):
    service = Ended("Failed", reason)
    with pytest.raises(JobFailedError) as caught:
        submit(service)
    assert service.creates == 0
    assert not caught.value.retryable
    assert "max_generations=2 (job.submissions: 2 in a workload file)" in caught.value.hint
    assert submit(service, max_generations=2).generation == 2, "what the refusal says is what helps"


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_by_default_one_more_is_bought_after_a_failure_of_the_service_or_a_stop(status):
    service = Ended(status, "Internal server error, please try again" if status == "Failed" else "")
    assert submit(service).generation == 2
    service.jobs["job-2"] = status
    with pytest.raises((JobFailedError, JobStoppedError)) as caught:
        submit(service)
    assert "max_generations=3 (job.submissions: 3 in a workload file)" in caught.value.hint
    assert service.creates == 1


def test_what_a_stopped_job_says_does_not_contradict_what_clearing_does():
    stopped = Ended("Stopped", "")
    said = job_error(stopped.snapshot("job-1"))
    assert not said.retryable
    assert "Clear the task to buy another, as far as max_generations (job.submissions" in said.hint
    with pytest.raises(JobStoppedError) as caught:
        submit(stopped, max_generations=1)
    assert "lear the task to buy another, as far" not in caught.value.hint
    assert "set max_generations=2 (job.submissions: 2 in a workload file) and clear" in caught.value.hint


@pytest.mark.parametrize("reason", HOPELESS)
def test_an_automatic_retry_is_left_out_where_it_could_not_help(reason):
    assert not job_error(Ended("Failed", reason).snapshot("job-1")).retryable


def test_an_automatic_retry_follows_a_failure_of_the_service():
    assert job_error(Ended("Failed", "An internal error occurred").snapshot("job-1")).retryable
