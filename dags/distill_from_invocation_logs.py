"""Distil a large Bedrock model into a small one from the logs of its traffic: the whole loop, one task a step.

Three settings say where: `root` (where to work), `logs` (the invocation logs) and `role_arn` (the Bedrock service role).
Each is read from `distill` in the extra of the connection `distill_aws`, else from the Airflow Variable `distill_root` (and
so on), else from the Param of that name. The candidate host is torn down whatever happens, and all that is created carries
an end date that the reaper honours.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param

from airflow_distill.operators.dataset import CheckDatasetOperator, CurateDatasetOperator
from airflow_distill.operators.decision import DecidePromotionOperator
from airflow_distill.operators.deployment import (
    BedrockPromoteModelOperator,
    GuardReleaseOperator,
    SmokeTestOperator,
)
from airflow_distill.operators.evaluation import CollectAnswersOperator, ScoreAnswersOperator
from airflow_distill.operators.hosts import BedrockCreateHostOperator, BedrockDeleteHostOperator
from airflow_distill.operators.jobs import BedrockDistillModelOperator
from airflow_distill.operators.logs import HarvestLogsOperator
from airflow_distill.operators.report import RenderReportOperator
from airflow_distill.operators.run import EndRunOperator
from airflow_distill.pipelines import AccountSettings
from airflow_distill.sensors.jobs import BedrockDistillationCompletedSensor

URI: dict[str, Any] = {"type": ["null", "string"], "pattern": r"^(s3://)?[^\s{}]{1,1000}$"}
MODEL: dict[str, Any] = {"type": "string", "pattern": r"^[\w.:/-]{1,2048}$"}
"""Who may trigger a run chooses these values, so each has a schema; what is imported by path stands in this file alone."""

with DAG(
    dag_id="distill_from_invocation_logs",
    schedule=None,  # or a cron expression; dags/retrain_on_fresh_logs.py retrains when enough logs are there
    max_active_runs=1,
    render_template_as_native_obj=True,
    user_defined_macros={"account": AccountSettings("root", "logs", "role_arn")},
    default_args={
        "aws_conn_id": "{{ params.aws_conn_id }}",
        "workload": "{{ params.workload }}",
        "root": "{{ account('root') }}",
        "teacher": "{{ params.teacher }}",
        "student": "{{ params.student }}",
        "waiter_delay": "{{ params.poll_seconds }}",
    },
    params={
        "aws_conn_id": Param(
            "distill_aws",
            type="string",
            pattern=r"^[\w.-]{1,200}$",
            description="the AWS connection; without one the task's own role counts",
        ),
        "root": Param(None, **URI, description="s3://bucket/prefix to work under"),
        "logs": Param(None, **URI, description="where Bedrock delivers invocation logs"),
        "role_arn": Param(
            None,
            type=["null", "string"],
            pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}$",
            description="the role that Bedrock assumes",
        ),
        "workload": Param(
            "support_tickets",
            type="string",
            pattern=r"^[a-z0-9](?:[-_]?[a-z0-9]){0,39}$",
            description="also the request metadata to select by",
        ),
        "teacher": Param("amazon.nova-pro-v1:0", **MODEL),
        "student": Param("amazon.nova-micro-v1:0:128k", **MODEL),
        "curation": Param(
            {},
            type="object",
            additionalProperties=False,
            properties={
                "limit": {"type": "integer", "minimum": 130, "maximum": 15_000},
                "heldout": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
                "near_duplicates": {"type": "number", "minimum": 0.3, "maximum": 1},
                "balance_by": {"type": "string", "pattern": "^(answer|metadata:.{1,256})?$"},
                "max_characters": {"type": "integer", "minimum": 1},
            },
            description="CurateSettings that a run may choose",
        ),
        "metric": Param(
            "label_accuracy",
            type="string",
            enum=["label_accuracy", "macro_f1", "exact", "token_f1", "char_f1", "json_fields", "tool_calls"],
            description="what decides; token_f1 for free text",
        ),
        "margin": Param(
            0.05,
            type="number",
            exclusiveMinimum=0,
            exclusiveMaximum=1,
            description="how far below the teacher is good enough",
        ),
        "hourly_price": Param(
            18.4, type="number", exclusiveMinimum=0, description="USD an hour of a model unit, as billed"
        ),
        "days": Param(
            7,
            type="integer",
            minimum=1,
            maximum=90,
            description="days of logs to read, and of serving to buy",
        ),
        "poll_seconds": Param(
            60,
            type="number",
            exclusiveMinimum=0,
            maximum=3600,
            description="how often to look at a job or host",
        ),
    },
):
    # region loop
    harvest = HarvestLogsOperator(
        task_id="harvest",
        logs="{{ account('logs') }}",
        model="{{ params.teacher }}",
        metadata={"equals": {"workload": "{{ params.workload }}"}},
        window_start="{{ dag_run.run_after - macros.timedelta(days=params.days) }}",
        window_end="{{ dag_run.run_after }}",
    ).output
    curate = CurateDatasetOperator(task_id="curate", harvest=harvest, settings="{{ params.curation }}")
    dataset = CheckDatasetOperator(task_id="check", dataset=curate.output).output

    submit = BedrockDistillModelOperator(
        task_id="submit", dataset=dataset, role_arn="{{ account('role_arn') }}", wait_for_completion=False
    )
    wait = BedrockDistillationCompletedSensor(task_id="wait", job=submit.output, cancel_on_kill=True)
    job = wait.output

    candidate = BedrockCreateHostOperator(task_id="candidate", job=job)
    answers = CollectAnswersOperator(task_id="answers", dataset=dataset, job=job, host=candidate.output)
    score = ScoreAnswersOperator(
        task_id="score", answers=answers.output, dataset=dataset, metrics=["{{ params.metric }}"]
    )
    decide = DecidePromotionOperator(
        task_id="decide",
        evaluation=score.output,
        job=job,
        policy={"metrics": [{"name": "{{ params.metric }}", "margin": "{{ params.margin }}"}]},
    )
    deploy = BedrockPromoteModelOperator(
        task_id="deploy",
        decision=decide.output,
        job=job,
        host_kind="provisioned-throughput",
        units=1,
        hourly_price="{{ params.hourly_price }}",
        ends_at="{{ dag_run.run_after + macros.timedelta(days=params.days) }}",
        bake={"probes": 3, "every_seconds": "{{ params.poll_seconds }}"},
    )
    SmokeTestOperator(task_id="smoke_test", deployment=deploy.output)
    RenderReportOperator(task_id="report", evaluation=score.output, decision=decide.output, dataset=dataset)

    remove = BedrockDeleteHostOperator(task_id="remove_candidate", host=candidate.output)
    guard = GuardReleaseOperator(task_id="guard")
    decide >> remove.as_teardown(setups=candidate)
    deploy >> guard.as_teardown()
    [remove, guard] >> EndRunOperator(task_id="end_run")
    # endregion
