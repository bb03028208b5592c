"""The example of docs/guides/decision.md, run: from answers to a recorded verdict, without Airflow and without AWS."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.evaluation.records import Answer
from airflow_distill.stages.storage import MemoryStore

ROOT = Path(__file__).parents[3]


def test_the_guides_example_ends_in_a_recorded_promotion() -> None:
    examples = [Example(turns=(Turn("user", f"ticket {i}"),), answer=f"queue {i % 5}") for i in range(400)]
    answers = [
        Answer(e.id, role, model, "queue 9" if i % every == 0 else e.answer)
        for role, model, every in (("student", "custom-model", 60), ("untuned", "nova-micro", 4))
        for i, e in enumerate(examples)
    ]
    store = MemoryStore()

    # region decide
    from airflow_distill.stages.decision.decide import Freshness, decide
    from airflow_distill.stages.decision.policy import PromotionPolicy
    from airflow_distill.stages.decision.record import make_record, write_once
    from airflow_distill.stages.decision.records import Approval
    from airflow_distill.stages.evaluation.compare import score_answers
    from airflow_distill.stages.evaluation.scorers.registry import make_scorers

    scorecard = score_answers(
        examples,  # the held-out prompts with their references
        answers,  # of the student, the untuned student and, if there is one, the incumbent
        make_scorers(["label_accuracy", "macro_f1"]),
        workload="tickets",
        dataset_id="5f2a",
        heldout_sha256="9c1e",
    )
    policy = PromotionPolicy.from_json(
        {"metrics": {"label_accuracy": 0.05, "macro_f1": {"margin": 0.1, "primary": False}}}
    )
    verdict = decide(scorecard, policy, freshness=Freshness("5f2a", "9c1e", student_model="custom-model"))
    print(verdict.verdict, *(reason.text for reason in verdict.reasons), sep="\n")

    record = make_record(
        scorecard,
        policy,
        verdict,
        approval=Approval(required=True, approved=True, approver="ann", answered_at="2026-11-24T10:00:00Z"),
        scorecard_uri="evaluations/e1/scorecard.json",
        scorecard_sha256="77ab",
        decided_at="2026-11-24T10:00:05Z",
    )
    write_once(store, "evaluations/e1/decision.json", record)
    # endregion

    assert verdict.verdict == "promote"
    assert record.outcome == "promote"
    assert store.exists("evaluations/e1/decision.json")


def test_the_simulation_behind_the_guide_keeps_its_promises_in_a_short_run() -> None:
    """The full run is `python benchmarks/verdicts.py`; here fewer draws, the exact sums and the byte-for-byte facts."""
    spec = importlib.util.spec_from_file_location("verdicts", ROOT / "benchmarks" / "verdicts.py")
    assert spec is not None
    assert spec.loader is not None
    verdicts = importlib.util.module_from_spec(spec)
    sys.modules["verdicts"] = verdicts
    spec.loader.exec_module(verdicts)
    tables = verdicts.simulate(runs=60, seed=7)
    assert [row.truth for table in tables for row in table.rows if not row.kept(60)] == []
    assert [fact for fact, held in verdicts.front_door(seed=7) if not held] == []


def test_the_guide_shows_the_simulations_tables() -> None:
    page = (ROOT / "docs" / "guides" / "decision.md").read_text("utf-8")
    begin, end = page.index("<!-- verdicts: begin -->"), page.index("<!-- verdicts: end -->")
    assert "2,000 runs" in page[begin:end]
    assert "| worse by the margin, disagreement 10% |" in page[begin:end]
    assert ": NO" not in page[begin:end]
