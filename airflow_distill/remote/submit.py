"""Find, adopt or submit: the one way anything paid is bought.

Used by deferrable, blocking and fire-and-forget operators alike. The order never changes: look the name up, adopt what
runs or has completed, buy only when the service itself says that there is none or that the last one failed or was
stopped, and look again after any error from the purchase. Neither memory nor Airflow's stores decide anything: a
process may be killed between any two lines here and the next try ends with the same single purchase, because names and
tokens are functions of the wish.

Calls, time and pauses are passed in. `fault` is called at every named point; tests kill the process there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_distill.errors import (
    ConfigurationError,
    DistillError,
    OwnershipError,
    ServiceAccessError,
    StateError,
)
from airflow_distill.remote.failure import diagnose, job_error
from airflow_distill.remote.polling import parse_time
from airflow_distill.remote.records import JobSnapshot, Kind
from airflow_distill.remote.times import iso

FAULT_POINTS = (
    "before-find",
    "after-find",
    "before-create",
    "after-create",
    "after-create-error",
    "before-return",
)
"""Every point of `find_adopt_or_submit` at which a process may die, in order."""

_LOOKS = (0.0, 1.0, 2.0, 4.0)
"""Seconds before each look after a create: reads may lag behind writes."""
_READS = (0.0, 1.0, 3.0, 8.0, 15.0)
"""Seconds before each attempt to read when the service does not answer."""
_CREATES = (0.0, 2.0, 8.0)
"""Seconds before each attempt to create when the service did not answer and the name is still free."""
APPEARS = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 20.0, 25.0)
"""Seconds before each look for what was just bought: reports tell of up to 60 s of NotFound after a create."""
_JUST_ENDED = timedelta(minutes=10)
"""A result that is missing so soon after its work ended may only not be shown yet."""
MOST_UNASKED = 2
"""How many may be bought for one wish when its author has set no number."""
_STOPPING_LOOKS = 24
_STOPPING_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to exist exactly once.

    :param name_of: the name for a generation; see `remote.identity`.
    :param find: looks a name up; None only when the service says there is none, any doubt is raised.
    :param create: buys a generation and returns its ARN.
    :param older_name_of: the name that versions before 1.0 gave a generation; looked up when there is nothing under ours.
    :param inspect: raises `OwnershipError` when what was found is not ours or was not bought for this wish.
    :param spent: says why finished work is of no use any more, such as a model that was deleted; empty when it is.
    :param discard: removes what failed before the next generation is bought; hosts that failed may bill.
    :param create_after: buys a generation under another request token, after the ARN that the first token stands for has
        been deleted. None for work that is never deleted.
    """

    kind: Kind
    name_of: Callable[[int], str]
    find: Callable[[str], JobSnapshot | None]
    create: Callable[[int], str]
    older_name_of: Callable[[int], str] | None = None
    inspect: Callable[[JobSnapshot], None] = lambda found: None
    spent: Callable[[JobSnapshot], str] = lambda found: ""
    discard: Callable[[JobSnapshot], None] = lambda found: None
    create_after: Callable[[int, str], str] | None = None


@dataclass(frozen=True, slots=True)
class Memo:
    """What an earlier try noted down. A shortcut to where to look first, never a proof that something exists."""

    name: str
    generation: int
    arn: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"v": 1, "name": self.name, "generation": self.generation, "arn": self.arn}

    @classmethod
    def from_json(cls, data: Any) -> Memo | None:
        """Read a note; an unreadable one is no note."""
        try:
            return cls(str(data["name"]), int(data["generation"]), str(data.get("arn", "")))
        except (TypeError, KeyError, ValueError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class Submission:
    """What the wish came to.

    :param adopted: it was there already; this call bought nothing.
    :param submissions: how many generations have been bought in all, as far as the service shows.
    """

    snapshot: JobSnapshot
    generation: int
    adopted: bool
    submissions: int

    @property
    def memo(self) -> Memo:
        """What to note down for a later try."""
        return Memo(self.snapshot.name, self.generation, self.snapshot.arn)


def no_fault(point: str) -> None:
    """Do nothing at a fault point."""


def find_adopt_or_submit(
    wish: Wish,
    *,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
    max_generations: int | None = None,
    first_generation: int = 1,
    memo: Memo | None = None,
    buy_when_spent: bool = False,
    fault: Callable[[str], None] = no_fault,
) -> Submission:
    """Return the one piece of work for this wish, buying it only when there is none.

    :param max_generations: how many may ever be bought; a further one is refused with the last failure. None: a second
        one only after a stop, or after a failure that the service's own words say may heal by itself.
    :param first_generation: where to begin counting; raise it to buy on purpose past a completed one.
    :param buy_when_spent: buy the next generation when finished work is of no use any more (its model was deleted).
    :raises StateError: the service could not be asked whether the work exists; nothing more was bought.
    :raises OwnershipError: what stands under the name belongs to somebody else, or was bought for something else.
    :raises ConfigurationError: finished work is of no use any more, and `buy_when_spent` is off.
    :raises JobError: every allowed generation failed or was stopped.
    """
    if first_generation < 1 or (max_generations is not None and max_generations < 1):
        raise ConfigurationError("submit: generations count from 1.", hint="Set both numbers to at least 1.")
    last_allowed = first_generation + (max_generations or MOST_UNASKED) - 1
    generation = _start(wish, memo, first_generation, last_allowed)
    refused: ConfigurationError | None = None
    replaced = 0
    while True:
        fault("before-find")
        found = find_generation(wish, generation, sleep)
        fault("after-find")
        if found is None:
            if refused is not None:
                raise refused
            _refuse_doubt(wish, memo, generation)
            return _buy(wish, generation, first_generation, now, sleep, fault)
        wish.inspect(found)
        ended_badly = found.state in ("failed", "stopped")
        why = "" if ended_badly else _spent(wish, found, now, sleep)
        if not ended_badly and not why:
            fault("before-return")
            return Submission(found, generation, True, generation - first_generation + 1)
        wish.discard(found)
        if why:
            refused = (
                None if buy_when_spent else _of_no_use(found, why)
            )  # unless the next one is there already
            replaced += 1
        bought = generation - first_generation + 1 - replaced
        if ended_badly and not may_buy_another(found, bought, max_generations):
            raise _used_up(found, bought)
        generation += 1


def find_generation(wish: Wish, generation: int, sleep: Callable[[float], None]) -> JobSnapshot | None:
    """Look a generation up by its name, then by the name that earlier versions gave it.

    Under the older name only what is ours counts: another root's job has the same one.
    """
    found = _settled(wish, wish.name_of(generation), sleep)
    if found is not None or wish.older_name_of is None:
        return found
    older = _settled(wish, wish.older_name_of(generation), sleep)
    if older is None:
        return None
    try:
        wish.inspect(older)
    except OwnershipError:
        return None
    return older


def _spent(
    wish: Wish, found: JobSnapshot, now: Callable[[], datetime], sleep: Callable[[float], None]
) -> str:
    """Say why finished work is of no use any more; what has just ended is looked at again before that is believed."""
    if found.state != "succeeded":
        return ""
    ended = parse_time(found.ended_at)
    fresh = ended is not None and now() - ended < _JUST_ENDED
    why = ""
    for pause in APPEARS if fresh else APPEARS[:1]:
        if pause:
            sleep(pause)
        why = wish.spent(found)
        if not why:
            return ""
    return why


def _of_no_use(found: JobSnapshot, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"submit: {found.kind} {found.name} has ended as {found.status}, but {why}. Nothing was bought.",
        hint="To buy it again, set buy_when_spent=True (job.buy_when_spent: true in a workload file) and clear the task.",
    )


def _start(wish: Wish, memo: Memo | None, first: int, last: int) -> int:
    if memo is not None and first <= memo.generation <= last and wish.name_of(memo.generation) == memo.name:
        return memo.generation
    return first


def _refuse_doubt(wish: Wish, memo: Memo | None, generation: int) -> None:
    """Buy nothing when an earlier try noted an ARN under this name and the service now knows nothing of it."""
    if memo is not None and memo.arn and memo.name == wish.name_of(generation):
        raise StateError(
            f"submit: an earlier try bought {memo.name} ({memo.arn}), and the service now says there is none.",
            hint="Check the connection's account and Region. To buy again, delete the task's stored state first.",
        )


def may_buy_another(found: JobSnapshot, bought: int, max_generations: int | None) -> bool:
    """Say whether one more may be bought after `found` failed or was stopped.

    :param bought: how many have been bought so far, `found` included.
    """
    if max_generations is not None:
        return bought < max_generations
    return bought < MOST_UNASKED and (found.state == "stopped" or diagnose(found).may_heal)


def _used_up(found: JobSnapshot, bought: int) -> DistillError:
    error = job_error(found)
    error.retryable = False
    error.hint = (
        f"{diagnose(found).hint} {bought} bought so far. To buy another for the same inputs, set "
        f"max_generations={bought + 1} (job.submissions: {bought + 1} in a workload file) and clear the task."
    )
    return error


def _read(wish: Wish, name: str, sleep: Callable[[float], None]) -> JobSnapshot | None:
    """Look a name up, asking again while the service does not answer."""
    error: DistillError | None = None
    for pause in _READS:
        if pause:
            sleep(pause)
        try:
            return wish.find(name)
        except DistillError as caught:
            if not caught.retryable:
                raise
            error = caught
    raise StateError(
        f"submit: could not find out whether {name} exists: {error.message if error else ''}",
        hint="Nothing was bought. Retry: the next try looks the name up first.",
    ) from error


def _settled(wish: Wish, name: str, sleep: Callable[[float], None]) -> JobSnapshot | None:
    """Look a name up; one that is stopping is waited for a little, because it will be neither adopted nor replaced."""
    for _ in range(_STOPPING_LOOKS):
        found = _read(wish, name, sleep)
        if found is None or found.status != "Stopping":
            return found
        sleep(_STOPPING_PAUSE)
    raise StateError(
        f"submit: {name} is still stopping.",
        hint="Retry: the next try looks the name up and buys the next generation.",
    )


def _buy(
    wish: Wish,
    generation: int,
    first: int,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
    fault: Callable[[str], None],
) -> Submission:
    name = wish.name_of(generation)
    for attempt, pause in enumerate(_CREATES, 1):
        if pause:
            sleep(pause)
        fault("before-create")
        try:
            arn = wish.create(generation)
        except Exception as error:
            fault("after-create-error")
            found = _look_again(wish, name, sleep, error)
            if found is not None:
                wish.inspect(found)
                fault("before-return")
                return Submission(found, generation, True, generation - first + 1)
            if attempt == len(_CREATES) or not getattr(error, "retryable", False):
                raise
            continue
        fault("after-create")
        if wish.create_after is None:
            snapshot = _after_create(wish, name, arn, now)
        else:
            snapshot = _shown(wish, generation, arn, now, sleep)
        fault("before-return")
        return Submission(snapshot, generation, False, generation - first + 1)
    raise AssertionError("the last attempt returns or raises")


def _shown(
    wish: Wish, generation: int, arn: str, now: Callable[[], datetime], sleep: Callable[[float], None]
) -> JobSnapshot:
    """Wait until the service shows what was bought.

    A request token that was used up by something deleted since answers with a dead ARN, for ever. Only when the service has
    shown nothing under name and ARN for longer than reads may lag is the purchase repeated, once, under another token. A
    process that dies after that finds the host by its name.
    """
    assert wish.create_after is not None
    name = wish.name_of(generation)
    for attempt in (1, 2):
        for pause in APPEARS:
            if pause:
                sleep(pause)
            found = _read(wish, name, sleep) or _read(wish, arn, sleep)
            if found is not None:
                wish.inspect(found)
                return found
        if attempt == 1:
            try:
                arn = wish.create_after(generation, f"{arn} {iso(now())}")
            except DistillError as error:
                found = _look_again(wish, name, sleep, error)
                if found is None:
                    raise _never_shown(name, arn, f" Asked again, it said: {error.message}") from error
                wish.inspect(found)
                return found
    raise _never_shown(name, arn)


def _never_shown(name: str, arn: str, more: str = "") -> StateError:
    return StateError(
        f"submit: the service accepted {name} ({arn}) and has shown nothing under it for {sum(APPEARS):.0f} s: it was "
        f"deleted, or it never came to be.{more}",
        hint="Nothing more was bought. Look for the name in the console; a retry looks it up first.",
    )


def _look_again(
    wish: Wish, name: str, sleep: Callable[[float], None], error: Exception
) -> JobSnapshot | None:
    """Look a name up after a failed create, whatever the failure said."""
    certain = isinstance(error, ServiceAccessError | ConfigurationError)
    for pause in _LOOKS[:1] if certain else _LOOKS:
        if pause:
            sleep(pause)
        try:
            found = _read(wish, name, sleep)
        except DistillError as unread:
            raise StateError(
                f"submit: creating {name} failed ({error}), and it could not be looked up afterwards "
                f"({unread.message}).",
                hint="It may exist. Retry: the next try looks it up first and buys nothing twice.",
            ) from error
        if found is not None:
            return found
    return None


def _after_create(wish: Wish, name: str, arn: str, now: Callable[[], datetime]) -> JobSnapshot:
    """Return the bought work as the service shows it, or as it must be when it does not show it yet."""
    try:
        found = wish.find(name)
    except DistillError:
        found = None
    if found is not None and found.arn == arn:
        return found
    return JobSnapshot(
        kind=wish.kind, arn=arn, name=name, state="active", status="InProgress", created_at=iso(now())
    )


__all__ = [
    "FAULT_POINTS",
    "Memo",
    "Submission",
    "Wish",
    "find_adopt_or_submit",
    "find_generation",
    "no_fault",
]
