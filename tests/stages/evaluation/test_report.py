"""The report is one page that loads nothing, escapes everything and shows no text unless asked."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from airflow_distill.stages.dataset.records import Example, Turn
from airflow_distill.stages.evaluation.compare import score_answers
from airflow_distill.stages.evaluation.records import Answer, Regression, Scorecard
from airflow_distill.stages.evaluation.report import VERDICTS, ReportData, page, render_report
from airflow_distill.stages.evaluation.scorers.registry import make_scorers

EVIL = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"


def scorecard(count: int = 120, workload: str = "support_tickets") -> Scorecard:
    rows = [
        Example((Turn("user", f"secret {n}"),), answer=f"label {n % 5}", metadata=(("product", "ab"[n % 2]),))
        for n in range(count)
    ]
    answers = [
        Answer(e.id, "student", "student-model", e.answer if n % 20 else "no") for n, e in enumerate(rows)
    ]
    answers += [
        Answer(e.id, "untuned", "base-model", e.answer if n % 2 else "no") for n, e in enumerate(rows)
    ]
    return score_answers(
        rows, answers, make_scorers(["exact"]), workload=workload, dataset_id="d1", heldout_sha256="ab" * 32
    )


def decision(outcome: str) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "verdict": {
            "verdict": outcome,
            "needed": 294 if outcome == "inconclusive" else None,
            "reasons": [{"code": "open", "text": f"because {EVIL}"}],
            "checks": [
                {"code": "quality", "metric": "exact", "against": "teacher", "slice": "", "n": 120, "estimate": -0.05,
                 "bound": -0.09, "limit": -0.05, "outcome": "open", "needed": 294},
                {"code": "max_run_usd", "outcome": "fail", "estimate": 80.0, "limit": 50.0, "bound": None},
            ],
        },
        "approval": {"required": True, "approved": False, "reason": "Nobody answered in time."},
    }  # fmt: skip


class Tags(HTMLParser):
    """Collects tags, and checks that they close in order."""

    VOID = frozenset({"meta", "rect", "line", "path", "br", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parse(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    return tags


@pytest.mark.parametrize("outcome", [v for v in VERDICTS if v != "undecided"])
def test_every_verdict_has_its_sentence(outcome: str) -> None:
    html = render_report(ReportData(scorecard(), decision(outcome)))
    parse(html)
    assert f'class="verdict {outcome}"' in html
    assert VERDICTS[outcome] in html


def test_the_page_loads_nothing_from_anywhere() -> None:
    tags = parse(render_report(ReportData(scorecard(), decision("hold"))))
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(tags.found)
    assert not [v for k, v in tags.attributes if k in ("src", "href", "action")]
    assert any(v and "default-src 'none'" in v for _, v in tags.attributes)
    html = render_report(ReportData(scorecard()))
    assert "url(" not in html
    assert "@import" not in html
    assert "http://" not in html
    assert "https://" not in html


def test_everything_is_escaped() -> None:
    card = replace(scorecard(), workload=EVIL, models={"student": EVIL})
    manifest = {
        "dataset_id": EVIL, "teacher": EVIL, "student": EVIL, "window": [EVIL, EVIL], "with_answers": True,
        "counts": {"lines": 10, "train": 8, "heldout": 2}, "skipped": {EVIL: 1}, "dropped": {},
    }  # fmt: skip
    judge = {
        "judge": EVIL, "may_gate": False, "why": [EVIL], "wins": 1, "ties": 1, "losses": 1, "injections": 1, "controls": {},
        "order": {"count": 1, "of": 2}, "longer": {"count": 1, "of": 2}, "unreadable": {"count": 0, "of": 2},
        "agreement": None,
    }  # fmt: skip
    texts = {r.example_id: {"prompt": EVIL, "student": EVIL} for r in card.regressions}
    html = render_report(
        ReportData(
            card,
            decision("hold"),
            manifest,
            billing=[{"what": EVIL, "name": EVIL, "usd_per_hour": None, "until": EVIL}],
            judges=[judge],
            texts=texts,
            run=EVIL,
            made_at=EVIL,
        )
    )
    assert "script" not in parse(html).found
    assert "{{ 7 * 7 }}" in html


def test_no_text_is_shown_unless_it_is_handed_in() -> None:
    card = scorecard()
    assert card.regressions
    assert "secret" not in render_report(ReportData(card))
    worst = card.regressions[0].example_id
    html = render_report(ReportData(card, texts={worst: {"prompt": "secret 0"}}))
    assert "secret 0" in html
    assert "as asked" in html


def test_unknown_money_is_called_unknown_and_never_zero() -> None:
    costs = dict.fromkeys(
        ["run_usd", "student_monthly_usd", "teacher_monthly_usd", "tokens_per_day", "break_even_tokens_per_day",
         "payback_days"]
    ) | {"priced_at": "2026-06-30", "unknown": ["training of x"]}  # fmt: skip
    bill = {
        "lines": [{"stage": "job", "item": "training", "model": "x", "quantity": 5, "usd": None}],
        "total_usd": None,
    }
    html = render_report(ReportData(scorecard(), costs=costs, bill=bill))
    assert "0.00 USD" not in html
    assert html.count("unknown") > 6
    assert "Unknown: training of x" in html


def test_what_still_bills_is_listed_empty_or_said_not_to_be_looked_up() -> None:
    row = {"what": "provisioned throughput", "name": "live", "usd_per_hour": 60.5, "until": ""}
    assert "60.50 USD" in render_report(ReportData(scorecard(), billing=[row]))
    assert "Nothing that this run made" in render_report(ReportData(scorecard(), billing=[]))
    assert "Not looked up" in render_report(ReportData(scorecard()))


def test_a_scorecard_too_small_for_intervals_says_so() -> None:
    html = render_report(ReportData(scorecard(12)))
    assert "Too few prompts for an interval" in html
    assert 'whisker"' not in html.split("</style>")[1]


def test_positions_in_charts_stay_inside() -> None:
    view = page(ReportData(scorecard(), decision("inconclusive")))
    tracks = [t for name in ("levels", "differences", "slices") for c in view[name] for t in c.tracks]
    assert tracks
    for t in tracks:
        assert all(0.0 <= v <= 100.0 for v in (t.start, t.end, t.low, t.high, t.limit) if v is not None)


def test_the_gain_over_the_untuned_student_does_not_flatten_the_comparison_that_decides() -> None:
    view = page(ReportData(scorecard(), decision("inconclusive")))
    edges = {c.title: c.marks[-1][1] for c in view["differences"]}
    assert edges["exact"] == "+0.100"
    assert edges["exact, gained by distillation"] == "+1.000"


def test_the_dataset_funnel_adds_up() -> None:
    manifest = {
        "counts": {"lines": 1000, "train": 500, "heldout": 100}, "skipped": {"other_model": 300},
        "dropped": {"near_duplicate": 100},
    }  # fmt: skip
    rows = page(ReportData(scorecard(), manifest=manifest))["funnel"]
    assert rows[0]["count"] == sum(r["count"] for r in rows[1:]) == 1000


def test_a_missing_approval_is_the_first_reason() -> None:
    record = decision("promote") | {"outcome": "hold"}
    html = render_report(ReportData(scorecard(), record))
    assert html.index("Nobody answered in time.") < html.index("because")


def test_the_same_data_makes_the_same_page() -> None:
    data = ReportData(scorecard(), decision("hold"), made_at="2026-11-24")
    assert render_report(data) == render_report(data)
    again = Scorecard.from_json(json.loads(json.dumps(data.scorecard.to_json())))
    assert render_report(replace(data, scorecard=again)) == render_report(data)


def test_no_regression_is_said_in_words() -> None:
    assert "lost on no prompt" in render_report(ReportData(replace(scorecard(), regressions=())))
    assert re.search(
        r"<code>abc</code>",
        render_report(
            ReportData(replace(scorecard(), regressions=(Regression("abc", "exact", "teacher", 0.0, 1.0),)))
        ),
    )
