"""The pages as people meet them: a real Airflow after four workloads' runs, looked at in headless Chromium.

`make test-pages` installs what this needs. `DISTILL_PICTURES=FOLDER` says where the pictures of the guide go.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from airflow_distill.errors import StateError
from airflow_distill.stages.digest import canonical_json, sha256_hex
from airflow_distill.stages.evaluation.records import Regression
from airflow_distill.stages.status.records import RunStatus, Status, Step, encode, run_uri, status_uri
from tests.airflow_pages.goods import AT, comparison, scorecard
from tests.airflow_pages.hostile import HOSTILE, hostile_status
from tests.airflow_pages.world import FAILED, HELD, LIVE, ROOT, WAITING, World, pages_world

pytestmark = [pytest.mark.pages, pytest.mark.slow, pytest.mark.timeout(3600)]

HERE = Path(__file__).parent
WIDTHS = (320, 768, 1440)
OK, LOGIN, NO = 200, 401, 403


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with pages_world(AIRFLOW__AIRFLOW_DISTILL__SHOW_TEXTS="True") as made:
        yield made


@pytest.fixture(scope="module")
def chromium() -> str:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert found, "there is no Chromium: `make test-pages` installs it"
    assert (HERE / "node_modules/playwright-core").is_dir(), "run `make test-pages`: it installs what looks"
    return found


@pytest.fixture(scope="module")
def see(world: World, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Any]]:
    """Look at pages; returns what was seen of each."""

    def look(looks: list[dict[str, Any]], user: str = "admin") -> list[Any]:
        token = world.airflow.token_of(user)
        spec = tmp_path_factory.mktemp("look") / "spec.json"
        whole = {
            "base": world.airflow.url,
            "chromium": chromium,
            "looks": [{"token": token, **each} for each in looks],
        }
        spec.write_text(json.dumps(whole))
        done = subprocess.run(
            ["node", str(HERE / "look.mjs"), str(spec)],
            capture_output=True,
            text=True,
            timeout=2000,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return list(json.loads(done.stdout))

    return look


def run_page(world: World, workload: str) -> str:
    return f"/dags/{world.dag(workload)}/runs/{quote(world.runs[workload], safe='')}"


def evaluation_page(world: World, workload: str) -> str:
    return f"{run_page(world, workload)}/plugin/distill-evaluation"


def approval_page(world: World, workload: str = WAITING, task: str = "decision.approve") -> str:
    return f"{run_page(world, workload)}/tasks/{task}/plugin/distill-approval"


def own_page(world: World, workload: str) -> str:
    return f"/plugin/distill-workloads/{world.dag(workload)}/{workload}"


def pages_of(world: World) -> dict[str, str]:
    return {
        "workloads": "/plugin/distill-workloads",
        "workload": own_page(world, LIVE),
        "workload-failed": own_page(world, FAILED),
        "card": "/",
        "evaluation": evaluation_page(world, LIVE),
        "evaluation-inconclusive": evaluation_page(world, HELD),
        "evaluation-nothing": evaluation_page(world, FAILED),
        "approval": approval_page(world),
        "approval-nobody": approval_page(world, LIVE, "decision.decide"),
    }


def sound(saw: dict[str, Any]) -> list[str]:
    """Return what is wrong with a look at a page; nothing when all is well."""
    wrong = [f"console: {error}" for error in saw["errors"]]
    wrong += [f"asked elsewhere: {url}" for url in saw["foreign"]]
    if "axe" not in saw:
        wrong.append("accessibility was not looked at")
    wrong += [f"accessibility: {each['id']}: {each['nodes']}" for each in saw.get("axe", ())]
    if saw.get("wide", 1) > 0 or saw.get("outside"):
        wrong.append(f"wider than its place: {saw.get('wide')} {saw.get('outside')}")
    if saw.get("pwned") or saw.get("scripts") or saw.get("handlers"):
        wrong.append("markup of a stranger")
    return [f"{saw['name']} at {saw['width']}{' dark' if saw['dark'] else ''}: {each}" for each in wrong]


def test_every_page_stands_at_three_widths_in_both_themes(
    world: World, see: Callable[..., list[Any]]
) -> None:
    """No console error, nothing fetched from elsewhere, WCAG AA by axe, nothing wider than its place.

    On a small screen Airflow gives a tab a place of its own beside the grid, which it scrolls to.
    """
    looks = [
        {
            "name": name,
            "path": path,
            "width": width,
            "dark": dark,
        }
        for name, path in pages_of(world).items()
        for width in WIDTHS
        for dark in (False, True)
    ]
    assert [wrong for saw in see(looks) for wrong in sound(saw)] == []


def test_the_list_tells_where_each_workload_stands(world: World, see: Callable[..., list[Any]]) -> None:
    (saw,) = see([{"name": "workloads", "path": "/plugin/distill-workloads"}])
    text = saw["text"]
    assert "4 workloads" in text
    for said in (
        "release 1",
        "inconclusive",
        "waits for a person",
        "start.doctor failed",
        "of 200.00 USD",
        "not watched",
    ):
        assert said in text, text
    assert text.index(FAILED) < text.index(WAITING) < text.index(LIVE), "what needs a person comes first"


def test_a_keyboard_reaches_everything_and_shows_where_it_is(
    world: World, see: Callable[..., list[Any]]
) -> None:
    looks = [
        {"name": name, "path": path, "keys": 40}
        for name, path in pages_of(world).items()
        if name in ("workloads", "workload", "evaluation", "approval", "card")
    ]
    for saw in see(looks):
        assert saw["keys"], saw
        assert [each for each in saw["keys"] if not each["seen"] or not each["said"]] == [], saw["name"]
    first = [each["said"].split("\n")[0] for each in see(looks[:1])[0]["keys"][:3]]
    assert first == ["Name contains", "Show", "Sort by"]


def test_the_evaluation_tells_what_decided_and_what_would_settle_it(
    world: World, see: Callable[..., list[Any]]
) -> None:
    live, held = see(
        [
            {"name": "live", "path": evaluation_page(world, LIVE)},
            {"name": "held", "path": evaluation_page(world, HELD)},
        ]
    )
    for said in (
        "promote",
        "Distilled student",
        "Untuned student",
        "must lie above −0.200",
        "channel=",
        "Log records read",
    ):
        assert said in live["text"], said
    assert "more held-out prompts would settle it" in held["text"]


def test_the_approval_tells_both_bills_and_the_way_back_and_leads_to_the_answer(
    world: World, see: Callable[..., list[Any]]
) -> None:
    (saw,) = see([{"name": "approval", "path": approval_page(world)}])
    for said in (
        "A promotion waits for an answer.",
        "A month of the student",
        "A month of the teacher",
        "Exposure",
        "what you are shown",
        "airflow-distill release rollback",
    ):
        assert said in saw["text"], said
    assert any(link.endswith("/tasks/decision.approve/required_actions") for link in saw["links"])


def test_a_text_is_shown_to_who_may_edit_the_dag_after_a_click(
    world: World, see: Callable[..., list[Any]]
) -> None:
    path = evaluation_page(world, LIVE)
    look = {"name": "reveal", "path": path, "click": [r"Show the text"]}
    raw = world.airflow.call("GET", "/eventLogs?event=distill_reveal_text&limit=100")["total_entries"]
    button = first_text_button(world)
    (shown,) = see([{**look, "click": [button]}], "editor")
    assert "Reference" in shown["text"] or "reference" in shown["text"]
    logged = world.airflow.call("GET", "/eventLogs?event=distill_reveal_text&limit=100")
    assert logged["total_entries"] == raw + 1
    assert logged["event_logs"][-1]["owner"] == "editor"
    (refused,) = see([{**look, "click": [button]}], "reader")
    assert "You may not see this." in refused["text"]


def first_text_button(world: World) -> str:
    path = f"api/dags/{world.dag(LIVE)}/runs/{quote(world.runs[LIVE], safe='')}/evaluation"
    sections = world.get(path).json()["sections"]
    (worst,) = [each for each in sections if each["title"] == "Worst cases"]
    (table,) = [each for each in worst["blocks"] if "rows" in each]
    return f"Show the text of {table['rows'][0][0]['code']}"


def test_tasks_lead_to_their_pages(world: World) -> None:
    for workload, task, end in (
        (LIVE, "decision.decide", "distill-evaluation"),
        (LIVE, "end.report", "distill-evaluation"),
        (WAITING, "decision.approve", "distill-approval"),
    ):
        path = f"/dags/{world.dag(workload)}/dagRuns/{world.runs[workload]}/taskInstances/{task}/links"
        links = world.airflow.call("GET", path)["extra_links"]
        if task == "decision.approve":
            continue  # Airflow stores links when a task ends; this one waits
        assert links["Distillation page"].endswith(end), links


@pytest.fixture
def bucket_reads(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every request that the sandbox's S3 gets."""
    seen: list[str] = []
    dispatcher = world.sandbox._dispatcher
    answer = dispatcher._neighbour

    def counted(service: str, request: Any, connection: Any) -> Any:
        if service == "s3":
            seen.append(f"{request.method} {request.raw_path}")
        return answer(service, request, connection)

    monkeypatch.setattr(dispatcher, "_neighbour", counted)
    return seen


def test_nobody_reads_the_bucket_through_a_page_that_is_not_theirs(
    world: World, bucket_reads: list[str]
) -> None:
    """The table of callers, over HTTP; the API of the app itself is tested caller by caller in tests/plugin."""
    dag, run = world.dag(LIVE), quote(world.runs[LIVE], safe="")
    routes = {
        "pages.js": (LOGIN, OK, OK),
        "api/workloads": (LOGIN, OK, OK),
        f"api/dags/{dag}/workloads/{LIVE}": (LOGIN, NO, OK),
        f"api/dags/{dag}/runs/{run}/evaluation": (LOGIN, NO, OK),
        f"api/dags/{dag}/runs/{run}/tasks/decision.decide/approval": (LOGIN, NO, OK),
        f"api/dags/{dag}/runs/{run}/texts/{'0' * 32}": (LOGIN, NO, NO),
    }
    for path, (anonymous, outsider, reader) in routes.items():
        assert world.get(path, None).status_code == anonymous, path
        assert world.get(path, "outsider").status_code == outsider, path
        forged = httpx.get(
            f"{world.airflow.url}/distill/{path}", headers={"Authorization": "Bearer x.y.z"}, timeout=30
        )
        assert forged.status_code in (LOGIN, NO), path
        assert bucket_reads == [], path
        assert world.get(path, "reader").status_code == reader, path
        bucket_reads.clear()


def hostile_that_fits(text: str, name: str, dag_id: str) -> Status:
    """Return a status with as much of the text in every field as a status may hold."""
    for length in (160, 80, 40, 20):
        status = replace(hostile_status(text[:length], name), dag_id=dag_id)
        try:
            encode(status)
        except StateError:
            continue
        return status
    raise AssertionError(name)


def put_hostile(world: World) -> None:
    """Write statuses and an evaluation whose every text is hostile, under Dags of the world."""
    s3 = world.sandbox.client("s3")

    def put(uri: str, data: bytes) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        s3.put_object(Bucket=bucket, Key=key, Body=data)

    for number, text in enumerate(HOSTILE):
        status = hostile_that_fits(text, f"hostile-{number:02d}", world.dag(FAILED))
        put(status_uri(ROOT, status.workload), encode(status))
    card = scorecard(
        "hostile-00",
        models={"teacher": HOSTILE[0], "student": HOSTILE[1]},
        comparisons=(comparison(), *(comparison(slice_=f"key={text}", n=100) for text in HOSTILE)),
        regressions=tuple(Regression(text, text, text, 0.0, 1.0) for text in HOSTILE),
        created_at=HOSTILE[0],
    )
    raw = canonical_json(card.to_json())
    folder = f"{ROOT}/hostile-00/evaluations/e0"
    put(f"{folder}/scorecard.json", raw)
    dag, run = world.dag(FAILED), world.runs[FAILED]
    status = RunStatus(
        "hostile-00",
        dag,
        run,
        AT,
        Step(dag, run, HOSTILE[2], AT),
        scorecard_uri=f"{folder}/scorecard.json",
        scorecard_sha256=sha256_hex(raw),
        report_uri=HOSTILE[3],
    )
    put(run_uri(ROOT, dag, run, "hostile-00"), encode(status))


def test_no_hostile_string_runs_or_breaks_the_layout(world: World, see: Callable[..., list[Any]]) -> None:
    put_hostile(world)
    dag = world.dag(FAILED)
    looks = [
        {"name": "list", "path": "/plugin/distill-workloads", "width": width, "height": 1000}
        for width in (320, 1440)
    ]
    looks.append({"name": "card", "path": "/"})
    looks.append({"name": "evaluation", "path": evaluation_page(world, FAILED)})
    looks += [
        {
            "name": f"own {number}",
            "path": f"/plugin/distill-workloads/{dag}/hostile-{number:02d}",
            "width": 320,
        }
        for number in range(len(HOSTILE))
    ]
    seen = see(looks)
    assert [wrong for saw in seen for wrong in sound(saw)] == []
    assert "64 workloads" in seen[0]["text"]
    inside = [
        link for saw in seen for link in saw["links"] if not link.startswith(("/dags/", "/plugin/distill-"))
    ]
    assert inside == [], "every link stays within Airflow"


PICTURES = {
    "workloads": {"width": 1280, "height": 760},
    "workload": {"width": 1280, "height": 1040},
    "evaluation": {"width": 1280, "height": 1100},
    "approval": {"width": 1280, "height": 1180},
    "workloads-dark": {"width": 1280, "height": 760, "dark": True},
}


def test_the_pictures_of_the_guide_are_made(
    world: World, see: Callable[..., list[Any]], tmp_path: Path
) -> None:
    folder = Path(os.environ.get("DISTILL_PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    s3 = world.sandbox.client("s3")
    for number in range(len(HOSTILE)):  # what another test has put there does not belong into a guide
        s3.delete_object(Bucket=ROOT.split("/")[2], Key=f"loop/status/hostile-{number:02d}.json")
    paths = pages_of(world)
    looks = [
        {
            "name": name,
            "path": paths[name.removesuffix("-dark")],
            "picture": str(folder / f"{name}.png"),
            **size,
        }
        for name, size in PICTURES.items()
    ]
    assert [wrong for saw in see(looks) for wrong in sound(saw)] == []
    for name in PICTURES:
        assert 10_000 < (folder / f"{name}.png").stat().st_size < 400_000, name
