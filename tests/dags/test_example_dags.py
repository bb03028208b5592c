"""Every file in `dags/` is imported, serialised and run to its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets
from airflow_distill.stages.dataset.jsonl import bedrock_record, encode_line
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.workload.config import Workload
from airflow_distill.workload.iam import documents
from airflow_distill.workload.reading import read_workload
from tests.wire import Wire, held_to_the_printed_roles

pytestmark = pytest.mark.airflow

DAGS = Path(__file__).parents[2] / "dags"
QUICK = {
    "approval": {"mode": "never"},
    "deployment": {"bake": "1m", "smoke_prompts": 2},
    "dataset": {"heldout": 0.25},
    "policy": {"margin": 0.2},
}
RunDag = Callable[..., Any]
Allow = Callable[[Workload], None]


@pytest.fixture
def account(bedrock_environment: Sandbox) -> Sandbox:
    """The sandbox with the buckets, the role and the traffic that the examples speak of."""
    for bucket in ("acme-distill", "acme-bedrock-logs"):
        bedrock_environment.client("s3").create_bucket(Bucket=bucket)
    bedrock_environment.enable_logging("acme-bedrock-logs", prefix="bedrock", region="us-east-1")
    return bedrock_environment


@pytest.fixture
def wire(account: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """What the runs of a test ask of AWS; at its end all of it must be in the roles printed for its workload files."""
    yield from held_to_the_printed_roles(account, monkeypatch)


@pytest.fixture
def run_dag(run_dag: RunDag, wire: Wire) -> RunDag:
    def run(text: str, **arguments: Any) -> Any:
        with wire.listening():
            return run_dag(text, **arguments)

    return run


@pytest.fixture
def allow(account: Sandbox, wire: Wire) -> Callable[[Workload], None]:
    """Make the roles of a workload, and hold the runs to them."""

    def create(workload: Workload) -> None:
        wire.workloads.append(workload)
        allow_jobs(account, workload)

    return create


def allow_jobs(account: Sandbox, workload: Workload) -> None:
    iam, found = account.client("iam"), documents(workload)
    role = workload.role_arn.rsplit("/", 1)[-1]
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(found["customization-role-trust"]))
    policy = json.dumps(found["customization-role-policy"])
    iam.put_role_policy(RoleName=role, PolicyName="distill", PolicyDocument=policy)


def play(account: Sandbox, count: int, at: datetime, *, seed: int = 7, metadata: str = "app") -> None:
    items = [
        {
            "prompt": pair.prompt,
            "system": pair.system,
            "completion": pair.completion,
            "metadata": {metadata: "support_tickets"},
            "timestamp": (at + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        for number, pair in enumerate(support_tickets(count, seed=seed))
    ]
    account.play(items, model_id="amazon.nova-pro-v1:0", region="us-east-1")


def states(run: Any) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


def dag_file(name: str, *changes: tuple[str, str]) -> str:
    """The text of an example; a change is asserted to apply, so that a stale one is noticed."""
    text = (DAGS / name).read_text().replace("Path(__file__).parent", f"Path({str(DAGS)!r})")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


NO_RETRIES = {"retries": 0}


@pytest.mark.parametrize("path", sorted(DAGS.glob("*.py")), ids=lambda p: p.stem)
def test_an_example_imports_and_serialises(path: Path, airflow_home: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    bag = DagBag(str(path))
    assert bag.import_errors == {}
    assert bag.dags
    for dag in bag.dags.values():
        DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))


def test_the_factory_file_makes_a_dag_of_every_workload_file(airflow_home: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    found = set(DagBag(str(DAGS / "workloads.py")).dags)
    files = {p.stem for p in (DAGS / "workloads").glob("*.yaml")} - {"defaults"}
    assert found == {f"distill_{name}" for name in files} | {"distill_guards"}


def test_own_prompts_with_golden_labels_make_a_student_and_a_verdict(
    account: Sandbox, allow: Allow, run_dag: RunDag
) -> None:
    lines = [
        encode_line(
            bedrock_record(
                Example((Turn("user", p.prompt),), answer=p.completion, system=p.system or None),
                with_answer=True,
            )
        )
        for p in support_tickets(900, seed=11)
    ]
    data = b"".join([*lines, b"\n", b"not json\n"])
    account.client("s3").put_object(Bucket="acme-distill", Key="prompts/labelled_tickets.jsonl", Body=data)
    text = dag_file(
        "distill_from_prompts.py", ("schedule=None,", f"schedule=None, default_args={NO_RETRIES},")
    )
    scope: dict[str, Any] = {}
    exec(compile(text, "distill_from_prompts", "exec"), scope)
    allow(scope["TICKETS"])
    run = run_dag(text)
    assert set(states(run).values()) == {"success"}, states(run)
    assert not any("deployment" in task_id for task_id in states(run))


def test_fresh_logs_retrain_with_a_task_of_ones_own_between(
    account: Sandbox, allow: Allow, run_dag: RunDag
) -> None:
    allow(read_workload(DAGS / "workloads/support_tickets.yaml"))
    play(account, 1400, datetime.now(UTC) - timedelta(hours=30))
    change = ('support_tickets.yaml")', f'support_tickets.yaml", {QUICK!r})')
    quiet = ("    max_active_runs=1,", f"    max_active_runs=1, default_args={NO_RETRIES},")
    run = run_dag(dag_file("retrain_on_fresh_logs.py", change, quiet))
    assert set(states(run).values()) == {"success"}, states(run)


def test_logged_answers_are_reused_without_calling_the_teacher(
    account: Sandbox, allow: Allow, run_dag: RunDag
) -> None:
    now = datetime.now(UTC)
    play(account, 600, datetime(2026, 10, 12, 9, tzinfo=UTC), seed=3)
    play(account, 500, now - timedelta(hours=30), seed=5)
    workload = read_workload(
        DAGS / "workloads/support_tickets.yaml",
        {
            "name": "reused_answers",
            "dataset": {"source": "logs-pairs", "training_logs": "s3://acme-bedrock-logs/bedrock"},
        },
    )
    allow(workload)
    run = run_dag(dag_file("reuse_logged_answers.py", ("SHARED = {", "SHARED = {'retries': 0, ")))
    assert set(states(run).values()) == {"success"}, states(run)
    teacher = [line for line in account.meter()["lines"] if "nova-pro" in str(line["model"])]
    assert teacher == []


SETTINGS = {
    "root": "s3://acme-distill/loop",
    "logs": "s3://acme-bedrock-logs/bedrock",
    "role_arn": "arn:aws:iam::123456789012:role/distill-customization",
}
LOOP = "distill_from_invocation_logs.py"


@pytest.mark.parametrize("connection", ["aws://", None], ids=["empty", "missing"])
def test_the_whole_loop_gets_by_on_params_where_the_connection_says_nothing(
    account: Sandbox, allow: Allow, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch, connection: str | None
) -> None:
    """As on a platform that hands out its own role and occupies `aws_default`."""
    monkeypatch.delenv("AIRFLOW_CONN_DISTILL_AWS")
    if connection is not None:
        monkeypatch.setenv("AIRFLOW_CONN_DISTILL_AWS", connection)
    allow(read_workload(DAGS / "workloads/support_tickets.yaml"))
    play(account, 1400, datetime.now(UTC) - timedelta(hours=30), metadata="workload")
    run = run_dag(
        dag_file(LOOP, ("\n):\n", "\n) as dag:\n"), ("default_args={", "default_args={'retries': 0,")),
        run_conf={**SETTINGS, "poll_seconds": 0.2, "margin": 0.3, "curation": {"heldout": 0.25}},
    )
    assert set(states(run).values()) == {"success"}, states(run)
    assert account.meter()["calls"]["CreateModelCustomizationJob"] == {"ok": 1}


def test_a_loop_that_is_not_told_where_to_work_fails_in_its_first_task_without_a_retry(
    account: Sandbox, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DISTILL_AWS", "aws://")
    run = run_dag(dag_file(LOOP, ("\n):\n", "\n) as dag:\n")), run_conf={"root": "s3://acme-distill/loop"})
    (harvest,) = [ti for ti in run.get_task_instances() if ti.task_id == "harvest"]
    assert (harvest.state, harvest.try_number, harvest.max_tries) == ("failed", 1, 3)
    assert account.meter()["calls"].get("CreateModelCustomizationJob") is None
