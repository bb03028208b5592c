"""What S3 says to conditional writes, and what we make of it."""

from __future__ import annotations

import pytest

from airflow_distill.aws import s3
from airflow_distill.aws.s3 import S3Store
from airflow_distill.errors import ServiceThrottledError
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.storage import ObjectExistsError

URI = "s3://distill-sandbox/claims/one"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "CONFLICT_PAUSES", (0.0, 0.0, 0.0))


@pytest.fixture
def store(bedrock_sandbox: Sandbox, bedrock_role: str) -> S3Store:
    return S3Store(bedrock_sandbox.client("s3"))


def test_a_conditional_write_that_meets_another_is_tried_again(
    bedrock_sandbox: Sandbox, store: S3Store
) -> None:
    bedrock_sandbox.faults.add("conditional-conflict", operation="s3:PutObject", count=2)
    store.write(URI, b"ours", if_absent=True)
    assert store.read(URI) == b"ours"


def test_after_a_conflict_the_other_writers_object_stands(bedrock_sandbox: Sandbox, store: S3Store) -> None:
    store.write(URI, b"theirs", if_absent=True)
    bedrock_sandbox.faults.add("conditional-conflict", operation="s3:PutObject", count=1)
    with pytest.raises(ObjectExistsError):
        store.write(URI, b"ours", if_absent=True)
    assert store.read(URI) == b"theirs"


def test_a_conflict_that_does_not_end_is_an_error_that_may_be_retried(
    bedrock_sandbox: Sandbox, store: S3Store
) -> None:
    bedrock_sandbox.faults.add("conditional-conflict", operation="s3:PutObject")
    with pytest.raises(ServiceThrottledError, match="ConditionalRequestConflict"):
        store.write(URI, b"ours", if_absent=True)
    assert not store.exists(URI)
