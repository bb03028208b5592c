"""A changed byte or a model swapped by hand is named."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from airflow_distill.aws.verify import verify_workload
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.deployment.verify import Verification
from tests.release_world import ReleaseWorld


@pytest.fixture
def world(bedrock_sandbox: Sandbox) -> ReleaseWorld:
    """Two releases, the second one live."""
    world = ReleaseWorld(bedrock_sandbox)
    for name in ("first", "second"):
        decision = {**world.decision(world.model(name)), "job_arn": ""}
        world.carry_out(world.intent(decision))
    return world


def check(world: ReleaseWorld, every: bool = False) -> Verification:
    return verify_workload(world.gateways, world.store, world.root, world.workload, every_release=every)


def test_an_untouched_release_holds(world: ReleaseWorld) -> None:
    result = check(world, every=True)
    assert result.broken == ()
    assert (result.live, result.releases) == (2, (1, 2))
    assert result.checked >= 20


def folder_of(world: ReleaseWorld) -> str:
    entry = world.ledger.read().entry(2)
    assert entry is not None
    return entry.release.evidence.decision_uri.rpartition("/")[0]


def flip(uri: Callable[[ReleaseWorld], str]) -> Callable[[ReleaseWorld], None]:
    def change(world: ReleaseWorld) -> None:
        raw = bytearray(world.store.read(uri(world)))
        position = raw.index(b"0") if b"0" in raw else 0
        raw[position] ^= 1
        world.store.write(uri(world), bytes(raw))

    return change


def swap_model(world: ReleaseWorld) -> None:
    live = world.ledger.read().live()
    assert live is not None
    world.gateways.bedrock.update_deployment(live.host_arn, world.model("smuggled"))


def swap_pointer(world: ReleaseWorld) -> None:
    pointer = {**world.pointer(), "model_arn": world.model("smuggled")}
    world.gateways.parameters.put(world.pointer_name, json.dumps(pointer))


def rewrite_the_first_entry(world: ReleaseWorld) -> None:
    body = json.loads(world.store.read(world.ledger.uri(1)))
    body["why"] = ["because"]
    world.store.write(world.ledger.uri(1), json.dumps(body).encode())


def delete_host(world: ReleaseWorld) -> None:
    world.gateways.bedrock.delete_deployment(world.hosts()[0])


def dataset_file(name: str) -> Callable[[ReleaseWorld], str]:
    return lambda world: f"{world.root}/{world.workload}/datasets/{world.dataset_id}/{name}"


@pytest.mark.parametrize(
    ("change", "links"),
    [
        (flip(lambda w: f"{folder_of(w)}/decision.json"), {"decision", "decision names model_arn"}),
        (flip(lambda w: f"{folder_of(w)}/scorecard.json"), {"scorecard"}),
        (flip(dataset_file("heldout.jsonl")), {"held-out file"}),
        (lambda w: w.store.write(dataset_file("train.jsonl")(w), b"more"), {"training file"}),
        (swap_model, {"host serves model"}),
        (swap_pointer, {"pointer names model"}),
        (rewrite_the_first_entry, {"entry", "previous entry"}),
        (delete_host, {"host"}),
        (lambda w: w.gateways.parameters.delete(w.pointer_name), {"pointer"}),
    ],
    ids=[
        "decision", "scorecard", "held-out", "train", "model swapped", "pointer swapped", "entry",
        "host gone", "pointer gone",
    ],
)  # fmt: skip
def test_what_was_changed_is_named(
    world: ReleaseWorld, change: Callable[[ReleaseWorld], None], links: set[str]
) -> None:
    change(world)
    broken = {b.link for b in check(world).broken}
    assert broken
    assert broken <= links


def test_a_dataset_that_a_retention_rule_expired_holds_by_its_copies(world: ReleaseWorld) -> None:
    for name in ("heldout.jsonl", "train.jsonl", "manifest.json"):
        world.store.delete(dataset_file(name)(world))
    assert check(world, every=True).broken == ()


def test_a_retired_model_of_an_older_release_is_named_only_when_all_are_asked_for(
    world: ReleaseWorld,
) -> None:
    first = world.ledger.read().entry(1)
    assert first is not None
    world.gateways.bedrock.delete_custom_model(first.release.target.model_arn)
    assert check(world).broken == ()
    assert [b.link for b in check(world, every=True).broken] == ["model"]


def test_a_job_that_the_account_does_not_know_is_named(world: ReleaseWorld) -> None:
    unknown = world.job_of(world.model("third"))[:-12] + "0" * 12
    decision = world.decision(world.model("fourth"), job_arn=unknown)
    world.carry_out(world.intent(decision))
    assert {b.link for b in check(world).broken} == {"job", "model comes from job"}
