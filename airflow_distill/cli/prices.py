"""`airflow-distill prices`: print the price table in use, fetch list prices, compare two tables.

    airflow-distill prices show --prices my-prices.json --model amazon.nova-micro-v1:0
    airflow-distill prices update my-prices.json --region us-east-1
    airflow-distill prices diff my-prices.json s3://acme-distill/prices.json

A user's table lies over the packaged one; `show --json` prints a table of the form that `budget.prices` takes.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_distill.cli.account import add_connection_flags, connect
from airflow_distill.cli.terminal import say, say_json

if TYPE_CHECKING:
    from airflow_distill.aws.gateways import AwsGateways
    from airflow_distill.stages.money.prices import Change


def register(parser: argparse.ArgumentParser) -> None:
    """Add the words and their arguments."""
    words = parser.add_subparsers(dest="word", metavar="WORD", required=True)
    show = words.add_parser("show", help="print the table in use")
    show.add_argument(
        "--prices", metavar="URI", help="your table, a path or s3://; overrides the packaged one"
    )
    show.add_argument("--model", metavar="ID", help="only this model's prices")
    show.add_argument("--json", action="store_true", help="print a table that `budget.prices` takes")
    add_connection_flags(show)
    show.set_defaults(word_run=_show)
    update = words.add_parser(
        "update", help="fetch Bedrock's list prices into a table of yours, and print what changed"
    )
    update.add_argument("table", metavar="URI", help="your table, a path or s3://; made when it is not there")
    add_connection_flags(update)
    update.add_argument("--dry-run", action="store_true", help="print what would change; write nothing")
    update.add_argument("--json", action="store_true", help="print one JSON object per difference")
    update.set_defaults(word_run=_update)
    diff = words.add_parser("diff", help="print the differences between two tables")
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


def _update(args: argparse.Namespace) -> int:
    from airflow_distill.aws.gateways import store_for
    from airflow_distill.aws.prices import read_table
    from airflow_distill.errors import ServiceNotFoundError
    from airflow_distill.stages.model_table import in_force
    from airflow_distill.stages.money.price_list import read_products
    from airflow_distill.stages.money.prices import PriceTable, compare, renewed

    gateways = connect(args)
    region = args.region or gateways.bedrock.region
    found = read_products(gateways.price_list.iter_products(region), [each.id for each in in_force().models])
    if not found.rows:
        raise ServiceNotFoundError(
            f"prices: the Price List names no price of our models in {region}.",
            operation="GetProducts",
            hint="Check --region; prices of your own can be written into the table by hand.",
        )
    store, uri = store_for(gateways, args.table), args.table
    if not uri.startswith("s3://"):
        uri = str(Path(uri).expanduser())
    before = PriceTable.from_json(read_table(store, uri)) if store.exists(uri) else PriceTable(())
    after = renewed(before, found.table())
    changes = compare(before, after)
    _say_changes(changes, args.json)
    if not args.dry_run:
        store.write(uri, (json.dumps(after.to_json(), indent=1) + "\n").encode())
    if not args.json:
        aside = ", ".join(f"{count} {reason}" for reason, count in found.left.most_common())
        done = "would be written to" if args.dry_run else "written to"
        say(
            f"{len(after.rows)} prices {done} {args.table}; {len(found.rows)} of {region} from the Price List"
        )
        if aside:
            say(f"products left aside: {aside}")
        say("Name it under budget.prices in the workload file.")
    return 0


def _say_changes(changes: list[Change], as_json: bool) -> None:
    for change in changes:
        if as_json:
            say_json(change.to_json())
            continue
        was, now = (
            "unknown" if usd is None else f"{usd.normalize():f} USD" for usd in (change.before, change.after)
        )
        where = f" in {change.region}" if change.region else ""
        say(f"{change.item} of {change.model}{where}: {was} -> {now}")
    if not as_json:
        say(f"{len(changes)} price{'' if len(changes) == 1 else 's'} differ")


def _diff(args: argparse.Namespace) -> int:
    from airflow_distill.aws.prices import read_prices
    from airflow_distill.stages.money.prices import compare

    before, after = (
        read_prices(_asked(args, uri), None if uri == "packaged" else uri)
        for uri in (args.before, args.after)
    )
    changes = compare(before, after)
    _say_changes(changes, args.json)
    return 1 if changes else 0


def _asked(args: argparse.Namespace, uri: str | None) -> AwsGateways | None:
    """Return gateways for a table in S3; None for any other, which needs no connection."""
    return connect(args) if uri and uri.startswith("s3://") else None
