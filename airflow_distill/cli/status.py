"""`airflow-distill status`: where a workload stands: what is live, what runs, what was decided, spent, and still bills.

With `--write` the same look makes the workload's status anew, which the pages in Airflow show.
"""

from __future__ import annotations

import argparse
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_distill.cli.account import add_workload_flags, place_of
from airflow_distill.cli.terminal import say, say_json
from airflow_distill.remote.times import iso_text

if TYPE_CHECKING:
    from airflow_distill.aws.gateways import AwsGateways
    from airflow_distill.stages.decision.approval import ApprovalRule
    from airflow_distill.stages.decision.records import DecisionRecord
    from airflow_distill.stages.deployment.drift import Standing
    from airflow_distill.stages.money.prices import PriceTable
    from airflow_distill.stages.storage import ObjectStore


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_workload_flags(parser)
    parser.add_argument(
        "--write", action="store_true", help="also rebuild the status that the Airflow pages show"
    )
    parser.add_argument(
        "--dag-id",
        metavar="ID",
        help="with --write: the workload's Dag, whose readers see it (the one that ran last, else distill_WORKLOAD)",
    )


def run(args: argparse.Namespace) -> int:
    """Read bucket and account, print."""
    place = place_of(args)
    store, root, name = place.store, place.root, place.name
    told = status_of(place.gateways, store, root, name, datetime.now(UTC), place.table)
    if args.write:
        write_status(store, root, name, told, args.dag_id)
    if args.json:
        say_json(told, indent=2)
    else:
        say(*lines(told))
    return 0


def status_of(
    gateways: AwsGateways, store: ObjectStore, root: str, name: str, now: datetime, table: PriceTable
) -> dict[str, Any]:
    """Return what bucket and account say of a workload. Reads only."""
    from airflow_distill.aws.account import iter_hosts
    from airflow_distill.aws.exposure import exposure_of
    from airflow_distill.aws.promotion import look_for_drift
    from airflow_distill.aws.retire import read_retirement
    from airflow_distill.remote.identity import slug
    from airflow_distill.remote.ownership import Owner
    from airflow_distill.stages.money.exposure import sentence
    from airflow_distill.stages.money.prices import told_age
    from airflow_distill.stages.money.runs import open_steps

    region = gateways.bedrock.region
    claimed = open_steps(store, root, name, table, now=now, region=region)
    exposure = exposure_of(gateways, Owner(name, root), table, now=now, claimed=claimed)
    standing, drift = look_for_drift(gateways, store, root, name, now)
    history, live, pointer = standing.history, standing.live, standing.pointer
    jobs = [
        {"job_name": j["jobName"], "status": j["status"], "created_at": _iso(j.get("creationTime"))}
        for j in gateways.bedrock.iter_customization_jobs(nameContains=f"{slug(name, 40)}-j")
    ]
    hosts = [
        {
            "host_kind": host.kind,
            "host_arn": host.arn,
            "status": host.status,
            "model_arn": host.model_arn,
            "commitment_ends_at": host.commitment_ends_at,
            "temporary": host.tags.get("airflow-distill:temporary") == "true",
        }
        for host in iter_hosts(gateways.bedrock, name)
        if Owner(name, root).claim(host.tags) != "foreign"
    ]
    retired = read_retirement(store, root, name)
    return {
        "v": 1,
        "kind": "status",
        "workload": name,
        "at": _iso(now),
        "live": {"release": live.release, "model_arn": live.target.model_arn, "host_arn": live.host_arn}
        if live
        else None,
        "pointer": pointer.to_json() if pointer else None,
        "retired": retired.to_json() if retired else None,
        "open": _open(standing),
        "drift": [each.to_json() for each in drift],
        "releases": [
            {"release": e.release.release, "outcome": e.outcome.outcome if e.outcome else "open"}
            for e in history.entries
        ],
        "jobs": jobs[:10],
        "hosts": hosts,
        "decision": _latest_decision(store, root, name),
        "spent_this_month_usd": _spent(store, root, name, now),
        "exposure": exposure.to_json() | {"sentence": sentence(exposure)},
        "prices": told_age(table, f"{now:%Y-%m-%d}", [line.model for line in exposure.lines]),
    }


def write_status(
    store: ObjectStore, root: str, name: str, told: dict[str, Any], dag_id: str | None = None
) -> None:
    """Make the status that the pages in Airflow show anew, from the goods and from what the account has told."""
    from dataclasses import replace

    from airflow_distill.stages.status import fold
    from airflow_distill.stages.status.records import Warned
    from airflow_distill.workload.status import Index, rebuild

    at = str(told["at"])
    status = rebuild(store, root, name, at)
    status = replace(status, dag_id=dag_id or status.dag_id or f"distill_{name}")
    exposure = told["exposure"]
    endless = sum(1 for line in exposure["lines"] if line["usd_a_day"] != 0 and line["most_usd"] is None)
    status = fold.with_exposure(status, exposure, endless=endless, at=at)
    found = [Warned("drift", "drift", each["said"], at, each["mend"]) for each in told["drift"]]
    Index(store, root).write(fold.with_warnings(status, "drift", found))


def _open(standing: Standing) -> dict[str, Any] | None:
    """Tell the open release, who works on it, what serves and what callers are told."""
    from airflow_distill.stages.deployment.drift import told

    entry = standing.history.open
    if entry is None:
        return None
    return {
        "release": entry.release.release,
        "run": entry.release.run,
        "held_by": standing.held_by or None,
        "said": told(standing),
    }


def _latest_decision(store: ObjectStore, root: str, name: str) -> dict[str, Any] | None:
    """Return the decision that was written last, as it stands after the answer of an approver whose answer counts."""
    from airflow_distill.errors import EvaluationError, StateError
    from airflow_distill.stages.decision.record import read_record
    from airflow_distill.stages.storage import join_uri

    found: list[DecisionRecord] = []
    answers: dict[str, DecisionRecord] = {}
    for item in store.iter_objects(join_uri(root, name, "evaluations") + "/"):
        kind = re.match(r"(decision|approval)[-0-9a-f]*\.json$", item.uri.rpartition("/")[2])
        if kind is None:
            continue
        with suppress(StateError, EvaluationError):  # a damaged one is named by verify, and is not the latest
            record = read_record(store, item.uri)[0]
            if kind.group(1) == "decision":
                found.append(record)
            elif not _rule_of(record).objection(record.approval):
                answers[record.decision_id] = record
    last = max(found, key=lambda record: record.decided_at, default=None)
    if last is None:
        return None
    last = answers.get(last.decision_id, last)
    return {
        "decision_id": last.decision_id,
        "outcome": last.outcome,
        "approved_by": last.approval.approver if last.approval.approved else None,
        "decided_at": last.decided_at,
        "reasons": [reason.code for reason in last.reasons],
    }


def _rule_of(record: DecisionRecord) -> ApprovalRule:
    from airflow_distill.stages.decision.approval import ApprovalRule

    return ApprovalRule.from_json(record.approval_rule)


def _spent(store: ObjectStore, root: str, name: str, now: datetime) -> float:
    from airflow_distill.stages.money.spend import Spend

    return round(float(Spend(store, root, name, f"{now:%Y%m}").book().usd), 2)


def _iso(moment: Any) -> str | None:
    if moment is None:
        return None
    return iso_text(moment)


def lines(told: dict[str, Any]) -> list[str]:
    """Return the status for people."""
    live, decision = told["live"], told["decision"]
    out = [f"{told['workload']} at {told['at']}"]
    standing = f"release {live['release']}, {live['model_arn']}" if live else "nothing yet"
    out.append(f"live       {standing}")
    if told["retired"]:
        end = told["retired"]["finished_at"]
        out.append(
            f"retired    at {told['retired']['at']} by {told['retired']['by']}, "
            + (
                f"finished {end}"
                if end
                else f"hosts go after {told['retired']['hosts_after']}: `workload retire` goes on"
            )
        )
    if told["open"]:
        held = (
            f"run {told['open']['held_by']} works on it" if told["open"]["held_by"] else "nobody works on it"
        )
        out.append(f"open       release {told['open']['release']}, {held}: {told['open']['said']}")
    out += [f"drift      {each['said']} Fix: {each['mend']}" for each in told["drift"]]
    if decision:
        reasons = f" ({', '.join(decision['reasons'])})" if decision["reasons"] else ""
        by = f", approved by {decision['approved_by']}" if decision["approved_by"] else ""
        out.append(f"decision   {decision['outcome']}{reasons}{by}, {decision['decided_at']}")
    out += [f"job        {job['job_name']}: {job['status']}, {job['created_at']}" for job in told["jobs"]]
    for host in told["hosts"]:
        kind = "temporary " * host["temporary"] + host["host_kind"]
        out.append(f"bills      {kind} {host['host_arn']}: {host['status']}")
    out += [f"release    {each['release']}: {each['outcome']}" for each in told["releases"]]
    out.append(f"allowed    {told['spent_this_month_usd']:.2f} USD this month")
    out.append(f"exposure   {told['exposure']['sentence']}")
    return [*out, *(f"prices     {line}" for line in told["prices"])]
