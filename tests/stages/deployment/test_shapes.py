"""The expected shape of an answer: what fits, what does not, and which words are refused when the shape is built."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.deployment.shapes import SCHEMA_WORDS, fits, fold, shape_from

OBJECT = {
    "type": "object",
    "required": ["intent", "score"],
    "properties": {
        "intent": {"enum": ["billing", "refund"]},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 2},
        "code": {"type": ["string", "null"], "pattern": "^[A-Z]+$"},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ({"intent": "billing", "score": 0.5}, True),
        ({"intent": "billing", "score": 1, "tags": ["a", "b"], "code": "AB"}, True),
        ({"intent": "billing", "score": 1, "code": None}, True),
        ({"intent": "sales", "score": 0.5}, False),
        ({"intent": "billing"}, False),
        ({"intent": "billing", "score": 1.5}, False),
        ({"intent": "billing", "score": True}, False),
        ({"intent": "billing", "score": "0.5"}, False),
        ({"intent": "billing", "score": 1, "tags": ["a", "b", "c"]}, False),
        ({"intent": "billing", "score": 1, "tags": [""]}, False),
        ({"intent": "billing", "score": 1, "code": "ab"}, False),
        ({"intent": "billing", "score": 1, "more": 1}, False),
        ([], False),
        ("billing", False),
        (None, False),
    ],
)
def test_an_answer_in_json_is_held_to_its_schema(value: Any, good: bool) -> None:
    assert fits(shape_from({"json_schema": OBJECT}), json.dumps(value)) is good


@pytest.mark.parametrize("text", ["", "   ", "{", "{'a': 1}", "Here is the JSON: {}", "```json\n{}\n```"])
def test_an_answer_that_is_no_json_has_no_json_shape(text: str) -> None:
    assert not fits(shape_from({"json_schema": {}}), text)


@pytest.mark.parametrize(
    ("schema", "value", "good"),
    [
        ({"type": "integer"}, 3, True),
        ({"type": "integer"}, 3.5, False),
        ({"type": "integer"}, True, False),
        ({"type": "boolean"}, 1, False),
        ({"type": "null"}, None, True),
        ({"const": "x"}, "x", True),
        ({"const": "x"}, "y", False),
        ({"type": "array", "minItems": 1}, [], False),
        ({"maxLength": 2}, "abc", False),
        ({"additionalProperties": {"type": "string"}}, {"a": 1}, False),
        ({"additionalProperties": {"type": "string"}}, {"a": "b"}, True),
        ({"properties": {"a": {"properties": {"b": {"type": "null"}}}}}, {"a": {"b": 0}}, False),
        ({"title": "t", "description": "d", "$schema": "s"}, {"anything": 1}, True),
    ],
)
def test_each_word_of_a_schema_counts(schema: dict[str, Any], value: Any, good: bool) -> None:
    assert fits(shape_from({"json_schema": schema}), json.dumps(value)) is good


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": []},
        {"properties": {"a": {"format": "date"}}},
        {"items": {"anyOf": []}},
        {"additionalProperties": {"$ref": "#"}},
        {"type": "date"},
        {"type": ["string", "text"]},
        {"properties": {"a": {"items": {"type": "int"}}}},
    ],
)
def test_a_schema_word_that_would_be_skipped_is_refused_wherever_it_stands(schema: dict[str, Any]) -> None:
    """A word that is skipped in silence would let wrong answers pass."""
    with pytest.raises(ConfigurationError, match="is not understood here") as caught:
        shape_from({"json_schema": schema})
    assert "pattern" in caught.value.hint


@pytest.mark.parametrize("schema", [[], "object", 1, True])
def test_a_schema_is_an_object(schema: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be an object"):
        shape_from({"json_schema": schema})


def test_a_member_of_a_shape_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'one_off'"):
        shape_from({"one_off": ["a"]})


@pytest.mark.parametrize("answer", ["billing", "Billing", " BILLING ", "billing.", "billing. "])
def test_a_label_counts_whatever_its_case_space_and_closing_stop(answer: str) -> None:
    assert fits(shape_from({"one_of": ["Billing."]}), answer)


@pytest.mark.parametrize("answer", ["billing and refund", "bill", "", "billing!", "«billing»"])
def test_what_only_holds_a_label_is_no_label(answer: str) -> None:
    assert not fits(shape_from({"one_of": ["billing"]}), answer)


def test_labels_may_be_those_of_the_held_out_answers() -> None:
    shape = shape_from({"one_of": "references"}, frozenset({"Login", "refund"}))
    assert fits(shape, "login")
    assert not fits(shape, "billing")
    assert not fits(shape_from({"one_of": "references"}), "login"), "no reference is known: nothing fits"


@pytest.mark.parametrize(
    ("answer", "good"), [("AB-12", True), ("AB-12\n", True), ("x AB-12", False), ("AB-12 and more", False)]
)
def test_a_pattern_is_for_the_whole_answer(answer: str, good: bool) -> None:
    assert fits(shape_from({"matches": r"[A-Z]+-\d+"}), answer) is good


def test_all_members_that_are_set_must_hold() -> None:
    shape = shape_from({"matches": "a+", "max_chars": 3})
    assert [fits(shape, text) for text in ("aaa", "aaaa", "b")] == [True, False, False]


@given(st.text(max_size=60))
def test_any_text_is_judged_and_none_is_a_crash(text: str) -> None:
    for data in ({"one_of": ["a"]}, {"json_schema": OBJECT}, {"matches": ".*"}, {"not_empty": True}):
        assert fits(shape_from(data), text) in (True, False)
    assert fits(shape_from({"not_empty": True}), text) == bool(text.strip())
    assert fold(fold(text)) == fold(text) or text.rstrip().endswith(".")


def test_the_words_that_are_understood_are_the_ones_the_guide_may_name() -> None:
    assert {"type", "enum", "required", "properties", "items", "pattern"} <= SCHEMA_WORDS
    assert not {"oneOf", "anyOf", "allOf", "$ref", "format"} & SCHEMA_WORDS
