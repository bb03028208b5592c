"""Hosts made, swapped and deleted: the calls behind the steps of a plan and the host operators.

Looking is `aws/account.py`; what an answer means is `remote/hosts.py`; whose a host is, `remote/ownership.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_distill.aws.account import find_host
from airflow_distill.aws.bedrock import BedrockGateway
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.pointers import Recorded, nothing
from airflow_distill.errors import DistillError, ServiceNotFoundError
from airflow_distill.remote.hosts import PROVISIONED, Host
from airflow_distill.remote.identity import TAG_ROOT, TAG_WORKLOAD, request_token, tag_list
from airflow_distill.remote.ownership import Owner
from airflow_distill.stages.deployment.records import HostSpec


def claim_host(bedrock: BedrockGateway, host: Host, owner: Owner, recorded: Recorded = nothing) -> Host:
    """Return the host if it is ours; one without a root tag is tagged anew when our records name it.

    :raises OwnershipError: it belongs to somebody else, whom the message names.
    """
    claim = owner.claim(host.tags)
    if claim == "ours":
        return host
    if claim == "unmarked" and not {host.arn, host.name}.isdisjoint(recorded()):
        bedrock.tag(host.arn, owner.tags)
        return find_host(bedrock, host.kind, host.arn) or host
    raise owner.refuse(f"deployment: {host.kind} {host.name} ({host.arn})", host.tags)


def create_host(
    gateways: AwsGateways,
    spec: HostSpec,
    model_arn: str,
    *,
    tags: Mapping[str, str],
    token_of: Mapping[str, Any],
) -> str:
    """Buy a host and return its ARN. The caller has looked and found none of this name.

    After an unknown outcome the name is looked up before anything is raised. A token that the service remembers from a
    host that was deleted since would answer with a dead ARN; then the create is repeated with another token.
    """
    arn = ""
    for attempt in ("first", "second"):
        body = {**token_of, "model": model_arn, "attempt": attempt}
        try:
            arn = _create(gateways, spec, model_arn, tags, body)
        except DistillError as error:
            found = _look_again(gateways, spec, error)
            if found is None or any(found.tags.get(key) != tags.get(key) for key in (TAG_WORKLOAD, TAG_ROOT)):
                raise
            return found.arn
        if find_host(gateways.bedrock, spec.kind, arn, tags=False) is not None:
            return arn
    return arn


def _look_again(gateways: AwsGateways, spec: HostSpec, error: DistillError) -> Host | None:
    try:
        return find_host(gateways.bedrock, spec.kind, spec.name)
    except DistillError:
        raise error from None


def _create(
    gateways: AwsGateways,
    spec: HostSpec,
    model_arn: str,
    tags: Mapping[str, str],
    token_of: Mapping[str, Any],
) -> str:
    if spec.kind == PROVISIONED:
        request: dict[str, Any] = {
            "provisionedModelName": spec.name,
            "modelId": model_arn,
            "modelUnits": spec.units,
            "tags": tag_list(tags),
            "clientRequestToken": request_token("CreateProvisionedModelThroughput", spec.name, token_of),
        }
        if spec.commitment != "none":
            request["commitmentDuration"] = spec.commitment
        return gateways.bedrock.create_provisioned_throughput(request)
    return gateways.bedrock.create_deployment(
        {
            "modelDeploymentName": spec.name,
            "modelArn": model_arn,
            "tags": tag_list(tags),
            "clientRequestToken": request_token("CreateCustomModelDeployment", spec.name, token_of),
        }
    )


def delete_host(gateways: AwsGateways, host: Host) -> None:
    """Delete a host; one that is gone already is not an error."""
    try:
        if host.kind == PROVISIONED:
            gateways.bedrock.delete_provisioned_throughput(host.arn)
        else:
            gateways.bedrock.delete_deployment(host.arn)
    except ServiceNotFoundError:
        return
