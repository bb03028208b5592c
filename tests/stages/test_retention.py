"""What was kept long enough goes, and never what a release rests on."""

from __future__ import annotations

import pytest

from airflow_distill.stages.retention import KINDS, Needed, expired
from airflow_distill.stages.storage import StoredObject

PLACE, NOW, DAY = "s3://b/loop/w", 1_000 * 86_400.0, 86_400.0

FILES = {
    "windows/a_b/harvest.jsonl.gz": "windows",
    "windows/a_b/plan.json": "windows",
    "datasets/d1/train.jsonl": "datasets",
    "datasets/d1/heldout.jsonl": "datasets",
    "datasets/d1/manifest.json": "",
    "evaluations/e1/answers/student.jsonl": "answers",
    "evaluations/e1/scores/judge-1.jsonl": "answers",
    "evaluations/cache/m/1.jsonl": "answers",
    "evaluations/e1/scorecard.json": "",
    "evaluations/e1/decision.json": "",
    "evaluations/e1/approval.json": "",
    "releases/000001.json": "",
    "evidence/x.json": "",
    "fingerprints/heldout/d1.bin": "",
    "forgotten/tombstones.json": "",
    "reports/r.html": "reports",
}


def listed(age_days: float) -> list[StoredObject]:
    return [StoredObject(f"{PLACE}/{name}", 1, written=NOW - age_days * DAY) for name in FILES]


NOTHING = Needed()


def gone(age_days: float, needed: Needed = NOTHING, kinds: tuple[str, ...] = tuple(KINDS)) -> set[str]:
    found = expired(listed(age_days), PLACE, dict.fromkeys(kinds, 30 * DAY), needed, NOW)
    return {uri.removeprefix(f"{PLACE}/") for uris in found.values() for uri in uris}


def test_only_what_holds_prompts_or_answers_ever_goes() -> None:
    assert gone(31) == {name for name, kind in FILES.items() if kind}


def test_young_objects_stay() -> None:
    assert gone(29.9) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_goes_by_itself(kind: str) -> None:
    assert gone(31, kinds=(kind,)) == {name for name, of in FILES.items() if of == kind}


def test_what_the_live_release_rests_on_stays() -> None:
    left = {name for name, kind in FILES.items() if kind} - gone(400, Needed({"d1"}, {"e1"}))
    assert left == {name for name in FILES if FILES[name] and ("/d1/" in name or "/e1/" in name)}


def test_what_has_no_known_age_stays() -> None:
    objects = [StoredObject(f"{PLACE}/windows/a/b.gz", 1)]
    assert expired(objects, PLACE, {"windows": DAY}, Needed(), NOW) == {"windows": []}
