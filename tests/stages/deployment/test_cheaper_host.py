"""With stated prices the cheaper host is taken, wherever the prices are stated."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_distill.aws.promotion import rates_from
from airflow_distill.stages.deployment.hosts import Capability, choose_host
from airflow_distill.stages.deployment.settings import host_wish
from airflow_distill.stages.money.prices import PriceTable

NOW = datetime(2026, 11, 30, tzinfo=UTC)
STUDENT = "amazon.nova-micro-v1:0"
STATED = {"deployment-input": 0.000035, "deployment-output": 0.00014}
KINDS = ("provisioned-throughput", "custom-model-deployment")


@pytest.mark.parametrize(
    ("hourly", "kind", "usd"),
    [(5.0, "provisioned-throughput", 120.0), (20.0, "custom-model-deployment", 441.0)],
)
def test_of_two_hosts_with_stated_prices_the_cheaper_is_taken(hourly: float, kind: str, usd: float) -> None:
    table = PriceTable.load().stated(STUDENT, STATED)
    wish = host_wish(
        kind="auto",
        units=1,
        commitment="none",
        hourly_price=hourly,
        ends_at="2026-12-30T00:00:00Z",
        daily_price_cap=None,
        accept_commitment=False,
        input_tokens_per_day=9_000_000_000,
        output_tokens_per_day=900_000_000,
    )
    choice = choose_host(
        wish,
        Capability(STUDENT, "us-east-1", KINDS),  # type: ignore[arg-type]
        rates_from(table, "us-east-1")(STUDENT),
        now=NOW,
        name_of=str,
    )
    assert choice.spec.kind == kind
    assert choice.daily_price == pytest.approx(usd)
