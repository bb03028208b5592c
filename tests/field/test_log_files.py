"""`dataset build` and `dataset check` on log files as they are found: broken, wrapped, named otherwise, or not there."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.cli.main import main
from tests.stages.logs.log_records import MODEL, record

TOPICS = ("card", "loan", "refund", "address", "password", "invoice")
ASKED = [
    f"Case {n}: what became of the {TOPICS[n % 6]} that I asked about on day {n * 7}?" for n in range(300)
]
RECORDS = [record(text, f"answer {n}", request_id=f"r{n}") for n, text in enumerate(ASKED)]
LINES = "".join(json.dumps(item) + "\n" for item in RECORDS).encode()


def build(folder: Path, *more: str) -> int:
    return main(
        [
            "dataset",
            "build",
            "--logs",
            str(folder),
            "--model",
            MODEL,
            "--out",
            str(folder.parent / "out"),
            *more,
        ]
    )


def logs(tmp_path: Path, name: str, data: bytes) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return folder


def test_a_log_object_that_breaks_off_is_named_everywhere_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = gzip.compress(LINES)
    folder = logs(tmp_path, "a.json.gz", packed[: len(packed) // 2])
    assert build(folder, "--json") == 1
    said = capsys.readouterr()
    outcome = json.loads(said.out)
    assert outcome["objects"] == {"damaged": 1}
    assert outcome["lost"] == 1.0
    assert "1 log objects damaged" in said.err
    assert "--lost" in said.err
    assert json.loads((tmp_path / "out/manifest.json").read_text())["counts"]["objects_damaged"] == 1
    assert "cut off or corrupt" in (tmp_path / "out/card.md").read_text()
    assert build(folder) == 1
    assert "damaged" in capsys.readouterr().out


def test_a_loss_that_was_accepted_ends_with_0(tmp_path: Path) -> None:
    logs(tmp_path, "a.json.gz", gzip.compress(LINES)[:-9])
    folder = logs(tmp_path, "b.json", LINES)
    assert build(folder) == 1
    assert build(folder, "--lost", "0.5") == 0


def test_lines_that_are_no_text_count_against_the_tolerance(tmp_path: Path) -> None:
    folder = logs(tmp_path, "a.jsonl", LINES + b'{"modelId":"' + MODEL.encode() + b'"\xff}\n')
    assert build(folder) == 1
    assert build(folder, "--lost", "0.01") == 0


def test_a_file_that_is_no_log_is_called_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs(tmp_path, "a.json", b"PAR1" + bytes(500))
    assert build(logs(tmp_path, "b.json", LINES)) == 1
    said = capsys.readouterr().err
    assert "a.json is a Parquet file" in said
    assert "Export the table as JSON lines" in said


@pytest.mark.parametrize("name", ["a.ndjson", "000000.gz", "stream-1-2026-11-20-10-00-00-abc", "a.log"])
def test_logs_are_found_under_the_names_that_deliveries_give_them(name: str, tmp_path: Path) -> None:
    data = gzip.compress(LINES) if name.endswith(".gz") else LINES
    assert build(logs(tmp_path, name, data)) == 0


@pytest.mark.parametrize(
    ("name", "said"), [("notes.csv", "1 files lie there, such as 'notes.csv'"), ("", "nothing lies there")]
)
def test_a_place_without_logs_is_an_error_that_names_it_and_what_lies_there(
    name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = logs(tmp_path, name, b"a,b\n") if name else tmp_path / "nowhere"
    assert build(folder) == 2
    error = capsys.readouterr().err
    assert str(folder) in error
    assert said in error
    assert ".json.gz" in error


@pytest.mark.parametrize(
    "content", [[{"text": "a"}, {"text": "b"}], [{"text": "a"}, {"cachePoint": {"type": "default"}}]]
)
def test_a_message_of_several_blocks_is_unsure_for_a_job_that_reads_the_logs(
    content: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"inputBodyJson": {"messages": [{"role": "user", "content": content}]}}
    lines = b"".join(json.dumps(record(input=asked)).encode() + b"\n" for _ in range(120))
    folder = logs(tmp_path, "a.json", lines)
    assert main(["dataset", "check", str(folder), "--kind", "logs", "--model", MODEL, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["accepted"], found["unsure"], found["counts"]["several_blocks"]) == (0, 120, 120)


def test_answers_of_calls_that_offered_tools_are_dropped_unless_told_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offered = {"toolConfig": {"tools": [{"toolSpec": {"name": "look_up"}}]}}
    lines = [
        {
            **item,
            "input": {"inputBodyJson": {**item["input"]["inputBodyJson"], **(offered if n % 3 == 0 else {})}},
        }
        for n, item in enumerate(RECORDS)
    ]
    folder = logs(tmp_path, "a.json", b"".join(json.dumps(item).encode() + b"\n" for item in lines))
    build(folder, "--json")
    assert json.loads(capsys.readouterr().out)["dropped"]["tools_offered"] == 100
    build(folder, "--json", "--keep", "tools_offered")
    assert "tools_offered" not in json.loads(capsys.readouterr().out)["dropped"]


def test_a_pipe_whose_reader_has_gone_ends_in_silence_and_not_as_a_wrong_call(tmp_path: Path) -> None:
    folder = logs(tmp_path, "a.json", LINES)
    command = [sys.executable, "-m", "airflow_distill.cli.main", "dataset", "build", "--logs", str(folder)]
    command += ["--model", MODEL, "--out", str(tmp_path / "out"), "--json"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    said = running.stderr.read()
    assert running.wait(timeout=120) == 141
    assert b"BrokenPipe" not in said
    assert b"Traceback" not in said
