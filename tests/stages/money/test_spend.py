"""The month's cap: whether a claim stands follows from those before it, and two at once cannot both pass."""

from __future__ import annotations

import threading

import pytest

from airflow_distill.errors import StateError
from airflow_distill.stages.money.spend import Claim, Spend, standing, total
from airflow_distill.stages.storage import LocalStore, MemoryStore

ROOT = "s3://bucket/loop"


def spend(store: MemoryStore | None = None, month: str = "202611") -> Spend:
    return Spend(store or MemoryStore(), ROOT, "w", month)


def test_claims_stand_while_they_fit_into_the_cap() -> None:
    book = spend()
    assert book.claim("d1", 40, 100) == (True, 0)
    assert book.claim("d2", 70, 100) == (False, 40)
    assert book.claim("d3", 60, 100) == (True, 40)
    assert total(standing(book.read())) == 100


def test_a_dataset_counts_once_in_its_month_and_anew_in_the_next() -> None:
    store = MemoryStore()
    for _ in range(2):
        assert spend(store).claim("d1", 40, 50) == (True, 0)
    assert len(spend(store).read()) == 1
    assert spend(store, "202612").claim("d1", 40, 50) == (True, 0)


def test_a_refused_run_passes_when_its_cap_is_raised_and_earlier_refusals_stay_refused() -> None:
    book = spend()
    book.claim("d1", 60, 100)
    assert book.claim("d2", 60, 100) == (False, 60)
    assert book.claim("d3", 30, 200) == (True, 60)
    assert book.claim("d2", 60, 200) == (True, 90)
    assert [claim.number for claim in standing(book.read())] == [1, 3, 4]


def test_without_a_cap_everything_stands_and_is_counted() -> None:
    book = spend()
    assert book.claim("d1", 60, None) == (True, 0)
    assert book.claim("d2", 60, 100) == (False, 60)


def test_an_unreadable_claim_is_not_taken_for_none() -> None:
    store = MemoryStore()
    store.write(f"{ROOT}/w/spend/202611/000001.json", b"{}")
    with pytest.raises(StateError, match="000001"):
        spend(store).claim("d1", 1, 100)


class MeetingStore(LocalStore):
    """Lets writers go on only when all of them have read what was there before."""

    def __init__(self, writers: int) -> None:
        self.barrier = threading.Barrier(writers, timeout=30)
        self.met = threading.local()

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
        if not getattr(self.met, "yes", False):
            self.met.yes = True
            self.barrier.wait()
        super().write(uri, data, if_absent=if_absent)


@pytest.mark.parametrize("runs", [2, 5])
def test_of_runs_that_claim_at_once_only_those_pass_that_fit(
    tmp_path_factory: pytest.TempPathFactory, runs: int
) -> None:
    """Each has seen an empty month before any of them writes."""
    store, root = MeetingStore(runs), str(tmp_path_factory.mktemp("spend"))
    passed: list[bool] = []
    threads = [
        threading.Thread(
            target=lambda n=n: passed.append(Spend(store, root, "w", "202611").claim(f"d{n}", 60, 100)[0])
        )
        for n in range(runs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(passed) == [False] * (runs - 1) + [True]
    claims = Spend(store, root, "w", "202611").read()
    assert sorted(claim.number for claim in claims) == list(range(1, runs + 1))
    assert total(standing(claims)) == 60


def test_the_same_claims_in_any_order_stand_alike() -> None:
    claims = [Claim("a", 60, 100, 1), Claim("b", 60, 100, 2), Claim("c", 40, 100, 3)]
    assert standing(claims) == standing(reversed(claims)) == [claims[0], claims[2]]
