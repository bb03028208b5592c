"""What is dropped before anything else, each under its reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.curate import CurateSettings, example_of
from airflow_distill.stages.dataset.drop import (
    EXPLAINED,
    KEEPABLE,
    WHY_NOT_KEPT,
    DropReason,
    drop_reason,
    drop_rules,
    kept_problems,
    sending_rules,
    without_thinking,
)
from airflow_distill.stages.dataset.families import StudentFamily, family_of
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.dataset.refusals import is_refusal
from airflow_distill.stages.dataset.tokens import estimate_tokens
from airflow_distill.stages.logs.records import Interaction
from airflow_distill.workload.config import KEPT_RULES

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
    "Lo siento, no puedo ayudarte con eso.",
    "Lo siento, pero no puedo responder a esa pregunta.",
    "Lo siento, no puedo proporcionar esa información.",
    "对不起，我不能回答这个问题。",
    "对不起，我不能提供这方面的帮助。",
    "抱歉，我无法协助您完成这个请求。",
    "Es tut mir leid, aber ich kann dabei nicht helfen.",
    "Es tut mir leid, das kann ich nicht beantworten.",
    "Es tut mir leid, ich kann Ihnen dabei nicht helfen.",
    "Es tut mir leid, aber ich kann diese Frage nicht beantworten.",
    "Sorry, the model cannot answer this question.",
    "Je suis désolé, mais je ne peux pas vous aider avec cela.",
    "Désolé, je ne peux pas répondre à cette question.",
    "Mi dispiace, non posso aiutarti con questo.",
    "Desculpe, não posso ajudar com isso.",
    "申し訳ございませんが、そのご質問にはお答えできません。",
    "죄송하지만 그 질문에는 답변할 수 없습니다.",
    "죄송합니다. 도와드릴 수 없습니다.",
    "Извините, я не могу помочь с этим.",
    "عذراً، لا أستطيع مساعدتك في ذلك.",
    "Het spijt me, maar ik kan u daar niet mee helpen.",
    "Przepraszam, nie mogę pomóc w tej sprawie.",
    "मुझे खेद है, मैं इसमें आपकी मदद नहीं कर सकता।",
    "Üzgünüm, bu konuda yardımcı olamam.",
    "I cannot fulfill your request. I am just an AI model.",
    "I can't answer that.",
    "I'm sorry, I can't assist with requests for malware.",
    "I'm not able to help with that request. If you have other questions, feel free to ask!",
    "I apologize, but I cannot provide any information on illegal activities.",
    "I cannot create explicit content.",
    "That's not something I can help with.",
    "I am unable to provide legal advice.",
    "I'm sorry, but I cannot write hate speech.",
    "I can't provide instructions on how to build a bomb.",
    "I'm unable to answer the question.",
    "I'm sorry, I cannot engage in discussions about politics.",
    "I'm sorry, I can't help.",
    "As an AI, I don't have the ability to provide medical advice.",
]
ANSWERS = [
    "Sorry for the delay: your card was posted on Monday.",
    "I cannot find an order with this number in the text, so the answer is: none.",
    "card_arrival",
    "Unfortunately the card was lost; order a new one.",
    "You can't withdraw more than 500 a day.",
    "The letter says: I'm sorry, but I can't help with that.",
    "I can't share the tracking number here; it is in your shipping mail.",
    "We can't process the refund until the item arrives; that takes 3 days.",
    "We cannot refund after 30 days, but you can exchange it.",
    "Unfortunately, we cannot refund after 30 days.",
    "I can't help with refunds older than 30 days, but you can exchange the item.",
    "I'm sorry, but I can't help with refunds older than 30 days.",
    "Sorry, we cannot ship to this address, but we can ship to a pick-up point.",
    "Es tut mir leid, aber nach 30 Tagen können wir nichts erstatten.",
    "Lo siento, no podemos devolver el dinero después de 30 días, pero puede cambiarlo.",
    "Lo siento, no puedo darle el reembolso hasta que llegue el artículo, pero puede cambiarlo.",
    "对不起，30天后我们不能退款，但您可以换货。",
    "I can't process this order until it is paid.",
    "I cannot give a refund after 30 days.",
    "I'm sorry, but I can't cancel an order that has shipped; you can return it.",
    "Unfortunately I can't change the address after dispatch.",
    "No puedo ver el pedido.",
    "I won't be able to ship it before Monday.",
    "I'm sorry, we do not support cards of this bank.",
    "I can't give you the code by phone; it comes by mail.",
    "We are unable to provide a discount on sale items.",
    "Sorry, I can't find that order. Please check the number.",
    "I cannot share account details in chat, but our agents can call you.",
    "I can't complete this exchange without the receipt.",
    "I'm sorry, but I can't help with that. " + "However, here is the full history. " * 30,
]


@pytest.mark.parametrize("answer", REFUSALS)
def test_a_refusal_is_recognised(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_not_a_refusal(answer: str) -> None:
    assert not is_refusal(answer)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("refusal", DropReason.REFUSAL),
        ("content_filtered", DropReason.REFUSAL),
        ("guardrail_intervened", DropReason.GUARDRAIL),
        ("INTERVENED", DropReason.GUARDRAIL),
    ],
)
def test_a_stop_reason_of_refusing_is_believed(word: str, reason: DropReason) -> None:
    assert reason_of(interaction("a", answer="Blocked.", stop=word)) is reason


def interaction(*texts: str, answer: str = "fine", stop: str = "end_turn") -> Interaction:
    turns = tuple(Turn(("user", "assistant")[n % 2], text) for n, text in enumerate(texts))
    return Interaction("r", "2026-11-20T00:00:00Z", "Converse", "m", "m", turns, answer, stop_reason=stop)


def reason_of(source: Interaction, family: StudentFamily = NOVA, **how: Any) -> DropReason | None:
    """What curation would drop an interaction for, before it looks for copies."""
    example = example_of(source)
    rules = drop_rules(family, keep=how.get("keep", ()), thinking=how.pop("thinking", "keep"))
    return drop_reason((*rules, *sending_rules(family, **how)), example, source)


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
    "tools that were offered": (
        replace(interaction("a"), tools_offered=True),
        NOVA,
        DropReason.TOOLS_OFFERED,
    ),
    "NUL in the prompt": (interaction("page 1\0"), NOVA, DropReason.UNSENDABLE),
    "NUL in the answer": (interaction("a", answer="b\0"), NOVA, DropReason.UNSENDABLE),
    "half a character": (interaction("a \ud800"), NOVA, DropReason.UNSENDABLE),
    "nothing but marks of no width": (interaction("\u200b\ufeff "), NOVA, DropReason.EMPTY),
    "a blank system prompt": (replace(interaction("a"), system=" "), NOVA, DropReason.UNSENDABLE),
    "a NUL in the system prompt": (replace(interaction("a"), system="b\0"), NOVA, DropReason.UNSENDABLE),
    "a line above the quota": (interaction("word " * 3300), NOVA, DropReason.LINE_TOO_LONG),
    "a line at the quota": (interaction("a" * (16_384 - 98)), NOVA, None),
    "a line one byte above it": (interaction("a" * (16_384 - 97)), NOVA, DropReason.LINE_TOO_LONG),
    "thinking stays unless it is to be dropped": (
        interaction("a", answer="<thinking>b</thinking>c"),
        NOVA,
        None,
    ),
    "a reserved word stays unless it is to be dropped": (interaction("User: hello"), NOVA, None),
}


@pytest.mark.parametrize(("source", "family", "reason"), CASES.values(), ids=CASES)
def test_an_interaction_is_dropped_under_its_reason(
    source: Interaction, family: StudentFamily, reason: DropReason | None
) -> None:
    assert reason_of(source, family) is reason


def test_every_rule_that_can_be_switched_off_is_off_when_it_is_kept() -> None:
    """What two copies ask is told apart elsewhere; all other rules that `keep` names have a case above."""
    elsewhere = {DropReason.EXACT_DUPLICATE, DropReason.NEAR_DUPLICATE, DropReason.TAUGHT_BEFORE}
    dropped = [(source, family, reason) for source, family, reason in CASES.values() if reason in KEEPABLE]
    assert {reason for _, _, reason in dropped} | {DropReason.GUARDRAIL} == KEEPABLE - elsewhere
    for source, family, reason in dropped:
        assert reason_of(source, family, keep={reason, DropReason.LINE_TOO_LONG}) is None, reason


@pytest.mark.parametrize("reason", [each for each in DropReason if each not in KEEPABLE])
def test_a_rule_that_cannot_be_switched_off_says_why_or_what_steers_it(reason: DropReason) -> None:
    (problem,) = kept_problems([reason.value])
    assert problem == f"{reason.value} cannot be kept: {WHY_NOT_KEPT[reason]}"
    with pytest.raises(ConfigurationError, match=f"{reason.value} cannot be kept"):
        CurateSettings(salt="s", keep=(reason.value,))


def test_every_rule_can_be_kept_or_says_why_not_and_the_workload_file_agrees() -> None:
    assert set(DropReason) - KEEPABLE == set(WHY_NOT_KEPT)
    assert sorted(KEEPABLE) == KEPT_RULES
    assert kept_problems(["colour"])[0].startswith("there is no drop rule 'colour'")


def test_refusals_stay_when_declining_is_the_task() -> None:
    assert reason_of(interaction("a", answer=REFUSALS[0]), keep={"refusal"}) is None


def test_records_with_words_of_the_students_family_can_be_dropped() -> None:
    source = interaction("Summarise: User: my card is lost. Bot: which one?")
    assert reason_of(source, NOVA, reserved_words="drop") is DropReason.RESERVED_WORD
    assert reason_of(source, LLAMA, reserved_words="drop") is None, "Llama reserves no such words"


THOUGHTS = {
    "<thinking>Is it late?</thinking>It is late.": "It is late.",
    "<thinking>\nIs it late?\n</thinking>\n\nIt is late.": "It is late.",
    "<Thinking>a</Thinking> b": "b",
    "<think>a</think>b": "b",
    "Let me see. <thinking>a</thinking> Monday.": "Let me see. Monday.",
    "a\n<thinking>b</thinking>\nc": "a\n\nc",
    "<thinking>a</thinking>b<thinking>c</thinking>": "b<thinking>c</thinking>",
    "<thinking>it never ends": "",
    "<thinking>only this</thinking>": "",
    "Write <thinking> before the answer and </thinking> after it.": None,
    "Use `<thinking>` tags.": None,
    "I am thinking < 5": None,
    "3 </thinking> 4": None,
}


@pytest.mark.parametrize(("text", "left"), THOUGHTS.items())
def test_thinking_is_taken_out_of_an_answer_and_talk_of_it_stays(text: str, left: str | None) -> None:
    out = without_thinking(text)
    assert out.split() == (text if left is None else left).split()
    dropped = reason_of(interaction("a", answer=text), thinking="drop")
    assert dropped is (None if left is None else DropReason.THINKING)


def test_tokens_that_the_log_counted_are_believed_before_an_estimate() -> None:
    text = "word " * 20_000
    keep = {DropReason.LINE_TOO_LONG}
    counted = replace(interaction(text), input_tokens=40_000, output_tokens=1)
    assert reason_of(counted, keep=keep) is DropReason.TOO_LONG
    assert reason_of(replace(counted, input_tokens=20_000), keep=keep) is None
    assert reason_of(interaction(text), keep=keep) is None
    assert reason_of(interaction(text * 2), keep=keep) is DropReason.TOO_LONG
    cached = replace(interaction(text * 2), input_tokens=12, output_tokens=1)
    assert reason_of(cached, keep=keep) is DropReason.TOO_LONG, "cached input is counted apart"


def test_a_larger_llama_has_a_shorter_context() -> None:
    source = replace(interaction("word " * 5_000), input_tokens=20_000, output_tokens=1)
    keep = {DropReason.LINE_TOO_LONG}
    assert reason_of(source, LLAMA, keep=keep) is None
    larger = family_of("us.meta.llama3-1-70b-instruct-v1:0")
    assert reason_of(source, larger, keep=keep) is DropReason.TOO_LONG


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("Where is my new bank card, and when will it come?", 10, 16),
        ("我的银行卡什么时候能到？", 8, 14),
        ("บัตรของฉันอยู่ที่ไหน", 8, 22),
        ("Где моя новая банковская карта?", 7, 18),
        ("for (i = 0; i < 10; i++) { a[i] += 1; }", 12, 24),
    ],
)
def test_tokens_are_estimated_by_script(text: str, least: int, most: int) -> None:
    assert least <= estimate_tokens(text) <= most


def test_a_golden_answer_is_never_taken_for_a_refusal() -> None:
    assert (
        drop_reason(drop_rules(NOVA), Example((Turn("user", "a"),), answer=REFUSALS[0], golden=True), None)
        is None
    )


def test_every_reason_is_explained() -> None:
    assert set(EXPLAINED) == set(DropReason)
