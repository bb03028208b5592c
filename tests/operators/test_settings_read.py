"""Members of mapping arguments are read by their type too: a template inside a mapping renders to text."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_distill.errors import ConfigurationError
from airflow_distill.operators.dataset import policy_of, settings_of
from airflow_distill.operators.task import settings_read
from airflow_distill.stages.arguments import as_list
from airflow_distill.stages.dataset.curate import CurateSettings
from airflow_distill.stages.decision.policy import PromotionPolicy
from airflow_distill.stages.evaluation.judge_standing import JudgeRules

pytestmark = pytest.mark.airflow


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"with_answers": "False"}, {"with_answers": False}),
        ({"redact": "no", "drop_refusals": "0"}, {"redact": False, "drop_refusals": False}),
        ({"limit": "500", "heldout": "0.2"}, {"limit": 500, "heldout": 0.2}),
        ({"near_duplicates": "careful"}, {"near_duplicates": "careful"}),
        ({"near_duplicates": "0.9"}, {"near_duplicates": 0.9}),
        ({"near_duplicates": "None"}, {"near_duplicates": None}),
        ({"keep": "refusal"}, {"keep": ("refusal",)}),
        ({"keep": "['refusal', 'truncated']"}, {"keep": ("refusal", "truncated")}),
        ({"feedback": '["liked"]'}, {"feedback": ("liked",)}),
        ({"max_characters": "None"}, {"max_characters": None}),
        ({"golden_share": "0.05", "thinking": "drop"}, {"golden_share": 0.05, "thinking": "drop"}),
    ],
)
def test_settings_of_a_dataset_are_what_their_text_stands_for(
    written: dict[str, Any], read: dict[str, Any]
) -> None:
    settings = settings_of(written, "s")
    assert {name: getattr(settings, name) for name in read} == read


@pytest.mark.parametrize(
    ("written", "member"),
    [
        ({"with_answers": "maybe"}, "settings.with_answers"),
        ({"limit": "many"}, "settings.limit"),
        ({"heldout": "ten per cent"}, "settings.heldout"),
    ],
)
def test_a_member_that_stands_for_nothing_is_named(written: dict[str, Any], member: str) -> None:
    with pytest.raises(ConfigurationError, match=member):
        settings_of(written, "s")


def test_policies_and_rules_are_read_so_too() -> None:
    assert policy_of({"least_new": "7"}).least_new == 7
    policy = settings_read(
        PromotionPolicy, {"metrics": {"exact": 0.05}, "beat_untuned": "False", "min_items": "50"}, "policy"
    )
    assert (policy["beat_untuned"], policy["min_items"], policy["metrics"]) == (False, 50, {"exact": 0.05})
    assert PromotionPolicy.from_json(policy).beat_untuned is False
    assert settings_read(JudgeRules, {"accept_same_family": "false"}, "rules") == {
        "accept_same_family": False
    }


def test_what_has_its_type_already_stays_as_it_is() -> None:
    values = {"limit": 500, "heldout": 0.1, "redact": True, "keep": ["refusal"], "unknown": "x"}
    assert settings_read(CurateSettings, values, "settings") == values


def test_a_set_gives_the_same_list_every_time() -> None:
    assert as_list({"b", "a", "c"}, "operations") == ["a", "b", "c"]
