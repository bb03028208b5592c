"""One contract for every store that needs no network."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest

from airflow_distill.stages.storage import (
    LocalStore,
    MemoryStore,
    ObjectExistsError,
    ObjectMissingError,
    ObjectStore,
    join_uri,
)


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    return LocalStore() if request.param == "local" else MemoryStore()


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path)


def test_what_was_written_is_listed_in_order_and_read_back(store: ObjectStore, root: str) -> None:
    for name in ("b/2", "a/1", "b/10"):
        store.write(join_uri(root, name), name.encode())
    listed = [found.uri for found in store.iter_objects(root + "/")]
    assert listed == [join_uri(root, name) for name in ("a/1", "b/10", "b/2")]
    assert [found.uri for found in store.iter_objects(join_uri(root, "b/1"))] == [join_uri(root, "b/10")]
    assert store.read(join_uri(root, "b/2")) == b"b/2"
    with store.open(join_uri(root, "a/1")) as stream:
        assert stream.read() == b"a/1"


def test_a_conditional_write_never_replaces(store: ObjectStore, root: str) -> None:
    uri = join_uri(root, "releases/000001.json")
    store.write(uri, b"first", if_absent=True)
    with pytest.raises(ObjectExistsError):
        store.write(uri, b"second", if_absent=True)
    assert store.read(uri) == b"first"
    store.write(uri, b"third")
    assert store.read(uri) == b"third"


def test_listing_while_others_write_and_remove_shows_whole_objects_only(root: str) -> None:
    store, stop = LocalStore(), threading.Event()

    def disturb() -> None:
        for number in itertools.count():
            store.write(join_uri(root, f"{number % 7}"), b"whole")
            store.delete(join_uri(root, f"{(number + 3) % 7}"))
            if stop.is_set():
                return

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        sizes = [found.size for _ in range(100) for found in store.iter_objects(root + "/")]
    finally:
        stop.set()
        thread.join(30)
    assert set(sizes) <= {5}


def test_missing_objects_are_named_and_deleting_them_is_no_error(store: ObjectStore, root: str) -> None:
    uri = join_uri(root, "nothing")
    assert not store.exists(uri)
    with pytest.raises(ObjectMissingError, match="nothing"):
        store.read(uri)
    store.delete(uri)


def test_a_file_is_uploaded_whole(store: ObjectStore, root: str, tmp_path: Path) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(range(256)) * 1000)
    store.upload(join_uri(root, "up/large.bin"), file)
    assert store.read(join_uri(root, "up/large.bin")) == file.read_bytes()


def test_joining_never_makes_an_empty_segment() -> None:
    """Bedrock's S3 URI pattern refuses `//` inside a key."""
    assert join_uri("s3://b/p/", "/w/", "datasets/") == "s3://b/p/w/datasets"
