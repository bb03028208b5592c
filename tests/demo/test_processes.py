"""Processes of the demonstration: all of them end, their children too, and a death is told with its log."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from airflow_distill.demo.processes import ProcessDiedError, Processes, free_port, port_is_free, wait_until


def test_stopping_ends_children_in_other_sessions_too(tmp_path: Path) -> None:
    """A worker that made a session of its own survives a signal to its parent's group."""
    marker = tmp_path / "child.pid"
    child = f"import os, time, pathlib; pathlib.Path({str(marker)!r}).write_text(str(os.getpid())); time.sleep(60)"
    parent = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)\n"
        "time.sleep(60)"
    )
    processes = Processes(tmp_path)
    processes.start("parent", [sys.executable, "-c", parent], os.environ)
    wait_until(
        "the child", lambda: marker.is_file() and marker.read_text(), processes, timeout=20, pause=0.05
    )
    pid = int(marker.read_text())
    processes.stop(grace=1)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_process_that_ends_by_itself_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    processes.start("broken", [sys.executable, "-c", "raise SystemExit('no database here')"], os.environ)
    with pytest.raises(ProcessDiedError, match="no database here"):
        wait_until("it", lambda: False, processes, timeout=20, pause=0.05)
    processes.stop()


def test_waiting_too_long_says_what_was_not_ready(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ProcessDiedError, match="The server is not ready"):
        wait_until("The server", lambda: False, Processes(tmp_path), timeout=0.2, pause=0.05)
    assert time.monotonic() - begun < 5


def test_a_port_in_use_is_not_free() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert not port_is_free(server.getsockname()[1])
    assert port_is_free(free_port())
