"""Other deliveries of the same records: each gives the records, or the name of what it is instead."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.stages.logs.blocks import LogBlocks
from airflow_distill.stages.logs.parse import parse_line
from airflow_distill.stages.logs.records import Interaction
from tests.stages.logs.log_records import record

RECORDS = [record(f"question {n}", request_id=f"r{n}", note="}{") for n in range(150)]
TEXTS = [json.dumps(item) for item in RECORDS]


def subscription(texts: list[str], kind: str = "DATA_MESSAGE") -> str:
    events = [
        {"id": str(n), "timestamp": 1_764_000_000_000 + n, "message": text} for n, text in enumerate(texts)
    ]
    return json.dumps({"messageType": kind, "owner": "1", "logGroup": "g", "logEvents": events})


FORMS: dict[str, bytes] = {
    "lines": "\n".join(TEXTS).encode(),
    "a JSON array on one line": json.dumps(RECORDS).encode(),
    "a pretty-printed JSON array": json.dumps(RECORDS, indent=2).encode(),
    "pretty-printed objects one after another": "\n".join(json.dumps(item, indent=4) for item in RECORDS).encode(),
    "objects without line ends": "".join(TEXTS).encode(),
    "a subscription of CloudWatch Logs": subscription(TEXTS).encode(),
    "deliveries of Firehose without line ends": (
        subscription([], "CONTROL_MESSAGE") + subscription(TEXTS[:70]) + subscription(TEXTS[70:])
    ).encode(),
    "an export of CloudWatch Logs": "".join(
        f"2026-11-20T10:00:{n % 60:02d}.123Z {text}\n" for n, text in enumerate(TEXTS)
    ).encode(),
    "the answer of filter-log-events": json.dumps({"events": [{"message": text} for text in TEXTS]}, indent=4).encode(),
    "UTF-16 with its mark": "\n".join(TEXTS).encode("utf-16"),
    "UTF-16 without a mark": "\n".join(TEXTS).encode("utf-16-be"),
    "UTF-8 with its mark": "\n".join(TEXTS).encode("utf-8-sig"),
    "UTF-32": "\n".join(TEXTS).encode("utf-32"),
    "ends of lines of old": "\r".join(TEXTS).encode(),
    "lines that end in commas": ",\n".join(TEXTS).encode(),
    "a sequence of JSON texts": "".join(f"\x1e{text}\n" for text in TEXTS).encode(),
    "lines that are texts": "\n".join(json.dumps(text) for text in TEXTS).encode(),
    "an array of texts": json.dumps(TEXTS).encode(),
    "records of an event bus": "\n".join(json.dumps({"version": "0", "detail": item}) for item in RECORDS).encode(),
    "records of a search engine": "\n".join(json.dumps({"_id": "1", "_source": item}) for item in RECORDS).encode(),
    "texts of a log shipper": "\n".join(json.dumps({"timestamp": "t", "message": text}) for text in TEXTS).encode(),
    "records under one name": json.dumps({"records": RECORDS}).encode(),
    "a table of items": json.dumps({"Items": RECORDS}, indent=1).encode(),
    "answers of Logs Insights": json.dumps(
        {"results": [[{"field": "@message", "value": text}] for text in TEXTS], "status": "Complete"}, indent=4
    ).encode(),
    "rows of Logs Insights": json.dumps([{"@timestamp": "t", "@message": item} for item in RECORDS]).encode(),
    "the output of aws logs tail": "".join(
        f"2026-11-20T10:00:{n % 60:02d}.000000+00:00 aws/bedrock/modelinvocations {text}\n" for n, text in enumerate(TEXTS)
    ).encode(),
    "deliveries of which the first only says hello": (
        subscription(["CWL CONTROL MESSAGE: Checking health of destination Firehose."], "CONTROL_MESSAGE")
        + "\n" + "\n".join(subscription([text]) for text in TEXTS)
    ).encode(),
}  # fmt: skip


def lines_of(stream: Any, **settings: Any) -> tuple[list[bytes], LogBlocks]:
    blocks = LogBlocks(stream, **settings)
    return [line for block, end in blocks for line in block[: end - 1].split(b"\n")], blocks


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_its_records(form: str, pack: Callable[[bytes], bytes]) -> None:
    lines, blocks = lines_of(io.BytesIO(pack(FORMS[form])))
    found = [parse_line(line) for line in lines]
    assert [item.request_id for item in found if isinstance(item, Interaction)] == [
        f"r{n}" for n in range(150)
    ]
    assert len(lines) == 150
    assert not blocks.damaged


@given(st.sampled_from(sorted(FORMS)), st.integers(1, 70_000))
def test_a_form_is_told_alike_however_its_stream_is_read(form: str, size: int) -> None:
    class Dribbling(io.BytesIO):
        def read(self, wanted: int | None = -1) -> bytes:
            return super().read(size)

    few = FORMS[form][:30_000] if size < 100 else FORMS[form]
    assert lines_of(Dribbling(few))[0] == lines_of(io.BytesIO(few))[0]


@pytest.mark.parametrize("form", [name for name in FORMS if name != "lines"])
def test_a_file_that_breaks_off_gives_what_is_whole_and_counts_the_rest(form: str) -> None:
    """The rest is handed on as the lines it looks like: of printed JSON they are many, else one."""
    lines, _ = lines_of(io.BytesIO(FORMS[form][: len(FORMS[form]) * 2 // 3]))
    found = [parse_line(line) for line in lines]
    whole = [item for item in found if isinstance(item, Interaction)]
    wraps = any(
        word in form
        for word in (
            "CloudWatch",
            "Firehose",
            "filter",
            "array of texts",
            "under one name",
            "items",
            "answers of",
        )
    )
    assert len(whole) >= (70 if "Firehose" in form else 0 if wraps and "export" not in form else 95)
    most = 6000 if any(word in form for word in ("pretty", "filter", "items", "answers of")) else 1
    assert len(found) - len(whole) <= most
    assert len(whole) == 100 or len(found) > len(whole)


@pytest.mark.parametrize(
    ("first", "name"),
    [
        (b"PAR1\x15\x04", "Parquet"),
        (b"PK\x03\x04\x14", "zip"),
        (b"\x28\xb5\x2f\xfd\x04", "zstd"),
        (b"<html><body>", "web page"),
        (b"<HTML><BODY>", "web page"),
        (gzip.compress(b"{}"), "gzip twice"),
        (b"logs/a.json" + bytes(246) + b"ustar", "tar archive"),
        (b'{"Records": [{"eventVersion": "1.08", "eventName": "InvokeModel"', "CloudTrail"),
        (b"@timestamp,@message\n", "CSV export"),
        (b"{'schemaType': 'ModelInvocationLog'}", "Python"),
    ],
)
def test_a_file_without_text_is_named_and_gives_no_lines(first: bytes, name: str) -> None:
    lines, blocks = lines_of(io.BytesIO(gzip.compress(first + bytes(1000))))
    assert lines == []
    assert name in blocks.foreign
    assert blocks.advice.endswith(".")


def test_a_record_that_speaks_of_records_is_itself_and_not_what_it_speaks_of() -> None:
    told = record(TEXTS[0], json.dumps({"message": TEXTS[1]}), request_id="itself")
    last = {key: told[key] for key in ("input", "output", *told)}
    for item in (told, last):
        lines, _ = lines_of(io.BytesIO(json.dumps(item).encode() + b"\n" + TEXTS[2].encode()))
        found = [parse_line(line) for line in lines]
        assert [each.request_id for each in found if isinstance(each, Interaction)] == ["itself", "r2"]


def test_an_object_that_wraps_no_record_stays_a_line_that_is_counted() -> None:
    other = json.dumps({"timestamp": "t", "message": '{"modelId": "cut off'})
    lines, _ = lines_of(io.BytesIO("\n".join([json.dumps({"message": TEXTS[0]}), other]).encode()))
    assert len(lines) == 2
    assert json.loads(lines[0])["requestId"] == "r0"


def test_a_line_that_no_record_is_as_long_as_is_dropped_and_counted() -> None:
    text = b"\n".join([TEXTS[0].encode(), b"x" * 3_000_000, TEXTS[1].encode(), b"y" * 2_000_000])
    lines, blocks = lines_of(io.BytesIO(gzip.compress(text)), longest=1_000_000)
    assert lines == [TEXTS[0].encode(), TEXTS[1].encode()]
    assert blocks.too_long == 2
