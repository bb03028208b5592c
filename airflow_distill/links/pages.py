"""A link from a task to the page in Airflow that shows what it has done."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.configuration import conf
from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_distill.links.report import DistillReportLink
from airflow_distill.links.switch import pages_are_on


class DistillPageLink(BaseOperatorLink):
    """The run's evaluation, or the approval of the task that asks; the task's report where the pages are off."""

    name = "Distillation page"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the page's address; empty where the pages are off and the task has written no report."""
        if not pages_are_on():
            return str(DistillReportLink().get_link(operator, ti_key=ti_key) or "")
        base = conf.get("api", "base_url", fallback="").rstrip("/")
        run = f"{base}/dags/{quote(ti_key.dag_id, safe='')}/runs/{quote(ti_key.run_id, safe='')}"
        if not getattr(operator, "asks_a_person", False):
            return f"{run}/plugin/distill-evaluation"
        mapped = f"/mapped/{ti_key.map_index}" if ti_key.map_index >= 0 else ""
        return f"{run}/tasks/{quote(ti_key.task_id, safe='')}{mapped}/plugin/distill-approval"
