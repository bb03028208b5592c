"""What a workload file says of feedback, and what becomes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.errors import ConfigurationError
from airflow_distill.workload.iam import documents
from airflow_distill.workload.reading import read_workload
from airflow_distill.workload.tasks import dataset_tasks

TICKETS = Path(__file__).parents[2] / "dags/workloads/support_tickets.yaml"
PLACE = "s3://acme-feedback/tickets"


def workload(**feedback: Any) -> Any:
    return read_workload(TICKETS, {"dataset": {"feedback": {"location": PLACE, **feedback}}})


def test_feedback_reaches_the_curation_with_what_it_is_for() -> None:
    (curate,) = [
        t
        for t in dataset_tasks(workload(use=["liked", "weights"], liked_from=4.0)).tasks
        if t.task_id == "curate"
    ]
    assert curate.arguments["feedback"] == PLACE
    settings = curate.arguments["settings"]
    assert (settings["feedback"], settings["liked_from"]) == (["liked", "weights"], 4.0)


def test_the_share_of_lost_logs_is_a_key_with_a_strict_default() -> None:
    for logs, lost in (({}, 0.001), ({"lost": 0.02}, 0.02)):
        (curate,) = [
            t for t in dataset_tasks(read_workload(TICKETS, {"logs": logs})).tasks if t.task_id == "curate"
        ]
        assert curate.arguments["lost"] == lost


@pytest.mark.parametrize(
    ("rule", "said"),
    [("empty", "refuses a record without text"), ("contaminated", "would mean nothing"), ("balance", "balance_ratio"),
     ("colour", "no drop rule")],
)  # fmt: skip
def test_a_rule_that_cannot_be_kept_says_why(rule: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read_workload(TICKETS, {"dataset": {"keep": [rule]}})


def test_the_printed_role_may_list_and_read_it() -> None:
    printed = json.dumps(documents(workload(use=["corrected"])))
    assert "acme-feedback/tickets" in printed
    assert "ListFeedback" in printed


@pytest.mark.parametrize(
    ("feedback", "said"),
    [
        ({"use": []}, "at least 1"),
        ({}, "use"),
        ({"use": ["liked", "not_disliked"]}, "not both"),
        ({"use": ["loved"]}, "liked"),
    ],
)
def test_feedback_that_says_nothing_useful_is_refused(feedback: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        workload(**feedback)
