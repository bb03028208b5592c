"""A spec meets the service: what `remote.submit` needs to find, check and buy a customization job, and to check a copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_distill.aws.bedrock import BedrockGateway, Plain
from airflow_distill.aws.remote_work import WORK
from airflow_distill.errors import OwnershipError, ServiceError, ServiceNotFoundError
from airflow_distill.remote.ownership import Owner, whose
from airflow_distill.remote.records import JobSnapshot
from airflow_distill.remote.submit import Wish
from airflow_distill.stages.jobs.models import base_model_id
from airflow_distill.stages.jobs.records import CustomizationSpec
from airflow_distill.stages.jobs.request import build_request

_ANSWERED = ("roleArn", "customizationType", "trainingDataConfig", "customizationConfig")
"""Members of the request that Get returns, and that decide what the model is: a job that differs in one is not ours."""


def customization_wish(spec: CustomizationSpec, bedrock: BedrockGateway, *, adopt: bool = True) -> Wish:
    """Return the wish for a spec: its names, how to look one up, whom it belongs to and how to buy a generation.

    :param adopt: tag what an earlier version bought; False only looks, as a dry run does.
    """
    work = WORK["customization-job"]
    return Wish(
        kind="customization-job",
        name_of=spec.job_name,
        find=lambda name: work.find(bedrock, name),
        create=lambda generation: _create(spec, bedrock, generation),
        older_name_of=spec.older_job_name if spec.root else None,
        inspect=lambda found: inspect_job(spec, bedrock, found, adopt=adopt),
        spent=lambda found: _gone(bedrock, found),
    )


def _create(spec: CustomizationSpec, bedrock: BedrockGateway, generation: int) -> str:
    """Buy a job; where the service refuses, say whose the model is that has the wanted name.

    :raises OwnershipError: another job made a model of that name.
    """
    try:
        return bedrock.create_customization_job(build_request(spec, generation))
    except ServiceError as error:
        if error.code in ("ValidationException", "ConflictException"):
            refuse_taken_model(spec, bedrock, generation, error)
        raise


def refuse_taken_model(
    spec: CustomizationSpec, bedrock: BedrockGateway, generation: int, cause: ServiceError | None = None
) -> None:
    """Refuse a generation whose model's name another job has taken; the service would refuse it without saying whose it is.

    :raises OwnershipError: so it is.
    """
    name = spec.model_name(generation)
    try:
        model = bedrock.get_custom_model(name)
        tags = bedrock.tags(str(model.get("modelArn") or name))
    except ServiceError:
        return
    made_by = str(model.get("jobName") or "")
    if made_by in ("", spec.job_name(generation), spec.older_job_name(generation)):
        return
    raise OwnershipError(
        f"jobs: the custom model {name} ({model.get('modelArn')}) has the name that our model would get; job {made_by} "
        f"made it, and it belongs to {whose(tags)}.",
        hint="It was not changed. Delete it by hand if it is not in use, or raise first_generation to take the next name.",
    ) from cause


def inspect_job(
    spec: CustomizationSpec, bedrock: BedrockGateway, found: JobSnapshot, *, adopt: bool = True
) -> None:
    """Make sure that a job under our name is ours, and that what it makes is what the spec wants.

    One that names no root and writes below ours was bought by an earlier version; it is tagged anew, and its model too. A
    failed job is asked only whose it is: it may have failed for the very setting that has been mended since.

    :raises OwnershipError: it belongs to somebody else, or was bought for something else.
    """
    owner, tags = Owner(spec.workload, spec.root), bedrock.tags(found.arn)
    what = f"jobs: customization job {found.name} ({found.arn})"
    job = bedrock.get_customization_job(found.arn)
    claim = owner.claim(tags)
    writes_to = str((job.get("outputDataConfig") or {}).get("s3Uri") or "")
    if claim == "foreign" or (
        claim == "unmarked" and not writes_to.startswith(spec.output_uri.rstrip("/") + "/")
    ):
        raise owner.refuse(what, tags)
    if found.state not in ("failed", "stopped"):
        unlike = [*_differences(spec, job)]
        if unlike:
            raise OwnershipError(
                f"{what} has our name and was bought for something else: {'; '.join(unlike)}.",
                hint="Set the setting back, or raise first_generation to buy again on purpose.",
            )
    if claim == "unmarked" and adopt:
        bedrock.tag(found.arn, owner.tags)
        model = str(found.details.get("output_model_arn") or "")
        if model and not _gone(bedrock, found):
            bedrock.tag(model, owner.tags)


def inspect_copy(owner: Owner, source: str, bedrock: BedrockGateway, found: JobSnapshot) -> None:
    """Make sure that a copy job under our name is ours, and copies the model that is wanted.

    The tags of the copy to come tell whose it is; one that carries none was asked for by a version before roots.

    :raises OwnershipError: it belongs to somebody else, or copies another model.
    """
    job = bedrock.get_copy_job(found.arn)
    tags = {str(tag["key"]): str(tag["value"]) for tag in job.get("targetModelTags") or ()}
    what = f"jobs: model copy job {found.name} ({found.arn})"
    if owner.claim(tags) == "foreign":
        raise owner.refuse(what, tags)
    copied = str(job.get("sourceModelArn") or source)
    if copied != source:
        raise OwnershipError(
            f"{what} has our name and copies {copied} instead of {source}.",
            hint="Delete or rename that copy, or copy under another workload's name.",
        )


def _gone(bedrock: BedrockGateway, found: JobSnapshot) -> str:
    """Say that the model of a completed job is not there any more; empty when it is, or when the job names none."""
    model = str(found.details.get("output_model_arn") or "")
    if not model:
        return ""
    try:
        bedrock.get_custom_model(model)
    except ServiceNotFoundError:
        return f"its custom model {model} was deleted"
    return ""


def _differences(spec: CustomizationSpec, job: Plain) -> Iterator[str]:
    """Yield in words what the job has otherwise than the spec; members that the service does not return are left out."""
    base = str(job.get("baseModelArn") or "")
    if base and base_model_id(base) != base_model_id(spec.student):
        yield f"base model {base_model_id(base)} instead of {base_model_id(spec.student)}"
    wanted = build_request(spec, 1)
    for member in _ANSWERED:
        if member in job:
            yield from _unlike(member, wanted.get(member), job[member])


def _unlike(member: str, wanted: Any, found: Any) -> Iterator[str]:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for name, value in wanted.items():
            if name in found:
                yield from _unlike(f"{member}.{name}", value, found[name])
        return
    if member.endswith("teacherModelIdentifier"):
        wanted, found = base_model_id(str(wanted)), base_model_id(str(found))
    if wanted is not None and found != wanted:
        yield f"{member} {found} instead of {wanted}"
