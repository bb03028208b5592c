"""How the live student is, in counts: calls, errors, latency, tokens, answer lengths, refusals, labels. No text is kept.

Takes what the reader of logs has kept and counted of the student's own calls; hands on `Counts`, and what of a day differs
from the first day that was busy enough after the release.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from airflow_distill.stages.digest import canonical_text, digest
from airflow_distill.stages.logs.records import Interaction

BUSY = 50
"""Calls below which a day is neither a base nor judged."""

FAILED = ("failed_call",)
FOREIGN = ("other_traffic", "other_model", "unresolved_profile", "other_operation", "other_metadata", "other_caller",
            "other_system", "outside_window", "own_call", "blank", "not_json", "not_utf8", "not_a_record")  # fmt: skip
"""Skip reasons of lines that are not calls of the student by its callers."""
LABEL_LENGTH = 64
MOST_LABELS = 200


@dataclass(frozen=True, slots=True)
class Counts:
    """One day of the student's calls.

    :param calls: of the student, failed ones too; `seen` of them were read with text and are what the rest is about.
    :param labels: digest of an answer -> how often, when answers are labels.
    :param slices: `key=value` -> how many of the calls seen.
    """

    calls: int = 0
    failed: int = 0
    seen: int = 0
    p50_ms: int = 0
    p95_ms: int = 0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    answer_length: int = 0
    refusals: int = 0
    misshapen: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    slices: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        return told | {"labels": dict(self.labels), "slices": dict(self.slices)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Counts:
        return cls(**{f.name: data[f.name] for f in fields(cls) if f.name in data})


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that is not as it was: a code, and a sentence with figures."""

    code: str
    said: str

    def to_json(self) -> dict[str, str]:
        return {"code": self.code, "said": self.said}


def count_day(
    interactions: Iterable[Interaction],
    lines: int,
    skipped: Mapping[str, int],
    *,
    refuses: Callable[[str], bool],
    fits: Callable[[str], bool] | None = None,
    slices: Iterable[str] = (),
) -> Counts:
    """Return the counts of a day.

    :param lines: log lines read; `skipped` as the harvest counts them.
    :param refuses: says whether an answer is a refusal; `fits`, whether it has the form that is wanted.
    :param slices: keys of request metadata to count by value.
    """
    seen = list(interactions)
    keys = tuple(slices)
    slow = sorted(item.latency_ms for item in seen if item.latency_ms is not None)
    return Counts(
        calls=lines - sum(skipped.get(reason, 0) for reason in FOREIGN),
        failed=sum(skipped.get(reason, 0) for reason in FAILED),
        seen=len(seen),
        p50_ms=_quantile(slow, 0.5),
        p95_ms=_quantile(slow, 0.95),
        input_tokens=_mean(item.input_tokens for item in seen),
        output_tokens=_mean(item.output_tokens for item in seen),
        answer_length=_quantile(sorted(len(item.answer) for item in seen), 0.5),
        refusals=sum(refuses(item.answer) for item in seen),
        misshapen=sum(not fits(item.answer) for item in seen) if fits else 0,
        labels=_labels(item.answer for item in seen),
        slices=dict(
            sorted(
                Counter(
                    f"{k}={dict(i.metadata)[k]}" for i in seen for k in keys if k in dict(i.metadata)
                ).items()
            )
        ),
    )


def signs(now: Counts, base: Counts | None) -> list[Sign]:
    """Return what is not as it was on the base day; a day with few calls tells nothing but its silence."""
    if base is None:
        return []
    if not now.calls:
        return [Sign("no-traffic", f"no call of the student was logged; the base day had {base.calls}")]
    found = [
        _share("errors", now.failed, now.calls, base.failed, base.calls, 0.02),
        _share("refusals", now.refusals, now.seen, base.refusals, base.seen, 0.05),
        _share("misshapen", now.misshapen, now.seen, base.misshapen, base.seen, 0.05),
    ]
    if now.seen >= BUSY:
        if now.p95_ms > max(1.5 * base.p95_ms, base.p95_ms + 200):
            found.append(
                Sign(
                    "latency",
                    f"the 95th percentile is {now.p95_ms} ms, {base.p95_ms} ms on the base day",
                )
            )
        long, was = now.answer_length, base.answer_length
        if was and not 0.5 <= long / was <= 2:
            found.append(
                Sign("answer-length", f"the median answer has {long} characters, {was} on the base day")
            )
        apart = label_distance(now, base)
        if apart > 0.3:
            found.append(
                Sign("labels", f"{apart:.0%} of the answers moved to other labels since the base day")
            )
        fresh = set(now.labels) - set(base.labels) if base.labels else set()
        many = sum(now.labels[label] for label in fresh)
        if many > 0.1 * now.seen:
            found.append(
                Sign("new-labels", f"{many} of {now.seen} answers have labels that the base day did not have")
            )
    return [sign for sign in found if sign is not None]


def label_distance(one: Counts, other: Counts) -> float:
    """Return how far two days' shares of labels are apart, 0 to 1; 0 where answers are no labels."""
    left, right = sum(one.labels.values()), sum(other.labels.values())
    if not left or not right:
        return 0.0
    keys = set(one.labels) | set(other.labels)
    return sum(abs(one.labels.get(k, 0) / left - other.labels.get(k, 0) / right) for k in keys) / 2


def _share(code: str, bad: int, of: int, was_bad: int, was_of: int, slack: float) -> Sign | None:
    """Tell a share that has risen by more than the slack and more than chance (three standard errors)."""
    if of < BUSY:
        return None
    was = was_bad / was_of if was_of else 0.0
    error = 3 * (max(was, 0.01) * (1 - was) * (1 / of + 1 / max(was_of, 1))) ** 0.5
    if bad / of <= was + max(slack, error):
        return None
    return Sign(code, f"{code}: {bad} of {of} ({bad / of:.1%}), {was:.1%} on the base day")


def _quantile(ordered: list[int], share: float) -> int:
    return ordered[round(share * (len(ordered) - 1))] if ordered else 0


def _mean(values: Iterable[int | None]) -> float:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 2) if known else 0.0


def _labels(answers: Iterable[str]) -> dict[str, int]:
    texts = [canonical_text(answer) for answer in answers]
    if not texts or max(map(len, texts)) > LABEL_LENGTH:
        return {}
    counts = Counter(digest(text, 12) for text in texts)
    return dict(sorted(counts.items())) if len(counts) <= min(MOST_LABELS, max(2, len(texts) // 3)) else {}
