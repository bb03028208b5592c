"""The dataset card: a manifest and its verdict as a page for people.

Takes a manifest and a `Worth`, hands on Markdown: where the data came from, what was kept and dropped and why, what
it looks like, how it differs from the dataset behind the live model. Figures, codes and digests only, never any
text of a prompt. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_distill.stages.dataset.checks import CODES
from airflow_distill.stages.dataset.drop import EXPLAINED, DropReason
from airflow_distill.stages.dataset.records import DatasetFile, DatasetManifest
from airflow_distill.stages.dataset.worth import Worth

REASONS = {
    "first": "there is no live model's dataset to compare with",
    "enough_new": "enough prompts are new to the live model",
    "drift": "the traffic is not what the live model was taught",
    "little_new": "too few prompts are new to the live model, and the traffic is what it was",
    "nothing_to_save": "a student would save too little",
}


_OBJECTS = {
    "read": "read whole",
    "damaged": "cut off or corrupt; what could be read of them is used",
    "foreign": "no logs: they hold no records",
    "missing": "gone between listing and reading",
}


def dataset_card(manifest: DatasetManifest, worth: Worth, *, accepted: bool) -> str:
    """Return the card of a dataset."""
    counts = manifest.counts
    verdict = "worth a new student" if worth.worth_it else "not worth a new student"
    profile = manifest.profile
    parts = [
        f"# Dataset {manifest.dataset_id}",
        f"{counts['train']:,} prompts to teach and {counts['heldout']:,} to judge by, for {manifest.workload}. "
        f"{'The service would take it' if accepted else 'The service would refuse it'}; "
        f"{verdict}: {REASONS.get(worth.reason, worth.reason)}.",
        _table(
            ("", ""),
            [
                ("teacher", manifest.teacher),
                ("student", manifest.student or "not named"),
                (
                    "window",
                    " to ".join(filter(None, (manifest.window_start, manifest.window_end))) or "all logs",
                ),
                (
                    "answers",
                    "written as golden labels"
                    if manifest.with_answers
                    else "asked of the teacher by the job",
                ),
                *_file_rows(manifest),
            ],
        ),
        "## From log lines to prompts",
        _table(("", "reason", "count", "meaning"), [*_count_rows(manifest)]),
        "## What it looks like",
        _table(("", "train", "held-out"), [*_profile_rows(profile["train"], profile["heldout"])]),
    ]
    if profile.get("taught_judges"):
        parts.append(
            f"{profile['taught_judges']:,} held-out prompts are near to what an earlier student was taught. They "
            "judge all the same: this student is not taught them. A live student may score too well on them."
        )
    if profile.get("feedback"):
        parts += [*_feedback_parts(profile["feedback"])]
    if profile.get("redacted"):
        parts += [
            "## Redacted",
            _table(("kind", "count"), [(k, f"{n:,}") for k, n in profile["redacted"].items()]),
        ]
    parts += [*_drop_parts(profile)]
    if profile.get("checks"):
        parts += [
            "## What the check says",
            _table(
                ("code", "count", "meaning"),
                [(code, f"{n:,}", CODES[code].message) for code, n in profile["checks"].items()],
            ),
        ]
    if "drift" in worth.figures:
        parts += ["## Against the live model's dataset", _table(("", ""), [*_difference_rows(worth.figures)])]
    parts += ["## Settings", _table(("", ""), [(k, str(v)) for k, v in sorted(manifest.settings.items())])]
    return "\n\n".join(parts) + "\n"


def _feedback_parts(feedback: Mapping[str, Any]) -> Iterable[str]:
    yield "## Feedback"
    told = f"{feedback['records']:,} records speak of {feedback['answers']:,} answers; {feedback['joined']:,} are here."
    if not feedback["joined"]:
        told += " None was found by its request id or its prompt's digest: look at how the two are made."
    yield f"{told} SHA-256 of the files: {feedback['sha256']}."
    if feedback["unread"]:
        yield _table(("not read", "count"), [(code, f"{n:,}") for code, n in feedback["unread"].items()])


def _drop_parts(profile: Mapping[str, Any]) -> Iterable[str]:
    """What was dropped, by digests: enough to look a prompt up in the logs, too little to read it here."""
    if profile.get("thinking_removed"):
        yield "## Thinking"
        yield f"Thinking was taken out of the answers of {profile['thinking_removed']:,} records."
    if profile.get("dropped_digests"):
        yield "## The first that each rule dropped"
        rows = [(reason, " ".join(ids)) for reason, ids in profile["dropped_digests"].items()]
        yield _table(("rule", "digests of prompts"), rows)
    if profile.get("near_pairs"):
        yield "## Near copies, a sample"
        yield _table(("kept", "dropped"), [(kept, dropped) for kept, dropped in profile["near_pairs"]])


def _file_rows(manifest: DatasetManifest) -> Iterable[tuple[str, str]]:
    if manifest.golden:
        golden = manifest.golden
        # The name only: a bucket's folders may say what nobody outside needs to know.
        yield (
            "golden set",
            f"{golden.uri.rsplit('/', 1)[-1]}: {golden.records:,} examples, SHA-256 {golden.sha256}",
        )
    files: tuple[DatasetFile | None, ...] = (manifest.train, manifest.heldout, manifest.findings)
    for file in filter(None, files):
        name = file.uri.rsplit("/", 1)[-1]
        yield name, f"{file.records:,} lines, {file.bytes:,} bytes, SHA-256 {file.sha256}"


def _count_rows(manifest: DatasetManifest) -> Iterable[tuple[str, ...]]:
    counts = manifest.counts
    for what, meaning in _OBJECTS.items():
        if counts.get(f"objects_{what}"):
            yield "log objects", what, f"{counts[f'objects_{what}']:,}", meaning
    yield "lines read", "", f"{counts['lines']:,}", ""
    for reason, count in manifest.skipped.items():
        yield "skipped", reason, f"{count:,}", ""
    yield "kept", "", f"{counts['kept']:,}", ""
    for reason, count in manifest.dropped.items():
        yield "dropped", reason, f"{count:,}", EXPLAINED[DropReason(reason)][0]
    yield "train", "", f"{counts['train']:,}", ""
    yield "held-out", "", f"{counts['heldout']:,}", ""


def _profile_rows(train: Mapping[str, Any], heldout: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    for name in ("examples", "multi_turn", "with_system", "golden", "input_tokens", "output_tokens"):
        yield name.replace("_", " "), f"{train[name]:,}", f"{heldout[name]:,}"
    for name in ("prompt_characters", "answer_characters"):
        for quantile in train[name]:
            other = heldout[name].get(quantile, 0)
            yield f"{name.replace('_', ' ')}, {quantile}", f"{train[name][quantile]:,}", f"{other:,}"
    yield "labels", f"{len(train['labels']):,}", f"{len(heldout['labels']):,}"
    for key, entry in train["metadata"].items():
        values = entry.get("values")
        if values is None:
            yield f"metadata {key}", f"{entry['distinct']:,} values", ""
            continue
        theirs = heldout["metadata"].get(key, {}).get("values", {})
        for value, count in values.items():
            yield f"metadata {key} = {value}", f"{count:,}", f"{theirs.get(value, 0):,}"


def _difference_rows(figures: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield "new training prompts", f"{figures['new']:,} ({figures['new_share']:.0%})"
    for aspect, value in figures["drift"].items():
        yield f"distance in {aspect}", f"{value:.3f}"
    if "saving" in figures:
        yield "saving a month", f"{figures['saving']:,.2f}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
