"""Promotion, rollback and smoke test as Airflow tasks.

Every operator keeps its arguments, asks `aws/` for the present state and hands on one receipt; after a wait it begins anew,
because the account and the ledger tell how far it came. Planning lives in `stages/deployment`, carrying out in
`aws/execute.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_distill.aws.gateways import store_for
from airflow_distill.errors import (
    DeploymentError,
)
from airflow_distill.links.bedrock import BedrockHostLink, persist_arn_link
from airflow_distill.operators.base import DistillOperator, run_key
from airflow_distill.operators.hosts import (
    HostWaitingOperator,
    HostWishOperator,
    JudgesStuckHosts,
    receipt,
    settings_of,
)
from airflow_distill.stages.deployment.values import flag, number, whole

if TYPE_CHECKING:
    from airflow_distill.aws.promotion import Prepared
    from airflow_distill.stages.deployment.ledger import Ledger
    from airflow_distill.stages.deployment.records import Live, Outcome


class ReleaseOperator(JudgesStuckHosts, HostWaitingOperator):
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
            patience=self.patience,
        )
        while True:
            reached = execution.advance()
            if isinstance(reached, Waiting):
                persist_arn_link(BedrockHostLink, context, self, reached.host_arn)
                self.wait_for_host(
                    reached.host_kind,
                    reached.host_arn,
                    reached.model_arn,
                    reached.since or entry.release.claimed_at,
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
    """

    template_fields: Sequence[str] = aws_template_fields(
        "workload",
        "root",
        "decision",
        "job",
        *HostWishOperator.wish_fields,
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
        self.smoke = smoke
        self.bake = bake
        self.grace_hours = grace_hours
        self.lease_hours = lease_hours
        self.generation = generation
        self.plan_only = plan_only

    def work(self, context: Any) -> dict[str, Any]:
        from airflow_distill.aws.account import base_of_arn
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.aws.promotion import prepare, promotion_intent, rates_from
        from airflow_distill.stages.deployment.plan import render
        from airflow_distill.stages.deployment.settings import bake_settings, probe_settings

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
            wish=self.wish(self.ends_at),
            smoke=probe_settings(settings_of(self.smoke, {})),
            bake=bake_settings(settings_of(self.bake, {})),
            grace_hours=number(self.grace_hours, "grace_hours") or 0.0,
            lease_hours=number(self.lease_hours, "lease_hours") or 24.0,
        )
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
