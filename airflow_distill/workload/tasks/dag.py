"""What surrounds the tasks of a workload: what its Dag is made with, its parameters, its watcher and its notifiers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_distill.stages.shown import markdown, markdown_code
from airflow_distill.workload.config import Workload
from airflow_distill.workload.tasks.arguments import given, selection_of

START = datetime(2024, 1, 1, tzinfo=UTC)
"""Before any run; back-fills may start here."""


def _moment_parameter(text: str) -> dict[str, Any]:
    return {"default": None, "type": ["null", "string"], "format": "date-time", "description": text}


PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "window_start": _moment_parameter(
        "start of the window to read, ISO 8601, UTC, full hours; the usual window when empty"
    ),
    "window_end": _moment_parameter("end of that window, exclusive"),
    "buy": {
        "default": "worth_it",
        "type": "string",
        "enum": ["worth_it", "never"],
        "description": "never: make the dataset and the estimate, and stop before a job is bought",
    },
}
"""What a run by hand, or a back-fill, may say; the arguments of each `Param`."""


def dag_arguments(workload: Workload, prefix: str = "distill_") -> dict[str, Any]:
    """Return what the Dag of a workload is made with, schedule and parameters aside."""
    return {
        "dag_id": f"{prefix}{workload.name}",
        "description": workload.description or f"Distil {workload.teacher} into {workload.student}",
        "doc_md": dag_doc(workload),
        "start_date": START,
        "catchup": workload.schedule.catchup,
        "max_active_runs": 1,
        "tags": ["airflow-distill", workload.owner],
    }


def dag_doc(workload: Workload) -> str:
    """Return the page Airflow shows beside the Dag."""
    budget = f"{workload.budget.usd_per_run:g} USD a run"
    if workload.budget.usd_per_month:
        budget += f", {workload.budget.usd_per_month:g} USD a month"
    lines = [
        markdown(workload.description)
        or f"Distils {markdown_code(workload.teacher)} into {markdown_code(workload.student)}.",
        "",
        f"- Teacher and student: {markdown_code(workload.teacher)}, {markdown_code(workload.student)}",
        f"- Owner: {markdown(workload.owner)}",
        f"- Goods: {markdown_code(f'{workload.root}/{workload.name}/')}",
        f"- Budget: {budget}",
    ]
    return "\n".join(lines)


def fresh_logs_arguments(workload: Workload) -> dict[str, Any]:
    """Return what the watcher of a workload's logs is made with."""
    logs, schedule = workload.logs, workload.schedule
    assert logs is not None
    return {
        "location": logs.location,
        "workload": workload.name,
        "root": workload.root,
        "threshold": schedule.fresh_prompts,
        "model": workload.teacher,
        "check_every": schedule.check_every.total_seconds(),
        "aws_conn_id": workload.aws_conn_id,
        **selection_of(workload),
        **given(mapping=dict(logs.models), region_name=workload.region_name),
    }


def notifications(workload: Workload, event: str) -> list[dict[str, Any]]:
    """Return what the notifiers that want to hear of an event are made with."""
    return [
        {
            "workload": workload.name,
            "owner": workload.owner,
            "event": event,
            "notifier": alert.notifier,
            "arguments": dict(alert.arguments),
        }
        for alert in workload.alerts
        if event in alert.events
    ]


def callbacks(workload: Workload) -> list[tuple[str, str, str]]:
    """Return (task id, argument, event): who tells of verdicts, of questions, and of the budget that stops a run."""
    last = "decide" if workload.approval.mode == "never" else "approve"
    return [
        (f"decision.{last}", "on_success_callback", "verdict"),
        *([("decision.approve", "notifiers", "approval")] if last == "approve" else []),
        ("jobs.check_budget", "on_failure_callback", "spend"),
    ]


def default_arguments(workload: Workload) -> dict[str, Any]:
    """Return what every task of the workload shares."""
    shared: dict[str, Any] = {"owner": workload.owner, "aws_conn_id": workload.aws_conn_id}
    if workload.region_name:
        shared["region_name"] = workload.region_name
    return shared
