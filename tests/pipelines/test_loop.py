"""The whole loop of a workload file, run to its end against the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.sandbox import Sandbox
from airflow_distill.workload.config import Workload

pytestmark = pytest.mark.airflow

EXAMPLES = Path(__file__).parents[2] / "dags/workloads"
QUICK = {"approval": {"mode": "never"}, "deployment": {"bake": "1m", "smoke_prompts": 2}}
Allow = Callable[[Workload], str]
Play = Callable[..., None]
RunDag = Callable[..., Any]

DAG = """\
from airflow_distill.pipelines import build_dag
from airflow_distill.workload.reading import read_workload

dag = build_dag(read_workload({path!r}, {overrides!r}), default_args={{"retries": 0}})
"""


def dag_text(name: str, overrides: dict[str, Any]) -> str:
    return DAG.format(path=str(EXAMPLES / f"{name}.yaml"), overrides=overrides)


def states(run: Any) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


def receipt(run: Any, task_id: str) -> Any:
    (ti,) = [t for t in run.get_task_instances() if t.task_id == task_id]
    return ti.xcom_pull(task_ids=task_id)


def test_a_workload_file_becomes_a_student_that_answers(
    run_dag: RunDag, account: Sandbox, allow: Allow, play: Play, example: Callable[..., Workload]
) -> None:
    allow(example("support_tickets"))
    play(1500)
    run = run_dag(dag_text("support_tickets", QUICK))
    assert set(states(run).values()) == {"success"}, states(run)
    assert receipt(run, "decision.decide")["verdict"] == "promote"
    assert receipt(run, "deployment.promote")["outcome"] == "released"
    assert account.calls("CreateModelCustomizationJob") == 1
