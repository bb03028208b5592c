"""`airflow-distill workload`: write, check, plan and unfold workload files. Needs neither Airflow nor the network.

init    write a new file with what must be said
lint    every problem of files and folders, with file, line, column and a suggestion
schema  print the JSON schema of workload files
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_distill.cli.account import add_connection_flags, connect, person
from airflow_distill.cli.terminal import say, say_json, say_text

if TYPE_CHECKING:
    from airflow_distill.stages.money.prices import PriceTable
    from airflow_distill.workload.config import Workload
    from airflow_distill.workload.reading import Problem, Read


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
    plan = commands.add_parser("plan", help="print tasks, request and price", description=_what(plan_file))
    plan.add_argument("path", metavar="FILE", type=Path, help="workload file")
    plan.add_argument("--manifest", metavar="URI", help="manifest.json of a dataset, a path or s3:// URI")
    plan.add_argument(
        "--input-tokens", type=float, metavar="N", help="mean tokens of a prompt, for the price"
    )
    plan.add_argument(
        "--output-tokens", type=float, metavar="N", help="mean tokens of an answer, for the price"
    )
    add_connection_flags(plan)
    plan.add_argument("--json", action="store_true", help="print the plan as JSON")
    plan.set_defaults(work=plan_file)
    eject = commands.add_parser("eject", help="print plain operator code", description=_what(eject_file))
    eject.add_argument("path", metavar="FILE", type=Path, help="workload file")
    eject.set_defaults(work=eject_file)
    end = commands.add_parser(
        "retire", help="retire a workload: pointer, hosts, models, data", description=_what(retire_file)
    )
    end.add_argument("path", metavar="FILE", type=Path, help="workload file")
    end.add_argument(
        "--grace-hours", type=float, default=24.0, metavar="H", help="hours until hosts are deleted (24)"
    )
    end.add_argument(
        "--redirect",
        default="",
        metavar="ID",
        help="model id or ARN the pointer names from now on (default: none)",
    )
    end.add_argument("--models", choices=("keep", "delete"), default="keep", help="custom models (keep)")
    end.add_argument(
        "--data",
        choices=("keep", "delete"),
        default="keep",
        help="windows, datasets, answers, reports (keep)",
    )
    end.add_argument(
        "--yes", action="store_true", help="perform the plan; without this flag it is only printed"
    )
    add_connection_flags(end)
    end.add_argument("--json", action="store_true", help="print the steps as JSON")
    end.set_defaults(work=retire_file)
    schema = commands.add_parser("schema", help="print the JSON schema", description=_what(print_schema))
    schema.set_defaults(work=print_schema)


INIT_OPTIONS = {
    "owner": "team or person that owns the workload",
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
        raise ConfigurationError(
            f"{path} exists already.", hint="Choose another name, or delete the file first."
        )
    given = {option: getattr(args, option) for option in INIT_OPTIONS if getattr(args, option)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(workload_text(path.stem, **given), encoding="utf-8")
    say(f"wrote {path}")
    return _report([check_workload(path)], [], as_json=False)


def lint_files(args: argparse.Namespace) -> int:
    """Print every problem in workload files with file, line, column and a suggestion. Exit status 1 when there are any."""
    from airflow_distill.errors import ConfigurationError
    from airflow_distill.workload.dry_run import late_problems
    from airflow_distill.workload.reading import check_folder, check_workload

    found: list[Read] = []
    for path in args.paths:
        if path.is_dir() and not any(path.rglob("*.y*ml")):
            raise ConfigurationError(
                f"{path} holds no workload file.",
                hint="Workload files end in .yaml; `workload init` writes one.",
            )
        found += check_folder(path) if path.is_dir() else [check_workload(path)]
    return _report(found, late_problems(found), as_json=args.json)


def plan_file(args: argparse.Namespace) -> int:
    """Print the tasks of the loop, the job request with its names and tags, and its price. Sends nothing."""
    from airflow_distill.aws.planning import plan_job
    from airflow_distill.cli.plan import receipt_of, take_mean_tokens
    from airflow_distill.remote.identity import resource_tags
    from airflow_distill.workload import tasks
    from airflow_distill.workload.dry_run import imagined_receipt
    from airflow_distill.workload.iam import home_region
    from airflow_distill.workload.reading import read_workload

    workload = read_workload(args.path)
    receipt, upload = imagined_receipt(workload), ""
    if args.manifest:
        gateways = connect(args, workload.region_name) if args.manifest.startswith("s3://") else None
        receipt, upload = receipt_of(args.manifest, gateways, workload.root, workload.name)
        take_mean_tokens(args, receipt)
    spec = tasks.job_spec(
        workload, receipt, resource_tags(workload.name, "plan", workload.owner, root=workload.root)
    )
    table = _prices(workload)
    plan = plan_job(
        spec,
        max_generations=workload.job.submissions,
        records=receipt["train_records"],
        input_tokens=args.input_tokens,
        output_tokens=args.output_tokens,
        region=workload.region_name or home_region(workload),
        table=table,
    )
    steps = [
        {"task_id": f"{group.stage}.{task.task_id}", "operator": task.operator}
        for group in tasks.loop(workload)
        for task in group.tasks
    ]
    if args.json:
        say_json({"workload": workload.name, "tasks": steps, "job": plan.to_json()}, indent=2)
    else:
        from airflow_distill.cli.plan import aged_prices, lines

        for step in steps:
            say(f"task         {step['task_id']}  {step['operator'].rpartition('.')[2]}")
        if not args.manifest:
            say(f"dataset      {receipt['dataset_id']} (imagined; --manifest takes a real one)")
        if upload:
            say(f"upload       {upload}")
        say(*lines(plan, aged_prices(table, workload.teacher, workload.student)))
    return 1 if plan.problems else 0


def _prices(workload: Workload) -> PriceTable:
    from airflow_distill.aws.prices import read_prices

    stated: dict[str, float] = {str(item): usd for item, usd in workload.budget.student_prices.items()}
    return read_prices(None, workload.budget.prices, student=workload.student, stated=stated)


def eject_file(args: argparse.Namespace) -> int:
    """Print a Dag file that builds the workload's tasks as plain operators."""
    from airflow_distill.workload.reading import read_workload
    from airflow_distill.workload.source import dag_source

    say_text(dag_source(read_workload(args.path), args.path.name))
    return 0


def retire_file(args: argparse.Namespace) -> int:
    """Plan and perform the end of a workload: pointer, hosts, models, data. Run it again to continue."""
    from airflow_distill.aws.gateways import store_for
    from airflow_distill.aws.retire import Terms, retire
    from airflow_distill.workload.reading import read_workload

    workload = read_workload(args.path)
    gateways = connect(args, workload.region_name)
    table = _prices(workload)
    plan, steps = retire(
        gateways,
        store_for(gateways, workload.root),
        workload.root,
        workload.name,
        Terms(args.grace_hours, args.redirect, args.models, args.data),
        person=person(),
        owner=workload.owner,
        now=datetime.now(UTC),
        price_of=lambda item, base: table.rate(item, base, gateways.bedrock.region),
        perform=args.yes,
    )
    if args.json:
        rows = [{"name": s.name, "state": s.state, "detail": s.detail} for s in steps]
        say_json({**plan.to_json(), "steps": rows})
    else:
        say(*steps)
        if not args.yes:
            say("Nothing was changed; add --yes to do it.")
        elif plan.finished_at:
            say(f"{workload.name} is retired. Remove {args.path} from the Dag folder.")
    return 0 if plan.finished_at else 1


def print_schema(args: argparse.Namespace) -> int:
    """Print the JSON schema of workload files, for editors and other tools."""
    from airflow_distill.workload.schema import text

    say_text(text())
    return 0


def _report(found: list[Read], late: list[Problem], *, as_json: bool) -> int:
    problems = list(dict.fromkeys([*(problem for one in found for problem in one.problems), *late]))
    for problem in problems:
        say_json(problem.to_json()) if as_json else say(problem)
    if not as_json:
        files = f"{len(found)} file" + ("" if len(found) == 1 else "s")
        say(f"{files}, {len(problems)} problem" + ("" if len(problems) == 1 else "s"))
    return 1 if problems else 0


def _what(command: object) -> str:
    return (command.__doc__ or "").split("\n")[0]
