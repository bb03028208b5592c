"""`airflow-distill release`: the ledger of a workload, and the way back. Needs no Airflow.

list      every release: what it was, how it ended, what is live
show      one release with its evidence, checks and digests
rollback  bring an older release back by the same code as a promotion; prints the plan unless --yes
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_distill.cli.account import add_account_flags, open_account, person

if TYPE_CHECKING:
    from airflow_distill.aws.execute import Execution
    from airflow_distill.stages.deployment.ledger import Entry
    from airflow_distill.stages.deployment.records import Outcome


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands."""
    commands = parser.add_subparsers(dest="release_command", metavar="COMMAND", required=True)
    listing = commands.add_parser("list", help="every release of a workload")
    add_account_flags(listing)
    listing.set_defaults(work=list_releases)
    showing = commands.add_parser("show", help="one release with evidence, checks and digests")
    showing.add_argument("number", type=int, metavar="N", help="the release's number")
    add_account_flags(showing)
    showing.set_defaults(work=show_release)
    back = commands.add_parser("rollback", help="bring an older release back")
    add_account_flags(back)
    back.add_argument(
        "--to", type=int, metavar="N", help="release to bring back; the one before when left out"
    )
    back.add_argument("--why", default="", metavar="TEXT", help="one sentence for the ledger")
    back.add_argument("--yes", action="store_true", help="do it; without this the plan is printed only")
    back.add_argument(
        "--units", metavar="N", help="model units, if a new provisioned throughput must be bought"
    )
    back.add_argument("--hourly-price", metavar="USD", help="price of one model unit an hour, in that case")
    back.add_argument("--ends-at", metavar="TIME", help="its end date, in that case")
    back.add_argument(
        "--wait-hours", type=float, default=3.0, metavar="H", help="how long a host may take (3)"
    )
    back.add_argument("--poll-seconds", type=float, default=15.0, metavar="S", help="between looks (15)")
    back.set_defaults(work=roll_back)


def run(args: argparse.Namespace) -> int:
    """Run the chosen subcommand."""
    return int(args.work(args))


def list_releases(args: argparse.Namespace) -> int:
    """Print every release, oldest first; the live one is marked."""
    from airflow_distill.stages.deployment.ledger import Ledger

    _, store = open_account(args)
    history = Ledger(store, args.root, args.workload).read()
    live = history.live()
    number = live.release if live else None
    if args.json:
        print(
            json.dumps(
                {"workload": args.workload, "live": number, "releases": [_row(e) for e in history.entries]}
            )
        )
        return 0
    if not history.entries:
        print(f"{args.workload} has no releases under {args.root}.")
        return 0
    print(f"{'':2}{'release':>7}  {'action':9}{'outcome':12}{'at':22}{'model':14}why")
    for entry in history.entries:
        row = _row(entry)
        mark = "* " if row["release"] == number else "  "
        name = str(row["model_arn"]).rsplit("/", 1)[-1]
        why = "; ".join(row["why"][:1])[:70]
        print(f"{mark}{row['release']:>7}  {row['action']:9}{row['outcome']:12}{row['at']:22}{name:14}{why}")
    return 0


def _row(entry: Entry) -> dict[str, Any]:
    release, outcome = entry.release, entry.outcome
    return {
        "release": release.release,
        "action": release.action,
        "outcome": outcome.outcome if outcome else "open",
        "at": outcome.at if outcome else release.claimed_at,
        "model_arn": release.target.model_arn,
        "host_arn": outcome.host_arn if outcome else "",
        "restores": release.restores,
        "run": release.run,
        "why": list(outcome.why if outcome and outcome.why else release.why),
    }


def show_release(args: argparse.Namespace) -> int:
    """Print one ledger entry and its outcome, with their digests."""
    from airflow_distill.errors import DeploymentError
    from airflow_distill.stages.deployment.ledger import Ledger

    _, store = open_account(args)
    ledger = Ledger(store, args.root, args.workload)
    entry = ledger.read().entry(args.number)
    if entry is None:
        raise DeploymentError(
            f"deployment: {args.workload} has no release {args.number}.",
            hint="`airflow-distill release list` shows what there is.",
        )
    body = {
        "uri": ledger.uri(args.number),
        "sha256": entry.sha256,
        "entry": entry.release.to_json(),
        "outcome": entry.outcome.to_json() if entry.outcome else None,
        "against": ledger.noted(args.number, "against"),
    }
    print(json.dumps(body, indent=None if args.json else 1))
    return 0


def roll_back(args: argparse.Namespace) -> int:
    """Bring an older release back; 1 when it could not take hold and the present one stays."""
    from airflow_distill.aws.execute import Execution
    from airflow_distill.aws.promotion import heldout_reader, prepare, rollback_intent
    from airflow_distill.stages.deployment.ledger import Ledger
    from airflow_distill.stages.deployment.plan import render
    from airflow_distill.stages.deployment.settings import host_wish

    gateways, store = open_account(args)
    ledger = Ledger(store, args.root, args.workload)
    wish = None
    if args.units or args.hourly_price or args.ends_at:
        wish = host_wish(units=args.units, hourly_price=args.hourly_price, ends_at=args.ends_at)
    intent = rollback_intent(
        ledger.read(),
        root=args.root,
        workload=args.workload,
        run=f"cli/{person()}",
        owner=person(),
        to=args.to,
        why=args.why,
        wish=wish,
    )
    prepared = prepare(gateways, store, intent, now=_now(), dry_run=not args.yes)
    entry = prepared.entry
    if entry is None or not args.yes:
        print(
            json.dumps(prepared.plan.to_json()) if args.json else render(prepared.plan),
            end="\n" if args.json else "",
        )
        if not args.json:
            print("Nothing was changed; add --yes to do it.")
        return 0
    execution = Execution(
        gateways=gateways,
        ledger=ledger,
        entry=entry,
        plan=prepared.plan,
        examples=heldout_reader(store, entry.release.evidence),
        clock=_now,
        sleep=time.sleep,
        progress=lambda line: print(line, file=sys.stderr),
    )
    outcome = _to_the_end(execution, args.wait_hours, args.poll_seconds)
    print(json.dumps(outcome.to_json()) if args.json else f"release {outcome.release}: {outcome.outcome}")
    return 0 if outcome.outcome == "released" else 1


def _to_the_end(execution: Execution, wait_hours: float, poll_seconds: float) -> Outcome:
    """Advance until the release has ended; the next call goes on where this one was interrupted."""
    from airflow_distill.aws.execute import Pausing, Waiting
    from airflow_distill.errors import JobTimeoutError

    deadline = _now() + timedelta(hours=wait_hours)
    while True:
        reached = execution.advance()
        if isinstance(reached, Waiting):
            if _now() >= deadline:
                raise JobTimeoutError(
                    f"deployment: {reached.host_arn} has not settled after {wait_hours:g} h.",
                    hint="The same command goes on waiting; the release stays open until its lease ends.",
                )
            time.sleep(poll_seconds)
        elif isinstance(reached, Pausing):
            time.sleep(max(0.0, (reached.until - _now()).total_seconds()))
        else:
            return reached


def _now() -> datetime:
    return datetime.now(UTC)
