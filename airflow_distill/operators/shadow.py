"""The shadow as a task: live prompts are played against the candidate and the incumbent before anybody is moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_distill.aws.asking import asker
from airflow_distill.aws.evidence import load_manifest, require
from airflow_distill.aws.gateways import store_for
from airflow_distill.aws.judging import keep_shadow, no_shadow, read_shadow
from airflow_distill.operators.base import DistillOperator, wall_clock
from airflow_distill.operators.code_paths import refuse_foreign_functions
from airflow_distill.operators.evaluation import Contestant, contestant
from airflow_distill.operators.logs import redaction_of
from airflow_distill.remote.times import iso
from airflow_distill.stages.storage import join_uri

if TYPE_CHECKING:
    from airflow_distill.operators.spending import PaidStep
    from airflow_distill.stages.dataset.records import DatasetManifest, Example
    from airflow_distill.stages.evaluation.collect import Collected, Parameters
    from airflow_distill.stages.evaluation.records import Scorecard

SHADOW_METADATA = {"airflow-distill": "shadow"}
"""Request metadata of what is asked for a shadow; harvest, savings and watch leave such calls out."""


class PlayShadowOperator(DistillOperator):
    """Plays a sample of live prompts against the candidate and the incumbent; returns a `shadow` receipt.

    The prompts are the newest calls of the live host, from the invocation logs. Candidate, incumbent and teacher are asked
    off the callers' path; the teacher's answers are what both are scored against. The result is a scorecard over live
    prompts, without text, beside that of the evaluation; the decision holds its rules against both. It is made once for
    an evaluation. With nothing live there is nothing to play, and the receipt says so.

    :param workload: the workload's name (templated).
    :param root: where the workload's objects live (templated).
    :param answers: the `answers` receipt; names the evaluation and the model on trial (templated).
    :param dataset: the `dataset` receipt (templated).
    :param host: the `host` receipt, or the ARN of the candidate's host (templated).
    :param incumbent: receipt of what is live (templated).
    :param logs: where invocation logs are delivered (templated).
    :param metrics: scorers, by kind or as `{"kind": ..., ...}` (templated).
    :param functions: import paths of the functions that `metrics` may name, written out in the Dag file.
    :param sample: live prompts that are played, at most.
    :param hours: how far back live prompts are taken from.
    :param max_tokens: most tokens an answer may have.
    :param threads: most requests in flight at once.
    :param redact: replace secrets and identifiers before anybody is asked, as the harvest does.
    :param detectors: import paths of more detectors, written out in the Dag file.
    :param budget: caps that the calls must keep to, as the workload file has them (templated).
    :param prices: URI, path or content of a price table that lies over the packaged one (templated).
    :param student_prices: prices of the student by item, in the table's units, before both (templated).
    """

    import_paths = ("detectors", "functions")
    needs_turn = True
    template_fields: Sequence[str] = aws_template_fields(
        "workload",
        "root",
        "answers",
        "dataset",
        "host",
        "incumbent",
        "logs",
        "metrics",
        "budget",
        "prices",
        "student_prices",
    )
    ui_color = "#e6f0ff"

    def __init__(
        self,
        *,
        workload: str,
        root: str,
        answers: Any,
        dataset: Any,
        host: Any,
        incumbent: Any,
        logs: str,
        metrics: Sequence[str | Mapping[str, Any]] = ("exact",),
        functions: Sequence[str] = (),
        sample: int = 200,
        hours: float = 24.0,
        max_tokens: int = 512,
        threads: int = 8,
        redact: bool = True,
        detectors: Sequence[str] = (),
        budget: Mapping[str, Any] | None = None,
        prices: Any = None,
        student_prices: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.answers = answers
        self.dataset = dataset
        self.host = host
        self.incumbent = incumbent
        self.logs = logs
        self.metrics = metrics
        self.functions = self.written_paths(functions, "functions")
        self.sample = sample
        self.hours = hours
        self.max_tokens = max_tokens
        self.threads = threads
        self.redact = redact
        self.detectors = self.written_paths(detectors, "detectors")
        self.budget = budget
        self.prices = prices
        self.student_prices = student_prices

    def work(self, context: Any) -> dict[str, Any]:
        """Read live prompts, ask all three, score, return the receipt."""
        refuse_foreign_functions(self.metrics, self.functions)
        answers = require(self.answers, "answers", "answers")
        live = self.incumbent if isinstance(self.incumbent, Mapping) else {"host_arn": self.incumbent}
        if not live.get("host_arn"):
            self.log.info("Nothing of %s is live, so there are no live prompts to play.", self.workload)
            return no_shadow(answers)
        store = store_for(self.gateways, self.root)
        standing = read_shadow(store, answers)
        if standing is not None:
            self.log.info("The shadow of this evaluation was played before: %d prompts.", standing["n"])
            return standing
        manifest = load_manifest(store, require(self.dataset, "dataset", "dataset"))
        card = self._played(context, answers, manifest, str(live["host_arn"]))
        receipt = keep_shadow(store, answers, card)
        self.log.info(
            "Played %d live prompts of the last %g hours: %s",
            card.n,
            self.hours,
            ", ".join(
                f"{each.role} failed {each.errors} of {each.answers}, p95 {each.latency_p95_ms or 0:.0f} ms"
                for each in card.summaries
            )
            or "none was logged",
        )
        return receipt

    def _played(
        self, context: Any, answers: Mapping[str, Any], manifest: DatasetManifest, host_arn: str
    ) -> Scorecard:
        from airflow_distill.stages.evaluation.collect import Parameters
        from airflow_distill.stages.evaluation.compare import score_answers
        from airflow_distill.stages.evaluation.scorers.registry import make_scorers

        place = (self.root, self.workload)
        prompts = self._prompts(place, host_arn)
        bedrock = self.gateways.bedrock
        candidate = self.host["host_arn"] if isinstance(self.host, Mapping) else str(self.host)
        teacher = contestant(bedrock, "teacher", manifest.teacher)
        contestants = [contestant(bedrock, "student", candidate), contestant(bedrock, "incumbent", host_arn)]
        step = self._step(context, place, manifest)
        parameters = Parameters(self.max_tokens)
        asked = self._ask(teacher, prompts, parameters, place, step)
        reference = {a.example_id: a.text for a in asked.answers if not a.failed}
        judged = [
            replace(example, answer=reference[example.id]) for example in prompts if example.id in reference
        ]
        found = [
            answer
            for one in contestants
            for answer in self._ask(one, judged, parameters, place, step).answers
        ]
        step.settle()
        return score_answers(
            judged,
            found,
            make_scorers(self.metrics),
            workload=place[1],
            dataset_id=manifest.dataset_id,
            heldout_sha256=manifest.heldout.sha256,
            evaluation_id=str(answers["evaluation_id"]),
            teacher=manifest.teacher,
            slice_keys=(),
            created_at=iso(wall_clock()),
        )

    def _prompts(self, place: tuple[str, str], host_arn: str) -> list[Example]:
        from airflow_distill.aws.live_calls import calls_of_host, example_of

        end = wall_clock().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        harvest = calls_of_host(
            self.gateways,
            place=place,
            logs=self.logs,
            host_arn=host_arn,
            window=(iso(end - timedelta(hours=self.hours + 1)), iso(end)),
            salt=f"shadow:{place[1]}",
            limit=self.sample,
            redact=redaction_of(self.redact, self.detectors),
        )
        return [example_of(item, None) for item in harvest.interactions()]

    def _step(self, context: Any, place: tuple[str, str], manifest: DatasetManifest) -> PaidStep:
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.operators.spending import PaidStep, read_budget
        from airflow_distill.stages.money.usage import SHADOW

        table = read_prices(self.gateways, self.prices, student=manifest.student, stated=self.student_prices)
        return PaidStep(
            self.gateways,
            context,
            place[1],
            place[0],
            manifest.dataset_id,
            SHADOW,
            table,
            read_budget(self.budget),
        )

    def _ask(
        self,
        one: Contestant,
        examples: Sequence[Example],
        parameters: Parameters,
        place: tuple[str, str],
        step: PaidStep,
    ) -> Collected:
        from airflow_distill.operators.spending import collect_paid
        from airflow_distill.stages.evaluation.collect import AnswerCache
        from airflow_distill.stages.evaluation.collect_pacing import Pacer

        folder = join_uri(*place, "evaluations", "cache")
        return collect_paid(
            step,
            one.subject.role,
            one.address,
            one.subject.model,
            examples,
            one.subject,
            parameters,
            ask=asker(self.gateways.runtime, one.address, SHADOW_METADATA),
            cache=AnswerCache(store_for(self.gateways, place[0]), folder, one.subject.identity, parameters),
            pacer=Pacer(),
            threads=self.threads,
        )
