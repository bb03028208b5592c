"""`airflow-distill dataset`: check, build and convert; the dataset stage at a terminal.

Runs without Airflow; the AWS SDK is imported only for `s3://`. Exit status: 0 accepted, 1 rejected, 2 it could not
be read. With `--json` the last line on standard output is one JSON object; progress goes to standard error, and
only to a terminal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from airflow_distill.cli.account import add_connection_flags, fill_left_out, workload_file
from airflow_distill.cli.terminal import console, say, say_json, say_table, told_of
from airflow_distill.errors import ConfigurationError, DistillError
from airflow_distill.stages.storage import LocalStore, ObjectMissingError, ObjectStore, StoredObject, join_uri

if TYPE_CHECKING:
    from airflow_distill.stages.dataset.curate import CurateSettings
    from airflow_distill.stages.dataset.golden import GoldenSet
    from airflow_distill.stages.logs.harvest import Harvest
    from airflow_distill.stages.logs.selection import Selection, Window
    from airflow_distill.workload.config import Workload

DEFAULT_SALT = "airflow-distill"
_CHECK_NOTES = """exit status:
  0  accepted: the service accepts the data
  1  rejected: the findings say which line, what is wrong and what to do
  2  the data could not be read

examples:
  airflow-distill dataset check prompts.jsonl --student amazon.nova-micro-v1:0:128k
  airflow-distill dataset check s3://bucket/prompts/ --json
  airflow-distill dataset check s3://bucket/logs --kind logs --model amazon.nova-pro-v1:0 --metadata app=bank
"""
_BUILD_NOTES = """writes train.jsonl, heldout.jsonl, findings.jsonl, manifest.json and card.md to DIR; the same logs and
options give the same bytes. With --remember, later builds into DIR keep training and held-out prompts apart for ever.

A workload's file says logs, teacher, student, filter, salt and curation, and the window that a run would read now when
it says the logs too; a flag overrides it.

exit status: 0 accepted, 1 built but the service would refuse it, 2 the data could not be read

examples:
  airflow-distill dataset build --workload distill/support_tickets.yaml --out tickets/
  airflow-distill dataset build --logs s3://bucket/logs --model amazon.nova-pro-v1:0 --metadata app=bank --out bank/
"""


def register(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _register_check(commands)
    _register_build(commands)
    from airflow_distill.cli.convert import register as register_convert

    register_convert(commands, _add_common)


def _register_check(commands: Any) -> None:
    check = commands.add_parser(
        "check",
        help="check prompt files or logs before they are paid for",
        description="Check prompt files (bedrock-conversation-2024) or invocation logs.",
        epilog=_CHECK_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("path", metavar="PATH", help="a file, a folder or s3://bucket/prefix")
    check.add_argument(
        "--kind", choices=("prompts", "logs"), default="prompts", help="kind of input (default: prompts)"
    )
    check.add_argument(
        "--student", metavar="MODEL", default="", help="check by the rules of this student's family"
    )
    _add_form(check)
    check.add_argument(
        "--model", metavar="ID", default="", help="logs only: the teacher; records of this model are counted"
    )
    _add_metadata(check)
    _add_mapping(check)
    _add_common(check)


def _add_form(parser: argparse.ArgumentParser, default: str | None = "conversation") -> None:
    parser.add_argument(
        "--form",
        choices=("conversation", "prompt-completion"),
        default=default,
        help="form of a line of training data; Llama students are fine-tuned on prompt-completion (conversation)",
    )


def _register_build(commands: Any) -> None:
    build = commands.add_parser(
        "build",
        help="build a dataset from invocation logs",
        description="Build a curated, checked and split dataset from invocation logs.",
        epilog=_BUILD_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    build.add_argument(
        "--workload",
        metavar="WORKLOAD",
        help="a workload's file, which says what is left out below, or a name for the manifest (local)",
    )
    build.add_argument("--logs", metavar="PATH", help="logs: a file, a folder or s3://bucket/prefix")
    build.add_argument("--model", metavar="ID", help="teacher: records of this model are used")
    build.add_argument(
        "--out", required=True, metavar="DIR", help="where to write: a folder or s3://bucket/prefix"
    )
    _add_metadata(build)
    _add_mapping(build)
    _add_window_and_split(build)
    build.add_argument("--workers", type=_count, default=1, metavar="N", help="processes that read logs (1)")
    build.add_argument("--student", metavar="MODEL", help="curate by the rules of this student's family")
    build.add_argument(
        "--with-answers", action="store_true", default=None, help="write the answers too, as golden labels"
    )
    _add_form(build, None)
    _add_judgements(build)
    _add_rules(build)
    build.add_argument(
        "--remember", action="store_true", help="store fingerprints of held-out prompts in DIR/fingerprints"
    )
    build.add_argument(
        "--lost",
        type=_share,
        metavar="SHARE",
        help="share of lines or log objects that may be broken; more ends with exit status 1 (0.001)",
    )
    _add_common(build)


def _add_window_and_split(build: argparse.ArgumentParser) -> None:
    """Which records are read, and how they are split."""
    build.add_argument(
        "--start", metavar="T", help="start of the window, inclusive, such as 2026-11-16T00:00:00Z"
    )
    build.add_argument(
        "--end", metavar="T", help="end of the window, exclusive, such as 2026-11-23T00:00:00Z"
    )
    build.add_argument("--limit", type=_count, metavar="N", help="most prompts (15000)")
    build.add_argument("--heldout", type=_share, metavar="SHARE", help="share held out (0.1)")
    build.add_argument(
        "--salt",
        metavar="S",
        help="salt of the split; use the same one for all datasets of a workload",
    )


def _add_judgements(build: argparse.ArgumentParser) -> None:
    """What people said: examples with labels, and feedback on answers."""
    build.add_argument(
        "--golden",
        metavar="FILE",
        help="examples with labels from people; used for evaluation only, unless --golden-share allows training",
    )
    build.add_argument(
        "--golden-share",
        type=_share,
        metavar="SHARE",
        help="use half of the golden examples for training, up to this share of train.jsonl (0)",
    )
    build.add_argument(
        "--feedback",
        metavar="PATH",
        help="feedback on single answers: a file, a folder or s3://bucket/prefix",
    )
    build.add_argument(
        "--use",
        nargs="+",
        action="extend",
        choices=("liked", "not_disliked", "corrected", "weights"),
        help="what feedback is used for: only liked answers; not those disliked; corrected answers as golden; better liked "
        "ones first where more are usable than --limit",
    )
    build.add_argument("--score-name", metavar="NAME", help="only scores of this name count")
    build.add_argument(
        "--liked-from",
        type=float,
        metavar="SCORE",
        help="an answer is liked from this score on (0.5)",
    )


def _add_rules(build: argparse.ArgumentParser) -> None:
    """What is dropped, kept and redacted."""
    build.add_argument("--balance-by", metavar="BY", help="even out by `answer` or `metadata:KEY`")
    build.add_argument(
        "--near-duplicates",
        type=_near,
        metavar="HOW",
        help="careful (default): near copies are dropped unless a number, a sign, a negation or a name tells them apart; "
        "0.3 to 1: the share of words from which they are; none: only exact copies are",
    )
    build.add_argument("--keep-near-duplicates", action="store_true", help="same as --near-duplicates none")
    build.add_argument(
        "--keep",
        nargs="+",
        action="extend",
        metavar="RULE",
        help="drop rules to switch off, such as refusal or truncated",
    )
    build.add_argument(
        "--thinking",
        choices=("remove", "drop", "keep"),
        help="<thinking> written into answers: take it out (default), drop the record, or keep it",
    )
    build.add_argument(
        "--drop-reserved-words",
        action="store_const",
        const="drop",
        help="drop prompts with words that the student's family reserves, such as User:",
    )
    build.add_argument(
        "--no-redact",
        action="store_const",
        const=False,
        help="keep secrets and personal identifiers",
    )


def _add_metadata(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metadata",
        nargs="+",
        action="extend",
        default=[],
        metavar="K=V",
        help="request metadata that must match",
    )


def _add_mapping(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mapping",
        nargs="+",
        action="extend",
        default=[],
        metavar="ARN=ID",
        help="model behind an application profile, throughput or deployment; profiles in logs on S3 are looked up",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    add_connection_flags(parser)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError("must be from 0 up to, not including, 1")
    return value


def _near(text: str) -> str | float:
    if text in ("careful", "none"):
        return text
    value = float(text)
    if not 0.3 <= value <= 1:
        raise argparse.ArgumentTypeError("is careful, none, or a number from 0.3 to 1")
    return value


def run(args: argparse.Namespace) -> int:
    """Run a subcommand and return its exit status."""
    from airflow_distill.cli.convert import convert

    action = {"check": _check, "build": _build, "convert": convert}[args.action]
    try:
        return action(args)
    except BrokenPipeError:
        raise
    except (DistillError, OSError, ObjectMissingError) as error:
        message = str(error) if isinstance(error, DistillError) else told_of(error)
        if args.json:
            empty = {"valid": False, "records": 0, "accepted": 0, "findings": [], "counts": {}}
            say_json(empty | {"error": message})
        say(f"airflow-distill: {message}", err=True)
        return 2


# check


class _Report(Protocol):
    """What both kinds of check report."""

    first: dict[str, Any]

    @property
    def valid(self) -> bool: ...

    def to_json(self) -> dict[str, Any]: ...


def _check(args: argparse.Namespace) -> int:
    store = open_store(args.path, args)
    objects = _prompt_objects(store, args.path) if args.kind == "prompts" else _log_objects(store, args.path)
    if not objects:
        what = "*.jsonl or *.jsonl.gz" if args.kind == "prompts" else "log"
        raise ConfigurationError(
            f"dataset: no {what} file at {args.path}.", hint="Name a file, a folder or a prefix."
        )
    with progress_bar("checking", sum(item.size for item in objects), quiet=args.json) as bar:
        check = _make_check(args)
        for item in objects:
            with store.open(item.uri) as stream:
                path = item.uri if len(objects) > 1 else ""
                if args.kind == "prompts":
                    check.read(bar.counted(stream), path, name=item.uri)
                else:
                    check.read(bar.counted(stream), path)
        report: _Report = check.finish()
    if args.json:
        say_json(report.to_json())
    else:
        _show_check(report, args)
    return 0 if report.valid else 1


def _make_check(args: argparse.Namespace) -> Any:
    if args.kind == "logs":
        from airflow_distill.stages.logs.preflight import LogCheck

        return LogCheck(_selection(args, args.path))
    from airflow_distill.stages.dataset.checks import PromptCheck
    from airflow_distill.stages.dataset.families import family_of, is_known

    if args.student and not is_known(args.student):
        raise ConfigurationError(
            f"dataset: the family of the student {args.student!r} is not known.",
            hint="Name it as Bedrock does, such as amazon.nova-micro-v1:0:128k.",
        )
    return PromptCheck(family_of(args.student), form=args.form)


def _prompt_objects(store: ObjectStore, path: str) -> list[StoredObject]:
    """The files the service would read: one, or all .jsonl of a folder; of a dataset of ours only the training
    file."""
    from airflow_distill.stages.dataset.checks import PROMPT_SUFFIXES

    found = list(store.iter_objects(path))
    exact = [item for item in found if item.uri == path]
    if exact:
        return exact
    folder = path.rstrip("/") + "/"
    below = [item for item in store.iter_objects(folder) if item.uri.endswith(PROMPT_SUFFIXES)]
    if store.exists(join_uri(path, "manifest.json")):
        ours = [item for item in below if item.uri == join_uri(path, "train.jsonl")]
        return ours or below
    return below


def _log_objects(store: ObjectStore, path: str) -> list[StoredObject]:
    from airflow_distill.stages.logs.source import iter_log_objects

    if store.exists(path):
        return [item for item in store.iter_objects(path) if item.uri == path]
    return list(iter_log_objects(store, path))


def _show_check(result: _Report, args: argparse.Namespace) -> None:
    report = result.to_json()
    verdict = "accepted" if report["valid"] else "rejected"
    say(f"{verdict}: {report['accepted']:,} of {report['records']:,} records can be used")
    if report.get("unsure"):
        say(f"{report['unsure']:,} more may be used; the service does not say")
    rows = []
    for code, count in sorted(report["counts"].items(), key=lambda pair: (-pair[1], pair[0])):
        first = result.first.get(code)
        if first is None:
            rows.append((code, f"{count:,}", "not asked for", "", ""))
        else:
            rows.append((code, f"{count:,}", first.severity, _where(first.to_json()), first.fix))
    if rows:
        say_table(("code", "count", "kind", "first", "what to do"), rows)
    if report["valid"] and args.kind == "prompts":
        say(
            "next: upload it and hand its URI to the job, or build a dataset with `airflow-distill dataset build`"
        )
    elif report["valid"]:
        say(
            "next: hand the prefix to the job as invocation logs, or curate it with `airflow-distill dataset build`"
        )
    else:
        say("next: fix the errors and check again; --json lists the first 100 findings line by line")


def _where(item: Mapping[str, Any]) -> str:
    name = item.get("path", "").rsplit("/", 1)[-1]
    line = f"line {item['line']}" if item["line"] else "file"
    return f"{name} {line}".strip()


# build


def _complete_build(args: argparse.Namespace) -> Workload | None:
    """Fill what was left out from the workload's file, if one is named, and return the workload.

    :raises ConfigurationError: an argument is missing, or the file reads prompts in place of logs.
    """
    file = workload_file(args.workload)
    told: dict[str, Any] = {"salt": DEFAULT_SALT, "student": "", "lost": 0.001}
    if file is not None:
        if file.logs is None:
            raise ConfigurationError(
                f"dataset: {args.workload} reads a prompt file, not logs.",
                hint="Check it with `airflow-distill dataset check`, or name logs with --logs.",
            )
        told = {
            "salt": file.salt,
            "student": file.student,
            "lost": file.logs.lost,
            "logs": file.logs.location,
            "model": file.teacher,
            "region": file.region_name,
            "golden": file.dataset.golden,
            "feedback": file.dataset.feedback.location if file.dataset.feedback else None,
        }
    fill_left_out(args, told)
    lacking = [name for name in ("logs", "model") if not getattr(args, name)]
    if lacking:
        raise ConfigurationError(
            f"dataset: --{lacking[0]} is missing.",
            hint="Name a workload file with --workload, or give --logs and --model.",
        )
    return file


def _curation(args: argparse.Namespace, file: Workload | None) -> CurateSettings:
    """Return how the dataset is made: as the workload's file says, where no flag says otherwise."""
    from airflow_distill.stages.dataset.curate import CurateSettings
    from airflow_distill.workload.tasks.dataset import curation_of

    flags = {
        "limit": args.limit,
        "heldout": args.heldout,
        "with_answers": args.with_answers,
        "redact": args.no_redact,
        "balance_by": args.balance_by,
        "near_duplicates": args.near_duplicates,
        "keep": args.keep,
        "golden_share": args.golden_share,
        "feedback": args.use,
        "liked_from": args.liked_from,
        "feedback_name": args.score_name,
        "thinking": args.thinking,
        "reserved_words": args.drop_reserved_words,
        "form": args.form,
    }
    settings: dict[str, Any] = curation_of(file) if file is not None else {}
    settings |= {name: value for name, value in flags.items() if value is not None}
    if args.keep_near_duplicates or settings.get("near_duplicates") == "none":
        settings["near_duplicates"] = None
    for name in ("keep", "feedback"):
        settings[name] = tuple(settings.get(name, ()))
    return CurateSettings(
        salt=args.salt, detectors=tuple(file.dataset.detectors) if file is not None else (), **settings
    )


def _build_selection(args: argparse.Namespace, file: Workload | None, window: Window | None) -> Selection:
    """Return which records are asked for: as the workload's file says, where no flag says otherwise."""
    from dataclasses import replace

    from airflow_distill.stages.logs.metadata import MetadataFilter
    from airflow_distill.workload.tasks.arguments import selection_of

    flags: Selection = _selection(args, args.logs, window)
    if file is None or file.logs is None:
        return flags
    told = selection_of(file)
    wanted = told.get("metadata")
    return replace(
        flags,
        metadata=flags.metadata or (MetadataFilter.from_json(wanted) if wanted else None),
        mapping=flags.mapping or file.logs.models,
        operations=tuple(told.get("operations", ())),
        identity=told.get("identity", ""),
        system_digest=told.get("system_digest", ""),
    )


def _harvest(
    args: argparse.Namespace, store: ObjectStore, selection: Selection, settings: CurateSettings
) -> Harvest:
    """Read the logs, with more prompts than the dataset holds, since curation drops some."""
    from airflow_distill.stages.dataset.redact import Redaction
    from airflow_distill.stages.logs.harvest import harvest_logs

    with progress_bar("reading logs", None, quiet=args.json) as bar:
        return harvest_logs(
            store,
            args.logs,
            selection,
            salt=args.salt,
            limit=settings.limit + max(settings.limit // 3, 1000),
            redact=Redaction(settings.detectors) if settings.redact else None,
            workers=args.workers,
            open_store=_opener(args.logs, args),
            progress=bar.at,
        )


def _build(args: argparse.Namespace) -> int:
    from airflow_distill.stages.dataset.build import build_dataset, feedback_for
    from airflow_distill.stages.dataset.manifest import Source
    from airflow_distill.stages.logs.reasons import lost_share

    file = _complete_build(args)
    logs_store, out_store = open_store(args.logs, args), open_store(args.out, args)
    if not _log_objects(logs_store, args.logs):
        raise _no_logs(logs_store, args.logs)
    window = _window(args, file)
    settings = _curation(args, file)
    harvest = _harvest(args, logs_store, _build_selection(args, file, window), settings)
    built = build_dataset(
        out_store,
        args.out,
        harvest.interactions(),
        Source(
            workload=file.name if file else args.workload or "local",
            teacher=args.model,
            window=(window.start, window.end) if window else ("", ""),
            lines=harvest.counts.lines,
            kept=harvest.counts.kept,
            skipped=harvest.counts.skipped,
            objects=harvest.counts.objects,
        ),
        settings,
        student=args.student,
        golden=_golden(args),
        feedback=feedback_for(open_store(args.feedback, args), args.feedback, settings)
        if args.feedback
        else None,
        folder="",
        remember=args.remember,
    )
    receipt = built.package.receipt(built.worth)
    outcome = {
        "valid": built.package.accepted,
        "out": args.out,
        **{key: value for key, value in receipt.items() if key not in ("kind", "v")},
        "counts": dict(sorted(built.package.report.counts.items())),
        "redacted": dict(sorted(built.curated.redacted.items())),
        "feedback": built.package.manifest.profile.get("feedback"),
        "objects": dict(sorted(harvest.counts.objects.items())),
        "lost": round(lost_share(harvest.counts.lines, harvest.counts.skipped, harvest.counts.objects), 6),
    }
    too_much = outcome["lost"] > args.lost
    if args.json:
        say_json(outcome)
    else:
        _show_build(outcome, too_much)
    if too_much:
        say(*_lost_words(outcome, args.lost, logs_store, args.logs), err=True)
    return 0 if built.package.accepted and not too_much else 1


def _no_logs(store: ObjectStore, path: str) -> ConfigurationError:
    """Return the error for a place without log objects; it says what lies there instead."""
    from itertools import islice

    from airflow_distill.stages.logs.source import LOG_SUFFIXES

    folder = path.rstrip("/") + "/"
    others = [item.uri for item in islice(store.iter_objects(folder), 1000)]
    what = (
        f"{len(others):,} files lie there, such as {others[0].rpartition('/')[2]!r}"
        if others
        else "nothing lies there"
    )
    return ConfigurationError(
        f"dataset: there is no log object at {path}: {what}.",
        hint=f"Name the folder that Bedrock writes to, at any level; names of logs end in {', '.join(LOG_SUFFIXES)}, "
        "or have no suffix.",
    )


def _lost_words(outcome: Mapping[str, Any], most: float, store: ObjectStore, path: str) -> list[str]:
    """Say how much of the logs was lost, which object to look at first, and what to do."""
    from airflow_distill.stages.logs.blocks import LogBlocks
    from airflow_distill.stages.logs.reasons import lost_words

    told = lost_words(outcome["skipped"], outcome["objects"])
    words = [f"more than {most:.2%} of the logs could not be read: {told}."]
    if outcome["objects"].get("foreign"):
        for item in _log_objects(store, path):
            with store.open(item.uri) as stream:
                blocks = LogBlocks(stream)
                next(iter(blocks), None)
            if blocks.foreign:
                words.append(f"{item.uri} is {blocks.foreign}. {blocks.advice}")
                break
        if not outcome["objects"].get("damaged"):
            return [*words, "next: do so, or accept the loss with --lost SHARE"]
    words.append("next: copy the objects again from the bucket, or accept the loss with --lost SHARE")
    return words


def _golden(args: argparse.Namespace) -> GoldenSet | None:
    if not args.golden:
        return None
    from airflow_distill.stages.dataset.golden import golden_set

    golden = golden_set(args.golden, open_store(args.golden, args).read(args.golden))
    for item in golden.findings[:20]:
        say(f"{args.golden}:{item.line}: {item.code}: {item.message} {item.fix}", err=True)
    return golden


def _window(args: argparse.Namespace, file: Workload | None) -> Window | None:
    """Return the window that was asked for; of the logs that a workload's file names, the one a run would read now."""
    from airflow_distill.stages.logs.selection import Window

    if args.start or args.end:
        return Window.parse(args.start or "1970-01-01T00:00:00Z", args.end or "9999-12-30T00:00:00Z")
    if file is None or file.logs is None or args.logs != file.logs.location:
        return None
    end = (datetime.now(UTC) - file.logs.late).replace(minute=0, second=0, microsecond=0)
    return Window.parse(end - file.logs.window, end)


def _selection(args: argparse.Namespace, logs: str, window: Any = None) -> Any:
    """What is asked for."""
    from airflow_distill.stages.logs.metadata import MetadataFilter
    from airflow_distill.stages.logs.selection import Selection

    wanted = _pairs(args.metadata, "--metadata app=bank")
    return Selection(
        model=args.model,
        window=window,
        metadata=MetadataFilter.from_pairs(wanted) if wanted else None,
        mapping=_pairs(args.mapping, "--mapping ARN=amazon.nova-pro-v1:0"),
        lookup=_lookup(args, logs),
    )


def _lookup(args: argparse.Namespace, logs: str) -> Any:
    if not logs.startswith("s3://"):
        return None
    from airflow_distill.aws.profiles import profile_lookup

    return profile_lookup(logs, _BedrockOpener(args.region, args.endpoint_url))


def _pairs(pairs: list[str], example: str) -> dict[str, str]:
    known: dict[str, str] = {}
    for pair in pairs:
        key, found, value = pair.partition("=")
        if not found or not key:
            raise ConfigurationError(f"dataset: {pair!r} is not a key and a value.", hint=f"Write {example}.")
        known[key] = value
    return known


def meaning_of(reason: str) -> str:
    """Return in a sentence why lines were skipped, or prompts dropped, under a reason."""
    from airflow_distill.stages.dataset.drop import EXPLAINED, DropReason
    from airflow_distill.stages.logs.reasons import SkipReason

    told = {each.value: each.explanation for each in SkipReason}
    told |= {each.value: " ".join(EXPLAINED[each]) for each in DropReason}
    return told.get(reason, "")


def _show_build(outcome: Mapping[str, Any], too_much: bool) -> None:
    from airflow_distill.stages.dataset.checks import CODES

    say(f"dataset {outcome['dataset_id']} in {outcome['out']}")
    lost = [
        *(("  skipped", reason, count) for reason, count in outcome["skipped"].items() if count),
        *(("  dropped", reason, count) for reason, count in outcome["dropped"].items()),
    ]
    told = [(what, reason, f"{count:,}", meaning_of(reason)) for what, reason, count in lost]
    skipped = len([row for row in told if row[0] == "  skipped"])
    rows = [("log objects", what, f"{count:,}", "") for what, count in outcome["objects"].items()]
    rows += [("log lines read", "", f"{outcome['lines']:,}", ""), *told[:skipped]]
    rows += [("prompts kept", "", f"{outcome['kept']:,}", ""), *told[skipped:]]
    rows += [("train.jsonl", "", f"{outcome['train_records']:,}", "")]
    rows += [("heldout.jsonl", "", f"{outcome['heldout_records']:,}", "")]
    say_table(("", "reason", "count", "meaning"), rows)
    if outcome["redacted"]:
        say("redacted: " + ", ".join(f"{count:,} {kind}" for kind, count in outcome["redacted"].items()))
    said = outcome["feedback"]
    if said:
        say(
            f"feedback: {said['records']:,} records on {said['answers']:,} answers, {said['joined']:,} of them here"
        )
        if not said["joined"]:
            say("warning: no feedback speaks of an answer here, by request id, trace id or prompt digest")
    for code, count in outcome["counts"].items():
        if CODES[code].severity == "warning":
            say(f"warning: {code} in {count:,} records. {CODES[code].message} {CODES[code].fix}")
    if outcome["valid"]:
        if not too_much:
            say("next: upload train.jsonl and hand its URI to the job; keep heldout.jsonl for the evaluation")
        return
    say("the service would refuse it: " + ", ".join(f"{code} {n:,}" for code, n in outcome["counts"].items()))
    most = max(lost, key=lambda row: row[2], default=None)
    if most is not None and most[2] * 2 > outcome["lines"]:
        say(f"{most[2]:,} of {outcome['lines']:,} lines are {most[1]}; the table says what that means")
        say("next: fix that, or widen the window or the filter; findings.jsonl lists what was dropped")
        return
    say("next: widen the window or the filter, or look at findings.jsonl for what was dropped")


# stores, progress, tables


def open_store(uri: str, args: argparse.Namespace) -> ObjectStore:
    """Return the store a URI lives in; only `s3://` loads the AWS SDK."""
    return _opener(uri, args)()


def _opener(uri: str, args: argparse.Namespace) -> _StoreOpener:
    return _StoreOpener(uri, args.region, args.endpoint_url, args.profile)


@dataclass(frozen=True, slots=True)
class _StoreOpener:
    """Opens a store, also in another process."""

    uri: str
    region: str | None
    endpoint_url: str | None
    profile: str | None

    def __call__(self) -> ObjectStore:
        if not self.uri.startswith("s3://"):
            return LocalStore()
        from airflow_distill.aws.gateways import gateways_from_session

        return gateways_from_session(
            region_name=self.region, endpoint_url=self.endpoint_url, profile_name=self.profile
        ).objects


@dataclass(frozen=True, slots=True)
class _BedrockOpener:
    """Opens the gateway that reads inference profiles, also in another process."""

    region: str | None
    endpoint_url: str | None

    def __call__(self) -> Any:
        from airflow_distill.aws.gateways import gateways_from_session

        return gateways_from_session(region_name=self.region, endpoint_url=self.endpoint_url).bedrock


class Bar:
    """A progress bar on a terminal; nothing elsewhere."""

    def __init__(self, bar: Any = None, task: Any = None) -> None:
        self._bar = bar
        self._task = task

    def at(self, done: int, whole: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=whole)

    def counted(self, stream: Any) -> Any:
        """Return the stream, moving the bar as it is read."""
        return stream if self._bar is None else _Counted(stream, lambda n: self._bar.advance(self._task, n))


class _Counted:
    """A stream that tells how much of it was read."""

    def __init__(self, stream: Any, tell: Any) -> None:
        self._stream = stream
        self._tell = tell

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        self._tell(len(data))
        return data


@contextmanager
def progress_bar(what: str, total: int | None, *, quiet: bool) -> Iterator[Bar]:
    """Show a progress bar on standard error while the block runs, if that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield Bar()
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(err=True), transient=True) as bar:
        yield Bar(bar, bar.add_task(what, total=total))
