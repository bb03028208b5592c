"""Sensors for hosts: provisioned throughput and custom model deployments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_distill.links.bedrock import BedrockHostLink, persist_arn_link
from airflow_distill.remote.records import JobSnapshot
from airflow_distill.sensors.base import RemoteWorkSensor
from airflow_distill.triggers.deployment import (
    BedrockCustomModelDeploymentReadyTrigger,
    BedrockProvisionedThroughputReadyTrigger,
)


class _HostReadySensor(RemoteWorkSensor):
    """What the two sensors for hosts share.

    :param host: a host receipt, or the host's ARN (templated).
    :param model_arn: the model it must serve to count as ready; any when left out (templated).
    """

    operator_extra_links = (BedrockHostLink(),)
    template_fields: Sequence[str] = aws_template_fields(
        "deferrable", "waiter_delay", "wait_timeout", "on_deadline", "cancel_on_kill", "host", "model_arn"
    )

    def __init__(self, *, host: Any, model_arn: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.host = host
        self.model_arn = model_arn

    def identifier(self) -> str:
        return str(self.host.get("host_arn", "")) if isinstance(self.host, Mapping) else str(self.host)

    def expected_model(self) -> str | None:
        return self.model_arn

    def carry(self) -> dict[str, Any]:
        return dict(self.host) if isinstance(self.host, Mapping) else {}

    def receipt(self, snapshot: JobSnapshot, carry: Mapping[str, Any]) -> dict[str, Any]:
        """Return the host receipt brought up to date, or a snapshot when only an ARN was given."""
        if not carry:
            return snapshot.to_json()
        model = snapshot.details.get("model_arn") or carry.get("model_arn")
        return {**carry, "status": snapshot.status, "model_arn": model}

    def show(self, context: Any, snapshot: JobSnapshot) -> None:
        persist_arn_link(BedrockHostLink, context, self, snapshot.arn)


class BedrockProvisionedThroughputReadySensor(_HostReadySensor):
    """Wait until provisioned throughput is in service; returns the host receipt."""

    kind = "provisioned-throughput"
    trigger_class = BedrockProvisionedThroughputReadyTrigger


class BedrockCustomModelDeploymentReadySensor(_HostReadySensor):
    """Wait until a custom model deployment is active; returns the host receipt."""

    kind = "custom-model-deployment"
    trigger_class = BedrockCustomModelDeploymentReadyTrigger
