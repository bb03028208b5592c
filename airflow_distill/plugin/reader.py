"""Reads what the pages show: small status records first, goods of one workload on request. Reads only.

A list costs one listing, and one read for each record that has changed since this process read it last. Records are
written by whoever may write to the bucket, so a URI in one is followed only within its workload's own folder, and nothing
larger than a limit is read.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow.configuration import conf

from airflow_distill.errors import ConfigurationError
from airflow_distill.hooks.settings import VARIABLE_PREFIX, extra_settings, setting_text
from airflow_distill.links.switch import SECTION
from airflow_distill.stages.digest import record_of, sha256_hex
from airflow_distill.stages.shown import one_line
from airflow_distill.stages.status.records import (
    HISTORIES,
    MOST_BYTES,
    WORKLOAD_NAME,
    RunStatus,
    Status,
    decode_run,
    decode_status,
    plain,
    runs_prefix,
    status_uri,
    statuses_prefix,
)
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore, StoredObject, join_uri

Record = TypeVar("Record")

MOST_GOODS = 16_000_000
"""Bytes of one object that a page shows something of; a scorecard of many slices has one or two million."""

READERS = 10
MEMORY_SECONDS = 2.0
"""So long a listing counts for all who ask."""


class GoodsError(Exception):
    """Something a page shows is missing, too large, or not what a record says; the message is for people."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A status as it was read last, and what a list shows of it; both None where the record cannot be read."""

    tag: str
    status: Status | None
    row: Mapping[str, Any] | None


class Reader:
    """Reads one root.

    :param store: where the objects lie.
    :param root: the workloads' common root, `s3://bucket/prefix` or a folder.
    """

    def __init__(self, store: ObjectStore, root: str) -> None:
        self._store = store
        self.root = root.rstrip("/")
        self._kept: dict[str, Kept] = {}
        self._listed_at = float("-inf")
        self._lock = threading.Lock()

    def statuses(self) -> tuple[list[Kept], int]:
        """Return all workloads' statuses by name, and how many records could not be read."""
        with self._lock:
            if time.monotonic() - self._listed_at > MEMORY_SECONDS:
                self._refresh()
            kept = [self._kept[name] for name in sorted(self._kept)]
        found = [each for each in kept if each.status is not None]
        return found, len(kept) - len(found)

    def _refresh(self) -> None:
        prefix = statuses_prefix(self.root)
        listed: dict[str, StoredObject] = {}
        for item in self._store.iter_objects(prefix):
            name = item.uri.removeprefix(prefix).removesuffix(".json")
            if WORKLOAD_NAME.fullmatch(name) and item.uri.endswith(".json"):
                listed[name] = item
        changed = [n for n, item in listed.items() if n not in self._kept or self._kept[n].tag != item.tag]
        with ThreadPoolExecutor(READERS) as pool:
            read = dict(zip(changed, pool.map(lambda n: self._one(n, listed[n]), changed), strict=True))
        self._kept = {name: read.get(name) or self._kept[name] for name in listed}
        self._listed_at = time.monotonic()

    def _one(self, name: str, item: StoredObject) -> Kept:
        status = self._status(item.uri, name) if item.size <= MOST_BYTES else None
        if status is None:
            return Kept(item.tag, None, None)
        row = {field: value for field, value in shown(status).items() if field not in HISTORIES}
        return Kept(item.tag, status, row)

    def _status(self, uri: str, workload: str) -> Status | None:
        try:
            found = decode_status(self._bytes(uri, MOST_BYTES))
        except (ObjectMissingError, ValueError, GoodsError):
            return None
        return found if found.workload == workload else None

    def status(self, workload: str) -> Status | None:
        """Return one workload's status as it lies there now."""
        return self._status(status_uri(self.root, workload), workload)

    def runs(self, dag_id: str, run_id: str) -> list[RunStatus]:
        """Return what a Dag run has made, by workload; a record of another run is none."""
        found = []
        for item in self._store.iter_objects(runs_prefix(self.root, dag_id, run_id)):
            if item.size > MOST_BYTES:
                continue
            try:
                run = decode_run(self._bytes(item.uri, MOST_BYTES))
            except (ObjectMissingError, ValueError, GoodsError):
                continue
            if (run.dag_id, run.run_id) == (dag_id, run_id) and WORKLOAD_NAME.fullmatch(run.workload):
                found.append(run)
        return sorted(found, key=lambda run: run.workload)

    def goods(self, workload: str, uri: str, sha256: str = "") -> bytes:
        """Return an object of a workload.

        :param sha256: what its bytes must have, where that is recorded.
        :raises GoodsError: it lies elsewhere, is gone, too large, or not what was recorded.
        """
        folder = join_uri(self.root, workload) + "/"
        if (
            not uri.startswith(folder)
            or not re.fullmatch(r"[\w./-]{1,400}", uri[len(folder) :])
            or ".." in uri
        ):
            raise GoodsError("What is recorded lies outside the workload's folder; it is not read.")
        try:
            data = self._bytes(uri, MOST_GOODS)
        except ObjectMissingError:
            raise GoodsError(f"{uri} is gone: a retention rule, or a person, removed it.") from None
        if sha256 and sha256_hex(data) != sha256:
            raise GoodsError(
                f"{uri} is not what was recorded of it: it was changed. Run `airflow-distill verify`."
            )
        return data

    def record(
        self, workload: str, uri: str, read: Callable[[dict[str, Any]], Record], sha256: str = ""
    ) -> Record:
        """Return what `read` makes of an object of a workload.

        :raises GoodsError: as `goods`, or it is no such record.
        """
        data = self.goods(workload, uri, sha256)
        try:
            return record_of(data, read)
        except Exception as error:
            raise GoodsError(f"{uri} cannot be read ({type(error).__name__}).") from None

    def lines(self, workload: str, uri: str, sha256: str = "") -> Iterable[bytes]:
        """Return the lines of an object of a workload."""
        return self.goods(workload, uri, sha256).splitlines()

    def _bytes(self, uri: str, most: int) -> bytes:
        with self._store.open(uri) as stream:
            data = stream.read(most + 1)
        if len(data) > most:
            raise GoodsError(f"{uri} holds more than {most:,} bytes; the page does not read it.")
        return data


def shown(record: Any) -> Any:
    """Return a record as plain data whose texts are one line each, without controls and marks of direction."""
    return _one_line(plain(record))


def _one_line(value: Any) -> Any:
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, Mapping):
        return {one_line(name): _one_line(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_one_line(each) for each in value]
    return value


def reader_from_settings() -> Reader:
    """Return the reader that Airflow's configuration asks for.

    :raises ConfigurationError: no root is named.
    :raises Exception: the connection cannot be used; whatever the amazon provider raises.
    """
    from airflow_distill.aws.gateways import store_for
    from airflow_distill.hooks.bedrock import BedrockDistillHook

    hook = BedrockDistillHook(aws_conn_id=conf.get(SECTION, "aws_conn_id", fallback="") or "aws_default")
    root = conf.get(SECTION, "root", fallback="") or _root_of(hook)
    if not root:
        raise ConfigurationError(
            "pages: no root is named, so there is nothing to read.",
            hint="Set `[airflow_distill] root = s3://BUCKET/PREFIX` in Airflow's configuration of the api-server, `root` "
            f"under `distill` in the extra of the connection {hook.aws_conn_id}, or the Airflow Variable "
            f"`{VARIABLE_PREFIX}root`.",
        )
    return Reader(store_for(hook.gateways, root), root)


def _root_of(hook: Any) -> str:
    """Return the root that hand-written Dags use: of the connection's extra, else of the Airflow Variable."""
    from airflow.models.variable import Variable

    extra = hook.get_connection(hook.aws_conn_id).extra_dejson
    found = setting_text(extra_settings(extra, hook.aws_conn_id).get("root"))
    return found or setting_text(Variable.get(f"{VARIABLE_PREFIX}root", default_var=None))
