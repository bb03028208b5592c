"""Where each service's calls go, and the refusal of a set that mixes this machine with AWS.

A sandbox answers for every service or for none: with S3 on this machine and STS at AWS, some calls of a test are real,
cost money, and carry names and keys to where they were not meant to go. Endpoints come from the connection, the
environment (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_<SERVICE>`) and the SDK's configuration file, in the SDK's own order.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

import boto3
from botocore.configprovider import ConfiguredEndpointProvider

from airflow_distill.errors import ConfigurationError

SERVICES = ("bedrock", "bedrock-runtime", "s3", "ssm", "sts", "iam", "service-quotas")
"""The services that the package calls."""
ASSUME_ROLE = "sts (assume the connection's role)"
"""The call before all others of a connection with a role; the amazon provider sends it to an endpoint of its own."""
AWS = "AWS"
"""Stands for a service's own endpoint in the connection's Region."""


def configured_endpoint(service: str, profile_name: str | None = None) -> str | None:
    """Return the endpoint that environment or SDK configuration give a service; None for AWS's own."""
    session = boto3.Session(profile_name=profile_name)._session
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    found = ConfiguredEndpointProvider(
        full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name=service
    ).provide()
    return None if found is None else str(found)


def endpoints_in_force(
    given: Callable[[str], str | None], services: Iterable[str] = SERVICES, *, profile_name: str | None = None
) -> dict[str, str]:
    """Return where each service's calls go: a URL, or `AWS`.

    :param given: the connection's own endpoint of a service, which wins over the environment.
    """
    return {
        service: given(service) or configured_endpoint(service.partition(" ")[0], profile_name) or AWS
        for service in services
    }


def is_local(url: str) -> bool:
    """Say whether a URL leads to this machine."""
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    if host in ("localhost", "host.docker.internal") or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def told(endpoints: Mapping[str, str]) -> str:
    """Return the endpoints in one line, services of one endpoint together."""
    by_place: dict[str, list[str]] = {}
    for service, place in endpoints.items():
        by_place.setdefault(place, []).append(service)
    if len(by_place) == 1:
        return f"all services -> {next(iter(by_place))}"
    return "; ".join(f"{', '.join(services)} -> {place}" for place, services in by_place.items())


def refuse_mixture(endpoints: Mapping[str, str]) -> None:
    """Do nothing when all calls go to AWS or none does.

    :raises ConfigurationError: some services go to this machine and some to AWS.
    """
    local = [service for service, place in endpoints.items() if place != AWS and is_local(place)]
    aws = [service for service, place in endpoints.items() if place == AWS or _is_aws(place)]
    if local and aws:
        raise ConfigurationError(
            f"connection: some calls would go to this machine and some to AWS: {told(endpoints)}. Nothing was sent.",
            hint=_cure(endpoints[local[0]], aws),
        )


def _cure(url: str, aws: list[str]) -> str:
    if aws == [ASSUME_ROLE]:
        return (
            f'For a sandbox, add "service_config": {{"sts": {{"endpoint_url": "{url}"}}}} to the connection\'s extra, or '
            "leave out its role: the amazon provider does not use endpoint_url for assuming a role."
        )
    return (
        f'For a sandbox, set "endpoint_url": "{url}" in the connection\'s extra, or AWS_ENDPOINT_URL, so that every '
        "service goes there; for AWS, remove the local endpoints."
    )


def _is_aws(url: str) -> bool:
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".on.aws"))
