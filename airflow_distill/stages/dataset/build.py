"""From a harvest's interactions to a dataset in a store: curate, judge, write. Operators and the command line call
this.

Takes interactions, settings and an `ObjectStore`; hands on the `Package` that was written and whether a student is
worth it. Order of writing matters: the ledger first, so that a held-out prompt is remembered before anything can be
judged by it; the manifest last, so that what has a manifest is complete. Every write repeats safely.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from airflow_distill.errors import ConfigurationError, StateError
from airflow_distill.stages.dataset.card import dataset_card
from airflow_distill.stages.dataset.curate import Curated, CurateSettings, curate
from airflow_distill.stages.dataset.feedback import USES, Feedback, feedback_at
from airflow_distill.stages.dataset.golden import GoldenSet
from airflow_distill.stages.dataset.ledger import claim_note, iter_dataset_files, stored_ledger
from airflow_distill.stages.dataset.manifest import FOLDER, Package, Source, ledger_files, package
from airflow_distill.stages.dataset.records import DatasetManifest, Example
from airflow_distill.stages.dataset.redact import load_detectors, redact
from airflow_distill.stages.dataset.worth import Worth, WorthPolicy, judge_worth
from airflow_distill.stages.digest import canonical_json, digest, record_of
from airflow_distill.stages.logs.records import Interaction
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore, join_uri


@dataclass(frozen=True, slots=True)
class WorthQuestion:
    """What is needed to say whether a new student pays: the policy, the live model's manifest, the saving if
    known."""

    policy: WorthPolicy = field(default_factory=WorthPolicy)
    live_manifest_uri: str = ""
    saving: float | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """A dataset that was written, with its rows and verdicts."""

    package: Package
    worth: Worth
    curated: Curated


def build_dataset(
    store: ObjectStore,
    place: str,
    interactions: Iterable[Interaction],
    source: Source,
    settings: CurateSettings,
    *,
    student: str,
    golden: GoldenSet | None = None,
    feedback: Feedback | None = None,
    worth: WorthQuestion | None = None,
    folder: str = FOLDER,
    remember: bool = True,
) -> Built:
    """Curate, write and judge.

    :param place: where the workload's objects live, `<root>/<workload>`.
    :param folder: where below it the dataset's files go; see `package`.
    :param remember: keep to the ledger, and enter a dataset that goes on to a job. Without it the outcome depends on
        the interactions and settings alone.
    """
    rows = list(interactions)
    by_hand = golden.examples if golden else ()
    ledger = None
    if remember:
        said = feedback.digest if feedback else ""
        note = claim_note(store, place, input_digest(rows, source, settings, student, by_hand, said))
        ledger = stored_ledger(store, place, note)
    curated = curate(rows, settings, student=student, golden=by_hand, ledger=ledger, feedback=feedback)
    made = package(
        curated,
        settings,
        source,
        student=student,
        place=place,
        folder=folder,
        golden=golden,
        feedback=feedback,
    )
    verdict = _judge(store, place, curated, made, settings, worth or WorthQuestion())
    if remember and made.accepted and verdict.worth_it:
        for uri, data in ledger_files(curated, made.manifest.dataset_id, place).items():
            store.write(uri, data)
    card = dataset_card(made.manifest, verdict, accepted=made.accepted).encode("utf-8", "replace")
    written = {made.manifest_uri.replace("manifest.json", "card.md"): card, **made.files}
    for uri, data in written.items():
        store.write(uri if folder else join_uri(place, uri), data)
    return Built(made, verdict, curated)


def feedback_for(store: ObjectStore, uri: str, settings: CurateSettings) -> Feedback:
    """Return the feedback at a place, for prompts that are redacted as these settings say.

    :raises ConfigurationError: no file is there, or the settings do not say what feedback is used for.
    :raises DatasetError: no record of it says anything of an answer.
    """
    if not settings.feedback:
        raise ConfigurationError(
            "dataset: feedback was given, and nothing says what it is used for.",
            hint=f"Say it with `feedback` in the settings, or --use: {', '.join(USES)}.",
        )
    detectors = load_detectors(settings.detectors) if settings.redact else ()
    return feedback_at(
        store,
        uri,
        lambda example: redact(example, detectors)[0] if detectors else example,
        settings.feedback_name,
    )


def input_digest(
    interactions: Iterable[Interaction],
    source: Source,
    settings: CurateSettings,
    student: str,
    golden: Iterable[Example] = (),
    feedback: str = "",
) -> str:
    """Return the name of one input to curation: equal for every attempt at the same run.

    :param feedback: the digest of the feedback's files.
    """
    hasher = hashlib.sha256()
    for interaction in interactions:
        hasher.update(canonical_json(interaction.to_json()))
    for example in golden:
        hasher.update(canonical_json(example.to_json()))
    return digest(
        [
            source.workload,
            source.teacher,
            student,
            list(source.window),
            settings.to_json(),
            hasher.hexdigest(),
            *([feedback] if feedback else []),
        ],
        32,
    )


def read_manifest(store: ObjectStore, uri: str) -> DatasetManifest:
    """Return a stored manifest.

    :raises StateError: it is not there or cannot be read; a missing manifest is never taken for an empty one.
    """
    try:
        return record_of(store.read(uri), DatasetManifest.from_json)
    except ObjectMissingError as error:
        raise StateError(
            f"dataset: there is no manifest at {uri}.", hint="Was the dataset deleted?"
        ) from error
    except ValueError as error:
        raise StateError(
            f"dataset: the manifest at {uri} cannot be read.", hint="Build the dataset again."
        ) from error


def _judge(
    store: ObjectStore,
    place: str,
    curated: Curated,
    made: Package,
    settings: CurateSettings,
    question: WorthQuestion,
) -> Worth:
    train = curated.train
    live = read_manifest(store, question.live_manifest_uri) if question.live_manifest_uri else None
    new = None
    if live is not None:
        files = 0
        known: set[int] = set()
        for file in iter_dataset_files(store, place, live.dataset_id):
            files += 1
            known |= curated.touched(train, settings.near_threshold or 1.0, [file])
        new = len(train) - len(known) if files else None
    return judge_worth(
        question.policy,
        made.manifest.profile["train"],
        live.profile.get("train") if live else None,
        train=len(train),
        new=new,
        saving=question.saving,
    )
