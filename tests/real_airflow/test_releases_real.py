"""Releases on a real scheduler, workers and triggerer: rolled back, killed, aborted, two at once.

The scenarios share one Airflow, because its processes take half a minute to start; each has workloads of its own. Hosts
take time by the sandbox's clock, which a test moves on; the tasks live in real time.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.aws.reap import remove_finds, survey_account
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.deployment.reap import ReapRules
from airflow_distill.stages.deployment.times import iso
from tests.real_airflow.running import RealAirflow, wait
from tests.release_world import Guesses, ReleaseWorld

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(900)]

DAGS = (Path(__file__).parent / "releases_dags.py").read_text()
HOST_SECONDS = 6
CREATE = "CreateCustomModelDeployment"


@pytest.fixture(scope="module")
def airflow(real_airflow: RealAirflow, real_sandbox: Sandbox) -> RealAirflow:
    """The running Airflow with the Dags of this module."""
    real_airflow.add_dag("releases_dags", DAGS)
    real_airflow.wait_until_healthy("reaps", timeout=300)
    return real_airflow


def job_of(model_arn: str) -> dict[str, Any]:
    return {
        "kind": "job",
        "v": 1,
        "custom_model_arn": model_arn,
        "job_arn": model_arn.replace("custom-model", "model-customization-job"),
    }


def conf(world: ReleaseWorld, model: str, **more: Any) -> dict[str, Any]:
    return {
        "workload": world.workload,
        "decision": world.decision(model),
        "job": job_of(model),
        "ends_at": iso(world.now() + timedelta(days=20)),
        **more,
    }


def finished(airflow: RealAirflow, dag_id: str, run_id: str, timeout: float = 180) -> str:
    wait(lambda: airflow.run_state(dag_id, run_id) in ("success", "failed"), f"{dag_id} to finish", timeout)
    return airflow.run_state(dag_id, run_id)


def notes(world: ReleaseWorld) -> list[str]:
    """Return the names of the ledger's objects."""
    return sorted(item.uri.rpartition("/")[2] for item in world.store.iter_objects(world.ledger.prefix))


def served_by(world: ReleaseWorld, model: str) -> list[str]:
    """Return the ARNs of the deployments that serve a model."""
    found = world.client("bedrock").list_custom_model_deployments()["modelDeploymentSummaries"]
    return [d["customModelDeploymentArn"] for d in found if d["modelArn"] == model]


@dataclass
class Caller:
    """An application that calls one ARN all the while, without retries, and looks the pointer up beside it."""

    world: ReleaseWorld
    address: str
    errors: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    pointers: list[tuple[str, str]] = field(default_factory=list)

    def call_until(self, stop: threading.Event) -> None:
        runtime = self.world.sandbox.client("bedrock-runtime")
        message = {"role": "user", "content": [{"text": "Ticket number 2"}]}
        while not stop.is_set():
            try:
                reply = runtime.converse(modelId=self.address, messages=[message])
                self.answers.append(reply["output"]["message"]["content"][0]["text"])
                pointer = self.world.pointer()
                self.pointers.append((pointer["host_arn"], pointer["model_arn"]))
            except Exception as error:
                self.errors.append(repr(error))
            stop.wait(0.1)


@contextmanager
def calling(world: ReleaseWorld, address: str) -> Iterator[Caller]:
    caller, stop = Caller(world, address), threading.Event()
    thread = threading.Thread(target=caller.call_until, args=(stop,), daemon=True)
    thread.start()
    try:
        yield caller
    finally:
        stop.set()
        thread.join(30)


def test_callers_of_one_arn_see_no_error_while_a_broken_second_student_is_promoted_and_rolled_back(
    airflow: RealAirflow, real_sandbox: Sandbox
) -> None:
    real_sandbox.world.set_pace(f"seconds:{HOST_SECONDS}", "custom-model-deployment")
    world = ReleaseWorld(real_sandbox, workload="rolled-back")
    first, second = world.model("rb-first"), world.model("rb-second", Guesses())
    run = airflow.trigger("promotes", conf(world, first))
    assert finished(airflow, "promotes", run) == "success"
    address = airflow.xcom("promotes", run, "promote")["host_arn"]
    with calling(world, address) as caller:
        run = airflow.trigger("promotes", conf(world, second))
        assert finished(airflow, "promotes", run) == "failed"
        time.sleep(2)
    said = airflow.xcom("promotes", run, "promote")
    print(f"{len(caller.answers)} calls, {len(caller.errors)} errors, {sorted(set(caller.answers))}")
    assert (said["outcome"], said["host_arn"], said["model_arn"]) == ("rolled_back", address, first)
    assert "agreement with the held-out answers" in said["reasons"][0]
    assert caller.errors == []
    assert len(caller.answers) >= 50
    assert set(caller.answers) == {"login", "shipping"}, "the second student answered for a while"
    assert caller.answers[-1] == "login"
    assert {host for host, _ in caller.pointers} == {address}
    moved = [
        model for n, (_, model) in enumerate(caller.pointers) if n == 0 or caller.pointers[n - 1][1] != model
    ]
    assert moved == [first, second, first]

    assert served_by(world, first) == [address]
    assert served_by(world, second) == []
    history = world.ledger.read()
    assert [e.outcome and e.outcome.outcome for e in history.entries] == ["released", "rolled_back"]
    live = history.live()
    assert live is not None
    assert (live.release, live.target.model_arn, live.host_arn) == (1, first, address)
    assert (world.pointer()["release"], world.pointer()["model_arn"]) == (1, first)


def test_a_promotion_killed_after_the_create_and_again_in_the_bake_ends_as_an_undisturbed_one(
    airflow: RealAirflow, real_sandbox: Sandbox
) -> None:
    real_sandbox.world.set_pace(f"seconds:{HOST_SECONDS}", "custom-model-deployment")
    quiet, world = (ReleaseWorld(real_sandbox, workload=name) for name in ("undisturbed", "killed"))
    quiet_model, model = quiet.model("k-undisturbed"), world.model("k-killed")
    undisturbed = airflow.trigger("promotes", conf(quiet, quiet_model))
    assert finished(airflow, "promotes", undisturbed) == "success"

    # From here on a host takes as long as the test likes, so both kills hit their moment on any machine.
    real_sandbox.world.set_pace("seconds:3600", "custom-model-deployment")
    before = real_sandbox.calls(CREATE)
    run = airflow.trigger("killed", conf(world, model))
    wait(lambda: real_sandbox.calls(CREATE) == before + 1, "the host to be asked for", 180, 0.02)
    kill(airflow, 1)
    assert world.pointer() == {}, "killed while the host was still settling"
    wait((airflow.home / "pids" / "promote-2").exists, "the second try", 180)
    real_sandbox.clock.advance(3601)
    wait(lambda: bool(world.pointer()), "the second try to publish the pointer", 180, 0.02)
    kill(airflow, 2)
    assert world.ledger.read().live() is None, "killed before the ledger's last word"
    assert finished(airflow, "killed", run) == "success"

    (instance,) = airflow.task_instances("killed", run)
    assert instance["try_number"] == 3
    assert real_sandbox.calls(CREATE) == before + 1
    assert end_of(airflow, "killed", run, world, model) == end_of(
        airflow, "promotes", undisturbed, quiet, quiet_model
    )


def kill(airflow: RealAirflow, attempt: int) -> None:
    """Kill the task's own process, as the kernel does when memory runs out."""
    os.kill(int((airflow.home / "pids" / f"promote-{attempt}").read_text()), signal.SIGKILL)


def end_of(airflow: RealAirflow, dag_id: str, run: str, world: ReleaseWorld, model: str) -> dict[str, Any]:
    """Return the state a promotion has led to, without what differs between workloads."""
    said = airflow.xcom(dag_id, run, "promote")
    (address,) = served_by(world, model)
    pointer, live = world.pointer(), world.ledger.read().live()
    tags = world.gateways.bedrock.tags(address)
    own = {f"airflow-distill:{name}" for name in ("workload", "dataset", "run", "expires-at")}
    assert live is not None
    assert {pointer["host_arn"], live.host_arn, said["host_arn"]} == {address}
    assert {pointer["model_arn"], live.target.model_arn, said["model_arn"]} == {model}
    return {
        "outcome": said["outcome"],
        "previous": said["previous"],
        "ledger": notes(world),
        "releases": (said["release"], live.release, pointer["release"]),
        "host_kind": pointer["host_kind"],
        "tags": {name: value for name, value in tags.items() if name not in own},
    }


def test_a_run_marked_failed_leaves_what_the_reaper_lists_with_its_price_and_teardown_leaves_nothing(
    airflow: RealAirflow, real_sandbox: Sandbox
) -> None:
    world = ReleaseWorld(real_sandbox, workload="aborted")
    model, other = (
        world.model("a-aborted"),
        ReleaseWorld(real_sandbox, workload="torn-down").model("a-torn-down"),
    )
    foreign = world.client("bedrock").create_provisioned_model_throughput(
        provisionedModelName="theirs", modelId=model, modelUnits=1
    )["provisionedModelArn"]
    runs = {
        dag: airflow.trigger(dag, {"job": job_of(m)})
        for dag, m in (("aborted", model), ("aborted_teardown", other))
    }
    for dag, run in runs.items():
        airflow.wait_for_state(dag, run, "busy", "running", timeout=180)
    hosts = {dag: airflow.xcom(dag, run, "candidate")["host_arn"] for dag, run in runs.items()}
    assert {*hosts.values(), foreign} <= set(world.hosts())
    for dag, run in runs.items():
        airflow.call("PATCH", f"/dags/{dag}/dagRuns/{run}", {"state": "failed"})

    wait(lambda: hosts["aborted_teardown"] not in world.hosts(), "the teardown to remove the host", 180)
    assert {hosts["aborted"], foreign} <= set(world.hosts())

    def finds(hours: float) -> Any:
        return survey_account(
            world.gateways,
            world.store,
            world.root,
            now=datetime.now(UTC) + timedelta(hours=hours),
            rules=ReapRules(),
            price_of=lambda item, base: {"model-storage": 1.95}.get(item),
        )

    def told(hours: float) -> list[tuple[str, str, str, float | None]]:
        ours = {"aborted", "torn-down"}
        return [(f.kind, f.arn, f.action, f.daily_price) for f in finds(hours) if f.workload in ours]

    storage: Any = pytest.approx(1.95 * 24 / 730)
    models = [("custom-model", m, "wait", storage) for m in (model, other)]
    assert told(0) == [("provisioned-throughput", hosts["aborted"], "wait", 720.0), *models]
    assert told(7) == [("provisioned-throughput", hosts["aborted"], "remove", 720.0), *models]
    assert foreign not in {f.arn for f in finds(24 * 365)}

    # The Dag of the reaper, before the host's end and without a yes: it lists, and everything stays.
    run = airflow.trigger("reaps", {"delete": "false"})
    assert finished(airflow, "reaps", run) == "success"
    listed = airflow.xcom("reaps", run, "reap")
    assert (listed["found"], listed["removable"], listed["removed"]) == (2, 0, 0)
    assert listed["daily_price"] >= 720.0
    # Its end has come, and somebody says yes.
    world.gateways.bedrock.tag(hosts["aborted"], {"airflow-distill:expires-at": "20260101T000000Z"})
    run = airflow.trigger("reaps", {"delete": "true"})
    assert finished(airflow, "reaps", run) == "success"
    assert airflow.xcom("reaps", run, "reap")["removed"] == 1
    assert not {*hosts.values()} & set(world.hosts())
    assert told(7) == models

    # Even a year later and told to remove everything of ours, what carries no tags of ours stays.
    everything = [f for f in finds(24 * 365) if f.workload in ("aborted", "torn-down")]
    removed = remove_finds(world.gateways, world.store, world.root, everything)
    assert [(r.find.arn, r.removed) for r in removed] == [(model, False), (other, True)]
    assert foreign in world.hosts()
    assert (
        world.client("bedrock").get_provisioned_model_throughput(provisionedModelId=foreign)["modelArn"]
        == model
    )


def test_of_two_runs_that_promote_one_workload_at_once_one_wins_and_the_other_changes_nothing(
    airflow: RealAirflow, real_sandbox: Sandbox
) -> None:
    """The winner's host takes a day, so the other comes in between however slow the machine is."""
    real_sandbox.world.set_pace("seconds:86400", "provisioned-throughput")
    world = ReleaseWorld(real_sandbox, workload="raced")
    models = [world.model(f"r-{n}") for n in range(2)]
    creates = real_sandbox.calls("CreateProvisionedModelThroughput")
    runs = [airflow.trigger("races", conf(world, model)) for model in models]
    wait(lambda: "failed" in [airflow.run_state("races", run) for run in runs], "one of two to fail", 180)
    loser = [airflow.run_state("races", run) for run in runs].index("failed")
    winner = 1 - loser
    log = airflow.task_log("races", runs[loser], "promote")
    assert "ReleaseConflictError" in log
    assert "changed nothing" in log
    airflow.wait_for_state("races", runs[winner], "promote", "deferred", timeout=180)
    assert notes(world) == ["000001.json"], "one claim, and nothing else was written"
    assert world.pointer() == {}
    assert real_sandbox.calls("CreateProvisionedModelThroughput") == creates + 1

    real_sandbox.clock.advance(86401)
    assert finished(airflow, "races", runs[winner]) == "success"
    said = airflow.xcom("races", runs[winner], "promote")
    assert (said["outcome"], said["release"], said["model_arn"]) == ("released", 1, models[winner])
    assert world.pointer()["model_arn"] == models[winner]
    (entry,) = world.ledger.read().entries
    assert entry.release.run.endswith(runs[winner])
    assert real_sandbox.calls("CreateProvisionedModelThroughput") == creates + 1
    assert airflow.run_state("races", runs[loser]) == "failed"
    assert airflow.xcom("races", runs[loser], "promote") is None
