"""Provisioned throughput: reserved capacity, billed by the hour from the moment it is made."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow_distill.sandbox.failures import conflict, not_found, quota_exceeded, validation
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
from airflow_distill.sandbox.store import MODEL, THROUGHPUT, RegionState, Resource
from airflow_distill.sandbox.world import Call, World

_TERMS = {"OneMonth": timedelta(days=30), "SixMonths": timedelta(days=180)}


@operation("CreateProvisionedModelThroughput")
def create(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    again = replayed(world, state, call)
    if again is not None:
        return {"provisionedModelArn": again}
    settle_jobs(world, state)
    model_arn, base = _model(world, state, call, call["modelId"])
    taken(
        state,
        THROUGHPUT,
        call["provisionedModelName"],
        "The provided provisioned model name is currently in use.",
    )
    tags = tags_of(world, call, "tags")
    _check_units(world, state, call, base)
    made = new_arn(world, call, "provisioned-model", call["provisionedModelName"])
    now = world.clock.now()
    record: dict[str, Any] = {
        "provisionedModelArn": made,
        "provisionedModelName": call["provisionedModelName"],
        "modelArn": model_arn,
        "desiredModelArn": model_arn,
        "foundationModelArn": world.catalogue.models[base].arn(call.region),
        "modelUnits": call["modelUnits"],
        "desiredModelUnits": call["modelUnits"],
        "status": "Creating",
        "creationTime": now,
        "lastModifiedTime": now,
        "commitmentDuration": call.get("commitmentDuration"),
    }
    if call.get("commitmentDuration"):
        record["commitmentExpirationTime"] = now + _TERMS[call["commitmentDuration"]]
    add_created(
        world,
        state,
        call,
        kind=THROUGHPUT,
        arn=made,
        name=call["provisionedModelName"],
        created=now,
        record=record,
        hidden={"base": base},
        tags=tags,
    )
    world.meter.start(made, "provisioned-throughput", base, call["modelUnits"], now)
    return {"provisionedModelArn": made}


def _model(world: World, state: RegionState, call: Call, identifier: str) -> tuple[str, str]:
    custom = state.find(MODEL, identifier)
    if custom is not None:
        base = str(custom.hidden["base"])
        if not world.catalogue.serves(base, "provisioned-throughput"):
            raise validation(f"Provisioned Throughput is not supported for models customized from {base}.")
        return custom.arn, base
    if ":custom-model/" in identifier:
        raise not_found("Could not find the model for the provided model identifier.")
    model = world.catalogue.model(identifier, call.region)
    if model is None:
        raise validation(f"The provided model identifier is invalid or not available in {call.region}.")
    if "PROVISIONED" not in model.inference:
        raise validation(f"Provisioned Throughput is not supported for the model {model.id}.")
    if model.status(world.clock.now()) != "ACTIVE":
        raise validation(f"The model {model.id} is in Legacy state and takes no new Provisioned Throughput.")
    return model.arn(call.region), model.id


def _check_units(world: World, state: RegionState, call: Call, base: str) -> None:
    """Units with commitment have one quota; those without have one over all models and one for each base model."""
    committed = bool(call.get("commitmentDuration"))
    same_term = [
        t for t in state.of_kind(THROUGHPUT) if bool(t.record.get("commitmentDuration")) == committed
    ]
    asked = call["modelUnits"]
    if committed:
        within_quota(
            _units(same_term) + asked,
            world.quotas["model-units-with-commitment"],
            "model units with commitment",
        )
        return
    per_model = [t for t in same_term if t.hidden["base"] == base]
    over_all = world.quotas["model-units-no-commitment"]
    of_model = world.quotas["model-units-no-commitment-per-model"]
    if not over_all or not of_model:
        raise quota_exceeded(
            "Your account does not currently have any no commitment model units reserved for "
            f"{world.catalogue.models[base].name}. Request an increase of the no commitment model unit quota."
        )
    within_quota(_units(same_term) + asked, over_all, "no commitment model units across custom models")
    within_quota(_units(per_model) + asked, of_model, f"no commitment model units of {base}")


def _units(throughputs: list[Resource]) -> int:
    return sum(int(t.record["modelUnits"]) for t in throughputs)


@advances(THROUGHPUT)
def advance(world: World, state: RegionState, throughput: Resource, now: datetime, reads: int) -> None:
    record = throughput.record
    if record["status"] not in ("Creating", "Updating") or throughput.life.fraction(now, reads) < 1:
        return
    moment = throughput.life.moment(1.0, now)
    record["lastModifiedTime"] = moment
    if throughput.life.broken:
        record["failureMessage"] = throughput.life.broken[:2048]
        record["status"] = "Failed"
        if not throughput.hidden.get("served"):
            world.meter.stop(throughput.arn, moment)
        return
    record["status"] = "InService"
    record.pop("failureMessage", None)
    throughput.hidden["served"] = True
    record["modelArn"] = record["desiredModelArn"]


@operation("GetProvisionedModelThroughput")
def get(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    throughput = need(world, state, THROUGHPUT, call["provisionedModelId"], "provisioned model")
    world.observe(state, throughput)
    return throughput.record


@operation("ListProvisionedModelThroughputs")
def list_throughputs(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    world.observe_all(state, THROUGHPUT)
    found = [
        t
        for t in state.of_kind(THROUGHPUT)
        if created_within(t, call.get("creationTimeAfter"), call.get("creationTimeBefore"))
        and contains(t, call.get("nameContains"))
        and call.get("statusEquals", t.record["status"]) == t.record["status"]
        and call.get("modelArnEquals", t.record["modelArn"]) == t.record["modelArn"]
    ]
    return page(world, call, found, lambda t: t.record, "provisionedModelSummaries")


@operation("UpdateProvisionedModelThroughput")
def update(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    settle_jobs(world, state)
    throughput = need(world, state, THROUGHPUT, call["provisionedModelId"], "provisioned model")
    now = world.clock.now()
    advance(world, state, throughput, now, 0)
    record = throughput.record
    new_name, new_model = call.get("desiredProvisionedModelName"), call.get("desiredModelId")
    if new_name is None and new_model is None:
        raise validation("At least one of desiredModelId and desiredProvisionedModelName must be set.")
    again = (
        record["status"] == "Failed"
        and throughput.hidden.get("served")
        and world.options.failed_throughput == "updatable"
    )
    if record["status"] != "InService" and not again:
        raise validation(
            f"The provisioned model can not be updated because its status is {record['status']}."
        )
    if new_name is not None and new_name != throughput.name:
        taken(state, THROUGHPUT, new_name, "The provided provisioned model name is currently in use.")
    model_arn = None if new_model is None else _allowed_model(world, state, throughput, new_model, call)
    if new_name is not None:
        throughput.name = record["provisionedModelName"] = new_name
        state.taken_names.setdefault(THROUGHPUT, set()).add(new_name)
        record["lastModifiedTime"] = now
    if model_arn is not None and (model_arn != record["modelArn"] or again):
        record.update(desiredModelArn=model_arn, status="Updating", lastModifiedTime=now)
        throughput.life = world.new_life(THROUGHPUT, call.operation, throughput.name)
    return {}


def _allowed_model(
    world: World, state: RegionState, throughput: Resource, identifier: str, call: Call
) -> str:
    base = throughput.hidden["base"]
    if ":custom-model/" not in throughput.record["modelArn"] and not throughput.hidden.get("was_custom"):
        raise validation("The model of a Provisioned Throughput on a base model can not be changed.")
    custom = state.find(MODEL, identifier)
    if custom is not None:
        if custom.hidden["base"] != base:
            raise validation("The desired model must be customized from the same base model.")
        throughput.hidden["was_custom"] = True
        return custom.arn
    model = world.catalogue.model(identifier, call.region)
    if model is None or model.id != base:
        raise validation(
            "The desired model must be the base model of the Provisioned Throughput or a model customized from it."
        )
    throughput.hidden["was_custom"] = True
    return model.arn(call.region)


@operation("DeleteProvisionedModelThroughput")
def delete(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    throughput = need(world, state, THROUGHPUT, call["provisionedModelId"], "provisioned model")
    now = world.clock.now()
    advance(world, state, throughput, now, 0)
    if throughput.record["status"] == "Updating":
        raise conflict("The provisioned model can not be deleted while it is being updated.")
    expires = throughput.record.get("commitmentExpirationTime")
    if expires is not None and now < expires:
        raise conflict("The provisioned model can not be deleted before its commitment term is complete.")
    state.remove(throughput)
    world.meter.stop(throughput.arn, now)
    return {}
