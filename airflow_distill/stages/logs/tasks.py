"""What a call was for whose bodies are no conversation, told from their members.

Standard library only. Asked only of records that the reader could not read, so that embeddings, rankings and pictures are
counted by what they are and not as bodies of an unknown shape.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_distill.stages.logs.reasons import SkipReason

_UNKNOWN = frozenset({SkipReason.UNKNOWN_INPUT, SkipReason.UNKNOWN_OUTPUT, SkipReason.NO_BODY})
_OTHER_OPERATIONS = frozenset({"CountTokens", "InvokeModelWithBidirectionalStream", "StartAsyncInvoke"})
_OTHER_ASKED = frozenset(
    {"texts", "text_prompts", "taskType", "inputPrompt", "mediaSource", "input_type", "embeddingTypes"}
)
"""Members of requests of Cohere Embed, Stability, Titan and Nova Canvas, Nova embeddings and reels, TwelveLabs."""
_OTHER_ANSWERED = frozenset(
    {"embedding", "embeddings", "embeddingsByType", "images", "artifacts", "invocationArn", "inputTokens"}
)
"""Members of answers of embeddings, pictures, calls that go on in the background, and counts of tokens."""


def named_reason(line: bytes, reason: SkipReason) -> SkipReason:
    """Return a better reason for a record whose bodies have an unknown shape, or the one that was given.

    >>> named_reason(b'{"input":{"inputBodyJson":{"texts":["a"]}}}', SkipReason.UNKNOWN_INPUT).value
    'other_task'
    """
    if reason not in _UNKNOWN:
        return reason
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return reason
    if not isinstance(record, Mapping):
        return reason
    asked, answered = _body(record, "input"), _body(record, "output")
    if record.get("operation") in _OTHER_OPERATIONS:
        return SkipReason.OTHER_TASK
    if reason is SkipReason.NO_BODY:
        return reason
    if isinstance(asked, Mapping):
        is_ranking = "query" in asked and "documents" in asked
        if is_ranking or "queries" in asked or not _OTHER_ASKED.isdisjoint(asked):
            return SkipReason.OTHER_TASK
        if ":prompt/" in str(record.get("modelId")) or isinstance(asked.get("prompt"), Mapping):
            return SkipReason.PROMPT_ELSEWHERE
    if isinstance(answered, Mapping) and not _OTHER_ANSWERED.isdisjoint(answered):
        return SkipReason.OTHER_TASK
    data = answered.get("data") if isinstance(answered, Mapping) else None
    if isinstance(data, list) and data and isinstance(data[0], Mapping) and "embedding" in data[0]:
        return SkipReason.OTHER_TASK
    return reason


def _body(record: Mapping[str, Any], name: str) -> Any:
    """Return a body as it was logged, a text that holds JSON taken apart."""
    section = record.get(name)
    body = section.get(f"{name}BodyJson") if isinstance(section, Mapping) else None
    if isinstance(body, str):
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            return body
    return body
