"""Tasks that a workload needs around its stages: what is live, is there money left, own prompts, models that grow old.

Each keeps its arguments, reads the bucket or the account, and hands on a receipt. What a price is, is decided in
`stages/money/`; what is live, in the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk.exceptions import AirflowSkipException

from airflow_distill.aws.gateways import store_for
from airflow_distill.errors import (
    BudgetError,
    ConfigurationError,
    DatasetTooSmallError,
    DeploymentError,
    ServiceNotFoundError,
    ServiceQuotaError,
)
from airflow_distill.operators.base import DistillOperator, runner_key, wall_clock
from airflow_distill.operators.logs import redaction_of, write_harvest
from airflow_distill.remote.times import iso
from airflow_distill.stages.logs.limits import DEFAULT_LIMIT
from airflow_distill.stages.storage import ObjectStore, join_uri

if TYPE_CHECKING:
    from airflow_distill.stages.dataset.imports import Imported
    from airflow_distill.stages.logs.fingerprint import Fingerprints
    from airflow_distill.stages.logs.shard_file import Harvest
    from airflow_distill.stages.money.estimate import RunPlan
    from airflow_distill.stages.money.prices import PriceTable
    from airflow_distill.stages.money.records import Bill


class FindLiveModelOperator(DistillOperator):
    """Return what the ledger says is live: host, model, release, and the manifest of the dataset behind it.

    Nothing live is not an error: the members are empty. A live host that is gone, failed or serves another model, and a
    ledger or pointer that does not agree with it, fail the task with the command that mends it. `host_arn` and
    `manifest_uri` are also pushed by their own keys.

    :param workload: the workload's name (templated).
    :param root: where the project keeps its objects, `s3://bucket/prefix` (templated).
    """

    template_fields: Sequence[str] = aws_template_fields("workload", "root")

    def __init__(self, *, workload: str, root: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root

    def work(self, context: Any) -> dict[str, Any]:
        """Read the ledger, and hold pointer and host against it."""
        from airflow_distill.aws.promotion import look_for_drift
        from airflow_distill.stages.deployment.ledger import Ledger

        store = store_for(self.gateways, self.root)
        history = Ledger(store, self.root, self.workload).sound()
        _, drift = look_for_drift(self.gateways, store, self.root, self.workload, wall_clock())
        for each in drift:
            if each.code != "open-release":
                raise DeploymentError(
                    f"deployment: production of {self.workload} is not what its ledger says: {each.said}",
                    hint=f"Fix: {each.mend}.",
                )
        live = history.live()
        entry = history.entry(live.release) if live else None
        found = {
            "kind": "live",
            "v": 1,
            "workload": self.workload,
            "release": live.release if live else None,
            "host_kind": live.host_kind if live else "",
            "host_arn": live.host_arn if live else "",
            "model_arn": live.target.model_arn if live else "",
            # the copy stays when a retention rule expires the dataset
            "manifest_uri": (entry.release.evidence.manifest_copy or entry.release.evidence.manifest_uri)
            if entry
            else "",
        }
        for key in ("host_arn", "manifest_uri"):
            context["ti"].xcom_push(key=key, value=found[key])
        self.log.info(
            "Live: %s", f"release {live.release}, {live.target.model_arn}" if live else "nothing yet"
        )
        return found


class ReadPromptsOperator(DistillOperator):
    """Read a prompt file of your own in place of invocation logs; returns a `harvest` receipt.

    Files hold `bedrock-conversation-2024` records with an assistant turn, our examples, `{prompt, completion}`, chat
    `messages`, OpenAI stored completions, or CSV such as `text,category`; as lines or as one JSON array. A record without
    an answer cannot judge anybody; it is counted as skipped.

    :param workload: the workload's name (templated).
    :param root: where the project keeps its objects, `s3://bucket/prefix` (templated).
    :param prompts: URI or path of the file, or of a folder of files ending in `.jsonl`, `.json`, `.csv` or `.tsv`,
        compressed or not (templated).
    :param teacher: the model the answers are to be judged as (templated).
    :param window_end: the time the file counts for; names the folder (templated).
    :param salt: fixes which prompts are in the sample; the workload's name when left out (templated).
    :param limit: the most distinct prompts to keep (templated).
    :param redact: replace secrets and common identifiers before anything is written, as curation does.
    :param detectors: import paths of more detectors, `package.module:function`, written out in the Dag file; give
        curation the same.
    """

    import_paths = ("detectors",)
    template_fields: Sequence[str] = aws_template_fields(
        "workload", "root", "prompts", "teacher", "window_end", "salt", "limit"
    )

    def __init__(
        self,
        *,
        workload: str,
        root: str,
        prompts: str,
        teacher: str,
        window_end: str = "{{ dag_run.run_after.strftime('%Y-%m-%dT%H:00:00Z') }}",
        salt: str = "",
        limit: int = DEFAULT_LIMIT,
        redact: bool = True,
        detectors: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.prompts = prompts
        self.teacher = teacher
        self.window_end = window_end
        self.salt = salt
        self.limit = limit
        self.redact = redact
        self.detectors = self.written_paths(detectors, "detectors")

    def store_for(self, uri: str) -> ObjectStore:
        """The bucket's store, or folders when the URI is a path."""
        return store_for(self.gateways, uri)

    def work(self, context: Any) -> dict[str, Any]:
        """Read, sample, write the shard file."""
        from airflow_distill.stages.jobs.models import base_model_id
        from airflow_distill.stages.logs.fingerprint import Fingerprints
        from airflow_distill.stages.logs.harvest import new_harvest
        from airflow_distill.stages.logs.selection import Selection, Window

        end = Window.parse("1970-01-01T00:00:00Z", self.window_end).end
        start = iso(datetime.fromisoformat(end) - timedelta(hours=1))
        window = Window.parse(start, end)
        salt = self.salt or self.workload
        selection = Selection(model=base_model_id(self.teacher), window=window)
        redact = redaction_of(self.redact, self.detectors)
        harvest = new_harvest(selection, salt, self.limit, redact=redact)
        fingerprints = Fingerprints(salt)
        for number, item in enumerate(_records_of(self.store_for(self.prompts), self.prompts), 1):
            harvest.lines += 1
            self._take(harvest, item, number, fingerprints, start)
        if not len(harvest):
            raise DatasetTooSmallError(
                f"dataset: {self.prompts} holds no prompt with an answer.",
                usable=0,
                needed=100,
                hint="`airflow-distill dataset convert` says what is wrong with its records.",
            )
        folder = join_uri(self.root, self.workload, "windows", window.key)
        return write_harvest(self, harvest, window, join_uri(folder, "prompts.jsonl.gz"))

    def _take(
        self, harvest: Harvest, item: Imported, number: int, fingerprints: Fingerprints, timestamp: str
    ) -> None:
        from airflow_distill.stages.jobs.models import base_model_id
        from airflow_distill.stages.logs.parse import Reading
        from airflow_distill.stages.logs.records import SCHEMA

        example = item.example
        if example is None or not (example.answer or "").strip():
            harvest.skips["not_a_record" if example is None else "empty_answer"] += 1
            return
        turns = tuple((turn.role, turn.text) for turn in example.turns)
        reading = Reading(
            v=SCHEMA,
            request_id=f"line-{number}",
            timestamp=timestamp,
            operation="Converse",
            model_id=self.teacher,
            model=base_model_id(self.teacher),
            turns=turns,
            answer=example.answer or "",
            system=example.system,
            stop_reason="",
            metadata=dict(example.metadata),
            identity="",
            input_tokens=example.input_tokens,
            output_tokens=example.output_tokens,
            latency_ms=None,
        )
        harvest.sample.offer(fingerprints.of(example.system, turns), reading)


def _records_of(store: ObjectStore, uri: str) -> Iterable[Imported]:
    from airflow_distill.stages.dataset.imports import SUFFIXES, iter_imported

    found = [item.uri for item in store.iter_objects(uri) if item.uri == uri or item.uri.endswith(SUFFIXES)]
    if not found:
        raise ConfigurationError(
            f"dataset: there is no prompt file at {uri}.", hint="Give its URI or folder."
        )
    for each in found:
        with store.open(each) as stream:
            yield from iter_imported(stream.read())


class CheckBudgetOperator(DistillOperator):
    """Stop before the job is bought when its estimate crosses a cap, or when a price is unknown.

    The estimate reckons with the most the service may make of the dataset. What a run asks to spend it claims in the
    bucket, in the month it asks, so that of two runs at once that do not both fit into `usd_per_month` one is refused; a
    dataset counts once in its month. Returns a `budget` receipt; `costs` is also pushed by its own key, for the decision.

    :param workload: the workload's name (templated).
    :param root: where the project keeps its objects, `s3://bucket/prefix` (templated).
    :param dataset: the `dataset` receipt (templated).
    :param usd_per_run: what one run may cost up to its verdict (templated).
    :param usd_per_month: what the runs of a calendar month may cost together (templated).
    :param buy: `worth_it`, or `never` to stop after the estimate: the task is skipped, and the job with it (templated).
    :param epochs: passes over the data the estimate assumes (templated).
    :param teacher_called: the job asks the teacher; not so when it learns logged answers (templated).
    :param untuned_asked: the evaluation asks the untuned student too (templated).
    :param host_kind: the kind of host the student is judged on (templated).
    :param candidate_hours: how long that host usually lives, where it is paid by the hour (templated).
    :param host_hours: how long it may live at most; as `candidate_hours` when left out (templated).
    :param judge: model id of a judge whose calls the run pays for (templated).
    :param probes: questions that smoke test and bake period ask the released host.
    :param max_tokens: longest answer asked of each model.
    :param usd_per_day: the most the live host may cost a day; met before anything is trained (templated).
    :param hourly_price: quoted price of one model unit (templated).
    :param student_prices: prices the table lacks, by item, in the table's units (templated).
    :param prices: URI, path or content of a price table that lies over the packaged one (templated).
    :param input_tokens_per_day: forecast traffic, for the monthly figures (templated).
    :param output_tokens_per_day: forecast traffic, for the monthly figures (templated).
    :param host: the host that the release will ask for, or `auto`; what `usd_per_day` meets.
    :param model_units: model units, where throughput is bought.
    """

    template_fields: Sequence[str] = aws_template_fields(
        "workload",
        "root",
        "dataset",
        "usd_per_run",
        "usd_per_month",
        "buy",
        "epochs",
        "teacher_called",
        "untuned_asked",
        "host_kind",
        "candidate_hours",
        "host_hours",
        "judge",
        "usd_per_day",
        "hourly_price",
        "student_prices",
        "prices",
        "input_tokens_per_day",
        "output_tokens_per_day",
    )

    def __init__(
        self,
        *,
        workload: str,
        root: str,
        dataset: Any,
        usd_per_run: float,
        usd_per_month: float | None = None,
        buy: Literal["worth_it", "never"] = "worth_it",
        epochs: int = 3,
        teacher_called: bool = True,
        untuned_asked: bool = True,
        host_kind: Literal["provisioned-throughput", "custom-model-deployment"] = "custom-model-deployment",
        candidate_hours: float = 3,
        host_hours: float | None = None,
        judge: str | None = None,
        probes: int = 0,
        max_tokens: int = 512,
        usd_per_day: float | None = None,
        hourly_price: float | None = None,
        student_prices: Mapping[str, float] | None = None,
        prices: str | None = None,
        input_tokens_per_day: float | None = None,
        output_tokens_per_day: float | None = None,
        host: str = "auto",
        model_units: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.host = host
        self.model_units = model_units
        self.workload = workload
        self.root = root
        self.dataset = dataset
        self.usd_per_run = usd_per_run
        self.usd_per_month = usd_per_month
        self.buy = buy
        self.epochs = epochs
        self.teacher_called = teacher_called
        self.untuned_asked = untuned_asked
        self.host_kind = host_kind
        self.candidate_hours = candidate_hours
        self.host_hours = host_hours
        self.judge = judge
        self.probes = probes
        self.max_tokens = max_tokens
        self.usd_per_day = usd_per_day
        self.hourly_price = hourly_price
        self.student_prices = student_prices
        self.prices = prices
        self.input_tokens_per_day = input_tokens_per_day
        self.output_tokens_per_day = output_tokens_per_day

    def now(self) -> datetime:
        """Return the present time in UTC; its month is the one that pays."""
        return wall_clock()

    def work(self, context: Any) -> dict[str, Any]:
        """Estimate, hold against the caps, claim the money."""
        from airflow_distill.aws.prices import read_prices
        from airflow_distill.stages.money.estimate import estimate
        from airflow_distill.stages.money.prices import told_age
        from airflow_distill.stages.money.records import as_float
        from airflow_distill.stages.money.spend import Spend

        store = store_for(self.gateways, self.root)
        dataset = dict(self.dataset)
        manifest = json.loads(store.read(dataset["manifest_uri"]))
        table = read_prices(
            self.gateways, self.prices, student=dataset["student"], stated=self.student_prices
        )
        region = self.gateways.bedrock.region
        plan = self._plan(dataset, manifest)
        likely = estimate(table, replace(plan, pairs=None), region)
        most = estimate(table, plan, region, most=True)
        spend = Spend(store, self.root, self.workload, f"{self.now():%Y%m}")
        book = spend.book()
        others = float(book.usd - book.usd_of(dataset["dataset_id"]))
        receipt = {
            "kind": "budget",
            "v": 1,
            "workload": self.workload,
            "dataset_id": dataset["dataset_id"],
            "estimate_usd": as_float(most.total_usd),
            "likely_usd": as_float(likely.total_usd),
            "known_usd": as_float(most.known_usd),
            "unknown": list(most.unknown),
            "spent_this_month_usd": round(others, 6),
            "priced_at": table.date,
        }
        context["ti"].xcom_push(key="costs", value=self._costs(table, likely, plan, region))
        self.log.info(
            "Estimate: %s, at most %s; this month before: %.2f USD",
            _money(likely.total_usd),
            _money(most.total_usd),
            others,
        )
        for line in told_age(table, f"{self.now():%Y-%m-%d}", (plan.teacher, plan.student, plan.judge)):
            self.log.warning("%s", line)
        if self.buy == "never":
            context["ti"].xcom_push(key="return_value", value=receipt)
            raise AirflowSkipException(f"jobs: {self.workload} was told to buy nothing in this run")
        self._require_room(dataset["student"])
        self._require_host_within_cap(table, plan, region)
        self._hold_against_caps(context, most, dataset["dataset_id"], table)
        self._keep_estimate(store, dataset["dataset_id"], likely, most)
        return receipt

    def _keep_estimate(self, store: ObjectStore, dataset_id: str, likely: Bill, most: Bill) -> None:
        """Keep the estimate beside what the run uses, for the report's table."""
        from airflow_distill.stages.money.usage import RunUsage

        RunUsage(store, self.root, self.workload, dataset_id).keep_estimate(likely, most)

    def _require_host_within_cap(self, table: PriceTable, plan: RunPlan, region: str) -> None:
        """See that a host can be had for `usd_per_day`, before the student's training is paid for."""
        if self.usd_per_day is None:
            return
        from airflow_distill.aws.promotion import rates_from
        from airflow_distill.remote.hosts import KINDS
        from airflow_distill.stages.deployment.hosts import daily_price
        from airflow_distill.stages.deployment.settings import host_wish
        from airflow_distill.stages.jobs.models import hosts_of

        wish = host_wish(
            kind="auto",
            units=self.model_units,
            commitment="none",
            hourly_price=self.hourly_price,
            ends_at=None,
            daily_price_cap=self.usd_per_day,
            accept_commitment=False,
            input_tokens_per_day=self.input_tokens_per_day,
            output_tokens_per_day=self.output_tokens_per_day,
        )
        rates = rates_from(table, region)(plan.student)
        offered = hosts_of(plan.student) or (plan.host_kind,)
        wanted = [kind for kind in KINDS if kind in (offered if self.host == "auto" else (self.host,))]
        found = {kind: daily_price(kind, wish, rates) for kind in wanted}
        if any(usd is not None and usd <= float(self.usd_per_day) for usd in found.values()):
            return
        told = "; ".join(
            f"{kind}: {'unknown' if usd is None else f'{usd:,.2f} USD'} a day" for kind, usd in found.items()
        )
        raise BudgetError(
            f"jobs: no host of {plan.student} is known to cost at most {float(self.usd_per_day):,.2f} USD a day "
            f"({told}); nothing was bought.",
            hint="Raise deployment.usd_per_day, or state deployment.hourly_price, the forecast traffic and the prices of "
            "the student.",
        )

    def _require_room(self, student: str) -> None:
        """See that a host of the student fits into the account's quotas, before its training is paid for."""
        from airflow_distill.aws.quotas import no_code, no_room, rooms
        from airflow_distill.stages.jobs.models import hosts_of

        found = rooms(self.gateways, student, hosts_of(student) or (self.host_kind,))
        for room in found:
            if room.unknown:
                self.log.warning("Whether %s fits is not known: %s", room.kind, room.unknown)
        if unlisted := no_code(found):
            raise ConfigurationError(
                f"jobs: whether a host of {student} fits cannot be asked, so no job was bought: {unlisted}.",
                hint="Then clear the task. New accounts have a quota of 0, which leaves no host for the student.",
            )
        blocked = no_room(found)
        if blocked:
            raise ServiceQuotaError(
                f"jobs: no host of {student} fits, so no job was bought: {blocked}",
                operation="GetServiceQuota",
                hint="Raise the quota on that page; the task retries slowly and continues when the quota is raised.",
            )

    def _plan(self, dataset: Mapping[str, Any], manifest: Mapping[str, Any]) -> RunPlan:
        from airflow_distill.stages.dataset.records import golden_count
        from airflow_distill.stages.money.estimate import SERVICE_MAXIMUM, RunPlan, mean_tokens

        tokens_in, tokens_out = mean_tokens((manifest.get("profile") or {}).get("train") or {})
        train = int(dataset["train_records"])
        on_demand = self.host_kind == "custom-model-deployment"
        return RunPlan(
            teacher=dataset["teacher"],
            student=dataset["student"],
            train_records=train,
            heldout_records=int(dataset["heldout_records"]),
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            teacher_called=self.teacher_called,
            epochs=self.epochs,
            pairs=SERVICE_MAXIMUM if self.teacher_called else train,
            asked=("untuned", "student", "incumbent") if self.untuned_asked else ("student", "incumbent"),
            host_kind=self.host_kind,
            hourly_usd=self.hourly_price,
            candidate_hours=None if on_demand else self.candidate_hours,
            golden_records=golden_count(manifest.get("profile") or {}),
            model_units=self.model_units,
            judge=self.judge or "",
            judged=(3 if self.untuned_asked else 2) if self.judge else 0,
            probes=self.probes,
            max_tokens=self.max_tokens,
            host_hours=None if on_demand else self.host_hours or self.candidate_hours,
        )

    def _costs(self, table: PriceTable, most: Bill, plan: RunPlan, region: str) -> dict[str, Any]:
        """Return what the decision may ask about money; without a forecast only the run's own cost is known."""
        from airflow_distill.stages.money.records import Costs, as_float
        from airflow_distill.stages.money.serving import Traffic, costs, serving

        if not self.input_tokens_per_day or not self.output_tokens_per_day:
            return Costs(
                run_usd=as_float(most.total_usd), host_kind=plan.host_kind, priced_at=table.date
            ).to_json()
        tokens_in, tokens_out = self.input_tokens_per_day, self.output_tokens_per_day
        traffic = Traffic(tokens_in + tokens_out, tokens_in / (tokens_in + tokens_out))
        ways = serving(table, plan.teacher, plan.student, traffic, region=region, hourly_usd=plan.hourly_usd)
        return costs(most, ways, traffic, plan.host_kind, table).to_json()

    def _hold_against_caps(self, context: Any, most: Bill, dataset_id: str, table: PriceTable) -> None:
        from airflow_distill.stages.money.spend import Spend
        from airflow_distill.stages.money.usage import JOB, STAGES

        if most.total_usd is None:
            raise BudgetError(
                f"jobs: {self.workload} has no price for {', '.join(most.unknown)}; nothing was bought.",
                hint="Run `airflow-distill prices update`, set budget.student_prices, or give a price table in "
                "budget.prices.",
            )
        if most.total_usd > self.usd_per_run:
            raise BudgetError(
                f"jobs: a run of {self.workload} may cost {_money(most.total_usd)}, the cap is "
                f"{_money(self.usd_per_run)}; nothing was bought.",
                hint="Lower dataset.size, or raise budget.usd_per_run.",
            )
        run, cap = runner_key(context), self.usd_per_month
        parts = {stage: float(usd) for stage in STAGES if (usd := most.only(stage).total_usd)}
        keyed = {stage if stage == JOB else f"{stage}@{run}": usd for stage, usd in parts.items()}
        spend = Spend(store_for(self.gateways, self.root), self.root, self.workload, f"{self.now():%Y%m}")
        stands, others = spend.claim(
            dataset_id, float(most.total_usd), cap, parts=keyed, run_cap=self.usd_per_run
        )
        if not stands:
            raise BudgetError(
                f"jobs: {self.workload} has {_money(others)} committed this month and this run may add "
                f"{_money(most.total_usd)}; the cap is {_money(cap)}; nothing was bought.",
                hint="Wait for next month, or raise budget.usd_per_month.",
            )


def _money(usd: Decimal | float | None) -> str:
    return "an unknown sum" if usd is None else f"{usd:,.2f} USD"


class CheckLifecycleOperator(DistillOperator):
    """Look at the base models a workload depends on, and say in time when one turns Legacy or ends.

    Returns `{"kind": "lifecycle", "models", "warnings"}`; with warnings the task fails when asked to, so that alerts fire.

    :param workload: the workload's name (templated).
    :param teacher: the teacher model (templated).
    :param student: the student model (templated).
    :param ahead: how long before a model's end to warn.
    :param fail_on_warning: end as failed when there is something to tell.
    """

    template_fields: Sequence[str] = aws_template_fields("workload", "teacher", "student")

    def __init__(
        self,
        *,
        workload: str,
        teacher: str,
        student: str,
        ahead: timedelta = timedelta(days=90),
        fail_on_warning: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.teacher = teacher
        self.student = student
        self.ahead = ahead
        self.fail_on_warning = fail_on_warning

    def work(self, context: Any) -> dict[str, Any]:
        """Ask for both models."""
        models = {
            role: self._look(model) for role, model in (("teacher", self.teacher), ("student", self.student))
        }
        warnings = [
            line for role, found in models.items() for line in self._warnings(role, found, wall_clock())
        ]
        receipt = {
            "kind": "lifecycle",
            "v": 1,
            "workload": self.workload,
            "models": models,
            "warnings": warnings,
        }
        return told(self, context, receipt, warnings)

    def _look(self, model: str) -> dict[str, Any]:
        from airflow_distill.stages.jobs.models import base_model_id

        name = base_model_id(model)
        try:
            lifecycle = self.gateways.bedrock.get_foundation_model(name).get("modelLifecycle") or {}
        except ServiceNotFoundError:
            return {"model": name, "status": "GONE", "legacy_at": None, "ends_at": None}
        return {
            "model": name,
            "status": str(lifecycle.get("status", "")),
            "legacy_at": _iso(lifecycle.get("legacyTime")),
            "ends_at": _iso(lifecycle.get("endOfLifeTime")),
        }

    def _warnings(self, role: str, found: Mapping[str, Any], now: datetime) -> Iterable[str]:
        name, status = found["model"], found["status"]
        if status == "GONE":
            yield f"the {role} {name} does not exist any more"
        elif status == "LEGACY":
            yield f"the {role} {name} is Legacy: no new jobs and no new provisioned throughput on it"
        for word, key in (("turns Legacy", "legacy_at"), ("ends", "ends_at")):
            moment = found[key]
            if moment and now < datetime.fromisoformat(moment) <= now + self.ahead:
                yield f"the {role} {name} {word} on {moment[:10]}: distil onto another model before that"


class CheckCommitmentsOperator(DistillOperator):
    """Tell about hosts of a workload whose committed term or end date comes near; temporary hosts have their own teardown.

    Returns `{"kind": "commitments", "hosts", "warnings"}`.

    :param workload: the workload's name (templated).
    :param root: only hosts of this root, and those that name none; all of the workload when left out (templated).
    :param ahead: how long before the end to warn.
    :param fail_on_warning: end as failed when there is something to tell.
    """

    template_fields: Sequence[str] = aws_template_fields("workload", "root")

    def __init__(
        self,
        *,
        workload: str,
        root: str = "",
        ahead: timedelta = timedelta(days=7),
        fail_on_warning: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.ahead = ahead
        self.fail_on_warning = fail_on_warning

    def work(self, context: Any) -> dict[str, Any]:
        """List the workload's hosts."""
        from airflow_distill.aws.account import iter_hosts
        from airflow_distill.remote.identity import TAG_EXPIRES_AT, TAG_TEMPORARY
        from airflow_distill.remote.ownership import Owner
        from airflow_distill.stages.deployment.times import iso, moment_of

        now = wall_clock()
        hosts, warnings = [], []
        for host in iter_hosts(self.gateways.bedrock, self.workload):
            if self.root and Owner(self.workload, self.root).claim(host.tags) == "foreign":
                continue
            term, end = host.commitment_ends_at, moment_of(host.tags.get(TAG_EXPIRES_AT))
            hosts.append(
                {
                    "host_arn": host.arn,
                    "host_kind": host.kind,
                    "commitment_ends_at": term,
                    "expires_at": iso(end) if end else None,
                }
            )
            if term and now < datetime.fromisoformat(term) <= now + self.ahead:
                warnings.append(f"the commitment of {host.name} renews by itself on {term[:10]}")
            if end and now < end <= now + self.ahead and host.tags.get(TAG_TEMPORARY) != "true":
                warnings.append(f"{host.name} comes to its end on {iso(end)[:10]}; a new release moves it")
        receipt = {
            "kind": "commitments",
            "v": 1,
            "workload": self.workload,
            "hosts": hosts,
            "warnings": warnings,
        }
        return told(self, context, receipt, warnings)


def told(operator: Any, context: Any, receipt: dict[str, Any], warnings: Sequence[str]) -> dict[str, Any]:
    """Log warnings; fail the task with them when its author wants that, the receipt pushed first."""
    for line in warnings:
        operator.log.warning("%s: %s", operator.workload, line)
    if warnings and operator.fail_on_warning:
        context["ti"].xcom_push(key="return_value", value=receipt)
        raise ConfigurationError(f"workload {operator.workload}: {'; '.join(warnings)}.")
    return receipt


class ReportProblemsOperator(DistillOperator):
    """Stand in for a workload whose file is wrong: fails, and says what to mend.

    :param problems: one line a problem, with file, line and column.
    """

    def __init__(self, *, problems: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.problems = problems

    def work(self, context: Any) -> None:
        """Fail."""
        raise ConfigurationError("The workload file is wrong:\n" + "\n".join(self.problems))


def _iso(value: Any) -> str | None:
    """Return a service's time as ISO text in UTC."""
    if value is None or value == "":
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
