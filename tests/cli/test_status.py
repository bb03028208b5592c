"""`status`: what the bucket and the account say of a workload, told once from a whole account."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.cli.main import main
from airflow_distill.remote.identity import resource_tags
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.decision.records import Approval, DecisionRecord, Reason, Verdict
from airflow_distill.stages.money.spend import Spend
from tests.release_world import ReleaseWorld


@pytest.fixture
def world(bedrock_environment: Sandbox) -> ReleaseWorld:
    """Two releases, the second one live; a candidate host; a job; two decisions; a month's claims."""
    world = ReleaseWorld(bedrock_environment)
    for name in ("first", "second"):
        world.carry_out(world.intent({**world.decision(world.model(name)), "job_arn": ""}))
    for verdict, decided_at in (("promote", "2026-11-20T00:00:00Z"), ("hold", "2026-11-21T00:00:00Z")):
        decide(world, verdict, decided_at)
    bedrock = bedrock_environment.client("bedrock")
    candidate = resource_tags(world.workload, "loop/run-3", "platform", temporary=True)
    bedrock.create_custom_model_deployment(
        modelDeploymentName="candidate",
        modelArn=world.model("third"),
        tags=[{"key": key, "value": value} for key, value in candidate.items()],
    )
    spend = Spend(world.store, world.root, world.workload, f"{datetime.now(UTC):%Y%m}")
    for dataset_id, usd in (("d1", 40.0), ("d2", 70.0), ("d3", 12.5)):
        spend.claim(dataset_id, usd, 100.0)
    return world


def decide(world: ReleaseWorld, verdict: str, decided_at: str) -> None:
    """Write a decision record over the shortened one that the releases were made from."""
    record = DecisionRecord(
        workload=world.workload,
        verdict=Verdict(verdict, (Reason("worse", "It is worse."),), ()),
        approval=Approval(required=False),
        policy={},
        evaluation_id=f"e-{verdict}",
        dataset_id=world.dataset_id,
        heldout_sha256="0" * 64,
        model_arn="arn",
        scorecard_uri="uri",
        scorecard_sha256="0" * 64,
        decided_at=decided_at,
    )
    folder = f"{world.root}/{world.workload}/evaluations"
    for item in list(world.store.iter_objects(folder)):
        if item.uri.endswith("/decision.json") and b"decided_at" not in world.store.read(item.uri):
            world.store.delete(item.uri)
    world.store.write(f"{folder}/e-{verdict}/decision.json", json.dumps(record.to_json()).encode())


@pytest.fixture
def ask(world: ReleaseWorld, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command; returns what it printed."""

    def run(*words: str) -> str:
        flags = ["--root", world.root, "--endpoint-url", world.sandbox.endpoint_url, "--region", "us-east-1"]
        assert main(["status", world.workload, *flags, *words]) == 0
        return capsys.readouterr().out

    return run


def test_status_tells_what_is_live_what_bills_what_was_decided_and_what_was_allowed(
    ask: Callable[..., str], world: ReleaseWorld
) -> None:
    told: dict[str, Any] = json.loads(ask("--json"))
    live = world.ledger.read().live()
    assert live is not None
    assert told["live"] == {
        "release": 2,
        "model_arn": live.target.model_arn,
        "host_arn": live.host_arn,
    }
    assert told["pointer"]["model_arn"] == live.target.model_arn
    assert [each["outcome"] for each in told["releases"]] == ["released", "released"]
    assert sorted((host["temporary"], host["host_arn"] == live.host_arn) for host in told["hosts"]) == [
        (False, True),
        (True, False),
    ]
    assert (told["decision"]["outcome"], told["decision"]["reasons"]) == ("hold", ["worse"])
    assert told["spent_this_month_usd"] == 52.5, "the claim above the cap does not stand"


def test_status_for_people_names_each_host_that_bills(ask: Callable[..., str], world: ReleaseWorld) -> None:
    text = ask()
    live = world.ledger.read().live()
    assert live is not None
    assert f"live       release 2, {live.target.model_arn}" in text
    assert f"bills      custom-model-deployment {live.host_arn}: Active" in text
    assert "bills      temporary custom-model-deployment" in text
    assert "decision   hold (worse), 2026-11-21T00:00:00Z" in text
    assert "allowed    52.50 USD this month" in text


def test_status_shows_the_jobs_of_the_workload_and_no_others(
    ask: Callable[..., str], world: ReleaseWorld, bedrock_environment: Sandbox
) -> None:
    spec = {
        "roleArn": bedrock_environment.prepare(),
        "baseModelIdentifier": "amazon.nova-micro-v1:0:128k",
        "customizationType": "DISTILLATION",
        "trainingDataConfig": {"s3Uri": f"{world.root}/{world.workload}/datasets/x/train.jsonl"},
        "outputDataConfig": {"s3Uri": f"{world.root}/{world.workload}/jobs/"},
        "customizationConfig": {
            "distillationConfig": {"teacherModelConfig": {"teacherModelIdentifier": "amazon.nova-pro-v1:0"}}
        },
    }
    line = {
        "schemaVersion": "bedrock-conversation-2024",
        "messages": [{"role": "user", "content": [{"text": "question"}]}],
    }
    world.store.write(
        spec["trainingDataConfig"]["s3Uri"],
        b"\n".join(json.dumps(line).replace("question", f"question {n}").encode() for n in range(120)),
    )
    for name in ("support-tickets-j0123456789abcdef-1", "other-j0123456789abcdef-1"):
        bedrock_environment.client("bedrock").create_model_customization_job(
            jobName=name, customModelName=name.replace("-j", "-m"), **spec
        )
    jobs = json.loads(ask("--json"))["jobs"]
    assert [job["job_name"] for job in jobs] == ["support-tickets-j0123456789abcdef-1"]


def test_status_tells_where_a_new_workload_stands(
    tmp_path: Path, bedrock_environment: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    from airflow_distill.cli.main import main

    assert main(["status", "w", "--root", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["live"], told["jobs"], told["hosts"], told["spent_this_month_usd"]) == (None, [], [], 0)
    assert main(["status", "w", "--root", str(tmp_path)]) == 0
    assert "live       nothing yet" in capsys.readouterr().out


def test_status_says_what_a_day_costs_and_the_most_that_can_still_be_billed(
    world: ReleaseWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two kept models are billed for their storage until they are deleted; deployments cost nothing while idle."""
    assert main(["status", world.workload, "--root", world.root, "--json"]) == 0
    exposure = json.loads(capsys.readouterr().out)["exposure"]
    models = [line for line in exposure["lines"] if line["kind"] == "custom-model"]
    assert models
    assert all(
        line["most_usd"] is None and line["usd_a_day"] == pytest.approx(1.95 * 24 / 730) for line in models
    )
    assert exposure["usd_a_day"] == pytest.approx(len(models) * 1.95 * 24 / 730)
    assert "until deleted: custom-model" in exposure["sentence"]


def test_status_says_what_serves_while_a_release_is_open(
    ask: Callable[..., str], world: ReleaseWorld
) -> None:
    model = world.model("third")
    world.execution(world.prepare(world.intent(world.decision(model)))).advance()
    told: dict[str, Any] = json.loads(ask("--json"))
    assert (told["open"]["release"], told["open"]["run"]) == (3, "loop/run-1")
    assert f"the host serves {model}, the pointer names {model} (release 3)" in ask()


def test_status_write_makes_anew_what_the_pages_show(ask: Callable[..., str], world: ReleaseWorld) -> None:
    from airflow_distill.workload.status import Index

    index = Index(world.store, world.root)
    assert index.read(world.workload) is None
    ask("--json")
    assert index.read(world.workload) is None, "looking alone writes nothing"
    ask("--write")
    found = index.read(world.workload)
    assert found is not None
    assert found.dag_id == f"distill_{world.workload}"
    assert found.live is not None
    assert found.live.release == 2
    assert [each.outcome for each in found.releases] == ["released", "released"]
    assert found.verdict is not None
    assert found.verdict.outcome == "hold"
    assert found.money.spent == {f"{datetime.now(UTC):%Y%m}": 52.5}
    assert found.money.billed_at
    assert found.money.endless is not None
    ask("--write", "--dag-id", "my_own_dag")
    again = index.read(world.workload)
    assert again is not None
    assert again.dag_id == "my_own_dag"
