"""One reading of hosts: any answer about a provisioned throughput or a custom model deployment becomes a `Host`.

Triggers, sensors, the executor of releases, the reaper, status and verify all go through it, so no two of them can read an
answer differently. Takes plain answers of Get or List; hands on `Host`, and `JobSnapshot` for whoever waits.

An update is under way when the service says so in its own member: `status` and `desiredModelArn` for provisioned
throughput, `updateDetails.updateStatus` for a deployment, whose `status` stays `Active` throughout (service model,
`bedrock` 2023-04-20).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_distill.remote.records import JobSnapshot, State, spelled, status_of
from airflow_distill.remote.times import iso_text

HostKind = Literal["provisioned-throughput", "custom-model-deployment"]
PROVISIONED: HostKind = "provisioned-throughput"
ON_DEMAND: HostKind = "custom-model-deployment"
KINDS: tuple[HostKind, ...] = (PROVISIONED, ON_DEMAND)

HostState = Literal["ready", "settling", "other-model", "failed"]

_UPDATES = ("Updating", "UpdateCompleted", "UpdateFailed")
_IN_SERVICE = frozenset({"InService", "Active"})
_BASE = re.compile(r":(?:custom-model|foundation-model)/([^/]+?)(?::\d+[km])?(?:/|$)")


def base_of_arn(arn: str) -> str:
    """Return the base model inside a custom-model or foundation-model ARN, without its context suffix.

    >>> base_of_arn("arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-micro-v1:0:128k/abc")
    'amazon.nova-micro-v1:0'
    """
    match = _BASE.search(arn)
    return match.group(1) if match else ""


@dataclass(frozen=True, slots=True)
class Host:
    """A host as the account shows it now.

    :param model_arn: the model that answers today.
    :param desired_arn: the model that the last update asked for; the same as `model_arn` when nothing is under way.
    :param reason: the service's own words about a failed creation or update.
    """

    kind: HostKind
    arn: str
    name: str
    model_arn: str
    desired_arn: str
    base_model: str
    status: str
    update_status: str = ""
    units: int | None = None
    commitment: str = "none"
    commitment_ends_at: str | None = None
    created_at: str | None = None
    reason: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    changed_at: str | None = None

    @property
    def failed(self) -> bool:
        """Whether it is `Failed`: a creation that failed, or an update of provisioned throughput that did."""
        return self.status == "Failed"

    @property
    def moving(self) -> bool:
        """Whether it is being created or updated. A status that we do not know counts as moving: ask again."""
        return not self.failed and (self.status not in _IN_SERVICE or self.update_status == "Updating")

    @property
    def usable(self) -> bool:
        """Whether it answers calls now, with `model_arn`; it goes on doing so while an update is under way."""
        return self.status in _IN_SERVICE or self.status == "Updating"

    def refused(self, model_arn: str) -> bool:
        """Whether it was asked to serve this model and the service could not do it; it serves another one."""
        if self.failed or self.moving or self.model_arn == model_arn:
            return False
        if self.update_status == "UpdateFailed":
            return self.desired_arn == model_arn
        # Provisioned throughput goes back into service with the old model, and only a reason tells what happened.
        return bool(self.reason) and self.kind == PROVISIONED

    def state(self, model_arn: str) -> HostState:
        """Say how this host stands to a model: serves it, is on its way, serves another one, or failed to take it.

        "failed" is a host that is `Failed` itself (`failed`) or one in service that could not take the model (`refused`).
        """
        if self.failed or self.refused(model_arn):
            return "failed"
        if self.moving:
            return "settling"
        aimed_elsewhere = self.desired_arn != model_arn and self.update_status != "UpdateFailed"
        if self.model_arn == model_arn and not aimed_elsewhere:
            return "ready"
        return "settling" if self.desired_arn == model_arn else "other-model"

    def told(self) -> str:
        """Return status and reason for a message."""
        status = self.update_status if self.update_status in ("UpdateFailed", "Updating") else self.status
        return f"{status}: {self.reason}" if self.reason else status


def read_host(kind: HostKind, answer: Mapping[str, Any], tags: Mapping[str, str] | None = None) -> Host:
    """Read an answer of Get, or an item of List (which spells a deployment's name differently and tells no update)."""
    return (_provisioned if kind == PROVISIONED else _deployment)(answer, tags or {})


def _provisioned(answer: Mapping[str, Any], tags: Mapping[str, str]) -> Host:
    model, desired = str(answer.get("modelArn") or ""), str(answer.get("desiredModelArn") or "")
    return Host(
        kind=PROVISIONED,
        arn=str(answer.get("provisionedModelArn") or ""),
        name=str(answer.get("provisionedModelName") or ""),
        model_arn=model,
        desired_arn=desired or model,
        base_model=base_of_arn(model) or base_of_arn(str(answer.get("foundationModelArn") or "")),
        status=status_of(PROVISIONED, answer.get("status")),
        units=int(answer.get("modelUnits") or 0) or None,
        commitment=str(answer.get("commitmentDuration") or "none"),
        commitment_ends_at=_time(answer.get("commitmentExpirationTime")),
        created_at=_time(answer.get("creationTime")),
        reason=str(answer.get("failureMessage") or ""),
        tags=dict(tags),
        changed_at=_time(answer.get("lastModifiedTime")),
    )


def _deployment(answer: Mapping[str, Any], tags: Mapping[str, str]) -> Host:
    update = answer.get("updateDetails") or {}
    status, aimed = spelled(update.get("updateStatus"), _UPDATES), str(update.get("modelArn") or "")
    model = str(answer.get("modelArn") or "")
    if status == "UpdateCompleted" and aimed:
        model = aimed
    return Host(
        kind=ON_DEMAND,
        arn=str(answer.get("customModelDeploymentArn") or ""),
        name=str(answer.get("modelDeploymentName") or answer.get("customModelDeploymentName") or ""),
        model_arn=model,
        desired_arn=aimed or model,
        base_model=base_of_arn(model),
        status=status_of(ON_DEMAND, answer.get("status")),
        update_status=status,
        created_at=_time(answer.get("createdAt")),
        reason=str(answer.get("failureMessage") or ""),
        tags=dict(tags),
        changed_at=_time(answer.get("lastUpdatedAt")),
    )


def _time(value: Any) -> str | None:
    return iso_text(value) or None


_STATES: Mapping[HostState, State] = {
    "ready": "succeeded",
    "settling": "active",
    "other-model": "active",
    "failed": "failed",
}


def snapshot_of(host: Host, model_arn: str | None = None) -> JobSnapshot:
    """Tell a host to whoever waits for it.

    :param model_arn: the model it must serve to count as ready; any when left out.
    """
    status = host.status
    if model_arn:
        state = _STATES[host.state(model_arn)]
        status = "UpdateFailed" if host.refused(model_arn) else status
    else:
        state = "failed" if host.failed else "active" if host.moving else "succeeded"
        # Provisioned throughput that is in service and aimed at another model has not begun to move yet.
        if host.kind == PROVISIONED and host.desired_arn != host.model_arn and state == "succeeded":
            state = "active"
    if host.status in _IN_SERVICE and host.update_status == "Updating":
        status = "Updating"
    if state == "active" and not _known(host.status):
        state = "unknown"
    details = {
        "model_arn": host.model_arn,
        "desired_model_arn": host.desired_arn,
        "update_status": host.update_status,
        "model_units": host.units,
        "commitment": None if host.commitment == "none" else host.commitment,
        "commitment_expires_at": host.commitment_ends_at,
        "host_status": host.status,
    }
    return JobSnapshot(
        kind=host.kind,
        arn=host.arn,
        name=host.name,
        state=state,
        status=status,
        reason=host.reason,
        details={key: value for key, value in details.items() if value not in (None, "")},
        created_at=host.created_at or "",
        ended_at=(host.changed_at or "") if state not in ("active", "unknown") else "",
    )


def _known(status: str) -> bool:
    return status in _IN_SERVICE or status in {"Creating", "Updating", "Failed"}


def host_of(snapshot: JobSnapshot) -> Host:
    """Return the host that a snapshot tells of; its tags are not known."""
    details = snapshot.details
    model = str(details.get("model_arn") or "")
    # `update_model_arn` was written by versions before 1.0; a wait may outlive an upgrade.
    desired = str(details.get("desired_model_arn") or details.get("update_model_arn") or model)
    status = str(details.get("host_status") or snapshot.status)
    return Host(
        kind=PROVISIONED if snapshot.kind == PROVISIONED else ON_DEMAND,
        arn=snapshot.arn,
        name=snapshot.name,
        model_arn=model,
        desired_arn=desired,
        base_model=base_of_arn(model),
        status=status,
        update_status=str(details.get("update_status") or ""),
        units=details.get("model_units"),
        commitment=str(details.get("commitment") or "none"),
        commitment_ends_at=details.get("commitment_expires_at"),
        created_at=snapshot.created_at or None,
        reason=snapshot.reason,
        changed_at=snapshot.ended_at or None,
    )


def aimed_at(snapshot: JobSnapshot, model_arn: str | None) -> JobSnapshot:
    """Read a host's snapshot against the model it should serve; other work is returned as it is.

    A host that is up but still serves another model is not ready; an update to this very model that failed is a failure,
    while one to another model, long ago, says nothing.
    """
    if not model_arn or snapshot.kind not in KINDS:
        return snapshot
    return snapshot_of(host_of(snapshot), model_arn)
