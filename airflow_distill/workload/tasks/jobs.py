"""From the dataset to the distilled student: the budget first, then the one job that is bought."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from airflow_distill.remote import identity
from airflow_distill.stages.jobs.records import CustomizationSpec
from airflow_distill.stages.jobs.spec import make_spec
from airflow_distill.workload.config import Workload
from airflow_distill.workload.tasks.arguments import (
    OPERATORS,
    budget_of,
    given,
    host_kind_of,
    place_of,
    training_filter,
)
from airflow_distill.workload.tasks.deployment import BAKE_PROBES
from airflow_distill.workload.tasks.records import GroupSpec, Output, TaskSpec


def job_tasks(workload: Workload) -> GroupSpec:
    """Buy the student once, and wait for it."""
    job, dataset = workload.job, workload.dataset
    arguments = {
        **place_of(workload),
        "role_arn": workload.role_arn,
        **_training(workload),
        "teacher": workload.teacher,
        "student": workload.student,
        "max_response_length": job.max_response_length,
        "wait_timeout": job.deadline,
        "max_generations": job.submissions,
        **given(
            on_deadline="stop" if job.on_deadline == "stop" else None,
            buy_when_spent=job.buy_when_spent or None,
            kms_key_id=job.kms_key,
            subnet_ids=list(job.vpc.subnets) if job.vpc else None,
            security_group_ids=list(job.vpc.security_groups) if job.vpc else None,
            tags=dict(workload.tags),
            allow_unlisted_pair=workload.allow_unlisted_pair or None,
            host_kind=workload.deployment.host if workload.deployment.host != "auto" else None,
            models=workload.models,
            method=job.method if job.method != "distillation" else None,
        ),
        **budget_of(workload),
    }
    budget = TaskSpec(
        "check_budget",
        f"{OPERATORS}.workload.CheckBudgetOperator",
        {
            **place_of(workload),
            "dataset": Output("dataset"),
            "usd_per_run": workload.budget.usd_per_run,
            "buy": "{{ params.get('buy') or 'worth_it' }}",
            "epochs": workload.budget.epochs,
            "host_kind": host_kind_of(workload),
            "host": workload.deployment.host,
            "model_units": workload.deployment.model_units,
            "host_hours": workload.evaluation.host_hours,
            "max_tokens": workload.evaluation.max_tokens,
            "probes": workload.deployment.smoke_prompts * (1 + BAKE_PROBES)
            if workload.deployment.enabled
            else 0,
            **given(
                judge=workload.evaluation.judge,
                usd_per_day=workload.deployment.usd_per_day if workload.deployment.enabled else None,
                usd_per_month=workload.budget.usd_per_month,
                teacher_called=(
                    False if dataset.source == "logs-pairs" or job.method == "fine-tuning" else None
                ),
                untuned_asked=None if workload.evaluation.untuned else False,
                student_prices=dict(workload.budget.student_prices),
                prices=workload.budget.prices,
                hourly_price=workload.deployment.hourly_price,
                input_tokens_per_day=workload.deployment.input_tokens_per_day,
                output_tokens_per_day=workload.deployment.output_tokens_per_day,
            ),
        },
        makes="budget",
        after=("log_check",),
    )
    distill = TaskSpec(
        "distill", f"{OPERATORS}.jobs.BedrockDistillModelOperator", arguments, makes="job", after=("budget",)
    )
    return GroupSpec("jobs", (*_check_logs(workload), budget, distill))


def _check_logs(workload: Workload) -> tuple[TaskSpec, ...]:
    """Count what Bedrock would find usable in the logs it is to read itself."""
    if workload.dataset.training_logs is None:
        return ()
    arguments = {
        "logs": workload.dataset.training_logs,
        "teacher": workload.teacher,
        **given(metadata=training_filter(workload)),
    }
    check = f"{OPERATORS}.dataset.CheckLogsOperator"
    return (TaskSpec("check_logs", check, arguments, makes="log_check", after=("dataset",)),)


def _training(workload: Workload) -> dict[str, Any]:
    """Our own file, or the log folder that Bedrock reads; the dataset then only judges."""
    dataset = workload.dataset
    if dataset.training_logs is None:
        return {"dataset": Output("dataset")}
    logs = {
        "uri": dataset.training_logs,
        "use_prompt_response": dataset.source == "logs-pairs",
        "filters": training_filter(workload),
    }
    return {
        "invocation_logs": logs,
        "reckon_with": Output("dataset"),
        "dataset_id": identity.fingerprint(logs),
    }


def job_spec(workload: Workload, dataset: Mapping[str, Any], tags: Mapping[str, str]) -> CustomizationSpec:
    """Return the job that a run with this dataset receipt would buy, by the road the operator takes."""
    (distill,) = [task for task in job_tasks(workload).tasks if task.makes == "job"]
    known = set(inspect.signature(make_spec).parameters)
    arguments = {name: value for name, value in distill.arguments.items() if name in known}
    if "dataset" in arguments:
        arguments["dataset"] = dict(dataset)
    return make_spec(**{**arguments, "tags": {**arguments.get("tags", {}), **tags}})
