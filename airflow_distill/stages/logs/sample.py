"""The bottom-k sample: the k distinct prompts with the smallest keyed hash, in O(k) memory, mergeable in any order.

The kept bytes lie in a spool. Takes usable records one by one (or another sample), hands on at
most k of them with exact counts.

Why it is exact. The rank of a prompt depends on the prompt and the salt alone, so equal prompts meet, which is exact
de-duplication. A prompt that belongs to the final k is among the k smallest of everything seen at any moment, so it was
never put out: its occurrences are all counted, and its answer was chosen among all of them. Everything else is out of
the sample, whenever it came. Hence neither order nor the cut into shards changes a byte.

When one prompt has several answers, a rule picks one: `latest`, `first` (by record time, then request id), or
`most_frequent` (ties go to the latest). The last one votes with at most `VOTES` requests a prompt, themselves the
bottom ones by hash, so that it too is exact under merging, and a record delivered twice votes once.

What is kept may be cleaned before it is handed on (secrets redacted). Only what is handed on is worth that, yet every
choice must come out as if all had been clean from the start: answers are counted, and ties broken, by what they are when
clean.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
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


Clean = Callable[[bytes], tuple[bytes, str]]
"""Returns clean bytes and the answer in them; what is clean stays as it is."""


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
    """One request's answer to a prompt; `key` is the request's hash, `answer` the answer's digest."""

    key: int
    answer: str
    order: Order
    payload: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """One prompt of the sample, by its hash: how often it was seen, the chosen record, and the votes, if any, for it."""

    prompt: int
    count: int
    order: Order
    payload: bytes
    votes: tuple[Vote, ...] = ()


class _StoredVote:
    """A vote whose payload is in the spool."""

    __slots__ = ("answer", "is_clean", "order", "slot")

    def __init__(self, answer: str, order: Order, slot: Slot, is_clean: bool) -> None:
        self.answer = answer
        self.order = order
        self.slot = slot
        self.is_clean = is_clean


class _Entry:
    """A prompt of the sample whose payloads are in the spool."""

    __slots__ = ("count", "is_clean", "order", "slot", "votes")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.slot: Slot = (0, 0)
        self.is_clean = False
        self.count = 0
        self.votes: dict[int, _StoredVote] | None = None


class Sample:
    """A bottom-k sample under one answer rule.

    :param limit: k, the most prompts to keep.
    :param clean: what becomes of the bytes that are handed on; they stay as they are when left out.
    """

    def __init__(self, limit: int, rule: str = "latest", clean: Clean | None = None) -> None:
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
        self._clean = clean
        self._entries: dict[int, _Entry] = {}
        self._heap: list[int] = []
        self._bound = 1 << 128
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

    def takes(self, prompt: int) -> bool:
        """Say whether a record of this prompt may stay; one that may not is counted, and need not be offered."""
        if prompt <= self._bound:
            return True
        self.out_of_sample += 1
        return False

    def offer(self, prompt: int, reading: Sampled) -> None:
        """Take one usable record; it is turned into bytes only when it may stay.

        :param prompt: the prompt's hash, 128 bits, uniform over prompts.
        """
        if not self.takes(prompt):
            return
        order = (reading.timestamp, reading.request_id)
        entry = self._entries.get(prompt)
        if entry is None:
            entry = self._add(prompt, order)
        entry.count += 1
        if self.rule == "most_frequent":
            self._cast(entry, self._vote(order, reading))
        elif entry.count == 1:
            entry.slot = self._spool.put(reading.to_bytes())
        elif order == entry.order or self._is_better(order, entry.order):
            self._choose(entry, order, reading.to_bytes())

    def merge(self, other: Kept) -> None:
        """Take one prompt of another sample, with its count; what it holds is clean."""
        if other.prompt > self._bound:
            self.out_of_sample += other.count
            return
        entry = self._entries.get(other.prompt)
        is_new = entry is None
        if entry is None:
            entry = self._add(other.prompt, other.order)
        entry.count += other.count
        for vote in other.votes:
            self._cast(entry, vote, is_clean=True)
        if other.votes:
            return
        if is_new:
            entry.slot, entry.is_clean = self._spool.put(other.payload), True
        elif other.order == entry.order or self._is_better(other.order, entry.order):
            self._choose(entry, other.order, other.payload, is_clean=True)

    def hashes(self) -> Iterable[int]:
        """Return the hashes of the prompts in the sample, in no order."""
        return self._entries.keys()

    @property
    def last(self) -> int | None:
        """The largest hash in a full sample; None while there is room."""
        return -self._heap[0] if len(self._heap) == self.limit else None

    def leave_out_above(self, bound: int) -> None:
        """Put out every prompt whose hash is above a bound, now and later."""
        self._bound = min(self._bound, bound)
        gone = [prompt for prompt in self._entries if prompt > bound]
        for prompt in gone:
            self._put_out(self._entries.pop(prompt))
        if gone:
            self._heap = [-prompt for prompt in self._entries]
            heapq.heapify(self._heap)

    def iter_kept(self) -> Iterator[Kept]:
        """Yield the sample in order of hash, clean."""
        get = self._spool.get
        for prompt, entry in sorted(self._entries.items()):
            if not entry.votes:
                payload = get(entry.slot)
                clean = payload if entry.is_clean else self._cleaned(payload)
                yield Kept(prompt, entry.count, entry.order, clean)
                continue
            votes = tuple(self._counted(key, vote) for key, vote in sorted(entry.votes.items()))
            elected = elect(votes)
            yield Kept(prompt, entry.count, elected.order, elected.payload, votes)

    def close(self) -> None:
        """Give back the temporary file; the sample cannot be read any more."""
        self._spool.close()

    def _is_better(self, order: Order, held: Order) -> bool:
        return order > held if self.rule == "latest" else order < held

    def _choose(self, entry: _Entry, order: Order, payload: bytes, *, is_clean: bool = False) -> None:
        """Put another record in a prompt's place. Of two with one time and request, the one of larger bytes stays."""
        if order == entry.order and not self._is_larger(payload, entry.slot):
            return
        self._spool.forget(entry.slot)
        entry.order, entry.slot, entry.is_clean = order, self._spool.put(payload), is_clean
        self._tidy()

    def _is_larger(self, payload: bytes, slot: Slot) -> bool:
        """Say whether some bytes are larger than spooled ones, both clean; the same record twice needs no cleaning."""
        held = self._spool.get(slot)
        return payload != held and self._cleaned(payload) > self._cleaned(held)

    def _cleaned(self, payload: bytes) -> bytes:
        return payload if self._clean is None else self._clean(payload)[0]

    def _vote(self, order: Order, reading: Sampled) -> Vote:
        """Return a record's vote; without a request id it is known by its answer too, which then must be clean."""
        payload, answer = reading.to_bytes(), reading.answer
        if self._clean is not None and not order[1]:
            answer = self._clean(payload)[1]
        digest = answer_digest(answer)
        return Vote(vote_key(order, digest), digest, order, payload)

    def _counted(self, key: int, vote: _StoredVote) -> Vote:
        """Return a vote as it is counted: clean, for a clean answer."""
        payload, answer = self._spool.get(vote.slot), vote.answer
        if self._clean is not None and not vote.is_clean:
            payload, text = self._clean(payload)
            answer = answer_digest(text)
        return Vote(key, answer, vote.order, payload)

    def _cast(self, entry: _Entry, vote: Vote, *, is_clean: bool = False) -> None:
        """Count a vote among the bottom ones by hash; the same request votes once."""
        votes = entry.votes = {} if entry.votes is None else entry.votes
        held = votes.get(vote.key)
        if held is not None:
            if not self._is_larger(vote.payload, held.slot):
                return
            self._spool.forget(held.slot)
        elif len(votes) == VOTES:
            largest = max(votes)
            if vote.key > largest:
                return
            self._spool.forget(votes.pop(largest).slot)
        votes[vote.key] = _StoredVote(vote.answer, vote.order, self._spool.put(vote.payload), is_clean)
        self._tidy()

    def _add(self, prompt: int, order: Order) -> _Entry:
        """Add a prompt below the bound, putting out the largest when there are more than k."""
        heap = self._heap
        if len(heap) < self.limit:
            heapq.heappush(heap, -prompt)
        else:
            self._put_out(self._entries.pop(-heapq.heapreplace(heap, -prompt)))
        if len(heap) == self.limit:
            self._bound = -heap[0]
        entry = self._entries[prompt] = _Entry(order)
        return entry

    def _put_out(self, gone: _Entry) -> None:
        self.out_of_sample += gone.count
        self._spool.forget(gone.slot)
        for vote in (gone.votes or {}).values():
            self._spool.forget(vote.slot)
        self._tidy()

    def _tidy(self) -> None:
        """Copy what is wanted into a fresh spool when the old one is mostly waste."""
        if not self._spool.is_wasteful:
            return
        old, self._spool = self._spool, Spool()
        for entry in self._entries.values():
            entry.slot = self._spool.put(old.get(entry.slot))
            for vote in (entry.votes or {}).values():
                vote.slot = self._spool.put(old.get(vote.slot))
        old.close()


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
