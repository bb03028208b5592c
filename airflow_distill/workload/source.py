"""A workload's tasks as plain operator code, for an author who has outgrown the file.

Takes a `Workload`, hands on the text of a Dag file that builds the same tasks as the factory does: both read
`workload/tasks/`. Imports no Airflow: it only writes text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from airflow_distill.workload import tasks
from airflow_distill.workload.config import Workload
from airflow_distill.workload.tasks import GroupSpec, Output, TaskSpec
from airflow_distill.workload.tasks.records import AssetSpec, asset_of

WIDTH = 108
STEP = "    "


class _Name(str):
    """Text that stands for itself in code, without quotes."""

    __slots__ = ()


def dag_source(workload: Workload, path: str) -> str:
    """Return the Dag file.

    :param path: the workload file's name, for the first line.
    """
    groups = tasks.loop(workload)
    arguments = {
        **tasks.dag_arguments(workload),
        "schedule": _schedule(workload),
        "params": _Name("PARAMS"),
    }
    failure = _notifiers(workload, "failure")
    if failure:
        arguments["on_failure_callback"] = failure
    shared = {**tasks.default_arguments(workload)}
    body = ["\n".join(_group(group, groups)) for group in groups]
    callbacks = "\n".join(_callbacks(workload))
    parts = [
        docstring(
            f"Distils {workload.teacher} into {workload.student}: the tasks of {path}, as operators.",
            "Written by `airflow-distill workload eject`; yours to change. Take the workload file away then: two Dags of\n"
            "one workload share its jobs and releases." + _guards(workload),
        ),
        "from __future__ import annotations",
        "\n".join(_imports(workload, groups)),
        f"SHARED = {literal(shared)}",
        _params(),
        f"with {call('DAG', arguments)} as dag:\n" + "\n\n".join(part for part in (*body, callbacks) if part),
    ]
    return "\n\n".join(parts) + "\n"


def _guards(workload: Workload) -> str:
    """Name what the Dag of guards does for the workload while its file is there."""
    kept = ["lifecycle", "commitments", "idle hosts"]
    kept += ["successor"] if workload.lifecycle else []
    kept += ["watch", "doctor", "verify"] if workload.watch and workload.logs else []
    return (
        f"\n\nNot in here: the guards of the file ({', '.join(kept)}).\n"
        "The Dag `distill_guards` runs them as long as a workload file is there; without it, add their operators yourself."
    )


def _imports(workload: Workload, groups: Iterable[GroupSpec]) -> list[str]:
    sdk = ["DAG", "Param", "TaskGroup"]
    ours: dict[str, set[str]] = {}
    for group in groups:
        for task in group.tasks:
            module, _, name = task.operator.rpartition(".")
            ours.setdefault(module, set()).add(name)
    if workload.schedule.cron:
        sdk.append("CronTriggerTimetable")
    if workload.is_retrained and workload.schedule.cron:
        sdk.append("AssetOrTimeSchedule")
    if workload.is_retrained and workload.schedule.fresh_prompts:
        sdk.append("AssetAny")
    if (
        workload.is_retrained
        or workload.schedule.fresh_prompts
        or any(task.updates for group in groups for task in group.tasks)
    ):
        sdk.append("Asset")
    if workload.schedule.fresh_prompts:
        sdk.append("AssetWatcher")
        ours.setdefault("airflow_distill.triggers.assets", set()).add("FreshLogsTrigger")
    if workload.alerts:
        ours.setdefault("airflow_distill.notifications.workload", set()).add("WorkloadNotifier")
    lines = [
        "from datetime import UTC, datetime, timedelta",
        "",
        f"from airflow.sdk import {', '.join(sorted(sdk, key=_import_order))}",
        "",
    ]
    return lines + [_import(module, sorted(names)) for module, names in sorted(ours.items())]


def _import_order(name: str) -> tuple[bool, str]:
    """Constants first, as import sorters have it."""
    return (not name.isupper(), name)


def _import(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return line
    inner = "".join(f"{STEP}{name},\n" for name in names)
    return f"from {module} import (\n{inner})"


def _params() -> str:
    params = {name: _Name(call("Param", dict(arguments), 1)) for name, arguments in tasks.PARAMETERS.items()}
    return f"PARAMS = {literal(params)}"


def _schedule(workload: Workload) -> Any:
    """Return when the Dag runs; the watch may start it besides."""
    schedule = workload.schedule
    retrain = [_asset(asset_of("retrain", workload.name))] if workload.is_retrained else []
    if schedule.cron:
        timetable = _Name(call("CronTriggerTimetable", {"": schedule.cron, "timezone": "UTC"}, 1))
        if not retrain:
            return timetable
        return _Name(call("AssetOrTimeSchedule", {"timetable": timetable, "assets": retrain}, 1))
    if schedule.fresh_prompts:
        trigger = _Name(call("FreshLogsTrigger", tasks.fresh_logs_arguments(workload), 5))
        watcher = _Name(call("AssetWatcher", {"name": f"fresh_logs_{workload.name}", "trigger": trigger}, 4))
        fresh = _asset(asset_of("fresh-logs", workload.name), watchers=[watcher])
        return _Name(f"AssetAny({fresh}, {retrain[0]})") if retrain else [fresh]
    return retrain or None


def _asset(spec: AssetSpec, **more: Any) -> _Name:
    return _Name(call("Asset", {"name": spec.name, "uri": spec.uri, "group": "distill", **more}, 2))


def _group(group: GroupSpec, groups: Iterable[GroupSpec]) -> list[str]:
    makers = {task.makes: task for each in groups for task in each.tasks if task.makes}
    lines = [f'{STEP}with TaskGroup("{group.stage}", default_args=SHARED):']
    arrows = []
    for task in group.tasks:
        lines += [f"{STEP * 2}{_task(task, makers)}"]
        arrows += [
            f"{STEP * 2}{makers[name].task_id} >> {task.task_id}" for name in task.after if name in makers
        ]
        if task.removes:
            arrows.append(f"{STEP * 2}{task.task_id}.as_teardown(setups={makers[task.removes].task_id})")
    return lines + arrows


def _task(task: TaskSpec, makers: Mapping[str, TaskSpec]) -> str:
    name = task.operator.rpartition(".")[2]
    arguments = {"task_id": task.task_id, **_named(task.arguments, makers)}
    if task.updates:
        asset = {"name": task.updates.name, "uri": task.updates.uri, "group": "distill"}
        arguments["outlets"] = [_Name(call("Asset", asset, 4))]
    if not task.mapped:
        return f"{task.task_id} = {call(name, arguments, 2)}"
    partial = call(f"{name}.partial", arguments, 2)
    return f"{task.task_id} = {partial}{call('.expand', _named(task.mapped, makers), 2)}"


def _named(value: Any, makers: Mapping[str, TaskSpec]) -> Any:
    """Put the variables of other tasks where arguments refer to their receipts."""
    if isinstance(value, Output):
        key = f'["{value.key}"]' if value.key else ""
        return _Name(f"{makers[value.what].task_id}.output{key}")
    if isinstance(value, Mapping):
        return {name: _named(inner, makers) for name, inner in value.items()}
    if isinstance(value, list):
        return [_named(inner, makers) for inner in value]
    return value


def _notifiers(workload: Workload, event: str) -> list[_Name]:
    return [
        _Name(call("WorkloadNotifier", arguments, 2)) for arguments in tasks.notifications(workload, event)
    ]


def _callbacks(workload: Workload) -> Iterable[str]:
    for task_id, callback, event in tasks.callbacks(workload):
        found = _notifiers(workload, event)
        if found:
            yield f"{STEP}{task_id.rpartition('.')[2]}.{callback} = {literal(found, 1)}"


def docstring(summary: str, text: str) -> str:
    """Return a docstring that says exactly this, whatever quotes, backslashes or line ends the summary holds."""
    shown = repr(summary)[1:-1].replace('"', '\\"') if not _is_plain(summary) else summary
    return f'"""{shown}\n\n{text}\n"""'


def _is_plain(text: str) -> bool:
    return text.isprintable() and not any(char in text for char in "\"'\\")


def call(name: str, arguments: Mapping[str, Any], depth: int = 0) -> str:
    """Return a call, on one line if it fits, else one argument a line. An argument without a name is positional."""
    given = [(f"{key}=" if key else "") + literal(value, depth + 1) for key, value in arguments.items()]
    line = f"{name}({', '.join(given)})"
    if len(line) + depth * len(STEP) <= WIDTH - 12 and "\n" not in line:
        return line
    inner = "".join(f"{STEP * (depth + 1)}{each},\n" for each in given)
    return f"{name}(\n{inner}{STEP * depth})"


def literal(value: Any, depth: int = 0) -> str:
    """Return plain data as code, on one line if it fits."""
    if isinstance(value, _Name):
        return str(value)
    if isinstance(value, timedelta):
        return _timedelta(value)
    if isinstance(value, datetime):
        return f"datetime({value.year}, {value.month}, {value.day}, tzinfo=UTC)"
    if isinstance(value, Mapping):
        items = [f"{literal(k)}: {literal(v, depth + 1)}" for k, v in value.items()]
        return _bracketed("{", items, "}", depth)
    if isinstance(value, list | tuple):
        return _bracketed("[", [literal(item, depth + 1) for item in value], "]", depth)
    if isinstance(value, str) and "\n" in value:
        return _bracketed("(", [_quoted(line) for line in value.splitlines(keepends=True)], ")", depth)
    return _quoted(value) if isinstance(value, str) else repr(value)


def _bracketed(opening: str, items: list[str], closing: str, depth: int) -> str:
    pieces = opening == "("  # of one text, which stand beside each other without commas
    line = f"{opening}{', '.join(items)}{closing}"
    if not pieces and len(line) + depth * len(STEP) <= WIDTH - 12 and "\n" not in line:
        return line
    comma = "" if pieces else ","
    inner = "".join(f"{STEP * (depth + 1)}{item}{comma}\n" for item in items)
    return f"{opening}\n{inner}{STEP * depth}{closing}"


def _quoted(text: str) -> str:
    shown = repr(text)
    if shown.startswith("'") and '"' not in shown:
        return f'"{shown[1:-1]}"'
    return shown


def _timedelta(span: timedelta) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if span.total_seconds() % size == 0:
            return f"timedelta({unit}={int(span.total_seconds() // size)})"
    return f"timedelta(seconds={int(span.total_seconds())})"
