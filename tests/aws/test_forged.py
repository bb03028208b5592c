"""Every kind of tampering and forged evidence is named by verify or refused by the promotion, and the guide lists it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_distill.aws.promotion import prepare
from airflow_distill.aws.verify import verify_workload
from airflow_distill.errors import DistillError
from airflow_distill.sandbox import Sandbox
from tests.aws.forged import GUIDE, KINDS, RULE, Bench, Kind, written
from tests.release_world import ReleaseWorld


@pytest.fixture(scope="module")
def three_releases() -> Iterator[Bench]:
    """Three releases, the third live, on a server of their own."""
    with Sandbox() as sandbox:
        sandbox.reset()
        world = ReleaseWorld(sandbox)
        decisions = []
        for name in ("first", "second", "third"):
            decisions.append(world.decision(world.model(name)))
            assert world.carry_out(world.intent(decisions[-1])).outcome == "released"
        yield Bench(world, decisions)


@pytest.fixture
def bench(three_releases: Bench) -> Iterator[Bench]:
    yield three_releases
    three_releases.mend()


def links(bench: Bench, every: bool = False) -> set[str]:
    world = bench.world
    found = verify_workload(world.gateways, world.store, world.root, world.workload, every_release=every)
    return {broken.link for broken in found.broken}


def test_nothing_is_named_where_nothing_was_changed(bench: Bench) -> None:
    assert links(bench) == set()
    assert links(bench, every=True) == set()


@pytest.mark.parametrize("kind", [k for k in KINDS if k.by == "verify"], ids=lambda k: k.what)
def test_tampering_is_named_by_verify(bench: Bench, kind: Kind) -> None:
    kind.do(bench)
    assert kind.said in links(bench)
    assert kind.said in links(bench, every=True)


@pytest.mark.parametrize("kind", [k for k in KINDS if k.by == "promotion"], ids=lambda k: k.what)
def test_forged_evidence_is_refused_before_anything_is_claimed(bench: Bench, kind: Kind) -> None:
    world = bench.world
    receipt = kind.do(bench)
    rule = RULE if "approval" in kind.what else None
    with pytest.raises(DistillError, match=kind.said):
        prepare(world.gateways, world.store, world.intent(receipt, approval=rule), now=world.now())
    assert len(world.ledger.survey().entries) == 3


def test_the_guide_lists_every_kind() -> None:
    assert len(KINDS) >= 40
    assert written(GUIDE.read_text()) == GUIDE.read_text(), "run python -m tests.aws.forged"
