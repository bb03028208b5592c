"""Resource policies on custom models, for sharing."""

from __future__ import annotations

import json
from typing import Any

from airflow_distill.sandbox.failures import not_found, validation
from airflow_distill.sandbox.operations import operation
from airflow_distill.sandbox.store import MODEL, RegionState
from airflow_distill.sandbox.world import Call, World


def _shareable(state: RegionState, call: Call) -> str:
    arn = str(call["resourceArn"])
    resource = state.resources.get(arn)
    if resource is None or resource.kind != MODEL:
        raise not_found("The provided resource ARN could not be found.")
    return arn


@operation("PutResourcePolicy")
def put(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    # ResourceNotFoundException is not among this operation's errors, so an unknown ARN is a wrong request.
    arn = str(call["resourceArn"])
    resource = state.resources.get(arn)
    if resource is None or resource.kind != MODEL:
        raise validation("The provided resource ARN does not name a custom model of this account and Region.")
    try:
        policy = json.loads(call["resourcePolicy"])
    except ValueError:
        raise validation("The resource policy is not valid JSON.") from None
    if not isinstance(policy, dict) or not policy.get("Statement"):
        raise validation("The resource policy must have a Statement.")
    state.policies[arn] = {"resourcePolicy": call["resourcePolicy"]}
    return {"resourceArn": arn}


@operation("GetResourcePolicy")
def get(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    arn = _shareable(state, call)
    if arn not in state.policies:
        raise not_found("The resource has no resource policy.")
    return state.policies[arn]


@operation("DeleteResourcePolicy")
def delete(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    arn = _shareable(state, call)
    if state.policies.pop(arn, None) is None:
        raise not_found("The resource has no resource policy.")
    return {}
