"""The bill held against our own records: what of a Cost and Usage Report is matched, missing or unexplained.

Reads lines of a report (legacy names such as `lineItem/UnblendedCost`, or those of Data Exports such as
`line_item_unblended_cost`), keeps those with a workload's tags, and adds them up by resource. A resource that our records
know and whose sums agree is matched. A record of a sum without a line is missing from the bill: it comes a day or two
late, or was never billed; a kept model is missed when its storage should show by now. A line without a record, or a sum
that differs, is unexplained. Pure; no clock.

Source: AWS Data Exports User Guide, Cost and Usage Report column dictionaries; user tags are `resourceTags/user:KEY` in the
one, and the map `resource_tags` with `user_KEY` in the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.money.records import CURRENCY, as_float

TOLERANCE = Decimal("0.02")
"""A sum agrees when it differs by no more than this share, or by a cent: prices are rounded and hours are cut."""
CENT = Decimal("0.01")
_NOT_NAME = re.compile(r"[^a-z0-9]+")
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line of the report, as far as it matters here."""

    resource: str
    usage_type: str
    usd: Decimal
    amount: Decimal
    tags: Mapping[str, str]
    start: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """One thing that our records know. `usd` is None where they do not say what it cost, such as a kept model.

    :param expected: the least that a bill should show of it by now, where `usd` is not known.
    """

    resource: str
    what: str
    usd: Decimal | None
    expected: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """What became of one resource.

    :param status: `matched`, `missing` or `unexplained`.
    :param billed_usd: what the report says; None when it has no line.
    :param recorded_usd: what our records say; None when they do not know.
    """

    status: str
    resource: str
    what: str
    billed_usd: Decimal | None
    recorded_usd: Decimal | None
    lines: int
    why: str

    def to_json(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "resource": self.resource,
            "what": self.what,
            "billed_usd": as_float(self.billed_usd),
            "recorded_usd": as_float(self.recorded_usd),
            "lines": self.lines,
            "why": self.why,
        }


def read_line(row: Mapping[str, Any]) -> BillLine | None:
    """Return one row of a report; None for a row that bills nothing we use, such as a tax or a credit.

    :raises ConfigurationError: the row has no cost, or is in another currency.
    """
    named = {_normal(name): value for name, value in row.items() if name}
    if "line_item_unblended_cost" not in named:
        raise ConfigurationError(
            f"money: {_what(named)} has no column line_item_unblended_cost.",
            hint="Give a Cost and Usage Report (legacy or Data Exports) as CSV or Parquet, with resource ids.",
        )
    if str(named.get("line_item_line_item_type") or "Usage") not in (
        "Usage",
        "DiscountedUsage",
        "SavingsPlanCoveredUsage",
        "Fee",
    ):
        return None
    currency = str(named.get("line_item_currency_code") or CURRENCY)
    if currency != CURRENCY:
        raise ConfigurationError(
            f"money: the report is in {currency}; amounts of two currencies cannot be compared.",
            hint=f"Give a report in {CURRENCY}.",
        )
    return BillLine(
        resource=str(named.get("line_item_resource_id") or ""),
        usage_type=str(named.get("line_item_usage_type") or ""),
        usd=_number(named["line_item_unblended_cost"]),
        amount=_number(named.get("line_item_usage_amount") or 0),
        tags=_tags(row, named),
        start=str(named.get("line_item_usage_start_date") or ""),
    )


def _what(named: Mapping[str, Any]) -> str:
    """Name what a file is that is no report of this kind."""
    if "billed_cost" in named or "charge_category" in named:
        return "an export of FOCUS"
    return "the report"


def of_workload(
    lines: Iterable[BillLine], workload: str, root: str = "", known: Iterable[str] = ()
) -> Iterator[BillLine]:
    """Yield the lines with a workload's tags, and those of resources that its records know though the tag is not there.

    A tag appears in a bill only after it was activated as a cost allocation tag, and not for the time before.
    """
    ours = set(known)
    for line in lines:
        tagged = line.tags.get("airflow_distill_workload")
        other = line.tags.get("airflow_distill_root")
        if line.resource in ours or (tagged == workload and (not root or not other or other == root)):
            yield line


def match(lines: Iterable[BillLine], known: Iterable[Known]) -> list[Match]:
    """Hold lines against records, by resource; the unexplained first, then the missing."""
    billed: dict[str, list[BillLine]] = {}
    for line in lines:
        billed.setdefault(line.resource, []).append(line)
    records: dict[str, list[Known]] = {}
    for each in known:
        records.setdefault(each.resource, []).append(each)
    found = [
        _match(resource, billed.get(resource, []), records.get(resource, []))
        for resource in {*billed, *records}
    ]
    order = {"unexplained": 0, "missing": 1, "matched": 2}
    return sorted(found, key=lambda each: (order[each.status], -(each.billed_usd or 0), each.resource))


def _match(resource: str, lines: list[BillLine], known: list[Known]) -> Match:
    billed = sum((line.usd for line in lines), Decimal(0)) if lines else None
    sums = [each.usd for each in known]
    recorded = (
        None if not known or any(usd is None for usd in sums) else sum((u for u in sums if u), Decimal(0))
    )
    what = known[0].what if known else ", ".join(sorted({line.usage_type for line in lines})[:3])

    def told(status: str, why: str) -> Match:
        return Match(status, resource, what, billed, recorded, len(lines), why)

    if not known:
        return told("unexplained", "no record of ours knows this resource")
    if billed is None and recorded is None:
        due = sum((each.expected for each in known if each.expected is not None), Decimal(0))
        if due < CENT:
            return told("matched", "known, and nothing of it is due yet")
        return told(
            "missing", f"some {due:,.2f} USD of it should be billed by now, and there is no line of it"
        )
    if billed is None:
        if recorded is not None and recorded < CENT:
            return told("matched", "less than a cent, and no line")
        return told(
            "missing", "recorded, and not on the bill: it comes up to two days late, or was not billed"
        )
    if recorded is None:
        return told("matched", "known; our records do not say what it cost")
    difference = billed - recorded
    if abs(difference) <= max(CENT, TOLERANCE * recorded):
        return told("matched", "agrees")
    more = "more" if difference > 0 else "less"
    return told("unexplained", f"{abs(difference):,.2f} USD {more} than our records say")


def _normal(name: str) -> str:
    """Return a column's name in the spelling of Data Exports.

    >>> _normal("lineItem/UnblendedCost"), _normal("line_item_unblended_cost")
    ('line_item_unblended_cost', 'line_item_unblended_cost')
    """
    return _NOT_NAME.sub("_", _CAPITAL.sub("_", str(name)).lower()).strip("_")


def _tags(row: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, str]:
    """Return user tags by normalised key, from a column each or from one map."""
    found = {}
    for name, value in row.items():
        plain = str(name)
        if value and plain.lower().startswith(("resourcetags/user:", "resource_tags_user_")):
            key = plain.split(":", 1)[1] if ":" in plain else plain[len("resource_tags_user_") :]
            found[_NOT_NAME.sub("_", key.lower()).strip("_")] = str(value)
    whole = named.get("resource_tags")
    if isinstance(whole, str) and whole.strip().startswith("{"):
        try:
            whole = json.loads(whole)
        except ValueError:  # as Athena prints a map: {key=value, key=value}
            pairs = (pair.split("=", 1) for pair in whole.strip().strip("{}").split(", "))
            whole = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    if isinstance(whole, list):  # Parquet gives a map as pairs
        whole = {str(pair[0]): pair[1] for pair in whole if isinstance(pair, tuple | list) and len(pair) == 2}
    if isinstance(whole, Mapping):
        for key, value in whole.items():
            plain = _NOT_NAME.sub("_", str(key).lower()).strip("_").removeprefix("user_")
            found[plain] = str(value)
    return found


def _number(value: Any) -> Decimal:
    try:
        found = Decimal(str(value).strip() or "0")
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise ConfigurationError(
            "money: an amount of the report is not a number.",
            hint="Give the file as AWS delivered it; a spreadsheet changes how numbers are written.",
        )
    return found
