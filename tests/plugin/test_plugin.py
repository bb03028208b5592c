"""What the plugin costs: nothing while it is off, next to nothing in processes that serve no page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

LOAD = """
import json, sys
import airflow.plugins_manager
before = set(sys.modules)
from airflow_distill.plugin.plugin import DistillPlugin
new = {name.split(".")[0] for name in set(sys.modules) - before}
print(json.dumps([sorted(new), len(DistillPlugin.fastapi_apps), DistillPlugin.react_apps]))
"""


def load(on: bool, home: Path) -> tuple[list[str], int, list[dict[str, Any]]]:
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__AIRFLOW_DISTILL__PAGES": str(on)}
    done = subprocess.run(
        [sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True, check=True
    )
    modules, apps, pages = json.loads(done.stdout.splitlines()[-1])
    return modules, apps, pages


@pytest.mark.parametrize("on", [False, True])
def test_loading_the_plugin_brings_neither_fastapi_nor_the_aws_sdk(on: bool, tmp_path: Path) -> None:
    modules, apps, pages = load(on, tmp_path)
    assert set(modules) <= {"airflow_distill", "airflow", "asyncio"}, modules
    assert (apps, len(pages)) == ((1, 4) if on else (0, 0))


def test_each_page_has_a_name_and_an_address_of_its_own() -> None:
    from airflow_distill.plugin.plugin import PAGES, react_apps

    apps = react_apps()
    assert len({each["name"] for each in apps}) == len({each["url_route"] for each in apps}) == len(PAGES)
    assert {each["bundle_url"] for each in apps} == {apps[0]["bundle_url"]}
    assert not apps[0]["bundle_url"].startswith(("/", "http")), (
        "it is found below whatever prefix Airflow has"
    )


def script() -> str:
    return resources.files("airflow_distill.plugin").joinpath("pages.js").read_text("utf-8")


def test_the_script_is_at_most_30_kb_and_tells_airflow_every_page() -> None:
    from airflow_distill.plugin.plugin import PAGES

    text = script()
    assert len(text.encode()) <= 30_000
    (told,) = re.findall(r"Object\.assign\(globalThis, \{(.+?)\}\)", text)
    names = {part.split(":")[0].strip() for part in told.split(",")}
    assert names == {name for name, _, _ in PAGES}


@pytest.mark.parametrize(
    "word",
    ["innerHTML", "outerHTML", "dangerouslySetInnerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function",
     "import(", "https://", "http://", "POST", "PUT", "DELETE", "localStorage.setItem", "document.cookie", "postMessage"],
)  # fmt: skip
def test_the_script_has_no_way_to_run_text_to_write_or_to_load(word: str) -> None:
    assert word not in script()


def test_the_settings_are_in_airflows_reference() -> None:
    import jsonschema
    from airflow import __path__ as airflow

    from airflow_distill.provider_info import get_provider_info

    info = get_provider_info()
    schema = json.loads((Path(airflow[0]) / "provider_info.schema.json").read_text())
    jsonschema.validate(info, schema)
    options = info["config"]["airflow_distill"]["options"]
    assert set(options) == {"pages", "root", "aws_conn_id", "show_texts"}
    assert options["pages"]["default"] == options["show_texts"]["default"] == "False"


def test_an_app_that_cannot_be_built_answers_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from airflow_distill.plugin import plugin

    def broken() -> None:
        raise ImportError("another FastAPI")

    monkeypatch.setattr(plugin, "_build", broken)
    host = FastAPI()
    host.mount("/distill", plugin.BuiltOnRequest())
    answer = TestClient(host).get("/distill/api/workloads")
    assert (answer.status_code, answer.json()["problem"]["said"]) == (503, "The pages cannot be built.")


def test_a_tasks_link_leads_to_its_page_only_where_the_pages_are_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from airflow_distill.links.pages import DistillPageLink

    key = SimpleNamespace(dag_id="d", run_id="manual__2026-11-30T20:00:00+00:00", task_id="g.t", map_index=-1)
    run = "/dags/d/runs/manual__2026-11-30T20%3A00%3A00%2B00%3A00"
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/team/")
    monkeypatch.setenv("AIRFLOW__AIRFLOW_DISTILL__PAGES", "True")
    link = DistillPageLink()
    judged = link.get_link(SimpleNamespace(), ti_key=key)
    assert judged == f"https://airflow.example/team{run}/plugin/distill-evaluation"
    asked = link.get_link(SimpleNamespace(asks_a_person=True), ti_key=key)
    assert asked == f"https://airflow.example/team{run}/tasks/g.t/plugin/distill-approval"
    monkeypatch.setenv("AIRFLOW__AIRFLOW_DISTILL__PAGES", "False")
    monkeypatch.setattr(
        "airflow_distill.links.report.DistillReportLink.get_link", lambda *a, **k: "the report"
    )
    assert link.get_link(SimpleNamespace(), ti_key=key) == "the report"


@pytest.mark.parametrize(
    ("setting", "extra", "variable", "root"),
    [
        ("s3://b/setting", '{"distill": {"root": "s3://b/extra"}}', "s3://b/variable", "s3://b/setting"),
        ("", '{"distill": {"root": " s3://b/extra/ "}}', "s3://b/variable", "s3://b/extra"),
        ("", '{"distill_root": "s3://b/field"}', "s3://b/variable", "s3://b/field"),
        ("", '{"distill": "{\\"root\\": \\"s3://b/text\\"}", "distill_root": "s3://b/field"}', None, "s3://b/text"),
        ("", '{"region_name": "us-east-1", "distill": {"logs": "s3://b/logs"}}', "s3://b/variable", "s3://b/variable"),
        ("", "{}", None, ""),
    ],
)  # fmt: skip
def test_the_root_is_found_where_hand_written_dags_find_it(
    airflow_home: Any,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    extra: str,
    variable: str | None,
    root: str,
) -> None:
    from airflow_distill.errors import ConfigurationError
    from airflow_distill.plugin.reader import reader_from_settings

    monkeypatch.setenv("AIRFLOW__AIRFLOW_DISTILL__ROOT", setting)
    monkeypatch.setenv("AIRFLOW__AIRFLOW_DISTILL__AWS_CONN_ID", "distill_pages")
    monkeypatch.setenv(
        "AIRFLOW_CONN_DISTILL_PAGES", json.dumps({"conn_type": "bedrock_distill", "extra": json.loads(extra)})
    )
    if variable is None:
        monkeypatch.delenv("AIRFLOW_VAR_DISTILL_ROOT", raising=False)
    else:
        monkeypatch.setenv("AIRFLOW_VAR_DISTILL_ROOT", variable)
    if root:
        assert reader_from_settings().root == root
        return
    with pytest.raises(ConfigurationError) as caught:
        reader_from_settings()
    assert "no root is named" in caught.value.message
    assert "distill_pages" in (caught.value.hint or "")
    assert "`distill_root`" in (caught.value.hint or "")
