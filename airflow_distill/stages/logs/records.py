"""What crosses the log stage's door: one logged request with its answer, as the dataset stage wants it.

Standard library only. `Interaction` is independent of the API operation and of the model family that produced it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA = 2


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation; `role` is `user` or `assistant`."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Interaction:
    """One logged request and its answer.

    `turns` ends with the user turn that was answered. `model` is the base model id after resolving ARNs and profiles;
    `model_id` is what the record says. `timestamp` is ISO 8601 UTC, as logged. Token counts and latency are None where
    the record has none; `input_tokens` are all, of which `cache_read_tokens` and `cache_write_tokens` are billed at rates
    of their own. `stop_reason` keeps the word of the record's own family, save that a guardrail's message has
    `guardrail_intervened` in all of them. `tools_offered` says that the model could have called a tool. `redacted` says how
    many distinct secrets of each kind were replaced by placeholders; a record as it was logged has none.
    """

    request_id: str
    timestamp: str
    operation: str
    model_id: str
    model: str
    turns: tuple[Turn, ...]
    answer: str
    system: str | None = None
    stop_reason: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    identity: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_ms: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    tools_offered: bool = False
    redacted: tuple[tuple[str, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "v": SCHEMA,
            "request_id": self.request_id,
            "timestamp": self.timestamp,
            "operation": self.operation,
            "model_id": self.model_id,
            "model": self.model,
            "turns": [[t.role, t.text] for t in self.turns],
            "answer": self.answer,
            "system": self.system,
            "stop_reason": self.stop_reason,
            "metadata": dict(self.metadata),
            "identity": self.identity,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "latency_ms": self.latency_ms,
            "cache_read_tokens": self.cache_read_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "tools_offered": self.tools_offered,
            "redacted": dict(self.redacted),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Interaction:
        return cls(
            request_id=data["request_id"],
            timestamp=data["timestamp"],
            operation=data["operation"],
            model_id=data["model_id"],
            model=data["model"],
            turns=tuple(Turn(role, text) for role, text in data["turns"]),
            answer=data["answer"],
            system=data.get("system"),
            stop_reason=data.get("stop_reason", ""),
            metadata=tuple(sorted((str(k), str(v)) for k, v in (data.get("metadata") or {}).items())),
            identity=data.get("identity", ""),
            input_tokens=data.get("input_tokens"),
            output_tokens=data.get("output_tokens"),
            latency_ms=data.get("latency_ms"),
            cache_read_tokens=data.get("cache_read_tokens"),
            cache_write_tokens=data.get("cache_write_tokens"),
            tools_offered=bool(data.get("tools_offered")),
            redacted=tuple(sorted((data.get("redacted") or {}).items())),
        )
