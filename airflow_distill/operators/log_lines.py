"""What tasks log stands on one line each and holds nothing that a terminal acts on.

Names of metadata, objects and models come from the traffic; in a log they could forge a line of ours or of Airflow's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_distill.stages.shown import one_line

_LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})


class LineLogger:
    """A logger whose messages and arguments are shown by `one_line`; numbers stay numbers."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._log, name)
        return _by_line(found) if name in _LEVELS else found


def _by_line(write: Callable[..., Any]) -> Callable[..., Any]:
    def logged(message: object, *arguments: object, **more: Any) -> Any:
        shown = [each if isinstance(each, int | float) else one_line(each) for each in arguments]
        return write(one_line(message), *shown, **more)

    return logged


class LogsByLine:
    """Gives an operator, sensor or trigger a `LineLogger`; stands before Airflow's class."""

    @property
    def log(self) -> Any:
        """The task's logger."""
        return LineLogger(super().log)  # type: ignore[misc]
