"""No training without a way to serve: quotas and what is in use, asked of the sandbox before anything is bought."""

from __future__ import annotations

from typing import Any

from airflow_distill.aws.doctor import doctor
from airflow_distill.aws.gateways import AwsGateways, gateways_from_session
from airflow_distill.aws.quotas import no_room, rooms
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.jobs.preflight import CheckResult, Preflight
from airflow_distill.stages.model_table import Quota

LLAMA, NOVA = "meta.llama3-1-8b-instruct-v1:0:128k", "amazon.nova-micro-v1:0:128k"
ROLE = "arn:aws:iam::123456789012:role/distill-sandbox"


def account(sandbox: Sandbox, region: str = "us-east-1") -> AwsGateways:
    return gateways_from_session(region_name=region, endpoint_url=sandbox.endpoint_url)


UNGRANTED = {"over_all": 0, "of_model": 0}
"""What an account begins with."""


def grant(sandbox: Sandbox, over_all: float, of_model: float) -> None:
    sandbox.world.set_quota("model-units-no-commitment", over_all)
    sandbox.world.set_quota("model-units-no-commitment-per-model", of_model)


def test_units_without_commitment_are_none_by_default_and_the_answer_says_where_to_raise_them(
    bedrock_environment: Sandbox, bedrock_role: str
) -> None:
    grant(bedrock_environment, **UNGRANTED)
    (room,) = rooms(account(bedrock_environment, "us-west-2"), LLAMA, ("provisioned-throughput",))
    assert "L-BE77399C" in room.blocked
    assert "is 0, 0 in use" in room.blocked
    assert (
        "us-west-2.console.aws.amazon.com/servicequotas/home/services/bedrock/quotas/L-BE77399C"
        in room.blocked
    )
    assert no_room((room,)).startswith("provisioned-throughput: ")


def test_both_quotas_of_units_must_have_room(bedrock_environment: Sandbox, bedrock_role: str) -> None:
    gateways = account(bedrock_environment, "us-west-2")
    grant(bedrock_environment, 2, 0)
    (room,) = rooms(gateways, LLAMA, ("provisioned-throughput",))
    assert "L-3632DE15" in room.blocked
    grant(bedrock_environment, 2, 1)
    assert rooms(gateways, LLAMA, ("provisioned-throughput",))[0].blocked == ""
    assert rooms(gateways, LLAMA, ("provisioned-throughput",), units=2)[0].blocked


def test_deployments_in_use_count_against_their_quota(
    bedrock_environment: Sandbox, bedrock_role: str
) -> None:
    grant(bedrock_environment, **UNGRANTED)
    gateways = account(bedrock_environment)
    kinds = ("provisioned-throughput", "custom-model-deployment")
    assert no_room(rooms(gateways, NOVA, kinds)) == "", "one kind that fits is enough"
    bedrock_environment.world.set_quota("custom-model-deployments", 0)
    blocked = no_room(rooms(gateways, NOVA, kinds))
    assert "L-0406044C" in blocked
    assert "L-BE77399C" in blocked


def test_a_region_without_deployments_is_no_way_to_serve(
    bedrock_environment: Sandbox, bedrock_role: str
) -> None:
    (room,) = rooms(account(bedrock_environment, "us-east-2"), NOVA, ("custom-model-deployment",))
    assert "not in us-east-2" in room.blocked


def test_quotas_that_may_not_be_read_are_unknown_and_never_taken_for_room_or_for_none(
    bedrock_environment: Sandbox, bedrock_role: str
) -> None:
    bedrock_environment.faults.add("access-denied", operation="servicequotas:*")
    (room,) = rooms(account(bedrock_environment, "us-west-2"), LLAMA, ("provisioned-throughput",))
    assert not room.blocked
    assert "servicequotas:GetServiceQuota" in room.unknown
    assert no_room((room,)) == ""


def test_a_quota_that_the_service_does_not_know_is_unknown(bedrock_environment: Sandbox) -> None:
    gateways = account(bedrock_environment)
    assert gateways.quotas.limit(Quota("L-00000000", "nothing")) is None
    assert gateways.quotas.limit(Quota("", "nothing")) is None
    assert gateways.quotas.limit(Quota("", "Custom model deployments")) == 10


def examine(sandbox: Sandbox, **changes: Any) -> dict[str, CheckResult]:
    spec = Preflight(
        **{
            "workload": "w",
            "root": "s3://distill-sandbox/loop",
            "teacher": "meta.llama3-1-70b-instruct-v1:0",
            "student": LLAMA,
            "role_arn": ROLE,
            **changes,
        }
    )
    results = doctor(spec, account(sandbox, "us-west-2"), sleep=lambda seconds: None)
    return {result.name: result for result in results}


def test_the_doctor_fails_a_student_that_no_host_could_serve(
    bedrock_environment: Sandbox, bedrock_role: str
) -> None:
    grant(bedrock_environment, **UNGRANTED)
    result = examine(bedrock_environment)["host-quota"]
    assert result.status == "failed"
    assert "L-BE77399C" in result.message
    assert "model units no-commitment" in result.message
    grant(bedrock_environment, 1, 1)
    assert examine(bedrock_environment)["host-quota"].status == "ok"


def test_the_doctor_tells_quotas_it_could_not_ask_for_apart_from_none(
    bedrock_environment: Sandbox, bedrock_role: str
) -> None:
    bedrock_environment.faults.add("throttle", operation="servicequotas:GetServiceQuota")
    assert examine(bedrock_environment)["host-quota"].status == "unknown"
    bedrock_environment.faults.clear()
    bedrock_environment.faults.add("access-denied", operation="servicequotas:GetServiceQuota")
    assert examine(bedrock_environment)["host-quota"].status == "warning"


def test_a_student_without_a_known_host_needs_one_that_its_user_names(bedrock_environment: Sandbox) -> None:
    unlisted = {"student": "mistral.small-v1:0:32k"}
    assert examine(bedrock_environment, **unlisted)["hosting"].status == "failed"
    named = examine(bedrock_environment, **unlisted, host_kind="provisioned-throughput")["hosting"]
    assert named.status == "warning"
    assert "you named provisioned-throughput" in named.message
