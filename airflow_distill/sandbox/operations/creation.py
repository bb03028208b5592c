"""What every create operation does with a request that it has accepted: make the resource, tag it, remember its token."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_distill.sandbox.operations.checks import arn
from airflow_distill.sandbox.store import RegionState, Replay, Resource
from airflow_distill.sandbox.world import Call, World


def new_arn(world: World, call: Call, type_path: str, name: str) -> str:
    """Return the ARN of a resource to be made, for example with the type path `provisioned-model`."""
    return arn(call, f"{type_path}/{world.store.new_id(call.region, name)}")


def add_created(
    world: World,
    state: RegionState,
    call: Call,
    *,
    kind: str,
    arn: str,
    name: str,
    created: datetime,
    record: dict[str, Any],
    hidden: dict[str, Any],
    tags: dict[str, str] | None = None,
) -> Resource:
    """Put a new resource into the Region, so that a repeat of the request's token finds it."""
    resource = Resource(
        kind=kind,
        arn=arn,
        name=name,
        region=call.region,
        created=created,
        serial=world.store.next_serial(),
        life=world.new_life(kind, call.operation, name),
        record=record,
        hidden=hidden,
    )
    state.add(resource)
    if tags is not None:
        state.tags[arn] = tags
    token = call.get("clientRequestToken")
    if token is not None:
        state.replays[(call.operation, token)] = Replay(call.digest(), arn)
    return resource
