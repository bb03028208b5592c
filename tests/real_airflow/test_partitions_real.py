"""The partitioned example on a real scheduler: a week of hours becomes seven datasets and one student, once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets
from tests.real_airflow.running import RealAirflow, wait

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(1800)]

DAGS = Path(__file__).parents[2] / "dags"
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
WEEK = "2026-11-16 (W47)"
HERE: dict[str, Any] = {
    "root": "s3://distill-sandbox/loop",
    "role_arn": "arn:aws:iam::123456789012:role/distill-sandbox",
    "approval": {"mode": "never"},
    "deployment": {"enabled": False},
    "dataset": {"heldout": 0.25},
    "policy": {"margin": 0.2},
}
DELIVERED = """

from airflow.sdk import PartitionedAtRuntime


with DAG("delivered_hours", schedule=PartitionedAtRuntime()):

    @task(outlets=[HOURS])
    def deliver(outlet_events=None):
        outlet_events[HOURS].add_partitions({keys!r})

    deliver()
"""
"""The hours of a whole week at once, in place of a week of the hourly Dag."""


def example() -> str:
    text = (DAGS / "partitioned_retraining.py").read_text()
    for old, new in (
        ("Path(__file__).parent", f"Path({str(DAGS)!r})"),
        ('{"logs": {"window": "7d"}}', repr({**HERE, "logs": {**LOGS, "window": "7d"}})),
        ('"logs": {"window": "1d"}}', f"**{ {**HERE, 'logs': {**LOGS, 'window': '1d'}}!r}}}"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    keys = [f"{MONDAY + timedelta(hours=hour):%Y-%m-%dT%H:00:00}" for hour in range(7 * 24)]
    return text + DELIVERED.format(keys=keys)


LOGS = {"location": "s3://distill-sandbox/logs"}


def runs(airflow: RealAirflow, dag_id: str) -> list[dict[str, Any]]:
    return sorted(airflow.runs(dag_id), key=lambda run: str(run["partition_key"]))


def test_a_week_of_hours_becomes_seven_datasets_and_one_student_once(
    real_airflow: RealAirflow, real_sandbox: Sandbox
) -> None:
    airflow, sandbox = real_airflow, real_sandbox
    sandbox.enable_logging("distill-sandbox", prefix="logs", region="us-east-1")
    for day in range(7):
        items = [
            {
                "prompt": f"{pair.prompt} (ticket {day}-{number})",
                "system": pair.system,
                "completion": pair.completion,
                "metadata": {"app": "support_tickets"},
                "timestamp": (MONDAY + timedelta(days=day, minutes=2 * number)).strftime(
                    "%Y-%m-%dT%H:%M:%SZ"
                ),
            }
            for number, pair in enumerate(support_tickets(600, seed=day))
        ]
        sandbox.play(items, model_id="amazon.nova-pro-v1:0", region="us-east-1")
    sandbox.flush_logs()

    airflow.add_dag("partitioned", example())
    airflow.wait_until_healthy("delivered_hours", timeout=300)
    for dag_id in ("dataset_of_the_day", "weekly_support_tickets"):
        airflow.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})
    airflow.trigger("delivered_hours")

    def all_days() -> bool:
        return [run["state"] for run in runs(airflow, "dataset_of_the_day")] == ["success"] * 7

    wait(all_days, "seven days", 900, 3.0)
    days = runs(airflow, "dataset_of_the_day")
    assert [run["partition_key"] for run in days] == [f"2026-11-{16 + day}" for day in range(7)]
    told = [airflow.xcom("dataset_of_the_day", run["dag_run_id"], "dataset.check") for run in days]
    assert [each["window"] for each in told] == [
        [f"2026-11-{16 + day}T00:00:00Z", f"2026-11-{17 + day}T00:00:00Z"] for day in range(7)
    ]
    assert len({each["dataset_id"] for each in told}) == 7

    def week_ended() -> bool:
        return [run["state"] for run in airflow.runs("weekly_support_tickets")] == ["success"]

    wait(week_ended, "the week", 600, 3.0)
    (week,) = airflow.runs("weekly_support_tickets")
    assert week["partition_key"] == WEEK
    dataset = airflow.xcom("weekly_support_tickets", week["dag_run_id"], "dataset.check")
    assert dataset["window"] == ["2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"]
    assert sandbox.calls("CreateModelCustomizationJob") == 1

    # The same week once more, as a key that is emitted again would have it.
    body = {"logical_date": None, "partition_key": WEEK}
    again = airflow.call("POST", "/dags/weekly_support_tickets/dagRuns", body)["dag_run_id"]
    wait(lambda: airflow.run_state("weekly_support_tickets", again) == "success", "the week again", 600, 3.0)
    second = airflow.xcom("weekly_support_tickets", again, "dataset.check")
    assert second["dataset_id"] == dataset["dataset_id"]
    assert sandbox.calls("CreateModelCustomizationJob") == 1
