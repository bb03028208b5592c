"""Arguments that tasks of several stages take from a workload, each made in one place."""

from __future__ import annotations

from typing import Any

from airflow_distill.stages.jobs.models import hosts_of
from airflow_distill.workload.config import Deployment, Workload

OPERATORS = "airflow_distill.operators"


def place_of(workload: Workload) -> dict[str, Any]:
    """Return whose goods they are, and where they are kept."""
    return {"workload": workload.name, "root": workload.root}


def given(**arguments: Any) -> dict[str, Any]:
    """Return the arguments that say something; the operators' own defaults stand for the others."""
    return {name: value for name, value in arguments.items() if value not in (None, "", [], {})}


def training_filter(workload: Workload) -> dict[str, Any] | None:
    """Return the request-metadata filter as the service takes it; also for the logs that Bedrock reads itself."""
    return workload.logs.metadata.as_request() if workload.logs and workload.logs.metadata else None


def selection_of(workload: Workload) -> dict[str, Any]:
    """Return which of the teacher's records are the workload's, window and model aside."""
    logs = workload.logs
    assert logs is not None
    return given(
        metadata=training_filter(workload),
        operations=list(logs.operations),
        identity=logs.identity,
        system_digest=logs.system_digest,
    )


def function_paths(workload: Workload) -> list[str]:
    """Return the import paths of the scorers that are functions."""
    return [s["path"] for s in workload.evaluation.scorers if isinstance(s, dict) and s["kind"] == "function"]


def forecast_of(workload: Workload) -> dict[str, Any]:
    """Return what the file says of the traffic and the host to come, as `Forecast` takes it."""
    deployment = workload.deployment
    return {
        "host_kind": host_kind_of(workload),
        "epochs": workload.budget.epochs,
        **given(
            model_units=units_of(deployment),
            hourly_price=deployment.hourly_price,
            input_tokens_per_day=deployment.input_tokens_per_day,
            output_tokens_per_day=deployment.output_tokens_per_day,
            region=workload.region_name,
        ),
    }


def budget_of(workload: Workload) -> dict[str, Any]:
    """Return the caps that every paid task meets before it begins, and the prices it meets them with."""
    budget = workload.budget
    caps = given(
        usd_per_run=budget.usd_per_run,
        usd_per_month=budget.usd_per_month,
        usd_exposed=budget.usd_exposed,
        epochs=budget.epochs,
    )
    return {"budget": caps, **prices_of(workload)}


def prices_of(workload: Workload) -> dict[str, Any]:
    """Return the prices that the file states, for every task that says or meets an amount."""
    return given(prices=workload.budget.prices, student_prices=dict(workload.budget.student_prices))


def idle_arguments(workload: Workload) -> dict[str, Any]:
    """Return what the guard against idle hosts is made with."""
    return {
        "root": workload.root,
        "teacher": workload.teacher,
        "student": workload.student,
        **prices_of(workload),
        **given(hourly_price=workload.deployment.hourly_price),
    }


def host_kind_of(workload: Workload) -> str:
    """Return the host an estimate reckons with: what the file asks for, else on demand where the student can have it."""
    if workload.deployment.host != "auto":
        return workload.deployment.host
    kinds = hosts_of(workload.student)
    return "custom-model-deployment" if "custom-model-deployment" in kinds or not kinds else kinds[0]


def units_of(deployment: Deployment) -> int | None:
    """Return the model units wherever throughput may be bought: a price is stated, so it is meant."""
    return deployment.model_units if deployment.hourly_price is not None else None
