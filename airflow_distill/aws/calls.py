"""The one place where an SDK call is made and its failure translated; every gateway derives from it.

At DEBUG, which people choose when they look for a fault, the SDK logs whole requests and answers. They hold prompts, so
those lines are left out of any log as soon as there is a gateway.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from airflow_distill.aws.failure import translate
from airflow_distill.errors import DistillError

LOGGERS_WITH_BODIES = ("botocore.endpoint", "botocore.parsers")


def is_above_debug(record: logging.LogRecord) -> bool:
    """Say whether a log record is more than a debugging aid."""
    return record.levelno > logging.DEBUG


class Gateway:
    """Wraps one SDK client.

    :param client: a boto3 client; its methods are called by their snake_case names.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        for name in LOGGERS_WITH_BODIES:
            logging.getLogger(name).addFilter(is_above_debug)

    @property
    def endpoint_url(self) -> str:
        """Where the client sends its requests."""
        return str(self.client.meta.endpoint_url)

    @property
    def region(self) -> str:
        """The Region the client talks to."""
        return str(self.client.meta.region_name)

    @property
    def partition(self) -> str:
        """The AWS partition, `aws` for most."""
        return str(self.client.meta.partition)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call one SDK method and return its answer without the response metadata.

        :raises DistillError: the SDK's error translated by `aws.failure.translate`.
        """
        try:
            answer = getattr(self.client, method)(**parameters)
        except DistillError:
            raise  # a fence that refused the call
        except Exception as error:
            raise translate(error, operation_name(method)) from error
        return {k: v for k, v in answer.items() if k != "ResponseMetadata"}

    def pages(self, method: str, token: str = "nextToken", **parameters: Any) -> Iterator[dict[str, Any]]:
        """Call a list method until it gives no further token; yields each page."""
        while True:
            page = self.call(method, **parameters)
            yield page
            following = page.get(token)
            if not following:
                return
            parameters = {**parameters, token: following}


def operation_name(method: str) -> str:
    """Return the API operation's name for an SDK method: `get_custom_model` becomes `GetCustomModel`."""
    return "".join(part.capitalize() for part in method.split("_"))
