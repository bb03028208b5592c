"""Foundation models: what there is to choose from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_distill.sandbox.catalogue import BaseModel
from airflow_distill.sandbox.failures import not_found
from airflow_distill.sandbox.operations import operation
from airflow_distill.sandbox.store import RegionState
from airflow_distill.sandbox.world import Call, World

# The model's enum knows no more than these; a model that is reached through profiles only shows no inference type.
_INFERENCE_TYPES = ("ON_DEMAND", "PROVISIONED")
RELEASED = datetime(2024, 12, 3, tzinfo=UTC)


@operation("ListFoundationModels")
def list_foundation_models(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    now = world.clock.now()
    shown = []
    for model in world.catalogue.models.values():
        if call.region not in model.regions or model.status(now) == "ENDED":
            continue
        if call.get("byProvider") and model.provider.casefold() != call["byProvider"].casefold():
            continue
        if call.get("byCustomizationType") and call["byCustomizationType"] not in model.customizations:
            continue
        if call.get("byOutputModality", "TEXT") != "TEXT":
            continue
        if call.get("byInferenceType") and call["byInferenceType"] not in model.inference:
            continue
        shown.append(_details(model, call.region, now))
    return {"modelSummaries": shown}


@operation("GetFoundationModel")
def get_foundation_model(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    model = world.catalogue.model(call["modelIdentifier"], call.region)
    now = world.clock.now()
    if model is None or model.status(now) == "ENDED":
        raise not_found("Could not find the model for the provided model identifier.")
    return {"modelDetails": _details(model, call.region, now)}


@operation("GetFoundationModelAvailability")
def get_availability(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    model = world.catalogue.model(call["modelId"], call.region)
    if model is None:
        if call["modelId"] not in world.catalogue.models:
            raise not_found("Could not find the model for the provided model identifier.")
        available = "NOT_AVAILABLE"
    else:
        available = "AVAILABLE"
    return {
        "modelId": call["modelId"],
        "agreementAvailability": {"status": available},
        "authorizationStatus": "AUTHORIZED",
        "entitlementAvailability": available,
        "regionAvailability": available,
    }


def _details(model: BaseModel, region: str, now: datetime) -> dict[str, Any]:
    lifecycle: dict[str, Any] = {
        "status": "LEGACY" if model.status(now) == "LEGACY" else "ACTIVE",
        "startOfLifeTime": RELEASED,
    }
    if model.legacy_time is not None:
        lifecycle["legacyTime"] = model.legacy_time
    if model.end_of_life is not None:
        lifecycle["endOfLifeTime"] = model.end_of_life
    return {
        "modelArn": model.arn(region),
        "modelId": model.id,
        "modelName": model.name,
        "providerName": model.provider,
        "inputModalities": list(model.input_modalities),
        "outputModalities": ["TEXT"],
        "responseStreamingSupported": model.streaming,
        "customizationsSupported": list(model.customizations),
        "inferenceTypesSupported": [kind for kind in model.inference if kind in _INFERENCE_TYPES],
        "modelLifecycle": lifecycle,
    }
