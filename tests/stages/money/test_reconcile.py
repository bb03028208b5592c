"""A bill held against our records: three planted differences are found, in both spellings of a report."""

from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.money.reconcile import BillLine, Known, match, of_workload, read_line

JOB, HOST, MODEL, STRANGER = (
    f"arn:aws:bedrock:us-east-1:1:{each}" for each in ("job", "host", "model", "stranger")
)


def legacy(resource: str, usd: str, workload: str = "tickets", **more: str) -> dict[str, str]:
    return {
        "lineItem/LineItemType": "Usage",
        "lineItem/ResourceId": resource,
        "lineItem/UsageType": "USE1-NovaMicro-Customization-Training",
        "lineItem/UnblendedCost": usd,
        "lineItem/UsageAmount": "1",
        "lineItem/CurrencyCode": "USD",
        "resourceTags/user:airflow-distill:workload": workload,
        **more,
    }


def exported(resource: str, usd: str, workload: str = "tickets") -> dict[str, str]:
    return {
        "line_item_line_item_type": "Usage",
        "line_item_resource_id": resource,
        "line_item_usage_type": "USE1-NovaMicro-Customization-Training",
        "line_item_unblended_cost": usd,
        "line_item_usage_amount": "1",
        "line_item_currency_code": "USD",
        "resource_tags": f'{{"user_airflow_distill_workload": "{workload}"}}',
    }


KNOWN = [
    Known(JOB, "job: tickets-j1", Decimal("12.00")),
    Known(HOST, "candidate host: tickets-c1", Decimal("30.00")),
    Known(MODEL, "kept model: m", None),
    Known("arn:late", "batch: nova", Decimal("4.00")),
]


@pytest.mark.parametrize("row", [legacy, exported])
def test_three_planted_differences_are_found(row: object) -> None:
    rows = [
        row(JOB, "11.95"),  # type: ignore[operator]
        row(HOST, "20.00"),  # type: ignore[operator]
        row(HOST, "17.50"),  # type: ignore[operator]
        row(MODEL, "1.95"),  # type: ignore[operator]
        row(STRANGER, "7.00"),  # type: ignore[operator]
        row("arn:other", "99.00", "another"),  # type: ignore[operator]
    ]
    lines = [line for each in rows if (line := read_line(each)) is not None]
    found = match(of_workload(lines, "tickets", known=[each.resource for each in KNOWN]), KNOWN)
    assert {(each.resource, each.status) for each in found} == {
        (JOB, "matched"),
        (MODEL, "matched"),
        (HOST, "unexplained"),
        (STRANGER, "unexplained"),
        ("arn:late", "missing"),
    }
    told = {each.resource: each.why for each in found}
    assert told[HOST] == "7.50 USD more than our records say"


@pytest.mark.parametrize(
    ("due", "status"), [(None, "matched"), (Decimal("0.004"), "matched"), (Decimal("1.95"), "missing")]
)
def test_a_kept_model_without_a_line_is_missed_when_its_storage_should_show(
    due: Decimal | None, status: str
) -> None:
    (found,) = match([], [Known(MODEL, "kept model: m", None, due)])
    assert found.status == status
    assert ("1.95 USD" in found.why) is (status == "missing")


def test_a_line_without_the_tag_counts_when_our_records_know_its_resource() -> None:
    line = BillLine(JOB, "t", Decimal(12), Decimal(1), {})
    assert [each.status for each in match(of_workload([line], "tickets", known=[JOB]), KNOWN[:1])] == [
        "matched"
    ]


def test_a_tag_of_another_root_is_not_ours() -> None:
    tags = {"airflow_distill_workload": "tickets", "airflow_distill_root": "s3://theirs"}
    line = BillLine(STRANGER, "t", Decimal(12), Decimal(1), tags)
    assert not list(of_workload([line], "tickets", "s3://ours"))
    assert list(of_workload([line], "tickets", "s3://theirs"))


def test_taxes_are_left_out_and_two_currencies_refused() -> None:
    assert read_line(legacy(JOB, "1") | {"lineItem/LineItemType": "Tax"}) is None
    with pytest.raises(ConfigurationError, match="two currencies cannot be compared"):
        read_line(legacy(JOB, "1") | {"lineItem/CurrencyCode": "EUR"})


@pytest.mark.parametrize("broken", [{}, {"a": "b"}, {"line_item_unblended_cost": "much"}])
def test_what_is_no_report_is_refused(broken: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="money: "):
        read_line(broken)


TAGS = {
    "a map as Athena prints it": {"resource_tags": "{user_airflow_distill_workload=tickets, user_team=desk}"},
    "a map as JSON": {"resource_tags": '{"user_airflow_distill_workload": "tickets"}'},
    "pairs as Parquet gives them": {"resource_tags": [("user_airflow_distill_workload", "tickets")]},
    "a column as Athena names it": {"RESOURCE_TAGS_USER_AIRFLOW_DISTILL_WORKLOAD": "tickets"},
}


@pytest.mark.parametrize("spelling", TAGS)
def test_our_tag_is_found_in_each_spelling(spelling: str) -> None:
    row = {name: value for name, value in exported(JOB, "1").items() if name != "resource_tags"}
    line = read_line({**row, **TAGS[spelling]})
    assert line is not None
    assert line.tags["airflow_distill_workload"] == "tickets"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"line_item_currency_code": "EUR"}, "EUR"),
        ({"line_item_unblended_cost": "1,234.50"}, "not a number"),
        ({"line_item_unblended_cost": "NaN"}, "not a number"),
    ],
)
def test_an_amount_that_cannot_be_added_says_why_and_what_to_do(changed: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_line({**exported(JOB, "1"), **changed})
    assert caught.value.hint


def test_an_export_of_another_kind_is_called_what_it_is() -> None:
    with pytest.raises(ConfigurationError, match="an export of FOCUS has no column"):
        read_line({"BilledCost": "1", "ChargeCategory": "Usage", "ResourceId": JOB})
