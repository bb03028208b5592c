"""Hours without log objects are told, and a prefix under which nothing lies is a mistake whatever the window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.errors import ConfigurationError, ServiceAccessError
from airflow_distill.stages.logs.coverage import coverage, require_logs
from airflow_distill.stages.logs.selection import Window
from airflow_distill.stages.storage import MemoryStore, StoredObject

REGION = "s3://b/logs/AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1"
START = datetime(2026, 11, 16, tzinfo=UTC)
WEEK = Window.parse("2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z")


def log_object(hour: int) -> str:
    return f"{REGION}/{START + timedelta(hours=hour):%Y/%m/%d/%H}/x.json.gz"


def test_one_logged_hour_of_seven_days_is_worth_a_warning() -> None:
    found = coverage([log_object(40)], WEEK)
    assert found is not None
    assert (found.hours, found.logged, found.gap_hours) == (168, 1, 127)
    assert found.gap == ("2026-11-17T17:00:00Z", "2026-11-23T00:00:00Z")
    assert found.worth_telling
    assert "1 of the window's 168 hours" in str(found)


def test_a_window_without_a_gap_has_none() -> None:
    found = coverage(map(log_object, range(168)), WEEK)
    assert found is not None
    assert (found.logged, found.gap, found.worth_telling) == (168, None, False)


def test_nights_without_traffic_are_no_warning_and_a_day_is() -> None:
    by_day = [hour for hour in range(168) if 8 <= hour % 24 < 22]
    found = coverage(map(log_object, by_day), WEEK)
    assert found is not None
    assert not found.worth_telling
    without_thursday = coverage([log_object(hour) for hour in by_day if hour // 24 != 3], WEEK)
    assert without_thursday is not None
    assert without_thursday.worth_telling
    assert without_thursday.gap == ("2026-11-18T22:00:00Z", "2026-11-20T08:00:00Z")


def test_late_objects_after_the_window_do_not_count_for_it() -> None:
    found = coverage([log_object(1), log_object(169)], WEEK)
    assert found is not None
    assert found.logged == 1


def test_objects_outside_the_layout_say_nothing_about_hours() -> None:
    assert coverage(["s3://b/exported/part-1.json.gz"], WEEK) is None
    assert coverage([log_object(1), "s3://b/exported/part-1.json.gz"], WEEK) is None


@given(st.sets(st.integers(0, 167), min_size=1))
def test_the_longest_gap_is_that_of_a_plain_count(hours: set[int]) -> None:
    found = coverage(map(log_object, hours), WEEK)
    runs = "".join("x" if hour in hours else " " for hour in range(168)).split("x")
    assert found is not None
    assert found.gap_hours == max(map(len, runs))
    assert found.logged == len(hours)


@pytest.mark.parametrize("key", [log_object(1), f"{REGION}/amazon-bedrock-logs-permission-check"])
def test_a_prefix_with_any_log_object_or_the_permission_check_is_right(key: str) -> None:
    store = MemoryStore()
    store.write(key, b"x")
    require_logs(store, "s3://b/logs")
    require_logs(store, "s3://b/logs/")


def test_a_wrong_prefix_is_named_with_what_lies_there() -> None:
    store = MemoryStore()
    store.write("s3://b/reports/year.pdf", b"x")
    store.write(log_object(1), b"x")
    for wrong, told in (
        ("s3://b/lgos", "nothing was found"),
        ("s3://b/reports", "1 objects and no log object"),
    ):
        with pytest.raises(ConfigurationError) as refused:
            require_logs(store, wrong)
        assert f"under {wrong}" in refused.value.message
        assert told in refused.value.message
        assert "There are log objects under s3://b/logs." in refused.value.message
        assert "get-model-invocation-logging-configuration" in refused.value.hint


def test_a_bucket_in_which_nothing_was_ever_logged_is_told_by_the_prefix() -> None:
    with pytest.raises(ConfigurationError, match="no log object under s3://b/logs: nothing was found"):
        require_logs(MemoryStore(), "s3://b/logs")


def test_a_bucket_that_may_not_be_listed_proves_nothing_so_the_prefix_is_told() -> None:
    class Narrow(MemoryStore):
        def iter_objects(self, prefix: str) -> Iterator[StoredObject]:
            if prefix == "s3://b/":
                raise ServiceAccessError("no", operation="ListObjectsV2", code="AccessDenied")
            return super().iter_objects(prefix)

    with pytest.raises(ConfigurationError, match="no log object under s3://b/lgos"):
        require_logs(Narrow(), "s3://b/lgos")


def test_a_file_that_is_named_itself_is_there() -> None:
    store = MemoryStore()
    store.write("s3://b/one.jsonl", b"x")
    require_logs(store, "s3://b/one.jsonl")
