"""One poll for all waits of one kind on one connection and Region.

A triggerer may hold a thousand waits. Asking about each costs a thousand calls a minute and a client each; here they
share one synchronous SDK client in a worker thread and one paginated list call a tick. `subscribe` is the door: a wait
joins, gets the newest look whenever it brings news, and leaves. The last one out closes the poller.

- A new waiter is looked at once; the job may have ended already.
- What the list does not show, and what has ended, is asked for by itself: the full answer holds reason and result.
- Failures are values. A throttle slows the shared tick for all; expired credentials build the client anew; nothing here
  raises into a waiter.
- The poller's task belongs to nobody: a cancelled waiter only leaves. It is kept by the registry, which holds the event
  loop weakly.

Why not the provider's waiters or shared streams: docs/decisions/poller.md.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from airflow_distill.aws.bedrock import BedrockGateway
from airflow_distill.aws.failure import EXPIRED_CREDENTIAL_CODES
from airflow_distill.aws.remote_work import WORK, RemoteWork
from airflow_distill.errors import ServiceAccessError
from airflow_distill.remote.polling import Look, Trouble, look_once, next_pause, parse_time
from airflow_distill.remote.records import JobSnapshot, Kind
from airflow_distill.triggers.threads import in_thread

LIST_FROM = 3
"""Below so many pieces of work a tick asks for each by itself; it costs no more than a list and tells more."""
UNSEEN_PER_TICK = 50
"""How many pieces of work that the list does not show are asked for in one tick."""
LIST_MARGIN = timedelta(minutes=15)
"""How much earlier than the oldest piece of work the list begins: clocks differ."""
RECHECK_TICKS = 20
"""After so many ticks a denied or costly list is tried again."""
FIRST_LOOK_GAP = 0.5
"""Seconds between ticks that newcomers may cause, at least."""
FIRST_LOOK_SHARE = 3
"""And so many times as long as the last tick took: a triggerer that starts with many waits must not list all the time."""


@dataclass(frozen=True, slots=True)
class PollKey:
    """What two waits must share to share a poll."""

    kind: Kind
    aws_conn_id: str | None
    region_name: str | None
    verify: str
    config: str


BuildGateway = Callable[[], BedrockGateway]


@dataclass(eq=False, slots=True)
class Waiter:
    """One wait's place at the poller: the newest look, and a bell for it."""

    arn: str
    period: float
    since: datetime | None
    _look: Look | None = None
    _bell: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, look: Look) -> None:
        """Leave a look for the waiter, replacing one that it has not taken.

        A snapshot equal to the one before is no news and wakes nobody: hundreds of jobs that run on for days cost an event
        loop nothing. Trouble is always told, because its duration decides.
        """
        if look.snapshot is not None and self._look is not None and self._look.snapshot == look.snapshot:
            return
        self._look = look
        self._bell.set()

    @property
    def looked(self) -> bool:
        """Whether there has been a look."""
        return self._look is not None

    async def next(self, seconds: float | None = None) -> Look | None:
        """Return the next look that brings news; None when the seconds pass without one."""
        try:
            await asyncio.wait_for(self._bell.wait(), seconds)
        except TimeoutError:
            return None
        self._bell.clear()
        return self._look


class Poller:
    """Looks at the work of all its waiters, tick by tick, until the last one leaves.

    :param build: makes the gateway; called in a thread, and again after credentials have expired.
    """

    def __init__(self, work: RemoteWork, build: BuildGateway) -> None:
        self.work = work
        self.calls = 0
        self.ticks = 0
        self._build = build
        self._bedrock: BedrockGateway | None = None
        self._waiters: set[Waiter] = set()
        self._newcomer = asyncio.Event()
        self._troubles = 0
        self._list_after = 0
        self._unseen_from = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def waiters(self) -> int:
        """How many waits share this poller."""
        return len(self._waiters)

    def join(self, waiter: Waiter) -> None:
        """Add a wait and look at it at once."""
        self._waiters.add(waiter)
        self._newcomer.set()
        if self._task is None or self._task.done():
            # A context of its own: otherwise every log line would go to the log of the task that came first.
            self._task = asyncio.get_running_loop().create_task(
                self._run(), name=f"poll {self.work.kind}", context=contextvars.Context()
            )

    def leave(self, waiter: Waiter) -> bool:
        """Remove a wait; returns True when nobody is left and the poller has ended."""
        self._waiters.discard(waiter)
        if self._waiters:
            return False
        if self._task is not None:
            self._task.cancel()
        return True

    async def _run(self) -> None:
        while self._waiters:
            self._newcomer.clear()
            began = time.monotonic()
            try:
                calm = await self._tick()
            except Exception as error:  # a defect here must not leave the waiters without a word
                self._tell_all(Look(trouble=Trouble.from_error(error)))
                calm = False
            self.ticks += 1
            self._troubles = 0 if calm else self._troubles + 1
            await self._pause(began)

    async def _pause(self, began: float) -> None:
        period = min((waiter.period for waiter in self._waiters), default=60.0)
        pause = next_pause(period, self._troubles, random.random())
        least = max(FIRST_LOOK_GAP, FIRST_LOOK_SHARE * (time.monotonic() - began))
        gap = min(pause, least * 2 ** min(self._troubles, 8))
        await asyncio.sleep(max(0.0, gap - (time.monotonic() - began)))
        left = pause - (time.monotonic() - began)
        if left > 0:
            try:
                await asyncio.wait_for(self._newcomer.wait(), left)
            except TimeoutError:
                return

    async def _tick(self) -> bool:
        """Look at everything once; returns False when the service was in trouble."""
        waiters = self._by_arn()
        try:
            if self._bedrock is None:
                self._bedrock = await in_thread(self._build)
            bedrock = self._bedrock
        except Exception as error:
            self._tell_all(Look(trouble=Trouble.from_error(error)))
            return False
        if len(waiters) < LIST_FROM or self.ticks < self._list_after:
            return await self._ask_each(bedrock, waiters, list(waiters))
        return await self._list_then_ask(bedrock, waiters)

    def _by_arn(self) -> dict[str, list[Waiter]]:
        waiters: dict[str, list[Waiter]] = {}
        for waiter in self._waiters:
            waiters.setdefault(waiter.arn, []).append(waiter)
        return waiters

    async def _list_then_ask(self, bedrock: BedrockGateway, waiters: dict[str, list[Waiter]]) -> bool:
        undated = [arn for arn, group in waiters.items() if all(w.since is None for w in group)]
        dated = set(waiters) - set(undated)
        seen: dict[str, JobSnapshot] = {}
        if dated:
            since = min(w.since for arn in dated for w in waiters[arn] if w.since is not None) - LIST_MARGIN
            try:
                seen = await in_thread(self._list, bedrock, since, dated)
            except ServiceAccessError:
                self._list_after = self.ticks + RECHECK_TICKS
            except Exception as error:
                self._note(error)
                self._tell_all(Look(trouble=Trouble.from_error(error)))
                return False
        ask = list(undated)
        unseen: list[str] = []
        for arn in dated:
            snapshot = seen.get(arn)
            if snapshot is None:
                unseen.append(arn)
            elif snapshot.ended:
                ask.append(arn)
            else:
                self._tell(waiters[arn], Look(snapshot=snapshot))
        return await self._ask_each(bedrock, waiters, ask + self._some(unseen))

    def _some(self, unseen: list[str]) -> list[str]:
        """Return a part of what the list did not show, another part each tick."""
        if len(unseen) <= UNSEEN_PER_TICK:
            return unseen
        unseen.sort()
        start = self._unseen_from % len(unseen)
        self._unseen_from += UNSEEN_PER_TICK
        return (unseen[start:] + unseen[:start])[:UNSEEN_PER_TICK]

    def _list(self, bedrock: BedrockGateway, since: datetime, wanted: set[str]) -> dict[str, JobSnapshot]:
        """Read pages until everything wanted was seen. Runs in a thread."""
        seen: dict[str, JobSnapshot] = {}
        pages = 0
        for page in self.work.list_pages(bedrock, since):
            pages += 1
            self.calls += 1
            seen.update((item.arn, item) for item in page if item.arn in wanted)
            if len(seen) == len(wanted):
                break
        if pages > len(wanted):
            self._list_after = self.ticks + RECHECK_TICKS
        return seen

    async def _ask_each(
        self, bedrock: BedrockGateway, waiters: dict[str, list[Waiter]], arns: list[str]
    ) -> bool:
        """Get each by itself, telling in portions; stops at the first sign that the service is in trouble."""
        for start in range(0, len(arns), 10):
            looks = await in_thread(self._get_some, bedrock, arns[start : start + 10])
            for arn, look in looks.items():
                self._tell(waiters[arn], look)
            if any(look.trouble and look.trouble.kind == "transient" for look in looks.values()):
                rest = Look(trouble=next(look.trouble for look in looks.values() if look.trouble))
                for arn in arns:
                    if arn not in looks:
                        self._tell([w for w in waiters[arn] if not w.looked], rest)
                return False
        return True

    def _get_some(self, bedrock: BedrockGateway, arns: Iterable[str]) -> dict[str, Look]:
        """Runs in a thread; ends early when the service is in trouble."""
        looks: dict[str, Look] = {}
        for arn in arns:
            self.calls += 1
            look = looks[arn] = look_once(lambda arn=arn: self.work.look(bedrock, arn))  # type: ignore[misc]
            if look.trouble is not None:
                self._note_trouble(look.trouble)
                if look.trouble.kind == "transient":
                    break
        return looks

    def _note(self, error: Exception) -> None:
        self._note_trouble(Trouble.from_error(error))

    def _note_trouble(self, trouble: Trouble) -> None:
        """Forget the client when it holds credentials that are no longer good."""
        if trouble.code in EXPIRED_CREDENTIAL_CODES or trouble.kind == "denied":
            self._bedrock = None

    def _tell_all(self, look: Look) -> None:
        self._tell(self._waiters, look)

    def _tell(self, waiters: Iterable[Waiter], look: Look) -> None:
        created = parse_time(look.snapshot.created_at) if look.snapshot else None
        for waiter in list(waiters):
            if created is not None:
                waiter.since = created
            waiter.tell(look)


_POLLERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[PollKey, Poller]] = WeakKeyDictionary()


def pollers() -> dict[PollKey, Poller]:
    """Return the pollers of the running event loop."""
    return _POLLERS.setdefault(asyncio.get_running_loop(), {})


@asynccontextmanager
async def subscribe(
    key: PollKey,
    arn: str,
    *,
    build: BuildGateway,
    period: float = 60.0,
    since: datetime | None = None,
) -> AsyncIterator[Waiter]:
    """Join the shared poll for one piece of work while the block runs.

    :param build: makes the gateway if this is the first wait under the key; runs in a thread.
    :param since: when the work was created, if known; the list begins there.
    """
    known: dict[PollKey, Any] = pollers()
    poller: Poller = known.setdefault(key, Poller(WORK[key.kind], build))
    waiter = Waiter(arn, period, since)
    poller.join(waiter)
    try:
        yield waiter
    finally:
        if poller.leave(waiter) and known.get(key) is poller:
            del known[key]
