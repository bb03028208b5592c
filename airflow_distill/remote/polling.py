"""What follows one look at remote work: go on waiting, or end with one outcome.

The triggers and the blocking loop of the operators both call `decide`, so they cannot drift apart; they only supply the
looks, the time and the pauses. A look shows a snapshot or a trouble. Trouble is never taken for an end: a throttle, an
outage or expired credentials mean "unknown, ask again" until the deadline; a denial, a missing job or a refused
question end the wait only after they have lasted for their grace without a break.

The deadline is a moment, not a number of attempts. It is checked after the snapshot, so work that ended in time counts
as ended, whoever was late.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from airflow_distill.errors import (
    DistillError,
    JobTimeoutError,
    ServiceAccessError,
    ServiceError,
    ServiceNotFoundError,
    StateError,
)
from airflow_distill.remote.backoff import doubled, spread
from airflow_distill.remote.failure import job_error
from airflow_distill.remote.records import JobSnapshot, Kind, snapshot_from_receipt
from airflow_distill.remote.times import iso

TroubleKind = Literal["transient", "denied", "missing", "refused"]
OutcomeStatus = Literal[
    "success", "failed", "stopped", "timeout", "denied", "missing", "refused", "unreadable"
]

LONGEST_PAUSE = 600.0
"""Seconds between looks that troubles cannot exceed."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a look showed nothing.

    :param code: the service's error code, empty for lost connections.
    :param since: when the looks began to show nothing, ISO 8601 UTC; empty when unknown.
    """

    kind: TroubleKind
    code: str
    message: str
    since: str = ""

    def to_json(self) -> dict[str, Any]:
        told = {"kind": self.kind, "code": self.code, "message": self.message[:500]}
        return {**told, "since": self.since} if self.since else told

    @classmethod
    def from_error(cls, error: Exception) -> Trouble:
        """Sort an error of ours by what waiting can mend. Anything unforeseen counts as transient."""
        code = error.code if isinstance(error, ServiceError) else ""
        kind: TroubleKind = "transient"
        if isinstance(error, ServiceAccessError):
            kind = "denied"
        elif isinstance(error, ServiceNotFoundError):
            kind = "missing"
        elif isinstance(error, DistillError) and not error.retryable:
            kind = "refused"
        message = error.message if isinstance(error, DistillError) else type(error).__name__
        return cls(kind, code, message)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trouble:
        return cls(
            data.get("kind", "transient"),
            str(data.get("code", "")),
            str(data.get("message", "")),
            str(data.get("since") or ""),
        )


@dataclass(frozen=True, slots=True)
class Look:
    """What one look showed: a snapshot, or why there is none."""

    snapshot: JobSnapshot | None = None
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class WaitPolicy:
    """When waiting ends.

    :param deadline: the moment after which we stop waiting; None waits for ever.
    :param denied_grace: how long a denial may last: policies are edited and take a while to spread.
    :param missing_grace: how long the job may be missing: lists and reads may lag behind a create.
    :param refused_grace: how long the service may refuse the question itself.
    """

    deadline: datetime | None = None
    denied_grace: timedelta = timedelta(minutes=30)
    missing_grace: timedelta = timedelta(minutes=10)
    refused_grace: timedelta = timedelta(minutes=10)

    def grace(self, kind: TroubleKind) -> timedelta | None:
        """Return how long a trouble may last before it ends the wait; None means until the deadline."""
        if kind == "denied":
            return self.denied_grace
        if kind == "missing":
            return self.missing_grace
        if kind == "refused":
            return self.refused_grace
        return None

    def expired(self, now: datetime) -> bool:
        """Say whether the deadline has passed."""
        return self.deadline is not None and now >= self.deadline

    def seconds_left(self, now: datetime) -> float | None:
        """Return the seconds until the deadline, at least 0; None when there is none."""
        return None if self.deadline is None else max(0.0, (self.deadline - now).total_seconds())


@dataclass(frozen=True, slots=True)
class WaitMemory:
    """What earlier looks told: the last snapshot, and the present trouble with its beginning."""

    snapshot: JobSnapshot | None = None
    trouble: Trouble | None = None
    trouble_since: datetime | None = None
    troubles: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a wait ended. `success` only ever comes from the service's own word.

    :param stop_requested: after a timeout: the service has accepted our request to stop.
    """

    status: OutcomeStatus
    snapshot: JobSnapshot | None = None
    trouble: Trouble | None = None
    stop_requested: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "v": 1,
            "status": self.status,
            "snapshot": self.snapshot.to_json() if self.snapshot else None,
            "trouble": self.trouble.to_json() if self.trouble else None,
            "stop_requested": self.stop_requested,
        }

    @classmethod
    def from_event(cls, event: Any, kind: Kind) -> Outcome:
        """Read a trigger's event; what cannot be read is "unreadable", never a success."""
        if not isinstance(event, Mapping):
            return cls("unreadable")
        status = event.get("status")
        known = ("success", "failed", "stopped", "timeout", "denied", "missing", "refused")
        raw, trouble = event.get("snapshot"), event.get("trouble")
        snapshot = snapshot_from_receipt(raw, kind) if isinstance(raw, Mapping) else None
        if status not in known or (
            status == "success" and (snapshot is None or snapshot.state != "succeeded")
        ):
            return cls("unreadable", snapshot=snapshot)
        return cls(
            status=status,
            snapshot=snapshot,
            trouble=Trouble.from_json(trouble) if isinstance(trouble, Mapping) else None,
            stop_requested=bool(event.get("stop_requested", False)),
        )


_ENDS: Mapping[str, OutcomeStatus] = {"succeeded": "success", "failed": "failed", "stopped": "stopped"}


def decide(
    look: Look, memory: WaitMemory, policy: WaitPolicy, now: datetime
) -> tuple[Outcome | None, WaitMemory]:
    """Return the outcome, or None to go on waiting, with what to remember."""
    memory = _remember(look, memory, now)
    snapshot = look.snapshot
    if snapshot is not None and snapshot.ended:
        return Outcome(_ENDS[snapshot.state], snapshot=snapshot), memory
    if policy.expired(now):
        return Outcome("timeout", snapshot=memory.snapshot, trouble=memory.trouble), memory
    if memory.trouble is not None and memory.trouble_since is not None:
        grace = policy.grace(memory.trouble.kind)
        if grace is not None and now - memory.trouble_since >= grace:
            status: OutcomeStatus = memory.trouble.kind  # type: ignore[assignment]
            return Outcome(status, snapshot=memory.snapshot, trouble=memory.trouble), memory
    return None, memory


def _remember(look: Look, memory: WaitMemory, now: datetime) -> WaitMemory:
    if look.snapshot is not None:
        return WaitMemory(snapshot=look.snapshot)
    if look.trouble is None:
        return memory
    same = memory.trouble is not None and memory.trouble.kind == look.trouble.kind
    since = memory.trouble.since if memory.trouble is not None else ""
    return WaitMemory(
        snapshot=memory.snapshot,
        trouble=replace(look.trouble, since=since or iso(now)),
        trouble_since=memory.trouble_since if same else now,
        troubles=memory.troubles + 1,
    )


def next_pause(period: float, troubles: int, jitter: float, longest: float = LONGEST_PAUSE) -> float:
    """Return the seconds until the next look: growing with troubles in a row, spread by a fifth to both sides.

    :param jitter: a number in [0, 1), drawn by the caller.
    """
    return spread(doubled(period, min(troubles, 6), max(longest, period)), jitter)


def progress_line(snapshot: JobSnapshot) -> str:
    """Return one line for the task log: the status and, for jobs that tell, each phase with its time."""
    line = f"{snapshot.kind} {snapshot.name or snapshot.arn}: {snapshot.status}"
    phases = snapshot.details.get("phases")
    if isinstance(phases, Mapping) and phases:
        told = (
            f"{name} {phase.get('status', '?')}" + (f" since {phase['since']}" if phase.get("since") else "")
            for name, phase in phases.items()
        )
        line += " (" + ", ".join(told) + ")"
    records = snapshot.details.get("records")
    if isinstance(records, Mapping) and records.get("total"):
        line += f" ({records.get('processed', 0)} of {records['total']} records)"
    return line


def wait_blocking(
    look: Callable[[], JobSnapshot],
    *,
    policy: WaitPolicy,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
    period: float = 60.0,
    jitter: Callable[[], float] = lambda: 0.5,
    progress: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Wait in this thread until the work ends, with the very decisions that the triggers use.

    :param look: returns a snapshot or raises an error of ours.
    """
    memory, told = WaitMemory(), ""
    while True:
        seen = look_once(look)
        outcome, memory = decide(seen, memory, policy, now())
        line = told_line(seen, memory)
        if line != told:
            progress(line)
            told = line
        if outcome is not None:
            return outcome
        pause = next_pause(period, memory.troubles, jitter())
        left = policy.seconds_left(now())
        sleep(pause if left is None else min(pause, left))


def look_once(look: Callable[[], JobSnapshot]) -> Look:
    """Turn a call that raises into a look; our errors become values."""
    try:
        return Look(snapshot=look())
    except DistillError as error:
        return Look(trouble=Trouble.from_error(error))


def told_line(look: Look, memory: WaitMemory) -> str:
    """Return what to say about a look: progress, or the trouble and since when."""
    if look.snapshot is not None:
        return progress_line(look.snapshot)
    if look.trouble is not None and memory.trouble_since is not None:
        what = look.trouble.code or look.trouble.message
        return f"state unknown since {iso(memory.trouble_since)}: {what}; asking again"
    return "state unknown; asking again"


def outcome_error(outcome: Outcome, what: str) -> DistillError | None:
    """Return the error a wait ended in, or None for success.

    :param what: names the work when no look ever showed it.
    """
    snapshot = outcome.snapshot
    trouble = outcome.trouble or Trouble("transient", "", "")
    if outcome.status == "success":
        return None
    if outcome.status in ("failed", "stopped") and snapshot is not None:
        return job_error(snapshot)
    if outcome.status == "timeout":
        return _timeout_error(outcome, what)
    refused: dict[str, type[ServiceError]] = {
        "denied": ServiceAccessError,
        "refused": ServiceError,
    }
    if outcome.status == "missing":
        minutes = WaitPolicy().missing_grace.total_seconds() / 60
        return ServiceNotFoundError(
            f"{what}: the service has shown nothing under it for {minutes:g} minutes: it was deleted, or it never came to "
            f"be ({trouble.message}).",
            operation="wait",
            code=trouble.code,
            hint="Look for it in the console of the connection's account and Region; a cleared task looks again and buys "
            "only what is not there.",
        )
    if outcome.status in refused:
        return refused[outcome.status](
            f"{what}: could not be watched any longer: {trouble.message}",
            operation="wait",
            code=trouble.code,
            hint="The job was not changed. Restore the access, then clear the task: it adopts what runs.",
        )
    return StateError(
        f"{what}: the trigger's event cannot be read.",
        hint="The job was not changed; a retry adopts it.",
    )


def _timeout_error(outcome: Outcome, what: str) -> JobTimeoutError:
    """Say what was seen last, and since when and why nothing was seen, where that is so."""
    snapshot, trouble = outcome.snapshot, outcome.trouble
    seen = f"while it was {snapshot.status}" if snapshot else "and it was never seen"
    hint = "To wait longer, raise wait_timeout (job.deadline in a workload file) and clear the task: it adopts the job."
    if trouble is not None:
        since = f" since {trouble.since}" if trouble.since else ""
        seen = f"{seen}; its state is unknown{since} ({trouble.message or trouble.code})"
        hint = f"The service did not answer: fix that first (credentials, network). {hint}"
    end = "it was asked to stop" if outcome.stop_requested else "it may still be running and billing"
    return JobTimeoutError(
        f"{what}: its deadline passed {seen}; {end}.",
        snapshot=snapshot.to_json() if snapshot else {},
        hint=f"{hint} To end it, stop it in the console or with BedrockStopCustomizationJobOperator."
        if not outcome.stop_requested
        else hint,
    )


def parse_time(text: str) -> datetime | None:
    """Read an ISO 8601 time; None for an empty or unreadable text. A time without a zone is UTC."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def deadline_after(created_at: str, timeout: timedelta | None, now: datetime) -> datetime | None:
    """Return the absolute deadline: counted from when the service says the work was created, so retries do not move it.

    A creation time in the future (clocks differ) or an unreadable one counts as now.
    """
    if timeout is None:
        return None
    created = parse_time(created_at) or now
    return min(created, now) + timeout


CLOCKS_APART = timedelta(minutes=15)
"""How far the worker's clock and the service's may be apart before a creation time says when something was created."""


def deadline_of_new(created_at: str, timeout: timedelta | None, now: datetime) -> datetime | None:
    """Return the deadline of what a purchase has just returned, by the worker's own clock.

    Counted from the service's creation time, a short wait would be over before it began where the service's clock is
    behind, and the paid work would be stopped. A creation time long ago is that of older work under the same wish.
    """
    created = parse_time(created_at) or now
    behind = now - created
    if timeout is not None and timedelta(minutes=1) < behind <= CLOCKS_APART:
        return now + timeout
    return deadline_after(created_at, timeout, now)
