"""What the printed roles are held to: the calls that a whole loop makes, seen on the wire."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.aws.calls import operation_name
from airflow_distill.sandbox import Sandbox
from airflow_distill.workload.config import Workload
from airflow_distill.workload.iam import documents
from tests.pipelines.test_loop import QUICK, dag_text, states
from tests.wire import Wire, listen
from tests.workload.policies import evaluate

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

PACKAGE = Path(__file__).parents[2] / "airflow_distill"

NOT_ON_THE_WIRE = {
    "iam:PassRole": "asked by the service when a role is handed to it",
    "iam:GetPolicy": "the role of this test has no attached policy",
    "iam:GetPolicyVersion": "the role of this test has no attached policy",
    "s3:AbortMultipartUpload": "what killed uploads left; tests/aws/test_roles.py",
    "s3:ListBucketMultipartUploads": "the reaper; tests/aws/test_roles.py",
    "servicequotas:ListServiceQuotas": "a student whose quota has no known code; tests/aws/test_roles.py",
    "s3:DeleteObjectVersion": "denied",
    "s3:DeleteObject": "turns that are over, harvests that are done again, what the reaper removes",
    "ssm:DeleteParameter": "the way back of a first release",
    "ssm:AddTagsToResource": "a new pointer",
    "s3:GetBucketLocation": "asked by the doctor and by logs handed to Bedrock",
    "cloudwatch:GetMetricData": "the guard against idle hosts, in a Dag of its own",
    "pricing:GetProducts": "`airflow-distill prices update`",
}
"""Actions of the Airflow identity that this loop does not need, and when they are."""


@pytest.fixture
def wire(account: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Listens to the calls of one sandbox, and to what it asks of service roles."""
    return listen(account, monkeypatch)


def test_the_printed_roles_allow_what_a_whole_loop_calls_and_little_more(
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
    wire.on = True
    run = run_dag(dag_text("support_tickets", QUICK))
    wire.on = False
    assert set(states(run).values()) == {"success"}, states(run)

    found = documents(workload)
    airflow = [document for name, document in found.items() if name.startswith("airflow-policy")]
    assert len(wire.requests) > 200
    refused = {(a, r) for a, r, context in wire.requests if not evaluate(airflow, a, r, context)}
    assert refused == set()

    allowed = {action for d in airflow for s in d["Statement"] for action in s["Action"]}
    source = (PACKAGE / "aws/bedrock.py").read_text()
    gateway = {
        f"bedrock:{operation_name(m)}" for m in re.findall(r'(?:call|_items|_bought)\(\s*"([a-z_]+)"', source)
    }
    used = {action for action, _, _ in wire.requests}
    assert allowed - used - gateway - set(NOT_ON_THE_WIRE) == set(), "printed and never needed"

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
