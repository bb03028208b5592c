"""Registers the package with Airflow's plugin system. Registration only: no web app, no I/O at import."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class DistillPlugin(AirflowPlugin):
    """Shown by `airflow plugins`."""

    name = "airflow_distill"
