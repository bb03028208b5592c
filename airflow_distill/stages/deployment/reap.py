"""What still bills although nobody needs it, and when it may be removed. Decides; removes nothing.

Takes what the account holds under our tags, what pointers and ledgers say is needed, and the prices; hands on `Find`s with
their daily price. Resources without our tags never come in here. What cannot be known (a ledger that cannot be read, a
price that nobody stated) keeps a resource, or is said to be unknown; it is never taken for "unused" or for zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from airflow_distill.errors import ConfigurationError
from airflow_distill.remote.identity import (
    TAG_EXPIRES_AT,
    TAG_OWNER,
    TAG_RELEASE,
    TAG_ROOT,
    TAG_RUN,
    TAG_TEMPORARY,
    TAG_WORKLOAD,
)
from airflow_distill.remote.ownership import mark_in
from airflow_distill.stages.deployment.hosts import is_live_host_name
from airflow_distill.stages.deployment.ledger import History
from airflow_distill.stages.deployment.records import (
    ON_DEMAND,
    PROVISIONED,
    TAG_CLAIM,
    TAG_HOURLY_PRICE,
    Host,
    HostKind,
    Pointer,
)
from airflow_distill.stages.deployment.times import iso, moment_of
from airflow_distill.stages.money.prices import THROUGHPUT

ResourceKind = Literal[
    "provisioned-throughput",
    "custom-model-deployment",
    "custom-model",
    "customization-job",
    "unfinished-upload",
]
FindAction = Literal["remove", "wait", "overdue"]
ORDER: tuple[ResourceKind, ...] = (
    "customization-job",
    "provisioned-throughput",
    "custom-model-deployment",
    "custom-model",
    "unfinished-upload",
)
"""The order of retirement: a model can be deleted only when no host serves it."""

PriceOf = Callable[[str, str], float | None]
"""(item, base model) -> price of one unit, such as ("provisioned-throughput", "amazon.nova-micro-v1:0"), or None."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing in the account that carries our tags.

    :param serves: for hosts, the models it serves or is being updated to.
    :param job_name: for models, the job that made it.
    """

    kind: ResourceKind
    arn: str
    name: str
    base_model: str
    tags: Mapping[str, str]
    created_at: str | None = None
    serves: tuple[str, ...] = ()
    units: int | None = None
    commitment_ends_at: str | None = None
    job_name: str = ""
    commitment: str = "none"

    @property
    def workload(self) -> str:
        return self.tags.get(TAG_WORKLOAD, "")

    @property
    def root_mark(self) -> str:
        """The digest of the root that its tags name; empty when they name none."""
        return mark_in(self.tags)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known about one workload's needs.

    :param problem: why pointer or ledger cannot be read; then nothing of the workload is removed.
    :param root: the root's URI, which the names of its hosts hold.
    :param recorded: ARNs of unmarked resources (without a root tag) that this root's records name.
    """

    pointer: Pointer | None = None
    history: History = field(default_factory=History)
    problem: str = ""
    root: str = ""
    recorded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ReapRules:
    """How patient the reaper is.

    :param grace_hours: for hosts that nothing points at and that carry no end of their own.
    :param model_grace_days: for models that were never released and carry no end of their own.
    :param keep_releases: how many older releases keep their model, as a way back.
    :param ignore_expiry: do not wait for ends and grace; only what is needed stays.
    :param run: only resources of this run.
    """

    grace_hours: float = 24.0
    model_grace_days: float = 14.0
    keep_releases: int = 1
    ignore_expiry: bool = False
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Find:
    """One resource that nobody needs (or that is live past its end), what it costs a day, and what follows."""

    kind: ResourceKind
    arn: str
    name: str
    workload: str
    run: str
    owner: str
    daily_price: float | None
    expires_at: str | None
    commitment_ends_at: str | None
    action: FindAction
    why: str
    until: str | None = None
    job_name: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def resource_of_host(host: Host) -> Resource:
    """Tell a host as a resource."""
    return Resource(
        kind=host.kind,
        arn=host.arn,
        name=host.name,
        base_model=host.base_model,
        tags=host.tags,
        created_at=host.created_at,
        serves=tuple(dict.fromkeys(arn for arn in (host.model_arn, host.desired_arn) if arn)),
        units=host.units,
        commitment_ends_at=host.commitment_ends_at,
        commitment=host.commitment,
    )


def survey(
    resources: Iterable[Resource],
    knowledge: Mapping[str, Knowledge],
    rules: ReapRules,
    *,
    now: datetime,
    price_of: PriceOf,
) -> tuple[Find, ...]:
    """Return every resource that is not needed, in the order of retirement, and what is live past its end.

    :param knowledge: by workload; a workload that is missing here counts as one that cannot be read.
    """
    everything = [r for r in resources if r.workload]
    finds = []
    for resource in sorted(everything, key=lambda r: (ORDER.index(r.kind), r.workload, r.name)):
        if rules.run is not None and not _of_run(resource, rules.run):
            continue
        known = knowledge.get(resource.workload, Knowledge(problem="nothing is known about it"))
        action, why, until = _judge(resource, known, everything, rules, now)
        if action is not None:
            finds.append(_find(resource, action, why, until, price_of))
    return tuple(finds)


def find_upload(
    place: str, workload: str, upload_id: str, begun_at: str, rules: ReapRules, now: datetime
) -> Find:
    """Return an upload in parts that never ended; its parts are stored and billed until somebody removes them.

    :param place: URI of the object that was to be.
    :param begun_at: ISO 8601 UTC; a worker may still be at it within the grace of hosts.
    """
    begun = moment_of(begun_at)
    end = None if begun is None else begun + timedelta(hours=rules.grace_hours)
    ripe = rules.ignore_expiry or (end is not None and end <= now)
    return Find(
        kind="unfinished-upload",
        arn=f"{place}?uploadId={upload_id}",
        name=place.rpartition("/")[2],
        workload=workload,
        run="",
        owner="",
        daily_price=None,
        expires_at=None,
        commitment_ends_at=None,
        action="remove" if ripe else "wait",
        why="parts of an upload that never ended",
        until=None if ripe or end is None else iso(end),
    )


def daily_total(finds: Iterable[Find]) -> tuple[float, int]:
    """Return what the finds cost a day as far as it is known, and how many have no known price."""
    prices = [find.daily_price for find in finds]
    return sum(p for p in prices if p is not None), sum(p is None for p in prices)


def daily_price(resource: Resource, price_of: PriceOf) -> float | None:
    """Return what a resource bills a day while idle; None when nobody knows.

    The price stated when throughput was bought goes before the table.
    """
    if resource.kind == ON_DEMAND:
        return 0.0
    if resource.kind == PROVISIONED:
        stated = resource.tags.get(TAG_HOURLY_PRICE, "")
        hourly = float(stated) if _is_number(stated) else _unit_hour(resource, price_of)
        return None if hourly is None else hourly * (resource.units or 1) * 24
    if resource.kind == "custom-model":
        month = price_of("model-storage", resource.base_model)
        return None if month is None else month * 24 / 730
    return None


def _unit_hour(resource: Resource, price_of: PriceOf) -> float | None:
    """Return the table's price of a unit's hour; a term without a price of its own counts as dear as no term."""
    own = price_of(THROUGHPUT.get(resource.commitment, PROVISIONED), resource.base_model)
    return own if own is not None else price_of(PROVISIONED, resource.base_model)


def _is_number(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _of_run(resource: Resource, run: str) -> bool:
    tag = resource.tags.get(TAG_RUN, "")
    return tag == run or tag.endswith(f"/{run}")


Judgement = tuple[FindAction | None, str, str | None]
_NEEDED: Judgement = (None, "", None)


def _judge(
    resource: Resource, known: Knowledge, everything: list[Resource], rules: ReapRules, now: datetime
) -> Judgement:
    if known.problem:
        return "wait", f"kept: {known.problem}", None
    if not resource.root_mark and not _recorded(resource, known, everything):
        return (
            "wait",
            f"kept: it names no root; if it is yours, tag it {TAG_ROOT}, else delete it by hand",
            None,
        )
    if resource.kind == "custom-model":
        return _judge_model(resource, known, everything, rules, now)
    if resource.kind == "customization-job":
        return _after(resource, _end_of(resource), "a job still running", rules, now)
    return _judge_host(resource, known, rules, now)


def _recorded(resource: Resource, known: Knowledge, everything: list[Resource]) -> bool:
    """Say whether this root's ledger, pointer or jobs name a resource without a root tag, or it serves our own model."""
    named = {r.arn for r in everything if r.root_mark and r.kind == "custom-model"}
    named |= (
        known.history.hosts() | known.recorded | {e.release.target.model_arn for e in known.history.entries}
    )
    if known.pointer is not None:
        named |= known.pointer.hosts | known.pointer.models
    return not named.isdisjoint({resource.arn, resource.name, *resource.serves})


def _end_of(resource: Resource) -> datetime | None:
    """Return when a thing shall be gone by its tag; a tag that somebody wrote by hand and that is no time says nothing."""
    try:
        return moment_of(resource.tags.get(TAG_EXPIRES_AT))
    except ConfigurationError:
        return None


def _judge_host(resource: Resource, known: Knowledge, rules: ReapRules, now: datetime) -> Judgement:
    end = _end_of(resource)
    if resource.arn in _live_hosts(known):
        if end is not None and end <= now:
            return "overdue", "live past its end date: extend it by a promotion, or retire it by hand", None
        return _NEEDED
    open_claim = known.history.open
    if open_claim is not None and _in_hand(resource, open_claim.release.target.host.name, open_claim, now):
        return _NEEDED
    if resource.tags.get(TAG_TEMPORARY) == "true" and end is not None:
        return _after(resource, end, "a temporary host", rules, now)
    if known.root and not _stands_in_records(resource, known):
        said = "kept: its tags name this root, its name and the ledger do not: somebody changed its tags or renamed it"
        return "wait", f"{said}; delete it by hand if nobody needs it", None
    lost = _unknown_release(resource, known)
    if lost:
        said = f"kept: it was made by release {lost}, which this root's ledger does not know; it may serve callers"
        return "wait", f"{said}: restore `releases/` from the bucket's versions, or delete it by hand", None
    created = moment_of(resource.created_at)
    grace = None if created is None else created + timedelta(hours=rules.grace_hours)
    return _after(resource, grace, "a host that no pointer names", rules, now)


def _stands_in_records(resource: Resource, known: Knowledge) -> bool:
    """Say whether a host that is not temporary is this root's by more than its tags: its ledger names it, or its name does.

    Tags can be changed by hand, and then another root's reaper would take production's host for its own.
    """
    if not known.history.hosts().isdisjoint({resource.arn, resource.name}):
        return True
    kind: HostKind = PROVISIONED if resource.kind == PROVISIONED else ON_DEMAND
    return is_live_host_name(
        resource.name, resource.workload, kind, resource.base_model, resource.units, known.root
    )


def _unknown_release(resource: Resource, known: Knowledge) -> str:
    """Return the release that a host's tags name and the ledger does not know; empty when it knows it.

    Somebody deleted or replaced the ledger, and the host may be the one that callers use.
    """
    claim, release = resource.tags.get(TAG_CLAIM, ""), resource.tags.get(TAG_RELEASE, "")
    if not claim or claim in {entry.release.nonce for entry in known.history.entries}:
        return ""
    return release or "unknown"


def _in_hand(resource: Resource, name: str, entry: Any, now: datetime) -> bool:
    """Say whether an open release is working with this host and still holds its claim."""
    lease = moment_of(entry.release.lease_until)
    return name in (resource.name, resource.arn) and lease is not None and lease > now


def _live_hosts(known: Knowledge) -> set[str]:
    live = known.history.live()
    named = set(known.pointer.hosts) if known.pointer else set()
    return named | ({live.host_arn} if live else set())


def _judge_model(
    resource: Resource, known: Knowledge, everything: list[Resource], rules: ReapRules, now: datetime
) -> Judgement:
    history = known.history
    if known.pointer is not None and not history.entries:
        return "wait", "kept: it has a pointer and no ledger under this root", None
    if resource.arn in _kept_models(known, rules):
        return _NEEDED
    open_claim = history.open
    if open_claim is not None and open_claim.release.target.model_arn == resource.arn:
        return _NEEDED
    hosts = [r for r in everything if resource.arn in r.serves]
    if any(_judge_host(host, known, rules, now) == _NEEDED for host in hosts):
        return _NEEDED
    if any(_judge_host(host, known, rules, now)[0] != "remove" for host in hosts):
        return "wait", "a host still serves it", None
    left = _left_service_at(history, resource.arn)
    if left is not None:
        return _after(
            resource, left + timedelta(hours=rules.grace_hours), "a model of an older release", rules, now
        )
    end = _end_of(resource)
    created = moment_of(resource.created_at)
    if end is None and created is not None:
        end = created + timedelta(days=rules.model_grace_days)
    return _after(resource, end, "a model that was never released", rules, now)


def _kept_models(known: Knowledge, rules: ReapRules) -> set[str]:
    """Return the live model and those of the releases kept as a way back."""
    kept = sorted(known.pointer.models) if known.pointer else []
    live = known.history.live()
    if live is not None:
        kept.append(live.target.model_arn)
    before: list[str] = []
    for release in reversed(known.history.releases()):
        if release.target.model_arn not in (*kept, *before):
            before.append(release.target.model_arn)
    return {*kept, *before[: rules.keep_releases]}


def _left_service_at(history: History, model_arn: str) -> datetime | None:
    """Return when a model that was live stopped being so, or when its release was rolled back."""
    left = None
    for position, entry in enumerate(history.entries):
        if entry.release.target.model_arn != model_arn or entry.outcome is None:
            continue
        after = [e for e in history.entries[position:] if e.outcome is not None]
        ends = [e for e in after if e is not entry and e.outcome and e.outcome.outcome == "released"]
        closing = ends[0].outcome if ends and entry.outcome.outcome == "released" else entry.outcome
        left = moment_of(closing.at) if closing else left
    return left


def _after(resource: Resource, end: datetime | None, what: str, rules: ReapRules, now: datetime) -> Judgement:
    """Remove once its time has come; never before a committed term has ended."""
    term = moment_of(resource.commitment_ends_at)
    if term is not None and term > now:
        return "wait", f"{what}, committed: it cannot be deleted before", iso(term)
    if rules.ignore_expiry or (end is not None and end <= now):
        return "remove", what, None
    return "wait", what, None if end is None else iso(end)


def _find(resource: Resource, action: FindAction, why: str, until: str | None, price_of: PriceOf) -> Find:
    end = _end_of(resource)
    return Find(
        kind=resource.kind,
        arn=resource.arn,
        name=resource.name,
        workload=resource.workload,
        run=resource.tags.get(TAG_RUN, ""),
        owner=resource.tags.get(TAG_OWNER, ""),
        daily_price=daily_price(resource, price_of),
        expires_at=None if end is None else iso(end),
        commitment_ends_at=resource.commitment_ends_at,
        action=action,
        why=why,
        until=until,
        job_name=resource.job_name,
    )


def render_finds(finds: tuple[Find, ...], currency: str = "USD") -> str:
    """Return the finds as text for people, most useful columns first."""
    if not finds:
        return "Nothing is left over.\n"
    lines = []
    for find in finds:
        price = "price unknown" if find.daily_price is None else f"{find.daily_price:.2f} {currency}/day"
        ends = [f"expires {find.expires_at}"] if find.expires_at else []
        ends += [f"committed until {find.commitment_ends_at}"] if find.commitment_ends_at else []
        ends += [f"not before {find.until}"] if find.until else []
        told = "; ".join([find.why, *ends])
        lines.append(f"{find.action:8}{find.kind:25}{find.name:40}{price:>18}  {find.workload}  {told}")
    removable = tuple(f for f in finds if f.action == "remove")
    known, unknown = daily_total(finds)
    saved, _ = daily_total(removable)
    more = f", and {unknown} with unknown price" if unknown else ""
    lines.append(
        f"{len(finds)} left over, {known:.2f} {currency} a day{more}; removable now: {len(removable)}, "
        f"{saved:.2f} {currency} a day."
    )
    return "\n".join(lines) + "\n"
