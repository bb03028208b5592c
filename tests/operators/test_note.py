"""Tasks write down where their workload stands, and lose nothing when they cannot."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred
from airflow.triggers.base import BaseTrigger

from airflow_distill.errors import ConfigurationError, ServiceThrottledError
from airflow_distill.operators.base import DistillOperator
from airflow_distill.operators.note import place_of
from airflow_distill.stages.storage import LocalStore
from airflow_distill.workload.status import Index

pytestmark = pytest.mark.airflow
WORKLOAD = "support_tickets"


class Once(BaseTrigger):
    """Never runs."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "x", {}

    async def run(self) -> Any:
        yield None


class Step(DistillOperator):
    """Does what it is told."""

    def __init__(self, *, root: str, does: Any, workload: str = WORKLOAD, **kwargs: Any) -> None:
        super().__init__(task_id="step", **kwargs)
        self.workload, self.root, self.does = workload, root, does

    def work(self, context: Any) -> Any:
        if isinstance(self.does, BaseException):
            raise self.does
        return self.does


def context(tries: int = 1, most: int = 3) -> dict[str, Any]:
    ti = SimpleNamespace(
        dag_id="d", run_id="r", task_id="step", map_index=-1, try_number=tries, max_tries=most
    )
    ti.xcom_push = lambda **kwargs: None
    return {"ti": ti}


def run(root: Path, does: Any, **more: Any) -> Any:
    return Step(root=str(root), does=does).execute(context(**more))


def status(root: Path) -> Any:
    return Index(LocalStore(), str(root)).read(WORKLOAD)


def test_a_step_that_ends_is_noted(tmp_path: Path) -> None:
    run(tmp_path, {"kind": "turn", "workload": WORKLOAD})
    found = status(tmp_path)
    assert (found.step.task_id, found.step.state, found.dag_id) == ("step", "running", "d")
    run(tmp_path, {"kind": "turn-end", "workload": WORKLOAD})
    assert status(tmp_path).step.state == "ended"


def test_a_step_that_waits_is_noted(tmp_path: Path) -> None:
    with pytest.raises(TaskDeferred):
        run(tmp_path, TaskDeferred(trigger=Once(), method_name="resume"))
    assert status(tmp_path).step.state == "waiting"


@pytest.mark.parametrize(
    ("error", "tries", "state"),
    [
        (ConfigurationError("wrong", hint="mend"), 1, "failed"),
        (AirflowFailException("wrong"), 1, "failed"),
        (ServiceThrottledError("slow", operation="X", code="Throttling"), 1, "retrying"),
        (ServiceThrottledError("slow", operation="X", code="Throttling"), 4, "failed"),
        (RuntimeError("secret prompt text"), 4, "failed"),
    ],
)
def test_a_failure_is_noted_by_its_class_and_a_try_that_is_repeated_is_none(
    tmp_path: Path, error: Exception, tries: int, state: str
) -> None:
    with pytest.raises(type(error) if not isinstance(error, ConfigurationError) else AirflowFailException):
        run(tmp_path, error, tries=tries)
    found = status(tmp_path)
    assert found.step.state == state
    assert found.step.error == type(error).__name__
    assert (found.failure is not None) == (state == "failed")
    assert "secret" not in (tmp_path / f"status/{WORKLOAD}.json").read_text()


def test_a_skip_is_no_failure(tmp_path: Path) -> None:
    with pytest.raises(AirflowSkipException):
        run(tmp_path, AirflowSkipException("nothing to do"))
    assert status(tmp_path) is None


def test_a_status_that_cannot_be_written_costs_one_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "status").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert run(tmp_path, {"kind": "turn"}) == {"kind": "turn"}
    told = [record.getMessage() for record in caplog.records if "was not written" in record.getMessage()]
    assert len(told) <= 1


def test_a_damaged_receipt_does_not_fail_the_task(tmp_path: Path) -> None:
    receipt = {"kind": "decision", "decision_uri": str(tmp_path / "gone.json")}
    assert run(tmp_path, receipt) == receipt


@pytest.mark.parametrize("workload", ["", "../up", "a b", None])
def test_a_name_that_cannot_stand_in_a_key_is_not_noted(tmp_path: Path, workload: Any) -> None:
    Step(root=str(tmp_path), does={"kind": "turn"}, workload=workload).execute(context())
    assert list(tmp_path.iterdir()) == []


def test_the_root_is_known_from_the_goods_where_the_task_does_not_name_it() -> None:
    receipt = {"workload": "w", "scorecard_uri": "s3://b/p/w/evaluations/e/scorecard.json"}
    assert place_of(SimpleNamespace(), receipt) == ("w", "s3://b/p")
    assert place_of(SimpleNamespace(root="s3://b/q/", workload="w"), {}) == ("w", "s3://b/q")
    assert place_of(SimpleNamespace(), {"workload": "w", "scorecard_uri": "s3://b/other/evaluations/e"}) == (
        "w",
        "",
    )
