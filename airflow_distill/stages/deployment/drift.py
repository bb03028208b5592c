"""Compares ledger, pointer and host of a workload, and says what differs and how to mend it.

Takes the ledger's history, the pointer and the live host as they are now; hands on `Drift` findings, none when all agree.
A release in progress is no drift while somebody works on it: between the swap and the pointer the three must differ.
Pure: no store, no clock, no AWS SDK.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from airflow_distill.remote.identity import TAG_RELEASE
from airflow_distill.remote.ownership import Owner, mark_in, whose
from airflow_distill.stages.deployment.hosts import is_live_host_name
from airflow_distill.stages.deployment.ledger import Entry, History
from airflow_distill.stages.deployment.records import Host, Live, Pointer, pointer_name

REPAIR = "airflow-distill release repair"
RESUME = "airflow-distill release resume"


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference.

    :param code: to match on, such as `host-gone`.
    :param said: one sentence for people.
    :param mend: the command or act that mends it.
    """

    code: str
    said: str
    mend: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.code}: {self.said} Fix: {self.mend}."


@dataclass(frozen=True, slots=True)
class Standing:
    """What ledger, pointer and account say of one workload at one moment.

    :param host: the host of the live release; None when the account has none of its ARN.
    :param held_by: the run that works on the open release just now, empty when nobody does.
    :param pointer_problem: why what stands under the pointer's name is no pointer; empty when it is one, or none is there.
    :param strays: permanent hosts that releases of this root have made; looked for only where ledger and pointer are empty.
    """

    workload: str
    root: str
    history: History
    pointer: Pointer | None
    host: Host | None
    held_by: str = ""
    pointer_problem: str = ""
    strays: tuple[Host, ...] = ()

    @property
    def live(self) -> Live | None:
        """What the ledger says is live."""
        return self.history.live()


def drift(standing: Standing) -> tuple[Drift, ...]:
    """Return what differs, the gravest first."""
    found = [*_ledger(standing), *_anchor(standing)]
    if standing.history.flaws:
        return tuple(found)
    opened = standing.history.open
    live = standing.live
    if opened is not None:
        lost = [] if live is None or standing.held_by else _lost(standing, live)
        return (*found, *_open(standing, opened), *lost, *_unreadable(standing))
    if live is None:
        return (*found, *_nothing_live(standing))
    return (*found, *_host(standing, live), *_pointer(standing, live))


def _ledger(standing: Standing) -> list[Drift]:
    if not standing.history.flaws:
        return []
    flaw = standing.history.flaws[0]
    more = f", and {len(standing.history.flaws) - 1} more" if len(standing.history.flaws) > 1 else ""
    return [
        Drift(
            "ledger-damaged",
            f"the ledger does not hold at {flaw.where}: {flaw.meaning}{more}.",
            "restore the object from the bucket's versions; `airflow-distill verify` names every flaw",
        )
    ]


def _anchor(standing: Standing) -> list[Drift]:
    """The pointer remembers the ledger's newest entry, so a ledger that was cut short or rewritten is seen."""
    pointer = standing.pointer
    if pointer is None or not _is_of_root(pointer, standing.root):
        return []
    missing = anchor_problem(standing.history, pointer)
    mend = "restore `releases/` from the bucket's versions"
    return [Drift("ledger-rewritten", f"{missing}.", mend)] if missing else []


def _is_of_root(pointer: Pointer, root: str) -> bool:
    """Say whether a pointer is this root's; older ones name no root."""
    return not pointer.root or pointer.root.rstrip("/") == root.rstrip("/")


def anchor_problem(history: History, pointer: Pointer) -> str:
    """Return why the ledger is not the one that the pointer remembers, empty when it is.

    The ledger may be ahead: the pointer is written before and after an outcome, not with it.
    """
    head = pointer.head
    number = head.release if head else pointer.release
    entry = history.entry(number)
    if entry is None:
        last = history.entries[-1].release.release if history.entries else "none"
        return f"the pointer remembers release {number}, the ledger's newest is {last}"
    if head is None:
        return ""
    if head.entry_sha256 != entry.sha256:
        return f"release {number} is not the one that the pointer remembers (its entry was rewritten)"
    if head.outcome_sha256 and head.outcome_sha256 != entry.outcome_sha256:
        return f"the outcome of release {number} is not the one that the pointer remembers"
    return ""


def _open(standing: Standing, opened: Entry) -> list[Drift]:
    if standing.held_by:
        return []
    return [
        Drift(
            "open-release",
            f"release {opened.release.release} is open and nobody works on it: {told(standing)}.",
            f"{RESUME} (the next run rolls it back)",
        )
    ]


def told(standing: Standing) -> str:
    """Say what serves and what callers are told, in the words that status and errors share."""
    host, pointer, live = standing.host, standing.pointer, standing.live
    if host is not None:
        serves = f"the host serves {host.model_arn}"
        if host.desired_arn != host.model_arn:
            serves += f" (changing to {host.desired_arn})"
    else:
        serves = f"the host {live.host_arn} is gone" if live else "no release was live before it"
    names = "the pointer cannot be read" if standing.pointer_problem else "there is no pointer"
    if pointer is not None:
        names = f"the pointer names {pointer.model_arn} (release {pointer.release})"
    return f"{serves}, {names}"


def _nothing_live(standing: Standing) -> list[Drift]:
    pointer = standing.pointer
    if pointer is None:
        return [*_unreadable(standing), *_strays(standing)]
    return [
        Drift(
            "pointer-differs",
            f"the pointer {pointer_name(standing.workload, standing.root)} names release {pointer.release}, the ledger "
            "says that nothing is live.",
            REPAIR,
        )
    ]


def _strays(standing: Standing) -> list[Drift]:
    """No release is known, and a host says that one made it: the ledger was deleted, and callers may use that host."""
    if standing.history.entries or not standing.strays:
        return []
    host = standing.strays[0]
    more = f" (and {len(standing.strays) - 1} more)" if len(standing.strays) > 1 else ""
    return [
        Drift(
            "ledger-lost",
            f"release {host.tags.get(TAG_RELEASE, 'unknown')} of this root made the host {host.arn}{more}, which may serve "
            "callers, and the ledger is empty.",
            "restore `releases/` from the bucket's versions, or delete that host by hand if nobody calls it",
        )
    ]


def _unreadable(standing: Standing) -> list[Drift]:
    """Something else than a pointer stands under the pointer's name: another tool, or a person, wrote it."""
    if not standing.pointer_problem:
        return []
    said = f"callers read what is no pointer of this package: {standing.pointer_problem}."
    return [Drift("pointer-unreadable", said, f"`{REPAIR}` rewrites the pointer")]


def _lost(standing: Standing, live: Live) -> list[Drift]:
    """The live host is gone or has failed."""
    host, number = standing.host, live.release
    if host is None:
        return [
            Drift(
                "host-gone",
                f"production is down: the host {live.host_arn} of release {number} does not exist.",
                f"`{REPAIR}` gives release {number} a new host; `{REPAIR} --nothing-live` lets the loop start afresh",
            )
        ]
    if not host.failed:
        return []
    reason = f" ({host.reason})" if host.reason else ""
    return [Drift("host-failed", f"the host {host.arn} of release {number} has failed{reason}.", REPAIR)]


def _host(standing: Standing, live: Live) -> list[Drift]:
    host, number = standing.host, live.release
    found = _lost(standing, live)
    if host is None:
        return found
    if not host.failed and (
        host.model_arn != live.target.model_arn or host.desired_arn not in _settled(host, live)
    ):
        found.append(
            Drift(
                "host-other-model",
                f"the host {host.arn} serves {host.model_arn} (asked for: {host.desired_arn}), release {number} "
                f"is {live.target.model_arn}.",
                REPAIR,
            )
        )
    if is_anothers(host, standing.workload, standing.root):
        found.append(
            Drift(
                "host-foreign",
                f"the host {host.arn} of release {number} belongs to {whose(host.tags)}; this ledger may be a copy.",
                f"delete `releases/` if it was copied; `{REPAIR} --nothing-live` starts afresh and leaves that host alone",
            )
        )
    elif Owner(standing.workload, standing.root).claim(host.tags) == "foreign":
        found.append(
            Drift("host-tags-lost", f"the host {host.arn} of release {number} lost its tags.", REPAIR)
        )
    return found


def is_anothers(host: Host, workload: str, root: str) -> bool:
    """Say whether a host is another root's: its tags say so, and its name is none that we give.

    Tags can be changed by hand, names hold the root's digest. A host that lost its tags counts as ours.
    """
    if Owner(workload, root).claim(host.tags) != "foreign" or not mark_in(host.tags):
        return False
    return not is_live_host_name(host.name, workload, host.kind, host.base_model, host.units, root)


def _settled(host: Host, live: Live) -> tuple[str, ...]:
    """An update that failed leaves what it asked for in `desired_arn`; the old model still serves."""
    wanted = live.target.model_arn
    return (wanted, host.desired_arn) if host.update_status == "UpdateFailed" else (wanted,)


def _pointer(standing: Standing, live: Live) -> list[Drift]:
    pointer, name = standing.pointer, pointer_name(standing.workload, standing.root)
    if standing.pointer_problem:
        return _unreadable(standing)
    if pointer is None:
        return [
            Drift(
                "pointer-missing",
                f"the pointer {name} does not exist; release {live.release} is live.",
                REPAIR,
            )
        ]
    if not _is_of_root(pointer, standing.root):
        return [
            Drift(
                "pointer-foreign",
                f"the parameter {name} holds the pointer of root {pointer.root}; callers may reach that root's model.",
                f"delete the parameter, then `{REPAIR}`",
            )
        ]
    if pointer.canary is not None:
        share, host = pointer.canary.share, pointer.canary.host_arn
        said = f"the pointer {name} sends {share:.0%} of the calls to {host}, and no release is on its way."
        return [Drift("pointer-differs", said, REPAIR)]
    if (pointer.release, pointer.model_arn, pointer.host_arn) == (
        live.release,
        live.target.model_arn,
        live.host_arn,
    ):
        return []
    return [
        Drift(
            "pointer-differs",
            f"the pointer {name} names release {pointer.release} (model {pointer.model_arn}, host "
            f"{pointer.host_arn}), the ledger says release {live.release}.",
            REPAIR,
        )
    ]


def render_drift(workload: str, found: Sequence[Drift]) -> str:
    """Return the findings as text for people."""
    if not found:
        return f"{workload}: ledger, pointer and host agree.\n"
    return "\n".join(f"{workload}: {each.said}\n  fix: {each.mend}" for each in found) + "\n"
