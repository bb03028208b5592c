"""Hostile files: whatever the bytes, lines keep their numbers, memory stays flat and nothing raises."""

from __future__ import annotations

import gzip
import io
import json
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.stages.dataset.checks import CheckReport, check_stream
from airflow_distill.stages.dataset.reading import Block, Trouble, iter_blocks


def prompts(count: int, size: int = 5) -> bytes:
    return b"".join(
        json.dumps(
            {
                "schemaVersion": "bedrock-conversation-2024",
                "messages": [{"role": "user", "content": [{"text": f"question {n} " + "é" * size}]}],
            },
            ensure_ascii=False,
        ).encode()
        + b"\n"
        for n in range(count)
    )


def check(data: bytes) -> CheckReport:
    return check_stream(io.BytesIO(data))


def lines_of(data: bytes) -> list[tuple[int, bytes]]:
    out = []
    for part in iter_blocks(io.BytesIO(data)):
        if isinstance(part, Block):
            rows = part.data.split(b"\n")
            rows = rows[:-1] if part.data.endswith(b"\n") else rows
            out += list(enumerate(rows, part.first_line))
    return out


@given(
    st.lists(
        st.binary(min_size=1, max_size=30).map(lambda b: b.replace(b"\n", b"") or b"x"),
        min_size=1,
        max_size=50,
    )
)
def test_lines_keep_their_numbers(rows: list[bytes]) -> None:
    rows[0] = b'{"a' + rows[0]
    expected = list(enumerate(rows, 1))
    assert lines_of(b"\n".join(rows)) == expected
    assert lines_of(b"\n".join(rows) + b"\n") == expected
    assert lines_of(gzip.compress(b"\n".join(rows))) == expected


def test_lines_longer_than_a_block_keep_their_numbers() -> None:
    rows = [b"{" + bytes([65 + n % 26]) * (300_000 * (n % 4)) for n in range(12)]
    assert lines_of(b"\n".join(rows)) == list(enumerate(rows, 1))


def test_a_gzip_file_with_many_members_is_read_to_its_end() -> None:
    data = prompts(300)
    cut = data.index(b"\n", len(data) // 3) - 20
    report = check(gzip.compress(data[:cut]) + gzip.compress(b"") + gzip.compress(data[cut:]))
    assert report.accepted == 300
    assert report.counts == {"compressed": 1}
    assert report.valid


def test_members_that_end_on_a_chunk_border_are_joined() -> None:
    """The decoder's end and the reader's chunk fall together in many ways; all give the same lines."""
    rng = random.Random(5)
    data = b"".join(rng.randbytes(40).hex().encode() + b"\n" for _ in range(20_000))
    packed = b"".join(gzip.compress(data[i : i + 4096], 0) for i in range(0, len(data), 4096))
    assert b"".join(row + b"\n" for _, row in lines_of(packed)) == data


def test_a_truncated_gzip_file_gives_what_can_be_read_and_a_finding() -> None:
    report = check(gzip.compress(prompts(5000), 1)[:-2000])
    assert report.counts["gzip_truncated"] == 1
    assert 1000 < report.accepted < 5000
    assert not report.valid


def test_a_damaged_gzip_file_gives_a_finding() -> None:
    packed = bytearray(gzip.compress(prompts(20_000), 1))
    packed[len(packed) // 2 : len(packed) // 2 + 50] = b"\xff" * 50
    report = check(bytes(packed))
    assert report.counts.keys() & {"gzip_damaged", "gzip_truncated", "bad_json", "not_utf8"}
    assert not report.valid


def test_garbage_after_a_gzip_member_is_damage_and_padding_is_not() -> None:
    packed = gzip.compress(prompts(200))
    assert check(packed + b"\0" * 100).valid
    assert check(packed + b"garbage" * 9).counts["gzip_damaged"] == 1
    assert check(packed + b"\x1f\x8b\x08").counts["gzip_truncated"] == 1


def test_a_byte_order_mark_is_a_finding_and_the_first_record_still_counts() -> None:
    report = check(b"\xef\xbb\xbf" + prompts(150))
    assert report.counts == {"byte_order_mark": 1}
    assert report.accepted == 150


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_one_finding_not_one_a_line(encoding: str) -> None:
    report = check(prompts(150).decode().encode(encoding))
    assert report.counts == {"utf16": 1, "too_few_records": 1}
    assert (report.records, report.accepted) == (150, 0)
    assert not report.valid


def test_windows_line_ends_are_a_warning_on_their_lines() -> None:
    lines = prompts(150).split(b"\n")
    lines[4] += b"\r"
    lines[90] += b"\r"
    report = check(b"\n".join(lines))
    assert [(f.line, f.code) for f in report.findings] == [(5, "crlf"), (91, "crlf")]
    assert report.valid


def test_blank_lines_at_the_end_are_found() -> None:
    report = check(prompts(150) + b"\n\n")
    assert [(f.line, f.code) for f in report.findings] == [(151, "blank_line"), (152, "blank_line")]
    assert (report.records, report.valid) == (150, True)


def test_a_line_of_five_megabytes_is_read_and_one_beyond_the_limit_is_not_kept() -> None:
    long = prompts(1, 2_700_000)
    assert len(long) > 5 << 20
    report = check(prompts(120) + long + prompts(30) + b"a" * (9 << 20) + b"\n" + prompts(2))
    assert [(f.line, f.code) for f in report.findings if f.severity == "error"] == [
        (121, "text_too_long"),
        (152, "line_too_long"),
    ]
    assert (report.records, report.accepted) == (154, 152)


def test_an_endless_line_takes_no_memory() -> None:
    class Endless(io.RawIOBase):
        left = 200 << 20

        def read(self, size: int = -1) -> bytes:
            size = min(size, self.left)
            self.left -= size
            return b"a" * size

    tracemalloc.start()
    report = check_stream(Endless())  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.counts["line_too_long"] == 1
    assert peak < 30 << 20


@given(st.binary(max_size=400), st.sampled_from([b"", b"\x1f\x8b\x08", b"\xff\xfe", b"\xef\xbb\xbf", b"\0"]))
def test_no_bytes_raise(data: bytes, head: bytes) -> None:
    report = check(head + data)
    assert not report.valid
    assert all(isinstance(part, Block | Trouble) for part in iter_blocks(io.BytesIO(head + data)))
