"""What the operators load when a Dag file imports them: neither the stages nor any library that Airflow has not loaded yet.

How long that takes is measured by `benchmarks/imports.py`; here stands what would make it long.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BASE = """
import airflow.sdk
from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator, conf
import airflow.triggers.base
import airflow.providers.amazon.aws.operators.base_aws
import airflow.providers.amazon.aws.sensors.base_aws
import airflow.providers.amazon.aws.links.base_aws
import airflow.providers.standard.operators.hitl
"""
OURS = """
import importlib, pkgutil
import airflow_distill.operators, airflow_distill.sensors
for package in (airflow_distill.operators, airflow_distill.sensors):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
"""
LIGHT_STAGES = {
    "airflow_distill.stages.arguments",
    "airflow_distill.stages",
    "airflow_distill.stages.code_paths",
    "airflow_distill.stages.deployment",
    "airflow_distill.stages.deployment.times",
    "airflow_distill.stages.deployment.values",
    "airflow_distill.stages.digest",
    "airflow_distill.stages.logs",
    "airflow_distill.stages.logs.limits",
    "airflow_distill.stages.shown",
    "airflow_distill.stages.storage",
}
"""Modules of the stages that operators may load with themselves; every other one is imported by the task that needs it."""


def loaded_by(code: str, tmp_path: Path) -> set[str]:
    """Return the modules that code loads over the base, in a fresh interpreter."""
    told = "print(json.dumps(sorted(set(sys.modules) - base)))"
    script = "\n".join(("import json, sys", BASE, "base = set(sys.modules)", code, told))
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    out = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    return set(json.loads(out.stdout.strip().splitlines()[-1]))


@pytest.mark.airflow
def test_importing_all_operators_loads_no_stage_and_no_library_of_its_own(tmp_path: Path) -> None:
    loaded = loaded_by(OURS, tmp_path)
    rooms = ROOT / "airflow_distill"
    written = {
        f"airflow_distill.{room}.{path.stem}"
        for room in ("operators", "sensors")
        for path in (rooms / room).glob("*.py")
        if path.stem != "__init__"
    }
    assert len(written) > 15
    assert written <= loaded
    assert {name for name in loaded if name.startswith("airflow_distill.stages")} <= LIGHT_STAGES
    foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert foreign == {"airflow", "airflow_distill"}


@pytest.mark.airflow
def test_a_stage_or_a_library_that_is_loaded_is_seen(tmp_path: Path) -> None:
    loaded = loaded_by("import airflow_distill.stages.deployment.records, sklearn", tmp_path)
    assert "airflow_distill.stages.deployment.records" in loaded - LIGHT_STAGES
    assert "sklearn" in {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
