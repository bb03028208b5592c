"""A link from a task to the report it has written: in the console, or at the local endpoint that keeps it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink


class DistillReportLink(BaseAwsLink):
    """The report's object in the S3 console, from where it can be opened."""

    name = "Distillation report"
    key = "distill_report"
    format_str = BASE_AWS_CONSOLE_LINK + "/s3/object/{bucket}?region={region_name}&prefix={key}"

    def format_link(self, **kwargs: Any) -> str:
        """Return the page itself where the task has stored one: the console knows nothing of a local endpoint."""
        return str(kwargs.get("page") or super().format_link(**kwargs))


def report_page(uri: str, *, region: str, partition: str, endpoint_url: str) -> str:
    """Return where a person opens a report: at the local endpoint, in the console, or the file itself.

    :param endpoint_url: where the task's S3 client sends its requests.
    """
    if not uri.startswith("s3://"):
        return uri
    place = object_of(uri)
    if is_local(endpoint_url):
        return f"{endpoint_url.rstrip('/')}/{place['bucket']}/{place['key']}"
    domain = BaseAwsLink.get_aws_domain(partition) or "aws.amazon.com"
    return DistillReportLink.format_str.format(aws_domain=domain, region_name=region, **place)


def is_local(endpoint_url: str) -> bool:
    """Say whether an endpoint is on this machine, such as a sandbox's."""
    host = urlsplit(endpoint_url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def object_of(uri: str) -> dict[str, str]:
    """Return bucket and quoted key of an S3 URI, as the link wants them."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"bucket": bucket, "key": quote(key, safe="/")}
