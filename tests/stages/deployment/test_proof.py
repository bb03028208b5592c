"""What a decision's receipt must lead to before anything is released: each gap and each disagreement is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from airflow_distill.errors import DeploymentError
from airflow_distill.stages.decision.records import DecisionRecord
from airflow_distill.stages.deployment.proof import NEEDED, Proof, heldout_ids, read_proof
from airflow_distill.stages.digest import sha256_hex
from tests.stages.deployment.proven import PLACE, ROOT, WORKLOAD, Proven, job_arn, model_arn


@pytest.fixture
def proven() -> Proven:
    made = Proven()
    made.decide(1)
    return made


def read(proven: Proven, receipt: dict[str, Any] | None = None, **more: Any) -> Proof:
    return read_proof(proven.store, ROOT, WORKLOAD, receipt or proven.receipt(1), **more)


def mended(proven: Proven, name: str, **members: Any) -> dict[str, Any]:
    """Rewrite an object and everything above it that names its digest, as anybody can who may write to the bucket."""
    record = DecisionRecord.from_json(json.loads(proven.store.objects[proven.uri(1, "decision.json")]))
    proven.edit(proven.uri(1, f"{name}.json"), **members)
    digest = {f"{name}_sha256": sha256_hex(proven.store.objects[proven.uri(1, f"{name}.json")])}
    forged = replace(record, **digest)  # type: ignore[arg-type]
    proven.store.objects[proven.uri(1, "decision.json")] = json.dumps(forged.to_json()).encode()
    return proven.receipt(1)


def test_sound_evidence_is_read_with_the_digests_of_what_lies_there(proven: Proven) -> None:
    found = read(proven)
    assert found.record.model_arn == model_arn(1)
    assert found.manifest.dataset_id == found.evidence.dataset_id == "d1"
    for name in ("decision", "scorecard", "manifest"):
        raw = proven.store.objects[proven.uri(1, f"{name}.json")]
        assert getattr(found.evidence, f"{name}_sha256") == sha256_hex(raw)
        assert found.files[f"{name}.json"] == raw
    assert found.evidence.heldout_ids_sha256 == sha256_hex(found.files["heldout-ids.json"])
    assert found.incumbent.release is None


def test_what_is_kept_of_held_out_prompts_holds_digests_and_no_text() -> None:
    kept = heldout_ids(b'{"secret": 1}\n\n{"b": 2}\n', "d1")
    assert b"secret" not in kept
    assert json.loads(kept)["sha256"] == sorted(sha256_hex(line) for line in (b'{"secret": 1}', b'{"b": 2}'))


@pytest.mark.parametrize("name", ["decision_uri", "decision_sha256"])
def test_a_receipt_that_names_no_decision_is_refused(proven: Proven, name: str) -> None:
    receipt = proven.receipt(1)
    for gone in ({name: ""}, {name: None}):
        with pytest.raises(DeploymentError, match="names no decision with a digest"):
            read(proven, {**receipt, **gone})


@pytest.mark.parametrize(
    "uri",
    ["s3://other/loop/tickets/d.json", f"{ROOT}/other/d.json", f"{ROOT}/tickets-2/d.json", "/etc/passwd"],
)
def test_evidence_of_another_place_proves_nothing(proven: Proven, uri: str) -> None:
    raw = proven.store.objects[proven.uri(1, "decision.json")]
    proven.store.objects[uri] = raw
    with pytest.raises(DeploymentError, match=f"is not under {PLACE}/"):
        read(proven, {**proven.receipt(1), "decision_uri": uri})


@pytest.mark.parametrize("name", ["decision.json", "scorecard.json", "manifest.json", "heldout.jsonl"])
def test_evidence_that_is_gone_or_changed_is_named(proven: Proven, name: str) -> None:
    receipt, uri = proven.receipt(1), proven.uri(1, name)
    raw = proven.store.objects.pop(uri)
    with pytest.raises(DeploymentError, match=f"{uri} is not there"):
        read(proven, receipt)
    proven.store.objects[uri] = raw + b" "
    with pytest.raises(DeploymentError, match="the digest differs"):
        read(proven, receipt)


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"[]", b"{}", b"[" * 100_000, b"\xff", b'{"outcome": "promote"}']
)
def test_what_is_no_decision_record_is_refused(proven: Proven, raw: bytes) -> None:
    receipt, uri = proven.receipt(1), proven.uri(1, "decision.json")
    proven.store.objects[uri] = raw
    with pytest.raises(DeploymentError, match="is not a decision record"):
        read(proven, {**receipt, "decision_sha256": sha256_hex(raw)})


@pytest.mark.parametrize("name", NEEDED)
def test_a_decision_without_one_of_the_members_it_needs_is_refused_by_its_name(
    proven: Proven, name: str
) -> None:
    receipt = proven.receipt(1)
    for gone in ("", None, 7):
        proven.edit(proven.uri(1, "decision.json"), **{name: gone})
        raw = proven.store.objects[proven.uri(1, "decision.json")]
        with pytest.raises(DeploymentError):
            read(proven, {**receipt, "decision_sha256": sha256_hex(raw)})
        proven.decide(1)


@pytest.mark.parametrize("outcome", ["hold", "reject", "inconclusive"])
def test_the_record_has_the_last_word_over_its_receipt(proven: Proven, outcome: str) -> None:
    receipt = proven.receipt(1)
    proven.edit(proven.uri(1, "decision.json"), outcome=outcome)
    raw = proven.store.objects[proven.uri(1, "decision.json")]
    with pytest.raises(DeploymentError):
        read(proven, {**receipt, "verdict": "promote", "decision_sha256": sha256_hex(raw)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workload": "other"}, "is a decision on workload other"),
        ({"dataset_id": "../d1"}, "cannot be part of a key"),
        ({"incumbent_release": 0}, "no sensible incumbent release"),
        ({"incumbent_release": True}, "no sensible incumbent release"),
        ({"model_arn": model_arn(2)}, "the scorecard is about student"),
        ({"evaluation_id": "e2"}, "the scorecard is about evaluation_id"),
        ({"heldout_sha256": "0" * 64}, "the scorecard is about heldout_sha256"),
        ({"incumbent": model_arn(9)}, "the scorecard is about incumbent"),
    ],
)
def test_a_decision_that_disagrees_with_what_it_rests_on_is_refused(
    proven: Proven, changes: dict[str, Any], message: str
) -> None:
    receipt = proven.decide(1, **changes)
    with pytest.raises(DeploymentError, match=message):
        read(proven, receipt)


@pytest.mark.parametrize("name", ["model_arn", "scorecard_uri", "scorecard_sha256", "job_arn", "decision_id"])
def test_a_receipt_that_names_something_else_than_its_decision_is_refused(proven: Proven, name: str) -> None:
    with pytest.raises(DeploymentError, match=f"the receipt names {name} else"):
        read(proven, {**proven.receipt(1), name: "else"})


def test_the_decision_of_another_job_is_refused(proven: Proven) -> None:
    assert read(proven, job_arn=job_arn(1)).record.job_arn == job_arn(1)
    with pytest.raises(DeploymentError, match="this run's job is"):
        read(proven, job_arn=job_arn(2))


FORGED: list[tuple[str, Callable[[Proven], dict[str, Any]], str]] = [
    (
        "scorecard of another workload",
        lambda p: mended(p, "scorecard", workload="other"),
        "about workload other",
    ),
    (
        "scorecard of another student",
        lambda p: mended(p, "scorecard", models={"student": "x"}),
        "about student x",
    ),
    ("scorecard without a kind", lambda p: mended(p, "scorecard", workload=None), "is not a scorecard"),
    (
        "manifest of another workload",
        lambda p: mended(p, "manifest", workload="other"),
        "about workload other",
    ),
    (
        "manifest of another dataset",
        lambda p: mended(p, "manifest", dataset_id="d2"),
        "about dataset_id d2",
    ),
    ("manifest without its files", lambda p: mended(p, "manifest", heldout=None), "is not a manifest"),
]


@pytest.mark.parametrize(("forge", "message"), [row[1:] for row in FORGED], ids=[row[0] for row in FORGED])
def test_evidence_that_is_forged_with_all_digests_mended_is_refused(
    proven: Proven, forge: Callable[[Proven], dict[str, Any]], message: str
) -> None:
    receipt = forge(proven)
    with pytest.raises(DeploymentError, match=message):
        read(proven, receipt)


def test_held_out_prompts_of_another_workload_are_not_read_even_where_the_manifest_names_them(
    proven: Proven,
) -> None:
    held = json.loads(proven.store.objects[proven.uri(1, "manifest.json")])["heldout"]
    elsewhere = f"{ROOT}/other/datasets/d1/heldout.jsonl"
    proven.store.objects[elsewhere] = proven.store.objects[held["uri"]]
    receipt = mended(proven, "manifest", heldout={**held, "uri": elsewhere})
    with pytest.raises(DeploymentError, match=r"held-out file .* is not under"):
        read(proven, receipt)
