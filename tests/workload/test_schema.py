"""The published JSON schema is the one the code would write, and it agrees with the reader."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import jsonschema
import pytest
import yaml

from airflow_distill.stages.decision.policy import PromotionPolicy
from airflow_distill.workload.config import Policy, Workload
from airflow_distill.workload.schema import PUBLISHED, json_schema, text
from airflow_distill.workload.tasks import policy


@pytest.mark.locked
def test_the_published_schema_is_fresh() -> None:
    assert PUBLISHED.read_text() == text(), "run python -m airflow_distill.workload.schema"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(text()))


def test_the_shortest_file_satisfies_the_schema(shortest: str) -> None:
    jsonschema.validate(yaml.safe_load(shortest), json_schema())


@pytest.mark.parametrize("wrong", [{"extra": 1}, {"policy": {"margn": 1}}, {"job": {"deadline": "7 days"}}])
def test_the_schema_refuses_what_the_reader_refuses(shortest: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**yaml.safe_load(shortest), **wrong}, json_schema())


def test_the_policy_of_a_file_is_the_whole_promotion_policy_with_its_defaults(shortest: str) -> None:
    workload = Workload.model_validate({"name": "w", **yaml.safe_load(shortest)})
    settings = {field.name for field in fields(PromotionPolicy)}
    assert settings == set(Policy.model_fields) - {"margin"}
    made = PromotionPolicy.from_json(policy(workload))
    assert made == PromotionPolicy(made.metrics)


def test_every_setting_is_described() -> None:
    """Editors show the description; the reference page prints it."""
    schema = json_schema()
    groups = [schema, *schema["$defs"].values()]
    bare = [
        f"{group.get('title')}.{name}"
        for group in groups
        for name, setting in group.get("properties", {}).items()
        if "description" not in setting and "$ref" not in setting
    ]
    assert bare == []
