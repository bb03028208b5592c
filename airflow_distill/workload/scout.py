"""Which traffic is worth distilling first: groups of like calls, ranked by what their teacher costs a month.

Takes the calls of log objects one by one, hands on `Candidate` records. A group is what one workload file could name:
a model and the request metadata with few values, or the system prompt where there is no metadata. Memory is bounded:
a metadata key with many values is dropped from the grouping as soon as that shows, and distinct prompts are estimated
from the smallest hashes.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from airflow_distill.stages.dataset.families import family_of
from airflow_distill.stages.jobs.models import students_of
from airflow_distill.stages.logs.models import resolve_model
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.money.records import Tokens
from airflow_distill.stages.money.serving import DAYS_A_MONTH
from airflow_distill.workload.traffic import Call

MOST_VALUES = 30
"""A metadata key with more values tells calls apart, not workloads."""
MOST_NAMES = 200
"""Names of metadata that groups are told apart by; a stranger who invents more does not fill the memory."""
SKETCH = 1024
LEAST_PROMPTS = 1_000
"""Fewer distinct prompts than this a window are little to learn from; the service's own floor is 100."""

GroupKey = tuple[str, tuple[tuple[str, str], ...], str]
"""Model, metadata, system prompt's fingerprint (only where there is no metadata)."""


class Distinct:
    """Estimates how many distinct digests were seen, from the k smallest."""

    def __init__(self, k: int = SKETCH) -> None:
        self._k = k
        self._heap: list[int] = []
        self._kept: set[int] = set()

    def add(self, digest: str) -> None:
        """Take one digest of at least 16 hex digits."""
        value = int(digest[:16], 16)
        if value in self._kept:
            return
        if len(self._heap) < self._k:
            heapq.heappush(self._heap, -value)
        elif value < -self._heap[0]:
            self._kept.discard(-heapq.heapreplace(self._heap, -value))
        else:
            return
        self._kept.add(value)

    def absorb(self, other: Distinct) -> None:
        """Merge another estimate into this one."""
        for value in other._kept:
            self.add(f"{value:016x}")

    @property
    def count(self) -> int:
        """The number seen: exact below k, else within about three in a hundred."""
        if len(self._heap) < self._k:
            return len(self._heap)
        return round((self._k - 1) * 2.0**64 / (-self._heap[0] + 1))


@dataclass(slots=True)
class Tally:
    """What one group's calls add up to."""

    calls: int = 0
    usable: int = 0
    multi_turn: int = 0
    stored: int = 0
    learnable: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    learnable_tokens: Tokens = field(default_factory=Tokens)
    skipped: Counter[str] = field(default_factory=Counter)
    prompts: Distinct = field(default_factory=Distinct)
    answers: Distinct = field(default_factory=Distinct)

    def add(self, call: Call) -> None:
        """Take one call."""
        self.calls += 1
        self.tokens += call.tokens
        if call.skipped:
            self.skipped[call.skipped] += 1
            return
        self.usable += 1
        if not call.too_long:
            self.learnable += 1
            self.learnable_tokens += call.tokens
        self.multi_turn += call.turns > 1
        if call.prompt:
            self.prompts.add(call.prompt)
            self.answers.add(call.answer)
        else:
            self.stored += 1

    def absorb(self, other: Tally) -> None:
        """Merge another group's tally."""
        for name in ("calls", "usable", "multi_turn", "stored", "learnable", "tokens", "learnable_tokens"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.skipped.update(other.skipped)
        self.prompts.absorb(other.prompts)
        self.answers.absorb(other.answers)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One group of like calls, with what speaks for and against distilling it.

    `tokens` are all that were billed, by kind. `learnable` calls could be answered by a student: text only, no tool
    called, a training line of at most 16 KB. `monthly_usd` is what all calls cost at this pace, `learnable_usd` what the
    learnable ones do; None is unknown, and `unpriced` names the prices that are missing.
    """

    model: str
    metadata: tuple[tuple[str, str], ...]
    system_digest: str
    calls: int
    usable: int
    distinct_prompts: int
    distinct_answers: int
    tokens: Tokens
    learnable: int
    monthly_usd: float | None
    learnable_usd: float | None
    unpriced: tuple[str, ...]
    students: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """There is a student and enough to learn from."""
        return bool(self.students) and self.distinct_prompts >= 100

    @property
    def learnable_share(self) -> float:
        """The share of the calls that could be distilled at all."""
        return self.learnable / self.calls if self.calls else 0.0

    def to_json(self) -> dict[str, Any]:
        out = {name: getattr(self, name) for name in self.__slots__}
        return out | {
            "tokens": asdict(self.tokens),
            "learnable_share": round(self.learnable_share, 4),
            "unpriced": list(self.unpriced),
            "metadata": dict(self.metadata),
            "students": list(self.students),
            "notes": list(self.notes),
            "fits": self.fits,
        }


class Survey:
    """Groups calls as they come.

    :param mapping: model behind application profile, throughput and deployment ARNs.
    """

    def __init__(self, mapping: dict[str, str] | None = None) -> None:
        self._mapping = mapping or {}
        self._tallies: dict[GroupKey, Tally] = {}
        self._values: dict[str, set[str]] = {}
        self._wild: set[str] = set()
        self._first = ""
        self._last = ""

    def add(self, calls: Iterable[Call]) -> None:
        """Take the calls of one log object."""
        for call in calls:
            if call.timestamp:
                self._first = min(self._first or call.timestamp, call.timestamp)
                self._last = max(self._last, call.timestamp)
            key = self._key(call)
            self._tallies.setdefault(key, Tally()).add(call)

    @property
    def days(self) -> float:
        """Days between the first and the last call, at least an hour's worth."""
        if not self._last:
            return 0.0
        span = datetime.fromisoformat(self._last) - datetime.fromisoformat(self._first)
        return max(span.total_seconds(), 3600.0) / 86_400

    def candidates(self, prices: PriceTable) -> list[Candidate]:
        """Return every group, the best to distil first."""
        found = [self._candidate(key, tally, prices) for key, tally in self._tallies.items()]
        return sorted(
            found, key=lambda c: (not c.fits, -(c.monthly_usd or 0.0), -c.calls, c.model, c.metadata)
        )

    def _key(self, call: Call) -> GroupKey:
        kind = call.kind
        for name, value in kind.metadata:
            if name in self._wild or (name not in self._values and len(self._values) >= MOST_NAMES):
                continue
            values = self._values.setdefault(name, set())
            values.add(value)
            if len(values) > MOST_VALUES:
                self._wild.add(name)
                self._regroup()
        return self._reduced(
            resolve_model(kind.model_id, self._mapping) or kind.model_id, kind.metadata, kind.system
        )

    def _reduced(self, model: str, metadata: tuple[tuple[str, str], ...], system: str) -> GroupKey:
        kept = tuple(pair for pair in metadata if pair[0] in self._values and pair[0] not in self._wild)
        return (model, kept, "" if kept else system)

    def _regroup(self) -> None:
        before, self._tallies = self._tallies, {}
        for (model, metadata, system), tally in before.items():
            key = self._reduced(model, metadata, system)
            if key in self._tallies:
                self._tallies[key].absorb(tally)
            else:
                self._tallies[key] = tally

    def _candidate(self, key: GroupKey, tally: Tally, prices: PriceTable) -> Candidate:
        model, metadata, system = key
        found = [prices.tokens_usd(model, used) for used in (tally.tokens, tally.learnable_tokens)]
        monthly, learnable = (
            None if usd is None or not self.days else float(usd * DAYS_A_MONTH) / self.days for usd in found
        )
        return Candidate(
            model=model,
            metadata=metadata,
            system_digest=system,
            calls=tally.calls,
            usable=tally.usable,
            distinct_prompts=tally.prompts.count,
            distinct_answers=tally.answers.count,
            tokens=tally.tokens,
            learnable=tally.learnable,
            monthly_usd=monthly,
            learnable_usd=learnable,
            unpriced=prices.unpriced(model, tally.tokens),
            students=students_of(model),
            notes=tuple(_notes(key, tally)),
        )


def _takes_turns(teacher: str) -> bool:
    """Whether a student that this model may teach is taught conversations of several turns."""
    students = students_of(teacher)
    return not students or any(family_of(student).multi_turn for student in students)


def _notes(key: GroupKey, tally: Tally) -> Iterable[str]:
    model, metadata, system = key
    if not students_of(model):
        yield "no student of this teacher is listed"
    if tally.prompts.count < 100:
        yield "fewer than 100 distinct prompts: too few for the service"
    elif tally.prompts.count < LEAST_PROMPTS:
        yield "few distinct prompts: collect for longer"
    if tally.usable and tally.prompts.count < tally.usable / 5:
        yield "prompts repeat a lot: a cache may serve better"
    if tally.answers.count and tally.answers.count <= max(20, tally.usable // 50) and tally.usable > 100:
        yield "few distinct answers: a classification, which students learn well"
    if tally.multi_turn > tally.usable / 10 and not _takes_turns(model):
        yield "conversations of many turns: this family takes single turns only"
    if tally.stored > tally.usable / 10:
        yield "long bodies are stored beside the logs: Bedrock may not read them itself"
    if tally.learnable < tally.usable:
        yield f"{tally.usable - tally.learnable:,} calls are longer than the 16 KB line of a job"
    if tally.usable < tally.calls / 2:
        reason = tally.skipped.most_common(1)[0][0]
        yield f"most calls cannot be learnt from, first of all: {reason}"
    if not metadata:
        yield "no request metadata: tag the calls" if not system else "told apart by the system prompt only"
