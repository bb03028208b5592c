"""One table of models for every stage: dated, with sources, and a user's file over it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.families import base_name, family_of
from airflow_distill.stages.jobs import models
from airflow_distill.stages.logs.models import resolve_model
from airflow_distill.stages.model_table import ModelTable, in_force, packaged, read_table, using

OWN: dict[str, Any] = {
    "v": 1,
    "date": "2026-12-01",
    "models": [
        {"id": "amazon.nova-2-lite-v1:0", "hosts": ["custom-model-deployment"], "context": 8000, "ends": "2027-01-31"}
    ],
    "pairs": [
        {"teacher": "amazon.nova-pro-v1:0", "student": "amazon.nova-2-lite-v1:0:256k", "region": "us-east-1"},
        {
            "teacher": "amazon.nova-pro-v1:0",
            "student": "amazon.nova-lite-v1:0:300k",
            "region": "us-east-1",
            "trust": "withdrawn",
        },
    ],
    "prefixes": ["kr"],
    "deployment_regions": ["eu-west-1"],
}  # fmt: skip


def test_the_packaged_table_is_dated_and_names_its_sources() -> None:
    table = packaged()
    assert table.date >= "2026-11-01"
    assert {"pairs", "hosts", "contexts", "quotas", "prefixes"} <= set(table.sources)
    assert table.quotas["units"].code == "L-BE77399C"
    assert table.quotas["deployments"].code == "L-0406044C"
    assert len(table.pairs) == 17


def test_every_student_of_a_pair_that_can_be_trained_has_a_host_and_a_region() -> None:
    for pair in packaged().pairs:
        if pair.trust != "withdrawn":
            assert models.hosts_of(pair.student), pair
            assert pair.region


def test_contexts_are_those_of_the_quotas_page() -> None:
    assert family_of("amazon.nova-micro-v1:0:128k").context_tokens == 32_000
    assert family_of("meta.llama3-1-8b-instruct-v1:0:128k").context_tokens == 32_000
    assert family_of("meta.llama3-1-70b-instruct-v1:0:128k").context_tokens == 16_000


def test_a_user_s_file_lies_over_the_packaged_one_for_every_stage() -> None:
    with using(ModelTable.from_json(OWN)):
        assert models.find_pair("us.amazon.nova-pro-v1:0", "amazon.nova-2-lite-v1:0:256k") is not None
        lite = models.find_pair("amazon.nova-pro-v1:0", "amazon.nova-lite-v1:0:300k")
        assert lite is not None
        assert lite.trust == "withdrawn"
        assert models.hosts_of("amazon.nova-2-lite-v1:0:256k") == ("custom-model-deployment",)
        assert models.hosts_of("amazon.nova-micro-v1:0:128k"), "what the file leaves out stays"
        assert models.deployment_regions() == ("us-east-1", "us-west-2", "eu-west-1")
        assert family_of("amazon.nova-2-lite-v1:0:256k").context_tokens == 8000
        assert resolve_model("kr.acme.large-v1:0") == "acme.large-v1:0"
        end = models.model_end("amazon.nova-2-lite-v1:0:256k")
        assert end is not None
        assert f"{end:%Y-%m-%d}" == "2027-01-31"
    assert in_force() is packaged()
    assert models.find_pair("amazon.nova-pro-v1:0", "amazon.nova-2-lite-v1:0:256k") is None


def test_a_table_that_is_written_reads_back_as_itself() -> None:
    for table in (packaged(), ModelTable.from_json(OWN), ModelTable.from_json(OWN).over(packaged())):
        assert ModelTable.from_json(json.loads(json.dumps(table.to_json()))) == table


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"v": 2}, "version 1"),
        ({"date": "soon"}, "date: 'soon'"),
        ({"date": None}, "date"),
        ({"colour": 1}, "colour"),
        ({"pairs": {}}, "pairs"),
        ({"pairs": [{"teacher": "a.b"}]}, "pairs[0]"),
        ({"pairs": [OWN["pairs"][0], {**OWN["pairs"][0], "trust": "sure"}]}, "pairs[1].trust"),
        ({"pairs": [{**OWN["pairs"][0], "profile_only": "False"}]}, "pairs[0]"),
        ({"models": [{"id": "a.b", "hosts": ["batch"]}]}, "models[0].hosts"),
        ({"models": [{"id": "a.b", "context": "32k"}]}, "models[0].context"),
        ({"models": [{"id": "a.b", "ends": "next year"}]}, "models[0].ends"),
        ({"models": [{"hosts": []}]}, "models[0]"),
        ({"prefixes": ["(us"]}, "prefixes"),
        ({"prefixes": "us"}, "prefixes"),
    ],
)
def test_an_entry_of_the_wrong_form_is_told_by_its_place(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_table(json.dumps({**OWN, **change}).encode(), "s3://b/models.json")
    assert told in refused.value.message
    assert "s3://b/models.json" in refused.value.message
    assert "models list --json" in refused.value.hint


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_table_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigurationError):
        read_table(data, "mine.json")


@given(
    st.sampled_from([*packaged().prefixes, "xx", "qq-abc"]),
    st.sampled_from(["amazon.nova-pro-v1:0", "anthropic.claude-opus-4-7", "meta.llama3-1-8b-instruct-v1:0"]),
)
def test_every_stage_reads_the_same_prefixes(prefix: str, model: str) -> None:
    """Known geographies, and any two letters before a known provider."""
    assert models.base_model_id(f"{prefix}.{model}") == model
    assert base_name(f"{prefix}.{model}") == model
    assert resolve_model(f"{prefix}.{model}") == model
    assert models.is_profile(f"{prefix}.{model}")


@pytest.mark.parametrize(
    "model", ["amazon.nova-pro-v1:0", "us.acme", "ai21.jamba-1-5-large-v1:0", "mistral.mistral-7b"]
)
def test_a_model_without_a_prefix_is_no_profile(model: str) -> None:
    assert not models.is_profile(model)
    assert models.base_model_id(model) == model
