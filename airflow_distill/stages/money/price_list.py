"""Products of the AWS Price List become rows of a price table.

Takes the JSON texts that GetProducts returns for the service code AmazonBedrock, hands on rows and what was left aside.
What a product is follows from its usage type, such as `USE1-NovaMicro-input-tokens-custom-model`: a Region's code, a
family, and what is billed. Products that are no price of ours (images, other tiers, global routing, imported models) are
left aside and counted; a price in a unit that we do not know is left aside too, never guessed. Pure.

Sources: AWS Price List Query API, GetProducts; usage types as observed for AmazonBedrock in mid 2026.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from airflow_distill.stages.jobs.models import base_model_id
from airflow_distill.stages.money.prices import UNITS, Price, PriceTable

SOURCE = "AWS Price List API, GetProducts, AmazonBedrock"
_NOT_OURS = re.compile(
    r"mantle|cross-?region|global|flex|priority|latency|image|audio|video|speech|document|import|evaluation|embed|guardrail"
    r"|reserved|tier",
    re.IGNORECASE,
)
_ITEMS: tuple[tuple[str, str], ...] = (
    (r"customization-?training", "training"),
    (r"customization-?storage", "model-storage"),
    (r"provisionedthroughput.{0,80}(?:no-?commit)", "provisioned-throughput"),
    (r"provisionedthroughput.{0,80}(?:1-?month|one-?month)", "provisioned-throughput-1-month"),
    (r"provisionedthroughput.{0,80}(?:6-?month|six-?month)", "provisioned-throughput-6-months"),
    (r"cache-?read.{0,80}token", "inference-cache-read"),
    (r"cache-?write.{0,80}token", "inference-cache-write"),
    (r"input-?tokens?-?custom-?model", "deployment-input"),
    (r"output-?tokens?-?custom-?model", "deployment-output"),
    (r"input-?tokens?(?:-count)?-?batch|batch-?input-?tokens?", "batch-input"),
    (r"output-?tokens?(?:-count)?-?batch|batch-?output-?tokens?", "batch-output"),
    (r"input-?tokens?(?:-count)?$", "inference-input"),
    (r"output-?tokens?(?:-count)?$", "inference-output"),
)
"""What the end of a usage type says -> the item; the first that fits counts."""

_KNOWN = tuple((re.compile(pattern, re.IGNORECASE), item) for pattern, item in _ITEMS)
_PER = re.compile(
    r"^(?:per )?(1k|1m|1000|1000000|thousand|million)?\s*(?:input |output )?tokens?$", re.IGNORECASE
)
_SIZES = {
    "": 1,
    "1k": 1_000,
    "1000": 1_000,
    "thousand": 1_000,
    "1m": 1_000_000,
    "1000000": 1_000_000,
    "million": 1_000_000,
}
_HOURS = frozenset(
    {"hour", "hours", "hrs", "hr", "model-unit-hour", "modelunit-hrs", "model unit hour", "units"}
)
_MONTHS = frozenset({"month", "months", "mo", "model-month", "model-mo", "models"})


@dataclass(slots=True)
class Read:
    """What was read: rows by what they price, and what was left aside, by reason."""

    rows: dict[tuple[str, str, str], Price] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)

    def table(self) -> PriceTable:
        """Return the rows as a table, in a stable order."""
        return PriceTable(tuple(self.rows[key] for key in sorted(self.rows)))


def read_products(products: Iterable[str], models: Iterable[str]) -> Read:
    """Return the rows for these models.

    :param products: `PriceList` entries, each a JSON text.
    :param models: base model ids that prices are wanted for.
    """
    found = Read()
    families = {_plain(model): base_model_id(model) for model in models}
    for text in products:
        try:
            reason = _take(json.loads(text), families, found)
        except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation):
            reason = "not a product"
        if reason:
            found.left[reason] += 1
    return found


def _take(product: Mapping[str, Any], families: Mapping[str, str], found: Read) -> str:
    """Take one product; returns why it was left aside, empty when it was taken."""
    about = product["product"]["attributes"]
    usage_type = str(about.get("usagetype") or "")
    region = str(about.get("regionCode") or "")
    if not usage_type or _NOT_OURS.search(usage_type):
        return "no price of ours"
    item = next((item for pattern, item in _KNOWN if pattern.search(usage_type)), "")
    if not item:
        return "no price of ours"
    model = "*" if item == "model-storage" and not _family(about, families) else _family(about, families)
    if not model:
        return "another model"
    dimension = _dimension(product)
    if dimension is None:
        return "no single price in USD"
    usd, unit, date = dimension
    size = _size(item, unit)
    if size is None:
        return f"an unknown unit ({unit[:40]})"
    each = usd * UNITS[item][1] / size
    row = Price(item, model, UNITS[item][0], each, f"{SOURCE}: {usage_type}", date, "list", region)
    standing = found.rows.get((item, model, region))
    if standing is not None and standing.usd > row.usd:
        row = standing  # two products of one name: the dearer one errs on the safe side
    found.rows[item, model, region] = row
    return ""


def _family(about: Mapping[str, Any], families: Mapping[str, str]) -> str:
    """Return the base model that a product is about, by its name or by the family in its usage type."""
    names = [_plain(str(about.get("model") or "")), _plain(str(about.get("titanModel") or ""))]
    parts = str(about.get("usagetype") or "").split("-")
    names += [_plain("-".join(parts[1:end])) for end in range(len(parts), 1, -1)]
    for name in names:
        if name and name in families:
            return families[name]
    return ""


def _plain(name: str) -> str:
    """Return a model's name as letters and digits: `Nova 2.0 Lite`, `Nova2Lite` and `amazon.nova-2-lite-v1:0` agree.

    >>> _plain("amazon.nova-2-lite-v1:0"), _plain("Nova 2.0 Lite"), _plain("Llama 3.1 8B Instruct")
    ('nova2lite', 'nova2lite', 'llama318b')
    >>> _plain("meta.llama3-1-8b-instruct-v1:0:128k")
    'llama318b'
    """
    name = base_model_id(name) if ":" in name or "." in name.partition("-")[0] else name
    name = re.sub(r"^[a-z0-9]+\.(?=[a-z])", "", name.lower())
    name = re.sub(r"-v\d+(:\d+)?$", "", name)
    name = re.sub(r"(?<=\d)\.0(?!\d)", "", name)
    name = re.sub(r"\b(amazon|meta|instruct)\b", "", name)
    return re.sub(r"[^a-z0-9]", "", name)


def _dimension(product: Mapping[str, Any]) -> tuple[Decimal, str, str] | None:
    """Return price, unit and date of a product's one on-demand price."""
    published = str(product.get("publicationDate") or "")
    found = [
        (
            Decimal(str(each["pricePerUnit"]["USD"])),
            str(each.get("unit") or ""),
            str(term.get("effectiveDate") or published)[:10],
        )
        for term in (product.get("terms") or {}).get("OnDemand", {}).values()
        for each in term["priceDimensions"].values()
        if "USD" in each["pricePerUnit"]
    ]
    return found[0] if len(found) == 1 and found[0][2] else None


def _size(item: str, unit: str) -> int | None:
    """Return how many counted things a unit holds."""
    plain = unit.strip().lower()
    if item.startswith("provisioned-throughput"):
        return 1 if plain in _HOURS else None
    if item == "model-storage":
        return 1 if plain in _MONTHS else None
    matched = _PER.match(plain)
    return _SIZES[(matched[1] or "").lower()] if matched else None
