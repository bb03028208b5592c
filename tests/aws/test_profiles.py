"""Application inference profiles in logs: the service is asked for their models, once for each, and only where it may."""

from __future__ import annotations

import json
import logging
import pickle
from collections import Counter
from typing import Any

import pytest

from airflow_distill.aws.profiles import ProfileLookup, profile_lookup
from airflow_distill.errors import ServiceAccessError, ServiceNotFoundError, ServiceThrottledError
from airflow_distill.stages.logs.parse import LogReader
from airflow_distill.stages.logs.reasons import SkipReason
from airflow_distill.stages.logs.selection import Selection
from airflow_distill.stages.logs.unusable import Unusable

NOVA = "amazon.nova-pro-v1:0"
HEAD = "arn:aws:bedrock:us-east-1:111122223333"
PROFILE = f"{HEAD}:application-inference-profile/abc123def456"
OTHER = f"{HEAD}:application-inference-profile/zzz999zzz999"


class Account:
    """Knows one profile; counts what it is asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: Counter[str] = Counter()

    def __call__(self) -> Account:
        return self

    def get_inference_profile(self, profile_id: str) -> dict[str, Any]:
        self.asked[profile_id] += 1
        if self.error is not None:
            raise self.error
        if profile_id != PROFILE:
            raise ServiceNotFoundError("no such profile", operation="GetInferenceProfile", code="NotFound")
        arns = [f"arn:aws:bedrock:{region}::foundation-model/{NOVA}" for region in ("us-east-1", "us-west-2")]
        return {"models": [{"modelArn": arn} for arn in arns]}


def line(model: str, text: str = "hi") -> bytes:
    return json.dumps(
        {
            "schemaType": "ModelInvocationLog",
            "timestamp": "2026-11-20T10:00:00Z",
            "requestId": text,
            "operation": "Converse",
            "modelId": model,
            "input": {"inputBodyJson": {"messages": [{"role": "user", "content": [{"text": text}]}]}},
            "output": {
                "outputBodyJson": {"output": {"message": {"role": "assistant", "content": [{"text": "yes"}]}}}
            },
        }
    ).encode()


def outcomes(selection: Selection, *models: str) -> list[str]:
    reader = LogReader(selection)
    found = []
    for model in models:
        try:
            found.append(reader.read(line(model), lambda uri: None).model)
        except Unusable as skip:
            found.append(skip.reason.value)
    return found


def test_records_of_a_profile_are_those_of_the_model_behind_it() -> None:
    account = Account()
    wanted = Selection(model=NOVA, lookup=ProfileLookup(account))
    assert outcomes(wanted, PROFILE, PROFILE, OTHER, OTHER, f"us.{NOVA}") == [
        NOVA, NOVA, SkipReason.UNRESOLVED_PROFILE.value, SkipReason.UNRESOLVED_PROFILE.value, NOVA,
    ]  # fmt: skip
    assert account.asked == {PROFILE: 1, OTHER: 1}


def test_a_profile_that_somebody_named_is_not_asked_for() -> None:
    account = Account()
    wanted = Selection(model=NOVA, mapping={PROFILE: "anthropic.claude-v2"}, lookup=ProfileLookup(account))
    assert outcomes(wanted, PROFILE) == [SkipReason.OTHER_MODEL.value]
    assert not account.asked


def test_a_refusal_is_told_once_with_both_ways_out(caplog: pytest.LogCaptureFixture) -> None:
    account = Account(ServiceAccessError("no", operation="GetInferenceProfile", code="AccessDeniedException"))
    with caplog.at_level(logging.WARNING):
        wanted = Selection(model=NOVA, lookup=ProfileLookup(account))
        assert outcomes(wanted, PROFILE, PROFILE) == [SkipReason.UNRESOLVED_PROFILE.value] * 2
    (said,) = [record.getMessage() for record in caplog.records]
    assert PROFILE in said
    assert "logs.models" in said
    assert "bedrock:GetInferenceProfile" in said


def test_a_busy_service_is_an_error_and_not_an_unknown_model() -> None:
    """Else a window would be harvested without the traffic of a profile, for good."""
    account = Account(ServiceThrottledError("slow", operation="GetInferenceProfile", code="Throttling"))
    with pytest.raises(ServiceThrottledError):
        outcomes(Selection(model=NOVA, lookup=ProfileLookup(account)), PROFILE)


def test_a_lookup_goes_to_other_processes_and_counts_for_nothing_in_a_selection() -> None:
    lookup = pickle.loads(pickle.dumps(ProfileLookup(Account())))
    assert lookup(PROFILE).endswith(NOVA)
    assert Selection(model=NOVA, lookup=lookup) == Selection(model=NOVA)
    assert "lookup" not in Selection(model=NOVA, lookup=lookup).to_json()


def test_logs_on_this_machine_are_read_without_a_call() -> None:
    assert profile_lookup("/var/logs", Account()) is None
    assert profile_lookup("s3://bucket/logs", Account()) is not None
