"""Erases one person from a workload's folder, and keeps the person out of later harvests; can be killed at any point.

Order is what makes it safe to kill: tombstones first, so that nothing new comes in; then everything that is derived; the
windows last, because they alone link a subject to its prompts. Each object gets a note of its digests before and after
before it is rewritten, so `verify` can tell forgetting from tampering at every moment. Running it again goes on.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_distill.aws.account import iter_models
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.errors import ConfigurationError, ServiceError
from airflow_distill.remote.identity import TAG_DATASET
from airflow_distill.remote.ownership import Owner
from airflow_distill.remote.times import iso
from airflow_distill.stages.dataset.forget import Person, Turns, clean, prompts_in
from airflow_distill.stages.digest import canonical_json, digest, json_object, sha256_hex
from airflow_distill.stages.forgotten import FOLDER, Tombstones, read_tombstones, tombstones_uri
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore, StoredObject, join_uri

LEFT_ALONE = ("releases", "turns", "spend", FOLDER)
"""Folders of a workload that hold ids, digests and amounts only."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Who is to be forgotten: subjects by request metadata, and prompts.

    :param subjects: (key, value) of request metadata.
    :param prompts: turns of prompts, as (role, text).
    """

    subjects: tuple[tuple[str, str], ...] = ()
    prompts: tuple[Turns, ...] = ()

    def __post_init__(self) -> None:
        if not self.subjects and not self.prompts:
            raise ConfigurationError(
                "forget: nobody is named.", hint="Give --subject KEY=VALUE or --prompt-file FILE."
            )


@dataclass(frozen=True, slots=True)
class Change:
    """One object that held something of the person; `after` is empty where the object was deleted."""

    uri: str
    before: str
    after: str
    removed: int

    def to_json(self) -> dict[str, Any]:
        return {"uri": self.uri, "before": self.before, "after": self.after, "removed": self.removed}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Change:
        return cls(str(data["uri"]), str(data["before"]), str(data["after"]), int(data["removed"]))


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was forgotten, without saying who.

    :param datasets: ids of the datasets that held the person; `models` were trained on them and still exist.
    :param elsewhere: what lies outside the workload's folder and was not touched.
    """

    receipt_id: str
    workload: str
    at: str
    changes: tuple[Change, ...]
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    elsewhere: tuple[str, ...] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "forget-receipt",
            "v": 1,
            "receipt_id": self.receipt_id,
            "workload": self.workload,
            "at": self.at,
            "changes": [change.to_json() for change in self.changes],
            "datasets": list(self.datasets),
            "models": list(self.models),
            "elsewhere": list(self.elsewhere),
        }


def forget(
    gateways: AwsGateways | None,
    store: ObjectStore,
    root: str,
    workload: str,
    wish: Wish,
    *,
    now: datetime,
    perform: bool,
    logs: str = "",
    progress: Callable[[str], None] = lambda line: None,
) -> Receipt:
    """Erase a person from `<root>/<workload>/`; with `perform` false, only tell what would change.

    :param gateways: for the models that were trained on affected datasets; not looked up when None.
    :param logs: where the workload's invocation logs lie; told in the receipt, never touched.
    """
    place = join_uri(root, workload)
    stones = read_tombstones(store, root, workload) or Tombstones(secrets.token_hex(32))
    subjects = {stones.subject_mark(key, value) for key, value in wish.subjects}
    person = Person(stones.plus(subjects, ()))
    for turns in wish.prompts:
        person.learn(turns)
    objects = list(_objects(store, place))
    affected = _find(store, place, objects, person)
    for key, value in wish.subjects:
        person.learn_subject(key, value)
    receipt_id = digest([sorted(subjects), sorted(stones.prompt_mark(t) for t in wish.prompts)], 16)
    folder = join_uri(place, FOLDER, receipt_id)
    if perform:
        after = person.tombstones.plus((), person.marks)
        store.write(tombstones_uri(root, workload), after.to_bytes())
        person.tombstones = after
    changes = {change.uri: change for change in _noted(store, folder)}
    for item in sorted(objects, key=lambda item: _order(place, item.uri)):
        change = _clean_one(store, folder, item.uri, person, perform)
        if change is not None:
            changes[item.uri] = _joined(changes.get(item.uri), change)
            affected |= _dataset_of(place, item.uri)
            progress(f"{'cleaned' if change.after else 'deleted'} {item.uri}: {change.removed}")
    for uri in changes:
        affected |= _dataset_of(place, uri)
    receipt = Receipt(
        receipt_id,
        workload,
        iso(now),
        tuple(changes[uri] for uri in sorted(changes)),
        tuple(sorted(affected)),
        _models(gateways, root, workload, affected),
        _elsewhere(root, logs),
    )
    if perform:
        store.write(join_uri(folder, "receipt.json"), canonical_json(receipt.to_json()))
    return receipt


def forgotten_changes(store: ObjectStore, root: str, workload: str) -> dict[str, Change]:
    """Return what forgetting has changed under a workload's folder, by URI; from the first digest to the last."""
    place = join_uri(root, workload, FOLDER)
    found: dict[str, Change] = {}
    for change in sorted(_noted(store, place), key=lambda change: change.uri):
        found[change.uri] = _joined(found.get(change.uri), change)
    return found


def _joined(earlier: Change | None, later: Change) -> Change:
    """Return two changes of one object as one, whichever was written first."""
    if earlier is None or earlier == later:
        return later
    first, second = (earlier, later) if earlier.after == later.before else (later, earlier)
    return Change(later.uri, first.before, second.after, first.removed + second.removed)


def _objects(store: ObjectStore, place: str) -> Iterator[StoredObject]:
    for item in store.iter_objects(place + "/"):
        if item.uri.removeprefix(place + "/").partition("/")[0] not in LEFT_ALONE:
            yield item


def _find(store: ObjectStore, place: str, objects: Sequence[StoredObject], person: Person) -> set[str]:
    """Learn the person's prompts from windows and held-out files; returns the datasets seen to hold the person."""
    affected: set[str] = set()
    for item in objects:
        kind = item.uri.removeprefix(place + "/").partition("/")[0]
        if kind not in ("windows", "datasets", "watch"):
            continue
        data = store.read(item.uri)
        for turns, system, metadata in prompts_in(item.uri, data):
            if person.owns(turns, metadata):
                person.learn(turns, system)
                affected |= _dataset_of(place, item.uri)
    return affected


def _order(place: str, uri: str) -> tuple[int, str]:
    """Windows last, held-out files before them: they link a subject to its prompts."""
    inner = uri.removeprefix(place + "/")
    late = 2 if inner.startswith("windows/") else 1 if inner.endswith("/heldout.jsonl") else 0
    return late, uri


def _dataset_of(place: str, uri: str) -> set[str]:
    kind, _, rest = uri.removeprefix(place + "/").partition("/")
    return {rest.partition("/")[0]} if kind == "datasets" and "/" in rest else set()


def _clean_one(store: ObjectStore, folder: str, uri: str, person: Person, perform: bool) -> Change | None:
    try:
        data = store.read(uri)
    except ObjectMissingError:
        return None  # deleted since it was listed
    cleaned = clean(uri, data, person)
    if not cleaned.removed:
        return None
    after = "" if cleaned.data is None else sha256_hex(cleaned.data)
    change = Change(uri, sha256_hex(data), after, cleaned.removed)
    if perform:
        note = join_uri(folder, "changes", f"{digest([uri, change.before], 32)}.json")
        store.write(note, canonical_json(change.to_json()))
        if cleaned.data is None:
            store.delete(uri)
        else:
            store.write(uri, cleaned.data)
    return change


def _noted(store: ObjectStore, folder: str) -> Iterator[Change]:
    for item in store.iter_objects(folder + "/"):
        if "/changes/" in item.uri and item.uri.endswith(".json"):
            yield Change.from_json(json_object(store.read(item.uri)))


def _models(gateways: AwsGateways | None, root: str, workload: str, datasets: set[str]) -> tuple[str, ...]:
    """Return the custom models of this workload that were trained on one of the datasets."""
    if gateways is None or not datasets:
        return ()
    try:
        return tuple(
            sorted(
                model.arn
                for model in iter_models(gateways.bedrock)
                if model.tags.get(TAG_DATASET) in datasets
                and Owner(workload, root).claim(model.tags) != "foreign"
            )
        )
    except ServiceError as error:
        return (f"unknown: the account could not be asked ({error.code or type(error).__name__})",)


def _elsewhere(root: str, logs: str) -> tuple[str, ...]:
    told = [
        f"the invocation logs at {logs or '(not named)'}: erase the person there, or let their lifecycle rule do it"
    ]
    if root.startswith("s3://"):
        told.append(f"older versions of the objects, if the bucket of {root} keeps versions")
    return (*told, "golden sets and labelled pairs of your own, outside the workload's folder")
