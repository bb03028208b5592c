"""When a person must agree before a promotion, and whose yes counts. Unknown figures and missing answers mean no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.decision.records import Approval, Verdict
from airflow_distill.stages.money.records import Costs

MODES = ("never", "always", "when")


@dataclass(frozen=True, slots=True)
class Approver:
    """Somebody whose answer counts: by `id` where one is given, else by `name`. An id is never compared with a name."""

    id: str = ""
    name: str = ""

    @classmethod
    def read(cls, data: Any) -> Approver:
        """Read a name, or a mapping with `id`, `name` or both.

        :raises ConfigurationError: it is neither.
        """
        if isinstance(data, str) and data:
            return cls(name=data)
        known = isinstance(data, Mapping) and data and set(data) <= {"id", "name"}
        if not known or not any(data.values()):
            raise ConfigurationError(
                f"decision: {data!r} is not an approver.",
                hint="Give a user name, or a mapping with `id`, `name` or both.",
            )
        return cls(str(data.get("id") or ""), str(data.get("name") or ""))

    def is_user(self, user_id: str, name: str) -> bool:
        """Say whether a user is meant."""
        return self.id == user_id if self.id else bool(self.name) and self.name == name

    def to_json(self) -> Any:
        return {k: v for k, v in (("id", self.id), ("name", self.name)) if v} if self.id else self.name


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """Ask never, always, or when a line is crossed.

    Lines: what the run or a month of the student costs, a first release (nothing is live yet), or a promotion whose
    tightest bound clears its limit by less than `below_slack`. `approvers` are those whose answer counts, by name or as
    mappings with `id` and `name`; empty means anybody. With `separate`, whoever started the run cannot approve it.
    """

    mode: str = "always"
    approvers: tuple[Any, ...] = ()
    above_run_usd: float | None = None
    above_monthly_usd: float | None = None
    below_slack: float | None = None
    first_release: bool = False
    separate: bool = False

    def __post_init__(self) -> None:
        people = tuple(a if isinstance(a, Approver) else Approver.read(a) for a in self.approvers)
        object.__setattr__(self, "approvers", people)
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

    def objection(self, approval: Approval) -> str:
        """Return why the answer of a person does not count under this rule; empty when it does."""
        user_id, name = approval.approver_id, approval.approver
        if not user_id and not name:
            return "The answer names nobody."
        if self.approvers and not any(a.is_user(user_id, name) for a in self.approvers):
            return "The answer came from somebody who is not an approver."
        requester = approval.requested_by
        if self.separate and requester and requester in (user_id, name):
            return f"{name or user_id} started the run and cannot approve it (`separate`)."
        return ""

    def accept(self, approval: Approval) -> Approval:
        """Return the approval as it counts: a yes of somebody whose answer does not count is a no."""
        against = self.objection(approval) if approval.approved else ""
        return replace(approval, approved=False, reason=against) if against else approval

    def to_json(self) -> dict[str, Any]:
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        return said | {"approvers": [a.to_json() for a in self.approvers]}

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
