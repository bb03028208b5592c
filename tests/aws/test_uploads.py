"""The bucket's own refusals: conflicts at a key are tried again, unfinished uploads are seen, a full disk is named."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.aws import s3
from airflow_distill.aws.failure import translate
from airflow_distill.aws.s3 import S3Store
from airflow_distill.errors import DiskFullError, ServiceThrottledError, ServiceUnavailableError
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.storage import ObjectExistsError
from airflow_distill.workload.turn import Runner, Turns

ROOT = "s3://distill-sandbox/loop"


@pytest.fixture
def bucket(bedrock_environment: Sandbox, bedrock_role: str, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    monkeypatch.setattr(s3, "CONFLICT_PAUSES", (0.0, 0.0, 0.0))
    return bedrock_environment


def store(sandbox: Sandbox) -> S3Store:
    return S3Store(sandbox.client("s3"))


def conflicts(sandbox: Sandbox, times: int) -> None:
    sandbox.faults.add("conditional-conflict", operation="s3:PutObject", count=times)


def test_a_turn_is_taken_and_ended_through_conflicts(bucket: Sandbox) -> None:
    turns, me = Turns(store(bucket), ROOT, "w"), Runner("loop", "r1", "take")
    conflicts(bucket, 2)
    turn = turns.take(me, "20260101T000000Z", lambda runner: True)
    conflicts(bucket, 2)
    turns.end(turn.number)
    assert turn.runner == me
    assert store(bucket).exists(turns.uri(turn.number, ended=True))


def test_of_many_writers_through_conflicts_exactly_one_wins(bucket: Sandbox) -> None:
    bucket.faults.add(
        "conflict",
        operation="s3:PutObject",
        rate=0.5,
        code="ConditionalRequestConflict",
        status=409,
        count=12,
    )
    won: list[int] = []

    def write(number: int) -> None:
        try:
            store(bucket).write(f"{ROOT}/one", str(number).encode(), if_absent=True)
        except (ObjectExistsError, ServiceThrottledError):
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store(bucket).read(f"{ROOT}/one") == str(won[0]).encode()


def test_an_upload_that_fails_leaves_no_parts(bucket: Sandbox, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * (17 << 20))
    bucket.faults.add("unavailable", operation="s3:PutObject")
    with pytest.raises(ServiceUnavailableError):
        store(bucket).upload(f"{ROOT}/large", large)
    assert list(store(bucket).iter_uploads(f"{ROOT}/")) == []


def test_parts_of_a_killed_upload_are_seen_and_removed(bucket: Sandbox) -> None:
    """A killed process removes nothing: what it leaves is what an upload looks like that was only begun."""
    client: Any = bucket.client("s3")
    for key in ("loop/w/windows/a", "loop/w/windows/b", "loop/other/c"):
        client.create_multipart_upload(Bucket="distill-sandbox", Key=key)
    found = list(store(bucket).iter_uploads(f"{ROOT}/w/"))
    assert [upload.uri for upload in found] == [f"{ROOT}/w/windows/a", f"{ROOT}/w/windows/b"]
    assert all(upload.begun_at.endswith("Z") for upload in found)
    for upload in found:
        store(bucket).abort_upload(upload)
        store(bucket).abort_upload(upload)
    assert [upload.uri for upload in store(bucket).iter_uploads(f"{ROOT}/")] == [f"{ROOT}/other/c"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_with_its_folder_and_can_be_tried_again(number: int) -> None:
    error = translate(OSError(number, "No space left on device", "/scratch/shard.jsonl"), "PutObject")
    assert isinstance(error, DiskFullError)
    assert error.retryable
    assert "/scratch" in str(error)
    assert "TMPDIR" in error.hint


def test_another_error_of_the_system_is_no_full_disk() -> None:
    assert DiskFullError.from_os(OSError(errno.EACCES, "denied", "/x")) is None
