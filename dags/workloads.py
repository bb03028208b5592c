"""A Dag for every file in `workloads/`, and one that warns of models and commitments that come to their end."""

# region factory
from __future__ import annotations

from pathlib import Path

from airflow_distill.pipelines import build_dags

build_dags(Path(__file__).parent / "workloads")
# endregion
