"""What the service refuses, with which code, status and words."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.ground import ON_AWS, STUDENT, TEACHER, Ground, sends_request_metadata
from tests.contract.model_check import error_codes, operation
from tests.contract.test_answers import batch, evaluation

ACCOUNT = "123456789012"
NOBODY = "abcdefabcdef"


def _arn(kind: str) -> str:
    return f"arn:aws:bedrock:us-east-1:{ACCOUNT}:{kind}/{NOBODY}"


MODEL = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:custom-model/{STUDENT}/{NOBODY}"
JOB = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:model-customization-job/{STUDENT}/{NOBODY}"
MESSAGES = [{"role": "user", "content": [{"text": "hello"}]}]

UNKNOWN: dict[str, dict[str, Any]] = {
    "GetFoundationModel": {"modelIdentifier": "amazon.nova-none-v1:0"},
    "GetInferenceProfile": {"inferenceProfileIdentifier": "us.amazon.nova-none-v1:0"},
    "DeleteInferenceProfile": {"inferenceProfileIdentifier": _arn("application-inference-profile")},
    "GetModelCustomizationJob": {"jobIdentifier": JOB},
    "StopModelCustomizationJob": {"jobIdentifier": "no-such-job"},
    "GetCustomModel": {"modelIdentifier": MODEL},
    "DeleteCustomModel": {"modelIdentifier": "no-such-model"},
    "CreateCustomModelDeployment": {"modelDeploymentName": "d", "modelArn": MODEL},
    "GetCustomModelDeployment": {"customModelDeploymentIdentifier": _arn("custom-model-deployment")},
    "UpdateCustomModelDeployment": {"customModelDeploymentIdentifier": "none", "modelArn": MODEL},
    "DeleteCustomModelDeployment": {"customModelDeploymentIdentifier": "none"},
    "CreateProvisionedModelThroughput": {"provisionedModelName": "p", "modelId": MODEL, "modelUnits": 1},
    "GetProvisionedModelThroughput": {"provisionedModelId": _arn("provisioned-model")},
    "UpdateProvisionedModelThroughput": {"provisionedModelId": "none", "desiredModelId": MODEL},
    "DeleteProvisionedModelThroughput": {"provisionedModelId": "none"},
    "GetEvaluationJob": {"jobIdentifier": _arn("evaluation-job")},
    "StopEvaluationJob": {"jobIdentifier": _arn("evaluation-job")},
    "GetModelInvocationJob": {"jobIdentifier": _arn("model-invocation-job")},
    "StopModelInvocationJob": {"jobIdentifier": _arn("model-invocation-job")},
    "CreateModelCopyJob": {"sourceModelArn": MODEL, "targetModelName": "m"},
    "GetModelCopyJob": {"jobArn": _arn("model-copy-job")},
    "GetResourcePolicy": {"resourceArn": MODEL},
    "DeleteResourcePolicy": {"resourceArn": MODEL},
    "TagResource": {"resourceARN": MODEL, "tags": [{"key": "a", "value": "b"}]},
    "UntagResource": {"resourceARN": MODEL, "tagKeys": ["a"]},
    "ListTagsForResource": {"resourceARN": MODEL},
    "Converse": {"modelId": _arn("provisioned-model"), "messages": MESSAGES},
    "InvokeModel": {"modelId": _arn("custom-model-deployment"), "body": b"{}"},
}


def refusal(call: Callable[[], Any]) -> tuple[str, int, str]:
    """Code, status and message of the error a call ends in."""
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    return (
        answer["Error"]["Code"],
        answer["ResponseMetadata"]["HTTPStatusCode"],
        answer["Error"]["Message"],
    )


def call(ground: Ground, name: str, parameters: dict[str, Any]) -> Any:
    service, model = operation(name)
    client = ground.client(service)
    methods = {client.meta.method_to_api_mapping[m]: m for m in client.meta.method_to_api_mapping}
    return getattr(client, methods[model.name])(**parameters)


@pytest.mark.parametrize("name", sorted(UNKNOWN))
def test_what_does_not_exist_is_not_found(ground: Ground, name: str) -> None:
    code, status, message = refusal(lambda: call(ground, name, UNKNOWN[name]))
    _, model = operation(name)
    assert (code, status) == ("ResourceNotFoundException", 404)
    assert error_codes(model)[code] == status
    assert message


def test_a_batch_delete_names_the_failures_in_its_body(ground: Ground) -> None:
    answer = ground.client("bedrock").batch_delete_evaluation_job(jobIdentifiers=[_arn("evaluation-job")])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert [error["jobIdentifier"] for error in answer["errors"]] == [_arn("evaluation-job")]
    assert answer["evaluationJobs"] == []


# --- shapes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "path", "constraint"),
    [
        ({"jobName": "under_score"}, "jobName", "regular expression pattern"),
        ({"jobName": "x" * 64}, "jobName", "length less than or equal to 63"),
        ({"customModelName": "dotted.name"}, "customModelName", "regular expression pattern"),
        ({"customModelName": "two__signs"}, "customModelName", "regular expression pattern"),
        ({"roleArn": "arn:aws:iam::123456789012:user/me"}, "roleArn", "regular expression pattern"),
        ({"clientRequestToken": "run:1+x"}, "clientRequestToken", "regular expression pattern"),
        ({"customizationType": "distillation"}, "customizationType", "enum value set"),
        (
            {"trainingDataConfig": {"s3Uri": "s3://bucket/dt=2026-01-01/x.jsonl"}},
            "trainingDataConfig.s3Uri",
            "regular expression pattern",
        ),
        (
            {"jobTags": [{"key": f"k{n}", "value": "v"} for n in range(201)]},
            "jobTags",
            "length less than or equal to 200",
        ),
        (
            {
                "trainingDataConfig": {
                    "invocationLogsConfig": {
                        "invocationLogSource": {"s3Uri": "s3://bucket/logs"},
                        "requestMetadataFilters": {"equals": {"a": "b", "c": "d"}},
                    }
                }
            },
            "trainingDataConfig.invocationLogsConfig.requestMetadataFilters.equals",
            "length less than or equal to 1",
        ),
        (
            {
                "trainingDataConfig": {
                    "invocationLogsConfig": {
                        "invocationLogSource": {"s3Uri": "s3://bucket/logs"},
                        "requestMetadataFilters": {"orAll": [{"equals": {"a": str(n)}} for n in range(17)]},
                    }
                }
            },
            "trainingDataConfig.invocationLogsConfig.requestMetadataFilters.orAll",
            "length less than or equal to 16",
        ),
    ],
)
def test_a_broken_constraint_is_named_with_its_path(
    ground: Ground, changes: dict[str, Any], path: str, constraint: str
) -> None:
    request = ground.distillation("shape", **changes)
    code, status, message = refusal(
        lambda: ground.client("bedrock").create_model_customization_job(**request)
    )
    assert (code, status) == ("ValidationException", 400)
    assert message.startswith("1 validation error detected: Value '")
    assert f"at '{path}' failed to satisfy constraint: Member must" in message
    assert constraint in message


def test_several_broken_constraints_are_counted(ground: Ground) -> None:
    request = ground.distillation("shape", jobName="a_b", customModelName="a.b")
    _, _, message = refusal(lambda: ground.client("bedrock").create_model_customization_job(**request))
    assert message.startswith("2 validation errors detected: ")


def test_a_list_asks_for_its_own_limits(ground: Ground) -> None:
    bedrock = ground.client("bedrock")
    assert refusal(lambda: bedrock.list_custom_models(maxResults=1001))[0] == "ValidationException"
    assert refusal(lambda: bedrock.list_custom_models(nextToken="made up"))[0] == "ValidationException"
    assert refusal(lambda: bedrock.list_custom_models(nextToken="bWFkZQ"))[0] == "ValidationException"


def test_evaluation_names_are_lower_case(ground: Ground) -> None:
    request = {**evaluation(ground, "x"), "jobName": "Upper"}
    assert (
        refusal(lambda: ground.client("bedrock").create_evaluation_job(**request))[0] == "ValidationException"
    )


@pytest.mark.parametrize(
    ("where", "kind", "fits"),
    [
        (where, kind, fits)
        for where, row in {
            "evaluated": (True, True, True, False, False),
            "evaluator": (True, True, False, False, False),
            "batch": (True, True, False, False, True),
            "runtime": (True, True, True, True, False),
        }.items()
        for kind, fits in zip(("base", "profile", "throughput", "deployment", "custom"), row, strict=True)
    ],
)
def test_each_operation_takes_its_kinds_of_model_identifier(
    ground: Ground, where: str, kind: str, fits: bool
) -> None:
    """Only the pattern is asked about: what does not exist may be refused, but not as a malformed value."""
    identifier = {
        "base": TEACHER,
        "profile": "us.amazon.nova-pro-v1:0",
        "throughput": _arn("provisioned-model"),
        "deployment": _arn("custom-model-deployment"),
        "custom": MODEL,
    }[kind]
    bedrock, runtime = ground.client("bedrock"), ground.client("bedrock-runtime")
    request = evaluation(ground, f"{where}-{kind}")
    if where == "evaluated":
        request["inferenceConfig"] = {"models": [{"bedrockModel": {"modelIdentifier": identifier}}]}
    if where == "evaluator":
        request["evaluationConfig"]["automated"]["evaluatorModelConfig"]["bedrockEvaluatorModels"] = [
            {"modelIdentifier": identifier}
        ]
    try:
        if where == "batch":
            bedrock.create_model_invocation_job(**batch(ground, f"{where}-{kind}", identifier))
        elif where == "runtime":
            runtime.converse(modelId=identifier, messages=MESSAGES)
        else:
            bedrock.create_evaluation_job(**request)
        refused_by_pattern = False
    except ClientError as error:
        refused_by_pattern = "regular expression pattern" in error.response["Error"]["Message"]
    assert refused_by_pattern is not fits


# --- semantics ----------------------------------------------------------------------------------------------------


def create(ground: Ground, name: str, **changes: Any) -> Callable[[], Any]:
    return lambda: ground.client("bedrock").create_model_customization_job(
        **ground.distillation(name, **changes)
    )


@pytest.mark.usefixtures("spending")
def test_a_job_name_is_used_for_ever(ground: Ground) -> None:
    ground.put_prompts("contract/prompts.jsonl")
    create(ground, "once")()
    code, status, message = refusal(create(ground, "once", customModelName=ground.name("other")))
    assert (code, status, message) == (
        "ValidationException",
        400,
        "The provided job name is currently in use.",
    )


@pytest.mark.usefixtures("spending")
def test_a_custom_model_name_is_used_while_its_model_lives(ground: Ground) -> None:
    ground.put_prompts("contract/prompts.jsonl")
    bedrock = ground.client("bedrock")
    create(ground, "first")()
    taken = create(ground, "second", customModelName=ground.name("first"))
    assert refusal(taken)[0] == "ValidationException"
    ground.wait(
        lambda: bedrock.get_model_customization_job(jobIdentifier=ground.name("first")),
        "status",
        ("InProgress",),
    )
    assert refusal(taken)[0] == "ValidationException"
    bedrock.delete_custom_model(modelIdentifier=ground.name("first"))
    assert taken()["jobArn"]


@pytest.mark.usefixtures("spending")
def test_a_repeated_token_buys_nothing(ground: Ground) -> None:
    ground.put_prompts("contract/prompts.jsonl")
    token = f"token-{ground.mark}"
    first = create(ground, "token", clientRequestToken=token)()["jobArn"]
    assert create(ground, "token", clientRequestToken=token)()["jobArn"] == first
    jobs = ground.client("bedrock").list_model_customization_jobs(nameContains=ground.name("token"))
    assert len(jobs["modelCustomizationJobSummaries"]) == 1


WRONG_JOBS: dict[str, dict[str, Any]] = {
    "not a pair": {"baseModelIdentifier": "meta.llama3-1-8b-instruct-v1:0:128k"},
    "a student without its suffix": {"baseModelIdentifier": "amazon.nova-lite-v1:0"},
    "no distillation config": {"customizationConfig": None},
    "two sources": {
        "trainingDataConfig": {
            "s3Uri": "s3://distill-sandbox/a",
            "invocationLogsConfig": {"invocationLogSource": {"s3Uri": "s3://distill-sandbox/b"}},
        }
    },
    "no source": {"trainingDataConfig": {}},
    "a role that does not exist": {"roleArn": f"arn:aws:iam::{ACCOUNT}:role/nobody-at-all"},
    "a role of somebody else": {"roleArn": "arn:aws:iam::999999999999:role/theirs"},
    "reserved tags": {"jobTags": [{"key": "aws:x", "value": "y"}]},
    "a tag twice": {"jobTags": [{"key": "x", "value": "y"}, {"key": "x", "value": "z"}]},
}


@pytest.mark.parametrize("why", sorted(WRONG_JOBS))
def test_a_wrong_job_is_refused_before_it_costs(ground: Ground, why: str) -> None:
    request = {k: v for k, v in ground.distillation("wrong", **WRONG_JOBS[why]).items() if v is not None}
    code, status, _ = refusal(lambda: ground.client("bedrock").create_model_customization_job(**request))
    assert (code, status) in (("ValidationException", 400), ("AccessDeniedException", 403))


@pytest.mark.parametrize(
    "teacher",
    ["amazon.nova-premier-v1:0", "amazon.nova-micro-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"],
)
def test_a_teacher_must_be_reached_as_it_may_be(ground: Ground, teacher: str) -> None:
    config = {"distillationConfig": {"teacherModelConfig": {"teacherModelIdentifier": teacher}}}
    assert refusal(create(ground, "teacher", customizationConfig=config))[0] == "ValidationException"


def test_premier_teaches_through_its_profile(ground: Ground, spending: None) -> None:
    ground.put_prompts("contract/prompts.jsonl")
    config = {
        "distillationConfig": {
            "teacherModelConfig": {"teacherModelIdentifier": "us.amazon.nova-premier-v1:0"}
        }
    }
    assert create(ground, "premier", customizationConfig=config)()["jobArn"]


def test_too_many_tags_have_their_own_error(ground: Ground) -> None:
    tags = [{"key": f"k{n}", "value": "v"} for n in range(51)]
    code, status, _ = refusal(create(ground, "tags", jobTags=tags))
    assert (code, status) == ("TooManyTagsException", 400)


@pytest.mark.usefixtures("spending")
def test_a_finished_job_cannot_be_stopped(ground: Ground) -> None:
    ground.put_prompts("contract/prompts.jsonl")
    bedrock = ground.client("bedrock")
    made = create(ground, "finished")()["jobArn"]
    ground.wait(lambda: bedrock.get_model_customization_job(jobIdentifier=made), "status", ("InProgress",))
    code, status, _ = refusal(lambda: bedrock.stop_model_customization_job(jobIdentifier=made))
    assert (code, status) == ("ConflictException", 400)


@pytest.mark.usefixtures("spending")
def test_a_model_in_use_is_not_deleted(ground: Ground) -> None:
    ground.put_prompts("contract/prompts.jsonl")
    bedrock = ground.client("bedrock")
    made = create(ground, "used")()["jobArn"]
    job = ground.wait(
        lambda: bedrock.get_model_customization_job(jobIdentifier=made), "status", ("InProgress",)
    )
    host = bedrock.create_custom_model_deployment(
        modelDeploymentName=ground.name("used"), modelArn=job["outputModelArn"]
    )
    code, status, _ = refusal(lambda: bedrock.delete_custom_model(modelIdentifier=ground.name("used")))
    assert (code, status) == ("ConflictException", 400)
    arn = host["customModelDeploymentArn"]
    ground.wait(
        lambda: bedrock.get_custom_model_deployment(customModelDeploymentIdentifier=arn),
        "status",
        ("Creating",),
    )
    bedrock.delete_custom_model_deployment(customModelDeploymentIdentifier=arn)
    bedrock.delete_custom_model(modelIdentifier=ground.name("used"))
    assert refusal(lambda: bedrock.get_custom_model(modelIdentifier=ground.name("used")))[1] == 404


def test_commitment_needs_a_quota(ground: Ground) -> None:
    bedrock = ground.client("bedrock")
    code, status, _ = refusal(
        lambda: bedrock.create_provisioned_model_throughput(
            provisionedModelName=ground.name("committed"),
            modelId=STUDENT,
            modelUnits=1,
            commitmentDuration="OneMonth",
        )
    )
    assert (code, status) == ("ServiceQuotaExceededException", 400)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("amazon.nova-premier-v1:0", "with on-demand throughput isn’t supported"),
        (STUDENT, "with on-demand throughput isn’t supported"),
        ("amazon.nova-none-v1:0", "The provided model identifier is invalid."),
    ],
)
def test_the_runtime_says_why_a_model_does_not_answer(ground: Ground, model: str, message: str) -> None:
    code, status, text = refusal(
        lambda: ground.client("bedrock-runtime").converse(modelId=model, messages=MESSAGES)
    )
    assert (code, status) == ("ValidationException", 400)
    assert message in text


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "assistant", "content": [{"text": "hello"}]}],
        [{"role": "user", "content": [{"text": "a"}]}, {"role": "user", "content": [{"text": "b"}]}],
        [{"role": "user", "content": [{"text": "a"}]}, {"role": "assistant", "content": [{"text": "b"}]}],
        [{"role": "user", "content": [{"text": " "}]}],
        [{"role": "judge", "content": [{"text": "a"}]}],
    ],
)
def test_a_conversation_must_be_one(ground: Ground, messages: list[dict[str, Any]]) -> None:
    runtime = ground.client("bedrock-runtime")
    assert refusal(lambda: runtime.converse(modelId=TEACHER, messages=messages))[0] == "ValidationException"


@pytest.mark.parametrize(
    "metadata", ["not json", "[]", "{}", json.dumps({str(n): "x" for n in range(17)}), '{"a": 1}']
)
def test_request_metadata_must_be_a_small_map_of_strings(ground: Ground, metadata: str) -> None:
    runtime = ground.client("bedrock-runtime")
    if not sends_request_metadata(runtime):
        pytest.skip("this boto3 cannot send request metadata with InvokeModel")
    body = json.dumps({"messages": MESSAGES})
    code, _, _ = refusal(lambda: runtime.invoke_model(modelId=TEACHER, body=body, requestMetadata=metadata))
    assert code == "ValidationException"


# --- lists --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("spending")
@pytest.mark.skipif(ON_AWS, reason="makes more jobs than an account may have")
def test_pages_join_to_the_whole_list_in_order(ground: Ground) -> None:
    ground.put_prompts("contract/prompts.jsonl")
    bedrock = ground.client("bedrock")
    names = [f"page-{n}" for n in range(7)]
    for name in names:
        create(ground, name)()
    for order, expected in (("Ascending", names), ("Descending", names[::-1])):
        pages = bedrock.get_paginator("list_model_customization_jobs").paginate(
            sortBy="CreationTime", sortOrder=order, PaginationConfig={"PageSize": 3}
        )
        found = [[job["jobName"] for job in p["modelCustomizationJobSummaries"]] for p in pages]
        assert [len(page) for page in found] == [3, 3, 1]
        assert list(itertools.chain(*found)) == [ground.name(name) for name in expected]


@pytest.mark.usefixtures("spending")
@pytest.mark.skipif(ON_AWS, reason="the evaluation list shows at most five")
def test_an_evaluation_list_never_shows_more_than_five(ground: Ground) -> None:
    bedrock = ground.client("bedrock")
    assert "jobSummaries" not in bedrock.list_evaluation_jobs()
    for number in range(7):
        bedrock.create_evaluation_job(**evaluation(ground, f"e{number}"))
    first = bedrock.list_evaluation_jobs(maxResults=100)
    second = bedrock.list_evaluation_jobs(maxResults=100, nextToken=first["nextToken"])
    assert (len(first["jobSummaries"]), len(second["jobSummaries"])) == (5, 2)


@pytest.mark.usefixtures("spending")
def test_lists_filter_by_name_status_and_time(ground: Ground) -> None:
    ground.put_prompts("contract/prompts.jsonl")
    bedrock = ground.client("bedrock")
    made = create(ground, "filtered")()["jobArn"]
    job = ground.wait(
        lambda: bedrock.get_model_customization_job(jobIdentifier=made), "status", ("InProgress",)
    )

    def count(**filters: Any) -> int:
        found = bedrock.list_model_customization_jobs(nameContains=ground.mark, **filters)
        return len(found["modelCustomizationJobSummaries"])

    assert count() == 1
    assert count(statusEquals="Completed") == 1
    assert count(statusEquals="Failed") == 0
    assert count(creationTimeBefore=job["creationTime"]) == 0
    assert count(creationTimeAfter=job["creationTime"]) == 0
    assert count(creationTimeAfter="2020-01-01T00:00:00Z") == 1
    base = bedrock.list_custom_models(nameContains=ground.mark, baseModelArnEquals=job["baseModelArn"])
    assert len(base["modelSummaries"]) == 1
    assert bedrock.list_custom_models(nameContains=ground.mark, isOwned=False)["modelSummaries"] == []
