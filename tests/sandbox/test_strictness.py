"""What the service enforces and an easy stand-in would let through."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.failures import SandboxUsageError
from airflow_distill.sandbox.server import SERVICE_ROLE_POLICY, TRUST_POLICY
from airflow_distill.sandbox.traffic import Pair
from airflow_distill.sandbox.world import GRANTED_UNITS
from tests.sandbox.conftest import STUDENT, prompt_lines

Put = Callable[[str, str], str]
Distil = Callable[..., str]
Job = Callable[[str], dict[str, Any]]
ACCOUNT = "123456789012"
ASK = [{"role": "user", "content": [{"text": "my refund has not shown up"}]}]


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


@pytest.fixture
def model(put: Put, distil: Distil, job: Job, tickets: list[Pair]) -> str:
    """The ARN of a custom model."""
    distil("student", put("p.jsonl", prompt_lines(tickets)))
    return str(job("student")["outputModelArn"])


# --- training data --------------------------------------------------------------------------------------------------


def long_line(length: int) -> str:
    """A record whose line has exactly so many bytes."""
    empty = json.dumps(
        {
            "schemaVersion": "bedrock-conversation-2024",
            "messages": [{"role": "user", "content": [{"text": ""}]}],
        }
    )
    return empty.replace('"text": ""', '"text": "' + "a" * (length - len(empty)) + '"')


def test_a_line_above_16_kb_fails_a_distillation_job(
    bedrock_sandbox: Sandbox, put: Put, distil: Distil, job: Job, tickets: list[Pair]
) -> None:
    distil("fits", put("a.jsonl", prompt_lines(tickets) + "\n" + long_line(16_384)))
    assert job("fits")["status"] == "Completed"
    distil("long", put("b.jsonl", prompt_lines(tickets) + "\n" + long_line(16_385)))
    found = job("long")
    assert (found["status"], found["statusDetails"]["validationDetails"]["status"]) == ("Failed", "Failed")
    assert "maximum line length" in found["failureMessage"]
    assert "151" in found["failureMessage"]


def test_a_line_above_16_kb_may_be_dropped_instead(
    bedrock_sandbox: Sandbox, put: Put, distil: Distil, job: Job, tickets: list[Pair]
) -> None:
    """Nobody outside knows which of the two the service does."""
    bedrock_sandbox.world.options.change("long_lines", "drop")
    distil("long", put("b.jsonl", prompt_lines(tickets) + "\n" + long_line(16_385)))
    assert job("long")["status"] == "Completed"


def test_a_pair_longer_than_the_students_context_in_training_fails_the_job(
    put: Put, job: Job, distil: Distil
) -> None:
    """The context that counts is that of training, 32,000 tokens, not the 300,000 of the id."""
    words = "word " * 33_000
    rows = [Pair(f"{n} {words if n == 7 else ''}", "x") for n in range(20)]
    uri = put("p.jsonl", prompt_lines(rows, labelled=True))
    fine_tune(distil, "long", uri)
    found = job("long")
    assert found["status"] == "Failed"
    assert "exceeds limit of 32000" in found["failureMessage"]


def fine_tune(distil: Distil, name: str, uri: str, **changes: Any) -> str:
    return distil(name, uri, **{"customizationType": "FINE_TUNING", "customizationConfig": None, **changes})


def test_validation_data_may_be_named_for_a_distillation_job(
    put: Put, distil: Distil, job: Job, tickets: list[Pair]
) -> None:
    validation = {"validators": [{"s3Uri": put("v.jsonl", prompt_lines(tickets[:20]))}]}
    distil("validated", put("p.jsonl", prompt_lines(tickets)), validationDataConfig=validation)
    assert job("validated")["validationDataConfig"] == validation
    distil("split", put("p.jsonl", prompt_lines(tickets)))
    assert "validationDataConfig" not in job("split")


# --- hosts ----------------------------------------------------------------------------------------------------------


def test_a_new_account_has_no_units_without_commitment(bedrock_sandbox: Sandbox, model: str) -> None:
    bedrock = bedrock_sandbox.client("bedrock")
    for missing in GRANTED_UNITS:
        for name, value in GRANTED_UNITS.items():
            bedrock_sandbox.world.set_quota(name, 0 if name == missing else value)
        with pytest.raises(
            ClientError, match="does not currently have any no commitment model units"
        ) as caught:
            bedrock.create_provisioned_model_throughput(provisionedModelName="h", modelId=model, modelUnits=1)
        assert code_of(caught) == "ServiceQuotaExceededException"
    assert bedrock.list_provisioned_model_throughputs()["provisionedModelSummaries"] == []


def test_units_are_counted_over_all_models_and_for_each(bedrock_sandbox: Sandbox, model: str) -> None:
    bedrock = bedrock_sandbox.client("bedrock")

    def buy(name: str, units: int) -> None:
        bedrock.create_provisioned_model_throughput(
            provisionedModelName=name, modelId=model, modelUnits=units
        )

    bedrock_sandbox.world.set_quota("model-units-no-commitment-per-model", 2)
    buy("one", 2)
    with pytest.raises(ClientError, match=f"units of {STUDENT}"):
        buy("two", 1)
    bedrock_sandbox.world.set_quota("model-units-no-commitment-per-model", 9)
    bedrock_sandbox.world.set_quota("model-units-no-commitment", 3)
    buy("two", 1)
    with pytest.raises(ClientError, match="across custom models"):
        buy("three", 1)


def test_a_sandbox_begins_with_the_quotas_of_a_new_account() -> None:
    with Sandbox() as sandbox:
        assert [sandbox.world.quotas[name] for name in GRANTED_UNITS] == [0, 0]


def test_a_throughput_whose_update_failed_is_failed(bedrock_sandbox: Sandbox, model: str) -> None:
    bedrock = bedrock_sandbox.client("bedrock")
    bedrock.create_provisioned_model_throughput(provisionedModelName="h", modelId=model, modelUnits=1)
    bedrock_sandbox.faults.add("fail", operation="UpdateProvisionedModelThroughput", count=1)
    bedrock.update_provisioned_model_throughput(provisionedModelId="h", desiredModelId=STUDENT)
    found = bedrock.get_provisioned_model_throughput(provisionedModelId="h")
    assert (found["status"], found["modelArn"]) == ("Failed", model)
    assert found["desiredModelArn"] != model
    assert found["failureMessage"]
    bedrock_sandbox.world.options.change("failed_throughput", "final")
    with pytest.raises(ClientError, match="status is Failed"):
        bedrock.update_provisioned_model_throughput(provisionedModelId="h", desiredModelId=model)
    bedrock_sandbox.world.options.change("failed_throughput", "updatable")
    bedrock.update_provisioned_model_throughput(provisionedModelId="h", desiredModelId=model)
    found = bedrock.get_provisioned_model_throughput(provisionedModelId="h")
    assert (found["status"], found["desiredModelArn"]) == ("InService", model)
    assert "failureMessage" not in found
    bedrock.delete_provisioned_model_throughput(provisionedModelId="h")


def test_a_deployment_takes_so_many_requests_a_minute_as_its_base_model_may(
    bedrock_sandbox: Sandbox, model: str
) -> None:
    bedrock, runtime = bedrock_sandbox.client("bedrock"), bedrock_sandbox.client("bedrock-runtime")
    bedrock.create_custom_model_deployment(modelDeploymentName="d", modelArn=model)
    arn = bedrock.get_custom_model_deployment(customModelDeploymentIdentifier="d")["customModelDeploymentArn"]
    for _ in range(3):
        runtime.converse(modelId=arn, messages=ASK)
    bedrock_sandbox.world.set_quota("deployment-requests-per-minute", 4)
    runtime.converse(modelId=arn, messages=ASK)
    with pytest.raises(ClientError) as caught:
        runtime.converse(modelId=arn, messages=ASK)
    assert code_of(caught) == "ThrottlingException"


# --- reads after a create, and reads of what is not there -----------------------------------------------------------


def test_get_and_list_may_lag_behind_a_create(bedrock_sandbox: Sandbox, model: str) -> None:
    bedrock = bedrock_sandbox.client("bedrock")
    bedrock_sandbox.world.options.change("read_lag_seconds", 30)
    bedrock.create_provisioned_model_throughput(
        provisionedModelName="h", modelId=model, modelUnits=1, clientRequestToken="once"
    )
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            bedrock.get_provisioned_model_throughput(provisionedModelId="h")
        assert code_of(caught) == "ResourceNotFoundException"
        assert bedrock.list_provisioned_model_throughputs()["provisionedModelSummaries"] == []
        bedrock_sandbox.clock.advance(14)
    with pytest.raises(ClientError, match="name is currently in use"):
        bedrock.create_provisioned_model_throughput(provisionedModelName="h", modelId=model, modelUnits=1)
    bedrock_sandbox.clock.advance(3)
    assert bedrock.get_provisioned_model_throughput(provisionedModelId="h")["status"] == "InService"
    assert len(bedrock.list_provisioned_model_throughputs()["provisionedModelSummaries"]) == 1


def test_jobs_and_deployments_lag_too_and_their_token_still_tells_the_purchase(
    bedrock_sandbox: Sandbox, put: Put, distil: Distil, job: Job, tickets: list[Pair]
) -> None:
    bedrock_sandbox.world.options.change("read_lag_seconds", "60")
    uri = put("p.jsonl", prompt_lines(tickets))
    arn = distil("late", uri, clientRequestToken="once")
    with pytest.raises(ClientError, match="could not be found"):
        job("late")
    assert distil("late", uri, clientRequestToken="once") == arn
    bedrock_sandbox.clock.advance(61)
    assert job("late")["jobArn"] == arn


GETS = [
    ("get_model_customization_job", "jobIdentifier"),
    ("get_custom_model", "modelIdentifier"),
    ("get_provisioned_model_throughput", "provisionedModelId"),
    ("get_custom_model_deployment", "customModelDeploymentIdentifier"),
]


@pytest.mark.parametrize(("method", "member"), GETS)
@pytest.mark.parametrize(
    ("choice", "code"), [("not-found", "ResourceNotFoundException"), ("validation", "ValidationException")]
)
def test_an_unknown_name_is_refused_in_either_of_two_ways(
    bedrock_sandbox: Sandbox, method: str, member: str, choice: str, code: str
) -> None:
    from airflow_distill.aws.bedrock import BedrockGateway
    from airflow_distill.errors import ServiceNotFoundError

    bedrock_sandbox.world.options.change("unknown_name", choice)
    client = bedrock_sandbox.client("bedrock")
    with pytest.raises(ClientError) as caught:
        getattr(client, method)(**{member: "nobody-has-this-name"})
    assert code_of(caught) == code
    with pytest.raises(ServiceNotFoundError):
        BedrockGateway(client).call(method, **{member: "nobody-has-this-name"})


@pytest.mark.parametrize("value", [-1, 601, "soon", True, None])
def test_a_lag_is_a_number_of_seconds(bedrock_sandbox: Sandbox, value: Any) -> None:
    with pytest.raises(SandboxUsageError, match="seconds"):
        bedrock_sandbox.world.options.change("read_lag_seconds", value)


# --- evaluation, batch and the runtime --------------------------------------------------------------------------------


def test_custom_models_and_hosts_are_refused_in_batch_inference(
    bedrock_sandbox: Sandbox, bedrock_role: str, model: str
) -> None:
    bedrock = bedrock_sandbox.client("bedrock")
    host = bedrock.create_provisioned_model_throughput(provisionedModelName="h", modelId=model, modelUnits=1)[
        "provisionedModelArn"
    ]
    for identifier in (model, host):
        with pytest.raises(
            ClientError, match=r"not supported for batch inference|failed to satisfy"
        ) as caught:
            bedrock.create_model_invocation_job(
                jobName="batch",
                roleArn=bedrock_role,
                modelId=identifier,
                inputDataConfig={"s3InputDataConfig": {"s3Uri": "s3://distill-sandbox/in.jsonl"}},
                outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://distill-sandbox/out/"}},
            )
        assert code_of(caught) == "ValidationException"


def judge_request(role: str, metrics: list[str]) -> dict[str, Any]:
    location = {"s3Uri": "s3://distill-sandbox/judged.jsonl"}
    dataset = {"name": "judged", "datasetLocation": location}
    config = {"taskType": "General", "dataset": dataset, "metricNames": metrics}
    judge = {"bedrockEvaluatorModels": [{"modelIdentifier": "us.anthropic.claude-haiku-4-5-20251001-v1:0"}]}
    return {
        "jobName": f"judge-{len(metrics)}",
        "roleArn": role,
        "evaluationConfig": {"automated": {"datasetMetricConfigs": [config], "evaluatorModelConfig": judge}},
        "inferenceConfig": {
            "models": [{"precomputedInferenceSource": {"inferenceSourceIdentifier": "ours"}}]
        },
        "outputDataConfig": {"s3Uri": "s3://distill-sandbox/judged/"},
    }


METRICS = ["Builtin.Correctness", "Builtin.Completeness", "Builtin.Helpfulness", "Builtin.Coherence"]


def test_a_judge_job_takes_three_metrics(bedrock_sandbox: Sandbox, bedrock_role: str) -> None:
    bedrock = bedrock_sandbox.client("bedrock")
    with pytest.raises(ClientError, match="3 metrics") as caught:
        bedrock.create_evaluation_job(**judge_request(bedrock_role, METRICS))
    assert code_of(caught) == "ServiceQuotaExceededException"
    bedrock.create_evaluation_job(**judge_request(bedrock_role, METRICS[:3]))


def test_a_judge_job_fails_on_a_prompt_above_4_kb(
    bedrock_sandbox: Sandbox, bedrock_role: str, put: Put
) -> None:
    def row(size: int) -> str:
        return json.dumps(
            {"prompt": "é" * (size // 2), "modelResponses": [{"response": "a", "modelIdentifier": "ours"}]}
        )

    bedrock = bedrock_sandbox.client("bedrock")
    put("judged.jsonl", "\n".join([row(4096), row(4098)]))
    arn = bedrock.create_evaluation_job(**judge_request(bedrock_role, METRICS[:1]))["jobArn"]
    found = bedrock.get_evaluation_job(jobIdentifier=arn)
    assert found["status"] == "Failed"
    assert "record 2" in found["failureMessages"][0]


def test_a_model_may_refuse_temperature(bedrock_sandbox: Sandbox) -> None:
    runtime = bedrock_sandbox.client("bedrock-runtime")
    with pytest.raises(ClientError, match="`temperature` is deprecated for this model") as caught:
        runtime.converse(
            modelId="us.anthropic.claude-opus-4-7", messages=ASK, inferenceConfig={"temperature": 0.0}
        )
    assert code_of(caught) == "ValidationException"
    runtime.converse(modelId="us.anthropic.claude-haiku-4-5-20251001-v1:0", messages=ASK,
                     inferenceConfig={"temperature": 0.0})  # fmt: skip


def test_a_model_that_reasons_spends_a_small_limit_before_it_answers(bedrock_sandbox: Sandbox) -> None:
    runtime = bedrock_sandbox.client("bedrock-runtime")

    def ask(limit: int) -> tuple[list[str], str]:
        answer = runtime.converse(
            modelId="us.anthropic.claude-opus-4-7", messages=ASK, inferenceConfig={"maxTokens": limit}
        )
        blocks = answer["output"]["message"]["content"]
        return [kind for block in blocks for kind in block], answer["stopReason"]

    assert ask(200) == (["reasoningContent"], "max_tokens")
    assert ask(2000) == (["reasoningContent", "text"], "end_turn")


# --- roles and keys ---------------------------------------------------------------------------------------------------


@pytest.fixture
def bare_role(bedrock_sandbox: Sandbox, bedrock_role: str) -> str:
    """A role that Bedrock may assume and that may do nothing."""
    iam = bedrock_sandbox.client("iam")
    iam.create_role(RoleName="bare", AssumeRolePolicyDocument=json.dumps(TRUST_POLICY))
    return f"arn:aws:iam::{ACCOUNT}:role/bare"


def test_a_customers_managed_policy_counts_in_its_default_version(
    bedrock_sandbox: Sandbox, bare_role: str, put: Put, distil: Distil, job: Job, tickets: list[Pair]
) -> None:
    iam, uri = bedrock_sandbox.client("iam"), put("p.jsonl", prompt_lines(tickets))
    nothing = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}],
    }
    arn = iam.create_policy(PolicyName="work", PolicyDocument=json.dumps(nothing))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="bare", PolicyArn=arn)
    distil("before", uri, roleArn=bare_role)
    assert "PutObject" in job("before")["failureMessage"]
    iam.create_policy_version(
        PolicyArn=arn, PolicyDocument=json.dumps(SERVICE_ROLE_POLICY), SetAsDefault=True
    )
    distil("after", uri, roleArn=bare_role)
    assert job("after")["status"] == "Completed"


def test_an_aws_managed_policy_counts_too(
    bedrock_sandbox: Sandbox, bare_role: str, put: Put, distil: Distil, job: Job, tickets: list[Pair]
) -> None:
    iam, uri = bedrock_sandbox.client("iam"), put("p.jsonl", prompt_lines(tickets))
    arn = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
    iam.attach_role_policy(RoleName="bare", PolicyArn=arn)
    distil("managed", uri, roleArn=bare_role)
    assert job("managed")["status"] == "Completed"


@pytest.fixture
def key(bedrock_sandbox: Sandbox) -> str:
    """A customer's key whose policy leaves everything to the account's own policies."""
    return str(bedrock_sandbox.client("kms").create_key()["KeyMetadata"]["Arn"])


def allow_key(sandbox: Sandbox, key: str, *actions: str) -> None:
    statement = {"Effect": "Allow", "Action": [f"kms:{a}" for a in actions], "Resource": key}
    sandbox.client("iam").put_role_policy(
        RoleName="distill-sandbox",
        PolicyName="key",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )


def test_a_models_key_needs_four_actions_of_the_role(
    bedrock_sandbox: Sandbox, key: str, put: Put, distil: Distil, job: Job, tickets: list[Pair]
) -> None:
    uri, actions = (
        put("p.jsonl", prompt_lines(tickets)),
        ["Decrypt", "GenerateDataKey", "DescribeKey", "CreateGrant"],
    )
    for number, missing in enumerate(actions):
        allow_key(bedrock_sandbox, key, *(action for action in actions if action != missing))
        distil(f"without-{number}", uri, customModelKmsKeyId=key)
        assert f"kms:{missing}" in job(f"without-{number}")["failureMessage"]
    allow_key(bedrock_sandbox, key, *actions)
    distil("with", uri, customModelKmsKeyId=key)
    assert job("with")["outputModelKmsKeyArn"] == key


def test_a_key_that_is_not_there_is_refused_at_once(put: Put, distil: Distil, tickets: list[Pair]) -> None:
    gone = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/12345678-1234-1234-1234-123456789012"
    with pytest.raises(ClientError, match="does not exist or is not enabled"):
        distil("none", put("p.jsonl", prompt_lines(tickets)), customModelKmsKeyId=gone)


def test_data_under_a_key_is_read_and_written_only_with_the_keys_permission(
    bedrock_sandbox: Sandbox, key: str, put: Put, distil: Distil, job: Job, tickets: list[Pair]
) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    bedrock_sandbox.client("s3").put_bucket_encryption(
        Bucket="distill-sandbox", ServerSideEncryptionConfiguration={"Rules": [rule]}
    )
    uri = put("p.jsonl", prompt_lines(tickets))
    distil("neither", uri)
    assert "kms:GenerateDataKey" in job("neither")["failureMessage"]
    allow_key(bedrock_sandbox, key, "GenerateDataKey")
    distil("writes", uri)
    assert "kms:Decrypt" in job("writes")["failureMessage"]
    allow_key(bedrock_sandbox, key, "GenerateDataKey", "Decrypt")
    distil("both", uri)
    assert job("both")["status"] == "Completed"


def test_logs_go_into_a_bucket_under_a_key_only_when_the_key_names_bedrock(
    bedrock_sandbox: Sandbox, key: str, bedrock_role: str
) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    bedrock_sandbox.client("s3").put_bucket_encryption(
        Bucket="distill-sandbox", ServerSideEncryptionConfiguration={"Rules": [rule]}
    )
    with pytest.raises(ClientError, match="kms:GenerateDataKey"):
        bedrock_sandbox.enable_logging()
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "bedrock.amazonaws.com"},
        "Action": "kms:GenerateDataKey",
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    bedrock_sandbox.client("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=policy)
    bedrock_sandbox.enable_logging()
