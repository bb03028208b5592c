"""What traffic is in the logs: each call told as its kind, whether it could be learnt from, and what it used.

Takes opened log objects, hands on `Call` records that hold digests and numbers, never text. The scout ranks by them,
the fresh-log watcher counts them. Bodies stored beside the log are not fetched: such a call counts as usable, its
prompt is unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import msgspec

from airflow_distill.stages.dataset.curate import example_of
from airflow_distill.stages.dataset.drop import has_long_line
from airflow_distill.stages.dataset.jsonl import MOST_LINE
from airflow_distill.stages.digest import digest, prompt_digest
from airflow_distill.stages.logs.blocks import LogBlocks
from airflow_distill.stages.logs.parse import LogReader, Reading, input_tokens, require_envelope, whole_count
from airflow_distill.stages.logs.selection import Selection, Selector, normal_time, system_fingerprint
from airflow_distill.stages.logs.shapes import Record, decode_record
from airflow_distill.stages.logs.unusable import Unusable
from airflow_distill.stages.model_table import is_application_profile
from airflow_distill.stages.money.records import Tokens

LONGEST_WATCHED = 1 << 20
"""Bytes of a line that is still looked at; Bedrock stores bodies above 100 KB beside the record."""
LINES_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Kind:
    """What tells one workload's calls from another's. `system` is empty where the prompt could not be read."""

    model_id: str
    operation: str
    metadata: tuple[tuple[str, str], ...] = ()
    identity: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One logged call. `skipped` names why it cannot be learnt from, empty when it can.

    `input_tokens` are all, of which some were read from a cache or written to one. `too_long` says that
    its training line would be longer than a distillation job takes.
    """

    kind: Kind
    timestamp: str
    prompt: str = ""
    answer: str = ""
    turns: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_ms: int | None = None
    skipped: str = ""
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    too_long: bool = False

    @property
    def tokens(self) -> Tokens:
        """What the call is billed for, by kind."""
        return Tokens.of(
            self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens
        )


class _Stored(Exception):
    """A body lies beside the log and is not fetched."""


def _leave(uri: str) -> bytes | None:
    raise _Stored(uri)


class CallReader:
    """Reads the calls of log objects; remembers the fingerprints of system prompts, of which there are few."""

    def __init__(self) -> None:
        self._reader = LogReader(Selection())
        self._systems: dict[str | None, str] = {}

    def iter_calls(self, stream: BinaryIO, rest: Callable[[], None] | None = None) -> Iterator[Call]:
        """Yield the calls of one log object; a line that is no record of a call, or too long, is passed over.

        :param rest: called after every block and every few lines, so that who shares the interpreter gets its turn.
        """
        for block, end in LogBlocks(stream, longest=LONGEST_WATCHED):
            if rest is not None:
                rest()
            for number, line in enumerate(block[:end].split(b"\n")):
                if rest is not None and number % LINES_AT_ONCE == LINES_AT_ONCE - 1:
                    rest()
                if line and not line.isspace():
                    call = self._call(line)
                    if call is not None:
                        yield call

    def _call(self, line: bytes) -> Call | None:
        try:
            reading = self._reader.read(line, _leave)
        except _Stored:
            return _from_envelope(line, "")
        except Unusable as unusable:
            return _from_envelope(line, unusable.reason.value)
        return Call(
            Kind(
                reading.model_id,
                reading.operation,
                _pairs(reading.metadata),
                reading.identity,
                self._system(reading.system),
            ),
            reading.timestamp,
            prompt_digest(reading.system, reading.turns),
            digest(reading.answer, 16),
            len(reading.turns),
            reading.input_tokens,
            reading.output_tokens,
            reading.latency_ms,
            "",
            reading.cache_read_tokens,
            reading.cache_write_tokens,
            _is_too_long(reading),
        )

    def _system(self, system: str | None) -> str:
        found = self._systems.get(system)
        if found is None:
            found = system_fingerprint(system)
            if len(self._systems) < 1_000:
                self._systems[system] = found
        return found


def _from_envelope(line: bytes, skipped: str) -> Call | None:
    """Tell a call by what stands around its bodies; None when the line is no record at all."""
    try:
        record: Record = decode_record(line)
        require_envelope(record)
    except (msgspec.MsgspecError, ValueError, RecursionError, Unusable):
        return None
    assert record.modelId
    assert record.operation
    identity = (record.identity.arn if record.identity else None) or ""
    asked, cache_read, cache_write = input_tokens(record.input, None, None)
    kind = Kind(record.modelId, record.operation, _pairs(record.requestMetadata), identity)
    return Call(
        kind,
        normal_time(record.timestamp or ""),
        input_tokens=asked,
        output_tokens=whole_count(record.output.outputTokenCount) if record.output else None,
        skipped=skipped,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
    )


def _is_too_long(reading: Reading) -> bool:
    characters = len(reading.system or "") + len(reading.answer) + sum(len(turn[1]) for turn in reading.turns)
    if 6 * characters + 64 * len(reading.turns) + 256 < MOST_LINE:
        return False  # no encoding of so few characters fills a line
    return has_long_line(example_of(reading.interaction()), with_answers=True)


def _pairs(metadata: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(metadata.items())) if metadata else ()


# Counting fresh logs.

Hours = dict[str, int]
"""Hour of record time, `2026-11-24T05`, -> usable prompts."""

Snapshot = dict[Kind, Hours]
"""What a log prefix holds now: usable prompts by kind and hour."""


def count_object(stream: BinaryIO, reader: CallReader, rest: Callable[[], None] | None = None) -> Snapshot:
    """Count the usable prompts of one log object; a prompt repeated in it counts once.

    :param rest: as for `CallReader.iter_calls`.
    """
    seen: set[tuple[Kind, str, str]] = set()
    counted: dict[Kind, Counter[str]] = {}
    for call in reader.iter_calls(stream, rest):
        if call.skipped or not call.timestamp:
            continue
        hour = call.timestamp[:13]
        if call.prompt:
            if (call.kind, hour, call.prompt) in seen:
                continue
            seen.add((call.kind, hour, call.prompt))
        counted.setdefault(call.kind, Counter())[hour] += 1
    return {kind: dict(hours) for kind, hours in counted.items()}


def add(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Add what several log objects hold."""
    whole: dict[Kind, Counter[str]] = {}
    for snapshot in snapshots:
        for kind, hours in snapshot.items():
            whole.setdefault(kind, Counter()).update(hours)
    return {kind: dict(hours) for kind, hours in whole.items()}


def named(snapshot: Snapshot, lookup: Callable[[str], str]) -> Snapshot:
    """Return a snapshot in which application profiles that the lookup knows are the models behind them."""
    whole: dict[Kind, Counter[str]] = {}
    for kind, hours in snapshot.items():
        model = lookup(kind.model_id) if is_application_profile(kind.model_id) else ""
        found = replace(kind, model_id=model) if model else kind
        whole.setdefault(found, Counter()).update(hours)
    return {kind: dict(hours) for kind, hours in whole.items()}


def hours_of(snapshot: Snapshot, selection: Selection) -> Hours:
    """Return the usable prompts by hour that a workload's selection asks for."""
    selector = Selector(selection)
    found: Counter[str] = Counter()
    for kind, hours in snapshot.items():
        model = selector.resolve(kind.model_id)
        rejected = selector.reject_envelope(kind.operation, model, "", dict(kind.metadata), kind.identity)
        other_system = selection.system_digest and kind.system and kind.system != selection.system_digest
        if rejected is None and not other_system:
            found.update(hours)
    return dict(found)


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a workload's counting has come: what each hour held when last looked at, and what waits for the threshold.

    Counts per hour, not a time: a log that arrives late makes its hour's count grow, and is seen.
    """

    seen: tuple[tuple[str, int], ...] = ()
    waiting: int = 0

    def look(self, hours: Mapping[str, int]) -> Watermark:
        """Return the watermark after a look at the hours that a snapshot covers; older hours are forgotten."""
        before = dict(self.seen)
        fresh = sum(max(0, count - before.get(hour, 0)) for hour, count in hours.items())
        kept = {hour: max(count, before.get(hour, 0)) for hour, count in hours.items()}
        return Watermark(tuple(sorted(kept.items())), self.waiting + fresh)

    def fired(self) -> Watermark:
        """Return the watermark after the threshold was reached and told."""
        return Watermark(self.seen, 0)

    def to_json(self) -> dict[str, Any]:
        return {"v": 1, "seen": dict(self.seen), "waiting": self.waiting}

    @classmethod
    def from_json(cls, data: Any) -> Watermark:
        """Read a stored watermark; what cannot be read counts as none: the worst that follows is one run too many."""
        try:
            seen = tuple(sorted((str(hour), int(count)) for hour, count in data["seen"].items()))
            return cls(seen, int(data["waiting"]))
        except (TypeError, KeyError, ValueError, AttributeError):
            return cls()
