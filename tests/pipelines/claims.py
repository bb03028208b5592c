"""Letters about insurance claims and their summaries: the application of the example file `claim_letters`."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

PERILS = {
    "home": ("burst pipe", "kitchen fire", "storm on the roof", "stolen bicycle", "broken window", "flooded cellar"),
    "car": ("rear-end collision", "cracked windscreen", "hail on the bonnet", "parking scratch", "deer on the road"),
    "travel": ("lost suitcase", "cancelled flight", "broken ankle", "missed connection"),
}  # fmt: skip
PLACES = ("Ashford", "Brentwood", "Colby", "Dunmore", "Elswick", "Farley", "Grantham", "Harlow")
OPENINGS = (
    "I write about",
    "Please help me with",
    "This is to report",
    "My family suffered",
    "Last week we had",
)
DETAILS = ("the neighbours saw it", "photos are attached", "the police have a number for it", "nobody was hurt",
           "a craftsman came the same day", "I kept all receipts", "the bank asks for a letter", "it was raining",
           "my phone was off", "the landlord was told", "we had to sleep elsewhere", "my son found it first")  # fmt: skip
SYSTEM = "You summarise letters about claims for the case worker."


def claims(count: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Yield letters, their summaries and the line of business, drawn by seed."""
    rng = random.Random(seed)
    for number in range(count):
        line = rng.choice(sorted(PERILS))
        peril = rng.choice(PERILS[line])
        details = rng.sample(DETAILS, 5)
        policy = f"{rng.randrange(10**6):06d}-{number}"
        letter = (
            f"{rng.choice(OPENINGS)} a {peril} in {rng.choice(PLACES)} on day {rng.randrange(1, 365)}. "
            f"{details[0].capitalize()}, and {details[1]}. {details[2].capitalize()}; {details[3]}. "
            f"Also {details[4]}. The reference is {policy}, the amount {rng.randrange(50, 9000)}."
        )
        yield letter, f"Claim under the {line} policy: {peril}. Ask for photos and receipts.", line


def logged(count: int, seed: int, start: Any, step: Any) -> list[dict[str, Any]]:
    """Return calls of the application, as the sandbox plays them."""
    return [
        {
            "prompt": letter,
            "system": SYSTEM,
            "completion": summary,
            "metadata": {"app": "claims", "stage": "live", "line": line},
            "timestamp": (start + number * step).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        for number, (letter, summary, line) in enumerate(claims(count, seed))
    ]


def golden(count: int, seed: int) -> bytes:
    """Return a golden file: letters of their own, with summaries in people's words."""
    return b"".join(
        json.dumps(
            {
                "schemaVersion": "bedrock-conversation-2024",
                "system": [{"text": SYSTEM}],
                "messages": [
                    {"role": "user", "content": [{"text": letter}]},
                    {
                        "role": "assistant",
                        "content": [{"text": summary.replace("Ask for", "Please ask for")}],
                    },
                ],
            }
        ).encode()
        + b"\n"
        for letter, summary, _ in claims(count, seed)
    )
