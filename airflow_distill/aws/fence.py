"""A fence around SDK clients: before each call that changes something, leave is asked.

A process may sleep for minutes between any two lines (a paused virtual machine, a full disk, a stopped container), and
somebody else may have finished its work meanwhile. Whoever holds a lease therefore asks whether it still does right before
each changing call, not once a step. The service knows no fencing numbers, so one call that is under way at that very
moment cannot be held back; the next one is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_distill.aws.gateways import AwsGateways

_CHANGES = frozenset({"create", "update", "delete", "put", "tag", "untag", "stop"})
"""First words of the SDK methods that change something."""


class FencedClient:
    """An SDK client that asks for leave before each call that changes something; everything else passes through.

    :param leave: returns when the call may go out, and raises when it may not.
    """

    def __init__(self, client: Any, leave: Callable[[], None]) -> None:
        self._client = client
        self._leave = leave

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name.partition("_")[0] not in _CHANGES:
            return found

        def call(**parameters: Any) -> Any:
            self._leave()
            return found(**parameters)

        return call


def fenced(gateways: AwsGateways, leave: Callable[[], None]) -> AwsGateways:
    """Return the same gateways behind a fence; clients are shared, nothing is built anew.

    :param leave: see `FencedClient`. The store of the ledger, which `leave` reads, is not taken from these gateways.
    """
    clients = {
        "bedrock": lambda: gateways.bedrock.client,
        "bedrock-runtime": lambda: gateways.runtime.client,
        "s3": lambda: gateways.objects.client,
        "ssm": lambda: gateways.parameters.client,
        "cloudwatch": lambda: gateways.metrics.client,
    }
    return AwsGateways(lambda service: FencedClient(clients[service](), leave))
