"""Partitions: the keys of the example's three Dags fit each other, and a run reads the window that its key names."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pendulum
import pytest

pytestmark = pytest.mark.airflow

EXAMPLE = Path(__file__).parents[2] / "dags/partitioned_retraining.py"
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)


@pytest.fixture(scope="module")
def dags(airflow_home: Path) -> dict[str, Any]:
    """The example's Dags as the scheduler has them."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    found = DagBag(str(EXAMPLE)).dags
    return {
        dag_id: DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
        for dag_id, dag in found.items()
    }


def mapper(dag: Any) -> Any:
    return dag.timetable.default_partition_mapper


def window(dag: Any, task_id: str, key: str, **params: str) -> tuple[str, str]:
    """Render a task's window for a run of a partition, whose date Airflow reads off the key."""
    from airflow.sdk import macros

    task = dag.get_task(task_id)
    moment = dag.timetable.resolve_partition_date(key)
    run = SimpleNamespace(
        partition_date=moment, partition_key=key, run_after=datetime(2027, 3, 1, tzinfo=UTC)
    )
    context = {"dag_run": run, "macros": macros, "params": params}
    start, end = (
        jinja2.Template(getattr(task, name)).render(context) for name in ("window_start", "window_end")
    )
    return start, end


def test_every_hour_belongs_to_one_day_and_every_day_to_one_week(dags: dict[str, Any]) -> None:
    """Keys are compared as text: one that is spelt otherwise would never complete its day, in silence."""
    hours, days, weeks = dags["log_hours"], dags["dataset_of_the_day"], dags["weekly_support_tickets"]
    emitted: dict[str, set[str]] = {}
    for number in range(7 * 24):
        run_at = pendulum.instance(MONDAY) + timedelta(hours=number + 2, minutes=5)
        _, key = hours.timetable._get_partition_info(run_at)
        assert key == f"{MONDAY + timedelta(hours=number):%Y-%m-%dT%H:00:00}"
        emitted.setdefault(mapper(days).to_downstream(key), set()).add(key)
    assert len(emitted) == 7
    for day, keys in emitted.items():
        assert mapper(days).to_upstream(day) == keys
    (week,) = {mapper(weeks).to_downstream(day) for day in emitted}
    assert mapper(weeks).to_upstream(week) == set(emitted)


def test_a_run_reads_what_its_key_names_whenever_it_runs(dags: dict[str, Any]) -> None:
    days, weeks = dags["dataset_of_the_day"], dags["weekly_support_tickets"]
    task_id = "logs.plan_harvest"
    assert window(days, task_id, "2026-11-18") == ("2026-11-18T00:00:00Z", "2026-11-19T00:00:00Z")
    assert window(weeks, task_id, "2026-11-16 (W47)") == ("2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z")
    by_hand = window(weeks, task_id, "2026-11-16 (W47)", window_start="2026-01-05T00:00:00Z")
    assert by_hand[0] == "2026-01-05T00:00:00Z"


def test_the_days_of_a_week_tile_its_window(dags: dict[str, Any]) -> None:
    days, weeks = dags["dataset_of_the_day"], dags["weekly_support_tickets"]
    week = "2026-11-16 (W47)"
    tiles = sorted(window(days, "logs.plan_harvest", day) for day in mapper(weeks).to_upstream(week))
    assert all(left[1] == right[0] for left, right in itertools.pairwise(tiles))
    assert (tiles[0][0], tiles[-1][1]) == window(weeks, "logs.plan_harvest", week)


def test_weeks_wait_in_the_order_of_their_keys(dags: dict[str, Any]) -> None:
    take = dags["weekly_support_tickets"].get_task("start.take_turn")
    run = SimpleNamespace(partition_date=MONDAY, run_after=datetime(2027, 3, 1, tzinfo=UTC))
    assert jinja2.Template(take.order).render(dag_run=run).startswith("2026-11-16")
