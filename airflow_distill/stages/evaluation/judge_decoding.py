"""How a judge, or a teacher, lets itself be asked, learned once from what it refuses.

Takes a way to ask (passed in) and the parameters one would like; hands on the parameters that work. Models differ, and
their differences are written nowhere that a program could read them:

- Some refuse `temperature` with a ValidationException. It is asked again without; if that is answered, it is left out.
- Some reason before they answer and count it as output. A small limit is then used up before there is a word of the
  verdict (stop reason `max_tokens`, no text). The limit is raised until there is an answer, and some more.

Sampling is then whatever the model chooses for itself, so the parameters found are part of what answers are kept under. One
or a few small calls, made once for a model and kept in the store that is passed in. No AWS, no clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_distill.errors import EvaluationError, ServiceError
from airflow_distill.remote.backoff import again
from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.digest import canonical_json, digest
from airflow_distill.stages.evaluation.collect import Ask, Given, Parameters
from airflow_distill.stages.evaluation.judge import judge_prompt
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore, join_uri

SCHEMA = 1

MOST_TOKENS = 16_384
"""The limit is raised no further than this."""

HEADROOM = 4
"""A judge that reasons gets so many times the limit that was enough for the easy question asked here."""

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before a call is made again that was throttled or got no answer."""

QUESTION = judge_prompt(Example((Turn("user", "What is two plus two?"),)), "Four.", "Five.")
"""The comparison that a judge is asked to learn its ways."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Parameters that a judge takes, and what was learned on the way: `no-temperature`, `reasons`."""

    parameters: Parameters
    learned: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "v": SCHEMA,
            "max_tokens": self.parameters.max_tokens,
            "temperature": self.parameters.temperature,
            "learned": list(self.learned),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decoding:
        """Rebuild what `to_json` gave.

        :raises ValueError: it is something else.
        """
        tokens, temperature = data.get("max_tokens"), data.get("temperature")
        if data.get("v") != SCHEMA or not isinstance(tokens, int) or isinstance(tokens, bool):
            raise ValueError("not the decoding of a judge")
        if temperature is not None and not isinstance(temperature, int | float):
            raise ValueError("not the decoding of a judge")
        return cls(Parameters(tokens, temperature), tuple(str(item) for item in data.get("learned") or ()))


def kept_decoding(
    store: ObjectStore,
    folder: str,
    model: str,
    wanted: Parameters,
    ask: Ask,
    sleep: Callable[[float], None],
) -> Decoding:
    """Return how a model lets itself be asked, as kept below a folder; learned and kept where nobody has yet.

    :raises ServiceError: it refuses to be asked for another reason.
    :raises EvaluationError: it gives no answer within the largest limit.
    """
    uri = join_uri(folder, "decoding", f"{digest([model, wanted.digest], 16)}.json")
    try:
        return Decoding.from_json(json.loads(store.read(uri)))
    except (ObjectMissingError, ValueError, AttributeError):
        pass
    found = learn_decoding(ask, wanted, sleep)
    store.write(uri, canonical_json(found.to_json()))
    return found


def learn_decoding(ask: Ask, wanted: Parameters, sleep: Callable[[float], None]) -> Decoding:
    """Return the parameters nearest to the wanted ones that the judge takes.

    :raises ServiceError: it refuses to be asked for another reason.
    :raises EvaluationError: it gives no answer within the largest limit.
    """
    parameters, learned = wanted, []
    try:
        given = _patiently(ask, parameters, sleep)
    except ServiceError as refusal:
        if refusal.code != "ValidationException" or wanted.temperature is None:
            raise
        parameters = replace(parameters, temperature=None)
        try:
            given = _patiently(ask, parameters, sleep)
        except ServiceError:
            # It was not the temperature; the first refusal says what it was.
            raise refusal from None
        learned.append("no-temperature")
    while not given.text.strip() and given.stop_reason == "max_tokens":
        if parameters.max_tokens >= MOST_TOKENS:
            raise EvaluationError(
                f"judge: no answer within {MOST_TOKENS:,} tokens; the model spends them on reasoning.",
                hint="Choose another judge.",
            )
        parameters = replace(parameters, max_tokens=min(MOST_TOKENS, parameters.max_tokens * 4))
        given = _patiently(ask, parameters, sleep)
        if "reasons" not in learned:
            learned.append("reasons")
    if "reasons" in learned:
        parameters = replace(parameters, max_tokens=min(MOST_TOKENS, parameters.max_tokens * HEADROOM))
    return Decoding(parameters, tuple(learned))


def _patiently(ask: Ask, parameters: Parameters, sleep: Callable[[float], None]) -> Given:
    return again(lambda: ask(QUESTION, parameters), PAUSES, sleep, lambda error: error.retryable)
