"""What each family of student models accepts, as data: turns, context, control tokens.

Takes a model id or ARN in any form and hands on a `StudentFamily`. Standard library only; the dataset stage may not import
the jobs stage, so families are told apart by the provider's prefix. Turns, the form of fine-tuning data and contexts come
from the table of models; the tokens of chat templates are written here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from airflow_distill.stages.model_table import CONTEXT_TOKENS, Form, in_force

_CONTEXT = re.compile(r":(\d+)k$")


@dataclass(frozen=True, slots=True)
class StudentFamily:
    """The rules of one provider's students.

    `context_tokens` is the context of fine-tuning, which a record must fit into. `control_tokens` are strings of the chat
    template, which must not appear in text: the service adds them. `reserved_words` fail a fine-tuning job wherever they
    stand, by the user guide ("Preparing data for fine-tuning Understanding models"); whether they fail a distillation job
    is not documented. `fine_tuning` is the form of a line of fine-tuning data.
    """

    name: str
    multi_turn: bool
    context_tokens: int
    control_tokens: tuple[str, ...]
    reserved_words: tuple[str, ...] = ()
    fine_tuning: Form = "conversation"


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
_NOVA_WORDS = ("System:", "User:", "Assistant:", "Bot:", "Thought:", "[EOS]", "<image>", "<video>")
_ANTHROPIC_TOKENS = ("\n\nHuman:", "\n\nAssistant:", "\nHuman:", "\nAssistant:")
_ANY_TOKENS = (*_LLAMA_TOKENS, *_ANTHROPIC_TOKENS, "<|im_start|>", "<|im_end|>", "<|endoftext|>")

_TOKENS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "amazon": ((*_NOVA_TOKENS, *_ANY_TOKENS), _NOVA_WORDS),
    "meta": (_ANY_TOKENS, ()),
    "anthropic": (_ANY_TOKENS, ()),
}
"""Provider prefix -> control tokens and reserved words of its chat template."""

ANY_FAMILY = StudentFamily("any", True, CONTEXT_TOKENS, (*_NOVA_TOKENS, *_ANY_TOKENS))
"""Rules when no student is named: what at least one family accepts."""


def base_name(model: str) -> str:
    """Return the model id without ARN and system-profile prefix, context suffix kept."""
    name = model.rsplit("/", 1)[-1] if model.startswith("arn:") else model
    return in_force().prefix.sub("", name)


def provider_of(model: str) -> str:
    """Return the provider prefix of a model id, such as `amazon`; empty when there is none."""
    name = base_name(model)
    return name.split(".", 1)[0] if "." in name else ""


def family_of(model: str | None) -> StudentFamily:
    """Return the rules for a student; for no or an unknown student those that any family would accept.

    A context suffix such as `:8k` can only narrow the context of fine-tuning.
    """
    if not model:
        return ANY_FAMILY
    family = _family(provider_of(model))
    suffix = _CONTEXT.search(model)
    contexts = [family.context_tokens, *([int(suffix[1]) * 1000] if suffix else [])]
    known = in_force().model(_CONTEXT.sub("", base_name(model)))
    contexts += [known.context] if known is not None and known.context is not None else []
    return replace(family, context_tokens=min(contexts))


def _family(provider: str) -> StudentFamily:
    known = in_force().families.get(provider)
    if known is None:
        return ANY_FAMILY
    tokens, words = _TOKENS.get(provider, (ANY_FAMILY.control_tokens, ()))
    form: Form = known.fine_tuning or "conversation"
    return StudentFamily(provider, known.multi_turn, CONTEXT_TOKENS, tokens, words, form)


def is_known(model: str) -> bool:
    """Say whether the provider of a student is one whose rules are known."""
    return provider_of(model) in in_force().families
