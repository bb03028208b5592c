"""Custom models: what a job leaves behind."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_distill.sandbox.brains import Brain
from airflow_distill.sandbox.failures import conflict
from airflow_distill.sandbox.lifecycle import Life, Pace
from airflow_distill.sandbox.operations import advances, operation
from airflow_distill.sandbox.operations.checks import contains, created_within, need, page
from airflow_distill.sandbox.store import (
    ACCOUNT,
    BATCH,
    DEPLOYMENT,
    JOB,
    MODEL,
    THROUGHPUT,
    RegionState,
    Resource,
)
from airflow_distill.sandbox.world import Call, World

_ENDED_BATCH = ("Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired")


def add_model(world: World, state: RegionState, job: Resource, brain: Brain, moment: datetime) -> Resource:
    """The model of a completed job."""
    base = job.hidden["base"]
    arn = f"arn:aws:bedrock:{job.region}:{ACCOUNT}:custom-model/{base}/{world.store.new_id(job.arn)}"
    job_members = (
        "jobArn",
        "jobName",
        "baseModelArn",
        "customizationType",
        "hyperParameters",
        "trainingDataConfig",
        "validationDataConfig",
        "outputDataConfig",
        "customizationConfig",
    )
    record = {
        "modelArn": arn,
        "modelName": job.record["outputModelName"],
        "modelKmsKeyArn": job.record.get("outputModelKmsKeyArn"),
        "creationTime": moment,
        "modelStatus": "Active",
        **{name: job.record.get(name) for name in job_members},
    }
    tags = {tag["key"]: tag["value"] for tag in job.hidden["model_tags"]}
    return put_model(world, state, job.region, record, brain, {"base": base}, tags)


def put_model(
    world: World,
    state: RegionState,
    region: str,
    record: dict[str, Any],
    brain: Brain,
    hidden: dict[str, Any],
    tags: dict[str, str],
) -> Resource:
    """Add a model that is ready, and start its storage bill."""
    model = Resource(
        kind=MODEL,
        arn=record["modelArn"],
        name=record["modelName"],
        region=region,
        created=record["creationTime"],
        serial=world.store.next_serial(),
        life=Life(Pace(), record["creationTime"]),
        record=record,
        hidden=hidden,
    )
    state.add(model)
    state.tags[model.arn] = tags
    world.students[model.arn] = brain
    world.meter.start(model.arn, "model-storage", hidden["base"], 1, record["creationTime"])
    return model


def settle_jobs(world: World, state: RegionState) -> None:
    """Models appear when jobs end, whether or not somebody looks at the job."""
    now = world.clock.now()
    for job in state.of_kind(JOB):
        world.advancers[JOB](world, state, job, now, 0)


@advances(MODEL)
def advance_model(world: World, state: RegionState, model: Resource, now: datetime, reads: int) -> None:
    """A model does not change."""


@operation("GetCustomModel")
def get_model(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    settle_jobs(world, state)
    return need(world, state, MODEL, call["modelIdentifier"], "model").record


@operation("ListCustomModels")
def list_models(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    settle_jobs(world, state)
    if call.get("isOwned") is False:
        return {"modelSummaries": []}
    base = call.get("baseModelArnEquals")
    foundation = call.get("foundationModelArnEquals")
    found = [
        model
        for model in state.of_kind(MODEL)
        if created_within(model, call.get("creationTimeAfter"), call.get("creationTimeBefore"))
        and contains(model, call.get("nameContains"))
        and (base is None or model.record["baseModelArn"] == base)
        and (foundation is None or model.record["baseModelArn"] == foundation)
        and call.get("modelStatus", model.record["modelStatus"]) == model.record["modelStatus"]
    ]
    return page(world, call, found, _summary, "modelSummaries")


def _summary(model: Resource) -> dict[str, Any]:
    base = model.hidden["base"]
    return {
        **model.record,
        "baseModelName": base.split(":")[0],
        "ownerAccountId": ACCOUNT,
    }


@operation("DeleteCustomModel")
def delete_model(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    settle_jobs(world, state)
    model = need(world, state, MODEL, call["modelIdentifier"], "model")
    for resource in state.resources.values():
        if resource.kind in (THROUGHPUT, DEPLOYMENT) and model.arn in (
            resource.record.get("modelArn"),
            resource.record.get("desiredModelArn"),
            (resource.record.get("updateDetails") or {}).get("modelArn"),
        ):
            what = "Provisioned Throughput" if resource.kind == THROUGHPUT else "custom model deployment"
            raise conflict(f"The model can not be deleted while the {what} {resource.name} is using it.")
        if (
            resource.kind == BATCH
            and resource.record["modelId"] == model.arn
            and resource.record["status"] not in _ENDED_BATCH
        ):
            raise conflict(
                f"The model can not be deleted while the batch inference job {resource.name} is using it."
            )
    state.remove(model)
    world.students.pop(model.arn, None)
    world.meter.stop(model.arn, world.clock.now())
    return {}
