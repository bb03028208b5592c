"""Finds the log objects of a window and cuts them into shards of equal bytes.

Standard library only; reading and listing go through an `ObjectStore`. The logs may be named at any level of Bedrock's
layout, `.../AWSLogs/<account>/BedrockModelInvocationLogs/<region>/YYYY/MM/DD/HH/<time>_<id>.json.gz`, as one object, or as
a folder of log files without the layout. With the layout only the hours of the window are listed, plus some hours after it,
because records are delivered late. Bodies (`data/` under an hour) and the permission check are no log objects.
"""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from airflow_distill.stages.logs.selection import Window
from airflow_distill.stages.storage import LocalStore, ObjectStore, StoredObject

DEFAULT_OVERLAP = timedelta(hours=3)
LOG_SUFFIXES = (".json.gz", ".jsonl.gz", ".json", ".jsonl", ".ndjson", ".ndjson.gz", ".log")
PERMISSION_CHECK = "amazon-bedrock-logs-permission-check"
_WRITE_TEST = "aws-logs-write-test"
"""What an export of CloudWatch Logs leaves behind."""
_LOGS_FOLDER = "BedrockModelInvocationLogs"
_HOUR = re.compile(r"/(\d{4})/(\d{2})/(\d{2})/(\d{2})/")
_PARTIAL_DATE = re.compile(r"/(\d{4})(?:/(\d{2})(?:/(\d{2})(?:/(\d{2}))?)?)?/\Z")
_BODY = re.compile(r"/\d{4}/\d{2}/\d{2}/\d{2}/data/")


@runtime_checkable
class FolderStore(Protocol):
    """A store that can name the folders directly below a prefix without listing what is in them."""

    def iter_folders(self, prefix: str) -> Iterator[str]:
        """Yield the folders' URIs, each with a trailing slash."""
        ...


@dataclass(frozen=True, slots=True)
class Shard:
    """The log objects that one task reads."""

    number: int
    of: int
    objects: tuple[StoredObject, ...]

    @property
    def size(self) -> int:
        """Stored bytes of its objects."""
        return sum(item.size for item in self.objects)

    @property
    def name(self) -> str:
        """The shard's file name without suffix, the same on every re-run of the same plan."""
        return f"{self.number:04d}-of-{self.of:04d}"

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "of": self.of,
            "objects": [[item.uri, item.size] for item in self.objects],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Shard:
        objects = tuple(StoredObject(uri, int(size)) for uri, size in data["objects"])
        return cls(int(data["number"]), int(data["of"]), objects)


def is_log_object(uri: str) -> bool:
    """Say whether an object's name is that of a log object: no body, no permission check, a known suffix or none.

    Firehose names its objects without a suffix.
    """
    name = uri.rpartition("/")[2]
    if not name or name.startswith(("_", ".")) or PERMISSION_CHECK in uri or name == _WRITE_TEST:
        return False
    return (uri.endswith(LOG_SUFFIXES) or "." not in name.removesuffix(".gz")) and _BODY.search(uri) is None


def is_an_object(store: ObjectStore, uri: str) -> bool:
    """Say whether a location is a log object itself and no prefix.

    In S3 only a name with a known suffix is asked for: a prefix is asked about in every run, and the printed roles allow to
    read what lies under it, not the prefix itself.
    """
    return (not uri.startswith("s3://") or uri.endswith(LOG_SUFFIXES)) and store.exists(uri)


def iter_log_objects(
    store: ObjectStore,
    logs: str,
    window: Window | None = None,
    overlap: timedelta = DEFAULT_OVERLAP,
) -> Iterator[StoredObject]:
    """Yield the log objects that can hold records of the window, folder by folder, in key order within each."""
    if is_log_object(logs) and is_an_object(store, logs):
        yield from (item for item in store.iter_objects(logs) if item.uri == logs)
        return
    for prefix in _listing_prefixes(store, logs, window, overlap):
        for item in store.iter_objects(prefix):
            if is_log_object(item.uri) and item.size and _in_hours(item.uri, prefix, window, overlap):
                yield item


def _listing_prefixes(
    store: ObjectStore, logs: str, window: Window | None, overlap: timedelta
) -> Iterator[str]:
    root = logs.rstrip("/") + "/"
    regions = list(_region_folders(store, root))
    if not regions or window is None:
        yield from regions or [root]
        return
    for region in regions:
        yield from _hour_folders(region, window, overlap)


def _region_folders(store: ObjectStore, root: str) -> Iterator[str]:
    """Yield the folders that hold years (or a part of a date, when the root names one); nothing without the layout."""
    head, found, tail = root.partition(f"/{_LOGS_FOLDER}/")
    if found:
        if tail:
            yield root
        else:
            yield from iter_folders(store, root)
        return
    if head.endswith("/AWSLogs/") or _is_account(head):
        accounts = [root] if _is_account(head) else list(iter_folders(store, root))
        for account in accounts:
            yield from iter_folders(store, f"{account}{_LOGS_FOLDER}/")
        return
    for account in iter_folders(store, f"{root}AWSLogs/"):
        yield from iter_folders(store, f"{account}{_LOGS_FOLDER}/")


def _is_account(root: str) -> bool:
    return re.search(r"/AWSLogs/\d{12}/\Z", root) is not None


def iter_folders(store: ObjectStore, prefix: str) -> Iterator[str]:
    """Yield the folders directly below a prefix, in order, each with a trailing slash."""
    if isinstance(store, FolderStore):
        yield from store.iter_folders(prefix)
    elif isinstance(store, LocalStore):
        folder = Path(prefix)
        names = (
            sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()) if folder.is_dir() else []
        )
        yield from (f"{prefix}{name}/" for name in names)
    else:
        names = sorted(
            {
                name
                for item in store.iter_objects(prefix)
                for name, below, _ in [item.uri.removeprefix(prefix).partition("/")]
                if below
            }
        )
        yield from (f"{prefix}{name}/" for name in names)


def _hour_folders(region: str, window: Window, overlap: timedelta) -> Iterator[str]:
    """Yield the prefixes that together are the window's hours below one Region, whole days as one prefix."""
    first, last = window.hours(overlap)
    base, named = _split_date(region)
    moment = first
    while moment <= last:
        if moment.hour == 0 and moment + timedelta(hours=23) <= last:
            prefix, step = f"{base}{moment:%Y/%m/%d/}", timedelta(days=1)
        else:
            prefix, step = f"{base}{moment:%Y/%m/%d/%H/}", timedelta(hours=1)
        if prefix.startswith(named):
            yield prefix
        elif named.startswith(prefix):
            yield named
        moment += step


def _split_date(region: str) -> tuple[str, str]:
    """Return (Region folder, whole prefix); a prefix may name a year, month, day or hour below the Region."""
    match = _PARTIAL_DATE.search(region)
    return (region[: match.start() + 1] if match else region), region


def _in_hours(uri: str, prefix: str, window: Window | None, overlap: timedelta) -> bool:
    """Say whether an object lies in the window's hours; one outside the layout always may hold its records."""
    if window is None:
        return True
    first, last = window.hours(overlap)
    hour = hour_of(uri)
    return hour is None or first <= hour <= last


def hour_of(uri: str) -> datetime | None:
    """Return the hour by which an object was delivered, from its folder; None outside Bedrock's layout."""
    match = _HOUR.search(uri)
    if match is None:
        return None
    try:
        return datetime.strptime("/".join(match.groups()), "%Y/%m/%d/%H").replace(tzinfo=UTC)
    except ValueError:
        return None


def cut_shards(objects: Iterable[StoredObject], most: int, least_bytes: int = 0) -> list[Shard]:
    """Cut objects into at most `most` shards of nearly equal bytes.

    The cut depends on the objects only, not on their order. Small inputs give fewer shards: none below `least_bytes`
    unless it is the only one. No objects still give one empty shard, so that a window without traffic has its count.
    """
    ordered = sorted(objects, key=lambda item: (-item.size, item.uri))
    total = sum(item.size for item in ordered)
    wanted = min(most, len(ordered), total // least_bytes if least_bytes else most)
    number = max(1, wanted)
    bins: list[list[StoredObject]] = [[] for _ in range(number)]
    heap = [(0, index) for index in range(number)]
    for item in ordered:
        size, index = heap[0]
        bins[index].append(item)
        heapq.heapreplace(heap, (size + item.size, index))
    return [
        Shard(index, number, tuple(sorted(items, key=lambda item: item.uri)))
        for index, items in enumerate(bins)
    ]


def sibling_body(log_object: str, body_uri: str) -> str | None:
    """Return where a stored body lies: in `data/` beside the log object, under the last part of what the record says.

    What a record says is a stranger's word: it is followed neither to another bucket nor to a file of this machine. None
    when its last part is no name of an object.
    """
    name = body_uri.rpartition("/")[2]
    if name in ("", ".", "..") or len(name) > 256 or not name.isprintable() or "\\" in name:
        return None
    return f"{log_object.rpartition('/')[0]}/data/{name}"
