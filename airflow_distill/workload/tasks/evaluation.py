"""From the student to its scores beside the teacher, the untuned student and the model now live."""

from __future__ import annotations

from airflow_distill.workload.config import Workload
from airflow_distill.workload.tasks.arguments import (
    OPERATORS,
    budget_of,
    function_paths,
    given,
    place_of,
    prices_of,
    units_of,
)
from airflow_distill.workload.tasks.records import GroupSpec, Output, TaskSpec


def evaluation_tasks(workload: Workload) -> GroupSpec:
    """Give the student a host for the time of judging, ask all models, score, take the host away again."""
    evaluation, deployment = workload.evaluation, workload.deployment
    create = TaskSpec(
        "create_host",
        f"{OPERATORS}.hosts.BedrockCreateHostOperator",
        {
            **place_of(workload),
            "job": Output("job"),
            "host_kind": deployment.host,
            "lifetime_hours": evaluation.host_hours,
            **given(
                units=units_of(deployment),
                hourly_price=deployment.hourly_price,
                input_tokens_per_day=deployment.input_tokens_per_day,
                output_tokens_per_day=deployment.output_tokens_per_day,
            ),
            **budget_of(workload),
            **given(tags=dict(workload.tags)),
        },
        makes="host",
    )
    collect = TaskSpec(
        "collect_answers",
        f"{OPERATORS}.evaluation.CollectAnswersOperator",
        {
            **place_of(workload),
            "dataset": Output("dataset"),
            "job": Output("job"),
            "host": Output("host"),
            "incumbent": Output("live"),
            "student": workload.student,
            "ask_untuned": evaluation.untuned,
            **given(challengers=list(evaluation.challengers)),
            "max_tokens": evaluation.max_tokens,
            "threads": evaluation.threads,
            **budget_of(workload),
        },
        makes="answers",
    )
    score = TaskSpec(
        "score",
        f"{OPERATORS}.evaluation.ScoreAnswersOperator",
        {
            "answers": Output("answers"),
            "dataset": Output("dataset"),
            "metrics": list(evaluation.scorers),
            **given(functions=function_paths(workload), slices=list(evaluation.slices)),
            **prices_of(workload),
            **({"scores": [Output("scores")]} if evaluation.judge else {}),
        },
        makes="evaluation",
    )
    remove = TaskSpec(
        "delete_host",
        f"{OPERATORS}.hosts.BedrockDeleteHostOperator",
        {**place_of(workload), "host": Output("host"), "job": Output("job")},
        makes="host_deleted",
        after=("answers", "shadow") if workload.shadow else ("answers",),
        removes="host",
    )
    return GroupSpec("evaluation", (create, collect, *_judge(workload), score, *_shadow(workload), remove))


def _shadow(workload: Workload) -> tuple[TaskSpec, ...]:
    """Play live prompts against the candidate while it has a host."""
    evaluation, shadow = workload.evaluation, workload.shadow
    if shadow is None or workload.logs is None:
        return ()
    arguments = {
        **place_of(workload),
        "answers": Output("answers"),
        "dataset": Output("dataset"),
        "host": Output("host"),
        "incumbent": Output("live"),
        "logs": workload.logs.location,
        "metrics": list(evaluation.scorers),
        "sample": shadow.sample,
        "hours": shadow.window.total_seconds() / 3600,
        "max_tokens": evaluation.max_tokens,
        "threads": evaluation.threads,
        "redact": workload.dataset.redact,
        **given(functions=function_paths(workload), detectors=list(workload.dataset.detectors)),
        **budget_of(workload),
    }
    return (TaskSpec("shadow", f"{OPERATORS}.shadow.PlayShadowOperator", arguments, makes="shadow"),)


def _judge(workload: Workload) -> tuple[TaskSpec, ...]:
    evaluation = workload.evaluation
    if not evaluation.judge:
        return ()
    arguments = {
        "answers": Output("answers"),
        "dataset": Output("dataset"),
        "judge": evaluation.judge,
        **given(labels=evaluation.judge_labels, prices=workload.budget.prices),
        "budget": budget_of(workload)["budget"],
    }
    return (TaskSpec("judge", f"{OPERATORS}.judge.JudgeAnswersOperator", arguments, makes="scores"),)
