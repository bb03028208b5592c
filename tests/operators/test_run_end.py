"""How Dag runs end, by Airflow's own state machine: what a person has failed is failed, what was quiet is not.

The tasks that take and end the turn and judge the run are run for real; of the others only the state counts, and what they
leave behind as XComs. `dag.test()` would not do: nobody marks a run there while a task runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.operators.run import Task, cut_off
from airflow_distill.operators.task import SKIPPED_ITSELF
from airflow_distill.sandbox import Sandbox

pytestmark = pytest.mark.airflow

DAGS = Path(__file__).parents[2] / "dags"
REAL = ("take_turn", "end_turn", "end_run")
"""Last parts of the ids of tasks that are run for real."""
PLACE = {"root": "s3://distill-sandbox/loop", "role_arn": "arn:aws:iam::123456789012:role/distill-sandbox"}
WORKLOAD = """\
from airflow_distill.pipelines import build_dag
from airflow_distill.workload.reading import read_workload

dag = build_dag(read_workload({path!r}, {overrides!r}), default_args={{"retries": 0}})
"""
TEXTS = {
    "workload": WORKLOAD.format(path=str(DAGS / "workloads/support_tickets.yaml"), overrides=PLACE),
    "example": (DAGS / "distill_from_invocation_logs.py").read_text().replace("\n):\n", "\n) as dag:\n"),
    "groups": (DAGS / "retrain_on_fresh_logs.py")
    .read_text()
    .replace(
        'Path(__file__).parent / "workloads/support_tickets.yaml"',
        repr(str(DAGS / "workloads/support_tickets.yaml")),
    ),
}
_COUNT = itertools.count(1)
Play = Mapping[str, str]


@dataclass
class Run:
    """One run of a Dag, moved on by hand as a scheduler would."""

    dag: Any
    scheduled: Any
    run: Any
    session: Any
    callback: Any = None
    ran: list[str] = field(default_factory=list)

    def go_on(self, play: Play, until: str = "") -> None:
        """Schedule and play tasks until the run has ended, or until a task is about to run.

        :param play: what becomes of a task: a state, `quiet` (it skips itself); success when not named.
        """
        before = None
        while True:
            self.session.expire_all()
            self.run.dag = self.scheduled
            ready, self.callback = self.run.update_state(session=self.session, execute_callbacks=False)
            self.session.commit()
            if self.run.state in ("success", "failed") or any(ti.task_id == until for ti in ready):
                return
            states = self.states()
            assert ready or states != before, states
            before = states
            for ti in ready:
                self.play(ti, play.get(ti.task_id, "success"))
            self.session.commit()

    def play(self, ti: Any, word: str) -> None:
        from airflow.sdk.definitions.dag import _run_task

        self.ran.append(ti.task_id)
        if ti.task_id.rpartition(".")[2] in REAL and word == "success":
            ti.try_number += 1
            self.session.commit()
            _run_task(ti=ti, task=self.dag.task_dict[ti.task_id], run_triggerer=True)
            return
        if word == "quiet":
            self.push(ti, SKIPPED_ITSELF, True)
        elif word == "success":
            self.push(ti, "return_value", [{"shard": 0}] if "plan" in ti.task_id else {"kind": "played"})
        ti.set_state("skipped" if word == "quiet" else word, session=self.session)

    def push(self, ti: Any, key: str, value: Any) -> None:
        from airflow.models.taskmap import TaskMap
        from airflow.models.xcom import XComModel

        place = {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}
        XComModel.set(key, value, **place, serialize=False, session=self.session)
        if isinstance(value, list):
            self.session.merge(TaskMap(**place, length=len(value), keys=None))

    def begin(self, task_id: str, state: str = "running") -> None:
        for ti in self.instances(task_id):
            ti.set_state(state, session=self.session)
        self.session.commit()

    def mark(self, word: str) -> None:
        """Mark the run as a person does in the UI."""
        from airflow.api.common import mark_tasks

        act = getattr(mark_tasks, f"set_dag_run_state_to_{word}")
        act(dag=self.scheduled, run_id=self.run.run_id, commit=True, session=self.session)
        self.session.commit()

    def instances(self, task_id: str) -> list[Any]:
        return [ti for ti in self.run.get_task_instances(session=self.session) if ti.task_id == task_id]

    def states(self) -> dict[str, str]:
        self.session.expire_all()
        return {ti.task_id: str(ti.state) for ti in self.run.get_task_instances(session=self.session)}


@pytest.fixture
def start(airflow_home: Path, bedrock_environment: Sandbox) -> Iterator[Callable[[str], Run]]:
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.settings import NonScopedSession
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    paths = []
    bedrock_environment.prepare()
    # not the one of this thread, which closes whenever a part of Airflow is done with it
    with NonScopedSession() as session:

        def begin(text: str) -> Run:
            path = airflow_home / "dags" / f"ends_{next(_COUNT)}.py"
            path.write_text(text)
            paths.append(path)
            manager = DagBundlesManager()
            manager.sync_bundles_to_db(session=session)
            session.commit()
            bag = BundleDagBag(dag_folder=str(path), bundle_path=path.parent, bundle_name="dags-folder")
            assert bag.import_errors == {}
            sync_bag_to_db(bag, "dags-folder", None)
            (dag,) = bag.dags.values()
            scheduled = SerializedDagModel.get_dag(dag.dag_id, session=session)
            scheduled.has_on_failure_callback = True
            now = datetime.now(UTC) + timedelta(seconds=next(_COUNT))
            run = scheduled.create_dagrun(
                run_id=f"manual__{now.isoformat()}",
                run_after=now,
                logical_date=now,
                data_interval=(now, now),
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.TEST,
                state="running",
                start_date=now,
                session=session,
            )
            session.commit()
            return Run(dag, scheduled, run, session)

        yield begin
    for path in paths:
        path.unlink()


def open_turns(sandbox: Sandbox) -> list[str]:
    """Return the turns that nobody has given back."""
    listed = sandbox.client("s3").list_objects_v2(
        Bucket="distill-sandbox", Prefix="loop/support_tickets/turns/0"
    )
    keys = [item["Key"] for item in listed.get("Contents", [])]
    return [key for key in keys if ".ended." not in key and key.replace(".json", ".ended.json") not in keys]


def is_told(run: Run) -> bool:
    """Say whether Airflow was asked to call what wants to hear of a failure."""
    return run.callback is not None and run.callback.is_failure_callback


AT = [
    *(
        ("workload", task)
        for task in (
            "start.doctor",
            "start.take_turn",
            "jobs.distill",
            "decision.approve",
            "deployment.promote",
        )
    ),
    *(("example", task) for task in ("harvest", "wait", "deploy", "smoke_test")),
    *(("groups", task) for task in ("tell_counts", "jobs.distill", "deployment.promote")),
]


@pytest.mark.parametrize(("text", "at"), AT)
@pytest.mark.parametrize(
    "meanwhile",
    [
        "running",
        "up_for_retry",
        *(pytest.param(state, marks=pytest.mark.slow) for state in ("deferred", "scheduled")),
    ],
)
def test_a_run_that_a_person_fails_ends_failed_and_is_told(
    start: Callable[[str], Run], bedrock_environment: Sandbox, text: str, at: str, meanwhile: str
) -> None:
    """Whatever its task does at that moment: it works, waits in the triggerer, waits for another try, or for a worker."""
    if at == "tell_counts" and meanwhile in ("up_for_retry", "scheduled"):
        pytest.skip("a task of one's own that was skipped may have skipped itself")
    run = start(TEXTS[text])
    run.go_on({}, until=at)
    run.begin(at, meanwhile)
    run.mark("failed")
    run.go_on({})
    assert run.run.state == "failed", run.states()
    assert is_told(run)
    assert open_turns(bedrock_environment) == []
    if text == "workload":
        assert "end.guard_release" in run.ran or at.startswith("start."), "what it left open is rolled back"


@pytest.mark.parametrize(("text", "at"), AT)
def test_a_run_with_a_task_that_truly_failed_ends_failed_and_is_told(
    start: Callable[[str], Run], bedrock_environment: Sandbox, text: str, at: str
) -> None:
    run = start(TEXTS[text])
    run.go_on({at: "failed"})
    assert run.run.state == "failed", run.states()
    assert is_told(run)
    assert open_turns(bedrock_environment) == []


QUIET = [
    ("workload", "dataset.curate"),
    ("workload", "jobs.check_budget"),
    ("workload", "deployment.promote"),
    ("example", "curate"),
    ("example", "deploy"),
    ("groups", "dataset.curate"),
    ("groups", "deployment.promote"),
]


@pytest.mark.parametrize(("text", "at"), QUIET)
def test_a_quiet_window_ends_as_skipped_and_nobody_is_woken(
    start: Callable[[str], Run], bedrock_environment: Sandbox, text: str, at: str
) -> None:
    run = start(TEXTS[text])
    run.go_on({at: "quiet"})
    assert run.run.state == "success", run.states()
    assert not is_told(run)
    assert run.states()[at] == "skipped"
    assert open_turns(bedrock_environment) == []


def test_a_window_without_any_log_object_ends_as_skipped(start: Callable[[str], Run]) -> None:
    """The plan is an empty list then, and Airflow itself skips what is mapped over it."""
    run = start(TEXTS["workload"])
    run.go_on({}, until="logs.plan_harvest")
    (plan,) = run.instances("logs.plan_harvest")
    run.push(plan, "return_value", [])
    plan.set_state("success", session=run.session)
    run.session.commit()
    run.go_on({})
    assert run.states()["deployment.promote"] == "skipped"
    assert run.run.state == "success", run.states()


@pytest.mark.parametrize("text", TEXTS)
def test_a_run_that_does_everything_ends_as_a_success(
    start: Callable[[str], Run], bedrock_environment: Sandbox, text: str
) -> None:
    run = start(TEXTS[text])
    run.go_on({})
    assert set(run.states().values()) == {"success"}
    assert run.run.state == "success"
    assert open_turns(bedrock_environment) == []


@pytest.mark.parametrize("at", ["jobs.distill", "deployment.promote"])
def test_a_run_that_a_person_marks_successful_ends_so_and_frees_its_turn(
    start: Callable[[str], Run], bedrock_environment: Sandbox, at: str
) -> None:
    run = start(TEXTS["workload"])
    run.go_on({}, until=at)
    run.begin(at)
    run.mark("success")
    run.go_on({})
    assert run.run.state == "success", run.states()
    assert "end.guard_release" in run.ran
    assert open_turns(bedrock_environment) == []


@pytest.mark.parametrize("teardown", ["evaluation.delete_host", "end.guard_release", "end.report"])
def test_a_run_that_could_not_clean_up_ends_failed_and_is_told(
    start: Callable[[str], Run], teardown: str
) -> None:
    """A host that goes on billing, or a model that serves unproven, must not look like a success."""
    run = start(TEXTS["workload"])
    run.go_on({teardown: "failed"})
    assert run.run.state == "failed", run.states()
    assert is_told(run)


def test_the_turn_is_freed_when_the_task_that_took_it_is_failed_by_a_person(
    start: Callable[[str], Run], bedrock_environment: Sandbox
) -> None:
    """It may have taken the turn a moment before; another Airflow could not ask whether its run is over."""
    run = start(TEXTS["workload"])
    run.go_on({}, until="start.check_release")
    assert len(open_turns(bedrock_environment)) == 1
    run.begin("start.take_turn", "running")
    run.mark("failed")
    run.go_on({})
    assert run.run.state == "failed", run.states()
    assert open_turns(bedrock_environment) == []


def task(task_id: str, state: str | None, *before: str, direct: tuple[str, ...] = (), **more: Any) -> Task:
    given = {"ours": True, "is_teardown": False, "trigger_rule": "all_success", **more}
    return Task(task_id, frozenset(before), frozenset(direct or before[-1:]), state=state, **given)


CHAIN = (task("a", "success"), task("b", "skipped", "a"), task("c", "skipped", "a", "b"))


@pytest.mark.parametrize(
    ("tasks", "itself", "receipts", "found"),
    [
        (CHAIN, (), ("a",), ["b"]),
        (CHAIN, ("b",), ("a",), []),
        (CHAIN, (), (), []),
        ((task("a", "failed"), *CHAIN[1:]), (), (), ["b"]),
        ((task("a", "skipped"), *CHAIN[1:]), (), (), ["a"]),
        ((CHAIN[0], task("b", "skipped", "a", ours=False), CHAIN[2]), (), ("a",), []),
        ((CHAIN[0], task("b", "skipped", "a", is_teardown=True)), (), ("a",), []),
        ((CHAIN[0], task("b", "skipped", "a", trigger_rule="one_failed")), (), ("a",), []),
        ((CHAIN[0], task("b", "skipped", "a", trigger_rule="none_failed")), (), ("a",), ["b"]),
    ],
)
def test_what_nobody_in_the_run_has_skipped_was_skipped_by_a_person(
    tasks: tuple[Task, ...], itself: tuple[str, ...], receipts: tuple[str, ...], found: list[str]
) -> None:
    assert cut_off(tasks, lambda name: name in itself, lambda name: name in receipts) == found
