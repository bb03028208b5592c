"""Watches log prefixes for fresh prompts: one listing a prefix, whatever the number of workloads on it.

The triggerer shares one poll among all watchers of a prefix (same connection, Region and pace). The poll lists the
hours that may have changed, reads each new log object once and yields whole snapshots: usable prompts by kind of
traffic and hour. Each watcher counts its own kind in the snapshot, keeps a watermark in the asset's state, and fires
when its threshold is reached. A snapshot is the whole state and never a difference, so one that is missed loses
nothing. The poll never raises for the service.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_distill.aws.profiles import ProfileLookup
from airflow_distill.errors import ServiceAccessError
from airflow_distill.stages.logs.metadata import MetadataFilter
from airflow_distill.stages.logs.selection import Selection, Window
from airflow_distill.stages.logs.source import iter_log_objects
from airflow_distill.stages.status.records import Next
from airflow_distill.stages.storage import LocalStore, ObjectStore
from airflow_distill.triggers.connection import AwsTrigger
from airflow_distill.triggers.threads import in_thread
from airflow_distill.workload.status import Index
from airflow_distill.workload.traffic import (
    CallReader,
    Snapshot,
    Watermark,
    add,
    count_object,
    hours_of,
    named,
)

STATE_KEY = "airflow_distill.watermark"
QUIET_HOURS = 4
"""Hours back that every look lists; older ones are listed again only now and then."""
FULL_LOOK_EVERY = 24
"""So many looks after which all hours of the lookback are listed again, for logs that came very late."""
LONGEST_PAUSE = 3600.0
MOST_BYTES_A_LOOK = 256_000_000
"""Stored bytes that one look reads; what is left comes with the next, after `SHORT_PAUSE` seconds."""
SHORT_PAUSE = 1.0


def _rest() -> None:
    """Let the event loop have the interpreter; a thread that parses would keep it for as long as it likes."""
    time.sleep(0.001)


class LogPrefix:
    """Knows what a log prefix holds, by looking at it again and again. Not for use from two threads at once.

    :param store: where the logs lie.
    :param location: the prefix.
    :param lookback: how far back logs are counted.
    """

    def __init__(self, store: ObjectStore, location: str, lookback: timedelta) -> None:
        self._store = store
        self._location = location
        self._lookback = lookback
        self._reader = CallReader()
        self._objects: dict[str, Snapshot] = {}
        self._looks = 0
        self.listings = 0
        self.has_more = False

    def look(self, now: datetime) -> Snapshot:
        """List, read what is new, and return what the prefix holds."""
        full = self._looks % FULL_LOOK_EVERY == 0
        span = self._lookback if full else min(self._lookback, timedelta(hours=QUIET_HOURS))
        window = Window.parse(now - span, now + timedelta(hours=1))
        self.listings += 1
        self.has_more = False
        read = 0
        for item in list(iter_log_objects(self._store, self._location, window, timedelta(0))):
            if item.uri not in self._objects:
                with contextlib.closing(self._store.open(item.uri)) as stream:
                    self._objects[item.uri] = count_object(stream, self._reader, _rest)
                read += item.size
                if read > MOST_BYTES_A_LOOK:
                    self.has_more = True
                    break
        if not self.has_more:
            self._looks += 1
        oldest = (now - self._lookback).strftime("%Y-%m-%dT%H")
        whole = {
            kind: {hour: count for hour, count in hours.items() if hour >= oldest}
            for kind, hours in add(self._objects.values()).items()
        }
        self._forget(oldest)
        return whole

    def _forget(self, oldest: str) -> None:
        """Drop objects all of whose hours are past; they keep their names, so that they are not read again."""
        for uri, snapshot in self._objects.items():
            if snapshot and all(hour < oldest for hours in snapshot.values() for hour in hours):
                self._objects[uri] = {}


class FreshLogsTrigger(AwsTrigger, BaseEventTrigger):
    """Fires when a workload has enough new usable prompts in its logs. For an `AssetWatcher`.

    :param location: the log prefix.
    :param workload: the workload's name.
    :param threshold: fire at so many new usable prompts since it last fired.
    :param model: the teacher; ids in the logs are resolved to it.
    :param metadata: request-metadata filter in the service's own shape.
    :param operations: only these operations.
    :param identity: pattern over the caller's ARN.
    :param system_digest: fingerprint of the system prompt.
    :param mapping: model behind opaque ARNs.
    :param check_every: seconds between looks.
    :param lookback_hours: how far back logs are counted, and how late they may come.
    :param root: where the workload's status is, in which the missing prompts are written down; nowhere when left out.
    """

    def __init__(
        self,
        location: str = "",
        workload: str = "",
        threshold: int = 1000,
        *,
        model: str = "",
        metadata: Mapping[str, Any] | None = None,
        operations: Sequence[str] = (),
        identity: str = "",
        system_digest: str = "",
        mapping: Mapping[str, str] | None = None,
        check_every: float = 900.0,
        lookback_hours: int = 48,
        root: str = "",
        **other: Any,
    ) -> None:
        super().__init__(**other)
        self.location = location
        self.workload = workload
        self.threshold = threshold
        self.model = model
        self.metadata = dict(metadata) if metadata else None
        self.operations = list(operations)
        self.identity = identity
        self.system_digest = system_digest
        self.mapping = dict(mapping or {})
        self.check_every = check_every
        self.lookback_hours = lookback_hours
        self.root = root

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and plain arguments; never rename one."""
        names = (
            "location", "workload", "threshold", "model", "metadata", "operations", "identity", "system_digest", "mapping",
            "check_every", "lookback_hours", "root", "aws_conn_id", "region_name", "verify", "botocore_config",
        )  # fmt: skip
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            name: getattr(self, name) for name in names
        }

    @property
    def selection(self) -> Selection:
        """What of the prefix is this workload's."""
        return Selection(
            model=self.model,
            metadata=MetadataFilter.from_json(self.metadata) if self.metadata else None,
            operations=tuple(self.operations),
            identity=self.identity,
            system_digest=self.system_digest,
            mapping=self.mapping,
        )

    def shared_stream_key(self) -> Hashable:
        """Return what watchers must have in common to share one poll."""
        return (
            "airflow_distill.fresh_logs",
            self.location,
            self.aws_conn_id,
            self.region_name,
            str(self.verify),
            float(self.check_every),
            int(self.lookback_hours),
        )

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Snapshot]:
        """Look again and again, for ever; a look that fails is tried again after a longer pause."""
        trigger = cls(**kwargs)
        prefix: LogPrefix | None = None
        lookup = ProfileLookup(lambda: trigger.gateways().bedrock)
        pause = float(trigger.check_every)
        while True:
            try:
                if prefix is None:
                    prefix = await in_thread(trigger.open_prefix)
                snapshot = await in_thread(prefix.look, datetime.now(UTC))
                snapshot = await in_thread(named, snapshot, lookup)
            except Exception as error:
                prefix = None if not isinstance(error, ServiceAccessError) else prefix
                pause = min(pause * 2, max(LONGEST_PAUSE, float(trigger.check_every)))
                trigger.log.warning(
                    "Logs under %s cannot be read (%s: %s); next check in %.0f s.",
                    trigger.location, type(error).__name__, error, pause,
                )  # fmt: skip
            else:
                pause = float(trigger.check_every)
                yield snapshot
                if prefix.has_more:
                    await asyncio.sleep(SHORT_PAUSE)
                    continue
            await asyncio.sleep(pause)

    def open_prefix(self) -> LogPrefix:
        """Build what looks; runs in a thread, because building a client takes time."""
        store: ObjectStore = LocalStore()
        if self.location.startswith("s3://"):
            store = self.gateways().objects
        return LogPrefix(store, self.location, timedelta(hours=int(self.lookback_hours)))

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Snapshot]
    ) -> AsyncIterator[TriggerEvent]:
        """Count this workload's prompts in each snapshot; yield at most one event a snapshot."""
        mark = await self._load()
        async for snapshot in shared_stream:
            before, mark = mark, mark.look(hours_of(snapshot, self.selection))
            self.log.info(
                "%s: %s new usable prompts of %s under %s",
                self.workload,
                mark.waiting,
                self.threshold,
                self.location,
            )
            if mark.waiting >= int(self.threshold):
                yield TriggerEvent(self._told(mark))  # type: ignore[no-untyped-call]
                mark = mark.fired()
            if mark != before:
                await self._save(mark)
                await self._tell(mark)

    async def _tell(self, mark: Watermark) -> None:
        """Write down how many prompts are missing, for the page in Airflow; nothing waits for it."""
        if not self.root:
            return
        missing = max(0, int(self.threshold) - mark.waiting)
        found = Next(missing=missing, threshold=int(self.threshold))

        def write() -> None:
            store = self.gateways().objects if self.root.startswith("s3://") else LocalStore()
            Index(store, self.root).change(self.workload, lambda status: replace(status, next=found))

        try:
            await in_thread(write)
        except Exception as error:
            self.log.info("The status of %s was not written (%s).", self.workload, type(error).__name__)

    def _told(self, mark: Watermark) -> dict[str, Any]:
        return {
            "kind": "fresh-logs",
            "v": 1,
            "workload": self.workload,
            "location": self.location,
            "new_prompts": mark.waiting,
            "threshold": int(self.threshold),
            "newest_hour": max((hour for hour, _ in mark.seen), default=""),
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll alone, where polls are not shared (in `dag.test()`)."""
        async for event in self.filter_shared_stream(self.open_shared_stream(self.serialize()[1])):
            yield event

    async def _load(self) -> Watermark:
        if self.asset_state_store is None:
            return Watermark()
        try:
            return Watermark.from_json(await self.asset_state_store.aget(STATE_KEY))
        except Exception as error:
            self.log.warning("The watermark of %s cannot be read (%s); counting again.", self.workload, error)
            return Watermark()

    async def _save(self, mark: Watermark) -> None:
        if self.asset_state_store is None:
            return
        try:
            await self.asset_state_store.aset(STATE_KEY, mark.to_json())
        except Exception as error:
            self.log.warning("The watermark of %s cannot be written (%s).", self.workload, error)
