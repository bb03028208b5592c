"""A folder of workload files becomes Dags: one for each workload, and one that guards them all.

Takes a folder, hands on Dags, and registers them with the Dag file that calls. Reads local files only: no network, no
AWS SDK client, the same result every time. A file that is wrong becomes a Dag that says what to mend, so that one
mistake does not take the others down.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, AssetAny, AssetOrTimeSchedule, CronTriggerTimetable, Param

from airflow_distill.notifications.workload import WorkloadNotifier
from airflow_distill.pipelines.assets import fresh_logs_asset, retrain_asset, successor_asset
from airflow_distill.pipelines.task_groups import loop_groups, operator_class
from airflow_distill.stages.digest import digest
from airflow_distill.stages.shown import markdown_code
from airflow_distill.workload import tasks
from airflow_distill.workload.config import Workload
from airflow_distill.workload.reading import SHOWN, Mark, Problem, Read, check_folder

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
    made: dict[Path, DAG] = {}
    sound: list[Workload] = []
    wrong: dict[Path, Sequence[Problem]] = {}
    for read in check_folder(folder, overrides):
        made_or_wrong = _built(read, prefix, default_args)
        if isinstance(made_or_wrong, DAG) and read.workload is not None:
            made[read.path] = made_or_wrong
            sound.append(read.workload)
        elif not isinstance(made_or_wrong, DAG):
            wrong[read.path] = made_or_wrong
    guard = guards_dag(sound, schedule=guards, default_args=default_args) if guards and sound else None
    taken = {dag.dag_id for dag in made.values()} | {GUARDS}
    for path, problems in wrong.items():
        made[path] = broken_dag(broken_id(path, prefix, taken), problems)
        taken.add(made[path].dag_id)
    dags = [made[path] for path in sorted(made)]
    dags += [
        successor_dag(each, prefix=prefix, default_args=default_args)
        for each in sound
        if each.lifecycle is not None
    ]
    return {dag.dag_id: dag for dag in (*dags, *([guard] if guard else []))}


def _built(read: Read, prefix: str, default_args: Mapping[str, Any] | None) -> DAG | Sequence[Problem]:
    """Return the Dag of a file, or why there is none; what Airflow refuses is this file's fault, not the others'."""
    if read.workload is None:
        return read.problems
    if f"{prefix}{read.workload.name}" == GUARDS:
        return (
            Problem(Mark(str(read.path), 1, 1), "name", f"the Dag {GUARDS} is taken", "choose another name"),
        )
    try:
        return build_dag(read.workload, prefix=prefix, default_args=default_args)
    except Exception as error:
        return (unbuildable(read.path, error),)


def unbuildable(path: Path, error: Exception) -> Problem:
    """Return what Airflow's refusal of a workload's Dag amounts to."""
    said = " ".join(str(error).split())[:300]
    message = f"Airflow does not take its Dag ({type(error).__name__}: {said})"
    return Problem(Mark(str(path), 1, 1), "", message, "change what it names")


def broken_id(path: Path, prefix: str, taken: Container[str]) -> str:
    """Return an id for the Dag of a file that is wrong: what Airflow takes of its name, and never one that is taken."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem)[:100]
    first = f"{prefix}{name}"
    return first if first not in taken else f"{first}.{digest(str(path), 8)}"


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
        auto_register=False,  # a Dag whose building fails half-way must not be registered by Airflow
        schedule=schedule_of(workload) if schedule is None else schedule,
        default_args=dict(default_args or {}),
        on_failure_callback=notifiers(workload, "failure") or None,
    ) as dag:
        loop_groups(workload)
        dag.auto_register = True
    # Last: every operator copies what params the Dag has by then, once for each class it derives from, a fifth of the time.
    dag.params.update({name: Param(**arguments) for name, arguments in tasks.PARAMETERS.items()})
    for task_id, callback, event in tasks.callbacks(workload):
        if told := notifiers(workload, event):
            setattr(dag.task_dict[task_id], callback, told)
    return dag


def successor_dag(
    workload: Workload, *, prefix: str = "distill_", default_args: Mapping[str, Any] | None = None
) -> DAG:
    """Build the Dag that distils the workload into its student's successor; the guard of the lifecycle starts it."""
    assert workload.lifecycle is not None
    onto = workload.model_copy(update={"student": workload.lifecycle.successor, "lifecycle": None})
    return build_dag(
        onto, prefix=f"{prefix}successor_", default_args=default_args, schedule=[successor_asset(workload)]
    )


def schedule_of(workload: Workload) -> Any:
    """Return when the Dag runs, as Airflow takes it; the watch may start it besides."""
    schedule = workload.schedule
    retrain = [retrain_asset(workload)] if workload.is_retrained else []
    if schedule.cron:
        timetable = CronTriggerTimetable(schedule.cron, timezone="UTC")
        return AssetOrTimeSchedule(timetable=timetable, assets=retrain) if retrain else timetable
    if schedule.fresh_prompts:
        return AssetAny(fresh_logs_asset(workload), *retrain) if retrain else [fresh_logs_asset(workload)]
    return retrain or None


def notifiers(workload: Workload, event: str) -> list[Any]:
    """Return the notifiers that the file wants to hear of an event."""
    return [WorkloadNotifier(**arguments) for arguments in tasks.notifications(workload, event)]


def broken_dag(dag_id: str, problems: Sequence[Problem]) -> DAG:
    """Build a Dag that shows what is wrong with a file, and fails when it is run."""
    lines = [str(problem) for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"and {len(problems) - SHOWN} more; airflow-distill workload lint shows all")
    with DAG(
        dag_id=dag_id,
        description="The workload file is wrong: " + lines[0][:200],
        doc_md="The workload file is wrong.\n\n" + "\n".join(f"- {markdown_code(line)}" for line in lines),
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
        description="Warn of models and commitments that come to their end, and of hosts that nobody calls",
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
    commitments(task_id=f"commitments_{workload.name}", root=workload.root, **shared)
    idle = operator_class(f"{tasks.OPERATORS}.idle.CheckIdleHostsOperator")
    idle(task_id=f"idle_{workload.name}", **tasks.idle_arguments(workload), **shared)
    if workload.lifecycle is not None:
        operator_class(f"{tasks.OPERATORS}.guards.StartSuccessorOperator")(
            task_id=f"successor_{workload.name}",
            root=workload.root,
            successor=workload.lifecycle.successor,
            teacher=workload.teacher,
            student=workload.student,
            ahead=timedelta(days=workload.lifecycle.days_before),
            outlets=[successor_asset(workload)],
            **{key: value for key, value in shared.items() if key != "on_failure_callback"},
        )
    if workload.watch is not None and workload.logs is not None:
        _watch_of(workload)


def _watch_of(workload: Workload) -> None:
    """Look after the live student, and do what the file allows when it is not well."""
    watch = workload.watch
    assert watch is not None
    doctor = tasks.doctor_of(workload)
    operator_class(doctor.operator)(
        task_id=f"doctor_{workload.name}",
        on_failure_callback=notifiers(workload, "watch") or None,
        **doctor.arguments,
        **tasks.default_arguments(workload),
    )
    if workload.deployment.enabled:
        operator_class(f"{tasks.OPERATORS}.guards.VerifyWorkloadOperator")(
            task_id=f"verify_{workload.name}",
            workload=workload.name,
            root=workload.root,
            on_failure_callback=notifiers(workload, "watch") or None,
            **tasks.default_arguments(workload),
        )
    shared: dict[str, Any] = {**tasks.default_arguments(workload), "retries": 2}
    task = operator_class(f"{tasks.OPERATORS}.watch.WatchStudentOperator")(
        task_id=f"watch_{workload.name}",
        **tasks.watch_arguments(workload),
        notifiers=notifiers(workload, "watch"),
        **shared,
    )
    if watch.retrain:
        operator_class(f"{tasks.OPERATORS}.watch.RetrainOperator")(
            task_id=f"retrain_{workload.name}", watch=task.output, outlets=[retrain_asset(workload)], **shared
        )
    if watch.roll_back == "automatic":
        operator_class(f"{tasks.OPERATORS}.watch.RollBackOperator")(
            task_id=f"roll_back_{workload.name}",
            watch=task.output,
            workload=workload.name,
            root=workload.root,
            **shared,
        )
