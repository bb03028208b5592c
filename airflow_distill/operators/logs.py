"""Operators of the log stage: harvest a window of invocation logs, in one task or as mapped tasks.

One `HarvestLogsOperator` alone is enough for most workloads. For large ones, `PlanHarvestOperator` cuts the window into
shards of equal bytes, `HarvestLogsOperator.partial(...).expand(shard=plan.output)` reads them wherever Airflow's executor
runs tasks, and `MergeHarvestOperator` puts the parts together. Both roads give the same dataset, to the byte. What is
decided is decided in `stages/logs`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_distill.aws.gateways import store_for
from airflow_distill.errors import ConfigurationError
from airflow_distill.operators.base import DistillOperator, wall_clock
from airflow_distill.stages.logs.limits import DEFAULT_LIMIT, DEFAULT_SHARDS, LEAST_SHARD_BYTES
from airflow_distill.stages.storage import ObjectStore, join_uri

if TYPE_CHECKING:
    from airflow_distill.stages.dataset.redact import Redaction
    from airflow_distill.stages.forgotten import Tombstones
    from airflow_distill.stages.logs.harvest import Harvest
    from airflow_distill.stages.logs.metadata import MetadataFilter
    from airflow_distill.stages.logs.selection import Selection, Window
    from airflow_distill.stages.storage import StoredObject

WEEK_START = "{{ (dag_run.run_after - macros.timedelta(days=7, hours=1)).strftime('%Y-%m-%dT%H:00:00Z') }}"
WEEK_END = "{{ (dag_run.run_after - macros.timedelta(hours=1)).strftime('%Y-%m-%dT%H:00:00Z') }}"
"""The default window: seven days that end on the full hour at least an hour before the run.

It works for runs without a logical date, and the hour lets late records arrive, so that weekly windows leave no gap.
"""


def metadata_filter(metadata: Any) -> MetadataFilter | None:
    """Read the `metadata` argument: the service's own shape, or plain pairs that must all match."""
    from airflow_distill.stages.logs.metadata import MetadataFilter

    if not metadata:
        return None
    if isinstance(metadata, Mapping) and all(isinstance(value, str) for value in metadata.values()):
        return MetadataFilter.from_pairs(metadata)
    return MetadataFilter.from_json(metadata)


def redaction_of(redact: bool, detectors: Sequence[str]) -> Redaction | None:
    """Return how the arguments `redact` and `detectors` say to redact; None for not at all.

    :raises ConfigurationError: a detector cannot be imported.
    """
    from airflow_distill.stages.dataset.redact import Redaction, load_detectors

    if not redact:
        return None
    load_detectors(tuple(detectors))
    return Redaction(tuple(detectors))


class _LogsOperator(DistillOperator):
    """What the operators of this stage share: the store that fits a URI."""

    def store_for(self, uri: str) -> ObjectStore:
        """The bucket's store, or folders when the URI is a path."""
        return store_for(self.gateways, str(uri))


class PlanHarvestOperator(_LogsOperator):
    """Cuts the log objects of a window into shards of equal bytes; returns a ticket for each, to map over.

    The plan lies in the window's folder. Run again, it is made again; the mapped tasks must then run again too.

    :param workload: the workload's name (templated).
    :param root: where the project keeps its objects, `s3://bucket/prefix` (templated).
    :param logs: where Bedrock delivers invocation logs, at any level of their layout (templated).
    :param window_start: the first moment of record time, inclusive; ISO 8601 or what a date prints as (templated).
    :param window_end: the end of the window, exclusive (templated).
    :param shards: the most shards (templated).
    :param least_bytes: stored bytes below which a shard is not worth a task of its own (templated).
    :param overlap_hours: how long after the window's end records may still be delivered (templated).
    """

    template_fields: Sequence[str] = (
        *DistillOperator.template_fields,
        "workload",
        "root",
        "logs",
        "window_start",
        "window_end",
        "shards",
        "least_bytes",
        "overlap_hours",
    )

    def __init__(
        self,
        *,
        workload: str,
        root: str,
        logs: str,
        window_start: str = WEEK_START,
        window_end: str = WEEK_END,
        shards: int = DEFAULT_SHARDS,
        least_bytes: int = LEAST_SHARD_BYTES,
        overlap_hours: float = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.logs = logs
        self.window_start = window_start
        self.window_end = window_end
        self.shards = shards
        self.least_bytes = least_bytes
        self.overlap_hours = overlap_hours

    def work(self, context: Any) -> list[dict[str, Any]]:
        """List the window's objects, cut them, write the plan."""
        from airflow_distill.stages.logs.plan import HarvestPlan, window_folder, write_plan
        from airflow_distill.stages.logs.selection import Window
        from airflow_distill.stages.logs.source import cut_shards, iter_log_objects

        window = Window.parse(self.window_start, self.window_end)
        overlap = timedelta(hours=self.overlap_hours)
        objects = list(iter_log_objects(self.store_for(self.logs), self.logs, window, overlap))
        look_over(self, objects, window)
        plan = HarvestPlan(window, tuple(cut_shards(objects, self.shards, self.least_bytes)))
        folder = window_folder(self.root, self.workload, window)
        uri = write_plan(self.store_for(self.root), folder, plan)
        self.log.info(
            "Planned %s shards over %s log objects, %s bytes, in %s",
            len(plan.shards),
            sum(len(shard.objects) for shard in plan.shards),
            sum(shard.size for shard in plan.shards),
            uri,
        )
        return plan.tickets(uri)


class HarvestLogsOperator(_LogsOperator):
    """Reads the invocation logs of a window and keeps a uniform sample of distinct prompts; returns its receipt.

    Every line is kept or counted under a reason; the same logs and arguments give the same file, to the byte. A record
    lies in the window by its own time, `[window_start, window_end)`.

    :param workload: the workload's name (templated).
    :param root: where the project keeps its objects, `s3://bucket/prefix` (templated).
    :param logs: where Bedrock delivers invocation logs: the bucket and key prefix, `.../AWSLogs`, one Region's folder, or
        a folder of log files (templated).
    :param model: the teacher; ids in the logs are resolved to it (templated).
    :param window_start: the first moment of record time, inclusive; ISO 8601 or what a date prints as, such as
        `{{ dag_run.run_after - macros.timedelta(days=7) }}` (templated).
    :param window_end: the end of the window, exclusive, such as `{{ dag_run.run_after }}` (templated).
    :param metadata: the request-metadata filter in the service's own shape, such as `{"equals": {"app": "support"}}`, or
        plain pairs that must all match (templated).
    :param operations: only these operations; all four when left out (templated).
    :param identity: only callers whose ARN matches this pattern with `*` and `?`, for untagged traffic (templated).
    :param system_digest: only this system prompt, by `system_fingerprint`, for untagged traffic (templated).
    :param model_mapping: model behind application profile, provisioned throughput and deployment ARNs (templated). An
        application profile that it does not name is looked up with GetInferenceProfile, once.
    :param salt: fixes which prompts are in the sample; never change it. The workload's name when left out (templated).
    :param limit: the most distinct prompts to keep (templated).
    :param answer_rule: which answer of a prompt asked more than once: `latest`, `first` or `most_frequent` (templated).
    :param overlap_hours: how long after the window's end records may still be delivered (templated).
    :param redact: replace secrets and common identifiers before anything is written, as curation does; give both tasks the
        same setting.
    :param detectors: import paths of more detectors, `package.module:function`, written out in the Dag file; give
        curation the same.
    :param shard: one ticket of `PlanHarvestOperator`, for mapped tasks; the plan's window then counts (templated).
    """

    import_paths = ("detectors",)
    template_fields: Sequence[str] = (
        *DistillOperator.template_fields,
        "workload",
        "root",
        "logs",
        "model",
        "window_start",
        "window_end",
        "metadata",
        "operations",
        "identity",
        "system_digest",
        "model_mapping",
        "salt",
        "limit",
        "answer_rule",
        "overlap_hours",
        "shard",
    )
    template_fields_renderers = {"metadata": "json", "model_mapping": "json"}  # noqa: RUF012

    def __init__(
        self,
        *,
        workload: str,
        root: str,
        logs: str,
        model: str,
        window_start: str = WEEK_START,
        window_end: str = WEEK_END,
        metadata: Mapping[str, Any] | None = None,
        operations: Sequence[str] = (),
        identity: str = "",
        system_digest: str = "",
        model_mapping: Mapping[str, str] | None = None,
        salt: str = "",
        limit: int = DEFAULT_LIMIT,
        answer_rule: str = "latest",
        overlap_hours: float = 3,
        redact: bool = True,
        detectors: Sequence[str] = (),
        shard: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.root = root
        self.logs = logs
        self.model = model
        self.window_start = window_start
        self.window_end = window_end
        self.metadata = metadata
        self.operations = operations
        self.identity = identity
        self.system_digest = system_digest
        self.model_mapping = model_mapping
        self.salt = salt
        self.limit = limit
        self.answer_rule = answer_rule
        self.overlap_hours = overlap_hours
        self.redact = redact
        self.detectors = self.written_paths(detectors, "detectors")
        self.shard = shard

    def work(self, context: Any) -> dict[str, Any]:
        """Read the window or one shard of it, write what was kept."""
        from airflow_distill.stages.logs.plan import window_folder

        window, name, harvest = self._harvest_shard() if self.shard else self._harvest_window()
        folder = window_folder(self.root, self.workload, window)
        return write_harvest(self, harvest, window, join_uri(folder, f"{name}.jsonl.gz"))

    def selection(self, window: Window) -> Selection:
        """Return what the arguments ask for; application profiles that nobody named are looked up."""
        from airflow_distill.aws.profiles import profile_lookup
        from airflow_distill.stages.logs.selection import Selection

        return Selection(
            model=self.model,
            window=window,
            metadata=metadata_filter(self.metadata),
            operations=tuple(self.operations or ()),
            identity=self.identity,
            system_digest=self.system_digest,
            mapping=dict(self.model_mapping or {}),
            lookup=profile_lookup(str(self.logs), lambda: self.gateways.bedrock),
        )

    def _harvest_window(self) -> tuple[Window, str, Harvest]:
        from airflow_distill.stages.logs.harvest import harvest_logs
        from airflow_distill.stages.logs.selection import Window
        from airflow_distill.stages.logs.source import iter_log_objects

        window = Window.parse(self.window_start, self.window_end)
        store, overlap = self.store_for(self.logs), timedelta(hours=self.overlap_hours)
        look_over(self, iter_log_objects(store, self.logs, window, overlap), window)
        harvest = harvest_logs(
            self.store_for(self.logs),
            self.logs,
            self.selection(window),
            salt=self.salt or self.workload,
            limit=self.limit,
            answer_rule=self.answer_rule,
            redact=redaction_of(self.redact, self.detectors),
            overlap=timedelta(hours=self.overlap_hours),
            now=wall_clock(),
            pause=time.sleep,
            forgotten=self._forgotten(),
        )
        return window, "harvest", harvest

    def _forgotten(self) -> Tombstones | None:
        from airflow_distill.stages.forgotten import read_tombstones

        return read_tombstones(self.store_for(self.root), self.root, self.workload)

    def _harvest_shard(self) -> tuple[Window, str, Harvest]:
        from airflow_distill.stages.logs.harvest import ShardTask, patience_for
        from airflow_distill.stages.logs.plan import read_plan, shard_of, window_folder
        from airflow_distill.stages.logs.surplus import Surplus, bounds_folder

        plan = read_plan(self.store_for(self.root), str(self.shard["plan"]))
        shard = shard_of(plan, self.shard)
        task = ShardTask(
            self.selection(plan.window),
            self.salt or self.workload,
            self.limit,
            self.answer_rule,
            redaction_of(self.redact, self.detectors),
            self._forgotten(),
        )
        overlap = timedelta(hours=self.overlap_hours)
        patience = patience_for(plan.window, overlap, wall_clock(), time.sleep)
        surplus = None
        if shard.of > 1:
            folder = window_folder(self.root, self.workload, plan.window)
            bounds = bounds_folder(folder, [plan.digest, *task.settings()])
            surplus = Surplus(self.store_for(self.root), bounds, shard.name)
        harvest = task.run(self.store_for(self.logs), shard, patience, surplus=surplus)
        return plan.window, shard.name, harvest


class MergeHarvestOperator(_LogsOperator):
    """Puts the parts of a mapped harvest together; returns the receipt of the whole.

    :param harvests: the receipts of the mapped tasks (templated).
    :param workload: the workload's name (templated).
    :param root: where the project keeps its objects, `s3://bucket/prefix` (templated).
    """

    template_fields: Sequence[str] = (*DistillOperator.template_fields, "harvests", "workload", "root")

    def __init__(self, *, harvests: Any, workload: str, root: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.harvests = harvests
        self.workload = workload
        self.root = root

    def work(self, context: Any) -> dict[str, Any]:
        """Read the shard files, merge, write the merged one."""
        from airflow_distill.stages.logs.harvest import read_harvest
        from airflow_distill.stages.logs.plan import window_folder
        from airflow_distill.stages.logs.selection import Window
        from airflow_distill.stages.logs.surplus import forget_bounds

        receipts = list(_receipts(self.harvests))
        windows = {tuple(receipt["window"]) for receipt in receipts}
        if len(windows) != 1:
            raise ConfigurationError(
                f"logs: the {len(receipts)} parts to merge cover {len(windows)} windows.",
                hint="Merge the receipts of one mapped HarvestLogsOperator.",
            )
        window = Window.parse(*windows.pop())
        uris = [uri for receipt in receipts for uri in receipt["shards"]]
        harvest = read_harvest(self.store_for(self.root), uris)
        folder = window_folder(self.root, self.workload, window)
        receipt = write_harvest(self, harvest, window, join_uri(folder, "harvest.jsonl.gz"))
        forget_bounds(self.store_for(folder), folder)
        return receipt


def _receipts(harvests: Any) -> Iterable[dict[str, Any]]:
    given = [harvests] if isinstance(harvests, Mapping) else list(harvests or ())
    for receipt in given:
        if not isinstance(receipt, Mapping) or receipt.get("kind") != "harvest":
            raise ConfigurationError(
                "logs: `harvests` contains something that is not a harvest receipt.",
                hint="Pass the mapped task's output.",
            )
        yield dict(receipt)


def look_over(operator: Any, objects: Iterable[StoredObject], window: Window) -> None:
    """Tell the hours of the window without log objects.

    :raises ConfigurationError: nothing lies under the operator's prefix, whatever the window.
    """
    from airflow_distill.stages.logs.coverage import coverage, require_logs

    uris = [item.uri for item in objects]
    if not uris:
        require_logs(operator.store_for(operator.logs), operator.logs)
        operator.log.warning(
            "The window %s to %s has no log object; it was quiet, or logging was off.",
            window.start,
            window.end,
        )
        return
    found = coverage(uris, window)
    if found is None:
        return
    if found.worth_telling:
        operator.log.warning("%s. It was quiet then, or logging was off.", found)
    else:
        operator.log.info("%s.", found)


def write_harvest(operator: Any, harvest: Harvest, window: Window, uri: str) -> dict[str, Any]:
    """Write a harvest for an operator, say what came of it, and return the receipt."""
    harvest.save(operator.store_for(uri), uri)
    counts = harvest.counts
    operator.log.info(
        "Kept %s of %s lines in %s; skipped: %s", counts.kept, counts.lines, uri, counts.skipped
    )
    if counts.objects.get("damaged"):
        operator.log.warning(
            "%s log objects are cut off, corrupt or hold no JSON; their keys are in the lines above.",
            counts.objects["damaged"],
        )
    return {
        "kind": "harvest",
        "v": 1,
        "workload": operator.workload,
        "window": [window.start, window.end],
        "shards": [uri],
        "lines": counts.lines,
        "kept": counts.kept,
        "skipped": dict(sorted(counts.skipped.items())),
        "salt_digest": harvest.settings["salt_digest"],
        "objects": counts.objects,
        "bodies": counts.bodies,
    }
