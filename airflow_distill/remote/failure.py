"""From what the service said to who must act, and what to do next.

Decisions elsewhere match on codes and states only. The text patterns here choose nothing but the hint that a person
reads: the service gives a job's failure as an English sentence and nothing else. An unknown sentence gets a plain hint.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from airflow_distill.errors import JobError, JobFailedError, JobStoppedError
from airflow_distill.remote.records import JobSnapshot

Who = Literal["data", "access", "author", "quota", "service", "person"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Who must act on an ended job, and what to do next.

    :param may_heal: the same request may succeed another time with nothing changed.
    """

    who: Who
    hint: str
    may_heal: bool = False


_BY_TEXT: tuple[tuple[str, Who, str], ...] = (
    (
        r"GetObject|ListBucket",
        "access",
        "The service role cannot read the training data: allow s3:GetObject and s3:ListBucket on the bucket (and "
        "kms:Decrypt on its key), and keep the bucket in the job's Region.",
    ),
    (
        r"PutObject|write_access_check",
        "access",
        "The service role cannot write the output: allow s3:PutObject on the output prefix (and kms:GenerateDataKey).",
    ),
    (
        r"assume|AssumeRole|trust",
        "access",
        "Bedrock cannot assume the service role: its trust policy must name bedrock.amazonaws.com.",
    ),
    (
        r"InvokeModel",
        "access",
        "The service role needs bedrock:InvokeModel on the teacher, in each Region of its profile.",
    ),
    (
        r"KMS|kms:",
        "access",
        "The key policy must allow the role kms:Decrypt, GenerateDataKey, DescribeKey and CreateGrant.",
    ),
    (
        r"token count|Input size|character limit|exceeds limit",
        "data",
        "Records are too long for the student: lower the length limits and build the dataset again.",
    ),
    (
        r"parse|JSONL|conform",
        "data",
        "The training file is not in Bedrock's format: run `airflow-distill dataset check` on it.",
    ),
    (
        r"(fewer|less|at least|minimum|not enough|insufficient).*(record|prompt|sample|pair|example|data)|no .*match",
        "data",
        "Too few usable records are left: widen the window, check the metadata filter and the teacher's id in the logs.",
    ),
    (
        r"license|licence|policy violation|flagged",
        "person",
        "The service's content check objected; contact AWS support.",
    ),
    (r"quota|limit exceeded", "quota", "A service quota is used up: raise it in Service Quotas, then retry."),
    (
        r"unexpected error|internal|try again",
        "service",
        "The service failed by itself; the same job may succeed another time.",
    ),
)


def diagnose(snapshot: JobSnapshot) -> Diagnosis:
    """Say who must act on a job that ended without success."""
    if snapshot.state == "stopped":
        return Diagnosis("person", "Somebody stopped it; no retry buys another by itself.")
    for pattern, who, hint in _BY_TEXT:
        if re.search(pattern, snapshot.reason, re.IGNORECASE):
            return Diagnosis(who, hint, may_heal=who == "service")
    return Diagnosis(
        "service",
        "The service's words do not say what to fix: read the job's page in the console and its output folder.",
    )


def job_error(snapshot: JobSnapshot) -> JobError:
    """Return the error for a job that failed or was stopped: the service's own words, and the next step.

    It is retryable only when the same request may succeed another time.
    """
    kind: type[JobError] = JobStoppedError if snapshot.state == "stopped" else JobFailedError
    said = f": {snapshot.reason}" if snapshot.reason else ""
    diagnosis = diagnose(snapshot)
    error = kind(
        f"{snapshot.kind} {snapshot.name or snapshot.arn} ended as {snapshot.status}{said}",
        snapshot=snapshot.to_json(),
        hint=f"{diagnosis.hint} {_next_step(snapshot, diagnosis)}".rstrip(),
    )
    error.retryable = diagnosis.may_heal
    return error


def _next_step(snapshot: JobSnapshot, diagnosis: Diagnosis) -> str:
    """Say how another one is bought, in words that hold whatever `max_generations` says."""
    if not snapshot.kind.endswith("-job"):
        return ""
    setting = "max_generations (job.submissions in a workload file)"
    if snapshot.state == "stopped":
        return f"Clear the task to buy another, as far as {setting} allows."
    if diagnosis.may_heal:
        return f"A retry buys another as far as {setting} allows."
    if diagnosis.who == "data":
        return "A changed dataset is a new job; clear the task that builds it, with what follows."
    return f"When that is fixed, allow one more with {setting} and clear the task."
