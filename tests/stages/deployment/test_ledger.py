"""One number, one owner; the entries replay to what is live."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.errors import ReleaseConflictError, StateError
from airflow_distill.stages.deployment.ledger import History, Ledger, refuse_or_take_over
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


def test_an_open_claim_is_respected_until_its_lease_ends() -> None:
    ledger = make_ledger()
    ledger.claim(make_release(1))
    with pytest.raises(ReleaseConflictError, match="being carried out by run run-1"):
        refuse_or_take_over(ledger, ledger.read(), NOW)
    history = refuse_or_take_over(ledger, ledger.read(), NOW + timedelta(hours=2))
    assert history.open is None
    assert history.next_number == 2
    outcome = history.entries[0].outcome
    assert outcome is not None
    assert outcome.outcome == "abandoned"


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
