"""Fresh logs are counted exactly by reading, and the listing says when reading again is worth it."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_distill.stages.logs.fresh import Fresh, Listed, bytes_worth_reading, count_fresh, look_at_listing
from airflow_distill.stages.logs.selection import Selection
from tests.stages.logs.log_records import MODEL, key_of, record, store_of

SINCE = "2026-11-20T10:30:00Z"
NOW = datetime(2026, 11, 20, 12, 5, tzinfo=UTC)
STORE = store_of(
    {
        key_of("2026/11/20", 9): [record("too early")],
        key_of("2026/11/20", 10): [
            record("old", timestamp="2026-11-20T10:10:00Z"),
            record("one", timestamp="2026-11-20T10:40:00Z"),
        ],
        key_of("2026/11/20", 12): [
            record("two", timestamp="2026-11-20T12:01:00Z"),
            record("two", timestamp="2026-11-20T12:02:00Z"),
            record("", timestamp="2026-11-20T12:02:00Z"),
        ],
        key_of("2026/11/20", 13): [record("not yet", timestamp="2026-11-20T13:00:00Z")],
    }
)


def test_distinct_usable_prompts_since_a_moment_are_counted() -> None:
    fresh = count_fresh(STORE, "s3://logs/p", Selection(model=MODEL), SINCE, NOW, 10)
    assert (fresh.usable, fresh.lines, fresh.listed.objects) == (2, 5, 2)
    assert (fresh.since, fresh.until) == (SINCE, "2026-11-20T12:05:00Z")
    assert fresh.listed == look_at_listing(STORE, "s3://logs/p", SINCE, NOW)


def test_counting_stops_at_what_is_asked_for() -> None:
    assert count_fresh(STORE, "s3://logs/p", Selection(model=MODEL), SINCE, NOW, 1).usable == 1


def test_nothing_is_fresh_before_the_moment_has_come() -> None:
    later = "2026-11-21T00:00:00Z"
    assert count_fresh(STORE, "s3://logs/p", Selection(), later, NOW, 1).usable == 0
    assert look_at_listing(STORE, "s3://logs/p", later, NOW) == Listed(0, 0)


def test_the_next_reading_is_worth_it_a_little_before_the_estimate() -> None:
    def fresh(usable: int) -> Fresh:
        return Fresh(SINCE, SINCE, usable, 1000, Listed(4, 1000))

    assert bytes_worth_reading(fresh(0), 100) == 1001
    assert bytes_worth_reading(fresh(50), 100) == 1800
    assert bytes_worth_reading(fresh(99), 100) == 1008
    assert bytes_worth_reading(fresh(100), 100) == 1001
