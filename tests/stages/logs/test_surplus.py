"""The parts of a harvest leave out what is outside the whole sample, and never anything that is in it."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.errors import LogFormatError
from airflow_distill.stages.dataset.redact import Redaction
from airflow_distill.stages.logs import surplus as surplus_module
from airflow_distill.stages.logs.harvest import Harvest, ShardTask, harvest_logs, read_harvest
from airflow_distill.stages.logs.sample import ANSWER_RULES
from airflow_distill.stages.logs.selection import Selection, Window
from airflow_distill.stages.logs.source import Shard, cut_shards, iter_log_objects
from airflow_distill.stages.logs.surplus import Surplus, bounds_folder, forget_bounds
from airflow_distill.stages.storage import MemoryStore
from tests.stages.logs.log_records import MODEL, key_of, record, store_of

WINDOW = Window.parse("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")
SELECTION = Selection(model=MODEL, window=WINDOW)
LOGS = "s3://logs/p"
NOTES = "s3://goods/w/bounds/x"


def logs(count: int, objects: int, *, distinct: int, seed: int = 1) -> MemoryStore:
    """Return a store with records in so many log objects; every prompt may be asked again in any of them."""
    rng = random.Random(seed)
    records = [
        record(
            f"question {rng.randrange(distinct)}",
            f"answer {rng.randrange(3)}",
            request_id=f"r{number}",
            timestamp=f"2026-11-20T10:{rng.randrange(60):02d}:00Z",
        )
        for number in range(count)
    ]
    return store_of({key_of("2026/11/20", 10, n): records[n::objects] for n in range(objects)})


def shards_of(store: MemoryStore, most: int) -> list[Shard]:
    return cut_shards(iter_log_objects(store, LOGS, WINDOW), most)


def save(store: MemoryStore, task: ShardTask, shard: Shard, folder: str = NOTES) -> Harvest:
    """Do what a mapped task does: read, leave out, save."""
    part = task.run(store, shard, surplus=Surplus(store, folder, shard.name))
    part.save(store, f"s3://goods/parts/{shard.name}")
    return part


def merged(store: MemoryStore) -> Harvest:
    return read_harvest(store, [item.uri for item in store.iter_objects("s3://goods/parts/")])


@pytest.mark.parametrize("rule", ANSWER_RULES)
@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    objects=st.integers(2, 9),
    limit=st.integers(1, 60),
    distinct=st.sampled_from([5, 60, 400]),
    at_once=st.integers(1, 4),
    mark=st.sampled_from([1, 400, 10**9]),
)
def test_parts_read_in_any_order_and_at_once_give_the_bytes_of_one_process(
    rule: str, seed: int, objects: int, limit: int, distinct: int, at_once: int, mark: int
) -> None:
    store = logs(200, objects, distinct=distinct, seed=seed)
    task = ShardTask(SELECTION, "salt", limit, rule, Redaction())
    whole = harvest_logs(
        store, LOGS, SELECTION, salt="salt", limit=limit, answer_rule=rule, redact=Redaction()
    )
    shards = shards_of(store, objects)
    random.Random(seed).shuffle(shards)
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(at_once) as pool:
        patch.setattr(surplus_module, "FIRST_MARK", mark)
        list(pool.map(lambda shard: save(store, task, shard), shards))
    assert merged(store).to_bytes() == whole.to_bytes()


def test_sixteen_parts_save_little_more_than_one_would() -> None:
    """Of n parts of equal size the j-th saves about a j-th of the limit."""
    store = logs(3200, 16, distinct=100_000)
    task = ShardTask(SELECTION, "salt", 150)
    saved = [len(save(store, task, shard)) for shard in shards_of(store, 16)]
    assert saved[0] == 150
    assert sum(saved) < 4 * 150 < 16 * 150
    assert saved[-1] < 30
    assert merged(store).counts.kept == 150


def test_a_late_part_does_not_even_parse_what_is_outside_the_sample() -> None:
    store = logs(3200, 16, distinct=100_000)
    task = ShardTask(SELECTION, "salt", 150)
    *early, last = shards_of(store, 16)
    for shard in early:
        save(store, task, shard)
    part = save(store, task, last)
    assert part.sample.spooled_bytes < 30 * 1000
    assert part.lines == 200
    assert part.counts.lines == part.counts.kept + sum(part.counts.skipped.values())


def test_a_part_that_runs_again_after_the_others_changes_nothing() -> None:
    store = logs(400, 4, distinct=100_000)
    task = ShardTask(SELECTION, "salt", 40)
    shards = shards_of(store, 4)
    for shard in shards:
        save(store, task, shard)
    before = merged(store).to_bytes()
    first = len(store.objects["s3://goods/parts/0000-of-0004"])
    save(store, task, shards[0])
    assert len(store.objects["s3://goods/parts/0000-of-0004"]) < first
    assert merged(store).to_bytes() == before


def test_a_merge_that_lacks_a_part_is_refused_and_not_short() -> None:
    store = logs(400, 4, distinct=100_000)
    task = ShardTask(SELECTION, "salt", 40)
    for shard in shards_of(store, 4):
        save(store, task, shard)
    del store.objects["s3://goods/parts/0000-of-0004"]
    with pytest.raises(LogFormatError, match="do not make up one harvest"):
        merged(store)


@pytest.mark.parametrize("count", [1, 40])
def test_a_note_that_lies_is_found_out_by_the_merge(count: int) -> None:
    """Whoever may write to the bucket could make parts leave out prompts; the run then fails instead of buying less."""
    store = logs(400, 4, distinct=100_000)
    task = ShardTask(SELECTION, "salt", count)
    store.write(f"{NOTES}/0000000000000000-forged", b"".join(n.to_bytes(8, "big") for n in range(count)))
    for shard in shards_of(store, 4):
        save(store, task, shard)
    with pytest.raises(LogFormatError, match="clear the planning task"):
        merged(store)


@pytest.mark.parametrize(
    "data", [b"", b"short", b"x" * 8 * 41, b"\xff" * 8 * 40], ids=["empty", "odd", "long", "high"]
)
def test_what_is_no_note_is_passed_over(data: bytes) -> None:
    store = logs(400, 4, distinct=100_000)
    store.write(f"{NOTES}/0000000000000000-noise", data)
    whole = harvest_logs(store, LOGS, SELECTION, salt="salt", limit=40)
    for shard in shards_of(store, 4):
        save(store, ShardTask(SELECTION, "salt", 40), shard)
    assert merged(store).to_bytes() == whole.to_bytes()


def test_a_note_that_goes_while_others_are_read_is_passed_over() -> None:
    class Vanishing(MemoryStore):
        def iter_objects(self, prefix: str) -> Any:
            found = list(super().iter_objects(prefix))
            if "/bounds/" in prefix:
                for item in found:
                    self.delete(item.uri)
            return iter(found)

    store = Vanishing()
    store.objects.update(logs(400, 4, distinct=100_000).objects)
    for shard in shards_of(store, 4):
        save(store, ShardTask(SELECTION, "salt", 40), shard)
    assert merged(store).counts.kept == 40


def test_parts_with_other_settings_have_a_folder_of_their_own() -> None:
    task = ShardTask(SELECTION, "salt", 40)
    others = [
        ShardTask(SELECTION, "pepper", 40),
        ShardTask(SELECTION, "salt", 41),
        ShardTask(SELECTION, "salt", 40, redact=Redaction()),
        ShardTask(Selection(model=MODEL), "salt", 40),
        ShardTask(SELECTION, "salt", 40, "first"),
    ]
    folders = [bounds_folder("s3://goods/w", ["plan", *each.settings()]) for each in (task, *others)]
    folders.append(bounds_folder("s3://goods/w", ["another plan", *task.settings()]))
    assert len(set(folders)) == len(folders)
    assert bounds_folder("s3://goods/w", ["plan", *ShardTask(SELECTION, "salt", 40).settings()]) == folders[0]


def test_the_notes_of_a_window_are_removed_and_nothing_else() -> None:
    store = MemoryStore()
    kept = ["s3://goods/w/harvest.jsonl.gz", "s3://goods/w/bounds.txt", "s3://goods/w2/bounds/x/1"]
    for uri in (*kept, f"{NOTES}/1", f"{NOTES}/2"):
        store.write(uri, b"")
    forget_bounds(store, "s3://goods/w")
    assert sorted(store.objects) == sorted(kept)
