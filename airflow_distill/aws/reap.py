"""Finds what still bills under our tags although nobody needs it, and removes it when told to.

Reading is one pass over the account; deciding is `stages/deployment/reap.py`. Removing looks once more before each delete:
a resource without our tags, or one that a pointer names by then, is left alone. Order: hosts, then models, then artefacts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from airflow_distill.aws.account import find_host, iter_hosts, iter_models, iter_running_jobs, read_pointer
from airflow_distill.aws.execute import delete_host
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.errors import (
    DistillError,
    ServiceConflictError,
    ServiceError,
    ServiceNotFoundError,
    StateError,
)
from airflow_distill.remote.identity import TAG_WORKLOAD
from airflow_distill.stages.deployment.ledger import Ledger
from airflow_distill.stages.deployment.reap import (
    Find,
    Knowledge,
    PriceOf,
    ReapRules,
    Resource,
    resource_of_host,
    survey,
)
from airflow_distill.stages.deployment.records import ON_DEMAND, PROVISIONED
from airflow_distill.stages.storage import ObjectStore, join_uri

_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


@dataclass(frozen=True, slots=True)
class Removal:
    """What became of one find: `removed`, or why not."""

    find: Find
    removed: bool
    why: str = ""
    artefacts: int = 0


def survey_account(
    gateways: AwsGateways,
    store: ObjectStore,
    root: str,
    *,
    now: datetime,
    rules: ReapRules,
    price_of: PriceOf,
    workload: str | None = None,
) -> tuple[Find, ...]:
    """Return what is left over in the account and Region.

    :param root: under which the workloads' ledgers lie.
    :param workload: only resources of this workload.
    """
    resources = [
        r for r in _resources(gateways) if r.workload and (workload is None or r.workload == workload)
    ]
    known = {name: read_knowledge(gateways, store, root, name) for name in {r.workload for r in resources}}
    return survey(resources, known, rules, now=now, price_of=price_of)


def _resources(gateways: AwsGateways) -> Iterable[Resource]:
    bedrock = gateways.bedrock
    yield from iter_running_jobs(bedrock)
    yield from (resource_of_host(host) for host in iter_hosts(bedrock))
    yield from iter_models(bedrock)


def read_knowledge(gateways: AwsGateways, store: ObjectStore, root: str, workload: str) -> Knowledge:
    """Return what pointer and ledger say is needed; what cannot be read is said, so that nothing is removed."""
    try:
        return Knowledge(
            pointer=read_pointer(gateways.parameters, workload),
            history=Ledger(store, root, workload).read(),
        )
    except (StateError, ServiceError) as error:
        return Knowledge(problem=f"its pointer or ledger cannot be read ({type(error).__name__})")


def remove_finds(
    gateways: AwsGateways,
    store: ObjectStore,
    root: str,
    finds: Iterable[Find],
    *,
    artefacts: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[Removal, ...]:
    """Remove the finds that may be removed now, in the order given (hosts before models).

    One that the service refuses is reported and the others go on.

    :param artefacts: also delete the job's output folder of each removed model.
    """
    done = []
    for find in finds:
        if find.action != "remove":
            continue
        try:
            why = _remove(gateways, find)
            gone = 0 if why or not artefacts else _remove_artefacts(store, root, find)
            done.append(Removal(find, not why, why, gone))
        except DistillError as error:
            done.append(Removal(find, False, error.message))
        last = done[-1]
        progress(f"{'removed' if last.removed else 'kept'} {find.kind} {find.name} {last.why}".rstrip())
    return tuple(done)


def _remove(gateways: AwsGateways, find: Find) -> str:
    """Remove one resource; returns why it stays, empty when it is gone."""
    bedrock = gateways.bedrock
    try:
        if bedrock.tags(find.arn).get(TAG_WORKLOAD) != find.workload:
            return "its tags have changed"
        pointer = read_pointer(gateways.parameters, find.workload)
        if pointer is not None and find.arn in (pointer.host_arn, pointer.model_arn):
            return "a pointer names it now"
        if find.kind in (PROVISIONED, ON_DEMAND):
            host = find_host(bedrock, PROVISIONED if find.kind == PROVISIONED else ON_DEMAND, find.arn)
            if host is not None:
                delete_host(gateways, host)
        elif find.kind == "customization-job":
            bedrock.stop_customization_job(find.arn)
        else:
            bedrock.delete_custom_model(find.arn)
    except ServiceNotFoundError:
        return ""
    except ServiceConflictError as error:
        return f"the service says it is still in use ({error.code})"
    return ""


def _remove_artefacts(store: ObjectStore, root: str, find: Find) -> int:
    if find.kind != "custom-model" or not _JOB_NAME.fullmatch(find.job_name):
        return 0
    prefix = join_uri(root, find.workload, "jobs", find.job_name) + "/"
    uris = [item.uri for item in store.iter_objects(prefix)]
    for uri in uris:
        store.delete(uri)
    return len(uris)
