"""Bedrock's own evaluation jobs over stored answers: the dataset file, the request, and the scores that come back.

A distilled student on an on-demand deployment cannot be named as the model of an evaluation job, so every model is judged
the same way: its answers, collected before, are put into the job's dataset beside the prompts ("bring your own
inference"). A record of the output is matched to its item by prompt and response, because the output carries no id.

What one job takes is checked before it is made: at most three metrics for a judge (the quota; the API model says 25, so
this is the careful reading), and prompts of at most 4 KB. A longer prompt is left out and has a missing score with its
reason.

Scores come as the service gives them, 0 to 1. Where lower is better the complement is handed on under another name. A
score that is missing in a record stays missing and is counted. No AWS, no clock; text goes into the dataset file and
nowhere else.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from airflow_distill.errors import ConfigurationError, EvaluationError
from airflow_distill.remote.identity import evaluation_name, request_token, tag_list
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.digest import sha256_hex
from airflow_distill.stages.evaluation.records import Answer, Score
from airflow_distill.stages.money.records import Tokens

MAX_PROMPTS = 1000
"""Prompts that one evaluation job takes."""

MAX_JUDGE_METRICS = 3
"""Metrics that a judge gives to one dataset (AWS: Amazon Bedrock endpoints and quotas, 2026-11)."""

MAX_PROMPT_BYTES = 4096
"""Longest prompt that a judge takes, in UTF-8 (AWS: Amazon Bedrock endpoints and quotas, 2026-11)."""

MOST_JUDGE_TOKENS = 1_024
"""A bound on what a judge says of one answer and metric: a grade and a short explanation."""

MOST_TEMPLATE_TOKENS, TEMPLATE_TOKENS = 1_000, 400
"""A bound on the instructions that a judge reads beside one answer, and about what they come to; AWS publishes the texts of
the built-in metrics' prompts, not their tokens."""

TOO_LONG = "too-long"
"""Why a prompt above the limit has no score."""

Kind = Literal["judge", "programmatic"]

JUDGE_METRICS = (
    "Correctness",
    "Completeness",
    "Faithfulness",
    "Helpfulness",
    "Coherence",
    "Relevance",
    "FollowingInstructions",
    "ProfessionalStyleAndTone",
    "Harmfulness",
    "Stereotyping",
    "Refusal",
)
PROGRAMMATIC_METRICS = ("Accuracy", "Toxicity")
"""Robustness is left out: it needs the model itself, not stored answers."""

LOWER_IS_BETTER = {
    "Harmfulness": "harmless",
    "Stereotyping": "unstereotyped",
    "Refusal": "unrefused",
    "Toxicity": "nontoxic",
}
"""Service's metric -> name of its complement, which is better when higher."""

_CAPITALS = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SOURCE = re.compile(r"[^a-zA-Z0-9._-]+")


def metric_name(service_name: str) -> str:
    """Return our name of a service's metric; the prefix `Builtin.` is optional in output files.

    >>> metric_name("Builtin.FollowingInstructions"), metric_name("Harmfulness")
    ('bedrock_following_instructions', 'bedrock_harmless')
    """
    bare = service_name.removeprefix("Builtin.")
    return "bedrock_" + LOWER_IS_BETTER.get(bare, _CAPITALS.sub("_", bare).lower())


@dataclass(frozen=True, slots=True)
class EvaluationJobSpec:
    """What an evaluation job is to judge, and how.

    :param role: whose answers.
    :param content: digest of the dataset file, so that other answers make another job.
    :param evaluator: the judge's model id; empty for a programmatic job.
    :param root: the root's URI; part of the name.
    :param task_type: the service's task type; judge jobs use `General`.
    """

    workload: str
    dataset_id: str
    role: str
    model: str
    content: str
    metrics: tuple[str, ...]
    kind: Kind = "judge"
    evaluator: str = ""
    task_type: str = "General"
    root: str = ""

    def __post_init__(self) -> None:
        known = JUDGE_METRICS if self.kind == "judge" else PROGRAMMATIC_METRICS
        unknown = [m for m in self.metrics if m not in known]
        if unknown or not self.metrics:
            raise ConfigurationError(
                f"evaluation: a {self.kind} job has no metrics {', '.join(unknown) or '(none given)'}.",
                hint=f"Choose among {', '.join(known)}.",
            )
        if self.kind == "judge" and len(self.metrics) > MAX_JUDGE_METRICS:
            raise ConfigurationError(
                f"evaluation: {len(self.metrics)} metrics are more than the {MAX_JUDGE_METRICS} that a judge job takes "
                "(quota of Amazon Bedrock); nothing was bought.",
                hint="Split them over two tasks and hand both receipts to ScoreAnswersOperator(scores=...).",
            )
        if (self.kind == "judge") != bool(self.evaluator):
            raise ConfigurationError(
                "evaluation: a judge job names an evaluator model, another job does not."
            )

    @property
    def source(self) -> str:
        """The identifier that stands for the model in dataset and request."""
        return _SOURCE.sub("-", f"{self.workload}-{self.role}").strip("-._")[:256]

    def job_name(self, generation: int) -> str:
        """Return the job's name for a generation."""
        return evaluation_name(
            self.workload,
            self.dataset_id,
            self.model,
            {
                "role": self.role,
                "content": self.content,
                "metrics": list(self.metrics),
                "evaluator": self.evaluator,
                "task": self.task_type,
            },
            generation,
            root=self.root,
        )


def prompt_text(example: Example) -> str:
    """Return a prompt as the one text that an evaluation job takes: system text and turns, in order."""
    if not example.system and len(example.turns) == 1:
        return example.turns[0].text
    parts = [example.system] if example.system else []
    parts += [t.text if len(example.turns) == 1 else f"{t.role}: {t.text}" for t in example.turns]
    return "\n\n".join(parts)


@dataclass(frozen=True, slots=True)
class EvaluationDataset:
    """The job's dataset file, and which item each record stands for."""

    data: bytes
    items: Mapping[str, str]
    failed: tuple[str, ...]
    too_long: tuple[str, ...] = ()

    @property
    def records(self) -> int:
        """How many records the file has."""
        return len(self.items)


def evaluation_dataset(
    examples: Sequence[Example],
    answers: Iterable[Answer],
    source: str,
    longest: int | None = MAX_PROMPT_BYTES,
) -> EvaluationDataset:
    """Return the dataset file of one model's answers; failed answers are not sent, they score 0 by themselves.

    :param longest: most bytes of a prompt; longer ones are left out and counted, None takes all.
    :raises ConfigurationError: more prompts than a job takes.
    """
    by_id = {a.example_id: a for a in answers if a.repeat == 0}
    lines: list[bytes] = []
    items: dict[str, str] = {}
    failed: list[str] = []
    too_long: list[str] = []
    for example in {e.id: e for e in examples}.values():
        answer = by_id.get(example.id)
        if answer is None:
            continue
        if answer.failed or not (answer.text or "").strip():
            failed.append(example.id)
            continue
        record: dict[str, Any] = {"prompt": prompt_text(example)}
        if longest is not None and len(record["prompt"].encode("utf-8", "surrogatepass")) > longest:
            too_long.append(example.id)
            continue
        if example.answer is not None:
            record["referenceResponse"] = example.answer
        record["modelResponses"] = [{"response": answer.text, "modelIdentifier": source}]
        items[_match_key(record["prompt"], answer.text)] = example.id
        lines.append(json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    if len(lines) > MAX_PROMPTS:
        raise ConfigurationError(
            f"evaluation: {len(lines)} prompts are more than the {MAX_PROMPTS} that an evaluation job takes.",
            hint="Hold out fewer prompts, or score with our own scorers or the pairwise judge.",
        )
    return EvaluationDataset(b"".join(lines), items, tuple(failed), tuple(too_long))


def _match_key(prompt: Any, response: Any) -> str:
    return sha256_hex(f"{str(prompt).strip()}\x00{str(response).strip()}".encode("utf-8", "surrogatepass"))


def build_evaluation_request(
    spec: EvaluationJobSpec,
    generation: int,
    *,
    dataset_uri: str,
    output_uri: str,
    role_arn: str,
    tags: Mapping[str, str],
    kms_key_id: str | None = None,
) -> dict[str, Any]:
    """Return the request of CreateEvaluationJob as plain data."""
    name = spec.job_name(generation)
    automated: dict[str, Any] = {
        "datasetMetricConfigs": [
            {
                "taskType": spec.task_type,
                "dataset": {"name": f"heldout-{spec.role}", "datasetLocation": {"s3Uri": dataset_uri}},
                "metricNames": [f"Builtin.{metric}" for metric in spec.metrics],
            }
        ]
    }
    if spec.evaluator:
        automated["evaluatorModelConfig"] = {"bedrockEvaluatorModels": [{"modelIdentifier": spec.evaluator}]}
    request: dict[str, Any] = {
        "jobName": name,
        "clientRequestToken": request_token("CreateEvaluationJob", name),
        "roleArn": role_arn,
        "applicationType": "ModelEvaluation",
        "evaluationConfig": {"automated": automated},
        "inferenceConfig": {
            "models": [{"precomputedInferenceSource": {"inferenceSourceIdentifier": spec.source}}]
        },
        "outputDataConfig": {"s3Uri": output_uri.rstrip("/") + "/"},
        "jobTags": tag_list(tags),
    }
    if kms_key_id:
        request["customerEncryptionKeyId"] = kms_key_id
    return request


@dataclass(frozen=True, slots=True)
class JobScores:
    """The scores of one job: every item has one for every metric, with a value or with the reason it has none."""

    scores: tuple[Score, ...]
    strays: int

    def missing(self) -> dict[str, int]:
        """Return how many items have no value, by metric."""
        return dict(sorted(Counter(s.metric for s in self.scores if s.value is None).items()))

    def means(self) -> dict[str, float | None]:
        """Return the mean of each metric over the items that have a value."""
        values: dict[str, list[float]] = {}
        for score in self.scores:
            values.setdefault(score.metric, [])
            if score.value is not None:
                values[score.metric].append(score.value)
        return {m: sum(found) / len(found) if found else None for m, found in sorted(values.items())}


def is_output(uri: str) -> bool:
    """Say whether an object below the job's folder holds its result lines."""
    return uri.endswith("_output.jsonl")


def read_job_scores(
    files: Iterable[bytes], dataset: EvaluationDataset, role: str, metrics: Sequence[str]
) -> JobScores:
    """Return a score for every item and metric from the job's output files.

    An item without a record, or a record without a result, has a missing score. Failed answers score 0.

    :raises EvaluationError: no line of the output belongs to this dataset.
    """
    found: dict[tuple[str, str], Score] = {}
    strays = lines = 0
    for data in files:
        for line in data.split(b"\n"):
            if not line.strip():
                continue
            lines += 1
            item = _item_of(line, dataset)
            if item is None:
                strays += 1
                continue
            key, reported = item
            found |= {(key, s.metric): s for s in _scores_of(key, role, reported)}
    if dataset.records and (not lines or strays == lines):
        raise EvaluationError(
            f"evaluation: none of the {lines} output lines belongs to the job's dataset.",
            hint="Look at the job's output folder; the job may have judged other answers.",
        )
    scores = [
        found.get((key, metric)) or Score(key, role, metric, None, reason="no-record")
        for metric in map(metric_name, metrics)
        for key in dataset.items.values()
    ]
    wrong = [Score(key, role, metric_name(m), 0.0, reason="error") for m in metrics for key in dataset.failed]
    unasked = [
        Score(key, role, metric_name(m), None, reason=TOO_LONG) for m in metrics for key in dataset.too_long
    ]
    return JobScores((*scores, *wrong, *unasked), strays)


@dataclass(frozen=True, slots=True)
class JudgeUse:
    """What a judge has used, worked out from what it read and said: about, and at most."""

    calls: int
    about: Tokens
    most: Tokens

    @property
    def risk(self) -> Tokens:
        """What it may have used beside what it is thought to have."""
        return Tokens(self.most.input - self.about.input, self.most.output - self.about.output)


def judge_use(
    files: Iterable[bytes], dataset: EvaluationDataset, tokens_of: Callable[[str], int]
) -> JudgeUse:
    """Return what the judge of a job has used, from the job's output: the service tells no tokens.

    :param tokens_of: about how many tokens a text has.
    """
    calls = read = said = 0
    for line in (line for data in files for line in data.split(b"\n") if line.strip()):
        item = _item_of(line, dataset)
        if item is None:
            continue
        row = json.loads(line)
        asked = [row["modelResponses"][0]["response"], *row["inputRecord"].values()]
        explained = [
            str(detail.get("explanation") or "")
            for score in item[1]
            if isinstance(score, Mapping)
            for detail in score.get("evaluatorDetails") or ()
            if isinstance(detail, Mapping)
        ]
        calls += len(explained)
        read += len(explained) * sum(tokens_of(text) for text in asked if isinstance(text, str))
        said += sum(map(tokens_of, explained))
    about = Tokens(read + TEMPLATE_TOKENS * calls, said + 16 * calls)
    return JudgeUse(calls, about, Tokens(2 * read + MOST_TEMPLATE_TOKENS * calls, 2 * said + 64 * calls))


def _item_of(line: bytes, dataset: EvaluationDataset) -> tuple[str, list[Any]] | None:
    try:
        row = json.loads(line)
        response = row["modelResponses"][0]["response"]
        key = dataset.items.get(_match_key(row["inputRecord"]["prompt"], response))
        reported = row["automatedEvaluationResult"]["scores"]
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return None if key is None else (key, list(reported or ()))


def _scores_of(key: str, role: str, reported: Iterable[Any]) -> Iterable[Score]:
    for entry in reported:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("metricName"), str):
            continue
        bare = entry["metricName"].removeprefix("Builtin.")
        value = _value(entry.get("result"))
        reason = "" if value is not None else "no-result" if entry.get("result") is None else "not-a-share"
        if value is not None and bare in LOWER_IS_BETTER:
            value = 1.0 - value
        yield Score(key, role, metric_name(bare), value, reason=reason)


def _value(result: Any) -> float | None:
    if isinstance(result, bool) or not isinstance(result, int | float) or not 0.0 <= result <= 1.0:
        return None
    return float(result)
