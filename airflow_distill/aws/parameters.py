"""SSM parameters: the pointer that names the live model, host and release of a workload."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_distill.aws.calls import Gateway
from airflow_distill.errors import ServiceNotFoundError


class ParameterGateway(Gateway):
    """`ssm`: one method per call we make."""

    def get(self, name: str) -> str | None:
        """Return a parameter's value, or None when there is no such parameter."""
        try:
            return str(self.call("get_parameter", Name=name)["Parameter"]["Value"])
        except ServiceNotFoundError:
            return None

    def put(self, name: str, value: str, tags: Mapping[str, str] | None = None) -> None:
        """Write a parameter, replacing what is there. Tags are set only when it is new (the service's own rule)."""
        if tags and self.get(name) is None:
            pairs = [{"Key": k, "Value": v} for k, v in sorted(tags.items())]
            self.call("put_parameter", Name=name, Value=value, Type="String", Tags=pairs)
            return
        self.call("put_parameter", Name=name, Value=value, Type="String", Overwrite=True)

    def delete(self, name: str) -> None:
        """Remove a parameter; removing what is not there is not an error."""
        try:
            self.call("delete_parameter", Name=name)
        except ServiceNotFoundError:
            return
