"""Inference profiles: those of the system, and application profiles that an account makes to cut its bill."""

from __future__ import annotations

from typing import Any

from airflow_distill.sandbox.catalogue import Profile
from airflow_distill.sandbox.failures import not_found, validation
from airflow_distill.sandbox.lifecycle import Life, Pace
from airflow_distill.sandbox.operations import operation
from airflow_distill.sandbox.operations.checks import page, replayed, tags_of, taken
from airflow_distill.sandbox.operations.creation import new_arn
from airflow_distill.sandbox.operations.foundation_models import RELEASED
from airflow_distill.sandbox.store import PROFILE, RegionState, Replay, Resource
from airflow_distill.sandbox.world import Call, World

_MARK = ":application-inference-profile/"


def application_profile(state: RegionState, identifier: str) -> Resource | None:
    """An application profile by ARN or id."""
    found = state.find(PROFILE, identifier)
    if found is None and ":" not in identifier:
        found = next(
            (each for each in state.of_kind(PROFILE) if each.record["inferenceProfileId"] == identifier), None
        )
    return found


@operation("CreateInferenceProfile")
def create(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    again = replayed(world, state, call)
    if again is not None:
        return {"inferenceProfileArn": again, "status": "ACTIVE"}
    name, source = call["inferenceProfileName"], str(call["modelSource"].get("copyFrom") or "")
    taken(state, PROFILE, name, "The provided inference profile name is currently in use.")
    tags = tags_of(world, call, "tags")
    system = world.catalogue.profile(source, call.region) if ":inference-profile/" in source else None
    model = world.catalogue.model(source, call.region) if ":foundation-model/" in source else None
    if system is None and model is None:
        raise validation(
            "The provided modelSource is invalid: give the ARN of a model or of a system inference profile."
        )
    now = world.clock.now()
    made = new_arn(world, call, "application-inference-profile", name)
    behind = [model.arn(call.region)] if model is not None else _models_of(system)
    record = {
        "inferenceProfileName": name,
        "description": call.get("description"),
        "createdAt": now,
        "updatedAt": now,
        "inferenceProfileArn": made,
        "models": [{"modelArn": arn} for arn in behind],
        "inferenceProfileId": made.rsplit("/", 1)[1],
        "status": "ACTIVE",
        "type": "APPLICATION",
    }
    profile = Resource(
        kind=PROFILE,
        arn=made,
        name=name,
        region=call.region,
        created=now,
        serial=world.store.next_serial(),
        life=Life(Pace(), now),
        record=record,
        hidden={"source": source},
    )
    state.add(profile)
    state.tags[made] = tags
    if call.get("clientRequestToken") is not None:
        state.replays[(call.operation, call["clientRequestToken"])] = Replay(call.digest(), made)
    return {"inferenceProfileArn": made, "status": "ACTIVE"}


@operation("GetInferenceProfile")
def get(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    identifier = call["inferenceProfileIdentifier"]
    own = application_profile(state, identifier)
    if own is not None:
        return own.record
    profile = None if _MARK in identifier else world.catalogue.profile(identifier, call.region)
    if profile is None:
        raise not_found("Could not find the inference profile for the provided identifier.")
    return _shown(profile, call.region)


@operation("DeleteInferenceProfile")
def delete(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    own = application_profile(state, call["inferenceProfileIdentifier"])
    if own is None:
        raise not_found("Could not find the inference profile for the provided identifier.")
    state.remove(own)
    return {}


@operation("ListInferenceProfiles")
def list_inference_profiles(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    if call.get("typeEquals") == "APPLICATION":
        return page(
            world, call, state.of_kind(PROFILE), lambda each: each.record, "inferenceProfileSummaries"
        )
    found = [_shown(p, call.region) for p in world.catalogue.profiles.values() if call.region in p.regions]
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


def _models_of(profile: Profile | None) -> list[str]:
    if profile is None:
        return []
    return [f"arn:aws:bedrock:{region}::foundation-model/{profile.model}" for region in profile.regions]


def _shown(profile: Profile, region: str) -> dict[str, Any]:
    return {
        "inferenceProfileName": profile.name,
        "description": f"Routes requests to {profile.name} in {len(profile.regions)} Regions",
        "createdAt": RELEASED,
        "updatedAt": RELEASED,
        "inferenceProfileArn": profile.arn(region),
        "models": [{"modelArn": arn} for arn in _models_of(profile)],
        "inferenceProfileId": profile.id,
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }
