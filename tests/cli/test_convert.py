"""`airflow-distill dataset convert`: what a person sees of the first record, what is written, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.cli.main import main
from airflow_distill.stages.dataset.checks import CODES


def last_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    out: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return out


def test_a_table_becomes_records_that_the_service_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f'"Question {n}, please?",label_{n % 3}\n' for n in range(120))
    (tmp_path / "t.csv").write_text("text,category\n" + rows)
    out = tmp_path / "prompts.jsonl"
    assert main(["dataset", "convert", str(tmp_path / "t.csv"), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "read as: {prompt, completion} (120)" in said
    assert '"Question 0, please?"' in said
    assert main(["dataset", "check", str(out), "--json"]) == 0
    assert last_json(capsys)["accepted"] == 120


def test_what_was_not_converted_is_told_with_its_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n{"colour": 1}\n{"colour": 2}\n')
    assert main(["dataset", "convert", str(path)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "unknown_form 2 record 2" in said
    assert CODES["unknown_form"].fix in said
    assert "--out FILE" in said


def test_long_texts_are_cut_short_at_the_terminal_and_whole_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.json").write_text(json.dumps([{"prompt": "long " * 500, "completion": "\x1b[31mred"}]))
    out = tmp_path / "out.jsonl"
    assert main(["dataset", "convert", str(tmp_path / "p.json"), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "2,500 characters" in said
    assert "\x1b" not in said, "what strangers wrote does not act on the terminal"
    assert "long " * 500 in out.read_text()


def test_feedback_becomes_our_own_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = [{"traceId": f"t{n}", "name": "user", "value": n % 2, "dataType": "BOOLEAN"} for n in range(4)]
    (tmp_path / "s.json").write_text(json.dumps(scores))
    out = tmp_path / "feedback.jsonl"
    assert (
        main(["dataset", "convert", str(tmp_path / "s.json"), "--feedback", "--out", str(out), "--json"]) == 0
    )
    told = last_json(capsys)
    assert (told["converted"], told["forms"]) == (4, {"Langfuse": 4})
    assert json.loads(out.read_text().splitlines()[1]) == {"request_id": "t1", "score": 1.0, "name": "user"}
    assert main(["dataset", "convert", str(out), "--feedback", "--json"]) == 0
    assert last_json(capsys)["forms"] == {"feedback of our own form": 4}


@pytest.mark.parametrize("text", ["", "prose, of two parts\n", '{"colour": "red"}'])
def test_a_file_of_which_nothing_is_understood_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "x").write_text(text)
    assert main(["dataset", "convert", str(tmp_path / "x")]) == 2
    assert "nothing of" in capsys.readouterr().err


def test_a_file_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    assert main(["dataset", "convert", str(tmp_path / "nowhere.csv")]) == 2
