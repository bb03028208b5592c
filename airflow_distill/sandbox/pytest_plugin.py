"""pytest fixtures: one sandbox for the session, emptied before each test that asks for it.

Use: `pytest_plugins = ["airflow_distill.sandbox.pytest_plugin"]` in the top `conftest.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_distill.sandbox.server import Sandbox


@pytest.fixture(scope="session")
def bedrock_sandbox_server() -> Iterator[Sandbox]:
    """The server of the session; ask for `bedrock_sandbox` instead, which is empty."""
    with Sandbox(log_delay=0.05) as sandbox:
        yield sandbox


@pytest.fixture
def bedrock_sandbox(bedrock_sandbox_server: Sandbox) -> Sandbox:
    """A sandbox with nothing in it, at pace `instant`."""
    bedrock_sandbox_server.reset()
    return bedrock_sandbox_server


@pytest.fixture
def bedrock_role(bedrock_sandbox: Sandbox) -> str:
    """ARN of a service role that may do everything, beside a bucket `distill-sandbox` in us-east-1."""
    return bedrock_sandbox.prepare()


@pytest.fixture
def bedrock_environment(bedrock_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Environment variables that lead boto3, the AWS CLI and Airflow's `aws_default` and `distill_aws` to the sandbox."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in bedrock_sandbox.environment().items():
        monkeypatch.setenv(name, value)
    return bedrock_sandbox
