"""Where calls go: all to one place, said once a task, or refused before the first of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.aws.endpoints import AWS, SERVICES, endpoints_in_force, is_local, refuse_mixture, told
from airflow_distill.aws.gateways import gateways_from_session
from airflow_distill.errors import ConfigurationError
from airflow_distill.hooks.bedrock import BedrockDistillHook
from airflow_distill.sandbox import Sandbox

LOCAL = "http://127.0.0.1:9"
ROLE = "arn:aws:iam::123456789012:role/airflow"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment that says nothing about endpoints."""
    for name in ("AWS_ENDPOINT_URL", *(f"AWS_ENDPOINT_URL_{s.upper().replace('-', '_')}" for s in SERVICES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    return monkeypatch


def connect(bare: pytest.MonkeyPatch, **extra: Any) -> BedrockDistillHook:
    bare.setenv(
        "AIRFLOW_CONN_MIXED",
        json.dumps({"conn_type": "aws", "extra": {"region_name": "us-east-1", **extra}}),
    )
    return BedrockDistillHook(aws_conn_id="mixed")


@pytest.mark.airflow
def test_a_connection_with_one_local_endpoint_for_all_services_is_taken(bare: pytest.MonkeyPatch) -> None:
    hook = connect(bare, endpoint_url=LOCAL)
    assert set(hook.endpoints().values()) == {LOCAL}
    assert hook.gateways.bedrock.client.meta.endpoint_url == LOCAL


@pytest.mark.airflow
@pytest.mark.parametrize("service", ["s3", "bedrock", "bedrock-runtime", "ssm", "sts", "iam"])
def test_one_local_service_among_those_of_aws_is_refused_before_any_call(
    bare: pytest.MonkeyPatch, service: str
) -> None:
    hook = connect(bare, service_config={service: {"endpoint_url": LOCAL}})
    with pytest.raises(ConfigurationError) as refused:
        _ = hook.gateways
    assert f"{service} -> {LOCAL}" in str(refused.value)
    assert "-> AWS" in str(refused.value)
    assert "Nothing was sent" in str(refused.value)


@pytest.mark.airflow
def test_a_role_that_would_be_assumed_at_aws_for_a_sandbox_is_refused(bare: pytest.MonkeyPatch) -> None:
    """The provider leaves `endpoint_url` aside when it assumes a role."""
    hook = connect(bare, endpoint_url=LOCAL, role_arn=ROLE)
    with pytest.raises(ConfigurationError) as refused:
        _ = hook.gateways
    assert "sts (assume the connection's role) -> AWS" in str(refused.value)
    assert "service_config" in refused.value.hint


@pytest.mark.airflow
def test_a_role_is_assumed_in_the_sandbox_when_sts_is_sent_there(
    bedrock_environment: Sandbox, bedrock_role: str, bare: pytest.MonkeyPatch
) -> None:
    url = bedrock_environment.endpoint_url
    hook = connect(
        bare, endpoint_url=url, role_arn=bedrock_role, service_config={"sts": {"endpoint_url": url}}
    )
    assert hook.gateways.identity.caller()["Account"] == "123456789012"


@pytest.mark.airflow
def test_the_environment_counts_too_and_the_connection_wins(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_ENDPOINT_URL_S3", LOCAL)
    with pytest.raises(ConfigurationError):
        _ = connect(bare).gateways
    bare.setenv("AWS_ENDPOINT_URL", LOCAL)
    assert set(connect(bare).endpoints().values()) == {LOCAL}
    bare.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert set(connect(bare).endpoints().values()) == {AWS}


@pytest.mark.airflow
def test_the_endpoints_in_force_are_logged_once_a_task(
    bare: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hook = connect(bare, endpoint_url=LOCAL)
    _ = hook.gateways
    _ = hook.gateways
    said = "".join(capfd.readouterr())
    assert said.count("AWS endpoints") == 1
    assert f"AWS endpoints: all services -> {LOCAL}" in said


def test_the_command_line_refuses_a_mixture_too(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_ENDPOINT_URL_BEDROCK", LOCAL)
    with pytest.raises(ConfigurationError, match="bedrock -> "):
        gateways_from_session(region_name="us-east-1")
    assert gateways_from_session(region_name="us-east-1", endpoint_url=LOCAL) is not None


def test_the_sdk_configuration_file_counts_too(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        f"[default]\nservices = here\n[services here]\ns3 =\n  endpoint_url = {LOCAL}\n"
    )
    assert endpoints_in_force(lambda service: None)["s3"] == LOCAL
    with pytest.raises(ConfigurationError):
        gateways_from_session(region_name="us-east-1")


def test_endpoints_of_one_s_own_network_are_no_mixture() -> None:
    places = dict.fromkeys(SERVICES, AWS) | {
        "s3": "https://minio.example.com",
        "bedrock": "https://10.0.0.8:443",
    }
    refuse_mixture(places)
    refuse_mixture(places | {"sts": "https://vpce-1.sts.us-east-1.vpce.amazonaws.com"})
    assert "s3 -> https://minio.example.com" in told(places)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:1",
        "http://127.1.2.3",
        "http://[::1]:80",
        "http://s3.localhost:1",
        "http://0.0.0.0:1",
    ],
)
def test_every_spelling_of_this_machine_is_local(url: str) -> None:
    assert is_local(url)


def test_an_endpoint_of_aws_by_its_url_is_aws() -> None:
    with pytest.raises(ConfigurationError):
        refuse_mixture({"s3": LOCAL, "sts": "https://sts.us-east-1.amazonaws.com"})
