"""One number, one owner; the entries replay to what is live."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.errors import ReleaseConflictError, StateError
from airflow_distill.stages.deployment.ledger import Entry, History, Ledger, is_held
from airflow_distill.stages.deployment.records import (
    ON_DEMAND,
    Evidence,
    HostSpec,
    Outcome,
    Release,
    Target,
)
from airflow_distill.stages.deployment.times import iso
from airflow_distill.stages.storage import MemoryStore

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def make_release(
    number: int, claim: str = "c", history: History | None = None, hours: float = 1.0
) -> Release:
    last = history.entries[-1] if history and history.entries else None
    return Release(
        workload="w",
        release=number,
        action="promote",
        claim=claim,
        claimed_at=iso(NOW),
        lease_until=iso(NOW + timedelta(hours=hours)),
        run="run-1",
        owner="o",
        target=Target(f"arn:model-{number}", "base", HostSpec(ON_DEMAND, "live")),
        previous=None,
        previous_sha256=last.chain_sha256 if last else "",
        why=(),
        evidence=Evidence(decision_id=claim),
    )


def make_ledger() -> Ledger:
    return Ledger(MemoryStore(), "s3://b/root", "w")


def close(ledger: Ledger, number: int, word: str = "released") -> None:
    ledger.close(Outcome(number, word, iso(NOW), host_arn="arn:host", model_arn=f"arn:model-{number}"))  # type: ignore[arg-type]


def test_a_claimed_number_is_refused_to_another_run_and_granted_again_to_the_same() -> None:
    ledger = make_ledger()
    first = ledger.claim(make_release(1, "a"))
    with pytest.raises(ReleaseConflictError, match="changed nothing"):
        ledger.claim(make_release(1, "b"))
    assert ledger.claim(make_release(1, "a")) == first


def test_an_outcome_is_written_once() -> None:
    ledger = make_ledger()
    ledger.claim(make_release(1))
    close(ledger, 1)
    close(ledger, 1)
    with pytest.raises(ReleaseConflictError, match="already ended as released"):
        close(ledger, 1, "rolled_back")


def test_an_open_release_is_held_until_nobody_renews_it() -> None:
    ledger = make_ledger()
    release = ledger.claim(make_release(1, hours=0.25)).release
    late = NOW + timedelta(hours=1)
    assert is_held(release, ledger.holder(release), NOW)
    with pytest.raises(ReleaseConflictError, match="being carried out by run run-1"):
        ledger.take(release, "run-2 try 1", "run-2", iso(late), now=NOW)
    mine = ledger.take(release, "run-1 try 1", "run-1", iso(late), now=NOW)
    again = ledger.take(release, "run-1 try 1", "run-1", iso(late + timedelta(hours=1)), now=NOW)
    assert (mine.fence, again.fence) == (1, 1), "the same try renews and keeps its fence"
    with pytest.raises(ReleaseConflictError):
        ledger.take(release, "run-2 try 1", "run-2", iso(late), now=late)
    theirs = ledger.take(release, "run-2 try 1", "run-2", iso(late), now=late + timedelta(hours=2))
    assert (theirs.fence, ledger.holder(release)) == (2, theirs)


def test_a_retry_of_the_same_run_and_a_person_take_over_at_once() -> None:
    ledger = make_ledger()
    release = ledger.claim(make_release(1)).release
    until = iso(NOW + timedelta(minutes=15))
    ledger.take(release, "run-1 try 1", "run-1", until, now=NOW)
    assert ledger.take(release, "run-1 try 2", "run-1", until, now=NOW).fence == 2
    assert ledger.take(release, "ann", "cli/ann", until, now=NOW, force=True).fence == 3


def test_a_hold_that_is_given_back_lets_the_next_run_begin_at_once() -> None:
    ledger = make_ledger()
    release = ledger.claim(make_release(1)).release
    hold = ledger.take(release, "run-1 try 1", "run-1", iso(NOW + timedelta(hours=3)), now=NOW)
    ledger.give_back(hold, iso(NOW))
    assert not is_held(release, ledger.holder(release), NOW)
    assert ledger.take(release, "run-2", "run-2", iso(NOW), now=NOW).fence == 2


# What does not fit.


def nonced(ledger: Ledger, number: int, letter: str) -> Entry:
    """Claim a release as version 2 writes it, with one note, and close it."""
    release = replace(make_release(number, letter, ledger.survey()), nonce=letter * 32)
    entry = ledger.claim(release)
    ledger.note(number, "smoke", {"passed": True}, release.nonce)
    ledger.close(
        Outcome(
            number,
            "released",
            iso(NOW),
            host_arn="arn:host",
            entry_sha256=entry.sha256,
            nonce=release.nonce,
            notes=ledger.notes_of(entry),
        )
    )
    return entry


@pytest.fixture
def three() -> Ledger:
    ledger = make_ledger()
    for number, letter in enumerate("abc", 1):
        nonced(ledger, number, letter)
    assert ledger.sound().flaws == ()
    return ledger


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (("",), "release 2 is gone"),
        (("outcome",), "no outcome although a later release"),
        (("", "outcome"), "release 2 is gone"),
        (("", "outcome", "smoke"), "release 2 is missing"),
    ],
)
def test_a_gap_is_an_error_for_whoever_acts_and_names_the_object(
    three: Ledger, gone: tuple[str, ...], said: str
) -> None:
    for note in gone:
        three._store.delete(three.uri(2, note, "b" * 32))
    with pytest.raises(StateError, match=said):
        three.sound()


@pytest.mark.parametrize("gone", [("",), ("", "outcome")])
def test_leftovers_of_the_newest_entry_are_an_error_and_prove_nothing(
    three: Ledger, gone: tuple[str, ...]
) -> None:
    for note in gone:
        three._store.delete(three.uri(3, note))
    with pytest.raises(StateError, match="release 3 is gone"):
        three.sound()


def test_notes_of_another_claim_of_the_same_number_are_never_read_as_ours() -> None:
    ledger = make_ledger()
    ledger.note(1, "smoke", {"passed": True}, "a" * 32)
    mine = replace(make_release(1), nonce="b" * 32)
    ledger.claim(mine)
    assert ledger.noted(1, "smoke", mine.nonce) is None
    with pytest.raises(StateError, match="left over from another claim"):
        ledger.sound()


def test_a_note_moved_under_another_nonce_is_refused() -> None:
    ledger = make_ledger()
    ledger.note(1, "smoke", {"passed": True}, "a" * 32)
    ledger._store.write(
        ledger.uri(1, "smoke", "b" * 32), ledger._store.read(ledger.uri(1, "smoke", "a" * 32))
    )
    with pytest.raises(StateError, match="belongs to another claim"):
        ledger.noted(1, "smoke", "b" * 32)


def test_an_outcome_of_another_claim_does_not_count(three: Ledger) -> None:
    three._store.write(three.uri(3, "outcome"), three._store.read(three.uri(2, "outcome")))
    with pytest.raises(StateError, match="names another release"):
        three.sound()


def test_a_rewritten_entry_is_seen_by_its_outcome_and_by_the_next_entry(three: Ledger) -> None:
    body = json.loads(three._store.read(three.uri(2)))
    three._store.write(three.uri(2), json.dumps({**body, "why": ["another"]}).encode())
    links = [(flaw.release, flaw.link) for flaw in three.survey().flaws]
    assert links == [(2, "entry"), (3, "previous entry")]


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"v": NaN}', b"\xff", b"null"])
def test_a_survey_names_what_cannot_be_read_and_never_crashes(three: Ledger, raw: bytes) -> None:
    three._store.write(three.uri(2), raw)
    three._store.write(three.uri(3, "outcome"), raw)
    flaws = three.survey().flaws
    assert {flaw.where for flaw in flaws if flaw.found == "unreadable"} == {
        three.uri(2),
        three.uri(3, "outcome"),
    }
    with pytest.raises(StateError, match="cannot be read"):
        three.read()


def test_evidence_is_kept_once_under_its_digest_and_a_changed_copy_is_refused() -> None:
    ledger = make_ledger()
    uri = ledger.keep("manifest.json", b"{}")
    assert uri == ledger.keep("manifest.json", b"{}")
    assert "/evidence/" in uri
    ledger._store.write(uri, b"[]")
    with pytest.raises(StateError, match="was changed"):
        ledger.keep("manifest.json", b"{}")


@pytest.mark.parametrize(
    ("cause", "found"), [("check", True), ("person", True), ("failure", False), ("lease", False)]
)
def test_an_intent_may_be_asked_for_again_when_nothing_spoke_against_its_model(
    cause: Any, found: bool
) -> None:
    ledger = make_ledger()
    ledger.claim(make_release(1, "c"))
    ledger.close(Outcome(1, "rolled_back", iso(NOW), cause=cause))
    assert (ledger.read().claimed_by("c") is not None) is found


def test_after_a_withdrawal_nothing_is_live(three: Ledger) -> None:
    ledger = three
    release = replace(make_release(4, "w", ledger.read()), nonce="d" * 32, action="withdraw")
    entry = ledger.claim(release)
    ledger.close(Outcome(4, "withdrawn", iso(NOW), entry_sha256=entry.sha256, nonce=release.nonce))
    history = ledger.sound()
    assert history.live() is None
    before = history.live(before=4)
    assert before is not None
    assert before.release == 3


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"v":1}', json.dumps({"release": 9}).encode()])
def test_an_entry_that_cannot_be_read_is_an_error_and_never_none(raw: bytes) -> None:
    ledger = make_ledger()
    store = ledger._store
    store.write(ledger.uri(1), raw)
    with pytest.raises(StateError):
        ledger.read()


def test_notes_and_foreign_objects_are_not_entries() -> None:
    ledger = make_ledger()
    ledger.claim(make_release(1))
    ledger.note(1, "smoke", {"a": 1})
    ledger.note(1, "smoke", {"a": 2})
    ledger._store.write(ledger.prefix + "README.txt", b"hello")
    assert len(ledger.read().entries) == 1
    assert ledger.noted(1, "smoke") == {"a": 1}, "the first writing stays"
    assert ledger.noted(1, "probe-001") is None


@given(st.lists(st.sampled_from(["released", "rolled_back", "abandoned"]), max_size=12))
def test_the_live_release_is_the_last_one_that_ended_as_released(words: list[str]) -> None:
    ledger = make_ledger()
    for number, word in enumerate(words, 1):
        ledger.claim(make_release(number, str(number), ledger.read()))
        close(ledger, number, word)
    history = ledger.read()
    good = [n for n, word in enumerate(words, 1) if word == "released"]
    live = history.live()
    assert (live.release if live else None) == (good[-1] if good else None)
    assert [past.release for past in history.releases()] == good
    for number in range(1, len(words) + 2):
        before = history.live(before=number)
        assert (before.release if before else None) == max((n for n in good if n < number), default=None)


def test_an_entry_survives_its_json() -> None:
    release = make_release(3, "x")
    assert Release.from_json(json.loads(json.dumps(release.to_json()))) == release
