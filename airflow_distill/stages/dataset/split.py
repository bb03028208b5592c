"""Train or held-out: a pure function of a conversation's opening and the workload's salt, never of the run.

The key of an example is its first user turn, folded coarsely (case, punctuation and spacing do not count, nor do signs
and the vowel signs of some scripts: that two prompts share a side does no harm, that one changes it would). So the turns
of one conversation, one document sent under several system prompts, and copies that differ in dress share a side in
every run, with no state at all. Copies that differ in words are the business of `dedupe` and `fingerprints`.

An opening shared by much of the traffic (a greeting, a worked example sent as the first turn) does not tell
conversations apart; `shared_openings` finds those, and their examples are keyed by the whole prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.dataset.words import bare_words
from airflow_distill.stages.digest import keyed_hash, sha256_hex

_SPACE = 2**64

SHARED_SHARE = 0.05
SHARED_LEAST = 20


def opening_key(example: Example) -> str:
    """Return the digest of the folded first user turn; text without words is kept as it is."""
    return _text_key(example.turns[0].text)


def prompt_key(example: Example) -> str:
    """Return the digest of all folded turns; the system prompt does not count."""
    return sha256_hex("\x00".join(f"{t.role}:{_text_key(t.text)}" for t in example.turns).encode())


def shared_openings(examples: Iterable[Example]) -> frozenset[str]:
    """Return the opening keys of multi-turn examples that open too much of the traffic to name one conversation."""
    prompts: dict[str, set[str]] = {}
    total = 0
    for example in examples:
        total += 1
        if len(example.turns) > 1:
            second = example.turns[2].text if len(example.turns) > 2 else ""
            prompts.setdefault(opening_key(example), set()).add(_text_key(second))
    least = max(SHARED_LEAST, int(total * SHARED_SHARE))
    return frozenset(key for key, seconds in prompts.items() if len(seconds) > least)


def side_key(example: Example, shared: Set[str] = frozenset()) -> str:
    """Return what decides an example's side: its conversation, or its whole prompt when the opening is shared."""
    key = opening_key(example)
    return prompt_key(example) if key in shared else key


def is_heldout(key: str, salt: str, share: float) -> bool:
    """Say whether a key belongs to the held-out side; raising the share never moves a key out of it."""
    return keyed_hash(salt, f"side:{key}") < int(share * _SPACE)


def _text_key(text: str) -> str:
    words = bare_words(text)
    return sha256_hex((" ".join(words) if words else text).encode("utf-8", "surrogatepass"))[:32]
