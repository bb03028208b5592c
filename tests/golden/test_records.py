"""The bytes of every record, pinned: what lies in buckets and travels through XCom stays readable.

An example of each record with a `to_json` is made from its types: each field a value of its own, the fields in order. A
change here is a change of what others have stored. Where it is meant, raise the record's version, keep reading the old
bytes, and run

    python tests/golden/test_records.py
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import json
import types
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest

from airflow_distill.stages.digest import canonical_json

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_distill"
GOLDEN = Path(__file__).with_name("records.json")
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

Key = tuple[str, str]
VALUES: dict[Key, Any] = {
    ("ApprovalRule", "mode"): "when",
    ("Answer", "role"): "student",
    ("Check", "outcome"): "open",
    ("CurateSettings", "near_duplicates"): 0.8,
    ("CurateSettings", "keep"): ("refusal",),
    ("CurateSettings", "thinking"): "keep",
    ("CurateSettings", "reserved_words"): "drop",
    ("CurateSettings", "contamination"): 0.6,
    ("CurateSettings", "golden_share"): 0.25,
    ("CurateSettings", "balance_by"): "answer",
    ("CurateSettings", "feedback"): ("liked", "weights"),
    ("CheckReport", "counts"): Counter({"empty_file": 2}),
    ("DecisionRecord", "v"): 3,
    ("Model", "id"): "amazon.nova-micro-v1:0",
    ("Pair", "teacher"): "amazon.nova-pro-v1:0",
    ("Pair", "student"): "amazon.nova-micro-v1:0:128k",
    ("Model", "hosts"): ("provisioned-throughput",),
    ("Model", "ends"): "2027-05-01",
    ("Evidence", "tally"): ((-1.0, 3.0), (0.0, 5.0)),
    ("Evidence", "low"): -1.0,
    ("Evidence", "high"): 1.0,
    ("Evidence", "n"): 8,
    ("CurateSettings", "balance_ratio"): 2.0,
    ("Look", "outcome"): "fine",
    ("CallMoments", "sums"): (4.0, 3.0, 2.0, 1.0),
    ("CallMoments", "products"): tuple(float(n) for n in range(16)),
    ("Metered", "stage"): "job",
    ("Usage", "item"): "training",
    ("Metered", "kind"): "inference",
    ("Interval", "low"): 0.25,
    ("Interval", "high"): 0.75,
    ("Model", "legacy"): "2027-02-01",
    ("Window", "start"): "2026-11-16T00:00:00Z",
    ("Window", "end"): "2026-11-23T00:00:00Z",
    ("MetadataFilter", "operator"): "andAll",
    ("Price", "item"): "training",
    ("Price", "unit"): "1000 tokens",
    ("PromotionPolicy", "alpha"): 0.05,
    ("PromotionPolicy", "power"): 0.8,
    ("PromotionPolicy", "looks"): 2,
    ("PromotionPolicy", "min_items"): 400,
    ("PromotionPolicy", "min_slice_items"): 40,
    ("PromotionPolicy", "max_missing_share"): 0.01,
    ("PromotionPolicy", "max_error_share"): 0.02,
    ("Selection", "operations"): ("Converse",),
    ("ModelTable", "date"): "2026-11-30",
    ("ModelTable", "prefixes"): ("us",),
    ("ModelTable", "providers"): ("amazon",),
    ("ModelTable", "deployment_regions"): ("us-east-1",),
    ("ModelTable", "fine_tuning"): {"amazon.nova-micro-v1:0:128k": "us-east-1"},
    ("ModelTable", "quotas"): {},
    ("Verdict", "verdict"): "inconclusive",
}
"""(record, field) -> a value, where the type alone gives one that the record refuses."""


def records() -> Iterator[type]:
    """Yield every dataclass of the pure rooms that has a `to_json`, by module and line."""
    for room in ("remote", "stages"):
        for file in sorted((PACKAGE / room).rglob("*.py")):
            if "def to_json" not in file.read_text():
                continue
            module = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
            for made in vars(module).values():
                if (
                    isinstance(made, type)
                    and made.__module__ == module.__name__
                    and dataclasses.is_dataclass(made)
                    and "to_json" in vars(made)
                ):
                    yield made


def name_of(record: type) -> str:
    return f"{record.__module__.removeprefix('airflow_distill.')}.{record.__name__}"


def number_of(name: str) -> int:
    """Return a number that a field has by its name, so that a new field moves no other's."""
    return sum(name.encode()) % 97 + 1


class Maker:
    """Makes a value of each type, by the name of its field, the same on every machine."""

    def record(self, record: type) -> Any:
        hints = typing.get_type_hints(record)
        fields = [field for field in dataclasses.fields(record) if field.init]
        return record(**{f.name: self.field(record, f.name, hints[f.name]) for f in fields})

    def field(self, record: type, name: str, hint: Any) -> Any:
        value = VALUES.get((record.__name__, name), self)
        return self.value(hint, name) if value is self else value() if callable(value) else value

    def value(self, hint: Any, name: str) -> Any:
        count = number_of(name)
        origin, inside = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return self.value(next(each for each in inside if each is not type(None)), name)
        if origin is typing.Annotated:
            return self.value(inside[0], name)
        if origin is Literal:
            return inside[-1]
        if origin is tuple and len(inside) == 2 and inside[1] is Ellipsis:
            return (self.value(inside[0], name),)
        if origin is tuple:
            return tuple(self.value(each, name) for each in inside)
        if origin is Counter:
            return Counter({self.value(inside[0], name): 2})
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {self.value(inside[0], name): self.value(inside[1], name)}
        if isinstance(origin, type) and issubclass(origin, AbstractSet):
            return frozenset([self.value(inside[0], name)])
        if isinstance(origin, type) and issubclass(origin, Sequence):
            return [self.value(inside[0], name)]
        if origin is Callable or hint is Any or hint is object:
            return f"{name}-{count}"
        if hasattr(hint, "__value__"):
            return self.value(hint.__value__, name)
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return next(iter(hint))
        if dataclasses.is_dataclass(hint):
            return self.record(typing.cast(type, hint))
        plain: dict[Any, Callable[[], Any]] = {
            str: lambda: f"{name}-{count}",
            int: lambda: count,
            float: lambda: count / 128,
            bool: lambda: True,
            Decimal: lambda: Decimal(count) / 8,
            datetime: lambda: NOON + timedelta(hours=count),
            timedelta: lambda: timedelta(hours=count),
            bytes: lambda: f"{name}-{count}".encode(),
            dict: lambda: {name: count},
        }
        return plain[hint]()


RECORDS = list(records())


def made(record: type) -> Any:
    return Maker().record(record)


def shown(record: Any) -> Any:
    return json.loads(canonical_json(record.to_json()))


def golden() -> dict[str, Any]:
    return dict(json.loads(GOLDEN.read_text()))


def test_every_record_has_its_golden_bytes() -> None:
    assert len(RECORDS) > 60
    assert {name_of(record) for record in RECORDS} == set(golden()), (
        "run this file to write what came or went on purpose"
    )


@pytest.mark.parametrize("record", RECORDS, ids=name_of)
def test_a_record_has_the_bytes_it_had(record: type) -> None:
    assert canonical_json(made(record).to_json()) == canonical_json(golden()[name_of(record)])


@pytest.mark.parametrize("record", [r for r in RECORDS if hasattr(r, "from_json")], ids=name_of)
def test_a_record_reads_the_bytes_it_wrote(record: Any) -> None:
    stored = golden()[name_of(record)]
    assert shown(record.from_json(stored)) == stored


def write() -> None:
    found = {name_of(record): shown(made(record)) for record in RECORDS}
    lines = [f"{json.dumps(name)}: {canonical_json(value).decode()}" for name, value in sorted(found.items())]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    write()
