"""Pauses grow, stop growing and are spread; a call is made again only where that can heal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.errors import ServiceAccessError, ServiceError, ServiceThrottledError
from airflow_distill.remote.backoff import again, doubled, rung, spread
from airflow_distill.remote.times import iso, iso_text


@given(st.integers(-3, 10_000), st.floats(0.01, 100), st.floats(0.01, 10_000))
def test_a_pause_never_shrinks_and_never_passes_the_longest(
    failures: int, first: float, longest: float
) -> None:
    pause = doubled(first, failures, longest)
    assert min(first, longest) <= pause <= longest
    assert pause <= doubled(first, failures + 1, longest)


def test_a_pause_doubles_with_each_failure() -> None:
    assert [doubled(0.5, failures, 20.0) for failures in range(8)] == [0.5, 1, 2, 4, 8, 16, 20, 20]


@given(st.floats(0, 1, exclude_max=True))
def test_a_pause_is_spread_by_a_fifth_to_both_sides(chance: float) -> None:
    assert 8.0 <= spread(10.0, chance) <= 12.0


def test_after_the_last_rung_the_last_one_counts() -> None:
    assert [rung((1.0, 2.0, 4.0), attempt) for attempt in range(5)] == [1, 2, 4, 4, 4]


class Service:
    """Fails with the given errors one after the other, then answers."""

    def __init__(self, *errors: ServiceError) -> None:
        self.errors = list(errors)
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def throttled() -> ServiceThrottledError:
    return ServiceThrottledError("slow down", code="ThrottlingException", operation="GetIt")


def test_a_call_is_made_again_after_each_pause_until_it_is_answered() -> None:
    slept: list[float] = []
    service = Service(throttled(), throttled())
    assert again(service, (1.0, 4.0, 10.0), slept.append, lambda error: error.retryable) == "answer"
    assert slept == [1.0, 4.0]


def test_the_last_error_is_raised_after_one_call_more_than_there_are_pauses() -> None:
    slept: list[float] = []
    service = Service(*(throttled() for _ in range(9)))
    with pytest.raises(ServiceThrottledError):
        again(service, (1.0, 4.0), slept.append, lambda error: error.retryable)
    assert (service.asked, slept) == (3, [1.0, 4.0])


def test_what_cannot_heal_is_raised_at_once() -> None:
    service = Service(ServiceAccessError("no", code="AccessDeniedException", operation="GetIt"))
    with pytest.raises(ServiceAccessError):
        again(service, (1.0,), pytest.fail, lambda error: error.retryable)
    assert service.asked == 1


def test_a_time_is_written_in_utc_to_the_second_whatever_its_zone() -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    assert iso(datetime(2026, 11, 24, 5, 30, 1, 999_999, tzinfo=there)) == "2026-11-24T00:00:01Z"
    assert iso(datetime(2026, 11, 24)) == iso(datetime(2026, 11, 24, tzinfo=UTC)) == "2026-11-24T00:00:00Z"


def test_what_a_service_gave_as_a_time_is_written_so_too() -> None:
    assert iso_text(datetime(2026, 11, 24, tzinfo=UTC)) == "2026-11-24T00:00:00Z"
    assert iso_text("2026-11-24T00:00:00Z") == "2026-11-24T00:00:00Z"
    assert iso_text(None) == iso_text("") == ""


def test_no_other_module_writes_a_time_by_hand() -> None:
    from pathlib import Path

    package = Path(__file__).parents[2] / "airflow_distill"
    form = 'strftime("%Y-%m-%dT%H:%M:%SZ")'
    rooms = [path for path in package.rglob("*.py") if "sandbox" not in path.parts]
    assert [str(p.relative_to(package)) for p in rooms if form in p.read_text()] == ["remote/times.py"]
