"""The sensor that all remote work shares.

It looks once; if the work still runs it defers to the shared trigger, or pokes. It resumes through `execute_complete`,
which reads the event, so a wait that timed out can never pass for a success.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk.bases.sensor import PokeReturnValue

from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.remote_work import WORK
from airflow_distill.errors import ConfigurationError
from airflow_distill.hooks.bedrock import BedrockDistillHook, connection_arguments
from airflow_distill.operators.base import OnDeadline, StopsWhenKilled, wall_clock
from airflow_distill.operators.task import DistillTask, airflow_errors
from airflow_distill.remote.hosts import aimed_at
from airflow_distill.remote.polling import (
    Look,
    Outcome,
    WaitMemory,
    WaitPolicy,
    deadline_after,
    decide,
    look_once,
    outcome_error,
    parse_time,
    told_line,
)
from airflow_distill.remote.records import JobSnapshot, Kind
from airflow_distill.triggers.base import RemoteWorkTrigger, deadline_text


class RemoteWorkSensor(StopsWhenKilled, DistillTask, AwsBaseSensor[BedrockDistillHook]):
    """Base of sensors for remote work. Subclasses give `kind`, `trigger_class`, `identifier` and `receipt`.

    :param deferrable: wait in the triggerer, which frees the worker slot (templated).
    :param waiter_delay: seconds between looks (templated).
    :param wait_timeout: how long the work may take, counted from its creation by the service (templated).
    :param on_deadline: `leave` it running when the time is over, or `stop` it (templated).
    :param cancel_on_kill: stop it when a user marks the task failed or successful while it waits (templated). Off, since a
        sensor may watch what somebody else started; switch it on where the same Dag started it.
    """

    aws_hook_class = BedrockDistillHook
    kind: ClassVar[Kind]
    trigger_class: ClassVar[type[RemoteWorkTrigger]]
    template_fields: Sequence[str] = aws_template_fields(
        "deferrable", "waiter_delay", "wait_timeout", "on_deadline", "cancel_on_kill"
    )

    def __init__(
        self,
        *,
        deferrable: bool = True,
        waiter_delay: float = 60.0,
        wait_timeout: timedelta | None = timedelta(days=8),
        on_deadline: OnDeadline = "leave",
        cancel_on_kill: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay
        self.wait_timeout = wait_timeout
        self.on_deadline = on_deadline
        self.cancel_on_kill = cancel_on_kill
        self._memory = WaitMemory()
        self._told = ""

    @property
    def gateways(self) -> AwsGateways:
        """The gateways of this task's connection."""
        return self.hook.gateways

    def identifier(self) -> str:
        """Return the ARN or name of what is waited for, from the rendered arguments."""
        raise NotImplementedError(type(self).__name__)

    def expected_model(self) -> str | None:
        """Return the model that a host must serve, if any."""
        return None

    def carry(self) -> dict[str, Any]:
        """Return what the receipt needs beside the last look."""
        return {}

    def receipt(self, snapshot: JobSnapshot, carry: Mapping[str, Any]) -> dict[str, Any]:
        """Return the receipt for the last look."""
        raise NotImplementedError(type(self).__name__)

    def show(self, context: Any, snapshot: JobSnapshot) -> None:
        """Store links for the work."""

    def look(self) -> JobSnapshot:
        """Look at the work once, now."""
        snapshot = WORK[self.kind].look(self.gateways.bedrock, self.identifier())
        return aimed_at(snapshot, self.expected_model())

    def execute(self, context: Any) -> Any:
        """Look once; defer while the work runs, or poke as every sensor does."""
        with airflow_errors():
            self.settle()
        if not self.deferrable:
            return super().execute(context)
        with airflow_errors():
            seen = look_once(self.look)
            snapshot = seen.snapshot
            if snapshot is None or not snapshot.ended:
                self._defer_for(context, snapshot, seen)
            assert snapshot is not None
            return self._finish(context, _ended(snapshot), self.carry())

    def _defer_for(self, context: Any, snapshot: JobSnapshot | None, seen: Look) -> None:
        if snapshot is not None:
            self.show(context, snapshot)
        arn = snapshot.arn if snapshot else self.identifier()
        if not arn.startswith("arn:"):
            raise ConfigurationError(
                f"{self.kind}: {arn} could not be looked up: {seen.trouble.message if seen.trouble else ''}",
                hint="Name it by its ARN, which can be waited for while the service is away.",
            )
        created_at = snapshot.created_at if snapshot else ""
        self.defer(
            trigger=self.trigger_class(
                arn=arn,
                deadline=deadline_text(deadline_after(created_at, self.wait_timeout, wall_clock())),
                on_deadline=self.on_deadline,
                poll_interval=self.waiter_delay,
                created_at=created_at,
                cancel_on_kill=self.cancel_on_kill,
                expect_model_arn=self.expected_model(),
                carry=self.carry(),
                **connection_arguments(self),
            ),
            method_name="execute_complete",
        )

    def execute_complete(self, context: Any, event: Any = None) -> dict[str, Any]:
        """Resume after the deferred wait: only an event that says success, with a snapshot that agrees, succeeds."""
        carry = event.get("carry") if isinstance(event, Mapping) else None
        with airflow_errors():
            return self._finish(context, Outcome.from_event(event, self.kind), carry or {})

    def poke(self, context: Any) -> PokeReturnValue:
        """Look once; done only when the service says succeeded."""
        with airflow_errors():
            now = wall_clock()
            seen = look_once(self.look)
            self._watched_arn = seen.snapshot.arn if seen.snapshot else self._watched_arn
            created = seen.snapshot.created_at if seen.snapshot else ""
            policy = WaitPolicy(deadline=deadline_after(created, self.wait_timeout, now) if created else None)
            outcome, self._memory = decide(seen, self._memory, policy, now)
            line = told_line(seen, self._memory)
            if line != self._told:
                self.log.info(line)
                self._told = line
            if outcome is None:
                return PokeReturnValue(is_done=False)
            return PokeReturnValue(is_done=True, xcom_value=self._finish(context, outcome, self.carry()))

    def _finish(self, context: Any, outcome: Outcome, carry: Mapping[str, Any]) -> dict[str, Any]:
        error = outcome_error(outcome, f"{self.kind} of task {self.task_id}")
        if error is not None:
            raise error
        assert outcome.snapshot is not None
        self.show(context, outcome.snapshot)
        return self.receipt(outcome.snapshot, carry)


def _ended(snapshot: JobSnapshot) -> Outcome:
    outcome, _ = decide(
        Look(snapshot=snapshot), WaitMemory(), WaitPolicy(), parse_time("1970-01-01") or wall_clock()
    )
    assert outcome is not None
    return outcome
