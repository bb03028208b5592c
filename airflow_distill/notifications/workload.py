"""One notifier that adds what happened to a workload to the context and hands on to the author's own notifier.

The author's notifier is any `BaseNotifier`: Slack, e-mail, PagerDuty. It is imported when there is something to tell,
so reading a Dag file stays cheap. Its templates may use `{{ distill.workload }}`, `{{ distill.event }}`, `{{
distill.owner }}`, `{{ distill.summary }}` and `{{ distill.links }}` (by name, such as `question` and `report`); none of
them holds prompt or answer text.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from airflow.sdk import BaseNotifier

from airflow_distill.errors import ConfigurationError

TOLD = "distill_told"
"""Key of the context under which a task hands its notifiers a sentence (`summary`) and links by name (`links`)."""


class WorkloadNotifier(BaseNotifier):
    """Tell about one event of a workload through another notifier.

    :param workload: the workload's name.
    :param owner: who answers for it.
    :param event: `verdict`, `approval`, `failure`, `spend` or `expiry`.
    :param notifier: dotted path of the notifier to hand on to.
    :param arguments: its arguments; templated by itself.
    """

    def __init__(
        self, workload: str, owner: str, event: str, notifier: str, arguments: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.workload = workload
        self.owner = owner
        self.event = event
        self.notifier = notifier
        self.arguments = dict(arguments or {})

    def notify(self, context: Any) -> None:
        """Build the other notifier and let it tell."""
        target = notifier_class(self.notifier)(**self.arguments)
        told = {
            "workload": self.workload,
            "owner": self.owner,
            "event": self.event,
            "summary": summary(self.workload, self.event, context),
            "links": dict((context.get(TOLD) or {}).get("links") or {}),
        }
        target({**context, "distill": told})


def notifier_class(path: str) -> type[BaseNotifier]:
    """Import a notifier by its dotted path.

    :raises ConfigurationError: it is none. Nothing else is ever called, whatever the path leads to.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"alerts: the notifier {path!r} cannot be imported ({type(error).__name__}).",
            hint="Install its provider where Dags and tasks run.",
        ) from error
    if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
        raise ConfigurationError(
            f"alerts: {path!r} is no notifier.", hint="Name a class derived from airflow.sdk.BaseNotifier."
        )
    return found


def summary(workload: str, event: str, context: Mapping[str, Any]) -> str:
    """Return one sentence about what happened, made of ids and figures only."""
    ti = context.get("ti") or context.get("task_instance")
    where = f"{getattr(ti, 'task_id', '')} of {getattr(ti, 'dag_id', '')} ({getattr(ti, 'run_id', '')})"
    said = (context.get(TOLD) or {}).get("summary")
    if said:
        return f"{workload}: {said} ({where})"
    if event == "verdict":
        return f"{workload}: {_verdict(ti)} in {where}"
    if event == "failure":
        return f"{workload}: the run failed at {where}{_release(context)}"
    if event == "spend":
        return f"{workload}: a cap was reached or a price is unknown; nothing was bought ({where}){_money(context)}"
    return f"{workload}: a model or a commitment comes to its end, see {where}"


def _release(context: Mapping[str, Any]) -> str:
    """Return what a failed deployment says of what serves now: ids and figures, as our errors hold nothing else."""
    said = str(context.get("exception") or "")
    start = said.find("deployment: ")
    return f": {said[start:].partition(chr(10))[0][:400]}" if start >= 0 else ""


def _money(context: Mapping[str, Any]) -> str:
    """Return what a budget's error says: stages and amounts, as our errors hold nothing else."""
    said = str(context.get("exception") or "")
    start = min((at for word in ("money: ", "jobs: ") if (at := said.find(word)) >= 0), default=-1)
    return f": {said[start:].partition(chr(10))[0][:400]}" if start >= 0 else ""


def _verdict(ti: Any) -> str:
    try:
        receipt = ti.xcom_pull(task_ids=ti.task_id) if ti is not None else None
    except Exception:
        receipt = None
    if not isinstance(receipt, Mapping) or "verdict" not in receipt:
        return "a verdict"
    reasons = ", ".join(_code(reason) for reason in receipt.get("reasons") or ())
    exposed = receipt.get("exposed_usd")
    most = f"; at most {exposed:,.2f} USD may still be billed" if isinstance(exposed, int | float) else ""
    return f"{receipt['verdict']}{f' ({reasons})' if reasons else ''}{most}"


def _code(reason: Any) -> str:
    return str(reason.get("code", "")) if isinstance(reason, Mapping) else str(reason)
