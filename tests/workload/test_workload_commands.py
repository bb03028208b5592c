"""`airflow-distill workload` and `airflow-distill iam` as a person types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from airflow_distill.cli.main import main
from airflow_distill.workload.reading import read_workload

Write = Callable[..., Path]
Capture = pytest.CaptureFixture[str]


def test_init_writes_a_short_file_that_lints_clean(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "distill/support_tickets.yaml"
    assert main(["workload", "init", str(path), "--owner", "support-platform"]) == 0
    assert "1 file, 0 problems" in capsys.readouterr().out
    assert read_workload(path).owner == "support-platform"
    assert len([line for line in path.read_text().splitlines() if line]) <= 25


def test_init_leaves_an_existing_file_alone(write: Write, capsys: Capture) -> None:
    path = write()
    before = path.read_text()
    assert main(["workload", "init", str(path)]) == 2
    assert path.read_text() == before
    assert "exists already" in capsys.readouterr().err


def test_lint_exits_one_and_names_file_line_and_column(write: Write, capsys: Capture) -> None:
    path = write("policy: {margn: 0.1}\n")
    assert main(["workload", "lint", str(path.parent)]) == 1
    assert f"{path}:10:10: policy.margn: unknown key" in capsys.readouterr().out


def test_lint_prints_json_lines_for_tools(write: Write, capsys: Capture) -> None:
    assert main(["workload", "lint", "--json", str(write("x: 1\n"))]) == 1
    problem = json.loads(capsys.readouterr().out)
    assert (problem["line"], problem["setting"], problem["message"]) == (10, "x", "unknown key")


def test_a_mistake_in_shared_defaults_is_told_once(write: Write, tmp_path: Path, capsys: Capture) -> None:
    write(text="polcy: {}\n", name="defaults.yaml")
    write(name="a.yaml")
    write(name="b.yaml")
    assert main(["workload", "lint", str(tmp_path)]) == 1
    assert "2 files, 1 problem" in capsys.readouterr().out


def test_schema_prints_the_schema(capsys: Capture) -> None:
    assert main(["workload", "schema"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["title"] == "airflow_distill workload"


def test_iam_prints_every_document_by_name_or_one_alone(write: Write, capsys: Capture) -> None:
    path = str(write())
    assert main(["iam", "--workload", path]) == 0
    every = json.loads(capsys.readouterr().out)
    assert main(["iam", "--workload", path, "--document", "airflow-policy"]) == 0
    assert json.loads(capsys.readouterr().out) == every["airflow-policy"]


def test_iam_names_the_documents_when_asked_for_an_unknown_one(write: Write, capsys: Capture) -> None:
    assert main(["iam", "--workload", str(write()), "--document", "x"]) == 2
    assert "customization-role-trust" in capsys.readouterr().err
