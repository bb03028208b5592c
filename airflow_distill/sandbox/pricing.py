"""The Price List API as far as a client of Bedrock's prices asks: GetProducts over the sandbox's own price table.

Products have the form of the real answers (AWS Price List Query API; usage types as observed for AmazonBedrock), and the
prices are those by which the sandbox's meter bills, so what a client reads here is what it is billed. Only AmazonBedrock
has products; pages hold 100.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

from airflow_distill.sandbox.failures import ServiceError
from airflow_distill.sandbox.protocol import WireReply, WireRequest
from airflow_distill.sandbox.world import World

PAGE = 100
BATCH_SHARE = 0.5
"""A batch job is billed at half the price of calls."""
SERVICES = ("AmazonBedrock", "AmazonBedrockFoundationModels")
PREFIXES = {
    "us-east-1": "USE1",
    "us-west-2": "USW2",
    "us-east-2": "USE2",
    "eu-central-1": "EUC1",
    "eu-west-1": "EU",
}
_PRODUCTS: tuple[tuple[str, str, str, str, float], ...] = (
    ("input-tokens", "input-tokens", "Input tokens", "1K tokens", 1),
    ("output-tokens", "output-tokens", "Output tokens", "1K tokens", 1),
    ("input-tokens", "input-tokens-batch", "Input tokens", "1K tokens", BATCH_SHARE),
    ("output-tokens", "output-tokens-batch", "Output tokens", "1K tokens", BATCH_SHARE),
    ("custom-model-input-tokens", "input-tokens-custom-model", "Input tokens", "1K tokens", 1),
    ("custom-model-output-tokens", "output-tokens-custom-model", "Output tokens", "1K tokens", 1),
    ("training-tokens", "Customization-Training", "", "1K tokens", 1),
    ("model-storage", "Customization-Storage", "", "Month", 1),
    ("provisioned-throughput", "ProvisionedThroughput-NoCommit-ModelUnits", "", "hour", 1),
)
"""The meter's service, the end of the usage type, `inferenceType`, unit, share of the meter's price."""


def answer(world: World, request: WireRequest, operation: str) -> WireReply:
    """Answer one call of the JSON 1.1 protocol."""
    try:
        asked = json.loads(request.body or b"{}")
    except ValueError:
        raise ServiceError("SerializationException", "The request is not JSON.", 400) from None
    if operation != "GetProducts":
        raise ServiceError("UnknownOperationException", f"The sandbox does not serve {operation}.", 400)
    if asked.get("ServiceCode") not in SERVICES:
        raise ServiceError("InvalidParameterException", "The sandbox lists AmazonBedrock only.", 400)
    wanted = {}
    for each in asked.get("Filters") or ():
        if each.get("Type") != "TERM_MATCH":
            raise ServiceError("InvalidParameterException", "The sandbox filters by TERM_MATCH only.", 400)
        wanted[str(each.get("Field"))] = str(each.get("Value"))
    region = wanted.pop("regionCode", "us-east-1")
    found = [
        product
        for product in (_products(world, region) if asked["ServiceCode"] == SERVICES[0] else ())
        if all(str(product["product"]["attributes"].get(name)) == value for name, value in wanted.items())
    ]
    begin, most = _page(asked)
    body: dict[str, Any] = {
        "FormatVersion": "aws_v1",
        "PriceList": [json.dumps(each) for each in found[begin : begin + most]],
    }
    if begin + most < len(found):
        body["NextToken"] = str(begin + most)
    return reply(body)


def _page(asked: dict[str, Any]) -> tuple[int, int]:
    token = str(asked.get("NextToken") or "0")
    if not token.isdigit():
        raise ServiceError("InvalidNextTokenException", "The token is not valid.", 400)
    return int(token), min(PAGE, int(asked.get("MaxResults") or PAGE))


def _products(world: World, region: str) -> Iterator[dict[str, Any]]:
    date = f"{world.clock.now():%Y-%m-01}T00:00:00Z"
    seen = set()
    for model in world.catalogue.models.values():
        base = re.sub(r"(:\d+):\d+k$", r"\1", model.id)
        if base in seen or region not in model.regions:
            continue
        seen.add(base)
        for service, ending, kind, unit, share in _PRODUCTS:
            price = world.meter.prices.price(service, base) * share
            usage_type = f"{PREFIXES.get(region, region.upper())}-{_family(model.name)}-{ending}"
            yield _product(usage_type, model.name, model.provider, region, kind, unit, price, date)


def _family(name: str) -> str:
    """The name as usage types spell it: `Llama 3.1 8B Instruct` is `Llama3-1-8B`."""
    return re.sub(r"(?<=\d)\.(?=\d)", "-", name).replace(" Instruct", "").replace(" ", "")


def _product(
    usage_type: str, model: str, provider: str, region: str, kind: str, unit: str, price: float, date: str
) -> dict[str, Any]:
    sku = f"SANDBOX{zlib.crc32(usage_type.encode()):010d}"
    term, rate = f"{sku}.JRTCKXETXF", f"{sku}.JRTCKXETXF.6YS6EN2CT7"
    attributes = {
        "regionCode": region,
        "servicecode": SERVICES[0],
        "usagetype": usage_type,
        "locationType": "AWS Region",
        "location": region,
        "servicename": "Amazon Bedrock",
        "operation": "",
        "model": model,
        "provider": provider,
        **({"inferenceType": kind} if kind else {}),
    }
    dimension = {
        "unit": unit,
        "endRange": "Inf",
        "beginRange": "0",
        "description": f"${price:.10f} per {unit} for {usage_type}",
        "appliesTo": [],
        "rateCode": rate,
        "pricePerUnit": {"USD": f"{price:.10f}"},
    }
    return {
        "product": {"productFamily": "Amazon Bedrock", "attributes": attributes, "sku": sku},
        "serviceCode": SERVICES[0],
        "terms": {
            "OnDemand": {
                term: {
                    "priceDimensions": {rate: dimension},
                    "sku": sku,
                    "effectiveDate": date,
                    "offerTermCode": "JRTCKXETXF",
                    "termAttributes": {},
                }
            }
        },
        "version": date.replace("-", "")[:8],
        "publicationDate": date,
    }


def refusal(error: ServiceError) -> WireReply:
    """Tell an error in the form of the JSON 1.1 protocol."""
    return reply({"__type": error.code, "Message": error.message}, error.status)


def reply(body: dict[str, Any], status: int = 200) -> WireReply:
    """A JSON 1.1 answer."""
    return WireReply(status, (("Content-Type", "application/x-amz-json-1.1"),), json.dumps(body).encode())
