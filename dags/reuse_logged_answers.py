"""Hand the invocation logs to Bedrock itself, answers included: the teacher is not called again.

Cheaper and quicker than prompts, without the service's synthesis. Bedrock reads a folder of past logs and keeps the
records whose model is the teacher and whose request metadata match. Our own part of the logs, a later window, only
judges: no prompt of it may lie in the folder that the student learns from.
"""

# region dag
from __future__ import annotations

from airflow.sdk import DAG

from airflow_distill.operators.dataset import CurateDatasetOperator
from airflow_distill.operators.evaluation import CollectAnswersOperator, ScoreAnswersOperator
from airflow_distill.operators.hosts import BedrockCreateHostOperator, BedrockDeleteHostOperator
from airflow_distill.operators.jobs import BedrockDistillModelOperator
from airflow_distill.operators.logs import HarvestLogsOperator
from airflow_distill.operators.run import EndRunOperator

LOGS = "s3://acme-bedrock-logs/bedrock"
PAST = f"{LOGS}/AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1/2026/10"
FILTER = {"equals": {"app": "support_tickets"}}
TEACHER = "amazon.nova-pro-v1:0"
STUDENT = "amazon.nova-micro-v1:0:128k"
SHARED = {
    "workload": "reused_answers",
    "root": "s3://acme-distill/loop",
    "teacher": TEACHER,
    "student": STUDENT,
    "aws_conn_id": "distill_aws",
}

with DAG(
    "reuse_logged_answers",
    schedule=None,
    max_active_runs=1,
    default_args=SHARED,
    tags=["bedrock", "distillation"],
) as dag:
    harvest = HarvestLogsOperator(task_id="harvest_for_judging", logs=LOGS, model=TEACHER, metadata=FILTER)
    dataset = CurateDatasetOperator(
        task_id="curate", harvest=harvest.output, settings={"heldout": 0.5}, skip_when_not_worth=False
    )
    job = BedrockDistillModelOperator(
        task_id="distill",
        role_arn="arn:aws:iam::123456789012:role/distill-customization",
        invocation_logs={"uri": PAST, "use_prompt_response": True, "filters": FILTER},
        dataset_id="2026-10",  # what is meant by this run: October, once
    )
    host = BedrockCreateHostOperator(
        task_id="create_host", job=job.output, host_kind="custom-model-deployment"
    )
    answers = CollectAnswersOperator(
        task_id="collect_answers", dataset=dataset.output, job=job.output, host=host.output
    )
    score = ScoreAnswersOperator(
        task_id="score", answers=answers.output, dataset=dataset.output, metrics=["label_accuracy"]
    )
    remove = BedrockDeleteHostOperator(task_id="delete_host", host=host.output)
    answers >> remove.as_teardown(setups=host) >> EndRunOperator(task_id="end_run")
# endregion
