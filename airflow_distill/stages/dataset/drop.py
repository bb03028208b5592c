"""Which interactions teach nothing: one function per reason, each saying whether an example is to be dropped.

Takes examples and the settings, hands on a reason or None. Rules on what was said come before redaction, rules on what is
sent after it. Reasons are part of the public record: receipts,
manifests and reports count by them. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from enum import StrEnum
from itertools import islice

from airflow_distill.stages.dataset.families import StudentFamily
from airflow_distill.stages.dataset.jsonl import MOST_LINE, bedrock_record, encode_line
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.dataset.refusals import is_refusal
from airflow_distill.stages.dataset.tokens import estimate_tokens
from airflow_distill.stages.logs.records import Interaction


class DropReason(StrEnum):
    """Why an example that was read did not become part of the dataset; `EXPLAINED` says what each means."""

    EMPTY = "empty"
    BAD_ROLES = "bad_roles"
    TRUNCATED = "truncated"
    GUARDRAIL = "guardrail"
    REFUSAL = "refusal"
    THINKING = "thinking"
    TOOLS_OFFERED = "tools_offered"
    MULTI_TURN = "multi_turn"
    UNSENDABLE = "unsendable"
    TOO_LONG = "too_long"
    LINE_TOO_LONG = "line_too_long"
    RESERVED_WORD = "reserved_word"
    EXACT_DUPLICATE = "exact_duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    BALANCE = "balance"
    CONTAMINATED = "contaminated"
    TAUGHT_BEFORE = "taught_before"
    DISLIKED = "disliked"
    NOT_RATED = "not_rated"
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
    DropReason.GUARDRAIL: (
        "A guardrail stepped in, so the answer is its message, not the teacher's.",
        "Add guardrail to keep if its message is what the student is to say.",
    ),
    DropReason.REFUSAL: (
        "The teacher declined to answer.",
        "Set drop_refusals to false if declining is the task.",
    ),
    DropReason.THINKING: (
        "The answer holds the teacher's thinking.",
        "Set thinking to remove, to teach what is written around it.",
    ),
    DropReason.TOOLS_OFFERED: (
        "The teacher could have called a tool; the student has none, and cannot know when one was the answer.",
        "Add tools_offered to keep if the prompts name no tools.",
    ),
    DropReason.MULTI_TURN: (
        "The student's family accepts one user turn only.",
        "Choose a Nova student to teach conversations.",
    ),
    DropReason.UNSENDABLE: (
        "A text holds a NUL or half a character, or the system prompt is blank: the service refuses such a record.",
        "Look at how the application makes its prompts; text taken from PDF files may hold NULs.",
    ),
    DropReason.TOO_LONG: (
        "Prompt and answer are longer than the context that the student is fine-tuned with.",
        "Choose a student with a longer context, or shorten the prompts.",
    ),
    DropReason.LINE_TOO_LONG: (
        "The record's line is longer than 16 KB, which a distillation job does not take.",
        "Shorten the prompts; the quota cannot be raised.",
    ),
    DropReason.RESERVED_WORD: (
        "A text holds a word that the student's family reserves, such as User: or [EOS].",
        "Set reserved_words to keep, to teach it all the same.",
    ),
    DropReason.EXACT_DUPLICATE: (
        "An earlier example has the same prompt, apart from case, spacing and Unicode form.",
        "Nothing to do.",
    ),
    DropReason.NEAR_DUPLICATE: (
        "An earlier example has nearly the same prompt, with the same numbers, signs, negations and names.",
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
    DropReason.DISLIKED: (
        "Feedback says that the answer was not liked.",
        "Give the corrected answer in the feedback and use `corrected`, to teach or judge by it.",
    ),
    DropReason.NOT_RATED: (
        "No feedback speaks of the answer, and only liked ones may teach.",
        "Use `not_disliked` to keep answers that nobody judged.",
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


KEEPABLE = frozenset(
    {
        DropReason.TRUNCATED,
        DropReason.GUARDRAIL,
        DropReason.REFUSAL,
        DropReason.TOOLS_OFFERED,
        DropReason.MULTI_TURN,
        DropReason.UNSENDABLE,
        DropReason.TOO_LONG,
        DropReason.LINE_TOO_LONG,
        DropReason.EXACT_DUPLICATE,
        DropReason.NEAR_DUPLICATE,
        DropReason.TAUGHT_BEFORE,
    }
)
"""Rules that `keep` switches off. `WHY_NOT_KEPT` says of each other one why it stays, or what steers it."""

WHY_NOT_KEPT: dict[DropReason, str] = {
    DropReason.EMPTY: "the service refuses a record without text, and there is nothing to judge by",
    DropReason.BAD_ROLES: "the service refuses a conversation whose turns do not alternate",
    DropReason.CONTAMINATED: "a student would be judged by what it was taught, and its scores would mean nothing",
    DropReason.THINKING: "use thinking: remove or keep",
    DropReason.RESERVED_WORD: "use reserved_words: keep",
    DropReason.BALANCE: "leave balance_by out, or raise balance_ratio",
    DropReason.DISLIKED: "leave liked and not_disliked out of what feedback is used for",
    DropReason.NOT_RATED: "use feedback for not_disliked instead of liked",
    DropReason.OVER_LIMIT: "raise the limit (size), up to 15,000",
    DropReason.GOLDEN_SHARE: "raise golden_share",
}


def kept_problems(names: Iterable[str]) -> list[str]:
    """Return what is wrong with the names of rules to be switched off, one sentence each.

    >>> kept_problems(["refusal", "bad_roles"])
    ['bad_roles cannot be kept: the service refuses a conversation whose turns do not alternate']
    """
    problems = []
    for name in names:
        reason = next((each for each in DropReason if each.value == name), None)
        if reason is None:
            problems.append(f"there is no drop rule {name!r}; keep takes {', '.join(sorted(KEEPABLE))}")
        elif reason not in KEEPABLE:
            problems.append(f"{name} cannot be kept: {WHY_NOT_KEPT[reason]}")
    return problems


TRUNCATED_WORDS = frozenset(
    {
        "max_tokens", "length", "model_context_window_exceeded", "max_token_limit", "max_output_tokens",
        "pause_turn", "error_limit",
    }
)  # fmt: skip
GUARDRAIL_WORDS = ("guardrail", "intervened")
REFUSED_WORDS = frozenset(
    {"refusal", "content_filtered", "content_filter", "malformed_model_output", "error_toxic"}
)

# What reads as nothing although `str.strip` leaves it: marks of width zero, as exports of web pages have them.
_BLANK = "\u200b\u200c\u200d\u2060\ufeff\xad"
_THINKING = re.compile(
    r"(?:^|(?<=[.!?:。！？] )|(?<=[.!?:。！？>]))[ \t]*<(thinking|think)[ \t]{0,4}>",
    re.IGNORECASE | re.MULTILINE,
)
_TAGS = {name: re.compile(rf"<(/?){name}[ \t]{{0,4}}>", re.IGNORECASE) for name in ("thinking", "think")}
_ENDED = re.compile(r"</(?:thinking|think)[ \t]{0,4}>[ \t]*(?:\r?\n|$)", re.IGNORECASE)
_OPENED = re.compile(r"<(?:thinking|think)[ \t]{0,4}>", re.IGNORECASE)
_MOST_NESTED = 64


def is_truncated(interaction: Interaction) -> bool:
    """Say whether the answer stopped at a limit rather than at its end."""
    return interaction.stop_reason.lower() in TRUNCATED_WORDS


def is_stopped_by_guardrail(interaction: Interaction) -> bool:
    """Say whether a guardrail stepped in, so that the answer is its canned message."""
    word = interaction.stop_reason.lower()
    return any(part in word for part in GUARDRAIL_WORDS)


def is_refused(interaction: Interaction) -> bool:
    """Say whether the teacher declined, by its stop reason or by how its answer begins."""
    return interaction.stop_reason.lower() in REFUSED_WORDS or is_refusal(interaction.answer)


def has_thinking(text: str) -> bool:
    """Say whether a text holds thinking that was written into it, as Nova models write theirs."""
    return without_thinking(text) != text


def without_thinking(text: str) -> str:
    """Return a text without its `<thinking>...</thinking>`; of one that never ends, nothing that follows is left.

    Only what begins a line or a sentence is thinking; a tag in the middle of one, or in a block of code, is what the text
    is about, and stays. Where a template has begun the thinking, the answer holds only its end: it ends a line then.

    >>> without_thinking("<thinking>Is it late?</thinking> It is late.")
    'It is late.'
    """
    if "<" not in text or "think" not in text.lower():
        return text
    kept = []
    at = fences = looked = 0
    end = _ENDED.search(text)
    if end is not None and not _OPENED.search(text, 0, end.start()) and "`" not in text[: end.start()]:
        kept.append("")
        at = looked = end.end()
    for found in _THINKING.finditer(text, at):
        if found.start() >= at:
            fences += text.count("```", looked, found.start())
            looked = found.start()
            if fences % 2:
                continue
            kept.append(text[at : found.start()])
            at = looked = _end_of_thought(text, found.end(), found[1].lower())
    return "".join([*kept, text[at:]]).strip() if kept else text


def _end_of_thought(text: str, start: int, name: str) -> int:
    """Return where thinking ends that begins at a place: with the tag that closes it, thinking inside of it included."""
    depth, first = 1, 0
    for tag in islice(_TAGS[name].finditer(text, start), _MOST_NESTED):
        depth += -1 if tag[1] else 1
        first = first or (tag.end() if tag[1] else 0)
        if not depth:
            return tag.end()
    return first or len(text)


def has_bad_roles(example: Example) -> bool:
    """Say whether the turns are anything but user, assistant, ..., user."""
    return any(turn.role != ("user", "assistant")[i % 2] for i, turn in enumerate(example.turns)) or (
        len(example.turns) % 2 == 0
    )


def is_empty(example: Example, *, answer_needed: bool) -> bool:
    """Say whether a turn, or an answer that is needed, holds nothing to read."""
    if any(_is_blank(turn.text) for turn in example.turns):
        return True
    return answer_needed and _is_blank(example.answer or "")


def _is_blank(text: str) -> bool:
    return not text.strip() or (not text.isascii() and not text.translate(_NO_BLANKS).strip())


_NO_BLANKS = dict.fromkeys(map(ord, _BLANK))


def is_unsendable(example: Example) -> bool:
    """Say whether the service would refuse the record for one of its texts: NUL, half a surrogate pair, blank system."""
    if example.system is not None and example.system != "" and _is_blank(example.system):
        return True
    return any("\0" in text or _is_half(text) for text in _texts_of(example))


def _is_half(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _texts_of(example: Example) -> Iterator[str]:
    yield example.system or ""
    yield from (turn.text for turn in example.turns)
    yield example.answer or ""


def is_too_long(example: Example, family: StudentFamily, limit: int | None) -> bool:
    """Say whether prompt and answer exceed the context that the student is fine-tuned with, or a stated number of
    characters.

    Tokens are those that the log counted; where it has none, or counts cached input apart and so only a small part, they
    are estimated by script.
    """
    size = sum(map(len, _texts_of(example)))
    if limit is not None and size > limit:
        return True
    if size <= family.context_tokens:
        return False
    estimate = sum(map(estimate_tokens, _texts_of(example)))
    counted = (example.input_tokens or 0) + (example.output_tokens or 0)
    return (counted if counted > estimate / 4 else estimate) > family.context_tokens


def has_long_line(example: Example, *, with_answers: bool) -> bool:
    """Say whether the line of a record is longer than a distillation job takes."""
    if 6 * sum(map(len, _texts_of(example))) + 64 * len(example.turns) + 256 < MOST_LINE:
        return False
    record = bedrock_record(example, with_answer=with_answers or example.golden)
    return len(encode_line(record)) - 1 > MOST_LINE


def has_reserved_word(example: Example, family: StudentFamily) -> bool:
    """Say whether a text holds a word that the student's family reserves for the service."""
    return any(word in text for text in _texts_of(example) for word in family.reserved_words)


Rule = tuple[DropReason, Callable[[Example, Interaction | None], bool]]


def drop_rules(
    family: StudentFamily, *, keep: Collection[str] = (), thinking: str = "remove"
) -> tuple[Rule, ...]:
    """Return the rules for what was said, in the order they are asked; the first that applies names the reason.

    :param keep: names of rules that are switched off.
    :param thinking: `drop`: an answer that holds thinking is dropped.
    """
    rules: tuple[Rule, ...] = (
        (DropReason.BAD_ROLES, lambda example, _: has_bad_roles(example)),
        (DropReason.EMPTY, lambda example, source: is_empty(example, answer_needed=source is not None)),
        (DropReason.TRUNCATED, lambda _, source: source is not None and is_truncated(source)),
        (DropReason.GUARDRAIL, lambda _, source: source is not None and is_stopped_by_guardrail(source)),
        (DropReason.REFUSAL, lambda _, source: source is not None and is_refused(source)),
        (
            DropReason.THINKING,
            lambda _, source: source is not None and thinking == "drop" and has_thinking(source.answer),
        ),
        (DropReason.TOOLS_OFFERED, lambda _, source: source is not None and source.tools_offered),
        (DropReason.MULTI_TURN, lambda example, _: not family.multi_turn and len(example.turns) > 1),
    )
    return tuple(rule for rule in rules if rule[0] not in keep)


def sending_rules(
    family: StudentFamily,
    *,
    keep: Collection[str] = (),
    with_answers: bool = False,
    max_characters: int | None = None,
    reserved_words: str = "keep",
) -> tuple[Rule, ...]:
    """Return the rules for what is sent, so asked after redaction: what the service or the student would not take.

    :param with_answers: logged answers are sent as golden labels.
    :param max_characters: most characters of a record, of prompt and answer together.
    :param reserved_words: `drop`: records with a word that the family reserves are dropped.
    """
    rules: tuple[Rule, ...] = (
        (DropReason.UNSENDABLE, lambda example, _: is_unsendable(example)),
        (DropReason.TOO_LONG, lambda example, _: is_too_long(example, family, max_characters)),
        (DropReason.LINE_TOO_LONG, lambda example, _: has_long_line(example, with_answers=with_answers)),
        (
            DropReason.RESERVED_WORD,
            lambda example, _: reserved_words == "drop" and has_reserved_word(example, family),
        ),
    )
    return tuple(rule for rule in rules if rule[0] not in keep)


def drop_reason(rules: tuple[Rule, ...], example: Example, source: Interaction | None) -> DropReason | None:
    """Return why an example is dropped, or None; `source` is None for golden examples, whose answers people
    wrote."""
    return next((reason for reason, applies in rules if applies(example, source)), None)
