"""Reads the log objects of a shard into a harvest: the inner loop of the stage.

Imports only this stage. Blocks of lines come in; the prefilter names the lines worth decoding; readable ones go to the
sample and all others are counted. Bodies stored beside the log are fetched many at once, after the lines that need them.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from airflow_distill.errors import DistillError
from airflow_distill.stages.digest import sha256_hex
from airflow_distill.stages.forgotten import Tombstones
from airflow_distill.stages.logs.blocks import LogBlocks, keep_freed_memory, line_spans
from airflow_distill.stages.logs.bodies import LONGEST_STORED_BODY
from airflow_distill.stages.logs.conversation import RawTurn
from airflow_distill.stages.logs.fingerprint import Fingerprints
from airflow_distill.stages.logs.limits import DEFAULT_LIMIT
from airflow_distill.stages.logs.parse import BREAKS, LogReader, Reading
from airflow_distill.stages.logs.prefilter import build_prefilter
from airflow_distill.stages.logs.reasons import SkipReason
from airflow_distill.stages.logs.sample import Sample
from airflow_distill.stages.logs.selection import Selection
from airflow_distill.stages.logs.shard_file import Harvest, Redact, cleaning
from airflow_distill.stages.logs.source import Shard, sibling_body
from airflow_distill.stages.logs.streams import open_ahead
from airflow_distill.stages.logs.surplus import Surplus
from airflow_distill.stages.logs.unusable import Unusable
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore, StoredObject

log = logging.getLogger(__name__)

BODIES_AT_ONCE = 16
Progress = Callable[[int, int], None]
"""Called with (stored bytes done, all stored bytes)."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How to wait for bodies that are still being delivered, up to a minute after their record.

    :param pause: sleeps for the given seconds.
    """

    pause: Callable[[float], None]
    rounds: int = 3
    seconds: float = 25.0


class _BodyNeeded(Exception):
    """A line needs a stored body that has not been fetched yet."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.uri = uri


def begins_as_json(block: bytes, end: int) -> bool:
    """Say whether an object's first bytes are those of JSON lines, a byte order mark and white space aside."""
    head = bytes(block[: min(end, 4096)]).lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")
    return not head or head[:1] in (b"{", b"[", b'"')


class ShardReader:
    """Reads log objects into one harvest.

    :param redact: how prompts and answers are redacted before they are handed on.
    :param patience: how to wait for late bodies; without it, a missing body is counted at once.
    :param forgotten: who must be left out.
    """

    def __init__(
        self,
        store: ObjectStore,
        selection: Selection,
        *,
        salt: str,
        limit: int = DEFAULT_LIMIT,
        answer_rule: str = "latest",
        redact: Redact | None = None,
        patience: Patience | None = None,
        forgotten: Tombstones | None = None,
    ) -> None:
        self._forgotten = forgotten
        self.harvest = new_harvest(selection, salt, limit, answer_rule, redact)
        self._store = store
        self._fingerprints = Fingerprints(salt)
        self._reader = LogReader(selection)
        self._prefilter = build_prefilter(selection)
        self._patience = patience
        self._wanted: tuple[tuple[RawTurn, ...], int] = ((), 0)
        self._bodies: dict[str, bytes | None] = {}
        self._pending: list[tuple[bytes, str, str]] = []
        self._late: list[tuple[bytes, str, str]] = []

    def read(self, objects: Iterable[StoredObject], done: Callable[[int], None] | None = None) -> Harvest:
        """Read log objects and return the harvest.

        :param done: called with the stored bytes of each object when it was read.
        """
        keep_freed_memory()
        with no_garbage_collector():
            for item, stream in open_ahead(self._store, objects):
                if stream is None:
                    self.harvest.objects["missing"] += 1
                else:
                    self.read_object(item.uri, stream)
                    self.harvest.stored_bytes += item.size
                if done is not None:
                    done(item.size)
        return self.finish()

    def read_object(self, uri: str, stream: BinaryIO) -> None:
        """Read one log object and close it."""
        with stream:
            blocks = LogBlocks(stream)
            strange = False
            for number, (block, end) in enumerate(blocks):
                strange = strange or (number == 0 and not begins_as_json(block, end))
                self._read_block(block, end, uri)
        self._fetch_pending()
        self.harvest.lines += blocks.too_long
        self.harvest.skips[SkipReason.LINE_TOO_LONG.value] += blocks.too_long
        what = "foreign" if blocks.foreign else "damaged" if blocks.damaged or strange else "read"
        if what != "read":
            why = blocks.foreign or (
                "cut off or corrupt" if blocks.damaged else "no log object: it holds no JSON"
            )
            log.warning("%s is %s.", uri, why)
        self.harvest.objects[what] += 1

    def finish(self) -> Harvest:
        """Give late bodies their time, count those that never came, and return the harvest."""
        rounds = self._patience.rounds if self._patience is not None else 0
        for _ in range(rounds):
            if not self._late:
                break
            assert self._patience is not None
            self._patience.pause(self._patience.seconds)
            self._pending, self._late = self._late, []
            self._fetch_pending()
        self.harvest.skips[SkipReason.BODY_MISSING.value] += len(self._late)
        self._late = []
        return self.harvest

    def _read_block(self, block: bytes, end: int, uri: str) -> None:
        """Read the lines of a block that may be wanted, as views, so that no line is copied."""
        if self._prefilter.is_open:
            spans = line_spans(block, end)
            self.harvest.lines += len(spans)
        else:
            if not self.harvest.lines:
                self._prefilter = self._prefilter.tuned(block, end)
            spans, whole = self._prefilter.spans(block, end)
            self.harvest.lines += whole
            self.harvest.skips[SkipReason.OTHER_TRAFFIC.value] += whole - len(spans)
        view = memoryview(block)
        read, load, wants = self._reader.read_wanted, self._load, self._wants
        skips = self.harvest.skips
        for start, stop in spans:
            try:
                reading = read(view[start:stop], load, wants)
            except Unusable as skip:
                skips[skip.reason.value] += 1
            except _BodyNeeded:
                self._read_line(view[start:stop], uri)
            else:
                if reading is not None:
                    self._offer(reading)

    def _read_line(self, line: bytes | memoryview, uri: str) -> None:
        try:
            reading = self._reader.read_wanted(line, self._load, self._wants)
        except Unusable as skip:
            self.harvest.skips[skip.reason.value] += 1
        except BREAKS:
            self.harvest.skips[SkipReason.UNREADABLE.value] += 1
        except _BodyNeeded as needed:
            self._pending.append((bytes(line), uri, needed.uri))
            if len(self._pending) >= 64:
                self._fetch_pending()
        else:
            if reading is not None:
                self._offer(reading)

    def _wants(self, system: str | None, turns: tuple[RawTurn, ...]) -> bool:
        """Say whether a prompt may be in the sample; most of a large harvest may not, and is then not read further."""
        prompt = self._fingerprints.of(system, turns)
        self._wanted = turns, prompt
        return self.harvest.sample.takes(prompt)

    def _offer(self, reading: Reading) -> None:
        gone = self._forgotten
        if gone is not None and (gone.cover_metadata(reading.metadata) or gone.cover_prompt(reading.turns)):
            self.harvest.skips[SkipReason.FORGOTTEN.value] += 1
            return
        turns, prompt = self._wanted
        if turns is not reading.turns:
            prompt = self._fingerprints.of(reading.system, reading.turns)
        self.harvest.sample.offer(prompt, reading)

    def _load(self, uri: str) -> bytes | None:
        try:
            return self._bodies[uri]
        except KeyError:
            raise _BodyNeeded(uri) from None

    def _fetch_pending(self) -> None:
        """Fetch the bodies that lines wait for, many at once, and read those lines again."""
        while self._pending:
            waiting, self._pending = self._pending[:BODIES_AT_ONCE], self._pending[BODIES_AT_ONCE:]
            with ThreadPoolExecutor(BODIES_AT_ONCE) as pool:
                found = list(pool.map(lambda item: self._fetch(item[2], item[1]), waiting))
            for (line, uri, body), data in zip(waiting, found, strict=True):
                if data is None:
                    self._late.append((line, uri, body))
                    continue
                self.harvest.bodies += 1
                self._bodies[body] = data
                self._read_line(line, uri)
                if not self._pending or self._pending[-1][0] != line:
                    self._bodies.clear()  # a line may need both of its bodies

    def _fetch(self, body: str, log_object: str) -> bytes | None:
        """Return a stored body from beside its log object, and from nowhere else, whatever the record says."""
        place = sibling_body(log_object, body)
        if place is None:
            return None
        try:
            with self._store.open(place) as stream:
                return stream.read(LONGEST_STORED_BODY + 1)
        except ObjectMissingError:
            return None
        except OSError:
            return None
        except DistillError as error:
            if error.retryable:
                raise
            return None


@contextmanager
def no_garbage_collector() -> Iterator[None]:
    """Hold the collector of reference cycles still: records make none, and looking for them costs a tenth of the time.

    In a task's process, which holds all of Airflow, it costs more. It runs again afterwards, if it ran before.
    """
    ran = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if ran:
            gc.enable()


def salt_digest(salt: str) -> str:
    """Return what a receipt may say about a salt."""
    return sha256_hex(salt.encode())[:16]


def new_harvest(
    selection: Selection,
    salt: str,
    limit: int = DEFAULT_LIMIT,
    answer_rule: str = "latest",
    redact: Redact | None = None,
) -> Harvest:
    """Return a harvest that holds nothing yet."""
    settings = harvest_settings(selection, salt, redact)
    return Harvest(Sample(limit, answer_rule, cleaning(redact)), settings)


def harvest_settings(selection: Selection, salt: str, redact: Redact | None) -> dict[str, object]:
    """Return the settings that a harvest carries, and that harvests must share to be merged."""
    return {
        "selection": selection.to_json(),
        "salt_digest": salt_digest(salt),
        "redaction": redact.to_json() if redact is not None else [],
    }


@dataclass(frozen=True, slots=True)
class ShardTask:
    """What is done with every shard; picklable."""

    selection: Selection
    salt: str
    limit: int = DEFAULT_LIMIT
    answer_rule: str = "latest"
    redact: Redact | None = None
    forgotten: Tombstones | None = None

    def run(
        self,
        store: ObjectStore,
        shard: Shard,
        patience: Patience | None = None,
        progress: Progress | None = None,
        *,
        surplus: Surplus | None = None,
    ) -> Harvest:
        """Read one shard.

        :param surplus: what the other shards tell to be outside the sample of all, when they are read apart.
        """
        whole = shard.size
        read = 0

        def count(size: int) -> None:
            nonlocal read
            read += size
            if progress is not None:
                progress(read, whole)

        return self.run_objects(store, shard.objects, patience, count, surplus)

    def run_objects(
        self,
        store: ObjectStore,
        objects: Iterable[StoredObject],
        patience: Patience | None = None,
        done: Callable[[int], None] | None = None,
        surplus: Surplus | None = None,
    ) -> Harvest:
        """Read log objects, in any order.

        :param done: called with the stored bytes of each object when it was read.
        :param surplus: what others that read objects of the same harvest tell to be outside its sample.
        """
        reader = ShardReader(
            store,
            self.selection,
            salt=self.salt,
            limit=self.limit,
            answer_rule=self.answer_rule,
            redact=self.redact,
            patience=patience,
            forgotten=self.forgotten,
        )
        if surplus is None:
            return reader.read(objects, done)
        harvest = reader.harvest

        def count(size: int) -> None:
            surplus.count(harvest, size)
            if done is not None:
                done(size)

        surplus.before(harvest)
        reader.read(objects, count)
        surplus.exchange(harvest)
        return harvest

    def settings(self) -> tuple[object, ...]:
        """Return what must be equal for two parts to be of one harvest."""
        return (harvest_settings(self.selection, self.salt, self.redact), self.limit, self.answer_rule)
