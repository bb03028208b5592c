"""Gives `stages/deployment/verify.py` its looks into bucket and account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from airflow_distill.aws.account import find_host
from airflow_distill.aws.forget import forgotten_changes
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.pointers import read_pointer
from airflow_distill.aws.retire import read_retirement
from airflow_distill.errors import ConfigurationError, ServiceError, ServiceNotFoundError
from airflow_distill.stages.deployment.ledger import Ledger
from airflow_distill.stages.deployment.verify import Broken, Looks, Verification, verify
from airflow_distill.stages.digest import sha256_hex
from airflow_distill.stages.forgotten import FOLDER
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore


def verify_workload(
    gateways: AwsGateways, store: ObjectStore, root: str, workload: str, *, every_release: bool = False
) -> Verification:
    """Check the whole chain of one workload. Reads only."""
    bedrock, ledger = gateways.bedrock, Ledger(store, root, workload)
    history = ledger.survey()
    looks = Looks(
        read=lambda uri: _object(store, uri),
        job=lambda arn: _or_none(bedrock.get_customization_job, arn),
        model=lambda arn: _or_none(bedrock.get_custom_model, arn),
        host=lambda kind, arn: find_host(bedrock, kind, arn),
        pointer=lambda: read_pointer(gateways.parameters, workload, root, history.hosts),
        notes=ledger.notes_of,
        root=root,
    )
    found = verify(workload, history, looks, every_release=every_release)
    return _explained(store, root, workload, found)


def _explained(store: ObjectStore, root: str, workload: str, found: Verification) -> Verification:
    """Take out the links that only forgetting somebody or retiring the workload broke, and tell them instead.

    An object counts as changed by forgetting only while it is what the note of the change says it became.
    """
    changes = forgotten_changes(store, root, workload)
    retired = read_retirement(store, root, workload) if found.broken else None
    explained: list[Broken] = []
    told: list[str] = []
    for broken in found.broken:
        change = changes.get(broken.where)
        raw = _object(store, broken.where) if change else None
        if retired is not None and broken.found == retired.terms.redirect and broken.link == "pointer":
            told.append(f"the pointer, which leads callers to {broken.found} since the workload was retired")
            explained.append(broken)
        if change and change.after == ("" if raw is None else sha256_hex(raw)):
            explained.append(broken)
    objects = {b.where for b in explained} & set(changes)
    if objects:
        told.append(f"{len(objects)} objects as they were before somebody was forgotten (see {FOLDER}/)")
    return replace(
        found,
        broken=tuple(b for b in found.broken if b not in explained),
        unseen=(*found.unseen, *told),
    )


def _object(store: ObjectStore, uri: str) -> bytes | None:
    try:
        return store.read(uri)
    except (ObjectMissingError, ConfigurationError):
        return None  # a URI that is none was tampered with: nothing lies there


def _or_none(look: Callable[[str], dict[str, Any]], identifier: str) -> Mapping[str, Any] | None:
    try:
        return look(identifier)
    except ServiceNotFoundError:
        return None
    except ServiceError as error:
        if error.code == "ValidationException":
            return None  # an identifier that is none was tampered with: nothing is of that name
        raise
