"""Only the log objects of the window are found, from any level of the layout, and cut into shards of equal bytes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.stages.logs.selection import Window
from airflow_distill.stages.logs.source import Shard, cut_shards, is_log_object, iter_log_objects
from airflow_distill.stages.storage import LocalStore, MemoryStore, StoredObject
from tests.stages.logs.log_records import REGION_FOLDER, key_of

WINDOW = Window.parse("2026-11-20T22:30:00Z", "2026-11-22T01:00:00Z")
INSIDE = [
    key_of("2026/11/20", 22),
    key_of("2026/11/20", 23),
    key_of("2026/11/21", 0),
    key_of("2026/11/21", 12),
    key_of("2026/11/22", 0),
    key_of("2026/11/22", 3),
]
OUTSIDE = [
    key_of("2026/11/20", 21),
    key_of("2026/11/22", 4),
    key_of("2026/11/23", 0),
    key_of("2026/12/21", 12),
]
NOT_LOGS = [
    f"{REGION_FOLDER}/2026/11/21/12/data/req-1_input.json.gz",
    f"{REGION_FOLDER}/2026/11/21/12/amazon-bedrock-logs-permission-check",
    "s3://logs/p/amazon-bedrock-logs-permission-check",
    "s3://logs/p/AWSLogs/123456789012/CloudTrail/us-east-1/2026/11/21/x.json.gz",
]


class ListedStore(MemoryStore):
    """Remembers what was listed, and names folders as S3 does."""

    def __init__(self, uris: list[str]) -> None:
        super().__init__()
        self.objects = dict.fromkeys(uris, b"x")
        self.listed: list[str] = []

    def iter_objects(self, prefix: str) -> Iterator[StoredObject]:
        self.listed.append(prefix)
        return super().iter_objects(prefix)

    def iter_folders(self, prefix: str) -> Iterator[str]:
        below = [u.removeprefix(prefix).partition("/") for u in self.objects if u.startswith(prefix)]
        return iter(sorted({f"{prefix}{name}/" for name, slash, _ in below if slash}))


def found(store: MemoryStore, logs: str, window: Window | None = WINDOW) -> list[str]:
    return [item.uri for item in iter_log_objects(store, logs, window, timedelta(hours=3))]


@pytest.mark.parametrize(
    "logs",
    [
        "s3://logs/p",
        "s3://logs/p/",
        "s3://logs/p/AWSLogs",
        "s3://logs/p/AWSLogs/123456789012",
        "s3://logs/p/AWSLogs/123456789012/BedrockModelInvocationLogs",
        "s3://logs/p/AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1/",
        REGION_FOLDER,
        f"{REGION_FOLDER}/2026",
        f"{REGION_FOLDER}/2026/11/",
    ],
)
@pytest.mark.parametrize("names_folders", [True, False])
def test_the_logs_may_be_named_at_any_level(logs: str, names_folders: bool) -> None:
    store: MemoryStore = ListedStore(INSIDE + OUTSIDE + NOT_LOGS)
    if not names_folders:
        plain = MemoryStore()
        plain.objects = store.objects
        store = plain
    assert sorted(found(store, logs)) == sorted(INSIDE)


def test_the_logs_may_be_named_below_the_region() -> None:
    store = ListedStore(INSIDE + OUTSIDE + NOT_LOGS)
    assert found(store, f"{REGION_FOLDER}/2026/11/21") == [INSIDE[2], INSIDE[3]]
    assert found(store, f"{REGION_FOLDER}/2026/11/21/12/") == [INSIDE[3]]
    assert found(store, f"{REGION_FOLDER}/2026/11/25/") == []


def test_only_hours_and_whole_days_of_the_window_are_listed() -> None:
    store = ListedStore(INSIDE + OUTSIDE)
    found(store, "s3://logs/p")
    region = f"{REGION_FOLDER}/"
    assert store.listed == [
        f"{region}2026/11/20/22/",
        f"{region}2026/11/20/23/",
        f"{region}2026/11/21/",
        f"{region}2026/11/22/00/",
        f"{region}2026/11/22/01/",
        f"{region}2026/11/22/02/",
        f"{region}2026/11/22/03/",
    ]


def test_every_account_and_region_below_the_prefix_is_read() -> None:
    other = INSIDE[3].replace("us-east-1", "eu-west-1")
    foreign = INSIDE[3].replace("123456789012", "210987654321")
    store = ListedStore([INSIDE[3], other, foreign])
    assert sorted(found(store, "s3://logs/p")) == sorted([INSIDE[3], other, foreign])
    assert found(store, REGION_FOLDER) == [INSIDE[3]]


def test_a_prefix_is_a_folder_not_the_beginning_of_a_name() -> None:
    store = ListedStore([INSIDE[3].replace("/p/", "/prod/")])
    assert found(store, "s3://logs/p") == []


def test_a_folder_without_the_layout_is_read_whole(tmp_path: Path) -> None:
    names = ["a.json.gz", "b.jsonl", "sub/c.jsonl.gz", "d.json", "notes.txt", "e.csv.gz"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "empty.json").touch()
    logs = [Path(uri).name for uri in found(LocalStore(), str(tmp_path))]
    assert sorted(logs) == ["a.json.gz", "b.jsonl", "c.jsonl.gz", "d.json"]
    assert found(LocalStore(), str(tmp_path / "a.json.gz")) == [str(tmp_path / "a.json.gz")]
    assert found(LocalStore(), str(tmp_path / "absent")) == []


def test_a_local_copy_with_the_layout_is_cut_to_the_window(tmp_path: Path) -> None:
    for uri in INSIDE + OUTSIDE + NOT_LOGS[:2]:
        path = tmp_path / uri.removeprefix("s3://logs/p/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    assert len(found(LocalStore(), str(tmp_path))) == len(INSIDE)
    assert len(found(LocalStore(), str(tmp_path), None)) == len(INSIDE + OUTSIDE)


def test_bodies_and_permission_checks_are_no_log_objects() -> None:
    assert all(is_log_object(uri) for uri in INSIDE)
    assert not any(is_log_object(uri) for uri in NOT_LOGS[:3])


objects = st.lists(st.integers(0, 1000), max_size=60).map(
    lambda sizes: [StoredObject(f"o{number:03d}", size) for number, size in enumerate(sizes)]
)


@settings(deadline=None)
@given(items=objects, most=st.integers(1, 12), data=st.data())
def test_shards_hold_every_object_once_and_are_the_same_in_any_order(
    items: list[StoredObject], most: int, data: st.DataObject
) -> None:
    shards = cut_shards(items, most)
    assert shards == cut_shards(data.draw(st.permutations(items)), most)
    assert sorted((i for s in shards for i in s.objects), key=lambda i: i.uri) == items
    assert 1 <= len(shards) <= most
    assert [s.number for s in shards] == list(range(len(shards)))
    largest = max((i.size for i in items), default=0)
    assert max(s.size for s in shards) - min(s.size for s in shards) <= largest
    assert [Shard.from_json(s.to_json()) for s in shards] == shards


def test_a_shard_is_not_smaller_than_is_worth_a_task() -> None:
    items = [StoredObject(f"o{n}", 10) for n in range(20)]
    assert len(cut_shards(items, 16, least_bytes=100)) == 2
    assert len(cut_shards(items, 16, least_bytes=1000)) == 1
