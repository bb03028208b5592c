"""What a job would cost, before it is bought."""

from __future__ import annotations

from typing import Any

from airflow_distill.aws.planning import plan_job
from airflow_distill.stages.jobs.spec import make_spec

DATASET = {
    "dataset_id": "d1",
    "train_uri": "s3://acme-distill/loop/w/datasets/d1/train.jsonl",
    "train_records": 500,
    "with_answers": True,
}


def price(method: Any) -> dict[str, Any]:
    spec = make_spec(
        workload="w",
        root="s3://acme-distill/loop",
        role_arn="arn:aws:iam::111122223333:role/distill",
        dataset=DATASET,
        teacher="amazon.nova-pro-v1:0",
        student="amazon.nova-micro-v1:0:128k",
        method=method,
    )
    plan = plan_job(spec, None, records=500, input_tokens=200, output_tokens=50, region="us-east-1")
    return dict(plan.to_json()["price"])


def test_a_fine_tuning_job_asks_no_teacher_and_is_priced_so() -> None:
    distilled, tuned = price("distillation"), price("fine-tuning")
    assert tuned["from"]["known_usd"] < distilled["from"]["known_usd"]
    assert tuned["to"]["known_usd"] == tuned["from"]["known_usd"], "the service does not grow the data"
    assert distilled["to"]["known_usd"] > distilled["from"]["known_usd"]
