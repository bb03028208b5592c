"""`airflow-distill models`: the table in force, and what the account says differently."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_distill.cli.main import main
from airflow_distill.sandbox import Sandbox

OWN = {
    "v": 1,
    "date": "2026-12-01",
    "pairs": [{"teacher": "amazon.nova-pro-v1:0", "student": "acme.tiny-v1:0:8k", "region": "us-east-1"}],
}


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "models.json"
    path.write_text(json.dumps(OWN))
    return str(path)


def test_list_prints_pairs_hosts_and_quota_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    said = capsys.readouterr().out
    assert "amazon.nova-micro-v1:0:128k" in said
    assert "provisioned-throughput, custom-model-deployment; 32000 tokens" in said
    assert "L-BE77399C" in said
    assert "withdrawn" in said


def test_a_user_s_file_lies_over_it_and_json_is_what_the_setting_takes(
    own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "list", "--models", own, "--json"]) == 0
    printed = capsys.readouterr().out
    assert "acme.tiny-v1:0:8k" in printed
    assert "amazon.nova-micro-v1:0:128k" in printed
    again = tmp_path / "again.json"
    again.write_text(printed)
    assert main(["models", "list", "--models", str(again), "--json"]) == 0
    assert capsys.readouterr().out == printed


def test_check_says_what_the_account_says_differently(
    own: str, bedrock_environment: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--region", "us-east-1", "--endpoint-url", bedrock_environment.endpoint_url]
    assert main(["models", "check", *place, "--models", own]) == 1
    said = capsys.readouterr().out
    assert "acme.tiny-v1:0:8k is in the table and us-east-1 does not offer it for distillation" in said
    assert "differences between the table of 2026-12-01 and the account in us-east-1" in said


def test_a_file_that_is_missing_or_wrong_ends_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "list", "--models", str(tmp_path / "none.json")]) == 2
    assert "there is no table at" in capsys.readouterr().err
    (tmp_path / "bad.json").write_text("{")
    assert main(["models", "list", "--models", str(tmp_path / "bad.json")]) == 2
    assert "is not JSON" in capsys.readouterr().err
