"""What can go wrong, as the service says it (`ServiceError`) and as the sandbox itself says it (`SandboxUsageError`).

Constructors are named after the service's exceptions, so that an operation reads `raise conflict("...")`.
"""

from __future__ import annotations

from typing import Any


class SandboxUsageError(ValueError):
    """The sandbox was asked, by its own admin interface, for something it does not do."""


class ServiceError(Exception):
    """An error answer of the service: a code from its model, a message and an HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members


def validation(message: str) -> ServiceError:
    return ServiceError("ValidationException", message, 400)


def not_found(message: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", message, 404)


def conflict(message: str) -> ServiceError:
    return ServiceError("ConflictException", message, 400)


def quota_exceeded(message: str) -> ServiceError:
    return ServiceError("ServiceQuotaExceededException", message, 400)


def too_many_tags(message: str, resource_name: str) -> ServiceError:
    return ServiceError("TooManyTagsException", message, 400, resourceName=resource_name)


def throttled(message: str = "Too many requests, please wait before trying again.") -> ServiceError:
    return ServiceError("ThrottlingException", message, 429)


def unsupported(message: str) -> ServiceError:
    """An operation the real service has and the sandbox has not: said aloud, never a hollow answer."""
    return ServiceError("NotImplementedException", message, 501)
