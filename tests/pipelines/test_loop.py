"""The whole loop of a workload file, run to its end against the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import airflow_distill.triggers.base  # noqa: F401 - before the sandbox's threads import what it needs too
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.jobs.request import build_request
from airflow_distill.workload.config import Workload
from airflow_distill.workload.reading import read_workload
from airflow_distill.workload.tasks import job_spec

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "dags/workloads"
QUICK = {
    "approval": {"mode": "never"},
    "deployment": {"bake": "1m", "smoke_prompts": 2},
    "dataset": {"heldout": 0.25},
    "policy": {"margin": 0.2},
}
"""No person to wait for, a short bake period, and a margin that the sandbox's students reach."""
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
    job = receipt(run, "jobs.distill")
    assert job_is_as_planned(account, receipt(run, "dataset.check"), job["job_arn"])

    again = run_dag(dag_text("support_tickets", QUICK))
    assert states(again)["dataset.curate"] == "skipped", "nothing new: no second student"
    assert account.calls("CreateModelCustomizationJob") == 1


def job_is_as_planned(account: Sandbox, dataset: dict[str, Any], job_arn: str) -> bool:
    """Hold the job the Dag bought against the request that `workload plan` prints for the same dataset."""
    workload = read_workload(EXAMPLES / "support_tickets.yaml", QUICK)
    planned = build_request(job_spec(workload, dataset, {}))
    bought = account.client("bedrock").get_model_customization_job(jobIdentifier=job_arn)
    same = (
        "jobName",
        "roleArn",
        "clientRequestToken",
        "customizationType",
        "outputDataConfig",
        "customizationConfig",
    )
    assert {name: bought[name] for name in same} == {name: planned[name] for name in same}
    assert bought["outputModelName"] == planned["customModelName"]
    assert bought["trainingDataConfig"] == planned["trainingDataConfig"]
    return True


def test_logs_handed_to_bedrock_pass_the_doctor_and_are_counted_first(
    run_dag: RunDag, account: Sandbox, allow: Allow, play: Play, example: Callable[..., Workload]
) -> None:
    """The role has what `airflow-distill iam` prints for such a file, and nothing more."""
    month = "s3://acme-bedrock-logs/bedrock/AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1/2026/10"
    overrides = {
        **QUICK,
        "dataset": {"source": "logs-pairs", "training_logs": month, "heldout": 0.5},
        "deployment": {"enabled": False},
    }
    allow(example("support_tickets", **overrides))
    october = (datetime.now(UTC) - datetime(2026, 10, 12, 9, tzinfo=UTC)).total_seconds() / 3600
    play(600, hours_ago=october, seed=3)
    play(500, seed=5)
    run = run_dag(dag_text("support_tickets", overrides))
    assert set(states(run).values()) == {"success"}, states(run)
    assert receipt(run, "jobs.check_logs")["usable"] == 600
    assert account.calls("CreateModelCustomizationJob") == 1
    assert not [line for line in account.meter()["lines"] if "nova-pro" in str(line["model"])]
