"""Carries out a `DeploymentPlan`, step by step, with its state read from the account and not remembered.

Every step looks first and acts only when what it wants is not so already; a process may die between any two lines and the
next one ends in the same state with nothing bought twice. What a check found is noted in the ledger before anything is
undone, so a run that was killed on its way back goes on going back. Where the service needs time, `advance` returns what it
waits for and holds no thread: an operator defers, the command line sleeps.

A failure in the middle is raised with what is done and what is left in its hint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from airflow_distill.aws.account import find_host
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.hosts import HostOrder, bill_of, claim_host, have_host, try_to_delete
from airflow_distill.aws.pointers import publish_pointer, read_pointer, remove_pointer
from airflow_distill.errors import (
    ConfigurationError,
    DeploymentError,
    DistillError,
    ReleaseConflictError,
    ServiceConflictError,
    ServiceThrottledError,
    ServiceUnavailableError,
)
from airflow_distill.remote.identity import (
    TAG_EXPIRES_AT,
    TAG_TEMPORARY,
    compact_time,
    resource_tags,
)
from airflow_distill.remote.ownership import Owner
from airflow_distill.remote.submit import no_fault
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
    Bake,
    CreateHost,
    DeleteHost,
    DeploymentPlan,
    Host,
    HostKind,
    Outcome,
    OutcomeWord,
    Pointer,
    ProbeSettings,
    PublishPointer,
    RemovePointer,
    Retire,
    SmokeTest,
    Step,
    UpdateHost,
    WaitForHost,
    WriteRelease,
)
from airflow_distill.stages.deployment.times import iso, moment_of

PROBE_METADATA = {"airflow-distill": "probe"}
"""Request metadata of every probe, so that a harvest can leave them out."""

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
    """A check speaks against the model: the way back begins."""

    reasons: tuple[str, ...]


Pause = Waiting | Pausing
Progress = Pause | Outcome


@dataclass(slots=True)
class Execution:
    """Carries out one claimed release.

    :param entry: the ledger entry that this run claimed, or found claimed by an earlier try of itself.
    :param plan: what to do, computed anew in every try.
    :param examples: the held-out prompts, read when first needed.
    :param clock: the time now, in UTC.
    :param sleep: used only for short pauses between repeated questions.
    :param progress: told one line a step.
    :param patience: how long a host may settle before it counts as stuck and the way back begins.
    :param fault: called at the named points of buying a host; tests kill the process there.
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
    _done: list[str] = field(default_factory=list)

    @property
    def release(self) -> int:
        """The release's number in the ledger."""
        return self.entry.release.release

    def advance(self) -> Progress:
        """Go as far as possible; returns what is waited for, or how the release ended.

        :raises DistillError: a step failed; the hint says what is done and what is left.
        """
        closed = self.ledger.outcome(self.release)
        if closed is not None:
            return self._after_the_end(closed)
        against = self.ledger.noted(self.release, "against")
        if against is None:
            reached = self._walk(self.plan.steps)
            if not isinstance(reached, Against):
                return reached
            self.ledger.note(
                self.release, "against", {"reasons": list(reached.reasons), "at": iso(self.clock())}
            )
            self.progress(f"against release {self.release}: {'; '.join(reached.reasons)}; going back")
        back = self._walk(self.plan.way_back)
        if isinstance(back, Against):
            raise DeploymentError(
                f"deployment: the way back of release {self.release} is blocked: {'; '.join(back.reasons)}.",
                hint=self._account_of(self.plan.way_back, len(self._done)),
            )
        return back

    def _after_the_end(self, closed: Outcome) -> Outcome:
        """Finish what follows the ledger's last word, unless a later release has been made live since."""
        if closed.outcome == "released" and not self._superseded():
            for step in self.plan.steps:
                if isinstance(step, Retire):
                    self._perform(step)
        return closed

    @property
    def _owner(self) -> Owner:
        return Owner(self.plan.workload, self.ledger.root)

    def _recorded(self) -> frozenset[str]:
        """Return the hosts that this root's ledger names; one without a root tag is ours if it is among them."""
        return self.ledger.read().hosts()

    def _pointer(self) -> Pointer | None:
        return read_pointer(self.gateways.parameters, self.plan.workload, self.ledger.root, self._recorded)

    def _superseded(self) -> bool:
        pointer = self._pointer()
        return pointer is None or pointer.release != self.release

    def _walk(self, steps: tuple[Step, ...]) -> Pause | Outcome | Against:
        self._done = []
        outcome: Outcome | None = None
        for number, step in enumerate(steps):
            try:
                self._still_ours(outcome)
                result = self._perform(step)
            except DistillError as error:
                error.hint = f"{error.hint} {self._account_of(steps, number)}".strip()
                raise
            if isinstance(result, Waiting | Pausing | Against):
                return result
            outcome = result or outcome
            self._done.append(step.kind)
            self.progress(f"done: {describe(step)}")
        if outcome is None:
            raise DeploymentError(f"deployment: the plan of release {self.release} never writes its outcome.")
        return outcome

    def _account_of(self, steps: tuple[Step, ...], number: int) -> str:
        """Say what is done and what is left."""
        done = ", ".join(step.kind for step in steps[:number]) or "nothing"
        left = "; ".join(describe(step) for step in steps[number:])
        return f"Release {self.release}: done: {done}. Left: {left}. A retry goes on from there."

    def _still_ours(self, outcome: Outcome | None) -> None:
        """Stop when somebody declared our claim abandoned while we were away."""
        if outcome is not None:
            return
        closed = self.ledger.outcome(self.release)
        if closed is not None:
            raise ReleaseConflictError(
                f"deployment: release {self.release} was closed as {closed.outcome} by another run.",
                hint="This run stops here; a retry reads what is live now.",
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
            if not found.failed and found.desired_arn != step.model_arn:
                return self._update_host(UpdateHost(spec.kind, found.arn, step.model_arn))
            if found.failed and (why := self._needed(found)):
                return Against((f"{found.kind} {found.name} is {found.told()}, and {why}",))
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
        )
        have_host(self.gateways, order, now=self.clock, sleep=self.sleep, fault=self.fault)
        return None

    def _needed(self, host: Host) -> str:
        """Say why a host must not be deleted: the pointer or the ledger's live release names it; empty when it may be."""
        pointer, live = self._pointer(), self.ledger.read().live()
        if pointer is not None and pointer.host_arn == host.arn:
            return f"the pointer names it (release {pointer.release})"
        if live is not None and live.host_arn == host.arn:
            return f"release {live.release} is live on it"
        return ""

    def _update_host(self, step: UpdateHost) -> Pause | None:
        host = self._host(step.host_kind, step.host)
        self._must_be_ours(host)
        if host.desired_arn == step.model_arn and host.state(step.model_arn) in {"ready", "settling"}:
            return None
        if host.state(step.model_arn) == "ready" and host.update_status == "UpdateFailed":
            return None
        if host.status in {"Creating", "Updating"} or host.update_status == "Updating":
            return Waiting(host.kind, host.arn, host.desired_arn)
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
                "It may not be shown yet, or somebody deleted it; a retry plans anew.",
            )
        state = host.state(step.model_arn)
        if state == "ready":
            return None
        since = self._moving_since(host)
        if state == "settling" and self.clock() - since >= self.patience:
            hours = self.patience.total_seconds() / 3600
            return Against(
                (f"{host.kind} {host.name} is still {host.told()} after {hours:.3g} h; {self._bill(host)}",)
            )
        if state == "settling":
            return Waiting(host.kind, host.arn, step.model_arn, iso(since))
        if state == "failed":
            return Against((f"{host.kind} {host.name} could not take the model: {host.told()}",))
        raise _later(
            f"deployment: {host.arn} serves {host.model_arn}, which this plan did not ask for.",
            "Somebody changed the host by hand; a retry plans anew.",
        )

    def _bill(self, host: Host) -> str:
        return bill_of(host, hourly=self.plan.target.host.price_per_hour)

    def _moving_since(self, host: Host) -> datetime:
        """Return since when a host settles: the service's own last change, and not before this release was claimed."""
        told = (host.created_at, host.changed_at, self.entry.release.claimed_at)
        moments = [moment for moment in map(moment_of, told) if moment is not None]
        return min(max(moments, default=self.clock()), self.clock())

    def _delete_host(self, step: DeleteHost) -> Pause | None:
        host = find_host(self.gateways.bedrock, step.host_kind, step.host)
        if host is None:
            return None
        self._must_be_ours(host)
        if why := self._needed(host):
            self.progress(f"kept: {host.kind} {host.name}: {why}")
            return None
        why = try_to_delete(self.gateways, host)
        if why and host.moving and self.clock() - self._moving_since(host) < self.patience:
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
            raise _later(f"deployment: {kind} {identifier} is gone.", "A retry plans anew.")
        return host

    def _must_be_ours(self, host: Host) -> None:
        claim_host(self.gateways.bedrock, host, self._owner, self._recorded)

    # Asking.

    def _smoke_test(self, step: SmokeTest) -> Against | None:
        noted = self.ledger.noted(self.release, "smoke")
        if noted is None:
            result = self._ask(step.host_kind, step.host, step.settings, offset=0)
            noted = {"at": iso(self.clock()), **result.to_json()}
            self.ledger.note(self.release, "smoke", noted)
        reasons = ProbeResult.from_json(noted).reasons
        return Against(tuple(f"smoke test: {reason}" for reason in reasons)) if reasons else None

    def _bake(self, step: Bake) -> Pause | Against | None:
        settings = step.settings
        begun = self.ledger.noted(self.release, "bake")
        if begun is None:
            begun = {"started_at": iso(self.clock())}
            self.ledger.note(self.release, "bake", begun)
        start = moment_of(begun["started_at"]) or self.clock()
        rounds: list[ProbeResult] = []
        for number in range(settings.probes):
            due = start + timedelta(seconds=number * settings.every_seconds)
            noted = self.ledger.noted(self.release, f"probe-{number + 1:03d}")
            if noted is None:
                if self.clock() < due:
                    return Pausing(due)
                offset = number * settings.limits.prompts
                result = self._ask(step.host_kind, step.host, settings.limits, offset=offset)
                noted = {"at": iso(self.clock()), **result.to_json()}
                self.ledger.note(self.release, f"probe-{number + 1:03d}", noted)
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
        )

    # Pointer and ledger.

    def _publish_pointer(self, step: PublishPointer) -> None:
        host = step.host if step.host.startswith("arn:") else self._host(step.host_kind, step.host).arn
        pointer = Pointer(
            workload=self.plan.workload,
            release=step.release,
            model_arn=step.model_arn,
            host_kind=step.host_kind,
            host_arn=host,
            region=self.gateways.bedrock.region,
            root=self.ledger.root,
        )
        publish_pointer(self.gateways.parameters, pointer, self._tags(), self._recorded)

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
            noted = self.ledger.noted(self.release, "against") or {}
            return self.ledger.close(self._outcome("rolled_back", tuple(noted.get("reasons", ())), None))
        target = self.plan.target
        host = self._host(target.host.kind, target.host.name)
        self.gateways.bedrock.tag(host.arn, self._tags())
        return self.ledger.close(self._outcome("released", (), host))

    def _outcome(self, word: OutcomeWord, why: tuple[str, ...], host: Host | None) -> Outcome:
        checks = {}
        for name in ("smoke", *(f"probe-{n:03d}" for n in range(1, self._probes() + 1))):
            noted = self.ledger.noted(self.release, name)
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
        )

    def _probes(self) -> int:
        return sum(step.settings.probes for step in self.plan.steps if isinstance(step, Bake))

    def _tags(self, *, temporary: bool = False) -> dict[str, str]:
        release = self.entry.release
        return resource_tags(
            self.plan.workload,
            release.run,
            release.owner,
            moment_of(self.plan.target.host.ends_at),
            dataset_id=release.evidence.dataset_id or None,
            release=release.release,
            temporary=temporary,
            root=self.ledger.root,
            extra=self.plan.target.host.price_tags,
        )


def probe_host(
    gateways: AwsGateways,
    host_arn: str,
    examples: tuple[Example, ...],
    settings: ProbeSettings,
    *,
    sleep: Callable[[float], None],
    offset: int = 0,
    score: Agreement = agreement,
) -> ProbeResult:
    """Ask a host some of the held-out prompts and judge the answers.

    :param offset: where to begin, so that rounds differ.
    """
    if not examples:
        raise ConfigurationError(
            "deployment: there are no held-out prompts to ask.",
            hint="Give the dataset's manifest, or turn the smoke test and the bake period off.",
        )
    chosen = pick(examples, settings.prompts, offset)
    asked = [ask(gateways, host_arn, example, settings.max_tokens, sleep) for example in chosen]
    return judge(asked, settings, shape_of(settings, examples), score)


def ask(
    gateways: AwsGateways, host_arn: str, example: Example, max_tokens: int, sleep: Callable[[float], None]
) -> Asked:
    """Ask a host one held-out prompt. What a caller would see as an error is kept as its code.

    A throttle or an outage is asked again a few times. A lost connection or a denial says nothing about the model and is
    raised.
    """
    messages = [{"role": t.role, "content": [{"text": t.text}]} for t in example.turns]
    for pause in (*_PAUSES, None):
        try:
            reply = gateways.runtime.converse(
                host_arn,
                messages=messages,
                max_tokens=max_tokens,
                system=example.system,
                request_metadata=PROBE_METADATA,
            )
        except (ServiceThrottledError, ServiceUnavailableError) as error:
            if not error.code:
                raise
            if pause is None:
                return Asked(example, error=error.code)
            sleep(pause)
        else:
            return Asked(example, answer=reply.text, latency_ms=float(reply.latency_ms))
    raise AssertionError("the last repetition returns")


def _later(message: str, hint: str) -> DeploymentError:
    """Return an error after which the same task may succeed, because it plans anew."""
    error = DeploymentError(message, hint=hint)
    error.retryable = True
    return error
