"""The wait for a workload's turn: looks who has it and who stands before us, until it is worth trying to take it.

It takes nothing. A look that fails is "unknown, ask again". Constructors accept unknown arguments on purpose: a package
upgrade during a wait rebuilds yesterday's row with today's class. Never rename a class or an argument without an alias.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import conf
from airflow.triggers.base import TriggerEvent

from airflow_distill.aws.gateways import store_for
from airflow_distill.compat import count_working, is_run_active
from airflow_distill.hooks.bedrock import connection_arguments
from airflow_distill.triggers.connection import AwsTrigger
from airflow_distill.triggers.threads import in_thread
from airflow_distill.workload.turn import Runner, Turns


def former_ids() -> tuple[str, ...]:
    """Return how turns of earlier versions name this Airflow: by its base URL, empty when it has none."""
    return ("", str(conf.get("api", "base_url", fallback="") or ""))


IDLE = timedelta(hours=6)
"""A run that Airflow calls active and of which no task has worked for so long is not carried on by anybody."""


class Activity:
    """Answers whether a Dag run may still work, as seen from one Airflow, over a while.

    A run of another Airflow cannot be asked about, and an answer may fail to come: both count as active, because two
    runs at once are worse than a wait. A run of a Dag whose file was removed or renamed is `running` in Airflow's database
    for ever; it is told by its tasks, none of which works, and counts as gone after `IDLE`.

    :param me: who asks.
    :param former: how this Airflow named itself in turns before it had an id.
    :param idle: runs that have been seen idle for long enough already.
    """

    def __init__(
        self,
        me: Runner,
        log: Any,
        *,
        former: Collection[str] = (),
        idle: Iterable[Runner] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.me = me
        self._log = log
        self._former = {*former, me.airflow}
        self._now = now
        self._given_up = set(idle)
        self._idle_since: dict[Runner, datetime] = {}

    def __call__(self, runner: Runner) -> bool:
        if runner.airflow not in self._former:
            return True
        if replace(runner, airflow=self.me.airflow) == self.me:
            return False  # this very run, by the name it had before
        try:
            if not is_run_active(runner.dag_id, runner.run_id):
                return False
            working = count_working(runner.dag_id, runner.run_id)
        except Exception as error:
            self._log.warning("Airflow cannot say whether %s is active (%s).", runner, type(error).__name__)
            return True
        if working:
            self._idle_since.pop(runner, None)
            return True
        if runner in self._given_up:
            return False
        if runner not in self._idle_since:
            self._log.info("%s is active and none of its tasks works; it is given up after %s.", runner, IDLE)
        return self._now() - self._idle_since.setdefault(runner, self._now()) < IDLE

    @property
    def idle(self) -> list[Runner]:
        """The runs that were idle for so long that they count as gone."""
        return [runner for runner, since in self._idle_since.items() if self._now() - since >= IDLE]


class TurnFreeTrigger(AwsTrigger):
    """Waits until a workload's turn can be taken.

    Its event holds `status` (`free` or `timeout`), `deadline` and, where there are any, the runs that count as gone
    (`idle`).

    :param root: where the project keeps its objects.
    :param workload: the workload's name.
    :param runner: who waits, as `Runner`'s members.
    :param order: the time the run stands for.
    :param deadline: ISO 8601 UTC; the wait ends then with `timeout`. None waits for ever.
    :param poll_interval: seconds between looks.
    """

    def __init__(
        self,
        root: str = "",
        workload: str = "",
        runner: Mapping[str, str] | None = None,
        order: str = "",
        *,
        deadline: str | None = None,
        poll_interval: float = 60.0,
        **other: Any,
    ) -> None:
        super().__init__(**other)
        self.root = root
        self.workload = workload
        self.runner = Runner(**(runner or {"dag_id": "", "run_id": "", "task_id": ""}))
        self.order = order
        self.deadline = deadline
        self.poll_interval = float(poll_interval)
        self.activity = Activity(self.runner, self.log, former=former_ids())

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and plain arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "root": self.root,
            "workload": self.workload,
            "runner": asdict(self.runner),
            "order": self.order,
            "deadline": self.deadline,
            "poll_interval": self.poll_interval,
            **connection_arguments(self),
        }

    def turns(self) -> Turns:
        """Return the workload's turns; blocking, so it runs in a thread."""
        return Turns(store_for(self.gateways(), self.root), self.root, self.workload)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event when the turn is worth a try, or at the deadline."""
        told: dict[str, Any] = {"status": await self._wait(), "deadline": self.deadline}
        if self.activity.idle:
            told["idle"] = [asdict(runner) for runner in self.activity.idle]
        yield TriggerEvent(told)  # type: ignore[no-untyped-call]

    async def _wait(self) -> str:
        turns: Turns | None = None
        while True:
            try:
                if turns is None:
                    turns = await in_thread(self.turns)
                if await in_thread(turns.waits_for, self.runner, self.order, self.activity) is None:
                    return "free"
            except Exception as error:
                self.log.warning("The turns cannot be read (%s); asking again.", type(error).__name__)
                turns = None
            if self.deadline and datetime.now(UTC) >= datetime.fromisoformat(self.deadline):
                return "timeout"
            await asyncio.sleep(self.poll_interval)
