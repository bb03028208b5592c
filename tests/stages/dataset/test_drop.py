"""What is dropped before anything else, each under its reason."""

from __future__ import annotations

import pytest

from airflow_distill.stages.dataset.drop import EXPLAINED, DropReason, drop_reason, drop_rules, is_refusal
from airflow_distill.stages.dataset.families import family_of
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.logs.records import Interaction

NOVA = family_of("amazon.nova-micro-v1:0:128k")
LLAMA = family_of("meta.llama3-1-8b-instruct-v1:0:128k")

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I cannot assist with that request.",
    "I apologize, but I'm not able to provide medical advice.",
    "Sorry, I can't answer that.",
    "As an AI language model, I cannot provide financial advice.",
    "I’m sorry, I can’t comply with this request.",
    "Unfortunately, I am unable to share that information.",
    "I won't help with creating malware.",
    "I must decline to answer this.",
]
ANSWERS = [
    "Sorry for the delay: your card was posted on Monday.",
    "I cannot find an order with this number in the text, so the answer is: none.",
    "card_arrival",
    "Unfortunately the card was lost; order a new one.",
    "You can't withdraw more than 500 a day.",
    "The letter says: I'm sorry, but I can't help with that.",
    "I'm sorry, but I can't help with that. " + "However, here is the full history. " * 30,
]


@pytest.mark.parametrize("answer", REFUSALS)
def test_a_refusal_is_recognised(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_not_a_refusal(answer: str) -> None:
    assert not is_refusal(answer)


@pytest.mark.parametrize("word", ["refusal", "content_filtered", "guardrail_intervened"])
def test_a_stop_reason_of_refusing_is_believed(word: str) -> None:
    assert is_refusal("Blocked.", word)


def interaction(*texts: str, answer: str = "fine", stop: str = "end_turn") -> Interaction:
    turns = tuple(Turn(("user", "assistant")[n % 2], text) for n, text in enumerate(texts))
    return Interaction("r", "2026-11-20T00:00:00Z", "Converse", "m", "m", turns, answer, stop_reason=stop)


CASES = {
    "fine": (interaction("a question"), NOVA, None),
    "conversation for Nova": (interaction("a", "b", "c"), NOVA, None),
    "conversation for Llama": (interaction("a", "b", "c"), LLAMA, DropReason.MULTI_TURN),
    "blank turn": (interaction("  "), NOVA, DropReason.EMPTY),
    "blank answer": (interaction("a", answer=" \n"), NOVA, DropReason.EMPTY),
    "ends with the assistant": (interaction("a", "b"), NOVA, DropReason.BAD_ROLES),
    "no turns": (interaction(), NOVA, DropReason.BAD_ROLES),
    "Converse limit": (interaction("a", stop="max_tokens"), NOVA, DropReason.TRUNCATED),
    "Llama limit": (interaction("a", stop="length"), NOVA, DropReason.TRUNCATED),
    "Titan limit": (interaction("a", stop="LENGTH"), NOVA, DropReason.TRUNCATED),
    "refused": (interaction("a", answer=REFUSALS[0]), NOVA, DropReason.REFUSAL),
    "too long": (interaction("a" * 600_000), NOVA, DropReason.TOO_LONG),
}


@pytest.mark.parametrize(("source", "family", "reason"), CASES.values(), ids=CASES)
def test_an_interaction_is_dropped_under_its_reason(
    source: Interaction, family: object, reason: DropReason | None
) -> None:
    example = Example(source.turns, answer=source.answer)
    assert drop_reason(drop_rules(family), example, source) is reason  # type: ignore[arg-type]


def test_refusals_stay_when_declining_is_the_task() -> None:
    source = interaction("a", answer=REFUSALS[0])
    rules = drop_rules(NOVA, drop_refusals=False)
    assert drop_reason(rules, Example(source.turns, answer=source.answer), source) is None


def test_a_golden_answer_is_never_taken_for_a_refusal() -> None:
    assert (
        drop_reason(drop_rules(NOVA), Example((Turn("user", "a"),), answer=REFUSALS[0], golden=True), None)
        is None
    )


def test_every_reason_is_explained() -> None:
    assert set(EXPLAINED) == set(DropReason)
