"""What a distillation job would be able to use of a log prefix, counted before it is paid for.

Takes log objects as streams and a selection (teacher, metadata filter); hands on a `Preflight`: lines, records the
service will surely use, records about which its documentation is silent, and a finding for every other line.
Imports this stage only; opening objects is the caller's business. Findings never hold any text of a line.

The service reads the logs itself in this mode, so the question is not what our reader can make of a record but what
the official rules allow: one user message, text, an answer when pairs are wanted, bodies inline. What they leave
open (offloaded bodies, model ids in profile form, answers logged as stream events) is counted apart as `unsure`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import msgspec

from airflow_distill.stages.logs.blocks import LogBlocks
from airflow_distill.stages.logs.parse import LogReader, Reading
from airflow_distill.stages.logs.reasons import SkipReason
from airflow_distill.stages.logs.selection import Selection
from airflow_distill.stages.logs.unusable import Unusable

LEAST_USABLE = 100
FIRST_FINDINGS = 100

_UNREADABLE = frozenset(
    {
        SkipReason.BLANK,
        SkipReason.NOT_UTF8,
        SkipReason.NOT_JSON,
        SkipReason.NOT_A_RECORD,
        SkipReason.BAD_TEXT,
        SkipReason.LINE_TOO_LONG,
        SkipReason.TOO_MUCH_METADATA,
        SkipReason.UNREADABLE,
    }
)
_NOT_ASKED_FOR = frozenset(
    {
        SkipReason.OTHER_TRAFFIC,
        SkipReason.OTHER_MODEL,
        SkipReason.UNRESOLVED_PROFILE,
        SkipReason.OTHER_OPERATION,
        SkipReason.OTHER_METADATA,
        SkipReason.OTHER_CALLER,
        SkipReason.OTHER_SYSTEM,
        SkipReason.OUTSIDE_WINDOW,
    }
)
_FIXES: dict[str, str] = {
    SkipReason.BLANK: "Remove the line.",
    SkipReason.NOT_UTF8: "Copy the object again from the bucket that Bedrock wrote to.",
    SkipReason.NOT_JSON: "Copy the object again from the bucket that Bedrock wrote to.",
    SkipReason.NOT_A_RECORD: "Point at invocation logs; other objects do not belong under this prefix.",
    SkipReason.BAD_TEXT: "Remove the record.",
    SkipReason.FAILED_CALL: "Nothing to do; failed calls teach nothing.",
    SkipReason.NO_BODY: "Turn on text data delivery in the invocation logging configuration.",
    SkipReason.TOOL_USE: "Nothing to do; distillation is text to text.",
    SkipReason.MULTIMODAL: "Nothing to do; distillation is text to text.",
}
_OFFLOADED = (
    "offloaded",
    "The body was stored beside the log; whether a job reads it is not documented.",
    "Curate the prompts instead of handing over the log prefix.",
)
_PROFILE = (
    "profile_model_id",
    "The model id is a profile or an ARN; whether it matches the teacher is not documented.",
    "Name the teacher in the form the application calls, or curate the prompts.",
)
_CONVERSATION = (
    "multi_turn",
    "The record holds more than one user message; the service's own validator refuses it.",
    "Curate the prompts and teach a student that accepts conversations.",
)
_BLOCKS = (
    "several_blocks",
    "The user message has more than one block, such as a second text or a cache point; the service's own validator "
    "refuses it.",
    "Curate the prompts: the blocks are joined to one text.",
)
_DAMAGED = ("gzip_damaged", "The compressed data is damaged or ends too early.", "Copy the object again.")
_TOO_FEW = (
    "too_few_records",
    "Fewer than 100 records can be used.",
    "Widen the filter or the period, or wait for more traffic.",
)


@dataclass(frozen=True, slots=True)
class LogFinding:
    """One line that a job cannot use, or may not: where, why, what to do."""

    line: int
    code: str
    message: str
    fix: str
    path: str
    severity: str

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"line": self.line, "code": self.code, "message": self.message, "fix": self.fix}
        return out | {"severity": self.severity, "path": self.path}


@dataclass(slots=True)
class Preflight:
    """The counts: lines = usable + unsure + not asked for + unusable, the last two by code in `counts`."""

    lines: int = 0
    usable: int = 0
    unsure: int = 0
    bytes: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    findings: list[LogFinding] = field(default_factory=list)
    first: dict[str, LogFinding] = field(default_factory=dict)

    @property
    def valid(self) -> bool:
        """Whether every object could be read and at least 100 records will surely be used."""
        return self.errors == 0

    def to_json(self) -> dict[str, Any]:
        return {
            "valid": self.valid,
            "records": self.lines,
            "accepted": self.usable,
            "unsure": self.unsure,
            "bytes": self.bytes,
            "findings": [item.to_json() for item in self.findings],
            "counts": dict(sorted(self.counts.items())),
        }


class _AskedMessage(msgspec.Struct, gc=False):
    content: str | list[msgspec.Raw] | None = None


class _AskedBody(msgspec.Struct, gc=False):
    messages: list[_AskedMessage] | None = None


class _AskedInput(msgspec.Struct, gc=False):
    inputBodyJson: _AskedBody | None = None


class _Asked(msgspec.Struct, gc=False):
    """What of a record says how many blocks its messages have."""

    input: _AskedInput | None = None


_decode_asked = msgspec.json.Decoder(_Asked).decode


def _has_blocks(line: bytes) -> bool:
    """Say whether a message of a usable record has more than one content block."""
    try:
        record = _decode_asked(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    body = record.input.inputBodyJson if record.input is not None else None
    messages = (body.messages if body is not None else None) or []
    return any(isinstance(item.content, list) and len(item.content) > 1 for item in messages)


class _Offloaded(Exception):
    """The record points to a stored body."""


def _refuse_body(uri: str) -> bytes | None:
    raise _Offloaded


class LogCheck:
    """Counts what a job would use, object by object.

    :param selection: the teacher and the request-metadata filter of the job; everything when left out.
    :param progress: called with the bytes read so far.
    """

    def __init__(
        self, selection: Selection | None = None, *, progress: Callable[[int], None] | None = None
    ) -> None:
        self.report = Preflight()
        self._selection = selection or Selection()
        self._reader = LogReader(self._selection)
        self._progress = progress

    def read(self, stream: BinaryIO, path: str = "") -> None:
        """Count one log object."""
        blocks = LogBlocks(stream)
        number = 0
        for block, end in blocks:
            for line in block[: end - 1].split(b"\n"):
                number += 1
                self._read_line(line, number, path)
            self.report.bytes += end
            if self._progress is not None:
                self._progress(self.report.bytes)
        for _ in range(blocks.too_long):
            self.report.lines += 1
            self._skip(SkipReason.LINE_TOO_LONG, 0, path)
        if blocks.foreign:
            fix = "Name invocation logs: JSON lines, a JSON array or a delivery of CloudWatch Logs, plain or gzip."
            self._add(
                0, ("foreign_file", f"The file is {blocks.foreign}; it holds no records.", fix), path, "error"
            )
        if blocks.damaged:
            self._add(number, _DAMAGED, path, "error")

    def finish(self) -> Preflight:
        """Add the verdict on the whole and return the counts."""
        if self.report.usable < LEAST_USABLE:
            self._add(0, _TOO_FEW, "", "error")
        return self.report

    def _read_line(self, line: bytes, number: int, path: str) -> None:
        report = self.report
        report.lines += 1
        try:
            if not line or line.isspace():
                raise Unusable(SkipReason.BLANK)
            reading = self._reader.read(line, _refuse_body)
        except Unusable as skip:
            self._skip(skip.reason, number, path)
        except _Offloaded:
            report.unsure += 1
            self._add(number, _OFFLOADED, path, "warning")
        else:
            self._judge(reading, line, number, path)

    def _judge(self, reading: Reading, line: bytes, number: int, path: str) -> None:
        report = self.report
        if len(reading.turns) > 1:
            self._add(number, _CONVERSATION, path, "warning")
        elif self._selection.model and reading.model_id != self._selection.model:
            report.unsure += 1
            self._add(number, _PROFILE, path, "warning")
        elif _has_blocks(line):
            report.unsure += 1
            self._add(number, _BLOCKS, path, "warning")
        else:
            report.usable += 1

    def _skip(self, reason: SkipReason, number: int, path: str) -> None:
        if reason in _NOT_ASKED_FOR:
            self.report.counts[reason.value] += 1
            return
        fix = _FIXES.get(reason, "Nothing to do; the record is left out.")
        severity = "error" if reason in _UNREADABLE else "warning"
        self._add(number, (reason.value, reason.explanation, fix), path, severity)

    def _add(self, line: int, text: tuple[str, str, str], path: str, severity: str) -> None:
        code, message, fix = text
        self.report.counts[code] += 1
        self.report.errors += severity == "error"
        item = LogFinding(line, code, message, fix, path, severity)
        self.report.first.setdefault(code, item)
        if len(self.report.findings) < FIRST_FINDINGS:
            self.report.findings.append(item)
