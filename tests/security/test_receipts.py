"""Receipts and evidence, edited by somebody who mends every digest: promotion refuses, or what it takes agrees."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_distill.aws.promotion import promotion_intent
from airflow_distill.errors import DistillError
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.digest import sha256_hex
from airflow_distill.stages.storage import MemoryStore
from tests.release_world import ROOT, WORKLOAD, ReleaseWorld
from tests.security.cases import SEEN

PLACE = f"{ROOT}/{WORKLOAD}/"
LEAVES: list[Any] = [
    None, True, False, 0, 1, -1, 1.5, 2**64, "", " ", "\x00", "\ud800", [], {}, [None], {"a": 1}, "promote", "hold",
    "student", "../../x", "s3://other/x", "/etc/passwd", f"{PLACE}../other/decision.json", "9" * 40, "0" * 64, "other",
]  # fmt: skip


@pytest.fixture
def chain(bedrock_sandbox: Sandbox) -> dict[str, Any]:
    """A sound receipt and what it names: decision record, scorecard, manifest, each as plain data under its URI."""
    world = ReleaseWorld(bedrock_sandbox)
    receipt = world.decision(world.model("first"))
    manifest = f"{PLACE}datasets/{world.dataset_id}/manifest.json"
    uris = {"decision": receipt["decision_uri"], "scorecard": receipt["scorecard_uri"], "manifest": manifest}
    objects = {name: json.loads(world.store.read(uri)) for name, uri in uris.items()}
    heldout = objects["manifest"]["heldout"]["uri"]
    return {
        "receipt": receipt,
        "uris": uris,
        "objects": objects,
        "heldout": (heldout, world.store.read(heldout)),
    }


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*at, key))


def edit(draw: Any, whole: dict[str, Any], names: list[str]) -> None:
    for _ in range(draw(st.integers(1, 3))):
        part = whole[draw(st.sampled_from(names))]
        *before, last = draw(st.sampled_from(list(places(part))))
        held = part
        for key in before:
            held = held[key]
        if isinstance(held, dict) and draw(st.booleans()) and draw(st.booleans()):
            held.pop(last, None)
        else:
            held[last] = copy.deepcopy(draw(st.sampled_from(LEAVES)))


def written(whole: dict[str, Any], uris: dict[str, str], *, mended: bool) -> MemoryStore:
    """Write the evidence, from the ground up; each digest is mended where asked."""
    store = MemoryStore()
    raw = {name: json.dumps(whole[name]).encode() for name in ("scorecard", "manifest")}
    if mended:
        for name, data in raw.items():
            if f"{name}_sha256" in whole["decision"]:
                whole["decision"][f"{name}_sha256"] = sha256_hex(data)
            if f"{name}_sha256" in whole["receipt"]:
                whole["receipt"][f"{name}_sha256"] = sha256_hex(data)
    raw["decision"] = json.dumps(whole["decision"]).encode()
    if mended:
        whole["receipt"]["decision_sha256"] = sha256_hex(raw["decision"])
    for name, data in raw.items():
        store.objects[uris[name]] = data
    return store


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), mended=st.booleans())
def test_promotion_refuses_edited_evidence_or_takes_what_agrees(
    chain: dict[str, Any], data: st.DataObject, mended: bool
) -> None:
    whole = copy.deepcopy({"receipt": chain["receipt"], **chain["objects"]})
    edit(data.draw, whole, ["receipt", "decision", "scorecard", "manifest"])
    store = written(whole, chain["uris"], mended=mended)
    uri, heldout = chain["heldout"]
    store.objects[uri] = heldout
    SEEN["receipts with their evidence"] += 1
    try:
        intent = promotion_intent(
            store, root=ROOT, workload=WORKLOAD, decision=whole["receipt"], run="d/r", owner="o"
        )
    except DistillError:
        return
    record, found = whole["decision"], intent.evidence
    assert (record["outcome"], record["workload"]) == ("promote", WORKLOAD)
    assert intent.model_arn == record["model_arn"] == whole["scorecard"]["models"]["student"]
    assert record["job_arn"] == found.job_arn
    for name in ("decision", "scorecard", "manifest"):
        where, digest = getattr(found, f"{name}_uri"), getattr(found, f"{name}_sha256")
        assert where.startswith(PLACE)
        assert sha256_hex(store.objects[where]) == digest
    assert sha256_hex(heldout) == found.heldout_sha256
    json.dumps(intent.differences)


def test_a_sound_chain_is_promoted(chain: dict[str, Any]) -> None:
    whole = copy.deepcopy({"receipt": chain["receipt"], **chain["objects"]})
    store = written(whole, chain["uris"], mended=True)
    uri, heldout = chain["heldout"]
    store.objects[uri] = heldout
    found = promotion_intent(
        store, root=ROOT, workload=WORKLOAD, decision=whole["receipt"], run="d/r", owner="o"
    )
    assert found.model_arn == chain["objects"]["decision"]["model_arn"]
