"""JSON schema: has the answer the form that a program expects. Needs no reference.

The checking is the `jsonschema` library's, which Airflow itself depends on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.evaluation.scorers.json_text import NotJsonError, read_json

_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """1 when the answer is JSON that satisfies the schema."""

    version: ClassVar[int] = 2
    schema: Mapping[str, Any]
    name: str = "json_schema"
    fenced: bool = True
    _validator: Any = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_validator", _compile(self.schema))

    @property
    def needs_reference(self) -> bool:
        return False

    def score(self, answer: str, example: Example) -> float | None:
        try:
            return float(self._validator.is_valid(read_json(answer, fenced=self.fenced)))
        except NotJsonError:
            return 0.0


def _compile(schema: Mapping[str, Any]) -> Any:
    try:
        from jsonschema import exceptions, validators  # type: ignore[import-untyped]
        from referencing import Registry
    except ImportError:
        raise ConfigurationError(
            "evaluation: the scorer json_schema needs the library jsonschema.",
            hint="It comes with Airflow; without Airflow, install jsonschema.",
        ) from None
    plain = dict(schema)
    _refuse_remote(plain)
    kind = validators.validator_for(plain, default=validators.Draft202012Validator)
    try:
        kind.check_schema(plain)
    except exceptions.SchemaError as error:
        raise ConfigurationError(f"evaluation: the JSON schema is not one ({error.message}).") from None
    return kind(plain, registry=Registry())  # an empty one: what is not in the schema itself is never fetched


def _refuse_remote(schema: Any) -> None:
    """Refuse a reference that leads out of the schema: it would be fetched wherever the scores are made.

    :raises ConfigurationError: there is one.
    """
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            for key in _REFERENCES & value.keys():
                target = value[key]
                if isinstance(target, str) and not target.startswith("#"):
                    raise ConfigurationError(
                        f"evaluation: the JSON schema's {key} leads out of the schema.",
                        hint='Put what it names under "$defs" and write "#/$defs/NAME".',
                    )
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
