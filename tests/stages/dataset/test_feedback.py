"""Feedback: what three kinds of export say of an answer, how it joins the harvest, and what follows for the dataset."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from airflow_distill.errors import ConfigurationError, DatasetError
from airflow_distill.stages.dataset.curate import CurateSettings, curate
from airflow_distill.stages.dataset.feedback import Feedback, Opinion, feedback_at, read_feedback, score_of
from airflow_distill.stages.dataset.redact import redact
from airflow_distill.stages.logs.records import Interaction, Turn
from airflow_distill.stages.storage import MemoryStore

NOVA = "amazon.nova-micro-v1:0:128k"
VOCABULARY = [f"word{n}" for n in range(2000)]


def traffic(count: int, seed: int = 1) -> list[Interaction]:
    rng = random.Random(seed)
    return [
        Interaction(
            request_id=f"req-{n}", timestamp="2026-11-20T00:00:00Z", operation="Converse", model_id="m", model="m",
            turns=(Turn("user", " ".join(rng.choices(VOCABULARY, k=12))),), answer=f"label {n % 5}",
        )
        for n in range(count)
    ]  # fmt: skip


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def said(*records: Any) -> Feedback:
    return read_feedback([lines(*records)])


def only(*records: Any) -> Opinion:
    feedback = said(*records)
    (found,) = [*feedback.by_request.values(), *feedback.by_prompt.values()]
    return found


def run(rows: list[Interaction], feedback: Feedback, *use: str, **settings: Any) -> Any:
    return curate(rows, CurateSettings(salt="s", feedback=use, **settings), student=NOVA, feedback=feedback)


# forms


@pytest.mark.parametrize(
    ("label", "score"),
    [
        ("liked", 1.0), ("Thumbs up", 1.0), ("👍", 1.0), ("down", 0.0), ("no", 0.0), (True, 1.0), (0.25, 0.25), ("4", 4.0),
        ("rather so", None), (None, None), ("nan", None), (float("inf"), None), ([], None), ("", None),
    ],
)  # fmt: skip
def test_labels_and_numbers_are_scores_and_other_words_are_none(label: Any, score: float | None) -> None:
    assert score_of(label) == score


OWN: dict[str, tuple[dict[str, Any], Opinion]] = {
    "a request": ({"request_id": "r1", "score": 0.5}, Opinion("r1", score=0.5)),
    "a label": ({"requestId": "r1", "label": "liked"}, Opinion("r1", score=1.0)),
    "a correction": ({"request_id": "r1", "answer": "better"}, Opinion("r1", answer="better")),
    "a digest": ({"prompt_digest": "a" * 32, "rating": 4}, Opinion(prompt="a" * 32, score=4.0)),
}


@pytest.mark.parametrize(("record", "opinion"), OWN.values(), ids=OWN)
def test_our_own_form_is_read(record: dict[str, Any], opinion: Opinion) -> None:
    assert only(record) == opinion


def test_our_own_form_is_read_from_a_table() -> None:
    feedback = read_feedback([b"request_id,score,answer\nr1,0.9,\nr2,,say this\n"])
    assert feedback.by_request == {"r1": Opinion("r1", score=0.9), "r2": Opinion("r2", answer="say this")}


LANGFUSE: dict[str, tuple[dict[str, Any], str, float | None]] = {
    "a score": (
        {"id": "s", "traceId": "t1", "name": "user", "value": 1, "dataType": "BOOLEAN"}, "t1", 1.0,
    ),
    "a category": (
        {"traceId": "t1", "name": "user", "value": 0, "stringValue": "good", "dataType": "CATEGORICAL"}, "t1", 1.0,
    ),
    "a score whose trace names the request": (
        {"traceId": "t1", "value": 0.3, "dataType": "NUMERIC", "trace": {"metadata": {"request_id": "r1"}}}, "r1", 0.3,
    ),
    "a trace": (
        {"id": "t1", "input": "hello", "metadata": '{"aws_request_id": "r1"}',
         "scores": [{"name": "user", "value": 0, "dataType": "NUMERIC"}]}, "r1", 0.0,
    ),
    "an observation's metadata": (
        {"id": "t1", "input": {"x": 1}, "scores": [{"name": "user", "value": 1}],
         "observations": [{"metadata": {"attributes": {"aws.request_id": "r1"}}}]}, "r1", 1.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("record", "request_id", "score"), LANGFUSE.values(), ids=LANGFUSE)
def test_langfuse_exports_are_read(record: dict[str, Any], request_id: str, score: float) -> None:
    found = only(record)
    assert (found.request_id, found.score) == (request_id, score)


def test_a_langfuse_correction_is_a_corrected_answer() -> None:
    score = {"traceId": "t1", "name": "output", "dataType": "CORRECTION", "stringValue": "better", "value": 0}
    assert only(score) == Opinion("t1", answer="better", name="output")


def otlp(attributes: dict[str, Any], **event: Any) -> dict[str, Any]:
    def typed(value: Any) -> dict[str, Any]:
        kind = {bool: "boolValue", int: "intValue", float: "doubleValue"}.get(type(value), "stringValue")
        return {kind: str(value) if kind == "intValue" else value}

    def pairs(held: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"key": key, "value": typed(value)} for key, value in held.items()]

    result = {"name": "gen_ai.evaluation.result", "timeUnixNano": "1", "attributes": pairs(event)}
    span = {"traceId": "t9", "name": "chat nova", "attributes": pairs(attributes), "events": [result]}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


OTEL: dict[str, tuple[dict[str, Any], str, float]] = {
    "a span's event": (
        otlp({"aws.request_id": "r1"}, **{"gen_ai.evaluation.score.value": 0.7}), "r1", 0.7,
    ),
    "a label": (
        otlp({"gen_ai.response.id": "r1"}, **{"gen_ai.evaluation.score.label": "fail"}), "r1", 0.0,
    ),
    "a whole number": (
        otlp({"gen_ai.response.id": "r1"}, **{"gen_ai.evaluation.score.value": 4}), "r1", 4.0,
    ),
    "a span without a request": (
        otlp({}, **{"gen_ai.evaluation.score.value": 1.0}), "t9", 1.0,
    ),
    "a log record": (
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"eventName": "gen_ai.evaluation.result", "attributes": [
            {"key": "gen_ai.response.id", "value": {"stringValue": "r1"}},
            {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 0.2}}]}]}]}]}, "r1", 0.2,
    ),
    "one record by itself": (
        {"name": "gen_ai.evaluation.result",
         "attributes": {"gen_ai.response.id": "r1", "gen_ai.evaluation.score.label": "pass"}}, "r1", 1.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("record", "request_id", "score"), OTEL.values(), ids=OTEL)
def test_opentelemetry_exports_are_read(record: dict[str, Any], request_id: str, score: float) -> None:
    found = only(record)
    assert (found.request_id, found.score) == (request_id, score)


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"request_id": "r1"}, "no_score"),
        ({"request_id": "r1", "label": "rather so"}, "no_score"),
        ({"score": 1}, "no_request"),
        ({"colour": "red"}, "unknown_form"),
        ([1], "not_an_object"),
    ],
)
def test_a_record_that_says_nothing_of_an_answer_is_counted(record: Any, code: str) -> None:
    assert said({"request_id": "r0", "score": 1}, record).unread == {code: 1}


def test_the_latest_of_several_opinions_counts_by_time_and_then_by_order() -> None:
    found = only(
        {"request_id": "r1", "score": 1, "time": "2026-11-21"},
        {"request_id": "r1", "score": 0, "time": "2026-11-20"},
        {"request_id": "r1", "answer": "better", "time": "2026-11-22"},
    )
    assert (found.score, found.answer) == (1.0, "better")
    assert only({"request_id": "r1", "score": 1}, {"request_id": "r1", "score": 0}).score == 0.0


# joining


def test_only_liked_answers_are_taken_and_the_counts_add_up() -> None:
    rows = traffic(200)
    feedback = said(*({"request_id": f"req-{n}", "score": n % 2} for n in range(120)))
    out = run(rows, feedback, "liked")
    assert {e.turns for e in [*out.train, *out.heldout]} == {
        r.turns for r in rows[:120] if int(r.request_id[4:]) % 2
    }
    assert (out.dropped["disliked"], out.dropped["not_rated"]) == (60, 80)
    assert out.kept == len(out.train) + len(out.heldout) + sum(out.dropped.values())
    assert len(feedback.joined) == 120
    lenient = run(
        rows, said(*({"request_id": f"req-{n}", "score": n % 2} for n in range(120))), "not_disliked"
    )
    assert lenient.dropped == {"disliked": 60}


def test_stars_are_liked_from_the_score_that_is_named() -> None:
    rows = traffic(100)
    out = run(
        rows,
        said(*({"request_id": f"req-{n}", "score": 1 + n % 5} for n in range(100))),
        "liked",
        liked_from=4,
    )
    assert len(out.train) + len(out.heldout) == 40


def test_corrected_answers_are_golden_and_judge() -> None:
    rows = traffic(100)
    rows[3] = replace(rows[3], answer="I'm sorry, but I can't help with that.", stop_reason="end_turn")
    feedback = said(*({"request_id": f"req-{n}", "score": 0, "answer": f"better {n}"} for n in range(20)))
    out = run(rows, feedback, "corrected", "not_disliked")
    golden = [e for e in out.heldout if e.golden]
    assert {e.answer for e in golden} == {f"better {n}" for n in range(20)}, (
        "a refusal that people mended is one too"
    )
    assert not any(e.golden for e in out.train)
    assert out.dropped == {}


def test_corrections_are_redacted_like_all_else() -> None:
    rows = traffic(30)
    out = run(rows, said({"request_id": "req-1", "answer": "Write to jane.roe@example.com"}), "corrected")
    (golden,) = [e for e in out.heldout if e.golden]
    assert golden.answer == "Write to [EMAIL_1]"


def test_feedback_joins_by_prompt_as_the_card_names_it_and_as_the_export_carries_it() -> None:
    rows = [replace(r, request_id="") for r in traffic(40)]
    rows[1] = replace(rows[1], turns=(Turn("user", "My address is jane.roe@example.com, what now?"),))
    hidden = redact(run(rows, Feedback()).rows[1].example)[0]
    by_digest = said({"prompt_digest": hidden.id, "score": 1})
    assert len(run(rows, by_digest, "liked").rows) == 40
    assert by_digest.joined == {f"prompt:{hidden.id}"}
    trace = {
        "id": "t", "input": [{"role": "user", "content": rows[1].turns[0].text}], "scores": [{"value": 1}],
    }  # fmt: skip
    carried = read_feedback([lines(trace)], lambda example: redact(example)[0])
    assert {e.turns for e in run(rows, carried, "liked").train} <= {hidden.turns}
    assert carried.joined == {f"prompt:{hidden.id}"}


def test_feedback_joins_by_the_trace_that_an_application_names_in_request_metadata() -> None:
    rows = [
        replace(r, request_id=f"x{n}", metadata=(("Trace_ID", f"t{n}"),)) for n, r in enumerate(traffic(30))
    ]
    feedback = said({"traceId": "t7", "value": 0, "dataType": "NUMERIC"})
    assert run(rows, feedback, "not_disliked").dropped == {"disliked": 1}


def test_weights_prefer_the_better_liked_where_more_are_usable_than_wanted() -> None:
    rows = traffic(1000)
    records = [{"request_id": f"req-{n}", "score": 1 if n % 2 else 0} for n in range(1000)]
    out = run(rows, said(*records), "weights", limit=400, heldout=0.2)
    taught = {e.turns for e in out.train}
    liked = sum(r.turns in taught for r in rows[1::2])
    assert len(out.train) + len(out.heldout) == 400
    assert liked / len(taught) > 0.85
    judging = {e.turns for e in out.heldout}
    assert 0.3 < sum(r.turns in judging for r in rows[1::2]) / len(judging) < 0.7, (
        "judges are drawn without weights"
    )
    assert [e.id for e in run(rows, said(*records), "weights", limit=400, heldout=0.2).train] == [
        e.id for e in out.train
    ]


def test_without_feedback_nothing_changes() -> None:
    rows = traffic(100)
    plain = curate(rows, CurateSettings(salt="s"), student=NOVA)
    assert [r.example for r in run(rows, Feedback(), "weights").rows] == [r.example for r in plain.rows]


@pytest.mark.parametrize("use", [("liked", "not_disliked"), ("loved",)])
def test_uses_that_make_no_sense_are_refused(use: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="feedback takes"):
        CurateSettings(salt="s", feedback=use)


# files


def test_files_below_a_prefix_are_read_together() -> None:
    store = MemoryStore()
    store.write("s3://b/f/a.jsonl", lines({"request_id": "r1", "score": 1}))
    store.write("s3://b/f/b.csv", b"request_id,score\nr2,0\n")
    store.write("s3://b/f/notes.txt", b"nothing")
    found = feedback_at(store, "s3://b/f")
    assert {name: o.score for name, o in found.by_request.items()} == {"r1": 1.0, "r2": 0.0}
    assert found.records == 2


def test_scores_of_several_names_ask_which_one_counts() -> None:
    store = MemoryStore()
    scores = [
        {"traceId": "t1", "name": "user-feedback", "value": 1, "dataType": "NUMERIC"},
        {"traceId": "t1", "name": "toxicity", "value": 0, "dataType": "NUMERIC"},
    ]
    store.write("s3://b/f.json", json.dumps(scores).encode())
    with pytest.raises(ConfigurationError, match="2 names: 'user-feedback', 'toxicity'"):
        feedback_at(store, "s3://b/f.json")
    assert feedback_at(store, "s3://b/f.json", name="user-feedback").by_request["t1"].score == 1.0


def test_nothing_there_and_nothing_said_are_errors() -> None:
    store = MemoryStore()
    with pytest.raises(ConfigurationError, match="no feedback file"):
        feedback_at(store, "s3://b/nowhere")
    store.write("s3://b/f.jsonl", lines({"colour": "red"}))
    with pytest.raises(DatasetError, match="unknown_form"):
        feedback_at(store, "s3://b/f.jsonl")
