"""The pairwise judge as a task: it is put to controls, then compares the student's answers with another role's.

The judge is asked like any other model: paced, bounded, and once; its replies are kept, so a retry asks only what is
missing. Its figures gate only when the judge has shown that they may (`judge_standing`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_distill.aws.asking import asker
from airflow_distill.aws.evidence import load_answers, load_heldout, load_manifest, read_checked, require
from airflow_distill.aws.gateways import store_for
from airflow_distill.operators.base import DistillOperator
from airflow_distill.operators.evaluation import write_scores
from airflow_distill.operators.task import settings_read
from airflow_distill.stages.digest import canonical_json, digest
from airflow_distill.stages.storage import ObjectStore, join_uri

if TYPE_CHECKING:
    from airflow_distill.aws.gateways import AwsGateways
    from airflow_distill.operators.spending import PaidStep
    from airflow_distill.stages.dataset.records import Example
    from airflow_distill.stages.evaluation.judge import AnswerAll, Judgement, Pair
    from airflow_distill.stages.evaluation.judge_decoding import Decoding
    from airflow_distill.stages.evaluation.judge_standing import JudgeReport
    from airflow_distill.stages.evaluation.records import Answer


class JudgeAnswersOperator(DistillOperator):
    """Compares stored answers with the teacher's, pair by pair and in both orders; returns a `scores` receipt.

    A role's score is how far its answers are preferred to the teacher's: 0.5 means as good. A judge that may gate gives
    the metric `judge_preference`; one that may not gives `judge_preference_advisory`, which no policy on the former
    finds, so it cannot promote. Why it may not is in the receipt, the log and the report.

    :param answers: the `answers` receipt (templated).
    :param dataset: the `dataset` receipt (templated).
    :param judge: model id of the judge (templated).
    :param roles: whose answers are compared, where there are any. A policy with a rule on the judge compares the student
        with the untuned student and with what is live as well, and holds when one of them is left out here.
    :param labels: URI of a file of pairs that people have compared; without it the judge only advises (templated).
    :param rules: what the judge must show, see `JudgeRules` (templated).
    :param show_reference: show the judge the reference where people wrote it (golden answers).
    :param max_tokens: most tokens of a reply. A judge that reasons gets more, see below.
    :param temperature: sampling temperature; None leaves it to the model. Left out for a judge that refuses it.

    Whether a judge refuses `temperature`, or spends a small limit on reasoning, is learned from one small call and kept
    in the bucket; the receipt's `decoding` says how it was asked.

    :param threads: most requests in flight at once.
    :param token_rate: most tokens a second to use.
    :param budget: caps that the judge's calls must keep to, as the workload file has them (templated).
    :param prices: URI, path or content of a price table that lies over the packaged one (templated).
    """

    template_fields: Sequence[str] = aws_template_fields(
        "answers", "dataset", "judge", "labels", "rules", "budget", "prices"
    )
    ui_color = "#e6f0ff"

    def __init__(
        self,
        *,
        answers: Any,
        dataset: Any,
        judge: str,
        roles: Sequence[str] = ("student", "untuned", "incumbent"),
        labels: str | None = None,
        rules: Mapping[str, Any] | None = None,
        show_reference: bool = True,
        max_tokens: int = 200,
        temperature: float | None = 0.0,
        threads: int = 8,
        token_rate: float | None = None,
        budget: Mapping[str, Any] | None = None,
        prices: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.answers = answers
        self.dataset = dataset
        self.judge = judge
        self.roles = roles
        self.labels = labels
        self.rules = rules
        self.show_reference = show_reference
        self.max_tokens = max_tokens
        self.temperature = temperature
        self.threads = threads
        self.token_rate = token_rate
        self.budget = budget
        self.prices = prices

    def work(self, context: Any) -> dict[str, Any]:
        """Control the judge, let it compare, store scores and report."""
        from airflow_distill.stages.evaluation.judge import judge_pairs
        from airflow_distill.stages.evaluation.judge_standing import (
            JudgeRules,
            agreement,
            read_labels,
            report_on,
            run_controls,
        )
        from airflow_distill.stages.jobs.models import family

        answers = require(self.answers, "answers", "answers")
        dataset = require(self.dataset, "dataset", "dataset")
        store = store_for(self.gateways, answers["root"])
        manifest = load_manifest(store, dataset)
        examples = load_heldout(store, manifest)
        rules = JudgeRules.from_json(settings_read(JudgeRules, self.rules, "rules"))
        step = self._step(context, manifest.dataset_id, answers)
        decoding = self._decoding(store, answers, step)
        answer_all = self._answer_all(store, answers, decoding, step)
        given = load_answers(store, answers)
        judged = {
            role: judge_pairs(pairs, answer_all)
            for role in self.roles
            if (pairs := self._pairs(role, given, examples))
        }
        labelled = (
            read_labels(read_checked(store, self.labels, None, "labelled pairs")) if self.labels else []
        )
        agreed, kappa = agreement(labelled, answer_all) if labelled else (None, None)
        report = report_on(
            self.judge,
            judged.get("student", []),
            rules=rules,
            controls=run_controls(_known(examples), answer_all, rules.controls),
            agreed=agreed,
            kappa=kappa,
            same_family=family(model_of_judge(self.gateways, self.judge))
            in {family(manifest.teacher), family(manifest.student)},
        )
        self._tell(report)
        step.settle()
        return self._store(store, answers, judged, report, decoding)

    def _step(self, context: Any, dataset_id: str, answers: Mapping[str, Any]) -> PaidStep:
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.operators.spending import PaidStep, read_budget
        from airflow_distill.stages.money.usage import JUDGE

        table = read_prices(self.gateways, self.prices)
        place = (str(answers["workload"]), str(answers["root"]), dataset_id)
        return PaidStep(self.gateways, context, *place, JUDGE, table, read_budget(self.budget))

    def _decoding(self, store: ObjectStore, answers: Mapping[str, Any], step: PaidStep) -> Decoding:
        """Read how this judge lets itself be asked, or learn it and keep it."""
        from airflow_distill.operators.spending import paid_calls
        from airflow_distill.stages.evaluation.collect import Parameters
        from airflow_distill.stages.evaluation.judge_decoding import MOST_TOKENS, QUESTION, kept_decoding

        wanted = Parameters(self.max_tokens, self.temperature)
        folder = join_uri(answers["root"], answers["workload"], "evaluations", "cache")
        model = model_of_judge(self.gateways, self.judge)
        ask = asker(self.gateways.runtime, self.judge)
        with paid_calls(step, "judge", self.judge, model, [QUESTION], MOST_TOKENS, ask) as (paid, before):
            before([QUESTION])
            found = kept_decoding(store, folder, self.judge, wanted, paid, time.sleep)
        if found.learned:
            self.log.info("The judge is asked otherwise than wanted: %s", ", ".join(found.learned))
        return found

    def _answer_all(
        self, store: ObjectStore, answers: Mapping[str, Any], decoding: Decoding, step: PaidStep
    ) -> AnswerAll:
        from airflow_distill.operators.spending import collect_paid
        from airflow_distill.stages.evaluation.collect import AnswerCache, Subject
        from airflow_distill.stages.evaluation.collect_pacing import Pacer

        parameters = decoding.parameters
        subject = Subject("student", self.judge, f"judge|{self.judge}")
        folder = join_uri(answers["root"], answers["workload"], "evaluations", "cache")
        cache = AnswerCache(store, folder, subject.identity, parameters)
        pacer = Pacer(most=self.token_rate) if self.token_rate else Pacer()
        model = model_of_judge(self.gateways, self.judge)
        asking = asker(self.gateways.runtime, self.judge)

        def answer_all(prompts: Sequence[Example]) -> dict[str, str | None]:
            collected = collect_paid(
                step,
                "judge",
                self.judge,
                model,
                prompts,
                subject,
                parameters,
                ask=asking,
                cache=cache,
                pacer=pacer,
                threads=self.threads,
            )
            return {a.example_id: a.text for a in collected.answers}

        return answer_all

    def _pairs(self, role: str, answers: Sequence[Answer], examples: Sequence[Example]) -> list[Pair]:
        from airflow_distill.stages.evaluation.judge import Pair

        given = {(a.role, a.example_id): a.text or "" for a in answers if a.repeat == 0}
        pairs = []
        for example in {e.id: e for e in examples}.values():
            logged = "" if example.golden else example.answer or ""
            theirs = given.get(("teacher", example.id)) or logged
            ours = given.get((role, example.id))
            if theirs and ours is not None:
                reference = example.answer if self.show_reference and example.golden else None
                pairs.append(Pair(example.id, example, ours, theirs, reference))
        return pairs

    def _tell(self, report: JudgeReport) -> None:
        from airflow_distill.stages.evaluation.judge_standing import WHY

        self.log.info(
            "Judge: %d wins, %d ties, %d losses of %d; %d orders hidden in answers",
            report.wins,
            report.ties,
            report.losses,
            report.n,
            report.injections,
        )
        for code in report.why:
            self.log.warning("The judge may not gate: %s (%s).", WHY[code], code)

    def _store(
        self,
        store: ObjectStore,
        answers: Mapping[str, Any],
        judged: Mapping[str, Sequence[Judgement]],
        report: JudgeReport,
        decoding: Decoding,
    ) -> dict[str, Any]:
        from airflow_distill.stages.evaluation.judge import ADVISORY, METRIC, judge_scores

        metric = METRIC if report.may_gate else ADVISORY
        folder = join_uri(
            answers["root"], answers["workload"], "evaluations", answers["evaluation_id"], "scores"
        )
        name = f"judge-{digest([self.judge, sorted(judged), report.to_json()], 16)}"
        report_uri = join_uri(folder, f"{name}.json")
        store.write(report_uri, canonical_json(report.to_json()))
        return write_scores(
            store,
            join_uri(folder, f"{name}.jsonl"),
            judge_scores(judged, metric=metric),
            answers,
            {
                "source": "judge",
                "metric": metric,
                "report_uri": report_uri,
                "may_gate": report.may_gate,
                "why": list(report.why),
                "would_gate": [METRIC],
                "decoding": decoding.to_json(),
            },
        )


def model_of_judge(gateways: AwsGateways, judge: str) -> str:
    """Return the model that a judge is; an application profile tells it only when the service is asked."""
    from airflow_distill.stages.jobs.models import is_application_profile

    if not is_application_profile(judge):
        return judge
    behind = gateways.bedrock.get_inference_profile(judge).get("models") or ()
    return str(behind[0]["modelArn"]) if behind else judge


def _known(examples: Sequence[Example]) -> list[tuple[Example, str]]:
    return [(e, e.answer) for e in examples if e.answer]
