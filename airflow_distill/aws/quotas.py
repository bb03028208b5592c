"""Whether the account could serve a student at all, asked before its training is paid for.

A quota of 0 is the default for units without commitment, and two quotas count for them: across custom models, and of the
base model. Limits come from Service Quotas (GetServiceQuota; ListServiceQuotas where only a name is known), what is in
use from Bedrock. Sources: Amazon Bedrock endpoints and quotas.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_distill.aws.calls import Gateway
from airflow_distill.errors import DistillError, ServiceAccessError, ServiceError, ServiceNotFoundError
from airflow_distill.stages.jobs import models
from airflow_distill.stages.model_table import HostKind, Quota, in_force

if TYPE_CHECKING:
    from airflow_distill.aws.bedrock import BedrockGateway
    from airflow_distill.aws.gateways import AwsGateways

SERVICE = "bedrock"


class QuotaGateway(Gateway):
    """`service-quotas`: the limits of this account and Region."""

    def limit(self, quota: Quota) -> float | None:
        """Return a quota's value, or None when the service knows no such quota."""
        if not quota.code:
            return next((value for name, value in self.named() if name == quota.name), None)
        try:
            found = self.call("get_service_quota", ServiceCode=SERVICE, QuotaCode=quota.code)
        except ServiceNotFoundError:
            return None
        except ServiceError as error:
            if error.code == "NoSuchResourceException":
                return None
            raise
        value = (found.get("Quota") or {}).get("Value")
        return None if value is None else float(value)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield every quota of Bedrock as the service tells it."""
        for page in self.pages("list_service_quotas", "NextToken", ServiceCode=SERVICE):
            yield from page.get("Quotas") or ()

    def named(self) -> Iterator[tuple[str, float]]:
        """Yield every quota of Bedrock as (name, value)."""
        for row in self.rows():
            yield str(row.get("QuotaName", "")), float(row.get("Value") or 0)


@dataclass(frozen=True, slots=True)
class Room:
    """Whether one more host of a kind fits, and what stands in its way.

    :param blocked: why it does not, with quota code, name and console link; empty when it does.
    :param unknown: what could not be found out.
    :param unlisted: the table of models does not say which quota to ask for; how to find its code.
    """

    kind: HostKind
    blocked: str = ""
    unknown: str = ""
    unlisted: str = ""


def rooms(gateways: AwsGateways, student: str, kinds: Iterable[HostKind], units: int = 1) -> tuple[Room, ...]:
    """Return, for each kind of host, whether the account has room for one more.

    :param units: model units that the throughput would have.
    :raises DistillError: the service gave no answer; asking again may help.
    """
    return tuple(_room(gateways, models.base_model_id(student), kind, units) for kind in kinds)


def _room(gateways: AwsGateways, base: str, kind: HostKind, units: int) -> Room:
    region = gateways.bedrock.region
    if kind == "custom-model-deployment":
        if region not in models.deployment_regions():
            told = ", ".join(models.deployment_regions())
            return Room(kind, f"custom models are served on demand only in {told}, not in {region}")
        used = float(sum(1 for _ in gateways.bedrock.iter_deployments()))
        return _held(gateways, kind, [(in_force().quotas.get("deployments"), used, 1)])
    per_model = in_force().model(base)
    of_model = Quota(per_model.units_quota, f"model units no-commitment of {base}") if per_model else None
    over_all, own = _units_in_use(gateways.bedrock, base)
    room = _held(
        gateways,
        kind,
        [
            (in_force().quotas.get("units"), over_all, units),
            (of_model if of_model and of_model.code else None, own, units),
        ],
    )
    if room.blocked or room.unknown or (of_model and of_model.code):
        return room
    return Room(kind, unlisted=_code_not_known(gateways, base))


def _code_not_known(gateways: AwsGateways, base: str) -> str:
    """Say how the code of a base model's own quota is found; a code that is guessed proves nothing.

    The account's quotas that speak of units without commitment are named, where they can be listed.
    """
    region = gateways.bedrock.region
    try:
        listed = [
            f"{row['QuotaCode']} ({row['QuotaName']}, {float(row.get('Value', 0)):g})"
            for row in gateways.quotas.rows()
            if row.get("QuotaCode") and _speaks_of_units(str(row.get("QuotaName", "")))
        ]
    except DistillError:
        listed = []
    there = f" Service Quotas lists: {'; '.join(listed[:MOST_NAMED])}." if listed else ""
    return (
        f"the code of its second quota, units without commitment of {base}, is not known, so nobody can say whether a "
        f"host fits.{there} Find it with `{LIST_QUOTAS} --region {region}` and write it as units_quota of {base} into a "
        "table of your own (models:)"
    )


LIST_QUOTAS = (
    "aws service-quotas list-service-quotas --service-code bedrock "
    "--query \"Quotas[?contains(QuotaName, 'no-commitment')].[QuotaCode,QuotaName,Value]\" --output text"
)
"""Lists the quotas of units without commitment with their codes."""

MOST_NAMED = 5
"""Quotas that a message names."""


def _speaks_of_units(name: str) -> bool:
    words = name.casefold().replace("-", " ")
    return "model units" in words and "no commitment" in words and "across" not in words


def _held(gateways: AwsGateways, kind: HostKind, asked: list[tuple[Quota | None, float, int]]) -> Room:
    for quota, used, wanted in asked:
        if quota is None:
            continue
        try:
            limit = gateways.quotas.limit(quota)
        except ServiceAccessError as error:
            return Room(
                kind, unknown=f"its quotas cannot be read ({error.code}); allow servicequotas:GetServiceQuota"
            )
        if limit is None:
            return Room(kind, unknown=f"Service Quotas knows no quota {quota.code or quota.name}")
        if used + wanted > limit:
            link = console(quota, gateways.bedrock.region)
            return Room(
                kind,
                f"quota {quota.code} ({quota.name}) is {limit:g}, {used:g} in use, {wanted} wanted: {link}",
            )
    return Room(kind)


def _units_in_use(bedrock: BedrockGateway, base: str) -> tuple[float, float]:
    """Return the units without commitment in use by custom models: in all, and on the base model."""
    over_all = own = 0.0
    for row in bedrock.iter_provisioned_throughputs():
        if row.get("commitmentDuration") or not _is_custom(row):
            continue
        units = float(row.get("modelUnits") or 0)
        over_all += units
        own += units if models.base_model_id(str(row.get("foundationModelArn", ""))) == base else 0.0
    return over_all, own


def _is_custom(row: dict[str, Any]) -> bool:
    return ":custom-model/" in str(row.get("modelArn", "")) or ":custom-model/" in str(
        row.get("desiredModelArn", "")
    )


def console(quota: Quota, region: str) -> str:
    """Return the page on which a quota can be raised."""
    return f"https://{region}.console.aws.amazon.com/servicequotas/home/services/bedrock/quotas/{quota.code}"


def no_code(found: tuple[Room, ...]) -> str:
    """Return what has to be found out before anybody can say that a host fits; empty when one may fit without it.

    A quota that cannot be named is not taken for room: 0 is what an account begins with.
    """
    told = [f"{room.kind}: {room.unlisted}" for room in found if room.unlisted]
    if not told or any(not room.blocked and not room.unlisted for room in found):
        return ""
    return "; ".join([*told, *(f"{room.kind}: {room.blocked}" for room in found if room.blocked)])


def no_room(found: tuple[Room, ...]) -> str:
    """Return why no host at all fits; empty when one may."""
    if not found or any(not room.blocked for room in found):
        return ""
    return "; ".join(f"{room.kind}: {room.blocked}" for room in found)
