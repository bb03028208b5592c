"""`airflow-distill prices`: what is in force, and what differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_distill.cli.main import main
from airflow_distill.stages.money.prices import PriceTable


def test_the_table_that_is_printed_is_one_that_can_be_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prices", "show", "--json"]) == 0
    path = tmp_path / "mine.json"
    path.write_text(capsys.readouterr().out)
    assert PriceTable.from_json(json.loads(path.read_text())) == PriceTable.load()
    assert main(["prices", "diff", "packaged", str(path)]) == 0
    assert "0 prices differ" in capsys.readouterr().out


def test_a_price_of_ones_own_is_shown_first_and_told_as_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"item": "training", "model": "amazon.nova-lite-v1:0", "unit": "1000 tokens", "usd": 0.002}
    told = {"source": "a contract", "date": "2026-11-01", "trust": "stated"}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"v": 1, "currency": "USD", "rows": [row | told]}))
    assert main(["prices", "show", "--prices", str(path), "--model", "amazon.nova-lite-v1:0:300k"]) == 0
    first = capsys.readouterr().out.splitlines()[0].split()
    assert first[:4] == ["training", "amazon.nova-lite-v1:0", "0.002", "USD"]
    assert main(["prices", "diff", "packaged", str(path)]) == 1
    assert "training of amazon.nova-lite-v1:0: unknown -> 0.002 USD" in capsys.readouterr().out


def test_a_table_in_another_currency_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "euros.json"
    path.write_text('{"v": 1, "currency": "EUR", "rows": []}')
    assert main(["prices", "show", "--prices", str(path)]) == 2
    assert "EUR" in capsys.readouterr().err
