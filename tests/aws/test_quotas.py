"""No training without a way to serve: quotas and what is in use, asked of the sandbox before anything is bought."""

from __future__ import annotations

from typing import Any

from airflow_distill.aws.doctor import doctor
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.quotas import no_code, no_room, rooms
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.jobs.preflight import CheckResult, Preflight
from airflow_distill.stages.model_table import ModelTable, Quota, using

LLAMA, NOVA = "meta.llama3-1-8b-instruct-v1:0:128k", "amazon.nova-micro-v1:0:128k"
ROLE = "arn:aws:iam::123456789012:role/distill-sandbox"


def account(sandbox: Sandbox, region: str = "us-east-1") -> AwsGateways:
    """The SDK asks once: its own pauses before it gives up on a throttle are not what is tested here."""
    return AwsGateways(lambda service: sandbox.client(service, region))


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


LLAMA_70B = "meta.llama3-1-70b-instruct-v1:0:128k"
"""A student whose quota of units the table of models cannot name."""


def test_a_quota_whose_code_is_not_known_is_an_error_that_says_how_to_know(
    bedrock_environment: Sandbox, bedrock_role: str
) -> None:
    """The quota over all models has room; that of the model may be 0, and nobody can ask for it by a guessed code."""
    grant(bedrock_environment, 5, 5)
    (room,) = rooms(account(bedrock_environment, "us-west-2"), LLAMA_70B, ("provisioned-throughput",))
    assert not room.blocked
    told = no_code((room,))
    assert "aws service-quotas list-service-quotas --service-code bedrock" in told
    assert "--region us-west-2" in told
    assert "units_quota of meta.llama3-1-70b-instruct-v1:0" in told
    assert (
        "L-3632DE15 (Model units no-commitment Provisioned Throughputs for Llama 3.1 8B Instruct, 5)" in told
    )
    failed = examine(bedrock_environment, student=LLAMA_70B, teacher="meta.llama3-1-405b-instruct-v1:0")[
        "host-quota"
    ]
    assert failed.status == "failed"
    assert "list-service-quotas" in failed.message


def test_the_way_to_find_a_code_is_told_where_quotas_cannot_be_listed_either(
    bedrock_environment: Sandbox, bedrock_role: str
) -> None:
    grant(bedrock_environment, 5, 5)
    bedrock_environment.faults.add("access-denied", operation="servicequotas:ListServiceQuotas")
    told = no_code(rooms(account(bedrock_environment, "us-west-2"), LLAMA_70B, ("provisioned-throughput",)))
    assert "list-service-quotas" in told
    assert "Service Quotas lists" not in told


def test_a_user_s_table_that_names_the_code_settles_it(
    bedrock_environment: Sandbox, bedrock_role: str
) -> None:
    own = {
        "v": 1,
        "date": "2026-12-01",
        "models": [
            {
                "id": "meta.llama3-1-70b-instruct-v1:0",
                "hosts": ["provisioned-throughput"],
                "units_quota": "L-3632DE15",
            }
        ],
    }
    gateways = account(bedrock_environment, "us-west-2")
    with using(ModelTable.from_json(own)):
        grant(bedrock_environment, 5, 5)
        assert no_code(rooms(gateways, LLAMA_70B, ("provisioned-throughput",))) == ""
        grant(bedrock_environment, 5, 0)
        assert "L-3632DE15" in no_room(rooms(gateways, LLAMA_70B, ("provisioned-throughput",)))


def test_a_student_that_may_be_served_on_demand_needs_no_code(
    bedrock_environment: Sandbox, bedrock_role: str
) -> None:
    grant(bedrock_environment, 5, 5)
    kinds = ("provisioned-throughput", "custom-model-deployment")
    found = rooms(account(bedrock_environment), NOVA, kinds)
    assert no_code(found) == ""
    assert found[0].unlisted, "nobody has published the code of Nova Micro"


def test_both_ways_closed_for_different_reasons_are_both_told(
    bedrock_environment: Sandbox, bedrock_role: str
) -> None:
    grant(bedrock_environment, 5, 5)
    bedrock_environment.world.set_quota("custom-model-deployments", 0)
    told = no_code(
        rooms(account(bedrock_environment), NOVA, ("provisioned-throughput", "custom-model-deployment"))
    )
    assert "custom-model-deployment: quota L-0406044C" in told
    assert "provisioned-throughput: the code of its second quota" in told
