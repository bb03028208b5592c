"""Interactions become a dataset: the one place where the steps of curation are chained and counted.

    drop -> redact -> drop what cannot be sent -> exact, then near duplicates
    -> balance -> contamination -> split -> limit -> golden share

Takes interactions in a stable order (the harvest's), golden examples and the contamination ledger; hands on
`Curated`. Golden examples are a standing test: they are held out in every run, apart from those that `golden_share` lets
be taught. Every step marks rows with a reason and none removes them in silence, so rows in = train + held-out +
dropped by reason, always. The same input gives the same bytes. Standard library and the stage's own modules only;
reading shards and writing files is the caller's business.

Sides. A row's side is decided by its conversation's opening and the salt alone (`split`). Near copies that hash to
different sides are kept apart by dropping, never by moving: training candidates near a held-out prompt of this or
any earlier dataset, and held-out candidates near what any earlier student was taught.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import Any, get_args

from airflow_distill.errors import ConfigurationError
from airflow_distill.stages.dataset.balance import stratum_by, surplus
from airflow_distill.stages.dataset.dedupe import (
    Sketch,
    Sketcher,
    are_near_exactly,
    find_copies,
    find_template,
    similarity,
    text_of,
)
from airflow_distill.stages.dataset.drop import (
    DropReason,
    drop_reason,
    drop_rules,
    kept_problems,
    sending_rules,
    without_thinking,
)
from airflow_distill.stages.dataset.families import family_of
from airflow_distill.stages.dataset.feedback import USES, Feedback, Opinion, request_names
from airflow_distill.stages.dataset.fingerprints import (
    FOLDINGS,
    Candidates,
    Fingerprint,
    LedgerFile,
    exact_key,
)
from airflow_distill.stages.dataset.fingerprints import VERSION as FOLDING
from airflow_distill.stages.dataset.meaning import ask_the_same
from airflow_distill.stages.dataset.records import Example
from airflow_distill.stages.dataset.redact import Detector, load_detectors, redact
from airflow_distill.stages.dataset.split import is_heldout, shared_openings, side_key
from airflow_distill.stages.dataset.words import exact_form
from airflow_distill.stages.digest import digest, keyed_hash
from airflow_distill.stages.logs.records import Interaction, Turn
from airflow_distill.stages.model_table import Form

CAREFUL = "careful"
CAREFUL_THRESHOLD = 0.8
CHOICES = {"thinking": ("remove", "drop", "keep"), "reserved_words": ("keep", "drop")}
GOLDEN_HELDOUT = 0.5
"""Share of the golden examples that judges where others of them are taught."""

SAMPLE = 10
"""Digests shown of near pairs, and of what each rule dropped."""

VERSION = 3
"""Raised whenever the same input may give another dataset; part of every dataset id."""


@dataclass(frozen=True, slots=True)
class CurateSettings:
    """How a dataset is made. All of it is part of the dataset's id.

    `limit` counts both sides together. `near_duplicates` is the similarity from which prompts are copies; `careful` is
    0.8, and leaves alone what differs in a number, a sign, a negation or a name; None keeps copies. `contamination` is the
    similarity from which prompts may not sit on both sides. `balance_by` is empty, `answer` or `metadata:KEY`. `keep` names
    drop rules to switch off (`drop.KEEPABLE`); `drop_refusals=False` is another word for `refusal` and `guardrail` among
    them. `golden_share` is the most of the training side that golden examples may be: with 0 none is taught and all judge,
    in every run; with more, half of them, by their hash, may be taught. `thinking` that was written into answers is taken
    out (`remove`), drops the record (`drop`) or stays (`keep`). `reserved_words` of the student's family are only told
    (`keep`), or drop the record (`drop`). `feedback` says what feedback is used for (`feedback.USES`): only `liked` answers
    are taken, or those `not_disliked`; `corrected` answers are golden; `weights` prefer the better liked ones where more
    are usable than `limit`. An answer is liked from the score `liked_from` on; only scores of `feedback_name` count,
    where it is given. `form` is that of a line of the training file: `conversation`, or `prompt-completion` for students
    that are fine-tuned on those.
    """

    salt: str
    limit: int = 15_000
    heldout: float = 0.1
    with_answers: bool = False
    redact: bool = True
    detectors: tuple[str, ...] = ()
    drop_refusals: bool = True
    max_characters: int | None = None
    near_duplicates: float | str | None = CAREFUL
    contamination: float = 0.6
    balance_by: str = ""
    balance_ratio: float = 3.0
    golden_share: float = 0.0
    keep: tuple[str, ...] = ()
    feedback: tuple[str, ...] = ()
    liked_from: float = 0.5
    feedback_name: str = ""
    thinking: str = "remove"
    reserved_words: str = "keep"
    form: Form = "conversation"

    def __post_init__(self) -> None:
        threshold = self.near_threshold
        problems = [
            (self.limit < 1, "limit must be at least 1"),
            (not 0 <= self.heldout < 1, "heldout is a share from 0 up to, not including, 1"),
            (
                threshold is not None and not 0.3 <= threshold <= 1,
                "near_duplicates is careful, none or lies in 0.3..1",
            ),
            *((True, problem) for problem in kept_problems(self.keep)),
            (not set(self.feedback) <= set(USES), f"feedback takes {', '.join(USES)}"),
            (
                {"liked", "not_disliked"} <= set(self.feedback),
                "feedback takes liked or not_disliked, not both",
            ),
            *(
                (getattr(self, name) not in choices, f"{name} is {' or '.join(choices)}")
                for name, choices in CHOICES.items()
            ),
            (not 0.3 <= self.contamination <= 1, "contamination lies in 0.3..1"),
            (self.balance_ratio < 1, "balance_ratio is at least 1"),
            (not 0 <= self.golden_share < 1, "golden_share is a share from 0 up to, not including, 1"),
            (self.form not in get_args(Form), f"form is {' or '.join(get_args(Form))}"),
            (
                self.form == "prompt-completion" and not self.with_answers,
                "form prompt-completion needs with_answers: a line holds the answer",
            ),
        ]
        wrong = [text for is_wrong, text in problems if is_wrong]
        if wrong:
            raise ConfigurationError(f"dataset: {'; '.join(wrong)}.", hint="See docs/guides/dataset.md.")
        if self.balance_by:
            stratum_by(self.balance_by)

    @property
    def near_threshold(self) -> float | None:
        """The similarity from which prompts are copies; None when copies are kept. A word that is none is out of range."""
        if self.near_duplicates == CAREFUL:
            return CAREFUL_THRESHOLD
        return -1.0 if isinstance(self.near_duplicates, str) else self.near_duplicates

    @property
    def kept_rules(self) -> frozenset[str]:
        """The drop rules that are switched off."""
        refusing = () if self.drop_refusals else (DropReason.REFUSAL.value, DropReason.GUARDRAIL.value)
        return frozenset((*self.keep, *refusing))

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain data, the salt as a digest."""
        out = asdict(self) | {
            "detectors": list(self.detectors),
            "keep": sorted(self.keep),
            "feedback": sorted(self.feedback),
            "version": VERSION,
        }
        out["salt"] = digest(self.salt, 16)
        if self.form == "conversation":
            del out["form"]  # datasets of this form are named as they were before there was another
        return out


@dataclass(slots=True)
class Row:
    """One candidate on its way: where it came from, what it is now, and why it was dropped if it was."""

    source: str
    line: int
    example: Example
    reason: DropReason | None = None
    heldout: bool = False
    weight: float = 1.0


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
    shared: frozenset[str] = frozenset()
    near_pairs: list[tuple[Row, Row]] = field(default_factory=list)
    thinking_removed: int = 0
    taught_judges: int = 0
    _sketches: dict[int, _Sketches] = field(default_factory=dict)

    @property
    def template(self) -> frozenset[int]:
        """The hashes of boilerplate, which sketches leave out."""
        return self.sketches().template

    def sketches(self, folding: int = FOLDING) -> _Sketches:
        """The sketches for fingerprints of a version; their template is that of the rows still there at first."""
        found = self._sketches.get(folding)
        if found is None:
            texts = [text_of(row.example) for row in self.rows if row.reason is None]
            found = self._sketches[folding] = _Sketches(texts, folding)
        return found

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

    @property
    def dropped_digests(self) -> dict[str, list[str]]:
        """The digests of the first prompts that each rule dropped."""
        out: dict[str, list[str]] = {}
        for row in self.rows:
            if row.reason is not None and len(found := out.setdefault(row.reason.value, [])) < SAMPLE:
                found.append(row.example.id)
        return dict(sorted(out.items()))

    @property
    def near_pair_digests(self) -> list[tuple[str, str]]:
        """The digests of an evenly spread sample of near copies: the prompt that stayed, the one that was dropped."""
        step = max(1, -(-len(self.near_pairs) // SAMPLE))
        return [(kept.example.id, dropped.example.id) for kept, dropped in self.near_pairs[::step]]

    def fingerprints(self, examples: Iterable[Example], folding: int = FOLDING) -> Iterator[Fingerprint]:
        """Yield the fingerprints of examples, comparable with those of other datasets of the same version."""
        sketches = self.sketches(folding)
        for example in examples:
            yield Fingerprint(FOLDINGS[folding].key_of(example), sketches.of(example))

    def touched(self, examples: Sequence[Example], threshold: float, files: Iterable[LedgerFile]) -> set[int]:
        """Return the positions of the examples that equal or are near to a fingerprint of any of the files."""
        candidates: dict[int, Candidates] = {}
        hit: set[int] = set()
        for file in files:
            if file.version not in candidates:
                candidates[file.version] = Candidates(
                    list(self.fingerprints(examples, file.version)),
                    threshold,
                    self.sketches(file.version).template,
                )
            hit |= candidates[file.version].touched(file.fingerprints, file.template)
        return hit


def curate(
    interactions: Iterable[Interaction],
    settings: CurateSettings,
    *,
    student: str,
    golden: Iterable[Example] = (),
    ledger: Ledger | None = None,
    feedback: Feedback | None = None,
) -> Curated:
    """Return what the interactions and golden examples become.

    Golden examples come first, so of two equal prompts the one that people answered stays. Feedback joins by request, or
    by the digest of the prompt as it is after redaction.
    """
    out = Curated(rows=[])
    off = settings.kept_rules
    rules = drop_rules(family_of(student), keep=off, thinking=settings.thinking)
    sending = sending_rules(
        family_of(student),
        keep=off,
        with_answers=settings.with_answers,
        max_characters=settings.max_characters,
        reserved_words=settings.reserved_words,
    )
    detectors = _detectors(settings)
    for row, interaction in _incoming(interactions, golden):
        disliked = None
        if settings.thinking == "remove" and interaction is not None:
            out.thinking_removed += _remove_thinking(row)
        source = interaction
        if feedback is not None and interaction is not None:
            opinion = _opinion_on(feedback, row, interaction, detectors)
            row.weight = feedback.weight(opinion)
            if "corrected" in settings.feedback and opinion is not None and opinion.answer:
                row.example, source = replace(row.example, answer=opinion.answer, golden=True), None
            else:
                disliked = _not_liked(opinion, settings)
        row.reason = drop_reason(rules, row.example, source) or disliked
        if row.reason is None and detectors:
            row.example, found = redact(row.example, detectors)
            out.redacted.update(found)
            out.redacted.update(dict(interaction.redacted) if interaction else {})
        row.reason = row.reason or drop_reason(sending, row.example, source)
        out.rows.append(row)
    if DropReason.EXACT_DUPLICATE not in off:
        _drop_exact_duplicates(_alive(out.rows))
    out.sketches()
    if settings.near_threshold is not None and DropReason.NEAR_DUPLICATE not in off:
        _drop_near_duplicates(out, settings)
    _set_sides(out, settings)
    if settings.balance_by:
        _balance(_alive(out.rows), settings)
    _drop_contaminated(out, settings, ledger or Ledger())
    _drop_over_limit(_alive(out.rows), settings)
    _limit_golden(_alive(out.rows), settings.golden_share)
    return out


def _incoming(
    interactions: Iterable[Interaction], golden: Iterable[Example]
) -> Iterator[tuple[Row, Interaction | None]]:
    for line, example in enumerate(golden, 1):
        yield Row("golden", line, example), None
    for line, interaction in enumerate(interactions, 1):
        yield Row("sample", line, example_of(interaction)), interaction


def _remove_thinking(row: Row) -> bool:
    """Take the thinking out of a row's answers, those of earlier turns too; says whether there was any."""
    before = row.example
    turns = tuple(
        Turn(turn.role, without_thinking(turn.text)) if turn.role == "assistant" else turn
        for turn in before.turns
    )
    answer = before.answer and without_thinking(before.answer)
    if (turns, answer) == (before.turns, before.answer):
        return False
    row.example = replace(before, turns=turns, answer=answer)
    return True


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
        cache_read_tokens=interaction.cache_read_tokens,
        cache_write_tokens=interaction.cache_write_tokens,
    )


def _detectors(settings: CurateSettings) -> tuple[Detector, ...]:
    if not settings.redact:
        return ()
    return load_detectors(settings.detectors)


def _alive(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.reason is None]


def _drop_exact_duplicates(rows: Sequence[Row]) -> None:
    seen: set[tuple[bytes, str]] = set()
    for row in rows:
        key = (exact_key(row.example), exact_form(row.example.system or ""))
        if key in seen:
            row.reason = DropReason.EXACT_DUPLICATE
        seen.add(key)


class _Sketches:
    """The sketches of examples, each made once, with the template of some texts left out."""

    def __init__(self, texts: Sequence[str], folding: int) -> None:
        words_of = FOLDINGS[folding].words_of
        self.template = find_template(texts, words_of=words_of)
        self._sketcher = Sketcher(self.template, words_of)
        self._plain = Sketcher(words_of=words_of)
        self._systems: dict[str, Sketch] = {}
        self._examples: dict[tuple[Turn, ...], Sketch] = {}

    def of(self, example: Example) -> Sketch:
        """The sketch of an example's prompt."""
        found = self._examples.get(example.turns)
        if found is None:
            found = self._examples[example.turns] = self._sketcher.sketch(text_of(example))
        return found

    def are_copies(self, one: Row, other: Row, threshold: float) -> bool:
        """Whether two near sketches are near texts: a look at the whole texts where sketches are only estimates."""
        if self.of(one.example).is_whole and self.of(other.example).is_whole:
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


def _drop_near_duplicates(out: Curated, settings: CurateSettings) -> None:
    sketches = out.sketches()
    rows = _alive(out.rows)
    threshold = settings.near_threshold or 1.0
    careful = settings.near_duplicates == CAREFUL
    copies = find_copies(
        [sketches.of(row.example) for row in rows],
        threshold,
        also=lambda one, other: (
            sketches.same_system(rows[one], rows[other], threshold)
            and sketches.are_copies(rows[one], rows[other], threshold)
            and (not careful or _ask_the_same(rows[one].example, rows[other].example))
        ),
    )
    for row, original in zip(rows, copies, strict=True):
        if original is not None and not row.example.golden:
            row.reason = DropReason.NEAR_DUPLICATE
            out.near_pairs.append((rows[original], row))


def _ask_the_same(one: Example, other: Example) -> bool:
    return ask_the_same(text_of(one), text_of(other)) and ask_the_same(one.system or "", other.system or "")


def _set_sides(out: Curated, settings: CurateSettings) -> None:
    rows = _alive(out.rows)
    out.shared = shared_openings(row.example for row in rows)
    for row in rows:
        share = settings.heldout
        if row.example.golden:
            share = max(share, GOLDEN_HELDOUT if settings.golden_share else 1.0)
        row.heldout = is_heldout(side_key(row.example, out.shared), settings.salt, share)


def _balance(rows: Sequence[Row], settings: CurateSettings) -> None:
    stratum = stratum_by(settings.balance_by)
    train = [row for row in rows if not row.heldout and not row.example.golden]
    for position in surplus([stratum(row.example) for row in train], settings.balance_ratio):
        train[position].reason = DropReason.BALANCE


def _drop_contaminated(out: Curated, settings: CurateSettings, ledger: Ledger) -> None:
    rows = _alive(out.rows)
    threshold = settings.contamination
    heldout = [row for row in rows if row.heldout]
    for row in _touched(out, heldout, threshold, ledger.train()):
        # The golden set is the same in every run. This student is not taught what is near to it; a live one may have been.
        if row.example.golden or DropReason.TAUGHT_BEFORE in settings.kept_rules:
            out.taught_judges += 1
        else:
            row.reason = DropReason.TAUGHT_BEFORE
    train = [row for row in rows if not row.heldout]
    judges = out.fingerprints(row.example for row in _alive(heldout))
    here = LedgerFile("", "heldout", out.template, judges)
    for row in _touched(out, train, threshold, chain([here], ledger.heldout())):
        row.reason = DropReason.CONTAMINATED


def _touched(
    out: Curated, rows: Sequence[Row], threshold: float, files: Iterable[LedgerFile]
) -> Iterator[Row]:
    hit = out.touched([row.example for row in rows], threshold, files)
    return (rows[position] for position in sorted(hit))


def _drop_over_limit(rows: Sequence[Row], settings: CurateSettings) -> None:
    kept = rows[: settings.limit]
    if "weights" in settings.feedback and len(rows) > settings.limit:
        # Who judges is drawn without weights; golden examples weigh most.
        judges = [row for row in rows if row.heldout]
        judges = judges[: round(settings.limit * len(judges) / len(rows))]
        train = sorted((row for row in rows if not row.heldout), key=lambda row: _rank(row, settings.salt))
        kept = [*judges, *train[: settings.limit - len(judges)]]
    ids = set(map(id, kept))
    for row in rows:
        if id(row) not in ids:
            row.reason = DropReason.OVER_LIMIT


def _rank(row: Row, salt: str) -> tuple[bool, float]:
    """Return a row's place in a weighted draw without replacement, the first kept (Efraimidis and Spirakis, 2006)."""
    chance = (keyed_hash(salt, f"weight:{row.example.id}") + 1) / (2**64 + 1)
    return (not row.example.golden, -math.log(chance) / row.weight)


def _opinion_on(
    feedback: Feedback, row: Row, interaction: Interaction, detectors: Sequence[Detector]
) -> Opinion | None:
    found = feedback.on_request(request_names(interaction))
    if found is None and feedback.by_prompt:
        example = redact(row.example, detectors)[0] if detectors else row.example
        found = feedback.on_prompt(example.id)
    return found


def _not_liked(opinion: Opinion | None, settings: CurateSettings) -> DropReason | None:
    """Return why feedback keeps an answer from the dataset, or None."""
    wanted = set(settings.feedback) & {"liked", "not_disliked"}
    if not wanted:
        return None
    if opinion is not None and opinion.score is not None:
        return DropReason.DISLIKED if opinion.score < settings.liked_from else None
    return DropReason.NOT_RATED if "liked" in wanted else None


def _limit_golden(rows: Sequence[Row], share: float) -> None:
    """Keep golden training examples to their share of the training side, the earliest first."""
    train = [row for row in rows if not row.heldout]
    golden = [row for row in train if row.example.golden]
    others = len(train) - len(golden)
    most = int(others * share / (1 - share))
    for row in golden[most:]:
        row.reason = DropReason.GOLDEN_SHARE
