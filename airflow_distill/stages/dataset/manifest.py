"""A curated dataset as files: what is written, how it is named, and the receipt that speaks for it.

Takes `Curated` rows and what the harvest counted, hands on the bytes of every file, the manifest and its digest. A
dataset's id is the digest of its content and of the settings that made it, so making it twice writes the same bytes
to the same place. Standard library and the stage's own modules only; writing is the caller's business.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_distill.stages.dataset.checks import CheckReport, PromptCheck
from airflow_distill.stages.dataset.curate import Curated, CurateSettings
from airflow_distill.stages.dataset.drop import EXPLAINED
from airflow_distill.stages.dataset.families import family_of
from airflow_distill.stages.dataset.feedback import Feedback
from airflow_distill.stages.dataset.fingerprints import encode_fingerprints
from airflow_distill.stages.dataset.golden import GoldenSet
from airflow_distill.stages.dataset.jsonl import describe_file, encode_line, heldout_lines, train_lines
from airflow_distill.stages.dataset.profile import profile_examples
from airflow_distill.stages.dataset.records import DatasetManifest, Finding
from airflow_distill.stages.dataset.worth import Worth
from airflow_distill.stages.digest import canonical_json, digest, sha256_hex
from airflow_distill.stages.model_table import Form
from airflow_distill.stages.storage import join_uri

ID_LENGTH = 16
FOLDER = "datasets/{dataset_id}"
GOLDEN_UNREAD = "golden_not_read"
"""Reason under which lines of the golden file are counted that hold no golden example."""


@dataclass(frozen=True, slots=True)
class Source:
    """What the harvest says about where the interactions came from."""

    workload: str
    teacher: str
    window: tuple[str, str]
    lines: int
    kept: int
    skipped: Mapping[str, int]
    objects: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Package:
    """A dataset ready to be written: bytes by URI, in the order to write them, the manifest last."""

    manifest: DatasetManifest
    manifest_uri: str
    report: CheckReport
    files: Mapping[str, bytes]

    @property
    def manifest_bytes(self) -> bytes:
        """The manifest as it is on disk."""
        return self.files[self.manifest_uri]

    @property
    def accepted(self) -> bool:
        """Whether the service would take the training file."""
        return self.report.valid

    def receipt(self, worth: Worth) -> dict[str, Any]:
        """Return what goes through XCom."""
        manifest = self.manifest
        accepted = self.accepted
        return {
            "kind": "dataset",
            "v": 1,
            "workload": manifest.workload,
            "dataset_id": manifest.dataset_id,
            "manifest_uri": self.manifest_uri,
            "manifest_sha256": sha256_hex(self.manifest_bytes),
            "train_uri": manifest.train.uri,
            "train_records": manifest.train.records,
            "heldout_uri": manifest.heldout.uri,
            "heldout_records": manifest.heldout.records,
            "with_answers": manifest.with_answers,
            **({"form": form} if (form := manifest.settings.get("form")) else {}),
            "teacher": manifest.teacher,
            "student": manifest.student,
            "window": [manifest.window_start, manifest.window_end],
            "lines": manifest.counts["lines"],
            "kept": manifest.counts["kept"],
            "skipped": dict(manifest.skipped),
            "dropped": dict(manifest.dropped),
            "accepted": accepted,
            "worth_it": accepted and worth.worth_it,
            "reason": worth.reason if accepted else next(iter(_errors(self.report)), "rejected"),
        }


def package(
    curated: Curated,
    settings: CurateSettings,
    source: Source,
    *,
    student: str,
    place: str,
    folder: str = FOLDER,
    golden: GoldenSet | None = None,
    feedback: Feedback | None = None,
) -> Package:
    """Return the dataset's files.

    :param place: where the workload's objects live, `<root>/<workload>`.
    :param folder: where the files go below it. When it is empty they go to `place` itself, and the manifest names
        them without a folder, so that the whole can be moved.
    :param golden: the golden set whose examples are among the rows; its digest is part of the dataset's id.
    :param feedback: what was said of the answers; its files' digest is part of the id too.
    """
    train, heldout = curated.train, curated.heldout
    train_bytes = b"".join(train_lines(train, with_answers=settings.with_answers, form=settings.form))
    heldout_bytes = b"".join(heldout_lines(heldout))
    dataset_id = digest(
        {
            "settings": settings.to_json(),
            "workload": source.workload,
            "teacher": source.teacher,
            "student": student,
            "window": list(source.window),
            "train": sha256_hex(train_bytes),
            "heldout": sha256_hex(heldout_bytes),
            **({"golden": golden.file.sha256} if golden else {}),
            **({"feedback": feedback.digest} if feedback else {}),
        },
        ID_LENGTH,
    )
    report = _check(train_bytes, student, settings.form)
    lines = list(_finding_lines(curated, report, golden))
    base = join_uri(place, folder.format(dataset_id=dataset_id)) if folder else ""
    train_uri, heldout_uri, findings_uri, manifest_uri = (
        join_uri(base, name) if base else name
        for name in ("train.jsonl", "heldout.jsonl", "findings.jsonl", "manifest.json")
    )
    by_hand = sum(row.source == "golden" for row in curated.rows)
    unread = golden.unread if golden else 0
    manifest = DatasetManifest(
        dataset_id=dataset_id,
        workload=source.workload,
        teacher=source.teacher,
        student=student,
        window_start=source.window[0],
        window_end=source.window[1],
        train=describe_file(train_uri, train_bytes, len(train)),
        heldout=describe_file(heldout_uri, heldout_bytes, len(heldout)),
        findings=describe_file(findings_uri, b"".join(lines), len(lines)),
        with_answers=settings.with_answers,
        counts={
            "lines": source.lines + by_hand + unread,
            "kept": source.kept + by_hand,
            "train": len(train),
            "heldout": len(heldout),
            "golden": by_hand,
            **{f"objects_{what}": count for what, count in sorted(source.objects.items())},
        },
        skipped=dict(sorted([*source.skipped.items(), *([(GOLDEN_UNREAD, unread)] if unread else [])])),
        dropped=curated.dropped,
        settings=settings.to_json(),
        profile={
            "train": profile_examples(train),
            "heldout": profile_examples(heldout),
            "redacted": dict(sorted(curated.redacted.items())),
            "thinking_removed": curated.thinking_removed,
            **({"taught_judges": curated.taught_judges} if curated.taught_judges else {}),
            **({"feedback": feedback.to_json()} if feedback else {}),
            "dropped_digests": curated.dropped_digests,
            "near_pairs": [list(pair) for pair in curated.near_pair_digests],
            "template_hashes": len(curated.template),
            "shared_openings": len(curated.shared),
            "checks": dict(sorted(report.counts.items())),
        },
        golden=golden.file if golden else None,
    )
    files = {
        train_uri: train_bytes,
        heldout_uri: heldout_bytes,
        findings_uri: b"".join(lines),
        manifest_uri: canonical_json(manifest.to_json()) + b"\n",
    }
    return Package(manifest, manifest_uri, report, files)


def ledger_files(curated: Curated, dataset_id: str, place: str) -> dict[str, bytes]:
    """Return the fingerprints of both sides by URI; to be written before the dataset is used for anything."""
    sides = {"heldout": curated.heldout, "train": curated.train}
    return {
        join_uri(place, "fingerprints", side, f"{dataset_id}.bin"): encode_fingerprints(
            dataset_id, side, curated.template, curated.fingerprints(examples)
        )
        for side, examples in sides.items()
    }


def _check(train: bytes, student: str, form: Form) -> CheckReport:
    check = PromptCheck(family_of(student), form=form)
    check.read(io.BytesIO(train))
    return check.finish()


def _errors(report: CheckReport) -> Iterator[str]:
    return (item.code for item in report.findings if item.severity == "error")


def _finding_lines(curated: Curated, report: CheckReport, golden: GoldenSet | None) -> Iterator[bytes]:
    """What happened to each row that was dropped, then what is wrong with the golden and the training file."""
    for row in curated.rows:
        if row.reason is not None:
            message, fix = EXPLAINED[row.reason]
            yield encode_line(
                Finding(row.line, row.reason.value, message, fix, row.source, "dropped").to_json()
            )
    for item in golden.findings if golden else ():
        yield encode_line({**item.to_json(), "path": "golden"})
    for item in report.findings:
        yield encode_line({**item.to_json(), "path": "train.jsonl"})
