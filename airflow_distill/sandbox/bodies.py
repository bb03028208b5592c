"""Bodies of the runtime's requests and answers: Converse's own, and each model family's native ones, whole and streamed.

What a model said becomes a body, or a request's body is read. Nothing here knows who answers or what it costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_distill.sandbox.catalogue import BaseModel
from airflow_distill.sandbox.failures import validation
from airflow_distill.sandbox.protocol import pieces
from airflow_distill.sandbox.training_data import prompt_of, split_template


@dataclass(frozen=True, slots=True)
class Said:
    """An answer with its cost."""

    text: str
    stop: str
    tokens_in: int
    tokens_out: int
    reasoning: str = ""

    @property
    def latency_ms(self) -> int:
        return 40 + 6 * self.tokens_out + self.tokens_in // 20


def converse_body(said: Said) -> dict[str, Any]:
    """The body of a Converse answer."""
    content: list[dict[str, Any]] = [{"text": said.text}] if said.text or not said.reasoning else []
    if said.reasoning:
        thought = {"reasoningText": {"text": said.reasoning, "signature": "sandbox"}}
        content.insert(0, {"reasoningContent": thought})
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": said.stop,
        "usage": _usage(said),
        "metrics": {"latencyMs": said.latency_ms},
    }


def converse_events(said: Said) -> list[dict[str, Any]]:
    """The events of a ConverseStream answer."""
    return [
        {"messageStart": {"role": "assistant"}},
        *(
            {"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}}
            for piece in pieces(said.text)
        ),
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": said.stop}},
        {"metadata": {"usage": _usage(said), "metrics": {"latencyMs": said.latency_ms}}},
    ]


def _usage(said: Said) -> dict[str, int]:
    return {
        "inputTokens": said.tokens_in,
        "outputTokens": said.tokens_out,
        "totalTokens": said.tokens_in + said.tokens_out,
    }


def family_of(model: BaseModel) -> str:
    for start, family in (("anthropic.", "anthropic"), ("meta.", "llama"), ("mistral.", "mistral")):
        if model.id.startswith(start):
            return family
    return "nova"


def invoke_input(family: str, body: Any) -> tuple[str, str, int | None]:
    """System prompt, user words and token limit of a native request body; the family's own rules apply."""
    if not isinstance(body, dict):
        raise validation("Malformed input request, please reformat your input and try again.")
    if family in ("llama", "mistral"):
        limit_name = "max_gen_len" if family == "llama" else "max_tokens"
        if not isinstance(body.get("prompt"), str) or not body["prompt"].strip():
            raise validation("Malformed input request: #: required key [prompt] not found")
        system, prompt = split_template(body["prompt"])
        return system, prompt, _limit(body, limit_name)
    if family == "anthropic" and isinstance(body.get("prompt"), str):
        system, prompt = split_template(body["prompt"])
        return system, prompt, _limit(body, "max_tokens_to_sample")
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise validation("Malformed input request: #: required key [messages] not found")
    if family == "anthropic":
        for name in ("anthropic_version", "max_tokens"):
            if name not in body:
                raise validation(f"{name}: Field required")
    users = [m for m in body["messages"] if isinstance(m, dict) and m.get("role") == "user"]
    asked = prompt_of({**body, "messages": users[-1:]})
    if asked is None:
        raise validation("Malformed input request: no text in the last user message")
    limits = body if family == "anthropic" else body.get("inferenceConfig") or {}
    return asked[0], asked[1], _limit(limits, "max_tokens" if family == "anthropic" else "maxTokens")


def _limit(source: Any, name: str) -> int | None:
    value = source.get(name) if isinstance(source, dict) else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise validation(f"Malformed input request: {name} must be a positive integer")
    return value


def invoke_output(family: str, said: Said, legacy: bool) -> dict[str, Any]:
    """The native answer body of a family."""
    if family == "llama":
        return {
            "generation": said.text,
            "prompt_token_count": said.tokens_in,
            "generation_token_count": said.tokens_out,
            "stop_reason": "length" if said.stop == "max_tokens" else "stop",
        }
    if family == "mistral":
        return {
            "outputs": [{"text": said.text, "stop_reason": "length" if said.stop == "max_tokens" else "stop"}]
        }
    if family == "anthropic" and legacy:
        return {
            "type": "completion",
            "completion": said.text,
            "stop_reason": "stop_sequence",
            "stop": "\n\nHuman:",
        }
    if family == "anthropic":
        return {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": said.text}],
            "stop_reason": said.stop,
            "stop_sequence": None,
            "usage": {"input_tokens": said.tokens_in, "output_tokens": said.tokens_out},
        }
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": said.text}]}},
        "stopReason": said.stop,
        "usage": _usage(said),
    }


def invoke_chunks(family: str, said: Said, legacy: bool) -> list[dict[str, Any]]:
    """The native chunks of a streamed answer; the last one carries the invocation metrics."""
    metrics = {
        "amazon-bedrock-invocationMetrics": {
            "inputTokenCount": said.tokens_in,
            "outputTokenCount": said.tokens_out,
            "invocationLatency": said.latency_ms,
            "firstByteLatency": min(said.latency_ms, 40),
        }
    }
    chunks: list[dict[str, Any]]
    if family == "llama":
        chunks = [{"generation": piece, "stop_reason": None} for piece in pieces(said.text)]
        chunks.append({"generation": "", "stop_reason": "length" if said.stop == "max_tokens" else "stop"})
    elif family == "mistral":
        chunks = [{"outputs": [{"text": piece, "stop_reason": None}]} for piece in pieces(said.text)]
    elif family == "anthropic" and legacy:
        chunks = [
            {"type": "completion", "completion": piece, "stop_reason": None} for piece in pieces(said.text)
        ]
    elif family == "anthropic":
        chunks = [
            {
                "type": "message_start",
                "message": {"role": "assistant", "content": [], "usage": {"input_tokens": said.tokens_in}},
            },
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
                for piece in pieces(said.text)
            ),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": said.stop}, "usage": {"output_tokens": said.tokens_out}},
            {"type": "message_stop"},
        ]  # fmt: skip
    else:
        chunks = [
            {"messageStart": {"role": "assistant"}},
            *(
                {"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}}
                for piece in pieces(said.text)
            ),
            {"contentBlockStop": {"contentBlockIndex": 0}},
            {"messageStop": {"stopReason": said.stop}},
            {"metadata": {"usage": _usage(said)}},
        ]
    chunks[-1] = {**chunks[-1], **metrics}
    return chunks


def native_request(operation_name: str, family: str, prompt: str, system: str) -> dict[str, Any]:
    """A request body as an application would have sent it."""
    if operation_name.startswith("Converse"):
        body: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": prompt}]}]}
        if system:
            body["system"] = [{"text": system}]
        body["inferenceConfig"] = {"maxTokens": 512, "temperature": 0.0}
        return body
    if family == "llama":
        head = f"<|start_header_id|>system<|end_header_id|>\n\n{system}<|eot_id|>" if system else ""
        return {
            "prompt": f"<|begin_of_text|>{head}<|start_header_id|>user<|end_header_id|>\n\n{prompt}<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "max_gen_len": 512,
        }
    if family == "mistral":
        return {"prompt": f"<s>[INST]{system}\n{prompt}[/INST]", "max_tokens": 512}
    if family == "anthropic":
        request: dict[str, Any] = {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 512,
            "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}],
        }
        if system:
            request["system"] = system
        return request
    nova: dict[str, Any] = {
        "schemaVersion": "messages-v1",
        "messages": [{"role": "user", "content": [{"text": prompt}]}],
        "inferenceConfig": {"maxTokens": 512},
    }
    if system:
        nova["system"] = [{"text": system}]
    return nova
