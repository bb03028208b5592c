"""A harvest accounts for every line and is the same to the byte however it is cut, ordered or repeated."""

from __future__ import annotations

import gzip
import io
import json
import random
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.errors import ConfigurationError, LogFormatError, ServiceUnavailableError
from airflow_distill.stages.dataset.redact import Redaction
from airflow_distill.stages.logs.harvest import (
    Harvest,
    Redact,
    ShardTask,
    harvest_logs,
    read_harvest,
    salt_digest,
)
from airflow_distill.stages.logs.metadata import MetadataFilter
from airflow_distill.stages.logs.plan import HarvestPlan, read_plan, shard_of, write_plan
from airflow_distill.stages.logs.sample import ANSWER_RULES
from airflow_distill.stages.logs.selection import Selection, Window
from airflow_distill.stages.logs.shard_file import LONGEST_KEPT
from airflow_distill.stages.logs.source import cut_shards, iter_log_objects
from airflow_distill.stages.storage import LocalStore, MemoryStore
from tests.stages.logs.log_records import MODEL, key_of, line_of, record, store_of

WINDOW = Window.parse("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")
SELECTION = Selection(model=MODEL, window=WINDOW, metadata=MetadataFilter.equals("app", "support"))
LOGS = "s3://logs/p"


def traffic(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Return records of which some are asked again, fail, or belong to others."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        changes: dict[str, Any] = {}
        chance = rng.random()
        if chance < 0.1:
            changes["requestMetadata"] = {"app": "claims"}
        elif chance < 0.15:
            changes["modelId"] = "amazon.nova-lite-v1:0"
        elif chance < 0.2:
            changes["errorCode"] = "ThrottlingException"
        elif chance < 0.25:
            changes["timestamp"] = "2026-11-19T23:59:59Z"
        prompt = f"question {rng.randint(0, count // 2)}"
        stamp = f"2026-11-20T10:{rng.randint(0, 59):02d}:00Z"
        found.append(
            record(prompt, f"answer {number}", request_id=f"r{number}", **{"timestamp": stamp, **changes})
        )
    return found


def named(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Let every fifth record name addresses, so that answers which differ as they were logged are equal when redacted."""
    for number, each in enumerate(records):
        if number % 5 == 0:
            address = f"{'ab'[number % 2]}@example.com"
            body = {"message": {"role": "assistant", "content": [{"text": f"Write to {address}"}]}}
            each["output"] = {"outputBodyJson": {"output": body, "stopReason": "end_turn"}}
    return records


def spread(records: list[dict[str, Any]], objects: int) -> MemoryStore:
    """Return a store with the records dealt out to so many log objects."""
    return store_of({key_of("2026/11/20", 10, n): records[n::objects] for n in range(objects)})


def harvest(store: Any, **changes: Any) -> Harvest:
    settings_ = {"salt": "salt", "limit": 40, **changes}
    return harvest_logs(store, LOGS, settings_.pop("selection", SELECTION), **settings_)


def adds_up(found: Harvest) -> None:
    counts = found.counts
    assert counts.lines == counts.kept + sum(counts.skipped.values())
    assert counts.kept == len(found) == len(list(found.interactions()))


def test_every_line_is_kept_or_counted_under_a_reason() -> None:
    found = harvest(spread(traffic(400), 5))
    adds_up(found)
    assert found.counts.lines == 400
    assert found.counts.kept == 40
    assert set(found.counts.skipped) == {
        "other_traffic",
        "failed_call",
        "outside_window",
        "duplicate",
        "out_of_sample",
    }
    assert found.counts.objects == {"read": 5}


@pytest.mark.parametrize("redact", [None, Redaction()], ids=["as logged", "redacted"])
@pytest.mark.parametrize("rule", ANSWER_RULES)
@pytest.mark.parametrize("limit", [3, 40, 1000])
def test_one_shard_and_sixty_four_give_the_same_bytes(rule: str, limit: int, redact: Redact | None) -> None:
    store = spread(named(traffic(600)), 64)
    whole = harvest(store, limit=limit, answer_rule=rule, redact=redact)
    spells_them_out = b"@example.com" in gzip.decompress(whole.to_bytes())
    assert spells_them_out == (redact is None) or limit == 3
    assert not (spells_them_out and redact)
    task = ShardTask(SELECTION, "salt", limit, rule, redact)
    shards = cut_shards(iter_log_objects(store, LOGS, WINDOW), 64)
    assert len(shards) == 64
    uris = []
    for shard in random.Random(3).sample(shards, 64):
        uris.append(f"s3://root/{shard.name}")
        store.write(uris[-1], task.run(store, shard).to_bytes())
    merged = read_harvest(store, uris)
    assert merged.to_bytes() == whole.to_bytes()
    adds_up(merged)
    assert read_harvest(store, uris[::-1] + uris).to_bytes() == whole.to_bytes()


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), objects=st.integers(1, 9), limit=st.integers(1, 60))
def test_a_second_run_over_records_in_another_order_gives_the_same_interactions(
    seed: int, objects: int, limit: int
) -> None:
    records = traffic(80, seed)
    first = harvest(spread(records, objects), limit=limit)
    again = harvest(spread(records, objects), limit=limit)
    assert first.to_bytes() == again.to_bytes()
    random.Random(seed).shuffle(records)
    other = harvest(spread(records, 3), limit=limit)
    assert list(other.interactions()) == list(first.interactions())
    assert other.counts.skipped == first.counts.skipped
    adds_up(first)


def test_a_shard_file_reads_back_as_it_was() -> None:
    found = harvest(spread(traffic(200), 2), answer_rule="most_frequent")
    again = Harvest.from_bytes(found.to_bytes())
    assert again.to_bytes() == found.to_bytes()
    assert again.counts == found.counts
    assert list(again.interactions()) == list(found.interactions())
    assert list(again.occurrences()) == list(found.occurrences())
    assert again.settings["salt_digest"] == salt_digest("salt")


def test_a_shard_file_is_lines_of_json_that_anybody_can_read() -> None:
    header, *lines = gzip.decompress(harvest(spread(traffic(50), 1)).to_bytes()).splitlines()
    assert json.loads(header)["kind"] == "harvest-shard"
    assert all(json.loads(line)["interaction"]["v"] == 2 for line in lines)


@pytest.mark.parametrize(
    "data",
    [b"", b"text", *(gzip.compress(lines, mtime=0) for lines in (b"", b"[]\n", b'{"kind":"x","v":1}\n'))],
    ids=["nothing", "text", "empty", "a list", "another kind"],
)
def test_what_is_no_shard_file_is_refused(data: bytes) -> None:
    with pytest.raises(LogFormatError):
        Harvest.from_bytes(data)
    with pytest.raises(LogFormatError):
        read_harvest(MemoryStore(), [])


@pytest.mark.parametrize("rule", ["latest", "most_frequent"])
@pytest.mark.parametrize(
    "filling", [b"\0", b" ", b"[", b'{"a":'], ids=["zeros", "spaces", "lists", "objects"]
)
@pytest.mark.parametrize("is_first", [True, False], ids=["instead of the header", "after the header"])
def test_a_shard_file_of_one_endless_line_is_refused_before_it_is_read_whole(
    rule: str, filling: bytes, is_first: bool
) -> None:
    """Half a megabyte in the bucket that unpacks to 400 MB; with votes a line may be 33 times as long as without."""
    header = b"" if is_first else gzip.decompress(harvest(spread([], 1), answer_rule=rule).to_bytes())
    line = io.BytesIO()
    with gzip.GzipFile(fileobj=line, mode="wb", mtime=0) as out:
        out.write(header)
        for _ in range(400):
            out.write(filling * ((1 << 20) // len(filling)))
    line.seek(0)
    unpacked = gzip.GzipFile(fileobj=line)
    with pytest.raises(LogFormatError):
        Harvest.read_plain(cast("BinaryIO", unpacked))
    votes = 33 if rule == "most_frequent" and not is_first else 1
    assert unpacked.tell() <= len(header) + votes * LONGEST_KEPT + 1


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b'{"prompt":"x"}', b'{"prompt":NaN}', b"null", b"\xff", b'"']
)
def test_a_line_that_is_no_prompt_makes_a_shard_file_unreadable(line: bytes) -> None:
    header = gzip.decompress(harvest(spread([], 1)).to_bytes())
    with pytest.raises(LogFormatError):
        Harvest.from_bytes(gzip.compress(header + line + b"\n", mtime=0))


def test_harvests_of_different_settings_do_not_merge() -> None:
    store = spread(traffic(50), 1)
    found = harvest(store)
    later = replace(SELECTION, window=Window.parse("2026-11-27T00:00:00Z", "2026-12-04T00:00:00Z"))
    for other, difference in (
        (harvest(store, salt="other"), "salt_digest"),
        (harvest(store, selection=replace(SELECTION, model="")), "model"),
        (harvest(store, selection=later), "window"),
        (harvest(store, answer_rule="first"), "rule"),
        (harvest(store, redact=Redaction()), "redaction"),
    ):
        with pytest.raises(ConfigurationError, match=f"differ in {difference}\\."):
            found.absorb(other)
        for name, part in (("a", found), ("b", other)):
            store.write(f"s3://root/{name}", part.to_bytes())
        with pytest.raises(ConfigurationError, match=f"differ in {difference}\\."):
            read_harvest(store, ["s3://root/a", "s3://root/b"])


def test_a_smaller_limit_when_merging_is_the_smaller_sample() -> None:
    store = spread(traffic(300), 1)
    store.write("s3://root/a", harvest(store, limit=100).to_bytes())
    assert list(read_harvest(store, ["s3://root/a"], limit=10).interactions()) == list(
        harvest(store, limit=10).interactions()
    )
    assert len(read_harvest(store, ["s3://root/a"], limit=1000)) == 100


def test_another_salt_draws_another_sample() -> None:
    store = spread(traffic(300), 1)
    assert list(harvest(store).interactions()) != list(harvest(store, salt="pepper").interactions())


def test_the_prefilter_changes_counts_of_nobodys_lines_only() -> None:
    """The same records are kept when every line is parsed; reasons of lines without the needed text are all there is."""
    store = spread(traffic(300), 3)
    blind = Selection(window=WINDOW)
    wanted = [
        item
        for item in harvest(store, selection=blind, limit=1000).interactions()
        if item.model == MODEL and dict(item.metadata) == {"app": "support"}
    ]
    kept = list(harvest(store, limit=1000).interactions())
    answers = {item.turns: item for item in wanted}
    assert all(answers.get(item.turns, item) == item for item in kept)
    assert {item.turns for item in wanted} <= {item.turns for item in kept}


class AfterAnother(LocalStore):
    """A store that opens nothing before another process opened something."""

    def __init__(self, folder: Path) -> None:
        self.sign = folder / "another-was-here"

    def open(self, uri: str) -> BinaryIO:
        waited = 0.0
        while not self.sign.exists() and waited < 30:
            time.sleep(0.01)
            waited += 0.01
        return super().open(uri)


class Another(AfterAnother):
    """The other process's store."""

    def open(self, uri: str) -> BinaryIO:
        self.sign.touch()
        return super().open(uri)


class Breaking(Another):
    """The other process's store, whose objects break off."""

    def open(self, uri: str) -> BinaryIO:
        super().open(uri).close()
        raise ServiceUnavailableError("logs: broke off.", operation="GetObject", hint="Try again.")


def logs_in(folder: Path) -> str:
    for uri, data in spread(named(traffic(200)), 6).objects.items():
        path = folder / "logs" / uri.removeprefix("s3://")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return str(folder / "logs")


@pytest.mark.parametrize("rule", ["latest", "most_frequent"])
def test_two_processes_give_what_one_gives(tmp_path: Path, rule: str) -> None:
    """What a process hands over is redacted; what is read in one go only when it is written."""
    logs = logs_in(tmp_path)
    seen: list[tuple[int, int]] = []
    how: dict[str, Any] = {"salt": "salt", "limit": 40, "answer_rule": rule, "redact": Redaction()}
    one = harvest_logs(LocalStore(), logs, SELECTION, **how)
    two = harvest_logs(
        AfterAnother(tmp_path),
        logs,
        SELECTION,
        **how,
        workers=2,
        open_store=partial(Another, tmp_path),
        progress=lambda done, whole: seen.append((done, whole)),
    )
    assert (tmp_path / "another-was-here").exists()
    assert two.to_bytes() == one.to_bytes()
    assert seen[-1][0] == seen[-1][1] == one.counts.stored_bytes


def test_what_stops_one_process_stops_the_harvest(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailableError):
        harvest_logs(
            AfterAnother(tmp_path),
            logs_in(tmp_path),
            SELECTION,
            salt="salt",
            workers=2,
            open_store=partial(Breaking, tmp_path),
        )


def test_hostile_lines_are_counted_and_the_rest_is_read() -> None:
    good = line_of(record())
    hostile = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\x00\x01",
        b"\xff\xfe{\x00",
        b"NaN",
        b"[" * 50_000,
        b'"a"',
        b"\xed\xa0\x80",
    ]
    store = MemoryStore()
    store.objects[key_of("2026/11/20", 9)] = b"\xef\xbb\xbf" + b"\r\n".join([good, *hostile, good]) + b"\r\n"
    found = harvest(store, selection=Selection(window=WINDOW))
    adds_up(found)
    assert found.counts.skipped == {
        "blank": 1,
        "not_json": 4,
        "not_a_record": 4,
        "not_utf8": 2,
        "duplicate": 1,
    }


def test_damaged_and_vanished_objects_are_counted() -> None:
    store = spread(traffic(60), 3)
    first, second, third = sorted(store.objects)
    store.objects[first] = store.objects[first][:-20]

    class Vanishing(MemoryStore):
        def read(self, uri: str) -> bytes:
            if uri == second:
                del self.objects[uri]
            return super().read(uri)

    vanishing = Vanishing()
    vanishing.objects = store.objects
    found = harvest(vanishing)
    assert found.counts.objects == {"damaged": 1, "missing": 1, "read": 1}
    assert third in store.objects
    adds_up(found)


def test_a_window_without_objects_is_an_empty_harvest() -> None:
    found = harvest(MemoryStore())
    assert (found.counts.lines, found.counts.kept, found.counts.objects) == (0, 0, {})
    assert Harvest.from_bytes(found.to_bytes()).counts == found.counts


def offloaded(number: int) -> dict[str, Any]:
    path = f"s3://logs/p/bodies/data/r{number}_input.json.gz"
    return record(request_id=f"r{number}", input={"inputBodyS3Path": path, "inputTokenCount": 4})


def body(number: int) -> bytes:
    asked = {"messages": [{"role": "user", "content": [{"text": f"long question {number}"}]}]}
    return gzip.compress(json.dumps(asked).encode())


def beside(store: MemoryStore) -> set[str]:
    """Return the folders in which the bodies of a store's log objects are looked for."""
    logs = [uri for uri in store.objects if "/data/" not in uri]
    return {f"{uri.rpartition('/')[0]}/data" for uri in logs}


@pytest.mark.parametrize(
    "path",
    [
        "s3://another-bucket/secrets/r1.json.gz",
        "s3://logs/p/elsewhere/r1.json.gz",
        "/etc/passwd",
        "file:///etc/passwd",
        "../../r1.json.gz",
        "s3://logs/p/data/..",
        "s3://logs/p/data/",
        "s3://logs/p/data/a\x00b",
        "x" * 5000,
    ],
)
def test_a_body_is_looked_for_beside_its_log_object_and_nowhere_else(path: str) -> None:
    """Whoever wrote the record does not choose what is read: the object is there, and is left alone."""
    store = spread([record(input={"inputBodyS3Path": path})], 1)
    store.objects[path] = body(1)
    found = harvest(store)
    assert found.counts.skipped == {"body_missing": 1}


def test_a_body_that_unpacks_to_more_than_any_call_takes_is_counted() -> None:
    store = spread([offloaded(1)], 1)
    for place in beside(store):
        store.objects[f"{place}/r1_input.json.gz"] = gzip.compress(b" " * (33 << 20))
    assert harvest(store).counts.skipped == {"body_too_long": 1}


def test_a_body_of_more_text_than_a_line_may_hold_is_counted() -> None:
    """What is kept can be read back: no record in a shard file is longer than the reader of shard files takes."""
    store = spread([offloaded(1), offloaded(2)], 1)
    asked = {"messages": [{"role": "user", "content": [{"text": "long " * 1_700_000}]}]}
    for place in beside(store):
        store.objects[f"{place}/r1_input.json.gz"] = gzip.compress(json.dumps(asked).encode())
        store.objects[f"{place}/r2_input.json.gz"] = body(2)
    found = harvest(store, answer_rule="most_frequent")
    assert found.counts.skipped == {"body_too_long": 1}
    assert Harvest.from_bytes(found.to_bytes()).counts == found.counts


def test_stored_bodies_are_followed_and_missing_ones_counted() -> None:
    store = spread([offloaded(n) for n in range(200)], 2)
    for number in range(150):
        for place in beside(store):
            store.objects[f"{place}/r{number}_input.json.gz"] = body(number)
    for place in beside(store):
        store.objects[f"{place}/r7_input.json.gz"] = b"not json"
    found = harvest(store, limit=500)
    adds_up(found)
    assert found.counts.kept == 149
    assert found.counts.skipped == {"body_missing": 50, "body_unreadable": 1}
    assert found.counts.bodies == 150


def test_bodies_of_a_local_copy_are_found_beside_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "2026/11/20/10"
    (folder / "data").mkdir(parents=True)
    (folder / "a.json.gz").write_bytes(gzip.compress(line_of(offloaded(1))))
    (folder / "data/r1_input.json.gz").write_bytes(body(1))
    found = harvest_logs(LocalStore(), str(tmp_path), SELECTION, salt="salt")
    assert [item.turns[0].text for item in found.interactions()] == ["long question 1"]


@pytest.mark.parametrize(
    ("now", "kept", "pauses"),
    [
        (datetime(2026, 11, 20, 23, tzinfo=UTC), 1, 2),
        (datetime(2026, 11, 25, tzinfo=UTC), 0, 0),
    ],
)
def test_a_late_body_is_waited_for_while_it_can_still_come(now: datetime, kept: int, pauses: int) -> None:
    store = spread([offloaded(1)], 1)
    paused: list[float] = []

    def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 2:
            for place in beside(store):
                store.objects[f"{place}/r1_input.json.gz"] = body(1)

    found = harvest(store, now=now, pause=pause)
    assert (found.counts.kept, len(paused)) == (kept, pauses)
    adds_up(found)


def test_a_body_that_never_comes_is_waited_for_only_so_long() -> None:
    paused: list[float] = []
    found = harvest(
        spread([offloaded(1)], 1), now=datetime(2026, 11, 20, 23, tzinfo=UTC), pause=paused.append
    )
    assert found.counts.skipped == {"body_missing": 1}
    assert sum(paused) >= 60


def test_a_record_delivered_late_lies_in_the_window_of_its_own_time() -> None:
    late = store_of({key_of("2026/11/21", 2): [record(timestamp="2026-11-20T23:59:00Z")]})
    assert harvest(late).counts.kept == 1
    assert harvest(late, overlap=timedelta(0)).counts.lines == 0


def test_a_stream_that_breaks_is_worth_a_retry() -> None:
    class Breaking(MemoryStore):
        def open(self, uri: str) -> BinaryIO:
            stream = super().open(uri)
            stream.read = lambda size=-1: (_ for _ in ()).throw(RuntimeError("reset"))  # type: ignore[method-assign]
            return stream

        def iter_objects(self, prefix: str) -> Any:
            for item in super().iter_objects(prefix):
                yield type(item)(item.uri, 10**9)

    store = Breaking()
    store.objects = spread(traffic(5), 1).objects
    with pytest.raises(ServiceUnavailableError) as caught:
        harvest(store)
    assert caught.value.retryable
    assert "question" not in str(caught.value)


def test_a_plan_is_read_back_and_its_tickets_name_shards() -> None:
    store = spread(traffic(60), 6)
    plan = HarvestPlan(WINDOW, tuple(cut_shards(iter_log_objects(store, LOGS, WINDOW), 3)))
    uri = write_plan(store, "s3://root/w/windows/x", plan)
    again = read_plan(store, uri)
    assert again == plan
    assert [shard_of(again, ticket) for ticket in plan.tickets(uri)] == list(plan.shards)
    with pytest.raises(ConfigurationError):
        shard_of(plan, {"number": 3})
    with pytest.raises(LogFormatError):
        read_plan(store, "s3://root/absent")
    store.write("s3://root/odd", b"{}")
    with pytest.raises(LogFormatError):
        read_plan(store, "s3://root/odd")
