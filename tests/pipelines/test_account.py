"""A hand-written Dag learns where it works from its connection, from Airflow Variables or from its Params."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from airflow.sdk import Connection

from airflow_distill.errors import ConfigurationError
from airflow_distill.pipelines import AccountSettings

pytestmark = pytest.mark.airflow

ROLE = "arn:aws:iam::123456789012:role/distill-customization"
EVERYTHING = {"root": "s3://mine/loop", "logs": "s3://logs/bedrock", "role_arn": ROLE}
account = AccountSettings("root", "logs", "role_arn")


class Places:
    """Connections or Variables by name, which note down what was asked for."""

    def __init__(self, **held: Any) -> None:
        self.held = held
        self.asked: list[str] = []

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.append(name)
        return self.held.get(name, default)


def context(
    extra: Any = None, variables: dict[str, str] | None = None, conn_id: str = "distill_aws", **params: Any
) -> dict[str, Any]:
    held = (
        {}
        if extra is None
        else {"distill_aws": Connection(conn_id="distill_aws", conn_type="aws", extra=json.dumps(extra))}
    )
    return {
        "conn": Places(**held),
        "var": {"value": Places(**(variables or {}))},
        "params": {"aws_conn_id": conn_id, **params},
    }


def test_the_connection_wins_over_variables_and_they_over_params():
    variables = {f"distill_{name}": f"variable-{name}" for name in EVERYTHING}
    params = {name: f"param-{name}" for name in EVERYTHING}
    found = [
        account(context({"distill": {"root": "s3://connection"}}, variables, **params), name)
        for name in EVERYTHING
    ]
    assert found == ["s3://connection", "variable-logs", "variable-role_arn"]
    assert account(context({}, {"distill_logs": "v"}, **params), "root") == "param-root"


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_a_place_left_empty_has_nothing_to_say(empty: Any):
    given = context({"distill": {"root": empty, "logs": empty}}, {"distill_root": " "}, **EVERYTHING)
    assert account(given, "root") == EVERYTHING["root"]
    assert account(given, "logs") == EVERYTHING["logs"]


def test_variables_are_not_asked_for_what_the_connection_has():
    """Each question may cost a call to a secrets backend."""
    given = context({"distill": EVERYTHING})
    account(given, "logs")
    assert given["conn"].asked == ["distill_aws"]
    assert given["var"]["value"].asked == []


@pytest.mark.parametrize("uri", ["aws://", f"aws://?distill={quote(json.dumps(EVERYTHING))}"])
def test_a_connection_written_as_a_uri_needs_params_only_for_what_it_lacks(uri: str):
    given = context(**({} if "distill" in uri else EVERYTHING))
    given["conn"] = Places(distill_aws=Connection.from_uri(uri, conn_id="distill_aws"))
    assert {name: account(given, name) for name in EVERYTHING} == EVERYTHING


@pytest.mark.parametrize("conn_id", ["distill_aws", "", None])
def test_no_connection_at_all_leaves_variables_and_params(conn_id: Any):
    given = context(None, {"distill_logs": "s3://l"}, conn_id, root="s3://r", role_arn=ROLE)
    assert [account(given, name) for name in EVERYTHING] == ["s3://r", "s3://l", ROLE]


def test_one_error_names_every_missing_setting_and_all_three_places():
    with pytest.raises(ConfigurationError) as raised:
        account(context({"distill": {"root": "s3://mine"}}), "root")
    said = str(raised.value)
    for word in (
        "`logs`, `role_arn` are not set",
        "connection distill_aws",
        "`distill_logs`",
        "Param `logs`",
    ):
        assert word in said, said


def test_a_setting_that_the_dag_did_not_announce_is_refused():
    with pytest.raises(ConfigurationError, match="root, logs"):
        AccountSettings("root", "logs")(context(**EVERYTHING), "role_arn")


@pytest.mark.parametrize("held", ["not json", "[1]", 7, ["root"]])
def test_an_extra_that_is_no_object_is_named_without_its_text(held: Any):
    with pytest.raises(ConfigurationError, match="not an object") as raised:
        account(context({"distill": held}, **EVERYTHING), "root")
    assert "not json" not in str(raised.value)


DAG = """
from airflow.sdk import DAG, task
from airflow_distill.pipelines import AccountSettings

with DAG("told", render_template_as_native_obj=True, user_defined_macros={"account": AccountSettings("root", "logs")},
         params={"aws_conn_id": "distill_aws", "root": None, "logs": None}) as dag:

    @task(templates_dict={"root": "{{ account('root') }}", "logs": "{{ account('logs') }}"}, retries=0)
    def told(templates_dict=None):
        return templates_dict

    told()
"""


@pytest.mark.parametrize("uri", ["aws://", None])
def test_a_rendered_task_gets_by_on_params_alone(
    run_dag: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, uri: str | None
):
    if uri is None:
        monkeypatch.delenv("AIRFLOW_CONN_DISTILL_AWS", raising=False)
    else:
        monkeypatch.setenv("AIRFLOW_CONN_DISTILL_AWS", uri)
    run = run_dag(DAG, run_conf={"root": "s3://r", "logs": "s3://l"})
    (ti,) = run.get_task_instances()
    assert ti.xcom_pull(task_ids="told") == {"root": "s3://r", "logs": "s3://l"}


def test_a_rendered_task_gets_by_on_variables_alone(
    run_dag: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    for name in ("root", "logs"):
        monkeypatch.setenv(f"AIRFLOW_VAR_DISTILL_{name.upper()}", f"s3://{name}")
    run = run_dag(DAG)
    (ti,) = run.get_task_instances()
    assert ti.xcom_pull(task_ids="told") == {"root": "s3://root", "logs": "s3://logs"}
