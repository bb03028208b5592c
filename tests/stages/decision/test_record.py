"""The decision record: what it rests on, who approved, and that it is written once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from airflow_distill.errors import ConfigurationError, EvaluationError, StateError
from airflow_distill.stages.decision.approval import ApprovalRule
from airflow_distill.stages.decision.policy import PromotionPolicy
from airflow_distill.stages.decision.record import make_record, read_record, write_decision, write_once
from airflow_distill.stages.decision.records import Approval, Check, DecisionRecord, Reason, Verdict
from airflow_distill.stages.evaluation.records import Scorecard
from airflow_distill.stages.money.records import Costs
from airflow_distill.stages.storage import MemoryStore

POLICY = PromotionPolicy.from_json({"metrics": {"exact": 0.05}})
YES = Approval(required=True, approved=True, approver="ann", answered_at="2026-11-24T10:00:00Z")


def make_verdict(verdict: str = "promote", **overrides: Any) -> Verdict:
    fields: dict[str, Any] = {
        "verdict": verdict,
        "reasons": (Reason("shown", "exact against the teacher: +0.0100."),),
        "checks": (
            Check("quality", "pass", "exact", "teacher", n=400, estimate=0.01, bound=-0.02, limit=-0.05),
        ),
        "policy_digest": POLICY.digest,
        "dataset_id": "d1",
        "student": "student-model",
    }
    return Verdict(**fields | overrides)


def make_card(**overrides: Any) -> Scorecard:
    fields: dict[str, Any] = {
        "workload": "tickets",
        "evaluation_id": "e1",
        "dataset_id": "d1",
        "heldout_sha256": "h1",
        "models": {"student": "student-model", "incumbent": "incumbent-model"},
        "n": 400,
        "metrics": (),
        "comparisons": (),
        "references": {"teacher": 400},
        "teacher_source": "reference",
        "alpha": 0.05,
        "min_items": 30,
        "answers_sha256": {"student": "aa"},
    }
    return Scorecard(**fields | overrides)


def record(verdict: Verdict | None = None, approval: Approval = YES, **overrides: Any) -> DecisionRecord:
    fields: dict[str, Any] = {
        "approval": approval,
        "scorecard_uri": "s3://bucket/scorecard.json",
        "scorecard_sha256": "bb",
        "decided_at": "2026-11-24T10:00:01Z",
        "job_arn": "arn:job",
        "costs": Costs(run_usd=3.5, priced_at="2026-07-01"),
    }
    return make_record(make_card(), POLICY, verdict or make_verdict(), **fields | overrides)


def test_a_record_survives_json_with_everything_it_rests_on() -> None:
    made = record()
    again = DecisionRecord.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made
    assert (again.heldout_sha256, again.answers_sha256, again.incumbent) == (
        "h1",
        {"student": "aa"},
        "incumbent-model",
    )
    assert PromotionPolicy.from_json(again.policy) == POLICY


@pytest.mark.parametrize("field", ["dataset_id", "model_arn", "scorecard_sha256", "outcome", "decision_id"])
def test_a_record_that_was_changed_is_refused(field: str) -> None:
    with pytest.raises(EvaluationError):
        DecisionRecord.from_json(record().to_json() | {field: "other"})


def test_the_id_names_the_evidence_and_the_rules_not_the_hour() -> None:
    made = record()
    assert record(decided_at="2027-01-01T00:00:00Z", approval=Approval(False)).decision_id == made.decision_id
    assert record(scorecard_sha256="cc").decision_id != made.decision_id
    assert record(make_verdict("hold")).decision_id != made.decision_id


@pytest.mark.parametrize(
    ("approval", "outcome"),
    [
        (Approval(required=False), "promote"),
        (YES, "promote"),
        (Approval(required=True), "hold"),
        (Approval(required=True, approved=True), "hold"),
        (Approval(required=True, approved=False, approver="ann"), "hold"),
    ],
)
def test_no_named_yes_means_not_promoted(approval: Approval, outcome: str) -> None:
    assert record(approval=approval).outcome == outcome
    assert record(approval=approval).receipt("u", "s")["verdict"] == outcome


@pytest.mark.parametrize("verdict", ["hold", "reject", "inconclusive"])
def test_a_yes_does_not_overrule_the_figures(verdict: str) -> None:
    assert record(make_verdict(verdict)).outcome == verdict


def test_a_record_is_written_once_and_a_retry_gets_the_first() -> None:
    store = MemoryStore()
    first, sha = write_once(store, "d.json", record())
    later, sha_again = write_once(
        store, "d.json", record(decided_at="2027-01-01T00:00:00Z", approval=Approval(True))
    )
    assert (later, sha_again) == (first, sha)
    assert later.approval.approver == "ann"
    assert read_record(store, "d.json") == (first, sha)


def test_another_decision_in_the_same_place_is_an_error_and_changes_nothing() -> None:
    store = MemoryStore()
    write_once(store, "d.json", record())
    before = store.read("d.json")
    with pytest.raises(StateError):
        write_once(store, "d.json", record(make_verdict("reject")))
    assert store.read("d.json") == before


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"kind": "decision-record", "v": 1}'])
def test_a_record_that_cannot_be_read_is_not_taken_for_none(data: bytes) -> None:
    store = MemoryStore()
    store.write("d.json", data)
    with pytest.raises((StateError, EvaluationError)):
        write_once(store, "d.json", record())


def test_a_verdict_under_other_rules_is_not_recorded() -> None:
    with pytest.raises(StateError):
        record(make_verdict(policy_digest="other"))
    with pytest.raises(StateError):
        record(make_verdict(dataset_id="d2"))


def test_a_receipt_stays_small_however_much_was_found() -> None:
    many = make_verdict("hold", reasons=tuple(Reason("stale", "x" * 500) for _ in range(50)))
    receipt = record(many).receipt("s3://bucket/" + "k" * 200, "f" * 64)
    assert len(json.dumps(receipt)) < 2048
    assert list(receipt)[:2] == ["kind", "v"]


# --- who is asked -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "costs", "live", "asked"),
    [
        (ApprovalRule("never"), None, True, False),
        (ApprovalRule("always"), None, True, True),
        (ApprovalRule("when", above_monthly_usd=100), Costs(student_monthly_usd=99), True, False),
        (ApprovalRule("when", above_monthly_usd=100), Costs(student_monthly_usd=101), True, True),
        (ApprovalRule("when", above_monthly_usd=100), Costs(), True, True),
        (ApprovalRule("when", above_run_usd=100), None, True, True),
        (ApprovalRule("when", first_release=True), None, False, True),
        (ApprovalRule("when", first_release=True), None, True, False),
        (ApprovalRule("when", below_slack=0.05), None, True, True),
        (ApprovalRule("when", below_slack=0.01), None, True, False),
    ],
)
def test_a_person_is_asked_when_a_line_is_crossed(
    rule: ApprovalRule, costs: Costs | None, live: bool, asked: bool
) -> None:
    assert bool(rule.crossed(make_verdict(), costs, live=live)) == asked
    assert ApprovalRule.from_json(json.loads(json.dumps(rule.to_json()))) == rule


@pytest.mark.parametrize("verdict", ["hold", "reject", "inconclusive"])
def test_nobody_is_asked_about_what_the_figures_forbid(verdict: str) -> None:
    assert ApprovalRule("always").crossed(make_verdict(verdict), None, live=True) == []


def test_the_yes_of_a_stranger_is_a_no() -> None:
    rule = ApprovalRule("always", approvers=("ann", "bo"))
    assert rule.accept(YES) == YES
    stranger = rule.accept(replace(YES, approver="eve"))
    assert (stranger.grants, stranger.approver) == (False, "eve")
    assert record(approval=stranger).outcome == "hold"


@pytest.mark.parametrize("data", [{"mode": "perhaps"}, {"mode": "when"}, {"colour": 1}])
def test_an_approval_rule_that_makes_no_sense_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ApprovalRule.from_json(data)


def test_decisions_on_one_scorecard_lie_beside_each_other() -> None:
    store = MemoryStore()
    one, other = record(), record(make_verdict("reject"))
    first, _, sha = write_decision(store, "e1", one)
    second, kept, _ = write_decision(store, "e1", other)
    assert first == "e1/decision.json"
    assert second == f"e1/decision-{other.decision_id[:16]}.json"
    assert kept == other
    assert write_decision(store, "e1", one) == (first, one, sha)
    assert write_decision(store, "e1", other)[0] == second
    assert len(store.objects) == 2


def test_a_first_decision_that_cannot_be_read_is_not_passed_over() -> None:
    store = MemoryStore()
    store.write("e1/decision.json", b"{}")
    with pytest.raises((StateError, EvaluationError)):
        write_decision(store, "e1", record())
    assert list(store.objects) == ["e1/decision.json"]
