"""What each page shows, as plain data out of records. Figures and digests; a text only in `texts`, for one click.

Takes the reader and ids that are checked already; says in words why something cannot be shown. Words for units, money
and times are the page's own affair: numbers go out as numbers, times in ISO 8601 UTC.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from airflow_distill.plugin.reader import GoodsError, Reader, shown
from airflow_distill.stages.dataset.records import DatasetManifest, Example
from airflow_distill.stages.decision.records import DecisionRecord
from airflow_distill.stages.deployment.records import Release
from airflow_distill.stages.digest import digest, record_of
from airflow_distill.stages.evaluation.records import ROLES, Answer, Comparison, Interval, Scorecard
from airflow_distill.stages.shown import one_line
from airflow_distill.stages.status.attention import attention, everything
from airflow_distill.stages.status.fold import HELDOUT_DIGITS, deciding
from airflow_distill.stages.status.records import HISTORIES, RunStatus, Status, plain
from airflow_distill.stages.storage import join_uri

MOST_SLICES = 40
MOST_WORST = 20


def workload_list(reader: Reader, allowed: Collection[str], now: datetime) -> dict[str, Any]:
    """Return one row for each workload whose Dag the user may see."""
    found, unreadable = reader.statuses()
    rows = [
        {**each.row, **_today(each.status, now)}
        for each in found
        if each.status and each.row and each.status.dag_id in allowed
    ]
    return {
        "workloads": rows,
        "hidden": len(rows) < len(found),
        "unreadable": unreadable,
        "root": reader.root,
    }


def _today(status: Status, now: datetime) -> dict[str, Any]:
    """Return what of a row depends on the time: the month, and what needs a person first."""
    first = attention(status, now)
    return {"month": f"{now:%Y%m}", "attention": shown(first) if first else None}


def workload_page(reader: Reader, dag_id: str, workload: str, now: datetime) -> dict[str, Any]:
    """Return everything about one workload that its status holds."""
    status = reader.status(workload)
    if status is None or status.dag_id != dag_id:
        return {
            "problem": {
                "said": f"No status of {workload} says that it belongs to this Dag.",
                "do": f"Run its Dag, or `airflow-distill status {workload} --root {reader.root} --write`.",
            }
        }
    return {
        **{name: [] for name in HISTORIES},
        **shown(status),
        **_today(status, now),
        "attentions": [shown(each) for each in sorted(everything(status, now), key=lambda a: a.grave)],
        "root": reader.root,
    }


def _run_of(
    reader: Reader, dag_id: str, run_id: str, workload: str | None
) -> tuple[RunStatus | None, list[str]]:
    runs = reader.runs(dag_id, run_id)
    names = [run.workload for run in runs]
    chosen = next((run for run in runs if run.workload == workload), None) if workload else None
    return chosen or (runs[0] if runs and not workload else None), names


def evaluation(
    reader: Reader,
    dag_id: str,
    run_id: str,
    workload: str | None = None,
    baseline: str | None = None,
    *,
    texts: bool = False,
) -> dict[str, Any] | None:
    """Return what a Dag run's evaluation has found, or None when the run has told nothing."""
    run, names = _run_of(reader, dag_id, run_id, workload)
    if run is None:
        return None
    out: dict[str, Any] = {
        "run": shown(run),
        "workloads": names,
        "texts": texts,
        "evaluation": None,
        "dataset": _dataset(reader, run),
        "root": reader.root,
    }
    if not run.scorecard_uri:
        return out
    card = reader.record(run.workload, run.scorecard_uri, Scorecard.from_json, run.scorecard_sha256)
    record = _decision(reader, run)
    status = reader.status(run.workload)
    out["evaluation"] = _card(card, record, run)
    out["baselines"] = _baselines(status, card)
    if baseline:
        out["baseline"] = _baseline(reader, run.workload, card, status, baseline)
    return shown(out)  # type: ignore[no-any-return]


def _decision(reader: Reader, run: RunStatus) -> DecisionRecord | None:
    if not run.decision_uri:
        return None
    return reader.record(run.workload, run.decision_uri, DecisionRecord.from_json, run.decision_sha256)


def _card(card: Scorecard, record: DecisionRecord | None, run: RunStatus) -> dict[str, Any]:
    """Return roles, the deciding difference, checks, slices and worst cases of a scorecard."""
    found = deciding(record.verdict, card) if record else None
    metric, against = _leading(card, found.metric if found else "", found.against if found else "")
    out: dict[str, Any] = {
        "evaluation_id": card.evaluation_id,
        "n": card.n,
        "reference": card.reference,
        "heldout": card.heldout_sha256[:HELDOUT_DIGITS],
        "created_at": card.created_at,
        "metric": metric,
        "against": against,
        "deciding": plain(found) if found else None,
        "outcome": run.verdict or (record.outcome if record else ""),
        "needed": record.verdict.needed if record else None,
        "reasons": [reason.text for reason in record.reasons] if record else [],
        "approval": record.approval.to_json() if record else None,
        "roles": [_role(card, role) for role in ROLES if role in card.models or card.summary(role)],
        "differences": [
            _difference(each, record)
            for each in card.comparisons
            if not each.slice and each.role == "student"
        ],
        "costs": record.costs.to_json() if record and record.costs else None,
        "judges": [plain(judge) for judge in run.judges],
    }
    slices = sorted(
        (c for c in card.comparisons if c.slice and (c.metric, c.against) == (metric, against)),
        key=lambda c: (c.estimate if c.estimate is not None else 9.0, c.slice),
    )
    out["slices"] = [_difference(each, record) for each in slices[:MOST_SLICES]]
    out["slices_left_out"] = max(0, len(slices) - MOST_SLICES)
    out["worst"] = [
        {**each.to_json(), "difference": round(each.difference, 6)} for each in card.regressions[:MOST_WORST]
    ]
    return out


def _leading(card: Scorecard, metric: str, against: str) -> tuple[str, str]:
    """Return the metric and the role that the page leads with: those that decided, else the first there are."""
    whole = [c for c in card.comparisons if not c.slice]
    metric = metric or (whole[0].metric if whole else "")
    others = [c.against for c in whole if c.metric == metric]
    return metric, against or ("teacher" if "teacher" in others else others[0] if others else "")


def _role(card: Scorecard, role: str) -> dict[str, Any]:
    summary = card.summary(role)
    metrics = {m.metric: m for m in card.metrics if m.role == role and not m.slice}
    return {
        "role": role,
        "model": card.models.get(role, summary.model if summary else ""),
        "metrics": {
            name: {"mean": m.mean, "n": m.n, "missing": m.missing, **_ends(m.interval)}
            for name, m in metrics.items()
        },
        "usd": summary.usd if summary else None,
        "answers": summary.answers if summary else None,
        "errors": summary.errors if summary else None,
        "latency_p50_ms": summary.latency_p50_ms if summary else None,
        "latency_p95_ms": summary.latency_p95_ms if summary else None,
        "output_tokens": summary.output_tokens if summary else None,
    }


def _ends(interval: Interval | None) -> dict[str, float | None]:
    return {"low": interval.low if interval else None, "high": interval.high if interval else None}


def _difference(each: Comparison, record: DecisionRecord | None) -> dict[str, Any]:
    checks = record.verdict.checks if record else ()
    wanted = (each.metric, each.against, each.slice)
    check = next((c for c in checks if (c.metric, c.against, c.slice) == wanted), None)
    return {
        "metric": each.metric,
        "against": each.against,
        "slice": each.slice,
        "n": each.n,
        "estimate": each.estimate,
        **_ends(each.interval),
        "limit": check.limit if check else None,
        "outcome": check.outcome if check else "",
        "needed": check.needed if check else None,
        "better": each.better,
        "worse": each.worse,
        "missing": each.missing,
    }


def _dataset(reader: Reader, run: RunStatus) -> dict[str, Any] | None:
    """Return how log lines became prompts, and what differs from the dataset behind the live release."""
    if not run.manifest_uri:
        return None
    manifest = reader.record(run.workload, run.manifest_uri, DatasetManifest.from_json, run.manifest_sha256)
    out = _funnel(manifest)
    live = reader.status(run.workload)
    if live and live.live:
        behind = _manifest_behind(reader, run.workload, live.live.release)
        out["live"] = {**_funnel(behind), "release": live.live.release} if behind else None
    return out


def _funnel(manifest: DatasetManifest) -> dict[str, Any]:
    counts = manifest.counts
    return {
        "dataset_id": manifest.dataset_id,
        "window": [manifest.window_start, manifest.window_end],
        "teacher": manifest.teacher,
        "student": manifest.student,
        "lines": counts.get("lines"),
        "kept": counts.get("kept"),
        "train": counts.get("train"),
        "heldout": counts.get("heldout"),
        "skipped": dict(sorted(manifest.skipped.items(), key=lambda each: -each[1])),
        "dropped": dict(sorted(manifest.dropped.items(), key=lambda each: -each[1])),
    }


def _release(reader: Reader, workload: str, number: int) -> Release:
    uri = join_uri(reader.root, workload, "releases", f"{number:06d}.json")
    return reader.record(workload, uri, Release.from_json)


def _manifest_behind(reader: Reader, workload: str, number: int) -> DatasetManifest | None:
    try:
        evidence = _release(reader, workload, number).evidence
        uri = evidence.manifest_copy or evidence.manifest_uri
        return reader.record(workload, uri, DatasetManifest.from_json, evidence.manifest_sha256)
    except GoodsError:
        return None


def _baselines(status: Status | None, card: Scorecard) -> list[dict[str, Any]]:
    """Return the earlier evaluations, newest first, and why one cannot be compared."""
    heldout = card.heldout_sha256[:HELDOUT_DIGITS]
    out: dict[str, dict[str, Any]] = {}
    for past in reversed(status.verdicts if status else ()):
        if past.evaluation_id in (card.evaluation_id, ""):
            continue
        why = "" if past.heldout == heldout else "It was judged on another held-out set."
        out.setdefault(
            past.evaluation_id,
            {
                "evaluation_id": past.evaluation_id,
                "at": past.at,
                "outcome": past.outcome,
                "comparable": not why,
                "why": why,
            },
        )
    return list(out.values())


def _baseline(
    reader: Reader, workload: str, card: Scorecard, status: Status | None, chosen: str
) -> dict[str, Any]:
    known = next((each for each in _baselines(status, card) if each["evaluation_id"] == chosen), None)
    if known is None:
        return {"comparable": False, "why": "No such evaluation of this workload is remembered."}
    if not known["comparable"]:
        return known
    uri = join_uri(reader.root, workload, "evaluations", chosen, "scorecard.json")
    other = reader.record(workload, uri, Scorecard.from_json)
    if other.heldout_sha256 != card.heldout_sha256:
        return {**known, "comparable": False, "why": "It was judged on another held-out set."}
    if other.scorers != card.scorers:
        return {
            **known,
            "comparable": False,
            "why": "It was scored by other scorers, or by other settings of them.",
        }
    return {**known, "model": other.models.get("student", ""), "role": _role(other, "student"), "n": other.n}


def approval(reader: Reader, dag_id: str, run_id: str, task_id: str) -> dict[str, Any] | None:
    """Return what somebody who is asked should know, or None when the run has told nothing."""
    runs = reader.runs(dag_id, run_id)
    if not runs:
        return None
    run = next((r for r in runs if r.question and r.question.task_id == task_id), None)
    if run is None:
        asked = next((r.question.task_id for r in runs if r.question), "")
        return {"asks": False, "asking": asked, "workloads": [r.workload for r in runs]}
    record = _decision(reader, run)
    if record is None:
        raise GoodsError("The run names no decision, so there is nothing to approve.")
    status = reader.status(run.workload)
    card = reader.record(run.workload, record.scorecard_uri, Scorecard.from_json, record.scorecard_sha256)
    answered = not (status and status.question and status.question.run_id == run_id)
    return shown(  # type: ignore[no-any-return]
        {
            "asks": True,
            "workload": run.workload,
            "question": plain(run.question),
            "answered": answered,
            "verdict": record.verdict.verdict,
            "reasons": [reason.text for reason in record.verdict.reasons],
            "asked_because": record.approval.reason,
            "deciding": plain(found) if (found := deciding(record.verdict, card)) else None,
            "n": record.verdict.n,
            "new": {"model": record.model_arn, "dataset_id": record.dataset_id},
            "live": plain(status.live) if status and status.live else None,
            "judged_against": {"release": record.incumbent_release, "model": record.incumbent},
            "roles": [
                _role(card, role) for role in ("student", "incumbent", "teacher") if role in card.models
            ],
            "costs": record.costs.to_json() if record.costs else None,
            "money": plain(status.money) if status else None,
            "dataset": _dataset(reader, run),
            "evidence": _evidence(record, card),
            "shown": digest([run.decision_sha256, record.scorecard_sha256]),
            "back": _way_back(reader, run.workload, status),
            "fresh": _freshness(record, status),
        }
    )


def _evidence(record: DecisionRecord, card: Scorecard) -> list[dict[str, str]]:
    rows = [
        ("decision", record.decision_id, record.decided_at),
        ("scorecard", record.scorecard_sha256, card.created_at),
        ("held-out file", record.heldout_sha256, ""),
        ("dataset's manifest", record.manifest_sha256, ""),
        ("policy", record.verdict.policy_digest, ""),
    ]
    return [{"what": what, "digest": value, "at": at} for what, value, at in rows if value]


def _freshness(record: DecisionRecord, status: Status | None) -> dict[str, Any]:
    """Say whether what is live is still what the student was judged against; the task asks again before it promotes."""
    live = status.live.release if status and status.live else None
    return {"holds": live == record.incumbent_release, "live": live, "judged": record.incumbent_release}


def _way_back(reader: Reader, workload: str, status: Status | None) -> dict[str, Any]:
    live = status.live.release if status and status.live else None
    command = f"airflow-distill release rollback --workload {workload} --root {reader.root}"
    return {"release": live, "command": command}


def texts(reader: Reader, dag_id: str, run_id: str, workload: str | None, example_id: str) -> dict[str, Any]:
    """Return prompt, reference and answers of one of the run's worst cases.

    :raises GoodsError: it is none of them, or its texts are gone.
    """
    run, _ = _run_of(reader, dag_id, run_id, workload)
    if run is None or not run.scorecard_uri or not run.manifest_uri:
        raise GoodsError("This run has judged nothing, so it has no worst cases.")
    card = reader.record(run.workload, run.scorecard_uri, Scorecard.from_json, run.scorecard_sha256)
    if example_id not in {each.example_id for each in card.regressions[:MOST_WORST]}:
        raise GoodsError("This is none of the run's worst cases; no other text is shown.")
    manifest = reader.record(run.workload, run.manifest_uri, DatasetManifest.from_json, run.manifest_sha256)
    found: dict[str, str] = {}
    for line in reader.lines(run.workload, manifest.heldout.uri, manifest.heldout.sha256):
        if example_id.encode() in line:
            example = record_of(line, Example.from_json)
            if example.id == example_id:
                found = {"prompt": example.turns[-1].text, "reference": example.answer or ""}
                break
    if not found:
        raise GoodsError("The held-out file does not hold this prompt any more.")
    for role, uri in run.answers.items():
        if role == "teacher":
            continue
        for line in reader.lines(run.workload, uri, card.answers_sha256.get(role, "")):
            if example_id.encode() in line:
                answer = record_of(line, Answer.from_json)
                if answer.example_id == example_id and answer.repeat == 0:
                    found[role] = answer.text or f"({answer.error})"
    return {"example_id": example_id, "texts": {role: _lines(text) for role, text in found.items()}}


def _lines(text: str) -> str:
    return "\n".join(one_line(line) for line in text.split("\n"))


__all__ = ["approval", "evaluation", "texts", "workload_list", "workload_page"]
