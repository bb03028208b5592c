"""Retention as a task: windows, datasets, answers and reports that were kept long enough are deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_distill.aws.gateways import store_for
from airflow_distill.errors import ConfigurationError
from airflow_distill.operators.base import DistillOperator, wall_clock
from airflow_distill.stages.storage import join_uri


class ApplyRetentionOperator(DistillOperator):
    """Deletes what of a workload's folder was kept long enough; returns a `retention` receipt with counts by kind.

    What the live release and an open one rest on stays, and so do manifests, scorecards, decisions, the ledger and the
    fingerprints. Killed, it goes on at the next run.

    :param workload: the workload's name (templated).
    :param root: where the workload's objects live (templated).
    :param keep: kind (`windows`, `datasets`, `answers`, `reports`) -> how long it is kept after it was written; a kind that
        is left out is kept for ever.
    """

    template_fields: Sequence[str] = aws_template_fields("workload", "root")
    ui_color = "#f3e5f5"

    def __init__(self, *, workload: str, root: str, keep: Mapping[str, timedelta], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.keep = keep

    def work(self, context: Any) -> dict[str, Any]:
        """List, choose, delete, tell."""
        from airflow_distill.stages.deployment.ledger import Ledger
        from airflow_distill.stages.retention import KINDS, Needed, expired

        unknown = sorted(set(self.keep) - set(KINDS))
        if unknown:
            raise ConfigurationError(
                f"retention: {', '.join(unknown)} cannot be expired.", hint=f"Kinds are {', '.join(KINDS)}."
            )
        store = store_for(self.gateways, self.root)
        history = Ledger(store, self.root, self.workload).sound()
        live = history.live()
        entries = [history.entry(live.release) if live else None, history.open]
        evidence = [entry.release.evidence for entry in entries if entry is not None]
        needed = Needed(
            {each.dataset_id for each in evidence},
            {each.scorecard_uri.partition("/evaluations/")[2].partition("/")[0] for each in evidence},
        )
        place = join_uri(self.root, self.workload)
        found = expired(
            store.iter_objects(place + "/"),
            place,
            {kind: span.total_seconds() for kind, span in self.keep.items()},
            needed,
            wall_clock().timestamp(),
        )
        for uris in found.values():
            for uri in uris:
                store.delete(uri)
        counts = {kind: len(uris) for kind, uris in found.items()}
        self.log.info(
            "Deleted %s.", ", ".join(f"{count} objects of {kind}" for kind, count in counts.items())
        )
        return {"kind": "retention", "v": 1, "workload": self.workload, "deleted": counts}
