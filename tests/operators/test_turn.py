"""Taking and giving back the turn as tasks: whose run is gone is asked of Airflow, and a wait has an end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.storage import LocalStore
from airflow_distill.triggers.turn import IDLE, Activity, TurnFreeTrigger
from airflow_distill.workload.turn import Runner, Turns

pytestmark = pytest.mark.airflow

DAG = """\
from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_distill.operators.turn import EndTurnOperator, TakeTurnOperator


@task(retries=0)
def work():
    if {fails!r}:
        raise ValueError("the loop fails")


with DAG("takes_turns", schedule=None) as dag:
    place = {{"workload": "w", "root": {root!r}, "retries": 0}}
    turn = TakeTurnOperator(
        task_id="take_turn", waiter_delay=0.2, wait_timeout=timedelta(seconds={seconds}), **place
    )
    end = EndTurnOperator(task_id="end_turn", turn=turn.output, **place)
    turn >> work() >> end.as_teardown(setups=turn)
"""


def text(root: Path, *, fails: bool = False, seconds: float = 1) -> str:
    return DAG.format(root=str(root), fails=fails, seconds=seconds)


def states(run: Any) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


def held(root: Path) -> list[str]:
    """Return the Dag runs whose turn has not ended."""
    turns = sorted((root / "w/turns").glob("0*.json"))
    ended = {path.name.split(".")[0] for path in turns if path.name.endswith(".ended.json")}
    return [json.loads(path.read_text())["run_id"] for path in turns if path.name.split(".")[0] not in ended]


@pytest.fixture
def holds(tmp_path: Path) -> Callable[[Runner], None]:
    def hold(runner: Runner) -> None:
        Turns(LocalStore(), str(tmp_path), "w").take(runner, "20260101T000000Z", lambda other: True)

    return hold


def test_the_turn_is_given_back_when_the_work_fails(
    tmp_path: Path, run_dag: Callable[..., Any], bedrock_environment: Sandbox
) -> None:
    run = run_dag(text(tmp_path, fails=True))
    assert run.state == "failed"
    assert states(run) == {"take_turn": "success", "work": "failed", "end_turn": "success"}
    assert held(tmp_path) == []
    assert states(run_dag(text(tmp_path)))["work"] == "success"
    assert len(list((tmp_path / "w/turns").glob("*.ended.json"))) == 2


def test_a_run_that_airflow_does_not_know_any_more_is_taken_over_from(
    tmp_path: Path, run_dag: Callable[..., Any], bedrock_environment: Sandbox, holds: Callable[[Runner], None]
) -> None:
    holds(Runner("deleted", "manual__1", "take_turn"))
    assert states(run_dag(text(tmp_path)))["work"] == "success"


def test_a_run_of_another_airflow_is_waited_for_and_the_wait_ends_as_a_failure(
    tmp_path: Path, run_dag: Callable[..., Any], bedrock_environment: Sandbox, holds: Callable[[Runner], None]
) -> None:
    holds(Runner("loop", "manual__1", "take_turn", airflow="https://elsewhere"))
    run = run_dag(text(tmp_path))
    assert states(run) == {"take_turn": "failed", "work": "upstream_failed", "end_turn": "skipped"}
    assert held(tmp_path) == ["manual__1"]
    assert not list((tmp_path / "w/turns/waiting").glob("*.json")), "it waits no longer"


def test_the_trigger_fires_when_the_turn_is_given_back(tmp_path: Path, bedrock_environment: Sandbox) -> None:
    """It is rebuilt from its row, as a triggerer does."""
    turns = Turns(LocalStore(), str(tmp_path), "w")
    first, second = (Runner(name, "r", "take_turn", airflow="here") for name in ("a", "b"))
    turns.take(first, "20260101T000000Z", lambda other: True)
    turns.take(second, "20260102T000000Z", lambda other: True)
    _, kwargs = TurnFreeTrigger(
        root=str(tmp_path),
        workload="w",
        runner={"dag_id": "b", "run_id": "r", "task_id": "take_turn", "airflow": "here"},
        order="20260102T000000Z",
        deadline=(datetime.now(UTC) + timedelta(minutes=1)).isoformat(),
        poll_interval=0.05,
    ).serialize()

    async def wait() -> dict[str, Any]:
        events = TurnFreeTrigger(**kwargs, an_argument_of_a_later_version=1).run()
        looking = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.3)
        assert not looking.done()
        turns.end(1)
        return dict((await asyncio.wait_for(looking, 30)).payload)

    assert asyncio.run(wait()) == {"status": "free", "deadline": kwargs["deadline"]}


class Log:
    def info(self, *said: Any) -> None: ...

    warning = info


ME = Runner("loop", "manual__2", "take_turn", airflow="mine")


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Airflow answers about any run: whether it is active, and how many of its tasks work."""
    answers = {"active": True, "working": 1, "now": datetime(2026, 11, 24, tzinfo=UTC)}
    monkeypatch.setattr("airflow_distill.triggers.turn.is_run_active", lambda dag, run: answers["active"])
    monkeypatch.setattr("airflow_distill.triggers.turn.count_working", lambda dag, run: answers["working"])
    return answers


def activity(answers: dict[str, Any], **more: Any) -> Activity:
    return Activity(ME, Log(), former=("", "https://here"), now=lambda: answers["now"], **more)


def test_a_run_whose_dag_file_is_gone_frees_its_turn_by_itself(airflow: dict[str, Any]) -> None:
    """Airflow calls it running for ever; none of its tasks is queued, running or deferred."""
    other, seen = Runner("renamed", "manual__1", "take_turn", airflow="mine"), activity(airflow)
    airflow["working"] = 0
    assert seen(other)
    airflow["now"] += IDLE - timedelta(minutes=1)
    assert seen(other)
    assert seen.idle == []
    airflow["now"] += timedelta(minutes=1)
    assert not seen(other)
    assert seen.idle == [other]
    assert not activity(airflow, idle=seen.idle)(other), "the task takes over what the trigger has seen"
    airflow["working"] = 1
    assert activity(airflow, idle=seen.idle)(other), "unless it has gone on meanwhile"


def test_a_run_that_is_idle_only_now_and_then_keeps_its_turn(airflow: dict[str, Any]) -> None:
    other, seen = Runner("loop", "manual__1", "take_turn", airflow="mine"), activity(airflow)
    for hour in range(24):
        airflow["working"] = hour % 5 == 0
        assert seen(other)
        airflow["now"] += timedelta(hours=1)


def test_two_airflows_with_equal_run_ids_are_two_runners(airflow: dict[str, Any], tmp_path: Path) -> None:
    """Their base URLs are empty by default and their schedules agree, so everything but the id is the same."""
    here, there = (Runner("loop", "scheduled__1", "take_turn", airflow=name) for name in ("mine", "theirs"))
    turns = Turns(LocalStore(), str(tmp_path), "w")
    assert turns.take(there, "20260101T000000Z", activity(airflow)).runner == there
    airflow.update(active=False, working=0)
    assert turns.take(here, "20260101T000000Z", activity(airflow)).runner == there, "it cannot be asked about"


def test_a_turn_that_this_run_took_before_the_upgrade_is_its_own(
    airflow: dict[str, Any], tmp_path: Path
) -> None:
    turns = Turns(LocalStore(), str(tmp_path), "w")
    for before in ("", "https://here"):
        old = Runner("loop", "manual__2", "take_turn", airflow=before)
        turns.end(turns.take(old, "20260101T000000Z", lambda other: False).number)
        assert turns.take(old, "20260101T000000Z", lambda other: False).runner == old
        assert turns.take(ME, "20260101T000000Z", activity(airflow)).runner == ME


def test_the_id_of_an_airflow_is_made_once_and_noted_in_the_bucket(
    tmp_path: Path, run_dag: Callable[..., Any], bedrock_environment: Sandbox
) -> None:
    for _ in range(2):
        assert states(run_dag(text(tmp_path)))["work"] == "success"
    (noted,) = (tmp_path / "airflows").glob("*.json")
    known = json.loads(noted.read_text())
    assert known["id"] == noted.stem
    assert len(noted.stem) == 16
    taken = [json.loads(path.read_text()) for path in (tmp_path / "w/turns").glob("0*[0-9].json")]
    assert {turn["airflow"] for turn in taken} == {noted.stem}


def test_a_turn_is_given_back_without_its_receipt(tmp_path: Path) -> None:
    """Somebody marked `take_turn` successful while it had the turn, which clears what it returned."""
    turns = Turns(LocalStore(), str(tmp_path), "w")
    turns.take(ME, "20260101T000000Z", lambda other: True)
    assert turns.number_of(Runner("loop", "manual__2", "end_turn", airflow="mine")) == 1
    assert turns.number_of(Runner("loop", "manual__3", "end_turn", airflow="mine")) is None
    assert turns.number_of(Runner("loop", "manual__2", "end_turn", airflow="theirs")) is None
    turns.end(1)
    assert turns.number_of(ME) is None
