"""Log records written by hand for the tests of the log stage, and the stores they lie in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_distill.stages.storage import MemoryStore

MODEL = "amazon.nova-pro-v1:0"
REGION_FOLDER = "s3://logs/p/AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1"


def record(
    prompt: str = "Where is my card?",
    answer: str = "card_arrival",
    *,
    request_id: str = "req-1",
    timestamp: str = "2026-11-20T10:15:00Z",
    **changes: Any,
) -> dict[str, Any]:
    """Return a Converse record; keyword arguments replace its members, None removes one."""
    data: dict[str, Any] = {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": timestamp,
        "accountId": "123456789012",
        "region": "us-east-1",
        "requestId": request_id,
        "operation": "Converse",
        "modelId": MODEL,
        "identity": {"arn": "arn:aws:sts::123456789012:assumed-role/desk/i-1"},
        "requestMetadata": {"app": "support"},
        "input": {
            "inputContentType": "application/json",
            "inputBodyJson": {"messages": [{"role": "user", "content": [{"text": prompt}]}]},
            "inputTokenCount": 7,
        },
        "output": {
            "outputContentType": "application/json",
            "outputBodyJson": {
                "output": {"message": {"role": "assistant", "content": [{"text": answer}]}},
                "stopReason": "end_turn",
                "metrics": {"latencyMs": 310},
                "usage": {"inputTokens": 7, "outputTokens": 2, "totalTokens": 9},
            },
            "outputTokenCount": 2,
        },
    }
    data.update(changes)
    return {key: value for key, value in data.items() if value is not None}


def invoked(asked: Any, answered: Any, *, operation: str = "InvokeModel", **changes: Any) -> dict[str, Any]:
    """Return a record of an InvokeModel call with these bodies and no token counts of its own."""
    return record(
        operation=operation, input={"inputBodyJson": asked}, output={"outputBodyJson": answered}, **changes
    )


def line_of(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data).encode()


def lines_of(records: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(line_of(item) + b"\n" for item in records)


def key_of(day: str, hour: int, number: int = 0) -> str:
    """Return the URI of a log object; `day` is `2026/11/20`."""
    stamp = f"{day.replace('/', '')}T{hour:02d}0000{number:03d}Z"
    return f"{REGION_FOLDER}/{day}/{hour:02d}/{stamp}_{number:016x}.json.gz"


def store_of(objects: Mapping[str, Iterable[Mapping[str, Any]]]) -> MemoryStore:
    """Return a store with gzip log objects."""
    store = MemoryStore()
    for uri, records in objects.items():
        store.objects[uri] = gzip.compress(lines_of(records), mtime=0)
    return store
