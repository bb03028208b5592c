"""Runs the commands that a page of the documentation shows, one after the other, as a reader would."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from airflow_distill.cli.main import main

GUIDES = Path(__file__).parents[1] / "docs/guides"


def commands_of(page: str) -> list[list[str]]:
    """Return the `airflow-distill` commands of a guide's bash blocks, without the program's name."""
    blocks = re.findall(r"^```bash\n(.*?)^```", (GUIDES / page).read_text(), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("airflow-distill ")]


def run_page(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch, worst: int = 1) -> list[int]:
    """Run a guide's commands in a folder and return their exit statuses; none may be above `worst`."""
    monkeypatch.chdir(folder)
    done = [(words, main(words)) for words in commands_of(page)]
    assert done, f"{page} shows no command"
    assert [words for words, status in done if status > worst] == []
    return [status for _, status in done]
