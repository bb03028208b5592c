"""From a dataset receipt or a log location to a spec.

Operators, `plan` and `doctor` all come this way, so they arrive at the same names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from airflow_distill.errors import ConfigurationError, DatasetRejectedError
from airflow_distill.remote.identity import fingerprint
from airflow_distill.stages.jobs.models import Method
from airflow_distill.stages.jobs.records import CustomizationSpec, LogsData, PromptsData, TrainingData
from airflow_distill.stages.storage import join_uri


def make_spec(
    *,
    workload: str,
    root: str,
    role_arn: str,
    dataset: Mapping[str, Any] | None = None,
    dataset_id: str | None = None,
    invocation_logs: Mapping[str, Any] | None = None,
    teacher: str | None = None,
    student: str | None = None,
    max_response_length: int | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    validation_uris: Sequence[str] | None = None,
    kms_key_id: str | None = None,
    subnet_ids: Sequence[str] | None = None,
    security_group_ids: Sequence[str] | None = None,
    tags: Mapping[str, str] | None = None,
    method: Method = "distillation",
) -> CustomizationSpec:
    """Build the spec; exactly one of a dataset receipt and invocation logs says what to train on.

    :param dataset: the receipt of a dataset (`train_uri`, `dataset_id`, `teacher`, `student`, ...).
    :param invocation_logs: `{"uri": ..., "use_prompt_response": bool, "filters": {...}}`: Bedrock reads the logs itself.
    :param dataset_id: with invocation logs: what tells one intended run from the next, such as the window.
    :raises ConfigurationError: the pieces do not make a job.
    :raises DatasetRejectedError: the dataset's checks found defects.
    """
    receipt = dict(dataset or {})
    if bool(receipt.get("train_uri")) == bool(invocation_logs):
        raise ConfigurationError(
            "jobs: give either a dataset with a train_uri or invocation_logs.",
            hint="Pass either the dataset receipt or the log location with its filter.",
        )
    if receipt.get("accepted") is False:
        raise DatasetRejectedError(
            f"jobs: dataset {receipt.get('dataset_id', '?')} was rejected by its checks.",
            counts={},
            hint="See findings.jsonl beside its manifest; nothing was bought.",
        )
    if method not in get_args(Method):
        raise ConfigurationError(
            f"jobs: {method!r} is no method.", hint=f"Write one of: {', '.join(get_args(Method))}."
        )
    teacher = teacher or receipt.get("teacher")
    student = student or receipt.get("student")
    if not teacher or not student:
        raise ConfigurationError("jobs: teacher and student are needed.", hint="Name both models.")
    training = _logs(invocation_logs) if invocation_logs else _prompts(receipt)
    return CustomizationSpec(
        workload=workload,
        dataset_id=_dataset_id(dataset_id, receipt, training),
        teacher=teacher,
        student=student,
        role_arn=role_arn,
        output_uri=join_uri(root, workload, "jobs"),
        training=training,
        # A fine-tuning job asks no teacher, so how long an answer may be changes nothing about it.
        max_response_length=(
            None if max_response_length is None or method == "fine-tuning" else int(max_response_length)
        ),
        hyperparameters={str(k): str(v) for k, v in (hyperparameters or {}).items()},
        validation_uris=tuple(validation_uris or ()),
        kms_key_id=kms_key_id,
        subnet_ids=tuple(subnet_ids or ()),
        security_group_ids=tuple(security_group_ids or ()),
        job_tags=dict(tags or {}),
        model_tags=dict(tags or {}),
        root=root,
        method=method,
    )


def _prompts(receipt: Mapping[str, Any]) -> PromptsData:
    records = receipt.get("train_records")
    return PromptsData(
        uri=str(receipt["train_uri"]),
        records=None if records is None else int(records),
        with_answers=bool(receipt.get("with_answers", False)),
        form=receipt.get("form") or "conversation",
    )


def _logs(invocation_logs: Mapping[str, Any]) -> LogsData:
    unknown = set(invocation_logs) - {"uri", "use_prompt_response", "filters"}
    if unknown or not invocation_logs.get("uri"):
        raise ConfigurationError(
            f"jobs: invocation_logs needs uri and may hold use_prompt_response and filters; got {sorted(invocation_logs)}.",
            hint="See docs/guides/jobs.md for the shape.",
        )
    filters = invocation_logs.get("filters")
    return LogsData(
        uri=str(invocation_logs["uri"]),
        use_prompt_response=bool(invocation_logs.get("use_prompt_response", False)),
        filters=dict(filters) if filters else None,
    )


def _dataset_id(given: str | None, receipt: Mapping[str, Any], training: TrainingData) -> str:
    known = given or receipt.get("dataset_id")
    return str(known) if known else fingerprint("training", training.to_json(), length=24)
