"""Which interactions teach nothing: one function per reason, each saying whether an example is to be dropped.

Takes examples and the settings, hands on a reason or None. Reasons are part of the public record: receipts,
manifests and reports count by them. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum

from airflow_distill.stages.dataset.families import StudentFamily
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.logs.records import Interaction


class DropReason(StrEnum):
    """Why an example that was read did not become part of the dataset; `EXPLAINED` says what each means."""

    EMPTY = "empty"
    BAD_ROLES = "bad_roles"
    TRUNCATED = "truncated"
    REFUSAL = "refusal"
    MULTI_TURN = "multi_turn"
    TOO_LONG = "too_long"
    EXACT_DUPLICATE = "exact_duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    BALANCE = "balance"
    CONTAMINATED = "contaminated"
    TAUGHT_BEFORE = "taught_before"
    OVER_LIMIT = "over_limit"
    GOLDEN_SHARE = "golden_share"


EXPLAINED: dict[DropReason, tuple[str, str]] = {
    DropReason.EMPTY: ("The prompt or the answer holds no text.", "Nothing to do."),
    DropReason.BAD_ROLES: (
        "The turns do not alternate, or do not start and end with the user.",
        "Look at how the application builds its messages.",
    ),
    DropReason.TRUNCATED: (
        "The teacher ran into its limit of tokens; half an answer teaches half.",
        "Raise the application's maximum of tokens.",
    ),
    DropReason.REFUSAL: (
        "The teacher or a guardrail declined to answer.",
        "Set drop_refusals to false if declining is the task.",
    ),
    DropReason.MULTI_TURN: (
        "The student's family accepts one user turn only.",
        "Choose a Nova student to teach conversations.",
    ),
    DropReason.TOO_LONG: (
        "Prompt and answer do not fit the student.",
        "Choose a student with a longer context.",
    ),
    DropReason.EXACT_DUPLICATE: (
        "An earlier example has the same prompt, apart from case, punctuation and spacing.",
        "Nothing to do.",
    ),
    DropReason.NEAR_DUPLICATE: (
        "An earlier example has nearly the same prompt.",
        "Raise near_duplicates, or set it to none, to keep more of them.",
    ),
    DropReason.BALANCE: (
        "Its metadata value or label has enough other examples.",
        "Raise balance_ratio to keep more of them.",
    ),
    DropReason.CONTAMINATED: (
        "A training candidate is equal or near to a prompt that judged a release, or judges this one.",
        "Nothing to do; teaching it would make scores worthless.",
    ),
    DropReason.TAUGHT_BEFORE: (
        "A held-out candidate is near to what an earlier student was taught.",
        "Nothing to do; judging by it would make scores worthless.",
    ),
    DropReason.OVER_LIMIT: (
        "More usable examples than the dataset may hold.",
        "Raise the limit, up to 15,000.",
    ),
    DropReason.GOLDEN_SHARE: (
        "Golden examples beyond the share they may have.",
        "Raise golden_share to keep more of them.",
    ),
}
"""What each reason means and what, if anything, to do about it."""


TRUNCATED_WORDS = frozenset({"max_tokens", "length", "model_context_window_exceeded", "max_token_limit"})
REFUSED_WORDS = frozenset(
    {"refusal", "content_filtered", "guardrail_intervened", "content_filter", "malformed_model_output"}
)

_SORRY = (
    r"(?:(?:i['’]?m|i am|we['’]?re|we are)\s+(?:(?:very|so|really|truly|terribly)\s+)?(?:sorry|afraid)\b"
    r"|(?:i\s+)?apologi[sz]e\b|my apologies\b|sorry\b|unfortunately\b)"
)
_CANNOT = (
    r"(?:(?:i|we)\s+(?:can(?:no|['’])t|cannot|could not|am (?:not able|unable) to|will not|won['’]t)"
    r"|i['’]m (?:not able|unable) to)"
)
_HELP = (
    r"(?:help|assist|answer|provide|comply|fulfil+|complete|generate|create|discuss|engage|do that|respond|share"
    r"|support|write|continue|participate|offer|give|process|take part)\b"
)
_DECLINE = (
    r"(?:i\s+(?:must|have to|respectfully)\s+(?:decline|refuse)|i\s+decline|i\s+(?:do not|don['’]t) feel comfortable"
    r"|(?:it|that|this) (?:would be|is|['’]s) (?:inappropriate|unethical|against my))"
)
_REFUSAL = re.compile(
    rf"(?i)^\W*{_SORRY}?[\s,.:;-]*(?:but\s+)?(?:that\s+)?(?:as an ai(?: language model| assistant)?,?\s+)?"
    rf"(?:{_CANNOT}\s+(?:(?:be able to|in good conscience|\w+ly)\s+){{0,2}}{_HELP}|{_DECLINE})"
)
REFUSAL_LENGTH = 600


def is_truncated(interaction: Interaction) -> bool:
    """Say whether the answer stopped at a limit rather than at its end."""
    return interaction.stop_reason.lower() in TRUNCATED_WORDS


def is_refusal(answer: str, stop_reason: str = "") -> bool:
    """Say whether an answer declines to answer.

    >>> is_refusal("I'm sorry, but I can't help with that.")
    True
    >>> is_refusal("Sorry, the card was lost in the post; order a new one under Cards.")
    False
    """
    if stop_reason.lower() in REFUSED_WORDS:
        return True
    if len(answer) > REFUSAL_LENGTH:
        return False
    return _REFUSAL.match(answer.lstrip()) is not None


def has_bad_roles(example: Example) -> bool:
    """Say whether the turns are anything but user, assistant, ..., user."""
    return any(turn.role != ("user", "assistant")[i % 2] for i, turn in enumerate(example.turns)) or (
        len(example.turns) % 2 == 0
    )


def is_empty(example: Example, *, answer_needed: bool) -> bool:
    """Say whether a turn, or an answer that is needed, is only white space."""
    if any(not turn.text.strip() for turn in example.turns):
        return True
    return answer_needed and not (example.answer or "").strip()


def is_too_long(example: Example, family: StudentFamily, limit: int | None) -> bool:
    """Say whether prompt and answer together surely exceed the student's context, or a stated number of
    characters."""
    size = (
        len(example.system or "") + sum(len(turn.text) for turn in example.turns) + len(example.answer or "")
    )
    return size > min(family.max_characters, limit or family.max_characters)


Rule = tuple[DropReason, Callable[[Example, Interaction | None], bool]]


def drop_rules(
    family: StudentFamily, *, max_characters: int | None = None, drop_refusals: bool = True
) -> tuple[Rule, ...]:
    """Return the rules in the order they are asked; the first that applies names the reason."""
    rules: list[Rule] = [
        (DropReason.BAD_ROLES, lambda example, _: has_bad_roles(example)),
        (DropReason.EMPTY, lambda example, source: is_empty(example, answer_needed=source is not None)),
        (DropReason.TRUNCATED, lambda _, source: source is not None and is_truncated(source)),
    ]
    if drop_refusals:
        rules.append(
            (
                DropReason.REFUSAL,
                lambda example, source: (
                    source is not None and is_refusal(example.answer or "", source.stop_reason)
                ),
            )
        )
    if not family.multi_turn:
        rules.append((DropReason.MULTI_TURN, lambda example, _: len(example.turns) > 1))
    rules.append((DropReason.TOO_LONG, lambda example, _: is_too_long(example, family, max_characters)))
    return tuple(rules)


def drop_reason(rules: tuple[Rule, ...], example: Example, source: Interaction | None) -> DropReason | None:
    """Return why an example is dropped, or None; `source` is None for golden examples, whose answers people
    wrote."""
    return next((reason for reason, applies in rules if applies(example, source)), None)
