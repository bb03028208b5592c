"""Response bodies of every family become one answer: text, stop reason, token counts and latency.

Imports the record shapes only. A body is one object or, for some logged streams, a list of events; which one it is decides
how it is read, not the operation. A body that cannot be read raises `Unusable` with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from airflow_distill.stages.logs.conversation import block_text, one_text
from airflow_distill.stages.logs.reasons import SkipReason
from airflow_distill.stages.logs.shapes import (
    Block,
    Choice,
    Delta,
    Event,
    Events,
    Message,
    Number,
    OutputBody,
    OutputMessage,
    Usage,
)
from airflow_distill.stages.logs.unusable import Unusable

T = TypeVar("T")

Answer = tuple[str, str, Number, Number, Number, Usage | None]
"""Text, stop reason in the family's own word, input tokens, output tokens, latency in milliseconds, usage by kind."""

GUARDRAIL = "guardrail_intervened"
"""The stop reason of an answer that is a guardrail's message; InvokeModel says so in a field of its own."""
_INTERVENED = "INTERVENED"
_DONE = "[DONE]"

_SILENT_EVENTS = frozenset({"content_block_stop", "message_stop", "ping"})
_COHERE_EVENTS = frozenset(
    {
        "message-start", "content-start", "content-delta", "content-end", "message-end",
        "citation-start", "citation-end", "debug",
    }
)  # fmt: skip


def _intervened(action: str | None) -> bool:
    """Say whether a guardrail's action is that it stepped in: `INTERVENED`, or `GUARDRAIL_INTERVENED` as others write."""
    return action is not None and action.endswith(_INTERVENED)


def read_output(body: OutputBody | Events) -> Answer:
    """Return the answer of a response body.

    :raises Unusable: the body is of no known family, or the answer is not only text.
    """
    if isinstance(body, list):
        return _read_events(body)
    answer = _read_object(body)
    return (answer[0], GUARDRAIL, *answer[2:]) if _intervened(body.guardrail) else answer


def one_answer(body: OutputBody) -> str | None:
    """Return the text of an answer that is one block of text, as most are; None where `read_output` must look."""
    output = body.output
    if output is None:
        return one_text(body.content)
    if output.__class__ is OutputMessage and output.message is not None:
        return one_text(output.message.content)
    return None


def _read_object(body: OutputBody) -> Answer:
    unknown = SkipReason.UNKNOWN_OUTPUT
    usage = body.usage
    tokens_in, tokens_out = _usage(usage) if usage is not None else (None, None)
    output = body.output
    if body.tool_calls:
        raise Unusable(SkipReason.TOOL_USE)
    if isinstance(output, OutputMessage) and output.message is not None:
        text = block_text(output.message.content, "", unknown)
        latency = body.metrics.latencyMs if body.metrics is not None else None
        return text, body.stopReason or "", tokens_in, tokens_out, latency, usage
    if body.content is not None:
        text = block_text(body.content, "", unknown)
        return text, body.stop_reason or "", tokens_in, tokens_out, None, usage
    if body.completion is not None:
        return body.completion.strip(), body.stop_reason or "", tokens_in, tokens_out, None, usage
    if body.generation is not None:
        counts = body.prompt_token_count, body.generation_token_count
        return body.generation.strip(), body.stop_reason or "", *counts, None, usage
    if body.results and body.results[0].outputText is not None:
        first = body.results[0]
        text = (first.outputText or "").strip()
        return text, first.completionReason or "", body.inputTextTokenCount, first.tokenCount, None, usage
    text, stop = _read_other_family(body)
    return text, stop, tokens_in, tokens_out, None, usage


def _read_other_family(body: OutputBody) -> tuple[str, str]:
    """Return text and stop reason of the OpenAI forms, Mistral, DeepSeek and Cohere."""
    if body.choices:
        return _choice_text(body.choices[0]), _stop_of(body.choices[0])
    if isinstance(body.output, list):
        reason = body.incomplete_details.reason if body.incomplete_details is not None else None
        return _items_text(body.output), reason or body.status or ""
    if body.message is not None:
        if body.message.tool_calls:
            raise Unusable(SkipReason.TOOL_USE)
        return block_text(body.message.content, "", SkipReason.UNKNOWN_OUTPUT), body.finish_reason or ""
    pieces = body.outputs or body.generations
    if pieces and pieces[0].text is not None:
        return pieces[0].text.strip(), pieces[0].stop_reason or pieces[0].finish_reason or ""
    if body.text is not None:
        return body.text.strip(), body.finish_reason or ""
    raise Unusable(SkipReason.UNKNOWN_OUTPUT)


def _choice_text(choice: Choice) -> str:
    if choice.message is None:
        if choice.text is None:
            raise Unusable(SkipReason.UNKNOWN_OUTPUT)
        return choice.text.strip()
    if choice.message.tool_calls:
        raise Unusable(SkipReason.TOOL_USE)
    return block_text(choice.message.content or "", "", SkipReason.UNKNOWN_OUTPUT)


def _stop_of(choice: Choice) -> str:
    return choice.finish_reason or choice.stop_reason or ""


def _items_text(items: list[Message]) -> str:
    """Return the text of the items of a response; its thinking is left out."""
    texts = []
    for item in items:
        if item.type == "message":
            texts.append(block_text(item.content, "", SkipReason.UNKNOWN_OUTPUT))
        elif item.type != "reasoning":
            raise Unusable(SkipReason.TOOL_USE)
    return "".join(texts)


def _usage(usage: Usage) -> tuple[Number, Number]:
    tokens_in = usage.inputTokens if usage.inputTokens is not None else usage.input_tokens
    tokens_out = usage.outputTokens if usage.outputTokens is not None else usage.output_tokens
    if tokens_in is None and tokens_out is None:
        return usage.prompt_tokens, usage.completion_tokens
    return tokens_in, tokens_out


def cached_tokens(usage: Usage | None) -> tuple[Number, Number]:
    """Return the input tokens that were read from a cache and written to one; both are counted beside the others."""
    if usage is None:
        return None, None
    return (
        _first(usage.cacheReadInputTokens, usage.cache_read_input_tokens, usage.cacheReadInputTokenCount),
        _first(
            usage.cacheWriteInputTokens, usage.cache_creation_input_tokens, usage.cacheWriteInputTokenCount
        ),
    )


@dataclass(slots=True)
class _Stream:
    """What the events said so far."""

    pieces: list[str] = field(default_factory=list)
    stop: str = ""
    tokens_in: Number = None
    tokens_out: Number = None
    latency: Number = None
    started: bool = False
    templated: bool = False
    intervened: bool = False
    cached: Usage | None = None

    def count(self, usage: Usage | None) -> None:
        if usage is not None:
            if self.cached is None or any(count is not None for count in cached_tokens(usage)):
                self.cached = usage
            tokens_in, tokens_out = _usage(usage)
            self.tokens_in = tokens_in if tokens_in is not None else self.tokens_in
            self.tokens_out = tokens_out if tokens_out is not None else self.tokens_out


def _read_events(events: Events) -> Answer:
    stream = _Stream()
    for event in events:
        if isinstance(event, str):
            if event.strip() != _DONE:
                raise Unusable(SkipReason.UNKNOWN_OUTPUT)
            continue
        _refuse_failure(event)
        if _intervened(event.guardrail):
            stream.intervened = True
        if not (
            _take_converse(event, stream)
            | _take_anthropic(event, stream)
            | _take_pieces(event, stream)
            | _take_other_family(event, stream)
        ):
            raise Unusable(SkipReason.UNKNOWN_OUTPUT)
    if stream.started and not stream.stop:
        raise Unusable(SkipReason.INCOMPLETE_ANSWER)
    text = "".join(stream.pieces)
    text = text.strip() if stream.templated else text
    stop = GUARDRAIL if stream.intervened else stream.stop
    return text, stop, stream.tokens_in, stream.tokens_out, stream.latency, stream.cached


def _refuse_failure(event: Event) -> None:
    if (
        event.type in ("error", "response.failed")
        or event.error is not None
        or event.internalServerException is not None
        or event.modelStreamErrorException is not None
        or event.modelTimeoutException is not None
        or event.throttlingException is not None
        or event.validationException is not None
        or event.serviceUnavailableException is not None
    ):
        raise Unusable(SkipReason.FAILED_CALL)


def _take_converse(event: Event, stream: _Stream) -> bool:
    """Take an event of Converse or Nova; say whether it was one."""
    if event.contentBlockDelta is not None:
        delta = event.contentBlockDelta.delta
        if delta is not None:
            _take_delta(delta, stream)
    elif event.messageStart is not None:
        stream.started = True
    elif event.messageStop is not None:
        stream.stop = event.messageStop.stopReason or ""
    elif event.contentBlockStart is not None:
        start = event.contentBlockStart.start or {}
        if "toolUse" in start:
            raise Unusable(SkipReason.TOOL_USE)
        if "image" in start:
            raise Unusable(SkipReason.MULTIMODAL)
    elif event.metadata is not None:
        stream.count(event.metadata.usage)
        stream.latency = event.metadata.metrics.latencyMs if event.metadata.metrics else stream.latency
    else:
        return event.contentBlockStop is not None
    return True


def _take_anthropic(event: Event, stream: _Stream) -> bool:
    """Take an event of Anthropic's messages form; say whether it was one."""
    kind = event.type
    if kind == "content_block_delta":
        if isinstance(event.delta, Delta):
            _take_delta(event.delta, stream)
    elif kind == "content_block_start":
        if event.content_block is not None:
            stream.pieces.append(block_text([event.content_block], "", SkipReason.UNKNOWN_OUTPUT))
    elif kind == "message_start":
        stream.started = True
        stream.count(event.message.usage if event.message else None)
    elif kind == "message_delta":
        stream.count(event.usage)
        if isinstance(event.delta, Delta):
            stream.stop = event.delta.stop_reason or stream.stop
            stream.intervened |= _intervened(event.delta.guardrail)
    else:
        return kind in _SILENT_EVENTS
    return True


def _take_delta(delta: Delta, stream: _Stream) -> None:
    if delta.toolUse is not None or delta.partial_json is not None:
        raise Unusable(SkipReason.TOOL_USE)
    if delta.text is not None:
        stream.pieces.append(delta.text)
    if _intervened(delta.guardrail):
        stream.intervened = True


def _take_other_family(event: Event, stream: _Stream) -> bool:
    """Take an event of the OpenAI forms, Mistral, DeepSeek or Cohere; say whether it was one."""
    if event.choices is not None:
        stream.count(event.usage)
        for choice in event.choices[:1]:
            part = choice.delta or choice.message
            if part is not None and part.tool_calls:
                raise Unusable(SkipReason.TOOL_USE)
            if part is not None and part.content is not None:
                stream.pieces.append(block_text(part.content, "", SkipReason.UNKNOWN_OUTPUT))
            elif choice.text is not None:
                stream.pieces.append(choice.text)
            stream.stop = _stop_of(choice) or stream.stop
        return True
    if event.outputs is not None:
        for piece in event.outputs[:1]:
            stream.pieces.append(piece.text or "")
            stream.stop = piece.stop_reason or stream.stop
        stream.templated = True
        return True
    if event.is_finished is not None or event.event_type is not None:
        if event.tool_calls or "tool-call" in (event.event_type or ""):
            raise Unusable(SkipReason.TOOL_USE)
        stream.pieces.append(event.text or "" if event.event_type in (None, "text-generation") else "")
        stream.stop = event.finish_reason or stream.stop
        return True
    return _take_cohere(event, stream) or _take_response(event, stream)


def _take_cohere(event: Event, stream: _Stream) -> bool:
    """Take an event of Cohere's second chat form; say whether it was one."""
    kind = event.type or ""
    if kind.startswith("tool-"):
        raise Unusable(SkipReason.TOOL_USE)
    delta = event.delta if isinstance(event.delta, Delta) else None
    if kind == "content-delta" and delta is not None and delta.message is not None:
        content = delta.message.content
        if isinstance(content, Block) and content.text is not None:
            stream.pieces.append(content.text)
    elif kind == "message-end" and delta is not None:
        stream.stop = delta.finish_reason or stream.stop
    elif kind == "message-start":
        stream.started = True
    return kind in _COHERE_EVENTS


def _take_response(event: Event, stream: _Stream) -> bool:
    """Take an event of the Responses form; say whether it was one."""
    kind = event.type or ""
    if not kind.startswith("response."):
        return False
    if kind == "response.output_text.delta" and isinstance(event.delta, str):
        stream.pieces.append(event.delta)
    elif "_call" in kind:
        raise Unusable(SkipReason.TOOL_USE)
    elif kind in ("response.completed", "response.incomplete") and event.response is not None:
        text, stream.stop = _read_other_family(event.response)
        stream.pieces[:] = stream.pieces or [text]
        stream.count(event.response.usage)
    return True


def _take_pieces(event: Event, stream: _Stream) -> bool:
    """Take a piece of a legacy, Llama or Titan stream, and the last chunk's metrics; say whether it was one."""
    piece = _first(event.completion, event.generation, event.outputText)
    if piece is not None:
        stream.templated = True
        stream.pieces.append(piece)
        stream.stop = event.stop_reason or event.completionReason or stream.stop
        stream.tokens_in = _first(event.prompt_token_count, event.inputTextTokenCount, stream.tokens_in)
        stream.tokens_out = _first(
            event.generation_token_count, event.totalOutputTextTokenCount, stream.tokens_out
        )
    metrics = event.metrics
    if metrics is not None:
        stream.tokens_in = _first(metrics.inputTokenCount, stream.tokens_in)
        stream.tokens_out = _first(metrics.outputTokenCount, stream.tokens_out)
        stream.latency = _first(metrics.invocationLatency, stream.latency)
    return piece is not None or metrics is not None


def _first(*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)
