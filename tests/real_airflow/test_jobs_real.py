"""Jobs on a real scheduler and triggerer: killed, cleared, back-filled, marked, restarted; still one job each.

The scenarios share one Airflow and run side by side, because every process start costs seconds.
`DISTILL_TRIGGERER_RESTARTS` sets how often the triggerer is restarted (default 2).
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.remote.submit import FAULT_POINTS
from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.tokens import count_tokens
from airflow_distill.sandbox.traffic import support_tickets
from tests.real_airflow.running import RealAirflow, wait

RESTARTS = int(os.environ.get("DISTILL_TRIGGERER_RESTARTS", "2"))
pytestmark = [
    pytest.mark.airflow,
    pytest.mark.slow,
    pytest.mark.soak,
    pytest.mark.timeout(1500 + 60 * RESTARTS),
]
POINTS = (*FAULT_POINTS, "before-remember", "after-remember", "before-defer")
DEADLINE, INTERVAL = 120, 10
DAGS = (Path(__file__).parent / "jobs_dags.py").read_text()


@pytest.fixture(scope="module")
def airflow(real_airflow: RealAirflow, real_sandbox: Sandbox) -> RealAirflow:
    """The running Airflow with the Dags of this module, and a dataset in the bucket."""
    records = [
        {
            "schemaVersion": "bedrock-conversation-2024",
            "messages": [{"role": "user", "content": [{"text": p.prompt}]}],
        }
        for p in support_tickets(110)
    ]
    real_sandbox.client("s3").put_object(
        Bucket="distill-sandbox",
        Key="loop/train.jsonl",
        Body="\n".join(json.dumps(r) for r in records).encode(),
    )
    dags = DAGS.replace("POINTS = ()", f"POINTS = {POINTS!r}")
    dags = dags.replace("DEADLINE, INTERVAL = 0, 0", f"DEADLINE, INTERVAL = {DEADLINE}, {INTERVAL}")
    real_airflow.add_dag("jobs_dags", dags)
    real_airflow.wait_until_healthy("waits", timeout=300)
    return real_airflow


def jobs(sandbox: Sandbox) -> list[dict[str, Any]]:
    pages = sandbox.client("bedrock").get_paginator("list_model_customization_jobs").paginate()
    return [job for page in pages for job in page["modelCustomizationJobSummaries"]]


def of(sandbox: Sandbox, workload: str) -> list[dict[str, Any]]:
    return [job for job in jobs(sandbox) if re.fullmatch(rf"{workload}-j[0-9a-f]{{16}}-\d+", job["jobName"])]


def status(sandbox: Sandbox, workload: str) -> str:
    (job,) = of(sandbox, workload)
    return str(job["status"])


def tried_again(airflow: RealAirflow, dag_id: str, run_id: str) -> set[str]:
    """Return the tasks with more than one try.

    On a busy machine there may be a third: Airflow's scheduler retries a task that resumes before it has read the report
    of its deferral (see `RemoteWorkTrigger.settle_seconds`).
    """
    return {t["task_id"] for t in airflow.task_instances(dag_id, run_id) if t["try_number"] > 1}


def stops(sandbox: Sandbox) -> int:
    """Return how many jobs were asked to stop and agreed."""
    return int(sandbox.meter()["calls"].get("StopModelCustomizationJob", {}).get("ok", 0))


def taken_over(airflow: RealAirflow, run_id: str, owner: int | None) -> tuple[int | None, float]:
    """Wait until another triggerer holds the waits; returns which, and how long it took."""
    took = wait(
        lambda: airflow.triggerer_of("waits", run_id, "untouched") not in (None, owner),
        "another triggerer to adopt the waits",
        180,
    )
    return airflow.triggerer_of("waits", run_id, "untouched"), took


def paid_jobs(meter: dict[str, Any]) -> float:
    """Return for how many jobs the teacher was paid; all train on the same file."""
    (line,) = (
        line
        for line in meter["lines"]
        if line["purpose"] == "distillation teacher" and line["service"] == "input-tokens"
    )
    return float(line["quantity"]) / sum(count_tokens(ticket.prompt) for ticket in support_tickets(110))


def finished(airflow: RealAirflow, dag_id: str, run_id: str, timeout: float = 300) -> str:
    wait(lambda: airflow.run_state(dag_id, run_id) in ("success", "failed"), f"{dag_id} to finish", timeout)
    return airflow.run_state(dag_id, run_id)


def test_killed_at_every_point_of_submit_cleared_back_filled_and_run_twice_there_is_one_job_each(
    airflow: RealAirflow, real_sandbox: Sandbox
):
    real_sandbox.world.set_pace("reads:3")
    real_sandbox.faults.add(
        "lost-answer", operation="CreateModelCustomizationJob", match="*k-after-create-error-*", count=1
    )
    real_sandbox.faults.add(
        "fail", operation="CreateModelCustomizationJob", match="*fails-once-*", count=1, message="internal"
    )
    # Runs that start at one instant: each has looked and found nothing before the first has bought.
    real_sandbox.faults.add(
        "slow", operation="CreateModelCustomizationJob", match="again-*", count=1, seconds=45
    )
    twins = [airflow.trigger("again") for _ in range(2)]
    killed = airflow.trigger("killed")
    assert finished(airflow, "killed", killed) == "success"
    assert tried_again(airflow, "killed", killed) == {*(f"at_{point}" for point in POINTS), "fails_once"}
    for run in twins:
        assert finished(airflow, "again", run) == "success"

    airflow.clear("killed", killed, *(f"at_{point}" for point in POINTS), "fails_once")
    airflow.clear("again", twins[0], "distill")
    assert finished(airflow, "killed", killed) == "success"
    wait(lambda: all(run["state"] == "success" for run in airflow.runs("again")), "all runs", 300)
    before = len(airflow.runs("again"))
    airflow.backfill("again", "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z")
    wait(lambda: len(airflow.runs("again")) > before, "the back-fill to begin")
    wait(lambda: all(run["state"] == "success" for run in airflow.runs("again")), "all runs", 300)

    bought = Counter(re.sub(r"-j[0-9a-f]{16}-\d+$", "", job["jobName"]) for job in jobs(real_sandbox))
    assert bought == {**{f"k-{point}": 1 for point in POINTS}, "fails-once": 2, "again": 1}
    meter = real_sandbox.meter()
    print(f"create calls: {meter['calls']['CreateModelCustomizationJob']}")
    # Every call beyond the jobs carried a token already used and was answered with the job it had made.
    creates = meter["calls"]["CreateModelCustomizationJob"]
    assert creates == {"ok": bought.total(), "replayed": creates["replayed"]}
    assert paid_jobs(meter) == bought.total()


def test_a_deadline_counts_from_the_first_submit_over_a_retry_and_a_restart_of_the_triggerer(
    airflow: RealAirflow, real_sandbox: Sandbox
):
    """Each task dies after it has bought; its second try adopts the job and the time that the first has used."""
    real_sandbox.faults.clear()
    real_sandbox.world.set_pace("seconds:432000")
    run = airflow.trigger("deadlines")
    for task in ("stopped", "left"):
        airflow.wait_for_state("deadlines", run, task, "deferred", timeout=DEADLINE)
    restart = airflow.restart("triggerer", "triggerer")
    begun = {w: of(real_sandbox, f"late-{w}")[0]["creationTime"] for w in ("stopped", "left", "blocking")}

    airflow.wait_for_state("deadlines", run, "left", "scheduled", "queued", "running", "failed", timeout=180)
    held = {"left": real_sandbox.clock.now() - begun["left"]}
    for task in begun:
        airflow.wait_for_state("deadlines", run, task, "failed", timeout=120)
    for workload in ("stopped", "blocking"):
        held[workload] = real_sandbox.client("bedrock").get_model_customization_job(
            jobIdentifier=of(real_sandbox, f"late-{workload}")[0]["jobArn"]
        )["lastModifiedTime"] - begun[workload]  # fmt: skip
    print(f"triggerer ended in {restart:.1f} s; deadline of {DEADLINE} s held after {held}")

    assert tried_again(airflow, "deadlines", run) == set(begun)
    assert [status(real_sandbox, f"late-{w}") for w in begun] == ["Stopping", "InProgress", "Stopping"]
    for workload, after in held.items():
        # A job's creation is read to the second, so its deadline may come up to a second early.
        assert DEADLINE - 1 < after.total_seconds() <= DEADLINE + INTERVAL, workload


def test_only_a_user_who_ends_the_task_stops_the_job_and_deadlines_outlast_restarts(
    airflow: RealAirflow, real_sandbox: Sandbox
):
    real_sandbox.faults.clear()
    real_sandbox.world.set_pace("seconds:432000")
    stopped_before = stops(real_sandbox)
    run = airflow.trigger("waits")
    waiting = ("untouched", "cleared", "marked", "deadline")
    for task in waiting:
        airflow.wait_for_state("waits", run, task, "deferred", timeout=300)
    for index in range(2):
        airflow.wait_for_state("waits", run, "mapped", "deferred", timeout=300, map_index=index)
    airflow.wait_for_state("waits", run, "blocking", "running", timeout=300)
    wait(lambda: len(of(real_sandbox, "blocking")) == 1, "the blocking task to submit")
    time.sleep(10)

    # Marked in the UI: stopping within a minute. Cleared: the new try adopts.
    for task in ("marked", "blocking"):
        airflow.mark("waits", run, task, "failed")
    airflow.mark("waits", run, "mapped", "success", map_index=1)
    airflow.clear("waits", run, "cleared")
    for workload in ("marked", "blocking", "mapped1"):
        took = wait(lambda w=workload: status(real_sandbox, w) == "Stopping", f"{workload} to stop", 60)
        print(f"{workload}: stopping after {took:.1f} s")
    airflow.wait_for_state("waits", run, "cleared", "deferred", timeout=120)
    assert "leaving" in airflow.task_log("waits", run, "cleared")

    # Restarts, and a pause long enough for another triggerer to adopt the waits.
    owner = airflow.triggerer_of("waits", run, "untouched")
    for number in range(1, RESTARTS + 1):
        took = airflow.restart("triggerer", "triggerer")
        owner, pause = taken_over(airflow, run, owner)
        print(f"restart {number}: ended after {took:.1f} s, the next one held the waits {pause:.1f} s later")
        time.sleep(3)
    airflow.start_triggerer("second")
    time.sleep(10)
    airflow.signal("triggerer", signal.SIGSTOP)
    taken_over(airflow, run, owner)
    time.sleep(5)
    airflow.signal("triggerer", signal.SIGCONT)
    time.sleep(15)

    # The deadline of two minutes began with the job and passed over all of this.
    airflow.wait_for_state("waits", run, "deadline", "failed", timeout=240)
    assert status(real_sandbox, "deadline") in ("Stopping", "Stopped")

    assert airflow.state("waits", run, "untouched") == "deferred"
    for workload in ("untouched", "cleared", "mapped0"):
        assert status(real_sandbox, workload) == "InProgress"
    # A triggerer that ends between the stop and its event leaves the next one to ask again, which is refused.
    assert stops(real_sandbox) - stopped_before == 4
    assert len(of(real_sandbox, "cleared")) == 1

    # Five days later.
    real_sandbox.clock.advance(432001)
    assert airflow.wait_for_state("waits", run, "untouched", "success", timeout=120) == "success"
    receipt = airflow.xcom("waits", run, "untouched")
    assert receipt["custom_model_arn"]
    assert receipt["status"] == "Completed"
