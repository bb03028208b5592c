"""The guard against hosts that bill for nothing, over the sandbox's own counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_distill.aws.gateways import AwsGateways, gateways_from_session
from airflow_distill.operators.idle import CheckIdleHostsOperator
from airflow_distill.remote.identity import resource_tags, tag_list
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.money.idle import forgotten, idle, underused
from tests.operators.conftest import TrainedStudent

pytestmark = pytest.mark.airflow

NOW = datetime(2026, 11, 30, tzinfo=UTC)
PRICES = {"deployment-input": 0.000035, "deployment-output": 0.00014}


class Ti:
    task_id, dag_id, run_id = "t", "d", "r"

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def guard(days_from_now: float = 0.0, **more: Any) -> CheckIdleHostsOperator:
    class Later(CheckIdleHostsOperator):
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(days=days_from_now)

    return Later(
        task_id="idle",
        workload="support_tickets",
        root="s3://distill-sandbox/distill",
        student="amazon.nova-micro-v1:0:128k",
        student_prices=PRICES,
        **more,
    )


def buy(student: TrainedStudent) -> str:
    tags = resource_tags(
        "support_tickets",
        "d/r",
        "me",
        root="s3://distill-sandbox/distill",
        extra={"airflow-distill:hourly-price": "15"},
    )
    return student.gateways.bedrock.create_provisioned_throughput(
        {
            "provisionedModelName": "live",
            "modelId": student.job["custom_model_arn"],
            "modelUnits": 1,
            "tags": tag_list(tags),
        }
    )


def test_a_host_by_the_hour_that_nobody_calls_is_told_with_its_bill(trained_student: TrainedStudent) -> None:
    buy(trained_student)
    ti = Ti()
    with pytest.raises(
        AirflowFailException, match=r"live was not called for 5\.0 days and bills 360\.00 USD a day"
    ):
        guard(5).execute({"ti": ti})
    assert ti.pushed["return_value"]["findings"][0]["monthly_usd"] == pytest.approx(10_950)


def test_a_host_that_is_called_little_is_told_with_the_cheaper_one_and_both_bills(
    trained_student: TrainedStudent,
) -> None:
    arn = buy(trained_student)
    trained_student.gateways.bedrock.get_provisioned_throughput(arn)
    for _ in range(3):
        trained_student.gateways.runtime.converse(
            arn, messages=[{"role": "user", "content": [{"text": "where is my card"}]}], max_tokens=20
        )
    told = guard(fail_on_warning=False).execute({"ti": Ti()})
    (host,) = [each for each in told["hosts"] if each["host_kind"] == "provisioned-throughput"]
    assert host["calls"] == 3
    assert host["input_tokens"] > 0
    (finding,) = told["findings"]
    assert finding["code"] == "underused"
    assert finding["monthly_usd"] == pytest.approx(10_950)
    assert finding["other_monthly_usd"] < 1


def test_a_host_on_demand_bills_nothing_while_idle_and_is_left_alone(trained_student: TrainedStudent) -> None:
    assert guard(30).execute({"ti": Ti()})["warnings"] == []


@pytest.mark.parametrize(("days", "found"), [(2.9, False), (3.1, True)])
def test_three_days_without_a_call_are_idle(days: float, found: bool) -> None:
    since = NOW - timedelta(days=days)
    assert (idle("h", 24.0, 0, None, since, NOW) is not None) is found
    assert (idle("h", 24.0, 5, since, NOW - timedelta(days=14), NOW) is not None) is found
    assert idle("h", 0.0, 0, None, since, NOW) is None


def test_an_unknown_price_is_told_and_not_counted_as_nothing() -> None:
    finding = idle("h", None, 0, None, NOW - timedelta(days=9), NOW)
    assert finding is not None
    assert "an unknown sum" in finding.said
    assert underused("h", "a", {"a": None, "b": 1.0}, 14, 1) is None


def test_a_legacy_model_is_forgotten_after_ten_days() -> None:
    assert forgotten("m", "teacher", NOW - timedelta(days=9), 14, NOW) is None
    assert forgotten("m", "teacher", None, 14, NOW) is not None


def test_metrics_are_read_by_host_and_an_error_is_not_taken_for_silence(bedrock_environment: Sandbox) -> None:
    gateways: AwsGateways = gateways_from_session(
        region_name="us-east-1", endpoint_url=bedrock_environment.endpoint_url
    )
    for _ in range(2):
        gateways.runtime.converse(
            "amazon.nova-micro-v1:0",
            messages=[{"role": "user", "content": [{"text": "hello"}]}],
            max_tokens=9,
        )
    end = datetime.now(UTC) + timedelta(minutes=1)
    found = gateways.metrics.asked(["amazon.nova-micro-v1:0"], end - timedelta(days=1), end)
    assert (found.calls, found.input_tokens) == (2, 2)
    assert found.last is not None
    assert gateways.metrics.asked(["amazon.nova-pro-v1:0"], end - timedelta(days=1), end).last is None
    bedrock_environment.faults.add("access-denied", operation="monitoring:GetMetricData", count=9)
    with pytest.raises(Exception, match="GetMetricData"):
        gateways.metrics.asked(["amazon.nova-micro-v1:0"], end - timedelta(days=1), end)
