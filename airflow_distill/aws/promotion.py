"""From an intent (promote a decision's model, or go back to an older release) to a claimed release with its plan.

Reads the ledger and the account, checks the evidence against the bucket, refuses what cannot or may not be bought, holds
what was not judged against what is live now, and only then claims a release number. The same intent asked for again finds
its own claim and goes on with it. Nothing here is paid for; `aws/execute.py` carries the plan out. Used by the operators
and the command line alike.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from airflow_distill.aws.account import base_of_arn, find_host, iter_live_hosts, read_capability
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.hosts import free_name
from airflow_distill.aws.pointers import read_pointer
from airflow_distill.errors import DeploymentError, ServiceAccessError, ServiceNotFoundError, StateError
from airflow_distill.remote.identity import is_same_runner
from airflow_distill.remote.ownership import Owner
from airflow_distill.stages.dataset.records import DatasetManifest, Example
from airflow_distill.stages.decision.approval import ApprovalRule
from airflow_distill.stages.decision.records import DecisionRecord
from airflow_distill.stages.deployment.drift import Drift, Standing, drift
from airflow_distill.stages.deployment.hosts import Choice, Rates, choose_host, keep_host, live_host_name
from airflow_distill.stages.deployment.ledger import Entry, History, Ledger, held, is_held, live_of
from airflow_distill.stages.deployment.plan import can_swap, plan_release
from airflow_distill.stages.deployment.probes import read_heldout
from airflow_distill.stages.deployment.proof import read_proof
from airflow_distill.stages.deployment.records import (
    Action,
    BakeSettings,
    CanarySettings,
    DeploymentPlan,
    Evidence,
    Host,
    HostKind,
    HostWish,
    Incumbent,
    Live,
    ProbeSettings,
    ProofSettings,
    Release,
    Target,
)
from airflow_distill.stages.deployment.times import iso, moment_of
from airflow_distill.stages.digest import digest, record_of, sha256_hex
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore

LEASE_MINUTES = 15.0
"""A release on which nobody has worked for so long may be taken over by any run."""

REVIEW_DAYS = 90
"""An on-demand host without an end date is to be looked at again after so many days; it bills nothing while idle."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What somebody wants to be live, and how it must prove itself.

    :param claim: identity of the intent; asked for again, it finds its own claim.
    :param lease_minutes: after that time without a sign of life another run may take over.
    :param judged_against: what the decision was judged against; promotions only.
    :param window_end: end of the log window behind the model.
    :param allow_older: let this release replace one of a newer window.
    :param differences: by metric, how the model compared with the incumbent, for the running total.
    :param files: bytes of the evidence, kept under their digests at the claim.
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
    canary: CanarySettings | None = None
    lease_minutes: float = LEASE_MINUTES
    action: Action = "promote"
    restores: int | None = None
    why: tuple[str, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)
    judged_against: Incumbent = field(default_factory=Incumbent)
    window_end: str = ""
    allow_older: bool = False
    differences: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


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
    approval: ApprovalRule | None = None,
    **settings: Any,
) -> Intent:
    """Turn a decision's receipt into an intent, after checking that the bucket holds what the receipt says.

    :param generation: raise it to promote a decision again that was rolled back.
    :param approval: the rule that stands now; an approval that does not satisfy it counts as none.
    :raises DeploymentError: the verdict is not "promote", or the evidence does not fit.
    """
    if decision.get("verdict") != "promote":
        raise DeploymentError(
            f"deployment: the verdict on {workload} is {decision.get('verdict')!r}, not 'promote'.",
            hint="Only a decision to promote is carried out; see its reasons.",
        )
    proof = read_proof(store, root, workload, decision, job_arn=str((job or {}).get("job_arn") or ""))
    model_arn = proof.record.model_arn
    trained = str((job or {}).get("custom_model_arn") or model_arn)
    if trained != model_arn:
        raise DeploymentError(
            f"deployment: the decision is about {model_arn}, the job made {trained}.",
            hint="Decision and job must belong to one run.",
        )
    if approval is not None:
        _approved(proof.record, approval)
    return Intent(
        workload=workload,
        root=root,
        claim=digest(["promote", proof.evidence.decision_id, model_arn, generation], 32),
        model_arn=model_arn,
        run=run,
        owner=owner,
        why=tuple(f"{reason.code}: {reason.text}"[:160] for reason in proof.record.reasons[:5]),
        evidence=proof.evidence,
        judged_against=proof.incumbent,
        window_end=proof.manifest.window_end,
        differences=differences(proof.record),
        files=proof.files,
        **settings,
    )


def _approved(record: DecisionRecord, rule: ApprovalRule) -> None:
    """Refuse a decision whose approval does not satisfy the rule that stands now."""
    lines = rule.crossed(record.verdict, record.costs, live=record.incumbent_release is not None)
    if not lines and not record.approval.required:
        return
    counted = rule.accept(record.approval)
    if not counted.approved:
        raise DeploymentError(
            f"deployment: the approval of decision {record.decision_id} does not satisfy the rule that stands now: "
            f"{counted.reason or 'nobody approved'}.",
            hint="Clear the approval task: it asks again.",
        )


def differences(record: DecisionRecord) -> dict[str, float]:
    """Return how the student compared with the incumbent, by metric, over the items that decided."""
    return {
        check.metric: check.estimate
        for check in record.verdict.checks
        if check.code == "quality" and check.against == "incumbent" and check.estimate is not None
    }


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
        ours = past.release.action == "rollback" and is_same_runner(past.release.run, run)
        if ours and (once or past.outcome is None):
            return _resumed(past, root, settings)
    if live is None:
        raise DeploymentError(
            f"deployment: no release of {workload} is live.",
            hint="Nothing is live, so there is nothing to roll back.",
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
        window_end=entry.release.window_end if entry else "",
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
                hint="`airflow-distill release list` shows all releases; `release rollback --to N` goes back to one.",
            )
        return before[-1]
    entry = history.entry(to)
    if entry is None:
        raise DeploymentError(
            f"deployment: {workload} has no release {to}.",
            hint="`airflow-distill release list` shows all releases.",
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
    :raises ConfigurationError, BudgetError: refused, before anything is paid.
    :raises DeploymentError: refused, or held because something else is live than what the decision was judged against.
    :raises ReleaseConflictError: another release is open. Nothing was changed.
    """
    ledger = Ledger(store, intent.root, intent.workload)
    history = ledger.sound()
    entry = history.claimed_by(intent.claim)
    if entry is not None:
        return planned(gateways, history, entry)
    opened = history.open
    if opened is not None and not dry_run:
        hold = ledger.holder(opened.release)
        raise held(opened.release, hold.run if hold else opened.release.run, _until(opened, hold))
    if intent.action == "promote":
        hold_unless_current(intent, standing(gateways, ledger, history, now))
    live = history.live()
    choice = _choose(gateways, intent, live, now, rates)
    release = _release(intent, ledger, history, choice, live, now, keep=not dry_run)
    entry = None if dry_run else ledger.claim(release)
    return Prepared(_plan(gateways, history, release), entry, choice)


def _until(entry: Entry, hold: Any) -> str:
    return str(hold.until) if hold else entry.release.lease_until


def planned(gateways: AwsGateways, history: History, entry: Entry) -> Prepared:
    """Return an entry with its plan, computed anew from the ledger and the account: what any later run can do."""
    return Prepared(_plan(gateways, history, entry.release), entry)


def _plan(gateways: AwsGateways, history: History, release: Release) -> DeploymentPlan:
    live = history.live(before=release.release)
    host = _live_host(gateways, live)
    return plan_release(
        workload=release.workload,
        release=release.release,
        target=release.target,
        live=live,
        hosts=() if host is None else (host,),
        smoke=release.proof.smoke,
        bake=release.proof.bake,
        grace_hours=release.proof.grace_hours,
        canary=release.proof.canary,
    )


def unfinished(
    gateways: AwsGateways, store: ObjectStore, root: str, workload: str, *, but: str = ""
) -> Prepared | None:
    """Return the workload's open release with its plan, or None when every release has ended.

    :param but: a claim that is not meant: the intent at hand goes on with its own by itself.
    :raises StateError: the pointer remembers how that release ended, so its outcome was deleted.
    """
    history = Ledger(store, root, workload).sound()
    entry = history.open
    if entry is None or (but and entry.release.claim == but):
        return None
    _must_not_have_ended(gateways, history, entry, root)
    return planned(gateways, history, entry)


def _must_not_have_ended(gateways: AwsGateways, history: History, entry: Entry, root: str) -> None:
    """Refuse to end a release a second time: without its outcome a released one looks open."""
    try:
        pointer = read_pointer(gateways.parameters, entry.release.workload, root, history.hosts)
    except StateError:
        return
    head = pointer.head if pointer else None
    if head is None or not head.outcome_sha256 or head.entry_sha256 != entry.sha256:
        return
    raise StateError(
        f"deployment: release {entry.release.release} of {entry.release.workload} has ended, as the pointer remembers, "
        "and its outcome is missing in the ledger. Nothing was changed.",
        hint="Restore the object from the bucket's versions, or clear the promotion of that release: it writes its "
        "outcome again.",
    )


def standing(gateways: AwsGateways, ledger: Ledger, history: History, now: datetime) -> Standing:
    """Return what ledger, pointer and account say of a workload now."""
    opened = history.open
    hold = ledger.holder(opened.release) if opened else None
    busy = opened is not None and is_held(opened.release, hold, now)
    pointer, problem = None, ""
    try:
        pointer = read_pointer(gateways.parameters, ledger.workload, ledger.root, history.hosts)
    except StateError as error:
        problem = error.message.rstrip(".")
    return Standing(
        workload=ledger.workload,
        root=ledger.root,
        history=history,
        pointer=pointer,
        host=_live_host(gateways, history.live()),
        held_by=(hold.run if hold else opened.release.run) or "unknown" if opened and busy else "",
        pointer_problem=problem,
        strays=() if history.entries or pointer or history.flaws else _strays(gateways, ledger),
    )


def _strays(gateways: AwsGateways, ledger: Ledger) -> tuple[Host, ...]:
    """Return the hosts that releases made of which nothing else is left; none where hosts may not be listed."""
    try:
        return tuple(iter_live_hosts(gateways.bedrock, Owner(ledger.workload, ledger.root)))
    except ServiceAccessError:
        return ()


def look_for_drift(
    gateways: AwsGateways, store: ObjectStore, root: str, workload: str, now: datetime
) -> tuple[Standing, tuple[Drift, ...]]:
    """Compare ledger, pointer and host of a workload. Reads only."""
    ledger = Ledger(store, root, workload)
    found = standing(gateways, ledger, ledger.survey(), now)
    return found, drift(found)


def hold_unless_current(intent: Intent, now: Standing) -> None:
    """Hold a promotion whose decision was not judged against what is live now, whatever its receipts say.

    :raises DeploymentError: ledger, pointer and host do not agree, or another release is live than was judged against.
    """
    for found in drift(now):
        if found.code != "open-release":
            raise DeploymentError(
                f"deployment: {intent.workload} is not promoted while production is not what the ledger says: {found.said}",
                hint=f"Fix first: {found.mend}.",
            )
    live, judged = now.live, intent.judged_against
    present = Incumbent(live.release, live.target.model_arn, live.host_arn) if live else Incumbent()
    same = present == judged if live else judged.release is None
    if not same:
        goal = f"release {live.release}" if live else "nothing live"
        raise DeploymentError(
            f"deployment: the decision was judged against {judged}, live is {present}; nothing was changed.",
            hint=f"Evaluate again against {goal}: clear the run from its evaluation on.",
        )
    entry = now.history.entry(live.release) if live else None
    newer = entry.release.window_end if entry else ""
    if not intent.allow_older and _is_older(intent.window_end, newer):
        raise DeploymentError(
            f"deployment: {intent.workload} is live on the window that ends {newer}; this model was made from an older "
            f"one (to {intent.window_end}); nothing was changed.",
            hint="To release a model of an older window, set `allow_older=True`.",
        )


def _is_older(ours: str, theirs: str) -> bool:
    mine, other = moment_of(ours), moment_of(theirs)
    return mine is not None and other is not None and mine < other


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
            hint="Its model was deleted. Distil again, or roll back to a release whose model still exists.",
        ) from error
    capability = read_capability(gateways.bedrock, model, gateways.bedrock.region)
    base = base_of_arn(intent.model_arn)
    host = _live_host(gateways, live)
    wish = intent.wish
    beside = intent.canary is not None and host is not None and not host.failed
    if live is not None and host is not None and not beside and wish.kind in ("auto", host.kind):
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


def _reviewed(choice: Choice, now: datetime) -> Choice:
    """Give an on-demand host a date at which somebody should ask whether it is still wanted."""
    if choice.spec.ends_at is not None:
        return choice
    return replace(choice, spec=replace(choice.spec, ends_at=iso(now + timedelta(days=REVIEW_DAYS))))


def _release(
    intent: Intent,
    ledger: Ledger,
    history: History,
    choice: Choice,
    live: Live | None,
    now: datetime,
    *,
    keep: bool,
) -> Release:
    last = history.entries[-1] if history.entries else None
    return Release(
        workload=intent.workload,
        release=history.next_number,
        action=intent.action,
        claim=intent.claim,
        claimed_at=iso(now),
        lease_until=iso(now + timedelta(minutes=intent.lease_minutes)),
        run=intent.run,
        owner=intent.owner,
        target=Target(intent.model_arn, base_of_arn(intent.model_arn), choice.spec),
        previous=live.release if live else None,
        previous_sha256=last.chain_sha256 if last else "",
        why=(*intent.why, *(f"host: {reason}" for reason in choice.reasons)),
        evidence=_kept(intent, ledger) if keep else intent.evidence,
        restores=intent.restores,
        nonce=secrets.token_hex(16),
        proof=ProofSettings(intent.smoke, intent.bake, intent.grace_hours, intent.canary),
        judged_against=intent.judged_against,
        window_end=intent.window_end,
        given_away=_given_away(intent, history, live),
    )


def _kept(intent: Intent, ledger: Ledger) -> Evidence:
    """Copy the evidence to where no retention rule reaches it, before anything rests on it."""
    if not intent.files:
        return intent.evidence
    copies = {name: ledger.keep(name, raw) for name, raw in intent.files.items()}
    return replace(
        intent.evidence,
        decision_copy=copies.get("decision.json", ""),
        scorecard_copy=copies.get("scorecard.json", ""),
        manifest_copy=copies.get("manifest.json", ""),
        heldout_ids_copy=copies.get("heldout-ids.json", ""),
    )


def _given_away(intent: Intent, history: History, live: Live | None) -> dict[str, float]:
    """Return by metric what successive releases gave away: the sum of differences to each predecessor, never above 0."""
    if intent.restores is not None:
        restored = history.entry(intent.restores)
        return dict(restored.release.given_away) if restored else {}
    entry = history.entry(live.release) if live else None
    before = entry.release.given_away if entry else {}
    names = sorted({*before, *intent.differences})
    return {
        name: round(min(0.0, before.get(name, 0.0) + intent.differences.get(name, 0.0)), 9) for name in names
    }


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
    """Return what reads the held-out prompts of a release's dataset, once, and checks their digest.

    The manifest is read from its copy when the original was expired since.
    """

    @cache
    def read() -> tuple[Example, ...]:
        if not evidence.manifest_uri:
            return ()
        raw = _manifest_of(store, evidence)
        if sha256_hex(raw) != evidence.manifest_sha256:
            raise DeploymentError(
                f"deployment: {evidence.manifest_uri} was changed since the release was claimed.",
                hint="`airflow-distill verify` names what changed.",
            )
        try:
            heldout = record_of(raw, DatasetManifest.from_json).heldout
        except ValueError as error:
            raise DeploymentError(
                f"deployment: {evidence.manifest_uri} is no manifest: {error}.",
                hint="No prompt of it is asked; `airflow-distill verify` names what is wrong with the release.",
            ) from None
        place = evidence.manifest_uri.rpartition("/datasets/")[0] + "/"
        if not heldout.uri.startswith(place):
            raise DeploymentError(
                f"deployment: the held-out file that {evidence.manifest_uri} names is not under {place}.",
                hint="A release asks its own workload's prompts only; build the dataset again and decide again.",
            )
        return read_heldout(_read(store, heldout.uri, "held-out file"), heldout.sha256, heldout.uri)

    return read


def _manifest_of(store: ObjectStore, evidence: Evidence) -> bytes:
    try:
        return store.read(evidence.manifest_uri)
    except ObjectMissingError:
        return _read(store, evidence.manifest_copy or evidence.manifest_uri, "manifest")


def _read(store: ObjectStore, uri: str, what: str) -> bytes:
    try:
        return store.read(uri)
    except ObjectMissingError as error:
        raise DeploymentError(
            f"deployment: the {what} {uri} is not there.",
            hint="No promotion without evidence; `airflow-distill verify` names every missing link.",
        ) from error
