"""Distil from a prompt file of your own: prompts with the answers that people wrote, no invocation logs at all.

The file holds `bedrock-conversation-2024` records whose last turn is the assistant's. Part of it is held out and judges the
student; the rest is handed to Bedrock with its answers as golden labels.
"""

# region dag
from __future__ import annotations

from airflow.sdk import DAG

from airflow_distill.pipelines import distill_from_logs
from airflow_distill.workload.config import Workload

TICKETS = Workload.model_validate(
    {
        "name": "labelled_tickets",
        "owner": "support-platform",
        "teacher": "amazon.nova-pro-v1:0",
        "student": "amazon.nova-micro-v1:0:128k",
        "root": "s3://acme-distill/loop",
        "role_arn": "arn:aws:iam::123456789012:role/distill-customization",
        "aws_conn_id": "distill_aws",
        "dataset": {
            "prompts": "s3://acme-distill/prompts/labelled_tickets.jsonl",
            "source": "curated-with-answers",
            "heldout": 0.25,
        },
        "evaluation": {"scorers": ["label_accuracy"]},
        "policy": {"margin": 0.2},
        "approval": {"mode": "never"},
        "deployment": {"enabled": False},
        "budget": {
            "usd_per_run": 60,
            "student_prices": {"deployment-input": 0.000035, "deployment-output": 0.00014},
        },
    }
)

with DAG("distill_from_prompts", schedule=None, max_active_runs=1, tags=["bedrock", "distillation"]) as dag:
    distill_from_logs(TICKETS)
# endregion
