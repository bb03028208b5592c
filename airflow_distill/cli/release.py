"""`airflow-distill release`: the ledger of a workload, and the way back. Needs no Airflow.

list      every release: what it was, how it ended, what is live
show      one release with its evidence, checks and digests
rollback  roll back to an older release by the same code as a promotion; prints the plan unless --yes
resume    finish an open release whose run has ended, or roll it back
drift     compare ledger, pointer and live host
repair    set pointer and live host to what the ledger says
"""

from __future__ import annotations

import argparse
import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_distill.cli.account import add_account_flags, open_account, person
from airflow_distill.cli.terminal import say, say_json, say_text

if TYPE_CHECKING:
    from airflow_distill.aws.execute import Execution
    from airflow_distill.aws.gateways import AwsGateways
    from airflow_distill.aws.promotion import Prepared
    from airflow_distill.stages.deployment.ledger import Entry, Ledger
    from airflow_distill.stages.deployment.records import DeploymentPlan, Outcome
    from airflow_distill.stages.storage import ObjectStore


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
    back = commands.add_parser("rollback", help="roll back to an older release")
    add_account_flags(back)
    back.add_argument(
        "--to", type=int, metavar="N", help="release to roll back to (default: the previous one)"
    )
    back.add_argument("--why", default="", metavar="TEXT", help="reason, one sentence, kept in the ledger")
    back.add_argument(
        "--yes", action="store_true", help="perform the plan; without this flag it is only printed"
    )
    back.add_argument("--units", metavar="N", help="model units, if a provisioned throughput must be bought")
    back.add_argument("--hourly-price", metavar="USD", help="USD an hour for one model unit, in that case")
    back.add_argument("--ends-at", metavar="TIME", help="its end date, in that case")
    _waits(back)
    back.set_defaults(work=roll_back)
    going_on = commands.add_parser(
        "resume", help="finish an open release whose run has ended, or roll it back"
    )
    add_account_flags(going_on)
    going_on.add_argument("--back", action="store_true", help="roll back instead of finishing")
    going_on.add_argument(
        "--yes", action="store_true", help="perform the plan; without this flag it is only printed"
    )
    _waits(going_on)
    going_on.set_defaults(work=resume)
    differing = commands.add_parser("drift", help="compare ledger, pointer and live host")
    add_account_flags(differing)
    differing.set_defaults(work=show_drift)
    mending = commands.add_parser("repair", help="set pointer and live host to what the ledger says")
    add_account_flags(mending)
    mending.add_argument(
        "--nothing-live",
        action="store_true",
        help="record that nothing is live, so that the loop starts from the beginning",
    )
    mending.add_argument("--why", default="", metavar="TEXT", help="reason, one sentence, kept in the ledger")
    mending.add_argument(
        "--yes", action="store_true", help="repair; without this flag the findings are only printed"
    )
    _waits(mending)
    mending.set_defaults(work=repair)


def _waits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait-hours", type=float, default=3.0, metavar="H", help="hours a host may take to become ready (3)"
    )
    parser.add_argument(
        "--poll-seconds", type=float, default=15.0, metavar="S", help="seconds between status checks (15)"
    )


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
        say_json({"workload": args.workload, "live": number, "releases": [_row(e) for e in history.entries]})
        return 0
    if not history.entries:
        say(f"{args.workload} has no releases under {args.root}.")
        return 0
    say(f"{'':2}{'release':>7}  {'action':9}{'outcome':12}{'at':22}{'model':14}why")
    for entry in history.entries:
        row = _row(entry)
        mark = "* " if row["release"] == number else "  "
        name = str(row["model_arn"]).rsplit("/", 1)[-1]
        why = "; ".join(row["why"][:1])[:70]
        say(f"{mark}{row['release']:>7}  {row['action']:9}{row['outcome']:12}{row['at']:22}{name:14}{why}")
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
            hint="`airflow-distill release list` shows all releases.",
        )
    body = {
        "uri": ledger.uri(args.number),
        "sha256": entry.sha256,
        "entry": entry.release.to_json(),
        "outcome": entry.outcome.to_json() if entry.outcome else None,
        "against": ledger.noted(args.number, "against", entry.release.nonce),
    }
    say_json(body, indent=None if args.json else 1)
    return 0


def roll_back(args: argparse.Namespace) -> int:
    """Bring an older release back; 1 when it could not take hold and the present one stays.

    A promotion that another run is in the middle of is taken over and rolled back; without `--to` that is all.
    """
    from airflow_distill.aws.promotion import prepare, rollback_intent, unfinished
    from airflow_distill.stages.deployment.settings import host_wish

    gateways, store = open_account(args)
    opened = unfinished(gateways, store, args.root, args.workload)
    if opened is not None and opened.entry is not None and opened.entry.release.action == "promote":
        if not args.yes:
            return _plan_only(args, opened.plan, "way back")
        outcome = _carry_out(args, gateways, opened, against=args.why or f"{person()} asked to go back")
        if args.to is None:
            return _tell(args, outcome, 0 if outcome.outcome == "rolled_back" else 1)
    wish = None
    if args.units or args.hourly_price or args.ends_at:
        wish = host_wish(units=args.units, hourly_price=args.hourly_price, ends_at=args.ends_at)
    intent = rollback_intent(
        _ledger(args, store).sound(),
        root=args.root,
        workload=args.workload,
        run=f"cli/{person()}",
        owner=person(),
        to=args.to,
        why=args.why,
        wish=wish,
    )
    prepared = prepare(gateways, store, intent, now=_now(), dry_run=not args.yes)
    if prepared.entry is None or not args.yes:
        return _plan_only(args, prepared.plan)
    outcome = _carry_out(args, gateways, prepared)
    return _tell(args, outcome, 0 if outcome.outcome == "released" else 1)


def resume(args: argparse.Namespace) -> int:
    """Finish a release that its run left open, or roll it back; 0 when it has ended as asked."""
    from airflow_distill.aws.promotion import look_for_drift, unfinished
    from airflow_distill.stages.deployment.drift import told

    gateways, store = open_account(args)
    opened = unfinished(gateways, store, args.root, args.workload)
    if opened is None or opened.entry is None:
        say("null" if args.json else f"{args.workload}: no release is open.")
        return 0
    release = opened.entry.release
    standing, _ = look_for_drift(gateways, store, args.root, args.workload, _now())
    if not args.json:
        who = f"held by {standing.held_by}" if standing.held_by else "nobody works on it"
        say(
            f"release {release.release} ({release.action}, run {release.run}) is open, {who}: {told(standing)}."
        )
    back = args.back or _ledger(args, store).noted(release.release, "against", release.nonce) is not None
    if not args.yes:
        return _plan_only(args, opened.plan, "way back" if back else "")
    outcome = _carry_out(args, gateways, opened, against=f"{person()} asked to go back" if args.back else "")
    wanted = "rolled_back" if back else "released"
    return _tell(args, outcome, 0 if outcome.outcome == wanted else 1)


def show_drift(args: argparse.Namespace) -> int:
    """Compare ledger, pointer and host; 1 when they differ."""
    from airflow_distill.aws.promotion import look_for_drift
    from airflow_distill.stages.deployment.drift import render_drift

    gateways, store = open_account(args)
    _, found = look_for_drift(gateways, store, args.root, args.workload, _now())
    if args.json:
        say_json([each.to_json() for each in found])
    else:
        say_text(render_drift(args.workload, found))
    return 1 if found else 0


def repair(args: argparse.Namespace) -> int:
    """Make pointer and host what the ledger says; 1 when something is left to mend."""
    from airflow_distill.aws.promotion import look_for_drift
    from airflow_distill.aws.repair import mend, withdraw

    gateways, store = open_account(args)
    _, found = look_for_drift(gateways, store, args.root, args.workload, _now())
    if args.nothing_live:
        if args.yes:
            withdraw(gateways, store, args.root, args.workload, person(), args.why, _now())
            say(f"{args.workload}: nothing is live now; the next promotion is a first release.")
        else:
            say(
                f"{args.workload}: the ledger would say that nothing is live. Nothing was changed; add --yes to do it."
            )
        return 0
    if not found:
        return show_drift(args)
    for each in found:
        say(each)
    if not args.yes:
        say("Nothing was changed; add --yes to do it.")
        return 1
    again = mend(gateways, store, args.root, args.workload, found, person(), _now())
    if again is not None:
        prepared, why = again
        say(why)
        _tell(args, _carry_out(args, gateways, prepared), 0)
    return show_drift(args)


def _ledger(args: argparse.Namespace, store: ObjectStore) -> Ledger:
    from airflow_distill.stages.deployment.ledger import Ledger

    return Ledger(store, args.root, args.workload)


def _plan_only(args: argparse.Namespace, plan: DeploymentPlan, part: str = "") -> int:
    from airflow_distill.stages.deployment.plan import render

    if args.json:
        say_json(plan.to_json())
        return 0
    say_text(render(plan))
    say(f"Nothing was changed; add --yes to do it{f' (the {part} above)' if part else ''}.")
    return 0


def _tell(args: argparse.Namespace, outcome: Outcome, status: int) -> int:
    why = f": {'; '.join(outcome.why)}" if outcome.why and outcome.outcome != "released" else ""
    if args.json:
        say_json(outcome.to_json())
    else:
        say(f"release {outcome.release}: {outcome.outcome}{why}")
    return status


def _carry_out(
    args: argparse.Namespace, gateways: AwsGateways, prepared: Prepared, *, against: str = ""
) -> Outcome:
    """Take a release over and advance it to its end."""
    from airflow_distill.aws.execute import Execution
    from airflow_distill.aws.gateways import store_for
    from airflow_distill.aws.promotion import heldout_reader

    store = store_for(gateways, args.root)
    entry = prepared.entry
    assert entry is not None
    execution = Execution(
        gateways=gateways,
        ledger=_ledger(args, store),
        entry=entry,
        plan=prepared.plan,
        examples=heldout_reader(store, entry.release.evidence),
        clock=_now,
        sleep=time.sleep,
        progress=lambda line: say(line, err=True),
        run=f"cli/{person()}",
        holder=f"cli/{person()} {os.getpid()}",
        force=True,
    )
    try:
        if against:
            execution.turn_back((against,), "person")
        return _to_the_end(execution, args.wait_hours, args.poll_seconds)
    except BaseException:
        execution.give_back()
        raise


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
                    hint="The release is open; the same command, any later run or `release resume` goes on.",
                )
            time.sleep(poll_seconds)
        elif isinstance(reached, Pausing):
            # in short pieces, so that the hold on the release is renewed meanwhile
            time.sleep(min(60.0, max(0.0, (reached.until - _now()).total_seconds())))
        else:
            return reached


def _now() -> datetime:
    return datetime.now(UTC)
