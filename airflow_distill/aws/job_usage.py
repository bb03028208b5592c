"""What a customization job has used, from its output: Bedrock's answers name no tokens.

A job that failed while its data was checked has used nothing: teacher and training come after that (Amazon Bedrock user
guide, Monitor your model customization job). What one used that failed later or was stopped, nothing tells but the bill.
Training tokens are the pairs that the service accepted, times the mean tokens of a training record, times the epochs that
its metrics show. Where the job asked the teacher itself, the same pairs are the teacher's calls. The pairs come from
`prompt_insights.json`, the epochs from `step_wise_training_metrics.csv`; the means are those that the logs counted.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from airflow_distill.aws.gateways import AwsGateways, store_for
from airflow_distill.errors import StateError
from airflow_distill.stages.jobs.models import base_model_id
from airflow_distill.stages.money.estimate import mean_tokens
from airflow_distill.stages.money.records import Tokens, Usage
from airflow_distill.stages.money.usage import JOB
from airflow_distill.stages.storage import ObjectMissingError, join_uri

METRICS = "training_artifacts/step_wise_training_metrics.csv"
INSIGHTS = "prompt_insights/prompt_insights.json"


def job_usage(gateways: AwsGateways, job_arn: str, dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a `Metered` record for a job that has ended.

    :param dataset: receipt of what it was trained on, or of what was measured of the logs that it read itself.
    :raises StateError: neither the output nor the manifest tells it.
    :raises ServiceError: the job or its output cannot be read.
    """
    job = gateways.bedrock.get_customization_job(job_arn)
    student = base_model_id(str(job.get("baseModelArn") or dataset.get("student") or ""))
    if _never_began(job):
        return {"more": (Usage(JOB, "training", student, 0),), "how": "derived"}
    if job.get("status") != "Completed":
        raise _untold(job_arn)
    folder = join_uri(
        str((job.get("outputDataConfig") or {}).get("s3Uri") or ""),
        f"model-customization-job-{job_arn.rsplit('/', 1)[-1]}",
    )
    store = store_for(gateways, folder)
    try:
        epochs = _epochs(store.read(join_uri(folder, METRICS)))
        pairs = _accepted(store, folder, dataset)
        manifest = json.loads(store_for(gateways, dataset["manifest_uri"]).read(dataset["manifest_uri"]))
        tokens_in, tokens_out = mean_tokens((manifest.get("profile") or {}).get("train") or {})
    except (ObjectMissingError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise _untold(job_arn) from error
    if tokens_in is None or tokens_out is None:
        raise _untold(job_arn)
    config = (job.get("customizationConfig") or {}).get("distillationConfig") or {}
    teacher = str((config.get("teacherModelConfig") or {}).get("teacherModelIdentifier") or "")
    logs = (job.get("trainingDataConfig") or {}).get("invocationLogsConfig")
    learns_answers = bool(logs.get("usePromptResponse") if logs else manifest.get("with_answers"))
    called = bool(teacher) and not learns_answers
    return {
        "model": base_model_id(teacher) if called else "",
        "kind": "inference" if called else "",
        "calls": pairs if called else 0,
        "tokens": Tokens(round(tokens_in * pairs), round(tokens_out * pairs)) if called else Tokens(),
        "more": (Usage(JOB, "training", student, round((tokens_in + tokens_out) * pairs * epochs)),),
        "how": "derived",
    }


def _never_began(job: Mapping[str, Any]) -> bool:
    """Say whether a job ended before its data was found good."""
    checked = (job.get("statusDetails") or {}).get("validationDetails") or {}
    return job.get("status") in ("Failed", "Stopped") and checked.get("status") in ("Failed", "Stopped")


def _accepted(store: Any, folder: str, dataset: Mapping[str, Any]) -> int:
    try:
        return int(json.loads(store.read(join_uri(folder, INSIGHTS)))["acceptedPrompts"])
    except ObjectMissingError:
        return int(dataset["train_records"])  # fine-tuning writes no insights: it takes every record


def _epochs(metrics: bytes) -> int:
    rows = list(csv.DictReader(io.StringIO(metrics.decode("utf-8-sig"))))
    found = {int(float(row["epoch_number"])) for row in rows}
    if not found:
        raise ValueError("no steps")
    return len(found)


def _untold(job_arn: str) -> StateError:
    return StateError(
        f"money: the output of {job_arn} does not tell how much was trained.",
        hint="`airflow-distill spend reconcile` reads it from the bill.",
    )
