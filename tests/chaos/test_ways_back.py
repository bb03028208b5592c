"""Blocked ways back, pointers that other tools wrote, ledgers with gaps: each ends, or is open and says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_distill.aws.promotion import look_for_drift
from airflow_distill.aws.reap import remove_finds, survey_account
from airflow_distill.aws.repair import mend
from airflow_distill.errors import DeploymentError
from airflow_distill.operators.deployment import CheckReleaseOperator
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.deployment.reap import Find, ReapRules
from airflow_distill.stages.deployment.records import HostWish
from tests.chaos.playing import context
from tests.release_world import LITE, Rambles, ReleaseWorld, wish_for_throughput

UPDATE = "UpdateProvisionedModelThroughput"


@pytest.fixture
def world(bedrock_environment: Sandbox) -> ReleaseWorld:
    return ReleaseWorld(bedrock_environment, workload="tickets")


@pytest.fixture
def failed_is_final(world: ReleaseWorld) -> Iterator[None]:
    """A throughput whose update failed takes no other one; nobody outside AWS knows whether it does."""
    world.sandbox.world.options.change("failed_throughput", "final")
    yield
    world.sandbox.world.options.change("failed_throughput", "updatable")


def codes(world: ReleaseWorld) -> list[str]:
    return [each.code for each in drift_of(world)]


def drift_of(world: ReleaseWorld) -> Any:
    return look_for_drift(world.gateways, world.store, world.root, world.workload, world.now())[1]


def check(world: ReleaseWorld, run: str) -> dict[str, Any]:
    """Begin a run as the loop does."""
    operator = CheckReleaseOperator(
        task_id="check", workload=world.workload, root=world.root, deferrable=False, waiter_delay=5.0
    )
    object.__setattr__(operator, "now", world.now)
    object.__setattr__(operator, "pause", world.sleep)
    said: dict[str, Any] = operator.execute(context(run))
    return said


def repair(world: ReleaseWorld) -> None:
    """Do what `airflow-distill release repair --yes` does."""
    args = (world.gateways, world.store, world.root, world.workload, drift_of(world), "ann", world.now())
    again = mend(*args)
    if again is not None:
        world.to_the_end(world.execution(again[0], run="cli/ann", holder="ann"))


def reap(world: ReleaseWorld, hours: float) -> list[Find]:
    """Let the reaper remove what it may after some hours; returns what it removed."""
    finds = survey_account(
        world.gateways,
        world.store,
        world.root,
        now=world.now() + timedelta(hours=hours),
        rules=ReapRules(),
        price_of=lambda item, base: None,
    )
    return [r.find for r in remove_finds(world.gateways, world.store, world.root, finds) if r.removed]


def swap_that_fails(world: ReleaseWorld, times: int) -> tuple[str, str, DeploymentError | None]:
    """Promote a second model onto a throughput whose update fails so many times; returns address, first model, error."""
    wish = wish_for_throughput(world.now())
    first = world.model("first")
    address = world.promote(first, wish=wish).host_arn
    world.sandbox.faults.add("fail", operation=UPDATE, message="no capacity", count=times)
    execution = world.execution(world.prepare(world.intent(world.decision(world.model("second")), wish=wish)))
    try:
        assert world.to_the_end(execution).outcome == "rolled_back"
    except DeploymentError as error:
        execution.give_back()
        return address, first, error
    return address, first, None


# The way back of a swap.


def test_a_swap_that_fails_and_whose_way_back_holds_is_rolled_back(world: ReleaseWorld) -> None:
    address, first, error = swap_that_fails(world, 1)
    assert error is None
    assert codes(world) == []
    assert world.pointer()["host_arn"] == address
    assert world.ledger.sound().live().target.model_arn == first  # type: ignore[union-attr]


def test_a_way_back_that_fails_too_is_open_and_told_and_the_next_run_goes_on_with_it(
    world: ReleaseWorld,
) -> None:
    address, first, error = swap_that_fails(world, 2)
    assert error is not None
    assert "release 2 is open and being repaired" in error.message
    assert "Failed: no capacity" in error.message
    assert "release repair --yes" in error.hint
    assert codes(world) == ["open-release", "host-failed"]
    # the service can do it now: no person is needed
    assert check(world, "run-2")["drift"] == []
    bedrock = world.client("bedrock")
    found = bedrock.get_provisioned_model_throughput(provisionedModelId=address)
    assert (found["status"], found["modelArn"]) == ("InService", first)
    assert [e.outcome.outcome for e in world.ledger.sound().entries if e.outcome] == [
        "released",
        "rolled_back",
    ]


def test_a_throughput_that_failed_for_good_is_replaced_when_a_person_says_so(
    world: ReleaseWorld, failed_is_final: None
) -> None:
    address, first, error = swap_that_fails(world, 1)
    assert error is not None
    assert "can not be updated because its status is Failed" in error.message
    assert "release repair --yes" in error.hint
    for run in ("run-2", "run-3"):
        with pytest.raises((AirflowFailException, DeploymentError), match="is open and being repaired"):
            check(world, run)
        assert world.hosts() == [address], "nothing is bought that nobody has asked for"
    repair(world)
    assert codes(world) == []
    live = world.ledger.sound().live()
    assert live is not None
    assert live.target.model_arn == first
    assert live.host_arn == world.pointer()["host_arn"] != address
    outcomes = [(e.release.action, e.outcome.outcome) for e in world.ledger.sound().entries if e.outcome]
    assert outcomes == [("promote", "released"), ("promote", "rolled_back"), ("rollback", "released")]
    removed = [find.arn for find in reap(world, 30)]
    assert address in removed, "the failed one does not go on billing"
    assert not {first, live.host_arn} & set(removed)
    assert check(world, "run-4")["drift"] == []


@pytest.mark.parametrize("kind", ["custom-model-deployment", "provisioned-throughput"])
def test_a_way_back_that_is_denied_is_open_and_told_and_goes_on_when_it_is_allowed(
    world: ReleaseWorld, kind: str
) -> None:
    wish = wish_for_throughput(world.now()) if kind == "provisioned-throughput" else HostWish(kind=kind)  # type: ignore[arg-type]
    first = world.model("first")
    address = world.promote(first, wish=wish).host_arn
    operation = UPDATE if kind == "provisioned-throughput" else "UpdateCustomModelDeployment"

    def deny(line: str) -> None:
        if line.startswith("against"):
            world.sandbox.faults.add("access-denied", operation=operation)

    prepared = world.prepare(world.intent(world.decision(world.model("second", Rambles())), wish=wish))
    execution = world.execution(prepared, progress=deny)
    with pytest.raises(
        DeploymentError, match=r"is open and being repaired: the way back is blocked: .*AccessDenied"
    ):
        world.to_the_end(execution)
    execution.give_back()
    assert codes(world) == ["open-release"]
    with pytest.raises(DeploymentError, match="release 2 is open"):
        repair(world)
    world.sandbox.faults.clear()
    assert check(world, "run-2")["drift"] == []
    assert world.pointer()["host_arn"] == address
    assert world.pointer()["model_arn"] == first


# Pointers that are none.

STRANGE = [
    "arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/x",
    "{}",
    "[]",
    '"text"',
    "{",
    "null",
    "7",
]


@pytest.mark.parametrize("text", STRANGE)
def test_a_pointer_that_another_tool_wrote_is_told_and_repaired(world: ReleaseWorld, text: str) -> None:
    first = world.model("first")
    address = world.promote(first).host_arn
    world.gateways.parameters.put(world.pointer_name, text)
    assert codes(world) == ["pointer-unreadable"]
    with pytest.raises(AirflowFailException, match=r"callers read what is no pointer .*release repair"):
        check(world, "run-2")
    assert reap(world, 24 * 400) == [], "nobody knows who reads what"
    repair(world)
    assert codes(world) == []
    assert world.pointer()["host_arn"] == address
    assert world.promote(world.model("second"), run="loop/run-3").outcome == "released"


def test_a_pointer_that_another_tool_wrote_where_nothing_is_live_goes_when_a_person_says_so(
    world: ReleaseWorld,
) -> None:
    world.gateways.parameters.put(world.pointer_name, "theirs")
    assert codes(world) == ["pointer-unreadable"]
    repair(world)
    assert world.gateways.parameters.get(world.pointer_name) is None
    assert codes(world) == []


@pytest.mark.parametrize("releases", [0, 1])
@pytest.mark.parametrize("good", [True, False], ids=["good", "bad"])
@pytest.mark.parametrize("when", ["before publish", "in the bake"])
def test_a_pointer_that_another_tool_writes_into_a_release_does_not_keep_it_open(
    world: ReleaseWorld, releases: int, good: bool, when: str
) -> None:
    for number in range(releases):
        world.promote(world.model(f"before-{number}"))

    def meddle(line: str) -> None:
        if when == "before publish" and "smoke test" in line:
            world.gateways.parameters.put(world.pointer_name, "theirs")

    def in_the_bake(reached: Any) -> None:
        if when == "in the bake" and type(reached).__name__ == "Pausing":
            world.gateways.parameters.put(world.pointer_name, "theirs")

    from tests.release_world import Guesses, Knows

    decision = world.decision(world.model("mine", Knows() if good else Guesses()))
    execution = world.execution(world.prepare(world.intent(decision)), progress=meddle)
    outcome = world.to_the_end(execution, in_the_bake)
    assert outcome.outcome == ("released" if good else "rolled_back")
    if codes(world):
        assert set(codes(world)) == {"pointer-unreadable"}
        repair(world)
    assert codes(world) == []
    live = world.ledger.sound().live()
    assert world.pointer().get("host_arn", "") == (live.host_arn if live else "")


def test_nothing_is_repaired_behind_the_back_of_a_run_that_works(world: ReleaseWorld) -> None:
    world.promote(world.model("first"))
    execution = world.execution(world.prepare(world.intent(world.decision(world.model("second")))))
    execution.advance()
    world.gateways.parameters.put(world.pointer_name, "theirs")
    assert codes(world) == ["pointer-unreadable"]
    with pytest.raises(DeploymentError, match="is being carried out by run loop/run-1"):
        repair(world)
    world.sleep(61)
    assert world.to_the_end(execution).outcome == "released"
    assert codes(world) == []


# A reaper before a damaged ledger.


def damage(world: ReleaseWorld, what: str) -> None:
    ledger = world.ledger
    if what == "gap":
        for item in list(world.store.iter_objects(f"{ledger.prefix}000001.")):
            world.store.delete(item.uri)
    elif what == "leftover":
        world.store.delete(ledger.uri(2))
    elif what == "truncated":
        world.store.write(ledger.uri(2), world.store.read(ledger.uri(2))[:-40])
    elif what == "outcome of another claim":
        body = json.loads(world.store.read(ledger.uri(2, "outcome")))
        world.store.write(ledger.uri(2, "outcome"), json.dumps({**body, "nonce": "0" * 32}).encode())
    else:
        world.store.delete(ledger.uri(2, "outcome"))
        for n in (1, 2):
            world.store.delete(ledger.uri(n))


@pytest.mark.parametrize("what", ["gap", "leftover", "truncated", "outcome of another claim", "all entries"])
@pytest.mark.parametrize("pointer", [True, False], ids=["pointer", "no pointer"])
def test_the_reaper_removes_nothing_on_the_word_of_a_damaged_ledger(
    world: ReleaseWorld, what: str, pointer: bool
) -> None:
    """Two addresses have been live; without the newest entry the serving one looks like a host that nobody needs."""
    world.promote(world.model("first"))
    world.promote(world.model("second", base=LITE), run="loop/run-2")
    before = world.hosts()
    damage(world, what)
    if not pointer:
        world.gateways.parameters.delete(world.pointer_name)
    finds = survey_account(
        world.gateways,
        world.store,
        world.root,
        now=world.now() + timedelta(days=400),
        rules=ReapRules(ignore_expiry=True),
        price_of=lambda item, base: None,
    )
    assert {find.action for find in finds if find.kind != "customization-job"} == {"wait"}
    assert any("cannot be relied on" in find.why for find in finds)
    remove_finds(world.gateways, world.store, world.root, finds)
    assert world.hosts() == before


def test_a_ledger_that_is_damaged_between_survey_and_removal_keeps_everything(world: ReleaseWorld) -> None:
    world.promote(world.model("first"))
    world.promote(world.model("second", base=LITE), run="loop/run-2")
    finds = survey_account(
        world.gateways,
        world.store,
        world.root,
        now=world.now() + timedelta(days=3),
        rules=ReapRules(),
        price_of=lambda item, base: None,
    )
    assert any(find.action == "remove" for find in finds), "the host that was replaced"
    before = world.hosts()
    damage(world, "leftover")
    removals = remove_finds(world.gateways, world.store, world.root, finds)
    assert [r.removed for r in removals] == [False] * len(removals)
    assert all("damaged" in r.why for r in removals)
    assert world.hosts() == before
