"""What the pages say, without a browser: words, units, links, and what they say when they know nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_distill.plugin import layout, views
from airflow_distill.plugin.reader import Reader
from airflow_distill.stages.status.records import Health, Money, Next, Status, encode, status_uri
from airflow_distill.stages.storage import MemoryStore
from tests.airflow_pages.goods import DAG, RUN, TASK, WORKLOAD, full_status, put_workload

pytestmark = pytest.mark.airflow

ROOT = "root"
NOW = datetime(2026, 11, 30, 21, tzinfo=UTC)


@pytest.fixture
def reader() -> Reader:
    store = MemoryStore()
    put_workload(store, ROOT)
    return Reader(store, ROOT)


def said(page: Any) -> str:
    """Return everything that a page says, in order."""
    return json.dumps(page, ensure_ascii=False)


def workload(status: Status) -> dict[str, Any]:
    store = MemoryStore()
    store.write(status_uri(ROOT, status.workload), encode(status))
    return layout.workload_layout(
        views.workload_page(Reader(store, ROOT), status.dag_id, status.workload, NOW)
    )


def facts(page: dict[str, Any]) -> dict[str, str]:
    (found,) = [block["facts"] for block in page["blocks"] if "facts" in block]
    return {name: said(cell) for name, cell in found}


def test_a_workload_of_which_nothing_is_known_says_so_and_what_to_do_first() -> None:
    page = workload(Status(WORKLOAD, dag_id=DAG))
    known = facts(page)
    assert known["Live"] == '"nothing yet"'
    assert known["Health of the live student"] == '"not watched"'
    assert "unknown" in known["Saves a month, by forecast"]
    assert "--write" in known["Still bills"]
    text = said(page)
    for empty in (
        "Nothing was judged yet",
        "No release yet",
        "No run has asked for money yet",
        "No dataset yet",
    ):
        assert empty in text
    assert " 0.00 USD" not in text, "nothing unknown is shown as zero"


def test_a_workload_tells_money_with_its_unit_and_times_for_the_users_zone() -> None:
    page = workload(
        replace(
            full_status(),
            health=Health("drifting", "2026-11-30T00:00:00Z", "refusals have doubled"),
            next=Next(missing=120, threshold=2000),
            money=Money(
                {"202611": 6.5},
                200.0,
                441.6,
                3091.2,
                1,
                0,
                "2026-11-30T00:00:00Z",
                900.0,
                850.0,
                950.0,
                "the teacher",
            ),
        )
    )
    known = facts(page)
    assert '{"usd": 441.6}' in known["Still bills"]
    assert "1 without an end" in known["Still bills"]
    assert '{"usd": 850.0}' in known["Saves a month, by forecast"]
    assert known["Next run"] == '"120 prompts missing of 2,000"'
    assert "refusals have doubled" in known["Health of the live student"]
    assert '{"at": "2026-11-01T00:00:00Z"}' in known["Live"]
    assert "cap 200.00 USD" in said(page)


def test_a_price_that_is_unknown_makes_the_bill_unknown() -> None:
    page = workload(
        replace(full_status(), money=Money(usd_a_day=4.0, unpriced=1, billed_at="2026-11-30T00:00:00Z"))
    )
    assert '{"usd": null}' in facts(page)["Still bills"]


def test_the_evaluation_leads_with_what_decided(reader: Reader) -> None:
    found = views.evaluation(reader, DAG, RUN)
    assert found is not None
    page = layout.evaluation_layout(found)
    (decided,) = [block["interval"] for block in page["blocks"] if "interval" in block]
    assert (decided["metric"], decided["against"], decided["limit"]) == ("label_accuracy", "teacher", -0.2)
    slices = next(each for each in page["sections"] if each["title"].startswith("Slices"))["blocks"][0][
        "rows"
    ]
    assert [row[0] for row in slices] == ["channel=phone", "channel=web"], "the greatest loss first"
    assert "may not gate" in said(page)
    assert "too few double judgements" in said(page)


def test_the_funnel_adds_up_and_is_held_against_the_dataset_behind_live(reader: Reader) -> None:
    found = views.evaluation(reader, DAG, RUN)
    assert found is not None
    found["dataset"]["live"] = {**found["dataset"], "release": 3, "train": 600}
    page = layout.evaluation_layout(found)
    table = next(each for each in page["sections"] if each["title"] == "Dataset")["blocks"][0]
    rows = {row[0]: row[1:] for row in table["rows"]}
    assert rows["Log records read"][0] + rows["skipped: other traffic"][0] == rows["Kept by the reader"][0]
    assert table["head"][2:] == ["Behind live release 3", "Difference"]
    assert rows["For training"] == [660, 600, "+60"]


def test_an_earlier_run_on_another_held_out_set_is_not_comparable(reader: Reader) -> None:
    status = reader.status(WORKLOAD)
    assert status is not None
    other = replace(status.verdicts[-1], evaluation_id="f" * 20, heldout="0" * 16, at="2026-11-01T00:00:00Z")
    same = replace(status.verdicts[-1], evaluation_id="a" * 20, at="2026-11-02T00:00:00Z")
    reader._store.write(
        status_uri(ROOT, WORKLOAD), encode(replace(status, verdicts=(other, same, *status.verdicts)))
    )
    found = views.evaluation(reader, DAG, RUN, baseline="f" * 20)
    assert found is not None
    page = layout.evaluation_layout(found, "f" * 20)
    assert "Not comparable." in said(page)
    assert "another held-out set" in said(page)
    (options,) = [
        block["options"] for each in page["sections"] for block in each["blocks"] if "pick" in block
    ]
    assert [option[1] for option in options] == ["no other run", "hold", "hold (not comparable)"]
    unknown = views.evaluation(reader, DAG, RUN, baseline="b" * 20)
    assert unknown is not None
    assert "No such evaluation" in said(unknown["baseline"])


def test_an_earlier_run_on_the_same_held_out_set_stands_beside_this_one(reader: Reader) -> None:
    status = reader.status(WORKLOAD)
    assert status is not None
    (uri,) = [item.uri for item in reader._store.iter_objects(ROOT) if item.uri.endswith("scorecard.json")]
    earlier = uri.replace("e0123456789abcdef012", "a" * 20)
    reader._store.write(earlier, reader._store.read(uri))
    same = replace(status.verdicts[-1], evaluation_id="a" * 20, at="2026-11-02T00:00:00Z")
    reader._store.write(
        status_uri(ROOT, WORKLOAD), encode(replace(status, verdicts=(same, *status.verdicts)))
    )
    found = views.evaluation(reader, DAG, RUN, baseline="a" * 20)
    assert found is not None
    page = layout.evaluation_layout(found, "a" * 20)
    quality = next(each for each in page["sections"] if each["title"].startswith("Quality"))
    (table,) = [block for block in quality["blocks"] if "rows" in block]
    assert said(table["rows"][-1][0]).startswith('["Student of "')


def test_the_approval_tells_what_changes_and_leads_to_the_answer(reader: Reader) -> None:
    found = views.approval(reader, DAG, RUN, TASK)
    assert found is not None
    page = layout.approval_layout(found, DAG, RUN)
    text = said(page)
    assert "A promotion waits for an answer." in text
    assert "/required_actions" in text
    assert '{"usd": 48.4}' in text
    assert '{"usd": 1060.0}' in text
    assert '{"usd": 441.6}' in text, "the exposure"
    assert "Live is release 3 now; this was judged against nothing." in text
    assert f"release rollback --workload {WORKLOAD} --root {ROOT}" in text


def test_a_task_that_asks_nobody_names_the_one_that_does(reader: Reader) -> None:
    found = views.approval(reader, DAG, RUN, "decision.decide")
    assert found is not None
    page = layout.approval_layout(found, DAG, RUN)
    assert "This task asks nobody." in said(page)
    assert f"/tasks/{TASK}/plugin/distill-approval" in said(page)


def test_an_answered_question_is_shown_as_answered(reader: Reader) -> None:
    status = reader.status(WORKLOAD)
    assert status is not None
    reader._store.write(status_uri(ROOT, WORKLOAD), encode(replace(status, question=None)))
    found = views.approval(reader, DAG, RUN, TASK)
    assert found is not None
    assert "was answered" in said(layout.approval_layout(found, DAG, RUN))


@pytest.mark.parametrize("name", ["a/b", "a b", "ä", "a?x=1#y", "..", "a%2fb"])
def test_an_id_stays_one_part_of_a_path(name: str) -> None:
    found = layout.task_path({"dag_id": name, "run_id": name, "task_id": name})
    assert found.count("/") == 6
    assert "?" not in found
    assert "#" not in found
    assert " " not in found
