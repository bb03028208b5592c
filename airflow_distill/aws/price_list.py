"""The AWS Price List: `pricing` GetProducts, which answers in a few Regions only for all of them."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_distill.aws.calls import Gateway

SERVICE_CODES = ("AmazonBedrock", "AmazonBedrockFoundationModels")
"""Bedrock's own models, and those that are sold through it."""


def endpoint_for(region: str) -> str:
    """Return the Region of the endpoint to ask: the nearest of the few."""
    if region.startswith("eu-") or region.startswith(("il-", "me-", "af-")):
        return "eu-central-1"
    return "ap-south-1" if region.startswith("ap-") else "us-east-1"


class PriceListGateway(Gateway):
    """`pricing`: list prices."""

    def iter_products(self, region: str) -> Iterator[str]:
        """Yield Bedrock's products of a Region, each as JSON text."""
        for code in SERVICE_CODES:
            pages = self.pages(
                "get_products",
                "NextToken",
                ServiceCode=code,
                FormatVersion="aws_v1",
                Filters=[{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}],
            )
            for page in pages:
                yield from page.get("PriceList", ())
