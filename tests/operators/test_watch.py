"""The watch on the sandbox: its own calls, a sample asked of the teacher under a cap, outcomes, and what they set off."""

from __future__ import annotations

import contextlib
import gzip
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.sandbox import Sandbox
from tests.release_world import LABELS, ReleaseWorld

pytestmark = [pytest.mark.airflow]

LOGS = "s3://distill-sandbox/logs"
TEACHER = "amazon.nova-pro-v1:0"
FIRST = date(2026, 11, 2)
CALLS = 60


@pytest.fixture
def world(bedrock_environment: Sandbox) -> ReleaseWorld:
    """Two releases, the second one live; the teacher knows every ticket; logging is on."""
    world = ReleaseWorld(bedrock_environment)
    world.promote(world.model("first"))
    world.promote(world.model("second"))
    world.sandbox.enable_logging("distill-sandbox", "logs")
    pairs = [{"prompt": f"Ticket number {n}", "completion": LABELS[n % 4]} for n in range(5_000)]
    world.sandbox.teach(pairs)
    return world


def live_host(world: ReleaseWorld) -> str:
    return str(world.pointer()["host_arn"])


def play(
    world: ReleaseWorld, day: int, *, wrong: float = 0.0, model: str = "", calls: int = CALLS, **more: Any
) -> None:
    """Write a day of callers' traffic; a share of the answers is wrong."""
    start = datetime.combine(FIRST + timedelta(days=day), datetime.min.time(), UTC)
    items = []
    for n in range(calls):
        ticket = (day * calls + n) % 5_000
        off = 1 if n < wrong * calls else 0
        items.append(
            {
                "prompt": f"Ticket number {ticket}",
                "completion": LABELS[(ticket + off) % 4],
                "timestamp": (start + timedelta(minutes=n)).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "metadata": {"app": "desk"},
                **more,
            }
        )
    world.sandbox.play(items, model_id=model or live_host(world))


def watch(world: ReleaseWorld, day: int, **more: Any) -> dict[str, Any]:
    from airflow_distill.operators.watch import WatchStudentOperator

    settings: dict[str, Any] = {"usd_per_day": 1.0, "sample": CALLS, "max_tokens": 16, **more}
    task = WatchStudentOperator(
        task_id="watch",
        workload=world.workload,
        root=world.root,
        logs=LOGS,
        teacher=TEACHER,
        day=(FIRST + timedelta(days=day)).isoformat(),
        **settings,
    )
    return dict(task.execute({}))


def test_a_well_student_is_fine_and_is_asked_about_once(world: ReleaseWorld) -> None:
    play(world, 0)
    first = watch(world, 0)
    assert (first["outcome"], first["calls"], first["asked"], first["scored"]) == (
        "fine",
        CALLS,
        CALLS,
        CALLS,
    )
    asked = world.sandbox.calls("Converse")
    assert watch(world, 0) == first
    assert world.sandbox.calls("Converse") == asked


def test_a_killed_look_pays_once(world: ReleaseWorld) -> None:
    """The answers were kept before the look was written: looked at again, only the look is made."""
    play(world, 0)
    watch(world, 0)
    asked = world.sandbox.calls("Converse")
    uri = f"{world.root}/{world.workload}/watch/r000002/{FIRST.isoformat()}.json"
    world.store.delete(uri)
    assert watch(world, 0)["asked"] == 0
    assert world.sandbox.calls("Converse") == asked


def test_only_its_own_callers_calls_count(world: ReleaseWorld) -> None:
    play(world, 0)
    play(world, 0, model="amazon.nova-micro-v1:0")
    play(world, 0, metadata={"airflow-distill": "probe"})
    play(world, 1)
    assert watch(world, 0)["calls"] == CALLS


def test_nothing_of_a_look_holds_text(world: ReleaseWorld) -> None:
    play(world, 0)
    receipt = watch(world, 0)
    place = f"{world.root}/{world.workload}/watch/r"
    looks = [world.store.read(item.uri).decode() for item in world.store.iter_objects(place)]
    assert looks
    assert not any(
        "Ticket" in text or label in text for text in [*looks, json.dumps(receipt)] for label in LABELS
    )


@pytest.mark.parametrize(
    ("settings", "asked"),
    [({"usd_per_day": None}, 0), ({"sample": 0}, 0), ({"sample": 7}, 7), ({"usd_per_day": 0.0}, 0)],
)
def test_the_cap_holds(world: ReleaseWorld, settings: dict[str, Any], asked: int) -> None:
    play(world, 0)
    assert watch(world, 0, **settings)["asked"] == asked


def test_a_low_cap_asks_as_many_as_it_pays_for(world: ReleaseWorld) -> None:
    play(world, 0)
    before = world.sandbox.meter()["total"]
    cap = 0.001
    receipt = watch(world, 0, usd_per_day=cap)
    assert 0 < receipt["asked"] < CALLS
    teacher = [line for line in world.sandbox.meter()["lines"] if line["model"] == TEACHER]
    assert sum(line["amount"] for line in teacher) <= cap
    assert world.sandbox.meter()["total"] >= before


def test_a_price_that_nobody_knows_asks_nobody(world: ReleaseWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_distill.stages.money.prices import PriceTable

    play(world, 0)
    monkeypatch.setattr(PriceTable, "tokens_usd", lambda *a, **k: None)
    assert watch(world, 0)["asked"] == 0


def test_what_the_watch_asks_the_teacher_is_nobodys_traffic(world: ReleaseWorld) -> None:
    """It never becomes harvest: the calls carry our own mark, and the reader leaves them out under a reason of its own."""
    from airflow_distill.stages.logs.harvest import harvest_logs
    from airflow_distill.stages.logs.selection import Selection

    play(world, 0)
    watch(world, 0)
    world.sandbox.flush_logs()
    counts = harvest_logs(world.store, LOGS, Selection(model=TEACHER), salt="s").counts
    assert counts.kept == 0
    assert counts.skipped["own_call"] == CALLS


def test_quality_that_falls_in_the_third_week_retrains_once_within_days(world: ReleaseWorld) -> None:
    told = {}
    for day in range(20):
        play(world, day, wrong=0.3 if day >= 16 else 0.0)
        told[day] = watch(world, day)["outcome"]
    assert [day for day, outcome in told.items() if outcome != "fine"] in ([16], [17], [18])
    assert "retrain" in told.values()


def test_a_rollback_brings_the_release_before_back(world: ReleaseWorld) -> None:
    from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred

    from airflow_distill.operators.watch import RetrainOperator, RollBackOperator

    before = str(world.pointer()["model_arn"])
    rules = {"roll_back": "automatic"}
    receipts = []
    for day in range(17):
        play(world, day, wrong=0.6 if day >= 15 else 0.0)
        receipts.append(watch(world, day, rules=rules))
    acting = next(r for r in receipts if r["outcome"] == "roll-back")
    arguments = {"workload": world.workload, "root": world.root}
    with pytest.raises(AirflowSkipException):
        RollBackOperator(task_id="back", watch=receipts[0], **arguments).execute({})
    with pytest.raises(AirflowSkipException):
        RetrainOperator(task_id="retrain", watch=acting).execute({})
    with pytest.raises(AirflowSkipException, match="release 1 is not live any more"):
        RollBackOperator(task_id="back", watch={**acting, "release": 1}, **arguments).execute({})
    with contextlib.suppress(TaskDeferred):  # it watches the release it brings back, as after any release
        RollBackOperator(task_id="back", watch=acting, **arguments).execute({"ti": Instance(), "run_id": "r"})
    newest = world.ledger.read().entries[-1].release
    assert newest.action == "rollback"
    assert newest.why[0].startswith("watch of 2026-11-")
    assert world.pointer()["model_arn"] != before


class Instance:
    """A task instance as far as releases look at it."""

    dag_id, run_id, task_id, map_index, try_number = "distill_guards", "r", "back", -1, 1

    def xcom_push(self, key: str, value: Any) -> None:
        pass

    def xcom_pull(self, *args: Any, **more: Any) -> None:
        return None


def test_answers_without_the_form_that_the_release_had_to_show_are_counted_and_told(
    world: ReleaseWorld,
) -> None:
    """Releases of this world had to answer with a label of the held-out prompts."""
    play(world, 0)
    play(world, 1, completion="I would rather talk about the weather.")
    assert watch(world, 0)["signs"] == []
    assert any(sign.startswith(f"misshapen: {CALLS} of {CALLS}") for sign in watch(world, 1)["signs"])


@pytest.mark.parametrize(
    ("scorer", "answer", "fits"),
    [
        ("json_valid", '{"a": 1}', True),
        ({"kind": "json_fields", "fields": ["a"]}, "```json\n[1]\n```", True),
        ("json_valid", "a: 1", False),
        ("exact", "a: 1", None),
    ],
)
def test_without_a_stated_shape_answers_that_are_scored_as_json_must_be_json(
    world: ReleaseWorld, scorer: Any, answer: str, fits: bool | None
) -> None:
    from dataclasses import replace

    from airflow_distill.aws.watch import _form

    entry = world.ledger.read().entries[-1]
    bare = replace(entry, release=replace(entry.release, proof=replace(entry.release.proof, smoke=None)))
    form = _form(world.store, bare, scorer)
    assert (form(answer) if form else None) is fits


def test_nothing_live_is_a_skip(bedrock_environment: Sandbox) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    world = ReleaseWorld(bedrock_environment)
    with pytest.raises(AirflowSkipException, match="nothing of support_tickets is live"):
        watch(world, 0)


def test_an_alert_names_what_is_wrong_and_the_way_back(world: ReleaseWorld) -> None:
    from airflow_distill.notifications.workload import TOLD

    told: list[Any] = []
    for day in range(17):
        play(world, day, wrong=0.6 if day >= 15 else 0.0)
        watch(world, day, rules={"roll_back": "ask"}, notifiers=[lambda context: told.append(context[TOLD])])
    assert any(
        "release rollback" in each["summary"] and "agreement with the teacher" in each["summary"]
        for each in told
    )


def test_the_look_of_a_day_is_the_same_sample_whoever_looks(world: ReleaseWorld) -> None:
    play(world, 0)
    watch(world, 0, sample=10)
    folder = f"{world.root}/{world.workload}/watch/cache"
    kept = {world.store.read(item.uri) for item in world.store.iter_objects(folder)}
    world.store.delete(f"{world.root}/{world.workload}/watch/r000002/{FIRST.isoformat()}.json")
    assert watch(world, 0, sample=10)["asked"] == 0
    assert {world.store.read(item.uri) for item in world.store.iter_objects(folder)} == kept
    assert not any(gzip.compress(b"") == data for data in kept)


def test_a_file_with_watch_has_its_tasks_in_the_guards_dag(tmp_path: Path) -> None:
    from airflow_distill.pipelines import build_dags

    text = (
        "owner: support\nteacher: amazon.nova-pro-v1:0\nstudent: amazon.nova-micro-v1:0:128k\n"
        "root: s3://distill-sandbox/loop\nrole_arn: arn:aws:iam::123456789012:role/distill\n"
        "logs: {location: s3://distill-sandbox/logs}\nbudget: {usd_per_run: 50}\n"
    )
    (tmp_path / "one.yaml").write_text(text + "watch: {usd_per_day: 1, roll_back: automatic}\n")
    (tmp_path / "two.yaml").write_text(text + "watch: {retrain: false}\nschedule: {cron: '0 6 * * 1'}\n")
    (tmp_path / "three.yaml").write_text(text)
    dags = build_dags(tmp_path)
    watched = {
        t for t in dags["distill_guards"].task_ids if t.startswith(("watch_", "retrain_", "roll_back_"))
    }
    assert watched == {"watch_one", "retrain_one", "roll_back_one", "watch_two"}
    (outlet,) = dags["distill_guards"].task_dict["retrain_one"].outlets
    assert outlet.uri == "distill://retrain/one"
    assert "distill://retrain/one" in str(dags["distill_one"].schedule)
    assert dags["distill_three"].schedule is None
