"""Turns the SDK's exceptions into ours, by code and class.

One answer is also read by its text, because nobody outside knows its code: a Get of a name that nothing has may come as
ResourceNotFoundException or as ValidationException. Both mean "there is none" when the text says so; any other
ValidationException stays one, so that a broken request never looks like a free name.

The table follows the error lists of the service model (botocore, `bedrock` 2023-04-20 and `bedrock-runtime`
2023-09-30) and the SDK-level failures that reach a caller after botocore's own retries. Anything unknown becomes a plain
`ServiceError`, which is not retryable.
"""

from __future__ import annotations

import re

from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from airflow_distill.errors import (
    ConfigurationError,
    DiskFullError,
    DistillError,
    ServiceAccessError,
    ServiceConflictError,
    ServiceCredentialsError,
    ServiceError,
    ServiceNotFoundError,
    ServiceQuotaError,
    ServiceThrottledError,
    ServiceUnavailableError,
)

_BY_CODE: dict[str, type[ServiceError]] = {
    "AccessDenied": ServiceAccessError,
    "AccessDeniedException": ServiceAccessError,
    "UnauthorizedOperation": ServiceAccessError,
    "InvalidClientTokenId": ServiceAccessError,
    "UnrecognizedClientException": ServiceAccessError,
    "SignatureDoesNotMatch": ServiceAccessError,
    "ServiceQuotaExceededException": ServiceQuotaError,
    "TooManyTagsException": ServiceQuotaError,
    "ConflictException": ServiceConflictError,
    "ResourceInUseException": ServiceConflictError,
    "ResourceNotFoundException": ServiceNotFoundError,
    "NoSuchKey": ServiceNotFoundError,
    "NoSuchBucket": ServiceNotFoundError,
    "NoSuchEntity": ServiceNotFoundError,
    "ParameterNotFound": ServiceNotFoundError,
    "404": ServiceNotFoundError,
    "ThrottlingException": ServiceThrottledError,
    "Throttling": ServiceThrottledError,
    "TooManyRequestsException": ServiceThrottledError,
    "RequestLimitExceeded": ServiceThrottledError,
    "SlowDown": ServiceThrottledError,
    "ConditionalRequestConflict": ServiceThrottledError,
    "ModelNotReadyException": ServiceThrottledError,
    "InternalServerException": ServiceUnavailableError,
    "InternalServerError": ServiceUnavailableError,
    "InternalError": ServiceUnavailableError,
    "InternalFailure": ServiceUnavailableError,
    "ServiceUnavailableException": ServiceUnavailableError,
    "ServiceUnavailable": ServiceUnavailableError,
    "RequestTimeout": ServiceUnavailableError,
    "RequestTimeTooSkewed": ServiceUnavailableError,
    "OperationAborted": ServiceUnavailableError,
    "ModelTimeoutException": ServiceUnavailableError,
    "ModelErrorException": ServiceUnavailableError,
    "ModelStreamErrorException": ServiceUnavailableError,
    "ExpiredToken": ServiceCredentialsError,
    "ExpiredTokenException": ServiceCredentialsError,
    "RequestExpired": ServiceCredentialsError,
}

_CREDENTIALS = (
    sdk.NoCredentialsError,
    sdk.PartialCredentialsError,
    sdk.CredentialRetrievalError,
    sdk.SSOError,
    sdk.TokenRetrievalError,
    sdk.NoAuthTokenError,
)

NO_CREDENTIALS = "CredentialsUnavailable"
"""Our code for credentials that the SDK could not find or load."""

EXPIRED_CREDENTIAL_CODES = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", NO_CREDENTIALS}
)
"""Codes after which the SDK client should be built anew."""

_SAYS_NOT_THERE = re.compile(
    r"\b(?:not (?:be )?found|no such|does(?: not|n't|n’t) exist|could(?: not|n't|n’t) find|not exist)\b",
    re.IGNORECASE,
)

_HINTS: dict[type[ServiceError], str] = {
    ServiceAccessError: "Check the identity of the connection and its policy; `airflow-distill doctor` names the gap.",
    ServiceQuotaError: "Raise the quota in Service Quotas or delete what is no longer needed; retry slowly.",
    ServiceConflictError: "The resource is busy or the name is taken; wait for it to settle, then retry.",
    ServiceNotFoundError: "Check the name, the Region and the account of the connection.",
    ServiceThrottledError: "Ask less often; the same call can succeed later.",
    ServiceUnavailableError: "Ask again later; the outcome of this call is unknown.",
    ServiceCredentialsError: "The credentials have expired; nothing was done. Get new ones (such as `aws sso login`), "
    "or fix the connection (aws_conn_id) that brings them.",
}


def translate(error: Exception, operation: str) -> DistillError:
    """Return our error for an SDK exception; our own errors pass through unchanged."""
    if isinstance(error, DistillError):
        return error
    if isinstance(error, sdk.ClientError):
        return _from_client_error(error, operation)
    if isinstance(error, sdk.ParamValidationError):
        return ConfigurationError(
            f"{operation}: the request is not valid: {error}",
            hint="Change the named parameter; nothing was sent.",
        )
    if isinstance(error, _CREDENTIALS):
        return ServiceCredentialsError(
            f"{operation}: no AWS credentials ({type(error).__name__}).",
            operation=operation,
            code=NO_CREDENTIALS,
            hint="Neither the connection (aws_conn_id) nor the SDK's default chain has any. Set them there, or name a "
            "profile; on a worker, check that its instance or task role can be read.",
        )
    if isinstance(error, sdk.HTTPClientError | sdk.EndpointConnectionError | sdk.ConnectionError):
        return _unavailable(operation, "", type(error).__name__)
    if isinstance(error, sdk.BotoCoreError):
        return ConfigurationError(f"{operation}: {error}", hint="Check the connection's Region and settings.")
    if isinstance(
        error, ResponseParserError
    ):  # such as the page of a proxy in between; says nothing about the call
        return _unavailable(operation, "", "the answer could not be read")
    if isinstance(error, OSError):
        return DiskFullError.from_os(error) or _unavailable(operation, "", type(error).__name__)
    return ServiceError(f"{operation}: unexpected {type(error).__name__} from the SDK.", operation=operation)


def _unavailable(operation: str, code: str, what: str) -> ServiceUnavailableError:
    return ServiceUnavailableError(
        f"{operation}: no answer from the service ({what}).",
        operation=operation,
        code=code,
        hint=_HINTS[ServiceUnavailableError],
    )


def _from_client_error(error: sdk.ClientError, operation: str) -> ServiceError:
    body = error.response.get("Error", {})
    meta = error.response.get("ResponseMetadata", {})
    code = str(body.get("Code", ""))
    status = meta.get("HTTPStatusCode")
    kind = _BY_CODE.get(code)
    if code == "ValidationException" and _is_unknown_name(operation, str(body.get("Message", ""))):
        kind = ServiceNotFoundError
    if kind is None and isinstance(status, int):
        kind = _by_status(status)
    kind = kind or ServiceError
    hint = _HINTS.get(kind, "The service refuses this request as it stands; change it before trying again.")
    return kind(
        f"{operation}: {code or 'error'}: {body.get('Message', '')}",
        operation=operation,
        code=code,
        request_id=str(meta.get("RequestId", "")),
        status=status,
        hint=hint,
    )


def _is_unknown_name(operation: str, message: str) -> bool:
    return operation.startswith("Get") and _SAYS_NOT_THERE.search(message) is not None


def _by_status(status: int) -> type[ServiceError] | None:
    if status == 429:
        return ServiceThrottledError
    if status >= 500:
        return ServiceUnavailableError
    if status == 403:
        return ServiceAccessError
    return None
