"""Products of the Price List become rows, or are left aside under a reason."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from airflow_distill.stages.money.price_list import read_products
from airflow_distill.stages.money.prices import PriceTable, compare, renewed

MICRO, LITE = "amazon.nova-micro-v1:0", "amazon.nova-2-lite-v1:0"
SMALL, LARGE = "meta.llama3-1-8b-instruct-v1:0", "meta.llama3-3-70b-instruct-v1:0"
MODELS = (MICRO, LITE, SMALL, LARGE)
UNITS, HOUR = "ProvisionedThroughput", "provisioned-throughput"


def product(
    usage_type: str, usd: str, unit: str = "1K tokens", model: str = "", region: str = "us-east-1"
) -> str:
    dimension = {"unit": unit, "pricePerUnit": {"USD": usd}, "beginRange": "0", "endRange": "Inf"}
    attributes: dict[str, Any] = {
        "usagetype": usage_type,
        "regionCode": region,
        "servicecode": "AmazonBedrock",
    }
    if model:
        attributes["model"] = model
    return json.dumps(
        {
            "product": {"attributes": attributes, "sku": "X"},
            "terms": {
                "OnDemand": {
                    "X.Y": {"effectiveDate": "2026-11-01T00:00:00Z", "priceDimensions": {"Z": dimension}}
                }
            },
        }
    )


@pytest.mark.parametrize(
    ("usage_type", "unit", "usd", "item", "model", "each"),
    [
        ("USE1-NovaMicro-input-tokens", "1K tokens", "0.000035", "inference-input", MICRO, "0.000035"),
        ("USE1-NovaMicro-output-tokens-batch", "1K tokens", "0.00007", "batch-output", MICRO, "0.00007"),
        (
            "USE1-NovaMicro-input-tokens-custom-model",
            "1K tokens",
            "0.00003",
            "deployment-input",
            MICRO,
            "0.00003",
        ),
        (
            "USE1-NovaMicro-cache-read-input-token-count",
            "1K tokens",
            "0.000009",
            "inference-cache-read",
            MICRO,
            "0.000009",
        ),
        ("USE1-Nova2.0Lite-Customization-Training", "1K tokens", "0.00378", "training", LITE, "0.00378"),
        ("USE1-Nova2Lite-Customization-Storage", "Month", "1.95", "model-storage", LITE, "1.95"),
        (
            f"USW2-Llama3-1-8B-{UNITS}-NoCommit-ModelUnits",
            "hour",
            "24",
            "provisioned-throughput",
            SMALL,
            "24",
        ),
        (
            f"USW2-Llama3-1-8B-{UNITS}-1MonthCommit-ModelUnits",
            "Hrs",
            "21.18",
            "provisioned-throughput-1-month",
            SMALL,
            "21.18",
        ),
        ("USE1-Llama3-3-70B-input-tokens", "1M tokens", "0.72", "inference-input", LARGE, "0.00072"),
    ],
)
def test_a_usage_type_says_what_is_priced(
    usage_type: str, unit: str, usd: str, item: str, model: str, each: str
) -> None:
    found = read_products([product(usage_type, usd, unit)], MODELS)
    (row,) = found.rows.values()
    assert (row.item, row.model, row.usd, row.date) == (item, model, Decimal(each), "2026-11-01")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (product("USE1-NovaMicro-input-tokens-cross-region-global", "1"), "no price of ours"),
        (product("USE1-NovaMicro-input-tokens-flex", "1"), "no price of ours"),
        (product("USE1-NovaCanvas-T2I-image", "1", "image"), "no price of ours"),
        (product("USE1-Claude2.0-input-tokens", "1"), "another model"),
        (product("USE1-NovaMicro-input-tokens", "1", "10K tokens"), "an unknown unit (10K tokens)"),
        ("{", "not a product"),
        ("[]", "not a product"),
        (product("USE1-NovaMicro-input-tokens", "cheap"), "not a product"),
    ],
)
def test_what_is_no_price_of_ours_is_left_aside_and_counted(text: str, reason: str) -> None:
    found = read_products([text], MODELS)
    assert not found.rows
    assert dict(found.left) == {reason: 1}


def test_a_models_own_name_tells_it_where_the_usage_type_does_not() -> None:
    found = read_products([product("USE1-X9-input-tokens", "0.1", model="Llama 3.1 8B Instruct")], MODELS)
    assert [row.model for row in found.rows.values()] == [SMALL]


def both(asked: str, said: str) -> PriceTable:
    products = [product("USE1-NovaMicro-input-tokens", asked), product("USE1-NovaMicro-output-tokens", said)]
    return read_products(products, MODELS).table()


def test_fetched_prices_replace_fetched_ones_and_leave_what_was_stated() -> None:
    old = read_products(
        [product("USE1-NovaMicro-input-tokens", "0.5"), product("USE1-NovaMicro-output-tokens", "2")], MODELS
    ).table()
    stated = PriceTable(tuple(row if row.item != "inference-output" else _stated(row) for row in old.rows))
    new = read_products(
        [product("USE1-NovaMicro-input-tokens", "0.6"), product("USE1-NovaMicro-output-tokens", "3")], MODELS
    ).table()
    changes = compare(stated, renewed(stated, new))
    assert [(c.item, c.before, c.after) for c in changes] == [
        ("inference-input", Decimal("0.5"), Decimal("0.6"))
    ]


def _stated(row: Any) -> Any:
    return replace(row, trust="stated")


def test_a_region_without_a_row_is_compared_by_the_row_of_all_regions() -> None:
    everywhere = PriceTable.load()
    row = next(r for r in everywhere.rows if r.item == "inference-input" and not r.region)
    same = PriceTable((replace(row, region="us-east-1"), *everywhere.rows))
    assert compare(everywhere, same) == []
