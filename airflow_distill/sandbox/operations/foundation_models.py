"""Foundation models and system inference profiles: what there is to choose from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_distill.sandbox.catalogue import BaseModel, Profile
from airflow_distill.sandbox.failures import not_found, validation
from airflow_distill.sandbox.operations import operation
from airflow_distill.sandbox.store import RegionState
from airflow_distill.sandbox.world import Call, World

# The model's enum knows no more than these; a model that is reached through profiles only shows no inference type.
_INFERENCE_TYPES = ("ON_DEMAND", "PROVISIONED")
_RELEASED = datetime(2024, 12, 3, tzinfo=UTC)


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


@operation("ListInferenceProfiles")
def list_inference_profiles(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    if call.get("typeEquals") == "APPLICATION":
        return {"inferenceProfileSummaries": []}
    found = [_profile(p, call.region) for p in world.catalogue.profiles.values() if call.region in p.regions]
    start = 0
    if call.get("nextToken"):
        ids = [p["inferenceProfileId"] for p in found]
        if call["nextToken"] not in ids:
            raise validation("The provided nextToken is invalid.")
        start = ids.index(call["nextToken"])
    size = call.get("maxResults") or 100
    answer: dict[str, Any] = {"inferenceProfileSummaries": found[start : start + size]}
    if len(found) > start + size:
        answer["nextToken"] = found[start + size]["inferenceProfileId"]
    return answer


@operation("GetInferenceProfile")
def get_inference_profile(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    profile = world.catalogue.profile(call["inferenceProfileIdentifier"], call.region)
    if profile is None:
        raise not_found("Could not find the inference profile for the provided identifier.")
    return _profile(profile, call.region)


def _details(model: BaseModel, region: str, now: datetime) -> dict[str, Any]:
    lifecycle: dict[str, Any] = {
        "status": "LEGACY" if model.status(now) == "LEGACY" else "ACTIVE",
        "startOfLifeTime": _RELEASED,
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


def _profile(profile: Profile, region: str) -> dict[str, Any]:
    return {
        "inferenceProfileName": profile.name,
        "description": f"Routes requests to {profile.name} in {len(profile.regions)} Regions",
        "createdAt": _RELEASED,
        "updatedAt": _RELEASED,
        "inferenceProfileArn": profile.arn(region),
        "models": [
            {"modelArn": f"arn:aws:bedrock:{r}::foundation-model/{profile.model}"} for r in profile.regions
        ],
        "inferenceProfileId": profile.id,
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }
