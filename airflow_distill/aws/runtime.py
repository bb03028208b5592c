"""Asks models through Converse. Text of prompts and answers passes through here and is never logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_distill.aws.calls import Gateway

if TYPE_CHECKING:
    from airflow_distill.stages.money.records import Tokens


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a model: its text, why it stopped, tokens, and the service's own latency in ms.

    `input_tokens` are all, of which some were read from a cache or written to one.
    """

    text: str
    stop_reason: str
    input_tokens: int
    output_tokens: int
    latency_ms: int
    content: tuple[Mapping[str, Any], ...] = ()
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    @property
    def tokens(self) -> Tokens:
        """What the call is billed for, by kind."""
        from airflow_distill.stages.money.records import Tokens

        return Tokens.of(
            self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens
        )


class RuntimeGateway(Gateway):
    """`bedrock-runtime`: one method per call we make."""

    def converse(
        self,
        model_id: str,
        *,
        messages: list[dict[str, Any]],
        max_tokens: int,
        system: str | None = None,
        temperature: float | None = 0.0,
        request_metadata: Mapping[str, str] | None = None,
        tool_config: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Ask a model once.

        :param model_id: model id, profile, provisioned throughput ARN or custom model deployment ARN.
        :param messages: Converse messages, `[{"role": "user", "content": [{"text": ...}]}, ...]`.
        :param max_tokens: always sent, because the service reserves the model's maximum otherwise.
        :raises ServiceError: as translated; throttling is `ServiceThrottledError`.
        """
        inference: dict[str, Any] = {"maxTokens": max_tokens}
        if temperature is not None:
            inference["temperature"] = temperature
        request: dict[str, Any] = {"modelId": model_id, "messages": messages, "inferenceConfig": inference}
        if system:
            request["system"] = [{"text": system}]
        if request_metadata:
            request["requestMetadata"] = dict(request_metadata)
        if tool_config:
            request["toolConfig"] = dict(tool_config)
        answer = self.call("converse", **request)
        message = (answer.get("output") or {}).get("message") or {}
        content = tuple(message.get("content") or ())
        usage = answer.get("usage") or {}
        read, write = (int(usage.get(f"cache{way}InputTokens") or 0) for way in ("Read", "Write"))
        return Reply(
            text="".join(str(block["text"]) for block in content if block.get("text") is not None),
            stop_reason=str(answer.get("stopReason", "")),
            input_tokens=int(usage.get("inputTokens") or 0) + read + write,
            output_tokens=int(usage.get("outputTokens") or 0),
            latency_ms=int((answer.get("metrics") or {}).get("latencyMs") or 0),
            content=content,
            cache_read_tokens=read,
            cache_write_tokens=write,
        )
