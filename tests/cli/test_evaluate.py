"""`airflow-distill evaluate`: a verdict at a terminal, from files, without Airflow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_distill.cli.main import main
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.digest import canonical_json
from airflow_distill.stages.evaluation.collect import write_answers
from airflow_distill.stages.evaluation.records import Answer


def examples(count: int) -> list[Example]:
    return [
        Example(
            (Turn("user", f"private question {n}"),),
            answer=f"label {n % 4}",
            metadata=(("app", "ab"[n % 2]),),
        )
        for n in range(count)
    ]


def answered(role: str, rows: list[Example], wrong_every: int) -> bytes:
    return write_answers(
        Answer(e.id, role, f"model-{role}", e.answer if n % wrong_every else "something else")
        for n, e in enumerate(rows)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Answers to 300 prompts: the student is wrong once in 60, the untuned student on every second."""
    rows = examples(300)
    (tmp_path / "answers").mkdir()
    (tmp_path / "heldout.jsonl").write_bytes(b"".join(canonical_json(e.to_json()) + b"\n" for e in rows))
    (tmp_path / "answers" / "student.jsonl").write_bytes(answered("student", rows, 60))
    (tmp_path / "answers" / "untuned.jsonl").write_bytes(answered("untuned", rows, 2))
    (tmp_path / "policy.yaml").write_text("metrics:\n  exact: 0.05\n")
    return tmp_path


def run(folder: Path, *more: str) -> int:
    return main(["evaluate", str(folder / "answers"), "--policy", str(folder / "policy.yaml"), *more])


def test_a_good_student_ends_with_status_zero(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder) == 0
    out = capsys.readouterr().out
    assert out.startswith("PROMOTE  300 prompts")
    assert "private question" not in out


def test_a_stricter_policy_ends_with_status_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "policy.yaml").write_text("metrics: {exact: 0.001}\n")
    assert run(folder) == 1
    assert "further prompts" in capsys.readouterr().out or "worse" in capsys.readouterr().out


def test_json_holds_verdict_and_scorecard(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--json", "--slice", "app") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"]["verdict"] == "promote"
    assert {c["slice"] for c in told["scorecard"]["comparisons"]} >= {"app=a", "app=b"}


def test_the_report_is_written_without_texts_unless_asked(folder: Path) -> None:
    page = folder / "report.html"
    assert run(folder, "--report", str(page)) == 0
    assert "private question" not in page.read_text()
    assert run(folder, "--report", str(page), "--show-texts") == 0
    assert "private question" in page.read_text()


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda f: (f / "answers" / "student.jsonl").unlink(), "no student.jsonl"),
        (lambda f: (f / "heldout.jsonl").unlink(), "no held-out file"),
        (lambda f: (f / "policy.yaml").unlink(), "cannot be read"),
        (lambda f: (f / "policy.yaml").write_text("- a list\n"), "not a mapping"),
        (lambda f: (f / "policy.yaml").write_text("metrics: {exactly: 0.05}\n"), "no scorer is called"),
        (lambda f: (f / "policy.yaml").write_text("metrics: {exact: 0.05}\nmargn: 1\n"), "margn"),
        (lambda f: (f / "heldout.jsonl").write_text('{"private": "question"}\n'), "line 1"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    break_it: object, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    break_it(folder)  # type: ignore[operator]
    assert run(folder) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "question" not in err


def test_neither_airflow_nor_the_aws_sdk_is_imported_for_local_files(folder: Path) -> None:
    code = (
        "import sys\nfrom airflow_distill.cli.main import main\n"
        f"status = main(['evaluate', {str(folder / 'answers')!r}, '--policy', {str(folder / 'policy.yaml')!r}])\n"
        "sys.exit(3 if {'airflow', 'boto3'} & set(sys.modules) else status)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
