"""Fresh prompts are counted by kind and hour; a watermark of counts sees late logs and never counts twice."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.stages.logs.metadata import MetadataFilter
from airflow_distill.stages.logs.selection import Selection
from airflow_distill.stages.status.records import Next
from airflow_distill.stages.storage import LocalStore
from airflow_distill.workload.status import Index
from airflow_distill.workload.traffic import (
    CallReader,
    Kind,
    Snapshot,
    Watermark,
    add,
    count_object,
    hours_of,
    named,
)

NOW = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)


def line(
    prompt: str = "hello",
    *,
    app: str = "tickets",
    at: str = "2026-11-24T05:10:00Z",
    model: str = "amazon.nova-pro-v1:0",
    **more: Any,
) -> bytes:
    record = {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": at,
        "requestId": prompt,
        "operation": "Converse",
        "modelId": model,
        "requestMetadata": {"app": app},
        "identity": {"arn": "arn:aws:sts::1:assumed-role/app/x"},
        "input": {
            "inputBodyJson": {"messages": [{"role": "user", "content": [{"text": prompt}]}]},
            "inputTokenCount": 12,
        },
        "output": {
            "outputBodyJson": {
                "output": {"message": {"role": "assistant", "content": [{"text": "billing"}]}},
                "stopReason": "end_turn",
            },
            "outputTokenCount": 3,
        },
        **more,
    }
    return json.dumps(record).encode() + b"\n"


def counted(*lines: bytes) -> Snapshot:
    return count_object(io.BytesIO(gzip.compress(b"".join(lines))), CallReader())


def wanted(app: str = "tickets") -> Selection:
    return Selection(model="amazon.nova-pro-v1:0", metadata=MetadataFilter.from_pairs({"app": app}))


def test_each_workload_counts_its_own_kind_in_one_snapshot() -> None:
    snapshot = counted(
        line("a"), line("b"), line("c", app="claims"), line("d", model="amazon.nova-lite-v1:0")
    )
    assert hours_of(snapshot, wanted()) == {"2026-11-24T05": 2}
    assert hours_of(snapshot, wanted("claims")) == {"2026-11-24T05": 1}


def test_what_cannot_be_learnt_from_does_not_count() -> None:
    failed = line("a", errorCode="ThrottlingException", output={})
    assert counted(failed, b"not json\n", b"\n", b"{}\n") == {}


def test_a_prompt_repeated_in_a_log_object_counts_once() -> None:
    assert hours_of(counted(line("a"), line("a"), line("b")), wanted()) == {"2026-11-24T05": 2}


def test_a_body_stored_beside_the_log_counts_without_being_fetched() -> None:
    stored = line("a", input={"inputBodyS3Path": "s3://b/k.json.gz", "inputTokenCount": 90_000})
    assert hours_of(counted(stored), wanted()) == {"2026-11-24T05": 1}


def test_profiles_and_arns_of_the_teacher_count_as_the_teacher() -> None:
    snapshot = counted(line("a", model="us.amazon.nova-pro-v1:0"))
    assert hours_of(snapshot, wanted()) == {"2026-11-24T05": 1}


def test_no_text_of_prompts_or_answers_is_kept() -> None:
    told = repr(counted(line("a very secret prompt")))
    assert "secret" not in told
    assert "billing" not in told


def test_a_watermark_counts_what_is_new_and_only_once() -> None:
    mark = Watermark().look({"05": 10})
    assert mark.waiting == 10
    assert mark.look({"05": 10}).waiting == 10
    assert mark.fired().look({"05": 12, "06": 3}).waiting == 5


def test_a_log_that_arrives_late_in_an_hour_already_counted_is_seen() -> None:
    mark = Watermark().look({"05": 10, "06": 4}).fired()
    assert mark.look({"05": 11, "06": 4}).waiting == 1


def test_slow_traffic_reaches_its_threshold_although_old_hours_are_forgotten() -> None:
    mark = Watermark()
    for hour in range(100):
        mark = mark.look({f"{hour:03}": 3, f"{hour + 1:03}": 0})
    assert mark.waiting == 300
    assert len(mark.seen) == 2


@given(st.lists(st.dictionaries(st.sampled_from(["01", "02", "03"]), st.integers(0, 50)), max_size=8))
def test_nothing_is_counted_twice_whatever_the_snapshots_show(snapshots: list[dict[str, int]]) -> None:
    """Counts of an hour only grow in truth; a snapshot that shows fewer (a failed read) must not make them count again."""
    mark, most = Watermark(), {"01": 0, "02": 0, "03": 0}
    for shown in snapshots:
        hours = {**most, **shown}
        mark = mark.look(hours)
        most = {hour: max(most[hour], hours[hour]) for hour in most}
    assert mark.waiting == sum(most.values())


@pytest.mark.parametrize("stored", [None, "text", {}, {"seen": 3}, {"seen": {"a": "b"}, "waiting": 1}])
def test_an_unreadable_watermark_counts_anew_instead_of_failing(stored: Any) -> None:
    assert Watermark.from_json(stored) == Watermark()


def test_a_watermark_survives_being_stored() -> None:
    mark = Watermark().look({"05": 10})
    assert Watermark.from_json(json.loads(json.dumps(mark.to_json()))) == mark


def test_snapshots_of_objects_add_up() -> None:
    assert hours_of(add([counted(line("a")), counted(line("b"))]), wanted()) == {"2026-11-24T05": 2}


# The watcher.


class CountingStore:
    """Log objects in memory that counts what is listed and read."""

    def __init__(self) -> None:
        from airflow_distill.stages.storage import MemoryStore

        self.inner = MemoryStore()
        self.listed = 0
        self.read_uris: list[str] = []

    def put(self, name: str, *lines: bytes, at: datetime = NOW) -> None:
        uri = f"s3://logs/bedrock/AWSLogs/1/BedrockModelInvocationLogs/us-east-1/{at:%Y/%m/%d/%H}/{name}.json.gz"
        self.inner.write(uri, gzip.compress(b"".join(lines)))

    def iter_objects(self, prefix: str) -> Any:
        self.listed += 1
        return self.inner.iter_objects(prefix)

    def open(self, uri: str) -> Any:
        self.read_uris.append(uri)
        return self.inner.open(uri)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class State:
    """The asset's state, in memory."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def aget(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = json.loads(json.dumps(value))


@pytest.mark.airflow
class TestWatcher:
    def trigger(self, app: str = "tickets", threshold: int = 2, **more: Any) -> Any:
        from airflow_distill.triggers.assets import FreshLogsTrigger

        made = FreshLogsTrigger(
            location="s3://logs/bedrock",
            workload=app,
            threshold=threshold,
            model="amazon.nova-pro-v1:0",
            metadata={"equals": {"app": app}},
            **more,
        )
        made.asset_state_store = State()
        return made

    def events(self, trigger: Any, *snapshots: Snapshot) -> list[Any]:
        async def stream() -> AsyncIterator[Snapshot]:
            for snapshot in snapshots:
                yield snapshot

        async def collect() -> list[Any]:
            return [event.payload async for event in trigger.filter_shared_stream(stream())]

        return asyncio.run(collect())

    def test_a_prefix_reads_each_object_once_and_lists_the_same_for_any_number_of_workloads(self) -> None:
        from airflow_distill.triggers.assets import LogPrefix

        store = CountingStore()
        store.put("a", line("a"), line("b", app="claims"))
        prefix = LogPrefix(store, "s3://logs/bedrock", timedelta(hours=48))
        first = prefix.look(NOW)
        for app, count in (("tickets", 1), ("claims", 1)):
            assert sum(hours_of(first, wanted(app)).values()) == count
        listed = store.listed
        store.put("b", line("c"))
        prefix.look(NOW)
        assert len(store.read_uris) == len(set(store.read_uris)) == 2
        assert store.listed - listed <= listed

    def test_it_fires_once_at_its_threshold_and_then_is_quiet(self) -> None:
        trigger = self.trigger(threshold=3)
        two, four = counted(line("a"), line("b")), counted(*(line(p) for p in "abcd"))
        found = self.events(trigger, two, two, four, four, four)
        assert [event["new_prompts"] for event in found] == [4]

    def test_three_workloads_on_one_prefix_fire_each_at_its_own_threshold(self) -> None:
        lines = [line(f"t{i}") for i in range(5)] + [line(f"c{i}", app="claims") for i in range(3)]
        snapshot = counted(*lines)
        fired = {
            app: len(self.events(self.trigger(app, threshold), snapshot))
            for app, threshold in (("tickets", 5), ("claims", 4), ("other", 1))
        }
        assert fired == {"tickets": 1, "claims": 0, "other": 0}

    def test_a_restarted_watcher_goes_on_from_the_assets_state(self) -> None:
        first = self.trigger(threshold=3)
        assert self.events(first, counted(line("a"), line("b"))) == []
        second = self.trigger(threshold=3)
        second.asset_state_store = first.asset_state_store
        assert len(self.events(second, counted(line("a"), line("b"), line("c")))) == 1

    def test_watchers_of_one_prefix_share_one_poll_and_others_do_not(self) -> None:
        same = {self.trigger(app, n).shared_stream_key() for app, n in (("a", 1), ("b", 9))}
        assert len(same) == 1
        assert self.trigger(region_name="us-west-2").shared_stream_key() not in same

    def test_how_many_prompts_are_missing_is_written_into_the_workloads_status(self, tmp_path: Path) -> None:
        def missing() -> Next | None:
            status = Index(LocalStore(), str(tmp_path)).read("tickets")
            return status.next if status else None

        trigger = self.trigger(threshold=5, root=str(tmp_path))
        self.events(trigger, counted(*(line(p) for p in "abc")))
        assert missing() == Next(missing=2, threshold=5)
        self.events(trigger, counted(*(line(p) for p in "abcdefg")))
        assert missing() == Next(missing=5, threshold=5), "it has fired, and counts anew"

    def test_a_status_that_cannot_be_written_stops_no_watcher(self, tmp_path: Path) -> None:
        (tmp_path / "status").write_text("a file where the folder should be")
        trigger = self.trigger(threshold=2, root=str(tmp_path))
        assert len(self.events(trigger, counted(*(line(p) for p in "abc")))) == 1

    def test_a_poll_that_fails_is_tried_again_and_never_raises(self) -> None:
        from airflow_distill.triggers.assets import FreshLogsTrigger

        tries: list[int] = []

        class Failing(FreshLogsTrigger):
            def open_prefix(self) -> Any:
                tries.append(1)
                if len(tries) < 3:
                    raise OSError("lost connection")
                return self

            def look(self, now: datetime) -> Snapshot:
                return {Kind("m", "Converse"): {"2026-11-24T05": 1}}

        async def first() -> Snapshot:
            stream = Failing.open_shared_stream({"location": "s3://x/y", "check_every": 0.001})
            found = await anext(stream)
            await stream.aclose()
            return found

        assert asyncio.run(first())
        assert len(tries) == 3

    def test_a_stored_trigger_is_rebuilt_by_every_later_version(self) -> None:
        """Rows of the database hold these names; unknown ones of a later version are ignored."""
        from airflow_distill.triggers.assets import FreshLogsTrigger

        path, kwargs = self.trigger().serialize()
        assert path == "airflow_distill.triggers.assets.FreshLogsTrigger"
        assert FreshLogsTrigger(**kwargs, added_later=1).serialize() == (path, kwargs)
        json.dumps(kwargs)

    def test_run_alone_gives_the_same_events(self, tmp_path: Path) -> None:
        from airflow_distill.triggers.assets import FreshLogsTrigger

        folder = (
            tmp_path / "AWSLogs/1/BedrockModelInvocationLogs/us-east-1" / f"{datetime.now(UTC):%Y/%m/%d/%H}"
        )
        folder.mkdir(parents=True)
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        data = b"".join(line(p, at=at) for p in "abc")
        (folder / "x.json.gz").write_bytes(gzip.compress(data))
        trigger = FreshLogsTrigger(location=str(tmp_path), workload="tickets", threshold=3, check_every=0.01)

        async def first() -> Any:
            async for event in trigger.run():
                return event.payload

        assert asyncio.run(asyncio.wait_for(first(), 20))["new_prompts"] == 3


def test_application_profiles_count_for_the_model_behind_them() -> None:
    profile = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc"
    nova, other = "amazon.nova-pro-v1:0", profile.replace("abc", "xyz")
    before: Snapshot = {
        Kind(nova, "Converse"): {"2026-11-24T05": 2},
        Kind(profile, "Converse"): {"2026-11-24T05": 3},
        Kind(other, "Converse"): {"2026-11-24T05": 4},
    }
    after = named(before, lambda arn: nova if arn == profile else "")
    assert after == {
        Kind(nova, "Converse"): {"2026-11-24T05": 5},
        Kind(other, "Converse"): {"2026-11-24T05": 4},
    }
    assert hours_of(after, Selection(model=nova)) == {"2026-11-24T05": 5}
