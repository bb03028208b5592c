"""What Airflow learns about the package: its version, its connection form and the assets that other Dags wait for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk import DAG, Asset, Connection

from airflow_distill.hooks.bedrock import BedrockDistillHook
from airflow_distill.pipelines import AccountSettings, dataset_asset, distill_from_logs, release_asset
from airflow_distill.provider_info import CONNECTION_TYPE, get_provider_info

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).parents[2]
TICKETS = ROOT / "dags" / "workloads" / "support_tickets.yaml"
ROLE = "arn:aws:iam::123456789012:role/distill-customization"


def test_the_connection_form_asks_where_a_dag_works(airflow_home: Path) -> None:
    manager = ProvidersManager()
    fields = {n for n in manager.connection_form_widgets if n.startswith(f"extra__{CONNECTION_TYPE}__")}
    asked = {name.rpartition("__")[2] for name in fields}
    assert asked == {"distill_root", "distill_logs", "distill_role_arn", "region_name", "role_arn"}
    hook = manager.hooks[CONNECTION_TYPE]
    assert hook is not None
    assert hook.hook_name == "Amazon Bedrock Distillation"


def connection(**extra: str) -> Connection:
    return Connection(
        conn_id="bedrock", conn_type=CONNECTION_TYPE, login="key", password="secret", extra=json.dumps(extra)
    )


def test_a_connection_of_the_form_is_an_aws_connection(monkeypatch: pytest.MonkeyPatch, recwarn: Any) -> None:
    made = connection(region_name="eu-west-1", distill_root="s3://mine/loop")
    monkeypatch.setenv("AIRFLOW_CONN_BEDROCK", made.as_json())
    hook = BedrockDistillHook(aws_conn_id="bedrock")
    assert hook.region_name == "eu-west-1"
    assert not [w for w in recwarn if "expected connection type" in str(w.message)]


def test_the_fields_of_the_form_are_the_settings_of_the_account() -> None:
    held = connection(
        distill_root="s3://form/loop", distill_logs="s3://logs", distill_role_arn=ROLE, role_arn="assumed"
    )
    context: dict[str, Any] = {
        "conn": {"bedrock": held},
        "var": {"value": {}},
        "params": {"aws_conn_id": "bedrock"},
    }
    account = AccountSettings("root", "logs", "role_arn")
    assert [account(context, name) for name in account.names] == ["s3://form/loop", "s3://logs", ROLE]


def test_distill_in_the_extra_wins_over_the_fields_of_the_form() -> None:
    extra = {"distill_root": "s3://form/loop", "distill": {"root": "s3://extra/loop"}}
    held = Connection(conn_id="bedrock", conn_type="aws", extra=json.dumps(extra))
    context: dict[str, Any] = {
        "conn": {"bedrock": held},
        "var": {"value": {}},
        "params": {"aws_conn_id": "bedrock"},
    }
    assert AccountSettings("root")(context, "root") == "s3://extra/loop"


def test_a_loop_updates_an_asset_for_its_dataset_and_one_for_its_release() -> None:
    with DAG("loop", schedule=None) as dag:
        distill_from_logs(TICKETS)
    outlets = {
        task.task_id.rpartition(".")[2]: [outlet.uri for outlet in task.outlets if isinstance(outlet, Asset)]
        for task in dag.tasks
        if task.outlets
    }
    assert outlets == {
        "check": ["distill://dataset/support_tickets"],
        "promote": ["distill://release/support_tickets"],
    }
    assert dataset_asset("support_tickets").uri == outlets["check"][0]
    assert release_asset("support_tickets").uri == outlets["promote"][0]


@pytest.mark.parametrize(
    "uri", ["distill://dataset/", "distill://dataset/a/b", "distill://DATA-/x", "distill://dataset/x?y"]
)
def test_a_uri_that_names_no_workload_is_told(uri: str) -> None:
    from urllib.parse import urlsplit

    from airflow_distill.pipelines.asset_uris import checked

    with pytest.raises(ValueError, match="distill://dataset/WORKLOAD"):
        checked(urlsplit(uri))


def test_airflow_asks_us_about_our_uris(airflow_home: Path) -> None:
    assert get_provider_info()["asset-uris"][0]["schemes"] == ["distill"]
    assert "distill" in ProvidersManager().asset_uri_handlers
