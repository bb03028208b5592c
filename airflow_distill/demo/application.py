"""The customer of the demonstration: an account with a bucket, a role and logging, and a program that calls the teacher.

This is what exists before anybody installs the package, so it speaks to AWS with boto3 alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from airflow_distill.aws.endpoints import SERVICES
from airflow_distill.demo.traffic import Call

REGION = "us-east-1"
ACCOUNT = "123456789012"
BUCKET = "pedalway-distill-us-east-1"
LOG_PREFIX = "bedrock-logs"
ROLE_NAME = "PedalwayDistillationRole"
CALLERS = 8


@dataclass(frozen=True, slots=True)
class Account:
    """What the Dag has to be told about the account."""

    root: str
    logs: str
    role_arn: str


@dataclass(frozen=True, slots=True)
class Played:
    """How the traffic went: calls made, and those the service refused."""

    calls: int
    refused: int


def client(service: str, endpoint_url: str) -> Any:
    """Return an SDK client for one service of the local Bedrock; a refused call is not repeated."""
    return boto3.client(
        service,
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
        config=Config(
            retries={"mode": "standard", "total_max_attempts": 1}, max_pool_connections=CALLERS * 2
        ),
    )


AWS_POLICY = "arn:aws:iam::aws:policy/CloudWatchReadOnlyAccess"
"""One of AWS's own policies, as many accounts attach to every role."""


def open_account(endpoint_url: str, *, managed_policies: bool = False) -> Account:
    """Make the bucket and the service role, and turn invocation logging on.

    :param managed_policies: give the role its permissions as an attached policy, beside one of AWS's own, and not inline.
    """
    client("s3", endpoint_url).create_bucket(Bucket=BUCKET)
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "bedrock.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
            }
        ],
    }
    bucket_arn = f"arn:aws:s3:::{BUCKET}"
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"],
                "Resource": [bucket_arn, f"{bucket_arn}/*"],
            },
            {"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": "*"},
        ],
    }
    iam = client("iam", endpoint_url)
    role = iam.create_role(RoleName=ROLE_NAME, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    if managed_policies:
        own = iam.create_policy(PolicyName="distillation", PolicyDocument=json.dumps(policy))["Policy"]
        for arn in (own["Arn"], AWS_POLICY):
            iam.attach_role_policy(RoleName=ROLE_NAME, PolicyArn=arn)
    else:
        iam.put_role_policy(RoleName=ROLE_NAME, PolicyName="distillation", PolicyDocument=json.dumps(policy))
    client("bedrock", endpoint_url).put_model_invocation_logging_configuration(
        loggingConfig={
            "s3Config": {"bucketName": BUCKET, "keyPrefix": LOG_PREFIX},
            "textDataDeliveryEnabled": True,
        }
    )
    return Account(
        root=f"s3://{BUCKET}/distill",
        logs=f"s3://{BUCKET}/{LOG_PREFIX}/AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs/{REGION}",
        role_arn=role["Arn"],
    )


def play(
    endpoint_url: str, model_id: str, calls: Sequence[Call], progress: Callable[[int], None] | None = None
) -> Played:
    """Call the teacher with every call of the traffic, eight at a time; refusals are counted and not repeated."""
    runtime = client("bedrock-runtime", endpoint_url)

    def one(call: Call) -> bool:
        try:
            _ask(runtime, model_id, call)
        except ClientError:
            return False
        return True

    done = refused = 0
    with ThreadPoolExecutor(CALLERS) as pool:
        for answered in pool.map(one, calls):
            done += 1
            refused += not answered
            if progress is not None:
                progress(done)
    return Played(done, refused)


def _ask(runtime: Any, model_id: str, call: Call) -> None:
    if call.api.startswith("InvokeModel"):
        _invoke(runtime, model_id, call)
        return
    request: dict[str, Any] = {
        "modelId": model_id,
        "messages": [{"role": "user", "content": [{"text": call.prompt}]}],
        "inferenceConfig": {"maxTokens": 1000, "temperature": 0.0},
    }
    if call.system:
        request["system"] = [{"text": call.system}]
    if call.metadata:
        request["requestMetadata"] = call.metadata
    if call.api == "Converse":
        runtime.converse(**request)
    else:
        for _ in runtime.converse_stream(**request)["stream"]:
            pass


def _invoke(runtime: Any, model_id: str, call: Call) -> None:
    body: dict[str, Any] = {
        "schemaVersion": "messages-v1",
        "messages": [{"role": "user", "content": [{"text": call.prompt}]}],
        "inferenceConfig": {"maxTokens": 1000, "temperature": 0.0},
    }
    if call.system:
        body["system"] = [{"text": call.system}]
    request: dict[str, Any] = {
        "modelId": model_id,
        "body": json.dumps(body),
        "contentType": "application/json",
    }
    if call.metadata:
        request["requestMetadata"] = json.dumps(call.metadata)
    if call.api == "InvokeModel":
        runtime.invoke_model(**request)["body"].read()
    else:
        for _ in runtime.invoke_model_with_response_stream(**request)["body"]:
            pass


def ask_once(endpoint_url: str, model_id: str, pair: Call) -> str:
    """Ask a model one prompt and return its answer; the demonstration shows it on the terminal."""
    request: dict[str, Any] = {
        "modelId": model_id,
        "messages": [{"role": "user", "content": [{"text": pair.prompt}]}],
        "inferenceConfig": {"maxTokens": 1000},
    }
    if pair.system:
        request["system"] = [{"text": pair.system}]
    answer = client("bedrock-runtime", endpoint_url).converse(**request)
    return "".join(block.get("text", "") for block in answer["output"]["message"]["content"])


def airflow_connection(endpoint_url: str, account: Account) -> str:
    """Return the value of AIRFLOW_CONN_DISTILL_AWS that points at the local Bedrock.

    On AWS only this connection differs: it has the real credentials or role, no endpoints, and the real bucket and role
    under `distill`.
    """
    extra = {
        "region_name": REGION,
        "service_config": {name: {"endpoint_url": endpoint_url} for name in SERVICES},
        "distill": {"root": account.root, "logs": account.logs, "role_arn": account.role_arn},
    }
    return json.dumps({"conn_type": "aws", "login": "sandbox", "password": "sandbox", "extra": extra})
