"""Which host a student can have, and whether the wish may be paid for. Every refusal comes before any call that costs.

Takes the wish, what the student can be served by, the base model's lifecycle and the rates; hands on a `HostSpec` or raises
with all reasons at once. Prices are passed in; an unknown price is never taken for zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from airflow_distill.errors import BudgetError, ConfigurationError, DistillError
from airflow_distill.remote.identity import host_name
from airflow_distill.stages.deployment.records import (
    KINDS,
    ON_DEMAND,
    PROVISIONED,
    Commitment,
    Host,
    HostKind,
    HostSpec,
    HostWish,
)
from airflow_distill.stages.deployment.times import iso, moment_of

TERM_DAYS: Mapping[Commitment, int] = {"none": 0, "OneMonth": 30, "SixMonths": 180}


@dataclass(frozen=True, slots=True)
class Capability:
    """How a student may be served in a Region, and how its base model stands.

    :param kinds: the host kinds that the service offers for it here.
    :param lifecycle: `ACTIVE`, `LEGACY` or empty when unknown.
    :param end_of_life: when the base model ends, if announced.
    """

    student: str
    region: str
    kinds: tuple[HostKind, ...]
    lifecycle: str = ""
    end_of_life: str | None = None


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices of serving; None is unknown. Tokens are priced per thousand."""

    unit_hour: float | None = None
    input_per_1k: float | None = None
    output_per_1k: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a host cannot be had, and what to change. `money` marks refusals that are about price."""

    reason: str
    fix: str
    money: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A host that may be bought, what it costs a day at the forecast (None: unknown), and why this one."""

    spec: HostSpec
    daily_price: float | None
    reasons: tuple[str, ...]


def choose_host(
    wish: HostWish,
    capability: Capability,
    rates: Rates,
    *,
    now: datetime,
    name_of: Callable[[HostKind], str],
) -> Choice:
    """Return the host to have.

    :param name_of: gives the name of the host for a kind.
    :raises ConfigurationError: it cannot be had; the message holds every reason.
    :raises BudgetError: the price is over the cap, or unknown where a cap needs it.
    """
    wanted = KINDS if wish.kind == "auto" else (wish.kind,)
    refused = {kind: refusals(kind, wish, capability, rates, now) for kind in wanted}
    possible = [kind for kind in wanted if not refused[kind]]
    if not possible:
        raise _refused(refused, capability)
    prices = {kind: daily_price(kind, wish, rates) for kind in possible}
    best = min(possible, key=lambda kind: _rank(kind, prices[kind]))
    reasons = _reasons(wish, possible, refused, prices)
    return Choice(_spec(best, wish, name_of(best)), prices[best], reasons)


def keep_host(
    wish: HostWish, capability: Capability, rates: Rates, *, now: datetime, host: Host, paid: HostSpec
) -> Choice:
    """Return the live host with the wish applied, so that callers keep its address; nothing new is bought.

    What the wish leaves out is as it was bought. A Legacy base does not matter here: hosts that exist keep working.

    :param paid: the terms on which the live host was bought, from the ledger.
    :raises ConfigurationError: the end date has passed.
    :raises BudgetError: the price is over the cap, or unknown where a cap needs it.
    """
    merged = replace(
        wish,
        kind=host.kind,
        units=host.units,
        commitment="none",
        hourly_price=wish.hourly_price if wish.hourly_price is not None else paid.hourly_price,
        ends_at=wish.ends_at or (paid.ends_at if host.kind == PROVISIONED else None),
    )
    free = replace(capability, lifecycle="")
    choice = choose_host(merged, free, rates, now=now, name_of=lambda kind: host.name)
    spec = replace(choice.spec, commitment=paid.commitment)
    return Choice(spec, choice.daily_price, ("the live host keeps its address",))


def live_host_name(
    workload: str, kind: HostKind, base_model: str, wish: HostWish, root: str = "", *, generation: int = 1
) -> str:
    """Return the name of a workload's permanent host under a root.

    It changes with what cannot be changed in place: kind, base model, units and term.
    """
    size = f"{wish.units}:{wish.commitment}" if kind == PROVISIONED else ""
    return host_name(workload, "live", f"{kind}:{base_model}:{size}", generation, root=root)


def is_live_host_name(
    name: str, workload: str, kind: HostKind, base_model: str, units: int | None, root: str
) -> bool:
    """Say whether a name is one of a workload's permanent hosts under a root, whatever the term and generation."""
    wishes = [HostWish(kind=kind, units=units, commitment=term) for term in TERM_DAYS]
    return any(
        live_host_name(workload, kind, base_model, wish, root, generation=number) == name
        for wish in wishes
        for number in range(1, 100)
    )


def refusals(
    kind: HostKind, wish: HostWish, capability: Capability, rates: Rates, now: datetime
) -> tuple[Refusal, ...]:
    """Return every reason why the student cannot be served by this kind of host as wished."""
    found = [*_cannot_have(kind, capability, now)]
    if kind == PROVISIONED:
        found += _unstated(wish, now)
    price = daily_price(kind, wish, rates)
    cap = wish.daily_price_cap
    if cap is not None and price is None:
        found.append(
            Refusal(
                f"the daily price of {kind} is unknown, and a cap of {cap:g} a day is set",
                "State the price, or the forecast traffic and a price table that knows the model.",
                money=True,
            )
        )
    elif cap is not None and price is not None and price > cap:
        found.append(
            Refusal(
                f"{kind} would cost {price:.2f} a day, over the cap of {cap:g}",
                "Raise the cap, take fewer units or another host.",
                money=True,
            )
        )
    return tuple(found)


def daily_price(kind: HostKind, wish: HostWish, rates: Rates) -> float | None:
    """Return what a host costs a day at the forecast; None when a price or the forecast is missing."""
    if kind == PROVISIONED:
        hourly = wish.hourly_price if wish.hourly_price is not None else rates.unit_hour
        return None if hourly is None or wish.units is None else hourly * wish.units * 24
    traffic = wish.traffic
    if traffic is None or rates.input_per_1k is None or rates.output_per_1k is None:
        return None
    read, written = traffic.input_tokens_per_day, traffic.output_tokens_per_day
    return (read * rates.input_per_1k + written * rates.output_per_1k) / 1000


def _cannot_have(kind: HostKind, capability: Capability, now: datetime) -> list[Refusal]:
    found = []
    if kind not in capability.kinds:
        offered = " or ".join(capability.kinds) or "no host at all"
        found.append(
            Refusal(
                f"{capability.student} cannot be served by {kind} in {capability.region}; it can have {offered}",
                "Take a host kind that the student has in this Region, or `auto`.",
            )
        )
    end = moment_of(capability.end_of_life)
    if end is not None and end <= now:
        found.append(
            Refusal(
                f"{capability.student} reached its end of life on {iso(end)}", "Distil into another student."
            )
        )
    elif kind == PROVISIONED and capability.lifecycle == "LEGACY":
        found.append(
            Refusal(
                f"{capability.student} is Legacy; the service sells no new provisioned throughput for it",
                "Take a custom model deployment where the student has it, or distil into another student.",
            )
        )
    return found


def _unstated(wish: HostWish, now: datetime) -> list[Refusal]:
    """Return what provisioned throughput demands and the wish leaves unsaid."""
    found = []
    if not wish.units or wish.units < 1:
        found.append(Refusal("provisioned throughput needs model units", "State `units`, 1 or more."))
    if not wish.hourly_price or wish.hourly_price <= 0:
        found.append(
            Refusal(
                "provisioned throughput needs a stated hourly price",
                "State `hourly_price` of one model unit.",
            )
        )
    end = moment_of(wish.ends_at)
    if end is None:
        found.append(
            Refusal(
                "provisioned throughput needs an end date", "State `ends_at`; it bills until it is deleted."
            )
        )
    elif end <= now:
        found.append(Refusal(f"the end date {iso(end)} has passed", "State a later `ends_at`."))
    if wish.commitment not in TERM_DAYS:
        found.append(Refusal(f"the term {wish.commitment!r} is unknown", "Use none, OneMonth or SixMonths."))
    elif wish.commitment != "none":
        found += _committed(wish, end, now)
    return found


def _committed(wish: HostWish, end: datetime | None, now: datetime) -> list[Refusal]:
    found = []
    if not wish.accept_commitment:
        found.append(
            Refusal(
                f"a term of {wish.commitment} cannot be ended early and renews itself",
                "Say yes to it with `accept_commitment`, or take no commitment.",
            )
        )
    if end is not None and end < now + timedelta(days=TERM_DAYS[wish.commitment]):
        found.append(
            Refusal(
                f"the end date {iso(end)} lies before the end of the term {wish.commitment}",
                "It cannot be deleted before; state an end date after the term.",
            )
        )
    return found


def _refused(refused: dict[HostKind, tuple[Refusal, ...]], capability: Capability) -> DistillError:
    # With `auto`, only a kind that the student can have at all is worth arguing about.
    worth = {kind: found for kind, found in refused.items() if kind in capability.kinds} or refused
    every = [refusal for found in worth.values() for refusal in found]
    kind = BudgetError if all(refusal.money for refusal in every) else ConfigurationError
    return kind(
        "deployment: nothing was bought: " + "; ".join(refusal.reason for refusal in every) + ".",
        hint=" ".join(dict.fromkeys(refusal.fix for refusal in every)),
    )


def _rank(kind: HostKind, price: float | None) -> tuple[bool, float, bool]:
    """Order by known price; at equal knowledge the host that costs nothing while idle comes first."""
    return (price is None and kind == PROVISIONED, 0.0 if price is None else price, kind == PROVISIONED)


def _reasons(
    wish: HostWish,
    possible: list[HostKind],
    refused: dict[HostKind, tuple[Refusal, ...]],
    prices: dict[HostKind, float | None],
) -> tuple[str, ...]:
    said = []
    for kind in possible:
        price = prices[kind]
        said.append(f"{kind}: {'price at the forecast unknown' if price is None else f'{price:.2f} a day'}")
    for kind, found in refused.items():
        said += [f"not {kind}: {refusal.reason}" for refusal in found]
    if wish.kind != "auto":
        said.append(f"{wish.kind} was asked for")
    return tuple(said)


def _spec(kind: HostKind, wish: HostWish, name: str) -> HostSpec:
    ends_at = moment_of(wish.ends_at)
    spec = HostSpec(kind=kind, name=name, ends_at=None if ends_at is None else iso(ends_at))
    if kind == ON_DEMAND:
        return spec
    return replace(spec, units=wish.units, commitment=wish.commitment, hourly_price=wish.hourly_price)
