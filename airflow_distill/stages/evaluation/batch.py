"""Answers by batch inference: the input file, the request, and the answers in the output files.

Batch takes a base model (the untuned student, the teacher) or a profile, costs about half, but wants at least 100 records
and takes its time. Custom models cannot be asked this way, nor can their hosts ("Supported Regions and models for batch
inference": N/A for all of them). Its answers go into the same cache as those of runtime calls; whatever a partial or
expired job leaves out is then asked at runtime, or stays missing. The output is in no order and may name errors in two
ways. No AWS, no clock; text goes into the input file and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.remote.identity import evaluation_name, request_token, tag_list
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.evaluation.collect import (
    Given,
    Parameters,
    Subject,
    converse_messages,
    make_answer,
    make_error,
)
from airflow_distill.stages.evaluation.records import Answer

MIN_RECORDS = 100
"""Fewest records that the service takes in a batch job; adjustable for some models."""

NOT_IN_BATCH = (":custom-model/", ":provisioned-model/", ":custom-model-deployment/")
"""Marks of ARNs that batch inference refuses (AWS: Supported Regions and models for batch inference, 2026-11)."""

HOURS = (24, 168)
"""Shortest and longest time a batch job may be given."""


def require_batch_model(model: str) -> None:
    """Refuse a model that batch inference does not take.

    :raises ConfigurationError: a custom model or a host.
    """
    if any(mark in model for mark in NOT_IN_BATCH):
        raise ConfigurationError(
            f"batch: the service takes no custom model and no host in batch inference: {model}.",
            hint="Name a base model or a profile; CollectAnswersOperator asks the custom model on its host.",
        )


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """What a batch job asks.

    :param content: digest of the input file.
    :param root: the root's URI; part of the name.
    :param hours: after which the service ends the job as `Expired`, with what it has.
    """

    workload: str
    dataset_id: str
    model: str
    content: str
    hours: int = 24
    root: str = ""

    def __post_init__(self) -> None:
        if not HOURS[0] <= self.hours <= HOURS[1]:
            raise ConfigurationError(f"batch: a job may take {HOURS[0]} to {HOURS[1]} hours.")
        require_batch_model(self.model)

    def job_name(self, generation: int) -> str:
        """Return the job's name for a generation."""
        return evaluation_name(
            self.workload, self.dataset_id, self.model, {"batch": self.content}, generation, root=self.root
        )


def batch_input(questions: Sequence[tuple[Example, int]], parameters: Parameters) -> bytes:
    """Return the input file: one Converse request a line, named by prompt digest and repeat."""
    return b"".join(_line(example, repeat, parameters) for example, repeat in questions)


def _line(example: Example, repeat: int, parameters: Parameters) -> bytes:
    inference: dict[str, Any] = {"maxTokens": parameters.max_tokens}
    if parameters.temperature is not None:
        inference["temperature"] = parameters.temperature
    asked: dict[str, Any] = {"messages": converse_messages(example), "inferenceConfig": inference}
    if example.system:
        asked["system"] = [{"text": example.system}]
    record = {"recordId": f"{example.id}-{repeat}", "modelInput": asked}
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def build_batch_request(
    spec: BatchSpec,
    generation: int,
    *,
    input_uri: str,
    output_uri: str,
    role_arn: str,
    tags: Mapping[str, str],
    kms_key_id: str | None = None,
) -> dict[str, Any]:
    """Return the request of CreateModelInvocationJob as plain data."""
    name = spec.job_name(generation)
    output = {"s3Uri": output_uri.rstrip("/") + "/"}
    if kms_key_id:
        output["s3EncryptionKeyId"] = kms_key_id
    return {
        "jobName": name,
        "clientRequestToken": request_token("CreateModelInvocationJob", name),
        "roleArn": role_arn,
        "modelId": spec.model,
        "modelInvocationType": "Converse",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": input_uri, "s3InputFormat": "JSONL"}},
        "outputDataConfig": {"s3OutputDataConfig": output},
        "timeoutDurationInHours": spec.hours,
        "tags": tag_list(tags),
    }


def is_output(uri: str) -> bool:
    """Say whether an object below the job's folder holds answers; the manifest also ends in `.out`."""
    return uri.endswith(".jsonl.out")


@dataclass(frozen=True, slots=True)
class BatchAnswers:
    """What a batch job brought: an answer or an error for each record found, and how many records are not there."""

    answers: tuple[Answer, ...]
    missing: int
    strays: int

    @property
    def errors(self) -> int:
        """How many of the records are errors."""
        return sum(1 for a in self.answers if a.failed)


def read_batch_output(
    files: Iterable[bytes], questions: Sequence[tuple[Example, int]], subject: Subject, parameters: Parameters
) -> BatchAnswers:
    """Return the answers in a job's output files, in the order of the questions."""
    wanted = {f"{example.id}-{repeat}": (example.id, repeat) for example, repeat in questions}
    found: dict[str, Answer] = {}
    strays = 0
    for data in files:
        for line in data.split(b"\n"):
            if not line.strip():
                continue
            row = _row(line)
            place = wanted.get(str(row.get("recordId")))
            if place is None:
                strays += 1
                continue
            found[f"{place[0]}-{place[1]}"] = _answer(row, place, subject, parameters)
    answers = tuple(found[key] for key in wanted if key in found)
    return BatchAnswers(answers, len(wanted) - len(answers), strays)


def _row(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _answer(
    row: Mapping[str, Any], place: tuple[str, int], subject: Subject, parameters: Parameters
) -> Answer:
    key, repeat = place
    output = row.get("modelOutput")
    if not isinstance(output, Mapping):
        return make_error(key, subject, parameters, _error_code(row), repeat)
    try:
        content = output["output"]["message"]["content"]
        text = "".join(block["text"] for block in content if "text" in block)
    except (KeyError, TypeError):
        return make_error(key, subject, parameters, "unreadable-output", repeat)
    usage = output.get("usage") or {}
    given = Given(
        text,
        str(output.get("stopReason") or ""),
        _count(usage.get("inputTokens")),
        _count(usage.get("outputTokens")),
    )
    return make_answer(key, subject, parameters, given, repeat)


def _error_code(row: Mapping[str, Any]) -> str:
    """Return the code of a failed record: in an `error` object, or beside the record's own members."""
    error = row.get("error")
    code = error.get("errorCode") if isinstance(error, Mapping) else row.get("errorCode")
    return f"batch-{code}" if isinstance(code, str | int) else "batch-error"


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
