"""Sensors say "done" only when the service does, and wait with the very connection they were given."""

from __future__ import annotations

import importlib
import pkgutil
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

import airflow_distill.operators
import airflow_distill.sensors
from airflow_distill.aws.remote_work import WORK
from airflow_distill.errors import JobStoppedError, StateError
from airflow_distill.operators.base import WaitingOperator
from airflow_distill.provider_info import LINKS, OPERATORS, SENSORS, TRIGGERS
from airflow_distill.remote.records import STATES, JobSnapshot
from airflow_distill.sandbox import Sandbox
from airflow_distill.sensors.base import RemoteWorkSensor
from airflow_distill.sensors.deployment import BedrockProvisionedThroughputReadySensor
from airflow_distill.sensors.jobs import BedrockDistillationCompletedSensor
from airflow_distill.triggers.base import RemoteWorkTrigger

pytestmark = pytest.mark.airflow

ARN = "arn:aws:bedrock:us-east-1:123456789012:model-customization-job/amazon.nova-lite-v1:0:300k/abcdefabcdef"
CONNECTION: dict[str, Any] = {
    "aws_conn_id": "mine",
    "region_name": "us-west-2",
    "verify": "/ca.pem",
    "botocore_config": {"read_timeout": 7},
}


class Instance:
    def xcom_push(self, key: str, value: Any) -> None:
        return None


CONTEXT = {"ti": Instance()}


def submit(sandbox: Sandbox) -> dict[str, Any]:
    """Start a job with no data; it fails, but only when the pace says so."""
    arn = sandbox.client("bedrock").create_model_customization_job(
        jobName="job",
        customModelName="model",
        roleArn="arn:aws:iam::123456789012:role/distill-sandbox",
        baseModelIdentifier="amazon.nova-lite-v1:0:300k",
        customizationType="DISTILLATION",
        trainingDataConfig={"s3Uri": "s3://distill-sandbox/none.jsonl"},
        outputDataConfig={"s3Uri": "s3://distill-sandbox/out/"},
        customizationConfig={
            "distillationConfig": {"teacherModelConfig": {"teacherModelIdentifier": "amazon.nova-pro-v1:0"}}
        },
    )["jobArn"]
    return {"kind": "job", "job_arn": arn, "workload": "w", "generation": 3}


def look_until_it_moves(sensor: BedrockDistillationCompletedSensor) -> None:
    """Read the job once outside the sensor; the sandbox's pace counts reads."""
    WORK["customization-job"].look(sensor.gateways.bedrock, sensor.identifier())


class Seen(BedrockDistillationCompletedSensor):
    """A sensor whose look is given."""

    snapshot: JobSnapshot

    def look(self) -> JobSnapshot:
        return self.snapshot


def snapshot(status: str) -> JobSnapshot:
    state = STATES["customization-job"].get(status, "unknown")
    return JobSnapshot("customization-job", ARN, "n", state, status, created_at="2026-11-24T00:00:00Z")


@pytest.mark.parametrize(
    "status", [s for s, state in STATES["customization-job"].items() if state == "active"] + ["SomethingNew"]
)
@pytest.mark.parametrize("deferrable", [True, False])
def test_a_sensor_never_succeeds_while_the_job_still_runs(status, deferrable):
    sensor = Seen(task_id="t", job=ARN, deferrable=deferrable, wait_timeout=None)
    sensor.snapshot = snapshot(status)
    if deferrable:
        with pytest.raises(TaskDeferred) as deferred:
            sensor.execute(CONTEXT)
        assert deferred.value.method_name == "execute_complete"
    else:
        assert not sensor.poke(CONTEXT).is_done


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_job_that_ended_badly_fails_the_sensor(status):
    """For good: a job that somebody stopped is not bought again, nor is one that failed in words no retry can mend."""
    sensor = Seen(task_id="t", job=ARN)
    sensor.snapshot = snapshot(status)
    with pytest.raises(AirflowFailException, match=f"Job{status}Error"):
        sensor.execute(CONTEXT)
    with pytest.raises((AirflowFailException, JobStoppedError), match=status):
        sensor.poke(CONTEXT)


@pytest.mark.parametrize(
    "event",
    [None, {}, {"status": "success"}, {"status": "success", "snapshot": snapshot("InProgress").to_json()}],
)
def test_a_resume_is_a_success_only_when_event_and_snapshot_agree(event):
    with pytest.raises(StateError):
        BedrockDistillationCompletedSensor(task_id="t", job=ARN).execute_complete(CONTEXT, event)


def test_a_timed_out_wait_fails_the_sensor():
    event = {"status": "timeout", "snapshot": snapshot("InProgress").to_json()}
    with pytest.raises(AirflowFailException, match="deadline"):
        BedrockDistillationCompletedSensor(task_id="t", job=ARN).execute_complete(CONTEXT, event)
    sensor = Seen(task_id="t", job=ARN, deferrable=False, wait_timeout=timedelta(0))
    sensor.snapshot = snapshot("InProgress")
    with pytest.raises(AirflowFailException, match="deadline"):
        sensor.poke(CONTEXT)


def test_against_the_sandbox_it_waits_and_then_tells_the_failure(bedrock_environment, bedrock_role):
    bedrock_environment.world.set_pace("reads:2")
    job = submit(bedrock_environment)
    sensor = BedrockDistillationCompletedSensor(task_id="t", job=job, deferrable=False)
    assert not sensor.poke(CONTEXT).is_done
    for _ in range(2):
        look_until_it_moves(sensor)
    with pytest.raises(AirflowFailException, match="JobFailedError"):
        sensor.poke(CONTEXT)


def test_an_arn_can_be_waited_for_while_the_service_is_away_and_a_name_cannot(
    bedrock_environment, bedrock_role
):
    bedrock_environment.faults.add("unavailable")
    with pytest.raises(TaskDeferred):
        BedrockDistillationCompletedSensor(task_id="t", job=ARN).execute(CONTEXT)
    with pytest.raises(AirflowFailException, match="could not be looked up"):
        BedrockDistillationCompletedSensor(task_id="t", job="name").execute(CONTEXT)


def test_a_host_receipt_is_brought_up_to_date():
    host = {
        "kind": "host",
        "host_arn": "arn:aws:bedrock:us-east-1:1:provisioned-model/x",
        "status": "Creating",
    }
    up = JobSnapshot(
        "provisioned-throughput", host["host_arn"], "n", "succeeded", "InService", details={"model_arn": "m"}
    )
    sensor = BedrockProvisionedThroughputReadySensor(task_id="t", host=host)
    receipt = sensor.execute_complete(CONTEXT, {"status": "success", "snapshot": up.to_json(), "carry": host})
    assert (receipt["status"], receipt["model_arn"], receipt["kind"]) == ("InService", "m", "host")


def import_all() -> None:
    for package in (airflow_distill.operators, airflow_distill.sensors):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def concrete(base: type) -> list[type]:
    """Return all subclasses of the package that name what they wait for."""
    import_all()
    found: list[type] = []
    for cls in base.__subclasses__():
        found += concrete(cls)
        if hasattr(cls, "trigger_class") and cls.__module__.startswith("airflow_distill."):
            found.append(cls)
    return found


def built(cls: type, **kwargs: Any) -> Any:
    """Build an operator with anything for its required arguments."""
    import inspect

    for base in cls.__mro__:
        if base.__module__.startswith("airflow_distill.") and "__init__" in vars(base):
            for name, parameter in inspect.signature(vars(base)["__init__"]).parameters.items():
                if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
                    kwargs.setdefault(name, ARN)
    return cls(task_id="t", **kwargs)


def test_the_waiting_half_gets_the_same_connection_settings_in_every_operator():
    classes = concrete(WaitingOperator)
    assert len(classes) >= 4
    for cls in classes:
        trigger = built(cls, **CONNECTION).trigger_for(snapshot("InProgress"), None, {})
        assert {name: getattr(trigger, name) for name in CONNECTION} == CONNECTION, cls


def test_the_waiting_half_gets_the_same_connection_settings_in_every_sensor():
    classes = concrete(RemoteWorkSensor)
    assert len(classes) == 6
    for cls in classes:
        sensor = built(cls, **CONNECTION)
        with pytest.raises(TaskDeferred) as deferred:
            sensor._defer_for(CONTEXT, snapshot("InProgress"), None)
        trigger = deferred.value.trigger
        assert {name: getattr(trigger, name) for name in CONNECTION} == CONNECTION, cls
        assert not trigger.cancel_on_kill, (
            "a sensor may watch what others started, so it stops nothing unasked"
        )
        told = built(cls, cancel_on_kill=True)
        with pytest.raises(TaskDeferred) as deferred:
            told._defer_for(CONTEXT, snapshot("InProgress"), None)
        assert deferred.value.trigger.cancel_on_kill, cls
        assert "cancel_on_kill" in cls.template_fields, cls


@pytest.mark.parametrize(
    ("asked", "task_state", "job"),
    [
        (True, "failed", "Stopping"),
        (True, "success", "Stopping"),
        (True, "running", "InProgress"),
        (True, "", "InProgress"),
        (False, "failed", "InProgress"),
    ],
)
def test_a_blocking_sensor_stops_the_job_only_when_told_to_and_the_task_was_ended_by_a_user(
    bedrock_environment, bedrock_role, monkeypatch, asked, task_state, job
):
    """`""`: the state cannot be read."""
    bedrock_environment.world.set_pace("reads:50")

    def state_of(ti: Any) -> str:
        if not task_state:
            raise ConnectionError("the api-server is away")
        return task_state

    monkeypatch.setattr("airflow_distill.operators.base.ask_task_state", state_of)
    monkeypatch.setattr("airflow.sdk.get_current_context", lambda: CONTEXT)
    sensor = BedrockDistillationCompletedSensor(
        task_id="t", job=submit(bedrock_environment), deferrable=False, cancel_on_kill=asked
    )
    assert not sensor.poke(CONTEXT).is_done
    sensor.on_kill()
    assert sensor.look().status == job


def test_a_sensor_that_has_seen_nothing_yet_stops_nothing(bedrock_environment):
    BedrockDistillationCompletedSensor(task_id="t", job=ARN, cancel_on_kill=True).on_kill()
    assert bedrock_environment.calls("StopModelCustomizationJob") == 0


def test_every_operator_sensor_and_trigger_agrees_on_the_kind():
    for base in (WaitingOperator, RemoteWorkSensor):
        for cls in concrete(base):
            assert cls.kind == cls.trigger_class.kind, cls


def test_every_module_and_link_is_told_to_airflow():
    import_all()
    for room, names in (("operators", OPERATORS), ("sensors", SENSORS), ("triggers", TRIGGERS)):
        package = importlib.import_module(f"airflow_distill.{room}")
        present = {m.name for m in pkgutil.iter_modules(package.__path__)} - {
            "base",
            "code_paths",
            "connection",
            "log_lines",
            "note",
            "observe",
            "poller",
            "spending",
            "task",
            "threads",
        }
        assert present == set(names), room
    links = importlib.import_module("airflow_distill.links.bedrock")
    used = {
        type(link).__name__
        for base in (WaitingOperator, RemoteWorkSensor)
        for cls in concrete(base)
        for link in cls.operator_extra_links
    }
    assert used <= set(LINKS)
    assert all(hasattr(links, name) for name in LINKS)


def test_defaults_of_a_dag_win_over_ours():
    sensor = BedrockDistillationCompletedSensor(task_id="t", job=ARN, default_args={"retries": 0})
    assert sensor.retries == 0
    assert BedrockDistillationCompletedSensor(task_id="u", job=ARN).retries == 3
    assert issubclass(BedrockDistillationCompletedSensor.trigger_class, RemoteWorkTrigger)
