"""The checks: every defect is found on its line, under its code, and never with any of the text."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.stages.dataset.checks import (
    CODES,
    PromptCheck,
    check_line,
    check_stream,
)
from airflow_distill.stages.dataset.families import ANY_FAMILY, family_of
from tests.texts import other_scripts, passages

NOVA = family_of("amazon.nova-micro-v1:0:128k")
LLAMA = family_of("meta.llama3-1-8b-instruct-v1:0:128k")
SECRET = "zebra-quartz"
"""Part of every bad line's text, so that a finding which quotes text is caught."""


def message(role: str, text: Any = SECRET) -> dict[str, Any]:
    return {"role": role, "content": [{"text": text}]}


def record(*messages: dict[str, Any], **overrides: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"schemaVersion": "bedrock-conversation-2024"}
    base["messages"] = list(messages or (message("user"),))
    base.update(overrides)
    return {key: value for key, value in base.items() if value is not ...}


def line(value: Any) -> bytes:
    return json.dumps(value).encode()


GOOD: list[Any] = [
    record(),
    record(message("user"), message("assistant")),
    record(system=[{"text": "Be brief."}]),
    record({"role": "user", "content": [{"text": 'a "quoted" \\ text\nwith "ends\\"', "type": "text"}]}),
    record(message("user", "Ein Käse, 日本語, 🙂, <b>, [1], 10:30")),
]

BAD: dict[str, tuple[bytes, str]] = {
    "blank": (b"", "blank_line"),
    "white space": (b"  \t ", "blank_line"),
    "text": (b"hello zebra-quartz", "bad_json"),
    "two values": (line(record()) + line(record()), "bad_json"),
    "a trailing brace": (line(record()) + b"}", "bad_json"),
    "a cut line": (line(record())[:-5], "bad_json"),
    "a number of 5000 digits": (b'{"a":' + b"9" * 5000 + b"}", "bad_json"),
    "NaN": (line({**record(), "x": float("nan")}), "bad_number"),
    "infinity": (line({**record(), "x": float("-inf")}), "bad_number"),
    "deep nesting": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
    "a list": (line([record()]), "not_an_object"),
    "null": (b"null", "not_an_object"),
    "an empty object": (b"{}", "empty_object"),
    "latin-1": (line(record()).replace(b"zebra", b"z\xe9bra"), "not_utf8"),
    "a raw NUL": (line(record()).replace(b"zebra", b"ze\x00ra"), "nul_byte"),
    "an escaped NUL": (line(record(message("user", SECRET + "\0"))), "nul_character"),
    "half a pair": (line(record(message("user", SECRET + "\ud800"))), "lone_surrogate"),
    "a repeated key": (line(record()).replace(b'{"schema', b'{"messages":[],"schema'), "duplicate_key"),
    "a repeated inner key": (line(record()).replace(b'"text":', b'"text":"a","text":'), "duplicate_key"),
    "no version": (line(record(schemaVersion=...)), "schema_version"),
    "the misspelt version": (line(record(schemaVersion="bedrock-conversion-2024")), "schema_version"),
    "an extra key": (line(record(id=SECRET)), "unknown_key"),
    "an extra message key": (line(record({**message("user"), "name": SECRET})), "unknown_key"),
    "an extra block key": (
        line(record({"role": "user", "content": [{"text": "a", "id": 1}]})),
        "unknown_key",
    ),
    "an empty system list": (line(record(system=[])), "system_shape"),
    "two system texts": (line(record(system=[{"text": "a"}, {"text": "b"}])), "system_shape"),
    "a system string": (line(record(system=SECRET)), "system_shape"),
    "a null system": (line(record(system=None)), "system_shape"),
    "an empty system text": (line(record(system=[{"text": " "}])), "empty_text"),
    "no messages": (line(record(messages=...)), "messages_shape"),
    "empty messages": (line(record(messages=[])), "messages_shape"),
    "messages as an object": (line(record(messages={"role": "user"})), "messages_shape"),
    "a message string": (line(record(messages=[SECRET])), "message_shape"),
    "a message without content": (line(record({"role": "user"})), "message_shape"),
    "a system role": (line(record(message("system"))), "role_unknown"),
    "a role that is no text": (line(record({**message("user"), "role": ["user"]})), "role_unknown"),
    "the assistant first": (line(record(message("assistant"))), "role_order"),
    "two users": (line(record(message("user"), message("user"))), "role_order"),
    "string content": (line(record({"role": "user", "content": SECRET})), "content_shape"),
    "no content block": (line(record({"role": "user", "content": []})), "content_shape"),
    "two content blocks": (line(record({"role": "user", "content": [{"text": "a"}] * 2})), "content_shape"),
    "an image": (line(record({"role": "user", "content": [{"image": {"format": "png"}}]})), "not_text"),
    "text that is no text": (line(record(message("user", 5))), "content_shape"),
    "empty text": (line(record(message("user", ""))), "empty_text"),
    "blank text": (line(record(message("user", " \n "))), "empty_text"),
    "an empty answer": (line(record(message("user"), message("assistant", ""))), "empty_text"),
    "the preview format": (line({"prompt": SECRET}), "messages_shape"),
    "a text beyond any context": (line(record(message("user", SECRET + "a" * 600_000))), "text_too_long"),
}


@pytest.mark.parametrize("good", GOOD)
@pytest.mark.parametrize("family", [NOVA, LLAMA, ANY_FAMILY])
def test_a_good_record_has_no_finding(good: Any, family: Any) -> None:
    assert list(check_line(line(good), 1, family)) == []


@pytest.mark.parametrize(("bad", "code"), BAD.values(), ids=BAD)
def test_a_defect_is_found_on_its_line_without_its_text(bad: bytes, code: str) -> None:
    """The line stands among good ones, so the quick road is taken around it."""
    lines = [line(record(message("user", f"question {n}"))) for n in range(300)]
    lines[170] = bad
    report = check(lines, NOVA)
    found = [item for item in report.findings if item.line == 171]
    assert code in {item.code for item in found}
    assert {item.line for item in report.findings} == {171}
    assert report.accepted == 299
    assert report.valid is (code == "blank_line")
    assert all(item.fix and SECRET not in str(item.to_json()) for item in found)


def test_every_line_code_has_a_defect_in_these_tests() -> None:
    elsewhere = {
        "unknown_form", "prompt_missing", "no_request", "no_score", "bad_csv", "row_length",
        "empty_file", "compressed", "gzip_as_jsonl", "extension", "gzip_truncated", "gzip_damaged", "byte_order_mark",
        "utf16", "crlf",
        "too_few_records", "too_many_records", "total_too_large", "line_too_long", "multi_turn", "control_token",
        "duplicate_record", "no_answer", "line_above_quota", "reserved_word", "completion_shape",
    }  # fmt: skip
    assert set(CODES) - elsewhere == {code for _, code in BAD.values()}


@pytest.mark.parametrize(
    "model", ["meta.llama3-1-8b-instruct-v1:0:128k", "us.anthropic.claude-3-haiku-20240307-v1:0:200k"]
)
def test_single_turn_families_refuse_conversations(model: str) -> None:
    conversation = line(record(message("user"), message("assistant"), message("user")))
    assert [f.code for f in check_line(conversation, 1, family_of(model))] == ["multi_turn"]
    assert list(check_line(conversation, 1, NOVA)) == []
    report = check([conversation, *good_lines(200)], family_of(model))
    assert [(f.line, f.code) for f in report.findings] == [(1, "multi_turn")]


@pytest.mark.parametrize("token", ["<|eot_id|>", "[INST]", "\nHuman: hi", "<image>", "[EOS]"])
def test_control_tokens_are_a_warning(token: str) -> None:
    report = check([*good_lines(150), line(record(message("user", f"say {token} now")))], NOVA)
    assert [(f.line, f.code, f.severity) for f in report.findings] == [(151, "control_token", "warning")]
    assert report.valid
    assert report.accepted == 151


def test_a_repeated_record_is_a_warning() -> None:
    lines = good_lines(150)
    report = check([*lines, lines[3]], NOVA)
    assert [(f.line, f.code) for f in report.findings] == [(151, "duplicate_record")]
    assert report.valid


def test_too_few_and_too_many_records_are_refused() -> None:
    assert check(good_lines(99), NOVA).counts == {"too_few_records": 1}
    assert check(good_lines(100), NOVA).valid
    assert check(good_lines(15_000), NOVA).valid
    assert check(good_lines(15_001), NOVA).counts == {"too_many_records": 1}


def test_only_the_first_hundred_findings_are_kept_and_all_are_counted() -> None:
    report = check([b"{}"] * 250 + good_lines(100), NOVA)
    assert len(report.findings) == 100
    assert report.counts["empty_object"] == 250
    assert report.first["empty_object"].line == 1


def test_several_files_are_judged_together() -> None:
    checker = PromptCheck(NOVA)
    checker.read(io.BytesIO(b"\n".join(good_lines(60))), "a.jsonl")
    checker.read(io.BytesIO(b"\n".join([*good_lines(50), b"{}"])), "b.jsonl")
    report = checker.finish()
    assert (report.records, report.accepted) == (111, 110)
    assert [(f.path, f.line, f.code) for f in report.findings if f.severity == "error"] == [
        ("b.jsonl", 51, "empty_object")
    ]


def test_an_empty_file_is_refused() -> None:
    assert set(check([], NOVA).counts) == {"empty_file", "too_few_records"}


texts = st.text(max_size=12) | st.sampled_from(
    ['"', '\\"', "\\", "<|", "a: b", "[INST]", "\nHuman:", "{", "}", "\0", " "]
)
blocks = st.fixed_dictionaries({"text": texts}, optional={"type": texts})
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]), "content": st.lists(blocks, max_size=2)}
    ),
    max_size=4,
)
values = st.fixed_dictionaries(
    {"schemaVersion": st.just("bedrock-conversation-2024"), "messages": messages},
    optional={"system": st.lists(blocks, max_size=2), "extra": texts},
)
raw = values.map(lambda value: json.dumps(value).encode()) | values.map(
    lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
)


def twice(data: bytes) -> bytes:
    """Repeat the first key, as a decoder that takes the last one would not notice."""
    return data.replace(b'{"', b'{"messages": [{"role": "user", "content": [{"text": "a"}]}], "', 1)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        raw | raw.map(twice) | st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")),
        min_size=1,
        max_size=8,
    )
)
@pytest.mark.parametrize("family", [NOVA, LLAMA])
def test_the_quick_road_never_hides_a_finding(family: Any, lines: list[bytes]) -> None:
    report = check(lines, family)
    if report.counts.keys() & {"utf16", "byte_order_mark", "compressed"}:
        return  # by chance the first line decides how the file is read
    of_the_file = {"duplicate_record", "too_few_records", "empty_file"}
    found = [item for item in report.findings if item.code not in of_the_file]
    assert sorted(map(str, found)) == sorted(
        str(item) for number, data in enumerate(lines, 1) for item in check_line(data, number, family)
    )


def test_long_passages_and_other_scripts_pass() -> None:
    """Retrieval prompts full of punctuation, code, JSON and twelve scripts give no error."""
    prompts = [*passages(120), *other_scripts()]
    report = check([line(record(message("user", prompt))) for prompt in prompts], NOVA)
    assert report.valid, report.counts


def good_lines(count: int) -> list[bytes]:
    return [line(record(message("user", f"question {n}"))) for n in range(count)]


def check(lines: list[bytes], family: Any) -> Any:
    return check_stream(io.BytesIO(b"\n".join(lines) + b"\n" if lines else b""), family)


# lines of prompt and completion


def completion(**changes: object) -> bytes:
    return json.dumps({"prompt": "What is due?", "completion": "The invoice.", **changes}).encode()


def test_a_line_of_prompt_and_completion_is_clean_in_its_own_form_only() -> None:
    line = completion()
    assert list(check_line(line, 1, LLAMA, "prompt-completion")) == []
    assert "schema_version" in {item.code for item in check_line(line, 1, LLAMA)}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (completion(completion=None), "completion_shape"),
        (completion(prompt=["a"]), "completion_shape"),
        (b'{"prompt": "a"}', "completion_shape"),
        (
            b'{"schemaVersion": "bedrock-conversation-2024", "messages": []}',
            "completion_shape",
        ),
        (completion(system="Be brief."), "unknown_key"),
        (completion(completion="  "), "empty_text"),
        (completion(prompt=""), "empty_text"),
        (completion(prompt="a\x00b"), "nul_character"),
        (completion(completion="x <|eot_id|> y"), "control_token"),
        (completion(prompt="word " * 60_000 * 4), "text_too_long"),
        (b"[1]", "not_an_object"),
        (b'{"prompt": "a", "prompt": "b", "completion": "c"}', "duplicate_key"),
    ],
)
def test_each_flaw_of_a_prompt_and_completion_is_told(line: bytes, code: str) -> None:
    found = list(check_line(line, 7, LLAMA, "prompt-completion"))
    assert code in {item.code for item in found}
    assert {item.line for item in found} == {7}


def test_findings_of_a_completion_name_the_member_and_never_its_text() -> None:
    (item,) = check_line(completion(completion=" "), 1, LLAMA, "prompt-completion")
    assert item.message.endswith("completion.")
    assert "invoice" not in item.message


def test_the_quota_of_a_distillation_line_does_not_hold_for_fine_tuning() -> None:
    long = completion(prompt="word " * 5_000)
    assert list(check_line(long, 1, LLAMA, "prompt-completion")) == []


def test_a_file_of_prompts_and_completions_is_judged_as_a_whole() -> None:
    lines = [completion(prompt=f"What is due in week {n}?") for n in range(120)]
    check = PromptCheck(LLAMA, form="prompt-completion")
    check.read(io.BytesIO(b"\n".join(lines) + b"\n"))
    report = check.finish()
    assert report.valid
    assert (report.records, report.accepted) == (120, 120)
