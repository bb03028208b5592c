"""Every import that exists only since Airflow 3.3, and every one from Airflow's inside, in one place.

Lowering the floor means changing this module and nothing else. Why 3.3 is the floor: docs/decisions/airflow-floor.md.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from airflow.sdk import NEVER_EXPIRE, RetryAction, RetryDecision, RetryPolicy  # type: ignore[attr-defined]

__all__ = [
    "NEVER_EXPIRE",
    "RetryAction",
    "RetryDecision",
    "RetryPolicy",
    "airflow_id",
    "ask_states_of",
    "ask_states_of_run",
    "ask_task_state",
    "ask_task_state_async",
    "count_working",
    "default_arguments",
    "is_run_active",
]


def ask_task_state(ti: Any) -> str | None:
    """Return the state of a task instance as Airflow's database has it now; for the worker.

    None when the task was cleared. Raises whatever Airflow raises when it cannot be asked.
    """
    from airflow.sdk.execution_time import task_runner

    return _state_in(task_runner.SUPERVISOR_COMMS.send(_question(ti)), ti)


def ask_states_of(ti: Any, task_ids: list[str]) -> set[str]:
    """Return the states of other tasks of the same Dag run as Airflow's database has them now; for the worker."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetTaskStates

    if not task_ids:
        return set()
    question = GetTaskStates(dag_id=ti.dag_id, task_ids=task_ids, run_ids=[ti.run_id])
    answer: Any = task_runner.SUPERVISOR_COMMS.send(question)
    states = answer.task_states.get(ti.run_id, {})
    return {str(getattr(state, "value", state)) for state in states.values() if state is not None}


def ask_states_of_run(ti: Any) -> dict[str, str | None]:
    """Return the states of all tasks of the same Dag run, as Airflow's database has them now; for the worker.

    A mapped task that has been expanded has one key an instance, `<task id>_<map index>`.
    """
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetTaskStates

    answer: Any = task_runner.SUPERVISOR_COMMS.send(GetTaskStates(dag_id=ti.dag_id, run_ids=[ti.run_id]))
    states = answer.task_states.get(ti.run_id, {})
    return {
        key: None if state is None else str(getattr(state, "value", state)) for key, state in states.items()
    }


async def ask_task_state_async(ti: Any) -> str | None:
    """Return the state of a task instance as Airflow's database has it now; for the triggerer."""
    from airflow.sdk.execution_time import task_runner

    return _state_in(await task_runner.SUPERVISOR_COMMS.asend(_question(ti)), ti)


def is_run_active(dag_id: str, run_id: str) -> bool:
    """Say whether a Dag run is queued or running; one that Airflow does not know is not. Blocks; for workers and triggers.

    Raises whatever Airflow raises when it cannot be asked.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = ["queued", "running"]
    return RuntimeTaskInstance.get_dr_count(dag_id=dag_id, run_ids=[run_id], states=states) > 0


WORKING = ("queued", "running", "restarting", "deferred", "awaiting_input")
"""States in which a task instance works or waits for something that is watched."""


def count_working(dag_id: str, run_id: str) -> int:
    """Return how many task instances of a Dag run work or are watched; 0 for a run that nobody carries on.

    A run of a Dag whose file is gone stays `running` for ever, and none of its tasks does. Blocks; raises as above.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    return int(RuntimeTaskInstance.get_ti_count(dag_id=dag_id, run_ids=[run_id], states=list(WORKING)))


_AIRFLOW_ID = "airflow_distill_airflow_id"


def airflow_id() -> str:
    """Return the id of this Airflow: made once, kept as a Variable in its own database, the same for all its tasks.

    A base URL is empty by default and two Airflows may share a bucket, so nothing else tells them apart. Two tasks that
    make it at once agree, because what counts is what the database holds after both have written. Empty where Variables
    cannot be asked, as outside a task; blocks.
    """
    from airflow.sdk import Variable

    try:
        found = Variable.get(_AIRFLOW_ID, default=None)
        while not found:
            Variable.set(_AIRFLOW_ID, uuid.uuid4().hex[:16], description="Tells this Airflow apart; keep it.")
            time.sleep(0.5)
            found = Variable.get(_AIRFLOW_ID, default=None)
    except Exception:
        return ""
    return str(found)


def _index(ti: Any) -> int:
    index = getattr(ti, "map_index", None)
    return -1 if index is None else int(index)


def _question(ti: Any) -> Any:
    from airflow.sdk.execution_time.comms import GetTaskStates

    index = _index(ti)
    return GetTaskStates(
        dag_id=ti.dag_id,
        task_ids=[ti.task_id],
        run_ids=[ti.run_id],
        map_index=None if index < 0 else index,
    )


def _state_in(answer: Any, ti: Any) -> str | None:
    """Read one state out of Airflow's answer, whose key for a mapped task is `<task id>_<map index>`."""
    index = _index(ti)
    key = ti.task_id if index < 0 else f"{ti.task_id}_{index}"
    state = answer.task_states.get(ti.run_id, {}).get(key)
    return None if state is None else str(getattr(state, "value", state))


def default_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `default_args` that hold for a task which is made here and now with these arguments."""
    from airflow.sdk.bases.operator import get_merged_defaults
    from airflow.sdk.definitions._internal.contextmanager import DagContext, TaskGroupContext

    dag: Any = given.get("dag") or DagContext.get_current()
    group = given.get("task_group") or (TaskGroupContext.get_current(dag) if dag else None)
    merged, _ = get_merged_defaults(
        dag=dag, task_group=group, task_params=None, task_default_args=given.get("default_args")
    )
    return dict(merged)
