"""A sandbox says ready only when it can keep its state, and keeps it for itself alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_distill.cli.main import main
from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.failures import SandboxUsageError


def test_two_sandboxes_on_one_folder_are_one_too_many(tmp_path: Path) -> None:
    with (
        Sandbox(state=tmp_path),
        pytest.raises(SandboxUsageError, match="another sandbox keeps its state in"),
    ):
        Sandbox(state=tmp_path).start()
    with Sandbox(state=tmp_path) as again:
        assert again.endpoint_url


def test_a_killed_sandbox_leaves_the_folder_free(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom airflow_distill.sandbox import Sandbox\n"
        "Sandbox(state=sys.argv[1]).start()\nos._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 9
    with Sandbox(state=tmp_path) as again:
        assert again.endpoint_url


@pytest.mark.parametrize("where", ["a-file", "a-file/below", "/proc/nowhere"])
def test_a_folder_that_cannot_be_used_is_refused_before_ready(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a-file").write_text("no folder")
    place = str(tmp_path / where) if not where.startswith("/") else where
    ready = tmp_path / "ready"
    assert main(["sandbox", "start", "--port", "0", "--state", place, "--ready-file", str(ready)]) == 2
    assert f"the state folder {place} cannot be used" in capsys.readouterr().err
    assert not ready.exists()


def test_state_is_saved_and_read_back_as_before(tmp_path: Path) -> None:
    with Sandbox(state=tmp_path) as first:
        first.world.clock.advance(3600)
        first.enable_logging(first.prepare() and "distill-sandbox", prefix="logs")
    assert {"bedrock.pickle", "neighbours.pickle"} <= set(os.listdir(tmp_path))
    with Sandbox(state=tmp_path) as second:
        assert second.client("bedrock").get_model_invocation_logging_configuration()["loggingConfig"]


def test_the_command_says_ready_with_a_folder_of_its_own_and_a_second_one_is_refused(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    command = [sys.executable, "-m", "airflow_distill.cli.main", "sandbox", "start", "--port", "0", "--quiet"]
    command += ["--state", str(tmp_path / "state"), "--ready-file"]
    first = subprocess.Popen([*command, str(ready)])
    try:
        for _ in range(600):
            if ready.exists():
                break
            time.sleep(0.1)
        assert ready.exists()
        second = subprocess.run(
            [*command, str(tmp_path / "other")], capture_output=True, text=True, check=False
        )
        assert second.returncode == 2
        assert "another sandbox keeps its state in" in second.stderr
    finally:
        first.terminate()
        assert first.wait(60) == 0
