"""`airflow-distill dataset`: the exit status, the last line of JSON, and what a person sees."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.cli.main import main
from airflow_distill.sandbox import Sandbox

TEACHER, STUDENT = "amazon.nova-pro-v1:0", "amazon.nova-micro-v1:0:128k"
HOUR = "AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1/2026/11/18/10"
FILES = {"train.jsonl", "heldout.jsonl", "findings.jsonl", "manifest.json", "card.md"}
VOCABULARY = [f"word{n}" for n in range(2000)]


def prompt(text: str) -> dict[str, Any]:
    return {
        "schemaVersion": "bedrock-conversation-2024",
        "messages": [{"role": "user", "content": [{"text": text}]}],
    }


def write_prompts(path: Path, count: int, *more: bytes) -> Path:
    path.write_bytes(
        b"\n".join([*(json.dumps(prompt(f"question {n}")).encode() for n in range(count)), *more]) + b"\n"
    )
    return path


def log_record(number: int, text: str, app: str = "bank", **more: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": [{"text": text}]}]}
    answer = {
        "output": {"message": {"role": "assistant", "content": [{"text": "fine"}]}},
        "stopReason": "end_turn",
    }
    return {
        "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": f"2026-11-18T10:{number % 60:02d}:00Z",
        "requestId": f"r{number}", "operation": "Converse", "modelId": TEACHER, "requestMetadata": {"app": app},
        "input": {"inputBodyJson": body}, "output": {"outputBodyJson": answer}, **more,
    }  # fmt: skip


def write_logs(root: Path, count: int = 400) -> Path:
    rng = random.Random(3)
    folder = root / HOUR
    folder.mkdir(parents=True)
    for part in range(4):
        rows = []
        for n in range(part, count, 4):
            text = " ".join(rng.choices(VOCABULARY, k=12))
            rows.append(log_record(n, text, "bank" if n % 5 else "other"))
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        (folder / f"20261118T10{part:02d}00000Z_0123456789abcde{part}.json.gz").write_bytes(
            gzip.compress(data)
        )
    return root


def last_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    out: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return out


def test_a_good_file_is_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_prompts(tmp_path / "p.jsonl", 150)
    assert main(["dataset", "check", str(path), "--student", STUDENT, "--json"]) == 0
    assert last_json(capsys) == {
        "valid": True, "records": 150, "accepted": 150, "bytes": path.stat().st_size, "findings": [], "counts": {},
    }  # fmt: skip


def test_a_bad_file_is_rejected_with_lines_and_fixes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_prompts(tmp_path / "p.jsonl", 150, b"{}", b"", b"[1]")
    assert main(["dataset", "check", str(path), "--json"]) == 1
    out = last_json(capsys)
    assert not out["valid"]
    assert (out["records"], out["accepted"]) == (152, 150), "a blank line is no record"
    assert [(f["line"], f["code"]) for f in out["findings"]] == [
        (151, "empty_object"), (152, "blank_line"), (153, "not_an_object"),
    ]  # fmt: skip
    assert all(f["message"] and f["fix"] for f in out["findings"])
    assert out["counts"] == {"blank_line": 1, "empty_object": 1, "not_an_object": 1}


def test_a_person_sees_counts_and_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_prompts(tmp_path / "p.jsonl", 150, b"{}")
    assert main(["dataset", "check", str(path)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("rejected: 150 of 151 records can be used\n")
    assert "empty_object" in out
    assert "line 151" in out
    assert "next:" in out


def test_codes_beyond_the_first_hundred_findings_keep_their_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_prompts(tmp_path / "p.jsonl", 10, *[b"{}"] * 150, b"[]")
    assert main(["dataset", "check", str(path)]) == 1
    out = capsys.readouterr().out
    assert "Write each record as a JSON object." in out
    assert "at least 100" in out


@pytest.mark.parametrize("kind", ["prompts", "logs"])
def test_what_is_not_there_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    assert main(["dataset", "check", str(tmp_path / "nothing"), "--kind", kind, "--json"]) == 2
    out = last_json(capsys)
    assert out["valid"] is False
    assert "nothing" in out["error"]


def test_an_empty_folder_cannot_be_read(tmp_path: Path) -> None:
    assert main(["dataset", "check", str(tmp_path)]) == 2


def test_an_unknown_student_is_an_error(tmp_path: Path) -> None:
    path = write_prompts(tmp_path / "p.jsonl", 150)
    assert main(["dataset", "check", str(path), "--student", "gpt-5"]) == 2


def test_a_folder_is_checked_file_by_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_prompts(tmp_path / "a.jsonl", 60)
    (tmp_path / "b.jsonl.gz").write_bytes(
        gzip.compress(write_prompts(tmp_path / "c.txt", 60, b"{}").read_bytes())
    )
    assert main(["dataset", "check", str(tmp_path), "--json"]) == 1
    out = last_json(capsys)
    assert out["accepted"] == 120
    assert [
        (f["path"].rsplit("/")[-1], f["line"]) for f in out["findings"] if f["code"] == "empty_object"
    ] == [("b.jsonl.gz", 61)]


@pytest.mark.parametrize("name", ["prompts.txt", "prompts.json", "prompts.JSONL", "prompts"])
def test_another_name_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = write_prompts(tmp_path / name, 150)
    assert main(["dataset", "check", str(path), "--json"]) == 1
    out = last_json(capsys)
    assert out["counts"] == {"extension": 1}
    assert "reads no other name" in out["findings"][0]["fix"]


def test_a_gzip_stream_called_jsonl_is_refused_and_none_of_it_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_prompts(tmp_path / "p.jsonl", 150)
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert main(["dataset", "check", str(path)]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith("rejected: 0 of 150 records can be used")
    assert "gzip_as_jsonl" in out
    path.rename(tmp_path / "p.jsonl.gz")
    assert main(["dataset", "check", str(tmp_path / "p.jsonl.gz"), "--json"]) == 0, "an honest name"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_records_of_a_utf_16_file_cannot_be_used_and_the_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str
) -> None:
    good = write_prompts(tmp_path / "a.jsonl", 150)
    (tmp_path / "b.jsonl").write_bytes(good.read_bytes().decode().encode(encoding))
    assert main(["dataset", "check", str(tmp_path), "--json"]) == 1
    out = last_json(capsys)
    assert (out["records"], out["accepted"]) == (300, 150)
    (found,) = [f for f in out["findings"] if f["severity"] == "error"]
    assert (found["code"], found["path"].endswith("b.jsonl")) == ("utf16", True)


def test_blank_lines_between_records_are_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_prompts(tmp_path / "p.jsonl", 150)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\n\n  \n"))
    assert main(["dataset", "check", str(path), "--json"]) == 0
    out = last_json(capsys)
    assert (out["records"], out["accepted"], out["counts"]) == (150, 150, {"blank_line": 300})


def build(tmp_path: Path, out: str, *more: str) -> int:
    logs = tmp_path / "logs"
    if not logs.exists():
        write_logs(logs)
    return main(
        ["dataset", "build", "--logs", str(logs), "--model", TEACHER, "--out", str(tmp_path / out), *more]
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_dataset_is_built_and_passes_its_own_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(tmp_path, "out", "--metadata", "app=bank", "--student", STUDENT, "--json") == 0
    out = last_json(capsys)
    assert out["valid"]
    assert out["lines"] == 400 == out["kept"] + sum(out["skipped"].values())
    assert out["kept"] == 320 == out["train_records"] + out["heldout_records"] + sum(out["dropped"].values())
    assert set(files(tmp_path / "out")) == FILES
    assert main(["dataset", "check", str(tmp_path / "out"), "--student", STUDENT, "--json"]) == 0
    assert last_json(capsys)["records"] == out["train_records"]


def test_workers_and_place_do_not_change_a_byte(tmp_path: Path) -> None:
    assert build(tmp_path, "one") == 0
    assert build(tmp_path, "two", "--workers", "2") == 0
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_the_split_follows_share_and_salt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(tmp_path, "half", "--heldout", "0.5", "--json") == 0
    half = last_json(capsys)
    assert 0.35 < half["heldout_records"] / 400 < 0.65
    assert build(tmp_path, "salted", "--heldout", "0.5", "--salt", "other", "--json") == 0
    assert files(tmp_path / "half")["heldout.jsonl"] != files(tmp_path / "salted")["heldout.jsonl"]


def test_window_and_limit_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    window = ["--start", "2026-11-18T10:00:00Z", "--end", "2026-11-18T10:30:00Z"]
    assert build(tmp_path, "out", "--limit", "150", *window, "--json") == 0
    out = last_json(capsys)
    assert out["train_records"] + out["heldout_records"] == 150
    assert out["skipped"]["outside_window"] == 190
    assert out["window"] == ["2026-11-18T10:00:00Z", "2026-11-18T10:30:00Z"]


def test_too_little_is_built_and_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(tmp_path, "out", "--metadata", "app=other") == 1
    assert "too_few_records" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [["--metadata", "app"], ["--start", "yesterday"], ["--balance-by", "colour"], ["--logs", "/nowhere"]],
    ids=str,
)
def test_wrong_options_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    assert build(tmp_path, "out", *wrong) == 2
    assert "Hint:" in capsys.readouterr().err


def test_remembered_builds_keep_sides_apart(tmp_path: Path) -> None:
    assert build(tmp_path, "out", "--remember") == 0
    kept = files(tmp_path / "out")
    assert build(tmp_path, "out", "--remember") == 0
    assert files(tmp_path / "out") == kept
    assert sum(name.endswith(".bin") for name in kept) == 2


def test_logs_are_counted_as_the_service_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = write_logs(tmp_path / "logs")
    folder = logs / HOUR
    rows = [
        log_record(1, "a", errorCode="ThrottlingException"),
        log_record(2, "b", input={"inputBodyS3Path": "s3://b/data/x_input.json.gz"}),
        log_record(3, "c", modelId="us." + TEACHER),
        log_record(4, "d", modelId="meta.llama3-1-70b-instruct-v1:0"),
    ]
    body = "".join(json.dumps(row) + "\n" for row in rows).encode() + b"not json\n"
    (folder / "20261118T105900000Z_0123456789abcdef.json.gz").write_bytes(gzip.compress(body))
    assert main(["dataset", "check", str(logs), "--kind", "logs", "--model", TEACHER, "--json"]) == 1
    out = last_json(capsys)
    assert (out["records"], out["accepted"], out["unsure"]) == (405, 400, 2)
    assert out["counts"] == {
        "failed_call": 1, "offloaded": 1, "profile_model_id": 1, "other_model": 1, "not_json": 1,
    }  # fmt: skip
    assert [(f["line"], f["code"]) for f in out["findings"] if f["severity"] == "error"] == [(5, "not_json")]
    assert out["records"] == out["accepted"] + out["unsure"] + 3


def test_s3_is_read_and_written(
    bedrock_environment: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bedrock_environment.prepare(bucket="distill-sandbox")
    client = bedrock_environment.client("s3")
    for path in write_logs(tmp_path / "logs").rglob("*.gz"):
        client.upload_file(str(path), "distill-sandbox", f"logs/{path.relative_to(tmp_path / 'logs')}")
    out = "s3://distill-sandbox/built"
    assert (
        main(
            [
                "dataset",
                "build",
                "--logs",
                "s3://distill-sandbox/logs",
                "--model",
                TEACHER,
                "--out",
                out,
                "--json",
            ]
        )
        == 0
    )
    assert last_json(capsys)["train_records"] > 300
    assert main(["dataset", "check", out, "--json"]) == 0
    assert last_json(capsys)["accepted"] > 300


def test_the_command_loads_neither_airflow_nor_the_aws_sdk(tmp_path: Path) -> None:
    path = write_prompts(tmp_path / "p.jsonl", 150)
    code = (
        "import sys; from airflow_distill.cli.main import main; "
        f"assert main(['dataset', 'check', {str(path)!r}]) == 0; "
        "assert not {'airflow', 'boto3', 'botocore'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def flat(text: str) -> str:
    return " ".join(text.split())


def test_a_build_says_what_each_line_became_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc123"
    rows = [log_record(n, f"question {n}", modelId=profile) for n in range(3)]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["dataset", "build", "--logs", str(path), "--model", TEACHER, "--out", str(tmp_path / "out")]
    assert main(command) == 1
    out = flat(capsys.readouterr().out)
    assert "skipped unresolved_profile 3 The model id is an application inference profile" in out
    assert "3 of 3 lines are unresolved_profile" in out
    assert "next: upload" not in out
    assert main([*command, "--mapping", f"{profile}={TEACHER}"]) == 1
    assert "prompts kept 3" in flat(capsys.readouterr().out)
    assert main([*command, "--mapping", profile]) == 2
    assert "not a key and a value" in capsys.readouterr().err


def test_a_build_that_lost_logs_does_not_say_to_upload_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(tmp_path, "whole") == 0
    assert "next: upload" in capsys.readouterr().out
    folder = next((tmp_path / "logs").rglob("*.json.gz")).parent
    (folder / "20261118T110000000Z_0123456789abcdef.json.gz").write_bytes(b"\x1f\x8b\x08garbage")
    assert build(tmp_path, "lost") == 1
    told = capsys.readouterr()
    assert "next: upload" not in told.out
    assert "could not be read" in told.err


def golden_lines(count: int) -> str:
    rng = random.Random(8)
    rows = [
        {"prompt": " ".join(rng.choices(VOCABULARY, k=12)), "completion": "by hand"} for _ in range(count)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_golden_examples_judge_and_are_named_by_their_digest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = tmp_path / "golden.jsonl"
    golden.write_text(golden_lines(40) + '{"colour": 1}\n')
    assert build(tmp_path, "out", "--golden", str(golden), "--json") == 0
    told = capsys.readouterr()
    assert f"{golden}:41: unknown_form" in told.err
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["profile"]["heldout"]["golden"] == manifest["golden"]["records"] == 40
    assert "by hand" not in (tmp_path / "out" / "train.jsonl").read_text()
    assert manifest["golden"]["sha256"] in (tmp_path / "out" / "card.md").read_text()
    assert build(tmp_path, "some", "--golden", str(golden), "--golden-share", "0.05", "--json") == 0
    assert "by hand" in (tmp_path / "some" / "train.jsonl").read_text()
    golden.write_text('{"colour": 1}\n')
    assert build(tmp_path, "none", "--golden", str(golden)) == 2
    assert "holds no golden example" in capsys.readouterr().err


def test_feedback_selects_at_a_terminal_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(tmp_path, "all", "--json") == 0
    whole = last_json(capsys)
    feedback = tmp_path / "feedback.csv"
    feedback.write_text(
        "request_id,label,answer\n" + "".join(f"r{n},down,\n" for n in range(40)) + "r41,,better\n"
    )
    with_it = ("--feedback", str(feedback), "--use", "not_disliked", "corrected")
    assert build(tmp_path, "out", *with_it, "--json") == 0
    told = last_json(capsys)
    assert told["kept"] == whole["kept"]
    assert (told["dropped"]["disliked"], told["feedback"]["joined"]) == (40, 41)
    assert build(tmp_path, "again", *with_it) == 0
    assert "feedback: 41 records on 41 answers, 41 of them here" in capsys.readouterr().out
    feedback.write_text("request_id,label\nx1,up\n")
    assert build(tmp_path, "nobody", *with_it) == 0
    assert "warning: no feedback speaks of an answer here" in capsys.readouterr().out
    assert build(tmp_path, "unsaid", "--feedback", str(feedback)) == 2
    assert "nothing says what it is used for" in capsys.readouterr().err
