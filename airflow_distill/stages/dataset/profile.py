"""What a dataset looks like in figures: lengths, metadata, answers; and how far two of them are apart.

Takes examples, hands on plain data for the manifest, the card and the next run's comparison; never any prompt or
answer text. Label-like answers are counted by digest. Standard library only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.digest import canonical_text, digest

MOST_VALUES = 20
MOST_LABELS = 200
LABEL_LENGTH = 64
QUANTILES = (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)


def profile_examples(examples: Sequence[Example]) -> dict[str, Any]:
    """Return the figures of one side of a dataset."""
    return {
        "examples": len(examples),
        "multi_turn": sum(len(example.turns) > 1 for example in examples),
        "with_system": sum(bool(example.system) for example in examples),
        "golden": sum(example.golden for example in examples),
        "prompt_characters": _quantiles(
            sum(len(t.text) for t in e.turns) + len(e.system or "") for e in examples
        ),
        "answer_characters": _quantiles(len(e.answer or "") for e in examples),
        "input_tokens": _sum_known(e.input_tokens for e in examples),
        "output_tokens": _sum_known(e.output_tokens for e in examples),
        **{
            name: count
            for name in ("cache_read_tokens", "cache_write_tokens")
            if (count := _sum_known(getattr(e, name) for e in examples))
        },
        "usage": _usage(examples),
        "length_buckets": dict(sorted(Counter(_bucket(e) for e in examples).items())),
        "metadata": _metadata(examples),
        "labels": _labels(examples),
    }


def distance(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    """Return how far two profiles are apart, by aspect, each from 0 (same) to 1 (nothing shared): total
    variation."""
    out = {"length": _variation(one.get("length_buckets", {}), other.get("length_buckets", {}))}
    if one.get("labels") and other.get("labels"):
        out["labels"] = _variation(one["labels"], other["labels"])
    theirs = other.get("metadata", {})
    for key, values in one.get("metadata", {}).items():
        if key in theirs and values.get("values") and theirs[key].get("values"):
            out[f"metadata.{key}"] = _variation(values["values"], theirs[key]["values"])
    return {name: round(value, 4) for name, value in sorted(out.items())}


def _bucket(example: Example) -> str:
    size = sum(len(turn.text) for turn in example.turns)
    return f"2^{max(size, 1).bit_length():02d}"


def _quantiles(values: Iterable[int]) -> dict[str, int]:
    ordered = sorted(values)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {f"p{round(q * 100)}": ordered[round(q * last)] for q in QUANTILES}


def _sum_known(values: Iterable[int | None]) -> int:
    return sum(value for value in values if value is not None)


def _usage(examples: Sequence[Example]) -> dict[str, Any]:
    """Return how many tokens of each kind the logged calls used: count, sums, and sums of products.

    Kinds are fresh input, input read from a cache, input written to one, output. Any price's mean and error over the calls
    follows from these (`stages/money/savings.CallMoments`).
    """
    rows = [
        (max(0, e.input_tokens - read - write), read, write, e.output_tokens)
        for e in examples
        if e.input_tokens is not None and e.output_tokens is not None and not e.golden
        for read, write in [(e.cache_read_tokens or 0, e.cache_write_tokens or 0)]
    ]
    return {
        "n": len(rows),
        "sums": [sum(row[i] for row in rows) for i in range(4)],
        "products": [sum(row[i] * row[j] for row in rows) for i in range(4) for j in range(4)],
    }


def _metadata(examples: Sequence[Example]) -> dict[str, Any]:
    """The commonest values of each key; a key whose values are mostly unique names requests, so only its count is
    kept."""
    counts: dict[str, Counter[str]] = {}
    for example in examples:
        for key, value in example.metadata:
            counts.setdefault(key, Counter())[value] += 1
    out: dict[str, Any] = {}
    for key in sorted(counts):
        entry: dict[str, Any] = {"examples": counts[key].total(), "distinct": len(counts[key])}
        if len(counts[key]) <= max(MOST_VALUES, counts[key].total() // 10):
            ordered = sorted(counts[key].items(), key=lambda item: (-item[1], item[0]))
            entry["values"] = dict(ordered[:MOST_VALUES])
        out[key] = entry
    return out


def _labels(examples: Sequence[Example]) -> dict[str, int]:
    """Counts of label digests when the answers are labels: short, and far fewer than examples."""
    answers = [canonical_text(example.answer or "") for example in examples]
    if not answers or max(map(len, answers)) > LABEL_LENGTH:
        return {}
    counts = Counter(digest(answer, 12) for answer in answers)
    if len(counts) > min(MOST_LABELS, max(2, len(answers) // 3)):
        return {}
    return dict(sorted(counts.items()))


def _variation(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    left, right = sum(one.values()), sum(other.values())
    if not left or not right:
        return float(left != right)
    keys = set(one) | set(other)
    return sum(abs(one.get(key, 0) / left - other.get(key, 0) / right) for key in keys) / 2
