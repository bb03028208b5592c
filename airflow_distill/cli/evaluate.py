"""`airflow-distill evaluate`: scores collected answers under a policy, without Airflow.

Takes a folder of answers as the collection writes it (`student.jsonl`, `untuned.jsonl`, ...) and the held-out file they
were given to; hands on a verdict, and a report if asked. Exit status: 0 the policy would promote, 1 it would not, 2 it
could not be done. Nothing is recorded as a decision: that is the Dag's to do. With `--again FILE` a workload's kept
answers are scored and decided anew by what its file says now, and recorded beside the earlier ones, as the Dag would.
The AWS SDK is imported only for `s3://` and `--again`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_distill.cli.account import add_connection_flags, connect, name_of
from airflow_distill.cli.terminal import say, say_json
from airflow_distill.errors import ConfigurationError, EvaluationError
from airflow_distill.remote.times import iso
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.decision.decide import Freshness, decide
from airflow_distill.stages.decision.policy import PromotionPolicy
from airflow_distill.stages.decision.records import Verdict
from airflow_distill.stages.digest import sha256_hex
from airflow_distill.stages.evaluation.collect import read_answers, read_examples
from airflow_distill.stages.evaluation.compare import score_answers
from airflow_distill.stages.evaluation.records import ROLES, Answer, Scorecard
from airflow_distill.stages.evaluation.report_costs import answers_usd
from airflow_distill.stages.evaluation.scorers.registry import SCORERS, make_scorers
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.storage import (
    LocalStore,
    ObjectMissingError,
    ObjectStore,
    join_uri,
    write_private,
)

NOTES = """ANSWERS holds student.jsonl and, as far as they were asked, untuned.jsonl, incumbent.jsonl and
teacher.jsonl. The held-out file is looked for as heldout.jsonl in ANSWERS and beside it; name it with --heldout otherwise.

With --again, the newest evaluation of a workload (or --evaluation ID) is judged by the scorers, policy and approval
rule that its file names now. No model is asked; scorecard and decision are recorded beside the earlier ones. Clear
`score` or `decide` of the run to go on from there.

exit status: 0 the policy would promote, 1 it would not, 2 it could not be done

examples:
  airflow-distill evaluate answers/ --policy policy.yaml --heldout heldout.jsonl
  airflow-distill evaluate s3://bucket/w/evaluations/ab12/answers --heldout s3://bucket/w/datasets/cd34/heldout.jsonl \\
      --policy policy.yaml --report report.html
  airflow-distill evaluate --again distill/support_tickets.yaml
"""


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = NOTES
    parser.add_argument("answers", metavar="ANSWERS", nargs="?", help="folder of answers, local or s3://")
    parser.add_argument(
        "--again",
        metavar="FILE",
        type=Path,
        help="workload file: judge its kept answers again, and record the decision",
    )
    parser.add_argument("--evaluation", metavar="ID", default="", help="with --again: not the newest one")
    parser.add_argument("--policy", metavar="FILE", help="promotion policy, YAML or JSON")
    parser.add_argument("--heldout", metavar="FILE", help="held-out file of the dataset, local or s3://")
    parser.add_argument(
        "--metric",
        action="append",
        metavar="KIND",
        help="scorer to use, repeatable; JSON for settings (default: those the policy names)",
    )
    parser.add_argument(
        "--slice", action="append", metavar="KEY", help="metadata key to cut along, repeatable"
    )
    parser.add_argument(
        "--workload",
        default="workload",
        metavar="WORKLOAD",
        help="a workload's file or name, shown in the report",
    )
    parser.add_argument("--report", metavar="FILE", help="write the report page to this file")
    parser.add_argument(
        "--show-texts", action="store_true", help="put the worst cases' texts into the report"
    )
    parser.add_argument("--json", action="store_true", help="print verdict and figures as one JSON object")
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Score, decide, print; write the report if asked."""
    if args.again is not None:
        return _again(args)
    if not args.answers or not args.policy:
        raise ConfigurationError(
            "evaluate: ANSWERS and --policy are missing.",
            hint="Name both, or judge a workload's kept answers again with --again FILE.",
        )
    policy = read_policy(args.policy)
    stores = _Stores(args)
    heldout = _heldout(stores, args)
    examples = read_examples(heldout)
    answers, digests = _answers(stores, args.answers)
    scorecard = score_answers(
        examples,
        answers,
        make_scorers(_metrics(args.metric, policy)),
        workload=name_of(args.workload),
        dataset_id=sha256_hex(heldout)[:20],
        heldout_sha256=sha256_hex(heldout),
        alpha=policy.alpha,
        slice_keys=args.slice,
        answers_sha256=digests,
        price_of=answers_usd(PriceTable.load()),
        created_at=_now(),
    )
    verdict = decide(scorecard, policy, freshness=_as_given(scorecard))
    if args.report:
        _write_report(args, scorecard, verdict, examples, answers)
    if args.json:
        say_json({"verdict": verdict.to_json(), "scorecard": scorecard.to_json()})
    else:
        _show(scorecard, verdict, args.report)
    return 0 if verdict.promotes else 1


def _again(args: argparse.Namespace) -> int:
    """Judge kept answers by what the workload's file says now."""
    from airflow_distill.aws.judging import judge_again
    from airflow_distill.workload.reading import read_workload

    given = {
        "ANSWERS": args.answers,
        "--policy": args.policy,
        "--metric": args.metric,
        "--heldout": args.heldout,
    }
    both = [name for name, value in given.items() if value]
    if both:
        raise ConfigurationError(
            f"evaluate: {', '.join(both)} cannot be given with --again.",
            hint="The workload's file says what is judged and how; edit it.",
        )
    workload = read_workload(args.again)
    gateways = connect(args, workload.region_name)
    again = judge_again(gateways, workload, evaluation_id=args.evaluation, now=datetime.now(UTC))
    record = again.decided.record
    if args.json:
        say_json(
            {**again.decided.receipt, "new_scores": again.new_scores, "new_decision": again.new_decision}
        )
        return 0 if record.verdict.promotes else 1
    say(f"{record.verdict.verdict.upper()}  {again.decided.n} prompts, evaluation {record.evaluation_id}")
    for reason in record.verdict.reasons:
        say(f"  {reason.text}")
    if record.verdict.promotes and record.approval.required:
        say(f"  a person must agree: {record.approval.reason}")
    say(
        f"scores    {'new' if again.new_scores else 'as before'}: {record.scorecard_uri}",
        f"decision  {'new' if again.new_decision else 'as before'}: {again.decided.uri}",
        "No model was asked. Clear `score` or `decide` of the run, with what comes after, to go on from here.",
    )
    return 0 if record.verdict.promotes else 1


def read_policy(path: str) -> PromotionPolicy:
    """Return the policy of a YAML or JSON file.

    :raises ConfigurationError: it cannot be read, or says what a policy does not know.
    """
    import yaml

    from airflow_distill.workload.yaml_bounds import OutOfBoundsError, bounded_data

    try:
        data = bounded_data(Path(path).read_text(encoding="utf-8"))
    except OutOfBoundsError as error:
        raise ConfigurationError(
            f"evaluate: the policy {path}, line {error.line}: {error.message}.", hint=error.fix
        ) from None
    except (OSError, ValueError, OverflowError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"evaluate: the policy {path} cannot be read ({type(error).__name__})."
        ) from None
    if not isinstance(data, Mapping):
        raise ConfigurationError(
            f"evaluate: the policy {path} is not a mapping.", hint="Start with `metrics:`."
        )
    return PromotionPolicy.from_json(data.get("policy", data))


class _Stores:
    """The store that a URI lives in; the AWS SDK is loaded only when S3 is asked."""

    def __init__(self, connection: argparse.Namespace) -> None:
        self.connection = connection
        self._s3: ObjectStore | None = None

    def of(self, uri: str) -> ObjectStore:
        """Return S3 for `s3://`, local files otherwise."""
        if not uri.startswith("s3://"):
            return LocalStore()
        if self._s3 is None:
            self._s3 = connect(self.connection).objects
        return self._s3

    def read(self, uri: str) -> bytes | None:
        """Return an object, or None when there is none."""
        try:
            return self.of(uri).read(uri)
        except (ObjectMissingError, IsADirectoryError):
            return None


def _heldout(stores: _Stores, args: argparse.Namespace) -> bytes:
    folder = args.answers.rstrip("/")
    beside = folder.rpartition("/")[0] or "."
    places = [args.heldout] if args.heldout else [join_uri(p, "heldout.jsonl") for p in (folder, beside)]
    for place in places:
        data = stores.read(place)
        if data is not None:
            return data
    raise ConfigurationError(
        f"evaluate: there is no held-out file at {' or '.join(places)}.", hint="Name it with --heldout."
    )


def _answers(stores: _Stores, folder: str) -> tuple[list[Answer], dict[str, str]]:
    answers: list[Answer] = []
    digests: dict[str, str] = {}
    for role in ROLES:
        data = stores.read(join_uri(folder, f"{role}.jsonl"))
        if data is not None:
            answers += read_answers(data)
            digests[role] = sha256_hex(data)
    if "student" not in digests:
        raise EvaluationError(
            f"evaluate: there is no student.jsonl in {folder}.",
            hint="Point to the folder that holds the answers.",
        )
    return answers, digests


def _metrics(asked: list[str] | None, policy: PromotionPolicy) -> list[Any]:
    if asked:
        return [_spec(text) for text in asked]
    unknown = [rule.name for rule in policy.metrics if rule.name not in SCORERS]
    if unknown:
        raise ConfigurationError(
            f"evaluate: no scorer is called {', '.join(unknown)}.",
            hint='Say how to score it: --metric \'{"kind": "json_schema", "name": "...", ...}\'.',
        )
    return [rule.name for rule in policy.metrics]


def _spec(text: str) -> Any:
    if not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise ConfigurationError("evaluate: --metric is neither a scorer's kind nor JSON.") from None


def _as_given(scorecard: Scorecard) -> Freshness:
    """At a terminal the files are what is true now: the user has just named them."""
    return Freshness(
        scorecard.dataset_id,
        scorecard.heldout_sha256,
        scorecard.models.get("student", ""),
        scorecard.models.get("incumbent"),
    )


def _now() -> str:
    return iso(datetime.now(UTC))


def _write_report(
    args: argparse.Namespace,
    scorecard: Scorecard,
    verdict: Verdict,
    examples: list[Example],
    answers: list[Answer],
) -> None:
    from airflow_distill.stages.evaluation.report import ReportData, render_report

    decision = {"outcome": verdict.verdict, "verdict": verdict.to_json()}
    texts = _texts(scorecard, examples, answers) if args.show_texts else {}
    page = render_report(ReportData(scorecard, decision, texts=texts, made_at=_now()))
    write_private(Path(args.report), page)


def _texts(scorecard: Scorecard, examples: list[Example], answers: list[Answer]) -> dict[str, dict[str, str]]:
    worst = {r.example_id for r in scorecard.regressions}
    texts = {
        e.id: {"prompt": e.turns[-1].text, "reference": e.answer or ""} for e in examples if e.id in worst
    }
    for answer in answers:
        if answer.example_id in texts and answer.repeat == 0:
            texts[answer.example_id][answer.role] = answer.text or f"({answer.error})"
    return texts


def _show(scorecard: Scorecard, verdict: Verdict, report: str | None) -> None:
    say(f"{verdict.verdict.upper()}  {scorecard.n} prompts")
    for reason in verdict.reasons:
        say(f"  {reason.text}")
    say()
    for metric in scorecard.metrics:
        if not metric.slice:
            mean = "unknown" if metric.mean is None else f"{metric.mean:.3f}"
            ends = f"  [{metric.interval.low:.3f}, {metric.interval.high:.3f}]" if metric.interval else ""
            say(f"  {metric.metric:<20} {metric.role:<10} {mean}{ends}")
    for summary in scorecard.summaries:
        if summary.errors:
            say(f"  {summary.role}: {summary.errors} of {summary.answers} answers are errors", err=True)
    if report:
        say("", f"Report: {report}")
