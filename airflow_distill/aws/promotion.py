"""From an intent (promote a decision's model, or go back to an older release) to a claimed release with its plan.

Reads the ledger and the account, checks the evidence against the bucket, refuses what cannot or may not be bought, and only
then claims a release number. The same intent asked for again finds its own claim and goes on with it. Nothing here is paid
for; `aws/execute.py` carries the plan out. Used by the operators and the command line alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from airflow_distill.aws.account import base_of_arn, find_host, read_capability
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.hosts import free_name
from airflow_distill.errors import DeploymentError, ServiceNotFoundError
from airflow_distill.remote.identity import host_name
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.deployment.hosts import Choice, Rates, choose_host, keep_host
from airflow_distill.stages.deployment.ledger import Entry, History, Ledger, live_of, refuse_or_take_over
from airflow_distill.stages.deployment.plan import can_swap, plan_release
from airflow_distill.stages.deployment.probes import read_heldout
from airflow_distill.stages.deployment.records import (
    PROVISIONED,
    Action,
    BakeSettings,
    DeploymentPlan,
    Evidence,
    Host,
    HostKind,
    HostWish,
    Live,
    ProbeSettings,
    Release,
    Target,
)
from airflow_distill.stages.deployment.times import iso
from airflow_distill.stages.digest import digest, sha256_hex
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore, join_uri

REVIEW_DAYS = 90
"""An on-demand host without an end date is to be looked at again after so many days; it bills nothing while idle."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What somebody wants to be live, and how it must prove itself.

    :param claim: identity of the intent; asked for again, it finds its own claim.
    :param lease_hours: after that time without an outcome another run may take over.
    """

    workload: str
    root: str
    claim: str
    model_arn: str
    run: str
    owner: str
    wish: HostWish = field(default_factory=HostWish)
    smoke: ProbeSettings | None = field(default_factory=ProbeSettings)
    bake: BakeSettings | None = field(default_factory=BakeSettings)
    grace_hours: float = 2.0
    lease_hours: float = 24.0
    action: Action = "promote"
    restores: int | None = None
    why: tuple[str, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A release that may be carried out: its entry (None in a dry run) and its plan."""

    plan: DeploymentPlan
    entry: Entry | None
    choice: Choice | None = None


def promotion_intent(
    store: ObjectStore,
    *,
    root: str,
    workload: str,
    decision: Mapping[str, Any],
    run: str,
    owner: str,
    job: Mapping[str, Any] | None = None,
    generation: int = 1,
    **settings: Any,
) -> Intent:
    """Turn a decision's receipt into an intent, after checking that the bucket holds what the receipt says.

    :param generation: raise it to promote a decision again that was rolled back.
    :raises DeploymentError: the verdict is not "promote", or the evidence does not fit.
    """
    if decision.get("verdict") != "promote":
        raise DeploymentError(
            f"deployment: the verdict on {workload} is {decision.get('verdict')!r}, not 'promote'.",
            hint="Only a decision to promote is carried out; see its reasons.",
        )
    model_arn = str(decision.get("model_arn") or (job or {}).get("custom_model_arn") or "")
    trained = str((job or {}).get("custom_model_arn") or model_arn)
    if not model_arn or trained != model_arn:
        raise DeploymentError(
            f"deployment: the decision is about {model_arn or 'no model'}, the job made {trained or 'none'}.",
            hint="Decision and job must belong to one run.",
        )
    evidence = read_evidence(store, root, workload, decision, str((job or {}).get("job_arn") or ""))
    return Intent(
        workload=workload,
        root=root,
        claim=digest(["promote", evidence.decision_id, model_arn, generation], 32),
        model_arn=model_arn,
        run=run,
        owner=owner,
        why=tuple(str(reason) for reason in decision.get("reasons") or ()),
        evidence=evidence,
        **settings,
    )


def read_evidence(
    store: ObjectStore, root: str, workload: str, decision: Mapping[str, Any], job_arn: str
) -> Evidence:
    """Check the decision and scorecard against the bucket, and take the digest of the dataset's manifest.

    :raises DeploymentError: an object is missing or has other bytes than the receipt says.
    """
    for name in ("decision", "scorecard"):
        uri, sha256 = str(decision.get(f"{name}_uri") or ""), str(decision.get(f"{name}_sha256") or "")
        if not uri or not sha256:
            raise DeploymentError(
                f"deployment: the decision's receipt names no {name} with a digest.",
                hint="No promotion without evidence: pass on the receipt of the decision task.",
            )
        if sha256_hex(_read(store, uri, name)) != sha256:
            raise DeploymentError(
                f"deployment: {uri} is not the {name} that the receipt names (the digest differs).",
                hint="It was changed after the decision; decide again.",
            )
    _must_say_promote(_read(store, str(decision["decision_uri"]), "decision"), decision)
    dataset_id = str(decision.get("dataset_id") or "")
    manifest_uri = join_uri(root, workload, "datasets", dataset_id, "manifest.json")
    return Evidence(
        decision_id=str(decision.get("decision_id") or ""),
        decision_uri=str(decision["decision_uri"]),
        decision_sha256=str(decision["decision_sha256"]),
        scorecard_uri=str(decision["scorecard_uri"]),
        scorecard_sha256=str(decision["scorecard_sha256"]),
        dataset_id=dataset_id,
        manifest_uri=manifest_uri,
        manifest_sha256=sha256_hex(_read(store, manifest_uri, "manifest")),
        job_arn=job_arn or str(decision.get("job_arn") or ""),
    )


def _must_say_promote(raw: bytes, decision: Mapping[str, Any]) -> None:
    """Hold the record in the bucket against its receipt: the record has the last word."""
    try:
        record = dict(json.loads(raw))
    except (ValueError, TypeError):
        record = {"outcome": "unreadable"}
    model = record.get("model_arn", decision.get("model_arn"))
    if record.get("outcome", "promote") != "promote" or model != decision.get("model_arn"):
        raise DeploymentError(
            f"deployment: {decision['decision_uri']} says {record.get('outcome')} of {model}, its receipt says promote.",
            hint="Pass on the receipt of the decision or approval task itself.",
        )


def rollback_intent(
    history: History,
    *,
    root: str,
    workload: str,
    run: str,
    owner: str,
    to: int | None = None,
    why: str = "",
    wish: HostWish | None = None,
    once: bool = False,
    **settings: Any,
) -> Intent:
    """Turn "go back" into an intent: the same as a promotion, of an older entry's model.

    A rollback of the same run that is still open is gone on with.

    :param to: the release to bring back; the one live before the present model when left out.
    :param once: a run that has gone back already has done so; asked again, it finds its own entry.
    :raises DeploymentError: nothing is live, or that release never was.
    """
    live = history.live()
    for past in reversed(history.entries):
        ours = past.release.action == "rollback" and past.release.run == run
        if ours and (once or past.outcome is None):
            return _resumed(past, root, settings)
    if live is None:
        raise DeploymentError(
            f"deployment: no release of {workload} is live.", hint="There is nothing to go back from."
        )
    goal = _goal(history, live, workload, to)
    spec = goal.target.host
    entry = history.entry(goal.release)
    return Intent(
        workload=workload,
        root=root,
        claim=digest(["rollback", live.release, goal.release], 32),
        model_arn=goal.target.model_arn,
        run=run,
        owner=owner,
        wish=wish
        or HostWish(
            kind=spec.kind,
            units=spec.units,
            hourly_price=spec.hourly_price,
            ends_at=spec.ends_at,
        ),
        action="rollback",
        restores=goal.release,
        why=(why or f"asked for: back from release {live.release} to release {goal.release}",),
        evidence=entry.release.evidence if entry else Evidence(),
        **{"smoke": None, "bake": None, **settings},
    )


def _resumed(entry: Entry, root: str, settings: Mapping[str, Any]) -> Intent:
    release = entry.release
    return Intent(
        workload=release.workload,
        root=root,
        claim=release.claim,
        model_arn=release.target.model_arn,
        run=release.run,
        owner=release.owner,
        action="rollback",
        restores=release.restores,
        why=release.why,
        evidence=release.evidence,
        **{"smoke": None, "bake": None, **settings},
    )


def _goal(history: History, live: Live, workload: str, to: int | None) -> Live:
    if to is None:
        now_live = history.entry(live.release)
        since = now_live.release.restores if now_live and now_live.release.restores else live.release
        before = [
            past
            for past in history.releases()
            if past.release < since and past.target.model_arn != live.target.model_arn
        ]
        if not before:
            raise DeploymentError(
                f"deployment: {workload} has no older release to go back to.",
                hint="`airflow-distill release list` shows what there is; `--to` brings any of them back.",
            )
        return before[-1]
    entry = history.entry(to)
    if entry is None:
        raise DeploymentError(
            f"deployment: {workload} has no release {to}.",
            hint="`airflow-distill release list` shows what there is.",
        )
    return live_of(entry)


def prepare(
    gateways: AwsGateways,
    store: ObjectStore,
    intent: Intent,
    *,
    now: datetime,
    rates: Callable[[str], Rates] = lambda base: Rates(),
    dry_run: bool = False,
) -> Prepared:
    """Choose the host, claim a release number and plan the steps.

    :param rates: gives the prices of a base model.
    :param dry_run: claims and changes nothing.
    :raises ConfigurationError, BudgetError, DeploymentError: refused, before anything is paid.
    :raises ReleaseConflictError: another run is in the middle of a release. Nothing was changed.
    """
    ledger = Ledger(store, intent.root, intent.workload)
    history = ledger.read()
    entry, choice = history.claimed_by(intent.claim), None
    if entry is None:
        if not dry_run:
            history = refuse_or_take_over(ledger, history, now)
        live = history.live()
        choice = _choose(gateways, intent, live, now, rates)
        release = _release(intent, history, choice, live, now)
        if not dry_run:
            entry = ledger.claim(release)
    else:
        release = entry.release
    live = history.live(before=release.release)
    host = _live_host(gateways, live)
    plan = plan_release(
        workload=intent.workload,
        release=release.release,
        target=release.target,
        live=live,
        hosts=() if host is None else (host,),
        smoke=intent.smoke,
        bake=intent.bake,
        grace_hours=intent.grace_hours,
    )
    return Prepared(plan, entry, choice)


def _live_host(gateways: AwsGateways, live: Live | None) -> Host | None:
    return None if live is None else find_host(gateways.bedrock, live.host_kind, live.host_arn)


def _choose(
    gateways: AwsGateways,
    intent: Intent,
    live: Live | None,
    now: datetime,
    rates: Callable[[str], Rates],
) -> Choice:
    try:
        model = gateways.bedrock.get_custom_model(intent.model_arn)
    except ServiceNotFoundError as error:
        raise DeploymentError(
            f"deployment: the model {intent.model_arn} does not exist any more.",
            hint="It was retired; distil again, or go back to a release whose model is still there.",
        ) from error
    capability = read_capability(gateways.bedrock, model, gateways.bedrock.region)
    base = base_of_arn(intent.model_arn)
    host = _live_host(gateways, live)
    wish = intent.wish
    if live is not None and host is not None and wish.kind in ("auto", host.kind):
        paid = live.target.host
        same = replace(paid, kind=host.kind, units=wish.units or host.units, commitment=wish.commitment)
        if not can_swap(host, Target(intent.model_arn, base, same)):
            return _reviewed(keep_host(wish, capability, rates(base), now=now, host=host, paid=paid), now)

    def name_of(kind: HostKind) -> str:
        return free_name(
            gateways.bedrock,
            kind,
            lambda generation: live_host_name(
                intent.workload, kind, base, wish, intent.root, generation=generation
            ),
            live.host_arn if live else "",
        )

    return _reviewed(choose_host(wish, capability, rates(base), now=now, name_of=name_of), now)


def live_host_name(
    workload: str, kind: HostKind, base_model: str, wish: HostWish, root: str = "", *, generation: int = 1
) -> str:
    """Return the name of a workload's permanent host under a root.

    It changes with what cannot be changed in place: kind, base model, units and term.
    """
    size = f"{wish.units}:{wish.commitment}" if kind == PROVISIONED else ""
    return host_name(workload, "live", f"{kind}:{base_model}:{size}", generation, root=root)


def _reviewed(choice: Choice, now: datetime) -> Choice:
    """Give an on-demand host a date at which somebody should ask whether it is still wanted."""
    if choice.spec.ends_at is not None:
        return choice
    return replace(choice, spec=replace(choice.spec, ends_at=iso(now + timedelta(days=REVIEW_DAYS))))


def _release(intent: Intent, history: History, choice: Choice, live: Live | None, now: datetime) -> Release:
    last = history.entries[-1] if history.entries else None
    return Release(
        workload=intent.workload,
        release=history.next_number,
        action=intent.action,
        claim=intent.claim,
        claimed_at=iso(now),
        lease_until=iso(now + timedelta(hours=intent.lease_hours)),
        run=intent.run,
        owner=intent.owner,
        target=Target(intent.model_arn, base_of_arn(intent.model_arn), choice.spec),
        previous=live.release if live else None,
        previous_sha256=last.chain_sha256 if last else "",
        why=(*intent.why, *(f"host: {reason}" for reason in choice.reasons)),
        evidence=intent.evidence,
        restores=intent.restores,
    )


def rates_from(table: PriceTable, region: str = "") -> Callable[[str], Rates]:
    """Return what tells a base model's serving prices out of a price table."""

    def rates(base: str) -> Rates:
        def usd(item: str, count: int) -> float | None:
            price = table.price(item, base, region)
            return None if price is None else float(price * count)

        return Rates(
            unit_hour=usd("provisioned-throughput", 1),
            input_per_1k=usd("deployment-input", 1000),
            output_per_1k=usd("deployment-output", 1000),
        )

    return rates


def heldout_reader(store: ObjectStore, evidence: Evidence) -> Callable[[], tuple[Example, ...]]:
    """Return what reads the held-out prompts of a release's dataset, once, and checks their digest."""

    @cache
    def read() -> tuple[Example, ...]:
        if not evidence.manifest_uri:
            return ()
        raw = _read(store, evidence.manifest_uri, "manifest")
        if sha256_hex(raw) != evidence.manifest_sha256:
            raise DeploymentError(
                f"deployment: {evidence.manifest_uri} was changed since the release was claimed.",
                hint="`airflow-distill verify` names what changed.",
            )
        heldout = json.loads(raw)["heldout"]
        return read_heldout(_read(store, heldout["uri"], "held-out file"), heldout["sha256"], heldout["uri"])

    return read


def _read(store: ObjectStore, uri: str, what: str) -> bytes:
    try:
        return store.read(uri)
    except ObjectMissingError as error:
        raise DeploymentError(
            f"deployment: the {what} {uri} is not there.",
            hint="No promotion without evidence; `airflow-distill verify` names every missing link.",
        ) from error
