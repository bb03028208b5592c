"""Retrain when enough fresh prompts have been logged: an asset watcher, the stage groups, and a task of your own between.

The watcher lists the log prefix every quarter of an hour, together with the watchers of all other workloads on that prefix,
and updates the asset when 2,000 new usable prompts of this workload are there. Groups hand on receipts, so a step of your
own fits anywhere.
"""

# region dag
from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_distill.pipelines import (
    dataset_group,
    decision_group,
    deployment_group,
    end_group,
    evaluation_group,
    fresh_logs_asset,
    jobs_group,
    logs_group,
)
from airflow_distill.workload.reading import read_workload

WORKLOAD = read_workload(Path(__file__).parent / "workloads/support_tickets.yaml")


@task
def tell_counts(dataset: dict[str, Any]) -> None:
    """Whatever your team needs to know before money is spent: receipts hold counts and addresses, never text."""
    print(f"{dataset['train_records']} prompts to train on, dropped: {dataset['dropped']}")


with DAG(
    "retrain_on_fresh_logs",
    schedule=[fresh_logs_asset(WORKLOAD)],
    max_active_runs=1,
    tags=["bedrock", "distillation"],
) as dag:
    harvest = logs_group(WORKLOAD)["harvest"]
    curated = dataset_group(WORKLOAD, harvest=harvest)
    dataset, live = curated["dataset"], curated["live"]
    bought = jobs_group(WORKLOAD, dataset=dataset)
    tell_counts(dataset) >> bought["budget"].operator
    job = bought["job"]
    judged = evaluation_group(WORKLOAD, dataset=dataset, job=job, live=live)
    evaluation = judged["evaluation"]
    decision = decision_group(
        WORKLOAD, evaluation=evaluation, job=job, dataset=dataset, live=live, budget=bought["budget"]
    )["decision"]
    deployment = deployment_group(WORKLOAD, decision=decision, job=job)["deployment"]
    end_group(WORKLOAD, host_deleted=judged["host_deleted"], deployment=deployment)
# endregion
