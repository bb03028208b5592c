"""What the reaper says of each thing that carries our tags: needed, to be removed, or kept, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_distill.remote.identity import TAG_EXPIRES_AT, TAG_TEMPORARY, resource_tags
from airflow_distill.stages.deployment.ledger import Entry, History, Ledger
from airflow_distill.stages.deployment.reap import (
    ORDER,
    Find,
    Knowledge,
    ReapRules,
    Resource,
    daily_price,
    daily_total,
    find_upload,
    render_finds,
    resource_of_host,
    survey,
)
from airflow_distill.stages.deployment.records import (
    ON_DEMAND,
    PROVISIONED,
    TAG_HOURLY_PRICE,
    Evidence,
    Host,
    HostSpec,
    Outcome,
    Pointer,
    Release,
    Target,
)
from airflow_distill.stages.deployment.times import iso
from airflow_distill.stages.storage import MemoryStore

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ROOT = "s3://b/root"
MODEL, HOST = "arn:model-1", "arn:host-1"


def ago(**time: float) -> str:
    return iso(NOW - timedelta(**time))


def tags(expires: datetime | None = None, run: str = "loop/run-1", **more: str) -> dict[str, str]:
    return {**resource_tags("w", run, "team", expires, root=ROOT), **more}


def resource(kind: str, name: str = "thing", **changes: Any) -> Resource:
    given: dict[str, Any] = {
        "kind": kind,
        "arn": f"arn:{name}",
        "name": name,
        "base_model": "amazon.nova-micro-v1:0",
        "tags": tags(),
        "created_at": ago(days=2),
        **changes,
    }
    return Resource(**given)


def ledger_of(*words: str) -> History:
    """Return a history of releases that ended in these words; an empty word leaves the last one open."""
    ledger = Ledger(MemoryStore(), ROOT, "w")
    for number, word in enumerate(words, 1):
        last = ledger.survey().entries[-1] if number > 1 else None
        ledger.claim(
            Release(
                workload="w",
                release=number,
                action="promote",
                claim=f"c{number}",
                claimed_at=ago(days=10 - number),
                lease_until=iso(NOW + timedelta(minutes=10)),
                run="run-1",
                owner="team",
                target=Target(f"arn:model-{number}", "amazon.nova-micro-v1:0", HostSpec(ON_DEMAND, "live")),
                previous=None,
                previous_sha256=last.chain_sha256 if last else "",
                why=(),
                evidence=Evidence(),
            )
        )
        if word:
            ledger.close(
                Outcome(number, word, ago(days=10 - number), host_arn=HOST, model_arn=f"arn:model-{number}")  # type: ignore[arg-type]
            )
    return ledger.survey()


def pointer(release: int = 1) -> Pointer:
    return Pointer("w", release, f"arn:model-{release}", ON_DEMAND, HOST, "us-east-1", ROOT)


def judged(
    things: list[Resource], known: Knowledge | None = None, rules: ReapRules | None = None
) -> dict[str, Find]:
    found = survey(
        things,
        {"w": known if known is not None else Knowledge(root=ROOT)},
        rules or ReapRules(),
        now=NOW,
        price_of=lambda item, base: {"provisioned-throughput": 10.0, "model-storage": 1.95}.get(item),
    )
    return {find.name: find for find in found}


# Hosts.


def test_a_temporary_host_past_its_end_is_removed_and_one_before_it_waits_for_that_day() -> None:
    past = resource(ON_DEMAND, "past", tags=tags(NOW - timedelta(hours=1), **{TAG_TEMPORARY: "true"}))
    soon = resource(ON_DEMAND, "soon", tags=tags(NOW + timedelta(hours=3), **{TAG_TEMPORARY: "true"}))
    found = judged([past, soon])
    assert (found["past"].action, found["past"].why) == ("remove", "a temporary host")
    assert (found["soon"].action, found["soon"].until) == ("wait", iso(NOW + timedelta(hours=3)))


def test_the_host_that_the_pointer_or_the_ledger_names_is_needed_whatever_its_tags_say() -> None:
    live = resource(ON_DEMAND, "live", arn=HOST, tags=tags(**{TAG_TEMPORARY: "true"}))
    assert judged([live], Knowledge(pointer=pointer(), history=ledger_of("released"), root=ROOT)) == {}
    assert judged([live], Knowledge(pointer=pointer(), root=ROOT)) == {}
    assert judged([live], Knowledge(history=ledger_of("released"), root=ROOT)) == {}


def test_a_live_host_past_its_end_is_told_and_never_removed() -> None:
    live = resource(ON_DEMAND, "live", arn=HOST, tags=tags(NOW - timedelta(days=1)))
    for rules in (ReapRules(), ReapRules(ignore_expiry=True)):
        found = judged([live], Knowledge(pointer=pointer(), history=ledger_of("released"), root=ROOT), rules)
        assert found["live"].action == "overdue"
        assert "extend it by a promotion" in found["live"].why


def test_a_host_in_the_hands_of_an_open_release_is_needed_while_the_release_holds_its_claim() -> None:
    host = resource(ON_DEMAND, "live", arn="arn:new")
    history = ledger_of("released", "")
    assert judged([host], Knowledge(history=history, root=ROOT)) == {}
    opened = history.open
    assert opened is not None
    late = replace(opened.release, lease_until=ago(hours=1))
    stale = replace(history, entries=(history.entries[0], replace(opened, release=late)))
    assert judged([host], Knowledge(history=stale, root=ROOT))["live"].action == "remove"


@pytest.mark.parametrize(("hours", "action"), [(23, "wait"), (25, "remove")])
def test_a_host_of_our_name_that_nothing_points_at_has_a_day_of_grace(hours: int, action: str) -> None:
    host = resource(ON_DEMAND, "live", created_at=ago(hours=hours))
    found = judged([host], Knowledge(history=ledger_of("rolled_back"), root=ROOT))
    assert (found["live"].action, found["live"].why) == (action, "a host that no pointer names")


def test_a_host_whose_tags_name_this_root_and_whose_name_and_ledger_do_not_is_kept() -> None:
    """Tags can be changed by hand: another root's production would be taken for ours."""
    found = judged([resource(ON_DEMAND, "production-of-others")])
    assert found["production-of-others"].action == "wait"
    assert "somebody changed its tags or renamed it" in found["production-of-others"].why


def test_committed_throughput_waits_for_the_end_of_its_term_whatever_the_rules_say() -> None:
    term = NOW + timedelta(days=20)
    host = resource(
        PROVISIONED,
        "committed",
        units=1,
        commitment_ends_at=iso(term),
        tags=tags(NOW - timedelta(days=1), **{TAG_TEMPORARY: "true"}),
    )
    for rules in (ReapRules(), ReapRules(ignore_expiry=True)):
        found = judged([host], rules=rules)["committed"]
        assert (found.action, found.until) == ("wait", iso(term))
        assert "committed: it cannot be deleted before" in found.why


# What cannot be known.


def test_a_ledger_that_cannot_be_read_keeps_everything_of_its_workload() -> None:
    things = [resource(kind, kind, tags=tags(NOW - timedelta(days=9))) for kind in ORDER[:4]]
    found = judged(things, Knowledge(problem="the ledger cannot be read"), ReapRules(ignore_expiry=True))
    assert {find.action for find in found.values()} == {"wait"}
    assert {find.why for find in found.values()} == {"kept: the ledger cannot be read"}


def test_a_workload_of_which_nothing_is_known_is_kept() -> None:
    found = survey(
        [resource(ON_DEMAND)], {}, ReapRules(ignore_expiry=True), now=NOW, price_of=lambda item, base: None
    )
    assert [(find.action, find.why) for find in found] == [("wait", "kept: nothing is known about it")]


def test_a_resource_that_names_no_root_is_kept_until_records_name_it() -> None:
    unmarked = {key: value for key, value in tags().items() if not key.endswith(":root")}
    model = resource("custom-model", "old", tags=unmarked, created_at=ago(days=60))
    kept = judged([model])["old"]
    assert kept.action == "wait"
    assert "it names no root" in kept.why
    assert judged([model], Knowledge(root=ROOT, recorded=frozenset({"arn:old"})))["old"].action == "remove"


def test_resources_without_a_workload_tag_are_not_looked_at() -> None:
    assert judged([resource(ON_DEMAND, tags={})]) == {}


def test_an_age_that_is_not_told_waits_for_ever_unless_expiry_is_ignored() -> None:
    model = resource("custom-model", "ageless", created_at=None)
    assert (judged([model])["ageless"].action, judged([model])["ageless"].until) == ("wait", None)
    assert judged([model], rules=ReapRules(ignore_expiry=True))["ageless"].action == "remove"


# Models and jobs.


@pytest.mark.parametrize(("days", "action"), [(13, "wait"), (15, "remove")])
def test_a_model_that_was_never_released_has_two_weeks(days: int, action: str) -> None:
    model = resource("custom-model", "candidate", created_at=ago(days=days))
    found = judged([model])["candidate"]
    assert (found.action, found.why) == (action, "a model that was never released")


def test_the_live_model_and_the_one_before_it_are_kept_and_older_ones_go() -> None:
    models = [resource("custom-model", f"model-{n}", arn=f"arn:model-{n}") for n in (1, 2, 3)]
    known = Knowledge(pointer=pointer(3), history=ledger_of("released", "released", "released"), root=ROOT)
    assert list(judged(models, known)) == ["model-1"]
    assert judged(models, known, ReapRules(keep_releases=2)) == {}
    assert list(judged(models, known, ReapRules(keep_releases=0))) == ["model-1", "model-2"]


def test_a_model_that_a_host_still_serves_waits_for_the_host() -> None:
    host = resource(
        ON_DEMAND, "h", serves=("arn:m",), tags=tags(NOW + timedelta(days=1), **{TAG_TEMPORARY: "true"})
    )
    model = resource("custom-model", "m", created_at=ago(days=60))
    found = judged([host, model])
    assert (found["m"].action, found["m"].why) == ("wait", "a host still serves it")
    gone = replace(host, tags=tags(NOW - timedelta(days=1), **{TAG_TEMPORARY: "true"}))
    both = judged([gone, model])
    assert [find.action for find in both.values()] == ["remove", "remove"]
    assert list(both) == ["h", "m"], "the host goes first: a model is deleted only when no host serves it"


def test_a_model_with_a_pointer_and_no_ledger_is_kept() -> None:
    known = Knowledge(pointer=pointer(), root=ROOT)
    found = judged([resource("custom-model", "m", created_at=ago(days=60))], known)
    assert "a pointer and no ledger" in found["m"].why
    assert found["m"].action == "wait"


def test_the_model_of_an_open_release_is_needed() -> None:
    known = Knowledge(history=ledger_of(""), root=ROOT)
    assert judged([resource("custom-model", "m", arn=MODEL, created_at=ago(days=60))], known) == {}


def test_a_model_whose_release_was_rolled_back_goes_after_the_grace_of_hosts() -> None:
    known = Knowledge(history=ledger_of("rolled_back"), root=ROOT)
    found = judged([resource("custom-model", "m", arn=MODEL)], known)
    assert (found["m"].action, found["m"].why) == ("remove", "a model of an older release")


@pytest.mark.parametrize(("hours", "action"), [(-1, "remove"), (1, "wait")])
def test_a_running_job_is_stopped_only_past_its_own_end(hours: int, action: str) -> None:
    job = resource("customization-job", "j", tags=tags(NOW + timedelta(hours=hours)))
    assert judged([job])["j"].action == action


def test_only_what_a_run_made_is_found_for_that_run() -> None:
    ours = resource("custom-model", "ours", tags=tags(run="loop/run-7"))
    other = resource("custom-model", "other", tags=tags(run="loop/run-17"))
    assert list(judged([ours, other], rules=ReapRules(run="run-7"))) == ["ours"]
    assert list(judged([ours, other], rules=ReapRules(run="loop/run-17"))) == ["other"]


# Uploads.


@pytest.mark.parametrize(
    ("begun", "rules", "action"),
    [
        (ago(hours=25), ReapRules(), "remove"),
        (ago(hours=1), ReapRules(), "wait"),
        (ago(hours=1), ReapRules(ignore_expiry=True), "remove"),
        (ago(hours=3), ReapRules(grace_hours=2), "remove"),
    ],
)
def test_an_upload_that_never_ended_goes_after_the_grace(begun: str, rules: ReapRules, action: str) -> None:
    found = find_upload(f"{ROOT}/w/windows/a.gz", "w", "u1", begun, rules, NOW)
    assert found.action == action
    assert (found.until is None) == (action == "remove")
    assert found.arn == f"{ROOT}/w/windows/a.gz?uploadId=u1"


# Prices and words.


@pytest.mark.parametrize(
    ("thing", "price"),
    [
        (resource(ON_DEMAND), 0.0),
        (resource(PROVISIONED, units=2), 480.0),
        (resource(PROVISIONED, tags=tags(**{TAG_HOURLY_PRICE: "1.5"})), 36.0),
        (resource(PROVISIONED, units=1, tags=tags(**{TAG_HOURLY_PRICE: "nan"})), 240.0),
        (resource(PROVISIONED, units=1, tags=tags(**{TAG_HOURLY_PRICE: "-3"})), 240.0),
        (resource(PROVISIONED, units=1, tags=tags(**{TAG_HOURLY_PRICE: "free"})), 240.0),
        (resource("customization-job"), None),
    ],
)
def test_a_price_a_day_is_the_stated_one_then_the_tables_and_else_unknown(
    thing: Resource, price: float | None
) -> None:
    assert daily_price(thing, lambda item, base: 10.0) == price


def test_a_price_that_nobody_knows_is_never_zero() -> None:
    assert daily_price(resource(PROVISIONED), lambda item, base: None) is None
    assert daily_price(resource("custom-model"), lambda item, base: None) is None


def test_the_sum_a_day_says_how_many_prices_are_unknown() -> None:
    finds = judged([resource(PROVISIONED, "a", units=1), resource("customization-job", "b")]).values()
    assert daily_total(finds) == (240.0, 1)


def test_the_text_tells_action_price_and_what_is_removable_now() -> None:
    past = resource(
        PROVISIONED, "past", units=1, tags=tags(NOW - timedelta(hours=1), **{TAG_TEMPORARY: "true"})
    )
    told = render_finds(tuple(judged([past, resource("custom-model", "young")]).values()))
    assert "240.00 USD/day" in told
    assert "removable now: 1, 240.00 USD a day." in told
    assert "not before" in told
    assert render_finds(()) == "Nothing is left over.\n"


def test_finds_come_in_the_order_of_retirement() -> None:
    kinds = list(reversed(ORDER[:4]))
    found = judged([resource(kind, f"a-{kind}", tags=tags(NOW - timedelta(days=30))) for kind in kinds])
    assert [find.kind for find in found.values()] == list(ORDER[:4])


def test_a_host_in_the_middle_of_a_swap_counts_for_both_models() -> None:
    host = Host(
        ON_DEMAND, HOST, "live", "arn:old", "arn:new", "amazon.nova-micro-v1:0", "Active", tags=tags()
    )
    assert resource_of_host(host).serves == ("arn:old", "arn:new")
    assert resource_of_host(replace(host, desired_arn="arn:old")).serves == ("arn:old",)
    assert resource_of_host(replace(host, desired_arn="")).serves == ("arn:old",)


def test_entries_are_what_the_ledger_wrote() -> None:
    """The histories of these tests are real ones: written by a ledger, read back whole."""
    history = ledger_of("released", "rolled_back", "")
    assert [type(entry) for entry in history.entries] == [Entry] * 3
    assert history.flaws == ()
    assert TAG_EXPIRES_AT in tags(NOW)


@pytest.mark.parametrize("text", ["soon", "2026-13-45", "never", "20261124T"])
@pytest.mark.parametrize("kind", [PROVISIONED, ON_DEMAND, "custom-model", "customization-job"])
def test_an_end_date_that_somebody_wrote_by_hand_does_not_stop_the_survey(kind: str, text: str) -> None:
    odd = resource(kind, "odd", tags=tags(**{TAG_EXPIRES_AT: text}))
    plain = replace(odd, arn="arn:plain", name="plain", tags=tags())
    knowledge = {"w": Knowledge(history=ledger_of("released"), root=ROOT)}
    odd_find, plain_find = (
        survey([each], knowledge, ReapRules(), now=NOW, price_of=lambda item, base: None)
        for each in (odd, plain)
    )
    assert [find.action for find in odd_find] == [find.action for find in plain_find]
    assert all(find.expires_at is None for find in odd_find)
