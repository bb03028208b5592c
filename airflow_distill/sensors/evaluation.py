"""Sensors for Bedrock's own evaluation jobs and batch inference jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_distill.links.bedrock import (
    BedrockBatchInferenceJobLink,
    BedrockEvaluationJobLink,
    persist_arn_link,
)
from airflow_distill.remote.records import JobSnapshot
from airflow_distill.sensors.base import RemoteWorkSensor
from airflow_distill.triggers.evaluation import (
    BedrockBatchInferenceCompletedTrigger,
    BedrockEvaluationJobCompletedTrigger,
)


class _ArnSensor(RemoteWorkSensor):
    """What the two sensors share.

    :param job: the job's ARN, or a receipt with `job_arn` (templated).
    """

    template_fields: Sequence[str] = aws_template_fields(
        "deferrable", "waiter_delay", "wait_timeout", "on_deadline", "cancel_on_kill", "job"
    )

    def __init__(self, *, job: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    def identifier(self) -> str:
        return str(self.job.get("job_arn", "")) if isinstance(self.job, Mapping) else str(self.job)

    def receipt(self, snapshot: JobSnapshot, carry: Mapping[str, Any]) -> dict[str, Any]:
        return snapshot.to_json()


class BedrockEvaluationJobCompletedSensor(_ArnSensor):
    """Wait for an evaluation job; returns its snapshot with the output folder."""

    kind = "evaluation-job"
    trigger_class = BedrockEvaluationJobCompletedTrigger
    operator_extra_links = (BedrockEvaluationJobLink(),)

    def show(self, context: Any, snapshot: JobSnapshot) -> None:
        persist_arn_link(BedrockEvaluationJobLink, context, self, snapshot.arn)


class BedrockBatchInferenceCompletedSensor(_ArnSensor):
    """Wait for a batch inference job; returns its snapshot with the record counts."""

    kind = "batch-inference-job"
    trigger_class = BedrockBatchInferenceCompletedTrigger
    operator_extra_links = (BedrockBatchInferenceJobLink(),)

    def show(self, context: Any, snapshot: JobSnapshot) -> None:
        persist_arn_link(BedrockBatchInferenceJobLink, context, self, snapshot.arn)
