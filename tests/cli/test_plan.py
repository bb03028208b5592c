"""What `workload plan` prints for people."""

from __future__ import annotations

import json
import re
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


def test_an_unknown_price_says_how_to_know_it_and_an_old_one_its_age(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "tickets.yaml")
    assert main(["workload", "init", file, "--owner", "support"]) == 0
    capsys.readouterr()
    assert main(["workload", "plan", file]) == 0
    text = capsys.readouterr().out
    assert "to know it: give --input-tokens and --output-tokens" in text
    assert "are older than 180 days" in text
    tokens = ("--input-tokens", "300", "--output-tokens", "60")
    assert main(["workload", "plan", file, *tokens]) == 0
    text = capsys.readouterr().out
    assert "to know it" not in text
    assert re.search(r"with the records as they are: \d+\.\d\d USD\n", text)
    path = Path(file)
    path.write_text(path.read_text().replace("nova-micro-v1:0:128k", "nova-lite-v1:0:300k"))
    assert main(["workload", "plan", file, *tokens]) == 0
    assert "unknown: training of amazon.nova-lite-v1:0:300k)" in (text := capsys.readouterr().out)
    assert "to know it: `airflow-distill prices update`, or state the price" in text
