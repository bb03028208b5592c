"""Dags for the scenarios of turns on a real scheduler; each notes down when its work begins and ends."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_distill.operators.run import EndRunOperator
from airflow_distill.operators.turn import EndTurnOperator, TakeTurnOperator

NOTES = Path(os.environ["AIRFLOW_HOME"]) / "turns.txt"
PLACE = {"workload": "tickets", "root": "s3://distill-sandbox/loop"}


def note(word: str, context: Any) -> None:
    run = context["dag_run"]
    with NOTES.open("a") as file:
        file.write(f"{word} {run.dag_id} {run.run_id} {run.run_after.isoformat()}\n")


@task(retries=0)
def work(seconds: float, **context: Any) -> None:
    note("begin", context)
    time.sleep(seconds)
    note("end", context)


for dag_id, schedule, seconds in (("back_filled", "@daily", 2), ("by_hand", None, 2), ("stuck", None, 600)):
    with DAG(
        dag_id,
        schedule=schedule,
        start_date=datetime(2026, 1, 1),
        catchup=False,
        max_active_runs=1 if schedule else 16,
        default_args={"retry_delay": timedelta(seconds=1), "waiter_delay": 2},
    ):
        work_done = work(seconds)
        # region turn
        turn = TakeTurnOperator(task_id="take_turn", **PLACE)
        end = EndTurnOperator(task_id="end_turn", turn=turn.output, **PLACE)
        turn >> work_done >> end.as_teardown(setups=turn) >> EndRunOperator(task_id="end_run")
        # endregion
