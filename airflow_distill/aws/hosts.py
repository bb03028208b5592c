"""Hosts bought, deleted and claimed: the calls behind the steps of a plan and the host operators.

Hosts are bought through `remote.submit`, as jobs are: looked up by name, adopted if they are ours, bought only when the
service says that there is none. Looking is `aws/account.py`; what an answer means is `remote/hosts.py`; whose a host is,
`remote/ownership.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from airflow_distill.aws.account import find_host
from airflow_distill.aws.bedrock import BedrockGateway
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.pointers import Recorded, nothing
from airflow_distill.errors import ServiceConflictError, ServiceError, ServiceNotFoundError, StateError
from airflow_distill.remote.hosts import PROVISIONED, Host, HostKind, host_of, snapshot_of
from airflow_distill.remote.identity import TAG_TEMPORARY, request_token, tag_list
from airflow_distill.remote.ownership import Owner
from airflow_distill.remote.records import JobSnapshot
from airflow_distill.remote.submit import Wish, find_adopt_or_submit, no_fault
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


@dataclass(frozen=True, slots=True)
class HostOrder:
    """A host to be had once, for one model.

    :param name_of: the name of a generation; the next one is taken after a host that failed.
    :param tags: what the host is to carry.
    :param token_of: what tells one purchase under a name from the next, such as release and claim.
    :param keep: says why a failed host must not be deleted, such as a pointer that names it; empty when it may be.
    :param max_generations: how many hosts may be tried.
    :param before_buying: told the name before each create, so that somebody who undoes this knows what to look for.
    """

    spec: HostSpec
    model_arn: str
    owner: Owner
    tags: Mapping[str, str]
    token_of: Mapping[str, Any]
    name_of: Callable[[int], str]
    recorded: Recorded = nothing
    keep: Callable[[Host], str] = lambda host: ""
    max_generations: int = 1
    before_buying: Callable[[str], None] = lambda name: None


def have_host(
    gateways: AwsGateways,
    order: HostOrder,
    *,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
    fault: Callable[[str], None] = no_fault,
) -> Host:
    """Return the one host of an order, buying it only when there is none, and only once the service shows it.

    :raises OwnershipError: the name belongs to somebody else.
    :raises JobFailedError: every generation failed; those that nothing points at were deleted.
    :raises StateError: the service accepted the purchase and never showed the host, or could not be asked.
    """
    submission = find_adopt_or_submit(
        host_wish(gateways, order), now=now, sleep=sleep, max_generations=order.max_generations, fault=fault
    )
    return _with_tags(gateways.bedrock, submission.snapshot)


def _with_tags(bedrock: BedrockGateway, found: JobSnapshot) -> Host:
    """Return the host that was found, with the tags it carries."""
    try:
        return replace(host_of(found), tags=bedrock.tags(found.arn))
    except ServiceNotFoundError as error:
        raise StateError(
            f"deployment: {found.kind} {found.name} was there and is gone.",
            hint="It was deleted. Retry: the next try looks it up and buys a new one if there is none.",
        ) from error


def host_wish(gateways: AwsGateways, order: HostOrder) -> Wish:
    """Return what `remote.submit` needs to find, check and buy a host."""
    bedrock, kind = gateways.bedrock, order.spec.kind

    def find(identifier: str) -> JobSnapshot | None:
        host = find_host(bedrock, kind, identifier, tags=False)
        return None if host is None else snapshot_of(host)

    def inspect(found: JobSnapshot) -> None:
        claim_host(bedrock, _with_tags(bedrock, found), order.owner, order.recorded)

    def discard(found: JobSnapshot) -> None:
        host = find_host(bedrock, kind, found.arn)
        if host is not None and not order.keep(host):
            delete_host(gateways, host)

    def create(generation: int, after: str = "") -> str:
        order.before_buying(order.name_of(generation))
        return _create(gateways, order, order.name_of(generation), after)

    return Wish(
        kind=kind,
        name_of=order.name_of,
        find=find,
        create=create,
        inspect=inspect,
        discard=discard,
        create_after=create,
    )


def _create(gateways: AwsGateways, order: HostOrder, name: str, after: str) -> str:
    spec = order.spec
    told = {**order.token_of, "model": order.model_arn, **({"after": after} if after else {})}
    if spec.kind == PROVISIONED:
        request: dict[str, Any] = {
            "provisionedModelName": name,
            "modelId": order.model_arn,
            "modelUnits": spec.units,
            "tags": tag_list(order.tags),
            "clientRequestToken": request_token("CreateProvisionedModelThroughput", name, told),
        }
        if spec.commitment != "none":
            request["commitmentDuration"] = spec.commitment
        return gateways.bedrock.create_provisioned_throughput(request)
    return gateways.bedrock.create_deployment(
        {
            "modelDeploymentName": name,
            "modelArn": order.model_arn,
            "tags": tag_list(order.tags),
            "clientRequestToken": request_token("CreateCustomModelDeployment", name, told),
        }
    )


def create_host(
    gateways: AwsGateways,
    spec: HostSpec,
    model_arn: str,
    *,
    tags: Mapping[str, str],
    token_of: Mapping[str, Any],
) -> str:
    """Send one create call for a host and return its ARN. `have_host` is what looks first and buys once."""
    order = HostOrder(spec, model_arn, Owner(""), tags, token_of, lambda generation: spec.name)
    return _create(gateways, order, spec.name, "")


def free_name(
    bedrock: BedrockGateway, kind: HostKind, name_of: Callable[[int], str], live_arn: str = ""
) -> str:
    """Return the first name that is free, or whose host may be gone on with.

    A failed host, a retired one and the live one are neither deleted nor swapped to free a name.

    :param live_arn: the host that answers today.
    """
    for generation in range(1, 100):
        found = find_host(bedrock, kind, name_of(generation))
        if found is None:
            return name_of(generation)
        retired = found.tags.get(TAG_TEMPORARY) == "true"
        if not (found.failed or retired or found.arn == live_arn):
            return name_of(generation)
    raise StateError(
        f"deployment: 99 hosts named like {name_of(1)} have failed.",
        hint="Delete them: `airflow-distill reap`.",
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


def try_to_delete(gateways: AwsGateways, host: Host) -> str:
    """Delete a host; returns why it stays, empty when it is gone. One in motion may not be deletable yet."""
    if host.commitment != "none" and host.commitment_ends_at:
        return f"it is committed until {host.commitment_ends_at}"
    try:
        delete_host(gateways, host)
    except ServiceConflictError as error:
        return f"the service refuses while it is {host.status} ({error.code})"
    except ServiceError as error:
        if not host.moving:
            raise
        return f"the service refuses while it is {host.status} ({error.code})"
    return ""


def bill_of(host: Host, hourly: float | None = None) -> str:
    """Say what a host bills, for messages.

    :param hourly: the price of all its units an hour, where the caller knows it.
    """
    if host.kind != PROVISIONED:
        return "it bills nothing while nobody calls it"
    return (
        f"it bills {hourly:.2f} USD an hour until deleted" if hourly else "it bills by the hour until deleted"
    )
