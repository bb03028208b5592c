"""Answers as the service may give them: members missing or new, words in another case, statuses that nobody knows."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_distill.aws.account import find_host, iter_models, iter_running_jobs, read_capability
from airflow_distill.aws.models import compare_with_account, lifecycle_of
from airflow_distill.aws.remote_work import WORK
from airflow_distill.errors import (
    ServiceAccessError,
    ServiceConflictError,
    ServiceError,
    ServiceNotFoundError,
    ServiceQuotaError,
    ServiceThrottledError,
    ServiceUnavailableError,
)
from airflow_distill.remote.hosts import read_host
from airflow_distill.remote.records import STATES, Kind, spelled, state_of, status_of
from airflow_distill.stages.model_table import ModelTable, Quota, packaged
from tests.aws.answering import answering

ARN = "arn:aws:bedrock:us-east-1:123456789012:"
MODEL = f"{ARN}custom-model/amazon.nova-micro-v1:0:128k/abcdefabcdef"
PATHS: dict[Kind, str] = {
    "customization-job": "/model-customization-jobs",
    "evaluation-job": "/evaluation-jobs",
    "batch-inference-job": "/model-invocation-job",
    "model-copy-job": "/model-copy-jobs",
    "provisioned-throughput": "/provisioned-model-throughput",
    "custom-model-deployment": "/model-customization/custom-model-deployments",
}
KNOWN = [(kind, status) for kind, table in STATES.items() for status in table]


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "status"), KNOWN)
@pytest.mark.parametrize("change", [str.upper, str.lower, lambda word: f" {word} "])
def test_a_status_in_another_case_is_the_status(kind: Kind, status: str, change: Any) -> None:
    assert status_of(kind, change(status)) == status
    assert state_of(kind, change(status)) == STATES[kind][status]


@pytest.mark.parametrize(
    ("told", "known"),
    [("IN_PROGRESS", "InProgress"), ("in-progress", "InProgress"), ("In Progress", "InProgress")],
)
def test_words_are_the_same_with_and_without_marks_between_their_parts(told: str, known: str) -> None:
    assert spelled(told, ["Completed", "InProgress"]) == known


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("told", ["Paused", "QUEUED_FOR_REVIEW", "", None])
def test_a_status_that_nobody_knows_is_told_as_it_was_and_never_taken_for_an_end(
    kind: Kind, told: Any
) -> None:
    snapshot = WORK[kind].snapshot({"status": told, "jobArn": "a", "jobName": "n"})
    assert snapshot.status == (told or "")
    assert snapshot.state == "unknown"
    assert not snapshot.ended


@pytest.mark.parametrize("kind", STATES)
def test_an_empty_answer_is_unknown_work_and_no_crash(kind: Kind) -> None:
    snapshot = WORK[kind].snapshot({})
    assert (snapshot.state, snapshot.arn, snapshot.reason) == ("unknown", "", "")


@pytest.mark.parametrize("kind", STATES)
def test_members_that_are_new_are_left_alone(kind: Kind) -> None:
    """Over the wire: the SDK drops members that its model does not know."""
    body = {
        "status": "InProgress",
        "jobArn": f"{ARN}x/abcdefabcdef",
        "sparkles": {"deep": [1]},
        "tier": "gold",
    }
    with answering({PATHS[kind]: body}) as (gateways, _):
        assert WORK[kind].look(gateways.bedrock, f"{ARN}x/abcdefabcdef").state in ("active", "unknown")


# --- jobs -------------------------------------------------------------------------------------------------------------


def test_a_job_without_optional_members_is_read() -> None:
    answer = {"status": "COMPLETED", "jobName": "n", "outputModelArn": MODEL, "trainingMetrics": None}
    snapshot = WORK["customization-job"].snapshot(answer)
    assert (snapshot.state, snapshot.status) == ("succeeded", "Completed")
    assert snapshot.details == {"output_model_arn": MODEL}


@pytest.mark.parametrize("told", [None, {}, {"trainingDetails": None}, {"trainingDetails": {}}])
def test_phases_may_be_missing_or_empty(told: Any) -> None:
    snapshot = WORK["customization-job"].snapshot({"status": "InProgress", "statusDetails": told})
    assert snapshot.state == "active"
    assert not snapshot.details.get("phases")


def test_a_failure_without_a_reason_is_a_failure() -> None:
    assert WORK["customization-job"].snapshot({"status": "FAILED"}).reason == ""
    assert WORK["evaluation-job"].snapshot({"status": "Failed", "failureMessages": None}).reason == ""


@pytest.mark.parametrize(
    "kind", ["customization-job", "evaluation-job", "batch-inference-job", "model-copy-job"]
)
def test_a_list_without_its_member_is_an_empty_list(kind: Kind) -> None:
    with answering({}) as (gateways, _):
        assert [page for page in WORK[kind].list_pages(gateways.bedrock, None) if page] == []


@pytest.mark.parametrize(
    ("method", "member"),
    [
        ("create_customization_job", "jobArn"),
        ("create_provisioned_throughput", "provisionedModelArn"),
        ("create_deployment", "customModelDeploymentArn"),
        ("create_evaluation_job", "jobArn"),
        ("create_batch_job", "jobArn"),
        ("create_copy_job", "jobArn"),
    ],
)
def test_a_purchase_whose_answer_names_no_arn_is_an_unknown_outcome(method: str, member: str) -> None:
    """Whoever buys looks the name up after any error; a crash would end the task with the purchase unseen."""
    from airflow_distill.aws.bedrock import BedrockGateway

    class Empty:
        def __getattr__(self, name: str) -> Any:
            return lambda **request: {"ResponseMetadata": {}}

    with pytest.raises(ServiceUnavailableError, match=f"names no {member}") as caught:
        getattr(BedrockGateway(Empty()), method)({})
    assert caught.value.retryable
    assert "looked up by its name" in caught.value.hint


# --- hosts ------------------------------------------------------------------------------------------------------------


def throughput(**changes: Any) -> dict[str, Any]:
    told = {
        "provisionedModelArn": f"{ARN}provisioned-model/abcdefabcdef",
        "provisionedModelName": "h",
        "modelArn": MODEL,
        "desiredModelArn": MODEL,
        "foundationModelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0:128k",
        "modelUnits": 1,
        "desiredModelUnits": 1,
        "status": "InService",
        "creationTime": "2026-11-20T00:00:00Z",
        "lastModifiedTime": "2026-11-20T00:00:00Z",
        **changes,
    }
    return {name: value for name, value in told.items() if value is not None}


def deployment(**changes: Any) -> dict[str, Any]:
    told = {
        "customModelDeploymentArn": f"{ARN}custom-model-deployment/abcdefabcdef",
        "modelDeploymentName": "h",
        "modelArn": MODEL,
        "createdAt": "2026-11-20T00:00:00Z",
        "status": "Active",
        **changes,
    }
    return {name: value for name, value in told.items() if value is not None}


@pytest.mark.parametrize("status", ["InService", "INSERVICE", "in_service", "In Service"])
def test_a_throughput_in_service_is_ready_however_it_is_spelled(status: str) -> None:
    host = read_host("provisioned-throughput", throughput(status=status))
    assert host.status == "InService"
    assert host.state(MODEL) == "ready"


@pytest.mark.parametrize("status", ["ACTIVE", "active"])
def test_a_deployment_that_is_active_is_ready_however_it_is_spelled(status: str) -> None:
    assert read_host("custom-model-deployment", deployment(status=status)).state(MODEL) == "ready"


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({"updateStatus": "UPDATING", "modelArn": MODEL + "x"}, "settling"),
        ({"updateStatus": "update_failed", "modelArn": MODEL + "x"}, "failed"),
        ({"updateStatus": "UPDATE_COMPLETED", "modelArn": MODEL + "x"}, "ready"),
        ({"updateStatus": None}, "other-model"),
        ({}, "other-model"),
        (None, "other-model"),
    ],
)
def test_an_update_is_read_however_it_is_spelled_and_also_when_it_is_not_told(told: Any, state: str) -> None:
    host = read_host("custom-model-deployment", deployment(updateDetails=told))
    assert host.state(MODEL + "x") == state


@pytest.mark.parametrize("kind", ["provisioned-throughput", "custom-model-deployment"])
@pytest.mark.parametrize("status", ["Draining", "MIGRATING", ""])
def test_a_host_in_an_unknown_status_is_neither_ready_nor_failed(kind: Any, status: str) -> None:
    answer = throughput(status=status) if kind == "provisioned-throughput" else deployment(status=status)
    host = read_host(kind, answer)
    assert host.state(MODEL) == "settling"
    assert not host.usable
    assert WORK[kind].snapshot(answer).state == "unknown"


@pytest.mark.parametrize(
    "missing", ["desiredModelArn", "foundationModelArn", "modelUnits", "creationTime", "lastModifiedTime"]
)
def test_a_throughput_without_a_member_is_read(missing: str) -> None:
    with answering({"/provisioned-model-throughput": throughput(**{missing: None})}) as (gateways, _):
        host = find_host(gateways.bedrock, "provisioned-throughput", "h", tags=False)
    assert host is not None
    assert (host.state(MODEL), host.base_model) == ("ready", "amazon.nova-micro-v1:0")


def test_a_host_whose_tags_are_not_told_has_none() -> None:
    answers = {"/listTagsForResource": {}, "/provisioned-model-throughput": throughput()}
    with answering(answers) as (gateways, _):
        host = find_host(gateways.bedrock, "provisioned-throughput", "h")
    assert host is not None
    assert host.tags == {}


def test_a_host_that_is_gone_between_get_and_tags_is_none() -> None:
    gone = (404, "ResourceNotFoundException", "not found")
    answers = {"/listTagsForResource": gone, "/provisioned-model-throughput": throughput()}
    with answering(answers) as (gateways, _):
        assert find_host(gateways.bedrock, "provisioned-throughput", "h") is None


def test_tags_without_a_value_are_empty_and_those_without_a_key_are_left_out() -> None:
    answers = {"/listTagsForResource": {"tags": [{"key": "a"}, {"value": "b"}, {"key": "c", "value": "d"}]}}
    with answering(answers) as (gateways, _):
        assert gateways.bedrock.tags(ARN) == {"a": "", "c": "d"}


# --- models, profiles, logging ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"modelLifecycle": {"status": "Legacy"}}, "LEGACY"),
        ({"modelLifecycle": {"status": "active"}}, "ACTIVE"),
        ({"modelLifecycle": {}}, "ACTIVE"),
        ({"modelLifecycle": None}, "ACTIVE"),
        ({}, "ACTIVE"),
        ({"modelLifecycle": {"status": "RETIRING"}}, "RETIRING"),
    ],
)
def test_a_lifecycle_is_read_however_it_is_told(told: Any, status: str) -> None:
    assert lifecycle_of(told) == status


def test_an_account_that_lists_models_without_ids_is_compared_by_the_others() -> None:
    summaries = [
        {"modelName": "?"},
        {"modelId": "amazon.nova-pro-v1:0", "modelLifecycle": {"status": "Legacy"}},
    ]
    with answering({"/foundation-models": {"modelSummaries": summaries}}) as (gateways, _):
        told = compare_with_account(packaged(), gateways)
    assert "the teacher amazon.nova-pro-v1:0 is legacy" in told
    assert any(
        "amazon.nova-premier-v1:0 is in the table and us-east-1 does not list it" in line for line in told
    )


def test_an_account_that_says_nothing_at_all_is_compared() -> None:
    with answering({}) as (gateways, _):
        assert compare_with_account(ModelTable.from_json({"v": 1, "date": "2026-12-01"}), gateways) == []


def test_models_and_jobs_without_an_arn_are_passed_over() -> None:
    answers = {
        "/custom-models": {"modelSummaries": [{"modelName": "m"}]},
        "/model-customization-jobs": {"modelCustomizationJobSummaries": [{"jobName": "j"}]},
    }
    with answering(answers) as (gateways, _):
        assert list(iter_models(gateways.bedrock)) == []
        assert list(iter_running_jobs(gateways.bedrock)) == []


def test_a_model_that_names_no_base_is_read_by_its_arn() -> None:
    lifecycle = {"modelDetails": {"modelId": "x", "modelArn": "y", "modelLifecycle": {"status": "ACTIVE"}}}
    with answering({"/foundation-models/": lifecycle}) as (gateways, _):
        found = read_capability(gateways.bedrock, {"modelArn": MODEL}, "us-east-1")
    assert found.kinds == ("provisioned-throughput", "custom-model-deployment")
    assert found.lifecycle == "ACTIVE"


def test_a_foundation_model_without_details_has_no_lifecycle() -> None:
    with answering({}) as (gateways, _):
        assert gateways.bedrock.get_foundation_model("amazon.nova-pro-v1:0") == {}


@pytest.mark.parametrize("body", [{}, {"loggingConfig": None}, {"loggingConfig": {}}])
def test_logging_that_is_off_reads_as_empty(body: dict[str, Any]) -> None:
    with answering({"/logging/modelinvocations": body}) as (gateways, _):
        assert gateways.bedrock.get_logging() == {}


# --- quotas, parameters, answers of models ----------------------------------------------------------------------------


@pytest.mark.parametrize("body", [{}, {"Quota": {}}, {"Quota": {"QuotaCode": "L-1", "QuotaName": "n"}}])
def test_a_quota_without_a_value_is_unknown_and_not_0(body: dict[str, Any]) -> None:
    with answering({"GetServiceQuota": body}) as (gateways, _):
        assert gateways.quotas.limit(Quota("L-1", "n")) is None


def test_quotas_are_listed_page_by_page_also_when_a_page_is_empty() -> None:
    with answering({"ListServiceQuotas": {"Quotas": [{"QuotaName": "n"}, {"Value": 3.0}]}}) as (gateways, _):
        assert list(gateways.quotas.named()) == [("n", 0.0), ("", 3.0)]


@pytest.mark.parametrize(
    ("body", "text", "stop"),
    [
        ({}, "", ""),
        (
            {"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "end_turn"},
            "",
            "end_turn",
        ),
        (
            {
                "output": {
                    "message": {
                        "role": "assistant",
                        "content": [
                            {"reasoningContent": {"reasoningText": {"text": "hm"}}},
                            {"text": "yes"},
                            {"toolUse": {"toolUseId": "t", "name": "n", "input": {}}},
                        ],
                    }
                },
                "stopReason": "something_new",
                "usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4},
            },
            "yes",
            "something_new",
        ),
    ],
)
def test_an_answer_of_a_model_is_read_as_far_as_it_goes(body: dict[str, Any], text: str, stop: str) -> None:
    with answering({"/converse": body}) as (gateways, _):
        reply = gateways.runtime.converse("m", messages=[], max_tokens=5)
    assert (reply.text, reply.stop_reason) == (text, stop)
    assert reply.latency_ms == 0


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "ValidationException", ServiceError),
        (403, "AccessDeniedException", ServiceAccessError),
        (404, "ResourceNotFoundException", ServiceNotFoundError),
        (400, "ConflictException", ServiceConflictError),
        (409, "ConflictException", ServiceConflictError),
        (400, "ServiceQuotaExceededException", ServiceQuotaError),
        (402, "ServiceQuotaExceededException", ServiceQuotaError),
        (429, "ThrottlingException", ServiceThrottledError),
        (400, "ThrottlingException", ServiceThrottledError),
        (500, "InternalServerException", ServiceUnavailableError),
        (503, "ServiceUnavailableException", ServiceUnavailableError),
        (500, "SomethingNobodyKnows", ServiceUnavailableError),
        (418, "SomethingNobodyKnows", ServiceError),
    ],
)
def test_an_error_is_known_by_its_code_whatever_the_http_status(
    status: int, code: str, error: type[ServiceError]
) -> None:
    with (
        answering({"/custom-models/": (status, code, "no")}) as (gateways, _),
        pytest.raises(error) as caught,
    ):
        gateways.bedrock.get_custom_model("m")
    assert type(caught.value) is error
    assert caught.value.code == code


@pytest.mark.parametrize(
    "words",
    [
        "The provided model identifier could not be found.",
        "The provided job identifier does not exist",
        "No such job: n",
        "Could not find the resource",
        "The model doesn't exist.",
    ],
)
def test_a_validation_error_that_says_there_is_none_is_none(words: str) -> None:
    refusal = (400, "ValidationException", words)
    with answering({"/": refusal}) as (gateways, _):
        for kind in ("customization-job", "provisioned-throughput", "custom-model-deployment"):
            assert WORK[kind].find(gateways.bedrock, "n") is None  # type: ignore[index]


@pytest.mark.parametrize(
    "words", ["The provided identifier is invalid.", "1 validation error detected", "", "name too long"]
)
def test_any_other_validation_error_is_never_taken_for_a_free_name(words: str) -> None:
    refusal = (400, "ValidationException", words)
    with answering({"/": refusal}) as (gateways, _), pytest.raises(ServiceError):
        WORK["customization-job"].find(gateways.bedrock, "n")


@pytest.mark.parametrize("body", [b"", b"<html>gateway</html>", b"{"])
def test_an_answer_that_is_no_json_says_nothing_about_a_job(body: bytes) -> None:
    """A proxy's page in between: no crash, and no end."""
    with answering({"/model-customization-jobs": body}) as (gateways, _):
        assert WORK["customization-job"].look(gateways.bedrock, "n").state == "unknown"


def test_an_answer_that_the_sdk_cannot_read_is_asked_for_again() -> None:
    with (
        answering({"/converse": {"output": {}}}) as (gateways, _),
        pytest.raises(ServiceUnavailableError, match="Converse: no answer from the service") as caught,
    ):
        gateways.runtime.converse("m", messages=[], max_tokens=5)
    assert caught.value.retryable
