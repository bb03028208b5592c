"""A thousand random histories of runs with faults: nothing is billed that was not shown as open, and no cap is crossed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_distill.errors import BudgetError
from airflow_distill.operators.spending import PaidStep
from airflow_distill.stages.money.prices import Price, PriceTable, bill
from airflow_distill.stages.money.records import Tokens, Usage
from airflow_distill.stages.money.runs import statement_of
from airflow_distill.stages.money.spend import Spend
from airflow_distill.stages.money.usage import CANDIDATE, EVALUATION, JOB, JUDGE, RELEASE
from airflow_distill.stages.storage import MemoryStore

pytestmark = pytest.mark.airflow

ROOT, BASE = "s3://bucket/loop", "acme.student-v1:0"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
ITEMS = {
    "inference-input": ("1000 tokens", "0.4"),
    "inference-output": ("1000 tokens", "2"),
    "training": ("1000 tokens", "3"),
    "provisioned-throughput": ("model-unit-hour", "7"),
}
TABLE = PriceTable(
    tuple(
        Price(item, BASE, unit, Decimal(usd), "made up", "2026-11-01", "stated")
        for item, (unit, usd) in ITEMS.items()
    )
)
MOST = Tokens(1_000, 100)


class Killed(Exception):
    """The process of a task is gone, between any two of its steps."""


@dataclass
class Account:
    """What the service bills, whatever our records say."""

    rng: random.Random
    store: MemoryStore = field(default_factory=MemoryStore)
    billed: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    jobs: dict[str, Decimal] = field(default_factory=dict)
    hosts: dict[str, Decimal] = field(default_factory=dict)
    claims: dict[tuple[str, str], int] = field(default_factory=dict)
    shown: list[tuple[tuple[str, str], int, Decimal]] = field(default_factory=list)

    def charge(self, dataset_id: str, stage: str, usages: list[Usage]) -> Decimal:
        usd = bill(TABLE, usages).total_usd
        assert usd is not None
        key = (dataset_id, stage)
        self.billed[key] = self.billed.get(key, Decimal(0)) + usd
        self.hold_against_what_was_shown(key)
        return usd

    def hold_against_what_was_shown(self, key: tuple[str, str]) -> None:
        for shown_key, claims, most in self.shown:
            if shown_key == key and claims == self.claims.get(key, 0):
                assert self.billed[key] <= most, f"{key}: billed {self.billed[key]}, shown {most}"

    def show(self, dataset_id: str) -> None:
        """Print the statement, and remember it: until the next claim, no more may be billed."""
        told = statement_of(self.store, ROOT, "w", dataset_id, TABLE, now=NOW)
        for row in told.rows:
            key = (dataset_id, row.stage)
            assert row.open_usd is not None
            most = (row.actual_usd or Decimal(0)) + row.open_usd
            assert self.billed.get(key, Decimal(0)) <= most, (
                f"{key}: billed {self.billed.get(key)}, shown {most}"
            )
            self.shown.append((key, self.claims.get(key, 0), most))

    def maybe_die(self, chance: float) -> None:
        if self.rng.random() < chance:
            raise Killed


def step(account: Account, run: str, dataset_id: str, stage: str, caps: dict[str, float]) -> PaidStep:
    gateways: Any = SimpleNamespace(objects=account.store, bedrock=SimpleNamespace(region=""))
    context = {"ti": SimpleNamespace(dag_id="d", run_id=run)}
    shared = stage == JOB
    return PaidStep(
        gateways, context, "w", ROOT, dataset_id, stage, TABLE, caps, shared=shared, clock=lambda: NOW
    )


def claim(account: Account, paid: PaidStep, usages: list[Usage], caps: dict[str, float]) -> None:
    paid.claim(usages)
    key = (paid.dataset_id, paid.stage)
    account.claims[key] = account.claims.get(key, 0) + 1
    book = Spend(account.store, ROOT, "w", "202611").book()
    assert float(book.usd) <= caps["usd_per_month"] + 1e-9
    assert float(book.usd_of(paid.dataset_id)) <= caps["usd_per_run"] + 1e-9


def buy_job(account: Account, run: str, dataset_id: str, caps: dict[str, float]) -> Iterator[None]:
    paid = step(account, run, dataset_id, JOB, caps)
    pairs = account.rng.randint(100, 1_000)
    if dataset_id not in account.jobs:
        claim(account, paid, [Usage(JOB, "training", BASE, 1_000_000)], caps)
        yield
        account.maybe_die(0.2)
        if dataset_id in account.jobs:
            return  # the other run was faster; names are the same, so it is adopted
        account.jobs[dataset_id] = account.charge(
            dataset_id, JOB, [Usage(JOB, "training", BASE, 900 * pairs)]
        )
    yield
    account.maybe_die(0.2)
    used = account.jobs[dataset_id] / Decimal("0.003")
    paid.note(f"arn:job/{dataset_id}", more=(Usage(JOB, "training", BASE, used),), how="derived")
    account.maybe_die(0.2)
    paid.settle()
    yield


def use_host(account: Account, run: str, dataset_id: str, caps: dict[str, float]) -> Iterator[None]:
    paid = step(account, run, dataset_id, CANDIDATE, caps)
    name = f"{dataset_id}-{run}"
    if name not in account.hosts:
        claim(account, paid, [Usage(CANDIDATE, "provisioned-throughput", BASE, 6)], caps)
        yield
        account.maybe_die(0.2)
        hours = Decimal(account.rng.randint(1, 60)) / 10
        account.hosts[name] = hours
        account.charge(dataset_id, CANDIDATE, [Usage(CANDIDATE, "provisioned-throughput", BASE, hours)])
    yield
    account.maybe_die(0.2)
    paid.note(f"arn:{name}", more=(Usage(CANDIDATE, "provisioned-throughput", BASE, account.hosts[name]),))
    account.maybe_die(0.1)
    paid.settle()
    yield


def ask(account: Account, run: str, dataset_id: str, stage: str, caps: dict[str, float]) -> Iterator[None]:
    paid = step(account, run, dataset_id, stage, caps)
    left = account.rng.randint(1, 30)
    most = MOST.times(left)
    usages = [
        Usage(stage, "inference-input", BASE, most.input),
        Usage(stage, "inference-output", BASE, most.output),
    ]
    claim(account, paid, usages, caps)
    yield
    meter = paid.meter("student", BASE, "inference", MOST)
    meter._at_once = account.rng.randint(1, 5)
    try:
        for _ in range(left):
            account.maybe_die(0.02)
            meter.ask()
            used = Tokens(account.rng.randint(1, 1_000), account.rng.randint(1, 100))
            if account.rng.random() < 0.1:
                meter.answered(None)  # throttled: nothing is billed
                continue
            account.charge(
                dataset_id,
                stage,
                [
                    Usage(stage, "inference-input", BASE, used.input),
                    Usage(stage, "inference-output", BASE, used.output),
                ],
            )
            account.maybe_die(0.03)  # billed, and never heard of
            meter.answered(used)
            yield
    except Killed:
        if account.rng.random() < 0.5:
            meter.close()  # an error that was caught; else the process is gone as it stands
        raise
    meter.close()
    account.maybe_die(0.1)
    paid.settle()
    yield


def whole_run(account: Account, run: str, dataset_id: str, caps: dict[str, float]) -> Iterator[None]:
    """Every step, each tried up to three times."""
    steps = [
        lambda: buy_job(account, run, dataset_id, caps),
        lambda: use_host(account, run, dataset_id, caps),
        lambda: ask(account, run, dataset_id, EVALUATION, caps),
        lambda: ask(account, run, dataset_id, JUDGE, caps),
        lambda: ask(account, run, dataset_id, RELEASE, caps),
    ]
    for begin in steps:
        for _ in range(3):
            try:
                yield from begin()
            except Killed:
                yield
            except BudgetError:
                return
            else:
                break
        else:
            return


@pytest.mark.parametrize("block", range(10))
def test_in_a_thousand_histories_no_more_is_billed_than_was_shown_and_no_cap_is_crossed(block: int) -> None:
    refused = 0
    for seed in range(100 * block, 100 * block + 100):
        rng = random.Random(seed)
        account = Account(rng)
        caps = {"usd_per_run": rng.uniform(1, 6_000), "usd_per_month": rng.uniform(1, 9_000)}
        names = ["d1", rng.choice(["d1", "d2"])]
        runs = [whole_run(account, f"r{n}", name, caps) for n, name in enumerate(names)]
        while runs:
            chosen = rng.choice(runs)
            try:
                next(chosen)
            except StopIteration:
                runs.remove(chosen)
            if rng.random() < 0.3:
                account.show(rng.choice(names))
        for name in set(names):
            account.show(name)
            spent = sum(usd for (dataset_id, _), usd in account.billed.items() if dataset_id == name)
            assert float(spent) <= caps["usd_per_run"] + 1e-9, seed
            refused += float(spent) == 0
        assert float(sum(account.billed.values(), Decimal(0))) <= caps["usd_per_month"] + 1e-9, seed
    assert refused, "some histories must meet a cap"
