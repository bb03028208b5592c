"""What every test may use: the sandbox's fixtures, and an Airflow home of its own.

Airflow reads its environment when it is first imported, so the variables are set here, before any test module is. The
metadata database is made only for tests that ask for `airflow_home` or `run_dag`.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from hypothesis import settings

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.world import GRANTED_UNITS

pytest_plugins = ["airflow_distill.sandbox.pytest_plugin"]

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("searching", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

_HOME = Path(tempfile.mkdtemp(prefix="airflow-distill-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
(_HOME / "dags").mkdir()
os.environ.update(
    AIRFLOW_HOME=str(_HOME),
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME}/airflow.db",
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(_HOME / "dags"),
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AWS_EC2_METADATA_DISABLED="true",
)
_COUNT = itertools.count(1)

# Each hook makes a session, and each session reads the AWS SDK's files anew: a third of the time of many tests.
_read_file = JSONFileLoader.load_file
_read_once = functools.cache(lambda path: _read_file(JSONFileLoader(), path))
JSONFileLoader.load_file = lambda self, file_path: _read_once(file_path)  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def bedrock_sandbox_server() -> Iterator[Sandbox]:
    """The plugin's server, for an account that was granted units without commitment."""
    with Sandbox(log_delay=0.05, quotas=GRANTED_UNITS) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """A temporary Airflow home with a metadata database and an empty Dag folder."""
    from airflow.utils.db import initdb

    initdb()
    return _HOME


@pytest.fixture
def run_dag(airflow_home: Path) -> Callable[..., Any]:
    """Write a Dag file that defines `dag`, run it to its end in this process with `dag.test()`, return the Dag run.

    Task states are `{ti.task_id: ti.state for ti in run.get_task_instances()}`; what a task returned is
    `ti.xcom_pull(task_ids=ti.task_id)`.
    """

    def run(text: str, **arguments: Any) -> Any:
        path = airflow_home / "dags" / f"dag_{next(_COUNT)}.py"
        path.write_text(text)
        try:
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module.dag.test(**arguments)
        finally:
            path.unlink()

    return run


@pytest.fixture(autouse=True)
def _waits_end_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests in this process have no scheduler that a quick resume could overtake."""
    base = sys.modules.get("airflow_distill.triggers.base")
    if base is None and request.node.get_closest_marker("airflow"):
        import airflow_distill.triggers.base as base
    if base is not None:
        monkeypatch.setattr(base.RemoteWorkTrigger, "settle_seconds", 0.0)
