"""A year with one workload: margins, scorers and approval rules change, and kept answers are judged again for nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.cli.main import main
from tests.pages import run_page

pytestmark = [pytest.mark.airflow]

FILE = """\
owner: support
teacher: amazon.nova-pro-v1:0
student: amazon.nova-micro-v1:0:128k
root: s3://distill-sandbox/distill
role_arn: arn:aws:iam::123456789012:role/distill
logs: {location: s3://distill-sandbox/logs}
budget: {usd_per_run: 50}
evaluation: {scorers: [SCORERS]}
policy: {margin: MARGIN}
approval: APPROVAL
"""


@pytest.fixture
def judged(trained_student: Any) -> dict[str, Any]:
    """Receipts of a run that held: answers, scorecard and decision under a margin that nobody could meet."""
    from airflow_distill.operators.decision import DecidePromotionOperator
    from airflow_distill.operators.evaluation import CollectAnswersOperator, ScoreAnswersOperator

    w = trained_student
    answers = CollectAnswersOperator(
        task_id="collect", dataset=w.dataset, workload=w.workload, root=w.root, job=w.job, host=w.host
    ).execute({})
    evaluation = ScoreAnswersOperator(task_id="score", answers=answers, dataset=w.dataset).execute({})
    decision = DecidePromotionOperator(
        task_id="decide",
        evaluation=evaluation,
        policy={"metrics": {"exact": 0.0001}},
        job=w.job,
        dataset=w.dataset,
    ).execute({})
    return {"answers": answers, "evaluation": evaluation, "decision": decision}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The workload's file."""
    return tmp_path / "support_tickets.yaml"


@pytest.fixture
def again(
    trained_student: Any, judged: dict[str, Any], file: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Edit the workload's file and run `airflow-distill evaluate --again` on it."""

    def run(*more: str, margin: str = "0.2", scorers: str = "exact", approval: str = "{mode: never}") -> Any:
        text = FILE.replace("MARGIN", margin).replace("SCORERS", scorers).replace("APPROVAL", approval)
        file.write_text(text)
        capsys.readouterr()
        endpoint = trained_student.sandbox.endpoint_url
        flags = ["--region", "us-east-1", "--endpoint-url", endpoint, "--json"]
        status = main(["evaluate", "--again", str(file), *flags, *more])
        out = capsys.readouterr().out
        return status, json.loads(out) if out else {}

    return run


def objects(w: Any) -> dict[str, bytes]:
    store = w.gateways.objects
    return {o.uri: store.read(o.uri) for o in store.iter_objects(f"{w.root}/{w.workload}/evaluations/")}


def bought(w: Any) -> list[Any]:
    """Return what the sandbox's meter has counted, what accrues with the clock aside."""
    return [line for line in w.sandbox.meter()["lines"] if "storage" not in line["service"]]


def test_a_wider_margin_promotes_on_the_same_answers_and_nothing_is_bought(
    trained_student: Any, judged: dict[str, Any], again: Any
) -> None:
    w = trained_student
    assert judged["decision"]["verdict"] != "promote"
    asked, before, spent = w.sandbox.calls("Converse"), objects(w), bought(w)
    status, told = again()
    assert (status, told["verdict"]) == (0, "promote")
    assert (told["new_scores"], told["new_decision"]) == (False, True)
    assert told["decision_id"] != judged["decision"]["decision_id"]
    assert w.sandbox.calls("Converse") == asked
    assert bought(w) == spent
    after = objects(w)
    assert {uri: after[uri] for uri in before} == before, "earlier records stay, byte for byte"


def test_a_second_look_finds_the_first_ones_records(again: Any) -> None:
    _, first = again()
    _, second = again()
    assert second == {**first, "new_decision": False}


def test_the_loop_finds_the_decision_that_the_command_line_made(
    trained_student: Any, judged: dict[str, Any], again: Any, file: Path
) -> None:
    """`decide` of the run, cleared after the edit, gives the same receipt: one road, two doors."""
    from airflow_distill.operators.decision import DecidePromotionOperator
    from airflow_distill.workload import tasks
    from airflow_distill.workload.reading import read_workload

    w = trained_student
    _, told = again()
    workload = read_workload(file)
    cleared = DecidePromotionOperator(
        task_id="decide",
        evaluation=judged["evaluation"],
        policy=tasks.policy(workload),
        job=w.job,
        dataset=w.dataset,
        incumbent="",
        forecast=tasks.forecast_of(workload),
    ).execute({})
    assert cleared["decision_id"] == told["decision_id"]
    assert cleared["decision_uri"] == told["decision_uri"]


def test_another_scorer_scores_the_kept_answers_beside_the_first_scorecard(
    trained_student: Any, judged: dict[str, Any], again: Any
) -> None:
    w = trained_student
    asked, before = w.sandbox.calls("Converse"), objects(w)
    _, told = again(scorers="label_accuracy")
    assert told["new_scores"] is True
    assert "/again-" in told["scorecard_uri"]
    card = json.loads(w.gateways.objects.read(told["scorecard_uri"]))
    assert [s["kind"] for s in card["scorers"]] == ["label_accuracy"]
    assert w.sandbox.calls("Converse") == asked
    after = objects(w)
    assert {uri: after[uri] for uri in before} == before
    assert again(scorers="label_accuracy")[1]["new_scores"] is False


def test_another_approval_rule_is_another_decision(again: Any) -> None:
    _, nobody = again()
    _, somebody = again(approval="{mode: always, approvers: [ada]}")
    _, other = again(approval="{mode: always, approvers: [grace]}")
    assert len({nobody["decision_id"], somebody["decision_id"], other["decision_id"]}) == 3
    assert (somebody["verdict"], nobody["verdict"]) == ("hold", "promote")


def test_an_answer_to_one_decision_is_none_to_another(
    trained_student: Any, judged: dict[str, Any], again: Any
) -> None:
    """Each decision has its answers beside it, under its own name."""
    from datetime import UTC, datetime

    from airflow_distill.operators.decision import ApprovePromotionOperator

    rule = {"mode": "always", "approvers": ["ada"]}
    _, told = again(approval="{mode: always, approvers: [ada]}")
    yes = {
        "chosen_options": ["Approve"],
        "params_input": {},
        "responded_at": datetime(2026, 11, 24, tzinfo=UTC),
        "responded_by_user": {"id": "1", "name": "ada"},
    }
    task = ApprovePromotionOperator(task_id="approve", decision=told, incumbent="", **rule)
    approved = task.execute_complete({}, yes)
    assert approved["verdict"] == "promote"
    suffix = f"approval-{told['decision_id'][:16]}.json"
    assert approved["decision_uri"].endswith(suffix)
    _, other = again(margin="0.25", approval="{mode: always, approvers: [ada]}")
    assert other["verdict"] == "hold"


def test_one_evaluation_may_be_named(judged: dict[str, Any], again: Any) -> None:
    key = judged["answers"]["evaluation_id"]
    assert again("--evaluation", key)[0] == 0
    assert again("--evaluation", "0" * 20)[0] == 2


def test_what_the_file_says_cannot_be_said_twice(again: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert again("--metric", "exact")[0] == 2


def test_a_changed_answer_file_is_not_scored_again(
    trained_student: Any, judged: dict[str, Any], again: Any
) -> None:
    uri = judged["answers"]["roles"]["student"]["answers_uri"]
    store = trained_student.gateways.objects
    store.write(uri, store.read(uri) + b"\n")
    assert again()[0] == 2


def test_records_of_version_2_are_read_and_keep_their_id(trained_student: Any, again: Any) -> None:
    from airflow_distill.stages.decision.records import DecisionRecord

    _, told = again()
    data = json.loads(trained_student.gateways.objects.read(told["decision_uri"]))
    del data["approval_rule"]
    data["v"] = 2
    from dataclasses import replace

    older = replace(DecisionRecord.from_json({**data, "v": 3, "approval_rule": {}}), v=2)
    data["decision_id"] = older.decision_id
    assert DecisionRecord.from_json(data).decision_id == older.decision_id


def test_the_guides_commands_run(
    trained_student: Any, judged: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = FILE.replace("MARGIN", "0.2").replace("SCORERS", "exact").replace("APPROVAL", "{mode: never}")
    (tmp_path / "distill").mkdir()
    (tmp_path / "distill/support_tickets.yaml").write_text(text)
    assert run_page("judge-again.md", tmp_path, monkeypatch) == [0, 0]
