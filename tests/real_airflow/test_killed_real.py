"""Ten releases while scheduler, workers and triggerer are killed at random, thirty times: the bill is that of a quiet day.

Each release buys a job and a candidate host, swaps the live model and bakes it. One workload makes two releases
undisturbed; then five make two each under fire, and may cost five times as much. The kills follow the progress of the
runs, so they hit as much on a slow machine as on a quick one. `make test-kills` prints the figures; `DISTILL_SEED` chooses
another day.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_distill.aws.promotion import look_for_drift
from airflow_distill.demo.airflow import COMPONENTS
from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets
from airflow_distill.stages.deployment.times import iso
from tests.real_airflow.running import RealAirflow, wait
from tests.release_world import ReleaseWorld

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.slow,
    pytest.mark.soak,
    pytest.mark.kills,
    pytest.mark.timeout(1800),
]

DAG = (Path(__file__).parent / "killed_dags.py").read_text()
KILLS, WORKLOADS, ROUNDS = 30, 5, 2
HOURLY_PRICE = 15.0
MONEY = ("CreateModelCustomizationJob", "CreateProvisionedModelThroughput", "CreateCustomModelDeployment")


class Killer(threading.Thread):
    """Kills a component, or the process in which a task works, soon after some task has come further.

    Components are started again at once. A kill without any progress since the last one would only show that nothing can
    work on a machine that is switched off all the time.
    """

    def __init__(self, airflow: RealAirflow, seed: int) -> None:
        super().__init__(daemon=True)
        self.airflow, self.random = airflow, random.Random(seed)
        self.killed: Counter[str] = Counter()
        self.allowed = 0
        self.enough = threading.Event()
        self.seen = ""

    @property
    def count(self) -> int:
        return sum(self.killed.values())

    def run(self) -> None:
        while self.count < KILLS and not self.enough.is_set():
            time.sleep(0.5)
            if self.count >= self.allowed or not self.has_progressed():
                continue
            time.sleep(self.random.uniform(0.0, 4.0))
            what = self.random.choice(("scheduler", "worker", "worker", "triggerer"))
            if what == "worker":
                self.killed[what] += self.kill_a_worker()
            else:
                self.kill_component(what)
                self.killed[what] += 1
            print(f"{time.strftime('%H:%M:%S')} {self.count} killed, the last: {what}", flush=True)

    def has_progressed(self) -> bool:
        """Say whether any task has changed its state since the last kill, as the metadata database has it."""
        query = (
            "select run_id, task_id, state, try_number from task_instance "
            "where state in ('running', 'deferred', 'success') order by 1, 2"
        )
        try:
            place = f"file:{self.airflow.home / 'airflow.db'}?mode=ro"
            with contextlib.closing(sqlite3.connect(place, uri=True, timeout=30)) as database:
                found = repr(database.execute(query).fetchall())
        except sqlite3.Error:
            return False
        progressed, self.seen = found != self.seen, found
        return progressed

    def kill_component(self, name: str) -> None:
        process = self.airflow.processes.running.pop(name)
        self.airflow._signal(process.pid, signal.SIGKILL)
        process.wait()
        self.airflow.processes.start(
            name, self.airflow.command(*COMPONENTS[name]), self.airflow.environment()
        )

    def kill_a_worker(self) -> int:
        """Kill the process of a task that works just now, as the kernel does when memory runs out; 0 when none does."""
        try:
            scheduler = psutil.Process(self.airflow.processes.running["scheduler"].pid)
            working = [
                p for p in scheduler.children(recursive=True) if _works_on_a_task(" ".join(p.cmdline()))
            ]
        except (KeyError, psutil.Error):
            return 0
        if not working:
            return 0
        with contextlib.suppress(psutil.Error):
            self.random.choice(working).kill()
            return 1
        return 0


def _works_on_a_task(title: str) -> bool:
    """Say whether a process carries a task out: Airflow titles it with the task instance's id."""
    return title.startswith("airflow worker -- ") and "LocalExecutor" not in title


def dataset(sandbox: Sandbox, name: str) -> dict[str, Any]:
    """Write a training file and return the receipt of its dataset."""
    import json

    key = f"loop/{name}/train.jsonl"
    lines = [
        json.dumps(
            {
                "schemaVersion": "bedrock-conversation-2024",
                "messages": [{"role": "user", "content": [{"text": ticket.prompt}]}],
            }
        )
        for ticket in support_tickets(110)
    ]
    sandbox.client("s3").put_object(Bucket="distill-sandbox", Key=key, Body="\n".join(lines).encode())
    return {
        "kind": "dataset", "v": 1, "dataset_id": name, "train_uri": f"s3://distill-sandbox/{key}",
        "train_records": 110, "teacher": "amazon.nova-pro-v1:0", "student": "amazon.nova-micro-v1:0:128k",
        "with_answers": False, "accepted": True,
    }  # fmt: skip


def job_of(model: str) -> dict[str, Any]:
    job = model.replace("custom-model", "model-customization-job")
    return {"kind": "job", "v": 1, "custom_model_arn": model, "job_arn": job}


def bill(sandbox: Sandbox) -> dict[str, float]:
    """Return what has been billed so far by service; the storage of models aside, which counts the time that passes."""
    found: Counter[str] = Counter()
    for line in sandbox.meter()["lines"]:
        if "storage" not in line["service"]:
            found[line["service"]] += line["amount"]
    return dict(found)


def bought(sandbox: Sandbox) -> dict[str, int]:
    return {name: sandbox.calls(name) for name in MONEY}


def difference(after: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value - before.get(name, 0), 6) for name, value in after.items()}


def day(
    airflow: RealAirflow,
    sandbox: Sandbox,
    prefix: str,
    count: int,
    begin: Callable[[int], None] = lambda number: None,
) -> tuple[list[ReleaseWorld], dict[str, Any], dict[str, int]]:
    """Let so many workloads make two releases each; returns the workloads, the bill and the purchases.

    :param begin: called with the number of each round, the first being 0.
    """
    worlds = [ReleaseWorld(sandbox, workload=f"{prefix}-{n}") for n in range(count)]
    before, before_bought = bill(sandbox), bought(sandbox)
    for number in range(ROUNDS):
        begin(number)
        runs = []
        for world in worlds:
            model = world.model(f"{world.workload}-{number}")
            conf = {
                "workload": world.workload,
                "decision": world.decision(model),
                "job": job_of(model),
                "dataset": dataset(sandbox, f"{world.workload}-d{number}"),
                "ends_at": iso(world.now() + timedelta(days=20)),
            }
            runs.append(trigger(airflow, conf))
        ended: dict[str, str] = {}

        def all_ended(runs: list[str] = runs, ended: dict[str, str] = ended) -> bool:
            for run in runs:
                with contextlib.suppress(Exception):
                    ended[run] = airflow.run_state("releases", run)
            return len(ended) == len(runs) and set(ended.values()) <= {"success", "failed"}

        wait(all_ended, f"round {number} of {prefix}", 600, 2.0)
        assert set(ended.values()) == {"success"}, [
            (run, {t["task_id"]: t["state"] for t in airflow.task_instances("releases", run)})
            for run, state in ended.items()
            if state != "success"
        ]
    return worlds, difference(bill(sandbox), before), difference(bought(sandbox), before_bought)


def trigger(airflow: RealAirflow, conf: dict[str, Any]) -> str:
    """Start a run; SQLite may be busy while components start, so ask again."""
    said: list[str] = []

    def started() -> bool:
        with contextlib.suppress(Exception):
            said.append(airflow.trigger("releases", conf))
        return bool(said)

    wait(started, "a run to start", 120, 1.0)
    return said[0]


@pytest.fixture
def patient_airflow(real_sandbox: Sandbox) -> Iterator[RealAirflow]:
    """An Airflow that takes a task for lost after 40 s, so that a slow machine adds no kills of its own."""
    home = Path(tempfile.mkdtemp(prefix="airflow-distill-kills-"))
    patience = {
        "AIRFLOW__CORE__PARALLELISM": "5",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "40",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "20",
        # tasks of a scheduler that was killed are looked for every five minutes otherwise
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    }
    airflow = RealAirflow.at(home, {**real_sandbox.environment(), **patience})
    try:
        airflow.start_all()
        yield airflow
    finally:
        airflow.close()
        if not os.environ.get("DISTILL_KEEP_AIRFLOW"):
            shutil.rmtree(home, ignore_errors=True)


def test_thirty_kills_over_ten_releases_cost_nothing_but_minutes_of_candidates(
    patient_airflow: RealAirflow, real_sandbox: Sandbox
) -> None:
    airflow, sandbox = patient_airflow, real_sandbox
    sandbox.world.set_pace("seconds:4")
    # five workloads make their first host at once; a quota would be waited for a quarter of an hour
    sandbox.world.set_quota("custom-model-deployments-creating", WORKLOADS)
    airflow.add_dag("killed_dags", DAG)
    airflow.wait_until_healthy("releases", timeout=300)

    began = time.monotonic()
    _, quiet_bill, quiet_bought = day(airflow, sandbox, "quiet", 1)
    quiet_minutes = (time.monotonic() - began) / 60

    seed = int(os.environ.get("DISTILL_SEED", "20261130"))
    killer = Killer(airflow, seed)
    began = time.monotonic()

    def fire(number: int) -> None:
        killer.allowed = KILLS * (number + 1) // ROUNDS

    killer.start()
    try:
        worlds, shot_bill, shot_bought = day(airflow, sandbox, "shot", WORKLOADS, fire)
    finally:
        killer.enough.set()
        killer.join(60)
    minutes = (time.monotonic() - began) / 60

    kills = ", ".join(f"{count} {what}" for what, count in sorted(killer.killed.items()))
    print(
        f"\nundisturbed: {ROUNDS} releases in {quiet_minutes:.1f} min, bought {quiet_bought}, bill {quiet_bill}"
    )
    print(
        f"under fire (seed {seed}): {WORKLOADS * ROUNDS} releases in {minutes:.1f} min; {killer.count} kills: {kills}"
    )
    print(f"bought {shot_bought}, bill {shot_bill}")
    throughput = "provisioned-throughput"
    more = shot_bill[throughput] - quiet_bill[throughput] * WORKLOADS
    waited = more / HOURLY_PRICE * 60
    print(
        f"more than {WORKLOADS} undisturbed days: {waited:.1f} minutes of {WORKLOADS * ROUNDS} candidates, {more:.2f} USD"
    )

    assert killer.count >= KILLS
    assert shot_bought == {name: count * WORKLOADS for name, count in quiet_bought.items()}, (
        "nothing was bought twice"
    )
    assert waited < WORKLOADS * ROUNDS * minutes, "no candidate billed for longer than there was fire"
    for service, amount in shot_bill.items():
        if service == throughput:
            continue
        # a probe that was asked and not noted down is asked again
        allowed = quiet_bill.get(service, 0.0) * WORKLOADS * (1.0 if "customization" in service else 1.5)
        assert amount <= allowed + 1e-6, (service, amount, allowed)
    for world in worlds:
        history = world.ledger.sound()
        assert [e.outcome.outcome for e in history.entries if e.outcome] == ["released"] * ROUNDS
        assert len(history.entries) == ROUNDS
        _, found = look_for_drift(world.gateways, world.store, world.root, world.workload, world.now())
        assert found == ()
    candidates = sandbox.client("bedrock").list_provisioned_model_throughputs()["provisionedModelSummaries"]
    assert candidates == [], "every candidate went with its run"
