"""A sandbox with the buckets, the role and the traffic that the example workload files speak of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets
from airflow_distill.workload.config import Workload
from airflow_distill.workload.iam import documents
from airflow_distill.workload.reading import read_workload
from tests.wire import Wire, held_to_the_printed_roles

EXAMPLES = Path(__file__).parents[2] / "dags/workloads"
BUCKETS = {
    "acme-distill": "us-east-1",
    "acme-bedrock-logs": "us-east-1",
    "acme-distill-west": "us-west-2",
    "acme-bedrock-logs-west": "us-west-2",
}


@pytest.fixture
def account(bedrock_environment: Sandbox) -> Sandbox:
    """The sandbox, with the buckets of the example files; roles are made by `allow`."""
    for bucket, region in BUCKETS.items():
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        bedrock_environment.client("s3", region=region).create_bucket(Bucket=bucket, **place)
    return bedrock_environment


@pytest.fixture
def wire(account: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """What the runs of a test ask of AWS; at its end all of it must be in the roles printed for its workload files."""
    yield from held_to_the_printed_roles(account, monkeypatch)


@pytest.fixture
def run_dag(run_dag: Callable[..., Any], wire: Wire) -> Callable[..., Any]:
    def run(text: str, **arguments: Any) -> Any:
        with wire.listening():
            return run_dag(text, **arguments)

    return run


@pytest.fixture
def allow(account: Sandbox, wire: Wire) -> Callable[[Workload], str]:
    """Create a workload's service role from the documents that `airflow-distill iam` prints, and nothing more."""

    def create(workload: Workload) -> str:
        wire.workloads.append(workload)
        found = documents(workload)
        iam = account.client("iam")
        name = workload.role_arn.rsplit("/", 1)[-1]
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(found["customization-role-trust"]))
        iam.put_role_policy(
            RoleName=name, PolicyName="distill", PolicyDocument=json.dumps(found["customization-role-policy"])
        )
        return workload.role_arn

    return create


@pytest.fixture
def play(account: Sandbox) -> Callable[..., None]:
    """Write traffic of an application into the invocation logs."""

    def play_traffic(
        count: int,
        *,
        app: str = "support_tickets",
        bucket: str = "acme-bedrock-logs",
        region: str = "us-east-1",
        hours_ago: float = 30.0,
        seed: int = 7,
        **more: Any,
    ) -> None:
        account.enable_logging(bucket, prefix="bedrock", region=region)
        start = datetime.now(UTC) - timedelta(hours=hours_ago)
        items = [
            {
                "prompt": pair.prompt,
                "system": pair.system,
                "completion": pair.completion,
                "metadata": {"app": app},
                "timestamp": (start + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ"),
                **more,
            }
            for number, pair in enumerate(support_tickets(count, seed=seed))
        ]
        account.play(items, model_id="amazon.nova-pro-v1:0", region=region)

    return play_traffic


@pytest.fixture
def example() -> Callable[..., Workload]:
    """Read one of the example files, with overrides."""

    def read(name: str, **overrides: Any) -> Workload:
        return read_workload(EXAMPLES / f"{name}.yaml", overrides)

    return read


QUICK = {
    "approval": {"mode": "never"},
    "deployment": {"bake": "1m", "smoke_prompts": 2},
}
"""What a test may not wait for: a person's answer and a long bake period."""
