"""The release ledger: one object a release, claimed by a conditional write, closed by a second one.

    <root>/<workload>/releases/000002.json           the claim: target, evidence, why; never changed
    <root>/<workload>/releases/000002.outcome.json   how it ended: released, rolled_back, abandoned
    <root>/<workload>/releases/000002.<note>.json    what a step found (smoke test, probes of the bake period)

Two runs cannot claim one number, because the write is refused when the object is there. What is live is never stored: it
is the fold of all entries, so the ledger replays to the same state on any machine. An entry that cannot be read stops
everything; it is never taken for "none". Stores are passed in; no clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_distill.errors import DeploymentError, ReleaseConflictError, StateError
from airflow_distill.stages.deployment.records import Live, Outcome, Release
from airflow_distill.stages.deployment.times import iso, moment_of
from airflow_distill.stages.digest import sha256_hex
from airflow_distill.stages.storage import ObjectExistsError, ObjectMissingError, ObjectStore, join_uri

_ENTRY = re.compile(r"/(\d{6})\.json$")
_OUTCOME = re.compile(r"/(\d{6})\.outcome\.json$")


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


@dataclass(frozen=True, slots=True)
class History:
    """All entries of a workload, in order."""

    entries: tuple[Entry, ...] = ()

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
        """Return the latest entry that the same intent claimed before."""
        return next((e for e in reversed(self.entries) if e.release.claim == claim), None)

    def hosts(self) -> frozenset[str]:
        """Return the names and ARNs of all hosts that the entries name: what this root's records call its own."""
        named = {e.release.target.host.name for e in self.entries}
        return frozenset((named | {e.outcome.host_arn for e in self.entries if e.outcome}) - {""})

    def live(self, before: int | None = None) -> Live | None:
        """Fold the entries: the last one that ended as released is what is live.

        :param before: only entries with smaller numbers count; what was live when that release was claimed.
        """
        for entry in reversed(self.entries):
            if before is not None and entry.release.release >= before:
                continue
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
            hint="`airflow-distill release list` shows which releases were.",
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

    def uri(self, number: int, note: str = "") -> str:
        """Return the URI of an entry, or of one of its notes."""
        return f"{self.prefix}{number:06d}.{note}.json" if note else f"{self.prefix}{number:06d}.json"

    def read(self) -> History:
        """Read all entries.

        :raises StateError: an object is there and cannot be read as what it should be.
        """
        found = [item.uri for item in self._store.iter_objects(self.prefix)]
        outcomes = {int(m[1]): uri for uri in found if (m := _OUTCOME.search(uri))}
        numbers = {int(m[1]): uri for uri in found if (m := _ENTRY.search(uri))}
        return History(tuple(self._entry(n, uri, outcomes.get(n)) for n, uri in sorted(numbers.items())))

    def _entry(self, number: int, uri: str, outcome_uri: str | None) -> Entry:
        raw, closing = self._bytes(uri), self._bytes(outcome_uri) if outcome_uri else b""
        try:
            release = Release.from_json(json.loads(raw))
            outcome = Outcome.from_json(json.loads(closing)) if closing else None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unreadable(uri, error) from error
        if release.release != number or release.workload != self.workload:
            raise _unreadable(uri, ValueError("it names another release"))
        return Entry(release, sha256_hex(raw), outcome, sha256_hex(closing) if closing else "")

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
                    hint="Retry: it plans anew on what the other run made live.",
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
            if there is None or there.outcome != outcome.outcome:
                word = there.outcome if there else "unknown"
                raise ReleaseConflictError(
                    f"deployment: release {outcome.release} of {self.workload} already ended as {word}.",
                    hint="Another run closed this claim; retry to plan anew.",
                ) from error
            return there
        return outcome

    def outcome(self, number: int) -> Outcome | None:
        """Return how a release ended, or None while it is open."""
        body = self.noted(number, "outcome")
        return None if body is None else Outcome.from_json(body)

    def note(self, number: int, name: str, body: Mapping[str, Any]) -> None:
        """Keep what a step found; the first writing stays."""
        try:
            self._store.write(self.uri(number, name), encode(body), if_absent=True)
        except ObjectExistsError:
            return

    def noted(self, number: int, name: str) -> dict[str, Any] | None:
        """Return what a step found earlier, or None."""
        uri = self.uri(number, name)
        try:
            raw = self._store.read(uri)
        except ObjectMissingError:
            return None
        try:
            return dict(json.loads(raw))
        except (ValueError, TypeError) as error:
            raise _unreadable(uri, error) from error

    def _bytes(self, uri: str) -> bytes:
        try:
            return self._store.read(uri)
        except ObjectMissingError as error:
            raise StateError(f"deployment: {uri} vanished while it was read.", hint="Retry.") from error


def encode(body: Mapping[str, Any]) -> bytes:
    """Return a ledger object's bytes: stable, and readable by people."""
    return (json.dumps(body, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def refuse_or_take_over(ledger: Ledger, history: History, now: datetime) -> History:
    """Make sure that no other run is in the middle of a release; a claim past its lease is declared abandoned.

    :raises ReleaseConflictError: another run holds the claim. Nothing was changed.
    """
    entry = history.open
    if entry is None:
        return history
    release = entry.release
    lease = moment_of(release.lease_until)
    if lease is None or lease > now:
        raise ReleaseConflictError(
            f"deployment: release {release.release} of {release.workload} is being carried out by run "
            f"{release.run or 'unknown'}; this run changed nothing.",
            hint=f"Retry after it has ended; a claim counts as abandoned after {release.lease_until}.",
        )
    ledger.close(
        Outcome(
            release.release,
            "abandoned",
            iso(now),
            why=("its lease ran out and it was never closed",),
            entry_sha256=entry.sha256,
        )
    )
    return ledger.read()


def _unreadable(uri: str, error: Exception) -> StateError:
    return StateError(
        f"deployment: the ledger object {uri} cannot be read ({type(error).__name__}).",
        hint="Restore it from the bucket's versions; `airflow-distill verify` names what does not fit.",
    )
