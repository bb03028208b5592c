"""The runtime: Converse, InvokeModel and their streams, CountTokens; each call is billed and logged.

A model identifier becomes a `Host` (who answers, under which family, billed how); the four calls share everything else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from airflow_distill.sandbox.brains import Brain
from airflow_distill.sandbox.catalogue import BaseModel, catalogue
from airflow_distill.sandbox.clock import moment_of
from airflow_distill.sandbox.failures import ServiceError, not_found, validation
from airflow_distill.sandbox.invocation_logs import Entry, destination, log_record
from airflow_distill.sandbox.operations import operation
from airflow_distill.sandbox.operations.deployments import advance as advance_deployment
from airflow_distill.sandbox.operations.provisioned_throughput import advance as advance_throughput
from airflow_distill.sandbox.protocol import pieces
from airflow_distill.sandbox.store import DEPLOYMENT, THROUGHPUT, RegionState, Resource
from airflow_distill.sandbox.tokens import clip_tokens, count_tokens
from airflow_distill.sandbox.training_data import prompt_of, split_template
from airflow_distill.sandbox.world import Call, World

LOGGED_OPERATIONS = ("Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream")


@dataclass(frozen=True, slots=True)
class Host:
    """Who answers a call."""

    identifier: str
    base: BaseModel
    brain: Brain
    billing: str
    resource: str = ""
    inference_region: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """An answer with its cost."""

    text: str
    stop: str
    tokens_in: int
    tokens_out: int

    @property
    def latency_ms(self) -> int:
        return 40 + 6 * self.tokens_out + self.tokens_in // 20


# --- who answers --------------------------------------------------------------------------------------------------


def host_of(world: World, state: RegionState, region: str, identifier: str) -> Host:
    """The model behind an identifier of the runtime."""
    with world.store.lock:
        return _host_of(world, state, region, identifier)


def _host_of(world: World, state: RegionState, region: str, identifier: str) -> Host:
    if ":provisioned-model/" in identifier:
        return _throughput_host(world, state, identifier)
    if ":custom-model-deployment/" in identifier:
        return _deployment_host(world, state, identifier)
    if ":custom-model/" in identifier:
        raise validation("The provided model identifier is invalid.")
    profile = catalogue().profile(identifier, region)
    if profile is None and ":inference-profile/" in identifier:
        raise validation("The provided model identifier is invalid.")
    model_id = profile.model if profile else identifier
    model = catalogue().models.get(model_id.rsplit("/", 1)[-1] if model_id.startswith("arn:") else model_id)
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
    return base_brain(world, catalogue().models[arn.split(":foundation-model/", 1)[1]])


def _throughput_host(world: World, state: RegionState, identifier: str) -> Host:
    throughput = state.find(THROUGHPUT, identifier)
    if throughput is None:
        raise not_found("The provided provisioned model ARN could not be found.")
    advance_throughput(world, state, throughput, world.clock.now(), 0)
    if throughput.record["status"] == "Creating":
        raise ServiceError(
            "ModelNotReadyException", "Model is not ready for inference. Wait and try again.", 429
        )
    if throughput.record["status"] == "Failed":
        raise validation("The provisioned model has failed and can not be used.")
    return _hosted(world, throughput, throughput.record["modelArn"], "provisioned")


def _deployment_host(world: World, state: RegionState, identifier: str) -> Host:
    deployment = state.find(DEPLOYMENT, identifier)
    if deployment is None:
        raise not_found("The provided custom model deployment ARN could not be found.")
    advance_deployment(world, state, deployment, world.clock.now(), 0)
    if deployment.record["status"] == "Creating":
        raise ServiceError(
            "ModelNotReadyException", "Model is not ready for inference. Wait and try again.", 429
        )
    if deployment.record["status"] == "Failed":
        raise validation("The custom model deployment has failed and can not be used.")
    return _hosted(world, deployment, deployment.record["modelArn"], "deployment")


def _hosted(world: World, resource: Resource, model_arn: str, billing: str) -> Host:
    base = catalogue().models[resource.hidden["base"]]
    return Host(resource.arn, base, brain_of_arn(world, model_arn), billing, resource.arn)


# --- what it costs and whether it may -----------------------------------------------------------------------------


def _check_rate(world: World, host: Host, said: Said) -> None:
    world.rates.model_call(
        world.quotas,
        host.resource or host.base.id,
        said.tokens_in + said.tokens_out,
        deployment=host.billing == "deployment",
    )


def _bill(world: World, host: Host, said: Said) -> None:
    if host.billing == "provisioned":
        return
    prefix = "custom-model-" if host.billing == "deployment" else ""
    purpose = "deployment" if host.billing == "deployment" else "invocation"
    world.meter.use(f"{prefix}input-tokens", host.base.id, said.tokens_in, purpose)
    world.meter.use(f"{prefix}output-tokens", host.base.id, said.tokens_out, purpose)


def say(world: World, host: Host, prompt: str, system: str, limit: int | None) -> Said:
    """Let the host answer."""
    text = host.brain.answer(prompt, system)
    stop = "end_turn"
    if limit is not None:
        text, clipped = clip_tokens(text, limit)
        stop = "max_tokens" if clipped else stop
    return Said(text, stop, count_tokens(prompt) + count_tokens(system), count_tokens(text))


# --- logging ------------------------------------------------------------------------------------------------------


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


# --- Converse -----------------------------------------------------------------------------------------------------


def _converse_input(call: Call) -> dict[str, Any]:
    """The request body as it came, without the metadata, which the record carries by itself."""
    body: dict[str, Any] = json.loads(call.body or b"{}")
    body.pop("requestMetadata", None)
    return body


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
    limit = (call.get("inferenceConfig") or {}).get("maxTokens")
    said = say(world, host, prompt, system, limit)
    _check_rate(world, host, said)
    _bill(world, host, said)
    return host, said


def _block_texts(content: list[Mapping[str, Any]]) -> list[str]:
    return [block["text"] for block in content if isinstance(block.get("text"), str)]


def _usage(said: Said) -> dict[str, int]:
    return {
        "inputTokens": said.tokens_in,
        "outputTokens": said.tokens_out,
        "totalTokens": said.tokens_in + said.tokens_out,
    }


def converse_body(said: Said) -> dict[str, Any]:
    """The body of a Converse answer."""
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": said.text}]}},
        "stopReason": said.stop,
        "usage": _usage(said),
        "metrics": {"latencyMs": said.latency_ms},
    }


def converse_events(said: Said) -> list[dict[str, Any]]:
    """The events of a ConverseStream answer."""
    return [
        {"messageStart": {"role": "assistant"}},
        *(
            {"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}}
            for piece in pieces(said.text)
        ),
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": said.stop}},
        {"metadata": {"usage": _usage(said), "metrics": {"latencyMs": said.latency_ms}}},
    ]


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


# --- InvokeModel --------------------------------------------------------------------------------------------------


def family_of(model: BaseModel) -> str:
    for start, family in (("anthropic.", "anthropic"), ("meta.", "llama"), ("mistral.", "mistral")):
        if model.id.startswith(start):
            return family
    return "nova"


def invoke_input(family: str, body: Any) -> tuple[str, str, int | None]:
    """System prompt, user words and token limit of a native request body; the family's own rules apply."""
    if not isinstance(body, dict):
        raise validation("Malformed input request, please reformat your input and try again.")
    if family in ("llama", "mistral"):
        limit_name = "max_gen_len" if family == "llama" else "max_tokens"
        if not isinstance(body.get("prompt"), str) or not body["prompt"].strip():
            raise validation("Malformed input request: #: required key [prompt] not found")
        system, prompt = split_template(body["prompt"])
        return system, prompt, _limit(body, limit_name)
    if family == "anthropic" and isinstance(body.get("prompt"), str):
        system, prompt = split_template(body["prompt"])
        return system, prompt, _limit(body, "max_tokens_to_sample")
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise validation("Malformed input request: #: required key [messages] not found")
    if family == "anthropic":
        for name in ("anthropic_version", "max_tokens"):
            if name not in body:
                raise validation(f"{name}: Field required")
    users = [m for m in body["messages"] if isinstance(m, dict) and m.get("role") == "user"]
    asked = prompt_of({**body, "messages": users[-1:]})
    if asked is None:
        raise validation("Malformed input request: no text in the last user message")
    limits = body if family == "anthropic" else body.get("inferenceConfig") or {}
    return asked[0], asked[1], _limit(limits, "max_tokens" if family == "anthropic" else "maxTokens")


def _limit(source: Any, name: str) -> int | None:
    value = source.get(name) if isinstance(source, dict) else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise validation(f"Malformed input request: {name} must be a positive integer")
    return value


def invoke_output(family: str, said: Said, legacy: bool) -> dict[str, Any]:
    """The native answer body of a family."""
    if family == "llama":
        return {
            "generation": said.text,
            "prompt_token_count": said.tokens_in,
            "generation_token_count": said.tokens_out,
            "stop_reason": "length" if said.stop == "max_tokens" else "stop",
        }
    if family == "mistral":
        return {
            "outputs": [{"text": said.text, "stop_reason": "length" if said.stop == "max_tokens" else "stop"}]
        }
    if family == "anthropic" and legacy:
        return {
            "type": "completion",
            "completion": said.text,
            "stop_reason": "stop_sequence",
            "stop": "\n\nHuman:",
        }
    if family == "anthropic":
        return {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": said.text}],
            "stop_reason": said.stop,
            "stop_sequence": None,
            "usage": {"input_tokens": said.tokens_in, "output_tokens": said.tokens_out},
        }
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": said.text}]}},
        "stopReason": said.stop,
        "usage": _usage(said),
    }


def invoke_chunks(family: str, said: Said, legacy: bool) -> list[dict[str, Any]]:
    """The native chunks of a streamed answer; the last one carries the invocation metrics."""
    metrics = {
        "amazon-bedrock-invocationMetrics": {
            "inputTokenCount": said.tokens_in,
            "outputTokenCount": said.tokens_out,
            "invocationLatency": said.latency_ms,
            "firstByteLatency": min(said.latency_ms, 40),
        }
    }
    chunks: list[dict[str, Any]]
    if family == "llama":
        chunks = [{"generation": piece, "stop_reason": None} for piece in pieces(said.text)]
        chunks.append({"generation": "", "stop_reason": "length" if said.stop == "max_tokens" else "stop"})
    elif family == "mistral":
        chunks = [{"outputs": [{"text": piece, "stop_reason": None}]} for piece in pieces(said.text)]
    elif family == "anthropic" and legacy:
        chunks = [
            {"type": "completion", "completion": piece, "stop_reason": None} for piece in pieces(said.text)
        ]
    elif family == "anthropic":
        chunks = [
            {
                "type": "message_start",
                "message": {"role": "assistant", "content": [], "usage": {"input_tokens": said.tokens_in}},
            },
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
                for piece in pieces(said.text)
            ),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": said.stop}, "usage": {"output_tokens": said.tokens_out}},
            {"type": "message_stop"},
        ]  # fmt: skip
    else:
        chunks = [
            {"messageStart": {"role": "assistant"}},
            *(
                {"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}}
                for piece in pieces(said.text)
            ),
            {"contentBlockStop": {"contentBlockIndex": 0}},
            {"messageStop": {"stopReason": said.stop}},
            {"metadata": {"usage": _usage(said)}},
        ]
    chunks[-1] = {**chunks[-1], **metrics}
    return chunks


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
    said = say(world, host, prompt, system, limit)
    _check_rate(world, host, said)
    _bill(world, host, said)
    return host, said, body, family, isinstance(body.get("prompt"), str)


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


# --- traffic played from outside ----------------------------------------------------------------------------------


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


def native_request(operation_name: str, family: str, prompt: str, system: str) -> dict[str, Any]:
    """A request body as an application would have sent it."""
    if operation_name.startswith("Converse"):
        body: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": prompt}]}]}
        if system:
            body["system"] = [{"text": system}]
        body["inferenceConfig"] = {"maxTokens": 512, "temperature": 0.0}
        return body
    if family == "llama":
        head = f"<|start_header_id|>system<|end_header_id|>\n\n{system}<|eot_id|>" if system else ""
        return {
            "prompt": f"<|begin_of_text|>{head}<|start_header_id|>user<|end_header_id|>\n\n{prompt}<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "max_gen_len": 512,
        }
    if family == "mistral":
        return {"prompt": f"<s>[INST]{system}\n{prompt}[/INST]", "max_tokens": 512}
    if family == "anthropic":
        request: dict[str, Any] = {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 512,
            "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}],
        }
        if system:
            request["system"] = system
        return request
    nova: dict[str, Any] = {
        "schemaVersion": "messages-v1",
        "messages": [{"role": "user", "content": [{"text": prompt}]}],
        "inferenceConfig": {"maxTokens": 512},
    }
    if system:
        nova["system"] = [{"text": system}]
    return nova


def request_id(seed: str) -> str:
    """A UUID-shaped id made from a seed."""
    mark = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{mark[:8]}-{mark[8:12]}-4{mark[13:16]}-a{mark[17:20]}-{mark[20:32]}"
