"""Sensors for customization jobs and model copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_distill.links.bedrock import (
    BedrockCustomizationJobLink,
    BedrockCustomModelLink,
    persist_arn_link,
)
from airflow_distill.operators.jobs import job_identifier, job_receipt
from airflow_distill.remote.records import JobSnapshot
from airflow_distill.sensors.base import RemoteWorkSensor
from airflow_distill.triggers.jobs import (
    BedrockDistillationCompletedTrigger,
    BedrockModelCopyCompletedTrigger,
)


class BedrockDistillationCompletedSensor(RemoteWorkSensor):
    """Wait for a customization job; returns its receipt, which names the custom model.

    :param job: the receipt of a submitted job, or a job's ARN or name (templated).
    """

    kind = "customization-job"
    trigger_class = BedrockDistillationCompletedTrigger
    operator_extra_links = (BedrockCustomizationJobLink(), BedrockCustomModelLink())
    template_fields: Sequence[str] = aws_template_fields(
        "deferrable", "waiter_delay", "wait_timeout", "on_deadline", "cancel_on_kill", "job"
    )

    def __init__(self, *, job: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    def identifier(self) -> str:
        return job_identifier(self.job)

    def carry(self) -> dict[str, Any]:
        if not isinstance(self.job, Mapping):
            return {}
        kept = ("workload", "dataset_id", "teacher", "student", "generation", "submissions", "adopted")
        return {name: self.job[name] for name in kept if name in self.job}

    def receipt(self, snapshot: JobSnapshot, carry: Mapping[str, Any]) -> dict[str, Any]:
        return job_receipt(snapshot, carry)

    def show(self, context: Any, snapshot: JobSnapshot) -> None:
        persist_arn_link(BedrockCustomizationJobLink, context, self, snapshot.arn)
        persist_arn_link(
            BedrockCustomModelLink, context, self, snapshot.details.get("output_model_arn") or snapshot.arn
        )


class BedrockModelCopyCompletedSensor(RemoteWorkSensor):
    """Wait for a model copy job; returns its snapshot.

    :param copy_job: the receipt of a copy, or the copy job's ARN (templated).
    """

    kind = "model-copy-job"
    trigger_class = BedrockModelCopyCompletedTrigger
    template_fields: Sequence[str] = aws_template_fields(
        "deferrable", "waiter_delay", "wait_timeout", "on_deadline", "cancel_on_kill", "copy_job"
    )

    def __init__(self, *, copy_job: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.copy_job = copy_job

    def identifier(self) -> str:
        if isinstance(self.copy_job, Mapping):
            return str(self.copy_job.get("copy_job_arn", ""))
        return str(self.copy_job)

    def receipt(self, snapshot: JobSnapshot, carry: Mapping[str, Any]) -> dict[str, Any]:
        return snapshot.to_json()
