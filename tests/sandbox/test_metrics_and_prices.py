"""CloudWatch and the Price List as the sandbox serves them: shapes, pages, both protocols, hostile bytes."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_distill.cli.main import main
from airflow_distill.sandbox import Sandbox
from airflow_distill.sandbox.metrics import Metrics, decode, encode

VALUES: list[Any] = [
    0,
    23,
    24,
    255,
    65_536,
    -1,
    -500,
    1.5,
    "",
    "größer",
    True,
    False,
    None,
    [],
    [1, [2, "x"]],
    {"a": {"b": [1.25]}},
    datetime(2026, 11, 30, 12, 0, tzinfo=UTC),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_is_written_in_cbor_is_read_back(value: Any) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\x63ab",
        b"\x9f" * 2_000,
        b"\xa1\x61",
        b"\x00\x00",
        b"\x1c",
        b"\xbf\x61a\xff",
        b"\xfb\x00",
    ],
    ids=repr,
)
def test_bytes_that_are_no_cbor_end_in_one_error(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError, struct.error)):
        decode(data)


def test_points_lie_at_the_start_of_their_period() -> None:
    metrics, start = Metrics(), datetime(2026, 11, 30, tzinfo=UTC)
    for minute in (0, 10, 70):
        metrics.count(
            "r", "m", start + timedelta(minutes=minute), Invocations=1, InvocationLatency=100 + minute
        )
    end = start + timedelta(hours=3)
    assert metrics.read("r", "m", "Invocations", start, end, 3_600, "Sum") == [
        (start, 2.0),
        (start + timedelta(hours=1), 1.0),
    ]
    assert metrics.read("r", "m", "InvocationLatency", start, end, 86_400, "Average") == [(start, 380 / 3)]
    assert metrics.read("r", "other", "Invocations", start, end, 60, "Sum") == []


def test_products_come_in_pages_filtered_and_in_the_real_form(bedrock_sandbox: Sandbox) -> None:
    pricing = bedrock_sandbox.client("pricing")
    ask: dict[str, Any] = {
        "ServiceCode": "AmazonBedrock",
        "Filters": [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-1"}],
        "MaxResults": 7,
    }
    pages = list(pricing.get_paginator("get_products").paginate(**ask))
    assert len(pages) > 2
    products = [json.loads(text) for page in pages for text in page["PriceList"]]
    assert len({p["product"]["attributes"]["usagetype"] for p in products}) == len(products)
    one = pricing.get_products(
        **ask
        | {
            "Filters": [
                *ask["Filters"],
                {"Type": "TERM_MATCH", "Field": "usagetype", "Value": "USE1-NovaMicro-input-tokens"},
            ]
        }
    )
    (product,) = [json.loads(text) for text in one["PriceList"]]
    (term,) = product["terms"]["OnDemand"].values()
    (dimension,) = term["priceDimensions"].values()
    assert dimension["unit"] == "1K tokens"
    assert float(dimension["pricePerUnit"]["USD"]) == 0.000035
    with pytest.raises(ClientError, match="AmazonBedrock only"):
        pricing.get_products(ServiceCode="AmazonEC2")


def test_prices_are_fetched_into_a_table_of_ones_own_and_what_changed_is_told(
    bedrock_environment: Sandbox, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = str(tmp_path / "prices.json")
    end = ["--region", "us-east-1", "--endpoint-url", bedrock_environment.endpoint_url]
    assert main(["prices", "update", uri, "--dry-run", *end]) == 0
    assert not (tmp_path / "prices.json").exists()
    assert main(["prices", "update", uri, *end]) == 0
    out = capsys.readouterr().out
    assert "training of amazon.nova-lite-v1:0 in us-east-1: unknown -> 0.002 USD" in out
    bedrock_environment.world.meter.prices.table["prices"]["training-tokens"]["per_unit"][
        "amazon.nova-lite"
    ] = 0.003
    try:
        assert main(["prices", "update", uri, *end, "--json"]) == 0
    finally:
        bedrock_environment.world.meter.prices.table["prices"]["training-tokens"]["per_unit"][
            "amazon.nova-lite"
        ] = 0.002
    changes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(c["item"], c["model"], c["before"], c["after"]) for c in changes] == [
        ("training", "amazon.nova-lite-v1:0", 0.002, 0.003)
    ]
    assert main(["prices", "diff", "packaged", uri]) == 1
