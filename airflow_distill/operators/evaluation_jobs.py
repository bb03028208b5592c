"""Bedrock's own jobs as tasks of the evaluation: judging stored answers, and answering by batch inference.

Both are bought once and waited for like every other remote work (`WaitingOperator`). What the job is about is a function
of the receipts, so the half of the task that runs after the wait reads the same answers again and needs nothing from
memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_distill.aws.evidence import load_answers, load_heldout, load_manifest, require
from airflow_distill.aws.gateways import store_for
from airflow_distill.aws.owned import only_ours
from airflow_distill.aws.remote_work import WORK
from airflow_distill.errors import ConfigurationError, EvaluationError
from airflow_distill.operators.base import WaitingOperator
from airflow_distill.operators.evaluation import batch_identity, write_scores
from airflow_distill.operators.jobs import run_tags
from airflow_distill.remote.ownership import Owner
from airflow_distill.remote.polling import Outcome
from airflow_distill.remote.records import JobSnapshot
from airflow_distill.remote.submit import Wish
from airflow_distill.stages.digest import sha256_hex
from airflow_distill.stages.storage import ObjectStore, join_uri
from airflow_distill.triggers.evaluation import (
    BedrockBatchInferenceCompletedTrigger,
    BedrockEvaluationJobCompletedTrigger,
)

if TYPE_CHECKING:
    from airflow_distill.operators.spending import PaidStep
    from airflow_distill.stages.dataset.records import Example
    from airflow_distill.stages.evaluation.batch import BatchAnswers
    from airflow_distill.stages.evaluation.collect import AnswerCache, Parameters
    from airflow_distill.stages.evaluation.jobs import EvaluationDataset, EvaluationJobSpec, Kind
    from airflow_distill.stages.evaluation.records import Answer

WAITING_FIELDS = (
    "wait_for_completion",
    "deferrable",
    "waiter_delay",
    "wait_timeout",
    "on_deadline",
    "cancel_on_kill",
)


def teacher_answers(examples: Sequence[Example], model: str, asked: Sequence[Answer] = ()) -> list[Answer]:
    """Return the teacher's answers: those that it was asked for, and for other examples those of the logs."""
    from airflow_distill.stages.evaluation.items import reference_kind
    from airflow_distill.stages.evaluation.records import Answer

    given = {answer.example_id for answer in asked}
    logged = [e for e in examples if e.id not in given and reference_kind(e) == "teacher"]
    return [*asked, *(Answer(e.id, "teacher", model, e.answer) for e in logged)]


class BedrockEvaluateAnswersOperator(WaitingOperator):
    """Has one model's stored answers judged by a Bedrock evaluation job; returns a `scores` receipt.

    One job judges the answers of one role. Map the operator over the roles that are to be compared and hand the receipts
    to `ScoreAnswersOperator(scores=...)`. A judge of the student's or teacher's family may not gate unless accepted.

    :param answers: the `answers` receipt (templated).
    :param dataset: the `dataset` receipt (templated).
    :param role_arn: the service role that Bedrock assumes (templated).
    :param role: whose answers: `student`, `teacher`, `untuned` or `incumbent` (templated).
    :param metrics: the service's metrics without the prefix `Builtin.` (templated).
    :param evaluator: model id of the judge; leave it out for a programmatic job (templated).
    :param job_task_type: the service's task type; `General` for judges (templated).
    :param accept_same_family: let a judge gate although it is of the student's or teacher's family.
    :param kms_key_id: key for the job (templated).
    :param tags: your own tags, beside ours (templated).
    :param budget: caps that the job must keep to, as the workload file has them (templated).
    :param prices: URI, path or content of a price table that lies over the packaged one (templated).
    :param max_generations: how many jobs these inputs may buy: one more after each that failed. Left out, a second one only
        after a stop, or when the service says that it failed by itself.
    """

    needs_turn = True
    kind = "evaluation-job"
    trigger_class = BedrockEvaluationJobCompletedTrigger
    template_fields: Sequence[str] = aws_template_fields(
        *WAITING_FIELDS,
        "answers",
        "dataset",
        "role_arn",
        "role",
        "metrics",
        "evaluator",
        "job_task_type",
        "kms_key_id",
        "tags",
        "budget",
        "prices",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "answers": "json",
        "dataset": "json",
        "tags": "json",
    }
    ui_color = "#e6f0ff"

    def __init__(
        self,
        *,
        answers: Any,
        dataset: Any,
        role_arn: str,
        role: str = "student",
        metrics: Sequence[str] = ("Correctness", "Completeness"),
        evaluator: str = "",
        job_task_type: str = "General",
        accept_same_family: bool = False,
        kms_key_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        max_generations: int | None = None,
        budget: Mapping[str, Any] | None = None,
        prices: Any = None,
        wait_timeout: timedelta | None = timedelta(days=2),
        **kwargs: Any,
    ) -> None:
        super().__init__(wait_timeout=wait_timeout, **kwargs)
        self.answers = answers
        self.dataset = dataset
        self.role_arn = role_arn
        self.role = role
        self.metrics = metrics
        self.evaluator = evaluator
        self.job_task_type = job_task_type
        self.accept_same_family = accept_same_family
        self.kms_key_id = kms_key_id
        self.tags = tags
        self.max_generations = max_generations
        self.budget = budget
        self.prices = prices

    @property
    def workload(self) -> str:
        """The workload whose answers are judged; empty where `answers` is no receipt, which the work then says."""
        return str(self.answers.get("workload") or "") if isinstance(self.answers, Mapping) else ""

    @property
    def root(self) -> str:
        """Where its objects lie; empty likewise."""
        return str(self.answers.get("root") or "") if isinstance(self.answers, Mapping) else ""

    def work(self, context: Any) -> dict[str, Any]:
        """Write the dataset file, buy the job once, wait for it."""
        from airflow_distill.stages.evaluation.jobs import build_evaluation_request

        store, spec, judged = self._prepare()
        folder = self._folder()
        uri = join_uri(folder, "jobs", f"{spec.content[:32]}.jsonl")
        store.write(uri, judged.data)
        tags = run_tags(context, self, spec.workload, None, self.tags, spec.root)
        bedrock = self.gateways.bedrock

        def create(generation: int) -> str:
            self._claim(context, spec, judged, generation)
            return bedrock.create_evaluation_job(
                build_evaluation_request(
                    spec,
                    generation,
                    dataset_uri=uri,
                    output_uri=join_uri(folder, "jobs"),
                    role_arn=self.role_arn,
                    tags=tags,
                    kms_key_id=self.kms_key_id,
                )
            )

        work = WORK["evaluation-job"]
        wish = Wish(
            "evaluation-job",
            spec.job_name,
            lambda name: work.find(bedrock, name),
            create,
            older_name_of=replace(spec, root="").job_name,
            inspect=only_ours(bedrock, Owner(spec.workload, spec.root), join_uri(folder, "jobs")),
        )
        submission = self.buy_once(context, wish, max_generations=self.max_generations)
        return self.wait_for(context, submission.snapshot, {})

    def _claim(
        self, context: Any, spec: EvaluationJobSpec, judged: EvaluationDataset, generation: int
    ) -> None:
        """Meet the caps with the most that a judge may read and say."""
        from airflow_distill.operators.spending import whole_of
        from airflow_distill.stages.evaluation.jobs import MOST_JUDGE_TOKENS, MOST_TEMPLATE_TOKENS
        from airflow_distill.stages.money.records import Tokens
        from airflow_distill.stages.money.usage import JUDGE

        if not self.budget or not spec.evaluator:
            return
        calls = judged.records * len(spec.metrics)
        read = len(judged.data) * len(spec.metrics) + MOST_TEMPLATE_TOKENS * calls
        kind, base = self._judge_billed(spec)
        step = self._step(context, spec, spec.job_name(generation))
        step.claim(whole_of(JUDGE, kind, base, [Tokens(read, MOST_JUDGE_TOKENS * calls)]))

    def _judge_billed(self, spec: EvaluationJobSpec) -> tuple[str, str]:
        from airflow_distill.operators.judge import model_of_judge
        from airflow_distill.operators.spending import billing_of

        return billing_of(spec.evaluator, model_of_judge(self.gateways, spec.evaluator))

    def _step(self, context: Any, spec: EvaluationJobSpec, name: str) -> PaidStep:
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.operators.spending import PaidStep, read_budget
        from airflow_distill.stages.money.usage import JUDGE

        table, budget = read_prices(self.gateways, self.prices), read_budget(self.budget)
        place = (spec.workload, spec.root, spec.dataset_id)
        return PaidStep(self.gateways, context, *place, JUDGE, table, budget, name=name, shared=True)

    def finish(self, context: Any, outcome: Outcome, carry: Mapping[str, Any]) -> dict[str, Any]:
        """Note what the judge used, as far as the job's output tells it: Bedrock itself does not."""
        said = super().finish(context, outcome, carry)
        snapshot = outcome.snapshot
        if snapshot is not None and snapshot.state == "succeeded" and self.evaluator:
            self._note(context, snapshot)
        return said

    def _note(self, context: Any, snapshot: JobSnapshot) -> None:
        from airflow_distill.stages.dataset.tokens import estimate_tokens
        from airflow_distill.stages.evaluation.jobs import judge_use

        store, spec, judged = self._prepare()
        used = judge_use(self._output(store, snapshot), judged, estimate_tokens)
        kind, base = self._judge_billed(spec)
        step = self._step(context, spec, snapshot.name)
        step.note(
            snapshot.arn,
            what=snapshot.name,
            model=base,
            kind=kind,
            calls=used.calls,
            tokens=used.about,
            at_risk=used.risk,
            how="derived",
        )
        step.settle()

    def _output(self, store: ObjectStore, snapshot: JobSnapshot) -> list[bytes]:
        """Return the files that a job has written."""
        from airflow_distill.stages.evaluation.jobs import is_output

        prefix = join_uri(self._folder(), "jobs", snapshot.name, snapshot.arn.rsplit("/", 1)[-1]) + "/"
        return [store.read(each.uri) for each in store.iter_objects(prefix) if is_output(each.uri)]

    def _folder(self) -> str:
        answers = require(self.answers, "answers", "answers")
        return join_uri(answers["root"], answers["workload"], "evaluations", answers["evaluation_id"])

    def _prepare(self) -> tuple[ObjectStore, EvaluationJobSpec, EvaluationDataset]:
        from airflow_distill.stages.evaluation.jobs import (
            MAX_PROMPT_BYTES,
            EvaluationJobSpec,
            evaluation_dataset,
        )

        answers = require(self.answers, "answers", "answers")
        store = store_for(self.gateways, answers["root"])
        manifest = load_manifest(store, require(self.dataset, "dataset", "dataset"))
        examples = load_heldout(store, manifest)
        if self.role not in answers["roles"]:
            raise ConfigurationError(f"evaluation: there are no answers of the {self.role}.")
        found = [a for a in load_answers(store, answers) if a.role == self.role]
        if self.role == "teacher":
            found = teacher_answers(examples, manifest.teacher, found)
        kind: Kind = "judge" if self.evaluator else "programmatic"
        draft = EvaluationJobSpec(
            answers["workload"],
            manifest.dataset_id,
            self.role,
            answers["roles"][self.role]["model"],
            "",
            tuple(self.metrics),
            kind,
            self.evaluator or "",
            self.job_task_type,
        )
        judged = evaluation_dataset(
            examples, found, draft.source, MAX_PROMPT_BYTES if kind == "judge" else None
        )
        if not judged.records:
            raise EvaluationError(
                f"evaluation: the {self.role} gave no answer that a job could judge; {len(judged.too_long)} prompts "
                f"are longer than the {MAX_PROMPT_BYTES:,} bytes that a judge job takes."
            )
        spec = EvaluationJobSpec(
            draft.workload,
            draft.dataset_id,
            draft.role,
            draft.model,
            sha256_hex(judged.data),
            draft.metrics,
            kind,
            draft.evaluator,
            draft.task_type,
            root=answers["root"],
        )
        return store, spec, judged

    def receipt(self, snapshot: JobSnapshot, carry: Mapping[str, Any]) -> dict[str, Any]:
        """Read the job's output and return the `scores` receipt; before the end it names only the job."""
        from airflow_distill.stages.evaluation.jobs import metric_name, read_job_scores

        store, spec, judged = self._prepare()
        if not snapshot.ended:
            return {
                "kind": "scores",
                "v": 1,
                "workload": spec.workload,
                "job_arn": snapshot.arn,
                "status": snapshot.status,
            }
        found = read_job_scores(self._output(store, snapshot), judged, self.role, spec.metrics)
        why = self._why(spec)
        self.log.info(
            "%s: %d records judged, %d prompts too long for a judge, missing %s, %d output lines of other records",
            self.role,
            judged.records,
            len(judged.too_long),
            found.missing() or "none",
            found.strays,
        )
        return write_scores(
            store,
            join_uri(self._folder(), "scores", f"{snapshot.name}.jsonl"),
            found.scores,
            require(self.answers, "answers", "answers"),
            {
                "source": "evaluation-job",
                "job_arn": snapshot.arn,
                "may_gate": not why,
                "why": why,
                "would_gate": [metric_name(m) for m in spec.metrics],
            },
        )

    def _why(self, spec: EvaluationJobSpec) -> list[str]:
        from airflow_distill.operators.judge import model_of_judge
        from airflow_distill.stages.jobs.models import family

        if not spec.evaluator or self.accept_same_family:
            return []
        dataset = require(self.dataset, "dataset", "dataset")
        related = {family(str(dataset["teacher"])), family(str(dataset["student"]))}
        judge = model_of_judge(self.gateways, spec.evaluator)
        return ["same-family"] if family(judge) in related else []


class BedrockBatchAnswersOperator(WaitingOperator):
    """Has a base model answer the held-out prompts by batch inference: the untuned student, or the teacher.

    The service takes no custom model and no host this way. The answers are kept where `CollectAnswersOperator` looks
    before it asks, so put this task before it. What a partly completed, expired or stopped job has left out is then asked
    at runtime. Returns a `batch` receipt.

    :param dataset: the `dataset` receipt (templated).
    :param workload: the workload's name (templated).
    :param root: where the workload's objects live (templated).
    :param role_arn: the service role that Bedrock assumes (templated).
    :param model: a base model or a profile, by id or ARN (templated).
    :param max_tokens: most tokens an answer may have; as in `CollectAnswersOperator`, or its answers do not count.
    :param temperature: sampling temperature; as in `CollectAnswersOperator`.
    :param repeats: answers asked for each prompt; as in `CollectAnswersOperator`.
    :param hours: after which the service ends the job, 24 to 168.
    :param too_few: `return` without a job when fewer records than the service takes are missing, or `fail`.
    :param kms_key_id: key for the output (templated).
    :param tags: your own tags, beside ours (templated).
    :param budget: caps that the job must keep to, as the workload file has them (templated).
    :param prices: URI, path or content of a price table that lies over the packaged one (templated).
    :param max_generations: how many jobs these inputs may buy: one more after each that failed. Left out, a second one only
        after a stop, or when the service says that it failed by itself.
    """

    needs_turn = True
    kind = "batch-inference-job"
    trigger_class = BedrockBatchInferenceCompletedTrigger
    template_fields: Sequence[str] = aws_template_fields(
        *WAITING_FIELDS,
        "dataset",
        "workload",
        "root",
        "role_arn",
        "model",
        "kms_key_id",
        "tags",
        "budget",
        "prices",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"dataset": "json", "tags": "json"}
    ui_color = "#e6f0ff"

    def __init__(
        self,
        *,
        dataset: Any,
        workload: str,
        root: str,
        role_arn: str,
        model: str,
        max_tokens: int = 512,
        temperature: float | None = 0.0,
        repeats: int = 1,
        hours: int = 24,
        too_few: str = "return",
        kms_key_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        max_generations: int | None = None,
        budget: Mapping[str, Any] | None = None,
        prices: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.budget = budget
        self.prices = prices
        if too_few not in ("return", "fail"):
            raise ConfigurationError("batch: too_few is `return` or `fail`.")
        self.dataset = dataset
        self.workload = workload
        self.root = root
        self.role_arn = role_arn
        self.model = model
        self.max_tokens = max_tokens
        self.temperature = temperature
        self.repeats = repeats
        self.hours = hours
        self.too_few = too_few
        self.kms_key_id = kms_key_id
        self.tags = tags
        self.max_generations = max_generations

    def work(self, context: Any) -> dict[str, Any]:
        """Write the input file of what is missing, buy the job once, wait for it."""
        from airflow_distill.stages.evaluation.batch import (
            MIN_RECORDS,
            BatchSpec,
            batch_input,
            build_batch_request,
        )

        store, cache, asked = self._prepare()
        kept = cache.load()
        missing = [(e, r) for e, r in asked if (e.id, r) not in kept]
        if len(missing) < MIN_RECORDS:
            return self._nothing_to_buy(len(asked), len(missing))
        data = batch_input(asked, self._parameters)
        spec = BatchSpec(
            self.workload,
            self._dataset_id,
            self.model,
            sha256_hex(data),
            int(self.hours),
            root=self.root,
        )
        folder = join_uri(self.root, self.workload, "evaluations", "batch")
        uri = join_uri(folder, "input", f"{spec.content[:32]}.jsonl")
        store.write(uri, data)
        tags = run_tags(context, self, self.workload, None, self.tags, self.root)
        bedrock = self.gateways.bedrock

        def create(generation: int) -> str:
            self._claim(context, [example for example, _ in asked])
            return bedrock.create_batch_job(
                build_batch_request(
                    spec,
                    generation,
                    input_uri=uri,
                    output_uri=join_uri(folder, "output"),
                    role_arn=self.role_arn,
                    tags=tags,
                    kms_key_id=self.kms_key_id,
                )
            )

        work = WORK["batch-inference-job"]
        wish = Wish(
            "batch-inference-job",
            spec.job_name,
            lambda name: work.find(bedrock, name),
            create,
            older_name_of=replace(spec, root="").job_name,
            inspect=only_ours(bedrock, Owner(self.workload, self.root), join_uri(folder, "output")),
        )
        submission = self.buy_once(context, wish, max_generations=self.max_generations)
        return self.wait_for(context, submission.snapshot, {})

    def _step(self, context: Any) -> PaidStep:
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.operators.spending import PaidStep, read_budget
        from airflow_distill.stages.money.usage import BATCH

        table, budget = read_prices(self.gateways, self.prices), read_budget(self.budget)
        place = (self.workload, self.root, self._dataset_id)
        return PaidStep(self.gateways, context, *place, BATCH, table, budget, name=self.model, shared=True)

    def _claim(self, context: Any, asked: Sequence[Example]) -> None:
        from airflow_distill.operators.spending import billing_of, most_of, whole_of

        step = self._step(context)
        _, base = billing_of(self.model, self.model)
        step.claim(whole_of(step.stage, "batch", base, most_of(asked, self.max_tokens)))

    def _note(self, context: Any, arn: str, answers: Sequence[Answer]) -> None:
        from airflow_distill.operators.spending import billing_of
        from airflow_distill.stages.money.records import Tokens

        step = self._step(context)
        _, base = billing_of(self.model, self.model)
        came = [each for each in answers if each.input_tokens is not None]
        used = sum((Tokens.of(each.input_tokens, each.output_tokens) for each in came), Tokens())
        step.note(arn, what=base, model=base, kind="batch", calls=len(came), tokens=used)
        step.settle()

    @property
    def _parameters(self) -> Parameters:
        from airflow_distill.stages.evaluation.collect import Parameters

        return Parameters(self.max_tokens, self.temperature)

    @property
    def _dataset_id(self) -> str:
        return str(require(self.dataset, "dataset", "dataset")["dataset_id"])

    def _prepare(self) -> tuple[ObjectStore, AnswerCache, list[tuple[Example, int]]]:
        from airflow_distill.stages.evaluation.batch import require_batch_model
        from airflow_distill.stages.evaluation.collect import AnswerCache, questions_of

        require_batch_model(self.model)
        store = store_for(self.gateways, self.root)
        manifest = load_manifest(store, require(self.dataset, "dataset", "dataset"))
        folder = join_uri(self.root, self.workload, "evaluations", "cache")
        cache = AnswerCache(store, folder, batch_identity(self.model), self._parameters)
        return store, cache, questions_of(load_heldout(store, manifest), self.repeats)

    def _nothing_to_buy(self, asked: int, missing: int) -> dict[str, Any]:
        from airflow_distill.stages.evaluation.batch import MIN_RECORDS

        if missing and self.too_few == "fail":
            raise ConfigurationError(
                f"batch: {missing} prompts are fewer than the {MIN_RECORDS} that a batch job takes.",
                hint="Leave them to runtime calls.",
            )
        self.log.info(
            "%d of %d prompts are missing: too few for a batch job, left to runtime calls", missing, asked
        )
        return self._receipt("", "NotNeeded", asked - missing, 0, missing)

    def _receipt(self, arn: str, status: str, answered: int, errors: int, missing: int) -> dict[str, Any]:
        return {
            "kind": "batch",
            "v": 1,
            "workload": self.workload,
            "dataset_id": self._dataset_id,
            "model": self.model,
            "job_arn": arn,
            "status": status,
            "answered": answered,
            "errors": errors,
            "missing": missing,
        }

    def finish(self, context: Any, outcome: Outcome, carry: Mapping[str, Any]) -> dict[str, Any]:
        """Take what an expired or stopped job has answered, like what a completed one has."""
        partial = outcome.snapshot is not None and outcome.snapshot.status in ("Expired", "Stopped")
        if partial and outcome.snapshot is not None:
            self.show(context, outcome.snapshot)
            said = self.receipt(outcome.snapshot, carry)
        else:
            said = super().finish(context, outcome, carry)
        if outcome.snapshot is not None:
            store, _, asked = self._prepare()
            self._note(context, outcome.snapshot.arn, self._found(store, outcome.snapshot, asked).answers)
        return said

    def receipt(self, snapshot: JobSnapshot, carry: Mapping[str, Any]) -> dict[str, Any]:
        """Keep the job's answers and return the receipt; before the end it names only the job."""
        store, cache, asked = self._prepare()
        if not snapshot.ended:
            return self._receipt(snapshot.arn, snapshot.status, 0, 0, len(asked))
        found = self._found(store, snapshot, asked)
        cache.add(found.answers)
        counts = (len(found.answers) - found.errors, found.errors, found.missing)
        self.log.info("%s: %d answered, %d errors, %d missing", snapshot.status, *counts)
        return self._receipt(snapshot.arn, snapshot.status, *counts)

    def _found(
        self, store: ObjectStore, snapshot: JobSnapshot, asked: Sequence[tuple[Example, int]]
    ) -> BatchAnswers:
        from airflow_distill.stages.evaluation.batch import read_batch_output
        from airflow_distill.stages.evaluation.collect import Subject

        subject = Subject("student", self.model, batch_identity(self.model))
        return read_batch_output(self._outputs(store, snapshot), asked, subject, self._parameters)

    def _outputs(self, store: ObjectStore, snapshot: JobSnapshot) -> Iterator[bytes]:
        from airflow_distill.stages.evaluation.batch import is_output as is_batch_output

        folder = join_uri(self.root, self.workload, "evaluations", "batch", "output")
        prefix = join_uri(folder, snapshot.arn.rsplit("/", 1)[-1]) + "/"
        for item in store.iter_objects(prefix):
            if is_batch_output(item.uri):
                yield store.read(item.uri)
