"""What a workload file may say: one frozen record per group of settings, with defaults good enough for a short file.

Takes plain data, hands on a `Workload`. Data from outside is checked here once: types, names, ranges, rules between
fields. What a rule needs from the world (does the bucket exist, may the role be assumed) is the business of `doctor`.

Pydantic does the checking because Airflow ships it and because it gives the JSON schema from the same lines. This module
imports neither Airflow nor the AWS SDK: parsing a folder of files stays cheap.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.evaluation.scorers.registry import SCORERS, make_scorer
from airflow_distill.stages.jobs import models
from airflow_distill.stages.jobs.request import KMS_KEY, NETWORK_ID, ROLE_ARN, S3_URI, TAG_TEXT, WORKLOAD
from airflow_distill.stages.logs import metadata
from airflow_distill.stages.logs.limits import DEFAULT_SHARDS, LEAST_SHARD_BYTES
from airflow_distill.stages.model_table import ModelTable, read_table, using
from airflow_distill.workload.import_paths import FUNCTION_PATH, check_detector, check_notifier, check_scorer

_DURATION = re.compile(r"([0-9]{1,7})(m|h|d|w)")
LONGEST_SPAN = timedelta(days=3660)
LARGEST = 1_000_000_000_000
"""No count or sum of a workload file is larger: 10^12 tokens, or US dollars."""
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def parse_duration(value: Any) -> timedelta:
    """Return the span that `90m`, `36h`, `7d` or `2w` names.

    :raises ValueError: it is none of these.
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError("a duration is a whole number and a unit, such as 90m, 36h, 7d or 2w")
    span = int(match[1]) * _UNITS[match[2]]
    if span > LONGEST_SPAN:
        raise ValueError(f"a duration is at most {format_duration(LONGEST_SPAN)}")
    return span


def format_duration(span: timedelta) -> str:
    """Return the shortest spelling that `parse_duration` reads back."""
    for unit in ("d", "h"):
        if span % _UNITS[unit] == timedelta(0):
            return f"{span // _UNITS[unit]}{unit}"
    return f"{span // _UNITS['m']}m"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[1-9]\d*(m|h|d|w)$", "examples": ["7d", "36h"]}),
]


def _check_scorer(spec: Any) -> Any:
    """Refuse a scorer that cannot be made. A user's own function is not imported here: reading a file stays cheap."""
    kind = spec.get("kind") if isinstance(spec, dict) else spec
    if kind == "function" and isinstance(spec, dict) and "path" in spec:
        check_scorer(str(spec["path"]))
        unknown = sorted(set(spec) - {"kind", "path", "name", "needs_reference"})
        if unknown:
            raise ValueError(f"a function takes path, name and needs_reference, not {unknown[0]!r}")
        return spec
    if kind not in SCORERS:
        close = difflib.get_close_matches(str(kind), SCORERS, 1, 0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"one of {', '.join(SCORERS)}"
        raise ValueError(f"there is no scorer {kind!r}; {hint}")
    try:
        make_scorer(spec)
    except ConfigurationError as error:
        raise ValueError(f"{error.message} {error.hint}".strip()) from None
    return spec


def metric_of(spec: str | Mapping[str, Any]) -> str:
    """Return the metric a scorer gives."""
    if isinstance(spec, Mapping) and spec.get("kind") == "function":
        return str(spec.get("name") or spec["path"].rpartition(":")[2])
    return make_scorer(spec).name


MODEL_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,2047}")
ROLE_NAME = re.compile(r"[a-zA-Z0-9_+=,.@/-]{1,576}")
"""Path and name of a role as IAM takes them; the service's own pattern would let `*` and line ends into policies."""


def _check_s3_uri(value: str) -> str:
    if "*" in value:
        raise ValueError("a place is one place: no `*`, which policies would read as any place")
    if {".", ".."} & set(value.split("/")):
        raise ValueError("a place is one place: no `.` or `..` between slashes; write out where it leads")
    if not S3_URI.fullmatch(value):
        raise ValueError(
            "Bedrock takes S3 URIs such as s3://bucket/folder: no '=', ':', '+', spaces or empty segments"
        )
    return value.rstrip("/")


def _check_tag_text(value: str) -> str:
    if not TAG_TEXT.fullmatch(value) or len(value) > 256 or not value.isprintable():
        raise ValueError("AWS tags hold at most 256 of letters a to z, digits, spaces and ._:/=+@-")
    return value


def _check_owner(value: str) -> str:
    if len(value) > 100:
        raise ValueError("at most 100 characters: Airflow's longest tag")
    return _check_tag_text(value)


def _check_kms_key(value: str) -> str:
    if not KMS_KEY.fullmatch(value):
        raise ValueError("a key is given by its id, alias/NAME or ARN")
    return value


def _check_network_id(value: str) -> str:
    if not NETWORK_ID.fullmatch(value) or len(value) > 32:
        raise ValueError("an id such as subnet-0abc or sg-0abc is needed")
    return value


def _check_role(value: str) -> str:
    if not ROLE_ARN.fullmatch(value) or not ROLE_NAME.fullmatch(value.rpartition(":role/")[2]):
        raise ValueError(
            "a role is given by its ARN, such as arn:aws:iam::111122223333:role/distill, with letters, digits and _+=,.@/-"
        )
    return value


def _check_model(value: str) -> str:
    if not MODEL_ID.fullmatch(value):
        raise ValueError(
            "a model is named by one id, profile or ARN, such as amazon.nova-pro-v1:0: letters, digits and ._:/-"
        )
    return value


S3Uri = Annotated[str, AfterValidator(_check_s3_uri), Field(examples=["s3://acme-distill/loop"])]
RoleArn = Annotated[
    str, AfterValidator(_check_role), Field(examples=["arn:aws:iam::111122223333:role/distill"])
]
FunctionPath = Annotated[
    str, AfterValidator(check_detector), WithJsonSchema({"type": "string", "pattern": FUNCTION_PATH})
]
ModelId = Annotated[str, AfterValidator(_check_model)]
TagText = Annotated[str, AfterValidator(_check_tag_text)]
NetworkId = Annotated[str, AfterValidator(_check_network_id)]
Share = Annotated[float, Field(ge=0.0, le=1.0, strict=True)]
PartShare = Annotated[float, Field(ge=0.0, lt=1.0, strict=True)]
Dollars = Annotated[float, Field(gt=0, le=LARGEST, strict=True)]
Price = Annotated[float, Field(ge=0, le=LARGEST, strict=True)]
Count = Annotated[int, Field(le=LARGEST, strict=True)]
PriceItem = Literal[
    "inference-input",
    "inference-output",
    "training",
    "deployment-input",
    "deployment-output",
    "model-storage",
    "provisioned-throughput",
]
ScorerSpec = Annotated[str | dict[str, Any], AfterValidator(_check_scorer)]


class Settings(BaseModel):
    """Base of every group: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, str_min_length=1, allow_inf_nan=False
    )


class MetadataMatch(Settings):
    """One comparison of request metadata, with the service's own meaning."""

    equals: dict[str, str] | None = Field(
        default=None, min_length=1, max_length=1, description="key: value that must be equal"
    )
    notEquals: dict[str, str] | None = Field(
        default=None, min_length=1, max_length=1, description="key: value that must differ"
    )

    @model_validator(mode="after")
    def _says_something(self) -> MetadataMatch:
        if self.equals is None and self.notEquals is None:
            raise ValueError("say equals or notEquals")
        return self


class MetadataFilter(Settings):
    """Bedrock's request-metadata filter: exactly one of four members, not nested."""

    equals: dict[str, str] | None = Field(default=None, description="one key: value that must be equal")
    notEquals: dict[str, str] | None = Field(default=None, description="one key: value that must differ")
    andAll: tuple[MetadataMatch, ...] | None = Field(
        default=None, min_length=1, max_length=16, description="all of these must hold"
    )
    orAll: tuple[MetadataMatch, ...] | None = Field(
        default=None, min_length=1, max_length=16, description="one of these must hold"
    )

    @model_validator(mode="after")
    def _is_one_member(self) -> MetadataFilter:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of equals, notEquals, andAll, orAll")
        for name in ("equals", "notEquals"):
            entries = getattr(self, name)
            if entries is not None and len(entries) != 1:
                raise ValueError(f"{name} takes one key; list the comparisons under andAll instead")
        try:
            metadata.MetadataFilter.from_json(self.as_request())
        except ConfigurationError as error:
            raise ValueError(error.message) from None
        return self

    def as_request(self) -> dict[str, Any]:
        """Return the filter as the service takes it."""
        return self.model_dump(exclude_none=True, mode="json")


class Logs(Settings):
    """Where the teacher's invocation logs lie and which records belong to the workload."""

    location: S3Uri = Field(description="the prefix above `AWSLogs/`, or any folder of log objects")
    metadata: MetadataFilter | None = Field(
        default=None, description="request metadata the records must carry"
    )
    operations: tuple[
        Literal["Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream"], ...
    ] = Field(default=(), description="only these API operations; all four when empty")
    identity: str | None = Field(
        default=None, description="for untagged traffic: the caller's ARN, with `*` and `?` as in a shell"
    )
    system_digest: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{32}$",
        description="for untagged traffic: the system prompt's fingerprint, as `airflow-distill scout` prints it",
    )
    models: dict[str, str] = Field(
        default_factory=dict,
        description="application profile, throughput or deployment ARN: the model id behind it",
    )
    window: Duration = Field(default=timedelta(days=7), description="how far back one run reads")
    late: Duration = Field(
        default=timedelta(hours=1),
        description="how long log delivery may take; a window ends so long before its run",
    )
    answer: Literal["latest", "first", "most_frequent"] = Field(
        default="latest", description="which answer counts when one prompt has several"
    )
    shards: int = Field(
        default=DEFAULT_SHARDS, ge=1, le=1000, description="the most mapped tasks that read one window"
    )
    lost: PartShare = Field(
        default=0.001,
        description="share of log lines or log objects that may be broken; more stops the run before a dataset is made",
    )
    least_bytes: int = Field(
        default=LEAST_SHARD_BYTES,
        ge=1,
        description="stored bytes of logs below which a shard is not worth a task of its own",
    )


KEPT_RULES = [
    "exact_duplicate",
    "guardrail",
    "line_too_long",
    "multi_turn",
    "near_duplicate",
    "refusal",
    "taught_before",
    "too_long",
    "tools_offered",
    "truncated",
    "unsendable",
]
"""Drop rules that `dataset.keep` switches off: `stages.dataset.drop.KEEPABLE`, which is not imported to read a file."""


def _check_kept_rule(value: str) -> str:
    from airflow_distill.stages.dataset.drop import kept_problems

    for problem in kept_problems((value,)):
        raise ValueError(problem)
    return value


KeptRule = Annotated[
    str,
    AfterValidator(_check_kept_rule),
    WithJsonSchema({"type": "string", "enum": KEPT_RULES}),
]


class Feedback(Settings):
    """What people or a judge said of single answers, and what follows."""

    location: S3Uri = Field(
        description="a file, or a prefix of files: our own form, Langfuse's JSON or OpenTelemetry's GenAI JSON"
    )
    use: tuple[Literal["liked", "not_disliked", "corrected", "weights"], ...] = Field(
        min_length=1,
        description="liked: only answers that were liked; not_disliked: those, and answers nobody judged; corrected: "
        "corrected answers are golden examples; weights: the better liked are preferred where more are usable than `size`",
    )
    liked_from: float = Field(default=0.5, strict=True, description="an answer is liked from this score on")
    name: str | None = Field(
        default=None,
        description="only scores of this name count, such as `user-feedback`, where there are several",
    )

    @model_validator(mode="after")
    def _says_one_thing(self) -> Feedback:
        if {"liked", "not_disliked"} <= set(self.use):
            raise ValueError("use takes liked or not_disliked, not both")
        return self


class Dataset(Settings):
    """What of the logs becomes training data, and what is kept for judging."""

    source: Literal["curated", "curated-with-answers", "logs-prompts", "logs-pairs"] = Field(
        default="curated",
        description="curated: our checked prompts, the teacher answers again; curated-with-answers: with the "
        "logged answers as golden labels; logs-prompts, logs-pairs: Bedrock reads `training_logs` itself, "
        "the pairs with the logged answers as they are",
    )
    training_logs: S3Uri | None = Field(
        default=None,
        description="logs-prompts and logs-pairs only: the folder handed to Bedrock, such as one past month; "
        "judging prompts come from `logs.window`, which must not overlap it",
    )
    prompts: S3Uri | None = Field(default=None, description="a prompt file of your own, instead of logs")
    golden: S3Uri | None = Field(
        default=None,
        description="a file of examples that people answered: a standing test that judges every student and teaches none",
    )
    golden_share: PartShare = Field(
        default=0.0,
        description="the most of the training prompts that golden examples may be; above 0, half of them may be taught and "
        "the other half judges",
    )
    feedback: Feedback | None = Field(
        default=None, description="what was said of single answers, joined by request id or prompt digest"
    )
    size: Count = Field(default=15_000, ge=130, le=15_000, description="at most so many prompts, both sides")
    heldout: float = Field(
        default=0.1, gt=0, lt=1, strict=True, description="share of the prompts that is kept for judging"
    )
    redact: bool = Field(default=True, description="replace secrets and common identifiers by placeholders")
    detectors: tuple[FunctionPath, ...] = Field(
        default=(),
        description="functions of your own that find more to redact, as `package.module:function`; the harvest and "
        "the curation use the same",
    )
    near_duplicates: Literal["careful", "none"] | Annotated[float, Field(ge=0.3, le=1, strict=True)] = Field(
        default="careful",
        description="careful: prompts that share 80 % of their words count as one, unless a number, a sign, a negation "
        "or a name tells them apart; a number: the share from which they do, whatever differs; none: all stay",
    )
    keep: tuple[KeptRule, ...] = Field(
        default=(), description="drop rules to switch off, such as `refusal` or `truncated`"
    )
    drop_refusals: bool = Field(
        default=True, description="false: refusals and messages of guardrails are answers like others"
    )
    thinking: Literal["remove", "drop", "keep"] = Field(
        default="remove",
        description="`<thinking>` that was written into answers: taken out, or a reason to drop the record, or kept",
    )
    reserved_words: Literal["keep", "drop"] = Field(
        default="keep",
        description="prompts with words that the student's family reserves, such as `User:`: told and kept, or dropped",
    )
    balance_by: str | None = Field(
        default=None,
        pattern=r"^(answer|metadata:.+)$",
        description="`answer` or `metadata:KEY`: no value of it may crowd out the others",
    )
    least_new: Count = Field(
        default=100, ge=0, description="fewer new prompts than this, and no drift: a run buys nothing"
    )
    salt: str | None = Field(
        default=None, description="fixes which prompts are held out; the workload's name when left out"
    )

    @model_validator(mode="after")
    def _names_what_bedrock_reads(self) -> Dataset:
        reads = self.source.startswith("logs-")
        if reads and self.training_logs is None:
            raise ValueError(f"source {self.source} needs training_logs, the folder handed to Bedrock")
        if self.training_logs is not None and not reads:
            raise ValueError("training_logs belongs to source: logs-prompts or logs-pairs")
        return self

    @model_validator(mode="after")
    def _keeps_golden_examples_from_training(self) -> Dataset:
        if self.golden_share and self.golden is None:
            raise ValueError("golden_share is a share of golden examples; give golden, the file they lie in")
        if self.golden is not None and self.source.startswith("logs-"):
            raise ValueError(
                f"golden needs a dataset of ours: with source {self.source} Bedrock reads the logs itself, so nobody can "
                "keep golden prompts out of the training"
            )
        return self

    @model_validator(mode="after")
    def _redacts_with_its_detectors(self) -> Dataset:
        if self.detectors and not self.redact:
            raise ValueError("detectors find nothing with redact: false; leave one of them out")
        return self


class Vpc(Settings):
    """Where the job's network interfaces go."""

    subnets: tuple[NetworkId, ...] = Field(min_length=1, max_length=16, description="subnet ids")
    security_groups: tuple[NetworkId, ...] = Field(
        min_length=1, max_length=5, description="security group ids"
    )


class Job(Settings):
    """How the student is asked for."""

    method: Literal["distillation", "fine-tuning"] = Field(
        default="distillation",
        description="distillation: the service asks the teacher and trains on its answers; fine-tuning: it trains on "
        "the logged answers, which needs dataset.source: curated-with-answers",
    )
    max_response_length: Count = Field(default=1000, ge=1, description="longest teacher answer, in tokens")
    deadline: Duration = Field(
        default=timedelta(days=7), description="counted from the first submit, across retries"
    )
    on_deadline: Literal["leave", "stop"] = Field(
        default="leave", description="what happens to the job at its deadline"
    )
    submissions: Count = Field(
        default=1, ge=1, le=5, description="how often a failed job may be bought again in one run"
    )
    buy_when_spent: bool = Field(
        default=False, description="buy a completed job again when its model was deleted since"
    )
    ignore_checks: tuple[str, ...] = Field(
        default=(),
        description="checks of the doctor, by name, whose failure does not stop a run; such as those your account "
        "may not make",
    )
    kms_key: Annotated[str, AfterValidator(_check_kms_key)] | None = Field(
        default=None, description="customer key for the custom model"
    )
    vpc: Vpc | None = Field(default=None, description="network of the job; AWS's own when left out")


class Evaluation(Settings):
    """How the student is compared with the teacher, the untuned student and the model now live."""

    scorers: tuple[ScorerSpec, ...] = Field(
        default=("exact",),
        min_length=1,
        description="scorers by name, or {kind: ..., settings}; the first one decides",
    )
    max_tokens: Count = Field(default=512, ge=1, description="longest answer asked of each model")
    slices: tuple[str, ...] = Field(
        default=(), description="request metadata keys to report separately; those with few values when empty"
    )
    judge: ModelId | None = Field(
        default=None,
        description="model id of a pairwise judge, not of the pair's family; metric `judge_preference`",
    )
    judge_labels: S3Uri | None = Field(
        default=None, description="pairs that people have compared; without them the judge only advises"
    )
    untuned: bool = Field(default=True, description="ask the untuned student too")
    challengers: tuple[ModelId, ...] = Field(
        default=(),
        max_length=3,
        description="other untuned models that are asked too; one within the margin of the teacher and no more "
        "expensive than the student makes the verdict `do not distil`",
    )
    threads: Count = Field(default=8, ge=1, le=64, description="most requests in flight at once")
    host_hours: Count = Field(
        default=6,
        ge=1,
        le=168,
        description="after so many hours a candidate's host may be taken away; the cap reckons with all of them",
    )


class MetricPolicy(Settings):
    """What one metric must show."""

    margin: float = Field(gt=0, lt=1, strict=True, description="how far below the teacher it may be")
    incumbent_margin: Share | None = Field(
        default=None,
        description="how far below the model now live it may be shown to be; left out, it must score higher: a tie keeps "
        "what is live",
    )
    gain: Share = Field(default=0.0, description="how much better than the untuned student it must be")
    primary: bool = Field(
        default=True, description="false: it cannot promote, but evidence that it is worse stops a promotion"
    )


class Policy(Settings):
    """What a student must show to be promoted."""

    margin: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        strict=True,
        description="how far below the teacher the student may be, on the first scorer's metric",
    )
    metrics: dict[str, MetricPolicy] = Field(
        default_factory=dict,
        description="rules by metric, instead of `margin` on the first and guards on the others",
    )
    alpha: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        strict=True,
        description="chance of promoting a student that violates a condition",
    )
    power: float = Field(
        default=0.8,
        ge=0.5,
        lt=0.999,
        strict=True,
        description="chance of seeing a good student, for the number of prompts that an inconclusive verdict asks for",
    )
    looks: Count = Field(default=1, ge=1, description="how often one student may be judged on a growing set")
    min_items: Count = Field(default=100, ge=30, description="fewer judged prompts than this promote nothing")
    min_slice_items: Count = Field(
        default=30, ge=20, description="a slice with fewer judged prompts is shown and stops nothing"
    )
    beat_untuned: bool = Field(default=True, description="it must be better than the untuned student")
    guard_slices: bool = Field(default=True, description="evidence that one slice is worse stops a promotion")
    require_golden: bool = Field(
        default=False,
        description="the metrics must be shown on prompts that people answered (`dataset.golden`), `min_items` of them at "
        "least; the others can only stop",
    )
    max_missing_share: PartShare = Field(
        default=0.0,
        description="share of the prompts that may lack a score of the student or of whom it is compared with",
    )
    max_error_share: PartShare = Field(
        default=0.02, description="share of a model's answers that may have failed"
    )
    max_p95_latency_ms: Dollars | None = Field(
        default=None, description="95th percentile of its answers, at most"
    )
    max_run_usd: Dollars | None = Field(default=None, description="what the run may have cost")
    max_monthly_usd: Dollars | None = Field(default=None, description="what a month of the student may cost")
    require_break_even: bool = Field(
        default=False, description="the student must be cheaper than the teacher at the forecast traffic"
    )
    max_payback_days: Dollars | None = Field(
        default=None, description="break-even must come within so many days"
    )
    payback_within_life: bool = Field(
        default=True,
        description="hold what pays for itself later than its base model ends, or never, at stated or logged traffic",
    )


class Approval(Settings):
    """When a person must say yes. No answer means no."""

    mode: Literal["never", "always", "when"] = Field(
        default="always", description="when: if one of the lines below is crossed"
    )
    approvers: tuple[str, ...] = Field(
        default=(), description="user names whose yes counts; anybody with access when empty"
    )
    above_run_usd: Dollars | None = Field(default=None, description="ask when the run cost more")
    above_monthly_usd: Dollars | None = Field(
        default=None, description="ask when a month of the student costs more"
    )
    below_slack: Share | None = Field(
        default=None, description="ask when the tightest bound clears its limit by less"
    )
    first_release: bool = Field(default=False, description="ask when nothing is live yet")
    separate: bool = Field(default=False, description="whoever started the run cannot approve it")
    wait: Duration = Field(default=timedelta(days=3), description="how long an answer is awaited")
    remind_before: Duration = Field(
        default=timedelta(days=1),
        description="how long before the end the alert is sent once more; half of `wait` when that is shorter",
    )

    @model_validator(mode="after")
    def _has_a_line(self) -> Approval:
        lines = (self.above_run_usd, self.above_monthly_usd, self.below_slack)
        if self.mode == "when" and not self.first_release and all(line is None for line in lines):
            raise ValueError(
                "mode: when needs a line: above_monthly_usd, above_run_usd, below_slack or first_release"
            )
        return self


class Deployment(Settings):
    """How the promoted student answers, and for how long."""

    enabled: bool = Field(default=True, description="false stops after the verdict")
    host: Literal["auto", "custom-model-deployment", "provisioned-throughput"] = Field(
        default="auto",
        description="auto: what the student supports, then the cheaper at the forecast traffic",
    )
    model_units: Count = Field(default=1, ge=1, description="provisioned throughput only")
    hourly_price: Dollars | None = Field(
        default=None, description="price of one model unit an hour; required for provisioned throughput"
    )
    usd_per_day: Dollars | None = Field(default=None, description="the most the live host may cost a day")
    commitment: Literal["OneMonth", "SixMonths"] | None = Field(
        default=None,
        description="provisioned throughput only; naming it accepts a term that cannot be ended early",
    )
    days: Count | None = Field(
        default=None,
        ge=1,
        description="provisioned throughput must be gone, or renewed by a run, after so many days",
    )
    input_tokens_per_day: Count | None = Field(default=None, ge=1, description="forecast traffic")
    output_tokens_per_day: Count | None = Field(default=None, ge=1, description="forecast traffic")
    smoke_prompts: Count = Field(
        default=5, ge=1, le=50, description="held-out prompts asked before the pointer moves"
    )
    bake: Duration = Field(
        default=timedelta(minutes=15),
        description="watched after promotion; a bad quarter of an hour goes back by itself",
    )

    @model_validator(mode="after")
    def _throughput_has_price_and_end(self) -> Deployment:
        if self.host == "provisioned-throughput":
            if self.hourly_price is None:
                raise ValueError(
                    "provisioned-throughput needs hourly_price: what one model unit costs an hour"
                )
            if self.days is None:
                raise ValueError("provisioned-throughput needs an end: days, with a commitment too")
        elif self.commitment is not None:
            raise ValueError("commitment belongs to host: provisioned-throughput")
        return self


_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_CRON_NAMES = {name: at for at, name in enumerate(_MONTHS, 1)}
_CRON_NAMES |= {name: at for at, name in enumerate(_DAYS)}
_CRON_ITEM = re.compile(
    r"(?:\*|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([0-9]{1,2})|#[1-5])?|l[0-7]?"
)


def is_cron(text: str) -> bool:
    """Say whether Airflow's timetable takes a cron expression; one that it refuses would fail the whole Dag file.

    >>> is_cron("0 3 * * mon-fri"), is_cron("0 25 * * *"), is_cron("@daily"), is_cron("@x")
    (True, False, True, False)
    """
    if text.startswith("@"):
        return text in ("@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually", "@midnight")
    fields = text.lower().split()
    return len(fields) == 5 and all(
        _is_cron_item(item, low, high)
        for field, (low, high) in zip(fields, _CRON_RANGES, strict=True)
        for item in field.split(",")
    )


def _is_cron_item(item: str, low: int, high: int) -> bool:
    match = _CRON_ITEM.fullmatch(item)
    if match is None:
        return False
    ends = [int(end) if end.isdigit() else _CRON_NAMES.get(end, -1) for end in match.groups()[:2] if end]
    step = match[3]
    return all(low <= end <= high for end in ends) and (step is None or int(step) > 0)


class Schedule(Settings):
    """When the loop runs: at a time, on enough fresh logs, or only on demand."""

    cron: str | None = Field(default=None, description="five fields, UTC")
    fresh_prompts: Count | None = Field(
        default=None,
        ge=100,
        description="run when so many new usable prompts have been logged since the last run",
    )
    check_every: Duration = Field(
        default=timedelta(minutes=15), description="how often the log prefix is listed"
    )
    catchup: bool = Field(
        default=False, description="cron only: also run for times that passed while the Dag was off"
    )

    @model_validator(mode="after")
    def _is_one_of(self) -> Schedule:
        given = [n for n in ("cron", "fresh_prompts") if getattr(self, n) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of cron and fresh_prompts; this gives {' and '.join(given)}")
        if self.cron is not None and not is_cron(self.cron):
            raise ValueError(
                "cron has five fields, each in its range, such as '0 3 * * 1'; or @hourly, @daily, @weekly, @monthly"
            )
        return self


class Budget(Settings):
    """Caps in US dollars, met before each paid step. An unknown price stops the step, it never counts as zero."""

    usd_per_run: Dollars = Field(
        description="what one run may cost: job, candidate host, answers, judge, probes"
    )
    usd_per_month: Dollars | None = Field(default=None, description="all runs of a calendar month together")
    usd_exposed: Dollars | None = Field(
        default=None,
        description="the most that may still be billed for the workload at any time: hosts until their end, committed "
        "terms, running jobs",
    )
    student_prices: dict[PriceItem, Price] = Field(
        default_factory=dict,
        description="prices of the student that the table lacks, in its units: USD per 1,000 tokens; training, "
        "deployment-input, deployment-output",
    )
    prices: str | None = Field(
        default=None, description="URI or path of a price table that overrides the packaged one"
    )
    cost_report: str | None = Field(
        default=None,
        description="URI or path of a Cost and Usage Report, file or folder, for `airflow-distill spend reconcile`",
    )
    epochs: Count = Field(
        default=3,
        ge=1,
        description="passes over the data that an estimate assumes; the service chooses by itself",
    )


class Shadow(Settings):
    """How a candidate is tried on live prompts before the decision, off the callers' path."""

    sample: Count = Field(default=200, ge=30, le=2000, description="live prompts that are played, at most")
    window: Duration = Field(default=timedelta(days=1), description="how far back they are taken from")


class Canary(Settings):
    """How callers that route by the pointer's weights are moved to a new student, share by share."""

    shares: tuple[Annotated[float, Field(gt=0, lt=1, strict=True)], ...] = Field(
        default=(0.05, 0.25, 0.5), min_length=1, max_length=20, description="of the calls, rising"
    )
    every: Duration = Field(
        default=timedelta(minutes=30), description="how long each share lasts before it is judged"
    )
    max_failed: PartShare = Field(
        default=0.02,
        description="how much larger the share of failed calls may be than at the live host, by CloudWatch's count",
    )
    least_calls: Count = Field(default=20, ge=1, description="fewer calls of callers than this tell nothing")

    @model_validator(mode="after")
    def _rises(self) -> Canary:
        if list(self.shares) != sorted(set(self.shares)):
            raise ValueError("shares rise, such as [0.05, 0.25, 0.5]")
        return self


class Lifecycle(Settings):
    """What follows when the student's base model comes to its end."""

    successor: ModelId = Field(description="base model to distil into next, with its context suffix")
    days_before: Count = Field(
        default=120, ge=1, le=730, description="how long before the end the loop starts on it"
    )


class Watch(Settings):
    """How the live student is looked after, once a day."""

    sample: Count = Field(
        default=100, ge=0, le=2000, description="live prompts a day that the teacher is asked, at most"
    )
    usd_per_day: Dollars | None = Field(
        default=None,
        description="the most that asking the teacher may cost a day; nothing is asked without it",
    )
    false_alarms: float = Field(
        default=0.05,
        gt=0,
        le=0.2,
        strict=True,
        description="chance of a false alarm of the quality test in 90 days",
    )
    drift: PartShare = Field(
        default=0.3,
        description="distance of a day's prompts from the training set above which it has drifted",
    )
    retrain: bool = Field(default=True, description="start the loop when quality fell or prompts drifted")
    roll_back: Literal["never", "ask", "automatic"] = Field(
        default="never",
        description="ask: the alert names the command; automatic: the release before comes back",
    )


class Retention(Settings):
    """How long what holds prompts or answers is kept after it was written; what is left out is kept for ever."""

    windows: Duration | None = Field(default=None, description="what the harvest kept")
    datasets: Duration | None = Field(
        default=None,
        description="training and held-out files; manifests and what the live release rests on stay",
    )
    answers: Duration | None = Field(
        default=None, description="answers of models, kept answers and scores; scorecards and decisions stay"
    )
    reports: Duration | None = Field(default=None, description="report pages")


class Notifier(Settings):
    """An Airflow notifier by its class, and the arguments it takes."""

    notifier: Annotated[str, AfterValidator(check_notifier)] = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
        description="dotted path of a BaseNotifier, such as airflow.providers.slack.notifications.slack.SlackNotifier",
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="passed to the notifier; templated by it"
    )
    events: tuple[Literal["verdict", "approval", "failure", "spend", "expiry", "watch"], ...] = Field(
        default=("verdict", "approval", "failure", "spend", "expiry", "watch"),
        min_length=1,
        description="what to tell about",
    )


def _local_table(path: str | None) -> ModelTable | None:
    if not path:
        return None
    try:
        return read_table(Path(path).expanduser().read_bytes(), path)
    except OSError as error:
        raise ValueError(f"models: {path} cannot be read ({type(error).__name__})") from error
    except ConfigurationError as error:
        raise ValueError(str(error)) from error


def _check_name(value: str) -> str:
    if not WORKLOAD.fullmatch(value) or len(value) > 40:
        raise ValueError(
            "a name has at most 40 of a-z, 0-9, '-' and '_', and starts and ends with a letter or digit"
        )
    return value


class Workload(Settings):
    """One workload: what is distilled, from which logs, held to what, at what price, and who answers for it."""

    version: Literal[1] = Field(default=1, description="of this file's format")
    name: Annotated[str, AfterValidator(_check_name)] = Field(description="the file's name when left out")
    description: Annotated[str, Field(min_length=0)] = Field(
        default="", description="shown in Airflow's list of Dags"
    )
    owner: Annotated[str, AfterValidator(_check_owner)] = Field(
        description="team or person; on every resource as a tag"
    )
    models: str | None = Field(
        default=None, description="URI or path of a table of models that overrides the packaged one"
    )
    teacher: ModelId = Field(
        description="model id or system inference profile", examples=["amazon.nova-pro-v1:0"]
    )
    allow_unlisted_pair: bool = Field(
        default=False, description="go on with a pair that the table of teachers and students does not list"
    )
    student: ModelId = Field(
        description="base model with its context suffix", examples=["amazon.nova-micro-v1:0:128k"]
    )
    root: S3Uri = Field(description="where datasets, answers and releases are kept")
    role_arn: RoleArn = Field(description="service role the customization job assumes")
    evaluation_role_arn: RoleArn | None = Field(
        default=None, description="service role of evaluation and batch jobs"
    )
    aws_conn_id: str = Field(default="aws_default", description="Airflow connection")
    region_name: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]{2,9}){1,3}-[0-9]{1,2}$")] | None = Field(
        default=None, description="the connection's Region when left out"
    )
    tags: dict[TagText, TagText] = Field(
        default_factory=dict, max_length=40, description="added to every resource"
    )
    logs: Logs | None = Field(default=None, description="where the teacher's answers come from")
    dataset: Dataset = Dataset()
    job: Job = Job()
    evaluation: Evaluation = Evaluation()
    policy: Policy = Policy()
    approval: Approval = Approval()
    deployment: Deployment = Deployment()
    shadow: Shadow | None = Field(
        default=None,
        description="play live prompts against the candidate and the live student before the decision",
    )
    canary: Canary | None = Field(
        default=None,
        description="move callers to a new student share by share; for those who route by the pointer",
    )
    schedule: Schedule = Schedule()
    budget: Budget
    retention: Retention = Retention()
    lifecycle: Lifecycle | None = Field(
        default=None, description="move to another student before this one ends"
    )
    watch: Watch | None = Field(default=None, description="look after the live student, once a day")
    alerts: tuple[Notifier, ...] = Field(default=(), description="who is told about what")

    @field_validator("student")
    @classmethod
    def _is_a_pair(cls, value: str, info: ValidationInfo) -> str:
        teacher = info.data.get("teacher")
        if teacher is None or info.data.get("allow_unlisted_pair"):
            return value
        own = info.data.get("models")
        if own and own.startswith("s3://"):
            return value  # nothing is fetched while a file is read; the doctor asks before anything is paid
        with using(_local_table(own)):
            return cls._listed(teacher, value)

    @classmethod
    def _listed(cls, teacher: str, value: str) -> str:
        pair = models.find_pair(teacher, value)
        if pair is None and models.strip_arn(value) in models.fine_tuned():
            return value  # whether job.method is fine-tuning is known only when the whole file is
        if pair is None:
            listed = ", ".join(models.students_of(teacher)) or "none"
            raise ValueError(f"not a listed student of {models.base_model_id(teacher)}; listed: {listed}")
        if pair.trust == "withdrawn":
            raise ValueError("AWS has withdrawn this pair")
        if pair.profile_only and not models.is_profile(teacher):
            raise ValueError(f"this teacher answers only through a profile; write teacher: us.{pair.teacher}")
        return value

    @field_validator("tags")
    @classmethod
    def _own_tags_only(cls, value: dict[str, str]) -> dict[str, str]:
        taken = sorted(key for key in value if key.lower().startswith(("airflow-distill:", "aws:")))
        if taken:  # in any case: IAM reads the keys of tags so
            raise ValueError(f"{taken[0]} is a reserved tag")
        if any(not 1 <= len(key) <= 128 for key in value):
            raise ValueError("the key of a tag has 1 to 128 characters")
        return value

    @model_validator(mode="after")
    def _has_a_host(self) -> Workload:
        if self.deployment.host == "auto" and self.allow_unlisted_pair and not models.hosts_of(self.student):
            raise ValueError(
                f"no host is known for {self.student}: name deployment.host with allow_unlisted_pair, or give models"
            )
        return self

    @model_validator(mode="after")
    def _fits_the_method(self) -> Workload:
        if self.models and self.models.startswith("s3://"):
            return self  # as for the pair: the doctor asks before anything is paid
        with using(_local_table(self.models)):
            return self._fits()

    def _fits(self) -> Workload:
        student = models.strip_arn(self.student)
        if self.job.method == "distillation":
            if not self.allow_unlisted_pair and models.find_pair(self.teacher, student) is None:
                listed = ", ".join(models.students_of(self.teacher)) or "none"
                raise ValueError(
                    f"student is not a listed student of {models.base_model_id(self.teacher)}; listed: {listed}; "
                    "job.method: fine-tuning can teach it from logged answers"
                )
            return self
        if not self.allow_unlisted_pair and student not in models.fine_tuned():
            raise ValueError(f"student cannot be fine-tuned here; listed: {', '.join(models.fine_tuned())}")
        if self.dataset.source != "curated-with-answers":
            raise ValueError(
                "job.method fine-tuning learns from the logged answers; write dataset.source: curated-with-answers"
            )
        return self

    @model_validator(mode="after")
    def _has_data(self) -> Workload:
        if self.logs is None and self.dataset.prompts is None:
            raise ValueError("say where the data comes from: logs.location, or dataset.prompts")
        if self.logs is None and self.dataset.source.startswith("logs-"):
            raise ValueError(f"dataset.source {self.dataset.source} needs logs.location")
        if self.logs is None and self.schedule.fresh_prompts is not None:
            raise ValueError("schedule.fresh_prompts needs logs.location")
        return self

    @model_validator(mode="after")
    def _has_live_prompts(self) -> Workload:
        if self.shadow is not None and self.logs is None:
            raise ValueError("shadow needs logs.location: live prompts are read from the invocation logs")
        return self

    @property
    def is_retrained(self) -> bool:
        """Whether the watch may start the loop."""
        return self.watch is not None and self.watch.retrain

    @property
    def salt(self) -> str:
        """What fixes the split of prompts into training and held-out."""
        return self.dataset.salt or self.name
