"""A real Airflow on free ports, with what the tests do to it: pause, kill, clear, mark, back-fill.

It is the demonstration's Airflow with shorter waits, more than one triggerer, and signals. Every process has a session
of its own and is ended by its own process group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from airflow_distill.demo.airflow import COMPONENTS, AirflowApiError, LocalAirflow
from airflow_distill.demo.processes import Processes, free_port

QUICK: Mapping[str, str] = {
    "AIRFLOW__CORE__PARALLELISM": "8",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "3",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
    "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": "600",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
}
"""Settings that make a lost worker or triggerer noticed within seconds instead of minutes."""


class RealAirflow(LocalAirflow):
    """One Airflow for several scenarios; `start_all` and `close` begin and end it."""

    @classmethod
    def at(cls, home: Path, variables: Mapping[str, str]) -> RealAirflow:
        """Make one in a folder; nothing is started."""
        dags = home / "dags"
        dags.mkdir(parents=True, exist_ok=True)
        return cls(
            home=home,
            dags=dags,
            port=free_port(),
            processes=Processes(home / "logs"),
            variables={**QUICK, **variables},
        )

    def start_all(self) -> None:
        """Make the database and start the four components."""
        self.begin_migration()
        self.start()

    def close(self) -> None:
        """End every process we started."""
        for process in self.processes.running.values():
            self._signal(process.pid, signal.SIGCONT)
        self.processes.stop()

    def add_dag(self, name: str, text: str) -> None:
        """Write a Dag file, whole at once."""
        draft = self.dags / f".{name}.draft"
        draft.write_text(text)
        draft.rename(self.dags / f"{name}.py")

    # Signals.

    def start_triggerer(self, name: str) -> None:
        """Start one more triggerer."""
        self.processes.start(name, self.command(*COMPONENTS["triggerer"]), self.environment())

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a component and all it has started."""
        self._signal(self.processes.running[name].pid, number)

    def restart(self, name: str, component: str) -> float:
        """End a component as a service manager would, and start it again; returns how long it took to end.

        A triggerer takes up to 10 s when its child has ended before it: Airflow waits for a word from that child before
        it looks whether it still lives. One that builds its API for a first question takes as long as that takes.
        """
        process = self.processes.running.pop(name)
        began = time.monotonic()
        self._signal(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        took = time.monotonic() - began
        self._signal(process.pid, signal.SIGKILL)
        process.wait()
        self.processes.start(name, self.command(*COMPONENTS[component]), self.environment())
        return took

    @staticmethod
    def _signal(pid: int, number: signal.Signals) -> None:
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            return

    # Tasks.

    def state(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str | None:
        """Return a task's state."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        state = self.call("GET", path if map_index < 0 else f"{path}/{map_index}")["state"]
        return None if state is None else str(state)

    def wait_for_state(
        self, dag_id: str, run_id: str, task_id: str, *states: str, timeout: float = 90, map_index: int = -1
    ) -> str:
        """Wait until a task is in one of the states; returns it."""
        seen: list[str | None] = []

        def reached() -> bool:
            seen.append(self.state(dag_id, run_id, task_id, map_index))
            return seen[-1] in states

        wait(reached, f"{dag_id}.{task_id} to be {states}, was {seen[-1:]}", timeout)
        return str(seen[-1])

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int = -1) -> None:
        """Mark a task as a user does in the UI."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self.call("PATCH", path if map_index < 0 else f"{path}/{map_index}", {"new_state": state})

    def clear(self, dag_id: str, run_id: str, *task_ids: str) -> None:
        """Clear tasks of a run as a user does in the UI."""
        self.call(
            "POST",
            f"/dags/{dag_id}/clearTaskInstances",
            {
                "dry_run": False,
                "dag_run_id": run_id,
                "task_ids": list(task_ids),
                "only_failed": False,
                "reset_dag_runs": True,
            },
        )

    def backfill(self, dag_id: str, begin: str, end: str) -> None:
        """Back-fill a scheduled Dag; on SQLite Airflow refuses while the database is busy, so ask again."""
        body = {
            "dag_id": dag_id,
            "from_date": begin,
            "to_date": end,
            "max_active_runs": 4,
            "reprocess_behavior": "none",
            "run_backwards": False,
        }

        def accepted() -> bool:
            try:
                self.call("POST", "/backfills", body)
            except AirflowApiError as error:
                # The answer to an earlier, half-done attempt.
                return "HTTP 409" in error.message
            return True

        wait(accepted, f"a back-fill of {dag_id}", 90, 3.0)

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the runs of a Dag."""
        return list(self.call("GET", f"/dags/{dag_id}/dagRuns?limit=100")["dag_runs"])

    def triggerer_of(self, dag_id: str, run_id: str, task_id: str) -> int | None:
        """Return the job id of the triggerer that holds a task's wait, read from the metadata database."""
        query = (
            "select trigger.triggerer_id from trigger join task_instance on task_instance.trigger_id = trigger.id "
            "where dag_id = ? and run_id = ? and task_id = ?"
        )
        with sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=30) as database:
            row = database.execute(query, (dag_id, run_id, task_id)).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    def task_log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1) -> str:
        """Return a task's log, from the worker and from the triggerer."""
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        return "\n".join(
            p.read_text(errors="replace") for p in sorted(folder.glob(f"attempt={attempt}.log*"))
        )


def wait(condition: Callable[[], bool], what: str, timeout: float = 90, pause: float = 0.5) -> float:
    """Wait for a condition; returns how long it took.

    :raises AssertionError: the time is over.
    """
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < timeout, f"waited {timeout} s for {what}"
        time.sleep(pause)
    return time.monotonic() - begin
