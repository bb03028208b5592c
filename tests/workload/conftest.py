"""Workload files for tests: one that says only what must be said, and a folder to write variants into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workload_files import SHORTEST


@pytest.fixture
def shortest() -> str:
    """The text of a file with the required settings only."""
    return SHORTEST


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a workload file: the shortest one with lines appended, or any text."""

    def write_file(more: str = "", *, name: str = "support_tickets.yaml", text: str = SHORTEST) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + more)
        return path

    return write_file
