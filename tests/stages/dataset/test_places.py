"""Where patterns are tried: leaving places out for speed must lose no match."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_distill.stages.dataset.known_secrets import PATTERNS
from airflow_distill.stages.dataset.places import Text, at_names_of_keys, at_words

NAMED = [pattern for pattern in PATTERNS if pattern.search is at_names_of_keys]
PIECES = st.one_of(
    st.sampled_from(
        ["secret", "key", "tokens", "Schlüssel", "密钥", " ", ": ", "=", '"', ".", "-", "_", "is "]
    ),
    st.integers(1, 400).map(lambda count: "a1B-" * (count // 4) + "x" * (count % 4)),
)


@settings(max_examples=400)
@given(pieces=st.lists(PIECES, max_size=14))
@example(pieces=["secret-" * 60, " key: ", "a1B2" * 8])
@example(pieces=["x" * 40, "key", "a1B2" * 64, " "])
def test_names_of_keys_in_long_runs_are_passed_over_and_none_is_lost(pieces: list[str]) -> None:
    assert NAMED
    text = Text("".join(pieces))
    for pattern in NAMED:
        quick, plain = (
            [match.span() for match in search(pattern.pattern, pattern.words, text) if match]
            for search in (at_names_of_keys, at_words)
        )
        assert quick == plain
