"""The account as it is now, told in the deployment stage's records: hosts, models, running jobs and their tags.

Everything here reads. A resource of which the service says that it does not exist is None; any other failure is raised,
because "could not be read" must never be taken for "there is none".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from airflow_distill.aws.bedrock import BedrockGateway
from airflow_distill.errors import ServiceNotFoundError
from airflow_distill.remote.hosts import base_of_arn as base_of_arn
from airflow_distill.remote.hosts import read_host
from airflow_distill.remote.identity import TAG_TEMPORARY, TAG_WORKLOAD, host_name
from airflow_distill.remote.ownership import Owner
from airflow_distill.stages.deployment.hosts import Capability, is_live_host_name
from airflow_distill.stages.deployment.reap import Resource
from airflow_distill.stages.deployment.records import (
    KINDS,
    ON_DEMAND,
    PROVISIONED,
    TAG_CLAIM,
    Host,
    HostKind,
)
from airflow_distill.stages.deployment.times import iso_or_none
from airflow_distill.stages.jobs.models import base_model_id, deployment_regions, hosts_of


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
    return read_host(kind, answer, known)


def iter_hosts(bedrock: BedrockGateway, workload: str | None = None) -> Iterator[Host]:
    """Yield every host in the Region that carries our tags; those of others are skipped unread.

    :param workload: only hosts of this workload.
    """
    for kind, arn, _ in _listed_hosts(bedrock):
        owner = _tags_of(bedrock, arn).get(TAG_WORKLOAD)
        if owner is None or (workload is not None and owner != workload):
            continue
        host = find_host(bedrock, kind, arn)
        if host is not None:
            yield host


def _listed_hosts(bedrock: BedrockGateway) -> Iterator[tuple[HostKind, str, str]]:
    """Yield kind, ARN and name of every host in the Region, as the lists tell them."""
    for kind in KINDS:
        items = bedrock.iter_provisioned_throughputs() if kind == PROVISIONED else bedrock.iter_deployments()
        for item in items:
            arn = str(item.get("provisionedModelArn") or item.get("customModelDeploymentArn"))
            yield (
                kind,
                arn,
                str(item.get("provisionedModelName") or item.get("customModelDeploymentName") or ""),
            )


def iter_live_hosts(bedrock: BedrockGateway, owner: Owner) -> Iterator[Host]:
    """Yield the permanent hosts that releases of a workload under this root have made, by name, tags and release."""
    prefix = host_name(owner.workload, "live").partition("-live-")[0] + "-live-"
    for kind, arn, name in _listed_hosts(bedrock):
        host = find_host(bedrock, kind, arn) if name.startswith(prefix) else None
        if host is None or not host.tags.get(TAG_CLAIM) or host.tags.get(TAG_TEMPORARY) == "true":
            continue
        ours = is_live_host_name(host.name, owner.workload, kind, host.base_model, host.units, owner.root)
        if ours and owner.claim(host.tags) == "ours":
            yield host


def iter_models(bedrock: BedrockGateway) -> Iterator[Resource]:
    """Yield every custom model in the Region that carries our tags."""
    for item in bedrock.iter_custom_models(isOwned=True):
        arn = str(item.get("modelArn") or "")
        if not arn:
            continue
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
        arn = str(item.get("jobArn") or "")
        if not arn:
            continue
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


def read_capability(bedrock: BedrockGateway, model: Mapping[str, Any], region: str) -> Capability:
    """Return how a custom model's base may be served here, and how the base stands in its lifecycle.

    :param model: the answer of GetCustomModel.
    """
    student = str(model.get("baseModelArn") or "").rsplit("/", 1)[-1] or base_of_arn(
        str(model.get("modelArn") or "")
    )
    kinds = tuple(k for k in hosts_of(student) if k != ON_DEMAND or region in deployment_regions())
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
