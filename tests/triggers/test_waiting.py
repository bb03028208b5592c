"""A wait ends with exactly one honest event, survives what days bring, and stops a job only on purpose."""

from __future__ import annotations

import asyncio
import importlib
import json
import random
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.models.trigger import Trigger
from airflow.triggers.base import TriggerEvent

from airflow_distill.remote.polling import iso
from airflow_distill.remote.records import STATES
from airflow_distill.triggers.base import FINAL_STATES, RemoteWorkTrigger
from airflow_distill.triggers.deployment import (
    BedrockCustomModelDeploymentReadyTrigger,
    BedrockProvisionedThroughputReadyTrigger,
)
from airflow_distill.triggers.evaluation import (
    BedrockBatchInferenceCompletedTrigger,
    BedrockEvaluationJobCompletedTrigger,
)
from airflow_distill.triggers.jobs import (
    BedrockDistillationCompletedTrigger,
    BedrockModelCopyCompletedTrigger,
)
from tests.triggers.fake_bedrock import BEGIN, FakeBedrock, client_error, no_connection

pytestmark = pytest.mark.airflow

ALL = (
    BedrockDistillationCompletedTrigger,
    BedrockModelCopyCompletedTrigger,
    BedrockProvisionedThroughputReadyTrigger,
    BedrockCustomModelDeploymentReadyTrigger,
    BedrockEvaluationJobCompletedTrigger,
    BedrockBatchInferenceCompletedTrigger,
)


class Wait(BedrockDistillationCompletedTrigger):
    """A wait on a fake service, at a time that the test moves, for a task in a state that the test says."""

    bedrock: FakeBedrock
    moment: datetime | None = None
    state: str | None = "deferred"

    def gateway(self):
        return self.bedrock.gateway()

    def now(self):
        return self.moment or super().now()

    async def _task_state(self):
        return self.state


def wait(bedrock: FakeBedrock, arn: str, **kwargs: Any) -> Wait:
    trigger = Wait(arn, **{"poll_interval": 0.02, "created_at": iso(BEGIN), **kwargs})
    trigger.bedrock = bedrock
    return trigger


async def events(trigger: RemoteWorkTrigger) -> list[dict[str, Any]]:
    return [event.payload async for event in trigger.run()]


def run(trigger: RemoteWorkTrigger) -> dict[str, Any]:
    """Run a trigger to its end; it must have said exactly one thing."""
    told = asyncio.run(asyncio.wait_for(events(trigger), 60))
    assert len(told) == 1
    json.dumps(told[0])
    return told[0]


@pytest.mark.parametrize(
    ("status", "said"), [("Completed", "success"), ("Failed", "failed"), ("Stopped", "stopped")]
)
def test_every_end_of_the_job_is_one_event_of_its_own(status, said):
    bedrock = FakeBedrock()
    arn = bedrock.add("job")
    bedrock.end(arn, status, failureMessage="because")
    event = run(wait(bedrock, arn, carry={"generation": 2}))
    assert (event["status"], event["snapshot"]["status"], event["carry"]) == (said, status, {"generation": 2})
    assert event["snapshot"]["reason"] == "because"


def test_a_five_day_job_survives_failing_calls_an_outage_and_a_change_of_credentials():
    """Each call takes ten minutes of simulated time; nearly a third of them fail, for an hour all do."""
    bedrock, dice = FakeBedrock(), random.Random(7)
    arn = bedrock.add("job")
    clock = {"now": BEGIN}
    built: list[datetime] = []

    def fail(method: str) -> Exception | None:
        clock["now"] += timedelta(minutes=10)
        since = clock["now"] - BEGIN
        if since >= timedelta(days=5):
            bedrock.end(arn)
        if timedelta(days=2) < since < timedelta(days=2, hours=1):
            return no_connection()
        if since > timedelta(days=3) and built[-1] < BEGIN + timedelta(days=3):
            return client_error("ExpiredTokenException", 403)
        codes = ("ThrottlingException", "InternalServerException", "ServiceUnavailableException")
        return client_error(dice.choice(codes), 500) if dice.random() < 0.3 else None

    class Patient(Wait):
        def gateway(self):
            built.append(clock["now"])
            return bedrock.gateway()

        def now(self):
            return clock["now"]

    bedrock.fail = fail
    deadline = iso(BEGIN + timedelta(days=8))
    trigger = Patient(arn, poll_interval=0.0005, created_at=iso(BEGIN), deadline=deadline)
    assert run(trigger)["status"] == "success"
    assert len(built) >= 2
    assert clock["now"] - BEGIN >= timedelta(days=5)
    assert bedrock.count("stop") == 0


def test_the_deadline_ends_a_wait_and_leaves_the_job_running_by_default():
    bedrock = FakeBedrock()
    arn = bedrock.add("job")
    event = run(wait(bedrock, arn, deadline=iso(datetime.now(UTC) - timedelta(seconds=1))))
    assert (event["status"], event["stop_requested"]) == ("timeout", False)
    assert bedrock.count("stop") == 0


def test_the_deadline_stops_the_job_when_asked_to():
    bedrock = FakeBedrock()
    arn = bedrock.add("job")
    event = run(wait(bedrock, arn, deadline=iso(datetime.now(UTC)), on_deadline="stop"))
    assert (event["status"], event["stop_requested"]) == ("timeout", True)
    assert bedrock.jobs[arn]["status"] == "Stopping"


def test_the_deadline_is_honoured_while_the_service_is_away():
    bedrock = FakeBedrock()
    arn = bedrock.add("job")
    bedrock.fail = lambda method: no_connection()
    event = run(wait(bedrock, arn, deadline=iso(datetime.now(UTC) + timedelta(seconds=1))))
    assert event["status"] == "timeout"


def test_a_service_that_hangs_does_not_hold_the_deadline_up(monkeypatch):
    monkeypatch.setattr(Wait, "shortest_last_look", 0.2)
    bedrock, back = FakeBedrock(), threading.Event()
    arn = bedrock.add("job")

    def hang(method: str) -> None:
        back.wait(50)

    bedrock.fail = hang
    event = run(wait(bedrock, arn, deadline=iso(datetime.now(UTC))))
    assert (event["status"], back.is_set()) == ("timeout", False)
    back.set()


def test_a_job_that_ended_just_before_the_deadline_is_a_success():
    bedrock = FakeBedrock()
    arn = bedrock.add("job")
    bedrock.end(arn)
    assert run(wait(bedrock, arn, deadline=iso(datetime.now(UTC) - timedelta(days=1))))["status"] == "success"


@pytest.mark.parametrize(
    ("code", "http", "said"),
    [("AccessDeniedException", 403, "denied"), ("ValidationException", 400, "refused")],
)
def test_what_cannot_heal_ends_the_wait_after_its_grace_without_touching_the_job(code, http, said):
    bedrock = FakeBedrock()
    arn = bedrock.add("job")
    bedrock.fail = lambda method: client_error(code, http)
    trigger = wait(bedrock, arn)
    moments = iter(BEGIN + timedelta(minutes=20 * n) for n in range(1000))

    class Later(Wait):
        def now(self):
            return next(moments)

    later = Later(arn, poll_interval=0.01)
    later.bedrock = bedrock
    event = run(later)
    assert (event["status"], event["trouble"]["code"]) == (said, code)
    assert bedrock.count("stop") == 0
    assert trigger.arn == arn


def test_a_defect_of_ours_reaches_the_task_as_an_unreadable_event_and_not_as_a_crash():
    bedrock = FakeBedrock()

    class Broken(Wait):
        def now(self):
            raise ZeroDivisionError

    trigger = Broken(bedrock.add("job"), deadline=iso(BEGIN))
    trigger.bedrock = bedrock
    assert run(trigger)["status"] == "unreadable"


@pytest.mark.parametrize("cls", ALL)
def test_a_stored_row_rebuilds_the_same_trigger(cls):
    trigger = cls(
        "arn", deadline=iso(BEGIN), on_deadline="stop", poll_interval=5, created_at=iso(BEGIN), cancel_on_kill=True,
        expect_model_arn="m", carry={"a": [1]}, aws_conn_id="c", region_name="us-west-2", verify=False,
        botocore_config={"retries": {"max_attempts": 2}},
    )  # fmt: skip
    path, kwargs = trigger.serialize()
    module, _, name = path.rpartition(".")
    assert getattr(importlib.import_module(module), name) is cls
    stored = Trigger.from_object(trigger)
    assert cls(**stored.kwargs).serialize() == (path, kwargs)


@pytest.mark.parametrize("cls", ALL)
def test_rows_of_other_versions_still_inflate(cls):
    """Old spellings are understood and arguments of later versions are ignored."""
    trigger = cls(job_arn="arn", waiter_delay=7, submitted_at="t", brand_new={"x": 1})
    assert (trigger.arn, trigger.poll_interval, trigger.created_at) == ("arn", 7, "t")
    assert cls().serialize()[1]["arn"] == ""


RELEASED_ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "airflow_distill.triggers.jobs.BedrockDistillationCompletedTrigger",
        {
            "arn": "a", "deadline": None, "on_deadline": "leave", "poll_interval": 60.0, "created_at": "",
            "cancel_on_kill": True, "expect_model_arn": None, "carry": {}, "aws_conn_id": "aws_default",
            "region_name": None, "verify": None, "botocore_config": None,
        },
    ),
    ("airflow_distill.triggers.jobs.BedrockModelCopyCompletedTrigger", {"arn": "a"}),
    ("airflow_distill.triggers.deployment.BedrockProvisionedThroughputReadyTrigger", {"arn": "a"}),
    ("airflow_distill.triggers.deployment.BedrockCustomModelDeploymentReadyTrigger", {"arn": "a"}),
    ("airflow_distill.triggers.evaluation.BedrockEvaluationJobCompletedTrigger", {"arn": "a"}),
    ("airflow_distill.triggers.evaluation.BedrockBatchInferenceCompletedTrigger", {"arn": "a"}),
)  # fmt: skip


@pytest.mark.parametrize(("path", "kwargs"), RELEASED_ROWS)
def test_every_row_ever_released_still_inflates(path, kwargs):
    module, _, name = path.rpartition(".")
    trigger = getattr(importlib.import_module(module), name)(**kwargs)
    assert trigger.serialize()[0] == path
    assert trigger.kind in STATES


def kill(trigger: RemoteWorkTrigger) -> None:
    asyncio.run(trigger.on_kill())


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_a_kill_stops_the_job_when_the_task_has_ended(state):
    bedrock = FakeBedrock()
    arn = bedrock.add("job")
    trigger = wait(bedrock, arn, cancel_on_kill=True)
    trigger.state = state
    kill(trigger)
    assert bedrock.jobs[arn]["status"] == "Stopping"


@pytest.mark.parametrize(
    "state", ["deferred", "running", "queued", "scheduled", "up_for_retry", "restarting", None]
)
def test_a_kill_leaves_the_job_alone_while_somebody_may_wait_or_the_state_is_unknown(state):
    bedrock = FakeBedrock()
    arn = bedrock.add("job")
    trigger = wait(bedrock, arn, cancel_on_kill=True)
    trigger.state = state
    kill(trigger)
    assert bedrock.count("stop") == 0


def test_a_kill_does_nothing_unless_asked_to():
    bedrock = FakeBedrock()
    trigger = wait(bedrock, bedrock.add("job"))
    trigger.state = "failed"
    kill(trigger)
    assert bedrock.count("stop") == 0


def test_a_triggerer_is_asked_for_a_state_once_and_not_while_it_starts(monkeypatch):
    asked: list[str] = []

    class Asking(Wait):
        ask_ahead_after = 0.3

        async def _task_state(self):
            asked.append(self.arn)
            return await super()._task_state()

    async def waits() -> list[int]:
        triggers = [Asking(arn, poll_interval=0.02, cancel_on_kill=True) for arn in bedrock.jobs]
        tasks = []
        for trigger in triggers:
            trigger.bedrock, trigger.task_instance = bedrock, SimpleNamespace(task_id="t")
            tasks.append(asyncio.create_task(events(trigger)))
        counts = []
        for pause in (0.1, 0.6):
            await asyncio.sleep(pause)
            counts.append(len(asked))
        for task in tasks:
            task.cancel()
        return counts

    bedrock = FakeBedrock(jobs=3)
    assert asyncio.run(waits()) == [0, 1]


def test_without_a_task_the_state_is_unknown():
    trigger = BedrockDistillationCompletedTrigger("arn", cancel_on_kill=True)
    assert asyncio.run(trigger._task_state()) is None


@pytest.mark.parametrize(
    "cls",
    [
        BedrockProvisionedThroughputReadyTrigger,
        BedrockCustomModelDeploymentReadyTrigger,
        BedrockModelCopyCompletedTrigger,
    ],
)
def test_what_outlives_the_wait_is_never_touched_by_a_kill(cls):
    class Never(cls):
        def gateway(self):
            raise AssertionError("a host was reached")

        async def _task_state(self):
            return "failed"

    kill(Never("arn", cancel_on_kill=True))


def test_a_stop_that_fails_at_first_is_tried_again():
    bedrock = FakeBedrock()
    arn = bedrock.add("job")
    errors = [client_error("ThrottlingException", 429)]
    bedrock.fail = lambda method: errors.pop() if errors else None
    assert asyncio.run(wait(bedrock, arn)._stop(pause=0.01))
    assert bedrock.jobs[arn]["status"] == "Stopping"


def test_a_job_that_stops_already_counts_as_stopped_and_is_asked_once():
    """A triggerer may end between the stop and its event; the next one asks again."""
    bedrock = FakeBedrock()
    arn = bedrock.add("job", "Stopping")
    bedrock.fail = lambda method: client_error("ConflictException", 400) if method == "stop" else None
    event = run(wait(bedrock, arn, deadline=iso(datetime.now(UTC)), on_deadline="stop"))
    assert (event["status"], event["stop_requested"], bedrock.count("stop")) == ("timeout", True, 1)


def test_an_event_is_what_airflow_can_store():
    bedrock = FakeBedrock()
    arn = bedrock.add("job")
    bedrock.end(arn)
    event = run(wait(bedrock, arn))
    assert TriggerEvent(event).payload == event
    assert len(json.dumps(event)) < 2000
