"""Waits for customization jobs and model copies."""

from __future__ import annotations

from airflow_distill.triggers.base import RemoteWorkTrigger


class BedrockDistillationCompletedTrigger(RemoteWorkTrigger):
    """Waits for a customization job; see `RemoteWorkTrigger`."""

    kind = "customization-job"


class BedrockModelCopyCompletedTrigger(RemoteWorkTrigger):
    """Waits for a model copy job; it cannot be stopped."""

    kind = "model-copy-job"
