"""The flags of every command that looks into an account, and what they amount to."""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_distill.aws.gateways import AwsGateways
    from airflow_distill.stages.money.prices import PriceTable
    from airflow_distill.stages.storage import ObjectStore
    from airflow_distill.workload.config import Workload


def add_connection_flags(parser: argparse.ArgumentParser) -> None:
    """Declare Region, endpoint and profile: the same three for every command that may ask AWS."""
    parser.add_argument(
        "--region", metavar="REGION", help="AWS Region; the workload file's or the SDK's own when left out"
    )
    parser.add_argument(
        "--endpoint-url", metavar="URL", help="one endpoint for all services, such as a sandbox's"
    )
    parser.add_argument("--profile", metavar="NAME", help="profile of the AWS configuration")


def add_workload_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the workload, its root, the connection, a price table and `--json`."""
    parser.add_argument(
        "workload",
        nargs="?",
        default=argparse.SUPPRESS,
        metavar="WORKLOAD",
        help="the workload's file, or its name with --root",
    )
    parser.add_argument("--workload", metavar="WORKLOAD", help="the same, as other commands take it")
    parser.add_argument(
        "--root", metavar="URI", help="root of all workloads; the file's when a file is given"
    )
    add_connection_flags(parser)
    parser.add_argument("--prices", metavar="URI", help="price table that overrides the packaged one")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


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
        metavar="URI",
        help="common root of all workloads' objects, s3://bucket/prefix (or $AIRFLOW_DISTILL_ROOT; the file's when "
        "--workload names a file)",
    )
    parser.add_argument(
        "--workload",
        required=workload,
        metavar="WORKLOAD",
        help="the workload's file, or its name with --root",
    )
    add_connection_flags(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def open_account(args: argparse.Namespace) -> tuple[AwsGateways, ObjectStore]:
    """Return the account's gateways and the store of the root; afterwards `args` hold the workload's name and its root.

    :raises ConfigurationError: nothing says the root.
    """
    from airflow_distill.aws.gateways import store_for
    from airflow_distill.errors import ConfigurationError

    file = workload_file(args.workload)
    if file is not None:
        args.workload, args.root = file.name, args.root or file.root
    args.root = args.root or os.environ.get("AIRFLOW_DISTILL_ROOT")
    if not args.root:
        raise ConfigurationError(
            "the root of the workloads is not known.",
            hint="Give --root, set AIRFLOW_DISTILL_ROOT, or name the workload's file with --workload.",
        )
    gateways = connect(args, file.region_name if file else None)
    return gateways, store_for(gateways, args.root)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a workload's records lie, and the prices they are told in."""

    name: str
    root: str
    gateways: AwsGateways
    store: ObjectStore
    table: PriceTable
    workload: Workload | None


def place_of(args: argparse.Namespace) -> Place:
    """Return the place that the arguments of `add_workload_flags`, or the workload's file, name.

    :raises ConfigurationError: nothing says which workload, or the root.
    """
    from airflow_distill.aws.prices import read_prices
    from airflow_distill.errors import ConfigurationError

    if args.workload is None:
        raise ConfigurationError(
            "no workload is named.", hint="Write its file, such as distill/support_tickets.yaml, or its name."
        )
    workload = workload_file(args.workload)
    gateways, store = open_account(args)
    table = read_prices(
        gateways,
        args.prices or (workload.budget.prices if workload else None),
        student=workload.student if workload else "",
        stated={str(k): v for k, v in workload.budget.student_prices.items()} if workload else None,
    )
    return Place(args.workload, args.root, gateways, store, table, workload)


def workload_file(named: str | None) -> Workload | None:
    """Return the workload whose file is named; None for nothing and for a plain name.

    :raises ConfigurationError: a path leads to no file, or the file is wrong.
    """
    if not named or not (named.endswith((".yaml", ".yml")) or os.sep in named):
        return None
    from airflow_distill.workload.reading import read_workload

    return read_workload(Path(named))


def needed_file(named: str) -> Workload:
    """Return the workload of a file where a name is not enough.

    :raises ConfigurationError: a plain name was given, or the file cannot be read.
    """
    from airflow_distill.errors import ConfigurationError

    found = workload_file(named)
    if found is None:
        raise ConfigurationError(
            f"--workload {named} is a name; the workload's file is needed here.",
            hint="Write its path, such as --workload distill/support_tickets.yaml.",
        )
    return found


def fill_left_out(args: argparse.Namespace, told: Mapping[str, Any]) -> None:
    """Give the arguments that were left out the values that a workload's file, or a default, tells."""
    for name, value in told.items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def name_of(named: str) -> str:
    """Return a workload's name, from its file or as it stands."""
    found = workload_file(named)
    return found.name if found else named


def person() -> str:
    """Return who runs the command, for tags and the ledger."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
