"""What every operator tells the tools around Airflow: OpenLineage inputs and outputs, and metrics, read off receipts.

Takes rendered arguments and receipts, hands on dataset names and counts; never text. Nothing here may fail a task:
what cannot be told is left out. OpenLineage is imported when its listener asks, so it stays optional.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

log = logging.getLogger(__name__)

PREFIX = "airflow_distill"


def uris_in(value: Any) -> Iterator[str]:
    """Yield the S3 URIs that arguments or a receipt hold, at any depth, each once."""
    seen: set[str] = set()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, list | tuple):
            waiting += each
        elif isinstance(each, str) and each.startswith("s3://") and each not in seen:
            seen.add(each)
            yield each


def dataset_name(uri: str) -> tuple[str, str]:
    """Return an object's namespace and name as OpenLineage spells them."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return f"s3://{bucket}", key.rstrip("/") or "/"


class Lineage:
    """OpenLineage methods of an operator: what it was handed are inputs, what its receipt names anew are outputs."""

    PLACES = frozenset({"root"})
    """Arguments that say where to work, not what to read."""

    def get_openlineage_facets_on_start(self) -> Any:
        """Return the inputs; called by the listener after templates were rendered."""
        return self._lineage(None)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return inputs and outputs; for a deferred task this is a fresh instance, so the receipt is read from XCom."""
        try:
            receipt = task_instance.xcom_pull(task_ids=task_instance.task_id)
        except Exception:
            receipt = None
        return self._lineage(receipt)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Return the inputs; a task that failed has made nothing that counts."""
        return self._lineage(None)

    def _lineage(self, receipt: Any) -> Any:
        from airflow.providers.common.compat.openlineage.facet import Dataset
        from airflow.providers.openlineage.extractors import OperatorLineage

        fields = [name for name in getattr(self, "template_fields", ()) if name not in self.PLACES]
        inputs = list(uris_in([getattr(self, name, None) for name in fields]))
        outputs = [uri for uri in uris_in(receipt) if uri not in inputs]
        return OperatorLineage(
            inputs=[Dataset(*dataset_name(uri)) for uri in sorted(inputs)],
            outputs=[Dataset(*dataset_name(uri)) for uri in sorted(outputs)],
        )


def figures(receipt: Any) -> dict[str, float]:
    """Return a receipt's figures by metric name, without the package's prefix.

    >>> figures({"kind": "decision", "workload": "tickets", "verdict": "hold"})
    {'verdict.hold': 1}
    """
    if not isinstance(receipt, Mapping):
        return {}
    make = _FIGURES.get(str(receipt.get("kind")))
    found = make(receipt) if make else {}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def _by_reason(name: str, counts: Any) -> dict[str, Any]:
    return {f"{name}.{reason}": count for reason, count in (counts or {}).items()}


_FIGURES: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "harvest": lambda r: {
        "harvested.lines": r.get("lines"),
        "harvested.kept": r.get("kept"),
        **_by_reason("skipped", r.get("skipped")),
    },
    "dataset": lambda r: {
        "dataset.train": r.get("train_records"),
        "dataset.heldout": r.get("heldout_records"),
        **_by_reason("dropped", r.get("dropped")),
    },
    "budget": lambda r: {"budget.estimate_usd": r.get("estimate_usd")},
    "job": lambda r: {f"job.{r.get('status') or 'unknown'}": 1, "job.adopted": int(bool(r.get("adopted")))},
    "decision": lambda r: {f"verdict.{r.get('verdict') or 'unknown'}": 1},
    "deployment": lambda r: {f"release.{r.get('outcome') or 'unknown'}": 1},
}


def tally(name: str, workload: str) -> None:
    """Count one event of a workload in Airflow's metrics, such as `approval.asked`."""
    try:
        from airflow.sdk.observability.stats import incr

        incr(f"{PREFIX}.{name}", 1, tags={"workload": workload})
    except Exception as error:
        log.debug("Metrics cannot be sent: %s", error)


def count(receipt: Any) -> None:
    """Send a receipt's figures to Airflow's metrics, tagged with the workload."""
    try:
        from airflow.sdk.observability.stats import gauge, incr

        tags = {"workload": str(receipt.get("workload", ""))} if isinstance(receipt, Mapping) else {}
        for name, value in figures(receipt).items():
            if name.startswith(("verdict.", "release.", "job.")):
                if value:
                    incr(f"{PREFIX}.{name}", int(value), tags=tags)
            else:
                gauge(f"{PREFIX}.{name}", value, tags=tags)
    except Exception as error:
        log.debug("Metrics cannot be sent: %s", error)
