"""Assets that stand for "a workload has enough fresh prompts in its logs"; each has a watcher.

Watchers of one log prefix share one listing, see `triggers/assets.py`.
"""

from __future__ import annotations

from airflow.sdk import Asset, AssetWatcher

from airflow_distill.errors import ConfigurationError
from airflow_distill.triggers.assets import FreshLogsTrigger
from airflow_distill.workload.config import Workload
from airflow_distill.workload.tasks import fresh_logs_arguments


class _FreshLogs(Asset):
    """An asset that works its hash out once. Airflow asks for it at every arrow of a Dag that it schedules, which made up a
    fifth of parsing a workload."""

    _known_hash: int | None = None

    def __hash__(self) -> int:
        if self._known_hash is None:
            self._known_hash = super().__hash__()  # type: ignore[no-untyped-call]
        return self._known_hash


def fresh_logs_asset(workload: Workload) -> Asset:
    """Return the asset that is updated when the workload's threshold of new usable prompts is reached."""
    if workload.logs is None or workload.schedule.fresh_prompts is None:
        raise ConfigurationError(
            f"pipelines: {workload.name} names no logs or no threshold.",
            hint="Give logs.location and schedule.fresh_prompts.",
        )
    trigger = FreshLogsTrigger(**fresh_logs_arguments(workload))
    return _FreshLogs(
        name=f"distill_fresh_logs_{workload.name}",
        uri=f"distill://fresh-logs/{workload.name}",
        group="distill",
        watchers=[AssetWatcher(name=f"fresh_logs_{workload.name}", trigger=trigger)],
    )
