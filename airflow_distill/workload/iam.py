"""The least-privilege IAM documents one workload needs, as plain data.

Takes a `Workload`, hands on named documents:

    customization-role-trust, customization-role-policy   what the distillation job's service role is and may
    evaluation-role-trust, evaluation-role-policy         the same for evaluation and batch jobs, when the file names a role
    airflow-policy, airflow-policy-2, ...                 what the identity behind the Airflow connection may
    log-bucket-policy                                     what lets Bedrock deliver invocation logs into the bucket
    log-key-policy                                        the same for a bucket under a customer's key

Resources are as narrow as the service can name before they exist. What asks, changes or deletes something is limited to
resources that carry the workload's tag; the tag is given on create and never moved to what is tagged otherwise. What counts
as evidence (releases, decisions, approvals, claims of money) is written once: neither overwritten nor deleted. A
policy is split where IAM's limit of 6,144 characters would be passed. Account and partition come from the role's ARN.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.remote.identity import TAG_WORKLOAD
from airflow_distill.stages.deployment.records import pointer_name
from airflow_distill.stages.jobs import models
from airflow_distill.workload.config import Workload

Document = dict[str, Any]

LIMIT = 6144
"""Characters of a managed policy, white space not counted (IAM quotas)."""

READS = (
    "GetFoundationModel",
    "GetInferenceProfile",
    "GetModelInvocationLoggingConfiguration",
    "ListCustomModelDeployments",
    "ListCustomModels",
    "ListEvaluationJobs",
    "ListFoundationModels",
    "ListInferenceProfiles",
    "ListModelCustomizationJobs",
    "ListModelInvocationJobs",
    "ListProvisionedModelThroughputs",
)
"""Calls that only read and that IAM cannot narrow to one workload."""

WRITTEN_ONCE = (
    "releases/*",
    "evidence/*",
    "decisions/*",
    "evaluations/*/decision*.json",
    "evaluations/*/approval*.json",
    "spend/20*",
)
"""What lies in the workload's folder as evidence: written when absent, and neither changed nor deleted after that."""

RENEWED = ("releases/*.hold-*.json", "spend/runs/*")
"""What lies among the evidence and grows: who works on a release now, what a run has used so far. It is not deleted."""

KEPT = (
    "datasets/*",
    "fingerprints/*",
    "jobs/*",
    "reports/*",
    "turns/*",
    "watch/*",
    "windows/*",
    "evaluations/cache/*",
    "evaluations/batch/*",
    "evaluations/*/answers/*",
    "evaluations/*/jobs/*",
    "evaluations/*/scores/*",
    "evaluations/*/scorecard*.json",
)
"""What lies there as goods: it may be written anew and removed."""

OWN_TAGS = "airflow-distill:*"
"""Keys of the tags that we set."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Customer keys beside the model's own: of the bucket with the workload's folder, and of the bucket with the logs."""

    data: str | None = None
    logs: str | None = None


def documents(workload: Workload, region: str | None = None, keys: Keys = Keys()) -> dict[str, Document]:
    """Return the documents by name.

    :param region: used when the workload names no Region; by default the one where the teacher's family is distilled.
    :raises ConfigurationError: a URI of the file, an ARN or a key holds what IAM would read as a wildcard or a variable.
    """
    _refuse_wildcards(workload, keys)
    place = _Place(workload, region)
    found = {"customization-role-trust": _trust(place, "model-customization-job")}
    found |= _split("customization-role-policy", _customization_role(workload, place, keys))
    found |= _split("airflow-policy", _airflow(workload, place, keys))
    if workload.evaluation_role_arn:
        found["evaluation-role-trust"] = _trust(place, "evaluation-job", "model-invocation-job")
        found |= _split("evaluation-role-policy", _evaluation_role(workload, place, keys))
    if workload.logs:
        found["log-bucket-policy"] = _log_bucket(workload.logs.location, place)
        if keys.logs:
            found["log-key-policy"] = _log_key(place)
    return found


def size(document: Document) -> int:
    """Return the characters that IAM counts."""
    return len(re.sub(r"\s", "", json.dumps(document, separators=(",", ":"), ensure_ascii=False)))


def _split(name: str, document: Document) -> dict[str, Document]:
    """Return a document under its name, or as many as its statements need: `name`, `name-2` and so on."""
    parts: list[list[Document]] = [[]]
    for statement in document["Statement"]:
        if parts[-1] and size(_policy([*parts[-1], statement])) > LIMIT:
            parts.append([])
        parts[-1].append(statement)
    return {name if n == 1 else f"{name}-{n}": _policy(part) for n, part in enumerate(parts, 1)}


_WILD = re.compile(r"[*?]|\$\{")


def _refuse_wildcards(workload: Workload, keys: Keys) -> None:
    """Refuse text that would widen a policy: a bucket's object may be called `*`, an IAM resource means all by it."""
    for where, text in _texts_in_arns(workload, keys):
        if text and _WILD.search(text):
            raise ConfigurationError(
                f"iam: {where} is {text!r}; IAM would read *, ? and ${{ as more than themselves.",
                hint="Choose names without these characters; no policy was printed.",
            )


def _texts_in_arns(workload: Workload, keys: Keys) -> Iterator[tuple[str, str | None]]:
    yield "role_arn", workload.role_arn
    yield "evaluation_role_arn", workload.evaluation_role_arn
    yield "root", workload.root
    yield "logs.location", workload.logs.location if workload.logs else None
    yield "dataset.training_logs", workload.dataset.training_logs
    yield "dataset.prompts", workload.dataset.prompts
    yield "dataset.golden", workload.dataset.golden
    yield "dataset.feedback", workload.dataset.feedback.location if workload.dataset.feedback else None
    yield "teacher", workload.teacher
    yield "student", workload.student
    yield "evaluation.judge", workload.evaluation.judge
    yield from (("evaluation.challengers", model) for model in workload.evaluation.challengers)
    yield "job.kms_key", workload.job.kms_key
    yield "the data key", keys.data
    yield "the log key", keys.logs


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
    """Return the Region in which the service distils the pair, or fine-tunes the student.

    :raises ConfigurationError: the table of models does not list it; a Region that is guessed makes roles that fit nothing.
    """
    found = models.job_region(workload.teacher, workload.student, workload.job.method)
    if found is None:
        raise ConfigurationError(
            f"workload: the Region of jobs of {workload.student} is not known.",
            hint="Write region_name into the workload file, or list the pair in a table of your own (models:).",
        )
    return found


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
        if models.is_application_profile(model):
            # Which models lie behind it, only the service can tell.
            resources += [model, place.foundation_model("*", "*")]
            continue
        base = models.base_model_id(model)
        if models.is_profile(model):
            profile = place.bedrock("inference-profile", models.strip_arn(model))
            resources += [profile, place.foundation_model(base, "*")]
        elif models.is_profile_only(base):
            # Named by its id, it is asked through the system profile that the account has for it.
            resources += [place.bedrock("inference-profile", f"*.{base}"), place.foundation_model(base, "*")]
        else:
            resources.append(place.foundation_model(base))
    return _allow(sid, ["bedrock:InvokeModel"], resources)


def _use_key(
    sid: str, key: str | None, actions: Iterable[str], service: str, place: _Place
) -> list[Document]:
    """Using a customer's key through one service only; nothing when there is none or it is named without its ARN."""
    if key is None or not key.startswith("arn:"):
        return []
    via = {"StringEquals": {"kms:ViaService": f"{service}.{place.region}.amazonaws.com"}}
    return [_allow(sid, [f"kms:{action}" for action in actions], key, via)]


def _customization_role(workload: Workload, place: _Place, keys: Keys) -> Document:
    own = f"{workload.root}/{workload.name}"
    statements = [
        _listing("ListOwnFolder", own, place),
        _allow("ReadDataset", ["s3:GetObject"], place.objects(f"{own}/datasets")),
        _allow("WriteOutput", ["s3:GetObject", "s3:PutObject"], place.objects(f"{own}/jobs")),
    ]
    if workload.dataset.training_logs:
        statements.append(_listing("ListLogs", workload.dataset.training_logs, place))
        statements.append(_allow("ReadLogs", ["s3:GetObject"], place.objects(workload.dataset.training_logs)))
    if workload.dataset.source != "logs-pairs" and workload.job.method == "distillation":
        statements.append(_invoke("AskTeacher", [workload.teacher], place))
    model_key = ("Decrypt", "GenerateDataKey", "DescribeKey", "CreateGrant")
    statements += _use_key("UseModelKey", workload.job.kms_key, model_key, "bedrock", place)
    statements += _use_key("UseDataKey", keys.data, ("Decrypt", "GenerateDataKey"), "s3", place)
    if workload.dataset.training_logs:
        statements += _use_key("UseLogKey", keys.logs, ("Decrypt",), "s3", place)
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


def _evaluation_role(workload: Workload, place: _Place, keys: Keys) -> Document:
    """What AWS's pages on service roles of evaluation, judge and batch jobs list, for this workload's folder."""
    own = f"{workload.root}/{workload.name}"
    judges = [workload.evaluation.judge] if workload.evaluation.judge else []
    statements = [
        _listing("ListOwnFolder", own, place),
        _allow("FindBucket", ["s3:GetBucketLocation", "s3:ListBucketMultipartUploads"], place.bucket(own)),
        _allow(
            "ReadPrompts",
            ["s3:GetObject"],
            [place.objects(f"{own}/{name}") for name in ("evaluations", "datasets")],
        ),
        _allow(
            "WriteScores", ["s3:PutObject", "s3:AbortMultipartUpload"], place.objects(f"{own}/evaluations")
        ),
        _allow("RunInBatches", [f"bedrock:{name}" for name in BATCH], _batch_resources(place)),
        _invoke("AskModels", [workload.student, workload.teacher, *judges], place),
    ]
    statements += _use_key("UseDataKey", keys.data, ("Decrypt", "GenerateDataKey"), "s3", place)
    return _policy(statements)


BATCH = ("CreateModelInvocationJob", "GetModelInvocationJob", "StopModelInvocationJob")
"""What evaluation, judge and batch jobs do inside; on models and profiles as well as on jobs (AWS: judge service roles)."""


def _batch_resources(place: _Place) -> list[str]:
    return [
        place.bedrock("model-invocation-job"),
        place.foundation_model("*", "*"),
        place.bedrock("inference-profile"),
    ]


def _airflow(workload: Workload, place: _Place, keys: Keys) -> Document:
    statements = [
        *_airflow_on_bedrock(workload, place),
        *_airflow_on_roles(workload, place),
        *_airflow_on_objects(workload, place, keys),
    ]
    parameters = f"arn:{place.partition}:ssm:{place.region}:{place.account}:parameter"
    # The second name is that of versions before 1.0, which is kept in step where it is still read.
    arn = [
        f"{parameters}{name}"
        for name in (pointer_name(workload.name, workload.root), pointer_name(workload.name))
    ]
    # What is live is asked also where nothing is deployed: another file of the workload may have.
    actions = ["ssm:GetParameter"]
    if workload.deployment.enabled:
        actions += ["ssm:PutParameter", "ssm:DeleteParameter", "ssm:AddTagsToResource"]
    statements.append(_allow("MovePointer" if workload.deployment.enabled else "ReadPointer", actions, arn))
    return _policy(statements)


def _airflow_on_bedrock(workload: Workload, place: _Place) -> Iterator[Document]:
    owned = {"StringEquals": {f"aws:ResourceTag/{TAG_WORKLOAD}": workload.name}}
    known_keys = {"aws:TagKeys": [OWN_TAGS, *sorted(workload.tags)]}
    on_create = {
        "StringEquals": {f"aws:RequestTag/{TAG_WORKLOAD}": workload.name},
        "ForAllValues:StringLike": known_keys,
    }
    kinds = [kind for kind in RESOURCE_KINDS if workload.evaluation_role_arn or kind not in EVALUATION_KINDS]
    made = [place.bedrock(kind) for kind in kinds]
    creates = ["CreateModelCustomizationJob"]
    changes = ["StopModelCustomizationJob", "DeleteCustomModel", *_host_actions(workload, "Update", "Delete")]
    looks = list(LOOKS)
    if workload.evaluation_role_arn:
        creates += ["CreateEvaluationJob", "CreateModelInvocationJob"]
        changes += ["StopEvaluationJob", "StopModelInvocationJob"]
        looks += ["GetEvaluationJob", "GetModelInvocationJob"]
    evaluation = workload.evaluation
    asked = [workload.student, workload.teacher, *filter(None, [evaluation.judge]), *evaluation.challengers]
    bases = [place.foundation_model("*", "*"), place.bedrock("inference-profile")]
    hosts = [place.bedrock("provisioned-model"), place.bedrock("custom-model-deployment")]
    yield _allow("Look", [f"bedrock:{name}" for name in READS], "*")
    yield _allow("LookAtOwn", [f"bedrock:{name}" for name in looks], made)
    # What is being made has no tags yet; what a job starts from may have none (a base model), but no other workload's.
    of_nobody_else = {"StringEqualsIfExists": {f"aws:ResourceTag/{TAG_WORKLOAD}": workload.name}}
    on_create = {**on_create, **of_nobody_else}
    yield _allow("Create", [f"bedrock:{name}" for name in creates], [*made, *bases], on_create)
    # A host asks the model behind it: others' models get none under this workload's tag.
    hosting = [f"bedrock:{name}" for name in _host_actions(workload, "Create")]
    yield _allow("CreateHosts", hosting, hosts, on_create)
    of_own = {f"aws:{whose}Tag/{TAG_WORKLOAD}": workload.name for whose in ("Request", "Resource")}
    on_own = {"StringEquals": of_own, "ForAllValues:StringLike": known_keys}
    yield _allow("HostOwnModels", hosting, place.bedrock("custom-model"), on_own)
    # A resource that is being made has no tags yet; one that carries another workload's tag is out of reach.
    new = {**on_create, "Null": {f"aws:ResourceTag/{TAG_WORKLOAD}": "true"}}
    yield _allow("TagOnCreate", ["bedrock:TagResource"], made, new)
    stays = {
        **owned,
        "StringEqualsIfExists": {f"aws:RequestTag/{TAG_WORKLOAD}": workload.name},
        "ForAllValues:StringLike": known_keys,
    }
    yield _allow("TagOwn", ["bedrock:TagResource"], made, stays)
    yield _allow("ChangeOwn", [f"bedrock:{name}" for name in changes], made, owned)
    yield _invoke("AskModels", asked, place)
    yield _allow("AskHosts", ["bedrock:InvokeModel"], hosts, owned)
    yield from _use_key("AskModelsUnderKey", workload.job.kms_key, ("Decrypt",), "bedrock", place)


def _airflow_on_roles(workload: Workload, place: _Place) -> Iterator[Document]:
    roles = [workload.role_arn, *filter(None, [workload.evaluation_role_arn])]
    to_bedrock = {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}
    yield _allow("PassRoles", ["iam:PassRole"], roles, to_bedrock)
    yield _allow("DoctorReadsRoles", [f"iam:{name}" for name in DOCTOR], roles)
    policies = [f"arn:{place.partition}:iam::{owner}:policy/*" for owner in (place.account, "aws")]
    yield _allow("DoctorReadsPolicies", ["iam:GetPolicy", "iam:GetPolicyVersion"], policies)
    quotas = f"arn:{place.partition}:servicequotas:{place.region}:{place.account}:bedrock/*"
    yield _allow("DoctorReadsQuotas", ["servicequotas:GetServiceQuota"], quotas)
    # A list is of no resource; it names the quotas whose codes the table of models does not know.
    yield _allow("DoctorListsQuotas", ["servicequotas:ListServiceQuotas"], "*")
    # Neither knows resources: the idle guard reads counts of calls, `prices update` public list prices.
    yield _allow("ReadUsageAndPrices", ["cloudwatch:GetMetricData", "pricing:GetProducts"], "*")


def _airflow_on_objects(workload: Workload, place: _Place, keys: Keys) -> Iterator[Document]:
    own = f"{workload.root}/{workload.name}"
    training_logs = workload.dataset.training_logs
    yield _listing("ListOwnFolder", own, place)
    buckets = [place.bucket(own), *([place.bucket(training_logs)] if training_logs else [])]
    yield _allow("FindBuckets", ["s3:GetBucketLocation"], buckets)
    folder = place.objects(own).removesuffix("*")
    once = [f"{folder}{pattern}" for pattern in WRITTEN_ONCE]
    yield _allow("ReadOwn", ["s3:GetObject"], place.objects(own))
    kept = ["s3:PutObject", "s3:DeleteObject"]
    yield _allow("KeepGoods", kept, [f"{folder}{pattern}" for pattern in KEPT])
    # The reaper finds what killed uploads left, wherever in the folder; ending one deletes no object.
    yield _allow("FindUploads", ["s3:ListBucketMultipartUploads"], place.bucket(own))
    yield _allow("EndUploads", ["s3:AbortMultipartUpload"], place.objects(own))
    # Which Airflow an id belongs to is noted beside the workloads' folders, once.
    noted = f"{place.objects(workload.root).removesuffix('*')}airflows/*"
    if_absent = {"Null": {"s3:if-none-match": "false"}}
    yield _allow("WriteEvidenceOnce", ["s3:PutObject"], [*once, noted], if_absent)
    # Where the workload stands, and what its runs have made, for the page in Airflow: also beside the workloads' folders.
    beside = place.objects(workload.root).removesuffix("*")
    status = [f"{beside}status/{workload.name}.json", f"{beside}run-status/*/{workload.name}.json"]
    yield _allow("KeepStatus", ["s3:GetObject", "s3:PutObject"], status)
    yield _allow("RenewHolds", ["s3:PutObject"], [f"{folder}{pattern}" for pattern in RENEWED])
    overwriting = {"Null": {"s3:if-none-match": "true"}}
    never = [arn for arn in once if not arn.endswith("/releases/*")]
    never += [f"{folder}releases/{name}" for name in ("??????.json", "*.outcome.json")]
    yield {**_allow("NeverOverwriteEvidence", ["s3:PutObject"], never, overwriting), "Effect": "Deny"}
    yield {
        **_allow("NeverDeleteEvidence", ["s3:DeleteObject", "s3:DeleteObjectVersion"], once),
        "Effect": "Deny",
    }
    if workload.logs:
        yield _listing("ListLogs", workload.logs.location, place)
        yield _allow("ReadLogs", ["s3:GetObject"], place.objects(workload.logs.location))
    feedback = workload.dataset.feedback.location if workload.dataset.feedback else None
    own_files = [uri for uri in (workload.dataset.prompts, workload.dataset.golden, feedback) if uri]
    if feedback:
        yield _listing("ListFeedback", feedback, place)
    if workload.dataset.prompts:  # a file or a folder of files: which, a list tells
        yield _listing("ListPrompts", workload.dataset.prompts, place)
    if own_files:
        resources = [arn for uri in own_files for arn in _file_or_folder(uri, place)]
        yield _allow("ReadOwnFiles", ["s3:GetObject"], resources)
    yield from _use_key("UseDataKey", keys.data, ("Decrypt", "GenerateDataKey"), "s3", place)
    if workload.logs:
        yield from _use_key("UseLogKey", keys.logs, ("Decrypt",), "s3", place)


RESOURCE_KINDS = (
    "model-customization-job",
    "custom-model",
    "provisioned-model",
    "custom-model-deployment",
    "evaluation-job",
    "model-invocation-job",
)

EVALUATION_KINDS = ("evaluation-job", "model-invocation-job")
"""Kinds that only a workload with an evaluation role makes."""

LOOKS = (
    "GetModelCustomizationJob",
    "GetCustomModel",
    "GetProvisionedModelThroughput",
    "GetCustomModelDeployment",
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


def _log_key(place: _Place) -> Document:
    """The statement that the key of a log bucket needs; merge it into the key's own policy."""
    return _policy(
        [
            {
                "Sid": "BedrockEncryptsInvocationLogs",
                "Effect": "Allow",
                "Principal": {"Service": "bedrock.amazonaws.com"},
                "Action": "kms:GenerateDataKey",
                "Resource": "*",
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": place.account},
                    "ArnLike": {
                        "aws:SourceArn": f"arn:{place.partition}:bedrock:{place.region}:{place.account}:*"
                    },
                },
            }
        ]
    )
