"""The bottom-k sample: the k distinct prompts with the smallest keyed hash, in O(k) memory, mergeable in any order.

Standard library only. Takes usable records one by one (or another sample), hands on at most k of them with exact counts.

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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.digest import keyed_hash, sha256_hex

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


@dataclass(slots=True)
class Vote:
    """One request's answer to a prompt."""

    answer: str
    order: Order
    payload: bytes


class Entry:
    """One prompt of the sample: how often it was seen, and the chosen record (or the votes that choose it)."""

    __slots__ = ("count", "order", "payload", "rank", "votes")

    def __init__(self, rank: int, order: Order, payload: bytes, count: int) -> None:
        self.rank = rank
        self.order = order
        self.payload = payload
        self.count = count
        self.votes: dict[int, Vote] = {}


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
        self._entries: dict[str, Entry] = {}
        self._heap: list[tuple[int, str]] = []
        self._worst = -1
        self._full = False

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def duplicates(self) -> int:
        """Usable records whose prompt was already in the sample."""
        return sum(entry.count for entry in self._entries.values()) - len(self._entries)

    def offer(self, prompt: str, rank: int, reading: Sampled) -> None:
        """Take one usable record; it is turned into bytes only when it may stay.

        :param prompt: the prompt's digest; `rank` is its keyed hash.
        """
        entry = self._entries.get(prompt)
        if entry is None:
            if self._full and -rank < self._worst:
                self.out_of_sample += 1
                return
            entry = Entry(rank, (reading.timestamp, reading.request_id), b"", 0)
            self._add(prompt, entry)
            if prompt not in self._entries:
                self.out_of_sample += 1
                return
        entry.count += 1
        order = (reading.timestamp, reading.request_id)
        if self.rule == "most_frequent":
            _cast(entry, Vote(answer_digest(reading.answer), order, reading.to_bytes()))
        elif entry.count == 1:
            entry.payload = reading.to_bytes()
        elif self._is_better(order, entry.order):
            entry.order, entry.payload = order, reading.to_bytes()
        elif order == entry.order:
            entry.payload = max(entry.payload, reading.to_bytes())

    def merge(self, prompt: str, other: Entry) -> None:
        """Take one prompt of another sample, with its count."""
        entry = self._entries.get(prompt)
        if entry is None:
            self._add(prompt, other)
            if prompt not in self._entries:
                self.out_of_sample += other.count
            return
        entry.count += other.count
        for vote in other.votes.values():
            _cast(entry, vote)
        if self.rule == "most_frequent":
            return
        if self._is_better(other.order, entry.order):
            entry.order, entry.payload = other.order, other.payload
        elif other.order == entry.order:
            entry.payload = max(entry.payload, other.payload)

    def iter_entries(self) -> Iterator[tuple[str, Entry]]:
        """Yield the sample in order of rank, each with its chosen payload."""
        for prompt, entry in sorted(self._entries.items(), key=lambda item: (item[1].rank, item[0])):
            if entry.votes:
                entry.payload = _elect(entry.votes.values())
            yield prompt, entry

    def _is_better(self, order: Order, held: Order) -> bool:
        return order > held if self.rule == "latest" else order < held

    def _add(self, prompt: str, entry: Entry) -> None:
        """Add a new prompt and put out the one with the largest rank when there are more than k."""
        self._entries[prompt] = entry
        heapq.heappush(self._heap, _heap_key(entry.rank, prompt))
        if len(self._heap) > self.limit:
            _, flipped = heapq.heappop(self._heap)
            gone = self._entries.pop(_flip(flipped))
            if gone is not entry:
                self.out_of_sample += gone.count
        self._full = len(self._heap) == self.limit
        self._worst = self._heap[0][0]


_FLIPPED = str.maketrans("0123456789abcdef", "fedcba9876543210")


def _heap_key(rank: int, prompt: str) -> tuple[int, str]:
    """Order the heap by descending (rank, prompt): digits of the prompt's digest are turned round."""
    return -rank, _flip(prompt)


def _flip(prompt: str) -> str:
    return prompt.translate(_FLIPPED)


def _cast(entry: Entry, vote: Vote) -> None:
    """Count a vote among the bottom ones by hash; the same request votes once."""
    key = keyed_hash("vote", f"{vote.order[0]} {vote.order[1]} {vote.answer if not vote.order[1] else ''}")
    held = entry.votes.get(key)
    if held is not None:
        if vote.payload > held.payload:
            entry.votes[key] = vote
        return
    entry.votes[key] = vote
    if len(entry.votes) > VOTES:
        del entry.votes[max(entry.votes)]


def _elect(votes: Iterable[Vote]) -> bytes:
    """Return the payload of the most frequent answer; among its requests, and among equals, the latest."""
    cast = list(votes)
    tally = Counter(vote.answer for vote in cast)
    best = max(cast, key=lambda vote: (tally[vote.answer], vote.order, vote.payload))
    return best.payload


def answer_digest(answer: str) -> str:
    """Return the digest by which equal answers are counted together."""
    return sha256_hex(answer.strip().encode("utf-8", "surrogatepass"))[:32]
