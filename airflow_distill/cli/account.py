"""The flags of every command that looks into an account, and what they amount to."""

from __future__ import annotations

import argparse
import getpass
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_distill.aws.gateways import AwsGateways
    from airflow_distill.stages.storage import ObjectStore


def add_connection_flags(parser: argparse.ArgumentParser) -> None:
    """Declare Region, endpoint and profile: the same three for every command that may ask AWS."""
    parser.add_argument(
        "--region", metavar="REGION", help="AWS Region; the workload file's or the SDK's own when left out"
    )
    parser.add_argument(
        "--endpoint-url", metavar="URL", help="one endpoint for all services, such as a sandbox's"
    )
    parser.add_argument("--profile", metavar="NAME", help="profile of the AWS configuration")


def connect(args: argparse.Namespace, region: str | None = None) -> AwsGateways:
    """Build the gateways from the three flags and the SDK's own credential chain.

    :param region: the workload file's Region; the flag overrides it.
    """
    from airflow_distill.aws.gateways import gateways_from_session

    return gateways_from_session(
        region_name=args.region or region or None,
        endpoint_url=args.endpoint_url,
        profile_name=args.profile,
    )


def add_account_flags(parser: argparse.ArgumentParser, *, workload: bool = True) -> None:
    """Declare root, workload, Region, endpoint and profile, and `--json`."""
    parser.add_argument(
        "--root",
        default=os.environ.get("AIRFLOW_DISTILL_ROOT"),
        required="AIRFLOW_DISTILL_ROOT" not in os.environ,
        metavar="URI",
        help="common root of all workloads' objects, s3://bucket/prefix (or $AIRFLOW_DISTILL_ROOT)",
    )
    parser.add_argument("--workload", required=workload, metavar="NAME", help="the workload's name")
    add_connection_flags(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def open_account(args: argparse.Namespace) -> tuple[AwsGateways, ObjectStore]:
    """Return the account's gateways and the store of the root."""
    from airflow_distill.aws.gateways import store_for

    gateways = connect(args)
    return gateways, store_for(gateways, args.root)


def person() -> str:
    """Return who runs the command, for tags and the ledger."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
