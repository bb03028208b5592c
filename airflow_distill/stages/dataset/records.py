"""What crosses the dataset stage's door: examples, findings and the manifest.

Standard library only. `Example` is also what evaluation reads: a held-out example is one whose answer is never trained
on. On disk, `train.jsonl` holds Bedrock's own record shape (`bedrock-conversation-2024`) and nothing else, because the
service refuses extra keys; `heldout.jsonl` holds `Example.to_json()`, one object a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from airflow_distill.stages.digest import prompt_digest
from airflow_distill.stages.logs.records import Turn

__all__ = ["DatasetFile", "DatasetManifest", "Example", "Finding", "Turn"]

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt, the answer the teacher (or a person) gave, and what is known about it.

    `turns` ends with a user turn; `answer` is the reference. `golden` marks answers written or approved by people.
    `metadata` is the caller's request metadata, sorted by key; slices are cut along it. `input_tokens` are all, of which
    some were read from a cache or written to one.
    """

    turns: tuple[Turn, ...]
    answer: str | None = None
    system: str | None = None
    golden: bool = False
    metadata: tuple[tuple[str, str], ...] = ()
    observed_at: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_ms: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None

    @property
    def id(self) -> str:
        """The prompt's digest, 32 hex digits; equal prompts share it whatever the answer."""
        return prompt_digest(self.system, tuple((t.role, t.text) for t in self.turns))

    def to_json(self) -> dict[str, Any]:
        return {
            "v": SCHEMA,
            "id": self.id,
            "system": self.system,
            "turns": [[t.role, t.text] for t in self.turns],
            "answer": self.answer,
            "golden": self.golden,
            "metadata": dict(self.metadata),
            "observed_at": self.observed_at,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "latency_ms": self.latency_ms,
            **cached_json(self.cache_read_tokens, self.cache_write_tokens),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Example:
        return cls(
            turns=tuple(Turn(_text(role), _text(text)) for role, text in data["turns"]),
            answer=_text(data.get("answer"), optional=True),
            system=_text(data.get("system"), optional=True),
            golden=bool(data.get("golden", False)),
            metadata=tuple(sorted((str(k), str(v)) for k, v in (data.get("metadata") or {}).items())),
            observed_at=_text(data.get("observed_at", "")),
            input_tokens=_number(data.get("input_tokens")),
            output_tokens=_number(data.get("output_tokens")),
            latency_ms=_number(data.get("latency_ms")),
            cache_read_tokens=_number(data.get("cache_read_tokens")),
            cache_write_tokens=_number(data.get("cache_write_tokens")),
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect of one line: where, what rule, what is wrong and what to do. Never any text of the line."""

    line: int
    code: str
    message: str
    fix: str
    path: str = ""
    severity: str = "error"

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"line": self.line, "code": self.code, "message": self.message, "fix": self.fix}
        out["severity"] = self.severity
        if self.path:
            out["path"] = self.path
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        return cls(
            line=int(data["line"]),
            code=data["code"],
            message=data["message"],
            fix=data["fix"],
            path=data.get("path", ""),
            severity=data.get("severity", "error"),
        )


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """One file of a dataset: where, how many records and bytes, and its SHA-256."""

    uri: str
    records: int
    bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        return {"uri": self.uri, "records": self.records, "bytes": self.bytes, "sha256": self.sha256}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DatasetFile:
        return cls(_text(data["uri"]), int(data["records"]), int(data["bytes"]), _text(data["sha256"]))


@dataclass(frozen=True, slots=True)
class DatasetManifest:
    """What a dataset is made of. A pure function of logs, window and settings: no clock, no run id.

    `counts` holds `lines`, `kept`, `train`, `heldout`; `skipped` (reader) and `dropped` (curation) are by reason and
    reconcile: lines = kept + sum(skipped); kept = train + heldout + sum(dropped). `golden` is the file of golden examples
    as it was read, its records those that it holds.
    """

    dataset_id: str
    workload: str
    teacher: str
    student: str
    window_start: str
    window_end: str
    train: DatasetFile
    heldout: DatasetFile
    findings: DatasetFile | None
    with_answers: bool
    counts: Mapping[str, int]
    skipped: Mapping[str, int]
    dropped: Mapping[str, int]
    settings: Mapping[str, Any]
    profile: Mapping[str, Any] = field(default_factory=dict)
    golden: DatasetFile | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "v": SCHEMA,
            "kind": "dataset",
            "dataset_id": self.dataset_id,
            "workload": self.workload,
            "teacher": self.teacher,
            "student": self.student,
            "window": [self.window_start, self.window_end],
            "train": self.train.to_json(),
            "heldout": self.heldout.to_json(),
            "findings": self.findings.to_json() if self.findings else None,
            **({"golden": self.golden.to_json()} if self.golden else {}),
            "with_answers": self.with_answers,
            "counts": dict(self.counts),
            "skipped": dict(self.skipped),
            "dropped": dict(self.dropped),
            "settings": dict(self.settings),
            "profile": dict(self.profile),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DatasetManifest:
        return cls(
            dataset_id=_text(data["dataset_id"]),
            workload=_text(data["workload"]),
            teacher=_text(data["teacher"]),
            student=_text(data["student"]),
            window_start=_text(data["window"][0]),
            window_end=_text(data["window"][1]),
            train=DatasetFile.from_json(data["train"]),
            heldout=DatasetFile.from_json(data["heldout"]),
            findings=DatasetFile.from_json(data["findings"]) if data.get("findings") else None,
            with_answers=bool(data["with_answers"]),
            counts=dict(data["counts"]),
            skipped=dict(data["skipped"]),
            dropped=dict(data["dropped"]),
            settings=dict(data["settings"]),
            profile=dict(data.get("profile") or {}),
            golden=DatasetFile.from_json(data["golden"]) if data.get("golden") else None,
        )


def golden_count(profile: Mapping[str, Any]) -> int:
    """Return how many held-out prompts of a manifest's profile have answers that people wrote."""
    return int((profile.get("heldout") or {}).get("golden") or 0)


def cached_json(read: int | None, write: int | None) -> dict[str, int]:
    """Return the cached tokens of a record that has any; a record without them keeps the bytes it always had."""
    return {
        name: count for name, count in (("cache_read_tokens", read), ("cache_write_tokens", write)) if count
    }


@overload
def _text(value: Any) -> str: ...
@overload
def _text(value: Any, *, optional: Literal[True]) -> str | None: ...
def _text(value: Any, *, optional: bool = False) -> str | None:
    """Return a stored text. A file that somebody edited may hold anything, and must fail where it is read."""
    if isinstance(value, str) or (value is None and optional):
        return value
    raise TypeError("not a text")


def _number(value: Any) -> Any:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise TypeError("not a number")
