"""Each paid step meets the caps before it begins, and what it used is counted once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_distill.errors import BudgetError, ConfigurationError
from airflow_distill.operators.evaluation import CollectAnswersOperator
from airflow_distill.operators.spending import PaidStep, billing_of, largest, most_of, read_budget
from airflow_distill.remote.identity import resource_tags, tag_list
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.money.records import Tokens, Usage
from airflow_distill.stages.money.spend import Spend
from airflow_distill.stages.money.usage import EVALUATION, JOB, RunUsage
from airflow_distill.stages.storage import MemoryStore
from tests.operators.conftest import ROOT, STUDENT, WORKLOAD, TrainedStudent

pytestmark = pytest.mark.airflow

MODEL = "amazon.nova-micro-v1:0"
PRICES = {"deployment-input": 0.000035, "deployment-output": 0.00014}
NOVEMBER, DECEMBER = datetime(2026, 11, 30, 23, tzinfo=UTC), datetime(2026, 12, 1, 1, tzinfo=UTC)


class Ti:
    task_id, dag_id, run_id, try_number = "t", "d", "r", 1

    def xcom_push(self, key: str, value: Any) -> None:
        pass


def step(store: MemoryStore, stage: str = JOB, when: datetime = NOVEMBER, **budget: float) -> PaidStep:
    gateways: Any = SimpleNamespace(objects=store, bedrock=SimpleNamespace(region=""))
    return PaidStep(
        gateways,
        {"ti": Ti()},
        "w",
        "s3://b/x",
        "d1",
        stage,
        PriceTable.load(),
        budget,
        shared=stage == JOB,
        clock=lambda: when,
    )


def training(usd: float) -> list[Usage]:
    return [Usage(JOB, "training", MODEL, usd * 1_000_000)]


def test_without_a_budget_nothing_is_claimed() -> None:
    store = MemoryStore()
    step(store).claim(training(1e9))
    assert not list(store.iter_objects("s3://b/x"))


def test_a_step_above_the_cap_of_the_run_names_stage_sums_and_caps() -> None:
    store = MemoryStore()
    step(store, usd_per_run=10).claim(training(8))
    with pytest.raises(
        BudgetError, match=r"evaluation of w may cost 3\.50 USD; this run holds 8\.00 USD .*10\.00"
    ):
        step(store, EVALUATION, usd_per_run=10).claim([Usage(EVALUATION, "inference-input", MODEL, 1e8)])


def test_an_unknown_price_begins_no_step_under_a_cap() -> None:
    usages = [Usage(EVALUATION, "inference-input", "x.y-v1:0", 1)]
    with pytest.raises(BudgetError, match=r"no price for inference-input of x\.y-v1:0") as caught:
        step(MemoryStore(), EVALUATION, usd_per_month=10).claim(usages)
    assert "prices update" in caught.value.hint


def test_a_claim_of_november_covers_its_step_in_december_and_counts_against_the_same_run() -> None:
    store = MemoryStore()
    step(store, usd_per_run=10).claim(training(8))
    step(store, when=DECEMBER, usd_per_run=10).claim(training(8))
    assert not Spend(store, "s3://b/x", "w", "202612").read(), "it is held already"
    later = step(store, EVALUATION, DECEMBER, usd_per_run=10)
    with pytest.raises(BudgetError, match=r"holds 8\.00 USD"):
        later.claim([Usage(EVALUATION, "inference-input", MODEL, 1e8)])
    later.claim([Usage(EVALUATION, "inference-input", MODEL, 5e7)])


def test_what_a_step_came_to_is_settled_in_the_month_that_holds_it() -> None:
    store = MemoryStore()
    step(store, usd_per_run=10).claim(training(8))
    later = step(store, when=DECEMBER, usd_per_run=10)
    later.note("arn:job", more=tuple(training(2)))
    later.settle()
    assert Spend(store, "s3://b/x", "w", "202611").book().usd == 2


@pytest.mark.parametrize("budget", [{"usd_per_week": 1}, {"usd_per_run": "much"}, "60"])
def test_a_budget_of_another_form_is_refused(budget: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"of `budget` is not a number|`budget` has unknown settings"
    ):
        read_budget(budget)


@pytest.mark.parametrize(
    ("address", "model", "told"),
    [
        (MODEL, MODEL, ("inference", MODEL)),
        (f"us.{MODEL}", MODEL, ("inference", MODEL)),
        ("arn:aws:bedrock:r:1:custom-model-deployment/x", f"arn:aws:bedrock:r:1:custom-model/{STUDENT}/x",
         ("deployment", MODEL)),
        ("arn:aws:bedrock:r:1:provisioned-model/x", f"arn:aws:bedrock:r:1:custom-model/{STUDENT}/x", ("", MODEL)),
    ],
)  # fmt: skip
def test_how_an_address_is_billed_follows_from_what_it_is(
    address: str, model: str, told: tuple[str, str]
) -> None:
    kind, base = billing_of(address, model)
    assert (kind, base.removesuffix(":128k")) == told


def test_a_bound_on_a_call_is_no_smaller_than_what_the_logs_counted() -> None:
    rows = [
        Example((Turn("user", "short"),), input_tokens=5_000),
        Example((Turn("user", "我" * 300),), system="x" * 400),
    ]
    bounds = most_of(rows, 77)
    assert bounds[0].input == 5_000
    assert bounds[1].input >= 300 + 100
    assert largest(bounds) == Tokens(max(b.input for b in bounds), 77)


def collect(student: TrainedStudent, **more: Any) -> CollectAnswersOperator:
    return CollectAnswersOperator(
        task_id="collect",
        dataset=student.dataset,
        workload=WORKLOAD,
        root=ROOT,
        student=STUDENT,
        job=student.job,
        host=student.host,
        student_prices=PRICES,
        **more,
    )


def test_answers_are_counted_call_by_call_once_and_the_claim_becomes_what_they_came_to(
    trained_student: TrainedStudent,
) -> None:
    store = trained_student.gateways.objects
    before = trained_student.sandbox.calls("Converse")
    for _ in range(2):
        collect(trained_student, budget={"usd_per_run": 1, "usd_per_month": 1}).execute({"ti": Ti()})
    asked = trained_student.sandbox.calls("Converse") - before
    found = RunUsage(store, ROOT, WORKLOAD, trained_student.dataset["dataset_id"]).read()
    assert sum(record.calls for record in found) == asked == 2 * trained_student.heldout
    assert {record.kind for record in found} == {"inference", "deployment"}
    assert all(record.at_risk == Tokens() for record in found)
    meter = sum(
        line["amount"]
        for line in trained_student.sandbox.meter()["lines"]
        if line["purpose"] in ("invocation", "deployment")
    )
    book = Spend(store, ROOT, WORKLOAD, f"{datetime.now(UTC):%Y%m}").book()
    assert float(book.usd) == pytest.approx(meter, rel=0.01)


def test_answers_that_a_cap_does_not_allow_are_not_asked_for(trained_student: TrainedStudent) -> None:
    before = trained_student.sandbox.calls("Converse")
    with pytest.raises(AirflowFailException, match=r"the evaluation of .* may cost .* It was not begun"):
        collect(trained_student, budget={"usd_per_run": 0.0001}).execute({"ti": Ti()})
    assert trained_student.sandbox.calls("Converse") == before


def test_what_may_still_be_billed_meets_its_own_cap(trained_student: TrainedStudent) -> None:
    ends = datetime.now(UTC) + timedelta(days=10)
    tags = resource_tags(WORKLOAD, "d/r", "me", ends, root=ROOT, extra={"airflow-distill:hourly-price": "15"})
    trained_student.gateways.bedrock.create_provisioned_throughput(
        {
            "provisionedModelName": "live",
            "modelId": trained_student.job["custom_model_arn"],
            "modelUnits": 1,
            "tags": tag_list(tags),
        }
    )
    with pytest.raises(
        AirflowFailException, match=r"3,\d\d\d\.\d\d USD may still be billed for support_tickets"
    ):
        collect(trained_student, budget={"usd_exposed": 1_000}).execute({"ti": Ti()})
    assert collect(trained_student, budget={"usd_exposed": 4_000}).execute({"ti": Ti()})["roles"]
