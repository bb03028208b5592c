"""Hourly logs, a dataset a day, a student a week: three Dags that hand on partitions instead of sharing a clock.

A run of a partition covers exactly what its key names, whenever it runs: an hour, a day, a week from Monday. The week
begins when all its days are there, and a day when all its hours are, so a scheduler that was down for a night loses
nothing. A key that is emitted again makes the same dataset again, and a dataset has one job: it buys nothing.
"""

# region dag
from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import (
    DAG,
    Asset,
    CronPartitionTimetable,
    DayWindow,
    PartitionedAssetTimetable,
    RollupMapper,
    StartOfDayMapper,
    StartOfWeekMapper,
    WeekWindow,
    task,
)

from airflow_distill.pipelines import build_dag, dataset_group, logs_group
from airflow_distill.workload.reading import read_workload

FILE = Path(__file__).parent / "workloads/support_tickets.yaml"
WEEK = read_workload(FILE, {"logs": {"window": "7d"}})
# Under a name of its own: what a day shows and nobody buys must not count as taught, or as having judged, in its week.
DAY = read_workload(FILE, {"name": "support_tickets_days", "logs": {"window": "1d"}})
HOURS, DAYS = Asset("acme_log_hours"), Asset("acme_dataset_days")
START = datetime(2026, 11, 2, tzinfo=UTC)

# Each hour, five past: the hour before the last one is whole, late deliveries included.
hourly = CronPartitionTimetable("5 * * * *", timezone="UTC", run_offset=-2, key_format="%Y-%m-%dT%H:00:00")
with DAG("log_hours", schedule=hourly, start_date=START, catchup=True, tags=["distillation"]):
    EmptyOperator(task_id="delivered", outlets=[HOURS])

whole_days = RollupMapper(upstream_mapper=StartOfDayMapper(), window=DayWindow())
daily = PartitionedAssetTimetable(assets=HOURS, default_partition_mapper=whole_days)
with DAG("dataset_of_the_day", schedule=daily, start_date=START, tags=["bedrock", "distillation"]):
    dataset = dataset_group(DAY, harvest=logs_group(DAY)["harvest"])["dataset"]

    @task(outlets=[DAYS], trigger_rule="none_failed")
    def tell_the_day(dataset: dict[str, Any] | None) -> None:
        """A day that brought little that is new makes no dataset of its own, and still belongs to its week."""
        print("nothing new" if dataset is None else f"{dataset['train_records']} prompts to train on")

    tell_the_day(dataset)

whole_weeks = RollupMapper(upstream_mapper=StartOfWeekMapper(input_format="%Y-%m-%d"), window=WeekWindow())
weekly = PartitionedAssetTimetable(assets=DAYS, default_partition_mapper=whole_weeks)
dag = build_dag(WEEK, prefix="weekly_", schedule=weekly)
# endregion
