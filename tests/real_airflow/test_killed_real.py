"""Ten releases while scheduler, workers and triggerer are killed at random, thirty times: the bill is that of a quiet day.

Five workloads make two releases each, once undisturbed and once under fire. Each release buys a job and a candidate host,
swaps the live model and bakes it. `make test-kills` runs it alone and prints the figures; `DISTILL_SEED` chooses
another day.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
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
    pytest.mark.timeout(3000),
]

DAG = (Path(__file__).parent / "killed_dags.py").read_text()
KILLS, WORKLOADS, ROUNDS = 30, 5, 2
PAUSE = (4.0, 9.0)
"""Seconds between two kills."""
MONEY = ("CreateModelCustomizationJob", "CreateProvisionedModelThroughput", "CreateCustomModelDeployment")


class Killer(threading.Thread):
    """Kills a component, or the process in which a task works, at random moments; components are started again at once."""

    def __init__(self, airflow: RealAirflow, seed: int) -> None:
        super().__init__(daemon=True)
        self.airflow, self.random = airflow, random.Random(seed)
        self.killed: Counter[str] = Counter()
        self.enough = threading.Event()

    def run(self) -> None:
        while sum(self.killed.values()) < KILLS and not self.enough.is_set():
            time.sleep(self.random.uniform(*PAUSE))
            what = self.random.choice(("scheduler", "worker", "triggerer"))
            if what == "worker":
                self.killed[what] += self.kill_a_worker()
            else:
                self.kill_component(what)
                self.killed[what] += 1

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
                p for p in scheduler.children(recursive=True) if "task runner" in " ".join(p.cmdline())
            ]
        except (KeyError, psutil.Error):
            return 0
        if not working:
            return 0
        with contextlib.suppress(psutil.Error):
            self.random.choice(working).kill()
            return 1
        return 0


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
    airflow: RealAirflow, sandbox: Sandbox, prefix: str
) -> tuple[list[ReleaseWorld], dict[str, Any], dict[str, int]]:
    """Make ten releases, five at a time; returns the workloads, the bill and the purchases."""
    worlds = [ReleaseWorld(sandbox, workload=f"{prefix}-{n}") for n in range(WORKLOADS)]
    before, before_bought = bill(sandbox), bought(sandbox)
    for number in range(ROUNDS):
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

        wait(all_ended, f"round {number} of {prefix}", 1500, 2.0)
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


def test_thirty_kills_over_ten_releases_cost_nothing_but_minutes_of_candidates(
    real_airflow: RealAirflow, real_sandbox: Sandbox
) -> None:
    airflow, sandbox = real_airflow, real_sandbox
    sandbox.world.set_pace("seconds:4")
    airflow.add_dag("killed_dags", DAG)
    airflow.wait_until_healthy("releases", timeout=300)

    began = time.monotonic()
    _, quiet_bill, quiet_bought = day(airflow, sandbox, "quiet")
    quiet_minutes = (time.monotonic() - began) / 60

    seed = int(os.environ.get("DISTILL_SEED", "20261130"))
    killer = Killer(airflow, seed)
    began = time.monotonic()
    killer.start()
    try:
        worlds, shot_bill, shot_bought = day(airflow, sandbox, "shot")
        extra = 0
        while sum(killer.killed.values()) < KILLS and extra < 6:
            # the releases were quicker than the kills: the same workloads go on
            extra += 1
            more_worlds, more_bill, more_bought = day(airflow, sandbox, f"more{extra}")
            worlds += more_worlds
            shot_bill = {k: round(shot_bill.get(k, 0.0) + v, 6) for k, v in more_bill.items()}
            shot_bought = {k: shot_bought[k] + v for k, v in more_bought.items()}
    finally:
        killer.enough.set()
        killer.join(60)
    minutes = (time.monotonic() - began) / 60
    days = 1 + extra

    kills = ", ".join(f"{count} {what}" for what, count in sorted(killer.killed.items()))
    print(f"\nundisturbed: 10 releases in {quiet_minutes:.1f} min, bought {quiet_bought}, bill {quiet_bill}")
    print(f"killed (seed {seed}): {10 * days} releases in {minutes:.1f} min; kills: {kills}")
    print(f"bought {shot_bought}, bill {shot_bill}")

    assert sum(killer.killed.values()) >= KILLS
    assert shot_bought == {name: count * days for name, count in quiet_bought.items()}, (
        "nothing was bought twice"
    )
    for service, amount in shot_bill.items():
        if "throughput" in service:
            continue  # minutes of candidates
        # a probe that was asked and not noted down is asked again
        allowed = quiet_bill.get(service, 0.0) * days * (1.0 if "customization" in service else 1.5)
        assert amount <= allowed + 1e-6, (service, amount, allowed)
    for world in worlds:
        history = world.ledger.sound()
        assert [e.outcome.outcome for e in history.entries if e.outcome] == ["released"] * ROUNDS
        assert len(history.entries) == ROUNDS
        _, found = look_for_drift(world.gateways, world.store, world.root, world.workload, world.now())
        assert found == ()
    candidates = sandbox.client("bedrock").list_provisioned_model_throughputs()["provisionedModelSummaries"]
    assert candidates == [], "every candidate went with its run"
