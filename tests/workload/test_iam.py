"""The printed policies allow what the loop calls, and no more than they must."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.aws.calls import operation_name
from airflow_distill.cli.main import main
from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.deployment.records import pointer_name
from airflow_distill.workload.iam import KEPT, LIMIT, WRITTEN_ONCE, Keys, documents, size
from airflow_distill.workload.reading import read_workload
from tests.workload.policies import Context, evaluate

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
    "CreateModelCopyJob": "copying to another Region is not part of the loop",
    "ListModelCopyJobs": "copying to another Region is not part of the loop",
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


def airflow(write: Write, text: str = FULL, **more: Any) -> dict[str, Any]:
    """The statements of all parts of the Airflow identity's policy as one document."""
    found = documents(read_workload(write(text)), **more)
    parts = [document for name, document in found.items() if name.startswith("airflow-policy")]
    return {"Statement": [statement for part in parts for statement in part["Statement"]]}


def test_the_airflow_identity_may_make_every_bedrock_call_of_the_gateway(write: Write) -> None:
    """A new call in the gateway must find its place in the policy, or in the list of exceptions above."""
    found = airflow(write)
    source = (PACKAGE / "aws/bedrock.py").read_text()
    called = {operation_name(m) for m in re.findall(r'(?:call|_items|_bought)\(\s*"([a-z_]+)"', source)}
    allowed = {action.removeprefix("bedrock:") for action in actions(found)}
    assert len(called) > 30
    assert called - allowed == set(NOT_OF_ONE_WORKLOAD)


def test_what_changes_or_deletes_is_limited_to_the_workloads_own_tag(write: Write) -> None:
    for statement in airflow(write)["Statement"]:
        for action in _list(statement["Action"]):
            if re.match(r"bedrock:(Stop|Delete|Update|Untag)", action):
                condition = statement["Condition"]["StringEquals"]
                assert condition == {"aws:ResourceTag/airflow-distill:workload": "support_tickets"}


def test_only_reading_is_allowed_on_everything(write: Write) -> None:
    for name, document in documents(read_workload(write(FULL))).items():
        for statement in document["Statement"]:
            if _list(statement.get("Resource", [])) == ["*"]:
                assert all(
                    re.match(
                        r"(bedrock:(Get|List)|ec2:Describe|(cloudwatch|pricing):Get|servicequotas:List)", a
                    )
                    for a in statement["Action"]
                ), name
            assert not any(action.endswith("*") for action in _list(statement["Action"]))


def test_roles_may_be_passed_to_bedrock_only(write: Write) -> None:
    (statement,) = [s for s in airflow(write)["Statement"] if "iam:PassRole" in s["Action"]]
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
    found, workload = airflow(write, ""), read_workload(write())
    arn = "arn:aws:ssm:us-east-1:111122223333:parameter"
    assert allows(found, "ssm:PutParameter", arn + pointer_name(workload.name, workload.root))
    assert not allows(found, "ssm:PutParameter", arn + pointer_name("others", workload.root))


def test_partition_and_account_come_from_the_role(write: Write, shortest: str) -> None:
    text = shortest.replace("arn:aws:iam::111122223333", "arn:aws-us-gov:iam::444455556666")
    found = documents(read_workload(write(text=text)), region="us-gov-west-1")
    assert "arn:aws:" not in str(found)
    assert "444455556666" in str(found)


def test_documents_fit_the_limits_of_iam(write: Write) -> None:
    """A managed policy holds 6,144 characters without white space."""
    found = documents(read_workload(write(FULL)), keys=KEYS)
    assert all(size(document) <= LIMIT for document in found.values())


def test_a_policy_beyond_the_limit_is_printed_in_parts_that_lose_nothing(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = airflow(write)["Statement"]
    for limit in (6144, 3000, 1500):
        monkeypatch.setattr("airflow_distill.workload.iam.LIMIT", limit)
        found = documents(read_workload(write(FULL)))
        parts = [name for name in found if name.startswith("airflow-policy")]
        assert parts == ["airflow-policy", *(f"airflow-policy-{n}" for n in range(2, len(parts) + 1))]
        assert all(size(found[name]) <= limit for name in parts)
        assert airflow(write)["Statement"] == whole
    assert len(parts) > 3


# --- what the identity must not be able to do -----------------------------------------------------------------------

KEYS = Keys(
    data="arn:aws:kms:us-east-1:111122223333:key/11111111-1111-1111-1111-111111111111",
    logs="arn:aws:kms:us-east-1:111122223333:key/22222222-2222-2222-2222-222222222222",
)
OWN, OTHER = "support_tickets", "other_team"
WORKLOAD_TAG = "airflow-distill:workload"
ARN = "arn:aws:bedrock:us-east-1:111122223333:"
HOST = ARN + "provisioned-model/abcdefabcdef"
MODEL = ARN + "custom-model/amazon.nova-micro-v1:0:128k/abcdefabcdef"
ROOT = "arn:aws:s3:::acme-distill/loop/support_tickets/"


def on(owner: str | None, **tags: str | None) -> Context:
    """The context of a call on a resource: whose it is, and the tags that the request carries."""
    context: dict[str, Any] = {} if owner is None else {f"aws:ResourceTag/{WORKLOAD_TAG}": owner}
    asked = {name: value for name, value in tags.items() if value is not None}
    for name, value in asked.items():
        context[f"aws:RequestTag/{name}"] = value
    if asked:
        context["aws:TagKeys"] = list(asked)
    return context


MAY = [
    ("bedrock:DeleteProvisionedModelThroughput", HOST, on(OWN)),
    ("bedrock:InvokeModel", HOST, on(OWN)),
    (
        "bedrock:CreateProvisionedModelThroughput",
        HOST,
        on(None, **{WORKLOAD_TAG: OWN, "airflow-distill:run": "d/r"}),
    ),
    ("bedrock:TagResource", HOST, on(None, **{WORKLOAD_TAG: OWN, "airflow-distill:run": "d/r"})),
    ("bedrock:TagResource", HOST, on(OWN, **{"airflow-distill:temporary": "true"})),
    ("bedrock:CreateProvisionedModelThroughput", MODEL, on(OWN, **{WORKLOAD_TAG: OWN})),
    ("bedrock:CreateCustomModelDeployment", MODEL, on(OWN, **{WORKLOAD_TAG: OWN})),
    ("bedrock:UpdateCustomModelDeployment", MODEL, on(OWN)),
    (
        "bedrock:CreateEvaluationJob",
        "arn:aws:bedrock:us-west-2::foundation-model/x.y",
        on(None, **{WORKLOAD_TAG: OWN}),
    ),
    ("bedrock:CreateModelInvocationJob", ARN + "inference-profile/us.x.y", on(None, **{WORKLOAD_TAG: OWN})),
    ("s3:PutObject", ROOT + "releases/000001.json", {"s3:if-none-match": "*"}),
    ("s3:PutObject", ROOT + "evaluations/e1/decision.json", {"s3:if-none-match": "*"}),
    ("s3:PutObject", ROOT + "datasets/d1/manifest.json", {}),
    ("s3:PutObject", ROOT + "evaluations/e1/scorecard.json", {}),
    ("s3:PutObject", ROOT + "releases/000001.8ba49f4c.hold-0001.json", {}),
    ("s3:PutObject", ROOT + "releases/000001.8ba49f4c.smoke.json", {"s3:if-none-match": "*"}),
    ("s3:PutObject", ROOT + "evaluations/e1/answers/student.jsonl", {}),
    ("s3:PutObject", "arn:aws:s3:::acme-distill/loop/airflows/a1.json", {"s3:if-none-match": "*"}),
    ("s3:DeleteObject", ROOT + "turns/1.json", {}),
    ("iam:GetPolicyVersion", "arn:aws:iam::aws:policy/AmazonBedrockFullAccess", {}),
    ("iam:GetPolicy", "arn:aws:iam::111122223333:policy/distill", {}),
    ("kms:Decrypt", KEYS.data, {"kms:ViaService": "s3.us-east-1.amazonaws.com"}),
    ("kms:GenerateDataKey", KEYS.data, {"kms:ViaService": "s3.us-east-1.amazonaws.com"}),
    ("kms:Decrypt", KEYS.logs, {"kms:ViaService": "s3.us-east-1.amazonaws.com"}),
]
MAY_NOT = [
    # Others' resources: as they are, and through a tag that is put on them first.
    ("bedrock:DeleteProvisionedModelThroughput", HOST, on(OTHER)),
    ("bedrock:DeleteProvisionedModelThroughput", HOST, on(None)),
    ("bedrock:InvokeModel", HOST, on(OTHER)),
    ("bedrock:InvokeModel", ARN + "custom-model-deployment/abcdefabcdef", on(None)),
    ("bedrock:TagResource", HOST, on(OTHER, **{WORKLOAD_TAG: OWN})),
    ("bedrock:TagResource", HOST, on(OTHER, **{"airflow-distill:temporary": "true"})),
    ("bedrock:UntagResource", HOST, on(OTHER)),
    ("bedrock:UpdateCustomModelDeployment", ARN + "custom-model-deployment/abcdefabcdef", on(OTHER)),
    ("bedrock:StopModelCustomizationJob", ARN + "model-customization-job/m/abcdefabcdef", on(OTHER)),
    # Own resources: handed to another workload, or tagged as others would read it.
    ("bedrock:TagResource", HOST, on(OWN, **{WORKLOAD_TAG: OTHER})),
    ("bedrock:TagResource", HOST, on(OWN, **{"cost-centre": "4711"})),
    # Creating without the tag, under another's, or with tags that are not ours to give.
    ("bedrock:CreateModelCustomizationJob", ARN + "model-customization-job/m/new", on(None)),
    (
        "bedrock:CreateModelCustomizationJob",
        ARN + "model-customization-job/m/new",
        on(None, **{WORKLOAD_TAG: OTHER}),
    ),
    ("bedrock:CreateProvisionedModelThroughput", HOST, on(None, **{WORKLOAD_TAG: OWN, "admin": "yes"})),
    ("bedrock:TagResource", HOST, on(None, **{WORKLOAD_TAG: OWN, "admin": "yes"})),
    ("bedrock:TagResource", HOST, on(None, **{"airflow-distill:run": "d/r"})),
    ("bedrock:UntagResource", HOST, {**on(OWN), "aws:TagKeys": [WORKLOAD_TAG]}),
    # Others' models behind hosts of our own, which this workload could then ask; or as the ground of a job.
    ("bedrock:CreateProvisionedModelThroughput", MODEL, on(OTHER, **{WORKLOAD_TAG: OWN})),
    ("bedrock:CreateProvisionedModelThroughput", MODEL, on(None, **{WORKLOAD_TAG: OWN})),
    ("bedrock:CreateCustomModelDeployment", MODEL, on(OTHER, **{WORKLOAD_TAG: OWN})),
    ("bedrock:CreateCustomModelDeployment", MODEL, on(OWN)),
    ("bedrock:UpdateProvisionedModelThroughput", MODEL, on(OTHER)),
    ("bedrock:CreateModelCustomizationJob", MODEL, on(OTHER, **{WORKLOAD_TAG: OWN})),
    ("bedrock:CreateEvaluationJob", HOST, on(OTHER, **{WORKLOAD_TAG: OWN})),
    # Evidence.
    ("s3:PutObject", "arn:aws:s3:::acme-distill/loop/airflows/a1.json", {}),
    ("s3:PutObject", ROOT + "evidence/ab.decision.json", {}),
    ("s3:PutObject", ROOT + "releases/000001.json", {}),
    ("s3:PutObject", ROOT + "releases/000001.outcome.json", {}),
    ("s3:PutObject", ROOT + "releases/000001.8ba49f4c.smoke.json", {}),
    ("s3:DeleteObject", ROOT + "releases/000001.8ba49f4c.hold-0001.json", {}),
    ("s3:PutObject", ROOT + "evaluations/e1/decision.json", {}),
    ("s3:PutObject", ROOT + "evaluations/e1/approval.json", {}),
    ("s3:PutObject", ROOT + "spend/2026-11/000001.json", {}),
    *(("s3:DeleteObject", ROOT + pattern.replace("*", "x"), {}) for pattern in WRITTEN_ONCE),
    # Elsewhere.
    ("s3:GetObject", "arn:aws:s3:::acme-distill/loop/other_team/datasets/x", {}),
    ("s3:PutObject", "arn:aws:s3:::acme-distill/loop/support_tickets2/x", {}),
    ("s3:ListBucket", "arn:aws:s3:::acme-distill", {"s3:prefix": "loop/other_team"}),
    ("iam:PassRole", "arn:aws:iam::111122223333:role/distill", {"iam:PassedToService": "ec2.amazonaws.com"}),
    (
        "iam:PassRole",
        "arn:aws:iam::111122223333:role/admin",
        {"iam:PassedToService": "bedrock.amazonaws.com"},
    ),
    ("iam:GetPolicy", "arn:aws:iam::999999999999:policy/distill", {}),
    ("kms:Decrypt", KEYS.data, {"kms:ViaService": "rds.us-east-1.amazonaws.com"}),
    (
        "kms:Decrypt",
        "arn:aws:kms:us-east-1:111122223333:key/other",
        {"kms:ViaService": "s3.us-east-1.amazonaws.com"},
    ),
]


@pytest.mark.parametrize(("action", "resource", "context"), MAY)
def test_the_airflow_identity_may(write: Write, action: str, resource: str, context: Context) -> None:
    assert evaluate([airflow(write, keys=KEYS)], action, resource, context)


@pytest.mark.parametrize(("action", "resource", "context"), MAY_NOT)
def test_the_airflow_identity_may_not(write: Write, action: str, resource: str, context: Context) -> None:
    assert not evaluate([airflow(write, keys=KEYS)], action, resource, context)


def test_every_folder_that_the_package_writes_to_has_its_place_in_the_policy() -> None:
    """A new folder is found here, not by a refused write after a week of training."""
    written: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for call in re.findall(r"join_uri\(([^()]*)\)", path.read_text()):
            written |= set(re.findall(r'workload"?\]?, "([a-z-]+)"', call))
    assert {"datasets", "releases", "turns", "windows", "spend"} <= written
    known = {pattern.split("/")[0] for pattern in (*KEPT, *WRITTEN_ONCE)}
    assert written - known == set()


def test_the_workloads_own_tags_may_be_given_on_create(write: Write) -> None:
    tags = on(None, **{WORKLOAD_TAG: OWN, "cost-centre": "4711"})
    assert not evaluate([airflow(write)], "bedrock:CreateProvisionedModelThroughput", HOST, tags)
    found = airflow(write, FULL + "tags: {cost-centre: '4711'}\n")
    assert evaluate([found], "bedrock:CreateProvisionedModelThroughput", HOST, tags)


@pytest.mark.parametrize(
    "line",
    [
        "root: s3://acme-distill/*",
        "root: s3://acme-distill/lo?p",
        "logs: {location: 's3://acme-logs/${aws:username}', metadata: {equals: {app: a}}}",
        "dataset: {golden: 's3://acme-distill/gold*'}",
        "dataset: {prompts: 's3://acme-distill/p?'}",
    ],
)
def test_a_uri_that_iam_would_read_as_a_wildcard_is_refused(
    write: Write, shortest: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether the reader of workload files lets it through or not, no policy is printed from it."""
    kept = "".join(
        one for one in shortest.splitlines(keepends=True) if not one.startswith(line.split(":")[0] + ":")
    )
    path = write(text=kept + line + "\n")
    assert main(["iam", "--workload", str(path)]) != 0
    assert "Statement" not in capsys.readouterr().out


def test_a_student_that_answers_only_through_a_profile_may_be_asked_untuned(
    write: Write, shortest: str
) -> None:
    """Named by its id, it is asked through whatever system profile the account has for it; no other model is."""
    text = shortest.replace("amazon.nova-micro-v1:0:128k", "amazon.nova-2-lite-v1:0:256k")
    more = "job: {method: fine-tuning}\ndataset: {source: curated-with-answers}\n"
    found = [
        document
        for name, document in documents(read_workload(write(text=text + more))).items()
        if "airflow" in name
    ]
    profile = "arn:aws:bedrock:us-east-1:111122223333:inference-profile/"
    for prefix in ("us", "eu", "global"):
        assert evaluate(found, "bedrock:InvokeModel", f"{profile}{prefix}.amazon.nova-2-lite-v1:0")
    assert evaluate(
        found, "bedrock:InvokeModel", "arn:aws:bedrock:us-west-2::foundation-model/amazon.nova-2-lite-v1:0"
    )
    assert not evaluate(found, "bedrock:InvokeModel", f"{profile}us.amazon.nova-lite-v1:0")


def test_a_judge_behind_a_profile_works_with_the_printed_roles(write: Write) -> None:
    judge = "us.anthropic.claude-opus-4-7"
    text = FULL.replace("us.meta.llama3-3-70b-instruct-v1:0", judge)
    found = documents(read_workload(write(text)))
    for name in ("evaluation-role-policy", "airflow-policy"):
        parts = [document for one, document in found.items() if one.startswith(name)]
        for resource in (
            f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/{judge}",
            "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-opus-4-7",
        ):
            assert evaluate(parts, "bedrock:InvokeModel", resource)


def test_the_evaluation_role_has_its_three_actions_on_models_and_profiles(write: Write) -> None:
    role = [documents(read_workload(write(FULL)))["evaluation-role-policy"]]
    for action in ("CreateModelInvocationJob", "GetModelInvocationJob", "StopModelInvocationJob"):
        for resource in (
            "arn:aws:bedrock:us-east-2::foundation-model/amazon.nova-pro-v1:0",
            ARN + "inference-profile/us.amazon.nova-pro-v1:0",
            ARN + "model-invocation-job/abcdefabcdef",
        ):
            assert evaluate(role, f"bedrock:{action}", resource)
    assert evaluate(role, "s3:ListBucketMultipartUploads", "arn:aws:s3:::acme-distill")


def test_keys_of_buckets_reach_the_roles_that_read_and_write_there(write: Write) -> None:
    found = documents(read_workload(write(FULL)), keys=KEYS)
    through_s3 = {"kms:ViaService": "s3.us-east-1.amazonaws.com"}
    for name in ("customization-role-policy", "evaluation-role-policy"):
        for action in ("kms:Decrypt", "kms:GenerateDataKey"):
            assert evaluate([found[name]], action, str(KEYS.data), through_s3)
    assert evaluate([found["customization-role-policy"]], "kms:Decrypt", str(KEYS.logs), through_s3)
    assert not evaluate([found["evaluation-role-policy"]], "kms:Decrypt", str(KEYS.logs), through_s3)
    (statement,) = found["log-key-policy"]["Statement"]
    assert statement["Principal"] == {"Service": "bedrock.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "111122223333"}
    with pytest.raises(ConfigurationError, match="the data key"):
        documents(read_workload(write(FULL)), keys=Keys(data="arn:aws:kms:us-east-1:111122223333:key/*"))
