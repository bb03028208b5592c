"""A workload becomes the tasks of its loop, as plain data: operator, arguments, what feeds what, what comes after what.

Takes a `Workload`, hands on `TaskSpec` records, one stage at a time. The TaskGroups build operators from them and `eject`
prints them as code. Operators are named by dotted path, so nothing of Airflow is imported; arguments are what the
operator's constructor takes. Times are templates over `dag_run.run_after`, which every kind of run has: scheduled,
back-filled, on an asset, by hand.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_distill.remote import identity
from airflow_distill.stages.jobs.models import hosts_of
from airflow_distill.stages.jobs.records import CustomizationSpec
from airflow_distill.stages.jobs.spec import make_spec
from airflow_distill.workload.config import Deployment, Workload, metric_of

OPERATORS = "airflow_distill.operators"

START_GROUP, END_GROUP = "start", "end"
"""Groups around the stages of the whole loop: what must hold before it, and what is done whatever happened in it."""


@dataclass(frozen=True, slots=True)
class Output:
    """Stands for the receipt that another task returns, by what it is: `harvest`, `dataset`, `job`, `host`, ...

    With `key`, for one value that the task pushed beside its receipt.
    """

    what: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task.

    `makes` names the receipt it returns, `after` receipts whose tasks it waits for without taking them, `mapped` the
    arguments it is mapped over, `removes` the receipt whose creation it undoes as a teardown.
    """

    task_id: str
    operator: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    makes: str = ""
    after: tuple[str, ...] = ()
    mapped: Mapping[str, Any] = field(default_factory=dict)
    removes: str = ""


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """The tasks of one stage, and the receipts it takes from outside."""

    stage: str
    tasks: tuple[TaskSpec, ...]

    @property
    def takes(self) -> tuple[str, ...]:
        """Receipts that no task of the group makes."""
        made = {task.makes for task in self.tasks}
        wanted = [
            name
            for task in self.tasks
            for name in (*outputs_in((task.arguments, task.mapped)), *task.after, task.removes)
            if name
        ]
        return tuple(dict.fromkeys(name for name in wanted if name not in made))


def outputs_in(value: Any) -> list[str]:
    """Return the receipts that arguments refer to, at any depth."""
    if isinstance(value, Output):
        return [value.what]
    if isinstance(value, Mapping):
        return [name for inner in value.values() for name in outputs_in(inner)]
    if isinstance(value, list | tuple):
        return [name for inner in value for name in outputs_in(inner)]
    return []


def loop(workload: Workload) -> tuple[GroupSpec, ...]:
    """Return the groups of the whole loop, in order."""
    groups = [start_tasks(workload), logs_tasks(workload), dataset_tasks(workload), job_tasks(workload)]
    groups += [evaluation_tasks(workload), decision_tasks(workload)]
    if workload.deployment.enabled:
        groups.append(deployment_tasks(workload))
    return (*groups, end_tasks(workload))


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


def dag_doc(workload: Workload) -> str:
    """Return the page Airflow shows beside the Dag."""
    budget = f"{workload.budget.usd_per_run:g} USD a run"
    if workload.budget.usd_per_month:
        budget += f", {workload.budget.usd_per_month:g} USD a month"
    lines = [
        workload.description or f"Distils `{workload.teacher}` into `{workload.student}`.",
        "",
        f"- Teacher and student: `{workload.teacher}`, `{workload.student}`",
        f"- Owner: {workload.owner}",
        f"- Goods: `{workload.root}/{workload.name}/`",
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
        "threshold": schedule.fresh_prompts,
        "model": workload.teacher,
        "check_every": schedule.check_every.total_seconds(),
        "aws_conn_id": workload.aws_conn_id,
        **_given(
            metadata=logs.metadata.as_request() if logs.metadata else None,
            operations=list(logs.operations),
            identity=logs.identity,
            system_digest=logs.system_digest,
            mapping=dict(logs.models),
            region_name=workload.region_name,
        ),
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
    """Return (task id, callback, event): who tells of verdicts, and of the budget that stops a run."""
    last = "decide" if workload.approval.mode == "never" else "approve"
    return [
        (f"decision.{last}", "on_success_callback", "verdict"),
        ("jobs.check_budget", "on_failure_callback", "spend"),
    ]


def default_arguments(workload: Workload) -> dict[str, Any]:
    """Return what every task of the workload shares."""
    shared: dict[str, Any] = {"owner": workload.owner, "aws_conn_id": workload.aws_conn_id}
    if workload.region_name:
        shared["region_name"] = workload.region_name
    return shared


# Times. `params.window_start` and `params.window_end` win, so that a run by hand can cover any window; then a partition,
# whose key names the start of the window; then the time the run stands for.


def window(workload: Workload) -> tuple[str, str]:
    """Return start and end of a run's window as templates: full hours, the end before the run by what logs may be late."""
    assert workload.logs is not None
    late, back = workload.logs.late, workload.logs.window
    partition = "dag_run.partition_date"
    start = f"{partition} or dag_run.run_after - {_macro(late + back)}"
    end = f"{partition} + {_macro(back)} if {partition} else dag_run.run_after - {_macro(late)}"
    return _moment("window_start", start), _moment("window_end", end)


def _moment(parameter: str, otherwise: str) -> str:
    return f"{{{{ params.get('{parameter}') or ({otherwise}).strftime('%Y-%m-%dT%H:00:00Z') }}}}"


def _macro(span: timedelta) -> str:
    hours, rest = divmod(span, timedelta(hours=1))
    parts = [f"days={hours // 24}" * (hours >= 24), f"hours={hours % 24}" * (hours % 24 > 0)]
    parts.append(f"minutes={rest // timedelta(minutes=1)}" * bool(rest))
    return f"macros.timedelta({', '.join(part for part in parts if part)})"


# Around the stages.


def start_tasks(workload: Workload) -> GroupSpec:
    """Ask the account whether a job would go through, then wait for the workload's turn.

    The doctor does not look at the newest logs: the harvest counts what lies in the window, which may be long past.
    """
    dataset, deployment = workload.dataset, workload.deployment
    arguments = {
        **_place(workload),
        "role_arn": workload.role_arn,
        "teacher": workload.teacher,
        "student": workload.student,
        **_given(
            logs=dataset.training_logs,
            logs_are_data=True if dataset.training_logs else None,
            use_prompt_response=True if dataset.source == "logs-pairs" else None,
            filters=_training_filter(workload) if dataset.training_logs else None,
            kms_key_id=workload.job.kms_key,
            host_kind=deployment.host if deployment.host != "auto" else None,
            tags=dict(workload.tags),
            ignore=[
                *(["logging", "logs-match"] if dataset.training_logs else []),
                *(["pair"] if workload.allow_unlisted_pair else []),
                *workload.job.ignore_checks,
            ],
        ),
    }
    doctor = TaskSpec("doctor", f"{OPERATORS}.preflight.BedrockDoctorOperator", arguments, makes="doctor")
    take = TaskSpec(
        "take_turn", f"{OPERATORS}.turn.TakeTurnOperator", _place(workload), makes="turn", after=("doctor",)
    )
    return GroupSpec(START_GROUP, (doctor, take))


def end_tasks(workload: Workload) -> GroupSpec:
    """Write the report of whatever was judged, then give the turn back; teardowns, so they hide no failure of the loop."""
    report = TaskSpec(
        "report",
        f"{OPERATORS}.report.RenderReportOperator",
        {
            "evaluation": Output("evaluation"),
            "decision": Output("decision"),
            "dataset": Output("dataset"),
            **({"scores": [Output("scores")]} if workload.evaluation.judge else {}),
            **({"hosts": [Output("deployment")]} if workload.deployment.enabled else {}),
            "forecast": _forecast(workload),
        },
        makes="report",
        removes="turn",
    )
    last = "deployment" if workload.deployment.enabled else "decision"
    end = TaskSpec(
        "end_turn",
        f"{OPERATORS}.turn.EndTurnOperator",
        {**_place(workload), "turn": Output("turn")},
        after=(last, "host_deleted", "report"),
        removes="turn",
    )
    return GroupSpec(END_GROUP, (report, end))


# The stages.


def logs_tasks(workload: Workload) -> GroupSpec:
    """Harvest the window's logs, or read the prompt file in their place."""
    if workload.dataset.prompts:
        arguments = {
            **_place(workload),
            "prompts": workload.dataset.prompts,
            "teacher": workload.teacher,
            "salt": workload.salt,
            "redact": workload.dataset.redact,
            "window_end": "{{ dag_run.run_after.strftime('%Y-%m-%dT%H:00:00Z') }}",
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
        **_place(workload),
        **when,
        "model": workload.teacher,
        "salt": workload.salt,
        "redact": workload.dataset.redact,
        **_given(
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
        {**_place(workload), **when},
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
        {"harvests": Output("parts"), **_place(workload)},
        makes="harvest",
    )
    return GroupSpec("logs", (plan, harvest, merge))


def dataset_tasks(workload: Workload) -> GroupSpec:
    """Curate what was harvested and check it before anything is paid."""
    dataset = workload.dataset
    settings = {
        "limit": dataset.size,
        "heldout": dataset.heldout,
        "with_answers": dataset.source == "curated-with-answers",
        "redact": dataset.redact,
        "near_duplicates": dataset.near_duplicates,
        **_given(balance_by=dataset.balance_by),
    }
    live = TaskSpec(
        "find_live",
        f"{OPERATORS}.workload.FindLiveModelOperator",
        _place(workload),
        makes="live",
        after=("turn",),
    )
    arguments = {
        "harvest": Output("harvest"),
        **_place(workload),
        "teacher": workload.teacher,
        "student": workload.student,
        "salt": workload.salt,
        "settings": settings,
        "worth": {"least_new": dataset.least_new},
        "live_manifest": Output("live", "manifest_uri"),
        **_given(golden=dataset.golden),
    }
    curate = TaskSpec("curate", f"{OPERATORS}.dataset.CurateDatasetOperator", arguments, makes="curated")
    check = TaskSpec(
        "check", f"{OPERATORS}.dataset.CheckDatasetOperator", {"dataset": Output("curated")}, makes="dataset"
    )
    return GroupSpec("dataset", (live, curate, check))


def job_tasks(workload: Workload) -> GroupSpec:
    """Buy the student once, and wait for it."""
    job, dataset = workload.job, workload.dataset
    arguments = {
        **_place(workload),
        "role_arn": workload.role_arn,
        **_training(workload),
        "teacher": workload.teacher,
        "student": workload.student,
        "max_response_length": job.max_response_length,
        "wait_timeout": job.deadline,
        "max_generations": job.submissions,
        **_given(
            on_deadline="stop" if job.on_deadline == "stop" else None,
            kms_key_id=job.kms_key,
            subnet_ids=list(job.vpc.subnets) if job.vpc else None,
            security_group_ids=list(job.vpc.security_groups) if job.vpc else None,
            tags=dict(workload.tags),
            allow_unlisted_pair=workload.allow_unlisted_pair or None,
        ),
    }
    budget = TaskSpec(
        "check_budget",
        f"{OPERATORS}.workload.CheckBudgetOperator",
        {
            **_place(workload),
            "dataset": Output("dataset"),
            "usd_per_run": workload.budget.usd_per_run,
            "buy": "{{ params.get('buy') or 'worth_it' }}",
            "epochs": workload.budget.epochs,
            "host_kind": _host_kind(workload),
            **_given(
                usd_per_month=workload.budget.usd_per_month,
                teacher_called=False if dataset.source == "logs-pairs" else None,
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
        **_given(metadata=_training_filter(workload)),
    }
    check = f"{OPERATORS}.dataset.CheckLogsOperator"
    return (TaskSpec("check_logs", check, arguments, makes="log_check", after=("dataset",)),)


def _training_filter(workload: Workload) -> dict[str, Any] | None:
    return workload.logs.metadata.as_request() if workload.logs and workload.logs.metadata else None


def _forecast(workload: Workload) -> dict[str, Any]:
    """What the file says of the traffic and the host to come, as `Forecast` takes it."""
    deployment = workload.deployment
    return {
        "host_kind": _host_kind(workload),
        "epochs": workload.budget.epochs,
        **_given(
            model_units=_units(deployment),
            hourly_price=deployment.hourly_price,
            input_tokens_per_day=deployment.input_tokens_per_day,
            output_tokens_per_day=deployment.output_tokens_per_day,
            region=workload.region_name,
        ),
    }


def _host_kind(workload: Workload) -> str:
    """The kind of host an estimate reckons with: what the file asks for, else on demand where the student can have it."""
    if workload.deployment.host != "auto":
        return workload.deployment.host
    kinds = hosts_of(workload.student)
    return "custom-model-deployment" if "custom-model-deployment" in kinds or not kinds else kinds[0]


def _training(workload: Workload) -> dict[str, Any]:
    """Our own file, or the log folder that Bedrock reads; the dataset then only judges."""
    dataset = workload.dataset
    if dataset.training_logs is None:
        return {"dataset": Output("dataset")}
    logs = {
        "uri": dataset.training_logs,
        "use_prompt_response": dataset.source == "logs-pairs",
        "filters": _training_filter(workload),
    }
    return {"invocation_logs": logs, "dataset_id": identity.fingerprint(logs)}


def evaluation_tasks(workload: Workload) -> GroupSpec:
    """Give the student a host for the time of judging, ask all models, score, take the host away again."""
    evaluation, deployment = workload.evaluation, workload.deployment
    create = TaskSpec(
        "create_host",
        f"{OPERATORS}.hosts.BedrockCreateHostOperator",
        {
            "workload": workload.name,
            "job": Output("job"),
            "host_kind": deployment.host,
            "lifetime_hours": 24,
            **_given(
                units=_units(deployment),
                hourly_price=deployment.hourly_price,
                input_tokens_per_day=deployment.input_tokens_per_day,
                output_tokens_per_day=deployment.output_tokens_per_day,
            ),
        },
        makes="host",
    )
    collect = TaskSpec(
        "collect_answers",
        f"{OPERATORS}.evaluation.CollectAnswersOperator",
        {
            **_place(workload),
            "dataset": Output("dataset"),
            "job": Output("job"),
            "host": Output("host"),
            "incumbent": Output("live"),
            "student": workload.student,
            "ask_untuned": evaluation.untuned,
            "max_tokens": evaluation.max_tokens,
            "threads": evaluation.threads,
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
            **_given(slices=list(evaluation.slices)),
            **({"scores": [Output("scores")]} if evaluation.judge else {}),
        },
        makes="evaluation",
    )
    remove = TaskSpec(
        "delete_host",
        f"{OPERATORS}.hosts.BedrockDeleteHostOperator",
        {"workload": workload.name, "host": Output("host")},
        makes="host_deleted",
        after=("answers",),
        removes="host",
    )
    return GroupSpec("evaluation", (create, collect, *_judge(workload), score, remove))


def _judge(workload: Workload) -> tuple[TaskSpec, ...]:
    evaluation = workload.evaluation
    if not evaluation.judge:
        return ()
    arguments = {
        "answers": Output("answers"),
        "dataset": Output("dataset"),
        "judge": evaluation.judge,
        **_given(labels=evaluation.judge_labels),
    }
    return (TaskSpec("judge", f"{OPERATORS}.judge.JudgeAnswersOperator", arguments, makes="scores"),)


def decision_tasks(workload: Workload) -> GroupSpec:
    """Decide by the policy, and ask a person where the file says so."""
    approval = workload.approval
    rule = {
        "mode": approval.mode,
        **_given(
            approvers=list(approval.approvers),
            above_run_usd=approval.above_run_usd,
            above_monthly_usd=approval.above_monthly_usd,
            below_slack=approval.below_slack,
            first_release=approval.first_release or None,
        ),
    }
    asks = approval.mode != "never"
    now_true = {"dataset": Output("dataset"), "incumbent": Output("live", "host_arn")}
    decide = TaskSpec(
        "decide",
        f"{OPERATORS}.decision.DecidePromotionOperator",
        {
            "evaluation": Output("evaluation"),
            "policy": policy(workload),
            "job": Output("job"),
            **now_true,
            "costs": Output("budget", "costs"),
            "forecast": _forecast(workload),
            **_given(approval=rule if asks else None),
            **({"scores": [Output("scores")]} if workload.evaluation.judge else {}),
        },
        makes="verdict" if asks else "decision",
    )
    if not asks:
        return GroupSpec("decision", (decide,))
    approve = TaskSpec(
        "approve",
        f"{OPERATORS}.decision.ApprovePromotionOperator",
        {"decision": Output("verdict"), **rule, **now_true, "response_timeout": approval.wait},
        makes="decision",
    )
    return GroupSpec("decision", (decide, approve))


def policy(workload: Workload) -> dict[str, Any]:
    """Return the promotion policy as plain data: the first scorer's metric decides, the others guard."""
    given = workload.policy
    if given.metrics:
        rules = {name: rule.model_dump(exclude_none=True) for name, rule in given.metrics.items()}
    else:
        names = [metric_of(spec) for spec in workload.evaluation.scorers]
        rules = {name: {"margin": given.margin, "primary": name == names[0]} for name in names}
    return {
        "metrics": rules,
        "alpha": given.alpha,
        "power": given.power,
        "looks": given.looks,
        "min_items": given.min_items,
        "min_slice_items": given.min_slice_items,
        "beat_untuned": given.beat_untuned,
        "guard_slices": given.guard_slices,
        "require_golden": given.require_golden,
        "max_missing_share": given.max_missing_share,
        "max_error_share": given.max_error_share,
        "require_break_even": given.require_break_even,
        **_given(
            max_p95_latency_ms=given.max_p95_latency_ms,
            max_run_usd=given.max_run_usd,
            max_monthly_usd=given.max_monthly_usd,
            max_payback_days=given.max_payback_days,
        ),
    }


def deployment_tasks(workload: Workload) -> GroupSpec:
    """Make the approved student the live one, with smoke test, bake period and a way back."""
    deployment = workload.deployment
    ends = None
    if deployment.days:
        # from when the run begins: one that is back-filled stands for a time long past
        later = f"dag_run.start_date + {_macro(timedelta(days=deployment.days))}"
        ends = f"{{{{ ({later}).strftime('%Y-%m-%dT%H:%M:%SZ') }}}}"
    promote = TaskSpec(
        "promote",
        f"{OPERATORS}.deployment.BedrockPromoteModelOperator",
        {
            **_place(workload),
            "decision": Output("decision"),
            "job": Output("job"),
            "host_kind": deployment.host,
            "smoke": {"prompts": deployment.smoke_prompts},
            "bake": {
                "probes": BAKE_PROBES,
                "every_seconds": int(deployment.bake.total_seconds() / BAKE_PROBES),
            },
            **_given(
                units=_units(deployment),
                commitment=deployment.commitment,
                accept_commitment=True if deployment.commitment else None,
                hourly_price=deployment.hourly_price,
                ends_at=ends,
                daily_price_cap=deployment.usd_per_day,
                input_tokens_per_day=deployment.input_tokens_per_day,
                output_tokens_per_day=deployment.output_tokens_per_day,
            ),
        },
        makes="deployment",
    )
    return GroupSpec("deployment", (promote,))


def _units(deployment: Deployment) -> int | None:
    """Return the model units wherever throughput may be bought: a price is stated, so it is meant."""
    return deployment.model_units if deployment.hourly_price is not None else None


BAKE_PROBES = 3
"""How often the promoted model is probed during its bake period."""


def _place(workload: Workload) -> dict[str, Any]:
    return {"workload": workload.name, "root": workload.root}


def _given(**arguments: Any) -> dict[str, Any]:
    """Return the arguments that say something; the operators' own defaults stand for the others."""
    return {name: value for name, value in arguments.items() if value not in (None, "", [], {})}


def job_spec(workload: Workload, dataset: Mapping[str, Any], tags: Mapping[str, str]) -> CustomizationSpec:
    """Return the job that a run with this dataset receipt would buy, by the road the operator takes."""
    (distill,) = [task for task in job_tasks(workload).tasks if task.makes == "job"]
    known = set(inspect.signature(make_spec).parameters)
    arguments = {name: value for name, value in distill.arguments.items() if name in known}
    if "dataset" in arguments:
        arguments["dataset"] = dict(dataset)
    return make_spec(**{**arguments, "tags": {**arguments.get("tags", {}), **tags}})
