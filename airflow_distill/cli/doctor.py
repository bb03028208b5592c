"""`airflow-distill doctor`: ask an account, read-only, whether a distillation job would go through."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_distill.cli.account import add_connection_flags, connect, fill_left_out, needed_file
from airflow_distill.cli.terminal import say, say_json
from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.jobs.preflight import CheckResult, Preflight, failures, unasked

if TYPE_CHECKING:
    from airflow_distill.workload.config import Workload

_SIGNS = {"ok": "ok", "failed": "FAILED", "warning": "warning", "unknown": "UNKNOWN", "skipped": "-"}
_BAD = ("failed", "warning", "unknown")


def register(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_job_arguments(parser)
    parser.add_argument("--logs", help="where invocation logs are delivered, s3://bucket/prefix")
    parser.add_argument("--logs-are-data", action="store_true", help="Bedrock reads the logs itself")
    parser.add_argument("--host-kind", choices=["provisioned-throughput", "custom-model-deployment"])
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--quiet", action="store_true", help="print only checks that did not pass")
    parser.add_argument(
        "--learn",
        metavar="FILE",
        type=Path,
        help="ask the service the read-only open questions instead, and write the answers to FILE",
    )


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `doctor` and `plan` both ask for: the pair, the places and the connection."""
    parser.add_argument("--workload", metavar="FILE", help="the workload's file; other flags override it")
    parser.add_argument("--name", help="the workload's name (default: the file's, or default)")
    parser.add_argument("--teacher", help="model or inference profile id of the teacher")
    parser.add_argument("--student", help="model id of the student, with its context suffix")
    parser.add_argument("--role", help="ARN of the service role that Bedrock assumes")
    parser.add_argument("--root", help="s3://bucket/prefix of the loop")
    parser.add_argument(
        "--metadata",
        nargs="*",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="request metadata that traffic carries",
    )
    parser.add_argument("--kms-key", help="key for the custom model")
    parser.add_argument(
        "--models", metavar="URI", help="your table of models, a path or s3://; overrides the packaged one"
    )
    add_connection_flags(parser)


def complete(args: argparse.Namespace) -> argparse.Namespace:
    """Fill what was left out from the workload file, and see that nothing needed is missing.

    :raises ConfigurationError: an argument is missing.
    """
    if args.workload is not None:
        file = needed_file(args.workload)
        told: dict[str, Any] = {
            "name": file.name,
            "teacher": file.teacher,
            "student": file.student,
            "role": file.role_arn,
            "root": file.root,
            "region": file.region_name,
            "kms_key": file.job.kms_key,
            "models": file.models,
        }
        fill_left_out(args, told)
        args.file = file
    lacking = [name for name in ("teacher", "student", "role", "root") if getattr(args, name) is None]
    if lacking:
        raise ConfigurationError(
            f"--{lacking[0]} is missing.", hint="Name a workload file with --workload, or give each argument."
        )
    args.name = args.name or "default"
    return args


def preflight_of(args: argparse.Namespace) -> Preflight:
    """Return what to ask about, from completed arguments."""
    file: Workload | None = getattr(args, "file", None)
    filters, logs, as_data, pairs, host, tags = (
        filters_of(args.metadata),
        args.logs,
        args.logs_are_data,
        False,
        args.host_kind,
        {},
    )
    if file is not None:
        tags = dict(file.tags)
        as_data = as_data or file.dataset.source.startswith("logs-")
        pairs = file.dataset.source == "logs-pairs"
        host = host or (
            file.deployment.host if file.deployment.enabled and file.deployment.host != "auto" else None
        )
        if file.logs is not None:
            logs = logs or file.logs.location
            filters = filters or (file.logs.metadata.as_request() if file.logs.metadata else None)
    return Preflight(
        workload=args.name,
        root=args.root,
        teacher=args.teacher,
        student=args.student,
        role_arn=args.role,
        logs=logs,
        filters=filters,
        logs_are_data=as_data,
        use_prompt_response=pairs,
        kms_key_id=args.kms_key,
        host_kind=host,
        tags=tags,
        method=file.job.method if file is not None else "distillation",
        **({"window_hours": int(file.logs.window.total_seconds() // 3600)} if file and file.logs else {}),
    )


def filters_of(pairs: Sequence[str]) -> dict[str, Any] | None:
    """Return `key=value` words as a request metadata filter: one is `equals`, several are all wanted.

    :raises ConfigurationError: a word holds no `=`.
    """
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise ConfigurationError(f"{wrong[0]!r} is not KEY=VALUE.", hint="Write --metadata app=support.")
    filters: list[dict[str, Any]] = [{"equals": dict([pair.split("=", 1)])} for pair in pairs]
    if not filters:
        return None
    return filters[0] if len(filters) == 1 else {"andAll": filters}


def run(args: argparse.Namespace) -> int:
    """Run the checks and print one line each; returns 1 when one failed, 2 when one could not be asked."""
    if args.learn is not None:
        return _learn(args)
    from airflow_distill.aws.doctor import doctor
    from airflow_distill.aws.models import models_in_force

    spec = preflight_of(complete(args))
    gateways = connect(args)
    with models_in_force(gateways, args.models):
        results = doctor(spec, gateways)
    if args.json:
        say_json([result.to_json() for result in results], indent=2)
    else:
        say(*lines(results, quiet=args.quiet))
    if failures(results):
        return 1
    return 2 if unasked(results) else 0


def _learn(args: argparse.Namespace) -> int:
    """Write what the account answers to the harmless questions; nothing of it names the account or what is in it."""
    from airflow_distill.aws.learn import learn

    seen = learn(connect(args))
    args.learn.parent.mkdir(parents=True, exist_ok=True)
    args.learn.write_text(json.dumps(seen, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    say(f"{len(seen['answers'])} questions asked; wrote {args.learn}.")
    say("It names neither the account nor what is in it. Read it, then send it to us.")
    return 0


def lines(results: Iterable[CheckResult], *, quiet: bool = False) -> list[str]:
    """Return the report: a line for each check, the fix below what is not in order, and a sum."""
    results = list(results)
    shown = [r for r in results if not quiet or r.status in _BAD]
    out: list[str] = []
    for result in shown:
        out.append(f"{_SIGNS[result.status]:<8} {result.name:<20} {result.message}")
        if result.fix and result.status in _BAD:
            out.append(f"{'':<8} {'':<20} -> {result.fix}")
    counts = ", ".join(
        f"{sum(r.status == status for r in results)} {status}"
        for status in ("ok", "warning", "failed", "unknown", "skipped")
    )
    return [*out, f"{len(results)} checks: {counts}"]
