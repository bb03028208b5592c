"""What `workload plan` prints for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_distill.cli.main import main


def test_the_request_is_printed_as_json_that_can_be_copied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "tickets.yaml")
    assert main(["workload", "init", file, "--owner", "support"]) == 0
    capsys.readouterr()
    assert main(["workload", "plan", file]) == 0
    text = capsys.readouterr().out
    assert "\\u000a" not in text
    shown = json.loads(text.partition("CreateModelCustomizationJob\n")[2])
    assert shown["customizationType"] == "DISTILLATION"
    assert text.splitlines()[-1] == "}"
