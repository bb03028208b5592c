"""Receipts become lineage and metrics; text never does, and nothing here fails a task."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_distill.operators.observe import count, dataset_name, figures, uris_in

pytestmark = pytest.mark.airflow

DATASET = {
    "kind": "dataset",
    "workload": "tickets",
    "train_uri": "s3://b/loop/tickets/datasets/d1/train.jsonl",
    "manifest_uri": "s3://b/loop/tickets/datasets/d1/manifest.json",
    "train_records": 900,
    "heldout_records": 100,
    "dropped": {"near_duplicate": 7},
}


def test_uris_are_found_at_any_depth_and_once() -> None:
    assert sorted(uris_in([{"a": ["s3://b/x"]}, "s3://b/x", "text", None, {"k": "s3://b/y"}])) == [
        "s3://b/x",
        "s3://b/y",
    ]


def test_names_are_spelt_as_openlineage_has_them() -> None:
    assert dataset_name("s3://bucket/a/b/") == ("s3://bucket", "a/b")
    assert dataset_name("s3://bucket") == ("s3://bucket", "/")


def test_a_task_reads_what_it_was_handed_and_writes_what_its_receipt_names() -> None:
    from airflow_distill.operators.dataset import CurateDatasetOperator

    task = CurateDatasetOperator(
        task_id="curate",
        harvest={"kind": "harvest", "shards": ["s3://b/loop/tickets/windows/w/0.jsonl.gz"]},
        workload="tickets",
        root="s3://b/loop",
        teacher="t",
        student="s",
    )
    ti = SimpleNamespace(task_id="curate", xcom_pull=lambda task_ids: DATASET)
    told = task.get_openlineage_facets_on_complete(ti)
    assert [d.name for d in told.inputs] == ["loop/tickets/windows/w/0.jsonl.gz"]
    assert [d.name for d in told.outputs] == [
        "loop/tickets/datasets/d1/manifest.json",
        "loop/tickets/datasets/d1/train.jsonl",
    ]
    assert task.get_openlineage_facets_on_start().outputs == []


def test_every_operator_of_ours_tells_its_lineage() -> None:
    from airflow_distill.operators.base import DistillOperator
    from airflow_distill.operators.observe import Lineage

    assert issubclass(DistillOperator, Lineage)


def test_a_receipt_that_cannot_be_read_leaves_the_outputs_out() -> None:
    from airflow_distill.operators.dataset import CheckDatasetOperator

    def lost(**_: Any) -> Any:
        raise RuntimeError("no database")

    task = CheckDatasetOperator(task_id="check", dataset=DATASET)
    told = task.get_openlineage_facets_on_complete(SimpleNamespace(task_id="check", xcom_pull=lost))
    assert told.outputs == []
    assert len(told.inputs) == 2


@pytest.mark.parametrize(
    ("receipt", "expected"),
    [
        (DATASET, {"dataset.train": 900, "dataset.heldout": 100, "dropped.near_duplicate": 7}),
        ({"kind": "harvest", "lines": 9, "kept": 5, "skipped": {"blank": 4}}, {"skipped.blank": 4}),
        ({"kind": "decision", "verdict": "promote"}, {"verdict.promote": 1}),
        ({"kind": "budget", "estimate_usd": None}, {}),
        (None, {}),
        ({"kind": "something new"}, {}),
    ],
)
def test_figures_of_a_receipt(receipt: Any, expected: dict[str, float]) -> None:
    found = figures(receipt)
    assert expected.items() <= found.items()
    assert all(isinstance(value, int | float) for value in found.values())


def test_metrics_that_cannot_be_sent_fail_nothing() -> None:
    class Broken(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            raise RuntimeError

    count(Broken())
    assert figures({}) == {}
