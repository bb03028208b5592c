"""What a student is worth: its saving over the traffic of the last windows, and how long its base model lives."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.errors import DistillError
from airflow_distill.remote.hosts import base_of_arn
from airflow_distill.stages.dataset.records import DatasetManifest
from airflow_distill.stages.deployment.ledger import Ledger
from airflow_distill.stages.evaluation.report_costs import Forecast
from airflow_distill.stages.jobs.models import base_model_id
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.money.runs import statement_of
from airflow_distill.stages.money.savings import (
    CallMoments,
    Host,
    forecast,
    life_days,
    payback,
    usable_calls,
)
from airflow_distill.stages.storage import ObjectStore, join_uri

WINDOWS = 6
"""So many of the newest windows say how days differ."""
LEAST_WINDOWS = 4
"""A decision rests on the logs' own traffic from so many windows on; before, it is told and holds nothing."""


def savings_of(
    gateways: AwsGateways,
    store: ObjectStore,
    root: str,
    workload: str,
    manifest: DatasetManifest,
    table: PriceTable,
    given: Forecast,
    *,
    now: datetime,
) -> dict[str, Any]:
    """Return `savings`, `payback`, `calls_a_day` and `holds` as plain data; what is unknown says how to know it.

    `holds` says whether a decision may rest on it: the traffic was stated, or enough windows show it.
    """
    region = gateways.bedrock.region
    host = Host(given.host_kind, manifest.student, given.model_units, given.hourly_price)
    moments = moments_of(manifest)
    stated = _stated(given, moments)
    calls = stated or calls_a_day(store, root, workload, manifest)
    found = forecast(
        table,
        moments,
        calls,
        teacher=manifest.teacher,
        student=manifest.student,
        host=host,
        region=region,
        incumbent=incumbent_of(store, root, workload),
    )
    run = statement_of(store, root, workload, manifest.dataset_id, table, now=now, region=region)
    spent = run.actual_usd if run.actual_usd else run.estimate_usd
    back = payback(
        None if spent is None else float(spent),
        found[0],
        life_days(end_of_life(gateways, manifest.student), f"{now:%Y-%m-%d}"),
    )
    return {
        "savings": [each.to_json() for each in found],
        "payback": back.to_json(),
        "calls_a_day": calls[-1] if calls else None,
        "holds": bool(stated) or len(calls) >= LEAST_WINDOWS,
    }


def incumbent_of(store: ObjectStore, root: str, workload: str) -> Host | None:
    """Return how the live model is served; None when nothing is live, or its ledger cannot be read."""
    try:
        live = Ledger(store, root, workload).read().live()
    except DistillError:
        return None  # `verify` names what is wrong with it
    if live is None:
        return None
    spec, base = live.target.host, base_of_arn(live.target.model_arn)
    return Host(live.host_kind, base, spec.units or 1, spec.hourly_price, spec.commitment)


def _stated(given: Forecast, moments: CallMoments | None) -> list[float]:
    """Return the calls a day that a stated traffic amounts to, at the mean tokens of a logged call; none when unstated."""
    mean = sum(moments.sums) / moments.n if moments is not None else 0.0
    return [given.traffic.tokens_per_day / mean] if given.traffic is not None and mean > 0 else []


def moments_of(manifest: DatasetManifest) -> CallMoments | None:
    """Return how many tokens the calls of a dataset's window used; None for a dataset made before they were kept."""
    return CallMoments.from_json((manifest.profile.get("train") or {}).get("usage"))


def calls_a_day(store: ObjectStore, root: str, workload: str, manifest: DatasetManifest) -> list[float]:
    """Return the usable calls a day of the newest windows, this one last."""
    own = usable_calls(manifest.to_json())
    if own is None:
        return []
    prefix = join_uri(root, workload, "datasets") + "/"
    uris = [item.uri for item in store.iter_objects(prefix) if item.uri.endswith("/manifest.json")]
    seen: dict[str, float] = {}
    for uri in uris:
        try:
            other = json.loads(store.read(uri))
            window = str(other["window"])
            calls = usable_calls(other)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # a damaged one is named by `verify`; it tells nothing of the traffic
        if calls is not None and other.get("teacher") == manifest.teacher:
            seen[window] = calls
    mine = str([manifest.window_start, manifest.window_end])
    earlier = [calls for window, calls in sorted(seen.items()) if window < mine]
    return [*earlier[-(WINDOWS - 1) :], own]


def end_of_life(gateways: AwsGateways, model: str) -> str | None:
    """Return when a base model ends, ISO 8601; None when no end is announced or it cannot be asked."""
    try:
        found = gateways.bedrock.get_foundation_model(base_model_id(model))
    except DistillError:
        return None
    moment = (found.get("modelLifecycle") or {}).get("endOfLifeTime")
    return moment.isoformat() if isinstance(moment, datetime) else str(moment) if moment else None
