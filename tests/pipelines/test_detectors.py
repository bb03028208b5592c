"""A detector that a workload file names works in the harvest and in the curation, wherever the prompts come from."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import support_tickets
from airflow_distill.stages.dataset.jsonl import bedrock_record, encode_line
from airflow_distill.stages.dataset.records import Example, Turn

pytestmark = pytest.mark.airflow

EXAMPLE = Path(__file__).parents[2] / "dags/workloads/support_tickets.yaml"
PROMPTS = "prompts/own.jsonl"
DETECTORS = ["tests.stages.dataset.planted:find_word7"]
DAG = """\
from airflow.sdk import DAG
from airflow_distill.pipelines import dataset_group, logs_group
from airflow_distill.workload.reading import read_workload

workload = read_workload({path!r}, {{"dataset": {dataset!r}}})
with DAG("two_stages", schedule=None, default_args={{"retries": 0}}) as dag:
    dataset_group(workload, harvest=logs_group(workload)["harvest"])
"""


@pytest.fixture
def traffic(account: Sandbox) -> Sandbox:
    """The same questions in the logs and in a prompt file; each holds what the detector finds."""
    account.enable_logging("acme-bedrock-logs", prefix="bedrock", region="us-east-1")
    pairs = [(f"{pair.prompt} My code is word7.", pair.completion) for pair in support_tickets(200, seed=7)]
    moment = (datetime.now(UTC) - timedelta(hours=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    items = [{"prompt": prompt, "completion": completion} for prompt, completion in pairs]
    account.play(
        items, model_id="amazon.nova-pro-v1:0", timestamp=moment, metadata={"app": "support_tickets"}
    )
    examples = [Example((Turn("user", prompt),), answer=completion) for prompt, completion in pairs]
    lines = b"".join(encode_line(bedrock_record(example, with_answer=True)) for example in examples)
    account.client("s3").put_object(Bucket="acme-distill", Key=PROMPTS, Body=lines)
    return account


def written(account: Sandbox) -> dict[str, bytes]:
    client = account.client("s3")
    listed = client.list_objects_v2(Bucket="acme-distill", Prefix="loop/")["Contents"]
    found = {o["Key"]: client.get_object(Bucket="acme-distill", Key=o["Key"])["Body"].read() for o in listed}
    return {key: gzip.decompress(data) if key.endswith(".gz") else data for key, data in found.items()}


@pytest.mark.parametrize("source", [{}, {"prompts": f"s3://acme-distill/{PROMPTS}"}], ids=["logs", "prompts"])
@pytest.mark.parametrize("detectors", [[], DETECTORS], ids=["built in", "and one more"])
def test_what_the_files_detector_finds_is_written_nowhere(
    run_dag: Callable[..., Any], traffic: Sandbox, source: dict[str, str], detectors: list[str]
) -> None:
    run = run_dag(DAG.format(path=str(EXAMPLE), dataset={**source, "detectors": detectors}))
    assert {str(ti.state) for ti in run.get_task_instances()} == {"success"}
    objects = written(traffic)
    shown, hidden = ({k for k, data in objects.items() if word in data} for word in (b" word7.", b"[WORD_1]"))
    goods, none = (hidden, shown) if detectors else (shown, hidden)
    assert {"windows", "datasets"} == {key.split("/")[2] for key in goods}, (
        "a harvest's shards, and a dataset"
    )
    assert none == set()
