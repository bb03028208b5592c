"""Bodies of the families that came after the first: what is asked, what is answered, and what names itself as left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_distill.stages.logs.parse import parse_line
from airflow_distill.stages.logs.reasons import Skipped
from airflow_distill.stages.logs.records import Interaction
from airflow_distill.stages.logs.selection import Selection
from tests.stages.logs.log_records import invoked, line_of, record

USER = {"role": "user", "content": "Where is my card?"}
INTERVENED = {"amazon-bedrock-guardrailAction": "INTERVENED"}
CHAT = {"messages": [{"role": "system", "content": "Be brief."}, USER]}


def read(asked: Any, answered: Any, **changes: Any) -> Interaction:
    found = parse_line(line_of(invoked(asked, answered, **changes)))
    assert isinstance(found, Interaction), found
    return found


def reason(asked: Any, answered: Any = None, **changes: Any) -> str:
    found = parse_line(line_of(invoked(asked, answered or converse("ok"), **changes)))
    assert isinstance(found, Skipped)
    return found.reason.value


def converse(text: str, **more: Any) -> dict[str, Any]:
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": "end_turn",
        **more,
    }


def choice(**members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, **members}], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}


ANSWERED: dict[str, tuple[Any, Any, str]] = {
    "a chat completion": (
        CHAT,
        choice(message={"role": "assistant", "content": "In the post."}, finish_reason="stop"),
        "stop",
    ),
    "a chat completion in pieces": (
        CHAT,
        [
            {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
            {"choices": [{"delta": {"content": "In the "}}]},
            {"choices": [{"delta": {"content": "post."}, "finish_reason": "length"}]},
            {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
            "[DONE]",
        ],
        "length",
    ),
    "a response": (
        {"instructions": "Be brief.", "input": "Where is my card?"},
        {
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "In the post."}]},
            ],
            "status": "completed",
            "usage": {"input_tokens": 5, "output_tokens": 2},
        },
        "completed",
    ),
    "a response in pieces": (
        {
            "instructions": "Be brief.",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "Where is my card?"}]}],
        },
        [
            {"type": "response.created", "response": {"status": "in_progress"}},
            {"type": "response.output_text.delta", "delta": "In the "},
            {"type": "response.output_text.delta", "delta": "post."},
            {
                "type": "response.incomplete",
                "response": {
                    "output": [],
                    "status": "incomplete",
                    "incomplete_details": {"reason": "max_output_tokens"},
                    "usage": {"input_tokens": 5, "output_tokens": 2},
                },
            },
        ],
        "max_output_tokens",
    ),
    "Cohere's chat": (
        {"message": "Where is my card?", "preamble": "Be brief.", "chat_history": []},
        {"text": "In the post.", "finish_reason": "COMPLETE"},
        "COMPLETE",
    ),
    "Cohere's chat in pieces": (
        {"message": "Where is my card?", "preamble": "Be brief."},
        [
            {"is_finished": False, "event_type": "text-generation", "text": "In the post."},
            {"is_finished": True, "event_type": "stream-end", "finish_reason": "MAX_TOKENS"},
        ],
        "MAX_TOKENS",
    ),
    "Mistral's text form": (
        {"prompt": "<s>[INST]<<SYS>>Be brief.<</SYS>> Where is my card? [/INST]"},
        {"outputs": [{"text": " In the post.", "stop_reason": "stop"}]},
        "stop",
    ),
    "DeepSeek's text form": (
        {"prompt": "Where is my card?", "system": "Be brief."},
        {"choices": [{"text": "In the post.", "stop_reason": "length"}]},
        "length",
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", ANSWERED)
def test_every_family_is_read_to_one_conversation(family: str) -> None:
    asked, answered, stop = ANSWERED[family]
    found = read(asked, answered)
    assert (found.system, found.turns[0].text, found.answer) == (
        "Be brief.",
        "Where is my card?",
        "In the post.",
    )
    assert found.stop_reason == stop


@pytest.mark.parametrize(
    "family", ["a chat completion", "a chat completion in pieces", "a response", "a response in pieces"]
)
def test_tokens_are_counted_in_the_familys_own_words(family: str) -> None:
    found = read(*ANSWERED[family][:2])
    assert (found.input_tokens, found.output_tokens) == (5, 2)


def test_earlier_turns_of_cohere_keep_their_roles() -> None:
    history = [{"role": "USER", "message": "Hi"}, {"role": "CHATBOT", "message": "Hello"}]
    found = read({"message": "Where?", "chat_history": history}, {"text": "There."})
    assert [(turn.role, turn.text) for turn in found.turns] == [
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Where?"),
    ]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"promptVariables": {"x": {"text": "y"}}}, "prompt_elsewhere"),
        ({"input": "and now?", "previous_response_id": "resp_1"}, "prompt_elsewhere"),
        ({"messages": [USER, {"role": "system", "content": [{"text": "note"}]}, USER]}, "system_turn"),
        ({"messages": [{"role": "user", "content": [{"searchResult": {"source": "s"}}, {"text": "q"}]}]}, "search_result"),
        ({"message": "q", "documents": [{"title": "t"}]}, "search_result"),
        ({"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "1"}]}, USER]}, "tool_use"),
        ({"messages": [USER, {"role": "tool", "content": "x"}]}, "tool_use"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "tool_use"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]}, "multimodal"),
        ({"texts": ["embed me"], "input_type": "search_query"}, "other_task"),
        ({"words": "embed me"}, "unknown_input"),
    ],
)  # fmt: skip
def test_what_cannot_be_taught_is_left_out_under_a_reason_that_says_what_it_is(
    asked: Any, wanted: str
) -> None:
    assert reason(asked) == wanted


@pytest.mark.parametrize(
    "answered",
    [
        converse("Call us.", **INTERVENED),
        {"content": [{"type": "text", "text": "Call us."}], "stop_reason": "end_turn", **INTERVENED},
        {"generation": "Call us.", "stop_reason": "stop", **INTERVENED},
        [
            {"type": "message_start", "message": {"usage": {"input_tokens": 1}}},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Call us."}, **INTERVENED},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
            "[DONE]",
        ],
        [
            {"type": "message_start", "message": {"usage": {"input_tokens": 1}}},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Call us.", **INTERVENED}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        ],
        [{"outputText": "Call us.", "completionReason": "FINISH", **INTERVENED}],
    ],
)  # fmt: skip
def test_a_guardrails_message_says_so_in_every_family(answered: Any) -> None:
    found = read({"messages": [USER]}, answered)
    assert (found.answer, found.stop_reason) == ("Call us.", "guardrail_intervened")


def test_a_guardrail_that_did_nothing_changes_nothing() -> None:
    found = read({"messages": [USER]}, converse("Fine.", **{"amazon-bedrock-guardrailAction": "NONE"}))
    assert found.stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("more", "offered"),
    [
        ({"toolConfig": {"tools": [{"toolSpec": {"name": "w"}}]}}, True),
        ({"tools": [{"name": "w", "input_schema": {}}]}, True),
        ({"toolConfig": {"tools": []}}, False),
        ({}, False),
    ],
)
def test_it_is_known_whether_tools_were_offered(more: dict[str, Any], offered: bool) -> None:
    assert read({"messages": [USER], **more}, converse("Fine.")).tools_offered is offered


def test_input_tokens_are_kept_by_kind() -> None:
    line = record(
        input={
            "inputBodyJson": {"messages": [USER]},
            "inputTokenCount": 10,
            "cacheReadInputTokenCount": 100,
            "cacheWriteInputTokenCount": 7,
        }
    )
    found = parse_line(line_of(line))
    assert isinstance(found, Interaction)
    assert (found.input_tokens, found.cache_read_tokens, found.cache_write_tokens) == (117, 100, 7)
    assert Interaction.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_cached_tokens_of_a_body_count_where_the_record_has_none() -> None:
    usage = {"input_tokens": 3, "cache_creation_input_tokens": 28_857, "output_tokens": 5}
    found = read({"messages": [USER]}, {"content": [{"type": "text", "text": "Hi"}], "usage": usage})
    assert (found.input_tokens, found.cache_read_tokens, found.cache_write_tokens) == (28_860, None, 28_857)


def test_an_application_profile_whose_model_nobody_named_says_what_to_do() -> None:
    profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
    line = line_of(record(modelId=profile))
    found = parse_line(line, Selection(model="amazon.nova-pro-v1:0"))
    assert isinstance(found, Skipped)
    assert found.reason.value == "unresolved_profile"
    assert "model_mapping" in found.reason.explanation
    assert "GetInferenceProfile" in found.reason.explanation
    named = parse_line(
        line, Selection(model="amazon.nova-pro-v1:0", mapping={"abc123": "amazon.nova-pro-v1:0"})
    )
    assert isinstance(named, Interaction)


BARE = "Where is my card?"


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ({"prompt": BARE}, {"generation": "In the post.", "stop_reason": "stop"}),
        ({"prompt": BARE}, converse("In the post.")),
        ({"prompt": BARE}, {"choices": [{"text": "In the post."}]}),
        (BARE, {"generation": "In the post."}),
        (BARE, "In the post."),
        (json.dumps({"prompt": BARE}), json.dumps({"generation": "In the post."})),
        (json.dumps(BARE), json.dumps("In the post.")),
    ],
)
def test_a_prompt_that_is_a_bare_text_is_read(asked: Any, answered: Any) -> None:
    found = read(asked, answered)
    assert [(turn.role, turn.text) for turn in found.turns] == [("user", BARE)]
    assert found.answer == "In the post."


@pytest.mark.parametrize("broken", ['{"prompt": "x"', '["x"', '{"prompt": NaN}'])
def test_a_text_that_is_half_an_object_is_no_prompt(broken: str) -> None:
    assert reason(broken) == "body_unreadable"
