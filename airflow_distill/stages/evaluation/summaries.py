"""What a role's answers cost in time, tokens and money, and how often they failed. Counts only; no text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal

from airflow_distill.stages.evaluation.items import Table
from airflow_distill.stages.evaluation.records import Answer, ModelSummary
from airflow_distill.stages.money.records import Tokens, as_float

PriceOf = Callable[[str, Tokens], Decimal | None]
"""(model, tokens by kind) -> USD, or None when unknown."""

TRUNCATED = {"max_tokens", "length", "MAX_TOKENS", "model_context_window_exceeded"}
"""Stop reasons of an answer that was cut short, in the families' own words."""


def summarise(table: Table, role: str, price_of: PriceOf | None = None) -> ModelSummary:
    """Return one role's summary over all its answers."""
    found = table.answers[role]
    answers = [answer for cell in found.values() for answer in cell]
    came = [answer for answer in answers if not answer.failed]
    spent_in = _total([a.input_tokens for a in came])
    spent_out = _total([a.output_tokens for a in came])
    model = table.models[role]
    known = price_of is not None and spent_in is not None and spent_out is not None
    read, write = (sum(getattr(a, f"cache_{way}_tokens") or 0 for a in came) for way in ("read", "write"))
    used = Tokens.of(spent_in, spent_out, read, write)
    return ModelSummary(
        role=role,
        model=model,
        answers=len(answers),
        items=len(found),
        errors=len(answers) - len(came),
        error_codes=dict(sorted(Counter(a.error or "no text" for a in answers if a.failed).items())),
        truncated=sum(a.stop_reason in TRUNCATED for a in came),
        missing=len(table.examples) - len(found),
        latency_p50_ms=percentile([a.latency_ms for a in came if a.latency_ms is not None], 50),
        latency_p95_ms=percentile([a.latency_ms for a in came if a.latency_ms is not None], 95),
        input_tokens=spent_in,
        output_tokens=spent_out,
        usd=as_float(price_of(model, used)) if known and price_of else None,
        cache_read_tokens=read,
        cache_write_tokens=write,
        parameters=_parameters(answers),
    )


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile, None of nothing."""
    if not values:
        return None
    return sorted(values)[max(math.ceil(share / 100 * len(values)), 1) - 1]


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _parameters(answers: Sequence[Answer]) -> tuple[str, ...]:
    return tuple(sorted({answer.parameters for answer in answers if answer.parameters}))
