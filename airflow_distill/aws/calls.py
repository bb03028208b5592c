"""The one place where an SDK call is made and its failure translated; every gateway derives from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_distill.aws.failure import translate


class Gateway:
    """Wraps one SDK client.

    :param client: a boto3 client; its methods are called by their snake_case names.
    """

    def __init__(self, client: Any) -> None:
        self.client = client

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
