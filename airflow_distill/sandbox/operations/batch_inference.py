"""Batch inference jobs: a file of requests in, a file of answers out, at half the price."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airflow_distill.sandbox.bodies import converse_body, family_of, invoke_input, invoke_output
from airflow_distill.sandbox.brains import Brain
from airflow_distill.sandbox.catalogue import BaseModel
from airflow_distill.sandbox.failures import ServiceError, conflict, validation
from airflow_distill.sandbox.neighbours import Location
from airflow_distill.sandbox.operations import advances, operation
from airflow_distill.sandbox.operations.checks import (
    contains,
    created_within,
    key_problem,
    need,
    page,
    read_problem,
    replayed,
    role_is_trusted,
    tags_of,
    write_problem,
)
from airflow_distill.sandbox.operations.creation import add_created, new_arn
from airflow_distill.sandbox.operations.custom_models import settle_jobs
from airflow_distill.sandbox.operations.hosts import Host, host_of, say
from airflow_distill.sandbox.store import BATCH, RegionState, Resource
from airflow_distill.sandbox.training_data import prompt_of
from airflow_distill.sandbox.world import Call, World

_PRICE_SHARE = 0.5
_STEPS = (("Validating", 0.1), ("Scheduled", 0.2), ("InProgress", 0.3), ("Completed", 1.0))
RUNNING = ("Submitted", "Validating", "Scheduled", "InProgress")


@dataclass(slots=True)
class Outcome:
    """What the background work made."""

    failure: str | None = None
    files: list[tuple[str, bytes]] = field(default_factory=list)
    total: int = 0
    errors: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


@operation("CreateModelInvocationJob")
def create(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    again = replayed(world, state, call)
    if again is not None:
        return {"jobArn": again}
    settle_jobs(world, state)
    host = _host(world, state, call)
    if state.find(BATCH, call["jobName"]) is not None:
        raise conflict("The provided job name is currently in use.")
    role_is_trusted(world, call, call["roleArn"])
    tags = tags_of(world, call, "tags")
    if (
        "s3InputDataConfig" not in call["inputDataConfig"]
        or "s3OutputDataConfig" not in call["outputDataConfig"]
    ):
        raise validation("Batch inference reads from and writes to Amazon S3.")
    for config in (
        call["inputDataConfig"]["s3InputDataConfig"],
        call["outputDataConfig"]["s3OutputDataConfig"],
    ):
        bucket = Location.parse(config["s3Uri"]).bucket
        if world.neighbours.bucket_region(bucket) is None:
            raise validation(f"The specified bucket does not exist: {bucket}")
    now = world.clock.now()
    made = new_arn(world, call, "model-invocation-job", call["jobName"])
    hours = call.get("timeoutDurationInHours", 24)
    job = add_created(
        world,
        state,
        call,
        kind=BATCH,
        arn=made,
        name=call["jobName"],
        created=now,
        record={
            "jobArn": made,
            "jobName": call["jobName"],
            "modelId": _shown_model(world, call, host),
            "clientRequestToken": call.get("clientRequestToken"),
            "roleArn": call["roleArn"],
            "status": "Submitted",
            "submitTime": now,
            "lastModifiedTime": now,
            "inputDataConfig": call["inputDataConfig"],
            "outputDataConfig": call["outputDataConfig"],
            "vpcConfig": call.get("vpcConfig"),
            "timeoutDurationInHours": hours,
            "jobExpirationTime": now + timedelta(hours=hours),
            "modelInvocationType": call.get("modelInvocationType", "InvokeModel"),
        },
        hidden={"base": host.base.id},
        tags=tags,
    )
    start(world, state, job)
    return {"jobArn": made}


def _host(world: World, state: RegionState, call: Call) -> Host:
    """The model of a batch job: a base model or a profile; custom models and their hosts are refused."""
    identifier = call["modelId"]
    if any(
        f":{kind}/" in identifier for kind in ("custom-model", "provisioned-model", "custom-model-deployment")
    ):
        raise validation(f"The model {identifier} is not supported for batch inference.")
    return host_of(world, state, call.region, identifier)


def _shown_model(world: World, call: Call, host: Host) -> str:
    """What the job names as its model: a base model by its ARN, also when it was asked by id."""
    profile = world.catalogue.profile(call["modelId"], call.region)
    return str(call["modelId"]) if profile else host.base.arn(call.region)


# --- the work -----------------------------------------------------------------------------------------------------


def start(world: World, state: RegionState, job: Resource) -> None:
    """Begin the background work."""
    record, region, base = dict(job.record), job.region, world.catalogue.models[job.hidden["base"]]
    brain = host_of(world, state, region, record["modelId"]).brain
    world.start_work(job.arn, lambda: _work(world, region, record, base, brain), Outcome)


def _work(world: World, region: str, record: Mapping[str, Any], base: BaseModel, brain: Brain) -> Outcome:
    outcome = Outcome()
    source = Location.parse(record["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])
    target = Location.parse(record["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"])
    keys = [key for key in world.neighbours.keys(source) if key.endswith(".jsonl")]
    output_key = record["outputDataConfig"]["s3OutputDataConfig"].get("s3EncryptionKeyId")
    outcome.failure = (
        read_problem(world, region, record["roleArn"], source, keys)
        or key_problem(world, region, record["roleArn"], output_key, ("GenerateDataKey",))
        or write_problem(world, region, record["roleArn"], target)
    )
    if outcome.failure is not None:
        return outcome
    host = Host(record["modelId"], base, brain, "batch")
    folder = source.key if source.key.endswith("/") else source.key.rsplit("/", 1)[0] + "/"
    for key in keys:
        lines = []
        for number, line in enumerate((world.neighbours.read(source.bucket, key) or b"").split(b"\n"), 1):
            if line.strip():
                lines.append(_answer(world, host, record["modelInvocationType"], line, number, outcome))
        outcome.files.append((f"{key.removeprefix(folder)}.out", ("\n".join(lines) + "\n").encode()))
    least = int(world.quotas["batch-minimum-records"])
    if outcome.total < least:
        outcome.failure = f"The job has {outcome.total} records, fewer than the minimum of {least} required."
        outcome.files.clear()
    return outcome


def _answer(world: World, host: Host, way: str, line: bytes, number: int, outcome: Outcome) -> str:
    outcome.total += 1
    answered: dict[str, Any] = {}
    try:
        record = json.loads(line)
        if not isinstance(record, dict) or not isinstance(record.get("modelInput"), dict):
            raise validation("The record has no modelInput.")
        answered["modelInput"] = record["modelInput"]
        answered["recordId"] = str(record.get("recordId") or f"REC{number:011d}")
        body = record["modelInput"]
        limit: int | None
        if way == "Converse":
            asked = prompt_of(body)
            if asked is None:
                raise validation("The modelInput is not a Converse request with one text prompt.")
            system, prompt = asked
            limit = (body.get("inferenceConfig") or {}).get("maxTokens")
        else:
            system, prompt, limit = invoke_input(family_of(host.base), body)
        said = say(world, host, prompt, system, limit)
        outcome.tokens_in += said.tokens_in
        outcome.tokens_out += said.tokens_out
        answered["modelOutput"] = (
            converse_body(said) if way == "Converse" else invoke_output(family_of(host.base), said, False)
        )
    except (ServiceError, ValueError, RecursionError) as error:
        outcome.errors += 1
        message = error.message if isinstance(error, ServiceError) else "The record is not valid JSON."
        answered.setdefault("recordId", f"REC{number:011d}")
        answered["error"] = {"errorCode": 400, "errorMessage": message}
    return json.dumps(answered, ensure_ascii=False)


# --- life ---------------------------------------------------------------------------------------------------------


@advances(BATCH)
def advance(world: World, state: RegionState, job: Resource, now: datetime, reads: int) -> None:
    record = job.record
    if record["status"] == "Stopping":
        if job.life.fraction(now, reads) >= 1:
            moment = job.life.moment(1.0, now)
            record.update(status="Stopped", endTime=moment, lastModifiedTime=moment)
        return
    if record["status"] not in RUNNING:
        return
    reached = job.life.fraction(now, reads)
    if now >= record["jobExpirationTime"] and reached < 1:
        record.update(status="Expired", endTime=now, lastModifiedTime=now, message="The job has timed out.")
        return
    if reached < _STEPS[1][1]:
        record["status"] = "Validating" if reached >= _STEPS[0][1] else "Submitted"
        return
    outcome: Outcome = world.result(job.arn)
    moment = job.life.moment(reached, now)
    broken = job.life.broken if reached >= 1 else None
    if outcome.failure is not None or broken:
        record.update(status="Failed", endTime=moment, lastModifiedTime=moment)
        record["message"] = (broken or outcome.failure or "")[:2048]
        return
    done = max(0.0, (reached - _STEPS[2][1]) / (1 - _STEPS[2][1]))
    record["status"] = next(status for status, end in reversed(_STEPS) if reached >= end)
    record["totalRecordCount"] = outcome.total
    record["processedRecordCount"] = int(outcome.total * done)
    record["errorRecordCount"] = int(outcome.errors * done)
    record["successRecordCount"] = record["processedRecordCount"] - record["errorRecordCount"]
    record["lastModifiedTime"] = moment
    if record["status"] == "Completed":
        record["endTime"] = moment
        _finish(world, job, outcome)


def _finish(world: World, job: Resource, outcome: Outcome) -> None:
    base = job.hidden["base"]
    world.meter.use("input-tokens", base, outcome.tokens_in * _PRICE_SHARE, "batch inference")
    world.meter.use("output-tokens", base, outcome.tokens_out * _PRICE_SHARE, "batch inference")
    root = Location.parse(job.record["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"]).child(
        job.arn.rsplit("/", 1)[1]
    )
    for name, body in outcome.files:
        world.neighbours.write(root.child(name), body)
    manifest = {
        "totalRecordCount": outcome.total,
        "processedRecordCount": outcome.total,
        "successRecordCount": outcome.total - outcome.errors,
        "errorRecordCount": outcome.errors,
        "inputTokenCount": outcome.tokens_in,
        "outputTokenCount": outcome.tokens_out,
    }
    world.neighbours.write(root.child("manifest.json.out"), json.dumps(manifest).encode())


# --- get, list, stop ----------------------------------------------------------------------------------------------


@operation("GetModelInvocationJob")
def get(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    job = need(world, state, BATCH, call["jobIdentifier"], "batch job")
    world.observe(state, job)
    return job.record


@operation("ListModelInvocationJobs")
def list_jobs(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    world.observe_all(state, BATCH)
    found = [
        job
        for job in state.of_kind(BATCH)
        if created_within(job, call.get("submitTimeAfter"), call.get("submitTimeBefore"))
        and contains(job, call.get("nameContains"))
        and call.get("statusEquals", job.record["status"]) == job.record["status"]
    ]
    return page(world, call, found, _summary, "invocationJobSummaries")


def _summary(job: Resource) -> dict[str, Any]:
    """A list shows no request token, although the model has a member for it."""
    return {name: value for name, value in job.record.items() if name != "clientRequestToken"}


@operation("StopModelInvocationJob")
def stop(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    job = need(world, state, BATCH, call["jobIdentifier"], "batch job")
    now = world.clock.now()
    advance(world, state, job, now, 0)
    if job.record["status"] not in RUNNING:
        raise conflict(f"The job can not be stopped because its status is {job.record['status']}.")
    job.record.update(status="Stopping", lastModifiedTime=now)
    job.life = world.ending_life(BATCH)
    return {}
