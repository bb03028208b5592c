"""What a run will cost, before it starts: an upper bound from counts that are known by then.

An estimate is never shown as what was spent; what a run has used is counted in `evaluation/report_costs.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from airflow_distill.stages.money.prices import ON_DEMAND, PROVISIONED, PriceTable, bill
from airflow_distill.stages.money.records import Bill, Usage, decimal


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What one run will use, as far as it is known before.

    `input_tokens` and `output_tokens` are means a record. `pairs` is what the job trains on: the service may grow the
    set to 15,000 by synthesis when it asks the teacher itself (`teacher_called`), so estimate once with None and once
    with 15,000. `asked` names who answers the held-out prompts for money. `hourly_usd` is the quoted price of a model
    unit. `golden_records` of the held-out prompts are asked of the teacher too, since people wrote their answers; it is
    asked once, so later runs pay less.
    """

    teacher: str
    student: str
    train_records: int
    heldout_records: int
    input_tokens: float | None
    output_tokens: float | None
    teacher_called: bool
    epochs: int | None = None
    pairs: int | None = None
    asked: tuple[str, ...] = ("untuned", "student")
    repeats: int = 1
    host_kind: str = ON_DEMAND
    model_units: int = 1
    hourly_usd: Decimal | float | None = None
    candidate_hours: float | None = None
    storage_months: float = 1.0
    hosting_hours: float = 0.0
    golden_records: int = 0


def planned(plan: RunPlan) -> list[Usage]:
    """Return what a run will use, stage by stage."""
    pairs = plan.train_records if plan.pairs is None else plan.pairs
    usages = [Usage("job", "training", plan.student, _trained(plan, pairs))]
    if plan.teacher_called:
        usages += _tokens("job", "inference", plan.teacher, plan, pairs)
    usages.append(Usage("job", "model-storage", plan.student, plan.storage_months))
    answers = plan.heldout_records * plan.repeats
    if "untuned" in plan.asked:
        usages += _tokens("evaluation", "inference", plan.student, plan, answers)
    if plan.golden_records:
        usages += _tokens("evaluation", "inference", plan.teacher, plan, plan.golden_records * plan.repeats)
    if plan.host_kind == ON_DEMAND:
        asked = sum(role in plan.asked for role in ("student", "incumbent"))
        usages += _tokens("evaluation", "deployment", plan.student, plan, answers * asked)
    elif "student" in plan.asked:
        usages.append(_hours("evaluation", plan, plan.candidate_hours))
    if plan.host_kind == PROVISIONED and plan.hosting_hours:
        usages.append(_hours("hosting", plan, plan.hosting_hours))
    return usages


def estimate(table: PriceTable, plan: RunPlan, region: str = "") -> Bill:
    """Return what a run will cost, before it starts."""
    return bill(table, planned(plan), region)


def _tokens(stage: str, kind: str, model: str, plan: RunPlan, records: int) -> list[Usage]:
    return [
        Usage(stage, f"{kind}-input", model, _of(plan.input_tokens, records)),
        Usage(stage, f"{kind}-output", model, _of(plan.output_tokens, records)),
    ]


def _hours(stage: str, plan: RunPlan, hours: float | None) -> Usage:
    units = None if hours is None else hours * plan.model_units
    quoted = None if plan.hourly_usd is None else decimal(plan.hourly_usd)
    return Usage(stage, PROVISIONED, plan.student, units, quoted)


def _of(mean: float | None, records: int) -> float | None:
    return 0 if not records else None if mean is None else mean * records


def _trained(plan: RunPlan, pairs: int) -> float | None:
    if plan.input_tokens is None or plan.output_tokens is None or plan.epochs is None:
        return None
    return (plan.input_tokens + plan.output_tokens) * plan.epochs * pairs
