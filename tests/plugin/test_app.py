"""Who may ask what, what is read before that is known, and what strangers' bytes can do to an answer."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from airflow_distill.stages.digest import canonical_json
from airflow_distill.stages.status.records import encode, run_uri, status_uri
from tests.airflow_pages.goods import DAG, RUN, TASK, WORKLOAD, example, full_status
from tests.airflow_pages.hostile import HOSTILE, hostile_status
from tests.plugin.conftest import CALLERS, OTHER, ROOT, Pages

pytestmark = pytest.mark.airflow

RUN_PATH = f"api/dags/{DAG}/runs/{quote(RUN, safe='')}"
ROUTES = {
    "script": "pages.js",
    "list": "api/workloads",
    "workload": f"api/dags/{DAG}/workloads/{WORKLOAD}",
    "evaluation": f"{RUN_PATH}/evaluation",
    "approval": f"{RUN_PATH}/tasks/{TASK}/approval",
    "text": f"{RUN_PATH}/texts/{example().id}",
}
OK, LOGIN, NO = 200, 401, 403
TABLE = {
    #              anonymous outsider reader editor admin expired
    "script":     (LOGIN, OK, OK, OK, OK, LOGIN),
    "list":       (LOGIN, OK, OK, OK, OK, LOGIN),
    "workload":   (LOGIN, NO, OK, OK, OK, LOGIN),
    "evaluation": (LOGIN, NO, OK, OK, OK, LOGIN),
    "approval":   (LOGIN, NO, OK, OK, OK, LOGIN),
    "text":       (LOGIN, NO, NO, OK, OK, LOGIN),
}  # fmt: skip
CELLS = [
    (route, caller, want) for route, row in TABLE.items() for caller, want in zip(CALLERS, row, strict=True)
]


@pytest.mark.parametrize(("route", "caller", "want"), CELLS, ids=[f"{r}-{c}" for r, c, _ in CELLS])
def test_every_route_answers_each_caller_as_the_table_says(
    pages: Pages, show_texts: Callable[[], None], route: str, caller: str, want: int
) -> None:
    show_texts()
    answer = pages.get(ROUTES[route], caller, headers={"X-Distill-Reveal": "click"})
    assert answer.status_code == want, answer.text
    if want != OK or caller == "outsider":
        assert pages.store.reads == [], "nothing of the bucket is read for somebody who may not see it"
        assert pages.connects == [], "not even the connection is made"


def test_the_table_names_every_route_of_the_app() -> None:
    from airflow_distill.plugin.app import create_app

    app = create_app(lambda: pytest.fail("connected"))
    paths = {route.path for route in app.routes}
    assert len(paths) == len(ROUTES), paths


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_no_route_has_another_verb(pages: Pages, route: str, method: str) -> None:
    assert pages.get(ROUTES[route], "admin", method).status_code == 405
    assert pages.store.reads == []


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("caller", ["anonymous", "reader"])
def test_every_answer_forbids_a_browser_to_do_anything_with_it(pages: Pages, route: str, caller: str) -> None:
    headers = pages.get(ROUTES[route], caller).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-type"].split(";")[0] in ("application/json", "text/javascript")


def test_looking_changes_nothing_in_the_bucket(pages: Pages) -> None:
    before = dict(pages.store.objects)
    for path in ROUTES.values():
        pages.get(path)
    assert pages.store.objects == before


# --- lists ----------------------------------------------------------------------------------------------------------------


def test_a_list_holds_only_workloads_of_dags_the_user_may_see(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.airflow_pages.auth import ByUser

    everything = pages.get("api/workloads", "reader").json()
    assert [each["workload"] for each in everything["workloads"]] == ["other", WORKLOAD]
    monkeypatch.setattr(ByUser, "filter_authorized_dag_ids", lambda self, **kwargs: kwargs["dag_ids"] & {DAG})
    some = pages.get("api/workloads", "reader").json()
    assert [each["workload"] for each in some["workloads"]] == [WORKLOAD]
    assert (some["hidden"], "other" in json.dumps(some)) == (True, False)


def test_a_workload_of_another_dag_is_not_shown_under_ones_own(pages: Pages) -> None:
    answer = pages.get(f"api/dags/{DAG}/workloads/other")
    assert "belongs to this Dag" in answer.json()["problem"]["said"]
    assert OTHER not in answer.text


def test_a_list_read_again_costs_one_listing_and_what_has_changed(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_distill.plugin.reader.MEMORY_SECONDS", 0.0)
    for number in range(200):
        name = f"w{number:03d}"
        pages.store.write(status_uri(ROOT, name), encode(full_status(name)))
    assert len(pages.get("api/workloads").json()["workloads"]) == 202
    pages.store.reads.clear()
    assert len(pages.get("api/workloads").json()["workloads"]) == 202
    assert pages.store.reads == [f"list {ROOT}/status/"], "warm: one call"
    pages.store.write(status_uri(ROOT, "w007"), encode(full_status("w007", at="2026-12-01T00:00:00Z")))
    pages.store.reads.clear()
    rows = {each["workload"]: each for each in pages.get("api/workloads").json()["workloads"]}
    assert rows["w007"]["at"] == "2026-12-01T00:00:00Z"
    assert len(pages.store.reads) == 2


def test_records_that_cannot_be_read_are_counted_and_named_as_a_number(pages: Pages) -> None:
    pages.store.write(f"{ROOT}/status/broken.json", b"{")
    pages.store.write(f"{ROOT}/status/huge.json", b"x" * 5000)
    pages.store.write(f"{ROOT}/status/liar.json", encode(full_status("somebody_else")))
    found = pages.get("api/workloads").json()
    assert (len(found["workloads"]), found["unreadable"]) == (2, 3)


# --- texts ----------------------------------------------------------------------------------------------------------------


def test_no_page_shows_a_text_of_the_bucket(pages: Pages, show_texts: Callable[[], None]) -> None:
    show_texts()
    for name, path in ROUTES.items():
        if name != "text":
            assert "SECRET" not in pages.get(path).text, name


def test_a_text_is_shown_after_a_click_only_and_leaves_its_line_in_the_audit_log(
    pages: Pages, show_texts: Callable[[], None]
) -> None:
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    show_texts()
    assert pages.get(ROUTES["text"], "editor").status_code == NO, "a link or a prefetch sends no such header"
    answer = pages.get(ROUTES["text"], "editor", headers={"X-Distill-Reveal": "click"})
    assert answer.json()["texts"] == {
        "prompt": "SECRET PROMPT 7",
        "reference": "SECRET REFERENCE",
        "student": "SECRET ANSWER",
    }
    with create_session() as session:
        line = session.scalars(
            select(Log).where(Log.event == "distill_reveal_text").order_by(Log.id.desc())
        ).first()
        assert line is not None
        assert (line.owner, line.dag_id, line.run_id) == ("editor", DAG, RUN)
        assert example().id in line.extra
        assert "SECRET" not in line.extra


def test_what_cannot_be_written_into_the_audit_log_is_not_shown(
    pages: Pages, show_texts: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> None:
        raise OSError("no database")

    show_texts()
    monkeypatch.setattr("airflow_distill.plugin.app._audit", broken)
    answer = pages.get(ROUTES["text"], "editor", headers={"X-Distill-Reveal": "click"})
    assert "SECRET" not in answer.text
    assert "problem" in answer.json()


def test_texts_stay_in_the_bucket_unless_the_setting_is_on(pages: Pages) -> None:
    answer = pages.get(ROUTES["text"], "admin", headers={"X-Distill-Reveal": "click"})
    assert (answer.status_code, pages.store.reads) == (NO, [])


def test_only_worst_cases_can_be_asked_for(pages: Pages, show_texts: Callable[[], None]) -> None:
    show_texts()
    answer = pages.get(f"{RUN_PATH}/texts/{example(8).id}", headers={"X-Distill-Reveal": "click"})
    assert "none of the run's worst cases" in answer.json()["problem"]["said"]


# --- sentences instead of errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["list", "workload", "evaluation", "approval"])
def test_a_bucket_that_cannot_be_reached_is_a_sentence_and_a_log_line(
    pages: Pages, monkeypatch: pytest.MonkeyPatch, route: str, caplog: pytest.LogCaptureFixture
) -> None:
    from airflow_distill.plugin.reader import Reader

    def refuse(*args: Any) -> None:
        raise ConnectionError("token=abc https://user:pass@bucket")

    for name in ("statuses", "status", "runs"):
        monkeypatch.setattr(Reader, name, refuse)
    with caplog.at_level(logging.WARNING):
        answer = pages.get(ROUTES[route])
    assert answer.status_code == OK
    assert "cannot be read just now (ConnectionError)" in answer.json()["problem"]["said"]
    assert "pass" not in answer.text
    assert "cannot be read" in caplog.text


def test_a_connection_that_cannot_be_made_is_told_and_tried_again(signed: dict[str, str]) -> None:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from airflow_distill.errors import ConfigurationError
    from airflow_distill.plugin.app import create_app

    tried = []

    def connect() -> Any:
        tried.append(1)
        raise ConfigurationError("pages: no root is named.", hint="Set `[airflow_distill] root`.")

    host = FastAPI()
    host.mount("/distill", create_app(connect))
    client = TestClient(host)
    for _ in range(2):
        answer = client.get("/distill/api/workloads", headers={"Authorization": f"Bearer {signed['reader']}"})
        assert answer.json()["problem"] == {
            "said": "pages: no root is named.",
            "do": "Set `[airflow_distill] root`.",
        }
    assert len(tried) == 2


def test_an_empty_bucket_has_an_empty_list(pages: Pages) -> None:
    pages.store.objects.clear()
    assert pages.get("api/workloads").json()["workloads"] == []


@pytest.mark.parametrize(
    "gone", ["scorecard.json", "decision.json", "manifest.json"], ids=["scorecard", "decision", "manifest"]
)
def test_goods_that_are_gone_or_changed_are_named(pages: Pages, gone: str) -> None:
    (uri,) = [u for u in pages.store.objects if u.endswith(gone) and f"/{WORKLOAD}/" in u]
    raw = pages.store.objects.pop(uri)
    assert "is gone" in pages.get(ROUTES["evaluation"]).json()["problem"]["said"]
    pages.store.objects[uri] = raw.replace(b"0", b"1", 1)
    assert "is not what was recorded" in pages.get(ROUTES["evaluation"]).json()["problem"]["said"]


def test_a_run_that_told_nothing_says_what_to_do(pages: Pages) -> None:
    found = pages.get(f"api/dags/{DAG}/runs/scheduled__2020/evaluation").json()["problem"]
    assert "has not told anything" in found["said"]
    assert "first task" in found["do"]


# --- ids that are none ----------------------------------------------------------------------------------------------------

TRAVERSALS = [
    "../../etc/passwd",
    "..",
    ".",
    "%2e%2e%2f%2e%2e%2fstatus",
    "..%2f..%2fother%2freleases%2f000001",
    "..%5c..%5cother",
    "....//....//other",
    "%252e%252e%252fother",
    "support_tickets%00.json",
    "support_tickets%0a",
    "support_tickets%2f..%2fother",
    "/absolute",
    "s3:%2f%2fother-bucket%2fkey",
    "file:%2f%2f%2fetc%2fpasswd",
    "support_tickets?x=1%2f..",
    "%c0%ae%c0%ae%c0%af",
    "~root",
    "$(id)",
    "support_tickets%20",
    "a" * 300,
]


@pytest.mark.parametrize("name", TRAVERSALS)
@pytest.mark.parametrize("place", ["workload", "run", "task", "dag", "text", "baseline", "chosen"])
def test_no_traversal_reads_anything_outside_the_workloads_own_folder(
    pages: Pages, show_texts: Callable[[], None], name: str, place: str
) -> None:
    show_texts()
    path = {
        "workload": f"api/dags/{DAG}/workloads/{name}",
        "run": f"api/dags/{DAG}/runs/{name}/evaluation",
        "task": f"{RUN_PATH}/tasks/{name}/approval",
        "dag": f"api/dags/{name}/workloads/{WORKLOAD}",
        "text": f"{RUN_PATH}/texts/{name}",
        "baseline": f"{RUN_PATH}/evaluation?baseline={name}",
        "chosen": f"{RUN_PATH}/evaluation?workload={name}",
    }[place]
    answer = pages.get(path, headers={"X-Distill-Reveal": "click"})
    assert answer.status_code < 500
    own = (f"{ROOT}/{WORKLOAD}/", f"{ROOT}/status/", f"{ROOT}/run-status/")
    asked = [read.split(" ", 1)[1] for read in pages.store.reads]
    assert all(uri.startswith(own) and ".." not in uri and "other" not in uri for uri in asked), asked


URIS = [
    "s3://other-bucket/loop/support_tickets/x.json",
    f"{ROOT}/other/evaluations/e0123456789abcdef012/scorecard.json",
    f"{ROOT}/{WORKLOAD}/../other/evaluations/e0123456789abcdef012/scorecard.json",
    f"{ROOT}/{WORKLOAD}x/scorecard.json",
    f"{ROOT}/{WORKLOAD}/a\nb",
    f"{ROOT}/{WORKLOAD}/%2e%2e/other",
    "/etc/passwd",
    "file:///etc/passwd",
]


@pytest.mark.parametrize("uri", URIS)
@pytest.mark.parametrize("field", ["scorecard_uri", "decision_uri", "manifest_uri"])
def test_a_record_that_points_elsewhere_is_not_followed(pages: Pages, field: str, uri: str) -> None:
    from airflow_distill.stages.status.records import decode_run

    where = run_uri(ROOT, DAG, RUN, WORKLOAD)
    run = decode_run(pages.store.objects[where])
    pages.store.objects[where] = encode(replace(run, **{field: uri}))
    pages.store.reads.clear()
    answer = pages.get(ROUTES["evaluation"])
    assert answer.status_code == OK
    assert f"get {uri}" not in pages.store.reads
    assert "outside the workload's folder" in answer.json()["problem"]["said"]


# --- strings of strangers -------------------------------------------------------------------------------------------------


def test_there_are_sixty_hostile_strings() -> None:
    assert len(HOSTILE) == 60


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_string_in_every_field_stays_one_line_of_text(pages: Pages, text: str) -> None:
    raw = canonical_json({**hostile_status(text).to_json()})
    pages.store.write(
        status_uri(ROOT, "hostile"), raw[:4096] if len(raw) <= 4096 else encode(hostile_status(text[:40]))
    )
    for path in ("api/workloads", f"api/dags/{DAG}/workloads/hostile"):
        answer = pages.get(path)
        assert answer.status_code == OK
        assert answer.headers["content-type"] == "application/json"
        assert "problem" not in answer.json(), answer.text[:200]
        for value in texts_in(answer.json()):
            assert not any(ord(char) < 32 or char in "\u202e\u2066\u2069" for char in value), repr(value)


def texts_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts_in(each)]
    return [text for each in value for text in texts_in(each)] if isinstance(value, list) else []


def test_links_that_are_made_of_records_stay_within_airflow(pages: Pages) -> None:
    raw = encode(hostile_status("//evil.example/x"))
    pages.store.write(status_uri(ROOT, "hostile"), raw)
    body = pages.get(f"api/dags/{DAG}/workloads/hostile").json()
    targets = [each["to"] for each in mappings_in(body) if "to" in each]
    assert targets
    assert all(
        target.startswith(("/dags/", "/plugin/distill-")) and "//" not in target for target in targets
    ), targets


def mappings_in(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(found for each in value.values() for found in mappings_in(each))]
    return [found for each in value for found in mappings_in(each)] if isinstance(value, list) else []
