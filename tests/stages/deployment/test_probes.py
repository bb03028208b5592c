"""Which prompts are asked, what shape an answer must have, and what speaks against a model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_distill.errors import ConfigurationError, DeploymentError
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.deployment.probes import (
    Asked,
    ProbeResult,
    judge,
    pick,
    pool,
    read_heldout,
    shape_of,
)
from airflow_distill.stages.deployment.records import ProbeSettings
from airflow_distill.stages.deployment.settings import bake_settings, host_wish, probe_settings
from airflow_distill.stages.deployment.shapes import Shape, fits, shape_from
from airflow_distill.stages.digest import sha256_hex

EXAMPLES = tuple(Example((Turn("user", f"q{n}"),), answer="yes" if n % 2 else "no") for n in range(10))
ANY = Shape()


def test_the_same_prompts_are_picked_in_every_try_and_rounds_differ() -> None:
    assert pick(EXAMPLES, 3) == pick(tuple(reversed(EXAMPLES)), 3)
    assert not set(pick(EXAMPLES, 3)) & set(pick(EXAMPLES, 3, offset=3))
    assert len(pick(EXAMPLES, 30)) == 10
    assert pick((), 3) == ()


def test_another_held_out_file_than_the_manifests_is_refused() -> None:
    raw = b"".join(json.dumps(e.to_json()).encode() + b"\n" for e in EXAMPLES)
    assert read_heldout(raw, sha256_hex(raw), "s3://b/h") == EXAMPLES
    with pytest.raises(DeploymentError, match="digest differs"):
        read_heldout(raw + b"\n", sha256_hex(raw), "s3://b/h")


@pytest.mark.parametrize(
    ("shape", "answer", "good"),
    [
        ({}, "anything", True),
        ({}, "   ", False),
        ({"one_of": ["Billing", "refund"]}, " billing. ", True),
        ({"one_of": ["billing"]}, "billing please", False),
        ({"one_of": "references"}, "YES", True),
        ({"matches": r"\d{4}"}, "1234", True),
        ({"matches": r"\d{4}"}, "12345", False),
        ({"max_chars": 3}, "four", False),
        ({"json_schema": {"type": "object", "required": ["a"]}}, '{"a": 1}', True),
        ({"json_schema": {"type": "object", "required": ["a"]}}, '{"b": 1}', False),
        ({"json_schema": {"type": "object"}}, "not json", False),
        ({"json_schema": {"properties": {"n": {"type": "integer", "minimum": 1}}}}, '{"n": 0}', False),
        ({"json_schema": {"properties": {"n": {"type": "integer"}}}}, '{"n": true}', False),
        ({"json_schema": {"type": "array", "items": {"enum": ["x"]}, "minItems": 1}}, '["x"]', True),
        ({"json_schema": {"type": "array", "items": {"enum": ["x"]}, "minItems": 1}}, "[]", False),
        ({"json_schema": {"properties": {}, "additionalProperties": False}}, '{"a": 1}', False),
        ({"json_schema": {"type": ["string", "null"], "maxLength": 2}}, '"abc"', False),
    ],
)
def test_an_answer_has_the_shape_or_not(shape: dict[str, Any], answer: str, good: bool) -> None:
    assert fits(shape_from(shape, frozenset({"yes", "no"})), answer) is good


@pytest.mark.parametrize(
    "shape",
    [{"oneof": ["a"]}, {"json_schema": {"anyOf": []}}, {"json_schema": {"items": {"format": "date"}}}],
)
def test_a_shape_word_that_is_not_understood_is_refused(shape: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        shape_from(shape)


def test_no_answers_are_a_reason_against_and_never_a_pass() -> None:
    result = judge(
        [Asked(e, error="ModelErrorException") for e in EXAMPLES], ProbeSettings(max_error_rate=1.0), ANY
    )
    assert result.reasons == ("no prompt was answered",)
    assert judge([], ProbeSettings(), ANY).reasons == ("no prompt was answered",)


def test_every_limit_speaks_for_itself() -> None:
    asked = [Asked(e, answer=e.answer or "", latency_ms=100.0 * n) for n, e in enumerate(EXAMPLES)]
    settings = ProbeSettings(max_latency_ms=500, min_score=1.0, shape={"one_of": "references"})
    result = judge(asked, settings, shape_of(settings, EXAMPLES))
    assert result.reasons == ("latency (95th percentile) is 900 ms, the limit 500 ms",)
    assert (result.score, result.shaped, result.errors) == (1.0, 10, 0)
    unscored = [Asked(Example(e.turns), answer="x") for e in EXAMPLES]
    assert "agreement with the held-out answers is unknown" in judge(unscored, settings, ANY).reasons[-1]


def test_rounds_are_pooled_so_that_one_bad_answer_of_many_weighs_as_one() -> None:
    settings = ProbeSettings(max_error_rate=0.1)
    good = judge([Asked(e, answer="x") for e in EXAMPLES], settings, ANY)
    bad = judge(
        [Asked(EXAMPLES[0], error="Timeout"), *(Asked(e, answer="x") for e in EXAMPLES[1:5])], settings, ANY
    )
    assert bad.reasons
    assert pool([good, bad], settings).reasons == ()
    assert pool([good, bad], settings).asked == 15


def test_a_result_holds_digests_and_no_text() -> None:
    result = judge(
        [Asked(EXAMPLES[0], answer="secret words")], ProbeSettings(shape={}), shape_from({"one_of": ["a"]})
    )
    text = json.dumps(result.to_json())
    assert EXAMPLES[0].id in text
    assert "secret" not in text
    assert "q0" not in text
    assert ProbeResult.from_json(json.loads(text)) == result


def test_settings_come_as_text_from_templates_and_wrong_words_are_refused() -> None:
    smoke = probe_settings({"prompts": "7", "min_score": "0.5"})
    assert smoke is not None
    assert (smoke.prompts, smoke.min_score) == (7, 0.5)
    assert probe_settings({"prompts": 0}) is None
    assert bake_settings({"probes": 0}) is None
    bake = bake_settings({"every_seconds": "0", "max_error_rate": 0})
    assert bake is not None
    assert (bake.every_seconds, bake.limits.max_error_rate) == (0.0, 0.0)
    with pytest.raises(ConfigurationError, match="promts"):
        probe_settings({"promts": 1})
    with pytest.raises(ConfigurationError, match="units is 'many', not a whole number"):
        host_wish(units="many")
    with pytest.raises(ConfigurationError, match="whole number"):
        host_wish(units=1.5)
