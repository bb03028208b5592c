"""Hosts, promotion, smoke test and reaping as Airflow tasks.

Every operator keeps its arguments, asks `aws/` for the present state and hands on one receipt. Waiting frees the worker
slot: a task defers on the host's trigger and begins anew when it is resumed, because the account and the ledger tell how
far it came. Deciding and planning live in `stages/deployment`, carrying out in `aws/execute.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_distill.aws.gateways import store_for
from airflow_distill.aws.remote_work import WORK
from airflow_distill.errors import (
    ConfigurationError,
    DeploymentError,
    ServiceConflictError,
    ServiceError,
)
from airflow_distill.links.bedrock import BedrockHostLink, persist_arn_link
from airflow_distill.operators.base import DistillOperator, airflow_errors, run_key
from airflow_distill.remote.identity import (
    TAG_EXPIRES_AT,
    TAG_RUN,
    TAG_TEMPORARY,
    TAG_WORKLOAD,
    host_name,
    resource_tags,
)
from airflow_distill.remote.polling import (
    Outcome as WaitOutcome,
)
from airflow_distill.remote.polling import (
    WaitPolicy,
    aimed_at,
    deadline_after,
    outcome_error,
    wait_blocking,
)
from airflow_distill.stages.deployment.times import iso, iso_or_none, moment_of
from airflow_distill.stages.deployment.values import flag, number, whole
from airflow_distill.triggers.deployment import (
    BedrockCustomModelDeploymentReadyTrigger,
    BedrockProvisionedThroughputReadyTrigger,
)

if TYPE_CHECKING:
    from airflow_distill.aws.promotion import Prepared
    from airflow_distill.aws.reap import Removal
    from airflow_distill.stages.deployment.ledger import Ledger
    from airflow_distill.stages.deployment.reap import Find
    from airflow_distill.stages.deployment.records import Host, HostKind, HostSpec, HostWish, Live, Outcome

SHORT_PAUSE_SECONDS = 30.0
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

    def wait_for_host(self, kind: HostKind, arn: str, model_arn: str, since: str) -> None:
        """Wait until a host serves a model; defers when allowed, else returns when it has settled.

        :raises JobTimeoutError: it took too long; the host may go on settling.
        """
        from airflow_distill.stages.deployment.records import PROVISIONED

        period = number(self.waiter_delay, "waiter_delay") or 30.0
        hours = number(self.host_wait_hours, "host_wait_hours") or HOST_WAIT_HOURS
        deadline = deadline_after(since, timedelta(hours=hours), self.now())
        if self.deferrable:
            trigger = (
                BedrockProvisionedThroughputReadyTrigger
                if kind == PROVISIONED
                else BedrockCustomModelDeploymentReadyTrigger
            )
            self.defer(
                trigger=trigger(
                    arn,
                    deadline=None if deadline is None else iso(deadline),
                    poll_interval=period,
                    expect_model_arn=model_arn,
                    aws_conn_id=self.aws_conn_id,
                    region_name=self.region_name,
                    verify=self.verify,
                    botocore_config=self.botocore_config,
                ),
                method_name="resume",
            )
        outcome = wait_blocking(
            lambda: aimed_at(WORK[kind].look(self.gateways.bedrock, arn), model_arn),
            policy=WaitPolicy(deadline=deadline),
            now=self.now,
            sleep=time.sleep,
            period=period,
            progress=self.log.info,
        )
        _raise_if_over(outcome, arn)

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
                _raise_if_over(WaitOutcome.from_event(event, kind), str(snapshot.get("arn", "the host")))
            return self.work(context)


def _raise_if_over(outcome: WaitOutcome, arn: str) -> None:
    """Raise when waiting any longer is pointless; a host that failed is judged by the work itself."""
    if outcome.status in {"timeout", "denied", "missing", "refused", "unreadable"}:
        error = outcome_error(outcome, f"host {arn}")
        if error is not None:
            raise error


class BedrockCreateHostOperator(HostWaitingOperator):
    """Give a custom model a host: provisioned throughput or a custom model deployment, whichever it can have.

    A temporary host (the default) is for evaluating a candidate; put `BedrockDeleteHostOperator` behind it as teardown.
    A temporary host has no traffic to speak of, so of two possible kinds the one that costs nothing while idle is taken.
    A retry finds the host of an earlier try by its name. A wish that cannot or may not be had is refused before
    anything is paid.

    :param workload: the workload's name (templated).
    :param job: receipt of the job that made the model (templated).
    :param model_arn: the custom model, when there is no job receipt (templated).
    :param host_kind: `auto`, `provisioned-throughput` or `custom-model-deployment` (templated).
    :param units: model units of provisioned throughput (templated).
    :param commitment: `none`, `OneMonth` or `SixMonths` (templated).
    :param accept_commitment: an explicit yes to a term that cannot be ended early (templated).
    :param hourly_price: price of one model unit an hour; required for provisioned throughput (templated).
    :param ends_at: when the host must be gone, ISO 8601 (templated). Provisioned throughput needs this or `lifetime_hours`.
    :param lifetime_hours: instead of `ends_at`, counted from creation; 24 for on-demand hosts (templated).
    :param daily_price_cap: the most the host may cost a day (templated).
    :param input_tokens_per_day: forecast traffic, for choosing by price (templated).
    :param output_tokens_per_day: forecast traffic, for choosing by price (templated).
    :param prices: URI or path of a price table that replaces the packaged one (templated).
    :param temporary: the host belongs to this run and may be removed after it (templated).
    :param resource_owner: value of the owner tag; the task's owner when left out (templated).
    :param wait_for_completion: return only when the host answers.
    """

    template_fields: Sequence[str] = aws_template_fields(
        "workload",
        "job",
        "model_arn",
        "host_kind",
        "units",
        "commitment",
        "accept_commitment",
        "hourly_price",
        "ends_at",
        "lifetime_hours",
        "daily_price_cap",
        "input_tokens_per_day",
        "output_tokens_per_day",
        "prices",
        "temporary",
        "resource_owner",
        "waiter_delay",
        "host_wait_hours",
    )

    def __init__(
        self,
        *,
        workload: str,
        job: Mapping[str, Any] | str | None = None,
        model_arn: str | None = None,
        host_kind: str = "auto",
        units: int | str | None = None,
        commitment: str = "none",
        accept_commitment: bool | str = False,
        hourly_price: float | str | None = None,
        ends_at: str | None = None,
        lifetime_hours: float | str | None = None,
        daily_price_cap: float | str | None = None,
        input_tokens_per_day: float | str | None = None,
        output_tokens_per_day: float | str | None = None,
        prices: str | None = None,
        temporary: bool | str = True,
        resource_owner: str | None = None,
        wait_for_completion: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.job = job
        self.model_arn = model_arn
        self.host_kind = host_kind
        self.units = units
        self.commitment = commitment
        self.accept_commitment = accept_commitment
        self.hourly_price = hourly_price
        self.ends_at = ends_at
        self.lifetime_hours = lifetime_hours
        self.daily_price_cap = daily_price_cap
        self.input_tokens_per_day = input_tokens_per_day
        self.output_tokens_per_day = output_tokens_per_day
        self.prices = prices
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
        wish = self._wish()
        host = self._find_or_create(context, model_arn, wish, job)
        persist_arn_link(BedrockHostLink, context, self, host.arn)
        state = host.state(model_arn)
        if state == "settling" and self.wait_for_completion:
            self.wait_for_host(host.kind, host.arn, model_arn, host.created_at or "")
            host = find_host(self.gateways.bedrock, host.kind, host.arn) or host
            state = host.state(model_arn)
        if state in {"failed", "other-model"}:
            raise DeploymentError(
                f"deployment: {host.kind} {host.name} is {host.status} with {host.model_arn}: {host.reason}",
                hint="It may still bill: the teardown or `airflow-distill reap` removes it.",
            )
        return self._receipt(host, wish)

    def _wish(self) -> HostWish:
        from airflow_distill.stages.deployment.settings import host_wish

        hours = number(self.lifetime_hours, "lifetime_hours")
        ends_at = self.ends_at or (iso(self.now() + timedelta(hours=hours)) if hours else None)
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

    def _find_or_create(self, context: Any, model_arn: str, wish: HostWish, job: Mapping[str, Any]) -> Host:
        from airflow_distill.aws.account import base_of_arn, find_host, read_capability
        from airflow_distill.aws.execute import create_host
        from airflow_distill.aws.promotion import rates_from, read_prices
        from airflow_distill.stages.deployment.hosts import choose_host

        bedrock, run = self.gateways.bedrock, run_key(context)
        for kind in ("provisioned-throughput", "custom-model-deployment"):
            found = find_host(bedrock, kind, self._name(kind, model_arn, run, wish))
            if found is not None:
                if found.tags.get(TAG_WORKLOAD) != self.workload:
                    raise DeploymentError(
                        f"deployment: {found.kind} {found.name} exists and does not carry our tags.",
                        hint="It belongs to somebody else and is not touched.",
                    )
                self.log.info("Adopting %s %s (%s).", found.kind, found.arn, found.status)
                return found
        model = bedrock.get_custom_model(model_arn)
        choice = choose_host(
            replace(wish, traffic=None) if flag(self.temporary) else wish,
            read_capability(bedrock, model, bedrock.region),
            rates_from(read_prices(self.gateways, self.prices), bedrock.region)(base_of_arn(model_arn)),
            now=self.now(),
            name_of=lambda kind: self._name(kind, model_arn, run, wish),
        )
        self.log.info("Creating %s: %s", choice.spec.kind, "; ".join(choice.reasons))
        expires = moment_of(choice.spec.ends_at) or self.now() + timedelta(hours=24)
        tags = resource_tags(
            self.workload,
            run,
            self.resource_owner or self.owner,
            expires,
            dataset_id=str(job.get("dataset_id") or "") or None,
            temporary=flag(self.temporary),
            extra=choice.spec.price_tags,
        )
        arn = create_host(self.gateways, choice.spec, model_arn, tags=tags, token_of={"run": run})
        return find_host(bedrock, choice.spec.kind, arn) or _just_created(choice.spec, arn, model_arn, tags)

    def _name(self, kind: HostKind, model_arn: str, run: str, wish: HostWish) -> str:
        from airflow_distill.aws.account import base_of_arn
        from airflow_distill.aws.promotion import live_host_name

        if flag(self.temporary):
            return host_name(self.workload, "candidate", f"{model_arn}:{run}")
        return live_host_name(self.workload, kind, base_of_arn(model_arn), wish)

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


class BedrockDeleteHostOperator(HostWaitingOperator):
    """Delete the temporary hosts of this Dag run; meant as teardown.

    Hosts are found by their tags (workload, run, temporary), so it also removes what a killed task created before it could
    say so. Nothing else is touched, and finding nothing is not an error.

    :param workload: the workload's name (templated).
    :param host: receipt of the host, if there is one; it is deleted only if its tags agree (templated).
    """

    template_fields: Sequence[str] = aws_template_fields(
        "workload", "host", "waiter_delay", "host_wait_hours"
    )

    def __init__(self, *, workload: str, host: Mapping[str, Any] | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.host = host

    def work(self, context: Any) -> dict[str, Any]:
        run = run_key(context)
        deleted: list[str] = []
        left: list[dict[str, Any]] = []
        for host in self._ours(run):
            reason = self._delete(host)
            if reason:
                left.append(
                    {"host_arn": host.arn, "reason": reason, "commitment_ends_at": host.commitment_ends_at}
                )
            else:
                deleted.append(host.arn)
        self.log.info("Deleted %d temporary host(s) of %s; %d left.", len(deleted), run, len(left))
        return {"kind": "host_deleted", "v": 1, "workload": self.workload, "deleted": deleted, "left": left}

    def _ours(self, run: str) -> list[Host]:
        from airflow_distill.aws.account import find_host, iter_hosts

        bedrock = self.gateways.bedrock
        found = {host.arn: host for host in iter_hosts(bedrock, self.workload)}
        said = receipt(self.host, "host")
        arn = str(said.get("host_arn") or "")
        if arn and arn not in found:
            named = find_host(bedrock, said["host_kind"], arn)
            if named is not None and named.tags.get(TAG_WORKLOAD) == self.workload:
                found[arn] = named
        return [
            host
            for host in found.values()
            if host.tags.get(TAG_RUN) == run and host.tags.get(TAG_TEMPORARY) == "true"
        ]

    def _delete(self, host: Host) -> str:
        """Delete one host; returns why it stays, empty when it is gone."""
        from airflow_distill.aws.execute import delete_host

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


class ReleaseOperator(HostWaitingOperator):
    """Base of promotion and rollback: carries a release out, deferring where the service or the bake period needs time.

    :param workload: the workload's name (templated).
    :param root: common root of all workloads' objects (templated).
    :param fail_on_rollback: fail the task when the model was rolled back; its receipt is pushed either way.
    :param resource_owner: value of the owner tag; the task's owner when left out (templated).
    """

    def __init__(
        self,
        *,
        workload: str,
        root: str,
        fail_on_rollback: bool = True,
        resource_owner: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.fail_on_rollback = fail_on_rollback
        self.resource_owner = resource_owner

    def carry_out(self, context: Any, prepared: Prepared) -> dict[str, Any]:
        """Advance the release until it has ended."""
        from airflow_distill.aws.execute import Execution, Pausing, Waiting
        from airflow_distill.aws.promotion import heldout_reader
        from airflow_distill.stages.deployment.ledger import Ledger
        from airflow_distill.stages.deployment.plan import render

        store = store_for(self.gateways, self.root)
        entry = prepared.entry
        if entry is None:
            self.log.info("Dry run, nothing is changed:\n%s", render(prepared.plan))
            return self._receipt(prepared, None, None)
        ledger = Ledger(store, self.root, self.workload)
        execution = Execution(
            gateways=self.gateways,
            ledger=ledger,
            entry=entry,
            plan=prepared.plan,
            examples=heldout_reader(store, entry.release.evidence),
            clock=self.now,
            sleep=time.sleep,
            progress=self.log.info,
        )
        while True:
            reached = execution.advance()
            if isinstance(reached, Waiting):
                persist_arn_link(BedrockHostLink, context, self, reached.host_arn)
                self.wait_for_host(
                    reached.host_kind, reached.host_arn, reached.model_arn, entry.release.claimed_at
                )
            elif isinstance(reached, Pausing):
                self.pause_until(reached.until)
            else:
                return self._ended(context, prepared, reached, ledger)

    def _ended(self, context: Any, prepared: Prepared, outcome: Outcome, ledger: Ledger) -> dict[str, Any]:
        said = self._receipt(prepared, outcome, ledger.read().live())
        persist_arn_link(BedrockHostLink, context, self, said["host_arn"])
        if outcome.outcome == "released":
            return said
        if self.fail_on_rollback:
            context["ti"].xcom_push(key="return_value", value=said)
            raise AirflowFailException(
                f"deployment: release {outcome.release} of {self.workload} was {outcome.outcome}: "
                f"{'; '.join(outcome.why)}"
            )
        return said

    def _receipt(self, prepared: Prepared, outcome: Outcome | None, live: Live | None) -> dict[str, Any]:
        from airflow_distill.stages.deployment.ledger import Ledger
        from airflow_distill.stages.deployment.records import PROVISIONED, pointer_name

        plan = prepared.plan
        ended = outcome is not None and outcome.outcome == "released"
        spec = plan.target.host if ended or live is None else live.target.host
        return {
            "kind": "deployment",
            "v": 1,
            "workload": self.workload,
            "release": plan.release,
            "release_uri": Ledger(store_for(self.gateways, self.root), self.root, self.workload).uri(
                plan.release
            ),
            "host_kind": spec.kind,
            "host_arn": outcome.host_arn if outcome and ended else live.host_arn if live else None,
            "model_arn": plan.target.model_arn if ended or live is None else live.target.model_arn,
            "pointer": pointer_name(self.workload),
            "hourly_price": spec.price_per_hour if spec.kind == PROVISIONED else None,
            "expires_at": spec.ends_at,
            "previous": plan.previous,
            "outcome": outcome.outcome if outcome else "dry_run",
            "reasons": [reason[:200] for reason in (outcome.why if outcome else ())][:5],
        }


class BedrockPromoteModelOperator(ReleaseOperator):
    """Make a decision's model the live one: same address if possible, proven by a smoke test and a bake period.

    Claims a release number, updates the live host in place (or makes a new one), asks it held-out prompts, publishes the
    pointer, watches it for the bake period and writes the ledger. When a check speaks against the model it goes back to the
    release before, by the same code. A retry goes on where the account and the ledger say it was. A decision other than
    "promote" skips the task.

    :param decision: receipt of the decision (templated).
    :param job: receipt of the job that made the model (templated).
    :param smoke: settings of the smoke test, see `stages.deployment.records.ProbeSettings`; `off` for none (templated).
    :param bake: settings of the bake period: `probes`, `every_seconds` and limits; `off` for none (templated).
    :param grace_hours: how long a host that was replaced stays before the reaper takes it (templated).
    :param lease_hours: after that time without an end another run may take the release over (templated).
    :param generation: raise it to promote again a decision that was rolled back (templated).
    :param plan_only: only plan, and print the plan (templated).
    :param host_kind: as in `BedrockCreateHostOperator`, like the parameters named there (templated).
    """

    template_fields: Sequence[str] = aws_template_fields(
        "workload",
        "root",
        "decision",
        "job",
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
        "smoke",
        "bake",
        "grace_hours",
        "lease_hours",
        "generation",
        "plan_only",
        "resource_owner",
        "waiter_delay",
        "host_wait_hours",
    )

    def __init__(
        self,
        *,
        decision: Mapping[str, Any] | str,
        job: Mapping[str, Any] | str | None = None,
        host_kind: str = "auto",
        units: int | str | None = None,
        commitment: str = "none",
        accept_commitment: bool | str = False,
        hourly_price: float | str | None = None,
        ends_at: str | None = None,
        daily_price_cap: float | str | None = None,
        input_tokens_per_day: float | str | None = None,
        output_tokens_per_day: float | str | None = None,
        prices: str | None = None,
        smoke: Mapping[str, Any] | str | None = None,
        bake: Mapping[str, Any] | str | None = None,
        grace_hours: float | str = 2.0,
        lease_hours: float | str = 24.0,
        generation: int | str = 1,
        plan_only: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.decision = decision
        self.job = job
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
        self.smoke = smoke
        self.bake = bake
        self.grace_hours = grace_hours
        self.lease_hours = lease_hours
        self.generation = generation
        self.plan_only = plan_only

    def work(self, context: Any) -> dict[str, Any]:
        from airflow_distill.aws.promotion import prepare, promotion_intent, rates_from, read_prices
        from airflow_distill.stages.deployment.plan import render
        from airflow_distill.stages.deployment.settings import bake_settings, host_wish, probe_settings

        decision = receipt(self.decision, "decision")
        if decision.get("verdict") != "promote":
            raise AirflowSkipException(f"The verdict is {decision.get('verdict')!r}; nothing is promoted.")
        store = store_for(self.gateways, self.root)
        intent = promotion_intent(
            store,
            root=self.root,
            workload=self.workload,
            decision=decision,
            job=receipt(self.job, "job"),
            run=run_key(context),
            owner=self.resource_owner or self.owner,
            generation=whole(self.generation, "generation") or 1,
            wish=host_wish(
                kind=self.host_kind,
                units=self.units,
                commitment=self.commitment,
                hourly_price=self.hourly_price,
                ends_at=self.ends_at,
                daily_price_cap=self.daily_price_cap,
                accept_commitment=self.accept_commitment,
                input_tokens_per_day=self.input_tokens_per_day,
                output_tokens_per_day=self.output_tokens_per_day,
            ),
            smoke=probe_settings(settings_of(self.smoke, {})),
            bake=bake_settings(settings_of(self.bake, {})),
            grace_hours=number(self.grace_hours, "grace_hours") or 0.0,
            lease_hours=number(self.lease_hours, "lease_hours") or 24.0,
        )
        prepared = prepare(
            self.gateways,
            store,
            intent,
            now=self.now(),
            rates=rates_from(read_prices(self.gateways, self.prices), self.gateways.bedrock.region),
            dry_run=flag(self.plan_only),
        )
        self.log.info("Plan:\n%s", render(prepared.plan))
        return self.carry_out(context, prepared)


class BedrockRollbackModelOperator(ReleaseOperator):
    """Go back to an older release: the same code as a promotion, with an older ledger entry.

    :param to: the release to bring back; the one before the present model when left out (templated).
    :param why: one sentence for the ledger (templated).
    """

    template_fields: Sequence[str] = aws_template_fields(
        "workload", "root", "to", "why", "resource_owner", "waiter_delay", "host_wait_hours"
    )

    def __init__(self, *, to: int | str | None = None, why: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.to = to
        self.why = why

    def work(self, context: Any) -> dict[str, Any]:
        from airflow_distill.aws.promotion import prepare, rollback_intent
        from airflow_distill.stages.deployment.ledger import Ledger
        from airflow_distill.stages.deployment.plan import render

        store = store_for(self.gateways, self.root)
        intent = rollback_intent(
            Ledger(store, self.root, self.workload).read(),
            root=self.root,
            workload=self.workload,
            run=run_key(context),
            owner=self.resource_owner or self.owner,
            to=whole(self.to, "to"),
            why=self.why,
            once=True,
        )
        prepared = prepare(self.gateways, store, intent, now=self.now())
        self.log.info("Plan:\n%s", render(prepared.plan))
        return self.carry_out(context, prepared)


class ReapUnusedOperator(DistillOperator):
    """Find what still bills under our tags although nobody needs it; remove it only when told to.

    Compares the account with pointers and ledgers. Resources without our tags are never touched. Returns what was found,
    what it costs a day, and what was removed.

    :param root: common root of all workloads' objects (templated).
    :param workload: only resources of this workload; all when left out (templated).
    :param delete: remove what may be removed; a dry run otherwise (templated).
    :param grace_hours: for hosts that nothing points at and that carry no end (templated).
    :param model_grace_days: for models that were never released and carry no end (templated).
    :param keep_releases: how many older releases keep their model as a way back (templated).
    :param artefacts: also delete the job output of removed models (templated).
    :param prices: URI or path of a price table that replaces the packaged one (templated).
    :param fail_if_found: fail the task when something may be removed and was not, so that somebody is told.
    """

    template_fields: Sequence[str] = aws_template_fields(
        "root",
        "workload",
        "delete",
        "grace_hours",
        "model_grace_days",
        "keep_releases",
        "artefacts",
        "prices",
    )

    def __init__(
        self,
        *,
        root: str,
        workload: str | None = None,
        delete: bool | str = False,
        grace_hours: float | str = 24.0,
        model_grace_days: float | str = 14.0,
        keep_releases: int | str = 1,
        artefacts: bool | str = False,
        prices: str | None = None,
        fail_if_found: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.root = root
        self.workload = workload
        self.delete = delete
        self.grace_hours = grace_hours
        self.model_grace_days = model_grace_days
        self.keep_releases = keep_releases
        self.artefacts = artefacts
        self.prices = prices
        self.fail_if_found = fail_if_found

    def work(self, context: Any) -> dict[str, Any]:
        from airflow_distill.aws.promotion import read_prices
        from airflow_distill.aws.reap import remove_finds, survey_account
        from airflow_distill.stages.deployment.reap import ReapRules, render_finds

        gateways, store = self.gateways, store_for(self.gateways, self.root)
        table = read_prices(gateways, self.prices)
        finds = survey_account(
            gateways,
            store,
            self.root,
            now=datetime.now(UTC),
            rules=ReapRules(
                grace_hours=number(self.grace_hours, "grace_hours") or 0.0,
                model_grace_days=number(self.model_grace_days, "model_grace_days") or 0.0,
                keep_releases=whole(self.keep_releases, "keep_releases") or 0,
            ),
            price_of=lambda item, base: table.price(item, base, gateways.bedrock.region),
            workload=self.workload or None,
        )
        self.log.info("Left over:\n%s", render_finds(finds))
        done: tuple[Removal, ...] = ()
        if flag(self.delete):
            done = remove_finds(
                gateways, store, self.root, finds, artefacts=flag(self.artefacts), progress=self.log.info
            )
        said = self._receipt(finds, {r.find.arn for r in done if r.removed})
        if self.fail_if_found and said["removable"] > said["removed"]:
            context["ti"].xcom_push(key="return_value", value=said)
            raise AirflowFailException(
                f"deployment: {said['removable'] - said['removed']} resource(s) still bill and nobody needs them."
            )
        return said

    def _receipt(self, finds: tuple[Find, ...], removed: set[str]) -> dict[str, Any]:
        from airflow_distill.stages.deployment.reap import daily_total

        price, unknown = daily_total(finds)
        return {
            "kind": "reap",
            "v": 1,
            "found": len(finds),
            "removable": sum(find.action == "remove" for find in finds),
            "removed": len(removed),
            "daily_price": round(price, 4),
            "unknown_prices": unknown,
            "finds": [
                [
                    find.action,
                    find.kind,
                    find.name,
                    find.workload,
                    find.daily_price,
                    find.until or find.expires_at,
                ]
                for find in finds[:8]
            ],
        }


class SmokeTestOperator(DistillOperator):
    """Ask the live host a few held-out prompts and hold the answers against the expected shape.

    :param workload: the workload's name (templated).
    :param root: common root of all workloads' objects (templated).
    :param deployment: receipt of the deployment; the pointer's host when left out (templated).
    :param smoke: settings, see `stages.deployment.records.ProbeSettings` (templated).
    """

    template_fields: Sequence[str] = aws_template_fields("workload", "root", "deployment", "smoke")

    def __init__(
        self,
        *,
        workload: str,
        root: str,
        deployment: Mapping[str, Any] | str | None = None,
        smoke: Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.deployment = deployment
        self.smoke = smoke

    def work(self, context: Any) -> dict[str, Any]:
        from airflow_distill.aws.execute import probe_host
        from airflow_distill.aws.promotion import heldout_reader
        from airflow_distill.stages.deployment.ledger import Ledger
        from airflow_distill.stages.deployment.settings import probe_settings

        settings = probe_settings(settings_of(self.smoke, {}))
        if settings is None:
            raise AirflowSkipException("The smoke test is turned off.")
        arn, release = self._where()
        store = store_for(self.gateways, self.root)
        entry = Ledger(store, self.root, self.workload).read().entry(release)
        if entry is None:
            raise DeploymentError(
                f"deployment: the ledger of {self.workload} has no release {release}.",
                hint="Check root and workload; `airflow-distill release list` shows the ledger.",
            )
        examples = heldout_reader(store, entry.release.evidence)()
        result = probe_host(self.gateways, arn, examples, settings, sleep=time.sleep)
        if not result.passed:
            raise DeploymentError(
                f"deployment: the smoke test of {arn} failed: {'; '.join(result.reasons)}.",
                hint="`airflow-distill release rollback` brings the release before back.",
            )
        return {
            "kind": "smoke",
            "v": 1,
            "workload": self.workload,
            "release": release,
            "host_arn": arn,
            "asked": result.asked,
            "shaped": result.shaped,
            "score": result.score,
        }

    def _where(self) -> tuple[str, int]:
        from airflow_distill.aws.account import read_pointer

        said = receipt(self.deployment, "deployment")
        if said.get("host_arn"):
            return str(said["host_arn"]), int(said["release"])
        pointer = read_pointer(self.gateways.parameters, self.workload)
        if pointer is None:
            raise DeploymentError(
                f"deployment: {self.workload} has no pointer, so nothing is live.",
                hint="Promote a model first.",
            )
        return pointer.host_arn, pointer.release


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


def _just_created(spec: HostSpec, arn: str, model_arn: str, tags: Mapping[str, str]) -> Host:
    """Return a host that the service accepted and does not show yet."""
    from airflow_distill.aws.account import base_of_arn
    from airflow_distill.stages.deployment.records import Host

    return Host(
        kind=spec.kind,
        arn=arn,
        name=spec.name,
        model_arn=model_arn,
        desired_arn=model_arn,
        base_model=base_of_arn(model_arn),
        status="Creating",
        units=spec.units,
        tags=dict(tags),
    )
