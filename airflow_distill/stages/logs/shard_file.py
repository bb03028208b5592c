"""A harvest: the sample of one shard or of a whole window with its counts, in memory and as a file.

Imports the sample and the typed JSON decoder; streams are passed in. The file is gzip: a header line with
settings and counts, then one line a prompt in order of rank. It holds all that merging needs, and nothing of the clock
or the machine, so the same logs give the same bytes. Prompts and answers are redacted before they are written, unless the
harvest was told not to; how that is done is passed in, and part of the settings.
"""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import msgspec
from isal import isal_zlib

from airflow_distill.errors import ConfigurationError, LogFormatError
from airflow_distill.stages.digest import json_object
from airflow_distill.stages.logs.forms import LONGEST_LINE
from airflow_distill.stages.logs.parse import BREAKS, encode_interaction, interaction_of, texts_of
from airflow_distill.stages.logs.reasons import SkipReason
from airflow_distill.stages.logs.records import Interaction
from airflow_distill.stages.logs.sample import VOTES, Clean, Kept, Order, Sample, Vote, answer_digest
from airflow_distill.stages.storage import ObjectStore

SHARD_KIND = "harvest-shard"
SHARD_VERSION = 3
SHARD_LEVEL = 1
"""Compression of shard files: quick, since they are read back once. The content never varies; the packed bytes are the same
on processors of one kind.
"""
LONGEST_KEPT = LONGEST_LINE + (1 << 20)
"""Bytes of one record in a shard file; placeholders can make it longer than it was logged."""


@dataclass(frozen=True, slots=True)
class HarvestCounts:
    """What was read and what became of it.

    `skipped` is by reason; `objects` counts log objects as `read`, `damaged` (cut off or corrupt, their readable part is
    used) and `missing` (gone between listing and reading); `bodies` counts those fetched from beside the log.
    """

    lines: int
    kept: int
    skipped: dict[str, int]
    objects: dict[str, int] = field(default_factory=dict)
    stored_bytes: int = 0
    bodies: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "lines": self.lines,
            "kept": self.kept,
            "skipped": dict(sorted(self.skipped.items())),
            "objects": dict(sorted(self.objects.items())),
            "stored_bytes": self.stored_bytes,
            "bodies": self.bodies,
        }


class Harvest:
    """A sample with its counts; can be merged with others of the same settings.

    :param settings: what it was made with: selection, salt digest; two harvests merge only when these are equal.
    """

    def __init__(self, sample: Sample, settings: dict[str, Any]) -> None:
        self.sample = sample
        self.settings = settings
        self.lines = 0
        self.skips: Counter[str] = Counter()
        self.objects: Counter[str] = Counter()
        self.stored_bytes = 0
        self.bodies = 0
        self.bound: int | None = None
        """Above this hash prompts are left out, though the sample has room for them; None for no such bound."""

    def __len__(self) -> int:
        return len(self.sample)

    @property
    def counts(self) -> HarvestCounts:
        """The counts so far; they add up at every moment."""
        skipped = {reason: count for reason, count in self.skips.items() if count}
        for reason, count in (
            (SkipReason.DUPLICATE, self.sample.duplicates),
            (SkipReason.OUT_OF_SAMPLE, self.sample.out_of_sample),
        ):
            if count:
                skipped[reason.value] = count
        objects = {what: count for what, count in self.objects.items() if count}
        return HarvestCounts(self.lines, len(self.sample), skipped, objects, self.stored_bytes, self.bodies)

    def interactions(self) -> Iterator[Interaction]:
        """Yield the sample in order of rank, one interaction a prompt.

        :raises LogFormatError: what a shard file held of one is no interaction.
        """
        for kept in self.sample.iter_kept():
            try:
                interaction = interaction_of(kept.payload)
            except (*BREAKS, msgspec.MsgspecError):
                raise _unreadable() from None
            yield interaction

    def occurrences(self) -> Iterator[tuple[str, int]]:
        """Yield (the prompt's hash, how often it was asked) in the same order."""
        for kept in self.sample.iter_kept():
            yield f"{kept.prompt:032x}", kept.count

    def absorb(self, other: Harvest) -> None:
        """Merge another harvest into this one.

        :raises ConfigurationError: it was made with other settings.
        """
        differing = self._differences(other)
        if differing:
            raise ConfigurationError(
                f"logs: harvests of different settings cannot be merged: they differ in {', '.join(differing)}.",
                hint="Harvest all shards of one window with one selection, salt, answer rule and redaction.",
            )
        self.lines += other.lines
        self.skips.update(other.skips)
        self.objects.update(other.objects)
        self.stored_bytes += other.stored_bytes
        self.bodies += other.bodies
        self.sample.out_of_sample += other.sample.out_of_sample
        self.bound = min((b for b in (self.bound, other.bound) if b is not None), default=None)
        for kept in other.sample.iter_kept():
            self.sample.merge(kept)

    def leave_out_above(self, bound: int) -> None:
        """Leave out, now and later, prompts that are outside the sample of the whole harvest, of which this is a part."""
        self.sample.leave_out_above(bound)
        self.bound = bound if self.bound is None else min(self.bound, bound)

    def prove_whole(self) -> None:
        """Check that nothing which a part left out belongs to this sample.

        :raises LogFormatError: something may; a part is missing here, or was read from other logs than the rest.
        """
        if self.bound is None:
            return
        last = self.sample.last
        if last is None or last > self.bound:
            raise LogFormatError(
                "logs: the shard files do not make up one harvest: prompts were left out that belong to it.",
                hint="Merge all shards of one plan. If these are all, clear the planning task and what follows it.",
            )
        self.bound = None

    def _differences(self, other: Harvest) -> list[str]:
        """Return the names of settings in which another harvest differs, those of the selection by their own names."""
        mine, theirs = ({**h.settings, "rule": h.sample.rule} for h in (self, other))
        for settings in (mine, theirs):
            settings.update(settings.pop("selection", {}))
        return sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))

    def write(self, stream: BinaryIO) -> None:
        """Write the shard file: a header line, then one line a prompt, gzip; the same bytes on every re-run."""
        packer = isal_zlib.compressobj(SHARD_LEVEL, isal_zlib.DEFLATED, 31)
        for line in self._shard_lines():
            stream.write(packer.compress(line))
        stream.write(packer.flush())

    def write_plain(self, stream: BinaryIO) -> None:
        """Write the same lines as they are, for another process of this machine."""
        stream.writelines(self._shard_lines())

    def to_bytes(self) -> bytes:
        """Return the shard file."""
        stream = io.BytesIO()
        self.write(stream)
        return stream.getvalue()

    def save(self, store: ObjectStore, uri: str) -> None:
        """Write the shard file to a store, through a temporary file, so that it never lies in memory whole."""
        with tempfile.TemporaryDirectory(prefix="harvest-") as folder:
            path = Path(folder) / "shard.jsonl.gz"
            with path.open("wb") as stream:
                self.write(stream)
            store.upload(uri, path)

    def _shard_lines(self) -> Iterator[bytes]:
        header = {
            "v": SHARD_VERSION,
            "kind": SHARD_KIND,
            "limit": self.sample.limit,
            "rule": self.sample.rule,
            "settings": self.settings,
            "lines": self.lines,
            "skips": dict(sorted(self.skips.items())),
            "out_of_sample": self.sample.out_of_sample,
            "objects": dict(sorted(self.objects.items())),
            "stored_bytes": self.stored_bytes,
            "bodies": self.bodies,
            **({} if self.bound is None else {"bound": f"{self.bound:032x}"}),
        }
        yield json.dumps(header, sort_keys=True).encode() + b"\n"
        yield from map(_kept_line, self.sample.iter_kept())

    @classmethod
    def from_bytes(cls, data: bytes) -> Harvest:
        """Read a shard file from memory.

        :raises LogFormatError: the bytes are not a shard file of this version.
        """
        return cls.read(io.BytesIO(data))

    @classmethod
    def read(cls, stream: BinaryIO, onto: Harvest | None = None, *, limit: int | None = None) -> Harvest:
        """Read a shard file, onto another harvest when one is given.

        :param limit: the most prompts to keep, when that is less than the file's own limit.
        :raises LogFormatError: the stream is not a shard file of this version.
        :raises ConfigurationError: the other harvest was made with other settings.
        """
        with gzip.GzipFile(fileobj=stream) as lines:
            return cls.read_plain(cast("BinaryIO", lines), onto, limit=limit)

    @classmethod
    def read_plain(
        cls, stream: BinaryIO, onto: Harvest | None = None, *, limit: int | None = None
    ) -> Harvest:
        """Read the lines of a shard file as `read` does."""
        try:
            harvest = cls._from_header(json_object(_line_of(stream, LONGEST_KEPT)), limit)
            longest = LONGEST_KEPT * (1 + VOTES if harvest.sample.rule == "most_frequent" else 1)
            if onto is not None:
                onto.absorb(harvest)
                harvest = onto
            merge = harvest.sample.merge
            while line := _line_of(stream, longest):
                merge(_read_kept(line))
        except (*BREAKS, EOFError, zlib.error, gzip.BadGzipFile, msgspec.MsgspecError):
            raise _unreadable() from None
        return harvest

    @classmethod
    def _from_header(cls, header: dict[str, Any], limit: int | None) -> Harvest:
        if header["kind"] != SHARD_KIND or header["v"] != SHARD_VERSION:
            raise ValueError(SHARD_KIND)
        most = header["limit"] if limit is None else min(limit, header["limit"])
        harvest = cls(Sample(most, header["rule"]), header["settings"])
        harvest.lines = header["lines"]
        harvest.skips.update(header["skips"])
        harvest.objects.update(header["objects"])
        harvest.stored_bytes = header["stored_bytes"]
        harvest.bodies = header["bodies"]
        harvest.sample.out_of_sample = header["out_of_sample"]
        harvest.bound = int(header["bound"], 16) if "bound" in header else None
        return harvest


class Redact(Protocol):
    """How interactions are redacted before they are written."""

    def __call__(self, interaction: Interaction) -> Interaction:
        """Return the interaction redacted; what is redacted stays as it is."""
        ...

    def finds_nothing(self, texts: Iterable[str]) -> bool:
        """Say whether none of the texts holds anything to redact."""
        ...

    def to_json(self) -> list[str]:
        """Return what tells one redaction from another."""
        ...


def cleaning(redact: Redact | None) -> Clean | None:
    """Return how a sample cleans its bytes under a redaction."""
    if redact is None:
        return None

    def clean(payload: bytes) -> tuple[bytes, str]:
        answer, texts = texts_of(payload)
        if redact.finds_nothing(texts):
            return payload, answer
        redacted = redact(interaction_of(payload))
        return encode_interaction(redacted), redacted.answer

    return clean


class _VoteLine(msgspec.Struct, gc=False):
    key: str
    interaction: msgspec.Raw


class _KeptLine(msgspec.Struct, gc=False):
    """One prompt of a shard file, by its hash; interactions stay the bytes they are."""

    prompt: str
    count: int
    order: Order
    interaction: msgspec.Raw
    votes: list[_VoteLine] = []


class _Key(msgspec.Struct, gc=False):
    """What of a stored vote decides whether it is elected."""

    timestamp: str
    request_id: str
    answer: str


_encode = msgspec.json.Encoder().encode
_decode_kept = msgspec.json.Decoder(_KeptLine).decode
_decode_key = msgspec.json.Decoder(_Key).decode


def _kept_line(kept: Kept) -> bytes:
    head = b'{"prompt":"%032x","count":%d,"order":%b,"interaction":' % (
        kept.prompt,
        kept.count,
        _encode(kept.order),
    )
    if not kept.votes:
        return b"".join((head, kept.payload, b"}\n"))
    votes = b",".join(b'{"key":"%016x","interaction":%b}' % (vote.key, vote.payload) for vote in kept.votes)
    return b'%b%b,"votes":[%b]}\n' % (head, kept.payload, votes)


def _unreadable() -> LogFormatError:
    return LogFormatError(
        "logs: a shard file of the harvest cannot be read.", hint="Run the harvest of this window again."
    )


def _line_of(stream: BinaryIO, longest: int) -> bytes:
    """Return the next line; nothing at the end.

    :raises ValueError: it is longer than any line of a shard file.
    """
    line = stream.readline(longest + 1)
    if len(line) > longest:
        raise ValueError("line too long")
    return line


def _read_kept(line: bytes) -> Kept:
    data = _decode_kept(line)
    votes = tuple(_read_vote(int(item.key, 16), bytes(item.interaction)) for item in data.votes)
    return Kept(int(data.prompt, 16), data.count, data.order, bytes(data.interaction), votes)


def _read_vote(number: int, payload: bytes) -> Vote:
    key = _decode_key(payload)
    return Vote(number, answer_digest(key.answer), (key.timestamp, key.request_id), payload)
