"""The printed roles of a whole loop: what Airflow asks, and what its job asks with the role that it is given.

That nothing is printed for Airflow's identity that nobody needs is held by `tests/aws/test_roles.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_distill.sandbox import Sandbox
from airflow_distill.workload.config import Workload
from airflow_distill.workload.iam import documents
from tests.pipelines.test_loop import QUICK, dag_text, states
from tests.wire import Wire
from tests.workload.policies import evaluate

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


def test_the_printed_roles_allow_what_a_whole_loop_calls_and_the_jobs_role_no_more(
    run_dag: Callable[..., Any],
    account: Sandbox,
    allow: Callable[[Workload], str],
    play: Callable[..., None],
    example: Callable[..., Workload],
    wire: Wire,
) -> None:
    workload = example("support_tickets", **QUICK)
    allow(workload)
    play(1500)
    run = run_dag(dag_text("support_tickets", QUICK))
    assert set(states(run).values()) == {"success"}, states(run)

    found = documents(workload)
    assert len(wire.requests) > 200
    assert {"iam:PassRole", "bedrock:CreateModelCustomizationJob", "bedrock:TagResource"} <= wire.used()

    role = [found["customization-role-policy"]]
    assert wire.of_role
    assert {
        (a, r) for a, r in wire.of_role if not evaluate(role, a, r, {"s3:prefix": prefix_of(workload)})
    } == set()
    needed = {action for action, _ in wire.of_role}
    asked_only_elsewhere = {
        "bedrock:InvokeModel"
    }  # a teacher named by its id needs no permission of the role here
    printed = {action for s in role[0]["Statement"] for action in s["Action"]}
    assert printed - needed <= asked_only_elsewhere


def prefix_of(workload: Workload) -> str:
    return f"{workload.root}/{workload.name}".removeprefix("s3://").partition("/")[2]
