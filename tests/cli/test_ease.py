"""What a person gets wrong at a terminal: one sentence and exit status 2, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

import airflow_distill.cli.status
from airflow_distill.cli.main import COMMANDS, build_parser, main
from airflow_distill.sandbox import Sandbox
from tests.cli.test_dataset import TEACHER, write_logs

FILE = """\
owner: support
teacher: amazon.nova-pro-v1:0
student: amazon.nova-micro-v1:0:128k
root: s3://distill-sandbox/distill
role_arn: arn:aws:iam::123456789012:role/distill
logs: {location: s3://distill-sandbox/logs}
budget: {usd_per_run: 50}
"""

Said = Callable[..., str]


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any AWS configuration; returns a folder that holds a workload file."""
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws-credentials"))
    (tmp_path / "tickets.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Run a command that cannot be done; returns what it said."""

    def run(*words: str) -> str:
        capsys.readouterr()
        assert main(words) == 2
        told = capsys.readouterr().err
        assert "Traceback" not in told
        return told

    return run


ASKING = (
    ("status", "tickets.yaml"),
    ("release", "list", "--workload", "tickets.yaml"),
    ("verify", "--workload", "tickets.yaml"),
    ("reap", "--root", "s3://distill-sandbox/distill"),
    ("scout", "--logs", "s3://distill-sandbox/logs"),
    ("dataset", "check", "s3://distill-sandbox/prompts"),
    ("evaluate", "--again", "tickets.yaml"),
    ("workload", "plan", "tickets.yaml", "--manifest", "s3://distill-sandbox/m/manifest.json"),
    ("plan", "--workload", "tickets.yaml", "--manifest", "s3://distill-sandbox/m/manifest.json"),
    ("models", "check"),
    ("prices", "show", "--prices", "s3://distill-sandbox/prices.json"),
)
"""Commands that ask AWS, each in its shortest form."""
NAMES = [" ".join(words[:2]) for words in ASKING]


@pytest.mark.parametrize("words", ASKING, ids=NAMES)
def test_without_a_region_the_region_is_named(nobody: Path, said: Said, words: tuple[str, ...]) -> None:
    assert "no Region is set" in said(*words)


@pytest.mark.parametrize("words", ASKING, ids=NAMES)
def test_without_credentials_the_credentials_are_named(
    nobody: Path, said: Said, words: tuple[str, ...]
) -> None:
    told = said(*words, "--region", "us-east-1")
    assert "no AWS credentials" in told
    assert "ServiceUnavailableError" not in told


@pytest.mark.parametrize("words", ASKING, ids=NAMES)
def test_an_unknown_profile_is_named_with_those_there_are(
    nobody: Path, said: Said, words: tuple[str, ...]
) -> None:
    (nobody / "aws-config").write_text("[profile work]\nregion = us-east-1\n")
    told = said(*words, "--profile", "elsewhere", "--region", "us-east-1")
    assert "there is no profile 'elsewhere'" in told
    assert "work" in told


def test_the_profile_of_the_environment_is_named_too(
    nobody: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "elsewhere")
    assert "elsewhere" in said("models", "check", "--region", "us-east-1")


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException", "RequestExpired"])
def test_expired_credentials_are_named_as_such_and_may_be_tried_again(code: str) -> None:
    from botocore.exceptions import ClientError

    from airflow_distill.aws.failure import translate
    from airflow_distill.errors import ServiceCredentialsError, ServiceUnavailableError

    answer: Any = {"Error": {"Code": code, "Message": "expired"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    error = translate(ClientError(answer, "GetBucket"), "GetBucket")
    assert isinstance(error, ServiceCredentialsError)
    assert isinstance(error, ServiceUnavailableError), "a task waits and asks again with new ones"
    assert "expired" in error.hint


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.mkdir(),
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text('{"train": 3}'),
        lambda path: path.write_bytes(b"\xff\xfe\x00"),
        lambda path: None,
    ],
    ids=["folder", "cut", "list", "other", "bytes", "missing"],
)
@pytest.mark.parametrize("command", ["plan", "workload"])
def test_what_is_no_manifest_is_told(nobody: Path, said: Said, make: Any, command: str) -> None:
    path = nobody / "manifest.json"
    make(path)
    words = (
        ["plan", "--offline", "--workload", "tickets.yaml"]
        if command == "plan"
        else ["workload", "plan", "tickets.yaml"]
    )
    assert "manifest" in said(*words, "--manifest", str(path))


@pytest.mark.parametrize(
    "words",
    [("workload", "lint", "empty"), ("dataset", "check", "empty"), ("scout", "--logs", "empty"),
     ("dataset", "build", "--logs", "empty", "--model", TEACHER, "--out", "out")],
)  # fmt: skip
def test_a_folder_without_files_is_told(nobody: Path, said: Said, words: tuple[str, ...]) -> None:
    (nobody / "empty").mkdir()
    assert "empty" in said(*words)


@pytest.mark.parametrize(
    "words",
    [("workload", "init", "taken/tickets.yaml"),
     ("dataset", "build", "--logs", "logs", "--model", TEACHER, "--out", "taken/out")],
)  # fmt: skip
def test_a_place_that_cannot_be_written_is_told(nobody: Path, said: Said, words: tuple[str, ...]) -> None:
    write_logs(nobody / "logs")
    (nobody / "taken").write_text("a file where a folder is wanted")
    assert "taken" in said(*words)


@pytest.mark.parametrize(
    "words",
    [
        ("status", "nowhere.yaml"),
        ("workload", "plan", "nowhere.yaml"),
        ("doctor", "--workload", "nowhere.yaml"),
        ("verify", "--workload", "folder/nowhere.yaml"),
        ("iam", "--workload", "nowhere.yaml"),
    ],
)
def test_a_file_that_is_not_there_is_told(nobody: Path, said: Said, words: tuple[str, ...]) -> None:
    assert "nowhere.yaml" in said(*words)


def test_a_name_where_a_file_is_needed_is_told(nobody: Path, said: Said) -> None:
    assert "the workload's file is needed here" in said("iam", "--workload", "tickets")


def test_a_name_needs_a_root(nobody: Path, said: Said) -> None:
    assert "--root" in said("verify", "--workload", "tickets", "--region", "us-east-1")


# --- one meaning of flags -------------------------------------------------------------------------------------------


def test_every_command_that_asks_takes_the_same_three_flags() -> None:
    for words in ASKING:
        parsed = build_parser(words[0]).parse_args(
            [*words, "--region", "r", "--profile", "p", "--endpoint-url", "u"]
        )
        assert (parsed.region, parsed.profile, parsed.endpoint_url) == ("r", "p", "u")


@pytest.mark.parametrize("command", ["verify", "release list", "status"])
def test_a_workload_is_its_file_or_its_name_with_a_root(
    bedrock_environment: Sandbox,
    tmp_path: Path,
    command: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(airflow_distill.cli.status, "datetime", StandingStill)
    bedrock_environment.prepare()
    path = tmp_path / "tickets.yaml"
    path.write_text(FILE)
    words = command.split()
    by_file = main([*words, "--workload", str(path)]), capsys.readouterr().out
    root = ["--root", "s3://distill-sandbox/distill"]
    by_name = main([*words, "--workload", "tickets", *root]), capsys.readouterr().out
    assert by_file == by_name


class StandingStill(datetime):
    """A clock that does not move between two commands."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> StandingStill:
        return cls(2026, 11, 30, 12, tzinfo=tz)


@pytest.mark.parametrize("command", ["status", "spend show", "spend savings", "spend reconcile"])
def test_a_workload_may_stand_alone_or_after_its_flag_and_must_be_named(
    nobody: Path, said: Said, command: str
) -> None:
    words = command.split()
    assert build_parser(words[0]).parse_args([*words, "a"]).workload == "a"
    assert build_parser(words[0]).parse_args([*words, "--workload", "a"]).workload == "a"
    assert "no workload is named" in said(*words)


# --- from a dataset to a plan ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["local", "s3"])
@pytest.mark.parametrize("named", ["folder", "file"])
def test_a_dataset_that_was_built_can_be_planned(
    bedrock_environment: Sandbox,
    tmp_path: Path,
    place: str,
    named: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bedrock_environment.prepare()
    path = tmp_path / "tickets.yaml"
    path.write_text(FILE)
    write_logs(tmp_path / "logs")
    out = str(tmp_path / "bank") if place == "local" else "s3://distill-sandbox/bank"
    built = ["dataset", "build", "--logs", str(tmp_path / "logs"), "--model", TEACHER, "--out", out, "--json"]
    assert main([*built, "--workload", str(path)]) == 0
    capsys.readouterr()
    manifest = out if named == "folder" else f"{out}/manifest.json"
    assert main(["plan", "--workload", str(path), "--manifest", manifest, "--json"]) == 0
    planned = capsys.readouterr()
    train = json.loads(planned.out)["request"]["trainingDataConfig"]["s3Uri"]
    assert train.startswith("s3://")
    assert ("aws s3 cp" in planned.err) == (place == "local")
    assert main(["workload", "plan", str(path), "--manifest", manifest]) == 0


# --- completion -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [("rel", "release"), ("release ro", "rollback"), ("release list --roo", "--root"), ("sandbox faults a", "add"),
     ("completion b", "bash"), ("dataset build --heldo", "--heldout")],
)  # fmt: skip
def test_bash_completes(typed: str, wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    words = ["airflow-distill", *typed.split(" ")]
    array = " ".join(f'"{word}"' for word in words)
    ask = f'COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; _airflow_distill; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True, check=True)
    assert wanted in done.stdout.split()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_are_told_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(command in script for command in COMMANDS)


def test_a_sandbox_without_its_extra_is_never_ready(tmp_path: Path) -> None:
    """As in an installation without the extra: `start` names it before it says ready."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'moto': raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "airflow_distill.cli.main", "sandbox", "start", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 2
    assert "airflow-distill[sandbox]" in done.stderr
    assert "ready" not in done.stdout.lower()
    assert "Traceback" not in done.stderr
