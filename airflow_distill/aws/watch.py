"""One look a day at the live student: its own logged calls, a small sample asked of the teacher, and what follows.

Each look is written once, so a day that is looked at twice costs once and says the same. What is kept are counts and
scores; the teacher's answers to the sample lie in a cache of their own, and neither train nor judge anything.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_distill.aws.asking import asker
from airflow_distill.aws.gateways import AwsGateways, store_for
from airflow_distill.aws.live_calls import calls_of_host, example_of
from airflow_distill.errors import DistillError, StateError
from airflow_distill.stages.deployment.ledger import Entry, Ledger
from airflow_distill.stages.digest import canonical_json, json_object
from airflow_distill.stages.logs.records import Interaction
from airflow_distill.stages.storage import ObjectExistsError, ObjectMissingError, ObjectStore, join_uri
from airflow_distill.stages.watch.health import BUSY, count_day, signs
from airflow_distill.stages.watch.records import Look, WatchRules, judge

if TYPE_CHECKING:
    from airflow_distill.stages.dataset.records import DatasetManifest
    from airflow_distill.stages.evaluation.collect import Ask
    from airflow_distill.stages.logs.shard_file import Redact
    from airflow_distill.stages.money.prices import PriceTable

WATCH_METADATA = {"airflow-distill": "watch"}
"""Request metadata of what the teacher is asked for a look; the harvest leaves such calls out."""

READ = 2_000
"""Distinct prompts of a day that are read with text, the ones with the smallest keyed hash: the same every time."""


@dataclass(frozen=True, slots=True)
class WatchWish:
    """What is watched and how.

    :param logs: where invocation logs are delivered.
    :param teacher: asked about the sample; `scorer` says how its answer and the student's are compared.
    :param sample: prompts a day that the teacher is asked, at most; `usd_per_day` is the most that may cost. Without a cap
        nothing is asked.
    :param slices: keys of request metadata to count by value.
    """

    root: str
    workload: str
    logs: str
    teacher: str
    scorer: Any = "exact"
    sample: int = 100
    usd_per_day: float | None = None
    max_tokens: int = 512
    salt: str = ""
    slices: tuple[str, ...] = ()
    rules: WatchRules = field(default_factory=WatchRules)


def look(
    gateways: AwsGateways,
    wish: WatchWish,
    day: date,
    *,
    table: PriceTable,
    redact: Redact | None = None,
    ask: Ask | None = None,
) -> Look | None:
    """Look at one day (UTC) and return what it showed; None when nothing was live.

    :param redact: as in the harvest; the teacher is asked what would have been harvested.
    :param ask: instead of asking the teacher through the runtime.
    """
    store = store_for(gateways, wish.root)
    history = Ledger(store, wish.root, wish.workload).sound()
    live = history.live()
    entry = history.entry(live.release) if live else None
    if live is None or entry is None:
        return None
    folder = join_uri(wish.root, wish.workload, "watch", f"r{live.release:06d}")
    uri = join_uri(folder, f"{day.isoformat()}.json")
    standing = read_look(store, uri)
    if standing is not None:
        return standing
    earlier = [each for each in read_looks(store, folder) if each.day < day.isoformat()]
    manifest = _manifest(store, entry)
    harvest = calls_of_host(
        gateways,
        place=(wish.root, wish.workload),
        logs=wish.logs,
        host_arn=live.host_arn,
        window=(day.isoformat(), (day + timedelta(days=1)).isoformat()),
        salt=f"watch:{wish.salt or wish.workload}",
        limit=READ,
        redact=redact,
    )
    seen = list(harvest.interactions())
    counts = count_day(
        seen,
        harvest.counts.lines,
        harvest.counts.skipped,
        refuses=_refuses(),
        fits=_form(store, entry, wish.scorer),
        slices=wish.slices,
    )
    asked = _ask(gateways, store, wish, seen, table, ask)
    today = Look(
        workload=wish.workload,
        release=live.release,
        day=day.isoformat(),
        counts=counts,
        drift=_drift(seen, manifest),
        scores=asked.scores,
        asked=asked.asked,
        usd=asked.usd,
        unasked=asked.why,
    )
    base = next((each.counts for each in earlier if each.counts.seen >= BUSY), None)
    found = judge(earlier, today, wish.rules, _baseline(store, entry, wish.scorer), signs(counts, base))
    today = replace(today, outcome=found.outcome, evidence=found.evidence, signs=found.signs)
    try:
        store.write(uri, canonical_json(today.to_json()), if_absent=True)
    except ObjectExistsError:
        return read_look(store, uri)  # another run was quicker; its look is the one that counts
    return today


def read_look(store: ObjectStore, uri: str) -> Look | None:
    """Return a stored look, None when there is none.

    :raises StateError: it cannot be read.
    """
    try:
        return Look.from_json(json_object(store.read(uri)))
    except ObjectMissingError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(
            f"watch: {uri} cannot be read ({type(error).__name__}).",
            hint="Delete it: the day is looked at again, and its answers are kept.",
        ) from None


def read_looks(store: ObjectStore, folder: str) -> list[Look]:
    """Return the looks of a release in the order of days."""
    uris = [item.uri for item in store.iter_objects(folder + "/") if item.uri.endswith(".json")]
    return [found for uri in sorted(uris) if (found := read_look(store, uri)) is not None]


def _manifest(store: ObjectStore, entry: Entry) -> DatasetManifest | None:
    from airflow_distill.stages.dataset.records import DatasetManifest

    for uri in (entry.release.evidence.manifest_uri, entry.release.evidence.manifest_copy):
        try:
            return DatasetManifest.from_json(json_object(store.read(uri))) if uri else None
        except (ObjectMissingError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return None


def _drift(seen: Sequence[Interaction], manifest: DatasetManifest | None) -> dict[str, float]:
    """Return how far the day's prompts lie from the training set, by aspect; what the student answered does not count."""
    from airflow_distill.stages.dataset.profile import distance, profile_examples

    taught = (manifest.profile.get("train") or {}) if manifest else {}
    if not taught or len(seen) < BUSY:
        return {}
    told = distance(profile_examples([example_of(item, None) for item in seen]), taught)
    return {aspect: value for aspect, value in told.items() if aspect != "labels"}


def _refuses() -> Any:
    from airflow_distill.stages.dataset.refusals import is_refusal

    return is_refusal


def _form(store: ObjectStore, entry: Entry, scorer: Any) -> Callable[[str], bool] | None:
    """Return what says whether an answer has the form that is wanted, None where none is known.

    The shape of the release's smoke test where it states one; else JSON, where answers are scored as JSON.
    """
    from airflow_distill.aws.promotion import heldout_reader
    from airflow_distill.stages.deployment.probes import shape_of
    from airflow_distill.stages.deployment.shapes import fits
    from airflow_distill.stages.evaluation.scorers.json_text import is_json

    smoke = entry.release.proof.smoke
    if smoke is not None and smoke.shape:
        try:
            examples = heldout_reader(store, entry.release.evidence)()
        except DistillError:
            return None  # the held-out prompts are kept for a time only
        shape = shape_of(smoke, examples)
        return lambda answer: fits(shape, answer)
    kind = scorer if isinstance(scorer, str) else str(scorer.get("kind") or "")
    return is_json if kind.startswith("json_") else None


def _baseline(store: ObjectStore, entry: Entry, scorer: Any) -> tuple[float, int] | None:
    """Return the student's agreement with the teacher as the release was judged, where that is what was scored."""
    from airflow_distill.stages.evaluation.records import Scorecard

    evidence = entry.release.evidence
    for uri in (evidence.scorecard_uri, evidence.scorecard_copy):
        try:
            card = Scorecard.from_json(json_object(store.read(uri))) if uri else None
        except (ObjectMissingError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if card is None or set(card.references) != {"teacher"} or card.teacher_source != "reference":
            continue
        name = scorer if isinstance(scorer, str) else scorer.get("name") or scorer.get("kind")
        metric = next((m for m in card.metrics if (m.metric, m.role, m.slice) == (name, "student", "")), None)
        if metric is not None and metric.mean is not None and metric.n:
            return metric.mean, metric.n
    return None


@dataclass(frozen=True, slots=True)
class _Asked:
    scores: Mapping[float, int]
    asked: int = 0
    usd: float | None = None
    why: str = ""


def _ask(
    gateways: AwsGateways,
    store: ObjectStore,
    wish: WatchWish,
    seen: Sequence[Interaction],
    table: PriceTable,
    ask: Ask | None,
) -> _Asked:
    """Ask the teacher about the sample under the cap, and score the student's answers against the teacher's."""
    from airflow_distill.stages.evaluation.collect import AnswerCache, Parameters, Subject, collect
    from airflow_distill.stages.evaluation.collect_pacing import Pacer

    if not wish.sample or wish.usd_per_day is None:
        return _Asked({}, why="nobody is asked: watch.usd_per_day is not set")
    if not seen:
        return _Asked({}, why="no prompt was logged")
    each = _usd_of_one(table, wish, seen, gateways.bedrock.region)
    if each is None:
        return _Asked({}, why=f"the price of {wish.teacher} is not known, so the cap cannot be held")
    many = min(wish.sample, len(seen), int(Decimal(str(wish.usd_per_day)) / each) if each else wish.sample)
    if not many:
        return _Asked(
            {},
            why=f"one answer of the teacher costs about {each:.4f} USD, the cap is {wish.usd_per_day:g} a day",
        )
    parameters = Parameters(wish.max_tokens)
    subject = Subject("teacher", wish.teacher, f"watch|{wish.teacher}")
    folder = join_uri(wish.root, wish.workload, "watch", "cache")
    sample = {example_of(item, None).id: item for item in seen[:many]}
    collected = collect(
        [example_of(item, None) for item in sample.values()],
        subject,
        parameters,
        ask=ask or asker(gateways.runtime, wish.teacher, WATCH_METADATA),
        cache=AnswerCache(store, folder, subject.identity, parameters),
        pacer=Pacer(),
        now=time.monotonic,
        sleep=time.sleep,
        threads=4,
    )
    answers = {a.example_id: a.text for a in collected.answers if not a.failed and a.text is not None}
    pairs = [(item, answers[key]) for key, item in sample.items() if key in answers]
    scores = Counter(_scores(wish.scorer, pairs))
    return _Asked(scores, collected.asked, float(each * collected.asked))


def _usd_of_one(
    table: PriceTable, wish: WatchWish, seen: Sequence[Interaction], region: str
) -> Decimal | None:
    """Return the most that one answer of the teacher is expected to cost: the mean prompt, the longest answer allowed."""
    from airflow_distill.stages.money.records import Tokens

    known = [item.input_tokens for item in seen if item.input_tokens is not None]
    mean = round(sum(known) / len(known)) if known else wish.max_tokens
    return table.tokens_usd(wish.teacher, Tokens(mean, wish.max_tokens), region=region)


def _scores(spec: Any, pairs: Sequence[tuple[Interaction, str]]) -> Iterable[float]:
    """Yield how far the student agrees with the teacher on each prompt; what cannot be judged is left out."""
    from airflow_distill.stages.evaluation.scorers.protocol import FittedToSet, ItemScorer
    from airflow_distill.stages.evaluation.scorers.registry import make_scorer

    scorer = make_scorer(spec)
    if isinstance(scorer, FittedToSet):
        scorer = scorer.over([answer for _, answer in pairs])
    if not isinstance(scorer, ItemScorer):
        scorer = make_scorer("exact")
    assert isinstance(scorer, ItemScorer)
    for item, theirs in pairs:
        value = scorer.score(item.answer, example_of(item, theirs))
        if value is not None:
            yield round(float(value), 4)


def yesterday(now: datetime) -> date:
    """Return the last whole day (UTC)."""
    return (now - timedelta(days=1)).date()
