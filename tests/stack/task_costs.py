"""An Airflow plugin that notes what the process of each task took, beside the worker that forked it."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

_BEGAN: dict[str, float] = {}


@hookimpl
def on_task_instance_running(previous_state: Any, task_instance: Any) -> None:
    _BEGAN[str(task_instance.id)] = time.monotonic()


@hookimpl
def on_task_instance_success(previous_state: Any, task_instance: Any) -> None:
    _note(task_instance, "success")


@hookimpl
def on_task_instance_failed(previous_state: Any, task_instance: Any, error: Any) -> None:
    _note(task_instance, "failed")


def _note(task_instance: Any, state: str) -> None:
    times = os.times()
    peak = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    row = {
        "task_id": task_instance.task_id,
        "map_index": task_instance.map_index,
        "worker": os.environ["STACK_NAME"],
        "state": state,
        "seconds": round(time.monotonic() - _BEGAN.get(str(task_instance.id), time.monotonic()), 2),
        "processor_seconds": round(times.user + times.system, 2),
        "megabytes": round(int(peak[0].split()[1]) / 1024, 1),
    }
    with (Path(os.environ["AIRFLOW_HOME"]) / "task_costs.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


class TaskCosts(AirflowPlugin):
    name = "task_costs"
    listeners = [sys.modules[__name__]]  # noqa: RUF012
