"""The one reader of what a promotion rests on: decision record, scorecard, manifest and held-out file, as they are now.

Takes a decision's receipt and a store; hands on a `Proof` whose members are all there, agree with each other and with the
bytes in the bucket. Anything missing, unreadable or different is an error that names it: no promotion without evidence.
A receipt only says where to look; the record has the last word. Standard library only; no Airflow, no AWS SDK, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_distill.errors import DeploymentError, EvaluationError
from airflow_distill.stages.dataset.records import DatasetManifest
from airflow_distill.stages.decision.records import DecisionRecord
from airflow_distill.stages.deployment.records import Evidence, Incumbent
from airflow_distill.stages.digest import UNFIT, canonical_json, json_object, sha256_hex
from airflow_distill.stages.evaluation.records import Scorecard
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore, join_uri

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

NEEDED = (
    "workload", "evaluation_id", "dataset_id", "heldout_sha256", "model_arn", "scorecard_uri", "scorecard_sha256",
    "manifest_sha256", "job_arn",
)  # fmt: skip
"""Members of a decision record without which nothing is promoted."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A decision to promote with everything it rests on, checked.

    :param files: the bytes of the evidence, to be kept under their digests: name -> bytes.
    """

    record: DecisionRecord
    evidence: Evidence
    manifest: DatasetManifest
    incumbent: Incumbent
    files: Mapping[str, bytes]


def read_proof(
    store: ObjectStore, root: str, workload: str, receipt: Mapping[str, Any], *, job_arn: str = ""
) -> Proof:
    """Read and check what a decision's receipt names.

    :param job_arn: the job of this run, when its receipt is at hand; the decision must be about the same.
    :raises DeploymentError: something is missing, cannot be read, or does not agree.
    """
    place = join_uri(root, workload) + "/"
    uri, raw = _named(store, receipt, "decision", place)
    record = _record(raw, uri)
    _complete(record, uri)
    _agree(receipt, record, workload, uri, job_arn)
    scorecard_raw = _bytes(store, record.scorecard_uri, record.scorecard_sha256, "scorecard", place)
    _scored(scorecard_raw, record)
    manifest_uri = join_uri(root, workload, "datasets", record.dataset_id, "manifest.json")
    manifest_raw = _bytes(store, manifest_uri, record.manifest_sha256, "manifest", place)
    manifest = _manifest(manifest_raw, manifest_uri, record)
    heldout = _bytes(store, manifest.heldout.uri, record.heldout_sha256, "held-out file", place)
    files = {
        "decision.json": raw,
        "scorecard.json": scorecard_raw,
        "manifest.json": manifest_raw,
        "heldout-ids.json": heldout_ids(heldout, record.dataset_id),
    }
    return Proof(
        record=record,
        evidence=Evidence(
            decision_id=record.decision_id,
            decision_uri=uri,
            decision_sha256=sha256_hex(raw),
            scorecard_uri=record.scorecard_uri,
            scorecard_sha256=record.scorecard_sha256,
            dataset_id=record.dataset_id,
            manifest_uri=manifest_uri,
            manifest_sha256=record.manifest_sha256,
            job_arn=record.job_arn,
            heldout_sha256=record.heldout_sha256,
            heldout_ids_sha256=sha256_hex(files["heldout-ids.json"]),
        ),
        manifest=manifest,
        incumbent=Incumbent(record.incumbent_release, record.incumbent, record.incumbent_host),
        files=files,
    )


def heldout_ids(raw: bytes, dataset_id: str) -> bytes:
    """Return the digests of a held-out file's lines as an object: what judged a release, kept without any text."""
    lines = [sha256_hex(line) for line in raw.splitlines() if line.strip()]
    return canonical_json({"kind": "heldout-ids", "v": 1, "dataset_id": dataset_id, "sha256": sorted(lines)})


def _named(store: ObjectStore, receipt: Mapping[str, Any], name: str, place: str) -> tuple[str, bytes]:
    uri, sha256 = str(receipt.get(f"{name}_uri") or ""), str(receipt.get(f"{name}_sha256") or "")
    if not uri or not sha256:
        raise DeploymentError(
            f"deployment: the decision's receipt names no {name} with a digest.",
            hint="No promotion without evidence: pass on the receipt of the decision task.",
        )
    return uri, _bytes(store, uri, sha256, name, place)


def _bytes(store: ObjectStore, uri: str, sha256: str, what: str, place: str) -> bytes:
    if not uri.startswith(place):
        raise DeploymentError(
            f"deployment: the {what} {uri} is not under {place}.",
            hint="Evidence of another workload or root proves nothing here; decide again for this workload.",
        )
    try:
        raw = store.read(uri)
    except ObjectMissingError as error:
        raise DeploymentError(
            f"deployment: the {what} {uri} is not there.",
            hint="No promotion without evidence. Was it expired by a lifecycle rule? Evaluate and decide again.",
        ) from error
    if sha256_hex(raw) != sha256:
        raise DeploymentError(
            f"deployment: {uri} is not the {what} that was decided on (the digest differs).",
            hint="It was changed after the decision; evaluate and decide again.",
        )
    return raw


def _record(raw: bytes, uri: str) -> DecisionRecord:
    try:
        record = DecisionRecord.from_json(json_object(raw))
    except (*UNFIT, EvaluationError) as error:
        raise DeploymentError(
            f"deployment: {uri} is not a decision record ({type(error).__name__}: {_short(error)}).",
            hint="Pass on the receipt of the decision or approval task itself.",
        ) from error
    if record.v < 2:
        raise DeploymentError(
            f"deployment: {uri} was written by an older version and does not name the live release it was judged against.",
            hint="Decide again: clear the decision task.",
        )
    return record


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:120]


def _complete(record: DecisionRecord, uri: str) -> None:
    for name in NEEDED:
        value = getattr(record, name)
        if not isinstance(value, str) or not value:
            raise DeploymentError(
                f"deployment: the decision {uri} names no {name}.",
                hint="Give the decision task the receipts of its job and dataset, and decide again.",
            )
    number = record.incumbent_release
    if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
        raise DeploymentError(
            f"deployment: the decision {uri} names no sensible incumbent release ({number!r}).",
            hint="Decide again.",
        )
    if _ID.fullmatch(record.dataset_id) is None:
        raise DeploymentError(
            f"deployment: the decision {uri} names a dataset id that cannot be part of a key.",
            hint="Decide again; a dataset id holds letters, digits, dots, hyphens and underscores.",
        )


def _agree(receipt: Mapping[str, Any], record: DecisionRecord, workload: str, uri: str, job_arn: str) -> None:
    """Hold the record in the bucket against its receipt: the record has the last word."""
    if record.outcome != "promote":
        raise DeploymentError(
            f"deployment: {uri} says {record.outcome} of {record.model_arn}, its receipt says promote.",
            hint="Pass on the receipt of the decision or approval task itself.",
        )
    if record.workload != workload:
        raise DeploymentError(
            f"deployment: {uri} is a decision on workload {record.workload}, not on {workload}.",
            hint="Pass on the receipt of this workload's decision.",
        )
    said = {
        "workload": record.workload,
        "decision_id": record.decision_id,
        "model_arn": record.model_arn,
        "scorecard_uri": record.scorecard_uri,
        "scorecard_sha256": record.scorecard_sha256,
        "manifest_sha256": record.manifest_sha256,
        "job_arn": record.job_arn,
    }
    for name, value in said.items():
        given = receipt.get(name)
        if given and given != value:
            raise DeploymentError(
                f"deployment: the receipt names {name} {given}, its decision {uri} names {value}.",
                hint="Pass on the receipt of the decision or approval task itself.",
            )
    if job_arn and job_arn != record.job_arn:
        raise DeploymentError(
            f"deployment: the decision {uri} is about job {record.job_arn}, this run's job is {job_arn}.",
            hint="Decision and job must belong to one run.",
        )


def _scored(raw: bytes, record: DecisionRecord) -> None:
    try:
        card = Scorecard.from_json(json_object(raw))
    except (*UNFIT, EvaluationError) as error:
        raise DeploymentError(
            f"deployment: {record.scorecard_uri} is not a scorecard ({type(error).__name__}).",
            hint="Score again.",
        ) from error
    pairs = {
        "workload": (card.workload, record.workload),
        "evaluation_id": (card.evaluation_id, record.evaluation_id),
        "dataset_id": (card.dataset_id, record.dataset_id),
        "heldout_sha256": (card.heldout_sha256, record.heldout_sha256),
        "student": (card.models.get("student", ""), record.model_arn),
        "incumbent": (card.models.get("incumbent", ""), record.incumbent),
    }
    for name, (scored, decided) in pairs.items():
        if scored != decided:
            raise DeploymentError(
                f"deployment: the scorecard is about {name} {scored or 'none'}, the decision about {decided or 'none'}.",
                hint="Evaluate and decide again.",
            )


def _manifest(raw: bytes, uri: str, record: DecisionRecord) -> DatasetManifest:
    try:
        manifest = DatasetManifest.from_json(json_object(raw))
    except UNFIT as error:
        raise DeploymentError(
            f"deployment: {uri} is not a manifest ({type(error).__name__}).", hint="Build the dataset again."
        ) from error
    pairs = {
        "workload": (manifest.workload, record.workload),
        "dataset_id": (manifest.dataset_id, record.dataset_id),
        "held-out digest": (manifest.heldout.sha256, record.heldout_sha256),
    }
    for name, (made, decided) in pairs.items():
        if made != decided:
            raise DeploymentError(
                f"deployment: the manifest {uri} is about {name} {made or 'none'}, the decision about {decided}.",
                hint="Evaluate and decide again.",
            )
    return manifest
