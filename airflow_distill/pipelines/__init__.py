"""Workload files, TaskGroups and the Dag factory; each only arranges the operators.

    from airflow_distill.pipelines import build_dags, distill_from_logs

Names are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_distill.pipelines.account import AccountSettings
    from airflow_distill.pipelines.assets import dataset_asset, fresh_logs_asset, release_asset
    from airflow_distill.pipelines.dag_factory import build_dag, build_dags
    from airflow_distill.pipelines.task_groups import (
        dataset_group,
        decision_group,
        deployment_group,
        distill_from_logs,
        end_group,
        evaluation_group,
        jobs_group,
        logs_group,
    )

_HOME = {
    "AccountSettings": "account",
    "build_dag": "dag_factory",
    "build_dags": "dag_factory",
    "dataset_asset": "assets",
    "fresh_logs_asset": "assets",
    "release_asset": "assets",
    "dataset_group": "task_groups",
    "decision_group": "task_groups",
    "deployment_group": "task_groups",
    "distill_from_logs": "task_groups",
    "end_group": "task_groups",
    "evaluation_group": "task_groups",
    "jobs_group": "task_groups",
    "logs_group": "task_groups",
}

__all__ = [
    "AccountSettings",
    "build_dag",
    "build_dags",
    "dataset_asset",
    "dataset_group",
    "decision_group",
    "deployment_group",
    "distill_from_logs",
    "end_group",
    "evaluation_group",
    "fresh_logs_asset",
    "jobs_group",
    "logs_group",
    "release_asset",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"airflow_distill.pipelines.{_HOME[name]}"), name)
