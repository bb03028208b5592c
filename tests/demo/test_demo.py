"""The demonstration as a person runs it: real processes, from an empty folder to a verdict, and nothing left behind."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from airflow_distill.demo.traffic import shipped_traffic

COMMAND = [sys.executable, "-m", "airflow_distill.cli.main", "demo"]


def processes_of(home: Path) -> list[int]:
    """Return the processes that still run for a demonstration: its home is in their environment or arguments."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if any(str(home) in word for word in words) and process.pid != os.getpid():
            found.append(process.pid)
    return found


def demo(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "--home", str(home), *words], capture_output=True, text=True, timeout=580
    )


@pytest.mark.slow
@pytest.mark.alone
def test_the_loop_ends_in_a_release_and_leaves_no_process(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    ended = demo(home)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads((home / "report.json").read_text())
    receipts, meter = report["receipts"], report["meter"]
    assert receipts["decision"]["verdict"] == "promote"
    means = receipts["evaluation"]["metrics"]["label_accuracy"]
    assert means["student"] > means["untuned"] + 0.3
    assert meter["calls"]["CreateModelCustomizationJob"] == {"ok": 1}
    harvest = receipts["harvest"]
    assert harvest["lines"] == harvest["kept"] + sum(harvest["skipped"].values())
    assert "0 taken while the job ran" in ended.stdout
    assert "it answered" in ended.stdout
    assert processes_of(home) == []
    logged = [path.read_text(errors="replace") for path in (home / "airflow" / "logs").rglob("*.log")]
    prompts = [pair.prompt for pair in shipped_traffic().pairs]
    assert not [prompt for prompt in prompts if any(prompt in text for text in logged)]


@pytest.mark.slow
@pytest.mark.alone
def test_shuffled_labels_are_never_promoted(tmp_path: Path) -> None:
    """The data decides, not the code: the same questions with the wrong answers end in hold or reject."""
    pairs = shipped_traffic().pairs
    labels = [pair.completion for pair in pairs]
    random.Random(7).shuffle(labels)
    file = tmp_path / "shuffled.csv"
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["text", "category"])
        rows.writerows((pair.prompt, label) for pair, label in zip(pairs, labels, strict=True))
    home = tmp_path / "demo"
    ended = demo(home, "--traffic", str(file))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    receipts = json.loads((home / "report.json").read_text())["receipts"]
    assert receipts["decision"]["verdict"] in {"hold", "reject"}
    assert "deployment" not in receipts
    assert processes_of(home) == []


@pytest.mark.slow
@pytest.mark.alone
def test_ctrl_c_ends_every_process_and_says_so(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    running = subprocess.Popen(
        [*COMMAND, "--home", str(home)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 120
    while not (home / "logs" / "scheduler.log").is_file() and time.monotonic() < end:
        time.sleep(0.5)
    time.sleep(3)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "stopped by SIGINT" in errors
    assert processes_of(home) == []


def test_a_busy_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        ended = demo(tmp_path / "demo", "--port", str(server.getsockname()[1]))
    assert ended.returncode == 2
    assert "listens on that port already" in ended.stderr
    assert not (tmp_path / "demo").exists()


def test_a_folder_that_is_not_ours_is_never_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    ended = demo(tmp_path)
    assert ended.returncode == 2
    assert "not empty and not ours" in ended.stderr.replace("\n", " ")
    assert (tmp_path / "thesis.txt").read_text() == "precious"
