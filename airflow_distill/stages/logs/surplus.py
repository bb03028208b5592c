"""Lets the parts of one harvest tell each other which prompts cannot be in the whole sample, so that none saves them.

A part keeps up to `limit` prompts, though together they keep `limit` as well; parsing, redacting and saving the rest is
most of what many shards cost. The `limit`-th smallest hash of *some* prompts is never below that of *all*, so whatever a
part learns of the others' hashes gives it a bound above which nothing is wanted. A part that learns nothing, since it was
the first, saves all it has; none waits for another. Which prompts a part leaves out hence depends on the order of work, and
the merged sample does not.

Parts leave their smallest hashes, eight bytes each, in a folder that only parts of the same plan and settings share. The
merge proves what was left out: it is refused unless the sample is full below every bound that was used.
"""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Iterable

from airflow_distill.stages.digest import sha256_hex
from airflow_distill.stages.logs.shard_file import Harvest
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore, join_uri

FOLDER = "bounds"
FIRST_MARK = 8_000_000
"""Stored bytes after which a part looks for notes while it reads; then after twice as many, and so on."""
MOST_READ = 16
"""Notes read at one look. Each holds what its writer knew, so the few of lowest bound know nearly as much as all."""

_PREFIX = 64
"""Leading bits of a hash that are passed on. Two prompts that share them count as one, which only raises a bound."""


def bounds_folder(window_folder: str, settings: object) -> str:
    """Return the folder that only parts with the same settings share; these name the plan, the selection and the limit."""
    digest = sha256_hex(json.dumps(settings, sort_keys=True).encode())
    return join_uri(window_folder, FOLDER, digest[:32])


def forget_bounds(store: ObjectStore, window_folder: str) -> None:
    """Remove the notes of a window once its parts are merged."""
    for item in list(store.iter_objects(join_uri(window_folder, FOLDER) + "/")):
        store.delete(item.uri)


class Surplus:
    """What one part knows of the hashes of all, and its note.

    :param folder: where the parts of this harvest, and nobody else, leave their notes.
    :param name: the part's own, the same on every re-run.
    """

    def __init__(self, store: ObjectStore, folder: str, name: str) -> None:
        self._store = store
        self._folder = folder
        self._name = name
        self._known: list[int] = []
        self._seen: set[str] = set()
        self._note = ""
        self._read = 0
        self._mark = FIRST_MARK

    def before(self, harvest: Harvest) -> None:
        """Look for notes before anything is read: most of a late part's prompts are then not even parsed."""
        self._look(harvest.sample.limit)
        self._leave_out(harvest)

    def count(self, harvest: Harvest, stored_bytes: int) -> None:
        """Count bytes as read; every now and then, leave a note and look for others."""
        self._read += stored_bytes
        if self._read >= self._mark:
            self._mark = 2 * self._read
            self.exchange(harvest)

    def exchange(self, harvest: Harvest) -> None:
        """Leave a note of what is known now, and leave out what the notes of others show to be surplus."""
        limit = harvest.sample.limit
        own = (prompt >> _PREFIX for prompt in harvest.sample.hashes())
        self._known = _smallest({*self._known, *own}, limit)
        self._look(limit)
        self._write(limit)
        # Parts that work at the same time may have left theirs meanwhile.
        self._look(limit)
        self._leave_out(harvest)

    def _leave_out(self, harvest: Harvest) -> None:
        if len(self._known) == harvest.sample.limit:
            harvest.leave_out_above((self._known[-1] + 1 << _PREFIX) - 1)

    def _write(self, limit: int) -> None:
        bound = self._known[-1] if len(self._known) == limit else (1 << _PREFIX) - 1
        note = join_uri(self._folder, f"{bound:016x}-{self._name}")
        self._store.write(note, _pack(self._known))
        if self._note not in ("", note):
            self._store.delete(self._note)
        self._note = note
        self._seen.add(note)

    def _look(self, limit: int) -> None:
        """Learn from the notes of lowest bound that were not read yet; what is no note is passed over."""
        found: set[int] = set()
        read = 0
        for item in list(self._store.iter_objects(self._folder + "/")):
            if item.uri in self._seen or item.size % 8 or item.size > 8 * limit:
                continue
            if read == MOST_READ:
                break
            read += 1
            self._seen.add(item.uri)
            try:
                found.update(_unpack(self._store.read(item.uri)))
            except ObjectMissingError:
                continue
        if found:
            self._known = _smallest({*self._known, *found}, limit)


def _smallest(hashes: Iterable[int], limit: int) -> list[int]:
    return sorted(hashes)[:limit]


def _pack(hashes: list[int]) -> bytes:
    packed = array("Q", hashes)
    if sys.byteorder == "little":
        packed.byteswap()
    return packed.tobytes()


def _unpack(data: bytes) -> array[int]:
    packed: array[int] = array("Q")
    packed.frombytes(data[: len(data) - len(data) % 8])
    if sys.byteorder == "little":
        packed.byteswap()
    return packed
