"""Each scorer judges what it says and nothing else: bounds, symmetries, and the odd answers that models give."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.evaluation.scorers import rouge
from airflow_distill.stages.evaluation.scorers.exact import ExactMatch
from airflow_distill.stages.evaluation.scorers.json_fields import JsonFields
from airflow_distill.stages.evaluation.scorers.json_valid import JsonValid
from airflow_distill.stages.evaluation.scorers.labels import LabelAccuracy, MacroF1
from airflow_distill.stages.evaluation.scorers.normalise import folded, words
from airflow_distill.stages.evaluation.scorers.protocol import CorpusScorer, ItemScorer
from airflow_distill.stages.evaluation.scorers.registry import SCORERS, describe, make_scorer, make_scorers
from airflow_distill.stages.evaluation.scorers.tokens import token_f1
from airflow_distill.stages.evaluation.scorers.tool_calls import ToolCalls, read_calls

NEEDED: dict[str, dict[str, Any]] = {
    "json_schema": {"schema": {"type": "object", "required": ["a"]}},
    "function": {"path": f"{__name__}:same_length"},
}
"""Settings that a scorer cannot do without."""

ITEM_KINDS = sorted(kind for kind in SCORERS if kind != "macro_f1")

texts = st.text(max_size=40) | st.sampled_from(
    [
        "",
        " ",
        "Yes.",
        "yes",
        '{"a": 1}',
        '[{"name": "f", "input": {"x": 1}}]',
        "```json\n{}\n```",
        "日本語 text",
        "...",
        "NaN",
    ]
)


def same_length(answer: str, reference: str | None, example: Example) -> float:
    """A scorer of a user's own."""
    return float(len(answer) == len(reference or ""))


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under importlib mode this module has no importable name of its own; a user's module would."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


def example(answer: str | None) -> Example:
    return Example(turns=(Turn("user", "question"),), answer=answer)


def item_scorer(kind: str) -> ItemScorer:
    scorer = make_scorer({"kind": kind} | NEEDED.get(kind, {}))
    assert isinstance(scorer, ItemScorer)
    return scorer


# --- what holds for all -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ITEM_KINDS)
@settings(deadline=None)
@given(answer=texts, reference=texts)
def test_every_score_lies_between_zero_and_one(kind: str, answer: str, reference: str) -> None:
    score = item_scorer(kind).score(answer, example(reference))
    assert score is not None
    assert 0.0 <= score <= 1.0


@pytest.mark.parametrize("kind", ["exact", "token_f1", "char_f1", "rouge_l", "tool_calls"])
@settings(deadline=None)
@given(answer=texts)
def test_the_reference_itself_scores_one(kind: str, answer: str) -> None:
    """The teacher's logged answer is its own reference: agreement metrics give it 1 by construction."""
    assert item_scorer(kind).score(answer, example(answer)) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["exact", "token_f1", "char_f1", "rouge_l", "tool_calls", "json_fields"])
@settings(deadline=None)
@given(answer=texts, reference=texts)
def test_agreement_does_not_depend_on_who_is_asked_first(kind: str, answer: str, reference: str) -> None:
    scorer = item_scorer(kind)
    one, other = scorer.score(answer, example(reference)), scorer.score(reference, example(answer))
    assert one == pytest.approx(other)


@pytest.mark.parametrize("kind", ITEM_KINDS)
def test_a_scorer_that_needs_a_reference_gives_no_score_without_one(kind: str) -> None:
    scorer = item_scorer(kind)
    assert (scorer.score("{}", example(None)) is None) == scorer.needs_reference


@pytest.mark.parametrize("kind", sorted(SCORERS))
def test_a_scorer_can_be_made_again_from_its_description(kind: str) -> None:
    scorer = make_scorer({"kind": kind} | NEEDED.get(kind, {}))
    described = describe(scorer)
    assert described["kind"] == kind
    assert json.loads(json.dumps(described)) == described
    if kind != "json_schema":  # its schema is named by digest only
        assert make_scorer(described) == scorer


def test_an_unknown_scorer_is_refused_with_the_list() -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_scorer("blue")
    assert "macro_f1" in caught.value.hint


@pytest.mark.parametrize(
    "spec", [{"kind": "exact", "colour": 1}, {"kind": "json_schema"}, {"kind": "function"}]
)
def test_wrong_settings_are_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        make_scorer(spec)


def test_two_metrics_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        make_scorers(["exact", {"kind": "token_f1", "name": "exact"}])


# --- words and labels ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(text=st.text(max_size=60))
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's 3.5", ["it", "s", "3.5"]),
        ("日本語 text", ["日", "本", "語", "text"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("Ünïcödé", ["ünïcödé"]),
        ("...", []),
    ],
)
def test_words_of_other_scripts_count_as_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_token_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    assert token_f1("a b c d", "a b") == pytest.approx(2 * 0.5 * 1 / 1.5)
    assert token_f1("a a", "a") == pytest.approx(2 / 3)
    assert token_f1("a", "b") == 0


def test_exact_match_forgives_case_and_spacing_unless_strict() -> None:
    assert ExactMatch().score(" Card\n arrival ", example("card arrival")) == 1
    assert ExactMatch(strict=True).score("Card arrival", example("card arrival")) == 0


@pytest.mark.parametrize("said", ["card_arrival", "Card_Arrival.", ' "card_arrival" ', "**card_arrival**"])
def test_a_label_is_read_without_what_models_put_around_it(said: str) -> None:
    assert LabelAccuracy().score(said, example("card_arrival")) == 1


def test_a_label_inside_a_sentence_is_not_guessed() -> None:
    scorer = LabelAccuracy(labels=("yes", "no"))
    assert scorer.score("yes, although no", example("yes")) == 0
    assert LabelAccuracy(pattern=r"Answer: (\w+)").score("I think. Answer: yes", example("Answer: yes")) == 1


def test_two_answers_without_a_label_do_not_agree() -> None:
    """Otherwise a teacher that failed to give a label would reward a student that fails too."""
    assert LabelAccuracy(labels=("yes", "no")).score("perhaps", example("perhaps")) == 0


def test_a_broken_pattern_is_refused_before_anything_is_scored() -> None:
    with pytest.raises(ConfigurationError):
        MacroF1(pattern="(")


def test_macro_f1_agrees_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    wanted = ["a"] * 10 + ["b"] * 8 + ["c"] * 6
    said = ["a"] * 7 + ["b"] * 3 + ["b"] * 8 + ["a"] * 2 + ["c"] * 4
    scorer = MacroF1()
    cells: dict[tuple[str, str], float] = {}
    for pair in zip(wanted, said, strict=True):
        cells[pair] = cells.get(pair, 0) + 1
    frame = scorer.frame({"a": 10, "b": 8, "c": 6})
    assert scorer.measure(cells, frame) == pytest.approx(metrics.f1_score(wanted, said, average="macro"))
    assert isinstance(scorer, CorpusScorer)


def test_rare_classes_are_left_out_of_macro_f1() -> None:
    assert MacroF1(min_support=5).frame({"often": 60, "rare": 4}) == ("often",)
    assert MacroF1(min_support=5).frame({"often": 60, "": 5}) == ("often",), "no label is no class"


def test_mostly_rare_classes_have_no_macro_f1() -> None:
    """An average over the few classes that happen to be filled would speak for a set it has not seen."""
    assert MacroF1().frame({"often": 20} | {f"rare {i}": 4 for i in range(20)}) == ()


@pytest.mark.parametrize("settings", [{"min_support": 1}, {"min_coverage": 0}, {"min_coverage": 1.1}])
def test_macro_f1_refuses_settings_under_which_it_means_nothing(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        make_scorer({"kind": "macro_f1"} | settings)


# --- JSON and tools -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"a": 1}', 1),
        ('```json\n{"a": 1}\n```', 1),
        ('Here it is: {"a": 1}', 0),
        ('{"a": NaN}', 0),
        ('{"a": 1e999}', 0),
        ("[" * 100_000, 0),
        ("", 0),
    ],
)
def test_json_is_read_strictly(answer: str, expected: int) -> None:
    assert JsonValid().score(answer, example(None)) == expected


def test_json_of_the_wrong_kind_is_not_valid() -> None:
    assert JsonValid(type="object").score("[1]", example(None)) == 0
    with pytest.raises(ConfigurationError):
        JsonValid(type="number")


def test_a_schema_is_checked_when_the_scorer_is_made_and_when_it_judges() -> None:
    scorer = item_scorer("json_schema")
    assert scorer.score('{"a": 1}', example(None)) == 1
    assert scorer.score('{"b": 1}', example(None)) == 0
    assert scorer.score("no", example(None)) == 0
    with pytest.raises(ConfigurationError):
        make_scorer({"kind": "json_schema", "schema": {"type": "nothing"}})


def test_fields_count_by_place_and_value() -> None:
    reference = '{"name": "Ann", "tags": ["x", "y"], "age": 3}'
    score = JsonFields().score
    assert score('{"tags": ["x", "y"], "age": 3.0, "name": " Ann "}', example(reference)) == 1
    assert score('{"name": "Ann", "tags": ["y", "x"], "age": 3}', example(reference)) == pytest.approx(0.5)
    assert score(
        '{"name": "Ann", "tags": ["x", "y"], "age": 3, "more": 1}', example(reference)
    ) == pytest.approx(8 / 9)
    assert score("not JSON", example(reference)) == 0


def test_named_fields_are_the_only_ones_that_count() -> None:
    scorer = JsonFields(fields=("a", "b"))
    assert scorer.score('{"a": 1, "b": 2, "c": 9}', example('{"a": 1, "b": 3, "c": 8}')) == 0.5
    assert scorer.score("[]", example('{"a": 1}')) == 0.5, "b is absent from both"


def test_true_is_not_one() -> None:
    assert JsonFields().score('{"a": true}', example('{"a": 1}')) == 0


@pytest.mark.parametrize(
    "call",
    [
        '{"name": "refund", "arguments": {"id": 7, "note": "x"}}',
        '{"name": "refund", "parameters": {"note": "x", "id": 7.0}}',
        '{"type": "tool_use", "id": "t1", "name": "refund", "input": {"id": 7, "note": "x "}}',
        '{"toolUse": {"toolUseId": "t2", "name": "refund", "input": {"id": 7, "note": "x"}}}',
        '{"tool_calls": [{"id": "c", "function": {"name": "refund", "arguments": "{\\"id\\": 7, \\"note\\": \\"x\\"}"}}]}',
        '{"content": [{"type": "text"}, {"type": "tool_use", "name": "refund", "input": {"id": 7, "note": "x"}}]}',
    ],
)
def test_one_call_written_in_different_forms_is_one_call(call: str) -> None:
    assert ToolCalls().score(call, example('[{"name": "refund", "input": {"id": 7, "note": "x"}}]')) == 1


def test_calls_differ_by_tool_by_argument_and_by_number() -> None:
    one = '{"name": "f", "input": {"x": 1}}'
    two = f'[{one}, {{"name": "g", "input": {{}}}}]'
    assert ToolCalls().score(one.replace("1", "2"), example(one)) == 0
    assert ToolCalls().score(one.replace("f", "h"), example(one)) == 0
    assert ToolCalls().score(one, example(two)) == 0
    assert ToolCalls(partial=True).score(one, example(two)) == pytest.approx(2 / 3)
    assert ToolCalls().score("I cannot do that.", example(one)) == 0


def test_the_order_of_calls_counts_when_asked() -> None:
    forward = '[{"name": "f", "input": {}}, {"name": "g", "input": {}}]'
    backward = '[{"name": "g", "input": {}}, {"name": "f", "input": {}}]'
    assert ToolCalls().score(backward, example(forward)) == 1
    assert ToolCalls(ordered=True).score(backward, example(forward)) == 0


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_reading_calls_survives_any_json(value: Any) -> None:
    assert isinstance(read_calls(json.dumps(value)), list)


# --- libraries and functions --------------------------------------------------------------------------------


def test_rouge_says_what_to_install_when_the_library_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    rouge._library.cache_clear()
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(ConfigurationError) as caught:
        make_scorer("rouge_l")
    assert "airflow-distill[rouge]" in caught.value.hint
    rouge._library.cache_clear()


def test_rouge_l_follows_the_longest_common_run() -> None:
    pytest.importorskip("rouge_score")
    score = item_scorer("rouge_l").score("police kill the gunman", example("police killed the gunman"))
    assert score == pytest.approx(0.75)
    assert item_scorer("rouge_l").score("你好", example("你好吗")) == pytest.approx(0.8)


def test_a_users_function_is_named_by_import_path() -> None:
    scorer = item_scorer("function")
    assert scorer.name == "same_length"
    assert scorer.score("ab", example("cd")) == 1


@pytest.mark.parametrize("path", ["nowhere", "no.such.module:f", "json:nothing", "json:__name__"])
def test_a_function_that_cannot_be_had_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError):
        make_scorer({"kind": "function", "path": path})
