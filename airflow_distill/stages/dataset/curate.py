"""Interactions become a dataset: the one place where the steps of curation are chained and counted.

    drop -> redact -> exact, then near duplicates -> balance -> contamination -> split -> limit -> golden share

Takes interactions in a stable order (the harvest's), golden examples and the contamination ledger; hands on
`Curated`. Every step marks rows with a reason and none removes them in silence, so rows in = train + held-out +
dropped by reason, always. The same input gives the same bytes. Standard library and the stage's own modules only;
reading shards and writing files is the caller's business.

Sides. A row's side is decided by its conversation's opening and the salt alone (`split`). Near copies that hash to
different sides are kept apart by dropping, never by moving: training candidates near a held-out prompt of this or
any earlier dataset, and held-out candidates near what any earlier student was taught.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.balance import stratum_by, surplus
from airflow_distill.stages.dataset.dedupe import (
    Sketch,
    Sketcher,
    are_near_exactly,
    find_copies,
    find_template,
    folded_words,
    similarity,
    text_of,
)
from airflow_distill.stages.dataset.drop import DropReason, drop_reason, drop_rules
from airflow_distill.stages.dataset.families import family_of
from airflow_distill.stages.dataset.fingerprints import Candidates, Fingerprint, LedgerFile
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.dataset.redact import Detector, load_detectors, redact
from airflow_distill.stages.dataset.split import is_heldout, prompt_key, shared_openings, side_key
from airflow_distill.stages.digest import digest
from airflow_distill.stages.logs.records import Interaction

VERSION = 2
"""Raised whenever the same input may give another dataset; part of every dataset id."""


@dataclass(frozen=True, slots=True)
class CurateSettings:
    """How a dataset is made. All of it is part of the dataset's id.

    `limit` counts both sides together. `near_duplicates` is the similarity from which prompts are copies (None:
    keep copies); `contamination` the one from which prompts may not sit on both sides. `balance_by` is empty,
    `answer` or `metadata:KEY`.
    """

    salt: str
    limit: int = 15_000
    heldout: float = 0.1
    with_answers: bool = False
    redact: bool = True
    detectors: tuple[str, ...] = ()
    drop_refusals: bool = True
    max_characters: int | None = None
    near_duplicates: float | None = 0.8
    contamination: float = 0.6
    balance_by: str = ""
    balance_ratio: float = 3.0
    golden_share: float = 0.1

    def __post_init__(self) -> None:
        problems = [
            (self.limit < 1, "limit must be at least 1"),
            (not 0 <= self.heldout < 1, "heldout is a share from 0 up to, not including, 1"),
            (
                self.near_duplicates is not None and not 0.3 <= self.near_duplicates <= 1,
                "near_duplicates lies in 0.3..1",
            ),
            (not 0.3 <= self.contamination <= 1, "contamination lies in 0.3..1"),
            (self.balance_ratio < 1, "balance_ratio is at least 1"),
            (not 0 <= self.golden_share <= 1, "golden_share is a share from 0 to 1"),
        ]
        wrong = [text for is_wrong, text in problems if is_wrong]
        if wrong:
            raise ConfigurationError(f"dataset: {'; '.join(wrong)}.", hint="See docs/guides/dataset.md.")
        if self.balance_by:
            stratum_by(self.balance_by)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain data, the salt as a digest."""
        out = asdict(self) | {"detectors": list(self.detectors), "version": VERSION}
        out["salt"] = digest(self.salt, 16)
        return out


@dataclass(slots=True)
class Row:
    """One candidate on its way: where it came from, what it is now, and why it was dropped if it was."""

    source: str
    line: int
    example: Example
    reason: DropReason | None = None
    heldout: bool = False


@dataclass(frozen=True, slots=True)
class Ledger:
    """What earlier datasets judged and taught; each call opens the files anew, in a stable order."""

    heldout: Callable[[], Iterable[LedgerFile]] = tuple
    train: Callable[[], Iterable[LedgerFile]] = tuple


@dataclass(slots=True)
class Curated:
    """The outcome: every row with its fate, and what the ledger must remember."""

    rows: list[Row]
    redacted: Counter[str] = field(default_factory=Counter)
    template: frozenset[int] = frozenset()
    shared: frozenset[str] = frozenset()

    @property
    def kept(self) -> int:
        """Rows that came in."""
        return len(self.rows)

    @property
    def train(self) -> list[Example]:
        """The training examples, in order."""
        return [row.example for row in self.rows if row.reason is None and not row.heldout]

    @property
    def heldout(self) -> list[Example]:
        """The held-out examples, in order."""
        return [row.example for row in self.rows if row.reason is None and row.heldout]

    @property
    def dropped(self) -> dict[str, int]:
        """How many rows were dropped, by reason."""
        counts = Counter(row.reason.value for row in self.rows if row.reason is not None)
        return dict(sorted(counts.items()))

    def fingerprints(self, examples: Iterable[Example]) -> Iterator[Fingerprint]:
        """Yield the fingerprints of examples, comparable with those of other datasets."""
        sketcher = Sketcher(self.template)
        for example in examples:
            yield Fingerprint(_exact_key(example), sketcher.sketch(text_of(example)))


def curate(
    interactions: Iterable[Interaction],
    settings: CurateSettings,
    *,
    student: str,
    golden: Iterable[Example] = (),
    ledger: Ledger | None = None,
) -> Curated:
    """Return what the interactions and golden examples become.

    Golden examples come first, so of two equal prompts the one that people answered stays.
    """
    out = Curated(rows=[])
    rules = drop_rules(
        family_of(student), max_characters=settings.max_characters, drop_refusals=settings.drop_refusals
    )
    detectors = _detectors(settings)
    for row, interaction in _incoming(interactions, golden):
        row.reason = drop_reason(rules, row.example, interaction)
        if row.reason is None and detectors:
            row.example, found = redact(row.example, detectors)
            out.redacted.update(found)
            out.redacted.update(dict(interaction.redacted) if interaction else {})
        out.rows.append(row)
    _drop_exact_duplicates(_alive(out.rows))
    sketches = _Sketches(out)
    if settings.near_duplicates is not None:
        _drop_near_duplicates(_alive(out.rows), sketches, settings.near_duplicates)
    _set_sides(out, settings)
    if settings.balance_by:
        _balance(_alive(out.rows), settings)
    _drop_contaminated(_alive(out.rows), sketches, settings.contamination, ledger or Ledger())
    _drop_over_limit(_alive(out.rows), settings.limit)
    _limit_golden(_alive(out.rows), settings.golden_share)
    return out


def _incoming(
    interactions: Iterable[Interaction], golden: Iterable[Example]
) -> Iterator[tuple[Row, Interaction | None]]:
    for line, example in enumerate(golden, 1):
        yield Row("golden", line, example), None
    for line, interaction in enumerate(interactions, 1):
        yield Row("sample", line, example_of(interaction)), interaction


def example_of(interaction: Interaction) -> Example:
    """Return the example an interaction amounts to."""
    return Example(
        turns=interaction.turns,
        answer=interaction.answer,
        system=interaction.system,
        metadata=interaction.metadata,
        observed_at=interaction.timestamp,
        input_tokens=interaction.input_tokens,
        output_tokens=interaction.output_tokens,
        latency_ms=interaction.latency_ms,
    )


def _detectors(settings: CurateSettings) -> tuple[Detector, ...]:
    if not settings.redact:
        return ()
    return load_detectors(settings.detectors)


def _alive(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.reason is None]


def _exact_key(example: Example) -> bytes:
    """Equal for prompts that differ in dress only, whatever their system prompt."""
    return bytes.fromhex(prompt_key(example)[:32])


def _drop_exact_duplicates(rows: Sequence[Row]) -> None:
    seen: set[tuple[bytes, str]] = set()
    for row in rows:
        key = (_exact_key(row.example), " ".join(folded_words(row.example.system or "")))
        if key in seen:
            row.reason = DropReason.EXACT_DUPLICATE
        seen.add(key)


class _Sketches:
    """The sketches of rows, each made once, with the template of these rows left out."""

    def __init__(self, out: Curated) -> None:
        texts = [text_of(row.example) for row in out.rows if row.reason is None]
        out.template = find_template(texts)
        self._sketcher = Sketcher(out.template)
        self._plain = Sketcher()
        self._systems: dict[str, Sketch] = {}
        self._rows: dict[int, Sketch] = {}
        self.template = out.template

    def of(self, row: Row) -> Sketch:
        """The sketch of a row's prompt."""
        found = self._rows.get(id(row))
        if found is None:
            found = self._rows[id(row)] = self._sketcher.sketch(text_of(row.example))
        return found

    def fingerprint(self, row: Row) -> Fingerprint:
        """The fingerprint of a row."""
        return Fingerprint(_exact_key(row.example), self.of(row))

    def are_copies(self, one: Row, other: Row, threshold: float) -> bool:
        """Whether two near sketches are near texts: a look at the whole texts where sketches are only estimates."""
        if self.of(one).is_whole and self.of(other).is_whole:
            return True
        left, right = (self._sketcher.hashes(text_of(row.example)) for row in (one, other))
        return are_near_exactly(left, right, threshold)

    def same_system(self, one: Row, other: Row, threshold: float) -> bool:
        """Whether two rows ask under nearly the same system prompt: the same words under another one are another
        task."""
        left, right = one.example.system or "", other.example.system or ""
        return left == right or similarity(self._system(left), self._system(right)) >= threshold

    def _system(self, text: str) -> Sketch:
        found = self._systems.get(text)
        if found is None:
            found = self._systems[text] = self._plain.sketch(text)
        return found


def _drop_near_duplicates(rows: Sequence[Row], sketches: _Sketches, threshold: float) -> None:
    copies = find_copies(
        [sketches.of(row) for row in rows],
        threshold,
        also=lambda one, other: (
            sketches.same_system(rows[one], rows[other], threshold)
            and sketches.are_copies(rows[one], rows[other], threshold)
        ),
    )
    for row, original in zip(rows, copies, strict=True):
        if original is not None:
            row.reason = DropReason.NEAR_DUPLICATE


def _set_sides(out: Curated, settings: CurateSettings) -> None:
    rows = _alive(out.rows)
    out.shared = shared_openings(row.example for row in rows)
    for row in rows:
        row.heldout = is_heldout(side_key(row.example, out.shared), settings.salt, settings.heldout)


def _balance(rows: Sequence[Row], settings: CurateSettings) -> None:
    stratum = stratum_by(settings.balance_by)
    train = [row for row in rows if not row.heldout and not row.example.golden]
    for position in surplus([stratum(row.example) for row in train], settings.balance_ratio):
        train[position].reason = DropReason.BALANCE


def _drop_contaminated(rows: Sequence[Row], sketches: _Sketches, threshold: float, ledger: Ledger) -> None:
    heldout = [row for row in rows if row.heldout]
    for row in _touched(heldout, sketches, threshold, ledger.train()):
        row.reason = DropReason.TAUGHT_BEFORE
    train = [row for row in rows if not row.heldout]
    judges = [sketches.fingerprint(row) for row in _alive(heldout)]
    here = LedgerFile("", "heldout", sketches.template, iter(judges))
    for row in _touched(train, sketches, threshold, chain([here], ledger.heldout())):
        row.reason = DropReason.CONTAMINATED


def _touched(
    rows: Sequence[Row], sketches: _Sketches, threshold: float, files: Iterable[LedgerFile]
) -> Iterator[Row]:
    candidates = Candidates([sketches.fingerprint(row) for row in rows], threshold, sketches.template)
    hit: set[int] = set()
    for file in files:
        hit |= candidates.touched(file.fingerprints, file.template)
    return (rows[position] for position in sorted(hit))


def _drop_over_limit(rows: Sequence[Row], limit: int) -> None:
    for row in rows[limit:]:
        row.reason = DropReason.OVER_LIMIT


def _limit_golden(rows: Sequence[Row], share: float) -> None:
    """Keep golden training examples to their share of the training side, the earliest first."""
    train = [row for row in rows if not row.heldout]
    golden = [row for row in train if row.example.golden]
    others = len(train) - len(golden)
    most = len(golden) if share >= 1 else int(others * share / (1 - share))
    for row in golden[most:]:
        row.reason = DropReason.GOLDEN_SHARE
