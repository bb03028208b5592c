"""Assets that stand for "a workload has enough fresh prompts in its logs"; each has a watcher.

Watchers of one log prefix share one listing, see `triggers/assets.py`.
"""

from __future__ import annotations

from airflow.sdk import Asset, AssetWatcher

from airflow_distill.errors import ConfigurationError
from airflow_distill.triggers.assets import FreshLogsTrigger
from airflow_distill.workload.config import Workload

LOOKBACK_HOURS = 48


def fresh_logs_asset(workload: Workload) -> Asset:
    """Return the asset that is updated when the workload's threshold of new usable prompts is reached."""
    logs, schedule = workload.logs, workload.schedule
    if logs is None or schedule.fresh_prompts is None:
        raise ConfigurationError(
            f"pipelines: {workload.name} names no logs or no threshold.",
            hint="Give logs.location and schedule.fresh_prompts.",
        )
    trigger = FreshLogsTrigger(
        location=logs.location,
        workload=workload.name,
        threshold=schedule.fresh_prompts,
        model=workload.teacher,
        metadata=logs.metadata.as_request() if logs.metadata else None,
        operations=list(logs.operations),
        identity=logs.identity or "",
        system_digest=logs.system_digest or "",
        mapping=dict(logs.models),
        check_every=schedule.check_every.total_seconds(),
        lookback_hours=LOOKBACK_HOURS,
        aws_conn_id=workload.aws_conn_id,
        region_name=workload.region_name,
    )
    return Asset(
        name=f"distill_fresh_logs_{workload.name}",
        uri=f"distill://fresh-logs/{workload.name}",
        group="distill",
        watchers=[AssetWatcher(name=f"fresh_logs_{workload.name}", trigger=trigger)],
    )
