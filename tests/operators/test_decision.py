"""Decisions as tasks: recorded once, held against what is true now, and never made by silence."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytestmark = [pytest.mark.airflow]

LENIENT = {"metrics": {"exact": 0.2}}
STRICT = {"metrics": {"exact": 0.0001}}


@pytest.fixture(scope="module")
def scored(module_student: Any) -> dict[str, Any]:
    """An evaluation receipt of a good student."""
    from airflow_distill.operators.evaluation import CollectAnswersOperator, ScoreAnswersOperator

    w = module_student
    answers = CollectAnswersOperator(
        task_id="collect", dataset=w.dataset, workload=w.workload, root=w.root, job=w.job, host=w.host
    ).execute({})
    return dict(ScoreAnswersOperator(task_id="score", answers=answers, dataset=w.dataset).execute({}))


@pytest.fixture
def fresh(module_student: Any, scored: dict[str, Any]) -> dict[str, Any]:
    """The evaluation receipt, with nothing decided yet."""
    store = module_student.gateways.objects
    folder = scored["scorecard_uri"].rsplit("/", 1)[0]
    for name in ("decision.json", "approval.json", "approval-2.json"):
        store.delete(f"{folder}/{name}")
    return scored


def decide(w: Any, evaluation: dict[str, Any], **more: Any) -> dict[str, Any]:
    from airflow_distill.operators.decision import DecidePromotionOperator

    settings = {"policy": LENIENT, "job": w.job, **more}
    return dict(DecidePromotionOperator(task_id="decide", evaluation=evaluation, **settings).execute({}))


def approval(w: Any, decision: dict[str, Any], **more: Any) -> Any:
    from airflow_distill.operators.decision import ApprovePromotionOperator

    return ApprovePromotionOperator(task_id="approve", decision=decision, **more)


def answer(choice: str, name: str = "ada") -> dict[str, Any]:
    return {
        "chosen_options": [choice],
        "params_input": {},
        "responded_at": datetime(2026, 11, 24, 8, 0, tzinfo=UTC),
        "responded_by_user": {"id": f"id-{name}", "name": name},
    }


def test_a_good_student_is_promoted_and_the_record_says_why(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    w = module_student
    receipt = decide(w, fresh)
    assert receipt["verdict"] == "promote"
    record = json.loads(w.gateways.objects.read(receipt["decision_uri"]))
    assert record["outcome"] == "promote"
    assert record["scorecard_sha256"] == fresh["scorecard_sha256"]
    assert record["model_arn"] == w.job["custom_model_arn"]
    assert len(json.dumps(receipt)) < 2000


def test_a_retry_returns_the_first_record(module_student: Any, fresh: dict[str, Any]) -> None:
    assert decide(module_student, fresh) == decide(module_student, fresh)


def test_too_strict_a_margin_is_a_verdict_and_not_an_error(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    receipt = decide(module_student, fresh, policy=STRICT)
    assert receipt["verdict"] in ("inconclusive", "reject")


def test_another_policy_decides_the_same_scores_anew_beside_the_first_record(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    first = decide(module_student, fresh)
    other = decide(module_student, fresh, policy=STRICT)
    assert other["decision_id"] != first["decision_id"]
    assert other["decision_uri"].endswith(f"/decision-{other['decision_id'][:16]}.json")
    assert decide(module_student, fresh) == first
    assert decide(module_student, fresh, policy=STRICT) == other


def test_another_model_than_the_jobs_holds(module_student: Any, fresh: dict[str, Any]) -> None:
    other = {**module_student.job, "custom_model_arn": "arn:aws:bedrock:us-east-1:1:custom-model/x/y"}
    receipt = decide(module_student, fresh, job=other)
    assert receipt["verdict"] == "hold"
    assert receipt["reasons"][0].startswith("stale")


def test_a_changed_dataset_holds(module_student: Any, fresh: dict[str, Any]) -> None:
    store, uri = module_student.gateways.objects, module_student.dataset["heldout_uri"]
    kept = store.read(uri)
    store.write(uri, kept + b"\n")
    try:
        receipt = decide(module_student, fresh)
    finally:
        store.write(uri, kept)
    assert receipt["verdict"] == "hold"


def test_a_changed_scorecard_is_not_decided_on(module_student: Any, fresh: dict[str, Any]) -> None:
    from airflow_distill.errors import EvaluationError

    store = module_student.gateways.objects
    kept = store.read(fresh["scorecard_uri"])
    store.write(fresh["scorecard_uri"], kept.replace(b"0.9", b"1.0"))
    try:
        with pytest.raises(EvaluationError, match="changed"):
            decide(module_student, fresh)
    finally:
        store.write(fresh["scorecard_uri"], kept)


def test_something_live_that_was_not_compared_holds(module_student: Any, fresh: dict[str, Any]) -> None:
    receipt = decide(module_student, fresh, incumbent=module_student.host["host_arn"])
    assert receipt["verdict"] == "hold"


def earlier_windows(w: Any, count: int) -> list[str]:
    """Store manifests of earlier weeks with the same traffic; return their URIs."""
    store, uri = w.gateways.objects, w.dataset["manifest_uri"]
    told, uris = json.loads(store.read(uri)), []
    for week in range(1, count + 1):
        days = [datetime.fromisoformat(day) - timedelta(days=7 * week) for day in told["window"]]
        uris.append(uri.replace("d0123456789", f"earlier{week}"))
        store.write(
            uris[-1], json.dumps({**told, "window": [f"{day:%Y-%m-%dT%H:%M:%SZ}" for day in days]}).encode()
        )
    return uris


@pytest.mark.parametrize(("weeks", "verdict"), [(2, "promote"), (3, "hold")])
def test_a_student_that_saves_nothing_is_held_on_what_four_windows_of_logs_show(
    module_student: Any, fresh: dict[str, Any], weeks: int, verdict: str
) -> None:
    """Some hundred short calls a week save less than a model's storage costs; nobody stated a traffic."""
    asked = {"deployment-input": 0.00004, "deployment-output": 0.00014}
    known = {"dataset": module_student.dataset, "costs": {"run_usd": 1.0}, "student_prices": asked}
    uris = earlier_windows(module_student, weeks)
    try:
        receipt = decide(module_student, fresh, **known)
        allowed = {**LENIENT, "payback_within_life": False}
        assert decide(module_student, fresh, policy=allowed, **known)["verdict"] == "promote"
    finally:
        for uri in uris:
            module_student.gateways.objects.delete(uri)
    assert receipt["verdict"] == verdict
    nothing = [reason for reason in receipt["reasons"] if reason.startswith("nothing-to-save: Not worth it")]
    assert bool(nothing) is (verdict == "hold")


def test_a_student_whose_saving_is_not_known_is_not_held_for_it(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    known = {"dataset": module_student.dataset, "costs": {"run_usd": 1.0}}
    assert decide(module_student, fresh, **known)["verdict"] == "promote"


def test_a_judge_without_standing_holds_a_policy_that_rests_on_it(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    judge = {"kind": "scores", "may_gate": False, "why": ["position"], "would_gate": ["exact"]}
    receipt = decide(module_student, fresh, scores=[judge])
    assert receipt["verdict"] == "hold"
    assert any(reason.startswith("judge-untrusted") for reason in receipt["reasons"])


def test_a_promotion_that_needs_a_person_is_a_hold_until_then(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    receipt = decide(module_student, fresh, approval={"mode": "always"})
    assert receipt["verdict"] == "hold"
    promoted = approval(module_student, receipt, approvers=["ada"]).execute_complete({}, answer("Approve"))
    assert promoted["verdict"] == "promote"
    assert promoted["decision_id"] == receipt["decision_id"]
    record = json.loads(module_student.gateways.objects.read(promoted["decision_uri"]))
    assert record["approval"]["approver"] == "ada"
    assert record["approval"]["answered_at"].startswith("2026-11-24T08:00")


def test_nobody_is_asked_when_the_rule_says_never(module_student: Any, fresh: dict[str, Any]) -> None:
    receipt = decide(module_student, fresh)
    assert approval(module_student, receipt, mode="never").execute({}) == receipt


def test_nobody_is_asked_while_no_line_is_crossed(module_student: Any, fresh: dict[str, Any]) -> None:
    receipt = decide(module_student, fresh, costs={"run_usd": 10.0})
    assert approval(module_student, receipt, mode="when", above_run_usd=50.0).execute({}) == receipt


def test_nobody_is_asked_about_a_student_that_is_not_promoted(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    receipt = decide(module_student, fresh, policy=STRICT)
    assert approval(module_student, receipt, mode="always").execute({}) == receipt


def test_an_approval_stands_when_the_task_is_cleared(module_student: Any, fresh: dict[str, Any]) -> None:
    receipt = decide(module_student, fresh)
    first = approval(module_student, receipt).execute_complete({}, answer("Approve"))
    assert approval(module_student, receipt).execute({}) == first


def test_no_answer_in_time_is_a_hold(module_student: Any, fresh: dict[str, Any]) -> None:
    receipt = decide(module_student, fresh)
    event = {"error": "The timeout has passed.", "error_type": "timeout"}
    held = approval(module_student, receipt).execute_complete({}, event)
    assert held["verdict"] == "hold"
    assert held["reasons"][0] == "not-approved: Nobody answered in time."


def test_the_yes_of_somebody_else_is_a_hold_and_the_question_stays_open(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    receipt = decide(module_student, fresh)
    held = approval(module_student, receipt, approvers=["ada"]).execute_complete({}, answer("Approve", "eve"))
    assert held["verdict"] == "hold"
    again = approval(module_student, receipt, approvers=["ada"]).execute_complete(
        {}, answer("Approve", "ada")
    )
    assert again["verdict"] == "promote"


def test_the_no_of_somebody_else_is_a_hold_and_decides_nothing(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    receipt = decide(module_student, fresh)
    held = approval(module_student, receipt, approvers=["ada"]).execute_complete({}, answer("Reject", "eve"))
    assert held["verdict"] == "hold"
    again = approval(module_student, receipt, approvers=["ada"]).execute_complete(
        {}, answer("Approve", "ada")
    )
    assert again["verdict"] == "promote"


def test_a_no_is_recorded_and_stands(module_student: Any, fresh: dict[str, Any]) -> None:
    receipt = decide(module_student, fresh)
    held = approval(module_student, receipt).execute_complete({}, answer("Reject"))
    assert held["verdict"] == "hold"
    assert approval(module_student, receipt).execute({})["verdict"] == "hold"


def test_a_dataset_that_changed_while_the_question_was_open_is_a_hold(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    store, uri = module_student.gateways.objects, module_student.dataset["heldout_uri"]
    receipt = decide(module_student, fresh)
    kept = store.read(uri)
    store.write(uri, kept + b"\n")
    try:
        held = approval(module_student, receipt).execute_complete({}, answer("Approve"))
    finally:
        store.write(uri, kept)
    assert held["verdict"] == "hold"
    assert not store.exists(fresh["scorecard_uri"].rsplit("/", 1)[0] + "/approval.json")


def test_a_default_answer_is_refused(module_student: Any, fresh: dict[str, Any]) -> None:
    from airflow_distill.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="no default answer"):
        approval(module_student, fresh, defaults="Approve")


def test_the_approver_sees_figures_and_digests_and_no_text(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    from airflow_distill.operators.decision import evidence
    from airflow_distill.stages.decision.record import read_record

    store = module_student.gateways.objects
    receipt = decide(module_student, fresh)
    body = evidence(
        read_record(store, receipt["decision_uri"])[0], ["every promotion is approved by a person"]
    )
    assert "| exact | teacher | 120 |" in body
    assert receipt["decision_id"] in body
    heldout = [json.loads(line) for line in store.read(module_student.dataset["heldout_uri"]).splitlines()]
    assert not any(row["turns"][0][1] in body for row in heldout)


DAG = """
from airflow.sdk import DAG, task
from airflow_distill.operators.decision import DecidePromotionOperator

with DAG("decide_{on_hold}") as dag:
    decide = DecidePromotionOperator(
        task_id="decide", evaluation={evaluation!r}, policy={policy!r}, job={job!r}, on_hold="{on_hold}"
    )

    @task
    def promote():
        return "promoted"

    @task(trigger_rule="all_done")
    def report(decision):
        return decision["verdict"]

    decide >> promote()
    report(decide.output)
"""


@pytest.mark.parametrize(("on_hold", "state"), [("skip", "skipped"), ("return", "success")])
def test_a_hold_skips_only_what_needs_a_yes(
    on_hold: str, state: str, module_student: Any, fresh: dict[str, Any], run_dag: Any
) -> None:
    w = module_student
    run = run_dag(DAG.format(on_hold=on_hold, evaluation=fresh, policy=STRICT, job=w.job))
    instances = {ti.task_id: ti for ti in run.get_task_instances()}
    assert {k: str(ti.state) for k, ti in instances.items()} == {
        "decide": "success",
        "promote": state,
        "report": "success",
    }
    assert instances["report"].xcom_pull(task_ids="report") in ("inconclusive", "reject")


# Whose yes counts.


def by(user_id: str, name: str) -> dict[str, Any]:
    return {**answer("Approve"), "responded_by_user": {"id": user_id, "name": name}}


def forged(w: Any, receipt: dict[str, Any], **who: Any) -> str:
    """Write an approval beside the decision, as anybody can who may write to the bucket."""
    from dataclasses import replace

    from airflow_distill.operators.decision import shown_digest
    from airflow_distill.stages.decision.record import read_record
    from airflow_distill.stages.decision.records import Approval
    from airflow_distill.stages.digest import canonical_json

    store = w.gateways.objects
    record = read_record(store, receipt["decision_uri"])[0]
    given = {"shown_sha256": shown_digest(receipt), **who}
    uri = receipt["scorecard_uri"].rsplit("/", 1)[0] + "/approval.json"
    approval = Approval(True, True, answered_at="2026-01-01", **given)
    store.write(uri, canonical_json(replace(record, approval=approval).to_json()))
    return uri


@pytest.mark.parametrize(
    ("approvers", "event", "verdict"),
    [
        ([{"id": "42", "name": "Ada"}], by("42", "Ada"), "promote"),
        ([{"id": "42", "name": "Ada"}], by("42", "Ada Lovelace"), "promote"),
        ([{"id": "42", "name": "Ada"}], by("777", "42"), "hold"),
        ([{"id": "42", "name": "Ada"}], by("777", "Ada"), "hold"),
        (["ada"], by("7", "ada"), "promote"),
        (["ada"], by("ada", "eve"), "hold"),
        (["ada"], by("", ""), "hold"),
    ],
)
def test_an_id_is_compared_with_ids_and_a_name_with_names(
    module_student: Any, fresh: dict[str, Any], approvers: list[Any], event: dict[str, Any], verdict: str
) -> None:
    receipt = decide(module_student, fresh)
    said = approval(module_student, receipt, approvers=approvers).execute_complete({}, event)
    assert said["verdict"] == verdict


@pytest.mark.parametrize(
    "who", [{"approver": "mallory"}, {"approver": ""}, {"approver": "ada", "shown_sha256": "0" * 64}]
)
def test_a_recorded_answer_that_does_not_satisfy_the_rule_counts_as_none(
    module_student: Any, fresh: dict[str, Any], who: dict[str, Any]
) -> None:
    receipt = decide(module_student, fresh)
    forged(module_student, receipt, **who)
    task = approval(module_student, receipt, approvers=["ada"])
    record = task._record(module_student.gateways.objects, receipt)
    assert task._standing(module_student.gateways.objects, record, receipt) is None, "the question is asked"
    said = task.execute_complete({}, answer("Approve", "ada"))
    assert (said["verdict"], said["decision_uri"].rsplit("/", 1)[1]) == ("promote", "approval-2.json")
    module_student.gateways.objects.delete(said["decision_uri"])


def test_a_yes_stands_no_more_when_its_giver_is_no_approver_any_more(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    receipt = decide(module_student, fresh)
    approval(module_student, receipt, approvers=["bob"]).execute_complete({}, answer("Approve", "bob"))
    task = approval(module_student, receipt, approvers=["ada"])
    record = task._record(module_student.gateways.objects, receipt)
    assert task._standing(module_student.gateways.objects, record, receipt) is None


def test_whoever_started_the_run_cannot_approve_it_where_the_rule_says_so(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    from types import SimpleNamespace

    receipt = decide(module_student, fresh)
    run = {"dag_run": SimpleNamespace(triggering_user_name="ada")}
    held = approval(module_student, receipt, separate=True).execute_complete(run, answer("Approve", "ada"))
    assert held["verdict"] == "hold"
    assert "started the run" in held["reasons"][0]
    said = approval(module_student, receipt, separate=True).execute_complete(run, answer("Approve", "bob"))
    assert said["verdict"] == "promote"


def test_an_answer_to_something_else_than_what_was_shown_is_a_hold(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    class Asked:
        def xcom_pull(self, **_: Any) -> str:
            return "0" * 64

    receipt = decide(module_student, fresh)
    held = approval(module_student, receipt).execute_complete({"ti": Asked()}, answer("Approve"))
    assert held["verdict"] == "hold"
    assert "is not the one that the approver was shown" in held["reasons"][0]


@pytest.mark.parametrize("nothing", [None, "None"])
def test_what_is_live_must_be_said_and_nothing_is_not_nothing_live(
    module_student: Any, fresh: dict[str, Any], nothing: Any
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="find_live returned nothing"):
        decide(module_student, fresh, incumbent=nothing)


def test_the_record_names_what_it_was_judged_against_and_what_it_rests_on(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    from airflow_distill.stages.digest import sha256_hex

    receipt = decide(module_student, fresh, incumbent="")
    store = module_student.gateways.objects
    record = json.loads(store.read(receipt["decision_uri"]))
    assert (record["incumbent"], record["incumbent_release"], record["incumbent_host"]) == ("", None, "")
    assert record["manifest_sha256"] == sha256_hex(store.read(module_student.dataset["manifest_uri"]))
    assert record["job_arn"] == module_student.job["job_arn"]


# --- the question reaches a person ---------------------------------------------------------------------------------


class Chat:
    """Stands in for a notifier: keeps what it was told."""

    def __init__(self, fails: bool = False) -> None:
        self.told: list[dict[str, Any]] = []
        self.fails = fails

    def __call__(self, context: Any) -> None:
        from airflow_distill.notifications.workload import TOLD

        self.told.append(context[TOLD])
        if self.fails:
            raise RuntimeError("the chat is down")


class Remembers:
    """A task instance: XComs by key."""

    dag_id, run_id, task_id, map_index, id = "distill_w", "run-1", "approve", -1, "ti"

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.kept[key] = value

    def xcom_pull(self, task_ids: str, key: str = "return_value") -> Any:
        return self.kept.get(key)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the events that were counted in Airflow's metrics."""
    names: list[str] = []
    monkeypatch.setattr(
        "airflow.sdk.observability.stats.incr", lambda name, *rest, **more: names.append(name), raising=False
    )
    return names


@pytest.fixture
def parked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Requests that Airflow was asked to show; the task is then parked as Airflow parks it."""
    asked: list[Any] = []
    monkeypatch.setattr(
        "airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **more: asked.append(more)
    )
    return asked


TIMEOUT = {"error": "The timeout has passed.", "error_type": "timeout"}
PAGE = "https://console.aws.amazon.com/s3/object/b?prefix=report.html"


def ask(w: Any, receipt: dict[str, Any], chat: Chat, **more: Any) -> tuple[Any, dict[str, Any], Any]:
    """Ask a person; returns the task, its context and how Airflow was asked to wait."""
    from airflow.sdk.exceptions import TaskAwaitingInput

    task = approval(w, receipt, notifiers=[chat], report={"kind": "report", "page": PAGE}, **more)
    context = {"ti": Remembers(), "task_instance": Remembers(), "task": task}
    context["task_instance"] = context["ti"]
    with pytest.raises(TaskAwaitingInput) as parked:
        task.execute(context)
    return task, context, parked.value


def test_a_question_is_told_with_links_to_itself_and_to_the_report(
    module_student: Any,
    fresh: dict[str, Any],
    parked: list[Any],
    counted: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    receipt, chat = decide(module_student, fresh), Chat()
    _, _, waiting = ask(module_student, receipt, chat)
    (told,) = chat.told
    assert told["links"]["report"] == PAGE
    assert "/dags/distill_w/runs/run-1/tasks/approve/required_actions" in told["links"]["question"]
    assert PAGE in told["summary"]
    assert f"[Report of the run]({PAGE})" in parked[0]["body"]
    assert waiting.timeout.total_seconds() == pytest.approx(2 * 86_400)
    assert "airflow_distill.approval.asked" in counted


def test_it_is_told_once_more_before_it_ends_and_silence_is_told_as_silence(
    module_student: Any, fresh: dict[str, Any], parked: list[Any], counted: list[str]
) -> None:
    from airflow.sdk.exceptions import TaskAwaitingInput

    receipt, chat = decide(module_student, fresh), Chat()
    task, context, _ = ask(module_student, receipt, chat)
    with pytest.raises(TaskAwaitingInput) as again:
        task.execute_complete(context, TIMEOUT)
    assert 2.9 * 86_400 < again.value.timeout.total_seconds() <= 3 * 86_400
    held = task.execute_complete(context, TIMEOUT)
    assert held["reasons"][0] == "not-approved: Nobody answered in time."
    assert [t["summary"].split(" ")[0] for t in chat.told] == ["a", "still", "nobody"]
    assert "Clear approve to ask again" in chat.told[-1]["summary"]
    assert [n.rpartition(".")[2] for n in counted if ".approval." in n] == ["asked", "reminded", "unanswered"]


def test_a_chat_that_is_down_stops_no_question(
    module_student: Any, fresh: dict[str, Any], parked: list[Any]
) -> None:
    chat = Chat(fails=True)
    ask(module_student, decide(module_student, fresh), chat)
    assert len(chat.told) == len(parked) == 1


def test_without_anybody_to_remind_the_whole_time_is_one_wait(
    module_student: Any, fresh: dict[str, Any], parked: list[Any]
) -> None:
    from airflow.sdk.exceptions import TaskAwaitingInput

    task = approval(module_student, decide(module_student, fresh))
    with pytest.raises(TaskAwaitingInput) as waiting:
        task.execute({"ti": Remembers(), "task_instance": Remembers(), "task": task})
    assert waiting.value.timeout.total_seconds() == 3 * 86_400


@pytest.mark.parametrize(
    ("choice", "who", "word"),
    [("Approve", "ada", "approved"), ("Reject", "ada", "refused"), ("Approve", "eve", "not_counted")],
)
def test_what_became_of_a_question_is_counted(
    module_student: Any, fresh: dict[str, Any], counted: list[str], choice: str, who: str, word: str
) -> None:
    receipt = decide(module_student, fresh)
    approval(module_student, receipt, approvers=["ada"]).execute_complete({}, answer(choice, who))
    assert f"airflow_distill.approval.{word}" in counted


def test_status_tells_the_decision_as_it_stands_after_the_approval(
    module_student: Any, fresh: dict[str, Any]
) -> None:
    from airflow_distill.cli.status import _latest_decision

    w = module_student
    rule = {"mode": "always", "approvers": ["ada"]}
    receipt = decide(w, fresh, approval=rule)
    before = _latest_decision(w.gateways.objects, w.root, w.workload)
    assert before is not None
    assert (before["outcome"], before["approved_by"]) == ("hold", None)
    approval(w, receipt, **rule).execute_complete({}, answer("Approve"))
    after = _latest_decision(w.gateways.objects, w.root, w.workload)
    assert after is not None
    assert (after["outcome"], after["approved_by"]) == ("promote", "ada")
