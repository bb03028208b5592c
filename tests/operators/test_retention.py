"""Retention as a task, on the sandbox: the clock of its S3 is the wall clock, so the rule's age is what varies."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from airflow_distill.sandbox import Sandbox
from tests.release_world import ReleaseWorld
from tests.workload_files import ON_SANDBOX

pytestmark = [pytest.mark.airflow]


def apply(world: ReleaseWorld, **keep: timedelta) -> dict[str, int]:
    from airflow_distill.operators.retention import ApplyRetentionOperator

    task = ApplyRetentionOperator(task_id="keep", workload=world.workload, root=world.root, keep=keep)
    return dict(task.execute({})["deleted"])


def test_it_deletes_what_is_old_and_keeps_what_is_live(bedrock_environment: Sandbox) -> None:
    world = ReleaseWorld(bedrock_environment)
    world.promote(world.model("first"))
    old = world.write_dataset("2026-10-05T00:00:00Z")
    place = f"{world.root}/{world.workload}"
    world.store.write(f"{place}/windows/w/harvest.jsonl.gz", b"x")
    assert apply(world, windows=timedelta(days=1), datasets=timedelta(days=1)) == {
        "windows": 0,
        "datasets": 0,
    }
    none = timedelta(seconds=-5)
    assert apply(world, windows=none, datasets=none) == {"windows": 1, "datasets": 2}
    assert world.store.exists(f"{place}/datasets/{world.dataset_id}/heldout.jsonl"), (
        "the live release rests on it"
    )
    assert not world.store.exists(f"{place}/datasets/{old}/heldout.jsonl")
    assert world.store.exists(f"{place}/datasets/{old}/manifest.json")


def test_a_kind_that_never_expires_is_refused() -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from airflow_distill.operators.retention import ApplyRetentionOperator

    task = ApplyRetentionOperator(
        task_id="keep", workload="w", root="s3://b/r", keep={"releases": timedelta(days=1)}
    )
    with pytest.raises(AirflowFailException, match="releases cannot be expired"):
        task.execute({})


def test_a_file_with_retention_has_the_task_and_one_without_has_not(tmp_path: Path) -> None:
    from airflow_distill.pipelines import build_dag
    from airflow_distill.workload.reading import read_workload

    path = tmp_path / "w.yaml"
    path.write_text(ON_SANDBOX)
    assert "end.apply_retention" not in build_dag(read_workload(path)).task_ids
    path.write_text(ON_SANDBOX + "retention: {windows: 90d, answers: 180d}\n")
    task = build_dag(read_workload(path)).task_dict["end.apply_retention"]
    assert task.keep == {"windows": timedelta(days=90), "answers": timedelta(days=180)}
    assert task.is_teardown
