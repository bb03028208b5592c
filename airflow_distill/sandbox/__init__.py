"""A local Amazon Bedrock: control plane and runtime over HTTP, with S3, IAM, STS, SSM and KMS beside it.

It imports nothing of the rest of the project, on purpose: a stand-in built on our own reading of the service would
share our mistakes. Shapes, paths and constraints come from the SDK's service model. `Sandbox` is imported on first
use, so that `import airflow_distill.sandbox` stays cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_distill.sandbox.server import Sandbox

__all__ = ["Sandbox"]


def __getattr__(name: str) -> Any:
    if name == "Sandbox":
        from airflow_distill.sandbox.server import Sandbox

        return Sandbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
