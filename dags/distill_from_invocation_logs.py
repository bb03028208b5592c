"""Distil a large Bedrock model into a small one from the logs of its traffic: the whole loop, one task a step.

The account is known through the connection alone: `aws_default` carries credentials and Region, and under `distill` in its
extra `root` (where to work), `logs` (the invocation logs) and `role_arn` (the Bedrock service role). The candidate host is
torn down whatever happens, and all that is created carries an end date that the reaper honours.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_distill.operators.dataset import CheckDatasetOperator, CurateDatasetOperator
from airflow_distill.operators.decision import DecidePromotionOperator
from airflow_distill.operators.deployment import BedrockPromoteModelOperator, SmokeTestOperator
from airflow_distill.operators.evaluation import CollectAnswersOperator, ScoreAnswersOperator
from airflow_distill.operators.hosts import BedrockCreateHostOperator, BedrockDeleteHostOperator
from airflow_distill.operators.jobs import BedrockDistillModelOperator
from airflow_distill.operators.logs import HarvestLogsOperator
from airflow_distill.operators.report import RenderReportOperator
from airflow_distill.sensors.jobs import BedrockDistillationCompletedSensor

ACCOUNT = "conn.aws_default.extra_dejson.distill"

with DAG(
    dag_id="distill_from_invocation_logs",
    schedule=None,  # or a cron expression; dags/retrain_on_fresh_logs.py retrains when enough logs are there
    max_active_runs=1,
    render_template_as_native_obj=True,
    default_args={
        "aws_conn_id": "aws_default",
        "workload": "{{ params.workload }}",
        "root": f"{{{{ {ACCOUNT}.root }}}}",
        "teacher": "{{ params.teacher }}",
        "student": "{{ params.student }}",
        "waiter_delay": "{{ params.poll_seconds }}",
    },
    params={
        "workload": Param("support_tickets", description="also the request metadata to select by"),
        "teacher": Param("amazon.nova-pro-v1:0"),
        "student": Param("amazon.nova-micro-v1:0:128k"),
        "curation": Param(
            {}, type="object", description="CurateSettings, such as heldout or near_duplicates"
        ),
        "metric": Param("label_accuracy", description="what decides; token_f1 for free text"),
        "margin": Param(0.05, type="number", description="how far below the teacher is good enough"),
        "hourly_price": Param(18.4, type="number", description="USD an hour of a model unit, as billed"),
        "days": Param(7, type="integer", description="days of logs to read, and of serving to buy"),
        "poll_seconds": Param(60, type="number", description="how often to look at a job or host"),
    },
):
    # region loop
    harvest = HarvestLogsOperator(
        task_id="harvest",
        logs=f"{{{{ {ACCOUNT}.logs }}}}",
        model="{{ params.teacher }}",
        metadata={"equals": {"workload": "{{ params.workload }}"}},
        window_start="{{ dag_run.run_after - macros.timedelta(days=params.days) }}",
        window_end="{{ dag_run.run_after }}",
    ).output
    curate = CurateDatasetOperator(task_id="curate", harvest=harvest, settings="{{ params.curation }}")
    dataset = CheckDatasetOperator(task_id="check", dataset=curate.output).output

    role_arn = f"{{{{ {ACCOUNT}.role_arn }}}}"
    submit = BedrockDistillModelOperator(
        task_id="submit", dataset=dataset, role_arn=role_arn, wait_for_completion=False
    )
    job = BedrockDistillationCompletedSensor(task_id="wait", job=submit.output).output

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
    decide >> remove.as_teardown(setups=candidate)
    # endregion
