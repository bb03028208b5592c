r"""Prompts that are one text with control tokens become a system text and turns.

Standard library only. Templates are known by their tokens: Llama 3 and 4 (headers and end-of-turn tokens), Llama 2 and
Mistral (`[INST]`), DeepSeek (`<｜User｜>`), ChatML as imported models use it (`<|im_start|>`), Gemma (`<start_of_turn>`),
and Anthropic's legacy form (a blank line, then `Human:` or `Assistant:`). A text without any of
their tokens is one user turn. A text that holds tokens in an order no template produces is refused, never guessed at.
"""

from __future__ import annotations

import re
from itertools import pairwise

from airflow_distill.stages.logs.reasons import SkipReason
from airflow_distill.stages.logs.unusable import Unusable

RawTurn = tuple[str, str]

_LLAMA_FORMS = {
    "start_header_id": ("end_header_id", "eot_id"),
    "header_start": ("header_end", "eot"),
}
"""What closes the header and ends the turn that a token opens: Llama 3, Llama 4."""
_TOOL_TOKENS = (
    "<|python_tag|>",
    "<|eom_id|>",
    "<|eom|>",
    "[TOOL_CALLS]",
    "[AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
)
_MEDIA_TOKENS = ("<|image|>", "<|image_start|>", "<|video|>", "[IMG]")
_LLAMA_TOKEN = re.compile(r"<\|([a-z_0-9]+)\|>")
_SYSTEM_OPENS, _SYSTEM_CLOSES = "<<SYS>>", "<</SYS>>"
_DEEPSEEK_TURN = re.compile(r"<｜(User|Assistant)｜>")
_LEGACY_TURN = re.compile(r"(?:\A|\n\n)(Human|Assistant):")


def split_prompt(prompt: str) -> tuple[str | None, list[RawTurn]]:
    """Return the system text and the turns of a prompt; an open assistant turn at the end is left out when empty.

    :raises Unusable: control tokens that form no conversation, or tokens of tools or media.
    """
    if "<|im_start|>" in prompt:
        return _split_named(prompt, "<|im_start|>", "<|im_end|>")
    if "<start_of_turn>" in prompt:
        return _split_named(prompt.removeprefix("<bos>"), "<start_of_turn>", "<end_of_turn>")
    if "<｜User｜>" in prompt:
        return _split_deepseek(prompt)
    if "<|" in prompt and _LLAMA_TOKEN.search(prompt):
        return _split_llama(prompt)
    if "[INST]" in prompt:
        return _split_llama2(prompt)
    if "\n\nHuman:" in prompt or prompt.startswith("Human:"):
        return _split_legacy(prompt)
    return None, [("user", prompt)]


def _refuse_tools_and_media(prompt: str) -> None:
    if any(token in prompt for token in _TOOL_TOKENS):
        raise Unusable(SkipReason.TOOL_USE)
    if any(token in prompt for token in _MEDIA_TOKENS):
        raise Unusable(SkipReason.MULTIMODAL)


def _split_llama(prompt: str) -> tuple[str | None, list[RawTurn]]:
    """Take apart a prompt by its tokens: each turn is three of them, and only the last may lack its end."""
    pieces = _LLAMA_TOKEN.split(prompt.rstrip())
    tokens, texts = pieces[1::2], pieces[2::2]
    at = 1 if tokens[0] == "begin_of_text" else 0
    between = [pieces[0], *texts[:at]]
    parts: list[RawTurn] = []
    for first in range(at, len(tokens), 3):
        opening, *others = tokens[first : first + 3]
        wanted = _LLAMA_FORMS.get(opening, ())[: len(others)]
        if not others or tuple(others) != wanted:
            raise _unexpected(prompt)
        parts.append((texts[first], texts[first + 1].strip()))
        between += texts[first + 2 : first + 3]
    if any(between):
        raise _unexpected(prompt)
    return _with_system(parts)


def _unexpected(prompt: str) -> Unusable:
    """Return why a prompt with control tokens is refused: tools and media have reasons of their own."""
    _refuse_tools_and_media(prompt)
    return Unusable(SkipReason.BROKEN_TEMPLATE)


def _with_system(parts: list[RawTurn]) -> tuple[str | None, list[RawTurn]]:
    """Split off a leading system part and an empty open answer; check the roles that remain."""
    system = parts.pop(0)[1] if parts and parts[0][0] == "system" else None
    if parts and parts[-1] == ("assistant", ""):
        parts.pop()
    if len(parts) == 1 and parts[0][0] == "user":
        return system or None, parts
    roles = {role for role, _ in parts}
    if "ipython" in roles or "tool" in roles:
        raise Unusable(SkipReason.TOOL_USE)
    if not parts or not roles <= {"user", "assistant"}:
        raise Unusable(SkipReason.BROKEN_TEMPLATE)
    if any(one[0] == other[0] for one, other in pairwise(parts)):
        raise Unusable(SkipReason.BROKEN_TEMPLATE)
    return system or None, parts


def _split_named(prompt: str, opens: str, closes: str) -> tuple[str | None, list[RawTurn]]:
    """Take apart a prompt whose turns are a token, the role on a line, text and a token; the last may lack its end."""
    _refuse_tools_and_media(prompt)
    head, *rest = prompt.split(opens)
    parts: list[RawTurn] = []
    for number, piece in enumerate(rest):
        role, _, text = piece.partition("\n")
        text, closed, after = text.partition(closes)
        if after.strip() or (not closed and number < len(rest) - 1):
            raise Unusable(SkipReason.BROKEN_TEMPLATE)
        parts.append(("assistant" if role.strip() == "model" else role.strip(), text.strip()))
    if head.strip():
        raise Unusable(SkipReason.BROKEN_TEMPLATE)
    return _with_system(parts)


def _split_deepseek(prompt: str) -> tuple[str | None, list[RawTurn]]:
    """Take apart a prompt of DeepSeek: the system text stands before the first user's, and thinking may be begun."""
    head, *rest = _DEEPSEEK_TURN.split(prompt.replace("<｜begin▁of▁sentence｜>", ""))
    if "<｜tool" in prompt:
        raise Unusable(SkipReason.TOOL_USE)
    parts = [
        ("user" if name == "User" else "assistant", text.replace("<｜end▁of▁sentence｜>", "").strip())
        for name, text in zip(rest[::2], rest[1::2], strict=True)
    ]
    return _with_system([("system", head.strip()), *parts] if head.strip() else parts)


def _split_llama2(prompt: str) -> tuple[str | None, list[RawTurn]]:
    _refuse_tools_and_media(prompt)
    head, *rounds = prompt.split("[INST]")
    if head.replace("<s>", "").strip():
        raise Unusable(SkipReason.BROKEN_TEMPLATE)
    system: str | None = None
    parts: list[RawTurn] = []
    for number, piece in enumerate(rounds):
        asked, closed, answer = piece.partition("[/INST]")
        if not closed or "[/INST]" in answer:
            raise Unusable(SkipReason.BROKEN_TEMPLATE)
        if number == 0 and asked.lstrip().startswith(_SYSTEM_OPENS):
            system, asked = _llama2_system(asked.lstrip())
        if _SYSTEM_OPENS in asked or _SYSTEM_CLOSES in asked:
            raise Unusable(SkipReason.BROKEN_TEMPLATE)
        parts.append(("user", asked.strip()))
        parts.append(("assistant", answer.replace("</s>", "").replace("<s>", "").strip()))
    return _with_system([("system", system), *parts] if system else parts)


def _llama2_system(asked: str) -> tuple[str, str]:
    """Return the system text that a first round begins with, and what is asked.

    :raises Unusable: its end is missing.
    """
    system, closed, rest = asked.removeprefix(_SYSTEM_OPENS).partition(_SYSTEM_CLOSES)
    if not closed:
        raise Unusable(SkipReason.BROKEN_TEMPLATE)
    return system.strip(), rest.strip()


def _split_legacy(prompt: str) -> tuple[str | None, list[RawTurn]]:
    head, *rest = _LEGACY_TURN.split(prompt)
    names, texts = rest[::2], rest[1::2]
    parts = [
        ("user" if name == "Human" else "assistant", text.strip())
        for name, text in zip(names, texts, strict=True)
    ]
    return _with_system([("system", head.strip()), *parts] if head.strip() else parts)
