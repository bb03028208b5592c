"""What holds before the stages of the loop, and what is done whatever happened in them."""

from __future__ import annotations

from airflow_distill.workload.config import Workload
from airflow_distill.workload.tasks.arguments import (
    OPERATORS,
    forecast_of,
    given,
    place_of,
    prices_of,
    training_filter,
)
from airflow_distill.workload.tasks.records import GroupSpec, Output, TaskSpec

START_GROUP, END_GROUP = "start", "end"
"""Groups around the stages of the whole loop: what must hold before it, and what is done whatever happened in it."""


def start_tasks(workload: Workload) -> GroupSpec:
    """Ask the account whether a job would go through, then wait for the workload's turn.

    The doctor does not look at the newest logs: the harvest counts what lies in the window, which may be long past.
    """
    take = TaskSpec(
        "take_turn", f"{OPERATORS}.turn.TakeTurnOperator", place_of(workload), makes="turn", after=("doctor",)
    )
    return GroupSpec(START_GROUP, (doctor_of(workload), take, *_check_release(workload)))


def doctor_of(workload: Workload) -> TaskSpec:
    """Return the task that asks the account whether a job would go through; also a guard of watched workloads."""
    dataset, deployment = workload.dataset, workload.deployment
    arguments = {
        **place_of(workload),
        "role_arn": workload.role_arn,
        "teacher": workload.teacher,
        "student": workload.student,
        **given(
            logs=dataset.training_logs,
            logs_are_data=True if dataset.training_logs else None,
            use_prompt_response=True if dataset.source == "logs-pairs" else None,
            filters=training_filter(workload) if dataset.training_logs else None,
            kms_key_id=workload.job.kms_key,
            host_kind=deployment.host if deployment.host != "auto" else None,
            tags=dict(workload.tags),
            models=workload.models,
            method=workload.job.method if workload.job.method != "distillation" else None,
            ignore=[
                *(["logging", "logs-match"] if dataset.training_logs else []),
                *(["pair"] if workload.allow_unlisted_pair else []),
                *workload.job.ignore_checks,
            ],
        ),
    }
    return TaskSpec("doctor", f"{OPERATORS}.preflight.BedrockDoctorOperator", arguments, makes="doctor")


def _check_release(workload: Workload) -> tuple[TaskSpec, ...]:
    """Compare ledger, pointer and live host before anything is paid, and end a release that a dead run left open."""
    if not workload.deployment.enabled:
        return ()
    check = f"{OPERATORS}.deployment.CheckReleaseOperator"
    return (TaskSpec("check_release", check, place_of(workload), makes="release_check", after=("turn",)),)


def end_tasks(workload: Workload) -> GroupSpec:
    """Write the report of whatever was judged, fail a run that a person has failed, and give the turn back.

    All are teardowns, so they hide no failure of the loop.
    """
    report = TaskSpec(
        "report",
        f"{OPERATORS}.report.RenderReportOperator",
        {
            "evaluation": Output("evaluation"),
            "decision": Output("decision"),
            "dataset": Output("dataset"),
            **prices_of(workload),
            **({"scores": [Output("scores")]} if workload.evaluation.judge else {}),
            "forecast": forecast_of(workload),
        },
        makes="report",
        after=("deployment",) if workload.deployment.enabled else (),
        removes="turn",
    )
    guard, retention = _guard(workload), _retention(workload)
    judge = TaskSpec(
        "end_run",
        f"{OPERATORS}.run.EndRunOperator",
        makes="run_end",
        after=(*(task.makes for task in (*guard, *retention)), "host_deleted", "report"),
    )
    last = "guard" if guard else "decision"
    end = TaskSpec(
        "end_turn",
        f"{OPERATORS}.turn.EndTurnOperator",
        {**place_of(workload), "turn": Output("turn"), **prices_of(workload)},
        after=(last, "host_deleted", "report", *(task.makes for task in retention), "run_end"),
        removes="turn",
    )
    return GroupSpec(END_GROUP, (*guard, report, *retention, judge, end))


def _retention(workload: Workload) -> tuple[TaskSpec, ...]:
    """Delete what was kept long enough, after the report that may still read it."""
    keep = {kind: span for kind, span in workload.retention if span is not None}
    if not keep:
        return ()
    operator = f"{OPERATORS}.retention.ApplyRetentionOperator"
    arguments = {**place_of(workload), "keep": keep}
    return (
        TaskSpec(
            "apply_retention", operator, arguments, makes="retention", after=("report",), removes="turn"
        ),
    )


def _guard(workload: Workload) -> tuple[TaskSpec, ...]:
    """Roll back what the promotion left open, whatever became of it: failed, killed, or marked by a person."""
    if not workload.deployment.enabled:
        return ()
    guard = f"{OPERATORS}.deployment.GuardReleaseOperator"
    return (
        TaskSpec(
            "guard_release", guard, place_of(workload), makes="guard", after=("deployment",), removes="turn"
        ),
    )
