"""Twins of a released student over 90 days: what the sequential test says of those that fell and of those that did not."""

from __future__ import annotations

import random

from airflow_distill.stages.watch.sequential import Day, fell_at

AT_RELEASE, PROMPTS, DAYS = 0.95, 400, 90


def twin(seed: int, fall: float = 0.0, on: int = DAYS, calls: int = 200) -> int | None:
    """Return the day of the alarm of one simulated student, None for none.

    Its agreement with the teacher is 0.95, measured at the release on 400 prompts; from day `on` it is lower by `fall`.
    """
    rng = random.Random(seed)
    measured = _right(rng, PROMPTS, AT_RELEASE) / PROMPTS
    days: list[Day] = []
    for day in range(DAYS):
        right = _right(rng, calls, AT_RELEASE - (fall if day >= on else 0.0))
        days.append({1.0: right, 0.0: calls - right})
    return fell_at(days, (measured, PROMPTS), 0.05)


def _right(rng: random.Random, n: int, p: float) -> int:
    return (
        rng.binomialvariate(n, p)
        if hasattr(rng, "binomialvariate")
        else sum(rng.random() < p for _ in range(n))
    )
