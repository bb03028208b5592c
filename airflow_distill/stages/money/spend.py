"""What a workload's runs may spend in a month: numbered entries in the bucket, each created once.

    <root>/<workload>/spend/202611/000003.json      a claim: dataset, the most each stage may come to, the caps it met
    <root>/<workload>/spend/202611/000004.json      a settlement: what a stage of a dataset came to in the end

Two runs cannot take one number, because the write is refused when the object is there. Whether a claim stands is never
stored: the entries are read in order, and a claim stands if with those before it the month and the run keep to the caps
that it names. So of two runs at once that do not both fit, every reader sees the same one refused, and what follows later
(a settlement, a higher cap) never lets an old refusal pass. No clock: the month is passed in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from airflow_distill.errors import StateError
from airflow_distill.stages.money.records import decimal
from airflow_distill.stages.storage import ObjectExistsError, ObjectStore, join_uri

_CLAIM = re.compile(r"/(\d{6})\.json$")
WHOLE = "run"
"""The stage of a claim that names none."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one run asked to spend on a dataset, or what a stage of it came to.

    :param usd: the sum of the parts.
    :param cap: what the month's claims may come to, this one included; None for no cap.
    :param parts: stage -> the most that the stage may come to, what it has used so far included.
    :param run_cap: what all stages of the dataset may come to together; None for no cap.
    :param before: what claims of earlier months hold for the same dataset, which `run_cap` meets too.
    :param settles: the parts replace what was claimed, because they are what the stage came to.
    """

    dataset_id: str
    usd: float
    cap: float | None = None
    number: int = 0
    parts: Mapping[str, float] = field(default_factory=dict)
    run_cap: float | None = None
    before: float = 0.0
    settles: bool = False

    @property
    def by_stage(self) -> dict[str, Decimal]:
        """The parts, exact; a claim without parts is for the whole run."""
        return {stage: decimal(usd) for stage, usd in (self.parts or {WHOLE: self.usd}).items()}


Held = dict[str, dict[str, Decimal]]
"""Dataset -> stage -> dollars that are held for it."""


@dataclass(frozen=True, slots=True)
class Book:
    """A month's entries, read in order: which claims stand, and what is held for each dataset by stage."""

    stands: tuple[Claim, ...]
    held: Held
    settled: frozenset[tuple[str, str]]

    @property
    def usd(self) -> Decimal:
        """What the month's claims come to."""
        return sum((self.usd_of(dataset_id) for dataset_id in self.held), Decimal(0))

    def usd_of(self, dataset_id: str) -> Decimal:
        """What is held for one dataset."""
        return sum(self.held.get(dataset_id, {}).values(), Decimal(0))

    def covers(self, dataset_id: str, parts: Mapping[str, Decimal]) -> bool:
        """Say whether enough is held for these stages already."""
        held = self.held.get(dataset_id, {})
        return all(stage in held and held[stage] >= usd for stage, usd in parts.items())


def book_of(claims: Iterable[Claim]) -> Book:
    """Read entries in the order of their numbers."""
    held: Held = {}
    stands: list[Claim] = []
    settled: set[tuple[str, str]] = set()
    total = Decimal(0)
    for claim in sorted(claims, key=lambda each: each.number):
        now = held.get(claim.dataset_id, {})
        parts = claim.by_stage
        if claim.settles:
            then = {**now, **{stage: usd for stage, usd in parts.items() if stage in now}}
            settled |= {(claim.dataset_id, stage) for stage in parts if stage in now}
        else:
            if now and all(stage in now and now[stage] >= usd for stage, usd in parts.items()):
                continue
            then = {**now, **{stage: max(usd, now.get(stage, Decimal(0))) for stage, usd in parts.items()}}
        grown = sum(then.values(), Decimal(0)) - sum(now.values(), Decimal(0))
        if not claim.settles:
            run = decimal(claim.before) + sum(then.values(), Decimal(0))
            if claim.cap is not None and total + grown > decimal(claim.cap):
                continue
            if claim.run_cap is not None and run > decimal(claim.run_cap):
                continue
            stands.append(claim)
            settled -= {(claim.dataset_id, stage) for stage in parts}
        held[claim.dataset_id] = then
        total += grown
    return Book(tuple(stands), held, frozenset(settled))


def standing(claims: Iterable[Claim]) -> list[Claim]:
    """Return the claims that stand, in order; what is held for a dataset already is not counted again."""
    return list(book_of(claims).stands)


def total(claims: Iterable[Claim]) -> float:
    """Return the dollars that claims hold."""
    return float(book_of(claims).usd)


class Spend:
    """The claims of one workload in one calendar month.

    :param root: the workloads' common root, `s3://bucket/prefix` or a folder.
    :param month: the UTC month in which the money is spent, such as `202611`.
    """

    def __init__(self, store: ObjectStore, root: str, workload: str, month: str) -> None:
        self._store = store
        self.prefix = join_uri(root, workload, "spend", month) + "/"

    def read(self) -> list[Claim]:
        """Return all entries, also claims that do not stand.

        :raises StateError: a claim cannot be read; it is never taken for "none".
        """
        found = [item.uri for item in self._store.iter_objects(self.prefix)]
        return [self._claim(uri, int(match[1])) for uri in found if (match := _CLAIM.search(uri))]

    def book(self) -> Book:
        """Return the month's book."""
        return book_of(self.read())

    def claim(
        self,
        dataset_id: str,
        usd: float,
        cap: float | None,
        *,
        parts: Mapping[str, float] | None = None,
        run_cap: float | None = None,
        before: float = 0.0,
    ) -> tuple[bool, float]:
        """Claim money for a dataset; return whether the claim stands, and what the month's other datasets come to.

        A dataset for which enough is held already needs no other.
        """
        wanted = Claim(dataset_id, usd, cap, 0, dict(parts or {}), run_cap, before)
        claims = self.read()
        book = book_of(claims)
        if not book.covers(dataset_id, wanted.by_stage):
            number = self._write(wanted, claims)
            book = book_of(each for each in self.read() if each.number <= number)
        stands = book.covers(dataset_id, wanted.by_stage)
        return stands, float(book.usd - book.usd_of(dataset_id))

    def settle(self, dataset_id: str, stage: str, usd: float) -> bool:
        """Replace what is held for a stage by what it came to; return whether anything was held for it."""
        claims = self.read()
        held = book_of(claims).held.get(dataset_id, {})
        if stage not in held:
            return False
        if held[stage] != decimal(usd):
            self._write(Claim(dataset_id, usd, parts={stage: usd}, settles=True), claims)
        return True

    def _write(self, claim: Claim, seen: Iterable[Claim]) -> int:
        """Write an entry under the first free number; return it."""
        number = 1 + max((each.number for each in seen), default=0)
        while True:
            body = json.dumps(_told(replace(claim, number=number)), indent=1)
            try:
                self._store.write(f"{self.prefix}{number:06d}.json", body.encode(), if_absent=True)
            except ObjectExistsError:
                number += 1
            else:
                return number

    def _claim(self, uri: str, number: int) -> Claim:
        raw = self._store.read(uri)
        try:
            body: dict[str, Any] = json.loads(raw)
            cap, run_cap = body["cap"], body.get("run_cap")
            return Claim(
                str(body["dataset_id"]),
                float(body["usd"]),
                None if cap is None else float(cap),
                number,
                {str(stage): float(usd) for stage, usd in (body.get("parts") or {}).items()},
                None if run_cap is None else float(run_cap),
                float(body.get("before") or 0),
                bool(body.get("settles")),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError(
                f"workload: {uri} cannot be read ({type(error).__name__}).",
                hint="Restore it from the bucket's versions, or delete it if its run bought nothing.",
            ) from error


def _told(claim: Claim) -> dict[str, Any]:
    return {
        "v": 1,
        "dataset_id": claim.dataset_id,
        "usd": claim.usd,
        "cap": claim.cap,
        "number": claim.number,
        "parts": dict(claim.parts),
        "run_cap": claim.run_cap,
        "before": claim.before,
        "settles": claim.settles,
    }
