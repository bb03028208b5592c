"""The last task of a Dag run that has teardowns: a run that a person has failed ends failed.

Airflow leaves teardowns alone when a person marks a run failed, so that they can clean up, and afterwards judges the run
by its leaves. What was pending is skipped by then, and skipped leaves count as success: the run would end green and no
failure callback would fire. `on_failure_fail_dagrun` on a teardown of the loop does not help: the tasks before it are no
leaves any more, and their real failures are hidden. So the judgement is a teardown of its own, behind the other teardowns
and behind nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from airflow.sdk import BaseOperator, TriggerRule
from airflow.sdk.definitions.xcom_arg import XComArg
from airflow.sdk.exceptions import AirflowFailException

from airflow_distill.compat import ask_states_of_run
from airflow_distill.operators.task import SKIPPED_ITSELF, DistillTask, airflow_errors

_SKIPS_BY_RULE = frozenset(
    {"one_success", "one_failed", "one_done", "all_failed", "none_skipped", "all_skipped"}
)
_SKIPMIXIN = "skipmixin_key"
"""What Airflow's branches and short circuits push when they skip what follows them."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a run, as its end is judged.

    :param before: ids of all tasks upstream, however far.
    :param direct: ids of the tasks directly upstream.
    :param ours: whether it is a task of this package, which notes down when it skips itself.
    :param state: its state; of a mapped task that has been expanded, the gravest of its instances.
    """

    task_id: str
    before: frozenset[str]
    direct: frozenset[str]
    ours: bool
    is_teardown: bool
    trigger_rule: str
    state: str | None


def cut_off(
    tasks: Collection[Task], skipped_itself: Callable[[str], bool], has_receipt: Callable[[str], bool]
) -> list[str]:
    """Return the tasks of the package that were skipped although nothing in the run has skipped them: a person did.

    They are the first of their branch: nothing before them was skipped. After a task that was marked successful by hand and
    so left no receipt they do not count, because then the person wanted the run to end as a success.
    """
    states = {task.task_id: task.state for task in tasks}
    ours = {task.task_id for task in tasks if task.ours and not task.is_teardown}
    found = []
    for task in tasks:
        if task.task_id not in ours or task.state != "skipped" or task.trigger_rule in _SKIPS_BY_RULE:
            continue
        if any(states.get(other) == "skipped" for other in task.before) or skipped_itself(task.task_id):
            continue
        marked = [
            other for other in task.direct & ours if states.get(other) == "success" and not has_receipt(other)
        ]
        if not marked or any(states.get(other) == "failed" for other in task.before):
            found.append(task.task_id)
    return sorted(found)


class EndRunOperator(DistillTask):
    """End the run as failed when a person has failed it, or a teardown has; put it behind the Dag's other teardowns.

    It is a teardown by itself, whose failure fails the run; `remove_host >> EndRunOperator(task_id="end_run")` is enough.
    Draw no arrow from the Dag's work to it. A run whose tasks have skipped themselves (a quiet window, a verdict to hold)
    ends as before. Returns a `run-end` receipt.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.as_teardown(on_failure_fail_dagrun=True)
        self.trigger_rule = TriggerRule.ALL_DONE

    def execute(self, context: Any) -> dict[str, Any]:
        """Judge the run by the states of its tasks."""
        with airflow_errors():
            return self._judge(context)

    def _judge(self, context: Any) -> dict[str, Any]:
        ti = context["ti"]
        dag = self.get_dag()
        assert dag is not None
        tasks = tasks_of(dag, ask_states_of_run(ti))
        failed = [task.task_id for task in tasks if task.state == "failed"]
        torn = [task.task_id for task in tasks if task.is_teardown and task.state == "failed"]
        if torn:
            raise AirflowFailException(
                f"The run failed to clean up: {', '.join(sorted(torn))} failed. See its log, and clear it to try again."
            )
        before = [
            t
            for t in tasks
            if t.task_id in self.upstream_task_ids and t.state in ("failed", "upstream_failed")
        ]
        if before:
            raise AirflowFailException(
                f"The run failed: {', '.join(sorted(t.task_id for t in before))} failed."
            )

        def skipped_itself(task_id: str) -> bool:
            if ti.xcom_pull(task_ids=task_id, key=SKIPPED_ITSELF):
                return True
            task: Any = dag.task_dict[task_id]
            if any(ti.xcom_pull(task_ids=other, key=_SKIPMIXIN) for other in task.upstream_task_ids):
                return True
            return any(not ti.xcom_pull(task_ids=other) for other in _mapped_over(task))

        cut = cut_off(tasks, skipped_itself, lambda task_id: ti.xcom_pull(task_ids=task_id) is not None)
        if cut:
            after = f", {', '.join(sorted(failed))} failed" if failed else ""
            raise AirflowFailException(
                f"A person has ended this run: {', '.join(cut)} never ran and did not skip itself{after}. To go on, clear "
                f"{', '.join(sorted(failed) or cut)} with what follows."
            )
        skipped = any(task.state == "skipped" for task in tasks if not task.is_teardown)
        return {"kind": "run-end", "v": 1, "ended": "skipped" if skipped else "done"}


def tasks_of(dag: Any, states: Mapping[str, str | None]) -> list[Task]:
    """Return a Dag's tasks with the states that Airflow gives for one run, mapped ones as `<task id>_<map index>`."""
    return [
        Task(
            task_id=task.task_id,
            before=frozenset(task.get_flat_relative_ids(upstream=True)),
            direct=frozenset(task.upstream_task_ids),
            ours=issubclass(getattr(task, "operator_class", type(task)), DistillTask),
            is_teardown=bool(task.is_teardown),
            trigger_rule=str(getattr(task.trigger_rule, "value", task.trigger_rule)),
            state=_state_of(task, states),
        )
        for task in dag.tasks
    ]


def _state_of(task: Any, states: Mapping[str, str | None]) -> str | None:
    if isinstance(task, BaseOperator) or task.task_id in states:
        return states.get(task.task_id)
    found = [
        state
        for key, state in states.items()
        if key.startswith(f"{task.task_id}_") and key.removeprefix(f"{task.task_id}_").isdigit()
    ]
    return next(
        (word for word in ("failed", "upstream_failed", "skipped") if word in found),
        found[0] if found else None,
    )


def _mapped_over(task: Any) -> list[str]:
    """Return the tasks whose outputs a mapped task is expanded over; an empty output makes Airflow skip it."""
    expanded = getattr(task, "expand_input", None)
    if expanded is None:
        return []
    return [operator.task_id for operator, _ in XComArg.iter_xcom_references(expanded.value)]


__all__ = ["EndRunOperator", "Task", "cut_off", "tasks_of"]
