"""How much is new in the logs since a moment: first by listing, which is cheap, then by reading, which is exact.

Imports this stage only; the present time is passed in. The listing says how many stored bytes there are. Reading says
how many distinct usable prompts they hold, up to the number that is asked for. From both follows how many bytes to wait
for before it is worth reading again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_distill.remote.times import iso
from airflow_distill.stages.logs.selection import Selection, Window
from airflow_distill.stages.logs.source import iter_log_objects
from airflow_distill.stages.storage import ObjectStore

EARLIER = 0.8
"""Look a little before the estimate says so: reading too early costs less than waiting too long."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Log objects and their stored bytes."""

    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Fresh:
    """What the logs hold since a moment. `usable` stops counting at the number asked for."""

    since: str
    until: str
    usable: int
    lines: int
    listed: Listed

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "fresh-logs",
            "v": 1,
            "since": self.since,
            "until": self.until,
            "usable": self.usable,
            "lines": self.lines,
            "objects": self.listed.objects,
            "bytes": self.listed.bytes,
        }


def window_since(since: str, now: datetime) -> Window | None:
    """Return the window from a moment until now; None when the moment has not come yet."""
    moment = Window.parse(since, "9999-01-01T00:00:00Z").start
    until = iso(now)
    return Window(moment, until) if moment < until else None


def look_at_listing(store: ObjectStore, logs: str, since: str, now: datetime) -> Listed:
    """Return what the listing shows since a moment."""
    window = window_since(since, now)
    if window is None:
        return Listed(0, 0)
    sizes = [item.size for item in iter_log_objects(store, logs, window, timedelta(0))]
    return Listed(len(sizes), sum(sizes))


def count_fresh(
    store: ObjectStore, logs: str, selection: Selection, since: str, now: datetime, at_least: int
) -> Fresh:
    """Read the logs since a moment and count distinct usable prompts of the selection, up to `at_least`."""
    from airflow_distill.stages.logs.harvest import harvest_logs  # reads; who only lists does not load it

    window = window_since(since, now)
    if window is None:
        return Fresh(since, since, 0, 0, Listed(0, 0))
    wanted = Selection(
        model=selection.model,
        window=window,
        metadata=selection.metadata,
        operations=selection.operations,
        identity=selection.identity,
        system_digest=selection.system_digest,
        mapping=selection.mapping,
    )
    harvest = harvest_logs(store, logs, wanted, salt="fresh", limit=at_least, overlap=timedelta(0))
    counts = harvest.counts
    listed = Listed(sum(counts.objects.values()), counts.stored_bytes)
    return Fresh(window.start, window.end, counts.kept, counts.lines, listed)


def bytes_worth_reading(fresh: Fresh, at_least: int) -> int:
    """Return at how many stored bytes the logs may hold enough, judging by what they held so far."""
    missing = at_least - fresh.usable
    if fresh.usable == 0 or missing <= 0:
        return fresh.listed.bytes + 1
    more = fresh.listed.bytes * missing / fresh.usable
    return fresh.listed.bytes + max(1, int(more * EARLIER))
