"""The daily look at the live student."""

from __future__ import annotations

from typing import Any

from airflow_distill.workload.config import Workload
from airflow_distill.workload.tasks.arguments import function_paths, given, place_of


def watch_arguments(workload: Workload) -> dict[str, Any]:
    """Return what the task that looks is made with."""
    watch, logs = workload.watch, workload.logs
    assert watch is not None
    assert logs is not None
    return {
        **place_of(workload),
        "logs": logs.location,
        "teacher": workload.teacher,
        "scorer": workload.evaluation.scorers[0],
        "sample": watch.sample,
        "max_tokens": workload.evaluation.max_tokens,
        "rules": {
            "alpha": watch.false_alarms,
            "drift": watch.drift,
            "retrain": watch.retrain,
            "roll_back": watch.roll_back,
        },
        "redact": workload.dataset.redact,
        **given(
            functions=function_paths(workload),
            usd_per_day=watch.usd_per_day,
            slices=list(workload.evaluation.slices),
            detectors=list(workload.dataset.detectors),
            prices=workload.budget.prices,
        ),
    }
