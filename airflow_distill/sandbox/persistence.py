"""Keeping a sandbox over a restart: its resources, bill and students, and what lies in S3, IAM and SSM beside it.

Files are written whole and renamed, so a kill leaves the last good state. They are pickles of this very version, because
moto's backends and fitted students are objects of other packages that have no other form. A pickle can run code when it is
read, so the folder must be trusted, and three things stand between it and somebody else's file: folder and files are made
for their user alone, a folder or file that others own or may write is refused, and only classes of the packages that we
save are ever made, no function is called. KMS keys and SSM tags are not kept.
"""

from __future__ import annotations

import fcntl
import io
import os
import pickle
import stat
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from airflow_distill.sandbox import moto_door
from airflow_distill.sandbox.failures import SandboxUsageError
from airflow_distill.sandbox.operations import batch_inference, customization_jobs, evaluation_jobs
from airflow_distill.sandbox.store import ACCOUNT, BATCH, EVALUATION, JOB
from airflow_distill.sandbox.world import World

_VERSION = 1


class StateFolder:
    """A folder with the state of one sandbox."""

    def __init__(self, folder: Path, world: World) -> None:
        self._folder = folder
        self._world = world
        self._lock = threading.Lock()
        self._saved = (-1, -1)
        self._not_before = 0.0
        self._claimed: int | None = None

    def claim(self) -> None:
        """Take the folder for this sandbox alone, and see that it can be written; a second claim is the same as one.

        The lock is the operating system's, so that a killed sandbox leaves none behind.
        """
        if self._claimed is not None:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SandboxUsageError(
                f"the state folder {self._folder} cannot be used: {error.strerror}; name another with --state"
            ) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise SandboxUsageError(
                f"another sandbox keeps its state in {self._folder}; stop it, or name another folder with --state"
            ) from None
        self._claimed = handle

    def release(self) -> None:
        """Give the folder up."""
        if self._claimed is not None:
            os.close(self._claimed)
            self._claimed = None

    def save_if_changed(self) -> None:
        """Save when something changed, but never spend more than a tenth of the time on it."""
        if time.monotonic() >= self._not_before and self._saved != self._changes():
            self.save()

    def _changes(self) -> tuple[int, int]:
        return self._world.store.changes, self._world.neighbours.changes

    def save(self) -> None:
        """Write everything."""
        with self._lock:
            began = time.monotonic()
            changes = self._changes()
            self._write("bedrock.pickle", self._bedrock())
            if changes[1] != self._saved[1]:
                self._write("neighbours.pickle", _neighbours())
            self._saved = changes
            self._not_before = time.monotonic() + 10 * (time.monotonic() - began)

    def _bedrock(self) -> bytes:
        world = self._world
        with world.store.lock:
            return pickle.dumps(
                {
                    "version": _VERSION,
                    "store": world.store.dump(),
                    "meter": world.meter.dump(),
                    "students": world.students,
                    "clock": world.clock.offset,
                }
            )

    def load(self) -> None:
        """Read what an earlier sandbox left, and take its unfinished work up again."""
        neighbours = self._read("neighbours.pickle")
        if neighbours is not None:
            _restore_neighbours(neighbours)
        saved = self._read("bedrock.pickle")
        if saved is None:
            return
        world = self._world
        world.store.load(saved["store"])
        world.meter.load(saved["meter"])
        world.students.update(saved["students"])
        world.clock.offset = saved["clock"]
        for _, state in world.store.each():
            for job in state.of_kind(JOB):
                if job.record["status"] in ("InProgress", "Stopping"):
                    customization_jobs.start(world, job)
            for job in state.of_kind(EVALUATION):
                if job.record["status"] == "InProgress":
                    evaluation_jobs.restart(world, state, job)
            for job in state.of_kind(BATCH):
                if job.record["status"] in batch_inference.RUNNING:
                    batch_inference.start(world, state, job)

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self._folder / name
        if not path.exists():
            return None
        for place in (self._folder, path):
            _refuse_others(place)
        try:
            saved: dict[str, Any] = _Unpickler(io.BytesIO(path.read_bytes())).load()
        except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError) as error:
            raise SandboxUsageError(f"cannot read {path}: {error}; remove it to start afresh") from None
        if saved.get("version") != _VERSION:
            raise SandboxUsageError(f"{path} was written by another version; remove it to start afresh")
        return saved

    def _write(self, name: str, body: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(dir=self._folder, prefix=f".{name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        os.replace(path, self._folder / name)


_CLASSES_OF = frozenset({"airflow_distill", "moto", "sklearn", "scipy", "numpy", "collections", "datetime"})
_BUILTINS = frozenset({"set", "frozenset", "bytearray", "complex", "object", "slice", "range"})
_REBUILDERS = frozenset(
    {
        ("copyreg", "_reconstructor"),
        ("re", "_compile"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy.core.numeric", "_frombuffer"),
        ("sklearn.tree._tree", "__pyx_unpickle_Tree"),
    }
)
"""Functions that rebuild what the packages above store, and that call nothing of a stranger's choice."""


class _Unpickler(pickle.Unpickler):
    """Makes instances of classes that we save, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _REBUILDERS:
            return super().find_class(module, name)
        if module == "builtins" and name in _BUILTINS:
            return super().find_class(module, name)
        if module.partition(".")[0] in _CLASSES_OF:
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__.partition(".")[0] in _CLASSES_OF:
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not something that a sandbox saves")


def _refuse_others(path: Path) -> None:
    """Refuse what another user owns or may write: reading it would run what they wrote."""
    status = path.stat()
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SandboxUsageError(
            f"{path} belongs to or may be written by others; a state folder must be yours alone (chmod go-w)"
        )


def _neighbours() -> bytes:
    parameters: dict[str, dict[str, Any]] = {}
    whole: dict[str, dict[str, Any]] = {}
    for service, account, region, backend in moto_door.every_backend(("s3", "iam", "ssm")):
        if account != ACCOUNT:
            continue
        if service == "ssm":
            parameters[region] = {
                k: v for k, v in list(backend._parameters.items()) if not k.startswith("/aws/")
            }
        elif region == "aws":
            whole[service] = backend.__dict__
    for _ in range(5):
        try:
            return pickle.dumps({"version": _VERSION, "whole": whole, "parameters": parameters})
        except RuntimeError:
            # A client wrote while the backend was being walked; moto has no lock to hold.
            time.sleep(0.02)
    return pickle.dumps({"version": _VERSION, "whole": whole, "parameters": parameters})


def _restore_neighbours(saved: dict[str, Any]) -> None:
    for service, state in saved["whole"].items():
        moto_door.backend(service, ACCOUNT).__dict__.update(state)
    for region, parameters in saved["parameters"].items():
        backend = moto_door.backend("ssm", ACCOUNT, region)
        for name, versions in parameters.items():
            backend._parameters[name] = versions
