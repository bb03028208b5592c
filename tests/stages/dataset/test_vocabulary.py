"""A vocabulary leaves out only words that a text does not hold, whatever was read before."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.stages.dataset import vocabulary
from airflow_distill.stages.dataset.known_secrets import PATTERNS, find_known
from airflow_distill.stages.dataset.places import Text
from airflow_distill.stages.dataset.vocabulary import Vocabulary

WORDS = tuple(dict.fromkeys(word for pattern in PATTERNS for word in pattern.words))
KNOWN = Vocabulary(WORDS)
"""One for all examples, so that what it remembers is tried too."""


@given(
    st.lists(
        st.sampled_from(WORDS) | st.sampled_from([" ", "_", "7", "ü", "\u212a", "İ"]) | st.text(max_size=4)
    )
)
def test_a_word_that_a_text_holds_is_never_left_out(parts: list[str]) -> None:
    for text in ("".join(parts), "".join(parts).upper(), " ".join(parts).title()):
        known = Text(text, KNOWN)
        held = [word for word in WORDS if word in known.folded]
        assert [word for word in known.may_hold(WORDS) if word in known.folded] == held


def test_a_text_without_the_words_holds_none_of_those_with_letters() -> None:
    held = Text(
        "The weather is fine, 20 degrees: go out!", Vocabulary(("password", "sk-", "mot de passe"))
    ).may_hold(("password", "sk-", "mot de passe"))
    assert list(held) == []


def test_words_without_letters_may_be_anywhere() -> None:
    assert list(Text("a", Vocabulary(("::", "==", "-u"))).may_hold(("::", "-u"))) == ["::", "-u"]


def test_without_a_vocabulary_every_word_may_be_there() -> None:
    assert list(Text("a").may_hold(("password",))) == ["password"]


def test_only_two_letters_beyond_ascii_have_a_lower_case_that_begins_with_one_of_ascii() -> None:
    """Texts without those two are known by their ASCII letters alone."""
    found = [chr(code) for code in range(128, sys.maxunicode + 1) if chr(code).lower()[:1].isascii()]
    assert found == ["\u0130", "\u212a"]


def test_a_long_text_of_new_words_is_read_right_and_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "MOST_WORDS", 50)
    words = Vocabulary(("password", "token"))
    assert words.in_text(b" ".join(b"new%s" % bytes([97 + n]) for n in range(20))) == frozenset()
    letters = [bytes([97 + n // 26, 97 + n % 26]) for n in range(600)]
    many = b" ".join(b"word" + two for two in letters)
    assert words.in_text(many) == frozenset()
    assert words.in_text(many + b" mypasswords") == {"password"}
    assert words.in_text(b"x" * 100_000 + b"token") == {"token"}
    assert len(words._dull) + len(words._told) <= 50


def test_a_secret_is_found_again_after_its_words_were_read() -> None:
    text = "Zugang: Passwort: Winter2031! und die mysql -pGeheim77 dazu"
    first = list(find_known(text))
    assert {span.kind for span in first} == {"PASSWORD"}
    assert list(find_known(text)) == first
