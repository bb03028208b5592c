"""One run of a workload at a time: take the turn before the loop, give it back after it.

The Dag's own `max_active_runs` does not bind Airflow's back-fills, and knows nothing of a second Dag that names the same
workload. The turn lies in the bucket and binds them all. Take it as a setup and give it back as its teardown: the
teardown also runs when the loop fails, and clearing a task of the loop with what follows it takes the turn anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from airflow_distill.aws.gateways import store_for
from airflow_distill.compat import airflow_id
from airflow_distill.hooks.bedrock import connection_arguments
from airflow_distill.operators.base import DistillOperator, airflow_errors, wall_clock
from airflow_distill.operators.note import note_exposure
from airflow_distill.stages.storage import ObjectExistsError, join_uri
from airflow_distill.triggers.base import deadline_text
from airflow_distill.triggers.turn import Activity, TurnFreeTrigger, former_ids
from airflow_distill.workload.turn import Runner, Turns


class TakeTurnOperator(DistillOperator):
    """Wait in the triggerer until no other run of the workload is between this task and `EndTurnOperator`.

    Runs that wait go in the order of the time they stand for. A turn whose Dag run has ended without giving it back, was
    deleted, or has had no working task for six hours (its Dag's file was removed or renamed), is taken over.
    Returns a `turn` receipt.

    :param workload: the workload's name; all runs that name it take turns, whatever their Dag (templated).
    :param root: where the project keeps its objects, `s3://bucket/prefix` (templated).
    :param order: the time the run stands for (templated).
    :param waiter_delay: seconds between looks (templated).
    :param wait_timeout: how long to wait before the task fails; None waits for ever.
    """

    template_fields: Sequence[str] = aws_template_fields("workload", "root", "order", "waiter_delay")

    def __init__(
        self,
        *,
        workload: str,
        root: str,
        order: Any = "{{ dag_run.partition_date or dag_run.run_after }}",
        waiter_delay: float = 60.0,
        wait_timeout: timedelta | None = timedelta(days=30),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.order = order
        self.waiter_delay = waiter_delay
        self.wait_timeout = wait_timeout

    def work(self, context: Any) -> dict[str, Any]:
        """Take the turn, or begin to wait for it; a run of a retired workload ends here."""
        from airflow_distill.aws.retire import read_retirement

        retired = read_retirement(store_for(self.gateways, self.root), self.root, self.workload)
        if retired is not None:
            raise AirflowSkipException(
                f"workload: {self.workload} was retired at {retired.at} by {retired.by}; nothing was done."
            )
        deadline = None if self.wait_timeout is None else deadline_text(wall_clock() + self.wait_timeout)
        return self._take_or_defer(context, deadline)

    def execute_complete(self, context: Any, event: Any = None) -> dict[str, Any]:
        """Try again, and wait on if another run was quicker; fail at the deadline."""
        found = event if isinstance(event, Mapping) else {}
        with airflow_errors():
            if found.get("status") == "timeout":
                turns(self).leave(runner_of(context), self._order())
                raise AirflowSensorTimeout(
                    f"workload: {self.workload} was busy for {self.wait_timeout}; nothing was done."
                )
            return self._take_or_defer(context, found.get("deadline"), found.get("idle") or ())

    def _take_or_defer(
        self, context: Any, deadline: str | None, idle: Sequence[Mapping[str, str]] = ()
    ) -> dict[str, Any]:
        me, order = runner_of(context), self._order()
        gone = [Runner(**runner) for runner in idle]
        turn = turns(self).take(me, order, Activity(me, self.log, former=former_ids(), idle=gone))
        if turn.runner == me:
            note_airflow(self, me)
            self.log.info("The turn is ours (%d).", turn.number)
            return {"kind": "turn", "v": 1, "workload": self.workload, "turn": turn.number}
        self.log.info("Waiting for %s.", turn.runner)
        self.defer(
            trigger=TurnFreeTrigger(
                root=self.root,
                workload=self.workload,
                runner=asdict(me),
                order=order,
                deadline=deadline,
                poll_interval=self.waiter_delay,
                **connection_arguments(self),
            ),
            method_name="execute_complete",
        )

    def _order(self) -> str:
        """Return the run's time as text that sorts and may stand in a key."""
        moment = self.order if isinstance(self.order, datetime) else datetime.fromisoformat(str(self.order))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


class EndTurnOperator(DistillOperator):
    """Give the workload's turn back, so that the next run may take it. Make it the teardown of `TakeTurnOperator`.

    Returns a `turn-end` receipt.

    :param workload: the workload's name (templated).
    :param root: where the project keeps its objects, `s3://bucket/prefix` (templated).
    :param turn: the `turn` receipt (templated).
    :param prices: URI, path or content of a price table that lies over the packaged one, for what still bills; it is
        written into the workload's status (templated).
    :param student_prices: prices of the student by item, in the table's units, before both (templated).
    """

    template_fields: Sequence[str] = aws_template_fields(
        "workload", "root", "turn", "prices", "student_prices"
    )
    may_be_missing = frozenset({"turn"})

    def __init__(
        self,
        *,
        workload: str,
        root: str,
        turn: Any,
        prices: Any = None,
        student_prices: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.turn = turn
        self.prices = prices
        self.student_prices = student_prices

    def as_teardown(self, **settings: Any) -> Any:
        """Make this the teardown of what takes the turn; it also runs when that was failed after it had taken it."""
        super().as_teardown(**settings)
        self.trigger_rule = TriggerRule.ALL_DONE
        return self

    def work(self, context: Any) -> dict[str, Any]:
        """Note the end; without a receipt, of the turn that this Dag run has."""
        number = int(self.turn["turn"]) if self.turn else turns(self).number_of(runner_of(context))
        if number is None:
            raise AirflowSkipException(f"workload: this run has no turn of {self.workload}.")
        turns(self).end(number)
        self.log.info("The turn is given back (%d).", number)
        note_exposure(self)
        return {"kind": "turn-end", "v": 1, "workload": self.workload, "turn": number}


def turns(operator: Any) -> Turns:
    """Return the turns of an operator's workload."""
    return Turns(store_for(operator.gateways, operator.root), operator.root, operator.workload)


def runner_of(context: Any) -> Runner:
    """Return who takes turns in this task."""
    ti = context["ti"]
    return Runner(ti.dag_id, ti.run_id, ti.task_id, airflow_id())


def note_airflow(operator: Any, me: Runner) -> None:
    """Write once into the bucket which Airflow an id belongs to, for people who read a turn or a tag."""
    if not me.airflow:
        return
    store, uri = (
        store_for(operator.gateways, operator.root),
        join_uri(operator.root, "airflows", f"{me.airflow}.json"),
    )
    known = {"v": 1, "id": me.airflow, "base_url": former_ids()[-1], "first_dag": me.dag_id}
    try:
        store.write(uri, json.dumps(known, indent=1).encode(), if_absent=True)
    except ObjectExistsError:
        return
