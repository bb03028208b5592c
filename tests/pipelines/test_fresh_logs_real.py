"""Fresh logs on a real Airflow: three workloads on one prefix, each at its own threshold, once, from one shared poll."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets
from tests.real_airflow.conftest import real_airflow, real_sandbox  # noqa: F401 - fixtures
from tests.real_airflow.running import RealAirflow, wait

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]

THRESHOLDS = {"tickets": 100, "claims": 200, "mails": 300}

DAGS = """\
from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from airflow_distill.pipelines import fresh_logs_asset
from airflow_distill.workload.config import Workload

for app, threshold in {thresholds!r}.items():
    workload = Workload.model_validate(
        {{
            "name": app,
            "owner": "team",
            "teacher": "amazon.nova-pro-v1:0",
            "student": "amazon.nova-micro-v1:0:128k",
            "root": "s3://distill-sandbox/loop",
            "role_arn": "arn:aws:iam::123456789012:role/distill-sandbox",
            "logs": {{"location": "s3://distill-sandbox/logs", "metadata": {{"equals": {{"app": app}}}}}},
            "schedule": {{"fresh_prompts": threshold, "check_every": timedelta(seconds=3)}},
            "budget": {{"usd_per_run": 1}},
        }}
    )
    with DAG(f"fresh_{{app}}", schedule=[fresh_logs_asset(workload)], max_active_runs=1):
        EmptyOperator(task_id="retrain")
"""


def play(sandbox: Sandbox, app: str, count: int, seed: int) -> None:
    """Let an application send calls, a few minutes ago."""
    start = datetime.now(UTC) - timedelta(minutes=20)
    sandbox.play(
        [
            {
                "prompt": f"{pair.prompt} ({app} {seed})",
                "completion": pair.completion,
                "metadata": {"app": app},
                "timestamp": (start + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            for number, pair in enumerate(support_tickets(count, seed=seed))
        ],
        model_id="amazon.nova-pro-v1:0",
        region="us-east-1",
    )
    sandbox.flush_logs()


def runs(airflow: RealAirflow) -> dict[str, int]:
    return {app: len(airflow.runs(f"fresh_{app}")) for app in THRESHOLDS}


def all_begun(airflow: RealAirflow) -> bool:
    return all(run["start_date"] for app in THRESHOLDS for run in airflow.runs(f"fresh_{app}"))


def test_three_workloads_on_one_prefix_retrain_each_at_its_own_threshold_once(
    real_airflow: RealAirflow,  # noqa: F811
    real_sandbox: Sandbox,  # noqa: F811
) -> None:
    airflow, sandbox = real_airflow, real_sandbox
    sandbox.enable_logging("distill-sandbox", prefix="logs", region="us-east-1")
    airflow.add_dag("fresh", DAGS.format(thresholds=THRESHOLDS))
    airflow.wait_until_healthy("fresh_mails", timeout=300)
    for app in THRESHOLDS:
        airflow.call("PATCH", f"/dags/fresh_{app}", {"is_paused": False})

    for number, app in enumerate(THRESHOLDS):
        play(sandbox, app, 230, seed=number)
    wait(
        lambda: runs(airflow) == {"tickets": 1, "claims": 1, "mails": 0},
        "two workloads at their threshold",
        150,
    )

    listed, begun = lists(sandbox), time.monotonic()
    time.sleep(20)
    assert runs(airflow) == {"tickets": 1, "claims": 1, "mails": 0}, "nothing new: nothing fires again"
    per_look = (lists(sandbox) - listed) / ((time.monotonic() - begun) / 3)
    assert per_look < 12, (
        f"{per_look:.1f} list calls a look for three workloads; one watcher alone makes about 8"
    )

    play(sandbox, "mails", 120, seed=9)
    wait(lambda: runs(airflow) == {"tickets": 1, "claims": 1, "mails": 1}, "the third at its threshold", 90)
    # Airflow 3.3.2 answers 500 for the events of a run that has not begun: its schema wants a start date.
    wait(lambda: all_begun(airflow), "the three runs to begin", 60)
    payload: Any = airflow.call("GET", "/assets/events?limit=10")["asset_events"]
    told = {
        event["extra"]["payload"]["workload"]: event["extra"]["payload"]["new_prompts"] for event in payload
    }
    assert all(told[app] >= threshold for app, threshold in THRESHOLDS.items())


def lists(sandbox: Sandbox) -> int:
    return sum(
        sum(found.values()) for name, found in sandbox.meter()["calls"].items() if "ListObjects" in name
    )
