"""A folder of files becomes Dags; a file, its Dag and its ejected code are the same tasks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.workload.config import Workload
from airflow_distill.workload.reading import read_workload
from airflow_distill.workload.source import dag_source
from tests.workload_files import SHORTEST

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "dags/workloads"

VARIANTS = {
    "shortest": "",
    "no approval": "approval: {mode: never}\n",
    "no deployment": "deployment: {enabled: false}\n",
    "cron": "schedule: {cron: '0 3 * * 1', catchup: true}\n",
    "fresh logs": "schedule: {fresh_prompts: 500, check_every: 5m}\n",
    "judge": "evaluation: {judge: us.meta.llama3-3-70b-instruct-v1:0, scorers: [token_f1, exact]}\n",
    "own prompts": "dataset: {prompts: 's3://acme-distill/prompts.jsonl', source: curated-with-answers}\n",
    "logged pairs": "dataset: {source: logs-pairs, training_logs: 's3://acme-logs/bedrock/2026/10'}\n",
    "throughput": "deployment: {host: provisioned-throughput, hourly_price: 20.5, days: 30, model_units: 2}\n",
    "checks": "job: {ignore_checks: [role-exists]}\nallow_unlisted_pair: true\n",
    "network": "job: {vpc: {subnets: [subnet-1], security_groups: [sg-1]}, on_deadline: stop, deadline: 3d}\n",
    "alerts": "alerts: [{notifier: tests.Told, arguments: {channel: '#ml'}, events: [verdict, failure, spend]}]\n",
    "detectors": "dataset: {detectors: ['tests.stages.dataset.planted:find_word7']}\n",
    "everything in words": 'description: "It\'s a \\"quoted\\" text"\ntags: {team: a}\ndataset: {balance_by: answer}\n',
}


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def plain(value: Any) -> Any:
    """Tell an operator's argument as data: an XCom by its task and key."""
    from airflow.sdk.definitions.xcom_arg import PlainXComArg

    if isinstance(value, PlainXComArg):
        return f"<{value.operator.task_id} {value.key}>"
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if type(value).__name__ == "WorkloadNotifier":
        return [value.workload, value.owner, value.event, value.notifier, value.arguments]
    return value


SETTINGS = ("owner", "retries", "retry_delay", "trigger_rule", "is_teardown", "execution_timeout", "pool")


def told(task: Any) -> dict[str, Any]:
    """Tell a task as data: class, every argument, arrows."""
    out: dict[str, Any] = {
        "upstream": sorted(task.upstream_task_ids),
        "downstream": sorted(task.downstream_task_ids),
    }
    if hasattr(task, "partial_kwargs"):
        out["class"] = task.operator_class.__name__
        out["partial"] = {k: plain(v) for k, v in task.partial_kwargs.items() if k in task.template_fields}
        out["mapped"] = plain(dict(task.expand_input.value))
        return out
    out["class"] = type(task).__name__
    out["arguments"] = {name: plain(getattr(task, name)) for name in sorted(task.template_fields)}
    out["settings"] = {name: str(getattr(task, name, None)) for name in SETTINGS}
    for name in ("mode", "rule", "response_timeout", "on_success_callback", "on_failure_callback"):
        out["settings"][name] = plain(getattr(task, name, None))
    return out


def told_dag(dag: Any) -> dict[str, Any]:
    schedule = dag.schedule
    if isinstance(schedule, list):
        schedule = [(a.name, a.uri, [(w.name, w.trigger.serialize()) for w in a.watchers]) for a in schedule]
    return {
        "dag_id": dag.dag_id,
        "schedule": str(schedule),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "tags": sorted(dag.tags),
        "doc": dag.doc_md,
        "params": sorted(dag.params),
        "failure": plain(dag.on_failure_callback),
        "tasks": {task.task_id: told(task) for task in dag.tasks},
    }


def both(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    from airflow_distill.pipelines import build_dag

    workload = read_workload(path)
    scope: dict[str, Any] = {}
    exec(compile(dag_source(workload, path.name), path.name, "exec"), scope)
    return told_dag(build_dag(workload)), told_dag(scope["dag"])


@pytest.mark.parametrize("more", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_dag_and_its_ejected_code_are_the_same_tasks(tmp_path: Path, more: str) -> None:
    made, ejected = both(write(tmp_path, "support_tickets", SHORTEST + more))
    assert made == ejected


@pytest.mark.parametrize(
    ("when", "kind"),
    [
        ("schedule: {cron: '0 6 * * 1'}\n", "AssetOrTimeSchedule"),
        ("schedule: {fresh_prompts: 500}\n", "AssetAny"),
        ("", "list"),
    ],
)
def test_the_watch_starts_ejected_code_as_it_starts_the_files_dag(
    tmp_path: Path, when: str, kind: str
) -> None:
    from airflow_distill.pipelines import build_dag

    workload = read_workload(write(tmp_path, "w", SHORTEST + "watch: {}\n" + when))
    scope: dict[str, Any] = {}
    exec(compile(dag_source(workload, "w.yaml"), "w.yaml", "exec"), scope)
    for dag in (build_dag(workload), scope["dag"]):
        assert type(dag.schedule).__name__ == kind
        told = repr(dag.timetable) + repr(dag.schedule)
        assert "distill://retrain/w" in told
        assert ("distill://fresh-logs/w" in told) is (kind == "AssetAny")


def test_ejected_code_names_the_guards_that_it_leaves_to_the_folder(tmp_path: Path) -> None:
    text = dag_source(read_workload(write(tmp_path, "w", SHORTEST + "watch: {}\n")), "w.yaml")
    assert (
        "Not in here: the guards of the file (lifecycle, commitments, idle hosts, watch, doctor, verify)."
        in text
    )


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("[!d]*.yaml")), ids=lambda p: p.stem)
def test_every_example_file_and_its_ejected_code_are_the_same_tasks(path: Path) -> None:
    made, ejected = both(path)
    assert made == ejected


def test_ejected_code_is_sorted_and_formatted_as_our_own(tmp_path: Path) -> None:
    path = tmp_path / "ejected.py"
    path.write_text(dag_source(read_workload(EXAMPLES / "support_tickets.yaml"), "support_tickets.yaml"))
    checked = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--config",
        str(ROOT / "pyproject.toml"),
        "--ignore",
        "E501",
    ]
    out = subprocess.run([*checked, str(path)], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stdout


def test_runs_of_one_workload_never_overlap(example: Callable[..., Workload]) -> None:
    from airflow_distill.pipelines import build_dag

    assert build_dag(example("support_tickets")).max_active_runs == 1


def test_no_default_speaks_of_a_logical_date(tmp_path: Path) -> None:
    """Runs on assets and partitions have none."""
    for name, more in VARIANTS.items():
        text = dag_source(read_workload(write(tmp_path, "w", SHORTEST + more)), name)
        assert not any(word in text for word in ("{{ ds", "logical_date", "data_interval", "{{ ts"))


def test_every_dag_serialises(tmp_path: Path, airflow_home: Path) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    from airflow_distill.pipelines import build_dags

    for number, more in enumerate(VARIANTS.values()):
        write(tmp_path, f"w{number}", SHORTEST + more)
    for dag in build_dags(tmp_path).values():
        DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))


def test_a_wrong_file_becomes_a_dag_that_says_so_and_spares_the_others(tmp_path: Path) -> None:
    from airflow_distill.pipelines import build_dags

    write(tmp_path, "good", SHORTEST)
    path = write(tmp_path, "bad", SHORTEST + "margin: 1\n")
    dags = build_dags(tmp_path)
    assert list(dags) == ["distill_bad", "distill_good", "distill_guards"]
    assert f"{path}:10:1: margin: unknown key" in dags["distill_bad"].doc_md
    assert dags["distill_bad"].schedule is None


def test_guards_look_after_every_sound_workload(tmp_path: Path) -> None:
    from airflow_distill.pipelines import build_dags

    write(tmp_path, "one", SHORTEST)
    write(tmp_path, "two", SHORTEST)
    assert sorted(build_dags(tmp_path)["distill_guards"].task_ids) == [
        "commitments_one",
        "commitments_two",
        "idle_one",
        "idle_two",
        "lifecycle_one",
        "lifecycle_two",
    ]


def test_a_notifier_hears_only_of_its_events(tmp_path: Path) -> None:
    from airflow_distill.pipelines import build_dag

    alerts = "alerts: [{notifier: a.Chat, events: [verdict, approval]}, {notifier: a.Pager, events: [failure, spend]}]\n"
    dag = build_dag(read_workload(write(tmp_path, "w", SHORTEST + alerts)))
    assert [n.notifier for n in dag.on_failure_callback] == ["a.Pager"]
    assert [n.notifier for n in dag.task_dict["decision.approve"].on_success_callback] == ["a.Chat"]
    assert [n.notifier for n in dag.task_dict["decision.approve"].notifiers] == ["a.Chat"]
    assert [n.notifier for n in dag.task_dict["jobs.check_budget"].on_failure_callback] == ["a.Pager"]


def test_the_host_is_taken_away_whatever_happens_to_the_answers(example: Callable[..., Workload]) -> None:
    from airflow_distill.pipelines import build_dag

    dag = build_dag(example("support_tickets"))
    remove = dag.task_dict["evaluation.delete_host"]
    assert remove.is_teardown
    assert remove.upstream_task_ids == {
        "evaluation.create_host",
        "evaluation.collect_answers",
        "jobs.distill",
    }
    assert remove.trigger_rule == "all_done", "it runs when its setup failed, or never began"
    assert {"host", "job"} <= remove.may_be_missing


def test_a_stage_group_names_the_receipts_it_lacks(example: Callable[..., Workload]) -> None:
    from airflow.sdk import DAG

    from airflow_distill.errors import ConfigurationError
    from airflow_distill.pipelines.task_groups import build_group
    from airflow_distill.workload.tasks import dataset_tasks

    workload = example("support_tickets")
    with DAG("foreign", schedule=None), pytest.raises(ConfigurationError, match="lacks harvest"):
        build_group(dataset_tasks(workload), workload, {})


def test_the_loop_fits_into_a_dag_of_ones_own_under_its_own_name(example: Callable[..., Workload]) -> None:
    from airflow.sdk import DAG

    from airflow_distill.pipelines import distill_from_logs

    with DAG("foreign", schedule=None) as dag:
        receipts = distill_from_logs(example("support_tickets"))
    assert "support_tickets.jobs.distill" in dag.task_ids
    assert receipts["job"].operator.task_id == "support_tickets.jobs.distill"


def test_the_window_ends_before_late_logs_and_reaches_back_as_the_file_says(
    example: Callable[..., Workload],
) -> None:
    from datetime import UTC, datetime
    from types import SimpleNamespace

    import jinja2
    from airflow.sdk import macros

    from airflow_distill.workload.tasks import window

    workload = example("support_tickets", logs={"window": "36h", "late": "90m"})
    context = {
        "dag_run": SimpleNamespace(run_after=datetime(2026, 11, 24, 5, 45, tzinfo=UTC), partition_date=None),
        "macros": macros,
        "params": {},
    }
    start, end = (jinja2.Template(text).render(context) for text in window(workload))
    assert (start, end) == ("2026-11-22T16:00:00Z", "2026-11-24T04:00:00Z")
    context["params"] = {"window_end": "2026-01-01T00:00:00Z"}
    assert jinja2.Template(window(workload)[1]).render(context) == "2026-01-01T00:00:00Z"


def test_a_hundred_files_become_a_hundred_dags_and_a_guard(tmp_path: Path) -> None:
    """What that costs is told by benchmarks/workloads.py."""
    from airflow_distill.pipelines import build_dags

    for number in range(100):
        write(tmp_path, f"w{number}", SHORTEST)
    assert len(build_dags(tmp_path)) == 101


def test_building_dags_loads_no_sdk_client_and_opens_no_socket(tmp_path: Path) -> None:
    write(tmp_path, "w", SHORTEST)
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "import airflow.sdk, airflow_distill.operators.workload\n"
        "socket.socket.connect = refuse\n"
        "import boto3; boto3.Session.client = refuse\n"
        "from airflow_distill.pipelines import build_dags\n"
        f"print(sorted(build_dags({str(tmp_path)!r})))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "distill_w" in out.stdout


def test_the_deadline_of_the_file_is_the_deadline_of_the_job(tmp_path: Path) -> None:
    from airflow_distill.pipelines import build_dag

    dag = build_dag(read_workload(write(tmp_path, "w", SHORTEST + "job: {deadline: 36h}\n")))
    assert dag.task_dict["jobs.distill"].wait_timeout == timedelta(hours=36)


def test_a_host_bought_by_a_back_filled_run_ends_after_the_run_begins(tmp_path: Path) -> None:
    """Its days would be over already if they were counted from the time it stands for."""
    from datetime import UTC, datetime
    from types import SimpleNamespace

    import jinja2
    from airflow.sdk import macros

    from airflow_distill.pipelines import build_dag

    throughput = VARIANTS["throughput"]
    promote = build_dag(read_workload(write(tmp_path, "w", SHORTEST + throughput))).task_dict[
        "deployment.promote"
    ]
    run = SimpleNamespace(
        run_after=datetime(2026, 6, 1, tzinfo=UTC), start_date=datetime(2026, 11, 24, tzinfo=UTC)
    )
    rendered = jinja2.Template(promote.ends_at).render(dag_run=run, macros=macros)
    assert rendered == "2026-12-24T00:00:00Z"


def test_a_loop_begins_with_the_doctor_and_takes_its_turn_around_everything_else(
    example: Callable[..., Workload],
) -> None:
    from airflow_distill.pipelines import build_dag

    dag = build_dag(example("support_tickets"))
    assert [task.task_id for task in dag.roots] == ["start.doctor"]
    turn = dag.task_dict["start.take_turn"]
    assert turn.is_setup
    inside = set(dag.task_ids) - {"start.doctor", "start.take_turn", "end.end_turn", "end.end_run"}
    assert inside <= {task.task_id for task in turn.get_flat_relatives(upstream=False)}
    end = dag.task_dict["end.end_turn"]
    assert end.is_teardown
    assert inside <= {task.task_id for task in end.get_flat_relatives(upstream=True)}
    report = dag.task_dict["end.report"]
    assert report.is_teardown, "a report that succeeds must not hide a loop that failed"


def test_clearing_a_task_with_what_follows_takes_the_turn_anew(example: Callable[..., Workload]) -> None:
    from airflow_distill.pipelines import build_dag

    dag = build_dag(example("support_tickets"))
    cleared = dag.partial_subset("jobs.distill", include_downstream=True, include_upstream=False).task_ids
    assert {"start.take_turn", "end.end_turn"} <= set(cleared)
    assert "logs.plan_harvest" not in cleared


def test_logs_that_bedrock_reads_itself_are_counted_before_anything_is_bought(tmp_path: Path) -> None:
    from airflow_distill.pipelines import build_dag

    dag = build_dag(read_workload(write(tmp_path, "w", SHORTEST + VARIANTS["logged pairs"])))
    check = dag.task_dict["jobs.check_logs"]
    assert check.logs == "s3://acme-logs/bedrock/2026/10"
    assert "jobs.check_logs" in dag.task_dict["jobs.check_budget"].upstream_task_ids
    assert dag.task_dict["start.doctor"].logs_are_data


@pytest.mark.parametrize(
    ("more", "shards", "least"),
    [("", 16, 512_000_000), ("  shards: 8\n  least_bytes: 1000000\n", 8, 1_000_000)],
)
def test_a_file_says_into_how_many_shards_a_window_is_cut(
    tmp_path: Path, more: str, shards: int, least: int
) -> None:
    from airflow_distill.pipelines import build_dag

    text = SHORTEST.replace("s3://acme-logs/bedrock\n", f"s3://acme-logs/bedrock\n{more}")
    file = write(tmp_path, "w", text)
    plan = build_dag(read_workload(file)).task_dict["logs.plan_harvest"]
    assert (plan.shards, plan.least_bytes) == (shards, least)
    made, ejected = both(file)
    assert made == ejected
