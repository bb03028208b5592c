"""Service Quotas as far as a client of Bedrock asks: GetServiceQuota and ListServiceQuotas, over the sandbox's own limits.

The limits are those that the sandbox keeps to (`world.quotas`), so what is told here is what holds. Names follow
Amazon Bedrock endpoints and quotas; codes come from the table of models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from airflow_distill.sandbox.failures import ServiceError
from airflow_distill.sandbox.protocol import WireReply, WireRequest
from airflow_distill.sandbox.store import ACCOUNT
from airflow_distill.sandbox.world import World

_LIMITS = {
    "units": (
        "Model units no-commitment Provisioned Throughputs across custom models",
        "model-units-no-commitment",
        True,
    ),
    "deployments": ("Custom model deployments", "custom-model-deployments", False),
}
"""Name in the table of models -> name in Service Quotas, the sandbox's name of the limit, whether it can be raised."""


def _quotas(world: World) -> Iterator[tuple[str, str, str, bool]]:
    """Code, name, the sandbox's name of the limit, whether it can be raised."""
    for name, (shown, limit, adjustable) in _LIMITS.items():
        yield world.catalogue.quotas[name]["code"], shown, limit, adjustable
    for code, model in world.catalogue.units_quotas().items():
        shown = f"Model units no-commitment Provisioned Throughputs for {model}"
        yield code, shown, "model-units-no-commitment-per-model", True


def answer(world: World, request: WireRequest, operation: str, region: str) -> WireReply:
    """Answer one call of the JSON 1.1 protocol."""
    try:
        asked = json.loads(request.body or b"{}")
    except ValueError:
        raise ServiceError("SerializationException", "The request is not JSON.", 400) from None
    if asked.get("ServiceCode") != "bedrock":
        raise ServiceError("NoSuchResourceException", "The sandbox keeps quotas of bedrock only.", 400)
    rows = [_row(world, region, *quota) for quota in _quotas(world)]
    if operation == "ListServiceQuotas":
        return _reply({"Quotas": rows})
    if operation != "GetServiceQuota":
        raise ServiceError("UnknownOperationException", f"The sandbox does not serve {operation}.", 400)
    code = asked.get("QuotaCode")
    row = next((row for row in rows if row["QuotaCode"] == code), None)
    if row is None:
        raise ServiceError("NoSuchResourceException", f"There is no quota {code} of bedrock.", 400)
    return _reply({"Quota": row})


def _row(world: World, region: str, code: str, name: str, limit: str, adjustable: bool) -> dict[str, Any]:
    return {
        "ServiceCode": "bedrock",
        "ServiceName": "Amazon Bedrock",
        "QuotaArn": f"arn:aws:servicequotas:{region}:{ACCOUNT}:bedrock/{code}",
        "QuotaCode": code,
        "QuotaName": name,
        "Value": float(world.quotas[limit]),
        "Unit": "None",
        "Adjustable": adjustable,
        "GlobalQuota": False,
    }


def refusal(error: ServiceError) -> WireReply:
    """Tell an error in the form of the JSON 1.1 protocol."""
    return _reply({"__type": error.code, "Message": error.message}, error.status)


def _reply(body: dict[str, Any], status: int = 200) -> WireReply:
    return WireReply(status, (("Content-Type", "application/x-amz-json-1.1"),), json.dumps(body).encode())
