"""Who answers a call: a model identifier of the runtime becomes a `Host`, and the host answers.

An identifier is a base model, an inference profile, a provisioned throughput or a custom model deployment; the host knows
what it can do, under which family, and how it is billed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from airflow_distill.sandbox.bodies import Said
from airflow_distill.sandbox.brains import Brain
from airflow_distill.sandbox.catalogue import BaseModel
from airflow_distill.sandbox.failures import ServiceError, not_found, validation
from airflow_distill.sandbox.operations.deployments import advance as advance_deployment
from airflow_distill.sandbox.operations.inference_profiles import application_profile
from airflow_distill.sandbox.operations.provisioned_throughput import advance as advance_throughput
from airflow_distill.sandbox.store import DEPLOYMENT, THROUGHPUT, RegionState, Resource
from airflow_distill.sandbox.tokens import clip_tokens, count_tokens
from airflow_distill.sandbox.world import World


@dataclass(frozen=True, slots=True)
class Host:
    """Who answers a call."""

    identifier: str
    base: BaseModel
    brain: Brain
    billing: str
    resource: str = ""
    inference_region: str | None = None


def host_of(world: World, state: RegionState, region: str, identifier: str) -> Host:
    """The model behind an identifier of the runtime."""
    with world.store.lock:
        return _host_of(world, state, region, identifier)


def _host_of(world: World, state: RegionState, region: str, identifier: str) -> Host:
    for mark, kind in _KINDS.items():
        if mark in identifier:
            return _hosted(world, state, identifier, kind)
    if ":custom-model/" in identifier:
        raise validation("The provided model identifier is invalid.")
    if ":application-inference-profile/" in identifier:
        own = application_profile(state, identifier)
        if own is None:
            raise validation("The provided model identifier is invalid.")
        return replace(_host_of(world, state, region, own.hidden["source"]), identifier=identifier)
    profile = world.catalogue.profile(identifier, region)
    if profile is None and ":inference-profile/" in identifier:
        raise validation("The provided model identifier is invalid.")
    model_id = profile.model if profile else identifier
    model = world.catalogue.models.get(
        model_id.rsplit("/", 1)[-1] if model_id.startswith("arn:") else model_id
    )
    if model is None or (profile is None and region not in model.regions):
        raise validation("The provided model identifier is invalid.")
    if model.status(world.clock.now()) == "ENDED":
        raise not_found(
            "This model version has reached the end of its life. Please refer to the AWS documentation."
        )
    if profile is None and "ON_DEMAND" not in model.inference:
        raise validation(
            f"Invocation of model ID {model.id} with on-demand throughput isn’t supported. Retry your request with "
            "the ID or ARN of an inference profile that contains this model."
        )
    brain = base_brain(world, model)
    return Host(identifier, model, brain, "on-demand", inference_region=region if profile else None)


def base_brain(world: World, model: BaseModel) -> Brain:
    """What an untuned model can do."""
    if model.brain == "teacher":
        return world.teacher_or_judge
    return world.judge_or_untaught if model.brain == "judge" else world.untaught


def brain_of_arn(world: World, arn: str) -> Brain:
    """The brain behind a model ARN, custom or base."""
    student = world.students.get(arn)
    if student is not None:
        return student
    return base_brain(world, world.catalogue.models[arn.split(":foundation-model/", 1)[1]])


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of resource that hosts a model: what it is called, how it comes to be ready, how it is billed."""

    resource: str
    name: str
    advance: Callable[[World, RegionState, Resource, datetime, int], None]
    billing: str


_KINDS = {
    ":provisioned-model/": _Kind(THROUGHPUT, "provisioned model", advance_throughput, "provisioned"),
    ":custom-model-deployment/": _Kind(
        DEPLOYMENT, "custom model deployment", advance_deployment, "deployment"
    ),
}


def _hosted(world: World, state: RegionState, identifier: str, kind: _Kind) -> Host:
    found = state.find(kind.resource, identifier)
    if found is None:
        raise not_found(f"The provided {kind.name} ARN could not be found.")
    kind.advance(world, state, found, world.clock.now(), 0)
    if found.record["status"] == "Creating":
        raise ServiceError(
            "ModelNotReadyException", "Model is not ready for inference. Wait and try again.", 429
        )
    if found.record["status"] == "Failed":
        raise validation(f"The {kind.name} has failed and can not be used.")
    base = world.catalogue.models[found.hidden["base"]]
    return Host(found.arn, base, brain_of_arn(world, found.record["modelArn"]), kind.billing, found.arn)


def say(world: World, host: Host, prompt: str, system: str, limit: int | None) -> Said:
    """Let the host answer; one that reasons first spends the limit on that before it says a word."""
    text = host.brain.answer(prompt, system)
    reasoning, stop = _reasoning(host.base.reasoning_tokens), "end_turn"
    if limit is not None:
        reasoning, clipped = clip_tokens(reasoning, limit)
        text, cut = clip_tokens(text, max(0, limit - count_tokens(reasoning)))
        if clipped or cut:
            stop, text = "max_tokens", "" if clipped else text
    used = count_tokens(reasoning) + count_tokens(text)
    return Said(text, stop, count_tokens(prompt) + count_tokens(system), used, reasoning)


def _reasoning(tokens: int) -> str:
    """What a reasoning model thinks aloud: text of about so many tokens."""
    text = "The request is read once more and the possible answers are compared with it. " * (tokens // 8 + 1)
    return clip_tokens(text.strip(), tokens)[0] if tokens else ""
