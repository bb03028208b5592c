"""The wait for a workload's turn: looks who has it and who stands before us, until it is worth trying to take it.

It takes nothing. A look that fails is "unknown, ask again". Constructors accept unknown arguments on purpose: a package
upgrade during a wait rebuilds yesterday's row with today's class. Never rename a class or an argument without an alias.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import TriggerEvent

from airflow_distill.aws.gateways import store_for
from airflow_distill.compat import is_run_active
from airflow_distill.hooks.bedrock import connection_arguments
from airflow_distill.triggers.connection import AwsTrigger
from airflow_distill.triggers.threads import in_thread
from airflow_distill.workload.turn import IsActive, Runner, Turns


def active_seen_from(me: Runner, log: Any) -> IsActive:
    """Return the question whether a Dag run may still work.

    A run of another Airflow cannot be asked about, and an answer may fail to come: both count as active, because two
    runs at once are worse than a wait.
    """

    def is_active(runner: Runner) -> bool:
        if runner.airflow != me.airflow:
            return True
        try:
            return is_run_active(runner.dag_id, runner.run_id)
        except Exception as error:
            log.warning("Airflow cannot say whether %s is active (%s).", runner, type(error).__name__)
            return True

    return is_active


class TurnFreeTrigger(AwsTrigger):
    """Waits until a workload's turn can be taken.

    Its event holds `status` (`free` or `timeout`) and `deadline`.

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
        yield TriggerEvent({"status": await self._wait(), "deadline": self.deadline})  # type: ignore[no-untyped-call]

    async def _wait(self) -> str:
        turns: Turns | None = None
        while True:
            try:
                if turns is None:
                    turns = await in_thread(self.turns)
                is_active = active_seen_from(self.runner, self.log)
                if await in_thread(turns.waits_for, self.runner, self.order, is_active) is None:
                    return "free"
            except Exception as error:
                self.log.warning("The turns cannot be read (%s); asking again.", type(error).__name__)
                turns = None
            if self.deadline and datetime.now(UTC) >= datetime.fromisoformat(self.deadline):
                return "timeout"
            await asyncio.sleep(self.poll_interval)
