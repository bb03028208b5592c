"""Bedrock's own jobs in the loop: judging stored answers, answering by batch, and what they leave out."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from airflow_distill.operators.base import wall_clock
from airflow_distill.remote.identity import TAG_AIRFLOW, TAG_ROOT
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.money.spend import Spend
from airflow_distill.stages.money.usage import JUDGE, RunUsage, actual, at_risk
from airflow_distill.workload.config import Workload
from airflow_distill.workload.iam import documents
from tests.wire import Wire, listen
from tests.workload.policies import evaluate as allows

pytestmark = [pytest.mark.airflow]


@pytest.fixture(autouse=True)
def wire(trained_student: Any, bedrock_role: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """Holds every call of these tests to the printed roles: Airflow's own, and what the jobs do inside to theirs."""
    w = trained_student
    bedrock = w.sandbox.client("bedrock")
    for arn in (w.host["host_arn"], w.job["custom_model_arn"]):
        bedrock.tag_resource(resourceARN=arn, tags=[{"key": "airflow-distill:workload", "value": w.workload}])
    found = listen(w.sandbox, monkeypatch)
    with found.listening():
        yield found
    workload = Workload.model_validate(
        {
            "name": w.workload,
            "owner": "platform",
            "teacher": "amazon.nova-pro-v1:0",
            "student": "amazon.nova-micro-v1:0:128k",
            "root": w.root,
            "role_arn": bedrock_role,
            "evaluation_role_arn": bedrock_role,
            "region_name": "us-east-1",
            "logs": {"location": "s3://acme-logs/bedrock"},
            "budget": {"usd_per_run": 50},
        }
    )
    found.workloads.append(workload)
    assert found.refused(found.printed()) == set()
    role = [text for name, text in documents(workload).items() if name.startswith("evaluation-role-policy")]
    folder = f"{w.root}/{w.workload}".removeprefix("s3://").partition("/")[2]
    asked = {(a, r) for a, r in found.of_role if not allows(role, a, r, {"s3:prefix": folder})}
    assert asked == set()


@pytest.fixture
def answers(trained_student: Any) -> dict[str, Any]:
    from airflow_distill.operators.evaluation import CollectAnswersOperator

    w = trained_student
    operator = CollectAnswersOperator(
        task_id="collect", dataset=w.dataset, workload=w.workload, root=w.root, job=w.job, host=w.host
    )
    return dict(operator.execute({}))


def evaluate(w: Any, answers: dict[str, Any], role_arn: str, **more: Any) -> dict[str, Any]:
    from airflow_distill.operators.evaluation_jobs import BedrockEvaluateAnswersOperator

    settings = {"evaluator": "amazon.nova-pro-v1:0", "deferrable": False, "waiter_delay": 0.05, **more}
    operator = BedrockEvaluateAnswersOperator(
        task_id="judge", answers=answers, dataset=w.dataset, role_arn=role_arn, **settings
    )
    return dict(operator.execute({}))


def test_a_judge_job_scores_the_stored_answers_of_student_and_teacher(
    trained_student: Any, answers: dict[str, Any], bedrock_role: str
) -> None:
    from airflow_distill.operators.evaluation import ScoreAnswersOperator

    w = trained_student
    student = evaluate(w, answers, bedrock_role)
    teacher = evaluate(w, answers, bedrock_role, role="teacher")
    assert student["count"] == teacher["count"] == 2 * w.heldout
    assert student["missing"] == 0
    evaluation = ScoreAnswersOperator(
        task_id="score", answers=answers, dataset=w.dataset, scores=[student, teacher]
    ).execute({})
    means = evaluation["metrics"]["bedrock_correctness"]
    assert means["teacher"] == 1.0
    assert 0.8 < means["student"] <= 1.0


def test_what_a_judge_has_used_takes_the_place_of_what_was_claimed_for_it(
    trained_student: Any, answers: dict[str, Any], bedrock_role: str
) -> None:
    w, caps = trained_student, {"usd_per_run": 1000.0, "usd_per_month": 1000.0}
    for role in ("student", "teacher"):
        before = judged_usd(w)
        job = evaluate(w, answers, bedrock_role, role=role, budget=caps)["job_arn"]
        billed = judged_usd(w) - before
        store, table = w.gateways.objects, PriceTable.load()
        usage = RunUsage(store, w.root, w.workload, w.dataset["dataset_id"]).read()
        (record,) = [each for each in usage if each.key == job]
        assert (record.stage, record.how) == (JUDGE, "derived")
        about = actual(table, [record]).total_usd
        most = about + at_risk(table, [record]).total_usd
        assert record.calls == 2 * w.heldout
        assert about / 2 <= billed <= most
        book = Spend(store, w.root, w.workload, f"{wall_clock():%Y%m}").book()
        held = book.held[w.dataset["dataset_id"]]
        assert held[f"judge {record.what}"] == pytest.approx(most)
    assert len([key for key in held if key.startswith("judge ")]) == 2


def judged_usd(w: Any) -> Decimal:
    """Return what the sandbox's meter billed for judges so far."""
    lines = [line for line in w.sandbox.meter()["lines"] if "evaluator" in str(line.get("purpose"))]
    return sum((Decimal(str(line["amount"])) for line in lines), Decimal(0))


def test_a_retry_adopts_the_judge_job(
    trained_student: Any, answers: dict[str, Any], bedrock_role: str
) -> None:
    w = trained_student
    first = evaluate(w, answers, bedrock_role)
    second = evaluate(w, answers, bedrock_role)
    assert first == second
    assert w.sandbox.calls("CreateEvaluationJob") == 1


def test_a_judge_job_says_whose_it_is(
    trained_student: Any, answers: dict[str, Any], bedrock_role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_AIRFLOW_DISTILL_AIRFLOW_ID", "9f3ab0c2d4e5f607")
    w = trained_student
    evaluate(w, answers, bedrock_role)
    bedrock = w.sandbox.client("bedrock")
    (job,) = bedrock.list_evaluation_jobs()["jobSummaries"]
    tags = {t["key"]: t["value"] for t in bedrock.list_tags_for_resource(resourceARN=job["jobArn"])["tags"]}
    assert tags[TAG_AIRFLOW] == "9f3ab0c2d4e5f607"
    assert tags[TAG_ROOT].endswith(w.root)


def test_a_judge_of_the_students_family_may_not_gate_unless_accepted(
    trained_student: Any, answers: dict[str, Any], bedrock_role: str
) -> None:
    w = trained_student
    assert evaluate(w, answers, bedrock_role)["why"] == ["same-family"]
    assert evaluate(w, answers, bedrock_role, accept_same_family=True)["may_gate"] is True


def test_batch_answers_spare_the_runtime_calls(trained_student: Any, bedrock_role: str) -> None:
    """The untuned student answers by batch; collection then asks the custom model alone, on its host."""
    from airflow_distill.operators.evaluation import CollectAnswersOperator
    from airflow_distill.operators.evaluation_jobs import BedrockBatchAnswersOperator

    w = trained_student
    receipt = BedrockBatchAnswersOperator(
        task_id="batch",
        dataset=w.dataset,
        workload=w.workload,
        root=w.root,
        role_arn=bedrock_role,
        model="amazon.nova-micro-v1:0",
        deferrable=False,
        waiter_delay=0.05,
    ).execute({})
    assert (receipt["answered"], receipt["missing"], receipt["errors"]) == (w.heldout, 0, 0)
    before = w.sandbox.calls("Converse")
    collected = CollectAnswersOperator(
        task_id="collect", dataset=w.dataset, workload=w.workload, root=w.root, job=w.job, host=w.host
    ).execute({})
    assert w.sandbox.calls("Converse") == before + w.heldout
    assert collected["roles"]["student"]["count"] == w.heldout


def test_a_custom_model_is_refused_before_a_batch_job_is_bought(
    trained_student: Any, bedrock_role: str
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from airflow_distill.operators.evaluation_jobs import BedrockBatchAnswersOperator

    w = trained_student
    task = BedrockBatchAnswersOperator(
        task_id="batch",
        dataset=w.dataset,
        workload=w.workload,
        root=w.root,
        role_arn=bedrock_role,
        model=w.job["custom_model_arn"],
        deferrable=False,
    )
    with pytest.raises(AirflowFailException, match="batch inference"):
        task.execute({})
    assert w.sandbox.calls("CreateModelInvocationJob") == 0


def test_a_second_batch_task_buys_nothing(trained_student: Any, bedrock_role: str) -> None:
    from airflow_distill.operators.evaluation_jobs import BedrockBatchAnswersOperator

    w = trained_student
    receipts = [
        BedrockBatchAnswersOperator(
            task_id="batch",
            dataset=w.dataset,
            workload=w.workload,
            root=w.root,
            role_arn=bedrock_role,
            model="amazon.nova-micro-v1:0",
            deferrable=False,
            waiter_delay=0.05,
        ).execute({})
        for _ in range(2)
    ]
    assert [r["status"] for r in receipts] == ["Completed", "NotNeeded"]
    assert w.sandbox.calls("CreateModelInvocationJob") == 1


def test_what_people_answered_is_never_handed_over_as_the_teachers_answer() -> None:
    from airflow_distill.operators.evaluation_jobs import teacher_answers
    from airflow_distill.stages.dataset.records import Example, Turn
    from airflow_distill.stages.evaluation.records import Answer

    logged, golden, unasked = (
        Example((Turn("user", text),), answer=answer, golden=by_hand)
        for text, answer, by_hand in (("a", "logged", False), ("b", "by hand", True), ("c", "by hand", True))
    )
    asked = [Answer(golden.id, "teacher", "m", "asked")]
    found = teacher_answers([logged, golden, unasked], "m", asked)
    assert {a.example_id: a.text for a in found} == {logged.id: "logged", golden.id: "asked"}
