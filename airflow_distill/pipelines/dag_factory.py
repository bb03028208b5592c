"""A folder of workload files becomes Dags: one for each workload, and one that guards them all.

Takes a folder, hands on Dags, and registers them with the Dag file that calls. Reads local files only: no network, no
AWS SDK client, the same result every time. A file that is wrong becomes a Dag that says what to mend, so that one
mistake does not take the others down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, Param

from airflow_distill.notifications.workload import WorkloadNotifier
from airflow_distill.pipelines.assets import fresh_logs_asset
from airflow_distill.pipelines.task_groups import loop_groups, operator_class
from airflow_distill.workload import tasks
from airflow_distill.workload.config import Workload
from airflow_distill.workload.reading import Problem, check_folder

TAGS = ("airflow-distill",)
GUARDS = "distill_guards"
"""Id of the Dag that looks after lifecycles and commitments of all workloads of a folder."""


def build_dags(
    folder: Path | str,
    *,
    overrides: Mapping[str, Any] | None = None,
    prefix: str = "distill_",
    default_args: Mapping[str, Any] | None = None,
    guards: str | None = "@daily",
) -> dict[str, DAG]:
    """Build a Dag for every workload file under a folder, and a Dag of guards; returns them by id.

    :param folder: workload files; a relative path is taken from the Dag file's folder by its author, not guessed here.
    :param overrides: settings that win over the files, such as an environment's `root` and `role_arn`.
    :param prefix: stands before the workload's name in the Dag's id.
    :param default_args: Airflow arguments of every task, such as `pool` or `queue`.
    :param guards: schedule of the guards, or None for none.
    """
    dags: dict[str, DAG] = {}
    sound: list[Workload] = []
    for read in check_folder(folder, overrides):
        if read.workload is not None:
            dag = build_dag(read.workload, prefix=prefix, default_args=default_args)
            sound.append(read.workload)
        else:
            dag = broken_dag(f"{prefix}{read.path.stem}", read.problems)
        dags[dag.dag_id] = dag
    if guards and sound:
        dag = guards_dag(sound, schedule=guards, default_args=default_args)
        dags[dag.dag_id] = dag
    return dags


def build_dag(
    workload: Workload,
    *,
    prefix: str = "distill_",
    default_args: Mapping[str, Any] | None = None,
    schedule: Any = None,
) -> DAG:
    """Build the Dag of one workload. Two of its runs never overlap: each takes the workload's turn first.

    :param schedule: instead of the file's, whatever Airflow takes; a run of a partition reads `logs.window` from the
        start of that partition on.
    """
    with DAG(
        **tasks.dag_arguments(workload, prefix),
        schedule=schedule_of(workload) if schedule is None else schedule,
        default_args=dict(default_args or {}),
        on_failure_callback=notifiers(workload, "failure") or None,
    ) as dag:
        loop_groups(workload)
    # Last: every operator copies what params the Dag has by then, once for each class it derives from, a fifth of the time.
    dag.params.update({name: Param(**arguments) for name, arguments in tasks.PARAMETERS.items()})
    for task_id, callback, event in tasks.callbacks(workload):
        if told := notifiers(workload, event):
            setattr(dag.task_dict[task_id], callback, told)
    return dag


def schedule_of(workload: Workload) -> Any:
    """Return when the Dag runs, as Airflow takes it."""
    schedule = workload.schedule
    if schedule.cron:
        return CronTriggerTimetable(schedule.cron, timezone="UTC")
    if schedule.fresh_prompts:
        return [fresh_logs_asset(workload)]
    return None


def notifiers(workload: Workload, event: str) -> list[Any]:
    """Return the notifiers that the file wants to hear of an event."""
    return [WorkloadNotifier(**arguments) for arguments in tasks.notifications(workload, event)]


def broken_dag(dag_id: str, problems: Sequence[Problem]) -> DAG:
    """Build a Dag that shows what is wrong with a file, and fails when it is run."""
    lines = [str(problem) for problem in problems]
    with DAG(
        dag_id=dag_id,
        description="The workload file is wrong: " + lines[0][:200],
        doc_md="The workload file is wrong.\n\n" + "\n".join(f"- `{line}`" for line in lines),
        schedule=None,
        start_date=tasks.START,
        tags={*TAGS, "broken"},
    ) as dag:
        operator_class(f"{tasks.OPERATORS}.workload.ReportProblemsOperator")(
            task_id="report_problems", problems=lines
        )
    return dag


def guards_dag(
    workloads: Sequence[Workload],
    *,
    schedule: str = "@daily",
    dag_id: str = GUARDS,
    default_args: Mapping[str, Any] | None = None,
) -> DAG:
    """Build the Dag that warns of models and commitments that come to their end."""
    with DAG(
        dag_id=dag_id,
        description="Warn of base models and commitments that come to their end",
        schedule=CronTriggerTimetable("17 6 * * *" if schedule == "@daily" else schedule, timezone="UTC"),
        start_date=tasks.START,
        catchup=False,
        max_active_runs=1,
        default_args=dict(default_args or {}),
        tags=set(TAGS),
    ) as dag:
        for workload in workloads:
            _guards_of(workload)
    return dag


def _guards_of(workload: Workload) -> None:
    shared = {
        **tasks.default_arguments(workload),
        "workload": workload.name,
        "on_failure_callback": notifiers(workload, "expiry") or None,
        "retries": 1,
    }
    lifecycle = operator_class(f"{tasks.OPERATORS}.workload.CheckLifecycleOperator")
    lifecycle(
        task_id=f"lifecycle_{workload.name}", teacher=workload.teacher, student=workload.student, **shared
    )
    commitments = operator_class(f"{tasks.OPERATORS}.workload.CheckCommitmentsOperator")
    commitments(task_id=f"commitments_{workload.name}", **shared)
