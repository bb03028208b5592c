"""Collect, judge, score and report, against the sandbox."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = [pytest.mark.airflow]

JUDGE = "mistral.mistral-large-2402-v1:0"


def collect(w: Any, **more: Any) -> dict[str, Any]:
    from airflow_distill.operators.evaluation import CollectAnswersOperator

    settings = {
        "dataset": w.dataset,
        "workload": w.workload,
        "root": w.root,
        "job": w.job,
        "host": w.host,
        **more,
    }
    return dict(CollectAnswersOperator(task_id="collect", **settings).execute({}))


def score(w: Any, answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    from airflow_distill.operators.evaluation import ScoreAnswersOperator

    return dict(ScoreAnswersOperator(task_id="score", answers=answers, dataset=w.dataset, **more).execute({}))


def judge(w: Any, answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    from airflow_distill.operators.judge import JudgeAnswersOperator

    settings = {"judge": JUDGE, "labels": labels_uri(w), **more}
    operator = JudgeAnswersOperator(task_id="judge", answers=answers, dataset=w.dataset, **settings)
    return dict(operator.execute({}))


def heldout(w: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in w.gateways.objects.read(w.dataset["heldout_uri"]).splitlines()]


def labels_uri(w: Any) -> str:
    """A file of pairs as people would have labelled them: the teacher's answer is better than a wrong one."""
    rows = []
    for number, row in enumerate(heldout(w)[:40]):
        good, bad = row["answer"], "something else"
        first, second = (good, bad) if number % 2 else (bad, good)
        preferred = "first" if number % 2 else "second"
        prompt = row["turns"][-1][1]
        rows.append({"prompt": prompt, "first": first, "second": second, "preferred": preferred})
    uri = f"{w.root}/{w.workload}/labels.jsonl"
    w.gateways.objects.write(uri, b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return uri


@pytest.fixture
def w(module_student: Any) -> Any:
    """The module's student; the judge is fair, and nothing is limited or broken."""
    module_student.sandbox.world.judge.configure()
    module_student.sandbox.faults.clear()
    module_student.sandbox.world.set_quota("tokens-per-minute", 0)
    return module_student


@pytest.fixture
def answers(w: Any) -> dict[str, Any]:
    return collect(w)


def test_a_retry_asks_nothing_again_and_ends_the_same(w: Any, answers: dict[str, Any]) -> None:
    before = w.sandbox.calls("Converse")
    assert collect(w) == answers
    assert w.sandbox.calls("Converse") == before


def test_only_what_a_broken_try_left_out_is_asked(w: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service goes away after 60 calls; the next try asks for the other 60 only.

    An hour passes in a moment: the operator's pauses end at once.
    """
    from airflow_distill.errors import ServiceUnavailableError

    hurried = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: None)
    monkeypatch.setattr("airflow_distill.operators.evaluation.time", hurried)
    w.sandbox.faults.add("unavailable", operation="Converse", skip=60)
    before = w.sandbox.calls("Converse")
    with pytest.raises(ServiceUnavailableError):
        collect(
            w,
            max_tokens=77,
            ask_untuned=False,
            threads=1,
            botocore_config={"retries": {"total_max_attempts": 1}},
        )
    w.sandbox.faults.clear()
    between = w.sandbox.calls("Converse")
    assert between - before > 60
    receipt = collect(w, max_tokens=77, ask_untuned=False)
    assert receipt["roles"]["student"]["count"] == w.heldout
    assert w.sandbox.calls("Converse") - between == w.heldout - 60


def test_throttling_fails_no_item(w: Any) -> None:
    w.sandbox.faults.add("throttle", operation="Converse", rate=0.3)
    receipt = collect(w, max_tokens=78, ask_untuned=False)
    assert receipt["roles"]["student"]["errors"] == 0


def test_the_maximum_of_tokens_is_always_sent(w: Any) -> None:
    receipt = collect(w, max_tokens=1, ask_untuned=False)
    store = w.gateways.objects
    rows = [json.loads(line) for line in store.read(receipt["roles"]["student"]["answers_uri"]).splitlines()]
    assert all(row["output_tokens"] <= 1 for row in rows)
    assert any(row["stop_reason"] == "max_tokens" for row in rows)


def test_a_host_that_serves_another_model_than_the_jobs_is_refused(w: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    other = {**w.job, "custom_model_arn": w.job["custom_model_arn"][:-4] + "0000"}
    with pytest.raises(AirflowFailException, match="does not serve the model"):
        collect(w, job=other)


def test_the_incumbent_is_judged_beside_the_student(w: Any) -> None:
    """The live host happens to serve the same model, so its answers are already there."""
    before = w.sandbox.calls("Converse")
    receipt = collect(w, incumbent=w.host["host_arn"])
    assert receipt["roles"]["incumbent"]["model"] == w.job["custom_model_arn"]
    assert w.sandbox.calls("Converse") - before <= 2 * w.heldout
    evaluation = score(w, receipt)
    assert set(evaluation["metrics"]["exact"]) == {"teacher", "student", "untuned", "incumbent"}
    assert len(json.dumps(receipt)) < 2000


@pytest.mark.parametrize("nothing", [None, "", "None"])
def test_no_incumbent_is_no_role(nothing: Any, w: Any) -> None:
    assert "incumbent" not in collect(w, incumbent=nothing)["roles"]


def test_a_changed_answers_file_is_not_scored(w: Any, answers: dict[str, Any]) -> None:
    from airflow_distill.errors import EvaluationError

    store, uri = w.gateways.objects, answers["roles"]["student"]["answers_uri"]
    kept = store.read(uri)
    store.write(uri, kept.replace(b'"error":""', b'"error":"x"', 1))
    try:
        with pytest.raises(EvaluationError, match="changed"):
            score(w, answers)
    finally:
        store.write(uri, kept)


def test_scoring_twice_keeps_the_first_scorecard(w: Any, answers: dict[str, Any]) -> None:
    assert score(w, answers, slices=["product"]) == score(w, answers, slices=["product"])


def test_other_metrics_after_a_decision_are_scored_beside_it(w: Any) -> None:
    from airflow_distill.operators.decision import DecidePromotionOperator

    receipt = collect(w, evaluation_key="first")
    evaluation = score(w, receipt)
    DecidePromotionOperator(
        task_id="decide", evaluation=evaluation, policy={"metrics": {"exact": 0.2}}
    ).execute({})
    store = w.gateways.objects
    before = store.read(evaluation["scorecard_uri"])
    again = score(w, receipt, metrics=["token_f1"])
    assert again["metrics"]["token_f1"]
    assert again["scorecard_uri"].startswith(evaluation["scorecard_uri"].rsplit("/", 1)[0] + "/again-")
    assert score(w, receipt, metrics=["token_f1"]) == again, "a retry finds its own"
    assert score(w, receipt) == evaluation, "and the first one its own"
    assert store.read(evaluation["scorecard_uri"]) == before
    decided = DecidePromotionOperator(
        task_id="decide", evaluation=again, policy={"metrics": {"token_f1": 0.2}}
    ).execute({})
    assert decided["decision_uri"].startswith(again["scorecard_uri"].rsplit("/", 1)[0])


def test_no_text_of_prompts_leaves_the_bucket(w: Any, answers: dict[str, Any]) -> None:
    evaluation = score(w, answers)
    told = json.dumps([answers, evaluation])
    assert not any(row["turns"][-1][1] in told for row in heldout(w))


# --- the judge ------------------------------------------------------------------------------------------------------


def test_a_fair_judge_of_another_family_gates(w: Any, answers: dict[str, Any]) -> None:
    receipt = judge(w, answers)
    assert (receipt["why"], receipt["metric"], receipt["missing"]) == ([], "judge_preference", 0)
    means = score(w, answers, scores=receipt)["metrics"]["judge_preference"]
    assert means["teacher"] == 0.5
    assert means["untuned"] < 0.2 < 0.4 < means["student"] <= 0.5


def test_a_retry_asks_the_judge_nothing(w: Any, answers: dict[str, Any]) -> None:
    first = judge(w, answers)
    before = w.sandbox.calls("Converse")
    assert judge(w, answers) == first
    assert w.sandbox.calls("Converse") == before


@pytest.mark.parametrize(
    ("weakness", "why", "tokens"),
    [({"position": 1.0}, "position", 201), ({"length": True}, "length", 202), ({"obedient": True}, "obedient", 203),
     ({"malformed": 0.5}, "unreadable", 204)],
)  # fmt: skip
def test_each_weakness_is_detected_and_decides_nothing(
    weakness: dict[str, Any], why: str, tokens: int, w: Any, answers: dict[str, Any]
) -> None:
    """Another maximum of tokens asks the judge anew, since its replies are kept."""
    from airflow_distill.aws.judging import objections_of
    from airflow_distill.stages.decision.policy import PromotionPolicy

    w.sandbox.world.judge.configure(**weakness)
    receipt = judge(w, answers, max_tokens=tokens)
    assert why in receipt["why"]
    assert receipt["metric"] == "judge_preference_advisory"
    policy = PromotionPolicy.from_json({"metrics": {"judge_preference": 0.1}})
    assert [reason.code for reason in objections_of(receipt, policy)] == ["judge-untrusted"]


def test_a_judge_of_the_students_family_only_advises(w: Any, answers: dict[str, Any]) -> None:
    assert judge(w, answers, judge="amazon.nova-pro-v1:0")["why"] == ["same-family"]
    accepted = judge(w, answers, judge="amazon.nova-pro-v1:0", rules={"accept_same_family": True})
    assert accepted["may_gate"] is True


# --- the report -----------------------------------------------------------------------------------------------------


def report(
    w: Any, given: dict[str, Any], context: dict[str, Any] | None = None, /, **more: Any
) -> dict[str, Any]:
    from airflow_distill.operators.report import RenderReportOperator

    operator = RenderReportOperator(task_id="report", evaluation=score(w, given), dataset=w.dataset, **more)
    return dict(operator.execute(context or {}))


def test_the_report_lies_beside_the_data_and_holds_no_text(w: Any, answers: dict[str, Any]) -> None:
    receipt = report(w, answers, {"run_id": "manual__2026-11-24T00:00:00+00:00"}, hosts=[w.host])
    assert "/support_tickets/reports/manual-2026-11-24t00-00-00-00-00-" in receipt["report_uri"]
    page = w.gateways.objects.read(receipt["report_uri"]).decode()
    assert "custom model deployment" in page
    assert not any(row["turns"][-1][1] in page for row in heldout(w))


def test_the_report_shows_the_texts_of_the_worst_cases_when_asked(w: Any, answers: dict[str, Any]) -> None:
    receipt = report(w, answers, show_texts=True, answers=answers, run_key="with texts")
    page = w.gateways.objects.read(receipt["report_uri"]).decode()
    assert page.count("<details>") > 0
    assert receipt["texts"] is True


def test_the_decision_knows_what_the_run_and_a_month_cost(w: Any) -> None:
    from airflow_distill.operators.decision import DecidePromotionOperator

    forecast = {"input_tokens_per_day": 5_000_000, "output_tokens_per_day": 500_000, "epochs": 2}
    evaluation = score(w, collect(w, evaluation_key="money"))
    decision = DecidePromotionOperator(
        task_id="decide",
        evaluation=evaluation,
        policy={"metrics": {"exact": 0.2}},
        dataset=w.dataset,
        forecast=forecast,
    ).execute({})
    costs = json.loads(w.gateways.objects.read(decision["decision_uri"]))["costs"]
    assert costs["teacher_monthly_usd"] > 0
    assert costs["tokens_per_day"] == 5_500_000
    assert costs["run_usd"] is None or costs["run_usd"] > 0


@pytest.mark.slow
def test_collection_stays_within_ten_per_cent_of_the_sandboxs_token_limit(w: Any) -> None:
    """Real time, two minutes: a limit so low that only a part fits into each minute; nobody tells it to the collection."""
    from airflow_distill.aws.asking import asker
    from airflow_distill.stages.evaluation.collect import (
        AnswerCache,
        Parameters,
        Subject,
        collect,
        read_examples,
    )
    from airflow_distill.stages.evaluation.collect_pacing import Pacer
    from airflow_distill.stages.storage import MemoryStore

    rows = read_examples(w.gateways.objects.read(w.dataset["heldout_uri"]))
    parameters, repeats, limit = Parameters(64), 3, 12_000
    subject = Subject("untuned", "amazon.nova-micro-v1:0", "nova-micro")
    w.sandbox.world.set_quota("tokens-per-minute", limit)
    begin = time.monotonic()
    delivered: list[tuple[float, int]] = []
    ask = asker(w.gateways.runtime, subject.model)

    def counted(example: Any, given: Any) -> Any:
        answer = ask(example, given)
        delivered.append((time.monotonic() - begin, answer.input_tokens + answer.output_tokens))
        return answer

    collected = collect(
        rows,
        subject,
        parameters,
        ask=counted,
        cache=AnswerCache(MemoryStore(), "s3://b/cache", "m", parameters),
        pacer=Pacer(),
        now=time.monotonic,
        sleep=time.sleep,
        repeats=repeats,
    )
    assert collected.errors == 0
    end = delivered[-1][0]
    assert end > 90
    steady = sum(tokens for at, tokens in delivered if at >= 60) / (end - 60) * 60
    assert 0.9 * limit <= steady <= 1.1 * limit


REASONER = "us.anthropic.claude-opus-4-7"


def test_a_judge_that_refuses_temperature_and_reasons_first_judges_all_the_same(trained_student: Any) -> None:
    """What it takes is learned by a few small calls, once, and kept."""
    w = trained_student
    answers = collect(w)
    first = judge(w, answers, judge=REASONER)
    assert first["decoding"]["learned"] == ["no-temperature", "reasons"]
    assert first["decoding"]["temperature"] is None
    calls = w.sandbox.meter()["calls"]["Converse"]
    assert calls["ValidationException"] == 1
    assert judge(w, answers, judge=REASONER)["decoding"] == first["decoding"]
    assert w.sandbox.meter()["calls"]["Converse"] == calls
    report = json.loads(w.gateways.objects.read(first["report_uri"]))
    assert report["unreadable"]["count"] == 0
    assert report["n"] > 0


def test_an_old_judge_is_asked_as_wanted(trained_student: Any) -> None:
    w = trained_student
    receipt = judge(w, collect(w))
    assert receipt["decoding"] == {"v": 1, "max_tokens": 200, "temperature": 0.0, "learned": []}


def test_challengers_are_asked_and_scored_like_the_others(w: Any) -> None:
    answers = collect(w, challengers=["amazon.nova-lite-v1:0"])
    assert answers["roles"]["challenger-1"]["model"] == "amazon.nova-lite-v1:0"
    card = json.loads(w.gateways.objects.read(score(w, answers)["scorecard_uri"]))
    assert card["models"]["challenger-1"] == "amazon.nova-lite-v1:0"
    assert any(m["role"] == "challenger-1" and m["n"] for m in card["metrics"])
    plain = collect(w)
    assert plain["evaluation_id"] != answers["evaluation_id"]


def test_more_challengers_than_there_are_places_are_refused(w: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="4 challengers are named"):
        collect(w, challengers=["amazon.nova-lite-v1:0"] * 4)
