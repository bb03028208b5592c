"""Opens log objects one after the other, while the next ones are already on their way.

Standard library and the store protocol only. Fetching from a bucket is waiting, so small objects are fetched whole by a few
threads, a bounded number of bytes ahead, and large ones are streamed. Files of this machine are just opened. An object
that vanished since it was listed is handed on as None. Whatever breaks while a stream is read becomes one of our
errors, so that a task knows it may try again.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, cast

from airflow_distill.errors import DistillError, ServiceUnavailableError
from airflow_distill.stages.storage import LocalStore, ObjectMissingError, ObjectStore, StoredObject

FETCHED_WHOLE = 8_000_000
BYTES_AHEAD = 24_000_000
OBJECTS_AHEAD = 8

Opened = tuple[StoredObject, BinaryIO | None]


class SafeStream(io.RawIOBase):
    """A stream whose failures are `ServiceUnavailableError`, which is worth a retry."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except DistillError:
            raise
        except Exception as error:
            raise ServiceUnavailableError(
                f"logs: a log object broke off while it was read ({type(error).__name__}).",
                operation="GetObject",
                hint="Try again; nothing was written.",
            ) from error

    def close(self) -> None:
        self._stream.close()
        super().close()


def open_ahead(store: ObjectStore, objects: Iterable[StoredObject]) -> Iterator[Opened]:
    """Yield (object, its stream or None when it is gone) in the order given."""
    if isinstance(store, LocalStore):
        for item in objects:
            yield item, _open(store, item)
        return
    with ThreadPoolExecutor(OBJECTS_AHEAD, thread_name_prefix="log-objects") as pool:
        ahead: deque[tuple[StoredObject, Future[BinaryIO | None] | None]] = deque()
        waiting = iter(objects)
        promised = 0
        following = next(waiting, None)
        while following is not None or ahead:
            while following is not None and len(ahead) < OBJECTS_AHEAD:
                small = following.size <= FETCHED_WHOLE
                if ahead and promised + (following.size if small else 0) > BYTES_AHEAD:
                    break
                promised += following.size if small else 0
                ahead.append((following, pool.submit(_fetch, store, following) if small else None))
                following = next(waiting, None)
            item, future = ahead.popleft()
            yield item, future.result() if future is not None else _open(store, item)
            promised -= item.size if future is not None else 0


def _open(store: ObjectStore, item: StoredObject) -> BinaryIO | None:
    try:
        return cast("BinaryIO", SafeStream(store.open(item.uri)))
    except ObjectMissingError:
        return None


def _fetch(store: ObjectStore, item: StoredObject) -> BinaryIO | None:
    try:
        return io.BytesIO(store.read(item.uri))
    except ObjectMissingError:
        return None
