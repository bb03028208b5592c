"""Asks the service what model lies behind an application inference profile: once for each, and only where it may.

Takes ARNs as invocation logs hold them, hands on base model ids. A profile that may not be read, or that is gone, has no
answer; its records are then counted as `unresolved_profile`. An outage is no answer either, so it is an error.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from airflow_distill.aws.bedrock import Plain
from airflow_distill.errors import ServiceError

log = logging.getLogger(__name__)


class ProfileReader(Protocol):
    """What can read an inference profile, such as `BedrockGateway`."""

    def get_inference_profile(self, profile_id: str) -> Plain: ...


@dataclass
class ProfileLookup:
    """Return the model behind an application profile's ARN, "" where the service does not say.

    :param open_reader: makes the gateway when there is something to ask; picklable where other processes read logs.
    """

    open_reader: Callable[[], ProfileReader]
    known: dict[str, str] = field(default_factory=dict)

    def __call__(self, arn: str) -> str:
        found = self.known.get(arn)
        if found is None:
            found = self.known[arn] = self._ask(arn)
        return found

    def _ask(self, arn: str) -> str:
        try:
            behind = self.open_reader().get_inference_profile(arn).get("models") or ()
        except ServiceError as error:
            if error.retryable:
                raise
            log.warning(
                "The model behind %s is not known (GetInferenceProfile: %s). Name it in logs.models of the workload file, "
                "model_mapping of the operator or --mapping, or allow bedrock:GetInferenceProfile.",
                arn,
                error.code,
            )
            return ""
        return str(behind[0]["modelArn"]) if behind else ""


def profile_lookup(logs: str, open_reader: Callable[[], ProfileReader]) -> ProfileLookup | None:
    """Return the lookup for logs in a bucket; None for logs on this machine, which are read without a call to AWS."""
    return ProfileLookup(open_reader) if logs.startswith("s3://") else None
