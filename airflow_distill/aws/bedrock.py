"""The Bedrock control plane: one method per call we make, plain data in and out.

Requests and answers keep the API's own member names. Failures are ours (`aws.failure`). Shapes follow the service model
(botocore, `bedrock` 2023-04-20).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_distill.aws.calls import Gateway, operation_name
from airflow_distill.errors import ServiceNotFoundError, ServiceUnavailableError

Plain = dict[str, Any]


class BedrockGateway(Gateway):
    """`bedrock`: logging, models, customization jobs, hosts, evaluations, batch inference, copies, tags."""

    # Invocation logging: one configuration per account and Region.

    def put_logging(self, configuration: Mapping[str, Any]) -> None:
        """Replace the logging configuration (PutModelInvocationLoggingConfiguration)."""
        self.call("put_model_invocation_logging_configuration", loggingConfig=dict(configuration))

    def get_logging(self) -> Plain:
        """Return the logging configuration, empty when logging is off."""
        answer = self.call("get_model_invocation_logging_configuration")
        return dict(answer.get("loggingConfig") or {})

    def delete_logging(self) -> None:
        """Turn invocation logging off."""
        self.call("delete_model_invocation_logging_configuration")

    # Foundation models and profiles.

    def list_foundation_models(self, **filters: str) -> list[Plain]:
        """Return model summaries; filters such as `byCustomizationType="DISTILLATION"`."""
        return list(self.call("list_foundation_models", **filters).get("modelSummaries") or ())

    def get_foundation_model(self, model_id: str) -> Plain:
        """Return `modelDetails` of a foundation model, its lifecycle included."""
        return dict(self.call("get_foundation_model", modelIdentifier=model_id).get("modelDetails") or {})

    def get_inference_profile(self, profile_id: str) -> Plain:
        """Return an inference profile with the models behind it."""
        return self.call("get_inference_profile", inferenceProfileIdentifier=profile_id)

    def iter_inference_profiles(self, **filters: str) -> Iterator[Plain]:
        """Yield inference profile summaries."""
        yield from self._items("list_inference_profiles", "inferenceProfileSummaries", filters)

    # Customization jobs.

    def create_customization_job(self, request: Mapping[str, Any]) -> str:
        """Submit a customization job; returns its ARN. This is the call that costs."""
        return self._bought("create_model_customization_job", "jobArn", request)

    def get_customization_job(self, identifier: str) -> Plain:
        """Return a job by name or ARN.

        :raises ServiceNotFoundError: there is none.
        """
        return self.call("get_model_customization_job", jobIdentifier=identifier)

    def find_customization_job(self, name: str) -> Plain | None:
        """Return a job by name, or None when the service says there is none; any other failure is raised."""
        try:
            return self.get_customization_job(name)
        except ServiceNotFoundError:
            return None

    def iter_customization_jobs(self, **filters: Any) -> Iterator[Plain]:
        """Yield job summaries, newest first unless the filters say otherwise."""
        filters = {"sortBy": "CreationTime", "sortOrder": "Descending", **filters}
        yield from self._items("list_model_customization_jobs", "modelCustomizationJobSummaries", filters)

    def stop_customization_job(self, identifier: str) -> None:
        """Ask a job to stop; it passes through `Stopping`."""
        self.call("stop_model_customization_job", jobIdentifier=identifier)

    # Custom models.

    def get_custom_model(self, identifier: str) -> Plain:
        """Return a custom model by name or ARN."""
        return self.call("get_custom_model", modelIdentifier=identifier)

    def iter_custom_models(self, **filters: Any) -> Iterator[Plain]:
        """Yield custom model summaries."""
        yield from self._items("list_custom_models", "modelSummaries", filters)

    def delete_custom_model(self, identifier: str) -> None:
        """Delete a custom model; refused with a conflict while a host still serves it."""
        self.call("delete_custom_model", modelIdentifier=identifier)

    # Provisioned throughput: reserved serving, billed by the hour until deleted.

    def create_provisioned_throughput(self, request: Mapping[str, Any]) -> str:
        """Buy provisioned throughput; returns its ARN."""
        return self._bought("create_provisioned_model_throughput", "provisionedModelArn", request)

    def get_provisioned_throughput(self, identifier: str) -> Plain:
        """Return provisioned throughput by name or ARN."""
        return self.call("get_provisioned_model_throughput", provisionedModelId=identifier)

    def iter_provisioned_throughputs(self, **filters: Any) -> Iterator[Plain]:
        """Yield provisioned throughput summaries."""
        yield from self._items("list_provisioned_model_throughputs", "provisionedModelSummaries", filters)

    def update_provisioned_throughput(self, identifier: str, model_id: str) -> None:
        """Swap the model behind provisioned throughput; done when `modelArn` equals `desiredModelArn` and `InService`."""
        self.call(
            "update_provisioned_model_throughput", provisionedModelId=identifier, desiredModelId=model_id
        )

    def delete_provisioned_throughput(self, identifier: str) -> None:
        """Delete provisioned throughput; a committed term cannot be deleted before its end."""
        self.call("delete_provisioned_model_throughput", provisionedModelId=identifier)

    # Custom model deployments: on-demand serving of a custom model.

    def create_deployment(self, request: Mapping[str, Any]) -> str:
        """Create a custom model deployment; returns its ARN."""
        return self._bought("create_custom_model_deployment", "customModelDeploymentArn", request)

    def get_deployment(self, identifier: str) -> Plain:
        """Return a custom model deployment by name or ARN."""
        return self.call("get_custom_model_deployment", customModelDeploymentIdentifier=identifier)

    def iter_deployments(self, **filters: Any) -> Iterator[Plain]:
        """Yield custom model deployment summaries."""
        yield from self._items("list_custom_model_deployments", "modelDeploymentSummaries", filters)

    def update_deployment(self, identifier: str, model_arn: str) -> None:
        """Swap the model behind a deployment; watch `updateDetails.updateStatus`, not `status`."""
        self.call(
            "update_custom_model_deployment", customModelDeploymentIdentifier=identifier, modelArn=model_arn
        )

    def delete_deployment(self, identifier: str) -> None:
        """Delete a custom model deployment; the model stays."""
        self.call("delete_custom_model_deployment", customModelDeploymentIdentifier=identifier)

    # Evaluation jobs.

    def create_evaluation_job(self, request: Mapping[str, Any]) -> str:
        """Submit an evaluation job; returns its ARN."""
        return self._bought("create_evaluation_job", "jobArn", request)

    def get_evaluation_job(self, arn: str) -> Plain:
        """Return an evaluation job; only the ARN identifies it, not the name."""
        return self.call("get_evaluation_job", jobIdentifier=arn)

    def iter_evaluation_jobs(self, **filters: Any) -> Iterator[Plain]:
        """Yield evaluation job summaries."""
        yield from self._items("list_evaluation_jobs", "jobSummaries", filters)

    def stop_evaluation_job(self, arn: str) -> None:
        """Ask an evaluation job to stop."""
        self.call("stop_evaluation_job", jobIdentifier=arn)

    # Batch inference jobs.

    def create_batch_job(self, request: Mapping[str, Any]) -> str:
        """Submit a batch inference job (CreateModelInvocationJob); returns its ARN."""
        return self._bought("create_model_invocation_job", "jobArn", request)

    def get_batch_job(self, arn: str) -> Plain:
        """Return a batch inference job by ARN."""
        return self.call("get_model_invocation_job", jobIdentifier=arn)

    def iter_batch_jobs(self, **filters: Any) -> Iterator[Plain]:
        """Yield batch inference job summaries."""
        yield from self._items("list_model_invocation_jobs", "invocationJobSummaries", filters)

    def stop_batch_job(self, arn: str) -> None:
        """Ask a batch inference job to stop."""
        self.call("stop_model_invocation_job", jobIdentifier=arn)

    # Model copies.

    def create_copy_job(self, request: Mapping[str, Any]) -> str:
        """Copy a custom model into this Region; returns the copy job's ARN."""
        return self._bought("create_model_copy_job", "jobArn", request)

    def get_copy_job(self, arn: str) -> Plain:
        """Return a model copy job by ARN."""
        return self.call("get_model_copy_job", jobArn=arn)

    def iter_copy_jobs(self, **filters: Any) -> Iterator[Plain]:
        """Yield model copy job summaries."""
        yield from self._items("list_model_copy_jobs", "modelCopyJobSummaries", filters)

    # Tags.

    def tags(self, arn: str) -> dict[str, str]:
        """Return a resource's tags."""
        told = self.call("list_tags_for_resource", resourceARN=arn).get("tags") or ()
        return {str(tag["key"]): str(tag.get("value") or "") for tag in told if tag.get("key")}

    def tag(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add tags to a resource, replacing values of the same keys."""
        self.call(
            "tag_resource", resourceARN=arn, tags=[{"key": k, "value": v} for k, v in sorted(tags.items())]
        )

    def _bought(self, method: str, member: str, request: Mapping[str, Any]) -> str:
        """Buy something and return its ARN.

        :raises ServiceUnavailableError: the answer names no ARN; whether anything was bought is looked up by name.
        """
        arn = str(self.call(method, **request).get(member) or "")
        if not arn:
            raise ServiceUnavailableError(
                f"{operation_name(method)}: the answer names no {member}.",
                operation=operation_name(method),
                hint="It may have been bought; it is looked up by its name before anything is tried again.",
            )
        return arn

    def _items(self, method: str, member: str, filters: Mapping[str, Any]) -> Iterator[Plain]:
        for page in self.pages(method, **filters):
            yield from page.get(member) or ()
