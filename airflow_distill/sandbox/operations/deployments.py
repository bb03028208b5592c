"""Custom model deployments: a custom model served on demand, paid by the token."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_distill.sandbox.failures import conflict, not_found, validation
from airflow_distill.sandbox.operations import advances, operation
from airflow_distill.sandbox.operations.checks import (
    contains,
    created_within,
    need,
    page,
    replayed,
    tags_of,
    taken,
    within_quota,
)
from airflow_distill.sandbox.operations.creation import add_created, new_arn
from airflow_distill.sandbox.operations.custom_models import settle_jobs
from airflow_distill.sandbox.store import DEPLOYMENT, MODEL, RegionState, Resource
from airflow_distill.sandbox.world import Call, World


@operation("CreateCustomModelDeployment")
def create(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    again = replayed(world, state, call)
    if again is not None:
        return {"customModelDeploymentArn": again}
    settle_jobs(world, state)
    model = _deployable(world, state, call, call["modelArn"])
    name = call["modelDeploymentName"]
    taken(state, DEPLOYMENT, name, "The provided model deployment name is currently in use.")
    tags = tags_of(world, call, "tags")
    present = state.of_kind(DEPLOYMENT)
    within_quota(len(present) + 1, world.quotas["custom-model-deployments"], "custom model deployments")
    now = world.clock.now()
    for other in present:
        advance(world, state, other, now, 0)
    creating = sum(other.record["status"] == "Creating" for other in present)
    within_quota(
        creating + 1,
        world.quotas["custom-model-deployments-creating"],
        "custom model deployments in progress",
    )
    made = new_arn(world, call, "custom-model-deployment", name)
    add_created(
        world,
        state,
        call,
        kind=DEPLOYMENT,
        arn=made,
        name=name,
        created=now,
        record={
            "customModelDeploymentArn": made,
            "modelDeploymentName": name,
            "modelArn": model.arn,
            "createdAt": now,
            "lastUpdatedAt": now,
            "status": "Creating",
            "description": call.get("description"),
        },
        hidden={"base": model.hidden["base"]},
        tags=tags,
    )
    return {"customModelDeploymentArn": made}


def _deployable(world: World, state: RegionState, call: Call, model_arn: str) -> Resource:
    model = state.find(MODEL, model_arn)
    if model is None:
        raise not_found("Could not find the custom model for the provided model ARN.")
    if model.record["modelStatus"] != "Active":
        raise validation("The custom model is not Active.")
    base = model.hidden["base"]
    known = world.catalogue
    if call.region not in known.deployment_regions or not known.serves(base, "custom-model-deployment"):
        raise validation(
            f"On-demand deployment is not supported for models customized from {base} in {call.region}."
        )
    return model


@advances(DEPLOYMENT)
def advance(world: World, state: RegionState, deployment: Resource, now: datetime, reads: int) -> None:
    record = deployment.record
    update = record.get("updateDetails")
    waiting = record["status"] == "Creating" or (update is not None and update["updateStatus"] == "Updating")
    if not waiting or deployment.life.fraction(now, reads) < 1:
        return
    record["lastUpdatedAt"] = deployment.life.moment(1.0, now)
    broken = deployment.life.broken
    if record["status"] == "Creating":
        record["status"] = "Failed" if broken else "Active"
        if broken:
            record["failureMessage"] = broken[:2048]
        return
    assert update is not None
    update["updateStatus"] = "UpdateFailed" if broken else "UpdateCompleted"
    if broken:
        record["failureMessage"] = broken[:2048]
    else:
        record["modelArn"] = update["modelArn"]


@operation("GetCustomModelDeployment")
def get(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    deployment = need(
        world, state, DEPLOYMENT, call["customModelDeploymentIdentifier"], "custom model deployment"
    )
    world.observe(state, deployment)
    return deployment.record


@operation("ListCustomModelDeployments")
def list_deployments(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    world.observe_all(state, DEPLOYMENT)
    found = [
        d
        for d in state.of_kind(DEPLOYMENT)
        if created_within(d, call.get("createdAfter"), call.get("createdBefore"))
        and contains(d, call.get("nameContains"))
        and call.get("statusEquals", d.record["status"]) == d.record["status"]
        and call.get("modelArnEquals", d.record["modelArn"]) == d.record["modelArn"]
    ]
    return page(world, call, found, _summary, "modelDeploymentSummaries")


def _summary(deployment: Resource) -> dict[str, Any]:
    return {
        **deployment.record,
        "customModelDeploymentName": deployment.record["modelDeploymentName"],
    }


@operation("UpdateCustomModelDeployment")
def update_deployment(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    settle_jobs(world, state)
    deployment = need(
        world, state, DEPLOYMENT, call["customModelDeploymentIdentifier"], "custom model deployment"
    )
    now = world.clock.now()
    advance(world, state, deployment, now, 0)
    record = deployment.record
    update = record.get("updateDetails")
    if record["status"] != "Active" or (update is not None and update["updateStatus"] == "Updating"):
        raise validation("The custom model deployment can not be updated in its present state.")
    model = _deployable(world, state, call, call["modelArn"])
    if model.hidden["base"] != deployment.hidden["base"]:
        raise validation("The new model must be customized from the same base model.")
    record["updateDetails"] = {"modelArn": model.arn, "updateStatus": "Updating"}
    record["lastUpdatedAt"] = now
    record.pop("failureMessage", None)
    deployment.life = world.new_life(DEPLOYMENT, call.operation, deployment.name)
    return {"customModelDeploymentArn": deployment.arn}


@operation("DeleteCustomModelDeployment")
def delete(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    deployment = need(
        world, state, DEPLOYMENT, call["customModelDeploymentIdentifier"], "custom model deployment"
    )
    advance(world, state, deployment, world.clock.now(), 0)
    update = deployment.record.get("updateDetails")
    if deployment.record["status"] == "Creating" or (
        update is not None and update["updateStatus"] == "Updating"
    ):
        raise conflict("The custom model deployment can not be deleted while it is being created or updated.")
    state.remove(deployment)
    return {}
