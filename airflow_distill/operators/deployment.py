"""Promotion, rollback and smoke test as Airflow tasks.

Every operator keeps its arguments, asks `aws/` for the present state and hands on one receipt; after a wait it begins anew,
because the account and the ledger tell how far it came. Planning lives in `stages/deployment`, carrying out in
`aws/execute.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_distill.aws.gateways import store_for
from airflow_distill.errors import ConfigurationError, DeploymentError, DistillError
from airflow_distill.links.bedrock import BedrockHostLink, persist_arn_link
from airflow_distill.operators.base import DistillOperator, airflow_errors, runner_key
from airflow_distill.operators.hosts import (
    HostWaitingOperator,
    HostWishOperator,
    JudgesStuckHosts,
    receipt,
    settings_of,
)
from airflow_distill.remote.identity import is_same_runner
from airflow_distill.remote.polling import deadline_after
from airflow_distill.stages.deployment.values import flag, number, whole

if TYPE_CHECKING:
    from airflow_distill.aws.execute import Against, Execution
    from airflow_distill.aws.promotion import Prepared
    from airflow_distill.operators.spending import PaidStep
    from airflow_distill.stages.decision.approval import ApprovalRule
    from airflow_distill.stages.deployment.ledger import Ledger
    from airflow_distill.stages.deployment.records import Live, Outcome, ProbeSettings, Release
    from airflow_distill.stages.money.records import Tokens, Usage
    from airflow_distill.stages.money.usage import CallMeter

LEASE_MINUTES = 15.0
"""A release on which nobody has worked for so long may be taken over by any run."""


PROBED = "the released model"


class ReleaseOperator(JudgesStuckHosts, HostWaitingOperator):
    """Base of promotion and rollback: carries a release out, deferring where the service or the bake period needs time.

    :param workload: the workload's name (templated).
    :param root: common root of all workloads' objects (templated).
    :param fail_on_rollback: fail the task when the model was rolled back; its receipt is pushed either way.
    :param resource_owner: value of the owner tag; the task's owner when left out (templated).
    :param lease_minutes: after so long without a sign of life another run may take the release over (templated).
    """

    needs_turn = True

    def __init__(
        self,
        *,
        workload: str,
        root: str,
        fail_on_rollback: bool = True,
        resource_owner: str | None = None,
        lease_minutes: float | str = LEASE_MINUTES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.lease_minutes = lease_minutes
        self.workload = workload
        self.root = root
        self.fail_on_rollback = fail_on_rollback
        self.resource_owner = resource_owner

    def carry_out(self, context: Any, prepared: Prepared, *, force: bool = False) -> dict[str, Any]:
        """Advance the release until it has ended, and return its receipt."""
        from airflow_distill.stages.deployment.ledger import Ledger
        from airflow_distill.stages.deployment.plan import render

        if prepared.entry is None:
            for line in ("Dry run, nothing is changed:", *render(prepared.plan).splitlines()):
                self.log.info("%s", line)
            return self._receipt(prepared, None, None)
        outcome = self.advance(context, prepared, force=force)
        store = store_for(self.gateways, self.root)
        return self._ended(context, prepared, outcome, Ledger(store, self.root, self.workload))

    def advance(
        self, context: Any, prepared: Prepared, *, force: bool = False, against: Against | None = None
    ) -> Outcome:
        """Advance a release until it has ended; defers where the service or the bake period needs time.

        :param force: take it over although somebody works on it.
        :param against: why it is to be rolled back, if it is.
        """
        execution = self.execution(context, prepared, force=force)
        try:
            if against is not None:
                execution.turn_back(against.reasons, against.cause)
            return self._to_the_end(context, execution)
        except Exception:
            # nobody works on it until the next try: that one, or any later run, need not wait for the hold to run out
            self._give_back(execution)
            raise
        finally:
            if execution.meter is not None:
                execution.meter.close()

    def execution(self, context: Any, prepared: Prepared, *, force: bool = False) -> Execution:
        """Return what carries a release out in the name of this run and try."""
        from airflow_distill.aws.execute import Execution
        from airflow_distill.aws.promotion import heldout_reader
        from airflow_distill.stages.deployment.ledger import Ledger

        store = store_for(self.gateways, self.root)
        entry = prepared.entry
        assert entry is not None
        run = runner_key(context)
        step = self.paid_step(context, prepared)
        return Execution(
            gateways=self.gateways,
            ledger=Ledger(store, self.root, self.workload),
            entry=entry,
            plan=prepared.plan,
            examples=heldout_reader(store, entry.release.evidence),
            clock=self.now,
            sleep=self.pause,
            progress=self.log.info,
            patience=self.patience,
            run=run,
            holder=f"{run} {self.task_id} try {getattr(context['ti'], 'try_number', 1)}",
            lease_minutes=number(self.lease_minutes, "lease_minutes") or LEASE_MINUTES,
            force=force,
            user_tags=dict(getattr(self, "tags", None) or {}),
            meter=step.meter(PROBED, *_billed(prepared), _most_of_a_probe(prepared)),
        )

    def paid_step(self, context: Any, prepared: Prepared) -> PaidStep:
        """Return the part of the run that the questions to the host belong to; without a budget nothing is claimed."""
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.operators.spending import PaidStep, read_budget
        from airflow_distill.remote.hosts import base_of_arn
        from airflow_distill.stages.money.usage import RELEASE

        assert prepared.entry is not None
        dataset_id = prepared.entry.release.evidence.dataset_id or "unknown"
        table = read_prices(
            self.gateways,
            getattr(self, "prices", None),
            student=base_of_arn(prepared.plan.target.model_arn),
            stated=getattr(self, "student_prices", None),
        )
        place = (self.workload, self.root, dataset_id)
        budget = read_budget(getattr(self, "budget", None))
        return PaidStep(self.gateways, context, *place, RELEASE, table, budget, clock=self.now)

    def _to_the_end(self, context: Any, execution: Execution) -> Outcome:
        from airflow_distill.aws.execute import Pausing, Waiting, is_permanent

        while True:
            reached = execution.advance()
            if isinstance(reached, Waiting):
                persist_arn_link(BedrockHostLink, context, self, reached.host_arn)
                back = execution.going_back
                since = execution.since if back else reached.since or execution.since
                if self._is_late(since):
                    if back:
                        raise execution.left_open(f"{reached.host_arn} does not settle")
                    hours = self.patience.total_seconds() / 3600
                    execution.turn_back(
                        (f"{reached.host_arn} has not settled after {hours:.3g} h",), "failure"
                    )
                    continue
                try:
                    self.wait_for_host(
                        reached.host_kind,
                        reached.host_arn,
                        reached.model_arn,
                        since,
                        at_most=self._slice_seconds(),
                    )
                except DistillError as error:
                    if back or not is_permanent(error):
                        raise
                    execution.turn_back((error.message,), "failure")
            elif isinstance(reached, Pausing):
                self.pause_until(min(reached.until, self.now() + timedelta(seconds=self._slice_seconds())))
            else:
                return reached

    def resume(self, context: Any, event: Any = None) -> Any:
        """Go on after a wait, whatever ended it: the work begins anew and finds how far it came."""
        with airflow_errors():
            return self.work(context)

    def _is_late(self, since: str) -> bool:
        deadline = deadline_after(since, self.patience, self.now())
        return deadline is not None and deadline <= self.now()

    def _slice_seconds(self) -> float:
        """Return how long a wait may last before the hold on the release is renewed, in seconds."""
        from airflow_distill.aws.execute import RENEWED_AFTER

        return (number(self.lease_minutes, "lease_minutes") or LEASE_MINUTES) * 60.0 * RENEWED_AFTER

    def _give_back(self, execution: Execution) -> None:
        try:
            execution.give_back()
        except DistillError as error:
            self.log.warning("The hold on release %s stays until it runs out: %s", execution.release, error)

    def end_open_release(
        self, context: Any, *, but: str = "", force: bool = False, why: str = ""
    ) -> Outcome | None:
        """End a release that another run left open: one on its way to a new model goes back, a rollback is finished.

        :param but: the claim of this task, which it goes on with by itself.
        :raises ReleaseConflictError: somebody works on it.
        """
        from airflow_distill.aws.execute import Against
        from airflow_distill.aws.promotion import unfinished

        prepared = unfinished(
            self.gateways, store_for(self.gateways, self.root), self.root, self.workload, but=but
        )
        if prepared is None or prepared.entry is None:
            return None
        release = prepared.entry.release
        self.log.warning("Release %s of run %s is open.", release.release, release.run)
        reason = why or f"run {release.run or 'unknown'} left it open"
        against = None if release.action == "rollback" else Against((reason,), "lease")
        return self.advance(context, prepared, force=force, against=against)

    def _ended(self, context: Any, prepared: Prepared, outcome: Outcome, ledger: Ledger) -> dict[str, Any]:
        said = self._receipt(prepared, outcome, ledger.read().live())
        persist_arn_link(BedrockHostLink, context, self, said["host_arn"])
        if outcome.outcome == "released":
            return said
        if self.fail_on_rollback:
            context["ti"].xcom_push(key="return_value", value=said)
            again = ""
            if outcome.cause in ("failure", "lease"):
                again = " Nothing speaks against the model itself: fix the cause and clear this task to try again."
            raise AirflowFailException(
                f"deployment: release {outcome.release} of {self.workload} was {outcome.outcome}: "
                f"{'; '.join(outcome.why).rstrip('.')}.{again}"
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
            "pointer": pointer_name(self.workload, self.root),
            "hourly_price": spec.price_per_hour if spec.kind == PROVISIONED else None,
            "expires_at": spec.ends_at,
            "previous": plan.previous,
            "outcome": outcome.outcome if outcome else "dry_run",
            "reasons": [reason[:200] for reason in (outcome.why if outcome else ())][:5],
        }


class BedrockPromoteModelOperator(ReleaseOperator, HostWishOperator):
    """Make a decision's model the live one: same address if possible, proven by a smoke test and a bake period.

    Claims a release number, updates the live host in place (or makes a new one), asks it held-out prompts, publishes the
    pointer, watches it for the bake period and writes the ledger. When a check speaks against the model, or a step fails
    for good, it goes back to the release before in the same task. A retry goes on where account and ledger say it was. A
    release that another run left open is rolled back first. A decision other than "promote" skips the task; one that was
    not judged against what is live now fails it and changes nothing.

    :param decision: receipt of the decision (templated).
    :param job: receipt of the job that made the model (templated).
    :param smoke: settings of the smoke test, see `stages.deployment.records.ProbeSettings`; `off` for none (templated).
    :param bake: settings of the bake period: `probes`, `every_seconds` and limits; `off` for none (templated).
    :param canary: move callers that route by the pointer share by share, see `CanarySettings`: `shares`, `every_seconds`,
        `max_failed`, `least_calls` and the limits of its probes; nothing for all at once. The student then gets a host of
        its own beside the live one, and another address (templated).
    :param grace_hours: how long a host that was replaced stays before the reaper takes it (templated).
    :param generation: raise it to promote again a decision that was rolled back (templated).
    :param approval: the approval rule that stands now, see `ApprovalRule`; an approval that does not satisfy it holds
        (templated).
    :param allow_older: let a model of an older log window replace one of a newer window (templated).
    :param plan_only: only plan, and print the plan (templated).
    :param budget: caps that the release must keep to, as the workload file has them (templated).
    """

    template_fields: Sequence[str] = aws_template_fields(
        "workload",
        "root",
        "decision",
        "job",
        *HostWishOperator.wish_fields,
        "smoke",
        "bake",
        "canary",
        "grace_hours",
        "lease_minutes",
        "generation",
        "approval",
        "allow_older",
        "plan_only",
        "resource_owner",
        "waiter_delay",
        "host_wait_hours",
        "budget",
    )

    def __init__(
        self,
        *,
        decision: Mapping[str, Any] | str,
        job: Mapping[str, Any] | str | None = None,
        smoke: Mapping[str, Any] | str | None = None,
        bake: Mapping[str, Any] | str | None = None,
        canary: Mapping[str, Any] | str | None = None,
        grace_hours: float | str = 2.0,
        generation: int | str = 1,
        approval: Mapping[str, Any] | str | None = None,
        allow_older: bool | str = False,
        plan_only: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.decision = decision
        self.job = job
        self.smoke = smoke
        self.bake = bake
        self.canary = canary
        self.grace_hours = grace_hours
        self.generation = generation
        self.approval = approval
        self.allow_older = allow_older
        self.plan_only = plan_only

    def work(self, context: Any) -> dict[str, Any]:
        from airflow_distill.aws.account import base_of_arn
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.aws.promotion import prepare, promotion_intent, rates_from
        from airflow_distill.stages.deployment.plan import render
        from airflow_distill.stages.deployment.settings import bake_settings, canary_settings, probe_settings

        decision = receipt(self.decision, "decision")
        if not decision:
            raise ConfigurationError(
                f"deployment: the decision's receipt is missing: {tasks_before(context)} returned nothing. "
                "Nothing was changed.",
                hint="A task that was marked successful by hand leaves no receipt: clear it, so that it runs.",
            )
        if decision.get("verdict") != "promote":
            raise AirflowSkipException(f"The verdict is {decision.get('verdict')!r}; nothing is promoted.")
        store = store_for(self.gateways, self.root)
        intent = promotion_intent(
            store,
            root=self.root,
            workload=self.workload,
            decision=decision,
            job=receipt(self.job, "job"),
            run=runner_key(context),
            owner=self.resource_owner or self.owner,
            generation=whole(self.generation, "generation") or 1,
            wish=self.wish(self.ends_at),
            smoke=probe_settings(settings_of(self.smoke, {})),
            bake=bake_settings(settings_of(self.bake, {})),
            canary=canary_settings(settings_of(self.canary, {}) if self.canary else None),
            grace_hours=number(self.grace_hours, "grace_hours") or 0.0,
            lease_minutes=number(self.lease_minutes, "lease_minutes") or LEASE_MINUTES,
            allow_older=flag(self.allow_older),
            approval=self._rule(),
        )
        if not flag(self.plan_only):
            self.end_open_release(context, but=intent.claim)
        table = read_prices(
            self.gateways,
            self.prices,
            student=base_of_arn(intent.model_arn),
            stated=self.student_prices,
        )
        prepared = prepare(
            self.gateways,
            store,
            intent,
            now=self.now(),
            rates=rates_from(table, self.gateways.bedrock.region),
            dry_run=flag(self.plan_only),
        )
        self.log.info("Plan:\n%s", render(prepared.plan))
        if prepared.entry is not None:
            self._claim(context, prepared)
        return self.carry_out(context, prepared)

    def _claim(self, context: Any, prepared: Prepared) -> None:
        """Meet the caps with the questions that are still to be asked, and with the hours of a host of its own."""
        from airflow_distill.operators.spending import whole_of

        step = self.paid_step(context, prepared)
        base, kind = _billed(prepared)
        asked = sum(record.calls for record in step.records())
        left = max(0, sum(each.prompts for each in _probes(prepared)) - asked)
        most = _most_of_a_probe(prepared).times(left)
        step.claim(whole_of(step.stage, kind, base, [most]), beside=_hosting(prepared, self.now()))

    def _rule(self) -> ApprovalRule | None:
        from airflow_distill.stages.decision.approval import ApprovalRule

        rule = settings_of(self.approval, {})
        return None if not rule else ApprovalRule.from_json(rule)


class BedrockRollbackModelOperator(ReleaseOperator):
    """Go back to an older release: the same code as a promotion, with an older ledger entry.

    A promotion that another run is in the middle of is taken over and rolled back; without `to` that is all.

    :param to: the release to bring back; the one before the present model when left out (templated).
    :param why: one sentence for the ledger (templated).
    """

    template_fields: Sequence[str] = aws_template_fields(
        "workload",
        "root",
        "to",
        "why",
        "resource_owner",
        "lease_minutes",
        "waiter_delay",
        "host_wait_hours",
    )

    def __init__(self, *, to: int | str | None = None, why: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.to = to
        self.why = why

    def work(self, context: Any) -> dict[str, Any]:
        from airflow_distill.aws.execute import Against
        from airflow_distill.aws.promotion import prepare, rollback_intent, unfinished
        from airflow_distill.stages.deployment.ledger import Ledger
        from airflow_distill.stages.deployment.plan import render

        store = store_for(self.gateways, self.root)
        ledger = Ledger(store, self.root, self.workload)
        opened = unfinished(self.gateways, store, self.root, self.workload)
        if opened is not None and opened.entry is not None and opened.entry.release.action == "promote":
            against = Against((self.why or f"run {runner_key(context)} asked to go back",), "person")
            outcome = self.advance(context, opened, force=True, against=against)
            if whole(self.to, "to") is None:
                return self._receipt(opened, outcome, ledger.read().live())
        intent = rollback_intent(
            ledger.sound(),
            root=self.root,
            workload=self.workload,
            run=runner_key(context),
            owner=self.resource_owner or self.owner,
            to=whole(self.to, "to"),
            why=self.why,
            once=True,
        )
        prepared = prepare(self.gateways, store, intent, now=self.now())
        self.log.info("Plan:\n%s", render(prepared.plan))
        return self.carry_out(context, prepared)


class GuardReleaseOperator(ReleaseOperator):
    """End the release that this Dag run left open: the unproven model goes, the one before answers again.

    Put it behind the promotion as a teardown that runs whatever became of it: failed, killed, marked failed or successful
    by a person in the middle of the swap or the bake period. A release of another run is left to that run.
    """

    needs_turn = False  # what its run has left open it must end, and the release has a fence of its own
    template_fields: Sequence[str] = aws_template_fields(
        "workload", "root", "resource_owner", "lease_minutes", "waiter_delay", "host_wait_hours"
    )

    def work(self, context: Any) -> dict[str, Any]:
        from airflow_distill.stages.deployment.ledger import Ledger

        store = store_for(self.gateways, self.root)
        entry = Ledger(store, self.root, self.workload).read().open
        outcome = None
        if entry is not None and is_same_runner(entry.release.run, runner_key(context)):
            why = "its run ended before it was proven"
            outcome = self.end_open_release(context, force=True, why=why)
        return {
            "kind": "guard",
            "v": 1,
            "workload": self.workload,
            "release": outcome.release if outcome else None,
            "outcome": outcome.outcome if outcome else None,
        }


class CheckReleaseOperator(ReleaseOperator):
    """Compare ledger, pointer and live host before a run begins, and end a release that a dead run left open.

    What differs (the host is gone, failed, serves another model or lost its tags; the pointer names something else; the
    ledger was cut short or rewritten) fails the task with one sentence each and the command that mends it, before
    anything is paid.

    :param on_drift: `fail`, or `tell` to log it only and go on.
    """

    template_fields: Sequence[str] = aws_template_fields(
        "workload", "root", "resource_owner", "lease_minutes", "waiter_delay", "host_wait_hours", "on_drift"
    )

    def __init__(self, *, on_drift: str = "fail", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.on_drift = on_drift

    def work(self, context: Any) -> dict[str, Any]:
        from airflow_distill.aws.promotion import look_for_drift

        if self.on_drift not in ("fail", "tell"):
            raise ConfigurationError(
                f"deployment: on_drift is {self.on_drift!r}.", hint="Use `fail` or `tell`."
            )
        store = store_for(self.gateways, self.root)
        standing, found = look_for_drift(self.gateways, store, self.root, self.workload, self.now())
        if any(each.code == "open-release" for each in found):
            self.end_open_release(context)
            standing, found = look_for_drift(self.gateways, store, self.root, self.workload, self.now())
        said = {
            "kind": "release-check",
            "v": 1,
            "workload": self.workload,
            "release": standing.live.release if standing.live else None,
            "drift": [each.to_json() for each in found][:3],
        }
        for each in found:
            self.log.error("Release drift of %s: %s", self.workload, each)
        if found and self.on_drift == "fail":
            context["ti"].xcom_push(key="return_value", value=said)
            raise DeploymentError(
                f"deployment: production of {self.workload} is not what its ledger says: "
                f"{' '.join(each.said for each in found)}",
                hint=f"Fix: {found[0].mend}.",
            )
        return said


def _billed(prepared: Prepared) -> tuple[str, str]:
    """Return the base model that a probe is billed as, and how."""
    from airflow_distill.remote.hosts import base_of_arn
    from airflow_distill.stages.deployment.records import ON_DEMAND

    target = prepared.plan.target
    return base_of_arn(target.model_arn), "deployment" if target.host.kind == ON_DEMAND else ""


def _probes(prepared: Prepared) -> list[ProbeSettings]:
    """Return every round of questions that the plan has, one entry a round."""
    from airflow_distill.stages.deployment.records import Bake, ShiftTraffic, SmokeTest

    rounds = []
    for step in prepared.plan.steps:
        if isinstance(step, SmokeTest):
            rounds.append(step.settings)
        elif isinstance(step, Bake):
            rounds += [step.settings.limits] * step.settings.probes
        elif isinstance(step, ShiftTraffic):
            rounds += [step.settings.limits] * len(step.settings.shares)
    return rounds


def _most_of_a_probe(prepared: Prepared) -> Tokens:
    from airflow_distill.stages.money.estimate import MOST_PROMPT
    from airflow_distill.stages.money.records import Tokens

    return Tokens(MOST_PROMPT, max((each.max_tokens for each in _probes(prepared)), default=0))


def _hosting(prepared: Prepared, now: datetime) -> list[Usage]:
    """Return the hours that a host of its own would be paid for until its end, outside of what the run may cost."""
    from airflow_distill.remote.hosts import base_of_arn
    from airflow_distill.stages.deployment.times import moment_of
    from airflow_distill.stages.money.prices import PROVISIONED
    from airflow_distill.stages.money.records import Usage, decimal

    host, ends = prepared.plan.target.host, moment_of(prepared.plan.target.host.ends_at)
    if host.kind != PROVISIONED or ends is None:
        return []
    hours = decimal(max(0.0, (ends - now).total_seconds())) / 3600 * (host.units or 1)
    each = None if host.hourly_price is None else decimal(host.hourly_price)
    return [Usage("release", PROVISIONED, base_of_arn(prepared.plan.target.model_arn), hours, each)]


def tasks_before(context: Any) -> str:
    """Name the tasks directly upstream, for a message about what they did not hand on."""
    names = sorted(getattr(context.get("task"), "upstream_task_ids", ()) or ())
    return f"task {' or '.join(names)}" if names else "the task before"


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
        meter = self._meter(context, entry.release, arn, settings)
        try:
            result = probe_host(self.gateways, arn, examples, settings, sleep=time.sleep, meter=meter)
        finally:
            meter.close()
        if not result.passed:
            raise DeploymentError(
                f"deployment: the smoke test of {arn} failed: {'; '.join(result.reasons)}.",
                hint="`airflow-distill release rollback` goes back to the previous release.",
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

    def _meter(self, context: Any, release: Release, arn: str, settings: ProbeSettings) -> CallMeter:
        """Return what counts the questions, in the record of the run that made the release."""
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.operators.spending import PaidStep, billing_of
        from airflow_distill.stages.money.estimate import MOST_PROMPT
        from airflow_distill.stages.money.records import Tokens
        from airflow_distill.stages.money.usage import RELEASE

        kind, base = billing_of(arn, release.target.model_arn)
        table = read_prices(self.gateways, None, student=base)
        place = (self.workload, self.root, release.evidence.dataset_id or "unknown")
        step = PaidStep(self.gateways, context, *place, RELEASE, table)
        return step.meter("smoke test", base, kind, Tokens(MOST_PROMPT, settings.max_tokens))

    def _where(self) -> tuple[str, int]:
        from airflow_distill.aws.pointers import read_pointer
        from airflow_distill.stages.deployment.ledger import Ledger

        said = receipt(self.deployment, "deployment")
        if said.get("host_arn"):
            return str(said["host_arn"]), int(said["release"])
        pointer = read_pointer(
            self.gateways.parameters,
            self.workload,
            self.root,
            Ledger(store_for(self.gateways, self.root), self.root, self.workload).read().hosts,
        )
        if pointer is None:
            raise DeploymentError(
                f"deployment: {self.workload} has no pointer, so nothing is live.",
                hint="Promote a model first.",
            )
        return pointer.host_arn, pointer.release
