"""Carries out a `DeploymentPlan`, step by step, with its state read from the account and not remembered.

From the claim on every ending is one of three: released, rolled back, or open and being mended. Every step looks first and
acts only when what it wants is not so already; a process may die between any two lines and the next one ends in the same
state with nothing bought twice. A step that fails for good begins the way back in the same call; so does a check that
speaks against the model. That is noted in the ledger before anything is undone, so a run that was killed on its way back
goes on going back. Where the service needs time, `advance` returns what it waits for and holds no thread: an operator
defers, the command line sleeps.

Whoever advances a release holds it for some minutes, renews that while working, and checks before each step, and again
right before each call that changes something, that nobody with a higher fence has taken over. A failure in the middle is
raised with what is done and what is left in its hint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

from airflow_distill.aws.account import find_host
from airflow_distill.aws.fence import fenced
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.hosts import HostOrder, bill_of, claim_host, have_host, try_to_delete
from airflow_distill.aws.pointers import publish_pointer, read_pointer, remove_pointer
from airflow_distill.aws.runtime import Reply
from airflow_distill.errors import (
    ConfigurationError,
    DeploymentError,
    DiskFullError,
    DistillError,
    ReleaseConflictError,
    ServiceConflictError,
    ServiceError,
    ServiceQuotaError,
    ServiceThrottledError,
    ServiceUnavailableError,
    StateError,
)
from airflow_distill.remote.backoff import again
from airflow_distill.remote.identity import (
    TAG_EXPIRES_AT,
    TAG_RELEASE,
    TAG_TEMPORARY,
    compact_time,
    resource_tags,
    run_and_airflow,
)
from airflow_distill.remote.ownership import Owner
from airflow_distill.remote.submit import APPEARS, no_fault
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.deployment.ledger import Entry, Ledger
from airflow_distill.stages.deployment.plan import describe
from airflow_distill.stages.deployment.probes import (
    Agreement,
    Asked,
    ProbeResult,
    agreement,
    judge,
    pick,
    pool,
    shape_of,
)
from airflow_distill.stages.deployment.records import (
    PROVISIONED,
    TAG_CLAIM,
    Bake,
    Cause,
    CreateHost,
    DeleteHost,
    DeploymentPlan,
    Hold,
    Host,
    HostKind,
    Outcome,
    OutcomeWord,
    Pointer,
    ProbeSettings,
    PublishPointer,
    RemovePointer,
    Retire,
    ShiftTraffic,
    SmokeTest,
    Step,
    UpdateHost,
    WaitForHost,
    Weighted,
    WriteRelease,
)
from airflow_distill.stages.deployment.times import iso, moment_of
from airflow_distill.stages.money.usage import CallMeter

PROBE_METADATA = {"airflow-distill": "probe"}
"""Request metadata of every probe, so that a harvest can leave them out."""

RENEWED_AFTER = 0.25
"""After so much of a lease it is renewed. With 15 minutes that is early enough for workers whose clocks are ten minutes
apart: one that is ahead sees the lease as over when a third of it has passed."""

_PAUSES = (1.0, 4.0, 10.0)
"""Seconds before each repetition of a question that the service did not answer."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The plan goes on when this host has settled on this model.

    :param since: when it began to settle, ISO 8601; empty when unknown.
    """

    host_kind: HostKind
    host_arn: str
    model_arn: str
    since: str = ""


@dataclass(frozen=True, slots=True)
class Pausing:
    """The plan goes on at this time: the next probe of a bake period."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Against:
    """Something speaks against the model or its release: the way back begins."""

    reasons: tuple[str, ...]
    cause: Cause = "check"


Pause = Waiting | Pausing
Progress = Pause | Outcome


@dataclass(slots=True)
class Execution:
    """Carries out one claimed release.

    :param entry: the ledger entry that this run claimed, or an open one that it found.
    :param plan: what to do, computed anew in every try.
    :param examples: the held-out prompts, read when first needed.
    :param clock: the time now, in UTC.
    :param sleep: used only for short pauses between repeated questions.
    :param progress: told one line a step.
    :param patience: how long a host may settle before it counts as stuck and the way back begins.
    :param fault: called at the named points of buying a host; tests kill the process there.
    :param run: who works, as a Dag run or a person; the claiming run when left out.
    :param holder: the same down to the try: an earlier try that still lives is shut out by the next one.
    :param lease_minutes: how long the release stays ours without a sign of life.
    :param user_tags: the workload's own tags, beside ours on all that is made.
    :param meter: counts the calls of smoke test and bake period; nothing is counted without one.
    :param force: take over although somebody else works on it; for people, and for a guard that knows its run is over.
    """

    gateways: AwsGateways
    ledger: Ledger
    entry: Entry
    plan: DeploymentPlan
    examples: Callable[[], tuple[Example, ...]]
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    score: Agreement = agreement
    progress: Callable[[str], None] = lambda line: None
    patience: timedelta = timedelta(hours=3)
    fault: Callable[[str], None] = no_fault
    run: str = ""
    holder: str = ""
    lease_minutes: float = 15.0
    force: bool = False
    meter: CallMeter | None = None
    user_tags: Mapping[str, str] = field(default_factory=dict)
    _done: list[str] = field(default_factory=list)
    _hold: Hold | None = None
    _ended: bool = False

    def __post_init__(self) -> None:
        self.gateways = fenced(self.gateways, self._may_change)

    @property
    def release(self) -> int:
        """The release's number in the ledger."""
        return self.entry.release.release

    def advance(self) -> Progress:
        """Go as far as possible; returns what is waited for, or how the release ended.

        :raises DistillError: a step failed and may succeed later, or the way back failed; the release stays open, and the
            hint says what is done and what is left.
        """
        closed = self.ledger.outcome(self.release)
        if closed is not None:
            return self._after_the_end(closed)
        self._take()
        if self._noted("against") is None:
            reached = self._forth()
            if not isinstance(reached, Against):
                return reached
            self._note_against(reached)
        return self._back()

    def _back(self) -> Progress:
        """Walk the way back; where a step of it fails for good, the release stays open and says what to do."""
        try:
            reached = self._walk(self.plan.way_back)
        except DistillError as error:
            if self._ended or not is_permanent(error):
                raise
            blocked = self.left_open(f"the way back is blocked: {error.message.rstrip('.')}")
            blocked.hint = f"{error.hint} {blocked.hint}"
            raise blocked from error
        if isinstance(reached, Against):
            raise self.left_open(f"the way back is blocked: {'; '.join(reached.reasons)}")
        return reached

    def turn_back(self, reasons: tuple[str, ...], cause: Cause) -> None:
        """Decide that this release is rolled back; the next `advance` begins the way back. One that ended stays ended.

        :raises ReleaseConflictError: somebody else works on it.
        """
        if self.ledger.outcome(self.release) is None:
            self._take()
            self._note_against(Against(reasons, cause))

    def give_back(self) -> None:
        """Say that nobody works on this release any more, so that the next run need not wait for the hold to run out."""
        if self._hold is not None:
            self.ledger.give_back(self._hold, iso(self.clock()))
            self._hold = None

    @property
    def going_back(self) -> bool:
        """Whether something speaks against this release already."""
        return self._noted("against") is not None

    @property
    def since(self) -> str:
        """When the way that this release is on began (ISO 8601): from its claim, or from what turned it back."""
        noted = self._noted("against")
        return str(noted["at"]) if noted else self.entry.release.claimed_at

    def left_open(self, why: str) -> DeploymentError:
        """Return the error of somebody who cannot go on now: what serves, what callers are told, and who mends it."""
        target = self.plan.target.host
        host = find_host(self.gateways.bedrock, target.kind, target.name, tags=False)
        serves = f"the host serves {host.model_arn}" if host else f"there is no host {target.name}"
        if host is not None and host.failed:
            serves = f"the host is {host.told()} (model {host.model_arn})"
        try:
            pointer = self._pointer()
            names = f"the pointer names {pointer.model_arn}" if pointer else "there is no pointer"
        except StateError:
            names = "the pointer cannot be read"
        goes_on = "A retry, any later run, the run's guard or `airflow-distill release resume` goes on with the way back."
        if host is None or host.failed:
            goes_on += (
                " If the host stays as it is, `airflow-distill release repair --yes` ends this release and gives the "
                "model that was live before a new host."
            )
        return _later(
            f"deployment: release {self.release} is open and being repaired: {why}; {serves}, {names}.",
            goes_on,
        )

    def _forth(self) -> Progress | Against:
        """Walk the steps; an error that no later try can mend speaks against the release."""
        try:
            return self._walk(self.plan.steps)
        except DistillError as error:
            if self._ended or not is_permanent(error):
                raise
            return Against((f"{type(error).__name__}: {error.message}",), "failure")
        except Exception as error:  # a fault of ours must not leave an unproven model serving
            if self._ended or is_of_the_process(error):
                raise
            return Against((f"{type(error).__name__} in the middle of a step",), "failure")

    def _note_against(self, against: Against) -> None:
        body = {"reasons": list(against.reasons), "cause": against.cause, "at": iso(self.clock())}
        self._note("against", body)
        self.progress(f"against release {self.release}: {'; '.join(against.reasons)}; going back")

    def _noted(self, name: str) -> dict[str, Any] | None:
        return self.ledger.noted(self.release, name, self.entry.release.nonce)

    def _note(self, name: str, body: Mapping[str, Any]) -> None:
        self._still_ours()
        self.ledger.note(self.release, name, body, self.entry.release.nonce)

    # Who works on it.

    def _take(self) -> None:
        """Become the holder, or renew what we hold."""
        now = self.clock()
        if self._hold is not None:
            self._nobody_took_over(self._hold)
        run = self.run or self.entry.release.run
        self._hold = self.ledger.take(
            self.entry.release,
            self.holder or run,
            run,
            iso(now + timedelta(minutes=self.lease_minutes)),
            now=now,
            force=self.force and self._hold is None,
        )

    def _still_ours(self) -> None:
        """Stop when somebody has closed our release or taken it over; renew our hold when a part of it has passed.

        :raises ReleaseConflictError: it is not ours any more. Nothing is done after that.
        """
        if self._hold is None:
            raise ReleaseConflictError(f"deployment: release {self.release} is not held by this run.")
        ended, fence = self.ledger.fence(self.entry.release)
        if ended:
            closed = self.ledger.outcome(self.release)
            raise ReleaseConflictError(
                f"deployment: release {self.release} was closed as {closed.outcome if closed else 'ended'} by another run.",
                hint="This run stops here. Retry: the next try reads what is live now.",
            )
        if fence != self._hold.fence:
            self._nobody_took_over(self._hold)
        self._renew()

    def _renew(self) -> None:
        """Renew our hold when a part of it has passed, by our own clock alone.

        :raises ReleaseConflictError: somebody has taken the release over.
        """
        until = moment_of(self._hold.until) if self._hold else None
        if until is None or until - self.clock() < timedelta(
            minutes=self.lease_minutes * (1 - RENEWED_AFTER)
        ):
            self._take()

    def _may_change(self) -> None:
        """Refuse a call that changes something once the release is not ours any more, or a later one has been claimed.

        :raises ReleaseConflictError: so it is; the call was not sent.
        """
        if not self._ended:
            self._still_ours()
        elif self.ledger.head(self.entry) is None:
            raise ReleaseConflictError(
                f"deployment: release {self.release} has ended, and a later one was claimed since.",
                hint="`airflow-distill reap` deletes what this run left behind.",
            )

    def _nobody_took_over(self, mine: Hold) -> None:
        present = self.ledger.holder(self.entry.release)
        if present is None or present.fence != mine.fence or present.holder != mine.holder:
            who = present.holder if present else "nobody"
            raise ReleaseConflictError(
                f"deployment: release {self.release} was taken over by {who}.",
                hint="This run stops here. The run that took the release over finishes it or rolls it back.",
            )

    def _after_the_end(self, closed: Outcome) -> Outcome:
        """Finish what follows the ledger's last word, unless a later release has been claimed or made live since."""
        self._ended = True
        try:
            if closed.outcome == "released" and not self._superseded():
                for step in self.plan.steps:
                    if isinstance(step, Retire):
                        self._perform(step)
            self._anchor()
        except ReleaseConflictError:
            return closed
        except DistillError as error:
            told = f"Release {self.release} is {closed.outcome}, and stays so; clear this task to do what follows that."
            error.hint = f"{error.hint} {told}".strip()
            raise
        return closed

    @property
    def _owner(self) -> Owner:
        return Owner(self.plan.workload, self.ledger.root)

    def _recorded(self) -> frozenset[str]:
        """Return the hosts that this root's ledger names; one without a root tag is ours if it is among them."""
        return self.ledger.read().hosts()

    def _pointer(self) -> Pointer | None:
        return read_pointer(self.gateways.parameters, self.plan.workload, self.ledger.root, self._recorded)

    def _pointer_or_none(self) -> Pointer | None:
        """Return the pointer; what another tool has written in its place counts as none, and drift tells it."""
        try:
            return self._pointer()
        except StateError:
            return None

    def _superseded(self) -> bool:
        pointer = self._pointer_or_none()
        return pointer is None or pointer.release != self.release

    def _walk(self, steps: tuple[Step, ...]) -> Pause | Outcome | Against:
        self._done = []
        for number, step in enumerate(steps):
            try:
                self._still_ours()
                result = self._perform(step)
            except DistillError as error:
                self._refuse_traces_of_others(error)
                error.hint = f"{error.hint} {self._account_of(steps, number)}".strip()
                raise
            if isinstance(result, Waiting | Pausing | Against):
                return result
            self._done.append(step.kind)
            self.progress(f"done: {describe(step)}")
            if result is not None:
                return self._after_the_end(result)
        raise DeploymentError(f"deployment: the plan of release {self.release} never writes its outcome.")

    def _refuse_traces_of_others(self, error: DistillError) -> None:
        """Say that the release was taken over, when that is why a step found something strange."""
        if isinstance(error, ReleaseConflictError):
            return
        try:
            self._still_ours()
        except ReleaseConflictError as lost:
            raise lost from error
        except DistillError:
            return

    def _account_of(self, steps: tuple[Step, ...], number: int) -> str:
        """Say what is done and what is left."""
        done = ", ".join(step.kind for step in steps[:number]) or "nothing"
        left = "; ".join(describe(step) for step in steps[number:])
        return (
            f"Release {self.release} is open: done: {done}. Left: {left}. A retry, any later run or "
            "`airflow-distill release resume` goes on from there."
        )

    def _perform(self, step: Step) -> Pause | Outcome | Against | None:
        match step:
            case CreateHost():
                return self._create_host(step)
            case UpdateHost():
                return self._update_host(step)
            case WaitForHost():
                return self._wait_for_host(step)
            case SmokeTest():
                return self._smoke_test(step)
            case PublishPointer():
                self._publish_pointer(step)
            case ShiftTraffic():
                return self._shift(step)
            case RemovePointer():
                self._remove_pointer()
            case Bake():
                return self._bake(step)
            case WriteRelease():
                return self._write_release(step)
            case Retire():
                self._retire(step)
            case DeleteHost():
                return self._delete_host(step)
        return None

    # Hosts.

    def _create_host(self, step: CreateHost) -> Pause | Against | None:
        spec = step.spec
        found = find_host(self.gateways.bedrock, spec.kind, spec.name)
        if found is not None:
            self._must_be_ours(found)
            self._must_stand_in_the_ledger(found)
            if not found.failed and found.desired_arn != step.model_arn:
                return self._update_host(UpdateHost(spec.kind, found.arn, step.model_arn))
            if found.failed and (why := self._needed(found)):
                return Against((f"{found.kind} {found.name} is {found.told()}, and {why}",), "failure")
        order = HostOrder(
            spec=spec,
            model_arn=step.model_arn,
            owner=self._owner,
            tags=self._tags(temporary=step.temporary),
            token_of={
                "release": self.release,
                "claim": self.entry.release.claim,
                "after": found.arn if found is not None and found.failed else "",
            },
            name_of=lambda generation: spec.name,
            recorded=self._recorded,
            keep=self._needed,
            max_generations=2,
            before_buying=lambda name: self._note("purchase", {"host": name, "at": iso(self.clock())}),
        )
        have_host(self.gateways, order, now=self.clock, sleep=self.sleep, fault=self.fault)
        return None

    def _needed(self, host: Host) -> str:
        """Say why a host must not be deleted: the pointer or the ledger's live release names it; empty when it may be."""
        try:
            pointer, live = self._pointer(), self.ledger.sound().live()
        except StateError as error:
            return f"it cannot be told who needs it: {error.message.rstrip('.')}"
        if pointer is not None and host.arn in pointer.hosts:
            return f"the pointer names it (release {pointer.release})"
        if live is not None and live.host_arn == host.arn:
            return f"release {live.release} is live on it"
        return ""

    def _update_host(self, step: UpdateHost) -> Pause | Against | None:
        host = self._host(step.host_kind, step.host)
        self._must_be_ours(host)
        if host.desired_arn == step.model_arn and host.state(step.model_arn) in {"ready", "settling"}:
            return None
        if host.state(step.model_arn) == "ready" and host.update_status == "UpdateFailed":
            return None
        if host.moving:
            return self._stuck(host) or Waiting(
                host.kind, host.arn, host.desired_arn, iso(self._moving_since(host))
            )
        try:
            if host.kind == PROVISIONED:
                self.gateways.bedrock.update_provisioned_throughput(host.arn, step.model_arn)
            else:
                self.gateways.bedrock.update_deployment(host.arn, step.model_arn)
        except (ServiceUnavailableError, ServiceConflictError):
            again = self._host(step.host_kind, step.host)
            if again.desired_arn != step.model_arn:
                raise
        return None

    def _wait_for_host(self, step: WaitForHost) -> Pause | Against | None:
        host = find_host(self.gateways.bedrock, step.host_kind, step.host, tags=False)
        if host is None:
            raise _later(
                f"deployment: {step.host_kind} {step.host} is not there.",
                "It may not be shown yet, or somebody deleted it; a retry plans again.",
            )
        state = host.state(step.model_arn)
        if state == "ready":
            return None
        if state == "settling":
            since = iso(self._moving_since(host))
            return self._stuck(host) or Waiting(host.kind, host.arn, step.model_arn, since)
        if state == "failed":
            return Against((f"{host.kind} {host.name} could not take the model: {host.told()}",), "failure")
        raise _later(
            f"deployment: {host.arn} serves {host.model_arn}, which this plan did not ask for.",
            "Somebody changed the host by hand; a retry plans again.",
        )

    def _bill(self, host: Host) -> str:
        return bill_of(host, hourly=self.plan.target.host.price_per_hour)

    def _stuck(self, host: Host) -> Against | None:
        """Return what speaks against a host that has been settling for too long."""
        if self.clock() - self._moving_since(host) < self.patience:
            return None
        hours = self.patience.total_seconds() / 3600
        said = f"{host.kind} {host.name} is still {host.told()} after {hours:.3g} h; {self._bill(host)}"
        return Against((said,), "failure")

    def _moving_since(self, host: Host) -> datetime:
        """Return since when a host settles: the service's own last change, and not before this way was begun."""
        told = (host.created_at, host.changed_at, self.since)
        moments = [moment for moment in map(moment_of, told) if moment is not None]
        return min(max(moments, default=self.clock()), self.clock())

    def _delete_host(self, step: DeleteHost) -> Pause | None:
        host = self._host_to_delete(step)
        if host is None:
            return None
        self._must_be_ours(host)
        if why := self._needed(host):
            self.progress(f"kept: {host.kind} {host.name}: {why}")
            return None
        if not self._may_replace(host):
            self.progress(f"left alone: {host.arn}, which this release did not make")
            return None
        why = try_to_delete(self.gateways, host)
        if why and host.moving and self._stuck(host) is None:
            return Waiting(host.kind, host.arn, host.desired_arn, iso(self._moving_since(host)))
        if why:
            # It is told to the reaper, which deletes it as soon as the service lets it.
            self.gateways.bedrock.tag(
                host.arn, {TAG_TEMPORARY: "true", TAG_EXPIRES_AT: compact_time(self.clock())}
            )
            self.progress(
                f"not deleted: {host.kind} {host.name}: {why}; {self._bill(host)}; the reaper removes it"
            )
        return None

    def _host_to_delete(self, step: DeleteHost) -> Host | None:
        """Return the host of a release that goes back; one that was bought may not be shown for a minute yet."""
        for pause in APPEARS:
            if pause:
                if self._noted("purchase") is None:
                    return None
                self.sleep(pause)
            host = find_host(self.gateways.bedrock, step.host_kind, step.host)
            if host is not None:
                return host
        return None

    def _retire(self, step: Retire) -> None:
        host = find_host(self.gateways.bedrock, step.host_kind, step.host)
        if host is None or host.tags.get(TAG_TEMPORARY) == "true":
            return
        self._must_be_ours(host)
        until = compact_time(self.clock() + timedelta(hours=step.grace_hours))
        self.gateways.bedrock.tag(host.arn, {TAG_TEMPORARY: "true", TAG_EXPIRES_AT: until})

    def _host(self, kind: HostKind, identifier: str) -> Host:
        host = find_host(self.gateways.bedrock, kind, identifier)
        if host is None:
            raise _later(f"deployment: {kind} {identifier} is gone.", "A retry plans again.")
        return host

    def _must_be_ours(self, host: Host) -> None:
        claim_host(self.gateways.bedrock, host, self._owner, self._recorded)

    def _must_stand_in_the_ledger(self, host: Host) -> None:
        """A host of the wanted name that this release did not make, and that is not retired, serves somebody."""
        if not self._may_replace(host) and host.status != "Failed":
            raise DeploymentError(
                f"deployment: {host.kind} {host.name} ({host.arn}) exists already, and no live release of this ledger made "
                f"it (its tag says release {host.tags.get(TAG_RELEASE, 'none')}).",
                hint="It may serve callers and is not touched. Was the ledger deleted? Restore it from the bucket's "
                "versions; if the host is not in use, delete it by hand.",
            )

    def _may_replace(self, host: Host) -> bool:
        """Whether this release made the host, or it is retired; entries of version 1 left no mark."""
        nonce = self.entry.release.nonce
        return not nonce or host.tags.get(TAG_CLAIM) == nonce or host.tags.get(TAG_TEMPORARY) == "true"

    # Asking.

    def _smoke_test(self, step: SmokeTest) -> Against | None:
        noted = self._noted("smoke")
        if noted is None:
            result = self._ask(step.host_kind, step.host, step.settings, offset=0)
            noted = {"at": iso(self.clock()), **result.to_json()}
            self._note("smoke", noted)
        reasons = ProbeResult.from_json(noted).reasons
        return Against(tuple(f"smoke test: {reason}" for reason in reasons)) if reasons else None

    def _bake(self, step: Bake) -> Pause | Against | None:
        settings = step.settings
        begun = self._noted("bake")
        if begun is None:
            begun = {"started_at": iso(self.clock())}
            self._note("bake", begun)
        start = moment_of(begun["started_at"]) or self.clock()
        rounds: list[ProbeResult] = []
        for number in range(settings.probes):
            due = start + timedelta(seconds=number * settings.every_seconds)
            noted = self._noted(f"probe-{number + 1:03d}")
            if noted is None:
                if self.clock() < due:
                    return Pausing(due)
                self._still_ours()
                offset = number * settings.limits.prompts
                result = self._ask(step.host_kind, step.host, settings.limits, offset=offset)
                noted = {"at": iso(self.clock()), **result.to_json()}
                self._note(f"probe-{number + 1:03d}", noted)
            rounds.append(ProbeResult.from_json(noted))
            reasons = pool(rounds, settings.limits).reasons
            if reasons:
                return Against(tuple(f"bake, probe {number + 1}: {reason}" for reason in reasons))
        return None

    def _ask(self, kind: HostKind, host: str, settings: ProbeSettings, offset: int) -> ProbeResult:
        arn = host if host.startswith("arn:") else self._host(kind, host).arn
        return probe_host(
            self.gateways,
            arn,
            self.examples(),
            settings,
            sleep=self.sleep,
            offset=offset,
            score=self.score,
            between=self._renew,
            meter=self.meter,
        )

    def _shift(self, step: ShiftTraffic) -> Pause | Against | None:
        """Give the new host share after share of the calls, and judge it at the end of each."""
        settings = step.settings
        rounds: list[ProbeResult] = []
        for number, share in enumerate(settings.shares, 1):
            judged = self._noted(f"share-{number:03d}")
            if judged is None:
                since = self._given_share(step, number, share)
                due = since + timedelta(seconds=settings.every_seconds)
                if self.clock() < due:
                    return Pausing(due)
                offset = (number - 1) * settings.limits.prompts
                result = self._ask(step.host_kind, step.host, settings.limits, offset=offset)
                judged = {
                    "at": iso(self.clock()),
                    "share": share,
                    **result.to_json(),
                    **self._callers(step, since),
                }
                self._note(f"share-{number:03d}", judged)
            rounds.append(ProbeResult.from_json(judged))
            reasons = [*pool(rounds, settings.limits).reasons, *judged["callers_against"]]
            if reasons:
                return Against(tuple(f"canary, {share:.0%} of the calls: {reason}" for reason in reasons))
        return None

    def _given_share(self, step: ShiftTraffic, number: int, share: float) -> datetime:
        """Publish a share, and return since when callers have it; a share that was published stays begun."""
        host = self._host(step.host_kind, step.host).arn
        canary = Weighted(step.release, step.model_arn, step.host_kind, host, share)
        self._still_ours()
        self._publish_pointer(step.live, canary)
        begun = self._noted(f"shift-{number:03d}")
        if begun is None:
            begun = {"share": share, "at": iso(self.clock())}
            self._note(f"shift-{number:03d}", begun)
            self.progress(f"canary: {share:.0%} of the calls go to {host}")
        return moment_of(begun["at"]) or self.clock()

    def _callers(self, step: ShiftTraffic, since: datetime) -> dict[str, Any]:
        """Return what CloudWatch counted of the callers' own calls during a share, and what of it speaks against going on.

        A count that cannot be had is told and speaks neither for nor against: the probes are asked anyway.
        """
        settings, host = step.settings, self._host(step.host_kind, step.host).arn
        try:
            counts = self.gateways.metrics.failed([host, step.live.host], since, self.clock())
        except ServiceError as error:
            self.progress(f"canary: CloudWatch gives no count of the callers' calls ({type(error).__name__})")
            return {"callers": {}, "callers_against": []}
        new, live = counts[host], counts[step.live.host]
        against = []
        if new.calls >= settings.least_calls and new.share > live.share + settings.max_failed:
            against.append(
                f"{new.failed} of {new.calls} calls failed ({new.share:.1%}); {live.share:.1%} at the live host"
            )
        told = {"new": [new.calls, new.failed], "live": [live.calls, live.failed]}
        return {"callers": told, "callers_against": against}

    # Pointer and ledger.

    def _publish_pointer(self, step: PublishPointer, canary: Weighted | None = None) -> None:
        host = step.host if step.host.startswith("arn:") else self._host(step.host_kind, step.host).arn
        pointer = Pointer(
            workload=self.plan.workload,
            release=step.release,
            model_arn=step.model_arn,
            host_kind=step.host_kind,
            host_arn=host,
            region=self.gateways.bedrock.region,
            root=self.ledger.root,
            head=self.entry.head,
            canary=canary,
        )
        self._put(pointer)

    def _put(self, pointer: Pointer) -> None:
        publish_pointer(self.gateways.parameters, pointer, self._tags(), self._recorded)

    def _anchor(self) -> None:
        """Let the pointer remember the ledger's newest entry with its outcome, while it is the one that we closed."""
        pointer = self._pointer_or_none()
        head = self.ledger.head(self.entry) if pointer is not None else None
        if pointer is not None and head is not None and pointer.head != head:
            self._put(replace(pointer, head=head))

    def _remove_pointer(self) -> None:
        remove_pointer(
            self.gateways.parameters,
            self.plan.workload,
            self.ledger.root,
            self.release,
            self._recorded,
        )

    def _write_release(self, step: WriteRelease) -> Outcome:
        if step.outcome == "rolled_back":
            noted = self._noted("against") or {}
            cause = cast("Cause", noted.get("cause") or "check")
            return self._close(self._outcome("rolled_back", tuple(noted.get("reasons", ())), None, cause))
        for published in self.plan.steps:
            if isinstance(published, PublishPointer):
                self._publish_pointer(
                    published
                )  # somebody may have deleted or replaced it during the bake period
        target = self.plan.target
        host = self._host(target.host.kind, target.host.name)
        retired = {TAG_TEMPORARY: "false"} if host.tags.get(TAG_TEMPORARY) == "true" else {}
        self.gateways.bedrock.tag(host.arn, {**self._tags(), **retired})
        return self._close(self._outcome("released", (), host))

    def _close(self, outcome: Outcome) -> Outcome:
        self._still_ours()
        return self.ledger.close(outcome)

    def _outcome(
        self, word: OutcomeWord, why: tuple[str, ...], host: Host | None, cause: Cause = ""
    ) -> Outcome:
        checks = {}
        shares = (f"share-{n:03d}" for n in range(1, self._shares() + 1))
        for name in ("smoke", *shares, *(f"probe-{n:03d}" for n in range(1, self._probes() + 1))):
            noted = self._noted(name)
            if noted is not None:
                checks[name] = noted
        return Outcome(
            release=self.release,
            outcome=word,
            at=iso(self.clock()),
            why=why,
            host_kind=host.kind if host else "",
            host_arn=host.arn if host else "",
            model_arn=self.plan.target.model_arn if host else "",
            entry_sha256=self.entry.sha256,
            checks=checks,
            nonce=self.entry.release.nonce,
            cause=cause,
            notes=self.ledger.notes_of(self.entry) if self.entry.release.nonce else {},
        )

    def _probes(self) -> int:
        return sum(step.settings.probes for step in self.plan.steps if isinstance(step, Bake))

    def _shares(self) -> int:
        return sum(len(step.settings.shares) for step in self.plan.steps if isinstance(step, ShiftTraffic))

    def _tags(self, *, temporary: bool = False) -> dict[str, str]:
        release = self.entry.release
        run, airflow = run_and_airflow(release.run)
        return resource_tags(
            self.plan.workload,
            run,
            release.owner,
            moment_of(self.plan.target.host.ends_at),
            dataset_id=release.evidence.dataset_id or None,
            release=release.release,
            temporary=temporary,
            root=self.ledger.root,
            airflow=airflow,
            extra={**self.user_tags, **self.plan.target.host.price_tags, **self._claim_tag()},
        )

    def _claim_tag(self) -> dict[str, str]:
        nonce = self.entry.release.nonce
        return {TAG_CLAIM: nonce} if nonce else {}


def is_permanent(error: DistillError) -> bool:
    """Say whether no later try of the same step can succeed, so that waiting would leave an unproven model serving."""
    return not error.retryable and not isinstance(error, ServiceQuotaError | ServiceConflictError)


def is_of_the_process(error: Exception) -> bool:
    """Say whether an error tells of the process that works, and nothing of the release: it is as if it had been killed.

    A task whose supervisor was killed lives on for a while and finds its pipe closed (`BrokenPipeError`, `EOFError`) as
    soon as it logs; memory and disk run out for one worker and not for the next.
    """
    if isinstance(error, ConnectionError | EOFError | MemoryError):
        return True
    return isinstance(error, OSError) and DiskFullError.from_os(error) is not None


def probe_host(
    gateways: AwsGateways,
    host_arn: str,
    examples: tuple[Example, ...],
    settings: ProbeSettings,
    *,
    sleep: Callable[[float], None],
    offset: int = 0,
    score: Agreement = agreement,
    between: Callable[[], None] = lambda: None,
    meter: CallMeter | None = None,
) -> ProbeResult:
    """Ask a host some of the held-out prompts and judge the answers.

    :param offset: where to begin, so that rounds differ.
    :param between: called before each question; answers may take minutes where the host is busy.
    """
    if not examples:
        raise ConfigurationError(
            "deployment: there are no held-out prompts to ask.",
            hint="Give the dataset's manifest, or turn the smoke test and the bake period off.",
        )
    chosen = pick(examples, settings.prompts, offset)
    asked = []
    for example in chosen:
        between()
        asked.append(ask(gateways, host_arn, example, settings.max_tokens, sleep, meter))
    return judge(asked, settings, shape_of(settings, examples), score)


def ask(
    gateways: AwsGateways,
    host_arn: str,
    example: Example,
    max_tokens: int,
    sleep: Callable[[float], None],
    meter: CallMeter | None = None,
) -> Asked:
    """Ask a host one held-out prompt. What a caller would see as an error is kept as its code.

    A throttle or an outage is asked again a few times. A lost connection or a denial says nothing about the model and is
    raised.
    """
    messages = [{"role": t.role, "content": [{"text": t.text}]} for t in example.turns]

    def once() -> Reply:
        if meter is not None:
            meter.ask()
        try:
            reply = gateways.runtime.converse(
                host_arn,
                messages=messages,
                max_tokens=max_tokens,
                system=example.system,
                request_metadata=PROBE_METADATA,
            )
        except ServiceError as error:
            if meter is not None and error.code:  # without a code nobody knows what became of the call
                meter.answered(None)
            raise
        if meter is not None:
            meter.answered(reply.tokens)
        return reply

    try:
        reply = again(
            once,
            _PAUSES,
            sleep,
            lambda error: (
                bool(error.code) and isinstance(error, ServiceThrottledError | ServiceUnavailableError)
            ),
        )
    except (ServiceThrottledError, ServiceUnavailableError) as error:
        if not error.code:
            raise
        return Asked(example, error=error.code)
    return Asked(example, answer=reply.text, latency_ms=float(reply.latency_ms))


def _later(message: str, hint: str) -> DeploymentError:
    """Return an error after which the same task may succeed, because it plans anew."""
    error = DeploymentError(message, hint=hint)
    error.retryable = True
    return error
