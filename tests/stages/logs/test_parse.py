"""Every documented record shape is read for what it says; everything else is skipped under its reason."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from airflow_distill.stages.logs.parse import LogReader, parse_line
from airflow_distill.stages.logs.reasons import Skipped, SkipReason
from airflow_distill.stages.logs.records import Interaction, Turn
from airflow_distill.stages.logs.unusable import Unusable
from tests.stages.logs.log_records import MODEL, invoked, line_of, record

LLAMA3 = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nWhat is 2+2?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
LLAMA4 = (
    "<|begin_of_text|><|header_start|>user<|header_end|>\n\nWhat is 2+2?<|eot|>"
    "<|header_start|>assistant<|header_end|>\n\n"
)
LLAMA2 = "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] What is 2+2? [/INST]"
CHAT = ("Be brief.", (("user", "Hi"), ("assistant", "Hello."), ("user", "What is 2+2?")))


def read(data: dict[str, Any], **bodies: bytes) -> Interaction:
    found = parse_line(line_of(data), load=lambda uri: bodies.get(uri.rpartition("/")[2]))
    assert isinstance(found, Interaction), found
    return found


def reason(data: dict[str, Any] | bytes, **bodies: bytes) -> SkipReason:
    line = data if isinstance(data, bytes) else line_of(data)
    found = parse_line(line, load=lambda uri: bodies.get(uri.rpartition("/")[2]))
    assert isinstance(found, Skipped), found
    return found.reason


def said(interaction: Interaction) -> tuple[str | None, tuple[tuple[str, str], ...], str]:
    return interaction.system, tuple((t.role, t.text) for t in interaction.turns), interaction.answer


def test_a_converse_record_is_read_whole() -> None:
    assert read(record()) == Interaction(
        request_id="req-1",
        timestamp="2026-11-20T10:15:00Z",
        operation="Converse",
        model_id=MODEL,
        model=MODEL,
        turns=(Turn("user", "Where is my card?"),),
        answer="card_arrival",
        system=None,
        stop_reason="end_turn",
        metadata=(("app", "support"),),
        identity="arn:aws:sts::123456789012:assumed-role/desk/i-1",
        input_tokens=7,
        output_tokens=2,
        latency_ms=310,
    )


def test_a_conversation_keeps_its_system_text_and_its_turns() -> None:
    body = {
        "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}, {"text": "Be kind."}],
        "messages": [
            {"role": "user", "content": [{"text": "Hi"}]},
            {"role": "assistant", "content": [{"text": "Hel"}, {"text": "lo."}]},
            {"role": "user", "content": [{"text": "One"}, {"text": "two"}]},
        ],
        "inferenceConfig": {"maxTokens": 10},
    }
    found = read(record(input={"inputBodyJson": body}))
    assert said(found)[:2] == (
        "Be brief.\nBe kind.",
        (("user", "Hi"), ("assistant", "Hello."), ("user", "One\ntwo")),
    )


STREAM = [
    {"messageStart": {"role": "assistant"}},
    {"contentBlockDelta": {"delta": {"text": "card_"}, "contentBlockIndex": 0}},
    {"contentBlockDelta": {"delta": {"text": "arrival"}, "contentBlockIndex": 0}},
    {"contentBlockStop": {"contentBlockIndex": 0}},
    {"messageStop": {"stopReason": "end_turn"}},
    {"metadata": {"usage": {"inputTokens": 5, "outputTokens": 3}, "metrics": {"latencyMs": 44}}},
]


@pytest.mark.parametrize("as_text", [False, True])
def test_a_stream_is_read_from_its_list_of_events(as_text: bool) -> None:
    body: Any = json.dumps(STREAM) if as_text else STREAM
    found = read(record(operation="ConverseStream", output={"outputBodyJson": body}))
    assert (found.answer, found.stop_reason, found.output_tokens, found.latency_ms) == (
        "card_arrival",
        "end_turn",
        3,
        44,
    )


def test_a_stream_is_read_from_its_aggregated_form() -> None:
    assert read(record(operation="ConverseStream")).answer == "card_arrival"


ANTHROPIC_ASKED = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 50,
    "system": "Be brief.",
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
        {"role": "user", "content": [{"type": "text", "text": "What is 2+2?"}]},
    ],
}
ANTHROPIC_ANSWERED = {
    "type": "message",
    "role": "assistant",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "text", "text": "It is "},
        {"type": "text", "text": "4."},
    ],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 20, "output_tokens": 4},
}
ANTHROPIC_STREAM = [
    {
        "type": "message_start",
        "message": {"role": "assistant", "usage": {"input_tokens": 20, "output_tokens": 1}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "It is "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "4."}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 4},
    },
    {
        "type": "message_stop",
        "amazon-bedrock-invocationMetrics": {
            "inputTokenCount": 20,
            "outputTokenCount": 4,
            "invocationLatency": 900,
        },
    },
]
LEGACY_PROMPT = "Be brief.\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: What is 2+2?\n\nAssistant:"
NOVA_ASKED = {
    "schemaVersion": "messages-v1",
    "system": [{"text": "Be brief."}],
    "messages": [
        {"role": "user", "content": [{"text": "Hi"}]},
        {"role": "assistant", "content": [{"text": "Hello."}]},
        {"role": "user", "content": [{"text": "What is 2+2?"}]},
    ],
    "inferenceConfig": {"maxTokens": 30},
}
NOVA_ANSWERED = {
    "output": {"message": {"role": "assistant", "content": [{"text": "It is 4."}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 20, "outputTokens": 4},
}
NOVA_STREAM = [
    {"messageStart": {"role": "assistant"}},
    {"contentBlockDelta": {"delta": {"text": "It is 4."}, "contentBlockIndex": 0}},
    {"messageStop": {"stopReason": "end_turn"}},
    {"metadata": {"usage": {"inputTokens": 20, "outputTokens": 4}}},
]
LLAMA_ANSWERED = {
    "generation": "\n\nIt is 4.",
    "prompt_token_count": 20,
    "generation_token_count": 4,
    "stop_reason": "stop",
}
LLAMA_STREAM = [
    {"generation": "\n\nIt is", "prompt_token_count": 20, "generation_token_count": 1, "stop_reason": None},
    {"generation": " 4.", "prompt_token_count": None, "generation_token_count": 4, "stop_reason": "stop"},
]


@pytest.mark.parametrize(
    ("operation", "asked", "answered", "stop"),
    [
        pytest.param("InvokeModel", ANTHROPIC_ASKED, ANTHROPIC_ANSWERED, "end_turn", id="anthropic messages"),
        pytest.param(
            "InvokeModelWithResponseStream",
            ANTHROPIC_ASKED,
            ANTHROPIC_STREAM,
            "end_turn",
            id="anthropic stream",
        ),
        pytest.param(
            "InvokeModel",
            {"prompt": LEGACY_PROMPT},
            {"completion": " It is 4.", "stop_reason": "stop_sequence", "stop": "\n\nHuman:"},
            "stop_sequence",
            id="anthropic legacy",
        ),
        pytest.param(
            "InvokeModelWithResponseStream",
            {"prompt": LEGACY_PROMPT},
            [
                {"completion": " It is", "stop_reason": None},
                {"completion": " 4.", "stop_reason": "stop_sequence"},
            ],
            "stop_sequence",
            id="anthropic legacy stream",
        ),
        pytest.param("InvokeModel", NOVA_ASKED, NOVA_ANSWERED, "end_turn", id="nova"),
        pytest.param("InvokeModelWithResponseStream", NOVA_ASKED, NOVA_STREAM, "end_turn", id="nova stream"),
        pytest.param("InvokeModel", {"prompt": LLAMA3}, LLAMA_ANSWERED, "stop", id="llama 3"),
        pytest.param(
            "InvokeModelWithResponseStream", {"prompt": LLAMA3}, LLAMA_STREAM, "stop", id="llama 3 stream"
        ),
        pytest.param("InvokeModel", {"prompt": LLAMA2}, LLAMA_ANSWERED, "stop", id="llama 2"),
        pytest.param(
            "InvokeModel",
            json.dumps(NOVA_ASKED),
            json.dumps(NOVA_ANSWERED),
            "end_turn",
            id="bodies as json text",
        ),
    ],
)
def test_a_conversation_means_the_same_in_every_family(
    operation: str, asked: Any, answered: Any, stop: str
) -> None:
    found = read(invoked(asked, answered, operation=operation))
    assert said(found) == (*CHAT, "It is 4.")
    assert found.stop_reason == stop


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ({"prompt": LLAMA4}, {"generation": "4", "stop_reason": "stop"}),
        ({"prompt": "What is 2+2?"}, {"generation": "4"}),
        (
            {"inputText": "What is 2+2?"},
            {
                "results": [{"outputText": "\n4", "tokenCount": 1, "completionReason": "FINISH"}],
                "inputTextTokenCount": 5,
            },
        ),
        ({"inputText": "User: What is 2+2?\nBot:"}, [{"outputText": "4", "completionReason": "FINISH"}]),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"guardContent": {"text": {"text": "What is 2+2?"}}}]}
                ]
            },
            {"output": {"message": {"content": [{"citationsContent": {"content": [{"text": "4"}]}}]}}},
        ),
    ],
)
def test_a_single_question_is_read_in_every_family(asked: Any, answered: Any) -> None:
    assert said(read(invoked(asked, answered))) == (None, (("user", "What is 2+2?"),), "4")


def test_tokens_come_from_the_record_and_else_from_the_body() -> None:
    """The record's own count leaves out cached tokens; the three add up to what was sent."""
    cached = {"inputTokenCount": 7, "cacheReadInputTokenCount": 90, "cacheWriteInputTokenCount": 3}
    body = record()["input"]["inputBodyJson"]
    assert read(record(input={"inputBodyJson": body, **cached})).input_tokens == 100
    of_body = read(invoked(NOVA_ASKED, NOVA_ANSWERED))
    assert (of_body.input_tokens, of_body.output_tokens) == (20, 4)
    streamed = read(invoked(ANTHROPIC_ASKED, ANTHROPIC_STREAM))
    assert (streamed.input_tokens, streamed.output_tokens, streamed.latency_ms) == (20, 4, 900)
    of_llama = read(invoked({"prompt": LLAMA3}, LLAMA_STREAM))
    assert (of_llama.input_tokens, of_llama.output_tokens) == (20, 4)


def test_a_begun_answer_is_part_of_the_answer() -> None:
    asked = {
        "messages": [
            {"role": "user", "content": "As JSON, please."},
            {"role": "assistant", "content": "{"},
        ]
    }
    found = read(
        invoked(asked, {"content": [{"type": "text", "text": '"a": 1}'}], "stop_reason": "end_turn"})
    )
    assert said(found) == (None, (("user", "As JSON, please."),), '{"a": 1}')


def test_messages_of_one_role_in_a_row_are_one_turn() -> None:
    asked = {"messages": [{"role": "user", "content": "One"}, {"role": "user", "content": "two"}]}
    assert read(invoked(asked, ANTHROPIC_ANSWERED)).turns == (Turn("user", "One\ntwo"),)


@pytest.mark.parametrize("packed", [False, True])
def test_bodies_stored_beside_the_log_are_followed(packed: bool) -> None:
    def stored(body: Any) -> bytes:
        data = json.dumps(body).encode()
        return gzip.compress(data) if packed else data

    data = record(
        input={"inputBodyS3Path": "s3://b/data/asked", "inputTokenCount": 5},
        output={"outputBodyJson": None, "outputBodyS3Path": "s3://b/data/answered"},
    )
    found = read(data, asked=stored(NOVA_ASKED), answered=stored(NOVA_STREAM))
    assert said(found) == (*CHAT, "It is 4.")


IMAGE = {"image": {"format": "png", "source": {"bytes": "aGk="}}}
CALL = {"toolUse": {"toolUseId": "t", "name": "look", "input": {"q": 1}}}


def asking(*content: Any) -> dict[str, Any]:
    return record(input={"inputBodyJson": {"messages": [{"role": "user", "content": list(content)}]}})


def answering(body: Any) -> dict[str, Any]:
    return record(output={"outputBodyJson": body})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "blank"),
        (b"  \r", "blank"),
        (b'{"schemaType": "ModelInvocationLog", "modelId": "\xff"}', "not_utf8"),
        (b'{"schemaType": ', "not_json"),
        (b"[]", "not_a_record"),
        (b'"text"', "not_a_record"),
        (b"7", "not_a_record"),
        (b"null", "not_a_record"),
        (b"{}", "not_a_record"),
        (b"{} {}", "not_json"),
        (b"\x00" * 9, "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"a":' * 100_000, "not_json"),
        (line_of(record()).replace(b"310", b"NaN"), "not_json"),
        (line_of(record()).replace(b"310", b"-Infinity"), "not_json"),
        (line_of(record()).replace(b"310", b"9" * 5000), "not_json"),
        (line_of(record()).decode().encode("utf-16"), "not_utf8"),
        (line_of(record()).decode().encode("utf-16-be"), "not_json"),
        (line_of(record(answer="\ud83d")), "bad_text"),
        (record(schemaType="SomethingElse"), "not_a_record"),
        (record(schemaType=5), "not_a_record"),
        (record(modelId=None), "not_a_record"),
        (record(modelId=5), "not_a_record"),
        (record(operation=None), "not_a_record"),
        (record(errorCode="ThrottlingException", output=None), "failed_call"),
        (record(errorCode=503, output=None), "failed_call"),
        (
            answering(
                [{"messageStart": {"role": "assistant"}}, {"modelStreamErrorException": {"message": "x"}}]
            ),
            "failed_call",
        ),
        (record(input=None), "no_body"),
        (record(output=None), "no_body"),
        (record(input={"inputTokenCount": 5}, output={"outputTokenCount": 5}), "no_body"),
        (record(input={"inputBodyJson": None, "inputBodyS3Path": "s3://b/data/gone"}), "body_missing"),
        (record(input={"inputBodyJson": {}}), "unknown_input"),
        (record(input={"inputBodyJson": {"messages": "hello"}}), "unknown_input"),
        (record(input={"inputBodyJson": {"messages": [5]}}), "unknown_input"),
        (record(input={"inputBodyJson": [1]}), "unknown_input"),
        (record(input={"inputBodyJson": {"texts": ["a"], "input_type": "search"}}), "other_task"),
        (record(input={"inputBodyJson": {"messages": [{"role": "robot", "content": "x"}]}}), "unknown_input"),
        (asking({"surprise": 1}), "unknown_input"),
        (asking({"text": 5}), "unknown_input"),
        (answering({}), "unknown_output"),
        (answering(5), "unknown_output"),
        (answering({"images": ["aGk="]}), "other_task"),
        (answering([{"surprise": 1}]), "unknown_output"),
        (answering('{"half": '), "body_unreadable"),
        (asking({"text": "Look:"}, IMAGE), "multimodal"),
        (asking({"document": {"name": "a"}}, {"text": "Sum up."}), "multimodal"),
        (asking({"type": "image", "source": {"type": "base64", "data": "aGk="}}), "multimodal"),
        (asking({"type": "tool_result", "tool_use_id": "t", "content": "4"}), "tool_use"),
        (asking({"toolResult": {"toolUseId": "t", "content": []}}), "tool_use"),
        (
            answering(
                {
                    "output": {"message": {"content": [{"text": "Let me look."}, CALL]}},
                    "stopReason": "tool_use",
                }
            ),
            "tool_use",
        ),
        (answering({"content": [{"type": "tool_use", "id": "t", "name": "look", "input": {}}]}), "tool_use"),
        (
            answering(
                [{"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{"}}]
            ),
            "tool_use",
        ),
        (answering([{"contentBlockStart": {"start": {"toolUse": {"name": "look"}}}}]), "tool_use"),
        (invoked({"prompt": LLAMA3.replace("Hello.", "<|python_tag|>look()")}, LLAMA_ANSWERED), "tool_use"),
        (invoked({"prompt": LLAMA3.replace("Hi", "<|image|>Hi")}, LLAMA_ANSWERED), "multimodal"),
        (invoked({"prompt": LLAMA3.replace("user", "robot")}, LLAMA_ANSWERED), "broken_template"),
        (invoked({"prompt": "Hi <|eot_id|> there"}, LLAMA_ANSWERED), "broken_template"),
        (invoked({"prompt": LLAMA2.replace("[/INST]", "")}, LLAMA_ANSWERED), "broken_template"),
        (record(input={"inputBodyJson": {"messages": []}}), "turn_order"),
        (
            record(input={"inputBodyJson": {"messages": [{"role": "assistant", "content": "x"}]}}),
            "turn_order",
        ),
        (record(prompt=" \n"), "empty_prompt"),
        (record(answer=""), "empty_answer"),
        (record(answer=" \n "), "empty_answer"),
        (answering({"output": {"message": {"content": []}}}), "empty_answer"),
        (
            answering(
                [{"messageStart": {"role": "assistant"}}, {"contentBlockDelta": {"delta": {"text": "It"}}}]
            ),
            "incomplete_answer",
        ),
    ],
)
def test_what_cannot_be_used_is_skipped_under_its_reason(data: dict[str, Any] | bytes, expected: str) -> None:
    assert reason(data) == expected


def test_a_stored_body_that_is_no_json_is_unreadable() -> None:
    data = record(input={"inputBodyS3Path": "s3://b/data/asked"})
    assert reason(data, asked=b"oops") == "body_unreadable"
    assert reason(data, asked=gzip.compress(b"{}")[:-9]) == "body_unreadable"


@pytest.mark.parametrize(
    "line",
    [
        line_of(record()) + b"\r",
        b"\xef\xbb\xbf" + line_of(record()),
        b"  " + line_of(record()),
        line_of(record()).replace(b'"modelId"', b'"modelId": "other.model-v1", "modelId"'),
        line_of(record(inferenceRegion="us-west-2", performanceConfig={"latency": "standard"})),
        line_of(record(identity="someone", requestMetadata=["odd"], timestamp=5)),
        line_of(record(input={**record()["input"], "inputTokenCount": "7"})),
        line_of(record(output={**record()["output"], "outputTokenCount": 1e300})),
        json.dumps(record(), ensure_ascii=False, indent=1).replace("\n", " ").encode(),
    ],
    ids=[
        "crlf",
        "bom",
        "spaces",
        "last of two keys",
        "new fields",
        "odd types",
        "text count",
        "vast count",
        "indent",
    ],
)
def test_what_does_not_matter_does_not_lose_a_record(line: bytes) -> None:
    found = parse_line(line)
    assert isinstance(found, Interaction)
    assert found.answer == "card_arrival"


def test_a_line_of_five_megabytes_is_a_line_like_any_other() -> None:
    found = read(record(prompt="word " * 1_000_000))
    assert len(found.turns[0].text) == 5_000_000


SAMPLES = [
    record(),
    record(answer="Ünï 😀 \u2028 \x7f"),
    record(errorCode="ThrottlingException"),
    record(prompt=""),
    asking(IMAGE),
    answering({"a": 1}),
    invoked(ANTHROPIC_ASKED, ANTHROPIC_ANSWERED),
    invoked(ANTHROPIC_ASKED, ANTHROPIC_STREAM),
    invoked({"prompt": LLAMA3}, LLAMA_STREAM),
    invoked(json.dumps(NOVA_ASKED), json.dumps(NOVA_STREAM)),
    record(operation="ConverseStream", output={"outputBodyJson": STREAM}),
]


@pytest.mark.parametrize("data", SAMPLES)
def test_the_slow_road_reads_what_the_quick_one_reads(data: dict[str, Any]) -> None:
    def outcome(read: Any) -> Any:
        try:
            return read(line_of(data), lambda uri: None)
        except Unusable as skip:
            return skip.reason

    assert outcome(LogReader().read_slowly) == outcome(LogReader().read)


def test_the_kept_bytes_are_the_interaction_as_json() -> None:
    data = record(requestMetadata={"b": "2", "a": "1"}, answer="Ünï 😀 \x1f \x7f")
    reading = LogReader().read(line_of(data), lambda uri: None)
    assert json.loads(reading.to_bytes()) == reading.interaction().to_json()
    assert Interaction.from_json(json.loads(reading.to_bytes())) == reading.interaction()


def test_every_reason_has_a_code_that_is_a_word_and_an_explanation() -> None:
    for member in SkipReason:
        assert member.value.replace("_", "").isalnum()
        assert member.explanation.endswith(".")
        assert SkipReason(member.value) is member
