"""A workload with a golden set, run to a promotion: people's answers judge every student and teach none."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import airflow_distill.triggers.base  # noqa: F401 - before the sandbox's threads import what it needs too
from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import Pair
from airflow_distill.stages.digest import sha256_hex
from airflow_distill.workload.config import Workload
from tests.pipelines import claims
from tests.pipelines.test_loop import dag_text, receipt, states

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

BUCKET, KEY = "acme-distill-west", "golden/claim_letters.jsonl"
QUICK: dict[str, Any] = {
    "approval": {"mode": "never"},
    "deployment": {"bake": "1m", "smoke_prompts": 2},
    "policy": {"require_golden": True},
}


def objects(account: Sandbox, prefix: str) -> dict[str, bytes]:
    client = account.client("s3", region="us-west-2")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
    return {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


def play(account: Sandbox, count: int, seed: int, days_ago: float) -> None:
    start = datetime.now(UTC) - timedelta(days=days_ago)
    items = claims.logged(count, seed, start, timedelta(minutes=5))
    account.play(items, model_id="us.meta.llama3-3-70b-instruct-v1:0", region="us-west-2")


def test_claim_letters_are_promoted_on_what_people_answered(
    run_dag: Callable[..., Any],
    account: Sandbox,
    allow: Callable[[Workload], str],
    example: Callable[..., Workload],
) -> None:
    by_hand = claims.golden(130, seed=99)
    account.client("s3", region="us-west-2").put_object(Bucket=BUCKET, Key=KEY, Body=by_hand)
    account.enable_logging("acme-bedrock-logs-west", prefix="bedrock", region="us-west-2")
    account.teach([Pair(prompt, said, claims.SYSTEM) for prompt, said, _ in claims.claims(900, seed=3)])
    allow(example("claim_letters"))
    play(account, 900, seed=3, days_ago=10)

    run = run_dag(dag_text("claim_letters", QUICK))
    assert set(states(run).values()) == {"success"}, states(run)
    decided = receipt(run, "decision.decide")
    assert decided["verdict"] == "promote"
    assert receipt(run, "deployment.promote")["outcome"] == "released"

    dataset = receipt(run, "dataset.check")
    stored = objects(account, f"loop/claim_letters/datasets/{dataset['dataset_id']}/")
    files = {key.rpartition("/")[2]: data for key, data in stored.items()}
    manifest = json.loads(files["manifest.json"])
    assert manifest["golden"]["sha256"] == sha256_hex(by_hand)
    assert manifest["golden"]["sha256"] in files["card.md"].decode()
    assert (manifest["golden"]["records"], manifest["profile"]["heldout"]["golden"]) == (130, 130)
    assert manifest["profile"]["train"]["golden"] == 0
    assert b"Please ask for" not in files["train.jsonl"]

    card = json.loads(
        next(
            v
            for k, v in objects(account, "loop/claim_letters/evaluations/").items()
            if k.endswith("card.json")
        )
    )
    against = {c["against"]: c for c in card["comparisons"] if c["slice"] == "golden"}
    assert {role: c["n"] for role, c in against.items()} == {"teacher": 130, "untuned": 130}
    assert card["references"]["golden"] == 130
    assert card["teacher_source"] == "mixed"

    play(account, 500, seed=4, days_ago=5)
    again = run_dag(dag_text("claim_letters", {**QUICK, "deployment": {"enabled": False}}))
    second = receipt(again, "dataset.check")
    assert second["dataset_id"] != dataset["dataset_id"]
    lines = objects(account, f"loop/claim_letters/datasets/{second['dataset_id']}/heldout.jsonl")
    asked = {
        json.loads(line)["id"] for line in next(iter(lines.values())).splitlines() if b'"golden":true' in line
    }
    first = {
        json.loads(line)["id"] for line in files["heldout.jsonl"].splitlines() if b'"golden":true' in line
    }
    assert asked == first, "the golden set is the same in every run"
    answers = objects(account, "loop/claim_letters/evaluations/")
    files_of_teacher = [data for key, data in answers.items() if key.endswith("answers/teacher.jsonl")]
    assert len(files_of_teacher) == 2
    assert files_of_teacher[0] == files_of_teacher[1], "asked once; the answers are kept"
