"""Local files may hold prompts: only their owner reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_distill.cli.evaluate import read_policy
from airflow_distill.demo.run import fresh_home
from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.storage import LocalStore, write_private


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """The widest umask: what is private is so by itself."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_objects_in_a_local_folder_are_private(tmp_path: Path) -> None:
    store = LocalStore()
    store.write(str(tmp_path / "a/b.jsonl"), b"{}")
    store.write(str(tmp_path / "a/once.json"), b"{}", if_absent=True)
    store.write(str(tmp_path / "a/b.jsonl"), b"{}")
    (tmp_path / "source").write_bytes(b"x")
    store.upload(str(tmp_path / "a/c"), tmp_path / "source")
    assert {mode(path) for path in (tmp_path / "a").iterdir()} == {0o600}


def test_the_umask_takes_more_away(tmp_path: Path) -> None:
    os.umask(0o277)
    LocalStore().write(str(tmp_path / "x"), b"{}")
    write_private(tmp_path / "y", "text")
    assert mode(tmp_path / "x") == mode(tmp_path / "y") == 0o400


def test_a_written_text_is_private_and_an_old_file_keeps_its_mode(tmp_path: Path) -> None:
    write_private(tmp_path / "new", "é")
    assert mode(tmp_path / "new") == 0o600
    (tmp_path / "old").touch(0o640)
    write_private(tmp_path / "old", "é")
    assert (tmp_path / "old").read_text(encoding="utf-8") == "é"
    assert mode(tmp_path / "old") == 0o640


def test_the_demonstration_works_in_a_folder_of_its_owner(tmp_path: Path) -> None:
    assert mode(fresh_home(tmp_path / "demo")) == 0o700


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "a: &a [*a]", "margin: .inf", "metrics: 2026-99-99", "\x00", "- a"]
)
def test_a_policy_file_is_bounded_like_a_workload_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "policy.yaml").write_text(text)
    with pytest.raises(ConfigurationError):
        read_policy(str(tmp_path / "policy.yaml"))
