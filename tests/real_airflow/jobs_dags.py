"""The Dags of `test_jobs_real.py`; the test writes its figures into the upper-case names and the file into a Dag folder."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_distill.operators.jobs import BedrockDistillModelOperator

POINTS = ()
DEADLINE, INTERVAL = 0, 0
"""Seconds. A task is tried again two intervals after its kill, so a deadline that began anew would be seen."""

ROOT = "s3://distill-sandbox/loop"
COMMON: dict[str, Any] = {
    "root": ROOT,
    "role_arn": "arn:aws:iam::123456789012:role/distill-sandbox",
    "dataset": {
        "kind": "dataset",
        "v": 1,
        "dataset_id": "d1",
        "train_uri": f"{ROOT}/train.jsonl",
        "train_records": 110,
        "teacher": "amazon.nova-pro-v1:0",
        "student": "amazon.nova-lite-v1:0:300k",
    },
    "waiter_delay": 3,
    "retries": 2,
    "retry_delay": timedelta(seconds=1),
    "botocore_config": {"retries": {"total_max_attempts": 1}},
}


class KilledOnce(BedrockDistillModelOperator):
    """Its process dies at a named point of the first try."""

    def __init__(self, *, point: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.point = point

    def work(self, context: Any) -> dict[str, Any]:
        self.first = context["ti"].try_number == 1
        return super().work(context)

    def fault(self, point: str) -> None:
        if point == self.point and self.first:
            os.kill(os.getpid(), signal.SIGKILL)


with DAG("killed", schedule=None) as killed:
    for name in POINTS:
        KilledOnce(task_id=f"at_{name}", point=name, workload=f"k-{name}", **COMMON)
    BedrockDistillModelOperator(task_id="fails_once", workload="fails-once", **COMMON)

with DAG(
    "again", schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=8
) as again:
    BedrockDistillModelOperator(task_id="distill", workload="again", deferrable=False, **COMMON)

with DAG("waits", schedule=None) as waits:
    for name in ("untouched", "cleared", "marked"):
        BedrockDistillModelOperator(task_id=name, workload=name, **COMMON)
    BedrockDistillModelOperator(task_id="blocking", workload="blocking", deferrable=False, **COMMON)
    BedrockDistillModelOperator(
        task_id="deadline",
        workload="deadline",
        wait_timeout=timedelta(minutes=2),
        on_deadline="stop",
        **COMMON,
    )
    BedrockDistillModelOperator.partial(task_id="mapped", **COMMON).expand(workload=["mapped0", "mapped1"])

with DAG("deadlines", schedule=None) as deadlines:
    LATE: dict[str, Any] = {
        **COMMON,
        "wait_timeout": timedelta(seconds=DEADLINE),
        "waiter_delay": INTERVAL,
        "retry_delay": timedelta(seconds=2 * INTERVAL),
    }
    KilledOnce(task_id="stopped", point="before-defer", workload="late-stopped", on_deadline="stop", **LATE)
    KilledOnce(task_id="left", point="before-defer", workload="late-left", **LATE)
    KilledOnce(
        task_id="blocking",
        point="after-remember",
        workload="late-blocking",
        on_deadline="stop",
        deferrable=False,
        **LATE,
    )
