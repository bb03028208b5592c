"""`airflow-distill prices`: print the price table in force, and what differs between two.

    airflow-distill prices show --prices my-prices.json --model amazon.nova-micro-v1:0
    airflow-distill prices diff my-prices.json s3://acme-distill/prices.json

A user's table lies over the packaged one; `show --json` prints a table of the form that `budget.prices` takes.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_distill.cli.account import add_connection_flags, connect
from airflow_distill.cli.terminal import say, say_json

if TYPE_CHECKING:
    from airflow_distill.aws.gateways import AwsGateways


def register(parser: argparse.ArgumentParser) -> None:
    """Add the words and their arguments."""
    words = parser.add_subparsers(dest="word", metavar="WORD", required=True)
    show = words.add_parser("show", help="print the table in force")
    show.add_argument(
        "--prices", metavar="URI", help="your table, a path or s3://; overrides the packaged one"
    )
    show.add_argument("--model", metavar="ID", help="only this model's prices")
    show.add_argument("--json", action="store_true", help="print a table that `budget.prices` takes")
    add_connection_flags(show)
    show.set_defaults(word_run=_show)
    diff = words.add_parser("diff", help="print what differs between two tables")
    diff.add_argument("before", metavar="URI", help="a path, s3://, or `packaged`")
    diff.add_argument("after", metavar="URI")
    diff.add_argument("--json", action="store_true", help="print one JSON object per difference")
    add_connection_flags(diff)
    diff.set_defaults(word_run=_diff)


def run(args: argparse.Namespace) -> int:
    """Run the word; `diff` ends with 1 when the tables differ."""
    return int(args.word_run(args))


def _show(args: argparse.Namespace) -> int:
    from airflow_distill.aws.prices import read_prices
    from airflow_distill.stages.jobs.models import base_model_id
    from airflow_distill.stages.money.prices import MOST_DAYS, PriceTable

    table = read_prices(_asked(args, args.prices), args.prices)
    if args.model:
        wanted = base_model_id(args.model)
        table = PriceTable(tuple(row for row in table.rows if row.model in (wanted, "*")))
    if args.json:
        say_json(table.to_json(), indent=1)
        return 0
    old = table.aged(f"{datetime.now(UTC):%Y-%m-%d}", [row.model for row in table.rows])
    for row in table.rows:
        where = row.region or "all Regions"
        age = f"  older than {MOST_DAYS} days" if row in old else ""
        say(
            f"{row.item:32} {row.model:40} {row.usd.normalize():f} USD per {row.unit}, {where}, {row.date}{age}"
        )
    say(f"{len(table.rows)} prices; what is not listed is unknown. Source and trust of each: --json")
    return 0


def _diff(args: argparse.Namespace) -> int:
    from airflow_distill.aws.prices import read_prices
    from airflow_distill.stages.money.prices import Change, compare

    before, after = (
        read_prices(_asked(args, uri), None if uri == "packaged" else uri)
        for uri in (args.before, args.after)
    )
    changes: list[Change] = compare(before, after)
    for change in changes:
        if args.json:
            say_json(change.to_json())
        else:
            was, now = (
                "unknown" if usd is None else f"{usd.normalize():f} USD"
                for usd in (change.before, change.after)
            )
            say(
                f"{change.item} of {change.model}{f' in {change.region}' if change.region else ''}: {was} -> {now}"
            )
    if not args.json:
        say(f"{len(changes)} price{'' if len(changes) == 1 else 's'} differ")
    return 1 if changes else 0


def _asked(args: argparse.Namespace, uri: str | None) -> AwsGateways | None:
    """Return gateways for a table in S3; None for any other, which needs no connection."""
    return connect(args) if uri and uri.startswith("s3://") else None
