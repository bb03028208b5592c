"""A workload's tasks as Airflow TaskGroups: one a stage, and one for the whole loop.

Takes a `Workload` (or the path of its file) inside a Dag, hands on the receipts of its tasks. The list of tasks comes from
`workload/tasks/`; this module only turns it into operators and arrows. Operator classes are imported when a group is
built.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow.sdk import TaskGroup

from airflow_distill.errors import ConfigurationError
from airflow_distill.pipelines.assets import KeptHashAsset
from airflow_distill.workload import tasks
from airflow_distill.workload.config import Workload
from airflow_distill.workload.reading import read_workload
from airflow_distill.workload.tasks import GroupSpec, Output, TaskSpec

Receipts = dict[str, Any]
"""Receipt name -> the XCom of the task that returns it; hand it to the next group, or to operators of your own."""

OPTIONAL = frozenset({"live", "budget", "turn", "release_check", "log_check", "shadow"})
"""Receipts a group can do without: no incumbent is asked, no budget, turn, check or shadow is waited for."""


def distill_from_logs(workload: Workload | Path | str, *, group_id: str | None = None) -> Receipts:
    """Add the whole loop to a Dag, in a group of its own.

    :param workload: the workload, or the path of its file.
    :param group_id: the outer group's id; the workload's name when left out.
    """
    workload = as_workload(workload)
    with TaskGroup(group_id or workload.name, tooltip=workload.description):
        return loop_groups(workload)


def loop_groups(workload: Workload) -> Receipts:
    """Add the loop's groups, one after the other, and return every receipt."""
    receipts: Receipts = {}
    for group in tasks.loop(workload):
        receipts |= build_group(group, workload, receipts)
    return receipts


def logs_group(workload: Workload | Path | str) -> Receipts:
    """Harvest the workload's logs; returns `harvest`."""
    return _stage(tasks.logs_tasks, workload)


def dataset_group(workload: Workload | Path | str, *, harvest: Any) -> Receipts:
    """Curate and check a dataset; returns `dataset`, and `live` (what answers today)."""
    return _stage(tasks.dataset_tasks, workload, harvest=harvest)


def jobs_group(workload: Workload | Path | str, *, dataset: Any) -> Receipts:
    """Check the budget, buy the student once and wait for it; returns `job`."""
    return _stage(tasks.job_tasks, workload, dataset=dataset)


def evaluation_group(
    workload: Workload | Path | str, *, dataset: Any, job: Any, live: Any = None
) -> Receipts:
    """Ask all models the held-out prompts on a temporary host, and score; returns `evaluation` and `host_deleted`."""
    return _stage(tasks.evaluation_tasks, workload, dataset=dataset, job=job, live=live)


def decision_group(
    workload: Workload | Path | str,
    *,
    evaluation: Any,
    job: Any,
    dataset: Any,
    live: Any = None,
    budget: Any = None,
) -> Receipts:
    """Decide, and ask a person where the file says so; returns `decision`."""
    given = {"evaluation": evaluation, "job": job, "dataset": dataset, "live": live, "budget": budget}
    return _stage(tasks.decision_tasks, workload, **given)


def deployment_group(workload: Workload | Path | str, *, decision: Any, job: Any) -> Receipts:
    """Promote the student; returns `deployment`."""
    return _stage(tasks.deployment_tasks, workload, decision=decision, job=job)


def end_group(
    workload: Workload | Path | str, *, host_deleted: Any = None, deployment: Any = None
) -> Receipts:
    """End a Dag made of groups: roll back what a promotion left open, and fail a run that a person has failed.

    :param host_deleted: receipt of `evaluation_group`, where the Dag has one.
    :param deployment: receipt of `deployment_group`, where the Dag has one.
    """
    workload = as_workload(workload)
    with _group(tasks.END_GROUP, workload):
        last = operator_class(f"{tasks.OPERATORS}.run.EndRunOperator")(task_id="end_run")
        if deployment is not None:
            guard = operator_class(f"{tasks.OPERATORS}.deployment.GuardReleaseOperator")
            made = guard(task_id="guard_release", **tasks.place_of(workload)).as_teardown()
            deployment.operator >> made >> last
        if host_deleted is not None:
            host_deleted.operator >> last
    return {"run_end": last.output}


def as_workload(workload: Workload | Path | str) -> Workload:
    """Return the workload itself, or read its file."""
    return workload if isinstance(workload, Workload) else read_workload(workload)


def _stage(make: Any, workload: Workload | Path | str, **given: Any) -> Receipts:
    workload = as_workload(workload)
    return build_group(make(workload), workload, {k: v for k, v in given.items() if v is not None})


def build_group(group: GroupSpec, workload: Workload, given: Mapping[str, Any]) -> Receipts:
    """Build the tasks of one stage inside the Dag or group at hand.

    :param given: receipts made before; extra ones are left alone.
    :raises ConfigurationError: a receipt the stage needs is not given.
    """
    missing = [name for name in group.takes if name not in given and name not in OPTIONAL]
    if missing:
        raise ConfigurationError(
            f"pipelines: the {group.stage} group of {workload.name} lacks {', '.join(missing)}.",
            hint="Pass the receipts that the groups before it return.",
        )
    receipts: Receipts = dict(given)
    made: Receipts = {}
    with _group(group.stage, workload):
        for spec in group.tasks:
            operator = build_task(spec, receipts)
            if spec.makes:
                made[spec.makes] = receipts[spec.makes] = operator.output
    return made


@contextmanager
def _group(stage: str, workload: Workload) -> Iterator[None]:
    shared: Any = tasks.default_arguments(workload)
    with TaskGroup(stage, default_args=shared):
        yield


def build_task(spec: TaskSpec, receipts: Mapping[str, Any]) -> Any:
    """Build one operator and draw its arrows."""
    made = operator_class(spec.operator)
    arguments = fill(spec.arguments, receipts)
    if spec.updates:
        arguments["outlets"] = [KeptHashAsset(name=spec.updates.name, uri=spec.updates.uri, group="distill")]
    if spec.mapped:
        operator = made.partial(task_id=spec.task_id, **arguments).expand(**fill(spec.mapped, receipts))
    else:
        operator = made(task_id=spec.task_id, **arguments)
    before = [receipts[name].operator for name in spec.after if name in receipts]
    before = [each for each in before if each.task_id not in operator.upstream_task_ids]
    if before:
        operator.set_upstream(before)
    if spec.removes:
        operator.as_teardown(setups=receipts[spec.removes].operator)
    return operator


def operator_class(path: str) -> Any:
    """Import an operator class by its dotted path."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def fill(arguments: Mapping[str, Any], receipts: Mapping[str, Any]) -> dict[str, Any]:
    """Put XComs where arguments refer to them; an optional receipt that is absent leaves its argument out."""
    return {
        name: _filled(value, receipts)
        for name, value in arguments.items()
        if not isinstance(value, Output) or value.what in receipts
    }


def _filled(value: Any, receipts: Mapping[str, Any]) -> Any:
    if isinstance(value, Output):
        found = receipts[value.what]
        return found[value.key] if value.key else found
    if isinstance(value, list):
        return [_filled(item, receipts) for item in value]
    return value
