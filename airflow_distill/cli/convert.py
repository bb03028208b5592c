"""`airflow-distill dataset convert`: what a file of other tools' records becomes, and the file itself.

Shows the form that was recognised and the first record before and after, so that a person sees whether it was understood.
Texts are shown to whoever runs the command on a file of their own, cut short, and go into no log. Exit status: 0 every
record was converted, 1 some were not, 2 the file could not be read.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from airflow_distill.cli.terminal import say, say_json, say_table
from airflow_distill.errors import ConfigurationError

SHOWN = 160
"""Characters of each text of the first record that are shown."""

_NOTES = """reads bedrock-conversation-2024, {prompt, completion}, chat messages, OpenAI stored completions, and CSV such as
text,category: as lines, as one JSON array or printed, compressed or not, UTF-8 or UTF-16. With --feedback it reads our own
form (request_id or prompt_digest with score, label or answer), Langfuse's JSON and OpenTelemetry's GenAI JSON.

exit status: 0 every record was converted, 1 some were not, 2 the file could not be read

examples:
  airflow-distill dataset convert tickets.csv
  airflow-distill dataset convert stored.json --out prompts.jsonl
  airflow-distill dataset convert langfuse-scores.json --feedback --out feedback.jsonl
"""


def register(commands: Any, add_common: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "convert",
        help="convert records of other tools to our format",
        description="Show how the first record of a file is converted, and convert the file.",
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", metavar="PATH", help="a file, also s3://bucket/key")
    parser.add_argument(
        "--out", metavar="FILE", help="write the converted records to FILE; without it, only show the first"
    )
    parser.add_argument(
        "--feedback", action="store_true", help="the file holds feedback on answers, not prompts"
    )
    add_common(parser)


def convert(args: argparse.Namespace) -> int:
    """Convert a file and say what became of it.

    :raises ConfigurationError: not one record was understood.
    """
    from airflow_distill.cli.dataset import open_store

    data = open_store(args.path, args).read(args.path)
    lines: list[bytes] = []
    forms: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    first: dict[str, Any] = {}
    wrong: dict[str, int] = {}
    for number, form, records, code in _feedback(data) if args.feedback else _prompts(data):
        forms[form] += bool(form)
        if code:
            codes[code] += 1
            wrong.setdefault(code, number)
        for record in records:
            lines.append(json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
            first = first or {"number": number, "form": form, "record": record}
    if not lines:
        what = ", ".join(f"{code} {n:,}" for code, n in codes.most_common()) or "it holds no records"
        raise ConfigurationError(
            f"dataset: nothing of {args.path} was understood: {what}.", hint=_fix(next(iter(codes), ""))
        )
    if args.out:
        open_store(args.out, args).write(args.out, b"".join(lines))
    told = {
        "valid": not codes,
        "converted": len(lines),
        "forms": {form: count for form, count in forms.most_common() if count},
        "codes": dict(codes.most_common()),
        "first": {**first, "record": _short(first["record"])},
        "out": args.out,
    }
    if args.json:
        say_json(told)
    else:
        _show(told, wrong)
    return 1 if codes else 0


_Converted = tuple[int, str, list[dict[str, Any]], str]


def _prompts(data: bytes) -> Iterator[_Converted]:
    from airflow_distill.stages.dataset.imports import iter_imported
    from airflow_distill.stages.dataset.jsonl import bedrock_record

    for item in iter_imported(data):
        records = [] if item.example is None else [bedrock_record(item.example, with_answer=True)]
        yield item.number, item.form, records, item.code


def _feedback(data: bytes) -> Iterator[_Converted]:
    from airflow_distill.stages.dataset.feedback import iter_feedback

    for item in iter_feedback(data):
        yield item.number, item.form, [opinion.to_json() for opinion in item.opinions], item.code


def _show(told: dict[str, Any], wrong: dict[str, int]) -> None:
    forms = ", ".join(f"{form} ({count:,})" for form, count in told["forms"].items())
    say(f"read as: {forms}")
    say(f"record {told['first']['number']} becomes:")
    say(f"  {json.dumps(told['first']['record'], ensure_ascii=False)}")
    say(f"converted: {told['converted']:,} records" + (f", into {told['out']}" if told["out"] else ""))
    if told["codes"]:
        rows = [(code, f"{n:,}", f"record {wrong[code]:,}", _fix(code)) for code, n in told["codes"].items()]
        say_table(("not converted", "count", "first", "what to do"), rows)
    if not told["out"]:
        say("next: is that what it should be? Then write it with --out FILE")


def _fix(code: str) -> str:
    from airflow_distill.stages.dataset.checks import CODES

    return f"{CODES[code].message} {CODES[code].fix}" if code in CODES else ""


def _short(value: Any) -> Any:
    """Return a record with its texts cut short."""
    if isinstance(value, str):
        return value if len(value) <= SHOWN else f"{value[:SHOWN]}... ({len(value):,} characters)"
    if isinstance(value, dict):
        return {name: _short(inner) for name, inner in value.items()}
    return [_short(inner) for inner in value] if isinstance(value, list) else value
