"""The account as it is now, told in the deployment stage's records: hosts, models, pointers and their tags.

Everything here reads. A resource of which the service says that it does not exist is None; any other failure is raised,
because "could not be read" must never be taken for "there is none".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from airflow_distill.aws.bedrock import BedrockGateway
from airflow_distill.aws.parameters import ParameterGateway
from airflow_distill.errors import ServiceNotFoundError, StateError
from airflow_distill.remote.identity import TAG_WORKLOAD
from airflow_distill.stages.deployment.hosts import Capability
from airflow_distill.stages.deployment.reap import Resource
from airflow_distill.stages.deployment.records import (
    KINDS,
    ON_DEMAND,
    PROVISIONED,
    Host,
    HostKind,
    Pointer,
    pointer_name,
)
from airflow_distill.stages.deployment.times import iso_or_none
from airflow_distill.stages.jobs.models import DEPLOYMENT_REGIONS, base_model_id, hosts_of

_BASE = re.compile(r":(?:custom-model|foundation-model)/([^/]+)")


def base_of_arn(arn: str) -> str:
    """Return the base model inside a custom-model or foundation-model ARN, without its context suffix."""
    match = _BASE.search(arn)
    return base_model_id(match.group(1)) if match else ""


def host_from_provisioned(answer: Mapping[str, Any], tags: Mapping[str, str]) -> Host:
    """Tell provisioned throughput (an answer of Get, or an item of List) as a host."""
    model, desired = str(answer.get("modelArn", "")), str(answer.get("desiredModelArn", ""))
    return Host(
        kind=PROVISIONED,
        arn=str(answer["provisionedModelArn"]),
        name=str(answer.get("provisionedModelName", "")),
        model_arn=model,
        desired_arn=desired or model,
        base_model=base_of_arn(model) or base_of_arn(str(answer.get("foundationModelArn", ""))),
        status=str(answer.get("status", "")),
        units=int(answer.get("modelUnits") or 0) or None,
        commitment=str(answer.get("commitmentDuration") or "none"),
        commitment_ends_at=iso_or_none(answer.get("commitmentExpirationTime")),
        created_at=iso_or_none(answer.get("creationTime")),
        reason=str(answer.get("failureMessage") or ""),
        tags=dict(tags),
    )


def host_from_deployment(answer: Mapping[str, Any], tags: Mapping[str, str]) -> Host:
    """Tell a custom model deployment (an answer of Get, or an item of List) as a host.

    Get and List spell the name differently; the update under way is told only by Get.
    """
    update = answer.get("updateDetails") or {}
    status, aimed = str(update.get("updateStatus", "")), str(update.get("modelArn", ""))
    model = str(answer.get("modelArn", ""))
    if status == "UpdateCompleted" and aimed:
        model = aimed
    return Host(
        kind=ON_DEMAND,
        arn=str(answer["customModelDeploymentArn"]),
        name=str(answer.get("modelDeploymentName") or answer.get("customModelDeploymentName") or ""),
        model_arn=model,
        desired_arn=aimed or model,
        base_model=base_of_arn(model),
        status=str(answer.get("status", "")),
        update_status=status,
        created_at=iso_or_none(answer.get("createdAt")),
        reason=str(answer.get("failureMessage") or ""),
        tags=dict(tags),
    )


def find_host(bedrock: BedrockGateway, kind: HostKind, identifier: str, *, tags: bool = True) -> Host | None:
    """Return a host by name or ARN, with its tags, or None when the service says there is none."""
    look: Callable[[str], dict[str, Any]]
    look = bedrock.get_provisioned_throughput if kind == PROVISIONED else bedrock.get_deployment
    try:
        answer = look(identifier)
        arn = str(answer.get("provisionedModelArn") or answer.get("customModelDeploymentArn"))
        known = bedrock.tags(arn) if tags else {}
    except ServiceNotFoundError:
        return None
    tell = host_from_provisioned if kind == PROVISIONED else host_from_deployment
    return tell(answer, known)


def iter_hosts(bedrock: BedrockGateway, workload: str | None = None) -> Iterator[Host]:
    """Yield every host in the Region that carries our tags; those of others are skipped unread.

    :param workload: only hosts of this workload.
    """
    for kind in KINDS:
        items = bedrock.iter_provisioned_throughputs() if kind == PROVISIONED else bedrock.iter_deployments()
        for item in items:
            arn = str(item.get("provisionedModelArn") or item.get("customModelDeploymentArn"))
            owner = _tags_of(bedrock, arn).get(TAG_WORKLOAD)
            if owner is None or (workload is not None and owner != workload):
                continue
            host = find_host(bedrock, kind, arn)
            if host is not None:
                yield host


def iter_models(bedrock: BedrockGateway) -> Iterator[Resource]:
    """Yield every custom model in the Region that carries our tags."""
    for item in bedrock.iter_custom_models(isOwned=True):
        arn = str(item["modelArn"])
        tags = _tags_of(bedrock, arn)
        if TAG_WORKLOAD not in tags:
            continue
        try:
            model = bedrock.get_custom_model(arn)
        except ServiceNotFoundError:
            continue
        yield Resource(
            kind="custom-model",
            arn=arn,
            name=str(model.get("modelName", "")),
            base_model=base_of_arn(arn),
            tags=tags,
            created_at=iso_or_none(model.get("creationTime")),
            job_name=str(model.get("jobName") or ""),
        )


def iter_running_jobs(bedrock: BedrockGateway) -> Iterator[Resource]:
    """Yield every customization job in progress that carries our tags."""
    for item in bedrock.iter_customization_jobs(statusEquals="InProgress"):
        arn = str(item["jobArn"])
        tags = _tags_of(bedrock, arn)
        if TAG_WORKLOAD in tags:
            yield Resource(
                kind="customization-job",
                arn=arn,
                name=str(item.get("jobName", "")),
                base_model=base_of_arn(str(item.get("baseModelArn", ""))),
                tags=tags,
                created_at=iso_or_none(item.get("creationTime")),
                job_name=str(item.get("jobName", "")),
            )


def _tags_of(bedrock: BedrockGateway, arn: str) -> dict[str, str]:
    """Return a resource's tags; one that vanished meanwhile has none."""
    try:
        return bedrock.tags(arn)
    except ServiceNotFoundError:
        return {}


def read_pointer(parameters: ParameterGateway, workload: str) -> Pointer | None:
    """Return the workload's pointer, or None when there is none.

    :raises StateError: a parameter is there and is not a pointer of ours.
    """
    raw = parameters.get(pointer_name(workload))
    if raw is None:
        return None
    try:
        return Pointer.from_json(json.loads(raw))
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"deployment: the parameter {pointer_name(workload)} cannot be read ({type(error).__name__}).",
            hint="Somebody else wrote it; restore it from its history, or delete it and promote again.",
        ) from error


def read_capability(bedrock: BedrockGateway, model: Mapping[str, Any], region: str) -> Capability:
    """Return how a custom model's base may be served here, and how the base stands in its lifecycle.

    :param model: the answer of GetCustomModel.
    """
    student = str(model.get("baseModelArn") or "").rsplit("/", 1)[-1] or base_of_arn(str(model["modelArn"]))
    kinds = tuple(k for k in hosts_of(student) if k != ON_DEMAND or region in DEPLOYMENT_REGIONS)
    status, end = "", None
    for name in dict.fromkeys((student, base_model_id(student))):
        try:
            lifecycle = bedrock.get_foundation_model(name).get("modelLifecycle") or {}
        except ServiceNotFoundError:
            continue
        status, end = str(lifecycle.get("status", "")), iso_or_none(_time(lifecycle.get("endOfLifeTime")))
        break
    return Capability(student=student, region=region, kinds=kinds, lifecycle=status, end_of_life=end)


def _time(value: Any) -> datetime | str | None:
    return value if isinstance(value, datetime | str) else None
