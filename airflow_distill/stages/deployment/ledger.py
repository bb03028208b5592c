"""The release ledger: one object a release, claimed by a conditional write, closed by a second one.

    <root>/<workload>/releases/000002.json                    the claim: target, evidence, proof, why; never changed
    <root>/<workload>/releases/000002.outcome.json            how it ended: released, rolled_back, withdrawn
    <root>/<workload>/releases/000002.<nonce>.<note>.json     what a step found or is about to buy
    <root>/<workload>/releases/000002.<nonce>.hold-0001.json  who works on it; renewed, and superseded by a higher number
    <root>/<workload>/evidence/<sha256>.<name>                copies of what releases rest on

Two runs cannot claim one number, because the write is refused when the object is there. What is live is never stored: it
is the fold of all entries, so the ledger replays to the same state on any machine. An entry that cannot be read stops
everything; it is never taken for "none". Whoever acts on the ledger reads it with `sound`, which also refuses gaps,
leftovers of entries that are gone, and entries or outcomes that do not fit each other. Stores are passed in; no clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_distill.errors import DeploymentError, ReleaseConflictError, StateError
from airflow_distill.remote.identity import is_same_runner
from airflow_distill.stages.deployment.records import Head, Hold, Live, Outcome, Release
from airflow_distill.stages.deployment.times import moment_of
from airflow_distill.stages.digest import UNFIT, json_object, sha256_hex
from airflow_distill.stages.storage import ObjectExistsError, ObjectMissingError, ObjectStore, join_uri

_OBJECT = re.compile(r"/(\d{6})\.(?:([0-9a-f]{8})\.)?(?:([a-z][a-z0-9-]*)\.)?json$")
NONCE_IN_KEYS = 8
"""So many digits of a nonce are in the keys of its notes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A release, its outcome when it has one, and the digests of both objects' bytes."""

    release: Release
    sha256: str
    outcome: Outcome | None = None
    outcome_sha256: str = ""

    @property
    def chain_sha256(self) -> str:
        """What the next entry records of this one."""
        return sha256_hex(f"{self.sha256}\n{self.outcome_sha256}".encode())

    @property
    def head(self) -> Head:
        """How the pointer remembers this entry."""
        return Head(self.release.release, self.sha256, self.outcome_sha256)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something in the ledger that does not fit: which release, which link, where, and what was expected and found."""

    release: int
    link: str
    where: str
    expected: str
    found: str
    meaning: str


@dataclass(frozen=True, slots=True)
class History:
    """All entries of a workload, in order, and what is wrong with them."""

    entries: tuple[Entry, ...] = ()
    flaws: tuple[Flaw, ...] = ()

    @property
    def next_number(self) -> int:
        """The number that the next claim takes."""
        return self.entries[-1].release.release + 1 if self.entries else 1

    @property
    def open(self) -> Entry | None:
        """The claim that has no outcome yet, if any; it can only be the last one."""
        last = self.entries[-1] if self.entries else None
        return last if last is not None and last.outcome is None else None

    def entry(self, number: int) -> Entry | None:
        """Return the entry of a release number."""
        return next((e for e in self.entries if e.release.release == number), None)

    def claimed_by(self, claim: str) -> Entry | None:
        """Return the latest entry that the same intent claimed before.

        One that was rolled back for another reason than the model itself (a step failed, its run died) does not count:
        the intent may be asked for again.
        """
        found = next((e for e in reversed(self.entries) if e.release.claim == claim), None)
        if found is None or found.outcome is None or found.outcome.outcome != "rolled_back":
            return found
        return None if found.outcome.cause in ("failure", "lease") else found

    def hosts(self) -> frozenset[str]:
        """Return the names and ARNs of all hosts that the entries name: what this root's records call its own."""
        named = {e.release.target.host.name for e in self.entries}
        return frozenset((named | {e.outcome.host_arn for e in self.entries if e.outcome}) - {""})

    def live(self, before: int | None = None) -> Live | None:
        """Fold the entries: the last one that ended as released is what is live; after a withdrawal nothing is.

        :param before: only entries with smaller numbers count; what was live when that release was claimed.
        """
        for entry in reversed(self.entries):
            if before is not None and entry.release.release >= before:
                continue
            if entry.outcome is not None and entry.outcome.outcome == "withdrawn":
                return None
            if entry.outcome is not None and entry.outcome.outcome == "released":
                return live_of(entry)
        return None

    def releases(self) -> tuple[Live, ...]:
        """Return everything that has been live, oldest first."""
        return tuple(live_of(e) for e in self.entries if e.outcome and e.outcome.outcome == "released")


def live_of(entry: Entry) -> Live:
    """Return what an entry that ended as released made live."""
    outcome = entry.outcome
    if outcome is None or outcome.outcome != "released":
        raise DeploymentError(
            f"deployment: release {entry.release.release} of {entry.release.workload} was never live.",
            hint="`airflow-distill release list` shows all releases.",
        )
    return Live(entry.release.release, entry.release.target, entry.release.target.host.kind, outcome.host_arn)


class Ledger:
    """Reads and writes one workload's ledger.

    :param store: where the objects lie.
    :param root: the workloads' common root, `s3://bucket/prefix` or a folder.
    """

    def __init__(self, store: ObjectStore, root: str, workload: str) -> None:
        self._store = store
        self.workload = workload
        self.root = root
        self.prefix = join_uri(root, workload, "releases") + "/"
        self.evidence_prefix = join_uri(root, workload, "evidence") + "/"

    def uri(self, number: int, note: str = "", nonce: str = "") -> str:
        """Return the URI of an entry, of its outcome, or of one of its notes."""
        key = f"{number:06d}"
        if nonce and note and note != "outcome":
            key += f".{nonce[:NONCE_IN_KEYS]}"
        return f"{self.prefix}{key}.{note}.json" if note else f"{self.prefix}{key}.json"

    # Reading.

    def read(self) -> History:
        """Read all entries; what does not fit is in `flaws`.

        :raises StateError: an object is there and cannot be read as what it should be.
        """
        history = self.survey()
        broken = next((flaw for flaw in history.flaws if flaw.found == UNREADABLE), None)
        if broken is not None:
            raise _unreadable(broken.where, broken.meaning)
        return history

    def sound(self) -> History:
        """Read all entries for somebody who is going to act on them.

        :raises StateError: something cannot be read, is missing, is left over, or does not fit.
        """
        history = self.read()
        if history.flaws:
            flaw = history.flaws[0]
            more = f" (and {len(history.flaws) - 1} more)" if len(history.flaws) > 1 else ""
            raise StateError(
                f"deployment: the ledger of {self.workload} is damaged at {flaw.where}: {flaw.meaning}{more}. "
                "Nothing was changed.",
                hint="Restore the object from the bucket's versions; `airflow-distill verify` names every flaw.",
            )
        return history

    def survey(self) -> History:
        """Read whatever can be read; everything else is a flaw, never an exception."""
        found: dict[int, dict[tuple[str, str], str]] = {}
        for item in self._store.iter_objects(self.prefix):
            if match := _OBJECT.search(item.uri):
                found.setdefault(int(match[1]), {})[match[2] or "", match[3] or ""] = item.uri
        entries: list[Entry] = []
        flaws: list[Flaw] = []
        for number, objects in sorted(found.items()):
            entry = self._entry(number, objects, flaws)
            if entry is not None:
                flaws += _unfit(entry, entries[-1] if entries else None, objects)
                entries.append(entry)
        return History(tuple(entries), tuple(flaws))

    def _entry(self, number: int, objects: Mapping[tuple[str, str], str], flaws: list[Flaw]) -> Entry | None:
        uri = objects.get(("", ""))
        if uri is None:
            left = sorted(objects.values())[0]
            flaws.append(
                Flaw(number, "entry", self.uri(number), "an entry", "", f"release {number} is gone, {left} is left")
            )  # fmt: skip
            return None
        try:
            raw = self._bytes(uri)
            release = Release.from_json(json_object(raw))
            if release.release != number or release.workload != self.workload:
                raise ValueError("it names another release")
        except UNFIT as error:
            flaws.append(Flaw(number, "entry", uri, "a release", UNREADABLE, _why(error)))
            return None
        closing_uri = objects.get(("", "outcome"))
        if closing_uri is None:
            return Entry(release, sha256_hex(raw))
        try:
            closing = self._bytes(closing_uri)
            outcome = Outcome.from_json(json_object(closing))
        except UNFIT as error:
            flaws.append(Flaw(number, "outcome", closing_uri, "an outcome", UNREADABLE, _why(error)))
            return Entry(release, sha256_hex(raw))
        return Entry(release, sha256_hex(raw), outcome, sha256_hex(closing))

    def outcome(self, number: int) -> Outcome | None:
        """Return how a release ended, or None while it is open."""
        uri = self.uri(number, "outcome")
        try:
            return Outcome.from_json(json_object(self._store.read(uri)))
        except ObjectMissingError:
            return None
        except UNFIT as error:
            raise _unreadable(uri, _why(error)) from error

    def head(self, entry: Entry) -> Head | None:
        """Return the ledger's head when this entry is its newest, with its outcome as it lies there; else None."""
        number = entry.release.release
        if self._store.exists(self.uri(number + 1)):
            return None
        try:
            closing = sha256_hex(self._store.read(self.uri(number, "outcome")))
        except ObjectMissingError:
            closing = ""
        return Head(number, entry.sha256, closing)

    # Writing.

    def claim(self, release: Release) -> Entry:
        """Write a new entry; the number must be free.

        :raises ReleaseConflictError: another run claimed the number first. Nothing was changed.
        """
        raw = encode(release.to_json())
        try:
            self._store.write(self.uri(release.release), raw, if_absent=True)
        except ObjectExistsError as error:
            if self._bytes(self.uri(release.release)) != raw:
                raise ReleaseConflictError(
                    f"deployment: release {release.release} of {self.workload} was claimed by another run; "
                    "this one changed nothing.",
                    hint="Retry: it plans again on what the other run made live.",
                ) from error
        return Entry(release, sha256_hex(raw))

    def close(self, outcome: Outcome) -> Outcome:
        """Write how a release ended. Closing twice with the same word is the same as once.

        :raises ReleaseConflictError: it ended in another way already.
        """
        uri = self.uri(outcome.release, "outcome")
        try:
            self._store.write(uri, encode(outcome.to_json()), if_absent=True)
        except ObjectExistsError as error:
            there = self.outcome(outcome.release)
            if there is None or there.outcome != outcome.outcome or there.nonce != outcome.nonce:
                word = there.outcome if there else "unknown"
                raise ReleaseConflictError(
                    f"deployment: release {outcome.release} of {self.workload} already ended as {word}.",
                    hint="Another run closed this claim; retry to plan again.",
                ) from error
            return there
        return outcome

    def note(self, number: int, name: str, body: Mapping[str, Any], nonce: str = "") -> None:
        """Keep what a step found; the first writing stays."""
        bound = {**body, "release": number, "nonce": nonce} if nonce else body
        try:
            self._store.write(self.uri(number, name, nonce), encode(bound), if_absent=True)
        except ObjectExistsError:
            return

    def noted(self, number: int, name: str, nonce: str = "") -> dict[str, Any] | None:
        """Return what a step of this claim found earlier, or None.

        :raises StateError: the note cannot be read, or belongs to another claim.
        """
        uri = self.uri(number, name, nonce)
        try:
            body = json_object(self._store.read(uri))
        except ObjectMissingError:
            return None
        except ValueError as error:
            raise _unreadable(uri, _why(error)) from error
        if nonce and (body.get("nonce") != nonce or body.get("release") != number):
            raise _unreadable(uri, "it belongs to another claim")
        return body

    def notes_of(self, entry: Entry) -> dict[str, str]:
        """Return the digests of the notes of a claim, by name; holds are no part of them."""
        release = entry.release
        start = f"{self.prefix}{release.release:06d}."
        nonce = release.nonce[:NONCE_IN_KEYS]
        return {
            match[3]: sha256_hex(self._bytes(item.uri))
            for item in self._store.iter_objects(start)
            if (match := _OBJECT.search(item.uri))
            and (match[2] or "") == nonce
            and match[3] not in (None, "outcome")
            and not match[3].startswith("hold-")
        }

    # Who works on an open release.

    def holder(self, release: Release) -> Hold | None:
        """Return who works on a release, or None before anybody has begun.

        A hold that cannot be read is somebody's until the lease of the claim is over; its fence is in its name.
        """
        start = self.uri(release.release, "hold-", release.nonce).removesuffix(".json")
        last = ""
        for item in self._store.iter_objects(start):
            last = item.uri
        match = _OBJECT.search(last)
        if match is None:
            return None
        try:
            return Hold.from_json(json_object(self._bytes(last)))
        except UNFIT:
            fence = int(match[3].removeprefix("hold-"))
            return Hold(release.release, release.nonce, fence, UNREADABLE, UNREADABLE, release.lease_until)

    def fence(self, release: Release) -> tuple[bool, int]:
        """Say whether a release has ended, and the highest fence that anybody has taken for it; one listing.

        The number decides: each is taken by one holder, because the write is refused when the object is there.
        """
        ended, highest, nonce = False, 0, release.nonce[:NONCE_IN_KEYS]
        for item in self._store.iter_objects(f"{self.prefix}{release.release:06d}."):
            match = _OBJECT.search(item.uri)
            name = match[3] or "" if match else ""
            if name == "outcome":
                ended = True
            elif match and name.startswith("hold-") and (match[2] or "") == nonce:
                highest = max(highest, int(name.removeprefix("hold-")))
        return ended, highest

    def take(
        self, release: Release, holder: str, run: str, until: str, *, now: datetime, force: bool = False
    ) -> Hold:
        """Become the one who works on an open release, or renew that.

        The same holder keeps its fence. The run that claimed the release, and whoever forces it, take over at once; others
        when the hold has run out.

        :raises ReleaseConflictError: somebody else holds it, or took it over this moment.
        """
        present = self.holder(release)
        if present is not None and present.holder == holder:
            hold = Hold(release.release, release.nonce, present.fence, holder, run, until)
            self._store.write(self._hold_uri(hold), encode(hold.to_json()))
            return hold
        since = present.until if present else release.lease_until
        owner = present.run if present else release.run
        if not force and not is_same_runner(run, owner) and not _over(since, now):
            raise held(release, owner, since)
        hold = Hold(release.release, release.nonce, present.fence + 1 if present else 1, holder, run, until)
        try:
            self._store.write(self._hold_uri(hold), encode(hold.to_json()), if_absent=True)
        except ObjectExistsError as error:
            raise held(release, "another holder", until) from error
        return hold

    def give_back(self, hold: Hold, now: str) -> None:
        """End a hold that is still ours, so that the next one need not wait for its time to run out."""
        ended = Hold(hold.release, hold.nonce, hold.fence, hold.holder, hold.run, now)
        self._store.write(self._hold_uri(hold), encode(ended.to_json()))

    def _hold_uri(self, hold: Hold) -> str:
        return self.uri(hold.release, f"hold-{hold.fence:04d}", hold.nonce)

    # Evidence.

    def keep(self, name: str, raw: bytes) -> str:
        """Keep a copy of something a release rests on, under its digest; returns its URI. Twice is the same as once."""
        uri = f"{self.evidence_prefix}{sha256_hex(raw)}.{name}"
        try:
            self._store.write(uri, raw, if_absent=True)
        except ObjectExistsError:
            if self._bytes(uri) != raw:
                raise StateError(
                    f"deployment: {uri} does not have the digest in its name; it was changed.",
                    hint="Restore it from the bucket's versions.",
                ) from None
        return uri

    def _bytes(self, uri: str) -> bytes:
        try:
            return self._store.read(uri)
        except ObjectMissingError as error:
            raise StateError(f"deployment: {uri} vanished while it was read.", hint="Retry.") from error


UNREADABLE = "unreadable"


def encode(body: Mapping[str, Any]) -> bytes:
    """Return a ledger object's bytes: stable, and readable by people."""
    return (json.dumps(body, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def held(release: Release, run: str, until: str) -> ReleaseConflictError:
    """Return the error of somebody who finds a release being worked on."""
    return ReleaseConflictError(
        f"deployment: release {release.release} of {release.workload} is being carried out by run "
        f"{run or 'unknown'} (until {until} at least); this run changed nothing.",
        hint="Retry after it has ended. If that run is dead, `airflow-distill release resume` finishes or rolls back.",
    )


def is_held(release: Release, hold: Hold | None, now: datetime) -> bool:
    """Say whether somebody works on an open release just now."""
    return not _over(hold.until if hold else release.lease_until, now)


def _over(until: str, now: datetime) -> bool:
    moment = moment_of(until)
    return moment is not None and moment <= now


def _unfit(entry: Entry, before: Entry | None, objects: Mapping[tuple[str, str], str]) -> list[Flaw]:
    """Return what does not fit: the number, the link to the entry before, the outcome, leftovers of another claim."""
    release, outcome, number = entry.release, entry.outcome, entry.release.release
    uri = objects["", ""]
    flaws = []
    expected = before.release.release + 1 if before else 1
    if number != expected:
        flaws.append(
            Flaw(
                number, "number", uri, str(expected), str(number), f"release {expected} is missing before it"
            )
        )
    if before is not None and before.outcome is None:
        meaning = f"release {before.release.release} has no outcome although a later release was claimed"
        flaws.append(Flaw(before.release.release, "outcome", uri, "an outcome", "", meaning))
    chain = before.chain_sha256 if before else ""
    if number == expected and release.previous_sha256 != chain:
        meaning = "the entry before, or its outcome, was changed after this one was written"
        flaws.append(Flaw(number, "previous entry", uri, release.previous_sha256, chain, meaning))
    if outcome is not None:
        flaws += _outcome_flaws(entry, outcome, objects["", "outcome"])
    nonce = release.nonce[:NONCE_IN_KEYS]
    for (mark, name), other in sorted(objects.items()):
        if name not in ("", "outcome") and mark != nonce:
            meaning = f"{other} is left over from another claim of this number"
            flaws.append(Flaw(number, "note", other, nonce, mark, meaning))
    return flaws


def _outcome_flaws(entry: Entry, outcome: Outcome, uri: str) -> list[Flaw]:
    release = entry.release
    number = release.release
    flaws = []
    if outcome.release != number:
        flaws.append(
            Flaw(number, "outcome", uri, str(number), str(outcome.release), "it names another release")
        )
    if (outcome.entry_sha256 or release.nonce) and outcome.entry_sha256 != entry.sha256:
        meaning = "the entry was changed after its outcome was written"
        flaws.append(Flaw(number, "entry", uri, outcome.entry_sha256, entry.sha256, meaning))
    if outcome.nonce != release.nonce:
        meaning = "the outcome belongs to another claim of this number"
        flaws.append(Flaw(number, "outcome", uri, release.nonce, outcome.nonce, meaning))
    return flaws


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) and str(error) else f"{type(error).__name__} {error}"


def _unreadable(uri: str, why: str) -> StateError:
    return StateError(
        f"deployment: the ledger object {uri} cannot be read ({why}).",
        hint="Restore it from the bucket's versions; `airflow-distill verify` names what does not fit.",
    )
