"""The side of a prompt: decided by its opening and the salt, never by the run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.dataset.split import is_heldout, opening_key, shared_openings, side_key


def example(*texts: str, system: str | None = None) -> Example:
    roles = ("user", "assistant")
    return Example(tuple(Turn(roles[n % 2], text) for n, text in enumerate(texts)), system=system)


@given(st.text(max_size=30), st.text(max_size=10), st.floats(0, 0.9), st.floats(0, 0.9))
def test_raising_the_share_never_takes_a_prompt_out_of_held_out(
    key: str, salt: str, one: float, two: float
) -> None:
    small, large = sorted((one, two))
    assert not is_heldout(key, salt, small) or is_heldout(key, salt, large)


def test_the_share_is_met() -> None:
    held = sum(is_heldout(f"prompt {n}", "salt", 0.1) for n in range(20_000))
    assert 1800 < held < 2200


def test_the_salt_decides() -> None:
    sides = [{is_heldout(f"prompt {n}", salt, 0.5) for salt in ("a", "b", "c", "d", "e")} for n in range(200)]
    assert sum(len(found) == 2 for found in sides) > 150


def test_the_turns_of_one_conversation_share_a_side() -> None:
    first = example("Where is my card?")
    second = example("Where is my card?", "On its way.", "When will it come?")
    third = example("where is my card", "On its way.", "When?", "Monday.", "Thanks")
    assert side_key(first) == side_key(second) == side_key(third)


def test_one_document_under_two_system_prompts_has_one_side() -> None:
    assert side_key(example("A long text.", system="Summarise.")) == side_key(
        example("A long text.", system="Translate.")
    )


def test_an_opening_shared_by_much_of_the_traffic_does_not_decide() -> None:
    greeting = [example("Hello", "Hello, how can I help?", f"Question {n}") for n in range(60)]
    shared = shared_openings(greeting)
    assert shared == {opening_key(greeting[0])}
    assert len({side_key(one, shared) for one in greeting}) == 60


def test_a_long_conversation_is_no_shared_opening() -> None:
    texts = ["Plan my trip", "Where to?"]
    turns = []
    for n in range(40):
        texts += [f"Step {n}", "Done."]
        turns.append(example(*texts[:-1]))
    assert shared_openings(turns) == frozenset()
    assert len({side_key(one) for one in turns}) == 1
