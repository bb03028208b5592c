"""The `airflow-distill` command: names every command, loads only the one that was asked for.

Each command is a module with `register(parser)` and `run(args) -> exit status`. Importing this module loads neither
Airflow nor the AWS SDK, so `--help` is quick. Errors of ours end in one line on standard error and exit status 2.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Sequence

from airflow_distill import __version__
from airflow_distill.cli.terminal import error_line, say, told_of
from airflow_distill.errors import DiskFullError, DistillError
from airflow_distill.stages.storage import ObjectMissingError

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("airflow_distill.cli.demo", "run the whole loop on a local Airflow and a local Bedrock"),
    "sandbox": ("airflow_distill.cli.sandbox", "start and steer the local Bedrock"),
    "workload": ("airflow_distill.cli.workload", "write, check, plan and eject workload files"),
    "scout": ("airflow_distill.cli.scout", "rank what could be distilled first, from invocation logs"),
    "status": (
        "airflow_distill.cli.status",
        "show a workload's status: live model, jobs, hosts, verdict, spend",
    ),
    "iam": ("airflow_distill.cli.iam", "print the least-privilege policies of a workload"),
    "dataset": ("airflow_distill.cli.dataset", "check prompt files and logs; build a dataset from logs"),
    "evaluate": ("airflow_distill.cli.evaluate", "score collected answers under a policy; write a report"),
    "models": (
        "airflow_distill.cli.models",
        "print the table of models in use; compare it with the account",
    ),
    "doctor": ("airflow_distill.cli.doctor", "ask an account, read-only, whether a job would go through"),
    "plan": (
        "airflow_distill.cli.plan",
        "print the exact request, names, tags and price of a job; send nothing",
    ),
    "prices": (
        "airflow_distill.cli.prices",
        "print the price table in use, fetch list prices, compare two tables",
    ),
    "spend": (
        "airflow_distill.cli.spend",
        "say what runs cost and may still cost, what the student saved, whether the bill agrees",
    ),
    "release": ("airflow_distill.cli.release", "list and show releases, go back to an older one"),
    "reap": ("airflow_distill.cli.reap", "find what still bills and is not in use; delete it with --yes"),
    "forget": ("airflow_distill.cli.forget", "erase one person from a workload's folder"),
    "completion": ("airflow_distill.cli.completion", "print a completion script for bash, zsh or fish"),
    "verify": ("airflow_distill.cli.verify", "check the chain of digests behind the live model"),
}
"""Command name -> (module, one line of help)."""

BROUGHT_BY = {
    "airflow": "airflow-distill",
    "airflow_distill": "airflow-distill",
    "moto": "airflow-distill[sandbox]",
    "flask": "airflow-distill[sandbox]",
    "werkzeug": "airflow-distill[sandbox]",
    "sklearn": "airflow-distill[sandbox]",
    "rouge_score": "airflow-distill[rouge]",
}
"""Top-level module that may be missing -> what to install. `airflow-distill-core` lacks the rooms that need Airflow."""


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser; only the named command's arguments are filled in."""
    parser = argparse.ArgumentParser(
        prog="airflow-distill",
        description="Amazon Bedrock model distillation as a loop. Runs without Airflow.",
    )
    parser.add_argument("--version", action="version", version=f"airflow-distill {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, text) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == command:
            importlib.import_module(module).register(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 a verdict against, 2 it could not be done."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in words if word in COMMANDS), None)
    args = build_parser(command).parse_args(words)
    try:
        status = int(importlib.import_module(COMMANDS[args.command][0]).run(args))
        sys.stdout.flush()
        return status
    except DistillError as error:
        error_line(error)
        return 2
    except ModuleNotFoundError as error:
        top = (error.name or "").partition(".")[0]
        if top not in BROUGHT_BY:
            raise
        say(
            f"airflow-distill: `{args.command}` needs the module {error.name}, which is not installed here. "
            f"Run: pip install '{BROUGHT_BY[top]}'",
            err=True,
        )
        return 2
    except BrokenPipeError:
        return _without_reader()
    except ObjectMissingError as error:
        say(f"airflow-distill: {told_of(error)}", err=True)
        return 2
    except UnicodeDecodeError:
        say("airflow-distill: a file is not text in UTF-8; is it the right one?", err=True)
        return 2
    except OSError as error:
        full = DiskFullError.from_os(error)
        if full is not None:
            error_line(full)
        elif error.filename is None:
            raise
        else:
            say(f"airflow-distill: {told_of(error)}", err=True)
        return 2
    except KeyboardInterrupt:
        say("airflow-distill: interrupted", err=True)
        return 130


def _without_reader() -> int:
    """End in silence when the reader of the pipe has gone, with the status of a program that SIGPIPE ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


if __name__ == "__main__":
    sys.exit(main())
