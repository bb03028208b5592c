"""Tags on everything that can carry them."""

from __future__ import annotations

from typing import Any

from airflow_distill.sandbox.failures import not_found, validation
from airflow_distill.sandbox.operations import operation
from airflow_distill.sandbox.operations.checks import merged_tags
from airflow_distill.sandbox.store import COPY, RegionState
from airflow_distill.sandbox.world import Call, World


def _taggable(state: RegionState, call: Call) -> str:
    arn = str(call["resourceARN"])
    parts = arn.split(":")
    if len(parts) > 3 and parts[3] != call.region:
        raise validation("The resource is in another Region than the one called.")
    resource = state.resources.get(arn)
    if resource is None or resource.kind == COPY:
        raise not_found("The provided resource ARN could not be found.")
    return arn


@operation("TagResource")
def tag_resource(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    arn = _taggable(state, call)
    state.tags[arn] = merged_tags(world, state.tags.get(arn, {}), call["tags"], arn)
    return {}


@operation("UntagResource")
def untag_resource(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    arn = _taggable(state, call)
    kept = {key: value for key, value in state.tags.get(arn, {}).items() if key not in call["tagKeys"]}
    state.tags[arn] = kept
    return {}


@operation("ListTagsForResource")
def list_tags(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    arn = _taggable(state, call)
    return {"tags": [{"key": key, "value": value} for key, value in state.tags.get(arn, {}).items()]}
