"""Promotions while reads lag behind creates, killed at every point: one host, one bill, on both kinds of host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_distill.aws.execute import Execution
from airflow_distill.aws.hosts import HostOrder, have_host
from airflow_distill.aws.promotion import unfinished
from airflow_distill.errors import DistillError, StateError
from airflow_distill.remote.ownership import Owner
from airflow_distill.remote.submit import FAULT_POINTS
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.deployment.records import HostSpec, HostWish, Outcome
from tests.release_world import Killed, Life, Rambles, ReleaseWorld, wish_for_throughput

KINDS = ("custom-model-deployment", "provisioned-throughput")
CREATE = {
    "custom-model-deployment": "CreateCustomModelDeployment",
    "provisioned-throughput": "CreateProvisionedModelThroughput",
}
LAGS = (30, 60)
"""Seconds; reports tell of up to 60."""
LONGER_THAN_WE_WAIT = 90


@pytest.fixture
def world(bedrock_sandbox: Sandbox) -> ReleaseWorld:
    return ReleaseWorld(bedrock_sandbox)


def wish(world: ReleaseWorld, kind: str) -> HostWish:
    if kind == "provisioned-throughput":
        return wish_for_throughput(world.now())
    return HostWish(kind="custom-model-deployment")


def lag(world: ReleaseWorld, seconds: float) -> None:
    world.sandbox.world.options.change("read_lag_seconds", seconds)


def dies_at(point: str) -> Callable[[str], None]:
    def die(at: str) -> None:
        if at == point:
            raise Killed(at)

    return die


def killed_promotion(world: ReleaseWorld, kind: str, point: str, model: str) -> Any:
    """Promote a model in a process that dies at a point of buying the host; returns the intent."""
    if point == "after-create-error":
        world.sandbox.faults.add("lost-answer", operation=CREATE[kind], count=1)
    intent = world.intent(world.decision(model), wish=wish(world, kind))
    with pytest.raises(Killed):
        world.to_the_end(world.execution(world.prepare(intent), run=intent.run, fault=dies_at(point)))
    return intent


def made(world: ReleaseWorld, kind: str) -> int:
    return world.sandbox.meter()["calls"].get(CREATE[kind], {}).get("ok", 0)


def one_host_one_bill(world: ReleaseWorld, kind: str, hours: float = 1.0) -> None:
    """Assert that the account has one host, made by one purchase, and that an hour adds one unit-hour at most."""
    assert len(world.hosts()) == 1
    units = [arn for arn in world.sandbox.meter()["billing_now"] if "provisioned-model" in str(arn)]
    assert len(units) == (1 if kind == "provisioned-throughput" else 0)
    before = unit_hours(world)
    world.sleep(3600 * hours)
    assert unit_hours(world) - before == pytest.approx(hours * len(units), abs=0.01)


def unit_hours(world: ReleaseWorld) -> float:
    lines = world.sandbox.meter()["lines"]
    return sum(line["quantity"] for line in lines if "provisioned" in str(line["service"]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seconds", LAGS)
@pytest.mark.parametrize("point", FAULT_POINTS)
def test_a_promotion_killed_while_it_buys_and_tried_again_at_once_has_one_host(
    world: ReleaseWorld, kind: str, seconds: float, point: str
) -> None:
    lag(world, seconds)
    intent = killed_promotion(world, kind, point, world.model("m"))
    world.gateways = world.new_gateways()
    outcome = world.carry_out(intent)
    assert outcome.outcome == "released"
    assert made(world, kind) == 1
    assert world.hosts() == [outcome.host_arn] == [world.pointer()["host_arn"]]
    one_host_one_bill(world, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("point", FAULT_POINTS)
def test_a_promotion_whose_name_is_refused_with_a_validation_error_is_still_one_host(
    world: ReleaseWorld, kind: str, point: str
) -> None:
    """Nobody knows whether Get by an unknown name answers NotFound or Validation; both read as "none"."""
    lag(world, 30)
    world.sandbox.world.options.change("unknown_name", "validation")
    intent = killed_promotion(world, kind, point, world.model("m"))
    world.gateways = world.new_gateways()
    assert world.carry_out(intent).outcome == "released"
    assert made(world, kind) == 1
    one_host_one_bill(world, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seconds", LAGS)
@pytest.mark.parametrize("point", FAULT_POINTS)
def test_another_run_that_takes_a_killed_promotion_over_deletes_its_host_and_buys_its_own(
    world: ReleaseWorld, kind: str, seconds: float, point: str
) -> None:
    """The way back began while the host was not shown: it saw nothing to delete, and the host went on billing."""
    lag(world, seconds)
    killed_promotion(world, kind, point, world.model("m"))
    world.gateways = world.new_gateways()
    assert turned_back(world, "its run is gone").outcome == "rolled_back"
    world.sleep(seconds + 1)
    assert world.hosts() == []
    assert [arn for arn in world.sandbox.meter()["billing_now"] if "custom-model/" not in str(arn)] == []
    second = world.intent(world.decision(world.model("n")), run="loop/run-2", wish=wish(world, kind))
    outcome = world.carry_out(second)
    assert (outcome.outcome, outcome.release) == ("released", 2)
    one_host_one_bill(world, kind)


def turned_back(world: ReleaseWorld, why: str) -> Outcome:
    opened = unfinished(world.gateways, world.store, world.root, world.workload)
    assert opened is not None
    execution = world.execution(opened, run="loop/run-2", force=True)
    execution.turn_back((why,), "lease")
    return world.to_the_end(execution)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_first_promotion_killed_around_each_call_under_lag_buys_one_host(
    bedrock_sandbox: Sandbox, kind: str
) -> None:
    """Before and after each call that changes or costs something, the process dies and the next one goes on at once."""
    points, number = 1, 0
    while number <= points:
        bedrock_sandbox.reset()
        bedrock_sandbox.clock.set("2026-11-20T00:00:00Z")
        world = ReleaseWorld(bedrock_sandbox)
        lag(world, 45)
        intent = world.intent(world.decision(world.model("first")), wish=wish(world, kind))
        life = Life(number)
        world.gateways = world.new_gateways(life)
        try:
            world.carry_out(intent)
        except Killed:
            world.gateways = world.new_gateways()
            assert world.carry_out(intent).outcome == "released", life.points[-1]
        points = points if number else len(life.points)
        assert made(world, kind) == 1, life.points[-1]
        assert len(world.hosts()) == 1, life.points[-1]
        number += 1
    assert points >= 15


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("killed_after", ["delete", "against"])
def test_a_way_back_killed_under_lag_and_gone_on_with_leaves_nothing(
    world: ReleaseWorld, kind: str, killed_after: str
) -> None:
    lag(world, 30)
    point = "after-create"
    intent = killed_promotion(world, kind, point, world.model("m", Rambles()))
    opened = unfinished(world.gateways, world.store, world.root, world.workload)
    assert opened is not None

    def die(line: str) -> None:
        if killed_after in line:
            raise Killed(line)

    execution = world.execution(opened, run=intent.run, progress=die)
    with pytest.raises(Killed):
        turn_back_and_go_on(world, execution)
    world.gateways = world.new_gateways()
    assert world.carry_out(intent).outcome == "rolled_back"
    world.sleep(60)
    assert world.hosts() == []


def turn_back_and_go_on(world: ReleaseWorld, execution: Execution) -> None:
    execution.turn_back(("a person said so",), "person")
    world.to_the_end(execution)


def test_going_back_before_anything_was_bought_does_not_wait_for_a_host(world: ReleaseWorld) -> None:
    lag(world, 30)
    killed_promotion(world, KINDS[0], "before-create", world.model("m"))
    begun = world.now()
    assert turned_back(world, "complaints").outcome == "rolled_back"
    assert (world.now() - begun).total_seconds() < 10


@pytest.mark.parametrize("kind", KINDS)
def test_a_lag_beyond_all_reports_is_an_error_that_a_later_try_heals(world: ReleaseWorld, kind: str) -> None:
    """75 s without a sign: another token is tried once, the service says that the name is taken, and nothing is bought."""
    lag(world, LONGER_THAN_WE_WAIT)
    intent = world.intent(world.decision(world.model("m")), wish=wish(world, kind))
    with pytest.raises(StateError, match=r"shown nothing under it for 75 s.*name is currently in use"):
        world.carry_out(intent)
    assert made(world, kind) == 1
    world.gateways = world.new_gateways()
    world.sleep(30)
    assert world.carry_out(intent).outcome == "released"
    assert made(world, kind) == 1
    one_host_one_bill(world, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_that_buy_one_host_at_once_under_lag_have_one(world: ReleaseWorld, kind: str) -> None:
    """The second is asked while the first waits for its host to be shown."""
    lag(world, 30)
    model = world.model("m")
    spec = HostSpec(kind, "candidate", units=1 if kind == "provisioned-throughput" else None)  # type: ignore[arg-type]
    owner = Owner(world.workload, world.root)
    tags = {**owner.tags, "airflow-distill:workload": world.workload}
    found: list[str] = []

    def have(sleep: Callable[[float], None]) -> str:
        order = HostOrder(spec, model, owner, tags, {"run": "r"}, lambda generation: spec.name)
        return have_host(world.gateways, order, now=world.now, sleep=sleep).arn

    def meanwhile(seconds: float) -> None:
        world.sleep(seconds)
        if not found:
            found.append("asked")
            found[0] = have(world.sleep)

    assert have(meanwhile) == found[0]
    assert world.hosts() == found
    assert made(world, kind) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_tags_that_lag_behind_the_host_are_not_read_as_somebody_elses(world: ReleaseWorld, kind: str) -> None:
    lag(world, 20)
    intent = world.intent(world.decision(world.model("m")), wish=wish(world, kind))
    world.sandbox.faults.add("not-found", operation="ListTagsForResource", match="*provisioned*", count=1)
    world.sandbox.faults.add("not-found", operation="ListTagsForResource", match="*deployment*", count=1)
    with pytest.raises(DistillError) as caught:
        world.carry_out(intent)
    assert caught.value.retryable
    assert world.carry_out(intent).outcome == "released"
    assert made(world, kind) == 1
