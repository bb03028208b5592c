"""The contamination ledger in a store: which files a run looked at, opened one at a time.

A run must see every earlier dataset, and a re-run of it must see the same ones, or it would come out different and
buy a second job. So the first attempt writes down which files it used, under the digest of its input, and every
later attempt on the same input reads that note. Objects come through the `ObjectStore` that is passed in; no
Airflow, no AWS SDK.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_distill.errors import StateError
from airflow_distill.stages.dataset.curate import Ledger
from airflow_distill.stages.dataset.fingerprints import LedgerFile, open_fingerprints
from airflow_distill.stages.digest import canonical_json
from airflow_distill.stages.storage import ObjectExistsError, ObjectMissingError, ObjectStore, join_uri

SIDES = ("heldout", "train")


@dataclass(frozen=True, slots=True)
class LedgerNote:
    """Which datasets' fingerprints one input was curated against, by side."""

    datasets: dict[str, tuple[str, ...]]

    def to_bytes(self) -> bytes:
        return canonical_json({"v": 1, **{side: list(self.datasets[side]) for side in SIDES}})

    @classmethod
    def from_bytes(cls, data: bytes) -> LedgerNote:
        value = json.loads(data)
        return cls({side: tuple(value[side]) for side in SIDES})


def claim_note(store: ObjectStore, place: str, input_digest: str) -> LedgerNote:
    """Return the note for an input, writing it on the first attempt.

    :param place: `<root>/<workload>`.
    :raises StateError: there is a note, but it cannot be read; or a file that an earlier run looked at is gone.
    """
    uri = join_uri(place, "fingerprints", "used", f"{input_digest}.json")
    before = _fullest_note(store, place)
    found = LedgerNote({side: tuple(_dataset_ids(store, place, side)) for side in SIDES})
    for side in SIDES:
        for dataset_id in before.datasets[side]:
            if dataset_id not in found.datasets[side]:
                raise _gone(_file_uri(place, side, dataset_id))
    try:
        store.write(uri, found.to_bytes(), if_absent=True)
    except ObjectExistsError:
        try:
            return LedgerNote.from_bytes(store.read(uri))
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(
                f"dataset: {uri} is damaged.", hint="Remove it if its run bought no job."
            ) from error
    return found


def stored_ledger(store: ObjectStore, place: str, note: LedgerNote) -> Ledger:
    """Return the ledger of a note; files are opened when they are needed.

    :raises StateError: while it is read, a file that the note names is gone or damaged.
    """
    return Ledger(
        heldout=lambda: _open_all(store, place, "heldout", note),
        train=lambda: _open_all(store, place, "train", note),
    )


def iter_dataset_files(store: ObjectStore, place: str, dataset_id: str) -> Iterator[LedgerFile]:
    """Yield the ledger files of one dataset that exist."""
    for side in SIDES:
        uri = _file_uri(place, side, dataset_id)
        if store.exists(uri):
            with store.open(uri) as stream:
                yield open_fingerprints(stream, uri)


def _open_all(store: ObjectStore, place: str, side: str, note: LedgerNote) -> Iterator[LedgerFile]:
    for dataset_id in note.datasets[side]:
        uri = _file_uri(place, side, dataset_id)
        try:
            stream = store.open(uri)
        except ObjectMissingError as error:
            raise _gone(uri) from error
        with stream:
            yield open_fingerprints(stream, uri)


def _gone(uri: str) -> StateError:
    return StateError(
        f"dataset: {uri} is gone.",
        hint="Restore it: without it, prompts that judged a release could be trained on.",
    )


def _fullest_note(store: ObjectStore, place: str) -> LedgerNote:
    """Return the earlier note that names the most: files are only ever added, so it names all but the latest.

    One that cannot be read is of no use here; the run that it belongs to says so.
    """
    notes = list(store.iter_objects(join_uri(place, "fingerprints", "used") + "/"))
    try:
        return LedgerNote.from_bytes(store.read(max(notes, key=lambda item: item.size).uri))
    except (ValueError, KeyError, TypeError, ObjectMissingError):
        return LedgerNote(dict.fromkeys(SIDES, ()))


def _dataset_ids(store: ObjectStore, place: str, side: str) -> Iterator[str]:
    for item in store.iter_objects(join_uri(place, "fingerprints", side) + "/"):
        name = item.uri.rsplit("/", 1)[-1]
        if name.endswith(".bin"):
            yield name.removesuffix(".bin")


def _file_uri(place: str, side: str, dataset_id: str) -> str:
    return join_uri(place, "fingerprints", side, f"{dataset_id}.bin")
