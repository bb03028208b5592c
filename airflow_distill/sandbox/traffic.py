"""Pairs of prompt and answer that the teacher shall know: read from a file, or made up from the built-in grammar.

Two file forms: JSON Lines with `prompt` and `completion` (and perhaps `system`), or CSV with `text,category`.
"""

from __future__ import annotations

import csv
import json
import random
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from airflow_distill.sandbox.failures import SandboxUsageError

_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Pair:
    """What was asked, what the teacher says, and the system prompt that came with it, if any."""

    prompt: str
    completion: str
    system: str = ""


def canonical(prompt: str) -> str:
    """The form in which two prompts count as the same: Unicode-normal, one space, no case."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", prompt)).strip().casefold()


def pair_from(mapping: Mapping[str, Any], where: str) -> Pair:
    """One pair out of a JSON object or a CSV row."""
    prompt = mapping.get("prompt", mapping.get("text"))
    completion = mapping.get("completion", mapping.get("category"))
    if not isinstance(prompt, str) or not isinstance(completion, str):
        raise SandboxUsageError(f"{where}: expected 'prompt' and 'completion' (or 'text' and 'category')")
    return Pair(prompt, completion, str(mapping.get("system") or ""))


def read_traffic(path: str | Path) -> list[Pair]:
    """All pairs of a traffic file; the suffix tells the form."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SandboxUsageError(f"cannot read the traffic file {path}: {error.strerror}") from None
    if path.suffix == ".csv":
        pairs = [
            pair_from(row, f"{path.name}, row {n}")
            for n, row in enumerate(csv.DictReader(text.splitlines()), 2)
        ]
    else:
        pairs = []
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                loaded = json.loads(line)
            except ValueError:
                raise SandboxUsageError(f"{path.name}, line {number}: not JSON") from None
            if not isinstance(loaded, dict):
                raise SandboxUsageError(f"{path.name}, line {number}: not a JSON object")
            pairs.append(pair_from(loaded, f"{path.name}, line {number}"))
    if not pairs:
        raise SandboxUsageError(f"{path.name} holds no pairs")
    return pairs


@cache
def support_grammar() -> dict[str, Any]:
    """The built-in support desk: labels, keywords and phrases."""
    loaded: dict[str, Any] = json.loads(
        files("airflow_distill.sandbox").joinpath("data/support.json").read_text(encoding="utf-8")
    )
    return loaded


def support_system_prompt() -> str:
    """The system prompt of the built-in support desk."""
    grammar = support_grammar()
    return str(grammar["system"]).format(labels=", ".join([*grammar["labels"], grammar["fallback"]]))


def support_tickets(count: int, seed: int = 7) -> list[Pair]:
    """So many different support tickets with the teacher's label, the same for the same seed."""
    grammar = support_grammar()
    chance = random.Random(seed)
    labels = list(grammar["labels"])
    seen: set[str] = set()
    tickets: list[Pair] = []
    system = support_system_prompt()
    while len(tickets) < count:
        label = chance.choice(labels)
        ticket = _ticket(grammar, label, chance)
        if ticket not in seen:
            seen.add(ticket)
            tickets.append(Pair(ticket, label, system))
    return tickets


def _ticket(grammar: Mapping[str, Any], label: str, chance: random.Random) -> str:
    def fill(text: str) -> str:
        return text.format(
            number=chance.randint(10_000, 99_999),
            name=chance.choice(grammar["names"]),
            town=chance.choice(grammar["towns"]),
            year=chance.randint(2009, 2025),
        )

    return (
        str(chance.choice(grammar["shapes"]))
        .format(
            opening=chance.choice(grammar["openings"]),
            subject=fill(chance.choice(grammar["subjects"])),
            issue=chance.choice(grammar["labels"][label]["issues"]),
            closing=fill(chance.choice(grammar["closings"])),
        )
        .strip()
    )


def known_answers(pairs: Iterable[Pair]) -> dict[str, str]:
    """Canonical prompt to completion; the first wins when a prompt comes twice."""
    answers: dict[str, str] = {}
    for pair in pairs:
        answers.setdefault(canonical(pair.prompt), pair.completion)
    return answers
