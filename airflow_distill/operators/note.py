"""Every step writes down where its workload stands, for the page in Airflow.

The status is for looking at: nothing is decided by it, and a step whose status cannot be written has done its work all the
same. So nothing here raises; what went wrong is one line in the task's log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_distill.remote.times import iso

if TYPE_CHECKING:
    from airflow_distill.stages.status.records import Step

_GOODS = ("scorecard_uri", "decision_uri", "report_uri", "manifest_uri", "scores_uri")
_PLACES = ("evaluations", "datasets", "reports")


@contextmanager
def noted(operator: Any, context: Any, *, again: bool = False) -> Iterator[None]:
    """Note what ends a step before its receipt: a wait, or a failure. A skip is neither.

    :param again: the step has waited before, so that another wait is no news.
    """
    try:
        yield
    except TaskDeferred:
        if not again:
            _note(operator, context, {}, "waiting")
        raise
    except AirflowSkipException:
        raise
    except Exception as error:
        final = isinstance(error, AirflowFailException)
        cause = error.__cause__ if final and error.__cause__ else error
        state = "failed" if final or _is_last_try(context) else "retrying"
        _note(operator, context, {}, state, type(cause).__name__)
        raise


def _is_last_try(context: Any) -> bool:
    """Say whether Airflow will not try again; a task that does not know its tries is on its last."""
    ti = context.get("ti") if hasattr(context, "get") else None
    tries, most = getattr(ti, "try_number", None), getattr(ti, "max_tries", None)
    return not (isinstance(tries, int) and isinstance(most, int) and tries <= most)


def note_step(operator: Any, context: Any, receipt: Any) -> None:
    """Note a step that has ended, with its receipt."""
    found = receipt if isinstance(receipt, Mapping) else {}
    _note(operator, context, found, "ended" if found.get("kind") == "turn-end" else "running")


def note_question(operator: Any, context: Any, receipt: Mapping[str, Any], until: str) -> None:
    """Note that a task waits for a person to answer."""

    def write(store: Any, root: str, workload: str, step: Step) -> None:
        from airflow_distill.stages.status.records import Question
        from airflow_distill.workload.status import note_question as write_question

        question = Question(step.dag_id, step.run_id, step.task_id, step.at, step.map_index, until)
        write_question(store, root, workload, question, receipt, step)

    _write(operator, context, receipt, "waiting", "", write)


def note_exposure(operator: Any) -> None:
    """Look up what still bills for an operator's workload, and note it."""
    from airflow_distill.aws.exposure import exposure_of
    from airflow_distill.aws.gateways import store_for
    from airflow_distill.aws.prices import read_prices
    from airflow_distill.operators.base import wall_clock
    from airflow_distill.remote.ownership import Owner
    from airflow_distill.stages.status.fold import with_exposure
    from airflow_distill.workload.status import Index

    workload, root = operator.workload, operator.root.rstrip("/")
    try:
        index = Index(store_for(operator.gateways, root), root)
        known = index.read(workload)
        student = known.student if known else ""
        table = read_prices(
            operator.gateways, operator.prices, student=student, stated=operator.student_prices
        )
        now = wall_clock()
        found = exposure_of(operator.gateways, Owner(workload, root), table, now=now)
        said, endless = found.to_json(), len(found.endless)
        at = iso(now)
        index.change(workload, lambda status: with_exposure(status, said, endless=endless, at=at))
    except Exception as problem:
        operator.log.warning("What still bills was not looked up (%s).", type(problem).__name__)


def _note(operator: Any, context: Any, receipt: Mapping[str, Any], state: str, error: str = "") -> None:
    def write(store: Any, root: str, workload: str, step: Step) -> None:
        from airflow_distill.workload.status import note

        note(store, root, workload, receipt, step, step.at[:7].replace("-", ""))

    _write(operator, context, receipt, state, error, write)


def _write(
    operator: Any, context: Any, receipt: Mapping[str, Any], state: str, error: str, write: Any
) -> None:
    from airflow_distill.stages.status.records import WORKLOAD_NAME, Step

    workload, root = place_of(operator, receipt)
    ti = context.get("ti") if hasattr(context, "get") else None
    if not root or ti is None or not WORKLOAD_NAME.fullmatch(workload):
        return
    from airflow_distill.aws.gateways import store_for
    from airflow_distill.operators.base import wall_clock

    try:
        step = Step(
            dag_id=str(ti.dag_id),
            run_id=str(ti.run_id),
            task_id=str(ti.task_id),
            at=iso(wall_clock()),
            state=state,
            error=error,
            map_index=map_index if isinstance(map_index := getattr(ti, "map_index", -1), int) else -1,
        )
        write(store_for(operator.gateways, root), root, workload, step)
    except Exception as problem:
        operator.log.warning(
            "The status of %s was not written (%s); the page in Airflow shows an earlier one. "
            "`airflow-distill status %s --root %s --write` rebuilds it.",
            workload,
            type(problem).__name__,
            workload,
            root,
        )


def place_of(operator: Any, receipt: Mapping[str, Any]) -> tuple[str, str]:
    """Return workload and root of a step: its own arguments, else what the receipt's URIs say. Empty when not known."""
    own = getattr(operator, "workload", None)
    workload = own if isinstance(own, str) else str(receipt.get("workload") or "")
    root = getattr(operator, "root", None)
    if isinstance(root, str) and root:
        return workload, root.rstrip("/")
    for name in _GOODS:
        uri = receipt.get(name)
        where = (
            re.search(rf"/{re.escape(workload)}/(?:{'|'.join(_PLACES)})/", uri)
            if isinstance(uri, str)
            else None
        )
        if where:
            return workload, str(uri)[: where.start()]
    return workload, ""
