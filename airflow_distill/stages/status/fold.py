"""A step's receipt, or a record of the goods, becomes a change of a workload's status. Pure; times are passed in.

The loop folds receipt by receipt as they come; `workload.status.rebuild` folds the goods of the bucket. Both go through
these functions, so that the two agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_distill.stages.decision.records import Check, DecisionRecord, Verdict
from airflow_distill.stages.evaluation.records import Scorecard
from airflow_distill.stages.status.records import (
    HISTORY,
    MONTHS,
    Deciding,
    Health,
    Judged,
    LastVerdict,
    LiveRelease,
    Money,
    PastDataset,
    PastRelease,
    PastVerdict,
    Question,
    RunStatus,
    Status,
    Step,
    Warned,
)

HELDOUT_DIGITS = 16
LONGEST_SENTENCE = 300
_OF_THE_LOOP = ("turn", "harvest", "dataset")
"""Receipts that only the loop has: the Dag that makes one is the workload's."""

_DECIDES = {"promote": "pass", "reject": "worse", "inconclusive": "open"}


def deciding_check(verdict: Verdict) -> Check | None:
    """Return the check that carried a verdict: the one nearest to its line among those that came out as it did."""
    wanted = _DECIDES.get(verdict.verdict)
    compared = [
        check
        for check in verdict.checks
        if check.metric and check.estimate is not None and check.limit is not None and check.against
    ]
    fitting = [check for check in compared if check.outcome == wanted] or [
        check for check in compared if check.outcome not in ("pass", "skipped")
    ]
    return min(fitting or compared, key=_slack, default=None)


def _slack(check: Check) -> float:
    bound = check.bound if check.bound is not None else check.estimate
    assert bound is not None
    assert check.limit is not None
    return bound - check.limit


def deciding(verdict: Verdict, scorecard: Scorecard | None) -> Deciding | None:
    """Return the deciding comparison with the interval that is drawn: the scorecard's, else the check's bound alone."""
    check = deciding_check(verdict)
    if check is None:
        return None
    found = scorecard.comparison(check.metric, check.against, check.slice) if scorecard else None
    interval = found.interval if found else None
    return Deciding(
        metric=check.metric,
        against=check.against,
        slice=check.slice,
        outcome=check.outcome,
        n=check.n,
        estimate=check.estimate,
        low=interval.low if interval else check.bound,
        high=interval.high if interval else None,
        limit=check.limit,
    )


def with_step(status: Status, step: Step, kind: str = "") -> Status:
    """Return the status after a step has ended, failed or begun to wait; a question of another run is over.

    Guards and watches belong to Dags of their own, whose readers are others. So the Dag of a workload is the one that goes
    round its loop: the step of another one changes what it has found, not where the loop stands.

    :param kind: of the step's receipt; empty when it has none.
    """
    if status.dag_id and step.dag_id != status.dag_id and kind not in _OF_THE_LOOP:
        return replace(status, at=step.at)
    question = status.question if status.question and _same_run(status.question, step) else None
    failure = status.failure
    if step.state == "failed":
        failure = step
    elif failure and (_same_task(failure, step) or (step.state == "ended" and not _same_run(failure, step))):
        failure = None
    return replace(status, at=step.at, dag_id=step.dag_id, step=step, question=question, failure=failure)


def with_dataset(status: Status, *, dataset: PastDataset, teacher: str, student: str) -> Status:
    """Return the status after a dataset was made; one that is known already is not counted twice."""
    past = [each for each in status.datasets if each.dataset_id != dataset.dataset_id]
    return replace(status, datasets=(*past, dataset)[-HISTORY:], teacher=teacher, student=student)


def with_decision(
    status: Status, record: DecisionRecord, scorecard: Scorecard | None, run_id: str = ""
) -> Status:
    """Return the status after a decision; its approval replaces the verdict before it."""
    verdict = record.verdict
    found = deciding(verdict, scorecard)
    heldout = record.heldout_sha256[:HELDOUT_DIGITS]
    last = LastVerdict(
        outcome=record.outcome,
        at=record.decided_at,
        evaluation_id=record.evaluation_id,
        decision_id=record.decision_id,
        n=verdict.n,
        needed=verdict.needed,
        reasons=tuple(reason.text[:LONGEST_SENTENCE] for reason in record.reasons[:3]),
        deciding=found,
        heldout=heldout,
        run_id=run_id,
    )
    point = PastVerdict(
        at=record.decided_at,
        outcome=record.outcome,
        evaluation_id=record.evaluation_id,
        heldout=heldout,
        estimate=found.estimate if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        limit=found.limit if found else None,
        n=verdict.n,
        run_id=run_id,
    )
    past = [p for p in status.verdicts if (p.evaluation_id, p.at) != (point.evaluation_id, point.at)]
    return replace(
        status, verdict=last, verdicts=tuple(sorted([*past, point], key=lambda p: p.at))[-HISTORY:]
    )


def with_release(status: Status, past: PastRelease, live: LiveRelease | None) -> Status:
    """Return the status after a release has ended; `live` is what answers since."""
    others = [each for each in status.releases if each.release != past.release]
    releases = sorted([*others, past], key=lambda each: each.release)
    return replace(status, releases=tuple(releases)[-HISTORY:], live=live)


def with_spend(status: Status, month: str, usd: float, cap_usd: float | None) -> Status:
    """Return the status after a month's claims were read."""
    spent = dict(sorted({**status.money.spent, month: round(usd, 2)}.items())[-MONTHS:])
    return replace(status, money=replace(status.money, spent=spent, cap_usd=cap_usd))


def with_saving(status: Status, saving: Mapping[str, Any] | None) -> Status:
    """Return the status after a report has worked out what the student saves a month; without one it is unknown."""
    found = saving or {}
    money = replace(
        status.money,
        saved_usd=found.get("usd"),
        saved_low=found.get("low"),
        saved_high=found.get("high"),
        saved_against=str(found.get("against") or ""),
    )
    return replace(status, money=money)


def with_exposure(status: Status, exposure: Mapping[str, Any], *, endless: int, at: str) -> Status:
    """Return the status after what still bills was looked up; `exposure` as `Exposure.to_json()` gives it."""
    lines = exposure.get("lines") or ()
    money: Money = replace(
        status.money,
        usd_a_day=exposure.get("usd_a_day"),
        most_usd=exposure.get("most_usd"),
        endless=endless,
        unpriced=sum(1 for line in lines if line.get("usd_a_day") is None),
        billed_at=at,
    )
    return replace(status, money=money)


def with_warnings(status: Status, source: str, found: list[Warned]) -> Status:
    """Return the status after a look for dangers; what the same source found before is replaced."""
    others = [each for each in status.warnings if each.source != source]
    return replace(status, warnings=(*others, *found)[:6])


def with_question(status: Status, question: Question | None) -> Status:
    """Return the status while a task waits for a person, or after it has been answered."""
    return replace(status, question=question)


def health_of(receipt: Mapping[str, Any], at: str) -> Health | None:
    """Return what a look at the live student has found, or None when the receipt is of no such look."""
    if receipt.get("kind") != "watch":
        return None
    signs = [str(each) for each in receipt.get("signs") or ()]
    outcome = str(receipt.get("outcome") or "")
    state = "failing" if outcome == "roll-back" else "drifting" if signs or outcome == "retrain" else "fine"
    calls = f"{receipt.get('calls') or 0:,} calls on {receipt.get('day') or 'one day'}"
    return Health(state, at, (signs[0] if signs else f"{calls}.")[:LONGEST_SENTENCE])


def warnings_of(receipt: Mapping[str, Any], at: str) -> tuple[str, list[Warned]] | None:
    """Return which source looked for dangers and what it found, or None when the receipt is of no such look."""
    kind = receipt.get("kind")
    if kind == "release-check":
        drift = [each for each in receipt.get("drift") or () if isinstance(each, Mapping)]
        return "drift", [_warned("drift", each.get("said"), at, each.get("mend")) for each in drift]
    if kind in ("lifecycle", "commitments"):
        code = "lifecycle" if kind == "lifecycle" else "term"
        return code, [_warned(code, said, at) for said in receipt.get("warnings") or ()]
    return None


def _warned(code: str, said: Any, at: str, do: Any = "") -> Warned:
    return Warned(code, code, str(said or "")[:LONGEST_SENTENCE], at, str(do or "")[:LONGEST_SENTENCE])


def _same_run(one: Question | Step, other: Step) -> bool:
    return (one.dag_id, one.run_id) == (other.dag_id, other.run_id)


def _same_task(one: Step, other: Step) -> bool:
    return _same_run(one, other) and (one.task_id, one.map_index) == (other.task_id, other.map_index)


def run_after(run: RunStatus, receipt: Mapping[str, Any], step: Step) -> RunStatus:
    """Return what a Dag run has made after a step; receipts that the page does not show change its step only."""
    take = _RUN_CHANGES.get(str(receipt.get("kind")))
    changes = take(run, receipt) if take else {}
    return replace(run, at=step.at, step=step, **changes)


def _texts(receipt: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: str(receipt.get(name) or "") for name in names}


def _harvest(run: RunStatus, receipt: Mapping[str, Any]) -> dict[str, Any]:
    skipped = sorted(dict(receipt.get("skipped") or {}).items(), key=lambda each: -each[1])
    return {"lines": receipt.get("lines"), "kept": receipt.get("kept"), "skipped": dict(skipped[:12])}


def _answers(run: RunStatus, receipt: Mapping[str, Any]) -> dict[str, Any]:
    roles = receipt.get("roles") or {}
    found = {str(r): str(e["answers_uri"]) for r, e in roles.items() if e.get("answers_uri")}
    return {"answers": found}


def _scores(run: RunStatus, receipt: Mapping[str, Any]) -> dict[str, Any]:
    if not receipt.get("report_uri"):
        return {}
    judge = Judged(
        str(receipt["report_uri"]),
        receipt.get("may_gate", True) is not False,
        tuple(str(each)[:160] for each in receipt.get("why") or ())[:4],
    )
    others = [each for each in run.judges if each.report_uri != judge.report_uri]
    return {"judges": (*others, judge)[-4:]}


_RUN_CHANGES: dict[str, Any] = {
    "harvest": _harvest,
    "dataset": lambda run, r: _texts(r, "manifest_uri", "manifest_sha256"),
    "answers": _answers,
    "scores": _scores,
    "evaluation": lambda run, r: _texts(r, "scorecard_uri", "scorecard_sha256"),
    "decision": lambda run, r: _texts(r, "decision_uri", "decision_sha256", "verdict"),
    "report": lambda run, r: _texts(r, "report_uri"),
}
