"""The wait for fresh invocation logs: looks at the bucket's listing until enough bytes have come, then yields once.

It lists and downloads nothing. Whether the new bytes hold enough usable prompts is counted afterwards, on a worker. The SDK
is synchronous and runs in a thread. A failed look is "unknown, ask again" with growing pauses; only refusals that do not
heal, seen several times in a row, end the wait, so that the resumed task can say what is wrong.

Constructors accept unknown arguments on purpose: a package upgrade during a wait rebuilds yesterday's row with today's
class. Never rename a class or an argument here without an alias.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_distill.errors import DistillError
from airflow_distill.hooks.bedrock import connection_arguments
from airflow_distill.stages.storage import LocalStore, ObjectStore
from airflow_distill.triggers.connection import AwsTrigger
from airflow_distill.triggers.threads import in_thread

if TYPE_CHECKING:
    from airflow_distill.stages.logs.fresh import Listed

REFUSALS_IN_A_ROW = 5
LONGEST_PAUSE = 3600.0


class LogsGrownTrigger(AwsTrigger):
    """Waits until the log objects since a moment hold so many bytes.

    Its event holds `status` (`grown`, `timeout` or `refused`), `objects` and `bytes` of the last look, and for a refusal
    `error` with the words of the service.

    :param logs: where Bedrock delivers invocation logs, at any level of their layout.
    :param since: the first moment of record time, ISO 8601 UTC.
    :param enough_bytes: stored bytes at which the wait is over.
    :param deadline: ISO 8601 UTC; the wait ends then with `timeout`. None waits for ever.
    :param poll_interval: seconds between looks.
    """

    def __init__(
        self,
        logs: str = "",
        since: str = "",
        enough_bytes: int = 1,
        *,
        deadline: str | None = None,
        poll_interval: float = 900.0,
        **other: Any,
    ) -> None:
        super().__init__(**other)
        self.logs = logs
        self.since = since
        self.enough_bytes = int(enough_bytes)
        self.deadline = deadline
        self.poll_interval = float(poll_interval)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and plain arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "logs": self.logs,
            "since": self.since,
            "enough_bytes": self.enough_bytes,
            "deadline": self.deadline,
            "poll_interval": self.poll_interval,
            **connection_arguments(self),
        }

    def store(self) -> ObjectStore:
        """Build the store that fits the place of the logs; blocking, so it runs in a thread."""
        if not self.logs.startswith("s3://"):
            return LocalStore()
        return self.gateways().objects

    def now(self) -> datetime:
        """Return the present time."""
        return datetime.now(UTC)

    async def pause(self, seconds: float) -> None:
        """Sleep between looks."""
        await asyncio.sleep(seconds)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event when enough has come, when it is refused for good, or at the deadline."""
        yield TriggerEvent(await self._wait())  # type: ignore[no-untyped-call]

    async def _wait(self) -> dict[str, Any]:
        from airflow_distill.stages.logs.fresh import Listed, look_at_listing

        failures = refusals = 0
        seen = Listed(0, 0)
        store: ObjectStore | None = None
        while True:
            try:
                if store is None:
                    store = await in_thread(self.store)
                seen = await in_thread(look_at_listing, store, self.logs, self.since, self.now())
            except Exception as error:
                failures += 1
                refusals = refusals + 1 if _is_refusal(error) else 0
                self.log.warning("The logs could not be listed (%s); asking again.", type(error).__name__)
                if refusals >= REFUSALS_IN_A_ROW:
                    return _event("refused", seen, str(error))
                store = None
            else:
                failures = refusals = 0
                if seen.bytes >= self.enough_bytes:
                    return _event("grown", seen)
            left = self._seconds_left()
            if left is not None and left <= 0:
                return _event("timeout", seen)
            pause = min(self.poll_interval * 2 ** min(failures, 8), max(LONGEST_PAUSE, self.poll_interval))
            await self.pause(pause if left is None else min(pause, left))

    def _seconds_left(self) -> float | None:
        if not self.deadline:
            return None
        return (datetime.fromisoformat(self.deadline) - self.now()) / timedelta(seconds=1)


def _is_refusal(error: Exception) -> bool:
    """Say whether the same look would be refused again: a known error that is not worth a retry."""
    return isinstance(error, DistillError) and not error.retryable


def _event(status: str, seen: Listed, error: str = "") -> dict[str, Any]:
    event: dict[str, Any] = {"status": status, "objects": seen.objects, "bytes": seen.bytes}
    if error:
        event["error"] = error
    return event
