"""Starts the processes of the demonstration and ends all of them, whatever happens.

Every process gets a session of its own, so that Ctrl-C reaches only us, and a log file. Ending a process ends what it
has started too: Airflow's components fork workers that outlive a plain signal to the parent.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from airflow_distill.errors import DistillError


class ProcessDiedError(DistillError):
    """A process of the demonstration ended by itself; its log says why."""


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Say whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def last_lines(path: Path, count: int = 12) -> str:
    """Return the end of a log file, indented."""
    if not path.is_file():
        return "  (no log)"
    lines = path.read_text(errors="replace").splitlines()[-count:]
    return "\n".join(f"  {line}" for line in lines)


@dataclass
class Processes:
    """The running processes by name, each with its log under `logs`."""

    logs: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Start a process in a session of its own; output goes to `<logs>/<name>.log`."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                list(command),
                env=dict(env),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise when a process has ended by itself.

        :raises ProcessDiedError: with the last lines of its log.
        """
        for name, process in self.running.items():
            if process.poll() is not None:
                raise ProcessDiedError(
                    f"{name} ended with status {process.returncode}. The end of its log:\n"
                    f"{last_lines(self.logs / f'{name}.log')}",
                    hint=f"the whole log is {self.logs / f'{name}.log'}",
                )

    def wait(self, name: str, timeout: float) -> int:
        """Wait for a process that is meant to end, and forget it; returns its status."""
        status = self.running[name].wait(timeout)
        del self.running[name]
        return status

    def stop(self, grace: float = 8.0) -> list[int]:
        """End every process and all they started; returns the ids of those that had to be killed."""
        family: list[psutil.Process] = []
        for process in self.running.values():
            try:
                parent = psutil.Process(process.pid)
                family += [*parent.children(recursive=True), parent]
            except psutil.NoSuchProcess:
                continue
        for process in self.running.values():
            _signal_group(process.pid, terminate=True)
        _, alive = psutil.wait_procs(family, timeout=grace)
        for survivor in alive:
            try:
                survivor.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(alive, timeout=grace)
        for process in self.running.values():
            _signal_group(process.pid, terminate=False)
            process.wait()
        self.running.clear()
        return [survivor.pid for survivor in alive]


def _signal_group(pid: int, *, terminate: bool) -> None:
    import signal

    try:
        os.killpg(pid, signal.SIGTERM if terminate else signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def wait_until(what: str, ready: object, processes: Processes, timeout: float, pause: float = 0.25) -> None:
    """Call `ready` until it returns true.

    :raises ProcessDiedError: a process ended meanwhile, or the time is over.
    """
    assert callable(ready)
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        processes.check()
        if ready():
            return
        time.sleep(pause)
    raise ProcessDiedError(
        f"{what} is not ready after {timeout:.0f} s.", hint=f"look at the logs in {processes.logs}"
    )
