"""Each shape of record that AWS writes is read, dropped or skipped under the reason that says what it is."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.cli.main import main
from airflow_distill.stages.logs.parse import parse_line
from airflow_distill.stages.logs.records import Interaction
from tests.stages.logs.log_records import MODEL, invoked, line_of, record

Shape = dict[str, Any]
ASKED, SAID = "Where is my card?", "It is in the post."
USER = [{"role": "user", "content": ASKED}]
PLAIN = {"messages": USER}
END = {"content": [{"type": "text", "text": SAID}], "stop_reason": "end_turn"}
CHOICE = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": SAID}, "finish_reason": "stop"}]
}
ARN = "arn:aws:bedrock:us-east-1:123456789012"


def asked(content: Any, **more: Any) -> Shape:
    body = {"messages": [{"role": "user", "content": content}], **more}
    return record(answer=SAID, input={"inputBodyJson": body})


def said(content: Any, stop: str = "end_turn", **more: Any) -> Shape:
    body = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop, **more}
    return record(ASKED, output={"outputBodyJson": body})


def chosen(**message: Any) -> Shape:
    return {"choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}]}


def turned(opens: str, closes: str, user: str, assistant: str) -> str:
    return f"{opens}{user}\n{ASKED}{closes}\n{opens}{assistant}\n"


TEXT = [{"text": ASKED}]
TOOL = {"toolUse": {"toolUseId": "1", "name": "look", "input": {}}}
SPOKEN = {"text": SAID}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}
NOTED = [*USER, {"role": "system", "content": "The desk is closed."}, *USER]
STREAM = [{"type": "message_start", "message": {"usage": {"input_tokens": 3}}}]
DELTA = [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": SAID}}]
STOPPED = [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}]
GUARDED = {"amazon-bedrock-guardrailAction": "INTERVENED"}
DEEPSEEK = f"<｜begin▁of▁sentence｜><｜User｜>{ASKED}<｜Assistant｜><think>\n"
RESPONSE = {"output": [{"type": "message", "content": [{"type": "output_text", "text": SAID}]}]}
COHERE_2 = {"role": "assistant", "content": [{"type": "text", "text": SAID}]}
MISTRAL = {"prompt": f"<s>[INST] {ASKED} [/INST]"}
LEGACY = {"prompt": f"\n\nHuman: {ASKED}\n\nAssistant:"}
COHERE_STREAM = [
    {"type": "message-start", "delta": {"message": {"role": "assistant", "content": []}}},
    {"type": "content-start", "delta": {"message": {"content": {"type": "text", "text": ""}}}},
    {"type": "content-delta", "delta": {"message": {"content": {"text": SAID}}}},
    {"type": "content-end"},
    {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
]

SHAPES: dict[str, tuple[str, Shape]] = {
    # Converse
    "Converse": ("read", record(ASKED, SAID)),
    "thinking before the answer": ("read", said([THOUGHT, SPOKEN])),
    "thinking after the answer": ("read", said([SPOKEN, THOUGHT])),
    "thinking that is hidden": ("read", said([{"reasoningContent": {"redactedContent": "a"}}, SPOKEN])),
    "a cache point before the text": ("read", asked([{"cachePoint": {"type": "default"}}, *TEXT])),
    "a cache point in the system text": (
        "read",
        asked(TEXT, system=[{"text": "a"}, {"cachePoint": {"type": "default"}}]),
    ),
    "text for the guardrail": (
        "read",
        asked([{"guardContent": {"text": {"text": ASKED, "qualifiers": ["query"]}}}]),
    ),
    "a trace that found nothing": (
        "read",
        said([SPOKEN], trace={"guardrail": {"actionReason": "No action."}}),
    ),
    "an answer in a schema": ("read", asked(TEXT, outputConfig={"textFormat": {"type": "json_schema"}})),
    "members that are null": ("read", asked([{"text": ASKED, "image": None}], system=None, toolConfig=None)),
    "another Region's capacity": (
        "read",
        record(ASKED, SAID, modelId="us.amazon.nova-pro-v1:0", inferenceRegion="us-west-2"),
    ),
    "an imported model": ("read", record(ASKED, SAID, modelId=f"{ARN}:imported-model/abc")),
    "a deployment": ("read", record(ASKED, SAID, modelId=f"{ARN}:custom-model-deployment/abc")),
    "an application profile": (
        "read",
        record(ASKED, SAID, modelId=f"{ARN}:application-inference-profile/abc"),
    ),
    "citations": ("read", said([{"citationsContent": {"content": [SPOKEN], "citations": []}}])),
    "tools offered": ("tools_offered", asked(TEXT, toolConfig={"tools": [{"toolSpec": {"name": "look"}}]})),
    "half an answer": ("truncated", said([SPOKEN], "max_tokens")),
    "a guardrail": ("guardrail", said([SPOKEN], "guardrail_intervened")),
    "a tool called": ("tool_use", said([SPOKEN, TOOL], "tool_use")),
    "a tool's result": ("tool_use", asked([{"toolResult": {"toolUseId": "1", "content": []}}])),
    "an image": ("multimodal", asked([*TEXT, {"image": {"format": "png", "source": {"bytes": "a"}}}])),
    "a document in S3": (
        "multimodal",
        asked([*TEXT, {"document": {"name": "a", "source": {"s3Location": {}}}}]),
    ),
    "an image for the guardrail": ("multimodal", asked([{"guardContent": {"image": {}}}])),
    "a spoken answer": ("multimodal", said([{"audio": {"format": "mp3", "source": {}}}])),
    "a note in the middle": ("system_turn", record(input={"inputBodyJson": {"messages": NOTED}})),
    "search results": ("search_result", asked([{"searchResult": {"source": "s", "title": "t"}}, *TEXT])),
    "a managed prompt": (
        "prompt_elsewhere",
        record(modelId=f"{ARN}:prompt/A:1", input={"inputBodyJson": {"promptVariables": {}}}),
    ),
    "a managed prompt without variables": (
        "prompt_elsewhere",
        record(modelId=f"{ARN}:prompt/A", input={"inputBodyJson": {}}),
    ),
    "a failed call": (
        "failed_call",
        record(errorCode="ThrottlingException", output={"outputBodyJson": None}),
    ),
    "a stream that broke": (
        "failed_call",
        record(
            output={
                "outputBodyJson": [{"messageStart": {"role": "assistant"}}, {"modelStreamErrorException": {}}]
            }
        ),
    ),
    # InvokeModel
    "Nova": (
        "read",
        invoked(
            {"schemaVersion": "messages-v1", "messages": [{"role": "user", "content": TEXT}]},
            said([SPOKEN])["output"]["outputBodyJson"],
        ),
    ),
    "Titan": (
        "read",
        invoked(
            {"inputText": ASKED}, {"results": [{"outputText": f"\n{SAID}", "completionReason": "FINISH"}]}
        ),
    ),
    "Titan filtered": (
        "refusal",
        invoked(
            {"inputText": ASKED}, {"results": [{"outputText": "No.", "completionReason": "CONTENT_FILTERED"}]}
        ),
    ),
    "Titan cut off": (
        "truncated",
        invoked({"inputText": ASKED}, {"results": [{"outputText": "It", "completionReason": "LENGTH"}]}),
    ),
    "Titan in pieces": (
        "read",
        invoked({"inputText": ASKED}, [{"outputText": SAID, "completionReason": "FINISH"}]),
    ),
    "Claude": ("read", invoked(PLAIN, END)),
    "Claude refuses": ("refusal", invoked(PLAIN, {**END, "stop_reason": "refusal"})),
    "Claude pauses": ("truncated", invoked(PLAIN, {**END, "stop_reason": "pause_turn"})),
    "Claude's context is full": (
        "truncated",
        invoked(PLAIN, {**END, "stop_reason": "model_context_window_exceeded"}),
    ),
    "Claude in pieces": ("read", invoked(PLAIN, [*STREAM, *DELTA, *STOPPED, "[DONE]"])),
    "Claude stopped in pieces": ("guardrail", invoked(PLAIN, [*STREAM, {**DELTA[0], **GUARDED}, *STOPPED])),
    "Claude of old": ("read", invoked(LEGACY, {"completion": f" {SAID}", "stop_reason": "stop_sequence"})),
    "Llama": ("read", invoked({"prompt": ASKED}, {"generation": SAID, "stop_reason": "stop"})),
    "Llama's pictures": ("multimodal", invoked({"prompt": ASKED, "images": ["aGk="]}, {"generation": SAID})),
    "Mistral's text": ("read", invoked(MISTRAL, {"outputs": [{"text": SAID, "stop_reason": "stop"}]})),
    "Mistral's chat": (
        "read",
        invoked(
            PLAIN, {"choices": [{"message": {"content": SAID, "tool_calls": None}, "stop_reason": "stop"}]}
        ),
    ),
    "Jamba": ("read", invoked(PLAIN, CHOICE)),
    "Writer": ("read", invoked(PLAIN, chosen(content=SAID, reasoning_content="hm", tool_calls=[]))),
    "DeepSeek's chat": ("read", invoked(PLAIN, chosen(content=SAID, reasoning_content="hm"))),
    "DeepSeek's text": (
        "read",
        invoked(
            {"prompt": DEEPSEEK}, {"choices": [{"text": f"hm\n</think>\n\n{SAID}", "stop_reason": "stop"}]}
        ),
    ),
    "Qwen, imported": (
        "read",
        invoked({"prompt": turned("<|im_start|>", "<|im_end|>", "user", "assistant")}, {"generation": SAID}),
    ),
    "Gemma, imported": (
        "read",
        invoked(
            {"prompt": "<bos>" + turned("<start_of_turn>", "<end_of_turn>", "user", "model")},
            {"generation": SAID},
        ),
    ),
    "gpt-oss": (
        "read",
        invoked(PLAIN, chosen(content=f"<reasoning>hm</reasoning>{SAID}"), modelId="openai.gpt-oss-20b-1:0"),
    ),
    "a completion in pieces": (
        "read",
        invoked(PLAIN, [{"choices": [{"delta": {"content": SAID}, "finish_reason": "stop"}]}, "[DONE]"]),
    ),
    "a completion that calls": ("tool_use", invoked(PLAIN, chosen(content="", tool_calls=[{"id": "1"}]))),
    "Command": (
        "read",
        invoked({"prompt": ASKED}, {"generations": [{"text": SAID, "finish_reason": "COMPLETE"}]}),
    ),
    "Command cut off": (
        "truncated",
        invoked({"prompt": ASKED}, {"generations": [{"text": SAID, "finish_reason": "MAX_TOKENS"}]}),
    ),
    "Command R": ("read", invoked({"message": ASKED}, {"text": SAID, "finish_reason": "COMPLETE"})),
    "Command R says and calls": (
        "tool_use",
        invoked({"message": ASKED}, {"text": "I look.", "tool_calls": [{"name": "look"}]}),
    ),
    "Command R with results": (
        "tool_use",
        invoked({"message": ASKED, "tool_results": [{"outputs": []}]}, {"text": SAID}),
    ),
    "Command R calls in pieces": (
        "tool_use",
        invoked({"message": ASKED}, [{"is_finished": False, "event_type": "tool-calls-chunk"}]),
    ),
    "Command A": ("read", invoked(PLAIN, {"message": COHERE_2, "finish_reason": "COMPLETE"})),
    "Command A calls": (
        "tool_use",
        invoked(PLAIN, {"message": {"role": "assistant", "tool_plan": "look", "tool_calls": [{"id": "1"}]}}),
    ),
    "Command A in pieces": ("read", invoked(PLAIN, COHERE_STREAM)),
    "Command A calls in pieces": (
        "tool_use",
        invoked(PLAIN, [COHERE_STREAM[0], {"type": "tool-plan-delta", "delta": {}}]),
    ),
    "Responses": ("read", invoked({"input": ASKED}, {**RESPONSE, "status": "completed"})),
    "Responses go on": (
        "prompt_elsewhere",
        invoked({"input": "and?", "previous_response_id": "r"}, RESPONSE),
    ),
    "Responses of a conversation": (
        "prompt_elsewhere",
        invoked({"input": "and?", "conversation": {"id": "c"}}, RESPONSE),
    ),
    "Responses of a stored prompt": (
        "prompt_elsewhere",
        invoked({"prompt": {"id": "p", "variables": {}}}, RESPONSE),
    ),
    # No conversations
    "Titan embeds": (
        "other_task",
        invoked({"inputText": ASKED}, {"embedding": [0.1], "inputTextTokenCount": 3}),
    ),
    "Cohere embeds": (
        "other_task",
        invoked({"texts": [ASKED], "input_type": "search_query"}, {"embeddings": [[0.1]]}),
    ),
    "Nova embeds": (
        "other_task",
        invoked({"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {}}, {"embeddings": []}),
    ),
    "Marengo embeds": (
        "other_task",
        invoked({"inputType": "text", "inputText": ASKED}, {"data": [{"embedding": [0.1]}]}),
    ),
    "a ranking": (
        "other_task",
        invoked(
            {"query": ASKED, "documents": ["a", "b"]}, {"results": [{"index": 0, "relevance_score": 0.9}]}
        ),
    ),
    "a picture": (
        "other_task",
        invoked({"prompt": "a card", "mode": "text-to-image"}, {"images": ["aGk="], "seeds": [1]}),
    ),
    "a picture of Canvas": (
        "other_task",
        invoked({"taskType": "TEXT_IMAGE", "textToImageParams": {}}, {"images": ["aGk="]}),
    ),
    "a film is told": (
        "other_task",
        invoked({"inputPrompt": "what?", "mediaSource": {"s3Location": {}}}, {"message": "a card"}),
    ),
    "speech": (
        "other_task",
        record(
            operation="InvokeModelWithBidirectionalStream",
            input={"inputBodyJson": [{"event": {}}]},
            output=None,
        ),
    ),
    "a count of tokens": (
        "other_task",
        record(operation="CountTokens", output={"outputBodyJson": {"inputTokens": 5}}),
    ),
}
DROPS = frozenset({"refusal", "truncated", "guardrail", "tools_offered"})


@pytest.mark.parametrize("shape", SHAPES)
def test_a_record_is_read_or_skipped_under_the_reason_that_says_what_it_is(shape: str) -> None:
    becomes, data = SHAPES[shape]
    found = parse_line(line_of(data))
    if becomes != "read" and becomes not in DROPS:
        assert not isinstance(found, Interaction)
        assert found.reason.value == becomes
        return
    assert isinstance(found, Interaction), found
    assert [(turn.role, turn.text) for turn in found.turns] == [("user", ASKED)]
    if becomes == "read":
        assert found.answer.rpartition("</think>")[2].strip() == SAID


def test_dataset_build_over_all_shapes_prints_what_each_became(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each asks about a card of its own, so that none is another's copy."""
    (tmp_path / "logs").mkdir()
    names = ["".join("abcdefghij"[int(digit)] * 4 for digit in f"{n:03d}") for n in range(len(SHAPES))]
    for name, (shape, (_, data)) in zip(names, SHAPES.items(), strict=True):
        text = json.dumps({**data, "requestId": shape}).replace(ASKED, f"Where is my {name} card?")
        (tmp_path / "logs" / f"{name}.json").write_text(text)
    ids = {data["modelId"] for _, data in SHAPES.values()}
    mapping = [f"{each}={MODEL}" for each in sorted(ids) if not each.endswith(("prompt/A:1", "prompt/A"))]
    command = [
        "dataset",
        "build",
        "--logs",
        str(tmp_path / "logs"),
        "--model",
        MODEL,
        "--out",
        str(tmp_path / "out"),
    ]
    command += ["--near-duplicates", "none", "--with-answers", "--json", "--mapping", *mapping]
    command += [f"{ARN}:prompt/A:1={MODEL}", f"{ARN}:prompt/A={MODEL}"]
    main(command)
    outcome = json.loads(capsys.readouterr().out)
    wanted = Counter(becomes for becomes, _ in SHAPES.values())
    kept = outcome["train_records"] + outcome["heldout_records"]
    assert {"read": kept, **outcome["skipped"], **outcome["dropped"]} == wanted
    taught = (tmp_path / "out/train.jsonl").read_text()
    assert "think" not in taught
    assert "reasoning" not in taught
    main([*command[: command.index("--json")], *command[command.index("--json") + 1 :]])
    table = capsys.readouterr().out
    assert all(f" {reason} " in table for reason in wanted if reason != "read")
