"""Waits for Bedrock's own evaluation jobs and batch inference jobs."""

from __future__ import annotations

from airflow_distill.triggers.base import RemoteWorkTrigger


class BedrockEvaluationJobCompletedTrigger(RemoteWorkTrigger):
    """Waits for an evaluation job; see `RemoteWorkTrigger`."""

    kind = "evaluation-job"


class BedrockBatchInferenceCompletedTrigger(RemoteWorkTrigger):
    """Waits for a batch inference job; partly completed counts as success, the record counts are in the event."""

    kind = "batch-inference-job"
