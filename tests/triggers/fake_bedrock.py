"""A Bedrock control plane in memory, with the SDK client's own methods. It counts calls and fails on request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

from airflow_distill.aws.bedrock import BedrockGateway

BEGIN = datetime(2026, 11, 20, tzinfo=UTC)


def client_error(code: str, status: int = 400, operation: str = "Op") -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "said"}, "ResponseMetadata": {"HTTPStatusCode": status}},
        operation,
    )


def no_connection() -> EndpointConnectionError:
    return EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


class FakeBedrock:
    """Customization jobs by ARN. `fail` is asked before each call and may return an exception to raise."""

    def __init__(self, jobs: int = 0, page_size: int = 1000) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.threads: set[str] = set()
        self.fail: Callable[[str], Exception | None] = lambda method: None
        self.page_size = page_size
        self.hidden: set[str] = set()
        for number in range(jobs):
            self.add(f"job{number}")

    def add(self, name: str, status: str = "InProgress") -> str:
        arn = f"arn:aws:bedrock:us-east-1:123456789012:model-customization-job/amazon.nova-lite-v1:0:300k/{name}"
        self.jobs[arn] = {
            "jobArn": arn,
            "jobName": name,
            "status": status,
            "creationTime": BEGIN + timedelta(seconds=len(self.jobs)),
        }
        return arn

    def end(self, arn: str, status: str = "Completed", **more: Any) -> None:
        self.jobs[arn].update(status=status, endTime=BEGIN + timedelta(days=5), **more)

    def gateway(self) -> BedrockGateway:
        return BedrockGateway(self)

    def count(self, method: str) -> int:
        return self.calls.count(method)

    def _called(self, method: str) -> None:
        self.calls.append(method)
        self.threads.add(threading.current_thread().name)
        error = self.fail(method)
        if error is not None:
            raise error

    def get_model_customization_job(self, jobIdentifier: str) -> dict[str, Any]:
        self._called("get")
        if jobIdentifier not in self.jobs:
            raise client_error("ResourceNotFoundException", 404)
        return dict(self.jobs[jobIdentifier])

    def list_model_customization_jobs(self, **filters: Any) -> dict[str, Any]:
        self._called("list")
        after = filters.get("creationTimeAfter", BEGIN - timedelta(days=9))
        rows = [j for a, j in self.jobs.items() if a not in self.hidden and j["creationTime"] > after]
        rows.sort(key=lambda job: job["creationTime"], reverse=True)
        start = int(filters.get("nextToken", 0))
        size = min(int(filters.get("maxResults", 1000)), self.page_size)
        page: dict[str, Any] = {"modelCustomizationJobSummaries": rows[start : start + size]}
        if start + size < len(rows):
            page["nextToken"] = str(start + size)
        return page

    def stop_model_customization_job(self, jobIdentifier: str) -> dict[str, Any]:
        self._called("stop")
        self.jobs[jobIdentifier]["status"] = "Stopping"
        return {}
