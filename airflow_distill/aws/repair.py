"""Mends drift: makes the pointer and the live host what the ledger says, or writes down that nothing is live.

Takes the findings of `stages/deployment/drift.py`. Pointer and lost tags are mended at once; a host that is gone, failed
or serves another model needs a release of its own, prepared here and carried out by `aws/execute.py`. A ledger that was cut
short or rewritten is never mended by a guess: its objects are restored from the bucket's versions.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from airflow_distill.aws.account import find_host
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.pointers import publish_pointer, read_pointer, remove_pointer
from airflow_distill.aws.promotion import LEASE_MINUTES, Prepared, planned, prepare, rollback_intent
from airflow_distill.errors import DeploymentError, StateError
from airflow_distill.remote.identity import resource_tags, run_and_airflow
from airflow_distill.stages.deployment.drift import Drift, is_anothers
from airflow_distill.stages.deployment.ledger import Entry, History, Ledger, held
from airflow_distill.stages.deployment.records import TAG_CLAIM, Live, Outcome, Pointer, Release, pointer_name
from airflow_distill.stages.deployment.times import iso, moment_of
from airflow_distill.stages.digest import digest
from airflow_distill.stages.storage import ObjectStore

BY_RELEASE = ("host-gone", "host-failed", "host-other-model")
"""Drift that only a release of its own mends: the live model on its host again, or on a new one."""

LOST = ("host-gone", "host-failed")
"""Drift with which a swap in place that is still open cannot find its way back."""


def mend(
    gateways: AwsGateways,
    store: ObjectStore,
    root: str,
    workload: str,
    found: Sequence[Drift],
    person: str,
    now: datetime,
) -> tuple[Prepared, str] | None:
    """Mend what can be mended at once; returns the release that mends the rest, to be carried out, and why.

    :raises StateError: the ledger itself is damaged.
    :raises DeploymentError: the ledger is not the one that the pointer remembers, host or pointer are another root's, or a
        release is open.
    """
    ledger = Ledger(store, root, workload)
    history = ledger.sound()
    codes = {each.code: each for each in found}
    lost = next((code for code in LOST if code in codes), "")
    for code in ("ledger-rewritten", "ledger-lost", "host-foreign", "pointer-foreign", "open-release"):
        if code in codes and not (code == "open-release" and lost and _is_in_place(gateways, history)):
            raise DeploymentError(f"deployment: {codes[code].said}", hint=f"Fix first: {codes[code].mend}.")
    if history.open is not None:
        if not lost or "open-release" not in codes:
            hold = ledger.holder(history.open.release)
            raise held(
                history.open.release, hold.run if hold else "unknown", hold.until if hold else iso(now)
            )
        _give_up(ledger, history.open, person, codes[lost].said, now)
        history = ledger.sound()
    live = history.live()
    if live is None:
        _unpublish(gateways, history, root, workload, unreadable="pointer-unreadable" in codes)
        return None
    entry = history.entry(live.release)
    assert entry is not None
    worst = next((code for code in BY_RELEASE if code in codes), "")
    if worst:
        return _release_again(gateways, store, ledger, history, live, person, codes[worst], now)
    if "host-tags-lost" in codes:
        gateways.bedrock.tag(live.host_arn, _tags(entry, root))
    _publish(gateways, history, live, root, workload, _tags(entry, root))
    return None


def withdraw(
    gateways: AwsGateways,
    store: ObjectStore,
    root: str,
    workload: str,
    person: str,
    why: str,
    now: datetime,
    *,
    answers_still: bool = False,
) -> Entry:
    """Write down that nothing is live any more, because a person says so, and remove the pointer.

    A withdrawal that was killed half-way is ended.

    :param answers_still: the host may answer still, because it is to be deleted after a time of grace.
    :raises DeploymentError: the live host still answers, or nothing was live.
    """
    ledger = Ledger(store, root, workload)
    history = ledger.sound()
    live = history.live()
    half_done = history.open
    if half_done is not None and half_done.release.action == "withdraw":
        return _withdrawn(gateways, ledger, half_done, now)
    if live is None or history.open is not None:
        said = "nothing is live" if live is None else "a release is open"
        raise DeploymentError(
            f"deployment: {said} of {workload}; nothing was changed.", hint="See `release drift`."
        )
    host = find_host(gateways.bedrock, live.host_kind, live.host_arn)
    ours = host is not None and not is_anothers(host, workload, root)
    if host is not None and ours and host.usable and not answers_still:
        raise DeploymentError(
            f"deployment: the host {live.host_arn} still answers with {host.model_arn}; nothing was changed.",
            hint="Move callers away and delete it first, or repair it with `airflow-distill release repair`.",
        )
    last = history.entries[-1]
    became = "is gone" if host is None or ours else "is another root's"
    reason = why or f"{person} says that nothing is live: the host {live.host_arn} {became}"
    release = Release(
        workload=workload,
        release=history.next_number,
        action="withdraw",
        claim=digest(["withdraw", live.release], 32),
        claimed_at=iso(now),
        lease_until=iso(now),
        run=f"cli/{person}",
        owner=person,
        target=live.target,
        previous=live.release,
        previous_sha256=last.chain_sha256,
        why=(reason,),
        evidence=last.release.evidence,
        nonce=secrets.token_hex(16),
    )
    return _withdrawn(gateways, ledger, ledger.claim(release), now)


def _withdrawn(gateways: AwsGateways, ledger: Ledger, entry: Entry, now: datetime) -> Entry:
    """Close a withdrawal and remove the pointer."""
    release = entry.release
    ledger.close(
        Outcome(
            release.release, "withdrawn", iso(now), release.why, entry_sha256=entry.sha256, nonce=release.nonce
        )
    )  # fmt: skip
    _unpublish(gateways, ledger.read(), ledger.root, ledger.workload, unreadable=True)
    return entry


def _unpublish(
    gateways: AwsGateways, history: History, root: str, workload: str, *, unreadable: bool
) -> None:
    """Remove the pointer, because nothing is live.

    :param unreadable: also what stands under its name and is no pointer; a person has seen it and asks for that.
    """
    try:
        pointer = read_pointer(gateways.parameters, workload, root, history.hosts)
    except StateError:
        if unreadable:
            gateways.parameters.delete(pointer_name(workload, root))
        return
    if pointer is not None:
        remove_pointer(gateways.parameters, workload, root, pointer.release, history.hosts)


def _is_in_place(gateways: AwsGateways, history: History) -> bool:
    """Say whether the open release swaps the live host's model, so that its way back needs that very host."""
    return history.open is not None and planned(gateways, history, history.open).plan.in_place


def _give_up(ledger: Ledger, entry: Entry, person: str, said: str, now: datetime) -> None:
    """End an open swap whose way back is blocked for good, so that a release of its own can give the model a new host."""
    release = entry.release
    until = iso(now + timedelta(minutes=LEASE_MINUTES))
    ledger.take(release, f"cli/{person} repair", f"cli/{person}", until, now=now, force=True)
    reasons = (f"{person} gave it up: {said}",)
    if ledger.noted(release.release, "against", release.nonce) is None:
        body = {"reasons": list(reasons), "cause": "failure", "at": iso(now)}
        ledger.note(release.release, "against", body, release.nonce)
    ledger.close(
        Outcome(
            release.release,
            "rolled_back",
            iso(now),
            reasons,
            entry_sha256=entry.sha256,
            nonce=release.nonce,
            cause="failure",
            notes=ledger.notes_of(entry) if release.nonce else {},
        )
    )


def _release_again(
    gateways: AwsGateways,
    store: ObjectStore,
    ledger: Ledger,
    history: History,
    live: Live,
    person: str,
    drift: Drift,
    now: datetime,
) -> tuple[Prepared, str]:
    intent = rollback_intent(
        history,
        root=ledger.root,
        workload=ledger.workload,
        run=f"cli/{person}",
        owner=person,
        to=live.release,
        why=f"repair: {drift.said}",
    )
    prepared = prepare(gateways, store, intent, now=now)
    return (
        prepared,
        f"release {prepared.plan.release} brings the model of release {live.release} back into service",
    )


def _publish(
    gateways: AwsGateways, history: History, live: Live, root: str, workload: str, tags: dict[str, str]
) -> None:
    pointer = Pointer(
        workload=workload,
        release=live.release,
        model_arn=live.target.model_arn,
        host_kind=live.host_kind,
        host_arn=live.host_arn,
        region=gateways.bedrock.region,
        root=root,
        head=history.entries[-1].head,
    )
    publish_pointer(gateways.parameters, pointer, tags, history.hosts)


def _tags(entry: Entry, root: str) -> dict[str, str]:
    release = entry.release
    run, airflow = run_and_airflow(release.run)
    return resource_tags(
        release.workload,
        run,
        release.owner,
        moment_of(release.target.host.ends_at),
        dataset_id=release.evidence.dataset_id or None,
        release=release.release,
        root=root,
        airflow=airflow,
        extra={**release.target.host.price_tags, **({TAG_CLAIM: release.nonce} if release.nonce else {})},
    )
