"""The invocation record of a call that was answered, that was refused, or that is played as if it had been made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from airflow_distill.sandbox.bodies import (
    Said,
    converse_body,
    converse_events,
    family_of,
    invoke_chunks,
    invoke_output,
    native_request,
)
from airflow_distill.sandbox.clock import moment_of
from airflow_distill.sandbox.failures import validation
from airflow_distill.sandbox.invocation_logs import Entry, destination, log_record
from airflow_distill.sandbox.operations.hosts import host_of
from airflow_distill.sandbox.store import RegionState
from airflow_distill.sandbox.tokens import count_tokens
from airflow_distill.sandbox.world import Call, World

LOGGED_OPERATIONS = ("Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream")


def log_call(
    world: World,
    state: RegionState,
    call: Call,
    *,
    input_body: Any,
    output_body: Any = None,
    said: Said | None = None,
    error_code: str | None = None,
    inference_region: str | None = None,
) -> None:
    """Write one invocation record, when logging to S3 is on."""
    target = destination(state.logging_config)
    if target is None or state.logging_config is None:
        return
    moment = world.clock.now()
    record = log_record(
        moment=moment,
        region=call.region,
        request_id=call.request_id,
        operation=call.operation,
        model_id=call["modelId"],
        caller=call.caller,
        text_enabled=bool(state.logging_config.get("textDataDeliveryEnabled", True)),
        input_body=input_body,
        output_body=output_body,
        input_tokens=said.tokens_in if said else None,
        output_tokens=said.tokens_out if said else None,
        metadata=metadata_of(call),
        error_code=error_code,
        inference_region=inference_region,
    )
    world.logbook.write(Entry(moment, call.region, target, record))


def log_failure(world: World, state: RegionState, call: Call, error_code: str) -> None:
    """The record of a call that was refused."""
    if call.operation not in LOGGED_OPERATIONS or state.logging_config is None:
        return
    try:
        body = json.loads(call.body or b"{}")
    except ValueError:
        body = None
    if isinstance(body, dict):
        body.pop("requestMetadata", None)
    log_call(world, state, call, input_body=body, error_code=error_code)


def metadata_of(call: Call) -> dict[str, str] | None:
    """The request metadata of a call, from the body (Converse) or the header (InvokeModel)."""
    given = call.get("requestMetadata")
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            given = None
        if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
            raise validation("The request metadata must be a JSON object of strings.")
        if not 1 <= len(given) <= 16:
            raise validation("The request metadata must have 1 to 16 entries.")
        for key, value in given.items():
            if not 1 <= len(key) <= 256 or len(value) > 256:
                raise validation("A key or value of the request metadata is too long.")
    return given or None


def play(world: World, item: Mapping[str, Any], defaults: Mapping[str, Any], number: int) -> None:
    """Write the record of one call as if an application had made it, at any time, without billing it."""
    spec = {**defaults, **item}
    region = str(spec.get("region", "us-east-1"))
    state = world.store.region(region)
    target = destination(state.logging_config)
    if target is None or state.logging_config is None:
        raise validation("Invocation logging to S3 is off in " + region)
    moment = world.clock.now()
    if spec.get("timestamp"):
        moment = moment_of(spec["timestamp"])
    identifier, operation_name = str(spec["model_id"]), str(spec.get("operation", "Converse"))
    prompt, system = str(spec["prompt"]), str(spec.get("system") or "")
    host = host_of(world, state, region, identifier)
    text = spec.get("completion")
    answer = host.brain.answer(prompt, system) if text is None else str(text)
    said = Said(
        answer,
        str(spec.get("stop_reason", "end_turn")),
        count_tokens(prompt) + count_tokens(system),
        count_tokens(answer),
    )
    family = family_of(host.base)
    input_body = native_request(operation_name, family, prompt, system)
    output: Any
    if operation_name == "ConverseStream" and world.options.streams_logged_as == "list":
        output = converse_events(said)
    elif operation_name.startswith("Converse"):
        output = converse_body(said)
    elif operation_name == "InvokeModel":
        output = invoke_output(family, said, False)
    else:
        output = invoke_chunks(family, said, False)
    error = spec.get("error")
    record = log_record(
        moment=moment,
        region=region,
        request_id=str(spec.get("request_id") or request_id(f"play/{moment.isoformat()}/{number}/{prompt}")),
        operation=operation_name,
        model_id=identifier,
        caller=str(spec.get("caller", "arn:aws:iam::123456789012:user/application")),
        text_enabled=bool(state.logging_config.get("textDataDeliveryEnabled", True)),
        input_body=input_body,
        output_body=output,
        input_tokens=said.tokens_in,
        output_tokens=said.tokens_out,
        metadata=spec.get("metadata"),
        error_code=None if error is None else str(error),
        inference_region=host.inference_region,
    )
    world.logbook.write(Entry(moment, region, target, record))


def request_id(seed: str) -> str:
    """A UUID-shaped id made from a seed."""
    mark = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{mark[:8]}-{mark[8:12]}-4{mark[13:16]}-a{mark[17:20]}-{mark[20:32]}"
