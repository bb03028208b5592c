"""Digests: equal content has one name, and what differs in meaning has another."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.stages.digest import canonical_json, digest, keyed_hash, normalized, prompt_digest


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


MARKS = ["\u0301", "\u0316", "\u093c", "\u3099", "\uff9e", "\u0f73", "\u0344"]


@given(
    st.text(st.sampled_from(["a", "か", "त", "\u1100", "\u1161", "\u0dd9", "\u0dcf", *MARKS]), max_size=31)
)
def test_a_text_as_people_write_it_is_in_unicodes_own_normalized(text: str) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert normalized(form, text) == unicodedata.normalize(form, text)


@given(st.text(st.sampled_from(MARKS), min_size=40, max_size=300), st.sampled_from(["NFC", "NFKC"]))
def test_a_run_of_marks_that_no_language_has_is_put_in_order_piece_by_piece(run: str, form: Any) -> None:
    """The same marks come out, so that other marks have another digest."""
    made = normalized(form, f"a{run}")
    decomposed = "NFD" if form == "NFC" else "NFKD"
    assert sorted(unicodedata.normalize(decomposed, made)) == sorted(
        "".join(unicodedata.normalize(decomposed, char) for char in f"a{run}")
    )
