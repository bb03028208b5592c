"""Evaluation jobs: programmatic metrics or a judge model, over a dataset in S3 and one model or its stored answers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from importlib.resources import files
from typing import Any

from airflow_distill.sandbox.bodies import Said
from airflow_distill.sandbox.catalogue import BaseModel
from airflow_distill.sandbox.failures import ServiceError, conflict, unsupported, validation
from airflow_distill.sandbox.neighbours import Location
from airflow_distill.sandbox.operations import advances, operation
from airflow_distill.sandbox.operations.checks import (
    contains,
    created_within,
    key_is_known,
    key_problem,
    need,
    page,
    read_problem,
    replayed,
    role_is_trusted,
    tags_of,
    within_quota,
    write_problem,
)
from airflow_distill.sandbox.operations.creation import add_created, new_arn
from airflow_distill.sandbox.operations.custom_models import settle_jobs
from airflow_distill.sandbox.operations.hosts import Host, host_of, say
from airflow_distill.sandbox.store import EVALUATION, RegionState, Resource
from airflow_distill.sandbox.tokens import count_tokens
from airflow_distill.sandbox.words import word_f1
from airflow_distill.sandbox.world import Call, World

PROGRAMMATIC = ("Builtin.Accuracy", "Builtin.Robustness", "Builtin.Toxicity")
JUDGED = tuple(
    f"Builtin.{name}"
    for name in ("Correctness", "Completeness", "Faithfulness", "Helpfulness", "Coherence", "Relevance",
                 "FollowingInstructions", "ProfessionalStyleAndTone", "Harmfulness", "Stereotyping", "Refusal")
)  # fmt: skip
_ENDED = ("Completed", "Failed", "Stopped")
_PAGE = 5  # ListEvaluationJobs declares at most five summaries


@dataclass(slots=True)
class Outcome:
    """What the background work made."""

    failures: list[str] = field(default_factory=list)
    failure: str | None = None
    files: list[tuple[str, bytes]] = field(default_factory=list)
    usage: list[tuple[str, str, int, int]] = field(default_factory=list)


@operation("CreateEvaluationJob")
def create(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    again = replayed(world, state, call)
    if again is not None:
        return {"jobArn": again}
    settle_jobs(world, state)
    automated = _automated(call)
    host, source = _subject(world, state, call)
    judge = _judge(world, state, call, automated)
    _check_metrics(world, automated, judge is not None)
    if state.find(EVALUATION, call["jobName"]) is not None:
        raise conflict("The provided job name is currently in use.")
    role_is_trusted(world, call, call["roleArn"])
    key_is_known(world, call, "customerEncryptionKeyId")
    tags = tags_of(world, call, "jobTags")
    now = world.clock.now()
    made = new_arn(world, call, "evaluation-job", call["jobName"])
    job = add_created(
        world,
        state,
        call,
        kind=EVALUATION,
        arn=made,
        name=call["jobName"],
        created=now,
        record={
            "jobArn": made,
            "jobName": call["jobName"],
            "jobDescription": call.get("jobDescription"),
            "roleArn": call["roleArn"],
            "customerEncryptionKeyId": call.get("customerEncryptionKeyId"),
            "jobType": "Automated",
            "applicationType": call.get("applicationType", "ModelEvaluation"),
            "evaluationConfig": call["evaluationConfig"],
            "inferenceConfig": call["inferenceConfig"],
            "outputDataConfig": call["outputDataConfig"],
            "status": "InProgress",
            "creationTime": now,
            "lastModifiedTime": now,
        },
        hidden={"source": source, "judge": judge.identifier if judge else None},
        tags=tags,
    )
    _start(world, job, host, judge)
    return {"jobArn": made}


def _automated(call: Call) -> dict[str, Any]:
    if call.get("applicationType") == "RagEvaluation" or "ragConfigs" in call["inferenceConfig"]:
        raise unsupported("The sandbox does not evaluate retrieval (RAG) systems.")
    if "automated" not in call["evaluationConfig"]:
        raise unsupported("The sandbox has no human workers.")
    automated: dict[str, Any] = call["evaluationConfig"]["automated"]
    return automated


def _subject(world: World, state: RegionState, call: Call) -> tuple[Host | None, str]:
    """The model to ask, or the name under which answers lie in the dataset."""
    models = call["inferenceConfig"]["models"]
    if len(models) != 1:
        raise validation("An automated evaluation job evaluates exactly one model.")
    precomputed = models[0].get("precomputedInferenceSource")
    if precomputed is not None:
        return None, precomputed["inferenceSourceIdentifier"]
    model = models[0]["bedrockModel"]
    if model.get("inferenceParams"):
        try:
            json.loads(model["inferenceParams"])
        except ValueError:
            raise validation("inferenceParams must be JSON.") from None
    return host_of(world, state, call.region, model["modelIdentifier"]), model["modelIdentifier"]


def _judge(world: World, state: RegionState, call: Call, automated: Mapping[str, Any]) -> Host | None:
    config = automated.get("evaluatorModelConfig") or (automated.get("customMetricConfig") or {}).get(
        "evaluatorModelConfig"
    )
    if config is None:
        return None
    host = host_of(world, state, call.region, config["bedrockEvaluatorModels"][0]["modelIdentifier"])
    if not host.base.judges:
        raise validation(f"The model {host.base.id} is not supported as an evaluator model.")
    return host


def _check_metrics(world: World, automated: Mapping[str, Any], judged: bool) -> None:
    custom = {
        item["customMetricDefinition"]["name"]
        for item in (automated.get("customMetricConfig") or {}).get("customMetrics", ())
    }
    for config in automated["datasetMetricConfigs"]:
        known = {*JUDGED, *custom} if judged else set(PROGRAMMATIC)
        wrong = [name for name in config["metricNames"] if name not in known]
        if wrong:
            raise validation(f"The metric {wrong[0]} is not supported for this kind of evaluation job.")
        if len(set(config["metricNames"])) < len(config["metricNames"]):
            raise validation("Metric names must be unique.")
        if judged:
            most = world.quotas["evaluation-metrics"]
            within_quota(len(config["metricNames"]), most, "metrics for each dataset of an evaluation job")
        if not judged and config["taskType"] == "General":
            raise validation("The task type General needs an evaluator model.")
        if (
            not judged
            and config["taskType"] == "Classification"
            and "Builtin.Toxicity" in config["metricNames"]
        ):
            raise validation("The metric Builtin.Toxicity is not supported for Classification.")
        if "datasetLocation" not in config["dataset"] and not config["dataset"]["name"].startswith(
            "Builtin."
        ):
            raise validation("A custom dataset needs datasetLocation.")


# --- the work -----------------------------------------------------------------------------------------------------


def _start(world: World, job: Resource, host: Host | None, judge: Host | None) -> None:
    record, region, source = dict(job.record), job.region, job.hidden["source"]
    job_id = job.arn.rsplit("/", 1)[1]
    world.start_work(job.arn, lambda: _work(world, region, record, job_id, source, host, judge), Outcome)


def restart(world: World, state: RegionState, job: Resource) -> None:
    """Begin the work again after the sandbox itself was restarted."""
    asked = job.record["inferenceConfig"]["models"][0].get("bedrockModel")
    try:
        host = None if asked is None else host_of(world, state, job.region, asked["modelIdentifier"])
        judge = job.hidden["judge"] and host_of(world, state, job.region, job.hidden["judge"])
    except ServiceError as error:
        message = error.message
        world.start_work(job.arn, lambda: Outcome(failure=message), Outcome)
        return
    _start(world, job, host, judge)


def _work(
    world: World,
    region: str,
    record: Mapping[str, Any],
    job_id: str,
    source: str,
    host: Host | None,
    judge: Host | None,
) -> Outcome:
    outcome = Outcome()
    target = Location.parse(record["outputDataConfig"]["s3Uri"])
    key = record.get("customerEncryptionKeyId")
    outcome.failure = key_problem(
        world, region, record["roleArn"], key, ("Decrypt", "GenerateDataKey")
    ) or write_problem(world, region, record["roleArn"], target)
    if outcome.failure is not None:
        return outcome
    model_folder = source.rsplit("/", 1)[-1]
    for config in record["evaluationConfig"]["automated"]["datasetMetricConfigs"]:
        rows, problem = _rows(world, region, record, config["dataset"])
        if problem is None:
            problem = _row_problem(world, rows, source, host, judge is not None)
        if problem is not None:
            outcome.failures.append(problem)
            continue
        lines = [_evaluate(world, row, config, source, host, judge, outcome) for row in rows]
        name = (
            f"{record['jobName']}/{job_id}/models/{model_folder}/taskTypes/{config['taskType']}/datasets/"
            f"{config['dataset']['name']}/{uuid.uuid5(uuid.NAMESPACE_URL, job_id + config['dataset']['name'])}_output.jsonl"
        )
        outcome.files.append((name, ("\n".join(lines) + "\n").encode()))
    if outcome.failures:
        outcome.failure = outcome.failures[0]
    return outcome


def _rows(
    world: World, region: str, record: Mapping[str, Any], dataset: Mapping[str, Any]
) -> tuple[list[Any], str | None]:
    if "datasetLocation" not in dataset:
        body = files("airflow_distill.sandbox").joinpath("data/general.jsonl").read_bytes()
    else:
        location = Location.parse(dataset["datasetLocation"]["s3Uri"])
        keys = [key for key in world.neighbours.keys(location) if key.endswith(".jsonl")]
        problem = read_problem(world, region, record["roleArn"], location, keys)
        if problem is not None:
            return [], problem
        body = b"\n".join(world.neighbours.read(location.bucket, key) or b"" for key in keys)
    rows = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            return [], f"The dataset {dataset['name']} is not valid JSON Lines at line {number}."
        if not isinstance(row, dict) or not isinstance(row.get("prompt"), str) or not row["prompt"].strip():
            return [], f"The dataset {dataset['name']} has no prompt at line {number}."
        rows.append(row)
    return rows, None


def _row_problem(world: World, rows: list[Any], source: str, host: Host | None, judged: bool) -> str | None:
    most, longest = int(world.quotas["evaluation-prompts"]), int(world.quotas["evaluation-prompt-bytes"])
    if not rows:
        return "The dataset has no prompts."
    if len(rows) > most:
        return f"The dataset has {len(rows)} prompts; at most {most} are supported."
    for number, row in enumerate(rows, 1):
        if judged and len(row["prompt"].encode("utf-8", "surrogatepass")) > longest:
            return f"The prompt of record {number} is longer than the limit of {longest} bytes."
        given = row.get("modelResponses")
        if host is not None:
            continue
        if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], dict):
            return f"Record {number} must have exactly one entry in modelResponses."
        if not isinstance(given[0].get("response"), str) or given[0].get("modelIdentifier") != source:
            return f"Record {number} has no response of the inference source of the job."
    return None


def _evaluate(
    world: World,
    row: Mapping[str, Any],
    config: Mapping[str, Any],
    source: str,
    host: Host | None,
    judge: Host | None,
    outcome: Outcome,
) -> str:
    prompt, reference = row["prompt"], row.get("referenceResponse")
    reference = reference if isinstance(reference, str) else None
    if host is None:
        answer = row["modelResponses"][0]["response"]
    else:
        said: Said = say(world, host, prompt, "", None)
        answer = said.text
        outcome.usage.append(("evaluated model", host.base.id, said.tokens_in, said.tokens_out))
    scores = []
    for metric in config["metricNames"]:
        if judge is None:
            scores.append(
                {
                    "metricName": metric.removeprefix("Builtin."),
                    "result": _measure(metric, config, answer, reference),
                }
            )
            continue
        asked = count_tokens(prompt) + count_tokens(answer) + count_tokens(reference or "") + 200
        outcome.usage.append(("evaluator model", judge.base.id, asked, 40))
        grade = world.judge.grade(metric, prompt, answer, reference)
        score: dict[str, Any] = {"metricName": metric}
        if grade is not None:
            score["result"] = grade
        score["evaluatorDetails"] = [
            {"modelIdentifier": judge.identifier, "explanation": "Compared with what was asked for."}
        ]
        scores.append(score)
    inputs = {name: row[name] for name in ("prompt", "referenceResponse", "category") if name in row}
    return json.dumps(
        {
            "automatedEvaluationResult": {"scores": scores},
            "inputRecord": inputs,
            "modelResponses": [{"modelIdentifier": source, "response": answer}],
        },
        ensure_ascii=False,
    )


def _measure(metric: str, config: Mapping[str, Any], answer: str, reference: str | None) -> float:
    if metric != "Builtin.Accuracy":
        return 0.0
    if reference is None:
        return 0.0
    if config["taskType"] == "Classification":
        return 1.0 if answer.strip().casefold() == reference.strip().casefold() else 0.0
    return round(word_f1(answer, reference), 6)


def price(world: World, base: BaseModel, purpose: str, tokens_in: int, tokens_out: int) -> None:
    """Bill what the evaluation used."""
    world.meter.use("input-tokens", base.id, tokens_in, purpose)
    world.meter.use("output-tokens", base.id, tokens_out, purpose)


# --- life ---------------------------------------------------------------------------------------------------------


@advances(EVALUATION)
def advance(world: World, state: RegionState, job: Resource, now: datetime, reads: int) -> None:
    record = job.record
    if record["status"] in ("Completed", "Failed", "Stopped") or job.life.fraction(now, reads) < 1:
        return
    moment = job.life.moment(1.0, now)
    if record["status"] == "Deleting":
        state.remove(job)
        return
    if record["status"] == "Stopping":
        record.update(status="Stopped", lastModifiedTime=moment)
        return
    outcome: Outcome = world.result(job.arn)
    record["lastModifiedTime"] = moment
    if job.life.broken or outcome.failure is not None:
        record["status"] = "Failed"
        messages = outcome.failures or [str(outcome.failure)]
        if job.life.broken:
            messages = [job.life.broken]
        record["failureMessages"] = [message[:2048] for message in messages][:20]
        return
    record["status"] = "Completed"
    root = Location.parse(record["outputDataConfig"]["s3Uri"])
    for name, body in outcome.files:
        world.neighbours.write(root.child(name), body)
    for purpose, model_id, tokens_in, tokens_out in outcome.usage:
        price(world, world.catalogue.models[model_id], f"evaluation, {purpose}", tokens_in, tokens_out)


# --- get, list, stop, delete --------------------------------------------------------------------------------------


@operation("GetEvaluationJob")
def get(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    job = need(world, state, EVALUATION, call["jobIdentifier"], "job")
    world.observe(state, job)
    return need(world, state, EVALUATION, call["jobIdentifier"], "job").record


@operation("ListEvaluationJobs")
def list_jobs(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    world.observe_all(state, EVALUATION)
    found = [
        job
        for job in state.of_kind(EVALUATION)
        if created_within(job, call.get("creationTimeAfter"), call.get("creationTimeBefore"))
        and contains(job, call.get("nameContains"))
        and call.get("statusEquals", job.record["status"]) == job.record["status"]
        and call.get("applicationTypeEquals", job.record["applicationType"]) == job.record["applicationType"]
    ]
    answer = page(world, call, found, partial(_summary, world), "jobSummaries", largest=_PAGE)
    return answer if answer["jobSummaries"] else {}


def _summary(world: World, job: Resource) -> dict[str, Any]:
    configs = job.record["evaluationConfig"]["automated"]["datasetMetricConfigs"]
    source, judge = job.hidden["source"], job.hidden["judge"]
    asked = "bedrockModel" in job.record["inferenceConfig"]["models"][0]
    base = world.catalogue.model(source, job.region) if asked else None
    shown = base.arn(job.region) if base else source
    kind = "bedrockModelIdentifiers" if asked else "precomputedInferenceSourceIdentifiers"
    return {
        **job.record,
        "evaluationTaskTypes": list(dict.fromkeys(config["taskType"] for config in configs)),
        "modelIdentifiers": [shown] if asked else None,
        "evaluatorModelIdentifiers": [judge] if judge else None,
        "inferenceConfigSummary": {"modelConfigSummary": {kind: [shown]}},
    }


@operation("StopEvaluationJob")
def stop(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    job = need(world, state, EVALUATION, call["jobIdentifier"], "job")
    now = world.clock.now()
    advance(world, state, job, now, 0)
    if job.record["status"] != "InProgress":
        raise conflict(f"The job can not be stopped because its status is {job.record['status']}.")
    job.record.update(status="Stopping", lastModifiedTime=now)
    job.life = world.ending_life(EVALUATION)
    return {}


@operation("BatchDeleteEvaluationJob")
def batch_delete(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    errors, deleted = [], []
    now = world.clock.now()
    for identifier in dict.fromkeys(call["jobIdentifiers"]):
        job = state.find(EVALUATION, identifier)
        if job is not None:
            advance(world, state, job, now, 0)
        if job is None:
            errors.append(
                {"jobIdentifier": identifier, "code": "404", "message": "The job could not be found."}
            )
        elif job.record["status"] not in _ENDED:
            errors.append(
                {
                    "jobIdentifier": identifier,
                    "code": "400",
                    "message": f"The job can not be deleted because its status is {job.record['status']}.",
                }
            )
        else:
            job.record.update(status="Deleting", lastModifiedTime=now)
            job.life = world.ending_life(EVALUATION)
            deleted.append({"jobIdentifier": identifier, "jobStatus": "Deleting"})
    return {"errors": errors, "evaluationJobs": deleted}
