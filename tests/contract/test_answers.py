"""Every operation once, in one story, and each answer held against the service model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.ground import MAY_SPEND, REGION, STUDENT, TEACHER, Exchange, Ground
from tests.contract.model_check import answer_problems, operation, unknown_members

OPERATIONS = [
    "PutModelInvocationLoggingConfiguration",
    "GetModelInvocationLoggingConfiguration",
    "DeleteModelInvocationLoggingConfiguration",
    "ListFoundationModels",
    "GetFoundationModel",
    "GetFoundationModelAvailability",
    "ListInferenceProfiles",
    "GetInferenceProfile",
    "CreateInferenceProfile",
    "DeleteInferenceProfile",
    "CreateModelCustomizationJob",
    "GetModelCustomizationJob",
    "ListModelCustomizationJobs",
    "StopModelCustomizationJob",
    "GetCustomModel",
    "ListCustomModels",
    "DeleteCustomModel",
    "CreateCustomModelDeployment",
    "GetCustomModelDeployment",
    "ListCustomModelDeployments",
    "UpdateCustomModelDeployment",
    "DeleteCustomModelDeployment",
    "CreateProvisionedModelThroughput",
    "GetProvisionedModelThroughput",
    "ListProvisionedModelThroughputs",
    "UpdateProvisionedModelThroughput",
    "DeleteProvisionedModelThroughput",
    "CreateEvaluationJob",
    "GetEvaluationJob",
    "ListEvaluationJobs",
    "StopEvaluationJob",
    "BatchDeleteEvaluationJob",
    "CreateModelInvocationJob",
    "GetModelInvocationJob",
    "ListModelInvocationJobs",
    "StopModelInvocationJob",
    "CreateModelCopyJob",
    "GetModelCopyJob",
    "ListModelCopyJobs",
    "PutResourcePolicy",
    "GetResourcePolicy",
    "DeleteResourcePolicy",
    "TagResource",
    "UntagResource",
    "ListTagsForResource",
    "Converse",
    "ConverseStream",
    "InvokeModel",
    "InvokeModelWithResponseStream",
    "CountTokens",
]

MESSAGES = [{"role": "user", "content": [{"text": "my refund has not shown up"}]}]


@pytest.fixture(scope="module")
def story(story_ground: Ground) -> dict[str, list[Exchange]]:
    """The whole loop, told once; its exchanges by operation."""
    if not MAY_SPEND:
        pytest.skip("the story creates what AWS bills")
    ground = story_ground
    tell(ground)
    by_operation: dict[str, list[Exchange]] = {}
    for exchange in ground.exchanges:
        by_operation.setdefault(exchange.operation, []).append(exchange)
    return by_operation


def tell(ground: Ground) -> None:
    bedrock, runtime = ground.client("bedrock"), ground.client("bedrock-runtime")
    ground.put_prompts("contract/prompts.jsonl")
    _tell_models(bedrock)
    _tell_own_profile(ground, bedrock)
    _tell_runtime(ground, bedrock, runtime)
    models = [_tell_job(ground, bedrock, name) for name in ("first", "second")]
    _tell_stopped_job(ground, bedrock)
    _tell_tags(bedrock, models[0])
    _tell_throughput(ground, bedrock, runtime, models)
    _tell_deployment(ground, bedrock, runtime, models)
    _tell_evaluation(ground, bedrock)
    _tell_batch(ground, bedrock)
    _tell_copy(ground, models[0])
    _tell_policy(bedrock, models[0])
    for model in models:
        bedrock.delete_custom_model(modelIdentifier=model)


def _tell_models(bedrock: Any) -> None:
    bedrock.list_foundation_models(byCustomizationType="DISTILLATION")
    bedrock.get_foundation_model(modelIdentifier=STUDENT)
    bedrock.get_foundation_model_availability(modelId=TEACHER)
    profiles = bedrock.list_inference_profiles(typeEquals="SYSTEM_DEFINED", maxResults=2)
    bedrock.get_inference_profile(
        inferenceProfileIdentifier=profiles["inferenceProfileSummaries"][0]["inferenceProfileArn"]
    )


def _tell_own_profile(ground: Ground, bedrock: Any) -> None:
    source = f"arn:aws:bedrock:{REGION}::foundation-model/{TEACHER}"
    made = bedrock.create_inference_profile(
        inferenceProfileName=ground.name("profile"),
        modelSource={"copyFrom": source},
        tags=[{"key": "team", "value": "contract"}],
    )["inferenceProfileArn"]
    bedrock.get_inference_profile(inferenceProfileIdentifier=made)
    bedrock.list_inference_profiles(typeEquals="APPLICATION")
    bedrock.delete_inference_profile(inferenceProfileIdentifier=made)


def _tell_runtime(ground: Ground, bedrock: Any, runtime: Any) -> None:
    bedrock.get_model_invocation_logging_configuration()
    bedrock.put_model_invocation_logging_configuration(
        loggingConfig={"s3Config": {"bucketName": ground.bucket, "keyPrefix": "contract/logs"}}
    )
    bedrock.get_model_invocation_logging_configuration()
    body = json.dumps({"messages": MESSAGES})
    runtime.converse(modelId=TEACHER, messages=MESSAGES, requestMetadata={"app": "contract"})
    list(runtime.converse_stream(modelId=TEACHER, messages=MESSAGES)["stream"])
    runtime.invoke_model(modelId=TEACHER, body=body)["body"].read()
    list(runtime.invoke_model_with_response_stream(modelId=TEACHER, body=body)["body"])
    runtime.count_tokens(modelId=TEACHER, input={"converse": {"messages": MESSAGES}})
    bedrock.delete_model_invocation_logging_configuration()


def _tell_job(ground: Ground, bedrock: Any, name: str) -> str:
    made = bedrock.create_model_customization_job(
        **ground.distillation(name, jobTags=[{"key": "team", "value": "contract"}])
    )
    job = ground.wait(
        lambda: bedrock.get_model_customization_job(jobIdentifier=made["jobArn"]), "status", ("InProgress",)
    )
    bedrock.list_model_customization_jobs(
        nameContains=ground.mark, sortBy="CreationTime", sortOrder="Ascending"
    )
    bedrock.get_custom_model(modelIdentifier=job["outputModelArn"])
    bedrock.list_custom_models(nameContains=ground.mark)
    return str(job["outputModelArn"])


def _tell_stopped_job(ground: Ground, bedrock: Any) -> None:
    if ground.sandbox is not None:
        ground.sandbox.world.set_pace("reads:3")
    made = bedrock.create_model_customization_job(**ground.distillation("stopped"))["jobArn"]
    bedrock.get_model_customization_job(jobIdentifier=made)
    bedrock.stop_model_customization_job(jobIdentifier=made)
    ground.wait(lambda: bedrock.get_model_customization_job(jobIdentifier=made), "status", ("Stopping",))
    if ground.sandbox is not None:
        ground.sandbox.world.set_pace("instant")


def _tell_tags(bedrock: Any, model: str) -> None:
    bedrock.tag_resource(resourceARN=model, tags=[{"key": "a", "value": "b"}])
    bedrock.list_tags_for_resource(resourceARN=model)
    bedrock.untag_resource(resourceARN=model, tagKeys=["a"])


def _tell_throughput(ground: Ground, bedrock: Any, runtime: Any, models: list[str]) -> None:
    made = bedrock.create_provisioned_model_throughput(
        provisionedModelName=ground.name("pt"), modelId=models[0], modelUnits=1
    )["provisionedModelArn"]

    def look() -> Any:
        return bedrock.get_provisioned_model_throughput(provisionedModelId=made)

    ground.wait(look, "status", ("Creating",))
    bedrock.update_provisioned_model_throughput(provisionedModelId=made, desiredModelId=models[1])
    ground.wait(look, "status", ("Updating",))
    runtime.converse(modelId=made, messages=MESSAGES)
    bedrock.list_provisioned_model_throughputs(statusEquals="InService")
    bedrock.delete_provisioned_model_throughput(provisionedModelId=made)


def _tell_deployment(ground: Ground, bedrock: Any, runtime: Any, models: list[str]) -> None:
    made = bedrock.create_custom_model_deployment(
        modelDeploymentName=ground.name("cmd"), modelArn=models[0], description="contract"
    )["customModelDeploymentArn"]

    def look() -> Any:
        return bedrock.get_custom_model_deployment(customModelDeploymentIdentifier=made)

    ground.wait(look, "status", ("Creating",))
    bedrock.update_custom_model_deployment(customModelDeploymentIdentifier=made, modelArn=models[1])
    ground.wait(lambda: look()["updateDetails"], "updateStatus", ("Updating",))
    runtime.converse(modelId=made, messages=MESSAGES)
    bedrock.list_custom_model_deployments(nameContains=ground.mark)
    bedrock.delete_custom_model_deployment(customModelDeploymentIdentifier=made)


def evaluation(ground: Ground, name: str) -> dict[str, Any]:
    rows = [{"prompt": "Say yes.", "referenceResponse": "yes", "modelResponses": [
        {"response": "yes", "modelIdentifier": "mine"}]}]  # fmt: skip
    ground.client("s3").put_object(
        Bucket=ground.bucket, Key="contract/rows.jsonl", Body="\n".join(map(json.dumps, rows)).encode()
    )
    return {
        "jobName": ground.name(name),
        "roleArn": ground.role,
        "applicationType": "ModelEvaluation",
        "evaluationConfig": {
            "automated": {
                "datasetMetricConfigs": [
                    {
                        "taskType": "General",
                        "dataset": {
                            "name": "rows",
                            "datasetLocation": {"s3Uri": f"s3://{ground.bucket}/contract/rows.jsonl"},
                        },
                        "metricNames": ["Builtin.Correctness"],
                    }
                ],
                "evaluatorModelConfig": {
                    "bedrockEvaluatorModels": [{"modelIdentifier": "amazon.nova-pro-v1:0"}]
                },
            }
        },
        "inferenceConfig": {
            "models": [{"precomputedInferenceSource": {"inferenceSourceIdentifier": "mine"}}]
        },
        "outputDataConfig": {"s3Uri": f"s3://{ground.bucket}/contract/evaluations/"},
    }


def _tell_evaluation(ground: Ground, bedrock: Any) -> None:
    made = bedrock.create_evaluation_job(**evaluation(ground, "judged"))["jobArn"]
    ground.wait(lambda: bedrock.get_evaluation_job(jobIdentifier=made), "status", ("InProgress",))
    bedrock.list_evaluation_jobs(nameContains=ground.mark)
    if ground.sandbox is not None:
        ground.sandbox.world.set_pace("reads:3")
    stopped = bedrock.create_evaluation_job(**evaluation(ground, "halted"))["jobArn"]
    bedrock.stop_evaluation_job(jobIdentifier=stopped)
    ground.wait(lambda: bedrock.get_evaluation_job(jobIdentifier=stopped), "status", ("Stopping",))
    bedrock.batch_delete_evaluation_job(jobIdentifiers=[made, stopped])
    if ground.sandbox is not None:
        ground.sandbox.world.set_pace("instant")


def batch(ground: Ground, name: str, model: str = TEACHER) -> dict[str, Any]:
    body = "\n".join(
        json.dumps({"recordId": f"r{n}", "modelInput": {"messages": MESSAGES}}) for n in range(120)
    )
    ground.client("s3").put_object(Bucket=ground.bucket, Key="contract/batch.jsonl", Body=body.encode())
    return {
        "jobName": ground.name(name),
        "roleArn": ground.role,
        "modelId": model,
        "modelInvocationType": "Converse",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"s3://{ground.bucket}/contract/batch.jsonl"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"s3://{ground.bucket}/contract/answers/"}},
    }


def _tell_batch(ground: Ground, bedrock: Any) -> None:
    running = ("Submitted", "Validating", "Scheduled", "InProgress")
    made = bedrock.create_model_invocation_job(**batch(ground, "batch"))["jobArn"]
    ground.wait(lambda: bedrock.get_model_invocation_job(jobIdentifier=made), "status", running)
    bedrock.list_model_invocation_jobs(nameContains=ground.mark)
    if ground.sandbox is not None:
        ground.sandbox.world.set_pace("reads:3")
    stopped = bedrock.create_model_invocation_job(**batch(ground, "halted"))["jobArn"]
    bedrock.stop_model_invocation_job(jobIdentifier=stopped)
    ground.wait(lambda: bedrock.get_model_invocation_job(jobIdentifier=stopped), "status", ("Stopping",))
    if ground.sandbox is not None:
        ground.sandbox.world.set_pace("instant")


def _tell_copy(ground: Ground, model: str) -> None:
    west = ground.client("bedrock", "us-west-2")
    made = west.create_model_copy_job(sourceModelArn=model, targetModelName=ground.name("copy"))["jobArn"]
    ground.wait(lambda: west.get_model_copy_job(jobArn=made), "status", ("InProgress",))
    west.list_model_copy_jobs(targetModelNameContains=ground.mark)
    west.delete_custom_model(modelIdentifier=ground.name("copy"))


def _tell_policy(bedrock: Any, model: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "123456789012"},
        "Action": "bedrock:GetCustomModel",
        "Resource": model,
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    bedrock.put_resource_policy(resourceArn=model, resourcePolicy=json.dumps(policy))
    bedrock.get_resource_policy(resourceArn=model)
    bedrock.delete_resource_policy(resourceArn=model)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_answer_is_what_the_service_model_promises(story: dict[str, list[Exchange]], name: str) -> None:
    _, model = operation(name)
    assert story[name], "the story does not tell this operation"
    for exchange in story[name]:
        assert exchange.status == model.http.get("responseCode", 200)
        assert answer_problems(model, exchange.answer) == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_answer_has_no_member_that_the_model_lacks(story: dict[str, list[Exchange]], name: str) -> None:
    _, model = operation(name)
    streamed = model.has_streaming_output or model.has_event_stream_output
    for exchange in story[name]:
        document = {} if streamed or not exchange.body else json.loads(exchange.body)
        assert unknown_members(model, document) == []


def test_arns_name_the_region_and_the_base_model(story: dict[str, list[Exchange]]) -> None:
    job = story["CreateModelCustomizationJob"][0].answer["jobArn"]
    model = story["GetCustomModel"][0].answer["modelArn"]
    assert job.split(":")[3] == model.split(":")[3] == REGION
    assert f"model-customization-job/{STUDENT}/" in job
    assert f"custom-model/{STUDENT}/" in model


def test_a_completed_job_shows_its_three_sub_tasks_completed(story: dict[str, list[Exchange]]) -> None:
    done = [e.answer for e in story["GetModelCustomizationJob"] if e.answer["status"] == "Completed"]
    assert done
    for job in done:
        assert {detail["status"] for detail in job["statusDetails"].values()} == {"Completed"}
        assert job["endTime"] >= job["creationTime"]


def test_list_and_get_name_the_model_differently(story: dict[str, list[Exchange]]) -> None:
    summary = story["ListModelCustomizationJobs"][-1].answer["modelCustomizationJobSummaries"][0]
    job = story["GetModelCustomizationJob"][0].answer
    assert summary["customModelName"] == job["outputModelName"]
    assert "outputModelName" not in summary


def test_logging_that_is_off_reads_as_an_empty_object(ground: Ground) -> None:
    bedrock = ground.client("bedrock")
    bedrock.delete_model_invocation_logging_configuration()
    assert "loggingConfig" not in bedrock.get_model_invocation_logging_configuration()


def test_a_stream_is_the_same_text_as_the_whole_answer(ground: Ground) -> None:
    runtime = ground.client("bedrock-runtime")
    whole = runtime.converse(modelId=TEACHER, messages=MESSAGES, inferenceConfig={"temperature": 0.0})
    events = list(
        runtime.converse_stream(modelId=TEACHER, messages=MESSAGES, inferenceConfig={"temperature": 0.0})[
            "stream"
        ]
    )
    streamed = "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e)
    assert streamed == whole["output"]["message"]["content"][0]["text"]
    assert next(iter(events[0])) == "messageStart"
    assert {"messageStop", "metadata"} <= {next(iter(e)) for e in events}


def test_a_deleted_model_is_not_found(ground: Ground) -> None:
    bedrock = ground.client("bedrock")
    with pytest.raises(ClientError) as caught:
        bedrock.get_custom_model(
            modelIdentifier=f"arn:aws:bedrock:us-east-1:123456789012:custom-model/{STUDENT}/abcdefabcdef"
        )
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
