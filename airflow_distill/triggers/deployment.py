"""Waits for hosts. They outlive the wait, so these triggers never stop or remove anything."""

from __future__ import annotations

from airflow_distill.triggers.base import RemoteWorkTrigger


class BedrockProvisionedThroughputReadyTrigger(RemoteWorkTrigger):
    """Waits until provisioned throughput is in service, with `expect_model_arn` if given."""

    kind = "provisioned-throughput"


class BedrockCustomModelDeploymentReadyTrigger(RemoteWorkTrigger):
    """Waits until a custom model deployment is active, with `expect_model_arn` if given."""

    kind = "custom-model-deployment"
