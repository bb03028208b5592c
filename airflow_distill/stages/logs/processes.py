"""Shards read by several processes on one machine; what the command line and a single task use.

Standard library only. Across machines the shards are mapped tasks, and this module is not needed. Processes are started
afresh rather than forked, since a forked SDK client or thread pool is not safe to use.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial

from airflow_distill.stages.logs.reader import Patience, Progress, ShardTask
from airflow_distill.stages.logs.shard_file import Harvest
from airflow_distill.stages.logs.source import Shard
from airflow_distill.stages.storage import ObjectStore

_store: ObjectStore | None = None


def harvest_in_processes(
    open_store: Callable[[], ObjectStore],
    task: ShardTask,
    shards: Sequence[Shard],
    patience: Patience | None = None,
    progress: Progress | None = None,
) -> Harvest:
    """Read each shard in a process of its own and merge them in the shards' order."""
    whole = sum(shard.size for shard in shards)
    done = 0
    packed: dict[int, bytes] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(shards), context, initializer=partial(_start, open_store)) as pool:
        running = {pool.submit(_run, task, shard, patience): shard for shard in shards}
        for future in as_completed(running):
            shard = running[future]
            packed[shard.number] = future.result()
            done += shard.size
            if progress is not None:
                progress(done, whole)
    merged: Harvest | None = None
    for number in sorted(packed):
        harvest = Harvest.from_bytes(packed.pop(number))
        if merged is None:
            merged = harvest
        else:
            merged.absorb(harvest)
    assert merged is not None
    return merged


def _start(open_store: Callable[[], ObjectStore]) -> None:
    global _store
    _store = open_store()


def _run(task: ShardTask, shard: Shard, patience: Patience | None) -> bytes:
    assert _store is not None
    return task.run(_store, shard, patience).to_bytes()
