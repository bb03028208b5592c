"""Keeping a sandbox over a restart: its resources, bill and students, and what lies in the neighbours' S3, IAM and SSM.

Files are written whole and renamed, so a kill leaves the last good state. They are pickles of this very version and
meant for this machine only; never load a state folder that came from somebody else.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

from airflow_distill.sandbox.store import JOB
from airflow_distill.sandbox.world import World

_VERSION = 1


class StateFolder:
    """A folder with the state of one sandbox."""

    def __init__(self, folder: Path, world: World) -> None:
        self._folder = folder
        self._world = world

    def neighbours_changed(self) -> bool:
        return False

    def save(self) -> None:
        world = self._world
        with world.store.lock:
            body = pickle.dumps(
                {
                    "version": _VERSION,
                    "store": world.store.dump(),
                    "meter": world.meter.dump(),
                    "students": world.students,
                }
            )
        self._write("bedrock.pickle", body)

    def load(self) -> None:
        path = self._folder / "bedrock.pickle"
        if not path.exists():
            return
        saved: dict[str, Any] = pickle.loads(path.read_bytes())
        world = self._world
        world.store.load(saved["store"])
        world.meter.load(saved["meter"])
        world.students.update(saved["students"])
        from airflow_distill.sandbox.operations.customization_jobs import start

        for _, state in world.store.each():
            for job in state.of_kind(JOB):
                if job.record["status"] == "InProgress":
                    start(world, job)

    def _write(self, name: str, body: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(dir=self._folder, prefix=f".{name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        os.replace(path, self._folder / name)
