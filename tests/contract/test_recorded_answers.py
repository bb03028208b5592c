"""What the package makes of recorded answers of the service, and whether the sandbox answers in the same shapes.

A stand-in of a few lines serves each recorded answer over HTTP as it was recorded; it knows nothing of the sandbox. See
`recorded/README.md` for where the shapes come from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from airflow_distill.aws.bedrock import BedrockGateway
from airflow_distill.aws.remote_work import WORK
from airflow_distill.errors import ServiceConflictError, ServiceNotFoundError
from airflow_distill.sandbox.http_server import Connection, HttpServer
from airflow_distill.sandbox.protocol import WireReply, WireRequest
from airflow_distill.stages.jobs import models
from tests.contract.ground import MAY_SPEND, ON_AWS, STUDENT, TEACHER, Exchange, Ground

RECORDED: dict[str, dict[str, Any]] = {
    answer["name"]: answer
    for answer in json.loads((Path(__file__).parent / "recorded" / "answers.json").read_text())
}
Play = Callable[[str], BedrockGateway]


@pytest.fixture
def play() -> Iterator[Play]:
    """A gateway to a service that gives one recorded answer to whatever it is asked."""
    servers: list[HttpServer] = []

    def gateway(name: str) -> BedrockGateway:
        recorded = RECORDED[name]
        body = dict(recorded["answer"])
        headers = [("Content-Type", "application/json")]
        if recorded["status"] >= 400:
            headers.append(("x-amzn-ErrorType", body.pop("code")))
        reply = WireReply(recorded["status"], tuple(headers), json.dumps(body).encode())

        def respond(request: WireRequest, connection: Connection) -> WireReply:
            return reply

        server = HttpServer(respond)
        server.start()
        servers.append(server)
        client = boto3.session.Session("AKIAIOSFODNN7EXAMPLE", "secret").client(
            "bedrock",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{server.port}",
            config=Config(retries={"total_max_attempts": 1}),
        )
        return BedrockGateway(client)

    yield gateway
    for server in servers:
        server.stop()


# --- what the package makes of them -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "state"),
    [
        ("job_in_progress", "InProgress", "active"),
        ("job_stopping", "Stopping", "active"),
        ("job_under_a_key", "InProgress", "active"),
    ],
)
def test_a_job_is_read_although_it_has_no_phases_and_no_validation_data(
    play: Play, name: str, status: str, state: str
) -> None:
    seen = WORK["customization-job"].look(play(name), "tickets-a")
    assert (seen.name, seen.status, seen.state) == ("tickets-a", status, state)
    assert ":model-customization-job/amazon.nova-micro-v1:0:128k/" in seen.arn
    assert seen.created_at == "2026-07-16T20:24:11Z"
    assert seen.ended_at == ""
    assert seen.details["output_model_name"] == "tickets-a"
    assert "training_loss" not in seen.details


def test_a_listed_job_is_found_under_its_name_and_state(play: Play) -> None:
    (page,) = WORK["customization-job"].list_pages(play("jobs_listed"), None)
    assert [(job.name, job.state) for job in page] == [("tickets-a", "active")]
    assert page[0].details["output_model_name"] == "tickets-a"


def test_the_base_model_is_read_out_of_an_arn_with_a_suffix(play: Play) -> None:
    model = play("model").get_custom_model("tickets-a")
    assert models.strip_arn(model["baseModelArn"]) == STUDENT.replace("lite", "micro").replace("300k", "128k")
    assert models.base_model_id(model["baseModelArn"]) == "amazon.nova-micro-v1:0"


def test_a_list_may_leave_the_base_models_name_empty(play: Play) -> None:
    (model,) = play("models_listed").iter_custom_models()
    assert model["baseModelName"] == ""
    assert models.base_model_id(model["baseModelArn"]) == "amazon.nova-micro-v1:0"
    assert list(play("models_listed_none").iter_custom_models()) == []


@pytest.mark.parametrize(
    ("name", "state"), [("evaluation_completed", "succeeded"), ("evaluation_in_progress", "active")]
)
def test_an_evaluation_job_is_read(play: Play, name: str, state: str) -> None:
    seen = WORK["evaluation-job"].look(play(name), "arn")
    assert (seen.state, seen.name, seen.reason) == (state, "tickets-judge", "")
    assert seen.details["output_uri"] == "s3://acme/evaluations/"


def test_evaluation_jobs_are_listed_with_their_states(play: Play) -> None:
    (page,) = WORK["evaluation-job"].list_pages(play("evaluations_listed"), None)
    assert [(job.name, job.state) for job in page] == [
        ("tickets-judge", "succeeded"),
        ("tickets-judge-2", "active"),
    ]


def test_a_batch_job_is_read_although_its_records_are_not_counted_yet(play: Play) -> None:
    assert (
        play("batch_created")
        .create_batch_job(
            {
                "jobName": "x",
                "roleArn": "arn:aws:iam::111122223333:role/r",
                "modelId": TEACHER,
                "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://acme/in.jsonl"}},
                "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://acme/out/"}},
            }
        )
        .endswith("model-invocation-job/h8kk04a1u8t3")
    )
    seen = WORK["batch-inference-job"].look(play("batch_stopping"), "arn")
    assert (seen.state, seen.ended_at) == ("active", "")
    assert "records" not in seen.details
    assert models.base_model_id(seen.details["model_id"]) == "amazon.nova-micro-v1:0"


def test_batch_jobs_are_listed_with_their_ends(play: Play) -> None:
    (page,) = WORK["batch-inference-job"].list_pages(play("batches_listed"), None)
    assert [(job.state, bool(job.ended_at)) for job in page] == [("active", False), ("failed", True)]


def test_an_unknown_batch_job_is_not_found(play: Play) -> None:
    with pytest.raises(ServiceNotFoundError, match="batch inference job was not found"):
        play("batch_stop_unknown").stop_batch_job(
            "arn:aws:bedrock:us-east-1:111122223333:model-invocation-job/h8kk04a1u8t3"
        )


@pytest.mark.parametrize(
    ("name", "error"), [("profile_busy", ServiceConflictError), ("profile_unknown", ServiceNotFoundError)]
)
def test_a_conflict_with_status_400_and_an_unknown_arn_are_told_apart(
    play: Play, name: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        play(name).call("delete_inference_profile", inferenceProfileIdentifier="4cbyr2n9st9w")


def test_an_application_profile_leads_to_its_model_also_where_the_region_is_left_out(play: Play) -> None:
    (profile,) = play("profiles_of_applications").iter_inference_profiles(typeEquals="APPLICATION")
    behind = {models.base_model_id(model["modelArn"]) for model in profile["models"]}
    assert behind == {"amazon.nova-2-lite-v1:0"}
    assert models.is_application_profile(profile["inferenceProfileArn"])


def test_a_list_by_customization_type_gives_ids_with_their_suffix(play: Play) -> None:
    (model,) = play("models_for_fine_tuning").list_foundation_models(byCustomizationType="FINE_TUNING")
    assert model["modelId"] == "amazon.nova-2-lite-v1:0:256k"
    assert models.base_model_id(model["modelId"]) == "amazon.nova-2-lite-v1:0"
    assert "VIDEO" in model["inputModalities"]
    (model,) = play("models_on_demand").list_foundation_models()
    assert model["customizationsSupported"] == []


def test_logging_is_off_when_the_answer_is_empty(play: Play) -> None:
    assert play("logging_off").get_logging() == {}
    play("logging_deleted").delete_logging()


def test_a_logging_prefix_may_end_in_a_slash(play: Play) -> None:
    found = play("logging_to_s3").get_logging()
    assert found["s3Config"] == {"bucketName": "acme-logs", "keyPrefix": "logging/"}
    play("logging_put").put_logging(found)


def test_tags_are_read_and_set(play: Play) -> None:
    arn = "arn:aws:bedrock:us-east-1:111122223333:custom-model/amazon.nova-micro-v1:0:128k/w4vtut9aq95n"
    assert play("tags").tags(arn) == {"Owner": "support", "Environment": "test"}
    assert play("tags_none").tags(arn) == {}
    play("tagged").tag(arn, {"Owner": "support"})


def test_asking_to_stop_and_to_delete_bring_no_members(play: Play) -> None:
    play("job_stopped").stop_customization_job("tickets-a")
    play("model_deleted").delete_custom_model("tickets-a")


def test_every_recorded_answer_is_played(request: pytest.FixtureRequest) -> None:
    source = Path(__file__).read_text()
    assert [name for name in RECORDED if f'"{name}"' not in source] == []


# --- the sandbox in the same shapes -------------------------------------------------------------------------------

NEWER_THAN_THE_RECORDINGS = {
    "statusDetails": "sub-tasks of a job came with distillation",
    "modelStatus": "came with custom model import",
    "ownerAccountId": "came with custom model import",
    "customizationType": "came after the recorded model was made",
    "jobName": "of a model: came after the recorded model was made",
    "startOfLifeTime": "lifecycle dates came in 2026",
    "videoDataDeliveryEnabled": "came in 2025",
    "audioDataDeliveryEnabled": "came in 2026",
    "modelInvocationType": "some recorded batch jobs have it, some not",
    "endTime": "there once a job has ended",
    "customModelArn": "of a listed job: there once it has completed",
    "description": "of a profile",
}
"""Members that the sandbox has and no recording of the same operation shows."""

LEFT_TO_THE_CALLER = frozenset({"jobDescription", "inferenceParams", "s3BucketOwner", "outputModelKmsKeyArn"})
"""Members of recordings that repeat what the caller had asked for."""


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every member with its type; entries of a list count as one, free-form maps as a map."""
    if path.endswith((".hyperParameters", ".evaluationConfig", ".inferenceConfig")):
        yield path, "map"
    elif isinstance(value, dict):
        yield path, "object"
        for name, item in value.items():
            yield from leaves(item, f"{path}.{name}")
    elif isinstance(value, list):
        yield path, "list"
        for item in value:
            yield from leaves(item, f"{path}[]")
    elif isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value):
        yield path, "time"
    elif isinstance(value, str) and value.startswith("arn:"):
        kind = value.split(":", 5)[5]
        kind = re.sub(r"^role/.*", "role/NAME", re.sub(r"/[a-z]+\.[^/]+", "/MODEL", kind))
        yield path, "arn " + re.sub(r"/[a-z0-9]{12}$", "/ID", kind)
    else:
        yield (
            path,
            "number"
            if isinstance(value, int | float) and not isinstance(value, bool)
            else type(value).__name__,
        )


@pytest.fixture(scope="module")
def told(story_ground: Ground) -> dict[str, list[Exchange]]:
    """The operations of the recordings as the sandbox answers them."""
    ground = story_ground
    if not MAY_SPEND:
        pytest.skip("creates what AWS bills; set AIRFLOW_DISTILL_CONTRACT_SPEND=yes")
    bedrock, s3 = ground.client("bedrock"), ground.client("s3")
    rows = [
        json.dumps(
            {
                "schemaVersion": "bedrock-conversation-2024",
                "messages": [
                    {"role": "user", "content": [{"text": f"question {n}"}]},
                    {"role": "assistant", "content": [{"text": f"answer {n}"}]},
                ],
            }
        )
        for n in range(40)
    ]
    s3.put_object(Bucket=ground.bucket, Key="recorded/train.jsonl", Body="\n".join(rows).encode())
    request = {
        "jobName": ground.name("tune"),
        "customModelName": ground.name("tune"),
        "roleArn": ground.role,
        "baseModelIdentifier": STUDENT,
        "customizationType": "FINE_TUNING",
        "trainingDataConfig": {"s3Uri": f"s3://{ground.bucket}/recorded/train.jsonl"},
        "outputDataConfig": {"s3Uri": f"s3://{ground.bucket}/recorded/out"},
        "clientRequestToken": "24cc2d55-fb6d-40d6-a136-6d44b5f89ae0",
    }
    assert ground.sandbox is not None
    ground.sandbox.world.set_pace("reads:3", "customization-job")
    bedrock.create_model_customization_job(**request)
    bedrock.get_model_customization_job(jobIdentifier=request["jobName"])
    ground.wait(
        lambda: bedrock.get_model_customization_job(jobIdentifier=request["jobName"]),
        "status",
        ("InProgress",),
    )
    ground.exchanges[:] = [e for e in ground.exchanges if e.answer.get("status") != "Completed"]
    bedrock.list_model_customization_jobs(statusEquals="Completed")
    bedrock.get_custom_model(modelIdentifier=request["jobName"])
    bedrock.list_custom_models()
    bedrock.list_custom_models(nameContains="nothing-has-this-name")
    dataset = {"name": "Builtin.BoolQ"}
    metrics = {"taskType": "QuestionAndAnswer", "dataset": dataset, "metricNames": ["Builtin.Accuracy"]}
    made = bedrock.create_evaluation_job(
        jobName=ground.name("evaluation"),
        roleArn=ground.role,
        evaluationConfig={"automated": {"datasetMetricConfigs": [metrics]}},
        inferenceConfig={"models": [{"bedrockModel": {"modelIdentifier": TEACHER}}]},
        outputDataConfig={"s3Uri": f"s3://{ground.bucket}/recorded/"},
    )["jobArn"]
    bedrock.get_evaluation_job(jobIdentifier=made)
    bedrock.list_evaluation_jobs()
    lines = [
        json.dumps({"modelInput": {"messages": [{"role": "user", "content": [{"text": f"q {n}"}]}]}})
        for n in range(100)
    ]
    s3.put_object(Bucket=ground.bucket, Key="recorded/in.jsonl", Body="\n".join(lines).encode())
    ground.sandbox.world.set_pace("reads:30", "batch-job")
    batch = bedrock.create_model_invocation_job(
        jobName=ground.name("batch"),
        roleArn=ground.role,
        modelId=TEACHER,
        inputDataConfig={"s3InputDataConfig": {"s3Uri": f"s3://{ground.bucket}/recorded/in.jsonl"}},
        outputDataConfig={"s3OutputDataConfig": {"s3Uri": f"s3://{ground.bucket}/recorded/out/"}},
    )["jobArn"]
    bedrock.list_model_invocation_jobs()
    bedrock.get_model_invocation_job(jobIdentifier=batch)
    bedrock.stop_model_invocation_job(jobIdentifier=batch)
    ground.wait(lambda: bedrock.get_model_invocation_job(jobIdentifier=batch), "status", ("Stopping",))
    bedrock.list_model_invocation_jobs()
    bedrock.list_foundation_models(byCustomizationType="FINE_TUNING")
    bedrock.get_model_invocation_logging_configuration()
    bedrock.put_model_invocation_logging_configuration(
        loggingConfig={"s3Config": {"bucketName": ground.bucket, "keyPrefix": "logging/"}}
    )
    bedrock.get_model_invocation_logging_configuration()
    bedrock.delete_model_invocation_logging_configuration()
    bedrock.list_tags_for_resource(resourceARN=made)
    bedrock.tag_resource(resourceARN=made, tags=[{"key": "Owner", "value": "support"}])
    bedrock.list_tags_for_resource(resourceARN=made)
    bedrock.untag_resource(resourceARN=made, tagKeys=["Owner"])
    bedrock.delete_custom_model(modelIdentifier=request["jobName"])
    found: dict[str, list[Exchange]] = {}
    for exchange in ground.exchanges:
        found.setdefault(exchange.operation, []).append(exchange)
    return found


PLAYED_BY_THE_SANDBOX = sorted(
    {a["operation"] for a in RECORDED.values() if a["status"] == 200}
    - {"ListInferenceProfiles", "StopModelCustomizationJob"}
)


@pytest.mark.skipif(ON_AWS, reason="the recordings are AWS already")
@pytest.mark.parametrize("operation", PLAYED_BY_THE_SANDBOX)
def test_the_sandbox_answers_in_the_recorded_shape(told: dict[str, list[Exchange]], operation: str) -> None:
    """Every recorded member is there with its type and casing, and nothing else is but what is newer."""
    recorded = {
        leaf
        for answer in RECORDED.values()
        if answer["operation"] == operation and answer["status"] == 200
        for leaf in leaves(answer["answer"])
        if not LEFT_TO_THE_CALLER & set(re.split(r"[.\[\]]+", leaf[0]))
    }
    assert told[operation], "the sandbox was not asked"
    played = {leaf for e in told[operation] for leaf in leaves(json.loads(e.body or b"{}"))}
    assert recorded - played == set()
    newer = {
        leaf
        for leaf in played - recorded
        if not set(re.split(r"[.\[\]]+", leaf[0])) & set(NEWER_THAN_THE_RECORDINGS)
    }
    assert newer == set()


@pytest.mark.skipif(ON_AWS, reason="the recordings are AWS already")
def test_the_sandbox_refuses_an_unknown_batch_job_as_recorded(ground: Ground) -> None:
    bedrock = ground.client("bedrock")
    with pytest.raises(bedrock.exceptions.ResourceNotFoundException) as caught:
        bedrock.stop_model_invocation_job(
            jobIdentifier="arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/h8kk04a1u8t3"
        )
    recorded = RECORDED["batch_stop_unknown"]
    assert caught.value.response["Error"] == {
        "Code": recorded["answer"]["code"],
        "Message": recorded["answer"]["message"],
    }
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == recorded["status"]


@pytest.mark.skipif(ON_AWS, reason="the recordings are AWS already")
def test_an_unset_logging_configuration_reads_as_recorded(told: dict[str, list[Exchange]]) -> None:
    assert json.loads(told["GetModelInvocationLoggingConfiguration"][0].body) == {}
