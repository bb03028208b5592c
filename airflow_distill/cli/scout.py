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
    parser.add_argument("--all", action="store_true", help="read everything, whatever its age")
    parser.add_argument("--top", type=int, default=15, metavar="N", help="how many to show (default: 15)")
    add_connection_flags(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Read, group, rank, print; exit status 1 when nothing fits."""
    from airflow_distill.errors import ConfigurationError
    from airflow_distill.stages.money.prices import PriceTable

    survey = look(args)
    found = survey.candidates(PriceTable.load())
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
    lines = [f"{days:.1f} days of calls; USD a month is what the teacher costs at this pace", ""]
    for number, each in enumerate(candidates, 1):
        tags = " ".join(f"{key}={value}" for key, value in each.metadata)
        usd = "unknown" if each.monthly_usd is None else f"{each.monthly_usd:,.2f}"
        mark = "fits" if each.fits else "does not fit"
        lines.append(f"{number:>3}. {tags or each.system_digest or '(no metadata)'}  {each.model}")
        lines.append(
            f"     {mark}; {usd} USD a month; {each.calls:,} calls, {each.usable:,} usable, "
            f"{each.distinct_prompts:,} distinct prompts, {each.distinct_answers:,} distinct answers"
        )
        if each.students:
            lines.append(f"     students: {', '.join(each.students)}")
        lines += [f"     - {note}" for note in each.notes]
    return lines
