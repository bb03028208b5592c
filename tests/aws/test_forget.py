"""One person is forgotten: nothing of theirs is left under the root, they stay out, and `verify` still holds."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.aws.forget import Receipt, Wish, forget, forgotten_changes
from airflow_distill.aws.verify import verify_workload
from airflow_distill.cli.main import main
from airflow_distill.errors import ConfigurationError, StateError
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.dataset.build import build_dataset
from airflow_distill.stages.dataset.curate import CurateSettings
from airflow_distill.stages.dataset.fingerprints import open_fingerprints
from airflow_distill.stages.dataset.manifest import Source
from airflow_distill.stages.digest import canonical_json, prompt_digest
from airflow_distill.stages.evaluation.collect import write_answers
from airflow_distill.stages.evaluation.records import Answer
from airflow_distill.stages.forgotten import Tombstones, read_tombstones, tombstones_uri
from airflow_distill.stages.logs.harvest import Harvest, harvest_logs
from airflow_distill.stages.logs.selection import Selection
from airflow_distill.stages.storage import LocalStore, MemoryStore, ObjectStore, StoredObject
from tests.pages import run_page
from tests.release_world import ReleaseWorld

TEACHER, ROOT, WORKLOAD = "amazon.nova-pro-v1:0", "s3://bucket/loop", "tickets"
PLACE = f"{ROOT}/{WORKLOAD}"
NOW = datetime(2026, 12, 1, tzinfo=UTC)
NEEDLE, SUBJECT = "zebrafish", "c-1042"
WISH = Wish(subjects=(("customer", SUBJECT),))
WORDS = [f"word{n}" for n in range(400)]


def record(week: int, number: int) -> dict[str, Any]:
    """A call of one of many customers; every fortieth is the person's, who writes of zebrafish."""
    own = number % 40 == 7
    text = " ".join(WORDS[(number * 7 + week * 13 + k * (number % 11 + 1)) % 400] for k in range(14))
    if own:
        text += f" and my {NEEDLE} number {week}-{number}"
    at = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=7 * week, minutes=number)
    return {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "requestId": f"r{week}-{number}",
        "operation": "Converse",
        "modelId": TEACHER,
        "requestMetadata": {"app": "desk", "customer": SUBJECT if own else f"o-{number % 9}"},
        "input": {"inputBodyJson": {"messages": [{"role": "user", "content": [{"text": text}]}]}},
        "output": {
            "outputBodyJson": {
                "output": {"message": {"role": "assistant", "content": [{"text": f"queue {number % 5}"}]}},
                "stopReason": "end_turn",
            }
        },
    }


def week_of_logs(folder: Path, week: int) -> str:
    path = folder / f"week{week}.jsonl"
    path.write_text("".join(json.dumps(record(week, n)) + "\n" for n in range(240)))
    return str(path)


def harvest_of(folder: Path, week: int, forgotten: Tombstones | None = None) -> Harvest:
    return harvest_logs(
        LocalStore(), week_of_logs(folder, week), Selection(model=TEACHER), salt="s", forgotten=forgotten
    )


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    """Five weekly windows with their datasets, answers, scorecards and reports; the person is in all of them."""
    store = MemoryStore()
    for week in range(5):
        harvest = harvest_of(tmp_path, week)
        store.write(f"{PLACE}/windows/w{week}/harvest.jsonl.gz", harvest.to_bytes())
        built = build_dataset(
            store,
            PLACE,
            harvest.interactions(),
            Source(
                workload=WORKLOAD,
                teacher=TEACHER,
                window=("", ""),
                lines=240,
                kept=len(harvest),
                skipped=harvest.counts.skipped,
            ),
            CurateSettings(salt="s", heldout=0.3, near_duplicates=None),
            student="amazon.nova-micro-v1:0:128k",
        )
        heldout = built.package.receipt(built.worth)["heldout_uri"]
        judged = [json.loads(line) for line in store.read(heldout).splitlines()]
        answers = [Answer(row["id"], "student", "m", f"queue; {row['turns'][-1][1]}") for row in judged]
        folder = f"{PLACE}/evaluations/e{week}"
        store.write(f"{folder}/answers/student.jsonl", write_answers(answers))
        store.write(f"{PLACE}/evaluations/cache/m/{week}.jsonl", write_answers(answers))
        card = {
            "slices": [{"slice": f"customer={SUBJECT}", "n": 3}, {"slice": "customer=o-1", "n": 9}],
            "regressions": [{"example_id": row["id"], "score": 0.0} for row in judged],
        }
        store.write(f"{folder}/scorecard.json", canonical_json(card))
        page = "<p>" + "</p><p>".join(row["turns"][-1][1] for row in judged) + "</p>"
        store.write(f"{PLACE}/reports/r{week}.html", page.encode())
    return store


def found_in(store: ObjectStore, *needles: str) -> set[tuple[str, str]]:
    """Search every byte under the root, packed objects too."""
    found = set()
    for item in store.iter_objects(ROOT):
        data = store.read(item.uri)
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        found |= {(item.uri, needle) for needle in needles if needle.encode() in data}
    return found


def erase(store: ObjectStore, wish: Wish = WISH, *, perform: bool = True) -> Receipt:
    return forget(None, store, ROOT, WORKLOAD, wish, now=NOW, perform=perform)


def test_a_byte_search_over_the_root_finds_nothing(store: MemoryStore) -> None:
    assert len({uri for uri, _ in found_in(store, NEEDLE, SUBJECT)}) > 20, (
        "the world of this test holds the person"
    )
    receipt = erase(store)
    assert found_in(store, NEEDLE, SUBJECT) == set()
    assert len(receipt.datasets) == 5
    assert SUBJECT not in json.dumps(receipt.to_json())


def test_everybody_else_stays(store: MemoryStore) -> None:
    before = {
        uri: data for uri, data in store.objects.items() if "/train.jsonl" in uri or "/heldout.jsonl" in uri
    }
    erase(store)
    for uri, data in before.items():
        others = [line for line in data.splitlines() if NEEDLE.encode() not in line]
        assert store.read(uri).splitlines() == others


def test_the_windows_still_add_up(store: MemoryStore) -> None:
    erase(store)
    for week in range(5):
        counts = Harvest.from_bytes(store.read(f"{PLACE}/windows/w{week}/harvest.jsonl.gz")).counts
        assert counts.lines == counts.kept + sum(counts.skipped.values())
        assert counts.skipped["forgotten"] == 6


def test_fingerprints_of_the_person_leave_the_ledger(store: MemoryStore) -> None:
    ledgers = [uri for uri in store.objects if "/fingerprints/" in uri and uri.endswith(".bin")]

    def entries() -> int:
        return sum(len(list(open_fingerprints(store.open(uri)).fingerprints)) for uri in ledgers)

    before = entries()
    erase(store)
    assert before - entries() == 5 * 6 if ledgers else True


def test_a_later_harvest_over_the_same_logs_keeps_the_person_out(store: MemoryStore, tmp_path: Path) -> None:
    erase(store)
    stones = read_tombstones(store, ROOT, WORKLOAD)
    assert stones is not None
    again = harvest_of(tmp_path, 2, stones)
    assert NEEDLE not in gzip.decompress(again.to_bytes()).decode()
    assert again.counts.skipped["forgotten"] == 6
    assert again.counts.lines == again.counts.kept + sum(again.counts.skipped.values())


def test_a_prompt_is_kept_out_however_it_is_spaced(store: MemoryStore, tmp_path: Path) -> None:
    text = record(1, 3)["input"]["inputBodyJson"]["messages"][0]["content"][0]["text"]
    erase(store, Wish(prompts=((("user", f"  {text.upper()} "),),)))
    stones = read_tombstones(store, ROOT, WORKLOAD)
    again = harvest_of(tmp_path, 1, stones)
    assert again.counts.skipped["forgotten"] == 1
    assert found_in(store, text) == set()


class KilledError(BaseException):
    """The process died here."""


class Dying:
    """A store that dies at the n-th change, before or after it."""

    def __init__(self, store: MemoryStore, at: int, after: bool) -> None:
        self.store, self.left, self.after = store, at, after

    def _change(self, act: Any) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise KilledError
        act()
        if self.left == 0:
            raise KilledError

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
        self._change(lambda: self.store.write(uri, data, if_absent=if_absent))

    def delete(self, uri: str) -> None:
        self._change(lambda: self.store.delete(uri))

    def iter_objects(self, prefix: str) -> Iterator[StoredObject]:
        return iter(list(self.store.iter_objects(prefix)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def test_killed_at_every_step_it_goes_on(store: MemoryStore) -> None:
    """Killed after a few changes, before or after one of them, each time run again: the end is the same."""
    deaths, receipt = 0, None
    while receipt is None:
        try:
            receipt = erase(Dying(store, 3 + deaths % 3, after=bool(deaths % 2)))  # type: ignore[arg-type]
        except KilledError:
            deaths += 1
    assert deaths >= 20
    assert found_in(store, NEEDLE, SUBJECT) == set()
    assert len(receipt.datasets) == 5
    for change in receipt.changes:
        gone = change.uri not in store.objects
        assert gone == (change.after == "")
    assert {c.uri for c in receipt.changes} == set(forgotten_changes(store, ROOT, WORKLOAD))


def test_without_a_yes_nothing_is_changed(store: MemoryStore) -> None:
    before = dict(store.objects)
    receipt = erase(store, perform=False)
    assert store.objects == before
    assert len(receipt.changes) > 20


def test_a_second_time_there_is_nothing_to_do(store: MemoryStore) -> None:
    first = erase(store)
    held = {uri: data for uri, data in store.objects.items() if "/receipt.json" not in uri}
    second = erase(store)
    assert {uri: data for uri, data in store.objects.items() if "/receipt.json" not in uri} == held
    assert second.changes == first.changes


def test_the_tombstones_do_not_name_the_person(store: MemoryStore) -> None:
    erase(store)
    raw = store.read(tombstones_uri(ROOT, WORKLOAD)).decode()
    assert SUBJECT not in raw
    stones = Tombstones.from_bytes(raw.encode())
    assert stones.cover_metadata({"customer": SUBJECT})
    assert not stones.cover_metadata({"customer": "o-1", "other": SUBJECT})


def test_damaged_tombstones_stop_the_harvest(store: MemoryStore) -> None:
    store.write(tombstones_uri(ROOT, WORKLOAD), b"{")
    with pytest.raises(StateError):
        read_tombstones(store, ROOT, WORKLOAD)


def test_nobody_named_is_an_error() -> None:
    with pytest.raises(ConfigurationError):
        Wish()


# --- with releases ---------------------------------------------------------------------------------------------------


@pytest.fixture
def world(bedrock_environment: Sandbox) -> ReleaseWorld:
    world = ReleaseWorld(bedrock_environment)
    world.promote(world.model("first"))
    return world


def test_verify_holds_after_forgetting_and_says_what_it_relied_on(world: ReleaseWorld) -> None:
    judged = [("user", "Ticket number 3")]
    wish = Wish(prompts=(tuple(judged),))
    assert not verify_workload(world.gateways, world.store, world.root, world.workload).broken
    receipt = forget(
        world.gateways, world.store, world.root, world.workload, wish, now=NOW, perform=True, logs="s3://logs"
    )
    assert [c.uri.rpartition("/")[2] for c in receipt.changes] == ["heldout.jsonl"]
    assert receipt.datasets == (world.dataset_id,)
    found = verify_workload(world.gateways, world.store, world.root, world.workload)
    assert not found.broken
    assert any("forgotten" in line for line in found.unseen)
    assert prompt_digest(None, tuple(judged)) not in world.store.read(receipt.changes[0].uri).decode()


def test_verify_still_names_what_was_tampered_with_afterwards(world: ReleaseWorld) -> None:
    wish = Wish(prompts=((("user", "Ticket number 3"),),))
    receipt = forget(world.gateways, world.store, world.root, world.workload, wish, now=NOW, perform=True)
    uri = receipt.changes[0].uri
    world.store.write(uri, world.store.read(uri) + b"{}\n")
    assert verify_workload(world.gateways, world.store, world.root, world.workload).broken


def test_models_that_were_trained_on_the_person_are_named(world: ReleaseWorld) -> None:
    bedrock = world.client("bedrock")
    arn = world.model("second")
    bedrock.tag_resource(
        resourceARN=arn, tags=[{"key": "airflow-distill:dataset", "value": world.dataset_id}]
    )
    wish = Wish(prompts=((("user", "Ticket number 3"),),))
    receipt = forget(world.gateways, world.store, world.root, world.workload, wish, now=NOW, perform=False)
    assert arn in receipt.models


def test_the_guides_commands_run(
    world: ReleaseWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "distill").mkdir()
    (tmp_path / "distill/support_tickets.yaml").write_text(
        f"owner: support\nteacher: {TEACHER}\nstudent: amazon.nova-micro-v1:0:128k\nroot: {world.root}\n"
        "role_arn: arn:aws:iam::123456789012:role/distill\nlogs: {location: s3://distill-sandbox/logs}\n"
        "budget: {usd_per_run: 50}\n"
    )
    (tmp_path / "prompts.txt").write_text("Ticket number 3\n")
    assert run_page("forget.md", tmp_path, monkeypatch) == [0, 0, 1, 0, 0]
    assert main(["forget", "--workload", "distill/support_tickets.yaml", "--subject", "nothing"]) == 2
