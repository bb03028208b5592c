"""What the sandbox's own tests share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import Pair, support_tickets

STUDENT = "amazon.nova-lite-v1:0:300k"
TEACHER = "amazon.nova-pro-v1:0"


def prompt_lines(pairs: list[Pair], *, labelled: bool = False) -> str:
    """A prompt file, with golden answers or without."""
    lines = []
    for pair in pairs:
        messages: list[dict[str, Any]] = [{"role": "user", "content": [{"text": pair.prompt}]}]
        if labelled:
            messages.append({"role": "assistant", "content": [{"text": pair.completion}]})
        lines.append(json.dumps({"schemaVersion": "bedrock-conversation-2024", "messages": messages}))
    return "\n".join(lines)


@pytest.fixture
def tickets() -> list[Pair]:
    return support_tickets(150)


@pytest.fixture
def put(bedrock_sandbox: Sandbox, bedrock_role: str) -> Callable[[str, str | bytes], str]:
    """Put an object; returns its URI."""
    s3 = bedrock_sandbox.client("s3")

    def put_object(key: str, body: str | bytes) -> str:
        s3.put_object(
            Bucket="distill-sandbox", Key=key, Body=body.encode() if isinstance(body, str) else body
        )
        return f"s3://distill-sandbox/{key}"

    return put_object


@pytest.fixture
def distil(bedrock_sandbox: Sandbox, bedrock_role: str) -> Callable[..., str]:
    """Submit a distillation job; returns its ARN."""
    bedrock = bedrock_sandbox.client("bedrock")

    def submit(name: str, training: str | dict[str, Any], **changes: Any) -> str:
        teacher: dict[str, Any] = {"teacherModelIdentifier": TEACHER}
        request: dict[str, Any] = {
            "jobName": name,
            "customModelName": name,
            "roleArn": bedrock_role,
            "baseModelIdentifier": STUDENT,
            "customizationType": "DISTILLATION",
            "trainingDataConfig": {"s3Uri": training} if isinstance(training, str) else training,
            "outputDataConfig": {"s3Uri": "s3://distill-sandbox/out"},
            "customizationConfig": {"distillationConfig": {"teacherModelConfig": teacher}},
            **changes,
        }
        given = {member: value for member, value in request.items() if value is not None}
        return str(bedrock.create_model_customization_job(**given)["jobArn"])

    return submit


@pytest.fixture
def job(bedrock_sandbox: Sandbox) -> Callable[[str], dict[str, Any]]:
    """Read a job."""
    bedrock = bedrock_sandbox.client("bedrock")

    def read(name: str) -> dict[str, Any]:
        found: dict[str, Any] = bedrock.get_model_customization_job(jobIdentifier=name)
        return found

    return read


@pytest.fixture
def keys(bedrock_sandbox: Sandbox) -> Callable[[str], list[str]]:
    """Keys below a prefix."""
    s3 = bedrock_sandbox.client("s3")

    def below(prefix: str) -> list[str]:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="distill-sandbox", Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    return below


@pytest.fixture
def ask(bedrock_sandbox: Sandbox) -> Callable[..., str]:
    """One question, one answer."""
    runtime = bedrock_sandbox.client("bedrock-runtime")

    def converse(model: str, text: str, system: str = "") -> str:
        extra = {"system": [{"text": system}]} if system else {}
        answer = runtime.converse(
            modelId=model, messages=[{"role": "user", "content": [{"text": text}]}], **extra
        )
        return str(answer["output"]["message"]["content"][0]["text"])

    return converse
