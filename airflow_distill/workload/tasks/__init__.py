"""A workload becomes the tasks of its loop, as plain data: operator, arguments, what feeds what, what comes after what.

Takes a `Workload`, hands on `TaskSpec` records, one stage at a time: a module a stage makes its group, `start_end` what
stands around them, `dag` what their Dag is made with. The TaskGroups build operators from them and `eject` prints them as
code. Operators are named by dotted path, so nothing of Airflow is imported; arguments are what the operator's constructor
takes.
"""

from __future__ import annotations

from airflow_distill.workload.config import Workload
from airflow_distill.workload.tasks.arguments import OPERATORS, forecast_of, idle_arguments, place_of
from airflow_distill.workload.tasks.dag import (
    PARAMETERS,
    START,
    callbacks,
    dag_arguments,
    default_arguments,
    fresh_logs_arguments,
    notifications,
)
from airflow_distill.workload.tasks.dataset import dataset_tasks
from airflow_distill.workload.tasks.decision import approval_rule, decision_tasks, policy
from airflow_distill.workload.tasks.deployment import deployment_tasks
from airflow_distill.workload.tasks.evaluation import evaluation_tasks
from airflow_distill.workload.tasks.jobs import job_spec, job_tasks
from airflow_distill.workload.tasks.logs import logs_tasks
from airflow_distill.workload.tasks.records import GroupSpec, Output, TaskSpec
from airflow_distill.workload.tasks.start_end import END_GROUP, doctor_of, end_tasks, start_tasks
from airflow_distill.workload.tasks.times import window
from airflow_distill.workload.tasks.watch import watch_arguments

__all__ = [
    "END_GROUP",
    "OPERATORS",
    "PARAMETERS",
    "START",
    "GroupSpec",
    "Output",
    "TaskSpec",
    "approval_rule",
    "callbacks",
    "dag_arguments",
    "dataset_tasks",
    "decision_tasks",
    "default_arguments",
    "deployment_tasks",
    "doctor_of",
    "end_tasks",
    "evaluation_tasks",
    "forecast_of",
    "fresh_logs_arguments",
    "idle_arguments",
    "job_spec",
    "job_tasks",
    "logs_tasks",
    "loop",
    "notifications",
    "place_of",
    "policy",
    "start_tasks",
    "watch_arguments",
    "window",
]


def loop(workload: Workload) -> tuple[GroupSpec, ...]:
    """Return the groups of the whole loop, in order."""
    groups = [start_tasks(workload), logs_tasks(workload), dataset_tasks(workload), job_tasks(workload)]
    groups += [evaluation_tasks(workload), decision_tasks(workload)]
    if workload.deployment.enabled:
        groups.append(deployment_tasks(workload))
    return (*groups, end_tasks(workload))
