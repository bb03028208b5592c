"""A decision or manifest that somebody wrote nonsense into is a broken link, never a crash."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
