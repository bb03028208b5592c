"""What crosses the jobs stage's door: what is wanted, and what came of it.

Frozen, plain, versioned. `CustomizationSpec` is everything a distillation job needs; `JobOutcome` is the receipt that goes
through XCom (under 2 kB).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_distill.remote import identity
from airflow_distill.remote.records import JobSnapshot
from airflow_distill.stages.jobs.models import Method
from airflow_distill.stages.model_table import Form
from airflow_distill.stages.storage import join_uri

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class PromptsData:
    """Our own prompt file, with or without answers.

    :param form: of a line: a `bedrock-conversation-2024` record, or prompt and completion.
    """

    uri: str
    records: int | None = None
    with_answers: bool = False
    form: Form = "conversation"

    def to_json(self) -> dict[str, Any]:
        return {
            "mode": "prompts",
            "uri": self.uri,
            "records": self.records,
            "with_answers": self.with_answers,
            **({"form": self.form} if self.form != "conversation" else {}),
        }


@dataclass(frozen=True, slots=True)
class LogsData:
    """The invocation logs themselves; Bedrock reads and filters them.

    :param use_prompt_response: take the logged answers as they are instead of calling the teacher again.
    :param filters: one of `equals`, `notEquals`, `andAll`, `orAll`, in the API's own shape; None takes all.
    """

    uri: str
    use_prompt_response: bool = False
    filters: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "mode": "logs",
            "uri": self.uri,
            "use_prompt_response": self.use_prompt_response,
            "filters": dict(self.filters) if self.filters else None,
        }


TrainingData = PromptsData | LogsData


def training_data_from_json(data: Mapping[str, Any]) -> TrainingData:
    """Rebuild either kind of training data."""
    if data.get("mode") == "logs":
        filters = data.get("filters")
        return LogsData(
            data["uri"], bool(data.get("use_prompt_response", False)), dict(filters) if filters else None
        )
    return PromptsData(
        data["uri"],
        data.get("records"),
        bool(data.get("with_answers", False)),
        data.get("form", "conversation"),
    )


@dataclass(frozen=True, slots=True)
class CustomizationSpec:
    """One wanted customization job.

    :param student: the base model to customise, with its context suffix.
    :param output_uri: the folder of all jobs; each gets a folder of its own below it, named as the job.
    :param max_response_length: tokens the teacher may answer with (`maxResponseLengthForInference`).
    :param job_tags: tags of the job; `model_tags` of the resulting model.
    :param root: the root's URI; part of the names, so that two roots in one account never share a job.
    :param method: `distillation`: the service asks the teacher and trains on the answers; `fine-tuning`: it trains on the
        answers that the file holds already.
    """

    workload: str
    dataset_id: str
    teacher: str
    student: str
    role_arn: str
    output_uri: str
    training: TrainingData
    max_response_length: int | None = None
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    validation_uris: tuple[str, ...] = ()
    kms_key_id: str | None = None
    subnet_ids: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    job_tags: Mapping[str, str] = field(default_factory=dict)
    model_tags: Mapping[str, str] = field(default_factory=dict)
    root: str = ""
    method: Method = "distillation"

    @property
    def teacher_called(self) -> bool:
        """Whether the service may ask the teacher: not where logged answers are taken as they are, nor for fine-tuning."""
        logged = isinstance(self.training, LogsData) and self.training.use_prompt_response
        return self.method == "distillation" and not logged

    def parameters(self) -> dict[str, Any]:
        """Return what changes the resulting model beside the dataset and the pair; part of the job's identity.

        Roles, keys, networks, tags and places are not in it: mending one of them must not buy a second job.
        """
        parameters: dict[str, Any] = {}
        if self.method != "distillation":
            parameters["method"] = self.method
        if isinstance(self.training, LogsData):
            parameters["logs"] = self.training.to_json()
        if self.max_response_length is not None:
            parameters["max_response_length"] = self.max_response_length
        if self.hyperparameters:
            parameters["hyperparameters"] = dict(self.hyperparameters)
        if self.validation_uris:
            parameters["validation_uris"] = list(self.validation_uris)
        return parameters

    def job_name(self, generation: int = 1) -> str:
        """Return the job's name for a generation."""
        return self._job_name(generation, self.root)

    def older_job_name(self, generation: int = 1) -> str:
        """Return the name that versions before 1.0 gave the job."""
        return self._job_name(generation, "")

    def _job_name(self, generation: int, root: str) -> str:
        pair = self.teacher, self.student
        return identity.job_name(
            self.workload, self.dataset_id, *pair, self.parameters(), generation, root=root
        )

    def model_name(self, generation: int = 1) -> str:
        """Return the custom model's name for a generation."""
        pair = self.teacher, self.student
        return identity.custom_model_name(
            self.workload, self.dataset_id, *pair, self.parameters(), generation, root=self.root
        )

    def output_for(self, generation: int = 1) -> str:
        """Return the folder that Bedrock writes a generation's own output to."""
        return join_uri(self.output_uri, self.job_name(generation)) + "/"

    def token(self, generation: int = 1) -> str:
        """Return the request token for a generation."""
        return identity.request_token("CreateModelCustomizationJob", self.job_name(generation))

    def to_json(self) -> dict[str, Any]:
        return {
            "v": SCHEMA,
            "kind": "customization-spec",
            "workload": self.workload,
            "dataset_id": self.dataset_id,
            "teacher": self.teacher,
            "student": self.student,
            "role_arn": self.role_arn,
            "output_uri": self.output_uri,
            "training": self.training.to_json(),
            "max_response_length": self.max_response_length,
            "hyperparameters": dict(self.hyperparameters),
            "validation_uris": list(self.validation_uris),
            "kms_key_id": self.kms_key_id,
            "subnet_ids": list(self.subnet_ids),
            "security_group_ids": list(self.security_group_ids),
            "job_tags": dict(self.job_tags),
            "model_tags": dict(self.model_tags),
            "root": self.root,
            "method": self.method,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CustomizationSpec:
        return cls(
            workload=data["workload"],
            dataset_id=data["dataset_id"],
            teacher=data["teacher"],
            student=data["student"],
            role_arn=data["role_arn"],
            output_uri=data["output_uri"],
            training=training_data_from_json(data["training"]),
            max_response_length=data.get("max_response_length"),
            hyperparameters=dict(data.get("hyperparameters") or {}),
            validation_uris=tuple(data.get("validation_uris") or ()),
            kms_key_id=data.get("kms_key_id"),
            subnet_ids=tuple(data.get("subnet_ids") or ()),
            security_group_ids=tuple(data.get("security_group_ids") or ()),
            job_tags=dict(data.get("job_tags") or {}),
            model_tags=dict(data.get("model_tags") or {}),
            root=data.get("root") or "",
            method=data.get("method") or "distillation",
        )


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """The receipt of a customization job: what was bought, how it stands and what it made."""

    workload: str
    dataset_id: str
    job_arn: str
    job_name: str
    status: str
    generation: int
    submissions: int
    teacher: str
    student: str
    custom_model_arn: str | None = None
    custom_model_name: str | None = None
    submitted_at: str = ""
    ended_at: str = ""
    training_loss: float | None = None
    adopted: bool = False

    @classmethod
    def from_snapshot(
        cls,
        snapshot: JobSnapshot,
        *,
        workload: str,
        dataset_id: str,
        teacher: str,
        student: str,
        generation: int,
        submissions: int,
        adopted: bool,
    ) -> JobOutcome:
        """Build the receipt from the last look; model and loss are there once the job has completed."""
        loss = snapshot.details.get("training_loss")
        return cls(
            workload=workload,
            dataset_id=dataset_id,
            job_arn=snapshot.arn,
            job_name=snapshot.name,
            status=snapshot.status,
            generation=generation,
            submissions=submissions,
            teacher=teacher,
            student=student,
            custom_model_arn=snapshot.details.get("output_model_arn") or None,
            custom_model_name=snapshot.details.get("output_model_name") or None,
            submitted_at=snapshot.created_at,
            ended_at=snapshot.ended_at,
            training_loss=None if loss is None else float(loss),
            adopted=adopted,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "job",
            "v": SCHEMA,
            "workload": self.workload,
            "dataset_id": self.dataset_id,
            "job_arn": self.job_arn,
            "job_name": self.job_name,
            "status": self.status,
            "generation": self.generation,
            "submissions": self.submissions,
            "custom_model_arn": self.custom_model_arn,
            "custom_model_name": self.custom_model_name,
            "teacher": self.teacher,
            "student": self.student,
            "submitted_at": self.submitted_at,
            "ended_at": self.ended_at,
            "training_loss": self.training_loss,
            "adopted": self.adopted,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JobOutcome:
        return cls(
            workload=data["workload"],
            dataset_id=data["dataset_id"],
            job_arn=data["job_arn"],
            job_name=data["job_name"],
            status=data["status"],
            generation=int(data["generation"]),
            submissions=int(data["submissions"]),
            teacher=data["teacher"],
            student=data["student"],
            custom_model_arn=data.get("custom_model_arn"),
            custom_model_name=data.get("custom_model_name"),
            submitted_at=data.get("submitted_at") or "",
            ended_at=data.get("ended_at") or "",
            training_loss=data.get("training_loss"),
            adopted=bool(data.get("adopted", False)),
        )
