"""One sandbox and one real Airflow for all scenarios of a module; they take half a minute to start."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.world import GRANTED_UNITS
from tests.real_airflow.running import RealAirflow


@pytest.fixture(scope="module")
def real_sandbox() -> Iterator[Sandbox]:
    """A sandbox of the module's own, so that other tests cannot empty it under a running Airflow."""
    with Sandbox(log_delay=0.05, quotas={**GRANTED_UNITS, "customization-jobs-in-progress": 1000}) as sandbox:
        sandbox.reset()
        sandbox.prepare()
        yield sandbox


@pytest.fixture(scope="module")
def real_airflow(real_sandbox: Sandbox) -> Iterator[RealAirflow]:
    """A running Airflow whose `aws_default` leads to the sandbox. Dag files are added while it runs.

    `DISTILL_KEEP_AIRFLOW=1` leaves its folder, with the logs, for a look afterwards.
    """
    home = Path(tempfile.mkdtemp(prefix="airflow-distill-real-"))
    airflow = RealAirflow.at(home, real_sandbox.environment())
    try:
        airflow.start_all()
        yield airflow
    finally:
        airflow.close()
        if not os.environ.get("DISTILL_KEEP_AIRFLOW"):
            shutil.rmtree(home, ignore_errors=True)
