"""The bottom-k sample: the k distinct prompts with the smallest keyed hash, in O(k) memory, mergeable in any order.

Standard library only; the kept bytes lie in a spool. Takes usable records one by one (or another sample), hands on at
most k of them with exact counts.

Why it is exact. The rank of a prompt depends on the prompt and the salt alone, so equal prompts meet, which is exact
de-duplication. A prompt that belongs to the final k is among the k smallest of everything seen at any moment, so it was
never put out: its occurrences are all counted, and its answer was chosen among all of them. Everything else is out of
the sample, whenever it came. Hence neither order nor the cut into shards changes a byte.

When one prompt has several answers, a rule picks one: `latest`, `first` (by record time, then request id), or
`most_frequent` (ties go to the latest). The last one votes with at most `VOTES` requests a prompt, themselves the
bottom ones by hash, so that it too is exact under merging, and a record delivered twice votes once.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.digest import keyed_hash, sha256_hex
from airflow_distill.stages.logs.spool import Slot, Spool

AnswerRule = Literal["latest", "first", "most_frequent"]
ANSWER_RULES: tuple[str, ...] = get_args(AnswerRule)
VOTES = 32

Order = tuple[str, str]
"""Record time and request id."""


class Sampled(Protocol):
    """What the sample asks of a record."""

    timestamp: str
    request_id: str
    answer: str

    def to_bytes(self) -> bytes:
        """Return the bytes to keep."""
        ...


@dataclass(frozen=True, slots=True)
class Vote:
    """One request's answer to a prompt; `key` is the request's hash."""

    key: int
    answer: str
    order: Order
    payload: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """One prompt of the sample: how often it was seen, the chosen record, and the votes that chose it, if any."""

    prompt: str
    rank: int
    count: int
    order: Order
    payload: bytes
    votes: tuple[Vote, ...] = ()


class _StoredVote:
    """A vote whose payload is in the spool."""

    __slots__ = ("answer", "order", "slot")

    def __init__(self, answer: str, order: Order, slot: Slot) -> None:
        self.answer = answer
        self.order = order
        self.slot = slot


class _Entry:
    """A prompt of the sample whose payloads are in the spool."""

    __slots__ = ("count", "order", "rank", "slot", "votes")

    def __init__(self, rank: int, order: Order) -> None:
        self.rank = rank
        self.order = order
        self.slot: Slot = (0, 0)
        self.count = 0
        self.votes: dict[int, _StoredVote] = {}


class Sample:
    """A bottom-k sample under one answer rule.

    :param limit: k, the most prompts to keep.
    """

    def __init__(self, limit: int, rule: str = "latest") -> None:
        if limit < 1:
            raise ConfigurationError(
                "logs: the sample's limit must be at least 1.", hint="15000 is Bedrock's."
            )
        if rule not in ANSWER_RULES:
            raise ConfigurationError(
                f"logs: unknown answer rule {rule!r}.", hint=f"Choose among {', '.join(ANSWER_RULES)}."
            )
        self.limit = limit
        self.rule = rule
        self.out_of_sample = 0
        self._entries: dict[str, _Entry] = {}
        self._heap: list[tuple[int, str]] = []
        self._largest = -1
        self._spool = Spool()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def duplicates(self) -> int:
        """Usable records whose prompt was already in the sample."""
        return sum(entry.count for entry in self._entries.values()) - len(self._entries)

    @property
    def wastes_space(self) -> bool:
        """Whether most of what is spooled is no longer wanted; it never is between two records."""
        return self._spool.is_wasteful

    @property
    def spooled_bytes(self) -> int:
        """Bytes in the spool, wanted or not."""
        return self._spool.size

    def offer(self, prompt: str, rank: int, reading: Sampled) -> None:
        """Take one usable record; it is turned into bytes only when it may stay.

        :param prompt: the prompt's digest; `rank` is its keyed hash.
        """
        entry = self._entries.get(prompt)
        if entry is None:
            if 0 <= self._largest < rank:
                self.out_of_sample += 1
                return
            entry = self._add(prompt, _Entry(rank, (reading.timestamp, reading.request_id)))
            if entry is None:
                self.out_of_sample += 1
                return
        order = (reading.timestamp, reading.request_id)
        entry.count += 1
        if self.rule == "most_frequent":
            answer = answer_digest(reading.answer)
            self._cast(entry, Vote(vote_key(order, answer), answer, order, reading.to_bytes()))
        elif entry.count == 1:
            entry.slot = self._spool.put(reading.to_bytes())
        elif order == entry.order or self._is_better(order, entry.order):
            self._choose(entry, order, reading.to_bytes())

    def merge(self, other: Kept) -> None:
        """Take one prompt of another sample, with its count."""
        entry = self._entries.get(other.prompt)
        is_new = entry is None
        if entry is None:
            entry = self._add(other.prompt, _Entry(other.rank, other.order))
            if entry is None:
                self.out_of_sample += other.count
                return
        entry.count += other.count
        for vote in other.votes:
            self._cast(entry, vote)
        if other.votes:
            return
        if is_new:
            entry.slot = self._spool.put(other.payload)
        elif other.order == entry.order or self._is_better(other.order, entry.order):
            self._choose(entry, other.order, other.payload)

    def iter_kept(self) -> Iterator[Kept]:
        """Yield the sample in order of rank."""
        get = self._spool.get
        for prompt, entry in sorted(self._entries.items(), key=lambda item: (item[1].rank, item[0])):
            if not entry.votes:
                yield Kept(prompt, entry.rank, entry.count, entry.order, get(entry.slot))
                continue
            votes = tuple(
                Vote(key, vote.answer, vote.order, get(vote.slot))
                for key, vote in sorted(entry.votes.items())
            )
            elected = elect(votes)
            yield Kept(prompt, entry.rank, entry.count, elected.order, elected.payload, votes)

    def close(self) -> None:
        """Give back the temporary file; the sample cannot be read any more."""
        self._spool.close()

    def _is_better(self, order: Order, held: Order) -> bool:
        return order > held if self.rule == "latest" else order < held

    def _choose(self, entry: _Entry, order: Order, payload: bytes) -> None:
        """Put another record in a prompt's place. Of two with one time and request, the one of larger bytes stays."""
        if order == entry.order and payload <= self._spool.get(entry.slot):
            return
        self._spool.forget(entry.slot)
        entry.order, entry.slot = order, self._spool.put(payload)
        self._tidy()

    def _cast(self, entry: _Entry, vote: Vote) -> None:
        """Count a vote among the bottom ones by hash; the same request votes once."""
        held = entry.votes.get(vote.key)
        if held is not None:
            if vote.payload <= self._spool.get(held.slot):
                return
            self._spool.forget(held.slot)
        elif len(entry.votes) == VOTES:
            largest = max(entry.votes)
            if vote.key > largest:
                return
            self._spool.forget(entry.votes.pop(largest).slot)
        entry.votes[vote.key] = _StoredVote(vote.answer, vote.order, self._spool.put(vote.payload))
        self._tidy()

    def _add(self, prompt: str, entry: _Entry) -> _Entry | None:
        """Add a new prompt, putting out the one of largest rank when there are more than k; None when it was that one."""
        key = (-entry.rank, _flip(prompt))
        if len(self._heap) < self.limit:
            heapq.heappush(self._heap, key)
        else:
            _, put_out = heapq.heappushpop(self._heap, key)
            if put_out == key[1]:
                return None
            self._put_out(self._entries.pop(_flip(put_out)))
        self._entries[prompt] = entry
        if len(self._heap) == self.limit:
            self._largest = -self._heap[0][0]
        return entry

    def _put_out(self, gone: _Entry) -> None:
        self.out_of_sample += gone.count
        self._spool.forget(gone.slot)
        for vote in gone.votes.values():
            self._spool.forget(vote.slot)
        self._tidy()

    def _tidy(self) -> None:
        """Copy what is wanted into a fresh spool when the old one is mostly waste."""
        if not self._spool.is_wasteful:
            return
        old, self._spool = self._spool, Spool()
        for entry in self._entries.values():
            entry.slot = self._spool.put(old.get(entry.slot))
            for vote in entry.votes.values():
                vote.slot = self._spool.put(old.get(vote.slot))
        old.close()


_FLIPPED = str.maketrans("0123456789abcdef", "fedcba9876543210")


def _flip(prompt: str) -> str:
    """Turn the digits of a digest round, so that the heap's order is descending in it as in the rank."""
    return prompt.translate(_FLIPPED)


def vote_key(order: Order, answer: str) -> int:
    """Return a request's hash; a record without a request id is known by its time and answer."""
    return keyed_hash("vote", f"{order[0]} {order[1]} {'' if order[1] else answer}")


def elect(votes: Sequence[Vote]) -> Vote:
    """Return the vote for the most frequent answer; among its requests, and among equals, the latest."""
    tally = Counter(vote.answer for vote in votes)
    return max(votes, key=lambda vote: (tally[vote.answer], vote.order, vote.payload))


def answer_digest(answer: str) -> str:
    """Return the digest by which equal answers are counted together."""
    return sha256_hex(answer.strip().encode("utf-8", "surrogatepass"))[:32]
