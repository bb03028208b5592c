"""A model of two roots in one account: promotions, rollbacks, kills, late approvals, deletions by hand, time that passes.

After every step the invariants are checked: what serves was proven against what it replaced, or the release is open and
told; pointer, ledger and host agree, or drift names it; nothing of the other root was touched; every host has an owner. Run
`python -m pytest tests/chaos -s` to see steps and cases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
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
from airflow_distill.errors import DistillError
from airflow_distill.remote.identity import TAG_ROOT, TAG_WORKLOAD
from airflow_distill.sandbox import Sandbox
from tests.release_world import Guesses, Killed, Knows, Life, Rambles, ReleaseWorld

ROOTS = ("s3://distill-sandbox/prod", "s3://distill-sandbox/staging")
GOOD = Knows
COUNTS: Counter[str] = Counter()


class Releases(RuleBasedStateMachine):
    """Two roots of one workload; what each step may change is one root."""

    sandbox: Sandbox

    def __init__(self) -> None:
        super().__init__()
        self.brains: dict[str, type] = {}
        self.late: dict[str, dict[str, Any]] = {}
        self.meddled: set[str] = set()
        self.number = 0
        self.worlds: dict[str, ReleaseWorld] = {}

    @initialize()
    def begin(self) -> None:
        self.sandbox.reset()
        self.worlds = {root: ReleaseWorld(self.sandbox, workload="tickets", root=root) for root in ROOTS}
        COUNTS["cases"] += 1

    def candidate(self, root: str, brain: type) -> dict[str, Any]:
        self.number += 1
        model = self.worlds[root].model(f"{root[-4:]}-{self.number}", brain())
        self.brains[model] = brain
        return self.worlds[root].decision(model)

    def attempt(self, root: str, act: Any, dies_at: int = 0) -> None:
        """Act in a process of its own, which may die; the other root must stay as it was."""
        COUNTS["steps"] += 1
        other = self.worlds[next(r for r in ROOTS if r != root)]
        before = (other.pointer(), self.serving(other), len(other.ledger.survey().entries))
        world = self.worlds[root]
        world.gateways = world.new_gateways(Life(dies_at))
        try:
            act(world)
        except Killed:
            COUNTS["kills"] += 1
        except DistillError:
            COUNTS["refusals"] += 1
        world.gateways = world.new_gateways()
        assert (other.pointer(), self.serving(other), len(other.ledger.survey().entries)) == before

    def serving(self, world: ReleaseWorld) -> dict[str, str]:
        found = {}
        for arn in world.hosts():
            tags = world.gateways.bedrock.tags(arn)
            if tags.get(TAG_ROOT, "").endswith(world.root):
                found[arn] = str(world.gateways.bedrock.get_deployment(arn)["modelArn"])
        return found

    @rule(
        root=st.sampled_from(ROOTS),
        brain=st.sampled_from((Knows, Knows, Rambles, Guesses)),
        dies=st.integers(0, 25),
    )
    def promote(self, root: str, brain: type, dies: int) -> None:
        decision = self.candidate(root, brain)
        self.attempt(root, lambda w: w.carry_out(w.intent(decision, run=f"loop/{self.number}")), dies)

    @rule(root=st.sampled_from(ROOTS), brain=st.sampled_from((Knows, Rambles)))
    def wait_for_an_approval(self, root: str, brain: type) -> None:
        if not self.worlds[root].ledger.survey().flaws:
            self.late[root] = self.candidate(root, brain)

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def promote_what_was_approved_late(self, data: st.DataObject) -> None:
        root = data.draw(st.sampled_from(sorted(self.late)))
        decision = self.late.pop(root)
        self.attempt(root, lambda w: w.carry_out(w.intent(decision, run="loop/late")))

    @rule(root=st.sampled_from(ROOTS), dies=st.integers(0, 12))
    def roll_back(self, root: str, dies: int) -> None:
        self.attempt(root, lambda w: w.carry_out(w.back(run=f"person/{self.number}")), dies)

    @rule(root=st.sampled_from(ROOTS))
    def resume(self, root: str) -> None:
        def finish(world: ReleaseWorld) -> None:
            opened = unfinished(world.gateways, world.store, world.root, world.workload)
            if opened is not None:
                world.to_the_end(world.execution(opened, run="cli/ann", holder="ann", force=True))

        self.attempt(root, finish)

    @rule(minutes=st.sampled_from((1, 20)))
    def let_time_pass(self, minutes: int) -> None:
        self.sandbox.clock.advance(minutes * 60)

    @rule(root=st.sampled_from(ROOTS), what=st.sampled_from(("host", "pointer", "ledger")))
    def delete_by_hand(self, root: str, what: str) -> None:
        world = self.worlds[root]
        live = world.ledger.survey().live()
        if live is None or self.meddled:
            return
        self.meddled.add(root)
        COUNTS["deletions"] += 1
        if what == "host":
            world.gateways.bedrock.delete_deployment(live.host_arn)
        elif what == "pointer":
            world.gateways.parameters.delete(world.pointer_name)
        else:
            for item in list(world.store.iter_objects(f"{world.ledger.prefix}{live.release:06d}.")):
                world.store.delete(item.uri)

    @invariant()
    def what_serves_was_proven_or_is_open_and_told(self) -> None:
        for root, world in self.worlds.items():
            standing, found = look_for_drift(
                world.gateways, world.store, root, world.workload, self.sandbox.clock.now()
            )
            if root in self.meddled:
                continue
            history = standing.history
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
    def every_host_has_an_owner(self) -> None:
        for world in list(self.worlds.values())[:1]:
            for arn in world.hosts():
                tags = world.gateways.bedrock.tags(arn)
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
def test_whatever_happens_for_long_production_is_proven_or_open_and_told(machine: type[Releases]) -> None:
    run(machine, cases=40, steps=20)
    assert COUNTS["kills"] >= 10
