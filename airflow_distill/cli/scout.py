"""`airflow-distill scout`: read invocation logs and rank what could be distilled first. Shows no text of prompts."""

from __future__ import annotations

import argparse
import contextlib
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_distill.cli.account import add_connection_flags, connect
from airflow_distill.cli.terminal import say, say_json

if TYPE_CHECKING:
    from airflow_distill.stages.storage import ObjectStore
    from airflow_distill.workload.scout import Candidate, Survey


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--logs", metavar="URI", required=True, help="invocation logs, s3://... or a folder")
    parser.add_argument("--days", type=int, default=7, help="how far back to read (default: 7)")
    parser.add_argument("--all", action="store_true", help="read all logs, ignoring --days")
    parser.add_argument("--top", type=int, default=15, metavar="N", help="how many to show (default: 15)")
    parser.add_argument("--prices", metavar="URI", help="price table that overrides the packaged one")
    add_connection_flags(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Read, group, rank, print; exit status 1 when nothing fits."""
    from airflow_distill.aws.prices import read_prices
    from airflow_distill.errors import ConfigurationError
    from airflow_distill.stages.money.prices import told_age

    prices = read_prices(None, args.prices)
    survey = look(args)
    found = survey.candidates(prices)
    if not found:
        raise ConfigurationError(
            f"scout: there are no calls under {args.logs}.",
            hint="Check the place, --days, and that logging is on.",
        )
    shown = found[: args.top]
    if args.json:
        say_json({"days": round(survey.days, 2), "candidates": [c.to_json() for c in shown]}, indent=2)
    else:
        say(*table(shown, survey.days))
        for line in told_age(prices, f"{datetime.now(UTC):%Y-%m-%d}", [each.model for each in shown]):
            say(line)
    return 0 if any(c.fits for c in found) else 1


def look(args: argparse.Namespace) -> Survey:
    """Read the log objects of the window."""
    from airflow_distill.stages.logs.selection import Window
    from airflow_distill.stages.logs.source import iter_log_objects
    from airflow_distill.stages.storage import LocalStore
    from airflow_distill.workload.scout import Survey
    from airflow_distill.workload.traffic import CallReader

    store: ObjectStore = LocalStore()
    if args.logs.startswith("s3://"):
        store = connect(args).objects
    now = datetime.now(UTC)
    window = None if args.all else Window.parse(now - timedelta(days=args.days), now)
    survey, reader = Survey(), CallReader()
    for number, item in enumerate(iter_log_objects(store, args.logs, window), 1):
        with contextlib.closing(store.open(item.uri)) as stream:
            survey.add(reader.iter_calls(stream))
        if number % 200 == 0 and sys.stderr.isatty():
            say(f"{number} log objects", err=True, end="\r")
    return survey


def table(candidates: list[Candidate], days: float) -> list[str]:
    """Return the ranking for people."""
    lines = [
        f"{days:.1f} days of calls; USD a month is what the teacher costs at this pace, cached input as such",
        "",
    ]
    for number, each in enumerate(candidates, 1):
        tags = " ".join(f"{key}={value}" for key, value in each.metadata)
        usd = _usd(each.monthly_usd)
        mark = "fits" if each.fits else "does not fit"
        lines.append(f"{number:>3}. {tags or each.system_digest or '(no metadata)'}  {each.model}")
        lines.append(
            f"     {mark}; {usd} USD a month; {each.calls:,} calls, {each.usable:,} usable, "
            f"{each.distinct_prompts:,} distinct prompts, {each.distinct_answers:,} distinct answers"
        )
        lines.append(
            f"     could be distilled: {each.learnable_share:.0%} of the calls (text only, no tool called, within 16 KB), "
            f"{_usd(each.learnable_usd)} USD a month of them"
        )
        if each.tokens.cache_read or each.tokens.cache_write:
            lines.append(
                f"     input: {each.tokens.input:,} tokens fresh, {each.tokens.cache_read:,} read from a cache, "
                f"{each.tokens.cache_write:,} written to one"
            )
        if each.unpriced:
            lines.append(
                f"     no price for {', '.join(each.unpriced)}: `airflow-distill prices update`, or --prices"
            )
        if each.students:
            lines.append(f"     students: {', '.join(each.students)}")
        lines += [f"     - {note}" for note in each.notes]
    return lines


def _usd(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:,.2f}"
