"""The sensor that starts a loop when the logs hold enough fresh prompts.

It counts on the worker, by the same code as the harvest, and waits in the triggerer, which only lists. After each count it
tells the trigger how many bytes are worth another count, so a long wait costs a few listings and a handful of reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk.bases.sensor import PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.errors import DistillError, StateError
from airflow_distill.hooks.bedrock import BedrockDistillHook, connection_arguments
from airflow_distill.operators.base import wall_clock
from airflow_distill.operators.logs import metadata_filter
from airflow_distill.operators.task import DistillTask, airflow_errors
from airflow_distill.stages.storage import LocalStore, ObjectStore
from airflow_distill.triggers.logs import LogsGrownTrigger

if TYPE_CHECKING:
    from airflow_distill.stages.logs.fresh import Fresh


class FreshLogsSensor(DistillTask, AwsBaseSensor[BedrockDistillHook]):
    """Waits until the logs since a moment hold so many distinct usable prompts; returns what it counted.

    The receipt is `{"kind": "fresh-logs", "v": 1, "since", "until", "usable", "lines", "objects", "bytes"}`.

    :param logs: where Bedrock delivers invocation logs, at any level of their layout (templated).
    :param model: the teacher; ids in the logs are resolved to it (templated).
    :param since: count records from this moment on, such as the end of the window behind the live model (templated).
    :param at_least: how many distinct usable prompts are enough (templated).
    :param metadata: the request-metadata filter, as for the harvest (templated).
    :param operations: only these operations; all four when left out (templated).
    :param identity: only callers whose ARN matches this pattern (templated).
    :param system_digest: only this system prompt, by its fingerprint (templated).
    :param model_mapping: model behind application profile, provisioned throughput and deployment ARNs (templated).
    :param deferrable: wait in the triggerer, which frees the worker slot (templated).
    :param poll_interval: seconds between looks at the listing (templated).
    :param timeout: seconds until the wait fails, or is skipped with `soft_fail`; counted over deferrals too.
    """

    aws_hook_class = BedrockDistillHook
    template_fields: Sequence[str] = aws_template_fields(
        "logs",
        "model",
        "since",
        "at_least",
        "metadata",
        "operations",
        "identity",
        "system_digest",
        "model_mapping",
        "deferrable",
        "poll_interval",
    )

    def __init__(
        self,
        *,
        logs: str,
        model: str,
        since: str,
        at_least: int = 1000,
        metadata: Mapping[str, Any] | None = None,
        operations: Sequence[str] = (),
        identity: str = "",
        system_digest: str = "",
        model_mapping: Mapping[str, str] | None = None,
        deferrable: bool = True,
        poll_interval: float = 900.0,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("mode", "reschedule")
        kwargs.setdefault("poke_interval", 900.0)
        kwargs.setdefault("timeout", timedelta(days=14).total_seconds())
        super().__init__(**kwargs)
        self.logs = logs
        self.model = model
        self.since = since
        self.at_least = at_least
        self.metadata = metadata
        self.operations = operations
        self.identity = identity
        self.system_digest = system_digest
        self.model_mapping = model_mapping
        self.deferrable = deferrable
        self.poll_interval = poll_interval

    @property
    def gateways(self) -> AwsGateways:
        """The gateways of this task's connection."""
        return self.hook.gateways

    def store(self) -> ObjectStore:
        """The bucket's store, or folders when the logs are a path."""
        return self.gateways.objects if self.logs.startswith("s3://") else LocalStore()

    def now(self) -> datetime:
        """Return the present time."""
        return wall_clock()

    def count(self) -> Fresh:
        """Count what is there now."""
        from airflow_distill.aws.profiles import profile_lookup
        from airflow_distill.stages.logs.fresh import count_fresh
        from airflow_distill.stages.logs.selection import Selection

        selection = Selection(
            model=self.model,
            metadata=metadata_filter(self.metadata),
            operations=tuple(self.operations or ()),
            identity=self.identity,
            system_digest=self.system_digest,
            mapping=dict(self.model_mapping or {}),
            lookup=profile_lookup(self.logs, lambda: self.gateways.bedrock),
        )
        fresh = count_fresh(self.store(), self.logs, selection, str(self.since), self.now(), self.at_least)
        self.log.info(
            "%s of %s usable prompts in %s lines of %s log objects since %s",
            fresh.usable,
            self.at_least,
            fresh.lines,
            fresh.listed.objects,
            fresh.since,
        )
        return fresh

    def execute(self, context: Any) -> Any:
        """Count; defer while there are too few, or poke as every sensor does."""
        with airflow_errors():
            self.settle()
        if not self.deferrable:
            return super().execute(context)
        deadline = self.now() + timedelta(seconds=float(self.timeout))
        return self._count_or_defer(deadline.isoformat())

    def execute_complete(self, context: Any, event: Any = None, deadline: str | None = None) -> Any:
        """Resume when the listing has grown: count again, and wait again while there are too few."""
        status = event.get("status") if isinstance(event, Mapping) else None
        if status == "timeout":
            self._give_up(event)
        if status not in ("grown", "refused"):
            with airflow_errors():
                raise StateError(
                    "logs: the wait for fresh logs ended without a word.", hint="Retry the task."
                )
        return self._count_or_defer(deadline)

    def poke(self, context: Any) -> PokeReturnValue:
        """Count; done when there are enough. A service that cannot answer now is asked again at the next poke."""
        try:
            fresh = self.count()
        except DistillError as error:
            if error.retryable:
                self.log.warning("The logs could not be read (%s); asking again.", type(error).__name__)
                return PokeReturnValue(is_done=False)
            with airflow_errors():
                raise
        return PokeReturnValue(is_done=self._is_enough(fresh), xcom_value=fresh.to_json())

    def _is_enough(self, fresh: Fresh) -> bool:
        return fresh.usable >= self.at_least

    def _count_or_defer(self, deadline: str | None) -> dict[str, Any]:
        from airflow_distill.stages.logs.fresh import bytes_worth_reading

        with airflow_errors():
            fresh = self.count()
        if self._is_enough(fresh):
            return fresh.to_json()
        self.defer(
            trigger=LogsGrownTrigger(
                logs=self.logs,
                since=str(self.since),
                enough_bytes=bytes_worth_reading(fresh, self.at_least),
                deadline=deadline,
                poll_interval=self.poll_interval,
                **connection_arguments(self),
            ),
            method_name="execute_complete",
            kwargs={"deadline": deadline},
        )

    def _give_up(self, event: Mapping[str, Any]) -> None:
        words = f"Too few fresh prompts in time; the logs hold {event.get('objects', 0)} objects."
        raise (AirflowSkipException if self.soft_fail else AirflowSensorTimeout)(words)
