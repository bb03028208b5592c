"""An Airflow connection becomes the gateways of `aws/`.

The amazon provider's base hook does what it is good at: connections, assumed roles, Regions, endpoints, client settings.
All service clients of one task share one session, so a role is assumed once.
"""

from __future__ import annotations

import sys
from copy import copy
from functools import cached_property
from types import FrameType
from typing import Any, Protocol

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

from airflow_distill.aws.endpoints import ASSUME_ROLE, SERVICES, endpoints_in_force, refuse_mixture, told
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.provider_info import CONNECTION_TYPE


class Connected(Protocol):
    """What is given its AWS connection as the amazon provider's operators are: our operators, sensors and triggers."""

    aws_conn_id: Any
    region_name: Any
    verify: Any
    botocore_config: Any


def connection_arguments(connected: Connected) -> dict[str, Any]:
    """Return the arguments of its connection, for whoever goes on with the same one."""
    return {
        "aws_conn_id": connected.aws_conn_id,
        "region_name": connected.region_name,
        "verify": connected.verify,
        "botocore_config": connected.botocore_config,
    }


def gateways_of(connected: Connected) -> AwsGateways:
    """Return the gateways of its connection; blocking."""
    arguments = connection_arguments(connected)
    return BedrockDistillHook(config=arguments.pop("botocore_config"), **arguments).gateways


class BedrockDistillHook(AwsBaseHook):
    """Builds every client the loop needs from one AWS connection.

    :param aws_conn_id: the Airflow connection; None means the SDK's own credential chain.
    :param region_name: overrides the connection's Region.
    :param verify: TLS verification, as the SDK takes it.
    :param config: botocore settings as a dict or `Config`.
    """

    conn_type = CONNECTION_TYPE
    hook_name = "Amazon Bedrock Distillation"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["client_type"] = "bedrock"
        super().__init__(*args, **kwargs)

    @classmethod
    def get_connection(cls, conn_id: str) -> Any:
        """Return the connection; one of our own type is an AWS connection with more fields, and is handed on as one."""
        connection = super().get_connection(conn_id)
        if connection.conn_type == CONNECTION_TYPE:
            connection = copy(connection)
            connection.conn_type = "aws"
        return connection

    @cached_property
    def gateways(self) -> AwsGateways:
        """The gateways of this connection, each built when first used.

        :raises ConfigurationError: some services would be asked on this machine and some at AWS.
        """
        endpoints = self.endpoints()
        refuse_mixture(endpoints)
        self.log.info("AWS endpoints: %s", told(endpoints))
        session, config = self.get_session(), self._get_config()

        def build(service: str) -> Any:
            return session.client(
                service,
                endpoint_url=self.conn_config.get_service_endpoint_url(service_name=service),
                config=config,
                verify=self.verify,
            )

        return AwsGateways(build)

    def endpoints(self) -> dict[str, str]:
        """Return where the calls of each service go, the assuming of the connection's role included."""
        config = self.conn_config
        services = (*SERVICES, ASSUME_ROLE) if config.role_arn else SERVICES

        def given(service: str) -> str | None:
            if service == ASSUME_ROLE:
                return config.get_service_endpoint_url("sts", sts_connection_assume=True)
            return config.get_service_endpoint_url(service)

        return endpoints_in_force(given, services, profile_name=config.profile_name)

    @staticmethod
    def _find_operator_class_name(target_function_name: str) -> str | None:
        """Return the class whose method of that name called us, for the user agent.

        The provider's own way reads the source of every frame from disk, which costs each task a tenth of a second.
        """
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_name == target_function_name and "self" in frame.f_locals:
                return type(frame.f_locals["self"]).__name__
            frame = frame.f_back
        return None

    @staticmethod
    def _find_executor_class_name() -> str | None:
        """An executor never calls this hook."""
        return None
