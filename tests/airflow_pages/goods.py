"""A workload's goods of the project's own making: scorecard, decision, manifest, held-out file, release, statuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_distill.stages.dataset.records import DatasetFile, DatasetManifest, Example, Turn
from airflow_distill.stages.decision.records import Approval, Check, DecisionRecord, Reason, Verdict
from airflow_distill.stages.digest import canonical_json, sha256_hex
from airflow_distill.stages.evaluation import intervals
from airflow_distill.stages.evaluation.records import (
    Answer,
    Comparison,
    Interval,
    Metric,
    ModelSummary,
    Regression,
    Scorecard,
)
from airflow_distill.stages.money.records import Costs
from airflow_distill.stages.status import fold
from airflow_distill.stages.status.records import (
    Judged,
    LiveRelease,
    Money,
    PastDataset,
    PastRelease,
    Question,
    RunStatus,
    Status,
    Step,
    encode,
    run_uri,
    status_uri,
)
from airflow_distill.stages.storage import ObjectStore

DAG, RUN, TASK = "distill_support_tickets", "manual__2026-11-30T20:00:00+00:00", "decision.approve"
WORKLOAD = "support_tickets"
AT = "2026-11-30T20:00:00Z"


def evidence(loss: int, n: int = 200) -> intervals.Evidence:
    """Return the evidence of `loss` prompts lost of n."""
    return intervals.from_differences([0.0] * (n - loss) + [-1.0] * loss)


def comparison(against: str = "teacher", loss: int = 8, slice_: str = "", n: int = 200) -> Comparison:
    estimate = -loss / n
    return Comparison(
        "label_accuracy",
        against,
        n,
        estimate,
        evidence(loss, n),
        Interval(max(-1.0, estimate - 0.03), estimate + 0.02, 0.9, "score"),
        better=0,
        worse=loss,
        slice=slice_,
    )


def example(number: int = 7) -> Example:
    """Return a held-out prompt that must stay in the bucket."""
    return Example(
        (Turn("user", f"SECRET PROMPT {number}"),),
        answer="SECRET REFERENCE",
        observed_at=AT,
    )


def scorecard(
    workload: str = WORKLOAD, evaluation_id: str = "e0123456789abcdef012", **changes: Any
) -> Scorecard:
    models = {
        "teacher": "amazon.nova-pro-v1:0",
        "student": "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-micro-v1:0:128k/abcdefabcdef",
    }
    card = Scorecard(
        workload=workload,
        dataset_id="d0123456789",
        heldout_sha256="a" * 64,
        models=models,
        n=200,
        metrics=(
            Metric("label_accuracy", "teacher", 200, 1.0, Interval(0.98, 1.0, 0.9, "score")),
            Metric("label_accuracy", "student", 200, 0.96, Interval(0.93, 0.98, 0.9, "score")),
        ),
        comparisons=(
            comparison(),
            comparison(slice_="channel=web", loss=2, n=100),
            comparison(slice_="channel=phone", loss=6, n=100),
        ),
        references={"teacher": 200},
        teacher_source="reference",
        alpha=0.05,
        min_items=20,
        evaluation_id=evaluation_id,
        regressions=(Regression(example().id, "label_accuracy", "teacher", 0.0, 1.0),),
        summaries=(
            ModelSummary(
                "student", models["student"], 200, 200, latency_p50_ms=55.0, latency_p95_ms=80.0, usd=0.01
            ),
        ),
        created_at=AT,
    )
    return replace(card, **changes)


def decision(card: Scorecard, raw: bytes, uri: str, outcome: str = "promote") -> DecisionRecord:
    word = {"promote": "pass", "reject": "worse", "inconclusive": "open"}.get(outcome, "pass")
    verdict = Verdict(
        outcome,
        (Reason("shown", "label_accuracy against the teacher is shown."),),
        (
            Check("metric", word, "label_accuracy", "teacher", "", 200, -0.04, -0.07, -0.2),
            Check("slice", "pass", "label_accuracy", "teacher", "channel=web", 100, -0.02, -0.05, -0.2),
        ),
        needed=120 if outcome == "inconclusive" else None,
        n=200,
        policy_digest="b" * 64,
        dataset_id=card.dataset_id,
    )
    return DecisionRecord(
        workload=card.workload,
        verdict=verdict,
        approval=Approval(required=True, reason="every promotion is approved by a person"),
        policy={},
        evaluation_id=card.evaluation_id,
        dataset_id=card.dataset_id,
        heldout_sha256=card.heldout_sha256,
        model_arn=card.models["student"],
        scorecard_uri=uri,
        scorecard_sha256=sha256_hex(raw),
        decided_at=AT,
        costs=Costs(run_usd=6.5, student_monthly_usd=48.4, teacher_monthly_usd=1060.0, tokens_per_day=4e7),
        manifest_sha256="c" * 64,
    )


def put_workload(
    store: ObjectStore, root: str, workload: str = WORKLOAD, dag_id: str = DAG, run_id: str = RUN
) -> RunStatus:
    """Write the goods of one workload whose run waits for approval; returns the run's status."""
    folder = f"{root}/{workload}"
    held, asked = example(), evaluation_folder(folder)
    lines = canonical_json(held.to_json()) + b"\n"
    answers = canonical_json(Answer(held.id, "student", "m", "SECRET ANSWER").to_json()) + b"\n"
    store.write(f"{folder}/datasets/d0123456789/heldout.jsonl", lines)
    store.write(f"{asked}/answers/student.jsonl", answers)
    manifest = DatasetManifest(
        "d0123456789",
        workload,
        "amazon.nova-pro-v1:0",
        "amazon.nova-micro-v1:0:128k",
        "2026-11-27T00:00:00Z",
        "2026-11-30T00:00:00Z",
        DatasetFile(f"{folder}/datasets/d0123456789/train.jsonl", 660, 10, "d" * 64),
        DatasetFile(f"{folder}/datasets/d0123456789/heldout.jsonl", 209, len(lines), sha256_hex(lines)),
        None,
        True,
        {"lines": 2700, "kept": 900, "train": 660, "heldout": 209},
        {"other_traffic": 1800},
        {"near_duplicate": 31},
        {},
    )
    raw_manifest = canonical_json(manifest.to_json())
    store.write(f"{folder}/datasets/d0123456789/manifest.json", raw_manifest)
    card = scorecard(
        workload, heldout_sha256=sha256_hex(lines), answers_sha256={"student": sha256_hex(answers)}
    )
    raw = canonical_json(card.to_json())
    store.write(f"{asked}/scorecard.json", raw)
    record = decision(card, raw, f"{asked}/scorecard.json")
    raw_record = canonical_json(record.to_json())
    store.write(f"{asked}/decision.json", raw_record)
    run = RunStatus(
        workload,
        dag_id,
        run_id,
        AT,
        Step(dag_id, run_id, TASK, AT, "waiting"),
        lines=2700,
        kept=900,
        manifest_uri=f"{folder}/datasets/d0123456789/manifest.json",
        manifest_sha256=sha256_hex(raw_manifest),
        scorecard_uri=f"{asked}/scorecard.json",
        scorecard_sha256=sha256_hex(raw),
        decision_uri=f"{asked}/decision.json",
        decision_sha256=sha256_hex(raw_record),
        verdict="hold",
        answers={"student": f"{asked}/answers/student.jsonl"},
        judges=(Judged(f"{asked}/judge.json", False, ("too few double judgements",)),),
        question=Question(dag_id, run_id, TASK, AT, until="2026-12-03T20:00:00Z"),
    )
    store.write(run_uri(root, dag_id, run_id, workload), encode(run))
    status = full_status(workload, dag_id, run_id)
    status = fold.with_decision(status, record, card, run_id)
    store.write(status_uri(root, workload), encode(status))
    return run


def evaluation_folder(folder: str) -> str:
    return f"{folder}/evaluations/e0123456789abcdef012"


def full_status(workload: str = WORKLOAD, dag_id: str = DAG, run_id: str = RUN, **changes: Any) -> Status:
    """Return a status with something in every field that the loop itself fills."""
    status = Status(
        workload,
        AT,
        dag_id,
        "amazon.nova-pro-v1:0",
        "amazon.nova-micro-v1:0:128k",
        Step(dag_id, run_id, TASK, AT, "waiting"),
        live=LiveRelease(
            3,
            "2026-11-01T00:00:00Z",
            "arn:aws:bedrock:us-east-1:123456789012:custom-model/x/abcdefabcdef",
            "h",
            "a",
        ),
        question=Question(dag_id, run_id, TASK, AT, until="2026-12-03T20:00:00Z"),
        money=Money({"202611": 6.5}, 200.0, 441.6, 3091.2, 1, 0, AT),
        releases=tuple(
            PastRelease(n, f"2026-1{n % 2}-0{n}T00:00:00Z", "released" if n != 2 else "rolled_back")
            for n in (1, 2, 3)
        ),
        datasets=tuple(PastDataset(f"d{n}", 600 + n, 200, f"2026-11-0{n}T00:00:00Z") for n in (1, 2)),
    )
    return replace(status, **changes)
