"""The ledger's files: what goes in comes out, damage is never taken for emptiness, templates of other weeks do no harm."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.errors import StateError
from airflow_distill.stages.dataset.curate import Curated, Row
from airflow_distill.stages.dataset.dedupe import Sketcher, similarity
from airflow_distill.stages.dataset.fingerprints import (
    Candidates,
    Fingerprint,
    encode_fingerprints,
    open_fingerprints,
    without,
)
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.dataset.split import prompt_key
from airflow_distill.stages.dataset.words import bare_words


def fingerprint(text: str, sketcher: Sketcher | None = None) -> Fingerprint:
    return Fingerprint(text.lower().encode()[:16].ljust(16), (sketcher or Sketcher()).sketch(text))


@given(
    st.lists(st.text("abc def", max_size=300), max_size=20), st.sets(st.integers(0, 2**32 - 1), max_size=50)
)
def test_fingerprints_come_back_as_they_went(texts: list[str], template: set[int]) -> None:
    items = [fingerprint(text) for text in texts]
    data = encode_fingerprints("id", "heldout", template, items)
    file = open_fingerprints(io.BytesIO(data))
    assert (file.dataset_id, file.side, file.template) == ("id", "heldout", template)
    assert list(file.fingerprints) == items


@settings(max_examples=60)
@given(st.integers(0, 2000))
def test_a_cut_file_is_an_error(cut: int) -> None:
    data = encode_fingerprints(
        "id", "heldout", {1, 2}, [fingerprint(f"where is card number {n}") for n in range(20)]
    )
    part = data[: min(cut, len(data) - 1)]
    whole = 0
    try:
        whole = sum(1 for _ in open_fingerprints(io.BytesIO(part)).fingerprints)
    except StateError:
        return
    sizes = [len(encode_fingerprints("id", "heldout", {1, 2}, [fingerprint(f"where is card number {n}") for n in range(k)]))
             for k in range(21)]  # fmt: skip
    assert sizes[whole] == len(part), "only a cut between two entries cannot be seen"


def test_a_file_of_the_first_version_still_keeps_its_prompts_apart() -> None:
    """Its keys and hashes are of bare words; a prompt that judged then is not taught now, in any script."""
    judged = [Example((Turn("user", text),)) for text in ("Is C++ -5 older than C?", "मेरा नया कार्ड कहाँ है?")]
    bare = Sketcher(words_of=bare_words)
    old = [Fingerprint(bytes.fromhex(prompt_key(e)[:32]), bare.sketch(e.turns[0].text)) for e in judged]
    data = encode_fingerprints("old", "heldout", set(), old).replace(b"ADFP2", b"ADFP1", 1)
    file = open_fingerprints(io.BytesIO(data))
    assert file.version == 1
    candidates = [*judged, Example((Turn("user", "How do I close my account today?"),))]
    curated = Curated([Row("sample", n, example) for n, example in enumerate(candidates)])
    assert curated.touched(candidates, 0.6, [file]) == {0, 1}
    plain = Candidates(list(curated.fingerprints(candidates)), 0.9)
    assert plain.touched(old) == set(), "without the old folding nothing would be recognised"


def test_another_file_is_an_error() -> None:
    with pytest.raises(StateError, match="not a file of fingerprints"):
        open_fingerprints(io.BytesIO(b"PAR1" + b"\0" * 100))


def test_equal_and_near_candidates_are_touched() -> None:
    candidates = Candidates(
        [
            fingerprint(t)
            for t in ("Where is my new card?", "How do I pay?", "where is my NEW card now?", "???")
        ],
        0.6,
    )
    assert candidates.touched([fingerprint("where is my new card")]) == {0, 2}
    assert candidates.touched([fingerprint("???")]) == {3}
    assert candidates.touched([]) == set()


def test_near_prompts_are_found_across_different_templates() -> None:
    """Last month's sketches leave out last month's template; the comparison leaves out both."""
    rng = random.Random(8)
    vocabulary = [f"w{n}" for n in range(3000)]
    old, new = (" ".join(rng.choices(vocabulary, k=250)) for _ in range(2))
    plain = Sketcher()
    questions = [" ".join(rng.choices(vocabulary, k=25)) for _ in range(100)]
    old_template, new_template = plain.hashes(old), plain.hashes(new)
    then, now = Sketcher(old_template), Sketcher(new_template)
    candidates = Candidates([fingerprint(f"{new} {q}", now) for q in questions], 0.6, new_template)
    past = [fingerprint(f"{old} {q}", then) for q in questions[:40]]
    touched = candidates.touched(past, old_template)
    assert len(touched) >= 38
    assert touched <= set(range(40))


@given(st.text("abcde ", max_size=60), st.text("abcde ", max_size=60))
def test_leaving_a_template_out_later_is_leaving_it_out_at_once(one: str, other: str) -> None:
    template = Sketcher().hashes("a b c")
    early = [Sketcher(template).sketch(text) for text in (one, other)]
    late = [without(Sketcher().sketch(text), template) for text in (one, other)]
    assert similarity(*early) == similarity(*late)
