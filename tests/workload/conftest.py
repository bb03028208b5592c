"""Workload files for tests: one that says only what must be said, and a folder to write variants into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SHORTEST = """\
owner: support-platform
teacher: amazon.nova-pro-v1:0
student: amazon.nova-micro-v1:0:128k
root: s3://acme-distill/loop
role_arn: arn:aws:iam::111122223333:role/distill
logs:
  location: s3://acme-logs/bedrock
budget:
  usd_per_run: 50
"""


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
