"""Settings as people and templates write them become records; what does not fit is refused with its name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.deployment.records import BakeSettings, ProbeSettings, Traffic
from airflow_distill.stages.deployment.settings import (
    bake_settings,
    canary_settings,
    host_wish,
    probe_settings,
)
from airflow_distill.stages.deployment.times import iso_or_none, moment_of
from airflow_distill.stages.deployment.values import flag, number, whole


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("auto", "auto"),
        ("pt", "provisioned-throughput"),
        ("provisioned", "provisioned-throughput"),
        ("cmd", "custom-model-deployment"),
        ("on-demand", "custom-model-deployment"),
        ("custom-model-deployment", "custom-model-deployment"),
    ],
)
def test_short_words_name_the_kinds_of_hosts(word: str, kind: str) -> None:
    assert host_wish(kind=word).kind == kind


@pytest.mark.parametrize("word", ["serverless", "", "Provisioned", "batch"])
def test_another_kind_of_host_is_refused_with_those_that_there_are(word: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a host kind") as caught:
        host_wish(kind=word)
    assert "provisioned-throughput" in caught.value.hint


def test_a_wish_in_rendered_text_is_the_same_as_in_values() -> None:
    written = host_wish(
        kind="pt",
        units="2",
        hourly_price="18.4",
        ends_at="2026-12-01T00:00:00Z",
        daily_price_cap="1000",
        accept_commitment="True",
        commitment="OneMonth",
    )
    meant = host_wish(
        kind="provisioned-throughput",
        units=2,
        hourly_price=18.4,
        ends_at=datetime(2026, 12, 1, tzinfo=UTC),
        daily_price_cap=1000,
        accept_commitment=True,
        commitment="OneMonth",
    )
    assert written == meant


@pytest.mark.parametrize("nothing", [None, "", "None"])
def test_nothing_in_text_is_nothing(nothing: Any) -> None:
    wish = host_wish(units=nothing, hourly_price=nothing, daily_price_cap=nothing, commitment=None)
    assert (wish.units, wish.hourly_price, wish.daily_price_cap, wish.commitment) == (
        None,
        None,
        None,
        "none",
    )


@pytest.mark.parametrize(
    ("read", "written", "traffic"), [(1, 2, Traffic(1, 2)), (1, None, None), (None, 2, None)]
)
def test_a_forecast_needs_tokens_read_and_written(read: Any, written: Any, traffic: Traffic | None) -> None:
    assert host_wish(input_tokens_per_day=read, output_tokens_per_day=written).traffic == traffic


@pytest.mark.parametrize("name", ["hourly_price", "daily_price_cap", "units", "input_tokens_per_day"])
@pytest.mark.parametrize("wrong", ["many", "1,5", [1], {"usd": 1}])
def test_a_number_that_is_none_is_refused_by_its_name(name: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        host_wish(**{name: wrong})


def test_an_end_that_is_no_time_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is not a time"):
        host_wish(ends_at="in a week")


@pytest.mark.parametrize("off", [None, {"prompts": 0}, {"prompts": "0"}])
def test_a_smoke_test_may_be_turned_off(off: Any) -> None:
    assert probe_settings(off) is None


def test_what_a_smoke_test_does_not_say_is_the_default() -> None:
    assert probe_settings({}) == ProbeSettings()
    given = probe_settings({"prompts": "7", "min_score": "0.9"})
    assert given is not None
    assert (given.prompts, given.min_score, given.max_tokens) == (7, 0.9, ProbeSettings().max_tokens)


def test_a_limit_of_zero_is_a_limit_and_not_the_default() -> None:
    found = probe_settings({"max_error_rate": 0, "min_score": 0})
    assert found is not None
    assert (found.max_error_rate, found.min_score) == (0, 0)


@pytest.mark.parametrize("wrong", ["promts", "probes", "every_seconds", "minimum"])
def test_a_word_that_is_no_setting_of_a_smoke_test_is_refused_with_the_known_ones(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{wrong!r} is not a setting") as caught:
        probe_settings({wrong: 1})
    assert "prompts" in caught.value.hint


@pytest.mark.parametrize("off", [None, {"probes": 0}, {"probes": "0"}, {"prompts": 0}])
def test_a_bake_period_may_be_turned_off(off: Any) -> None:
    assert bake_settings(off) is None


def test_a_bake_period_takes_its_own_words_and_those_of_a_probe() -> None:
    found = bake_settings({"probes": "6", "every_seconds": "60", "prompts": 3, "min_score": 0.8})
    assert found is not None
    assert (found.probes, found.every_seconds, found.limits.prompts, found.limits.min_score) == (
        6,
        60.0,
        3,
        0.8,
    )
    assert bake_settings({}) == BakeSettings(probes=3, every_seconds=300.0, limits=BakeSettings().limits)


def test_a_pause_of_zero_between_probes_is_kept() -> None:
    found = bake_settings({"every_seconds": 0})
    assert found is not None
    assert found.every_seconds == 0


# Values and times.


@pytest.mark.parametrize(("text", "value"), [("1", 1.0), ("0.5", 0.5), (2, 2.0), (None, None), ("", None)])
def test_numbers_are_read_from_text(text: Any, value: float | None) -> None:
    assert number(text, "n") == value


@pytest.mark.parametrize("wrong", ["1.5", 1.5, "one"])
def test_a_count_is_whole(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        whole(wrong, "count")


@pytest.mark.parametrize(
    ("told", "meant"),
    [("False", False), ("true", True), (None, False), ("", False), (True, True), ("no", False)],
)
def test_a_yes_or_no_is_read_from_text_and_false_is_false(told: Any, meant: bool) -> None:
    assert flag(told) is meant


@pytest.mark.parametrize(
    "told",
    [
        "2026-11-23T10:00:00Z",
        "20261123T100000Z",
        "2026-11-23T12:00:00+02:00",
        "2026-11-23T10:00:00",
        datetime(2026, 11, 23, 10),
        datetime(2026, 11, 23, 5, tzinfo=timezone(-timedelta(hours=5))),
    ],
)
def test_every_spelling_of_a_moment_is_that_moment(told: Any) -> None:
    assert moment_of(told) == datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert iso_or_none(told) == "2026-11-23T10:00:00Z"


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_time_is_none(nothing: Any) -> None:
    assert moment_of(nothing) is None
    assert iso_or_none(nothing) is None


@pytest.mark.parametrize("wrong", ["tomorrow", "2026-13-01T00:00:00Z", "12", "0"])
def test_what_is_no_time_is_refused_with_how_to_write_one(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a time") as caught:
        moment_of(wrong)
    assert "2026-11-23T00:00:00Z" in caught.value.hint


@pytest.mark.parametrize("shares", [None, 0.5, "0.5", {"a": 1}])
def test_shares_of_a_canary_are_a_list(shares: Any) -> None:
    with pytest.raises(ConfigurationError, match="are a list"):
        canary_settings({"shares": shares})


def test_fewer_than_no_probes_are_refused_and_none_turn_the_bake_off() -> None:
    with pytest.raises(ConfigurationError, match="probes is -1"):
        bake_settings({"probes": -1})
    with pytest.raises(ConfigurationError, match="prompts is -2"):
        probe_settings({"prompts": -2})
    assert bake_settings({"probes": 0}) is None
