"""`airflow-distill demo`: the whole loop on a local Bedrock and a real Airflow, watched to its verdict.

Nothing leaves the machine. Ends with status 0 when the loop reached a verdict (promote, hold, reject or inconclusive),
and with another status when it did not; either way no process stays behind unless `--keep` was given.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def register(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--traffic",
        type=Path,
        metavar="FILE",
        help="prompts and the teacher's answers: JSON Lines with prompt and completion, or CSV with text,category",
    )
    parser.add_argument(
        "--prompts", type=int, default=12_000, metavar="N", help="at most N prompts of the file (12000)"
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=0.15,
        metavar="M",
        help="largest allowed gap to the teacher's score (0.15)",
    )
    account = parser.add_argument_group("how hard the account is")
    account.add_argument(
        "--read-lag",
        type=float,
        metavar="SECONDS",
        help="delay until Get and List show a new resource: 0 to 60 (0)",
    )
    account.add_argument(
        "--quota-units",
        type=int,
        metavar="N",
        help="both quotas of model units without commitment: 0 to 100 (1)",
    )
    account.add_argument(
        "--managed-policies",
        action="store_true",
        help="attach the role's permissions as managed policies, one of AWS's own among them",
    )
    account.add_argument(
        "--strict",
        action="store_true",
        help="the hardest account: --read-lag 30 --quota-units 1 --managed-policies; fails unless one job and one host "
        "were bought",
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="run a second workload too, and leave Airflow with its pages and the sandbox running until Ctrl-C",
    )
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port of Airflow's UI (a free one)")
    parser.add_argument(
        "--sandbox-port", type=int, default=0, metavar="N", help="port of the sandbox (a free one)"
    )
    parser.add_argument(
        "--home",
        type=Path,
        default=Path(".distill-demo"),
        metavar="DIR",
        help="folder for everything the demo writes (.distill-demo)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the demonstration and return its exit status."""
    from airflow_distill.demo.run import demonstrate

    return demonstrate(args)
