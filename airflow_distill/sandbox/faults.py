"""Planned misfortune: throttling, errors, dropped connections, slow or lost answers, by operation, count, rate and time.

A fault is a rule; rules are asked in the order they were added. A rate is decided by a counter-based hash of the seed,
so the same calls meet the same faults in every run.
"""

from __future__ import annotations

import fnmatch
import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_distill.sandbox.failures import SandboxUsageError, ServiceError

_ERRORS: Mapping[str, tuple[str, int, str]] = {
    "throttle": ("ThrottlingException", 429, "Too many requests, please wait before trying again."),
    "internal": ("InternalServerException", 500, "The server encountered an internal error. Try again."),
    "unavailable": (
        "ServiceUnavailableException",
        503,
        "The service is temporarily unavailable. Try again later.",
    ),
    "expired-credentials": (
        "ExpiredTokenException",
        403,
        "The security token included in the request is expired",
    ),
    "access-denied": ("AccessDeniedException", 403, "You don't have access to the requested resource."),
    "quota": ("ServiceQuotaExceededException", 400, "You have exceeded a service quota for this resource."),
    "not-ready": ("ModelNotReadyException", 429, "Model is not ready for inference. Wait and try again."),
    "model-timeout": (
        "ModelTimeoutException",
        408,
        "Model has timed out in processing the request. Try again.",
    ),
    "model-error": ("ModelErrorException", 424, "The model has encountered an unexpected error."),
    "validation": ("ValidationException", 400, "The request is not valid."),
    "not-found": ("ResourceNotFoundException", 404, "The provided identifier could not be found."),
    "conflict": ("ConflictException", 400, "The resource is in a conflicting state."),
    "conditional-conflict": (
        "ConditionalRequestConflict",
        409,
        "The conditional request cannot succeed due to a conflicting operation against this resource.",
    ),
    "slow-down": ("SlowDown", 503, "Please reduce your request rate."),
}
# What happens to a call, and what happens to a resource that a call creates.
CALL_FAULTS = (*_ERRORS, "drop", "slow", "lost-answer", "stream-error", "clock-jump")
LIFE_FAULTS = ("stuck", "fail")
KINDS = CALL_FAULTS + LIFE_FAULTS


@dataclass(slots=True)
class Fault:
    """One rule. `count` is how many calls it still hits (None: no limit); `rate` is the share it hits."""

    kind: str
    operation: str = "*"
    count: int | None = None
    rate: float = 1.0
    skip: int = 0
    seconds: float = 0.0
    after: float = 0.0
    until: float | None = None
    match: str = "*"
    message: str | None = None
    code: str | None = None
    status: int | None = None
    seed: int = 0
    id: str = ""
    seen: int = 0
    hits: int = 0
    added: float = 0.0

    def error(self) -> ServiceError | None:
        """The error this fault answers with, when it answers with one."""
        if self.kind not in _ERRORS:
            return None
        code, status, message = _ERRORS[self.kind]
        return ServiceError(self.code or code, self.message or message, self.status or status)

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__ if name != "added"}


_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "kind": str,
    "operation": str,
    "count": (int, type(None)),
    "rate": (int, float),
    "skip": int,
    "seconds": (int, float),
    "after": (int, float),
    "until": (int, float, type(None)),
    "match": str,
    "message": (str, type(None)),
    "code": (str, type(None)),
    "status": (int, type(None)),
    "seed": int,
}


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Fault] = []
        self._next = 0

    def add(self, kind: str, operation: str = "*", **settings: Any) -> Fault:
        """Plan a fault.

        `operation` is an operation's name or a pattern (`Get*`; S3 calls are named `s3:GetObject` and so on), `match`
        a pattern over the resource named in the call (job name, model id, key). `after` and `until` are real seconds
        from now.
        """
        given = {"kind": kind, "operation": operation, **settings}
        for name, value in given.items():
            if name not in _FIELDS or not isinstance(value, _FIELDS[name]) or isinstance(value, bool):
                raise SandboxUsageError(f"a fault has no setting {name}={value!r}")
        if kind not in KINDS:
            raise SandboxUsageError(f"unknown fault {kind!r}; there are: {', '.join(KINDS)}")
        fault = Fault(**given)
        if not 0 <= fault.rate <= 1:
            raise SandboxUsageError("a rate lies between 0 and 1")
        with self._lock:
            self._next += 1
            fault.id = f"fault-{self._next}"
            fault.added = time.monotonic()
            self._rules.append(fault)
        return fault

    def remove(self, fault_id: str) -> bool:
        with self._lock:
            before = len(self._rules)
            self._rules = [rule for rule in self._rules if rule.id != fault_id]
            return len(self._rules) < before

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def listed(self) -> list[dict[str, Any]]:
        with self._lock:
            return [rule.to_json() for rule in self._rules]

    def strike(self, operation: str, subject: str = "", kinds: tuple[str, ...] = CALL_FAULTS) -> Fault | None:
        """The first rule that hits this call, if any; using it up as it does."""
        if not self._rules:
            return None
        now = time.monotonic()
        with self._lock:
            for rule in self._rules:
                if rule.kind not in kinds or not fnmatch.fnmatchcase(operation, rule.operation):
                    continue
                if not fnmatch.fnmatchcase(subject, rule.match):
                    continue
                age = now - rule.added
                if age < rule.after or (rule.until is not None and age > rule.until):
                    continue
                rule.seen += 1
                if rule.seen <= rule.skip or (rule.count is not None and rule.hits >= rule.count):
                    continue
                if _chance(rule) >= rule.rate:
                    continue
                rule.hits += 1
                return rule
        return None


def _chance(rule: Fault) -> float:
    if rule.rate >= 1:
        return 0.0
    drawn = hashlib.sha256(f"{rule.seed}/{rule.id}/{rule.seen}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") / 2**64
