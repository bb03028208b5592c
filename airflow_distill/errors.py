"""Every error the package raises, as one tree.

    DistillError                      message, hint; `retryable`: can the same attempt succeed later
    +-- ConfigurationError              the author must change the Dag or the settings
    +-- DatasetError                    the data must change
    |   +-- LogFormatError                a log object or answers file cannot be read at all
    |   +-- DatasetTooSmallError          fewer usable records than the service accepts
    |   +-- DatasetRejectedError          checks failed: counts and first findings
    +-- ServiceError                    AWS said no: operation, code, request id
    |   +-- ServiceAccessError            a role or policy must change
    |   +-- ServiceQuotaError             a limit must be raised
    |   +-- ServiceConflictError          the resource is busy or the name is taken
    |   +-- ServiceNotFoundError          the named resource does not exist
    |   +-- ServiceThrottledError         asked too often; retryable
    |   +-- ServiceUnavailableError       5xx, lost connection; retryable
    |       +-- ServiceCredentialsError     no or expired AWS credentials; retryable
    +-- JobError                        a remote job ended otherwise than in success: carries its snapshot
    |   +-- JobFailedError
    |   +-- JobStoppedError
    |   +-- JobTimeoutError               timed out; the job may still be running and billing
    +-- StateError                      the record of an earlier attempt cannot be read; never read as "none"
    +-- TurnLostError                   this run was given up, and another one took its workload over
    +-- DiskFullError                   a local disk is full; retryable
    +-- EvaluationError                 answers or scores are missing, so no comparison is honest
    +-- BudgetError                     the next paid step would cross the cap, or its price is unknown
    +-- DeploymentError                 a step of a deployment plan cannot be carried out
        +-- ReleaseConflictError          another run claimed the release number first
        +-- OwnershipError                what stands under a wanted name, or is to be changed, belongs to somebody else

Branches are named after who has to act. Callers match on classes and codes, never on English text.
Messages never contain prompt or answer text. Every error survives pickling.

This module imports nothing of ours and neither Airflow nor the AWS SDK, so that every room can raise from it.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from typing import Any


class DistillError(Exception):
    """Base of all errors of this package.

    :param message: where it happened and what was said; no prompt or answer text.
    :param hint: what to try next, in one sentence.
    """

    retryable: bool = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} Hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(cls: type[DistillError], args: tuple[Any, ...], state: Mapping[str, Any]) -> DistillError:
    """Unpickle an error without calling a constructor that takes keywords."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(DistillError):
    """The author must change the Dag or the settings; a retry changes nothing."""


class DatasetError(DistillError):
    """The data must change; a retry on the same data changes nothing."""


class LogFormatError(DatasetError):
    """A file cannot be read as what it claims to be; a retry changes nothing."""


class DatasetTooSmallError(DatasetError):
    """Too few usable records for the service; wait for more logs or widen the window.

    :param usable: records that could be used.
    :param needed: the least number the service accepts.
    """

    def __init__(self, message: str, *, usable: int, needed: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.usable = usable
        self.needed = needed


class DatasetRejectedError(DatasetError):
    """Checks found defects that stop the job.

    :param counts: findings by code.
    :param findings: the first findings, as plain dicts (line, code, message, fix).
    """

    def __init__(
        self,
        message: str,
        *,
        counts: Mapping[str, int],
        findings: tuple[Mapping[str, Any], ...] = (),
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.counts = dict(counts)
        self.findings = tuple(dict(f) for f in findings)


class ServiceError(DistillError):
    """AWS refused a call. The same call will be refused again unless a subclass says otherwise.

    :param operation: the API operation, such as `CreateModelCustomizationJob`.
    :param code: the service's error code, such as `ValidationException`; empty for lost connections.
    :param request_id: the service's request id when it gave one.
    :param status: the HTTP status when there was one.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str,
        code: str = "",
        request_id: str = "",
        status: int | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.operation = operation
        self.code = code
        self.request_id = request_id
        self.status = status


class ServiceAccessError(ServiceError):
    """A role or policy must change; a retry helps only after that (or after IAM has propagated)."""


class ServiceQuotaError(ServiceError):
    """A limit must be raised, or something must be deleted first; a slow retry may help."""


class ServiceConflictError(ServiceError):
    """The resource is busy or the name is taken; a slow retry may help."""


class ServiceNotFoundError(ServiceError):
    """The named resource does not exist; a retry changes nothing."""


class ServiceThrottledError(ServiceError):
    """Asked too often; the same call can succeed later."""

    retryable = True


class ServiceUnavailableError(ServiceError):
    """5xx, a lost connection or expired credentials: the outcome is unknown; ask again later."""

    retryable = True


class ServiceCredentialsError(ServiceUnavailableError):
    """There are no AWS credentials, or they have expired. A retry succeeds once there are new ones: nothing was sent."""


class JobError(DistillError):
    """A remote job ended otherwise than in success.

    :param snapshot: the job's last known state as a plain dict (`JobSnapshot.to_json()`).
    """

    def __init__(self, message: str, *, snapshot: Mapping[str, Any] | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.snapshot = dict(snapshot or {})


class JobFailedError(JobError):
    """The service says failed. A retry of the task may buy one more job, if generations allow it."""

    retryable = True


class JobStoppedError(JobError):
    """Somebody stopped the job, so an automatic retry must not buy another; clear the task to buy one on purpose."""


class JobTimeoutError(JobError):
    """Our deadline passed. The job may still run and cost; a retry adopts it and fails at once."""


class StateError(DistillError):
    """The record of an earlier attempt cannot be read. It is never taken for "none"; retry when it can."""

    retryable = True


class TurnLostError(DistillError):
    """This run was given up as dead, and another run has taken its workload over; nothing was changed.

    A retry of the same task says the same. Clear the run from the task that takes the turn: it waits for its turn anew.
    """


class DiskFullError(DistillError):
    """A local disk is full; free space or set TMPDIR to a larger disk. A retry may run on another worker."""

    retryable = True

    @classmethod
    def from_os(cls, error: OSError) -> DiskFullError | None:
        """Return our error for the system's word that a disk is full or a quota on it used up; None for any other."""
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return None
        place = os.path.dirname(str(error.filename)) if error.filename else tempfile.gettempdir()
        return cls(
            f"the disk under {place} is full ({os.strerror(error.errno)}).",
            hint="Free space there, or set TMPDIR to a larger disk; nothing was half written to the bucket.",
        )


class EvaluationError(DistillError):
    """Answers or scores are missing, so no comparison would be honest; collect them and retry."""

    retryable = True


class BudgetError(DistillError):
    """The next paid step would cross the cap, or its price is unknown; nothing was bought."""


class DeploymentError(DistillError):
    """A step of a deployment plan cannot be carried out; the message says which and what is left."""


class ReleaseConflictError(DeploymentError):
    """Another run claimed the release first. Nothing was changed; a retry plans anew."""

    retryable = True


class OwnershipError(DeploymentError):
    """A job, model, host or pointer under a wanted name belongs to somebody else; it was not touched.

    The message says whose it is; a retry changes nothing until the name is free or the resource is tagged as ours.
    """
