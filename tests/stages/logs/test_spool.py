"""Bytes by slot: what is put comes back from memory and from the file, and the file shows none of it."""

from __future__ import annotations

import os

import pytest

from airflow_distill.stages.logs.spool import IN_MEMORY, Spool


def filled(pieces: int = 700, size: int = 7_001) -> tuple[Spool, list[tuple[bytes, tuple[int, int]]]]:
    spool = Spool()
    data = [b"my card is %d " % number * (size // 13) for number in range(pieces)]
    return spool, [(one, spool.put(one)) for one in data]


def test_every_piece_comes_back_in_any_order() -> None:
    spool, put = filled()
    assert spool._file is not None
    assert all(spool.get(slot) == data for data, slot in reversed(put))
    assert all(spool.get(slot) == data for data, slot in put)
    spool.close()


def test_an_empty_piece_comes_back() -> None:
    spool = Spool()
    first, second = spool.put(b""), spool.put(b"")
    big = spool.put(b"x" * (IN_MEMORY + 1))
    assert spool._file is not None
    assert spool.get(first) == spool.get(second) == b""
    assert spool.get(big) == b"x" * (IN_MEMORY + 1)


def test_a_few_bytes_make_no_file() -> None:
    spool, _ = filled(pieces=3)
    assert spool._file is None


def test_equal_pieces_lie_in_the_file_as_unlike_bytes() -> None:
    """Of two equal prompts nobody sees that they are equal."""
    spool = Spool()
    piece = b"the same prompt " * 70_000
    slots = [spool.put(piece) for _ in range(4)]
    assert spool._file is not None
    spool._file.seek(0)
    written = spool._file.read()
    assert len({written[start : start + size] for start, size in slots}) == 4
    assert piece[:64] not in written
    assert [spool.get(slot) for slot in slots] == [piece] * 4


def test_two_spools_have_keys_of_their_own() -> None:
    piece = b"x" * (IN_MEMORY + 1)
    written = []
    for spool in (Spool(), Spool()):
        spool.put(piece)
        assert spool._file is not None
        spool._file.seek(0)
        written.append(spool._file.read())
    assert written[0] != written[1]


@pytest.mark.parametrize("harm", ["changed", "cut"])
def test_a_file_that_was_changed_is_an_error_and_not_another_prompt(harm: str) -> None:
    spool, put = filled()
    start, size = put[5][1]
    assert spool._file is not None
    if harm == "cut":
        os.ftruncate(spool._file.fileno(), start + size // 2)
    else:
        os.pwrite(spool._file.fileno(), b"\0\0\0\0\0\0\0\0", start + 10)
    with pytest.raises(OSError, match=r"Run the task again") as error:
        spool.get((start, size))
    assert "card" not in str(error.value)
    assert spool.get(put[4][1]) == put[4][0]


def test_what_is_forgotten_becomes_waste_until_a_fresh_spool_is_worth_it() -> None:
    spool, put = filled(pieces=15_000)
    assert not spool.is_wasteful
    for _, slot in put[:14_000]:
        spool.forget(slot)
    assert spool.is_wasteful
    assert spool.get(put[-1][1]) == put[-1][0]
