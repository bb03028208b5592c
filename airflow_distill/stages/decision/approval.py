"""When a person must agree before a promotion, and whose yes counts. Unknown figures and missing answers mean no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.decision.records import Approval, Verdict
from airflow_distill.stages.money.records import Costs

MODES = ("never", "always", "when")


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """Ask never, always, or when a line is crossed.

    Lines: what the run or a month of the student costs, a first release (nothing is live yet), or a promotion whose
    tightest bound clears its limit by less than `below_slack`. `approvers` are the names whose answer counts; empty
    means anybody.
    """

    mode: str = "always"
    approvers: tuple[str, ...] = ()
    above_run_usd: float | None = None
    above_monthly_usd: float | None = None
    below_slack: float | None = None
    first_release: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "approvers", tuple(self.approvers))
        if self.mode not in MODES:
            raise ConfigurationError(f"decision: approval is one of {', '.join(MODES)}.")
        lines = (self.above_run_usd, self.above_monthly_usd, self.below_slack)
        if self.mode == "when" and not self.first_release and all(line is None for line in lines):
            raise ConfigurationError("decision: approval `when` needs a line to cross.")

    def crossed(self, verdict: Verdict, costs: Costs | None, *, live: bool) -> list[str]:
        """Return why a person must be asked, in words; empty when nobody must."""
        if self.mode == "never" or not verdict.promotes:
            return []
        if self.mode == "always":
            return ["every promotion is approved by a person"]
        known = costs or Costs()
        found = [
            _above("the run's cost", known.run_usd, self.above_run_usd),
            _above("the monthly cost", known.student_monthly_usd, self.above_monthly_usd),
            _slack(verdict, self.below_slack),
            "nothing is live yet" if self.first_release and not live else "",
        ]
        return [line for line in found if line]

    def accept(self, approval: Approval) -> Approval:
        """Return the approval as it counts: a yes of somebody who is not an approver is a no."""
        if not approval.approved or not self.approvers or approval.approver in self.approvers:
            return approval
        return Approval(
            required=approval.required,
            approver=approval.approver,
            answered_at=approval.answered_at,
            reason="The answer came from somebody who is not an approver.",
        )

    def to_json(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"approvers": list(self.approvers)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ApprovalRule:
        unknown = set(data) - {f.name for f in fields(cls)}
        if unknown:
            raise ConfigurationError(f"decision: approval does not know {', '.join(sorted(unknown))}.")
        return cls(**data)


def _above(what: str, figure: float | None, line: float | None) -> str:
    if line is None or (figure is not None and figure <= line):
        return ""
    return f"{what} is {'unknown' if figure is None else f'{figure:,.2f} USD'}, the line is {line:,.2f} USD"


def _slack(verdict: Verdict, line: float | None) -> str:
    if line is None:
        return ""
    slack = [
        c.bound - c.limit
        for c in verdict.checks
        if c.code == "quality" and c.bound is not None and c.limit is not None
    ]
    if slack and min(slack) >= line:
        return ""
    return f"the tightest bound clears its limit by {min(slack, default=0.0):.4f}, the line is {line:.4f}"
