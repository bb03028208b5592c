"""Any file becomes whole lines, however it is packed, cut or damaged."""

from __future__ import annotations

import gzip
import io
import json
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_distill.stages.logs.blocks import LogBlocks, count_lines
from airflow_distill.stages.logs.forms import as_record_lines, foreign_form
from airflow_distill.stages.logs.parse import parse_line
from airflow_distill.stages.logs.records import Interaction
from tests.stages.logs.log_records import record


def read(data: bytes) -> tuple[list[bytes], bool]:
    """Return the lines and whether the stream was damaged, checking the counting on the way."""
    found = LogBlocks(io.BytesIO(data))
    lines: list[bytes] = []
    for block, end in found:
        assert block[end - 1 : end] == b"\n"
        new = block[: end - 1].split(b"\n")
        assert count_lines(block, end) == len(new)
        lines += new
    return lines, found.damaged


def plain(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


big = random.Random(7).randbytes(300_000).hex().encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        b"a",
        b"a\n",
        b"a\nb",
        b"\r\na\r\n",
        b"x" * 3_000_000 + b"\ny",
        b"\n".join([big[:1000 + n] for n in range(900)]),
        big * 12 + b"\n" + big,
        "a\u2028b\u0085c\n".encode(),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packing", ["plain", "gzip", "members", "padded"])
def test_lines_survive_every_packing(data: bytes, packing: str) -> None:
    half = len(data) // 2
    packed = {
        "plain": data,
        "gzip": gzip.compress(data),
        "members": b"".join(gzip.compress(part) for part in (data[:half], b"", data[half:])),
        "padded": gzip.compress(data) + b"\0" * 600_000,
    }[packing]
    assert read(packed) == (plain(data), False)


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(1, 40))
def test_small_pieces_give_the_same_lines(data: bytes, size: int) -> None:
    if data.startswith(b"\x1f\x8b") or foreign_form(data) or as_record_lines(data, iter(()), 100):
        data = b"x" + data

    class Dribbling(io.BytesIO):
        def read(self, wanted: int | None = -1) -> bytes:
            return super().read(size)

    lines = [line for block, end in LogBlocks(Dribbling(data)) for line in block[: end - 1].split(b"\n")]
    assert lines == plain(data)


LINES = b"".join(b"line %d %d\n" % (n, n * n) for n in range(200_000))


@pytest.mark.parametrize("cut", [2, 9, 100, 100_000, -9, -4, -1])
def test_a_stream_that_is_cut_off_gives_what_is_there_and_says_so(cut: int) -> None:
    lines, damaged = read(gzip.compress(LINES)[:cut])
    assert damaged
    assert lines[:-1] == plain(LINES)[: max(len(lines) - 1, 0)]


def test_a_cut_after_the_data_loses_no_line() -> None:
    assert read(gzip.compress(LINES)[:-4]) == (plain(LINES), True)


def test_corrupt_bytes_end_the_file_not_the_harvest() -> None:
    packed = bytearray(gzip.compress(LINES))
    packed[len(packed) // 2 : len(packed) // 2 + 50] = b"\xff" * 50
    lines, damaged = read(bytes(packed))
    assert damaged
    assert lines[:1000] == plain(LINES)[:1000]


def test_a_second_member_that_is_garbage_is_damage() -> None:
    assert read(gzip.compress(b"a\n") + b"garbage") == ([b"a"], True)
    assert read(gzip.compress(b"a\n") + b"\x1f") == ([b"a"], True)


def test_a_wrong_checksum_is_damage() -> None:
    packed = gzip.compress(b"a\n" * 10)
    assert read(packed[:-8] + zlib.crc32(b"b").to_bytes(4, "little") + packed[-4:])[1]


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n  "])
def test_one_pretty_printed_object_is_one_record(before: bytes) -> None:
    lines, damaged = read(before + json.dumps(record(), indent=2).encode())
    assert (len(lines), damaged) == (1, False)
    assert isinstance(parse_line(lines[0]), Interaction)


def test_an_object_that_only_begins_like_one_is_read_as_lines() -> None:
    text = b"{\n" + b"\n".join([json.dumps(record()).encode()] * 3)
    assert read(text) == (plain(text), False)


def test_a_file_too_large_to_be_one_object_is_read_as_lines() -> None:
    text = json.dumps(record(numbers=list(range(20_000))), indent=2).encode()
    lines = [
        line
        for block, end in LogBlocks(io.BytesIO(text), longest=1000)
        for line in block[: end - 1].split(b"\n")
    ]
    assert lines == plain(text)
