"""Log objects read by several processes on one machine; what the command line and a single task use.

Standard library only. Across machines the shards are mapped tasks, and this module is not needed. This process reads too,
while the others start; whoever is free takes the next object, so none waits for another. Processes are started afresh
rather than forked, since a forked SDK client or thread pool is not safe to use. What the others kept is merged onto what
this one keeps; each leaves out what the others show to be outside the sample.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing.context import SpawnContext
from pathlib import Path

from airflow_distill.stages.logs.reader import Patience, Progress, ShardTask
from airflow_distill.stages.logs.shard_file import Harvest
from airflow_distill.stages.logs.surplus import FOLDER, Surplus
from airflow_distill.stages.storage import LocalStore, ObjectStore, StoredObject

BUFFER = 1 << 20
"""Bytes at once from and to the files in which processes hand over what they kept."""


class SharedObjects:
    """The log objects that processes take turns at, the largest first; each is iterated over in one of them only.

    Picklable while a process starts. `size` is the stored bytes of all, `done` of those that were read.
    """

    def __init__(self, context: SpawnContext, objects: Iterable[StoredObject]) -> None:
        self._objects = sorted(objects, key=lambda item: (-item.size, item.uri))
        self.size = sum(item.size for item in self._objects)
        self._taken = context.Value("q", 0)
        self._done = context.Value("q", 0)

    def __iter__(self) -> Iterator[StoredObject]:
        while (number := self._take()) < len(self._objects):
            yield self._objects[number]

    @property
    def done(self) -> int:
        """Stored bytes that were read so far, by all."""
        return int(self._done.value)

    def count(self, size: int) -> None:
        """Count stored bytes as read."""
        with self._done.get_lock():
            self._done.value += size

    def withdraw(self) -> None:
        """Let no process take any more."""
        self._taken.value = len(self._objects)

    def _take(self) -> int:
        with self._taken.get_lock():
            number = int(self._taken.value)
            self._taken.value = number + 1
            return number


def harvest_in_processes(
    store: ObjectStore,
    open_store: Callable[[], ObjectStore],
    task: ShardTask,
    objects: Sequence[StoredObject],
    workers: int,
    patience: Patience | None = None,
    progress: Progress | None = None,
) -> Harvest:
    """Read objects by this process and `workers - 1` others, and merge what each kept."""
    context = multiprocessing.get_context("spawn")
    shared = SharedObjects(context, objects)
    with tempfile.TemporaryDirectory(prefix="harvest-") as folder:
        paths = [Path(folder) / str(number) for number in range(1, workers)]
        start = partial(_start, open_store, shared)
        with ProcessPoolExecutor(workers - 1, context, initializer=start) as pool:
            try:
                running = [pool.submit(_run, task, patience, path) for path in paths]
                harvest = _read(store, shared, task, patience, Path(folder) / "here", progress)
                for future in as_completed(running):
                    future.result()
                    if progress is not None:
                        progress(shared.done, shared.size)
            finally:
                shared.withdraw()
                pool.shutdown(wait=False)
            for path in paths:
                with path.open("rb", BUFFER) as stream:
                    Harvest.read_plain(stream, harvest)
        harvest.prove_whole()
        return harvest


_store: ObjectStore | None = None
_shared: SharedObjects | None = None


def _start(open_store: Callable[[], ObjectStore], shared: SharedObjects) -> None:
    global _store, _shared
    _store, _shared = open_store(), shared


def _run(task: ShardTask, patience: Patience | None, path: Path) -> None:
    assert _store is not None
    assert _shared is not None
    try:
        harvest = _read(_store, _shared, task, patience, path)
    except BaseException:
        _shared.withdraw()
        raise
    with path.open("wb", BUFFER) as stream:
        harvest.write_plain(stream)
    harvest.sample.close()


def _read(
    store: ObjectStore,
    shared: SharedObjects,
    task: ShardTask,
    patience: Patience | None,
    path: Path,
    progress: Progress | None = None,
) -> Harvest:
    """Read what this process can get of the shared objects; `path` names its part, and lies in the folder of all."""

    def count(size: int) -> None:
        shared.count(size)
        if progress is not None:
            progress(shared.done, shared.size)

    surplus = Surplus(LocalStore(), str(path.parent / FOLDER), path.name)
    return task.run_objects(store, shared, patience, count, surplus)
