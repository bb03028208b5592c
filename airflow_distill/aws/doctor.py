"""Asks an account, read-only, whether a distillation job would go through; each precondition by itself.

`doctor` runs some thirty checks and returns one result each: what was seen, and the command or policy statement that
mends it. A check whose ground is missing is skipped, so one cause gives one failure. Nothing is created, written or
paid, and no text of prompts or answers is kept: of log records only model, metadata keys and counts are looked at.
"""

from __future__ import annotations

import gzip
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import Any, get_args

from airflow_distill.aws.failure import NO_CREDENTIALS
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.models import LIFECYCLES, lifecycle_of
from airflow_distill.aws.quotas import no_code, no_room, rooms
from airflow_distill.aws.s3 import split_uri
from airflow_distill.errors import DistillError, ServiceNotFoundError
from airflow_distill.remote.backoff import rung
from airflow_distill.stages.jobs import models
from airflow_distill.stages.jobs.preflight import (
    CheckResult,
    Preflight,
    Status,
    missing,
    reads,
    statement_for,
    trust_document,
    trust_problem,
    writes,
)
from airflow_distill.stages.jobs.records import CustomizationSpec, PromptsData
from airflow_distill.stages.jobs.request import (
    CUSTOMIZATION_TYPES,
    ROLE_ARN,
    Problem,
    check_filters,
    check_s3_uri,
    check_spec,
)
from airflow_distill.stages.logs.metadata import MetadataFilter
from airflow_distill.stages.logs.models import resolve_model
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.storage import join_uri

SAMPLE_OBJECTS = 12
SAMPLE_LINES = 250
"""So many log objects, evenly over the hours of the window, and so many lines of each."""
JOBS_IN_PROGRESS = 10
"""Scheduled customization jobs that an account was seen to be allowed at once."""
LONGEST_JOB = timedelta(days=7)
"""How long a customization job may run; its base model must live that long."""

PATIENCE = 120.0
"""Seconds that one visit may spend on asking again where the service gave no answer."""
_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds before each further question of a check; the last one repeats."""

Answer = tuple[Status, str, str]

log = logging.getLogger(__name__)


def doctor(
    spec: Preflight,
    gateways: AwsGateways,
    *,
    now: datetime | None = None,
    patience: float = PATIENCE,
    sleep: Callable[[float], None] = time.sleep,
) -> list[CheckResult]:
    """Run every check and return one result each, in the order in which one would mend them.

    A throttle, an outage, a lost connection or expired credentials are no answer: the question is asked again, with
    growing pauses, for `patience` seconds in all. What still has no answer then is `unknown`, which is neither yes nor no.
    """
    return list(Examination(spec, gateways, now or datetime.now(UTC), patience, sleep).run())


class Examination:
    """One visit: what the checks have learnt so far is kept here for the later ones."""

    def __init__(
        self,
        spec: Preflight,
        gateways: AwsGateways,
        now: datetime,
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.spec = spec
        self.patience = patience
        self.sleep = sleep
        self.aws = gateways
        self.now = now
        self.account = ""
        self.caller = ""
        self.role_name = ""
        self.trust: Mapping[str, Any] = {}
        self.policies: list[Mapping[str, Any]] | None = None
        self.profile_regions: list[str] = []
        self.offered: dict[str, Mapping[str, Any]] = {}
        self.sampled: list[str] = []

    @property
    def region(self) -> str:
        """The Region the connection talks to."""
        return self.aws.bedrock.region

    def run(self) -> Iterator[CheckResult]:
        """Run the checks; one that needs another's success is skipped without it."""
        sound: set[str] = set()
        for name, (check, needs) in self.checks().items():
            lacking = [need for need in needs if need not in sound]
            result = (
                CheckResult(name, "skipped", f"skipped: {lacking[0]} has not passed")
                if lacking
                else self._ask(name, check)
            )
            if result.status in ("ok", "warning"):
                sound.add(name)
            yield result

    def _ask(self, name: str, check: Callable[[], Answer]) -> CheckResult:
        for attempt in count():
            try:
                return CheckResult(name, *check())
            except DistillError as error:
                if not error.retryable:
                    return CheckResult(name, "failed", error.message, error.hint)
                pause = min(rung(_PAUSES, attempt), self.patience)
                if pause <= 0 or getattr(error, "code", "") == NO_CREDENTIALS:
                    return CheckResult(name, "unknown", f"could not be asked: {error.message}", error.hint)
                log.info(
                    "doctor: %s has no answer yet (%s); asking again in %g s.", name, error.message, pause
                )
                self.patience -= pause
                self.sleep(pause)
        raise AssertionError("the loop returns")

    def checks(self) -> dict[str, tuple[Callable[[], Answer], tuple[str, ...]]]:
        """Return every check by name, with the checks it stands on."""
        table: dict[str, tuple[Callable[[], Answer], tuple[str, ...]]] = {
            "workload-name": (self.workload_name, ()),
            "root-uri": (self.root_uri, ()),
            "role-arn": (self.role_is_arn, ()),
            "pair": (self.pair, ()),
            "tags": (self.tags, ("workload-name",)),
            "price-known": (self.price_known, ()),
            "identity": (self.identity, ()),
            "region": (self.right_region, ("pair",)),
            "hosting": (self.hosting, ()),
            "bedrock-reachable": (self.bedrock_reachable, ("identity",)),
            "student-offered": (self.student_offered, ("bedrock-reachable", "pair", "region")),
            "student-lifecycle": (self.student_lifecycle, ("bedrock-reachable", "pair")),
            "teacher-lifecycle": (self.teacher_lifecycle, ("bedrock-reachable", "pair")),
            "teacher-profile": (self.teacher_profile, ("bedrock-reachable",)),
            "may-list-jobs": (self.may_list_jobs, ("identity",)),
            "may-read-jobs": (self.may_read_jobs, ("identity",)),
            "may-list-models": (self.may_list_models, ("identity",)),
            "may-list-hosts": (self.may_list_hosts, ("identity",)),
            "host-quota": (self.host_quota, ("hosting", "may-list-hosts")),
            "jobs-in-progress": (self.jobs_in_progress, ("may-list-jobs",)),
            "role-exists": (self.role_exists, ("role-arn", "identity")),
            "role-trust": (self.role_trust, ("role-exists",)),
            "role-policies": (self.role_policies, ("role-exists",)),
            "role-reads-data": (self.role_reads_data, ("role-policies", "root-uri")),
            "role-writes-output": (self.role_writes_output, ("role-policies", "root-uri")),
            "role-asks-teacher": (self.role_asks_teacher, ("role-policies", "teacher-profile")),
            "caller-passes-role": (self.caller_passes_role, ("role-exists",)),
            "bucket": (self.bucket, ("root-uri", "identity")),
            "bucket-region": (self.bucket_region, ("bucket",)),
            "logging": (self.logging, ("identity",)),
        }
        if self.spec.kms_key_id:
            table["kms-key"] = (self.kms_key, ("identity",))
        if self.spec.filters:
            table["filter"] = (self.filter_shape, ())
        if self.spec.logs:
            table["logs-uri"] = (self.logs_uri, ())
            table["logging-target"] = (self.logging_target, ("logging", "logs-uri"))
            table["logs-found"] = (self.logs_found, ("logs-uri", "identity"))
            table["logs-region"] = (self.logs_region, ("logs-found",))
            table["logs-match"] = (
                self.logs_match,
                ("logs-found", *(["filter"] if self.spec.filters else [])),
            )
        if self.spec.logs and self.spec.logs_are_data:
            table["role-reads-logs"] = (self.role_reads_logs, ("role-policies", "logs-uri"))
        return table

    # What needs no call.

    def _spec(self) -> CustomizationSpec:
        spec = self.spec
        training = PromptsData(join_uri(spec.root, spec.workload, "datasets", "any", "train.jsonl"))
        return CustomizationSpec(
            spec.workload,
            "any",
            spec.teacher,
            spec.student,
            spec.role_arn,
            join_uri(spec.root, spec.workload, "jobs"),
            training,
            kms_key_id=spec.kms_key_id,
            job_tags=spec.tags,
            root=spec.root,
            method=spec.method,
        )

    def _problems(self, *codes: str) -> Answer | None:
        found = [p for p in check_spec(self._spec()) if p.code in codes]
        return _failed(found) if found else None

    def workload_name(self) -> Answer:
        """Names of job and model can be made of it."""
        return self._problems("workload-name", "name") or (
            "ok",
            f"jobs will be named like {self._spec().job_name()}",
            "",
        )

    def root_uri(self) -> Answer:
        """Bedrock's own URI pattern is narrower than S3's."""
        problems = list(check_s3_uri("root", self.spec.root))
        return _failed(problems) if problems else ("ok", f"{self.spec.root} is a URI Bedrock accepts", "")

    def role_is_arn(self) -> Answer:
        """The service role is named by its ARN."""
        if ROLE_ARN.fullmatch(self.spec.role_arn):
            self.role_name = self.spec.role_arn.rpartition("/")[2]
            return "ok", self.spec.role_arn, ""
        return (
            "failed",
            f"{self.spec.role_arn!r} is not an IAM role ARN",
            "Write arn:aws:iam::<account>:role/<name>.",
        )

    def pair(self) -> Answer:
        """The teacher may teach the student, and is named in the way it answers."""
        found = self._problems("pair", "profile-only", "application-profile", "withdrawn", "fine-tuning")
        how = "may teach" if self.spec.method == "distillation" else "answers for"
        return found or ("ok", f"{self.spec.teacher} {how} {self.spec.student}", "")

    def tags(self) -> Answer:
        """The user's own tags are ones the service accepts."""
        found = self._problems("tag-key", "tag-value", "count")
        return found or ("ok", f"{len(self.spec.tags)} tags of your own", "")

    def price_known(self) -> Answer:
        """An unknown price is never zero; the budget cannot be kept with one."""
        table = PriceTable.load()
        wanted = {
            "training": self.spec.student,
            "model-storage": self.spec.student,
            "inference-input": self.spec.teacher,
            "inference-output": self.spec.teacher,
        }
        unknown = [
            f"{item} of {models.base_model_id(model)}"
            for item, model in wanted.items()
            if table.price(item, models.base_model_id(model)) is None
        ]
        if unknown:
            return (
                "warning",
                f"no price is known for: {', '.join(unknown)}",
                "Give the price table a row for it; until then a budget in the workload file stops the run.",
            )
        return "ok", f"prices of {table.date} are known for training, storage and the teacher", ""

    def hosting(self) -> Answer:
        """A student that cannot be served is not worth training."""
        kinds = models.hosts_of(self.spec.student)
        if not kinds and not self.spec.host_kind:
            return (
                "failed",
                f"how {self.spec.student} can be served is not in the table of models, and no host is named",
                "Name the host (deployment.host, or --host-kind), or add the model to your file of models (models:).",
            )
        if not kinds:
            return (
                "warning",
                f"how {self.spec.student} can be served is not in the table of models; you named {self.spec.host_kind}",
                "Check the AWS documentation before you pay for a student.",
            )
        if self.spec.host_kind and self.spec.host_kind not in kinds:
            return (
                "failed",
                f"{self.spec.student} cannot be served by {self.spec.host_kind}",
                f"Choose one of: {', '.join(kinds)}.",
            )
        return "ok", f"the student can be served by {' or '.join(kinds)}", ""

    # Who asks, and of whom.

    def identity(self) -> Answer:
        """Which identity answers for this connection."""
        told = self.aws.identity.caller()
        self.account, self.caller = str(told["Account"]), str(told["Arn"])
        return "ok", f"you are {self.caller}", ""

    def right_region(self) -> Answer:
        """A pair's job runs in one Region only."""
        wanted = models.job_region(self.spec.teacher, self.spec.student, self.spec.method)
        if wanted and wanted != self.region:
            return (
                "failed",
                f"this pair's job runs in {wanted}, the connection is in {self.region}",
                f"Use --region {wanted}.",
            )
        return "ok", f"the connection is in {self.region}", ""

    def bedrock_reachable(self) -> Answer:
        """The control plane answers and lists models that can be distilled."""
        found = self.aws.bedrock.list_foundation_models(
            byCustomizationType=CUSTOMIZATION_TYPES[self.spec.method]
        )
        self.offered = {str(model.get("modelId") or ""): model for model in found}
        return "ok", f"{len(found)} models take {self.spec.method} in {self.region}", ""

    def student_offered(self) -> Answer:
        """The Region offers the student for distillation."""
        if models.strip_arn(self.spec.student) in self.offered:
            return "ok", f"{self.spec.student} takes {self.spec.method} in {self.region}", ""
        return (
            "failed",
            f"{self.region} does not offer {self.spec.student} for {self.spec.method}",
            f"aws bedrock list-foundation-models --by-customization-type {CUSTOMIZATION_TYPES[self.spec.method]} "
            f"--region {self.region}",
        )

    def student_lifecycle(self) -> Answer:
        """A legacy model takes no new customization jobs."""
        return self._lifecycle(models.strip_arn(self.spec.student))

    def teacher_lifecycle(self) -> Answer:
        """A teacher at its end stops answering."""
        return self._lifecycle(models.base_model_id(self.spec.teacher), teaches=True)

    def _lifecycle(self, model: str, *, teaches: bool = False) -> Answer:
        """A Legacy model is not customised any more; it goes on answering those who have used it (AWS: Model lifecycle)."""
        details = self.aws.bedrock.get_foundation_model(model)
        status, end = lifecycle_of(details), (details.get("modelLifecycle") or {}).get("endOfLifeTime")
        when = f", ends on {end:%Y-%m-%d}" if isinstance(end, datetime) else ""
        known = models.model_end(model)
        end = end if isinstance(end, datetime) else known
        if status == "ACTIVE" and end is not None and end <= self.now + LONGEST_JOB:
            return (
                "failed",
                f"{model} ends on {end:%Y-%m-%d}, before a job bought today must have ended ({LONGEST_JOB.days} days)",
                "Choose a pair whose models live longer.",
            )
        if status == "ACTIVE":
            return "ok", f"{model} is active{when}", ""
        if status not in LIFECYCLES:
            return (
                "warning",
                f"{model} has an unknown lifecycle status, {status}{when}",
                "Look it up on the service's page on model lifecycle.",
            )
        if teaches:
            return (
                "warning",
                f"the teacher {model} is legacy{when}: it answers those who have used it in the last 15 days",
                "Choose another teacher before that day.",
            )
        return (
            "failed",
            f"{model} is {status.lower()}{when}: no new jobs",
            "Choose a pair whose models are active.",
        )

    def teacher_profile(self) -> Answer:
        """A teacher behind an inference profile answers from every Region of it."""
        if not models.is_profile(self.spec.teacher):
            return "ok", "the teacher is asked directly", ""
        profile = self.aws.bedrock.get_inference_profile(self.spec.teacher)
        arns = [str(model.get("modelArn", "")) for model in profile.get("models", ())]
        self.profile_regions = sorted({arn.split(":")[3] for arn in arns if arn.count(":") > 4})
        return "ok", f"the profile spans {', '.join(self.profile_regions) or 'no Region'}", ""

    # What the connection may do.

    def may_list_jobs(self) -> Answer:
        """Waiting lists jobs."""
        next(self.aws.bedrock.iter_customization_jobs(maxResults=1), None)
        return "ok", "bedrock:ListModelCustomizationJobs is allowed", ""

    def may_read_jobs(self) -> Answer:
        """Finding a job again reads it by name."""
        self.aws.bedrock.find_customization_job("airflow-distill-doctor-asks")
        return "ok", "bedrock:GetModelCustomizationJob is allowed", ""

    def may_list_models(self) -> Answer:
        """Retiring lists custom models."""
        next(self.aws.bedrock.iter_custom_models(maxResults=1), None)
        return "ok", "bedrock:ListCustomModels is allowed", ""

    def may_list_hosts(self) -> Answer:
        """Serving and cleaning up list hosts of both kinds."""
        next(self.aws.bedrock.iter_provisioned_throughputs(maxResults=1), None)
        next(self.aws.bedrock.iter_deployments(maxResults=1), None)
        return "ok", "both kinds of hosts can be listed", ""

    def host_quota(self) -> Answer:
        """The account has room for a host of the student; a quota of 0 is the default for units without commitment."""
        named = self.spec.host_kind
        kinds = models.hosts_of(self.spec.student)
        asked = tuple(
            kind for kind in get_args(models.HostKind) if kind == named or (not named and kind in kinds)
        )
        found = rooms(self.aws, self.spec.student, asked)
        blocked = no_room(found)
        if blocked:
            return (
                "failed",
                f"no host of the student fits: {blocked}",
                "Raise the quota there, then run again.",
            )
        if unlisted := no_code(found):
            return "failed", unlisted, "`airflow-distill models list` prints the table in force."
        unknown = [f"{room.kind}: {room.unknown}" for room in found if room.unknown]
        if unknown and all(room.blocked or room.unknown for room in found):
            return (
                "warning",
                f"whether a host fits is not known: {'; '.join(unknown)}",
                "Look in Service Quotas.",
            )
        free = ", ".join(r.kind for r in found if not (r.blocked or r.unknown or r.unlisted))
        taken = "; ".join(f"{room.kind} would not fit: {room.blocked}" for room in found if room.blocked)
        return "ok", f"there is room for: {free}{f' ({taken})' if taken else ''}", ""

    def jobs_in_progress(self) -> Answer:
        """A full quota refuses the next job."""
        running = sum(
            1 for _ in islice(self.aws.bedrock.iter_customization_jobs(statusEquals="InProgress"), 100)
        )
        if running >= JOBS_IN_PROGRESS:
            return (
                "warning",
                f"{running} jobs are in progress; accounts were seen to be limited to {JOBS_IN_PROGRESS}",
                "Wait until one has ended, or look for the quota of scheduled customization jobs in Service Quotas.",
            )
        return "ok", f"{running} jobs are in progress", ""

    # The service role.

    def role_exists(self) -> Answer:
        """The role is there and belongs to this account."""
        account = self.spec.role_arn.split(":")[4]
        if account and account != self.account:
            return (
                "failed",
                f"the role is in account {account}, the connection in {self.account}",
                "Name a role of this account.",
            )
        try:
            self.trust = self.aws.identity.role(self.role_name)["AssumeRolePolicyDocument"]
        except ServiceNotFoundError:
            trust = trust_document(self.account, self.region)
            command = (
                f"aws iam create-role --role-name {self.role_name} --assume-role-policy-document '{trust}'"
            )
            return "failed", f"there is no role {self.role_name}", command
        return "ok", f"{self.role_name} is there", ""

    def role_trust(self) -> Answer:
        """Bedrock may assume it for a job in this account and Region."""
        problem = trust_problem(self.trust, self.account, self.region)
        if problem:
            trust = trust_document(self.account, self.region)
            command = (
                f"aws iam update-assume-role-policy --role-name {self.role_name} --policy-document '{trust}'"
            )
            return "failed", f"{self.role_name}: {problem}", command
        return "ok", "Bedrock may assume the role here", ""

    def role_policies(self) -> Answer:
        """The role's policies can be read, so that the next checks mean something."""
        self.policies = self._policies_of(self.role_name)
        return "ok", f"{len(self.policies)} policies of the role can be read", ""

    def _policies_of(self, role: str) -> list[Mapping[str, Any]]:
        identity = self.aws.identity
        return [*identity.inline_policies(role), *identity.attached_policies(role)]

    def _role_may(self, what: str, wants: list[tuple[str, str]]) -> Answer:
        lacking = missing(self.policies or [], wants)
        if not lacking:
            return "ok", f"the role may {what}", ""
        told = ", ".join(sorted({action for action, _ in lacking}))
        return (
            "failed",
            f"the role may not {what}: {told}",
            f"Add to the role's policy: {statement_for(lacking)}",
        )

    def role_reads_data(self) -> Answer:
        """The job reads its prompts."""
        return self._role_may(
            "read the data", reads(join_uri(self.spec.root, self.spec.workload, "datasets"))
        )

    def role_writes_output(self) -> Answer:
        """The job writes its metrics."""
        return self._role_may(
            "write the output", writes(join_uri(self.spec.root, self.spec.workload, "jobs"))
        )

    def role_reads_logs(self) -> Answer:
        """The job reads the logs itself."""
        return self._role_may("read the logs", reads(str(self.spec.logs)))

    def role_asks_teacher(self) -> Answer:
        """Behind a profile the role needs the profile and the model in each of its Regions."""
        if self.spec.use_prompt_response:
            return "ok", "logged answers are used, the teacher is not called", ""
        if not models.is_profile(self.spec.teacher):
            return "ok", "Bedrock calls the teacher itself", ""
        partition = self.aws.bedrock.partition
        base, profile = models.base_model_id(self.spec.teacher), models.strip_arn(self.spec.teacher)
        wants = [
            (
                "bedrock:InvokeModel",
                f"arn:{partition}:bedrock:{self.region}:{self.account}:inference-profile/{profile}",
            ),
            *(
                ("bedrock:InvokeModel", f"arn:{partition}:bedrock:{region}::foundation-model/{base}")
                for region in self.profile_regions
            ),
        ]
        return self._role_may("ask the teacher", wants)

    def caller_passes_role(self) -> Answer:
        """Submitting hands the role over, which is a permission of its own."""
        want = [("iam:PassRole", self.spec.role_arn)]
        fix = f"Give the connection's identity: {statement_for(want)}"
        if ":assumed-role/" not in self.caller:
            return "warning", "whether you may pass the role cannot be read for this kind of identity", fix
        name = self.caller.split(":assumed-role/")[1].split("/")[0]
        try:
            lacking = missing(self._policies_of(name), want)
        except DistillError as error:
            if error.retryable:
                raise
            return "warning", f"the policies of {name} cannot be read ({error.message})", fix
        if lacking:
            return "failed", f"{name} may not pass {self.role_name} to Bedrock", fix
        return "ok", f"{name} may pass the role", ""

    # Bucket, key, logs.

    def bucket(self) -> Answer:
        """The bucket of the root is there and can be listed."""
        bucket, _ = split_uri(self.spec.root)
        next(self.aws.objects.iter_objects(join_uri(self.spec.root, self.spec.workload) + "/"), None)
        return "ok", f"{bucket} can be listed", ""

    def bucket_region(self) -> Answer:
        """A job reads and writes only in its own Region."""
        return self._in_region(self.spec.root)

    def logs_region(self) -> Answer:
        """Logging delivers to its own Region only."""
        return self._in_region(str(self.spec.logs))

    def _in_region(self, uri: str) -> Answer:
        bucket, _ = split_uri(uri)
        where = self.aws.objects.bucket_region(bucket)
        if where != self.region:
            return (
                "failed",
                f"{bucket} is in {where}, the job runs in {self.region}",
                f"Use a bucket in {self.region}.",
            )
        return "ok", f"{bucket} is in {where}", ""

    def kms_key(self) -> Answer:
        """The key's name is one the service accepts; its policy cannot be judged from here."""
        found = self._problems("kms-key")
        return found or (
            "warning",
            "the key is well named; its policy was not checked",
            "It must allow the role kms:Decrypt, kms:GenerateDataKey, kms:DescribeKey and kms:CreateGrant.",
        )

    def logging(self) -> Answer:
        """Without logs there is nothing to learn from."""
        configuration = self.aws.bedrock.get_logging()
        bucket = (configuration.get("s3Config") or {}).get("bucketName")
        if not bucket:
            status: Status = "failed" if self.spec.logs else "warning"
            return (
                status,
                f"invocation logs are not delivered to S3 in {self.region}",
                self._logging_command(),
            )
        if configuration.get("textDataDeliveryEnabled") is False:
            return (
                "failed",
                "logging leaves out texts (textDataDeliveryEnabled is false)",
                self._logging_command(),
            )
        return "ok", f"invocation logs go to {bucket}", ""

    def _logging_command(self) -> str:
        bucket, key = split_uri(self.spec.logs or self.spec.root)
        target = json.dumps(
            {"s3Config": {"bucketName": bucket, "keyPrefix": key}, "textDataDeliveryEnabled": True}
        )
        return f"aws bedrock put-model-invocation-logging-configuration --region {self.region} --logging-config '{target}'"

    def filter_shape(self) -> Answer:
        """The SDK lets most wrong filters through."""
        problems = check_filters(self.spec.filters)
        return _failed(problems) if problems else ("ok", "the metadata filter is one the service accepts", "")

    def logs_uri(self) -> Answer:
        """The place of the logs is written as Bedrock accepts it."""
        problems = list(check_s3_uri("logs", str(self.spec.logs)))
        return _failed(problems) if problems else ("ok", f"{self.spec.logs} is a URI Bedrock accepts", "")

    def logging_target(self) -> Answer:
        """Logs are delivered to the place we read."""
        target = self.aws.bedrock.get_logging().get("s3Config") or {}
        delivered = join_uri(
            f"s3://{target.get('bucketName', '')}", str(target.get("keyPrefix") or "")
        ).rstrip("/")
        asked = str(self.spec.logs).rstrip("/")
        if asked == delivered or asked.startswith(delivered + "/"):
            return "ok", f"logs are delivered below {delivered}", ""
        return "warning", f"logs are delivered below {delivered}, you read {asked}", f"Use --logs {delivered}"

    def logs_found(self) -> Answer:
        """There are log objects; some of each part of the window are kept for the next check."""
        folder = str(self.spec.logs).rstrip("/") + "/"
        hours = list(islice(self._folders(folder, 12), self.spec.window_hours))
        picked = (
            [hours[round(n * (len(hours) - 1) / (SAMPLE_OBJECTS - 1))] for n in range(SAMPLE_OBJECTS)]
            if hours
            else []
        )
        self.sampled = [uri for hour in dict.fromkeys(picked) if (uri := self._newest_of(hour))]
        if not self.sampled:
            return (
                "failed",
                f"no log object lies below {folder}",
                "Send traffic, and wait some minutes for delivery.",
            )
        return "ok", f"the newest log object is {self.sampled[0]}", ""

    def _folders(self, folder: str, depth: int) -> Iterator[str]:
        """Yield the folders that hold objects, newest first; delivery names folders by date and hour."""
        store = self.aws.objects
        inner = sorted((f for f in store.iter_folders(folder) if not f.endswith("/data/")), reverse=True)
        if depth and inner:
            for each in inner:
                yield from self._folders(each, depth - 1)
            return
        yield folder

    def _newest_of(self, folder: str) -> str:
        """Return the newest log object of a folder, empty when it has none."""
        found = (item.uri for item in islice(self.aws.objects.iter_objects(folder), 1000))
        return max(
            (uri for uri in found if "permission-check" not in uri and "/data/" not in uri), default=""
        )

    def logs_match(self) -> Answer:
        """Some records, taken from the whole window, are the teacher's and pass the filter."""
        seen = ours = passed = 0
        keys: set[str] = set()
        base = models.base_model_id(self.spec.teacher)
        wanted = MetadataFilter.from_json(dict(self.spec.filters)) if self.spec.filters else None
        for record in self._records():
            seen += 1
            metadata = record.get("requestMetadata")
            tags = metadata if isinstance(metadata, dict) else {}
            if resolve_model(str(record.get("modelId", "")), {}) != base:
                continue
            ours += 1
            keys |= set(map(str, tags))
            passed += wanted is None or wanted.matches(tags)
        parts = len(self.sampled)
        told = f"of {seen} records from {parts} hours of the window {ours} are the teacher's and {passed} pass the filter"
        if passed:
            return "ok", told, ""
        if ours:
            known = ", ".join(sorted(keys)[:8]) or "none"
            return "failed", told, f"Metadata keys seen on the teacher's records: {known}."
        return (
            "warning",
            told,
            "Check the teacher's id, or that its traffic goes through this account and Region.",
        )

    def _records(self) -> Iterator[dict[str, Any]]:
        for uri in self.sampled:
            data = self.aws.objects.read(uri)
            try:
                lines = (gzip.decompress(data) if uri.endswith(".gz") else data).splitlines()
            except (OSError, EOFError):
                continue
            for line in islice(lines, SAMPLE_LINES):
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if isinstance(record, dict):
                    yield record


def _failed(problems: list[Problem]) -> Answer:
    return "failed", "; ".join(f"{p.path}: {p.message}" for p in problems), problems[0].fix
