"""What crosses the decision stage's door: checks, the verdict, the approval and the decision record.

A `Verdict` is what the figures say under a policy; a `DecisionRecord` is what was decided, with the digests of
everything it rests on and the person who approved. Both are plain data, frozen, and free of text from prompts or
answers. Standard library only; no clock (times are passed in), no network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_distill.errors import EvaluationError
from airflow_distill.stages.digest import digest
from airflow_distill.stages.money.records import Costs

SCHEMA = 1
"""Of a verdict."""

RECORD_SCHEMA = 3
"""Of a decision record. Version 2 did not name the approval rule; version 1 named neither manifest nor the incumbent's
release: it is read, and not promoted."""

VERDICTS = ("promote", "hold", "reject", "inconclusive")
"""promote: every condition is shown. reject: evidence of being worse. inconclusive: an interval straddles its line.
hold: not allowed for another reason (evidence missing, stale or broken; price; latency)."""

OUTCOMES = ("pass", "worse", "open", "fail", "untrusted", "skipped")
"""Of one check. pass: shown. worse: the contrary is shown. open: not settled. fail: a limit is crossed. untrusted: the
evidence cannot be used. skipped: not asked for, or too little to ask of (a small slice)."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One sentence of the verdict, with a code to match on."""

    code: str
    text: str

    def to_json(self) -> dict[str, str]:
        return {"code": self.code, "text": self.text}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Reason:
        return cls(data["code"], data["text"])


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of the policy and how it came out.

    `estimate` is the difference (student minus the other) or the figure compared with `limit`; `bound` is the
    one-sided confidence bound that must lie above `limit`. `needed` is how many further prompts would settle an open
    check.
    """

    code: str
    outcome: str
    metric: str = ""
    against: str = ""
    slice: str = ""
    n: int = 0
    estimate: float | None = None
    bound: float | None = None
    limit: float | None = None
    p_pass: float | None = None
    p_worse: float | None = None
    needed: int | None = None

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise EvaluationError(f"decision: a check came out as {self.outcome!r}.")
        for name in ("estimate", "bound", "limit", "p_pass", "p_worse"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise EvaluationError(f"decision: {name} of a check is not a finite number.")

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "outcome": self.outcome,
            "metric": self.metric,
            "against": self.against,
            "slice": self.slice,
            "n": self.n,
            "estimate": self.estimate,
            "bound": self.bound,
            "limit": self.limit,
            "p_pass": self.p_pass,
            "p_worse": self.p_worse,
            "needed": self.needed,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Check:
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the figures say.

    `needed` is how many further prompts would settle an inconclusive verdict, None when no sensible number would.
    """

    verdict: str
    reasons: tuple[Reason, ...]
    checks: tuple[Check, ...]
    needed: int | None = None
    alpha: float = 0.05
    look: int = 1
    n: int = 0
    policy_digest: str = ""
    dataset_id: str = ""
    student: str = ""
    reference: str = ""
    teacher_source: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise EvaluationError(f"decision: there is no verdict {self.verdict!r}.")

    @property
    def promotes(self) -> bool:
        """Whether the figures allow a promotion; an approval may still be needed."""
        return self.verdict == "promote"

    def to_json(self) -> dict[str, Any]:
        return {
            "v": SCHEMA,
            "verdict": self.verdict,
            "reasons": [r.to_json() for r in self.reasons],
            "checks": [c.to_json() for c in self.checks],
            "needed": self.needed,
            "alpha": self.alpha,
            "look": self.look,
            "n": self.n,
            "policy_digest": self.policy_digest,
            "dataset_id": self.dataset_id,
            "student": self.student,
            "reference": self.reference,
            "teacher_source": self.teacher_source,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        return cls(
            verdict=data["verdict"],
            reasons=tuple(Reason.from_json(r) for r in data["reasons"]),
            checks=tuple(Check.from_json(c) for c in data["checks"]),
            needed=data.get("needed"),
            alpha=float(data["alpha"]),
            look=int(data.get("look") or 1),
            n=int(data.get("n") or 0),
            policy_digest=data.get("policy_digest") or "",
            dataset_id=data.get("dataset_id") or "",
            student=data.get("student") or "",
            reference=data.get("reference") or "",
            teacher_source=data.get("teacher_source") or "",
        )


@dataclass(frozen=True, slots=True)
class Approval:
    """Whether a person had to agree, whether one did, who and when. No answer is no.

    :param approver: the name of who answered; `approver_id` their id, as Airflow told both.
    :param requested_by: who started the run, empty when nobody did.
    :param shown_sha256: digest of what the approver was shown.
    """

    required: bool
    approved: bool = False
    approver: str = ""
    answered_at: str = ""
    reason: str = ""
    approver_id: str = ""
    requested_by: str = ""
    shown_sha256: str = ""

    @property
    def grants(self) -> bool:
        """Whether promotion may go on: nobody had to be asked, or a named person said yes."""
        return not self.required or (self.approved and bool(self.approver or self.approver_id))

    def to_json(self) -> dict[str, Any]:
        return {
            "required": self.required,
            "approved": self.approved,
            "approver": self.approver,
            "answered_at": self.answered_at,
            "reason": self.reason,
            "approver_id": self.approver_id,
            "requested_by": self.requested_by,
            "shown_sha256": self.shown_sha256,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Approval:
        return cls(
            required=data["required"] is not False,
            approved=data.get("approved", False) is True,
            approver_id=data.get("approver_id") or "",
            requested_by=data.get("requested_by") or "",
            shown_sha256=data.get("shown_sha256") or "",
            approver=data.get("approver") or "",
            answered_at=data.get("answered_at") or "",
            reason=data.get("reason") or "",
        )


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """What was decided and on what: written once, never changed.

    `decision_id` is the digest of the evidence, the policy, the approval rule and the verdict, without the answer of a
    person and the time, so a retry names the same decision.

    :param incumbent: the model that was live, empty when none was; `incumbent_release` and `incumbent_host` as the ledger
        named them (None and empty for something live that the ledger does not know, or for nothing).
    :param manifest_sha256: digest of the dataset's manifest when the decision was made.
    :param approval_rule: when a person must agree and whose answer counts, as `ApprovalRule` writes it; empty for none.
    """

    workload: str
    verdict: Verdict
    approval: Approval
    policy: Mapping[str, Any]
    evaluation_id: str
    dataset_id: str
    heldout_sha256: str
    model_arn: str
    scorecard_uri: str
    scorecard_sha256: str
    decided_at: str
    incumbent: str = ""
    job_arn: str = ""
    answers_sha256: Mapping[str, str] = field(default_factory=dict)
    costs: Costs | None = None
    manifest_sha256: str = ""
    incumbent_release: int | None = None
    incumbent_host: str = ""
    approval_rule: Mapping[str, Any] = field(default_factory=dict)
    v: int = RECORD_SCHEMA

    @property
    def decision_id(self) -> str:
        since_2: dict[str, Any] = {
            "manifest_sha256": self.manifest_sha256,
            "incumbent_release": self.incumbent_release,
            "incumbent_host": self.incumbent_host,
            "job_arn": self.job_arn,
        }
        since_3 = {"approval_rule": dict(self.approval_rule)}
        return digest(
            {
                **(since_2 if self.v > 1 else {}),
                **(since_3 if self.v > 2 else {}),
                "workload": self.workload,
                "evaluation_id": self.evaluation_id,
                "dataset_id": self.dataset_id,
                "heldout_sha256": self.heldout_sha256,
                "model_arn": self.model_arn,
                "incumbent": self.incumbent,
                "scorecard_sha256": self.scorecard_sha256,
                "answers_sha256": dict(self.answers_sha256),
                "policy": dict(self.policy),
                "verdict": self.verdict.to_json(),
            },
            32,
        )

    @property
    def outcome(self) -> str:
        """The verdict after approval: a promotion that was not approved is a hold."""
        if self.verdict.promotes and not self.approval.grants:
            return "hold"
        return self.verdict.verdict

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The verdict's reasons, after the missing approval when that is what holds."""
        if self.outcome == self.verdict.verdict:
            return self.verdict.reasons
        return (Reason("not-approved", self.approval.reason or "Nobody approved."), *self.verdict.reasons)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "decision-record",
            "v": self.v,
            "decision_id": self.decision_id,
            "workload": self.workload,
            "outcome": self.outcome,
            "verdict": self.verdict.to_json(),
            "approval": self.approval.to_json(),
            "policy": dict(self.policy),
            "approval_rule": dict(self.approval_rule),
            "evaluation_id": self.evaluation_id,
            "dataset_id": self.dataset_id,
            "heldout_sha256": self.heldout_sha256,
            "model_arn": self.model_arn,
            "incumbent": self.incumbent,
            "incumbent_release": self.incumbent_release,
            "incumbent_host": self.incumbent_host,
            "job_arn": self.job_arn,
            "manifest_sha256": self.manifest_sha256,
            "scorecard_uri": self.scorecard_uri,
            "scorecard_sha256": self.scorecard_sha256,
            "answers_sha256": dict(self.answers_sha256),
            "costs": self.costs.to_json() if self.costs else None,
            "decided_at": self.decided_at,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DecisionRecord:
        if data.get("kind") != "decision-record" or data.get("v") not in (1, 2, RECORD_SCHEMA):
            raise EvaluationError("decision: this is not a decision record of a version known here.")
        record = cls(
            workload=data["workload"],
            verdict=Verdict.from_json(data["verdict"]),
            approval=Approval.from_json(data["approval"]),
            policy=dict(data["policy"]),
            evaluation_id=data["evaluation_id"],
            dataset_id=data["dataset_id"],
            heldout_sha256=data["heldout_sha256"],
            model_arn=data["model_arn"],
            scorecard_uri=data["scorecard_uri"],
            scorecard_sha256=data["scorecard_sha256"],
            decided_at=data["decided_at"],
            incumbent=data.get("incumbent") or "",
            job_arn=data.get("job_arn") or "",
            answers_sha256=dict(data.get("answers_sha256") or {}),
            costs=Costs.from_json(data["costs"]) if data.get("costs") else None,
            manifest_sha256=data.get("manifest_sha256") or "",
            incumbent_release=data.get("incumbent_release"),
            incumbent_host=data.get("incumbent_host") or "",
            approval_rule=dict(data.get("approval_rule") or {}),
            v=data["v"],
        )
        if record.decision_id != data["decision_id"] or record.outcome != data["outcome"]:
            raise EvaluationError("decision: the record does not agree with its own id; it was changed.")
        return record

    def receipt(self, uri: str, sha256: str) -> dict[str, Any]:
        """Return the small record that goes through XCom."""
        return {
            "kind": "decision",
            "v": SCHEMA,
            "workload": self.workload,
            "verdict": self.outcome,
            "reasons": [f"{r.code}: {r.text}"[:160] for r in self.reasons[:5]],
            "needed": self.verdict.needed,
            "decision_id": self.decision_id,
            "decision_uri": uri,
            "decision_sha256": sha256,
            "scorecard_uri": self.scorecard_uri,
            "scorecard_sha256": self.scorecard_sha256,
            "dataset_id": self.dataset_id,
            "manifest_sha256": self.manifest_sha256,
            "model_arn": self.model_arn,
            "job_arn": self.job_arn,
        }
