"""One run of a workload at a time: whose turn it is, kept in the bucket and given away by conditional writes.

    <root>/<workload>/turns/000007.json                 a turn: the Dag run that has it; created once, never changed
    <root>/<workload>/turns/000007.ended.json           it is over: given back, or its run ended without giving it back
    <root>/<workload>/turns/waiting/<time>-<key>.json   a run that waits, by the time it stands for
    <root>/<workload>/turns/lost/<key>.json             a run whose turn was taken from it, and the run that took it

Two runs cannot take one number, because the write is refused when the object is there, and only the highest number
counts. So no object is ever deleted to free a turn, and nobody can free a turn that somebody else has just taken. Whether
a Dag run is still active is asked through a function that is passed in: this module imports no Airflow and reads no clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from airflow_distill.errors import StateError
from airflow_distill.stages.digest import digest
from airflow_distill.stages.storage import ObjectExistsError, ObjectMissingError, ObjectStore, join_uri

_TURN = re.compile(r"/turns/(\d{6})(\.ended)?\.json$")
_WAITING = re.compile(r"/turns/waiting/([^/]+)\.json$")


@dataclass(frozen=True, slots=True)
class Runner:
    """Who takes turns: one task of one Dag run, in the Airflow of this id (of older turns: its address, or empty)."""

    dag_id: str
    run_id: str
    task_id: str
    airflow: str = ""

    def __str__(self) -> str:
        return f"{self.dag_id} {self.run_id}"


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn and who has it, or had it."""

    number: int
    runner: Runner


IsActive = Callable[[Runner], bool]
"""Says whether a Dag run may still work; a run that cannot be asked about counts as active."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What one look at the bucket has found: the turn with the highest number, and what else lies there."""

    last: Turn | None
    open: bool
    numbers: tuple[str, ...]
    waiting: tuple[str, ...]

    @property
    def held(self) -> Turn | None:
        """The turn that somebody has, if any."""
        return self.last if self.open else None


class Turns:
    """The turns of one workload.

    :param root: the workloads' common root, `s3://bucket/prefix` or a folder.
    """

    def __init__(self, store: ObjectStore, root: str, workload: str) -> None:
        self._store = store
        self.prefix = join_uri(root, workload, "turns")

    def uri(self, number: int, *, ended: bool = False) -> str:
        """Return the URI of a turn, or of its end."""
        return f"{self.prefix}/{number:06d}{'.ended' if ended else ''}.json"

    def take(self, me: Runner, order: str, is_active: IsActive) -> Turn:
        """Take the turn if nobody has it and nobody active stands before us; return it, or the one to wait for.

        Taking again what one has returns the same turn, so a retry or a cleared task goes on.

        :param order: the time the run stands for, as sortable text; among those who wait the smallest goes first.
        """
        ticket = self._ticket(me, order)
        self._claim(ticket, me)
        found = self._read()
        turn = found.held
        if turn is None or turn.runner != me:
            blocking = self._blocking(found, ticket, is_active)
            if blocking is not None:
                return blocking
            if turn is not None:
                self._claim(self._lost_uri(turn.runner), me)
                self._end(turn.number, "abandoned")
            turn = self._take_number(1 + (found.last.number if found.last else 0), me)
            if turn.runner != me:
                return turn
        self._store.delete(ticket)
        self._store.delete(self._lost_uri(me))
        before = found.last.number if found.last else 0
        for uri in found.numbers:
            if uri not in (self.uri(before), self.uri(before, ended=True)):
                self._store.delete(uri)
        return turn

    def waits_for(self, me: Runner, order: str, is_active: IsActive) -> Turn | None:
        """Return the turn that must end first, or None when `take` is worth a try; changes no turn."""
        found = self._read()
        if found.held is not None and found.held.runner == me:
            return None
        return self._blocking(found, self._ticket(me, order), is_active)

    def end(self, number: int) -> None:
        """Give a turn back; giving it back twice is the same as once."""
        self._end(number, "given back")

    def number_of(self, me: Runner) -> int | None:
        """Return the number of the turn that a Dag run has, whichever of its tasks took it; None when it has none."""
        held = self._read().held
        if held is None or (held.runner.dag_id, held.runner.run_id) != (me.dag_id, me.run_id):
            return None
        return held.number if held.runner.airflow in ("", me.airflow) else None

    def lost_to(self, me: Runner) -> Runner | None:
        """Return the run that has taken this run's turn from it, whichever of its tasks asks; None when nobody has.

        A run that was given up may go on: its Dag's file is back, its worker wakes. It must change nothing any more.
        """
        try:
            return self._runner(self._lost_uri(me))
        except ObjectMissingError:
            return None

    def leave(self, me: Runner, order: str) -> None:
        """Wait no longer."""
        self._store.delete(self._ticket(me, order))

    def _blocking(self, found: _Found, ticket: str, is_active: IsActive) -> Turn | None:
        if found.held is not None and is_active(found.held.runner):
            return found.held
        for uri in found.waiting:
            if uri >= ticket:
                break
            try:
                runner = self._runner(uri)
            except ObjectMissingError:
                continue
            if is_active(runner):
                return Turn(0, runner)
            self._store.delete(uri)
        return None

    def _take_number(self, number: int, me: Runner) -> Turn:
        """Create the turn; return it, or the one that another run has created meanwhile."""
        self._claim(self.uri(number), me)
        last = self._read().last
        if last is None:
            raise StateError(
                f"workload: {self.uri(number)} vanished after it was written.",
                hint="Check what else deletes objects below `turns/`.",
            )
        if last.number != number and last.runner != me and self._runner_or_none(number) == me:
            self._end(number, "overtaken")
        return last

    def _claim(self, uri: str, me: Runner) -> None:
        try:
            self._store.write(uri, json.dumps({"v": 1, **asdict(me)}, indent=1).encode(), if_absent=True)
        except ObjectExistsError:
            return

    def _end(self, number: int, how: str) -> None:
        try:
            self._store.write(
                self.uri(number, ended=True), json.dumps({"v": 1, "how": how}).encode(), if_absent=True
            )
        except ObjectExistsError:
            return

    def _lost_uri(self, runner: Runner) -> str:
        key = digest([runner.dag_id, runner.run_id, runner.airflow], 16)
        return f"{self.prefix}/lost/{key}.json"

    def _ticket(self, me: Runner, order: str) -> str:
        return f"{self.prefix}/waiting/{order}-{digest(asdict(me), 12)}.json"

    def _read(self) -> _Found:
        """Look once; anew when the turn that was found has been swept away since, because others came after it."""
        while True:
            uris = [item.uri for item in self._store.iter_objects(f"{self.prefix}/")]
            turns = [(int(m[1]), bool(m[2])) for uri in uris if (m := _TURN.search(uri))]
            number = max((number for number, ended in turns if not ended), default=0)
            runner = self._runner_or_none(number) if number else None
            if number and runner is None:
                continue
            return _Found(
                Turn(number, runner) if runner else None,
                runner is not None and (number, True) not in turns,
                tuple(uri for uri in uris if _TURN.search(uri)),
                tuple(sorted(uri for uri in uris if _WAITING.search(uri))),
            )

    def _runner_or_none(self, number: int) -> Runner | None:
        try:
            return self._runner(self.uri(number))
        except ObjectMissingError:
            return None

    def _runner(self, uri: str) -> Runner:
        raw = self._store.read(uri)
        try:
            body: dict[str, Any] = json.loads(raw)
            return Runner(body["dag_id"], body["run_id"], body["task_id"], body["airflow"])
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(
                f"workload: {uri} cannot be read ({type(error).__name__}).",
                hint="Delete it when no run of the workload is active.",
            ) from error
