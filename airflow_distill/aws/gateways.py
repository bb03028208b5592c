"""One object that builds the gateways we need, each once, from whatever makes SDK clients.

An Airflow hook and the command line both hand in a `client_factory`: a service name becomes a boto3 client with the
caller's identity, Region and endpoints. Building a client costs 50 ms or more, so each is made once and kept. Nothing is
built before it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ProfileNotFound

from airflow_distill.aws.bedrock import BedrockGateway
from airflow_distill.aws.endpoints import endpoints_in_force, refuse_mixture
from airflow_distill.aws.identity import IdentityGateway
from airflow_distill.aws.parameters import ParameterGateway
from airflow_distill.aws.runtime import RuntimeGateway
from airflow_distill.aws.s3 import S3Store
from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.storage import LocalStore, ObjectStore

if TYPE_CHECKING:
    from airflow_distill.aws.metrics import MetricsGateway
    from airflow_distill.aws.price_list import PriceListGateway
    from airflow_distill.aws.quotas import QuotaGateway

ClientFactory = Callable[[str], Any]


class AwsGateways:
    """The gateways of one identity in one Region.

    :param client_factory: takes a service name such as `bedrock-runtime`, returns a boto3 client.
    """

    def __init__(self, client_factory: ClientFactory) -> None:
        self._client = client_factory

    @cached_property
    def bedrock(self) -> BedrockGateway:
        """The Bedrock control plane."""
        return BedrockGateway(self._client("bedrock"))

    @cached_property
    def runtime(self) -> RuntimeGateway:
        """The Bedrock runtime: asking models."""
        return RuntimeGateway(self._client("bedrock-runtime"))

    @cached_property
    def objects(self) -> S3Store:
        """S3 as an object store."""
        return S3Store(self._client("s3"))

    @cached_property
    def parameters(self) -> ParameterGateway:
        """SSM parameters: the pointer to the live model."""
        return ParameterGateway(self._client("ssm"))

    @cached_property
    def quotas(self) -> QuotaGateway:
        """Service Quotas: what the account may have."""
        from airflow_distill.aws.quotas import QuotaGateway

        return QuotaGateway(self._client("service-quotas"))

    @cached_property
    def metrics(self) -> MetricsGateway:
        """CloudWatch: what Bedrock's models are asked."""
        from airflow_distill.aws.metrics import MetricsGateway

        return MetricsGateway(self._client("cloudwatch"))

    @cached_property
    def price_list(self) -> PriceListGateway:
        """The AWS Price List; its endpoint lies in another Region than most."""
        from airflow_distill.aws.price_list import PriceListGateway

        return PriceListGateway(self._client("pricing"))

    @cached_property
    def identity(self) -> IdentityGateway:
        """STS and IAM: who asks, and what a role allows."""
        return IdentityGateway(self._client("sts"), self._client("iam"))


def store_for(gateways: AwsGateways, uri: str) -> ObjectStore:
    """Return the store that a URI lives in: S3 for `s3://`, else folders."""
    return gateways.objects if uri.startswith("s3://") else LocalStore()


def _refuse_unknown_profile(name: str) -> None:
    known = boto3.Session().available_profiles if "AWS_PROFILE" not in os.environ else None
    if known is not None and name not in known:
        raise ConfigurationError(
            f"aws: there is no profile {name!r}.",
            hint=f"The AWS configuration has {', '.join(sorted(known)) or 'no profiles'}.",
        )


def gateways_from_session(
    *,
    region_name: str | None = None,
    endpoint_url: str | None = None,
    profile_name: str | None = None,
) -> AwsGateways:
    """Build gateways from the SDK's own credential chain; what the command line uses.

    :param endpoint_url: one URL for all services, such as the sandbox's.
    :raises ConfigurationError: the environment sends some services to this machine and some to AWS, the profile is not
        in the configuration, or nothing says the Region.
    """
    if profile_name is not None:
        _refuse_unknown_profile(profile_name)
    try:
        refuse_mixture(endpoints_in_force(lambda service: endpoint_url, profile_name=profile_name))
        session = boto3.Session(region_name=region_name, profile_name=profile_name)
        region = session.region_name
    except ProfileNotFound as error:  # the one that AWS_PROFILE names
        raise ConfigurationError(
            f"aws: {error}.",
            hint="Correct AWS_PROFILE, or unset it; `aws configure list-profiles` prints what there is.",
        ) from None
    except BotoCoreError as error:
        raise ConfigurationError(
            f"aws: the configuration cannot be read ({type(error).__name__}).", hint="Check ~/.aws/config."
        ) from None
    if not region:
        raise ConfigurationError(
            "aws: no Region is set.",
            hint="Give --region, set AWS_REGION, or write `region_name` into the workload file.",
        )
    config = Config(retries={"mode": "standard", "max_attempts": 4})

    def build(service: str) -> Any:
        if service == "pricing":
            from airflow_distill.aws.price_list import endpoint_for

            region = endpoint_for(session.region_name or "us-east-1")
            return session.client(service, region_name=region, endpoint_url=endpoint_url, config=config)
        return session.client(service, endpoint_url=endpoint_url, config=config)

    return AwsGateways(build)
