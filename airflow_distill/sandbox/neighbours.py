"""S3, IAM and KMS as Bedrock itself sees them: straight into moto's backends, without a detour over HTTP.

`changes` counts what was written, so that a state folder knows when to save.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from airflow_distill.sandbox import moto_door
from airflow_distill.sandbox.store import ACCOUNT


@dataclass(frozen=True, slots=True)
class Location:
    """An S3 URI taken apart."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> Location:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return cls(bucket, key)

    def child(self, suffix: str) -> Location:
        return Location(self.bucket, f"{self.key.rstrip('/')}/{suffix}" if self.key else suffix)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class Neighbours:
    """What Bedrock asks of S3 and IAM in this account."""

    def __init__(self) -> None:
        self.changes = 0

    def _s3(self) -> Any:
        return moto_door.backend("s3", ACCOUNT)

    def _iam(self) -> Any:
        return moto_door.backend("iam", ACCOUNT)

    # --- S3 ---

    def bucket_region(self, bucket: str) -> str | None:
        """The Region of a bucket, or None when there is no such bucket."""
        found = self._s3().buckets.get(bucket)
        return None if found is None else str(found.region_name)

    def keys(self, location: Location) -> list[str]:
        """The object itself when the key names one, else every key below it as a folder."""
        bucket = self._s3().buckets.get(location.bucket)
        if bucket is None:
            return []
        if location.key and not location.key.endswith("/") and bucket.keys.get(location.key) is not None:
            return [location.key]
        folder = location.key if not location.key or location.key.endswith("/") else location.key + "/"
        return sorted(key for key in list(bucket.keys) if key.startswith(folder))

    def size(self, bucket: str, key: str) -> int:
        found = self._s3().buckets[bucket].keys.get(key)
        return 0 if found is None else int(found.contentsize)

    def read(self, bucket: str, key: str) -> bytes | None:
        found = self._s3().get_object(bucket, key)
        return None if found is None else bytes(found.value)

    def write(self, location: Location, body: bytes) -> bool:
        """Put an object; False when the bucket is gone."""
        backend = self._s3()
        if location.bucket not in backend.buckets:
            return False
        backend.put_object(location.bucket, location.key, body)
        self.changes += 1
        return True

    # --- IAM ---

    def role(self, arn: str) -> Any | None:
        """The role behind an ARN, or None."""
        for role in list(self._iam().roles.values()):
            if role.arn == arn:
                return role
        return None

    def trusts_bedrock(self, role: Any) -> bool:
        """Whether the role's trust policy lets Bedrock assume it."""
        document = _document(role.assume_role_policy_document)
        for statement in _statements(document):
            principal = statement.get("Principal") or {}
            services = _as_list(principal.get("Service")) if isinstance(principal, dict) else []
            actions = _as_list(statement.get("Action"))
            if (
                statement.get("Effect") == "Allow"
                and "bedrock.amazonaws.com" in services
                and any(fnmatch.fnmatch("sts:AssumeRole", action) for action in actions)
            ):
                return True
        return False

    def allows(self, role: Any, action: str, resource: str) -> bool:
        """Whether the role's policies allow an action on a resource. Conditions are taken as met."""
        return _decide(self._role_statements(role), action, resource)

    def _role_statements(self, role: Any) -> Iterator[dict[str, Any]]:
        for text in list(role.policies.values()):
            yield from _statements(_document(text))
        for policy in list(role.managed_policies.values()):
            # AWS's own policies and customers' alike keep their text by version.
            default = next((v for v in policy.versions if v.version_id == policy.default_version_id), None)
            yield from _statements(_document(None if default is None else default.document))

    # --- KMS ---

    def key(self, identifier: str, region: str) -> Any | None:
        """The KMS key behind an ARN, an id or an alias, or None when there is none in this account and Region."""
        if identifier.startswith("arn:"):
            region, identifier = identifier.split(":")[3], identifier.split(":", 5)[5].removeprefix("key/")
        backend = moto_door.backend("kms", ACCOUNT, region)
        return backend.keys.get(backend.any_id_to_key_id(identifier))

    def key_of_object(self, bucket: str, key: str) -> str | None:
        """The customer's KMS key under which an object lies; None for other encryption."""
        found = self._s3().buckets[bucket].keys.get(key)
        if found is None or found.encryption != "aws:kms":
            return None
        return found.kms_key_id or None

    def key_of_bucket(self, bucket: str) -> str | None:
        """The customer's KMS key that a bucket puts on new objects; None for other encryption."""
        found = self._s3().buckets.get(bucket)
        if found is None or not found.encryption:
            return None
        default = found.encryption["Rule"]["ApplyServerSideEncryptionByDefault"]
        return default.get("KMSMasterKeyID") if default["SSEAlgorithm"].startswith("aws:kms") else None

    def key_allows_role(self, key: Any, role: Any, action: str) -> bool:
        """Whether a role may use a key: named by the key's policy, or by its own where the key trusts the account."""
        if _decide(_for_principal(key.policy, role.arn), action, "*"):
            return True
        trusted = _decide(_for_principal(key.policy, f"arn:aws:iam::{ACCOUNT}:root"), action, "*")
        return trusted and self.allows(role, action, str(key.arn))

    def key_allows_service(self, key: Any, action: str) -> bool:
        """Whether the key's policy lets Bedrock itself do something."""
        return _decide(_for_principal(key.policy, "bedrock.amazonaws.com"), action, "*")

    def caller_arn(self, access_key: str) -> str:
        """Who signs with this key, as the invocation log will name them."""
        iam = self._iam()
        for user in list(iam.users.values()):
            if any(key.access_key_id == access_key for key in user.access_keys):
                return str(user.arn)
        session = moto_door.backend("sts", ACCOUNT).get_assumed_role_from_access_key(access_key)
        if session is not None:
            return str(session.arn)
        return f"arn:aws:iam::{ACCOUNT}:user/sandbox"

    # --- whole state ---

    def clear(self) -> None:
        """Empty every moto backend."""
        moto_door.reset()


def _decide(statements: Iterable[dict[str, Any]], action: str, resource: str) -> bool:
    """Whether statements allow an action on a resource: one must allow, none may deny without a condition."""
    allowed = False
    for statement in statements:
        if not _names(statement, "Action", action, casefold=True):
            continue
        if not _names(statement, "Resource", resource):
            continue
        if statement.get("Effect") == "Deny":
            if not statement.get("Condition"):
                return False
        elif statement.get("Effect") == "Allow":
            allowed = True
    return allowed


def _for_principal(document: Any, principal: str) -> Iterator[dict[str, Any]]:
    """The statements of a resource's policy that are about one principal, their resource being the policy's own."""
    for statement in _statements(_document(document)):
        named = statement.get("Principal")
        kinds = named.values() if isinstance(named, dict) else [named]
        if any(one in ("*", principal) for kind in kinds for one in _as_list(kind)):
            yield {**statement, "Resource": "*"}


def _document(text: Any) -> dict[str, Any]:
    if isinstance(text, dict):
        return text
    try:
        loaded = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _statements(document: dict[str, Any]) -> Iterable[dict[str, Any]]:
    return [s for s in _as_list(document.get("Statement")) if isinstance(s, dict)]


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _names(statement: dict[str, Any], member: str, wanted: str, *, casefold: bool = False) -> bool:
    """Whether a statement's Action/NotAction or Resource/NotResource covers what is wanted."""
    fold: Callable[[str], str] = str.casefold if casefold else str
    if member in statement:
        return any(fnmatch.fnmatchcase(fold(wanted), fold(p)) for p in _as_list(statement[member]))
    excluded = _as_list(statement.get(f"Not{member}"))
    return bool(excluded) and not any(fnmatch.fnmatchcase(fold(wanted), fold(p)) for p in excluded)
