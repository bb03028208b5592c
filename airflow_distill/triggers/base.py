"""The wait that all remote work shares: one trigger class, a subclass for each kind.

A trigger joins the shared poll, hands every look to the pure decision and yields exactly one event, then returns. It
never raises for the service. Its deadline is a moment in its arguments, so a restart, a redistribution or a retry does
not move it.

Constructors accept old spellings and unknown arguments on purpose: a package upgrade in the middle of a five-day wait
rebuilds yesterday's row with today's class. Never rename a class or an argument here without an alias.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal
from weakref import WeakSet

from airflow.triggers.base import TriggerEvent

from airflow_distill.aws.bedrock import BedrockGateway
from airflow_distill.aws.remote_work import WORK
from airflow_distill.compat import ask_task_state_async
from airflow_distill.hooks.bedrock import connection_arguments
from airflow_distill.remote.hosts import aimed_at
from airflow_distill.remote.polling import (
    Look,
    Outcome,
    Trouble,
    WaitMemory,
    WaitPolicy,
    decide,
    look_once,
    parse_time,
    told_line,
)
from airflow_distill.remote.records import Kind
from airflow_distill.remote.times import iso
from airflow_distill.triggers.connection import AwsTrigger
from airflow_distill.triggers.poller import PollKey, subscribe
from airflow_distill.triggers.threads import in_thread

OnDeadline = Literal["leave", "stop"]

FINAL_STATES = frozenset({"failed", "success", "skipped", "upstream_failed", "removed"})
"""Task states in which nobody waits any longer. In every other one, or an unknown one, the job is left alone."""

_ALIASES: Mapping[str, str] = {
    "job_arn": "arn",
    "identifier": "arn",
    "provisioned_model_arn": "arn",
    "deployment_arn": "arn",
    "waiter_delay": "poll_interval",
    "conn_id": "aws_conn_id",
    "region": "region_name",
    "submitted_at": "created_at",
}


_TASKS: set[asyncio.Task[Any]] = set()
_READIED: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def _kept(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Start a task that nothing but its own end can drop."""
    task = asyncio.get_running_loop().create_task(work)
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)
    return task


class RemoteWorkTrigger(AwsTrigger):
    """Waits until one piece of remote work has ended, sharing its polls with all waits of its kind.

    Its event is `remote.polling.Outcome.to_json()` and what it was given to `carry`.

    :param arn: what to wait for.
    :param deadline: ISO 8601 UTC; the wait ends then with "timeout". None waits for ever.
    :param on_deadline: `leave` the job running, or `stop` it.
    :param poll_interval: seconds between looks; the shortest of all waits that share a poll counts.
    :param created_at: when the work was created, if known; makes the shared list shorter.
    :param cancel_on_kill: stop the job when a user marks the task failed or successful.
    :param expect_model_arn: for hosts: the model they must serve to count as ready.
    :param carry: small plain data that comes back in the event under `carry`: all that the resumed task remembers.
    """

    kind: ClassVar[Kind]
    settle_seconds: ClassVar[float] = 5.0
    """The event is held back so long after the wait began. Airflow 3.3.2's scheduler takes a task that resumes before the
    executor's report of its deferral was read for one that died, and retries it (seen on a busy two-core machine)."""
    ask_ahead_after: ClassVar[float] = 30.0
    shortest_last_look: ClassVar[float] = 5.0

    def __init__(
        self,
        arn: str = "",
        *,
        deadline: str | None = None,
        on_deadline: str = "leave",
        poll_interval: float = 60.0,
        created_at: str = "",
        cancel_on_kill: bool = False,
        expect_model_arn: str | None = None,
        carry: Mapping[str, Any] | None = None,
        **other: Any,
    ) -> None:
        super().__init__(**other)
        self.arn = arn
        self.deadline = deadline
        self.on_deadline = on_deadline
        self.poll_interval = poll_interval
        self.created_at = created_at
        self.cancel_on_kill = cancel_on_kill
        self.expect_model_arn = expect_model_arn
        self.carry = dict(carry or {})
        for name, value in other.items():
            if name in _ALIASES:
                setattr(self, _ALIASES[name], value)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and plain arguments; what is stored must be readable by every later version."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {
            "arn": self.arn,
            "deadline": self.deadline,
            "on_deadline": self.on_deadline,
            "poll_interval": self.poll_interval,
            "created_at": self.created_at,
            "cancel_on_kill": self.cancel_on_kill,
            "expect_model_arn": self.expect_model_arn,
            "carry": self.carry,
            **connection_arguments(self),
        }

    def gateway(self) -> BedrockGateway:
        """Build the gateway of this wait's connection; blocking, so it runs in a thread."""
        return self.gateways().bedrock

    def now(self) -> datetime:
        """Return the present time."""
        return datetime.now(UTC)

    @property
    def poll_key(self) -> PollKey:
        """What this wait must share with another to share its poll."""
        return PollKey(
            self.kind,
            self.aws_conn_id,
            self.region_name,
            repr(self.verify),
            json.dumps(self.botocore_config, sort_keys=True, default=repr),
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event when the work has ended or the deadline has passed."""
        settled = asyncio.get_running_loop().time() + self.settle_seconds
        try:
            outcome = await self._wait()
        except Exception as error:  # a defect must reach the task as a word it can act on
            self.log.exception("The wait broke off")
            outcome = Outcome("unreadable", trouble=Trouble.from_error(error))
        await asyncio.sleep(settled - asyncio.get_running_loop().time())
        yield TriggerEvent({**outcome.to_json(), "carry": self.carry})  # type: ignore[no-untyped-call]

    async def _wait(self) -> Outcome:
        self._ready_for_kill()
        policy = WaitPolicy(deadline=parse_time(self.deadline) if self.deadline else None)
        memory, told = WaitMemory(), ""
        async with subscribe(
            self.poll_key,
            self.arn,
            build=self.gateway,
            period=float(self.poll_interval),
            since=parse_time(self.created_at),
        ) as waiter:
            while True:
                look = await waiter.next(policy.seconds_left(self.now()))
                if look is None:
                    look = await self._last_look()
                look = self._aimed(look)
                outcome, memory = decide(look, memory, policy, self.now())
                line = told_line(look, memory)
                if line != told:
                    self.log.info(line)
                    told = line
                if outcome is not None:
                    break
        return await self._after_deadline(outcome) if outcome.status == "timeout" else outcome

    def _aimed(self, look: Look) -> Look:
        return Look(aimed_at(look.snapshot, self.expect_model_arn)) if look.snapshot else look

    async def _last_look(self) -> Look:
        """Look once more when the deadline has come: what ended in time counts as ended.

        A service that hangs does not move the deadline by more than an interval.
        """
        look = in_thread(look_once, lambda: WORK[self.kind].look(self.gateway(), self.arn))
        try:
            return await asyncio.wait_for(look, max(self.poll_interval, self.shortest_last_look))
        except TimeoutError:
            return Look(trouble=Trouble("transient", "", "no answer in time"))

    async def _after_deadline(self, outcome: Outcome) -> Outcome:
        if self.on_deadline != "stop":
            return outcome
        return Outcome("timeout", outcome.snapshot, outcome.trouble, stop_requested=await self._stop())

    async def _stop(self, attempts: int = 5, pause: float = 2.0) -> bool:
        """Ask the service to stop the job; returns whether it agreed."""
        work = WORK[self.kind]
        if work.stop is None:
            return False
        for attempt in range(attempts):
            try:
                await in_thread(lambda: work.ask_to_stop(self.gateway(), self.arn))
            except Exception as error:
                self.log.warning("Stopping %s failed: %s", self.arn, error)
                await asyncio.sleep(pause * 2**attempt)
            else:
                self.log.info("Asked %s to stop.", self.arn)
                return True
        return False

    async def on_kill(self) -> None:
        """Stop the job when a user has ended the task, and only then.

        Airflow also calls this when a user clears the task (the new try adopts the job) and when another triggerer has
        taken the wait over. So the task's state is asked first; one that cannot be read means: do not stop. Airflow gives
        up on this method after half a minute; the work itself is shielded and goes on.
        """
        if self.cancel_on_kill and WORK[self.kind].stop is not None:
            await asyncio.shield(_kept(self._stop_if_ended()))

    async def _stop_if_ended(self) -> None:
        state = await self._task_state()
        if state in FINAL_STATES:
            self.log.info("The task is %s: stopping %s.", state, self.arn)
            await self._stop(attempts=3)
        else:
            self.log.info("The task is %s: leaving %s alone.", state or "in no known state", self.arn)

    def _ready_for_kill(self) -> None:
        """Ask for a task's state once in this triggerer, long before it matters, but not while it starts.

        The first question makes Airflow build its API inside the triggerer, which takes seconds (27 s on a busy machine);
        in `on_kill` they would be missing. Meanwhile the triggerer neither reports that it lives nor ends when told.
        """
        loop = asyncio.get_running_loop()
        if self.cancel_on_kill and self.task_instance is not None and loop not in _READIED:
            _READIED.add(loop)
            _kept(self._ask_ahead())

    async def _ask_ahead(self) -> None:
        await asyncio.sleep(self.ask_ahead_after)
        await self._task_state()

    async def _task_state(self) -> str | None:
        """Return the task's state as Airflow's database has it now; None when there is none or it cannot be read."""
        ti: Any = self.task_instance
        if ti is None:
            return None
        try:
            return await ask_task_state_async(ti)
        except Exception as error:
            self.log.warning("The task's state cannot be read: %s", error)
            return None


def deadline_text(deadline: datetime | None) -> str | None:
    """Return a deadline as triggers store it."""
    return iso(deadline) if deadline else None
