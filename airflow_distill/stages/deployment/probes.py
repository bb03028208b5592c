"""Which held-out prompts are asked of a new host, and whether its answers are good enough.

Takes the held-out file's lines and what was answered; hands on a `ProbeResult`: counts, rates and the reasons against.
Texts pass through and are never kept: a result names prompts by digest. No clock, no network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_distill.errors import DeploymentError
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.deployment.records import ProbeSettings
from airflow_distill.stages.deployment.shapes import Shape, fits, fold, shape_from
from airflow_distill.stages.digest import record_of, sha256_hex

Agreement = Callable[[Example, str], float]
"""Scores one answer against its held-out example, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt put to the host: its answer, or the code of the error that a caller would have seen."""

    example: Example
    answer: str = ""
    error: str = ""
    latency_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a round of prompts showed: counts, rates and the reasons against it; empty reasons mean it passed."""

    asked: int
    errors: int
    shaped: int
    scored: int
    score: float | None
    latencies_ms: tuple[float, ...]
    reasons: tuple[str, ...]
    failed: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Say whether nothing speaks against it."""
        return not self.reasons

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProbeResult:
        return cls(
            asked=int(data["asked"]),
            errors=int(data["errors"]),
            shaped=int(data["shaped"]),
            scored=int(data["scored"]),
            score=data.get("score"),
            latencies_ms=tuple(float(value) for value in data.get("latencies_ms") or ()),
            reasons=tuple(data.get("reasons") or ()),
            failed=tuple(data.get("failed") or ()),
            codes=tuple(data.get("codes") or ()),
        )


def read_heldout(raw: bytes, sha256: str, uri: str) -> tuple[Example, ...]:
    """Read a held-out file after checking that it is the one the dataset's manifest names.

    :raises DeploymentError: its bytes are not the ones the manifest was written for.
    """
    if sha256 and sha256_hex(raw) != sha256:
        raise DeploymentError(
            f"deployment: {uri} is not the held-out file of its manifest (the digest differs).",
            hint="`airflow-distill verify` names what changed; restore the file from the bucket's versions.",
        )
    try:
        return tuple(record_of(line, Example.from_json) for line in raw.split(b"\n") if line.strip())
    except ValueError as error:
        raise DeploymentError(
            f"deployment: a line of {uri} is {error}.", hint="Restore the file from the bucket's versions."
        ) from None


def pick(examples: Sequence[Example], count: int, offset: int = 0) -> tuple[Example, ...]:
    """Return `count` examples in the order of their digests, going round from `offset`: the same in every try."""
    ordered = sorted(examples, key=lambda example: example.id)
    if not ordered:
        return ()
    return tuple(ordered[(offset + i) % len(ordered)] for i in range(min(count, len(ordered))))


def shape_of(settings: ProbeSettings, examples: Iterable[Example]) -> Shape:
    """Build the settings' shape; `references` stands for the labels of the held-out answers."""
    return shape_from(settings.shape, frozenset(e.answer for e in examples if e.answer))


def agreement(example: Example, answer: str) -> float:
    """Score an answer: 1 when it equals the reference after folding case and white space, else 0."""
    return float(fold(answer) == fold(example.answer or ""))


def judge(
    asked: Sequence[Asked], settings: ProbeSettings, shape: Shape, score: Agreement = agreement
) -> ProbeResult:
    """Hold a round of answers against its limits. No answers at all is a reason against, never a pass."""
    answered = [a for a in asked if not a.error]
    shaped = [a for a in answered if fits(shape, a.answer)]
    scores = [score(a.example, a.answer) for a in answered if a.example.answer is not None]
    return _with_reasons(
        ProbeResult(
            asked=len(asked),
            errors=len(asked) - len(answered),
            shaped=len(shaped),
            scored=len(scores),
            score=sum(scores) / len(scores) if scores else None,
            latencies_ms=tuple(a.latency_ms for a in answered),
            reasons=(),
            failed=tuple(a.example.id for a in asked if a.error or a not in shaped)[:20],
            codes=tuple(sorted({a.error for a in asked if a.error})),
        ),
        settings,
    )


def pool(rounds: Sequence[ProbeResult], settings: ProbeSettings) -> ProbeResult:
    """Join several rounds and hold the whole against the limits, so that one bad answer of many weighs as one."""
    scored = sum(r.scored for r in rounds)
    total = sum((r.score or 0.0) * r.scored for r in rounds)
    return _with_reasons(
        ProbeResult(
            asked=sum(r.asked for r in rounds),
            errors=sum(r.errors for r in rounds),
            shaped=sum(r.shaped for r in rounds),
            scored=scored,
            score=total / scored if scored else None,
            latencies_ms=tuple(value for r in rounds for value in r.latencies_ms),
            reasons=(),
            failed=tuple(dict.fromkeys(name for r in rounds for name in r.failed))[:20],
            codes=tuple(sorted({code for r in rounds for code in r.codes})),
        ),
        settings,
    )


def _with_reasons(result: ProbeResult, settings: ProbeSettings) -> ProbeResult:
    answered = result.asked - result.errors
    reasons = []
    if not answered:
        reasons.append("no prompt was answered")
    if result.asked and result.errors / result.asked > settings.max_error_rate:
        reasons.append(f"{result.errors} of {result.asked} calls failed ({', '.join(result.codes)})")
    if answered and result.shaped / answered < settings.min_shape_rate:
        reasons.append(f"{answered - result.shaped} of {answered} answers lack the expected shape")
    p95, mean = _percentile(result.latencies_ms, 0.95), result.score
    if settings.max_latency_ms is not None and (p95 is None or p95 > settings.max_latency_ms):
        told = "unknown" if p95 is None else f"{p95:.0f} ms"
        reasons.append(f"latency (95th percentile) is {told}, the limit {settings.max_latency_ms:g} ms")
    if settings.min_score is not None and (mean is None or math.isnan(mean) or mean < settings.min_score):
        told = "unknown" if mean is None else f"{mean:.3f}"
        reasons.append(f"agreement with the held-out answers is {told}, the limit {settings.min_score:g}")
    return replace(result, reasons=tuple(reasons))


def _percentile(values: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
