"""`airflow-distill spend`: what a workload's runs cost, what is open, what the student saved, and whether the bill agrees.

    airflow-distill spend show distill/support_tickets.yaml
    airflow-distill spend savings distill/support_tickets.yaml --logs s3://acme-bedrock-logs/bedrock
    airflow-distill spend reconcile distill/support_tickets.yaml --report s3://acme-billing/cur/

Reads only.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_distill.cli.account import Place, add_workload_flags, place_of
from airflow_distill.cli.terminal import say, say_json

if TYPE_CHECKING:
    from airflow_distill.stages.money.reconcile import Known, Match
    from airflow_distill.stages.money.savings import Saving
    from airflow_distill.stages.money.statement import Statement
    from airflow_distill.stages.storage import ObjectStore


def register(parser: argparse.ArgumentParser) -> None:
    """Add the words and their arguments."""
    words = parser.add_subparsers(dest="word", metavar="WORD", required=True)
    show = words.add_parser("show", help="what runs were thought to cost, came to, and may still cost")
    add_workload_flags(show)
    show.add_argument("--dataset", metavar="ID", help="only the run of this dataset")
    show.set_defaults(word_run=_show)
    saved = words.add_parser("savings", help="what the live student saved, from its own logged calls")
    add_workload_flags(saved)
    saved.add_argument("--logs", metavar="URI", help="invocation logs; the file's when left out")
    saved.add_argument("--days", type=int, default=7, help="how far back to read (default: 7)")
    saved.set_defaults(word_run=_savings)
    held = words.add_parser("reconcile", help="hold a Cost and Usage Report against our records")
    add_workload_flags(held)
    held.add_argument(
        "--report",
        metavar="URI",
        help="its file or folder, a path or s3://; budget.cost_report when left out",
    )
    held.set_defaults(word_run=_reconcile)


def run(args: argparse.Namespace) -> int:
    """Run the word; `reconcile` ends with 1 when something is missing or unexplained."""
    return int(args.word_run(args, place_of(args)))


def _show(args: argparse.Namespace, place: Place) -> int:
    from airflow_distill.stages.money.prices import told_age
    from airflow_distill.stages.money.runs import iter_runs, statement_of
    from airflow_distill.stages.money.spend import Spend

    now = datetime.now(UTC)
    ids = [args.dataset] if args.dataset else list(iter_runs(place.store, place.root, place.name))
    region = place.gateways.bedrock.region
    found = {
        each: statement_of(place.store, place.root, place.name, each, place.table, now=now, region=region)
        for each in ids
    }
    month = Spend(place.store, place.root, place.name, f"{now:%Y%m}").book().usd
    if args.json:
        say_json(
            {
                "v": 1,
                "kind": "spend",
                "workload": place.name,
                "held_this_month_usd": float(month),
                "runs": {each: told.to_json() for each, told in found.items()},
            },
            indent=2,
        )
        return 0
    for each, told in found.items():
        say(*statement_lines(each, told), "")
    say(f"{len(found)} run{'' if len(found) == 1 else 's'}; {month:,.2f} USD held by runs of this month")
    models = [place.workload.teacher, place.workload.student] if place.workload else []
    for line in told_age(place.table, f"{now:%Y-%m-%d}", models):
        say(line)
    return 0


def statement_lines(dataset_id: str, told: Statement) -> list[str]:
    """Return a statement for people."""
    from airflow_distill.stages.money.statement import HOW

    out = [
        f"run of dataset {dataset_id}",
        f"  {'':18}{'estimated':>14}{'came to':>14}{'may come':>14}  how sure",
    ]
    for row in told.rows:
        came = _usd(row.actual_usd) if row.how not in ("none", "open") else "-"
        sure = f"no price for {', '.join(row.unpriced)}" if row.unpriced else HOW[row.how]
        out.append(f"  {row.stage:18}{_usd(row.estimate_usd):>14}{came:>14}{_usd(row.open_usd):>14}  {sure}")
    out.append(
        f"  {'sum (USD)':18}{_usd(told.estimate_usd):>14}{_usd(told.actual_usd):>14}{_usd(told.open_usd):>14}"
    )
    if told.unpriced:
        out.append(
            "  prices are missing: run `airflow-distill prices update`, or state them in the workload file"
        )
    return out


def _usd(usd: Decimal | None) -> str:
    return "unknown" if usd is None else f"{usd:,.4f}"


def _savings(args: argparse.Namespace, place: Place) -> int:
    saving = realised_of(args, place)
    if args.json:
        say_json({"v": 1, "kind": "savings", "workload": place.name, **saving.to_json()}, indent=2)
        return 0
    if saving.usd is None:
        say(f"Not known: {saving.why}.")
        return 0
    between = f", between {saving.low:,.2f} and {saving.high:,.2f}" if saving.low is not None else ""
    say(f"{saving.usd:,.2f} USD a month against {saving.against}{between} ({saving.why})")
    if saving.nothing_to_save:
        say("Not worth it: nothing to save at this traffic.")
    return 0


def realised_of(args: argparse.Namespace, place: Place) -> Saving:
    """Return what the live student saved over the logs' last days.

    :raises ConfigurationError: nothing is live, or no logs are named.
    """
    from airflow_distill.aws.gateways import store_for
    from airflow_distill.errors import ConfigurationError
    from airflow_distill.remote.hosts import base_of_arn
    from airflow_distill.stages.deployment.ledger import Ledger
    from airflow_distill.stages.money.savings import Host, realised

    live = Ledger(place.store, place.root, place.name).sound().live()
    workload = place.workload
    if live is None or workload is None:
        raise ConfigurationError(
            "spend: a saving is told of a live student and its workload file.",
            hint="Give the workload's file, and promote a student first.",
        )
    logs = args.logs or (workload.logs.location if workload.logs else None)
    if not logs:
        raise ConfigurationError("spend: no invocation logs are named.", hint="Give --logs.")
    end = datetime.now(UTC)
    start = end - timedelta(days=args.days)
    moments, days = _calls(store_for(place.gateways, logs), logs, live.host_arn, start, end)
    spec = live.target.host
    base = base_of_arn(live.target.model_arn)
    host = Host(live.host_kind, base, spec.units or 1, spec.hourly_price, spec.commitment)
    return realised(
        place.table,
        moments,
        days,
        teacher=workload.teacher,
        student=base,
        host=host,
        region=place.gateways.bedrock.region,
    )


def _calls(store: ObjectStore, logs: str, host_arn: str, start: datetime, end: datetime) -> tuple[Any, float]:
    """Return what calls of a host used, and over how many days."""
    from airflow_distill.stages.logs.selection import Window
    from airflow_distill.stages.logs.source import iter_log_objects
    from airflow_distill.stages.money.savings import CallMoments
    from airflow_distill.workload.traffic import CallReader

    reader, first = CallReader(), ""
    used = []
    for item in iter_log_objects(store, logs, Window.parse(start, end)):
        with contextlib.closing(store.open(item.uri)) as stream:
            for call in reader.iter_calls(stream):
                ours = call.kind.model_id == host_arn and not dict(call.kind.metadata).get("airflow-distill")
                if ours and call.timestamp:
                    first = min(first or call.timestamp, call.timestamp)
                    used.append(call.tokens)
    span = (end - datetime.fromisoformat(first)).total_seconds() / 86_400 if first else 0.0
    return CallMoments.of(used), max(span, 1 / 24) if used else 0.0


def _reconcile(args: argparse.Namespace, place: Place) -> int:
    from airflow_distill.aws.cost_report import iter_bill
    from airflow_distill.aws.gateways import store_for
    from airflow_distill.errors import ConfigurationError
    from airflow_distill.remote.ownership import Owner
    from airflow_distill.stages.money.reconcile import match, of_workload

    report = args.report or (place.workload.budget.cost_report if place.workload else None)
    if not report:
        raise ConfigurationError(
            "spend: no report is named.", hint="Give --report, or budget.cost_report in the workload file."
        )
    known = list(known_of(place))
    tags = Owner(place.name, place.root).tags
    bill = iter_bill(store_for(place.gateways, report), report)
    root = next((value for key, value in tags.items() if key.endswith(":root")), "")
    lines = of_workload(bill, place.name, root, [each.resource for each in known])
    found = match(lines, known)
    if args.json:
        say_json(
            {
                "v": 1,
                "kind": "reconciled",
                "workload": place.name,
                "found": [each.to_json() for each in found],
            },
            indent=2,
        )
    else:
        say(*reconcile_lines(found))
    return 1 if any(each.status != "matched" for each in found) else 0


LATE, MONTH = timedelta(days=2), timedelta(hours=730)
"""How late a line may come; how long a month is, in which storage is priced."""


def known_of(place: Place) -> Iterator[Known]:
    """Yield what our records know by a resource's ARN: jobs, batch jobs, hosts, kept models, and the account's own list.

    Calls to base models carry no tag and no resource of ours, so no line of a bill can be told to be one of them.
    """
    from airflow_distill.aws.account import iter_hosts, iter_models
    from airflow_distill.remote.ownership import Owner
    from airflow_distill.stages.deployment.times import moment_of
    from airflow_distill.stages.money.reconcile import Known
    from airflow_distill.stages.money.records import decimal
    from airflow_distill.stages.money.runs import iter_runs
    from airflow_distill.stages.money.usage import RunUsage, actual

    region = place.gateways.bedrock.region
    seen = set()
    for dataset_id in iter_runs(place.store, place.root, place.name):
        for record in RunUsage(place.store, place.root, place.name, dataset_id).read():
            if record.key.startswith("arn:"):
                seen.add(record.key)
                usd = actual(place.table, [record], region).total_usd
                yield Known(record.key, f"{record.stage}: {record.what}", usd)
    owner, bedrock = Owner(place.name, place.root), place.gateways.bedrock
    for host in iter_hosts(bedrock, place.name):
        if host.arn not in seen and owner.claim(host.tags) != "foreign":
            yield Known(host.arn, f"{host.kind}: {host.name}", None)
    for model in iter_models(bedrock):
        if owner.claim(model.tags) == "ours":
            month = place.table.price("model-storage", model.base_model, region)
            kept = datetime.now(UTC) - (moment_of(model.created_at) or datetime.now(UTC)) - LATE
            due = None if month is None else month * decimal(max(0.0, kept / MONTH))
            yield Known(model.arn, f"kept model: {model.name}", None, due)


def reconcile_lines(found: list[Match]) -> list[str]:
    """Return the comparison for people."""
    out = []
    for each in found:
        billed = "no line" if each.billed_usd is None else f"{each.billed_usd:,.2f} USD billed"
        recorded = "" if each.recorded_usd is None else f", {each.recorded_usd:,.2f} USD recorded"
        out.append(f"{each.status:12} {each.resource or '(no resource)'}")
        out.append(f"             {each.what}: {billed}{recorded}; {each.why}")
    counts = {word: sum(m.status == word for m in found) for word in ("matched", "missing", "unexplained")}
    out.append(", ".join(f"{count} {word}" for word, count in counts.items()))
    return out
