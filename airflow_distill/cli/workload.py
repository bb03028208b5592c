"""`airflow-distill workload`: write, check, plan and unfold workload files. Needs neither Airflow nor the network.

init    write a new file with what must be said
lint    every problem of files and folders, with file, line, column and a suggestion
schema  print the JSON schema of workload files
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_distill.workload.reading import Read


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands."""
    commands = parser.add_subparsers(dest="workload_command", metavar="COMMAND", required=True)
    init = commands.add_parser("init", help="write a new workload file", description=_what(init_file))
    init.add_argument(
        "path", metavar="FILE", type=Path, help="file to write, such as distill/support_tickets.yaml"
    )
    for option, text in INIT_OPTIONS.items():
        init.add_argument(f"--{option.replace('_', '-')}", metavar=option.upper(), help=text)
    init.set_defaults(work=init_file)
    lint = commands.add_parser("lint", help="check files and folders", description=_what(lint_files))
    lint.add_argument("paths", metavar="PATH", type=Path, nargs="+", help="workload file or folder")
    lint.add_argument("--json", action="store_true", help="print problems as JSON lines")
    lint.set_defaults(work=lint_files)
    schema = commands.add_parser("schema", help="print the JSON schema", description=_what(print_schema))
    schema.set_defaults(work=print_schema)


INIT_OPTIONS = {
    "owner": "team or person who answers for it",
    "teacher": "model id or system inference profile",
    "student": "base model id with its context suffix",
    "root": "S3 folder for datasets, answers and releases",
    "logs": "S3 folder of invocation logs",
    "role_arn": "service role of the customization job",
}


def run(args: argparse.Namespace) -> int:
    """Run the chosen subcommand."""
    return int(args.work(args))


def init_file(args: argparse.Namespace) -> int:
    """Write a new workload file with the required settings; an existing file is left alone."""
    from airflow_distill.errors import ConfigurationError
    from airflow_distill.workload.reading import check_workload
    from airflow_distill.workload.template import workload_text

    path: Path = args.path
    if path.exists():
        raise ConfigurationError(f"{path} exists already.", hint="Choose another name, or remove it first.")
    given = {option: getattr(args, option) for option in INIT_OPTIONS if getattr(args, option)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(workload_text(path.stem, **given), encoding="utf-8")
    print(f"wrote {path}")
    return _report([check_workload(path)], as_json=False)


def lint_files(args: argparse.Namespace) -> int:
    """Print every problem of workload files, with file, line, column and a suggestion. Exit status 1 when there are any."""
    from airflow_distill.workload.reading import check_folder, check_workload

    found: list[Read] = []
    for path in args.paths:
        found += check_folder(path) if path.is_dir() else [check_workload(path)]
    return _report(found, as_json=args.json)


def print_schema(args: argparse.Namespace) -> int:
    """Print the JSON schema of workload files, for editors and other tools."""
    from airflow_distill.workload.schema import text

    sys.stdout.write(text())
    return 0


def _report(found: list[Read], *, as_json: bool) -> int:
    problems = list(dict.fromkeys(problem for one in found for problem in one.problems))
    for problem in problems:
        print(json.dumps(problem.to_json()) if as_json else problem)
    if not as_json:
        files = f"{len(found)} file" + ("" if len(found) == 1 else "s")
        print(f"{files}, {len(problems)} problem" + ("" if len(problems) == 1 else "s"))
    return 1 if problems else 0


def _what(command: object) -> str:
    return (command.__doc__ or "").split("\n")[0]
