"""Gives `stages/deployment/verify.py` its looks into bucket and account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_distill.aws.account import find_host
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.pointers import read_pointer
from airflow_distill.errors import ConfigurationError, ServiceError, ServiceNotFoundError
from airflow_distill.stages.deployment.ledger import Ledger
from airflow_distill.stages.deployment.verify import Looks, Verification, verify
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
    return verify(workload, history, looks, every_release=every_release)


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
