"""`airflow-distill verify`: does the live model really come from the evidence that the ledger names?

Walks the digests from pointer and host to model, job, decision, scorecard and dataset. Reads only.
"""

from __future__ import annotations

import argparse

from airflow_distill.cli.account import add_account_flags, open_account
from airflow_distill.cli.terminal import say_json, say_text


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_account_flags(parser)
    parser.add_argument(
        "--all", action="store_true", help="check the evidence of every release, not only the live one"
    )


def run(args: argparse.Namespace) -> int:
    """Check the chain; 1 when a link does not hold, 2 when there is no ledger to verify."""
    from airflow_distill.aws.verify import verify_workload
    from airflow_distill.stages.deployment.verify import render_verification

    gateways, store = open_account(args)
    result = verify_workload(gateways, store, args.root, args.workload, every_release=args.all)
    if args.json:
        say_json(result.to_json())
    else:
        say_text(render_verification(result))
    return 1 if result.broken else 2 if result.empty else 0
