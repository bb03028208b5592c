"""The trigger lists until there are enough bytes; it yields once, downloads nothing and never raises for the service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_distill.errors import ServiceAccessError, ServiceThrottledError
from airflow_distill.stages.storage import MemoryStore, ObjectStore, StoredObject
from airflow_distill.triggers.logs import REFUSALS_IN_A_ROW, LogsGrownTrigger
from tests.stages.logs.log_records import key_of

pytestmark = pytest.mark.airflow

THROTTLED = ServiceThrottledError("slow down", operation="ListObjectsV2")
DENIED = ServiceAccessError("no", operation="ListObjectsV2")


class Growing(MemoryStore):
    """A store that grows with each look, fails when told to, and cannot be read from."""

    def __init__(self, looks: list[int | Exception]) -> None:
        super().__init__()
        self.looks = looks
        self.looked = 0

    def iter_objects(self, prefix: str) -> Iterator[StoredObject]:
        look = self.looks[min(self.looked, len(self.looks) - 1)]
        self.looked += 1
        if isinstance(look, Exception):
            raise look
        yield StoredObject(key_of("2026/11/20", 10), look)

    def read(self, uri: str) -> bytes:
        raise AssertionError("a trigger downloads nothing")

    open = read  # type: ignore[assignment]


class Watching(LogsGrownTrigger):
    """A trigger whose clock moves only while it pauses."""

    given: ObjectStore
    moment = datetime(2026, 11, 20, 11, tzinfo=UTC)
    pauses: list[float]

    def store(self) -> ObjectStore:
        return self.given

    def now(self) -> datetime:
        return self.moment

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.moment += timedelta(seconds=seconds)


def watch(looks: list[int | Exception], **changes: Any) -> tuple[list[dict[str, Any]], Watching]:
    # A prefix below the Region needs one listing a look.
    logs = key_of("2026/11/20", 10).rpartition("/")[0]
    arguments = {"logs": logs, "since": "2026-11-20T10:00:00Z", "enough_bytes": 100, "poll_interval": 60.0}
    trigger = Watching(**{**arguments, **changes})
    trigger.given = Growing(looks)
    trigger.pauses = []

    async def events() -> list[dict[str, Any]]:
        return [event.payload async for event in trigger.run()]

    return asyncio.run(events()), trigger


def test_it_yields_once_when_enough_has_come() -> None:
    events, trigger = watch([10, 50, 100, 500])
    assert events == [{"status": "grown", "objects": 1, "bytes": 100}]
    assert trigger.pauses == [60.0, 60.0]


def test_it_looks_before_it_pauses() -> None:
    assert watch([100])[1].pauses == []


def test_hiccups_are_asked_again_with_growing_pauses() -> None:
    events, trigger = watch([THROTTLED, OSError("reset"), ValueError("odd"), 100])
    assert events == [{"status": "grown", "objects": 1, "bytes": 100}]
    assert trigger.pauses == [120.0, 240.0, 480.0]


def test_a_refusal_that_stays_ends_the_wait_with_the_words_of_the_service() -> None:
    events, trigger = watch([DENIED])
    assert events == [{"status": "refused", "objects": 0, "bytes": 0, "error": "no"}]
    assert len(trigger.pauses) == REFUSALS_IN_A_ROW - 1


def test_a_refusal_that_heals_is_forgotten() -> None:
    looks: list[int | Exception] = [DENIED] * (REFUSALS_IN_A_ROW - 1)
    assert watch([*looks, 1, *looks, 100])[0][0]["status"] == "grown"


@pytest.mark.parametrize("looks", [[1], [THROTTLED]])
def test_the_deadline_ends_the_wait(looks: list[int | Exception]) -> None:
    events, trigger = watch(looks, deadline="2026-11-20T12:30:30+00:00")
    assert [event["status"] for event in events] == ["timeout"]
    assert trigger.moment == datetime(2026, 11, 20, 12, 30, 30, tzinfo=UTC)


def test_what_is_stored_rebuilds_the_same_trigger_and_is_plain() -> None:
    trigger = LogsGrownTrigger(
        logs="s3://b/p",
        since="2026-11-20T10:00:00Z",
        enough_bytes=7,
        deadline="2026-11-21T00:00:00+00:00",
        poll_interval=30,
        aws_conn_id="mine",
        region_name="us-west-2",
        verify="/ca.pem",
        botocore_config={"read_timeout": 7},
    )
    path, arguments = trigger.serialize()
    assert path == "airflow_distill.triggers.logs.LogsGrownTrigger"
    assert json.loads(json.dumps(arguments)) == arguments
    assert LogsGrownTrigger(**arguments).serialize() == (path, arguments)


def test_an_argument_of_another_version_does_not_break_a_wait() -> None:
    assert LogsGrownTrigger(logs="s3://b/p", since="2026-11-20", colour="blue").logs == "s3://b/p"
