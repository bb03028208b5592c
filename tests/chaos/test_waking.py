"""A run that was given up wakes, in the middle of anything: it changes nothing any more.

Its process slept between two lines (a stopped container, a paused machine) for so long that somebody else has ended its
release or taken its workload's turn. It is woken after every call it made, and in every step of its plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_distill.aws.execute import Execution
from airflow_distill.aws.promotion import unfinished
from airflow_distill.errors import ReleaseConflictError
from airflow_distill.operators.deployment import GuardReleaseOperator
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.deployment.records import HostWish
from airflow_distill.workload.turn import Runner, Turns
from tests.chaos.playing import context, create, promote, serving
from tests.release_world import Guesses, Knows, Life, Rambles, ReleaseWorld, wish_for_throughput

CHANGES = ("create", "update", "delete", "put", "tag")


@dataclass
class Sleeping(Life):
    """Falls asleep at one point after it has claimed its release; while it sleeps, the others go on."""

    sleeps_at: int = 0
    claimed: bool = False
    meanwhile: Callable[[], None] = lambda: None
    slept_at: str = ""

    def step(self, name: str, when: str) -> None:
        if not self.claimed:
            return
        super().step(name, when)
        if len(self.points) == self.sleeps_at:
            self.slept_at = f"{when} {name}"
            self.meanwhile()


def the_world(world: ReleaseWorld) -> dict[str, Any]:
    """Tell everything that a run may change: hosts with their tags, the pointer, the ledger but for who holds what."""
    bedrock = world.client("bedrock")
    ledger = {
        item.uri: world.store.read(item.uri)
        for item in world.store.iter_objects(world.ledger.prefix)
        if ".hold-" not in item.uri
    }
    tags = {arn: bedrock.list_tags_for_resource(resourceARN=arn)["tags"] for arn in world.hosts()}
    return {"hosts": serving(world), "tags": tags, "pointer": world.pointer(), "ledger": ledger}


def taken_over(world: ReleaseWorld, goes_on: bool) -> dict[str, Any]:
    """Let a person end the open release, and perhaps another run make a third model live; returns the world then.

    Where the run had written its own end down before it fell asleep, nobody takes anything over: what is left to it is to
    name that end in the pointer, and nothing else.
    """
    world.gateways = world.new_gateways()
    world.sleep(20 * 60)
    opened = unfinished(world.gateways, world.store, world.root, world.workload)
    if opened is not None:
        person = world.execution(opened, run="cli/ann", holder="ann", force=True)
        person.turn_back(("the run is gone",), "lease")
        world.to_the_end(person)
    if goes_on:
        decision = world.decision(world.model("third"))
        world.carry_out(world.intent(decision, run="loop/run-3"))
    then = the_world(world)
    if opened is None and not goes_on and then["pointer"]:
        then["pointer"]["ledger"] = world.ledger.sound().entries[-1].head.to_json()
    return then


def void(said: Any) -> None:
    """Drop what is said."""


WISHES = ["custom-model-deployment", "provisioned-throughput"]


def claimed(life: Sleeping, execution: Execution) -> Execution:
    life.claimed = True
    return execution


def begin(
    sandbox: Sandbox, kind: str, releases: int, brain: Any
) -> tuple[ReleaseWorld, Callable[[], Execution]]:
    sandbox.reset()
    world = ReleaseWorld(sandbox)
    wish = wish_for_throughput(world.now()) if kind == "provisioned-throughput" else HostWish(kind=kind)  # type: ignore[arg-type]
    for number in range(releases):
        world.promote(world.model(f"before-{number}"), wish=wish)
    decision = world.decision(world.model("mine", brain))

    def execution() -> Execution:
        return world.execution(world.prepare(world.intent(decision, wish=wish)), run="loop/run-1")

    return world, execution


def go(world: ReleaseWorld, execution: Execution) -> None:
    try:
        world.to_the_end(execution)
    except ReleaseConflictError:
        return


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("goes_on", [False, True], ids=["rolled back", "and a third model is live"])
@pytest.mark.parametrize(
    ("kind", "releases", "brain"),
    [
        ("custom-model-deployment", 0, Knows()),
        ("custom-model-deployment", 1, Knows()),
        ("custom-model-deployment", 1, Rambles()),
        ("provisioned-throughput", 1, Guesses()),
    ],
    ids=["first", "in place", "on its way back", "back from the bake"],
)
def test_a_release_that_was_taken_over_is_left_alone_wherever_its_run_wakes(
    bedrock_sandbox: Sandbox, kind: str, releases: int, brain: Any, goes_on: bool, every: int
) -> None:
    world, make = begin(bedrock_sandbox, kind, releases, brain)
    world.gateways = world.new_gateways(life := Sleeping())
    go(world, claimed(life, make()))
    points = list(life.points)
    assert len(points) > 6
    woken = 0
    # a change that is under way already: nobody can call it back
    may_sleep = [
        (at, point)
        for at, point in enumerate(points, 1)
        if not (point.split()[1].startswith(CHANGES) and point.startswith("before"))
    ]
    for at, point in may_sleep[::every]:
        world, make = begin(bedrock_sandbox, kind, releases, brain)
        then: dict[str, Any] = {}
        life = Sleeping(sleeps_at=at, meanwhile=lambda w=world, t=then: t.update(taken_over(w, goes_on)))  # type: ignore[misc]
        world.gateways = world.new_gateways(life)
        go(world, claimed(life, make()))
        assert then, point
        assert the_world(world) == then, f"woken {life.slept_at}"
        woken += 1
    assert woken >= 2


@pytest.mark.parametrize("kind", WISHES)
@pytest.mark.parametrize("brain", [Knows(), Rambles()], ids=["forth", "back"])
def test_no_step_of_a_plan_is_carried_out_by_a_run_that_lost_its_release_just_before(
    bedrock_sandbox: Sandbox, kind: str, brain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even between the check before a step and the step."""
    perform = Execution._perform
    woken, number = set(), 0
    while True:
        number += 1
        world, make = begin(bedrock_sandbox, kind, 1, brain)
        then: dict[str, Any] = {}
        steps: list[str] = []

        def sleepy(
            self: Execution, step: Any, w: Any = world, t: Any = then, s: Any = steps, n: int = number
        ) -> Any:
            if self.run == "loop/run-1":
                s.append(step.kind)
                if len(s) == n:
                    t.update(taken_over(w, True))
            return perform(self, step)

        monkeypatch.setattr(Execution, "_perform", sleepy)
        go(world, make())
        if not then:
            break
        assert the_world(world) == then, steps
        woken.add(steps[number - 1])
    assert {"update-host", "publish-pointer", "write-release"} <= woken


def test_a_call_that_was_under_way_when_the_release_was_lost_is_told_as_drift(
    bedrock_sandbox: Sandbox,
) -> None:
    """The service knows no fences. The swap goes out, the run stops at its next step, and the next look says so."""
    from airflow_distill.aws.promotion import look_for_drift

    world, make = begin(bedrock_sandbox, "custom-model-deployment", 1, Knows())
    life = Sleeping(sleeps_at=3, meanwhile=lambda: void(taken_over(world, False)))
    world.gateways = world.new_gateways(life)
    execution = claimed(life, make())
    with pytest.raises(ReleaseConflictError):
        world.to_the_end(execution)
    assert life.slept_at == "before update_custom_model_deployment"
    assert world.ledger.sound().open is None
    _, found = look_for_drift(world.gateways, world.store, world.root, world.workload, world.now())
    assert [each.code for each in found] == ["host-other-model"]


# Turns.


@pytest.fixture
def world(bedrock_environment: Sandbox) -> ReleaseWorld:
    return ReleaseWorld(bedrock_environment, workload="tickets")


def lose_the_turn(world: ReleaseWorld, run: str) -> Turns:
    """Let a run take the turn, go idle, and another run take it over."""
    turns = Turns(world.store, world.root, world.workload)
    turns.take(Runner("loop", run, "take_turn"), "20260101T000000Z", lambda other: True)
    turns.take(Runner("loop", "later", "take_turn"), "20260102T000000Z", lambda other: False)
    return turns


def test_a_run_whose_turn_was_taken_buys_nothing_and_promotes_nothing(world: ReleaseWorld) -> None:
    model = world.model("m")
    turns = lose_the_turn(world, "run-1")
    before = the_world(world), world.sandbox.calls("CreateCustomModelDeployment")
    for act in (promote, create):
        with pytest.raises(
            AirflowFailException, match=r"TurnLostError.*loop later has taken tickets over"
        ) as raised:
            act(world, model, run="run-1")
        assert "Clear this run" in str(raised.value)
    assert (the_world(world), world.sandbox.calls("CreateCustomModelDeployment")) == before
    # cleared from its first task on, it waits for its turn anew, and has it
    turns.end(2)
    turns.take(Runner("loop", "run-1", "take_turn"), "20260101T000000Z", lambda other: True)
    assert promote(world, model, run="run-1")["outcome"] == "released"


def test_a_run_that_wakes_from_a_wait_without_its_turn_goes_no_further(world: ReleaseWorld) -> None:
    from airflow_distill.operators.deployment import BedrockPromoteModelOperator

    operator = BedrockPromoteModelOperator(
        task_id="promote", workload="tickets", root=world.root, decision=world.decision(world.model("m"))
    )
    lose_the_turn(world, "run-1")
    before = the_world(world)
    with pytest.raises(AirflowFailException, match="TurnLostError"):
        operator.resume_execution("resume", {}, context("run-1"))
    assert the_world(world) == before


def test_the_guard_of_a_run_without_its_turn_still_ends_what_the_run_left_open(world: ReleaseWorld) -> None:
    world.promote(world.model("first"))
    mine = world.execution(
        world.prepare(world.intent(world.decision(world.model("second")), run="loop/run-1"))
    )
    mine.advance()
    lose_the_turn(world, "run-1")
    guard = GuardReleaseOperator(task_id="guard", workload="tickets", root=world.root, deferrable=False)
    object.__setattr__(guard, "now", world.now)
    assert guard.execute(context("run-1"))["outcome"] == "rolled_back"
