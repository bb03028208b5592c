"""Shards read by several processes on one machine; what the command line and a single task use.

Standard library only. Across machines the shards are mapped tasks, and this module is not needed. Processes are started
afresh rather than forked, since a forked SDK client or thread pool is not safe to use.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

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
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="harvest-") as folder:
        with ProcessPoolExecutor(len(shards), context, initializer=partial(_start, open_store)) as pool:
            running = {pool.submit(_run, task, shard, patience, folder): shard for shard in shards}
            for future in as_completed(running):
                future.result()
                done += running[future].size
                if progress is not None:
                    progress(done, whole)
        merged = _read(folder, shards[0])
        for shard in shards[1:]:
            merged.absorb(_read(folder, shard))
    return merged


def _read(folder: str, shard: Shard) -> Harvest:
    with (Path(folder) / shard.name).open("rb") as stream:
        return Harvest.read(stream)


def _start(open_store: Callable[[], ObjectStore]) -> None:
    global _store
    _store = open_store()


def _run(task: ShardTask, shard: Shard, patience: Patience | None, folder: str) -> None:
    assert _store is not None
    with (Path(folder) / shard.name).open("wb") as stream:
        task.run(_store, shard, patience).write(stream)
