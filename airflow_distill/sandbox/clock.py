"""The sandbox's own time: it flows like real time and can be moved, so that days pass in a second.

Everything that has a date (jobs, logs, bills) asks this clock and never the system's.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from airflow_distill.sandbox.failures import SandboxUsageError

_FLOOR = datetime(2000, 1, 1, tzinfo=UTC)
_CEILING = datetime(2200, 1, 1, tzinfo=UTC)


class Clock:
    """Real time plus an offset that callers may change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.offset = 0.0

    def now(self) -> datetime:
        """The present moment, in UTC and in whole milliseconds, which is what the service shows."""
        return datetime.fromtimestamp(int((time.time() + self.offset) * 1000) / 1000, tz=UTC)

    def advance(self, seconds: float) -> datetime:
        """Jump by so many seconds (backwards when negative) and say what time it is then."""
        return self.set(self.now() + timedelta(seconds=seconds))

    def set(self, moment: datetime | str) -> datetime:
        """Jump to a moment; ISO 8601 text without an offset is read as UTC."""
        moment = moment_of(moment)
        if not _FLOOR <= moment <= _CEILING:
            raise SandboxUsageError("the clock can be set to the years 2000 to 2199 only")
        with self._lock:
            self.offset = moment.timestamp() - time.time()
        return self.now()

    def reset(self) -> None:
        """Back to real time."""
        with self._lock:
            self.offset = 0.0


def moment_of(moment: datetime | str) -> datetime:
    """A moment in UTC out of a datetime or ISO 8601 text."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
        except ValueError:
            raise SandboxUsageError(f"not an ISO 8601 time: {moment!r}") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
