"""`airflow-distill spend` and the exposure in `plan`: what is told of money at the command line."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_distill.aws.cost_report import iter_bill
from airflow_distill.cli.main import main
from airflow_distill.cli.spend import statement_lines
from airflow_distill.errors import ConfigurationError
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.money.records import Tokens, Usage
from airflow_distill.stages.money.spend import Spend
from airflow_distill.stages.money.statement import statement
from airflow_distill.stages.money.usage import EVALUATION, JOB, Metered, RunUsage
from airflow_distill.stages.storage import LocalStore

MODEL = "amazon.nova-micro-v1:0"
JOB_ARN = "arn:aws:bedrock:us-east-1:123456789012:model-customization-job/amazon.nova-micro-v1:0/abc"
HEAD = (
    "line_item_line_item_type,line_item_resource_id,line_item_usage_type,line_item_usage_amount,"
    "line_item_unblended_cost,line_item_currency_code,resource_tags\n"
)


@pytest.fixture
def root(tmp_path: Path, bedrock_environment: Sandbox) -> str:
    """A root in a folder, with a run of which a job and some calls were counted."""
    root = str(tmp_path / "loop")
    usage = RunUsage(LocalStore(), root, "w", "d1")
    usage.write(
        Metered(JOB, JOB_ARN, "w-j1", more=(Usage(JOB, "training", MODEL, 4_000_000),), how="derived")
    )
    usage.write(Metered(EVALUATION, "d/r/1", "student", MODEL, "inference", 9, Tokens(9_000, 90), run="d/r"))
    Spend(LocalStore(), root, "w", f"{datetime.now(UTC):%Y%m}").claim(
        "d1", 6, None, parts={"job": 5, "judge@d/r": 1}
    )
    return root


def words(root: str, *more: str) -> list[str]:
    return [more[0], "w", "--root", root, "--region", "us-east-1", *more[1:]]


def test_what_a_run_came_to_is_shown_with_what_is_open(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spend", *words(root, "show")]) == 0
    out = capsys.readouterr().out
    assert "run of dataset d1" in out
    assert "worked out from the job's own output" in out
    assert "1 run; 6.00 USD held by runs of this month" in out
    assert main(["spend", *words(root, "show", "--json")]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = {row["stage"]: row for row in told["runs"]["d1"]["rows"]}
    assert rows["job"]["actual_usd"] == 4
    assert rows["job"]["open_usd"] == 1
    assert rows["judge"]["open_usd"] == 1


def test_a_price_that_is_missing_is_told_with_the_command_that_fetches_it() -> None:
    told = statement(PriceTable(()), [Metered(JOB, "a", more=(Usage(JOB, "training", MODEL, 1),))])
    assert any("airflow-distill prices update" in line for line in statement_lines("d1", told))


def test_a_report_is_held_against_the_records(
    root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cur"
    folder.mkdir()
    tags = '"{""user_airflow_distill_workload"": ""w""}"'
    lines = [f"Usage,{JOB_ARN},Training,4000,4.01,USD,{tags}", f"Usage,arn:x,Storage,1,2.5,USD,{tags}"]
    (folder / "a-00001.csv.gz").write_bytes(gzip.compress((HEAD + lines[0] + "\n").encode()))
    (folder / "a-00002.csv").write_text(HEAD + lines[1] + "\n")
    (folder / "manifest.json").write_text("{}")
    assert main(["spend", *words(root, "reconcile", "--report", str(folder))]) == 1
    out = capsys.readouterr().out
    assert f"matched      {JOB_ARN}" in out
    assert "unexplained  arn:x" in out
    assert "1 matched, 0 missing, 1 unexplained" in out


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.csv.gz", b"no gzip"), ("a.csv", b"\xff\xfe\x00"), ("a.csv", b"x,y\n1,2\n"), ("a.txt", b"x")],
)
def test_what_is_no_report_is_refused_by_its_name(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigurationError, match="money: "):
        list(iter_bill(LocalStore(), str(tmp_path)))


def test_parquet_without_pyarrow_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigurationError, match="pyarrow is not installed"):
        list(iter_bill(LocalStore(), str(tmp_path)))


def test_a_saving_is_told_of_a_live_student_only(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spend", *words(root, "savings")]) == 2
    assert "promote a student first" in capsys.readouterr().err
