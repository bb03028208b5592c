"""The least-privilege IAM documents one workload needs, as plain data.

Takes a `Workload`, hands on named documents:

    customization-role-trust, customization-role-policy   what the distillation job's service role is and may
    evaluation-role-trust, evaluation-role-policy         the same for evaluation and batch jobs, when the file names a role
    airflow-policy                                        what the identity behind the Airflow connection may
    log-bucket-policy                                     what lets Bedrock deliver invocation logs into the bucket

Resources are as narrow as the service can name before they exist. What changes or deletes something is limited to
resources that carry the workload's tag. Account and partition come from the role's ARN.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_distill.remote.identity import TAG_WORKLOAD
from airflow_distill.stages.deployment.records import pointer_name
from airflow_distill.stages.jobs import models
from airflow_distill.workload.config import Workload

Document = dict[str, Any]

READS = (
    "GetFoundationModel",
    "GetInferenceProfile",
    "GetModelInvocationLoggingConfiguration",
    "ListCustomModelDeployments",
    "ListCustomModels",
    "ListEvaluationJobs",
    "ListFoundationModels",
    "ListInferenceProfiles",
    "ListModelCopyJobs",
    "ListModelCustomizationJobs",
    "ListModelInvocationJobs",
    "ListProvisionedModelThroughputs",
)
"""Calls that only read and that IAM cannot narrow to one workload."""


def documents(workload: Workload, region: str | None = None) -> dict[str, Document]:
    """Return the documents by name.

    :param region: used when the workload names no Region; by default the one where the teacher's family is distilled.
    """
    place = _Place(workload, region)
    found = {
        "customization-role-trust": _trust(place, "model-customization-job"),
        "customization-role-policy": _customization_role(workload, place),
        "airflow-policy": _airflow(workload, place),
    }
    if workload.evaluation_role_arn:
        found["evaluation-role-trust"] = _trust(place, "evaluation-job", "model-invocation-job")
        found["evaluation-role-policy"] = _evaluation_role(workload, place)
    if workload.logs:
        found["log-bucket-policy"] = _log_bucket(workload.logs.location, place)
    return found


class _Place:
    """Partition, account and Region, and the ARNs made of them."""

    def __init__(self, workload: Workload, region: str | None) -> None:
        _, self.partition, _, _, self.account, _ = workload.role_arn.split(":", 5)
        self.region = workload.region_name or region or home_region(workload)

    def bedrock(self, kind: str, name: str = "*") -> str:
        return f"arn:{self.partition}:bedrock:{self.region}:{self.account}:{kind}/{name}"

    def foundation_model(self, model: str, region: str | None = None) -> str:
        return f"arn:{self.partition}:bedrock:{region or self.region}::foundation-model/{model}"

    def bucket(self, uri: str) -> str:
        return f"arn:{self.partition}:s3:::{_bucket(uri)}"

    def objects(self, uri: str) -> str:
        return f"arn:{self.partition}:s3:::{uri.removeprefix('s3://')}/*"


def home_region(workload: Workload) -> str:
    """Return the Region in which the service distils the pair."""
    return models.job_region(workload.teacher, workload.student) or "us-east-1"


def _bucket(uri: str) -> str:
    return uri.removeprefix("s3://").split("/", 1)[0]


def _folder(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[2]


def _allow(
    sid: str, actions: Iterable[str], resources: Iterable[str] | str, condition: Any = None
) -> Document:
    statement: Document = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": resources if isinstance(resources, str) else sorted(set(resources)),
    }
    if condition:
        statement["Condition"] = condition
    return statement


def _policy(statements: Iterable[Document]) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _trust(place: _Place, *kinds: str) -> Document:
    """Bedrock may assume the role, for this account's own jobs only: the confused-deputy guard."""
    return _policy(
        [
            {
                "Effect": "Allow",
                "Principal": {"Service": "bedrock.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": place.account},
                    "ArnLike": {"aws:SourceArn": [place.bedrock(kind) for kind in kinds]},
                },
            }
        ]
    )


def _listing(sid: str, uri: str, place: _Place) -> Document:
    """Listing is allowed on the bucket and narrowed to the folder by a condition."""
    folder = _folder(uri)
    condition = {"StringLike": {"s3:prefix": [folder, f"{folder}/*"]}} if folder else None
    return _allow(sid, ["s3:ListBucket"], place.bucket(uri), condition)


def _invoke(sid: str, asked: Iterable[str], place: _Place) -> Document:
    """Asking models: a system profile needs itself and the model in every Region it may choose."""
    resources = []
    for model in asked:
        base = models.base_model_id(model)
        if models.is_profile(model):
            profile = place.bedrock("inference-profile", models.strip_arn(model))
            resources += [profile, place.foundation_model(base, "*")]
        else:
            resources.append(place.foundation_model(base))
    return _allow(sid, ["bedrock:InvokeModel"], resources)


def _customization_role(workload: Workload, place: _Place) -> Document:
    own = f"{workload.root}/{workload.name}"
    statements = [
        _listing("ListOwnFolder", own, place),
        _allow("ReadDataset", ["s3:GetObject"], place.objects(f"{own}/datasets")),
        _allow("WriteOutput", ["s3:GetObject", "s3:PutObject"], place.objects(f"{own}/jobs")),
    ]
    if workload.dataset.training_logs:
        statements.append(_listing("ListLogs", workload.dataset.training_logs, place))
        statements.append(_allow("ReadLogs", ["s3:GetObject"], place.objects(workload.dataset.training_logs)))
    if workload.dataset.source != "logs-pairs":
        statements.append(_invoke("AskTeacher", [workload.teacher], place))
    if workload.job.kms_key and workload.job.kms_key.startswith("arn:"):
        actions = ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:CreateGrant"]
        via = {"StringEquals": {"kms:ViaService": f"bedrock.{place.region}.amazonaws.com"}}
        statements.append(_allow("UseModelKey", actions, workload.job.kms_key, via))
    if workload.job.vpc:
        statements += _network(place)
    return _policy(statements)


def _network(place: _Place) -> list[Document]:
    ec2 = f"arn:{place.partition}:ec2:{place.region}:{place.account}"
    looks = [
        "DescribeDhcpOptions",
        "DescribeNetworkInterfaces",
        "DescribeSecurityGroups",
        "DescribeSubnets",
        "DescribeVpcs",
    ]
    return [
        _allow("SeeNetwork", [f"ec2:{name}" for name in looks], "*"),
        _allow(
            "MakeInterfaces",
            ["ec2:CreateNetworkInterface"],
            [f"{ec2}:network-interface/*", f"{ec2}:subnet/*", f"{ec2}:security-group/*"],
        ),
        _allow(
            "TagInterfaces",
            ["ec2:CreateTags"],
            f"{ec2}:network-interface/*",
            {"StringEquals": {"ec2:CreateAction": ["CreateNetworkInterface"]}},
        ),
        _allow(
            "UseInterfaces",
            [
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
            ],
            f"{ec2}:network-interface/*",
            {"StringEquals": {"aws:ResourceTag/BedrockManaged": "true"}},
        ),
    ]


def _evaluation_role(workload: Workload, place: _Place) -> Document:
    own = f"{workload.root}/{workload.name}"
    batch = ["bedrock:CreateModelInvocationJob", "bedrock:StopModelInvocationJob"]
    judges = [workload.evaluation.judge] if workload.evaluation.judge else []
    statements = [
        _listing("ListOwnFolder", own, place),
        _allow("FindBucket", ["s3:GetBucketLocation"], place.bucket(own)),
        _allow(
            "ReadPrompts",
            ["s3:GetObject"],
            [place.objects(f"{own}/{name}") for name in ("evaluations", "datasets")],
        ),
        _allow(
            "WriteScores", ["s3:PutObject", "s3:AbortMultipartUpload"], place.objects(f"{own}/evaluations")
        ),
        _allow("RunInBatches", batch, [place.bedrock("model-invocation-job"), place.bedrock("custom-model")]),
        _allow("AskThroughput", ["bedrock:InvokeModel"], place.bedrock("provisioned-model")),
    ]
    if judges:
        statements.append(_invoke("AskJudge", judges, place))
    return _policy(statements)


def _airflow(workload: Workload, place: _Place) -> Document:
    own = f"{workload.root}/{workload.name}"
    tagged = {"StringEquals": {f"aws:ResourceTag/{TAG_WORKLOAD}": workload.name}}
    tagging = {"StringEquals": {f"aws:RequestTag/{TAG_WORKLOAD}": workload.name}}
    made = [place.bedrock(kind) for kind in RESOURCE_KINDS]
    asked = [
        workload.student,
        workload.teacher,
        *([workload.evaluation.judge] if workload.evaluation.judge else []),
    ]
    roles = [workload.role_arn, *([workload.evaluation_role_arn] if workload.evaluation_role_arn else [])]
    training_logs = workload.dataset.training_logs
    logs_read = [place.bucket(training_logs)] if training_logs else []
    creates = ["CreateModelCustomizationJob", *_host_actions(workload, "Create")]
    changes = ["StopModelCustomizationJob", "DeleteCustomModel", *_host_actions(workload, "Update", "Delete")]
    if workload.evaluation_role_arn:
        creates += ["CreateEvaluationJob", "CreateModelInvocationJob"]
        changes += ["StopEvaluationJob", "StopModelInvocationJob"]
    statements = [
        _allow("Look", [f"bedrock:{name}" for name in READS], "*"),
        _allow("LookAtOwn", [f"bedrock:{name}" for name in LOOKS], made),
        _allow("Create", [f"bedrock:{name}" for name in creates], [*made, place.foundation_model("*")]),
        _allow("TagOnCreate", ["bedrock:TagResource"], made, tagging),
        _allow("TagOwn", ["bedrock:TagResource", "bedrock:UntagResource"], made, tagged),
        _allow("ChangeOwn", [f"bedrock:{name}" for name in changes], made, tagged),
        _invoke("AskModels", asked, place),
        _allow(
            "AskHosts",
            ["bedrock:InvokeModel"],
            [place.bedrock("provisioned-model"), place.bedrock("custom-model-deployment")],
        ),
        _allow(
            "PassRoles",
            ["iam:PassRole"],
            roles,
            {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}},
        ),
        _allow("DoctorReadsRoles", [f"iam:{name}" for name in DOCTOR], roles),
        _listing("ListOwnFolder", own, place),
        _allow("FindBuckets", ["s3:GetBucketLocation"], [place.bucket(own), *logs_read]),
        _allow("KeepGoods", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], place.objects(own)),
    ]
    if workload.logs:
        statements.append(_listing("ListLogs", workload.logs.location, place))
        statements.append(_allow("ReadLogs", ["s3:GetObject"], place.objects(workload.logs.location)))
    own_files = [uri for uri in (workload.dataset.prompts, workload.dataset.golden) if uri]
    if own_files:
        resources = [arn for uri in own_files for arn in _file_or_folder(uri, place)]
        statements.append(_allow("ReadOwnFiles", ["s3:GetObject"], resources))
    if workload.deployment.enabled:
        parameters = f"arn:{place.partition}:ssm:{place.region}:{place.account}:parameter"
        # The second name is that of versions before 1.0, which is kept in step where it is still read.
        names = pointer_name(workload.name, workload.root), pointer_name(workload.name)
        arn = [f"{parameters}{name}" for name in names]
        actions = ["ssm:GetParameter", "ssm:PutParameter", "ssm:DeleteParameter", "ssm:AddTagsToResource"]
        statements.append(_allow("MovePointer", actions, arn))
    return _policy(statements)


RESOURCE_KINDS = (
    "model-customization-job",
    "custom-model",
    "provisioned-model",
    "custom-model-deployment",
    "evaluation-job",
    "model-invocation-job",
)

LOOKS = (
    "GetModelCustomizationJob",
    "GetCustomModel",
    "GetProvisionedModelThroughput",
    "GetCustomModelDeployment",
    "GetEvaluationJob",
    "GetModelInvocationJob",
    "ListTagsForResource",
)

DOCTOR = ("GetRole", "ListRolePolicies", "GetRolePolicy", "ListAttachedRolePolicies")


def _host_actions(workload: Workload, *verbs: str) -> list[str]:
    """The student is asked on a host before the verdict, so hosts are needed even where nothing is deployed."""
    kinds = {
        "auto": ("ProvisionedModelThroughput", "CustomModelDeployment"),
        "provisioned-throughput": ("ProvisionedModelThroughput",),
        "custom-model-deployment": ("CustomModelDeployment",),
    }[workload.deployment.host]
    return [f"{verb}{kind}" for verb in verbs for kind in kinds]


def _file_or_folder(uri: str, place: _Place) -> list[str]:
    return [place.objects(uri).removesuffix("/*"), place.objects(uri)]


def _log_bucket(location: str, place: _Place) -> Document:
    """The bucket policy Bedrock needs to deliver invocation logs; merge it into the bucket's own policy."""
    prefix = location.split("/AWSLogs", 1)[0]
    logs = f"{prefix}/AWSLogs/{place.account}/BedrockModelInvocationLogs"
    return _policy(
        [
            {
                "Sid": "BedrockDeliversInvocationLogs",
                "Effect": "Allow",
                "Principal": {"Service": "bedrock.amazonaws.com"},
                "Action": "s3:PutObject",
                "Resource": place.objects(logs),
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": place.account},
                    "ArnLike": {
                        "aws:SourceArn": f"arn:{place.partition}:bedrock:{place.region}:{place.account}:*"
                    },
                },
            }
        ]
    )
