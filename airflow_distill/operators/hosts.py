"""Hosts as Airflow tasks: made, waited for and removed.

Waiting frees the worker slot: a task defers on the host's trigger and begins anew when it is resumed, because the account
tells how far it came. Choosing a host lives in `stages/deployment`, making one in `aws/execute.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import TriggerRule

from airflow_distill.aws.remote_work import WORK
from airflow_distill.compat import airflow_id, ask_states_of
from airflow_distill.errors import (
    ConfigurationError,
    DeploymentError,
    DistillError,
    JobTimeoutError,
    ServiceConflictError,
    ServiceError,
)
from airflow_distill.hooks.bedrock import connection_arguments
from airflow_distill.links.bedrock import BedrockHostLink, persist_arn_link
from airflow_distill.operators.base import DistillOperator, airflow_errors, run_key, runner_key
from airflow_distill.remote.hosts import KINDS, aimed_at, snapshot_of
from airflow_distill.remote.identity import (
    TAG_EXPIRES_AT,
    TAG_RUN,
    TAG_TEMPORARY,
    host_name,
    resource_tags,
    run_and_airflow,
    runner_name,
)
from airflow_distill.remote.ownership import Owner
from airflow_distill.remote.polling import (
    Outcome as WaitOutcome,
)
from airflow_distill.remote.polling import (
    WaitPolicy,
    deadline_after,
    outcome_error,
    wait_blocking,
)
from airflow_distill.remote.submit import APPEARS
from airflow_distill.stages.deployment.times import iso, iso_or_none, moment_of
from airflow_distill.stages.deployment.values import flag, number
from airflow_distill.triggers.deployment import (
    BedrockCustomModelDeploymentReadyTrigger,
    BedrockProvisionedThroughputReadyTrigger,
)

if TYPE_CHECKING:
    from airflow_distill.stages.deployment.records import Host, HostKind, HostSpec, HostWish
    from airflow_distill.stages.money.prices import PriceTable

SHORT_PAUSE_SECONDS = 30.0
HOST_GENERATIONS = 2
"""How many hosts a candidate may try: the next one is made under another name after one that failed."""
HOST_WAIT_HOURS = 3.0
"""How long a host may take to settle; provisioned throughput takes 20 to 30 minutes, a deployment about 8."""


class HostWaitingOperator(DistillOperator):
    """Base of the operators that wait for hosts: defers, or waits in place, and begins its work anew afterwards.

    :param deferrable: give the worker slot back while a host settles.
    :param waiter_delay: seconds between looks at a settling host (templated).
    :param host_wait_hours: how long a host may take, counted from its creation or claim (templated).
    """

    operator_extra_links = (BedrockHostLink(),)

    def __init__(
        self,
        *,
        deferrable: bool = True,
        waiter_delay: float | str = 30.0,
        host_wait_hours: float | str = HOST_WAIT_HOURS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay
        self.host_wait_hours = host_wait_hours

    def now(self) -> datetime:
        """Return the present time."""
        return datetime.now(UTC)

    @property
    def patience(self) -> timedelta:
        """How long a host may take to settle."""
        return timedelta(hours=number(self.host_wait_hours, "host_wait_hours") or HOST_WAIT_HOURS)

    def pause(self, seconds: float) -> None:
        """Sleep between looks at a host that the service does not show yet, or that settles."""
        time.sleep(seconds)

    def wait_for_host(
        self, kind: HostKind, arn: str, model_arn: str, since: str, *, at_most: float | None = None
    ) -> None:
        """Wait until a host serves a model; defers when allowed, else returns when it has settled.

        :param at_most: come back after so many seconds even if it has not, to look and wait again.
        :raises JobTimeoutError: it took too long; the host may go on settling.
        """
        from airflow_distill.stages.deployment.records import PROVISIONED

        period = number(self.waiter_delay, "waiter_delay") or 30.0
        deadline = until = deadline_after(since, self.patience, self.now())
        if at_most is not None:
            part = self.now() + timedelta(seconds=at_most)
            until = part if deadline is None else min(deadline, part)
        if self.deferrable:
            trigger = (
                BedrockProvisionedThroughputReadyTrigger
                if kind == PROVISIONED
                else BedrockCustomModelDeploymentReadyTrigger
            )
            self.defer(
                trigger=trigger(
                    arn,
                    deadline=None if until is None else iso(until),
                    poll_interval=period,
                    expect_model_arn=model_arn,
                    **connection_arguments(self),
                ),
                method_name="resume",
            )
        outcome = wait_blocking(
            lambda: aimed_at(WORK[kind].look(self.gateways.bedrock, arn), model_arn),
            policy=WaitPolicy(deadline=until),
            now=self.now,
            sleep=self.pause,
            period=period,
            progress=self.log.info,
        )
        if outcome.status != "timeout" or until == deadline:
            self.wait_ended(outcome, arn)

    def wait_ended(self, outcome: WaitOutcome, arn: str) -> None:
        """Raise when waiting any longer is pointless; a host that failed is judged by the work itself."""
        if outcome.status in {"timeout", "denied", "missing", "refused", "unreadable"}:
            error = outcome_error(outcome, f"host {arn}")
            if error is not None:
                raise error

    def pause_until(self, moment: datetime) -> None:
        """Let time pass; defers when allowed and worth it: giving a slot back and taking it again costs some seconds."""
        seconds = max(0.0, (moment - self.now()).total_seconds())
        if self.deferrable and seconds > SHORT_PAUSE_SECONDS:
            self.defer(trigger=DateTimeTrigger(moment), method_name="resume")
        time.sleep(seconds)

    def resume(self, context: Any, event: Any = None) -> Any:
        """Go on after a wait: the work begins anew and finds how far it came."""
        from airflow_distill.stages.deployment.records import PROVISIONED

        with airflow_errors():
            if isinstance(event, Mapping):
                snapshot = event.get("snapshot") or {}
                kind = snapshot.get("kind", PROVISIONED)
                self.wait_ended(WaitOutcome.from_event(event, kind), str(snapshot.get("arn", "the host")))
            return self.work(context)


class JudgesStuckHosts:
    """A host that does not settle in time is an answer, not an error: the work itself says what follows."""

    def wait_ended(self, outcome: WaitOutcome, arn: str) -> None:
        """Leave a passed deadline to the work, which looks at the host once more; raise everything else."""
        if outcome.status != "timeout" or outcome.snapshot is None:
            super().wait_ended(outcome, arn)  # type: ignore[misc]


class HostWishOperator(HostWaitingOperator):
    """Base of the operators that may make a host: what the user asks of it and what it may cost.

    :param host_kind: `auto`, `provisioned-throughput` or `custom-model-deployment` (templated).
    :param units: model units of provisioned throughput (templated).
    :param commitment: `none`, `OneMonth` or `SixMonths` (templated).
    :param accept_commitment: an explicit yes to a term that cannot be ended early (templated).
    :param hourly_price: price of one model unit an hour; required for provisioned throughput (templated).
    :param ends_at: when the host must be gone, ISO 8601 (templated). Provisioned throughput must have an end.
    :param daily_price_cap: the most the host may cost a day (templated).
    :param input_tokens_per_day: forecast traffic, for choosing by price (templated).
    :param output_tokens_per_day: forecast traffic, for choosing by price (templated).
    :param prices: URI, path or content of a price table that lies over the packaged one (templated).
    :param student_prices: prices of the student by item, in the table's units, before both (templated).
    :param budget: caps that it must keep to, as the workload file has them (templated).
    :param tags: your own tags for the host, beside ours (templated).
    """

    wish_fields: tuple[str, ...] = (
        "host_kind",
        "units",
        "commitment",
        "accept_commitment",
        "hourly_price",
        "ends_at",
        "daily_price_cap",
        "input_tokens_per_day",
        "output_tokens_per_day",
        "prices",
        "student_prices",
        "budget",
        "tags",
    )

    def __init__(
        self,
        *,
        host_kind: str = "auto",
        units: int | str | None = None,
        commitment: str = "none",
        accept_commitment: bool | str = False,
        hourly_price: float | str | None = None,
        ends_at: str | None = None,
        daily_price_cap: float | str | None = None,
        input_tokens_per_day: float | str | None = None,
        output_tokens_per_day: float | str | None = None,
        prices: Any = None,
        student_prices: Mapping[str, Any] | None = None,
        budget: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.budget = budget
        self.tags = tags
        self.host_kind = host_kind
        self.units = units
        self.commitment = commitment
        self.accept_commitment = accept_commitment
        self.hourly_price = hourly_price
        self.ends_at = ends_at
        self.daily_price_cap = daily_price_cap
        self.input_tokens_per_day = input_tokens_per_day
        self.output_tokens_per_day = output_tokens_per_day
        self.prices = prices
        self.student_prices = student_prices

    def wish(self, ends_at: str | None) -> HostWish:
        """Return what is asked for, checked.

        :raises ConfigurationError: a value that cannot be read.
        """
        from airflow_distill.stages.deployment.settings import host_wish

        return host_wish(
            kind=self.host_kind,
            units=self.units,
            commitment=self.commitment,
            hourly_price=self.hourly_price,
            ends_at=ends_at,
            daily_price_cap=self.daily_price_cap,
            accept_commitment=self.accept_commitment,
            input_tokens_per_day=self.input_tokens_per_day,
            output_tokens_per_day=self.output_tokens_per_day,
        )


class BedrockCreateHostOperator(JudgesStuckHosts, HostWishOperator):
    """Give a custom model a host: provisioned throughput or a custom model deployment, whichever it can have.

    A temporary host (the default) is for evaluating a candidate; put `BedrockDeleteHostOperator` behind it as teardown.
    A temporary host has no traffic to speak of, so of two possible kinds the one that costs nothing while idle is taken.
    A retry finds the host of an earlier try by its name. A wish that cannot or may not be had is refused before
    anything is paid. A temporary host that failed is deleted, and its name is not taken again in this try.

    :param workload: the workload's name (templated).
    :param root: common root of the workload's objects; with the workload it says whose the host is (templated).
    :param job: receipt of the job that made the model (templated).
    :param model_arn: the custom model, when there is no job receipt (templated).
    :param lifetime_hours: instead of `ends_at`, counted from creation; 24 for on-demand hosts (templated).
    :param temporary: the host belongs to this run and may be removed after it (templated).
    :param resource_owner: value of the owner tag; the task's owner when left out (templated).
    :param wait_for_completion: return only when the host answers.
    :param on_stuck: what becomes of a temporary host that is not ready after `host_wait_hours`: `delete` it, or `keep` it
        and say what it bills (templated).
    """

    needs_turn = True
    template_fields: Sequence[str] = aws_template_fields(
        "workload",
        "root",
        "job",
        "model_arn",
        *HostWishOperator.wish_fields,
        "lifetime_hours",
        "temporary",
        "resource_owner",
        "on_stuck",
        "waiter_delay",
        "host_wait_hours",
    )

    def __init__(
        self,
        *,
        workload: str,
        root: str = "",
        job: Mapping[str, Any] | str | None = None,
        model_arn: str | None = None,
        lifetime_hours: float | str | None = None,
        temporary: bool | str = True,
        resource_owner: str | None = None,
        wait_for_completion: bool = True,
        on_stuck: str = "delete",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_stuck = on_stuck
        self.workload = workload
        self.root = root
        self.job = job
        self.model_arn = model_arn
        self.lifetime_hours = lifetime_hours
        self.temporary = temporary
        self.resource_owner = resource_owner
        self.wait_for_completion = wait_for_completion

    def work(self, context: Any) -> dict[str, Any]:
        from airflow_distill.aws.account import find_host

        job = receipt(self.job, "job")
        model_arn = self.model_arn or str(job.get("custom_model_arn") or "")
        if not model_arn:
            raise ConfigurationError(
                "deployment: there is no model to host.",
                hint="Give `job` (a finished job's receipt) or `model_arn`.",
            )
        hours = number(self.lifetime_hours, "lifetime_hours")
        wish = self.wish(self.ends_at or (iso(self.now() + timedelta(hours=hours)) if hours else None))
        if self.on_stuck not in ("delete", "keep"):
            raise ConfigurationError(
                f"deployment: on_stuck is {self.on_stuck!r}.", hint="Use `delete` or `keep`."
            )
        host = self._find_or_create(context, model_arn, wish, job)
        persist_arn_link(BedrockHostLink, context, self, host.arn)
        if host.state(model_arn) == "settling" and self.wait_for_completion:
            if not self._overdue(host):
                self.wait_for_host(host.kind, host.arn, model_arn, host.created_at or "")
                host = find_host(self.gateways.bedrock, host.kind, host.arn) or host
            if host.state(model_arn) == "settling":
                raise self._stuck(host, wish)
        if host.state(model_arn) in {"failed", "other-model"}:
            raise DeploymentError(
                f"deployment: {host.kind} {host.name} serves {host.model_arn} and is {host.told()}; "
                f"{self._put_away(host, wish)}.",
                hint="Clear the task to try again; the next host takes the same name.",
            )
        return self._receipt(host, wish)

    def _overdue(self, host: Host) -> bool:
        created = moment_of(host.created_at)
        return created is not None and self.now() - created >= self.patience

    def _stuck(self, host: Host, wish: HostWish) -> JobTimeoutError:
        """Carry out what is to become of a host that does not get ready, and return the error that says so."""
        hours = self.patience.total_seconds() / 3600
        what = f"deployment: {host.kind} {host.name} is still {host.status} after {hours:.3g} h"
        done = (
            self._put_away(host, wish)
            if self.on_stuck == "delete"
            else f"it was kept: {self._bill(host, wish)}"
        )
        return JobTimeoutError(
            f"{what}; {done}.",
            snapshot=snapshot_of(host).to_json(),
            hint="Look at the service's health page, or raise host_wait_hours; then clear the task.",
        )

    def _put_away(self, host: Host, wish: HostWish) -> str:
        """Delete a temporary host that is of no use; returns in words what became of it."""
        from airflow_distill.aws.hosts import try_to_delete

        if host.tags.get(TAG_TEMPORARY) != "true":
            return f"it was kept, because it is not temporary: {self._bill(host, wish)}"
        why = try_to_delete(self.gateways, host)
        if not why:
            return "it was deleted"
        return f"it could not be deleted ({why}): {self._bill(host, wish)}; `airflow-distill reap` removes it later"

    def _bill(self, host: Host, wish: HostWish) -> str:
        from airflow_distill.aws.hosts import bill_of

        return bill_of(host, hourly=wish.hourly_price * (host.units or 1) if wish.hourly_price else None)

    def _find_or_create(self, context: Any, model_arn: str, wish: HostWish, job: Mapping[str, Any]) -> Host:
        from airflow_distill.aws.account import base_of_arn, find_host, read_capability
        from airflow_distill.aws.hosts import HostOrder, claim_host, have_host
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.aws.promotion import rates_from
        from airflow_distill.stages.deployment.hosts import choose_host

        bedrock, airflow = self.gateways.bedrock, airflow_id()
        run = runner_name(run_key(context), airflow)
        owner = Owner(self.workload, self.root, airflow)
        for kind in KINDS:
            for generation in range(1, HOST_GENERATIONS + 1):
                found = find_host(bedrock, kind, self._name(kind, model_arn, run, wish, generation))
                if found is not None and not found.failed:
                    self.log.info("Adopting %s %s (%s).", found.kind, found.arn, found.status)
                    return claim_host(bedrock, found, owner)
        model = bedrock.get_custom_model(model_arn)
        base = base_of_arn(model_arn)
        table = read_prices(self.gateways, self.prices, student=base, stated=self.student_prices)
        choice = choose_host(
            replace(wish, traffic=None) if flag(self.temporary) else wish,
            read_capability(bedrock, model, bedrock.region),
            rates_from(table, bedrock.region)(base),
            now=self.now(),
            name_of=lambda kind: self._name(kind, model_arn, run, wish),
        )
        self.log.info("Creating %s: %s", choice.spec.kind, "; ".join(choice.reasons))
        expires = moment_of(choice.spec.ends_at) or self.now() + timedelta(hours=24)
        if flag(self.temporary):
            self._claim(context, choice.spec, base, table, expires, str(job.get("dataset_id") or ""))
        tags = resource_tags(
            self.workload,
            run_key(context),
            self.resource_owner or self.owner,
            expires,
            dataset_id=str(job.get("dataset_id") or "") or None,
            temporary=flag(self.temporary),
            root=self.root,
            airflow=airflow,
            extra={**(self.tags or {}), **choice.spec.price_tags},
        )
        order = HostOrder(
            spec=choice.spec,
            model_arn=model_arn,
            owner=owner,
            tags=tags,
            token_of={"run": run},
            name_of=lambda generation: self._name(choice.spec.kind, model_arn, run, wish, generation),
            keep=lambda host: "" if host.tags.get(TAG_TEMPORARY) == "true" else "it is not temporary",
            max_generations=HOST_GENERATIONS,
        )
        return have_host(self.gateways, order, now=self.now, sleep=self.pause, fault=self.fault)

    def _claim(
        self, context: Any, spec: HostSpec, base: str, table: PriceTable, expires: datetime, dataset_id: str
    ) -> None:
        """Meet the caps with the hours until the host's end, before it is made. One on demand bills nothing while idle."""
        from airflow_distill.operators.spending import PaidStep, read_budget
        from airflow_distill.stages.deployment.records import PROVISIONED
        from airflow_distill.stages.money.records import Usage, decimal
        from airflow_distill.stages.money.usage import CANDIDATE

        budget = read_budget(self.budget)
        if spec.kind != PROVISIONED or not budget:
            return
        hours = decimal((expires - self.now()).total_seconds()) / 3600 * (spec.units or 1)
        each = None if spec.hourly_price is None else decimal(spec.hourly_price)
        place = (self.workload, self.root, dataset_id or "unknown")
        step = PaidStep(self.gateways, context, *place, CANDIDATE, table, budget, clock=self.now)
        step.claim([Usage(CANDIDATE, PROVISIONED, base, hours, each)])

    def fault(self, point: str) -> None:
        """Do nothing at a named point of buying a host; tests kill the process there."""

    def _name(self, kind: HostKind, model_arn: str, run: str, wish: HostWish, generation: int = 1) -> str:
        from airflow_distill.aws.account import base_of_arn
        from airflow_distill.stages.deployment.hosts import live_host_name

        if flag(self.temporary):
            return candidate_name(self.workload, model_arn, run, self.root, generation)
        return live_host_name(
            self.workload, kind, base_of_arn(model_arn), wish, self.root, generation=generation
        )

    def _receipt(self, host: Host, wish: HostWish) -> dict[str, Any]:
        from airflow_distill.stages.deployment.records import PROVISIONED

        price = wish.hourly_price * (host.units or 1) if wish.hourly_price else None
        return {
            "kind": "host",
            "v": 1,
            "workload": self.workload,
            "host_kind": host.kind,
            "host_arn": host.arn,
            "host_name": host.name,
            "model_arn": host.model_arn,
            "status": host.status,
            "hourly_price": price if host.kind == PROVISIONED else None,
            "expires_at": iso_or_none(host.tags.get(TAG_EXPIRES_AT)),
            "temporary": host.tags.get(TAG_TEMPORARY) == "true",
        }


def candidate_name(workload: str, model_arn: str, run: str, root: str = "", generation: int = 1) -> str:
    """Return the name of the temporary host that a run judges a model on.

    :param run: the run among those of all Airflows, see `remote.identity.runner_name`.
    """
    return host_name(workload, "candidate", f"{model_arn}:{run}", generation, root=root)


class BedrockDeleteHostOperator(HostWaitingOperator):
    """Delete the temporary hosts of this Dag run; meant as teardown.

    Hosts are found by their tags (workload, root, run, temporary), and by name when `job` is given, so it also removes what
    a killed task created before it could say so. Nothing else is touched, and finding nothing is not an error. As a
    teardown it runs whatever state its setup ends in: Airflow's own rule would leave a failed setup's host billing.

    :param workload: the workload's name (templated).
    :param root: the root that the host was made with (templated).
    :param host: receipt of the host, if there is one; it is deleted only if its tags agree (templated).
    :param job: receipt of the job whose model was hosted, to look the host up by name too (templated).
    """

    template_fields: Sequence[str] = aws_template_fields(
        "workload", "root", "host", "job", "waiter_delay", "host_wait_hours"
    )
    may_be_missing = frozenset({"host", "job"})

    def __init__(
        self,
        *,
        workload: str,
        root: str = "",
        host: Mapping[str, Any] | str | None = None,
        job: Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.host = host
        self.job = job

    def as_teardown(self, **settings: Any) -> Any:
        """Make this the teardown of what creates the host; it also runs when that failed or never began."""
        super().as_teardown(**settings)
        self.trigger_rule = TriggerRule.ALL_DONE
        return self

    def work(self, context: Any) -> dict[str, Any]:
        run = runner_key(context)
        deleted: list[str] = []
        left: list[dict[str, Any]] = []
        for host in self._all_ours(context, run):
            reason = self._delete(host)
            if reason:
                left.append(
                    {"host_arn": host.arn, "reason": reason, "commitment_ends_at": host.commitment_ends_at}
                )
            else:
                deleted.append(host.arn)
                self._note(context, host)
        self.log.info("Deleted %d temporary host(s) of %s; %d left.", len(deleted), run, len(left))
        return {"kind": "host_deleted", "v": 1, "workload": self.workload, "deleted": deleted, "left": left}

    def _note(self, context: Any, host: Host) -> None:
        """Write down the hours of a host that is paid by the hour; what they came to replaces the claim."""
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.operators.spending import PaidStep
        from airflow_distill.remote.hosts import base_of_arn
        from airflow_distill.remote.identity import TAG_DATASET
        from airflow_distill.stages.deployment.records import PROVISIONED, TAG_HOURLY_PRICE
        from airflow_distill.stages.money.records import Usage
        from airflow_distill.stages.money.usage import CANDIDATE, hours_between

        created = moment_of(host.created_at)
        if host.kind != PROVISIONED or created is None or not self.root:
            return
        hours = hours_between(created.timestamp(), self.now().timestamp()) * (host.units or 1)
        stated = host.tags.get(TAG_HOURLY_PRICE)
        base = host.base_model or base_of_arn(host.model_arn)
        usage = Usage(CANDIDATE, PROVISIONED, base, hours, Decimal(stated) if stated else None)
        place = (self.workload, self.root, host.tags.get(TAG_DATASET) or "unknown")
        try:
            step = PaidStep(
                self.gateways, context, *place, CANDIDATE, read_prices(self.gateways), clock=self.now
            )
            step.note(host.arn, what=host.name, model=base, more=(usage,))
            step.settle()
        except DistillError as error:  # the host is gone; its claim stands at the most it could come to
            self.log.warning("The hours of %s were not written down: %s", host.name, error.message)

    def _all_ours(self, context: Any, run: str) -> list[Host]:
        """Return the run's hosts. A setup that broke off may have made one that the service does not show yet."""
        found = self._ours(run)
        if not found and not receipt(self.host, "host") and self._setup_failed(context):
            self.log.info(
                "The setup failed: looking for %.0f s for a host that is not shown yet.", sum(APPEARS)
            )
            for pause in APPEARS:
                self.pause(pause)
                found = self._ours(run)
                if found:
                    break
        return found

    def _setup_failed(self, context: Any) -> bool:
        """Say whether a setup of this teardown ended as failed; unknown outside of Airflow's task runner."""
        try:
            setups = [task.task_id for task in self.upstream_list if task.is_setup]
            return "failed" in ask_states_of(context["ti"], setups)
        except Exception as error:
            self.log.info("The state of the setup cannot be read (%s).", type(error).__name__)
            return False

    def _ours(self, run: str) -> list[Host]:
        from airflow_distill.aws.account import find_host, iter_hosts

        bedrock = self.gateways.bedrock
        found = {host.arn: host for host in iter_hosts(bedrock, self.workload)}
        model_arn = str(receipt(self.job, "job").get("custom_model_arn") or "")
        names = [
            candidate_name(self.workload, model_arn, run, self.root, generation)
            for generation in range(1, HOST_GENERATIONS + 1)
            if model_arn
        ]
        for kind, name in product(KINDS, names):
            called = find_host(bedrock, kind, name)
            if called is not None:
                found[called.arn] = called
        said = receipt(self.host, "host")
        arn = str(said.get("host_arn") or "")
        if arn and arn not in found:
            named = find_host(bedrock, said["host_kind"], arn)
            if named is not None:
                found[arn] = named
        named_run, airflow = run_and_airflow(run)
        owner = Owner(self.workload, self.root, airflow)
        return [
            host
            for host in found.values()
            if owner.claim(host.tags) == "ours"
            and host.tags.get(TAG_RUN) == named_run
            and host.tags.get(TAG_TEMPORARY) == "true"
        ]

    def _delete(self, host: Host) -> str:
        """Delete one host; returns why it stays, empty when it is gone."""
        from airflow_distill.aws.hosts import delete_host

        if host.commitment != "none" and host.commitment_ends_at:
            return f"committed until {host.commitment_ends_at}"
        try:
            delete_host(self.gateways, host)
        except ServiceConflictError:
            self.wait_for_host(host.kind, host.arn, host.desired_arn, iso(self.now()))
            delete_host(self.gateways, host)
        except ServiceError as error:
            if host.status not in {"Creating", "Updating"}:
                raise
            self.log.info("%s is %s and cannot be deleted yet (%s).", host.arn, host.status, error.code)
            self.wait_for_host(host.kind, host.arn, host.desired_arn, iso(self.now()))
            delete_host(self.gateways, host)
        return ""


def receipt(value: Any, what: str) -> Mapping[str, Any]:
    """Return a receipt that may have been rendered to text; nothing becomes an empty one."""
    if value is None or value == "" or value == "None":
        return {}
    if isinstance(value, Mapping):
        return value
    try:
        return dict(json.loads(value))
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"deployment: the {what} receipt cannot be read.",
            hint="Pass the task's output itself, or render it with `| tojson`.",
        ) from None


def settings_of(value: Any, default: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return settings that may have been rendered to text; left out means the defaults, `off` means none."""
    if value in ("off", "none", False):
        return None
    return receipt(value, "settings") or default
