"""Near copies: the index finds exactly what comparing all pairs finds, in a stable order; templates do not collapse."""

from __future__ import annotations

import math
import random
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.stages.dataset.dedupe import (
    SKETCH_SIZE,
    TOP,
    Sketch,
    Sketcher,
    are_near_exactly,
    find_copies,
    find_template,
    is_near,
    similarity,
    smallest,
)
from airflow_distill.stages.dataset.words import folded_words
from tests.texts import passages, questions

WORDS = [f"{a}{b}" for a in ("card", "money", "bank", "app", "pay", "lost") for b in ("", "s", "ing", "er")]


def sketch_all(texts: list[str], template: frozenset[int] = frozenset()) -> list[Sketch]:
    sketcher = Sketcher(template)
    return [sketcher.sketch(text) for text in texts]


def copies_by_brute_force(sketches: list[Sketch], threshold: float) -> list[int | None]:
    kept: list[int] = []
    out: list[int | None] = []
    for position, sketch in enumerate(sketches):
        first = next((k for k in kept if is_near(sketches[k], sketch, threshold)), None)
        out.append(first)
        if first is None:
            kept.append(position)
    return out


texts = st.lists(
    st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)
    | st.lists(st.sampled_from(WORDS), min_size=60, max_size=120).map(" ".join),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(texts, st.sampled_from([0.4, 0.6, 0.7, 0.8, 1.0]))
def test_the_index_finds_what_comparing_all_pairs_finds(rows: list[str], threshold: float) -> None:
    sketches = sketch_all(rows)
    assert find_copies(sketches, threshold) == copies_by_brute_force(sketches, threshold)


def test_long_texts_are_found_like_short_ones() -> None:
    """Sketches that were cut off: 300 texts of 400 words, each with a copy that changes 1 % of them."""
    rng = random.Random(3)
    vocabulary = [f"w{n}" for n in range(5000)]
    originals = [rng.choices(vocabulary, k=400) for _ in range(300)]
    edited = [[w if rng.random() > 0.01 else rng.choice(vocabulary) for w in words] for words in originals]
    sketches = sketch_all([" ".join(words) for words in originals + edited])
    assert not sketches[0].is_whole
    assert len(sketches[0].values) == SKETCH_SIZE
    copies = find_copies(sketches, 0.7)
    hashes = [Sketcher().hashes(" ".join(words)) for words in originals + edited]
    exactly = [n for n in range(300) if are_near_exactly(hashes[n], hashes[300 + n], 0.7)]
    assert len(exactly) > 250
    assert copies[:300] == [None] * 300
    assert sum(copies[300 + n] == n for n in exactly) > 0.93 * len(exactly), (
        "the rest is the estimate's error"
    )


def test_the_estimate_of_long_texts_is_near_the_exact_similarity() -> None:
    rng = random.Random(4)
    errors = []
    for _ in range(200):
        whole = {rng.randrange(TOP) for _ in range(2000)}
        common = set(sorted(whole)[::2]) | {rng.randrange(TOP) for _ in range(500)}
        exact = len(whole & common) / len(whole | common)
        errors.append(similarity(smallest(whole), smallest(common)) - exact)
    assert abs(sum(errors) / len(errors)) < 0.02
    assert max(map(abs, errors)) < 0.25


def test_case_punctuation_width_and_spacing_do_not_count() -> None:
    dressed = ["Where is my card?", "  WHERE is... my CARD", "where　is my ｃａｒｄ"]
    assert len({tuple(folded_words(text)) for text in dressed}) == 1
    assert find_copies(sketch_all(dressed), 1.0) == [None, 0, 0]


def test_scripts_without_spaces_are_compared_by_characters() -> None:
    texts = [
        "私のカードはどこにありますか教えてください",
        "私のカードはどこにありますか教えて下さいね",
        "送金が届くまで何日かかりますか",
    ]
    assert find_copies(sketch_all(texts), 0.6) == [None, 0, None]


# What could go wrong at a cut: marks that join the letter before, jamo that join each other, letters that fold to
# two or to others by their place, scripts without spaces, and white space of every kind.
ODD = st.text(
    "aAzß\u0130\u03a3\ufb01\uff43\u0301\u0327\u1100\u1161\u11a8カ\u3099行ไ. \n\t\u00a0\u3000\u2028\U0001f642",
    max_size=30,
)
repeated = st.tuples(ODD, st.integers(0, 60), ODD).map(lambda parts: parts[0] * parts[1] + parts[2])
cut_behind_each = st.lists(ODD | st.sampled_from(["", "a", "b", "a b"]), max_size=6).map(
    lambda parts: "".join(part + "=" * 200 + " " for part in parts)
)


@settings(max_examples=600, deadline=None)
@given(repeated | cut_behind_each, st.lists(st.tuples(st.integers(0, 900), ODD), min_size=1, max_size=8))
def test_known_beginnings_change_no_sketch(beginning: str, ends: list[tuple[int, str]]) -> None:
    """A fresh sketcher knows no beginning and reads the text whole."""
    texts = [beginning, *(beginning[:cut] + end for cut, end in ends), beginning.swapcase()]
    template = Sketcher().hashes(beginning[: len(beginning) // 2])
    plain, leaving_out = Sketcher(), Sketcher(template)
    for text in texts * 4:
        whole = Sketcher().hashes(text)
        assert plain.hashes(text) == whole
        assert plain.sketch(text) == smallest(whole)
        assert leaving_out.hashes(text) == whole - template
        assert leaving_out.sketch(text) == smallest(whole - template)


def test_more_beginnings_than_are_remembered_change_no_sketch() -> None:
    texts = [f"{f'rule {n % 4500} ' * 25}{n}" for n in range(9_000)]
    sketcher = Sketcher()
    assert all(sketcher.hashes(text) == Sketcher().hashes(text) for text in texts)


def test_texts_without_words_are_never_copies() -> None:
    assert find_copies(sketch_all(["???", "!!!", "", "🙂"]), 0.5) == [None] * 4


def test_a_template_does_not_make_its_prompts_copies() -> None:
    """Five programs, each with an instruction of 300 words and a few words of its own: none may collapse."""
    rng = random.Random(6)
    vocabulary = [f"w{n}" for n in range(4000)]
    templates = [" ".join(rng.choices(vocabulary, k=300)) for _ in range(5)]
    prompts = [f"{rng.choice(templates)} {' '.join(rng.choices(vocabulary, k=12))}" for _ in range(1000)]
    assert (
        sum(copy is not None for copy in find_copies(sketch_all(prompts), 0.8, most_different=math.inf)) > 900
    )
    template = find_template(prompts)
    copies = find_copies(sketch_all([*prompts, prompts[7] + " please"], template), 0.8)
    assert copies == [None] * 1000 + [7]


@pytest.mark.parametrize(("instruction", "own"), [(100, 25), (60, 15), (250, 20), (600, 40), (30, 10)])
def test_prompts_of_one_template_are_neither_copies_nor_contaminated(instruction: int, own: int) -> None:
    """The lower threshold, that of contamination, must not take a template's prompts for one another either."""
    rng = random.Random(instruction)
    vocabulary = [f"w{n}" for n in range(4000)]
    head = " ".join(rng.choices(vocabulary, k=instruction))
    prompts = [f"{head} {' '.join(rng.choices(vocabulary, k=own))}" for _ in range(500)]
    copies = find_copies(sketch_all(prompts, find_template(prompts)), 0.6)
    assert sum(copy is not None for copy in copies) == 0


def test_ordinary_traffic_has_no_template() -> None:
    assert find_template([text for text, _ in questions(3000)]) == frozenset()


def test_what_is_kept_depends_on_the_order_alone() -> None:
    """Hashes do not come from Python's own, which differ from process to process."""
    sketch = Sketcher().sketch("where is my card")
    assert sketch == Sketch(array("I", sorted(sketch.values)), TOP)
    assert sketch.values.tolist() == PINNED


PINNED = [231328646, 840952325, 1171818050, 2599999427, 3164472498, 3251815541, 3334743105]


def test_questions_about_one_passage_are_not_copies() -> None:
    """Retrieval: two questions each about a hundred passages, nine tenths of the words the same."""
    prompts = passages(200)
    sketcher = Sketcher(find_template(prompts))
    hashes = [sketcher.hashes(prompt) for prompt in prompts]
    copies = find_copies(
        [sketcher.sketch(prompt) for prompt in prompts],
        0.8,
        lambda a, b: are_near_exactly(hashes[a], hashes[b], 0.8),
    )
    assert sum(copy is not None for copy in copies) < 20
    again = find_copies([sketcher.sketch(prompt) for prompt in (prompts[0], prompts[0] + " Please.")], 0.8)
    assert again == [None, 0]


def test_other_questions_lose_few_to_near_copies() -> None:
    """Prompts put together from the same phrases are other prompts: fewer than one in fifty is dropped."""
    texts = [text for text, _ in questions(3000)]
    assert sum(copy is not None for copy in find_copies(sketch_all(texts), 0.8)) < 60
