"""The price table in force: what a workload states, over the user's table, over the packaged one. The one loader of all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_distill.aws.gateways import AwsGateways, store_for
from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.storage import LocalStore, ObjectMissingError, ObjectStore


def read_prices(
    gateways: AwsGateways | None,
    given: str | Mapping[str, Any] | None = None,
    *,
    student: str = "",
    stated: Mapping[str, Any] | None = None,
) -> PriceTable:
    """Return the table that every amount of a run is worked out with.

    :param gateways: needed for a table in S3 only; None asks the SDK's own credential chain.
    :param given: the user's table: a path, an `s3://` URI, or its content.
    :param student: the model whose prices the workload states.
    :param stated: price item -> USD in the item's unit (`stages/money/prices.UNITS`).
    :raises ConfigurationError: the table is missing, not JSON, or has a row that makes no sense.
    """
    table = PriceTable.load()
    if given:
        table = PriceTable.from_json(given if isinstance(given, Mapping) else _content(gateways, given)).over(
            table
        )
    return table.stated(student, stated) if student and stated else table


def _content(gateways: AwsGateways | None, uri: str) -> Mapping[str, Any]:
    from airflow_distill.aws.gateways import gateways_from_session

    if uri.startswith("s3://"):
        store: ObjectStore = store_for(gateways or gateways_from_session(), uri)
    else:
        store, uri = LocalStore(), str(Path(uri).expanduser())
    return read_table(store, uri)


def read_table(store: ObjectStore, uri: str) -> Mapping[str, Any]:
    """Return the content of a table's file.

    :raises ConfigurationError: it is missing, or no JSON object.
    """
    hint = (
        "Give its path or s3:// URI; `airflow-distill prices show --json` prints a table of the right form."
    )
    try:
        data = json.loads(store.read(uri))
    except (ObjectMissingError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"prices: there is no price table at {uri} ({type(error).__name__}).", hint=hint
        ) from error
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"prices: {uri} is not a price table.", hint=hint)
    return data
