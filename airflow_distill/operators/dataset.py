"""Operators of the dataset stage: curate what was harvested; check a dataset, or logs, before anything is paid for.

They read and write the bucket and hand on receipts. What is decided is decided in `stages/dataset`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_distill.aws.gateways import store_for
from airflow_distill.errors import (
    ConfigurationError,
    DatasetRejectedError,
    DatasetTooSmallError,
    LogFormatError,
    StateError,
)
from airflow_distill.operators.base import DistillOperator
from airflow_distill.operators.code_paths import refuse_detectors
from airflow_distill.operators.task import settings_read
from airflow_distill.stages.digest import sha256_hex
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore, join_uri

if TYPE_CHECKING:
    from airflow_distill.stages.dataset.build import Built
    from airflow_distill.stages.dataset.checks import CheckReport
    from airflow_distill.stages.dataset.curate import CurateSettings
    from airflow_distill.stages.dataset.feedback import Feedback
    from airflow_distill.stages.dataset.golden import GoldenSet
    from airflow_distill.stages.dataset.worth import WorthPolicy
    from airflow_distill.stages.logs.harvest import HarvestCounts
    from airflow_distill.stages.logs.metadata import MetadataFilter


class _DatasetOperator(DistillOperator):
    """What the operators share: the store that fits a URI."""

    def store_for(self, uri: str) -> ObjectStore:
        """The bucket's store, or folders when the URI is a path."""
        return store_for(self.gateways, uri)


class CurateDatasetOperator(_DatasetOperator):
    """Turns harvested interactions into a curated, checked and split dataset with a manifest; returns its receipt.

    The same harvest and settings give the same dataset, to the byte, however often the task runs.

    :param harvest: the harvest's receipt, or those of the parts of one window (templated).
    :param workload: the workload's name (templated).
    :param root: where the project keeps its objects, `s3://bucket/prefix` (templated).
    :param teacher: the teacher model's id (templated).
    :param student: the student model's id (templated).
    :param salt: fixes which prompts are held out; never change it. The workload's name when left out (templated).
    :param settings: more of `CurateSettings` as a dict: `limit`, `heldout`, `with_answers`, `redact`, `drop_refusals`,
        `max_characters`, `near_duplicates`, `contamination`, `balance_by`, `balance_ratio`,
        `golden_share`, `keep`, `feedback`, `liked_from`, `feedback_name`, `thinking`, `reserved_words` (templated).
    :param detectors: import paths of more detectors, `package.module:function`, written out in the Dag file.
    :param golden: URI of a file of examples that people answered; they judge every student and, without `golden_share` in
        the settings, teach none. Empty for none (templated).
    :param feedback: URI of a file or prefix of feedback on single answers, used as `feedback` and `liked_from` of the
        settings say; empty for none (templated).
    :param lost: share of log lines or log objects that may be broken; more fails the task before anything is written. None
        tells it only (templated).
    :param live_manifest: URI of the manifest of the dataset behind the live model; empty for none (templated).
    :param saving: what a student would save a month, in the price table's currency; None when unknown (templated).
    :param worth: when a new student pays, as a dict of `WorthPolicy` (templated).
    :param skip_when_not_worth: end as skipped, after writing the figures, when a new student would not pay, or when a quiet
        window leaves fewer records than the service takes.
    """

    import_paths = ("detectors",)
    needs_turn = True
    template_fields: Sequence[str] = (
        *DistillOperator.template_fields,
        "harvest",
        "workload",
        "root",
        "teacher",
        "student",
        "salt",
        "settings",
        "golden",
        "feedback",
        "lost",
        "live_manifest",
        "saving",
        "worth",
    )

    def __init__(
        self,
        *,
        harvest: Any,
        workload: str,
        root: str,
        teacher: str,
        student: str,
        salt: str = "",
        settings: Mapping[str, Any] | None = None,
        detectors: Sequence[str] = (),
        golden: str = "",
        feedback: str = "",
        lost: float | None = None,
        live_manifest: str = "",
        saving: Any = None,
        worth: Mapping[str, Any] | None = None,
        skip_when_not_worth: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.harvest = harvest
        self.workload = workload
        self.root = root
        self.teacher = teacher
        self.student = student
        self.salt = salt
        self.settings = settings
        self.detectors = self.written_paths(detectors, "detectors")
        self.golden = golden
        self.feedback = feedback
        self.lost = lost
        self.live_manifest = live_manifest
        self.saving = saving
        self.worth = worth
        self.skip_when_not_worth = skip_when_not_worth

    def work(self, context: Any) -> dict[str, Any]:
        """Read the shards, curate, write, judge."""
        from airflow_distill.stages.dataset.build import WorthQuestion, build_dataset
        from airflow_distill.stages.dataset.checks import LEAST_RECORDS
        from airflow_distill.stages.dataset.manifest import Source
        from airflow_distill.stages.dataset.worth import TOO_FEW
        from airflow_distill.stages.logs.harvest import read_harvest

        receipts = receipts_of(self.harvest)
        store = self.store_for(self.root)
        settings = settings_of(self.settings, self.salt or self.workload, self.detectors)
        uris = [uri for receipt in receipts for uri in receipt["shards"]]
        harvest = read_harvest(store, uris)
        self._refuse_loss(harvest.counts)
        built = build_dataset(
            store,
            join_uri(self.root, self.workload),
            harvest.interactions(),
            Source(
                workload=self.workload,
                teacher=self.teacher,
                window=(receipts[0]["window"][0], receipts[-1]["window"][1]),
                lines=harvest.counts.lines,
                kept=harvest.counts.kept,
                skipped=harvest.counts.skipped,
                objects=harvest.counts.objects,
            ),
            settings,
            student=self.student,
            golden=self._read_golden(),
            feedback=self._read_feedback(settings),
            worth=WorthQuestion(
                policy=policy_of(self.worth),
                live_manifest_uri=_given(self.live_manifest),
                saving=float(_given(self.saving)) if _given(self.saving) else None,
            ),
        )
        self._tell(built)
        receipt = built.package.receipt(built.worth)
        quiet = built.worth.reason == TOO_FEW
        if (built.package.accepted or quiet) and not built.worth.worth_it and self.skip_when_not_worth:
            context["ti"].xcom_push(key="return_value", value=receipt)
            if quiet:
                raise AirflowSkipException(
                    f"dataset: a quiet window: {receipt['train_records']} records are left to train on, the service takes "
                    f"no fewer than {LEAST_RECORDS}; {harvest.counts.kept} of {harvest.counts.lines} log lines were kept. "
                    "Widen logs.window, or check the filter if there should be more."
                )
            raise AirflowSkipException(
                f"dataset: {receipt['dataset_id']} is not worth a new student ({built.worth.reason}): "
                f"{dict(built.worth.figures)}"
            )
        return receipt

    def _refuse_loss(self, counts: HarvestCounts) -> None:
        from airflow_distill.stages.logs.reasons import lost_share, lost_words

        share = lost_share(counts.lines, counts.skipped, counts.objects)
        if not share:
            return
        words = lost_words(counts.skipped, counts.objects)
        if self.lost is not None and share > self.lost:
            raise LogFormatError(
                f"dataset: {share:.2%} of the logs could not be read, {self.lost:.2%} is allowed: {words}.",
                hint="Copy the objects again from the bucket (the harvest's log names them), or accept the loss: "
                "logs.lost in the workload file, lost of the operator.",
            )
        self.log.warning("%.2f%% of the logs could not be read: %s", 100 * share, words)

    def _read_golden(self) -> GoldenSet | None:
        from airflow_distill.stages.dataset.golden import golden_set

        if not _given(self.golden):
            return None
        try:
            data = self.store_for(self.golden).read(self.golden)
        except ObjectMissingError as error:
            raise ConfigurationError(
                f"dataset: there is no golden file at {self.golden}.",
                hint="Give its URI, or leave golden out.",
            ) from error
        golden = golden_set(self.golden, data)
        self.log.info(
            "golden set: %d examples, %d other lines, SHA-256 %s",
            golden.file.records,
            golden.unread,
            golden.file.sha256,
        )
        for item in golden.findings[:20]:
            self.log.warning("golden file, line %d: %s (%s)", item.line, item.code, item.fix)
        return golden

    def _read_feedback(self, settings: CurateSettings) -> Feedback | None:
        from airflow_distill.stages.dataset.build import feedback_for

        uri = _given(self.feedback)
        if not uri:
            return None
        found = feedback_for(self.store_for(uri), uri, settings)
        self.log.info(
            "feedback: %d records on %d answers, %s not read",
            found.records,
            found.to_json()["answers"],
            dict(found.unread) or "none",
        )
        return found

    def _tell(self, built: Built) -> None:
        """Counts and digests only: no text ever reaches the log."""
        manifest = built.package.manifest
        self.log.info("dataset %s: %s", manifest.dataset_id, dict(manifest.counts))
        self.log.info("skipped %s, dropped %s", dict(manifest.skipped), dict(manifest.dropped))
        said = manifest.profile.get("feedback")
        if said and not said["joined"]:
            self.log.warning(
                "No feedback speaks of an answer of this window, by request id, trace id or prompt digest."
            )
        self.log.info("redacted %s, checks %s", manifest.profile["redacted"], manifest.profile["checks"])
        self.log.info(
            "worth it: %s (%s) %s", built.worth.worth_it, built.worth.reason, dict(built.worth.figures)
        )


class CheckDatasetOperator(_DatasetOperator):
    """Checks a dataset before it is paid for: nothing changed since it was made, and the service will take it.

    Returns the receipt it was given, so it can stand between curation and the job.

    :param dataset: the dataset's receipt (templated).
    """

    template_fields: Sequence[str] = (*DistillOperator.template_fields, "dataset")

    def __init__(self, *, dataset: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset

    def work(self, context: Any) -> dict[str, Any]:
        """Compare digests and run every rule over the training file."""
        from airflow_distill.stages.dataset.checks import PromptCheck
        from airflow_distill.stages.dataset.families import family_of

        receipt = dict(self.dataset)
        store = self.store_for(receipt["manifest_uri"])
        manifest = _unchanged(store, receipt["manifest_uri"], receipt["manifest_sha256"])
        train = json.loads(manifest)["train"]
        data = _unchanged(store, train["uri"], train["sha256"])
        form = json.loads(manifest)["settings"].get("form", "conversation")
        check = PromptCheck(family_of(receipt["student"]), form=form)
        check.read(io.BytesIO(data))
        report = check.finish()
        self.log.info(
            "%d records, %d accepted, findings %s", report.records, report.accepted, dict(report.counts)
        )
        raise_if_rejected(report)
        return receipt


class CheckLogsOperator(_DatasetOperator):
    """Counts what a job that reads the invocation logs itself would be able to use, before it is paid for.

    Returns counts: `usable` for sure, `unsure` where the documentation is silent (bodies stored beside the log,
    model ids in profile form), and the rest by code.

    :param logs: the log prefix that the job will be given (templated).
    :param teacher: the teacher model's id, in the form the job will name it (templated).
    :param metadata: the request-metadata filter in the service's own shape, or pairs that must all match
        (templated).
    :param window_start: count only records from this moment on; all when left out (templated).
    :param window_end: count only records before this moment (templated).
    """

    template_fields: Sequence[str] = (
        *DistillOperator.template_fields,
        "logs",
        "teacher",
        "metadata",
        "window_start",
        "window_end",
    )

    def __init__(
        self,
        *,
        logs: str,
        teacher: str,
        metadata: Mapping[str, Any] | None = None,
        window_start: str = "",
        window_end: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.logs = logs
        self.teacher = teacher
        self.metadata = metadata
        self.window_start = window_start
        self.window_end = window_end

    def work(self, context: Any) -> dict[str, Any]:
        """Read the log objects and count."""
        from airflow_distill.aws.profiles import profile_lookup
        from airflow_distill.stages.logs.preflight import LEAST_USABLE, LogCheck
        from airflow_distill.stages.logs.selection import Selection, Window
        from airflow_distill.stages.logs.source import iter_log_objects

        window = None
        if _given(self.window_start) and _given(self.window_end):
            window = Window.parse(self.window_start, self.window_end)
        lookup = profile_lookup(self.logs, lambda: self.gateways.bedrock)
        wanted = Selection(
            model=self.teacher, metadata=_filter_of(self.metadata), window=window, lookup=lookup
        )
        check = LogCheck(wanted)
        store = self.store_for(self.logs)
        objects = 0
        for item in iter_log_objects(store, self.logs, window):
            objects += 1
            with store.open(item.uri) as stream:
                check.read(stream, item.uri)
        report = check.finish()
        counts = dict(sorted(report.counts.items()))
        self.log.info(
            "%d objects, %d lines: %d usable, %d unsure, %s",
            objects,
            report.lines,
            report.usable,
            report.unsure,
            counts,
        )
        if report.usable + report.unsure < LEAST_USABLE:
            raise DatasetTooSmallError(
                f"dataset: {report.usable} of {report.lines} log records can be used, the service needs {LEAST_USABLE}: "
                f"{counts}.",
                usable=report.usable,
                needed=LEAST_USABLE,
                hint="Widen the filter or the period, or wait for more traffic.",
            )
        return {
            "kind": "log_check",
            "v": 1,
            "logs": self.logs,
            "teacher": self.teacher,
            "objects": objects,
            "lines": report.lines,
            "usable": report.usable,
            "unsure": report.unsure,
            "counts": counts,
        }


def raise_if_rejected(report: CheckReport) -> None:
    """Raise what a check's report amounts to.

    :raises DatasetTooSmallError: too few records, and nothing else is wrong.
    :raises DatasetRejectedError: the report has errors.
    """
    from airflow_distill.stages.dataset.checks import LEAST_RECORDS

    if report.valid:
        return
    if report.counts["too_few_records"] and report.errors == 1:
        raise DatasetTooSmallError(
            f"dataset: {report.accepted} usable records, the service needs {LEAST_RECORDS}.",
            usable=report.accepted,
            needed=LEAST_RECORDS,
            hint="Widen the window or the filter, or wait for more traffic.",
        )
    first = tuple(item.to_json() for item in report.findings if item.severity == "error")[:5]
    raise DatasetRejectedError(
        f"dataset: the check found {report.errors} errors: {dict(report.counts)}.",
        counts=report.counts,
        findings=first,
        hint="Each finding says what to do; docs/guides/dataset.md lists the codes.",
    )


def receipts_of(value: Any) -> list[Mapping[str, Any]]:
    """Return harvest receipts, oldest window first, from one, or from the list that mapped tasks give.

    :raises ConfigurationError: there is none, or something else was handed in.
    """
    found = [value] if isinstance(value, Mapping) else list(value or ())
    if not found or any(not isinstance(item, Mapping) or item.get("kind") != "harvest" for item in found):
        raise ConfigurationError(
            "dataset: `harvest` is not a harvest receipt.", hint="Pass the output of HarvestLogsOperator."
        )
    return sorted(found, key=lambda receipt: tuple(receipt["window"]))


def settings_of(values: Mapping[str, Any] | None, salt: str, detectors: Sequence[str] = ()) -> CurateSettings:
    """Return the curation settings of a plain dict, which cannot name detectors, and of detectors.

    :raises ConfigurationError: a name is unknown or a value out of range.
    """
    from airflow_distill.stages.dataset.curate import CurateSettings

    refuse_detectors(values)
    known = settings_read(CurateSettings, values, "settings")
    for name in ("keep", "feedback"):
        if name in known:
            known[name] = tuple(known[name])
    try:
        return CurateSettings(**{"salt": salt, **known}, detectors=tuple(detectors))
    except TypeError as error:
        raise ConfigurationError(
            f"dataset: the settings {sorted(known)} are not all known or of the right type.",
            hint="See CurateSettings in docs/guides/dataset.md.",
        ) from error


def policy_of(values: Mapping[str, Any] | None) -> WorthPolicy:
    """Return the worth-it policy of a plain dict.

    :raises ConfigurationError: a name is unknown or a value out of range.
    """
    from airflow_distill.stages.dataset.worth import WorthPolicy

    try:
        return WorthPolicy(**settings_read(WorthPolicy, values, "worth"))
    except TypeError as error:
        raise ConfigurationError(
            f"dataset: the worth-it policy {sorted(values or {})} has an unknown name.",
            hint="See WorthPolicy in docs/guides/dataset.md.",
        ) from error


def _given(value: Any) -> Any:
    """Return a templated value, or an empty text when a template made nothing of it."""
    return "" if value in (None, "", "None") else value


def _filter_of(metadata: Mapping[str, Any] | None) -> MetadataFilter | None:
    from airflow_distill.stages.logs.metadata import MetadataFilter

    if not metadata:
        return None
    if all(isinstance(value, str) for value in metadata.values()):
        return MetadataFilter.from_pairs(metadata)
    return MetadataFilter.from_json(metadata)


def _unchanged(store: ObjectStore, uri: str, sha256: str) -> bytes:
    """Return an object's bytes if they are still those of the receipt."""
    try:
        data = store.read(uri)
    except ObjectMissingError as error:
        raise StateError(
            f"dataset: {uri} is gone.", hint="Clear the curate task to write it again."
        ) from error
    if sha256_hex(data) != sha256:
        raise DatasetRejectedError(
            f"dataset: {uri} changed after it was made.",
            counts={"changed": 1},
            hint="Clear the curate task to write it again.",
        )
    return data
