"""Reads a Cost and Usage Report: CSV, gzipped or not, and Parquet where pyarrow is installed; local, or in S3."""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, BinaryIO

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.logs.streams import SafeStream
from airflow_distill.stages.money.reconcile import BillLine, read_line
from airflow_distill.stages.storage import ObjectStore

CSV_NAMES = (".csv", ".csv.gz")
PARQUET = (".parquet", ".snappy.parquet")


def iter_bill(store: ObjectStore, uri: str) -> Iterator[BillLine]:
    """Yield the usage lines of a report: one file, or every file of the report below a folder.

    :raises ConfigurationError: there is no report, or it cannot be read; the message names the file and the line.
    """
    found = [item.uri for item in store.iter_objects(uri) if item.uri.endswith((*CSV_NAMES, *PARQUET))]
    if not found:
        raise ConfigurationError(
            f"money: there is no report at {uri}.",
            hint="Give the URI of a Cost and Usage Report's file or folder: .csv, .csv.gz or .parquet.",
        )
    for each in sorted(found):
        rows = _parquet(store, each) if each.endswith(PARQUET) else _csv(store, each)
        for number, row in enumerate(rows, 2):
            try:
                line = read_line(row)
            except ConfigurationError as error:
                raise ConfigurationError(
                    f"{error.message} ({each}, line {number})", hint=error.hint
                ) from None
            if line is not None:
                yield line


def _csv(store: ObjectStore, uri: str) -> Iterator[Mapping[str, Any]]:
    with contextlib.closing(store.open(uri)) as stream:
        raw = SafeStream(stream)
        plain: Any = gzip.GzipFile(fileobj=raw) if uri.endswith(".gz") else raw
        try:
            yield from csv.DictReader(_lines(plain))
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise ConfigurationError(
                f"money: {uri} cannot be read ({type(error).__name__}).", hint="Fetch the report again."
            ) from error


def _lines(stream: BinaryIO) -> Iterator[str]:
    """Yield lines with their ends, read in blocks: not every stream can say where a line ends."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    rest = ""
    while block := stream.read(1 << 20):
        *whole, rest = (rest + decoder.decode(block)).split("\n")
        yield from (line + "\n" for line in whole)
    if rest := rest + decoder.decode(b"", final=True):
        yield rest


def _parquet(store: ObjectStore, uri: str) -> Iterator[Mapping[str, Any]]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"money: {uri} is Parquet, and pyarrow is not installed here.",
            hint="pip install pyarrow, or have the report delivered as CSV.",
        ) from None
    table = parquet.ParquetFile(io.BytesIO(store.read(uri)))
    for batch in table.iter_batches():
        yield from batch.to_pylist()
