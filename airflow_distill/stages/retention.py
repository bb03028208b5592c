"""Which objects of a workload have been kept long enough. Pure: listed objects, ages and the present time in, URIs out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from airflow_distill.stages.storage import StoredObject

KINDS: Mapping[str, re.Pattern[str]] = {
    "windows": re.compile(r"windows/"),
    "datasets": re.compile(r"datasets/[^/]+/(train|heldout|findings)\.jsonl$"),
    "answers": re.compile(r"evaluations/(cache/|[^/]+/(answers|scores)/)|watch/cache/"),
    "reports": re.compile(r"reports/"),
}
"""Kind -> what of a workload's folder it covers. Manifests, scorecards, decisions, ledger and fingerprints never expire."""

_DATASET = re.compile(r"datasets/([^/]+)/")
_EVALUATION = re.compile(r"evaluations/([^/]+)/")


@dataclass(frozen=True, slots=True)
class Needed:
    """What stays however old it is: what the live release and an open one rest on."""

    datasets: Collection[str] = ()
    evaluations: Collection[str] = ()


def expired(
    objects: Iterable[StoredObject], place: str, seconds: Mapping[str, float], needed: Needed, now: float
) -> dict[str, list[str]]:
    """Return the URIs that have been kept long enough, by kind.

    :param place: `<root>/<workload>`.
    :param seconds: kind -> how long it is kept; a kind that is left out is kept for ever.
    :param now: seconds since 1970. An object whose time of writing nobody knows stays.
    """
    found: dict[str, list[str]] = {kind: [] for kind in seconds}
    for item in objects:
        inner = item.uri.removeprefix(place.rstrip("/") + "/")
        kind = next((name for name in seconds if KINDS[name].match(inner)), None)
        if kind is None or not item.written or now - item.written < seconds[kind]:
            continue
        dataset, evaluation = _DATASET.match(inner), _EVALUATION.match(inner)
        if dataset and dataset.group(1) in needed.datasets:
            continue
        if evaluation and evaluation.group(1) in needed.evaluations:
            continue
        found[kind].append(item.uri)
    return found
