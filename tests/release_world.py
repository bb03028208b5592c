"""A small account for deployment tests: models that answer as told, a dataset, decisions, and ways to be killed.

Models are put into the sandbox directly, because a distillation job is not what these tests are about. Time is the
sandbox's clock: a pause advances it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_distill.aws.execute import Execution, Pausing, Progress, Waiting
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.promotion import (
    Intent,
    Prepared,
    heldout_reader,
    prepare,
    promotion_intent,
    rollback_intent,
    unfinished,
)
from airflow_distill.remote.identity import resource_tags
from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.lifecycle import Life as ResourceLife
from airflow_distill.sandbox.lifecycle import Pace
from airflow_distill.sandbox.operations.custom_models import put_model
from airflow_distill.sandbox.store import JOB, Resource
from airflow_distill.stages.dataset.records import DatasetFile, DatasetManifest, Example, Turn
from airflow_distill.stages.decision.policy import PromotionPolicy
from airflow_distill.stages.decision.record import make_record
from airflow_distill.stages.decision.records import Approval, Check, DecisionRecord, Reason, Verdict
from airflow_distill.stages.deployment.ledger import Entry, Ledger
from airflow_distill.stages.deployment.records import (
    BakeSettings,
    HostWish,
    Outcome,
    ProbeSettings,
    pointer_name,
)
from airflow_distill.stages.digest import digest, sha256_hex
from airflow_distill.stages.evaluation.records import Scorecard
from airflow_distill.stages.storage import MemoryStore, ObjectStore

WORKLOAD = "support_tickets"
ROOT = "s3://distill-sandbox/loop"
MICRO = "amazon.nova-micro-v1:0:128k"
LITE = "amazon.nova-lite-v1:0:300k"
LABELS = ("billing", "refund", "login", "shipping")
SMOKE = ProbeSettings(prompts=4, shape={"one_of": "references"})
BAKE = BakeSettings(
    probes=2,
    every_seconds=60.0,
    limits=ProbeSettings(prompts=4, shape={"one_of": "references"}, min_score=0.5),
)


_CLIENTS: dict[tuple[str, str], Any] = {}


class Killed(BaseException):
    """The process died here."""


class Knows:
    """A model that answers with the reference label."""

    def answer(self, prompt: str, system: str = "") -> str:
        return LABELS[int(prompt.rsplit(" ", 1)[-1]) % len(LABELS)]


class Rambles:
    """A broken model: it answers, and not with a label."""

    def answer(self, prompt: str, system: str = "") -> str:
        return "As a language model I would rather talk about the weather."


class Guesses:
    """A model that always has the expected shape and is mostly wrong."""

    def answer(self, prompt: str, system: str = "") -> str:
        return LABELS[(int(prompt.rsplit(" ", 1)[-1]) + 1) % len(LABELS)]


def wish_for_throughput(now: datetime, **changes: Any) -> HostWish:
    """Return a complete wish for provisioned throughput."""
    given: dict[str, Any] = {
        "kind": "provisioned-throughput",
        "units": 1,
        "hourly_price": 15.0,
        "ends_at": (now + timedelta(days=20)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **changes,
    }
    return HostWish(**given)


@dataclass
class Dying:
    """A boto3 client that dies at the n-th call that changes or costs something, before or after it."""

    client: Any
    life: Life

    @property
    def meta(self) -> Any:
        return self.client.meta

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        if name.split("_")[0] not in {"create", "update", "delete", "put", "tag", "converse"}:
            return method

        def call(**parameters: Any) -> Any:
            self.life.step(name, "before")
            answer = method(**parameters)
            self.life.step(name, "after")
            return answer

        return call


@dataclass
class Life:
    """Counts the points at which a process may die; dies at one of them."""

    dies_at: int = 0
    points: list[str] = field(default_factory=list)

    def step(self, name: str, when: str) -> None:
        self.points.append(f"{when} {name}")
        if len(self.points) == self.dies_at:
            raise Killed(f"{when} {name}")


@dataclass
class ReleaseWorld:
    """One workload in one sandbox account."""

    sandbox: Sandbox
    workload: str = WORKLOAD
    root: str = ROOT
    life: Life = field(default_factory=Life)

    def __post_init__(self) -> None:
        self.sandbox.prepare()
        self.gateways = self.new_gateways()
        self.dataset_id = self.write_dataset()

    @property
    def store(self) -> ObjectStore:
        return self.gateways.objects

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.store, self.root, self.workload)

    def new_gateways(self, life: Life | None = None) -> AwsGateways:
        """Return gateways as a new process would have them."""
        self.life = life or Life()
        return AwsGateways(lambda service: Dying(self.client(service), self.life))

    def client(self, service: str) -> Any:
        """Return the one client of a service for this sandbox; making one takes longer than most tests."""
        key = (self.sandbox.endpoint_url, service)
        if key not in _CLIENTS:
            _CLIENTS[key] = self.sandbox.client(service)
        return _CLIENTS[key]

    def now(self) -> datetime:
        return self.sandbox.clock.now()

    def sleep(self, seconds: float) -> None:
        self.sandbox.clock.advance(seconds)

    def write_dataset(self, window_end: str = "2026-11-02T00:00:00Z", count: int = 40) -> str:
        """Write a dataset of a window that ends then, and return its id."""
        examples = [
            Example(turns=(Turn("user", f"Ticket number {n}"),), answer=LABELS[n % len(LABELS)])
            for n in range(count)
        ]
        heldout = "".join(json.dumps(e.to_json()) + "\n" for e in examples).encode()
        dataset_id = digest(["dataset", self.workload, window_end], 16)
        folder = f"{self.root}/{self.workload}/datasets/{dataset_id}"
        empty = DatasetFile(f"{folder}/train.jsonl", 0, 0, sha256_hex(b""))
        manifest = DatasetManifest(
            dataset_id=dataset_id,
            workload=self.workload,
            teacher="amazon.nova-pro-v1:0",
            student=MICRO,
            window_start="2026-11-01T00:00:00Z",
            window_end=window_end,
            train=empty,
            heldout=DatasetFile(f"{folder}/heldout.jsonl", count, len(heldout), sha256_hex(heldout)),
            findings=None,
            with_answers=True,
            counts={"lines": count, "kept": count, "train": 0, "heldout": count},
            skipped={},
            dropped={},
            settings={},
        )
        self.store.write(empty.uri, b"")
        self.store.write(manifest.heldout.uri, heldout)
        self.store.write(f"{folder}/manifest.json", json.dumps(manifest.to_json()).encode())
        return dataset_id

    def model(
        self,
        name: str,
        brain: Any = None,
        base: str = MICRO,
        *,
        expires_at: datetime | None = None,
        run: str = "loop/run-1",
    ) -> str:
        """Put a custom model into the account and return its ARN."""
        world = self.sandbox.world
        region = self.client("bedrock").meta.region_name
        arn = f"arn:aws:bedrock:{region}:123456789012:custom-model/{base}/{digest(name, 12)}"
        record = {
            "modelArn": arn,
            "modelName": name,
            "creationTime": self.now(),
            "modelStatus": "Active",
            "baseModelArn": f"arn:aws:bedrock:{region}::foundation-model/{base}",
            "customizationType": "DISTILLATION",
            "jobName": f"job-{name}",
            "jobArn": f"arn:aws:bedrock:{region}:123456789012:model-customization-job/{base}/{digest(name, 12)}",
        }
        tags = resource_tags(self.workload, run, "platform", expires_at, root=self.root)
        with world.store.lock:
            state = world.store.region(region)
            put_model(world, state, region, record, brain or Knows(), {"base": base}, tags)
            state.add(self._job(record))
            state.tags[str(record["jobArn"])] = tags
        return arn

    def _job(self, model: dict[str, Any]) -> Resource:
        """Return the completed job that made a model from this workload's training file."""
        folder = f"{self.root}/{self.workload}"
        record = {
            **{
                name: model[name]
                for name in ("jobArn", "jobName", "creationTime", "baseModelArn", "customizationType")
            },
            "status": "Completed",
            "outputModelName": model["modelName"],
            "outputModelArn": model["modelArn"],
            "lastModifiedTime": model["creationTime"],
            "endTime": model["creationTime"],
            "roleArn": "arn:aws:iam::123456789012:role/distill",
            "hyperParameters": {},
            "trainingDataConfig": {"s3Uri": f"{folder}/datasets/{self.dataset_id}/train.jsonl"},
            "validationDataConfig": {"validators": []},
            "outputDataConfig": {"s3Uri": f"{folder}/jobs/"},
        }
        return Resource(
            kind=JOB,
            arn=str(model["jobArn"]),
            name=str(model["jobName"]),
            region=self.client("bedrock").meta.region_name,
            created=model["creationTime"],
            serial=self.sandbox.world.store.next_serial(),
            life=ResourceLife(Pace(), model["creationTime"]),
            record=record,
        )

    def decision(self, model_arn: str, verdict: str = "promote", **changes: Any) -> dict[str, Any]:
        """Write a decision on a model, judged against what is live now, and return its receipt; asked again, the first.

        :param changes: of the record, such as `incumbent_release`; `dataset_id` of another window's dataset.
        """
        dataset_id = str(changes.pop("dataset_id", self.dataset_id))
        marks = [str(value) for value in sorted(changes)]
        evaluation = digest(["decision", model_arn, verdict, dataset_id, *marks], 16)
        folder = f"{self.root}/{self.workload}/evaluations/{evaluation}"
        uri = f"{folder}/decision.json"
        if self.store.exists(uri):
            raw = self.store.read(uri)
            return DecisionRecord.from_json(json.loads(raw)).receipt(uri, sha256_hex(raw))
        manifest = self.store.read(f"{self.root}/{self.workload}/datasets/{dataset_id}/manifest.json")
        live = self.ledger.read().live()
        models = {"student": model_arn, **({"incumbent": live.target.model_arn} if live else {})}
        card = Scorecard(
            workload=self.workload,
            evaluation_id=evaluation,
            dataset_id=dataset_id,
            heldout_sha256=json.loads(manifest)["heldout"]["sha256"],
            models=models,
            n=400,
            metrics=(),
            comparisons=(),
            references={"teacher": 400},
            teacher_source="reference",
            alpha=0.05,
            min_items=100,
        )
        policy = PromotionPolicy.from_json({"metrics": {"exact": 0.05}})
        checks = [
            Check("quality", "pass", "exact", "teacher", n=400, estimate=0.01, bound=-0.02, limit=-0.05)
        ]
        if live:
            checks.append(
                Check("quality", "pass", "exact", "incumbent", n=400, estimate=0.01, bound=-0.02, limit=-0.05)
            )
        scorecard = json.dumps(card.to_json()).encode()
        self.store.write(f"{folder}/scorecard.json", scorecard)
        record = make_record(
            card,
            policy,
            Verdict(
                verdict,
                (Reason("shown", "non-inferior to the teacher"),),
                tuple(checks),
                policy_digest=policy.digest,
                dataset_id=dataset_id,
                student=model_arn,
            ),
            approval=Approval(required=False),
            scorecard_uri=f"{folder}/scorecard.json",
            scorecard_sha256=sha256_hex(scorecard),
            decided_at="2026-11-01T10:00:00Z",
            job_arn=self.job_of(model_arn),
            manifest_sha256=sha256_hex(manifest),
            incumbent_release=live.release if live else None,
            incumbent_host=live.host_arn if live else "",
        )
        raw = json.dumps(replace(record, **changes).to_json()).encode()
        self.store.write(uri, raw)
        return replace(record, **changes).receipt(uri, sha256_hex(raw))

    def job_of(self, model_arn: str) -> str:
        """Return the ARN of the job that made a model."""
        return model_arn.replace("custom-model", "model-customization-job")

    def intent(self, decision: dict[str, Any], run: str = "loop/run-1", **settings: Any) -> Intent:
        given = {"smoke": SMOKE, "bake": BAKE, **settings}
        return promotion_intent(
            self.store,
            root=self.root,
            workload=self.workload,
            decision=decision,
            run=run,
            owner="platform",
            **given,
        )

    def back(self, run: str = "person/1", **settings: Any) -> Intent:
        return rollback_intent(
            self.ledger.read(), root=self.root, workload=self.workload, run=run, owner="platform", **settings
        )

    def prepare(self, intent: Intent, **settings: Any) -> Prepared:
        return prepare(self.gateways, self.store, intent, now=self.now(), **settings)

    def execution(self, prepared: Prepared, **more: Any) -> Execution:
        entry = prepared.entry
        assert isinstance(entry, Entry)
        return Execution(
            gateways=self.gateways,
            ledger=self.ledger,
            entry=entry,
            plan=prepared.plan,
            examples=heldout_reader(self.store, entry.release.evidence),
            clock=self.now,
            sleep=self.sleep,
            **more,
        )

    def carry_out(self, intent: Intent, each: Callable[[Progress], None] = lambda reached: None) -> Outcome:
        """Prepare and advance until the release has ended, as a process that lives on would."""
        opened = unfinished(self.gateways, self.store, self.root, self.workload, but=intent.claim)
        if opened is not None:
            execution = self.execution(opened, run=intent.run)
            if opened.entry is not None and opened.entry.release.action == "promote":
                execution.turn_back(("its run is gone",), "lease")
            self.to_the_end(execution, each)
        return self.to_the_end(self.execution(self.prepare(intent), run=intent.run), each)

    def to_the_end(
        self, execution: Execution, each: Callable[[Progress], None] = lambda reached: None
    ) -> Outcome:
        """Advance until the release has ended; time is the sandbox's."""
        for _ in range(200):
            reached = execution.advance()
            each(reached)
            if isinstance(reached, Waiting):
                self.sleep(30)
            elif isinstance(reached, Pausing):
                self.sleep(max(0.0, (reached.until - self.now()).total_seconds()) + 0.01)
            else:
                return reached
        raise AssertionError("the release never ended")

    def promote(self, model_arn: str, **settings: Any) -> Outcome:
        return self.carry_out(self.intent(self.decision(model_arn), **settings))

    @property
    def pointer_name(self) -> str:
        return pointer_name(self.workload, self.root)

    def pointer(self) -> dict[str, Any]:
        raw = self.gateways.parameters.get(self.pointer_name)
        return dict(json.loads(raw)) if raw else {}

    def hosts(self) -> list[str]:
        """Return the ARNs of all hosts in the account, whoever they belong to."""
        bedrock = self.client("bedrock")
        found = [
            p["provisionedModelArn"]
            for p in bedrock.list_provisioned_model_throughputs()["provisionedModelSummaries"]
        ]
        found += [
            d["customModelDeploymentArn"]
            for d in bedrock.list_custom_model_deployments()["modelDeploymentSummaries"]
        ]
        return found


def at(text: str) -> datetime:
    """Return a UTC time."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


__all__ = ["MemoryStore", "ReleaseWorld", "at"]
