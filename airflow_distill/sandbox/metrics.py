"""CloudWatch as far as a client of Bedrock's metrics asks: GetMetricData over the sandbox's own calls.

Metrics of `AWS/Bedrock` by ModelId (Invocations, InputTokenCount, OutputTokenCount, InvocationLatency; of failed calls
InvocationClientErrors, InvocationServerErrors, InvocationThrottles), as Amazon Bedrock publishes them, kept by the minute.
The SDK speaks the RPC v2 protocol in CBOR to CloudWatch; JSON 1.0, which older SDKs speak, is answered too.
"""

from __future__ import annotations

import json
import struct
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_distill.sandbox.failures import ServiceError
from airflow_distill.sandbox.protocol import WireReply, WireRequest

NAMESPACE = "AWS/Bedrock"
CBOR = "application/cbor"


class Metrics:
    """What was measured, by Region, model id, metric and minute: sum and number of samples."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str, str], dict[datetime, tuple[float, int]]] = defaultdict(dict)

    def count(self, region: str, model_id: str, now: datetime, **values: float) -> None:
        """Add one sample to each metric."""
        minute = now.astimezone(UTC).replace(second=0, microsecond=0)
        with self._lock:
            for name, value in values.items():
                kept = self._kept[region, model_id, name]
                total, samples = kept.get(minute, (0.0, 0))
                kept[minute] = (total + value, samples + 1)

    def read(
        self, region: str, model_id: str, name: str, start: datetime, end: datetime, period: int, stat: str
    ) -> list[tuple[datetime, float]]:
        """Return the points of a metric, oldest first, each at the start of its period."""
        span = timedelta(seconds=period)
        points: dict[datetime, list[float]] = {}
        with self._lock:
            kept = dict(self._kept.get((region, model_id, name), {}))
        for minute, (total, samples) in kept.items():
            if start <= minute < end:
                at = start + span * int((minute - start) / span)
                point = points.setdefault(at, [0.0, 0])
                point[0] += total
                point[1] += samples
        chosen = {"Sum": 0, "SampleCount": 1}
        return [
            (at, point[chosen[stat]] if stat in chosen else point[0] / point[1])
            for at, point in sorted(points.items())
        ]

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()


def answer(metrics: Metrics, request: WireRequest, operation: str, region: str) -> WireReply:
    """Answer one call."""
    if operation != "GetMetricData":
        raise ServiceError("UnknownOperationException", f"The sandbox does not serve {operation}.", 400)
    binary = is_binary(request)
    try:
        asked = decode(request.body) if binary else json.loads(request.body or b"{}")
        start, end = _moment(asked["StartTime"]), _moment(asked["EndTime"])
        queries = list(asked["MetricDataQueries"])
    except (ValueError, KeyError, TypeError, IndexError, struct.error):
        raise ServiceError("InvalidParameterValueException", "The request cannot be read.", 400) from None
    if end <= start:
        raise ServiceError("ValidationError", "EndTime must be later than StartTime.", 400)
    results = [_result(metrics, each, region, start, end) for each in queries]
    if asked.get("ScanBy", "TimestampDescending") == "TimestampDescending":
        for each in results:
            each["Timestamps"].reverse()
            each["Values"].reverse()
    return reply({"MetricDataResults": results, "Messages": []}, binary)


def _result(
    metrics: Metrics, query: Mapping[str, Any], region: str, start: datetime, end: datetime
) -> dict[str, Any]:
    if "MetricStat" not in query:
        raise ServiceError("InvalidParameterValueException", "The sandbox knows no expressions.", 400)
    stat = query["MetricStat"]
    metric = stat["Metric"]
    dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions") or ()}
    points: list[tuple[datetime, float]] = []
    if metric.get("Namespace") == NAMESPACE and set(dimensions) == {"ModelId"}:
        points = metrics.read(
            region,
            dimensions["ModelId"],
            str(metric["MetricName"]),
            start,
            end,
            int(stat["Period"]),
            str(stat["Stat"]),
        )
    return {
        "Id": query["Id"],
        "Label": query.get("Label") or metric["MetricName"],
        "Timestamps": [at for at, _ in points],
        "Values": [value for _, value in points],
        "StatusCode": "Complete",
    }


def is_binary(request: WireRequest) -> bool:
    """Say whether a request is CBOR."""
    return any(k.lower() == "content-type" and CBOR in v for k, v in request.headers.items())


def operation_of(request: WireRequest) -> str:
    """Return the operation that a request names, in its path or in its target header."""
    if "/operation/" in request.raw_path:
        return request.raw_path.rsplit("/", 1)[-1]
    return next((v for k, v in request.headers.items() if k.lower() == "x-amz-target"), "").rsplit(".", 1)[-1]


def refusal(error: ServiceError, request: WireRequest) -> WireReply:
    """Tell an error in the form of the request's protocol."""
    return reply({"__type": error.code, "message": error.message}, is_binary(request), error.status)


def reply(body: dict[str, Any], binary: bool, status: int = 200) -> WireReply:
    """An answer in CBOR or JSON."""
    if binary:
        return WireReply(status, (("Content-Type", CBOR), ("smithy-protocol", "rpc-v2-cbor")), encode(body))
    text = json.dumps(body, default=lambda moment: moment.timestamp()).encode()
    return WireReply(status, (("Content-Type", "application/x-amz-json-1.0"),), text)


def _moment(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromtimestamp(float(value), UTC)


# --- CBOR (RFC 8949), the part that the SDK uses ---


def encode(value: Any) -> bytes:
    """Return a value in CBOR; a moment is tagged as seconds since 1970."""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    if isinstance(value, datetime):
        return b"\xc1" + encode(value.timestamp())
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, str):
        raw = value.encode()
        return _head(3, len(raw)) + raw
    if isinstance(value, Mapping):
        return _head(5, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    return _head(4, len(value)) + b"".join(map(encode, value))


def _head(major: int, count: int) -> bytes:
    if count < 24:
        return bytes([major << 5 | count])
    for extra, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if count < 1 << (8 * struct.calcsize(form)):
            return bytes([major << 5 | extra]) + struct.pack(form, count)
    raise ValueError("too large a number")


def decode(data: bytes) -> Any:
    """Return the value of CBOR bytes.

    :raises ValueError: they are none of those that the SDK sends.
    """
    value, end = _value(data, 0, 0)
    if end != len(data) or value is _END:
        raise ValueError("not one whole value")
    return value


_END = object()
DEEPEST = 40


def _value(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if depth > DEEPEST:
        raise ValueError("too deep")
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        return _simple(data, info, at)
    count: int | None = info
    if info in (24, 25, 26, 27):
        size = 1 << (info - 24)
        count, at = int.from_bytes(data[at : at + size], "big"), at + size
    elif info == 31:
        count = None
    elif info > 27:
        raise ValueError("not a length")
    if major in (0, 1):
        if count is None:
            raise ValueError("not a number")
        return (count if major == 0 else -1 - count), at
    if major in (2, 3):
        return _text(data, major, count, at, depth)
    if major in (4, 5):
        return _many(data, major, count, at, depth)
    value, at = _value(data, at, depth + 1)
    return (datetime.fromtimestamp(value, UTC) if count == 1 else value), at


def _simple(data: bytes, info: int, at: int) -> tuple[Any, int]:
    if info in (20, 21, 22, 23):
        return {20: False, 21: True, 22: None, 23: None}[info], at
    for known, form in ((25, ">e"), (26, ">f"), (27, ">d")):
        if info == known:
            size = struct.calcsize(form)
            return struct.unpack(form, data[at : at + size])[0], at + size
    if info == 31:
        return _END, at
    raise ValueError("an unknown simple value")


def _text(data: bytes, major: int, count: int | None, at: int, depth: int) -> tuple[Any, int]:
    if count is None:
        parts: list[Any] = []
        while True:
            part, at = _value(data, at, depth + 1)
            if part is _END:
                return ("" if major == 3 else b"").join(parts), at
            parts.append(part)
    raw = data[at : at + count]
    if len(raw) < count:
        raise ValueError("cut short")
    return (raw.decode() if major == 3 else raw), at + count


def _many(data: bytes, major: int, count: int | None, at: int, depth: int) -> tuple[Any, int]:
    found: list[Any] = []
    wanted = None if count is None else count * (major - 3)
    while wanted is None or len(found) < wanted:
        value, at = _value(data, at, depth + 1)
        if value is _END:
            break
        found.append(value)
    if major == 4:
        return found, at
    return dict(_pairs(found)), at


def _pairs(found: list[Any]) -> Iterator[tuple[Any, Any]]:
    if len(found) % 2:
        raise ValueError("a key without a value")
    return iter(zip(found[::2], found[1::2], strict=True))
