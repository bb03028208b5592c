"""Response bodies of every family become one answer: text, stop reason, token counts and latency.

Imports the record shapes only. A body is one object or, for some logged streams, a list of events; which one it is decides
how it is read, not the operation. A body that cannot be read raises `Unusable` with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from airflow_distill.stages.logs.conversation import block_text
from airflow_distill.stages.logs.reasons import SkipReason
from airflow_distill.stages.logs.shapes import Event, Number, OutputBody, Usage
from airflow_distill.stages.logs.unusable import Unusable

T = TypeVar("T")

Answer = tuple[str, str, Number, Number, Number]
"""Text, stop reason in the family's own word, input tokens, output tokens, latency in milliseconds."""

_SILENT_EVENTS = frozenset({"content_block_stop", "message_stop", "ping"})


def read_output(body: OutputBody | list[Event]) -> Answer:
    """Return the answer of a response body.

    :raises Unusable: the body is of no known family, or the answer is not only text.
    """
    return _read_events(body) if isinstance(body, list) else _read_object(body)


def _read_object(body: OutputBody) -> Answer:
    unknown = SkipReason.UNKNOWN_OUTPUT
    usage = body.usage
    tokens_in, tokens_out = _usage(usage) if usage is not None else (None, None)
    output = body.output
    if output is not None and output.message is not None:
        text = block_text(output.message.content, "", unknown)
        latency = body.metrics.latencyMs if body.metrics is not None else None
        return text, body.stopReason or "", tokens_in, tokens_out, latency
    if body.content is not None:
        return block_text(body.content, "", unknown), body.stop_reason or "", tokens_in, tokens_out, None
    if body.completion is not None:
        return body.completion.strip(), body.stop_reason or "", tokens_in, tokens_out, None
    if body.generation is not None:
        counts = body.prompt_token_count, body.generation_token_count
        return body.generation.strip(), body.stop_reason or "", *counts, None
    if body.results and body.results[0].outputText is not None:
        first = body.results[0]
        text = first.outputText or ""
        return text.strip(), first.completionReason or "", body.inputTextTokenCount, first.tokenCount, None
    raise Unusable(unknown)


def _usage(usage: Usage) -> tuple[Number, Number]:
    tokens_in = usage.inputTokens if usage.inputTokens is not None else usage.input_tokens
    tokens_out = usage.outputTokens if usage.outputTokens is not None else usage.output_tokens
    return tokens_in, tokens_out


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

    def count(self, usage: Usage | None) -> None:
        if usage is not None:
            tokens_in, tokens_out = _usage(usage)
            self.tokens_in = tokens_in if tokens_in is not None else self.tokens_in
            self.tokens_out = tokens_out if tokens_out is not None else self.tokens_out


def _read_events(events: list[Event]) -> Answer:
    stream = _Stream()
    for event in events:
        _refuse_failure(event)
        if not (_take_converse(event, stream) | _take_anthropic(event, stream) | _take_pieces(event, stream)):
            raise Unusable(SkipReason.UNKNOWN_OUTPUT)
    if stream.started and not stream.stop:
        raise Unusable(SkipReason.INCOMPLETE_ANSWER)
    text = "".join(stream.pieces)
    text = text.strip() if stream.templated else text
    return text, stream.stop, stream.tokens_in, stream.tokens_out, stream.latency


def _refuse_failure(event: Event) -> None:
    if (
        event.type == "error"
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
        if delta is not None and delta.toolUse is not None:
            raise Unusable(SkipReason.TOOL_USE)
        if delta is not None and delta.text is not None:
            stream.pieces.append(delta.text)
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
        delta = event.delta
        if delta is not None and delta.partial_json is not None:
            raise Unusable(SkipReason.TOOL_USE)
        if delta is not None and delta.text is not None:
            stream.pieces.append(delta.text)
    elif kind == "content_block_start":
        if event.content_block is not None:
            stream.pieces.append(block_text([event.content_block], "", SkipReason.UNKNOWN_OUTPUT))
    elif kind == "message_start":
        stream.started = True
        stream.count(event.message.usage if event.message else None)
    elif kind == "message_delta":
        stream.count(event.usage)
        if event.delta is not None and event.delta.stop_reason:
            stream.stop = event.delta.stop_reason
    else:
        return kind in _SILENT_EVENTS
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
