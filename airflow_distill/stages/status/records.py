"""What the page in Airflow reads first: a workload's status, and what one Dag run of it left where.

    <root>/status/<workload>.json                      where the workload stands, at most 4 kB
    <root>/run-status/<digest>/<workload>.json         what a Dag run has made, by URI and digest

Both can be made anew from the goods at any time and are evidence of nothing: promotion, approval and rollback never read
them. Figures, names, codes and digests only; no text of prompts or answers. A field that nobody has filled is None, which
reads as "not watched" or "unknown", never as zero or as fine. Whoever may write to the bucket may write anything here, so
what is read back is held against the types below, and texts against a length. Standard library only.
"""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Any, TypeVar

from airflow_distill.errors import StateError
from airflow_distill.stages.digest import canonical_json, digest, record_of
from airflow_distill.stages.storage import join_uri

SCHEMA = 1
MOST_BYTES = 4096
"""The most that one of these objects may hold, so that hundreds are read at once."""

LONGEST_TEXT = 512
HISTORY = 24
"""So many releases, verdicts and datasets are remembered, where the bytes allow it; the oldest go first."""

MONTHS = 12
HISTORIES = ("verdicts", "datasets", "releases")
"""Fields that hold what was; a list shows none of them, and their old end is what makes room."""
WORKLOAD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Step:
    """The task that had the last word in a workload's loop.

    :param state: `running`, `waiting` (for the service, or for a person), `retrying`, `failed`, `ended`.
    :param error: of a failed step: the class of the error.
    """

    dag_id: str
    run_id: str
    task_id: str
    at: str
    state: str = "running"
    error: str = ""
    map_index: int = -1


@dataclass(frozen=True, slots=True)
class LiveRelease:
    """The release that answers."""

    release: int
    since: str
    model_arn: str = ""
    host_kind: str = ""
    host_arn: str = ""


@dataclass(frozen=True, slots=True)
class Deciding:
    """The comparison that carried a verdict: student minus `against`, held against `limit`.

    :param low: lower end of the interval that is drawn, `high` its upper end; None below the least sample.
    """

    metric: str
    against: str = ""
    slice: str = ""
    outcome: str = ""
    n: int = 0
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class LastVerdict:
    """What was decided last.

    :param needed: how many further prompts would settle an inconclusive one.
    :param heldout: first digits of the held-out file's digest: only verdicts on one file are comparable.
    """

    outcome: str
    at: str
    evaluation_id: str = ""
    decision_id: str = ""
    n: int = 0
    needed: int | None = None
    reasons: tuple[str, ...] = ()
    deciding: Deciding | None = None
    heldout: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class PastVerdict:
    """One point of the chart of verdicts; the deciding comparison of its time."""

    at: str
    outcome: str
    evaluation_id: str = ""
    heldout: str = ""
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    n: int = 0
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class PastRelease:
    """One entry of the ledger: number, when it ended, how."""

    release: int
    at: str
    outcome: str


@dataclass(frozen=True, slots=True)
class PastDataset:
    """One dataset: how many records to train on and held out, when its window ended."""

    dataset_id: str
    train: int
    heldout: int
    at: str


@dataclass(frozen=True, slots=True)
class Question:
    """A task that waits for a person."""

    dag_id: str
    run_id: str
    task_id: str
    since: str
    map_index: int = -1
    until: str = ""


@dataclass(frozen=True, slots=True)
class Money:
    """What is spent, saved and still billed, in USD. None is unknown, never zero.

    :param spent: by month (`202611`), what the runs of that month were allowed to spend.
    :param cap_usd: the month's cap; None for no cap.
    :param usd_a_day: what exists now costs so much a day; `most_usd` the most until the end dates, `endless` how many
        resources are billed until somebody deletes them, `unpriced` how many have no known price, `billed_at` when it was
        looked up.
    :param saved_usd: what the student saves a month at the traffic of the last windows, an interval from `saved_low` to
        `saved_high`, against `saved_against`; below zero it costs more.
    """

    spent: Mapping[str, float] = field(default_factory=dict)
    cap_usd: float | None = None
    usd_a_day: float | None = None
    most_usd: float | None = None
    endless: int | None = None
    unpriced: int | None = None
    billed_at: str = ""
    saved_usd: float | None = None
    saved_low: float | None = None
    saved_high: float | None = None
    saved_against: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """What watching the live student has found: `fine`, `drifting`, `failing`, `unknown`, and one sentence why."""

    state: str
    at: str
    said: str = ""


@dataclass(frozen=True, slots=True)
class Next:
    """When the loop goes round again: at a time, or when so many more prompts are in the logs."""

    at: str = ""
    missing: int | None = None
    threshold: int | None = None


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that a person should look at before it hurts: `drift`, `term`, `lifecycle`.

    :param source: the step that found it; its next look replaces what it found before.
    """

    code: str
    source: str
    said: str
    at: str
    do: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """Where one workload stands.

    :param step: the task that had the last word, whatever it said; `failure` the last one that failed for good, until it
        succeeds or a later run comes to its end.
    """

    workload: str
    at: str = ""
    dag_id: str = ""
    teacher: str = ""
    student: str = ""
    step: Step | None = None
    failure: Step | None = None
    live: LiveRelease | None = None
    verdict: LastVerdict | None = None
    question: Question | None = None
    money: Money = field(default_factory=Money)
    health: Health | None = None
    next: Next | None = None
    warnings: tuple[Warned, ...] = ()
    report_uri: str = ""
    releases: tuple[PastRelease, ...] = ()
    verdicts: tuple[PastVerdict, ...] = ()
    datasets: tuple[PastDataset, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"kind": "status", "v": SCHEMA, **plain(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Status:
        if data.get("kind") != "status" or data.get("v") != SCHEMA:
            raise ValueError("not a status of a version known here")
        return read(cls, data)


@dataclass(frozen=True, slots=True)
class Judged:
    """A judge's scores in a run: where its report lies, and whether it may gate."""

    report_uri: str = ""
    may_gate: bool = True
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What one Dag run has made of a workload, by URI and digest."""

    workload: str
    dag_id: str
    run_id: str
    at: str = ""
    step: Step | None = None
    lines: int | None = None
    kept: int | None = None
    skipped: Mapping[str, float] = field(default_factory=dict)
    manifest_uri: str = ""
    manifest_sha256: str = ""
    scorecard_uri: str = ""
    scorecard_sha256: str = ""
    decision_uri: str = ""
    decision_sha256: str = ""
    verdict: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    judges: tuple[Judged, ...] = ()
    question: Question | None = None
    report_uri: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"kind": "run-status", "v": SCHEMA, **plain(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunStatus:
        if data.get("kind") != "run-status" or data.get("v") != SCHEMA:
            raise ValueError("not a run's status of a version known here")
        return read(cls, data)


def statuses_prefix(root: str) -> str:
    """Return the folder of all workloads' statuses."""
    return join_uri(root, "status") + "/"


def status_uri(root: str, workload: str) -> str:
    """Return where a workload's status lies.

    :raises StateError: the name cannot stand in a key.
    """
    return f"{statuses_prefix(root)}{_checked(workload)}.json"


def runs_prefix(root: str, dag_id: str, run_id: str) -> str:
    """Return the folder of what a Dag run has made, one object a workload."""
    return join_uri(root, "run-status", digest([dag_id, run_id], 32)) + "/"


def run_uri(root: str, dag_id: str, run_id: str, workload: str) -> str:
    """Return where the status of a workload's Dag run lies."""
    return f"{runs_prefix(root, dag_id, run_id)}{_checked(workload)}.json"


def _checked(workload: str) -> str:
    if not WORKLOAD_NAME.fullmatch(workload):
        raise StateError(
            f"status: a workload of the name {workload[:40]!r} has no status.",
            hint="Use letters, digits, hyphens and underscores.",
        )
    return workload


def encode(record: Status | RunStatus) -> bytes:
    """Return a record's bytes, at most `MOST_BYTES`: history is left out from its old end until they fit.

    :raises StateError: it does not fit even without any history.
    """
    for name in HISTORIES:
        if len(getattr(record, name, ())) > HISTORY:
            record = replace(record, **{name: getattr(record, name)[-HISTORY:]})
    while True:
        data = canonical_json(record.to_json())
        if len(data) <= MOST_BYTES:
            return data
        record = _shorter(record)


def _shorter(record: Any) -> Any:
    names = [name for name in HISTORIES if getattr(record, name, ())]
    if names:
        longest = max(names, key=lambda name: len(getattr(record, name)))
        return replace(record, **{longest: getattr(record, longest)[1:]})
    for name in ("warnings", "judges", "skipped", "answers"):
        kept = getattr(record, name, ())
        if kept:
            less = dict(list(kept.items())[:-1]) if isinstance(kept, Mapping) else kept[:-1]
            return replace(record, **{name: less})
    raise StateError(
        f"status: the record of {record.workload} does not fit into {MOST_BYTES} bytes.",
        hint="Its names or URIs are longer than any of ours; nothing depends on this record.",
    )


def decode_status(raw: bytes) -> Status:
    """Return the status in these bytes.

    :raises ValueError: there is none.
    """
    return record_of(raw, Status.from_json)


def decode_run(raw: bytes) -> RunStatus:
    """Return the run's status in these bytes.

    :raises ValueError: there is none.
    """
    return record_of(raw, RunStatus.from_json)


def plain(value: Any) -> Any:
    """Return a record as plain data; what is None or empty is left out."""
    if is_dataclass(value):
        found = {each.name: plain(getattr(value, each.name)) for each in fields(value)}
        return {name: each for name, each in found.items() if each not in (None, "", {}, [])}
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return round(value, 6) if isinstance(value, float) else value


def read(cls: type[Read], data: Mapping[str, Any]) -> Read:
    """Return the record of a class that plain data holds; keys it does not know are passed over.

    :raises ValueError: a value is not of its field's type, too long, or missing.
    """
    if not isinstance(data, Mapping):
        raise ValueError("not an object")
    hints = _hints(typing.cast("Any", cls))
    return cls(**{name: _value(hint, data[name]) for name, hint in hints.items() if name in data})


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _value(hint: Any, raw: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if raw is None:
            return None
        (hint,) = (each for each in arguments if each is not types.NoneType)
        return _value(hint, raw)
    if origin is tuple:
        if not isinstance(raw, list | tuple) or len(raw) > 10 * HISTORY:
            raise ValueError("not a list, or too long")
        return tuple(_value(arguments[0], each) for each in raw)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(raw, Mapping) or len(raw) > 100:
            raise ValueError("not an object, or too large")
        return {_value(str, name): _value(arguments[1], each) for name, each in raw.items()}
    if hint is str:
        if not isinstance(raw, str) or len(raw) > LONGEST_TEXT:
            raise ValueError("not a text, or too long")
        return raw
    if hint is bool:
        if not isinstance(raw, bool):
            raise ValueError("not true or false")
        return raw
    if hint in (int, float):
        if not isinstance(raw, int | float) or isinstance(raw, bool) or not math.isfinite(raw):
            raise ValueError("not a number")
        if hint is int and raw != int(raw):
            raise ValueError("not a whole number")
        return hint(raw)
    return read(hint, raw)
