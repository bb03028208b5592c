"""Releases against the sandbox: one address, a way back, nothing twice."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from airflow_distill.aws.execute import Pausing, Waiting
from airflow_distill.aws.promotion import look_for_drift, unfinished
from airflow_distill.errors import (
    BudgetError,
    ConfigurationError,
    DeploymentError,
    DistillError,
    ReleaseConflictError,
    ServiceAccessError,
)
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.deployment.records import HostWish
from tests.release_world import (
    LITE,
    Guesses,
    Killed,
    Knows,
    Life,
    Rambles,
    ReleaseWorld,
    wish_for_throughput,
)


@pytest.fixture
def world(bedrock_sandbox: Sandbox) -> ReleaseWorld:
    return ReleaseWorld(bedrock_sandbox)


def test_a_first_promotion_makes_a_host_and_publishes_a_ready_made_call(world: ReleaseWorld) -> None:
    model = world.model("first")
    outcome = world.promote(model)
    assert outcome.outcome == "released"
    pointer = world.pointer()
    assert (pointer["release"], pointer["model_arn"], pointer["host_arn"]) == (1, model, outcome.host_arn)
    call = pointer["call"]["parameters"]
    call["messages"][0]["content"][0]["text"] = "Ticket number 2"
    answer = world.client("bedrock-runtime").converse(**call)
    assert answer["output"]["message"]["content"][0]["text"] == "login"


@pytest.mark.parametrize("kind", ["custom-model-deployment", "provisioned-throughput"])
def test_callers_keep_one_arn_and_see_no_error_while_a_broken_second_student_is_rolled_back(
    world: ReleaseWorld, kind: str
) -> None:
    """The second student passes the smoke test's shape and fails the bake period's score."""
    world.sandbox.world.set_pace("reads:2")
    wish = wish_for_throughput(world.now()) if kind == "provisioned-throughput" else HostWish(kind=kind)  # type: ignore[arg-type]
    first, second = world.model("first", Knows()), world.model("second", Guesses())
    address = world.promote(first, wish=wish).host_arn
    errors: list[Exception] = []
    answers: list[str] = []
    with polling(world, address, answers, errors):
        outcome = world.promote(second, wish=wish)
    assert outcome.outcome == "rolled_back"
    assert "agreement with the held-out answers" in outcome.why[0]
    assert not errors
    assert {"login", "shipping"} <= set(answers), "callers saw the second student, then the first again"
    assert world.hosts() == [address]
    assert world.pointer()["host_arn"] == address
    assert world.pointer()["model_arn"] == first
    live = world.ledger.read().live()
    assert live is not None
    assert (live.release, live.target.model_arn, live.host_arn) == (1, first, address)
    assert answer(world, address) == "login"


def test_two_good_students_one_after_the_other_keep_the_address(world: ReleaseWorld) -> None:
    first = world.promote(world.model("first"))
    second = world.promote(world.model("second"))
    assert (first.host_arn, second.outcome) == (second.host_arn, "released")
    assert world.hosts() == [first.host_arn]
    tags = world.gateways.bedrock.tags(second.host_arn)
    assert tags["airflow-distill:release"] == "2"
    assert tags["airflow-distill:workload"] == "support_tickets"
    assert {"airflow-distill:run", "airflow-distill:owner", "airflow-distill:expires-at"} <= set(tags)


def test_a_model_that_cannot_answer_in_shape_never_gets_a_pointer(world: ReleaseWorld) -> None:
    outcome = world.promote(world.model("first", Rambles()))
    assert outcome.outcome == "rolled_back"
    assert outcome.why[0].startswith("smoke test: 4 of 4 answers lack the expected shape")
    assert world.pointer() == {}
    assert world.hosts() == []
    assert world.ledger.read().live() is None


def test_an_update_that_the_service_fails_leads_back(world: ReleaseWorld) -> None:
    first = world.model("first")
    address = world.promote(first).host_arn
    world.sandbox.faults.add("fail", operation="UpdateCustomModelDeployment", message="no capacity")
    outcome = world.promote(world.model("second"))
    assert outcome.outcome == "rolled_back"
    assert "no capacity" in outcome.why[0]
    assert world.pointer()["model_arn"] == first
    assert answer(world, address) == "login"


def test_a_throughput_update_that_the_service_fails_leads_back(world: ReleaseWorld) -> None:
    wish = wish_for_throughput(world.now())
    first = world.model("first")
    address = world.promote(first, wish=wish).host_arn
    fault = {"operation": "UpdateProvisionedModelThroughput", "message": "no capacity", "count": 1}
    world.sandbox.faults.add("fail", **fault)
    outcome = world.promote(world.model("second"), wish=wish)
    assert outcome.outcome == "rolled_back"
    assert "no capacity" in outcome.why[0]
    assert world.pointer()["host_arn"] == address
    found = world.sandbox.client("bedrock").get_provisioned_model_throughput(provisionedModelId=address)
    assert (found["status"], found["modelArn"]) == ("InService", first)


def test_another_base_model_gets_a_new_address_and_the_old_host_is_marked(world: ReleaseWorld) -> None:
    first = world.promote(world.model("first"))
    second = world.promote(world.model("second", base=LITE))
    assert second.host_arn != first.host_arn
    assert world.pointer()["host_arn"] == second.host_arn
    tags = world.gateways.bedrock.tags(first.host_arn)
    assert tags["airflow-distill:temporary"] == "true", "the reaper may take it after the grace period"


def test_a_broken_model_on_a_new_host_leaves_the_old_host_alone(world: ReleaseWorld) -> None:
    first = world.promote(world.model("first"))
    second = world.promote(world.model("second", Rambles(), base=LITE))
    assert second.outcome == "rolled_back"
    assert world.hosts() == [first.host_arn]
    assert world.pointer()["host_arn"] == first.host_arn
    assert "airflow-distill:temporary" not in world.gateways.bedrock.tags(first.host_arn)


def test_asking_for_the_same_promotion_again_changes_nothing(world: ReleaseWorld) -> None:
    model = world.model("first")
    first = world.promote(model)
    before = world.sandbox.meter()["calls"]
    again = world.promote(model)
    assert again == first
    calls = world.sandbox.meter()["calls"]
    changed = {name for name in calls if calls[name] != before.get(name)}
    assert not {
        name for name in changed if name.startswith(("Create", "Update", "Delete", "Tag", "Converse"))
    }


def test_a_promotion_that_was_superseded_is_not_brought_back_by_clearing_its_task(
    world: ReleaseWorld,
) -> None:
    first, second = world.model("first"), world.model("second")
    world.promote(first)
    world.promote(second)
    assert world.promote(first).outcome == "released"
    assert world.pointer()["model_arn"] == second


def test_rollback_is_a_release_of_an_older_entry(world: ReleaseWorld) -> None:
    first, second = world.model("first"), world.model("second")
    address = world.promote(first).host_arn
    world.promote(second)
    outcome = world.carry_out(world.back(why="complaints"))
    assert (outcome.outcome, outcome.release, outcome.host_arn) == ("released", 3, address)
    live = world.ledger.read().live()
    assert live is not None
    assert live.target.model_arn == first
    entry = world.ledger.read().entry(3)
    assert entry is not None
    assert (entry.release.action, entry.release.restores, entry.release.why[0]) == (
        "rollback",
        1,
        "complaints",
    )
    assert world.pointer()["model_arn"] == first


def test_a_rollback_to_a_model_that_was_deleted_is_refused(world: ReleaseWorld) -> None:
    first = world.model("first")
    world.promote(first)
    world.promote(world.model("second"))
    world.gateways.bedrock.delete_custom_model(first)
    with pytest.raises(DeploymentError, match="does not exist any more"):
        world.carry_out(world.back())
    assert len(world.ledger.read().entries) == 2


# Killed and run again.


SECONDS_OF_THE_TEST = 0.5
"""USD that may differ, because real seconds pass; a host bought twice would add 15 in the hour that is let pass."""

MATRIX = [
    ("custom-model-deployment", Knows()),
    ("custom-model-deployment", Guesses()),
    ("custom-model-deployment", Rambles()),
    ("provisioned-throughput", Knows()),
    ("provisioned-throughput", Guesses()),
]


def test_killed_at_each_kind_of_call_and_run_again_ends_as_if_undisturbed(bedrock_sandbox: Sandbox) -> None:
    """The second model fails its bake period, so the way back is killed too; one point for each kind of call."""
    undisturbed, points = run_with_kill(bedrock_sandbox, "provisioned-throughput", Guesses(), 0)
    assert len(points) >= 20
    undisturbed["bill"] = pytest.approx(undisturbed["bill"], abs=SECONDS_OF_THE_TEST)
    for number in sorted({points.index(point) + 1 for point in points}):
        ended, _ = run_with_kill(bedrock_sandbox, "provisioned-throughput", Guesses(), number)
        assert ended == undisturbed, f"killed {points[number - 1]} (point {number})"


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "brain"), MATRIX)
def test_killed_at_every_point_and_run_again_ends_as_if_undisturbed(
    bedrock_sandbox: Sandbox, kind: str, brain: Any
) -> None:
    """The process dies before and after each call that changes or costs something; the next one ends in the same state."""
    undisturbed, points = run_with_kill(bedrock_sandbox, kind, brain, 0)
    undisturbed["bill"] = pytest.approx(undisturbed["bill"], abs=SECONDS_OF_THE_TEST)
    for number in range(1, len(points) + 1):
        ended, _ = run_with_kill(bedrock_sandbox, kind, brain, number)
        assert ended == undisturbed, f"killed {points[number - 1]} (point {number})"


def run_with_kill(sandbox: Sandbox, kind: str, brain: Any, dies_at: int) -> tuple[dict[str, Any], list[str]]:
    sandbox.reset()
    sandbox.clock.set("2026-11-20T00:00:00Z")
    world = ReleaseWorld(sandbox)
    wish = wish_for_throughput(world.now()) if kind == "provisioned-throughput" else HostWish(kind=kind)  # type: ignore[arg-type]
    world.promote(world.model("first"), wish=wish)
    intent = world.intent(world.decision(world.model("second", brain)), wish=wish)
    life = Life(dies_at)
    world.gateways = world.new_gateways(life)
    try:
        world.carry_out(intent)
    except Killed:
        world.gateways = world.new_gateways()
        world.carry_out(intent)
    world.sleep(3600)
    hosts = world.hosts()
    calls = sandbox.meter()["calls"]
    made = sum(calls.get(name, {}).get("ok", 0) for name in CREATES)
    history = world.ledger.read()
    return {
        "hosts": len(hosts),
        "made": made,
        "pointer": {k: v for k, v in world.pointer().items() if k in ("release", "model_arn", "host_kind")},
        "live": history.live() and history.live().release,  # type: ignore[union-attr]
        "outcomes": [e.outcome.outcome for e in history.entries if e.outcome],
        "billing": len(sandbox.meter()["billing_now"]),
        "bill": sandbox.meter()["total"],
    }, life.points


CREATES = ("CreateProvisionedModelThroughput", "CreateCustomModelDeployment")


def test_a_first_promotion_killed_at_every_point_buys_one_host(bedrock_sandbox: Sandbox) -> None:
    points = 1
    number = 0
    while number <= points:
        bedrock_sandbox.reset()
        bedrock_sandbox.clock.set("2026-11-20T00:00:00Z")
        world = ReleaseWorld(bedrock_sandbox)
        wish = wish_for_throughput(world.now())
        intent = world.intent(world.decision(world.model("first")), wish=wish)
        life = Life(number)
        world.gateways = world.new_gateways(life)
        try:
            world.carry_out(intent)
        except Killed:
            world.gateways = world.new_gateways()
            assert world.carry_out(intent).outcome == "released"
        if number == 0:
            points = len(life.points)
        assert bedrock_sandbox.meter()["calls"]["CreateProvisionedModelThroughput"] == {"ok": 1}
        assert len(world.hosts()) == 1
        number += 1
    assert points >= 15


def test_a_lost_answer_of_a_create_is_found_by_name(world: ReleaseWorld) -> None:
    world.sandbox.faults.add("lost-answer", operation="CreateCustomModelDeployment", count=1)
    outcome = world.promote(world.model("first"))
    assert outcome.outcome == "released"
    assert len(world.hosts()) == 1


@pytest.mark.parametrize(
    ("fault", "operation", "changes"),
    [
        ("access-denied", "UpdateCustomModelDeployment", {}),
        ("access-denied", "Converse", {}),
        ("access-denied", "Converse", {"smoke": None}),
    ],
    ids=["before the swap", "after the swap", "in the bake period"],
)
def test_a_step_that_fails_for_good_goes_back_in_the_same_call(
    world: ReleaseWorld, fault: str, operation: str, changes: dict[str, Any]
) -> None:
    first = world.model("first")
    address = world.promote(first).host_arn
    decision = world.decision(world.model("second", Rambles()))
    world.sandbox.faults.add(fault, operation=operation, count=1)
    outcome = world.carry_out(world.intent(decision, **changes))
    assert (outcome.outcome, outcome.cause) == ("rolled_back", "failure")
    assert "ServiceAccessError" in outcome.why[0]
    assert serves(world, address) == world.pointer()["model_arn"] == first
    again = world.carry_out(world.intent(world.decision(world.model("third"))))
    assert (again.release, again.outcome) == (3, "released")


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "wait"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "smoke"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "bake"),
        (EOFError(), "publish"),
        (MemoryError(), "smoke"),
        (OSError(errno.ENOSPC, "No space left on device"), "publish"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_task_whose_supervisor_was_killed_turns_nothing_back_and_the_next_try_goes_on(
    world: ReleaseWorld, error: Exception, step: str
) -> None:
    first = world.model("first")
    address = world.promote(first).host_arn
    second = world.model("second")
    intent = world.intent(world.decision(second))

    def has_nobody_to_tell(line: str) -> None:
        if line.startswith(f"done: {step}"):
            raise error

    with pytest.raises(type(error)):
        world.to_the_end(world.execution(world.prepare(intent), progress=has_nobody_to_tell))
    assert world.ledger.sound().open is not None
    before = world.sandbox.calls("UpdateCustomModelDeployment")
    assert world.carry_out(intent).outcome == "released"
    assert world.sandbox.calls("UpdateCustomModelDeployment") == before == 1
    assert serves(world, address) == world.pointer()["model_arn"] == second


def test_a_fault_of_the_code_still_goes_back_at_once(world: ReleaseWorld) -> None:
    first = world.model("first")
    address = world.promote(first).host_arn

    def breaks(line: str) -> None:
        if line.startswith("done: publish pointer: release 2"):
            raise ZeroDivisionError

    execution = world.execution(
        world.prepare(world.intent(world.decision(world.model("second")))), progress=breaks
    )
    assert world.to_the_end(execution).why == ("ZeroDivisionError in the middle of a step",)
    assert serves(world, address) == world.pointer()["model_arn"] == first


@pytest.mark.parametrize("brain", [Knows(), Rambles()], ids=["released", "rolled back"])
def test_a_denial_after_the_end_of_a_release_is_told_as_what_it_is_and_undoes_nothing(
    world: ReleaseWorld, brain: Any
) -> None:
    world.promote(world.model("first"))
    intent = world.intent(world.decision(world.model("second", brain)))

    def deny_from_then_on(line: str) -> None:
        if line.startswith("done: write the ledger"):
            world.sandbox.faults.add("access-denied", operation="ssm:PutParameter")

    execution = world.execution(world.prepare(intent), progress=deny_from_then_on)
    with pytest.raises(ServiceAccessError) as caught:
        world.to_the_end(execution)
    ended = outcomes(world)[-1]
    assert f"Release 2 is {ended}, and stays so; clear this task" in caught.value.hint
    world.sandbox.faults.clear()
    assert world.carry_out(intent).outcome == ended
    assert look_for_drift(world.gateways, world.store, world.root, world.workload, world.now())[1] == ()


def test_a_way_back_that_fails_too_leaves_an_open_release_that_says_so_and_any_run_mends(
    world: ReleaseWorld,
) -> None:
    first = world.model("first")
    address = world.promote(first).host_arn
    second = world.decision(world.model("second", Rambles()))

    def deny_from_then_on(line: str) -> None:
        if line.startswith("against"):
            world.sandbox.faults.add("access-denied", operation="UpdateCustomModelDeployment")

    execution = world.execution(world.prepare(world.intent(second)), progress=deny_from_then_on)
    with pytest.raises(DistillError) as caught:
        world.to_the_end(execution)
    assert "Release 2 is open: done: nothing. Left: update custom-model-deployment" in caught.value.hint
    world.sandbox.faults.clear()
    execution.give_back()
    assert world.promote(world.model("third"), run="loop/next").outcome == "released"
    assert outcomes(world) == ["released", "rolled_back", "released"]
    assert serves(world, address) == world.pointer()["model_arn"]


def test_a_decision_rolled_back_by_a_failure_can_be_promoted_again_and_one_that_failed_its_check_cannot(
    world: ReleaseWorld,
) -> None:
    decision = world.decision(world.model("first"))
    world.sandbox.faults.add("access-denied", operation="Converse", count=1)
    assert world.carry_out(world.intent(decision)).outcome == "rolled_back"
    assert world.carry_out(world.intent(decision)).outcome == "released"
    bad = world.decision(world.model("second", Rambles()))
    assert world.carry_out(world.intent(bad)).cause == "check"
    assert world.carry_out(world.intent(bad)).release == 3, "it finds its own end"


# Two at once.


def test_of_two_promotions_at_once_one_wins_and_the_other_changes_nothing(world: ReleaseWorld) -> None:
    world.promote(world.model("first"))
    world.sandbox.world.set_pace("reads:6")
    second, third = world.model("second"), world.model("third")
    winner = world.execution(world.prepare(world.intent(world.decision(second), run="loop/a")))
    assert isinstance(winner.advance(), Waiting)
    before = world.sandbox.meter()["calls"]
    with pytest.raises(ReleaseConflictError, match="being carried out by run loop/a"):
        world.prepare(world.intent(world.decision(third), run="loop/b"))
    calls = world.sandbox.meter()["calls"]
    assert not {n for n in calls if calls[n] != before.get(n) and n.startswith(("Create", "Update", "Tag"))}
    assert len(world.ledger.read().entries) == 2


def test_two_claims_of_one_number_have_one_winner(world: ReleaseWorld) -> None:
    """Both read the ledger before either writes: the conditional write decides."""
    models = [world.model(f"m{n}") for n in range(4)]
    intents = [world.intent(world.decision(m), run=f"loop/{n}") for n, m in enumerate(models)]
    barrier = threading.Barrier(len(intents))
    results: list[str] = []

    def claim(intent: Any) -> None:
        gateways = world.new_gateways()
        barrier.wait()
        from airflow_distill.aws.promotion import prepare

        try:
            prepare(gateways, gateways.objects, intent, now=world.now())
            results.append("claimed")
        except ReleaseConflictError:
            results.append("conflict")

    threads = [threading.Thread(target=claim, args=(intent,)) for intent in intents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["claimed", "conflict", "conflict", "conflict"]


def test_a_release_whose_run_died_is_rolled_back_by_the_next_one_and_its_owner_stops(
    world: ReleaseWorld,
) -> None:
    first = world.model("first")
    world.promote(first)
    world.sandbox.world.set_pace("reads:6")
    dead = world.execution(world.prepare(world.intent(world.decision(world.model("second")))))
    assert isinstance(dead.advance(), Waiting)
    third = world.decision(world.model("third"))
    with pytest.raises(ReleaseConflictError, match="being carried out by run loop/run-1"):
        world.carry_out(world.intent(third, run="loop/b"))
    world.sleep(16 * 60)
    world.sandbox.world.set_pace("instant")
    assert world.carry_out(world.intent(third, run="loop/b")).outcome == "released"
    assert outcomes(world) == ["released", "rolled_back", "released"]
    assert dead.advance().outcome == "rolled_back"  # type: ignore[union-attr]
    assert world.pointer()["release"] == 3


def test_a_run_that_was_taken_over_does_nothing_more(world: ReleaseWorld) -> None:
    """It still lives, in the middle of its steps; a person has taken its release over."""
    world.promote(world.model("first"))
    mine = world.execution(world.prepare(world.intent(world.decision(world.model("second")))))
    assert isinstance(mine.advance(), Pausing)
    prepared = unfinished(world.gateways, world.store, world.root, world.workload)
    assert prepared is not None
    person = world.execution(prepared, run="cli/ann", holder="ann", force=True)
    person.turn_back(("complaints",), "person")
    world.sleep(600)
    with pytest.raises(ReleaseConflictError, match="taken over by ann"):
        mine.advance()
    assert world.to_the_end(person).why == ("complaints",)


# Held against what is live now.


def test_a_decision_judged_against_another_release_is_held_and_says_against_which_to_evaluate(
    world: ReleaseWorld,
) -> None:
    first, second, late = world.model("first"), world.model("second"), world.model("late")
    stale = world.decision(late)
    world.promote(first)
    with pytest.raises(DeploymentError, match=r"judged against no release .*live is release 1") as caught:
        world.carry_out(world.intent(stale))
    assert "Evaluate again against release 1" in caught.value.hint
    stale = world.decision(world.model("later"))
    world.promote(second)
    with pytest.raises(DeploymentError, match=r"judged against release 1 .*live is release 2"):
        world.carry_out(world.intent(stale))
    assert world.pointer()["model_arn"] == second
    assert len(world.ledger.read().entries) == 2


@pytest.mark.parametrize("claimed", [{"incumbent_release": None}, {"incumbent_host": "arn:elsewhere"}])
def test_a_record_that_names_no_or_another_incumbent_is_held(
    world: ReleaseWorld, claimed: dict[str, Any]
) -> None:
    world.promote(world.model("first"))
    decision = world.decision(world.model("second"), **claimed)
    with pytest.raises(DeploymentError, match="judged against"):
        world.carry_out(world.intent(decision))


def delete_the_host(world: ReleaseWorld) -> None:
    world.gateways.bedrock.delete_deployment(world.hosts()[0])


def swap_the_model(world: ReleaseWorld) -> None:
    world.gateways.bedrock.update_deployment(world.hosts()[0], world.model("smuggled"))


def delete_the_pointer(world: ReleaseWorld) -> None:
    world.gateways.parameters.delete(world.pointer_name)


def wipe_the_ledger(world: ReleaseWorld) -> None:
    for item in list(world.store.iter_objects(world.ledger.prefix)):
        world.store.delete(item.uri)


def lose_the_newest(world: ReleaseWorld) -> None:
    number = world.ledger.read().entries[-1].release.release
    for item in list(world.store.iter_objects(f"{world.ledger.prefix}{number:06d}.")):
        world.store.delete(item.uri)


@pytest.mark.parametrize(
    ("meddle", "said"),
    [
        (delete_the_host, "production is down: the host .* does not exist"),
        (swap_the_model, "serves .*smuggled|the host .* serves"),
        (delete_the_pointer, "the pointer .* does not exist"),
        (wipe_the_ledger, "the pointer remembers release 2, the ledger's newest is none"),
        (lose_the_newest, "the pointer remembers release 2, the ledger's newest is 1"),
    ],
)
def test_nothing_is_promoted_while_ledger_pointer_and_host_differ(
    world: ReleaseWorld, meddle: Any, said: str
) -> None:
    world.promote(world.model("first"))
    world.promote(world.model("second"))
    decision = world.decision(world.model("third", Rambles()))
    hosts, entries = world.hosts(), len(world.ledger.read().entries)
    meddle(world)
    before = (world.pointer(), len(world.ledger.survey().entries))
    with pytest.raises(DistillError, match=said) as caught:
        world.carry_out(world.intent(decision))
    assert "Fix first" in caught.value.hint
    assert (world.pointer(), len(world.ledger.survey().entries)) == before
    assert set(world.hosts()) <= set(hosts)
    assert entries == 2


def test_a_ledger_and_pointer_that_are_both_gone_do_not_make_the_serving_host_fair_game(
    world: ReleaseWorld,
) -> None:
    first = world.model("first")
    address = world.promote(first).host_arn
    wipe_the_ledger(world)
    delete_the_pointer(world)
    with pytest.raises(DeploymentError, match=f"release 1 of this root made the host {address}") as caught:
        world.promote(world.model("second", Rambles()))
    assert "restore `releases/` from the bucket's versions" in caught.value.hint
    assert world.ledger.read().entries == ()
    assert serves(world, address) == first


def test_an_older_window_replaces_a_newer_one_only_when_it_says_so(world: ReleaseWorld) -> None:
    newer = world.write_dataset("2026-11-09T00:00:00Z")
    world.carry_out(world.intent(world.decision(world.model("newer"), dataset_id=newer)))
    old = world.decision(world.model("older"))
    with pytest.raises(DeploymentError, match="live on the window that ends 2026-11-09"):
        world.carry_out(world.intent(old))
    assert world.carry_out(world.intent(old, allow_older=True)).outcome == "released"


def test_the_ledger_keeps_a_running_total_of_what_releases_gave_away(world: ReleaseWorld) -> None:
    world.promote(world.model("first"))
    for number, difference in enumerate((-0.02, -0.01, 0.05, -0.01)):
        intent = world.intent(world.decision(world.model(f"next-{number}")))
        world.carry_out(replace(intent, differences={"exact": difference}))
    totals = [entry.release.given_away.get("exact", 0.0) for entry in world.ledger.read().entries]
    assert totals == [0.0, -0.02, -0.03, 0.0, -0.01]


# Refusals come before anything is paid.


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"ends_at": None}, ConfigurationError, "needs an end date"),
        ({"units": None}, ConfigurationError, "needs model units"),
        ({"hourly_price": None}, ConfigurationError, "needs a stated hourly price"),
        ({"commitment": "OneMonth"}, ConfigurationError, "cannot be ended early"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, ConfigurationError, "has passed"),
        ({"daily_price_cap": 300.0}, BudgetError, "over the cap"),
    ],
)
def test_throughput_that_may_not_be_bought_is_refused_before_any_call_that_costs(
    world: ReleaseWorld, changes: dict[str, Any], error: type[DistillError], said: str
) -> None:
    intent = world.intent(
        world.decision(world.model("first")), wish=wish_for_throughput(world.now(), **changes)
    )
    with pytest.raises(error, match=said):
        world.carry_out(intent)
    assert "CreateProvisionedModelThroughput" not in world.sandbox.meter()["calls"]
    assert world.ledger.read().entries == ()


def test_a_student_that_cannot_have_a_host_is_refused(bedrock_sandbox: Sandbox) -> None:
    world = ReleaseWorld(bedrock_sandbox)
    model = world.model("llama", base="meta.llama3-3-70b-instruct-v1:0:128k")
    with pytest.raises(ConfigurationError, match="cannot be served by provisioned-throughput"):
        world.promote(model, wish=wish_for_throughput(world.now()))
    assert world.hosts() == []


def test_a_decision_that_was_changed_afterwards_is_refused(world: ReleaseWorld) -> None:
    decision = world.decision(world.model("first"))
    world.store.write(decision["decision_uri"], b"{}")
    with pytest.raises(DeploymentError, match="digest differs"):
        world.intent(decision)


def test_a_receipt_that_says_promote_of_a_record_that_holds_is_refused(world: ReleaseWorld) -> None:
    decision = world.decision(world.model("first"), verdict="hold")
    with pytest.raises(DeploymentError, match="says hold of"):
        world.intent({**decision, "verdict": "promote"})


def test_a_hold_is_not_promoted(world: ReleaseWorld) -> None:
    with pytest.raises(DeploymentError, match="not 'promote'"):
        world.intent(world.decision(world.model("first"), verdict="hold"))


def test_a_host_of_somebody_else_under_our_name_is_not_touched(world: ReleaseWorld) -> None:
    model = world.model("first")
    prepared = world.prepare(world.intent(world.decision(model)), dry_run=True)
    name = prepared.plan.target.host.name
    world.client("bedrock").create_custom_model_deployment(modelDeploymentName=name, modelArn=model)
    with pytest.raises(DeploymentError, match="belongs to somebody who does not use this package"):
        world.promote(model)


def test_a_dry_run_changes_nothing(world: ReleaseWorld) -> None:
    prepared = world.prepare(world.intent(world.decision(world.model("first"))), dry_run=True)
    assert prepared.entry is None
    assert [step.kind for step in prepared.plan.steps] == [
        "create-host",
        "wait-for-host",
        "smoke-test",
        "publish-pointer",
        "bake",
        "write-release",
    ]
    assert [step.kind for step in prepared.plan.way_back] == [
        "remove-pointer",
        "delete-host",
        "write-release",
    ]
    assert world.ledger.read().entries == ()
    assert world.hosts() == []


def outcomes(world: ReleaseWorld) -> list[str]:
    return [e.outcome.outcome for e in world.ledger.read().entries if e.outcome]


def serves(world: ReleaseWorld, arn: str) -> str:
    return str(world.gateways.bedrock.get_deployment(arn)["modelArn"])


class polling:
    """Callers that ask the address all the while."""

    def __init__(self, world: ReleaseWorld, arn: str, answers: list[str], errors: list[Exception]) -> None:
        self.world, self.arn, self.answers, self.errors = world, arn, answers, errors
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        client = self.world.client("bedrock-runtime")
        while not self.over.is_set():
            try:
                reply = client.converse(
                    modelId=self.arn, messages=[{"role": "user", "content": [{"text": "Ticket number 2"}]}]
                )
                self.answers.append(reply["output"]["message"]["content"][0]["text"])
            except Exception as error:
                self.errors.append(error)

    def __enter__(self) -> Iterator[None]:
        self.thread.start()
        return iter(())

    def __exit__(self, *problem: object) -> None:
        self.over.set()
        self.thread.join()


def answer(world: ReleaseWorld, arn: str) -> str:
    reply = world.client("bedrock-runtime").converse(
        modelId=arn, messages=[{"role": "user", "content": [{"text": "Ticket number 2"}]}]
    )
    return str(reply["output"]["message"]["content"][0]["text"])
