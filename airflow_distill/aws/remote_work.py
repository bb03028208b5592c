"""Jobs and hosts of every kind, looked at the same way: the service's answers become `JobSnapshot`s.

`WORK` holds, for each kind of remote work, how to list it, get one and stop one. The shared poller, the blocking loops, the
sensors and the find-or-submit rule all go through it, so no two of them can read an answer differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_distill.aws.bedrock import BedrockGateway, Plain
from airflow_distill.errors import ServiceConflictError, ServiceNotFoundError
from airflow_distill.remote.hosts import ON_DEMAND, PROVISIONED, read_host, snapshot_of
from airflow_distill.remote.records import JobSnapshot, Kind, state_of, status_of
from airflow_distill.remote.times import iso_text


@dataclass(frozen=True, slots=True)
class RemoteWork:
    """How one kind of remote work is looked at.

    :param pages: yields pages of summaries created after a moment, newest first.
    :param get: the full answer for an ARN.
    :param find: the snapshot under a name, or None when the service says there is none.
    :param stop: asks it to stop; None for what cannot be stopped (hosts are deleted, copies run to their end).
    """

    kind: Kind
    snapshot: Callable[[Plain], JobSnapshot]
    pages: Callable[[BedrockGateway, datetime | None], Iterator[list[Plain]]]
    get: Callable[[BedrockGateway, str], Plain]
    find: Callable[[BedrockGateway, str], JobSnapshot | None]
    stop: Callable[[BedrockGateway, str], None] | None

    def look(self, bedrock: BedrockGateway, arn: str) -> JobSnapshot:
        """Return the present snapshot of one piece of work, with all details."""
        return self.snapshot(self.get(bedrock, arn))

    def ask_to_stop(self, bedrock: BedrockGateway, arn: str) -> None:
        """Ask it to stop; a conflict says that it stops or has ended already, which is as good."""
        if self.stop is not None:
            with suppress(ServiceConflictError):
                self.stop(bedrock, arn)

    def list_pages(self, bedrock: BedrockGateway, since: datetime | None) -> Iterator[list[JobSnapshot]]:
        """Yield pages of snapshots of what was created after a moment; details are what a list shows."""
        for page in self.pages(bedrock, since):
            yield [self.snapshot(item) for item in page]


def _kept(**details: Any) -> dict[str, Any]:
    return {key: value for key, value in details.items() if value not in (None, "", {}, [])}


_PHASES = (
    ("validation", "validationDetails"),
    ("data processing", "dataProcessingDetails"),
    ("training", "trainingDetails"),
)


def _phases(answer: Mapping[str, Any]) -> dict[str, Any]:
    told = answer.get("statusDetails") or {}
    return {
        name: _kept(status=told[member].get("status"), since=iso_text(told[member].get("lastModifiedTime")))
        for name, member in _PHASES
        if told.get(member)
    }


def customization_job(answer: Plain) -> JobSnapshot:
    """Read a customization job, from Get or from List (whose members are named otherwise)."""
    status = status_of("customization-job", answer.get("status"))
    return JobSnapshot(
        kind="customization-job",
        arn=str(answer.get("jobArn", "")),
        name=str(answer.get("jobName", "")),
        state=state_of("customization-job", status),
        status=status,
        reason=str(answer.get("failureMessage") or ""),
        details=_kept(
            output_model_arn=answer.get("outputModelArn") or answer.get("customModelArn"),
            output_model_name=answer.get("outputModelName") or answer.get("customModelName"),
            output_uri=(answer.get("outputDataConfig") or {}).get("s3Uri"),
            training_loss=(answer.get("trainingMetrics") or {}).get("trainingLoss"),
            phases=_phases(answer),
        ),
        created_at=iso_text(answer.get("creationTime")),
        ended_at=iso_text(answer.get("endTime")),
    )


def provisioned_throughput(answer: Plain) -> JobSnapshot:
    """Read provisioned throughput; it is ready when it is in service with the model it is meant to have."""
    return snapshot_of(read_host(PROVISIONED, answer))


def custom_model_deployment(answer: Plain) -> JobSnapshot:
    """Read a custom model deployment; an update in progress makes it "active" although its status says `Active`."""
    return snapshot_of(read_host(ON_DEMAND, answer))


def evaluation_job(answer: Plain) -> JobSnapshot:
    """Read an evaluation job; its failure texts come as a list."""
    status = status_of("evaluation-job", answer.get("status"))
    return JobSnapshot(
        kind="evaluation-job",
        arn=str(answer.get("jobArn", "")),
        name=str(answer.get("jobName", "")),
        state=state_of("evaluation-job", status),
        status=status,
        reason="; ".join(str(text) for text in answer.get("failureMessages") or ()),
        details=_kept(
            output_uri=(answer.get("outputDataConfig") or {}).get("s3Uri"), job_type=answer.get("jobType")
        ),
        created_at=iso_text(answer.get("creationTime")),
        ended_at=iso_text(answer.get("lastModifiedTime")),
    )


def batch_inference_job(answer: Plain) -> JobSnapshot:
    """Read a batch inference job; partly completed counts as success, with the record counts to judge by."""
    status = status_of("batch-inference-job", answer.get("status"))
    output = (answer.get("outputDataConfig") or {}).get("s3OutputDataConfig") or {}
    return JobSnapshot(
        kind="batch-inference-job",
        arn=str(answer.get("jobArn", "")),
        name=str(answer.get("jobName", "")),
        state=state_of("batch-inference-job", status),
        status=status,
        reason=str(answer.get("message") or ""),
        details=_kept(
            output_uri=output.get("s3Uri"),
            model_id=answer.get("modelId"),
            records=_kept(
                total=answer.get("totalRecordCount"),
                processed=answer.get("processedRecordCount"),
                success=answer.get("successRecordCount"),
                error=answer.get("errorRecordCount"),
            ),
        ),
        created_at=iso_text(answer.get("submitTime")),
        ended_at=iso_text(answer.get("endTime")),
    )


def model_copy_job(answer: Plain) -> JobSnapshot:
    """Read a model copy job; its name is the target model's."""
    status = status_of("model-copy-job", answer.get("status"))
    return JobSnapshot(
        kind="model-copy-job",
        arn=str(answer.get("jobArn", "")),
        name=str(answer.get("targetModelName") or ""),
        state=state_of("model-copy-job", status),
        status=status,
        reason=str(answer.get("failureMessage") or ""),
        details=_kept(
            output_model_arn=answer.get("targetModelArn"),
            output_model_name=answer.get("targetModelName"),
            source_model_arn=answer.get("sourceModelArn"),
        ),
        created_at=iso_text(answer.get("creationTime")),
    )


def _pager(
    method: str, member: str, since_name: str, page_size: int | None = None
) -> Callable[[BedrockGateway, datetime | None], Iterator[list[Plain]]]:
    def pages(bedrock: BedrockGateway, since: datetime | None) -> Iterator[list[Plain]]:
        filters: dict[str, Any] = {"sortBy": "CreationTime", "sortOrder": "Descending"}
        if since is not None:
            filters[since_name] = since
        if page_size:
            filters["maxResults"] = page_size
        for page in bedrock.pages(method, **filters):
            yield list(page.get(member) or ())

    return pages


def _by_get(
    snapshot: Callable[[Plain], JobSnapshot], get: Callable[[BedrockGateway, str], Plain]
) -> Callable[[BedrockGateway, str], JobSnapshot | None]:
    """Find by name through a Get that takes names."""

    def find(bedrock: BedrockGateway, name: str) -> JobSnapshot | None:
        try:
            return snapshot(get(bedrock, name))
        except ServiceNotFoundError:
            return None

    return find


def _by_list(
    snapshot: Callable[[Plain], JobSnapshot],
    get: Callable[[BedrockGateway, str], Plain],
    listed: Callable[[BedrockGateway, str], Iterator[Plain]],
) -> Callable[[BedrockGateway, str], JobSnapshot | None]:
    """Find by name through a List, for what Get knows by ARN only; the newest of equal names wins."""

    def find(bedrock: BedrockGateway, name: str) -> JobSnapshot | None:
        for item in listed(bedrock, name):
            summary = snapshot(item)
            if summary.name == name:
                return snapshot(get(bedrock, summary.arn))
        return None

    return find


WORK: Mapping[Kind, RemoteWork] = {
    "customization-job": RemoteWork(
        "customization-job",
        customization_job,
        _pager("list_model_customization_jobs", "modelCustomizationJobSummaries", "creationTimeAfter", 1000),
        BedrockGateway.get_customization_job,
        _by_get(customization_job, BedrockGateway.get_customization_job),
        BedrockGateway.stop_customization_job,
    ),
    "provisioned-throughput": RemoteWork(
        "provisioned-throughput",
        provisioned_throughput,
        _pager("list_provisioned_model_throughputs", "provisionedModelSummaries", "creationTimeAfter", 1000),
        BedrockGateway.get_provisioned_throughput,
        _by_get(provisioned_throughput, BedrockGateway.get_provisioned_throughput),
        None,
    ),
    "custom-model-deployment": RemoteWork(
        "custom-model-deployment",
        custom_model_deployment,
        _pager("list_custom_model_deployments", "modelDeploymentSummaries", "createdAfter", 1000),
        BedrockGateway.get_deployment,
        _by_get(custom_model_deployment, BedrockGateway.get_deployment),
        None,
    ),
    "evaluation-job": RemoteWork(
        "evaluation-job",
        evaluation_job,
        _pager("list_evaluation_jobs", "jobSummaries", "creationTimeAfter"),
        BedrockGateway.get_evaluation_job,
        _by_list(
            evaluation_job,
            BedrockGateway.get_evaluation_job,
            lambda bedrock, name: bedrock.iter_evaluation_jobs(nameContains=name),
        ),
        BedrockGateway.stop_evaluation_job,
    ),
    "batch-inference-job": RemoteWork(
        "batch-inference-job",
        batch_inference_job,
        _pager("list_model_invocation_jobs", "invocationJobSummaries", "submitTimeAfter", 1000),
        BedrockGateway.get_batch_job,
        _by_list(
            batch_inference_job,
            BedrockGateway.get_batch_job,
            lambda bedrock, name: bedrock.iter_batch_jobs(nameContains=name),
        ),
        BedrockGateway.stop_batch_job,
    ),
    "model-copy-job": RemoteWork(
        "model-copy-job",
        model_copy_job,
        _pager("list_model_copy_jobs", "modelCopyJobSummaries", "creationTimeAfter", 1000),
        BedrockGateway.get_copy_job,
        _by_list(
            model_copy_job,
            BedrockGateway.get_copy_job,
            lambda bedrock, name: bedrock.iter_copy_jobs(targetModelNameContains=name),
        ),
        None,
    ),
}
"""Every kind of remote work and how it is looked at."""
