"""The lifecycle rules that docs/production.md calls safe, applied to a bucket in use, and ten releases after that."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_distill.aws.verify import verify_workload
from airflow_distill.sandbox import Sandbox
from airflow_distill.stages.dataset.build import read_manifest
from tests.release_world import ReleaseWorld

PAGE = Path(__file__).parents[2] / "docs" / "production.md"


def rules_of_the_page() -> dict[str, Any]:
    found = re.search(r"<!-- region lifecycle -->\n```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


@pytest.fixture
def world(bedrock_sandbox: Sandbox) -> ReleaseWorld:
    return ReleaseWorld(bedrock_sandbox)


def expire(world: ReleaseWorld) -> int:
    """Let the bucket take the rules, and delete everything that they match, as the service does in time."""
    s3 = world.client("s3")
    bucket = world.root.split("/")[2]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=rules_of_the_page())
    stands = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    gone = 0
    for rule in stands:
        if "Expiration" not in rule:
            continue
        for item in list(world.store.iter_objects(f"s3://{bucket}/{rule['Filter']['Prefix']}")):
            world.store.delete(item.uri)
            gone += 1
    return gone


def test_the_rules_spare_what_releases_rest_on_and_ten_more_releases_follow(world: ReleaseWorld) -> None:
    world.promote(world.model("first"), bake=None)
    world.promote(world.model("second"), bake=None)
    assert expire(world) >= 6
    assert (
        verify_workload(world.gateways, world.store, world.root, world.workload, every_release=True).broken
        == ()
    )
    for number in range(3, 13):
        world.dataset_id = world.write_dataset(f"2026-11-{number + 1:02d}T00:00:00Z")
        assert world.promote(world.model(f"release-{number}"), bake=None).release == number
        assert expire(world) >= 3
    live = world.ledger.sound().live()
    assert live is not None
    assert live.release == 12
    entry = world.ledger.read().entry(12)
    assert entry is not None
    assert read_manifest(world.store, entry.release.evidence.manifest_copy).dataset_id == world.dataset_id
    back = world.carry_out(world.back(why="complaints"))
    assert (back.outcome, back.release) == ("released", 13), "a rollback needs nothing that was expired"
