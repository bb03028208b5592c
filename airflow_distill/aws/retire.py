"""Switches a workload off: a plan that is shown, performed, killed at any point, and gone on with.

What the steps need is written to `<root>/<workload>/retired.json` first; a run that begins afterwards ends at once. Callers
lose the pointer before any host goes, and have the grace time to move. Every step looks first and may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from airflow_distill.aws.account import iter_hosts
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.pointers import publish_pointer, read_pointer
from airflow_distill.aws.reap import remove_finds, survey_account
from airflow_distill.aws.repair import withdraw
from airflow_distill.errors import ConfigurationError, StateError
from airflow_distill.remote.identity import resource_tags
from airflow_distill.remote.ownership import Owner
from airflow_distill.stages.deployment.ledger import Ledger
from airflow_distill.stages.deployment.reap import Find, PriceOf, ReapRules
from airflow_distill.stages.deployment.records import Pointer
from airflow_distill.stages.deployment.times import iso, moment_of
from airflow_distill.stages.digest import canonical_json, json_object
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore, join_uri

KEPT_FOLDERS = ("releases", "evidence", "forgotten", "retired.json")
"""What stays when the data is deleted: the ledger with its evidence (digests), receipts, tombstones."""

Choice = Literal["keep", "delete"]


@dataclass(frozen=True, slots=True)
class Terms:
    """How a workload ends.

    :param grace_hours: how long hosts answer after the pointer has gone.
    :param redirect: a model id, inference profile or host ARN that the pointer names from now on; none removes it.
    :param models: what becomes of the custom models; `data`, of windows, datasets, answers and reports.
    """

    grace_hours: float = 24.0
    redirect: str = ""
    models: Choice = "keep"
    data: Choice = "keep"

    def __post_init__(self) -> None:
        if self.models not in ("keep", "delete") or self.data not in ("keep", "delete"):
            raise ConfigurationError("retire: models and data are `keep` or `delete`.")
        if not 0 <= self.grace_hours <= 24 * 365:
            raise ConfigurationError("retire: the grace time is 0 to 8,760 hours.")

    def to_json(self) -> dict[str, Any]:
        return {
            "grace_hours": self.grace_hours,
            "redirect": self.redirect,
            "models": self.models,
            "data": self.data,
        }


@dataclass(frozen=True, slots=True)
class Retirement:
    """That a workload is retired, from when, and how; `finished_at` is empty while something is left to do."""

    workload: str
    at: str
    by: str
    hosts_after: str
    terms: Terms
    finished_at: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "retirement",
            "v": 1,
            "workload": self.workload,
            "at": self.at,
            "by": self.by,
            "hosts_after": self.hosts_after,
            "terms": self.terms.to_json(),
            "finished_at": self.finished_at,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Retirement:
        if data.get("kind") != "retirement" or data.get("v") != 1:
            raise ValueError("no retirement")
        return cls(
            str(data["workload"]),
            str(data["at"]),
            str(data["by"]),
            str(data["hosts_after"]),
            Terms(**data["terms"]),
            str(data.get("finished_at") or ""),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the end: `done` already or now, `waits` for its time, `left` where something stays on purpose."""

    name: str
    state: Literal["to do", "done", "waits", "left"]
    detail: str

    def __str__(self) -> str:
        return f"{self.name:9} {self.state:6} {self.detail}"


def retirement_uri(root: str, workload: str) -> str:
    """Return where it is written that a workload is retired."""
    return join_uri(root, workload, "retired.json")


def read_retirement(store: ObjectStore, root: str, workload: str) -> Retirement | None:
    """Return whether and how a workload was retired.

    :raises StateError: something is written there that cannot be read.
    """
    uri = retirement_uri(root, workload)
    try:
        return Retirement.from_json(json_object(store.read(uri)))
    except ObjectMissingError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, ConfigurationError) as error:
        raise StateError(
            f"retire: {uri} cannot be read ({type(error).__name__}).",
            hint="Restore it from the bucket's versions, or delete it if the workload is to run.",
        ) from None


def retire(
    gateways: AwsGateways,
    store: ObjectStore,
    root: str,
    workload: str,
    terms: Terms,
    *,
    person: str,
    owner: str,
    now: datetime,
    price_of: PriceOf,
    perform: bool,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[Retirement, tuple[Step, ...]]:
    """Plan or perform the end of a workload as far as its time has come.

    A workload that is being retired keeps the terms it began with.
    """
    standing = read_retirement(store, root, workload)
    plan = standing or Retirement(
        workload, iso(now), person, iso(now + timedelta(hours=terms.grace_hours)), terms
    )
    if standing is None and perform:
        store.write(retirement_uri(root, workload), canonical_json(plan.to_json()))
    steps = [
        _step("schedule", standing is not None, perform, "no run of the workload does anything any more")
    ]
    steps.append(_pointer(gateways, store, root, plan, person, owner, now, perform))
    finds = _finds(gateways, store, root, workload, now, price_of)
    steps.append(_jobs(gateways, store, root, finds, perform))
    due = moment_of(plan.hosts_after)
    assert due is not None
    steps.append(_hosts(gateways, store, root, finds, plan, perform, now >= due))
    hosts_gone = steps[-1].state == "done"
    if perform and hosts_gone and plan.terms.models == "delete":
        finds = _finds(gateways, store, root, workload, now, price_of)  # no host serves them any more
    steps.append(_models(gateways, store, root, finds, plan, perform, hosts_gone))
    steps.append(_data(store, root, plan, perform, hosts_gone))
    for step in steps:
        progress(str(step))
    if (
        perform
        and not plan.finished_at
        and all(step.state in ("done", "left") for step in steps)
        and hosts_gone
    ):
        plan = Retirement(plan.workload, plan.at, plan.by, plan.hosts_after, plan.terms, iso(now))
        store.write(retirement_uri(root, workload), canonical_json(plan.to_json()))
    return plan, tuple(steps)


def _step(name: str, was_done: bool, perform: bool, detail: str) -> Step:
    return Step(name, "done" if was_done or perform else "to do", detail)


def _pointer(
    gateways: AwsGateways,
    store: ObjectStore,
    root: str,
    plan: Retirement,
    person: str,
    owner: str,
    now: datetime,
    perform: bool,
) -> Step:
    """Close the ledger with "nothing is live" and withdraw or redirect the pointer."""
    ledger = Ledger(store, root, plan.workload)
    history = ledger.sound()
    live, redirect = history.live(), plan.terms.redirect
    half_done = history.open is not None and history.open.release.action == "withdraw"
    pointer = read_pointer(gateways.parameters, plan.workload, root, history.hosts)
    aims = pointer.host_arn if pointer else ""
    detail = (
        f"the pointer names {redirect}"
        if redirect
        else "the pointer is removed; the ledger says nothing is live"
    )
    if live is None and not half_done and aims == redirect:
        return Step("pointer", "done", detail)
    if not perform:
        return Step("pointer", "to do", f"{detail} (now {aims or 'nothing'})")
    if live is not None or half_done:
        withdraw(
            gateways, store, root, plan.workload, person, "the workload is retired", now, answers_still=True
        )
    history = ledger.sound()
    if redirect:
        _redirect(
            gateways,
            plan,
            root,
            redirect,
            history.entries[-1].release.release if history.entries else 0,
            owner,
        )
    elif pointer is not None:
        gateways.parameters.delete(pointer.name)
    return Step("pointer", "done", detail)


def _redirect(
    gateways: AwsGateways, plan: Retirement, root: str, target: str, release: int, owner: str
) -> None:
    pointer = Pointer(
        workload=plan.workload,
        release=release,
        model_arn=target,
        host_kind="custom-model-deployment",
        host_arn=target,
        region=gateways.bedrock.region,
        root=root,
    )
    publish_pointer(gateways.parameters, pointer, resource_tags(plan.workload, "retire", owner, root=root))


def _finds(
    gateways: AwsGateways, store: ObjectStore, root: str, workload: str, now: datetime, price_of: PriceOf
) -> tuple[Find, ...]:
    rules = ReapRules(grace_hours=0, model_grace_days=0, keep_releases=0, ignore_expiry=True)
    return survey_account(gateways, store, root, now=now, rules=rules, price_of=price_of, workload=workload)


def _removed(
    gateways: AwsGateways, store: ObjectStore, root: str, finds: Iterable[Find], artefacts: bool = False
) -> tuple[int, list[str]]:
    """Remove what may be removed; returns how many are gone and why the others stay."""
    done = remove_finds(gateways, store, root, finds, artefacts=artefacts)
    stays = [f"{removal.find.name}: {removal.why}" for removal in done if not removal.removed]
    stays += [f"{find.name}: {find.why}" for find in finds if find.action != "remove"]
    return sum(removal.removed for removal in done), stays


def _jobs(
    gateways: AwsGateways, store: ObjectStore, root: str, finds: tuple[Find, ...], perform: bool
) -> Step:
    ours = [find for find in finds if find.kind == "customization-job"]
    if not ours:
        return Step("jobs", "done", "no job of the workload runs")
    if not perform:
        return Step("jobs", "to do", f"{len(ours)} running jobs are stopped")
    _, stays = _removed(gateways, store, root, ours)
    return Step(
        "jobs", "waits" if stays else "done", "; ".join(stays) or f"{len(ours)} jobs are being stopped"
    )


def _hosts(
    gateways: AwsGateways,
    store: ObjectStore,
    root: str,
    finds: tuple[Find, ...],
    plan: Retirement,
    perform: bool,
    due: bool,
) -> Step:
    ours = [find for find in finds if find.kind in ("provisioned-throughput", "custom-model-deployment")]
    if not ours and perform:
        return Step("hosts", "done", "no host of the workload is left")
    if not perform:
        us = Owner(plan.workload, root)
        hosts = [h for h in iter_hosts(gateways.bedrock, plan.workload) if us.claim(h.tags) != "foreign"]
        return Step("hosts", "to do", f"{len(hosts)} hosts are deleted after {plan.hosts_after}")
    if not due:
        return Step(
            "hosts", "waits", f"{len(ours)} hosts answer until {plan.hosts_after}; run the command again then"
        )
    gone, stays = _removed(gateways, store, root, ours)
    if stays:
        return Step("hosts", "waits", f"{gone} deleted; {'; '.join(stays)}")
    return Step("hosts", "done", f"{gone} hosts deleted")


def _models(
    gateways: AwsGateways,
    store: ObjectStore,
    root: str,
    finds: tuple[Find, ...],
    plan: Retirement,
    perform: bool,
    hosts_gone: bool,
) -> Step:
    ours = [find for find in finds if find.kind == "custom-model"]
    if plan.terms.models == "keep":
        return Step("models", "left", f"{len(ours)} custom models stay; storing each is billed monthly")
    if not perform or not hosts_gone:
        return Step(
            "models", "waits" if perform else "to do", "all custom models of the workload are deleted"
        )
    gone, stays = _removed(gateways, store, root, ours, artefacts=True)
    return Step("models", "waits" if stays else "done", "; ".join(stays) or f"{gone} models deleted")


def _data(store: ObjectStore, root: str, plan: Retirement, perform: bool, hosts_gone: bool) -> Step:
    if plan.terms.data == "keep":
        return Step("data", "left", f"all objects under {join_uri(root, plan.workload)} stay")
    if not perform or not hosts_gone:
        detail = f"all objects but {', '.join(KEPT_FOLDERS)} are deleted"
        return Step("data", "waits" if perform else "to do", detail)
    place = join_uri(root, plan.workload) + "/"
    gone = 0
    for item in list(store.iter_objects(place)):
        if item.uri.removeprefix(place).partition("/")[0] not in KEPT_FOLDERS:
            store.delete(item.uri)
            gone += 1
    return Step("data", "done", f"{gone} objects deleted")
