"""One run as one self-contained HTML page: verdict, figures with intervals, slices, worst cases, dataset, money.

Takes records as plain data (what the bucket holds) and hands on the page's text. Everything is escaped by the template;
nothing is loaded from anywhere, a content policy forbids it. Prompts and answers are shown only when they are handed in.
Charts are small SVG tracks beside HTML labels, so that they can be read on a phone, on paper and in the dark.

Decision records come in as plain data, because evaluation lies to the left of decision. No clock: the time is passed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import jinja2

from airflow_distill.stages.evaluation.records import CHALLENGERS, Comparison, Interval, Metric, Scorecard
from airflow_distill.stages.evaluation.report_money import money_groups

VERDICTS = {
    "promote": "Everything the policy asks for is shown.",
    "hold": "Not promoted: evidence is missing or cannot be used, or a limit is crossed.",
    "reject": "Not promoted: the student is shown to be worse, or an untuned model to be good enough.",
    "inconclusive": "Not promoted: the prompts judged so far do not settle it.",
    "undecided": "Scored, but nothing has been decided on these figures yet.",
}
"""Verdict -> what it means, in one sentence."""

ROLE_NAMES = {
    "student": "Student",
    "teacher": "Teacher",
    "untuned": "Untuned student",
    "incumbent": "Live now",
    **{role: role.capitalize().replace("-", " ") for role in CHALLENGERS},
}
_ROLE_ORDER = ("student", "teacher", "incumbent", "untuned", *CHALLENGERS)
_OUTCOMES = {
    "pass": "shown",
    "worse": "worse",
    "open": "not settled",
    "fail": "limit crossed",
    "untrusted": "not usable",
    "skipped": "not asked",
}
_CHECKS = {"quality": "Quality", "guard": "Guard"}
MOST_SLICES = 40


@dataclass(frozen=True, slots=True)
class ReportData:
    """What a report is made of; whatever is None is said to be unknown.

    :param decision: the decision record as plain data.
    :param manifest: the dataset manifest as plain data.
    :param bill: what the run cost so far (`prices.Bill.to_json()`).
    :param billing: what still bills: rows of `what`, `name`, `usd_per_hour`, `until`; None when nobody has looked.
    :param statement: estimate, actual and open by stage (`Statement.to_json()`).
    :param exposure: what runs on and until when (`Exposure.to_json()`).
    :param savings: `savings` (`Saving.to_json()` each) and `payback`.
    :param judges: reports of pairwise judges (`JudgeReport.to_json()`).
    :param texts: example id -> `prompt`, `student`, and other roles' answers; only when the reader asked for them.
    """

    scorecard: Scorecard
    decision: Mapping[str, Any] | None = None
    manifest: Mapping[str, Any] | None = None
    costs: Mapping[str, Any] | None = None
    bill: Mapping[str, Any] | None = None
    billing: Sequence[Mapping[str, Any]] | None = None
    statement: Mapping[str, Any] | None = None
    exposure: Mapping[str, Any] | None = None
    savings: Mapping[str, Any] | None = None
    judges: Sequence[Mapping[str, Any]] = ()
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    run: str = ""
    made_at: str = ""


@dataclass(frozen=True, slots=True)
class Track:
    """One line of a chart; positions are per cent of its width, None where there is nothing to draw."""

    label: str
    kind: str
    value: str
    note: str
    start: float = 0.0
    end: float | None = None
    low: float | None = None
    high: float | None = None
    zero: float | None = None
    limit: float | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines on one scale, with the scale's marks as (per cent, text)."""

    title: str
    tracks: tuple[Track, ...]
    marks: tuple[tuple[float, str], ...]
    note: str = ""


def render_report(data: ReportData) -> str:
    """Return the page."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        usd=usd, count=count, short=short, share=share, figure=figure, signed=signed, tokens=tokens
    )
    source = files("airflow_distill.stages.evaluation").joinpath("report.html.j2").read_text("utf-8")
    return environment.from_string(source).render(page(data))


def page(data: ReportData) -> dict[str, Any]:
    """Return everything the template shows."""
    card, decision = data.scorecard, data.decision or {}
    verdict = decision.get("verdict") or {}
    outcome = str(decision.get("outcome") or "undecided")
    checks = list(verdict.get("checks") or ())
    return {
        "card": card,
        "run": data.run,
        "made_at": data.made_at,
        "outcome": outcome,
        "meaning": VERDICTS.get(outcome, ""),
        "needed": verdict.get("needed"),
        "reasons": _reasons(decision),
        "approval": _approval(decision.get("approval")),
        "levels": level_charts(card),
        "differences": difference_charts(card, checks),
        "slices": slice_charts(card, checks),
        "unspoken": card.unspoken_slices,
        "checks": [_check(check) for check in checks],
        "summaries": sorted(card.summaries, key=lambda s: _rank(s.role)),
        "role_names": ROLE_NAMES,
        "judges": list(data.judges),
        "worst": _worst(card, data.texts),
        "manifest": data.manifest,
        "funnel": _funnel(data.manifest),
        "costs": data.costs or decision.get("costs"),
        "bill": data.bill,
        "billing": data.billing,
        "statement": data.statement,
        "looked": data.exposure is not None,
        "saves": bool(data.savings),
        "money": money_groups(data.statement, data.exposure, data.savings),
        "evidence": _evidence(card, decision),
        "reference": _REFERENCES.get(card.reference, ""),
    }


_REFERENCES = {
    "teacher": (
        "Answers are scored against the teacher's own logged answers, so the teacher scores 1 by construction and a "
        "score is agreement with the teacher."
    ),
    "golden": "Answers are scored against labels that people wrote or approved.",
    "mixed": "Some answers are scored against labels that people approved, others against the teacher's own.",
    "none": "Prompts have no reference answer.",
}


def _rank(role: str) -> int:
    return _ROLE_ORDER.index(role) if role in _ROLE_ORDER else len(_ROLE_ORDER)


def _reasons(decision: Mapping[str, Any]) -> list[Mapping[str, str]]:
    reasons = list((decision.get("verdict") or {}).get("reasons") or ())
    approval = decision.get("approval") or {}
    if decision and decision.get("outcome") != (decision.get("verdict") or {}).get("verdict"):
        reasons.insert(0, {"code": "not-approved", "text": approval.get("reason") or "Nobody has approved."})
    return reasons


def _approval(approval: Mapping[str, Any] | None) -> str:
    if not approval:
        return ""
    if not approval.get("required"):
        return "No approval by a person was asked for."
    if approval.get("approved"):
        return f"Approved by {approval.get('approver')} at {approval.get('answered_at')}."
    return f"Not approved. {approval.get('reason') or ''}".strip()


# --- charts -------------------------------------------------------------------------------------------------------


def level_charts(card: Scorecard) -> list[Chart]:
    """Return one chart a metric: each role's mean as a bar from 0 to 1, with its interval."""
    charts = []
    for name in dict.fromkeys(m.metric for m in card.metrics if not m.slice):
        found = sorted(
            (m for m in card.metrics if m.metric == name and not m.slice), key=lambda m: _rank(m.role)
        )
        charts.append(
            Chart(
                name, tuple(_level(m) for m in found), ((0, "0"), (50, "0.5"), (100, "1")), _intervals(found)
            )
        )
    return charts


def _level(metric: Metric) -> Track:
    note = f"{metric.missing} missing" if metric.missing else ""
    low, high = _ends(metric.interval, lambda value: value * 100)
    return Track(
        ROLE_NAMES.get(metric.role, metric.role),
        metric.role,
        figure(metric.mean),
        note,
        end=None if metric.mean is None else metric.mean * 100,
        low=low,
        high=high,
    )


def difference_charts(card: Scorecard, checks: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Return the student minus each other role by metric, with interval, zero and the policy's limit.

    The gain over the untuned student has a chart, and so a scale, of its own: it is far larger than what decides.
    """
    whole = [c for c in card.comparisons if not c.slice and c.role == "student"]
    charts = []
    for name in dict.fromkeys(c.metric for c in whole):
        found = sorted((c for c in whole if c.metric == name), key=lambda c: _rank(c.against))
        for title, part in (
            (name, [c for c in found if c.against != "untuned"]),
            (f"{name}, gained by distillation", [c for c in found if c.against == "untuned"]),
        ):
            labels = [f"against {ROLE_NAMES.get(c.against, c.against).lower()}" for c in part]
            if part:
                charts.append(_differences(title, part, labels, checks))
    return charts


def slice_charts(card: Scorecard, checks: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Return one chart a metric: student minus teacher in each slice that has enough prompts."""
    spoken = [c for c in card.comparisons if c.slice and c.against == "teacher" and c.interval is not None]
    charts = []
    for name in dict.fromkeys(c.metric for c in spoken):
        found = sorted((c for c in spoken if c.metric == name), key=lambda c: (c.estimate or 0.0, c.slice))
        shown = found[:MOST_SLICES]
        labels = [f"{c.slice} ({c.n})" for c in shown]
        chart = _differences(name, shown, labels, checks)
        left_out = len(found) - len(shown)
        note = f"The {MOST_SLICES} worst are shown, {left_out} are not." if left_out else ""
        charts.append(Chart(chart.title, chart.tracks, chart.marks, note))
    return charts


def _differences(
    name: str, found: Sequence[Comparison], labels: Sequence[str], checks: Sequence[Mapping[str, Any]]
) -> Chart:
    limits = [_limit_of(c, checks) for c in found]
    edge = _edge(
        [abs(v) for c in found for v in (c.estimate, *_raw_ends(c.interval)) if v is not None]
        + [abs(limit) for limit, _ in limits if limit is not None]
    )

    def place(value: float) -> float:
        return 50 + 50 * value / edge

    tracks = []
    for comparison, label, (limit, outcome) in zip(found, labels, limits, strict=True):
        low, high = _ends(comparison.interval, place)
        estimate = comparison.estimate
        tracks.append(
            Track(
                label,
                comparison.against,
                signed(estimate),
                f"{comparison.better} better, {comparison.worse} worse of {comparison.n}",
                start=50.0,
                end=None if estimate is None else place(estimate),
                low=low,
                high=high,
                zero=50.0,
                limit=None if limit is None else place(limit),
                outcome=outcome,
            )
        )
    marks = ((0.0, signed(-edge)), (50.0, "0"), (100.0, signed(edge)))
    return Chart(name, tuple(tracks), marks, _intervals(found))


def _limit_of(comparison: Comparison, checks: Sequence[Mapping[str, Any]]) -> tuple[float | None, str]:
    wanted = (comparison.metric, comparison.against, comparison.slice)
    for check in checks:
        if (check.get("metric"), check.get("against"), check.get("slice") or "") == wanted:
            return check.get("limit"), str(check.get("outcome") or "")
    return None, ""


def _edge(values: Iterable[float]) -> float:
    """Return half the width of a scale that holds all values: the next of 0.05, 0.1, 0.2, 0.5, 1."""
    largest = max(values, default=0.05)
    return next((edge for edge in (0.05, 0.1, 0.2, 0.5) if largest <= edge), 1.0)


def _raw_ends(interval: Interval | None) -> tuple[float, ...]:
    return () if interval is None else (interval.low, interval.high)


def _ends(interval: Interval | None, place: Any) -> tuple[float | None, float | None]:
    if interval is None:
        return None, None
    return _inside(place(interval.low)), _inside(place(interval.high))


def _inside(value: float) -> float:
    return min(100.0, max(0.0, value))


def _intervals(found: Sequence[Metric | Comparison]) -> str:
    known = {(f.interval.level, f.interval.method) for f in found if f.interval is not None}
    if not known:
        return "Too few prompts for an interval."
    level = min(level for level, _ in known)
    methods = " and ".join(sorted({method for _, method in known}))
    return (
        f"Whiskers: two-sided {level:.0%} intervals ({methods}), so each end holds at {(1 + level) / 2:.0%}."
    )


# --- tables -------------------------------------------------------------------------------------------------------


def _check(check: Mapping[str, Any]) -> dict[str, Any]:
    quality = check.get("code") in _CHECKS
    show = signed if quality else figure
    return {
        "what": check.get("metric") or str(check.get("code", "")).replace("_", " ").replace("-", " "),
        "kind": _CHECKS.get(str(check.get("code")), "Limit"),
        "against": ROLE_NAMES.get(str(check.get("against") or ""), check.get("against") or ""),
        "slice": check.get("slice") or "",
        "n": check.get("n") or "",
        "estimate": show(check.get("estimate")),
        "bound": show(check.get("bound")),
        "limit": show(check.get("limit")),
        "outcome": check.get("outcome"),
        "said": _OUTCOMES.get(str(check.get("outcome")), check.get("outcome")),
        "needed": check.get("needed"),
    }


def _worst(card: Scorecard, texts: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "id": r.example_id,
            "metric": r.metric,
            "against": ROLE_NAMES.get(r.against, r.against),
            "score": figure(r.score),
            "other": figure(r.against_score),
            "text": texts.get(r.example_id),
        }
        for r in card.regressions
    ]


def _funnel(manifest: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return how the log lines became prompts: each step with its count and share of all lines."""
    if not manifest:
        return []
    counts = manifest.get("counts") or {}
    total = max(int(counts.get("lines") or 0), 1)
    rows = [("read", "log lines read", counts.get("lines"))]
    rows += [("lost", f"skipped: {_words(k)}", v) for k, v in sorted((manifest.get("skipped") or {}).items())]
    rows += [("lost", f"dropped: {_words(k)}", v) for k, v in sorted((manifest.get("dropped") or {}).items())]
    rows += [("kept", "for training", counts.get("train")), ("kept", "held out", counts.get("heldout"))]
    return [
        {"kind": kind, "label": label, "count": int(n), "share": min(100.0, 100 * int(n) / total)}
        for kind, label, n in rows
        if n is not None
    ]


def _words(code: str) -> str:
    return str(code).replace("_", " ").replace("-", " ")


def _evidence(card: Scorecard, decision: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("Workload", card.workload),
        ("Dataset", card.dataset_id),
        ("Held-out file", card.heldout_sha256),
        ("Evaluation", card.evaluation_id),
        *((f"Model, {ROLE_NAMES.get(r, r).lower()}", m) for r, m in sorted(card.models.items())),
        *((f"Answers, {ROLE_NAMES.get(r, r).lower()}", d) for r, d in sorted(card.answers_sha256.items())),
        ("Scorecard", str(decision.get("scorecard_sha256") or "")),
        ("Policy", str((decision.get("verdict") or {}).get("policy_digest") or "")),
        ("Decision", str(decision.get("decision_id") or "")),
        ("Decided at", str(decision.get("decided_at") or "")),
        ("Scored at", card.created_at),
    ]
    return [(name, value) for name, value in rows if value]


# --- how figures are written ----------------------------------------------------------------------------------------


def figure(value: float | None) -> str:
    """Write a score: three decimals, or "unknown".

    >>> figure(0.97499), figure(None), figure(1234.5)
    ('0.975', 'unknown', '1,234.5')
    """
    if value is None:
        return "unknown"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def signed(value: float | None) -> str:
    """Write a difference with its sign.

    >>> signed(-0.025), signed(0.0)
    ('\u22120.025', '0.000')
    """
    if value is None:
        return "unknown"
    text = f"{abs(value):.3f}"
    if float(text) == 0:
        return text
    return ("\u2212" if value < 0 else "+") + text


def usd(value: float | None) -> str:
    """Write money; small amounts keep the digits that matter, unknown stays unknown.

    >>> usd(1234.5), usd(0.00123), usd(None)
    ('1,234.50 USD', '0.0012 USD', 'unknown')
    """
    if value is None:
        return "unknown"
    return f"{value:,.2f} USD" if value == 0 or abs(value) >= 0.1 else f"{value:,.4f} USD"


def count(value: float | None) -> str:
    """Write a count with thousands separated."""
    return "unknown" if value is None else f"{value:,.0f}"


def tokens(value: float | None) -> str:
    """Write a number of tokens, shortened.

    >>> tokens(1_250_000), tokens(980), tokens(None)
    ('1.25 M', '980', 'unknown')
    """
    if value is None:
        return "unknown"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "")):
        if value >= size and letter:
            return f"{value / size:.3g} {letter}"
    return f"{value:,.0f}"


def share(value: float | None) -> str:
    """Write a share as per cent."""
    return "unknown" if value is None else f"{value:.1%}"


def short(value: str) -> str:
    """Write a long digest or ARN by its end, where they differ.

    >>> short("arn:aws:bedrock:us-east-1:1:custom-model/amazon.nova-micro-v1:0:128k/abcdefabcdef")
    'custom-model/\u2026/abcdefabcdef'
    """
    if value.startswith("arn:"):
        kind, _, rest = value.split(":", 5)[-1].partition("/")
        return f"{kind}/\u2026/{rest.rsplit('/', 1)[-1]}" if "/" in rest else f"{kind}/{rest}"
    return value if len(value) <= 40 else f"{value[:16]}\u2026"
