"""The pairwise judge as a task: it is put to controls, then compares the student's answers with another role's.

The judge is asked like any other model: paced, bounded, and once; its replies are kept, so a retry asks only what is
missing. Its figures gate only when the judge has shown that they may (`judge_standing`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_distill.aws.gateways import store_for
from airflow_distill.errors import ConfigurationError
from airflow_distill.operators.base import DistillOperator
from airflow_distill.operators.evaluation import (
    asker,
    load_answers,
    load_heldout,
    load_manifest,
    read_checked,
    require,
    write_scores,
)
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.digest import canonical_json, digest
from airflow_distill.stages.evaluation.collect import AnswerCache, Parameters, Subject, collect
from airflow_distill.stages.evaluation.collect_pacing import Pacer
from airflow_distill.stages.evaluation.judge import (
    ADVISORY,
    METRIC,
    AnswerAll,
    Pair,
    judge_pairs,
    judge_scores,
)
from airflow_distill.stages.evaluation.judge_standing import (
    WHY,
    JudgeReport,
    JudgeRules,
    agreement,
    read_labels,
    report_on,
    run_controls,
)
from airflow_distill.stages.jobs.models import family
from airflow_distill.stages.storage import ObjectStore, join_uri


class JudgeAnswersOperator(DistillOperator):
    """Compares the student's stored answers with another role's, pair by pair; returns a `scores` receipt.

    A judge that may gate gives the metric `judge_preference`; one that may not gives `judge_preference_advisory`, which
    no policy on the former finds, so it cannot promote. Why it may not is in the receipt, the log and the report.

    :param answers: the `answers` receipt (templated).
    :param dataset: the `dataset` receipt (templated).
    :param judge: model id of the judge (templated).
    :param against: the role to compare with, `teacher` or `incumbent` (templated).
    :param labels: URI of a file of pairs that people have compared; without it the judge only advises (templated).
    :param rules: what the judge must show, see `JudgeRules` (templated).
    :param show_reference: show the judge the reference where people wrote it (golden answers).
    :param max_tokens: most tokens of a reply.
    :param threads: most requests in flight at once.
    :param token_rate: most tokens a second to use.
    """

    template_fields: Sequence[str] = aws_template_fields(
        "answers", "dataset", "judge", "against", "labels", "rules"
    )
    ui_color = "#e6f0ff"

    def __init__(
        self,
        *,
        answers: Any,
        dataset: Any,
        judge: str,
        against: str = "teacher",
        labels: str | None = None,
        rules: Mapping[str, Any] | None = None,
        show_reference: bool = True,
        max_tokens: int = 200,
        threads: int = 8,
        token_rate: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.answers = answers
        self.dataset = dataset
        self.judge = judge
        self.against = against
        self.labels = labels
        self.rules = rules
        self.show_reference = show_reference
        self.max_tokens = max_tokens
        self.threads = threads
        self.token_rate = token_rate

    def work(self, context: Any) -> dict[str, Any]:
        """Control the judge, let it compare, store scores and report."""
        answers = require(self.answers, "answers", "answers")
        dataset = require(self.dataset, "dataset", "dataset")
        store = store_for(self.gateways, answers["root"])
        manifest = load_manifest(store, dataset)
        examples = load_heldout(store, manifest)
        rules = JudgeRules.from_json(self.rules or {})
        answer_all = self._answer_all(store, answers)
        judgements = judge_pairs(self._pairs(store, answers, examples), answer_all)
        labelled = (
            read_labels(read_checked(store, self.labels, None, "labelled pairs")) if self.labels else []
        )
        agreed, kappa = agreement(labelled, answer_all) if labelled else (None, None)
        report = report_on(
            self.judge,
            judgements,
            rules=rules,
            controls=run_controls(_known(examples), answer_all, rules.controls),
            agreed=agreed,
            kappa=kappa,
            same_family=family(self.judge) in {family(manifest.teacher), family(manifest.student)},
        )
        self._tell(report)
        return self._store(store, answers, judgements, report)

    def _answer_all(self, store: ObjectStore, answers: Mapping[str, Any]) -> AnswerAll:
        parameters = Parameters(self.max_tokens, 0.0)
        subject = Subject("student", self.judge, f"judge|{self.judge}")
        folder = join_uri(answers["root"], answers["workload"], "evaluations", "cache")
        cache = AnswerCache(store, folder, subject.identity, parameters)
        pacer = Pacer(most=self.token_rate) if self.token_rate else Pacer()

        def answer_all(prompts: Sequence[Example]) -> dict[str, str | None]:
            collected = collect(
                prompts,
                subject,
                parameters,
                ask=asker(self.gateways.runtime, self.judge),
                cache=cache,
                pacer=pacer,
                now=time.monotonic,
                sleep=time.sleep,
                threads=self.threads,
            )
            return {a.example_id: a.text for a in collected.answers}

        return answer_all

    def _pairs(
        self, store: ObjectStore, answers: Mapping[str, Any], examples: Sequence[Example]
    ) -> list[Pair]:
        if self.against not in ("teacher", "incumbent"):
            raise ConfigurationError("judge: against is `teacher` or `incumbent`.")
        given = {(a.role, a.example_id): a.text for a in load_answers(store, answers) if a.repeat == 0}
        pairs = []
        for example in {e.id: e for e in examples}.values():
            logged = example.answer if self.against == "teacher" and not example.golden else None
            theirs = given.get((self.against, example.id)) or logged
            ours = given.get(("student", example.id))
            if theirs and ours:
                reference = example.answer if self.show_reference and example.golden else None
                pairs.append(Pair(example.id, example, ours, theirs, reference))
        return pairs

    def _tell(self, report: JudgeReport) -> None:
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
        self, store: ObjectStore, answers: Mapping[str, Any], judgements: Any, report: JudgeReport
    ) -> dict[str, Any]:
        asked = METRIC if self.against == "teacher" else f"{METRIC}_{self.against}"
        metric = (
            asked
            if report.may_gate
            else ADVISORY
            if self.against == "teacher"
            else f"{ADVISORY}_{self.against}"
        )
        folder = join_uri(
            answers["root"], answers["workload"], "evaluations", answers["evaluation_id"], "scores"
        )
        name = f"judge-{digest([self.judge, self.against, report.to_json()], 16)}"
        report_uri = join_uri(folder, f"{name}.json")
        store.write(report_uri, canonical_json(report.to_json()))
        return write_scores(
            store,
            join_uri(folder, f"{name}.jsonl"),
            judge_scores(judgements, against=self.against, metric=metric),
            answers,
            {
                "source": "judge",
                "metric": metric,
                "report_uri": report_uri,
                "may_gate": report.may_gate,
                "why": list(report.why),
                "would_gate": [asked],
            },
        )


def _known(examples: Sequence[Example]) -> list[tuple[Example, str]]:
    return [(e, e.answer) for e in examples if e.answer]
