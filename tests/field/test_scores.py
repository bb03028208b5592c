"""Scores mean what they say: no normalising makes two different answers equal, in any script."""

from __future__ import annotations

import json
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.decision.decide import Freshness, decide
from airflow_distill.stages.decision.policy import PromotionPolicy
from airflow_distill.stages.evaluation.compare import score_answers
from airflow_distill.stages.evaluation.records import Answer, Scorecard
from airflow_distill.stages.evaluation.scorers.json_text import NotJsonError, read_json
from airflow_distill.stages.evaluation.scorers.label_text import LabelSet
from airflow_distill.stages.evaluation.scorers.normalise import folded, words
from airflow_distill.stages.evaluation.scorers.protocol import ItemScorer
from airflow_distill.stages.evaluation.scorers.registry import SCORERS, describe, make_scorer, make_scorers
from airflow_distill.stages.evaluation.scorers.tokens import token_f1

SCRIPTS = {
    "Latin": "abcdefgzäöüßéñ",
    "Greek": "αβγδεζ",
    "Cyrillic": "абвгдежя",
    "Arabic": "ابتثجحخ",
    "Hebrew": "אבגדהוז",
    "Devanagari": "कखगघचछ",
    "Bengali": "কখগঘচ",
    "Tamil": "கஙசஞட",
    "Thai": "กขคงจฉ",
    "Khmer": "កខគឃង",
    "Lao": "ກຂຄງຈ",
    "Chinese": "天地玄黄宇宙",
    "Japanese": "あいうカキク日",
    "Korean": "가나다라마",
}
MEANING = ["+", "-", "#", "%", "<", ">", "$", "€", "=", "&", "~", "1", "²", "½", "👍", "👎", "++", "≥"]
"""What is put before or after a text and makes it say something else."""


def example(number: int, answer: str | None) -> Example:
    return Example(turns=(Turn("user", f"question {number}"),), answer=answer)


def scored(
    teacher: list[str], student: list[str], metric: str | dict[str, Any] = "label_accuracy"
) -> Scorecard:
    examples = [example(i, teacher[i % len(teacher)]) for i in range(240)]
    answers = [
        Answer(example_id=e.id, role=role, model=role, text=says[i % len(says)], stop_reason="end_turn")
        for role, says in (("student", student), ("untuned", ["I think it is fine"]))
        for i, e in enumerate(examples)
    ]
    return score_answers(
        examples, answers, make_scorers([metric]), workload="w", dataset_id="d", heldout_sha256="h"
    )


def verdict(card: Scorecard) -> str:
    policy = PromotionPolicy.from_json({"metrics": {"label_accuracy": 0.05}, "min_items": 100})
    return decide(card, policy, freshness=Freshness("d", "h", card.models["student"])).verdict


def mean(card: Scorecard, role: str = "student") -> float:
    metric = next(m for m in card.metrics if m.role == role and not m.slice)
    assert metric.mean is not None
    return metric.mean


# --- labels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given_labels", [False, True])
@pytest.mark.parametrize(
    ("teacher", "student", "right"),
    [
        (["-1", "0", "1"], ["1", "0", "1"], 2 / 3),
        (["A+", "A", "A-"], ["A", "A", "A"], 1 / 3),
        (["C", "C++", "C#"], ["C", "C", "C"], 1 / 3),
        (["<30", "30-60", ">60"], ["30", "30-60", "60"], 1 / 3),
        (["5%", "5", ".5"], ["5", "5", "5"], 1 / 3),
        (["+", "-"], ["+", "-"], 1.0),
        (["+", "-"], ["-", "+"], 0.0),
        (["$5", "5"], ["5", "5"], 1 / 2),
        (["1.5", "1,5", "15"], ["15", "15", "15"], 1 / 3),
        (["mg", "Mg"], ["Mg", "Mg"], 1 / 2),
        (["x²", "x2"], ["x2", "x2"], 1 / 2),
        (["Maße", "Masse"], ["Masse", "Masse"], 1 / 2),
        (["Nf3!", "e4"], ["Nf3?", "e4"], 1 / 2),
        (["(5)", "-4"], ["5", "-4"], 1 / 2),
        (["*", "**", "***"], ["*", "*", "*"], 1 / 3),
        (["कि", "की"], ["की", "की"], 1 / 2),
        (["👍", "👎"], ["👎", "👎"], 1 / 2),
        (["a>b", "a<b"], ["a<b", "a<b"], 1 / 2),
        ([".net", "net"], ["net", "net"], 1 / 2),
    ],
)
def test_a_label_is_never_taken_for_another(
    teacher: list[str], student: list[str], right: float, given_labels: bool
) -> None:
    spec: dict[str, Any] = {"kind": "label_accuracy"} | ({"labels": teacher} if given_labels else {})
    card = scored(teacher, student, spec)
    assert mean(card) == pytest.approx(right)
    assert mean(card, "teacher") == 1
    assert (verdict(card) == "promote") == (right == 1)
    macro = scored(teacher, student, spec | {"kind": "macro_f1"})
    assert mean(macro) == pytest.approx(right) if right == 1 else mean(macro) < 0.9


@pytest.mark.parametrize(
    "said",
    [
        "refund",
        "Refund.",
        ' "refund" ',
        "**refund**",
        "`REFUND`",
        "Label: refund",
        "**Label:** refund.",
        "The answer is refund",
        "Final answer: **Refund**",
        "Antwort: refund",
        "答案：refund",
        "(refund)",
        "refund!",
        "ｒｅｆｕｎｄ",
        "re\u00adfund",
        "refund\n",
    ],
)
def test_what_is_put_around_a_label_is_taken_off(said: str) -> None:
    assert LabelSet.of(["refund", "shipping", "A+", "-1"]).read(said) == "refund"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["A", "a"], "ａ and A"),
        (["US", "us"], "Us"),
        (["US", "us"], "Us."),
        (["yes", "no"], "yes, although no"),
        (["yes", "no"], "The answer is not yes"),
        (["yes", "no"], "yes no"),
        (["yes", "no"], ""),
        (["Yes.", "yes!"], "yes?"),
        (["-1", "0"], "1"),
        (["1"], "- 1"),
        (["A+"], "A"),
        (["30"], "<30"),
        (["refund"], "not refund"),
    ],
)
def test_two_that_fit_or_none_is_a_miss(labels: list[str], said: str) -> None:
    assert LabelSet.of(labels).read(said) == ""


def test_the_spelling_that_is_itself_a_label_wins_over_one_that_only_fits() -> None:
    labels = LabelSet.of(["US", "us", "5", "5.", "Yes."])
    assert [labels.read(said) for said in ("US", "us.", '"5."', "5", "yes")] == [
        "US",
        "us",
        "5.",
        "5",
        "Yes.",
    ]


@pytest.mark.parametrize("labels", [[-1, 0, 1], [True, False], [0.5], "refund"])
def test_labels_that_yaml_has_already_changed_are_refused(labels: Any) -> None:
    """`+1`, `01`, `.50` and `yes` are no longer what was written when they arrive here."""
    with pytest.raises(ConfigurationError):
        make_scorer({"kind": "label_accuracy", "labels": labels})


@settings(deadline=None, max_examples=300)
@given(data=st.data(), script=st.sampled_from(sorted(SCRIPTS)))
def test_one_meaningful_character_more_is_another_label_in_every_script(
    data: st.DataObject, script: str
) -> None:
    word = data.draw(st.text(SCRIPTS[script], min_size=1, max_size=8))
    mark = data.draw(st.sampled_from(MEANING))
    other = mark + word if data.draw(st.booleans()) else word + mark
    for label, said in ((word, other), (other, word)):
        assert LabelSet.of([label]).read(said) == ""
        assert make_scorer("exact").score(said, example(0, label)) == 0  # type: ignore[union-attr]
        assert token_f1(said, label) < 1
        assert make_scorer("char_f1").score(said, example(0, label)) < 1  # type: ignore[union-attr]
    assert LabelSet.of([word, other]).read(f'"{other}"') == other


@settings(deadline=None, max_examples=300)
@given(data=st.data(), script=st.sampled_from(sorted(SCRIPTS)))
def test_texts_that_differ_in_form_only_are_equal_in_every_script(data: st.DataObject, script: str) -> None:
    word = data.draw(st.text(SCRIPTS[script] + " ", min_size=1, max_size=12).filter(str.strip))
    form = data.draw(st.sampled_from(["NFC", "NFD"]))
    said = f"\ufeff  {unicodedata.normalize(form, word)}\n"
    assert folded(said) == folded(word)
    assert LabelSet.of([word]).read(said) == LabelSet.of([word]).read(word) != ""
    assert words(said) == words(word)


# --- words --------------------------------------------------------------------------------------------------

SENTENCES = {
    "Thai": ("ฉันต้องการคืนสินค้าที่ซื้อเมื่อวาน", "ฉันต้องการคืนสินค้าที่ซื้อวันนี้", "อากาศดีมาก"),
    "Khmer": ("ខ្ញុំចង់ប្រគល់ទំនិញវិញ", "ខ្ញុំចង់ប្រគល់សៀវភៅវិញ", "អាកាសធាតុល្អ"),
    "Lao": ("ຂ້ອຍຢາກສົ່ງສິນຄ້າຄືນ", "ຂ້ອຍຢາກສົ່ງປຶ້ມຄືນ", "ອາກາດດີ"),
    "Chinese": ("我想退回昨天买的商品", "我想退回今天买的商品", "天气很好"),
    "Japanese": ("昨日買った商品を返品したい", "今日買った商品を返品したい", "天気がいい"),
    "Korean": ("어제 산 상품을 반품하고 싶어요", "오늘 산 상품을 반품하고 싶어요", "날씨 좋다"),
    "Burmese": ("ကျွန်တော် ပစ္စည်းပြန်ပေးချင်ပါတယ်", "ကျွန်တော် စာအုပ်ပြန်ပေးချင်ပါတယ်", "ရာသီဥတု"),
}


@pytest.mark.parametrize("metric", ["token_f1", "rouge_l", "char_f1"])
@pytest.mark.parametrize("script", sorted(SENTENCES))
def test_a_text_without_spaces_has_tokens(script: str, metric: str) -> None:
    if metric == "rouge_l":
        pytest.importorskip("rouge_score")
    text, near, far = SENTENCES[script]
    scorer = make_scorer(metric)
    assert isinstance(scorer, ItemScorer)
    close, apart = scorer.score(near, example(0, text)), scorer.score(far, example(0, text))
    assert close is not None
    assert apart is not None
    assert 0.5 < close < 1
    assert apart < 0.35
    assert scorer.score(text, example(0, text)) == 1


def test_runs_of_characters_are_named_in_the_metric() -> None:
    assert make_scorer("char_f1").name == "char_3gram_f1"
    assert make_scorer({"kind": "char_f1", "n": 2}).name == "char_2gram_f1"
    with pytest.raises(ConfigurationError):
        make_scorer({"kind": "char_f1", "n": 0})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the result is -5", "the result is 5"),
        ("version 3.5", "version 5.3"),
        ("use C++", "use C"),
        ("a > b", "a < b"),
        ("5 %", "5"),
        ("2 + 3", "2 3"),
        ("2*3", "2 3"),
        ("a != b", "a = b"),
        ("great 👍", "great 👎"),
        ("温度-5度", "温度5度"),
        ("about €5", "about 5"),
        ("١٢", "١٣"),
    ],
)
def test_word_overlap_sees_signs_and_numbers(one: str, other: str) -> None:
    assert token_f1(one, other) < 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The card has arrived.", "the card has arrived"),
        ("**Yes**, it did!", "yes it did"),
        ("“well-known”", "well known"),
        ("range 10–20", "range 10-20"),
        ("ខ្ញុំ\u200bចង់", "ខ្ញុំចង់"),
        ("น้ำ", "น\u0e49\u0e4d\u0e32"),
    ],
)
def test_word_overlap_does_not_see_marks_of_writing(one: str, other: str) -> None:
    assert token_f1(one, other) == 1


def test_exact_minds_case_only_where_the_references_do() -> None:
    assert mean(scored(["US", "us"], ["us", "us"], "exact")) == 0.5
    assert mean(scored(["Card arrival", "Refund"], ["card arrival", "refund"], "exact")) == 1


# --- JSON and tools -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        '{"a": 1, "b": [true]}',
        '{"b": [true], "a": 1.0}',
        'Here it is: {"a": 1, "b": [true]} as asked in [1].',
        'Sure!\n```json\n{"a": 1, "b": [true]}\n```\nAnything else?',
        '```\n{"a": 1, "b": [true]}\n```',
        '```JSON {"a": 1e0, "b": [true]}```',
        '{"a": 1, "b": [true]} or again {"a": 1, "b": [true]}',
    ],
)
def test_json_amid_prose_or_fences_is_found(said: str) -> None:
    assert make_scorer("json_fields").score(said, example(0, '{"a": 1, "b": [true]}')) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("said", "reference"),
    [
        ("a is 1", '{"a": 1}'),
        ("a is 1", "a is 1"),
        ('{"a": 1}', "a is 1"),
        ('either {"a": 1} or {"a": 2}', '{"a": 1}'),
        ('{"a": 1', '{"a": 1'),
        ('{"a": 1}', '{"a": true}'),
        ('{"a": {}}', '{"a": null}'),
        ('{"a": ""}', '{"a": []}'),
        ("[" * 200 + "]" * 200, "[" * 200 + "]" * 200),
    ],
)
def test_no_json_is_a_format_miss_and_never_compared_as_text(said: str, reference: str) -> None:
    assert make_scorer("json_fields").score(said, example(0, reference)) == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text", ["{" * 20_000, "[" * 20_000, '{"a":' * 20_000, "```" * 20_000, "[1,\n" * 20_000]
)
def test_looking_for_json_costs_no_more_than_the_text_is_long(text: str) -> None:
    start = time.process_time()
    with pytest.raises(NotJsonError):
        read_json(text, prose=True)
    assert time.process_time() - start < 1


def call(arguments: str, name: str = "f") -> str:
    return f'{{"name": "{name}", "input": {arguments}}}'


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (call('{"x": 1, "y": 2}'), call('{"y": 2.0, "x": 1e0}'), True),
        (call("{}"), '{"toolUse": {"name": "f"}}', True),
        (call("{}"), '{"function": {"name": "f", "arguments": ""}}', True),
        (call("{}"), call('{"x": ""}'), False),
        (call("{}"), call('{"x": null}'), False),
        (call('{"x": ""}'), call('{"x": null}'), False),
        (call('{"x": []}'), call('{"x": {}}'), False),
        (call('{"x": 1}'), call('{"x": "1"}'), False),
        (call('{"x": 1}'), call('{"x": true}'), False),
        (call('{"x": "a"}'), call('{"x": "A"}'), False),
        (f"I will look.\n{call('{}')}", call("{}"), True),
        (
            f"```json\n{call('{}')}\n```\nthen\n```json\n{call('{}', 'g')}\n```",
            f"[{call('{}')},{call('{}', 'g')}]",
            True,
        ),
        (call("{}"), "no tool is needed", False),
        ('{"a": 1}', '{"a": 1.0}', True),
        ('{"a": 1}', "a is 1", False),
        ("No tool is needed.", "no tool is needed.", True),
    ],
)
def test_calls_are_equal_when_they_do_the_same(one: str, other: str, equal: bool) -> None:
    scorer = make_scorer("tool_calls")
    assert isinstance(scorer, ItemScorer)
    assert scorer.score(one, example(0, other)) == scorer.score(other, example(0, one)) == float(equal)


@settings(deadline=None)
@given(
    value=st.dictionaries(
        st.text(max_size=5), st.integers(-(10**15), 10**15) | st.booleans() | st.none(), max_size=5
    )
)
def test_the_order_of_keys_and_the_spelling_of_numbers_do_not_matter(value: dict[str, Any]) -> None:
    turned = {k: float(v) if type(v) is int else v for k, v in reversed(value.items())}
    for kind, wrap in (("json_fields", str), ("tool_calls", call)):
        scorer = make_scorer(kind)
        assert isinstance(scorer, ItemScorer)
        assert scorer.score(wrap(json.dumps(turned)), example(0, wrap(json.dumps(value)))) == 1


# --- versions -----------------------------------------------------------------------------------------------


def test_a_scorer_says_its_version_and_refuses_to_be_made_in_another() -> None:
    described = describe(make_scorer("label_accuracy"))
    assert described["version"] == SCORERS["label_accuracy"].version == 2
    with pytest.raises(ConfigurationError):
        make_scorer(described | {"version": 1})


@settings(deadline=None)
@given(text=st.text(max_size=80))
def test_every_text_reads_the_same_twice(text: str) -> None:
    labels = LabelSet.of([text])
    assume(folded(text))
    assert labels.read(text) == labels.read(labels.read(text)) != ""
    assert folded(folded(text)) == folded(text)


INTENTS = ["refund", "no_refund", "exchange", "1", "-1", "10", "C", "C#", "C++", "<5", ">5", "退款", "换货"]
READ_AS = [
    ("Answer - refund", "refund"), ("Label – exchange", "exchange"), ("1)", "1"), ("1.", "1"), ("refund)", "refund"),
    ("−1", "-1"), ("Label: −1", "-1"), ("Label -1", ""), ("(1)", ""), ("1.0", ""), ("+1", ""), ("11", ""), ("**C#**", "C#"),
    ("C++.", "C++"), ("c#", "C#"), ("No_Refund.", "no_refund"), ("no refund", ""), ("not refund", ""),
    ("refund, exchange", ""),
    ("标签：退款", "退款"), ("退款。", "退款"), ("< 5", ""), ("<5.", "<5"), ("5", ""), ("Étiquette : refund", "refund"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "label"), READ_AS)
def test_answers_of_other_models_are_read_as_the_label_they_give_or_none(said: str, label: str) -> None:
    assert LabelSet.of(INTENTS).read(said) == label


@pytest.mark.parametrize(
    ("said", "reference", "score"),
    [
        ('{"k": "e\u0301"}', '{"k": "\u00e9"}', 1.0),
        ('{"e\u0301": 1}', '{"\u00e9": 1}', 1.0),
        ('{"a": 1e0}', '{"a": 1}', 1.0),
        ('{"a": 10e-1}', '{"a": 1.0}', 1.0),
        ('{"a": 1234567890123456789}', '{"a": 1234567890123456788}', 0.0),
        ('{"a": "1"}', '{"a": 1}', 0.0),
        ('{"a": true}', '{"a": 1}', 0.0),
        ('{"a": null}', '{"a": ""}', 0.0),
        ('{"a": []}', '{"a": {}}', 0.0),
        ('{"a": [1, 2]}', '{"a": [2, 1]}', 0.0),
        ("{'a': 1}", '{"a": 1}', 0.0),
        ('{"a": 1,}', '{"a": 1}', 0.0),
        ('<json>{"a": 1}</json>', '{"a": 1}', 1.0),
        ("a=1", '{"a": 1}', 0.0),
    ],
)
def test_fields_are_equal_when_they_say_the_same(said: str, reference: str, score: float) -> None:
    assert value_of("json_fields", said, reference) == score


@pytest.mark.parametrize(
    ("metric", "said", "reference", "low", "high"),
    [
        ("exact", "-5", "5", 0, 0), ("exact", "−5", "-5", 1, 1), ("exact", "1.5", "1,5", 0, 0), ("exact", "😀", "😢", 0, 0),
        ("exact", "हिन्दी", "हिनदी", 0, 0), ("token_f1", "ຂອບໃຈ", "ຂອບໃຈຫຼາຍໆ", 0.1, 0.9),
        ("token_f1", "ខ្ញុំចង់ទិញ", "ខ្ញុំចង់លក់", 0.1, 0.9), ("token_f1", "ပြန်အမ်းငွေ", "ပြန်အမ်း", 0.1, 0.95),
        ("rouge_l", "คำตอบคือใช่", "คำตอบคือไม่ใช่", 0.1, 0.95), ("token_f1", "-5", "5", 0, 0), ("token_f1", "5%", "5", 0, 0.9),
        ("token_f1", "谢谢你的帮助", "谢谢您的帮助", 0.1, 0.95), ("rouge_l", "ありがとう", "ありがとう", 1, 1),
    ],
)  # fmt: skip
def test_overlap_in_other_scripts_lies_between_nothing_and_all(
    metric: str, said: str, reference: str, low: float, high: float
) -> None:
    assert low <= value_of(metric, said, reference) <= high


def value_of(metric: str, said: str, reference: str) -> float:
    scorer = make_scorer(metric)
    assert isinstance(scorer, ItemScorer)
    value = scorer.score(said, example(0, reference))
    assert value is not None
    return value
