"""What the demonstration's application says to the teacher: prompts, and the answers the teacher will give.

Pure: text in, calls out; no network. Everything is drawn by hash, so the same file gives the same traffic.
The text that ships here is our own (`tickets.json`).
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import resources
from itertools import count
from pathlib import Path
from typing import Any

from airflow_distill.errors import ConfigurationError

APIS = ("Converse", "Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream")
MAX_LABELS = 200


@dataclass(frozen=True, slots=True)
class Pair:
    """One prompt, the teacher's answer to it, and the system prompt the application sends with it."""

    prompt: str
    completion: str
    system: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the application: what it asks, how, and with which request metadata."""

    prompt: str
    system: str | None
    api: str
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class Traffic:
    """The application's traffic and what the loop needs to know about it.

    `classification` tells whether the answers are labels: then accuracy is the metric, else overlap of words.
    """

    pairs: tuple[Pair, ...]
    others: tuple[Pair, ...]
    classification: bool
    source: str


def rank(*parts: str) -> int:
    """Return a number that looks random and is the same every time."""
    return int.from_bytes(hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest(), "big")


def shipped_traffic(wanted: int = 2400) -> Traffic:
    """Return the traffic that ships with the project: customer messages of an invented rental service."""
    data = json.loads(resources.files("airflow_distill.demo").joinpath("tickets.json").read_text("utf-8"))
    labels = sorted(data["intents"])
    system = data["system"].format(labels=", ".join(labels))
    pairs: dict[str, Pair] = {}
    for number in range(wanted * 3):
        label = labels[number % len(labels)]
        text = _message(data, data["intents"][label], str(number))
        pairs.setdefault(text, Pair(text, label, system))
        if len(pairs) >= wanted:
            break
    return Traffic(tuple(pairs.values()), other_traffic(data), classification=True, source="shipped text")


def other_traffic(data: dict[str, Any] | None = None, wanted: int = 160) -> tuple[Pair, ...]:
    """Return traffic of another workload on the same teacher; the loop has to leave it out."""
    if data is None:
        data = json.loads(resources.files("airflow_distill.demo").joinpath("tickets.json").read_text("utf-8"))
    other = data["other"]
    found: dict[str, Pair] = {}
    for number in range(wanted * 2):
        draw = partial(_choose, str(number))
        text = _fill(
            f"{draw(other['subjects'], 's')} {draw(other['verbs'], 'v')}", data["slots"], str(number)
        )
        found.setdefault(text, Pair(text, f"Good to know: {text}. See you on the road!", other["system"]))
    return tuple(found.values())[:wanted]


def _message(data: dict[str, Any], bodies: list[str], seed: str) -> str:
    draw = partial(_choose, seed)
    text = draw(data["openers"], "o") + draw(bodies, "b") + "."
    if (
        rank(seed, "aside") % 4 == 0
    ):  # a second matter beside the first, as customers do; the first one counts
        everything = [body for intent in sorted(data["intents"]) for body in data["intents"][intent]]
        aside = draw(everything, "a")
        text += f" By the way, {aside}."
    text += draw(data["closers"], "c")
    filled = _fill(text, data["slots"], seed)
    return filled[0].upper() + filled[1:]


def _choose(seed: str, options: list[str], what: str) -> str:
    return options[rank(seed, what) % len(options)]


def _fill(template: str, slots: dict[str, list[str]], seed: str) -> str:
    for name, options in slots.items():
        template = template.replace("{" + name + "}", _choose(seed, options, name))
    return template


def read_traffic(path: Path, wanted: int) -> Traffic:
    """Read a traffic file: JSON Lines with `prompt` and `completion`, or CSV with `text,category`.

    At most `wanted` pairs are used, drawn by hash over the whole file, because such files are often sorted by label.

    :raises ConfigurationError: the file is missing, of another form, or has a row that cannot be read (with its line).
    """
    if not path.is_file():
        raise ConfigurationError(f"traffic: there is no file {path}.", hint="give a .jsonl or .csv file")
    rows = list(_read_csv(path) if path.suffix.lower() == ".csv" else _read_json_lines(path))
    if not rows:
        raise ConfigurationError(f"traffic: {path} holds no pair.", hint="give prompts with their answers")
    numbers = count()
    drawn = sorted(rows, key=lambda row: rank(row[0], str(next(numbers))))[:wanted]
    labels = sorted({answer for _, answer in rows})
    classification = len(labels) <= min(MAX_LABELS, len(rows) // 4) and all(
        len(label) <= 60 for label in labels
    )
    system = None
    if classification:
        system = f"Answer with exactly one label and nothing else. Labels: {', '.join(labels)}."
    pairs = tuple(Pair(prompt, answer, system) for prompt, answer in drawn)
    return Traffic(pairs, other_traffic(), classification, source=path.name)


def _read_csv(path: Path) -> Iterator[tuple[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        if not {"text", "category"} <= set(reader.fieldnames or ()):
            raise ConfigurationError(
                f"traffic: {path} has the columns {reader.fieldnames}.", hint="name them text and category"
            )
        for row in reader:
            if not (row["text"] or "").strip() or not (row["category"] or "").strip():
                raise ConfigurationError(f"traffic: {path} line {reader.line_num}: a value is empty.")
            yield row["text"], row["category"].strip()


def _read_json_lines(path: Path) -> Iterator[tuple[str, str]]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                prompt, completion = row["prompt"], row["completion"]
            except (ValueError, KeyError, TypeError):
                prompt = completion = None
            if not isinstance(prompt, str) or not isinstance(completion, str):
                raise ConfigurationError(
                    f"traffic: {path} line {number} is not an object with the texts prompt and completion.",
                    hint="write one JSON object a line",
                )
            yield prompt, completion


def plan_calls(traffic: Traffic, workload: str) -> list[Call]:
    """Return the application's calls in a mixed order: every pair once, a tenth twice, another workload, untagged calls."""
    tagged = [_call(pair, workload, "main") for pair in traffic.pairs]
    again = [_call(pair, workload, "again") for pair in traffic.pairs if rank(pair.prompt, "again") % 10 == 0]
    others = [_call(pair, "rider_notes", "other") for pair in traffic.others]
    untagged = [
        Call(pair.prompt, pair.system, "Converse", {})
        for pair in traffic.others
        if rank(pair.prompt, "untagged") % 4 == 0
    ]
    return _mixed([*tagged, *again, *others, *untagged])


def _call(pair: Pair, workload: str, why: str) -> Call:
    api = APIS[rank(pair.prompt, why, "api") % len(APIS)]
    stage = "staging" if rank(pair.prompt, why, "stage") % 25 == 0 else "production"
    return Call(pair.prompt, pair.system, api, {"workload": workload, "stage": stage})


def _mixed(calls: Iterable[Call]) -> list[Call]:
    numbered = list(enumerate(calls))
    return [call for _, call in sorted(numbered, key=lambda item: rank(str(item[0]), item[1].prompt))]
