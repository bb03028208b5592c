"""What text stands for, kind by kind: read once at one place, or refused with one sentence."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.arguments import (
    READERS,
    as_choice,
    as_flag,
    as_list,
    as_mapping,
    as_number,
    as_span,
    as_text,
    as_whole,
    is_nothing,
    plain,
    read_span,
)

HOURS = timedelta(hours=1)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (True, True), (False, False), ("False", False), ("True", True), (" false ", False), ("no", False),
        ("off", False), ("0", False), (0, False), (1, True), ("YES", True), ("on", True), ("1", True),
    ],
)  # fmt: skip
def test_words_of_no_are_no_in_any_spelling(value: Any, read: bool) -> None:
    assert as_flag(value, "wait") is read


@pytest.mark.parametrize("value", ["maybe", "", "None", None, 2, 0.5, [], "{{ params.wait }}", "true false"])
def test_what_is_neither_yes_nor_no_is_refused_by_name(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="argument wait is") as refused:
        as_flag(value, "wait")
    assert "true or false" in str(refused.value)


@pytest.mark.parametrize(
    ("value", "span"),
    [
        (HOURS, HOURS), (3600, HOURS), (3600.0, HOURS), ("3600", HOURS), ("1h", HOURS), ("60m", HOURS),
        ("1:00:00", HOURS), ("8 days, 0:00:00", timedelta(days=8)), ("1 day, 2:03:04.5", timedelta(1, 7384.5)),
        ("PT1H", HOURS), ("P1DT2H", timedelta(hours=26)), ("1d12h", timedelta(hours=36)), ("2w", timedelta(14)),
        ("90s", timedelta(seconds=90)), (0, timedelta(0)),
    ],
)  # fmt: skip
def test_a_duration_is_seconds_or_says_its_unit(value: Any, span: timedelta) -> None:
    assert as_span(value, "wait_timeout") == span


@pytest.mark.parametrize(
    "value",
    ["soon", "", "1 hour", "h", "P", "PT", -1, "-5", "inf", float("nan"), True, None, [], 10**12, "1e400"],
)
def test_what_is_no_duration_is_refused_with_the_forms_that_are(value: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        as_span(value, "wait_timeout")
    assert "wait_timeout" in str(refused.value)
    assert "3600" in refused.value.hint


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3650)))
def test_what_a_duration_prints_as_reads_back_as_the_same(span: timedelta) -> None:
    assert as_span(str(span), "x") == span


@given(st.integers(0, 10), st.integers(0, 99), st.integers(0, 99))
def test_units_add_up(weeks: int, hours: int, minutes: int) -> None:
    assert read_span(f"{weeks}w{hours}h{minutes}m") == timedelta(weeks=weeks, hours=hours, minutes=minutes)


@pytest.mark.parametrize(
    ("value", "number"), [(3, 3), ("3", 3), (3.0, 3), ("3.0", 3), (" 7 ", 7), ("-1", -1)]
)
def test_whole_numbers_are_read_from_text(value: Any, number: int) -> None:
    assert as_whole(value, "n") == number
    assert isinstance(as_whole(value, "n"), int)


@pytest.mark.parametrize("value", ["3.5", 3.5, "", "three", True, None, "nan", float("inf"), {}])
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="argument n is"):
        as_whole(value, "n")


def test_a_big_whole_number_loses_no_digit() -> None:
    assert as_whole("9007199254740993", "n") == 9007199254740993


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", True, "", None, "1,5", "ten"])
def test_a_number_is_finite(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="not a number"):
        as_number(value, "n")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("Converse", ["Converse"]), ('["a", "b"]', ["a", "b"]), ("['a', 'b']", ["a", "b"]), ("('a',)", ["a"]),
        (("a", "b"), ["a", "b"]), ([], []), ("a, b", ["a, b"]),
    ],
)  # fmt: skip
def test_a_plain_text_is_a_list_of_one(value: Any, read: list[str]) -> None:
    assert as_list(value, "operations") == read


@pytest.mark.parametrize("value", [{"a": 1}, 5, None, '["a", '])
def test_what_is_no_list_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="not a list"):
        as_list(value, "operations")


@pytest.mark.parametrize(
    ("value", "read"),
    [({"a": 1}, {"a": 1}), ('{"a": null}', {"a": None}), ("{'a': None}", {"a": None}), ("{}", {})],
)
def test_a_mapping_is_read_as_json_or_as_python_prints_it(value: Any, read: dict[str, Any]) -> None:
    assert as_mapping(value, "tags") == read


@pytest.mark.parametrize("value", ["a=b", "[1]", 3, None, "{1, 2}", "{'a': __import__('os')}"])
def test_what_is_no_mapping_is_refused_and_never_run(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="not a mapping"):
        as_mapping(value, "tags")


@pytest.mark.parametrize("value", ["Stop", "stop ", "cancel", "abort", "", None, True])
def test_a_choice_takes_its_words_and_nothing_else(value: Any) -> None:
    assert as_choice("stop", "on_deadline", ("leave", "stop")) == "stop"
    with pytest.raises(ConfigurationError, match="not leave or stop"):
        as_choice(value, "on_deadline", ("leave", "stop"))


@pytest.mark.parametrize(("value", "text"), [(42, "42"), ("42", "42"), ("007", "007"), (True, "True")])
def test_what_native_rendering_makes_of_text_is_text_again(value: Any, text: str) -> None:
    assert as_text(value, "salt") == text


def test_a_long_value_is_told_by_its_beginning_only() -> None:
    with pytest.raises(ConfigurationError) as refused:
        as_mapping("x" * 5_000, "tags")
    assert len(str(refused.value)) < 300


def test_nothing_is_none_or_what_a_template_makes_of_it() -> None:
    assert all(map(is_nothing, (None, "None", "", " ")))
    assert not any(map(is_nothing, (0, False, "0", [], "nothing")))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)
    )
)
def test_a_receipt_printed_into_text_comes_back_as_it_was(value: Any) -> None:
    receipt = {"kind": "job", "value": value}
    assert plain(str(receipt)) == receipt


@pytest.mark.parametrize("text", ["", "{", "[not a list", "plain", "{{ x }}", "[" * 5_000, "{" * 5_000])
def test_text_that_writes_nothing_down_stays_text(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize("kind", sorted(READERS))
@given(
    value=st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.lists(st.text(), max_size=2)
)
def test_any_value_is_read_or_refused_with_our_error_and_reading_twice_changes_nothing(
    kind: str, value: Any
) -> None:
    try:
        once = READERS[kind](value, "x")
    except ConfigurationError:
        return
    assert READERS[kind](once, "x") == once
