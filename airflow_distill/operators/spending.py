"""What every paid step shares: its most is claimed before it begins, its calls are counted, what it came to is settled.

A claim is made in the bucket, in order with those of other runs, and meets three caps: what the run may cost, what the
month may cost, and what may be open for the workload at any time (`usd_exposed`). A step whose price is unknown does not
begin under a cap. Without a budget nothing is claimed; usage is counted all the same.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_distill.aws.gateways import AwsGateways, store_for
from airflow_distill.errors import BudgetError, ConfigurationError
from airflow_distill.operators.base import runner_key, wall_clock
from airflow_distill.remote.times import iso

if TYPE_CHECKING:
    from airflow_distill.stages.dataset.records import Example
    from airflow_distill.stages.evaluation.collect import (
        AnswerCache,
        Ask,
        Collected,
        Given,
        Parameters,
        Subject,
    )
    from airflow_distill.stages.evaluation.collect_pacing import Pacer
    from airflow_distill.stages.money.prices import PriceTable
    from airflow_distill.stages.money.records import Bill, Tokens, Usage
    from airflow_distill.stages.money.usage import CallMeter, Metered, RunUsage

BUDGET = frozenset({"usd_per_run", "usd_per_month", "usd_exposed", "epochs"})
"""What a `budget` argument may hold: the caps of a workload file, and the epochs that an estimate assumes."""

MARGIN = 2
"""A bound on the tokens of a text is so many times what its scripts suggest; tokenizers of models are not published."""


def read_budget(budget: Any) -> dict[str, float]:
    """Return the caps that are set.

    :raises ConfigurationError: it holds something else.
    """
    given = dict(budget) if isinstance(budget, Mapping) else {} if budget is None else None
    if given is None or not set(given) <= BUDGET:
        raise ConfigurationError(
            "money: `budget` has unknown settings.", hint=f"Allowed: {', '.join(sorted(BUDGET))}."
        )
    try:
        return {name: float(usd) for name, usd in given.items() if usd is not None}
    except (TypeError, ValueError):
        raise ConfigurationError("money: a value of `budget` is not a number.") from None


@dataclass(slots=True)
class PaidStep:
    """One paid part of a run.

    :param stage: one of `stages.money.usage.STAGES`.
    :param name: tells parts of one stage apart that are paid apart, such as a second job after one that failed.
    :param shared: other Dag runs with the same dataset share what is bought, so it is claimed once for all of them.
    :param clock: the present time; its month pays.
    """

    gateways: AwsGateways
    context: Any
    workload: str
    root: str
    dataset_id: str
    stage: str
    table: PriceTable
    budget: Mapping[str, float] = field(default_factory=dict)
    name: str = ""
    shared: bool = False
    clock: Callable[[], datetime] = wall_clock

    @property
    def run(self) -> str:
        """What names the Dag run in tags and records."""
        return runner_key(self.context) if "ti" in self.context else "manual"

    @property
    def key(self) -> str:
        """What the claim is kept under."""
        name = f"{self.stage} {self.name}".strip()
        return name if self.shared else f"{name}@{self.run}"

    @property
    def usage(self) -> RunUsage:
        """The run's record of usage."""
        from airflow_distill.stages.money.usage import RunUsage

        return RunUsage(store_for(self.gateways, self.root), self.root, self.workload, self.dataset_id)

    @property
    def region(self) -> str:
        """The Region whose prices count."""
        return self.gateways.bedrock.region

    def records(self) -> list[Metered]:
        """Return what this part has used so far, by all its attempts."""
        found = [record for record in self.usage.read() if record.stage == self.stage]
        if not self.shared:
            return [record for record in found if record.run == self.run]
        if not self.name:
            return found
        return [
            record for record in found if record.what == self.name or record.what.endswith(f"-{self.name}")
        ]

    def claim(self, usages: Iterable[Usage], *, beside: Iterable[Usage] = ()) -> None:
        """Make sure that the caps allow the most that comes now, beside what this part has used already.

        :param beside: what is bought with it and no run pays for: the hours of a live host. Only `usd_exposed` meets it.
        :raises BudgetError: a cap would be crossed, or a price that a cap needs is unknown. Nothing was bought.
        """
        from airflow_distill.stages.money.prices import bill
        from airflow_distill.stages.money.records import Bill
        from airflow_distill.stages.money.usage import actual, at_risk

        caps = {name: self.budget[name] for name in self.budget if name != "epochs"}
        if not caps:
            return
        records = self.records()
        most = bill(self.table, usages, self.region)
        whole = Bill(
            (
                *most.lines,
                *actual(self.table, records, self.region).lines,
                *at_risk(self.table, records, self.region).lines,
            )
        )
        if whole.total_usd is None or most.total_usd is None:
            raise BudgetError(
                f"money: {self.workload} has no price for {', '.join(whole.unknown)}, so the {self.stage} was not begun.",
                hint="Run `airflow-distill prices update`, or state it under budget.student_prices or in budget.prices.",
            )
        self._meet_exposed(most.total_usd, bill(self.table, beside, self.region))
        if "usd_per_run" in caps or "usd_per_month" in caps:
            self._meet_claims(whole.total_usd)

    def _meet_claims(self, usd: Decimal) -> None:
        from airflow_distill.stages.money.spend import Spend

        now = self.clock()
        store = store_for(self.gateways, self.root)
        earlier = Spend(store, self.root, self.workload, f"{now.replace(day=1) - timedelta(days=1):%Y%m}")
        book = earlier.book()
        if book.covers(self.dataset_id, {self.key: usd}):
            return
        run_cap, cap = self.budget.get("usd_per_run"), self.budget.get("usd_per_month")
        before = book.usd_of(self.dataset_id)
        spend = Spend(store, self.root, self.workload, f"{now:%Y%m}")
        stands, others = spend.claim(
            self.dataset_id,
            float(usd),
            cap,
            parts={self.key: float(usd)},
            run_cap=run_cap,
            before=float(before),
        )
        if not stands:
            held = spend.book().usd_of(self.dataset_id) + before
            raise BudgetError(
                f"money: the {self.stage} of {self.workload} may cost {usd:,.2f} USD; this run holds {held:,.2f} USD "
                f"already (cap {_cap(run_cap)}), the month's other runs {others:,.2f} USD (cap {_cap(cap)}). "
                "It was not begun.",
                hint="See `airflow-distill spend show`; raise budget.usd_per_run or budget.usd_per_month, "
                "or make the dataset smaller.",
            )

    def _meet_exposed(self, usd: Decimal, beside: Bill) -> None:
        cap = self.budget.get("usd_exposed")
        if cap is None:
            return
        if beside.total_usd is None:
            raise BudgetError(
                f"money: {self.workload} has no price for {', '.join(beside.unknown)}, so the {self.stage} was not begun.",
                hint="State deployment.hourly_price, or a table under budget.prices.",
            )
        usd += beside.total_usd
        from airflow_distill.aws.exposure import exposure_of
        from airflow_distill.remote.ownership import Owner
        from airflow_distill.stages.money.runs import open_steps

        now = self.clock()
        store = store_for(self.gateways, self.root)
        claimed = [
            line
            for line in open_steps(store, self.root, self.workload, self.table, now=now, region=self.region)
            if line.name != f"{self.stage} of {self.dataset_id}"  # this step's own, counted below
        ]
        owner = Owner(self.workload, self.root)
        open_now = exposure_of(self.gateways, owner, self.table, now=now, claimed=claimed)
        most = open_now.most_usd
        if most is None:
            raise BudgetError(
                f"money: what may still be billed for {self.workload} is unknown, so the {self.stage} was not begun: "
                f"{', '.join(line.name for line in open_now.unknown)} has no price.",
                hint="Run `airflow-distill prices update`, or state the price in the workload file.",
            )
        if float(most + usd) > cap:
            raise BudgetError(
                f"money: {most:,.2f} USD may still be billed for {self.workload}, the {self.stage} may add "
                f"{usd:,.2f} USD, and {cap:,.2f} USD may be open at a time. It was not begun.",
                hint="`airflow-distill status` lists what is open; delete what nobody needs, or raise budget.usd_exposed.",
            )

    def meter(self, what: str, model: str, kind: str, most_each: Tokens) -> CallMeter:
        """Return a meter for the calls of this attempt; nobody else writes its record."""
        from airflow_distill.stages.money.usage import CallMeter, Metered

        begun = Metered(
            self.stage,
            f"{self.run}/{what}/{uuid.uuid4().hex}",
            what=what,
            model=model,
            kind=kind,
            run=self.run,
            at=self._now(),
        )
        return CallMeter(self.usage, begun, most_each)

    def note(self, key: str, **facts: Any) -> None:
        """Write what a job or a host has used, under its ARN."""
        from airflow_distill.stages.money.usage import Metered

        self.usage.write(Metered(self.stage, key, run=self.run, at=self._now(), **facts))

    def settle(self, *, over: bool = False) -> None:
        """Replace the claim by what this part came to, calls lost on the way included; an unknown sum stays a claim.

        :param over: the run ends: a part that was never begun came to nothing.
        """
        from airflow_distill.stages.money.spend import Spend
        from airflow_distill.stages.money.usage import actual, at_risk

        records = self.records()
        found = [actual(self.table, records, self.region), at_risk(self.table, records, self.region)]
        sums = [each.total_usd for each in found]
        if (not records and not over) or any(usd is None for usd in sums):
            return
        usd = float(sum(usd for usd in sums if usd is not None))
        now, store = self.clock(), store_for(self.gateways, self.root)
        for month in (now, now.replace(day=1) - timedelta(days=1)):
            if Spend(store, self.root, self.workload, f"{month:%Y%m}").settle(self.dataset_id, self.key, usd):
                return

    def _now(self) -> str:
        return iso(self.clock())


def _cap(usd: float | None) -> str:
    return "none" if usd is None else f"{usd:,.2f} USD"


def billing_of(address: str, model: str) -> tuple[str, str]:
    """Return (how tokens of an address are billed, the base model whose prices count).

    :param model: what answers there: a base model's id, or a custom model's ARN.
    """
    from airflow_distill.remote.hosts import base_of_arn
    from airflow_distill.stages.jobs.models import base_model_id

    base = base_of_arn(model) if ":custom-model/" in model else base_model_id(model)
    if ":provisioned-model/" in address:
        return "", base
    return ("deployment" if ":custom-model-deployment/" in address else "inference"), base


def most_of(examples: Iterable[Example], max_tokens: int) -> list[Tokens]:
    """Return the most that asking each prompt once can use."""
    from airflow_distill.stages.dataset.tokens import estimate_tokens
    from airflow_distill.stages.money.records import Tokens

    found = []
    for example in examples:
        texts = [example.system or "", *(turn.text for turn in example.turns)]
        guess = MARGIN * sum(map(estimate_tokens, texts)) + 16 * len(texts)
        found.append(Tokens(max(guess, example.input_tokens or 0), max_tokens))
    return found


def whole_of(stage: str, kind: str, model: str, tokens: Iterable[Tokens]) -> list[Usage]:
    """Return tokens as usages of a model; nothing where the hour is paid instead."""
    from airflow_distill.stages.money.records import Tokens, Usage

    if not kind:
        return []
    added = sum(tokens, Tokens())
    return [Usage(stage, f"{kind}-{item}", model, count) for item, count in added.by_item() if count]


def largest(tokens: Iterable[Tokens]) -> Tokens:
    """Return tokens of which none is fewer than in any of these."""
    from airflow_distill.stages.money.records import Tokens

    found = list(tokens)
    return Tokens(max((t.input for t in found), default=0), max((t.output for t in found), default=0))


def metered(ask: Ask, meter: CallMeter) -> Ask:
    """Return a way to ask that is counted call by call. A call that was refused costs nothing."""
    from airflow_distill.errors import ServiceError
    from airflow_distill.stages.money.records import Tokens

    def counted(example: Example, parameters: Parameters) -> Given:
        meter.ask()
        try:
            given = ask(example, parameters)
        except ServiceError as error:
            if error.code:  # the service said no; without a code nobody knows what became of the call
                meter.answered(None)
            raise
        meter.answered(
            Tokens.of(
                given.input_tokens, given.output_tokens, given.cache_read_tokens, given.cache_write_tokens
            )
        )
        return given

    return counted


@contextmanager
def paid_calls(
    step: PaidStep,
    what: str,
    address: str,
    model: str,
    examples: Sequence[Example],
    max_tokens: int,
    ask: Ask,
) -> Iterator[tuple[Ask, Callable[[Sequence[Example]], None]]]:
    """Give a way to ask that is counted, and what claims the most of the prompts that are about to be asked.

    :param examples: all that may be asked; the longest bounds what one call can use.
    """
    kind, base = billing_of(address, model)
    meter = step.meter(what, base, kind, largest(most_of(examples, max_tokens)))

    def before(missing: Sequence[Example]) -> None:
        step.claim(whole_of(step.stage, kind, base, most_of(missing, max_tokens)))

    try:
        yield metered(ask, meter), before
    finally:
        meter.close()


def collect_paid(
    step: PaidStep,
    what: str,
    address: str,
    model: str,
    examples: Sequence[Example],
    subject: Subject,
    parameters: Parameters,
    *,
    ask: Ask,
    cache: AnswerCache,
    pacer: Pacer,
    threads: int,
    repeats: int = 1,
) -> Collected:
    """Ask one model each prompt, counted and under the caps; what was answered before is not asked again.

    :param what: names the calls in the run's record of usage.
    :param address: what is asked, of which `model` is the base or what it is billed as.
    """
    from airflow_distill.stages.evaluation.collect import collect

    with paid_calls(step, what, address, model, examples, parameters.max_tokens, ask) as (paid, before):
        return collect(
            examples,
            subject,
            parameters,
            ask=paid,
            before=before,
            cache=cache,
            pacer=pacer,
            now=time.monotonic,
            sleep=time.sleep,
            threads=threads,
            repeats=repeats,
        )
