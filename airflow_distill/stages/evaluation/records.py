"""What crosses the evaluation stage's door: answers, scores, comparisons and the scorecard.

Answers come in (from the collection, from batch output, from the logs), a `Scorecard` goes out to the decision stage,
the report and the bucket. Everything here is frozen, versioned and plain: `to_json`/`from_json` round-trip. A figure that
is not a finite number is refused when a record is made, so that nothing downstream meets a NaN. A `Comparison` keeps its
evidence as a tally of paired differences and can therefore answer any question about a margin later, without the items;
the arithmetic is in `intervals.py`. No record but `Answer` holds text, and an answer's text goes to the bucket only.

Standard library only; no clock, no network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_distill.errors import EvaluationError
from airflow_distill.stages.dataset.records import cached_json
from airflow_distill.stages.evaluation import intervals

SCHEMA = 1

CHALLENGERS = ("challenger-1", "challenger-2", "challenger-3")
"""Other untuned models that are asked the same prompts: is distilling worth it at all?"""

ROLES = ("teacher", "untuned", "student", "incumbent", *CHALLENGERS)
"""The ways of answering that an evaluation compares; the student is the one on trial."""

GOLDEN = "golden"
"""Kind of a reference that people wrote or approved, and the slice of the items that have one, where others have none."""

REFERENCE_KINDS = ("teacher", GOLDEN, "none")
"""What an item is scored against: the teacher's own logged answer, a label approved by people, or nothing."""


def finite(value: float | None, name: str) -> None:
    """Refuse a figure that is not a finite number; None stands for "unknown" and passes."""
    if value is not None and not math.isfinite(value):
        raise EvaluationError(
            f"evaluation: {name} is not a finite number.", hint="A scorer or a file is broken."
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """One model's answer to one held-out prompt, or the error that came instead.

    `error` is a short code (`ThrottlingException`, `empty`), never text of the service or the model. An answer with an
    error counts as wrong. `parameters` is the digest of the inference parameters, `repeat` counts samples of one prompt.
    """

    example_id: str
    role: str
    model: str
    text: str | None
    error: str = ""
    stop_reason: str = ""
    latency_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    parameters: str = ""
    repeat: int = 0
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise EvaluationError(
                f"evaluation: an answer has the role {self.role!r}.", hint=f"One of {ROLES}."
            )
        finite(self.latency_ms, "latency_ms")

    @property
    def failed(self) -> bool:
        """Say whether there is nothing to score: an error, or no text at all."""
        return bool(self.error) or self.text is None

    def to_json(self) -> dict[str, Any]:
        return {
            "v": SCHEMA,
            "example_id": self.example_id,
            "role": self.role,
            "model": self.model,
            "text": self.text,
            "error": self.error,
            "stop_reason": self.stop_reason,
            "latency_ms": self.latency_ms,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "parameters": self.parameters,
            "repeat": self.repeat,
            **cached_json(self.cache_read_tokens, self.cache_write_tokens),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Answer:
        return cls(
            example_id=data["example_id"],
            role=data["role"],
            model=data["model"],
            text=data.get("text"),
            error=data.get("error") or "",
            stop_reason=data.get("stop_reason") or "",
            latency_ms=data.get("latency_ms"),
            input_tokens=data.get("input_tokens"),
            output_tokens=data.get("output_tokens"),
            parameters=data.get("parameters") or "",
            repeat=int(data.get("repeat") or 0),
            cache_read_tokens=data.get("cache_read_tokens"),
            cache_write_tokens=data.get("cache_write_tokens"),
        )


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of one answer, from 0 (worst) to 1 (best); None when it could not be had, with the reason."""

    example_id: str
    role: str
    metric: str
    value: float | None
    repeat: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        finite(self.value, f"score {self.metric}")
        if self.value is not None and not 0.0 <= self.value <= 1.0:
            raise EvaluationError(
                f"evaluation: a score of {self.metric} lies outside 0 to 1.",
                hint="Scale it to 0 to 1; where lower is better, return one minus the value.",
            )

    def to_json(self) -> dict[str, Any]:
        return {
            "v": SCHEMA,
            "example_id": self.example_id,
            "role": self.role,
            "metric": self.metric,
            "value": self.value,
            "repeat": self.repeat,
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Score:
        return cls(
            example_id=data["example_id"],
            role=data["role"],
            metric=data["metric"],
            value=data.get("value"),
            repeat=int(data.get("repeat") or 0),
            reason=data.get("reason") or "",
        )


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval: two-sided at `level`, so each end alone holds at `(1 + level) / 2`."""

    low: float
    high: float
    level: float
    method: str

    def __post_init__(self) -> None:
        for name in ("low", "high", "level"):
            finite(getattr(self, name), f"interval {name}")
        if self.low > self.high:
            raise EvaluationError("evaluation: an interval ends before it starts.")

    def to_json(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "level": self.level, "method": self.method}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Interval:
        return cls(float(data["low"]), float(data["high"]), float(data["level"]), data["method"])


@dataclass(frozen=True, slots=True)
class Metric:
    """How one role did on one metric: the mean over items and its interval (None below the least sample).

    `slice` is empty for all items, else `key=value` of the request metadata, or `golden`.
    """

    metric: str
    role: str
    n: int
    mean: float | None
    interval: Interval | None = None
    missing: int = 0
    slice: str = ""

    def __post_init__(self) -> None:
        finite(self.mean, f"mean of {self.metric}")

    def to_json(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "role": self.role,
            "slice": self.slice,
            "n": self.n,
            "mean": self.mean,
            "interval": self.interval.to_json() if self.interval else None,
            "missing": self.missing,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Metric:
        return cls(
            metric=data["metric"],
            role=data["role"],
            n=int(data["n"]),
            mean=data.get("mean"),
            interval=Interval.from_json(data["interval"]) if data.get("interval") else None,
            missing=int(data.get("missing") or 0),
            slice=data.get("slice") or "",
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Student minus another role on one metric, item by item.

    `n` counts the items both have a score for, `missing` those of the slice where one has none. `evidence` holds what
    the intervals are computed from. `interval` is None when `n` is below the scorecard's least sample: too little to say.
    """

    metric: str
    against: str
    n: int
    estimate: float | None
    evidence: intervals.Evidence
    interval: Interval | None = None
    better: int = 0
    worse: int = 0
    missing: int = 0
    slice: str = ""
    role: str = "student"

    def __post_init__(self) -> None:
        finite(self.estimate, f"difference of {self.metric}")

    def p_at_most(self, value: float) -> float:
        """Return the p-value of "the true difference is at most `value`": small means evidence that it is higher."""
        return intervals.p_at_most(self.evidence, value)

    def p_at_least(self, value: float) -> float:
        """Return the p-value of "the true difference is at least `value`": small means evidence that it is lower."""
        return intervals.p_at_least(self.evidence, value)

    def lower(self, alpha: float) -> float:
        """Return the one-sided lower confidence bound at `1 - alpha`."""
        return max(intervals.lower_bound(self.evidence, alpha), -1.0)

    def upper(self, alpha: float) -> float:
        """Return the one-sided upper confidence bound at `1 - alpha`."""
        return min(intervals.upper_bound(self.evidence, alpha), 1.0)

    def items_needed(self, value: float, alpha: float, power: float = 0.8) -> int | None:
        """Return how many items would settle whether the difference exceeds `value`, if it is what it seems now."""
        return intervals.items_needed(self.evidence, value, alpha, power)

    def to_json(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "role": self.role,
            "against": self.against,
            "slice": self.slice,
            "n": self.n,
            "estimate": self.estimate,
            "interval": self.interval.to_json() if self.interval else None,
            "better": self.better,
            "worse": self.worse,
            "missing": self.missing,
            "evidence": self.evidence.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Comparison:
        return cls(
            metric=data["metric"],
            against=data["against"],
            n=int(data["n"]),
            estimate=data.get("estimate"),
            evidence=intervals.Evidence.from_json(data["evidence"]),
            interval=Interval.from_json(data["interval"]) if data.get("interval") else None,
            better=int(data.get("better") or 0),
            worse=int(data.get("worse") or 0),
            missing=int(data.get("missing") or 0),
            slice=data.get("slice") or "",
            role=data.get("role") or "student",
        )


@dataclass(frozen=True, slots=True)
class Regression:
    """One item on which the student did worse than another role; named by digest, never by text."""

    example_id: str
    metric: str
    against: str
    score: float
    against_score: float

    @property
    def difference(self) -> float:
        """Student minus the other; negative."""
        return self.score - self.against_score

    def to_json(self) -> dict[str, Any]:
        return {
            "example_id": self.example_id,
            "metric": self.metric,
            "against": self.against,
            "score": self.score,
            "against_score": self.against_score,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Regression:
        return cls(
            data["example_id"],
            data["metric"],
            data["against"],
            float(data["score"]),
            float(data["against_score"]),
        )


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """What one role's answers cost in time and tokens, beside how often they failed.

    Percentiles are over answers that came. Input tokens are all, the cached ones among them told apart. Token sums are
    None when any answer that came lacks its count, and `usd` is None when a price or a count is unknown: unknown is
    never zero.
    """

    role: str
    model: str
    answers: int
    items: int
    errors: int = 0
    error_codes: Mapping[str, int] = field(default_factory=dict)
    truncated: int = 0
    missing: int = 0
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    usd: float | None = None
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    parameters: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "role": self.role,
            "model": self.model,
            "answers": self.answers,
            "items": self.items,
            "errors": self.errors,
            "error_codes": dict(self.error_codes),
            "truncated": self.truncated,
            "missing": self.missing,
            "latency_p50_ms": self.latency_p50_ms,
            "latency_p95_ms": self.latency_p95_ms,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "usd": self.usd,
            **cached_json(self.cache_read_tokens, self.cache_write_tokens),
            "parameters": list(self.parameters),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelSummary:
        return cls(
            role=data["role"],
            model=data["model"],
            answers=int(data["answers"]),
            items=int(data["items"]),
            errors=int(data.get("errors") or 0),
            error_codes=dict(data.get("error_codes") or {}),
            truncated=int(data.get("truncated") or 0),
            missing=int(data.get("missing") or 0),
            latency_p50_ms=data.get("latency_p50_ms"),
            latency_p95_ms=data.get("latency_p95_ms"),
            input_tokens=data.get("input_tokens"),
            output_tokens=data.get("output_tokens"),
            usd=data.get("usd"),
            cache_read_tokens=int(data.get("cache_read_tokens") or 0),
            cache_write_tokens=int(data.get("cache_write_tokens") or 0),
            parameters=tuple(data.get("parameters") or ()),
        )


@dataclass(frozen=True, slots=True)
class Scorecard:
    """How the student compares, on one held-out set, with everything the decision needs and no text.

    `n` counts distinct prompts; `duplicates` further rows of the same prompt, which add nothing. `references` counts
    the items by what they are scored against. Where that is the teacher's own logged answer, the teacher scores 1 by
    construction on every agreement metric and a margin is about agreement with the teacher; `teacher_source` says so:
    `reference` (the logged answers are the reference), `answers` (the teacher was asked again or labels are the
    reference), `mixed`, or `absent`.
    """

    workload: str
    dataset_id: str
    heldout_sha256: str
    models: Mapping[str, str]
    n: int
    metrics: tuple[Metric, ...]
    comparisons: tuple[Comparison, ...]
    references: Mapping[str, int]
    teacher_source: str
    alpha: float
    min_items: int
    evaluation_id: str = ""
    duplicates: int = 0
    strays: int = 0
    unspoken_slices: int = 0
    regressions: tuple[Regression, ...] = ()
    summaries: tuple[ModelSummary, ...] = ()
    scorers: tuple[Mapping[str, Any], ...] = ()
    answers_sha256: Mapping[str, str] = field(default_factory=dict)
    created_at: str = ""

    def metric(self, metric: str, role: str, slice: str = "") -> Metric | None:  # noqa: A002
        """Return how a role did on a metric, or None when it was not scored."""
        wanted = (metric, role, slice)
        return next((m for m in self.metrics if (m.metric, m.role, m.slice) == wanted), None)

    def comparison(self, metric: str, against: str, slice: str = "") -> Comparison | None:  # noqa: A002
        """Return student against a role on a metric, or None when they were not compared."""
        wanted = (metric, against, slice)
        return next((c for c in self.comparisons if (c.metric, c.against, c.slice) == wanted), None)

    def summary(self, role: str) -> ModelSummary | None:
        """Return a role's errors, latency, tokens and price, or None when it gave no answers."""
        return next((s for s in self.summaries if s.role == role), None)

    @property
    def reference(self) -> str:
        """Say in one word what the items are scored against: `teacher`, `golden`, `mixed` or `none`."""
        kinds = [kind for kind, count in sorted(self.references.items()) if count]
        return kinds[0] if len(kinds) == 1 else "mixed" if kinds else "none"

    def means(self) -> dict[str, dict[str, float | None]]:
        """Return the means over all items by metric and role, as the evaluation receipt carries them."""
        out: dict[str, dict[str, float | None]] = {}
        for m in self.metrics:
            if not m.slice:
                out.setdefault(m.metric, {})[m.role] = m.mean
        return out

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "scorecard",
            "v": SCHEMA,
            "workload": self.workload,
            "evaluation_id": self.evaluation_id,
            "dataset_id": self.dataset_id,
            "heldout_sha256": self.heldout_sha256,
            "models": dict(self.models),
            "n": self.n,
            "duplicates": self.duplicates,
            "strays": self.strays,
            "references": dict(self.references),
            "reference": self.reference,
            "teacher_source": self.teacher_source,
            "alpha": self.alpha,
            "min_items": self.min_items,
            "metrics": [m.to_json() for m in self.metrics],
            "comparisons": [c.to_json() for c in self.comparisons],
            "unspoken_slices": self.unspoken_slices,
            "regressions": [r.to_json() for r in self.regressions],
            "summaries": [s.to_json() for s in self.summaries],
            "scorers": [dict(s) for s in self.scorers],
            "answers_sha256": dict(self.answers_sha256),
            "created_at": self.created_at,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scorecard:
        if data.get("kind") != "scorecard" or data.get("v") != SCHEMA:
            raise EvaluationError("evaluation: this is not a scorecard of a version known here.")
        return cls(
            workload=data["workload"],
            dataset_id=data["dataset_id"],
            heldout_sha256=data["heldout_sha256"],
            models=dict(data["models"]),
            n=int(data["n"]),
            metrics=tuple(Metric.from_json(m) for m in data["metrics"]),
            comparisons=tuple(Comparison.from_json(c) for c in data["comparisons"]),
            references=dict(data["references"]),
            teacher_source=data["teacher_source"],
            alpha=float(data["alpha"]),
            min_items=int(data["min_items"]),
            evaluation_id=data.get("evaluation_id") or "",
            duplicates=int(data.get("duplicates") or 0),
            strays=int(data.get("strays") or 0),
            unspoken_slices=int(data.get("unspoken_slices") or 0),
            regressions=tuple(Regression.from_json(r) for r in data.get("regressions") or ()),
            summaries=tuple(ModelSummary.from_json(s) for s in data.get("summaries") or ()),
            scorers=tuple(dict(s) for s in data.get("scorers") or ()),
            answers_sha256=dict(data.get("answers_sha256") or {}),
            created_at=data.get("created_at") or "",
        )
