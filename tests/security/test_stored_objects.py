"""What lies in the bucket may have been edited: reading it gives a record or one of our errors, and nothing else."""

from __future__ import annotations

import contextlib
import copy
import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.aws.evidence import load_manifest, load_scorecard, load_scores
from airflow_distill.aws.promotion import heldout_reader
from airflow_distill.errors import DeploymentError, DistillError
from airflow_distill.stages.dataset.build import read_manifest
from airflow_distill.stages.dataset.records import DatasetFile, DatasetManifest, Example, Turn
from airflow_distill.stages.decision.record import read_record
from airflow_distill.stages.deployment.ledger import Ledger, encode
from airflow_distill.stages.deployment.probes import read_heldout
from airflow_distill.stages.deployment.records import Evidence, HostSpec, Outcome, Release, Target
from airflow_distill.stages.deployment.verify import Looks, render_verification, verify
from airflow_distill.stages.digest import record_of, sha256_hex
from airflow_distill.stages.evaluation.collect import read_answers, read_examples
from airflow_distill.stages.evaluation.compare import score_answers
from airflow_distill.stages.evaluation.records import Answer, Score
from airflow_distill.stages.evaluation.scorers.registry import make_scorers
from airflow_distill.stages.logs.plan import HarvestPlan, read_plan
from airflow_distill.stages.logs.reader import new_harvest
from airflow_distill.stages.logs.records import Interaction
from airflow_distill.stages.logs.selection import Selection, Window
from airflow_distill.stages.logs.shard_file import Harvest
from airflow_distill.stages.logs.source import cut_shards
from airflow_distill.stages.money.prices import PriceTable
from airflow_distill.stages.storage import MemoryStore, ObjectMissingError, StoredObject
from tests.security.cases import SEEN

FILE = DatasetFile("s3://b/loop/w/datasets/d/train.jsonl", 1, 1, "")
MANIFEST = DatasetManifest(
    "d", "w", "t", "s", "a", "b", FILE, FILE, None, False, {"lines": 1, "kept": 1, "train": 1, "heldout": 0},
    {}, {}, {}, {},
).to_json()  # fmt: skip
EXAMPLE = Example((Turn("user", "hi"),), answer="x", system="s", metadata=(("a", "b"),))
ANSWER = Answer(EXAMPLE.id, "student", "m", text="x", stop_reason="end_turn")
PLAN = HarvestPlan(
    Window.parse("2026-11-01", "2026-11-02"), tuple(cut_shards([StoredObject("s3://b/x", 5)], 2))
).to_json()
CARD = score_answers(
    [EXAMPLE], [ANSWER], make_scorers(["exact"]), workload="w", dataset_id="d", heldout_sha256="h"
).to_json()

LEDGER = Ledger(MemoryStore(), "s3://b/loop", "w")
RELEASE = Release(
    "w", 1, "promote", "c" * 32, "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z", "d/r", "me",
    Target("arn:m", "amazon.nova-micro-v1:0", HostSpec("custom-model-deployment", "h")), None, "", ("ok",),
    Evidence(decision_uri="s3://b/d.json", decision_sha256="0" * 64, manifest_uri="s3://b/m.json"),
).to_json()  # fmt: skip
OUTCOME = Outcome(
    1, "released", "2026-11-20T01:00:00Z", ("x",), "custom-model-deployment", "arn:h", "arn:m", "0" * 64
).to_json()
KEPT = {
    "prompt": "0" * 32, "count": 1, "order": ["2026-11-20T00:00:00Z", "r"],
    "interaction": Interaction("r", "2026-11-20T00:00:00Z", "Converse", "m", "m", (Turn("user", "hi"),), "yo").to_json(),
}  # fmt: skip


def verified(entry: bytes, outcome: bytes) -> str:
    """Read a ledger of one release as far as it goes, verify it, and say so in words."""
    store = MemoryStore()
    ledger = Ledger(store, LEDGER.root, LEDGER.workload)
    store.objects[ledger.uri(1)], store.objects[ledger.uri(1, "outcome")] = entry, outcome
    with contextlib.suppress(DistillError):
        ledger.read().live()
    looks = Looks(lambda uri: None, lambda arn: {}, lambda arn: {}, lambda kind, arn: None, lambda: None)
    found = verify("w", ledger.survey(), looks, every_release=True)
    json.dumps(found.to_json())
    return render_verification(found)


def interactions_of(line: bytes) -> list[Interaction]:
    """Read a shard file of one prompt."""
    header = gzip.decompress(new_harvest(Selection(), "s").to_bytes())
    return list(Harvest.from_bytes(gzip.compress(header + line + b"\n")).interactions())


def prompts_of(manifest: bytes) -> tuple[Example, ...]:
    """Read the held-out prompts of a release, whose entry names this manifest with the digest that it has."""
    store = MemoryStore()
    uri = "s3://b/loop/w/datasets/d/manifest.json"
    line = json.dumps(EXAMPLE.to_json()).encode()
    store.objects |= {
        uri: manifest,
        FILE.uri: line,
        ELSEWHERE: line,
        "s3://other/x": line,
        "/etc/passwd": line,
    }
    return heldout_reader(store, Evidence(manifest_uri=uri, manifest_sha256=sha256_hex(manifest)))()


ELSEWHERE = "s3://b/loop/other/datasets/d/heldout.jsonl"
LEAVES = [
    None, True, 0, -1, 1.5, 1e308, 2**64, "", " ", "\x00", "\ud800", [], {}, [None], {"a": 1}, "../../x",
    "s3://other/x", "/etc/passwd", "2026-13-01", "9" * 30, [[["x"]]], "promote",
]  # fmt: skip


def readers(raw: bytes) -> dict[str, tuple[Any, Callable[[], Any]]]:
    """Return, for each kind of object, a sound one and what reads these bytes as one."""
    store = MemoryStore()
    store.objects["u"] = raw
    receipt = {"manifest_uri": "u", "scores_uri": "u", "scorecard_uri": "u"}
    return {
        "example": (EXAMPLE.to_json(), lambda: [e.id for e in read_examples(raw)]),
        "held-out prompt": (EXAMPLE.to_json(), lambda: [e.id for e in read_heldout(raw, "", "u")]),
        "answer": (ANSWER.to_json(), lambda: list(read_answers(raw))),
        "manifest": (MANIFEST, lambda: read_manifest(store, "u").to_json()),
        "manifest of a release": (MANIFEST, lambda: prompts_of(raw)),
        "manifest of a receipt": (MANIFEST, lambda: load_manifest(store, receipt).to_json()),
        "scorecard": (CARD, lambda: load_scorecard(store, receipt)),
        "score": (Score("e", "student", "m", 0.5).to_json(), lambda: load_scores(store, [receipt])),
        "plan": (PLAN, lambda: read_plan(store, "u").to_bytes()),
        "decision": ({"outcome": "promote", "verdict": {}}, lambda: read_record(store, "u")),
        "ledger entry": (RELEASE, lambda: verified(raw, encode(OUTCOME))),
        "ledger outcome": (OUTCOME, lambda: verified(encode(RELEASE), raw)),
        "shard file": (KEPT, lambda: interactions_of(raw)),
        "prices": (PriceTable.load().to_json(), lambda: record_of(raw, PriceTable.from_json)),
    }


KINDS = sorted(readers(b""))


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*at, key))


@st.composite
def edited(draw: st.DrawFn, sound: Any) -> bytes:
    """A sound object with up to three values replaced, taken out or wrapped, or with bytes that are no JSON."""
    value = copy.deepcopy(sound)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from(list(places(value))))
        if not at:
            value = copy.deepcopy(draw(st.sampled_from([value, *LEAVES])))
            continue
        holder = value
        for key in at[:-1]:
            holder = holder[key]
        what = draw(st.sampled_from(["replace", "replace", "remove", "wrap"]))
        if what == "remove" and isinstance(holder, dict):
            holder.pop(at[-1])
        elif what == "wrap":
            holder[at[-1]] = [holder[at[-1]]]
        else:
            holder[at[-1]] = copy.deepcopy(draw(st.sampled_from(LEAVES)))
    raw = json.dumps(value).encode()
    odd = draw(st.sampled_from([None] * 12 + ["cut", "bytes", "deep", "digits", "NaN", "empty"]))
    return {
        None: raw,
        "cut": raw[: len(raw) // 2],
        "bytes": b"\xff" + raw,
        "deep": b"[" * 100_000,
        "digits": raw.replace(b":", b":" + b"9" * 5_000 + b',"x":', 1),
        "NaN": raw.replace(b"1", b"NaN", 1),
        "empty": b"",
    }[odd]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_an_edited_object_is_a_record_or_one_of_our_errors(kind: str, data: st.DataObject) -> None:
    raw = data.draw(edited(readers(b"")[kind][0]))
    SEEN[f"stored objects: {kind}"] += 1
    ours = (DistillError, ObjectMissingError, *((ValueError,) if kind == "prices" else ()))
    with contextlib.suppress(
        *ours
    ):  # prices are read by `record_of` itself here, whose error is a ValueError
        readers(raw)[kind][1]()


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_object_is_read(kind: str) -> None:
    if kind == "decision":
        pytest.skip("needs a whole record; the decision's own tests read one")
    sound = readers(b"")[kind][0]
    assert readers(json.dumps(sound).encode())[kind][1]() is not None


@pytest.mark.parametrize(
    "elsewhere", [ELSEWHERE, "s3://other/x", "/etc/passwd", "s3://b/loop/wide/datasets/d/x", ""]
)
def test_a_forged_manifest_leads_to_no_file_of_others(elsewhere: str) -> None:
    """What a held-out file holds is sent to a host as prompts, so it may only be the workload's own."""
    forged = {**MANIFEST, "heldout": {**MANIFEST["heldout"], "uri": elsewhere, "sha256": ""}}
    with pytest.raises(DeploymentError, match="is not under s3://b/loop/w/"):
        prompts_of(json.dumps(forged).encode())


def test_a_record_tells_nothing_of_what_it_could_not_read() -> None:
    with pytest.raises(ValueError, match="not the record it should be") as caught:
        record_of(b'{"turns": [["user", {"secret": 1}]]}', Example.from_json)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_compressed_object_is_no_record() -> None:
    with pytest.raises(ValueError, match="not the record"):
        record_of(gzip.compress(b"{}"), dict)
