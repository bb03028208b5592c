"""The whole loop of a workload file whose student is fine-tuned on the logged answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import airflow_distill.triggers.base  # noqa: F401 - before the sandbox's threads import what it needs too
from airflow_distill.sandbox import Sandbox
from airflow_distill.workload.config import Workload
from airflow_distill.workload.reading import read_workload
from tests.pipelines.test_loop import QUICK, receipt, states

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

FILE = """\
owner: support-platform
teacher: amazon.nova-pro-v1:0
student: amazon.nova-2-lite-v1:0:256k
root: s3://acme-distill/loop
role_arn: arn:aws:iam::123456789012:role/distill-customization
region_name: us-east-1
logs:
  location: s3://acme-bedrock-logs/bedrock
  metadata: {equals: {app: support_tickets}}
dataset:
  source: curated-with-answers
job:
  method: fine-tuning
evaluation:
  scorers: [label_accuracy]
budget:
  usd_per_run: 60
  student_prices:
    training: 0.003
    model-storage: 1.95
    inference-input: 0.0003
    inference-output: 0.0025
    deployment-input: 0.0003
    deployment-output: 0.0025
"""
DAG = """\
from airflow_distill.pipelines import build_dag
from airflow_distill.workload.reading import read_workload

dag = build_dag(read_workload({path!r}, {overrides!r}), default_args={{"retries": 0}})
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "tickets_tuned.yaml"
    made.write_text(FILE)
    return made


def test_nova_2_lite_is_fine_tuned_judged_and_released_from_a_workload_file(
    run_dag: Callable[..., Any],
    account: Sandbox,
    allow: Callable[[Workload], str],
    play: Callable[..., None],
    path: Path,
) -> None:
    allow(read_workload(path, QUICK))
    play(1500)
    run = run_dag(DAG.format(path=str(path), overrides=QUICK))
    assert set(states(run).values()) == {"success"}, states(run)
    assert receipt(run, "decision.decide")["verdict"] == "promote"
    assert receipt(run, "deployment.promote")["outcome"] == "released"
    job = receipt(run, "jobs.distill")
    bought = account.client("bedrock").get_model_customization_job(jobIdentifier=job["job_arn"])
    assert bought["customizationType"] == "FINE_TUNING"
    assert "customizationConfig" not in bought
    assert bought["baseModelArn"].endswith("amazon.nova-2-lite-v1:0:256k")
    assert account.calls("CreateModelCustomizationJob") == 1
    # The teacher answered once, in the logs: the job asks nobody.
    assert not [line for line in account.meter()["lines"] if "nova-pro" in str(line["model"])]
    # The untuned student answers through a profile only, and is among those compared.
    assert "untuned" in json.dumps(receipt(run, "evaluation.collect_answers"))

    again = run_dag(DAG.format(path=str(path), overrides=QUICK))
    assert states(again)["dataset.curate"] == "skipped"
    assert account.calls("CreateModelCustomizationJob") == 1
