"""A decision to promote with everything it rests on, in memory, and releases that were made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_distill.remote.hosts import Host
from airflow_distill.stages.dataset.records import DatasetFile, DatasetManifest, Example, Turn
from airflow_distill.stages.decision.policy import PromotionPolicy
from airflow_distill.stages.decision.record import make_record
from airflow_distill.stages.decision.records import Approval, Check, DecisionRecord, Reason, Verdict
from airflow_distill.stages.deployment.ledger import Entry, Ledger, encode
from airflow_distill.stages.deployment.proof import read_proof
from airflow_distill.stages.deployment.records import (
    ON_DEMAND,
    HostSpec,
    Outcome,
    Pointer,
    Release,
    Target,
)
from airflow_distill.stages.deployment.verify import Looks, Verification, verify
from airflow_distill.stages.digest import sha256_hex
from airflow_distill.stages.evaluation.records import Scorecard
from airflow_distill.stages.storage import MemoryStore

ROOT, WORKLOAD = "s3://bucket/loop", "tickets"
PLACE = f"{ROOT}/{WORKLOAD}"
AWS = "arn:aws:bedrock:us-east-1:123456789012:"
BASE = "amazon.nova-micro-v1:0:128k"
HOST = f"{AWS}custom-model-deployment/abcdefabcdef"
EXAMPLES = tuple(Example((Turn("user", f"Ticket {n}"),), answer="billing") for n in range(3))


def model_arn(number: int) -> str:
    return f"{AWS}custom-model/{BASE}/{number:012d}"


def job_arn(number: int) -> str:
    return f"{AWS}model-customization-job/{BASE}/{number:012d}"


@dataclass
class Proven:
    """A workload's objects, its account and its pointer; every test breaks one thing of it."""

    store: MemoryStore = field(default_factory=MemoryStore)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    host: Host | None = None
    pointer: Pointer | None = None

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.store, ROOT, WORKLOAD)

    def uri(self, number: int, name: str) -> str:
        folder = (
            f"datasets/d{number}"
            if name in ("manifest.json", "train.jsonl", "heldout.jsonl")
            else f"evaluations/e{number}"
        )
        return f"{PLACE}/{folder}/{name}"

    def decide(self, number: int, **changes: Any) -> dict[str, Any]:
        """Write dataset, scorecard and decision of a model; return the decision's receipt.

        :param changes: of the decision record.
        """
        heldout = b"".join(json.dumps(e.to_json()).encode() + b"\n" for e in EXAMPLES)
        files = {
            name: DatasetFile(self.uri(number, f"{name}.jsonl"), 3, len(data), sha256_hex(data))
            for name, data in (("train", b"taught\n"), ("heldout", heldout))
        }
        manifest = DatasetManifest(
            f"d{number}", WORKLOAD, "amazon.nova-pro-v1:0", BASE, "2026-11-01", "2026-11-08", files["train"],
            files["heldout"], None, True, {"lines": 6, "kept": 6, "train": 3, "heldout": 3}, {}, {}, {},
        )  # fmt: skip
        card = Scorecard(
            workload=WORKLOAD, evaluation_id=f"e{number}", dataset_id=f"d{number}", heldout_sha256=files["heldout"].sha256,
            models={"student": model_arn(number)}, n=400, metrics=(), comparisons=(), references={"teacher": 400},
            teacher_source="reference", alpha=0.05, min_items=100,
        )  # fmt: skip
        raw = {
            "train.jsonl": b"taught\n",
            "heldout.jsonl": heldout,
            "manifest.json": json.dumps(manifest.to_json()).encode(),
            "scorecard.json": json.dumps(card.to_json()).encode(),
        }
        policy = PromotionPolicy.from_json({"metrics": {"exact": 0.05}})
        shown = Check("quality", "pass", "exact", "teacher", n=400, estimate=0.01, bound=-0.02, limit=-0.05)
        verdict = Verdict(
            "promote", (Reason("shown", "as good as the teacher"),), (shown,), policy_digest=policy.digest,
            dataset_id=f"d{number}", student=model_arn(number),
        )  # fmt: skip
        record = make_record(
            card, policy, verdict, approval=Approval(required=False), scorecard_uri=self.uri(number, "scorecard.json"),
            scorecard_sha256=sha256_hex(raw["scorecard.json"]), decided_at="2026-11-09T10:00:00Z",
            job_arn=job_arn(number), manifest_sha256=sha256_hex(raw["manifest.json"]),
        )  # fmt: skip
        record = replace(record, **changes)
        raw["decision.json"] = json.dumps(record.to_json()).encode()
        self.store.objects |= {self.uri(number, name): data for name, data in raw.items()}
        return self.receipt(number)

    def receipt(self, number: int) -> dict[str, Any]:
        """Return the receipt of the decision as it lies there now."""
        uri = self.uri(number, "decision.json")
        raw = self.store.objects[uri]
        return DecisionRecord.from_json(json.loads(raw)).receipt(uri, sha256_hex(raw))

    def release(self, number: int) -> Entry:
        """Release a decided model: entry, outcome, host, pointer, and the account that made it."""
        proof = read_proof(self.store, ROOT, WORKLOAD, self.decide(number))
        before = self.ledger.sound().entries
        entry = Release(
            WORKLOAD, number, "promote", f"claim-{number}", "2026-11-10T00:00:00Z", "2026-11-11T00:00:00Z", "d/r", "ada",
            Target(model_arn(number), BASE, HostSpec(ON_DEMAND, "tickets-live")), number - 1 or None,
            before[-1].chain_sha256 if before else "", ("ok",), proof.evidence, nonce=f"{number:032x}",
        )  # fmt: skip
        raw = encode(entry.to_json())
        note = f"{PLACE}/releases/{number:06d}.{entry.nonce[:8]}.smoke.json"
        self.store.objects[note] = encode({"nonce": entry.nonce, "passed": True})
        outcome = Outcome(
            number, "released", "2026-11-10T01:00:00Z", (), ON_DEMAND, HOST, model_arn(number), sha256_hex(raw),
            nonce=entry.nonce, notes={"smoke": sha256_hex(self.store.objects[note])},
        )  # fmt: skip
        self.store.objects[self.ledger.uri(number)] = raw
        self.store.objects[self.ledger.uri(number, "outcome")] = encode(outcome.to_json())
        self.models[model_arn(number)] = {"jobArn": job_arn(number)}
        self.jobs[job_arn(number)] = {
            "outputModelArn": model_arn(number),
            "trainingDataConfig": {"s3Uri": self.uri(number, "train.jsonl")},
        }
        tags = {"airflow-distill:workload": WORKLOAD, "airflow-distill:root": ROOT}
        self.host = Host(
            ON_DEMAND, HOST, "tickets-live", model_arn(number), model_arn(number), BASE, "Active", tags=tags
        )
        found = self.ledger.sound().entries[-1]
        self.pointer = Pointer(
            WORKLOAD, number, model_arn(number), ON_DEMAND, HOST, "us-east-1", ROOT, found.head
        )
        return found

    def edit(self, uri: str, **members: Any) -> None:
        """Rewrite members of a JSON object behind everybody's back; None takes one out."""
        body = {**json.loads(self.store.objects[uri]), **members}
        self.store.objects[uri] = encode({name: value for name, value in body.items() if value is not None})

    def looks(self) -> Looks:
        def notes(entry: Entry) -> Mapping[str, str]:
            return self.ledger.notes_of(entry)

        return Looks(
            self.store.objects.get,
            self.jobs.get,
            self.models.get,
            lambda kind, arn: self.host if self.host and arn in (self.host.arn, self.host.name) else None,
            lambda: self.pointer,
            notes,
            ROOT,
        )

    def verify(self, *, every: bool = False) -> Verification:
        return verify(WORKLOAD, self.ledger.survey(), self.looks(), every_release=every)
