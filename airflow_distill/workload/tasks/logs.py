"""From the teacher's logs, or a prompt file in their place, to the harvest."""

from __future__ import annotations

from airflow_distill.workload.config import Workload
from airflow_distill.workload.tasks.arguments import OPERATORS, given, place_of
from airflow_distill.workload.tasks.records import GroupSpec, Output, TaskSpec
from airflow_distill.workload.tasks.times import window


def logs_tasks(workload: Workload) -> GroupSpec:
    """Harvest the window's logs, or read the prompt file in their place."""
    if workload.dataset.prompts:
        arguments = {
            **place_of(workload),
            "prompts": workload.dataset.prompts,
            "teacher": workload.teacher,
            "salt": workload.salt,
            "redact": workload.dataset.redact,
            "window_end": "{{ dag_run.run_after.strftime('%Y-%m-%dT%H:00:00Z') }}",
            **given(detectors=list(workload.dataset.detectors)),
        }
        read = TaskSpec(
            "read_prompts",
            f"{OPERATORS}.workload.ReadPromptsOperator",
            arguments,
            makes="harvest",
            after=("turn",),
        )
        return GroupSpec("logs", (read,))
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
        **given(
            detectors=list(workload.dataset.detectors),
            metadata=logs.metadata.as_request() if logs.metadata else None,
            operations=list(logs.operations),
            identity=logs.identity,
            system_digest=logs.system_digest,
            model_mapping=logs.models,
            answer_rule=None if logs.answer == "latest" else logs.answer,
        ),
    }
    plan = TaskSpec(
        "plan_harvest",
        f"{OPERATORS}.logs.PlanHarvestOperator",
        {**place_of(workload), **when},
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
    return GroupSpec("logs", (plan, harvest, merge))
