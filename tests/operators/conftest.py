"""A distilled student in the sandbox, with its dataset: what evaluation and decision start from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_distill.aws.gateways import AwsGateways, gateways_from_session
from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import Pair, support_tickets
from airflow_distill.sandbox.world import GRANTED_UNITS
from airflow_distill.stages.dataset.jsonl import bedrock_record
from airflow_distill.stages.dataset.profile import profile_examples
from airflow_distill.stages.dataset.records import DatasetFile, DatasetManifest, Example, Turn
from airflow_distill.stages.digest import canonical_json, sha256_hex

TEACHER = "amazon.nova-pro-v1:0"
STUDENT = "amazon.nova-micro-v1:0:128k"
ROOT = "s3://distill-sandbox/distill"
WORKLOAD = "support_tickets"


@dataclass(frozen=True, slots=True)
class TrainedStudent:
    """Receipts as the tasks before evaluation hand them on."""

    sandbox: Sandbox
    gateways: AwsGateways
    dataset: dict[str, Any]
    job: dict[str, Any]
    host: dict[str, Any]
    heldout: int
    workload: str = WORKLOAD
    root: str = ROOT

    def forget_calls(self) -> int:
        """Return how many Converse calls have been made so far."""
        return self.sandbox.calls("Converse")


def example_of(pair: Pair, number: int) -> Example:
    product = ("card", "loan", "account")[number % 3]
    return Example(
        (Turn("user", pair.prompt),),
        answer=pair.completion,
        system=pair.system or None,
        metadata=(("product", product),),
        input_tokens=30,
        output_tokens=4,
        latency_ms=600,
    )


def store_dataset(gateways: AwsGateways, examples: list[Example], heldout: int) -> dict[str, Any]:
    """Write the files of a dataset as the dataset stage does, and return its receipt."""
    folder = f"{ROOT}/{WORKLOAD}/datasets/d0123456789"
    parts = {
        "train": [canonical_json(bedrock_record(e, with_answer=True)) for e in examples[heldout:]],
        "heldout": [canonical_json(e.to_json()) for e in examples[:heldout]],
    }
    files = {}
    for name, lines in parts.items():
        data = b"".join(line + b"\n" for line in lines)
        gateways.objects.write(f"{folder}/{name}.jsonl", data)
        files[name] = DatasetFile(f"{folder}/{name}.jsonl", len(lines), len(data), sha256_hex(data))
    manifest = DatasetManifest(
        dataset_id="d0123456789",
        workload=WORKLOAD,
        teacher=TEACHER,
        student=STUDENT,
        window_start="2026-11-16T00:00:00Z",
        window_end="2026-11-23T00:00:00Z",
        train=files["train"],
        heldout=files["heldout"],
        findings=None,
        with_answers=True,
        counts={
            "lines": len(examples),
            "kept": len(examples),
            "train": len(examples) - heldout,
            "heldout": heldout,
        },
        skipped={},
        dropped={},
        settings={},
        profile={"train": profile_examples(examples[heldout:])},
    )
    data = canonical_json(manifest.to_json())
    gateways.objects.write(f"{folder}/manifest.json", data)
    return {
        "kind": "dataset",
        "v": 1,
        "workload": WORKLOAD,
        "dataset_id": manifest.dataset_id,
        "manifest_uri": f"{folder}/manifest.json",
        "manifest_sha256": sha256_hex(data),
        "train_uri": files["train"].uri,
        "train_records": files["train"].records,
        "heldout_uri": files["heldout"].uri,
        "heldout_records": heldout,
        "with_answers": True,
        "teacher": TEACHER,
        "student": STUDENT,
        "window": [manifest.window_start, manifest.window_end],
    }


def distil(sandbox: Sandbox, role_arn: str, train_uri: str, name: str) -> str:
    """Run a distillation job to its end and return the custom model's ARN."""
    bedrock = sandbox.client("bedrock")
    arn = bedrock.create_model_customization_job(
        jobName=f"job-{name}",
        customModelName=f"model-{name}",
        roleArn=role_arn,
        baseModelIdentifier=STUDENT,
        customizationType="DISTILLATION",
        trainingDataConfig={"s3Uri": train_uri},
        outputDataConfig={"s3Uri": f"{ROOT}/{WORKLOAD}/jobs/"},
        customizationConfig={
            "distillationConfig": {"teacherModelConfig": {"teacherModelIdentifier": TEACHER}}
        },
    )["jobArn"]
    job = bedrock.get_model_customization_job(jobIdentifier=arn)
    assert job["status"] == "Completed", json.dumps(job, default=str)
    return str(job["outputModelArn"])


def serve(sandbox: Sandbox, model_arn: str, name: str) -> str:
    """Return the ARN of an active on-demand deployment of a custom model."""
    bedrock = sandbox.client("bedrock")
    arn = bedrock.create_custom_model_deployment(modelDeploymentName=f"host-{name}", modelArn=model_arn)[
        "customModelDeploymentArn"
    ]
    bedrock.get_custom_model_deployment(customModelDeploymentIdentifier=arn)
    return str(arn)


def prepare_student(sandbox: Sandbox, role_arn: str) -> TrainedStudent:
    """Teach a student with 400 support tickets, serve it on demand, and hold out 120 others."""
    heldout = 120
    gateways = gateways_from_session(region_name="us-east-1", endpoint_url=sandbox.endpoint_url)
    examples = [example_of(pair, n) for n, pair in enumerate(support_tickets(520, seed=11))]
    dataset = store_dataset(gateways, examples, heldout)
    model_arn = distil(sandbox, role_arn, dataset["train_uri"], "a")
    host_arn = serve(sandbox, model_arn, "a")
    job = {
        "kind": "job",
        "v": 1,
        "workload": WORKLOAD,
        "dataset_id": dataset["dataset_id"],
        "job_arn": "arn:aws:bedrock:us-east-1:123456789012:model-customization-job/x/abcdefghijkl",
        "custom_model_arn": model_arn,
        "teacher": TEACHER,
        "student": STUDENT,
    }
    host = {
        "kind": "host",
        "v": 1,
        "workload": WORKLOAD,
        "host_kind": "custom-model-deployment",
        "host_arn": host_arn,
        "model_arn": model_arn,
        "status": "Active",
    }
    return TrainedStudent(sandbox, gateways, dataset, job, host, heldout)


@pytest.fixture
def trained_student(bedrock_environment: Sandbox, bedrock_role: str) -> TrainedStudent:
    """A student of its own for one test."""
    return prepare_student(bedrock_environment, bedrock_role)


@pytest.fixture(scope="module")
def module_student() -> Iterator[TrainedStudent]:
    """One student for all tests of a module, on a server of its own, so that it is taught once."""
    with pytest.MonkeyPatch.context() as environment, Sandbox(quotas=GRANTED_UNITS) as sandbox:
        sandbox.reset()
        for name, value in sandbox.environment().items():
            environment.setenv(name, value)
        yield prepare_student(sandbox, sandbox.prepare())
