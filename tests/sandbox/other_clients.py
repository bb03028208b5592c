"""Clients that do not fit into this environment (they pin another botocore) get a folder of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def make_environment(folder: Path) -> Path:
    """A bare virtual environment; returns its pip."""
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"cannot make a virtual environment: {made.stderr.strip()[-200:]}")
    return folder / "bin" / "pip"


def install(pip: Path, *arguments: str) -> None:
    """Install from the package index, or skip where there is none."""
    done = subprocess.run(
        [str(pip), "install", "-q", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot install {arguments[-1]}: {done.stderr.strip()[-200:]}")
