"""The printed policies allow what the loop calls, and no more than they must."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.aws.calls import operation_name
from airflow_distill.workload.iam import documents
from airflow_distill.workload.reading import read_workload

Write = Callable[..., Path]
PACKAGE = Path(__file__).parents[2] / "airflow_distill"

FULL = """\
evaluation_role_arn: arn:aws:iam::111122223333:role/distill-evaluation
evaluation: {judge: us.meta.llama3-3-70b-instruct-v1:0}
job:
  kms_key: arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012
  vpc: {subnets: [subnet-1], security_groups: [sg-1]}
dataset: {source: logs-prompts, training_logs: s3://acme-logs/bedrock/2026/10}
"""

NOT_OF_ONE_WORKLOAD = {
    "PutModelInvocationLoggingConfiguration": "account set-up, done once by a person",
    "DeleteModelInvocationLoggingConfiguration": "account set-up, done once by a person",
    "BatchDeleteEvaluationJob": "cleaning up is a person's choice",
    "CreateModelCopyJob": "copying to another Region is not part of the loop",
    "GetModelCopyJob": "copying to another Region is not part of the loop",
}
"""Calls of the gateway that a workload's identity does not get, and why."""


def actions(document: dict[str, Any]) -> set[str]:
    return {action for statement in document["Statement"] for action in statement["Action"]}


def allows(document: dict[str, Any], action: str, resource: str) -> bool:
    """Say whether any statement allows the action on the resource, conditions aside."""
    return any(
        action in statement["Action"]
        and any(fnmatchcase(resource, pattern) for pattern in _list(statement["Resource"]))
        for statement in document["Statement"]
    )


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_the_airflow_identity_may_make_every_bedrock_call_of_the_gateway(write: Write) -> None:
    """A new call in the gateway must find its place in the policy, or in the list of exceptions above."""
    found = documents(read_workload(write(FULL)))["airflow-policy"]
    source = (PACKAGE / "aws/bedrock.py").read_text()
    called = {operation_name(m) for m in re.findall(r'(?:call|_items)\(\s*"([a-z_]+)"', source)}
    allowed = {action.removeprefix("bedrock:") for action in actions(found)}
    assert len(called) > 30
    assert called - allowed == set(NOT_OF_ONE_WORKLOAD)


def test_what_changes_or_deletes_is_limited_to_the_workloads_own_tag(write: Write) -> None:
    found = documents(read_workload(write(FULL)))["airflow-policy"]
    for statement in found["Statement"]:
        for action in _list(statement["Action"]):
            if re.match(r"bedrock:(Stop|Delete|Update|Untag)", action):
                condition = statement["Condition"]["StringEquals"]
                assert condition == {"aws:ResourceTag/airflow-distill:workload": "support_tickets"}


def test_only_reading_is_allowed_on_everything(write: Write) -> None:
    for name, document in documents(read_workload(write(FULL))).items():
        for statement in document["Statement"]:
            if _list(statement.get("Resource", [])) == ["*"]:
                assert all(re.match(r"(bedrock:(Get|List)|ec2:Describe)", a) for a in statement["Action"]), (
                    name
                )
            assert not any(action.endswith("*") for action in _list(statement["Action"]))


def test_roles_may_be_passed_to_bedrock_only(write: Write) -> None:
    found = documents(read_workload(write(FULL)))["airflow-policy"]
    (statement,) = [s for s in found["Statement"] if "iam:PassRole" in s["Action"]]
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}
    assert statement["Resource"] == [
        "arn:aws:iam::111122223333:role/distill",
        "arn:aws:iam::111122223333:role/distill-evaluation",
    ]


def test_the_trust_document_guards_against_a_confused_deputy(write: Write) -> None:
    (statement,) = documents(read_workload(write()))["customization-role-trust"]["Statement"]
    assert statement["Principal"] == {"Service": "bedrock.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "111122223333"},
        "ArnLike": {"aws:SourceArn": ["arn:aws:bedrock:us-east-1:111122223333:model-customization-job/*"]},
    }


def test_a_teacher_behind_a_profile_is_allowed_in_every_region_it_may_answer_from(
    write: Write, shortest: str
) -> None:
    text = shortest.replace("amazon.nova-pro-v1:0", "us.amazon.nova-premier-v1:0")
    role = documents(read_workload(write(text=text)))["customization-role-policy"]
    profile = "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.amazon.nova-premier-v1:0"
    assert allows(role, "bedrock:InvokeModel", profile)
    model = "arn:aws:bedrock:us-west-2::foundation-model/amazon.nova-premier-v1:0"
    assert allows(role, "bedrock:InvokeModel", model)


@pytest.mark.parametrize(
    ("source", "reads_logs", "asks_teacher"),
    [("curated", False, True), ("logs-prompts", True, True), ("logs-pairs", True, False)],
)
def test_the_role_reads_logs_and_asks_the_teacher_only_where_the_mode_needs_it(
    write: Write, source: str, reads_logs: bool, asks_teacher: bool
) -> None:
    more = ", training_logs: s3://acme-logs/bedrock/2026/10" if reads_logs else ""
    path = write(f"dataset: {{source: {source}{more}}}\n")
    role = documents(read_workload(path))["customization-role-policy"]
    assert allows(role, "s3:GetObject", "arn:aws:s3:::acme-logs/bedrock/2026/10/x.json.gz") is reads_logs
    assert not allows(role, "s3:GetObject", "arn:aws:s3:::acme-logs/bedrock/2026/11/x.json.gz")
    assert ("bedrock:InvokeModel" in actions(role)) is asks_teacher


def test_the_pointer_is_the_only_parameter(write: Write) -> None:
    found = documents(read_workload(write()))["airflow-policy"]
    arn = "arn:aws:ssm:us-east-1:111122223333:parameter/airflow-distill/{}/live"
    assert allows(found, "ssm:PutParameter", arn.format("support_tickets"))
    assert not allows(found, "ssm:PutParameter", arn.format("others"))


def test_partition_and_account_come_from_the_role(write: Write, shortest: str) -> None:
    text = shortest.replace("arn:aws:iam::111122223333", "arn:aws-us-gov:iam::444455556666")
    found = documents(read_workload(write(text=text)), region="us-gov-west-1")
    assert "arn:aws:" not in str(found)
    assert "444455556666" in str(found)


def test_documents_fit_the_limits_of_iam(write: Write) -> None:
    """A managed policy holds 6,144 characters without white space."""
    for name, document in documents(read_workload(write(FULL))).items():
        assert len(str(document).replace(" ", "")) < 6144, name
