"""A dataset as files: the manifest's digests, the order of writing, the verdict on its worth, the card."""

from __future__ import annotations

import json
import random

import pytest

from airflow_distill.errors import ConfigurationError, StateError
from airflow_distill.stages.dataset.build import Built, WorthQuestion, build_dataset, read_manifest
from airflow_distill.stages.dataset.card import REASONS
from airflow_distill.stages.dataset.curate import CurateSettings
from airflow_distill.stages.dataset.golden import read_golden
from airflow_distill.stages.dataset.jsonl import (
    encode_line,
    heldout_lines,
    read_examples,
    read_train,
    train_lines,
)
from airflow_distill.stages.dataset.manifest import Source
from airflow_distill.stages.dataset.profile import distance, profile_examples
from airflow_distill.stages.dataset.records import DatasetManifest, Example, Turn
from airflow_distill.stages.dataset.worth import WorthPolicy, judge_worth
from airflow_distill.stages.digest import sha256_hex
from airflow_distill.stages.logs.records import Interaction
from airflow_distill.stages.storage import MemoryStore

PLACE = "s3://bucket/distill/bank"
STUDENT = "amazon.nova-micro-v1:0:128k"
VOCABULARY = [f"word{n}" for n in range(2000)]


def traffic(count: int, seed: int = 1, team: str = "cards", words: int = 12) -> list[Interaction]:
    rng = random.Random(seed)
    prompts = [" ".join(rng.choices(VOCABULARY, k=words)) for _ in range(count)]
    tags = (("team", team),)
    return [
        Interaction(
            f"r{n}",
            "2026-11-20T00:00:00Z",
            "Converse",
            "m",
            "m",
            (Turn("user", text),),
            "fine",
            metadata=tags,
        )
        for n, text in enumerate(prompts)
    ]


def build(store: MemoryStore, rows: list[Interaction], **more: object) -> Built:
    source = Source(
        "bank",
        "amazon.nova-pro-v1:0",
        ("2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
        len(rows) + 7,
        len(rows),
        {"blank": 7},
    )
    settings = CurateSettings(salt="bank", **more.pop("settings", {}))  # type: ignore[arg-type]
    return build_dataset(store, PLACE, rows, source, settings, student=STUDENT, **more)  # type: ignore[arg-type]


def test_the_manifest_names_every_file_by_digest_and_count() -> None:
    store = MemoryStore()
    built = build(store, traffic(300))
    manifest = read_manifest(store, built.package.manifest_uri)
    assert manifest == built.package.manifest
    for file in (manifest.train, manifest.heldout, manifest.findings):
        assert file is not None
        data = store.read(file.uri)
        assert (file.bytes, file.records, file.sha256) == (len(data), data.count(b"\n"), sha256_hex(data))
    counts = manifest.counts
    assert counts["lines"] == counts["kept"] + sum(manifest.skipped.values()) == 307
    assert counts["kept"] == counts["train"] + counts["heldout"] + sum(manifest.dropped.values()) == 300


def test_held_out_examples_come_back_as_they_were() -> None:
    store = MemoryStore()
    built = build(store, traffic(300))
    lines = store.read(built.package.manifest.heldout.uri).splitlines(keepends=True)
    assert list(read_examples(lines)) == built.curated.heldout


def test_the_id_follows_content_and_settings() -> None:
    ids = {
        build(MemoryStore(), traffic(300)).package.manifest.dataset_id,
        build(MemoryStore(), traffic(300)).package.manifest.dataset_id,
        build(MemoryStore(), traffic(301)).package.manifest.dataset_id,
        build(MemoryStore(), traffic(300), settings={"heldout": 0.2}).package.manifest.dataset_id,
        build(MemoryStore(), traffic(300), settings={"balance_ratio": 5.0}).package.manifest.dataset_id,
    }
    assert len(ids) == 4


def test_the_ledger_is_written_first_and_the_manifest_last() -> None:
    """Killed at any moment, a run leaves no dataset whose held-out prompts nobody remembers, and no half manifest."""
    store = MemoryStore()
    built = build(store, traffic(300))
    order = list(store.objects)
    assert order[-1] == built.package.manifest_uri
    ledger = [n for n, uri in enumerate(order) if uri.endswith(".bin")]
    assert len(ledger) == 2
    assert max(ledger) < min(n for n, uri in enumerate(order) if "/datasets/" in uri)


def test_a_dataset_that_goes_nowhere_is_not_remembered() -> None:
    store = MemoryStore()
    assert not build(store, traffic(50)).package.accepted
    assert not [uri for uri in store.objects if uri.endswith(".bin")]


def test_the_card_speaks_in_figures_and_holds_no_prompt() -> None:
    store = MemoryStore()
    rows = traffic(300)
    built = build(store, rows)
    card = store.read(built.package.manifest_uri.replace("manifest.json", "card.md")).decode()
    assert built.package.manifest.dataset_id in card
    assert built.package.manifest.train.sha256 in card
    assert REASONS["first"] in card
    assert "metadata team = cards" in card
    assert not [row for row in rows if row.turns[0].text in card]


def test_the_card_shows_the_difference_from_the_live_models_dataset() -> None:
    store = MemoryStore()
    live = build(store, traffic(300))
    question = WorthQuestion(live_manifest_uri=live.package.manifest_uri)
    built = build(store, traffic(300, team="loans"), worth=question)
    card = store.read(built.package.manifest_uri.replace("manifest.json", "card.md")).decode()
    assert (built.worth.worth_it, built.worth.reason) == (True, "drift")
    assert built.worth.figures["new"] == 0
    assert "distance in metadata.team | 1.000" in card


def test_longer_prompts_are_drift() -> None:
    store = MemoryStore()
    live = build(store, traffic(300))
    question = WorthQuestion(
        policy=WorthPolicy(least_new=10_000), live_manifest_uri=live.package.manifest_uri
    )
    assert build(store, traffic(300, 2, words=60), worth=question).worth.reason == "drift"
    assert build(store, traffic(300, 3), worth=question).worth.reason == "little_new"


def test_a_live_dataset_without_ledger_counts_as_unknown() -> None:
    store = MemoryStore()
    live = build(store, traffic(300), remember=False)
    question = WorthQuestion(live_manifest_uri=live.package.manifest_uri)
    assert build(store, traffic(300), worth=question).worth.reason == "first"


@pytest.mark.parametrize("data", [None, b"not json", b"{}", b"[]"])
def test_a_manifest_that_cannot_be_read_is_an_error(data: bytes | None) -> None:
    store = MemoryStore()
    if data is not None:
        store.write("m.json", data)
    with pytest.raises(StateError):
        read_manifest(store, "m.json")


def test_worth_is_judged_in_this_order() -> None:
    policy = WorthPolicy(least_new=100, least_new_share=0.1, least_drift=0.2, least_saving=50)
    one = profile_examples([Example((Turn("user", "a" * n),)) for n in (10, 20, 30)])
    other = profile_examples([Example((Turn("user", "a" * n),)) for n in (1000, 2000, 3000)])
    assert judge_worth(policy, one, None, train=500).reason == "first"
    assert judge_worth(policy, one, None, train=500, saving=10).reason == "nothing_to_save"
    assert judge_worth(policy, one, one, train=500, new=100).reason == "enough_new"
    assert judge_worth(policy, one, one, train=5000, new=100).reason == "little_new"
    assert judge_worth(policy, one, other, train=500, new=0).reason == "drift"
    assert judge_worth(policy, one, one, train=0, new=0).reason == "too_few"
    assert judge_worth(policy, one, None, train=99).reason == "too_few"
    assert judge_worth(policy, one, None, train=100).reason == "first"


@pytest.mark.parametrize(
    "wrong", [{"least_new": -1}, {"least_new_share": 1.5}, {"least_drift": -0.1}], ids=str
)
def test_a_policy_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        WorthPolicy(**wrong)  # type: ignore[arg-type]


def test_the_distance_lies_between_same_and_nothing_shared() -> None:
    label = [
        Example((Turn("user", f"q{n}"),), answer=f"label {n % 2}", metadata=(("k", "a"),)) for n in range(20)
    ]
    others = [
        Example((Turn("user", f"q{n}"),), answer=f"label {n % 2 + 2}", metadata=(("k", "b"),))
        for n in range(20)
    ]
    assert set(distance(profile_examples(label), profile_examples(label)).values()) == {0.0}
    far = distance(profile_examples(label), profile_examples(others))
    assert (far["labels"], far["metadata.k"]) == (1.0, 1.0)


def test_metadata_that_names_requests_is_not_listed() -> None:
    rows = [Example((Turn("user", "a"),), metadata=(("trace", f"id{n}"),)) for n in range(300)]
    assert profile_examples(rows)["metadata"] == {"trace": {"examples": 300, "distinct": 300}}


def test_training_lines_come_back_and_keep_odd_text() -> None:
    examples = [
        Example((Turn("user", 'quotes " and \\ and \u2028 and 🙂'),), answer="yes", system="Be brief."),
        Example((Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c")), answer="d", golden=True),
        Example((Turn("user", "half a pair \ud800"),)),
    ]
    back = list(read_train(train_lines(examples, with_answers=True)))
    assert [(e.turns, e.answer, e.system) for e in back] == [(e.turns, e.answer, e.system) for e in examples]
    prompts = list(read_train(train_lines(examples, with_answers=False)))
    assert [e.answer for e in prompts] == [None, "d", None], "golden answers are always written"
    assert list(read_examples(heldout_lines(examples))) == examples


def test_golden_lines_of_either_shape_are_read_and_others_found() -> None:
    user, answer = (
        {"role": "user", "content": [{"text": "q"}]},
        {"role": "assistant", "content": [{"text": "a"}]},
    )
    lines = [
        json.dumps({"schemaVersion": "bedrock-conversation-2024", "messages": [user, answer]}).encode(),
        encode_line(Example((Turn("user", "q2"),), answer="a2").to_json()),
        b"",
        json.dumps({"schemaVersion": "bedrock-conversation-2024", "messages": [user]}).encode(),
        b"{}",
        b'{"turns": 5}',
    ]
    examples, findings = read_golden(b"\n".join(line.strip() for line in lines))
    assert [(e.answer, e.golden) for e in examples] == [("a", True), ("a2", True)]
    assert (4, "no_answer") in [(f.line, f.code) for f in findings]
    assert {f.line for f in findings} == {4, 5, 6}


def test_a_manifest_comes_back_as_it_was() -> None:
    manifest = build(MemoryStore(), traffic(200)).package.manifest
    assert DatasetManifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


def test_a_dataset_for_llama_holds_lines_of_prompt_and_completion_and_is_checked_as_such() -> None:
    store = MemoryStore()
    source = Source("bank", "t", ("2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"), 300, 300, {})
    settings = CurateSettings(salt="s", with_answers=True, form="prompt-completion", near_duplicates=None)
    student = "meta.llama3-1-8b-instruct-v1:0:128k"
    built = build_dataset(store, PLACE, traffic(300), source, settings, student=student)
    lines = [json.loads(line) for line in store.read(built.package.manifest.train.uri).splitlines()]
    assert {frozenset(line) for line in lines} == {frozenset({"prompt", "completion"})}
    assert {line["completion"] for line in lines} == {"fine"}
    assert built.package.accepted, built.package.report.counts
    assert built.package.receipt(built.worth)["form"] == "prompt-completion"
    again = [
        example.turns[0].text
        for example in read_train(store.read(built.package.manifest.train.uri).splitlines())
    ]
    assert again == [line["prompt"] for line in lines]


def test_the_form_of_conversations_names_datasets_as_before_there_was_another() -> None:
    assert "form" not in CurateSettings(salt="s").to_json()
    other = CurateSettings(salt="s", with_answers=True, form="prompt-completion").to_json()
    assert other["form"] == "prompt-completion"


def test_a_system_prompt_comes_before_the_prompt_where_the_form_has_no_place_for_it() -> None:
    example = Example((Turn("user", "Hi"),), answer="Hello", system="Be brief.")
    (line,) = train_lines([example], with_answers=True, form="prompt-completion")
    assert json.loads(line) == {"prompt": "Be brief.\n\nHi", "completion": "Hello"}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"form": "prompt-completion"}, "needs with_answers"),
        ({"form": "csv", "with_answers": True}, "form is conversation or prompt-completion"),
    ],
)
def test_a_form_that_cannot_be_written_is_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        CurateSettings(salt="s", **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("side", ["heldout", "train"])
def test_a_file_of_the_contamination_ledger_that_was_deleted_stops_every_later_run(side: str) -> None:
    """Without it, what judged an earlier release could be trained on, and the next evaluation would look better."""
    store = MemoryStore()
    first = build(store, traffic(300, seed=1)).package.manifest.dataset_id
    build(store, traffic(300, seed=2))
    key = f"{PLACE}/fingerprints/{side}/{first}.bin"
    kept = store.read(key)
    store.delete(key)
    for seed in (3, 1):
        with pytest.raises(StateError, match=f"fingerprints/{side}/{first}.bin is gone") as caught:
            build(store, traffic(300, seed=seed))
        assert "prompts that judged a release could be trained on" in caught.value.hint
    store.write(key, kept)
    assert build(store, traffic(300, seed=3)).package.manifest.dataset_id


def test_a_note_of_another_run_that_cannot_be_read_stops_nobody_else() -> None:
    store = MemoryStore()
    build(store, traffic(300, seed=1))
    build(store, traffic(300, seed=2))
    for item in list(store.iter_objects(f"{PLACE}/fingerprints/used/")):
        store.write(item.uri, b"{" * 5000)
    assert build(store, traffic(300, seed=3)).package.manifest.dataset_id
