"""Guards in the schedule: what changed in the account behind the ledger's back, and the end of a base model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.sandbox import Sandbox
from tests.release_world import ReleaseWorld
from tests.workload_files import ON_SANDBOX

pytestmark = [pytest.mark.airflow]


@pytest.fixture
def world(bedrock_environment: Sandbox) -> ReleaseWorld:
    world = ReleaseWorld(bedrock_environment)
    world.promote(world.model("first"))
    return world


def verify(world: ReleaseWorld) -> dict[str, Any]:
    from airflow_distill.operators.guards import VerifyWorkloadOperator

    return dict(VerifyWorkloadOperator(task_id="v", workload=world.workload, root=world.root).execute({}))


def delete_host(world: ReleaseWorld) -> None:
    world.client("bedrock").delete_custom_model_deployment(customModelDeploymentIdentifier=world.hosts()[0])


def edit_pointer(world: ReleaseWorld) -> None:
    raw = world.gateways.parameters.get(world.pointer_name)
    assert raw
    world.gateways.parameters.put(world.pointer_name, raw.replace(":custom-model/", ":custom-model/other"))


def take_host_over(world: ReleaseWorld) -> None:
    tags = [{"key": "airflow-distill:root", "value": "another-root"}]
    world.client("bedrock").tag_resource(resourceARN=world.hosts()[0], tags=tags)


def change_evidence(world: ReleaseWorld) -> None:
    uri = next(o.uri for o in world.store.iter_objects(world.root) if o.uri.endswith("/heldout.jsonl"))
    world.store.write(uri, b"{}\n")


@pytest.mark.parametrize("change", [delete_host, edit_pointer, take_host_over, change_evidence])
def test_what_changed_behind_the_ledgers_back_fails_the_guard_and_says_what_to_do(
    world: ReleaseWorld, change: Any
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    assert verify(world)["broken"] == []
    change(world)
    with pytest.raises(AirflowFailException, match="release drift"):
        verify(world)


def test_nothing_released_is_a_skip(bedrock_environment: Sandbox) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException):
        verify(ReleaseWorld(bedrock_environment))


def start(world: ReleaseWorld, ends_in_days: float | None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    from airflow_distill.aws.bedrock import BedrockGateway
    from airflow_distill.operators.guards import StartSuccessorOperator

    end = None if ends_in_days is None else datetime.now(UTC) + timedelta(days=ends_in_days)
    lifecycle = {"status": "ACTIVE", **({"endOfLifeTime": end} if end else {})}
    monkeypatch.setattr(
        BedrockGateway, "get_foundation_model", lambda self, name: {"modelLifecycle": lifecycle}
    )
    task = StartSuccessorOperator(
        task_id="s",
        workload=world.workload,
        root=world.root,
        teacher="amazon.nova-pro-v1:0",
        student="amazon.nova-micro-v1:0:128k",
        successor="amazon.nova-lite-v1:0:300k",
        ahead=timedelta(days=120),
    )
    return dict(task.execute({}))


def test_the_end_of_a_base_model_starts_its_successor_once(
    world: ReleaseWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    for days in (None, 121):
        with pytest.raises(AirflowSkipException, match="ends"):
            start(world, days, monkeypatch)
    assert start(world, 119, monkeypatch)["successor"] == "amazon.nova-lite-v1:0:300k"
    with pytest.raises(AirflowSkipException, match="was started before"):
        start(world, 100, monkeypatch)


def test_a_file_with_a_successor_has_a_dag_for_it_that_its_guard_starts(tmp_path: Path) -> None:
    from airflow_distill.pipelines import build_dags

    (tmp_path / "tickets.yaml").write_text(
        ON_SANDBOX + "lifecycle: {successor: 'amazon.nova-lite-v1:0:300k'}\nwatch: {usd_per_day: 1}\n"
    )
    dags = build_dags(tmp_path)
    assert set(dags) == {"distill_tickets", "distill_successor_tickets", "distill_guards"}
    guard = dags["distill_guards"]
    assert {"successor_tickets", "verify_tickets"} <= set(guard.task_ids)
    (outlet,) = guard.task_dict["successor_tickets"].outlets
    assert [asset.uri for asset in dags["distill_successor_tickets"].schedule] == [outlet.uri]
    assert dags["distill_successor_tickets"].task_dict["evaluation.collect_answers"].student == (
        "amazon.nova-lite-v1:0:300k"
    )


def retire(world: ReleaseWorld, **more: Any) -> dict[str, Any]:
    from airflow_distill.operators.retire import RetireWorkloadOperator

    task = RetireWorkloadOperator(task_id="retire", workload=world.workload, root=world.root, **more)
    task.now = world.now  # type: ignore[method-assign]
    return dict(task.execute({}))


def test_a_retirement_is_planned_first_and_changes_nothing(world: ReleaseWorld) -> None:
    pointer, hosts = world.pointer(), world.hosts()
    assert retire(world)["steps"]["hosts"] == "to do"
    assert (world.pointer(), world.hosts()) == (pointer, hosts)


def test_a_retirement_defers_for_the_grace_time_and_leaves_nothing_billing(world: ReleaseWorld) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    with pytest.raises(TaskDeferred):
        retire(world, perform=True, models="delete")
    assert world.pointer() == {}
    assert len(world.hosts()) == 1, "callers have the grace time"
    world.sleep(timedelta(hours=25).total_seconds())
    receipt = retire(world, perform="True", models="delete")
    assert receipt["finished_at"]
    assert world.hosts() == []
    before = world.sandbox.meter()["total"]
    world.sleep(timedelta(days=60).total_seconds())
    assert world.sandbox.meter()["total"] == before
    assert retire(world, perform=True)["finished_at"] == receipt["finished_at"]


def test_a_retirement_that_cannot_end_fails_with_what_waits(world: ReleaseWorld) -> None:
    from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

    world.sandbox.faults.add("conflict", operation="DeleteCustomModelDeployment", count=1_000)
    with pytest.raises(TaskDeferred):
        retire(world, perform=True)
    world.sleep(timedelta(hours=25).total_seconds())
    with pytest.raises(TaskDeferred):
        retire(world, perform=True)
    world.sleep(timedelta(hours=4).total_seconds())
    with pytest.raises(AirflowFailException, match=r"not retired in full: hosts: 0 deleted.*Clear this task"):
        retire(world, perform=True)


def test_a_watched_workload_is_asked_by_the_doctor_every_day(tmp_path: Path) -> None:
    from airflow_distill.pipelines import build_dags

    (tmp_path / "tickets.yaml").write_text(ON_SANDBOX + "watch: {}\n")
    dags = build_dags(tmp_path)
    guard, first = (
        dags["distill_guards"].get_task("doctor_tickets"),
        dags["distill_tickets"].get_task("start.doctor"),
    )
    assert (guard.role_arn, guard.teacher) == (first.role_arn, first.teacher)
