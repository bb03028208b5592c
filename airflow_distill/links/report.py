"""A link from a task to the report it has written."""

from __future__ import annotations

from urllib.parse import quote

from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink


class DistillReportLink(BaseAwsLink):
    """The report's object in the S3 console, from where it can be opened."""

    name = "Distillation report"
    key = "distill_report"
    format_str = BASE_AWS_CONSOLE_LINK + "/s3/object/{bucket}?region={region_name}&prefix={key}"


def object_of(uri: str) -> dict[str, str]:
    """Return bucket and quoted key of an S3 URI, as the link wants them."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"bucket": bucket, "key": quote(key, safe="/")}
