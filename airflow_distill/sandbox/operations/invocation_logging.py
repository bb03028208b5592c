"""The account's one logging configuration in a Region: put, get, delete."""

from __future__ import annotations

from typing import Any

from airflow_distill.sandbox.failures import validation
from airflow_distill.sandbox.invocation_logs import PERMISSION_CHECK, destination
from airflow_distill.sandbox.neighbours import Location
from airflow_distill.sandbox.operations import operation
from airflow_distill.sandbox.operations.checks import bucket_problem, may, role_is_trusted
from airflow_distill.sandbox.store import ACCOUNT, RegionState
from airflow_distill.sandbox.world import Call, World

_SWITCHES = ("textDataDeliveryEnabled", "imageDataDeliveryEnabled", "embeddingDataDeliveryEnabled",
             "videoDataDeliveryEnabled", "audioDataDeliveryEnabled")  # fmt: skip


@operation("PutModelInvocationLoggingConfiguration")
def put_configuration(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    config = dict(call["loggingConfig"])
    cloudwatch = config.get("cloudWatchConfig")
    if config.get("s3Config") is None and cloudwatch is None:
        raise validation("At least one of s3Config and cloudWatchConfig must be set.")
    if cloudwatch is not None:
        role_is_trusted(world, call, cloudwatch["roleArn"])
        group = f"arn:aws:logs:{call.region}:{ACCOUNT}:log-group:{cloudwatch['logGroupName']}:log-stream:aws/bedrock"
        if not may(world, cloudwatch["roleArn"], "logs:PutLogEvents", f"{group}/modelinvocations"):
            raise validation(f"Failed to validate permissions for log group: {cloudwatch['logGroupName']}")
    targets = [destination(config)]
    large = (cloudwatch or {}).get("largeDataDeliveryS3Config")
    if large:
        targets.append(Location(large["bucketName"], str(large.get("keyPrefix") or "").strip("/")))
    for target in targets:
        if target is None:
            continue
        problem = bucket_problem(world, call.region, target)
        if problem is not None:
            raise validation(f"Failed to validate permissions for bucket {target.bucket}. {problem}")
        _check_bucket_key(world, call, target.bucket)
        world.neighbours.write(target.child(PERMISSION_CHECK), b"")
    for switch in _SWITCHES:
        config.setdefault(switch, True)
    state.logging_config = config
    return {}


def _check_bucket_key(world: World, call: Call, bucket: str) -> None:
    """A bucket under a customer's key takes no logs unless the key's policy names Bedrock."""
    identifier = world.neighbours.key_of_bucket(bucket)
    if identifier is None or not world.options.check_permissions:
        return
    key = world.neighbours.key(identifier, call.region)
    if key is None or not world.neighbours.key_allows_service(key, "kms:GenerateDataKey"):
        raise validation(
            f"Failed to validate permissions for bucket {bucket}. The policy of the KMS key {identifier} does not "
            "allow kms:GenerateDataKey to bedrock.amazonaws.com."
        )


@operation("GetModelInvocationLoggingConfiguration")
def get_configuration(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    return {"loggingConfig": state.logging_config}


@operation("DeleteModelInvocationLoggingConfiguration")
def delete_configuration(world: World, state: RegionState, call: Call) -> dict[str, Any]:
    state.logging_config = None
    return {}
