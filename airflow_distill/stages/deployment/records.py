"""What crosses the deployment stage's door: wishes, hosts, the plan and its steps, the pointer, the ledger's entries.

Standard library only. Everything here is plain data: a plan can be printed, compared and stored before anything is paid.
Times are ISO 8601 in UTC. No prompt or answer text: prompts are named by the held-out file's digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast, get_args

from airflow_distill.remote.hosts import KINDS as KINDS
from airflow_distill.remote.hosts import ON_DEMAND as ON_DEMAND
from airflow_distill.remote.hosts import PROVISIONED as PROVISIONED
from airflow_distill.remote.hosts import Host as Host
from airflow_distill.remote.hosts import HostKind as HostKind
from airflow_distill.remote.hosts import HostState as HostState
from airflow_distill.remote.identity import root_mark
from airflow_distill.stages.digest import text_in

SCHEMA = 1

TAG_HOURLY_PRICE = "airflow-distill:hourly-price"
"""On provisioned throughput: the price of one model unit an hour, as stated when it was bought."""

TAG_CLAIM = "airflow-distill:claim"
"""On a live host: the nonce of the release that made it, so that a host of another ledger is never taken for ours."""

LEDGER_SCHEMA = 2
"""Of entries and outcomes. Version 1 had no nonce and no digests of notes; it is read, and never written."""

Commitment = Literal["none", "OneMonth", "SixMonths"]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Forecast traffic of the live model, a day: tokens read and written."""

    input_tokens_per_day: float
    output_tokens_per_day: float


@dataclass(frozen=True, slots=True)
class HostWish:
    """What the author asks for. `auto` takes what the student can have and what is cheaper at the forecast.

    :param hourly_price: price of one model unit an hour, as the author believes it; nothing is bought by the hour without.
    :param ends_at: when provisioned throughput must be gone (ISO 8601); required for it.
    :param daily_price_cap: the most the host may cost a day.
    :param accept_commitment: an explicit yes to a term that cannot be ended early.
    """

    kind: HostKind | Literal["auto"] = "auto"
    units: int | None = None
    commitment: Commitment = "none"
    hourly_price: float | None = None
    ends_at: str | None = None
    daily_price_cap: float | None = None
    accept_commitment: bool = False
    traffic: Traffic | None = None


@dataclass(frozen=True, slots=True)
class HostSpec:
    """A host that may be bought: allowed, priced and named."""

    kind: HostKind
    name: str
    units: int | None = None
    commitment: Commitment = "none"
    hourly_price: float | None = None
    ends_at: str | None = None

    @property
    def price_per_hour(self) -> float | None:
        """What it bills an hour while idle: units times price for provisioned throughput, nothing on demand."""
        if self.kind == ON_DEMAND:
            return 0.0
        return None if self.hourly_price is None else self.hourly_price * (self.units or 1)

    @property
    def price_tags(self) -> dict[str, str]:
        """What the reaper reads to tell the price of a find."""
        return {} if self.hourly_price is None else {TAG_HOURLY_PRICE: f"{self.hourly_price:g}"}

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HostSpec:
        return cls(
            kind=cast("HostKind", text_in(data, "kind")),
            name=text_in(data, "name"),
            units=data.get("units"),
            commitment=cast("Commitment", text_in(data, "commitment", "none")),
            hourly_price=data.get("hourly_price"),
            ends_at=data.get("ends_at"),
        )


@dataclass(frozen=True, slots=True)
class Target:
    """What shall answer: a model and the host it is wanted on."""

    model_arn: str
    base_model: str
    host: HostSpec

    def to_json(self) -> dict[str, Any]:
        return {"model_arn": self.model_arn, "base_model": self.base_model, "host": self.host.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Target:
        return cls(text_in(data, "model_arn"), text_in(data, "base_model"), HostSpec.from_json(data["host"]))


@dataclass(frozen=True, slots=True)
class Head:
    """The ledger's newest entry as the pointer remembers it: an anchor that lies outside the bucket.

    :param outcome_sha256: empty while the entry is open.
    """

    release: int
    entry_sha256: str
    outcome_sha256: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Head:
        return cls(int(data["release"]), str(data["entry_sha256"]), str(data.get("outcome_sha256") or ""))


@dataclass(frozen=True, slots=True)
class Weighted:
    """The second host of a weighted pointer: who routes by the pointer sends it this share of the calls.

    :param share: above 0 and below 1; the pointer's own host gets the rest.
    """

    release: int
    model_arn: str
    host_kind: HostKind
    host_arn: str
    share: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Weighted:
        share = float(data["share"])
        if not 0 < share < 1:
            raise ValueError("a share lies between 0 and 1")
        return cls(
            release=int(data["release"]),
            model_arn=text_in(data, "model_arn"),
            host_kind=cast("HostKind", text_in(data, "host_kind")),
            host_arn=text_in(data, "host_arn"),
            share=share,
        )


@dataclass(frozen=True, slots=True)
class Pointer:
    """What callers read to find the live model. A pure function of the release, so writing it twice is the same.

    :param root: the root's URI; with the workload it says whose the pointer is.
    :param head: the ledger's newest entry when the pointer was written; no part of what callers need.
    :param canary: the host of a release that is on its way, and its share of the calls; None but during a canary.
    """

    workload: str
    release: int
    model_arn: str
    host_kind: HostKind
    host_arn: str
    region: str
    root: str = ""
    head: Head | None = None
    canary: Weighted | None = None

    @property
    def name(self) -> str:
        """The SSM parameter's name."""
        return pointer_name(self.workload, self.root)

    @property
    def hosts(self) -> frozenset[str]:
        """ARNs of the hosts that callers may be sent to."""
        return frozenset({self.host_arn, *([self.canary.host_arn] if self.canary else [])})

    @property
    def models(self) -> frozenset[str]:
        """ARNs of the models behind them."""
        return frozenset({self.model_arn, *([self.canary.model_arn] if self.canary else [])})

    def to_json(self) -> dict[str, Any]:
        return {
            "v": SCHEMA,
            "workload": self.workload,
            "release": self.release,
            "model_arn": self.model_arn,
            "host_kind": self.host_kind,
            "host_arn": self.host_arn,
            "region": self.region,
            **({"root": self.root} if self.root else {}),
            **({"canary": self.canary.to_json()} if self.canary else {}),
            "ledger": self.head.to_json() if self.head else None,
            "call": {
                "service": "bedrock-runtime",
                "operation": "Converse",
                "parameters": {
                    "modelId": self.host_arn,
                    "messages": [{"role": "user", "content": [{"text": "..."}]}],
                    "inferenceConfig": {"maxTokens": 512},
                },
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Pointer:
        return cls(
            workload=text_in(data, "workload"),
            release=int(data["release"]),
            model_arn=text_in(data, "model_arn"),
            host_kind=cast("HostKind", text_in(data, "host_kind")),
            host_arn=text_in(data, "host_arn"),
            region=text_in(data, "region", ""),
            root=str(data.get("root") or ""),
            head=Head.from_json(data["ledger"]) if data.get("ledger") else None,
            canary=Weighted.from_json(data["canary"]) if data.get("canary") else None,
        )


def pointer_name(workload: str, root: str = "") -> str:
    """Return the name of the SSM parameter that callers read.

    :param root: the root's URI, whose digest is part of the name; without one it is the name of versions before 1.0.
    """
    return (
        f"/airflow-distill/{workload}/{root_mark(root)}/live" if root else f"/airflow-distill/{workload}/live"
    )


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """What is asked of a host, and which answers are good enough.

    :param prompts: how many held-out prompts are asked (each probe of a bake asks that many).
    :param shape: the expected shape of an answer, see `shapes.Shape`.
    :param max_error_rate: share of calls that may fail for a caller.
    :param max_latency_ms: the 95th percentile that is allowed; None for any.
    :param min_shape_rate: share of answers that must have the expected shape.
    :param min_score: lowest mean agreement with the reference answers; None for any.
    """

    prompts: int = 5
    shape: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int = 512
    max_error_rate: float = 0.0
    max_latency_ms: float | None = None
    min_shape_rate: float = 1.0
    min_score: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "shape": dict(self.shape)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProbeSettings:
        return cls(**{name: data[name] for name in cls.__slots__ if name in data})


@dataclass(frozen=True, slots=True)
class BakeSettings:
    """The time after promotion in which the new model must prove itself: probes, their distance, their limits."""

    probes: int = 3
    every_seconds: float = 300.0
    limits: ProbeSettings = field(
        default_factory=lambda: ProbeSettings(max_error_rate=0.05, min_shape_rate=0.95)
    )

    def to_json(self) -> dict[str, Any]:
        return {"probes": self.probes, "every_seconds": self.every_seconds, "limits": self.limits.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BakeSettings:
        return cls(int(data["probes"]), float(data["every_seconds"]), ProbeSettings.from_json(data["limits"]))


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """How callers that route by the pointer are moved to a new host, and what sends them back.

    :param shares: of the calls, one after the other, each above 0 and below 1 and rising.
    :param every_seconds: how long each share lasts before it is judged.
    :param limits: what held-out prompts asked of the new host must show at the end of each share.
    :param max_failed: how much larger the share of the callers' own failed calls may be at the new host than at the live
        one, by CloudWatch's count.
    :param least_calls: fewer calls of callers than this tell nothing.
    """

    shares: tuple[float, ...] = (0.05, 0.25, 0.5)
    every_seconds: float = 1_800.0
    limits: ProbeSettings = field(
        default_factory=lambda: ProbeSettings(max_error_rate=0.05, min_shape_rate=0.95)
    )
    max_failed: float = 0.02
    least_calls: int = 20

    def to_json(self) -> dict[str, Any]:
        return {
            "shares": list(self.shares),
            "every_seconds": self.every_seconds,
            "limits": self.limits.to_json(),
            "max_failed": self.max_failed,
            "least_calls": self.least_calls,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CanarySettings:
        return cls(
            shares=tuple(float(share) for share in data["shares"]),
            every_seconds=float(data["every_seconds"]),
            limits=ProbeSettings.from_json(data["limits"]),
            max_failed=float(data["max_failed"]),
            least_calls=int(data["least_calls"]),
        )


@dataclass(frozen=True, slots=True)
class ProofSettings:
    """How a release must prove itself; part of its entry, so that anybody can finish what its run began.

    :param smoke: None leaves the smoke test out; likewise the bake period.
    :param grace_hours: how long a host that is replaced stays.
    :param canary: None moves all callers at once.
    """

    smoke: ProbeSettings | None = None
    bake: BakeSettings | None = None
    grace_hours: float = 2.0
    canary: CanarySettings | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "smoke": self.smoke.to_json() if self.smoke else None,
            "bake": self.bake.to_json() if self.bake else None,
            "grace_hours": self.grace_hours,
            **({"canary": self.canary.to_json()} if self.canary else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProofSettings:
        smoke, bake, canary = data.get("smoke"), data.get("bake"), data.get("canary")
        return cls(
            smoke=ProbeSettings.from_json(smoke) if smoke else None,
            bake=BakeSettings.from_json(bake) if bake else None,
            grace_hours=float(data.get("grace_hours", 2.0)),
            canary=CanarySettings.from_json(canary) if canary else None,
        )


# Steps. Each says what shall be true afterwards, so that doing it twice is the same as doing it once.


@dataclass(frozen=True, slots=True)
class CreateHost:
    """A host of this name exists for this model."""

    spec: HostSpec
    model_arn: str
    temporary: bool = False
    kind: Literal["create-host"] = "create-host"


@dataclass(frozen=True, slots=True)
class UpdateHost:
    """This host has been told to serve this model; its ARN stays."""

    host_kind: HostKind
    host: str
    model_arn: str
    kind: Literal["update-host"] = "update-host"


@dataclass(frozen=True, slots=True)
class WaitForHost:
    """This host serves this model."""

    host_kind: HostKind
    host: str
    model_arn: str
    kind: Literal["wait-for-host"] = "wait-for-host"


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """The host has answered a few held-out prompts in the expected shape."""

    host_kind: HostKind
    host: str
    settings: ProbeSettings
    kind: Literal["smoke-test"] = "smoke-test"


@dataclass(frozen=True, slots=True)
class PublishPointer:
    """The workload's pointer names this model, host and release."""

    host_kind: HostKind
    host: str
    model_arn: str
    release: int
    kind: Literal["publish-pointer"] = "publish-pointer"


@dataclass(frozen=True, slots=True)
class ShiftTraffic:
    """Callers that route by the pointer have been moved to this host share by share, and nothing spoke against it.

    :param live: what answers the rest of the calls meanwhile, as the pointer names it.
    """

    host_kind: HostKind
    host: str
    model_arn: str
    release: int
    live: PublishPointer
    settings: CanarySettings
    kind: Literal["shift-traffic"] = "shift-traffic"


@dataclass(frozen=True, slots=True)
class RemovePointer:
    """The workload has no pointer."""

    kind: Literal["remove-pointer"] = "remove-pointer"


@dataclass(frozen=True, slots=True)
class Bake:
    """The host has stayed within its limits for the whole bake period."""

    host_kind: HostKind
    host: str
    settings: BakeSettings
    kind: Literal["bake"] = "bake"


@dataclass(frozen=True, slots=True)
class WriteRelease:
    """The ledger says how the release ended."""

    release: int
    outcome: Literal["released", "rolled_back"]
    kind: Literal["write-release"] = "write-release"


@dataclass(frozen=True, slots=True)
class Retire:
    """This host is marked to be removed after a grace period; the reaper removes it once nothing points at it."""

    host_kind: HostKind
    host: str
    grace_hours: float
    kind: Literal["retire"] = "retire"


@dataclass(frozen=True, slots=True)
class DeleteHost:
    """This host is gone."""

    host_kind: HostKind
    host: str
    kind: Literal["delete-host"] = "delete-host"


Step = (
    CreateHost
    | UpdateHost
    | WaitForHost
    | SmokeTest
    | PublishPointer
    | ShiftTraffic
    | RemovePointer
    | Bake
    | WriteRelease
    | Retire
    | DeleteHost
)


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """Ordered steps to a release, and the steps that lead back when one of them shows the model to be bad."""

    workload: str
    release: int
    target: Target
    previous: int | None
    in_place: bool
    steps: tuple[Step, ...]
    way_back: tuple[Step, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "v": SCHEMA,
            "workload": self.workload,
            "release": self.release,
            "target": self.target.to_json(),
            "previous": self.previous,
            "in_place": self.in_place,
            "steps": [step_json(step) for step in self.steps],
            "way_back": [step_json(step) for step in self.way_back],
            "notes": list(self.notes),
        }


def step_json(step: Step) -> dict[str, Any]:
    """Return a step as plain data, its kind first."""
    body = asdict(step)
    return {"kind": body.pop("kind"), **body}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a release rests on: where each thing lies and the digest it had. Missing members are empty, never guessed.

    The members that end in `_copy` name copies under `evidence/`, which no retention rule may expire.
    """

    decision_id: str = ""
    decision_uri: str = ""
    decision_sha256: str = ""
    scorecard_uri: str = ""
    scorecard_sha256: str = ""
    dataset_id: str = ""
    manifest_uri: str = ""
    manifest_sha256: str = ""
    job_arn: str = ""
    heldout_sha256: str = ""
    decision_copy: str = ""
    scorecard_copy: str = ""
    manifest_copy: str = ""
    heldout_ids_copy: str = ""
    heldout_ids_sha256: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        return cls(**{name: str(data.get(name) or "") for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Incumbent:
    """What a decision was judged against: the live release, its model and its host. None of them when nothing was live."""

    release: int | None = None
    model_arn: str = ""
    host_arn: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Incumbent:
        number = data.get("release")
        return cls(
            None if number is None else int(number),
            str(data.get("model_arn") or ""),
            str(data.get("host_arn") or ""),
        )

    def __str__(self) -> str:
        if self.release is None:
            return f"no release ({self.model_arn or 'nothing live'})"
        return f"release {self.release} (model {self.model_arn}, host {self.host_arn})"


Action = Literal["promote", "rollback", "withdraw"]
OutcomeWord = Literal["released", "rolled_back", "withdrawn", "abandoned"]
"""released: live. rolled_back: what was live before is live again. withdrawn: nothing is live, and a person said so.
abandoned: written by version 1 only, for a claim whose run had died."""

Cause = Literal["", "check", "failure", "person", "lease"]
"""Why a release was rolled back: a check spoke against the model; a step failed for good; somebody asked; its run died."""


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


@dataclass(frozen=True, slots=True)
class Release:
    """One entry of the ledger, written once when its number is claimed and never changed.

    :param claim: identity of who claims: the same decision asked for again finds its own entry.
    :param lease_until: until then nobody but the claiming run works on it; holders renew it, see `Hold`.
    :param restores: the release whose model a rollback brings back.
    :param previous_sha256: digest of the previous entry and its outcome, so that the entries form a chain.
    :param nonce: drawn at the claim; outcome and notes carry it, so that leftovers of another claim prove nothing.
    :param proof: how it must prove itself.
    :param judged_against: what the decision was judged against.
    :param window_end: end of the log window behind the model, ISO 8601.
    :param given_away: by metric, what the releases up to this one gave away against their predecessors (0 or below).
    """

    workload: str
    release: int
    action: Action
    claim: str
    claimed_at: str
    lease_until: str
    run: str
    owner: str
    target: Target
    previous: int | None
    previous_sha256: str
    why: tuple[str, ...]
    evidence: Evidence
    restores: int | None = None
    nonce: str = ""
    proof: ProofSettings = field(default_factory=ProofSettings)
    judged_against: Incumbent = field(default_factory=Incumbent)
    window_end: str = ""
    given_away: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "v": LEDGER_SCHEMA if self.nonce else 1,
            "kind": "release",
            "workload": self.workload,
            "release": self.release,
            "action": self.action,
            "claim": self.claim,
            "claimed_at": self.claimed_at,
            "lease_until": self.lease_until,
            "run": self.run,
            "owner": self.owner,
            "target": self.target.to_json(),
            "previous": self.previous,
            "previous_sha256": self.previous_sha256,
            "why": list(self.why),
            "evidence": self.evidence.to_json(),
            "restores": self.restores,
            "nonce": self.nonce,
            "proof": self.proof.to_json(),
            "judged_against": self.judged_against.to_json(),
            "window_end": self.window_end,
            "given_away": dict(self.given_away),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Release:
        if data.get("kind") != "release" or data.get("v") not in (1, LEDGER_SCHEMA):
            raise ValueError("not a release of a version known here")
        if data["v"] != 1 and not data.get("nonce"):
            raise ValueError("the nonce is missing")
        return cls(
            workload=text_in(data, "workload"),
            release=int(data["release"]),
            action=cast("Action", text_in(data, "action")),
            claim=text_in(data, "claim"),
            claimed_at=text_in(data, "claimed_at"),
            lease_until=text_in(data, "lease_until"),
            run=text_in(data, "run", ""),
            owner=text_in(data, "owner", ""),
            target=Target.from_json(data["target"]),
            previous=_number(data.get("previous")),
            previous_sha256=text_in(data, "previous_sha256", ""),
            why=tuple(str(reason) for reason in data.get("why") or ()),
            evidence=Evidence.from_json(data.get("evidence") or {}),
            restores=_number(data.get("restores")),
            nonce=str(data.get("nonce") or ""),
            proof=ProofSettings.from_json(data.get("proof") or {}),
            judged_against=Incumbent.from_json(data.get("judged_against") or {}),
            window_end=str(data.get("window_end") or ""),
            given_away={str(k): float(v) for k, v in dict(data.get("given_away") or {}).items()},
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a claimed release ended; written once, beside its entry.

    :param entry_sha256: digest of the entry that ended.
    :param nonce: that of the entry.
    :param notes: digests of the notes that its steps wrote, by name.
    """

    release: int
    outcome: OutcomeWord
    at: str
    why: tuple[str, ...] = ()
    host_kind: str = ""
    host_arn: str = ""
    model_arn: str = ""
    entry_sha256: str = ""
    checks: Mapping[str, Any] = field(default_factory=dict)
    nonce: str = ""
    cause: Cause = ""
    notes: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "v": LEDGER_SCHEMA if self.nonce else 1,
            "kind": "outcome",
            "release": self.release,
            "outcome": self.outcome,
            "at": self.at,
            "why": list(self.why),
            "host_kind": self.host_kind,
            "host_arn": self.host_arn,
            "model_arn": self.model_arn,
            "entry_sha256": self.entry_sha256,
            "checks": dict(self.checks),
            "nonce": self.nonce,
            "cause": self.cause,
            "notes": dict(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        if data.get("kind") != "outcome" or data.get("v") not in (1, LEDGER_SCHEMA):
            raise ValueError("not an outcome of a version known here")
        if data["outcome"] not in get_args(OutcomeWord):
            raise ValueError("an unknown outcome")
        return cls(
            release=int(data["release"]),
            outcome=data["outcome"],
            at=text_in(data, "at"),
            why=tuple(str(reason) for reason in data.get("why") or ()),
            host_kind=text_in(data, "host_kind", ""),
            host_arn=text_in(data, "host_arn", ""),
            model_arn=text_in(data, "model_arn", ""),
            entry_sha256=text_in(data, "entry_sha256", ""),
            checks=dict(data.get("checks") or {}),
            nonce=str(data.get("nonce") or ""),
            cause=cast("Cause", text_in(data, "cause", "")),
            notes={str(k): str(v) for k, v in dict(data.get("notes") or {}).items()},
        )


@dataclass(frozen=True, slots=True)
class Hold:
    """Who works on an open release just now. Written beside its entry and renewed; a higher fence ends a lower one.

    :param fence: counts takeovers from 1. Before each step that changes the world the holder checks that no higher one
        has been written.
    :param holder: who, down to the try: a run, a try of it, a person.
    :param until: without renewal, anybody may take over after this time (ISO 8601).
    """

    release: int
    nonce: str
    fence: int
    holder: str
    run: str
    until: str

    def to_json(self) -> dict[str, Any]:
        return {"kind": "hold", "v": LEDGER_SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Hold:
        if data.get("kind") != "hold":
            raise ValueError("not a hold")
        return cls(
            release=int(data["release"]),
            nonce=str(data.get("nonce") or ""),
            fence=int(data["fence"]),
            holder=str(data["holder"]),
            run=str(data.get("run") or ""),
            until=str(data["until"]),
        )


@dataclass(frozen=True, slots=True)
class Live:
    """What the ledger says is live: the release, what it aimed at, and the host that answers."""

    release: int
    target: Target
    host_kind: HostKind
    host_arn: str
