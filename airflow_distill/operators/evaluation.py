"""Evaluation as tasks: collect the answers, score them.

Operators here keep arguments, ask the gateways, call the evaluation stage and return a receipt. What they hand on through
XCom are URIs, digests and counts; prompts and answers stay in the bucket.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_distill.aws.asking import asker
from airflow_distill.aws.bedrock import BedrockGateway
from airflow_distill.aws.evidence import load_heldout, load_manifest, model_behind, require
from airflow_distill.aws.gateways import store_for
from airflow_distill.aws.judging import DEFAULT_ALPHA, DEFAULT_MIN_ITEMS, score_kept
from airflow_distill.errors import ConfigurationError, EvaluationError
from airflow_distill.links.pages import DistillPageLink
from airflow_distill.operators.base import DistillOperator, wall_clock
from airflow_distill.operators.code_paths import refuse_foreign_functions
from airflow_distill.stages.digest import canonical_json, sha256_hex
from airflow_distill.stages.storage import ObjectStore, join_uri

if TYPE_CHECKING:
    from airflow_distill.operators.spending import PaidStep
    from airflow_distill.stages.dataset.records import DatasetManifest, Example
    from airflow_distill.stages.evaluation.collect import Collected, Parameters, Subject
    from airflow_distill.stages.evaluation.records import Score


def host_kind(address: str) -> str:
    """Return in one word how an address serves; part of what answers are kept under, because latency depends on it."""
    if ":provisioned-model/" in address:
        return "provisioned-throughput"
    return "custom-model-deployment" if ":custom-model-deployment/" in address else "on-demand"


def batch_identity(model: str) -> str:
    """Return what batch answers of a model are kept under; they have no latency, so they stand apart."""
    return f"batch|{model}"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A model on trial and the address at which it is asked."""

    subject: Subject
    address: str


def contestant(bedrock: BedrockGateway, role: str, address: str) -> Contestant:
    """Look up what is behind an address and name it for the evaluation."""
    from airflow_distill.stages.evaluation.collect import Subject

    model = model_behind(bedrock, address)
    return Contestant(Subject(role, model, f"{host_kind(address)}|{model}"), address)


def untuned(bedrock: BedrockGateway, base: str) -> Contestant:
    """Name the untuned student: by its id, or through a system profile where it answers no other way."""
    from airflow_distill.stages.evaluation.collect import Subject
    from airflow_distill.stages.jobs.models import base_model_id

    if "ON_DEMAND" in bedrock.get_foundation_model(base).get("inferenceTypesSupported", ()):
        return contestant(bedrock, "untuned", base)
    for profile in bedrock.iter_inference_profiles(typeEquals="SYSTEM_DEFINED"):
        if any(base_model_id(str(model["modelArn"])) == base for model in profile.get("models", ())):
            address = str(profile["inferenceProfileId"])
            return Contestant(Subject("untuned", base, f"{host_kind(address)}|{base}"), address)
    return contestant(bedrock, "untuned", base)


class CollectAnswersOperator(DistillOperator):
    """Asks the models on trial every held-out prompt and keeps their answers; returns an `answers` receipt.

    The teacher's answers are in the held-out file, from the logs. It is asked only the golden prompts, once: what people
    answered says nothing of what the teacher would. Answers are kept by model, parameters and prompt, so a retry or a
    later run asks only what is missing. The model behind each host is looked up before and
    after; when it was swapped meanwhile, nothing is handed on.

    :param dataset: the `dataset` receipt (templated).
    :param workload: the workload's name (templated).
    :param root: where the workload's objects live, `s3://bucket/prefix` (templated).
    :param student: the base model the student was made from, with or without its context suffix; asked as the untuned
        student. Taken from the job or dataset when left out (templated).
    :param job: the `job` receipt; names the custom model that must answer behind the host (templated).
    :param host: the `host` receipt, or the ARN of the host, of the student on trial (templated).
    :param incumbent: ARN of the host now live, or a `host` or `deployment` receipt; nothing when there is none (templated).
    :param ask_untuned: also ask the untuned student.
    :param challengers: other untuned models to ask, ids or system inference profiles, three at most (templated).
    :param max_tokens: most tokens an answer may have; always sent.
    :param temperature: sampling temperature; None leaves it to the model.
    :param repeats: answers asked for each prompt; above 1 only makes sense with a temperature.
    :param threads: most requests in flight at once.
    :param token_rate: most tokens a second to use, when quota must be left to others.
    :param budget: caps that the calls must keep to, as the workload file has them (templated).
    :param prices: URI, path or content of a price table that lies over the packaged one (templated).
    :param student_prices: prices of the student by item, in the table's units, before both (templated).
    :param evaluation_key: any text that tells a further evaluation of the same answers from the first, for instance
        to decide under another policy: what was decided is never overwritten (templated).
    """

    needs_turn = True
    template_fields: Sequence[str] = aws_template_fields(
        "dataset",
        "workload",
        "root",
        "student",
        "job",
        "host",
        "incumbent",
        "challengers",
        "evaluation_key",
        "budget",
        "prices",
        "student_prices",
    )
    ui_color = "#e6f0ff"

    def __init__(
        self,
        *,
        dataset: Any,
        workload: str,
        root: str,
        student: str | None = None,
        job: Any = None,
        host: Any = None,
        incumbent: Any = None,
        ask_untuned: bool = True,
        challengers: Sequence[str] = (),
        max_tokens: int = 512,
        temperature: float | None = 0.0,
        repeats: int = 1,
        threads: int = 8,
        token_rate: float | None = None,
        evaluation_key: str = "",
        budget: Mapping[str, Any] | None = None,
        prices: Any = None,
        student_prices: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.workload = workload
        self.root = root
        self.student = student
        self.job = job
        self.host = host
        self.incumbent = incumbent
        self.ask_untuned = ask_untuned
        self.challengers = challengers
        self.max_tokens = max_tokens
        self.temperature = temperature
        self.repeats = repeats
        self.threads = threads
        self.token_rate = token_rate
        self.evaluation_key = evaluation_key
        self.budget = budget
        self.prices = prices
        self.student_prices = student_prices

    def work(self, context: Any) -> dict[str, Any]:
        """Collect role by role and return the receipt."""
        from airflow_distill.stages.evaluation.collect import Parameters, evaluation_id, write_answers
        from airflow_distill.stages.evaluation.items import reference_kind
        from airflow_distill.stages.evaluation.records import GOLDEN

        dataset = require(self.dataset, "dataset", "dataset")
        store = store_for(self.gateways, self.root)
        manifest = load_manifest(store, dataset)
        examples = load_heldout(store, manifest)
        parameters = Parameters(self.max_tokens, self.temperature)
        contestants = self._contestants(manifest, examples)
        folder = join_uri(self.root, self.workload, "evaluations")
        step = self._step(context, manifest)
        found: dict[str, Collected] = {}
        by_hand = [example for example in examples if reference_kind(example) == GOLDEN]
        cache = join_uri(folder, "cache")
        for one in contestants:
            role = one.subject.role
            if role == "teacher":
                ways = self._teachers_ways(one, parameters, store, cache, step)
                found[role] = self._collect(one, by_hand, ways, store, cache, step)
            else:
                found[role] = self._collect(one, examples, parameters, store, cache, step)
            self._refuse_swap(one)
        step.settle()
        files = {role: write_answers(collected.answers) for role, collected in found.items()}
        key = evaluation_id(
            manifest.dataset_id,
            [c.subject for c in contestants],
            {role: sha256_hex(data) for role, data in files.items()},
            self.evaluation_key,
        )
        roles: dict[str, Any] = {"teacher": _teacher(manifest, examples)}
        for one in contestants:
            role = one.subject.role
            uri = join_uri(folder, key, "answers", f"{role}.jsonl")
            store.write(uri, files[role])
            roles[role] = _role(uri, files[role], one, found[role])
        if roles["teacher"].get("source") != "logs":
            roles["teacher"]["count"] += _logged(examples)
        student = next(c for c in contestants if c.subject.role == "student")
        return {
            "kind": "answers",
            "v": 1,
            "workload": self.workload,
            "dataset_id": manifest.dataset_id,
            "evaluation_id": key,
            "root": self.root,
            "model_arn": student.subject.model,
            "roles": roles,
        }

    def _step(self, context: Any, manifest: DatasetManifest) -> PaidStep:
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.operators.spending import PaidStep, read_budget
        from airflow_distill.stages.money.usage import EVALUATION

        student = self.student or manifest.student
        return PaidStep(
            self.gateways,
            context,
            self.workload,
            self.root,
            manifest.dataset_id,
            EVALUATION,
            read_prices(self.gateways, self.prices, student=student, stated=self.student_prices),
            read_budget(self.budget),
        )

    def _contestants(self, manifest: DatasetManifest, examples: Sequence[Example]) -> list[Contestant]:
        from airflow_distill.stages.evaluation.items import reference_kind
        from airflow_distill.stages.evaluation.records import CHALLENGERS, GOLDEN
        from airflow_distill.stages.jobs.models import base_model_id

        bedrock = self.gateways.bedrock
        found = [contestant(bedrock, "student", _address(self.host, "host"))]
        expected = self.job.get("custom_model_arn") if isinstance(self.job, Mapping) else None
        if expected and found[0].subject.model != expected:
            raise ConfigurationError(
                "evaluation: the host does not serve the model of this job.",
                hint="Evaluate the host that was made for this job's custom model.",
            )
        if self.ask_untuned:
            student = self.student or _of(self.job, "student") or manifest.student
            found.append(untuned(bedrock, base_model_id(student)))
        if any(reference_kind(example) == GOLDEN for example in examples):
            found.append(contestant(bedrock, "teacher", manifest.teacher))
        if len(self.challengers) > len(CHALLENGERS):
            raise ConfigurationError(
                f"evaluation: {len(self.challengers)} challengers are named.",
                hint=f"Name {len(CHALLENGERS)} at most.",
            )
        found += [
            contestant(bedrock, role, model)
            for role, model in zip(CHALLENGERS, self.challengers, strict=False)
        ]
        incumbent = _address(self.incumbent, "incumbent", optional=True)
        if incumbent:
            found.append(contestant(bedrock, "incumbent", incumbent))
        return found

    def _teachers_ways(
        self, teacher: Contestant, wanted: Parameters, store: ObjectStore, folder: str, step: PaidStep
    ) -> Parameters:
        """Return the parameters nearest to the wanted ones that the teacher takes; some refuse `temperature`."""
        from airflow_distill.operators.spending import paid_calls
        from airflow_distill.stages.evaluation.judge_decoding import MOST_TOKENS, QUESTION, kept_decoding

        ask = asker(self.gateways.runtime, teacher.address)
        calls = paid_calls(
            step, "teacher", teacher.address, teacher.subject.model, [QUESTION], MOST_TOKENS, ask
        )
        with calls as (paid, before):
            before([QUESTION])
            found = kept_decoding(store, folder, teacher.address, wanted, paid, time.sleep)
        if found.learned:
            self.log.info("The teacher is asked otherwise than wanted: %s", ", ".join(found.learned))
        return found.parameters

    def _collect(
        self,
        one: Contestant,
        examples: Sequence[Example],
        parameters: Parameters,
        store: ObjectStore,
        folder: str,
        step: PaidStep,
    ) -> Collected:
        from airflow_distill.operators.spending import collect_paid
        from airflow_distill.stages.evaluation.collect import AnswerCache
        from airflow_distill.stages.evaluation.collect_pacing import Pacer

        collected = collect_paid(
            step,
            one.subject.role,
            one.address,
            one.subject.model,
            examples,
            one.subject,
            parameters,
            ask=asker(self.gateways.runtime, one.address),
            cache=AnswerCache(
                store, folder, one.subject.identity, parameters, also=(batch_identity(one.subject.model),)
            ),
            pacer=Pacer(most=self.token_rate) if self.token_rate else Pacer(),
            threads=self.threads,
            repeats=self.repeats,
        )
        self.log.info(
            "%s: %d answers, %d asked now, %d kept from before, %d errors, throttled %d times",
            one.subject.role,
            len(collected.answers),
            collected.asked,
            collected.reused,
            collected.errors,
            collected.throttled,
        )
        return collected

    def _refuse_swap(self, one: Contestant) -> None:
        if host_kind(one.address) == "on-demand":
            return  # a model's id or profile stands for that model and no other
        if model_behind(self.gateways.bedrock, one.address) != one.subject.model:
            raise EvaluationError(
                f"evaluation: the model behind the host of the {one.subject.role} changed while it was asked.",
                hint="Retry when no release is under way.",
            )


def _of(receipt: Any, key: str) -> str:
    return str(receipt.get(key) or "") if isinstance(receipt, Mapping) else ""


def _address(value: Any, argument: str, optional: bool = False) -> str:
    """Return the address in a receipt or in plain text; templates render "nothing" as `None` or as empty text."""
    text = _of(value, "host_arn") if isinstance(value, Mapping) else str(value or "").strip()
    if text in ("", "None"):
        if optional:
            return ""
        raise ConfigurationError(
            f"evaluation: {argument} names no host.", hint="Pass the host receipt or the host's ARN."
        )
    return text


def _teacher(manifest: DatasetManifest, examples: Sequence[Example]) -> dict[str, Any]:
    return {
        "model": manifest.teacher,
        "answers_uri": manifest.heldout.uri,
        "answers_sha256": manifest.heldout.sha256,
        "count": _logged(examples),
        "errors": 0,
        "source": "logs",
    }


def _logged(examples: Sequence[Example]) -> int:
    """Count the prompts whose reference is what the teacher said in the logs."""
    from airflow_distill.stages.evaluation.items import reference_kind

    return sum(reference_kind(example) == "teacher" for example in examples)


def _role(uri: str, data: bytes, one: Contestant, collected: Collected) -> dict[str, Any]:
    return {
        "model": one.subject.model,
        "answers_uri": uri,
        "answers_sha256": sha256_hex(data),
        "count": len(collected.answers),
        "errors": collected.errors,
    }


def write_scores(
    store: ObjectStore,
    uri: str,
    scores: Sequence[Score],
    answers: Mapping[str, Any],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Store scores of a judge or a job and return their receipt; `more` says where they come from and what they may do."""
    data = b"".join(canonical_json(score.to_json()) + b"\n" for score in scores)
    store.write(uri, data)
    return {
        "kind": "scores",
        "v": 1,
        "workload": answers["workload"],
        "evaluation_id": answers["evaluation_id"],
        "scores_uri": uri,
        "scores_sha256": sha256_hex(data),
        "count": len(scores),
        "missing": sum(1 for score in scores if score.value is None),
        **more,
    }


class ScoreAnswersOperator(DistillOperator):
    """Scores the collected answers and compares the student with every other role; returns an `evaluation` receipt.

    The scorecard lies beside the answers. The same answers, dataset and settings give the same scores on every try.

    :param answers: the `answers` receipt (templated).
    :param dataset: the `dataset` receipt (templated).
    :param metrics: scorers, by kind or as `{"kind": ..., ...}` (templated).
    :param functions: import paths of the functions that `metrics` may name, written out in the Dag file.
    :param slices: keys of the request metadata to cut along; None takes those with few values (templated).
    :param scores: `scores` receipts of other tasks, such as a judge's (templated).
    :param alpha: the error rate of each bound in the scorecard.
    :param min_items: below so many prompts no interval is given.
    :param prices: URI, path or content of a price table that lies over the packaged one (templated).
    :param student_prices: prices of the student by item, in the table's units, before both (templated).
    """

    import_paths = ("functions",)
    operator_extra_links = (DistillPageLink(),)
    template_fields: Sequence[str] = aws_template_fields(
        "answers", "dataset", "metrics", "slices", "scores", "prices", "student_prices"
    )
    ui_color = "#e6f0ff"

    def __init__(
        self,
        *,
        answers: Any,
        dataset: Any,
        metrics: Sequence[str | Mapping[str, Any]] = ("exact",),
        functions: Sequence[str] = (),
        slices: Sequence[str] | None = None,
        scores: Any = (),
        alpha: float = DEFAULT_ALPHA,
        min_items: int = DEFAULT_MIN_ITEMS,
        prices: Any = None,
        student_prices: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prices = prices
        self.student_prices = student_prices
        self.answers = answers
        self.dataset = dataset
        self.metrics = metrics
        self.functions = self.written_paths(functions, "functions")
        self.slices = slices
        self.scores = scores
        self.alpha = alpha
        self.min_items = min_items

    def work(self, context: Any) -> dict[str, Any]:
        """Read, score, write the scorecard, return the receipt."""
        from airflow_distill.aws.prices import read_prices

        refuse_foreign_functions(self.metrics, self.functions)
        answers = require(self.answers, "answers", "answers")
        dataset = require(self.dataset, "dataset", "dataset")
        student = load_manifest(store_for(self.gateways, answers["root"]), dataset).student
        receipt = score_kept(
            self.gateways,
            answers,
            dataset,
            self.metrics,
            slices=self.slices,
            scores=[require(receipt, "scores", "scores") for receipt in _listed(self.scores)],
            alpha=self.alpha,
            min_items=self.min_items,
            table=read_prices(self.gateways, self.prices, student=student, stated=self.student_prices),
            now=wall_clock(),
        )
        self.log.info(
            "Scored the answers to %d prompts of %d models by %s.",
            receipt["n"],
            len(answers["roles"]),
            ", ".join(sorted(receipt["metrics"])) or "no metric",
        )
        return receipt


def _listed(receipts: Any) -> Sequence[Any]:
    return [receipts] if isinstance(receipts, Mapping) else list(receipts or ())
