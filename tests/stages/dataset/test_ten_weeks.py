"""Ten weekly runs on traffic that repeats and paraphrases itself: nothing ever crosses from judging to teaching or back.

Crossings are counted by an oracle that shares no code with the ledger: it compares every pair of training and held-out
prompts of all weeks by the words and word pairs themselves, no sketches, no index.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter, defaultdict

import pytest

from airflow_distill.stages.dataset.build import Built, build_dataset
from airflow_distill.stages.dataset.curate import CurateSettings
from airflow_distill.stages.dataset.manifest import Source
from airflow_distill.stages.dataset.records import Turn
from airflow_distill.stages.logs.records import Interaction
from airflow_distill.stages.storage import MemoryStore
from tests.texts import questions

STUDENT = "amazon.nova-micro-v1:0:128k"
PLACE = "s3://bucket/distill/bank"
SETTINGS = CurateSettings(salt="bank")
WEEKS = 10


def interaction(text: str, answer: str, week: int, *before: str) -> Interaction:
    texts = [*before, text]
    turns = tuple(Turn(("user", "assistant")[n % 2], t) for n, t in enumerate(texts))
    return Interaction(f"w{week}", f"2026-09-{week + 1:02d}T00:00:00Z", "Converse", "m", "m", turns, answer)


def paraphrase(text: str, rng: random.Random) -> str:
    """Say it again as people do: a greeting, other case, a word more or less, one word exchanged, two swapped."""
    words = text.split()
    kind = rng.randrange(6)
    at = rng.randrange(len(words))
    if kind == 0:
        return f"Hi, {text} Thanks!"
    if kind == 1:
        return text.upper()
    if kind == 2:
        return " ".join(words[:at] + words[at + 1 :])
    if kind == 3:
        return " ".join([*words[:at], "really", *words[at:]])
    if kind == 4:
        return " ".join([*words[:at], "thing", *words[at + 1 :]])
    return (
        " ".join([*words[: at - 1], words[at], words[at - 1], *words[at + 1 :]]) if at else f"please {text}"
    )


def weekly_traffic() -> list[list[Interaction]]:
    """Each week: 500 new questions, 120 paraphrases and 120 repeats of any earlier ones, 30 conversations."""
    rng = random.Random(77)
    pool = [text for text, _ in questions(WEEKS * 600)]
    rng.shuffle(pool)
    fresh = iter(pool)
    past: list[str] = []
    weeks = []
    for week in range(WEEKS):
        texts = list(itertools.islice(fresh, 500))
        if past:
            texts += [paraphrase(rng.choice(past), rng) for _ in range(120)]
            texts += rng.choices(past, k=120)
        rows = [interaction(text, "label", week) for text in texts]
        rows += [interaction("And then?", "more", week, rng.choice(texts), "Like this.") for _ in range(30)]
        past += texts
        rng.shuffle(rows)
        weeks.append(rows)
    return weeks


def build(
    store: MemoryStore, rows: list[Interaction], week: int, settings: CurateSettings = SETTINGS
) -> Built:
    window = (f"2026-09-{week + 1:02d}T00:00:00Z", f"2026-09-{week + 2:02d}T00:00:00Z")
    return build_dataset(
        store,
        PLACE,
        rows,
        Source("bank", "amazon.nova-pro-v1:0", window, len(rows), len(rows), {}),
        settings,
        student=STUDENT,
    )


def features(text: str) -> frozenset[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return frozenset([*((w,) for w in words), *itertools.pairwise(words)])


def crossings(taught: list[str], judged: list[str], threshold: float) -> int:
    """Count pairs of training and held-out prompts that are equal or near, comparing whatever shares a word pair."""
    by_feature: dict[tuple[str, ...], set[int]] = defaultdict(set)
    sides = [features(text) for text in judged]
    for number, found in enumerate(sides):
        for feature in found:
            if len(feature) == 2:
                by_feature[feature].add(number)
    pairs = 0
    for text in taught:
        mine = features(text)
        near = set().union(*(by_feature.get(feature, ()) for feature in mine if len(feature) == 2))
        pairs += sum(len(mine & sides[n]) >= threshold * len(mine | sides[n]) for n in near)
    return pairs


def user_text(rows: list[object]) -> list[str]:
    return ["\n".join(t.text for t in row.turns if t.role == "user") for row in rows]  # type: ignore[attr-defined]


def test_ten_weekly_runs_have_no_crossing(capsys: pytest.CaptureFixture[str]) -> None:
    store = MemoryStore()
    taught: list[str] = []
    judged: list[str] = []
    dropped: Counter[str] = Counter()
    for week, rows in enumerate(weekly_traffic()):
        built = build(store, rows, week)
        assert built.package.accepted
        taught += user_text(built.curated.train)  # type: ignore[arg-type]
        judged += user_text(built.curated.heldout)  # type: ignore[arg-type]
        dropped.update(built.curated.dropped)
    found = crossings(taught, judged, SETTINGS.contamination)
    with capsys.disabled():
        print(
            f"\nten weeks: {len(taught)} taught, {len(judged)} held out, dropped {dict(dropped)}, crossings {found}"
        )
    assert found == 0
    planted = 240 * (WEEKS - 1)  # paraphrases and repeats; about one prompt in twelve is held out
    assert dropped["contaminated"] > planted / 40
    assert dropped["taught_before"] > planted / 100
    assert len(judged) > 0.06 * (len(taught) + len(judged))


def test_without_the_ledger_the_same_weeks_cross() -> None:
    """Shows that the traffic is hard enough for the test above to mean something."""
    taught: list[str] = []
    judged: list[str] = []
    for week, rows in enumerate(weekly_traffic()):
        built = build(MemoryStore(), rows, week)
        taught += user_text(built.curated.train)  # type: ignore[arg-type]
        judged += user_text(built.curated.heldout)  # type: ignore[arg-type]
    assert crossings(taught, judged, SETTINGS.contamination) > 100


def test_repeats_of_held_out_prompts_stay_held_out_every_week() -> None:
    store = MemoryStore()
    weeks = weekly_traffic()
    first = build(store, weeks[0], 0)
    planted = [e.turns for e in first.curated.heldout if len(e.turns) == 1]
    for week in range(1, WEEKS):
        repeats = [interaction(turns[0].text.upper() + "!!", "label", week) for turns in planted]
        built = build(store, weeks[week] + repeats, week)
        asked = {turns[0].text.lower() for turns in planted}
        assert not [e for e in built.curated.train if e.turns[0].text.lower().rstrip("!") in asked]


def test_running_a_week_again_after_later_weeks_gives_the_same_bytes() -> None:
    """A cleared task must find its dataset, or a second job would be bought for it."""
    store = MemoryStore()
    weeks = weekly_traffic()[:4]
    built = [build(store, rows, week) for week, rows in enumerate(weeks)]
    before = dict(store.objects)
    for week in (1, 0, 3, 2):
        assert build(store, weeks[week], week).package.files == built[week].package.files
    assert store.objects == before


def test_a_week_that_is_filled_in_later_is_kept_apart_from_all_others() -> None:
    store = MemoryStore()
    weeks = weekly_traffic()[:5]
    order = (1, 2, 4, 3, 0)
    taught: list[str] = []
    judged: list[str] = []
    for week in order:
        built = build(store, weeks[week], week)
        taught += user_text(built.curated.train)  # type: ignore[arg-type]
        judged += user_text(built.curated.heldout)  # type: ignore[arg-type]
    assert crossings(taught, judged, SETTINGS.contamination) == 0
