"""A spec meets the service: what `remote.submit` needs to find and buy a customization job."""

from __future__ import annotations

from airflow_distill.aws.bedrock import BedrockGateway
from airflow_distill.aws.remote_work import WORK
from airflow_distill.remote.submit import Wish
from airflow_distill.stages.jobs.records import CustomizationSpec
from airflow_distill.stages.jobs.request import build_request


def customization_wish(spec: CustomizationSpec, bedrock: BedrockGateway) -> Wish:
    """Return the wish for a spec: its names, how to look one up and how to buy a generation."""
    work = WORK["customization-job"]
    return Wish(
        kind="customization-job",
        name_of=spec.job_name,
        find=lambda name: work.find(bedrock, name),
        create=lambda generation: bedrock.create_customization_job(build_request(spec, generation)),
    )
