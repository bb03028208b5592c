"""The pages' app behind Airflow's own access checks: users of four kinds, signed tokens, a bucket that counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pytest

from airflow_distill.stages.storage import MemoryStore
from tests.airflow_pages.goods import DAG, put_workload

ROOT = "s3://bucket/loop"
ROLES = {"reader": "VIEWER", "editor": "USER", "admin": "ADMIN", "outsider": "VIEWER"}
CALLERS = ("anonymous", "outsider", "reader", "editor", "admin", "expired")
OTHER = "distill_other"
"""A second Dag, so that a list has something to hide."""


class CountingStore(MemoryStore):
    """Counts every listing and every read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    def iter_objects(self, prefix: str) -> Iterator[Any]:
        self.reads.append(f"list {prefix}")
        return super().iter_objects(prefix)

    def open(self, uri: str) -> BinaryIO:
        self.reads.append(f"get {uri}")
        return super().open(uri)


@dataclass
class Pages:
    """The app as callers meet it.

    :param connects: how often a reader was made.
    """

    client: Any
    store: CountingStore
    tokens: dict[str, str]
    settings: dict[str, str]
    connects: list[int] = field(default_factory=list)

    def get(self, path: str, caller: str = "admin", method: str = "GET", **more: Any) -> Any:
        """Ask as one of the callers."""
        headers = dict(more.pop("headers", {}))
        if caller in self.tokens:
            headers["Authorization"] = f"Bearer {self.tokens[caller]}"
        return self.client.request(method, f"/distill/{path}", headers=headers, **more)


@pytest.fixture(scope="module")
def signed(airflow_home: Any) -> Iterator[dict[str, str]]:
    """Tokens of Airflow's own making for each caller but the anonymous; two Dags that Airflow knows."""
    from airflow.api_fastapi import app as airflow_app
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    from tests.airflow_pages.auth import ByUser

    with create_session() as session:
        if session.get(DagBundleModel, "pages") is None:
            session.add(DagBundleModel(name="pages"))
            session.flush()
        for dag_id in (DAG, OTHER):
            if session.get(DagModel, dag_id) is None:
                session.add(DagModel(dag_id=dag_id, bundle_name="pages", fileloc="pages.py"))
    before = airflow_app._AuthManagerState.instance
    manager = ByUser()
    airflow_app._AuthManagerState.instance = manager
    users = {name: SimpleAuthManagerUser(username=name, role=role) for name, role in ROLES.items()}
    tokens = {name: manager.generate_jwt(user) for name, user in users.items()}
    tokens["expired"] = manager.generate_jwt(users["admin"], expiration_time_in_seconds=-60)
    yield tokens
    airflow_app._AuthManagerState.instance = before


@pytest.fixture
def pages(signed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Pages:
    """The app over two workloads, mounted where Airflow mounts it."""
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from airflow_distill.plugin.app import create_app
    from airflow_distill.plugin.reader import Reader

    store = CountingStore()
    put_workload(store, ROOT)
    put_workload(store, ROOT, "other", OTHER, "manual__other")
    made: list[int] = []

    def connect() -> Reader:
        made.append(1)
        return Reader(store, ROOT)

    host = FastAPI()
    host.mount("/distill", create_app(connect))
    monkeypatch.setenv("AIRFLOW__AIRFLOW_DISTILL__SHOW_TEXTS", "False")
    return Pages(TestClient(host, raise_server_exceptions=False), store, signed, {}, made)


@pytest.fixture
def show_texts(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Turn the setting on."""
    return lambda: monkeypatch.setenv("AIRFLOW__AIRFLOW_DISTILL__SHOW_TEXTS", "True")
