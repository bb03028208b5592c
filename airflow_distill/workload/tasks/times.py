"""Times of a run as templates over `dag_run.run_after`, which every run has: scheduled, back-filled, on an asset, by hand.

`params.window_start` and `params.window_end` win, so that a run by hand can cover any window; then a partition, whose key
names the start of the window; then the time the run stands for.
"""

from __future__ import annotations

from datetime import timedelta

from airflow_distill.workload.config import Workload


def window(workload: Workload) -> tuple[str, str]:
    """Return start and end of a run's window as templates: full hours, the end before the run by what logs may be late."""
    assert workload.logs is not None
    late, back = workload.logs.late, workload.logs.window
    partition = "dag_run.partition_date"
    start = f"{partition} or dag_run.run_after - {macro(late + back)}"
    end = f"{partition} + {macro(back)} if {partition} else dag_run.run_after - {macro(late)}"
    return _moment("window_start", start), _moment("window_end", end)


def _moment(parameter: str, otherwise: str) -> str:
    return f"{{{{ params.get('{parameter}') or ({otherwise}).strftime('%Y-%m-%dT%H:00:00Z') }}}}"


def macro(span: timedelta) -> str:
    """Return a span as it is written within a template."""
    hours, rest = divmod(span, timedelta(hours=1))
    parts = [f"days={hours // 24}" * (hours >= 24), f"hours={hours % 24}" * (hours % 24 > 0)]
    parts.append(f"minutes={rest // timedelta(minutes=1)}" * bool(rest))
    return f"macros.timedelta({', '.join(part for part in parts if part)})"
