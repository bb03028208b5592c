"""The Dags of `test_releases_real.py`; what they promote comes in the run's conf, so that the test can make it up."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_distill.operators.deployment import BedrockPromoteModelOperator
from airflow_distill.operators.hosts import BedrockCreateHostOperator, BedrockDeleteHostOperator
from airflow_distill.operators.reap import ReapUnusedOperator

ROOT = "s3://distill-sandbox/loop"
COMMON: dict[str, Any] = {"waiter_delay": 1, "retries": 0, "retry_delay": timedelta(seconds=1)}
PROMOTION: dict[str, Any] = {
    **COMMON,
    "workload": "{{ dag_run.conf['workload'] }}",
    "root": ROOT,
    "decision": "{{ dag_run.conf['decision'] | tojson }}",
    "job": "{{ dag_run.conf['job'] | tojson }}",
    "smoke": {"prompts": 4, "shape": {"one_of": "references"}},
    "bake": {"probes": 2, "every_seconds": 4, "prompts": 4, "min_score": 0.5},
}
CANDIDATE: dict[str, Any] = {
    **COMMON,
    "job": "{{ dag_run.conf['job'] | tojson }}",
    "host_kind": "provisioned-throughput",
    "units": 2,
    "hourly_price": 15.0,
    "lifetime_hours": 6,
}


class Noted(BedrockPromoteModelOperator):
    """Leaves the number of its process where the test finds it; waits in place, so that there is one to kill."""

    def work(self, context: Any) -> dict[str, Any]:
        ti = context["ti"]
        folder = Path(os.environ["AIRFLOW_HOME"]) / "pids"
        folder.mkdir(exist_ok=True)
        (folder / f"{ti.task_id}-{ti.try_number}").write_text(str(os.getpid()))
        return super().work(context)


with DAG("promotes", schedule=None) as promotes:
    BedrockPromoteModelOperator(task_id="promote", **PROMOTION)

with DAG("killed", schedule=None) as killed:
    longer = {"retries": 3, "bake": {**PROMOTION["bake"], "every_seconds": 10}}
    Noted(task_id="promote", deferrable=False, **{**PROMOTION, **longer})

with DAG("races", schedule=None) as races:
    BedrockPromoteModelOperator(
        task_id="promote",
        **PROMOTION,
        host_kind="provisioned-throughput",
        units=1,
        hourly_price=15.0,
        ends_at="{{ dag_run.conf['ends_at'] }}",
    )


@task(retries=0)
def busy() -> None:
    """Stand for an evaluation that takes its time while the candidate host bills."""
    time.sleep(600)


with DAG("aborted", schedule=None) as aborted:
    BedrockCreateHostOperator(task_id="candidate", workload="aborted", **CANDIDATE) >> busy()

with DAG("aborted_teardown", schedule=None) as aborted_teardown:
    host = BedrockCreateHostOperator(task_id="candidate", workload="torn-down", **CANDIDATE)
    gone = BedrockDeleteHostOperator(task_id="teardown", workload="torn-down", **COMMON)
    host >> busy() >> gone.as_teardown(setups=host)

with DAG("reaps", schedule=None) as reaps:
    ReapUnusedOperator(
        task_id="reap",
        root=ROOT,
        workload="aborted",
        delete="{{ dag_run.conf['delete'] }}",
        retries=0,
    )
