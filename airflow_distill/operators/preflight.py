"""Before paying, as tasks: `doctor` as the first task of a Dag, and the plan of a job as a receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_distill.errors import ConfigurationError, ServiceUnavailableError
from airflow_distill.operators.base import DistillOperator, wall_clock
from airflow_distill.operators.jobs import BedrockDistillModelOperator

if TYPE_CHECKING:
    from airflow_distill.stages.jobs.models import Method


class BedrockDoctorOperator(DistillOperator):
    """Ask the account, read-only, whether a distillation job would go through; fail for good when it would not.

    Where the service gives no answer (a throttle, an outage, expired credentials) it is asked again for two minutes; after
    that the try fails and the task's retries ask once more. Every check is one line of the task log, with its cure.
    Returns `{"kind": "doctor", "checks", "failed", "warnings"}`.

    :param workload: the workload's name (templated).
    :param root: `s3://bucket/prefix` of the loop (templated).
    :param role_arn: the service role that Bedrock assumes (templated).
    :param teacher: the teacher model (templated).
    :param student: the student model with its context suffix (templated).
    :param logs: where invocation logs are delivered (templated).
    :param filters: request metadata filter in the API's own shape (templated).
    :param logs_are_data: Bedrock is to read the logs itself (templated).
    :param use_prompt_response: and learn their answers, so that the teacher is not called (templated).
    :param kms_key_id: key for the custom model (templated).
    :param host_kind: how the student is to be served (templated).
    :param tags: your own tags (templated).
    :param models: path or URI of a table of models that lies over the packaged one (templated).
    :param ignore: names of checks whose failure is accepted (templated).
    :param method: `distillation` or `fine-tuning` (templated).
    """

    template_fields: Sequence[str] = aws_template_fields(
        "workload",
        "root",
        "role_arn",
        "teacher",
        "student",
        "logs",
        "filters",
        "logs_are_data",
        "use_prompt_response",
        "kms_key_id",
        "host_kind",
        "tags",
        "models",
        "ignore",
        "method",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"filters": "json", "tags": "json"}

    def __init__(
        self,
        *,
        workload: str,
        root: str,
        role_arn: str,
        teacher: str,
        student: str,
        logs: str | None = None,
        filters: Mapping[str, Any] | None = None,
        logs_are_data: bool = False,
        use_prompt_response: bool = False,
        kms_key_id: str | None = None,
        host_kind: str | None = None,
        tags: Mapping[str, str] | None = None,
        models: str | None = None,
        ignore: Sequence[str] = (),
        method: str = "distillation",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.role_arn = role_arn
        self.teacher = teacher
        self.student = student
        self.logs = logs
        self.filters = filters
        self.logs_are_data = logs_are_data
        self.use_prompt_response = use_prompt_response
        self.kms_key_id = kms_key_id
        self.host_kind = host_kind
        self.tags = tags
        self.models = models
        self.ignore = ignore
        self.method = method

    def work(self, context: Any) -> dict[str, Any]:
        """Run the checks."""
        from airflow_distill.aws.doctor import doctor
        from airflow_distill.aws.models import models_in_force
        from airflow_distill.stages.jobs.preflight import Preflight, failures, unasked

        spec = Preflight(
            workload=self.workload,
            root=self.root,
            teacher=self.teacher,
            student=self.student,
            role_arn=self.role_arn,
            logs=self.logs,
            filters=self.filters,
            logs_are_data=self.logs_are_data,
            use_prompt_response=self.use_prompt_response,
            kms_key_id=self.kms_key_id,
            host_kind=self.host_kind,
            tags=dict(self.tags or {}),
            method=cast("Method", self.method),
        )
        with models_in_force(self.gateways, self.models):
            results = doctor(spec, self.gateways, now=wall_clock())
        for result in results:
            tell = self.log.warning if result.status in ("failed", "warning", "unknown") else self.log.info
            tell(
                "%s %s: %s%s",
                result.status,
                result.name,
                result.message,
                f" -> {result.fix}" if result.fix else "",
            )
        serious = [result for result in failures(results) if result.name not in self.ignore]
        if serious:
            told = "; ".join(f"{result.name}: {result.message}" for result in serious)
            raise ConfigurationError(f"doctor: {told}", hint=serious[0].fix)
        silent = [result for result in unasked(results) if result.name not in self.ignore]
        if silent:
            told = "; ".join(f"{result.name} {result.message}" for result in silent)
            raise ServiceUnavailableError(
                f"doctor: {told}",
                operation="doctor",
                hint="AWS did not answer; a retry asks again. If this continues, check network and credentials.",
            )
        return {
            "kind": "doctor",
            "v": 1,
            "workload": self.workload,
            "checks": len(results),
            "failed": [result.name for result in failures(results)],
            "warnings": [result.name for result in results if result.status == "warning"],
        }


class PlanDistillationOperator(BedrockDistillModelOperator):
    """Say what `BedrockDistillModelOperator` with the same arguments would do; send nothing.

    The exact request is in the task log. Returns `{"kind": "job-plan", "action", "generation", "job_name", "model_name",
    "problems", "price"}`; `action` is `buy`, `adopt` or `refuse`.

    :param input_tokens: mean tokens of a prompt, for the price (templated).
    :param output_tokens: mean tokens of an answer, for the price (templated).
    """

    template_fields: Sequence[str] = (
        *BedrockDistillModelOperator.template_fields,
        "input_tokens",
        "output_tokens",
    )

    def __init__(
        self, *, input_tokens: float | None = None, output_tokens: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens

    def work(self, context: Any) -> dict[str, Any]:
        """Plan, and log the request."""
        from airflow_distill.aws.planning import plan_job

        bedrock = self.gateways.bedrock
        plan = plan_job(
            self.spec(context),
            bedrock,
            max_generations=self.max_generations,
            first_generation=self.first_generation,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            region=bedrock.region,
        )
        self.log.info("Would send CreateModelCustomizationJob: %s", plan.request)
        return {
            "kind": "job-plan",
            "v": 1,
            "action": plan.action,
            "generation": plan.generation,
            "job_name": plan.request["jobName"],
            "model_name": plan.request["customModelName"],
            "problems": [problem.path for problem in plan.problems],
            "price": dict(plan.price),
        }
