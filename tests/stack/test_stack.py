"""A workload's whole loop on a platform like Amazon MWAA's, while its parts are killed, replaced and stopped.

`STACK_OUTAGE` is how many seconds the database is away (60).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest

from airflow_distill.demo.airflow import AirflowApiError
from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.server import airflow_connection
from airflow_distill.sandbox.traffic import support_tickets
from tests.real_airflow.running import wait
from tests.stack.running import WORKERS, Stack
from tests.stack.services import install_servers

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.stack, pytest.mark.timeout(1500)]

SHARDS = 8
OUTAGE = float(os.environ.get("STACK_OUTAGE", "60"))
DAG_ID = "distill_tickets"
BUCKET = "distill-sandbox"
ROLE = "arn:aws:iam::123456789012:role/distill-sandbox"

WORKLOAD = f"""\
owner: support-platform
teacher: amazon.nova-pro-v1:0
student: amazon.nova-micro-v1:0:128k
root: s3://{BUCKET}/loop
role_arn: {ROLE}
region_name: us-east-1
aws_conn_id: distill_aws
logs:
  location: s3://{BUCKET}/bedrock
  metadata:
    equals: {{app: support_tickets}}
  shards: {SHARDS}
  least_bytes: 1
dataset: {{heldout: 0.25}}
evaluation: {{scorers: [label_accuracy]}}
policy: {{margin: 0.2}}
approval: {{mode: never}}
deployment: {{bake: 1m, smoke_prompts: 2}}
budget:
  usd_per_run: 200
  student_prices: {{deployment-input: 0.000035, deployment-output: 0.00014}}
"""

DAGS = """
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, task

from airflow_distill.operators.logs import HarvestLogsOperator, PlanHarvestOperator
from airflow_distill.operators.reap import ReapUnusedOperator
from airflow_distill.pipelines import AccountSettings, build_dags

build_dags(Path(__file__).parent / "workloads", default_args={"retry_delay": timedelta(seconds=2)}, guards=None)

with DAG("elsewhere", schedule=None, user_defined_macros={"account": AccountSettings("root")},
         params={"aws_conn_id": "distill_env", "root": None}):

    @task(retries=3, retry_delay=timedelta(seconds=2))
    def empty():
        return None

    empty()
    ReapUnusedOperator(task_id="reap", aws_conn_id="{{ params.aws_conn_id }}", root="{{ account('root') }}")

with DAG("shards", schedule=None, params={"root": "", "logs": ""}):
    place = {"workload": "shards", "root": "{{ params.root }}", "logs": "{{ params.logs }}", "aws_conn_id": "distill_aws"}
    plan = PlanHarvestOperator(task_id="plan", shards=8, least_bytes=1, **place)
    HarvestLogsOperator.partial(task_id="read", model="amazon.nova-pro-v1:0", **place).expand(shard=plan.output)
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(log_delay=0.05) as sandbox:
        sandbox.reset()
        sandbox.prepare()
        yield sandbox


@pytest.fixture(scope="module")
def stack(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running platform. `DISTILL_KEEP_AIRFLOW=1` leaves its folder, with the logs, for a look afterwards."""
    install_servers()
    home = Path(tempfile.mkdtemp(prefix="airflow-distill-stack-"))
    stack = Stack.at(home, {"AIRFLOW_CONN_DISTILL_ENV": airflow_connection(sandbox.endpoint_url)})
    dags = tmp_path_factory.mktemp("dags")
    (dags / "workloads").mkdir()
    (dags / "workloads/tickets.yaml").write_text(WORKLOAD)
    (dags / "loop.py").write_text(DAGS)
    try:
        stack.add_dags(dags)
        stack.start_all()
        stack.neighbours.keep_secret(
            "airflow/connections/distill_aws", airflow_connection(sandbox.endpoint_url)
        )
        stack.wait_until_healthy(DAG_ID, timeout=300)
        yield stack
    finally:
        stack.close()
        if not os.environ.get("DISTILL_KEEP_AIRFLOW"):
            shutil.rmtree(home, ignore_errors=True)


class Run:
    """One run of a Dag, looked at while parts of the platform come and go."""

    def __init__(self, stack: Stack, dag_id: str, conf: dict[str, Any] | None = None) -> None:
        self.stack, self.dag_id = stack, dag_id
        self.id = stack.trigger(dag_id, conf)

    def tasks(self) -> list[dict[str, Any]]:
        """Return the task instances; what does not answer is looked after, and there are none then."""
        self.stack.look_after()
        with suppress(AirflowApiError, httpx.HTTPError):
            return self.stack.task_instances(self.dag_id, self.id)
        return []

    def states(self, task_id: str) -> set[str]:
        return {str(each["state"]) for each in self.tasks() if each["task_id"] == task_id}

    def wait_for(self, task_id: str, state: str, timeout: float) -> None:
        wait(lambda: state in self.states(task_id), f"{task_id} to be {state}", timeout)

    def finished(self, timeout: float) -> str:
        seen = [""]

        def ended() -> bool:
            self.stack.look_after()
            with suppress(AirflowApiError, httpx.HTTPError):
                seen[0] = self.stack.run_state(self.dag_id, self.id)
            return seen[0] in {"success", "failed"}

        wait(ended, f"{self.dag_id} to end", timeout)
        return seen[0]


def play(sandbox: Sandbox) -> None:
    """Write logs of eight hours, an object each."""
    sandbox.enable_logging(BUCKET, prefix="bedrock", region="us-east-1")
    begin = datetime.now(UTC) - timedelta(hours=30)
    sandbox.play(
        [
            {
                "prompt": pair.prompt,
                "system": pair.system,
                "completion": pair.completion,
                "metadata": {"app": "support_tickets"},
                "timestamp": (begin + timedelta(hours=number % 8)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            for number, pair in enumerate(support_tickets(1600, seed=7))
        ],
        model_id="amazon.nova-pro-v1:0",
        region="us-east-1",
    )


def test_the_loop_releases_once_though_a_worker_the_triggerer_and_the_database_go(
    stack: Stack, sandbox: Sandbox
) -> None:
    began = time.monotonic()
    happened: list[str] = []

    def tell(what: str) -> None:
        happened.append(f"{time.monotonic() - began:6.0f} s  {what}")

    # The connection comes from the environment, the place from Params; an empty task is measured beside it.
    elsewhere = Run(stack, "elsewhere", {"root": f"s3://{BUCKET}/loop"})
    play(sandbox)
    sandbox.world.set_pace("seconds:60", "customization-job")
    slow = sandbox.faults.add("slow", "s3:GetObject", seconds=20.0, match="*BedrockModelInvocationLogs*")
    run = Run(stack, DAG_ID)

    def busy() -> list[dict[str, Any]]:
        return [
            each
            for each in run.tasks()
            if each["task_id"] == "logs.harvest_shard"
            and each["state"] == "running"
            and each["hostname"] == WORKERS[0]
        ]

    wait(lambda: bool(busy()), "a shard to be read by the first worker", 240)
    lost = {each["map_index"] for each in busy()}
    stack.kill(WORKERS[0])
    sandbox.faults.remove(slow.id)
    tell(f"killed {WORKERS[0]} in the middle of shards {sorted(lost)}")
    stack.start_component(WORKERS[0])

    run.wait_for("jobs.distill", "deferred", 300)
    stack.kill("triggerer")
    stack.start_component("triggerer-2")
    tell("replaced the triggerer in the middle of the wait")
    stack.database.stop()
    time.sleep(OUTAGE)
    stack.database.start()
    tell(f"the database was away for {OUTAGE:.0f} s")

    state = run.finished(500)
    tell(f"the loop ended: {state}")
    assert elsewhere.finished(60) == "success", "a task whose connection is in the environment"
    tasks = run.tasks()
    print("\n".join(["", f"broker: {stack.neighbours.broker}", *happened, *table(stack, tasks, sandbox)]))

    assert state == "success", {each["task_id"]: each["state"] for each in tasks}
    tries = {t["map_index"]: t["try_number"] for t in tasks if t["task_id"] == "logs.harvest_shard"}
    assert len(tries) == SHARDS
    assert {number for number in lost if tries[number] < 2} == set(), "what was lost was read again"
    assert set(stack.shards_by_worker(tasks)) <= set(WORKERS)
    assert len({cost.worker for cost in stack.costs()}) == 2, "both workers worked"
    decision = stack.xcom(DAG_ID, run.id, "decision.decide")
    assert decision["verdict"] == "promote"
    calls = sandbox.meter()["calls"]
    assert calls["CreateModelCustomizationJob"] == {"ok": 1}, "bought once"
    assert calls["CreateCustomModelDeployment"] == {"ok": 2}, "one host to judge by and one that serves"


def test_two_workers_read_shards_at_least_1_7_times_as_fast_as_one(stack: Stack, sandbox: Sandbox) -> None:
    """Each worker reads one shard at a time, from an S3 that takes eight seconds for an object."""
    for name in WORKERS:
        stack.kill(name)
    stack.slots = 1
    slow = sandbox.faults.add("slow", "s3:GetObject", seconds=8.0, match="*BedrockModelInvocationLogs*")
    seconds = {}
    for number, name in enumerate(WORKERS, 1):
        stack.start_component(name)
        place = {"root": f"s3://{BUCKET}/by-{number}", "logs": f"s3://{BUCKET}/bedrock"}
        run = Run(stack, "shards", place)
        assert run.finished(300) == "success"
        shards = [each for each in run.tasks() if each["task_id"] == "read"]
        assert len(shards) == SHARDS
        assert {each["hostname"] for each in shards} == set(WORKERS[:number])
        ends = [datetime.fromisoformat(each["end_date"]) for each in shards]
        starts = [datetime.fromisoformat(each["start_date"]) for each in shards]
        seconds[number] = (max(ends) - min(starts)).total_seconds()
    sandbox.faults.remove(slow.id)
    ratio = seconds[1] / seconds[2]
    print(
        f"\n{SHARDS} shards, one at a time on each worker: {seconds[1]:.0f} s by one worker, "
        f"{seconds[2]:.0f} s by two, {ratio:.2f} times as fast"
    )
    assert ratio >= 1.7


def table(stack: Stack, tasks: list[dict[str, Any]], sandbox: Sandbox) -> list[str]:
    """Return lines that tell what each task took, who read the shards, and what was bought."""
    costs = [cost for cost in stack.costs() if cost.state == "success"]
    empty = [cost.processor_seconds for cost in costs if cost.task_id == "empty"]
    lines = [f"{'task':32} {'runs':>4} {'wall s':>7} {'cpu s':>6} {'MB':>5}  worker"]
    for task_id in dict.fromkeys(cost.task_id for cost in costs):
        own = [cost for cost in costs if cost.task_id == task_id]
        lines.append(
            f"{task_id:32} {len(own):4} {max(c.seconds for c in own):7.1f} "
            f"{median(c.processor_seconds for c in own):6.2f} {max(c.megabytes for c in own):5.0f}  "
            + ", ".join(sorted({c.worker for c in own}))
        )
    lines.append(f"an empty task: {empty[0] if empty else '?'} s of processor time")
    lines.append(f"shards by worker: {dict(stack.shards_by_worker(tasks))}")
    lines.append(f"tries: { {t['task_id']: t['try_number'] for t in tasks if t['try_number'] > 1} }")
    lines.append(f"started again by the platform: {dict(stack.restarted)}")
    meter = sandbox.meter()
    bought = {name: made for name, made in meter["calls"].items() if name.startswith("Create")}
    lines.append(f"bought: {bought}; {meter.get('total_usd', meter.get('total'))} USD")
    return lines
