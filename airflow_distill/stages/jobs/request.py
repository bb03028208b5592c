"""A spec becomes the request as plain data, and every rule the SDK does not check is checked here.

The SDK sends over-long strings, wrong patterns, unknown enum values and over-full lists to the service, which refuses
them only after roles and buckets were looked at. So a dry run is free and a mistake is named before anything is paid.
Patterns are those of the service model (`bedrock` 2023-04-20); a test compares them with the installed SDK's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.remote.identity import tag_list
from airflow_distill.stages.jobs import models
from airflow_distill.stages.jobs.records import CustomizationSpec, LogsData, TrainingData

S3_URI = re.compile(
    r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](?:/[-!_*'().a-z0-9A-Z]+(?:/[-!_*'().a-z0-9A-Z]+)*)?/?"
)
ROLE_ARN = re.compile(r"arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+")
KMS_KEY = re.compile(
    r"(arn:aws(-[^:]+)?:kms:[a-zA-Z0-9-]*:[0-9]{12}:((key/[a-zA-Z0-9-]{36})|(alias/[a-zA-Z0-9-_/]+)))"
    r"|([a-zA-Z0-9-]{36})|(alias/[a-zA-Z0-9-_/]+)"
)
NETWORK_ID = re.compile(r"[-0-9a-zA-Z]+")
TAG_TEXT = re.compile(r"[a-zA-Z0-9\s._:/=+@-]*")
METADATA_TEXT = re.compile(r"[a-zA-Z0-9\s._:/=+$@-]*")
JOB_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9\+\-\.])*")
MODEL_NAME = re.compile(r"([0-9a-zA-Z][_-]?){1,63}")
WORKLOAD = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")

CUSTOMIZATION_TYPES: Mapping[models.Method, str] = {
    "distillation": "DISTILLATION",
    "fine-tuning": "FINE_TUNING",
}
"""Our method -> the service's word. Reinforcement fine-tuning and continued pre-training are not offered."""

DISTILLATION_RECORDS = (100, 15_000)
"""Fewest and most records of a distillation job (AWS: Prepare your training datasets for distillation)."""

FINE_TUNING_RECORDS = (8, 20_000)
"""Fewest and most records of a fine-tuning job (AWS: Preparing data for fine-tuning Understanding models); the table of
models may name fewer for a family."""

MAX_TAGS = 50
MAX_FILTERS = 16


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing in a request that the service would refuse: where, what rule, what is wrong and what to do."""

    path: str
    code: str
    message: str
    fix: str

    def to_json(self) -> dict[str, str]:
        return {"path": self.path, "code": self.code, "message": self.message, "fix": self.fix}


def build_request(spec: CustomizationSpec, generation: int = 1) -> dict[str, Any]:
    """Return the arguments of `CreateModelCustomizationJob` for a generation; nothing is checked here."""
    request: dict[str, Any] = {
        "jobName": spec.job_name(generation),
        "customModelName": spec.model_name(generation),
        "roleArn": spec.role_arn,
        "clientRequestToken": spec.token(generation),
        "baseModelIdentifier": spec.student,
        "customizationType": CUSTOMIZATION_TYPES[spec.method],
        "trainingDataConfig": training_data_config(spec.training),
        "outputDataConfig": {"s3Uri": spec.output_for(generation)},
    }
    if spec.method == "distillation":
        teacher: dict[str, Any] = {"teacherModelIdentifier": spec.teacher}
        if spec.max_response_length is not None:
            teacher["maxResponseLengthForInference"] = spec.max_response_length
        request["customizationConfig"] = {"distillationConfig": {"teacherModelConfig": teacher}}
    if spec.hyperparameters:
        request["hyperParameters"] = {str(k): str(v) for k, v in spec.hyperparameters.items()}
    if spec.validation_uris:
        request["validationDataConfig"] = {"validators": [{"s3Uri": uri} for uri in spec.validation_uris]}
    if spec.kms_key_id:
        request["customModelKmsKeyId"] = spec.kms_key_id
    if spec.subnet_ids or spec.security_group_ids:
        request["vpcConfig"] = {
            "subnetIds": list(spec.subnet_ids),
            "securityGroupIds": list(spec.security_group_ids),
        }
    if spec.job_tags:
        request["jobTags"] = tag_list(spec.job_tags)
    if spec.model_tags:
        request["customModelTags"] = tag_list(spec.model_tags)
    return request


def training_data_config(training: TrainingData) -> dict[str, Any]:
    """Return `trainingDataConfig`: exactly one of our file or the invocation logs."""
    if not isinstance(training, LogsData):
        return {"s3Uri": training.uri}
    logs: dict[str, Any] = {
        "usePromptResponse": training.use_prompt_response,
        "invocationLogSource": {"s3Uri": training.uri},
    }
    if training.filters:
        logs["requestMetadataFilters"] = {key: training.filters[key] for key in training.filters}
    return {"invocationLogsConfig": logs}


def check_spec(spec: CustomizationSpec, *, allow_unlisted_pair: bool = False) -> list[Problem]:
    """Return everything about a spec that the service would refuse, without asking it."""
    problems = [
        *_check_names(spec),
        *_check_places(spec),
        *_check_method(spec, allow_unlisted_pair),
        *_check_network(spec),
        *_check_tags("jobTags", spec.job_tags),
        *_check_tags("customModelTags", spec.model_tags),
    ]
    if isinstance(spec.training, LogsData):
        problems += check_filters(spec.training.filters)
    elif spec.training.records is not None:
        problems += _check_records(spec.training.records, spec)
    if spec.max_response_length is not None and spec.max_response_length < 1:
        problems.append(
            Problem(
                "maxResponseLengthForInference", "length", "must be at least 1.", "Leave it out or raise it."
            )
        )
    return problems


def require_host(student: str, host_kind: str | None) -> None:
    """Do nothing when the student can be served: by the table of models, or by the host its user names.

    :raises ConfigurationError: no host is known for it and none is named, or the one that is named does not serve it.
    """
    kinds = models.hosts_of(student)
    if not kinds and not host_kind:
        raise ConfigurationError(
            f"jobs: no host is known for {student}, so a student would be paid for that nobody may be able to serve.",
            hint="Name the host (host_kind, or deployment.host in a workload file), or add the model to your table of "
            "models (models).",
        )
    if kinds and host_kind and host_kind not in kinds:
        raise ConfigurationError(
            f"jobs: {student} cannot be served by {host_kind}.", hint=f"Choose one of: {', '.join(kinds)}."
        )


def require_valid(spec: CustomizationSpec, *, allow_unlisted_pair: bool = False) -> None:
    """Raise for the problems of a spec.

    :raises ConfigurationError: naming every problem and the fix of the first.
    """
    problems = check_spec(spec, allow_unlisted_pair=allow_unlisted_pair)
    if problems:
        told = "; ".join(f"{p.path}: {p.message}" for p in problems)
        raise ConfigurationError(f"jobs: the request would be refused: {told}", hint=problems[0].fix)


def check_s3_uri(path: str, uri: str) -> Iterator[Problem]:
    """Yield a problem when a URI does not satisfy Bedrock's own pattern."""
    if not S3_URI.fullmatch(uri):
        yield Problem(
            path,
            "s3-uri",
            f"{uri!r} is not a URI that Bedrock accepts.",
            "Use letters, digits and -!_*'(). between single slashes: no '=', ':', '+', spaces or empty segments.",
        )
    elif len(uri) > 1024:
        yield Problem(path, "s3-uri-length", "is longer than 1,024 characters.", "Shorten the prefix.")


def check_filters(filters: Mapping[str, Any] | None) -> list[Problem]:
    """Return what is wrong with a request metadata filter; the SDK lets most of it through."""
    path = "requestMetadataFilters"
    if not filters:
        return []
    if len(filters) != 1:
        return [
            Problem(
                path,
                "filter-union",
                "must hold exactly one operator.",
                "Use one of equals, notEquals, andAll, orAll.",
            )
        ]
    operator, value = next(iter(filters.items()))
    if operator in ("equals", "notEquals"):
        return list(_check_base_filter(f"{path}.{operator}", value))
    if operator not in ("andAll", "orAll"):
        return [
            Problem(
                path,
                "filter-operator",
                f"{operator!r} is no operator.",
                "Use equals, notEquals, andAll or orAll.",
            )
        ]
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_FILTERS:
        return [
            Problem(
                f"{path}.{operator}",
                "filter-count",
                "must list 1 to 16 filters.",
                "Split or shorten the list.",
            )
        ]
    problems: list[Problem] = []
    for index, item in enumerate(value):
        problems += _check_list_filter(f"{path}.{operator}[{index}]", item)
    return problems


def _check_list_filter(path: str, item: Any) -> Iterator[Problem]:
    if not isinstance(item, Mapping) or not item or set(item) - {"equals", "notEquals"}:
        yield Problem(
            path, "filter-nested", "may hold only equals and notEquals.", "andAll and orAll cannot be nested."
        )
        return
    for operator, value in item.items():
        yield from _check_base_filter(f"{path}.{operator}", value)


def _check_base_filter(path: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, Mapping) or len(value) != 1:
        yield Problem(
            path,
            "filter-entries",
            "must hold exactly one key and value.",
            "Put each pair into its own filter and join them with andAll.",
        )
        return
    for key, text in value.items():
        sound = 1 <= len(str(key)) <= 256 and METADATA_TEXT.fullmatch(str(key))
        if not sound or len(str(text)) > 256 or not METADATA_TEXT.fullmatch(str(text)):
            yield Problem(
                path,
                "filter-characters",
                "has a key or value the service cannot filter by.",
                "Use at most 256 of letters, digits, spaces and ._:/=+$@- (not '#' or ',').",
            )


def _check_names(spec: CustomizationSpec) -> Iterator[Problem]:
    if not WORKLOAD.fullmatch(spec.workload) or len(spec.workload) > 40:
        yield Problem(
            "workload",
            "workload-name",
            f"{spec.workload!r} is not a workload name.",
            "Use lower-case letters, digits and single - or _, at most 40 characters.",
        )
        return
    for path, pattern, name in (
        ("jobName", JOB_NAME, spec.job_name()),
        ("customModelName", MODEL_NAME, spec.model_name()),
    ):
        if not pattern.fullmatch(name) or len(name) > 63:
            yield Problem(path, "name", f"{name!r} breaks the service's rule.", "Change the workload's name.")


def _check_places(spec: CustomizationSpec) -> Iterator[Problem]:
    if not ROLE_ARN.fullmatch(spec.role_arn):
        yield Problem(
            "roleArn", "role-arn", "is not an IAM role ARN.", "Write arn:aws:iam::<account>:role/<name>."
        )
    yield from check_s3_uri("trainingDataConfig.s3Uri", spec.training.uri)
    yield from check_s3_uri("outputDataConfig.s3Uri", spec.output_for(1))
    for index, uri in enumerate(spec.validation_uris):
        yield from check_s3_uri(f"validationDataConfig.validators[{index}].s3Uri", uri)
    if len(spec.validation_uris) > 10:
        yield Problem("validationDataConfig", "count", "holds more than 10 files.", "Join the files.")
    if spec.kms_key_id and not KMS_KEY.fullmatch(spec.kms_key_id):
        yield Problem("customModelKmsKeyId", "kms-key", "is no key id, alias or ARN.", "Use the key's ARN.")


def _check_method(spec: CustomizationSpec, allow_unlisted: bool) -> Iterator[Problem]:
    """What the method takes: a listed pair to distil, or a student to fine-tune on answers that are there."""
    yield from _check_form(spec)
    if spec.method == "distillation":
        yield from _check_pair(spec.teacher, spec.student, allow_unlisted)
        return
    if models.strip_arn(spec.student) not in models.fine_tuned() and not allow_unlisted:
        yield Problem(
            "baseModelIdentifier",
            "fine-tuning",
            f"{spec.student} is not a listed student for fine-tuning.",
            f"Listed students: {', '.join(models.fine_tuned())}. The id carries its context suffix.",
        )
    if isinstance(spec.training, LogsData) or not spec.training.with_answers:
        yield Problem(
            "trainingDataConfig",
            "no-answers",
            "fine-tuning learns from answers, and this data brings none.",
            "Build the dataset with the logged answers (dataset.source: curated-with-answers).",
        )


def _check_form(spec: CustomizationSpec) -> Iterator[Problem]:
    """The lines of the training file have the form that the method takes for this student."""
    if isinstance(spec.training, LogsData):
        return
    tuned = spec.method == "fine-tuning"
    wanted = models.fine_tuning_form(spec.student) if tuned else "conversation"
    if spec.training.form != wanted:
        yield Problem(
            "trainingDataConfig",
            "data-form",
            f"{spec.method} of {spec.student} takes lines of the form {wanted}; this file has {spec.training.form}.",
            f"Build the dataset with form: {wanted} (a workload file chooses it by itself).",
        )


def _check_pair(teacher: str, student: str, allow_unlisted: bool) -> Iterator[Problem]:
    if models.is_application_profile(teacher):
        yield Problem(
            "teacherModelIdentifier",
            "application-profile",
            "is an application inference profile; only system profiles may teach.",
            "Name the system profile, such as us.amazon.nova-premier-v1:0.",
        )
        return
    pair = models.find_pair(teacher, student)
    if pair is None and not allow_unlisted:
        known = ", ".join(models.students_of(teacher)) or "none listed for this teacher"
        yield Problem(
            "baseModelIdentifier",
            "pair",
            f"{student} is not a listed student of {models.base_model_id(teacher)}.",
            f"Listed students: {known}. The student's id carries its context suffix.",
        )
    if pair is None:
        return
    if pair.trust == "withdrawn":
        yield Problem(
            "teacherModelIdentifier", "withdrawn", "this pair was withdrawn.", "Choose another pair."
        )
    if pair.profile_only and not models.is_profile(teacher):
        yield Problem(
            "teacherModelIdentifier",
            "profile-only",
            f"{teacher} answers only through an inference profile.",
            f"Write us.{pair.teacher}.",
        )


def _check_network(spec: CustomizationSpec) -> Iterator[Problem]:
    if bool(spec.subnet_ids) != bool(spec.security_group_ids):
        yield Problem("vpcConfig", "vpc", "needs both subnets and security groups.", "Give both or neither.")
    for path, ids, most in (
        ("vpcConfig.subnetIds", spec.subnet_ids, 16),
        ("vpcConfig.securityGroupIds", spec.security_group_ids, 5),
    ):
        if len(ids) > most:
            yield Problem(path, "count", f"holds more than {most}.", "Name fewer.")
        if any(not NETWORK_ID.fullmatch(item) or len(item) > 32 for item in ids):
            yield Problem(
                path, "network-id", "holds an id the service would refuse.", "Use ids such as subnet-0abc."
            )


def _check_tags(path: str, tags: Mapping[str, str]) -> Iterator[Problem]:
    if len(tags) > MAX_TAGS:
        yield Problem(path, "count", f"holds more than {MAX_TAGS} tags.", "Drop some of your own tags.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or not TAG_TEXT.fullmatch(key):
            yield Problem(
                path, "tag-key", f"{key[:40]!r} is no tag key.", "Use letters, digits and ._:/=+@- ."
            )
        elif len(value) > 256 or not TAG_TEXT.fullmatch(value):
            yield Problem(
                path,
                "tag-value",
                f"the value of {key!r} is not allowed.",
                "Use letters, digits and ._:/=+@- .",
            )


def _check_records(records: int, spec: CustomizationSpec) -> Iterator[Problem]:
    least, most = DISTILLATION_RECORDS
    if spec.method == "fine-tuning":
        least, most = FINE_TUNING_RECORDS
        most = models.most_fine_tuning_records(spec.student) or most
    if records < least:
        yield Problem(
            "trainingDataConfig",
            "too-few",
            f"{records} records; the service wants at least {least}.",
            "Widen the window or wait for more logs.",
        )
    if records > most:
        yield Problem(
            "trainingDataConfig",
            "too-many",
            f"{records} records; the service takes {most:,}.",
            "Lower max_records.",
        )
