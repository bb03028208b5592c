"""Digests: equal content has one name, and what differs in meaning has another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.stages.digest import canonical_json, digest, keyed_hash, prompt_digest


def test_the_order_of_keys_does_not_matter_and_values_do() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": "1"})


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})


def test_line_ends_and_unicode_forms_do_not_change_a_prompt() -> None:
    assert prompt_digest(None, (("user", "café\r\nopen?"),)) == prompt_digest(
        "", (("user", " cafe\u0301\nopen? "),)
    )


def test_moving_text_between_turns_changes_a_prompt() -> None:
    """Joining without marks would let two different conversations share an id."""
    one = prompt_digest("s", (("user", "a"), ("assistant", "b"), ("user", "c")))
    other = prompt_digest("s", (("user", "a b"), ("assistant", ""), ("user", "c")))
    assert one != other


@given(st.text())
def test_any_text_has_an_id_even_lone_surrogates(text: str) -> None:
    assert len(prompt_digest(text, (("user", text + "\ud800"),))) == 32


def test_the_keyed_hash_is_uniform_enough_to_split_by() -> None:
    below = sum(keyed_hash("salt", str(number)) < 2**64 // 10 for number in range(20_000))
    assert 1_800 < below < 2_200


def test_another_salt_gives_another_order() -> None:
    keys = [str(number) for number in range(50)]
    assert sorted(keys, key=lambda k: keyed_hash("a", k)) != sorted(keys, key=lambda k: keyed_hash("b", k))
