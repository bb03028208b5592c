"""Prompts that other tools keep: every form becomes the same example, and what is none is counted under its code."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from airflow_distill.stages.dataset.imports import Imported, iter_imported
from airflow_distill.stages.dataset.records import Example, Turn

ASKED, SAID, SYSTEM = "How do I top up my card?", "top_up", "Name the intent."
EXAMPLE = Example((Turn("user", ASKED),), answer=SAID, system=SYSTEM)
CHAT = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ASKED}]
SPOKEN = {"role": "assistant", "content": SAID}
CHOICE = {"index": 0, "finish_reason": "stop", "message": {**SPOKEN, "refusal": None}}
BEDROCK = {
    "schemaVersion": "bedrock-conversation-2024",
    "system": [{"text": SYSTEM}],
    "messages": [
        {"role": "user", "content": [{"text": ASKED}]},
        {"role": "assistant", "content": [{"text": SAID}]},
    ],
}
RECORDS: dict[str, Any] = {
    "ours": EXAMPLE.to_json(),
    "Bedrock's": BEDROCK,
    "a pair": {"prompt": ASKED, "completion": SAID, "system": SYSTEM},
    "a pair of messages": {"prompt": CHAT, "completion": SAID},
    "a pair with an answer's message": {"prompt": CHAT, "completion": [{"text": SAID}]},
    "chat messages": {"messages": [*CHAT, SPOKEN]},
    "chat messages in blocks": {
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": SYSTEM}]},
            {"role": "user", "content": [{"type": "input_text", "text": ASKED}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": SAID}]},
        ]
    },
    "a stored completion": {"object": "chat.completion", "id": "x", "messages": CHAT, "choices": [CHOICE]},
    "a stored completion with its input": {"input": CHAT, "choices": [CHOICE], "model": "gpt-4o"},
    "a stored completion with a page of messages": {"messages": {"data": CHAT}, "choices": [CHOICE]},
    "a logged request and its response": {"request": {"messages": CHAT}, "choices": [CHOICE]},
}


def examples(data: bytes) -> list[Example]:
    return [item.example for item in iter_imported(data) if item.example is not None]


def codes(data: bytes) -> list[tuple[int, str]]:
    return [(item.number, item.code) for item in iter_imported(data) if item.code]


def plain(example: Example) -> tuple[Any, ...]:
    return example.turns, example.answer, example.system


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
@pytest.mark.parametrize(
    "write",
    [
        lambda records: b"".join(json.dumps(r).encode() + b"\n" for r in records),
        lambda records: b"\n\n".join(json.dumps(r).encode() for r in records),
        lambda records: json.dumps(records).encode(),
        lambda records: json.dumps(records, indent=2).encode(),
        lambda records: json.dumps({"object": "list", "data": records}, indent=1).encode(),
        lambda records: gzip.compress(json.dumps(records).encode()),
        lambda records: "".join(json.dumps(r) + "\r\n" for r in records).encode("utf-16"),
        lambda records: b"\xef\xbb\xbf" + json.dumps(records).encode(),
    ],
    ids=["lines", "spaced lines", "array", "printed", "wrapped", "gzip", "utf-16", "bom"],
)
def test_every_form_in_every_dress_is_the_same_example(record: Any, write: Any) -> None:
    found = examples(write([record, record]))
    assert [plain(example) for example in found] == [plain(EXAMPLE)] * 2


@pytest.mark.parametrize(
    "head", ["text,category", "Text;Label", "prompt\tcompletion", "question,answer", "utterance,intent"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_is_read_by_its_head_line(head: str, encoding: str) -> None:
    mark = next(sign for sign in ",;\t" if sign in head)
    rows = [head, f'"{ASKED}"{mark}{SAID}', "", f'"two\nlines ""quoted"" {mark}"{mark}x']
    found = examples("\r\n".join(rows).encode(encoding))
    assert [(e.turns[0].text, e.answer) for e in found] == [
        (ASKED, SAID),
        (f'two\nlines "quoted" {mark}', "x"),
    ]


@pytest.mark.parametrize(
    ("label", "said"), [(1, "1"), (0.5, "0.5"), (True, "true"), ("", None), (None, None)]
)
def test_an_answer_that_is_a_number_is_its_text(label: Any, said: str | None) -> None:
    (found,) = examples(json.dumps({"text": ASKED, "label": label}).encode())
    assert found.answer == said


WRONG: dict[str, tuple[Any, str]] = {
    "a number": (5, "not_an_object"),
    "nothing": ({}, "empty_object"),
    "another form": ({"colour": "red"}, "unknown_form"),
    "a tool call": (
        {"messages": [*CHAT, {"role": "assistant", "tool_calls": [{}], "content": None}]},
        "not_text",
    ),
    "an image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "not_text",
    ),
    "no prompt": ({"choices": [CHOICE]}, "prompt_missing"),
    "a tool's stored answer": (
        {"messages": CHAT, "choices": [{"message": {"tool_calls": [{}]}}]},
        "not_text",
    ),
    "two questions": ({"messages": [*CHAT, CHAT[1]]}, "role_order"),
    "an unknown role": ({"messages": [{"role": "narrator", "content": "x"}]}, "role_unknown"),
    "a blank prompt": ({"prompt": "  ", "completion": "x"}, "empty_text"),
    "half of ours": ({"turns": 5}, "unknown_form"),
    "a bad Bedrock record": ({**BEDROCK, "extra": 1}, "unknown_key"),
}


@pytest.mark.parametrize(("record", "code"), WRONG.values(), ids=WRONG)
def test_what_is_no_example_is_counted_under_its_code(record: Any, code: str) -> None:
    good = {"prompt": ASKED, "completion": SAID}
    data = b"\n".join(json.dumps(each).encode() for each in (good, record, good))
    assert codes(data) == [(2, code)]
    assert len(examples(data)) == 2


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"a": NaN}', "bad_number"),
        (b'{"a": ', "bad_json"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
        (b"\xff\xfe\x00\xd8", "not_utf8"),
        (b'{"prompt": "\xe9"}', "not_utf8"),
        (gzip.compress(b"{}", mtime=0)[:-6], "gzip_truncated"),
        (gzip.compress(b"{}" * 999, mtime=0)[:12] + b"garbage garbage", "gzip_damaged"),
        (b"just some prose without a head line", "unknown_form"),
    ],
)
def test_a_broken_file_says_what_is_wrong_with_it(data: bytes, code: str) -> None:
    assert [c for _, c in codes(data)] == [code]


def test_a_row_of_another_length_costs_that_row() -> None:
    assert codes(b"text,category\na,b\nonly one\nc,d,e\nf,g\n") == [(3, "row_length"), (4, "row_length")]


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_holds_nothing(data: bytes) -> None:
    assert list(iter_imported(data)) == []


def test_metadata_of_a_stored_completion_stays() -> None:
    record = {"messages": CHAT, "choices": [CHOICE], "metadata": {"app": "bank", "n": 1}}
    (item,) = iter_imported(json.dumps(record).encode())
    assert isinstance(item, Imported)
    assert item.form == "an OpenAI stored completion"
    assert item.example is not None
    assert item.example.metadata == (("app", "bank"), ("n", "1"))
