"""Model invocation logs as the service delivers them: records in batches, in hour folders, gzip JSON Lines in S3.

Delivery is asynchronous like the real one. Bodies above the limit go to `data/` objects, perhaps later than the record
that points at them. Nothing here knows which operation wrote a record.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_distill.sandbox.neighbours import Location, Neighbours
from airflow_distill.sandbox.store import ACCOUNT

PERMISSION_CHECK = "amazon-bedrock-logs-permission-check"
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """One record on its way to the bucket named in the configuration of its time."""

    moment: datetime
    region: str
    destination: Location
    record: dict[str, Any]


@dataclass(slots=True)
class LogSettings:
    """How deliveries behave."""

    delay_seconds: float = 1.0
    offload_bytes: int = 100 * 1024
    late_body_seconds: float = 0.0


@dataclass(slots=True)
class _LateBody:
    due: float
    location: Location
    body: bytes


@dataclass(slots=True)
class Logbook:
    """Collects records and delivers them."""

    neighbours: Neighbours
    settings: LogSettings = field(default_factory=LogSettings)
    delivered: int = 0
    lost: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _delivery: threading.Lock = field(default_factory=threading.Lock)
    _waiting: list[Entry] = field(default_factory=list)
    _late: list[_LateBody] = field(default_factory=list)
    _oldest: float = 0.0
    _serial: int = 0

    def write(self, entry: Entry) -> None:
        """Take a record; it is delivered after the delay, or when a batch is full."""
        with self._lock:
            if not self._waiting:
                self._oldest = time.monotonic()
            self._waiting.append(entry)
            full = len(self._waiting) >= _BATCH * 8
        if full:
            self.flush()

    def tick(self) -> None:
        """Deliver what is due."""
        now = time.monotonic()
        if self._waiting and now - self._oldest >= self.settings.delay_seconds:
            self._deliver()
        if self._late:
            self._deliver_late(now)

    def flush(self) -> int:
        """Deliver everything at once, late bodies too; returns how many records ever arrived."""
        self._deliver()
        self._deliver_late(None)
        return self.delivered

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def reset(self) -> None:
        with self._lock:
            self._waiting.clear()
            self._late.clear()
            self.delivered = self.lost = 0

    def _deliver(self) -> None:
        with self._delivery:
            with self._lock:
                entries, self._waiting = self._waiting, []
            batches: dict[tuple[Location, str, str], list[Entry]] = {}
            for entry in entries:
                key = (entry.destination, entry.region, f"{entry.moment:%Y/%m/%d/%H}")
                batches.setdefault(key, []).append(entry)
            for (destination, region, hour), batch in batches.items():
                folder = destination.child(f"AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs/{region}/{hour}")
                for start in range(0, len(batch), _BATCH):
                    self._put_batch(folder, batch[start : start + _BATCH])

    def _put_batch(self, folder: Location, batch: Sequence[Entry]) -> None:
        moment = max(entry.moment for entry in batch)
        lines = []
        for entry in batch:
            self._offload(folder, entry.record)
            lines.append(json.dumps(entry.record, ensure_ascii=False, separators=(",", ":")))
        self._serial += 1
        mark = hashlib.sha256(f"{self._serial}/{batch[0].record['requestId']}".encode()).hexdigest()[:16]
        name = f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z_{mark}.json.gz"
        body = gzip.compress(("\n".join(lines) + "\n").encode(), compresslevel=3, mtime=0)
        if self.neighbours.write(folder.child(name), body):
            self.delivered += len(batch)
        else:
            self.lost += len(batch)

    def _offload(self, folder: Location, record: dict[str, Any]) -> None:
        for side in ("input", "output"):
            part = record.get(side)
            if not isinstance(part, dict) or part.get(f"{side}BodyJson") is None:
                continue
            text = json.dumps(part[f"{side}BodyJson"], ensure_ascii=False, separators=(",", ":")).encode()
            if len(text) <= self.settings.offload_bytes:
                continue
            location = folder.child(f"data/{record['requestId']}_{side}.json.gz")
            del part[f"{side}BodyJson"]
            part[f"{side}BodyS3Path"] = str(location)
            body = gzip.compress(text, compresslevel=3, mtime=0)
            if self.settings.late_body_seconds > 0:
                with self._lock:
                    self._late.append(
                        _LateBody(time.monotonic() + self.settings.late_body_seconds, location, body)
                    )
            else:
                self.neighbours.write(location, body)

    def _deliver_late(self, now: float | None) -> None:
        with self._lock:
            due = [late for late in self._late if now is None or late.due <= now]
            self._late = [late for late in self._late if late not in due]
        for late in due:
            self.neighbours.write(late.location, late.body)


def destination(config: Mapping[str, Any] | None) -> Location | None:
    """Where a logging configuration sends its records, when it sends them to S3."""
    s3 = (config or {}).get("s3Config")
    return None if not s3 else Location(s3["bucketName"], str(s3.get("keyPrefix") or "").strip("/"))


def log_record(
    *,
    moment: datetime,
    region: str,
    request_id: str,
    operation: str,
    model_id: str,
    caller: str,
    text_enabled: bool,
    input_body: Any,
    output_body: Any = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    metadata: Mapping[str, str] | None = None,
    error_code: str | None = None,
    inference_region: str | None = None,
) -> dict[str, Any]:
    """One record in the real shape; members that do not apply are absent."""
    record: dict[str, Any] = {
        "timestamp": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "accountId": ACCOUNT,
        "identity": {"arn": caller},
        "region": region,
        "requestId": request_id,
        "operation": operation,
        "modelId": model_id,
        "input": {"inputContentType": "application/json"},
        "output": {"outputContentType": "application/json"},
    }
    if error_code is not None:
        record["errorCode"] = error_code
        record["output"] = {}
    if text_enabled:
        record["input"]["inputBodyJson"] = input_body
        if error_code is None:
            record["output"]["outputBodyJson"] = output_body
    if input_tokens is not None:
        record["input"]["inputTokenCount"] = input_tokens
    if output_tokens is not None and error_code is None:
        record["output"]["outputTokenCount"] = output_tokens
    if inference_region is not None:
        record["inferenceRegion"] = inference_region
    if metadata:
        record["requestMetadata"] = dict(metadata)
    record["schemaType"] = "ModelInvocationLog"
    record["schemaVersion"] = "1.0"
    return record
