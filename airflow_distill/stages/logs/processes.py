"""Shards read by several processes on one machine; what the command line and a single task use.

Standard library only. Across machines the shards are mapped tasks, and this module is not needed. Processes are started
afresh rather than forked, since a forked SDK client or thread pool is not safe to use.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
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
    """Read the first shard here and each other in a process of its own, then merge them in the shards' order."""
    whole = sum(shard.size for shard in shards)
    context = multiprocessing.get_context("spawn")
    first, *others = shards
    with (
        tempfile.TemporaryDirectory(prefix="harvest-") as folder,
        ProcessPoolExecutor(max(1, len(others)), context, initializer=partial(_start, open_store)) as pool,
    ):
        running = [(shard, pool.submit(_run, task, shard, patience, folder)) for shard in others]

        def tell(done_here: int, _: int) -> None:
            if progress is not None:
                progress(done_here + sum(shard.size for shard, future in running if future.done()), whole)

        merged = task.run(open_store(), first, patience, tell)
        for shard, future in running:
            future.result()
            merged.absorb(_read(folder, shard))
            tell(first.size, whole)
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
