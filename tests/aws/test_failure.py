"""SDK exceptions become ours by code and class; only an unknown name is also told by the text."""

from __future__ import annotations

import pytest
from botocore import exceptions as sdk
from botocore.loaders import Loader

from airflow_distill.aws.failure import translate
from airflow_distill.errors import (
    ConfigurationError,
    DistillError,
    ServiceAccessError,
    ServiceConflictError,
    ServiceCredentialsError,
    ServiceError,
    ServiceNotFoundError,
    ServiceQuotaError,
    ServiceThrottledError,
    ServiceUnavailableError,
    StateError,
)


def client_error(code: str, status: int, message: str = "said the service") -> sdk.ClientError:
    return sdk.ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "r-7"},
        },
        "AnyOperation",
    )


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ValidationException", 400, ServiceError),
        ("AccessDeniedException", 403, ServiceAccessError),
        ("ServiceQuotaExceededException", 400, ServiceQuotaError),
        ("ConflictException", 400, ServiceConflictError),
        ("ResourceNotFoundException", 404, ServiceNotFoundError),
        ("ThrottlingException", 429, ServiceThrottledError),
        ("ModelNotReadyException", 429, ServiceThrottledError),
        ("InternalServerException", 500, ServiceUnavailableError),
        ("ExpiredTokenException", 403, ServiceCredentialsError),
        ("SomethingNew", 503, ServiceUnavailableError),
        ("SomethingNew", 429, ServiceThrottledError),
        ("SomethingNew", 418, ServiceError),
    ],
)
def test_a_client_error_becomes_the_class_of_who_must_act(
    code: str, status: int, kind: type[ServiceError]
) -> None:
    error = translate(client_error(code, status), "GetCustomModel")
    assert type(error) is kind
    assert isinstance(error, ServiceError)
    assert (error.operation, error.code, error.request_id, error.status) == (
        "GetCustomModel",
        code,
        "r-7",
        status,
    )
    assert error.hint


@pytest.mark.parametrize("service", ["bedrock", "bedrock-runtime"])
def test_every_error_of_the_service_model_is_known_or_plainly_the_callers_fault(service: str) -> None:
    """A new modelled error must be placed by hand: retrying what cannot heal costs days, giving up early costs a job."""
    shapes = Loader().load_service_model(service, "service-2")["shapes"]
    for name, shape in shapes.items():
        if not shape.get("exception"):
            continue
        status = shape.get("error", {}).get("httpStatusCode", 500)
        kind = type(translate(client_error(name, status), "AnyOperation"))
        assert kind is not ServiceError or name in {"ValidationException"}, name


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (sdk.NoCredentialsError(), ServiceCredentialsError),
        (sdk.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), ServiceUnavailableError),
        (sdk.ReadTimeoutError(endpoint_url="http://127.0.0.1:1"), ServiceUnavailableError),
        (sdk.ConnectionClosedError(endpoint_url="http://127.0.0.1:1"), ServiceUnavailableError),
        (sdk.NoRegionError(), ConfigurationError),
        (sdk.ParamValidationError(report="modelUnits below minimum"), ConfigurationError),
        (ConnectionResetError("reset"), ServiceUnavailableError),
        (ValueError("surprise"), ServiceError),
    ],
)
def test_failures_without_an_answer_are_unknown_not_final(error: Exception, kind: type[DistillError]) -> None:
    assert type(translate(error, "CreateModelCustomizationJob")) is kind


def test_our_own_errors_pass_unchanged() -> None:
    error = StateError("unreadable")
    assert translate(error, "AnyOperation") is error


@pytest.mark.parametrize(
    "message",
    [
        "The provided job identifier could not be found.",
        "Could not find the provisioned model.",
        "The job tickets-3f does not exist.",
        "No such custom model deployment",
        "The specified resource was not found",
    ],
)
def test_a_get_of_an_unknown_name_is_not_found_also_as_a_validation_error(message: str) -> None:
    error = translate(client_error("ValidationException", 400, message), "GetModelCustomizationJob")
    assert type(error) is ServiceNotFoundError


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("CreateModelCustomizationJob", "The specified bucket does not exist: acme"),
        ("CreateProvisionedModelThroughput", "The model could not be found"),
        (
            "GetModelCustomizationJob",
            "1 validation error detected: Value at 'jobIdentifier' failed the pattern",
        ),
        ("GetModelCustomizationJob", ""),
    ],
)
def test_any_other_validation_error_is_never_read_as_a_free_name(operation: str, message: str) -> None:
    assert type(translate(client_error("ValidationException", 400, message), operation)) is ServiceError
