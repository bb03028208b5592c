"""What successive releases give away: 20 candidates, one after the other, under the default rule and under a margin.

Each candidate is judged by `decide` on 400 held-out prompts against labels, beside the teacher and the model then live;
10 % of the prompts tell any two models apart. Quality is the true share of right answers, less the teacher's. Run
`python benchmarks/decay.py` to print the table, `--write` to put it into docs/guides/decision.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_SPEC = importlib.util.spec_from_file_location("verdicts", HERE / "verdicts.py")
assert _SPEC is not None
assert _SPEC.loader is not None
verdicts = importlib.util.module_from_spec(_SPEC)
sys.modules["verdicts"] = verdicts
_SPEC.loader.exec_module(verdicts)

GUIDE = HERE.parent / "docs" / "guides" / "decision.md"
BEGIN, END = "<!-- decay: begin -->", "<!-- decay: end -->"
CANDIDATES, PROMPTS, DISAGREEMENT = 20, 400, 0.1

Next = Callable[[random.Random, float], float]
"""(random source, true quality of what is live) -> true quality of the next candidate."""


def equal(rng: random.Random, live: float) -> float:
    """As good as what is live."""
    return live


def varied(rng: random.Random, live: float) -> float:
    """One training recipe: as good as the teacher on average, a point up or down."""
    return rng.gauss(0.0, 0.01)


def worse(rng: random.Random, live: float) -> float:
    """Two points worse than what is live, every time."""
    return live - 0.02


TRUTHS: dict[str, Next] = {
    "each candidate equal to what is live": equal,
    "each as good as the teacher, give or take a point": varied,
    "each two points worse than what is live": worse,
}
RULES: dict[str, dict[str, Any]] = {
    "default: must score higher": {},
    "`incumbent_margin: 0.05`": {"incumbent_margin": 0.05},
}


@dataclass(frozen=True)
class Run:
    """How 20 candidates ended: releases after the first, and the true quality live at the end (0 is the teacher's)."""

    releases: int
    quality: float


def one_run(rng: random.Random, next_quality: Next, rule: dict[str, Any]) -> Run:
    """Judge 20 candidates one after the other; the first release is as good as the teacher."""
    policy = verdicts.policy(verdicts.MetricRule("exact", verdicts.MARGIN, **rule))
    fresh = verdicts.Freshness(
        verdicts.FRESH.dataset_id, verdicts.FRESH.heldout_sha256, verdicts.FRESH.student_model, "incumbent-model"
    )  # fmt: skip
    live, releases, total = 0.0, 0, 0.0
    for _ in range(CANDIDATES):
        quality = next_quality(rng, live)
        found = {}
        for role, other in (("teacher", 0.0), ("incumbent", live)):
            gap = max(-DISAGREEMENT, min(DISAGREEMENT, quality - other))
            counts = verdicts.draw(rng, PROMPTS, (DISAGREEMENT + gap) / 2, (DISAGREEMENT - gap) / 2)
            found[role] = verdicts.compared(verdicts.right_or_wrong(*counts, PROMPTS), against=role)
        card = verdicts.scorecard(list(found.values()), PROMPTS)
        given = {"exact": total}
        if verdicts.decide(card, policy, freshness=fresh, given_away=given).promotes:
            live, releases = quality, releases + 1
            total = min(0.0, total + (found["incumbent"].estimate or 0.0))
    return Run(releases, live)


def table(runs: int, seed: int = 7) -> str:
    """Return the figures as a Markdown table: means over the runs."""
    lines = [
        f"{CANDIDATES} candidates a run, {PROMPTS} prompts each, {runs} runs a row, seed {seed}; the teacher is at 0.",
        "",
        "| Truth | Rule | Releases | Quality live after 20 |",
        "|---|---|---:|---:|",
    ]
    for truth, next_quality in TRUTHS.items():
        for name, rule in RULES.items():
            rng = random.Random(seed)
            found = [one_run(rng, next_quality, rule) for _ in range(runs)]
            releases = sum(run.releases for run in found) / runs
            quality = 100 * sum(run.quality for run in found) / runs
            lines.append(f"| {truth} | {name} | {releases:.1f} | {quality + 0.0:+.2f} points |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, or write it into the guide."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    text = table(args.runs)
    if not args.write:
        print(text)
        return
    head, _, rest = GUIDE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    GUIDE.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}")


if __name__ == "__main__":
    main()
