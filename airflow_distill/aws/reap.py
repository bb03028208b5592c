"""Finds what still bills under our tags although nobody needs it, and removes it when told to.

Reading is one pass over the account; deciding is `stages/deployment/reap.py`. Removing looks once more before each delete:
a resource without our tags, or one that a pointer names by then, is left alone. Order: hosts, then models, then artefacts.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from airflow_distill.aws.account import find_host, iter_hosts, iter_models, iter_running_jobs
from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.aws.hosts import delete_host
from airflow_distill.aws.pointers import read_pointer
from airflow_distill.aws.s3 import UnfinishedUpload
from airflow_distill.errors import (
    DistillError,
    ServiceAccessError,
    ServiceConflictError,
    ServiceError,
    ServiceNotFoundError,
    StateError,
)
from airflow_distill.remote.ownership import Owner, whose
from airflow_distill.stages.deployment.ledger import Ledger
from airflow_distill.stages.deployment.reap import (
    Find,
    Knowledge,
    PriceOf,
    ReapRules,
    Resource,
    find_upload,
    resource_of_host,
    survey,
)
from airflow_distill.stages.deployment.records import ON_DEMAND, PROVISIONED
from airflow_distill.stages.storage import ObjectStore, join_uri

log = logging.getLogger(__name__)

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
    """Return what is left over in the account and Region, of what this root owns; other roots' resources are not looked at.

    :param root: under which the workloads' ledgers lie.
    :param workload: only resources of this workload.
    """
    resources = [
        resource
        for resource in _resources(gateways)
        if Owner(workload or resource.workload, root).claim(resource.tags) != "foreign"
    ]
    known = {
        name: read_knowledge(gateways, store, root, name, [r for r in resources if r.workload == name])
        for name in {r.workload for r in resources}
    }
    finds = survey(resources, known, rules, now=now, price_of=price_of)
    return (*finds, *_unfinished(gateways, root, workload, rules, now))


def _unfinished(
    gateways: AwsGateways, root: str, workload: str | None, rules: ReapRules, now: datetime
) -> Iterable[Find]:
    """Yield what killed uploads have left under the root; they carry no tags and belong to no run."""
    if not root.startswith("s3://") or rules.run is not None:
        return
    try:
        uploads = list(gateways.objects.iter_uploads(join_uri(root, *filter(None, [workload])) + "/"))
    except ServiceAccessError as error:
        log.warning(
            "Unfinished uploads cannot be listed (%s); allow s3:ListBucketMultipartUploads.", error.code
        )
        return
    for upload in uploads:
        of = upload.uri.removeprefix(root.rstrip("/") + "/").partition("/")[0]
        yield find_upload(upload.uri, of, upload.upload_id, upload.begun_at, rules, now)


def _resources(gateways: AwsGateways) -> Iterable[Resource]:
    bedrock = gateways.bedrock
    yield from iter_running_jobs(bedrock)
    yield from (resource_of_host(host) for host in iter_hosts(bedrock))
    yield from iter_models(bedrock)


def read_knowledge(
    gateways: AwsGateways,
    store: ObjectStore,
    root: str,
    workload: str,
    resources: Iterable[Resource] = (),
) -> Knowledge:
    """Return what pointer and ledger say is needed; what cannot be relied on is said, so that nothing is removed.

    :param resources: of those without a root tag it is found out whether a job's output under this root names them.
    """
    try:
        history = Ledger(store, root, workload).sound()
        made = {
            r.arn
            for r in resources
            if not r.root_mark and r.job_name and _has_output(store, root, workload, r.job_name)
        }
        return Knowledge(
            pointer=read_pointer(gateways.parameters, workload, root, history.hosts),
            history=history,
            recorded=frozenset(made),
            root=root,
        )
    except (StateError, ServiceError) as error:
        return Knowledge(problem=f"its pointer or ledger cannot be relied on ({error.message.rstrip('.')})")


def _has_output(store: ObjectStore, root: str, workload: str, job_name: str) -> bool:
    """Say whether a job has written below this root."""
    if not _JOB_NAME.fullmatch(job_name):
        return False
    return any(True for _ in store.iter_objects(join_uri(root, workload, "jobs", job_name) + "/"))


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
            why = _remove(gateways, store, root, find)
            gone = 0 if why or not artefacts else _remove_artefacts(store, root, find)
            done.append(Removal(find, not why, why, gone))
        except DistillError as error:
            done.append(Removal(find, False, error.message))
        last = done[-1]
        progress(f"{'removed' if last.removed else 'kept'} {find.kind} {find.name} {last.why}".rstrip())
    return tuple(done)


def _remove(gateways: AwsGateways, store: ObjectStore, root: str, find: Find) -> str:
    """Remove one resource; returns why it stays, empty when it is gone."""
    if find.kind == "unfinished-upload":
        place, _, upload_id = find.arn.rpartition("?uploadId=")
        gateways.objects.abort_upload(UnfinishedUpload(place, upload_id, ""))
        return ""
    bedrock = gateways.bedrock
    try:
        owner, tags = Owner(find.workload, root), bedrock.tags(find.arn)
        if owner.claim(tags) == "foreign":
            return f"its tags have changed: it belongs to {whose(tags)}"
        pointer = read_pointer(
            gateways.parameters, find.workload, root, Ledger(store, root, find.workload).sound().hosts
        )
        if pointer is not None and find.arn in pointer.hosts | pointer.models:
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
