"""Keeps a workload's status in the bucket: read, change by a conditional write, make anew from the goods.

Takes an `ObjectStore`, so it runs on S3 and on folders. Two steps that end at once both count: the second one's write is
refused, and it makes its change anew on what the first has written. No clock: times are passed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from airflow_distill.errors import DistillError, EvaluationError, ServiceAccessError, StateError
from airflow_distill.stages.dataset.records import DatasetManifest
from airflow_distill.stages.decision.record import read_record
from airflow_distill.stages.decision.records import DecisionRecord
from airflow_distill.stages.deployment.ledger import History, Ledger
from airflow_distill.stages.digest import record_of
from airflow_distill.stages.evaluation.records import Scorecard
from airflow_distill.stages.money.spend import Spend, book_of
from airflow_distill.stages.status import fold
from airflow_distill.stages.status.records import (
    HISTORY,
    LiveRelease,
    PastDataset,
    PastRelease,
    Question,
    RunStatus,
    Status,
    Step,
    decode_run,
    decode_status,
    encode,
    run_uri,
    status_uri,
)
from airflow_distill.stages.storage import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectMissingError,
    ObjectStore,
    join_uri,
)

TRIES = 8
"""So often a change is made anew when others write at the same time."""

_ABSENT = (ObjectMissingError, ServiceAccessError)
"""S3 answers 403 for an object that is not there to a role that may list only some folders (AWS: GetObject); the write that
follows is conditional, so a record that is there is never lost by it."""

_DECISION = re.compile(r"/decision[^/]*\.json$|/approval[^/]*\.json$")
Kept = TypeVar("Kept", Status, RunStatus)


class Index:
    """The statuses under one root.

    :param root: the workloads' common root, `s3://bucket/prefix` or a folder.
    """

    def __init__(self, store: ObjectStore, root: str) -> None:
        self._store = store
        self._root = root

    def read(self, workload: str) -> Status | None:
        """Return where a workload stands, or None when nobody has written it down, or not readably."""
        try:
            return decode_status(self._store.read(status_uri(self._root, workload)))
        except (*_ABSENT, ValueError):
            return None

    def change(self, workload: str, how: Callable[[Status], Status]) -> Status:
        """Change a workload's status; a record that cannot be read is begun anew.

        :raises StateError: others wrote at the same time, again and again.
        """
        return self._change(status_uri(self._root, workload), Status(workload), decode_status, how)

    def change_run(
        self, dag_id: str, run_id: str, workload: str, how: Callable[[RunStatus], RunStatus]
    ) -> RunStatus:
        """Change what a Dag run has made of a workload, in the same way."""
        uri = run_uri(self._root, dag_id, run_id, workload)
        return self._change(uri, RunStatus(workload, dag_id, run_id), decode_run, how)

    def write(self, status: Status) -> None:
        """Write a whole status over whatever is there."""
        self._store.write(status_uri(self._root, status.workload), encode(status))

    def _change(
        self, uri: str, empty: Kept, decode: Callable[[bytes], Kept], how: Callable[[Kept], Kept]
    ) -> Kept:
        for _ in range(TRIES):
            tag, present = "", empty
            try:
                raw, tag = self._store.read_tagged(uri)
                present = decode(raw)
            except (*_ABSENT, ValueError):
                pass
            changed = how(present)
            data = encode(changed)
            try:
                if tag:
                    self._store.write_over(uri, data, tag)
                else:
                    self._store.write(uri, data, if_absent=True)
            except (ObjectChangedError, ObjectExistsError):
                continue
            return changed
        raise StateError(
            f"status: {uri} was changed by others {TRIES} times in a row.",
            hint="`airflow-distill status WORKLOAD --root ROOT --write` rebuilds it.",
        )


def note(
    store: ObjectStore, root: str, workload: str, receipt: Mapping[str, Any], step: Step, month: str
) -> None:
    """Write down what a step has done: into the workload's status, and into that of its Dag run.

    :param month: the UTC month of the step, such as `202611`; its claims are read anew after a budget check.
    """
    how = _change_of(store, root, workload, receipt, step, month)
    index = Index(store, root)
    kind = str(receipt.get("kind") or "")
    after = index.change(workload, lambda status: how(fold.with_step(status, step, kind)))
    if after.dag_id == step.dag_id:
        index.change_run(step.dag_id, step.run_id, workload, lambda run: fold.run_after(run, receipt, step))


def note_question(
    store: ObjectStore, root: str, workload: str, question: Question, receipt: Mapping[str, Any], step: Step
) -> None:
    """Write down that a task waits for a person, and about which decision."""
    index = Index(store, root)
    index.change(workload, lambda status: fold.with_question(fold.with_step(status, step), question))
    index.change_run(
        step.dag_id,
        step.run_id,
        workload,
        lambda run: replace(fold.run_after(run, receipt, step), question=question),
    )


def _change_of(
    store: ObjectStore, root: str, workload: str, receipt: Mapping[str, Any], step: Step, month: str
) -> Callable[[Status], Status]:
    """Return what a receipt changes; what must be read for it is read once, before the conditional write."""
    kind = receipt.get("kind")
    looked = fold.warnings_of(receipt, step.at)
    if looked is not None:
        source, found = looked
        return lambda status: fold.with_warnings(status, source, found)
    health = fold.health_of(receipt, step.at)
    if health is not None:
        return lambda status: replace(status, health=health)
    if kind == "dataset":
        dataset = PastDataset(
            str(receipt["dataset_id"]),
            int(receipt["train_records"]),
            int(receipt["heldout_records"]),
            str((receipt.get("window") or ["", ""])[1]),
        )
        teacher, student = str(receipt["teacher"]), str(receipt["student"])
        return lambda status: fold.with_dataset(status, dataset=dataset, teacher=teacher, student=student)
    if kind == "budget":
        usd, cap = _claims(store, root, workload, month)
        return lambda status: fold.with_spend(status, month, usd, cap)
    if kind == "decision":
        record, _ = read_record(store, str(receipt["decision_uri"]))
        scorecard = _scorecard(store, record)
        said = str(receipt.get("verdict") or "")

        def decided(status: Status) -> Status:
            now = fold.with_decision(status, record, scorecard, step.run_id)
            asked = now.question and now.question.task_id == step.task_id
            now = replace(now, question=None) if asked else now
            if said and now.verdict and said != now.verdict.outcome:
                reasons = tuple(str(each).partition(": ")[2] for each in receipt.get("reasons") or ())[:3]
                now = replace(now, verdict=replace(now.verdict, outcome=said, reasons=reasons))
            return now

        return decided
    if kind in ("deployment", "guard") and receipt.get("release"):
        history = Ledger(store, root, workload).survey()
        return lambda status: _with_history(status, history)
    if kind == "report":
        uri = str(receipt.get("report_uri") or "")
        return lambda status: fold.with_saving(replace(status, report_uri=uri), receipt.get("saving"))
    return lambda status: status


def _claims(store: ObjectStore, root: str, workload: str, month: str) -> tuple[float, float | None]:
    entries = Spend(store, root, workload, month).read()
    claims = [claim for claim in entries if not claim.settles]
    cap = max(claims, key=lambda claim: claim.number).cap if claims else None
    return float(book_of(entries).usd), cap


def _scorecard(store: ObjectStore, record: DecisionRecord) -> Scorecard | None:
    """Return the scorecard that a decision names; None where it is gone, damaged, or the record names none."""
    with suppress(ObjectMissingError, ValueError, DistillError):
        return record_of(store.read(record.scorecard_uri), Scorecard.from_json)
    return None


def _with_history(status: Status, history: History) -> Status:
    live = history.live()
    entry = history.entry(live.release) if live else None
    answering = None
    if live and entry and entry.outcome:
        answering = LiveRelease(
            live.release, entry.outcome.at, live.target.model_arn, live.host_kind, live.host_arn
        )
    now = replace(status, live=answering)
    for each in history.entries[-HISTORY:]:
        ended = each.outcome
        past = PastRelease(
            each.release.release,
            ended.at if ended else each.release.claimed_at,
            ended.outcome if ended else "open",
        )
        now = fold.with_release(now, past, answering)
    return now


def rebuild(store: ObjectStore, root: str, workload: str, now: str) -> Status:
    """Make a workload's status anew from its goods: ledger, decisions, datasets and claims; reads only.

    What only a running loop knows (its last step, an open question) and what others fill (savings, health, the next run)
    is kept from the record that is there.
    """
    before = Index(store, root).read(workload) or Status(workload)
    status = Status(
        workload,
        at=now,
        dag_id=before.dag_id,
        step=before.step,
        failure=before.failure,
        question=before.question,
        money=replace(before.money, spent={}, cap_usd=None),
        health=before.health,
        next=before.next,
        warnings=before.warnings,
        report_uri=before.report_uri,
    )
    status = _with_history(status, Ledger(store, root, workload).survey())
    for manifest in sorted(_manifests(store, root, workload), key=lambda each: each.window_end):
        past = PastDataset(
            manifest.dataset_id, manifest.train.records, manifest.heldout.records, manifest.window_end
        )
        status = fold.with_dataset(status, dataset=past, teacher=manifest.teacher, student=manifest.student)
    runs = {each.evaluation_id: each.run_id for each in before.verdicts}
    for record in sorted(_decisions(store, root, workload), key=lambda each: each.decided_at):
        run = runs.get(record.evaluation_id, "")
        status = fold.with_decision(status, record, _scorecard(store, record), run)
    for month in sorted(_months(store, root, workload)):
        status = fold.with_spend(status, month, *_claims(store, root, workload, month))
    return status


def _manifests(store: ObjectStore, root: str, workload: str) -> Iterator[DatasetManifest]:
    for item in store.iter_objects(join_uri(root, workload, "datasets") + "/"):
        if item.uri.endswith("/manifest.json"):
            with suppress(ValueError, ObjectMissingError):
                yield record_of(store.read(item.uri), DatasetManifest.from_json)


def _decisions(store: ObjectStore, root: str, workload: str) -> Iterator[DecisionRecord]:
    """Yield the decisions, an approval after what it approved."""
    found = store.iter_objects(join_uri(root, workload, "evaluations") + "/")
    uris = sorted((item.uri for item in found if _DECISION.search(item.uri)), key=lambda u: "/approval" in u)
    for uri in uris:
        with suppress(StateError, EvaluationError, ObjectMissingError):
            yield read_record(store, uri)[0]


def _months(store: ObjectStore, root: str, workload: str) -> set[str]:
    prefix = join_uri(root, workload, "spend") + "/"
    found = (item.uri.removeprefix(prefix).partition("/")[0] for item in store.iter_objects(prefix))
    return {month for month in found if re.fullmatch(r"\d{6}", month)}
