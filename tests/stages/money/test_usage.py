"""What a run uses is counted once, bounded before it is known, and never read as nothing."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from airflow_distill.errors import StateError
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.money.records import Tokens, Usage
from airflow_distill.stages.money.runs import iter_runs, open_steps, statement_of
from airflow_distill.stages.money.spend import Spend
from airflow_distill.stages.money.statement import stage_of, statement
from airflow_distill.stages.money.usage import (
    CANDIDATE,
    EVALUATION,
    JOB,
    CallMeter,
    Metered,
    RunUsage,
    actual,
    at_risk,
)
from airflow_distill.stages.storage import MemoryStore

ROOT, NOW = "s3://bucket/loop", datetime(2026, 11, 30, tzinfo=UTC)
MODEL = "amazon.nova-micro-v1:0"
TABLE = PriceTable.load()


def usage(store: MemoryStore) -> RunUsage:
    return RunUsage(store, ROOT, "w", "d1")


def meter(book: RunUsage, key: str, at_once: int = 3) -> CallMeter:
    begun = Metered(EVALUATION, key, what="student", model=MODEL, kind="inference", run="r")
    return CallMeter(book, begun, Tokens(100, 10), at_once=at_once)


def test_each_attempt_counts_its_own_calls_and_a_retry_nothing_twice() -> None:
    book = usage(MemoryStore())
    for key, calls in (("r/1", 5), ("r/2", 2)):
        attempt = meter(book, key)
        for _ in range(calls):
            attempt.ask()
            attempt.answered(Tokens(40, 4, 10))
        attempt.close()
        attempt.close()
    found = book.read()
    assert [record.calls for record in found] == [5, 2]
    assert sum((record.tokens for record in found), Tokens()) == Tokens(280, 28, 70)
    assert at_risk(TABLE, found).total_usd == 0


def test_a_job_is_written_under_its_arn_however_often_it_is_looked_at() -> None:
    book = usage(MemoryStore())
    for _ in range(3):
        book.write(Metered(JOB, "arn:job", more=(Usage(JOB, "training", MODEL, 1_000_000),), how="derived"))
    assert actual(TABLE, book.read()).total_usd == 1


def test_what_a_killed_attempt_did_not_live_to_write_is_bounded() -> None:
    """It died with one call answered and not written, and one on its way."""
    book = usage(MemoryStore())
    attempt = meter(book, "r/1")
    attempt.ask()
    attempt.answered(Tokens(100, 10))
    attempt.ask()
    (record,) = book.read()
    assert record.calls == 0
    assert record.at_risk == Tokens(300, 30)


def test_calls_that_never_came_back_stay_at_risk() -> None:
    book = usage(MemoryStore())
    attempt = meter(book, "r/1")
    attempt.ask()
    attempt.ask()
    attempt.answered(None)
    assert attempt.close().at_risk == Tokens(100, 10)


def test_an_attempt_that_asked_nothing_leaves_nothing() -> None:
    book = usage(MemoryStore())
    meter(book, "r/1").close()
    assert book.read() == []


def test_threads_count_together() -> None:
    book = usage(MemoryStore())
    attempt = meter(book, "r/1", at_once=4)

    def work() -> None:
        for _ in range(25):
            attempt.ask()
            attempt.answered(Tokens(1, 1))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert attempt.close().calls == 200
    assert book.read()[0].tokens == Tokens(200, 200)


@pytest.mark.parametrize("broken", [b"{", b"[]", b"{}", b'{"kind": "metered", "stage": "party", "key": "k"}'])
def test_a_record_that_cannot_be_read_is_not_taken_for_nothing(broken: bytes) -> None:
    store = MemoryStore()
    store.write(f"{ROOT}/w/spend/runs/d1/evaluation-x.json", broken)
    with pytest.raises(StateError, match="evaluation-x"):
        usage(store).read()


def test_a_record_survives_its_json() -> None:
    record = Metered(
        CANDIDATE,
        "arn:host",
        what="c",
        model=MODEL,
        calls=3,
        tokens=Tokens(1, 2, 3, 4),
        more=(Usage(CANDIDATE, "provisioned-throughput", MODEL, 1.5, Decimal("15.25")),),
        run="r",
        at="2026-11-30T00:00:00Z",
    )
    assert Metered.from_json(record.to_json()) == record


def test_a_statement_tells_estimate_actual_and_what_is_open() -> None:
    records = [Metered(JOB, "a", more=(Usage(JOB, "training", MODEL, 2_000_000),), how="derived")]
    told = statement(
        TABLE,
        records,
        estimate={JOB: {"usd": 3.0, "most_usd": 9.0}, EVALUATION: {"usd": 0.1, "most_usd": 0.5}},
        held={"job": Decimal(2), "evaluation@d/r": Decimal("0.5")},
        settled=["job"],
    )
    job, evaluation = told.rows
    assert (job.actual_usd, job.open_usd, job.how) == (2, 0, "derived")
    assert (evaluation.actual_usd, evaluation.open_usd, evaluation.how) == (None, Decimal("0.5"), "open")
    assert told.actual_usd == 2
    assert told.open_usd == Decimal("0.5")


def test_an_unknown_price_leaves_the_sum_unknown_and_is_named() -> None:
    records = [Metered(EVALUATION, "a", model="x.y-v1:0", kind="inference", tokens=Tokens(5))]
    told = statement(TABLE, records)
    assert told.actual_usd is None
    assert told.unpriced == ("inference-input of x.y-v1:0",)


@pytest.mark.parametrize(
    ("key", "stage"),
    [("job", "job"), ("job 2", "job"), ("candidate host@d/r", "candidate host"), ("judge name-1", "judge")],
)
def test_a_claims_key_tells_its_stage(key: str, stage: str) -> None:
    assert stage_of(key) == stage


def test_claims_that_are_not_settled_are_open_and_belong_to_the_exposure() -> None:
    store = MemoryStore()
    spend = Spend(store, ROOT, "w", "202611")
    spend.claim("d1", 5, None, parts={"job": 4, "evaluation@d/r": 1})
    assert [(line.name, line.once_usd) for line in open_steps(store, ROOT, "w", TABLE, now=NOW)] == [
        ("job of d1", 4),
        ("evaluation of d1", 1),
    ]
    usage(store).write(Metered(JOB, "arn:job", more=(Usage(JOB, "training", MODEL, 2_500_000),)))
    assert spend.settle("d1", "job", 2.5)
    assert [line.name for line in open_steps(store, ROOT, "w", TABLE, now=NOW)] == ["evaluation of d1"]
    assert statement_of(store, ROOT, "w", "d1", TABLE, now=NOW).actual_usd == Decimal("2.5")
    assert list(iter_runs(store, ROOT, "w")) == ["d1"]


def test_what_a_step_came_to_makes_room_for_the_next_run_and_revives_no_refusal() -> None:
    spend = Spend(MemoryStore(), ROOT, "w", "202611")
    assert spend.claim("d1", 60, 100, parts={"job": 60}) == (True, 0)
    assert spend.claim("d2", 60, 100, parts={"job": 60}) == (False, 60)
    assert spend.settle("d1", "job", 10)
    assert spend.book().usd == 10, "the refused claim of d2 stays refused"
    assert spend.claim("d2", 60, 100, parts={"job": 60}) == (True, 10)
    assert spend.book().usd == 70


def test_all_steps_of_a_run_share_its_cap() -> None:
    spend = Spend(MemoryStore(), ROOT, "w", "202611")
    assert spend.claim("d1", 8, None, parts={"job": 8}, run_cap=10)[0]
    assert not spend.claim("d1", 3, None, parts={"judge": 3}, run_cap=10)[0]
    assert spend.claim("d1", 2, None, parts={"judge": 2}, run_cap=10)[0]
    assert spend.claim("d1", 2, None, parts={"judge": 2}, run_cap=10)[0], "what is held needs no other claim"
    assert not spend.claim("d2", 1, None, parts={"job": 1}, run_cap=10, before=9.5)[0]
    assert not spend.settle("d1", "release", 0), "nothing was claimed for it"
