"""Request bodies of every family become one conversation: a system text and turns that end with the user.

Standard library and `shapes` only. A body that cannot be read raises `Unusable` with its reason; the reader counts it.
Several text blocks of one turn are joined by a newline in what people wrote and by nothing in what the model wrote,
since a model's answer is cut into blocks in mid-sentence (citations).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_distill.stages.logs.chat_templates import split_prompt
from airflow_distill.stages.logs.reasons import SkipReason
from airflow_distill.stages.logs.shapes import Block, InputBody, Message
from airflow_distill.stages.logs.unusable import Unusable

RawTurn = tuple[str, str]
Conversation = tuple[str | None, tuple[RawTurn, ...], str]
"""System text, turns ending with the user's, and the beginning of the answer that the caller wrote ("" mostly)."""

_TOOL_TYPES = frozenset(
    {
        "tool_use", "tool_result", "server_tool_use", "web_search_tool_result", "mcp_tool_use",
        "function_call", "function_call_output", "custom_tool_call", "web_search_call", "mcp_call",
    }
)  # fmt: skip
_TOOL_ROLES = frozenset({"tool", "function", "TOOL"})
_MEDIA_TYPES = frozenset(
    {"image", "document", "video", "audio", "image_url", "input_image", "input_file", "input_audio"}
)
_SILENT_TYPES = frozenset({"thinking", "redacted_thinking", "reasoning"})
_TEXT_TYPES = frozenset({None, "text", "input_text", "output_text"})
_SYSTEM_ROLES = frozenset({"system", "developer", "SYSTEM"})
_COHERE_ROLES = {"USER": "user", "User": "user", "CHATBOT": "assistant", "Chatbot": "assistant"}


def read_input(body: InputBody) -> Conversation:
    """Return the conversation of a request body.

    :raises Unusable: the body is of no known family, or holds what a text dataset cannot.
    """
    messages = body.messages
    if body.tool_results:
        raise Unusable(SkipReason.TOOL_USE)
    if body.images:
        raise Unusable(SkipReason.MULTIMODAL)
    if messages is not None:
        system = _system_text(body.system)
        if len(messages) == 1 and messages[0].role == "user":
            content = messages[0].content
            text = one_text(content)
            if text is None:
                text = block_text(content, "\n", SkipReason.UNKNOWN_INPUT)
            if text and not text.isspace():
                return system, (("user", text),), ""
        return _close(*_split_system(system, messages))
    if body.prompt is not None:
        system, turns = split_prompt(body.prompt)
        return _close(system or _system_text(body.system), turns)
    if body.inputText is not None:
        return _close(None, _titan_turns(body.inputText))
    if body.message is not None:
        return _close(*_cohere_turns(body))
    if body.input is not None:
        return _close(*_response_turns(body))
    raise Unusable(SkipReason.PROMPT_ELSEWHERE if body.promptVariables else SkipReason.UNKNOWN_INPUT)


def offers_tools(body: InputBody) -> bool:
    """Say whether a request names tools that the model may call."""
    return bool(body.tools or (body.toolConfig is not None and body.toolConfig.tools))


def one_text(content: str | list[Block] | None) -> str | None:
    """Return the text of content that is one block of text, as most is; None where `block_text` must look."""
    if content.__class__ is list and len(content) == 1:
        block = content[0]
        if block.type is None or block.type in _TEXT_TYPES:
            return block.text
    return None


def block_text(content: str | list[Block] | None, joint: str, unknown: SkipReason) -> str:
    """Return the text of a message's content.

    :param joint: what stands between text blocks.
    :param unknown: the reason for a block of no known kind.
    :raises Unusable: a block is a tool call, media or unknown.
    """
    if isinstance(content, str):
        return content
    if content is None:
        raise Unusable(unknown)
    if len(content) == 1:
        block = content[0]
        if block.text is not None and block.type in _TEXT_TYPES:
            return block.text
    pieces = [_piece(block, unknown) for block in content]
    return joint.join(piece for piece in pieces if piece is not None)


def _piece(block: Block, unknown: SkipReason) -> str | None:
    """Return one block's text, or None for a block that says nothing to the reader (cache points, thinking)."""
    if block.toolUse is not None or block.toolResult is not None or block.type in _TOOL_TYPES:
        raise Unusable(SkipReason.TOOL_USE)
    if (
        block.image is not None
        or block.document is not None
        or block.video is not None
        or block.audio is not None
        or block.type in _MEDIA_TYPES
    ):
        raise Unusable(SkipReason.MULTIMODAL)
    if block.text is not None and block.type in _TEXT_TYPES:
        return block.text
    if block.searchResult is not None or block.type == "search_result":
        raise Unusable(SkipReason.SEARCH_RESULT)
    if block.type == "refusal" and block.refusal is not None:
        return block.refusal
    if block.cachePoint is not None or block.reasoningContent is not None or block.type in _SILENT_TYPES:
        return None
    if block.guardContent is not None:
        return _guarded_text(block.guardContent, unknown)
    if block.citationsContent is not None:
        return _cited_text(block.citationsContent, unknown)
    raise Unusable(unknown)


def _guarded_text(guarded: dict[str, Any], unknown: SkipReason) -> str:
    if "image" in guarded:
        raise Unusable(SkipReason.MULTIMODAL)
    inner = guarded.get("text")
    text = inner.get("text") if isinstance(inner, dict) else None
    if not isinstance(text, str):
        raise Unusable(unknown)
    return text


def _cited_text(cited: dict[str, Any], unknown: SkipReason) -> str:
    pieces = cited.get("content")
    if not isinstance(pieces, list):
        raise Unusable(unknown)
    texts = [piece.get("text") if isinstance(piece, dict) else None for piece in pieces]
    found = [text for text in texts if isinstance(text, str)]
    if len(found) != len(texts):
        raise Unusable(unknown)
    return "".join(found)


def _system_text(system: str | list[Block] | None) -> str | None:
    if not system:
        return None
    return one_text(system) or block_text(system, "\n", SkipReason.UNKNOWN_INPUT) or None


def _split_system(system: str | None, messages: list[Message]) -> tuple[str | None, list[RawTurn]]:
    """Return the system text, with that of leading system messages, and the turns that follow."""
    first = next((at for at, item in enumerate(messages) if item.role not in _SYSTEM_ROLES), len(messages))
    leading = [block_text(item.content, "\n", SkipReason.UNKNOWN_INPUT) for item in messages[:first]]
    return "\n".join(filter(None, (system, *leading))) or None, _turns(messages[first:])


def _turns(messages: list[Message]) -> list[RawTurn]:
    turns: list[RawTurn] = []
    for message in messages:
        role = message.role
        if message.tool_calls or role in _TOOL_ROLES or message.type in _TOOL_TYPES:
            raise Unusable(SkipReason.TOOL_USE)
        if message.type in _SILENT_TYPES:
            continue
        if role not in ("user", "assistant"):
            raise Unusable(SkipReason.SYSTEM_TURN if role in _SYSTEM_ROLES else SkipReason.UNKNOWN_INPUT)
        joint = "\n" if role == "user" else ""
        text = block_text(message.content, joint, SkipReason.UNKNOWN_INPUT)
        if turns and turns[-1][0] == role:
            turns[-1] = (role, f"{turns[-1][1]}{joint}{text}")
        else:
            turns.append((role, text))
    return turns


def _close(system: str | None, turns: Iterable[RawTurn]) -> Conversation:
    """Check the order of turns and take off the beginning of the answer, when the caller wrote one."""
    found = list(turns)
    begun = found.pop()[1] if found and found[-1][0] == "assistant" else ""
    if not found or found[0][0] != "user":
        raise Unusable(SkipReason.TURN_ORDER)
    for _, text in found:
        if not text or text.isspace():
            raise Unusable(SkipReason.EMPTY_PROMPT)
    return system, tuple(found), begun


def _cohere_turns(body: InputBody) -> tuple[str | None, list[RawTurn]]:
    """Take apart Cohere's form: a message, what was said before it, and a preamble."""
    if body.documents:
        raise Unusable(SkipReason.SEARCH_RESULT)
    before = [
        Message(_COHERE_ROLES.get(item.role, item.role), item.message, tool_calls=item.tool_calls)
        for item in body.chat_history or []
    ]
    return _split_system(body.preamble or None, [*before, Message("user", body.message)])


def _response_turns(body: InputBody) -> tuple[str | None, list[RawTurn]]:
    """Take apart the form of the Responses API: a text or a list of items, and instructions."""
    if body.previous_response_id or body.conversation:
        raise Unusable(SkipReason.PROMPT_ELSEWHERE)
    asked = body.input
    messages = [Message("user", asked)] if isinstance(asked, str) else asked or []
    return _split_system(body.instructions or None, messages)


def _titan_turns(text: str) -> list[RawTurn]:
    """Take apart Titan's conversation form, `User: ...` and `Bot:`; other text is one user turn."""
    body = text.strip()
    if body.startswith("User:") and body.endswith("Bot:") and body.count("User:") == 1:
        return [("user", body.removeprefix("User:").removesuffix("Bot:").strip())]
    return [("user", text)]
