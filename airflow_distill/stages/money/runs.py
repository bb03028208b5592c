"""A run's money as the bucket tells it: estimate, usage and claims of a dataset, and what runs of a workload leave open.

Reads only, through the store that is passed in; no clock, the time is passed in.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from airflow_distill.stages.money.exposure import Billing
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.money.spend import Book, Spend
from airflow_distill.stages.money.statement import Statement, statement
from airflow_distill.stages.money.usage import RunUsage
from airflow_distill.stages.storage import ObjectStore, join_uri

MONTHS = 2
"""A run may begin in one month and end in the next: so many books are looked at."""


def books(store: ObjectStore, root: str, workload: str, now: datetime) -> list[Book]:
    """Return the books of this month and the one before."""
    months = [now]
    for _ in range(MONTHS - 1):
        months.append(months[-1].replace(day=1) - timedelta(days=1))
    return [Spend(store, root, workload, f"{month:%Y%m}").book() for month in months]


def statement_of(
    store: ObjectStore,
    root: str,
    workload: str,
    dataset_id: str,
    table: PriceTable,
    *,
    now: datetime,
    region: str = "",
) -> Statement:
    """Return what the run of a dataset cost, and what is open."""
    return _told(
        RunUsage(store, root, workload, dataset_id),
        books(store, root, workload, now),
        dataset_id,
        table,
        region,
    )


def _told(usage: RunUsage, found: list[Book], dataset_id: str, table: PriceTable, region: str) -> Statement:
    held: dict[str, Decimal] = {}
    settled: set[str] = set()
    for book in found:
        for key, usd in book.held.get(dataset_id, {}).items():
            held[key] = held.get(key, Decimal(0)) + usd
            if (dataset_id, key) in book.settled:
                settled.add(key)
    return statement(
        table, usage.read(), estimate=usage.estimate(), held=held, settled=settled, region=region
    )


def iter_runs(store: ObjectStore, root: str, workload: str) -> Iterator[str]:
    """Yield the dataset ids of which something was used or estimated."""
    prefix = join_uri(root, workload, "spend", "runs") + "/"
    seen: set[str] = set()
    for item in store.iter_objects(prefix):
        name = item.uri[len(prefix) :].split("/", 1)[0]
        if name and name not in seen:
            seen.add(name)
            yield name


def open_steps(
    store: ObjectStore, root: str, workload: str, table: PriceTable, *, now: datetime, region: str = ""
) -> list[Billing]:
    """Return what claims of this month and the last may still come to, one line for each dataset and stage."""
    found = books(store, root, workload, now)
    rows = [
        (dataset_id, row)
        for dataset_id in dict.fromkeys(each for book in found for each in book.held)
        for row in _told(RunUsage(store, root, workload, dataset_id), found, dataset_id, table, region).rows
    ]
    return [
        Billing(
            kind="claimed step",
            name=f"{row.stage} of {dataset_id}",
            arn="",
            usd_a_day=Decimal(0),
            once_usd=row.open_usd,
            is_once=True,
            status="claimed",
        )
        for dataset_id, row in rows
        if row.open_usd is None or row.open_usd > 0
    ]
