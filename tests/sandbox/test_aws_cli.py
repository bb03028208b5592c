"""`aws bedrock ...` walks the loop from a shell script."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets
from tests.sandbox.conftest import prompt_lines
from tests.sandbox.other_clients import install, make_environment


@pytest.mark.slow
def test_the_aws_command_line_walks_the_loop(bedrock_environment: Sandbox, tmp_path: Path) -> None:
    pip = make_environment(tmp_path / "cli")
    install(pip, "awscli")
    role = bedrock_environment.prepare()
    bedrock_environment.world.set_pace("reads:1")
    bedrock_environment.client("s3").put_object(
        Bucket="distill-sandbox", Key="prompts.jsonl", Body=prompt_lines(support_tickets(400)).encode()
    )
    done = subprocess.run(
        ["sh", str(Path(__file__).with_name("walk.sh"))],
        cwd=tmp_path,
        env={
            **os.environ,
            **bedrock_environment.environment(),
            "PATH": f"{pip.parent}:{os.environ['PATH']}",
            "BUCKET": "distill-sandbox",
            "ROLE": role,
            "AWS_PAGER": "",
        },
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.stdout.endswith("walked the loop\n"), done.stdout + done.stderr
    assert done.returncode == 0
    assert bedrock_environment.flush_logs() == 4
