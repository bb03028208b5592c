"""Turns on a real scheduler: back-filled, by hand, from two Dags, after a run that was ended; never two at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_distill.sandbox import Sandbox
from tests.real_airflow.running import RealAirflow, wait

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(1200)]

DAGS = (Path(__file__).parent / "turns_dags.py").read_text()


def notes(airflow: RealAirflow) -> list[list[str]]:
    path = airflow.home / "turns.txt"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def waiting(airflow: RealAirflow, dag_id: str) -> list[str]:
    """Return the times of runs that wait for their turn."""
    return [
        run["run_after"]
        for run in airflow.runs(dag_id)
        if run["state"] == "running" and airflow.state(dag_id, run["dag_run_id"], "take_turn") == "deferred"
    ]


def ended(airflow: RealAirflow, dag_id: str, count: int) -> bool:
    return sum(run["state"] == "success" for run in airflow.runs(dag_id)) >= count


def test_runs_of_one_workload_never_overlap_whatever_started_them(
    real_airflow: RealAirflow, real_sandbox: Sandbox
) -> None:
    airflow = real_airflow
    airflow.add_dag("turns_dags", DAGS)
    airflow.wait_until_healthy("stuck", timeout=300)

    # Somebody has the turn and gets stuck; ten past days are back-filled four at a time, three more runs come by hand.
    airflow.call("PATCH", "/dags/stuck", {"is_paused": False})
    stuck = airflow.trigger("stuck")
    wait(lambda: bool(notes(airflow)), "the first run to work", 180)
    for dag_id in ("back_filled", "by_hand"):
        airflow.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})
    airflow.backfill("back_filled", "2026-11-01T00:00:00Z", "2026-11-10T00:00:00Z")
    by_hand = [airflow.trigger("by_hand") for _ in range(3)]
    for run in by_hand:
        airflow.wait_for_state("by_hand", run, "take_turn", "deferred", timeout=240)
    wait(lambda: len(waiting(airflow, "back_filled")) >= 4, "four runs of the back-fill to wait", 240)
    oldest = sorted(waiting(airflow, "back_filled"))[:3]
    assert [line[0] for line in notes(airflow)] == ["begin"], "everybody waits"

    # A user gives the stuck run up: nobody waits for it any longer.
    airflow.call("PATCH", f"/dags/stuck/dagRuns/{stuck}", {"state": "failed"})
    wait(lambda: ended(airflow, "back_filled", 11), "ten past days and today", 600)
    wait(lambda: ended(airflow, "by_hand", 3), "the runs by hand", 300)

    lines = [line for line in notes(airflow) if line[1] != "stuck"]
    assert len(lines) == 2 * 14
    for begin, end in zip(lines[::2], lines[1::2], strict=True):
        assert (begin[0], end[0]) == ("begin", "end")
        assert begin[1:] == end[1:], "no other run worked between"
    first = [line[3] for line in lines[: 2 * len(oldest) : 2]]
    assert [moment[:10] for moment in first] == [moment[:10] for moment in oldest], (
        "the oldest times go first"
    )

    # Cleared with what follows, as the UI does: the run takes the turn anew.
    airflow.call(
        "POST",
        "/dags/by_hand/clearTaskInstances",
        {
            "dry_run": False,
            "dag_run_id": by_hand[0],
            "task_ids": ["work"],
            "only_failed": False,
            "include_downstream": True,
        },
    )
    wait(lambda: len(notes(airflow)) >= len(lines) + 2 + 1, "the cleared run", 180)
    tries = {ti["task_id"]: ti["try_number"] for ti in airflow.task_instances("by_hand", by_hand[0])}
    assert tries == {"take_turn": 2, "work": 2, "end_turn": 2}
