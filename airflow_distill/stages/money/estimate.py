"""What a run will cost, before it starts: an upper bound from counts that are known by then.

An estimate is never shown as what was spent; what a run has used is counted as it happens (`usage.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from airflow_distill.stages.model_table import CONTEXT_TOKENS
from airflow_distill.stages.money.prices import ON_DEMAND, PROVISIONED, PriceTable, bill
from airflow_distill.stages.money.records import Bill, Usage, decimal
from airflow_distill.stages.money.usage import CANDIDATE, EVALUATION, JUDGE, RELEASE

GENEROUS = 2
"""Where the tokens of a prompt are not counted yet, a bound takes so many times the mean of the logs."""
JUDGE_WORDS, JUDGE_SAYS, JUDGE_MOST = 250, 60, 200
"""Tokens of the judge's instructions, of a usual verdict, and the most that a verdict may have."""
MOST_PROMPT = CONTEXT_TOKENS
"""No prompt that a student was taught on is longer, in tokens: its context of fine-tuning."""
SERVICE_MAXIMUM = 15_000
"""To so many pairs the service may grow a training set by synthesis, at the author's expense."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What one run will use, as far as it is known before.

    `input_tokens` and `output_tokens` are means a record. `pairs` is what the job trains on: the service may grow the
    set to 15,000 by synthesis when it asks the teacher itself (`teacher_called`), so estimate once with None and once
    with 15,000. `asked` names who answers the held-out prompts for money, `judged` counts the roles that a `judge`
    compares, `probes` the questions to the released host. `max_tokens` bounds an answer, `host_hours` a candidate's
    host. `hourly_usd` is the quoted price of a model unit. `golden_records` of the held-out prompts are asked of the
    teacher too, since people wrote their answers; it is asked once, so later runs pay less.
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
    judge: str = ""
    judged: int = 0
    probes: int = 0
    max_tokens: int = 512
    host_hours: float | None = None


def planned(plan: RunPlan, *, most: bool = False) -> list[Usage]:
    """Return what a run will use, stage by stage.

    :param most: reckon with the longest answers, a generous count of prompts' tokens and every hour of a host.
    """
    pairs = plan.train_records if plan.pairs is None else plan.pairs
    usages = [Usage("job", "training", plan.student, _trained(plan, pairs))]
    if plan.teacher_called:
        usages += _tokens("job", "inference", plan.teacher, plan, pairs)
    usages.append(Usage("job", "model-storage", plan.student, plan.storage_months))
    answers = plan.heldout_records * plan.repeats
    if "untuned" in plan.asked:
        usages += _answers(EVALUATION, "inference", plan.student, plan, answers, most)
    if plan.golden_records:
        count = plan.golden_records * plan.repeats
        usages += _answers(EVALUATION, "inference", plan.teacher, plan, count, most)
    if plan.host_kind == ON_DEMAND:
        asked = sum(role in plan.asked for role in ("student", "incumbent"))
        usages += _answers(EVALUATION, "deployment", plan.student, plan, answers * asked, most)
        usages += _probes(plan, most) if plan.probes else []
    elif "student" in plan.asked:
        bound = most and plan.host_hours is not None
        usages.append(_hours(CANDIDATE, plan, plan.host_hours if bound else plan.candidate_hours))
    if plan.judge:
        usages += _judgements(plan, most)
    if plan.host_kind == PROVISIONED and plan.hosting_hours:
        usages.append(_hours("hosting", plan, plan.hosting_hours))
    return usages


def estimate(table: PriceTable, plan: RunPlan, region: str = "", *, most: bool = False) -> Bill:
    """Return what a run will cost, before it starts; with `most`, what it cannot exceed."""
    return bill(table, planned(plan, most=most), region)


def _answers(stage: str, kind: str, model: str, plan: RunPlan, records: int, most: bool) -> list[Usage]:
    if not most:
        return _tokens(stage, kind, model, plan, records)
    asked = None if plan.input_tokens is None else GENEROUS * plan.input_tokens + 32
    said = plan.max_tokens if plan.output_tokens is None else max(plan.max_tokens, plan.output_tokens)
    return [
        Usage(stage, f"{kind}-input", model, _of(asked, records)),
        Usage(stage, f"{kind}-output", model, _of(said, records)),
    ]


def _probes(plan: RunPlan, most: bool) -> list[Usage]:
    if not most:
        return _tokens(RELEASE, "deployment", plan.student, plan, plan.probes)
    return [
        Usage(RELEASE, "deployment-input", plan.student, MOST_PROMPT * plan.probes),
        Usage(RELEASE, "deployment-output", plan.student, plan.max_tokens * plan.probes),
    ]


def _judgements(plan: RunPlan, most: bool) -> list[Usage]:
    """Return the judge's calls: each pair in both orders, prompt and both answers in each."""
    calls = 2 * plan.judged * plan.heldout_records
    asked, said = plan.input_tokens, plan.output_tokens
    shown = None if asked is None or said is None else asked + 2 * said + JUDGE_WORDS
    if most and shown is not None:
        shown *= GENEROUS
    return [
        Usage(JUDGE, "inference-input", plan.judge, _of(shown, calls)),
        Usage(JUDGE, "inference-output", plan.judge, calls * (JUDGE_MOST if most else JUDGE_SAYS)),
    ]


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


def mean_tokens(profile: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return mean tokens in and out of a profiled example.

    Logs count tokens; a file of one's own does not, so the 90th percentile of characters stands in, three to a token.
    """
    count = int(profile.get("examples") or 0)
    if not count:
        return None, None
    tokens_in, tokens_out = int(profile.get("input_tokens") or 0), int(profile.get("output_tokens") or 0)
    if tokens_in and tokens_out:
        return tokens_in / count, tokens_out / count
    long = [(profile.get(f"{side}_characters") or {}).get("p90") for side in ("prompt", "answer")]
    return (long[0] / 3 if long[0] else None), (long[1] / 3 if long[1] else None)
