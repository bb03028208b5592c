"""Invocation logs as they are delivered, and as a job reads them again."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.traffic import Pair, support_tickets
from tests.contract.ground import sends_request_metadata
from tests.sandbox.conftest import TEACHER

Keys = Callable[[str], list[str]]
MESSAGES = [{"role": "user", "content": [{"text": "my refund has not shown up"}]}]


@pytest.fixture
def logging(bedrock_sandbox: Sandbox, bedrock_role: str) -> Sandbox:
    bedrock_sandbox.enable_logging(prefix="logs")
    return bedrock_sandbox


def records(sandbox: Sandbox, keys: Keys) -> list[dict[str, Any]]:
    """All records delivered so far, in the order of their keys."""
    sandbox.flush_logs()
    s3 = sandbox.client("s3")
    found = []
    for key in keys("logs/AWSLogs/"):
        if "/data/" in key:
            continue
        body = gzip.decompress(s3.get_object(Bucket="distill-sandbox", Key=key)["Body"].read())
        found += [json.loads(line) for line in body.decode().splitlines()]
    return found


def test_switching_logging_on_leaves_a_probe(logging: Sandbox, keys: Keys) -> None:
    assert keys("logs/") == ["logs/amazon-bedrock-logs-permission-check"]


def test_a_record_lies_in_the_hour_folder_of_its_time(logging: Sandbox, keys: Keys) -> None:
    logging.clock.set("2026-03-04T05:06:07Z")
    logging.client("bedrock-runtime").converse(modelId=TEACHER, messages=MESSAGES)
    logging.flush_logs()
    (key,) = keys("logs/AWSLogs/")
    assert re.fullmatch(
        r"logs/AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1/2026/03/04/05/"
        r"20260304T05060\d{4}Z_[0-9a-f]{16}\.json\.gz",
        key,
    )
    (record,) = records(logging, keys)
    assert record["timestamp"].startswith("2026-03-04T05:06:0")


def test_all_four_calls_are_logged_with_their_bodies(logging: Sandbox, keys: Keys) -> None:
    runtime = logging.client("bedrock-runtime")
    body = json.dumps({"messages": MESSAGES})
    runtime.converse(modelId=TEACHER, messages=MESSAGES, requestMetadata={"app": "desk"})
    list(runtime.converse_stream(modelId=TEACHER, messages=MESSAGES)["stream"])
    tagged = {"requestMetadata": '{"app": "desk"}'} if sends_request_metadata(runtime) else {}
    runtime.invoke_model(modelId=TEACHER, body=body, **tagged)
    list(runtime.invoke_model_with_response_stream(modelId=TEACHER, body=body)["body"])
    runtime.count_tokens(modelId=TEACHER, input={"converse": {"messages": MESSAGES}})
    by_operation = {record["operation"]: record for record in records(logging, keys)}
    assert sorted(by_operation) == [
        "Converse",
        "ConverseStream",
        "InvokeModel",
        "InvokeModelWithResponseStream",
    ]
    assert by_operation["Converse"]["requestMetadata"] == {"app": "desk"}
    assert by_operation["InvokeModel"].get("requestMetadata") == ({"app": "desk"} if tagged else None)
    assert "requestMetadata" not in by_operation["ConverseStream"]
    for record in by_operation.values():
        assert record["schemaType"] == "ModelInvocationLog"
        assert record["input"]["inputBodyJson"]["messages"] == MESSAGES
        assert record["output"]["outputTokenCount"] == 2
        assert record["modelId"] == TEACHER
    assert isinstance(by_operation["InvokeModelWithResponseStream"]["output"]["outputBodyJson"], list)
    assert isinstance(by_operation["ConverseStream"]["output"]["outputBodyJson"], dict)


def test_streams_can_be_logged_as_lists_too(logging: Sandbox, keys: Keys) -> None:
    logging.world.options.change("streams_logged_as", "list")
    list(logging.client("bedrock-runtime").converse_stream(modelId=TEACHER, messages=MESSAGES)["stream"])
    (record,) = records(logging, keys)
    assert [next(iter(event)) for event in record["output"]["outputBodyJson"]][-1] == "metadata"


def test_a_refused_call_is_logged_with_its_error(logging: Sandbox, keys: Keys) -> None:
    logging.faults.add("throttle", operation="Converse", count=1)
    runtime = logging.client("bedrock-runtime")
    with pytest.raises(runtime.exceptions.ThrottlingException):
        runtime.converse(modelId=TEACHER, messages=MESSAGES)
    (record,) = records(logging, keys)
    assert record["errorCode"] == "ThrottlingException"
    assert record["output"] == {}


def test_a_large_body_is_delivered_apart_and_later(logging: Sandbox, keys: Keys) -> None:
    logging.world.logbook.settings.late_body_seconds = 60
    text = "please look into this " * 6000
    logging.client("bedrock-runtime").converse(
        modelId=TEACHER, messages=[{"role": "user", "content": [{"text": text}]}]
    )
    logging.world.logbook._deliver()
    (key,) = keys("logs/AWSLogs/")
    s3 = logging.client("s3")
    record = json.loads(gzip.decompress(s3.get_object(Bucket="distill-sandbox", Key=key)["Body"].read()))
    assert "inputBodyJson" not in record["input"]
    path = record["input"]["inputBodyS3Path"]
    assert path.endswith(f"/data/{record['requestId']}_input.json.gz")
    assert "outputBodyJson" in record["output"]
    logging.flush_logs()
    body = s3.get_object(Bucket="distill-sandbox", Key=path.removeprefix("s3://distill-sandbox/"))[
        "Body"
    ].read()
    assert json.loads(gzip.decompress(body))["messages"][0]["content"][0]["text"] == text


def test_text_logging_off_leaves_counts_only(logging: Sandbox, keys: Keys) -> None:
    logging.client("bedrock").put_model_invocation_logging_configuration(
        loggingConfig={
            "s3Config": {"bucketName": "distill-sandbox", "keyPrefix": "logs"},
            "textDataDeliveryEnabled": False,
        }
    )
    logging.client("bedrock-runtime").converse(modelId=TEACHER, messages=MESSAGES)
    (record,) = records(logging, keys)
    assert "inputBodyJson" not in record["input"]
    assert record["input"]["inputTokenCount"] > 0


def test_a_profile_call_names_the_profile_and_the_serving_region(logging: Sandbox, keys: Keys) -> None:
    logging.client("bedrock-runtime").converse(modelId="us.amazon.nova-pro-v1:0", messages=MESSAGES)
    (record,) = records(logging, keys)
    assert record["modelId"] == "us.amazon.nova-pro-v1:0"
    assert record["inferenceRegion"] == "us-east-1"


@pytest.mark.parametrize(
    "source",
    [
        "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0",
    ],
)
def test_an_application_profile_answers_like_its_source_and_is_logged_under_its_own_arn(
    logging: Sandbox, keys: Keys, source: str
) -> None:
    bedrock = logging.client("bedrock")
    made = bedrock.create_inference_profile(
        inferenceProfileName="desk", modelSource={"copyFrom": source}, tags=[{"key": "team", "value": "desk"}]
    )
    arn = made["inferenceProfileArn"]
    logging.client("bedrock-runtime").converse(modelId=arn, messages=MESSAGES)
    (record,) = records(logging, keys)
    assert record["modelId"] == arn
    shown = bedrock.get_inference_profile(inferenceProfileIdentifier=arn)
    assert (shown["type"], shown["status"]) == ("APPLICATION", "ACTIVE")
    assert {each["modelArn"].rpartition("/")[2] for each in shown["models"]} == {TEACHER}
    listed = bedrock.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"]
    assert [each["inferenceProfileArn"] for each in listed] == [arn]
    assert bedrock.list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "team", "value": "desk"}]
    bedrock.delete_inference_profile(inferenceProfileIdentifier=arn.rpartition("/")[2])
    with pytest.raises(bedrock.exceptions.ResourceNotFoundException):
        bedrock.get_inference_profile(inferenceProfileIdentifier=arn)
    with pytest.raises(ClientError, match="identifier is invalid"):
        logging.client("bedrock-runtime").converse(modelId=arn, messages=MESSAGES)


@pytest.mark.parametrize(
    "source", ["amazon.nova-pro-v1:0", "arn:aws:bedrock:us-east-1::foundation-model/no.such-model"]
)
def test_an_application_profile_is_made_of_the_arn_of_a_model_that_there_is(
    logging: Sandbox, source: str
) -> None:
    with pytest.raises(ClientError, match="modelSource"):
        logging.client("bedrock").create_inference_profile(
            inferenceProfileName="desk", modelSource={"copyFrom": source}
        )


def test_the_caller_is_named(logging: Sandbox, keys: Keys) -> None:
    iam = logging.client("iam")
    iam.create_user(UserName="shop")
    key = iam.create_access_key(UserName="shop")["AccessKey"]
    import boto3

    runtime = boto3.session.Session(key["AccessKeyId"], key["SecretAccessKey"]).client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=logging.endpoint_url
    )
    runtime.converse(modelId=TEACHER, messages=MESSAGES)
    (record,) = records(logging, keys)
    assert record["identity"]["arn"] == "arn:aws:iam::123456789012:user/shop"


def test_logging_off_delivers_nothing(bedrock_sandbox: Sandbox, bedrock_role: str, keys: Keys) -> None:
    bedrock_sandbox.client("bedrock-runtime").converse(modelId=TEACHER, messages=MESSAGES)
    assert bedrock_sandbox.flush_logs() == 0


# --- as training data ---------------------------------------------------------------------------------------------


def logs_config(**changes: Any) -> dict[str, Any]:
    config = {"invocationLogSource": {"s3Uri": "s3://distill-sandbox/logs/AWSLogs"}, **changes}
    return {"invocationLogsConfig": config}


def play(sandbox: Sandbox, tickets: list[Pair], **defaults: Any) -> None:
    items = [{"prompt": ticket.prompt, "system": ticket.system} for ticket in tickets]
    sandbox.play(items, **{"model_id": TEACHER, **defaults})


@pytest.mark.parametrize(
    "operation", ["Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream"]
)
@pytest.mark.parametrize("streams", ["dict", "list"])
def test_every_logged_shape_teaches(
    logging: Sandbox,
    distil: Callable[..., str],
    job: Callable[[str], dict[str, Any]],
    operation: str,
    streams: str,
) -> None:
    logging.world.options.change("streams_logged_as", streams)
    play(logging, support_tickets(110), operation=operation, timestamp="2026-11-01T10:00:00Z")
    distil("taught", logs_config(usePromptResponse=True))
    assert job("taught")["status"] == "Completed"


def test_only_records_of_the_teacher_count_as_pairs(
    logging: Sandbox, distil: Callable[..., str], job: Callable[[str], dict[str, Any]]
) -> None:
    play(logging, support_tickets(90))
    play(logging, support_tickets(60, seed=3), model_id="us.amazon.nova-pro-v1:0")
    distil("pairs", logs_config(usePromptResponse=True))
    assert "90 usable records after 60 were rejected" in job("pairs")["failureMessage"]
    distil("prompts", logs_config())
    assert job("prompts")["status"] == "Completed"


@pytest.mark.parametrize(
    ("filters", "matches"),
    [
        (None, 360),
        ({"equals": {"app": "desk"}}, 240),
        ({"notEquals": {"app": "desk"}}, 60),
        ({"andAll": [{"equals": {"app": "desk"}}, {"equals": {"tier": "gold"}}]}, 120),
        ({"orAll": [{"equals": {"app": "bot"}}, {"equals": {"tier": "gold"}}]}, 180),
        ({"equals": {"app": "Desk"}}, 0),
    ],
)
def test_metadata_filters_choose_records(
    logging: Sandbox,
    distil: Callable[..., str],
    job: Callable[[str], dict[str, Any]],
    filters: dict[str, Any] | None,
    matches: int,
) -> None:
    groups: list[tuple[int, dict[str, str] | None]] = [
        (120, {"app": "desk", "tier": "gold"}),
        (120, {"app": "desk"}),
        (60, {"app": "bot"}),
        (60, None),
    ]
    start = 0
    everyone = support_tickets(360)
    for count, metadata in groups:
        play(logging, everyone[start : start + count], metadata=metadata)
        start += count
    logging.world.set_quota("minimum-records", matches + 1)
    distil("filtered", logs_config(**({"requestMetadataFilters": filters} if filters else {})))
    assert (
        f"{matches} usable records after {360 - matches} were rejected" in job("filtered")["failureMessage"]
    )


def test_failed_and_offloaded_records_are_not_used(
    logging: Sandbox, distil: Callable[..., str], job: Callable[[str], dict[str, Any]]
) -> None:
    play(logging, support_tickets(100))
    play(logging, support_tickets(20, seed=1), error="ThrottlingException")
    logging.world.logbook.settings.offload_bytes = 50
    play(logging, support_tickets(20, seed=2))
    logging.world.set_quota("minimum-records", 101)
    distil("strict", logs_config(usePromptResponse=True))
    assert "100 usable records after 40 were rejected" in job("strict")["failureMessage"]
    logging.world.options.change("read_offloaded_bodies", True)
    distil("kinder", logs_config(usePromptResponse=True))
    assert job("kinder")["status"] == "Completed"


def test_logged_answers_cost_no_teacher_call(
    logging: Sandbox, distil: Callable[..., str], job: Callable[[str], dict[str, Any]]
) -> None:
    play(logging, support_tickets(120))
    distil("cheap", logs_config(usePromptResponse=True))
    assert job("cheap")["status"] == "Completed"
    assert {line["service"] for line in logging.meter()["lines"]} == {"training-tokens", "model-storage"}
