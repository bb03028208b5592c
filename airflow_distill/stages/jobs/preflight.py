"""What must hold before a job is paid for, as far as it can be judged from data already read.

`aws/doctor.py` reads the account and asks these functions. Policies are judged as IAM does where it matters here:
wildcards in actions and resources, an explicit deny wins. Conditions of identity policies are not evaluated; a statement
that carries one still counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_distill.stages.jobs.models import Method

Status = Literal["ok", "failed", "warning", "skipped", "unknown"]
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One precondition: its name, how it stands, what was seen, and the command or statement that mends it.

    `failed` is the account's own no. `unknown` means that it could not be asked, so that asking again may help.
    """

    name: str
    status: Status
    message: str
    fix: str = ""

    def to_json(self) -> dict[str, str]:
        return {"name": self.name, "status": self.status, "message": self.message, "fix": self.fix}


@dataclass(frozen=True, slots=True)
class Preflight:
    """What `doctor` is asked about.

    :param logs: where invocation logs are delivered, `s3://bucket/prefix`; None when no logs are used.
    :param filters: the request metadata filter in the API's own shape.
    :param logs_are_data: Bedrock reads the logs itself, so its role must be able to.
    :param use_prompt_response: logged answers are used, so the teacher is not called.
    :param host_kind: how the student is to be served; None leaves it open.
    :param method: how the student is made.
    :param window_hours: how far back logs are looked at, in hours.
    """

    workload: str
    root: str
    teacher: str
    student: str
    role_arn: str
    logs: str | None = None
    filters: Mapping[str, Any] | None = None
    logs_are_data: bool = False
    use_prompt_response: bool = False
    kms_key_id: str | None = None
    host_kind: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    method: Method = "distillation"
    window_hours: int = 7 * 24


def failures(results: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the checks that must be mended before paying."""
    return [result for result in results if result.status == "failed"]


def unasked(results: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the checks that the service gave no answer to; they say neither yes nor no."""
    return [result for result in results if result.status == "unknown"]


def _many(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _matches(pattern: str, text: str, *, fold: bool) -> bool:
    rule = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch(rule, text, re.DOTALL | (re.IGNORECASE if fold else 0)) is not None


def _statements(documents: Iterable[Document]) -> Iterator[Document]:
    for document in documents:
        yield from _many(document.get("Statement") or [])


def _applies(statement: Document, action: str, resource: str) -> bool:
    actions = _many(statement.get("Action") or [])
    if not any(_matches(str(a), action, fold=True) for a in actions):
        return False
    resources = _many(statement.get("Resource") or [])
    return any(_matches(str(r), resource, fold=False) for r in resources)


def allows(documents: Sequence[Document], action: str, resource: str) -> bool:
    """Say whether identity policies let their holder do something, a deny winning over every allow."""
    effects = {str(s.get("Effect")) for s in _statements(documents) if _applies(s, action, resource)}
    return "Allow" in effects and "Deny" not in effects


def missing(documents: Sequence[Document], wants: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the (action, resource) pairs that the policies do not allow."""
    return [want for want in wants if not allows(documents, *want)]


def statement_for(wants: Iterable[tuple[str, str]]) -> str:
    """Return one policy statement, as JSON text, that allows all the pairs."""
    wants = list(wants)
    statement = {
        "Effect": "Allow",
        "Action": sorted({action for action, _ in wants}),
        "Resource": sorted({resource for _, resource in wants}),
    }
    return json.dumps(statement)


def trust_problem(document: Document, account: str, region: str) -> str:
    """Return why Bedrock cannot assume a role for a customization job here; empty when it can."""
    trusting = [
        s
        for s in _many(document.get("Statement") or [])
        if s.get("Effect") == "Allow"
        and any(_matches(str(a), "sts:AssumeRole", fold=True) for a in _many(s.get("Action") or []))
        and "bedrock.amazonaws.com" in _many((s.get("Principal") or {}).get("Service") or [])
    ]
    if not trusting:
        return "its trust policy does not name bedrock.amazonaws.com"
    arn = f"arn:aws:bedrock:{region}:{account}:model-customization-job/any"
    problems = [_condition_problem(s.get("Condition") or {}, account, arn) for s in trusting]
    return "" if "" in problems else problems[0]


def _condition_problem(conditions: Mapping[str, Any], account: str, arn: str) -> str:
    for operator, pairs in conditions.items():
        for key, wanted in pairs.items():
            values = [str(v) for v in _many(wanted)]
            folded = key.lower()
            if folded == "aws:sourceaccount" and account not in values:
                return f"its trust policy wants aws:SourceAccount {values}, this account is {account}"
            if folded == "aws:sourcearn" and "Not" not in operator and not _any_match(values, arn):
                return f"its trust policy wants aws:SourceArn {values}, which no job in this Region satisfies"
    return ""


def _any_match(patterns: Iterable[str], text: str) -> bool:
    return any(_matches(p, text, fold=False) for p in patterns)


def trust_document(account: str, region: str) -> str:
    """Return a trust policy, as JSON text, that lets Bedrock assume a role for this account's jobs only."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "bedrock.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": account},
            "ArnLike": {"aws:SourceArn": f"arn:aws:bedrock:{region}:{account}:model-customization-job/*"},
        },
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def reads(uri: str) -> list[tuple[str, str]]:
    """Return what reading everything under an S3 URI needs."""
    bucket, key = _split(uri)
    return [("s3:ListBucket", f"arn:aws:s3:::{bucket}"), ("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}*")]


def writes(uri: str) -> list[tuple[str, str]]:
    """Return what writing under an S3 URI needs."""
    bucket, key = _split(uri)
    return [("s3:PutObject", f"arn:aws:s3:::{bucket}/{key}*")]


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, f"{key.rstrip('/')}/" if key else ""
