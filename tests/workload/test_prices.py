"""Stated prices reach every task that says or meets an amount, not the budget check alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_distill.aws.prices import read_prices
from airflow_distill.errors import ConfigurationError
from airflow_distill.workload.reading import read_workload
from airflow_distill.workload.tasks import loop

MICRO = "amazon.nova-micro-v1:0:128k"
PRICED = {
    "CheckBudgetOperator",
    "BedrockCreateHostOperator",
    "ScoreAnswersOperator",
    "DecidePromotionOperator",
    "BedrockPromoteModelOperator",
    "RenderReportOperator",
}
"""Operators that buy by price, judge by price, or print one."""
TABLE = """{"v": 1, "currency": "USD", "rows": [{"item": "training", "model": "amazon.nova-micro-v1:0",
"unit": "1000 tokens", "usd": 0.5, "source": "a contract", "date": "2026-11-01", "trust": "stated"}]}"""


def test_every_task_that_knows_an_amount_is_handed_the_stated_prices(write: Callable[..., Path]) -> None:
    text = "  student_prices: {training: 0.002}\n  prices: s3://acme-distill/prices.json\n"
    workload = read_workload(write(text + "deployment:\n  enabled: true\n"))
    tasks = {task.operator.rpartition(".")[2]: task for group in loop(workload) for task in group.tasks}
    assert set(tasks) >= PRICED
    for name in PRICED:
        assert tasks[name].arguments["student_prices"] == {"training": 0.002}, name
        assert tasks[name].arguments["prices"] == "s3://acme-distill/prices.json", name


def test_a_users_table_is_read_from_a_path_and_lies_over_the_packaged_one(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text(TABLE)
    table = read_prices(None, str(tmp_path / "prices.json"), student=MICRO, stated={"model-storage": 1})
    assert table.rate("training", MICRO) == 0.0005
    assert table.rate("model-storage", MICRO) == 1
    assert table.rate("inference-input", "amazon.nova-pro-v1:0") == 0.0000008


@pytest.mark.parametrize(
    "content",
    [None, "{", "[]", '{"v": 1, "rows": [{"item": "tea", "usd": 1}]}', '{"v": 1, "currency": "EUR"}'],
)
def test_a_table_that_cannot_be_read_is_refused_with_what_to_do(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "prices.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="prices:") as error:
        read_prices(None, str(path))
    assert error.value.hint
