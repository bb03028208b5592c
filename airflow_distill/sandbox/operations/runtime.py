"""The runtime: Converse, InvokeModel and their streams, CountTokens; each call is billed and logged.

The calls differ in their bodies (`bodies.py`) and share who answers (`hosts.py`) and how they are recorded
(`call_records.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from airflow_distill.sandbox.bodies import (
    Said,
    converse_body,
    converse_events,
    family_of,
    invoke_chunks,
    invoke_input,
    invoke_output,
)
from airflow_distill.sandbox.catalogue import BaseModel
from airflow_distill.sandbox.failures import validation
from airflow_distill.sandbox.operations import operation
from airflow_distill.sandbox.operations.call_records import log_call, metadata_of
from airflow_distill.sandbox.operations.hosts import Host, host_of, say
from airflow_distill.sandbox.store import RegionState
from airflow_distill.sandbox.tokens import count_tokens
from airflow_distill.sandbox.world import Call, World


@operation("Converse")
def converse(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    host, said = _converse(world, state, call)
    body = converse_body(said)
    log_call(
        world,
        state,
        call,
        input_body=_converse_input(call),
        output_body=body,
        said=said,
        inference_region=host.inference_region,
    )
    return body


@operation("ConverseStream")
def converse_stream(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    host, said = _converse(world, state, call)
    events = converse_events(said)
    log_call(
        world,
        state,
        call,
        input_body=_converse_input(call),
        output_body=events if world.options.streams_logged_as == "list" else converse_body(said),
        said=said,
        inference_region=host.inference_region,
    )
    return {"stream": events}


@operation("InvokeModel")
def invoke_model(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    host, said, body, family, legacy = _invoke(world, state, call)
    output = invoke_output(family, said, legacy)
    log_call(
        world,
        state,
        call,
        input_body=body,
        output_body=output,
        said=said,
        inference_region=host.inference_region,
    )
    return {"body": json.dumps(output, ensure_ascii=False).encode(), "contentType": "application/json"}


@operation("InvokeModelWithResponseStream")
def invoke_model_stream(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    host, said, body, family, legacy = _invoke(world, state, call)
    chunks = invoke_chunks(family, said, legacy)
    log_call(
        world,
        state,
        call,
        input_body=body,
        output_body=chunks,
        said=said,
        inference_region=host.inference_region,
    )
    return {
        "body": [{"chunk": {"bytes": json.dumps(chunk, ensure_ascii=False).encode()}} for chunk in chunks],
        "contentType": "application/json",
    }


@operation("CountTokens")
def count(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    host = host_of(world, state, call.region, call["modelId"])
    given = call["input"]
    if "converse" in given:
        texts = [t for m in given["converse"].get("messages") or [] for t in _block_texts(m["content"])]
        texts += [block["text"] for block in given["converse"].get("system") or [] if "text" in block]
    else:
        try:
            body = json.loads(given["invokeModel"]["body"])
        except ValueError:
            raise validation("Malformed input request, please reformat your input and try again.") from None
        system, prompt, _ = invoke_input(family_of(host.base), body)
        texts = [system, prompt]
    return {"inputTokens": sum(map(count_tokens, texts))}


def _converse(world: World, state: RegionState, call: Call) -> tuple[Host, Said]:
    metadata_of(call)
    host = host_of(world, state, call.region, call["modelId"])
    messages = call.get("messages") or []
    if not messages:
        raise validation("The messages field must not be empty.")
    if messages[0]["role"] != "user":
        raise validation("A conversation must start with a user message. Try again with a conversation that starts "
                         "with a user message.")  # fmt: skip
    if messages[-1]["role"] != "user":
        raise validation("The conversation must end with a user message.")
    for before, after in pairwise(messages):
        if before["role"] == after["role"]:
            raise validation("Roles must alternate between user and assistant.")
    asked = ["\n".join(_block_texts(m["content"])) for m in messages if m["role"] == "user"]
    if not any(text.strip() for text in asked):
        raise validation("The text field in a content block is blank. Add text and try again.")
    system = "\n".join(block["text"] for block in call.get("system") or [] if "text" in block)
    # The teacher knows single questions; a student was taught on whole conversations.
    prompt = asked[-1] if host.billing == "on-demand" else "\n".join(asked)
    config = call.get("inferenceConfig") or {}
    refuse_parameters(host.base, config)
    limit = config.get("maxTokens")
    said = say(world, host, prompt, system, limit)
    _check_rate(world, host, said)
    _bill(world, host, said)
    _measure(world, call, said)
    return host, said


def refuse_parameters(base: BaseModel, config: Mapping[str, Any]) -> None:
    """Say no to what a model does not take any more, as the models behind Converse were seen to say it."""
    for name in base.refuses:
        if config.get(name) is not None:
            spelt = "top_p" if name == "topP" else name
            raise validation(
                f"The model returned the following errors: `{spelt}` is deprecated for this model."
            )


def _converse_input(call: Call) -> dict[str, Any]:
    """The request body as it came, without the metadata, which the record carries by itself."""
    body: dict[str, Any] = json.loads(call.body or b"{}")
    body.pop("requestMetadata", None)
    return body


def _block_texts(content: list[Mapping[str, Any]]) -> list[str]:
    return [block["text"] for block in content if isinstance(block.get("text"), str)]


def _invoke(world: World, state: RegionState, call: Call) -> tuple[Host, Said, Any, str, bool]:
    metadata_of(call)
    host = host_of(world, state, call.region, call["modelId"])
    if call.get("contentType", "application/json").split(";")[0].strip() not in (
        "application/json",
        "*/*",
        "",
    ):
        raise validation("The provided content type is not supported for this model.")
    try:
        body = json.loads(call.get("body") or b"")
    except ValueError:
        raise validation("Malformed input request, please reformat your input and try again.") from None
    family = family_of(host.base)
    system, prompt, limit = invoke_input(family, body)
    refuse_parameters(host.base, {**body, "topP": body.get("top_p")})
    said = say(world, host, prompt, system, limit)
    _check_rate(world, host, said)
    _bill(world, host, said)
    _measure(world, call, said)
    return host, said, body, family, isinstance(body.get("prompt"), str)


def _check_rate(world: World, host: Host, said: Said) -> None:
    world.rates.model_call(
        world.quotas,
        host.resource or host.base.id,
        said.tokens_in + said.tokens_out,
        deployment_limit=(
            world.catalogue.requests_per_minute(host.base.id) if host.billing == "deployment" else None
        ),
    )


def _bill(world: World, host: Host, said: Said) -> None:
    if host.billing == "provisioned":
        return
    prefix = "custom-model-" if host.billing == "deployment" else ""
    purpose = "deployment" if host.billing == "deployment" else "invocation"
    world.meter.use(f"{prefix}input-tokens", host.base.id, said.tokens_in, purpose)
    world.meter.use(f"{prefix}output-tokens", host.base.id, said.tokens_out, purpose)


def _measure(world: World, call: Call, said: Said) -> None:
    """Write what CloudWatch counts of a call."""
    world.metrics.count(
        call.region,
        call["modelId"],
        world.clock.now(),
        Invocations=1,
        InputTokenCount=said.tokens_in,
        OutputTokenCount=said.tokens_out,
        InvocationLatency=said.latency_ms,
    )
