"""Links from a task to its job, model or host in the AWS console.

Each class is listed in `provider_info.py` as well, or the web server would not know it. A link is stored before a task
defers, so it works while the job runs.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink

_CONSOLE = BASE_AWS_CONSOLE_LINK + "/bedrock/home?region={region_name}#/"


class BedrockCustomizationJobLink(BaseAwsLink):
    """The list of customization jobs; the console has no published address for a single one."""

    name = "Bedrock customization jobs"
    key = "bedrock_customization_job"
    format_str = _CONSOLE + "custom-models"


class BedrockCustomModelLink(BaseAwsLink):
    """The custom model's page, or the list while there is no model yet."""

    name = "Bedrock custom model"
    key = "bedrock_custom_model"
    format_str = _CONSOLE + "custom-models{page}"


class BedrockHostLink(BaseAwsLink):
    """The list of provisioned throughput and deployments."""

    name = "Bedrock host"
    key = "bedrock_host"
    format_str = _CONSOLE + "provisioned-throughput"


class BedrockEvaluationJobLink(BaseAwsLink):
    """The list of evaluation jobs."""

    name = "Bedrock evaluation job"
    key = "bedrock_evaluation_job"
    format_str = _CONSOLE + "eval/evaluation"


class BedrockBatchInferenceJobLink(BaseAwsLink):
    """The list of batch inference jobs."""

    name = "Bedrock batch inference job"
    key = "bedrock_batch_inference_job"
    format_str = _CONSOLE + "batch-inference"


class S3FolderLink(BaseAwsLink):
    """A folder of the bucket where the goods are."""

    name = "S3 folder"
    key = "distill_s3_folder"
    format_str = (
        BASE_AWS_CONSOLE_LINK + "/s3/buckets/{bucket}?region={region_name}&prefix={prefix}&showversions=false"
    )


def persist_arn_link(link: type[BaseAwsLink], context: Any, operator: Any, arn: str | None) -> None:
    """Store a link to something with an ARN; partition and Region are read from it, so no call is made."""
    parts = (arn or "").split(":")
    if len(parts) < 6:
        return
    link.persist(
        context=context,
        operator=operator,
        region_name=parts[3],
        aws_partition=parts[1],
        arn=arn,
        page=f"/item?arn={quote(arn or '', safe='')}" if ":custom-model/" in (arn or "") else "",
    )
