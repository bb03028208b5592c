"""What every trigger of ours keeps of its AWS connection, and the gateways it builds from that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger

from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.hooks.bedrock import gateways_of


class AwsTrigger(BaseTrigger):
    """Base of the triggers that ask AWS. Unknown arguments are accepted: an upgrade may meet yesterday's row.

    :param aws_conn_id: the Airflow connection; None for the SDK's own credentials.
    :param region_name: the Region, when it is not the connection's.
    :param verify: as in boto3.
    :param botocore_config: as in the amazon provider.
    """

    def __init__(
        self,
        *,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: Mapping[str, Any] | None = None,
        **other: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = dict(botocore_config) if botocore_config else None

    def gateways(self) -> AwsGateways:
        """Build the gateways of this connection; blocking, so it runs in a thread."""
        return gateways_of(self)
