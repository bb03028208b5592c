"""One reading of hosts: whoever asks (trigger, executor, reaper, verify) gets the same answer to the same record."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from airflow_distill.remote.hosts import (
    KINDS,
    ON_DEMAND,
    PROVISIONED,
    HostKind,
    aimed_at,
    base_of_arn,
    host_of,
    read_host,
    snapshot_of,
)
from airflow_distill.remote.records import JobSnapshot

OLD = "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-micro-v1:0:128k/old"
NEW = "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-micro-v1:0:128k/new"
AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def throughput(
    status: str = "InService", model: str = OLD, desired: str = OLD, **more: object
) -> dict[str, object]:
    return {
        "provisionedModelArn": "arn:pt", "provisionedModelName": "pt", "modelArn": model, "desiredModelArn": desired,
        "status": status, "modelUnits": 2, "desiredModelUnits": 2, "creationTime": AT, "lastModifiedTime": AT, **more,
    }  # fmt: skip


def deployment(status: str = "Active", model: str = OLD, **update: object) -> dict[str, object]:
    return {
        "customModelDeploymentArn": "arn:cmd", "modelDeploymentName": "cmd", "modelArn": model, "status": status,
        "createdAt": AT, **({"updateDetails": update} if update else {}),
    }  # fmt: skip


CASES = [
    (PROVISIONED, throughput("Creating"), OLD, "settling"),
    (PROVISIONED, throughput(), OLD, "ready"),
    (PROVISIONED, throughput(), NEW, "other-model"),
    (PROVISIONED, throughput("Updating", desired=NEW), NEW, "settling"),
    (PROVISIONED, throughput(desired=NEW), NEW, "settling"),
    (PROVISIONED, throughput(failureMessage="no capacity"), NEW, "failed"),
    (PROVISIONED, throughput(failureMessage="no capacity"), OLD, "ready"),
    (PROVISIONED, throughput("Failed", desired=NEW), NEW, "failed"),
    (PROVISIONED, throughput("Failed", desired=NEW), OLD, "failed"),
    (PROVISIONED, throughput("Sleeping"), OLD, "settling"),
    (ON_DEMAND, deployment("Creating"), OLD, "settling"),
    (ON_DEMAND, deployment(), OLD, "ready"),
    (ON_DEMAND, deployment(modelArn=NEW, updateStatus="Updating"), NEW, "settling"),
    (ON_DEMAND, deployment(modelArn=NEW, updateStatus="UpdateCompleted"), NEW, "ready"),
    (ON_DEMAND, deployment(modelArn=NEW, updateStatus="UpdateFailed"), NEW, "failed"),
    (ON_DEMAND, deployment(modelArn=NEW, updateStatus="UpdateFailed"), OLD, "ready"),
    (ON_DEMAND, deployment("Failed"), OLD, "failed"),
]


@pytest.mark.parametrize(("kind", "answer", "model", "state"), CASES)
def test_the_executor_and_the_trigger_read_an_answer_alike(
    kind: HostKind, answer: dict[str, object], model: str, state: str
) -> None:
    """A refused swap was `active` to the trigger, for hours, and `other-model` to the executor."""
    host = read_host(kind, answer)
    assert host.state(model) == state
    waited = aimed_at(snapshot_of(host), model)
    expected = {"ready": {"succeeded"}, "failed": {"failed"}}.get(state, {"active", "unknown"})
    assert waited.state in expected


@pytest.mark.parametrize(("kind", "answer", "model", "state"), CASES)
def test_a_snapshot_that_travelled_as_json_tells_the_same(
    kind: HostKind, answer: dict[str, object], model: str, state: str
) -> None:
    host = read_host(kind, answer)
    there = JobSnapshot.from_json(snapshot_of(host).to_json())
    assert host_of(there).state(model) == state
    assert aimed_at(aimed_at(there, model), model) == aimed_at(there, model)


def test_a_host_serves_the_old_model_while_it_takes_another_and_nothing_once_it_failed() -> None:
    moving = read_host(PROVISIONED, throughput("Updating", desired=NEW))
    assert (moving.usable, moving.moving, moving.model_arn, moving.desired_arn) == (True, True, OLD, NEW)
    failed = read_host(PROVISIONED, throughput("Failed", desired=NEW, failureMessage="no capacity"))
    assert (failed.usable, failed.moving, failed.failed) == (False, False, True)
    assert failed.told() == "Failed: no capacity"


def test_only_the_refused_model_is_refused() -> None:
    host = read_host(ON_DEMAND, deployment(modelArn=NEW, updateStatus="UpdateFailed"))
    assert host.refused(NEW)
    assert not host.refused(OLD)
    assert not host.refused("arn:third"), "an update that failed long ago says nothing about a third model"
    assert host.told() == "UpdateFailed"


@pytest.mark.parametrize("status", ["Creating", "Updating", "InService", "Active", "Failed", "Sleeping", ""])
@pytest.mark.parametrize("kind", KINDS)
def test_no_record_is_both_moving_and_failed_and_none_is_ready_unless_it_serves(
    kind: HostKind, status: str
) -> None:
    for model, desired in itertools.product((OLD, NEW), repeat=2):
        answer = (
            throughput(status, model, desired)
            if kind == PROVISIONED
            else deployment(status, model, modelArn=desired, updateStatus="Updating")
        )
        host = read_host(kind, answer)
        assert not (host.moving and host.failed)
        for asked in (OLD, NEW):
            assert host.state(asked) != "ready" or (host.model_arn == asked and host.usable)


def test_a_list_item_of_a_deployment_names_itself_otherwise() -> None:
    item = {**deployment(), "customModelDeploymentName": "cmd"}
    del item["modelDeploymentName"]
    assert read_host(ON_DEMAND, item).name == "cmd"


def test_an_answer_with_missing_members_is_read_and_never_ready() -> None:
    for kind in KINDS:
        host = read_host(kind, {"status": "Creating"})
        assert (host.arn, host.model_arn, host.state("m")) == ("", "", "settling")


@pytest.mark.parametrize(
    ("arn", "base"),
    [
        (OLD, "amazon.nova-micro-v1:0"),
        ("arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-1-8b-v1:0:128k", "meta.llama3-1-8b-v1:0"),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-premier-v1:0:1m", "amazon.nova-premier-v1:0"),
        ("arn:aws:bedrock:us-east-1:1:provisioned-model/x", ""),
    ],
)  # fmt: skip
def test_the_base_model_stands_in_the_arn_of_a_custom_model(arn: str, base: str) -> None:
    assert base_of_arn(arn) == base
