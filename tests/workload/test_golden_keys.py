"""What a workload file says of its golden set, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_distill.errors import ConfigurationError
from airflow_distill.workload.reading import read_workload
from airflow_distill.workload.tasks import dataset_tasks

CLAIMS = Path(__file__).parents[2] / "dags/workloads/claim_letters.yaml"


def settings(**dataset: Any) -> dict[str, Any]:
    (curate,) = [
        t for t in dataset_tasks(read_workload(CLAIMS, {"dataset": dataset})).tasks if t.task_id == "curate"
    ]
    return dict(curate.arguments["settings"])


def test_a_golden_set_teaches_nothing_unless_the_file_says_so() -> None:
    assert "golden_share" not in settings()
    assert settings(golden_share=0.05)["golden_share"] == 0.05


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ({"golden_share": 1.0}, "golden_share"),
        ({"golden": None, "golden_share": 0.1}, "give golden"),
        (
            {"source": "logs-pairs", "training_logs": "s3://acme-logs/x"},
            "nobody can keep golden prompts out",
        ),
    ],
)
def test_a_golden_set_that_could_not_be_kept_from_training_is_refused(
    dataset: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read_workload(CLAIMS, {"dataset": dataset})
