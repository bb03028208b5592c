"""From a verdict and the present state of the account to ordered steps, and the way back out.

Takes the target, what the ledger says is live and the hosts that the account shows; hands on a `DeploymentPlan`, plain data
that a dry run prints. The plan does not depend on how far an earlier attempt came: each step says what shall be true
afterwards, and `aws/execute.py` looks before it acts. No Airflow, no AWS SDK, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from airflow_distill.stages.deployment.records import (
    ON_DEMAND,
    Bake,
    BakeSettings,
    CanarySettings,
    CreateHost,
    DeleteHost,
    DeploymentPlan,
    Host,
    HostKind,
    Live,
    ProbeSettings,
    PublishPointer,
    RemovePointer,
    Retire,
    ShiftTraffic,
    SmokeTest,
    Step,
    Target,
    UpdateHost,
    WaitForHost,
    WriteRelease,
)


def can_swap(host: Host, target: Target) -> str:
    """Say why a host cannot take the target's model in place; empty when it can.

    The service swaps models behind provisioned throughput only within one base model and cannot change units or term. For
    deployments no such rule is published, so the same caution is used: a refused update in the middle of a promotion costs
    more than one new address.
    """
    wanted = target.host
    if host.status == "Failed":
        return "the present host has failed"
    if host.kind != wanted.kind:
        return f"the host changes from {host.kind} to {wanted.kind}"
    if host.base_model != target.base_model:
        return f"the base model changes from {host.base_model} to {target.base_model}"
    if host.kind == ON_DEMAND:
        return ""
    if (host.units or 1) != (wanted.units or 1):
        return f"model units change from {host.units} to {wanted.units}"
    if wanted.commitment not in {"none", host.commitment}:
        return f"the term changes from {host.commitment} to {wanted.commitment}"
    return ""


def plan_release(
    *,
    workload: str,
    release: int,
    target: Target,
    live: Live | None,
    hosts: Iterable[Host],
    smoke: ProbeSettings | None,
    bake: BakeSettings | None,
    grace_hours: float,
    canary: CanarySettings | None = None,
) -> DeploymentPlan:
    """Return the steps that make the target answer, and the steps back to what is live now.

    :param live: what the ledger says is live; None for a first release.
    :param hosts: the hosts of this workload that the account shows now.
    :param smoke: None leaves the smoke test out; likewise the bake period.
    :param grace_hours: how long a host that is replaced stays before the reaper removes it.
    :param canary: move callers share by share; needs a host of its own beside one that answers, else it is left out.
    """
    present = next((h for h in hosts if live is not None and h.arn == live.host_arn), None)
    obstacle = "nothing is live yet" if live is None else "the live host is gone"
    if present is not None:
        obstacle = can_swap(present, target)
        if present.failed and present.name == target.host.name:
            obstacle = (
                ""  # the swap itself has failed it: the way back asks the service for the old model once more
            )
    if live is None or present is None or present.failed:
        canary = None
    if canary is not None and not obstacle:
        obstacle = "the canary needs a host beside the live one"
    if live is not None and present is not None and not obstacle:
        return _in_place(workload, release, target, live, smoke, bake)
    return _on_new_host(workload, release, target, live, present, obstacle, smoke, bake, grace_hours, canary)


def _in_place(
    workload: str,
    release: int,
    target: Target,
    live: Live,
    smoke: ProbeSettings | None,
    bake: BakeSettings | None,
) -> DeploymentPlan:
    kind, host = live.host_kind, live.host_arn
    back: tuple[Step, ...] = (
        UpdateHost(kind, host, live.target.model_arn),
        WaitForHost(kind, host, live.target.model_arn),
        PublishPointer(kind, host, live.target.model_arn, live.release),
        WriteRelease(release, "rolled_back"),
    )
    steps: list[Step] = [
        UpdateHost(kind, host, target.model_arn),
        WaitForHost(kind, host, target.model_arn),
        *_proof(kind, host, target, release, smoke, bake),
        WriteRelease(release, "released"),
    ]
    named = replace(target, host=replace(target.host, name=host))
    notes = (f"in place: callers keep {host}",)
    return DeploymentPlan(workload, release, named, live.release, True, tuple(steps), back, notes)


def _on_new_host(
    workload: str,
    release: int,
    target: Target,
    live: Live | None,
    present: Host | None,
    obstacle: str,
    smoke: ProbeSettings | None,
    bake: BakeSettings | None,
    grace_hours: float,
    canary: CanarySettings | None,
) -> DeploymentPlan:
    kind, host = target.host.kind, target.host.name
    shift = None
    if canary is not None and live is not None:
        now = PublishPointer(live.host_kind, live.host_arn, live.target.model_arn, live.release)
        shift = ShiftTraffic(kind, host, target.model_arn, release, now, canary)
    steps: list[Step] = [
        CreateHost(target.host, target.model_arn),
        WaitForHost(kind, host, target.model_arn),
        *_proof(kind, host, target, release, smoke, bake, shift),
        WriteRelease(release, "released"),
    ]
    if live is not None and present is not None:
        steps.append(Retire(live.host_kind, live.host_arn, grace_hours))
    back: tuple[Step, ...] = (
        RemovePointer()
        if live is None
        else PublishPointer(live.host_kind, live.host_arn, live.target.model_arn, live.release),
        DeleteHost(kind, host),
        WriteRelease(release, "rolled_back"),
    )
    notes = (f"a new address: {obstacle}",)
    previous = live.release if live else None
    return DeploymentPlan(workload, release, target, previous, False, tuple(steps), back, notes)


def _proof(
    kind: HostKind,
    host: str,
    target: Target,
    release: int,
    smoke: ProbeSettings | None,
    bake: BakeSettings | None,
    shift: ShiftTraffic | None = None,
) -> list[Step]:
    """Ask before callers are told, tell them (some first, where there is a canary), then watch."""
    steps: list[Step] = []
    if smoke is not None:
        steps.append(SmokeTest(kind, host, smoke))
    if shift is not None:
        steps.append(shift)
    steps.append(PublishPointer(kind, host, target.model_arn, release))
    if bake is not None and bake.probes > 0:
        steps.append(Bake(kind, host, bake))
    return steps


def describe(step: Step) -> str:
    """Say in one line what a step does."""
    match step:
        case CreateHost():
            size = (
                f", {step.spec.units} model unit(s), term {step.spec.commitment}" if step.spec.units else ""
            )
            return f"create {step.spec.kind} {step.spec.name} for {step.model_arn}{size}"
        case UpdateHost():
            return f"update {step.host_kind} {step.host} to {step.model_arn}"
        case WaitForHost():
            return f"wait until {step.host} serves {step.model_arn}"
        case SmokeTest():
            return f"smoke test {step.host} with {step.settings.prompts} held-out prompts"
        case PublishPointer():
            return f"publish pointer: release {step.release}, host {step.host}, model {step.model_arn}"
        case ShiftTraffic():
            c = step.settings
            shares = ", ".join(f"{share:.0%}" for share in c.shares)
            return f"canary: {shares} of the calls to {step.host}, {c.every_seconds:g} s each"
        case RemovePointer():
            return "remove the pointer"
        case Bake():
            s = step.settings
            return f"bake {step.host}: {s.probes} probes of {s.limits.prompts} prompts, {s.every_seconds:g} s apart"
        case WriteRelease():
            return f"write the ledger: release {step.release} {step.outcome}"
        case Retire():
            return f"retire {step.host_kind} {step.host} after {step.grace_hours:g} h"
        case DeleteHost():
            return f"delete {step.host_kind} {step.host}"


def render(plan: DeploymentPlan, currency: str = "USD") -> str:
    """Return a plan as text for people: the dry run."""
    price = plan.target.host.price_per_hour
    daily = "unknown" if price is None else f"{price * 24:.2f} {currency} a day while idle"
    lines = [
        f"release {plan.release} of {plan.workload} (previous: {plan.previous or 'none'}), host price {daily}",
        *(f"note: {note}" for note in plan.notes),
        *(f"{number}. {describe(step)}" for number, step in enumerate(plan.steps, 1)),
        "way back, if a check shows the model to be bad:",
        *(f"{number}. {describe(step)}" for number, step in enumerate(plan.way_back, 1)),
    ]
    return "\n".join(lines) + "\n"
