"""Ledger, pointer and host against each other: what differs is named, with the command that mends it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_distill.stages.deployment.drift import (
    Drift,
    Standing,
    anchor_problem,
    drift,
    render_drift,
    told,
)
from airflow_distill.stages.deployment.ledger import Flaw, History
from airflow_distill.stages.deployment.records import ON_DEMAND, PROVISIONED, Head, Host, Pointer
from tests.stages.deployment.test_reap import HOST, ROOT, ledger_of, pointer, tags


def host(**changes: Any) -> Host:
    given: dict[str, Any] = {
        "kind": ON_DEMAND,
        "arn": HOST,
        "name": "live",
        "model_arn": "arn:model-1",
        "desired_arn": "arn:model-1",
        "base_model": "amazon.nova-micro-v1:0",
        "status": "Active",
        "tags": tags(),
        **changes,
    }
    return Host(**given)


def standing(*words: str, **changes: Any) -> Standing:
    """Return a workload whose releases ended so, with pointer and host of the first one."""
    given: dict[str, Any] = {
        "workload": "w",
        "root": ROOT,
        "history": ledger_of(*(words or ("released",))),
        "pointer": pointer(),
        "host": host(),
        **changes,
    }
    return Standing(**given)


def codes(found: tuple[Drift, ...]) -> list[str]:
    return [each.code for each in found]


def test_when_all_three_agree_nothing_is_told() -> None:
    assert drift(standing()) == ()
    assert render_drift("w", ()) == "w: ledger, pointer and host agree.\n"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"host": None}, "host-gone"),
        ({"host": host(status="Failed", reason="no capacity")}, "host-failed"),
        ({"host": host(model_arn="arn:other", desired_arn="arn:other")}, "host-other-model"),
        ({"host": host(desired_arn="arn:next", update_status="Updating")}, "host-other-model"),
        ({"host": host(tags={})}, "host-tags-lost"),
        ({"pointer": None}, "pointer-missing"),
        ({"pointer": replace(pointer(), host_arn="arn:elsewhere")}, "pointer-differs"),
        ({"pointer": replace(pointer(), model_arn="arn:elsewhere")}, "pointer-differs"),
        ({"pointer": None, "pointer_problem": "it is a text"}, "pointer-unreadable"),
    ],
)
def test_each_difference_has_its_code_and_a_way_to_mend_it(change: dict[str, Any], code: str) -> None:
    found = drift(standing(**change))
    assert codes(found) == [code]
    assert found[0].said.endswith(".")
    assert found[0].mend
    assert render_drift("w", found).count("fix: ") == 1


def test_a_refused_update_leaves_the_old_model_serving_and_is_no_drift() -> None:
    refused = host(desired_arn="arn:model-2", update_status="UpdateFailed")
    assert drift(standing(host=refused)) == ()


def test_throughput_that_is_failed_after_an_update_is_a_failed_host() -> None:
    failed = host(kind=PROVISIONED, status="Failed", reason="update failed", desired_arn="arn:model-2")
    (found,) = drift(standing(host=failed))
    assert found.code == "host-failed"
    assert "(update failed)" in found.said


def test_an_open_release_on_which_nobody_works_is_told_and_one_in_hand_is_not() -> None:
    assert codes(drift(standing("released", ""))) == ["open-release"]
    assert drift(standing("released", "", held_by="loop/run-2")) == ()


def test_an_open_release_over_a_lost_host_tells_both() -> None:
    assert codes(drift(standing("released", "", host=None))) == ["open-release", "host-gone"]
    assert codes(drift(standing("released", "", host=None, held_by="loop/run-2"))) == []


def test_a_damaged_ledger_stops_every_other_comparison() -> None:
    flawed = replace(
        ledger_of("released"), flaws=(Flaw(1, "entry", "s3://b/1.json", "JSON", "text", "it is no JSON"),) * 2
    )
    found = drift(standing(history=flawed, host=None, pointer=None))
    assert codes(found) == ["ledger-damaged"]
    assert "and 1 more" in found[0].said


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (Head(3, "x", ""), "remembers release 3, the ledger's newest is 1"),
        (Head(1, "another", ""), "its entry was rewritten"),
        (None, ""),
    ],
)
def test_a_ledger_that_was_cut_short_or_rewritten_is_seen_by_the_pointer(
    head: Head | None, said: str
) -> None:
    found = anchor_problem(ledger_of("released"), replace(pointer(), head=head))
    assert said in found
    assert bool(found) == bool(said)


def test_a_rewritten_outcome_is_seen_and_one_that_came_later_is_not() -> None:
    history = ledger_of("released")
    entry = history.entries[0]
    before_it_closed = Head(1, entry.sha256, "")
    assert anchor_problem(history, replace(pointer(), head=before_it_closed)) == ""
    assert anchor_problem(history, replace(pointer(), head=entry.head)) == ""
    other = replace(before_it_closed, outcome_sha256="f" * 64)
    assert "the outcome of release 1" in anchor_problem(history, replace(pointer(), head=other))


def test_a_pointer_over_an_empty_ledger_is_told_as_rewritten_and_differing() -> None:
    found = drift(standing(history=History(), host=None))
    assert codes(found) == ["ledger-rewritten", "pointer-differs"]
    assert "newest is none" in found[0].said


def test_nothing_live_and_no_pointer_is_what_a_new_workload_looks_like() -> None:
    assert drift(standing(history=History(), pointer=None, host=None)) == ()


def test_what_is_no_pointer_is_told_also_where_nothing_is_live() -> None:
    found = drift(standing(history=History(), pointer=None, host=None, pointer_problem="it is empty"))
    assert codes(found) == ["pointer-unreadable"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "the host serves arn:model-1, the pointer names arn:model-1 (release 1)"),
        ({"host": host(desired_arn="arn:model-2")}, "(changing to arn:model-2)"),
        ({"host": None}, "the host arn:host-1 is gone"),
        ({"pointer": None}, "there is no pointer"),
        ({"pointer": None, "pointer_problem": "it is a text"}, "the pointer cannot be read"),
        ({"host": None, "history": History(), "pointer": None}, "no release was live before it"),
    ],
)
def test_what_serves_and_what_callers_are_told_is_said_in_one_line(
    change: dict[str, Any], words: str
) -> None:
    assert words in told(standing(**change))


def test_a_pointer_of_a_newer_release_than_the_live_one_differs() -> None:
    ahead = Pointer("w", 2, "arn:model-2", ON_DEMAND, HOST, "us-east-1", ROOT)
    found = drift(standing("released", "rolled_back", pointer=ahead))
    assert codes(found) == ["pointer-differs"]
    assert "names release 2" in found[0].said
    assert "the ledger says release 1" in found[0].said


def test_a_difference_is_plain_data_and_a_sentence() -> None:
    each = Drift("host-gone", "It is gone.", "repair")
    assert each.to_json() == {"code": "host-gone", "said": "It is gone.", "mend": "repair"}
    assert str(each) == "host-gone: It is gone. Fix: repair."
