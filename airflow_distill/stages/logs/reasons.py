"""Why a log line did not become an interaction: every reason has a stable code and one explanation.

Standard library only. Counts by these codes are what a harvest reports; codes are never renamed, so a chart over months
stays true. The text beside each code is what the guide prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class SkipReason(StrEnum):
    """The code of a reason; `explanation` says in a sentence what it means."""

    explanation: str

    def __new__(cls, code: str, explanation: str) -> SkipReason:
        member = str.__new__(cls, code)
        member._value_ = code
        member.explanation = explanation
        return member

    # The line itself.
    BLANK = "blank", "The line is empty or holds only white space."
    NOT_UTF8 = "not_utf8", "The line is not valid UTF-8 text."
    NOT_JSON = "not_json", "The line is not one JSON value, or it is nested too deeply to be read."
    NOT_A_RECORD = (
        "not_a_record",
        "The JSON is not a model invocation record: no object, other schema, or no model id.",
    )

    LINE_TOO_LONG = (
        "line_too_long",
        "The line is longer than 8 MiB, which no record of Bedrock is, so it was not read.",
    )
    TOO_MUCH_METADATA = (
        "too_much_metadata",
        "The record carries more request metadata, or longer names, than the service allows.",
    )
    UNREADABLE = "unreadable", "The line breaks the reader in a way that no other reason names."

    # The selection.
    OTHER_TRAFFIC = (
        "other_traffic",
        "The line does not contain what every record of the selection must contain, so it was not parsed.",
    )
    OTHER_MODEL = "other_model", "The record's model does not resolve to the selected model."
    UNRESOLVED_PROFILE = (
        "unresolved_profile",
        "The model id is an application inference profile whose model is not known: name it (`logs.models` of the workload "
        "file, `model_mapping` of the operator, `--mapping`), or allow bedrock:GetInferenceProfile.",
    )
    OTHER_OPERATION = "other_operation", "The record's operation is not among the selected ones."
    OTHER_METADATA = "other_metadata", "The request metadata does not match the filter."
    OTHER_CALLER = "other_caller", "The caller's ARN does not match the selected identity."
    OTHER_SYSTEM = "other_system", "The system prompt is not the selected one."
    OWN_CALL = "own_call", "The call was made by this package: an evaluation, a probe or the watch."
    FORGOTTEN = "forgotten", "The record belongs to somebody who was forgotten on request."
    OUTSIDE_WINDOW = "outside_window", "The record's time is outside the window, or it has no readable time."

    # The call and its bodies.
    FAILED_CALL = "failed_call", "The call failed or was throttled: the record carries an error code."
    NO_BODY = "no_body", "The record has neither a body nor a path to one, as when text logging is off."
    BODY_MISSING = (
        "body_missing",
        "The body was stored apart from the record, and no object in `data/` beside the log can be read for it.",
    )
    BODY_TOO_LONG = (
        "body_too_long",
        "The stored body is longer than 32 MiB, or 8 MiB as it is stored, or holds more than 8 MiB of text.",
    )
    BODY_UNREADABLE = "body_unreadable", "The body's object is there but cannot be read as JSON."
    UNKNOWN_INPUT = "unknown_input", "The request body has a shape the reader does not know."
    UNKNOWN_OUTPUT = "unknown_output", "The response body has a shape the reader does not know."
    OTHER_TASK = (
        "other_task",
        "The call is no conversation: it makes embeddings, a ranking, images, video, speech or a count of tokens.",
    )
    PROMPT_ELSEWHERE = (
        "prompt_elsewhere",
        "The prompt's text is not in the record: it lies in prompt management, in an earlier response or in a stored "
        "conversation.",
    )
    SYSTEM_TURN = "system_turn", "A system message stands in the middle of the conversation."
    SEARCH_RESULT = "search_result", "The prompt holds search results or documents as blocks of their own."
    BROKEN_TEMPLATE = (
        "broken_template",
        "The prompt holds chat control tokens that do not form a conversation.",
    )
    TURN_ORDER = (
        "turn_order",
        "The conversation does not start with the user, or nobody was waiting for an answer.",
    )
    TOOL_USE = "tool_use", "The conversation or the answer uses tools."
    MULTIMODAL = "multimodal", "The conversation or the answer holds an image, a document, audio or video."
    EMPTY_PROMPT = "empty_prompt", "A turn of the prompt has no text."
    EMPTY_ANSWER = "empty_answer", "The answer has no text."
    INCOMPLETE_ANSWER = "incomplete_answer", "The stream starts a message and never says why it stopped."
    BAD_TEXT = "bad_text", "The text holds a lone surrogate, which no UTF-8 file can store."

    # The sample.
    DUPLICATE = "duplicate", "The prompt is already in the sample, or the record was delivered twice."
    OUT_OF_SAMPLE = "out_of_sample", "The prompt is usable but is not among the k of the sample."


DAMAGE = frozenset(
    {
        SkipReason.NOT_UTF8,
        SkipReason.NOT_JSON,
        SkipReason.LINE_TOO_LONG,
        SkipReason.BAD_TEXT,
        SkipReason.UNREADABLE,
        SkipReason.BODY_UNREADABLE,
    }
)
"""Reasons that say of a line that it is broken, not that it is another's or cannot be taught."""
LOST_OBJECTS = ("damaged", "foreign", "missing")
"""What a log object can be counted as when not all of it was read."""


def lost_share(lines: int, skipped: Mapping[str, int], objects: Mapping[str, int]) -> float:
    """Return the share of lines that were broken, or of log objects that were not read whole, whichever is larger.

    How many lines a damaged object lost nobody knows, so it counts as one of the objects.
    """
    broken = sum(skipped.get(reason.value, 0) for reason in DAMAGE)
    lost = sum(objects.get(what, 0) for what in LOST_OBJECTS)
    return max(broken / lines if lines else 0.0, lost / (sum(objects.values()) or 1))


def lost_words(skipped: Mapping[str, int], objects: Mapping[str, int]) -> str:
    """Say what of the logs was lost, by reason."""
    parts = [f"{n:,} log objects {what}" for what, n in objects.items() if what in LOST_OBJECTS and n]
    parts += [f"{skipped[code]:,} lines {code}" for code in sorted(DAMAGE) if skipped.get(code)]
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line that did not become an interaction. Never any text of the line."""

    reason: SkipReason
