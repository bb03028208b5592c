"""What a run has used, as it happened: one small object for each attempt, job and host, in the run's record.

    <root>/<workload>/spend/runs/<dataset id>/<stage>-<digest of the key>.json

Nothing is counted twice: an attempt writes only the calls that it made itself, under a key of its own, and a job or a host
is written under its ARN, however often it is looked at. Nothing is lost: before calls are made, the object says how many of
them may be on their way (`at_risk`), so what a killed attempt did not live to write is bounded and told.

Pure but for the store that is passed in; no clock, no text of prompts.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from airflow_distill.errors import StateError
from airflow_distill.stages.digest import canonical_json, digest
from airflow_distill.stages.money.prices import UNITS, PriceTable, bill
from airflow_distill.stages.money.records import Bill, Tokens, Usage, as_float, decimal
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore, join_uri

SCHEMA = 1
JOB, CANDIDATE, BATCH, EVALUATION, JUDGE, SHADOW, RELEASE = (
    "job",
    "candidate host",
    "batch",
    "evaluation",
    "judge",
    "shadow",
    "release",
)
STAGES = (JOB, CANDIDATE, BATCH, EVALUATION, JUDGE, SHADOW, RELEASE)
"""The parts of a run that cost money, in the order of the loop."""

CALLS_AT_ONCE = 50
"""So many calls may be on their way before the record is written again."""


@dataclass(frozen=True, slots=True)
class Metered:
    """What one attempt, job or host of a run has used.

    :param key: what it is, so that it is never counted twice: an attempt's own id, or an ARN.
    :param what: whom it asked or what it is, such as `student` or a job's name.
    :param model: the model the tokens are billed as.
    :param kind: how tokens are billed: `inference`, `deployment` or `batch`; empty where the hour is paid instead.
    :param more: what else is billed: training tokens, hours, storage.
    :param at_risk: the most that calls on their way may use; nothing once the attempt ended.
    :param how: `counted` where the service told the numbers, `derived` where they follow from what it told.
    """

    stage: str
    key: str
    what: str = ""
    model: str = ""
    kind: str = ""
    calls: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    more: tuple[Usage, ...] = ()
    at_risk: Tokens = field(default_factory=Tokens)
    how: str = "counted"
    run: str = ""
    at: str = ""

    def used(self) -> list[Usage]:
        """Return what is billed for what is known to be used."""
        return [*self._priced(self.tokens), *self.more]

    def risked(self) -> list[Usage]:
        """Return what may be billed beside it."""
        return self._priced(self.at_risk)

    def _priced(self, tokens: Tokens) -> list[Usage]:
        if not self.kind:
            return []
        return [
            Usage(self.stage, f"{self.kind}-{item}", self.model, quantity)
            for item, quantity in tokens.by_item()
            if quantity
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "v": SCHEMA,
            "kind": "metered",
            "stage": self.stage,
            "key": self.key,
            "what": self.what,
            "model": self.model,
            "billed_as": self.kind,
            "calls": self.calls,
            "tokens": self.tokens.to_json(),
            "more": [
                {
                    "item": usage.item,
                    "model": usage.model,
                    "quantity": None if usage.quantity is None else float(usage.quantity),
                    "usd_each": None if usage.usd_each is None else str(usage.usd_each),
                }
                for usage in self.more
            ],
            "at_risk": self.at_risk.to_json(),
            "how": self.how,
            "run": self.run,
            "at": self.at,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Metered:
        stage = str(data["stage"])
        if data.get("kind") != "metered" or stage not in STAGES:
            raise ValueError("not a record of usage")
        return cls(
            stage=stage,
            key=str(data["key"]),
            what=str(data.get("what") or ""),
            model=str(data.get("model") or ""),
            kind=str(data.get("billed_as") or ""),
            calls=int(data.get("calls") or 0),
            tokens=Tokens.from_json(data.get("tokens") or {}),
            more=tuple(_usage(stage, each) for each in data.get("more") or ()),
            at_risk=Tokens.from_json(data.get("at_risk") or {}),
            how=str(data.get("how") or "counted"),
            run=str(data.get("run") or ""),
            at=str(data.get("at") or ""),
        )


def _usage(stage: str, data: Mapping[str, Any]) -> Usage:
    item, each, quantity = str(data["item"]), data.get("usd_each"), data.get("quantity")
    if item not in UNITS:
        raise ValueError(f"no item {item}")
    return Usage(
        stage,
        item,
        str(data["model"]),
        None if quantity is None else float(quantity),
        None if each is None else Decimal(str(each)),
    )


class RunUsage:
    """The record of one run: what the dataset's job, hosts and calls have used.

    :param root: the workloads' common root, `s3://bucket/prefix` or a folder.
    """

    def __init__(self, store: ObjectStore, root: str, workload: str, dataset_id: str) -> None:
        self._store = store
        self.prefix = join_uri(root, workload, "spend", "runs", dataset_id) + "/"

    def write(self, record: Metered) -> None:
        """Write or renew one record."""
        name = f"{record.stage.replace(' ', '-')}-{digest(record.key, 24)}.json"
        self._store.write(self.prefix + name, canonical_json(record.to_json()))

    def keep_estimate(self, likely: Bill, most: Bill) -> None:
        """Keep what the run was thought to cost, for comparison with what it came to."""
        told = {
            "v": SCHEMA,
            "kind": "estimate",
            "stages": {
                stage: {
                    "usd": as_float(likely.only(stage).total_usd),
                    "most_usd": as_float(most.only(stage).total_usd),
                }
                for stage in STAGES
                if most.only(stage).lines or likely.only(stage).lines
            },
        }
        self._store.write(self._estimate, canonical_json(told))

    @property
    def _estimate(self) -> str:
        return self.prefix.rstrip("/") + "/estimate.json"

    def estimate(self) -> dict[str, dict[str, float | None]]:
        """Return stage -> `usd` and `most_usd` as estimated; empty when nobody has estimated it."""
        try:
            data = json.loads(self._store.read(self._estimate))
            return {str(stage): dict(row) for stage, row in data["stages"].items()}
        except ObjectMissingError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError(
                f"money: {self._estimate} cannot be read ({type(error).__name__}).",
                hint="Delete it; the next check of the budget writes it again.",
            ) from error

    def read(self) -> list[Metered]:
        """Return every record, by stage and key.

        :raises StateError: one cannot be read; it is never taken for "nothing used".
        """
        found = []
        for item in self._store.iter_objects(self.prefix):
            if item.uri == self._estimate:
                continue
            try:
                found.append(Metered.from_json(json.loads(self._store.read(item.uri))))
            except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
                raise StateError(
                    f"money: {item.uri} cannot be read ({type(error).__name__}).",
                    hint="Restore it from the bucket's versions; without it, what the run has used is not known.",
                ) from error
        return sorted(found, key=lambda each: (STAGES.index(each.stage), each.key))


class CallMeter:
    """Counts the calls of one attempt as they are made, and writes them into the run's record.

    :param begun: the record before the first call; its key must be this attempt's own.
    :param most_each: the most that one call can use.
    """

    def __init__(
        self, usage: RunUsage, begun: Metered, most_each: Tokens, *, at_once: int = CALLS_AT_ONCE
    ) -> None:
        self._usage = usage
        self._record = begun
        self._most_each = most_each
        self._at_once = at_once
        self._left = 0
        self._in_flight = 0
        self._lock = threading.Lock()

    def ask(self) -> None:
        """Be told that a call is about to be made."""
        with self._lock:
            if self._left == 0:
                risk = self._most_each.times(self._at_once + self._in_flight)
                self._record = replace(self._record, at_risk=risk)
                self._usage.write(self._record)
                self._left = self._at_once
            self._left -= 1
            self._in_flight += 1

    def answered(self, tokens: Tokens | None) -> None:
        """Be told what a call has used; None for one that was refused and costs nothing."""
        with self._lock:
            self._in_flight -= 1
            if tokens is not None:
                self._record = replace(
                    self._record, calls=self._record.calls + 1, tokens=self._record.tokens + tokens
                )

    def close(self) -> Metered:
        """Write what was counted; calls that never came back stay at risk."""
        with self._lock:
            lost = self._most_each.times(self._in_flight)
            self._record = replace(self._record, at_risk=lost)
            if self._record.calls or self._in_flight or self._left:
                self._usage.write(self._record)
            return self._record


def actual(table: PriceTable, records: Iterable[Metered], region: str = "") -> Bill:
    """Return what records of usage cost."""
    return bill(table, [usage for record in records for usage in record.used()], region)


def at_risk(table: PriceTable, records: Iterable[Metered], region: str = "") -> Bill:
    """Return the most that calls on their way may cost beside it."""
    return bill(table, [usage for record in records for usage in record.risked()], region)


def hours_between(begin: float, end: float) -> Decimal:
    """Return the hours from one second to another, as the service bills them: to the second."""
    return decimal(max(0.0, end - begin)) / 3600
