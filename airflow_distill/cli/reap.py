"""`airflow-distill reap`: what still bills under our tags although nobody needs it; removes it with --yes.

Compares the account with pointers and ledgers. Only resources that carry our tags are looked at; a dry run by default.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from airflow_distill.cli.account import add_account_flags, open_account
from airflow_distill.cli.terminal import say, say_json, say_text


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_account_flags(parser, workload=False)
    parser.add_argument(
        "--yes", action="store_true", help="delete what may go; without this flag it is only listed"
    )
    parser.add_argument(
        "--run", metavar="RUN", help="only resources of this run: `dag_id/run_id`, or a run_id alone"
    )
    parser.add_argument(
        "--now",
        action="store_true",
        help="ignore end dates and grace periods; delete everything that is not in use",
    )
    parser.add_argument(
        "--grace-hours",
        type=float,
        default=24.0,
        metavar="H",
        help="grace period of hosts without an end date, in hours (24)",
    )
    parser.add_argument(
        "--model-grace-days",
        type=float,
        default=14.0,
        metavar="D",
        help="grace period of models never released, in days (14)",
    )
    parser.add_argument(
        "--keep-releases", type=int, default=1, metavar="N", help="older releases that keep their model (1)"
    )
    parser.add_argument(
        "--artefacts", action="store_true", help="also delete the job output of deleted models"
    )
    parser.add_argument("--prices", metavar="URI", help="price table that overrides the packaged one")


def run(args: argparse.Namespace) -> int:
    """List or remove; 1 when something may be removed and was not."""
    from airflow_distill.aws.prices import read_prices
    from airflow_distill.aws.reap import remove_finds, survey_account
    from airflow_distill.stages.deployment.reap import ReapRules, render_finds

    gateways, store = open_account(args)
    table = read_prices(gateways, args.prices)
    finds = survey_account(
        gateways,
        store,
        args.root,
        now=datetime.now(UTC),
        rules=ReapRules(
            grace_hours=args.grace_hours,
            model_grace_days=args.model_grace_days,
            keep_releases=args.keep_releases,
            ignore_expiry=args.now,
            run=args.run,
        ),
        price_of=lambda item, base: table.rate(item, base, gateways.bedrock.region),
        workload=args.workload,
    )
    removable = [find for find in finds if find.action == "remove"]
    if not args.yes:
        if args.json:
            say_json([find.to_json() for find in finds])
        else:
            say_text(render_finds(finds))
        if removable and not args.json:
            say("Nothing was removed; add --yes to delete the items marked `remove`.")
        return 1 if removable else 0
    done = remove_finds(
        gateways,
        store,
        args.root,
        finds,
        artefacts=args.artefacts,
        progress=lambda line: say(line, err=True),
    )
    if args.json:
        rows = [{**r.find.to_json(), "removed": r.removed, "kept_because": r.why} for r in done]
        say_json(rows)
    else:
        say(f"Removed {sum(r.removed for r in done)} of {len(finds)} left over.")
    return 0 if all(r.removed for r in done) else 1
