"""Says at the end of a run how many cases each fuzzed reader has seen."""

from __future__ import annotations

import pytest

from tests.security.cases import SEEN


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if SEEN:
        terminalreporter.section("cases seen by each fuzzed reader")
        for reader, cases in sorted(SEEN.items()):
            terminalreporter.write_line(f"{cases:7,}  {reader}")
