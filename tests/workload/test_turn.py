"""Turns: never two runs of one workload at once, in the order of time, and no run that is gone blocks another."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from airflow_distill.errors import StateError
from airflow_distill.stages.storage import MemoryStore
from airflow_distill.workload.turn import Runner, Turns

ROOT = "s3://bucket/loop"


class LockedStore(MemoryStore):
    """A memory store whose conditional write and listing are one step each, as the service's are."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
        with self.lock:
            super().write(uri, data, if_absent=if_absent)

    def iter_objects(self, prefix: str) -> Any:
        with self.lock:
            found = list(super().iter_objects(prefix))
        return iter(found)


def run(number: int, dag_id: str = "distill_w") -> Runner:
    return Runner(dag_id, f"run-{number}", "start.take_turn")


def always(runner: Runner) -> bool:
    return True


def never(runner: Runner) -> bool:
    return False


@pytest.fixture
def turns() -> Turns:
    return Turns(LockedStore(), ROOT, "w")


def test_the_second_run_waits_for_the_first_and_takes_the_turn_after_it(turns: Turns) -> None:
    assert turns.take(run(1), "1", always).runner == run(1)
    assert turns.take(run(2), "2", always).runner == run(1)
    waited = turns.waits_for(run(2), "2", always)
    assert waited is not None
    assert waited.runner == run(1)
    turns.end(1)
    assert turns.waits_for(run(2), "2", always) is None
    assert turns.take(run(2), "2", always).number == 2


def test_a_retry_or_a_cleared_task_keeps_the_turn_of_its_run(turns: Turns) -> None:
    first = turns.take(run(1), "1", always)
    assert turns.take(run(1), "1", always) == first
    assert turns.waits_for(run(1), "1", always) is None


def test_a_run_cleared_after_its_end_waits_like_any_other(turns: Turns) -> None:
    turns.end(turns.take(run(1), "1", always).number)
    assert turns.take(run(2), "2", always).runner == run(2)
    assert turns.take(run(1), "1", always).runner == run(2)
    turns.end(2)
    assert turns.take(run(1), "1", always).number == 3


def test_two_dags_that_name_one_workload_take_turns(turns: Turns) -> None:
    assert turns.take(run(1), "1", always).runner == run(1)
    assert turns.take(run(1, "another"), "1", always).runner == run(1)


def test_the_turn_of_a_run_that_is_gone_is_taken_over(turns: Turns) -> None:
    turns.take(run(1), "1", always)
    assert turns.take(run(2), "2", never) == turns.take(run(2), "2", always)
    assert turns.take(run(1), "1", always).runner == run(2)


def test_those_who_wait_go_in_the_order_of_their_time_not_of_their_coming(turns: Turns) -> None:
    turns.take(run(0), "0", always)
    for number in (3, 1, 2):
        turns.take(run(number), str(number), always)
    turns.end(1)
    assert turns.take(run(3), "3", always).runner == run(1)
    assert turns.take(run(2), "2", always).runner == run(1)
    assert turns.take(run(1), "1", always).runner == run(1)


def test_a_waiting_run_that_is_gone_or_has_given_up_blocks_nobody(turns: Turns) -> None:
    turns.take(run(0), "0", always)
    for number in (1, 2, 3):
        turns.take(run(number), str(number), always)
    turns.end(1)
    turns.leave(run(1), "1")
    assert turns.take(run(3), "3", lambda runner: runner != run(2)).runner == run(3)


def test_a_slow_rival_with_an_old_listing_finds_the_turn_taken(turns: Turns) -> None:
    """It read the listing before three others came and went, and their objects were swept away."""
    slow = turns._read()
    for number in (1, 2, 3):
        turns.take(run(number), str(number), always)
        if number < 3:
            turns.end(number)
    assert slow.last is None
    late = turns._take_number(1, run(9))
    assert late.runner == run(3)
    assert turns.take(run(9), "9", always).runner == run(3)


def test_a_turn_that_is_swept_away_while_it_is_read_is_looked_for_anew() -> None:
    """Two others came and went between the listing and the reading."""

    class Sweeping(LockedStore):
        swept = False

        def read(self, uri: str) -> bytes:
            if uri == turns.uri(1) and not self.swept:
                self.swept = True
                for number in (1, 2, 3):
                    turns.end(turns.take(run(number), str(number), always).number)
            return super().read(uri)

    store = Sweeping()
    turns = Turns(store, ROOT, "w")
    store.swept = True
    turns.take(run(1), "1", always)
    store.swept = False
    assert turns.take(run(9), "9", always).runner == run(9)


def test_what_the_bucket_keeps_does_not_grow_with_the_number_of_runs() -> None:
    store = LockedStore()
    turns = Turns(store, ROOT, "w")
    for number in range(20):
        turns.end(turns.take(run(number), f"{number:02d}", always).number)
    assert len(store.objects) <= 4


def test_a_turn_that_cannot_be_read_is_not_taken_for_none() -> None:
    store = LockedStore()
    turns = Turns(store, ROOT, "w")
    store.write(turns.uri(1), b"{")
    with pytest.raises(StateError, match="000001"):
        turns.take(run(1), "1", never)


@pytest.mark.parametrize("seed", range(5))
def test_of_many_runs_at_once_never_two_are_inside(seed: int) -> None:
    """Some of them end without giving their turn back."""
    turns = Turns(LockedStore(), ROOT, "w")
    inside: set[Runner] = set()
    gone: set[Runner] = set()
    most: list[int] = []

    def work(number: int) -> None:
        me = run(number, f"dag-{number % 2}")
        turn = turns.take(me, f"{number:02d}", lambda runner: runner not in gone)
        while turn.runner != me and time.monotonic() < deadline:
            turn = turns.take(me, f"{number:02d}", lambda runner: runner not in gone)
        inside.add(me)
        time.sleep(0.002)
        most.append(len(inside))
        inside.remove(me)
        if (number + seed) % 3:
            turns.end(turn.number)
        gone.add(me)

    deadline = time.monotonic() + 60
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(most) == 12
    assert max(most) == 1
