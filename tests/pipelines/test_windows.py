"""Past windows: ten of them make ten datasets, and the runs buy only what the user says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import airflow_distill.triggers.base  # noqa: F401 - before the sandbox's threads import what it needs too
from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets
from airflow_distill.workload.config import Workload

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(600)]

EXAMPLES = Path(__file__).parents[2] / "dags/workloads"
FIRST = datetime(2026, 9, 7, tzinfo=UTC)
WINDOWS = [FIRST + timedelta(days=number) for number in range(10)]
"""The starts of ten windows of a day."""
OVERRIDES: dict[str, Any] = {
    "logs": {"window": "1d", "late": "1h"},
    "schedule": {"cron": "0 1 * * *", "catchup": True},
    "approval": {"mode": "never"},
    "deployment": {"enabled": False},
    "dataset": {"heldout": 0.25},
    "policy": {"margin": 0.2},
}
DAG = f"""\
from airflow_distill.pipelines import build_dag
from airflow_distill.workload.reading import read_workload

workload = read_workload({str(EXAMPLES / "support_tickets.yaml")!r}, {OVERRIDES!r})
dag = build_dag(workload, default_args={{"retries": 0}})
"""


def receipt(run: Any, task_id: str) -> Any:
    (ti,) = [t for t in run.get_task_instances() if t.task_id == task_id]
    return ti.xcom_pull(task_ids=task_id)


def states(run: Any) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


def test_ten_windows_make_ten_datasets_and_buy_only_what_the_user_says(
    run_dag: Callable[..., Any],
    account: Sandbox,
    allow: Callable[[Workload], str],
    example: Callable[..., Workload],
) -> None:
    """Each run stands for the time at which it would have run, as those of Airflow's back-fill do."""
    allow(example("support_tickets"))
    account.enable_logging("acme-bedrock-logs", prefix="bedrock", region="us-east-1")
    for number, start in enumerate(WINDOWS):
        items = [
            {
                "prompt": f"{pair.prompt} (ticket {number}-{place})",
                "system": pair.system,
                "completion": pair.completion,
                "metadata": {"app": "support_tickets"},
                "timestamp": (start + timedelta(minutes=place)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            for place, pair in enumerate(support_tickets(600, seed=number))
        ]
        account.play(items, model_id="amazon.nova-pro-v1:0", region="us-east-1")

    def back_fill(start: datetime, buy: str) -> Any:
        when = start + timedelta(days=1, hours=1)
        return run_dag(DAG, logical_date=when, run_after=when, run_conf={"buy": buy})

    looked = [back_fill(start, "never") for start in WINDOWS]
    datasets = [receipt(run, "dataset.check") for run in looked]
    assert [told["window"][0] for told in datasets] == [f"{start:%Y-%m-%dT%H:%M:%SZ}" for start in WINDOWS]
    assert len({told["dataset_id"] for told in datasets}) == 10
    for run in looked:
        found = states(run)
        assert run.state == "success"
        assert found["dataset.check"] == found["end.end_turn"] == "success"
        assert found["jobs.check_budget"] == found["jobs.distill"] == found["decision.decide"] == "skipped"
        assert found["end.report"] == "skipped"
        assert receipt(run, "jobs.check_budget")["estimate_usd"] > 0
    assert account.calls("CreateModelCustomizationJob") == 0
    assert account.meter()["lines"] == []

    bought = back_fill(WINDOWS[3], "worth_it")
    assert bought.state == "success"
    assert states(bought)["end.report"] == "success"
    assert receipt(bought, "dataset.check")["dataset_id"] == datasets[3]["dataset_id"]
    assert account.calls("CreateModelCustomizationJob") == 1
    assert back_fill(WINDOWS[3], "worth_it").state == "success"
    assert account.calls("CreateModelCustomizationJob") == 1
