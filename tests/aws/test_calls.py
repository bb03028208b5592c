"""What the SDK itself writes to the log when a gateway calls it."""

from __future__ import annotations

import logging

import pytest

from airflow_distill.aws.gateways import gateways_from_session
from airflow_distill.sandbox import Sandbox

TEACHER = "amazon.nova-pro-v1:0"


def test_no_request_and_no_answer_is_in_the_log_even_at_debug(
    bedrock_environment: Sandbox, bedrock_role: str, caplog: pytest.LogCaptureFixture
) -> None:
    bedrock_environment.teach([{"prompt": "what is a quokkaburger", "completion": "a wombatburger"}])
    gateways = gateways_from_session(region_name="us-east-1")
    caplog.set_level(logging.DEBUG)
    asked = [{"role": "user", "content": [{"text": "what is a quokkaburger"}]}]
    reply = gateways.runtime.converse(TEACHER, messages=asked, max_tokens=8)
    gateways.objects.write("s3://distill-sandbox/answers.jsonl", reply.text.encode())
    assert reply.text == "a wombatburger"
    assert "Event before-call.bedrock-runtime.Converse" in caplog.text, "the SDK's other lines stay"
    assert "quokkaburger" not in caplog.text
    assert "wombatburger" not in caplog.text
