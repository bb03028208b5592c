"""What Airflow's provider discovery reads. It runs in every process, so it imports nothing of ours but the version."""

from __future__ import annotations

from typing import Any

from airflow_distill import __version__

OPERATORS = (
    "dataset",
    "decision",
    "deployment",
    "evaluation",
    "evaluation_jobs",
    "guards",
    "hosts",
    "idle",
    "jobs",
    "judge",
    "logs",
    "preflight",
    "reap",
    "report",
    "retention",
    "retire",
    "run",
    "shadow",
    "turn",
    "watch",
    "workload",
)
SENSORS = ("deployment", "evaluation", "jobs", "logs")
TRIGGERS = ("assets", "deployment", "evaluation", "jobs", "logs", "turn")
LINKS = (
    "BedrockCustomizationJobLink",
    "BedrockCustomModelLink",
    "BedrockHostLink",
    "BedrockEvaluationJobLink",
    "BedrockBatchInferenceJobLink",
    "S3FolderLink",
)
CONNECTION_TYPE = "bedrock_distill"
"""An AWS connection with form fields for where a Dag works."""


def _text_field(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"]}}


def _connection_type() -> dict[str, Any]:
    """Return the form: what an AWS connection holds, and the three settings that `AccountSettings` looks for."""
    return {
        "connection-type": CONNECTION_TYPE,
        "hook-class-name": "airflow_distill.hooks.bedrock.BedrockDistillHook",
        "hook-name": "Amazon Bedrock Distillation",
        "ui-field-behaviour": {
            "hidden-fields": ["host", "schema", "port"],
            "relabeling": {"login": "AWS Access Key ID", "password": "AWS Secret Access Key"},
            "placeholders": {
                "login": "empty: the role of the machine",
                "password": "empty: the role of the machine",
            },
        },
        "conn-fields": {
            "distill_root": _text_field(
                "Root", "Where datasets, evidence and releases lie: s3://bucket/prefix"
            ),
            "distill_logs": _text_field(
                "Invocation logs", "Where Bedrock delivers invocation logs: s3://bucket/prefix"
            ),
            "distill_role_arn": _text_field(
                "Service role", "ARN of the role that Bedrock's customization jobs use"
            ),
            "region_name": _text_field("Region", "Region of the jobs, such as us-east-1"),
            "role_arn": _text_field("Role to assume", "ARN of the role that Airflow assumes; empty for none"),
        },
    }


def _modules(room: str, names: tuple[str, ...]) -> list[str]:
    return [f"airflow_distill.{room}.{name}" for name in names]


CONFIG = {
    "airflow_distill": {
        "description": "Pages of airflow_distill in Airflow's interface, see the guide Pages.",
        "options": {
            "pages": {
                "description": "Show the pages Workloads, Evaluation and Approval. Read by the api-server.",
                "version_added": "0.1.0",
                "type": "boolean",
                "example": "True",
                "default": "False",
            },
            "root": {
                "description": (
                    "Root of the workloads that the pages show, s3://BUCKET/PREFIX. Empty: `distill.root` or `distill_root` "
                    "in the extra of the connection, else the Airflow Variable `distill_root`."
                ),
                "version_added": "0.1.0",
                "type": "string",
                "example": "s3://my-bucket/distill",
                "default": "",
            },
            "aws_conn_id": {
                "description": "Airflow connection with which the pages read the bucket. Reading is all it needs.",
                "version_added": "0.1.0",
                "type": "string",
                "example": "distill_pages",
                "default": "aws_default",
            },
            "show_texts": {
                "description": (
                    "Let users who may edit a Dag see prompt and answers of its worst cases after a click. Each look is "
                    "written to Airflow's audit log. Prompts then leave the bucket for a browser."
                ),
                "version_added": "0.1.0",
                "type": "boolean",
                "example": "True",
                "default": "False",
            },
        },
    }
}
"""Settings of the api-server, as Airflow's configuration reference shows them."""


def get_provider_info() -> dict[str, Any]:
    """Return the provider description, checked by Airflow against its own schema."""
    integration = "Amazon Bedrock Model Distillation"
    return {
        "package-name": "airflow-distill",
        "name": "Amazon Bedrock Model Distillation",
        "description": "Distil a large Amazon Bedrock model into a small one as a loop: logs, dataset, job, evaluation, decision, deployment.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": integration,
                "external-doc-url": "https://docs.aws.amazon.com/bedrock/latest/userguide/model-distillation.html",
                "tags": ["aws"],
            }
        ],
        "hooks": [{"integration-name": integration, "python-modules": ["airflow_distill.hooks.bedrock"]}],
        "operators": [{"integration-name": integration, "python-modules": _modules("operators", OPERATORS)}],
        "sensors": [{"integration-name": integration, "python-modules": _modules("sensors", SENSORS)}],
        "triggers": [{"integration-name": integration, "python-modules": _modules("triggers", TRIGGERS)}],
        "notifications": ["airflow_distill.notifications.workload.WorkloadNotifier"],
        "config": CONFIG,
        "connection-types": [_connection_type()],
        "asset-uris": [{"schemes": ["distill"], "handler": "airflow_distill.pipelines.asset_uris.checked"}],
        "extra-links": [
            *(f"airflow_distill.links.bedrock.{name}" for name in LINKS),
            "airflow_distill.links.report.DistillReportLink",
            "airflow_distill.links.pages.DistillPageLink",
        ],
    }
