"""The Dag of `test_killed_real.py`: everything of a release that is paid for, and what tidies it up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_distill.operators.deployment import BedrockPromoteModelOperator, GuardReleaseOperator
from airflow_distill.operators.hosts import BedrockCreateHostOperator, BedrockDeleteHostOperator
from airflow_distill.operators.jobs import BedrockDistillModelOperator
from airflow_distill.operators.run import EndRunOperator

COMMON: dict[str, Any] = {
    "workload": "{{ dag_run.conf['workload'] }}",
    "root": "s3://distill-sandbox/loop",
    "waiter_delay": 1,
    "retries": 12,
    "retry_delay": timedelta(seconds=1),
}


with DAG("releases", schedule=None, max_active_runs=16) as dag:
    # the job is waited for in the triggerer, hosts and probes in the worker: there is always something to kill
    distill = BedrockDistillModelOperator(
        task_id="distill",
        role_arn="arn:aws:iam::123456789012:role/distill-sandbox",
        dataset="{{ dag_run.conf['dataset'] | tojson }}",
        **COMMON,
    )
    job = "{{ dag_run.conf['job'] | tojson }}"
    candidate = BedrockCreateHostOperator(
        task_id="candidate",
        job=job,
        host_kind="provisioned-throughput",
        units=1,
        hourly_price=15.0,
        lifetime_hours=6,
        deferrable=False,
        **COMMON,
    )
    promote = BedrockPromoteModelOperator(
        task_id="promote",
        decision="{{ dag_run.conf['decision'] | tojson }}",
        job=job,
        host_kind="custom-model-deployment",
        smoke={"prompts": 4, "shape": {"one_of": "references"}},
        bake={"probes": 2, "every_seconds": 10, "prompts": 4, "min_score": 0.5},
        deferrable=False,
        **COMMON,
    )
    remove = BedrockDeleteHostOperator(task_id="remove", host=candidate.output, job=job, **COMMON)
    guard = GuardReleaseOperator(task_id="guard", **COMMON)
    distill >> candidate >> promote >> [remove, guard]
    remove.as_teardown(setups=candidate)
    guard.as_teardown()
    [remove, guard] >> EndRunOperator(task_id="end_run", retries=12, retry_delay=timedelta(seconds=1))
