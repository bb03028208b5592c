"""`airflow-distill models`: print the table of models in force, and what an account says differently.

    airflow-distill models list --models my-models.json
    airflow-distill models check --region us-east-1

A user's table lies over the packaged one; `list --json` prints a table of the form that `models:` in a workload file
takes. `check` asks ListFoundationModels and ListInferenceProfiles and changes nothing.
"""

from __future__ import annotations

import argparse

from airflow_distill.cli.account import add_connection_flags, connect
from airflow_distill.cli.terminal import say, say_json


def register(parser: argparse.ArgumentParser) -> None:
    """Add the words and their arguments."""
    words = parser.add_subparsers(dest="word", metavar="WORD", required=True)
    show = words.add_parser("list", help="print pairs, hosts, contexts and quota codes in use")
    show.add_argument("--json", action="store_true", help="print a table that `models:` takes")
    show.set_defaults(word_run=_list)
    check = words.add_parser("check", help="compare the table with the account")
    add_connection_flags(check)
    check.set_defaults(word_run=_check)
    for word in (show, check):
        word.add_argument(
            "--models", metavar="URI", help="your table, a path or s3://; overrides the packaged one"
        )


def run(args: argparse.Namespace) -> int:
    """Run the word; `check` ends with 1 when the account says otherwise."""
    return int(args.word_run(args))


def _list(args: argparse.Namespace) -> int:
    from airflow_distill.aws.models import models_in_force

    with models_in_force(None, args.models) as table:
        if args.json:
            say_json(table.to_json(), indent=1)
            return 0
        for pair in table.pairs:
            model = table.model(pair.student.rpartition(":")[0])
            hosts = ", ".join(model.hosts) if model and model.hosts else "hosts unknown"
            context = f"{model.context} tokens" if model and model.context else "context unknown"
            more = [
                name.replace("_", " ") for name in ("profile_only", "on_demand_only") if getattr(pair, name)
            ]
            more += [pair.trust] if pair.trust != "documented" else []
            say(
                f"{pair.teacher:42} {pair.student:42} {pair.region:10} {hosts}; {'; '.join([context, *more])}"
            )
        for name, quota in table.quotas.items():
            say(f"quota {name:11} {quota.code:12} {quota.name}")
        say(f"{len(table.pairs)} pairs, {len(table.models)} models, as of {table.date}. Sources: --json")
    return 0


def _check(args: argparse.Namespace) -> int:
    from airflow_distill.aws.models import compare_with_account, models_in_force

    gateways = connect(args)
    with models_in_force(gateways, args.models) as table:
        told = compare_with_account(table, gateways)
    for line in told:
        say(line)
    where = gateways.bedrock.region
    say(f"{len(told)} differences between the table of {table.date} and the account in {where}.")
    return 1 if told else 0
