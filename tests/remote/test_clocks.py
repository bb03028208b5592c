"""The worker's clock and the service's are ten minutes apart, either way: no wait ends early, none lasts for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_distill.remote.identity import request_token
from airflow_distill.remote.polling import (
    Look,
    WaitMemory,
    WaitPolicy,
    deadline_after,
    deadline_of_new,
    decide,
    iso,
)
from airflow_distill.remote.records import JobSnapshot

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
APART = timedelta(minutes=10)
BOTH_WAYS = pytest.mark.parametrize("skew", [APART, -APART], ids=["service ahead", "service behind"])


def job(created_at: datetime) -> JobSnapshot:
    return JobSnapshot("customization-job", "arn", "name", "active", "InProgress", created_at=iso(created_at))


@BOTH_WAYS
@pytest.mark.parametrize("timeout", [timedelta(minutes=1), timedelta(minutes=5), timedelta(days=7)])
def test_what_was_just_bought_has_its_whole_time(skew: timedelta, timeout: timedelta) -> None:
    deadline = deadline_of_new(iso(NOW + skew), timeout, NOW)
    assert deadline == NOW + timeout
    outcome, _ = decide(Look(job(NOW + skew)), WaitMemory(), WaitPolicy(deadline), NOW + timeout / 2)
    assert outcome is None
    outcome, _ = decide(Look(job(NOW + skew)), WaitMemory(), WaitPolicy(deadline), NOW + timeout)
    assert outcome is not None
    assert outcome.status == "timeout"


@BOTH_WAYS
def test_a_retry_moves_the_deadline_by_no_more_than_the_clocks_are_apart(skew: timedelta) -> None:
    timeout, created = timedelta(days=7), iso(NOW + skew)
    first = deadline_of_new(created, timeout, NOW)
    assert first is not None
    for minutes in range(0, 7 * 24 * 60, 97):
        again = deadline_after(created, timeout, NOW + timedelta(minutes=minutes))
        assert again is not None
        assert abs(again - first) <= APART


def test_a_job_that_was_bought_long_ago_under_the_same_wish_keeps_its_own_time() -> None:
    created = NOW - timedelta(days=3)
    assert deadline_of_new(iso(created), timedelta(days=7), NOW) == created + timedelta(days=7)


@BOTH_WAYS
def test_work_that_has_ended_counts_as_ended_whatever_the_clocks_say(skew: timedelta) -> None:
    done = JobSnapshot(
        "customization-job",
        "arn",
        "name",
        "succeeded",
        "Completed",
        created_at=iso(NOW),
        ended_at=iso(NOW + skew),
    )
    outcome, _ = decide(Look(done), WaitMemory(), WaitPolicy(NOW - timedelta(hours=1)), NOW + skew)
    assert outcome is not None
    assert outcome.status == "success"


@BOTH_WAYS
def test_trouble_is_timed_by_one_clock_only(skew: timedelta) -> None:
    """A denial lasts for its grace by the watcher's own clock, whatever the service writes into its answers."""
    from airflow_distill.remote.polling import Trouble

    denied, memory = (
        Look(trouble=Trouble("denied", "AccessDenied", "no")),
        WaitMemory(snapshot=job(NOW + skew)),
    )
    outcome, memory = decide(denied, memory, WaitPolicy(), NOW)
    assert outcome is None
    outcome, memory = decide(denied, memory, WaitPolicy(), NOW + timedelta(minutes=29))
    assert outcome is None
    outcome, _ = decide(denied, memory, WaitPolicy(), NOW + timedelta(minutes=30))
    assert outcome is not None


def test_names_and_tokens_know_no_clock() -> None:
    assert request_token("CreateModelCustomizationJob", "w-d1-1") == request_token(
        "CreateModelCustomizationJob", "w-d1-1"
    )
