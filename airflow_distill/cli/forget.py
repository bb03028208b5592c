"""`airflow-distill forget`: erase one person from a workload's folder, and keep the person out of later harvests.

Prints what would change unless --yes. Killed at any point, the same command goes on. Exit status: 0 done or nothing found,
1 something would change and --yes was not given, 2 it could not be done.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_distill.cli.account import add_account_flags, open_account, workload_file
from airflow_distill.cli.terminal import say, say_json

if TYPE_CHECKING:
    from airflow_distill.aws.forget import Receipt
    from airflow_distill.stages.dataset.forget import Turns

NOTES = """examples:
  airflow-distill forget --workload distill/support_tickets.yaml --subject customer=c-1042
  airflow-distill forget --workload distill/support_tickets.yaml --prompt-file prompts.txt --yes
"""


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = NOTES
    add_account_flags(parser)
    parser.add_argument(
        "--subject",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="request metadata that names the person; repeatable",
    )
    parser.add_argument(
        "--prompt-file",
        metavar="FILE",
        type=Path,
        help="prompts of the person: one a line, as text or as a record of bedrock-conversation-2024",
    )
    parser.add_argument(
        "--yes", action="store_true", help="perform the changes; without this flag they are only printed"
    )


def run(args: argparse.Namespace) -> int:
    """Tell or erase."""
    from airflow_distill.aws.forget import Wish, forget

    file = workload_file(args.workload)
    gateways, store = open_account(args)
    wish = Wish(tuple(_subject(word) for word in args.subject), tuple(_prompts(args.prompt_file)))
    receipt = forget(
        gateways,
        store,
        args.root,
        args.workload,
        wish,
        now=datetime.now(UTC),
        perform=args.yes,
        logs=file.logs.location if file and file.logs else "",
        progress=lambda line: say(line, err=True),
    )
    if args.json:
        say_json(receipt.to_json())
    else:
        say(*_lines(receipt, args.yes))
    return 1 if receipt.changes and not args.yes else 0


def _subject(word: str) -> tuple[str, str]:
    from airflow_distill.errors import ConfigurationError

    key, equals, value = word.partition("=")
    if not equals or not key or not value:
        raise ConfigurationError(f"{word!r} is not KEY=VALUE.", hint="Write --subject customer=c-1042.")
    return key, value


def _prompts(path: Path | None) -> list[Turns]:
    from airflow_distill.stages.dataset.forget import prompts_in

    if path is None:
        return []
    found: list[Turns] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        records = (
            [turns for turns, _, _ in prompts_in("line.jsonl", line.encode())] if _is_record(line) else []
        )
        found += records or [(("user", line.strip()),)]
    return found


def _is_record(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _lines(receipt: Receipt, done: bool) -> list[str]:
    inner = [change.uri.split(f"/{receipt.workload}/", 1)[-1] for change in receipt.changes]
    kinds = Counter(uri.partition("/")[0] for uri in inner)
    out = [f"{kind:12} {count} object{'s' * (count != 1)}" for kind, count in sorted(kinds.items())]
    records = sum(change.removed for change in receipt.changes)
    word = "taken out of" if done else "would leave"
    out.append(f"{records} record{'s' * (records != 1)} {word} {len(receipt.changes)} objects")
    out.append(f"{len(receipt.datasets)} datasets held the person")
    out += [f"model        {arn} was trained on them; decide whether to retire it" for arn in receipt.models]
    out += [f"not touched  {where}" for where in receipt.elsewhere]
    if done:
        return [*out, f"receipt      {receipt.receipt_id}"]
    return [*out, "Nothing was changed; add --yes to do it."]
