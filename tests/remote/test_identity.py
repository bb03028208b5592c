"""Names and tokens obey the service's own rules and never change by accident."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.remote import identity

_MODEL = botocore.session.get_session().get_service_model("bedrock")


def _obeys(shape_name: str, value: str) -> bool:
    rule = _MODEL.shape_for(shape_name).metadata
    sound = re.fullmatch(rule["pattern"], value) is not None
    return sound and rule.get("min", 0) <= len(value) <= rule["max"]


texts = st.text(max_size=80)
generations = st.integers(min_value=1, max_value=9999)


@given(texts, texts, texts, texts, st.dictionaries(texts, texts | st.integers(), max_size=3), generations)
def test_every_name_obeys_the_rule_of_its_kind(workload, dataset, teacher, student, parameters, generation):
    job = identity.job_name(workload, dataset, teacher, student, parameters, generation)
    model = identity.custom_model_name(workload, dataset, teacher, student, parameters, generation)
    evaluation = identity.evaluation_name(workload, dataset, teacher, parameters, generation)
    host = identity.host_name(workload, student, teacher, generation)
    copy = identity.copy_name(workload, teacher, student, generation)
    assert _obeys("JobName", job)
    assert _obeys("CustomModelName", model)
    assert _obeys("EvaluationJobName", evaluation)
    assert _obeys("ModelInvocationJobName", evaluation)
    assert _obeys("ProvisionedModelName", host)
    assert _obeys("ModelDeploymentName", host)
    assert _obeys("CustomModelName", copy)


@given(texts, texts)
def test_every_token_obeys_both_token_rules(operation, name):
    token = identity.request_token(operation, name)
    assert _obeys("IdempotencyToken", token)
    assert _obeys("ModelInvocationIdempotencyToken", token)


@given(texts, texts, texts, st.dictionaries(texts, texts, max_size=3))
def test_every_tag_is_one_the_service_accepts(workload, run, owner, extra):
    sound_keys = {k: v for k, v in extra.items() if re.fullmatch(r"[a-zA-Z0-9\s._:/=+@-]{1,128}", k)}
    tags = identity.resource_tags(workload, run, owner, "20261123T000000Z", extra=sound_keys)
    assert all(_obeys("TagKey", key) and _obeys("TagValue", value) for key, value in tags.items())


@given(texts, texts, texts, texts, generations)
def test_equal_wishes_have_equal_names_and_any_difference_another(
    workload, dataset, teacher, student, generation
):
    base = identity.job_name(workload, dataset, teacher, student, {"a": 1}, generation)
    assert base == identity.job_name(workload, dataset, teacher, student, {"a": 1}, generation)
    others = {
        identity.job_name(workload + "x", dataset, teacher, student, {"a": 1}, generation),
        identity.job_name(workload, dataset + "x", teacher, student, {"a": 1}, generation),
        identity.job_name(workload, dataset, teacher + "x", student, {"a": 1}, generation),
        identity.job_name(workload, dataset, teacher, student + "x", {"a": 1}, generation),
        identity.job_name(workload, dataset, teacher, student, {"a": 2}, generation),
        identity.job_name(workload, dataset, teacher, student, {"a": 1}, generation + 1),
        identity.custom_model_name(workload, dataset, teacher, student, {"a": 1}, generation),
    }
    assert base not in others
    assert len(others) == 7


def test_names_of_a_release_are_pinned_because_running_jobs_are_found_by_them():
    arguments = ("support_tickets", "d" * 16, "amazon.nova-pro-v1:0", "amazon.nova-lite-v1:0:300k")
    assert identity.job_name(*arguments) == "support-tickets-j6300ec4fee362ca9-1"
    assert identity.custom_model_name(*arguments, {"n": 1}, 2) == "support-tickets-m9cea9d77ce032117-2"
    assert (
        identity.request_token("CreateModelCustomizationJob", "name")
        == "70812c20eda7d1bf7b4975eec3f43e29f0240ef840a70637"
    )


def test_workloads_that_look_alike_as_names_stay_apart():
    one = identity.job_name("a_b", "d", "t", "s")
    assert one != identity.job_name("a-b", "d", "t", "s")


def test_the_key_order_of_parameters_does_not_matter():
    assert identity.fingerprint({"a": 1, "b": (1, 2)}) == identity.fingerprint({"b": [1, 2], "a": 1})


def test_a_generation_below_one_is_refused():
    with pytest.raises(ValueError, match="counts from 1"):
        identity.job_name("w", "d", "t", "s", generation=0)


@given(texts, texts, texts)
def test_a_run_is_named_within_the_tag_rules_and_unlike_any_other(dag_id, run_id, other):
    tag = identity.run_tag(dag_id, run_id)
    assert _obeys("TagValue", tag)
    assert identity.tag_value(tag) == tag
    assert (identity.run_tag(dag_id, other) == tag) == (other == run_id)


def test_a_runs_tag_is_readable_and_an_overlong_one_still_tells_runs_apart():
    assert identity.run_tag("loop", "manual__1") == "loop/manual__1"
    long = [identity.run_tag("d" * 250, f"scheduled__{day}") for day in range(2)]
    assert len(set(long)) == 2
    assert {len(tag) for tag in long} == {256}


def test_users_tags_cannot_replace_ours():
    tags = identity.resource_tags(
        "w",
        identity.run_tag("loop", "scheduled__2026-11-23T00:00:00+00:00"),
        "me",
        datetime(2026, 11, 23, tzinfo=UTC),
        extra={identity.TAG_OWNER: "them", "team": "search"},
        dataset_id="d",
        release=3,
        temporary=True,
    )
    assert tags[identity.TAG_OWNER] == "me"
    assert tags["team"] == "search"
    assert tags[identity.TAG_EXPIRES_AT] == "20261123T000000Z"
    assert (tags[identity.TAG_RELEASE], tags[identity.TAG_TEMPORARY]) == ("3", "true")
    assert identity.tag_list({"b": "2", "a": "1"}) == [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
