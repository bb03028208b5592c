"""What the service checks before it does anything, shared by the operations: tokens, names, tags, roles, buckets, pages.

Wording is the service's where it is known (see the coverage page for what is assumed).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_distill.sandbox.failures import not_found, quota_exceeded, too_many_tags, validation
from airflow_distill.sandbox.neighbours import Location
from airflow_distill.sandbox.store import ACCOUNT, RegionState, Resource
from airflow_distill.sandbox.world import Call, World


def arn(call: Call, rest: str) -> str:
    return f"arn:aws:bedrock:{call.region}:{ACCOUNT}:{rest}"


def replayed(world: World, state: RegionState, call: Call) -> str | None:
    """The ARN that this request's token has already made, if it has."""
    token = call.get("clientRequestToken")
    if token is None:
        return None
    replay = state.replays.get((call.operation, token))
    if replay is None:
        return None
    if replay.digest != call.digest() and world.options.repeated_token == "conflict":
        raise validation("The client request token was already used with different parameters.")
    call.replayed = True
    return replay.arn


def taken(state: RegionState, kind: str, name: str, message: str, *, for_ever: bool = False) -> None:
    """Refuse a name in use; `for_ever` also refuses names of things that are gone."""
    used = name in state.taken_names.get(kind, ()) if for_ever else state.find(kind, name) is not None
    if used:
        raise validation(message)


def tags_of(world: World, call: Call, member: str) -> dict[str, str]:
    """The tags given with a create, checked."""
    return merged_tags(world, {}, call.get(member) or [], call.get("jobName") or member)


def merged_tags(
    world: World, present: Mapping[str, str], given: Sequence[Mapping[str, str]], resource: str
) -> dict[str, str]:
    keys = [tag["key"] for tag in given]
    if len(set(keys)) < len(keys):
        raise validation("Tag keys must be unique.")
    for key in keys:
        if key.casefold().startswith("aws:"):
            raise validation("Tag keys that start with 'aws:' are reserved.")
    merged = {**present, **{tag["key"]: tag["value"] for tag in given}}
    limit = int(world.quotas["tags-per-resource"])
    if len(merged) > limit:
        raise too_many_tags(f"The resource may have at most {limit} tags.", resource)
    return merged


def role_is_trusted(world: World, call: Call, role_arn: str) -> None:
    """The role must exist in this account and let Bedrock assume it."""
    if f":{ACCOUNT}:" not in role_arn:
        raise validation(f"Cross-account pass role is not allowed: {role_arn}")
    role = world.neighbours.role(role_arn)
    if role is None or not world.neighbours.trusts_bedrock(role):
        raise validation(
            f"The provided role {role_arn} can not be assumed by Amazon Bedrock. Check that the role exists and that "
            "its trust policy allows the service principal bedrock.amazonaws.com."
        )


def may(world: World, role_arn: str, action: str, resource: str) -> bool:
    """Whether the role's own policies allow an action (always true when permission checks are off)."""
    if not world.options.check_permissions:
        return True
    role = world.neighbours.role(role_arn)
    return role is not None and world.neighbours.allows(role, action, resource)


def key_is_known(world: World, call: Call, member: str) -> None:
    """A customer's key that a request names must be there and enabled."""
    identifier = call.get(member)
    if identifier is None:
        return
    key = world.neighbours.key(identifier, call.region)
    if key is None or not key.enabled:
        raise validation(f"The provided KMS key {identifier} does not exist or is not enabled.")


def key_problem(
    world: World, region: str, role_arn: str, identifier: str | None, actions: Sequence[str]
) -> str | None:
    """Why a role cannot use a customer's key for these KMS actions (without the prefix); None without a key."""
    if identifier is None or not world.options.check_permissions:
        return None
    key, role = world.neighbours.key(identifier, region), world.neighbours.role(role_arn)
    if key is None or not key.enabled:
        return f"The KMS key {identifier} does not exist or is not enabled."
    for action in actions:
        if role is None or not world.neighbours.key_allows_role(key, role, f"kms:{action}"):
            return f"The role is not authorized to perform kms:{action} on the KMS key {key.arn}."
    return None


def bucket_problem(world: World, region: str, location: Location) -> str | None:
    """Why a bucket cannot be used by a job of this Region."""
    found = world.neighbours.bucket_region(location.bucket)
    if found is None:
        return f"The specified bucket does not exist: {location.bucket}"
    if found != region:
        return f"The bucket {location.bucket} is in {found}; it must be in {region}, the Region of the job."
    return None


def write_problem(world: World, region: str, role_arn: str, location: Location) -> str | None:
    """Why a job cannot write below a location; leaves the service's own probe object when it can."""
    problem = bucket_problem(world, region, location)
    probe = location.child(".write_access_check_file.tmp")
    if problem is None and not may(
        world, role_arn, "s3:PutObject", f"arn:aws:s3:::{probe.bucket}/{probe.key}"
    ):
        problem = "Access Denied"
    if problem is None:
        key = world.neighbours.key_of_bucket(location.bucket)
        problem = key_problem(world, region, role_arn, key, ("GenerateDataKey",))
    if problem is None:
        world.neighbours.write(probe, b"")
        return None
    return (
        "Amazon S3 perms missing (PutObject): Could not validate PutObject permissions to access Amazon S3 bucket: "
        f"{location.bucket} at key {probe.key}. {problem}"
    )


def read_problem(
    world: World, region: str, role_arn: str, location: Location, keys: Sequence[str]
) -> str | None:
    """Why a job cannot read what it was pointed at."""
    problem = bucket_problem(world, region, location)
    if problem is None and not keys:
        problem = "The specified key does not exist."
    if problem is None and not may(world, role_arn, "s3:ListBucket", f"arn:aws:s3:::{location.bucket}"):
        problem = "Access Denied (s3:ListBucket)"
    if problem is None and not may(
        world, role_arn, "s3:GetObject", f"arn:aws:s3:::{location.bucket}/{keys[0]}"
    ):
        problem = "Access Denied (s3:GetObject)"
    if problem is None:
        used = {world.neighbours.key_of_object(location.bucket, key) for key in keys}
        problems = (
            key_problem(world, region, role_arn, key, ("Decrypt",)) for key in sorted(used - {None}, key=str)
        )
        problem = next((found for found in problems if found), None)
    if problem is None:
        return None
    return (
        f"Could not validate GetObject permissions to access Amazon S3 bucket: {location.bucket} at key "
        f"{location.key or '/'}. {problem}"
    )


def within_quota(used: float, limit: float, what: str) -> None:
    if used > limit:
        raise quota_exceeded(f"Your account has reached its limit of {limit:g} {what}. Request an increase.")


def need(world: World, state: RegionState, kind: str, identifier: str, what: str) -> Resource:
    """The resource, or the service's refusal: 404, or for a name a ValidationException (option `unknown_name`)."""
    found = state.find(kind, identifier)
    if found is not None and world.is_visible(found):
        return found
    message = _NOT_FOUND.get(what, f"The provided {what} identifier could not be found.")
    if world.options.unknown_name == "validation" and not identifier.startswith("arn:"):
        raise validation(message)
    raise not_found(message)


_NOT_FOUND = {"batch job": "The provided batch inference job was not found."}
"""What the service was seen to say, by what was asked for."""


# --- lists --------------------------------------------------------------------------------------------------------

_DEFAULT_PAGE = 100


def page(
    world: World,
    call: Call,
    found: Iterable[Resource],
    summary: Callable[[Resource], dict[str, Any]],
    member: str,
    *,
    largest: int = 1000,
) -> dict[str, Any]:
    """One page of a list: sorted by creation, newest first unless asked otherwise, with a token for the rest.

    The token names the last resource shown, so that pages neither skip nor repeat when something is made or deleted
    between two calls.
    """
    ascending = call.get("sortOrder") == "Ascending"
    shown_now = (resource for resource in found if world.is_visible(resource))
    ordered = sorted(shown_now, key=lambda r: (r.created, r.serial), reverse=not ascending)
    token = call.get("nextToken")
    if token is not None:
        place = _read_token(call, token)
        ordered = [
            r
            for r in ordered
            if ((r.created, r.serial) > place if ascending else (r.created, r.serial) < place)
        ]
    size = min(call.get("maxResults") or _DEFAULT_PAGE, largest)
    shown = ordered[:size]
    answer: dict[str, Any] = {member: [summary(resource) for resource in shown]}
    if len(ordered) > size:
        answer["nextToken"] = _make_token(call, shown[-1])
    return answer


def _make_token(call: Call, last: Resource) -> str:
    place = [call.operation, last.created.isoformat(), last.serial]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _read_token(call: Call, token: str) -> tuple[datetime, int]:
    try:
        name, created, serial = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        place = datetime.fromisoformat(created).astimezone(UTC), int(serial)
    except (ValueError, TypeError, binascii.Error):
        raise validation("The provided nextToken is invalid.") from None
    if name != call.operation:
        raise validation("The provided nextToken is invalid.")
    return place


def created_within(resource: Resource, after: datetime | None, before: datetime | None) -> bool:
    return (after is None or resource.created > after) and (before is None or resource.created < before)


def contains(resource: Resource, part: str | None) -> bool:
    return part is None or part.casefold() in resource.name.casefold()
