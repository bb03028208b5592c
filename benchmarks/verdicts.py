"""How often the verdict is wrong, and how often it is right, when the truth is known.

    python benchmarks/verdicts.py [--runs 2000] [--seed 7] [--write docs/guides/decision.md]

Each row draws held-out sets from a student whose true quality is set, and asks the real `decide` (or, for graded
metrics, the test that it uses) for a verdict. Right-or-wrong rows also carry the exact probability, summed over every
outcome instead of drawn. Promises are checked at the end; a broken one ends in exit status 1. Standard library only,
one process, about two minutes. `--write` puts the tables into the guide between their marks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.decision.decide import Freshness, decide
from airflow_distill.stages.decision.policy import MetricRule, PromotionPolicy
from airflow_distill.stages.decision.records import Verdict
from airflow_distill.stages.evaluation import corpus, intervals
from airflow_distill.stages.evaluation.compare import score_answers
from airflow_distill.stages.evaluation.records import Answer, Comparison, ModelSummary, Scorecard
from airflow_distill.stages.evaluation.scorers.labels import MacroF1
from airflow_distill.stages.evaluation.scorers.registry import make_scorers

MARGIN, ALPHA, PROMPTS = 0.05, 0.05, 400
FRESH = Freshness("dataset", "held-out", "student-model")
BEGIN, END = "<!-- verdicts: begin -->", "<!-- verdicts: end -->"


@dataclass
class Row:
    """One line of a table: what is true, how often each verdict came, and what was promised."""

    truth: str
    promoted: float
    rejected: float
    exact: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    def kept(self, runs: int) -> bool:
        """Say whether the promise held; a share drawn may miss it by chance, two standard errors are allowed."""
        noise = 2 * math.sqrt(0.05 * 0.95 / runs)
        if self.at_most is not None:
            return self.promoted <= self.at_most + noise and (self.exact or 0.0) <= self.at_most
        if self.at_least is not None:
            share = self.promoted if self.exact is None else self.exact
            return share >= self.at_least
        return True


@dataclass
class Table:
    """One table of the report."""

    title: str
    note: str
    rows: list[Row] = field(default_factory=list)

    def markdown(self) -> str:
        lines = [f"**{self.title}** {self.note}", ""]
        lines += ["| Truth | Promoted | Exact | Rejected | Promise |", "|---|---:|---:|---:|---|"]
        for row in self.rows:
            promise = "" if row.at_most is None else f"at most {row.at_most:.0%}"
            promise = promise if row.at_least is None else f"at least {row.at_least:.0%}"
            exact = "" if row.exact is None else f"{row.exact:.1%}"
            lines.append(f"| {row.truth} | {row.promoted:.1%} | {exact} | {row.rejected:.1%} | {promise} |")
        return "\n".join(lines)


# --- from differences to a verdict -----------------------------------------------------------------------------------


def scorecard(comparisons: Sequence[Comparison], n: int) -> Scorecard:
    """Return a scorecard that holds these comparisons; every role answered, nothing failed."""
    roles = ("student", *dict.fromkeys(c.against for c in comparisons))
    models = {role: f"{role}-model" for role in roles}
    return Scorecard(
        workload="simulation",
        dataset_id=FRESH.dataset_id,
        heldout_sha256=FRESH.heldout_sha256,
        models=models,
        n=n,
        metrics=(),
        comparisons=tuple(comparisons),
        references={"golden": n},
        teacher_source="answers",
        alpha=ALPHA,
        min_items=30,
        summaries=tuple(ModelSummary(role, models[role], answers=n, items=n) for role in roles),
    )


def compared(
    evidence: intervals.Evidence, metric: str = "exact", against: str = "teacher", slice_: str = ""
) -> Comparison:
    return Comparison(metric, against, evidence.n, evidence.center, evidence, slice=slice_)


def right_or_wrong(better: int, worse: int, n: int) -> intervals.Evidence:
    tally = ((-1.0, float(worse)), (0.0, float(n - better - worse)), (1.0, float(better)))
    return intervals.Evidence("tango", n, tuple((v, c) for v, c in tally if c))


def policy(*rules: MetricRule, **settings: object) -> PromotionPolicy:
    rules = rules or (MetricRule("exact", MARGIN),)
    return PromotionPolicy(rules, alpha=ALPHA, beat_untuned=False, **settings)  # type: ignore[arg-type]


def shares(verdicts: Iterable[str]) -> tuple[float, float]:
    """Return the shares of promotions and of rejections."""
    seen: Counter[str] = Counter(verdicts)
    return seen["promote"] / seen.total(), seen["reject"] / seen.total()


def draw(rng: random.Random, n: int, better: float, worse: float) -> tuple[int, int]:
    """Return how many of n items the student wins and loses."""
    seen = Counter(rng.choices((1, -1, 0), cum_weights=(better, better + worse, 1.0), k=n))
    return seen[1], seen[-1]


# --- right or wrong --------------------------------------------------------------------------------------------------


class Paired:
    """Verdicts on a right-or-wrong metric depend on two counts only, so each pair of counts is decided once."""

    def __init__(self, n: int, rules: PromotionPolicy) -> None:
        self.n, self.rules = n, rules
        self.known: dict[tuple[int, int], str] = {}

    def verdict(self, better: int, worse: int) -> str:
        key = (better, worse)
        if key not in self.known:
            card = scorecard([compared(right_or_wrong(better, worse, self.n))], self.n)
            self.known[key] = decide(card, self.rules, freshness=FRESH).verdict
        return self.known[key]

    def exact(self, better: float, worse: float) -> float:
        """Return the probability of a promotion, summed over all outcomes likelier than one in a billion."""
        found = 0.0
        for b, c, p in outcomes(self.n, better, worse):
            evidence = right_or_wrong(b, c, self.n)
            found += p * (intervals.p_at_most(evidence, -MARGIN) <= self.rules.look_alpha)
        return found


def outcomes(n: int, better: float, worse: float) -> Iterator[tuple[int, int, float]]:
    log = math.lgamma
    for b in likely(n, better):
        for c in likely(n, worse):
            if b + c > n or (better == 0 and b):
                continue
            rest = n - b - c
            logp = log(n + 1) - log(b + 1) - log(c + 1) - log(rest + 1)
            logp += (b * math.log(better) if b else 0.0) + (c * math.log(worse) if c else 0.0)
            yield b, c, math.exp(logp + rest * math.log(1 - better - worse))


def likely(n: int, share: float) -> range:
    spread = 6.5 * math.sqrt(n * share * (1 - share)) + 8
    return range(max(int(n * share - spread), 0), min(int(n * share + spread) + 1, n) + 1)


def labels_table(rng: random.Random, runs: int) -> Table:
    table = Table(
        "Against labels, 400 prompts.",
        "Disagreement is the share of prompts on which exactly one of student and teacher is right.",
    )
    decided = Paired(PROMPTS, policy())
    for loss in (MARGIN, 0.0):
        for disagreement in (0.06, 0.10, 0.14, 0.20, 0.30):
            better, worse = (disagreement - loss) / 2, (disagreement + loss) / 2
            promoted, rejected = shares(
                decided.verdict(*draw(rng, PROMPTS, better, worse)) for _ in range(runs)
            )
            truth = f"{'worse by the margin' if loss else 'equal'}, disagreement {disagreement:.0%}"
            promise: dict[str, float] = (
                {"at_most": ALPHA} if loss else {"at_least": 0.8} if disagreement <= 0.14 else {}
            )
            table.rows.append(Row(truth, promoted, rejected, decided.exact(better, worse), **promise))
    return table


def agreement_table(rng: random.Random, runs: int) -> Table:
    table = Table(
        "Against the teacher's own answers, 400 prompts.",
        "The teacher agrees with itself by construction; the student agrees at the stated rate.",
    )
    decided = Paired(PROMPTS, policy())
    for agreement in (0.95, 0.96, 0.97, 0.975, 0.98, 0.99):
        promoted, rejected = shares(
            decided.verdict(*draw(rng, PROMPTS, 0.0, 1 - agreement)) for _ in range(runs)
        )
        promise: dict[str, float] = (
            {"at_most": ALPHA} if agreement <= 0.95 else {"at_least": 0.8} if agreement >= 0.98 else {}
        )
        exact = decided.exact(0.0, 1 - agreement)
        table.rows.append(Row(f"agreement {agreement:.1%}", promoted, rejected, exact, **promise))
    return table


def sizes_table(rng: random.Random, runs: int) -> Table:
    table = Table("By the number of prompts.", "Labels, 10 % disagreement.")
    for n in (100, 200, 400, 800):
        decided = Paired(n, policy())
        for loss in (MARGIN, 0.0):
            better, worse = (0.1 - loss) / 2, (0.1 + loss) / 2
            promoted, rejected = shares(decided.verdict(*draw(rng, n, better, worse)) for _ in range(runs))
            truth = f"{n} prompts, {'worse by the margin' if loss else 'equal'}"
            promise: dict[str, float] = {"at_most": ALPHA} if loss else {}
            table.rows.append(Row(truth, promoted, rejected, decided.exact(better, worse), **promise))
    return table


# --- graded metrics and macro-F1 -------------------------------------------------------------------------------------


def tested(evidence: intervals.Evidence) -> str:
    """Return what the test says; the same comparison of p-value and alpha that `decide` makes."""
    if intervals.p_at_most(evidence, -MARGIN) <= ALPHA:
        return "promote"
    return "reject" if intervals.p_at_least(evidence, -MARGIN) <= ALPHA else "inconclusive"


def graded(differences: Sequence[float]) -> intervals.Evidence:
    """Return evidence as for a graded metric, also when a draw happens to hold whole steps only."""
    return replace(intervals.from_differences(differences), method="gaffke")


def geometric(rng: random.Random, mean: float) -> int:
    """Return 0, 1, 2, ... with this mean, each next value less likely by the same factor."""
    return int(math.log(1.0 - rng.random()) / math.log(mean / (1 + mean)))


def graded_table(rng: random.Random, runs: int) -> Table:
    table = Table(
        "Graded metrics, 400 prompts.",
        "Token overlap and the like, in steps of 1/20. Losses only, where the teacher is the reference.",
    )
    shapes: dict[str, Callable[[float], float]] = {
        # each returns one difference whose mean is the loss
        "few but total losses": lambda loss: -1.0 if rng.random() < loss else 0.0,
        "losses of every size": lambda loss: (
            -round(rng.random() * 20) / 20 if rng.random() < 2 * loss else 0.0
        ),
        "many small losses": lambda loss: -min(geometric(rng, 20 * loss), 20) / 20,
        "gains and losses": lambda loss: max(min(round(rng.gauss(-loss, 0.2) * 20) / 20, 1.0), -1.0),
    }
    for name, shape in shapes.items():
        for loss in (MARGIN, MARGIN / 2 if "gains" not in name else 0.0):
            promoted, rejected = shares(
                tested(graded([shape(loss) for _ in range(PROMPTS)])) for _ in range(runs)
            )
            worse = loss == MARGIN
            truth = (
                f"{name}, {'worse by the margin' if worse else 'worse by half of it' if loss else 'equal'}"
            )
            table.rows.append(Row(truth, promoted, rejected, at_most=ALPHA if worse else None))
    return table


def macro_table(rng: random.Random, runs: int) -> Table:
    few = max(runs // 2, 1)
    table = Table(
        "Macro-F1, 400 prompts.", f"Classes equally likely, by jackknife pseudo-values; {few:,} runs a row."
    )
    for classes, student_only, teacher_only, both, truth in (
        (10, 0.025, 0.075, 0.825, "10 classes, labels, worse by the margin"),
        (10, 0.05, 0.05, 0.85, "10 classes, labels, equal"),
        (10, 0.0, 0.05, 0.95, "10 classes, teacher's answers, worse by the margin"),
        (40, 0.0, 0.05, 0.95, "40 classes, teacher's answers, worse by the margin"),
    ):
        promoted, rejected = shares(
            tested(corpus.jackknife(MacroF1(), draw_items(rng, classes, both, student_only, teacher_only))[1])
            for _ in range(few)
        )
        promise = {"at_most": ALPHA} if student_only < teacher_only else {"at_least": 0.8}
        table.rows.append(Row(truth, promoted, rejected, **promise))
    return table


def draw_items(
    rng: random.Random, classes: int, both: float, student_only: float, teacher_only: float
) -> list[tuple[corpus.ItemCells, ...]]:
    """Return items of student and teacher: both right, one right, or both wrong in the same way."""
    out: list[tuple[corpus.ItemCells, ...]] = []
    for _ in range(PROMPTS):
        true = rng.randrange(classes)
        wrong = (true + rng.randrange(1, classes)) % classes
        u = rng.random()
        student_right = u < both + student_only
        teacher_right = u < both or both + student_only <= u < both + student_only + teacher_only
        pair = ((true, true if student_right else wrong), (true, true if teacher_right else wrong))
        out.append(tuple((((str(a), str(b)), 1.0),) for a, b in pair))
    return out


# --- several conditions, slices, looks -------------------------------------------------------------------------------


def several_table(rng: random.Random, runs: int) -> Table:
    table = Table(
        "Several conditions, 400 prompts.",
        "10 % disagreement each, drawn apart; all must hold, none gets a smaller alpha.",
    )
    rules = policy(*(MetricRule(name, MARGIN, incumbent_margin=MARGIN) for name in ("one", "two")))
    fresh = Freshness(FRESH.dataset_id, FRESH.heldout_sha256, FRESH.student_model, "incumbent-model")

    def one(losses: dict[tuple[str, str], float]) -> str:
        comparisons = []
        for (metric, against), loss in losses.items():
            counts = draw(rng, PROMPTS, (0.1 - loss) / 2, (0.1 + loss) / 2)
            comparisons.append(compared(right_or_wrong(*counts, PROMPTS), metric, against))
        return decide(scorecard(comparisons, PROMPTS), rules, freshness=fresh).verdict

    pairs = [(metric, against) for metric in ("one", "two") for against in ("teacher", "incumbent")]
    equal = dict.fromkeys(pairs, 0.0)
    for truth, losses, promise in (
        ("equal in all four", equal, {}),
        ("worse by the margin in one of four", equal | {pairs[0]: MARGIN}, {"at_most": ALPHA}),
        ("worse by the margin in all four", dict.fromkeys(pairs, MARGIN), {"at_most": ALPHA}),
    ):
        promoted, rejected = shares(one(losses) for _ in range(runs))
        table.rows.append(Row(truth, promoted, rejected, **promise))

    def beside_untuned() -> str:
        comparisons = [
            compared(right_or_wrong(*draw(rng, PROMPTS, 0.05, 0.05), PROMPTS), against=against)
            for against in ("teacher", "untuned")
        ]
        rules = replace(policy(), beat_untuned=True)
        return decide(scorecard(comparisons, PROMPTS), rules, freshness=FRESH).verdict

    promoted, rejected = shares(beside_untuned() for _ in range(runs))
    table.rows.append(
        Row("equal to the teacher and to the untuned student", promoted, rejected, at_most=ALPHA)
    )
    return table


def slices_table(rng: random.Random, runs: int) -> Table:
    table = Table(
        "Slices, 8 of 100 prompts.", "10 % disagreement; the guard rejects on evidence, by Holm's method."
    )

    def one(losses: Sequence[float]) -> str:
        counts = [draw(rng, 100, max(0.1 - loss, 0.0) / 2, (0.1 + loss) / 2) for loss in losses]
        whole = right_or_wrong(sum(b for b, _ in counts), sum(c for _, c in counts), 100 * len(losses))
        parts = [compared(right_or_wrong(b, c, 100), slice_=f"part={i}") for i, (b, c) in enumerate(counts)]
        return decide(scorecard([compared(whole), *parts], whole.n), policy(), freshness=FRESH).verdict

    for truth, losses in (
        ("equal everywhere", [0.0] * 8),
        ("one slice worse by 10 points", [0.1] + [0.0] * 7),
        ("one slice worse by 20 points", [0.2] + [0.0] * 7),
        ("worse by the margin everywhere", [MARGIN] * 8),
    ):
        promoted, rejected = shares(one(losses) for _ in range(runs))
        promise: dict[str, float] = (
            {"at_most": ALPHA} if losses[1] else {"at_least": 0.8} if not losses[0] else {}
        )
        table.rows.append(Row(truth, promoted, rejected, **promise))
    return table


def looks_table(rng: random.Random, runs: int) -> Table:
    table = Table(
        "Looking twice at one student, 200 prompts and then 400.",
        "Labels, 20 % disagreement, worse by the margin.",
    )

    def one(looks: int) -> str:
        halves = [draw(rng, 200, 0.075, 0.125) for _ in range(2)]
        sums = [halves[0], (halves[0][0] + halves[1][0], halves[0][1] + halves[1][1])]
        verdict = ""
        for look, (better, worse) in enumerate(sums, start=1):
            card = scorecard([compared(right_or_wrong(better, worse, 200 * look))], 200 * look)
            verdict = decide(card, policy(looks=looks), freshness=FRESH, look=min(look, looks)).verdict
            if verdict in ("promote", "reject"):
                break
        return verdict

    for truth, looks, promise in (
        ("planned (`looks: 2`)", 2, {"at_most": ALPHA}),
        ("not planned, the second look passed off as the first", 1, {}),
    ):
        promoted, rejected = shares(one(looks) for _ in range(runs))
        table.rows.append(Row(truth, promoted, rejected, **promise))
    return table


# --- through the front door ------------------------------------------------------------------------------------------


def from_answers(seed: int, copies: int = 1, n: int = PROMPTS) -> tuple[Scorecard, Verdict]:
    """Return scorecard and verdict from examples and answers, each prompt written `copies` times."""
    rng = random.Random(seed)
    examples = [Example(turns=(Turn("user", f"prompt {i}"),), answer="yes", golden=True) for i in range(n)]
    ids = [example.id for example in examples]
    answers = [
        Answer(item, role, f"{role}-model", "yes" if rng.random() < 0.9 else "no")
        for role in ("teacher", "student")
        for item in ids
    ]
    card = score_answers(
        examples * copies,
        answers * copies,
        make_scorers(["exact"]),
        workload="simulation",
        dataset_id=FRESH.dataset_id,
        heldout_sha256=FRESH.heldout_sha256,
    )
    return card, decide(card, policy(), freshness=FRESH)


def front_door(seed: int) -> list[tuple[str, bool]]:
    """Return what must hold from answers to verdict, and whether it does."""
    once, verdict = from_answers(seed)
    again, verdict_again = from_answers(seed)
    thrice, _ = from_answers(seed, copies=3)
    small, little = from_answers(seed, n=18)
    paired = once.comparison("exact", "teacher")
    unspoken = small.comparison("exact", "teacher")
    assert paired
    assert unspoken
    tripled = thrice.comparison("exact", "teacher")
    short = decide(
        scorecard([compared(paired.evidence)], once.n), policy(), freshness=FRESH
    )  # the road the tables above take
    return [
        ("same answers, same bytes", digest([once, verdict]) == digest([again, verdict_again])),
        (
            "duplicated prompts leave the interval as it is",
            paired == tripled and thrice.duplicates == 2 * once.n,
        ),
        ("the tables' short road gives the verdict of the long one", short.checks == verdict.checks),
        (
            "18 held-out prompts are inconclusive, with a number",
            little.verdict == "inconclusive" and bool(little.needed),
        ),
        (
            "below the least sample there is no interval",
            unspoken.interval is None,
        ),
    ]


def digest(records: Sequence[Scorecard | Verdict]) -> str:
    text = json.dumps([record.to_json() for record in records], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


TABLES = (
    labels_table,
    agreement_table,
    sizes_table,
    graded_table,
    macro_table,
    several_table,
    slices_table,
    looks_table,
)


def simulate(runs: int, seed: int) -> list[Table]:
    """Return every table; each has its own stream of random numbers, so one can be changed without the others."""
    return [make(random.Random(f"{seed} {make.__name__}"), runs) for make in TABLES]


def write_guide(path: Path, text: str) -> None:
    """Put the tables between their marks."""
    page = path.read_text("utf-8")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    path.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}", "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    start = time.perf_counter()
    tables = simulate(args.runs, args.seed)
    text = f"{args.runs:,} runs a row unless said, seed {args.seed}, margin {MARGIN}, alpha {ALPHA}.\n\n"
    text += "\n\n".join(table.markdown() for table in tables)
    facts = front_door(args.seed)
    text += "\n\n" + "\n".join(f"- {fact}: {'yes' if held else 'NO'}" for fact, held in facts)
    print(text)
    if args.write:
        write_guide(args.write, text)
    broken = [f"{t.title} {row.truth}" for t in tables for row in t.rows if not row.kept(args.runs)]
    broken += [fact for fact, held in facts if not held]
    print(
        f"\n{time.perf_counter() - start:.0f} s; {len(broken)} promises broken",
        *broken,
        sep="\n",
        file=sys.stderr,
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
