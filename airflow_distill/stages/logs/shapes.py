"""The record shapes as typed structures: one decode of a line reads only the fields that matter.

Imports the typed JSON decoder and nothing of ours. Every documented body is a member of one of two wide structures, so the
family of a body is recognised by which fields are there, not by the operation or the model. Unknown fields are skipped
without being built. A line that does not fit is not an error here: the reader takes it apart slowly (`parse`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

Number = int | float | None


class Held(msgspec.Struct, gc=False):
    """An object that is only known to be there; its fields are skipped."""


class Block(msgspec.Struct, gc=False):
    """One content block of a message, in the Converse or the Anthropic form. At most one kind is set."""

    text: str | None = None
    type: str | None = None
    guardContent: dict[str, Any] | None = None
    citationsContent: dict[str, Any] | None = None
    toolUse: Held | None = None
    toolResult: Held | None = None
    image: Held | None = None
    document: Held | None = None
    video: Held | None = None
    audio: Held | None = None
    cachePoint: Held | None = None
    reasoningContent: Held | None = None
    searchResult: Held | None = None
    refusal: str | None = None


class Message(msgspec.Struct, gc=False):
    """One message; most families allow plain text as content. `message` is Cohere's, `type` that of a Responses item."""

    role: str = ""
    content: str | list[Block] | None = None
    type: str | None = None
    message: str | None = None
    tool_calls: list[Held] | None = None


class ToolConfig(msgspec.Struct, gc=False):
    """Converse's offer of tools."""

    tools: list[Held] | None = None


class InputBody(msgspec.Struct, gc=False):
    """A request body of any family."""

    messages: list[Message] | None = None
    system: str | list[Block] | None = None
    prompt: str | None = None
    inputText: str | None = None
    toolConfig: ToolConfig | None = None
    tools: list[Held] | None = None
    message: str | None = None
    chat_history: list[Message] | None = None
    preamble: str | None = None
    documents: list[Held] | None = None
    input: str | list[Message] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    promptVariables: Held | None = None
    images: Any = None
    tool_results: Any = None


class Usage(msgspec.Struct, gc=False):
    """Token counts of either spelling."""

    inputTokens: Number = None
    outputTokens: Number = None
    input_tokens: Number = None
    output_tokens: Number = None
    prompt_tokens: Number = None
    completion_tokens: Number = None
    cacheReadInputTokens: Number = None
    cacheWriteInputTokens: Number = None
    cacheReadInputTokenCount: Number = None
    cacheWriteInputTokenCount: Number = None
    cache_read_input_tokens: Number = None
    cache_creation_input_tokens: Number = None


class Metrics(msgspec.Struct, gc=False):
    """Latency in milliseconds, of Converse or of a stream's last chunk."""

    latencyMs: Number = None
    inputTokenCount: Number = None
    outputTokenCount: Number = None
    invocationLatency: Number = None


class OutputMessage(msgspec.Struct, gc=False):
    """`output` of Converse and Nova."""

    message: Message | None = None


class Choice(msgspec.Struct, gc=False):
    """One choice of a chat completion, or its piece in a stream; DeepSeek's text completion has `text`."""

    message: Message | None = None
    delta: Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    stop_reason: str | None = None


class Piece(msgspec.Struct, gc=False):
    """One output of Mistral's text form, or one generation of Cohere's."""

    text: str | None = None
    stop_reason: str | None = None
    finish_reason: str | None = None


class Incomplete(msgspec.Struct, gc=False):
    """Why a response of the Responses form is not whole."""

    reason: str | None = None


class TitanResult(msgspec.Struct, gc=False):
    """One result of Titan text."""

    outputText: str | None = None
    tokenCount: Number = None
    completionReason: str | None = None


class MessagePart(msgspec.Struct, gc=False):
    """What an event of Cohere's second chat form adds to the message: a piece, or the pieces before the first."""

    content: Block | list[Block] | None = None


class Delta(msgspec.Struct, gc=False):
    """What one stream event adds: Anthropic's and Cohere's `delta` or Converse's and Nova's `contentBlockDelta.delta`."""

    message: MessagePart | None = None
    finish_reason: str | None = None
    type: str | None = None
    text: str | None = None
    stop_reason: str | None = None
    toolUse: Held | None = None
    partial_json: str | None = None
    reasoningContent: Held | None = None
    guardrail: str | None = msgspec.field(name="amazon-bedrock-guardrailAction", default=None)


class BlockDelta(msgspec.Struct, gc=False):
    """`contentBlockDelta`."""

    delta: Delta | None = None


class BlockStart(msgspec.Struct, gc=False):
    """`contentBlockStart`; `start` holds a tool call, or an image."""

    start: dict[str, Any] | None = None


class MessageStop(msgspec.Struct, gc=False):
    """`messageStop`."""

    stopReason: str | None = None


class StreamMetadata(msgspec.Struct, gc=False):
    """`metadata`, the last event of a Converse stream."""

    usage: Usage | None = None
    metrics: Metrics | None = None


class StartedMessage(msgspec.Struct, gc=False):
    """`message` of Anthropic's `message_start`."""

    usage: Usage | None = None


class OutputBody(msgspec.Struct, gc=False):
    """A response body of any family that is one object."""

    output: OutputMessage | list[Message] | None = None
    content: str | list[Block] | None = None
    completion: str | None = None
    generation: str | None = None
    results: list[TitanResult] | None = None
    stopReason: str | None = None
    stop_reason: str | None = None
    usage: Usage | None = None
    metrics: Metrics | None = None
    prompt_token_count: Number = None
    generation_token_count: Number = None
    inputTextTokenCount: Number = None
    choices: list[Choice] | None = None
    outputs: list[Piece] | None = None
    generations: list[Piece] | None = None
    text: str | None = None
    message: Message | None = None
    finish_reason: str | None = None
    tool_calls: list[Held] | None = None
    status: str | None = None
    incomplete_details: Incomplete | None = None
    guardrail: str | None = msgspec.field(name="amazon-bedrock-guardrailAction", default=None)


class Event(msgspec.Struct, gc=False):
    """One event of a logged stream, of any family."""

    type: str | None = None
    delta: Delta | str | None = None
    content_block: Block | None = None
    message: StartedMessage | None = None
    usage: Usage | None = None
    messageStart: Held | None = None
    contentBlockStart: BlockStart | None = None
    contentBlockDelta: BlockDelta | None = None
    contentBlockStop: Held | None = None
    messageStop: MessageStop | None = None
    metadata: StreamMetadata | None = None
    completion: str | None = None
    generation: str | None = None
    stop_reason: str | None = None
    prompt_token_count: Number = None
    generation_token_count: Number = None
    outputText: str | None = None
    completionReason: str | None = None
    inputTextTokenCount: Number = None
    totalOutputTextTokenCount: Number = None
    metrics: Metrics | None = msgspec.field(name="amazon-bedrock-invocationMetrics", default=None)
    guardrail: str | None = msgspec.field(name="amazon-bedrock-guardrailAction", default=None)
    choices: list[Choice] | None = None
    outputs: list[Piece] | None = None
    text: str | None = None
    tool_calls: list[Held] | None = None
    is_finished: bool | None = None
    event_type: str | None = None
    finish_reason: str | None = None
    response: OutputBody | None = None
    error: Held | None = None
    internalServerException: Held | None = None
    modelStreamErrorException: Held | None = None
    modelTimeoutException: Held | None = None
    throttlingException: Held | None = None
    validationException: Held | None = None
    serviceUnavailableException: Held | None = None


Events = list[Event | str]
"""A logged stream; some end in the text `[DONE]`."""
AnyOutput = OutputBody | Events | str | None


class Identity(msgspec.Struct, gc=False):
    """Who called."""

    arn: str | None = None


class Input(msgspec.Struct, gc=False):
    """The record's `input`."""

    inputBodyJson: InputBody | str | None = None
    inputBodyS3Path: str | None = None
    inputTokenCount: Number = None
    cacheReadInputTokenCount: Number = None
    cacheWriteInputTokenCount: Number = None


class Output(msgspec.Struct, gc=False):
    """The record's `output`."""

    outputBodyJson: AnyOutput = None
    outputBodyS3Path: str | None = None
    outputTokenCount: Number = None


class Record(msgspec.Struct, gc=False):
    """One invocation-log line."""

    schemaType: str | None = None
    timestamp: str | None = None
    requestId: str | None = None
    operation: str | None = None
    modelId: str | None = None
    errorCode: str | None = None
    identity: Identity | None = None
    requestMetadata: dict[str, str] | None = None
    input: Input | None = None
    output: Output | None = None


decode_record = msgspec.json.Decoder(Record).decode
decode_input = msgspec.json.Decoder(InputBody).decode
decode_output: Callable[[bytes | str], OutputBody | Events] = msgspec.json.Decoder(OutputBody | Events).decode


def convert_input(value: Any) -> InputBody | str | None:
    """Fit plain data to a request body.

    :raises msgspec.ValidationError: it does not fit.
    """
    return msgspec.convert(value, InputBody | str | None)


def convert_output(value: Any) -> AnyOutput:
    """Fit plain data to a response body.

    :raises msgspec.ValidationError: it does not fit.
    """
    body: AnyOutput = msgspec.convert(value, AnyOutput)
    return body
