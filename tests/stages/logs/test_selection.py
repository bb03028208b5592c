"""Records are selected by what the service would select by, and windows are half open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.logs.metadata import MetadataFilter
from airflow_distill.stages.logs.models import resolve_model
from airflow_distill.stages.logs.parse import parse_line
from airflow_distill.stages.logs.reasons import Skipped
from airflow_distill.stages.logs.selection import Selection, Window, normal_time, system_fingerprint
from tests.stages.logs.log_records import MODEL, line_of, record

APP = {"equals": {"app": "support"}}
NOT_TEST = {"notEquals": {"stage": "test"}}
TEAM = {"equals": {"team": "cards"}}


@pytest.mark.parametrize(
    ("written", "metadata", "expected"),
    [
        (APP, {"app": "support"}, True),
        (APP, {"app": "Support"}, False),
        (APP, {}, False),
        (NOT_TEST, {"stage": "live"}, True),
        (NOT_TEST, {"stage": "test"}, False),
        (NOT_TEST, {"app": "support"}, False),
        ({"equals": {"app": ""}}, {"app": ""}, True),
        ({"andAll": [APP, TEAM]}, {"app": "support", "team": "cards"}, True),
        ({"andAll": [APP, TEAM]}, {"app": "support"}, False),
        ({"orAll": [APP, TEAM]}, {"team": "cards"}, True),
        ({"orAll": [APP, TEAM]}, {"team": "loans"}, False),
        ({"andAll": [{**APP, **NOT_TEST}]}, {"app": "support", "stage": "live"}, True),
        ({"andAll": [{**APP, **NOT_TEST}]}, {"app": "support", "stage": "test"}, False),
    ],
)
def test_a_filter_means_what_the_service_means(
    written: dict[str, Any], metadata: dict[str, str], expected: bool
) -> None:
    found = MetadataFilter.from_json(written)
    assert found.matches(metadata) is expected
    assert MetadataFilter.from_json(found.to_json()) == found
    assert found.to_json() == written


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"equals": {}},
        {"equals": {"a": "1", "b": "2"}},
        {"equals": {"a": "1"}, "notEquals": {"b": "2"}},
        {"equals": {"": "1"}},
        {"equals": {"a": "x" * 257}},
        {"equals": {"a" * 257: "x"}},
        {"equals": {"a#": "x"}},
        {"equals": {"a": "x,y"}},
        {"equals": {"a": 1}},
        {"equals": "a"},
        {"andAll": []},
        {"orAll": [APP] * 17},
        {"andAll": [{"orAll": [APP]}]},
        {"andAll": [{}]},
        {"andAll": APP},
        {"andAll": "text"},
        {"Equals": {"a": "1"}},
        [],
    ],
)
def test_a_filter_the_service_would_refuse_is_refused_before(written: Any) -> None:
    with pytest.raises(ConfigurationError):
        MetadataFilter.from_json(written)


def test_pairs_must_all_match() -> None:
    assert MetadataFilter.from_pairs({"app": "support"}).to_json() == APP
    assert MetadataFilter.from_pairs({"team": "cards", "app": "support"}).to_json() == {"andAll": [APP, TEAM]}
    assert MetadataFilter.any_of(
        MetadataFilter.equals("app", "support"), MetadataFilter.not_equals("stage", "test")
    ).to_json() == {"orAll": [APP, NOT_TEST]}
    with pytest.raises(ConfigurationError):
        MetadataFilter.from_pairs({})


ARN = "arn:aws:bedrock:us-east-1:123456789012"


@pytest.mark.parametrize(
    ("model_id", "expected"),
    [
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
        ("us.anthropic.claude-3-5-sonnet-20240620-v1:0", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
        ("us-gov.anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("apac.amazon.nova-pro-v1:0", MODEL),
        ("global.amazon.nova-pro-v1:0", MODEL),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", MODEL),
        ("arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/amazon.nova-pro-v1:0", MODEL),
        (f"{ARN}:inference-profile/eu.amazon.nova-pro-v1:0", MODEL),
        (f"{ARN}:application-inference-profile/abc123def456", ""),
        (f"{ARN}:provisioned-model/abc123def456", ""),
        (f"{ARN}:custom-model-deployment/abc123def456", ""),
        ("something", ""),
        ("", ""),
    ],
)
def test_an_id_says_its_model_or_nothing(model_id: str, expected: str) -> None:
    assert resolve_model(model_id) == expected


@pytest.mark.parametrize(
    "kind", ["application-inference-profile", "provisioned-model", "custom-model-deployment"]
)
def test_a_mapping_names_the_model_behind_an_opaque_arn(kind: str) -> None:
    arn = f"{ARN}:{kind}/abc123def456"
    assert resolve_model(arn, {arn: MODEL}) == MODEL
    assert resolve_model(arn, {"abc123def456": "us.amazon.nova-pro-v1:0"}) == MODEL
    assert resolve_model("us.amazon.nova-pro-v1:0", {"other": "x.y"}) == MODEL


WINDOW = Window.parse("2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z")


@pytest.mark.parametrize(
    ("asked", "changes", "expected"),
    [
        ({"model": MODEL}, {}, None),
        ({"model": MODEL}, {"modelId": "us.amazon.nova-pro-v1:0"}, None),
        ({"model": "us.amazon.nova-pro-v1:0"}, {}, None),
        ({"model": MODEL}, {"modelId": "amazon.nova-pro-v1:0:300k"}, "other_model"),
        ({"model": MODEL}, {"modelId": f"{ARN}:provisioned-model/abc"}, "other_model"),
        ({"model": MODEL, "mapping": {"abc": MODEL}}, {"modelId": f"{ARN}:provisioned-model/abc"}, None),
        ({"model": f"{ARN}:provisioned-model/abc"}, {"modelId": f"{ARN}:provisioned-model/abc"}, None),
        ({"operations": ("Converse",)}, {}, None),
        ({"operations": ("InvokeModel",)}, {}, "other_operation"),
        ({"window": WINDOW}, {"timestamp": "2026-11-20T10:00:00Z"}, None),
        ({"window": WINDOW}, {"timestamp": "2026-11-20T10:59:59.999Z"}, None),
        ({"window": WINDOW}, {"timestamp": "2026-11-20T12:30:00+02:00"}, None),
        ({"window": WINDOW}, {"timestamp": "2026-11-20T11:00:00Z"}, "outside_window"),
        ({"window": WINDOW}, {"timestamp": "2026-11-20T09:59:59Z"}, "outside_window"),
        ({"window": WINDOW}, {"timestamp": "soon"}, "outside_window"),
        ({"window": WINDOW}, {"timestamp": None}, "outside_window"),
        ({"metadata": MetadataFilter.from_json(APP)}, {}, None),
        ({"metadata": MetadataFilter.from_json(APP)}, {"requestMetadata": None}, "other_metadata"),
        ({"metadata": MetadataFilter.from_json(NOT_TEST)}, {}, "other_metadata"),
        ({"identity": "*:assumed-role/desk/*"}, {}, None),
        ({"identity": "*:assumed-role/other/*"}, {}, "other_caller"),
        ({"system_digest": system_fingerprint(None)}, {}, None),
        ({"system_digest": system_fingerprint("Be brief.")}, {}, "other_system"),
        ({"model": "amazon.nova-micro-v1:0"}, {"errorCode": "ThrottlingException"}, "other_model"),
        ({"model": "amazon.nova-micro-v1:0"}, {"input": {"inputBodyJson": {"messages": 5}}}, "other_model"),
    ],
)  # fmt: skip
def test_a_record_is_selected_or_its_first_mismatch_is_named(
    asked: dict[str, Any], changes: dict[str, Any], expected: str | None
) -> None:
    found = parse_line(line_of(record(**changes)), Selection(**asked))
    assert (found.reason.value if isinstance(found, Skipped) else None) == expected


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        Selection(operations=("Chat",))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
        ("2026-11-16 00:00:00+00:00", "2026-11-23 00:00:00.123456+00:00"),
        ("2026-11-16", "2026-11-23"),
        (datetime(2026, 11, 16, tzinfo=UTC), datetime(2026, 11, 23)),
        (datetime(2026, 11, 16, 2, tzinfo=timezone(timedelta(hours=2))), "2026-11-22T19:00:00-05:00"),
    ],
)
def test_a_window_takes_what_a_template_renders(start: Any, end: Any) -> None:
    window = Window.parse(start, end)
    assert (window.start, window.end) == ("2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z")
    assert window.key == "20261116T000000Z_20261123T000000Z"


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-11-23", "2026-11-23"),
        ("2026-11-24", "2026-11-23"),
        ("", "2026-11-23"),
        ("None", "2026-11-23"),
        ("yesterday", "2026-11-23"),
    ],
)
def test_an_empty_or_unreadable_window_is_refused(start: str, end: str) -> None:
    with pytest.raises(ConfigurationError):
        Window.parse(start, end)


def test_times_become_text_that_compares_in_time_order() -> None:
    assert normal_time("2026-11-20T10:00:00Z") == "2026-11-20T10:00:00Z"
    assert normal_time("2026-11-20T10:00:00.5+01:00") == "2026-11-20T09:00:00Z"
    assert normal_time("2026-13-20T10:00:00Z") == ""
    assert normal_time("0001-01-01T00:00:00+10:00") == ""
