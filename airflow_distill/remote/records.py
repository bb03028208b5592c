"""What is known about a piece of remote work at one moment.

`JobSnapshot` is the one shape in which jobs and hosts of every kind are told: in trigger events, in errors, in receipts.
It holds plain data only and no prompt or answer text. Service states keep the service's spelling; `state` says what
they mean for somebody who waits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 1

Kind = Literal[
    "customization-job",
    "provisioned-throughput",
    "custom-model-deployment",
    "evaluation-job",
    "batch-inference-job",
    "model-copy-job",
]
State = Literal["active", "succeeded", "failed", "stopped", "unknown"]

STATES: Mapping[Kind, Mapping[str, State]] = {
    "customization-job": {
        "InProgress": "active",
        "Stopping": "active",
        "Completed": "succeeded",
        "Failed": "failed",
        "Stopped": "stopped",
    },
    "provisioned-throughput": {
        "Creating": "active",
        "Updating": "active",
        "InService": "succeeded",
        "Failed": "failed",
    },
    "custom-model-deployment": {
        "Creating": "active",
        "Updating": "active",
        "Active": "succeeded",
        "Failed": "failed",
        "UpdateFailed": "failed",
    },
    "evaluation-job": {
        "InProgress": "active",
        "Stopping": "active",
        "Deleting": "active",
        "Completed": "succeeded",
        "Failed": "failed",
        "Stopped": "stopped",
    },
    "batch-inference-job": {
        "Submitted": "active",
        "Validating": "active",
        "Scheduled": "active",
        "InProgress": "active",
        "Stopping": "active",
        "Completed": "succeeded",
        "PartiallyCompleted": "succeeded",
        "Failed": "failed",
        "Expired": "failed",
        "Stopped": "stopped",
    },
    "model-copy-job": {
        "InProgress": "active",
        "Completed": "succeeded",
        "Failed": "failed",
    },
}
"""What each status of the service means for a waiter. A word in no table is "unknown": ask again, never "done"."""

ENDED: frozenset[State] = frozenset({"succeeded", "failed", "stopped"})


def spelled(told: Any, known: Iterable[str]) -> str:
    """Return a word of the service in the spelling that we know it by; one that we do not know stays as it was told.

    Recorded answers and documents disagree about upper case and underscores in some words.

    >>> spelled("IN_PROGRESS", ["InProgress"]), spelled("Paused", ["InProgress"]), spelled(None, [])
    ('InProgress', 'Paused', '')
    """
    text = "" if told is None else str(told)
    plain = _plain(text)
    return next((word for word in known if _plain(word) == plain), text)


def _plain(word: str) -> str:
    return re.sub(r"[\s_-]", "", word).casefold()


def status_of(kind: Kind, told: Any) -> str:
    """Return the status in the service's usual spelling; a word that we do not know stays as it was told."""
    return spelled(told, STATES[kind])


def state_of(kind: Kind, status: str) -> State:
    """Return what a status of the service means; a word we do not know is "unknown"."""
    return STATES[kind].get(spelled(status, STATES[kind]), "unknown")


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """One look at one job or host.

    :param status: the service's own word.
    :param reason: the service's own failure text, empty when it gave none.
    :param details: plain data of the answer that matters to the waiter, such as `output_model_arn` or `phases`.
    :param created_at: ISO 8601 UTC, as the service says; empty when unknown.
    """

    kind: Kind
    arn: str
    name: str
    state: State
    status: str
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    created_at: str = ""
    ended_at: str = ""

    @property
    def ended(self) -> bool:
        """Say whether the work has come to an end of any sort."""
        return self.state in ENDED

    def to_json(self) -> dict[str, Any]:
        return {
            "v": SCHEMA,
            "kind": self.kind,
            "arn": self.arn,
            "name": self.name,
            "state": self.state,
            "status": self.status,
            "reason": self.reason,
            "details": dict(self.details),
            "created_at": self.created_at,
            "ended_at": self.ended_at,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JobSnapshot:
        """Rebuild a snapshot; members of later versions are ignored, missing ones are empty."""
        return cls(
            kind=data["kind"],
            arn=str(data.get("arn", "")),
            name=str(data.get("name", "")),
            state=data.get("state", "unknown"),
            status=str(data.get("status", "")),
            reason=str(data.get("reason", "")),
            details=dict(data.get("details") or {}),
            created_at=str(data.get("created_at") or ""),
            ended_at=str(data.get("ended_at") or ""),
        )


def snapshot_from_receipt(snapshot: Any, kind: Kind) -> JobSnapshot:
    """Read a snapshot out of a trigger event; an unreadable one becomes "unknown", never an error."""
    if isinstance(snapshot, Mapping):
        return JobSnapshot.from_json({"kind": kind, **snapshot})
    return JobSnapshot(kind=kind, arn="", name="", state="unknown", status="")
