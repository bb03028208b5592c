"""The assets of a workload: `distill://fresh-logs/NAME`, `distill://dataset/NAME` and `distill://release/NAME`.

The first is updated by a watcher when a workload has enough fresh prompts in its logs; watchers of one log prefix share one
listing, see `triggers/assets.py`. The others are outlets of the tasks that check a dataset and that promote a model: give
them to the `schedule` of a Dag of your own.
"""

from __future__ import annotations

from airflow.sdk import Asset, AssetWatcher

from airflow_distill.errors import ConfigurationError
from airflow_distill.triggers.assets import FreshLogsTrigger
from airflow_distill.workload.config import Workload
from airflow_distill.workload.tasks import fresh_logs_arguments
from airflow_distill.workload.tasks.records import asset_of


class KeptHashAsset(Asset):
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
    spec = asset_of("fresh-logs", workload.name)
    trigger = FreshLogsTrigger(**fresh_logs_arguments(workload))
    return KeptHashAsset(
        name=spec.name,
        uri=spec.uri,
        group="distill",
        watchers=[AssetWatcher(name=f"fresh_logs_{workload.name}", trigger=trigger)],
    )


def dataset_asset(workload: Workload | str) -> Asset:
    """Return the asset that is updated when a new dataset of the workload was built and checked."""
    return _made("dataset", workload)


def release_asset(workload: Workload | str) -> Asset:
    """Return the asset that is updated when a model of the workload was released: it has passed its bake period."""
    return _made("release", workload)


def _made(kind: str, workload: Workload | str) -> Asset:
    spec = asset_of(kind, workload if isinstance(workload, str) else workload.name)
    return KeptHashAsset(name=spec.name, uri=spec.uri, group="distill")


def retrain_asset(workload: Workload) -> Asset:
    """Return the asset by which the watch starts the workload's loop."""
    return Asset(
        name=f"distill_retrain_{workload.name}", uri=f"distill://retrain/{workload.name}", group="distill"
    )


def successor_asset(workload: Workload) -> Asset:
    """Return the asset by which the end of a student's base model starts the loop onto its successor."""
    return Asset(
        name=f"distill_successor_{workload.name}", uri=f"distill://successor/{workload.name}", group="distill"
    )
