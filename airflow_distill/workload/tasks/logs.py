"""From the teacher's logs, or a prompt file in their place, to the harvest."""

from __future__ import annotations

from airflow_distill.stages.logs.limits import DEFAULT_SHARDS, LEAST_SHARD_BYTES
from airflow_distill.workload.config import Workload
from airflow_distill.workload.tasks.arguments import OPERATORS, given, place_of, selection_of
from airflow_distill.workload.tasks.records import GroupSpec, Output, TaskSpec
from airflow_distill.workload.tasks.times import window


def logs_tasks(workload: Workload) -> GroupSpec:
    """Harvest the window's logs, or read the prompt file in their place."""
    tasks = (_read(workload),) if workload.dataset.prompts else _harvest(workload)
    return GroupSpec("logs", tasks)


def _read(workload: Workload) -> TaskSpec:
    arguments = {
        **place_of(workload),
        "prompts": workload.dataset.prompts,
        "teacher": workload.teacher,
        "salt": workload.salt,
        "redact": workload.dataset.redact,
        "window_end": "{{ dag_run.run_after.strftime('%Y-%m-%dT%H:00:00Z') }}",
        **given(detectors=list(workload.dataset.detectors)),
    }
    operator = f"{OPERATORS}.workload.ReadPromptsOperator"
    return TaskSpec("read_prompts", operator, arguments, makes="harvest", after=("turn",))


def _harvest(workload: Workload) -> tuple[TaskSpec, ...]:
    logs = workload.logs
    assert logs is not None
    start, end = window(workload)
    when = {"logs": logs.location, "window_start": start, "window_end": end}
    arguments = {
        **place_of(workload),
        **when,
        "model": workload.teacher,
        "salt": workload.salt,
        "redact": workload.dataset.redact,
        **given(detectors=list(workload.dataset.detectors)),
        **selection_of(workload),
        **given(
            model_mapping=logs.models,
            answer_rule=None if logs.answer == "latest" else logs.answer,
        ),
    }
    plan = TaskSpec(
        "plan_harvest",
        f"{OPERATORS}.logs.PlanHarvestOperator",
        {
            **place_of(workload),
            **when,
            **given(
                shards=None if logs.shards == DEFAULT_SHARDS else logs.shards,
                least_bytes=None if logs.least_bytes == LEAST_SHARD_BYTES else logs.least_bytes,
            ),
        },
        makes="shards",
        after=("turn",),
    )
    harvest = TaskSpec(
        "harvest_shard",
        f"{OPERATORS}.logs.HarvestLogsOperator",
        arguments,
        makes="parts",
        mapped={"shard": Output("shards")},
    )
    merge = TaskSpec(
        "merge_harvest",
        f"{OPERATORS}.logs.MergeHarvestOperator",
        {"harvests": Output("parts"), **place_of(workload)},
        makes="harvest",
    )
    return plan, harvest, merge
