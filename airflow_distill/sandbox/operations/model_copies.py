"""Model copy jobs: a custom model goes to another Region, asked for in that Region."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_distill.sandbox.failures import not_found, validation
from airflow_distill.sandbox.operations import advances, operation
from airflow_distill.sandbox.operations.checks import (
    arn,
    created_within,
    need,
    page,
    replayed,
    tags_of,
    taken,
)
from airflow_distill.sandbox.operations.creation import add_created, new_arn
from airflow_distill.sandbox.operations.custom_models import put_model, settle_jobs
from airflow_distill.sandbox.store import ACCOUNT, COPY, MODEL, RegionState, Resource
from airflow_distill.sandbox.world import Call, World


@operation("CreateModelCopyJob")
def create(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    again = replayed(world, state, call)
    if again is not None:
        return {"jobArn": again}
    source_region = call["sourceModelArn"].split(":")[3]
    source_state = world.store.region(source_region)
    settle_jobs(world, source_state)
    source = source_state.find(MODEL, call["sourceModelArn"])
    if source is None:
        raise not_found("Could not find the source model for the provided model ARN.")
    base = source.hidden["base"]
    if call.region == source_region or call.region not in world.catalogue.copies_to(base):
        raise validation(
            f"A model customized from {base} can not be copied from {source_region} to {call.region}."
        )
    taken(state, MODEL, call["targetModelName"], "The provided custom model name is currently in use.")
    for job in state.of_kind(COPY):
        if job.record["targetModelName"] == call["targetModelName"] and job.record["status"] == "InProgress":
            raise validation("The provided custom model name is currently in use.")
    tags_of(world, call, "targetModelTags")
    now = world.clock.now()
    name = call["targetModelName"]
    made = new_arn(world, call, "model-copy-job", name)
    job = add_created(
        world,
        state,
        call,
        kind=COPY,
        arn=made,
        name=f"{name} {made[-12:]}",
        created=now,
        record={
            "jobArn": made,
            "status": "InProgress",
            "creationTime": now,
            "targetModelArn": arn(call, f"custom-model/{base}/{world.store.new_id(made)}"),
            "targetModelName": name,
            "sourceAccountId": ACCOUNT,
            "sourceModelArn": source.arn,
            "sourceModelName": source.name,
            "targetModelKmsKeyArn": call.get("modelKmsKeyId"),
            "targetModelTags": call.get("targetModelTags"),
        },
        hidden={"base": base},
    )
    return {"jobArn": made}


@advances(COPY)
def advance(world: World, state: RegionState, job: Resource, now: datetime, reads: int) -> None:
    record = job.record
    if record["status"] != "InProgress" or job.life.fraction(now, reads) < 1:
        return
    source_state = world.store.region(record["sourceModelArn"].split(":")[3])
    source = source_state.find(MODEL, record["sourceModelArn"])
    if job.life.broken or source is None:
        record["status"] = "Failed"
        record["failureMessage"] = (job.life.broken or "The source model does not exist any more.")[:2048]
        return
    moment = job.life.moment(1.0, now)
    record["status"] = "Completed"
    members = ("jobArn", "jobName", "customizationType", "hyperParameters", "trainingDataConfig",
               "outputDataConfig", "customizationConfig", "trainingMetrics", "validationMetrics")  # fmt: skip
    model = {
        **{name: source.record.get(name) for name in members},
        "modelArn": record["targetModelArn"],
        "modelName": record["targetModelName"],
        "modelKmsKeyArn": record["targetModelKmsKeyArn"],
        "baseModelArn": f"arn:aws:bedrock:{job.region}::foundation-model/{job.hidden['base']}",
        "creationTime": moment,
        "modelStatus": "Active",
    }
    tags = {tag["key"]: tag["value"] for tag in record["targetModelTags"] or []}
    brain = world.students[source.arn]
    put_model(world, state, job.region, model, brain, {"base": job.hidden["base"]}, tags)


@operation("GetModelCopyJob")
def get(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    job = need(world, state, COPY, call["jobArn"], "job")
    world.observe(state, job)
    return job.record


@operation("ListModelCopyJobs")
def list_jobs(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    world.observe_all(state, COPY)
    part = call.get("targetModelNameContains")
    found = [
        job
        for job in state.of_kind(COPY)
        if created_within(job, call.get("creationTimeAfter"), call.get("creationTimeBefore"))
        and call.get("statusEquals", job.record["status"]) == job.record["status"]
        and call.get("sourceAccountEquals", ACCOUNT) == ACCOUNT
        and call.get("sourceModelArnEquals", job.record["sourceModelArn"]) == job.record["sourceModelArn"]
        and (part is None or part.casefold() in job.record["targetModelName"].casefold())
    ]
    return page(world, call, found, lambda job: job.record, "modelCopyJobSummaries")
