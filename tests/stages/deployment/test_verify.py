"""Each link of the chain is named when it alone does not hold, and nonsense is a broken link, never a crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from airflow_distill.errors import DeploymentError, StateError
from airflow_distill.stages.deployment.ledger import Ledger, encode
from airflow_distill.stages.deployment.records import (
    ON_DEMAND,
    Evidence,
    HostSpec,
    Outcome,
    Release,
    Target,
)
from airflow_distill.stages.deployment.verify import Looks, Verification, render_verification, verify
from airflow_distill.stages.digest import sha256_hex
from airflow_distill.stages.storage import MemoryStore
from tests.stages.deployment.proven import HOST, PLACE, Proven, job_arn, model_arn

ROOT = "s3://bucket/loop"
DEEP = b"[" * 100_000


def checked(decision: bytes, manifest: bytes) -> Verification:
    """Verify a release that rests on these very bytes, so that the digests hold and the contents are looked at."""
    store = MemoryStore()
    ledger = Ledger(store, ROOT, "w")
    evidence = Evidence(
        decision_uri=f"{ROOT}/d.json",
        decision_sha256=sha256_hex(decision),
        manifest_uri=f"{ROOT}/m.json",
        manifest_sha256=sha256_hex(manifest),
    )
    release = Release(
        "w", 1, "promote", "c", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", "r", "o",
        Target("arn:m", "b", HostSpec(ON_DEMAND, "h")), None, "", (), evidence,
    )  # fmt: skip
    raw = encode(release.to_json())
    outcome = Outcome(1, "released", "2026-11-01T00:00:00Z", host_arn="h", entry_sha256=sha256_hex(raw))
    store.objects |= {
        ledger.uri(1): raw,
        ledger.uri(1, "outcome"): encode(outcome.to_json()),
        evidence.decision_uri: decision,
        evidence.manifest_uri: manifest,
    }
    looks = Looks(store.objects.get, lambda arn: None, lambda arn: None, lambda kind, arn: None, lambda: None)
    return verify("w", ledger.survey(), looks)


@pytest.mark.parametrize(
    "decision",
    [
        {"answers_sha256": "x"},
        {"answers_sha256": ["x"]},
        {"answers_sha256": {"student": {"a": 1}}},
        {"model_arn": ["x"], "dataset_id": {"a": 1}},
        {"heldout_sha256": 7},
        DEEP,
        b"\xff\xfe",
        b"null",
        b'{"a": NaN}',
        b"1e999999",
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"train": {"uri": "s3://bucket/x"}},
        {"train": {"uri": {"a": 1}, "sha256": "x"}},
        {"heldout": {"uri": "s3://bucket/x", "sha256": ["x"]}, "train": "x"},
        DEEP,
    ],
    ids=str,
)
def test_nonsense_is_a_broken_link_and_never_a_crash(decision: Any, manifest: Any) -> None:
    found = checked(*(v if isinstance(v, bytes) else json.dumps(v).encode() for v in (decision, manifest)))
    assert found.broken, "pointer and host are missing at least"
    assert "do not hold" in render_verification(found)


def test_no_ledger_is_told_and_is_not_all_hold() -> None:
    looks = Looks(lambda uri: None, lambda arn: None, lambda arn: None, lambda kind, arn: None, lambda: None)
    found = verify("w", Ledger(MemoryStore(), ROOT, "w").survey(), looks)
    assert found.empty
    assert "there is no ledger here" in render_verification(found)


def test_what_was_not_looked_at_is_said() -> None:
    assert "skipped: the notes of smoke tests" in render_verification(checked(b"{}", b"{}"))


# --- one thing broken at a time ----------------------------------------------------------------------------------------


@pytest.fixture
def proven() -> Proven:
    """Two releases, the second live, with everything that they rest on."""
    made = Proven()
    made.release(1)
    made.release(2)
    return made


def broken(proven: Proven, *, every: bool = False) -> set[tuple[int, str]]:
    return {(link.release, link.link) for link in proven.verify(every=every).broken}


def host_with(**changes: Any) -> Callable[[Proven], None]:
    def change(proven: Proven) -> None:
        assert proven.host is not None
        proven.host = replace(proven.host, **changes)

    return change


def pointer_with(**changes: Any) -> Callable[[Proven], None]:
    def change(proven: Proven) -> None:
        assert proven.pointer is not None
        proven.pointer = replace(proven.pointer, **changes)

    return change


def byte_of(name: str) -> Callable[[Proven], None]:
    def change(proven: Proven) -> None:
        proven.store.objects[proven.uri(2, name)] += b" "

    return change


def gone(name: str) -> Callable[[Proven], None]:
    return lambda proven: proven.store.objects.pop(proven.uri(2, name)) and None


def set_to(attribute: str, value: Any) -> Callable[[Proven], None]:
    return lambda proven: setattr(proven, attribute, value)


ONE_THING: list[tuple[str, Callable[[Proven], None], set[str]]] = [
    ("a byte of the decision", byte_of("decision.json"), {"decision"}),
    ("a byte of the scorecard", byte_of("scorecard.json"), {"scorecard"}),
    ("a byte of the manifest", byte_of("manifest.json"), {"manifest"}),
    ("a byte of the training file", byte_of("train.jsonl"), {"training file"}),
    ("a byte of the held-out file", byte_of("heldout.jsonl"), {"held-out file"}),
    ("the training file gone", gone("train.jsonl"), {"training file"}),
    ("the scorecard gone", gone("scorecard.json"), {"scorecard"}),
    ("the decision gone", gone("decision.json"), {"decision"}),
    ("the pointer gone", set_to("pointer", None), {"pointer"}),
    ("the pointer to another host", pointer_with(host_arn="arn:other"), {"pointer names host"}),
    ("the pointer to another model", pointer_with(model_arn="arn:other"), {"pointer names model"}),
    ("the pointer to another release", pointer_with(release=1), {"pointer names release"}),
    ("the pointer without the ledger's head", pointer_with(head=None), {"ledger's head"}),
    ("the host gone", set_to("host", None), {"host"}),
    ("another model behind the host", host_with(model_arn="arn:m", desired_arn="arn:m"), {"host serves model"}),
    ("the host failed", host_with(status="Failed", reason="no room"), {"host"}),
    ("the host's tags gone", host_with(tags={"airflow-distill:workload": "other"}), {"host's tags"}),
    ("the model deleted", lambda p: p.models.pop(model_arn(2)) and None, {"model"}),
    ("the model of another job", lambda p: p.models.update({model_arn(2): {"jobArn": "j"}}), {"model comes from job"}),
    ("the job not known", lambda p: p.jobs.pop(job_arn(2)) and None, {"job"}),
    ("the job of another model", lambda p: p.jobs[job_arn(2)].update(outputModelArn="arn:m"), {"job made model"}),
    (
        "the job taught with another file",
        lambda p: p.jobs[job_arn(2)].update(trainingDataConfig={"s3Uri": "s3://bucket/else"}),
        {"job trained on"},
    ),
]  # fmt: skip


def test_an_untouched_chain_holds_and_says_how_much_was_looked_at(proven: Proven) -> None:
    found = proven.verify()
    assert found.broken == ()
    assert (found.live, found.releases, found.entries) == (2, (2,), 2)
    assert found.unseen == ("the evidence of release 1 (`--all` looks at every release)",)
    every = proven.verify(every=True)
    assert (every.broken, every.unseen, every.releases) == ((), (), (1, 2))
    assert every.checked > found.checked
    assert "release 2 is live" in render_verification(every)
    assert "all hold" in render_verification(every)


@pytest.mark.parametrize(
    ("change", "links"), [row[1:] for row in ONE_THING], ids=[row[0] for row in ONE_THING]
)
def test_the_one_link_that_does_not_hold_is_named_and_no_other(
    proven: Proven, change: Callable[[Proven], None], links: set[str]
) -> None:
    change(proven)
    assert broken(proven) == {(2, link) for link in links}


@pytest.mark.parametrize("name", ["decision.json", "scorecard.json", "manifest.json", "train.jsonl"])
def test_evidence_of_an_older_release_is_looked_at_where_every_release_is_asked_for(
    proven: Proven, name: str
) -> None:
    proven.store.objects[proven.uri(1, name)] += b" "
    assert broken(proven) == set()
    assert {number for number, _ in broken(proven, every=True)} == {1}


@pytest.mark.parametrize("what", ["changed", "removed", "added"])
def test_a_note_that_was_changed_removed_or_added_is_named_for_every_release(
    proven: Proven, what: str
) -> None:
    uri = f"{PLACE}/releases/000001.{1:032x}"[: len(f"{PLACE}/releases/000001.") + 8]
    note = f"{uri}.smoke.json"
    assert note in proven.store.objects
    if what == "changed":
        proven.edit(note, passed=False)
    elif what == "removed":
        del proven.store.objects[note]
    else:
        proven.store.objects[f"{uri}.bake.json"] = proven.store.objects[note]
    assert broken(proven) == {(1, "note bake" if what == "added" else "note smoke")}


def test_a_rewritten_entry_is_seen_by_its_outcome_and_by_the_next_one(proven: Proven) -> None:
    proven.edit(proven.ledger.uri(1), owner="mallory")
    assert {link for _, link in broken(proven)} == {"entry", "previous entry"}


def test_a_chain_that_was_rewritten_throughout_is_seen_by_the_pointer_alone(proven: Proven) -> None:
    ledger, objects = proven.ledger, proven.store.objects
    proven.edit(ledger.uri(2), owner="mallory")
    proven.edit(ledger.uri(2, "outcome"), entry_sha256=sha256_hex(objects[ledger.uri(2)]))
    assert broken(proven) == {(2, "ledger's head")}


def test_a_pointer_with_no_ledger_behind_it_is_no_clean_account(proven: Proven) -> None:
    for uri in [uri for uri in proven.store.objects if "/releases/" in uri]:
        del proven.store.objects[uri]
    found = proven.verify()
    assert not found.empty
    assert {link.link for link in found.broken} == {"ledger's head", "pointer"}


def test_a_pointer_that_cannot_be_read_is_a_broken_link_and_the_rest_is_still_looked_at(
    proven: Proven,
) -> None:
    def unreadable() -> Any:
        raise StateError("the parameter holds no pointer")

    proven.store.objects[proven.uri(2, "scorecard.json")] += b" "
    found = verify("tickets", proven.ledger.survey(), replace(proven.looks(), pointer=unreadable))
    assert {link.link for link in found.broken} == {"pointer", "scorecard"}
    assert "the parameter holds no pointer" in render_verification(found)


def test_notes_that_cannot_be_listed_are_a_broken_link_of_each_release(proven: Proven) -> None:
    def refused(entry: Any) -> Any:
        raise DeploymentError("access denied")

    found = verify("tickets", proven.ledger.survey(), replace(proven.looks(), notes=refused))
    assert {(link.release, link.link) for link in found.broken} == {(1, "notes"), (2, "notes")}


def test_what_a_release_rests_on_may_be_expired_where_its_copy_is_kept(proven: Proven) -> None:
    """Retention takes datasets away; copies under their digests stand for them, and are looked at themselves."""
    ledger, objects = proven.ledger, proven.store.objects
    evidence = dict(json.loads(objects[ledger.uri(2)])["evidence"])
    for name in ("decision", "scorecard", "manifest"):
        copy = f"{PLACE}/evidence/{evidence[f'{name}_sha256']}.{name}.json"
        objects[copy] = objects.pop(evidence[f"{name}_uri"])
        evidence[f"{name}_copy"] = copy
    del objects[proven.uri(2, "train.jsonl")], objects[proven.uri(2, "heldout.jsonl")]
    proven.edit(ledger.uri(2), evidence=evidence)
    proven.edit(ledger.uri(2, "outcome"), entry_sha256=sha256_hex(objects[ledger.uri(2)]))
    proven.pointer = replace(proven.pointer, head=ledger.sound().entries[-1].head)  # type: ignore[type-var]
    assert broken(proven) == set()
    objects[evidence["scorecard_copy"]] += b" "
    assert broken(proven) == {(2, "copy of the scorecard")}
    del objects[evidence["scorecard_copy"]]
    assert broken(proven) == {(2, "copy of the scorecard")}


def open_release(proven: Proven) -> None:
    """A third release has begun: its entry is there and its outcome is not."""
    pointer, host = proven.pointer, proven.host
    proven.release(3)
    del proven.store.objects[proven.ledger.uri(3, "outcome")]
    proven.pointer, proven.host = pointer, host


@pytest.mark.parametrize("serves", [2, 3])
def test_while_a_release_is_open_old_and_new_model_may_both_be_seen(proven: Proven, serves: int) -> None:
    open_release(proven)
    host_with(model_arn=model_arn(serves), desired_arn=model_arn(serves))(proven)
    found = proven.verify()
    assert found.broken == ()
    assert any("how release 3 ends: it is open" in told for told in found.unseen)


@pytest.mark.parametrize(
    ("change", "link"),
    [
        (host_with(model_arn="arn:m"), (3, "host serves model")),
        (pointer_with(model_arn="arn:m"), (3, "pointer names model")),
        (set_to("host", None), (2, "host")),
    ],
)
def test_while_a_release_is_open_a_third_model_and_a_lost_host_are_named(
    proven: Proven, change: Callable[[Proven], None], link: tuple[int, str]
) -> None:
    open_release(proven)
    change(proven)
    assert broken(proven) == {link}


def test_the_text_names_link_place_and_both_sides_of_it(proven: Proven) -> None:
    host_with(model_arn="arn:m", desired_arn="arn:m")(proven)
    found = proven.verify()
    told = render_verification(found)
    for word in ("host serves model (release 2)", f"at       {HOST}", model_arn(2), "arn:m", "1 do not hold"):
        assert word in told
    assert found.to_json()["broken"][0]["link"] == "host serves model"
