"""The status is kept by many at once, made anew from the goods, and never in the way of the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.errors import ServiceAccessError, StateError
from airflow_distill.stages.money.spend import Spend
from airflow_distill.stages.status.records import (
    Health,
    Question,
    Status,
    Step,
    decode_run,
    run_uri,
    status_uri,
)
from airflow_distill.stages.storage import LocalStore, MemoryStore, ObjectChangedError
from airflow_distill.workload.status import TRIES, Index, note, note_question, rebuild
from tests.airflow_pages.goods import AT, DAG, RUN, TASK, WORKLOAD, put_workload

ROOT = "root"


def step(task: str = "t", state: str = "running", run: str = RUN) -> Step:
    return Step(DAG, run, task, AT, state)


@pytest.fixture(params=["memory", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, str]:
    return (MemoryStore(), ROOT) if request.param == "memory" else (LocalStore(), str(tmp_path))


def test_a_write_over_something_else_is_refused(place: tuple[Any, str]) -> None:
    store, root = place
    store.write(f"{root}/x", b"one")
    _, tag = store.read_tagged(f"{root}/x")
    store.write(f"{root}/x", b"two")
    with pytest.raises(ObjectChangedError):
        store.write_over(f"{root}/x", b"three", tag)
    with pytest.raises(ObjectChangedError):
        store.write_over(f"{root}/gone", b"three", tag)
    assert store.read(f"{root}/x") == b"two"


class Racing(MemoryStore):
    """Between a read and the write that follows it, somebody else writes, so many times."""

    def __init__(self, times: int, meanwhile: Callable[[MemoryStore], None]) -> None:
        super().__init__()
        self.times, self.meanwhile = times, meanwhile

    def read_tagged(self, uri: str) -> tuple[bytes, str]:
        found = super().read_tagged(uri)
        if self.times:
            self.times -= 1
            self.meanwhile(self)
        return found


def test_two_steps_that_end_at_once_both_count() -> None:
    other = Health("fine", AT)

    def meanwhile(store: MemoryStore) -> None:
        plain = MemoryStore()
        plain.objects = store.objects
        Index(plain, ROOT).change(WORKLOAD, lambda status: replace(status, health=other))

    store = Racing(1, meanwhile)
    Index(store, ROOT).change(WORKLOAD, lambda status: replace(status, at=AT))
    Index(store, ROOT).change(WORKLOAD, lambda status: replace(status, teacher="t"))
    found = Index(store, ROOT).read(WORKLOAD)
    assert found is not None
    assert (found.teacher, found.health) == ("t", other)


def test_somebody_who_never_gets_through_says_how_to_make_it_anew() -> None:
    count = iter(range(1000))

    def meanwhile(store: MemoryStore) -> None:
        store.objects[status_uri(ROOT, WORKLOAD)] = str(next(count)).encode()

    store = Racing(TRIES, meanwhile)
    store.write(status_uri(ROOT, WORKLOAD), b"x")
    with pytest.raises(StateError, match="changed by others"):
        Index(store, ROOT).change(WORKLOAD, lambda status: status)


def test_a_first_status_is_written_by_a_role_that_may_not_list_its_folder() -> None:
    """S3 says 403, not 404, to such a role."""

    class Narrow(MemoryStore):
        def read_tagged(self, uri: str) -> tuple[bytes, str]:
            if uri not in self.objects:
                raise ServiceAccessError("no", operation="GetObject", code="AccessDenied")
            return super().read_tagged(uri)

    store = Narrow()
    for at in (AT, "2026-12-01T00:00:00Z"):
        Index(store, ROOT).change(WORKLOAD, lambda status, at=at: replace(status, at=at))
    found = Index(store, ROOT).read(WORKLOAD)
    assert found is not None
    assert found.at == "2026-12-01T00:00:00Z"


def test_a_status_that_cannot_be_read_is_begun_anew(place: tuple[Any, str]) -> None:
    store, root = place
    store.write(status_uri(root, WORKLOAD), b"{ not json")
    Index(store, root).change(WORKLOAD, lambda status: replace(status, at=AT))
    found = Index(store, root).read(WORKLOAD)
    assert found is not None
    assert found.at == AT


RECEIPTS: dict[str, dict[str, Any]] = {
    "harvest": {"kind": "harvest", "lines": 10, "kept": 7, "skipped": {"blank": 3}},
    "dataset": {
        "kind": "dataset",
        "dataset_id": "d0123456789",
        "train_records": 660,
        "heldout_records": 209,
        "teacher": "amazon.nova-pro-v1:0",
        "student": "amazon.nova-micro-v1:0:128k",
        "window": ["2026-11-27T00:00:00Z", "2026-11-30T00:00:00Z"],
        "manifest_uri": f"{ROOT}/{WORKLOAD}/datasets/d0123456789/manifest.json",
        "manifest_sha256": "0" * 64,
    },
    "report": {
        "kind": "report",
        "report_uri": f"{ROOT}/{WORKLOAD}/reports/r.html",
        "saving": {"usd": 900.0, "low": 850.0, "high": 950.0, "against": "the teacher as it was billed"},
    },
    "release-check": {
        "kind": "release-check",
        "drift": [{"code": "c", "said": "the host is gone.", "mend": "repair"}],
    },
    "lifecycle": {"kind": "lifecycle", "warnings": ["the teacher ends on 2027-01-01"]},
    "unheard-of": {"kind": "unheard-of", "x": 1},
    "none": {},
}


@pytest.mark.parametrize("kind", RECEIPTS)
def test_a_receipt_of_any_kind_is_noted(kind: str) -> None:
    store = MemoryStore()
    note(store, ROOT, WORKLOAD, RECEIPTS[kind], step(), "202611")
    status = Index(store, ROOT).read(WORKLOAD)
    assert status is not None
    assert (status.dag_id, status.step) == (DAG, step())
    run = decode_run(store.read(run_uri(ROOT, DAG, RUN, WORKLOAD)))
    assert run.step == step()
    if kind == "harvest":
        assert (run.lines, run.kept, run.skipped) == (10, 7, {"blank": 3})
    if kind == "dataset":
        assert (status.datasets[0].train, status.teacher) == (660, "amazon.nova-pro-v1:0")
    if kind == "report":
        assert (status.money.saved_usd, status.money.saved_low, status.money.saved_high) == (
            900.0,
            850.0,
            950.0,
        )
        assert run.report_uri == status.report_uri
    if kind in ("release-check", "lifecycle"):
        assert len(status.warnings) == 1


def test_a_budget_check_reads_the_months_claims_that_stand() -> None:
    store = MemoryStore()
    spend = Spend(store, ROOT, WORKLOAD, "202611")
    for dataset, usd in (("d1", 40.0), ("d2", 70.0), ("d3", 12.5)):
        spend.claim(dataset, usd, 100.0)
    note(store, ROOT, WORKLOAD, {"kind": "budget"}, step(), "202611")
    status = Index(store, ROOT).read(WORKLOAD)
    assert status is not None
    assert (status.money.spent, status.money.cap_usd) == ({"202611": 52.5}, 100.0)


def test_a_question_stands_until_its_task_has_a_receipt() -> None:
    store = MemoryStore()
    run = put_workload(store, ROOT)
    receipt = {
        "kind": "decision",
        "decision_uri": run.decision_uri,
        "verdict": "hold",
        "reasons": ["x: Not yet."],
    }
    note_question(store, ROOT, WORKLOAD, Question(DAG, RUN, TASK, AT), receipt, step(TASK, "waiting"))
    asked = Index(store, ROOT).read(WORKLOAD)
    assert asked is not None
    assert asked.question == Question(DAG, RUN, TASK, AT)
    note(store, ROOT, WORKLOAD, {**receipt, "reasons": ["not-approved: Ada said no."]}, step(TASK), "202611")
    answered = Index(store, ROOT).read(WORKLOAD)
    assert answered is not None
    assert answered.question is None
    assert answered.verdict is not None
    assert (answered.verdict.outcome, answered.verdict.run_id) == ("hold", RUN)
    run_after = decode_run(store.read(run_uri(ROOT, DAG, RUN, WORKLOAD)))
    assert run_after.question is not None, "the tab still shows what was asked"


def test_a_status_made_anew_says_what_the_loop_has_written_down() -> None:
    """Same goods, same status: folding receipts one by one and folding the bucket agree."""
    store = MemoryStore()
    run = put_workload(store, ROOT)
    store.delete(status_uri(ROOT, WORKLOAD))
    Spend(store, ROOT, WORKLOAD, "202611").claim("d0123456789", 6.5, 200.0)
    for receipt in (
        {**RECEIPTS["dataset"], "manifest_uri": run.manifest_uri},
        {"kind": "budget"},
        {
            "kind": "decision",
            "decision_uri": run.decision_uri,
            "decision_sha256": run.decision_sha256,
            "verdict": "hold",
        },
    ):
        note(store, ROOT, WORKLOAD, receipt, step(), "202611")
    noted = Index(store, ROOT).read(WORKLOAD)
    assert noted is not None
    assert rebuild(store, ROOT, WORKLOAD, AT) == noted


def test_making_it_anew_keeps_what_only_others_know() -> None:
    store = MemoryStore()
    put_workload(store, ROOT)
    index = Index(store, ROOT)
    before = index.change(WORKLOAD, lambda status: replace(status, health=Health("fine", AT)))
    after = rebuild(store, ROOT, WORKLOAD, AT)
    assert (after.health, after.question, after.dag_id, after.money.usd_a_day) == (
        before.health,
        before.question,
        before.dag_id,
        before.money.usd_a_day,
    )


def test_goods_that_cannot_be_read_leave_the_rest_of_a_status() -> None:
    store = MemoryStore()
    run = put_workload(store, ROOT)
    store.write(run.decision_uri, b"{}")
    after = rebuild(store, ROOT, WORKLOAD, AT)
    assert after.verdict is None
    assert len(after.datasets) == 1


def test_a_workload_without_goods_has_a_status_that_says_nothing() -> None:
    assert rebuild(MemoryStore(), ROOT, WORKLOAD, AT) == Status(WORKLOAD, at=AT)
