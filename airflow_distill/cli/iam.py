"""`airflow-distill iam`: print the least-privilege policies and trust documents of a workload. Reads one file only."""

from __future__ import annotations

import argparse

from airflow_distill.cli.account import needed_file
from airflow_distill.cli.terminal import say_json


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--workload", metavar="FILE", required=True, help="the workload's file")
    parser.add_argument("--document", metavar="NAME", help="print this document alone, ready for `aws iam`")
    parser.add_argument(
        "--digests",
        action="store_true",
        help="print the SHA-256 of each document instead, to compare with what is deployed",
    )
    parser.add_argument(
        "--data-key", metavar="ARN", help="KMS key of the bucket that holds the workload's folder"
    )
    parser.add_argument("--log-key", metavar="ARN", help="KMS key of the bucket that receives the logs")
    parser.add_argument("--region", metavar="REGION", help="used when the file names no Region")


def run(args: argparse.Namespace) -> int:
    """Print all documents as one object by name, or one document."""
    from airflow_distill.errors import ConfigurationError
    from airflow_distill.stages.digest import canonical_json, sha256_hex
    from airflow_distill.workload.iam import Keys, documents

    keys = Keys(args.data_key, args.log_key)
    for option, key in (("--data-key", keys.data), ("--log-key", keys.logs)):
        if key is not None and not key.startswith("arn:"):
            raise ConfigurationError(
                f"{option} is {key!r}, not the ARN of a key.", hint="Give the key's ARN."
            )
    found = documents(needed_file(args.workload), args.region, keys)
    if args.document is not None and args.document not in found:
        raise ConfigurationError(
            f"There is no document {args.document!r} for this workload.", hint=f"Known: {', '.join(found)}."
        )
    if args.document is not None:
        found = {args.document: found[args.document]}
    if args.digests:
        say_json({name: sha256_hex(canonical_json(document)) for name, document in found.items()}, indent=2)
    else:
        say_json(found if args.document is None else found[args.document], indent=2)
    return 0
