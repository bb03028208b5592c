"""Hosts that are cleared, killed, stuck, failed or not shown yet: one host, one bill, and a sentence to act on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from airflow_distill.cli.main import main
from airflow_distill.operators.hosts import BedrockCreateHostOperator, BedrockDeleteHostOperator
from airflow_distill.remote.submit import FAULT_POINTS
from airflow_distill.sandbox import Sandbox
from tests.chaos.playing import create, delete, promote, serving
from tests.release_world import Killed, ReleaseWorld, wish_for_throughput

KINDS = ("custom-model-deployment", "provisioned-throughput")
GET = {
    "custom-model-deployment": "GetCustomModelDeployment",
    "provisioned-throughput": "GetProvisionedModelThroughput",
}
CREATE = {
    "custom-model-deployment": "CreateCustomModelDeployment",
    "provisioned-throughput": "CreateProvisionedModelThroughput",
}


@pytest.fixture
def world(bedrock_environment: Sandbox) -> ReleaseWorld:
    return ReleaseWorld(bedrock_environment, workload="rounds")


def terms(world: ReleaseWorld, kind: str) -> dict[str, Any]:
    if kind == "custom-model-deployment":
        return {"host_kind": kind}
    wish = wish_for_throughput(world.now())
    return {"host_kind": kind, "units": 1, "hourly_price": 15.0, "ends_at": wish.ends_at}


def dies_at(point: str) -> Callable[[Any, str], None]:
    def die(operator: Any, at: str) -> None:
        if at == point:
            raise Killed(at)

    return die


@pytest.mark.parametrize("kind", KINDS)
def test_a_host_that_is_made_and_deleted_four_times_exists_each_time(world: ReleaseWorld, kind: str) -> None:
    """The token of the first round answers with a dead ARN for ever; the third round waited for a host that never came."""
    model = world.model("m")
    for _ in range(4):
        host = create(world, model, **terms(world, kind))
        assert serving(world) == {host["host_arn"]: model}
        assert delete(world, model, host=host)["deleted"] == [host["host_arn"]]
    assert serving(world) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_host_that_the_service_does_not_show_yet_is_bought_once(world: ReleaseWorld, kind: str) -> None:
    """Reads may lag behind a create by up to 60 s; neither the same try nor a retry buys a second host."""
    model = world.model("m")
    world.sandbox.faults.add("not-found", operation=GET[kind], count=7)
    host = create(world, model, **terms(world, kind))
    assert list(serving(world)) == [host["host_arn"]]
    assert world.sandbox.calls(CREATE[kind]) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_host_that_never_appears_ends_in_minutes_with_that_sentence(world: ReleaseWorld, kind: str) -> None:
    model, begun = world.model("m"), world.now()
    world.sandbox.faults.add("not-found", operation=GET[kind])
    with pytest.raises(
        Exception, match="has shown nothing under it for 75 s: it was deleted, or it never came to be"
    ):
        create(world, model, **terms(world, kind))
    assert (world.now() - begun).total_seconds() < 300
    world.sandbox.faults.clear()
    assert len(serving(world)) == 1, "the second token met the name that was taken, or nothing was there"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("point", FAULT_POINTS)
@pytest.mark.parametrize("lag", [0, 3])
def test_a_purchase_killed_at_any_point_and_tried_again_is_one_host(
    world: ReleaseWorld, kind: str, point: str, lag: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, wanted = world.model("m"), terms(world, kind)
    if point == "after-create-error":
        world.sandbox.faults.add("quota", operation=CREATE[kind], count=1)
    with monkeypatch.context() as patched:
        patched.setattr(BedrockCreateHostOperator, "fault", dies_at(point))
        with pytest.raises(Killed):
            create(world, model, **wanted)
    if lag:
        world.sandbox.faults.add("not-found", operation=GET[kind], count=lag)
    host = create(world, model, **wanted)
    assert serving(world) == {host["host_arn"]: model}


@pytest.mark.parametrize("kind", KINDS)
def test_a_candidate_that_fails_is_deleted_and_another_name_is_tried(world: ReleaseWorld, kind: str) -> None:
    model = world.model("m")
    world.sandbox.faults.add("fail", operation=CREATE[kind], message="no capacity", count=1)
    with pytest.raises(AirflowFailException, match=r"no capacity.* it was deleted"):
        create(world, model, **terms(world, kind))
    assert serving(world) == {}
    assert create(world, model, **terms(world, kind))["status"] in {"Active", "InService"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_candidate_left_by_a_killed_task_is_deleted_and_its_name_not_taken_again(
    world: ReleaseWorld, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, wanted = world.model("m"), terms(world, kind)
    world.sandbox.faults.add("fail", operation=CREATE[kind], message="no capacity", count=1)
    with monkeypatch.context() as patched:
        patched.setattr(BedrockCreateHostOperator, "fault", dies_at("after-create"))
        with pytest.raises(Killed):
            create(world, model, **wanted)
    left = set(serving(world))
    second = create(world, model, **wanted)
    assert second["host_name"].endswith("-2")
    assert left.isdisjoint(serving(world))
    assert list(serving(world)) == [second["host_arn"]]


def test_stuck_throughput_is_deleted_and_the_error_says_so(world: ReleaseWorld) -> None:
    model, kind = world.model("m"), "provisioned-throughput"
    world.sandbox.faults.add("stuck", operation=CREATE[kind])
    with pytest.raises(AirflowFailException, match=r"still Creating after 0.5 h; it was deleted"):
        create(world, model, host_wait_hours=0.5, **terms(world, kind))
    assert serving(world) == {}


def test_a_stuck_host_that_is_to_be_kept_tells_its_bill(world: ReleaseWorld) -> None:
    model, kind = world.model("m"), "provisioned-throughput"
    world.sandbox.faults.add("stuck", operation=CREATE[kind])
    with pytest.raises(AirflowFailException, match=r"it was kept: it bills 15.00 USD an hour"):
        create(world, model, host_wait_hours=0.5, on_stuck="keep", **terms(world, kind))
    assert len(serving(world)) == 1


def test_a_stuck_deployment_cannot_be_deleted_and_is_left_to_the_reaper_in_words(world: ReleaseWorld) -> None:
    model, kind = world.model("m"), "custom-model-deployment"
    world.sandbox.faults.add("stuck", operation=CREATE[kind])
    with pytest.raises(
        AirflowFailException, match=r"could not be deleted .*`airflow-distill reap` removes it"
    ):
        create(world, model, host_wait_hours=0.5, **terms(world, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["stuck", "fail"])
def test_a_first_promotion_whose_host_never_serves_goes_back_and_the_next_one_succeeds(
    world: ReleaseWorld, kind: str, fault: str
) -> None:
    """It used to time out, leave the release open for a day and the throughput to a reaper that looked away."""
    wanted = {"host_wait_hours": 0.5, **terms(world, kind)}
    world.sandbox.faults.add(
        fault, operation=CREATE[kind], **({"message": "capacity"} if fault == "fail" else {})
    )
    said = "still Creating after 0.5 h" if fault == "stuck" else "could not take the model: Failed: capacity"
    with pytest.raises(AirflowFailException, match=f"rolled_back: .*{said}"):
        promote(world, world.model("a"), **wanted)
    assert world.pointer() == {}
    assert world.ledger.read().open is None
    world.sandbox.faults.clear()
    if (kind, fault) != ("custom-model-deployment", "stuck"):
        assert serving(world) == {}
    second = promote(world, world.model("b"), run="run-2", **wanted)
    assert second["outcome"] == "released"
    assert serving(world)[second["host_arn"]] == world.model("b")


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_swap_goes_back_at_once_and_the_host_stays(world: ReleaseWorld, kind: str) -> None:
    wanted = terms(world, kind)
    first = promote(world, world.model("a"), **wanted)
    update = CREATE[kind].replace("Create", "Update")
    world.sandbox.faults.add("fail", operation=update, message="no capacity", count=1)
    begun = world.now()
    with pytest.raises(AirflowFailException, match="no capacity"):
        promote(world, world.model("b"), run="run-2", **wanted)
    assert (world.now() - begun).total_seconds() < 3 * 3600
    assert first["host_arn"] in serving(world), "a host that the pointer names is never deleted"
    assert world.pointer()["model_arn"] == world.model("a")


def test_a_failed_live_host_is_not_deleted_to_free_its_name(world: ReleaseWorld) -> None:
    """The name of a new host depends on kind and size only, so what replaces a failed live host met its name."""
    first = promote(world, world.model("a"))
    state = world.sandbox.world.store.region("us-east-1")
    with world.sandbox.world.store.lock:
        failed = state.find("custom-model-deployment", first["host_arn"])
        assert failed is not None
        failed.record["status"] = "Failed"
    with pytest.raises(AirflowFailException, match=r"has failed.*release repair"):
        promote(world, world.model("b"), run="run-2")
    assert list(serving(world)) == [first["host_arn"]]
    repair = ["release", "repair", "--root", world.root, "--workload", world.workload, "--yes"]
    assert main(repair) == 0
    assert world.pointer()["host_arn"] != first["host_arn"]
    assert serving(world)[world.pointer()["host_arn"]] == world.model("a")
    assert first["host_arn"] in serving(world), "it is retired after its grace, not deleted on the way"


@pytest.mark.parametrize("point", ["after-create", "before-return"])
def test_a_teardown_finds_what_a_killed_setup_made_without_its_receipt(
    world: ReleaseWorld, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setup left no XCom; a throughput went on billing 15 USD an hour."""
    model = world.model("m")
    with monkeypatch.context() as patched:
        patched.setattr(BedrockCreateHostOperator, "fault", dies_at(point))
        with pytest.raises(Killed):
            create(world, model, **terms(world, "provisioned-throughput"))
    left = list(serving(world))
    assert delete(world, model)["deleted"] == left
    assert serving(world) == {}


def test_a_teardown_waits_for_a_host_that_a_failed_setup_made_and_that_is_not_shown_yet(
    world: ReleaseWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, kind = world.model("m"), "custom-model-deployment"
    made = create(world, model, **terms(world, kind))["host_arn"]
    monkeypatch.setattr(BedrockDeleteHostOperator, "_setup_failed", lambda operator, context: True)
    world.sandbox.faults.add("not-found", operation=GET[kind], count=4)
    world.sandbox.faults.add("not-found", operation="ListTagsForResource", count=2)
    assert delete(world, model)["deleted"] == [made]


def test_the_teardown_of_a_candidate_runs_whatever_its_setup_ended_in() -> None:
    """Airflow's own rule leaves a teardown `upstream_failed` when its setup failed or was marked failed."""
    with DAG("d", schedule=None):
        setup = BedrockCreateHostOperator(task_id="create", workload="w", job={})
        teardown = BedrockDeleteHostOperator(task_id="delete", workload="w").as_teardown(setups=setup)
    assert teardown.is_teardown
    assert teardown.trigger_rule == "all_done"
