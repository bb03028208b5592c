"""What each family of student models accepts, as data: turns, context, control tokens.

Takes a model id or ARN in any form and hands on a `StudentFamily`. Standard library only; the dataset stage may not import
the jobs stage, so families are told apart by the provider's prefix alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PROFILE = re.compile(r"^(?:us|eu|apac|global|us-gov|jp|au|ca)\.(?=[a-z0-9-]+\.)")
_CONTEXT = re.compile(r":(\d+)k$")

CHARACTERS_PER_TOKEN = 4
"""A cautious average for English text; only warnings and generous limits are built on it."""


@dataclass(frozen=True, slots=True)
class StudentFamily:
    """The rules of one provider's students.

    `context_tokens` is the window a record must fit into; the service publishes no limit per record, so it is the
    model's own. `control_tokens` are strings of the chat template, which must not appear in text: the service adds
    them.
    """

    name: str
    multi_turn: bool
    context_tokens: int
    control_tokens: tuple[str, ...]

    @property
    def max_characters(self) -> int:
        """How many characters surely do not fit: the context at a generous average."""
        return self.context_tokens * CHARACTERS_PER_TOKEN


_LLAMA_TOKENS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|python_tag|>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
)
_NOVA_TOKENS = ("[EOS]", "<image>", "<video>", "<unk>")
_ANTHROPIC_TOKENS = ("\n\nHuman:", "\n\nAssistant:", "\nHuman:", "\nAssistant:")
_ANY_TOKENS = (*_LLAMA_TOKENS, *_ANTHROPIC_TOKENS, "<|im_start|>", "<|im_end|>", "<|endoftext|>")

FAMILIES: dict[str, StudentFamily] = {
    "amazon": StudentFamily("amazon", True, 300_000, (*_NOVA_TOKENS, *_ANY_TOKENS)),
    "meta": StudentFamily("meta", False, 128_000, _ANY_TOKENS),
    "anthropic": StudentFamily("anthropic", False, 200_000, _ANY_TOKENS),
}
"""Provider prefix -> rules."""

ANY_FAMILY = StudentFamily("any", True, 300_000, (*_NOVA_TOKENS, *_ANY_TOKENS))
"""Rules when no student is named: what at least one family accepts."""


def base_name(model: str) -> str:
    """Return the model id without ARN and system-profile prefix, context suffix kept."""
    name = model.rsplit("/", 1)[-1] if model.startswith("arn:") else model
    return _PROFILE.sub("", name)


def provider_of(model: str) -> str:
    """Return the provider prefix of a model id, such as `amazon`; empty when there is none."""
    name = base_name(model)
    return name.split(".", 1)[0] if "." in name else ""


def family_of(model: str | None) -> StudentFamily:
    """Return the rules for a student; for no or an unknown student those that any family would accept.

    A context suffix such as `:128k` narrows the context.
    """
    if not model:
        return ANY_FAMILY
    family = FAMILIES.get(provider_of(model), ANY_FAMILY)
    context = _CONTEXT.search(model)
    if context is None:
        return family
    return StudentFamily(family.name, family.multi_turn, int(context.group(1)) * 1000, family.control_tokens)


def is_known(model: str) -> bool:
    """Say whether the provider of a student is one whose rules are known."""
    return provider_of(model) in FAMILIES
