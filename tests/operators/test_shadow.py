"""The shadow on the sandbox: live prompts against candidate and incumbent, and what the decision makes of them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.sandbox import Sandbox
from tests.release_world import LABELS, Guesses, Knows, Rambles, ReleaseWorld
from tests.workload_files import ON_SANDBOX

pytestmark = [pytest.mark.airflow]

LOGS = "s3://distill-sandbox/logs"
TEACHER = "amazon.nova-pro-v1:0"
CALLS = 60


@pytest.fixture
def world(bedrock_environment: Sandbox) -> ReleaseWorld:
    """One release is live, the teacher knows every ticket, logging is on."""
    world = ReleaseWorld(bedrock_environment)
    world.promote(world.model("first"))
    world.sandbox.enable_logging("distill-sandbox", "logs")
    world.sandbox.teach([{"prompt": f"Ticket number {n}", "completion": LABELS[n % 4]} for n in range(1_000)])
    return world


def play(world: ReleaseWorld, calls: int = CALLS, **more: Any) -> None:
    """Write the traffic of the last hours to the live host's log."""
    start = world.now() - timedelta(hours=3)
    items = [
        {
            "prompt": f"Ticket number {n}",
            "completion": LABELS[n % 4],
            "timestamp": (start + timedelta(minutes=n)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            **more,
        }
        for n in range(calls)
    ]
    world.sandbox.play(items, model_id=str(world.pointer()["host_arn"]))


def candidate(world: ReleaseWorld, brain: Any) -> str:
    """Give a model a host of its own, as the evaluation does."""
    model = world.model(f"next-{type(brain).__name__}", brain)
    made = world.client("bedrock").create_custom_model_deployment(
        modelDeploymentName="candidate", modelArn=model
    )
    world.sleep(600)
    return str(made["customModelDeploymentArn"])


def shadow(world: ReleaseWorld, host: str, **more: Any) -> dict[str, Any]:
    from airflow_distill.aws.evidence import model_behind
    from airflow_distill.operators.shadow import PlayShadowOperator

    answers = {
        "kind": "answers",
        "workload": world.workload,
        "root": world.root,
        "evaluation_id": "e" * 16,
        "model_arn": model_behind(world.gateways.bedrock, host),
    }
    dataset = {
        "kind": "dataset",
        "dataset_id": world.dataset_id,
        "manifest_uri": f"{world.root}/{world.workload}/datasets/{world.dataset_id}/manifest.json",
    }
    settings = {"incumbent": {"host_arn": world.pointer()["host_arn"]}, "max_tokens": 16, **more}
    task = PlayShadowOperator(
        task_id="shadow",
        workload=world.workload,
        root=world.root,
        answers=answers,
        dataset=dataset,
        host=host,
        logs=LOGS,
        **settings,
    )
    return dict(task.execute({}))


def card(world: ReleaseWorld, receipt: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(world.store.read(receipt["scorecard_uri"])))


def test_live_prompts_are_played_against_both_and_scored_against_the_teacher(world: ReleaseWorld) -> None:
    play(world)
    host = candidate(world, Guesses())
    receipt = shadow(world, host)
    assert receipt["n"] == CALLS
    found = card(world, receipt)
    means = {(m["metric"], m["role"]): m["mean"] for m in found["metrics"]}
    assert means[("exact", "incumbent")] == 1.0
    assert means[("exact", "student")] == 0.0
    asked = world.sandbox.calls("Converse")
    assert shadow(world, host) == receipt
    assert world.sandbox.calls("Converse") == asked, "an evaluation's shadow is played once"


def test_its_calls_never_become_harvest_or_watch(world: ReleaseWorld) -> None:
    play(world)
    shadow(world, candidate(world, Knows()))
    live = world.pointer()["host_arn"]
    from airflow_distill.aws.live_calls import calls_of_host
    from airflow_distill.remote.times import iso

    end = world.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    found = calls_of_host(
        world.gateways,
        place=(world.root, world.workload),
        logs=LOGS,
        host_arn=live,
        window=(iso(end - timedelta(days=1)), iso(end)),
        salt="s",
        limit=1_000,
        redact=None,
    )
    assert len(list(found.interactions())) == CALLS


def test_nothing_of_a_shadow_holds_text(world: ReleaseWorld, caplog: pytest.LogCaptureFixture) -> None:
    play(world)
    receipt = shadow(world, candidate(world, Rambles()))
    for text in (json.dumps(card(world, receipt)), json.dumps(receipt), caplog.text):
        assert "Ticket" not in text
        assert "weather" not in text


def test_nothing_live_plays_nothing_and_costs_nothing(world: ReleaseWorld) -> None:
    asked = world.sandbox.calls("Converse")
    receipt = shadow(world, candidate(world, Knows()), incumbent={"host_arn": None})
    assert (receipt["n"], receipt["scorecard_uri"]) == (0, "")
    assert world.sandbox.calls("Converse") == asked


def test_a_cap_stops_it_before_anybody_is_asked(world: ReleaseWorld) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    play(world)
    host = candidate(world, Knows())
    asked = world.sandbox.calls("Converse")
    with pytest.raises(AirflowFailException, match="the shadow of support_tickets may cost"):
        shadow(world, host, budget={"usd_per_run": 0.000001})
    assert world.sandbox.calls("Converse") == asked


def test_the_key_adds_the_task_before_the_host_goes_and_hands_it_to_the_decision(tmp_path: Path) -> None:
    from airflow_distill.pipelines import build_dags

    (tmp_path / "tickets.yaml").write_text(ON_SANDBOX + "shadow: {sample: 100, window: 12h}\n")
    dag = build_dags(tmp_path, guards=None)["distill_tickets"]
    played = dag.get_task("evaluation.shadow")
    assert (played.sample, played.hours) == (100, 12.0)
    assert "evaluation.delete_host" in played.downstream_task_ids
    assert "decision.decide" in played.downstream_task_ids
    (tmp_path / "tickets.yaml").write_text(ON_SANDBOX)
    assert "evaluation.shadow" not in build_dags(tmp_path, guards=None)["distill_tickets"].task_ids


def test_a_file_without_logs_cannot_have_a_shadow(tmp_path: Path) -> None:
    from airflow_distill.workload.reading import check_folder

    text = ON_SANDBOX.replace(
        "logs: {location: s3://distill-sandbox/logs}", "dataset: {prompts: s3://distill-sandbox/prompts}"
    )
    (tmp_path / "tickets.yaml").write_text(text + "shadow: {}\n")
    (read,) = check_folder(tmp_path)
    assert "live prompts are read from the invocation logs" in str(read.problems)
