"""Two workers, and the service, whose clocks are ten minutes apart, either way: leases, deadlines and windows hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.aws.execute import Execution, Pausing, Waiting
from airflow_distill.aws.promotion import look_for_drift, unfinished
from airflow_distill.aws.reap import survey_account
from airflow_distill.errors import ReleaseConflictError
from airflow_distill.operators.deployment import BedrockPromoteModelOperator
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.deployment.reap import ReapRules
from airflow_distill.stages.deployment.records import BakeSettings, ProbeSettings
from airflow_distill.workload.reading import read_workload
from airflow_distill.workload.tasks import window
from tests.release_world import Knows, Rambles, ReleaseWorld, wish_for_throughput

APART = timedelta(minutes=10)
BOTH_WAYS = pytest.mark.parametrize("skew", [APART, -APART], ids=["ahead", "behind"])
LONG_BAKE = BakeSettings(
    probes=8,
    every_seconds=180.0,
    limits=ProbeSettings(prompts=2, shape={"one_of": "references"}, min_score=0.5),
)


@pytest.fixture
def world(bedrock_sandbox: Sandbox) -> ReleaseWorld:
    return ReleaseWorld(bedrock_sandbox, workload="tickets")


def skewed(world: ReleaseWorld, by: timedelta) -> ReleaseWorld:
    """Return the same account as a worker sees it whose clock goes wrong."""
    other = ReleaseWorld.__new__(ReleaseWorld)
    other.__dict__.update(world.__dict__)
    now = world.now
    other.__dict__["now"] = lambda: now() + by
    return other


def meddle(world: ReleaseWorld, run: str = "loop/other") -> bool:
    """Let another run look whether it may end the open release; returns whether it took it over."""
    opened = unfinished(world.gateways, world.store, world.root, world.workload)
    if opened is None:
        return False
    execution = world.execution(opened, run=run, holder=run)
    try:
        execution.turn_back(("it looks dead",), "lease")
    except ReleaseConflictError:
        return False
    return True


@BOTH_WAYS
def test_a_run_that_works_keeps_its_release_from_one_whose_clock_is_ten_minutes_off(
    world: ReleaseWorld, skew: timedelta
) -> None:
    """It wakes every few minutes in a bake period; the other asks all the while, and tells no drift either."""
    world.promote(world.model("first"))
    other = skewed(world, skew)
    mine = world.execution(world.prepare(world.intent(world.decision(world.model("second")), bake=LONG_BAKE)))
    looks = 0
    operator = BedrockPromoteModelOperator(task_id="p", workload="tickets", root=world.root, decision={})
    slice_seconds = operator._slice_seconds()
    while isinstance(reached := mine.advance(), Pausing | Waiting):
        due = reached.until if isinstance(reached, Pausing) else world.now()
        wait = (
            min(slice_seconds, max((due - world.now()).total_seconds(), 1.0)) + 60.0
        )  # and a busy scheduler
        for _ in range(4):
            world.sleep(wait / 4)
            assert not meddle(other)
            _, found = look_for_drift(world.gateways, world.store, world.root, world.workload, other.now())
            assert found == ()
            looks += 1
    assert reached.outcome == "released"
    assert looks > 20


@BOTH_WAYS
def test_a_dead_run_is_taken_over_within_its_lease_and_what_the_clocks_are_apart(
    world: ReleaseWorld, skew: timedelta
) -> None:
    world.promote(world.model("first"))
    dead = world.execution(world.prepare(world.intent(world.decision(world.model("second")))))
    assert isinstance(dead.advance(), Pausing)
    other, waited = skewed(world, skew), timedelta()
    while not meddle(other):
        world.sleep(30)
        waited += timedelta(seconds=30)
        assert waited < timedelta(hours=1)
    assert timedelta(minutes=4) <= waited <= timedelta(minutes=26)
    with pytest.raises(ReleaseConflictError):
        dead.advance()


@BOTH_WAYS
def test_a_release_whose_owner_was_taken_over_by_a_clock_that_is_wrong_is_still_whole(
    world: ReleaseWorld, skew: timedelta
) -> None:
    """However wrong it is: the fence, not the clock, keeps two workers apart."""
    world.promote(world.model("first"))
    mine = world.execution(world.prepare(world.intent(world.decision(world.model("second")))))
    assert isinstance(mine.advance(), Pausing)
    wild = skewed(world, skew * 100)
    taken = meddle(wild)
    world.sleep(61)
    if taken:
        with pytest.raises(ReleaseConflictError):
            mine.advance()
        opened = unfinished(wild.gateways, wild.store, wild.root, wild.workload)
        assert opened is not None
        wild.to_the_end(wild.execution(opened, run="loop/other", holder="loop/other"))
    else:
        world.to_the_end(mine)
    _, found = look_for_drift(world.gateways, world.store, world.root, world.workload, world.now())
    assert found == ()


@BOTH_WAYS
@pytest.mark.parametrize("brain", [Knows(), Rambles()], ids=["good", "bad"])
def test_a_release_by_a_worker_whose_clock_is_off_ends_as_any_other(
    world: ReleaseWorld, skew: timedelta, brain: Any
) -> None:
    """Hosts are dated by the service: a swap counts as stuck neither at once nor never."""
    world.sandbox.world.set_pace("seconds:120")
    off = skewed(world, skew)
    wish = wish_for_throughput(world.now())
    first = off.promote(off.model("first"), wish=wish)
    assert first.outcome == "released"
    prepared = off.prepare(off.intent(off.decision(off.model("second", brain)), wish=wish))
    execution: Execution = off.execution(prepared, patience=timedelta(minutes=30))
    assert off.to_the_end(execution).outcome == ("released" if isinstance(brain, Knows) else "rolled_back")


@BOTH_WAYS
def test_a_stuck_host_is_given_up_after_its_patience_and_what_the_clocks_are_apart(
    world: ReleaseWorld, skew: timedelta
) -> None:
    world.sandbox.faults.add("stuck", operation="CreateProvisionedModelThroughput")
    off, patience = skewed(world, skew), timedelta(minutes=30)
    prepared = off.prepare(
        off.intent(off.decision(off.model("first")), wish=wish_for_throughput(world.now()))
    )
    execution = off.execution(prepared, patience=patience)
    began = world.now()
    outcome = off.to_the_end(execution)
    assert outcome.outcome == "rolled_back"
    assert patience - timedelta(minutes=1) <= world.now() - began <= patience + APART + timedelta(minutes=2)


@BOTH_WAYS
def test_the_reaper_of_a_worker_whose_clock_is_off_keeps_what_is_in_use(
    world: ReleaseWorld, skew: timedelta
) -> None:
    """Grace and leases are longer than what the clocks are apart."""
    world.promote(world.model("first"))
    mine = world.execution(world.prepare(world.intent(world.decision(world.model("second")))))
    mine.advance()
    finds = survey_account(
        world.gateways,
        world.store,
        world.root,
        now=world.now() + skew,
        rules=ReapRules(),
        price_of=lambda item, base: None,
    )
    assert not [find for find in finds if find.action == "remove"]


# Windows.

FILE = Path(__file__).parents[2] / "dags/workloads/support_tickets.yaml"


def rendered(run_after: datetime, **logs: Any) -> tuple[datetime, datetime]:
    """Render a run's window as Airflow does."""
    from types import SimpleNamespace

    import jinja2

    run = SimpleNamespace(run_after=run_after, partition_date=None)
    macros = SimpleNamespace(timedelta=timedelta)
    told = [
        jinja2.Template(text).render(dag_run=run, params={}, macros=macros)
        for text in window(read_workload(FILE, {"logs": logs} if logs else {}))
    ]
    start, end = (datetime.fromisoformat(text) for text in told)
    return start, end


@BOTH_WAYS
def test_windows_of_a_scheduler_whose_clock_is_off_meet_and_end_before_what_may_still_be_delivered(
    skew: timedelta,
) -> None:
    """Every minute of the service's time is in one window, and is whole when that window is read."""
    late = timedelta(hours=1)
    delivery = timedelta(minutes=45)
    begin = datetime(2026, 11, 23, 3, tzinfo=UTC)
    ends = []
    for day in range(14):
        fires = begin + timedelta(days=day)  # by the scheduler's clock, which writes it into the run
        start, end = rendered(fires, window="1d")
        by_the_service = fires - skew
        assert end + delivery <= by_the_service, "what is read has been delivered"
        assert end <= fires - late
        assert not ends or start == ends[-1], "no hour is left out and none is read twice"
        ends.append(end)
