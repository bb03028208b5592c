"""A model of two roots and two Airflows in one account, in which everything that can happen to releases happens.

Promotions, rollbacks and repairs of either Airflow, each killed at any call; turns that are taken, given up and woken
without; deletions and changes by hand (host, pointer, ledger, notes, holds, tags, models, another tool's pointer); models
and datasets that expire; late and repeated approvals; the reaper of either root; time, and clocks that are wrong.

After every step the invariants are checked: what serves was proven against what it replaced, or the release is open and
told; pointer, ledger and host agree, or drift names what differs and the command that mends it; nothing of the other root
was touched; every host has an owner; what is live was not reaped. Run `python -m pytest tests/chaos -s` to see steps and
cases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from airflow_distill.aws.promotion import look_for_drift, unfinished
from airflow_distill.aws.reap import remove_finds, survey_account
from airflow_distill.aws.repair import mend
from airflow_distill.errors import DistillError
from airflow_distill.remote.identity import TAG_ROOT, TAG_WORKLOAD, runner_name
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.deployment.reap import ReapRules
from airflow_distill.workload.turn import Runner, Turns
from tests.release_world import LITE, MICRO, Guesses, Killed, Knows, Life, Rambles, ReleaseWorld

ROOTS = ("s3://distill-sandbox/prod", "s3://distill-sandbox/staging")
AIRFLOWS = ("9f3ab0c2d4e5f607", "0011223344556677")
GOOD = Knows
COUNTS: Counter[str] = Counter()
roots, airflows = st.sampled_from(ROOTS), st.sampled_from(AIRFLOWS)
skews = st.sampled_from((0, 0, 0, 600, -600))
"""Seconds by which a worker's clock is wrong."""


class Releases(RuleBasedStateMachine):
    """Two roots of one workload, two Airflows that may work on either; what each step may change is one root."""

    sandbox: Sandbox

    def __init__(self) -> None:
        super().__init__()
        self.brains: dict[str, type] = {}
        self.late: dict[str, list[dict[str, Any]]] = {}
        self.done: dict[str, list[dict[str, Any]]] = {}
        self.meddled: dict[str, str] = {}
        self.called: dict[str, str] = {}
        self.asleep: list[tuple[str, Any]] = []
        self.unhelpful: list[str] = []
        self.number = 0
        self.worlds: dict[str, ReleaseWorld] = {}

    @initialize(live=st.sampled_from((ROOTS, ROOTS, ROOTS[:1], ())))
    def begin(self, live: tuple[str, ...]) -> None:
        self.sandbox.reset()
        self.worlds = {root: ReleaseWorld(self.sandbox, workload="tickets", root=root) for root in ROOTS}
        self.late, self.done = {root: [] for root in ROOTS}, {root: [] for root in ROOTS}
        COUNTS["cases"] += 1
        for root in live:
            self.promote(root, AIRFLOWS[0], Knows, MICRO, 0, 0)

    # What a step is.

    def candidate(self, root: str, brain: type, base: str = MICRO) -> dict[str, Any]:
        self.number += 1
        model = self.worlds[root].model(f"{root[-4:]}-{self.number}", brain(), base)
        self.brains[model] = brain
        return self.worlds[root].decision(model)

    def all_of(self, root: str) -> tuple[Any, ...]:
        world = self.worlds[root]
        raw = world.gateways.parameters.get(world.pointer_name)
        ledger = [(item.uri, item.size) for item in world.store.iter_objects(world.ledger.prefix)]
        return raw, self.serving(world), ledger

    def attempt(self, root: str, act: Any, dies_at: int = 0, skew: int = 0) -> None:
        """Act in a process of its own, which may die; the other root must stay as it was."""
        COUNTS["steps"] += 1
        other = next(r for r in ROOTS if r != root)
        before = self.all_of(other)
        world = self.worlds[root]
        world.gateways = world.new_gateways(Life(dies_at))
        if skew:
            world.__dict__["now"] = lambda: self.sandbox.clock.now() + timedelta(seconds=skew)
        try:
            act(world)
        except Killed:
            COUNTS["kills"] += 1
        except DistillError as error:
            COUNTS["refusals"] += 1
            self.unhelpful += [] if error.hint else [error.message]
        finally:
            world.__dict__.pop("now", None)
            world.gateways = world.new_gateways()
        assert self.all_of(other) == before

    def serving(self, world: ReleaseWorld) -> dict[str, str]:
        found = {}
        for arn in world.hosts():
            tags = world.gateways.bedrock.tags(arn)
            if tags.get(TAG_ROOT, "").endswith(world.root):
                found[arn] = str(world.gateways.bedrock.get_deployment(arn)["modelArn"])
        return found

    def run_name(self, airflow: str) -> str:
        return runner_name(f"loop/run-{self.number}", airflow)

    # Runs.

    @rule(
        root=roots,
        airflow=airflows,
        brain=st.sampled_from((Knows, Knows, Knows, Rambles, Guesses)),
        base=st.sampled_from((MICRO, MICRO, LITE)),
        dies=st.integers(0, 60),
        skew=skews,
    )
    def promote(self, root: str, airflow: str, brain: type, base: str, dies: int, skew: int) -> None:
        decision = self.candidate(root, brain, base)
        self.done[root].append(decision)
        run = self.run_name(airflow)
        self.attempt(root, lambda w: w.carry_out(w.intent(decision, run=run)), dies, skew)

    @rule(root=roots, brain=st.sampled_from((Knows, Rambles)))
    def wait_for_an_approval(self, root: str, brain: type) -> None:
        if not self.worlds[root].ledger.survey().flaws:
            self.late[root].append(self.candidate(root, brain))

    @precondition(lambda self: any(self.late.values()))
    @rule(data=st.data(), airflow=airflows, dies=st.integers(0, 60))
    def promote_what_was_approved_late(self, data: st.DataObject, airflow: str, dies: int) -> None:
        root = data.draw(st.sampled_from([root for root in ROOTS if self.late[root]]))
        decision = data.draw(st.sampled_from(self.late[root]))
        self.done[root].append(decision)
        COUNTS["late approvals"] += 1
        self.attempt(root, lambda w: w.carry_out(w.intent(decision, run=self.run_name(airflow))), dies)

    @precondition(lambda self: any(self.done.values()))
    @rule(data=st.data(), airflow=airflows)
    def promote_a_decision_again(self, data: st.DataObject, airflow: str) -> None:
        """Its task is cleared, long after, perhaps in the other Airflow."""
        root = data.draw(st.sampled_from([root for root in ROOTS if self.done[root]]))
        decision = data.draw(st.sampled_from(self.done[root]))
        self.attempt(root, lambda w: w.carry_out(w.intent(decision, run=self.run_name(airflow))))

    @rule(root=roots, dies=st.integers(0, 40))
    def roll_back(self, root: str, dies: int) -> None:
        self.attempt(root, lambda w: w.carry_out(w.back(run=f"person/{self.number}")), dies)

    @rule(root=roots, dies=st.integers(0, 30), back=st.booleans())
    def resume(self, root: str, dies: int, back: bool) -> None:
        def finish(world: ReleaseWorld) -> None:
            opened = unfinished(world.gateways, world.store, world.root, world.workload)
            if opened is not None:
                execution = world.execution(opened, run="cli/ann", holder="ann", force=True)
                if back:
                    execution.turn_back(("ann asked",), "person")
                world.to_the_end(execution)

        self.attempt(root, finish, dies)

    @rule(root=roots, dies=st.integers(0, 40), person=st.sampled_from(("ann", "bob")))
    def repair(self, root: str, dies: int, person: str) -> None:
        def put_right(world: ReleaseWorld) -> None:
            now = world.now()
            _, found = look_for_drift(world.gateways, world.store, root, world.workload, now)
            if not found:
                return
            again = mend(world.gateways, world.store, root, world.workload, found, person, now)
            if again is not None:
                world.to_the_end(world.execution(again[0], run=f"cli/{person}", holder=person))
            COUNTS["repairs"] += 1

        self.attempt(root, put_right, dies)

    @rule(root=roots, airflow=airflows, base=st.sampled_from((MICRO, LITE)))
    def fall_asleep(self, root: str, airflow: str, base: str) -> None:
        """A run stops in the middle of its release, with everything it knows."""
        if self.meddled.get(root):
            return

        def begin(world: ReleaseWorld) -> None:
            decision = self.candidate(root, Knows, base)
            run = self.run_name(airflow)
            execution = world.execution(world.prepare(world.intent(decision, run=run)), run=run)
            execution.advance()
            self.asleep.append((root, execution))

        self.attempt(root, begin)

    @precondition(lambda self: self.asleep)
    @rule(data=st.data())
    def wake(self, data: st.DataObject) -> None:
        """It goes on as if nothing had happened; if its release was ended or taken meanwhile, it changes nothing."""
        number = data.draw(st.integers(0, len(self.asleep) - 1))
        root, execution = self.asleep.pop(number)
        COUNTS["woken"] += 1
        entry = execution.entry.release
        history = self.worlds[root].ledger.survey()
        present = history.entry(entry.release)
        lost = present is None or present.release.nonce != entry.nonce or present.outcome is not None
        before = self.all_of(root)
        self.attempt(root, lambda w: w.to_the_end(execution))
        if lost:
            assert self.all_of(root)[:2] == before[:2], "a run that had lost its release changed production"

    @rule(root=roots, airflow=airflows, base=st.sampled_from(("3", "5")))
    def take_turns(self, root: str, airflow: str, base: str) -> None:
        """Two Airflows take turns; at no time do two runs have it."""
        world = self.worlds[root]
        turns, me = Turns(world.store, root, "tickets"), Runner("loop", f"run-{base}", "take_turn", airflow)
        turn = turns.take(me, "20260101T000000Z", lambda other: other.airflow != airflow)
        COUNTS["steps"] += 1
        if turn.runner == me:
            assert turns.lost_to(me) is None
            turns.end(turn.number)
        else:
            assert turn.runner.airflow != airflow

    # Time and hands.

    @rule(minutes=st.sampled_from((1, 20, 60 * 24 * 3)), expired=st.sampled_from((None, *ROOTS)))
    def let_time_pass(self, minutes: int, expired: str | None) -> None:
        """After days, a lifecycle rule on `datasets/` has done its work, as the production page allows it."""
        self.sandbox.clock.advance(minutes * 60)
        if minutes > 60 and expired:
            self.expire_datasets(expired)

    @rule(root=roots, days=st.sampled_from((0, 2, 400)))
    def reap(self, root: str, days: int) -> None:
        def remove(world: ReleaseWorld) -> None:
            live = world.ledger.survey().live()
            history = world.ledger.survey()
            named = {live.host_arn} if live and not history.flaws else set()
            named |= {self.called[root]} if root in self.called else set()
            before = {arn for arn in named if arn in world.hosts()}
            finds = survey_account(
                world.gateways,
                world.store,
                root,
                now=world.now() + timedelta(days=days),
                rules=ReapRules(),
                price_of=lambda item, base: None,
            )
            remove_finds(world.gateways, world.store, root, finds)
            COUNTS["reaped"] += sum(find.action == "remove" for find in finds)
            assert before <= set(world.hosts()), "the reaper took what is live"

        self.attempt(root, remove)

    def expire_datasets(self, root: str) -> None:
        world = self.worlds[root]
        COUNTS["expiries"] += 1
        for item in list(world.store.iter_objects(f"{root}/tickets/datasets/")):
            world.store.delete(item.uri)
        world.dataset_id = world.write_dataset()

    def untouched(self) -> list[str]:
        """Return the roots that have something live and that nobody has meddled with."""
        found = [root for root in ROOTS if not self.meddled.get(root)]
        return [root for root in found if self.worlds[root].ledger.survey().live() is not None]

    @precondition(lambda self: self.untouched())
    @rule(
        data=st.data(),
        what=st.sampled_from(
            (
                "host",
                "pointer",
                "entry",
                "outcome",
                "notes",
                "holds",
                "truncated",
                "tags",
                "model",
                "tool",
                "swap",
                "wiped",
            )
        ),
    )
    def meddle(self, data: st.DataObject, what: str) -> None:
        """A person or another tool changes something by hand."""
        root = data.draw(st.sampled_from(self.untouched()))
        world = self.worlds[root]
        live = world.ledger.survey().live()
        assert live is not None
        COUNTS["meddling"] += 1
        self.meddled[root] = what
        uri = world.ledger.uri(live.release)
        if what == "host" and live.host_arn in world.hosts():
            world.gateways.bedrock.delete_deployment(live.host_arn)
        elif what == "pointer":
            world.gateways.parameters.delete(world.pointer_name)
        elif what == "wiped":
            self.called[root] = live.host_arn
            world.gateways.parameters.delete(world.pointer_name)
            for item in list(world.store.iter_objects(world.ledger.prefix)):
                world.store.delete(item.uri)
        elif what == "tool":
            world.gateways.parameters.put(world.pointer_name, "arn:elsewhere")
        elif what == "entry":
            world.store.delete(uri)
        elif what == "outcome":
            world.store.delete(world.ledger.uri(live.release, "outcome"))
        elif what == "truncated":
            world.store.write(uri, world.store.read(uri)[:100])
        elif what in ("notes", "holds"):
            kind = ".hold-" if what == "holds" else ".probe-"
            for item in list(world.store.iter_objects(world.ledger.prefix)):
                if kind in item.uri:
                    world.store.delete(item.uri)
        elif what == "tags" and live.host_arn in world.hosts():
            keys = [TAG_ROOT, TAG_WORKLOAD]
            world.client("bedrock").untag_resource(resourceARN=live.host_arn, tagKeys=keys)
        elif what == "swap" and live.host_arn in world.hosts():
            base = live.target.model_arn.split("/")[1]
            model = world.model(f"by-hand-{self.number}", Rambles(), base)
            world.client("bedrock").update_custom_model_deployment(
                customModelDeploymentIdentifier=live.host_arn, modelArn=model
            )

    # What must hold.

    @invariant()
    def what_serves_was_proven_or_is_open_and_told(self) -> None:
        for root, world in self.worlds.items():
            standing, found = look_for_drift(
                world.gateways, world.store, root, world.workload, self.sandbox.clock.now()
            )
            assert all(each.mend and each.said for each in found)
            history = standing.history
            if self.meddled.get(root):
                if not found and not history.flaws and history.open is None:
                    self.meddled.pop(root)
                    COUNTS["mended"] += 1
                else:
                    continue
            assert history.flaws == ()
            opened = history.open is not None
            assert opened or not found, [str(each) for each in found]
            models = set(self.serving(world).values())
            broken = {model for model in models if self.brains.get(model) is not GOOD}
            assert not broken or opened, "a model that failed its checks serves, and no release is open"
            for entry in history.entries:
                if entry.outcome is not None and entry.outcome.outcome == "released":
                    assert self.brains[entry.release.target.model_arn] is GOOD
                    if entry.release.action == "promote":
                        before = history.live(before=entry.release.release)
                        assert entry.release.judged_against.release == (before.release if before else None)

    @invariant()
    def whoever_is_refused_is_told_what_to_do(self) -> None:
        assert self.unhelpful == []

    @invariant()
    def every_host_has_an_owner(self) -> None:
        for world in list(self.worlds.values())[:1]:
            for arn in world.hosts():
                tags = world.gateways.bedrock.tags(arn)
                if "tags" in self.meddled.values() and TAG_ROOT not in tags:
                    continue
                assert tags.get(TAG_WORKLOAD) == "tickets"
                assert any(tags.get(TAG_ROOT, "").endswith(root) for root in ROOTS)


@pytest.fixture
def machine(bedrock_sandbox: Sandbox) -> Iterator[type[Releases]]:
    COUNTS.clear()
    yield type("Machine", (Releases,), {"sandbox": bedrock_sandbox})
    print("\n" + ", ".join(f"{count} {what}" for what, count in sorted(COUNTS.items())))


def run(machine: type[Releases], cases: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=cases,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_whatever_happens_production_is_proven_or_open_and_told(machine: type[Releases]) -> None:
    run(machine, cases=10, steps=12)
    assert COUNTS["steps"] >= 5


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_whatever_happens_for_long_production_is_proven_or_open_and_told(machine: type[Releases]) -> None:
    run(machine, cases=50, steps=25)
    assert COUNTS["kills"] >= 10
    assert COUNTS["meddling"] >= 5
