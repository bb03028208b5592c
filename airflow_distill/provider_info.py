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
    "hosts",
    "jobs",
    "judge",
    "logs",
    "preflight",
    "reap",
    "report",
    "turn",
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


def _modules(room: str, names: tuple[str, ...]) -> list[str]:
    return [f"airflow_distill.{room}.{name}" for name in names]


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
        "extra-links": [
            *(f"airflow_distill.links.bedrock.{name}" for name in LINKS),
            "airflow_distill.links.report.DistillReportLink",
        ],
    }
