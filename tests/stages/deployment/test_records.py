"""What lies in the ledger and in the pointer comes back as it was written; what is of no version known here is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_distill.stages.deployment.records import (
    ON_DEMAND,
    PROVISIONED,
    BakeSettings,
    Evidence,
    Head,
    Hold,
    HostSpec,
    Incumbent,
    Outcome,
    Pointer,
    ProbeSettings,
    ProofSettings,
    Release,
    Target,
    UpdateHost,
    pointer_name,
    step_json,
)

TARGET = Target(
    "arn:m", "amazon.nova-micro-v1:0", HostSpec(PROVISIONED, "h", 2, "OneMonth", 18.4, "2026-12-01T00:00:00Z")
)
RELEASE = Release(
    "w", 3, "promote", "c" * 32, "2026-11-20T00:00:00Z", "2026-11-20T00:10:00Z", "d/r", "ada", TARGET, 2, "a" * 64, ("ok",),
    Evidence(decision_uri="s3://b/d.json", decision_sha256="0" * 64), nonce="f" * 32,
    proof=ProofSettings(ProbeSettings(prompts=3, shape={"labels": ["a"]}), BakeSettings(2, 60.0), 4.0),
    judged_against=Incumbent(2, "arn:old", "arn:host"), window_end="2026-11-19T00:00:00Z", given_away={"exact": -0.01},
)  # fmt: skip
OUTCOME = Outcome(
    3, "rolled_back", "2026-11-20T01:00:00Z", ("errors",), PROVISIONED, "arn:host", "arn:old", "b" * 64,
    {"smoke": {"n": 3}}, "f" * 32, "check", {"smoke": "c" * 64},
)  # fmt: skip
POINTER = Pointer(
    "w", 3, "arn:m", ON_DEMAND, "arn:host", "us-east-1", "s3://b/loop", Head(3, "a" * 64, "b" * 64)
)
HOLD = Hold(3, "f" * 32, 2, "d/r try 2", "d/r", "2026-11-20T00:05:00Z")
WRITTEN: list[Any] = [
    RELEASE,
    OUTCOME,
    POINTER,
    HOLD,
    TARGET,
    RELEASE.proof,
    RELEASE.evidence,
    RELEASE.judged_against,
]


def stored(record: Any) -> dict[str, Any]:
    return dict(json.loads(json.dumps(record.to_json())))


@pytest.mark.parametrize("record", WRITTEN, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_as_it_was_written(record: Any) -> None:
    assert type(record).from_json(stored(record)) == record


@pytest.mark.parametrize("record", WRITTEN, ids=lambda record: type(record).__name__)
def test_members_of_a_newer_version_are_left_alone(record: Any) -> None:
    assert type(record).from_json({**stored(record), "sparkles": {"deep": [1]}}) == record


@pytest.mark.parametrize("record", [RELEASE, OUTCOME, HOLD], ids=lambda record: type(record).__name__)
@pytest.mark.parametrize("kind", ["decision-record", "", None])
def test_a_record_of_another_kind_is_refused(record: Any, kind: Any) -> None:
    with pytest.raises(ValueError, match="not a"):
        type(record).from_json({**stored(record), "kind": kind})


@pytest.mark.parametrize("record", [RELEASE, OUTCOME], ids=lambda record: type(record).__name__)
@pytest.mark.parametrize("version", [0, 3, "2", None])
def test_a_record_of_an_unknown_version_is_refused_and_not_guessed(record: Any, version: Any) -> None:
    with pytest.raises(ValueError, match="version known here"):
        type(record).from_json({**stored(record), "v": version})


def test_an_entry_of_the_first_version_has_no_nonce_and_is_read() -> None:
    old = {**stored(RELEASE), "v": 1, "nonce": ""}
    assert Release.from_json(old).nonce == ""
    assert Release.from_json(old).to_json()["v"] == 1
    with pytest.raises(ValueError, match="nonce is missing"):
        Release.from_json({**old, "v": 2})


@pytest.mark.parametrize("word", ["live", "RELEASED", "", None, 1, ["released"]])
def test_an_outcome_that_nobody_knows_is_never_taken_for_released(word: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        Outcome.from_json({**stored(OUTCOME), "outcome": word})


@pytest.mark.parametrize(
    "name", ["workload", "release", "action", "claim", "claimed_at", "lease_until", "target"]
)
@pytest.mark.parametrize("value", [None, [], {"a": 1}])
def test_an_entry_whose_own_members_are_no_text_or_number_is_refused(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        Release.from_json({**stored(RELEASE), name: value})


@pytest.mark.parametrize("name", ["workload", "model_arn", "host_kind", "host_arn"])
@pytest.mark.parametrize("value", [None, 7, ["x"]])
def test_a_pointer_that_names_no_host_or_model_is_no_pointer(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        Pointer.from_json({**stored(POINTER), name: value})


def test_two_roots_have_two_pointers_for_the_same_workload() -> None:
    names = {pointer_name("w", root) for root in ("s3://a/loop", "s3://b/loop", "s3://a/loop2", "")}
    assert len(names) == 4
    assert pointer_name("w") == "/airflow-distill/w/live"
    assert all(name.startswith("/airflow-distill/w/") and name.endswith("/live") for name in names)
    assert POINTER.name == pointer_name("w", "s3://b/loop")


def test_a_pointer_tells_callers_what_to_call() -> None:
    call = stored(POINTER)["call"]
    assert call["parameters"]["modelId"] == "arn:host"
    assert (call["service"], call["operation"]) == ("bedrock-runtime", "Converse")


@pytest.mark.parametrize(
    ("spec", "price"),
    [
        (HostSpec(ON_DEMAND, "h"), 0.0),
        (HostSpec(PROVISIONED, "h", 2, hourly_price=18.4), 36.8),
        (HostSpec(PROVISIONED, "h", hourly_price=18.4), 18.4),
        (HostSpec(PROVISIONED, "h", 2), None),
    ],
)
def test_the_price_of_an_idle_host_is_units_times_price_and_unknown_is_not_zero(
    spec: HostSpec, price: Any
) -> None:
    assert spec.price_per_hour == price


def test_a_stated_price_is_on_the_host_for_the_reaper_and_no_price_is_no_tag() -> None:
    assert HostSpec(PROVISIONED, "h", hourly_price=18.40).price_tags == {
        "airflow-distill:hourly-price": "18.4"
    }
    assert HostSpec(ON_DEMAND, "h").price_tags == {}


def test_what_was_not_said_of_proving_is_the_default_and_what_was_turned_off_stays_off() -> None:
    assert ProofSettings.from_json({}) == ProofSettings()
    off = ProofSettings(smoke=None, bake=None, grace_hours=0.0)
    assert ProofSettings.from_json(stored(off)) == off


def test_nothing_live_is_said_so_and_never_release_none() -> None:
    assert str(Incumbent()) == "no release (nothing live)"
    assert "release 2" in str(RELEASE.judged_against)
    assert Incumbent.from_json({"release": 0}).release == 0


def test_a_step_is_plain_data_with_its_kind_first() -> None:
    told = step_json(UpdateHost(ON_DEMAND, "arn:host", "arn:m"))
    assert next(iter(told)) == "kind"
    assert told == {"kind": "update-host", "host_kind": ON_DEMAND, "host": "arn:host", "model_arn": "arn:m"}
