"""What is left over is listed exactly, with its daily price, and removed only when told to."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_distill.aws.hosts import create_host
from airflow_distill.aws.reap import remove_finds, survey_account
from airflow_distill.remote.identity import resource_tags
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.deployment.reap import Find, ReapRules
from airflow_distill.stages.deployment.records import HostSpec
from tests.release_world import LITE, Dying, Killed, Life, ReleaseWorld, wish_for_throughput

PRICES = {"model-storage": 1.95, "provisioned-throughput": 20.0}


@pytest.fixture
def world(bedrock_sandbox: Sandbox) -> ReleaseWorld:
    return ReleaseWorld(bedrock_sandbox)


def survey(world: ReleaseWorld, **rules: Any) -> tuple[Find, ...]:
    return survey_account(
        world.gateways,
        world.store,
        world.root,
        now=world.now(),
        rules=ReapRules(**rules),
        price_of=lambda item, base: PRICES.get(item),
    )


def told(finds: tuple[Find, ...]) -> list[tuple[str, str]]:
    return [(find.kind, find.action) for find in finds]


def test_what_is_live_and_its_way_back_are_not_left_over(world: ReleaseWorld) -> None:
    for name in ("first", "second"):
        world.promote(world.model(name))
    world.sleep(60 * 24 * 3600)
    assert survey(world) == ()
    third = world.model("third")
    world.promote(third)
    world.sleep(2 * 24 * 3600)
    finds = survey(world)
    assert told(finds) == [("custom-model", "remove")]
    assert finds[0].name == "first"
    assert finds[0].daily_price == pytest.approx(1.95 * 24 / 730)


def test_a_promotion_aborted_at_any_call_leaves_exactly_what_the_reaper_lists(
    bedrock_sandbox: Sandbox,
) -> None:
    """The run is killed and never tried again; after lease and grace every host it bought is found and removed."""
    number, points = 0, 1
    while number < points:
        number += 1
        bedrock_sandbox.reset()
        bedrock_sandbox.clock.set("2026-11-20T00:00:00Z")
        world = ReleaseWorld(bedrock_sandbox)
        model = world.model("first")
        intent = world.intent(world.decision(model), wish=wish_for_throughput(world.now()))
        if number == 1:
            world.gateways = world.new_gateways(life := Life())
            world.carry_out(intent)
            points = life.points.index("after put_parameter")
            continue
        world.gateways = world.new_gateways(Life(number - 1))
        with pytest.raises(Killed):
            world.carry_out(intent)
        world.gateways = world.new_gateways()
        left = set(world.hosts())
        while_claimed = [find for find in survey(world) if find.kind == "provisioned-throughput"]
        assert while_claimed == [], "an open claim keeps its host: a retry may go on with it"
        world.sleep(3 * 24 * 3600)
        finds = survey(world)
        hosts = [find for find in finds if find.kind == "provisioned-throughput"]
        assert {find.arn for find in hosts} == left, f"aborted at point {number - 1}"
        assert all((find.action, find.daily_price) == ("remove", 360.0) for find in hosts)
        remove_finds(world.gateways, world.store, world.root, finds)
        assert world.hosts() == []


def test_a_killed_candidate_is_found_after_its_end_and_sooner_when_asked(world: ReleaseWorld) -> None:
    arn = candidate(world, hours=6)
    finds = survey(world)
    assert (finds[0].kind, finds[0].action, finds[0].run) == ("provisioned-throughput", "wait", "loop/run-9")
    assert finds[0].until is not None
    assert survey(world, ignore_expiry=True, run="run-9")[0].action == "remove"
    assert survey(world, run="run-8") == ()
    world.sleep(7 * 3600)
    done = remove_finds(world.gateways, world.store, world.root, survey(world))
    assert [r.find.arn for r in done if r.removed] == [arn]


def candidate(world: ReleaseWorld, hours: float, kind: str = "provisioned-throughput") -> str:
    model = world.model("candidate", expires_at=world.now() + timedelta(days=30))
    spec = HostSpec(kind=kind, name="support-candidate", units=2, hourly_price=15.0)  # type: ignore[arg-type]
    tags = resource_tags(
        world.workload,
        "loop/run-9",
        "platform",
        world.now() + timedelta(hours=hours),
        temporary=True,
        root=world.root,
        extra=spec.price_tags,
    )
    return create_host(world.gateways, spec, model, tags=tags, token_of={"run": 9})


def test_the_price_stated_at_purchase_goes_before_the_table_and_unknown_is_never_zero(
    world: ReleaseWorld,
) -> None:
    candidate(world, hours=1)
    world.sleep(2 * 3600)
    assert survey(world)[0].daily_price == 15.0 * 2 * 24
    unpriced = survey_account(
        world.gateways,
        world.store,
        world.root,
        now=world.now(),
        rules=ReapRules(),
        price_of=lambda i, b: None,
    )
    assert unpriced[1].kind == "custom-model"
    assert unpriced[1].daily_price is None


def test_hosts_go_before_their_model(world: ReleaseWorld) -> None:
    world.promote(world.model("old"))
    serving = world.promote(world.model("new", base=LITE)).host_arn
    world.sleep(30 * 24 * 3600)
    finds = survey(world, keep_releases=0)
    assert [find.kind for find in finds] == ["custom-model-deployment", "custom-model"]
    done = remove_finds(world.gateways, world.store, world.root, finds)
    assert all(r.removed for r in done)
    assert world.hosts() == [serving]


def test_resources_of_others_are_never_listed_or_touched(world: ReleaseWorld) -> None:
    model = world.model("mine")
    client = world.client("bedrock")
    theirs = client.create_custom_model_deployment(modelDeploymentName="theirs", modelArn=model)
    tagged = client.create_custom_model_deployment(
        modelDeploymentName="tagged", modelArn=model, tags=[{"key": "team", "value": "search"}]
    )
    world.sleep(400 * 24 * 3600)
    finds = survey(world, ignore_expiry=True)
    assert [find.kind for find in finds] == ["custom-model"]
    done = remove_finds(world.gateways, world.store, world.root, finds)
    assert "still in use" in done[0].why, "their host keeps the model; the service refuses, and it is told"
    assert set(world.hosts()) == {
        theirs["customModelDeploymentArn"],
        tagged["customModelDeploymentArn"],
    }


def test_a_committed_term_is_shown_and_waited_for(world: ReleaseWorld) -> None:
    world.sandbox.world.set_quota("model-units-with-commitment", 5)
    model = world.model("first")
    spec = HostSpec("provisioned-throughput", "support-candidate", 1, "OneMonth", 15.0)
    tags = resource_tags(
        world.workload, "r", "o", world.now() + timedelta(hours=1), temporary=True, root=world.root
    )
    create_host(world.gateways, spec, model, tags=tags, token_of={})
    world.sleep(7 * 24 * 3600)
    find = survey(world)[0]
    assert (find.action, find.commitment_ends_at is not None) == ("wait", True)
    assert find.until == find.commitment_ends_at
    world.sleep(30 * 24 * 3600)
    assert survey(world)[0].action == "remove"


def test_a_ledger_that_cannot_be_read_keeps_everything(world: ReleaseWorld) -> None:
    world.promote(world.model("first"))
    world.promote(world.model("second", base=LITE))
    world.store.write(world.ledger.uri(1), b"{")
    world.sleep(400 * 24 * 3600)
    finds = survey(world)
    assert {find.action for find in finds} == {"wait"}
    assert all("cannot be read" in find.why for find in finds)


def test_a_host_replaced_by_one_on_another_base_is_removed_after_its_grace(world: ReleaseWorld) -> None:
    old = world.promote(world.model("first")).host_arn
    world.promote(world.model("second", base=LITE))
    assert told(survey(world)) == [("custom-model-deployment", "wait")]
    world.sleep(3 * 3600)
    finds = survey(world)
    assert [(find.arn, find.action) for find in finds] == [(old, "remove")]
    remove_finds(world.gateways, world.store, world.root, finds)
    assert len(world.hosts()) == 1
    outcome = world.carry_out(world.back())
    assert outcome.outcome == "released", "the model is still there, so going back makes a new host for it"


def test_a_live_host_past_its_end_is_told_and_never_removed(world: ReleaseWorld) -> None:
    wish = wish_for_throughput(world.now())
    arn = world.promote(world.model("first"), wish=wish).host_arn
    world.sleep(21 * 24 * 3600)
    finds = survey(world, ignore_expiry=True)
    assert [(find.arn, find.action) for find in finds] == [(arn, "overdue")]
    assert remove_finds(world.gateways, world.store, world.root, finds) == ()
    assert world.hosts() == [arn]


def test_a_host_promoted_between_look_and_deletion_is_left_alone(world: ReleaseWorld) -> None:
    model = world.model("first")
    arn = candidate(world, hours=0.01)
    world.sleep(3600)
    finds = survey(world)
    pointer = {
        "workload": world.workload,
        "release": 1,
        "model_arn": model,
        "host_kind": "provisioned-throughput",
        "host_arn": arn,
    }
    world.gateways.parameters.put(world.pointer_name, json.dumps(pointer))
    done = remove_finds(world.gateways, world.store, world.root, finds)
    assert (done[0].removed, done[0].why) == (False, "a pointer names it now")


def test_artefacts_of_a_removed_model_go_only_when_asked(world: ReleaseWorld) -> None:
    for keep in (True, False):
        world.model("old", expires_at=world.now() - timedelta(days=1))
        uri = f"{world.root}/{world.workload}/jobs/job-old/metrics.csv"
        other = f"{world.root}/{world.workload}/jobs/job-older/metrics.csv"
        for name in (uri, other):
            world.store.write(name, b"x")
        remove_finds(world.gateways, world.store, world.root, survey(world), artefacts=not keep)
        assert world.store.exists(uri) is keep
        assert world.store.exists(other)


def test_counting_calls_says_that_a_survey_changes_nothing(world: ReleaseWorld) -> None:
    world.promote(world.model("first"))
    life = Life()
    world.gateways = world.new_gateways(life)
    survey(world)
    assert life.points == []
    assert isinstance(world.gateways.bedrock.client, Dying)


def test_parts_of_a_killed_upload_are_left_over_and_removed(world: ReleaseWorld) -> None:
    """A killed worker cannot remove them, they are no objects that a listing shows, and they are billed as storage."""
    bucket, _, prefix = world.root.removeprefix("s3://").partition("/")
    s3: Any = world.client("s3")
    for key in (f"{prefix}/{world.workload}/windows/part.jsonl.gz", "elsewhere/part"):
        s3.create_multipart_upload(Bucket=bucket, Key=key)
    patient = survey(world, grace_hours=200 * 365 * 24)  # moto begins every upload in 2010
    assert told(patient) == [("unfinished-upload", "wait")], "a worker may still be at it"
    assert patient[0].until is not None
    (find,) = survey(world)
    assert (find.kind, find.action, find.workload) == ("unfinished-upload", "remove", world.workload)
    assert survey(world, run="some/run") == ()
    (removal,) = remove_finds(world.gateways, world.store, world.root, [find])
    assert removal.removed
    assert survey(world) == ()
    assert [upload["Key"] for upload in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [
        "elsewhere/part"
    ]


def test_uploads_that_may_not_be_listed_hide_nothing_else(world: ReleaseWorld) -> None:
    world.promote(world.model("first"))
    world.sandbox.faults.add("access-denied", operation="s3:GetBucket")
    assert survey(world) == ()
