"""Logs in, a sample of usable interactions out, and every line accounted for.

The stage's front door: takes an object store, a place and a selection; hands on a `Harvest`. Imports no Airflow and no AWS
SDK; reads no clock: the present time and the means to pause are passed in. A harvest can be made in one go, in several
processes, or shard by shard by tasks that never meet; the merged result is the same to the byte.

The arithmetic that always holds: lines = kept + the sum of skipped by reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, cast

from airflow_distill.errors import LogFormatError
from airflow_distill.stages.forgotten import Tombstones
from airflow_distill.stages.logs.limits import DEFAULT_LIMIT
from airflow_distill.stages.logs.processes import harvest_in_processes
from airflow_distill.stages.logs.reader import Patience, Progress, ShardTask, new_harvest, salt_digest
from airflow_distill.stages.logs.selection import Selection, Window
from airflow_distill.stages.logs.shard_file import Harvest, HarvestCounts, Redact
from airflow_distill.stages.logs.source import DEFAULT_OVERLAP, cut_shards, iter_log_objects
from airflow_distill.stages.logs.streams import SafeStream
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore

__all__ = [
    "DEFAULT_LIMIT",
    "DEFAULT_OVERLAP",
    "Harvest",
    "HarvestCounts",
    "Patience",
    "Redact",
    "ShardTask",
    "harvest_logs",
    "new_harvest",
    "patience_for",
    "read_harvest",
    "salt_digest",
]


def harvest_logs(
    store: ObjectStore,
    logs: str,
    selection: Selection,
    *,
    salt: str,
    limit: int = DEFAULT_LIMIT,
    answer_rule: str = "latest",
    redact: Redact | None = None,
    workers: int = 1,
    open_store: Callable[[], ObjectStore] | None = None,
    overlap: timedelta = DEFAULT_OVERLAP,
    now: datetime | None = None,
    pause: Callable[[float], None] | None = None,
    progress: Progress | None = None,
    forgotten: Tombstones | None = None,
) -> Harvest:
    """Harvest a place in one go.

    :param logs: the logs at any level of their layout, a folder of log files, or one file.
    :param salt: the workload's salt.
    :param limit: the most distinct prompts to keep.
    :param redact: how prompts and answers are redacted before they are written or handed on; not at all when left out.
    :param workers: processes; more than one needs a picklable store or `open_store`.
    :param open_store: makes the store in a worker process; must be picklable.
    :param overlap: how long after the window's end records may still be delivered.
    :param now: the present time; with `pause`, bodies that can still arrive are waited for.
    :param progress: called with (stored bytes done, all stored bytes).
    :param forgotten: who must be left out.
    """
    objects = list(iter_log_objects(store, logs, selection.window, overlap))
    task = ShardTask(selection, salt, limit, answer_rule, redact, forgotten)
    patience = patience_for(selection.window, overlap, now, pause)
    if workers <= 1 or len(objects) < 2:
        (shard,) = cut_shards(objects, 1)
        return task.run(store, shard, patience, progress)
    workers = min(workers, len(objects))
    return harvest_in_processes(
        store, open_store or _Ready(store), task, objects, workers, patience, progress
    )


def patience_for(
    window: Window | None,
    overlap: timedelta,
    now: datetime | None,
    pause: Callable[[float], None] | None,
) -> Patience | None:
    """Return how to wait for bodies, or None when the window lies so far back that none can still arrive."""
    if now is None or pause is None:
        return None
    if window is not None and now >= window.hours(overlap)[1] + timedelta(hours=1):
        return None
    return Patience(pause)


@dataclass(frozen=True, slots=True)
class _Ready:
    """Hands on a store that exists; what worker processes unpickle."""

    store: ObjectStore

    def __call__(self) -> ObjectStore:
        return self.store


def read_harvest(store: ObjectStore, uris: Sequence[str], *, limit: int | None = None) -> Harvest:
    """Merge the shard files of a harvest, in any order.

    :param limit: the most prompts to keep; the shards' own limit when left out, and never more than that.
    :raises LogFormatError: a shard file cannot be read, there is none, or they are not all the parts of one harvest.
    """
    merged: Harvest | None = None
    for uri in sorted(set(uris)):
        with _open_shard_file(store, uri) as stream:
            merged = Harvest.read(stream, merged, limit=limit)
    if merged is None:
        raise LogFormatError(
            "logs: the harvest has no shard files.", hint="Run the harvest of this window first."
        )
    merged.prove_whole()
    return merged


def _open_shard_file(store: ObjectStore, uri: str) -> BinaryIO:
    try:
        return cast("BinaryIO", SafeStream(store.open(uri)))
    except ObjectMissingError:
        raise LogFormatError(
            f"logs: the shard file {uri} is not there.", hint="Run the harvest again."
        ) from None
