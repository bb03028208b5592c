"""What every operator and sensor of the package shares: the hook, errors, the retry policy, buying once and waiting.

Connection parameters are documented here once, and in the reference page. `DistillOperator` is for work that ends within
the task; `WaitingOperator` adds what outlives it: find, adopt or submit, then defer or block, and stop only on purpose.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import random
from typing import Any, ClassVar, Literal

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.remote_work import WORK
from airflow_distill.compat import NEVER_EXPIRE, airflow_id, ask_task_state
from airflow_distill.errors import TurnLostError
from airflow_distill.hooks.bedrock import BedrockDistillHook, connection_arguments
from airflow_distill.operators.note import note_step, noted
from airflow_distill.operators.observe import Lineage, count
from airflow_distill.operators.task import DistillRetryPolicy, DistillTask, airflow_errors, noted_skips
from airflow_distill.remote.hosts import aimed_at
from airflow_distill.remote.identity import run_tag, runner_name
from airflow_distill.remote.polling import (
    Outcome,
    WaitPolicy,
    deadline_after,
    deadline_of_new,
    outcome_error,
    wait_blocking,
)
from airflow_distill.remote.records import JobSnapshot, Kind
from airflow_distill.remote.submit import Memo, Submission, Wish, find_adopt_or_submit
from airflow_distill.triggers.base import FINAL_STATES, RemoteWorkTrigger, deadline_text

OnDeadline = Literal["leave", "stop"]
"""What becomes of remote work whose time is over: it goes on, or it is stopped."""

__all__ = [
    "DistillOperator",
    "DistillRetryPolicy",
    "OnDeadline",
    "WaitingOperator",
    "airflow_errors",
    "read_memo",
    "run_key",
    "runner_key",
    "wall_clock",
    "write_memo",
]


class DistillOperator(Lineage, DistillTask, AwsBaseOperator[BedrockDistillHook]):
    """Base of the package's operators.

    :param aws_conn_id: the Airflow connection for AWS (templated).
    :param region_name: AWS Region; the connection's when left out (templated).
    :param verify: TLS verification, as the SDK takes it (templated).
    :param botocore_config: settings for the SDK client.
    """

    aws_hook_class = BedrockDistillHook
    template_fields: Sequence[str] = aws_template_fields()
    needs_turn: ClassVar[bool] = False
    """Whether it buys or changes something: a run whose turn was taken from it may not, see `TakeTurnOperator`."""

    @property
    def gateways(self) -> AwsGateways:
        """The gateways of this task's connection."""
        return self.hook.gateways

    def execute(self, context: Any) -> Any:
        """Run the operator's own work with arguments read and errors translated."""
        with noted_skips(context), noted(self, context), airflow_errors():
            self.settle()
            refuse_lost_turn(self, context)
            receipt = self.work(context)
        count(receipt)
        note_step(self, context, receipt)
        return receipt

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Go on after a deferral, unless the run's turn was taken from it meanwhile."""
        with airflow_errors():
            refuse_lost_turn(self, context)
        return super().resume_execution(next_method, next_kwargs, context)

    def work(self, context: Any) -> Any:
        """What the operator does; returns its receipt as a plain dict."""
        raise NotImplementedError(type(self).__name__)


def refuse_lost_turn(operator: Any, context: Any) -> None:
    """Stop a task that buys or changes something when its run was given up and another one has taken the workload over.

    :raises TurnLostError: so it is. Nothing was changed.
    """
    if not operator.needs_turn or not operator.root or "ti" not in context:
        return
    from airflow_distill.operators.turn import runner_of, turns

    taken = turns(operator).lost_to(runner_of(context))
    if taken is not None:
        raise TurnLostError(
            f"workload: this run was given up, and {taken} has taken {operator.workload} over; nothing was changed.",
            hint="Clear this run from the task that takes the turn (start.take_turn), with what follows it.",
        )


def wall_clock() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


def run_key(context: Any) -> str:
    """Return what names this Dag run in tags."""
    ti = context["ti"]
    return run_tag(str(ti.dag_id), str(ti.run_id))


def runner_key(context: Any) -> str:
    """Return what names this Dag run among those of all Airflows that share the root; in releases and names of hosts."""
    return runner_name(run_key(context), airflow_id())


def read_memo(context: Any, key: str, log: Any) -> Memo | None:
    """Return what an earlier try noted in Airflow's task state store; a store that fails is no store."""
    store = context.get("task_state_store")
    if store is None:
        return None
    try:
        return Memo.from_json(store.get(key))
    except Exception as error:
        log.warning("The task state store cannot be read (%s); the service is asked instead.", error)
        return None


def write_memo(context: Any, key: str, memo: Memo, log: Any) -> None:
    """Note down what was bought, for ever; a store that fails costs only a few look-ups in a later try."""
    store = context.get("task_state_store")
    if store is None:
        return
    try:
        store.set(key, memo.to_json(), retention=NEVER_EXPIRE)
    except Exception as error:
        log.warning("The task state store cannot be written (%s); a later try will look the name up.", error)


class StopsWhenKilled:
    """Stops the remote work that a task watches in its own process when a user ends the task; nothing else stops it.

    Whoever waits sets `_watched_arn` while it does. What waits in the triggerer is stopped by the trigger instead.
    """

    kind: ClassVar[Kind]
    log: Any
    cancel_on_kill: Any
    _watched_arn = ""

    def on_kill(self) -> None:
        """Stop the work when a user has ended this blocking task, and only then.

        The signal also comes when a worker shuts down, so the task's state is asked first, in a thread of its own with a
        short limit: the process is about to be killed, and a state that cannot be read means "do not stop".
        """
        stop = WORK[self.kind].stop
        if not self.cancel_on_kill or not self._watched_arn or stop is None:
            return
        worker = threading.Thread(target=self._stop_if_ended, args=(stop,), daemon=True)
        worker.start()
        worker.join(timeout=20.0)

    def _stop_if_ended(self: Any, stop: Callable[[Any, str], None]) -> None:
        try:
            from airflow.sdk import get_current_context

            state = ask_task_state(get_current_context()["ti"])
        except Exception as error:
            self.log.warning(
                "The task's state cannot be read (%s): leaving %s alone.", error, self._watched_arn
            )
            return
        if state not in FINAL_STATES:
            self.log.info("The task is %s: leaving %s alone.", state, self._watched_arn)
            return
        self.log.info("The task is %s: stopping %s.", state, self._watched_arn)
        stop(self.gateways.bedrock, self._watched_arn)


class WaitingOperator(StopsWhenKilled, DistillOperator):
    """Base of operators that create something once and may wait for it for days.

    A subclass gives `kind`, `trigger_class`, a `receipt` method, and in `work` calls `buy_once` and then `wait_for`.

    :param wait_for_completion: wait until the work has ended; otherwise return once it is submitted (templated).
    :param deferrable: wait in the triggerer, which frees the worker slot (templated).
    :param waiter_delay: seconds between looks (templated).
    :param wait_timeout: how long the work may take, counted from its creation by the service, across retries (templated).
    :param on_deadline: `leave` it running when the time is over, or `stop` it (templated).
    :param cancel_on_kill: stop it when a user marks the task failed or successful while it waits (templated).
    """

    kind: ClassVar[Kind]
    trigger_class: ClassVar[type[RemoteWorkTrigger]]
    memo_key: ClassVar[str] = "distill_submission"
    template_fields: Sequence[str] = aws_template_fields(
        "wait_for_completion",
        "deferrable",
        "waiter_delay",
        "wait_timeout",
        "on_deadline",
        "cancel_on_kill",
    )

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        deferrable: bool = True,
        waiter_delay: float = 60.0,
        wait_timeout: timedelta | None = timedelta(days=8),
        on_deadline: OnDeadline = "leave",
        cancel_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay
        self.wait_timeout = wait_timeout
        self.on_deadline = on_deadline
        self.cancel_on_kill = cancel_on_kill

    _just_bought = False

    def fault(self, point: str) -> None:
        """Do nothing at a named point of submitting; tests kill the process there."""

    def pause(self, seconds: float) -> None:
        """Sleep between looks of the blocking path and of submitting."""
        time.sleep(seconds)

    def receipt(self, snapshot: JobSnapshot, carry: Mapping[str, Any]) -> dict[str, Any]:
        """Return the receipt for the last look; `carry` is what the task knew before it deferred."""
        raise NotImplementedError(type(self).__name__)

    def show(self, context: Any, snapshot: JobSnapshot) -> None:
        """Store links for the work; called before deferring and after the end."""

    def buy_once(
        self,
        context: Any,
        wish: Wish,
        *,
        max_generations: int | None = None,
        first_generation: int = 1,
        buy_when_spent: bool = False,
    ) -> Submission:
        """Find, adopt or submit, and note down what came of it."""
        submission = find_adopt_or_submit(
            wish,
            now=wall_clock,
            sleep=self.pause,
            max_generations=max_generations,
            first_generation=first_generation,
            buy_when_spent=buy_when_spent,
            memo=read_memo(context, self.memo_key, self.log),
            fault=self.fault,
        )
        did = "Adopted" if submission.adopted else "Submitted"
        self._just_bought = not submission.adopted
        snapshot = submission.snapshot
        self.log.info(
            "%s %s %s (generation %s, %s): %s",
            did,
            snapshot.kind,
            snapshot.name,
            submission.generation,
            snapshot.status,
            snapshot.arn,
        )
        self.fault("before-remember")
        write_memo(context, self.memo_key, submission.memo, self.log)
        self.fault("after-remember")
        return submission

    def wait_for(
        self,
        context: Any,
        snapshot: JobSnapshot,
        carry: Mapping[str, Any],
        *,
        expect_model_arn: str | None = None,
    ) -> dict[str, Any]:
        """Wait for the work if the author wants it, in the triggerer or here, and return the receipt."""
        self.show(context, snapshot)
        snapshot = aimed_at(snapshot, expect_model_arn)
        if not self.wait_for_completion:
            return self.receipt(snapshot, carry)
        if snapshot.state == "succeeded":
            return self.finish(context, Outcome("success", snapshot=snapshot), carry)
        deadline_from = deadline_of_new if self._just_bought else deadline_after
        deadline = deadline_from(snapshot.created_at, self.wait_timeout, wall_clock())
        if self.deferrable:
            self.fault("before-defer")
            self.defer(
                trigger=self.trigger_for(snapshot, deadline, carry, expect_model_arn),
                method_name="execute_complete",
            )
        return self.finish(context, self._block(snapshot, deadline, expect_model_arn), carry)

    def trigger_for(
        self,
        snapshot: JobSnapshot,
        deadline: datetime | None,
        carry: Mapping[str, Any],
        expect_model_arn: str | None = None,
    ) -> RemoteWorkTrigger:
        """Return the trigger that goes on waiting with this operator's own connection settings."""
        return self.trigger_class(
            arn=snapshot.arn,
            deadline=deadline_text(deadline),
            on_deadline=self.on_deadline,
            poll_interval=self.waiter_delay,
            created_at=snapshot.created_at,
            cancel_on_kill=self.cancel_on_kill,
            expect_model_arn=expect_model_arn,
            carry=dict(carry),
            **connection_arguments(self),
        )

    def _block(
        self, snapshot: JobSnapshot, deadline: datetime | None, expect_model_arn: str | None
    ) -> Outcome:
        self._watched_arn = snapshot.arn
        work, bedrock = WORK[self.kind], self.gateways.bedrock
        outcome = wait_blocking(
            lambda: aimed_at(work.look(bedrock, snapshot.arn), expect_model_arn),
            policy=WaitPolicy(deadline=deadline),
            now=wall_clock,
            sleep=self.pause,
            period=self.waiter_delay,
            jitter=random,
            progress=self.log.info,
        )
        self._watched_arn = ""
        if outcome.status == "timeout" and self.on_deadline == "stop" and work.stop is not None:
            work.ask_to_stop(bedrock, snapshot.arn)
            return Outcome("timeout", outcome.snapshot, outcome.trouble, stop_requested=True)
        return outcome

    def execute_complete(self, context: Any, event: Any = None) -> dict[str, Any]:
        """Resume after the deferred wait; the event holds everything, so no further call can fail a finished job."""
        carry = event.get("carry") if isinstance(event, Mapping) else None
        with airflow_errors():
            receipt = self.finish(context, Outcome.from_event(event, self.kind), carry or {})
        count(receipt)
        return receipt

    def finish(self, context: Any, outcome: Outcome, carry: Mapping[str, Any]) -> dict[str, Any]:
        """Return the receipt of a success; raise everything else as what it is."""
        error = outcome_error(outcome, f"{self.kind} of task {self.task_id}")
        if error is not None:
            raise error
        assert outcome.snapshot is not None
        self.show(context, outcome.snapshot)
        return self.receipt(outcome.snapshot, carry)
