"""Customization jobs: distillation first, fine-tuning beside it.

Creating a job checks what the service checks at once; the rest (objects, formats, counts) shows in the job's sub-tasks.
The real work, reading the data and fitting the student, is done in the background and revealed as the job moves on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_distill.sandbox.catalogue import BaseModel
from airflow_distill.sandbox.failures import conflict, unsupported, validation
from airflow_distill.sandbox.neighbours import Location
from airflow_distill.sandbox.operations import advances, operation
from airflow_distill.sandbox.operations.checks import (
    contains,
    created_within,
    key_is_known,
    key_problem,
    may,
    need,
    page,
    read_problem,
    replayed,
    role_is_trusted,
    tags_of,
    taken,
    within_quota,
    write_problem,
)
from airflow_distill.sandbox.operations.creation import add_created, new_arn
from airflow_distill.sandbox.operations.custom_models import add_model
from airflow_distill.sandbox.store import JOB, MODEL, RegionState, Resource
from airflow_distill.sandbox.students import Fit, fit
from airflow_distill.sandbox.tokens import clip_tokens, count_tokens
from airflow_distill.sandbox.training_data import (
    LONG_LINE,
    Lesson,
    Refused,
    is_log_object,
    lesson_from_log,
    passes,
    read_completion_file,
    read_log_object,
    read_prompt_file,
)
from airflow_distill.sandbox.world import Call, World

JOB_NAME_IN_USE = "The provided job name is currently in use."
MODEL_NAME_IN_USE = "The provided custom model name is currently in use."

_PHASES = (("validationDetails", 0.15), ("dataProcessingDetails", 0.5), ("trainingDetails", 1.0))
_MAXIMUM_BYTES = 1 << 30
_EPOCHS = 2
_MODEL_KEY_ACTIONS = ("Decrypt", "GenerateDataKey", "DescribeKey", "CreateGrant")


@dataclass(slots=True)
class Outcome:
    """What the background work found, before any of it is shown."""

    failed_in: str | None = None
    failure: str | None = None
    lessons: int = 0
    refused: list[Refused] = field(default_factory=list)
    used_keys: list[str] = field(default_factory=list)
    teacher_model: str = ""
    teacher_tokens_in: int = 0
    teacher_tokens_out: int = 0
    training_tokens: int = 0
    pairs: list[tuple[str, str]] = field(default_factory=list)
    fitted: Fit | None = None


# --- create -------------------------------------------------------------------------------------------------------


@operation("CreateModelCustomizationJob")
def create_job(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    again = replayed(world, state, call)
    if again is not None:
        return {"jobArn": again}
    kind = call.get("customizationType", "FINE_TUNING")
    if kind not in ("DISTILLATION", "FINE_TUNING"):
        raise unsupported(f"The sandbox runs distillation and fine-tuning, not {kind}.")
    student = _student(world, call, kind)
    if kind == "DISTILLATION":
        _check_distillation(world, call, student)
    else:
        _check_fine_tuning(call)
    taken(state, JOB, call["jobName"], JOB_NAME_IN_USE, for_ever=True)
    _check_model_name(state, call["customModelName"])
    role_is_trusted(world, call, call["roleArn"])
    key_is_known(world, call, "customModelKmsKeyId")
    job_tags = tags_of(world, call, "jobTags")
    tags_of(world, call, "customModelTags")
    running = sum(job.record["status"] in ("InProgress", "Stopping") for job in state.of_kind(JOB))
    within_quota(
        running + 1, world.quotas["customization-jobs-in-progress"], "customization jobs in progress"
    )
    within_quota(len(state.of_kind(MODEL)) + 1, world.quotas["custom-models"], "custom models")

    made = new_arn(world, call, f"model-customization-job/{student.id}", call["jobName"])
    now = world.clock.now()
    job = add_created(
        world,
        state,
        call,
        kind=JOB,
        arn=made,
        name=call["jobName"],
        created=now,
        record={
            "jobArn": made,
            "jobName": call["jobName"],
            "outputModelName": call["customModelName"],
            "clientRequestToken": call.get("clientRequestToken"),
            "roleArn": call["roleArn"],
            "status": "InProgress",
            "statusDetails": _first_details(now),
            "creationTime": now,
            "lastModifiedTime": now,
            "baseModelArn": student.arn(call.region),
            "hyperParameters": call.get("hyperParameters") or {},
            "trainingDataConfig": call["trainingDataConfig"],
            "validationDataConfig": call.get("validationDataConfig"),
            "outputDataConfig": call["outputDataConfig"],
            "customizationType": kind,
            "outputModelKmsKeyArn": call.get("customModelKmsKeyId"),
            "validationMetrics": [],
            "vpcConfig": call.get("vpcConfig"),
            "customizationConfig": call.get("customizationConfig"),
        },
        hidden={"base": student.id, "model_tags": call.get("customModelTags") or [], "caller": call.caller},
        tags=job_tags,
    )
    start(world, job)
    return {"jobArn": made}


def _student(world: World, call: Call, kind: str) -> BaseModel:
    identifier = call["baseModelIdentifier"]
    student = world.catalogue.model(identifier, call.region)
    now = world.clock.now()
    if student is None or student.status(now) == "ENDED":
        raise validation(f"The provided base model identifier is invalid or not available in {call.region}.")
    if kind not in student.customizations:
        raise validation(
            f"The base model {student.id} does not support {kind} customization in {call.region}."
        )
    if student.status(now) == "LEGACY":
        raise validation(
            f"The base model {student.id} is in Legacy state and takes no new customization jobs."
        )
    return student


def _check_distillation(world: World, call: Call, student: BaseModel) -> None:
    config = (call.get("customizationConfig") or {}).get("distillationConfig")
    if config is None:
        raise validation("customizationConfig.distillationConfig is required for a DISTILLATION job.")
    teacher = config["teacherModelConfig"]
    if teacher.get("maxResponseLengthForInference", 1) < 1:
        raise validation("maxResponseLengthForInference must be at least 1.")
    check_pair(world, call, teacher["teacherModelIdentifier"], student)
    training = call["trainingDataConfig"]
    if ("s3Uri" in training) == ("invocationLogsConfig" in training):
        raise validation("trainingDataConfig must have exactly one of s3Uri and invocationLogsConfig.")
    if call.get("hyperParameters"):
        raise validation("hyperParameters are not supported for a DISTILLATION job.")
    filters = (training.get("invocationLogsConfig") or {}).get("requestMetadataFilters") or {}
    for base in (*filters.get("andAll", ()), *filters.get("orAll", ())):
        if not base.get("equals") and not base.get("notEquals"):
            raise validation("A request metadata filter must have equals or notEquals.")


def check_pair(world: World, call: Call, teacher: str, student: BaseModel) -> None:
    """Teacher and student must be a pair of this Region, called in a way that is open to that teacher."""
    profile = world.catalogue.profile(teacher, call.region)
    model = world.catalogue.model(profile.model if profile else teacher, call.region)
    if model is None or model.status(world.clock.now()) == "ENDED":
        raise validation(
            f"The provided teacher model identifier is invalid or not available in {call.region}."
        )
    pair = next((p for p in world.catalogue.pairs if p.teacher == model.id), None)
    if pair is None or student.id not in pair.students:
        raise validation(
            f"The teacher model {model.id} and the student model {student.id} can not be paired."
        )
    if call.region != pair.region:
        raise validation(f"Distillation of {model.id} is not supported in {call.region}; use {pair.region}.")
    way = "profile" if profile else "on-demand"
    if way not in pair.how:
        raise validation(
            f"The teacher model {model.id} can be used through "
            f"{'an inference profile' if pair.how == ('profile',) else 'its model ID'} only."
        )


def _check_fine_tuning(call: Call) -> None:
    if "s3Uri" not in call["trainingDataConfig"] or "invocationLogsConfig" in call["trainingDataConfig"]:
        raise validation("trainingDataConfig.s3Uri is required for a FINE_TUNING job.")
    if call.get("customizationConfig"):
        raise validation("customizationConfig is not supported for a FINE_TUNING job.")


def _check_model_name(state: RegionState, name: str) -> None:
    taken(state, MODEL, name, MODEL_NAME_IN_USE)
    for job in state.of_kind(JOB):
        if job.record["outputModelName"] == name and job.record["status"] in ("InProgress", "Stopping"):
            raise validation(MODEL_NAME_IN_USE)


def _first_details(now: datetime) -> dict[str, dict[str, Any]]:
    details: dict[str, dict[str, Any]] = {phase: {"status": "NotStarted"} for phase, _ in _PHASES}
    details["validationDetails"] = {"status": "InProgress", "creationTime": now, "lastModifiedTime": now}
    return details


# --- get, list, stop ----------------------------------------------------------------------------------------------


@operation("GetModelCustomizationJob")
def get_job(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    job = need(world, state, JOB, call["jobIdentifier"], "job")
    world.observe(state, job)
    return job.record


@operation("ListModelCustomizationJobs")
def list_jobs(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    world.observe_all(state, JOB)
    found = [
        job
        for job in state.of_kind(JOB)
        if created_within(job, call.get("creationTimeAfter"), call.get("creationTimeBefore"))
        and contains(job, call.get("nameContains"))
        and call.get("statusEquals", job.record["status"]) == job.record["status"]
    ]
    return page(world, call, found, _summary, "modelCustomizationJobSummaries")


def _summary(job: Resource) -> dict[str, Any]:
    return {
        **job.record,
        "customModelArn": job.record.get("outputModelArn"),
        "customModelName": job.record["outputModelName"],
    }


@operation("StopModelCustomizationJob")
def stop_job(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    job = need(world, state, JOB, call["jobIdentifier"], "job")
    now = world.clock.now()
    advance_job(world, state, job, now, 0)
    if job.record["status"] != "InProgress":
        raise conflict(f"The job can not be stopped because its status is {job.record['status']}.")
    _bill_part_of_training(world, job, now)
    job.record["status"] = "Stopping"
    job.record["lastModifiedTime"] = now
    for detail in job.record["statusDetails"].values():
        if detail["status"] == "InProgress":
            detail.update(status="Stopping", lastModifiedTime=now)
    job.life = world.ending_life(JOB)
    return {}


def _bill_part_of_training(world: World, job: Resource, now: datetime) -> None:
    if job.record["statusDetails"]["trainingDetails"]["status"] != "InProgress":
        return
    outcome: Outcome = world.result(job.arn)
    done = (job.life.fraction(now) - _PHASES[1][1]) / (1 - _PHASES[1][1])
    world.meter.use(
        "training-tokens", job.hidden["base"], outcome.training_tokens * _EPOCHS * done, "distillation"
    )


# --- life ---------------------------------------------------------------------------------------------------------


@advances(JOB)
def advance_job(world: World, state: RegionState, job: Resource, now: datetime, reads: int) -> None:
    status = job.record["status"]
    if status == "Stopping":
        if job.life.fraction(now, reads) >= 1:
            moment = job.life.moment(1.0, now)
            job.record.update(status="Stopped", endTime=moment, lastModifiedTime=moment)
            for detail in job.record["statusDetails"].values():
                if detail["status"] == "Stopping":
                    detail.update(status="Stopped", lastModifiedTime=moment)
        return
    if status != "InProgress":
        return
    reached = job.life.fraction(now, reads)
    if reached < _PHASES[0][1]:
        return
    outcome: Outcome = world.result(job.arn)
    details = job.record["statusDetails"]
    for number, (phase, end) in enumerate(_PHASES):
        detail = details[phase]
        if detail["status"] == "Completed":
            continue
        if reached < end:
            return
        moment = job.life.moment(end, now)
        broken = job.life.broken if phase == "trainingDetails" else None
        if broken or outcome.failed_in == phase:
            detail.update(status="Failed", lastModifiedTime=moment)
            job.record.update(status="Failed", endTime=moment, lastModifiedTime=moment)
            job.record["failureMessage"] = (broken or outcome.failure or "")[:2048]
            return
        detail.update(status="Completed", lastModifiedTime=moment)
        job.record["lastModifiedTime"] = moment
        _effects(world, state, job, phase, outcome, moment)
        if number + 1 < len(_PHASES):
            details[_PHASES[number + 1][0]] = {
                "status": "InProgress",
                "creationTime": moment,
                "lastModifiedTime": moment,
            }


def _effects(
    world: World, state: RegionState, job: Resource, phase: str, outcome: Outcome, moment: datetime
) -> None:
    base = job.hidden["base"]
    if phase == "dataProcessingDetails":
        world.meter.use(
            "input-tokens", outcome.teacher_model, outcome.teacher_tokens_in, "distillation teacher"
        )
        world.meter.use(
            "output-tokens", outcome.teacher_model, outcome.teacher_tokens_out, "distillation teacher"
        )
        return
    if phase != "trainingDetails" or outcome.fitted is None:
        return
    world.meter.use("training-tokens", base, outcome.training_tokens * _EPOCHS, "training")
    training_loss = round(1.05 - outcome.fitted.training_accuracy, 6)
    validation_loss = round(1.05 - outcome.fitted.validation_accuracy, 6)
    model = add_model(world, state, job, outcome.fitted.brain, moment)
    job.record.update(
        status="Completed",
        endTime=moment,
        lastModifiedTime=moment,
        outputModelArn=model.arn,
        trainingMetrics={"trainingLoss": training_loss},
        validationMetrics=[{"validationLoss": validation_loss}],
    )
    model.record.update(
        trainingMetrics=job.record["trainingMetrics"], validationMetrics=job.record["validationMetrics"]
    )
    _write_outputs(world, job, outcome, training_loss, validation_loss)


def _write_outputs(
    world: World, job: Resource, outcome: Outcome, training_loss: float, validation_loss: float
) -> None:
    root = Location.parse(job.record["outputDataConfig"]["s3Uri"]).child(
        f"model-customization-job-{job.arn.rsplit('/', 1)[1]}"
    )
    world.neighbours.write(
        root.child("training_artifacts/step_wise_training_metrics.csv"),
        _metrics_csv("training_loss", 2.0, training_loss, steps=20),
    )
    world.neighbours.write(
        root.child("validation_artifacts/post_fine_tuning_validation/validation_metrics.csv"),
        _metrics_csv("validation_loss", 2.0, validation_loss, steps=_EPOCHS),
    )
    if job.record["customizationType"] != "DISTILLATION":
        return
    sample = "\n".join(
        json.dumps(
            {
                "schemaVersion": "bedrock-conversation-2024",
                "messages": [
                    {"role": "user", "content": [{"text": prompt}]},
                    {"role": "assistant", "content": [{"text": answer}]},
                ],
            },
            ensure_ascii=False,
        )
        for prompt, answer in outcome.pairs[:20]
    )
    world.neighbours.write(root.child("synthetic_data_sample/sample.jsonl"), (sample + "\n").encode())
    insights = {
        "acceptedPrompts": outcome.lessons,
        "rejectedPrompts": len(outcome.refused),
        "rejections": [{"record": r.where, "reason": r.reason} for r in outcome.refused[:1000]],
    }
    world.neighbours.write(root.child("prompt_insights/prompt_insights.json"), json.dumps(insights).encode())


def _metrics_csv(column: str, first: float, last: float, *, steps: int) -> bytes:
    lines = [f"step_number,epoch_number,{column},perplexity"]
    for step in range(steps):
        share = (step + 1) / steps
        loss = first + (last - first) * (1 - (1 - share) ** 2)
        lines.append(f"{step},{step * _EPOCHS // steps},{loss:.6f},{2.718281828**loss:.6f}")
    return ("\n".join(lines) + "\n").encode()


# --- the work -----------------------------------------------------------------------------------------------------


def start(world: World, job: Resource) -> None:
    """Begin the background work of a job that has not ended."""
    record, base, region = dict(job.record), job.hidden["base"], job.region
    world.start_work(
        job.arn,
        lambda: learn(world, region, record, base),
        lambda failure: Outcome(failed_in="trainingDetails", failure=failure),
    )


def learn(world: World, region: str, record: Mapping[str, Any], base: str) -> Outcome:
    """Read the data, ask the teacher, fit the student."""
    outcome = Outcome()
    target = Location.parse(record["outputDataConfig"]["s3Uri"])
    problem = key_problem(
        world, region, record["roleArn"], record.get("outputModelKmsKeyArn"), _MODEL_KEY_ACTIONS
    ) or write_problem(world, region, record["roleArn"], target)
    lessons: list[Lesson] = []
    if problem is None:
        lessons, problem = _read(world, region, record, base, outcome)
    outcome.lessons = len(lessons)
    if problem is not None:
        outcome.failed_in, outcome.failure = "validationDetails", problem
        return outcome
    problem = _answer(world, region, record, lessons, outcome)
    if problem is not None:
        outcome.failed_in, outcome.failure = "dataProcessingDetails", problem
        return outcome
    problem = _too_long_for(world, base, outcome.pairs)
    if problem is not None:
        outcome.failed_in, outcome.failure = "dataProcessingDetails", problem
        return outcome
    outcome.training_tokens = sum(count_tokens(p) + count_tokens(a) for p, a in outcome.pairs)
    outcome.training_tokens += sum(count_tokens(lesson.system) for lesson in lessons)
    outcome.fitted = fit(outcome.pairs)
    return outcome


def _too_long_for(world: World, base: str, pairs: list[tuple[str, str]]) -> str | None:
    """Why the student cannot be trained on these pairs: its context in training is shorter than the one it serves."""
    limit = world.catalogue.training_tokens(base)
    longest = max((count_tokens(p) + count_tokens(a) for p, a in pairs), default=0)
    if limit is None or longest <= limit:
        return None
    return f"Maximum total token count {longest} exceeds limit of {limit}"


def _read(
    world: World, region: str, record: Mapping[str, Any], base: str, outcome: Outcome
) -> tuple[list[Lesson], str | None]:
    training = record["trainingDataConfig"]
    logs = training.get("invocationLogsConfig")
    source = Location.parse(logs["invocationLogSource"]["s3Uri"] if logs else training["s3Uri"])
    keys = world.neighbours.keys(source)
    keys = [key for key in keys if (is_log_object(key) if logs else key.endswith(".jsonl"))]
    problem = read_problem(world, region, record["roleArn"], source, keys)
    if problem is not None:
        return [], problem
    if sum(world.neighbours.size(source.bucket, key) for key in keys) > _MAXIMUM_BYTES:
        return [], f"The total size of the training data exceeds the limit of {_MAXIMUM_BYTES} bytes."
    found = (
        _read_logs(world, record, source, keys, outcome)
        if logs
        else _read_files(world, record, base, source, keys)
    )
    lessons: list[Lesson] = []
    for item in found:
        if isinstance(item, Lesson):
            lessons.append(item)
        else:
            outcome.refused.append(item)
    if world.options.long_lines == "fail":
        long = next((item for item in outcome.refused if item.reason == LONG_LINE), None)
        if long is not None:
            most = int(world.quotas["distillation-line-bytes"])
            return lessons, f"{long.where}: {LONG_LINE} ({most} bytes)."
    least, most = int(world.quotas["minimum-records"]), int(world.quotas["maximum-records"])
    if record["customizationType"] == "FINE_TUNING":
        least, most = 8, 20_000
    if len(lessons) < least:
        return lessons, (
            f"The training data has {len(lessons)} usable records after {len(outcome.refused)} were rejected; at "
            f"least {least} are required."
        )
    if len(lessons) > most:
        return lessons, f"The training data has {len(lessons)} records; at most {most} are supported."
    return lessons, None


def _read_files(
    world: World, record: Mapping[str, Any], base: str, source: Location, keys: list[str]
) -> Iterator[Lesson | Refused]:
    for key in keys:
        body = world.neighbours.read(source.bucket, key) or b""
        if record["customizationType"] == "DISTILLATION":
            longest = int(world.quotas["distillation-line-bytes"])
            multi_turn = world.catalogue.multi_turn(base)
            yield from read_prompt_file(key, body, multi_turn=multi_turn, longest=longest)
        else:
            yield from read_completion_file(key, body, world.catalogue.tuned_on(base))


def _read_logs(
    world: World, record: Mapping[str, Any], source: Location, keys: list[str], outcome: Outcome
) -> Iterator[Lesson | Refused]:
    logs = record["trainingDataConfig"]["invocationLogsConfig"]
    with_answer = bool(logs.get("usePromptResponse"))
    filters = logs.get("requestMetadataFilters")
    teacher = teacher_identifier(record)

    def open_body(path: str) -> bytes | None:
        location = Location.parse(path)
        return world.neighbours.read(location.bucket, location.key)

    for key in keys:
        for item in read_log_object(key, world.neighbours.read(source.bucket, key) or b""):
            if isinstance(item, Refused):
                yield item
                continue
            where, logged = item
            if not passes(filters, logged.get("requestMetadata")):
                yield Refused(where, "the request metadata does not match the filter")
            elif with_answer and not same_model(str(logged.get("modelId", "")), teacher):
                yield Refused(where, "the model is not the teacher of the job")
            else:
                yield lesson_from_log(
                    where,
                    logged,
                    with_answer=with_answer,
                    open_body=open_body if world.options.read_offloaded_bodies else None,
                )


def teacher_identifier(record: Mapping[str, Any]) -> str:
    config = record["customizationConfig"]["distillationConfig"]["teacherModelConfig"]
    return str(config["teacherModelIdentifier"])


def same_model(logged: str, teacher: str) -> bool:
    """Whether a logged model id is exactly the teacher; an ARN and its id are the same, a profile and a model not."""

    def short(identifier: str) -> str:
        return identifier.rsplit("/", 1)[1] if identifier.startswith("arn:") else identifier

    return short(logged) == short(teacher)


def _answer(
    world: World, region: str, record: Mapping[str, Any], lessons: list[Lesson], outcome: Outcome
) -> str | None:
    if record["customizationType"] == "FINE_TUNING":
        outcome.pairs = [(lesson.prompt, lesson.answer or "") for lesson in lessons]
        return None
    identifier = teacher_identifier(record)
    profile = world.catalogue.profile(identifier, region)
    model = world.catalogue.model(profile.model if profile else identifier, region)
    if model is None:
        return "The teacher model is not available."
    outcome.teacher_model = model.id
    unanswered = any(lesson.answer is None for lesson in lessons)
    resource = profile.arn(region) if profile else model.arn(region)
    if profile and unanswered and not may(world, record["roleArn"], "bedrock:InvokeModel", resource):
        return f"The role is not authorized to perform bedrock:InvokeModel on {resource}."
    config = record["customizationConfig"]["distillationConfig"]["teacherModelConfig"]
    limit = config.get("maxResponseLengthForInference")
    for lesson in lessons:
        answer = lesson.answer
        if answer is None:
            answer = world.teacher.answer(lesson.prompt, lesson.system)
            if limit:
                answer, _ = clip_tokens(answer, limit)
            outcome.teacher_tokens_in += count_tokens(lesson.prompt) + count_tokens(lesson.system)
            outcome.teacher_tokens_out += count_tokens(answer)
        outcome.pairs.append((lesson.prompt, answer))
    return None
