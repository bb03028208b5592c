"""The sensor is done when enough distinct usable prompts are there, on both roads, and waits cheaply until then."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_distill.errors import ServiceAccessError, ServiceThrottledError, StateError
from airflow_distill.sensors.logs import FreshLogsSensor
from airflow_distill.stages.storage import MemoryStore, ObjectStore, StoredObject
from airflow_distill.triggers.logs import LogsGrownTrigger
from tests.stages.logs.log_records import MODEL, key_of, lines_of, record

pytestmark = pytest.mark.airflow

SINCE = "2026-11-20T10:00:00Z"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CONNECTION: dict[str, Any] = {
    "aws_conn_id": "mine",
    "region_name": "us-west-2",
    "verify": "/ca.pem",
    "botocore_config": {"read_timeout": 7},
}


class Watching(FreshLogsSensor):
    """A sensor at a fixed time with a store that is passed in."""

    given: ObjectStore

    def store(self) -> ObjectStore:
        return self.given

    def now(self) -> datetime:
        return NOW


class Refusing(MemoryStore):
    """A store whose listing fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def iter_objects(self, prefix: str) -> Iterator[StoredObject]:
        raise self.error


def logs_of(count: int) -> MemoryStore:
    store = MemoryStore()
    records = [record(f"q{n}", request_id=f"r{n}", timestamp="2026-11-20T10:30:00Z") for n in range(count)]
    store.objects[key_of("2026/11/20", 10)] = gzip.compress(lines_of(records))
    return store


def sensor_over(store: ObjectStore, **changes: Any) -> Watching:
    arguments: dict[str, Any] = {
        "logs": "s3://logs/p",
        "model": MODEL,
        "since": SINCE,
        "at_least": 10,
        **changes,
    }
    sensor = Watching(task_id="fresh", **arguments)
    sensor.given = store
    return sensor


@pytest.mark.parametrize("deferrable", [True, False])
def test_enough_prompts_end_the_wait_at_the_first_look(deferrable: bool) -> None:
    sensor = sensor_over(logs_of(12), deferrable=deferrable, mode="poke")
    receipt = sensor.execute({})
    assert receipt == {
        "kind": "fresh-logs",
        "v": 1,
        "since": SINCE,
        "until": "2026-11-20T12:00:00Z",
        "usable": 10,
        "lines": 12,
        "objects": 1,
        "bytes": receipt["bytes"],
    }


def test_too_few_prompts_defer_until_the_listing_has_grown_enough() -> None:
    store = logs_of(5)
    (size,) = map(len, store.objects.values())
    sensor = sensor_over(store, **CONNECTION)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})
    trigger = deferred.value.trigger
    assert isinstance(trigger, LogsGrownTrigger)
    assert size < trigger.enough_bytes < 2 * size
    assert {name: getattr(trigger, name) for name in CONNECTION} == CONNECTION
    assert deferred.value.method_name == "execute_complete"
    assert deferred.value.kwargs == {"deadline": trigger.deadline}


def test_resuming_counts_again_and_keeps_the_deadline() -> None:
    sensor = sensor_over(logs_of(5))
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute_complete({}, {"status": "grown"}, deadline="2026-11-21T00:00:00+00:00")
    assert deferred.value.trigger.deadline == "2026-11-21T00:00:00+00:00"
    sensor.given = logs_of(12)
    assert sensor.execute_complete({}, {"status": "grown"}, deadline=None)["usable"] == 10


def test_poking_counts_every_time() -> None:
    sensor = sensor_over(logs_of(5), deferrable=False)
    assert not sensor.poke({}).is_done
    sensor.given = logs_of(12)
    found = sensor.poke({})
    assert (found.is_done, found.xcom_value["usable"]) == (True, 10)


def test_a_wait_that_ran_out_fails_or_is_skipped() -> None:
    with pytest.raises(AirflowSensorTimeout):
        sensor_over(logs_of(1)).execute_complete({}, {"status": "timeout", "objects": 1})
    with pytest.raises(AirflowSkipException):
        sensor_over(logs_of(1), soft_fail=True).execute_complete({}, {"status": "timeout"})


def test_an_event_without_a_word_is_never_taken_for_success() -> None:
    for event in (None, {}, {"status": "success"}, "grown"):
        with pytest.raises(StateError):
            sensor_over(logs_of(12)).execute_complete({}, event)


def test_a_refusal_is_told_in_the_words_of_the_service() -> None:
    refused = Refusing(ServiceAccessError("ListObjectsV2: AccessDenied", operation="ListObjectsV2"))
    with pytest.raises(AirflowFailException, match="AccessDenied"):
        sensor_over(refused).execute_complete({}, {"status": "refused", "error": "x"})
    with pytest.raises(AirflowFailException, match="AccessDenied"):
        sensor_over(refused, deferrable=False).poke({})


def test_a_hiccup_while_poking_is_asked_again() -> None:
    throttled = Refusing(ServiceThrottledError("slow down", operation="ListObjectsV2"))
    assert not sensor_over(throttled, deferrable=False).poke({}).is_done


def test_local_logs_need_no_connection(tmp_path: Path) -> None:
    for uri, data in logs_of(12).objects.items():
        path = tmp_path / uri.removeprefix("s3://")
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    sensor = FreshLogsSensor(task_id="t", logs=str(tmp_path), model=MODEL, since=SINCE, at_least=3)
    assert sensor.execute({})["usable"] == 3
