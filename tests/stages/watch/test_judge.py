"""From looks to outcomes: once for a release, and only what the rules allow."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest

from airflow_distill.stages.logs.records import Interaction, Turn
from airflow_distill.stages.watch.health import Counts, count_day, signs
from airflow_distill.stages.watch.records import Look, WatchRules, judge

GOOD, BAD = {1.0: 95, 0.0: 5}, {1.0: 60, 0.0: 40}
WELL = Counts(calls=100, seen=100, p95_ms=400, answer_length=8)


def a_look(day: int, scores: dict[float, int] | None = None, **more: Any) -> Look:
    at = (date(2026, 11, 1) + timedelta(days=day)).isoformat()
    return Look("w", 1, at, more.pop("counts", WELL), scores if scores is not None else GOOD, **more)


def outcomes(days: list[Look], rules: WatchRules) -> list[str]:
    """Judge day after day, as the task does."""
    from dataclasses import replace

    done: list[Look] = []
    for today in days:
        found = judge(done, today, rules, (0.95, 400), [])
        done.append(replace(today, outcome=found.outcome, signs=found.signs, evidence=found.evidence))
    return [look.outcome for look in done]


def test_a_well_student_is_fine_every_day() -> None:
    assert set(outcomes([a_look(n) for n in range(30)], WatchRules())) == {"fine"}


def test_a_fall_retrains_once() -> None:
    told = outcomes([a_look(n, BAD if n > 20 else GOOD) for n in range(40)], WatchRules())
    assert told.count("retrain") == 1
    assert 21 <= told.index("retrain") <= 24


@pytest.mark.parametrize("policy", ["ask", "automatic"])
def test_a_fall_rolls_back_where_that_is_allowed(policy: str) -> None:
    told = outcomes([a_look(n, BAD if n > 20 else GOOD) for n in range(40)], WatchRules(roll_back=policy))
    assert told.count("roll-back") == 1
    assert "retrain" not in told


def test_nothing_is_done_where_nothing_is_allowed_but_it_is_said() -> None:
    looks = [a_look(n, BAD) for n in range(10)]
    found = judge(looks[:-1], looks[-1], WatchRules(retrain=False), (0.95, 400), [])
    assert found.outcome == "fine"
    assert [sign.code for sign in found.signs] == ["quality"]


def test_a_gap_in_the_looks_is_no_fall() -> None:
    assert set(outcomes([a_look(n) for n in (0, 1, 2, 20, 40, 41)], WatchRules())) == {"fine"}


def test_prompts_that_drift_three_days_in_a_row_retrain() -> None:
    drifting = [a_look(n, drift={"length": 0.1 if n < 5 else 0.6}) for n in range(10)]
    assert outcomes(drifting, WatchRules())[:8] == ["fine"] * 7 + ["retrain"]
    apart = [a_look(n, drift={"length" if n % 2 else "metadata.app": 0.6}) for n in range(10)]
    assert set(outcomes(apart, WatchRules())) == {"fine"}


def test_a_look_survives_its_own_record() -> None:
    look = a_look(3, drift={"length": 0.25}, asked=9, usd=0.01, outcome="retrain")
    assert Look.from_json(json.loads(json.dumps(look.to_json()))) == look


# --- health ---------------------------------------------------------------------------------------------------------


def interaction(number: int, **more: Any) -> Interaction:
    given = {
        "request_id": str(number),
        "timestamp": "2026-11-01T00:00:00Z",
        "operation": "Converse",
        "model_id": "m",
        "model": "m",
        "turns": (Turn("user", f"secret question {number}"),),
        "answer": ("a", "b")[number % 2],
        "latency_ms": 100 + number,
        "metadata": {"app": "desk"},
    }
    return Interaction(**{**given, **more})


def test_a_day_is_counts_and_no_text() -> None:
    counts = count_day(
        [interaction(n) for n in range(100)],
        130,
        {"failed_call": 10, "other_model": 20},
        refuses=lambda text: text == "b",
        fits=lambda text: text == "a",
        slices=["app"],
    )
    assert (counts.calls, counts.failed, counts.seen) == (110, 10, 100)
    assert (counts.refusals, counts.misshapen) == (50, 50)
    assert counts.slices == {"app=desk": 100}
    assert (counts.p50_ms, counts.p95_ms) == (150, 194)
    assert "secret" not in json.dumps(counts.to_json())


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (Counts(), "no-traffic"),
        (Counts(calls=100, failed=20, seen=80, p95_ms=400, answer_length=8), "errors"),
        (Counts(calls=100, seen=100, p95_ms=900, answer_length=8), "latency"),
        (Counts(calls=100, seen=100, p95_ms=400, answer_length=40), "answer-length"),
        (Counts(calls=100, seen=100, p95_ms=400, answer_length=8, refusals=30), "refusals"),
        (Counts(calls=100, seen=100, p95_ms=400, answer_length=8, misshapen=30), "misshapen"),
    ],
)
def test_each_thing_that_is_not_as_it_was_has_its_code(now: Counts, code: str) -> None:
    assert [sign.code for sign in signs(now, WELL)] == [code]


def test_labels_that_move_and_labels_that_are_new_are_told() -> None:
    base = Counts(calls=100, seen=100, labels={"a": 50, "b": 50})
    moved = Counts(calls=100, seen=100, labels={"a": 5, "c": 95})
    assert [sign.code for sign in signs(moved, base)] == ["labels", "new-labels"]
    assert signs(Counts(calls=100, seen=100, labels={"a": 45, "b": 55}), base) == []


def test_a_quiet_day_and_a_first_day_tell_nothing() -> None:
    assert signs(Counts(calls=5, failed=5), WELL) == []
    assert signs(Counts(calls=100, failed=100), None) == []
