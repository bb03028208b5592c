"""Where the contract is played: the sandbox, or AWS itself when asked.

`AIRFLOW_DISTILL_CONTRACT=aws` takes the caller's own credentials and needs `AIRFLOW_DISTILL_CONTRACT_BUCKET`,
`AIRFLOW_DISTILL_CONTRACT_ROLE` (a service role's ARN) and, for tests that create what is billed,
`AIRFLOW_DISTILL_CONTRACT_SPEND=yes`.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets

ON_AWS = os.environ.get("AIRFLOW_DISTILL_CONTRACT") == "aws"
MAY_SPEND = not ON_AWS or os.environ.get("AIRFLOW_DISTILL_CONTRACT_SPEND") == "yes"
TEACHER = "amazon.nova-pro-v1:0"
STUDENT = "amazon.nova-lite-v1:0:300k"
REGION = "us-east-1"


@dataclass(slots=True)
class Exchange:
    """One call as it went over the wire."""

    service: str
    operation: str
    status: int
    answer: dict[str, Any]
    body: bytes


@dataclass(slots=True)
class Ground:
    """Clients that note every answer."""

    bucket: str
    role: str
    sandbox: Sandbox | None
    exchanges: list[Exchange] = field(default_factory=list)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def client(self, service: str, region: str = REGION) -> Any:
        config = Config(retries={"mode": "standard", "total_max_attempts": 1 if self.sandbox else 5})
        if self.sandbox is not None:
            client = self.sandbox.client(service, region)
        else:
            client = boto3.session.Session().client(service, region_name=region, config=config)
        if service in ("bedrock", "bedrock-runtime"):
            self._listen(client, service)
        return client

    def _listen(self, client: Any, service: str) -> None:
        bodies: list[bytes] = []

        def before(response_dict: Mapping[str, Any], **kwargs: Any) -> None:
            body = response_dict.get("body")
            bodies.append(body if isinstance(body, bytes) else b"")

        def after(parsed: dict[str, Any], model: Any, **kwargs: Any) -> None:
            status = parsed["ResponseMetadata"]["HTTPStatusCode"]
            self.exchanges.append(
                Exchange(service, model.name, status, parsed, bodies[-1] if bodies else b"")
            )

        client.meta.events.register(f"before-parse.{service}", before)
        client.meta.events.register(f"after-call.{service}", after)

    def name(self, what: str) -> str:
        """A name that no other run uses."""
        return f"{what}-{self.mark}"

    def put_prompts(self, key: str, count: int = 120) -> str:
        """A prompt file in the bucket."""
        lines = [
            json.dumps(
                {
                    "schemaVersion": "bedrock-conversation-2024",
                    "messages": [{"role": "user", "content": [{"text": ticket.prompt}]}],
                }
            )
            for ticket in support_tickets(count)
        ]
        self.client("s3").put_object(Bucket=self.bucket, Key=key, Body="\n".join(lines).encode())
        return f"s3://{self.bucket}/{key}"

    def distillation(self, name: str, **changes: Any) -> dict[str, Any]:
        """The request of a distillation job."""
        request: dict[str, Any] = {
            "jobName": self.name(name),
            "customModelName": self.name(name),
            "roleArn": self.role,
            "baseModelIdentifier": STUDENT,
            "customizationType": "DISTILLATION",
            "trainingDataConfig": {"s3Uri": f"s3://{self.bucket}/contract/prompts.jsonl"},
            "outputDataConfig": {"s3Uri": f"s3://{self.bucket}/contract/out"},
            "customizationConfig": {
                "distillationConfig": {
                    "teacherModelConfig": {
                        "teacherModelIdentifier": TEACHER,
                        "maxResponseLengthForInference": 1000,
                    }
                }
            },
        }
        return {**request, **changes}

    def wait(
        self, look: Callable[[], Mapping[str, Any]], member: str, running: tuple[str, ...]
    ) -> Mapping[str, Any]:
        """Look until a status is left: at once here, for days on AWS."""
        while True:
            seen = look()
            if seen[member] not in running:
                return seen
            time.sleep(60 if self.sandbox is None else 0)


def sends_request_metadata(runtime: Any) -> bool:
    """Say whether this boto3 knows request metadata of InvokeModel; the lowest that is allowed does not."""
    shape = runtime.meta.service_model.operation_model("InvokeModel").input_shape
    return "requestMetadata" in shape.members
