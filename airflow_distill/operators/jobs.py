"""Operators around customization jobs: submit and wait, stop, delete the model, logging configuration, copies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_distill.aws.gateways import store_for
from airflow_distill.aws.remote_work import WORK
from airflow_distill.compat import airflow_id
from airflow_distill.errors import (
    ConfigurationError,
    DistillError,
    ServiceConflictError,
    ServiceNotFoundError,
)
from airflow_distill.links.bedrock import (
    BedrockCustomizationJobLink,
    BedrockCustomModelLink,
    persist_arn_link,
)
from airflow_distill.operators.base import DistillOperator, WaitingOperator, run_key, wall_clock
from airflow_distill.remote.identity import copy_name, request_token, resource_tags, tag_list
from airflow_distill.remote.ownership import Owner
from airflow_distill.remote.polling import Outcome
from airflow_distill.remote.records import JobSnapshot
from airflow_distill.remote.submit import Wish
from airflow_distill.triggers.jobs import (
    BedrockDistillationCompletedTrigger,
    BedrockModelCopyCompletedTrigger,
)

if TYPE_CHECKING:
    from airflow_distill.operators.spending import PaidStep
    from airflow_distill.stages.jobs.models import Method
    from airflow_distill.stages.jobs.records import CustomizationSpec
    from airflow_distill.stages.money.estimate import RunPlan


def run_tags(
    context: Any,
    operator: Any,
    workload: str,
    lifetime: timedelta | None,
    extra: Mapping[str, str] | None,
    root: str = "",
) -> dict[str, str]:
    """Return the tags for what this run creates: workload, root, run, Airflow, owner and end.

    The end is counted from the Dag run's own time where it has one, so that a later try asks for the same tags.
    """
    run = context.get("dag_run")
    begin = getattr(run, "run_after", None) or getattr(run, "start_date", None) or wall_clock()
    expires: datetime | None = begin + lifetime if lifetime is not None else None
    named = run_key(context) if "ti" in context else "manual"
    return resource_tags(
        workload, named, str(operator.owner), expires, root=root, airflow=airflow_id(), extra=extra
    )


class BedrockDistillModelOperator(WaitingOperator):
    """Buy one distillation job for these inputs, whatever is retried, cleared or run twice, and wait for it.

    Returns the job receipt; after waiting it names the custom model. The names are functions of workload, dataset, pair and
    parameters: the same wish finds the job that an earlier try, or another Dag run, has bought.

    :param workload: the workload's name (templated).
    :param root: `s3://bucket/prefix` under which the job writes its output (templated).
    :param role_arn: the service role that Bedrock assumes (templated).
    :param dataset: the receipt of a dataset, to train on its file (templated).
    :param invocation_logs: instead of a dataset: `{"uri", "use_prompt_response", "filters"}` (templated).
    :param reckon_with: with invocation logs: the receipt of a dataset whose prompts are as long as those of the logs; a cap
        of `budget` is held against the tokens of its examples (templated).
    :param dataset_id: with invocation logs: what tells one intended run from the next, such as the window (templated).
    :param teacher: the teacher model; the dataset's when left out (templated).
    :param student: the student model with its context suffix; the dataset's when left out (templated).
    :param max_response_length: the most tokens the teacher may answer with (templated).
    :param hyperparameters: passed on as they are; distillation needs none (templated).
    :param validation_uris: validation files; the service splits by itself when there are none (templated).
    :param kms_key_id: key for the custom model (templated).
    :param subnet_ids: subnets, with `security_group_ids`, for a job inside a VPC (templated).
    :param security_group_ids: see `subnet_ids` (templated).
    :param tags: your own tags for job and model, beside ours (templated).
    :param lifetime: how long the model is meant to live; written into its tags (templated).
    :param max_generations: how many jobs these inputs may buy: one more after each that failed. Left out, a second one only
        after a stop, or when the service says that it failed by itself (templated).
    :param first_generation: raise it to buy anew on purpose although a job completed (templated).
    :param buy_when_spent: buy a completed job anew when its model was deleted since (templated).
    :param allow_unlisted_pair: submit a pair that our tables do not list (templated).
    :param host_kind: how the student is to be served; needed for a student whose hosts our tables do not list (templated).
    :param models: path or URI of a table of models that lies over the packaged one (templated).
    :param method: `distillation`, or `fine-tuning` on the answers that the dataset holds (templated).
    :param budget: caps that the job must keep to, as the workload file has them (templated).
    :param prices: URI, path or content of a price table that lies over the packaged one (templated).
    :param student_prices: prices of the student by item, in the table's units, before both (templated).
    """

    needs_turn = True
    kind = "customization-job"
    trigger_class = BedrockDistillationCompletedTrigger
    operator_extra_links = (BedrockCustomizationJobLink(), BedrockCustomModelLink())
    template_fields: Sequence[str] = aws_template_fields(
        "wait_for_completion",
        "deferrable",
        "waiter_delay",
        "wait_timeout",
        "on_deadline",
        "cancel_on_kill",
        "workload",
        "root",
        "role_arn",
        "dataset",
        "invocation_logs",
        "reckon_with",
        "dataset_id",
        "teacher",
        "student",
        "max_response_length",
        "hyperparameters",
        "validation_uris",
        "kms_key_id",
        "subnet_ids",
        "security_group_ids",
        "tags",
        "lifetime",
        "max_generations",
        "first_generation",
        "buy_when_spent",
        "allow_unlisted_pair",
        "host_kind",
        "models",
        "method",
        "budget",
        "prices",
        "student_prices",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "dataset": "json",
        "invocation_logs": "json",
        "reckon_with": "json",
        "tags": "json",
    }
    ui_color = "#dbe9f6"

    def __init__(
        self,
        *,
        workload: str,
        root: str,
        role_arn: str,
        dataset: Any = None,
        invocation_logs: Any = None,
        reckon_with: Any = None,
        dataset_id: str | None = None,
        teacher: str | None = None,
        student: str | None = None,
        max_response_length: int | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        validation_uris: Sequence[str] | None = None,
        kms_key_id: str | None = None,
        subnet_ids: Sequence[str] | None = None,
        security_group_ids: Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
        lifetime: timedelta | None = timedelta(days=90),
        max_generations: int | None = None,
        first_generation: int = 1,
        buy_when_spent: bool = False,
        allow_unlisted_pair: bool = False,
        host_kind: Literal["provisioned-throughput", "custom-model-deployment"] | None = None,
        models: str | None = None,
        method: str = "distillation",
        budget: Mapping[str, Any] | None = None,
        prices: Any = None,
        student_prices: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.role_arn = role_arn
        self.dataset = dataset
        self.invocation_logs = invocation_logs
        self.reckon_with = reckon_with
        self.dataset_id = dataset_id
        self.teacher = teacher
        self.student = student
        self.max_response_length = max_response_length
        self.hyperparameters = hyperparameters
        self.validation_uris = validation_uris
        self.kms_key_id = kms_key_id
        self.subnet_ids = subnet_ids
        self.security_group_ids = security_group_ids
        self.tags = tags
        self.lifetime = lifetime
        self.max_generations = max_generations
        self.first_generation = first_generation
        self.buy_when_spent = buy_when_spent
        self.allow_unlisted_pair = allow_unlisted_pair
        self.host_kind = host_kind
        self.models = models
        self.method = method
        self.budget = budget
        self.prices = prices
        self.student_prices = student_prices

    def spec(self, context: Any) -> CustomizationSpec:
        """Return what is wanted, from the rendered arguments."""
        from airflow_distill.stages.jobs.spec import make_spec

        return make_spec(
            workload=self.workload,
            root=self.root,
            role_arn=self.role_arn,
            dataset=self.dataset,
            dataset_id=self.dataset_id,
            invocation_logs=self.invocation_logs,
            teacher=self.teacher,
            student=self.student,
            max_response_length=self.max_response_length,
            hyperparameters=self.hyperparameters,
            validation_uris=self.validation_uris,
            kms_key_id=self.kms_key_id,
            subnet_ids=self.subnet_ids,
            security_group_ids=self.security_group_ids,
            tags=run_tags(context, self, self.workload, self.lifetime, self.tags, self.root),
            method=cast("Method", self.method),
        )

    def work(self, context: Any) -> dict[str, Any]:
        """Find, adopt or submit the job; then wait as asked."""
        from airflow_distill.aws.customization import customization_wish
        from airflow_distill.aws.models import models_in_force
        from airflow_distill.stages.jobs.request import require_host, require_valid

        spec = self.spec(context)
        with models_in_force(self.gateways, self.models):
            require_valid(spec, allow_unlisted_pair=self.allow_unlisted_pair)
            require_host(spec.student, self.host_kind)
        wish = customization_wish(spec, self.gateways.bedrock)

        def buy(generation: int) -> str:
            self._claim(context, spec, generation)
            return wish.create(generation)

        submission = self.buy_once(
            context,
            replace(wish, create=buy),
            max_generations=self.max_generations,
            first_generation=self.first_generation,
            buy_when_spent=self.buy_when_spent,
        )
        carry = {
            "workload": spec.workload,
            "dataset_id": spec.dataset_id,
            "paid_for": self._paid_for(spec.dataset_id),
            "teacher": spec.teacher,
            "student": spec.student,
            "generation": submission.generation,
            "submissions": submission.submissions,
            "adopted": submission.adopted,
        }
        return self.wait_for(context, submission.snapshot, carry)

    def _paid_for(self, dataset_id: str) -> str:
        """Return the dataset whose run pays: where the job reads the logs itself, that which the run is judged by."""
        measured = self.reckon_with if isinstance(self.reckon_with, Mapping) else {}
        return str(measured.get("dataset_id") or dataset_id)

    def _step(self, context: Any, dataset_id: str, student: str, generation: int) -> PaidStep:
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.operators.spending import PaidStep, read_budget
        from airflow_distill.stages.money.usage import JOB

        table = read_prices(self.gateways, self.prices, student=student, stated=self.student_prices)
        name = "" if generation == 1 else str(generation)
        place = (self.workload, self.root, dataset_id)
        budget = read_budget(self.budget)
        return PaidStep(self.gateways, context, *place, JOB, table, budget, name=name, shared=True)

    def _claim(self, context: Any, spec: CustomizationSpec, generation: int) -> None:
        """Meet the caps with the most that the job may cost, before it is bought."""
        from airflow_distill.operators.spending import read_budget
        from airflow_distill.stages.money.estimate import planned

        budget = read_budget(self.budget)
        if not budget:
            return
        step = self._step(context, self._paid_for(spec.dataset_id), spec.student, generation)
        plan = self._plan(spec, int(budget.get("epochs", 3)))
        step.claim(usage for usage in planned(plan) if usage.stage == step.stage)

    def _plan(self, spec: CustomizationSpec, epochs: int) -> RunPlan:
        from airflow_distill.stages.money.estimate import SERVICE_MAXIMUM, RunPlan, mean_tokens

        dataset = self.dataset if isinstance(self.dataset, Mapping) else {}
        measured = dataset or (self.reckon_with if isinstance(self.reckon_with, Mapping) else {})
        profile: Mapping[str, Any] = {}
        if measured.get("manifest_uri"):
            manifest = json.loads(store_for(self.gateways, self.root).read(str(measured["manifest_uri"])))
            profile = (manifest.get("profile") or {}).get("train") or {}
        tokens_in, tokens_out = mean_tokens(profile)
        records = int(dataset.get("train_records") or SERVICE_MAXIMUM)
        return RunPlan(
            teacher=spec.teacher,
            student=spec.student,
            train_records=records,
            heldout_records=0,
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            teacher_called=spec.teacher_called,
            epochs=epochs,
            pairs=SERVICE_MAXIMUM if spec.teacher_called else records,
            asked=(),
        )

    def finish(self, context: Any, outcome: Outcome, carry: Mapping[str, Any]) -> dict[str, Any]:
        """Note what the job used, as far as its output tells it, and go on."""
        if outcome.snapshot is not None and outcome.snapshot.ended:
            self._note(context, outcome.snapshot, carry)
        return super().finish(context, outcome, carry)

    def _note(self, context: Any, snapshot: JobSnapshot, carry: Mapping[str, Any]) -> None:
        from airflow_distill.aws.job_usage import job_usage

        dataset_id = str(carry.get("paid_for") or carry.get("dataset_id") or "")
        step = self._step(
            context, dataset_id, str(carry.get("student") or ""), int(carry.get("generation") or 1)
        )
        given = self.dataset or self.reckon_with
        try:
            used = job_usage(self.gateways, snapshot.arn, given if isinstance(given, Mapping) else {})
        except DistillError as error:
            self.log.warning("What the job used is not known: %s", error.message)
            return
        step.note(snapshot.arn, what=snapshot.name, **used)
        step.settle()

    def receipt(self, snapshot: JobSnapshot, carry: Mapping[str, Any]) -> dict[str, Any]:
        return job_receipt(snapshot, carry)

    def show(self, context: Any, snapshot: JobSnapshot) -> None:
        persist_arn_link(BedrockCustomizationJobLink, context, self, snapshot.arn)
        persist_arn_link(
            BedrockCustomModelLink, context, self, snapshot.details.get("output_model_arn") or snapshot.arn
        )


def job_receipt(snapshot: JobSnapshot, carry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the job receipt from a snapshot and what was known when the job was submitted."""
    from airflow_distill.stages.jobs.records import JobOutcome

    return JobOutcome.from_snapshot(
        snapshot,
        workload=str(carry.get("workload", "")),
        dataset_id=str(carry.get("dataset_id", "")),
        teacher=str(carry.get("teacher", "")),
        student=str(carry.get("student", "")),
        generation=int(carry.get("generation", 1)),
        submissions=int(carry.get("submissions", 1)),
        adopted=bool(carry.get("adopted", False)),
    ).to_json()


def job_identifier(job: Any) -> str:
    """Return the ARN or name that a job receipt or a plain text names.

    :raises ConfigurationError: it names nothing.
    """
    found = job.get("job_arn") or job.get("job_name") if isinstance(job, Mapping) else job
    if not isinstance(found, str) or not found:
        raise ConfigurationError("jobs: no job is named.", hint="Pass a job receipt, an ARN or a job name.")
    return found


class BedrockStopCustomizationJobOperator(DistillOperator):
    """Ask a customization job to stop; one that has ended already is left as it is.

    Returns `{"kind": "job-stop", "job_arn", "status", "asked"}`.

    :param job: a job receipt, an ARN or a name (templated).
    """

    template_fields: Sequence[str] = aws_template_fields("job")
    operator_extra_links = (BedrockCustomizationJobLink(),)

    def __init__(self, *, job: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    def work(self, context: Any) -> dict[str, Any]:
        """Look, and stop what still runs."""
        work, bedrock = WORK["customization-job"], self.gateways.bedrock
        snapshot = work.look(bedrock, job_identifier(self.job))
        persist_arn_link(BedrockCustomizationJobLink, context, self, snapshot.arn)
        asked = not snapshot.ended and snapshot.status != "Stopping"
        if asked:
            try:
                bedrock.stop_customization_job(snapshot.arn)
            except ServiceConflictError:
                asked = False
            snapshot = work.look(bedrock, snapshot.arn)
        return {
            "kind": "job-stop",
            "v": 1,
            "job_arn": snapshot.arn,
            "job_name": snapshot.name,
            "status": snapshot.status,
            "asked": asked,
        }


class BedrockDeleteCustomModelOperator(DistillOperator):
    """Delete a custom model; one that is gone already counts as deleted. Hosts on it must be deleted first.

    Returns `{"kind": "model-delete", "model_arn", "deleted"}`; `deleted` is False when there was none.

    :param model: a job receipt, or the model's ARN or name (templated).
    """

    template_fields: Sequence[str] = aws_template_fields("model")

    def __init__(self, *, model: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model

    def work(self, context: Any) -> dict[str, Any]:
        """Delete the model once."""
        model = self.model
        named = (
            model.get("custom_model_arn") or model.get("model_arn") if isinstance(model, Mapping) else model
        )
        if not isinstance(named, str) or not named:
            raise ConfigurationError(
                "jobs: no custom model is named.", hint="Pass a completed job's receipt, an ARN or a name."
            )
        deleted = True
        try:
            self.gateways.bedrock.delete_custom_model(named)
        except ServiceNotFoundError:
            deleted = False
        return {"kind": "model-delete", "v": 1, "model_arn": named, "deleted": deleted}


class BedrockPutInvocationLoggingOperator(DistillOperator):
    """Turn invocation logging to S3 on. There is one configuration per account and Region, and this replaces it whole.

    Returns `{"kind": "logging", "configuration", "changed"}`. Nothing is written when it is as wanted already.

    :param bucket: the bucket for logs; it needs a policy that lets Bedrock write (templated).
    :param prefix: key prefix inside the bucket (templated).
    :param configuration: instead of bucket and prefix: the API's whole `loggingConfig` (templated).
    :param keep_others: keep the settings of a present configuration that are not named here (templated).
    """

    template_fields: Sequence[str] = aws_template_fields("bucket", "prefix", "configuration", "keep_others")
    template_fields_renderers: ClassVar[dict[str, str]] = {"configuration": "json"}

    def __init__(
        self,
        *,
        bucket: str | None = None,
        prefix: str = "",
        configuration: Mapping[str, Any] | None = None,
        keep_others: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bucket = bucket
        self.prefix = prefix
        self.configuration = configuration
        self.keep_others = keep_others

    def work(self, context: Any) -> dict[str, Any]:
        """Write the configuration if it differs from the present one."""
        wanted = dict(self.configuration or {})
        if self.bucket:
            wanted["s3Config"] = {"bucketName": self.bucket, "keyPrefix": self.prefix or ""}
            wanted.setdefault("textDataDeliveryEnabled", True)
        if not wanted:
            raise ConfigurationError("jobs: no logging is described.", hint="Give bucket or configuration.")
        present = self.gateways.bedrock.get_logging()
        if self.keep_others:
            wanted = {**present, **wanted}
        changed = wanted != present
        if changed:
            self.gateways.bedrock.put_logging(wanted)
        return {"kind": "logging", "v": 1, "configuration": wanted, "changed": changed}


class BedrockGetInvocationLoggingOperator(DistillOperator):
    """Return the logging configuration of the account and Region: `{"kind": "logging", "configuration", "enabled"}`.

    :param require_s3: fail when logs are not delivered to S3 (templated).
    """

    template_fields: Sequence[str] = aws_template_fields("require_s3")

    def __init__(self, *, require_s3: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.require_s3 = require_s3

    def work(self, context: Any) -> dict[str, Any]:
        """Read the configuration."""
        configuration = self.gateways.bedrock.get_logging()
        enabled = bool((configuration.get("s3Config") or {}).get("bucketName"))
        if self.require_s3 and not enabled:
            raise ConfigurationError(
                "jobs: invocation logs are not delivered to S3 in this account and Region.",
                hint="Turn them on with BedrockPutInvocationLoggingOperator; only later traffic will be there.",
            )
        return {"kind": "logging", "v": 1, "configuration": configuration, "enabled": enabled}


class BedrockCopyModelOperator(WaitingOperator):
    """Copy a custom model into this connection's Region, once, and wait for the copy.

    Returns `{"kind": "model-copy", "copy_job_arn", "model_arn", "model_name", "source_model_arn", "status"}`.

    :param model: a job receipt, or the source model's ARN (templated).
    :param workload: the workload's name (templated).
    :param root: common root of the workload's objects; with the workload it says whose the copy is (templated).
    :param kms_key_id: key for the copy (templated).
    :param tags: your own tags for the copy, beside ours (templated).
    :param lifetime: how long the copy is meant to live; written into its tags (templated).
    :param max_generations: how many copies may be tried (templated).
    """

    needs_turn = True
    kind = "model-copy-job"
    trigger_class = BedrockModelCopyCompletedTrigger
    operator_extra_links = (BedrockCustomModelLink(),)
    template_fields: Sequence[str] = aws_template_fields(
        "wait_for_completion",
        "deferrable",
        "waiter_delay",
        "wait_timeout",
        "on_deadline",
        "cancel_on_kill",
        "model",
        "workload",
        "root",
        "kms_key_id",
        "tags",
        "lifetime",
        "max_generations",
    )

    def __init__(
        self,
        *,
        model: Any,
        workload: str,
        root: str = "",
        kms_key_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        lifetime: timedelta | None = timedelta(days=90),
        max_generations: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.workload = workload
        self.root = root
        self.kms_key_id = kms_key_id
        self.tags = tags
        self.lifetime = lifetime
        self.max_generations = max_generations

    def work(self, context: Any) -> dict[str, Any]:
        """Find, adopt or start the copy; then wait as asked."""
        from airflow_distill.aws.customization import inspect_copy

        bedrock = self.gateways.bedrock
        model = self.model
        source = model.get("custom_model_arn") if isinstance(model, Mapping) else model
        if not isinstance(source, str) or not source.startswith("arn:"):
            raise ConfigurationError("jobs: no source model is named.", hint="Pass the custom model's ARN.")
        tags = run_tags(context, self, self.workload, self.lifetime, self.tags, self.root)

        def name_of(generation: int) -> str:
            return copy_name(self.workload, source, bedrock.region, generation, root=self.root)

        def create(generation: int) -> str:
            name = name_of(generation)
            request: dict[str, Any] = {
                "sourceModelArn": source,
                "targetModelName": name,
                "targetModelTags": tag_list(tags),
                "clientRequestToken": request_token("CreateModelCopyJob", name),
            }
            if self.kms_key_id:
                request["modelKmsKeyId"] = self.kms_key_id
            return bedrock.create_copy_job(request)

        def inspect(found: JobSnapshot) -> None:
            inspect_copy(Owner(self.workload, self.root), source, bedrock, found)

        work = WORK[self.kind]
        wish = Wish(self.kind, name_of, lambda name: work.find(bedrock, name), create, inspect=inspect)
        submission = self.buy_once(context, wish, max_generations=self.max_generations)
        return self.wait_for(context, submission.snapshot, {"source": source})

    def receipt(self, snapshot: JobSnapshot, carry: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "kind": "model-copy",
            "v": 1,
            "copy_job_arn": snapshot.arn,
            "status": snapshot.status,
            "model_arn": snapshot.details.get("output_model_arn"),
            "model_name": snapshot.details.get("output_model_name"),
            "source_model_arn": carry.get("source") or snapshot.details.get("source_model_arn"),
        }

    def show(self, context: Any, snapshot: JobSnapshot) -> None:
        persist_arn_link(
            BedrockCustomModelLink, context, self, snapshot.details.get("output_model_arn") or snapshot.arn
        )
